//! A journal that was put back: no payments, no number used twice, nothing driven, until the recovery is
//! ended on record. And the clock that is doubted until a host confirms it.
mod batches;
mod stopped;

use payterm_core::{Effect, Input, Settings, Step};

use payterm_schema::{
    Batch, Fault, HostAnswer, HostEvent, Record, RequestKey, RequestRecord, Screen, Stan, Status,
    TerminalRecord, Time,
    host::{HostRules, MacVerdict},
    operator::{OperatorId, OperatorRequest, Purpose},
    outcome::{Authority, Forwarding},
    record::{ClockEvent, Entry, ObligationState, Restored},
    settlement::{BatchPart, BatchRow, Half, Halves, SettlementReply},
    time::Millis,
};

use crate::till::*;

#[test]
fn a_restored_journal_takes_no_payments_and_uses_no_number_again() {
    // The backup was made while a frame was out: it says nothing of the answer.
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    assert_eq!(before.sale("one"), Some(Stan::FIRST));
    let mut till = Till::new(before.disk.clone());
    let step = till.machine.restored(NOW, restored(9, Some(200)));
    till.keep(step);
    let step = till.boot(NOW);
    assert_eq!(sent(&step), None, "a reversal might take back what was approved and told");
    let open = till.machine.obligations().iter().next().unwrap();
    assert_eq!(open.state, ObligationState::Stuck);
    let unknown = |e: &Entry| {
        matches!(&e.record, Record::Request(RequestRecord::Outcome { outcome, .. })
            if outcome.status == Status::Unknown)
    };
    assert!(step.records.iter().any(unknown));
    assert_eq!(till.machine.screen(), Screen::Trouble { what: "recovering".into() });
    assert!(till.machine.state().inhibits().contains(&payterm_schema::inhibit::InhibitReason::Restoring));
    // Later too, and after another start.
    for _ in 0..2 {
        let later = till.machine.handle_timeout(NOW + Millis::secs(86_400));
        assert_eq!(sent(&till.keep(later)), None);
        assert_eq!(
            answer(&till.input(start("sale", "two"))),
            Some(Err(Fault::JournalRestored { id: "two".into() }))
        );
        assert!(matches!(
            answer(&till.input(Input::RetryObligation { call: 2, txn: 1, by: "m".into() })),
            Some(Err(Fault::WrongState { .. }))
        ));
        till = Till::new(till.disk);
        till.boot(NOW);
    }
    assert_eq!(answer(&till.input(start("echo", "e"))), Some(Ok(())), "what moves no money goes on");
    till = Till::new(till.disk);
    till.boot(NOW);
    assert_eq!(
        answer(&till.input(Input::Operators { call: 3, request: OperatorRequest::EndRecovery })),
        Some(Ok(()))
    );
    assert!(till.disk.iter().any(
        |e| matches!(&e.record, Record::Terminal(TerminalRecord::RecoveryEnded { by }) if by == "manager")
    ));
    assert!(matches!(
        answer(&till.input(Input::Operators { call: 4, request: OperatorRequest::EndRecovery })),
        Some(Err(Fault::WrongState { .. }))
    ));
    // Above the marks: STAN 200 and transaction 9 may have been used.
    let stan = till.sale("two").unwrap();
    assert!((201..=210).contains(&stan.get()), "{stan}");
    assert!(till.machine.state().last_txn > 9);
    assert_eq!(
        till.machine.obligations().iter().filter(|o| o.state == ObligationState::Stuck).count(),
        1,
        "a person's, still"
    );
}

/// In recovery, with operators, and the cashier 01 on duty.
fn in_recovery() -> Till {
    let mut s = settings();
    s.operators =
        payterm_schema::config::OperatorsConfig { required: true, idle_lock_ms: 0, ..Default::default() };
    let mut till = Till::with(s, Vec::new());
    let step = till.machine.restored(NOW, restored(9, Some(200)));
    till.keep(step);
    till.boot(NOW);
    till.types("01c111111c482915c482915c");
    assert_eq!(till.machine.state().staff.on_duty.as_ref().map(ToString::to_string), Some("01".into()));
    till
}

