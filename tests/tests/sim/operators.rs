//! Operators in the deterministic world: who may start what, wrong passwords, locks, and the power cut at
//! every point of it.
use crate::staff::*;
use payterm_core::{Input, Machine, Settings};
use payterm_schema::{
    Entry, Fault, OperatorId, OperatorRequest, PaperRecord, Record, RequestRecord, Screen, Status, Time,
    operator::{LoggedOffWhy, OperatorEvent, Purpose},
    paper::PaperContent,
    totals::Scope,
};
use payterm_tests::sim::fixtures::*;
use payterm_tests::sim::{
    rng::Rng,
    world::{Script, Scripted, Types, World, key, service_code},
};

const NOW: Time = Time(2_000_000_000_000);

fn run(script: Script) -> World {
    run_with(staffed(), script)
}
fn problems(w: &World) -> Vec<String> {
    let problem = |s: &Screen| {
        if let Screen::Password { problem, digits: 0, .. }
        | Screen::OperatorNumber { problem, .. }
        | Screen::Locked { problem, digits: 0, .. } = s
        {
            problem.clone()
        } else {
            None
        }
    };
    w.shown.iter().filter_map(problem).collect()
}
fn on_duty(w: &World) -> Option<String> {
    w.machine.state().staff.on_duty.as_ref().map(ToString::to_string)
}

#[test]
fn nothing_is_sold_before_somebody_logs_on() {
    let w = run(script([sale("a"), control("b", payterm_schema::Kind::Echo)], []));
    assert_eq!(w.answered[&key("a")], Err(Fault::NotLoggedOn));
    assert!(w.transcript("a").is_empty(), "refused before anything is journalled");
    assert_eq!(w.outcome("b").status, Status::Approved, "the line can be tested");
    assert!(matches!(w.machine.screen(), Screen::LogOn(_)));
}

#[test]
fn a_new_terminal_has_three_operators_whose_passwords_must_be_changed() {
    let w = run(Script { operator: Some((5, good)), ..script([sale("a")], []) });
    let all: Vec<_> =
        w.machine.state().staff.operators.iter().map(|(o, s)| (o.to_string(), s.must_change)).collect();
    assert_eq!(all, [("00".to_owned(), true), ("01".to_owned(), false), ("99".to_owned(), true)]);
    assert_eq!(on_duty(&w), Some("01".into()));
    let o = w.outcome("a");
    assert_eq!((o.status, o.operator.as_str(), o.approved_by), (Status::Approved, "01", None));
    let typed: Vec<_> = events(&w)
        .into_iter()
        .filter(|e| matches!(e, OperatorEvent::Right { .. } | OperatorEvent::LoggedOn { .. }))
        .collect();
    let one = || id("01");
    assert_eq!(
        typed,
        [
            OperatorEvent::Right { operator: one(), purpose: Purpose::Change },
            OperatorEvent::Right { operator: one(), purpose: Purpose::LogOn },
            OperatorEvent::LoggedOn { operator: one() }
        ]
    );
}

#[test]
fn the_operator_on_duty_stands_in_outcome_and_message() {
    let mut inputs = keys([(100, "07c")]); // There is no 07: the number is asked for again.
    inputs.extend(keys([(300, "01c"), (400, "111111c"), (700, "482915c"), (1_000, "482915c")]));
    let w = run(Script { inputs, operator: Some((1, |_| None)), ..script([sale("a")], []) });
    assert!(problems(&w).contains(&"operator-unknown".into()));
    let plan = w.journal.iter().find_map(|e| {
        if let Record::Request(RequestRecord::Allowed { plan, .. }) = &e.record {
            Some(plan.operator.clone())
        } else {
            None
        }
    });
    assert_eq!((plan.as_deref(), w.outcome("a").operator.as_str()), (Some("01"), "01"));
}

