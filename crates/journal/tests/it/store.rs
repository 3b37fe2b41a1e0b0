//! The store against a real disk: group commit, failures, reopening, modes, the projection.
use payterm_journal::{Commit, Loaded, Options, Store, StoreError};
use payterm_schema::{
    Entry, Kind, Outcome, Record, Request, RequestKey, RequestRecord, Status, TerminalRecord, Time,
    request::RequestWire, terminal::Filter,
};
use payterm_vault::{KeyedHash, SealingKey};
use serde_json::json;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

fn booted(seq: u64) -> Entry {
    Entry {
        seq,
        at: Time(1_000 + seq as i64),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "test".into() }),
    }
}
/// A page is full of two of them.
fn booted_long(seq: u64) -> Entry {
    Entry { record: Record::Terminal(TerminalRecord::Booted { version: "x".repeat(1_500) }), ..booted(seq) }
}
fn commit(records: Vec<Entry>) -> Commit {
    Commit { records, ..Commit::default() }
}
fn key() -> KeyedHash {
    SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE)
}
fn open_with(dir: &Path, options: Options) -> Result<(Store, Loaded), StoreError> {
    // A program that another test begins holds a copy of the lock between its fork and its exec.
    let held = (0..200).find_map(|_| match payterm_journal::hold(dir) {
        Err(StoreError::StateInUse(_)) => {
            std::thread::sleep(Duration::from_millis(5));
            None
        }
        held => Some(held),
    });
    Store::open(held.unwrap_or_else(|| payterm_journal::hold(dir))?, dir, key(), options)
}
fn open(dir: &Path) -> (Store, Loaded) {
    open_with(dir, Options::default()).unwrap()
}
fn put(store: &Store, c: Commit) -> Result<u64, StoreError> {
    store.commit(c).blocking_recv().unwrap_or(Err(StoreError::Stopped)).map(|d| d.head.seq)
}
fn wait<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
}

fn view(txn: u64, id: &str, status: &str) -> Outcome {
    serde_json::from_value(json!({
        "app": "pos", "id": id, "txn": txn, "kind": "sale", "status": status, "currency": "CNY", "amount": "12.34", "started": 1_000 + txn,
        "place": {"shop": "s", "address": "", "city": ""}, "operator": "01", "test": true,
    }))
    .unwrap()
}
fn started(seq: u64, txn: u64, id: &str) -> Entry {
    let wire = RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let record = Record::Request(RequestRecord::Started {
        txn,
        key: RequestKey::new("pos", id).unwrap(),
        hash: request.content_hash(),
        request: Box::new(request),
        view: view(txn, id, "running").into(),
    });
    Entry { seq, at: Time(1_000 + txn as i64), txn: Some(txn), record }
}
fn ended(seq: u64, txn: u64, id: &str) -> Entry {
    let mut outcome = view(txn, id, "approved");
    outcome.rrn = Some(format!("{txn:012}"));
    outcome.stan = payterm_schema::Stan::new(txn as u32);
    outcome.batch = payterm_schema::Batch::new(7);
    outcome.account = Some(payterm_schema::AccountId::new("main").unwrap());
    outcome.masked_pan = Some("623456******1234".into());
    outcome.ended = Some(Time(9_000));
    Entry {
        seq,
        at: Time(9_000),
        txn: Some(txn),
        record: Record::Request(RequestRecord::Outcome { outcome: outcome.into(), papers: Vec::new() }),
    }
}

#[test]
fn a_lone_commit_is_durable_and_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, loaded) = open(dir.path());
    assert_eq!((loaded.last_seq, loaded.tail.len(), loaded.snapshot), (0, 0, None));
    assert_eq!(put(&store, commit(vec![booted(1), started(2, 1, "a")])).unwrap(), 2);
    assert_eq!(put(&store, commit(vec![ended(3, 1, "a")])).unwrap(), 3);
    assert_eq!(store.counters().groups.load(Ordering::Relaxed), 2);
    store.close();
    let (_store, loaded) = open(dir.path());
    assert_eq!(loaded.tail, vec![booted(1), started(2, 1, "a"), ended(3, 1, "a")]);
}

#[test]
fn commits_that_wait_share_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let heard: Vec<_> = (1..=200).map(|seq| store.commit(commit(vec![booted(seq)]))).collect();
    let seqs: Vec<u64> = heard.into_iter().map(|h| h.blocking_recv().unwrap().unwrap().head.seq).collect();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    let groups = store.counters().groups.load(Ordering::Relaxed);
    assert!(groups < 100, "{groups} groups for 200 commits");
    assert_eq!(store.counters().commits.load(Ordering::Relaxed), 200);
}