/// Settled after the backup was made: `till` is in recovery, and the sale "one" is in its batch 1.
fn settled_in_what_is_lost() -> Till {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.paid("one");
    let backup = before.disk.clone();
    let totals = before.input(start("settlement", "z"));
    let half = Half { debit_minor: 100, debit_count: 1, ..Default::default() };
    let settlement = Some(SettlementReply { domestic: (half, 1), foreign: (Half::default(), 1) });
    let answer = HostAnswer { settlement, ..host_answer(r#""code":"00""#) };
    before.input(Input::Host { tag: tag_of(&totals).unwrap(), event: reply(answer) });
    let end = before.machine.handle_timeout(NOW);
    let end = before.keep(end);
    before.answered(&end, r#""code":"00""#);
    assert_eq!((before.bank().batch.get(), before.counted()), (2, (0, 0)));
    Till::new(backup).restore(settings(), Some(200)).0
}

#[test]
fn where_there_are_operators_the_supervisor_ends_a_recovery() {
    let mut till = in_recovery();
    let from = till.disk.len();
    till.ends_recovery();
    let asked = |s: &Screen| {
        matches!(s, Screen::Password { operator, purpose: Purpose::Manage, .. }
            if *operator == OperatorId::supervisor())
    };
    assert!(asked(&till.machine.screen()) && till.ended.is_empty(), "{:?}", till.machine.screen());
    // Cancelled; the cashier's own password, and then nobody.
    till.types("x");
    till.ends_recovery();
    till.types("482915c");
    assert!(asked(&till.machine.screen()));
    let step = till.machine.handle_timeout(NOW + Millis::secs(3_600));
    till.keep(step);
    let not_done = |rule: &str| Err(Fault::NotDone { rule: rule.into() });
    assert_eq!(till.ended, [not_done("cancelled at the keypad"), not_done("nothing was typed in time")]);
    assert_eq!(till.story(from), ["00 Manage wrong"]);
    assert!(till.machine.state().recovering.is_some());
    assert_eq!(
        answer(&till.input(start("sale", "one"))),
        Some(Err(Fault::JournalRestored { id: "one".into() }))
    );

    // The supervisor, whose first password has to be changed before it is good for anything.
    till.ends_recovery();
    till.types("000000c739164c");
    assert!(till.machine.state().recovering.is_some());
    till.types("739164c");
    assert_eq!(till.ended.last(), Some(&Ok(())));
    assert_eq!(till.story(from), ["00 Manage wrong", "00 Change", "00 Manage", "ended by 00"]);
    assert!(till.machine.state().recovering.is_none());
    assert!(till.sale("one").is_some(), "the cashier's shift goes on");
}

#[test]
fn wrong_passwords_lock_the_terminal_and_end_no_recovery() {
    let mut till = in_recovery();
    let from = till.disk.len();
    till.ends_recovery();
    till.types("482915c482916c482917c");
    till.ends_recovery();
    assert_eq!(till.ended, [Err(Fault::TerminalLocked), Err(Fault::TerminalLocked)]);
    assert_eq!(till.story(from), ["00 Manage wrong", "00 Manage wrong", "00 Manage wrong", "locked by 00"]);
    assert!(till.machine.state().recovering.is_some());
}

#[test]
fn a_supervisor_on_duty_ends_a_recovery_at_once() {
    let mut till = in_recovery();
    till.types("00c000000c739164c739164c");
    let from = till.disk.len();
    till.ends_recovery();
    assert_eq!(
        (till.ended.as_slice(), till.story(from)),
        ([Ok(())].as_slice(), vec!["ended by 00".to_owned()])
    );
}

/// What was owed is left to people before anything is driven.
#[test]
fn the_record_of_a_restoring_sends_nothing() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.sale("one");
    let mut again = Till::new(before.disk);
    assert!(sent(&again.boot(NOW)).is_some(), "its reversal is due");
    let mut till = Till::new(again.disk);
    let step = till.machine.restored(NOW, restored(1, Some(100)));
    assert_eq!((sent(&step), step.records.len()), (None, 1));
}

/// No frame of the request is in the journal: that is no proof that none left.
#[test]
fn a_request_that_ran_ends_unknown() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.input(start("sale", "one"));
    let ended = |restore: bool| {
        let mut till = Till::new(before.disk.clone());
        if restore {
            let step = till.machine.restored(NOW, restored(1, Some(100)));
            till.keep(step);
        }
        let step = till.boot(NOW);
        step.records.iter().find_map(|e| {
            if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
                Some((outcome.status, outcome.reason.clone().unwrap().code))
            } else {
                None
            }
        })
    };
    assert_eq!(ended(false), Some((Status::Failed, "interrupted".into())));
    assert_eq!(ended(true), Some((Status::Unknown, "journal-restored".into())));
    // It owes nothing that could be driven, and a person can end it: not as executed, for it has no place in
    // a batch.
    let mut till = Till::new(before.disk);
    let step = till.machine.restored(NOW, restored(1, Some(100)));
    till.keep(step);
    till.boot(NOW);
    let mut say = |executed| {
        let step = till.input(Input::Resolve {
            call: 5,
            txn: 1,
            executed,
            stan: None,
            reference: "case 1".into(),
            by: "m".into(),
        });
        let outcome = step.records.iter().find_map(|e| {
            if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
                Some(outcome.status)
            } else {
                None
            }
        });
        (answer(&step), outcome)
    };
    assert!(matches!(say(true), (Some(Err(Fault::WrongState { .. })), None)));
    assert_eq!(say(false), (Some(Ok(())), Some(Status::Declined)));
    assert!(matches!(say(false), (Some(Err(Fault::NotFound { .. })), None)), "once");
}

