//! Advices 通知: completions, voice sales and tips that the terminal has accepted and tells the acquirer, the
//! same message again and again until 00 or 94 (host-protocol §3). A refusal is told to app and shop; it
//! never becomes nothing.
use super::{Customer, Line, Waits, exchange::Purpose};
use crate::{
    context::Context,
    outcome::advice_authority,
    owed::{FailedTry, advice_waits},
    view,
};
use payterm_schema::{
    HostAnswer, HostEvent, ObligationRecord, Outcome, Status, Time,
    account::Stan,
    host::{FrameTrace, MacVerdict, RetryRule},
    outcome::{Class, Forwarding},
    record::{Ending, Obligation, ObligationState},
};

/// The line failed: nothing is forwarded before the wait is over, and then one at a time until something is
/// answered. Ten thousand payments do not each find out by themselves that the line is down.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    not_before: Time,
    failures: u32,
}

impl Line {
    /// What became of a try says how the line is.
    pub(super) fn forwarded(&mut self, cx: &Context, txn: u64, event: &HostEvent) {
        match event {
            HostEvent::NotSent { .. } | HostEvent::NoReply { .. } | HostEvent::Unusable { .. } => {
                let failures = self.failing.map_or(1, |f| f.failures.saturating_add(1));
                let not_before = cx.now + cx.backoff(self.id(), failures, txn);
                self.failing = Some(Failing { not_before, failures });
            }
            HostEvent::Unbuildable { .. }
            | HostEvent::Untrusted { .. }
            | HostEvent::Reply { .. }
            | HostEvent::Late { .. } => {}
        }
    }

    /// Places for advices that are free. While a customer waits for this account's line, nothing new is
    /// begun.
    pub(super) fn free_places(&self) -> usize {
        let waits = matches!(self.waits(), Some(Waits::Authorise | Waits::Control));
        let served = waits || self.exchanges.any(|p| matches!(p, Purpose::Request { .. }));
        let all = self.account.rules.advices_in_flight.max(1) as usize;
        let places = if self.failing.is_some() { 1 } else { all };
        if served { 0 } else { places.saturating_sub(self.exchanges.advices_in_flight().len()) }
    }

    /// Heads that are not under way: those to be tried again by their time, then those that were not tried
    /// yet.
    fn heads<'a>(&'a self, cx: &'a Context) -> impl Iterator<Item = &'a Obligation> {
        let (id, obligations) = (self.id(), &cx.state.obligations);
        let now = self.exchanges.advices_in_flight();
        let (fresh, also) = (obligations.fresh(id), now.clone());
        let free = move |o: &&Obligation| !now.contains(&(o.txn, o.plan.stan));
        // One that was passed over is enough to know the next time.
        let again = obligations.again_last(id).into_iter().chain(obligations.again(id)).filter(free).take(2);
        again.chain(fresh.filter(move |o| !also.contains(&(o.txn, o.plan.stan))).take(1))
    }

    fn advice_at(&self, cx: &Context, o: &Obligation) -> Time {
        // A settlement waits for it: once at once, then at its time.
        let untried =
            |c: &Customer| c.waits == Some(Waits::Settle) && !c.tried.contains(&(o.txn, o.plan.stan));
        let hurried = self.customer.as_ref().is_some_and(untried);
        let due = if hurried { cx.now.min(cx.due_at(o)) } else { cx.due_at(o) };
        self.failing.map_or(due, |failing| due.max(failing.not_before))
    }

    /// When the next advice may leave, if there is a place for it.
    pub(super) fn advice_due(&self, cx: &Context) -> Option<Time> {
        self.heads(cx).map(|o| self.advice_at(cx, o)).min()
    }

    pub(super) fn next_advice(&self, cx: &Context) -> Option<(u64, Stan)> {
        // Nothing but the settlement leaves while a batch is being closed.
        if !cx.signed_in(&self.account) || self.free_places() == 0 || cx.settling(self.id()).is_some() {
            return None;
        }
        self.heads(cx).find(|o| self.advice_at(cx, o) <= cx.now).map(|o| (o.txn, o.plan.stan))
    }

    /// The line gets another chance for what waits to be told.
    pub(super) fn try_line_again(&mut self) {
        self.failing = None;
    }