/// Callers who are alone write themselves and hand nothing over: the writer's thread finds its moment between
/// them.
#[test]
fn the_wal_is_reserved_beside_a_caller_who_never_pauses() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        let (until, mut before) = (Instant::now() + Duration::from_secs(60), 0);
        for seq in 1.. {
            store.commit_alone(commit(vec![booted(seq)])).blocking_recv().unwrap().unwrap();
            std::thread::sleep(Duration::from_micros(100));
            let wal = std::fs::metadata(dir.path().join("journal.db-wal")).unwrap().len();
            // No commit is that long: it was reserved, and not at one of the checkpoints, by luck.
            if wal > before + (1 << 20) {
                assert!(seq < 900, "not before commit {seq}");
                break;
            }
            before = wal;
            assert!(Instant::now() < until, "{wal} bytes behind {seq} commits");
        }
    }
}

/// What nobody waits for goes with those that are expected with it; without them it is written all the same,
/// and whoever waits is not held up.
#[test]
fn what_nobody_waits_for_is_written_with_others() {
    const PAIRS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for n in 0..PAIRS {
        let one =
            store.commit(Commit { records: vec![booted(2 * n + 1)], expected_group: 2, ..Commit::default() });
        // Longer than those who were answered together are waited for.
        std::thread::sleep(Duration::from_micros(300));
        let other =
            store.commit(Commit { records: vec![booted(2 * n + 2)], expected_group: 2, ..Commit::default() });
        wait(one).unwrap().unwrap();
        wait(other).unwrap().unwrap();
    }
    let groups = store.counters().groups.load(Ordering::Relaxed);
    assert!(groups < PAIRS + PAIRS / 2, "{groups} groups for {PAIRS} pairs");
    let last = 2 * PAIRS;
    assert_eq!(
        put(&store, Commit { records: vec![booted(last + 1)], expected_group: 8, ..Commit::default() })
            .unwrap(),
        last + 1
    );
    let patient =
        store.commit(Commit { records: vec![booted(last + 2)], expected_group: 8, ..Commit::default() });
    assert_eq!(put(&store, commit(vec![booted(last + 3)])).unwrap(), last + 3);
    assert_eq!(wait(patient).unwrap().unwrap().head.seq, last + 2);
}

/// On any disk.
fn quick() -> Options {
    Options { quick: Duration::MAX, ..Options::default() }
}

/// Panics once at the next group after it was planted.
fn fail_point() -> (Option<payterm_journal::FailPoint>, Arc<AtomicBool>) {
    let planted = Arc::new(AtomicBool::new(false));
    let own = planted.clone();
    (Some(Arc::new(move || assert!(!own.swap(false, Ordering::Relaxed), "planted panic"))), planted)
}

/// The writer's thread has put the connection back and reserved the WAL.
fn at_rest() {
    std::thread::sleep(Duration::from_millis(500));
}

#[test]
fn a_lone_commit_is_written_by_its_caller() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), quick()).unwrap();
    assert!(
        store.commit_alone(commit(vec![booted(1)])).blocking_recv().unwrap().is_ok(),
        "how quick the disk is, nobody knows yet"
    );
    at_rest();
    assert_eq!(store.commit_alone(commit(vec![booted(2)])).try_recv().unwrap().unwrap().head.seq, 2);
    // Behind what was handed over before.
    let first = store.commit(commit((3..4_003).map(booted).collect()));
    let second = store.commit_alone(commit(vec![booted(4_003)]));
    assert_eq!([first, second].map(|h| h.blocking_recv().unwrap().unwrap().head.seq), [4_002, 4_003]);
    store.close();
    assert_eq!(open(dir.path()).1.last_seq, 4_003);
}

#[test]
fn a_slow_disk_is_the_writers() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { quick: Duration::ZERO, ..Options::default() }).unwrap();
    for seq in 1..=5 {
        let mut heard = store.commit_alone(commit(vec![booted(seq)]));
        assert!(heard.try_recv().is_err());
        heard.blocking_recv().unwrap().unwrap();
    }
}

