//! An activated terminal builds itself anew in its process: with its accounts, behind the same front door.
use crate::rig::{Rig, SOON, caller, sale};
use futures_util::StreamExt;
use payterm_schema::{
    Fault, Notice, RequestKey, Status,
    config::TmsConfig,
    onboarding::{Draft, Product, Stage, Step},
    page::Printable,
    paper::PaperState,
    terminal::Filter,
};
use payterm_simulator::{
    control::{self, Command},
    tms::{self, Decision},
};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Prefix of the devices of the test that counts their threads: other tests of this process have others.
const COUNTED: &str = "re-";

fn acquirer(dir: &Path) -> PathBuf {
    dir.join("acquirer")
}

/// A terminal without an account, whose acquirer has a terminal management.
fn rig(devices: &'static str) -> Rig {
    let options = |dir: &Path| payterm_simulator::Options {
        state: Some(acquirer(dir)),
        tms: Some("127.0.0.1:0".parse().unwrap()),
        ..payterm_simulator::Options::fast()
    };
    Rig::at(options, |config, running| {
        config.accounts.clear();
        config.devices.iter_mut().for_each(|d| d.name.insert_str(0, devices));
        let url = format!("https://{}", running.addr("tms").unwrap());
        let text = format!("url = \"{url}\"\nca = \"\"\nsigning_key = \"\"\npoll_ms = 500\nretry_ms = 200\n");
        let mut management: TmsConfig = toml::from_str(&text).unwrap();
        let files = tms::dir(&acquirer(config.store.dir.parent().unwrap()));
        management.ca = files.join("ca.pem");
        management.signing_key = files.join("signing.pem");
        config.tms = Some(management);
    })
}

fn draft() -> Draft {
    let s = String::from;
    Draft {
        name: s("Corner shop"),
        legal_name: s("Corner Shop Ltd"),
        licence: s("91310000MA1FL0AA0X"),
        address: s("1 Renmin Road"),
        city: s("Shanghai"),
        category: s("5411"),
        contact: s("Wang"),
        phone: s("021-55550000"),
        email: None,
        products: vec![Product::Card],
    }
}

impl Rig {
    fn apply(&self, step: Step) {
        let (t, me) = (self.t(), caller());
        self.runtime
            .block_on(async { tokio::time::timeout(SOON, t.apply(&me, step)).await })
            .unwrap()
            .unwrap();
    }
    fn stage(&self) -> Option<(String, Stage)> {
        let (t, me) = (self.t(), caller());
        let shown = self.runtime.block_on(t.onboarding(&me)).unwrap();
        shown.onboarding.map(|o| (o.id, o.stage))
    }
    fn reach(&self, wanted: Stage) -> String {
        self.until("the stage", |r| r.stage().is_some_and(|(_, stage)| stage == wanted));
        self.stage().unwrap().0
    }
    /// Up to the acquirer's yes.
    fn approved(&self) {
        self.apply(Step::Draft(Box::new(draft())));
        let (t, me) = (self.t(), caller());
        let hash = self.runtime.block_on(t.offer(&me)).unwrap().hash;
        self.apply(Step::Accept { hash });
        self.apply(Step::Submit);
        let id = self.reach(Stage::InReview);
        let decision = Decision::Approve { account: None };
        control::send(&acquirer(self.dir.path()), &Command::Decide { id, decision }).unwrap();
        self.reach(Stage::Approved);
    }
}

/// Does something again and again beside the test, until it is dropped; how often comes from
/// [`Beside::done`].
struct Beside {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}
impl Beside {
    fn new(mut act: impl FnMut() + Send + 'static) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let mut times = 0;
            while !ends.load(Ordering::SeqCst) {
                act();
                times += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            times
        });
        Self { over, thread }
    }
    fn done(self) -> u32 {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Threads that serve devices of that prefix now.
fn drivers() -> usize {
    let name = format!("dev-{COUNTED}");
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|c| c.starts_with(&name)))
        .count()
}

