//! Void and cancel of what the acquirer was never told of: it is taken out of the queue, or nothing is done.
use crate::staff::*;
use payterm_core::Settings;
use payterm_schema::{
    Kind, Record, RequestRecord, Status,
    config::OfflineLimits,
    offline::OfflineAuthority,
    offline::QueueAct,
    outcome::{Authority, Forwarding},
    record::ObligationState,
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Order, Script, Scripted, World, at_epoch},
};

const NOT_FORWARDED: &str = "original-not-forwarded";

fn approved() -> Vec<(Status, String)> {
    vec![(Status::Approved, String::new())]
}
fn failed(code: &str) -> Vec<(Status, String)> {
    vec![(Status::Failed, code.into())]
}
/// Kinds and amounts that the acquirer has.
fn books(w: &World) -> Vec<(Kind, u64)> {
    w.bank.books.values().map(|p| (p.kind, p.amount)).collect()
}
/// Debit and credit of the open batch: count and sum.
fn totals(w: &World) -> [(u64, u64); 2] {
    let l = w.machine.state().ledger(&up());
    [(l.debit_count, l.debit_minor), (l.credit_count, l.credit_minor)]
}
fn forwarding(w: &World, id: &str) -> Option<Forwarding> {
    w.outcome(id).forwarding
}
fn completion() -> Vec<Order> {
    vec![
        new(Kind::PreAuth, "p"),
        part(Kind::CompletionAdvice, "c", "p", 900),
        on(Kind::CompletionCancel, "k", "c"),
    ]
}
fn offline(script: Script) -> World {
    run_with(offline_settings(), script)
}

#[test]
fn a_completion_that_never_left_is_cancelled_and_its_hold_is_free() {
    let again = [on(Kind::CompletionCancel, "l", "c"), part(Kind::CompletionAdvice, "d", "p", 800)];
    let orders = [completion(), again.to_vec()].concat();
    let w = run(script(orders, [HostFault::Answer, HostFault::NotSent]));
    assert_eq!([told(&w, "k"), told(&w, "l")], [approved(), failed("original-voided")]);
    assert_eq!(told(&w, "c"), [approved(), approved()].concat(), "told once more, as withdrawn");
    assert_eq!(w.transcript("k"), ["started", "outcome"]);
    let ends = ["outcome", "outcome", "obligation_ended", "voided"];
    assert!(w.transcript("c").ends_with(&ends.map(ToOwned::to_owned)), "{:?}", w.transcript("c"));
    let (c, k) = (w.outcome("c"), w.outcome("k"));
    assert_eq!([&c, &k].map(|o| o.forwarding.clone()), [const { Some(Forwarding::Withdrawn) }; 2]);
    assert!(c.voided && k.authority == Some(Authority::Merchant));
    assert_eq!((k.stan, k.batch, k.rrn, k.sums.amount), (None, None, None, Some(900)));
    assert_eq!(told(&w, "d"), approved(), "the hold can be completed again");
    assert_eq!(books(&w), [(Kind::PreAuth, 1234), (Kind::CompletionAdvice, 800)]);
    assert_eq!(totals(&w), [(1, 800), (0, 0)]);
    assert!(w.machine.obligations().is_empty());
    assert_eq!(w.sealed.iter().copied().collect::<Vec<_>>(), [w.outcome("d").txn], "its PAN is erased");
}

#[test]
fn a_queued_sale_is_voided_and_its_exposure_is_free() {
    let mut s = offline_settings();
    s.accounts[0].config.offline.merchant =
        Some(OfflineLimits { per_card_count: 1, ..OfflineLimits::default() });
    let orders = [plain("a", 0), void("v", "a"), plain("b", 0), void("x", "a"), on(Kind::Refund, "r", "a")];
    let w = run_with(s, Script { down: vec![(1_500, 20_000)], ..script(orders, []) });
    assert_eq!(told(&w, "v"), approved());
    assert_eq!([forwarding(&w, "a"), forwarding(&w, "v")], [const { Some(Forwarding::Withdrawn) }; 2]);
    assert_eq!(forwarding(&w, "b"), Some(Forwarding::Forwarded), "the card's one place is free");
    assert_eq!([told(&w, "x"), told(&w, "r")], [failed("original-voided"), failed("original-voided")]);
    assert_eq!((books(&w), totals(&w)), (vec![(Kind::Sale, 1234)], [(1, 1234), (0, 0)]));
    assert_eq!(w.machine.obligations().exposure(&up(), OfflineAuthority::Merchant).count, 0);
    assert!(!w.sealed.contains(&w.outcome("a").txn));
    assert!(w.machine.state().ledger(&up()).unpaid.is_empty(), "the shop has lost nothing");
}

