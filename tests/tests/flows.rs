//! (request, scripted customer, scripted bank) -> transcript and outcome, for every kind of the sheet.
mod common;
use common::*;
use payterm_schema::{Kind, Status, paper::PrintResult};
use payterm_tests::{
    bank::Fate,
    world::{Customer, Order, Script, World},
};

fn run(script: Script) -> World {
    let mut world = World::new(settings(), script, None);
    world.run();
    world
}

fn told(world: &World, id: &str) -> Vec<(Status, String)> {
    world.told.iter().filter(|o| o.key.id == id).map(|o| (o.status, o.reason.as_ref().map(|r| r.code.clone()).unwrap_or_default())).collect()
}

#[test]
fn a_sale_is_three_records_and_its_papers() {
    let w = run(script([sale("a")], []));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "outcome"]);
    let o = w.outcome("a");
    assert_eq!((o.status, o.masked_pan.as_deref(), o.pin), (Status::Approved, Some("622576******5678"), true));
    assert_eq!((o.rrn.is_some(), o.auth_code.is_some(), o.stan.is_some()), (true, true, true));
    assert_eq!(w.printed.len(), 2, "merchant and customer copy");
}

#[test]
fn a_refusal_ends_with_its_reason_and_no_slip() {
    let w = run(script([sale("a")], [Fate::Refuse("51")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-51".into())]);
    assert!(w.printed.is_empty() && w.sealed.is_empty());
}

#[test]
fn unknown_codes_are_failures() {
    let w = run(script([sale("a")], [Fate::Refuse("Z7")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-Z7".into())]);
}

#[test]
fn a_wrong_pin_is_typed_again_in_the_same_request() {
    let w = run(script([sale("a")], [Fate::Refuse("55"), Fate::Answer]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "allowed", "answered", "outcome"]);
    assert_eq!(w.outcome("a").status, Status::Approved);
    let w = run(script([sale("a")], [Fate::Refuse("55"), Fate::Refuse("55"), Fate::Refuse("55")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-55".into())], "three tries");
    let w = run(script([sale("a")], [Fate::Refuse("55"), Fate::Refuse("75")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-75".into())]);
}

#[test]
fn a_lost_reply_is_unknown_then_reversed_before_the_next_sale() {
    for fate in [Fate::LoseReply, Fate::LoseRequest, Fate::LateReply, Fate::LateRequest] {
        let w = run(script([sale("a"), sale("b")], [fate.clone()]));
        assert_eq!(told(&w, "a"), [(Status::Unknown, "no-reply".into()), (Status::Declined, "reversed".into())], "{fate:?}");
        assert_eq!(told(&w, "b"), [(Status::Approved, String::new())], "{fate:?}");
    }
}

#[test]
fn a_reversal_is_repeated_and_at_last_stuck() {
    let lost = vec![Fate::LoseReply, Fate::LoseReply, Fate::NotSent, Fate::Refuse("96"), Fate::LoseRequest];
    let w = run(script([sale("a"), sale("b")], lost.clone()));
    assert_eq!(told(&w, "a").last(), Some(&(Status::Declined, "reversed".into())), "the fourth try that left");
    let mut stuck = lost;
    stuck.extend([Fate::LoseReply]);
    let w = run(script([sale("a"), sale("b"), sale("c"), sale("d"), sale("e")], stuck));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "no-reply".into())]);
    assert_eq!(told(&w, "b"), [(Status::Failed, "account-blocked".into())], "nothing leaves while a reversal is due");
    assert_eq!(w.machine.obligations().len(), 1, "Stuck: kept for a person");
    assert_eq!(w.outcome("e").status, Status::Approved, "Stuck holds nobody up");
}

#[test]
fn not_sent_costs_nothing() {
    let w = run(script([sale("a"), sale("b")], [Fate::NotSent]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "not_sent", "outcome"]);
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
}

#[test]
fn a_reply_without_a_good_mac_is_discarded_and_reversed() {
    for (fate, code) in [(Fate::BadMac, "mac-wrong"), (Fate::NoMac, "mac-absent")] {
        let w = run(script([sale("a"), sale("b")], [fate]));
        assert_eq!(told(&w, "a"), [(Status::Unknown, code.into()), (Status::Declined, "reversed".into())]);
        assert!(w.transcript("a").contains(&"disregarded".to_owned()));
        assert_eq!(w.outcome("b").status, Status::Approved);
    }
}

#[test]
fn a_refusal_without_mac_is_told_with_a_reversal_on_disk() {
    let w = run(script([sale("a")], [Fate::RefuseNoMac("51")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-51".into())]);
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "outcome", "obligation_tried", "obligation_ended"]);
    let w = run(script([sale("a")], [Fate::Refuse("96")]));
    assert_eq!(w.transcript("a").last().map(String::as_str), Some("obligation_ended"), "`reverse` of the code table");
}

#[test]
fn a_code_that_asks_for_a_sign_in_is_tried_once_more() {
    let w = run(script([sale("a")], [Fate::Refuse("77")]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "allowed", "answered", "outcome"]);
    assert_eq!(w.outcome("a").status, Status::Approved);
    let w = run(script([sale("a"), sale("b")], [Fate::Refuse("A0"), Fate::Refuse("A0")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-A0".into())], "once");
    assert_eq!(w.outcome("b").status, Status::Approved);
}

#[test]
fn payment_codes() {
    let w = run(script([scan("a")], []));
    let o = w.outcome("a");
    assert_eq!((o.status, o.masked_pan.as_deref()), (Status::Approved, Some("13************3456")));
    let w = run(script([scan("a"), sale("b")], [Fate::Refuse("09")]));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "pending".into()), (Status::Declined, "reversed".into())]);
    let (told_at, ended) = (w.told[0].started, w.told.iter().rev().find(|o| o.key.id == "a").and_then(|o| o.ended));
    assert!(ended.is_some_and(|t| t.since(told_at).0 >= 15_000), "WeChat is not undone sooner than 15 s after the payment");
}

#[test]
fn a_void_takes_back_one_sale_once() {
    let w = run(script([sale("a"), void("v", "a"), void("w", "a"), void("x", "nothing")], []));
    assert_eq!(w.outcome("v").status, Status::Approved);
    assert!(w.outcome("a").voided && w.sealed.is_empty());
    assert_eq!(told(&w, "w"), [(Status::Failed, "original-voided".into())]);
    assert_eq!(told(&w, "x"), [(Status::Failed, "original-not-found".into())]);
    let w = run(script([sale("a"), void("v", "a")], [Fate::Answer, Fate::LoseReply]));
    assert_eq!(told(&w, "v"), [(Status::Unknown, "no-reply".into()), (Status::Declined, "reversed".into())], "the sale stands");
    assert!(!w.outcome("a").voided);
    let w = run(script([sale("a"), void("v", "a")], [Fate::Refuse("51")]));
    assert_eq!(told(&w, "v"), [(Status::Failed, "original-not-approved".into())]);
}

#[test]
fn control_kinds() {
    let w = run(script([control("i", Kind::SignIn), control("e", Kind::Echo), control("o", Kind::SignOff), sale("a")], []));
    for id in ["i", "e", "o", "a"] {
        assert_eq!(w.outcome(id).status, Status::Approved, "{id}");
    }
    assert_eq!(w.transcript("e"), ["started", "allowed", "answered", "outcome"]);
    let w = run(script([control("e", Kind::Echo)], [Fate::LoseReply]));
    assert_eq!(told(&w, "e"), [(Status::Failed, "no-reply".into())], "nothing is owed");
}

#[test]
fn a_balance_moves_nothing_and_keeps_nothing() {
    let w = run(script([Order { kind: Kind::Balance, amount: None, ..sale("b") }], []));
    assert_eq!(w.outcome("b").status, Status::Approved);
    assert!(w.sealed.is_empty() && w.printed.is_empty());
    let w = run(script([Order { kind: Kind::Balance, amount: None, ..sale("b") }], [Fate::LoseReply]));
    assert_eq!(told(&w, "b"), [(Status::Failed, "no-reply".into())]);
}

#[test]
fn nobody_pays() {
    let w = run(script([Order { customer: Customer::Walks, ..sale("a") }, Order { customer: Customer::CancelsAtPin, ..sale("b") }], []));
    assert_eq!(told(&w, "a"), [(Status::Cancelled, "present-timeout".into())]);
    assert_eq!(told(&w, "b"), [(Status::Cancelled, "cancelled-by-customer".into())]);
    assert!(w.bank.books.is_empty() && w.sealed.is_empty());
}

#[test]
fn an_unconfirmed_paper_comes_again_as_a_duplicate() {
    let prints = vec![PrintResult::NotStarted("no paper".into()), PrintResult::Unconfirmed("line lost".into())];
    let w = run(Script { prints, ..script([sale("a")], []) });
    let papers: Vec<(u64, bool)> = w.printed.iter().map(|(j, d, _)| (*j, *d)).collect();
    assert_eq!(papers, [(1, false), (1, false), (1, true), (2, false)]);
}
