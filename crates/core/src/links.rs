//! The host links as the machine sees them: one message under way per account, its own sign-in, and who goes next
//! (sign-in, then what is owed, then the waiting customer).
use crate::{AccountSettings, Effect, Heard, Machine};
use payterm_schema::{
    AccountId, HostAnswer, HostEvent, HostMessage, Notice, Record, Time,
    account::{Batch, Stan},
    host::{EntryMode, KeysVerdict, Leg, Plan, SecretsFrom},
    kind::Kind,
    outcome::Class,
    record::{Obligation, ObligationState},
    time::Millis,
};

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub tag: u64,
    pub purpose: Purpose,
    /// The link says what came of it before then; silence past it is taken for SentNoReply.
    pub until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The foreground request's own frame.
    Request { txn: u64, stan: Stan },
    /// A reversal, or an advice once more.
    Obligation { txn: u64, stan: Stan },
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
const MISSED: usize = 64;
/// A host clock further than this from ours is not believed without a supervisor.
const CLOCK_JUMP: i64 = 15 * 60 * 1000;

impl Machine {
    /// Hands a message to the account's link; the caller has journalled what allows it.
    pub(crate) fn send(&mut self, account: &AccountId, purpose: Purpose, leg: Leg, plan: Plan, secrets: SecretsFrom, log: Option<String>) {
        let ms = self.account(account).map_or(60_000, |a| a.config.connect_timeout_ms.saturating_add(a.config.reply_timeout_ms));
        self.send_within(account, purpose, leg, plan, secrets, log, ms);
    }

    #[allow(clippy::too_many_arguments, reason = "a message and its time")]
    pub(crate) fn send_within(&mut self, account: &AccountId, purpose: Purpose, leg: Leg, plan: Plan, secrets: SecretsFrom, log: Option<String>, ms: u32) {
        let tag = self.tag();
        let deadline = self.after(ms);
        self.links.insert(account.clone(), InFlight { tag, purpose, until: deadline + LINK_GRACE });
        self.effect(Effect::Send(Box::new(HostMessage { account: account.clone(), tag, leg, plan, secrets, deadline, log })));
    }

    /// Word from a link.
    pub(crate) fn host(&mut self, tag: u64, event: HostEvent) {
        let late = matches!(event, HostEvent::Late { .. });
        if let Some(account) = self.links.iter().find(|(_, l)| l.tag == tag && !late).map(|(a, _)| a.clone()) {
            let Some(link) = self.links.remove(&account) else { return };
            if matches!(event, HostEvent::NoReply { .. }) {
                self.miss(&account, &link);
            }
            if matches!(event, HostEvent::Reply { .. }) {
                let off_by = self.heard.get(&account).and_then(|h| h.off_by);
                self.heard.insert(account.clone(), Heard { at: self.now, off_by });
            }
            self.settle(&account, link.purpose, event);
        } else if let Some((account, link)) = self.missed.iter().find(|(_, l)| l.tag == tag).cloned()
            && let HostEvent::Late { answer, trace } | HostEvent::Reply { answer, trace } = event
        {
            self.late(&account, link.purpose, *answer, trace);
        }
        // Anything else is an answer to an earlier run's message: its obligation is on disk and drives it.
    }

    fn miss(&mut self, account: &AccountId, link: &InFlight) {
        if self.missed.len() == MISSED {
            self.missed.pop_front();
        }
        self.missed.push_back((account.clone(), link.clone()));
    }

    fn settle(&mut self, account: &AccountId, purpose: Purpose, event: HostEvent) {
        match purpose {
            Purpose::Request { txn, stan } => self.request_event(account, txn, stan, event),
            Purpose::Obligation { txn, stan } => self.obligation_event(account, txn, stan, event),
            Purpose::Query { txn, stan } => self.query_event(account, txn, stan, event),
            Purpose::SignIn => match event {
                HostEvent::Reply { answer, .. } => self.sign_in_answer(account, *answer),
                HostEvent::NotSent { why } | HostEvent::Unbuildable { why } | HostEvent::NoReply { why, .. } => self.sign_in_failed(account, why, "not-sent"),
                HostEvent::Late { .. } => {}
            },
            Purpose::Settlement { txn, stan } => self.settlement_event(account, txn, stan, event),
            Purpose::Probe { call } => self.probed(account, call, event),
        }
    }

