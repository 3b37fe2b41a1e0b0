//! Cards and phones that are tapped: the card says all before the host is asked, and the host's word is
//! final.
use payterm_core::Settings;
use payterm_schema::{
    Status,
    card::Interface,
    config::{FlowConfig, NoCvmConfig},
    host::EntryMode,
    outcome::Cryptogram,
};
use payterm_tests::sim::{
    bank::HostFault,
    fixtures::*,
    world::{Customer, Order, Script, World},
};

fn taps() -> Settings {
    Settings { chip: vec![Interface::Contact, Interface::Contactless], ..settings() }
}
/// Up to this much, in minor units, neither PIN nor signature.
fn small(limit: &str) -> Settings {
    let rule = serde_json::from_str::<NoCvmConfig>(&format!(r#"{{"limit":"{limit} CNY"}}"#));
    let flow = FlowConfig { no_cvm: Some(rule.unwrap()), ..taps().flow };
    Settings { flow, ..taps() }
}
fn tap(id: &'static str, persona: &'static str, torn_at: u32) -> Order {
    Order { customer: Customer::Taps(persona, torn_at), ..sale(id) }
}
fn with(orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> Script {
    Script { digested: false, ..script(orders, faults) }
}
fn world(settings: Settings, orders: impl Into<Vec<Order>>, faults: impl Into<Vec<HostFault>>) -> World {
    let mut w = World::new(settings, with(orders, faults), None);
    w.run();
    w
}
fn said(w: &World, id: &str) -> Vec<(Status, String)> {
    told(w, id)
}

#[test]
fn a_tap_is_sent_with_its_arqc_and_the_hosts_word_is_final() {
    for (persona, pin) in [("qpboc-online", true), ("phone", false)] {
        let w = world(taps(), [tap("a", persona, 0)], []);
        assert_eq!(said(&w, "a"), [(Status::Approved, String::new())], "{persona}");
        let outcome = w.outcome("a");
        assert_eq!((outcome.entry, outcome.pin), (Some(EntryMode::Contactless), pin), "{persona}");
        let chip = outcome.chip.unwrap();
        assert_eq!((chip.cryptogram_kind, chip.sign), (Some(Cryptogram::Arqc), false));
        assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "outcome"], "{persona}");
        assert!(w.bank.wrong_cryptograms == 0 && w.bank.reversals.is_empty());
    }
}

/// A limit of the shop's: what is above it is typed, whatever the card wants.
#[test]
fn a_small_tap_needs_no_pin_and_a_larger_one_does() {
    for (limit, pin) in [("12.33", true), ("12.34", false)] {
        let w = world(small(limit), [tap("a", "qpboc-online", 0)], []);
        let outcome = w.outcome("a");
        assert_eq!((outcome.status, outcome.pin), (Status::Approved, pin), "{limit}");
        assert_eq!(outcome.no_cvm.is_some(), !pin, "{limit}");
    }
}

#[test]
fn what_the_host_does_not_approve_is_not_and_what_it_does_not_say_is_taken_back() {
    for (fault, status, code) in [
        (HostFault::Refuse("51"), Status::Declined, "host-51"),
        (HostFault::NotSent, Status::Failed, "not-sent"),
        (HostFault::Partial, Status::Declined, "partial-not-taken"),
    ] {
        let w = world(taps(), [tap("a", "qpboc-online", 0)], [fault.clone()]);
        assert_eq!(said(&w, "a"), [(status, code.to_owned())], "{fault:?}");
    }
    for fault in [HostFault::LoseReply, HostFault::LoseRequest, HostFault::NoMac, HostFault::BadMac] {
        let w = world(taps(), [tap("a", "qpboc-online", 0)], [fault.clone()]);
        let statuses: Vec<Status> = said(&w, "a").into_iter().map(|(s, _)| s).collect();
        assert_eq!(statuses, [Status::Unknown, Status::Declined], "{fault:?}");
        let reversals = w.bank.reversals.iter();
        assert!(reversals.clone().count() > 0 && reversals.clone().all(|r| r.icc.is_some()), "{fault:?}");
    }
}

/// By config: the card is inserted in the same payment, with a cryptogram and a STAN of its own.
#[test]
fn a_tap_that_could_not_be_sent_goes_on_as_an_insertion() {
    let flow = FlowConfig { insert_after_tap: true, ..taps().flow };
    let inserts = |chip: &[Interface]| Settings { flow: flow.clone(), chip: chip.to_vec(), ..settings() };
    let order = || Order { customer: Customer::TapsThenInserts("qpboc-online", "qpboc-online"), ..sale("a") };
    let both = [Interface::Contact, Interface::Contactless];
    let w = world(inserts(&both), [order(), plain("b", 0)], [HostFault::NotSent]);
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    let outcome = w.outcome("a");
    assert_eq!((outcome.entry, w.chips_run), (Some(EntryMode::Chip), 2));
    assert_eq!(outcome.chip.unwrap().cryptogram_kind, Some(Cryptogram::Tc));
    assert_eq!(w.transcript("a")[..4], ["started", "allowed", "not_sent", "allowed"]);
    assert_eq!((w.bank.books.len(), w.bank.reversals.len(), w.bank.wrong_cryptograms), (2, 0, 0));
    for (settings, order) in [(inserts(&both[1..]), order()), (taps(), order())] {
        let w = world(settings, [order], [HostFault::NotSent]);
        assert_eq!(
            said(&w, "a"),
            [(Status::Failed, "not-sent".into())],
            "no reader for chips, or no such rule"
        );
    }
    for faults in [vec![HostFault::NotSent], vec![HostFault::NotSent, HostFault::LoseReply]] {
        let script = with([order(), plain("b", 0)], faults.clone());
        let points = World::new(inserts(&both), script.clone(), None).run();
        for n in 1..=points {
            let ran = std::panic::catch_unwind(|| World::new(inserts(&both), script.clone(), Some(n)).run());
            assert!(ran.is_ok(), "{faults:?}: cut at {n} of {points}");
        }
    }
}

/// A wrong PIN: the card is tapped again, with a cryptogram and a STAN of its own. A busy host gets the same
/// cryptogram again.
#[test]
fn a_wrong_pin_is_tapped_again_and_a_busy_host_is_not() {
    let w = world(taps(), [tap("a", "qpboc-online", 0)], [HostFault::Refuse("55")]);
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    assert_eq!((w.chips_run, w.bank.wrong_cryptograms), (2, 0));
    let wrong = || HostFault::Refuse("55");
    let w = world(taps(), [tap("a", "qpboc-online", 0)], [wrong(), wrong(), wrong()]);
    assert_eq!(said(&w, "a"), [(Status::Declined, "host-55".into())]);
    let w = world(taps(), [tap("a", "qpboc-online", 0)], [HostFault::Refuse("91")]);
    assert_eq!(said(&w, "a"), [(Status::Approved, String::new())]);
    assert_eq!(w.chips_run, 1);
}

/// A card that leaves the field before it has said all is tapped again in the same request, and nothing is
/// owed; the power goes before and after each step and disk write.
#[test]
fn taps_torn_at_every_command_and_cut_at_every_step() {
    for persona in ["qpboc-online", "phone"] {
        for at in 1..8 {
            let w = world(taps(), [tap("a", persona, at), plain("b", 0)], []);
            assert_eq!(said(&w, "a"), [(Status::Approved, String::new())], "{persona} torn at {at}");
            assert!(w.bank.reversals.is_empty(), "{persona} torn at {at}");
        }
        for fault in [HostFault::Answer, HostFault::Refuse("51"), HostFault::NotSent, HostFault::LoseReply] {
            let script = with([tap("a", persona, 0), plain("b", 0)], [fault.clone()]);
            let points = World::new(taps(), script.clone(), None).run();
            for first in 1..=points {
                for after in [0, 5, 17] {
                    let cuts = if after == 0 { vec![first] } else { vec![first, first + after] };
                    let script = script.clone();
                    let ran = std::panic::catch_unwind(|| World::new(taps(), script, cuts).run());
                    assert!(ran.is_ok(), "{persona}, {fault:?}: cut at {first} of {points}, {after} later");
                }
            }
        }
    }
}
