//! The host links as the machine sees them. An account has one place for what a customer may wait for (its
//! request, the terminal's own sign-in, a reversal, a query) and, beside it, as many places as the profile
//! allows for advices: forwarding never stands in a customer's way.
use crate::{AccountSettings, Effect, Heard, Machine};
use payterm_schema::{
    AccountId, AccountRecord, HostAnswer, HostEvent, HostMessage, Notice, RequestRecord, TerminalRecord,
    Time,
    account::{Batch, Stan},
    host::{KeysVerdict, MessageKind, Plan, SecretsFrom},
    kind::Kind,
    outcome::Class,
    record::{ClockEvent, Obligation},
    time::Millis,
};

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub account: AccountId,
    pub purpose: Purpose,
    /// The link says what came of it before then; silence past it is taken for SentNoReply.
    pub until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The foreground request's own frame.
    Request { txn: u64, stan: Stan },
    /// A reversal.
    Obligation { txn: u64, stan: Stan },
    /// An advice (again).
    Advice { txn: u64, stan: Stan },
    /// What became of the payment by code `stan`.
    Query { txn: u64, stan: Stan },
    /// The terminal's own sign-in.
    SignIn,
    /// A message of the account's settlement.
    Settlement { txn: u64, stan: Stan },
    /// The self-test's echo.
    Probe { call: u64 },
}

/// The link's deadline plus this: past it the link actor is taken for dead.
const LINK_GRACE: Millis = Millis::secs(10);
/// Late answers are recognised for this many messages.
const MISSED: usize = 256;
/// A host clock further than this from ours is not believed without a supervisor.
const CLOCK_JUMP: i64 = 15 * 60 * 1000;

impl Machine {
    /// Hands a message to the account's link; the caller has journalled what allows it.
    pub(crate) fn send(
        &mut self,
        account: &AccountId,
        purpose: Purpose,
        message_kind: MessageKind,
        plan: Plan,
        secrets: SecretsFrom,
        log: Option<String>,
    ) {
        let ms = self
            .account(account)
            .map_or(60_000, |a| a.config.connect_timeout_ms.saturating_add(a.config.reply_timeout_ms));
        self.send_within(account, purpose, message_kind, plan, secrets, log, ms);
    }

    #[allow(clippy::too_many_arguments, reason = "a message and its time")]
    pub(crate) fn send_within(
        &mut self,
        account: &AccountId,
        purpose: Purpose,
        message_kind: MessageKind,
        plan: Plan,
        secrets: SecretsFrom,
        log: Option<String>,
        ms: u32,
    ) {
        let tag = self.tag();
        let deadline = self.after(ms);
        self.links.insert(tag, InFlight { account: account.clone(), purpose, until: deadline + LINK_GRACE });
        self.effect(Effect::Send(Box::new(HostMessage {
            account: account.clone(),
            tag,
            message_kind,
            plan,
            secrets,
            deadline,
            log,
        })));
    }

    fn under_way<'a>(&'a self, account: &'a AccountId) -> impl Iterator<Item = &'a InFlight> {
        self.links.values().filter(move |l| l.account == *account)
    }
    /// What stands in the customer's place of the account.
    pub(crate) fn in_front<'a>(&'a self, account: &'a AccountId) -> Option<&'a InFlight> {
        self.under_way(account).find(|l| !matches!(l.purpose, Purpose::Advice { .. }))
    }
    /// A message of this transaction is under way: what it will be answered is not known.
    pub(crate) fn speaks_of(&self, transaction: u64) -> bool {
        self.links.values().any(|l| match l.purpose {
            Purpose::Request { txn, .. }
            | Purpose::Obligation { txn, .. }
            | Purpose::Advice { txn, .. }
            | Purpose::Query { txn, .. }
            | Purpose::Settlement { txn, .. } => txn == transaction,
            Purpose::SignIn | Purpose::Probe { .. } => false,
        })
    }
    /// Nothing at all is under way: keys may change.
    pub(crate) fn quiet(&self, account: &AccountId) -> bool {
        self.under_way(account).next().is_none()
    }
    /// Advices under way.
    pub(crate) fn told_now(&self, account: &AccountId) -> Vec<(u64, Stan)> {
        let advice = |l: &InFlight| {
            if let Purpose::Advice { txn, stan } = l.purpose { Some((txn, stan)) } else { None }
        };
        self.under_way(account).filter_map(advice).collect()
    }

