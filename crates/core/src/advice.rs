//! Advices 通知: completions, voice sales and tips that the terminal has accepted and tells the acquirer, the
//! same message again and again until 00 or 94 (host-protocol §3). A refusal is told to app and shop; it
//! never becomes nothing.
use crate::{Machine, view};
use payterm_schema::{
    AccountId, HostAnswer, Kind, ObligationRecord, RequestRecord, Status,
    host::{FrameTrace, HostRules, MacVerdict, RetryRule},
    outcome::{Authority, Class, Forwarding},
    record::{Ending, Obligation},
};
use std::sync::Arc;

impl Machine {
    /// The advice stands on disk; the customer need not wait for the line.
    pub(crate) fn accept_advice(&mut self) {
        let Some(running) = self.state.running.clone() else { return };
        let mut outcome = Arc::unwrap_or_clone(running.view);
        outcome.forwarding = Some(Forwarding::Pending);
        if running.request.kind == Kind::VoiceSale {
            outcome.auth_code = running.request.auth_code;
        }
        self.approve(&mut outcome, authority(running.request.kind));
        self.finish(outcome);
    }

    /// This code says nothing about the advice: the host or the line is in trouble, or wants a sign-in.
    pub(crate) fn advice_waits(&self, rules: &HostRules, answer: &HostAnswer) -> bool {
        let Some(rule) = rules.codes.get(&answer.code) else { return false };
        rule.class == Class::E
            || rule.class == Class::P
            || rule.reverse
            || matches!(rule.retry, RetryRule::SignIn | RetryRule::Now)
    }

    pub(crate) fn advice_answer(
        &mut self,
        account: &AccountId,
        o: &Obligation,
        rules: &HostRules,
        answer: HostAnswer,
        trace: FrameTrace,
        signed: bool,
    ) {
        let (txn, stan) = (o.txn, o.plan.stan);
        let done = rules.advice_ends.contains(&answer.code) || self.class(account, &answer.code) == Class::A;
        // A part of an advice cannot be taken: the acquirer has not understood it.
        let other = done && answer.amount.is_some_and(|a| Some(a) != o.plan.amount.map(|m| m.minor()));
        if !signed || other || answer.mac == MacVerdict::Wrong || (!done && self.advice_waits(rules, &answer))
        {
            if !signed || rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn) {
                self.sign_out(account, "an advice was not answered with a good MAC");
            }
            let why = if signed {
                format!("the host answered {}", answer.code)
            } else {
                "the answer had no good MAC".into()
            };
            return self.obligation_failed(account, txn, stan, Some(answer.code), why, true, trace);
        }
        let outcome = self.state.owes(txn).cloned().map(|mut told| {
            told.forwarding =
                Some(if done { Forwarding::Forwarded } else { Forwarding::Refused(answer.code.clone()) });
            // What a later refund names it by.
            if done {
                let take = |ours: &mut Option<String>, theirs: &Option<String>| {
                    *ours = theirs.clone().or(ours.take())
                };
                take(&mut told.rrn, &answer.rrn);
                take(&mut told.host_date, &answer.date);
                take(&mut told.host_time, &answer.time);
                take(&mut told.scheme, &answer.scheme);
                if told.auth_code.is_none() {
                    told.auth_code.clone_from(&answer.auth_code);
                }
            }
            told
        });
        // Its own PAN is needed by nobody after a refusal; a tip's is its sale's.
        let voidable = o.sealed.is_some_and(|t| (done || t != txn) && self.state.voidable.contains(&t));
        // It ran when the journal was damaged, and is only now decided.
        if let Some(mut outcome) = outcome.clone().filter(|o| o.status == Status::Unknown) {
            let (kind, kept) = (outcome.kind, outcome.kind.keeps_pan() && self.state.in_open_batch(&outcome));
            if done {
                self.approve(&mut outcome, authority(kind));
            } else {
                let class = self.class(account, &answer.code).max_failure();
                view::ended(&mut outcome, Status::Declined, format!("host-{}", answer.code), class, self.now);
            }
            self.record(
                Some(txn),
                ObligationRecord::Ended { txn, stan, how: Ending::Answered(answer.code), trace },
            );
            self.finish(outcome);
            if let Some(sealed) = o.sealed {
                self.erase_when_done(sealed, voidable || (done && kept));
            }
            return;
        }
        // While the obligation is there, the fold knows that it was counted.
        if let Some(outcome) = outcome {
            if !done && let Some(original) = outcome.original.as_ref().and_then(|x| x.txn) {
                self.record(Some(original), RequestRecord::Released { txn: original, by: txn });
            }
            self.announce(outcome, !done);
        }
        self.record(
            Some(txn),
            ObligationRecord::Ended { txn, stan, how: Ending::Answered(answer.code), trace },
        );
        if let Some(sealed) = o.sealed {
            self.erase_when_done(sealed, voidable);
        }
    }
}

/// Who said that it may be: the issuer by telephone, or the host with its pre-authorisation or sale.
pub(crate) const fn authority(kind: Kind) -> Authority {
    if matches!(kind, Kind::VoiceSale) { Authority::Voice } else { Authority::Host }
}
