//! What the host's word on the foreground request means, and how a request ends.
use crate::{
    Effect, Machine,
    fees::{Paid, fee},
    view,
};
use payterm_schema::{
    AccountId, HostAnswer, HostEvent, Kind, Notice, Outcome, Record, Status, Time,
    account::Stan,
    config::RefusalWithoutMac,
    host::{Again, FrameTrace, MacVerdict, ReversalReason},
    kind::{Recovery, Side},
    money::MAX_MINOR,
    notice::Screen,
    outcome::{Class, Reason},
    paper::PaperKind,
    record::Due,
    time::Millis,
};

impl Machine {
    pub(crate) fn request_event(&mut self, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        match event {
            HostEvent::NotSent { why } | HostEvent::Unbuildable { why } => {
                self.record(Some(txn), Record::NotSent { txn, account: account.clone(), stan, why });
                self.fail("not-sent", Class::E);
            }
            HostEvent::NoReply { why, trace } => self.unanswered(account, txn, stan, ReversalReason::NoReply, why, trace, "no-reply"),
            HostEvent::Reply { answer, trace } => self.answered(account, txn, stan, *answer, trace),
            HostEvent::Late { .. } => {}
        }
    }

    /// A frame left and no valid answer came.
    #[allow(clippy::too_many_arguments, reason = "one record's fields")]
    fn unanswered(&mut self, account: &AccountId, txn: u64, stan: Stan, reason: ReversalReason, why: String, trace: FrameTrace, code: &str) {
        let not_before = self.undo_time(txn, stan);
        self.record(Some(txn), Record::NoReply { txn, account: account.clone(), stan, why, reason, not_before, trace });
        if self.state.obligation(txn, stan).is_some() {
            self.end_unknown(account, code, Class::E);
        } else {
            self.fail(code, Class::E);
        }
    }

    /// When the undo of this frame may leave: at once, or after the wallet's wait.
    fn undo_time(&self, txn: u64, stan: Stan) -> Time {
        let wait = self.state.obligation(txn, stan).and_then(|o| {
            let rules = &self.account(&o.account)?.rules;
            Some(o.plan.at + *rules.wallet_undo_after.get(&o.plan.wallet?)?)
        });
        wait.map_or(self.now, |t| t.max(self.now))
    }

