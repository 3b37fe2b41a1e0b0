//! A terminal that does what it is told, and a private bus.
use futures_util::stream;
use payterm_dbus::{Address, Client, Server};
use payterm_schema::{
    AccountId, Batch, Caller, Class, Currency, Device, DeviceKind, DeviceState, Fault, Kind, Money, Notice,
    Outcome, Phase, Request, RequestKey, Screen, SelfTest, Stan, Status, Terminal, Time,
    config::{BusConfig, CallerConfig, Language},
    host::{EntryMode, Plan, ReversalReason},
    offline::{Check, Exposure, Judgement, OfflineAnswer, OfflineAuthority, OfflineRule, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Problem, Step},
    operator::{OperatorId, OperatorInfo, OperatorRequest, Operators, TerminalLock},
    outcome::{OriginalShown, Place, Reason, Sums},
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind, PaperState, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::{Obligation, ObligationState},
    selftest::{Finding, Part},
    terminal::{BatchTotals, ExplainedEntry, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{AccountTotals, Scope, Total, TotalsReport},
};
use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast;

pub fn key(app: &str, id: &str) -> RequestKey {
    RequestKey::new(app, id).unwrap()
}

/// Every field filled.
pub fn outcome(key: RequestKey, txn: u64, status: Status) -> Outcome {
    Outcome {
        key: key.clone(),
        txn,
        kind: Kind::Sale,
        status,
        authority: Some(payterm_schema::Authority::Host),
        reason: Some(Reason {
            code: "host-51".into(),
            class: Class::B,
            text: "余额不足".into(),
            next: "Use another card <&>".into(),
        }),
        sums: Sums { fee: Some(1), balance: Some(-5), ..Sums::new(Currency::CNY, Some(1234)) },
        started: Time(1_700_000_000_000),
        ended: Some(Time(1_700_000_000_001)),
        answer_by: Some(Time(1_700_000_180_000)),
        place: Place { shop: "店".into(), address: "1 Road".into(), city: "上海".into() },
        account: AccountId::new("unionpay").ok(),
        mid: Some("123456789012345".into()),
        tid: Some("12345678".into()),
        operator: "01".into(),
        approved_by: None,
        entry: Some(EntryMode::Swipe),
        wallet: None,
        masked_pan: Some("621234******1234".into()),
        stan: Stan::new(17),
        batch: Batch::new(3),
        rrn: Some("123456789012".into()),
        auth_code: Some("A1B2C3".into()),
        host_date: Some("1123".into()),
        host_time: Some("152000".into()),
        scheme: None,
        issuer: None,
        acquirer: None,
        host_texts: vec!["one".into(), "two".into()],
        pin: true,
        original: Some(OriginalShown {
            of: None,
            txn: Some(1),
            key: Some(key),
            stan: Some(Stan::FIRST),
            batch: Some(Batch::FIRST),
            rrn: None,
            auth_code: None,
            date: None,
        }),
        voided: false,
        completed: false,
        adjusted: false,
        forwarding: None,
        offline_authority: None,
        offline: None,
        no_cvm: None,
        settlement: None,
        note: Some("order 17".into()),
        journal: Some("8:ab".into()),
        test: true,
    }
}

/// One of each.
pub fn faults() -> Vec<Fault> {
    let s = || "text \"quoted\" 中".to_owned();
    vec![
        Fault::Invalid { field: "amount".into(), rule: s() },
        Fault::Busy { running: Some("order-1".into()) },
        Fault::Busy { running: None },
        Fault::KeyReused { id: s() },
        Fault::NotFound { what: "transaction".into(), name: s() },
        Fault::NotAllowed { rule: s() },
        Fault::TooLate { rule: s() },
        Fault::NotActivated,
        Fault::WrongState { rule: s() },
        Fault::NoAccount { currency: "JPY".into() },
        Fault::Original { rule: s() },
        Fault::NotLoggedOn,
        Fault::TerminalLocked,
        Fault::OperatorLocked { operator: "01".into() },
        Fault::NotDone { rule: s() },
        Fault::Management { problem: Problem::Signature, cause: s() },
        Fault::StoreFailed { id: "a".into(), cause: s() },
        Fault::JournalRestored { id: "a".into() },
        Fault::RequestLost { id: "a".into() },
        Fault::JournalDamaged { cause: s() },
        Fault::DiskFull { free_mib: 1, needed_mib: 2 },
        Fault::Restarting { part: "store".into() },
        Fault::ShuttingDown,
        Fault::Unreachable { cause: s() },
    ]
}

#[derive(Default)]
struct State {
    all: BTreeMap<RequestKey, (Request, Transaction)>,
    running: Option<RequestKey>,
}

pub struct Fake {
    state: Mutex<State>,
    notices: broadcast::Sender<Notice>,
    /// What was called that leaves no other trace: "lost till/a", "reprint till/a", "retry 4" ...
    pub log: Mutex<Vec<String>>,
    /// Calls that would cost a store query or a copy of the state.
    pub queries: AtomicUsize,
}

impl Fake {
    /// With one transaction of app `other`.
    pub fn new() -> Arc<Self> {
        let fake = Arc::new(Self {
            state: Mutex::default(),
            notices: broadcast::channel(256).0,
            log: Mutex::default(),
            queries: AtomicUsize::new(0),
        });
        fake.put(&key("other", "secret-1"), Status::Approved);
        fake
    }
    pub fn put(&self, key: &RequestKey, status: Status) {
        let mut s = self.state.lock().unwrap();
        let txn = s.all.len() as u64 + 1;
        let phase = if status == Status::Running { Phase::Presenting } else { Phase::Ended };
        let t = Transaction {
            outcome: outcome(key.clone(), txn, status),
            phase,
            can_cancel: status == Status::Running,
        };
        s.all.insert(key.clone(), (request(&key.id), t));
    }
    pub fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
    /// The request gets this status.
    pub fn finish(&self, key: &RequestKey, status: Status) {
        let told = {
            let mut s = self.state.lock().unwrap();
            let (_, t) = s.all.get_mut(key).unwrap();
            t.outcome.status = status;
            t.phase = Phase::Ended;
            t.can_cancel = false;
            let told = t.outcome.clone();
            s.running = s.running.take().filter(|k| k != key);
            told
        };
        self.tell(Notice::Outcome { outcome: told.into() });
    }
    fn did(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }
    pub fn has_done(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|l| l == what)
    }
    pub fn obligation() -> Obligation {
        let plan = Plan {
            kind: Kind::Sale,
            stan: Stan::FIRST,
            batch: Batch::FIRST,
            amount: Money::new(1234, Currency::CNY).ok(),
            mode: Some(EntryMode::Code),
            pin: false,
            track: true,
            wallet: Some(payterm_schema::host::Wallet::Wechat),
            expiry: None,
            card_sequence: Some(1),
            original: None,
            operator: "01".into(),
            at: Time(-5),
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
        };
        Obligation {
            txn: 1,
            account: AccountId::new("unionpay").unwrap(),
            state: ObligationState::Stuck,
            plan,
            reason: ReversalReason::NoReply,
            tries: 3,
            next_try: Time(7),
            last_code: None,
            since: Time(6),
            duty: Default::default(),
            asking: None,
            left: true,
            had_left: true,
            sealed: Some(1),
            card: None,
            held: None,
            deadline: None,
        }
    }
}

