//! Keys of the keypad: what Clear takes back, what is kept while a password is checked, and that nothing that
//! was typed before a question agrees to it. What a supervisor sees before allowing something.
use crate::till::*;
use payterm_core::{Effect, Input, Settings, VaultAsk};
use payterm_schema::{
    Kind, Outcome, Phase, Record, RequestKey, RequestRecord, Screen, Status,
    config::OperatorsConfig,
    device::Key,
    host::{HostRules, Wallet},
    operator::{OperatorEvent, Purpose},
    request::RequestWire,
};
use std::sync::Arc;

fn staffed() -> Till {
    let operators = OperatorsConfig { required: true, ..Default::default() };
    let mut settings = Settings { operators, ..settings() };
    let rules = HostRules { wallets: vec![Wallet::Wechat], ..(*settings.accounts[0].rules).clone() };
    settings.accounts[0].rules = rules.into();
    let mut till = Till::with(settings, Vec::new());
    till.boot(NOW);
    till
}
fn on_duty() -> Till {
    let mut till = staffed();
    till.types("01c111111c482915c482915c");
    assert!(matches!(till.machine.screen(), Screen::Idle(rest) if rest.operator.is_some()));
    till
}
/// Keys go in, and the vault takes its time.
fn while_checked(till: &mut Till, keys: &str) -> Vec<(u64, VaultAsk)> {
    let mut asked = Vec::new();
    for k in keys.bytes() {
        let key = match k {
            b'c' => Key::Confirm,
            b'l' => Key::Clear,
            digit => Key::Digit(digit),
        };
        let step = till.machine.handle(Input::Key(key), NOW);
        till.disk.extend(step.records);
        asked.extend(
            step.effects
                .into_iter()
                .filter_map(|e| if let Effect::AskVault { tag, ask } = e { Some((tag, ask)) } else { None }),
        );
    }
    asked
}
fn answers(till: &mut Till, asked: Vec<(u64, VaultAsk)>) {
    for (tag, ask) in asked {
        let answer = vault(tag, ask);
        till.input(Input::Vault { tag, answer });
    }
}
fn wrong(till: &Till) -> usize {
    let wrong = |e: &&payterm_schema::record::Entry| {
        matches!(&e.record, Record::Operator(OperatorEvent::Wrong { .. }))
    };
    till.disk.iter().filter(wrong).count()
}
fn request(kind: &str, id: &str, original: Option<&str>, confirm: bool) -> Input {
    let amount = (kind == "sale").then(|| "1.00".to_owned());
    let wire = RequestWire {
        id: id.into(),
        kind: kind.into(),
        currency: amount.as_ref().map(|_| "CNY".to_owned()),
        amount,
        original_id: original.map(Into::into),
        confirm: Some(confirm),
        ..RequestWire::default()
    };
    Input::Start {
        call: 1,
        key: RequestKey::new("app", id).unwrap(),
        request: Box::new(wire.try_into().unwrap()),
    }
}
/// The last outcome on record.
fn last_outcome(till: &Till) -> Arc<Outcome> {
    let outcome = |e: &payterm_schema::record::Entry| {
        if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
            Some(outcome.clone())
        } else {
            None
        }
    };
    till.disk.iter().rev().find_map(outcome).unwrap()
}

#[test]
fn clear_takes_back_what_is_in_the_field_and_counts_no_try() {
    let mut till = staffed();
    till.types("07l");
    assert_eq!(till.machine.screen(), Screen::OperatorNumber { typed: String::new(), problem: None });
    till.types("01c9999l");
    assert!(matches!(till.machine.screen(), Screen::Password { digits: 0, problem: None, .. }));
    // Of an empty field too: nothing ends.
    till.types("ll111111c482915lc");
    assert!(
        matches!(till.machine.screen(), Screen::Password { purpose: Purpose::New, problem: Some(_), .. }),
        "{:?}",
        till.machine.screen()
    );
    till.types("482915c482915c");
    assert_eq!((wrong(&till), till.machine.state().staff.on_duty.is_some()), (0, true));
}

#[test]
fn clear_never_refuses_agrees_or_ends() {
    let mut till = on_duty();
    till.input(request("sale", "a", None, true));
    till.types("l");
    assert!(till.machine.screen().agrees() && till.machine.phase() == Phase::Confirming);
    till.types("c1");
    let chosen = till.machine.screen();
    till.types("l");
    assert_eq!(till.machine.phase(), Phase::Presenting, "the choice is taken back, and nothing else");
    assert_ne!(chosen, till.machine.screen());
}