/// The writer's thread looks after the WAL: in a quiet moment when enough is in it, in a shorter one at twice
/// that, and at eight times that at the latest.
#[test]
fn lone_commits_leave_checkpoints_to_the_writer() {
    const EVERY: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { checkpoint_every: EVERY, ..quick() }).unwrap();
    // What is in the WAL only is not in it.
    let copied = || dir.path().join("journal.db").metadata().unwrap().len();
    let mut seq = 0;
    // True: written here. The writer puts the connection back behind its answer: without a pause it is handed over
    // again.
    let mut alone = |pause: u64| {
        seq += 1;
        std::thread::sleep(Duration::from_millis(pause));
        let mut heard = store.commit_alone(commit(vec![booted_long(seq)]));
        match heard.try_recv() {
            Ok(done) => done.map(|_| true).unwrap(),
            Err(_) => heard.blocking_recv().unwrap().map(|_| false).unwrap(),
        }
    };
    // How quick the disk is, it does not know; then its thread has to reserve the WAL.
    alone(5);
    at_rest();
    let before = copied();
    let first: Vec<bool> = (0..=EVERY).map(|_| alone(5)).collect();
    assert_eq!(
        first.iter().filter(|here| !**here).count(),
        1,
        "told once that a checkpoint is due: {first:?}"
    );
    assert_eq!(copied(), before, "nobody was quiet");
    std::thread::sleep(Duration::from_millis(400));
    let after = copied();
    assert!(after > before, "in the quiet moment the WAL is copied back");
    // Nobody is ever quiet for 100 ms, the last time that it is waited for so long began before twice that.
    let mut until_copied = |pause: u64| {
        let before = copied();
        let more = |_: &u64| {
            alone(pause);
            copied() > before
        };
        (1..).find(more).unwrap()
    };
    let many = until_copied(5);
    assert!((2 * EVERY..2 * EVERY + 30).contains(&many), "{many}");
    // Nor for 2 ms: not later than at eight times that.
    let many = until_copied(0);
    assert!(many <= 9 * EVERY, "{many}");
    assert!(alone(5) || alone(5), "and its time has come again");
}

#[test]
fn a_lone_commit_that_fails_or_panics_ends_the_writing() {
    let dir = tempfile::tempdir().unwrap();
    let (fail_point, planted) = fail_point();
    let (store, _) = open_with(dir.path(), Options { before_group: fail_point, ..quick() }).unwrap();
    put(&store, commit(vec![started(1, 1, "a")])).unwrap();
    at_rest();
    let failed = store.commit_alone(commit(vec![started(2, 2, "a")])).blocking_recv().unwrap();
    assert!(matches!(failed, Err(StoreError::Sql { .. })), "{failed:?}");
    assert!(matches!(
        store.commit_alone(commit(vec![booted(2)])).blocking_recv().unwrap(),
        Err(StoreError::Stopped)
    ));
    assert_eq!(wait(store.reopen()).unwrap().last_seq, 1);
    put(&store, commit(vec![booted(2)])).unwrap();
    at_rest();
    planted.store(true, Ordering::Relaxed);
    assert!(store.commit_alone(commit(vec![booted(3)])).blocking_recv().is_err());
    assert!(matches!(put(&store, commit(vec![booted(3)])), Err(StoreError::Stopped)));
    assert_eq!(wait(store.reopen()).unwrap().last_seq, 2);
    assert_eq!(put(&store, commit(vec![booted(3)])).unwrap(), 3);
}

#[test]
fn a_snapshot_bounds_what_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for n in 1..=3u64 {
        put(
            &store,
            Commit {
                records: vec![booted(n)],
                snapshot: Some((n, format!("state {n}"))),
                ..Commit::default()
            },
        )
        .unwrap();
    }
    put(&store, commit(vec![booted(4)])).unwrap();
    store.close();
    let (_store, loaded) = open(dir.path());
    assert_eq!(
        (loaded.snapshot.as_deref(), loaded.tail, loaded.last_seq),
        (Some("state 3"), vec![booted(4)], 4)
    );
    let db = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    assert_eq!(db.query_row("SELECT count(*) FROM snapshot", [], |r| r.get::<_, u32>(0)).unwrap(), 2);
}

