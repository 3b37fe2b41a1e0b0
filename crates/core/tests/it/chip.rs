//! Whatever a card kernel says, in whatever order: the machine goes on, and approves nothing that the host
//! did not.
use crate::till::{NOW, Till, sent, settings, start, told};
use payterm_core::{Ask, Input};
use payterm_schema::{
    Instrument, Kind, Pan, Status,
    card::{CardDecision, CardFailure, CardRead, CardStep, PinCheck},
    host::EntryMode,
    secret::{PinBlock, PinEntry},
};
use std::sync::Arc;

fn till() -> Till {
    let mut settings = settings();
    settings.chip = true;
    Arc::make_mut(&mut settings.accounts[0].rules).icc = vec![Kind::Sale];
    let mut till = Till::with(settings, Vec::new());
    till.boot(NOW);
    let modes = vec![EntryMode::Swipe, EntryMode::Chip];
    till.input(Input::Devices { modes, pin_pad: true, printer: true });
    till
}

fn steps() -> Vec<Option<CardStep>> {
    let pan = Pan::parse("6212345678900000003").unwrap();
    let done = |decision| Some(CardStep::Done { decision, icc: Vec::new() });
    vec![
        Some(CardStep::Read(CardRead {
            pan,
            sequence: Some(1),
            expiry: "3012".into(),
            track2: None,
            language: None,
            aid: "A000000333010101".into(),
            label: "PBOC DEBIT".into(),
        })),
        Some(CardStep::Choose(vec!["a".into()])),
        Some(CardStep::Choose(Vec::new())),
        Some(CardStep::NeedPin(PinCheck::Issuer)),
        Some(CardStep::NeedPin(PinCheck::Card)),
        Some(CardStep::GoOnline { icc: vec![0x9F, 0x27, 1, 0x80], sign: false }),
        Some(CardStep::GoOnline { icc: vec![0x9F], sign: false }),
        done(CardDecision::Approved),
        done(CardDecision::Declined),
        done(CardDecision::Failed(CardFailure::Unreadable)),
        None,
    ]
}

#[test]
fn steps_in_any_order_end_nothing_but_the_request() {
    let all = steps();
    let mut online = 0;
    let orders = (0..all.len().pow(4)).map(|n| (0..4).map(|at| n / all.len().pow(at) % all.len()).collect());
    for order in orders {
        let order: Vec<usize> = order;
        let mut till = till();
        till.input(start("sale", "a"));
        let step = till.input(Input::Instrument { instrument: Instrument::Inserted, card: None });
        let tag =
            step.asks.iter().find_map(|a| if let Ask::RunCard { tag, .. } = a { Some(*tag) } else { None });
        let tag = tag.unwrap();
        for at in &order {
            let mut step = till.input(Input::Card { tag, step: all[*at].clone(), card: None });
            let pin =
                step.asks.iter().find_map(|a| if let Ask::Pin { tag, .. } = a { Some(*tag) } else { None });
            if let Some(tag) = pin {
                let entry = PinEntry::Block(PinBlock::iso0([7; 8]));
                step = till.input(Input::Pin { tag, entry });
            }
            online += usize::from(sent(&step).is_some());
            assert!(told(&step).iter().all(|(status, _)| *status != Status::Approved), "{order:?}");
        }
        // It ends whatever the card said: by its time, or by the host's answer.
        let ended = till.machine.running().is_none() || till.machine.poll_timeout().is_some();
        assert!(ended, "{order:?}");
    }
    assert!(online > 0, "one of them goes online");
}