pub fn request(id: &str) -> Request {
    Request {
        id: id.into(),
        kind: Kind::Sale,
        amount: Money::new(1234, Currency::CNY).ok(),
        auth_code: None,
        account: None,
        original: None,
        modes: Vec::new(),
        confirm: false,
        cancel_on_caller_lost: true,
        note: None,
    }
}

fn now<'a, T: Send + 'a>(value: Result<T, Fault>) -> Reply<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Terminal for Fake {
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        let key = key(&caller.app, &request.id);
        let mut s = self.state.lock().unwrap();
        if let Some((old, _)) = s.all.get(&key) {
            return now(if *old == request { Ok(key) } else { Err(Fault::KeyReused { id: request.id }) });
        }
        let txn = s.all.len() as u64 + 1;
        let t = Transaction {
            outcome: outcome(key.clone(), txn, Status::Running),
            phase: Phase::Presenting,
            can_cancel: true,
        };
        let outcome = Arc::new(t.outcome.clone());
        s.all.insert(key.clone(), (request, t));
        s.running = Some(key.clone());
        drop(s);
        self.tell(Notice::Started { key: key.clone(), txn, outcome });
        now(Ok(key))
    }
    fn wait<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        Box::pin(async move {
            loop {
                let told = self.notices.subscribe();
                let o = self.recall(caller, key).await?.outcome;
                if o.status.is_final() || (!final_only && o.status == Status::Unknown) {
                    return Ok(o);
                }
                let mut told = told;
                let _ = told.recv().await;
            }
        })
    }
    fn recall<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        if let Some(n) = key.id.strip_prefix("fault-") {
            return now(Err(faults()[n.parse::<usize>().unwrap()].clone()));
        }
        now(self
            .state
            .lock()
            .unwrap()
            .all
            .get(key)
            .map(|(_, t)| t.clone())
            .ok_or_else(|| Fault::not_found("transaction", &key.id)))
    }
    fn cancel<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        Box::pin(async move {
            if !self.recall(caller, key).await?.can_cancel {
                return Err(Fault::TooLate { rule: "the frame has left".into() });
            }
            self.finish(key, Status::Cancelled);
            Ok(())
        })
    }
    fn confirm<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        self.did(format!("confirm {key} {yes}"));
        now(Ok(()))
    }
    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()> {
        self.did(format!("lost {key}"));
        now(Ok(()))
    }
    fn list<'a>(&'a self, _: &'a Caller, f: Filter) -> Reply<'a, Vec<Outcome>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let s = self.state.lock().unwrap();
        let mut all: Vec<_> = s.all.values().map(|(_, t)| t.outcome.clone()).collect();
        all.sort_by_key(|o| std::cmp::Reverse(o.txn));
        all.retain(|o| {
            f.app.as_ref().is_none_or(|a| *a == o.key.app)
                && f.before.is_none_or(|b| o.txn < b)
                && f.status.is_none_or(|s| s == o.status)
        });
        all.truncate(f.limit.unwrap_or(50) as usize);
        now(Ok(all))
    }
    fn explain<'a>(&'a self, caller: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        Box::pin(async move {
            let record = serde_json::json!({"a":null,"f":1.5,"x":[null]});
            let entries = vec![ExplainedEntry { seq: 1, at: Time(2), record }];
            Ok(Explanation {
                outcome: self.recall(caller, key).await?.outcome,
                entries,
                slips: vec!["slip\n".into()],
            })
        })
    }
    fn reprint<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> Reply<'a, ()> {
        self.did(format!(
            "reprint {key}{}",
            copy.map_or("", |c| if c == SlipCopy::Merchant { " merchant" } else { " customer" })
        ));
        now(Ok(()))
    }
    fn print<'a>(&'a self, _: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        let kind = match paper {
            Printable::Page(_) => "page",
            Printable::Invoice(_) => "invoice",
            Printable::Drawer(_) => "drawer",
        };
        self.did(format!("print {id} {kind}"));
        now(Ok(9))
    }
    fn paper<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, _: bool) -> Reply<'a, PaperStatus> {
        now(Ok(PaperStatus { id: key.id.clone(), job: 9, state: PaperState::Done, problem: None }))
    }
    fn report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, TotalsReport> {
        let row =
            Total { scheme: "CUP".into(), kind: Kind::Sale, operator: "01".into(), count: 2, minor: 1234 };
        let account = AccountTotals {
            account: AccountId::new("unionpay").unwrap(),
            currency: Currency::CNY,
            mid: "898310058120001".into(),
            tid: "20260001".into(),
            batch: Batch::new(7),
            since: Some(Time(1_772_692_200_000)),
            rows: vec![row],
            debit_count: 2,
            debit_minor: 1234,
            credit_count: 0,
            credit_minor: 0,
        };
        let (shop, operator, until) = ("shop".into(), "01".into(), Time(1_772_692_200_000));
        now(Ok(TotalsReport { scope, shop, operator, until, accounts: vec![account], test: false }))
    }
    fn print_report<'a>(&'a self, _: &'a Caller, scope: Scope) -> Reply<'a, ()> {
        self.did(format!("report {}", scope.name()));
        now(Ok(()))
    }
    fn devices(&self) -> Reply<'_, Vec<Device>> {
        now(Ok(vec![device(DeviceState::Idle)]))
    }
    fn obligations<'a>(&'a self, caller: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        now(Ok(if caller.manager { vec![Fake::obligation()] } else { Vec::new() }))
    }
    fn retry_obligation<'a>(&'a self, _: &'a Caller, txn: u64) -> Reply<'a, ()> {
        self.did(format!("retry {txn}"));
        now(Ok(()))
    }
    fn resolve_obligation<'a>(
        &'a self,
        _: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        self.did(format!("resolve {txn} {executed} {} {reference}", stan.map_or(0, Stan::get)));
        now(Ok(()))
    }
    fn queue<'a>(&'a self, _: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        self.did(format!("{act:?}"));
        now(Ok(()))
    }
    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, OfflineAnswer> {
        self.did(format!("why {} {account:?}", amount.value()));
        let check =
            Check { rule: OfflineRule::TotalSum, passed: true, limit: Some(500), now: Some(amount.minor()) };
        let judgement = Judgement {
            offline_authority: OfflineAuthority::Merchant,
            allowed: true,
            by: check,
            exposure: Exposure { count: 1, minor: 2 },
        };
        now(Ok(OfflineAnswer {
            account: AccountId::new("unionpay").unwrap(),
            judgement,
            checks: vec![check],
        }))
    }
    fn papers<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        let outcome = outcome(key("till", "a"), 9, Status::Approved).into();
        now(Ok(vec![PaperJob {
            state: PaperState::Held,
            problem: None,
            ..PaperJob::new(4, PaperKind::MerchantCopy, 1, PaperContent::Outcome(outcome))
        }]))
    }
    fn release_paper<'a>(&'a self, _: &'a Caller, job: u64, print: bool) -> Reply<'a, ()> {
        self.did(format!("release {job} {print}"));
        now(Ok(()))
    }
    fn reconcile<'a>(
        &'a self,
        _: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        self.did(format!("reconcile {account:?} {}", file.len()));
        now(Ok(Reconciliation {
            account: AccountId::new("unionpay").unwrap(),
            batch: Batch::new(7).unwrap(),
            currency: payterm_schema::Currency::CNY,
            agree: 2,
            differences: Vec::new(),
            more: 0,
        }))
    }
    fn totals<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<BatchTotals>> {
        now(Ok(vec![BatchTotals {
            account: AccountId::new("unionpay").unwrap(),
            currency: Currency::CNY,
            batch: Batch::new(3),
            signed_in: true,
            debit_count: 1,
            debit_minor: 1234,
            credit_count: 0,
            credit_minor: 0,
            settling: false,
            open_obligations: 1,
            debit: "12.34".into(),
            credit: "0.00".into(),
        }]))
    }
    fn operator_session<'a>(&'a self, _: &'a Caller, request: OperatorRequest) -> Reply<'a, ()> {
        self.did(format!("operators {}", serde_json::to_string(&request).unwrap()));
        now(Ok(()))
    }
    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let id = OperatorId::first_cashier();
        let one = OperatorInfo {
            role: id.role(),
            operator: id.clone(),
            on_duty: true,
            locked: false,
            must_change: true,
            wrong: 1,
        };
        let lock = TerminalLock {
            since: Time(1_772_692_200_000),
            by: OperatorId::supervisor(),
            challenge: Some("13572468".into()),
            wrong: 1,
            not_before: Time(1_772_692_230_000),
        };
        now(Ok(Operators { required: true, on_duty: Some(id), locked: Some(lock), operators: vec![one] }))
    }
    fn info(&self) -> Reply<'_, Arc<TerminalInfo>> {
        let running = self.state.lock().unwrap().running.clone();
        let screen = if running.is_some() { present() } else { Screen::Idle };
        now(Ok(Arc::new(TerminalInfo {
            version: "0.1.0".into(),
            api: 1,
            language: "zh-CN".into(),
            shop: "店".into(),
            service_phone: "95516".into(),
            test: true,
            accounts: vec![AccountId::new("unionpay").unwrap()],
            running,
            screen,
            inhibit_reasons: vec![payterm_schema::InhibitReason::Queue],
        })))
    }
    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        self.did(format!("self-test {print}"));
        now(Ok(report()))
    }
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        now(Ok(None))
    }
    fn set_language<'a>(&'a self, _: &'a Caller, language: Language) -> Reply<'a, ()> {
        self.did(format!("language {}", language.tag()));
        now(Ok(()))
    }
    fn support_bundle<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<u8>> {
        now(Ok(b"\x1f\x8b bundle".to_vec()))
    }
    fn offer<'a>(&'a self, _: &'a Caller) -> Reply<'a, OfferShown> {
        now(Ok(offer()))
    }
    fn onboarding<'a>(&'a self, _: &'a Caller) -> Reply<'a, OnboardingShown> {
        now(Ok(OnboardingShown { onboarding: None, problem: Some(Problem::Untrusted), in_service: true }))
    }
    fn apply<'a>(&'a self, caller: &'a Caller, step: Step) -> Reply<'a, ()> {
        self.did(format!("{} {step:?}", caller.app));
        now(Ok(()))
    }
    fn notices(&self) -> Notices {
        let from = self.notices.subscribe();
        Box::pin(stream::unfold(from, |mut from| async move { from.recv().await.ok().map(|n| (n, from)) }))
    }
}