#[test]
fn keys_of_a_password_under_check_stay_in_its_dialogue() {
    let mut till = staffed();
    let asked = while_checked(&mut till, "01c111111c");
    assert_eq!(asked.len(), 1);
    // The new password twice, and more than any buffer keeps.
    assert!(while_checked(&mut till, "482915c482915c99999c").is_empty());
    answers(&mut till, asked);
    assert_eq!(till.machine.state().staff.on_duty.as_ref().map(|o| o.as_str()), Some("01"));
    assert!(matches!(till.machine.screen(), Screen::Idle(_)), "the rest goes with the dialogue");
    // Behind a wrong try nothing was meant for the next one.
    till.types("01c");
    let asked = while_checked(&mut till, "000001c");
    while_checked(&mut till, "000002c000003c");
    answers(&mut till, asked);
    assert_eq!(wrong(&till), 1);
    assert!(matches!(till.machine.screen(), Screen::Password { digits: 0, problem: Some(_), .. }));
}

#[test]
fn confirm_typed_ahead_agrees_to_nothing() {
    let mut till = on_duty();
    // Ahead of the confirmation: while nobody is served.
    till.types("c");
    till.input(request("sale", "a", None, true));
    assert_eq!(till.machine.phase(), Phase::Confirming);
    till.types("c");
    // Ahead of the PIN: while the card is asked for.
    assert_eq!(till.machine.phase(), Phase::Presenting);
    till.types("c");
    let card = payterm_schema::Instrument::Typed {
        pan: payterm_schema::Pan::parse("6212345678900000003").unwrap(),
        expiry: "3012".into(),
    };
    till.input(Input::Instrument { instrument: card, card: None });
    till.types("c");
    assert_eq!(till.machine.phase(), Phase::PinEntry, "{:?}", till.machine.screen());
    assert!(matches!(till.machine.screen(), Screen::Pin { digits: 0, .. }));
}

#[test]
fn confirm_typed_ahead_takes_no_part() {
    let mut partial = settings();
    partial.flow.partial_approval = true;
    let mut till = Till::with(partial, Vec::new());
    till.boot(NOW);
    let sent = till.frame(start("sale", "a"));
    till.types("c");
    till.answered(&sent, r#""code":"00","amount":40"#);
    assert!(matches!(till.machine.screen(), Screen::ConfirmPartial { .. }), "{:?}", till.machine.screen());
    till.types("l");
    assert!(matches!(till.machine.screen(), Screen::ConfirmPartial { .. }));
}

#[test]
fn a_supervisor_sees_what_is_allowed_and_is_asked_after_the_original_was_judged() {
    let mut till = on_duty();
    till.paid("a");
    let sale = last_outcome(&till);
    let load = |till: &mut Till, found: Vec<Outcome>| {
        let id = format!("v{}", till.disk.len());
        let step = till.input(request("void", &id, Some("a"), false));
        let tag = step
            .effects
            .iter()
            .find_map(|e| if let Effect::Load { tag, .. } = e { Some(*tag) } else { None });
        // Typed ahead of the supervisor's question.
        till.types("c");
        assert_eq!(till.machine.phase(), Phase::Started, "nobody is asked yet");
        till.input(Input::Loaded { tag: tag.unwrap(), found: Ok(found) });
    };
    load(&mut till, Vec::new());
    let refused = last_outcome(&till);
    assert_eq!(
        (refused.status, refused.reason.as_ref().map(|r| r.code.as_str()), wrong(&till)),
        (Status::Failed, Some("original-not-found"), 0),
        "what cannot be done is nobody's to allow"
    );
    load(&mut till, vec![(*sale).clone()]);
    let Screen::Password { purpose, kind, amount, voucher, asked_by, digits, problem, .. } =
        till.machine.screen()
    else {
        panic!("{:?}", till.machine.screen())
    };
    assert_eq!((purpose, kind, amount), (Purpose::Approve, Some(Kind::Void), sale.sums.amount_money()));
    assert_eq!((voucher, asked_by.as_deref(), digits, problem), (sale.stan, Some("01"), 0, None));
    assert!(sale.stan.is_some() && amount.is_some());
}
