//! The front door: [`Terminal`] for every face. It looks a key up before it submits, waits for outcomes, and
//! shows each caller only what is its own.
use crate::{
    clock::Clock,
    device::{Devices, Registry},
    front_door::{heard, restarting},
    language::Spoken,
    recent::Recent,
    selftest::Examiner,
    spooler::Papers,
    supervise::{Child, Gone, Tasks},
    terminal::{Info, Look, Question, Stop, TerminalActor, View},
    tms::{self, Tms},
};
use payterm_core::{AccountSettings, Apply, By, Call, Input, Settings, State, reconciliation};
use payterm_journal::{Found, Store, StoreError};
use payterm_schema::{
    AccountId, Caller, Device, DeviceKind, DeviceState, Fault, Money, Notice, Outcome, Request, RequestKey,
    SelfTest, Status, Terminal,
    account::Stan,
    config::{Config, Language},
    notice::Phase,
    offline::{OfflineAnswer, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Step},
    operator::{OperatorRequest, Operators},
    outcome::{Class, Reason},
    page::Printable,
    paper::{PaperJob, PaperState, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::{Duty, Obligation, ObligationState},
    terminal::{BatchTotals, ExplainedEntry, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    time::Millis,
    totals::{Scope, TotalsReport},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Mutex, broadcast, broadcast::error::RecvError, watch},
    time::timeout,
};

/// How long the start waits for devices to open. 500 ms.
const DEVICES_OPEN: Duration = Duration::from_millis(500);
/// Who waits for an outcome looks at the store this often: a notice may be lost with the terminal actor that
/// was to tell it. 10 s.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long a shutdown waits for papers at the printer. 5 s: two slips.
const PAPERS: Duration = Duration::from_secs(5);
mod papers;

pub struct TerminalService {
    pub terminal: Child<TerminalActor>,
    pub store: Store,
    pub spoken: Spoken,
    pub examiner: Arc<Examiner>,
    pub papers: Arc<Papers>,
    /// Templates that are not used, and why; shown as the printer's health.
    pub template_faults: Vec<payterm_texts::TemplateFault>,
    pub notices: broadcast::Sender<Notice>,
    pub recent: Recent,
    pub registry: Registry,
    pub devices: Devices,
    pub clock: Arc<Clock>,
    pub config: Config,
    pub log_lines: Option<fn() -> Vec<String>>,
    pub settings: Settings,
    pub tms: Option<Arc<Tms>>,
    pub info: watch::Receiver<Info>,
    /// All that runs for this incarnation.
    pub tasks: Tasks,
    /// One request at a time is looked up and submitted: the same key cannot slip in between.
    pub submit_lock: Mutex<()>,
    /// Why nothing new is begun; set by [`TerminalService::quiet`].
    pub stopping: OnceLock<Fault>,
}

fn gone(_: Gone) -> Fault {
    restarting()
}
fn store_fault(e: StoreError) -> Fault {
    tracing::error!("query: {e}");
    Fault::Restarting { part: "store".into() }
}
fn boxed<'a, T>(f: impl Future<Output = Result<T, Fault>> + Send + 'a) -> Reply<'a, T> {
    Box::pin(f)
}
fn no_such(key: &RequestKey) -> Fault {
    Fault::not_found("request", &key.id)
}

/// Whoever recalls it is sent to the acquirer, and waits for nothing.
fn stuck(state: &State, o: &mut Outcome) {
    let Some(obligation) = state.obligations.of(o.txn).find(|x| x.state == ObligationState::Stuck) else {
        return;
    };
    if o.status != Status::Unknown {
        return;
    }
    o.answer_by = None;
    // A refund, and what was restored, have advice of their own.
    if let Some(reason) =
        o.reason.as_mut().filter(|r| obligation.duty == Duty::Reverse && r.code != "journal-restored")
    {
        reason.code = "stuck".into();
    }
}

