//! A terminal for the tests of faces (bus, command line, console, JNI): it has no machine behind it, answers
//! samples, and writes down what it was told to do.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
pub mod sample;

use futures_util::stream;
use payterm_schema::{
    AccountId, Caller, Device, DeviceState, Fault, InhibitReason, Kind, Money, Notice, Outcome, Phase,
    Request, RequestKey, Screen, SelfTest, Stan, Status, Terminal,
    config::Language,
    emv_lists::EmvLists,
    offline::{Check, Exposure, Judgement, OfflineAnswer, OfflineAuthority, OfflineRule, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Problem, Step},
    operator::{OperatorRequest, Operators},
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind, PaperState, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::Obligation,
    terminal::{BatchTotals, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{Scope, TotalsReport},
};
use sample::{account, key};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast;

#[derive(Default)]
struct State {
    all: BTreeMap<RequestKey, (Request, Transaction)>,
    running: Option<RequestKey>,
}

pub struct Fake {
    /// The customer does what the request's id says; else a request runs until [`Fake::finish`].
    acts: bool,
    /// Number of the first transaction.
    first: u64,
    state: Mutex<State>,
    notices: broadcast::Sender<Notice>,
    /// Requests in the order in which they were started.
    pub requests: Mutex<Vec<Request>>,
    /// Calls with their arguments: `lost till/a`, `reprint till/a`, `retry 4` ...
    pub log: Mutex<Vec<String>>,
    pub obligations: Mutex<Vec<Obligation>>,
    /// Calls that would cost a real terminal a query of its store, or a copy of its state.
    pub queries: AtomicUsize,
    /// The terminal was activated, and has the account `cup2` too.
    pub activated: AtomicBool,
}

impl Fake {
    fn with(acts: bool, first: u64, obligations: Vec<Obligation>) -> Arc<Self> {
        Arc::new(Self {
            acts,
            first,
            state: Mutex::default(),
            notices: broadcast::channel(256).0,
            requests: Mutex::default(),
            log: Mutex::default(),
            obligations: obligations.into(),
            queries: AtomicUsize::new(0),
            activated: AtomicBool::new(false),
        })
    }
    /// Has one transaction of app `other`, and owes for it; every request runs until [`Fake::finish`].
    pub fn by_hand() -> Arc<Self> {
        let fake = Self::with(false, 1, vec![sample::stuck(1)]);
        fake.put(&key("other", "secret-1"), Status::Approved);
        fake
    }
    /// Ends requests whose id begins with the name of a status, in that status, and refuses the id `fault`;
    /// others run until [`Fake::finish`], and those that begin with `sent-` cannot be cancelled. Its first
    /// transaction is number 7.
    pub fn by_id() -> Arc<Self> {
        Self::with(true, 7, vec![sample::stuck(7), sample::held(8), sample::due(9)])
    }

    pub fn put(&self, key: &RequestKey, status: Status) {
        self.add(key, sample::request(&key.id), status);
    }
    fn add(&self, key: &RequestKey, request: Request, status: Status) -> Outcome {
        let mut s = self.state.lock().unwrap();
        let txn = self.first + s.all.len() as u64;
        let running = status == Status::Running;
        let outcome = sample::outcome(key.clone(), txn, status, request.kind);
        let t = Transaction {
            outcome: outcome.clone(),
            phase: if running { Phase::Presenting } else { Phase::Ended },
            can_cancel: running && !key.id.starts_with("sent-"),
        };
        s.all.insert(key.clone(), (request, t));
        outcome
    }
    /// Gives the request its status, and tells its outcome.
    pub fn finish(&self, key: &RequestKey, status: Status) {
        let outcome = {
            let mut s = self.state.lock().unwrap();
            let (request, t) = s.all.get_mut(key).unwrap();
            t.outcome = sample::outcome(key.clone(), t.outcome.txn, status, request.kind);
            (t.phase, t.can_cancel) = (Phase::Ended, false);
            let outcome = t.outcome.clone();
            s.running = s.running.take().filter(|k| k != key);
            outcome
        };
        self.tell(Notice::Outcome { outcome: outcome.into() });
    }
    pub fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
    pub fn has_done(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|l| l == what)
    }
    fn did<'a>(&self, what: String) -> Reply<'a, ()> {
        self.log.lock().unwrap().push(what);
        now(Ok(()))
    }
    fn find(&self, key: &RequestKey) -> Result<Transaction, Fault> {
        let s = self.state.lock().unwrap();
        s.all.get(key).map(|(_, t)| t.clone()).ok_or_else(|| Fault::not_found("transaction", &key.id))
    }
    /// Status that an id names.
    fn named(&self, id: &str) -> Option<Status> {
        let all = [Status::Approved, Status::Declined, Status::Cancelled, Status::Failed, Status::Unknown];
        all.into_iter().find(|s| self.acts && id.starts_with(s.name()))
    }
}