/// The marks are lost too: far away from the numbers used last, and from those of earlier recoveries.
#[test]
fn without_marks_the_stans_go_on_far_away() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.sale("one");
    let mut till = Till::new(before.disk);
    let mut begun = vec![2];
    for _ in 0..20 {
        let step = till.machine.restored(NOW, restored(1, None));
        till.keep(step);
        let next = till.machine.state().next_stan(&account()).get();
        let near = begun.iter().map(|b| next.abs_diff(*b)).map(|d| d.min(999_999 - d)).min();
        assert!(near > Some(20_000), "{next} is near one of {begun:?}");
        begun.push(next);
    }
    assert_eq!(begun[1], 618_036);
}

#[test]
fn a_damaged_journal_begins_nothing_new() {
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    till.input(Input::JournalDamaged { why: "record 7: gone".into() });
    assert_eq!(till.machine.screen(), Screen::Trouble { what: "journal-damaged".into() });
    assert_eq!(
        answer(&till.input(start("sale", "one"))),
        Some(Err(Fault::JournalDamaged { cause: "record 7: gone".into() }))
    );
}

#[test]
fn the_clock_is_doubted_until_a_host_confirms_it() {
    let doubt = |till: &Till| till.machine.state().clock_doubt.clone().map(|d| d.1);
    let trusted = |till: &Till, now| till.machine.state().clock_trusted(now);
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    assert!(trusted(&till, NOW));
    till.input(Input::ClockJumped { by: Millis::secs(7_200) });
    assert_eq!(doubt(&till), Some(ClockEvent::Jumped { by: Millis::secs(7_200) }));
    assert!(!trusted(&till, NOW));
    // In the past after a start: named, and it works on.
    let mut till = Till::new(till.disk);
    till.boot(Time(NOW.0 - 3_600_000));
    assert!(
        matches!(doubt(&till), Some(ClockEvent::Behind { by }) if by.0 >= 3_600_000),
        "{:?}",
        doubt(&till)
    );
    // Any answer that bears the host's time ends it, and one that differs begins it again.
    till.paid("one");
    assert_eq!((doubt(&till), trusted(&till, NOW)), (None, true));
    let step = till.frame(start("sale", "two"));
    let late = HostAnswer { time: Some("210000".into()), ..host_answer(r#""code":"00","amount":100"#) };
    let forged = HostAnswer { mac: MacVerdict::Wrong, ..late.clone() };
    let tag = tag_of(&step).unwrap();
    till.input(Input::Host { tag, event: reply(late) });
    assert!(matches!(doubt(&till), Some(ClockEvent::HostDiffers { by, .. }) if by == Millis::secs(2_000)));
    till.signs_in("three", 1);
    assert!(trusted(&till, NOW));
    let step = till.frame(start("sale", "four"));
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(forged) });
    assert!(trusted(&till, NOW), "who knows no key sets no clock");
    // It was set while the host's time was known: that says whether it is right now.
    let mut set = |secs: i64, now: Time| {
        let by = Millis::secs(secs);
        till.machine.clock_set(by);
        let step = till.machine.handle(Input::ClockJumped { by }, now);
        till.keep(step);
        trusted(&till, now)
    };
    assert!(set(60, NOW + Millis::secs(60)));
    assert!(!set(7_200, NOW + Millis::secs(7_260)));
}

