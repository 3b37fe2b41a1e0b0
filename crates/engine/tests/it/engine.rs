//! The whole engine in process: real sockets, the acquirer simulator, virtual devices and their control, a
//! real disk.
use payterm_devices::{
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlServer},
};
use payterm_engine::{
    Engine, Options, demo,
    mishap::{Mishaps, Part},
};
use payterm_schema::{
    Caller, DeviceState, Fault, Notice, Outcome, Request, RequestKey, Status, Terminal,
    config::{Config, Language},
    request::RequestWire,
    terminal::Filter,
};
use payterm_simulator::{Acquirer, Mishap, Running, World};
use payterm_vault::SealingKey;
use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
const CARD: &str = "6212345678900000003";
const OPENING: i64 = 1_000_000;

/// The daemon on a thread of its own; `stop` is an orderly shutdown.
struct Up {
    terminal: Arc<dyn Terminal>,
    leave: tokio::sync::oneshot::Sender<bool>,
    thread: JoinHandle<()>,
}
impl Up {
    fn start(config: Config, options: Options, log: Option<File>) -> Self {
        let (tx, rx) = mpsc::channel();
        let (leave, left) = tokio::sync::oneshot::channel();
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
                if left.await.unwrap_or(false) {
                    engine.quiet().await;
                    engine.close().await;
                }
            });
        });
        Self { terminal: rx.recv_timeout(SOON).unwrap(), leave, thread }
    }
    fn stop(self) {
        self.leave.send(true).unwrap();
        drop(self.terminal);
        self.thread.join().unwrap();
    }
}

