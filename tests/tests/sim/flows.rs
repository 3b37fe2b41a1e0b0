//! (request, scripted customer, scripted bank) -> transcript and outcome, for every kind of the sheet.
use payterm_core::{Effect, Input, Machine};
use payterm_schema::{
    AccountId, Kind, Record, RequestRecord, Screen, Status,
    paper::{PaperKind, PrintResult},
    record::{Entry, ObligationState},
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Customer, Order, Press, Script, Scripted, World},
};

#[test]
fn a_sale_is_three_records_and_its_papers() {
    let w = run(script([sale("a")], []));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "outcome"]);
    let o = w.outcome("a");
    assert_eq!(
        (o.status, o.masked_pan.as_deref(), o.pin),
        (Status::Approved, Some("622576******5678"), true)
    );
    assert_eq!((o.rrn.is_some(), o.auth_code.is_some(), o.stan.is_some()), (true, true, true));
    assert_eq!(w.printed.len(), 2, "merchant and customer copy");
}

/// The upload of its batch needs the sale's PAN still.
#[test]
fn a_void_that_is_written_off_leaves_its_sale_as_it_was() {
    let mut s = settings();
    s.accounts[0].config.obligation_tries = 1;
    let inputs = vec![(300_000, Scripted::Press(Press::WriteOff, 0))];
    let orders = [sale("a"), void("b", "a")];
    let mut w = World::new(
        s,
        Script {
            inputs,
            ..script(orders, [HostFault::Answer, HostFault::LoseRequest, HostFault::LoseRequest])
        },
        None,
    );
    w.run();
    assert_eq!(told(&w, "b").last(), Some(&(Status::Declined, "written-off".into())));
    assert!(w.sealed.contains(&w.outcome("a").txn), "{:?}", w.sealed);
    assert_eq!(w.outcome("a").status, Status::Approved);
}

/// Forward now, hold and release: each does it at once, and nothing else does it before.
#[test]
fn what_a_person_holds_goes_when_they_release_it() {
    let at = |w: &World, id: &str, what: &str| {
        let txn = w.outcome(id).txn;
        let of = |e: &&Entry| e.txn == Some(txn) && payterm_tests::sim::world::name(&e.record) == what;
        w.journal.iter().rev().find(of).map(|e| e.at.0 - payterm_tests::sim::world::at_epoch().0)
    };
    let down = vec![(1_100, 20_000)];
    let held = vec![(10_000, Scripted::Press(Press::Hold, 0)), (500_000, Scripted::Press(Press::Release, 0))];
    let voice = || script([new(Kind::VoiceSale, "a")], []);
    let run = |inputs| run(Script { inputs, down: down.clone(), settle: true, ..voice() });
    let w = run(held);
    assert_eq!(at(&w, "a", "obligation_tried"), Some(500_000));
    // By itself it would wait longer.
    let by_itself = at(&run(Vec::new()), "a", "obligation_tried").expect("tried");
    let w = run(vec![(20_100, Scripted::Press(Press::Forward, 0))]);
    assert_eq!(at(&w, "a", "obligation_tried"), Some(20_100));
    assert!(by_itself > 20_100, "{by_itself}");
}