impl TerminalService {
    async fn ask(&self, id: &str, input: impl FnOnce(Call) -> Input + Send + 'static) -> Result<(), Fault> {
        self.terminal.ask(Question { id: id.into(), input: Box::new(input) }).await.map_err(gone)?
    }
    async fn view(&self) -> Result<View, Fault> {
        self.terminal.ask(Look).await.map_err(gone)?
    }
    fn management(&self) -> Result<&Tms, Fault> {
        self.tms.as_deref().ok_or_else(|| Fault::not_found("setting", "tms"))
    }
    /// What the store knows of a request that this caller may see; to others it does not exist.
    async fn found(&self, caller: &Caller, key: &RequestKey) -> Result<Found, Fault> {
        let found =
            if caller.sees(&key.app) { self.store.by_key(key).await.map_err(store_fault)? } else { None };
        let Some(mut found) = found else {
            let lost = caller.sees(&key.app) && self.store.lost(key).await.map_err(store_fault)?;
            return Err(if lost { Fault::RequestLost { id: key.id.clone() } } else { no_such(key) });
        };
        self.complete(std::slice::from_mut(&mut found.outcome)).await;
        Ok(found)
    }

    /// Completes outcomes as the store has them: the words of their reasons, and what the machine knows
    /// beyond the row, what a request that runs has come to and that no answer comes by itself to one that is
    /// Stuck.
    async fn complete(&self, outcomes: &mut [Outcome]) {
        outcomes.iter_mut().for_each(|o| self.spoken.texts().fill(o));
        let open = |o: &&mut Outcome| matches!(o.status, Status::Running | Status::Unknown);
        let mut shown = outcomes.iter_mut().filter(open).peekable();
        if shown.peek().is_none() {
            return;
        }
        let Ok(View { state, .. }) = self.view().await else { return };
        for o in shown {
            match &state.running {
                Some(r) if r.txn == o.txn && o.status == Status::Running => *o = (*r.view).clone(),
                Some(_) | None => stuck(&state, o),
            }
            self.spoken.texts().fill(o);
        }
    }

    async fn submit(&self, caller: &Caller, request: Request) -> Result<RequestKey, Fault> {
        let key = RequestKey::new(&caller.app, &request.id)?;
        caller.may_start(&request)?;
        let _one = self.submit_lock.lock().await;
        if self.store.knows(&key) != Some(false)
            && let Some(found) = self.store.by_key(&key).await.map_err(store_fault)?
        {
            return if found.hash == request.content_hash() {
                Ok(key)
            } else {
                Err(Fault::KeyReused { id: key.id })
            };
        }
        if self.store.knows(&key) != Some(false) && self.store.lost(&key).await.map_err(store_fault)? {
            return Err(Fault::RequestLost { id: key.id });
        }
        let (free, floor) =
            (self.store.free().map_err(store_fault)?, u64::from(self.config.store.free_mib) << 20);
        if free < floor {
            return Err(Fault::DiskFull { free_mib: free >> 20, needed_mib: floor >> 20 });
        }
        // A repeated request is recalled while shutting down, a new one is not begun.
        self.begins()?;
        let start = key.clone();
        self.ask(&key.id, move |call| Input::Start { call, key: start, request: Box::new(request) }).await?;
        Ok(key)
    }