/// No host is there to say it: what it was behind is what it must be set to.
#[test]
fn a_clock_that_was_behind_is_believed_when_it_was_set_right() {
    const DAY: Millis = Millis::secs(86_400);
    let mut till = Till::new(Vec::new());
    till.boot(NOW);
    let behind = |by: i64| Time(NOW.0 - by * DAY.0);
    let jump = |till: &mut Till, days: i64, now| {
        let step = till.machine.handle(Input::ClockJumped { by: Millis(days * DAY.0) }, now);
        till.keep(step);
        till.machine.state().clock_trusted(now)
    };
    let boot = |till: Till, now| {
        let mut till = Till::new(till.disk);
        let step = till.machine.boot(now, "test", &[]);
        till.keep(step);
        assert!(!till.machine.state().clock_trusted(now));
        till
    };
    let mut till = boot(till, behind(3));
    assert!(!jump(&mut till, 1, behind(2)), "not far enough");
    assert!(jump(&mut till, 2, NOW));
    assert!(!jump(&mut till, 300, behind(-300)), "and not again");
    // A machine whose clock was never set, and no record either.
    let unset = Settings { not_before: NOW, ..settings() };
    let mut till = Till::with(unset, Vec::new());
    let step = till.machine.boot(Time(0), "test", &[]);
    till.keep(step);
    assert!(!till.machine.state().clock_trusted(Time(0)));
    let days = NOW.0 / DAY.0 + 1;
    assert!(jump(&mut till, days, Time(days * DAY.0)));
}

