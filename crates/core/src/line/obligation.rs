//! Reversals and advices, driven until they are answered or Stuck.
use super::{Line, exchange::Purpose};
use crate::{context::Context, owed::FailedTry, signal::Signal, view};
use payterm_schema::{
    HostAnswer, HostEvent, ObligationRecord, RequestRecord, Status,
    account::Stan,
    host::{FrameTrace, MacVerdict, MessageKind, RetryRule, SecretsFrom},
    outcome::Class,
    record::{Duty, Ending, ObligationState},
};

impl Line {
    /// Sends a reversal or an advice (again): same STAN, the batch of its original, today's key
    /// (host-protocol §6).
    pub(super) fn send_owed(&mut self, cx: &mut Context, txn: u64, stan: Stan) {
        let Some(o) = cx.state.obligation(txn, stan).cloned() else {
            unreachable!("transaction {txn} owes nothing under {stan:?}")
        };
        let (message_kind, purpose) = match o.duty {
            Duty::Repeat => (MessageKind::Repeat, Purpose::Advice { txn, stan }),
            Duty::Notify => (MessageKind::ScriptResult, Purpose::Advice { txn, stan }),
            Duty::Reverse => (MessageKind::Reversal(o.reason), Purpose::Obligation { txn, stan }),
            // Never sent again, never reversed: a person's.
            Duty::ManualResolution => return,
        };
        cx.record(Some(txn), ObligationRecord::Tried { txn, stan });
        let secrets = o.sealed.map_or(SecretsFrom::None, SecretsFrom::Sealed);
        self.send(cx, purpose, message_kind, o.plan, secrets, None);
    }

    pub(super) fn obligation_event(&mut self, cx: &mut Context, txn: u64, stan: Stan, event: HostEvent) {
        let id = self.id().clone();
        match event {
            HostEvent::NotSent { why } => {
                cx.obligation_failed(&id, txn, stan, FailedTry::not_sent(why));
                cx.signal(Signal::LineDown { account: id, sign_in: false });
            }
            HostEvent::Unbuildable { why } => {
                cx.obligation_failed(&id, txn, stan, FailedTry::not_sent(why));
                // Trying again changes nothing: a person must look.
                let due = cx.state.obligation(txn, stan).filter(|o| o.state == ObligationState::Due);
                if let Some(o) = due.cloned() {
                    cx.stuck(&o);
                }
            }
            HostEvent::NoReply { why, trace } | HostEvent::Unusable { why, trace } => {
                let failed = FailedTry { code: None, why, left: true, trace };
                cx.obligation_failed(&id, txn, stan, failed);
            }
            HostEvent::Reply { answer, trace } => self.obligation_answer(cx, txn, stan, *answer, trace),
            HostEvent::Late { .. } | HostEvent::Untrusted { .. } => {}
        }
    }

    fn obligation_answer(
        &mut self,
        cx: &mut Context,
        txn: u64,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        // A late answer to an earlier try may have ended it while this one was under way.
        let Some(o) = cx.state.obligation(txn, stan).cloned() else { return };
        let (id, rules) = (self.id(), &self.account.rules);
        let signed = answer.mac == MacVerdict::Good || !rules.mac_on_replies;
        if o.duty == Duty::Repeat {
            return self.advice_answer(cx, &o, answer, trace, signed);
        }
        let notice = o.duty == Duty::Notify;
        let had = rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::Done);
        // The same reversal has left before: it is that one which the host has had.
        let ends = if notice { &rules.advice_ends } else { &rules.reversal_ends }.contains(&answer.code)
            || (had && !notice && o.tries > 1);
        if signed && ends {
            let voidable = o.sealed.is_some_and(|t| cx.state.voidable.contains(&t));
            let how = Ending::Answered(answer.code);
            cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
            if let Some(sealed) = o.sealed {
                cx.erase_when_done(sealed, voidable);
            }
            if !notice {
                reversed(cx, txn);
            }
            return;
        }
        let sign_in = rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn);
        if (!signed && ends) || sign_in || answer.mac == MacVerdict::Wrong {
            cx.sign_out(id, "a reversal was not answered with a good MAC");
        }
        let why = if signed {
            format!("the host answered {}", answer.code)
        } else {
            "the answer had no good MAC".into()
        };
        cx.obligation_failed(id, txn, stan, FailedTry { code: Some(answer.code), why, left: true, trace });
    }

    /// An answer after its time: a reversal's counts, a request's is recorded (its reversal goes on).
    pub(super) fn late(&mut self, cx: &mut Context, purpose: Purpose, answer: HostAnswer, trace: FrameTrace) {
        match purpose {
            Purpose::Obligation { txn, stan } | Purpose::Advice { txn, stan } => {
                self.obligation_answer(cx, txn, stan, answer, trace);
            }
            Purpose::Request { txn, stan } => {
                let (account, why) = (self.id().clone(), "late".into());
                self.late_sign_in(cx, answer.clone());
                let answer = Box::new(answer);
                let record = RequestRecord::Disregarded { txn, account, stan, why, answer, trace };
                cx.record(Some(txn), record);
            }
            Purpose::Settlement { txn, stan } => self.settlement_answer(cx, txn, stan, answer, trace),
            Purpose::SignIn => self.late_sign_in(cx, answer),
            Purpose::Query { .. } | Purpose::Probe { .. } | Purpose::Download => {}
        }
    }
}

/// The host has taken it back (or never had it): `Unknown` becomes final with the last of its frames.
fn reversed(cx: &mut Context, txn: u64) {
    let unknown = cx.state.owes(txn).filter(|o| o.status == Status::Unknown);
    let Some(mut outcome) = unknown.cloned() else { return };
    if cx.state.obligations.of(txn).next().is_none() {
        view::ended(&mut outcome, Status::Declined, "reversed", Class::E, cx.now);
        cx.finish(outcome);
    }
}