#[test]
fn an_activated_terminal_sells_behind_the_same_object() {
    let mut rig = rig(COUNTED);
    let (t, me) = (rig.t(), caller());
    let mut notices = t.notices();
    assert_eq!(rig.begin(sale("early")), Err(Fault::NotActivated));
    rig.approved();
    rig.papers_done();

    // A paper that waits for its printer, and who waits for it.
    rig.virtuals().printer_online(false).unwrap();
    let page = Printable::parse(r#"{"page":{"lines":[{"type":"text","text":"table 4"}]}}"#).unwrap();
    rig.runtime.block_on(t.print(&me, "p1".into(), page)).unwrap();
    let (own, caller_of_paper) = (t.clone(), me.clone());
    let paper = std::thread::spawn(move || {
        let key = RequestKey::new(&caller_of_paper.app, "p1").unwrap();
        let printed = async { tokio::time::timeout(SOON, own.paper(&caller_of_paper, &key, true)).await };
        runtime().block_on(printed).unwrap().map(|p| p.state)
    });
    // Who asks meanwhile is answered, or told to ask again; nobody else gets the state directory.
    let (own, asker, run) = (t.clone(), me.clone(), runtime());
    let asked = Beside::new(move || match run.block_on(own.list(&asker, Filter::default())) {
        Ok(_) | Err(Fault::Restarting { .. }) => {}
        Err(fault) => panic!("{fault}"),
    });
    let state = rig.state();
    let locked = Beside::new(move || assert!(payterm_journal::hold(&state).is_err(), "the state was free"));

    rig.apply(Step::Activate);
    let info = |rig: &Rig| rig.runtime.block_on(rig.t().info());
    rig.until("the account", |r| info(r).is_ok_and(|i| !i.accounts.is_empty()));
    let devices = rig.config.devices.len();
    assert!(drivers() <= devices, "{} drivers of {devices} devices", drivers());
    assert_eq!(info(&rig).unwrap().accounts[0].as_str(), "cup2");
    assert!(Arc::ptr_eq(&t, &rig.t()));
    rig.until("the sign-in", |r| r.runtime.block_on(t.totals(&me)).is_ok_and(|t| t[0].signed_in));
    let sold = rig.sale("first");
    assert_eq!((sold.status, sold.place.shop.as_str()), (Status::Approved, "payterm 演示商店"));
    rig.virtuals().printer_online(true).unwrap();
    assert_eq!(paper.join().unwrap(), Ok(PaperState::Done), "who waited was answered");
    assert!(asked.done() > 10 && locked.done() > 10);

    // Who listened before hears what comes after.
    rig.runtime.block_on(async {
        let heard = async {
            while let Some(notice) = notices.next().await {
                if matches!(&notice, Notice::Outcome { outcome } if outcome.key == sold.key) {
                    return;
                }
            }
            panic!("the notices ended");
        };
        tokio::time::timeout(SOON, heard).await.unwrap();
    });

    rig.restart();
    assert_eq!(rig.sale("second").status, Status::Approved, "it stays in service");
    drop(t);
}

#[test]
fn a_terminal_that_cannot_be_built_anew_says_why() {
    let rig = rig("");
    rig.approved();
    let db = rusqlite::Connection::open(rig.state().join("journal.db")).unwrap();
    db.busy_timeout(SOON).unwrap();
    db.execute_batch("PRAGMA user_version = 2; INSERT INTO meta (key, value) VALUES ('migration_2', '0')")
        .unwrap();
    drop(db);
    rig.apply(Step::Activate);
    let why = rig.up.as_ref().unwrap().failed.recv_timeout(SOON).unwrap();
    assert!(why.contains("schema version 2"), "{why}");
    let fault = rig.runtime.block_on(rig.t().info()).unwrap_err();
    assert!(matches!(fault, Fault::WrongState { .. } | Fault::ShuttingDown), "{fault}");
}