struct Rig {
    dir: TempDir,
    acquirer: Running,
    config: Config,
    mishaps: Mishaps,
    journal: payterm_journal::Options,
    /// Where the next daemon writes its log.
    log: Option<File>,
    up: Option<Up>,
    virtuals: Option<VirtualControl>,
    runtime: tokio::runtime::Runtime,
}
impl Rig {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        if std::env::var_os("PAYTERM_TEST_LOG").is_some() {
            tracing_subscriber::fmt().with_env_filter("debug").try_init().ok();
        }
        let dir = tempfile::tempdir().unwrap();
        let acquirer = Acquirer::start(World::demo().unwrap(), payterm_simulator::Options::fast()).unwrap();
        let mut config = demo::config(0);
        config.store.dir = dir.path().join("state");
        config.terminal.language = Language::En;
        config.accounts[0].address = acquirer.addr("unionpay").unwrap().to_string();
        config.accounts[0].reply_timeout_ms = 1_500;
        config.accounts[0].obligation_backoff_ms = 200;
        config.paper.retry_ms = 200;
        change(&mut config);
        demo::prepare(&mut config).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut rig = Self {
            dir,
            acquirer,
            config,
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
    fn start(&mut self) {
        let options =
            Options { journal: self.journal.clone(), mishaps: self.mishaps.clone(), ..Options::default() };
        self.up = Some(Up::start(self.config.clone(), options, self.log.take()));
        self.virtuals = Some(VirtualControl::connect(&self.config.store.dir.join("virtual.sock")).unwrap());
    }
    fn restart(&mut self) {
        self.virtuals = None;
        self.up.take().unwrap().stop();
        self.start();
    }
    /// Put down without an orderly end.
    fn crash(&mut self) {
        self.virtuals = None;
        let up = self.up.take().unwrap();
        up.leave.send(false).unwrap();
        drop(up.terminal);
        up.thread.join().unwrap();
        // The store's own thread may hold the state a moment longer.
        self.until("the state is free", |r| demo::prepare(&mut r.config.clone()).is_ok());
        self.start();
    }
    fn t(&self) -> Arc<dyn Terminal> {
        self.up.as_ref().unwrap().terminal.clone()
    }
    fn virtuals(&mut self) -> &mut VirtualControl {
        self.virtuals.as_mut().unwrap()
    }
    fn begin(&self, r: RequestWire) -> Result<RequestKey, Fault> {
        let request = Request::try_from(r)?;
        let (t, me) = (self.t(), caller());
        self.runtime.block_on(t.start(&me, request))
    }
    /// As a caller does: the same id again while a part restarts.
    fn begin_patiently(&self, r: RequestWire) -> RequestKey {
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
    fn end(&self, key: &RequestKey, final_only: bool) -> Outcome {
        let (t, me) = (self.t(), caller());
        self.runtime.block_on(async {
            tokio::time::timeout(SOON, t.wait(&me, key, final_only)).await.unwrap().unwrap()
        })
    }
    fn swipe_and_pin(&mut self) {
        self.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
        self.virtuals().pin("123456", When::Within(SOON)).unwrap();
    }
    fn sale(&mut self, id: &str) -> Outcome {
        let key = self.begin_patiently(sale(id));
        self.swipe_and_pin();
        self.end(&key, false)
    }
    fn balance(&self) -> i64 {
        self.acquirer.balance("card:alice").unwrap()
    }
    /// Waits until it holds.
    fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let by = Instant::now() + SOON;
        while !holds(self) {
            assert!(Instant::now() < by, "not in time: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// That they are out is on record: the next commit is another one's.
    fn papers_done(&self) {
        let (t, me) = (self.t(), caller());
        self.until("the papers to be done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
    }
    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }
}

fn caller() -> Caller {
    Caller { app: "demo".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}
fn sale(id: &str) -> RequestWire {
    RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    }
}

#[test]
fn a_sale_is_approved_printed_and_recalled_after_a_restart() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("a1");
    assert_eq!((o.status, o.sums.amount), (Status::Approved, Some(1234)), "{o:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers[0].contains("12.34") && papers[0].contains("621234*********0003"), "{}", papers[0]);
    // The same id again meets the same transaction; with other content it is a fault.
    assert_eq!(rig.begin(sale("a1")).unwrap().id, "a1");
    let other = RequestWire { amount: Some("99.00".into()), ..sale("a1") };
    assert!(matches!(rig.begin(other), Err(Fault::KeyReused { .. })));
    let before = o;
    rig.restart();
    let again = rig.end(&before.key, true);
    assert_eq!(again, before);
    assert_eq!(rig.begin(sale("a1")).unwrap().id, "a1");
    let (t, me) = (rig.t(), caller());
    let explained = rig.runtime.block_on(t.explain(&me, &before.key)).unwrap();
    assert_eq!(explained.slips.len(), 2);
    assert!(explained.entries.iter().any(|e| e.record["request"]["answered"].is_object()));
    let totals = rig.runtime.block_on(t.totals(&me)).unwrap();
    assert_eq!((totals[0].debit_count, totals[0].debit.as_str(), totals[0].signed_in), (1, "12.34", true));
    assert_eq!(rig.balance(), OPENING - 1234, "nothing was sent again");
}

#[test]
fn a_lost_reply_is_unknown_then_reversed_and_final() {
    let mut rig = Rig::new(|_| ());
    let first = rig.sale("first");
    assert_eq!(first.status, Status::Approved, "{first:?}");
    rig.acquirer.mishaps().next(Mishap::DropReply).unwrap();
    let o = rig.sale("lost");
    assert_eq!(o.status, Status::Unknown, "{o:?}");
    let end = rig.end(&o.key, true);
    assert_eq!(end.status, Status::Declined, "{end:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
}

#[test]
fn another_app_sees_nothing() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("mine");
    let other = Caller { app: "other".into(), manager: false, ..caller() };
    let t = rig.t();
    rig.runtime.block_on(async {
        assert!(matches!(t.recall(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert!(matches!(t.cancel(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert!(matches!(t.explain(&other, &o.key).await, Err(Fault::NotFound { .. })));
        assert_eq!(t.list(&other, Filter::default()).await.unwrap(), []);
        assert!(matches!(
            t.list(&other, Filter { app: Some("demo".into()), ..Filter::default() }).await,
            Err(Fault::NotAllowed { .. })
        ));
        let limited = Caller { limit: Some(1000), ..caller() };
        assert!(matches!(
            t.start(&limited, Request::try_from(sale("big")).unwrap()).await,
            Err(Fault::NotAllowed { .. })
        ));
        assert!(matches!(
            t.list(&caller(), Filter { limit: Some(0), ..Filter::default() }).await,
            Err(Fault::Invalid { .. })
        ));
    });
}

#[test]
fn a_request_is_cancelled_while_the_card_is_asked_for() {
    let mut rig = Rig::new(|_| ());
    let key = rig.begin_patiently(sale("c"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let (t, me) = (rig.t(), caller());
    let now = rig.runtime.block_on(t.recall(&me, &key)).unwrap();
    assert!(now.can_cancel, "{now:?}");
    rig.runtime.block_on(t.cancel(&me, &key)).unwrap();
    assert_eq!(rig.end(&key, true).status, Status::Cancelled);
    // The outcome is told first, the reader is put to rest beside it.
    std::thread::sleep(Duration::from_millis(300));
    assert!(rig.virtuals().swipe(CARD, "3012", When::Now).is_err(), "the reader is idle again");
}

/// The daemon goes on after a panic in each kind of actor, and the requests are recalled right.
#[test]
fn a_panic_in_the_store_fails_the_request_and_the_next_one_works() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.virtuals().wait_papers(2, SOON).unwrap();
    rig.mishaps.plant(Part::Store, 1);
    let failed = rig.begin(sale("during"));
    assert!(matches!(&failed, Err(Fault::StoreFailed { id, .. }) if id == "during"), "{failed:?}");
    let o = rig.sale("during");
    assert_eq!(o.status, Status::Approved, "{o:?}");
    assert_eq!(rig.balance(), OPENING - 2 * 1234);
}

/// The screen and the papers of an outcome come behind it; the next request is asked before its record is
/// there. Its screen stands all the same.
#[test]
fn the_next_customer_sees_the_next_amount() {
    let mut rig = Rig::new(|_| ());
    for n in 0..5 {
        let key = rig.begin_patiently(sale(&format!("first-{n}")));
        rig.swipe_and_pin();
        rig.end(&key, false);
        let next =
            rig.begin_patiently(RequestWire { amount: Some("55.00".into()), ..sale(&format!("next-{n}")) });
        rig.virtuals().wait_screen("55.00", SOON).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        rig.virtuals().wait_screen("55.00", Duration::from_millis(1)).expect("the one before stands over it");
        rig.swipe_and_pin();
        assert_eq!(rig.end(&next, false).status, Status::Approved);
    }
}

/// The customer is asked before the request is on record. When that fails, what was read for it pays nothing
/// that comes next.
#[test]
fn a_card_that_was_read_for_a_request_that_never_began_pays_nothing() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.virtuals().wait_papers(2, SOON).unwrap();
    rig.papers_done();
    rig.virtuals().swipe(CARD, "3012", When::Queue).unwrap();
    // Meanwhile it is read.
    rig.mishaps.plant_slow(Part::Store, 1, Duration::from_millis(500));
    let failed = rig.begin(sale("during"));
    assert!(matches!(&failed, Err(Fault::StoreFailed { .. })), "{failed:?}");
    let key = rig.begin_patiently(sale("after"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    assert!(
        rig.virtuals().pin("123456", When::Within(Duration::from_millis(300))).is_err(),
        "nobody has given a card for this one"
    );
    assert_eq!(rig.balance(), OPENING - 1234);
    rig.swipe_and_pin();
    assert_eq!(rig.end(&key, false).status, Status::Approved);
    assert_eq!(rig.balance(), OPENING - 2 * 1234);
}

#[test]
fn a_store_that_fails_before_the_frame_lets_no_frame_out() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.virtuals().wait_papers(2, SOON).unwrap();
    rig.papers_done();
    let key = rig.begin_patiently(sale("during"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let frames = rig.acquirer.stats().frames;
    rig.mishaps.plant(Part::Store, 1);
    rig.swipe_and_pin();
    let end = rig.end(&key, true);
    assert_eq!(end.status, Status::Failed, "{end:?}");
    assert_eq!((rig.balance(), rig.acquirer.stats().frames), (OPENING - 1234, frames));
    assert_eq!(rig.sale("after").status, Status::Approved);
}

/// The journal can be read each time, and takes nothing: each try comes later than the one before, until a
/// commit works.
#[test]
fn a_store_that_fails_at_each_commit_is_tried_ever_less_often() {
    let mut rig = Rig::new(|_| ());
    let log = rig.dir.path().join("daemon.log");
    rig.log = Some(File::create(&log).unwrap());
    rig.restart();
    rig.sale("before");
    rig.virtuals().wait_papers(2, SOON).unwrap();
    let journal = rig.state().join("journal.db");
    let sql = |text: &str| {
        let db = rusqlite::Connection::open(&journal).unwrap();
        db.busy_timeout(SOON).unwrap();
        db.execute_batch(text).unwrap();
    };
    let rebuilt =
        || std::fs::read_to_string(&log).unwrap().matches("the terminal is rebuilt from disk").count();
    let plant = "CREATE TRIGGER planted BEFORE INSERT ON record BEGIN SELECT RAISE(ABORT, 'planted'); END";

    sql(plant);
    assert!(matches!(rig.begin(sale("during")), Err(Fault::StoreFailed { .. })));
    // At once, then after 100, 200, 400, 800 and 1,600 ms.
    std::thread::sleep(Duration::from_millis(2_000));
    let tries = rebuilt();
    assert!((3..=6).contains(&tries), "{tries} in two seconds");
    sql("DROP TRIGGER planted");
    assert_eq!(rig.sale("during").status, Status::Approved);

    // A commit has worked: the waits begin anew, where the next one would have been of more than three
    // seconds.
    sql(plant);
    let (before, began) = (rebuilt(), Instant::now());
    assert!(matches!(rig.begin(sale("again")), Err(Fault::StoreFailed { .. })));
    rig.until("three tries", |_| rebuilt() >= before + 3);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    sql("DROP TRIGGER planted");
    assert_eq!(rig.sale("again").status, Status::Approved);
    assert_eq!(rig.balance(), OPENING - 3 * 1234);
}

/// Each commit's answer frees what waits for it and for those before it, and only its own answer knows the
/// head of its outcome: a paper is on its way to the disk before the outcome, and another one behind it.
#[test]
fn an_outcome_is_told_with_its_head_however_many_commits_wait() {
    let mut rig = Rig::new(|_| ());
    let gate = Arc::new(Mutex::new(()));
    let at_gate = gate.clone();
    rig.journal = payterm_journal::Options {
        // The writer's thread writes, also on a quick disk.
        quick: Duration::ZERO,
        before_group: Some(Arc::new(move || drop(at_gate.lock()))),
        ..Default::default()
    };
    rig.restart();
    assert!(rig.sale("warm").journal.is_some());
    rig.papers_done();
    rig.acquirer.mishaps().next(Mishap::LateReply { ms: 1_000 }).unwrap();
    let key = rig.begin_patiently(sale("a"));
    let (t, me, own) = (rig.t(), caller(), key.clone());
    let waits = std::thread::spawn(move || {
        let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        run.block_on(async { tokio::time::timeout(SOON, t.wait(&me, &own, true)).await.unwrap().unwrap() })
    });
    rig.swipe_and_pin();
    rig.virtuals().wait_screen("bank", SOON).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let shut = gate.lock().unwrap();
    let language = |language| {
        let (t, me) = (rig.t(), caller());
        std::thread::spawn(move || {
            let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            run.block_on(t.set_language(&me, language)).unwrap();
        })
    };
    let before = language(Language::ZhCn);
    std::thread::sleep(Duration::from_millis(1_500));
    let behind = language(Language::En);
    std::thread::sleep(Duration::from_millis(300));
    drop(shut);
    let told = waits.join().unwrap();
    before.join().unwrap();
    behind.join().unwrap();
    assert!(told.journal.is_some(), "{told:?}");
    assert_eq!(told.journal, rig.end(&key, true).journal);
}

/// Told again after a rebuild, listed and recalled: the same head.
#[test]
fn an_outcome_that_is_told_again_has_its_head() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("a");
    rig.papers_done();
    let mut notices = rig.t().notices();
    rig.mishaps.plant(Part::Terminal, 1);
    let (t, me) = (rig.t(), caller());
    rig.runtime.block_on(t.set_language(&me, Language::ZhCn)).ok();
    let again = rig.runtime.block_on(async {
        loop {
            match tokio::time::timeout(SOON, futures_util::StreamExt::next(&mut notices)).await.unwrap() {
                Some(Notice::Outcome { outcome }) => break outcome,
                Some(_) => {}
                None => panic!("the notices ended"),
            }
        }
    });
    assert!(o.journal.is_some());
    assert_eq!((again.key.clone(), &again.journal), (o.key.clone(), &o.journal));
    let listed = rig.runtime.block_on(rig.t().list(&caller(), Filter::default())).unwrap();
    assert_eq!(listed[0].journal, o.journal);
}

#[test]
fn a_panic_in_the_terminal_rebuilds_it_from_disk() {
    let mut rig = Rig::new(|_| ());
    let o = rig.sale("before");
    let key = rig.begin_patiently(sale("during"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    rig.mishaps.plant(Part::Terminal, 1);
    rig.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
    let end = rig.end(&key, true);
    assert_eq!(end.status, Status::Failed, "{end:?}");
    assert_eq!(rig.end(&o.key, true), o);
    assert_eq!(rig.sale("after").status, Status::Approved);
    assert_eq!(rig.balance(), OPENING - 2 * 1234);
}

#[test]
fn a_panic_in_the_host_link_before_the_frame_is_not_sent() {
    let mut rig = Rig::new(|_| ());
    rig.sale("before");
    rig.mishaps.plant(Part::HostLink, 1);
    let o = rig.sale("during");
    assert_eq!(o.status, Status::Failed, "{o:?}");
    assert_eq!(o.reason.map(|r| r.code), Some("not-sent".into()));
    assert_eq!(rig.balance(), OPENING - 1234);
    let after = rig.sale("after");
    assert_eq!(after.status, Status::Approved, "{after:?}");
}

#[test]
fn a_panic_in_the_spooler_loses_no_paper() {
    let mut rig = Rig::new(|_| ());
    rig.mishaps.plant(Part::Spooler, 1);
    assert_eq!(rig.sale("a").status, Status::Approved);
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers[0].contains("DUPLICATE"), "whether it was printed was not known: {}", papers[0]);
    assert!(!papers[1].contains("DUPLICATE"), "{}", papers[1]);
}

#[test]
fn a_panic_in_a_device_or_its_driver_is_mended() {
    let mut rig = Rig::new(|_| ());
    let key = rig.begin_patiently(sale("a"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let reader = |r: &Rig| {
        r.runtime.block_on(r.t().devices()).unwrap().into_iter().find(|d| d.name == "swipe").unwrap()
    };
    rig.virtuals().panic("swipe").unwrap();
    rig.until("the reader is back", |r| reader(r).restarts == 1 && reader(r).state == DeviceState::Idle);
    rig.swipe_and_pin();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
    rig.mishaps.plant(Part::Device, 1);
    assert_eq!(rig.sale("b").status, Status::Approved);
    let restarts: u32 = rig.runtime.block_on(rig.t().devices()).unwrap().iter().map(|d| d.restarts).sum();
    assert_eq!(restarts, 2);
}

#[test]
fn a_driver_that_hangs_is_abandoned_and_nobody_else_waits() {
    let mut rig = Rig::new(|c| c.devices.iter_mut().for_each(|d| d.command_timeout_ms = 100));
    assert_eq!(rig.sale("before").status, Status::Approved);
    rig.virtuals().hang("swipe", Duration::from_secs(60)).unwrap();
    let key = rig.begin_patiently(sale("a"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    // The scanner is armed at once; the reader works again with a new driver.
    rig.until("the reader was given up", |r| {
        r.runtime.block_on(r.t().devices()).unwrap().iter().any(|d| d.name == "swipe" && d.restarts == 1)
    });
    rig.swipe_and_pin();
    assert_eq!(rig.end(&key, true).status, Status::Approved);
}

#[test]
fn a_printer_out_of_paper_holds_up_nothing() {
    let mut rig = Rig::new(|_| ());
    rig.virtuals().paper_out(true).unwrap();
    assert_eq!(rig.sale("a").status, Status::Approved);
    let (t, me) = (rig.t(), caller());
    let jobs = rig.runtime.block_on(t.papers(&me)).unwrap();
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    rig.virtuals().paper_out(false).unwrap();
    let (_, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert!(papers.iter().all(|p| !p.contains("DUPLICATE")), "no byte of it had been sent");
    rig.until("the papers are done", |r| r.runtime.block_on(t.papers(&me)).unwrap().is_empty());
}

#[test]
fn a_restart_in_the_middle_of_a_frame_reverses_it() {
    let mut rig = Rig::new(|c| c.accounts[0].reply_timeout_ms = 60_000);
    let first = rig.sale("first");
    assert_eq!(first.status, Status::Approved, "{first:?}");
    rig.acquirer.mishaps().next(Mishap::DropReply).unwrap();
    let key = rig.begin_patiently(sale("cut"));
    rig.swipe_and_pin();
    rig.until("the bank has it", |r| r.balance() == OPENING - 2 * 1234);
    // No orderly shutdown: the terminal is torn out of its work and rebuilt.
    rig.mishaps.plant(Part::Terminal, 1);
    rig.virtuals().key("cancel", When::Within(SOON)).unwrap();
    let end = rig.end(&key, true);
    assert_eq!(end.status, Status::Declined, "{end:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
}

#[test]
fn canaries_are_nowhere_on_disk() {
    let mut rig = Rig::new(|_| ());
    assert_eq!(rig.sale("a").status, Status::Approved);
    rig.virtuals().wait_papers(2, SOON).unwrap();
    let state = rig.state();
    let bcd: Vec<u8> =
        format!("{CARD}0").as_bytes().chunks(2).map(|d| (d[0] - b'0') << 4 | (d[1] - b'0')).collect();
    let shifted: Vec<u8> =
        CARD.as_bytes()[1..].chunks(2).map(|d| (d[0] - b'0') << 4 | (d[1] - b'0')).collect();
    rig.restart();
    for file in std::fs::read_dir(&state).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for (what, needle) in [
            ("PAN", CARD.as_bytes()),
            ("packed PAN", &bcd[..9]),
            ("packed PAN", &shifted[..]),
            ("PIN", b"\"123456\""),
        ] {
            assert!(!bytes.windows(needle.len()).any(|w| w == needle), "{what} in {}", path.display());
        }
    }
}

#[test]
fn an_apps_paper_is_printed_once_and_a_shift_report_ends_the_shift() {
    use payterm_schema::{page::Printable, paper::PaperState, totals::Scope};
    let mut rig = Rig::new(|_| {});
    let page = |text: &str| {
        Printable::parse(&format!(r#"{{"page":{{"lines":[{{"type":"text","text":"{text}"}}]}}}}"#)).unwrap()
    };
    let print =
        |rig: &Rig, text: &str| rig.runtime.block_on(rig.t().print(&caller(), "p1".into(), page(text)));
    let key = RequestKey::new(&caller().app, "p1").unwrap();
    let job = print(&rig, "table 4").unwrap();
    let status = rig.runtime.block_on(rig.t().paper(&caller(), &key, true)).unwrap();
    assert_eq!((status.job, status.state), (job, PaperState::Done));
    assert_eq!(print(&rig, "table 4"), Ok(job));
    assert!(matches!(print(&rig, "table 5"), Err(Fault::KeyReused { .. })));
    rig.restart();
    assert_eq!(print(&rig, "table 4"), Ok(job), "for ever");
    assert_eq!(rig.runtime.block_on(rig.t().paper(&caller(), &key, false)).unwrap().state, PaperState::Done);
    let stranger = Caller { app: "other".into(), manager: false, ..caller() };
    assert!(matches!(
        rig.runtime.block_on(rig.t().paper(&stranger, &key, false)),
        Err(Fault::NotFound { .. })
    ));
    assert!(matches!(
        rig.runtime.block_on(rig.t().report(&stranger, Scope::Batch)),
        Err(Fault::NotAllowed { .. })
    ));

    let sale = rig.begin_patiently(sale("s1"));
    rig.swipe_and_pin();
    assert_eq!(rig.end(&sale, true).status, Status::Approved);
    let report = |rig: &Rig, scope| rig.runtime.block_on(rig.t().report(&caller(), scope)).unwrap();
    let (batch, totals) =
        (report(&rig, Scope::Batch), rig.runtime.block_on(rig.t().totals(&caller())).unwrap());
    assert_eq!((batch.accounts[0].debit_count, batch.accounts[0].debit_minor), (1, totals[0].debit_minor));
    assert_eq!(report(&rig, Scope::Shift).accounts[0].rows, batch.accounts[0].rows);
    rig.runtime.block_on(rig.t().print_report(&caller(), Scope::Shift)).unwrap();
    assert!(report(&rig, Scope::Shift).accounts[0].rows.is_empty());
    rig.restart();
    assert!(report(&rig, Scope::Shift).accounts[0].rows.is_empty());
    assert_eq!(report(&rig, Scope::Batch).accounts[0].rows, batch.accounts[0].rows);
}

#[test]
fn a_drawer_opens_once_an_id_and_now_or_never() {
    use payterm_schema::{
        page::{Drawer, Printable},
        paper::PaperState,
    };
    let mut rig = Rig::new(|_| {});
    let print = |rig: &Rig, id: &str, what| rig.runtime.block_on(rig.t().print(&caller(), id.into(), what));
    let open = |rig: &Rig, id: &str| print(rig, id, Printable::Drawer(Drawer {}));
    let came = |rig: &Rig, id: &str| {
        let key = RequestKey::new(&caller().app, id).unwrap();
        rig.runtime.block_on(async {
            tokio::time::timeout(SOON, rig.t().paper(&caller(), &key, true)).await.unwrap().unwrap().state
        })
    };
    let job = open(&rig, "d1").unwrap();
    assert_eq!(came(&rig, "d1"), PaperState::Done);
    assert_eq!(open(&rig, "d1"), Ok(job));
    let page = Printable::parse(r#"{"page":{"lines":[{"type":"rule"}]}}"#).unwrap();
    assert!(matches!(print(&rig, "d1", page), Err(Fault::KeyReused { .. })));

    // A paper that waits for the printer does not hold it up; nor is it kept like one.
    rig.virtuals().printer_online(false).unwrap();
    let page = Printable::parse(r#"{"page":{"lines":[{"type":"text","text":"table 4"}]}}"#).unwrap();
    print(&rig, "p1", page).unwrap();
    let second = open(&rig, "d2").unwrap();
    assert_eq!(came(&rig, "d2"), PaperState::GivenUp);
    rig.virtuals().printer_online(true).unwrap();
    assert_eq!(came(&rig, "p1"), PaperState::Done);
    assert_eq!((open(&rig, "d2"), came(&rig, "d2")), (Ok(second), PaperState::GivenUp));
    let (total, papers) = rig.virtuals().wait_papers(2, SOON).unwrap();
    assert_eq!((total, papers[0].as_str(), papers[1].trim()), (2, "[cash drawer]\n", "table 4"));

    // At the printer when the power goes: nobody knows, and it is not done again.
    rig.virtuals().hang("printer", Duration::from_secs(2)).unwrap();
    let third = open(&rig, "d3").unwrap();
    rig.until("it is at the printer", |r| {
        let key = RequestKey::new(&caller().app, "d3").unwrap();
        r.runtime.block_on(r.t().paper(&caller(), &key, false)).unwrap().state == PaperState::Printing
    });
    let fourth = open(&rig, "d4").unwrap();
    rig.crash();
    assert_eq!(
        (open(&rig, "d3"), came(&rig, "d3"), came(&rig, "d1")),
        (Ok(third), PaperState::GivenUp, PaperState::Done)
    );
    assert_eq!(
        (open(&rig, "d4"), came(&rig, "d4")),
        (Ok(fourth), PaperState::GivenUp),
        "it waited behind the other"
    );
    assert_eq!(rig.virtuals().wait_papers(0, SOON).unwrap().0, 0, "nothing came out in this run");
}

#[test]
fn a_broken_template_is_shown_and_the_built_in_one_serves() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("payment.jinja"), "rule\n{{ no_such }}").unwrap();
    let path = dir.path().to_owned();
    let rig = Rig::new(move |c| c.paper.templates = Some(path));
    let devices = rig.runtime.block_on(rig.t().devices()).unwrap();
    let printer = devices.iter().find(|d| d.kind == payterm_schema::DeviceKind::Printer).unwrap();
    assert!(
        printer.health.contains("payment.jinja, line 2: undefined value")
            && printer.state == DeviceState::Degraded,
        "{printer:?}"
    );
}

/// The journal is torn behind the backup: what the backup has is answered as ever, what is lost is never
/// charged again, and nothing is sold before a person says that it is reconciled.
#[test]
fn a_torn_journal_is_restored_into_a_recovery_that_a_person_ends() {
    let mut rig = Rig::new(|_| ());
    let kept = rig.sale("a1");
    let backup = rig.state().join("journal.backup.db");
    rig.until("the backup after the start", |_| backup.exists());
    let lost = rig.sale("a2");
    assert_eq!((kept.status, lost.status), (Status::Approved, Status::Approved));
    rig.virtuals = None;
    rig.up.take().unwrap().stop();
    std::fs::write(rig.state().join("journal.db"), "torn".repeat(5_000)).unwrap();
    // A WAL that a reader held open would still have all of it.
    std::fs::remove_file(rig.state().join("journal.db-wal")).ok();
    rig.start();
    assert_eq!(rig.begin(sale("a1")).unwrap(), kept.key);
    assert_eq!(rig.end(&kept.key, true).status, Status::Approved);
    for (id, lost) in [("a2", true), ("a3", false)] {
        let id = String::from(id);
        let fault = if lost {
            Fault::RequestLost { id: id.clone() }
        } else {
            Fault::JournalRestored { id: id.clone() }
        };
        assert_eq!(rig.begin(sale(&id)), Err(fault));
    }
    let recalled =
        |key: &RequestKey| rig.runtime.block_on(rig.t().recall(&caller(), key)).map(|t| t.outcome.status);
    assert_eq!(
        recalled(&lost.key),
        Err(Fault::RequestLost { id: "a2".into() }),
        "charged, and not known here"
    );
    assert!(matches!(
        recalled(&RequestKey { id: "a9".into(), ..lost.key.clone() }),
        Err(Fault::NotFound { .. })
    ));
    let (t, me) = (rig.t(), caller());
    let info = rig.runtime.block_on(t.info()).unwrap();
    assert_eq!(info.screen, payterm_schema::Screen::Trouble { what: "recovering".into() });
    rig.restart();
    assert_eq!(rig.begin(sale("a3")), Err(Fault::JournalRestored { id: "a3".into() }));
    let t = rig.t();
    // Not before the acquirer was heard.
    let ended = |r: &Rig| {
        r.runtime.block_on(t.operator_session(&me, payterm_schema::OperatorRequest::EndRecovery)).is_ok()
    };
    rig.until("the sign-in, then the end of the recovery", ended);
    let next = rig.sale("a3");
    assert_eq!(next.status, Status::Approved, "{next:?}");
    assert!(
        next.stan > lost.stan && next.txn > lost.txn,
        "{:?} {:?} after {:?} {:?}",
        next.stan,
        next.txn,
        lost.stan,
        lost.txn
    );
    assert_eq!(rig.begin(sale("a2")), Err(Fault::RequestLost { id: "a2".into() }), "for ever");
    assert_eq!(rig.balance(), OPENING - 3 * 1234, "each charged once");
    let names = std::fs::read_dir(rig.state())
        .unwrap()
        .flatten()
        .map(|f| f.file_name().to_string_lossy().into_owned());
    // The file, and what lay beside it (-wal, -shm).
    let aside: Vec<_> = names.filter(|n| n.starts_with("journal.damaged-")).collect();
    assert_eq!(aside.iter().filter(|n| n.ends_with(".db")).count(), 1, "put aside, not deleted: {aside:?}");
}

/// The full check finds what no start looks at: nothing new begins, the daemon stays up and says why.
#[test]
fn a_check_that_fails_stops_new_payments_only() {
    let mut rig = Rig::new(|_| ());
    let kept = rig.sale("a1");
    rig.virtuals = None;
    rig.up.take().unwrap().stop();
    let db = rusqlite::Connection::open(rig.state().join("journal.db")).unwrap();
    db.execute_batch("UPDATE txn SET outcome = replace(outcome, 'approved', 'declined') WHERE txn = 1")
        .unwrap();
    drop(db);
    rig.start();
    let (t, damaged) = (rig.t(), payterm_schema::Screen::Trouble { what: "journal-damaged".into() });
    rig.until("the check after the start", |r| r.runtime.block_on(t.info()).unwrap().screen == damaged);
    assert!(matches!(rig.begin(sale("a2")), Err(Fault::JournalDamaged { .. })));
    drop(t);
    rig.restart();
    // The next start put it back; what was approved is approved.
    assert_eq!(rig.begin(sale("a3")), Err(Fault::JournalRestored { id: "a3".into() }));
    assert_eq!(rig.end(&kept.key, true).status, Status::Approved);
}

/// A query meets it before the check does, maybe while the daemon comes up: the next start restores.
#[test]
fn a_query_that_meets_damage_has_the_next_start_restore() {
    let mut rig = Rig::new(|_| ());
    let kept = rig.sale("a1");
    rig.virtuals = None;
    rig.up.take().unwrap().stop();
    let db = rusqlite::Connection::open(rig.state().join("journal.db")).unwrap();
    db.execute_batch("UPDATE txn SET outcome = 'torn' WHERE txn = 1").unwrap();
    drop(db);
    rig.start();
    let (t, me) = (rig.t(), caller());
    assert!(rig.runtime.block_on(t.list(&me, Default::default())).is_err());
    assert!(rig.state().join("journal.suspect").exists());
    let damaged = payterm_schema::Screen::Trouble { what: "journal-damaged".into() };
    rig.until("payments to be stopped", |r| r.runtime.block_on(t.info()).unwrap().screen == damaged);
    drop(t);
    rig.restart();
    assert_eq!(rig.begin(sale("a2")), Err(Fault::JournalRestored { id: "a2".into() }));
    assert_eq!(rig.end(&kept.key, true).status, Status::Approved);
}

#[test]
fn a_full_disk_refuses_new_payments_by_name() {
    let mut rig = Rig::new(|_| ());
    assert_eq!(rig.sale("a1").status, Status::Approved);
    rig.config.store.free_mib = 1 << 31;
    rig.restart();
    assert!(matches!(rig.begin(sale("a2")), Err(Fault::DiskFull { .. })));
    assert_eq!(rig.begin(sale("a1")).unwrap().id, "a1", "what is known is answered");
    rig.config.store.free_mib = 1;
    rig.restart();
    assert_eq!(rig.sale("a2").status, Status::Approved);
}