#[test]
fn a_shift_is_a_cashiers_and_its_report_has_the_number() {
    let settings = Settings { operator: "77".into(), ..staffed() };
    let mut w = run_with(settings.clone(), Script { operator: Some((5, good)), ..script([sale("a")], []) });
    let rows = |then: &[&str]| {
        let mut journal = w.journal.clone();
        for operator in then {
            let seq = journal.len() as u64 + 1;
            journal.push(Entry {
                seq,
                at: NOW,
                txn: None,
                record: Record::Operator(OperatorEvent::LoggedOn { operator: id(operator) }),
            });
        }
        let m = Machine::replay(settings.clone(), None, journal).expect("a sound journal");
        m.state()
            .accounts
            .values()
            .fold((0, 0), |(shift, batch), l| (shift + l.shift.len(), batch + l.totals.len()))
    };
    assert_eq!(rows(&[]), (1, 1));
    assert_eq!(rows(&["01", "00", "01"]), (1, 1), "the same cashier again, and the supervisor in between");
    assert_eq!(rows(&["02"]), (0, 1), "another cashier's shift begins at zero, the batch goes on");
    let step = w.machine.handle(Input::PrintReport { call: 1, app: "app".into(), scope: Scope::Shift }, NOW);
    let operator = step.records.iter().find_map(|e| {
        let Record::Paper(PaperRecord::Queued { job }) = &e.record else { return None };
        if let PaperContent::Totals(t) = &job.content { Some(t.operator.clone()) } else { None }
    });
    assert_eq!(operator.as_deref(), Some("01"), "whoever is on duty");
}

#[test]
fn new_passwords_are_judged() {
    let tries = keys([
        (100, "01c"),
        (200, "111111c"),
        (500, "12345c"),    // not six digits
        (800, "4829151c"),  // seven are not cut to six
        (1_100, "456789c"), // follow one another
        (1_400, "111111c"), // the old one is a weak one too
        (1_700, "482915c"),
        (2_000, "482916c"), // not the same
        (2_300, "482915c"),
        (2_600, "482915c"),
        (3_000, "01c"), // on duty: logs on again
        (3_200, "482915c"),
    ]);
    let mut inputs = tries;
    inputs.push((3_600, Scripted::Operators(OperatorRequest::ChangePassword)));
    inputs.extend(keys([(3_700, "482915c"), (4_000, "482915c"), (4_300, "x")]));
    let w = run(Script { inputs, ..script([], []) });
    assert_eq!(
        problems(&w),
        ["six-digits", "six-digits", "password-weak", "password-weak", "passwords-differ", "password-same"]
    );
    assert_eq!(w.sessions, [Err(Fault::NotDone { rule: "cancelled at the keypad".into() })]);
    assert_eq!(on_duty(&w), Some("01".into()), "a change that was given up changes nothing");
}

#[test]
fn three_wrong_passwords_lock_a_cashier_until_the_supervisor_unlocks() {
    let log_on = || Scripted::Operators(OperatorRequest::LogOn { operator: id("01") });
    let unlock = || Scripted::Operators(OperatorRequest::Unlock { operator: id("01") });
    let mut inputs = vec![(100, log_on())];
    inputs.extend(keys([(200, "482910c"), (500, "482911c"), (800, "482912c")]));
    inputs.extend([(1_200, log_on()), (1_300, unlock())]);
    inputs.extend(keys([(1_400, "000000c"), (1_700, "739164c"), (2_000, "739164c")]));
    inputs.push((2_400, log_on()));
    inputs.extend(keys([(2_500, "111111c"), (2_800, "482915c"), (3_100, "482915c")]));
    let w = run(Script { inputs, ..script([], []) });
    let locked = || Err(Fault::OperatorLocked { operator: "01".into() });
    assert_eq!(w.sessions, [locked(), locked(), Ok(()), Ok(())]);
    let told: Vec<_> = events(&w)
        .into_iter()
        .filter(|e| {
            matches!(
                e,
                OperatorEvent::Wrong { .. } | OperatorEvent::Locked { .. } | OperatorEvent::Unlocked { .. }
            )
        })
        .collect();
    assert_eq!(told.len(), 5);
    assert_eq!(told[4], OperatorEvent::Unlocked { operator: id("01"), by: id("00") });
    assert_eq!(on_duty(&w), Some("01".into()));
}

#[test]
fn a_right_password_in_between_starts_the_count_again() {
    let mut inputs = keys([
        (100, "01c"),
        (200, "482910c"),
        (500, "482911c"),
        (800, "111111c"),
        (1_100, "482915c"),
        (1_400, "482915c"),
    ]);
    inputs.extend(keys([(1_800, "01c"), (1_900, "482910c"), (2_200, "482911c"), (2_500, "482915c")]));
    let w = run(Script { inputs, ..script([], []) });
    assert_eq!(w.machine.state().staff.operators[&id("01")].wrong, 0);
    assert_eq!(on_duty(&w), Some("01".into()));
}

