//! Acts that need the supervisor's word where there are operators: a write-off, and a settlement beside
//! something Stuck. With a cashier on duty the keypad asks for it; what is on record names who gave it.
use crate::staff::*;
use payterm_schema::{
    Fault, Kind, Money, ObligationRecord, Record, Screen, Status,
    offline::QueueAct,
    operator::{OperatorEvent, Purpose},
    outcome::Forwarding,
    record::ObligationState,
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    bank::HostFault,
    world::{Script, Scripted, Types, World},
};

/// Long after the last try of a reversal, ms.
const LATER: i64 = 3_600_000;
const WHY: &str = "the till was stolen";

fn write_off(txn: u64) -> Scripted {
    Scripted::Queue(QueueAct::WriteOff { txn, why: WHY.into() })
}
fn asks(screen: &Screen) -> bool {
    matches!(screen, Screen::Password { purpose: Purpose::Approve | Purpose::WriteOff, .. })
}

/// Nobody comes.
fn walks(screen: &Screen) -> Option<String> {
    if asks(screen) { None } else { good(screen) }
}
fn cancels(screen: &Screen) -> Option<String> {
    if asks(screen) { Some("x".into()) } else { good(screen) }
}
/// The cashier's own password is not the supervisor's.
fn has_the_cashiers_only(screen: &Screen) -> Option<String> {
    let empty = matches!(screen, Screen::Password { digits: 0, .. });
    if asks(screen) { empty.then(|| "482915c".into()) } else { good(screen) }
}
/// Types a wrong one first.
fn slips(screen: &Screen) -> Option<String> {
    if matches!(screen, Screen::Password { problem: None, .. }) {
        has_the_cashiers_only(screen)
    } else {
        good(screen)
    }
}
/// Refused, with what the caller hears.
fn refusals() -> [(&'static str, Types, Fault); 3] {
    let not_done = |rule: &str| Fault::NotDone { rule: rule.into() };
    [
        ("walks", walks, not_done("nothing was typed in time")),
        ("cancels", cancels, not_done("cancelled at the keypad")),
        ("has the cashier's only", has_the_cashiers_only, Fault::TerminalLocked),
    ]
}

/// A sale of which nobody knows whether it was executed: its answer and all its reversals are lost.
fn stuck_sale(inputs: Vec<(i64, Scripted)>, types: Types) -> Script {
    let mut faults = vec![HostFault::LoseReply];
    faults.extend(vec![HostFault::LoseRequest; 4]);
    Script { inputs, operator: Some((20, types)), ..script([sale("a")], faults) }
}
/// Write-offs of the journal: number of the record, by whom, why.
fn written_off(w: &World) -> Vec<(u64, String, String)> {
    let what = |r: &Record| {
        if let Record::Obligation(ObligationRecord::WrittenOff { by, why, .. }) = r {
            Some((by.clone(), why.clone()))
        } else {
            None
        }
    };
    w.journal.iter().filter_map(|e| what(&e.record).map(|(by, why)| (e.seq, by, why))).collect()
}
/// The supervisor's password was right for this, and when in the journal.
fn allowed(w: &World, purpose: Purpose) -> Vec<u64> {
    let right = OperatorEvent::Right { operator: id("00"), purpose };
    w.journal
        .iter()
        .filter(|e| matches!(&e.record, Record::Operator(event) if *event == right))
        .map(|e| e.seq)
        .collect()
}
fn wrong(w: &World, purpose: Purpose) -> usize {
    events(w).iter().filter(|e| **e == OperatorEvent::Wrong { operator: id("00"), purpose }).count()
}
fn asked(w: &World, purpose: Purpose, kind: Kind) -> usize {
    let asks = |s: &&Screen| {
        matches!(s, Screen::Password { purpose: p, operator, kind: k, digits: 0, .. }
            if *p == purpose && *operator == id("00") && *k == Some(kind))
    };
    w.shown.iter().filter(asks).count()
}

#[test]
fn a_write_off_asks_for_the_supervisor_and_names_who_asked_and_who_allowed() {
    for (types, tries) in [(good as Types, 0), (slips, 1)] {
        let w = run_with(staffed(), stuck_sale(vec![(LATER, write_off(1))], types));
        assert_eq!(w.sessions, [Ok(())]);
        let amount = Some(Money::new(1234, payterm_schema::Currency::CNY).expect("amount"));
        let seen = w.shown.iter().any(
            |s| matches!(s, Screen::Password { purpose: Purpose::WriteOff, amount: a, .. } if *a == amount),
        );
        assert!(seen && asked(&w, Purpose::WriteOff, Kind::Sale) > 0, "who allows it sees what");
        let (gone, right) = (written_off(&w), allowed(&w, Purpose::WriteOff));
        assert_eq!(
            gone.iter().map(|(_, by, why)| (by.as_str(), why.as_str())).collect::<Vec<_>>(),
            [("00 (shop)", WHY)]
        );
        assert!(right.len() == 1 && right[0] < gone[0].0 && wrong(&w, Purpose::WriteOff) == tries);
        assert_eq!(told(&w, "a").last(), Some(&(Status::Declined, "written-off".into())));
        assert!(w.machine.obligations().is_empty());
        assert_eq!(w.machine.state().staff.on_duty, Some(id("01")), "the cashier's shift goes on");
    }
}

#[test]
fn an_advice_is_written_off_on_its_outcome() {
    let script = Script {
        never: Some(1),
        inputs: vec![(LATER * 24, write_off(1))],
        operator: Some((20, good)),
        ..script([new(Kind::VoiceSale, "v")], [HostFault::LoseRequest])
    };
    let w = run_with(staffed(), script);
    assert_eq!(w.sessions, [Ok(())]);
    assert_eq!(
        w.outcome("v").forwarding,
        Some(Forwarding::WrittenOff { by: "00 (shop)".into(), why: WHY.into() })
    );
    assert_eq!(w.machine.state().ledger(&up()).debit_minor, 0, "it is in no sum any more");
}

#[test]
fn what_the_supervisor_does_not_allow_is_not_written_off() {
    for (name, types, fault) in refusals() {
        // Asked for twice: the second one is refused as the first.
        let inputs = vec![(LATER, write_off(1)), (2 * LATER, write_off(1))];
        let w = run_with(staffed(), stuck_sale(inputs, types));
        assert_eq!(w.sessions, [Err(fault.clone()), Err(fault.clone())], "{name}");
        assert_eq!((written_off(&w), allowed(&w, Purpose::WriteOff)), (vec![], vec![]), "{name}");
        assert_eq!(
            w.machine.obligations().iter().map(|o| o.state).collect::<Vec<_>>(),
            [ObligationState::Stuck],
            "{name}"
        );
        assert_eq!(w.outcome("a").status, Status::Unknown, "{name}");
        let locked = fault == Fault::TerminalLocked;
        assert_eq!(
            (wrong(&w, Purpose::WriteOff), w.machine.state().staff.locked.is_some()),
            (if locked { 3 } else { 0 }, locked),
            "{name}"
        );
    }
}

#[test]
fn a_write_off_waits_for_nobody_and_a_supervisor_on_duty_is_not_asked_again() {
    // Another one while the password is asked for.
    let inputs = vec![(LATER, write_off(1)), (LATER + 10, write_off(1))];
    let w = run_with(staffed(), stuck_sale(inputs, good));
    assert_eq!(
        (w.sessions.as_slice(), written_off(&w).len()),
        ([Err(Fault::Busy { running: None }), Ok(())].as_slice(), 1)
    );

    let mut inputs = keys([(100, "00c"), (200, "000000c"), (500, "739164c"), (800, "739164c")]);
    inputs.push((LATER, write_off(1)));
    let w = run_with(staffed(), stuck_sale(inputs, |_| None));
    assert_eq!((w.sessions.as_slice(), asked(&w, Purpose::WriteOff, Kind::Sale)), ([Ok(())].as_slice(), 0));
    assert_eq!(written_off(&w).iter().map(|(_, by, _)| by.as_str()).collect::<Vec<_>>(), ["00 (shop)"]);
}

/// Whatever is cut: nothing is written off without the right password before it, and nothing by half.
#[test]
fn the_power_is_cut_at_every_point_of_a_write_off() {
    let plan = || stuck_sale(vec![(LATER, write_off(1))], slips);
    let points = World::new(staffed(), plan(), None).run();
    let mut both = [0, 0];
    for at in 1..=points {
        let mut w = World::new(staffed(), plan(), [at]);
        w.run();
        let (gone, right) = (written_off(&w), allowed(&w, Purpose::WriteOff));
        assert!(gone.len() <= 1 && gone.len() == right.len(), "cut at {at}: {gone:?} {right:?}");
        assert!(gone.iter().zip(&right).all(|(g, r)| *r < g.0), "cut at {at}: {gone:?} {right:?}");
        let told = w.outcome("a").reason.is_some_and(|r| r.code == "written-off");
        assert_eq!(
            (told, told && !w.machine.obligations().is_empty()),
            (gone.len() == 1, false),
            "cut at {at}"
        );
        both[gone.len()] += 1;
    }
    assert!(both.iter().all(|n| *n > 5), "{both:?}");
}

/// Settles a batch with a sale, and one that is Stuck (its reversals arrive, their answers do not); the two
/// behind it wait for that in vain.
fn settles_with_stuck(types: Types, inputs: Vec<(i64, Scripted)>) -> World {
    let mut faults = vec![HostFault::Answer, HostFault::LoseReply];
    faults.extend(vec![HostFault::LoseReply; 4]);
    let orders = [sale("b"), sale("a"), sale("c"), sale("d"), control("z", Kind::Settlement)];
    run_with(staffed(), Script { inputs, operator: Some((20, types)), ..script(orders, faults) })
}

#[test]
fn a_settlement_beside_something_stuck_asks_for_the_supervisor() {
    for (types, tries) in [(good as Types, 0), (slips, 1)] {
        let w = settles_with_stuck(types, vec![]);
        let o = w.outcome("z");
        assert_eq!(
            (o.status, o.operator.as_str(), o.approved_by.as_deref()),
            (Status::Approved, "01", Some("00"))
        );
        assert_eq!(o.settlement.map(|s| s.stuck.len()), Some(1), "and it is listed");
        assert!(asked(&w, Purpose::Approve, Kind::Settlement) > 0);
        // On its own page, each try before the totals leave.
        let z = w.transcript("z");
        let page = ["started"]
            .into_iter()
            .chain(std::iter::repeat_n("operator", tries + 1))
            .chain(["settlement_asked"]);
        assert!(z.iter().map(String::as_str).take(tries + 3).eq(page), "{z:?}");
        assert_eq!(wrong(&w, Purpose::Approve), tries);
    }
}

#[test]
fn a_settlement_that_the_supervisor_does_not_allow_sends_no_totals() {
    for (name, types, fault) in refusals() {
        let w = settles_with_stuck(types, vec![]);
        let o = w.outcome("z");
        assert_eq!(
            (o.status, o.reason.map(|r| r.code), o.approved_by),
            (Status::Cancelled, Some("not-approved".into()), None),
            "{name}"
        );
        assert!(!w.transcript("z").contains(&"settlement_asked".to_owned()), "{name}");
        let ledger = w.machine.state().ledger(&up());
        assert_eq!(
            (ledger.batch.get(), ledger.debit_count, ledger.settling.is_some()),
            (7, 1, false),
            "{name}: the batch is open as before"
        );
        assert_eq!(w.machine.state().staff.locked.is_some(), fault == Fault::TerminalLocked, "{name}");
    }
}

#[test]
fn nobody_is_asked_when_nothing_is_stuck_or_the_supervisor_is_on_duty() {
    let w = run_with(
        staffed(),
        Script { operator: Some((20, good)), ..script([sale("a"), control("z", Kind::Settlement)], []) },
    );
    let o = w.outcome("z");
    assert_eq!(
        (o.status, o.approved_by, asked(&w, Purpose::Approve, Kind::Settlement)),
        (Status::Approved, None, 0)
    );

    let w = settles_with_stuck(
        |_| None,
        keys([(100, "00c"), (200, "000000c"), (500, "739164c"), (800, "739164c")]),
    );
    let o = w.outcome("z");
    assert_eq!(
        (o.status, o.operator.as_str(), o.approved_by, asked(&w, Purpose::Approve, Kind::Settlement)),
        (Status::Approved, "00", None, 0)
    );
}

/// At night nobody is there: it says what it needs, and goes through when the supervisor has seen to what is
/// Stuck.
#[test]
fn an_automatic_settlement_beside_something_stuck_waits_for_the_supervisor() {
    let mut s = staffed();
    s.settlement.at = "00:30".parse().ok();
    let mut faults = vec![HostFault::Answer, HostFault::LoseReply];
    faults.extend(vec![HostFault::LoseReply; 4]);
    let inputs = vec![(40 * LATER, write_off(2))];
    let mut w = World::new(
        s,
        Script { inputs, operator: Some((20, good)), ..script([sale("b"), sale("a")], faults) },
        None,
    );
    let own = |w: &World| -> Vec<(Status, Option<String>)> {
        w.told
            .iter()
            .filter(|o| o.key.app == "terminal")
            .map(|o| (o.status, o.reason.as_ref().map(|r| r.code.clone())))
            .collect()
    };
    w.run_for(40 * LATER);
    let failed = own(&w);
    assert!(
        !failed.is_empty()
            && failed.iter().all(|f| *f == (Status::Failed, Some("settlement-needs-supervisor".into()))),
        "{failed:?}"
    );
    assert_eq!(asked(&w, Purpose::Approve, Kind::Settlement), 0, "it does not hold up the keypad");
    w.run_for(24 * LATER);
    assert_eq!(w.sessions, [Ok(())]);
    assert_eq!(own(&w).last(), Some(&(Status::Approved, None)));
}

/// The reversal of an earlier sale is answered while the supervisor is asked about another request: that one
/// waits on, and ends.
#[test]
fn an_earlier_outcome_does_not_send_the_supervisor_away() {
    let faults = [HostFault::Answer, HostFault::LoseReply, HostFault::Slow(3_000)];
    for (types, said) in [(walks as Types, "not-approved"), (good, "")] {
        let script = Script {
            operator: Some((40, types)),
            ..script([sale("x"), sale("a"), void("v", "x")], faults.clone())
        };
        let w = run_with(staffed(), Script { digested: false, ..script });
        assert_eq!(told(&w, "a").len(), 2, "unknown, then taken back");
        let reasons: Vec<String> = told(&w, "v").into_iter().map(|(_, code)| code).collect();
        assert_eq!(reasons, [said]);
    }
}