/// Held back, or never to be built: what is sure is that nothing has left.
#[test]
fn what_is_held_or_stuck_is_withdrawn_if_it_never_left() {
    let two = [HostFault::NotSent, HostFault::NotSent];
    let hold = vec![(2_000, Scripted::Queue(QueueAct::Hold { txn: 1 }))];
    let w = offline(Script { inputs: hold.clone(), ..script([plain("a", 0), void("v", "a")], two.clone()) });
    assert_eq!((w.sessions.clone(), told(&w, "v"), totals(&w)), (vec![Ok(())], approved(), [(0, 0); 2]));
    let built = [HostFault::NotSent, HostFault::Unbuildable];
    let w = offline(script([plain("a", 0), void("v", "a")], built));
    assert!(w.transcript("a").contains(&"obligation_stuck".to_owned()));
    assert_eq!((told(&w, "v"), forwarding(&w, "a")), (approved(), Some(Forwarding::Withdrawn)));
    // A settlement leaves out what is held; it is of no batch of the acquirer's.
    let orders = [plain("a", 0), sale("b"), control("z", Kind::Settlement), void("v", "a")];
    let w = offline(Script { inputs: hold, ..script(orders, two) });
    let listed = w.outcome("z").settlement.map(|s| (s.domestic.debit_minor, s.stuck.len()));
    assert_eq!((listed, told(&w, "v"), totals(&w)), (Some((1234, 1)), approved(), [(0, 0); 2]));
    assert_eq!(books(&w), [(Kind::Sale, 1234)]);
}

#[test]
fn what_has_left_is_not_withdrawn() {
    for fault in [HostFault::LoseRequest, HostFault::LoseReply, HostFault::LateReply, HostFault::BadMac] {
        let faults = [HostFault::NotSent, fault.clone()];
        let w = offline(script([plain("a", 0), void("v", "a")], faults));
        assert_eq!(told(&w, "v"), failed(NOT_FORWARDED), "{fault:?}");
        let o = w.outcome("a");
        assert_eq!((o.forwarding, o.voided), (Some(Forwarding::Forwarded), false), "{fault:?}");
        assert_eq!((books(&w), totals(&w)), (vec![(Kind::Sale, 1234)], [(1, 1234), (0, 0)]), "{fault:?}");
        let again = [HostFault::Answer, fault.clone(), fault.clone(), fault.clone()];
        let w = run(script(completion(), again));
        assert_eq!(told(&w, "k"), failed(NOT_FORWARDED), "{fault:?} {:?}", w.transcript("c"));
        let (c, p) = (w.outcome("c"), w.outcome("p"));
        assert_eq!((c.forwarding, p.completed), (Some(Forwarding::Forwarded), true), "{fault:?}");
        assert_eq!(totals(&w), [(1, 900), (0, 0)], "{fault:?}");
    }
    // It left once, and the second try did not.
    let faults = [HostFault::Answer, HostFault::LoseRequest, HostFault::NotSent];
    let orders = [&completion()[..2], &[sale("z")], &completion()[2..]].concat();
    let w = run(script(orders, faults));
    assert_eq!((told(&w, "k"), w.outcome("p").completed), (failed(NOT_FORWARDED), true));
}

/// A refund or a tip is of what was paid.
#[test]
fn only_a_void_takes_it_out_of_the_queue() {
    let orders = [plain("a", 0), on(Kind::Refund, "r", "a"), part(Kind::TipAdjust, "t", "a", 100)];
    let w = offline(script(orders, [HostFault::NotSent, HostFault::NotSent]));
    assert_eq!([told(&w, "r"), told(&w, "t")], [failed(NOT_FORWARDED), failed(NOT_FORWARDED)]);
    assert_eq!(forwarding(&w, "a"), Some(Forwarding::Forwarded));
}

fn with_operators() -> Settings {
    Settings { operators: staffed().operators, ..offline_settings() }
}