#[test]
fn cashiers_come_and_go_by_the_supervisor() {
    let ask = |r| Scripted::Operators(r);
    let mut inputs = vec![(100, ask(OperatorRequest::Add { operator: id("02") }))];
    // The supervisor's first password has to go before it opens anything; then the cashier's first one,
    // twice.
    inputs.extend(keys([
        (200, "000000c"),
        (500, "739164c"),
        (800, "739164c"),
        (1_100, "482915c"),
        (1_400, "482915c"),
    ]));
    inputs.push((1_800, ask(OperatorRequest::Add { operator: id("02") })));
    inputs.push((1_900, ask(OperatorRequest::Add { operator: id("99") })));
    inputs.push((2_000, ask(OperatorRequest::LogOn { operator: id("02") })));
    inputs.extend(keys([(2_100, "482915c"), (2_400, "640182c"), (2_700, "640182c")]));
    inputs.push((3_000, ask(OperatorRequest::Remove { operator: id("02") })));
    inputs.push((3_100, ask(OperatorRequest::Remove { operator: id("01") })));
    inputs.extend(keys([(3_200, "739164c")]));
    inputs.push((3_600, ask(OperatorRequest::LogOff)));
    inputs.push((3_700, ask(OperatorRequest::LogOn { operator: id("01") })));
    let w = run(Script { inputs, ..script([], []) });
    let wrong_state = |rule: &str| Err(Fault::WrongState { rule: rule.into() });
    assert_eq!(
        w.sessions,
        [
            Ok(()),
            wrong_state("there is an operator of this number"),
            Err(Fault::invalid("operator", "a cashier: 01 to 89")),
            Ok(()),
            wrong_state("the operator is on duty"),
            Ok(()),
            Ok(()),
            Err(Fault::not_found("operator", "01")),
        ]
    );
    let named: Vec<_> = w.machine.state().staff.operators.keys().map(ToString::to_string).collect();
    assert_eq!(named, ["00", "02", "99"], "01 does not come back");
}

#[test]
fn a_supervisor_on_duty_is_not_asked_again() {
    let mut inputs = keys([(100, "00c"), (200, "000000c"), (500, "739164c"), (800, "739164c")]);
    inputs.push((970, Scripted::Operators(OperatorRequest::Remove { operator: id("01") })));
    let w = run(Script { inputs, operator: Some((1, |_| None)), ..script([sale("a"), void("b", "a")], []) });
    assert_eq!(w.sessions, [Ok(())]);
    let o = w.outcome("b");
    assert_eq!((o.status, o.operator.as_str(), o.approved_by), (Status::Approved, "00", None));
}

#[test]
fn a_void_asks_for_the_supervisor() {
    let w = run(Script { operator: Some((9, good)), ..script([sale("a"), void("b", "a")], []) });
    let o = w.outcome("b");
    assert_eq!(
        (o.status, o.operator.as_str(), o.approved_by.as_deref()),
        (Status::Approved, "01", Some("00"))
    );
    assert_eq!(
        w.transcript("b"),
        ["started", "operator", "allowed", "answered", "outcome"],
        "who allowed it is on its page"
    );
}

#[test]
fn a_void_that_the_supervisor_does_not_allow_sends_nothing() {
    fn walks(screen: &Screen) -> Option<String> {
        if matches!(screen, Screen::Password { purpose: Purpose::Approve, .. }) { None } else { good(screen) }
    }
    fn cancels(screen: &Screen) -> Option<String> {
        if matches!(screen, Screen::Password { purpose: Purpose::Approve, .. }) {
            Some("x".into())
        } else {
            good(screen)
        }
    }
    /// Types the first password, and gives up when a new one is asked for: that is no approval.
    fn gives_up(screen: &Screen) -> Option<String> {
        let new = matches!(screen, Screen::Password { purpose: Purpose::New, operator, .. }
            if *operator == OperatorId::supervisor());
        if new { Some("x".into()) } else { good(screen) }
    }
    for operator in [walks as Types, cancels, gives_up] {
        let w = run(Script {
            operator: Some((20, operator)),
            ..script([sale("a"), void("b", "a"), sale("c")], [])
        });
        let o = w.outcome("b");
        assert_eq!(
            (o.status, o.reason.map(|r| r.code), o.approved_by),
            (Status::Cancelled, Some("not-approved".into()), None)
        );
        assert!(!w.transcript("b").contains(&"allowed".to_owned()));
        assert_eq!(w.outcome("c").status, Status::Approved);
    }
}