    /// Word from a link.
    pub(crate) fn host(&mut self, tag: u64, event: HostEvent) {
        let late = matches!(event, HostEvent::Late { .. });
        if let Some(link) = self.links.get(&tag).filter(|_| !late).cloned() {
            self.links.remove(&tag);
            if matches!(event, HostEvent::NoReply { .. }) {
                self.miss(tag, &link);
            }
            if matches!(event, HostEvent::Reply { .. }) {
                let off_by = self.heard.get(&link.account).and_then(|h| h.off_by);
                self.heard.insert(link.account.clone(), Heard { at: self.now, off_by });
                self.forwarding.remove(&link.account);
            }
            self.settle(&link.account, link.purpose, event);
        } else if let Some((_, link)) = self.missed.iter().find(|(t, _)| *t == tag).cloned()
            && let HostEvent::Late { answer, trace } | HostEvent::Reply { answer, trace } = event
        {
            self.late(&link.account, link.purpose, *answer, trace);
        }
        // Anything else is an answer to an earlier run's message: its obligation is on disk and drives it.
    }

    fn miss(&mut self, tag: u64, link: &InFlight) {
        if self.missed.len() == MISSED {
            self.missed.pop_front();
        }
        self.missed.push_back((tag, link.clone()));
    }

    fn settle(&mut self, account: &AccountId, purpose: Purpose, event: HostEvent) {
        match purpose {
            Purpose::Request { txn, stan } => self.request_event(account, txn, stan, event),
            Purpose::Advice { txn, stan } => self.advice_event(account, txn, stan, event),
            Purpose::Obligation { txn, stan } => self.obligation_event(account, txn, stan, event),
            Purpose::Query { txn, stan } => self.query_event(account, txn, stan, event),
            Purpose::SignIn => match event {
                HostEvent::Reply { answer, .. } => self.sign_in_answer(account, *answer),
                HostEvent::NotSent { why } => {
                    self.record(None, AccountRecord::SignInFailed { account: account.clone(), why });
                    self.sign_in_waits(account);
                    if !self.line_is_down(account) {
                        self.fail_waiting(account, "not-sent");
                    }
                }
                HostEvent::Unbuildable { why } | HostEvent::NoReply { why, .. } => {
                    self.sign_in_failed(account, why, "not-sent")
                }
                HostEvent::Late { .. } => {}
            },
            Purpose::Settlement { txn, stan } => self.settlement_event(account, txn, stan, event),
            Purpose::Probe { call } => self.probed(account, call, event),
        }
    }

    /// Links that said nothing, not even by their deadline.
    pub(crate) fn silent_links(&mut self) {
        let silent: Vec<u64> =
            self.links.iter().filter(|(_, l)| l.until <= self.now).map(|(tag, _)| *tag).collect();
        for tag in silent {
            if let Some(link) = self.links.remove(&tag) {
                self.miss(tag, &link);
                self.settle(
                    &link.account,
                    link.purpose,
                    HostEvent::NoReply { why: "the link did not answer".into(), trace: Default::default() },
                );
            }
        }
    }

    /// An answer after its time: a reversal's counts, a request's is recorded (its reversal goes on).
    fn late(
        &mut self,
        account: &AccountId,
        purpose: Purpose,
        answer: HostAnswer,
        trace: payterm_schema::host::FrameTrace,
    ) {
        match purpose {
            Purpose::Obligation { txn, stan } | Purpose::Advice { txn, stan }
                if self.state.obligation(txn, stan).is_some() =>
            {
                self.obligation_answer(account, txn, stan, answer, trace);
            }
            Purpose::Request { txn, stan } => {
                self.record(
                    Some(txn),
                    RequestRecord::Disregarded {
                        txn,
                        account: account.clone(),
                        stan,
                        why: "late".into(),
                        answer: Box::new(answer),
                        trace,
                    },
                );
            }
            Purpose::Settlement { txn, stan } => self.settlement_answer(account, txn, stan, answer, trace),
            Purpose::Obligation { .. }
            | Purpose::Advice { .. }
            | Purpose::Query { .. }
            | Purpose::SignIn
            | Purpose::Probe { .. } => {}
        }
    }