    pub(super) fn advice_answer(
        &self,
        cx: &mut Context,
        o: &Obligation,
        answer: HostAnswer,
        trace: FrameTrace,
        signed: bool,
    ) {
        let (txn, stan, id, rules) = (o.txn, o.plan.stan, self.id(), &self.account.rules);
        if let Some(why) = cx.not_its_answer(o, &answer, !o.had_left).filter(|_| signed) {
            let known = cx.seen_before(id, &answer);
            cx.outdated(&why);
            let failed = FailedTry { code: Some(answer.code), why, left: true, trace };
            cx.obligation_failed(id, txn, stan, failed);
            // Told again it is answered the same: that would be taken for its end.
            let due = cx.state.obligation(txn, stan).filter(|o| known && o.state == ObligationState::Due);
            if let Some(o) = due.cloned() {
                cx.stuck(&o);
            }
            return;
        }
        if signed {
            cx.claim_rrn(o, &answer, |cx, why| {
                let (code, next_try) = (Some(answer.code.clone()), cx.now + cx.backoff(id, o.tries, txn));
                let (why, left, trace) = (why.into(), true, trace.clone());
                let failed = ObligationRecord::Failed { txn, stan, code, why, next_try, left, trace };
                // Told again, a 94 is answered the same for ever.
                let known = cx.seen_before(id, &answer) && o.state == ObligationState::Due;
                let stuck = if known { cx.stuck_records(o) } else { Vec::new() };
                [failed.into()].into_iter().chain(stuck).collect()
            });
        }
        let class = cx.class(id, &answer.code);
        let done = rules.advice_ends.contains(&answer.code) || class == Class::A;
        // A part of an advice cannot be taken: the acquirer has not understood it.
        let other = done && answer.amount.is_some_and(|a| Some(a) != o.plan.amount.map(|m| m.minor()));
        let waits = !done && advice_waits(rules, &answer);
        if !signed || other || answer.mac == MacVerdict::Wrong || waits {
            if !signed || rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn) {
                cx.sign_out(id, "an advice was not answered with a good MAC");
            }
            let why = if signed {
                format!("the host answered {}", answer.code)
            } else {
                "the answer had no good MAC".into()
            };
            let failed = FailedTry { code: Some(answer.code), why, left: true, trace };
            return cx.obligation_failed(id, txn, stan, failed);
        }
        let had = rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::Done);
        let others = had && !cx.names_first(o);
        let ended = ObligationRecord::Ended { txn, stan, how: Ending::Answered(answer.code.clone()), trace };
        // Its own PAN is needed by nobody after a refusal; a tip's is its sale's.
        let mut needed = o.sealed.is_some_and(|t| (done || t != txn) && cx.state.voidable.contains(&t));
        match cx.state.owes(txn).cloned() {
            // It ran when the journal was damaged, and is only now decided.
            Some(mut told) if told.status == Status::Unknown => {
                with_word(&mut told, &answer, done, others);
                needed |= done && told.kind.keeps_pan() && cx.state.in_open_batch(&told);
                if done {
                    let authority = advice_authority(told.kind);
                    cx.approve(&mut told, authority);
                } else {
                    let code = format!("host-{}", answer.code);
                    view::ended(&mut told, Status::Declined, code, class.max_failure(), cx.now);
                }
                cx.record(Some(txn), ended);
                cx.finish(told);
            }
            // While the obligation is there, the fold knows that it was counted.
            Some(mut told) => {
                with_word(&mut told, &answer, done, others);
                if !done {
                    cx.release_original(&told);
                }
                cx.announce(told, !done);
                cx.record(Some(txn), ended);
            }
            None => cx.record(Some(txn), ended),
        }
        if let Some(sealed) = o.sealed {
            cx.erase_when_done(sealed, needed);
        }
    }
}

/// What the acquirer says of the advice; of one that is taken, what a later refund names it by. `others`: it
/// has had it before (94), and whose numbers it gives is not known.
fn with_word(told: &mut Outcome, answer: &HostAnswer, done: bool, others: bool) {
    told.forwarding =
        Some(if done { Forwarding::Forwarded } else { Forwarding::Refused(answer.code.clone()) });
    if !done || others {
        return;
    }
    let take = |ours: &mut Option<String>, theirs: &Option<String>| *ours = theirs.clone().or(ours.take());
    take(&mut told.rrn, &answer.rrn);
    take(&mut told.host_date, &answer.date);
    take(&mut told.host_time, &answer.time);
    take(&mut told.scheme, &answer.scheme);
    if told.auth_code.is_none() {
        told.auth_code.clone_from(&answer.auth_code);
    }
}