/// Knows everything but the supervisor's password; has customer service's code when there is a challenge.
fn guesses(screen: &Screen) -> Option<String> {
    if let Screen::Locked { lock, digits: 0, problem: None } = screen {
        return lock.challenge.as_deref().map(|c| format!("{}c", service_code(c)));
    }
    if matches!(screen, Screen::Password { purpose: Purpose::Approve, digits: 0, .. }) {
        Some("482910c".into())
    } else {
        good(screen)
    }
}

#[test]
fn a_locked_supervisor_locks_the_terminal_and_the_service_code_opens_it_once() {
    let w = run(Script { operator: Some((9, guesses)), ..script([sale("a"), void("b", "a")], []) });
    assert_eq!(w.outcome("b").reason.map(|r| r.code), Some("not-approved".into()));
    let kinds: Vec<_> = events(&w)
        .into_iter()
        .filter(|e| !matches!(e, OperatorEvent::Set { .. } | OperatorEvent::Right { .. }))
        .collect();
    assert_eq!(
        kinds.iter().filter(|e| matches!(e, OperatorEvent::Wrong { purpose: Purpose::Approve, .. })).count(),
        3
    );
    assert!(kinds.iter().any(|e| matches!(e, OperatorEvent::TerminalLocked { by } if *by == id("00"))));
    assert_eq!(kinds.last(), Some(&OperatorEvent::TerminalUnlocked { by: id("00") }));
    let staff = &w.machine.state().staff;
    assert_eq!(
        (staff.locked.as_ref(), staff.operators[&id("00")].locked, staff.operators[&id("00")].must_change),
        (None, false, true)
    );
    assert_eq!(on_duty(&w), Some("01".into()), "the cashier's shift goes on");
}