    /// The open batch was begun under another merchant or terminal number: whatever left now would be of
    /// another terminal's batch.
    pub(crate) fn renumbered(&self, id: &AccountId) -> bool {
        let l = self.state.ledger(id);
        let same = |a: &AccountSettings| {
            l.opened_as.as_ref().is_none_or(|(m, t)| a.config.mid == **m && a.config.tid == **t)
        };
        l.holds_records() && !self.account(id).is_some_and(same)
    }

    /// Messages to hosts that are under way.
    pub fn exchanges(&self) -> usize {
        self.links.len()
    }

    /// What goes out next on this account.
    pub(crate) fn drive_account(&mut self, id: &AccountId) {
        if self.renumbered(id) {
            if self.flow.as_ref().is_some_and(|f| f.waits_for(id) || f.clears(id)) {
                self.fail("account-renumbered", Class::D);
            }
            return self.settle_behind(id);
        }
        self.drive_front(id);
        while let Some((txn, stan)) = self.next_advice(id) {
            if let Some(flow) = self.flow.as_mut().filter(|f| f.clears(id)) {
                flow.tried.insert((txn, stan));
            }
            self.send_owed(id, txn, stan);
        }
    }

    fn drive_front(&mut self, id: &AccountId) {
        if self.in_front(id).is_some() {
            return;
        }
        self.give_up_asking(id);
        let Some((signs_in, by_itself)) = self.account(id).map(|a| (a.rules.sign_in, a.config.auto_sign_in))
        else {
            return;
        };
        let waiting = self.flow.as_ref().is_some_and(|f| f.waits_for(id));
        let authorises =
            waiting && self.state.running.as_ref().is_some_and(|r| r.request.kind.row().authorisation);
        if waiting && !authorises {
            // It may change the keys: an advice under way would be answered under the old ones.
            return if self.quiet(id) {
                self.proceed()
            };
        }
        let clears = self.flow.as_ref().is_some_and(|f| f.clears(id));
        let settling = self.settling(id).is_some_and(|s| !s.hold);
        if signs_in && !self.state.ledger(id).signed_in {
            let wait = self.sign_in.entry(id.clone()).or_default().clone();
            let wanted = wait.wanted
                || authorises
                || clears
                || settling
                || self.due_obligation(id, self.now).is_some()
                || self.asking_due(id).is_some_and(|t| t <= self.now)
                || self.advice_due(id).is_some_and(|t| t <= self.now);
            if wanted && !by_itself {
                if authorises || clears {
                    self.fail("not-signed-in", Class::D);
                }
                self.settle_behind(id);
            } else if wanted && wait.not_before <= self.now && self.quiet(id) {
                self.send_sign_in(id);
            }
            return;
        }
        let hurry = (authorises || clears) && self.flow.as_ref().is_some_and(|f| !f.hurried);
        // Nothing else of the account leaves while its batch is being closed.
        if self.settling(id).is_some() {
            return self.drive_settlement(id, hurry);
        }
        if clears && self.clear(id) {
            return;
        }
        if let Some((txn, stan)) = self
            .due_obligation(id, self.now)
            .or_else(|| (hurry && authorises).then(|| self.state.obligations.blocking(id)).flatten())
        {
            if let Some(flow) = self.flow.as_mut().filter(|_| authorises) {
                flow.hurried = true;
            }
            return self.send_owed(id, txn, stan);
        }
        if let Some((txn, stan)) = self.due_query(id) {
            return self.send_query(id, txn, stan);
        }
        if authorises && !self.state.blocked(id) {
            self.proceed();
        }
    }

