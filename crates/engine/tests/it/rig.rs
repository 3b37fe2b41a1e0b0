//! The whole engine in process: real sockets, the acquirer simulator, virtual devices and their control, a
//! real disk.
use payterm_devices::{
    Drivers,
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlServer},
};
use payterm_engine::{Engine, Options, demo, mishap::Mishaps};
use payterm_schema::{
    Caller, Fault, Outcome, Request, RequestKey, Terminal,
    config::{Config, Language},
    request::RequestWire,
};
use payterm_simulator::{Acquirer, Running, World};
use payterm_vault::SealingKey;
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const SOON: Duration = Duration::from_secs(60);
pub const CARD: &str = "6212345678900000003";
pub const OPENING: i64 = 1_000_000;

/// The daemon on a thread of its own; `stop` is an orderly shutdown.
pub struct Up {
    pub terminal: Arc<dyn Terminal>,
    /// Why the engine could not go on.
    pub failed: mpsc::Receiver<String>,
    pub leave: tokio::sync::oneshot::Sender<bool>,
    pub thread: JoinHandle<()>,
}
impl Up {
    pub fn start(config: Config, options: Options, log: Option<File>) -> Self {
        let (tx, rx) = mpsc::channel();
        let (leave, left) = tokio::sync::oneshot::channel();
        let (fails, failed) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Of this daemon alone: other tests run beside it.
            let _log = log.map(|f| {
                tracing::subscriber::set_default(
                    tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(f)).finish(),
                )
            });
            actix::System::new().block_on(async move {
                let key = SealingKey::from_file(config.vault.key_file.as_ref().unwrap()).unwrap();
                let control = config.store.dir.join("virtual.sock");
                let engine = Engine::start(config, key, options).await.unwrap();
                let _control = VirtualControlServer::start(engine.bench(), &control).unwrap();
                tx.send(engine.terminal()).unwrap();
                let orderly = tokio::select! {
                    orderly = left => orderly.unwrap_or(false),
                    error = engine.failed() => fails.send(error.to_string()).is_ok(),
                };
                if orderly {
                    engine.quiet().await;
                    engine.close().await;
                }
            });
        });
        Self { terminal: rx.recv_timeout(SOON).unwrap(), failed, leave, thread }
    }
    pub fn stop(self) {
        self.leave.send(true).ok();
        drop(self.terminal);
        self.thread.join().unwrap();
    }
}

pub struct Rig {
    pub dir: TempDir,
    pub acquirer: Running,
    pub config: Config,
    pub drivers: Drivers,
    pub mishaps: Mishaps,
    pub journal: payterm_journal::Options,
    /// Where the next daemon writes its log.
    pub log: Option<File>,
    pub up: Option<Up>,
    pub virtuals: Option<VirtualControl>,
    pub runtime: tokio::runtime::Runtime,
}
impl Rig {
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(|_| payterm_simulator::Options::fast(), |config, _| change(config))
    }
    /// With an acquirer of these options, whose state may lie in the directory.
    pub fn at(
        acquirer: impl FnOnce(&Path) -> payterm_simulator::Options,
        change: impl FnOnce(&mut Config, &Running),
    ) -> Self {
        Self::made(Drivers::default(), acquirer, change)
    }
    /// With these drivers.
    pub fn with(drivers: Drivers, change: impl FnOnce(&mut Config)) -> Self {
        Self::made(drivers, |_| payterm_simulator::Options::fast(), |config, _| change(config))
    }
    fn made(
        drivers: Drivers,
        acquirer: impl FnOnce(&Path) -> payterm_simulator::Options,
        change: impl FnOnce(&mut Config, &Running),
    ) -> Self {
        if std::env::var_os("PAYTERM_TEST_LOG").is_some() {
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).try_init().ok();
        }
        let dir = tempfile::tempdir().unwrap();
        let acquirer = Acquirer::start(World::demo().unwrap(), acquirer(dir.path())).unwrap();
        let mut config = demo::config(0);
        config.store.dir = dir.path().join("state");
        config.terminal.language = Language::En;
        config.accounts[0].address = acquirer.addr("unionpay").unwrap().to_string();
        config.accounts[0].reply_timeout_ms = 1_500;
        config.accounts[0].obligation_backoff_ms = 200;
        config.paper.retry_ms = 200;
        change(&mut config, &acquirer);
        demo::prepare(&mut config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut rig = Self {
            dir,
            acquirer,
            config,
            drivers,
            mishaps: Mishaps::armed(),
            journal: Default::default(),
            log: None,
            up: None,
            virtuals: None,
            runtime,
        };
        rig.start();
        rig
    }
    pub fn start(&mut self) {
        let options = Options {
            journal: self.journal.clone(),
            mishaps: self.mishaps.clone(),
            drivers: self.drivers.clone(),
            ..Options::default()
        };
        self.up = Some(Up::start(self.config.clone(), options, self.log.take()));
        self.virtuals = Some(VirtualControl::connect(&self.config.store.dir.join("virtual.sock")).unwrap());
    }
    pub fn restart(&mut self) {
        self.virtuals = None;
        self.up.take().unwrap().stop();
        self.start();
    }
    /// Put down without an orderly end.
    pub fn crash(&mut self) {
        self.virtuals = None;
        let up = self.up.take().unwrap();
        up.leave.send(false).unwrap();
        drop(up.terminal);
        up.thread.join().unwrap();
        // The store's own thread may hold the state a moment longer.
        self.until("the state is free", |r| demo::prepare(&mut r.config.clone()).is_ok());
        self.start();
    }
    pub fn t(&self) -> Arc<dyn Terminal> {
        self.up.as_ref().unwrap().terminal.clone()
    }
    pub fn virtuals(&mut self) -> &mut VirtualControl {
        self.virtuals.as_mut().unwrap()
    }
    pub fn begin(&self, r: RequestWire) -> Result<RequestKey, Fault> {
        let request = Request::try_from(r)?;
        let (t, me) = (self.t(), caller());
        self.runtime.block_on(t.start(&me, request))
    }
    /// As a caller does: the same id again while a part restarts.
    pub fn begin_patiently(&self, r: RequestWire) -> RequestKey {
        let until = Instant::now() + SOON;
        loop {
            match self.begin(r.clone()) {
                Ok(key) => return key,
                Err(Fault::Restarting { .. } | Fault::StoreFailed { .. } | Fault::Busy { .. })
                    if Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(20))
                }
                Err(e) => panic!("{e}"),
            }
        }
    }
    pub fn end(&self, key: &RequestKey, final_only: bool) -> Outcome {
        let (t, me) = (self.t(), caller());
        self.runtime.block_on(async {
            tokio::time::timeout(SOON, t.wait(&me, key, final_only)).await.unwrap().unwrap()
        })
    }
    pub fn swipe_and_pin(&mut self) {
        self.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
        self.virtuals().pin("123456", When::Within(SOON)).unwrap();
    }
    pub fn sale(&mut self, id: &str) -> Outcome {
        let key = self.begin_patiently(sale(id));
        self.swipe_and_pin();
        self.end(&key, false)
    }
    pub fn balance(&self) -> i64 {
        self.acquirer.balance("card:alice").unwrap()
    }
    /// Waits until it holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let by = Instant::now() + SOON;
        while !holds(self) {
            assert!(Instant::now() < by, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// That they are out is on record: the next commit is another one's.
    pub fn papers_done(&self) {
        let (t, me) = (self.t(), caller());
        self.until("the papers to be done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
    }
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

pub fn caller() -> Caller {
    Caller { app: "demo".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}
pub fn sale(id: &str) -> RequestWire {
    RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    }
}
