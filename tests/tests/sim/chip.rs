//! Chip cards: a card that asks step by step, and has the last word behind the host's yes.
use payterm_core::Settings;
use payterm_schema::{
    Kind, Record, RequestRecord, Status, card::Interface, host::EntryMode, icc::Tag, outcome::Cryptogram,
    record::ProvisionalOf,
};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{ChipCard, Customer, Order, Script, World},
};

fn chips() -> Settings {
    Settings { chip: vec![Interface::Contact, Interface::Contactless], ..settings() }
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
        ["started", "allowed", "provisional", "card_ended", "obligation_ended", "outcome"],
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
    for (card, code) in [
        (ChipCard::Declines, "card-refused-approval"),
        (ChipCard::Lies, "card-lied"),
        (ChipCard::Pretends, "card-lied"),
        (ChipCard::Silent, "card-gone-after-approval"),
        (ChipCard::Slow, "card-gone-after-approval"),
        (ChipCard::PulledAtYes, "card-gone-after-approval"),
        (ChipCard::PulledOnline, "card-gone-after-approval"),
    ] {
        let w = world([insert("a", card), plain("b", 0)], []);
        assert_eq!(said(&w, "a"), [(Status::Declined, code.into())], "{card:?}");
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

/// Behind its TC the payment stands: cut, pulled or too slow at a script, it is approved, and the acquirer
/// hears of the script once.
#[test]
fn a_script_behind_the_tc_takes_nothing_back() {
    for (card, result) in
        [(ChipCard::RunsScripts, 0x20), (ChipCard::SlowAtScripts, 0x20), (ChipCard::PulledAtScripts, 0)]
    {
        let w = world([insert("a", card), plain("b", 0)], []);
        assert_eq!(said(&w, "a"), [(Status::Approved, String::new())], "{card:?}");
        let told = w.bank.script_results.values().flatten().next().expect("a notice");
        assert_eq!(told.values(Tag::SCRIPT_RESULTS).next().unwrap()[0], result, "{card:?}");
        let points = World::new(chips(), with([insert("a", card)], []), None).run();
        for n in 1..=points {
            let mut w = World::new(chips(), with([insert("a", card)], []), Some(n));
            w.run();
            let tc = w.transcript("a").iter().any(|r| r == "card_hears");
            let (status, told) = (w.outcome("a").status, w.bank.script_results.len());
            assert!(
                !tc || (status, told) == (Status::Approved, 1),
                "{card:?}: cut at {n}: {status:?}, {told}"
            );
        }
    }
}

#[test]
fn a_card_that_is_pulled_out_before_it_goes_online_pays_nothing() {
    let w = world([insert("a", ChipCard::PulledAtOnce), plain("b", 0)], []);
    assert_eq!(said(&w, "a"), [(Status::Failed, "too-many-tries".into())]);
    assert_eq!(w.transcript("a"), ["started", "outcome"]);
    assert!(w.bank.books.len() == 1 && w.bank.reversals.is_empty());
}

/// What the host refuses, or does not say, the card cannot approve.
#[test]
fn without_the_hosts_yes_nothing_is_approved() {
    for (fault, status, code) in [
        (HostFault::Refuse("51"), Status::Declined, "host-51"),
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

/// A wrong PIN: the card in the reader is run once more, with a cryptogram and a STAN of its own.
#[test]
fn a_wrong_pin_runs_the_card_again() {
    let wrong = HostFault::Refuse("55");
    let w = world([insert("a", ChipCard::Approves)], [wrong.clone()]);
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    let runs = w.transcript("a").into_iter().filter(|r| r == "allowed").count();
    assert_eq!((runs, w.chips_run), (2, 2));
    let w = world([insert("a", ChipCard::Approves)], [wrong.clone(), wrong.clone(), wrong]);
    assert_eq!(said(&w, "a"), [(Status::Declined, "host-55".into())]);
    assert_eq!(w.chips_run, 3);
}

/// A busy host has seen no cryptogram: the same one goes again under a new STAN.
#[test]
fn a_busy_host_is_sent_the_same_cryptogram_again() {
    let w = world([insert("a", ChipCard::Approves)], [HostFault::Refuse("91")]);
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    assert_eq!((w.transcript("a").iter().filter(|r| *r == "allowed").count(), w.chips_run), (2, 1));
}

/// The host wants a sign-in first, which cannot be sent: the card that waits for its issuer ends with an AAC.
#[test]
fn a_card_whose_account_is_lost_while_it_waits_is_told() {
    let script = Script {
        sign_ins: vec![HostFault::Answer, HostFault::NotSent, HostFault::NotSent],
        ..with([persona("a", "both")], [HostFault::Refuse("77")])
    };
    let mut w = World::new(chips(), script, None);
    w.run();
    assert_eq!(said(&w, "a"), [(Status::Failed, "not-sent".into())]);
    assert_eq!(w.outcome("a").chip.unwrap().cryptogram_kind, Some(Cryptogram::Aac));
}

/// A card that is out already could not end what another yes begins: a busy host is not asked again.
#[test]
fn a_card_that_is_out_is_not_sent_again() {
    let w = world([insert("a", ChipCard::PulledOnline)], [HostFault::SlowRefuse(400, "91")]);
    assert_eq!(said(&w, "a"), [(Status::Declined, "host-91".into())]);
    assert_eq!(w.transcript("a").iter().filter(|r| *r == "allowed").count(), 1);
}

/// What a card makes of a refusal changes nothing; its outcome waits for the card, and no longer.
#[test]
fn a_refusal_is_heard_by_the_card_before_it_is_told() {
    let refuse = || [HostFault::Refuse("51")];
    let w = world([insert("a", ChipCard::RunsScripts)], refuse());
    let heard =
        ["started", "allowed", "answered", "card_hears", "card_ended", "obligation_opened", "outcome"];
    assert_eq!(w.transcript("a")[..heard.len()], heard);
    assert_eq!(w.bank.script_results.len(), 1, "its scripts were run all the same");
    let chip = w.outcome("a").chip.unwrap();
    assert_eq!((chip.atc, chip.tvr.as_deref()), (Some(1), Some("0000000000")), "its slip shows it");
    for card in [ChipCard::Silent, ChipCard::PulledOnline] {
        let w = world([insert("a", card)], refuse());
        assert_eq!(said(&w, "a"), [(Status::Declined, "host-51".into())], "{card:?}");
    }
    let script = with([insert("a", ChipCard::RunsScripts), plain("b", 0)], refuse());
    let points = World::new(chips(), script.clone(), None).run();
    for n in 1..=points {
        let mut w = World::new(chips(), script.clone(), Some(n));
        w.run();
        let codes: Vec<String> = said(&w, "a").into_iter().map(|(_, code)| code).collect();
        assert!(codes.iter().all(|c| c != "card-refused-approval"), "cut at {n}: {codes:?}");
    }
}

/// A reversal bears what the card said last: after a no its TVR and its script results.
#[test]
fn a_reversal_bears_the_cards_last_word() {
    let w = world([insert("a", ChipCard::DeclinesAfterScripts)], []);
    let [reversal] = w.bank.reversals.as_slice() else { panic!("{:?}", w.bank.reversals) };
    let icc = reversal.icc.as_ref().unwrap();
    assert!(icc.values(Tag::SCRIPT_RESULTS).next().is_some(), "{icc:?}");
}

/// A void, a refund, a completion: the card gives its number and decides nothing.
#[test]
fn other_kinds_read_the_card_only() {
    let hold = Order { kind: Kind::PreAuth, ..insert("p", ChipCard::Approves) };
    let done =
        Order { customer: Customer::Inserts(ChipCard::Approves), ..part(Kind::Completion, "c", "p", 1234) };
    let w = world([hold, done], []);
    assert_eq!(said(&w, "c"), [(Status::Approved, String::new())]);
    let outcome = w.outcome("c");
    assert_eq!(outcome.entry, Some(EntryMode::Chip));
    assert!(outcome.chip.is_some_and(|c| c.cryptogram.is_none() && c.sign));
    assert!(!w.transcript("c").iter().any(|r| r == "card_ended"), "no cryptogram was asked for");
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
        ChipCard::RunsScripts,
        ChipCard::Declines,
        ChipCard::DeclinesAfterScripts,
        ChipCard::Lies,
        ChipCard::Pretends,
        ChipCard::Silent,
        ChipCard::Slow,
        ChipCard::SlowAtScripts,
        ChipCard::PulledAtScripts,
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
                let agrees = matches!(
                    card,
                    ChipCard::Approves
                        | ChipCard::RunsScripts
                        | ChipCard::SlowAtScripts
                        | ChipCard::PulledAtScripts
                );
                assert!(approved.is_none() || agrees, "{card:?} at {first}, {after}");
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

/// Personas of the simulator that the kernel runs to an ARQC.
const ONLINE: [&str; 5] = ["debit", "credit", "both", "offline", "refuses-after-approval"];

fn persona(id: &'static str, name: &'static str) -> Order {
    insert(id, ChipCard::Persona(name, 0))
}

/// The kernel, a card with real keys and an issuer that checks its cryptogram and answers with its own.
#[test]
fn each_test_card_pays_or_does_not_as_its_persona_says() {
    for (name, status, code) in [
        ("debit", Status::Approved, ""),
        ("credit", Status::Approved, ""),
        ("both", Status::Approved, ""),
        ("offline", Status::Approved, ""),
        ("refuses-after-approval", Status::Declined, "card-refused-approval"),
        ("blocked-application", Status::Failed, "card-blocked"),
    ] {
        let w = world([persona("a", name)], []);
        assert_eq!(said(&w, "a"), [(status, code.to_owned())], "{name}");
        assert_eq!(w.bank.wrong_cryptograms, 0, "{name}");
        let outcome = w.outcome("a");
        if status == Status::Approved {
            let chip = outcome.chip.unwrap();
            assert_eq!(chip.cryptogram_kind, Some(Cryptogram::Tc), "{name}");
            assert!(chip.tvr.is_some() && chip.atc == Some(1) && !chip.label.is_empty(), "{name}");
        }
    }
}

/// The row of the table that is lost money in the field: the host approved, and the power goes, or the card,
/// before and after each step, disk write and command.
#[test]
fn test_cards_cut_at_every_step_and_pulled_at_every_command() {
    for name in ONLINE {
        for fault in [HostFault::Scripts, HostFault::Refuse("51"), HostFault::NotSent, HostFault::LoseReply] {
            let script = with([persona("a", name)], [fault.clone()]);
            let points = World::new(chips(), script.clone(), None).run();
            for n in 1..=points {
                let ran = std::panic::catch_unwind(|| World::new(chips(), script.clone(), Some(n)).run());
                assert!(ran.is_ok(), "{name}, {fault:?}: cut at {n} of {points}");
            }
            for at in 1..40 {
                let orders = [insert("a", ChipCard::Persona(name, at)), plain("b", 0)];
                let script = with(orders, [fault.clone()]);
                let ran = std::panic::catch_unwind(|| {
                    let mut w = World::new(chips(), script, None);
                    w.run();
                    told(&w, "b")
                });
                let Ok(b) = ran else { panic!("{name}, {fault:?}: pulled at command {at}") };
                assert!(!b.is_empty(), "{name}, {fault:?}: pulled at {at}: the next customer is served");
            }
        }
    }
}