    /// Final, or `Unknown` told by the machine, or what is known when the time to answer is over.
    async fn outcome(&self, caller: &Caller, key: &RequestKey, final_only: bool) -> Result<Outcome, Fault> {
        // First the ear, then the look: an outcome in between is heard.
        let mut notices = self.notices.subscribe();
        let answers = |o: &Outcome| o.status.is_final() || (!final_only && o.status == Status::Unknown);
        // Of what is unknown the machine knows more than was told: that it is stuck by now.
        let unknown = |o: &Arc<Outcome>| o.status == Status::Unknown;
        let mut recent =
            self.recent.of(key).filter(|r| caller.sees(&key.app) && !r.outcome.as_ref().is_some_and(unknown));
        loop {
            let (started, now) = match recent.take() {
                Some(r) => (r.started, r.outcome.map(Arc::unwrap_or_clone)),
                None => {
                    let now = self.found(caller, key).await?.outcome;
                    (now.started, Some(now))
                }
            };
            if let Some(now) = now.clone().filter(answers) {
                return Ok(now);
            }
            let by = started + Millis(i64::from(self.config.flow.answer_within_ms));
            let wait = if final_only { Duration::MAX } else { self.clock.until(by) };
            if wait.is_zero() {
                match now {
                    Some(now) => return Ok(self.not_yet(now)),
                    None => continue,
                }
            }
            let heard = timeout(wait.min(LOOK_AGAIN), async {
                loop {
                    match notices.recv().await {
                        // Told when it was durable, texts and all: no need to ask the store.
                        Ok(Notice::Outcome { outcome }) if outcome.key == *key && answers(&outcome) => {
                            return Ok(Some(Arc::unwrap_or_clone(outcome)));
                        }
                        Ok(_) => {}
                        // Some were missed: look again.
                        Err(RecvError::Lagged(_)) => return Ok(None),
                        Err(RecvError::Closed) => return Err(Fault::ShuttingDown),
                    }
                }
            });
            if let Some(outcome) = heard.await.unwrap_or(Ok(None))? {
                return Ok(outcome);
            }
        }
    }

    /// The caller's time is over while the request still runs: for the caller it is unknown.
    fn not_yet(&self, mut outcome: Outcome) -> Outcome {
        outcome.status = Status::Unknown;
        outcome.reason = Some(Reason::new("still-running", Class::P));
        self.spoken.texts().fill(&mut outcome);
        outcome
    }

    /// Waits until the terminal has booted: its first record is on disk.
    pub async fn booted(&self, within: Duration) {
        let up = async {
            while self.view().await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if timeout(within, up).await.is_err() {
            tracing::error!("the terminal does not come up");
        }
        // The first request must not find a device that is still being opened; one that is slow keeps nobody
        // waiting for long.
        let opening = |d: &Device| d.state == DeviceState::Opening;
        for _ in 0..DEVICES_OPEN.as_millis() / 2 {
            if !self.registry.all().iter().any(opening) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Something new may be begun.
    fn begins(&self) -> Result<(), Fault> {
        self.stopping.get().cloned().map_or(Ok(()), Err)
    }

    /// Cancels what can be cancelled and waits for the rest, at most `within`; what would be begun meanwhile
    /// is answered with `why`.
    pub async fn quiet(&self, within: Duration, why: Fault) {
        self.stopping.set(why).ok();
        let Ok(view) = self.view().await else { return };
        if let Some(key) = view.running {
            let me = Caller::payterm();
            let stop = key.clone();
            let cancelled =
                self.ask(&key.id, move |call| Input::Cancel { call, key: stop, by: By::Shutdown }).await;
            tracing::info!(request = %key, cancelled = cancelled.is_ok(), "shutting down with a request under way");
            if timeout(within, self.outcome(&me, &key, false)).await.is_err() {
                tracing::warn!(request = %key, "still under way: it is recovered at the next start");
            }
        }
        // A paper that is cut off would come again as a duplicate.
        let printing = |v: &View| v.state.papers.values().any(|p| p.state == PaperState::Printing);
        let done = async {
            while self.view().await.is_ok_and(|v| printing(&v)) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(PAPERS, done).await.is_err() {
            tracing::warn!("a paper is still at the printer: it comes again at the next start");
        }
        // From here on nothing is begun: what the closed store would refuse is not asked of it.
        self.terminal.ask(Stop).await.ok();
    }
}

impl Terminal for TerminalService {
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        boxed(self.submit(caller, request))
    }

    fn wait<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        boxed(self.outcome(caller, key, final_only))
    }

    fn recall<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        boxed(async move {
            let found = self.found(caller, key).await?;
            let phase = match found.outcome.status {
                Status::Running => self
                    .view()
                    .await
                    .ok()
                    .filter(|v| v.running.as_ref() == Some(key))
                    .map_or(Phase::Ended, |v| v.phase),
                Status::Approved
                | Status::Declined
                | Status::Cancelled
                | Status::Failed
                | Status::Unknown => Phase::Ended,
            };
            // It may have ended between the two looks.
            let found = if phase == Phase::Ended && found.outcome.status == Status::Running {
                self.found(caller, key).await?
            } else {
                found
            };
            Ok(Transaction { outcome: found.outcome, phase, can_cancel: phase.can_cancel() })
        })
    }

    fn cancel<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        boxed(async move {
            self.found(caller, key).await?;
            let (id, key) = (key.id.clone(), key.clone());
            self.ask(&id, move |call| Input::Cancel { call, key, by: By::Caller }).await
        })
    }

