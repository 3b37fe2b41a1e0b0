//! Settlements that nobody asked for: at a time of day, reminded of, tried again; and batches that a sign-in
//! changes.
use super::*;

fn starts_settlement(e: &payterm_schema::Entry) -> bool {
    matches!(&e.record, Record::Request(RequestRecord::Started { request, .. })
        if request.kind == Kind::Settlement)
}

/// By the host's clock (China), once for each time; what was missed without power is made up for.
#[test]
fn settles_by_itself_at_a_time_of_day() {
    let mut s = settings();
    s.settlement.at = "00:30".parse().ok();
    let w0 = World::new(s.clone(), Script::default(), None);
    let start = w0.now.local(480);
    let to_due = ((24 + 24 - i64::from(start.hour())) % 24 * 60 + 30 - i64::from(start.minute()))
        .rem_euclid(1440)
        * 60_000;
    let mut w = World::new(s.clone(), script([sale("a")], []), None);
    w.run_for(to_due + 3_600_000);
    let automatic = |w: &World| {
        w.told
            .iter()
            .filter(|o| o.kind == Kind::Settlement && o.status == Status::Approved && o.key.app == "terminal")
            .count()
    };
    assert_eq!(automatic(&w), 1, "{:?}", w.told);
    w.run_for(2 * 86_400_000);
    assert_eq!(automatic(&w), 1, "nothing has come since");
    // Off from before the time until long after it.
    let mut w = World::new(s.clone(), script([sale("a")], []), None);
    w.run_for(60_000);
    let journal = w.journal.clone();
    let mut m = Machine::replay(s, None, journal).expect("replay");
    let late = w.now + Millis(to_due + 7 * 3_600_000);
    m.boot(late, "test", &[up()]);
    let step = m.handle_timeout(late);
    assert!(step.records.iter().any(starts_settlement), "made up for at the start");
}

/// Times at which somebody was told this outside a request, ms after the start; the display has shown it too.
fn notices(w: &World, what: &str) -> Vec<i64> {
    let screen = Screen::Trouble { what: what.into() };
    w.notices.iter().filter(|(_, s)| *s == screen).map(|(at, _)| at.since(at_epoch()).0).collect()
}

fn shown(w: &World, what: &str) -> usize {
    w.shown.iter().filter(|s| **s == Screen::Trouble { what: what.into() }).count()
}

const HOUR: i64 = 3_600_000;

#[test]
fn a_batch_that_stays_open_is_reminded_of_until_it_is_settled() {
    let mut s = settings();
    s.settlement.remind_after_hours = 24;
    let mut w = World::new(s.clone(), script([sale("a"), sale("b")], []), None);
    w.run_for(74 * HOUR);
    let since = w.machine.state().ledger(&up()).totals_since.expect("an open batch").since(at_epoch()).0;
    let days = [24, 48, 72].map(|h| since + h * HOUR);
    assert_eq!((notices(&w, "settlement-overdue"), shown(&w, "settlement-overdue")), (days.to_vec(), 3));
    assert!(matches!(w.machine.screen(), Screen::Idle(_)), "the display does not stay with it");
    // Nothing to settle, or settled: nobody is reminded.
    for orders in [vec![], vec![sale("a"), settle("z")]] {
        let mut w = World::new(s.clone(), script(orders, []), None);
        w.run_for(74 * HOUR);
        assert_eq!((notices(&w, "settlement-overdue"), shown(&w, "settlement-overdue")), (vec![], 0));
    }
    // Not over what a customer is asked, nor over its result: when the display is free again.
    let ends = |w: &World| {
        w.told.iter().find(|o| o.key.id == "b").and_then(|o| o.ended).map(|t| t.since(at_epoch()).0)
    };
    let result = i64::from(s.flow.result_ms);
    let orders = [sale("a"), Order { customer: Customer::Walks, ..sale("b") }];
    s.flow.present_timeout_ms = 25 * HOUR as u32;
    let mut w = World::new(s, script(orders, []), None);
    w.run_for(40 * HOUR);
    let ended = ends(&w).expect("nobody came");
    assert_eq!(
        (notices(&w, "settlement-overdue"), shown(&w, "settlement-overdue")),
        (vec![ended + result], 1)
    );
}

#[test]
fn the_time_of_day_is_told_some_minutes_before() {
    let mut s = settings();
    (s.settlement.at, s.settlement.remind_minutes) = ("00:30".parse().ok(), 15);
    let day = 24 * HOUR;
    // By the host's clock (China).
    let local = at_epoch().0 + 8 * HOUR;
    let due = (local.div_euclid(day) * day + HOUR / 2 - local).rem_euclid(day);
    let mut w = World::new(s.clone(), script([sale("a")], []), None);
    w.run_for(3 * day);
    assert_eq!(
        (notices(&w, "settlement-soon"), shown(&w, "settlement-soon")),
        (vec![due - HOUR / 4], 1),
        "once: then it is settled"
    );
    let started = w.journal.iter().filter(|e| starts_settlement(e)).map(|e| e.at.since(at_epoch()).0);
    assert_eq!(started.collect::<Vec<_>>(), [due]);
    s.settlement.remind_minutes = 0;
    let mut w = World::new(s, script([sale("a")], []), None);
    w.run_for(3 * day);
    assert_eq!(notices(&w, "settlement-soon"), [0; 0]);
}