    /// Links that said nothing, not even by their deadline.
    pub(crate) fn silent_links(&mut self) {
        let silent: Vec<AccountId> = self.links.iter().filter(|(_, l)| l.until <= self.now).map(|(a, _)| a.clone()).collect();
        for account in silent {
            if let Some(link) = self.links.remove(&account) {
                self.miss(&account, &link);
                self.settle(&account, link.purpose, HostEvent::NoReply { why: "the link did not answer".into(), trace: Default::default() });
            }
        }
    }

    /// An answer after its time: a reversal's counts, a request's is recorded (its reversal goes on).
    fn late(&mut self, account: &AccountId, purpose: Purpose, answer: HostAnswer, trace: payterm_schema::host::FrameTrace) {
        match purpose {
            Purpose::Obligation { txn, stan } if self.state.obligation(txn, stan).is_some() => self.obligation_answer(account, txn, stan, answer, trace),
            Purpose::Request { txn, stan } => {
                self.record(Some(txn), Record::Disregarded { txn, account: account.clone(), stan, why: "late".into(), answer: Box::new(answer), trace });
            }
            Purpose::Settlement { txn, stan } => self.settlement_answer(account, txn, stan, answer, trace),
            Purpose::Obligation { .. } | Purpose::Query { .. } | Purpose::SignIn | Purpose::Probe { .. } => {}
        }
    }

