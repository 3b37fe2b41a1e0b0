//! A terminal that does as the request's id says, on a private bus, and the built `paytermctl` as its caller.
use futures_util::stream;
use payterm_dbus::{Address, Server};
use payterm_schema::{
    AccountId, Batch, Caller, Class, Currency, Device, DeviceKind, DeviceState, Fault, Kind, Money, Notice,
    Outcome, Phase, Record, Request, RequestKey, RequestRecord, Screen, SelfTest, Stan, Status, Terminal,
    Time,
    config::{BusConfig, CallerConfig, Language},
    host::{EntryMode, FieldView, FrameTrace, HostAnswer, KeysVerdict, MacVerdict, Plan, ReversalReason},
    offline::{Check, Exposure, Judgement, OfflineAnswer, OfflineAuthority, OfflineRule, QueueAct},
    onboarding::{OfferShown, OnboardingShown, Problem, Step},
    operator::{OperatorId, OperatorInfo, OperatorRequest, Operators, TerminalLock},
    outcome::{Authority, Place, Reason, Sums},
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind, PaperState, PaperStatus, SlipCopy},
    reconciliation::Reconciliation,
    record::{Duty, Obligation, ObligationState},
    selftest::{Finding, Part},
    terminal::{BatchTotals, ExplainedEntry, Explanation, Filter, Notices, Reply, TerminalInfo, Transaction},
    totals::{AccountTotals, Scope, Total, TotalsReport},
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::broadcast;

pub const STATUSES: [(Status, i32); 5] = [
    (Status::Approved, 0),
    (Status::Declined, 10),
    (Status::Cancelled, 11),
    (Status::Failed, 12),
    (Status::Unknown, 13),
];

/// Ids begin with the status that their request gets; `hang-` and `sent-` get none, and only `hang-` can be
/// cancelled.
#[derive(Default)]
pub struct Fake {
    all: Mutex<BTreeMap<RequestKey, Outcome>>,
    pub requests: Mutex<Vec<Request>>,
    /// What was called that leaves no other trace.
    pub log: Mutex<Vec<String>>,
    notices: Option<broadcast::Sender<Notice>>,
}

fn now<'a, T: Send + 'a>(value: Result<T, Fault>) -> Reply<'a, T> {
    Box::pin(std::future::ready(value))
}

pub fn outcome(key: RequestKey, status: Status, kind: Kind) -> Outcome {
    let reason = match status {
        // A terminal that speaks Chinese.
        Status::Declined => Some(Reason {
            text: "余额不足".into(),
            next: "请换一种付款方式".into(),
            ..Reason::new("host-51", Class::B)
        }),
        Status::Unknown => Some(Reason::new("no-reply", Class::E)),
        Status::Cancelled => Some(Reason::new("cancelled-by-customer", Class::B)),
        Status::Failed => Some(Reason::new("line-down", Class::E)),
        Status::Running | Status::Approved => None,
    };
    Outcome {
        key,
        txn: 7,
        kind,
        status,
        authority: (status == Status::Approved).then_some(Authority::Host),
        reason,
        sums: Sums::new(Currency::CNY, Some(1234)),
        started: Time(1_772_692_200_000),
        ended: status.is_final().then_some(Time(1_772_692_221_000)),
        answer_by: (status == Status::Unknown).then_some(Time(1_772_692_800_000)),
        // A shop that tries to colour the cashier's terminal.
        place: Place { shop: "老王面馆\u{1b}[31m".into(), address: String::new(), city: "上海".into() },
        account: AccountId::new("unionpay").ok(),
        mid: Some("898310058120001".into()),
        tid: Some("20260001".into()),
        operator: "01".into(),
        approved_by: None,
        entry: Some(EntryMode::Swipe),
        wallet: None,
        masked_pan: Some("622848******1234".into()),
        stan: Stan::new(118),
        batch: Batch::new(7),
        rrn: Some("606414000118".into()),
        auth_code: None,
        host_date: None,
        host_time: None,
        scheme: None,
        issuer: None,
        acquirer: None,
        host_texts: Vec::new(),
        pin: true,
        original: None,
        voided: false,
        completed: false,
        adjusted: false,
        forwarding: None,
        offline_authority: None,
        offline: None,
        no_cvm: None,
        settlement: None,
        note: None,
        journal: None,
        test: true,
    }
}