pub fn offer() -> OfferShown {
    let json = r#"{"hash":"ab","id":"o-1","products":["card","scan"],"currency":"CNY",
        "fees":[{"product":"card","basis_points":60,"min":0,"max":8000}],"settlement":"T+1",
        "text":"中 \"words\""}"#;
    serde_json::from_str(json).unwrap()
}
pub fn present() -> Screen {
    Screen::Present {
        kind: Kind::Sale,
        amount: Money::new(1234, Currency::CNY).ok(),
        modes: vec![payterm_schema::host::EntryMode::Swipe],
        problem: None,
    }
}
pub fn device(state: DeviceState) -> Device {
    let name = "front-reader".to_owned();
    Device {
        name,
        kind: DeviceKind::MagneticReader,
        driver: "virtual".into(),
        state,
        health: String::new(),
        restarts: 2,
        is_virtual: true,
    }
}

/// A dbus-daemon of its own that every user may connect to.
pub struct Bus {
    child: Child,
    pub address: String,
    pub dir: tempfile::TempDir,
}
impl Bus {
    pub fn start() -> Self {
        Self::with_policy(
            "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/>\
         <allow receive_sender=\"*\"/></policy>",
        )
    }
    pub fn with_policy(policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = dir.path().join("bus.conf");
        let listen = format!("unix:path={}", dir.path().join("bus").display());
        let text = format!(
            "<busconfig><type>session</type><listen>{listen}</listen><auth>EXTERNAL</auth>{policy}\
             </busconfig>"
        );
        std::fs::write(&config, text).unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        Self { child, address: listen, dir }
    }
    pub fn at(&self) -> Option<Address> {
        Some(Address::Bus(self.address.clone()))
    }
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
    pub async fn busctl(&self, arguments: &[&str]) -> Output {
        let mut c = Command::new("busctl");
        c.arg(format!("--address={}", self.address)).args(arguments);
        output(c).await
    }
    /// busctl as another user, with one group.
    pub async fn busctl_as(&self, uid: u32, gid: u32, arguments: &[&str]) -> Output {
        let mut c = Command::new("setpriv");
        c.args([
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            format!("--groups={gid}"),
            "busctl".into(),
            format!("--address={}", self.address),
        ]);
        c.args(arguments);
        output(c).await
    }
}
/// Off the runtime's thread: the server that the program talks to runs there.
async fn output(mut c: Command) -> Output {
    tokio::task::spawn_blocking(move || c.output()).await.unwrap().unwrap()
}
impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}
pub fn caller(app: &str, manager: bool) -> CallerConfig {
    CallerConfig { uid: me(), app: app.into(), manager, kinds: Vec::new(), limit: None }
}
pub fn nobody() -> Caller {
    Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None }
}

