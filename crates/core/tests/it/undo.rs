//! The undo of a wallet's payment that is answered 09: sent again only while the wallet may take none yet.
//! Later, and with a wallet that takes it at once, 09 is "in progress": another one could pay out twice.
use crate::till::*;
use payterm_core::{Effect, Input, Step};
use payterm_schema::{
    Class, HostAnswer, Instrument, Outcome, PaymentCode, Record, RequestKey, RequestRecord, Stan, Status,
    Time,
    host::{CodeRule, HostRules, MessageKind, RetryRule, Wallet, WalletQuery},
    record::{Duty, ObligationState},
    request::RequestWire,
    time::Millis,
};

const WECHAT: &str = "134567890123456789";
const ALIPAY: &str = "2812345678901234";

/// WeChat takes an undo after 15 s, Alipay at once.
fn till() -> Till {
    let mut s = settings();
    let query = WalletQuery { first: Millis::secs(5), every: Millis::secs(5), until: Millis::secs(60) };
    let mut rules: HostRules = (*s.accounts[0].rules).clone();
    let pending = CodeRule { class: Class::P, retry: RetryRule::Never, reverse: false };
    rules.codes.insert("09".into(), pending);
    rules.wallets = vec![Wallet::Wechat, Wallet::Alipay];
    rules.wallet_undo_after = [(Wallet::Wechat, Millis::secs(15))].into();
    rules.wallet_query = [(Wallet::Wechat, query), (Wallet::Alipay, query)].into();
    s.accounts[0].rules = rules.into();
    let mut till = Till::with(s, Vec::new());
    till.boot(NOW);
    till
}
/// A sale by this code that was approved at [`NOW`].
fn paid(till: &mut Till, code: &str) -> Outcome {
    till.input(start("sale", "one"));
    let instrument = Instrument::Scanned(PaymentCode::parse(code).unwrap());
    let step = till.input(Input::Instrument { instrument, card: None });
    let step = till.answered(&step, r#""code":"00","amount":100"#);
    let outcome = step.records.iter().find_map(|e| {
        let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record else { return None };
        Some((**outcome).clone())
    });
    outcome.filter(|o| o.status == Status::Approved).unwrap()
}
fn at(till: &mut Till, secs: i64) -> Step {
    let step = till.machine.handle_timeout(Time(NOW.0 + secs * 1_000));
    till.keep(step)
}
/// An undo of the sale: what it led to at once.
fn undo(till: &mut Till, kind: &str, original: Outcome) -> Step {
    let refund = kind == "refund";
    let wire = RequestWire {
        id: "undo".into(),
        kind: kind.into(),
        amount: refund.then(|| "1.00".into()),
        currency: refund.then(|| "CNY".into()),
        original_id: Some("one".into()),
        ..RequestWire::default()
    };
    let key = RequestKey::new("app", "undo").unwrap();
    let step = till.input(Input::Start { call: 1, key, request: Box::new(wire.try_into().unwrap()) });
    let load =
        step.effects.iter().find_map(|e| if let Effect::Load { tag, .. } = e { Some(*tag) } else { None });
    till.input(Input::Loaded { tag: load.unwrap(), found: Ok(vec![original]) })
}
/// 09, of no time: how old it is cannot be told.
fn not_yet(till: &mut Till, step: &Step) -> Step {
    let answer = HostAnswer { date: None, ..host_answer(r#""code":"09""#) };
    till.input(Input::Host { tag: tag_of(step).unwrap(), event: reply(answer) })
}
fn reversed(step: &Step) -> bool {
    step.effects
        .iter()
        .any(|e| matches!(e, Effect::Send(m) if matches!(m.message_kind, MessageKind::Reversal(_))))
}

#[test]
fn in_progress_is_not_asked_for_again() {
    for (code, days) in [(ALIPAY, 3), (ALIPAY, 0), (WECHAT, 3)] {
        for kind in ["refund", "void"] {
            let mut till = till();
            let original = paid(&mut till, code);
            at(&mut till, days * 86_400);
            let step = undo(&mut till, kind, original);
            let stan = sent(&step).unwrap();
            let step = not_yet(&mut till, &step);
            let owed = till.machine.obligations().iter().next().cloned().unwrap();
            assert_eq!(owed.plan.stan, stan, "{code} {kind}: its frame is owed");
            if kind == "refund" {
                assert_eq!(told(&step), [(Status::Unknown, "host-09".into())], "{code} after {days} days");
                assert_eq!((owed.duty, owed.state), (Duty::ManualResolution, ObligationState::Stuck));
                assert_eq!(sent(&at(&mut till, days * 86_400 + 60)), None);
            } else {
                assert_eq!(told(&step), [(Status::Unknown, "pending".into())], "{code} after {days} days");
                assert_eq!(owed.duty, Duty::Reverse);
                assert!(reversed(&step) || reversed(&at(&mut till, days * 86_400 + 30)));
            }
        }
    }
}

/// From the wallet's wait to some seconds after it.
#[test]
fn an_undo_that_comes_too_early_is_made_again() {
    let mut till = till();
    let original = paid(&mut till, WECHAT);
    let step = undo(&mut till, "refund", original);
    assert_eq!((sent(&step), sent(&at(&mut till, 14))), (None, None));
    let mut stans: Vec<Stan> = Vec::new();
    for secs in [15, 20, 25] {
        let step = at(&mut till, secs);
        stans.extend(sent(&step));
        let step = not_yet(&mut till, &step);
        let last: &[_] = if secs == 25 { &[(Status::Unknown, "host-09".into())] } else { &[] };
        assert_eq!(told(&step), last, "{secs}");
    }
    assert!(stans.len() == 3 && stans[0] != stans[1] && stans[1] != stans[2], "{stans:?}");
    assert_eq!(till.machine.obligations().iter().count(), 1, "what was not done owes nothing");
}