pub fn key(id: &str) -> RequestKey {
    RequestKey::new("till", id).unwrap()
}

impl Fake {
    fn did(&self, what: String) -> Result<(), Fault> {
        self.log.lock().unwrap().push(what);
        Ok(())
    }
    pub fn has_done(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|l| l == what)
    }
    fn find(&self, key: &RequestKey) -> Result<Outcome, Fault> {
        self.all.lock().unwrap().get(key).cloned().ok_or_else(|| Fault::not_found("transaction", &key.id))
    }
    fn tell(&self, notice: Notice) {
        if let Some(to) = &self.notices {
            let _ = to.send(notice);
        }
    }
    pub fn settle(&self, key: &RequestKey, status: Status) {
        let kind = self.find(key).unwrap().kind;
        self.all.lock().unwrap().insert(key.clone(), outcome(key.clone(), status, kind));
    }
}

fn plan() -> Plan {
    Plan {
        kind: Kind::Sale,
        stan: Stan::new(118).unwrap(),
        batch: Batch::new(7).unwrap(),
        amount: Money::new(1234, Currency::CNY).ok(),
        mode: Some(EntryMode::Swipe),
        pin: true,
        track: true,
        wallet: None,
        expiry: None,
        card_sequence: None,
        original: None,
        operator: "01".into(),
        at: Time(1_772_692_200_000),
        auth_code: None,
        tip: None,
        scheme: None,
        settlement: None,
        offline_authority: None,
        icc: None,
    }
}

