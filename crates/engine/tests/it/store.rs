//! The disk under the engine: commits that fail, a journal that is damaged, a disk that is full.
use crate::rig::{CARD, OPENING, Rig, SOON, caller, sale};
use payterm_devices::virtual_bench::When;
use payterm_engine::{Engine, Options, mishap::Part};
use payterm_schema::{Caller, Fault, RequestKey, Status, Terminal, config::Language, request::RequestWire};
use payterm_simulator::Mishap;
use payterm_vault::SealingKey;
use std::{
    fs::File,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The customer is asked before the request is on record. When that fails, what was read for it pays nothing
/// that comes next.
#[test]
fn a_card_that_was_read_for_a_request_that_never_began_pays_nothing() {
    // Without papers, whose records would come behind the outcome and meet the mishap.
    let mut rig = Rig::new(|c| (c.paper.merchant_copy, c.paper.customer_copy) = (false, false));
    rig.sale("before");
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

/// A rig whose commits wait at a gate. Warm: nothing else is on its way to the disk.
fn gated(quick: Duration) -> (Rig, Arc<Mutex<()>>) {
    let mut rig = Rig::new(|_| ());
    let gate = Arc::new(Mutex::new(()));
    let at_gate = gate.clone();
    rig.journal.before_group = Some(Arc::new(move || drop(at_gate.lock())));
    rig.journal.quick = quick;
    rig.restart();
    assert_eq!(rig.sale("warm").status, Status::Approved);
    rig.papers_done();
    (rig, gate)
}
/// A call of an app, on a thread of its own.
fn called<T: Send + 'static>(
    rig: &Rig,
    call: impl AsyncFnOnce(&dyn Terminal, &Caller) -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let (t, me) = (rig.t(), caller());
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(call(&*t, &me))
    })
}
fn started(rig: &Rig, wire: RequestWire) -> std::thread::JoinHandle<RequestKey> {
    called(rig, async move |t, me| t.start(me, wire.try_into().unwrap()).await.unwrap())
}

/// The customer is done before the disk is: nothing was told or sent meanwhile. On a quick disk, too, the
/// terminal's own thread is not the one that waits for it.
#[test]
fn the_card_is_read_and_the_pin_typed_while_the_disk_syncs() {
    for quick in [Duration::ZERO, Duration::MAX] {
        let (mut rig, gate) = gated(quick);
        let frames = rig.acquirer.stats().frames;
        let shut = gate.lock().unwrap();
        let begun = started(&rig, sale("during"));
        rig.swipe_and_pin();
        rig.virtuals().wait_screen("12.34", SOON).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(!begun.is_finished(), "answered before it is on disk");
        assert_eq!(rig.acquirer.stats().frames, frames, "a frame of what is not on disk");
        drop(shut);
        let key = begun.join().unwrap();
        assert_eq!(rig.end(&key, false).status, Status::Approved);
        assert_eq!(rig.balance(), OPENING - 2 * 1234);
    }
}

/// The next payment begins while the end of the one before is on its way to the disk: the page of that end
/// is not drawn over the next one's prompt.
#[test]
fn a_prompt_does_not_overtake_what_is_to_be_seen_before() {
    // The writer's thread writes, also on a quick disk.
    let (mut rig, gate) = gated(Duration::ZERO);
    let first = rig.begin_patiently(sale("first"));
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    let shut = gate.lock().unwrap();
    let ends = called(&rig, async move |t, me| t.cancel(me, &first).await.unwrap());
    std::thread::sleep(Duration::from_millis(300));
    let begins = started(&rig, RequestWire { amount: Some("56.78".into()), ..sale("next") });
    std::thread::sleep(Duration::from_millis(300));
    drop(shut);
    ends.join().unwrap();
    let next = begins.join().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let shown = rig.virtuals().screen().unwrap();
    assert!(shown.iter().any(|l| l.contains("56.78")), "{shown:#?}");
    rig.swipe_and_pin();
    assert_eq!(rig.end(&next, false).status, Status::Approved);
}