    /// What goes out next on this account.
    pub(crate) fn drive_account(&mut self, id: &AccountId) {
        if self.links.contains_key(id) {
            return;
        }
        self.give_up_asking(id);
        let Some(settings) = self.account(id).cloned() else { return };
        let waiting = self.flow.as_ref().is_some_and(|f| f.waits_for(id));
        let authorises = waiting && self.state.running.as_ref().is_some_and(|r| r.request.kind.row().authorisation);
        if waiting && !authorises {
            return self.proceed();
        }
        let clears = self.flow.as_ref().is_some_and(|f| f.clears(id));
        let settling = self.settling(id).is_some_and(|s| !s.hold);
        if settings.rules.sign_in && !self.state.ledger(id).signed_in {
            let wait = self.sign_in.entry(id.clone()).or_default().clone();
            let wanted = wait.wanted
                || authorises
                || clears
                || settling
                || self.due_obligation(id, self.now).is_some()
                || self.asking_due(id).is_some_and(|t| t <= self.now);
            if wanted && !settings.config.auto_sign_in {
                if authorises || clears {
                    self.fail("not-signed-in", Class::D);
                }
            } else if wanted && wait.not_before <= self.now {
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
        if let Some((txn, stan)) = self.due_obligation(id, self.now).or_else(|| (hurry && authorises).then(|| self.holding_up(id)).flatten()) {
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
        self.state.obligations.iter().find(|o| o.account == *id && o.state == ObligationState::Due && self.due_at(o) <= by).map(|o| (o.txn, o.plan.stan))
    }

    /// A time further away than any wait of the account was set by another clock (set back while the power was off): then now.
    fn due_at(&self, o: &Obligation) -> Time {
        let undo = self.account(&o.account).and_then(|a| a.rules.wallet_undo_after.get(&o.plan.wallet?).copied()).unwrap_or_default();
        if o.next_try.since(self.now) > self.backoff(&o.account, u32::MAX).max(undo) { self.now } else { o.next_try }
    }

    /// The first obligation that holds up a customer who waits.
    fn holding_up(&self, id: &AccountId) -> Option<(u64, Stan)> {
        self.state
            .obligations
            .iter()
            .find(|o| o.account == *id && o.state == ObligationState::Due && o.plan.wallet.is_none() && o.left)
            .map(|o| (o.txn, o.plan.stan))
    }

    /// When [`Machine::drive_account`] has something to do next.
    pub(crate) fn account_due(&self, settings: &AccountSettings) -> Option<Time> {
        let id = &settings.config.id;
        if self.links.contains_key(id) {
            return None;
        }
        let owed = self.state.obligations.iter().filter(|o| o.account == *id && o.state == ObligationState::Due).map(|o| self.due_at(o)).min();
        let owed = [owed, self.asking_due(id)].into_iter().flatten().min();
        let settling = self.settling(id).is_some();
        let owed = if settling { self.settling_due(id) } else { owed };
        if settings.rules.sign_in && !self.state.ledger(id).signed_in {
            let wait = self.sign_in.get(id).cloned().unwrap_or_default();
            let waiting = self.flow.as_ref().is_some_and(|f| f.waits_for(id) || f.clears(id));
            let wanted = if wait.wanted || waiting { Some(wait.not_before) } else { owed.map(|t| t.max(wait.not_before)) };
            return [wanted.filter(|_| settings.config.auto_sign_in), self.asking_over(id)].into_iter().flatten().min();
        }
        owed
    }

    fn send_sign_in(&mut self, id: &AccountId) {
        let plan = self.control_plan(id, Kind::SignIn);
        self.record(None, Record::ControlSent { account: id.clone(), plan: Box::new(plan.clone()) });
        self.send(id, Purpose::SignIn, Leg::Request, plan, SecretsFrom::None, None);
    }

    pub(crate) fn control_plan(&self, id: &AccountId, kind: Kind) -> Plan {
        Plan {
            kind,
            stan: self.state.next_stan(id),
            batch: self.state.ledger(id).batch,
            amount: None,
            mode: EntryMode::None,
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
            organisation: None,
            settlement: None,
        }
    }

    fn sign_in_answer(&mut self, id: &AccountId, answer: HostAnswer) {
        match self.judge_sign_in(id, &answer) {
            Ok(()) => self.signed_in(id, answer),
            Err(why) => {
                let code = if matches!(answer.keys, KeysVerdict::Refused(_)) { "keys-refused" } else { "sign-in-failed" };
                self.sign_in_failed(id, why, code);
            }
        }
    }

    /// A sign-in is good when its code is a success and, where messages are MACed, new keys passed their check values.
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
        let ledger = self.state.ledger(id);
        // Another batch number while ours holds records does not change ours: settle first (host-protocol §4).
        let batch: Batch = if ledger.holds_records() { ledger.batch } else { answer.batch.unwrap_or(ledger.batch) };
        if answer.batch.is_some_and(|b| b != batch) {
            self.tell(Notice::Screen { screen: payterm_schema::Screen::Trouble { what: "settle-first".into() } });
        }
        let offset = self.host_offset(id, &answer).unwrap_or(ledger.offset);
        // A PIN that was typed before is enciphered under the old key: the issuer would count it as wrong.
        if let Some(flow) = self.flow.as_mut().filter(|f| f.holds_pin(id)) {
            flow.pin = None;
        }
        self.record(None, Record::SignedIn { account: id.clone(), batch, offset, answer: Box::new(answer) });
        self.sign_in.insert(id.clone(), Default::default());
    }

    /// Host time minus ours, from F12 and F13: the reply has no year, so the one that makes the date nearest to now; a
    /// jump of more than 15 minutes is shown and not taken over.
    fn host_offset(&mut self, id: &AccountId, answer: &HostAnswer) -> Option<Millis> {
        let minutes = self.account(id)?.host_offset_minutes;
        let host = Time::nearest(self.now, answer.date.as_deref()?, answer.time.as_deref()?, minutes)?;
        let offset = host.since(self.now);
        if let Some(heard) = self.heard.get_mut(id) {
            heard.off_by = Some(offset).filter(|o| o.0.abs() > CLOCK_JUMP);
        }
        if offset.0.abs() > CLOCK_JUMP {
            self.tell(Notice::Screen { screen: payterm_schema::Screen::Trouble { what: "clock-jump".into() } });
            return None;
        }
        Some(offset)
    }

    fn sign_in_failed(&mut self, id: &AccountId, why: String, code: &str) {
        self.record(None, Record::SignInFailed { account: id.clone(), why });
        let now = self.now;
        self.sign_in.entry(id.clone()).or_default().failed(now);
        if self.flow.as_ref().is_some_and(|f| f.waits_for(id) || f.clears(id)) {
            self.fail(code, Class::E);
        }
    }

    /// The host's word in the header of a reply (processing requirement, host-protocol §1): 3 = sign in again after this
    /// transaction; others are recorded and shown.
    pub(crate) fn requirement(&mut self, id: &AccountId, txn: u64, digit: u8) {
        if digit == 0 {
            return;
        }
        self.record(Some(txn), Record::Requirement { account: id.clone(), digit });
        if digit == 3 {
            self.sign_out(id, "the host asks for a sign-in (requirement 3)");
            self.sign_in.entry(id.clone()).or_default().wanted = true;
        } else {
            self.tell(Notice::Requirement { account: id.clone(), digit });
        }
    }

    pub(crate) fn sign_out(&mut self, id: &AccountId, why: &str) {
        if self.state.ledger(id).signed_in {
            self.record(None, Record::SignedOut { account: id.clone(), why: why.into() });
        }
    }
}