#[test]
fn a_refusal_ends_with_its_reason_and_no_slip() {
    let w = run(script([sale("a")], [HostFault::Refuse("51")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-51".into())]);
    assert!(w.printed.is_empty() && w.sealed.is_empty());
}

#[test]
fn unknown_codes_are_failures() {
    let w = run(script([sale("a")], [HostFault::Refuse("Z7")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-Z7".into())]);
}

#[test]
fn a_wrong_pin_is_typed_again_in_the_same_request() {
    let w = run(script([sale("a")], [HostFault::Refuse("55"), HostFault::Answer]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "allowed", "answered", "outcome"]);
    assert_eq!(w.outcome("a").status, Status::Approved);
    let w =
        run(script([sale("a")], [HostFault::Refuse("55"), HostFault::Refuse("55"), HostFault::Refuse("55")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-55".into())], "three tries");
    let w = run(script([sale("a")], [HostFault::Refuse("55"), HostFault::Refuse("75")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-75".into())]);
}

#[test]
fn a_lost_reply_is_unknown_then_reversed_before_the_next_sale() {
    for fault in [HostFault::LoseReply, HostFault::LoseRequest, HostFault::LateReply, HostFault::LateRequest]
    {
        let w = run(script([sale("a"), sale("b")], [fault.clone()]));
        assert_eq!(
            told(&w, "a"),
            [(Status::Unknown, "no-reply".into()), (Status::Declined, "reversed".into())],
            "{fault:?}"
        );
        assert_eq!(told(&w, "b"), [(Status::Approved, String::new())], "{fault:?}");
    }
}

/// Whoever waits behind it sees how far the reversal is, as it goes.
#[test]
fn the_waiting_screen_tells_how_far_the_reversal_is() {
    let w = run(script(
        [sale("a"), sale("b")],
        [HostFault::LoseReply, HostFault::Refuse("96"), HostFault::Refuse("96")],
    ));
    let owed = |s: &Screen| {
        if let Screen::Wait { what, owed, .. } = s
            && what == "reversing"
        {
            owed.clone()
        } else {
            None
        }
    };
    let seen: Vec<_> = w.shown.iter().filter_map(owed).collect();
    let last = seen.last().unwrap();
    assert!(
        seen.len() >= 2
            && last.tries >= 1
            && last.last_code.as_deref() == Some("96")
            && last.deadline.is_some(),
        "{seen:?}"
    );
}

#[test]
fn a_reversal_is_repeated_and_at_last_stuck() {
    let lost = vec![
        HostFault::LoseReply,
        HostFault::LoseReply,
        HostFault::NotSent,
        HostFault::Refuse("96"),
        HostFault::LoseRequest,
    ];
    let w = run(script([sale("a"), sale("b")], lost.clone()));
    assert_eq!(
        told(&w, "a").last(),
        Some(&(Status::Declined, "reversed".into())),
        "the fourth try that left"
    );
    let mut stuck = lost;
    stuck.extend([HostFault::LoseReply]);
    let w = run(script([sale("a"), sale("b"), sale("c"), sale("d"), sale("e")], stuck));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "no-reply".into())]);
    assert_eq!(
        told(&w, "b"),
        [(Status::Failed, "account-blocked".into())],
        "nothing leaves while a reversal is due"
    );
    assert_eq!(w.machine.obligations().len(), 1, "Stuck: kept for a person");
    assert_eq!(w.outcome("e").status, Status::Approved, "Stuck holds nobody up");
}

#[test]
fn not_sent_costs_nothing() {
    let w = run(script([sale("a"), sale("b")], [HostFault::NotSent]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "not_sent", "outcome"]);
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-sent".into())]);
}

/// An answer that says nothing is none, and it is said what of it could not be read.
#[test]
fn an_answer_that_cannot_be_read_is_reversed_and_named() {
    let w = run(script([sale("a"), sale("b")], [HostFault::Damaged]));
    let code = "reply-unusable";
    assert_eq!(told(&w, "a"), [(Status::Unknown, code.into()), (Status::Declined, "reversed".into())]);
    let first = w.told.iter().find(|o| o.key.id == "a").and_then(|o| o.reason.clone());
    assert_eq!(first.unwrap().detail.as_deref(), Some("F4: a character or nibble is no digit"));
    assert_eq!(w.outcome("b").status, Status::Approved);
}

/// The host may have other keys than ours by then. An answer after its time brings those that it has.
#[test]
fn a_sign_in_in_doubt_signs_the_account_out() {
    for (fault, own) in [(HostFault::LoseReply, 2), (HostFault::Damaged, 2), (HostFault::LateReply, 1)] {
        let w = run(script([control("i", Kind::SignIn), sale("a")], [fault.clone()]));
        let count = |what: &str| {
            w.journal.iter().filter(|e| payterm_tests::sim::world::name(&e.record) == what).count()
        };
        assert_eq!(w.outcome("i").status, Status::Failed, "{fault:?}");
        assert_eq!(
            (count("signed_out"), count("signed_in"), count("control_sent")),
            (1, 2, own),
            "{fault:?}"
        );
        assert_eq!(w.outcome("a").status, Status::Approved, "{fault:?}");
    }
}

#[test]
fn a_sale_waits_for_a_sign_in_that_is_tried_again() {
    for lost in [HostFault::Damaged, HostFault::LinkDied] {
        let w = run(Script { sign_ins: vec![lost.clone(), lost], ..script([sale("a")], []) });
        assert_eq!(told(&w, "a"), [(Status::Approved, String::new())]);
    }
}

#[test]
fn what_cannot_be_made_says_what_it_lacks() {
    let w = run(script([sale("a")], [HostFault::Unbuildable]));
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-buildable".into())]);
    assert_eq!(w.outcome("a").reason.unwrap().detail.as_deref(), Some("no PAN"));
}

/// WeChat takes an undo 15 s after the payment; one that is answered 09 was not done.
#[test]
fn the_undo_of_a_wallet_waits_for_it() {
    let refund = |id, of| Order { kind: Kind::Refund, amount: Some(1_000), ..void(id, of) };
    for (undo, refusals) in
        [(void("v", "a"), 0), (void("v", "a"), 2), (refund("v", "a"), 0), (refund("v", "a"), 2)]
    {
        let kind = undo.kind;
        let mut faults = vec![HostFault::Answer];
        faults.extend(vec![HostFault::Refuse("09"); refusals]);
        let w = run(script([scan("a"), undo], faults));
        let paid = w.outcome("a");
        assert_eq!(told(&w, "v"), [(Status::Approved, String::new())], "{kind:?} {refusals}");
        let left = |e: &&Entry| {
            e.txn == Some(w.outcome("v").txn)
                && matches!(e.record, Record::Request(RequestRecord::Allowed { .. }))
        };
        let all: Vec<&Entry> = w.journal.iter().filter(left).collect();
        assert_eq!(all.len(), refusals + 1, "{kind:?}");
        assert!(all[0].at.since(paid.ended.unwrap()).0 >= 15_000, "{kind:?}");
        assert!(w.shown.iter().any(|s| matches!(s, Screen::Wait { what, .. } if what == "wallet-undo")));
        let book = w.bank.books.values().find(|p| p.kind == Kind::Sale).unwrap();
        assert_eq!((book.voided, book.refunded), if kind == Kind::Void { (true, 0) } else { (false, 1_000) });
    }
    // For some seconds after the wallet's wait: then as any other that is not decided.
    let mut faults = vec![HostFault::Answer];
    faults.extend(vec![HostFault::Refuse("09"); 40]);
    let w = run(script([scan("a"), refund("v", "a")], faults));
    assert_eq!(told(&w, "v"), [(Status::Unknown, "host-09".into())]);
}

#[test]
fn a_reply_without_a_good_mac_is_discarded_and_reversed() {
    for (fault, code) in [(HostFault::BadMac, "mac-wrong"), (HostFault::NoMac, "mac-absent")] {
        let w = run(script([sale("a"), sale("b")], [fault]));
        assert_eq!(told(&w, "a"), [(Status::Unknown, code.into()), (Status::Declined, "reversed".into())]);
        assert!(w.transcript("a").contains(&"disregarded".to_owned()));
        assert_eq!(w.outcome("b").status, Status::Approved);
    }
}

#[test]
fn a_refusal_without_mac_is_told_with_a_reversal_on_disk() {
    let w = run(script([sale("a")], [HostFault::RefuseNoMac("51")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-51".into())]);
    assert_eq!(
        w.transcript("a"),
        ["started", "allowed", "answered", "outcome", "obligation_tried", "obligation_ended"]
    );
    let w = run(script([sale("a")], [HostFault::Refuse("96")]));
    assert_eq!(
        w.transcript("a").last().map(String::as_str),
        Some("obligation_ended"),
        "`reverse` of the code table"
    );
}

#[test]
fn a_code_that_asks_for_a_sign_in_is_tried_once_more() {
    let w = run(script([sale("a")], [HostFault::Refuse("77")]));
    assert_eq!(w.transcript("a"), ["started", "allowed", "answered", "allowed", "answered", "outcome"]);
    assert_eq!(w.outcome("a").status, Status::Approved);
    let w = run(script([sale("a"), sale("b")], [HostFault::Refuse("A0"), HostFault::Refuse("A0")]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "host-A0".into())], "once");
    assert_eq!(w.outcome("b").status, Status::Approved);
}

#[test]
fn payment_codes() {
    let w = run(script([scan("a")], []));
    let o = w.outcome("a");
    assert_eq!((o.status, o.masked_pan.as_deref()), (Status::Approved, Some("13************3456")));
    let w = run(script([scan("a"), sale("b")], [HostFault::Refuse("09")]));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "pending".into()), (Status::Declined, "reversed".into())]);
    let (told_at, ended) =
        (w.told[0].started, w.told.iter().rev().find(|o| o.key.id == "a").and_then(|o| o.ended));
    assert!(
        ended.is_some_and(|t| t.since(told_at).0 >= 15_000),
        "WeChat is not undone sooner than 15 s after the payment"
    );
}

#[test]
fn a_void_takes_back_one_sale_once() {
    let w = run(script([sale("a"), void("v", "a"), void("w", "a"), void("x", "nothing")], []));
    assert_eq!(w.outcome("v").status, Status::Approved);
    assert!(w.outcome("a").voided && w.sealed.len() == 1);
    assert_eq!(told(&w, "w"), [(Status::Failed, "original-voided".into())]);
    assert_eq!(told(&w, "x"), [(Status::Failed, "original-not-found".into())]);
    let w = run(script([sale("a"), void("v", "a")], [HostFault::Answer, HostFault::LoseReply]));
    assert_eq!(
        told(&w, "v"),
        [(Status::Unknown, "no-reply".into()), (Status::Declined, "reversed".into())],
        "the sale stands"
    );
    assert!(!w.outcome("a").voided);
    let w = run(script([sale("a"), void("v", "a")], [HostFault::Refuse("51")]));
    assert_eq!(told(&w, "v"), [(Status::Failed, "original-not-approved".into())]);
}

/// A void whose reversal is Stuck stops every other; when a person has it settled the sale stands, and a void
/// can still be built.
#[test]
fn a_sealed_pan_lives_as_long_as_anything_needs_it() {
    let mut faults = vec![HostFault::Answer, HostFault::LoseRequest];
    faults.extend(vec![HostFault::LoseRequest; 4]);
    let orders = [sale("a"), void("v", "a"), void("w", "a"), void("x", "a"), void("y", "a"), void("z", "a")];
    let w = run(Script { settle: true, ..script(orders, faults) });
    assert!(!w.outcome("a").voided && w.sealed.len() == 1);
    assert_eq!(told(&w, "z"), [(Status::Failed, "original-in-doubt".into())]);
    assert_eq!(told(&w, "v"), [(Status::Unknown, "no-reply".into()), (Status::Declined, "reversed".into())]);

    // The reversal of a refused try ends after the next try was approved: a void can still be built.
    let mut s = settings();
    s.accounts[0].config.obligation_tries = 1;
    let faults = [HostFault::RefuseNoMac("55"), HostFault::LoseRequest];
    let mut w = World::new(s, Script { settle: true, ..script([sale("a")], faults) }, None);
    w.run();
    assert_eq!(w.outcome("a").status, Status::Approved);
    assert_eq!(w.transcript("a").last().map(String::as_str), Some("obligation_ended"));
}

#[test]
fn what_is_stuck_is_printed_whatever_was_told() {
    let mut faults = vec![HostFault::RefuseNoMac("51")];
    faults.extend(vec![HostFault::LoseReply; 4]);
    let w = run(script([sale("a")], faults));
    assert_eq!(w.machine.obligations().to_vec()[0].state, ObligationState::Stuck);
    assert!(
        w.queued()
            .any(|job| job.kind == PaperKind::StuckSlip && job.outcome().is_some_and(|o| o.key.id == "a")),
        "refused, and perhaps charged: a person must know"
    );
}

#[test]
fn a_reversal_names_the_authorisation_that_it_undoes() {
    let w = run(script([sale("a")], [HostFault::Partial]));
    assert_eq!(told(&w, "a"), [(Status::Declined, "partial-not-taken".into())]);
    let [reversal] = &w.bank.reversals[..] else { panic!("{:?}", w.bank.reversals) };
    assert_eq!(reversal.auth_code.as_deref(), Some("123456"), "F38 when known");
    assert_eq!(reversal.amount.map(|m| m.minor()), Some(1234), "F4 stays what was asked for");
    let w = run(script([sale("a")], [HostFault::NoMac]));
    assert_eq!(w.bank.reversals[0].auth_code, None, "what a reply without MAC says is not known");
}

#[test]
fn new_keys_ask_the_pin_again() {
    // Steps small enough that in one of them the wallet's reversal is under way while the PIN is typed; it
    // asks for a sign-in.
    for wait in (8_000..15_000).step_by(300) {
        let faults =
            [HostFault::Refuse("09"), HostFault::SlowRefuse(wait, "51"), HostFault::SlowRefuse(4_000, "A0")];
        let orders = [scan("a"), Order { kind: Kind::Balance, amount: None, ..sale("x") }, sale("b")];
        assert_eq!(run(script(orders, faults)).outcome("b").status, Status::Approved, "{wait}");
    }
}

/// The account is gone from the configuration: nobody can drive what it owes, a person must know.
#[test]
fn an_obligation_of_a_removed_account_is_stuck() {
    let w = run(script([sale("a")], [HostFault::LoseReply]));
    let due = w
        .journal
        .iter()
        .position(|e| matches!(e.record, Record::Request(RequestRecord::NoReply { .. })))
        .expect("no reply");
    let mut other = settings();
    other.accounts[0].config.id = AccountId::new("other").expect("id");
    let mut m = Machine::replay(other, None, w.journal[..=due + 1].iter().cloned()).expect("replay");
    m.boot(w.now, "test", &[]);
    assert_eq!(m.obligations().iter().map(|o| o.state).collect::<Vec<_>>(), [ObligationState::Stuck]);
    assert!(m.papers().any(|p| p.kind == PaperKind::StuckSlip));
    let step = m.handle(Input::RetryObligation { call: 1, txn: 1, by: "x".into() }, w.now);
    assert!(matches!(step.effects[..], [Effect::Answer { call: 1, result: Err(_) }]), "{:?}", step.effects);
}

#[test]
fn control_kinds() {
    let w = run(script(
        [control("i", Kind::SignIn), control("e", Kind::Echo), control("o", Kind::SignOff), sale("a")],
        [],
    ));
    for id in ["i", "e", "o", "a"] {
        assert_eq!(w.outcome(id).status, Status::Approved, "{id}");
    }
    assert_eq!(w.transcript("e"), ["started", "allowed", "answered", "outcome"]);
    let w = run(script([control("e", Kind::Echo)], [HostFault::LoseReply]));
    assert_eq!(told(&w, "e"), [(Status::Failed, "no-reply".into())], "nothing is owed");
}

#[test]
fn a_balance_moves_nothing_and_keeps_nothing() {
    let w = run(script([Order { kind: Kind::Balance, amount: None, ..sale("b") }], []));
    assert_eq!(w.outcome("b").status, Status::Approved);
    assert!(w.sealed.is_empty() && w.printed.is_empty());
    let w = run(script([Order { kind: Kind::Balance, amount: None, ..sale("b") }], [HostFault::LoseReply]));
    assert_eq!(told(&w, "b"), [(Status::Failed, "no-reply".into())]);
}

#[test]
fn nobody_pays() {
    let w = run(script(
        [
            Order { customer: Customer::Walks, ..sale("a") },
            Order { customer: Customer::CancelsAtPin, ..sale("b") },
        ],
        [],
    ));
    assert_eq!(told(&w, "a"), [(Status::Cancelled, "present-timeout".into())]);
    assert_eq!(told(&w, "b"), [(Status::Cancelled, "cancelled-by-customer".into())]);
    assert!(w.bank.books.is_empty() && w.sealed.is_empty());
}

/// Card and PIN come while the disk is at the start's records.
#[test]
fn a_slow_disk_holds_up_no_customer() {
    for commit_ms in [450, 1_200, 3_000] {
        let by = |customer, id| Order { customer, ..sale(id) };
        let orders = [
            sale("a"),
            by(Customer::CancelsAtPin, "b"),
            by(Customer::PressesCancel, "c"),
            by(Customer::Fumbles, "d"),
            by(Customer::FallsAsleep, "e"),
            sale("f"),
        ];
        let w = run(Script { commit_ms, ..script(orders, []) });
        for (id, status) in [
            ("a", Status::Approved),
            ("b", Status::Cancelled),
            ("c", Status::Cancelled),
            ("d", Status::Approved),
            ("e", Status::Cancelled),
            ("f", Status::Approved),
        ] {
            assert_eq!(w.outcome(id).status, status, "{id} at {commit_ms} ms");
        }
        assert!(
            commit_ms < 1_200 || w.asked_before_durable > 3,
            "{} at {commit_ms} ms",
            w.asked_before_durable
        );
    }
}

/// What was to go back when nobody agreed to it: what was left of the sale, and no card that was not there.
#[test]
fn a_refund_that_is_not_made_names_what_was_left() {
    let w = run(script(
        [
            sale("a"),
            part(Kind::Refund, "b", "a", 234),
            Order { customer: Customer::Walks, ..on(Kind::Refund, "c", "a") },
        ],
        [],
    ));
    let (all, c) = (w.outcome("a"), w.outcome("c"));
    assert_eq!((w.outcome("b").status, c.status), (Status::Approved, Status::Cancelled));
    assert_eq!(c.sums.amount, all.sums.amount.map(|a| a - 234));
    assert_eq!((c.entry, c.masked_pan.as_ref()), (None, None), "no card was there");
    assert!(c.original.is_some());
}

#[test]
fn an_unconfirmed_paper_comes_again_as_a_duplicate() {
    let prints =
        vec![PrintResult::NotStarted("no paper".into()), PrintResult::Unconfirmed("line lost".into())];
    let w = run(Script { prints, ..script([sale("a")], []) });
    let papers: Vec<(u64, bool)> = w.printed.iter().map(|(j, d, _)| (*j, *d)).collect();
    assert_eq!(papers, [(1, false), (1, false), (1, true), (2, false)]);
}

/// A printer that never confirms does not print for ever, and the other papers come.
#[test]
fn a_paper_that_is_never_confirmed_is_held_for_a_person() {
    let prints = vec![PrintResult::Unconfirmed("no answer".into()); 5];
    let w = run(Script { prints, settle: true, ..script([sale("a")], []) });
    let papers: Vec<u64> = w.printed.iter().map(|(j, ..)| *j).collect();
    assert_eq!(
        papers,
        [1, 1, 1, 1, 1, 2, 1],
        "five times, then the customer's copy; the first again when a person released it"
    );
}

/// A host that cannot be reached costs some records an hour, not some a second.
#[test]
fn what_cannot_be_sent_is_tried_less_and_less_often() {
    let mut faults = vec![HostFault::LoseReply];
    faults.extend(vec![HostFault::NotSent; 15]);
    let w = run(script([sale("a")], faults));
    assert_eq!(told(&w, "a").last(), Some(&(Status::Declined, "reversed".into())), "and never Stuck for it");
    assert!(w.now.since(w.told[0].started).0 > 3_600_000, "15 tries take more than an hour");
}

#[test]
fn a_reversal_that_cannot_be_built_is_stuck_and_holds_nobody_up() {
    let w = run(script([sale("a"), sale("b")], [HostFault::LoseReply, HostFault::Unbuildable]));
    assert_eq!(told(&w, "a"), [(Status::Unknown, "no-reply".into())]);
    assert_eq!(w.machine.obligations().iter().map(|o| o.state).collect::<Vec<_>>(), [ObligationState::Stuck]);
    assert_eq!(w.outcome("b").status, Status::Approved);
    let w = run(script([sale("a")], [HostFault::Unbuildable]));
    assert_eq!(told(&w, "a"), [(Status::Failed, "not-buildable".into())]);
}

#[test]
fn a_reversal_does_not_leave_under_another_terminal_number() {
    let w = run(script([sale("a")], [HostFault::LoseReply]));
    let due = w
        .journal
        .iter()
        .position(|e| matches!(e.record, Record::Request(RequestRecord::Outcome { .. })))
        .expect("Unknown");
    let mut changed = settings();
    changed.accounts[0].config.tid = "10000002".parse().unwrap();
    let mut machine = Machine::replay(changed, None, w.journal[..=due].to_vec()).expect("replay");
    machine.boot(w.now, "test", &[up()]);
    assert_eq!(machine.obligations().iter().map(|o| o.state).collect::<Vec<_>>(), [ObligationState::Stuck]);
    let txn = machine.obligations().to_vec()[0].txn;
    let step = machine.handle(Input::RetryObligation { call: 9, txn, by: "manager".into() }, w.now);
    assert!(matches!(&step.effects[..], [Effect::Answer { result: Err(_), .. }]), "{:?}", step.effects);
}

/// The batch is closed while a void waits for the line: nothing is left to void, and nothing leaves for it.
#[test]
fn a_void_that_waited_over_the_end_of_its_batch() {
    let w = run(script(
        [sale("a"), control("s", Kind::Settlement), void("v", "a")],
        [HostFault::Answer, HostFault::RefuseNoMac("A0")],
    ));
    assert_eq!(told(&w, "v"), [(Status::Failed, "original-settled".into())]);
    assert!(w.bank.books.values().all(|p| !p.voided));
}