    fn answered(&mut self, account: &AccountId, txn: u64, stan: Stan, answer: HostAnswer, trace: FrameTrace) {
        let Some(running) = self.state.running.clone().filter(|r| r.txn == txn) else { return };
        let kind = running.request.kind;
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
                Record::Disregarded { txn, account: account.clone(), stan, why: why.into(), answer: Box::new(answer), trace: trace.clone() },
            );
            self.sign_out(account, "a reply had no good MAC");
            return self.unanswered(account, txn, stan, ReversalReason::BadMac, why.into(), FrameTrace::default(), why);
        }
        let owed = kind.row().recovery == Recovery::Reverse;
        let wallet = running.view.wallet;
        let rule = rules.codes.get(&answer.code).copied();
        let pending = owed && wallet.is_some() && class == Class::P && kind == Kind::Sale;
        // Nobody waits for a card's payer (host-protocol §9, 09): a refusal that may be tried again.
        if class == Class::P && !pending {
            class = Class::B;
        }
        // Less than was asked for, whatever the profile's code for it: the link lets no other amount through.
        let partial = class == Class::A && answer.amount.is_some() && answer.amount < running.view.sums.amount;
        let suspicious = unsigned && self.account(account).is_some_and(|a| a.config.refusal_without_mac() == RefusalWithoutMac::Reverse);
        let reason = match (suspicious, pending) {
            (true, _) => ReversalReason::BadMac,
            (false, true) => ReversalReason::NoReply,
            (false, false) => ReversalReason::Other,
        };
        let must_undo = owed && (pending || partial || suspicious || (class != Class::A && rule.is_some_and(|r| r.reverse)));
        let due = must_undo.then(|| Due { reason, not_before: self.undo_time(txn, stan) });
        let digit = answer.requirement;
        let mut outcome = running.view.clone();
        view::with_answer(&mut outcome, &answer);
        let code = answer.code.clone();
        self.record(Some(txn), Record::Answered { txn, account: account.clone(), stan, answer: Box::new(answer), due, trace });
        self.requirement(account, txn, digit);
        if pending {
            return self.end_unknown(account, "pending", Class::P);
        }
        if partial {
            view::ended(&mut outcome, Status::Declined, "partial-not-taken", Class::B, self.now);
            return self.finish(outcome);
        }
        if class == Class::A {
            if kind.row().side == Side::Debit && outcome.sums.fee.is_none() {
                let table = self.account(account).map(|a| a.config.fees.as_slice()).unwrap_or_default();
                let paid = Paid { mode: outcome.entry, wallet: outcome.wallet, organisation: outcome.organisation.as_deref() };
                outcome.sums.fee = outcome.sums.amount.and_then(|amount| fee(table, paid, amount)).filter(|f| *f <= MAX_MINOR);
            }
            view::approved(&mut outcome, self.now);
            return self.finish(outcome);
        }
        match rule.map_or(Again::Never, |r| r.again) {
            Again::Pin if running.view.pin && self.another_pin() => return,
            Again::SignIn if self.another_sign_in(account, &code) => return,
            // Host busy: a countdown and another try belong to the counter issue; until then a refusal is a refusal.
            Again::Pin | Again::SignIn | Again::Now | Again::Done | Again::Never => {}
        }
        if rule.is_some_and(|r| r.again == Again::SignIn) {
            self.sign_out(account, "the host asks for a sign-in");
        }
        view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, self.now);
        self.finish(outcome);
    }

    /// Code 55: the customer types the PIN again in the same request, with a new STAN and a new PIN block.
    fn another_pin(&mut self) -> bool {
        let tries = self.settings.flow.pin_tries;
        let Some(flow) = self.flow.as_mut() else { return false };
        flow.pin_tries += 1;
        if flow.pin_tries >= tries {
            return false;
        }
        flow.pin = None;
        self.prepare();
        true
    }

    /// 77, A0, 99: sign in, then once more; new keys, so the PIN is asked again.
    fn another_sign_in(&mut self, account: &AccountId, code: &str) -> bool {
        let auto = self.account(account).is_some_and(|a| a.config.auto_sign_in);
        let Some(flow) = self.flow.as_mut().filter(|f| auto && !f.signed_again) else { return false };
        flow.signed_again = true;
        flow.pin = None;
        self.sign_out(account, &format!("the host asks for a sign-in ({code})"));
        self.prepare();
        true
    }

    /// Sign-in, sign-off and echo that an app asked for.
    fn control_answered(&mut self, account: &AccountId, txn: u64, stan: Stan, kind: Kind, answer: HostAnswer, trace: FrameTrace) {
        let Some(mut outcome) = self.state.running.as_ref().map(|r| r.view.clone()) else { return };
        view::with_answer(&mut outcome, &answer);
        let (code, digit) = (answer.code.clone(), answer.requirement);
        let class = self.class(account, &code);
        let judged = if kind == Kind::SignIn { self.judge_sign_in(account, &answer) } else { Ok(()) };
        self.record(Some(txn), Record::Answered { txn, account: account.clone(), stan, answer: Box::new(answer.clone()), due: None, trace });
        match (kind, judged) {
            (Kind::SignIn, Ok(())) => self.signed_in(account, answer),
            (Kind::SignIn, Err(why)) => {
                self.record(Some(txn), Record::SignInFailed { account: account.clone(), why });
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
                | Kind::StatusUpload,
                _,
            ) => {}
        }
        self.requirement(account, txn, digit);
        if class == Class::A {
            view::approved(&mut outcome, self.now);
        } else {
            view::ended(&mut outcome, Status::Declined, format!("host-{code}"), class, self.now);
        }
        self.finish(outcome);
    }

    /// "Do not take the money again": the obligation drives it to a final outcome.
    fn end_unknown(&mut self, account: &AccountId, code: &str, class: Class) {
        let Some(mut outcome) = self.state.running.as_ref().map(|r| r.view.clone()) else { return };
        outcome.status = Status::Unknown;
        outcome.reason = Some(Reason::new(code, class));
        outcome.answer_by = Some(self.now + self.patience(account));
        self.finish(outcome);
    }

    /// How long an obligation of this account is driven before it is Stuck: every try times out, every wait is waited.
    pub(crate) fn patience(&self, account: &AccountId) -> Millis {
        let Some(c) = self.account(account).map(|a| &a.config) else { return Millis(0) };
        let tries = i64::from(c.obligation_tries);
        // After 32 doublings every wait is the greatest.
        let doubling = c.obligation_tries.min(32);
        let waits: i64 = (1..=doubling).map(|n| self.backoff(account, n).0).sum();
        let rest = (tries - i64::from(doubling)) * i64::from(c.obligation_backoff_max_ms);
        Millis((tries * i64::from(c.reply_timeout_ms)).saturating_add(waits).saturating_add(rest))
    }

    /// A request has an outcome: final or `Unknown`.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        let txn = outcome.txn;
        let approved = outcome.status == Status::Approved;
        self.record(Some(txn), Record::Outcome { outcome: Box::new(outcome.clone()) });
        if let Some(original) = outcome.original.as_ref().filter(|_| approved && outcome.kind == Kind::Void) {
            self.record(Some(original.txn), Record::Voided { txn: original.txn, by: txn });
            self.erase_when_done(original.txn, false);
        }
        self.erase_when_done(txn, approved && outcome.kind == Kind::Sale);
        match outcome.status {
            Status::Approved if outcome.kind.row().slip => {
                if self.settings.paper.merchant_copy {
                    self.queue_paper(PaperKind::MerchantCopy, &outcome, 0);
                }
                if self.settings.paper.customer_copy {
                    self.queue_paper(PaperKind::CustomerCopy, &outcome, 0);
                }
            }
            Status::Unknown => self.queue_paper(PaperKind::UnknownSlip, &outcome, 0),
            Status::Approved | Status::Running | Status::Declined | Status::Cancelled | Status::Failed => {}
        }
        // A late final outcome of an earlier request does not take the screen from the customer of now.
        let foreground = self.state.running.is_none() && self.flow.take().is_some();
        self.tell(Notice::Outcome { outcome: Box::new(outcome.clone()) });
        if foreground {
            self.screen_until = Some(self.after(self.settings.flow.result_ms));
            self.show(Screen::Result { outcome: Box::new(outcome) });
        }
    }

    /// The sealed PAN goes when neither an obligation nor a later void needs it, nor the request itself while it runs.
    pub(crate) fn erase_when_done(&mut self, txn: u64, voidable: bool) {
        let owed = self.state.obligations.iter().any(|o| o.sealed == Some(txn));
        let running = self.state.running.as_ref().is_some_and(|r| r.txn == txn);
        if !owed && !voidable && !running {
            self.step.seal.retain(|(t, _)| *t != txn);
            self.step.erase.push(txn);
        }
    }

    /// What the last run of the daemon left open: a frame that may have left is reversed; anything earlier has ended.
    pub(crate) fn end_interrupted(&mut self) {
        let Some(running) = self.state.running.clone() else { return };
        match running.in_flight {
            Some((account, stan)) => self.unanswered(&account, running.txn, stan, ReversalReason::NoReply, "restart".into(), FrameTrace::default(), "no-reply"),
            None => self.fail("interrupted", Class::E),
        }
    }
}