#[test]
fn a_locked_terminal_starts_nothing_and_lets_nobody_try_codes() {
    let log_on = Scripted::Operators(OperatorRequest::LogOn { operator: id("99") });
    let mut inputs = vec![(100, log_on)];
    inputs.extend(keys([(200, "482910c"), (400, "482911c"), (600, "482912c")]));
    // Too short, wrong, too soon, too soon, wrong after the wait.
    inputs.extend(keys([
        (1_800, "1234c"),
        (2_100, "12345678c"),
        (3_000, "12345678c"),
        (20_000, "12345678c"),
        (33_000, "87654321c"),
    ]));
    inputs.push((34_000, Scripted::Operators(OperatorRequest::LogOn { operator: id("01") })));
    let w = run(Script { inputs, ..script([sale("a"), control("b", payterm_schema::Kind::Echo)], []) });
    assert_eq!(w.answered[&key("a")], Err(Fault::TerminalLocked));
    assert_eq!(w.answered[&key("b")], Err(Fault::TerminalLocked), "not even a test of the line");
    assert_eq!(w.sessions, [Err(Fault::TerminalLocked), Err(Fault::TerminalLocked)]);
    assert_eq!(problems(&w)[..2], ["password-wrong", "last-try"]);
    assert_eq!(
        problems(&w)[2..],
        ["eight-digits", "code-wrong", "code-too-soon", "code-too-soon", "code-wrong"]
    );
    let lock = w.machine.state().staff.locked.clone().expect("locked");
    assert_eq!((lock.wrong, lock.by), (2, id("99")));
    let waits: Vec<i64> = w
        .journal
        .iter()
        .filter_map(|e| {
            if let Record::Operator(OperatorEvent::CodeWrong { not_before }) = &e.record {
                Some(not_before.since(e.at).0)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(waits, [30_000, 60_000], "each wrong code costs twice the time");
}

#[test]
fn nobody_at_the_terminal_is_logged_off_but_never_in_a_request() {
    let mut s = staffed();
    s.operators.idle_lock_ms = 60_000;
    let w = run_with(
        s,
        Script {
            operator: Some((4, good)),
            ..script([sale("a")], [payterm_tests::sim::bank::HostFault::SlowRefuse(69_000, "51")])
        },
    );
    assert_eq!(w.outcome("a").status, Status::Declined);
    let ended = w
        .journal
        .iter()
        .rfind(|e| matches!(e.record, Record::Request(RequestRecord::Outcome { .. })))
        .map(|e| e.at)
        .expect("an outcome");
    let off = w.journal.iter().find(|e| {
        matches!(&e.record, Record::Operator(OperatorEvent::LoggedOff { why: LoggedOffWhy::Idle, .. }))
    });
    let off = off.expect("logged off").at;
    assert_eq!(off.since(ended).0 / 1_000, 60, "from the end of the request");
    assert!(matches!(w.machine.screen(), Screen::LogOn(_)));
}

#[test]
fn a_session_that_nobody_goes_on_with_ends() {
    let inputs = vec![
        (100, Scripted::Operators(OperatorRequest::LogOn { operator: id("01") })),
        (50_000, Scripted::Keys("11")),
        (55_000, Scripted::Operators(OperatorRequest::LogOff)),
    ];
    let w = run(Script { inputs, ..script([], []) });
    assert_eq!(
        w.sessions,
        [
            Err(Fault::Busy { running: None }),
            Err(Fault::NotDone { rule: "nothing was typed in time".into() })
        ]
    );
}

#[test]
fn a_number_that_nobody_finishes_keeps_no_customer_waiting() {
    let inputs = keys([(900, "0")]);
    let w = run(Script { inputs, operator: Some((4, good)), ..script([sale("a")], []) });
    assert!(w.shown.iter().any(|s| matches!(s, Screen::OperatorNumber { typed, .. } if typed == "0")));
    assert_eq!(w.outcome("a").status, Status::Approved);
    // Asked for in vain on the bus, the display is at rest again.
    let inputs = [
        (100, Scripted::Keys("0")),
        (200, Scripted::Operators(OperatorRequest::LogOn { operator: id("55") })),
    ];
    let w = run(Script { inputs: inputs.to_vec(), ..script([], []) });
    assert_eq!(w.sessions, [Err(Fault::not_found("operator", "55"))]);
    assert!(matches!(w.machine.screen(), Screen::LogOn(_)));
}

#[test]
fn without_operators_the_keypad_and_the_bus_change_nothing() {
    let inputs =
        vec![(100, Scripted::Keys("01c111111c")), (500, Scripted::Operators(OperatorRequest::LogOff))];
    let w = run_with(settings(), Script { inputs, ..script([sale("a"), void("b", "a")], []) });
    assert!(matches!(w.sessions[..], [Err(Fault::WrongState { .. })]) && events(&w).is_empty());
    assert_eq!((w.outcome("b").status, w.outcome("b").operator.as_str()), (Status::Approved, "01"));
}

/// The power is cut at every point of a first logon, a sale, a void with wrong and right supervisor's
/// passwords and the service code. The checkers of the world hold at each: replay is the machine, no wrong
/// password is forgotten, what ends has ended.
#[test]
fn the_power_is_cut_at_every_point_of_logon_and_lock() {
    let plan = || Script { operator: Some((40, guesses)), ..script([sale("a"), void("b", "a")], []) };
    let points = World::new(staffed(), plan(), None).run();
    assert!(points > 100, "{points}");
    for at in 1..=points {
        let mut w = World::new(staffed(), plan(), [at]);
        w.run();
        let staff = &w.machine.state().staff;
        assert_eq!(w.cuts, 1, "cut at {at}");
        assert_eq!(staff.operators.len(), 3, "cut at {at}: the first operators");
        assert_eq!(w.outcome("a").operator, "01", "cut at {at}");
        let count = |f: fn(&OperatorEvent) -> bool| events(&w).iter().filter(|e| f(e)).count();
        let wrong = count(|e| matches!(e, OperatorEvent::Wrong { purpose: Purpose::Approve, .. }));
        let locks = count(|e| matches!(e, OperatorEvent::TerminalLocked { .. }));
        let opened = count(|e| matches!(e, OperatorEvent::TerminalUnlocked { .. }));
        assert!(
            wrong <= 3 && locks == usize::from(wrong == 3) && opened == locks,
            "cut at {at}: {wrong} wrong, {locks} locks, {opened} opened"
        );
    }
}

/// People who know some of the passwords, in a hurry, and the power: whatever they do, the rules hold.
#[test]
fn whatever_is_typed_nobody_gets_a_try_too_many() {
    const TYPED: [&str; 12] = [
        "01c", "00c", "99c", "111111c", "000000c", "999999c", "482915c", "482910c", "739164c", "123456c",
        "x", "55512c",
    ];
    let (mut locks, mut opened, mut logons, mut voids) = (0, 0, 0, 0);
    for seed in 0..150u64 {
        let mut rng = Rng::new(seed);
        let mut pick = |n: u64| rng.roll(n);
        let who = [id("01"), id("00"), id("99"), id("02")];
        let inputs = (1..60)
            .map(|i| {
                let one = || who.clone();
                let what = match pick(12) {
                    0 => Scripted::Operators(OperatorRequest::LogOn {
                        operator: one()[pick(4) as usize].clone(),
                    }),
                    1 => Scripted::Operators(OperatorRequest::Add { operator: id("02") }),
                    2 => Scripted::Operators(OperatorRequest::Unlock { operator: id("01") }),
                    3 => Scripted::Operators(if pick(2) == 0 {
                        OperatorRequest::LogOff
                    } else {
                        OperatorRequest::ChangePassword
                    }),
                    _ => Scripted::Keys(TYPED[pick(12) as usize]),
                };
                (400 * i, what)
            })
            .collect();
        let orders = [sale("a"), void("b", "a"), sale("c")];
        let script = Script { inputs, operator: Some((pick(30) as u32, guesses)), ..script(orders, []) };
        let mut w = World::new(staffed(), script, [pick(300) as usize + 1, pick(600) as usize + 1]);
        w.run();
        let mut wrong = std::collections::BTreeMap::new();
        let mut locked = std::collections::BTreeSet::new();
        for event in events(&w) {
            match event {
                OperatorEvent::Wrong { operator, .. } => {
                    assert!(
                        !locked.contains(&operator),
                        "seed {seed}: a locked operator's password was checked"
                    );
                    let n = wrong.entry(operator).or_insert(0);
                    *n += 1;
                    assert!(*n <= 3, "seed {seed}: {n} wrong passwords in a row");
                }
                OperatorEvent::Right { operator, .. } => {
                    assert!(!locked.contains(&operator), "seed {seed}: a locked operator got in");
                    wrong.insert(operator, 0);
                }
                OperatorEvent::Set { operator, .. } | OperatorEvent::Removed { operator, .. } => {
                    wrong.insert(operator, 0);
                }
                OperatorEvent::Locked { operator } => {
                    assert_eq!(wrong[&operator], 3, "seed {seed}");
                    locks += 1;
                    locked.insert(operator);
                }
                OperatorEvent::Unlocked { operator, .. }
                | OperatorEvent::TerminalUnlocked { by: operator } => {
                    opened += 1;
                    locked.remove(&operator);
                    wrong.insert(operator, 0);
                }
                OperatorEvent::LoggedOn { operator } => {
                    assert!(!locked.contains(&operator), "seed {seed}");
                    logons += 1;
                }
                OperatorEvent::LoggedOff { .. }
                | OperatorEvent::TerminalLocked { .. }
                | OperatorEvent::Challenged { .. }
                | OperatorEvent::CodeWrong { .. } => {}
            }
        }
        for o in payterm_tests::sim::checks::outcomes(&w.journal)
            .values()
            .filter(|o| o.kind == payterm_schema::Kind::Void)
        {
            let allowed = o.approved_by.is_some() || o.operator != "01" || o.status != Status::Approved;
            assert!(allowed, "seed {seed}: a cashier's void without the supervisor");
            voids += u32::from(o.status == Status::Approved);
        }
    }
    assert!(
        locks > 20 && opened > 5 && logons > 50 && voids > 5,
        "it happens: {locks} {opened} {logons} {voids}"
    );
}
