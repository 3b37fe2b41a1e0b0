//! An old copy of the journal was put back: the host answers what it answered before, under a STAN that is
//! used again. Nothing of it is told as approved, nothing is reversed, payments stop.
use crate::till::*;
use payterm_core::{Input, Step};
use payterm_schema::{
    Batch, Class, Fault, HostAnswer, HostEvent, Record, RequestRecord, Status, Time,
    host::{CodeRule, HostRules, MacVerdict, RetryRule},
    outcome::Forwarding,
    paper::PaperKind,
    record::{Duty, ObligationState},
    time::Millis,
};

fn in_doubt() -> Vec<(Status, String)> {
    vec![(Status::Unknown, "answer-of-another".into())]
}
/// Booted at `NOW`; of 94 the profile says this.
fn till(retry: RetryRule) -> Till {
    let mut s = settings();
    let mut rules: HostRules = (*s.accounts[0].rules).clone();
    rules.codes.insert("94".into(), CodeRule { class: Class::C, retry, reverse: false });
    rules.advice_ends = vec!["00".into(), "94".into()];
    s.accounts[0].rules = rules.into();
    let mut till = Till::with(s, Vec::new());
    till.boot(NOW);
    till
}
/// The host was at work at this time.
fn at(host: Time, more: &str) -> HostAnswer {
    let t = host.local(0);
    let date = format!("{:02}{:02}", u8::from(t.month()), t.day());
    let time = format!("{:02}{:02}{:02}", t.hour(), t.minute(), t.second());
    HostAnswer { date: Some(date), time: Some(time), ..host_answer(more) }
}
fn secs(n: i64) -> Millis {
    Millis::secs(n)
}
const OK: &str = r#""code":"00","amount":100"#;

impl Till {
    /// A sale that the host answers so, as it was at work then.
    fn sold(&mut self, id: &str, host: Time, more: &str) -> Step {
        let step = self.frame(start("sale", id));
        self.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(at(host, more)) })
    }
    /// Time goes on until a message is told again.
    fn repeated(&mut self, mut step: Step) -> Step {
        while tag_of(&step).is_none() {
            let due = self.machine.poll_timeout().expect("the repeat goes on").at;
            let next = self.machine.handle_timeout(due);
            step = self.keep(next);
        }
        step
    }
}
#[test]
fn an_answer_that_is_older_than_the_message_is_of_another() {
    let hour = NOW + secs(3_600);
    // 3,600 s have passed; the host's clock is 50 s ahead of ours.
    for (older, believed) in [(119, true), (121, false), (3_500, false)] {
        let mut till = till(RetryRule::Done);
        assert_eq!(told(&till.sold("one", NOW + secs(50), OK)), [(Status::Approved, String::new())]);
        let step = till.machine.handle(start("echo", "e"), hour);
        let step = till.keep(step);
        till.answered(&step, r#""code":"00""#);
        let step = till.sold("two", NOW + secs(3_650 - older), OK);
        if believed {
            assert_eq!(told(&step), [(Status::Approved, String::new())], "{older}");
            continue;
        }
        assert_eq!(told(&step), in_doubt(), "{older}");
        assert_eq!(sent(&step), None, "its reversal would name the earlier payment");
        let o = till.machine.obligations().iter().next().unwrap().clone();
        assert_eq!((o.state, o.duty), (ObligationState::Stuck, Duty::ManualResolution));
        assert_eq!(
            answer(&till.input(start("sale", "three"))),
            Some(Err(Fault::JournalRestored { id: "three".into() }))
        );
        // Over a restart, and after the recovery, too.
        let mut till = Till::with(till.machine.settings().clone(), till.disk);
        assert_eq!(sent(&till.boot(hour)), None);
        till.ends_recovery();
        assert_eq!(till.ended.last(), Some(&Ok(())));
        assert!(matches!(answer(&till.retry(o.txn)), Some(Err(Fault::WrongState { .. }))));
        assert!(till.sale("four").unwrap().get() > 1_000, "what was used since is not known");
        assert_eq!(told(&till.resolve(o.txn, true)), [(Status::Approved, String::new())]);
    }
}

/// No time of the host's, none believed yet, and a clock that was set: nothing is said of its age.
#[test]
fn what_cannot_be_judged_is_believed() {
    let day = |n: i64| NOW + secs(n * 86_400);
    let approved = [(Status::Approved, String::new())];
    let mut first = till(RetryRule::Done);
    assert_eq!(told(&first.sold("one", day(-30), OK)), approved, "the first one");
    let mut timeless = till(RetryRule::Done);
    timeless.sold("one", NOW, OK);
    let step = timeless.frame(start("sale", "two"));
    let answer = HostAnswer { date: None, ..host_answer(OK) };
    assert_eq!(
        told(&timeless.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(answer) })),
        approved
    );
    let mut set = till(RetryRule::Done);
    set.sold("one", NOW, OK);
    set.machine.clock_set(secs(3 * 86_400));
    let step = set.machine.handle(start("echo", "e"), day(3));
    let step = set.keep(step);
    set.answered(&step, r#""code":"00""#);
    assert_eq!(told(&set.sold("two", NOW + secs(1), OK)), approved, "the clock was set by three days");
}

