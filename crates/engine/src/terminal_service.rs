//! The front door: [`Terminal`] for every face. It looks a key up before it submits, waits for outcomes, and
//! shows each caller only what is its own.
use crate::{
    clock::Clock,
    device::{Devices, Registry},
    front_door::{heard, restarting},
    hostlink::Line,
    language::Spoken,
    look_turns::LookTurns,
    recent::Recent,
    selftest::Examiner,
    spooler::Papers,
    supervise::{Child, Tasks},
    terminal::{Info, Stop, TerminalActor},
    tms::{self, Tms},
};
use machine::store_fault;
use payterm_core::{Apply, By, Input, Machine, Settings};
use payterm_journal::Store;
use payterm_schema::{
    AccountId, Caller, Device, DeviceKind, DeviceState, Fault, Money, Notice, Outcome, Request, RequestKey,
    SelfTest, Terminal,
    account::Stan,
    config::{Config, Language},
    emv_lists::EmvLists,
    offline::{OfflineAnswer, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Step},
    operator::{OperatorRequest, Operators},
    page::Printable,
    paper::{PaperJob, PaperState, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    terminal::{BatchTotals, ExplainedEntry, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{Scope, TotalsReport},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Mutex, broadcast, watch},
    time::timeout,
};

/// Time for which the start waits for devices to open. 500 ms.
const DEVICES_OPEN: Duration = Duration::from_millis(500);
/// Pause between two looks at the store of somebody who waits for an outcome: a notice may be lost with the
/// terminal actor that was to tell it. 10 s.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Time for which a shutdown waits for papers at the printer. 5 s: two slips.
const PAPERS: Duration = Duration::from_secs(5);
mod accounts;
mod machine;
mod papers;
mod requests;

pub struct TerminalService {
    pub terminal: Child<TerminalActor>,
    pub store: Store,
    pub spoken: Spoken,
    pub examiner: Arc<Examiner>,
    pub papers: Arc<Papers>,
    /// The line to each account's host.
    pub lines: Vec<Arc<Line>>,
    pub notices: broadcast::Sender<Notice>,
    pub recent: Recent,
    pub registry: Registry,
    pub devices: Devices,
    pub clock: Arc<Clock>,
    pub config: Arc<Config>,
    pub log_lines: Option<fn() -> Vec<String>>,
    pub settings: Arc<Settings>,
    pub tms: Option<Arc<Tms>>,
    pub info: watch::Receiver<Info>,
    /// All that runs for this incarnation.
    pub tasks: Tasks,
    /// Held while a request is looked up and submitted, one at a time: the same key cannot slip in between.
    pub submit_lock: Mutex<()>,
    pub look_turns: LookTurns,
    /// Fault for whatever would be begun while the terminal is being left; set by
    /// [`TerminalService::quiet`].
    pub stopping: OnceLock<Fault>,
}

fn boxed<'a, T>(f: impl Future<Output = Result<T, Fault>> + Send + 'a) -> Reply<'a, T> {
    Box::pin(f)
}

impl TerminalService {
    fn management(&self) -> Result<&Tms, Fault> {
        self.tms.as_deref().ok_or_else(|| Fault::not_found("setting", "tms"))
    }
    /// Waits until the terminal has booted: its first record is on disk.
    pub async fn booted(&self, within: Duration) {
        let up = async {
            while self.look(|_| ()).await.is_err() {
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

    /// Cancels what can be cancelled and waits for the rest, at most `within`; what would be begun meanwhile
    /// is answered with `why`.
    pub async fn quiet(&self, within: Duration, why: Fault) {
        self.stopping.set(why).ok();
        let Ok(running) = self.look(|m| m.running().map(|(key, _)| key.clone())).await else { return };
        if let Some(key) = running {
            let me = Caller::payterm();
            let stop = key.clone();
            let cancelled =
                self.ask(&key.id, move |call| Input::Cancel { call, key: stop, by: By::Shutdown }).await;
            let cancelled = cancelled.is_ok();
            tracing::info!(request = %key, cancelled, "shutting down with a request under way");
            if timeout(within, self.outcome(&me, &key, false)).await.is_err() {
                tracing::warn!(request = %key, "still under way: it is recovered at the next start");
            }
        }
        // A paper that is cut off would come again as a duplicate.
        let printing = |m: &Machine| m.state().papers.values().any(|p| p.state == PaperState::Printing);
        let done = async {
            while self.look(printing).await == Ok(true) {
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
        boxed(self.recalled(caller, key))
    }

    fn cancel<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        let own = key.clone();
        boxed(self.of_running(caller, key, move |call| Input::Cancel { call, key: own, by: By::Caller }))
    }

    fn confirm<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        let own = key.clone();
        boxed(self.of_running(caller, key, move |call| Input::Confirm { call, key: own, yes }))
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
                Some(ExplainedEntry { seq: e.seq, at: e.at, record: crate::support::shown(&e.record).ok()? })
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
            // A template that is not used is the printer's health.
            if let (Some(fault), Some(printer)) =
                (self.papers.templates().1.first(), all.iter_mut().find(|d| d.kind == DeviceKind::Printer))
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
        boxed(self.owed(caller))
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
    ) -> Reply<'a, Vec<OfflineAnswer>> {
        boxed(self.offline_answers(amount, account))
    }

    fn emv_lists(&self) -> Reply<'_, Option<EmvLists>> {
        boxed(async { Ok(self.examiner.emv_lists()) })
    }

    fn papers<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        boxed(self.own_papers(caller))
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
        boxed(self.reconciled(caller, account, file))
    }

    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        boxed(self.batch_totals())
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
        let required = self.config.operators.required;
        boxed(self.look(move |m| m.state().staff.view(required)))
    }

    fn info(&self) -> Reply<'_, Arc<TerminalInfo>> {
        let now = self.info.borrow();
        let shown = if now.up { Ok(Arc::clone(&now.shown)) } else { Err(restarting()) };
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
            let shown = self.look(|m| (m.state().onboarding.clone(), m.onboarding_problem())).await?;
            let (onboarding, problem) = shown;
            Ok(OnboardingShown {
                onboarding: onboarding.map(Arc::unwrap_or_clone),
                problem,
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
