//! Obligations: reversals and advices, driven until they are answered or Stuck.
use crate::{
    AccountSettings, Machine, Settings, flow::Stage, links::Purpose, recovery::recovery_first, view,
};
use payterm_schema::{
    AccountId, Fault, HostAnswer, HostEvent, Notice, ObligationRecord, Outcome, Status, Time,
    account::Stan,
    config::AccountConfig,
    host::{FrameTrace, MacVerdict, MessageKind, Plan, RetryRule, SecretsFrom},
    notice::Owed,
    outcome::Class,
    paper::PaperKind,
    record::{Duty, Ending, Obligation, ObligationState},
    time::Millis,
};
use std::sync::Arc;

impl AccountSettings {
    /// The wait after the nth try without the part that is taken off.
    pub(crate) fn longest_backoff(&self, tries: u32) -> Millis {
        let doubled = i64::from(self.config.obligation_backoff_ms) << tries.saturating_sub(1).min(24);
        Millis(doubled.min(i64::from(self.config.obligation_backoff_max_ms)))
    }

    /// When it is Stuck at the latest: every try that is left leaves, and none is answered. What has not left
    /// at all has no such time.
    fn deadline(&self, o: &Obligation, now: Time) -> Option<Time> {
        let left = self.config.obligation_tries.saturating_sub(o.tries);
        let wait = |n: u32| {
            i64::from(self.config.reply_timeout_ms) + self.longest_backoff(o.tries.saturating_add(n)).0
        };
        // After 32 doublings every wait is the greatest.
        let waits: i64 = (1..left.min(33)).map(wait).sum();
        let rest = i64::from(left.saturating_sub(33)) * wait(33);
        let last = i64::from(self.config.reply_timeout_ms);
        let due = o.state == ObligationState::Due && o.held.is_none() && (o.left || o.tries > 0);
        due.then(|| o.next_try.max(now) + Millis(waits.saturating_add(rest).saturating_add(last)))
    }
}

impl Settings {
    /// An obligation as faces see it: with its deadline, without the card's token.
    pub fn shown(&self, o: &Obligation, now: Time) -> Obligation {
        let account = self.accounts.iter().find(|a| a.config.id == o.account);
        // Of the card only what is masked.
        let plan = Plan { expiry: None, ..o.plan.clone() };
        Obligation { deadline: account.and_then(|a| a.deadline(o, now)), card: None, plan, ..o.clone() }
    }
}

impl Machine {
    /// Wait after the nth try: doubles from the account's first to its greatest, less up to a quarter of it,
    /// so that a street of terminals does not come back at the same moment. The part is a hash of the
    /// terminal's number, `salt` (the transaction's) and the try: replay finds the same.
    pub(crate) fn backoff(&self, account: &AccountId, tries: u32, salt: u64) -> Millis {
        let wait = self.longest_backoff(account, tries).0;
        let terminal = self.account(account).map_or(0, |a| {
            a.config.tid.as_str().bytes().fold(0u64, |h, b| h.wrapping_mul(257).wrapping_add(u64::from(b)))
        });
        let part = mixed(terminal.wrapping_add(salt.rotate_left(32)).wrapping_add(u64::from(tries))) % 1024;
        Millis(wait - wait / 4 * i64::try_from(part).unwrap_or(0) / 1024)
    }

    pub(crate) fn longest_backoff(&self, account: &AccountId, tries: u32) -> Millis {
        self.account(account).map_or(Millis::secs(60), |a| a.longest_backoff(tries))
    }
    pub(crate) fn longest_wait(&self, account: &AccountId) -> Millis {
        self.longest_backoff(account, u32::MAX)
    }

    /// Sends a reversal or an advice (again): same STAN, the batch of its original, today's key
    /// (host-protocol §6).
    pub(crate) fn send_owed(&mut self, account: &AccountId, txn: u64, stan: Stan) {
        // Never sent again, never reversed: a person's.
        let Some(o) = self.state.obligation(txn, stan).filter(|o| o.duty != Duty::ManualResolution).cloned()
        else {
            return;
        };
        self.record(Some(txn), ObligationRecord::Tried { txn, stan });
        let secrets = o.sealed.map_or(SecretsFrom::None, SecretsFrom::Sealed);
        let (message_kind, purpose) = match o.duty {
            Duty::Repeat => (MessageKind::Repeat, Purpose::Advice { txn, stan }),
            Duty::Reverse | Duty::ManualResolution => {
                (MessageKind::Reversal(o.reason), Purpose::Obligation { txn, stan })
            }
        };
        self.send(account, purpose, message_kind, o.plan, secrets, None);
    }