#[test]
fn a_failed_commit_fails_its_group_and_everything_until_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, commit(vec![started(1, 1, "a")])).unwrap();
    // The same request key as another transaction: UNIQUE (app, id). What shares its group, and what comes
    // after, is not written either.
    let heard: Vec<_> = [commit(vec![booted(2)]), commit(vec![started(3, 2, "a")]), commit(vec![booted(4)])]
        .map(|c| store.commit(c))
        .into_iter()
        .collect();
    let answers: Vec<_> = heard.into_iter().map(|h| h.blocking_recv().unwrap()).collect();
    assert!(matches!(answers[1], Err(StoreError::Sql { .. })), "{answers:?}");
    assert!(matches!(answers[2], Err(StoreError::Stopped | StoreError::Sql { .. })), "{answers:?}");
    assert!(matches!(put(&store, commit(vec![booted(2)])), Err(StoreError::Stopped)));
    let loaded = wait(store.reopen()).unwrap();
    let good = if answers[0].is_ok() { 2 } else { 1 };
    assert_eq!(loaded.last_seq, good);
    assert_eq!(put(&store, commit(vec![booted(good + 1)])).unwrap(), good + 1);
}

#[test]
fn a_gap_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    assert!(matches!(put(&store, commit(vec![booted(2)])), Err(StoreError::Gap { last: 0, found: 2 })));
    wait(store.reopen()).unwrap();
    assert!(matches!(
        put(&store, commit(vec![ended(1, 9, "x")])),
        Err(StoreError::Projection { seq: 1, .. })
    ));
}

#[test]
fn a_full_disk_fails_the_commit_and_leaves_the_journal_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), Options { max_pages: Some(24), ..Options::default() }).unwrap();
    let mut last = 0;
    let failed = loop {
        match put(&store, commit(vec![booted(last + 1), started(last + 2, last + 1, &format!("r{last}"))])) {
            Ok(seq) => last = seq,
            Err(e) => break e,
        }
        assert!(last < 10_000);
    };
    assert!(failed.to_string().contains("full"), "{failed}");
    store.close();
    drop(store);
    let (store, loaded) = open(dir.path());
    assert_eq!(loaded.last_seq, last);
    assert_eq!(put(&store, commit(vec![booted(last + 1)])).unwrap(), last + 1);
}

#[test]
fn a_writer_that_panicked_is_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (fail_point, planted) = fail_point();
    let (store, _) =
        open_with(dir.path(), Options { before_group: fail_point, ..Options::default() }).unwrap();
    put(&store, commit(vec![booted(1)])).unwrap();
    planted.store(true, Ordering::Relaxed);
    assert!(matches!(put(&store, commit(vec![booted(2)])), Err(StoreError::Stopped)));
    assert!(matches!(put(&store, commit(vec![booted(2)])), Err(StoreError::Stopped)));
    assert_eq!(wait(store.reopen()).unwrap().last_seq, 1);
    assert_eq!(put(&store, commit(vec![booted(2)])).unwrap(), 2);
}

#[test]
fn one_process_a_directory_and_only_its_owner_reads_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir);
    assert!(matches!(open_with(&dir, Options::default()), Err(StoreError::StateInUse(d)) if d == dir));
    put(&store, commit(vec![booted(1)])).unwrap();
    wait(store.by_txn(1)).unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for f in files {
        assert_eq!(mode(&f), 0o600, "{}", f.display());
    }
}

#[test]
fn what_is_newer_or_not_ours_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, commit(vec![booted(1)])).unwrap();
    store.close();
    drop(store);
    let change = |sql: &str| {
        rusqlite::Connection::open(dir.path().join("journal.db")).unwrap().execute_batch(sql).unwrap()
    };
    let refused = || open_with(dir.path(), Options::default()).err().unwrap().to_string();
    // A newer program has left a row for each of its migrations; the number alone is damage
    // (tests/recovery.rs).
    let schema = payterm_journal::SCHEMA;
    let rows = |to: usize| {
        (schema + 1..=to)
            .map(|n| format!("INSERT INTO meta VALUES ('migration_{n}', 'payterm 9');"))
            .collect::<String>()
    };
    change(&format!("PRAGMA user_version={}; {}", schema + 2, rows(schema + 2)));
    let why = refused();
    assert!(why.contains(&format!("schema version {} is newer than {schema}", schema + 2)), "{why}");
    change(&format!(
        "PRAGMA user_version={schema}; DELETE FROM meta WHERE value = 'payterm 9'; UPDATE record SET version=42"
    ));
    assert!(refused().contains("version 42 is newer than 3"), "{}", refused());
    change("UPDATE record SET version=3; INSERT INTO snapshot VALUES (1, 9, '{}', NULL)");
    assert!(refused().contains("snapshot 1: version 9 is newer"), "{}", refused());
    change("DELETE FROM snapshot");
    let (store, loaded) = open(dir.path());
    assert!(loaded.restored.is_none() && loaded.last_seq == 1);
    store.close();
    // Somebody else's database where no journal ever was.
    let dir = tempfile::tempdir().unwrap();
    rusqlite::Connection::open(dir.path().join("journal.db"))
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let why = open_with(dir.path(), Options::default()).err().unwrap().to_string();
    assert!(why.contains("not a payterm journal"), "{why}");
}

