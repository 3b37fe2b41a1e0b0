//! What the display shows of a payment, stage by stage.
use crate::till::*;
use payterm_core::{Ask, Effect, Input, Step};
use payterm_schema::{
    Instrument, Money, Outcome, Pan, Record, RequestKey, RequestRecord, Screen, Status, request::RequestWire,
    secret::PinEntry,
};

/// Pages of the stages of a payment, and that of its result, each with the amount on it.
fn amounts(step: &Step) -> Vec<(&'static str, Option<u64>)> {
    let asked = step.asks.iter().filter_map(|a| if let Ask::Show(s, _) = a { Some(s) } else { None });
    let shown = step.effects.iter().filter_map(|e| if let Effect::Show(s, _) = e { Some(s) } else { None });
    let of = |screen: &Screen| {
        let (page, amount) = if let Screen::Present { amount, .. } = screen {
            ("present", *amount)
        } else if let Screen::Pin { amount, .. } = screen {
            ("pin", *amount)
        } else if let Screen::Wait { amount, .. } = screen {
            ("wait", *amount)
        } else if let Screen::Result { outcome } = screen {
            ("result", outcome.sums.amount_money())
        } else {
            return None;
        };
        Some((page, amount.map(Money::minor)))
    };
    asked.chain(shown).filter_map(of).collect()
}

/// From the card to the bank's yes.
fn pays(till: &mut Till) -> Vec<(&'static str, Option<u64>)> {
    let pan = Pan::parse("6212345678900000003").unwrap();
    let instrument = Instrument::Typed { pan, expiry: "3012".into() };
    let asked = till.input(Input::Instrument { instrument, card: None });
    let tag = asked.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None });
    let sent = till.input(Input::Pin { tag: tag.unwrap(), entry: PinEntry::Bypassed });
    let step = till.answered(&sent, r#""code":"00","amount":100"#);
    assert_eq!(told(&step), [(Status::Approved, String::new())]);
    [asked, sent, step].iter().flat_map(amounts).collect()
}

/// Waits too: whoever looks up while the bank is asked sees for how much.
#[test]
fn each_stage_of_a_payment_shows_its_amount() {
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    let mut pages = amounts(&till.input(start("sale", "s")));
    pages.extend(pays(&mut till));
    let shown = |amount| [("present", amount), ("pin", amount), ("wait", amount), ("result", amount)];
    assert_eq!(pages, shown(Some(100)));

    // A void names no amount: it is its original's, from the moment that it is known.
    let paid: Outcome = till
        .disk
        .iter()
        .find_map(|e| {
            let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record else { return None };
            Some((**outcome).clone())
        })
        .unwrap();
    let wire = RequestWire {
        id: "v".into(),
        kind: "void".into(),
        original_id: Some("s".into()),
        ..RequestWire::default()
    };
    let request = Box::new(wire.try_into().unwrap());
    let step = till.input(Input::Start { call: 1, key: RequestKey::new("app", "v").unwrap(), request });
    assert_eq!(amounts(&step), [("wait", None)]);
    let tag =
        step.effects.iter().find_map(|e| if let Effect::Load { tag, .. } = e { Some(*tag) } else { None });
    let sent = till.input(Input::Loaded { tag: tag.unwrap(), found: Ok(vec![paid]) });
    let step = till.answered(&sent, r#""code":"00","amount":100"#);
    assert_eq!(told(&step), [(Status::Approved, String::new())]);
    let pages: Vec<_> = [sent, step].iter().flat_map(amounts).collect();
    assert_eq!(pages, [("wait", Some(100)), ("result", Some(100))]);
}
