//! What the host's word on the foreground request means, and how a request ends.
use crate::{
    Effect, Machine,
    fees::{Paid, fee},
    view,
};
use payterm_schema::{
    AccountId, AccountRecord, HostAnswer, HostEvent, Kind, Notice, ObligationRecord, Outcome, RequestRecord,
    Status, Time,
    account::Stan,
    config::RefusalWithoutMac,
    host::{FrameTrace, MacVerdict, RetryRule, ReversalReason},
    kind::{Recovery, Side},
    money::MAX_MINOR,
    notice::Screen,
    outcome::{Authority, Class, Forwarding, Reason},
    record::{Due, Duty, Ending, Obligation},
    time::Millis,
};
use std::sync::Arc;

impl Machine {
    pub(crate) fn request_event(&mut self, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        if let (Some(flow), HostEvent::NoReply { .. } | HostEvent::Reply { .. }) =
            (self.flow.as_mut(), &event)
        {
            flow.left = true;
        }
        match event {
            HostEvent::NotSent { why } => {
                self.record(
                    Some(txn),
                    RequestRecord::NotSent { txn, account: account.clone(), stan, why: why.clone() },
                );
                // An advice is accepted: it leaves when the line is there again.
                if self.state.obligation(txn, stan).is_some() {
                    self.obligation_failed(account, txn, stan, None, why, false, FrameTrace::default());
                    return self.accept_advice();
                }
                if !self.offline(account) {
                    self.fail("not-sent", Class::E);
                }
            }
            HostEvent::Unbuildable { why } => {
                self.record(Some(txn), RequestRecord::NotSent { txn, account: account.clone(), stan, why });
                // Whatever it owed is nothing: it cannot be told either.
                if self.state.obligation(txn, stan).is_some() {
                    self.record(
                        Some(txn),
                        ObligationRecord::Ended {
                            txn,
                            stan,
                            how: Ending::NothingLeft,
                            trace: FrameTrace::default(),
                        },
                    );
                }
                self.fail("not-sent", Class::E);
            }
            HostEvent::NoReply { why, trace } => {
                self.unanswered(account, txn, stan, ReversalReason::NoReply, why, trace, "no-reply")
            }
            HostEvent::Reply { answer, trace } => self.answered(account, txn, stan, *answer, trace),
            HostEvent::Late { .. } => {}
        }
    }

    /// A frame left and no valid answer came.
    #[allow(clippy::too_many_arguments, reason = "one record's fields")]
    fn unanswered(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        reason: ReversalReason,
        why: String,
        trace: FrameTrace,
        code: &str,
    ) {
        let not_before = self.undo_time(txn, stan);
        self.record(
            Some(txn),
            RequestRecord::NoReply { txn, account: account.clone(), stan, why, reason, not_before, trace },
        );
        match self.state.obligation(txn, stan).map(|o| o.duty) {
            None => self.fail(code, Class::E),
            Some(Duty::Reverse) => self.end_unknown(account, code, Class::E),
            Some(Duty::Repeat) => self.accept_advice(),
            Some(Duty::ManualResolution) => self.in_doubt(txn, stan, code),
        }
    }

    /// Nobody but the acquirer knows, and asking again could pay twice: a person must find out.
    pub(crate) fn in_doubt(&mut self, txn: u64, stan: Stan, code: &str) {
        let Some(mut outcome) = self.state.running.as_ref().map(|r| (*r.view).clone()) else { return };
        outcome.status = Status::Unknown;
        outcome.reason = Some(Reason::new(code, Class::D));
        self.finish(outcome);
        if let Some(o) = self.state.obligation(txn, stan).cloned() {
            self.stuck(&o);
        }
    }

    /// When the undo of this frame may leave: at once, or after the wallet's wait.
    pub(crate) fn undo_time(&self, txn: u64, stan: Stan) -> Time {
        let wait = self.state.obligation(txn, stan).and_then(|o| {
            let rules = &self.account(&o.account)?.rules;
            Some(o.plan.at + *rules.wallet_undo_after.get(&o.plan.wallet?)?)
        });
        wait.map_or(self.now, |t| t.max(self.now))
    }

