//! Chip cards: a card that asks step by step, and has the last word behind the host's yes.
use payterm_core::Settings;
use payterm_schema::{Record, RequestRecord, Status, host::EntryMode, record::ProvisionalOf};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{ChipCard, Customer, Order, Script, World},
};

fn chips() -> Settings {
    Settings { chip: true, ..settings() }
}
fn insert(id: &'static str, card: ChipCard) -> Order {
    Order { customer: Customer::Inserts(card), ..sale(id) }
}
fn with(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> Script {
    Script { digested: false, ..script(orders, faults) }
}
fn world(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> World {
    let mut w = World::new(chips(), with(orders, faults), None);
    w.run();
    w
}
fn said(w: &World, id: &str) -> Vec<(Status, String)> {
    told(w, id)
}

#[test]
fn the_card_has_the_last_word() {
    let w = world([insert("a", ChipCard::Approves), plain("b", 0)], []);
    let outcome = w.outcome("a");
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    assert_eq!((outcome.entry, outcome.pin), (Some(EntryMode::Chip), true));
    assert_eq!(
        w.transcript("a"),
        ["started", "allowed", "provisional", "obligation_ended", "outcome"],
        "the host's yes is not ours before the card has spoken"
    );
    let plan = w.journal.iter().find_map(|e| {
        if let Record::Request(RequestRecord::Allowed { plan, .. }) = &e.record {
            Some(plan.clone())
        } else {
            None
        }
    });
    let plan = plan.unwrap();
    assert!(plan.icc.is_some_and(|icc| icc.iter().count() == 5) && plan.card_sequence == Some(1));
    assert!(w.bank.reversals.is_empty());
}

/// The host approved, and the card does not: nothing is handed out, and the approval is taken back, with the
/// EMV data that the reversal needs.
#[test]
fn a_card_that_does_not_agree_has_the_approval_taken_back() {
    for card in [ChipCard::Declines, ChipCard::Silent, ChipCard::PulledAtYes, ChipCard::PulledOnline] {
        let w = world([insert("a", card), plain("b", 0)], []);
        assert_eq!(said(&w, "a"), [(Status::Declined, "card-refused-approval".into())], "{card:?}");
        let [reversal] = w.bank.reversals.as_slice() else { panic!("{card:?}: {:?}", w.bank.reversals) };
        assert!(reversal.icc.is_some(), "{card:?}: its reversal is built from disk");
        assert!(w.bank.books.values().filter(|p| p.reversed).count() == 1, "{card:?}");
        assert_eq!(said(&w, "b"), [(Status::Approved, String::new())]);
        let provisional = w.journal.iter().filter(|e| {
            matches!(e.record, Record::Request(RequestRecord::Provisional { of: ProvisionalOf::Card, .. }))
        });
        assert_eq!(provisional.count(), 1, "{card:?}");
    }
}

/// What a card made of its issuer's scripts is an obligation of its own: told until the acquirer has it,
/// once.
#[test]
fn the_results_of_a_script_are_told_until_they_are_heard() {
    let faults = [
        vec![],
        vec![HostFault::Answer, HostFault::LoseReply],
        vec![HostFault::Answer, HostFault::NotSent, HostFault::LoseRequest, HostFault::LoseReply],
        vec![HostFault::Answer, HostFault::Refuse("96"), HostFault::NoMac],
    ];
    for faults in faults {
        let script = with([insert("a", ChipCard::RunsScripts), plain("b", 0)], faults.clone());
        let mut w = World::new(chips(), script.clone(), None);
        let points = w.run();
        assert_eq!(said(&w, "a"), [(Status::Approved, String::new())], "{faults:?}");
        assert!(w.machine.obligations().is_empty() && w.bank.script_results.len() == 1, "{faults:?}");
        for n in 1..=points {
            let mut w = World::new(chips(), script.clone(), Some(n));
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run()));
            assert!(ran.is_ok(), "{faults:?}: cut at {n} of {points}");
            assert!(w.bank.script_results.len() <= 1, "{faults:?}: cut at {n}: told twice");
        }
    }
}