/// A fake terminal served on a private bus and on a socket.
pub struct World {
    pub bus: Bus,
    pub fake: Arc<Fake>,
    pub server: Server,
    pub socket: std::path::PathBuf,
}
impl World {
    pub async fn start(callers: Vec<CallerConfig>) -> Self {
        let (bus, fake) = (Bus::start(), Fake::new());
        let socket = bus.dir.path().join("peer");
        let config = BusConfig { callers, peer_socket: Some(socket.clone()), ..BusConfig::default() };
        let server = payterm_dbus::serve_at(fake.clone(), &config, bus.at()).await.unwrap();
        Self { bus, fake, server, socket }
    }
    pub async fn client(&self) -> Client {
        Client::connect(Address::Bus(self.bus.address.clone()), "").await.unwrap()
    }
    pub async fn peer(&self) -> Client {
        Client::connect(Address::Peer(self.socket.clone()), "").await.unwrap()
    }
    /// A bare connection to the bus.
    pub async fn raw(&self) -> zbus::Connection {
        zbus::connection::Builder::address(self.bus.address.as_str()).build().await.unwrap()
    }
}

/// Until the condition holds, at most 5 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// A printer without paper, a clock that is right.
pub fn report() -> SelfTest {
    let items =
        vec![Finding::failed("paper-out").of(Part::Printer, "printer"), Finding::works().of(Part::Clock, "")];
    SelfTest::new(Time(1_772_692_200_000), items)
}