#[test]
fn a_94_to_a_new_stan_is_of_another_where_it_means_done() {
    let mut done = till(RetryRule::Done);
    assert_eq!(told(&done.sold("one", NOW, r#""code":"94""#)), in_doubt());
    assert!(done.machine.state().recovering.is_some());
    // Same card and amount: a refusal.
    let mut same = till(RetryRule::Never);
    assert_eq!(told(&same.sold("one", NOW, r#""code":"94""#)), [(Status::Declined, "host-94".into())]);
    assert!(same.machine.state().recovering.is_none());
}

/// Anybody could have made them, and a payment that the bank approved would never be reversed.
#[test]
fn a_refusal_that_nobody_signed_is_never_of_another() {
    for more in [r#""code":"94""#, r#""code":"51""#, r#""code":"51","rrn":"000000000001""#] {
        let mut till = till(RetryRule::Done);
        let mut s = till.machine.settings().clone();
        s.accounts[0].rules = HostRules { mac_on_replies: true, ..(*s.accounts[0].rules).clone() }.into();
        till = Till::with(s, till.disk);
        till.boot(NOW);
        let step = till.frame(start("sale", "one"));
        let good = HostAnswer {
            mac: MacVerdict::Good,
            ..at(NOW + secs(3_600), r#""code":"00","amount":100,"rrn":"000000000001""#)
        };
        let step = till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(good) });
        assert_eq!(told(&step), [(Status::Approved, String::new())]);
        let step = till.frame(start("sale", "two"));
        let forged = HostAnswer { mac: MacVerdict::Absent, ..at(NOW, more) };
        let step = till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(forged) });
        assert_eq!(told(&step).first().map(|t| t.0), Some(Status::Declined), "{more}");
        assert!(step.claim.is_none() && till.machine.state().recovering.is_none(), "{more}");
        let o = till.machine.obligations().iter().next().cloned().unwrap();
        assert_eq!((o.state, o.duty), (ObligationState::Due, Duty::Reverse), "{more}");
        assert_eq!(sent(&step), Some(o.plan.stan), "{more}: its reversal leaves");
    }
}

/// It is accepted; told again it is answered as it should be.
#[test]
fn an_advice_is_told_again() {
    let mut till = till(RetryRule::Done);
    till.sold("one", NOW + secs(3_600), OK);
    let step = till.frame(voice_sale("v"));
    let old = at(NOW, OK);
    let step = till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(old) });
    assert_eq!(told(&step), [(Status::Approved, String::new())]);
    assert!(till.machine.state().recovering.is_some());
    let step = till.repeated(step);
    let again =
        till.input(Input::Host { tag: tag_of(&step).unwrap(), event: reply(at(NOW + secs(3_601), OK)) });
    assert!(again.records.iter().any(|e| matches!(&e.record,
        Record::Request(RequestRecord::Outcome { outcome, .. })
            if outcome.forwarding == Some(Forwarding::Forwarded))));
    assert_eq!(till.machine.obligations().iter().count(), 0);
}

/// The first answer was lost, and the repeat is answered 94: whose numbers it bears is the profile's to say.
#[test]
fn a_94_to_a_repeated_advice_bears_the_first_ones_numbers_where_the_profile_says_so() {
    let duplicate = r#""code":"94","rrn":"000011112222""#;
    for names_first in [false, true] {
        let mut s = till(RetryRule::Done).machine.settings().clone();
        let rules = HostRules { duplicate_names_first: names_first, ..(*s.accounts[0].rules).clone() };
        s.accounts[0].rules = rules.into();
        let mut till = Till::with(s.clone(), Vec::new());
        till.boot(NOW);
        let first = till.frame(voice_sale("v"));
        let lost = HostEvent::NoReply { why: "silence".into(), trace: Default::default() };
        let step = till.input(Input::Host { tag: tag_of(&first).unwrap(), event: lost });
        assert_eq!(told(&step), [(Status::Approved, String::new())]);
        let again = till.repeated(step);
        let step = till
            .input(Input::Host { tag: tag_of(&again).unwrap(), event: reply(at(NOW + secs(1), duplicate)) });
        let Some(outcome) = step.records.iter().find_map(|e| {
            let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record else { return None };
            Some(outcome.clone())
        }) else {
            panic!("nothing told: {:?}", step.records)
        };
        assert_eq!(outcome.forwarding, Some(Forwarding::Forwarded), "{names_first}");
        assert_eq!(outcome.rrn.as_deref(), names_first.then_some("000011112222"));
        assert_eq!(outcome.host_date.is_some(), names_first);
        // Another payment's they must not be: it is a person's then, since it would be answered so for ever.
        let claim = step.claim.as_deref().map(|c| (c.rrn.as_str(), c.txn));
        assert_eq!(claim, names_first.then_some(("000011112222", outcome.txn)));
        if let Some(claim) = &step.claim {
            let before = till.disk.len() - step.records.len();
            let disk = till.disk[..before].iter().chain(&claim.instead).cloned().collect();
            let other = Till::with(s, disk);
            let o = other.machine.obligations().iter().next().unwrap().clone();
            assert_eq!(o.state, ObligationState::Stuck);
            assert!(other.machine.papers().any(|p| p.kind == PaperKind::StuckSlip));
            assert!(other.machine.state().recovering.is_some());
        }
        // The first sending was never used here before: a person's, as before.
        let mut fresh = Till::with(till.machine.settings().clone(), Vec::new());
        fresh.boot(NOW);
        let step = fresh.frame(voice_sale("v"));
        fresh.answered(&step, duplicate);
        assert!(fresh.machine.state().recovering.is_some());
        let o = fresh.machine.obligations().iter().next().unwrap().clone();
        let rrn = fresh.machine.state().owes(o.txn).unwrap().rrn.clone();
        assert_eq!((o.state, rrn), (ObligationState::Stuck, None));
    }
}

/// One batch behind ours is a host that has not heard the end of the last settlement.
#[test]
fn a_host_far_behind_our_batch_knows_another_terminal() {
    let mut till = till(RetryRule::Done);
    till.signs_in("s", 9);
    for batch in [9, 8, 10] {
        till.signs_in(&format!("s{batch}"), batch);
        assert!(till.machine.state().recovering.is_none(), "{batch}");
    }
    till.signs_in("far", 3);
    assert!(till.machine.state().recovering.is_some());
    till.signs_in("again", 3);
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
    till.signs_in("later", 3);
    assert!(till.machine.state().recovering.is_none());

    // With records: a person says that ours is open, and it stays so.
    till.sold("one", NOW, OK);
    let step = till.signs_in("behind", 1);
    assert!(till.machine.state().recovering.is_some(), "{:?}", told(&step));
    till.signs_in("twice", 1);
    let asked = till.machine.state().recovering.as_ref().unwrap().batches[&account()].txn.unwrap();
    till.resolve(asked, false);
    till.ends_recovery();
    assert_eq!(till.ended.last(), Some(&Ok(())));
    till.signs_in("agreed", 1);
    assert!(till.machine.state().recovering.is_none());
    assert_eq!(till.bank().batch, Batch::new(3).unwrap());
}