#[test]
fn a_card_that_is_pulled_out_before_it_goes_online_pays_nothing() {
    let w = world([insert("a", ChipCard::PulledAtOnce), plain("b", 0)], []);
    assert_eq!(said(&w, "a"), [(Status::Cancelled, "card-removed".into())]);
    assert_eq!(w.transcript("a"), ["started", "outcome"]);
    assert!(w.bank.books.len() == 1 && w.bank.reversals.is_empty());
}

/// What the host refuses, or does not say, the card cannot approve.
#[test]
fn without_the_hosts_yes_nothing_is_approved() {
    for (fault, status, code) in [
        (HostFault::Refuse("51"), Status::Declined, "host-51"),
        // Each try of a card is a run of its own: it is not tried again.
        (HostFault::Refuse("55"), Status::Declined, "host-55"),
        (HostFault::Refuse("91"), Status::Declined, "host-91"),
        (HostFault::NotSent, Status::Failed, "not-sent"),
        (HostFault::Partial, Status::Declined, "partial-not-taken"),
    ] {
        let w = world([insert("a", ChipCard::Approves)], [fault.clone()]);
        assert_eq!(said(&w, "a"), [(status, code.to_owned())], "{fault:?}");
    }
    for fault in [HostFault::LoseReply, HostFault::LoseRequest, HostFault::NoMac, HostFault::BadMac] {
        let w = world([insert("a", ChipCard::Approves)], [fault.clone()]);
        let statuses: Vec<Status> = said(&w, "a").into_iter().map(|(s, _)| s).collect();
        assert_eq!(statuses, [Status::Unknown, Status::Declined], "{fault:?}");
    }
}

/// An acquirer without a kernel in its terminal: the card is to be swiped.
#[test]
fn without_a_kernel_a_chip_is_refused_and_costs_no_try() {
    let mut w = World::new(settings(), with([insert("a", ChipCard::Approves)], []), None);
    w.run();
    assert_eq!(said(&w, "a"), [(Status::Cancelled, "present-timeout".into())]);
}

/// The power goes before and after each step, and a second time soon after the restart: nothing is charged
/// that was not told as approved.
#[test]
fn a_chip_sale_cut_at_every_step_twice() {
    for card in [
        ChipCard::Approves,
        ChipCard::Declines,
        ChipCard::Silent,
        ChipCard::PulledAtOnce,
        ChipCard::PulledOnline,
        ChipCard::PulledAtYes,
    ] {
        let script = with([insert("a", card), plain("b", 0)], []);
        let points = World::new(chips(), script.clone(), None).run();
        for first in 1..=points {
            for after in [0, 3, 11, 29] {
                let cuts = if after == 0 { vec![first] } else { vec![first, first + after] };
                let mut w = World::new(chips(), script.clone(), cuts);
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run()));
                assert!(ran.is_ok(), "{card:?}: cut at {first} of {points}, and {after} later");
                // A yes that the card did not complete before the power went is taken back.
                let approved = w.told.iter().rfind(|o| o.key.id == "a" && o.status == Status::Approved);
                assert!(approved.is_none() || card == ChipCard::Approves, "{card:?} at {first}, {after}");
            }
        }
        println!("{card:?}: {points} points");
    }
}

/// The same with an answer that is lost: the card is asked to decline, the reversal stands.
#[test]
fn a_chip_sale_without_an_answer_cut_at_every_step() {
    for fault in [HostFault::LoseReply, HostFault::LateReply, HostFault::BadMac] {
        let script = with([insert("a", ChipCard::Approves)], [fault.clone()]);
        let points = World::new(chips(), script.clone(), None).run();
        for n in 1..=points {
            let mut w = World::new(chips(), script.clone(), Some(n));
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.run()));
            assert!(ran.is_ok(), "{fault:?}: cut at {n} of {points}");
        }
    }
}