/// Whoever cancels, while the disk is at the start and at a page that is to be seen: no PIN is typed for a
/// payment that is over, and an app that knows its id need not wait for the disk.
#[test]
fn a_pin_that_is_no_more_wanted_is_no_more_asked_for() {
    for by_app in [false, true] {
        let (mut rig, gate) = gated(Duration::ZERO);
        let shut = gate.lock().unwrap();
        let begun = started(&rig, sale("during"));
        rig.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let speaks = called(&rig, async |t, me| t.set_language(me, Language::ZhCn).await.unwrap());
        std::thread::sleep(Duration::from_millis(300));
        let key = RequestKey { app: "demo".into(), id: "during".into() };
        let cancels = by_app.then(|| {
            let key = key.clone();
            called(&rig, async move |t, me| t.cancel(me, &key).await.unwrap())
        });
        if !by_app {
            rig.virtuals().key("cancel", When::Now).unwrap();
        }
        std::thread::sleep(Duration::from_millis(300));
        assert!(rig.virtuals().pin("123456", When::Now).is_err(), "by the app: {by_app}");
        drop(shut);
        begun.join().unwrap();
        speaks.join().unwrap();
        cancels.into_iter().for_each(|c| c.join().unwrap());
        assert_eq!(rig.end(&key, true).status, Status::Cancelled);
        assert_eq!(rig.balance(), OPENING - 1234);
    }
}

/// Two callers ask at once, on a disk on which the machine waits for each commit itself: the second one's
/// commit does not hold up the first one's answer.
#[test]
fn an_answer_leaves_before_the_next_commit_begins() {
    let mut rig = Rig::new(|_| ());
    rig.virtuals = None;
    rig.up.take().unwrap().stop();
    let log = Arc::new(Mutex::new(Vec::new()));
    let at_store = log.clone();
    let options = Options {
        journal: payterm_journal::Options {
            quick: Duration::MAX,
            before_group: Some(Arc::new(move || at_store.lock().unwrap().push("commit"))),
            ..Default::default()
        },
        ..Options::default()
    };
    let key = SealingKey::from_file(rig.config.vault.key_file.as_ref().unwrap()).unwrap();
    actix::System::new().block_on(async {
        let engine = Engine::start(rig.config.clone(), key, options).await.unwrap();
        let rest = |log: &Mutex<Vec<_>>| log.lock().unwrap().len();
        // Until what a start commits is committed.
        let mut before = 0;
        while std::mem::replace(&mut before, rest(&log)) != rest(&log) || rest(&log) == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        log.lock().unwrap().clear();
        let call = |language| {
            let (terminal, log) = (engine.terminal(), log.clone());
            tokio::spawn(async move {
                terminal.set_language(&caller(), language).await.unwrap();
                log.lock().unwrap().push("answer");
            })
        };
        for called in [call(Language::ZhCn), call(Language::En)] {
            called.await.unwrap();
        }
        engine.close().await;
    });
    assert_eq!(log.lock().unwrap()[..4], ["commit", "answer", "commit", "answer"]);
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

/// The acquirer answers with an RRN that the journal knows for another payment.
#[test]
fn an_answer_that_bears_the_rrn_of_another_payment_is_of_another() {
    let mut rig = Rig::new(|_| ());
    let log = rig.dir.path().join("log");
    rig.log = Some(File::create(&log).unwrap());
    rig.restart();
    let rrns = ["one", "two"].map(|id| rig.sale(id).rrn.unwrap().parse::<u64>().unwrap());
    let next = format!("{:012}", 2 * rrns[1] - rrns[0]);
    let db = rusqlite::Connection::open(rig.state().join("journal.db")).unwrap();
    db.busy_timeout(SOON).unwrap();
    assert_eq!(db.execute("UPDATE txn SET rrn = ?1 WHERE id = 'one'", [next]).unwrap(), 1);
    drop(db);
    let end = rig.sale("three");
    assert_eq!((end.status, end.reason.unwrap().code.as_str()), (Status::Unknown, "answer-of-another"));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("that is on record instead") && !log.contains("the store failed"), "{log}");
    let refused = || rig.begin(sale("four"));
    rig.until("payments are stopped", |_| matches!(refused(), Err(Fault::JournalRestored { .. })));
    let (t, me) = (rig.t(), caller());
    let owed = rig.runtime.block_on(t.obligations(&me)).unwrap();
    assert_eq!(owed.len(), 1, "{owed:?}");
    assert_eq!(rig.balance(), OPENING - 3 * 1234, "a reversal has left");
}
