//! What a person says became of what is Stuck: of several frames of one request, and not before the last of
//! them is a person's.
use crate::till::*;
use payterm_core::{Ask, Effect, Input, Settings, Step};
use payterm_schema::{
    Batch, Class, Fault, HostAnswer, HostEvent, Instrument, Outcome, PaymentCode, Record, RequestRecord,
    Stan, Status, Time,
    config::OperatorsConfig,
    host::{CodeRule, HostRules, MessageKind, RetryRule, Wallet, WalletQuery},
    offline::QueueAct,
    record::ObligationState,
    secret::PinEntry,
    settlement::{BatchPart, SettlementReply},
    time::Millis,
};

/// 77: sign in, then again, and the first frame is reversed; 09: the payer has not decided.
fn rules() -> Settings {
    let mut s = settings();
    let code = |class, retry, reverse| CodeRule { class, retry, reverse };
    s.accounts[0].rules = HostRules {
        wallets: vec![Wallet::Wechat],
        wallet_undo_after: [(Wallet::Wechat, Millis(15_000))].into(),
        query: true,
        wallet_query: [(
            Wallet::Wechat,
            WalletQuery { first: Millis(30_000), every: Millis(5_000), until: Millis(60_000) },
        )]
        .into(),
        codes: [
            ("77".to_owned(), code(Class::E, RetryRule::SignIn, true)),
            ("09".to_owned(), code(Class::P, RetryRule::Never, false)),
            ("00".to_owned(), code(Class::A, RetryRule::Never, false)),
        ]
        .into(),
        sign_in: true,
        ..(*s.accounts[0].rules).clone()
    }
    .into();
    s.flow.partial_approval = true;
    s.operators = OperatorsConfig { required: false, ..OperatorsConfig::default() };
    s
}
fn in_batch() -> HostAnswer {
    HostAnswer { batch: Batch::new(7), ..host_answer(r#""code":"00""#) }
}
fn host(till: &mut Till, tag: u64, event: HostEvent) -> Step {
    till.input(Input::Host { tag, event })
}
fn at(till: &mut Till, ms: i64) -> Step {
    let step = till.machine.handle_timeout(Time(NOW.0 + ms));
    till.keep(step)
}
fn unbuildable() -> HostEvent {
    HostEvent::Unbuildable { why: "no key".into() }
}
fn frames(till: &Till) -> Vec<(Stan, ObligationState)> {
    till.machine.obligations().of(1).map(|o| (o.plan.stan, o.state)).collect()
}
/// A sale by code up to its second frame, which was sent anew; the reversal of the first one waits.
fn two(s: &Settings) -> (Till, Step) {
    let mut till = Till::with(s.clone(), Vec::new());
    let step = till.boot(NOW);
    host(&mut till, tag_of(&step).unwrap(), reply(in_batch()));
    till.input(start("sale", "one"));
    let code = Instrument::Scanned(PaymentCode::parse("134567890123456789").unwrap());
    let step = till.input(Input::Instrument { instrument: code, card: None });
    let step = till.answered(&step, r#""code":"77","rrn":"000000000077","auth_code":"A00077""#);
    let step = host(&mut till, tag_of(&step).unwrap(), reply(in_batch()));
    assert_eq!(frames(&till).len(), 2);
    (till, step)
}
/// The first one's reversal cannot be made: it is Stuck.
fn first_stuck(till: &mut Till) {
    let step = at(till, 15_000 + i64::from(settings().accounts[0].config.connect_timeout_ms));
    let reversal = step.effects.iter().find_map(|e| {
        if let Effect::Send(m) = e {
            matches!(m.message_kind, MessageKind::Reversal(_)).then_some(m.tag)
        } else {
            None
        }
    });
    host(till, reversal.unwrap(), unbuildable());
    assert_eq!(frames(till)[0].1, ObligationState::Stuck);
}
fn say(till: &mut Till, executed: bool, stan: Option<Stan>) -> (Result<(), Fault>, Option<Outcome>) {
    let step = till.input(Input::Resolve {
        call: 2,
        txn: 1,
        executed,
        stan,
        reference: "case 1".into(),
        by: "m".into(),
    });
    let outcome = step.records.iter().find_map(|e| {
        if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
            Some((**outcome).clone())
        } else {
            None
        }
    });
    (answer(&step).unwrap(), outcome)
}
fn refused(till: &mut Till, executed: bool, stan: Option<Stan>, why: &str) {
    let before = frames(till);
    let (result, outcome) = say(till, executed, stan);
    assert!(
        matches!(&result, Err(Fault::WrongState { rule }) if rule.contains(why)),
        "{executed} {stan:?}: {result:?}, not {why}"
    );
    assert_eq!((outcome, frames(till)), (None, before), "nothing is half done");
}

/// Torn behind the second frame: a person says which of both stands, and it is that one's numbers that count.
#[test]
fn of_several_frames_that_are_stuck_one_stands() {
    let torn = || {
        let (till, _) = two(&rules());
        let (till, _) = till.restore(rules(), Some(200));
        let all = frames(&till);
        assert!(all.len() == 2 && all.iter().all(|f| f.1 == ObligationState::Stuck), "{all:?}");
        (till, all[0].0, all[1].0)
    };
    let (mut till, first, second) = torn();
    refused(&mut till, true, None, "name the STAN");
    for (executed, stan) in [(true, Stan::new(199).unwrap()), (false, first)] {
        assert!(matches!(
            say(&mut till, executed, Some(stan)).0,
            Err(Fault::Invalid { field, .. }) if field == "stan"
        ));
    }
    let step = till.input(Input::Resolve {
        call: 2,
        txn: 9,
        executed: true,
        stan: Some(first),
        reference: "case 1".into(),
        by: "m".into(),
    });
    assert!(matches!(answer(&step), Some(Err(Fault::NotFound { .. }))));
    assert_eq!(frames(&till).len(), 2, "nothing is half done");
    for stan in [first, second] {
        let (mut till, ..) = torn();
        let (result, outcome) = say(&mut till, true, Some(stan));
        let o = outcome.unwrap();
        assert_eq!((result, o.status, o.stan), (Ok(()), Status::Approved, Some(stan)));
        assert_eq!((frames(&till).len(), till.counted()), (0, (1, 100)));
    }
    let (mut till, ..) = torn();
    let (result, outcome) = say(&mut till, false, None);
    assert_eq!((result, outcome.unwrap().status, till.counted()), (Ok(()), Status::Declined, (0, 0)));
}

/// What was heard of the second frame, a part of the amount, is not said of the first.
#[test]
fn what_another_frame_was_answered_is_not_said_of_the_one_that_stands() {
    let torn = || {
        let (mut till, step) = two(&rules());
        till.answered(&step, r#""code":"00","amount":40,"rrn":"000000000040","auth_code":"A00040""#);
        assert!(till.machine.state().running.as_ref().is_some_and(|r| r.provisional.is_some()));
        till.restore(rules(), Some(200)).0
    };
    let mut till = torn();
    let (first, second) = (frames(&till)[0].0, frames(&till)[1].0);
    let o = say(&mut till, true, Some(first)).1.unwrap();
    assert_eq!(
        (o.stan, o.sums.amount, o.sums.asked, o.rrn, o.auth_code),
        (Some(first), Some(100), None, None, None)
    );
    assert_eq!(till.counted(), (1, 100));
    let mut till = torn();
    let o = say(&mut till, true, Some(second)).1.unwrap();
    assert_eq!(
        (o.stan, o.sums.amount, o.sums.asked, o.rrn.as_deref()),
        (Some(second), Some(40), Some(100), Some("000000000040"))
    );
    assert_eq!(till.counted(), (1, 40));
}

/// The request would be final, and another frame of it could still turn out otherwise.
#[test]
fn nothing_is_said_before_the_last_frame_is_a_persons() {
    // Its reversal waits.
    let (mut till, step) = two(&rules());
    host(
        &mut till,
        tag_of(&step).unwrap(),
        HostEvent::NoReply { why: "time-out".into(), trace: Default::default() },
    );
    first_stuck(&mut till);
    let (first, second) = (frames(&till)[0].0, frames(&till)[1].0);
    for (executed, stan) in [(false, None), (true, None), (true, Some(first)), (true, Some(second))] {
        refused(&mut till, executed, stan, "another frame of it");
    }
    // The request is being asked about, and still runs; so it cannot be written off either.
    let (mut till, step) = two(&rules());
    host(&mut till, tag_of(&step).unwrap(), reply(host_answer(r#""code":"09""#)));
    first_stuck(&mut till);
    refused(&mut till, true, Some(first), "still under way");
    refused(&mut till, false, None, "still under way");
    let step = till.input(Input::Queue {
        call: 2,
        act: QueueAct::WriteOff { txn: 1, why: "old".into() },
        by: "m".into(),
    });
    assert!(matches!(
        answer(&step),
        Some(Err(Fault::WrongState { rule })) if rule == "its request is still under way"
    ));
    // The power goes: it is asked on, behind an outcome that is unknown.
    let mut till = Till::with(rules(), till.disk);
    let step = till.machine.boot(Time(NOW.0 + 16_000), "test", &[]);
    let step = till.keep(step);
    assert_eq!(told(&step).first().map(|t| t.0), Some(Status::Unknown));
    refused(&mut till, true, Some(first), "another frame of it");
    refused(&mut till, false, None, "another frame of it");
}

/// A card's sale that is approved with its second frame while the first one is Stuck.
#[test]
fn what_was_told_does_not_become_another_frames() {
    let mut till = Till::with(rules(), Vec::new());
    let step = till.boot(NOW);
    host(&mut till, tag_of(&step).unwrap(), reply(in_batch()));
    let step = till.frame(start("sale", "one"));
    let step = till.answered(&step, r#""code":"77""#);
    let step = host(&mut till, tag_of(&step).unwrap(), reply(in_batch()));
    let step = host(&mut till, tag_of(&step).unwrap(), unbuildable());
    let pin = step.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None });
    let step = pin.map_or(step, |tag| till.input(Input::Pin { tag, entry: PinEntry::Bypassed }));
    let step = till.answered(&step, r#""code":"00","amount":100"#);
    assert_eq!(told(&step), [(Status::Approved, String::new())]);
    let first = frames(&till)[0];
    assert_eq!((first.1, frames(&till).len()), (ObligationState::Stuck, 1));
    refused(&mut till, true, None, "told otherwise");
    refused(&mut till, true, Some(first.0), "told otherwise");
    let step = till.input(Input::Resolve {
        call: 2,
        txn: 1,
        executed: false,
        stan: None,
        reference: "case 1".into(),
        by: "m".into(),
    });
    assert_eq!(
        (answer(&step), step.erase.as_slice(), told(&step).len()),
        (Some(Ok(())), &[][..], 0),
        "the PAN is needed by the upload and a void"
    );
    assert_eq!(till.counted(), (1, 100));
    // And nothing of it stays behind the settlement.
    let step = till.input(start("settlement", "z"));
    let sent = step
        .effects
        .iter()
        .find_map(|e| if let Effect::Send(m) = e { m.plan.settlement.as_deref() } else { None });
    let Some(BatchPart::Totals(halves)) = sent else { panic!("{sent:?}") };
    let mut balanced = host_answer(r#""code":"00""#);
    balanced.settlement =
        Some(SettlementReply { domestic: (halves.domestic, 1), foreign: (halves.foreign, 1) });
    let mut step = host(&mut till, tag_of(&step).unwrap(), reply(balanced));
    for n in 1..4 {
        step = match tag_of(&step) {
            Some(tag) => host(&mut till, tag, reply(host_answer(r#""code":"00""#))),
            None => at(&mut till, n),
        };
    }
    assert_eq!((till.bank().batch.get(), till.machine.state().voidable.len()), (8, 0));
}

/// A late answer to the try before has made it Stuck while its last try is under way, and that one may do
/// what it asks for.
#[test]
fn nothing_is_said_while_a_message_of_it_is_under_way() {
    let mut s = settings();
    s.accounts[0].config.obligation_tries = 2;
    let mut till = Till::with(s, Vec::new());
    till.boot(NOW);
    let step = till.frame(start("sale", "one"));
    let unanswered = || HostEvent::NoReply { why: "time-out".into(), trace: Default::default() };
    let step = host(&mut till, tag_of(&step).unwrap(), unanswered());
    let first = tag_of(&step).unwrap();
    host(&mut till, first, unanswered());
    let last = (1..60).find_map(|s| tag_of(&at(&mut till, s * 1_000))).unwrap();
    let late = HostEvent::Late { answer: Box::new(host_answer(r#""code":"96""#)), trace: Default::default() };
    host(&mut till, first, late);
    assert_eq!(frames(&till)[0].1, ObligationState::Stuck);
    refused(&mut till, true, None, "under way");
    refused(&mut till, false, None, "under way");
    let step = till.input(Input::Queue {
        call: 2,
        act: QueueAct::WriteOff { txn: 1, why: "old".into() },
        by: "m".into(),
    });
    assert!(matches!(answer(&step), Some(Err(Fault::WrongState { rule })) if rule.contains("under way")));
    host(&mut till, last, unanswered());
    assert_eq!(say(&mut till, true, None).1.map(|o| o.status), Some(Status::Approved));
}

/// A payment in doubt under the terminal number before: it opens no batch for those that are made under the
/// new one.
#[test]
fn what_is_resolved_under_other_numbers_opens_no_batch() {
    let mut till = Till::with(settings(), Vec::new());
    till.boot(NOW);
    let unanswered = || HostEvent::NoReply { why: "time-out".into(), trace: Default::default() };
    let step = till.frame(start("sale", "one"));
    let step = host(&mut till, tag_of(&step).unwrap(), unanswered());
    host(&mut till, tag_of(&step).unwrap(), unanswered());
    let mut s = settings();
    s.accounts[0].config.tid = "20000002".parse().unwrap();
    let mut till = Till::with(s, till.disk);
    till.boot(NOW);
    assert_eq!(frames(&till)[0].1, ObligationState::Stuck);
    let step = till.frame(start("sale", "two"));
    let step = host(&mut till, tag_of(&step).unwrap(), unanswered());
    let undo = tag_of(&step).unwrap();
    let step = till.input(Input::Resolve {
        call: 2,
        txn: 1,
        executed: true,
        stan: None,
        reference: "case 1".into(),
        by: "m".into(),
    });
    assert_eq!(
        (told(&step).first().map(|t| t.0), step.erase.as_slice()),
        (Some(Status::Approved), &[1][..]),
        "no upload and no void of this batch needs it"
    );
    assert_eq!((till.counted(), till.bank().opened_as.clone()), ((0, 0), None));
    // The account goes on: what is open under the new number is driven, and payments are taken.
    let step = host(&mut till, undo, reply(host_answer(r#""code":"00""#)));
    assert_eq!(told(&step).first().map(|t| t.0), Some(Status::Declined));
    till.paid("three");
    assert_eq!(till.counted(), (1, 100));
}