impl Terminal for Fake {
    fn start<'a>(&'a self, caller: &'a Caller, request: Request) -> Reply<'a, RequestKey> {
        let key = RequestKey::new(&caller.app, &request.id).unwrap();
        if request.id == "fault" {
            return now(Err(Fault::NoAccount { currency: "JPY".into() }));
        }
        let status = STATUSES
            .iter()
            .map(|(s, _)| *s)
            .find(|s| request.id.starts_with(s.name()) && *s != Status::Unknown)
            .unwrap_or(Status::Running);
        self.all.lock().unwrap().insert(key.clone(), outcome(key.clone(), status, request.kind));
        if request.id.starts_with("unknown") {
            self.settle(&key, Status::Unknown);
        }
        let screen = Screen::Present {
            kind: request.kind,
            amount: request.amount,
            modes: vec![EntryMode::Swipe, EntryMode::Code],
            problem: None,
        };
        self.requests.lock().unwrap().push(request);
        self.tell(Notice::Phase { key: key.clone(), phase: Phase::Presenting, screen });
        now(Ok(key))
    }
    fn wait<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, final_only: bool) -> Reply<'a, Outcome> {
        Box::pin(async move {
            // As long as a customer takes, so that progress can be seen.
            tokio::time::sleep(Duration::from_millis(100)).await;
            loop {
                let o = self.find(key)?;
                if final_only && o.status == Status::Unknown {
                    self.settle(key, Status::Declined);
                    continue;
                }
                if o.status != Status::Running {
                    return Ok(o);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }
    fn recall<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Transaction> {
        let found = self.find(key);
        now(found.map(|outcome| Transaction {
            phase: Phase::Presenting,
            can_cancel: outcome.status == Status::Running,
            outcome,
        }))
    }
    fn cancel<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, ()> {
        let _ = self.did(format!("cancel {key}"));
        if key.id.starts_with("sent") {
            return now(Err(Fault::TooLate { rule: "the frame has left".into() }));
        }
        self.settle(key, Status::Cancelled);
        now(Ok(()))
    }
    fn confirm<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, yes: bool) -> Reply<'a, ()> {
        now(self.did(format!("confirm {key} {yes}")))
    }
    fn caller_lost<'a>(&'a self, key: &'a RequestKey) -> Reply<'a, ()> {
        now(self.did(format!("lost {key}")))
    }
    fn list<'a>(&'a self, _: &'a Caller, f: Filter) -> Reply<'a, Vec<Outcome>> {
        let _ = self.did(format!("list {}", serde_json::to_string(&f).unwrap()));
        now(Ok(self.all.lock().unwrap().values().cloned().collect()))
    }
    fn explain<'a>(&'a self, _: &'a Caller, key: &'a RequestKey) -> Reply<'a, Explanation> {
        let view = |field: &str, name: &str, value: &str| FieldView {
            field: field.into(),
            name: name.into(),
            value: value.into(),
        };
        let answer = HostAnswer {
            code: "51".into(),
            mac: MacVerdict::Good,
            keys: KeysVerdict::None,
            amount: None,
            time: None,
            date: None,
            settlement_date: None,
            acquirer: None,
            rrn: None,
            auth_code: None,
            issuer_id: None,
            acquirer_id: None,
            balance: None,
            batch: None,
            scheme: None,
            texts: Vec::new(),
            fee: None,
            parameters: Vec::new(),
            settlement: None,
            icc: None,
            requirement: 0,
        };
        let trace = FrameTrace {
            sent: [view("F2", "PAN", "622848******1234")].into(),
            received: vec![view("F39", "response code", "51")],
        };
        let (txn, account, stan) = (7, AccountId::new("unionpay").unwrap(), Stan::new(118).unwrap());
        now(self.find(key).map(|o| {
            let allowed = Record::Request(RequestRecord::Allowed {
                txn,
                account: account.clone(),
                plan: Box::new(plan()),
                view: Arc::new(o.clone()),
                owes: true,
                card: None,
            });
            let answered = Record::Request(RequestRecord::Answered {
                txn,
                account,
                stan,
                answer: Box::new(answer),
                due: None,
                trace,
            });
            let mut records: Vec<_> =
                [allowed, answered].iter().map(|r| serde_json::to_value(r).unwrap()).collect();
            records.push(serde_json::json!({"of_a_newer_terminal":{"x":1}}));
            let entries = records
                .into_iter()
                .zip(1..)
                .map(|(record, seq)| ExplainedEntry { seq, at: Time(1_772_692_200_000), record })
                .collect();
            Explanation { outcome: o, entries, slips: vec!["商户存根\n CNY 12.34\n".into()] }
        }))
    }
    fn reprint<'a>(&'a self, _: &'a Caller, key: &'a RequestKey, copy: Option<SlipCopy>) -> Reply<'a, ()> {
        now(self.did(format!(
            "reprint {key}{}",
            copy.map_or("", |c| if c == SlipCopy::Merchant { " merchant" } else { " customer" })
        )))
    }
    fn print<'a>(&'a self, _: &'a Caller, id: String, paper: Printable) -> Reply<'a, u64> {
        let kind = match paper {
            Printable::Page(_) => "page",
            Printable::Invoice(_) => "invoice",
            Printable::Drawer(_) => "drawer",
        };
        now(self.did(format!("print {id} {kind}")).map(|()| 9))
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
        now(self.did(format!("report {}", scope.name())))
    }
    fn devices(&self) -> Reply<'_, Vec<Device>> {
        now(Ok(vec![Device {
            name: "front-reader".into(),
            kind: DeviceKind::MagneticReader,
            driver: "virtual".into(),
            state: DeviceState::Idle,
            health: "ok".into(),
            restarts: 2,
            is_virtual: true,
        }]))
    }
    fn obligations<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<Obligation>> {
        let stuck = Obligation {
            txn: 7,
            account: AccountId::new("unionpay").unwrap(),
            state: ObligationState::Stuck,
            plan: plan(),
            reason: ReversalReason::NoReply,
            duty: Default::default(),
            asking: None,
            left: true,
            had_left: true,
            sealed: None,
            tries: 3,
            next_try: Time(1_772_692_200_000),
            last_code: Some("96".into()),
            since: Time(1_772_692_200_000),
            card: None,
            held: None,
            deadline: None,
        };
        let held = Obligation {
            txn: 8,
            state: ObligationState::Due,
            duty: Duty::Repeat,
            held: Some("boss".into()),
            ..stuck.clone()
        };
        let due = Obligation { txn: 9, held: None, next_try: Time(1_772_692_260_000), ..held.clone() };
        now(Ok(vec![stuck, held, due]))
    }
    fn retry_obligation<'a>(&'a self, _: &'a Caller, txn: u64) -> Reply<'a, ()> {
        now(self.did(format!("retry {txn}")))
    }
    fn resolve_obligation<'a>(
        &'a self,
        _: &'a Caller,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: &'a str,
    ) -> Reply<'a, ()> {
        now(self.did(format!("resolve {txn} {executed} {} {reference}", stan.map_or(0, Stan::get))))
    }
    fn queue<'a>(&'a self, _: &'a Caller, act: QueueAct) -> Reply<'a, ()> {
        now(self.did(format!("{act:?}")))
    }
    fn offline_why<'a>(
        &'a self,
        _: &'a Caller,
        amount: Money,
        account: Option<AccountId>,
    ) -> Reply<'a, OfflineAnswer> {
        let check = Check {
            rule: OfflineRule::TotalSum,
            passed: amount.minor() <= 500,
            limit: Some(500),
            now: Some(amount.minor()),
        };
        let clock = Check { rule: OfflineRule::Clock, passed: true, limit: None, now: None };
        let judgement = Judgement {
            offline_authority: OfflineAuthority::Merchant,
            allowed: check.passed,
            by: check,
            exposure: Exposure { count: 1, minor: 2 },
        };
        now(Ok(OfflineAnswer {
            account: account.unwrap_or(AccountId::new("unionpay").unwrap()),
            judgement,
            checks: vec![clock, check],
        }))
    }
    fn papers<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<PaperJob>> {
        let outcome = outcome(key("a"), Status::Approved, Kind::Sale).into();
        now(Ok(vec![PaperJob {
            state: PaperState::Held,
            problem: Some("no paper".into()),
            ..PaperJob::new(4, PaperKind::MerchantCopy, 1, PaperContent::Outcome(outcome))
        }]))
    }
    fn release_paper<'a>(&'a self, _: &'a Caller, job: u64, print: bool) -> Reply<'a, ()> {
        now(self.did(format!("release {job} {print}")))
    }
    fn offer<'a>(&'a self, _: &'a Caller) -> Reply<'a, OfferShown> {
        let json = r#"{"hash":"ab","id":"o-1","products":["card","scan"],"currency":"CNY","settlement":"T+1","text":"words\u001b[2J",
            "fees":[{"product":"card","scheme":"CUP","basis_points":60,"min":1,"max":8000},{"product":"scan","basis_points":38}]}"#;
        now(Ok(serde_json::from_str(json).unwrap()))
    }
    fn onboarding<'a>(&'a self, _: &'a Caller) -> Reply<'a, OnboardingShown> {
        now(Ok(OnboardingShown { onboarding: None, problem: Some(Problem::Untrusted), in_service: false }))
    }
    fn apply<'a>(&'a self, _: &'a Caller, step: Step) -> Reply<'a, ()> {
        if step == Step::Submit {
            return now(Err(Fault::Management { problem: Problem::Signature, cause: "not signed".into() }));
        }
        now(self.did(format!("apply {step:?}")))
    }
    fn reconcile<'a>(
        &'a self,
        _: &'a Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Reply<'a, Reconciliation> {
        self.did(format!("reconcile {account:?} {}", file.len())).ok();
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
            batch: Batch::new(7),
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
        now(self.did(format!("operators {}", serde_json::to_string(&request).unwrap())))
    }
    fn operators<'a>(&'a self, _: &'a Caller) -> Reply<'a, Operators> {
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
        now(Ok(Arc::new(TerminalInfo {
            version: "0.1.0".into(),
            api: 1,
            language: "zh-CN".into(),
            shop: "老王面馆".into(),
            service_phone: "95516".into(),
            test: true,
            accounts: vec![AccountId::new("unionpay").unwrap()],
            running: None,
            screen: Screen::Idle,
            inhibit_reasons: vec![payterm_schema::InhibitReason::Queue],
        })))
    }
    fn self_test<'a>(&'a self, _: &'a Caller, print: bool) -> Reply<'a, SelfTest> {
        let _ = self.did(format!("self-test {print}"));
        now(Ok(report()))
    }
    fn last_self_test(&self) -> Reply<'_, Option<SelfTest>> {
        now(Ok(None))
    }
    fn set_language<'a>(&'a self, _: &'a Caller, language: Language) -> Reply<'a, ()> {
        let _ = self.did(format!("language {}", language.tag()));
        now(Ok(()))
    }
    fn support_bundle<'a>(&'a self, _: &'a Caller) -> Reply<'a, Vec<u8>> {
        now(Ok(b"\x1f\x8b bundle".to_vec()))
    }
    fn notices(&self) -> Notices {
        let Some(to) = &self.notices else { return Box::pin(stream::pending()) };
        Box::pin(stream::unfold(to.subscribe(), |mut from| async move {
            from.recv().await.ok().map(|n| (n, from))
        }))
    }
}