    fn confirm<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        boxed(async move {
            self.found(caller, key).await?;
            let (id, key) = (key.id.clone(), key.clone());
            self.ask(&id, move |call| Input::Confirm { call, key, yes }).await
        })
    }

    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()> {
        boxed(async move {
            let (id, key) = (key.id.clone(), key.clone());
            match self.ask(&id, move |call| Input::Cancel { call, key, by: By::CallerLost }).await {
                // Too late, or the request wants to go on: both are as they should be.
                Ok(()) | Err(Fault::TooLate { .. }) => Ok(()),
                Err(fault) => Err(fault),
            }
        })
    }

    fn list<'a>(&'a self, caller: &'a Caller, filter: Filter) -> Reply<'a, Vec<Outcome>> {
        boxed(async move {
            let mut page = self.store.list(caller.own(filter)?).await.map_err(store_fault)?;
            self.complete(&mut page).await;
            Ok(page)
        })
    }

    fn explain<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        boxed(async move {
            let found = self.found(caller, key).await?;
            let records = self.store.entries(found.txn).await.map_err(store_fault)?;
            let slips = records
                .iter()
                .flat_map(|e| e.record.queues())
                .map(|job| self.papers.text(&job, job.attempts > 0))
                .collect();
            let explained = |e: &payterm_schema::Entry| -> Option<ExplainedEntry> {
                Some(ExplainedEntry { seq: e.seq, at: e.at, record: serde_json::to_value(&e.record).ok()? })
            };
            Ok(Explanation {
                outcome: found.outcome,
                entries: records.iter().filter_map(explained).collect(),
                slips,
            })
        })
    }

    fn reprint<'a>(
        &'a self,
        caller: &'a Caller,
        key: &'a RequestKey,
        copy: Option<SlipCopy>,
    ) -> Reply<'a, ()> {
        boxed(async move {
            let outcome = Arc::new(self.found(caller, key).await?.outcome);
            self.ask(&key.id, move |call| Input::Reprint { call, outcome, copy }).await
        })
    }

    fn devices(&self) -> Reply<'_, Vec<Device>> {
        boxed(async {
            let mut all = self.registry.all();
            if let (Some(fault), Some(printer)) =
                (self.template_faults.first(), all.iter_mut().find(|d| d.kind == DeviceKind::Printer))
            {
                printer.health =
                    [printer.health.as_str(), &format!("template {fault}")].join(" ").trim().into();
                if printer.state == DeviceState::Idle {
                    printer.state = DeviceState::Degraded;
                }
            }
            Ok(all)
        })
    }

    fn print<'a>(&'a self, caller: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        boxed(self.print_own(caller, id, paper))
    }
    fn paper<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, wait: bool) -> Reply<'a, PaperStatus> {
        boxed(self.own_paper(caller, key, wait))
    }
    fn report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport> {
        boxed(self.totals_report(caller, scope))
    }
    fn print_report<'a>(&'a self, caller: &'a Caller, scope: Scope) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let app = caller.app.clone();
            self.ask(scope.name(), move |call| Input::PrintReport { call, app, scope }).await
        })
    }

    fn obligations<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        boxed(async move {
            let state = self.view().await?.state;
            let mut own = Vec::new();
            for o in state.obligations.iter() {
                let mine = match state.owes(o.txn) {
                    _ if caller.manager => true,
                    Some(told) => caller.sees(&told.key.app),
                    None => self
                        .store
                        .by_txn(o.txn)
                        .await
                        .map_err(store_fault)?
                        .is_some_and(|f| caller.sees(&f.outcome.key.app)),
                };
                if mine {
                    own.push(self.settings.shown(o, self.clock.now()));
                }
            }
            Ok(own)
        })
    }

    fn retry_obligation<'a>(&'a self, caller: &'a Caller, txn: u64) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let by = caller.app.clone();
            self.ask(&txn.to_string(), move |call| Input::RetryObligation { call, txn, by }).await
        })
    }

    fn resolve_obligation<'a>(
        &'a self,
        caller: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let (by, reference) = (caller.app.clone(), reference.to_owned());
            self.ask(&txn.to_string(), move |call| Input::Resolve {
                call,
                txn,
                executed,
                stan,
                reference,
                by,
            })
            .await
        })
    }

    fn queue<'a>(&'a self, caller: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let by = caller.app.clone();
            self.ask("queue", move |call| Input::Queue { call, act, by }).await
        })
    }

    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, OfflineAnswer> {
        boxed(async move {
            let fits = |a: &&AccountSettings| {
                a.config.currency == amount.currency && account.as_ref().is_none_or(|id| *id == a.config.id)
            };
            let of = self
                .settings
                .accounts
                .iter()
                .find(fits)
                .ok_or_else(|| Fault::NoAccount { currency: amount.currency.to_string() })?;
            let view = self.view().await?;
            let answer = payterm_core::offline::beforehand(
                of,
                &view.state,
                view.heard.get(&of.config.id),
                self.clock.now(),
                amount.minor(),
            );
            answer.ok_or_else(|| Fault::not_found("offline policy", of.config.id.as_str()))
        })
    }

    fn papers<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        boxed(async move {
            let mut jobs: Vec<PaperJob> = self
                .view()
                .await?
                .state
                .papers
                .into_values()
                .filter(|j| caller.manager || j.owner().is_some_and(|app| caller.sees(app)))
                .collect();
            jobs.iter_mut().filter_map(PaperJob::outcome_mut).for_each(|o| self.spoken.texts().fill(o));
            Ok(jobs)
        })
    }

    fn release_paper<'a>(&'a self, caller: &'a Caller, job: u64, print: bool) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let by = caller.app.clone();
            self.ask(&job.to_string(), move |call| Input::ReleasePaper { call, job, print, by }).await
        })
    }

    fn reconcile<'a>(
        &'a self,
        caller: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        boxed(async move {
            caller.manage()?;
            let config = match (&account, self.config.accounts.as_slice()) {
                (None, [only]) => only,
                (None, _) => return Err(Fault::invalid("account", "needed: there are several accounts")),
                (Some(id), all) => all
                    .iter()
                    .find(|a| a.id == *id)
                    .ok_or_else(|| Fault::not_found("account", id.as_str()))?,
            };
            let file = reconciliation::read(&file, config.currency)
                .map_err(|e| Fault::invalid("file", &e.to_string()))?;
            let state = self.view().await?.state;
            // In a restored journal it may have been settled in what was lost: the file is what a person
            // decides by.
            if state.ledger(&config.id).batch == file.batch && state.recovering.is_none() {
                return Err(Fault::WrongState { rule: "this batch is open: settle it first".into() });
            }
            let ours = self.store.of_batch(&config.id, file.batch).await.map_err(store_fault)?;
            let mut result = reconciliation::compare(config.id.clone(), config.currency, &file, &ours);
            let texts = self.spoken.texts();
            result
                .differences
                .iter_mut()
                .for_each(|d| d.next = texts.get(&format!("next-reconcile-{}", d.differs.name()), &[]));
            Ok(result)
        })
    }

    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        boxed(async move {
            let state = self.view().await?.state;
            let totals = self.config.accounts.iter().map(|a| {
                let ledger = state.ledger(&a.id);
                // Sums beyond N12 cannot be shown as an amount of a message; the minor units are given all
                // the same.
                let text = |minor| Money::new(minor, a.currency).map(Money::value).unwrap_or_default();
                BatchTotals {
                    account: a.id.clone(),
                    currency: a.currency,
                    batch: state.accounts.contains_key(&a.id).then_some(ledger.batch),
                    signed_in: ledger.signed_in,
                    debit_count: ledger.debit_count,
                    debit_minor: ledger.debit_minor,
                    credit_count: ledger.credit_count,
                    credit_minor: ledger.credit_minor,
                    open_obligations: u32::try_from(state.obligations.count(&a.id)).unwrap_or(u32::MAX),
                    settling: ledger.settling.is_some(),
                    debit: text(ledger.debit_minor),
                    credit: text(ledger.credit_minor),
                }
            });
            Ok(totals.collect())
        })
    }

    fn operator_session<'a>(&'a self, caller: &'a Caller, request: OperatorRequest) -> Reply<'a, ()> {
        boxed(async move {
            if request.manages() {
                caller.manage()?;
            }
            self.begins()?;
            let silent = request == OperatorRequest::LogOff
                || (request == OperatorRequest::EndRecovery && !self.config.operators.required);
            if !silent && !self.registry.works(DeviceKind::Keypad) {
                return Err(Fault::NotDone {
                    rule: "no keypad works: passwords are typed on the terminal's own".into(),
                });
            }
            self.ask("operators", move |call| Input::Operators { call, request }).await
        })
    }

    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
        boxed(async move { Ok(self.view().await?.state.staff.view(self.config.operators.required)) })
    }

    fn info(&self) -> Reply<'_, Arc<TerminalInfo>> {
        let now = self.info.borrow();
        let shown = if now.up { Ok(Arc::clone(&now.shown)) } else { Err(gone(Gone)) };
        boxed(std::future::ready(shown))
    }

    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        boxed(async move {
            let mut report = self.examiner.run(|_| print).await;
            self.spoken.texts().fill_self_test(&mut report);
            Ok(report)
        })
    }

    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        boxed(async {
            let mut last = self.examiner.last();
            last.iter_mut().for_each(|r| self.spoken.texts().fill_self_test(r));
            Ok(last)
        })
    }

    fn set_language<'a>(&'a self, caller: &'a Caller, language: Language) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let by = caller.app.clone();
            self.ask(language.tag(), move |call| Input::SetLanguage { call, language, by }).await
        })
    }

    fn support_bundle<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<u8>> {
        boxed(async move {
            caller.manage()?;
            self.bundle().await
        })
    }

    fn offer<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OfferShown> {
        boxed(async move {
            caller.manage()?;
            let (offer, terms) = self.management()?.offer().await?;
            Ok(OfferShown { hash: terms.hash(), offer })
        })
    }

    fn onboarding<'a>(&'a self, caller: &'a Caller) -> Reply<'a, OnboardingShown> {
        boxed(async move {
            caller.manage()?;
            let view = self.view().await?;
            let onboarding = view.state.onboarding.map(|a| (*a).clone());
            Ok(OnboardingShown {
                onboarding,
                problem: view.onboarding_problem,
                in_service: !self.config.accounts.is_empty(),
            })
        })
    }

    fn apply<'a>(&'a self, caller: &'a Caller, step: Step) -> Reply<'a, ()> {
        boxed(async move {
            caller.manage()?;
            let tms = self.management()?;
            let step = match step {
                Step::Draft(draft) => Apply::Draft { id: tms::name().map_err(Fault::from)?, draft },
                Step::Accept { hash } => {
                    // Read anew: what is accepted is what the acquirer offers now.
                    let (offer, terms) = tms.offer().await?;
                    if !terms.hash().eq_ignore_ascii_case(&hash) {
                        return Err(Fault::WrongState {
                            rule: "the acquirer's offer is not the one with this hash: read it again".into(),
                        });
                    }
                    Apply::Accept { offer: Box::new(offer), terms: Box::new(terms) }
                }
                Step::Submit => Apply::Submit,
                Step::Refresh => Apply::Refresh,
                Step::Activate => Apply::Activate,
            };
            let by = caller.app.clone();
            self.ask("onboarding", move |call| Input::Apply { call, by, step }).await
        })
    }

    fn notices(&self) -> Notices {
        heard(&self.notices)
    }
}
