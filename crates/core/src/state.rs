//! The durable state: a fold over the journal's records, and nothing else.
use crate::{
    Obligations, ReplayError, Staff,
    ledger::{Ledger, Settling, numbers},
    recovery::Recovering,
};
use payterm_schema::{
    AccountId, HostAnswer, Kind, Outcome, Record, Request, RequestKey,
    account::{Batch, Stan},
    caller::TERMINAL,
    host::{MacVerdict, Wallet},
    kind::{CardRule, Recovery, Side},
    onboarding::Onboarding,
    operator::{OperatorEvent, Purpose, Role},
    outcome::Status,
    paper::{PaperContent, PaperJob, PaperState, PrintResult},
    record::{ClockEvent, Due, Duty, Ending, Entry, Obligation, ObligationState, Restored},
    settlement::{BatchPart, Settlement, UnpaidLine, UploadGroup},
    time::{Millis, Time},
    totals::{Scope, Total},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

/// Everything that a restart must know. Bounded: the running request, what it owes, open papers, totals per
/// account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Sequence number of the last record.
    pub seq: u64,
    pub last_txn: u64,
    pub last_job: u64,
    /// Times the daemon started on this journal; makes the tags of each run its own.
    pub boots: u64,
    pub accounts: BTreeMap<AccountId, Ledger>,
    pub running: Option<Running>,
    pub obligations: Obligations,
    /// Outcomes told while an obligation of theirs is open (`Unknown`, or refused with a reversal on disk),
    /// by txn.
    #[serde(alias = "unknown")]
    pub owing: Owing,
    /// Payments of the open batch that an open obligation names: their sealed PAN outlives it.
    #[serde(default)]
    pub voidable: BTreeSet<u64>,
    /// Papers that are not done, by job.
    pub papers: BTreeMap<u64, PaperJob>,
    /// The onboarding for a terminal; shared, because who looks at the state takes a copy of it.
    #[serde(default)]
    pub onboarding: Option<Arc<Onboarding>>,
    /// `seq` of the last snapshot.
    pub snapshot_seq: u64,
    /// Chosen at run time; none = the configuration's.
    #[serde(default)]
    pub language: Option<payterm_schema::config::Language>,
    #[serde(default)]
    pub staff: Staff,
    /// The clock read less at a start than before it, and no host has confirmed it since.
    #[serde(default)]
    pub clock_back: bool,
    /// The journal was restored, and the supervisor has not ended the recovery: no payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<Recovering>,
    /// Accounts that were not configured when the recovery ended, and of whose batches nothing is known: it
    /// begins again when one of them comes back and its host is in another batch than ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unheard: BTreeMap<AccountId, Restored>,
    /// The marks were lost with a journal: an account of which no number is known begins far away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stans_lost: bool,
    /// Why the terminal's time is doubtful, since when; a host's word at a sign-in ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_doubt: Option<(Time, ClockEvent)>,
}

/// A clock that reads so much less than before has gone back; less is what setting it by the network does.
const CLOCK_BACK: Millis = Millis::secs(60);

/// Shared like the obligations, and as many.
pub type Owing = rpds::RedBlackTreeMapSync<u64, Arc<Outcome>>;

/// Where nothing is known of the numbers used since: the STAN furthest away from those before. Half of all.
pub(crate) const FAR: u32 = 500_000;

/// The request in the foreground.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub txn: u64,
    pub key: RequestKey,
    pub hash: String,
    pub request: Request,
    /// The outcome as far as it is known.
    pub view: Arc<Outcome>,
    /// The frame that may have left and is not answered yet.
    pub in_flight: Option<(AccountId, Stan)>,
    /// The acquirer approved a part, and the cashier is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Box<HostAnswer>>,
    /// Frames sent for this request.
    pub frames: u32,
}

impl State {
    pub fn ledger(&self, account: &AccountId) -> &Ledger {
        static NEW: LazyLock<Ledger> = LazyLock::new(Ledger::default);
        self.accounts.get(account).unwrap_or(&NEW)
    }

    pub fn obligation(&self, txn: u64, stan: Stan) -> Option<&Obligation> {
        self.obligations.get(txn, stan)
    }