/// The fake on a private bus and on a socket; our user is the app `till`, a manager.
pub struct World {
    daemon: Child,
    pub address: String,
    pub socket: PathBuf,
    pub fake: Arc<Fake>,
    _server: Server,
    _dir: tempfile::TempDir,
}
impl Drop for World {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl World {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address=unix:dir={}", dir.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut byte = [0];
        while daemon.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            address.push(char::from(byte[0]));
        }
        let fake = Arc::new(Fake { notices: Some(broadcast::channel(64).0), ..Fake::default() });
        let socket = dir.path().join("peer");
        let uid = rustix::process::geteuid().as_raw();
        let callers =
            vec![CallerConfig { uid, app: "till".into(), manager: true, kinds: Vec::new(), limit: None }];
        let config = BusConfig { callers, peer_socket: Some(socket.clone()), ..BusConfig::default() };
        let server =
            payterm_dbus::serve_at(fake.clone(), &config, Some(Address::Bus(address.clone()))).await.unwrap();
        Self { daemon, address, socket, fake, _server: server, _dir: dir }
    }
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut c = paytermctl();
        c.env("PAYTERM_BUS", &self.address).args(arguments);
        c
    }
    /// Runs it to its end while the fake serves.
    pub async fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments), "").await
    }
    pub async fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

pub fn paytermctl() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_paytermctl"));
    c.env_remove("PAYTERM_STATE")
        .env("LANG", "C.UTF-8")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .stdin(Stdio::null());
    c
}

pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}
impl Done {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
    pub fn of(o: Output) -> Self {
        Self {
            code: o.status.code().unwrap_or(-1),
            out: String::from_utf8(o.stdout).unwrap(),
            err: String::from_utf8(o.stderr).unwrap(),
        }
    }
}

/// With this on stdin, at most 30 s.
pub async fn finish(mut command: Command, input: &str) -> Done {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut to) = child.stdin.take() {
        // Who does not read it may close it.
        let _ = to.write_all(input.as_bytes());
    }
    wait(child).await
}

/// Its pipes are drained while it runs; a helper thread, because the fake serves on ours.
pub async fn wait(child: Child) -> Done {
    let pid = rustix::process::Pid::from_child(&child);
    let mut ending = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    match tokio::time::timeout(Duration::from_secs(30), &mut ending).await {
        Ok(output) => Done::of(output.unwrap()),
        Err(_) => {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            panic!("paytermctl does not end: {}", Done::of(ending.await.unwrap()).err)
        }
    }
}

/// At most 10 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
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