#[test]
fn rows_are_found_by_key_rrn_stan_and_filters() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut seq = 0;
    let mut next = || {
        seq += 1;
        seq
    };
    for txn in 1..=5 {
        let id = format!("o{txn}");
        put(&store, commit(vec![started(next(), txn, &id), ended(next(), txn, &id)])).unwrap();
    }
    put(
        &store,
        commit(vec![
            started(next(), 6, "o6"),
            Entry {
                seq: next(),
                at: Time(1),
                txn: Some(5),
                record: Record::Request(RequestRecord::Voided { txn: 5, by: 6 }),
            },
        ]),
    )
    .unwrap();
    wait(async {
        let key = RequestKey::new("pos", "o3").unwrap();
        let found = store.by_key(&key).await.unwrap().unwrap();
        let Record::Request(RequestRecord::Outcome { outcome, .. }) = ended(0, 3, "o3").record else {
            unreachable!()
        };
        let told = Outcome { journal: found.outcome.journal.clone(), ..(*outcome).clone() };
        assert_eq!((found.txn, found.outcome), (3, told));
        assert_eq!(store.by_key(&RequestKey::new("other", "o3").unwrap()).await.unwrap(), None);
        assert_eq!(store.by_rrn("000000000004").await.unwrap()[0].txn, 4);
        assert!(store.by_rrn("000000009999").await.unwrap().is_empty());
        let stan = payterm_schema::Stan::new(4).unwrap();
        let account = payterm_schema::AccountId::new("main").unwrap();
        let batch = |n| vec![(account.clone(), payterm_schema::Batch::new(n).unwrap())];
        assert_eq!(store.by_stan("pos", stan, batch(7)).await.unwrap().len(), 1);
        assert!(store.by_stan("pos", stan, batch(8)).await.unwrap().is_empty());
        assert!(store.by_txn(5).await.unwrap().unwrap().outcome.voided);
        let txns =
            |f: Filter| async { store.list(f).await.unwrap().iter().map(|o| o.txn).collect::<Vec<_>>() };
        assert_eq!(txns(Filter::default()).await, [6, 5, 4, 3, 2, 1]);
        assert_eq!(txns(Filter { limit: Some(2), before: Some(5), ..Filter::default() }).await, [4, 3]);
        assert_eq!(txns(Filter { status: Some(Status::Running), ..Filter::default() }).await, [6]);
        assert_eq!(
            txns(Filter { last4: Some("1234".into()), since: Some(Time(1_004)), ..Filter::default() }).await,
            [5, 4]
        );
        assert_eq!(txns(Filter { kind: Some(Kind::Void), ..Filter::default() }).await, [] as [u64; 0]);
        assert_eq!(txns(Filter { app: Some("other".into()), ..Filter::default() }).await, [] as [u64; 0]);
        let entries = store.entries(5).await.unwrap();
        assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), [9, 10, 12]);
    });
}

#[test]
fn sealed_values_come_and_go_with_their_commit() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, Commit { records: vec![booted(1)], seal: vec![(7, vec![1, 2, 3])], ..Commit::default() })
        .unwrap();
    assert_eq!(wait(store.sealed(7)).unwrap(), Some(vec![1, 2, 3]));
    put(&store, Commit { records: vec![booted(2)], erase: vec![7], ..Commit::default() }).unwrap();
    assert_eq!(wait(store.sealed(7)).unwrap(), None);
}

/// The body of the process that the next test counts the syncs of.
#[test]
#[ignore = "run by a_lone_commit_is_one_fdatasync under strace"]
fn child_of_the_sync_count() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, commit(vec![booted(1), booted(2)])).unwrap();
    println!("begin");
    let n = std::env::var("COMMITS").unwrap().parse::<u64>().unwrap();
    for seq in 3..3 + n {
        put(&store, commit(vec![booted(seq)])).unwrap();
    }
    std::process::exit(0);
}