    fn due_obligation(&self, id: &AccountId, by: Time) -> Option<(u64, Stan)> {
        self.state.obligations.due(id).find(|o| self.due_at(o) <= by).map(|o| (o.txn, o.plan.stan))
    }

    /// A time further away than any wait of the account was set by another clock (set back while the power
    /// was off): then now.
    pub(crate) fn due_at(&self, o: &Obligation) -> Time {
        let undo = self
            .account(&o.account)
            .and_then(|a| a.rules.wallet_undo_after.get(&o.plan.wallet?).copied())
            .unwrap_or_default();
        if o.next_try.since(self.now) > self.longest_wait(&o.account).max(undo) {
            self.now
        } else {
            o.next_try
        }
    }

    /// When [`Machine::drive_account`] has something to do next.
    pub(crate) fn account_due(&self, settings: &AccountSettings) -> Option<Time> {
        let id = &settings.config.id;
        if self.renumbered(id) {
            return None;
        }
        let signed_out = settings.rules.sign_in && !self.state.ledger(id).signed_in;
        let advice = self
            .advice_due(id)
            .filter(|_| (signed_out || self.free_places(id) > 0) && self.settling(id).is_none());
        if self.in_front(id).is_some() {
            return advice.filter(|_| !signed_out);
        }
        let control = self.state.running.as_ref().is_some_and(|r| !r.request.kind.row().authorisation);
        if control && self.flow.as_ref().is_some_and(|f| f.waits_for(id)) && !self.quiet(id) {
            return None;
        }
        let owed = self.state.obligations.due(id).map(|o| self.due_at(o)).min();
        let owed = [owed, self.asking_due(id), advice].into_iter().flatten().min();
        let owed = if self.settling(id).is_some() { self.settling_due(id) } else { owed };
        if signed_out {
            let wait = self.sign_in.get(id).cloned().unwrap_or_default();
            let waiting = self.flow.as_ref().is_some_and(|f| f.waits_for(id) || f.clears(id));
            let wanted = if wait.wanted || waiting {
                Some(wait.not_before)
            } else {
                owed.map(|t| t.max(wait.not_before))
            };
            let can = settings.config.auto_sign_in && self.quiet(id);
            return [wanted.filter(|_| can), self.asking_over(id)].into_iter().flatten().min();
        }
        owed
    }

    fn send_sign_in(&mut self, id: &AccountId) {
        let plan = self.control_plan(id, Kind::SignIn);
        self.record(None, AccountRecord::ControlSent { account: id.clone(), plan: Box::new(plan.clone()) });
        self.send(id, Purpose::SignIn, MessageKind::Request, plan, SecretsFrom::None, None);
    }

    pub(crate) fn control_plan(&self, id: &AccountId, kind: Kind) -> Plan {
        Plan {
            kind,
            stan: self.state.next_stan(id),
            batch: self.state.ledger(id).batch,
            amount: None,
            mode: None,
            pin: false,
            track: false,
            wallet: None,
            expiry: None,
            card_sequence: None,
            original: None,
            operator: self.operator(),
            at: self.now,
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
        }
    }

    fn sign_in_answer(&mut self, id: &AccountId, answer: HostAnswer) {
        match self.judge_sign_in(id, &answer) {
            Ok(()) => self.signed_in(id, answer),
            Err(why) => {
                let code = if matches!(answer.keys, KeysVerdict::Refused(_)) {
                    "keys-refused"
                } else {
                    "sign-in-failed"
                };
                self.sign_in_failed(id, why, code);
            }
        }
    }

    /// A sign-in is good when its code is a success and, where messages are MACed, new keys passed their
    /// check values.
    pub(crate) fn judge_sign_in(&self, id: &AccountId, answer: &HostAnswer) -> Result<(), String> {
        if self.class(id, &answer.code) != Class::A {
            return Err(format!("the host answered {}", answer.code));
        }
        let keys_needed = self.account(id).is_some_and(|a| a.rules.mac_on_replies);
        match &answer.keys {
            KeysVerdict::Loaded => Ok(()),
            KeysVerdict::None if !keys_needed => Ok(()),
            KeysVerdict::None => Err("the reply holds no working keys".into()),
            KeysVerdict::Refused(why) => Err(why.clone()),
        }
    }