#[test]
fn the_supervisor_is_asked_and_it_may_leave_meanwhile() {
    let go = |inputs: Vec<(i64, Scripted)>, then: &[HostFault]| {
        let faults = [&[HostFault::NotSent, HostFault::NotSent][..], then].concat();
        let script = script([plain("a", 0), void("v", "a")], faults);
        run_with(with_operators(), Script { operator: Some((20, good)), inputs, ..script })
    };
    let w = go(vec![], &[]);
    let o = w.outcome("v");
    assert_eq!(
        (o.status, o.approved_by.as_deref(), o.forwarding),
        (Status::Approved, Some("00"), Some(Forwarding::Withdrawn))
    );
    let started = w.journal.iter().find_map(|e| {
        let is = matches!(&e.record, Record::Request(RequestRecord::Started { key, .. }) if key.id == "v");
        is.then_some(e.at)
    });
    // While the password is typed.
    let at = started.expect("v was started").since(at_epoch()).0 + 40;
    for (fault, withdrawn) in
        [(HostFault::Answer, false), (HostFault::LoseReply, false), (HostFault::NotSent, true)]
    {
        let forward = vec![(at, Scripted::Queue(QueueAct::Forward { txn: Some(w.outcome("a").txn) }))];
        let w = go(forward, std::slice::from_ref(&fault));
        assert_eq!(w.sessions, [Ok(())], "{fault:?}");
        let (said, became, sums) = if withdrawn {
            (approved(), Forwarding::Withdrawn, [(0, 0); 2])
        } else {
            (failed(NOT_FORWARDED), Forwarding::Forwarded, [(1, 1234), (0, 0)])
        };
        let is = (told(&w, "v"), forwarding(&w, "a"), totals(&w));
        assert_eq!(is, (said, Some(became), sums), "{fault:?}");
    }
}

/// All of it is done, or nothing.
#[test]
fn a_withdrawal_survives_every_cut() {
    let sales = Script { down: vec![(1_500, 60_000)], ..script([plain("a", 0), void("v", "a")], []) };
    let completions = Script { down: vec![(3_000, 60_000)], ..script(completion(), []) };
    for (original, undo, script, s) in
        [("a", "v", sales, offline_settings()), ("c", "k", completions, settings())]
    {
        let points = World::new(s.clone(), script.clone(), None).run();
        let mut both = [0, 0];
        for every in [1, 10_000] {
            let s = Settings { snapshot_every: every, ..s.clone() };
            for cut in 1..=points {
                let mut w = World::new(s.clone(), script.clone(), [cut]);
                w.run();
                let (o, u) = (w.outcome(original), w.outcome(undo));
                let done = u.status == Status::Approved && u.forwarding == Some(Forwarding::Withdrawn);
                let gone = o.forwarding == Some(Forwarding::Withdrawn);
                assert_eq!((gone, gone && o.voided, w.machine.obligations().len()), (done, done, 0), "{cut}");
                both[usize::from(done)] += 1;
            }
        }
        assert!(both.iter().all(|n| *n > 5), "{original}: {both:?}");
    }
}

#[test]
fn a_settlement_behind_it_balances() {
    let orders = [plain("a", 0), void("v", "a"), plain("b", 1), sale("c"), control("z", Kind::Settlement)];
    for disputes in [false, true] {
        let faults = [HostFault::NotSent, HostFault::NotSent];
        let w = offline(Script { disputes, ..script(orders.clone(), faults) });
        assert_eq!((told(&w, "v"), told(&w, "z")), (approved(), approved()), "disputed: {disputes}");
        let s = w.outcome("z").settlement.expect("totals");
        assert_eq!(
            (s.domestic.debit_minor + s.foreign.debit_minor, s.domestic.credit_count, s.foreign.credit_count),
            (2 * 1234, 0, 0),
            "disputed: {disputes}"
        );
        assert_eq!((s.uploaded, s.stuck.len(), s.unpaid.len()), (if disputes { 2 } else { 0 }, 0, 0));
    }
}

/// The journal that was put back says that nothing has left; what it lacks may say otherwise.
#[test]
fn what_was_queued_before_a_journal_was_put_back_is_not_withdrawn() {
    let inputs =
        vec![(2_000, Scripted::JournalTorn { records: 0, marks: true }), (9_000, Scripted::EndRecovery)];
    let faults = [HostFault::NotSent, HostFault::NotSent];
    let w = offline(Script { inputs, ..script([plain("a", 0), void("v", "a")], faults) });
    assert!(w.machine.state().recovering.is_none());
    assert_eq!(told(&w, "v"), failed(NOT_FORWARDED));
    let left: Vec<_> = w.machine.obligations().iter().map(|o| (o.left, o.state)).collect();
    assert_eq!(left, [(false, ObligationState::Stuck)]);
}