#[test]
fn a_lone_commit_is_one_fdatasync() {
    let syncs = |commits: u32| {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("strace");
        let run = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fdatasync,fsync,sync_file_range", "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "store::child_of_the_sync_count", "--ignored"])
            .env("COMMITS", commits.to_string())
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        std::fs::read_to_string(log).unwrap().lines().filter(|l| l.contains("sync")).count()
    };
    assert_eq!(syncs(60) - syncs(10), 50);
}

/// Time of a lone commit against a bare SQLite durable commit of one 300-byte row, in one run; printed, not
/// judged (`make bench` judges).
#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture lone_commit_against_bare"]
fn lone_commit_against_bare() {
    const N: u64 = 2_000;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (store, _) = open(dir.path());
    let bare = rusqlite::Connection::open(dir.path().join("bare.db")).unwrap();
    bare.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)",
    )
    .unwrap();
    let (mut ours, mut theirs, mut sale) = (Vec::new(), Vec::new(), Vec::new());
    let text = "x".repeat(300);
    let version = "v".repeat(270);
    let mut seq = 0;
    for n in 0..N {
        let t = Instant::now();
        bare.prepare_cached("INSERT INTO t (x) VALUES (?1)").unwrap().execute([&text]).unwrap();
        theirs.push(t.elapsed());
        seq += 1;
        let entry = Entry {
            seq,
            at: Time(1),
            txn: Some(seq),
            record: Record::Terminal(TerminalRecord::Booted { version: version.clone() }),
        };
        let t = Instant::now();
        put(&store, commit(vec![entry])).unwrap();
        ours.push(t.elapsed());
        seq += 1;
        let entry = started(seq, n + 1, &format!("o{n}"));
        let t = Instant::now();
        put(&store, commit(vec![entry])).unwrap();
        sale.push(t.elapsed());
    }
    let median = |v: &mut Vec<Duration>| {
        v.sort();
        v[v.len() / 2]
    };
    let (o, b, s) = (median(&mut ours), median(&mut theirs), median(&mut sale));
    println!(
        "bare {b:?}, a record of 300 bytes {o:?} ({:.2}), a started request with its row {s:?} ({:.2})",
        o.as_secs_f64() / b.as_secs_f64(),
        s.as_secs_f64() / b.as_secs_f64()
    );
}