    pub(crate) fn obligation_event(&mut self, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        match event {
            HostEvent::NotSent { why } => {
                self.obligation_failed(account, txn, stan, None, why, false, FrameTrace::default());
                self.line_is_down(account);
            }
            HostEvent::Unbuildable { why } => {
                self.obligation_failed(account, txn, stan, None, why, false, FrameTrace::default());
                // Trying again changes nothing: a person must look.
                if let Some(o) =
                    self.state.obligation(txn, stan).filter(|o| o.state == ObligationState::Due).cloned()
                {
                    self.stuck(&o);
                }
            }
            HostEvent::NoReply { why, trace } => {
                self.obligation_failed(account, txn, stan, None, why, true, trace)
            }
            HostEvent::Reply { answer, trace } => self.obligation_answer(account, txn, stan, *answer, trace),
            HostEvent::Late { .. } => {}
        }
    }

    pub(crate) fn obligation_answer(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let Some(rules) = self.account(account).map(|a| a.rules.clone()) else { return };
        // A late answer to an earlier try may have ended it while this one was under way.
        let Some(o) = self.state.obligation(txn, stan).cloned() else { return };
        let signed = answer.mac == MacVerdict::Good || !rules.mac_on_replies;
        if o.duty == Duty::Repeat {
            return self.advice_answer(account, &o, &rules, answer, trace, signed);
        }
        let ends = rules.reversal_ends.contains(&answer.code);
        if signed && ends {
            let voidable = o.sealed.is_some_and(|t| self.state.voidable.contains(&t));
            self.record(
                Some(txn),
                ObligationRecord::Ended { txn, stan, how: Ending::Answered(answer.code), trace },
            );
            if let Some(sealed) = o.sealed {
                self.erase_when_done(sealed, voidable);
            }
            return self.obligation_ended(txn);
        }
        let sign_in = rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn);
        if (!signed && ends) || sign_in || answer.mac == MacVerdict::Wrong {
            self.sign_out(account, "a reversal was not answered with a good MAC");
        }
        let why = if signed {
            format!("the host answered {}", answer.code)
        } else {
            "the answer had no good MAC".into()
        };
        self.obligation_failed(account, txn, stan, Some(answer.code), why, true, trace);
    }

    #[allow(clippy::too_many_arguments, reason = "one record's fields")]
    pub(crate) fn obligation_failed(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        code: Option<String>,
        why: String,
        left: bool,
        trace: FrameTrace,
    ) {
        let Some(o) = self.state.obligation(txn, stan).cloned() else { return };
        // What never left is tried for as long as it takes: as long again as it has waited, within the same
        // bounds.
        let (first, waited, max) =
            (self.backoff(account, 1, txn), self.now.since(o.since), self.longest_wait(account));
        let next_try =
            self.now + if left { self.backoff(account, o.tries, txn) } else { waited.clamp(first, max) };
        self.record(Some(txn), ObligationRecord::Failed { txn, stan, code, why, next_try, left, trace });
        let max = self.account(account).map_or(1, |a| a.config.obligation_tries);
        if left && o.tries >= max && o.state == ObligationState::Due {
            return self.stuck(&o);
        }
        self.tell_obligation(txn, stan);
    }

    pub(crate) fn tell_obligation(&mut self, txn: u64, stan: Stan) {
        if let Some(o) = self.state.obligation(txn, stan).map(|o| self.settings.shown(o, self.now)) {
            let account = o.account.clone();
            self.tell(Notice::Obligation { obligation: Box::new(o) });
            self.show_owed(&account);
        }
    }

    /// What holds up the account's requests.
    pub(crate) fn owed(&self, account: &AccountId) -> Option<Owed> {
        let (txn, stan) = self.state.obligations.blocking(account)?;
        let o = self.settings.shown(self.state.obligation(txn, stan)?, self.now);
        Some(Owed { tries: o.tries, last_code: o.last_code, next_try: o.next_try, deadline: o.deadline })
    }

    /// Whoever waits for it sees how far it is.
    fn show_owed(&mut self, account: &AccountId) {
        let now = self.owed(account);
        let waits = self.flow.as_mut().filter(|f| f.waits_for(account) || f.clears(account));
        if let Some(Stage::Preparing { owed, what: Some(_), .. } | Stage::Clearing { owed, .. }) =
            waits.map(|f| &mut f.stage)
        {
            *owed = now;
        }
    }

    /// For a person: kept, shown, printed and told.
    pub(crate) fn stuck(&mut self, o: &Obligation) {
        let (txn, stan) = (o.txn, o.plan.stan);
        self.record(Some(txn), ObligationRecord::Stuck { txn, stan });
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| &*r.view);
        if let Some(told) = self.state.owes(txn).or(running).cloned() {
            // The numbers of the message itself: another try of the same request has others.
            self.queue_paper(
                PaperKind::StuckSlip,
                Arc::new(Outcome { stan: Some(stan), batch: Some(o.plan.batch), ..told }),
                0,
            );
        }
        self.tell_obligation(txn, stan);
    }

    /// The account is configured, and still speaks as the merchant and terminal that sent the frame.
    fn drivable(&self, o: &Obligation) -> bool {
        let told = self.state.owes(o.txn);
        let same = |c: &AccountConfig| {
            told.is_none_or(|t| {
                t.mid.as_deref() == Some(c.mid.as_str()) && t.tid.as_deref() == Some(c.tid.as_str())
            })
        };
        self.account(&o.account).is_some_and(|a| same(&a.config))
    }

    /// Obligations of accounts that the configuration no longer has, or that have another merchant or
    /// terminal number by now: nobody can drive them, the host would not know whose frame is taken back.
    pub(crate) fn strand(&mut self) {
        let lost: Vec<Obligation> = self
            .state
            .obligations
            .iter()
            .filter(|o| o.state != ObligationState::Stuck && !self.drivable(o))
            .cloned()
            .collect();
        lost.iter().for_each(|o| self.stuck(o));
    }

    /// The host has taken it back (or never had it): `Unknown` becomes final.
    fn obligation_ended(&mut self, txn: u64) {
        let Some(mut outcome) = self.state.owes(txn).filter(|o| o.status == Status::Unknown).cloned() else {
            return;
        };
        if self.state.obligations.of(txn).next().is_some() {
            return;
        }
        view::ended(&mut outcome, Status::Declined, "reversed", Class::E, self.now);
        self.finish(outcome);
    }

    pub(crate) fn retry_obligation(&mut self, call: u64, txn: u64, by: String) {
        if let Some(account) = self.state.settlement_of(txn) {
            return self.retry_settlement(call, &account, by);
        }
        let stuck: Vec<Obligation> =
            self.state.obligations.of(txn).filter(|o| o.state == ObligationState::Stuck).cloned().collect();
        if stuck.is_empty() {
            return self.answer(call, Err(self.not_so(txn, |_| "it is not stuck: forward has it tried now")));
        }
        if self.state.recovering.is_some() {
            return self.answer(call, Err(recovery_first()));
        }
        if let Some(o) = stuck.iter().find(|o| !self.drivable(o)) {
            return self.answer(call, Err(Fault::not_found("account", o.account.as_str())));
        }
        if stuck.iter().any(|o| o.duty == Duty::ManualResolution) {
            return self.answer(
                call,
                Err(Fault::WrongState {
                    rule: "never sent again: ask the acquirer, then resolve it with their reference".into(),
                }),
            );
        }
        for o in stuck {
            self.record(Some(txn), ObligationRecord::Retried { txn, stan: o.plan.stan, by: by.clone() });
        }
        self.answer(call, Ok(()));
    }
}

/// A bijection of 64 bits that leaves no pattern (SplitMix64's finaliser: Steele, Lea and Flood, 2014).
const fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