    fn answered(&mut self, account: &AccountId, txn: u64, stan: Stan, answer: HostAnswer, trace: FrameTrace) {
        let Some(running) = self.state.running.as_ref().filter(|r| r.txn == txn) else { return };
        let (kind, wallet, pin, asked) =
            (running.request.kind, running.view.wallet, running.view.pin, running.view.sums.amount);
        if !kind.row().authorisation {
            return self.control_answered(account, txn, stan, kind, answer, trace);
        }
        let Some(rules) = self.account(account).map(|a| a.rules.clone()) else { return };
        let mut class = self.class(account, &answer.code);
        let unsigned = rules.mac_on_replies && answer.mac == MacVerdict::Absent;
        if answer.mac == MacVerdict::Wrong || (class == Class::A && unsigned) {
            let why = if answer.mac == MacVerdict::Wrong { "mac-wrong" } else { "mac-absent" };
            self.record(
                Some(txn),
                RequestRecord::Disregarded {
                    txn,
                    account: account.clone(),
                    stan,
                    why: why.into(),
                    answer: Box::new(answer),
                    trace: trace.clone(),
                },
            );
            self.sign_out(account, "a reply had no good MAC");
            return self.unanswered(
                account,
                txn,
                stan,
                ReversalReason::BadMac,
                why.into(),
                FrameTrace::default(),
                why,
            );
        }
        let recovery = kind.row().recovery;
        let owed = recovery == Recovery::Reverse;
        let rule = rules.codes.get(&answer.code).copied();
        // The payer, or the wallet, has not decided: it may still be executed.
        let undecided = wallet.is_some() && class == Class::P;
        let pending = owed && undecided;
        // Nobody waits for a card's payer (host-protocol §9, 09): a refusal that may be tried again.
        if class == Class::P && !undecided {
            class = Class::B;
        }
        // Less than was asked for, whatever the profile's code for it: the link lets no other amount through.
        let partial = class == Class::A && answer.amount.is_some() && answer.amount < asked;
        let suspicious = unsigned
            && self
                .account(account)
                .is_some_and(|a| a.config.refusal_without_mac() == RefusalWithoutMac::Reverse);
        let reason = match (suspicious, pending) {
            (true, _) => ReversalReason::BadMac,
            (false, true) => ReversalReason::NoReply,
            (false, false) => ReversalReason::Other,
        };
        // 94 is a success too, and as such must be signed.
        let unsigned_end = unsigned && rules.advice_ends.contains(&answer.code);
        if recovery == Recovery::Repeat
            && (partial
                || (class != Class::A && (suspicious || unsigned_end || self.advice_waits(&rules, &answer))))
        {
            // No word of the acquirer's on the advice itself: it is told again.
            let why = format!("answered {}", answer.code);
            let digit = answer.requirement;
            self.record(
                Some(txn),
                RequestRecord::NoReply {
                    txn,
                    account: account.clone(),
                    stan,
                    why,
                    reason: ReversalReason::NoReply,
                    not_before: self.now,
                    trace,
                },
            );
            if rule.is_some_and(|r| r.retry == RetryRule::SignIn) {
                self.sign_out(account, "the host asks for a sign-in");
            }
            self.requirement(account, txn, digit);
            return self.accept_advice();
        }
        // Another amount than was asked for is no answer either, where nothing can be taken back.
        if recovery == Recovery::ManualResolution
            && (partial
                || undecided
                || (class != Class::A && (suspicious || rule.is_some_and(|r| r.reverse))))
        {
            let (code, digit) = (format!("host-{}", answer.code), answer.requirement);
            let reason = ReversalReason::NoReply;
            self.record(
                Some(txn),
                RequestRecord::NoReply {
                    txn,
                    account: account.clone(),
                    stan,
                    why: code.clone(),
                    reason,
                    not_before: self.now,
                    trace,
                },
            );
            self.requirement(account, txn, digit);
            return self.in_doubt(txn, stan, if suspicious { "mac-absent" } else { &code });
        }
        if pending && kind == Kind::Sale && !suspicious && self.pending(account, txn, stan, &answer, &trace) {
            return self.requirement(account, txn, answer.requirement);
        }
        if partial && !suspicious && self.partial(account, txn, stan, &answer, &trace) {
            return;
        }
        let must_undo = owed
            && (pending || partial || suspicious || (class != Class::A && rule.is_some_and(|r| r.reverse)));
        let due = must_undo.then(|| Due { reason, not_before: self.undo_time(txn, stan) });
        let digit = answer.requirement;
        let Some(mut outcome) = self.state.running.as_ref().map(|r| (*r.view).clone()) else { return };
        view::with_answer(&mut outcome, &answer);
        let code = answer.code.clone();
        self.record(
            Some(txn),
            RequestRecord::Answered {
                txn,
                account: account.clone(),
                stan,
                answer: Box::new(answer),
                due,
                trace,
            },
        );
        self.requirement(account, txn, digit);
        if pending {
            return self.end_unknown(account, "pending", Class::P);
        }
        if partial {
            view::ended(&mut outcome, Status::Declined, "partial-not-taken", Class::B, self.now);
            return self.finish(outcome);
        }
        if class == Class::A || (recovery == Recovery::Repeat && rules.advice_ends.contains(&code)) {
            let voice = (kind == Kind::VoiceSale)
                .then(|| self.state.running.as_ref().and_then(|r| r.request.auth_code.clone()))
                .flatten();
            if voice.is_some() {
                outcome.auth_code = voice;
            }
            let authority = if kind == Kind::VoiceSale { Authority::Voice } else { Authority::Host };
            if recovery == Recovery::Repeat {
                outcome.forwarding = Some(Forwarding::Forwarded);
            }
            self.approve(&mut outcome, authority);
            return self.finish(outcome);
        }
        match rule.map_or(RetryRule::Never, |r| r.retry) {
            RetryRule::Pin if pin && self.another_pin() => return,
            RetryRule::SignIn if self.another_sign_in(account, &code) => return,
            RetryRule::Now if !must_undo && self.busy_again() => return,
            RetryRule::Pin | RetryRule::SignIn | RetryRule::Now | RetryRule::Done | RetryRule::Never => {}
        }
        if rule.is_some_and(|r| r.retry == RetryRule::SignIn) {
            self.sign_out(account, "the host asks for a sign-in");
        }
        view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, self.now);
        self.finish(outcome);
    }

    /// Sign-in, sign-off and echo that an app asked for.
    fn control_answered(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        kind: Kind,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let Some(mut outcome) = self.state.running.as_ref().map(|r| (*r.view).clone()) else { return };
        view::with_answer(&mut outcome, &answer);
        let (code, digit) = (answer.code.clone(), answer.requirement);
        let class = self.class(account, &code);
        let judged = if kind == Kind::SignIn { self.judge_sign_in(account, &answer) } else { Ok(()) };
        self.record(
            Some(txn),
            RequestRecord::Answered {
                txn,
                account: account.clone(),
                stan,
                answer: Box::new(answer.clone()),
                due: None,
                trace,
            },
        );
        match (kind, judged) {
            (Kind::SignIn, Ok(())) => self.signed_in(account, answer),
            (Kind::SignIn, Err(why)) => {
                self.record(Some(txn), AccountRecord::SignInFailed { account: account.clone(), why });
                let code = if class == Class::A { "keys-refused".into() } else { format!("host-{code}") };
                view::ended(&mut outcome, Status::Declined, code, class.max_failure(), self.now);
                return self.finish(outcome);
            }
            (Kind::SignOff, _) if class == Class::A => {
                self.sign_out(account, "sign-off");
                self.effect(Effect::ForgetKeys { account: account.clone() });
            }
            (
                Kind::SignOff
                | Kind::Echo
                | Kind::Sale
                | Kind::Void
                | Kind::Balance
                | Kind::Refund
                | Kind::PreAuth
                | Kind::PreAuthCancel
                | Kind::Completion
                | Kind::CompletionAdvice
                | Kind::CompletionCancel
                | Kind::TipAdjust
                | Kind::VoiceSale
                | Kind::Parameters
                | Kind::Settlement
                | Kind::StatusUpload,
                _,
            ) => {}
        }
        self.requirement(account, txn, digit);
        if class == Class::A {
            view::approved(&mut outcome, Authority::Host, self.now);
        } else {
            view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, self.now);
        }
        self.finish(outcome);
    }

    /// "Do not take the money again": the obligation drives it to a final outcome.
    pub(crate) fn end_unknown(&mut self, account: &AccountId, code: &str, class: Class) {
        let Some(mut outcome) = self.state.running.as_ref().map(|r| (*r.view).clone()) else { return };
        outcome.status = Status::Unknown;
        outcome.reason = Some(Reason::new(code, class));
        outcome.answer_by = Some(self.now + self.patience(account));
        self.finish(outcome);
    }

    /// How long an obligation of this account is driven before it is Stuck: every try times out, every wait
    /// is waited.
    pub(crate) fn patience(&self, account: &AccountId) -> Millis {
        let Some(c) = self.account(account).map(|a| &a.config) else { return Millis(0) };
        let tries = i64::from(c.obligation_tries);
        // After 32 doublings every wait is the greatest.
        let doubling = c.obligation_tries.min(32);
        let waits: i64 = (1..=doubling).map(|n| self.longest_backoff(account, n).0).sum();
        let rest = (tries - i64::from(doubling)) * i64::from(c.obligation_backoff_max_ms);
        Millis((tries * i64::from(c.reply_timeout_ms)).saturating_add(waits).saturating_add(rest))
    }

    /// The money moved: with the merchant's fee by the account's table, where the host names none.
    pub(crate) fn approve(&self, outcome: &mut Outcome, authority: Authority) {
        if outcome.kind.row().side == Side::Debit
            && outcome.kind != Kind::TipAdjust
            && outcome.sums.fee.is_none()
        {
            let table = outcome
                .account
                .as_ref()
                .and_then(|a| self.account(a))
                .map(|a| a.config.fees.as_slice())
                .unwrap_or_default();
            let paid =
                Paid { mode: outcome.entry, wallet: outcome.wallet, scheme: outcome.scheme.as_deref() };
            outcome.sums.fee =
                outcome.sums.amount.and_then(|amount| fee(table, paid, amount)).filter(|f| *f <= MAX_MINOR);
        }
        view::approved(outcome, authority, self.now);
    }

    /// A request has an outcome: final or `Unknown`.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        let txn = outcome.txn;
        let approved = outcome.status == Status::Approved;
        let outcome = Arc::new(outcome);
        let papers = self.papers_of(&outcome);
        self.record(Some(txn), RequestRecord::Outcome { outcome: Arc::clone(&outcome), papers });
        if let Some(original) = outcome.original.as_ref().and_then(|o| o.txn) {
            self.settle_original(original, &outcome);
        }
        self.erase_when_done(txn, approved && outcome.kind.keeps_pan() && self.state.in_open_batch(&outcome));
        // A late final outcome of an earlier request does not take the screen from the customer of now.
        let foreground = self.state.running.is_none() && self.flow.take().is_some();
        self.tell(Notice::Outcome { outcome: Arc::clone(&outcome) });
        // The customer's own last result still stands there: it has become another one.
        let shown = self
            .timed
            .as_ref()
            .is_some_and(|t| matches!(&t.screen, Screen::Result { outcome: o } if o.txn == txn));
        if foreground || (shown && self.state.running.is_none()) {
            self.show_result(Screen::Result { outcome });
        }
    }

    /// A person ends this obligation, and a void or the upload needs its PAN still: its original's, or that
    /// of a payment of which another frame was approved.
    pub(crate) fn outlives(&self, o: &Obligation) -> bool {
        o.sealed.is_some_and(|t| (t != o.txn || o.duty == Duty::Reverse) && self.state.voidable.contains(&t))
    }

    /// The sealed PAN goes when neither an obligation nor a later void needs it, nor the request itself while
    /// it runs.
    pub(crate) fn erase_when_done(&mut self, txn: u64, voidable: bool) {
        let owed = self.state.obligations.seals(txn);
        let running = self.state.running.as_ref().is_some_and(|r| r.txn == txn);
        if !owed && !voidable && !running {
            self.step.seal.retain(|(t, _)| *t != txn);
            self.step.erase.push(txn);
        }
    }

    /// What the last run of the daemon left open: a frame that may have left is reversed; anything earlier
    /// has ended.
    pub(crate) fn end_interrupted(&mut self) {
        let Some(running) = self.state.running.clone() else { return };
        if let Some(account) = self.state.settlement_of(running.txn) {
            return self.end_unknown(&account, "settlement-open", Class::E);
        }
        if self.state.recovering.as_ref().is_some_and(|r| running.txn <= r.restored.last_txn) {
            return self.cut_off(running);
        }
        match running.in_flight {
            Some((account, stan)) => self.unanswered(
                &account,
                running.txn,
                stan,
                ReversalReason::NoReply,
                "restart".into(),
                FrameTrace::default(),
                "no-reply",
            ),
            None => {
                let asked = self
                    .state
                    .obligations
                    .of(running.txn)
                    .find(|o| o.asking.is_some())
                    .map(|o| o.account.clone());
                match (self.standing(running.txn), asked) {
                    (_, Some(account)) => self.end_unknown(&account, "pending", Class::P),
                    (Some(stan), None) => {
                        self.not_taken(running.txn, stan);
                        self.end(Status::Declined, "partial-not-taken", Class::B);
                    }
                    (None, None) => self.fail("interrupted", Class::E),
                }
            }
        }
    }
}