/// The cashier may have taken the part, and that is lost. What the acquirer holds is the part.
#[test]
fn a_part_in_question_ends_unknown() {
    let mut s = settings();
    s.flow.partial_approval = true;
    let asked = || {
        let mut before = Till::with(s.clone(), Vec::new());
        before.boot(NOW);
        let step = before.frame(start("sale", "one"));
        before.answered(&step, r#""code":"00","amount":50"#);
        assert!(matches!(before.machine.screen(), Screen::ConfirmPartial { .. }));
        before
    };
    let step = Till::with(s.clone(), asked().disk).boot(NOW);
    assert_eq!(
        told(&step),
        [(Status::Declined, "partial-not-taken".into())],
        "a restart alone proves that nobody said yes"
    );
    let (mut till, step) = asked().restore(s.clone(), Some(200));
    assert_eq!(told(&step), unknown());
    till.ends_recovery();
    assert_eq!(told(&till.resolve(1, true)), [(Status::Approved, String::new())]);
    assert_eq!(till.counted(), (1, 50));
}

/// It may have been refused and told so.
#[test]
fn an_advice_that_was_out_ends_unknown() {
    let restored = || {
        let mut before = Till::new(Vec::new());
        before.boot(NOW);
        let step = before.frame(voice_sale("v"));
        assert!(sent(&step).is_some());
        let (till, step) = before.restore(settings(), Some(200));
        assert_eq!((told(&step), till.counted()), (unknown(), (0, 0)));
        till
    };
    let last = |till: &Till| {
        till.disk.iter().rev().find_map(|e| {
            if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
                Some(outcome.clone())
            } else {
                None
            }
        })
    };
    for executed in [true, false] {
        let mut till = restored();
        let step = till.resolve(1, executed);
        assert_eq!((told(&step).len(), till.counted()), (1, if executed { (1, 100) } else { (0, 0) }));
        let outcome = last(&till).unwrap();
        if executed {
            assert_eq!(
                (outcome.authority, outcome.forwarding.clone()),
                (Some(Authority::Voice), Some(Forwarding::Forwarded))
            );
            assert_eq!(outcome.auth_code.as_deref(), Some("123456"));
        } else {
            assert_eq!((outcome.status, outcome.forwarding.clone()), (Status::Declined, None));
        }
    }
    // After the recovery a person has it told again: the acquirer's word decides.
    for (code, counted) in [("00", (1, 100)), ("05", (0, 0))] {
        let mut till = restored();
        till.ends_recovery();
        let step = till.retry(1);
        let step = till.answered(&step, &format!(r#""code":"{code}""#));
        let status = if code == "00" { Status::Approved } else { Status::Declined };
        assert_eq!(
            (told(&step).first().map(|t| t.0), told(&step).len(), till.counted()),
            (Some(status), 1, counted)
        );
        assert_eq!(
            (step.erase.is_empty(), till.machine.obligations().len()),
            (code == "00", 0),
            "a void or the upload needs the PAN of what stands"
        );
        assert!(till.machine.state().owes(1).is_none());
    }
}

/// What begins after the restoring is whole: only what ran before it is in doubt.
#[test]
fn a_sign_in_that_a_restart_cuts_off_in_a_recovery_has_failed() {
    let mut till = in_recovery();
    till.input(start("sign_in", "s"));
    let mut till = Till::new(till.disk);
    assert_eq!(told(&till.boot(NOW)), [(Status::Failed, "no-reply".into())]);
}

/// Also where the vault has the keys: the host names its batch.
#[test]
fn a_restored_journal_signs_in_anew() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.signs_in("s", 1);
    assert!(before.bank().signed_in);
    before.machine.restored(NOW, restored(1, Some(200)));
    assert!(!before.bank().signed_in);
}

#[test]
fn a_host_that_speaks_while_the_supervisor_types_is_heard() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    before.paid("one");
    let mut s = settings();
    s.operators =
        payterm_schema::config::OperatorsConfig { required: true, idle_lock_ms: 0, ..Default::default() };
    s.accounts[0].rules = HostRules { sign_in: true, ..(*s.accounts[0].rules).clone() }.into();
    let (mut till, step) = before.restore(s, Some(200));
    let answer = |batch| reply(HostAnswer { batch: Batch::new(batch), ..host_answer(r#""code":"00""#) });
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: answer(1) });
    // It asks for another one.
    let step = till.input(start("echo", "e"));
    let step = till.input(Input::Host {
        tag: tag_of(&step).unwrap(),
        event: reply(HostAnswer { requirement: 3, ..host_answer(r#""code":"00""#) }),
    });
    till.ends_recovery();
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: answer(2) });
    till.types("000000c739164c739164c");
    assert!(
        matches!(till.ended.as_slice(), [Err(Fault::WrongState { rule })] if rule.contains("transaction 3:")),
        "{:?}",
        till.ended
    );
    assert!(till.machine.state().recovering.is_some());
}

/// Its acquirer may have settled our batch in what is lost: nobody knows before it has spoken. Not asked: one
/// of which we hold nothing, and one that is not configured any more.
#[test]
fn a_recovery_does_not_end_before_each_host_was_heard() {
    let restored = |paid: bool, configured: bool| {
        let mut before = Till::new(Vec::new());
        before.boot(NOW);
        if paid {
            before.paid("one");
        }
        let mut s = settings();
        s.accounts[0].rules = HostRules { sign_in: true, ..(*s.accounts[0].rules).clone() }.into();
        if !configured {
            s.accounts.remove(0);
        }
        before.restore(s, Some(200))
    };
    for (paid, configured) in [(false, true), (true, false)] {
        let (mut till, _) = restored(paid, configured);
        till.ends_recovery();
        assert_eq!(till.ended, [Ok(())], "paid {paid}, configured {configured}");
    }
    let (mut till, step) = restored(true, true);
    till.ends_recovery();
    // The line is down.
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: HostEvent::NotSent { why: "down".into() } });
    till.ends_recovery();
    let mut till = Till {
        ended: till.ended,
        ..Till::with(restored(true, true).0.machine.settings().clone(), till.disk)
    };
    let step = till.boot(NOW);
    till.ends_recovery();
    assert!(
        till.ended.len() == 3
            && till
                .ended
                .iter()
                .all(|e| matches!(e, Err(Fault::WrongState { rule }) if rule.contains("has not signed in"))),
        "{:?}",
        till.ended
    );
    let answer = HostAnswer { batch: Some(Batch::FIRST), ..host_answer(r#""code":"00""#) };
    till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(answer) });
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
}