#[test]
fn health_finds_damage_a_disk_that_takes_nothing_and_the_newest_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut records = vec![booted(1)];
    for n in 1..=200 {
        records.extend([started(2 * n, n, &format!("r-{n}")), ended(2 * n + 1, n, &format!("r-{n}"))]);
    }
    // The clock was set back for the last one.
    records.push(Entry { at: Time(5_000), ..booted(402) });
    put(&store, commit(records)).unwrap();
    let sound = store.health().unwrap();
    assert!(sound.damage.is_none() && sound.write.is_none() && sound.free > 0, "{sound:?}");
    assert!(!dir.path().join("self-test.tmp").exists());
    assert_eq!(wait(store.newest()).unwrap(), Some(Time(9_000)));
    let last = wait(store.last_entries(3)).unwrap();
    assert_eq!(last.iter().map(|e| e.seq).collect::<Vec<_>>(), [400, 401, 402]);
    std::fs::create_dir(dir.path().join("self-test.tmp")).unwrap();
    assert!(store.health().unwrap().write.is_some());
    store.close();
    // Opened again, all of it is in the database file; then a page of it rots.
    let (store, _) = open(dir.path());
    let file = std::fs::OpenOptions::new().write(true).open(dir.path().join("journal.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    assert!(pages > 20, "{pages}");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 4096], (pages - 5) * 4096).unwrap();
    assert!(store.health().map_or(true, |h| h.damage.is_some()));
}

/// Three sales with a sealed value each, in commits of their own, and a snapshot.
fn sales(store: &Store) {
    for n in 1..=3u64 {
        let records = vec![started(2 * n - 1, n, &format!("o{n}")), ended(2 * n, n, &format!("o{n}"))];
        let snapshot = (n == 2).then(|| (4, "{}".to_owned()));
        put(store, Commit { records, seal: vec![(n, vec![n as u8; 40])], snapshot, ..Commit::default() })
            .unwrap();
    }
}

#[test]
fn the_chain_proves_the_journal_and_each_outcome_names_its_place_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (store, _) = open(dir.path());
    sales(&store);
    // Also while the daemon has it open.
    let live = payterm_journal::verify(&path, Some(&key()), None).unwrap();
    assert_eq!((live.records, live.chained_from, live.keyed, live.broken), (6, Some(1), true, None));
    let durable = store
        .commit(commit(vec![started(7, 4, "o4"), ended(8, 4, "o4"), booted(9)]))
        .blocking_recv()
        .unwrap()
        .unwrap();
    let found = wait(store.by_txn(4)).unwrap().unwrap();
    assert_eq!(found.outcome.journal, Some(durable.told[0].1.to_string()));
    assert!(found.outcome.journal.as_ref().unwrap().starts_with("8:"), "{:?}", found.outcome.journal);
    assert_eq!(durable.head.seq, 9);
    // An erased value does not break it.
    put(&store, Commit { records: vec![booted(10)], erase: vec![2], ..Commit::default() }).unwrap();
    store.close();
    drop(store);
    let names = || {
        std::fs::read_dir(dir.path())
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let closed = payterm_journal::verify(&path, Some(&key()), None).unwrap();
    assert_eq!((closed.records, closed.broken), (10, None));
    let blind = payterm_journal::verify(&path, None, None).unwrap();
    assert_eq!((blind.keyed, blind.broken, &blind.head), (false, None, &closed.head));
    let knows = |head: &str| {
        payterm_journal::verify(&path, Some(&key()), Some(&head.parse().unwrap())).unwrap().known
    };
    assert_eq!(
        (knows(found.outcome.journal.as_ref().unwrap()), knows(&format!("8:{}", "ab".repeat(32)))),
        (Some(true), Some(false))
    );
    assert_eq!(names(), before, "verifying leaves nothing behind");
    let (_store, loaded) = open(dir.path());
    assert_eq!(Some(loaded.head.to_string()), closed.head);
}

/// Whatever somebody without the key changes is found, and where.
#[test]
fn a_changed_journal_is_found_out() {
    let changes = [
        ("UPDATE record SET json = replace(json, '12.34', '12.35') WHERE seq = 3", "record 3"),
        ("UPDATE record SET at = at + 1 WHERE seq = 2", "record 2"),
        ("UPDATE record SET txn = NULL WHERE seq = 4", "record 4"),
        ("UPDATE record SET chain = NULL WHERE seq = 5", "record 5"),
        ("DELETE FROM record WHERE seq = 3", "record 3"),
        ("DELETE FROM record WHERE seq = 3; UPDATE record SET seq = seq - 1 WHERE seq > 3", "record 3"),
        (
            "INSERT INTO record SELECT 7, at, txn, version, json, sealed, chain FROM record WHERE seq = 6",
            "record 7",
        ),
        (
            "UPDATE meta SET value = '7:' || substr(value, 3) WHERE key = 'chain_start'; UPDATE record SET chain = NULL",
            "its start",
        ),
        ("DELETE FROM meta WHERE key = 'chain_start'", "its start"),
        ("UPDATE snapshot SET json = '{\"seq\":4}'", "snapshot 4"),
        ("UPDATE sealed SET blob = zeroblob(40) WHERE txn = 2", "sealed value 2"),
        ("UPDATE txn SET outcome = replace(outcome, 'approved', 'declined') WHERE txn = 2", "transaction 2"),
        (
            "UPDATE txn SET told = 3, outcome = (SELECT outcome FROM txn WHERE txn = 2) WHERE txn = 2",
            "transaction 2",
        ),
        ("UPDATE txn SET id = 'other' WHERE txn = 1", "transaction 1"),
        ("DELETE FROM txn WHERE txn = 3", "transaction 3"),
    ];
    for (change, place) in changes {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        sales(&store);
        store.close();
        let path = dir.path().join("journal.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(change).unwrap();
        let found = payterm_journal::verify(&path, Some(&key()), None).unwrap();
        assert_eq!(found.broken.as_ref().map(|b| b.place.as_str()), Some(place), "{change}: {found:?}");
    }
}

/// Another terminal's key proves nothing here.
#[test]
fn the_chain_is_of_this_terminals_key() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    sales(&store);
    store.close();
    let other = SealingKey::new([8; 32]).keyed_hash(payterm_journal::PURPOSE);
    let found = payterm_journal::verify(&dir.path().join("journal.db"), Some(&other), None).unwrap();
    assert_eq!(found.broken.map(|b| b.place), Some("its start".into()));
}