    /// What was told of a transaction that still owes something.
    pub fn owes(&self, txn: u64) -> Option<&Outcome> {
        self.owing.get(&txn).map(|o| &**o)
    }

    /// Folds one record in. Errors are journals that this program did not write.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        if entry.seq != self.seq + 1 {
            return Err(ReplayError::Gap { after: self.seq, found: entry.seq });
        }
        let broken = |rule| ReplayError::Inconsistent { seq: entry.seq, rule };
        self.seq = entry.seq;
        let before = std::mem::replace(&mut self.staff.seen, entry.at);
        match &entry.record {
            Record::Booted { .. } => {
                self.boots += 1;
                // What was handed over before the power went may have left.
                self.accounts.values_mut().filter_map(|l| l.settling.as_mut()).for_each(|s| s.left = true);
                self.clock_back |= before.since(entry.at) > CLOCK_BACK;
            }
            Record::Started { txn, key, hash, request, view } => {
                if self.running.is_some() {
                    return Err(broken("a request starts while another runs"));
                }
                self.last_txn = *txn;
                if key.app == TERMINAL
                    && let Some(account) = &request.account
                {
                    let ledger = self.accounts.entry(account.clone()).or_default();
                    ledger.auto_settled = Some(entry.at);
                    ledger.auto_tries = ledger.auto_tries.saturating_add(1);
                    self.asked_about(account, *txn);
                }
                self.running = Some(Running {
                    txn: *txn,
                    key: key.clone(),
                    hash: hash.clone(),
                    request: (**request).clone(),
                    view: Arc::clone(view),
                    in_flight: None,
                    part: None,
                    frames: 0,
                });
            }
            Record::Allowed { txn, account, plan, view, owes, card } => {
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken("a frame of a request that does not run"))?;
                running.view = Arc::clone(view);
                running.in_flight = Some((account.clone(), plan.stan));
                running.frames += 1;
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.made_as = numbers(view).or(ledger.made_as.take());
                if *owes {
                    let row = plan.kind.row();
                    // Nothing was presented: the PAN is the original's.
                    let of_original = view
                        .original
                        .as_ref()
                        .and_then(|o| o.txn)
                        .filter(|_| plan.wallet.is_none() && row.card == CardRule::None);
                    self.voidable.extend(of_original);
                    let duty = match row.recovery {
                        Recovery::Reverse | Recovery::AskAgain => Duty::Reverse,
                        Recovery::Repeat => Duty::Repeat,
                        Recovery::ManualResolution => Duty::ManualResolution,
                    };
                    let sealed = plan.wallet.is_none().then(|| of_original.unwrap_or(*txn));
                    self.obligations.insert(Obligation {
                        card: card.clone(),
                        ..Obligation::new(*txn, account.clone(), (**plan).clone(), duty, sealed, entry.at)
                    });
                }
            }
            Record::NotSent { txn, stan, .. } => {
                self.landed(*txn);
                if self.obligation(*txn, *stan).is_some_and(|o| o.duty == Duty::Repeat) {
                    self.obligations.change(*txn, *stan, |o| {
                        (o.state, o.left, o.had_left) = (ObligationState::Due, false, false)
                    });
                } else {
                    self.drop_obligation(*txn, *stan);
                }
            }
            Record::OfflineAllowed { txn, account, plan, view, card, .. } => {
                if self.ledger(account).settling.is_some() {
                    return Err(broken("an offline payment enters a batch that is being settled"));
                }
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken("an offline payment of a request that does not run"))?;
                running.view = Arc::clone(view);
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.made_as = numbers(view).or(ledger.made_as.take());
                self.obligations.insert(Obligation {
                    card: card.clone(),
                    state: ObligationState::Due,
                    left: false,
                    had_left: false,
                    ..Obligation::new(
                        *txn,
                        account.clone(),
                        (**plan).clone(),
                        Duty::Repeat,
                        Some(*txn),
                        entry.at,
                    )
                });
            }
            Record::OfflineDenied { txn, judgement, .. } => {
                if let Some(r) = self.running.as_mut().filter(|r| r.txn == *txn) {
                    Arc::make_mut(&mut r.view).offline = Some(*judgement);
                }
            }
            Record::Answered { txn, account, stan, due: None, .. } => {
                self.heard(account, entry.at);
                self.landed(*txn);
                self.drop_obligation(*txn, *stan);
            }
            Record::Answered { txn, account, stan, due: Some(due), answer, .. } => {
                self.heard(account, entry.at);
                self.landed(*txn);
                self.due(*txn, *stan, due);
                // F38 of the reversal, "when known" (host-protocol §6).
                self.obligations.change(*txn, *stan, |o| o.plan.auth_code.clone_from(&answer.auth_code));
            }
            Record::NoReply { txn, stan, reason, not_before, .. } => {
                self.landed(*txn);
                self.due(*txn, *stan, &Due { reason: *reason, not_before: *not_before });
            }
            Record::Disregarded { account, answer, .. } => {
                if matches!(answer.mac, MacVerdict::Wrong | MacVerdict::Absent) {
                    self.accounts.entry(account.clone()).or_default().mac_failures += 1;
                }
            }
            Record::Outcome { outcome, papers } => {
                self.outcome(entry.at, outcome);
                for p in papers {
                    self.last_job = p.job;
                    self.papers.insert(p.job, p.of(outcome));
                }
            }
            Record::Voided { .. }
            | Record::Completed { .. }
            | Record::Adjusted { .. }
            | Record::RefundHeld { .. }
            | Record::RefundFreed { .. }
            | Record::Released { .. } => {}
            Record::Pending { txn, account, stan, asking, .. } => {
                self.heard(account, entry.at);
                self.landed(*txn);
                self.obligations.change(*txn, *stan, |o| o.asking = Some(*asking));
            }
            Record::Queried { txn, stan, plan, next } => {
                if let Some(account) = self.obligation(*txn, *stan).map(|o| o.account.clone()) {
                    self.accounts.entry(account).or_default().last_stan = Some(plan.stan);
                }
                self.obligations.change(*txn, *stan, |o| {
                    if let Some(a) = &mut o.asking {
                        a.next = *next;
                    }
                });
            }
            Record::AskedAnew { txn, stan, asking } => {
                self.obligations.change(*txn, *stan, |o| o.asking = Some(*asking))
            }
            Record::Partial { txn, account, stan, answer, .. } => {
                self.heard(account, entry.at);
                self.landed(*txn);
                self.obligations.change(*txn, *stan, |o| o.plan.auth_code.clone_from(&answer.auth_code));
                if let Some(r) = self.running.as_mut().filter(|r| r.txn == *txn) {
                    r.part = Some(answer.clone());
                }
            }
            Record::ObligationDue { txn, stan, reason, not_before } => {
                self.due(*txn, *stan, &Due { reason: *reason, not_before: *not_before })
            }
            Record::ObligationTried { txn, stan } => self.obligations.change(*txn, *stan, |o| {
                o.tries += 1;
                o.had_left = std::mem::replace(&mut o.left, true);
            }),
            Record::ObligationFailed { txn, stan, code, next_try, left, .. } => {
                self.obligations.change(*txn, *stan, |o| {
                    o.next_try = *next_try;
                    if code.is_some() {
                        o.last_code.clone_from(code);
                    }
                    if !*left {
                        o.tries = o.tries.saturating_sub(1);
                        // An advice that has never left owes nothing to what comes after it.
                        o.left = o.had_left;
                    }
                })
            }
            Record::ObligationEnded { txn, stan, how, .. } => {
                if matches!(how, Ending::Answered(_))
                    && let Some(account) = self.obligation(*txn, *stan).map(|o| o.account.clone())
                {
                    self.heard(&account, entry.at);
                }
                self.drop_obligation(*txn, *stan);
            }
            Record::WrittenOff { txn, stan, .. } => self.drop_obligation(*txn, *stan),
            Record::ObligationHurried { txn, stan, .. } => {
                self.obligations.change(*txn, *stan, |o| o.next_try = entry.at)
            }
            Record::ObligationHeld { txn, stan, hold, by } => {
                self.obligations.change(*txn, *stan, |o| o.held = hold.then(|| by.clone()))
            }
            Record::ObligationStuck { txn, stan } => self.obligations.change(*txn, *stan, |o| {
                o.state = ObligationState::Stuck;
                o.asking = None;
            }),
            Record::ObligationRetried { txn, stan, .. } => self.obligations.change(*txn, *stan, |o| {
                o.state = ObligationState::Due;
                o.tries = 0;
                o.next_try = entry.at;
            }),
            Record::ControlSent { account, plan } => {
                self.accounts.entry(account.clone()).or_default().last_stan = Some(plan.stan)
            }
            Record::SettlementAsked { txn, account, plan, view } => {
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken("a settlement of a request that does not run"))?;
                running.view = Arc::clone(view);
                running.frames += 1;
                // Of an approved one only its own frame counts: an earlier try that is Stuck says nothing of
                // it.
                let own = |o: &&Obligation| {
                    self.owes(o.txn)
                        .is_none_or(|told| told.status != Status::Approved || told.stan == Some(o.plan.stan))
                };
                let excluded: BTreeSet<u64> = self
                    .obligations
                    .iter()
                    .filter(|o| o.account == *account)
                    .filter(own)
                    .map(|o| o.txn)
                    .collect();
                let tips =
                    excluded.iter().filter_map(|t| self.owes(*t)).filter(|o| o.kind == Kind::TipAdjust);
                let untipped = tips.filter_map(|o| o.original.as_ref()?.txn).collect();
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.settling = Some(Box::new(Settling {
                    txn: *txn,
                    settlement: view.settlement.as_deref().cloned().unwrap_or_default(),
                    excluded,
                    untipped,
                    open: Some((**plan).clone()),
                    left: false,
                    group: UploadGroup::default(),
                    after: 0,
                    tries: 0,
                    next_try: entry.at,
                    problem: None,
                    hold: false,
                }));
            }
            Record::SettlementJudged { txn, account, domestic, foreign, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.settlement.domestic_verdict, s.settlement.foreign_verdict) =
                        (Some(*domestic), Some(*foreign));
                    s.answered(entry.at);
                }
            }
            Record::UploadAllowed { txn, account, plan, group, after } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.group, s.after, s.open) = (*group, *after, Some((**plan).clone()));
                }
                self.accounts.entry(account.clone()).or_default().last_stan = Some(plan.stan);
            }
            Record::Uploaded { txn, account, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    let records = match s.open.as_ref().and_then(|p| p.settlement.as_deref()) {
                        Some(BatchPart::List(list)) => list.len() as u32,
                        Some(BatchPart::One { .. }) => 1,
                        Some(BatchPart::Totals(_) | BatchPart::End { .. }) | None => 0,
                    };
                    s.settlement.uploaded = s.settlement.uploaded.saturating_add(records);
                    s.answered(entry.at);
                }
            }
            Record::SettlementFailed { txn, account, code, next_try, left, hold, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    s.tries += 1;
                    s.left |= *left;
                    (s.next_try, s.hold) = (*next_try, *hold);
                    s.problem = code.clone().or(s.problem.take());
                }
            }
            Record::SettlementRetried { txn, account, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.hold, s.tries, s.next_try) = (false, 0, entry.at);
                }
            }
            Record::SettlementDropped { account, .. } => {
                self.accounts.entry(account.clone()).or_default().settling = None;
                if let Some(doubt) = self.recovering.as_mut().and_then(|r| r.batches.get_mut(account)) {
                    doubt.open = true;
                }
            }
            Record::BatchClosed { txn, account, next, .. } => self.batch_closed(*txn, account, *next),
            Record::SignedIn { account, batch, offset, answer } => {
                if answer.date.is_some() && answer.time.is_some() {
                    self.clock_doubt = None;
                }
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.signed_in = true;
                ledger.offset = *offset;
                ledger.batch = *batch;
                ledger.requirement = 0;
                self.host_in_batch(entry.at, account, answer.batch.filter(|b| b != batch));
                self.heard(account, entry.at);
                // Its time is on record with it, and stands against ours.
                self.clock_back &= answer.time.is_none();
            }
            Record::SignInFailed { account, .. } | Record::SignedOut { account, .. } => {
                self.accounts.entry(account.clone()).or_default().signed_in = false
            }
            Record::Requirement { account, digit } => {
                self.accounts.entry(account.clone()).or_default().requirement = *digit
            }
            Record::Onboarding { onboarding } => self.onboarding = Some(Arc::new((**onboarding).clone())),
            Record::PaperQueued { job } => {
                self.last_job = job.id;
                if matches!(&job.content, PaperContent::Totals(report) if report.scope == Scope::Shift)
                    && job.attempts == 0
                {
                    self.begin_shift();
                }
                self.papers.insert(job.id, (**job).clone());
            }
            Record::PaperStarted { job } => {
                if let Some(p) = self.papers.get_mut(job) {
                    p.state = PaperState::Printing;
                    p.attempts += 1;
                }
            }
            Record::PaperEnded { job, result, hold } => self.paper_ended(*job, result, *hold),
            Record::SelfTested { .. } => {}
            Record::Restored { restored } => self.restored(entry.at, restored),
            Record::RecoveryEnded { .. } => self.recovery_ended(),
            Record::Clock { event } => self.clock_doubt = Some((entry.at, event.clone())),
            Record::LanguageSet { language, .. } => self.language = Some(*language),
            Record::PaperReleased { job, print, .. } => {
                if !print {
                    self.papers.remove(job);
                } else if let Some(p) = self.papers.get_mut(job) {
                    p.state = PaperState::Waiting;
                }
            }
            Record::Operator { event } => {
                self.staff.apply(entry.at, event);
                if let OperatorEvent::LoggedOn { operator } = event
                    && operator.role() == Role::Cashier
                    && self.staff.shift_of.replace(operator.clone()).is_some_and(|before| before != *operator)
                {
                    self.begin_shift();
                }
                if let OperatorEvent::Right { operator, purpose: Purpose::Approve } = event
                    && let Some(r) = self.running.as_mut().filter(|r| Some(r.txn) == entry.txn)
                {
                    Arc::make_mut(&mut r.view).approved_by = Some(operator.to_string());
                }
            }
        }
        Ok(())
    }

    /// The onboarding as the journal has it: the settings of a machine are made with what it was granted,
    /// before it is replayed.
    pub fn onboarding_in(snapshot: Option<&str>, tail: &[Entry]) -> Result<Option<Onboarding>, ReplayError> {
        #[derive(Deserialize)]
        struct Kept {
            #[serde(default)]
            onboarding: Option<Onboarding>,
        }
        let in_tail = tail.iter().rev().find_map(|e| {
            if let Record::Onboarding { onboarding } = &e.record {
                Some((**onboarding).clone())
            } else {
                None
            }
        });
        match (in_tail, snapshot) {
            (Some(a), _) => Ok(Some(a)),
            (None, Some(json)) => Ok(serde_json::from_str::<Kept>(json)?.onboarding),
            (None, None) => Ok(None),
        }
    }

    fn heard(&mut self, account: &AccountId, at: Time) {
        self.accounts.entry(account.clone()).or_default().online = Some(at);
    }

    fn landed(&mut self, txn: u64) {
        if let Some(r) = self.running.as_mut().filter(|r| r.txn == txn) {
            r.in_flight = None;
        }
    }

    fn due(&mut self, txn: u64, stan: Stan, due: &Due) {
        self.obligations.change(txn, stan, |o| {
            o.state = ObligationState::Due;
            o.reason = due.reason;
            o.next_try = due.not_before;
            o.asking = None;
        });
    }

    fn drop_obligation(&mut self, txn: u64, stan: Stan) {
        let Some(gone) = self.obligations.remove(txn, stan) else { return };
        if let Some(sealed) = gone.sealed.filter(|t| !self.obligations.seals(*t)) {
            self.voidable.remove(&sealed);
        }
        // `Unknown` ends with a record of its own.
        if self.owes(txn).is_some_and(|told| told.status.is_final())
            && self.obligations.of(txn).next().is_none()
        {
            self.owing.remove_mut(&txn);
        }
    }

    fn outcome(&mut self, at: Time, outcome: &Arc<Outcome>) {
        if self.running.as_ref().is_some_and(|r| r.txn == outcome.txn) {
            self.running = None;
        }
        // Once: it may be told again.
        let known = self.owes(outcome.txn).is_some_and(|o| UnpaidLine::of(o).is_none());
        if let Some((line, account)) = UnpaidLine::of(outcome).filter(|_| known).zip(outcome.account.as_ref())
        {
            let ledger = self.accounts.entry(account.clone()).or_default();
            if ledger.unpaid.len() < Settlement::ROWS {
                ledger.unpaid.push(line);
            } else {
                ledger.unpaid_more = ledger.unpaid_more.saturating_add(1);
            }
        }
        let counted =
            self.owes(outcome.txn).filter(|o| o.status == Status::Approved).map(|o| o.scheme.clone());
        if outcome.status == Status::Unknown || self.obligations.of(outcome.txn).next().is_some() {
            self.owing.insert_mut(outcome.txn, Arc::clone(outcome));
        } else {
            self.owing.remove_mut(&outcome.txn);
        }
        if outcome.status == Status::Approved {
            match (counted, &outcome.forwarding) {
                (None, _) => self.count(at, outcome, true),
                (Some(_), Some(f)) if f.is_lost() => self.count(at, outcome, false),
                // The acquirer has named the card's scheme: its half of the settlement may be the other
                // one.
                (Some(before), _) if before != outcome.scheme => {
                    self.count(at, &Outcome { scheme: before, ..(**outcome).clone() }, false);
                    self.count(at, outcome, true);
                }
                (Some(_), _) => {}
            }
            if self.in_open_batch(outcome) && outcome.kind.keeps_pan() && self.obligations.seals(outcome.txn)
            {
                self.voidable.insert(outcome.txn);
            }
        }
    }

    /// The shift's totals begin at zero.
    pub(crate) fn begin_shift(&mut self) {
        for ledger in self.accounts.values_mut() {
            ledger.shift_after = self.last_txn;
            ledger.shift.clear();
            ledger.shift_since = None;
        }
    }

    fn settling_mut(&mut self, account: &AccountId, txn: u64) -> Option<&mut Settling> {
        self.accounts.get_mut(account)?.settling.as_deref_mut().filter(|s| s.txn == txn)
    }

    /// Its batch is the account's open one.
    pub(crate) fn in_open_batch(&self, o: &Outcome) -> bool {
        o.account
            .as_ref()
            .map(|a| self.ledger(a))
            .is_some_and(|l| o.batch == Some(l.batch) && l.of_this_terminal(o))
    }

    /// The account whose open settlement this transaction is, or one that may be among what a journal has
    /// lost.
    pub fn settlement_of(&self, txn: u64) -> Option<AccountId> {
        let open = self
            .accounts
            .iter()
            .find(|(_, l)| l.settling.as_ref().is_some_and(|s| s.txn == txn))
            .map(|(a, _)| a);
        open.or_else(|| self.batches_in_doubt().find(|(_, d)| d.txn == Some(txn)).map(|(a, _)| a)).cloned()
    }

    /// The batch keeps its number until it is settled: it holds records, or what an open obligation names may
    /// yet become one.
    pub fn keeps_batch(&self, account: &AccountId) -> bool {
        let ledger = self.ledger(account);
        ledger.holds_records() || self.obligations.names_batch(account, ledger.batch)
    }

    fn batch_closed(&mut self, txn: u64, account: &AccountId, next: Batch) {
        // No void reaches into it any more: what an obligation still needs goes with the obligation.
        let sealed: BTreeSet<u64> =
            self.obligations.iter().filter(|o| o.account == *account).filter_map(|o| o.sealed).collect();
        self.voidable.retain(|t| !sealed.contains(t));
        if let Some(r) = self.recovering.as_mut() {
            r.batches.remove(account);
        }
        self.unheard.remove(account);
        let ledger = self.accounts.entry(account.clone()).or_default();
        (ledger.batch, ledger.batch_after, ledger.settling, ledger.auto_tries) = (next, txn, None, 0);
        (
            ledger.debit_count,
            ledger.debit_minor,
            ledger.credit_count,
            ledger.credit_minor,
            ledger.opened_as,
        ) = (0, 0, 0, 0, None);
        ledger.totals.clear();
        ledger.totals_since = None;
        (ledger.unpaid, ledger.unpaid_more) = (Vec::new(), 0);
    }

    /// `add` = false: an advice that was counted is refused.
    fn count(&mut self, at: Time, outcome: &Outcome, add: bool) {
        let (Some(account), Some(minor)) = (&outcome.account, outcome.sums.amount) else { return };
        let ledger = self.accounts.entry(account.clone()).or_default();
        // A tip is added to its sale, which is counted.
        let (one, minor) =
            if outcome.kind == Kind::TipAdjust { (0, outcome.sums.tip.unwrap_or(0)) } else { (1, minor) };
        // What became of a transaction of a closed batch is not of this one.
        let of_batch = outcome.batch.is_none_or(|b| b == ledger.batch) && ledger.of_this_terminal(outcome);
        if add && of_batch && !ledger.holds_records() {
            ledger.opened_as = numbers(outcome);
        }
        let side = match outcome.kind.row().side {
            Side::Debit | Side::Credit if !of_batch => None,
            Side::Debit => Some((&mut ledger.debit_count, &mut ledger.debit_minor)),
            Side::Credit => Some((&mut ledger.credit_count, &mut ledger.credit_minor)),
            Side::None => None,
        };
        match (side, add) {
            (Some((count, sum)), true) => (*count, *sum) = (*count + one, *sum + minor),
            (Some((count, sum)), false) => {
                (*count, *sum) = (count.saturating_sub(one), sum.saturating_sub(minor))
            }
            (None, _) => {}
        }
        if outcome.kind.row().slip {
            let scheme = outcome.scheme.as_deref().or(outcome.wallet.map(Wallet::name)).unwrap_or_default();
            // What was counted in an earlier shift is not taken out of this one.
            let of_shift = outcome.txn > ledger.shift_after;
            let batch = (&mut ledger.totals, &mut ledger.totals_since, of_batch, of_batch);
            for (rows, since, adds, takes) in
                [batch, (&mut ledger.shift, &mut ledger.shift_since, true, of_shift)]
            {
                if add && adds {
                    Total::add(rows, scheme, outcome.kind, &outcome.operator, minor);
                    since.get_or_insert(at);
                } else if !add && takes {
                    Total::take(rows, scheme, outcome.kind, &outcome.operator, minor);
                }
            }
        }
    }

    fn paper_ended(&mut self, job: u64, result: &PrintResult, hold: bool) {
        match result {
            PrintResult::Confirmed | PrintResult::SentUnconfirmable => {
                self.papers.remove(&job);
            }
            PrintResult::NotStarted(why) => {
                if let Some(p) = self.papers.get_mut(&job) {
                    p.state = PaperState::Waiting;
                    p.attempts = p.attempts.saturating_sub(1);
                    p.problem = Some(why.clone());
                }
            }
            PrintResult::Unconfirmed(why) => {
                if let Some(p) = self.papers.get_mut(&job) {
                    p.state = if hold { PaperState::Held } else { PaperState::Waiting };
                    p.problem = Some(why.clone());
                }
            }
        }
    }

    /// The terminal's time was neither set while it ran nor is behind its records, and no host has
    /// contradicted it.
    pub fn clock_trusted(&self) -> bool {
        self.clock_doubt.is_none() && !self.clock_back
    }

    /// The next STAN of the account: not one that an open obligation names (invariant 6).
    pub fn next_stan(&self, account: &AccountId) -> Stan {
        let first = Stan::new(FAR).filter(|_| self.stans_lost).unwrap_or(Stan::FIRST);
        let mut stan = self.accounts.get(account).and_then(|l| l.last_stan).map_or(first, Stan::next);
        let open =
            self.accounts.get(account).and_then(|l| l.settling.as_ref()?.open.as_ref().map(|p| p.stan));
        while open == Some(stan) || self.obligations.names(account, stan) {
            stan = stan.next();
        }
        stan
    }

    /// Reversals hold up the account's authorisations (host-protocol §6), but for wallet payments, whose undo
    /// may have to wait (§8). An advice holds nobody up: the payment is accepted, and telling the acquirer
    /// once more does no harm. A settlement does until its batch is closed.
    pub fn blocked(&self, account: &AccountId) -> bool {
        self.accounts.get(account).is_some_and(|l| l.settling.is_some())
            || self.obligations.blocking(account).is_some()
    }
}