/// Its acquirer never came back, so its account was taken out of the configuration. It is put back, and the
/// acquirer has left our batch.
#[test]
fn an_account_that_comes_back_after_a_recovery() {
    let without = || Settings { accounts: Vec::new(), ..settings() };
    // Nothing was said of its batch, or it was in doubt already.
    for asked in [false, true] {
        let mut till = settled_in_what_is_lost();
        if asked {
            assert_eq!(told(&till.signs_in("s", 2)).len(), 2);
        }
        let mut till = Till::with(without(), till.disk);
        till.boot(NOW);
        till.ends_recovery();
        assert_eq!(till.ended, [Ok(())], "asked {asked}");
        let mut s = settings();
        s.accounts[0].rules = HostRules { sign_in: true, ..(*s.accounts[0].rules).clone() }.into();
        let mut till = Till::with(s.clone(), till.disk);
        let sign_in = till.boot(NOW);
        let heard = || reply(HostAnswer { batch: Batch::new(2), ..host_answer(r#""code":"00""#) });
        let step = till.input(Input::Host { tag: tag_of(&sign_in).unwrap(), event: heard() });
        let txn = till.machine.state().last_txn;
        assert_eq!(told(&step), unknown(), "asked {asked}");
        for kind in ["settlement", "sale"] {
            assert!(
                matches!(answer(&till.input(start(kind, kind))), Some(Err(Fault::JournalRestored { .. }))),
                "{kind}"
            );
        }
        till = Till::with(s, till.disk);
        let sign_in = till.boot(NOW);
        let refused = answer(&till.resolve(txn, true));
        assert!(matches!(refused, Some(Err(Fault::WrongState { rule })) if rule.contains("under way")));
        till.input(Input::Host { tag: tag_of(&sign_in).unwrap(), event: heard() });
        assert_eq!(answer(&till.resolve(txn, true)), Some(Ok(())));
        till.ends_recovery();
        assert_eq!(
            (till.ended.last(), till.bank().batch.get(), till.machine.state().unheard.len()),
            (Some(&Ok(())), 2, 0)
        );
    }
    // It is in our batch: nothing is asked.
    let till = settled_in_what_is_lost();
    let mut till = Till::with(without(), till.disk);
    till.boot(NOW);
    till.ends_recovery();
    let mut till = Till::with(settings(), till.disk);
    till.boot(NOW);
    assert_eq!(told(&till.signs_in("s", 1)).len(), 1);
    assert!(till.machine.state().recovering.is_none() && till.machine.state().unheard.is_empty());
}

/// No number is on record, and it may have used many.
#[test]
fn without_marks_an_account_that_the_backup_does_not_know_begins_far_away() {
    let mut before = Till::new(Vec::new());
    before.boot(NOW);
    let backup = before.disk.clone();
    assert_eq!(before.sale("one"), Some(Stan::FIRST));
    let (mut till, _) = Till::new(backup.clone()).restore(settings(), None);
    till.ends_recovery();
    assert_eq!(till.sale("two").map(Stan::get), Some(618_034));
    // Marks that hold say that it has used none.
    let mut till = Till::new(backup);
    let step = till.machine.restored(NOW, Restored { stans: Some(Default::default()), ..restored(1, None) });
    till.keep(step);
    till.boot(NOW);
    till.ends_recovery();
    assert_eq!(till.sale("two"), Some(Stan::FIRST));
}

/// Settled in what is lost, and then moved to another terminal number: no sign-in of the new number says
/// anything of that batch.
#[test]
fn a_recovery_of_an_account_under_new_numbers_can_be_ended() {
    for executed in [true, false] {
        let mut before = Till::new(Vec::new());
        before.boot(NOW);
        before.paid("one");
        let mut s = settings();
        s.accounts[0].config.tid = "20000002".parse().unwrap();
        s.accounts[0].rules = HostRules { sign_in: true, ..(*s.accounts[0].rules).clone() }.into();
        let (mut till, step) = before.restore(s, Some(200));
        assert_eq!((told(&step), sent(&step)), (unknown(), None));
        let step = till.input(start("sign_in", "s"));
        assert_eq!((told(&step), sent(&step)), (vec![(Status::Failed, "account-renumbered".into())], None));
        till.ends_recovery();
        let Some(Err(Fault::WrongState { rule })) = till.ended.last() else { panic!("{:?}", till.ended) };
        assert!(rule.contains("transaction 2:"), "{rule}");
        let step = till.resolve(2, executed);
        let status = if executed { Status::Approved } else { Status::Declined };
        assert_eq!((answer(&step), told(&step).first().map(|t| t.0)), (Some(Ok(())), Some(status)));
        // Where it is open it is settled under its own numbers.
        assert_eq!(
            (till.bank().batch.get(), till.counted()),
            if executed { (2, (0, 0)) } else { (1, (1, 100)) }
        );
        till.ends_recovery();
        assert_eq!(till.ended.last(), Some(&Ok(())));
        // Under the new ones it signs in as soon as the batch of the old ones is closed.
        assert_eq!(sent(&step).is_some(), executed);
        if !executed {
            assert_eq!(
                told(&till.frame(start("sale", "two"))),
                [(Status::Failed, "account-renumbered".into())]
            );
        }
    }
}