fn now<'a, T: Send + 'a>(value: Result<T, Fault>) -> Reply<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Terminal for Fake {
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        let key = key(&caller.app, &request.id);
        if self.acts && request.id == "fault" {
            return now(Err(Fault::NoAccount { currency: "JPY".into() }));
        }
        if let Some((old, _)) = self.state.lock().unwrap().all.get(&key) {
            return now(if *old == request { Ok(key) } else { Err(Fault::KeyReused { id: request.id }) });
        }
        let status = self.named(&request.id).unwrap_or(Status::Running);
        let outcome = Arc::new(self.add(&key, request.clone(), status));
        if status == Status::Running {
            self.state.lock().unwrap().running = Some(key.clone());
        }
        self.requests.lock().unwrap().push(request);
        self.tell(Notice::Started { key: key.clone(), txn: outcome.txn, outcome });
        if self.acts {
            let screen = sample::present();
            self.tell(Notice::Phase { key: key.clone(), phase: Phase::Presenting, screen });
        }
        now(Ok(key))
    }
    fn wait<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        Box::pin(async move {
            if self.acts {
                // As long as a customer takes, so that progress can be seen.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            loop {
                let mut told = self.notices.subscribe();
                let o = self.find(key)?.outcome;
                if o.status.is_final() || (!final_only && o.status == Status::Unknown) {
                    return Ok(o);
                }
                if self.acts && o.status == Status::Unknown {
                    self.finish(key, Status::Declined);
                    continue;
                }
                let _ = told.recv().await;
            }
        })
    }
    /// The nth of [`sample::faults`] for the id `fault-n`.
    fn recall<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        match key.id.strip_prefix("fault-") {
            Some(n) => now(Err(sample::faults()[n.parse::<usize>().unwrap()].clone())),
            None => now(self.find(key)),
        }
    }
    fn cancel<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        let done = self.did(format!("cancel {key}"));
        match self.find(key) {
            Ok(t) if t.can_cancel => {
                self.finish(key, Status::Cancelled);
                done
            }
            Ok(_) => now(Err(Fault::TooLate { rule: "the frame has left".into() })),
            Err(fault) => now(Err(fault)),
        }
    }
    fn confirm<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        self.did(format!("confirm {key} {yes}"))
    }
    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()> {
        self.did(format!("lost {key}"))
    }
    fn list<'a>(&'a self, _: &'a Caller, f: Filter) -> Reply<'a, Vec<Outcome>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.log.lock().unwrap().push(format!("list {}", serde_json::to_string(&f).unwrap()));
        let s = self.state.lock().unwrap();
        let mut all: Vec<_> = s.all.values().map(|(_, t)| t.outcome.clone()).collect();
        all.sort_by_key(|o| std::cmp::Reverse(o.txn));
        all.retain(|o| {
            f.app.as_ref().is_none_or(|a| *a == o.key.app)
                && f.before.is_none_or(|b| o.txn < b)
                && f.kind.is_none_or(|k| k == o.kind)
                && f.status.is_none_or(|s| s == o.status)
        });
        all.truncate(f.limit.unwrap_or(50) as usize);
        now(Ok(all))
    }
    fn explain<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        now(self.find(key).map(|t| sample::explanation(t.outcome)))
    }
    fn reprint<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> Reply<'a, ()> {
        let copy = copy.map_or("", |c| if c == SlipCopy::Merchant { " merchant" } else { " customer" });
        self.did(format!("reprint {key}{copy}"))
    }
    fn print<'a>(&'a self, _: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        let kind = match paper {
            Printable::Page(_) => "page",
            Printable::Invoice(_) => "invoice",
            Printable::Drawer(_) => "drawer",
        };
        self.log.lock().unwrap().push(format!("print {id} {kind}"));
        now(Ok(9))
    }
    fn paper<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, _: bool) -> Reply<'a, PaperStatus> {
        now(Ok(PaperStatus {
            id: key.id.clone(),
            job: 9,
            state: PaperState::Done,
            problem: None,
            replaced: 0,
        }))
    }
    fn report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport> {
        now(Ok(sample::report(scope)))
    }
    fn print_report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, ()> {
        self.did(format!("report {}", scope.name()))
    }
    fn devices(&self) -> Reply<'_, Vec<Device>> {
        now(Ok(vec![sample::device(DeviceState::Idle)]))
    }
    fn obligations<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        now(Ok(if caller.manager { self.obligations.lock().unwrap().clone() } else { Vec::new() }))
    }
    fn retry_obligation<'a>(&'a self, _: &'a Caller, txn: u64) -> Reply<'a, ()> {
        self.did(format!("retry {txn}"))
    }
    fn resolve_obligation<'a>(
        &'a self,
        _: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        self.did(format!("resolve {txn} {executed} {} {reference}", stan.map_or(0, Stan::get)))
    }
    fn queue<'a>(&'a self, _: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        self.did(format!("{act:?}"))
    }
    /// Up to CNY 5.00 by the merchant and the card; never by a card that cannot go online.
    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        of: Option<AccountId>,
    ) -> Reply<'a, Vec<OfflineAnswer>> {
        self.log.lock().unwrap().push(format!("why {} {of:?}", amount.value()));
        let (limit, minor) = (500, amount.minor());
        let sum = Check {
            rule: OfflineRule::TotalSum,
            passed: minor <= limit,
            limit: Some(limit),
            now: Some(minor),
        };
        let clock = Check { rule: OfflineRule::Clock, passed: true, limit: None, now: None };
        let off = Check { rule: OfflineRule::Off, passed: false, limit: None, now: None };
        let account = of.unwrap_or(account());
        let answer = |offline_authority, by: Check, exposure, checks: &[Check]| OfflineAnswer {
            account: account.clone(),
            judgement: Judgement { offline_authority, allowed: by.passed, by, exposure },
            checks: checks.to_vec(),
        };
        let exposure = Exposure { count: 1, minor: 2 };
        let none = Exposure::default();
        now(Ok(vec![
            answer(OfflineAuthority::Merchant, sum, exposure, &[clock, sum]),
            answer(OfflineAuthority::Card, sum, none, &[clock, sum]),
            answer(OfflineAuthority::CardUnableOnline, off, none, &[off, clock, sum]),
        ]))
    }
    fn papers<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        let outcome = sample::outcome(key("till", "a"), 9, Status::Approved, Kind::Sale).into();
        now(Ok(vec![PaperJob {
            state: PaperState::Held,
            problem: Some("no paper".into()),
            ..PaperJob::new(4, PaperKind::MerchantCopy, 1, PaperContent::Outcome(outcome))
        }]))
    }
    fn release_paper<'a>(&'a self, _: &'a Caller, job: u64, print: bool) -> Reply<'a, ()> {
        self.did(format!("release {job} {print}"))
    }
    fn reconcile<'a>(
        &'a self,
        _: &'a Caller,
        of: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        self.log.lock().unwrap().push(format!("reconcile {of:?} {}", file.len()));
        now(Ok(Reconciliation {
            account: account(),
            batch: sample::plan().batch,
            currency: payterm_schema::Currency::CNY,
            agree: 2,
            differences: Vec::new(),
            more: 0,
        }))
    }
    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        now(Ok(vec![sample::totals()]))
    }
    fn operator_session<'a>(&'a self, _: &'a Caller, request: OperatorRequest) -> Reply<'a, ()> {
        self.did(format!("operators {}", serde_json::to_string(&request).unwrap()))
    }
    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        now(Ok(sample::operators()))
    }
    fn info(&self) -> Reply<'_, Arc<TerminalInfo>> {
        let running = self.state.lock().unwrap().running.clone();
        let granted = self.activated.load(Ordering::Relaxed).then(|| AccountId::new("cup2").unwrap());
        now(Ok(Arc::new(TerminalInfo {
            version: "0.1.0".into(),
            api: 1,
            language: "zh-CN".into(),
            shop: "老王面馆".into(),
            service_phone: "95516".into(),
            zone: Default::default(),
            test: true,
            accounts: [account()].into_iter().chain(granted).collect(),
            screen: if running.is_some() { sample::present() } else { Screen::idle() },
            running,
            inhibit_reasons: vec![InhibitReason::Queue],
        })))
    }
    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        self.log.lock().unwrap().push(format!("self-test {print}"));
        now(Ok(sample::self_test()))
    }
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        now(Ok(None))
    }
    fn emv_lists(&self) -> Reply<'_, Option<EmvLists>> {
        now(Ok(Some(sample::emv_lists())))
    }
    fn set_language<'a>(&'a self, _: &'a Caller, language: Language) -> Reply<'a, ()> {
        self.did(format!("language {}", language.tag()))
    }
    fn support_bundle<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<u8>> {
        now(Ok(b"\x1f\x8b bundle".to_vec()))
    }
    fn offer<'a>(&'a self, _: &'a Caller) -> Reply<'a, OfferShown> {
        now(Ok(sample::offer()))
    }
    fn onboarding<'a>(&'a self, _: &'a Caller) -> Reply<'a, OnboardingShown> {
        now(Ok(OnboardingShown { onboarding: None, problem: Some(Problem::Untrusted), in_service: true }))
    }
    /// Refuses to submit where the customer acts.
    fn apply<'a>(&'a self, caller: &'a Caller, step: Step) -> Reply<'a, ()> {
        if self.acts && step == Step::Submit {
            return now(Err(Fault::Management { problem: Problem::Signature, cause: "not signed".into() }));
        }
        self.did(format!("apply {} {step:?}", caller.app))
    }
    fn notices(&self) -> Notices {
        let from = self.notices.subscribe();
        Box::pin(stream::unfold(from, |mut from| async move { from.recv().await.ok().map(|n| (n, from)) }))
    }
}