    pub(crate) fn signed_in(&mut self, id: &AccountId, answer: HostAnswer) {
        let (ours, holds, ours_off) =
            (self.state.ledger(id).batch, self.state.keeps_batch(id), self.state.ledger(id).offset);
        // Another batch number while ours holds records, or may, does not change ours: settle first
        // (host-protocol §4).
        let batch: Batch = answer.batch.filter(|_| !holds).unwrap_or(ours);
        // In a journal that was restored it may be settled: a person is asked ([`Machine::doubt_batches`]).
        if answer.batch.is_some_and(|b| b != batch) && self.state.recovering.is_none() {
            self.trouble("settle-first");
        }
        let offset = self.host_offset(id, &answer).unwrap_or(ours_off);
        // A PIN that was typed before is enciphered under the old key: the issuer would count it as wrong.
        if let Some(flow) = self.flow.as_mut().filter(|f| f.holds_pin(id)) {
            flow.pin = None;
        }
        let differs = self.heard.get(id).and_then(|h| h.off_by);
        self.record(
            None,
            AccountRecord::SignedIn { account: id.clone(), batch, offset, answer: Box::new(answer) },
        );
        if let Some(by) = differs {
            self.record(
                None,
                TerminalRecord::Clock { event: ClockEvent::HostDiffers { account: id.clone(), by } },
            );
        }
        self.sign_in.insert(id.clone(), Default::default());
    }

    /// Host time minus ours, from F12 and F13: the reply has no year, so the one that makes the date nearest
    /// to now; a jump of more than 15 minutes is shown and not taken over.
    fn host_offset(&mut self, id: &AccountId, answer: &HostAnswer) -> Option<Millis> {
        let minutes = self.account(id)?.host_offset_minutes;
        let host = Time::nearest(self.now, answer.date.as_deref()?, answer.time.as_deref()?, minutes)?;
        let offset = host.since(self.now);
        if let Some(heard) = self.heard.get_mut(id) {
            heard.off_by = Some(offset).filter(|o| o.0.abs() > CLOCK_JUMP);
        }
        if offset.0.abs() > CLOCK_JUMP {
            self.trouble("clock-jump");
            return None;
        }
        Some(offset)
    }

    fn sign_in_failed(&mut self, id: &AccountId, why: String, code: &str) {
        self.record(None, AccountRecord::SignInFailed { account: id.clone(), why });
        self.sign_in_waits(id);
        self.fail_waiting(id, code);
    }

    fn sign_in_waits(&mut self, id: &AccountId) {
        let now = self.now;
        self.sign_in.entry(id.clone()).or_default().failed(now);
    }

    fn fail_waiting(&mut self, id: &AccountId, code: &str) {
        if self.flow.as_ref().is_some_and(|f| f.waits_for(id) || f.clears(id)) {
            self.fail(code, Class::E);
        }
        self.settle_behind(id);
    }

    /// The host's word in the header of a reply (processing requirement, host-protocol §1): 3 = sign in again
    /// after this transaction; others are recorded and shown.
    pub(crate) fn requirement(&mut self, id: &AccountId, txn: u64, digit: u8) {
        if digit == 0 {
            return;
        }
        self.record(Some(txn), AccountRecord::Requirement { account: id.clone(), digit });
        if digit == 3 {
            self.sign_out(id, "the host asks for a sign-in (requirement 3)");
            self.sign_in.entry(id.clone()).or_default().wanted = true;
        } else {
            self.tell(Notice::Requirement { account: id.clone(), digit });
        }
    }

    pub(crate) fn sign_out(&mut self, id: &AccountId, why: &str) {
        if self.state.ledger(id).signed_in {
            self.record(None, AccountRecord::SignedOut { account: id.clone(), why: why.into() });
        }
    }
}
