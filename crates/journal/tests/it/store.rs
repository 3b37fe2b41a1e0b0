//! The store against a real disk: failures, reopening, modes, the projection.
use crate::rig::{key, put, wait};
use payterm_journal::{Commit, Loaded, Options, Store, StoreError};
use payterm_schema::{
    Entry, Kind, Outcome, Record, Request, RequestKey, RequestRecord, Status, TerminalRecord, Time,
    record::RrnClaim, request::RequestWire, terminal::Filter,
};
use serde_json::json;
use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub fn booted(seq: u64) -> Entry {
    Entry {
        seq,
        at: Time(1_000 + seq as i64),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "test".into() }),
    }
}
/// A page is full of two of them.
pub fn booted_long(seq: u64) -> Entry {
    Entry { record: Record::Terminal(TerminalRecord::Booted { version: "x".repeat(1_500) }), ..booted(seq) }
}
pub fn commit(records: Vec<Entry>) -> Commit {
    Commit { records, ..Commit::default() }
}
pub fn open_with(dir: &Path, options: Options) -> Result<(Store, Loaded), StoreError> {
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
pub fn open(dir: &Path) -> (Store, Loaded) {
    open_with(dir, Options::default()).unwrap()
}

pub fn view(txn: u64, id: &str, status: &str) -> Outcome {
    serde_json::from_value(json!({
        "app": "pos", "id": id, "txn": txn, "kind": "sale", "status": status, "currency": "CNY",
        "amount": "12.34", "started": 1_000 + txn,
        "place": {"shop": "s", "address": "", "city": ""}, "operator": "01", "test": true,
    }))
    .unwrap()
}
pub fn started(seq: u64, txn: u64, id: &str) -> Entry {
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
pub fn ended(seq: u64, txn: u64, id: &str) -> Entry {
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

/// Panics once at the next group after it was planted.
pub fn fail_point() -> (Option<payterm_journal::FailPoint>, Arc<AtomicBool>) {
    let planted = Arc::new(AtomicBool::new(false));
    let own = planted.clone();
    (Some(Arc::new(move || assert!(!own.swap(false, Ordering::Relaxed), "planted panic"))), planted)
}

/// On any disk.
pub fn quick() -> Options {
    Options { quick: Duration::MAX, ..Options::default() }
}

/// The writer's thread has put the connection back and reserved the WAL.
pub fn at_rest() {
    std::thread::sleep(Duration::from_millis(500));
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
        "PRAGMA user_version={schema}; DELETE FROM meta WHERE value = 'payterm 9'; \
         UPDATE record SET version=42"
    ));
    assert!(refused().contains("version 42 is newer than 3"), "{}", refused());
    change("UPDATE record SET version=3; INSERT INTO snapshot VALUES (1, 9, '{}', zeroblob(32))");
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

/// What is committed in its place is durable, with what came before it; what came behind it is not.
#[test]
fn an_answer_whose_rrn_another_payment_has_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    put(&store, commit(vec![started(1, 1, "a"), ended(2, 1, "a"), started(3, 2, "b")])).unwrap();
    let claiming = |rrn: &str, account: &str, record: Entry| Commit {
        claim: Some(Box::new(RrnClaim {
            account: payterm_schema::AccountId::new(account).unwrap(),
            rrn: rrn.into(),
            txn: record.txn.unwrap(),
            instead: vec![booted(record.seq), booted(record.seq + 1)],
        })),
        ..commit(vec![record])
    };
    // Its own, another account's, one that nobody has.
    put(&store, claiming("000000000001", "main", ended(4, 1, "a"))).unwrap();
    put(&store, claiming("000000000001", "other", booted_in(5, 2))).unwrap();
    put(&store, claiming("000000000009", "main", booted_in(6, 2))).unwrap();
    let refused = store.commit(claiming("000000000001", "main", ended(7, 2, "b")));
    let behind = store.commit(commit(vec![booted(8)]));
    let refused = refused.blocking_recv().unwrap();
    assert!(matches!(refused, Err(StoreError::OfAnother { txn: 2, other: 1, .. })), "{refused:?}");
    assert!(behind.blocking_recv().unwrap().is_err());
    let loaded = wait(store.reopen()).unwrap();
    assert!(loaded.restored.is_none());
    assert_eq!(loaded.tail[6..], [booted(7), booted(8)]);
    let found = wait(store.by_key(&RequestKey::new("pos", "b").unwrap())).unwrap().unwrap();
    assert_eq!(found.outcome.status, Status::Running);
}
fn booted_in(seq: u64, txn: u64) -> Entry {
    Entry { txn: Some(txn), ..booted(seq) }
}