/// Each third sign-in of this bank names the next batch.
#[test]
fn a_sign_in_that_names_another_batch_changes_ours_when_it_is_empty_only() {
    let batch = |w: &World, id: &str| w.outcome(id).batch.map(|b| b.get());
    let sign_in = |id| control(id, Kind::SignIn);
    let moves = |orders: Vec<Order>, faults: Vec<HostFault>| {
        run(Script { moves_batch: true, ..script(orders, faults) })
    };
    // Nothing stands in ours.
    let w = moves(vec![sign_in("s"), sign_in("t"), sale("a")], vec![]);
    assert_eq!((batch(&w, "a"), notices(&w, "settle-first").len()), (Some(8), 0));
    // It holds a sale: told at a sign-in until it is settled, once a minute at most, and the next one is the
    // bank's.
    let w = moves(
        vec![
            sale("a"),
            sign_in("s"),
            sign_in("t"),
            sale("b"),
            sign_in("u"),
            settle("z"),
            sale("c"),
            sign_in("v"),
            sale("d"),
        ],
        vec![],
    );
    assert_eq!(["a", "b", "c", "d"].map(|id| batch(&w, id)), [Some(7), Some(7), Some(8), Some(8)]);
    assert_eq!(
        (settlement(&w, "z").verdict(), settlement(&w, "z").domestic.debit_count),
        (Some(Verdict::Balanced), 2)
    );
    assert_eq!(
        (notices(&w, "settle-first").len(), shown(&w, "settle-first")),
        (1, 0),
        "settled before the display was free: {:?}",
        w.notices
    );
    let w = moves(vec![sale("a"), sign_in("s"), sign_in("t")], vec![]);
    assert_eq!((notices(&w, "settle-first").len(), shown(&w, "settle-first")), (1, 1));
    // A pre-authorisation is in no batch's sums.
    let w = moves(
        vec![new(Kind::PreAuth, "p"), sign_in("s"), sign_in("t"), part(Kind::Completion, "q", "p", 900)],
        vec![],
    );
    assert_eq!((batch(&w, "p"), batch(&w, "q"), notices(&w, "settle-first").len()), (Some(7), Some(8), 0));
    // 77 in the middle of a sale: it signs in, and goes on in our batch.
    let w = moves(
        vec![sale("a"), sign_in("s"), sale("b"), settle("z"), sale("c")],
        vec![HostFault::Answer, HostFault::Answer, HostFault::Refuse("77")],
    );
    assert_eq!(
        ["a", "b", "c"].map(|id| (w.outcome(id).status, batch(&w, id))),
        [7, 7, 8].map(|b| (Status::Approved, Some(b)))
    );
    assert_eq!(notices(&w, "settle-first").len(), 1);
}

/// A line that is down at the time: tried again, under a key of its own, and never in the step that tells of
/// a payment.
#[test]
fn one_that_came_to_nothing_is_tried_again() {
    let mut s = settings();
    s.settlement.at = "00:30".parse().ok();
    let start = World::new(s.clone(), Script::default(), None).now.local(480);
    let to_due =
        ((48 - i64::from(start.hour())) % 24 * 60 + 30 - i64::from(start.minute())).rem_euclid(1440) * 60_000;
    let mut w = World::new(
        s,
        script(
            [sale("a"), sale("b")],
            [HostFault::Answer, HostFault::Answer, HostFault::NotSent, HostFault::NotSent],
        ),
        None,
    );
    w.run_for(to_due + 2 * 3_600_000);
    let own =
        |w: &World, status| w.told.iter().filter(|o| o.key.app == "terminal" && o.status == status).count();
    assert_eq!((own(&w, Status::Failed), own(&w, Status::Approved)), (2, 1), "{:?}", w.told);
    let mut keys: Vec<_> =
        w.told.iter().filter(|o| o.key.app == "terminal").map(|o| o.key.id.clone()).collect();
    keys.dedup();
    assert_eq!(keys.len(), 3, "{keys:?}");
    let at = |e: &payterm_schema::Entry| {
        matches!(&e.record, Record::Request(RequestRecord::Started { key, .. }) if key.app == "terminal")
            .then_some((e.seq, e.at))
    };
    for (seq, at) in w.journal.iter().filter_map(at) {
        assert!(
            !w.journal.iter().any(|e| e.seq + 1 == seq
                && e.at == at
                && matches!(e.record, Record::Request(RequestRecord::Outcome { .. }))),
            "in one step with an outcome"
        );
    }
}
