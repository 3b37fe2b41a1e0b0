//! Journals that are damaged, torn or gone, with real files: noticed, put aside, put back from backup and
//! what is left, into a recovery that ends no sooner than a person says so; no STAN and no request key is
//! ever used again.
use payterm_journal::{Commit, Loaded, Options, Store, StoreError};
use payterm_schema::{
    AccountId, Batch, Entry, Kind, Money, Outcome, Record, Request, RequestKey, RequestRecord, Stan,
    TerminalRecord, Time,
    host::{EntryMode, Plan},
    request::RequestWire,
};
use payterm_vault::{KeyedHash, SealingKey};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

fn key() -> KeyedHash {
    SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE)
}
fn open(dir: &Path) -> Result<(Store, Loaded), StoreError> {
    let held = loop {
        match payterm_journal::hold(dir) {
            // A program that another test begins holds a copy of the lock between its fork and its exec.
            Err(StoreError::StateInUse(_)) => std::thread::sleep(std::time::Duration::from_millis(5)),
            held => break held?,
        }
    };
    Store::open(
        held,
        dir,
        key(),
        Options { reserve: 0, sealed_needs: payterm_core::sealed_needs, ..Options::default() },
    )
}
fn put(store: &Store, c: Commit) -> Result<u64, StoreError> {
    store.commit(c).blocking_recv().unwrap_or(Err(StoreError::Stopped)).map(|d| d.head.seq)
}
fn wait<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f)
}
fn main_account() -> AccountId {
    AccountId::new("main").unwrap()
}
fn request_key(txn: u64) -> RequestKey {
    RequestKey::new("pos", &format!("o{txn}")).unwrap()
}

fn outcome(txn: u64, status: &str) -> Outcome {
    serde_json::from_value(json!({
        "app": "pos", "id": format!("o{txn}"), "txn": txn, "kind": "sale", "status": status, "currency": "CNY", "amount": "12.34", "account": "main",
        "started": 1_000 + txn, "place": {"shop": "s", "address": "", "city": ""}, "operator": "01", "test": true,
    }))
    .unwrap()
}

/// The three records of a sale, a commit each; its STAN is its number.
fn sale(store: &Store, txn: u64) -> Result<(), StoreError> {
    let wire = RequestWire {
        id: format!("o{txn}"),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let plan = Plan {
        kind: Kind::Sale,
        stan: Stan::new(txn as u32).unwrap(),
        batch: Batch::FIRST,
        amount: Some(Money::new(1234, "CNY".parse().unwrap()).unwrap()),
        mode: Some(EntryMode::Swipe),
        pin: false,
        track: false,
        wallet: None,
        expiry: None,
        card_sequence: None,
        original: None,
        operator: "01".into(),
        at: Time(1),
        auth_code: None,
        tip: None,
        scheme: None,
        settlement: None,
        offline_authority: Default::default(),
        icc: None,
    };
    let records = [
        Record::Request(RequestRecord::Started {
            txn,
            key: request_key(txn),
            hash: request.content_hash(),
            request: Box::new(request),
            view: outcome(txn, "running").into(),
        }),
        Record::Request(RequestRecord::Allowed {
            txn,
            account: main_account(),
            plan: Box::new(plan),
            view: outcome(txn, "running").into(),
            owes: false,
            card: None,
        }),
        Record::Request(RequestRecord::Outcome {
            outcome: outcome(txn, "approved").into(),
            papers: Vec::new(),
        }),
    ];
    for (n, record) in (1..).zip(records) {
        let seal = if n == 2 { vec![(txn, vec![txn as u8; 40])] } else { Vec::new() };
        let entry = Entry { seq: 3 * (txn - 1) + n, at: Time(1_000), txn: Some(txn), record };
        put(store, Commit { records: vec![entry], seal, ..Commit::default() })?;
    }
    Ok(())
}

/// Eight sales; after `backup` of them a backup was made.
fn sales(dir: &Path, backup: Option<u64>) -> Store {
    let (store, loaded) = open(dir).unwrap();
    assert!(loaded.restored.is_none() && loaded.last_seq == 0);
    for txn in 1..=8 {
        sale(&store, txn).unwrap();
        if backup == Some(txn) {
            assert_eq!(store.check_and_back_up().unwrap().broken, None);
        }
    }
    store
}
/// What a kill -9 leaves: the files as they are, without closing.
fn killed(store: &Store, dir: &Path) -> PathBuf {
    let copy = dir.with_extension("killed");
    fs::create_dir(&copy).unwrap();
    for f in fs::read_dir(dir).unwrap().flatten().filter(|f| f.file_name() != "lock") {
        fs::copy(f.path(), copy.join(f.file_name())).unwrap();
    }
    store.close();
    copy
}
fn journal(dir: &Path) -> PathBuf {
    dir.join("journal.db")
}
fn aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().flatten().map(|f| f.file_name().into_string().unwrap());
    names.filter(|n| n.starts_with("journal.damaged-") && n.ends_with(".db")).collect()
}

/// What must hold whatever happened: either the journal is whole, or it is in recovery, and then nothing is
/// used twice.
fn judge(dir: &Path, what: &str) -> Option<payterm_schema::record::Restored> {
    let (store, loaded) = open(dir).unwrap_or_else(|e| panic!("{what}: {e}"));
    let Some(restored) = loaded.restored.clone() else {
        assert_eq!(loaded.last_seq, 24, "{what}: records are gone, and nobody says so");
        assert_eq!(store.check_and_back_up().unwrap().broken.map(|b| b.to_string()), None, "{what}");
        for txn in 1..=8 {
            assert_eq!(
                wait(store.by_key(&request_key(txn))).unwrap().unwrap().outcome.status.name(),
                "approved",
                "{what}"
            );
        }
        store.close();
        return None;
    };
    assert!(restored.last_txn >= 8, "{what}: {restored:?}");
    if let Some(stans) = &restored.stans {
        assert!(stans[&main_account()].get() >= 8, "{what}: {restored:?}");
    }
    for txn in 1..=8 {
        let key = request_key(txn);
        let known = wait(store.by_key(&key)).unwrap();
        let refused = wait(store.lost(&key)).unwrap();
        assert!(known.is_some() != refused, "{what}: request {txn} is {known:?}, refused {refused}");
        assert_ne!(store.knows(&key), Some(false), "{what}: request {txn} would be begun again");
    }
    assert!(!wait(store.lost(&RequestKey::new("pos", "new").unwrap())).unwrap());
    // Still so at the next start, until it is on record.
    store.close();
    drop(store);
    let (store, again) = open(dir).unwrap();
    assert_eq!(again.restored.as_ref(), Some(&restored), "{what}");
    let record = Record::Terminal(TerminalRecord::Restored { restored: Box::new(restored.clone()) });
    put(
        &store,
        Commit {
            records: vec![Entry { seq: again.last_seq + 1, at: Time(1), txn: None, record }],
            ..Commit::default()
        },
    )
    .unwrap();
    assert_eq!(store.check_and_back_up().unwrap().broken.map(|b| b.to_string()), None, "{what}");
    store.close();
    drop(store);
    let (store, third) = open(dir).unwrap();
    assert!(third.restored.is_none() && third.last_seq == again.last_seq + 1, "{what}");
    store.close();
    Some(restored)
}

fn flip(path: &Path, at: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}
fn cut(path: &Path, to: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
}

#[test]
fn a_sound_journal_is_opened_as_it_is() {
    for clean in [true, false] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        let store = sales(&dir, Some(4));
        let dir = if clean {
            store.close();
            dir
        } else {
            killed(&store, &dir)
        };
        assert_eq!(judge(&dir, "sound"), None);
        assert_eq!(aside(&dir), [""; 0]);
    }
}

/// One bit, at many places of a journal that was closed: whatever is not noticed at the start is noticed by
/// the check after it, and the start after that restores.
#[test]
fn a_flipped_bit_in_the_database() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    sales(&whole, Some(4)).close();
    let len = fs::metadata(journal(&whole)).unwrap().len();
    let (mut noticed, mut later, mut idle) = (0, 0, 0);
    for n in 0..120 {
        let dir = root.path().join(format!("flip-{n}"));
        fs::create_dir(&dir).unwrap();
        for f in fs::read_dir(&whole).unwrap().flatten() {
            fs::copy(f.path(), dir.join(f.file_name())).unwrap();
        }
        // Places that have nothing to do with pages: all over the file, and each byte of the header in turn.
        let at = if n < 40 { n * 2 } else { (n * 7_919 * 13 + 4_099) % len };
        let before = fs::read(journal(&dir)).unwrap();
        flip(&journal(&dir), at);
        let what = format!("bit in byte {at}");
        match open(&dir) {
            Err(e) => panic!("{what}: {e}"),
            Ok((store, loaded)) if loaded.restored.is_some() => {
                noticed += 1;
                store.close();
            }
            Ok((store, _)) => {
                let broken = store.check_and_back_up().unwrap_or_else(|e| panic!("{what}: {e}")).broken;
                store.close();
                if broken.is_some() {
                    later += 1;
                } else {
                    // Free space, or a byte of the header that nobody reads: nothing of ours is there.
                    idle += 1;
                    assert_ne!(before[at as usize..].first(), None);
                    continue;
                }
            }
        }
        assert!(judge(&dir, &what).is_some(), "{what}");
        assert_eq!(aside(&dir).len(), 1, "{what}");
    }
    println!("flips: {noticed} at the start, {later} by the check, {idle} of no consequence");
    assert!(noticed >= 10 && later >= 10 && idle < 100, "{noticed} {later} {idle}");
}

/// The same in the write-ahead log of a daemon that was killed: all but its last commit.
#[test]
fn a_flipped_bit_in_the_write_ahead_log() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, Some(4));
    let whole = killed(&store, &dir);
    let wal = whole.join("journal.db-wal");
    let used = fs::read(&wal).unwrap().iter().rposition(|b| *b != 0).unwrap() as u64;
    // The last commit cannot be told from one that the power cut: leave its frames alone.
    let upto = used - 8 * 4_120;
    let mut restored = 0;
    for n in 0..60 {
        let dir = root.path().join(format!("flip-{n}"));
        fs::create_dir(&dir).unwrap();
        for f in fs::read_dir(&whole).unwrap().flatten() {
            fs::copy(f.path(), dir.join(f.file_name())).unwrap();
        }
        let at = if n < 32 { n } else { (n * 104_729 + 17) % upto };
        flip(&dir.join("journal.db-wal"), at);
        restored += usize::from(judge(&dir, &format!("bit in byte {at} of the WAL")).is_some());
    }
    assert!(restored >= 55, "{restored}");
}

#[test]
fn cut_short_emptied_and_gone() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, Some(4));
    let whole = killed(&store, &dir);
    let closed = dir;
    let len = fs::metadata(journal(&closed)).unwrap().len();
    type Harm<'a> = (&'a str, &'a dyn Fn(&Path));
    let harms: [Harm<'_>; 10] = [
        ("the database is gone", &|d| fs::remove_file(journal(d)).unwrap()),
        ("the database is empty", &|d| cut(&journal(d), 0)),
        ("the database is cut in its header", &|d| cut(&journal(d), 50)),
        ("the database is half", &|d| cut(&journal(d), len / 2)),
        ("the database is text", &|d| {
            fs::write(journal(d), "not a database at all, by no means".repeat(200)).unwrap()
        }),
        ("the WAL is gone", &|d| fs::remove_file(d.join("journal.db-wal")).unwrap()),
        ("the WAL is cut", &|d| cut(&d.join("journal.db-wal"), 0)),
        ("database and WAL are gone", &|d| {
            fs::remove_file(journal(d)).unwrap();
            fs::remove_file(d.join("journal.db-wal")).unwrap();
        }),
        ("all is gone but the keys", &|d| {
            fs::read_dir(d)
                .unwrap()
                .flatten()
                .filter(|f| f.file_name() != "journal.keys")
                .for_each(|f| fs::remove_file(f.path()).unwrap());
        }),
        ("the database and the newest backup are gone", &|d| {
            fs::remove_file(journal(d)).unwrap();
            fs::remove_file(d.join("journal.backup.db")).unwrap();
        }),
    ];
    for (killed, from) in [(true, &whole), (false, &closed)] {
        for (what, harm) in harms.iter().filter(|(what, _)| killed || !what.contains("WAL")) {
            let what = format!("{what}, killed {killed}");
            let dir = root.path().join(&what);
            fs::create_dir(&dir).unwrap();
            for f in fs::read_dir(from).unwrap().flatten() {
                fs::copy(f.path(), dir.join(f.file_name())).unwrap();
            }
            harm(&dir);
            let restored = judge(&dir, &what);
            // The WAL of one that was killed may hold all that the database lost.
            let held = ["header", "half", "text"].iter().any(|w| what.contains(w));
            assert!(restored.is_some() || (killed && held), "{what}: nobody noticed");
        }
    }
}

/// The newest backup is damaged itself: the one before it serves; without any, what the damaged file proves.
#[test]
fn a_backup_that_is_damaged_itself() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir).unwrap();
    for txn in 1..=8 {
        sale(&store, txn).unwrap();
        if txn == 2 || txn == 5 {
            store.check_and_back_up().unwrap();
        }
    }
    store.close();
    drop(store);
    let backup = dir.join("journal.backup.db");
    let at = fs::read(&backup).unwrap().windows(5).position(|w| w == b"12.34").unwrap();
    flip(&backup, at as u64);
    let bytes = fs::read(journal(&dir)).unwrap();
    let last = bytes.windows(8).rposition(|w| w == b"\"outcome").unwrap();
    flip(&journal(&dir), last as u64);
    let restored = judge(&dir, "a damaged backup").unwrap();
    assert_eq!((restored.backup, restored.salvaged > 0), (Some(6), true), "{restored:?}");

    let dir = root.path().join("none");
    sales(&dir, None).close();
    flip(&journal(&dir), 0);
    let restored = judge(&dir, "no backup").unwrap();
    assert_eq!((restored.backup, restored.lost), (None, 8), "never a fresh journal that knows nothing of it");
}

/// What the damaged file still proves is taken over: nothing is lost where only old pages are bad.
#[test]
fn what_is_left_is_salvaged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, Some(4)).close();
    // A record that the backup has, changed: all after it still follows.
    let db = rusqlite::Connection::open(journal(&dir)).unwrap();
    db.execute_batch("UPDATE record SET json = replace(json, '12.34', '12.35') WHERE seq = 2").unwrap();
    drop(db);
    let (store, loaded) = open(&dir).unwrap();
    assert!(loaded.restored.is_some(), "the tail was not looked at");
    let restored = loaded.restored.unwrap();
    assert_eq!((restored.backup, restored.salvaged, restored.lost, loaded.last_seq), (Some(12), 12, 0, 24));
    assert_eq!(wait(store.sealed(7)).unwrap(), Some(vec![7; 40]));
    assert_eq!(wait(store.by_key(&request_key(8))).unwrap().unwrap().outcome.status.name(), "approved");
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for f in fs::read_dir(from).unwrap().flatten().filter(|f| f.path().is_file() && f.file_name() != "lock") {
        fs::copy(f.path(), to.join(f.file_name())).unwrap();
    }
}

/// The disk takes nothing while a journal is restored, again and again: the damaged one stays until the new
/// one is whole.
#[test]
fn a_restoring_that_cannot_be_written_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let killed = killed(&sales(&dir, None), &dir);
    fs::write(killed.join("journal.suspect"), "planted").unwrap();
    // A directory in its place: nothing can be written there.
    let blocked = killed.join("journal.restoring.db");
    fs::create_dir(&blocked).unwrap();
    for _ in 0..3 {
        assert!(matches!(open(&killed), Err(StoreError::File { .. } | StoreError::Sql { .. })));
        assert_eq!(aside(&killed), [""; 0], "the damaged one was moved before the new one was whole");
    }
    fs::remove_dir(&blocked).unwrap();
    let restored = judge(&killed, "at last").unwrap();
    assert_eq!((restored.salvaged, restored.lost, aside(&killed).len()), (24, 0, 1), "{restored:?}");
}

/// The power goes between the steps of a restoring: the next opening goes on with what was whole.
#[test]
fn a_restoring_that_was_cut_is_gone_on_with() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let whole = killed(&sales(&dir, None), &dir);
    fs::write(whole.join("journal.suspect"), "planted").unwrap();
    let ended = root.path().join("ended");
    copy(&whole, &ended);
    let (store, loaded) = open(&ended).unwrap();
    let kept = loaded.restored.unwrap().kept;
    store.close();
    // Which files were moved when it was cut: the new journal is whole before the first.
    for moved in 0..=3 {
        let dir = root.path().join(format!("cut-{moved}"));
        copy(&whole, &dir);
        fs::copy(journal(&ended), dir.join("journal.restoring.db")).unwrap();
        for suffix in &["-shm", "-wal", ""][..moved] {
            fs::rename(dir.join(format!("journal.db{suffix}")), dir.join(format!("{kept}{suffix}"))).unwrap();
        }
        let restored = judge(&dir, &format!("cut after {moved} files")).unwrap();
        assert_eq!(
            (restored.salvaged, restored.lost, &restored.kept),
            (24, 0, &kept),
            "{moved}: {restored:?}"
        );
        assert!(!dir.join("journal.suspect").exists() && !dir.join("journal.restoring.db").exists());
    }
    // After all of it but the removal of the mark: it is done again, from what was put back.
    let dir = root.path().join("cut-last");
    copy(&ended, &dir);
    fs::write(dir.join("journal.suspect"), "planted").unwrap();
    assert_eq!(judge(&dir, "cut at last").unwrap().salvaged, 24);
}

/// What one restoring lost is still known as lost after the next one, though there is no backup that says so.
#[test]
fn what_was_lost_stays_lost_over_another_restoring() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, None).close();
    fs::remove_file(journal(&dir)).unwrap();
    let first = judge(&dir, "gone").unwrap();
    assert_eq!(first.lost, 8);
    fs::write(dir.join("journal.suspect"), "planted").unwrap();
    let second = judge(&dir, "suspect").unwrap();
    assert_eq!(second.last_txn, 8);
}

/// A start that fails after a kill leaves the WAL where it is: one that is gone would be taken for damage.
#[test]
fn a_start_that_fails_leaves_the_write_ahead_log() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let dir = killed(&sales(&dir, None), &dir);
    let held = payterm_journal::hold(&dir).unwrap();
    // No page more than there are: the start's own migration check passes, the program is older than the
    // snapshot.
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch("INSERT INTO snapshot (seq, version, json, chain) VALUES (24, 99, '{}', NULL)").unwrap();
    drop(db);
    let failed = Store::open(
        held,
        &dir,
        key(),
        Options { reserve: 0, sealed_needs: payterm_core::sealed_needs, ..Options::default() },
    );
    assert!(matches!(failed, Err(StoreError::NewerSnapshot { .. })), "{:?}", failed.err());
    let db = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch("DELETE FROM snapshot").unwrap();
    drop(db);
    assert_eq!(judge(&dir, "a start that failed"), None);
}

/// A look-up while the journal is restored at run time opens the file that is put aside: it does not stay
/// there.
#[test]
fn a_lost_key_is_lost_also_for_the_reader() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, Some(5));
    // The damaged file does not know the lost ones any more.
    let harm = "DELETE FROM record WHERE txn > 5; DELETE FROM txn WHERE txn > 5; UPDATE record SET at = 7 WHERE seq = 15";
    let loaded = reopened(&store, &dir, harm, async { store.knows(&request_key(8)) });
    assert_eq!(loaded.restored.unwrap().lost, 3);
    for txn in 6..=8 {
        let k = request_key(txn);
        // What the front asks before it starts a request.
        let refused = store.knows(&k) != Some(false) && wait(store.lost(&k)).unwrap();
        assert!(refused, "the lost payment {txn} would be started again");
    }
}

/// The two records of a sale that begins with record `seq`.
fn short_sale(txn: u64, status: &str) -> [Record; 2] {
    let wire = RequestWire {
        id: format!("o{txn}"),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let request = Request::try_from(wire).unwrap();
    let started = Record::Request(RequestRecord::Started {
        txn,
        key: request_key(txn),
        hash: request.content_hash(),
        request: Box::new(request),
        view: outcome(txn, "running").into(),
    });
    [
        started,
        Record::Request(RequestRecord::Outcome { outcome: outcome(txn, status).into(), papers: Vec::new() }),
    ]
}
fn short(txn: u64, seq: u64, status: &str) -> Commit {
    let records = (seq..)
        .zip(short_sale(txn, status))
        .map(|(seq, record)| Entry { seq, at: Time(1_000), txn: Some(txn), record })
        .collect();
    Commit { records, ..Commit::default() }
}
/// Damage that the check has found, and a commit that fails: the store is opened again, which restores.
/// Meanwhile somebody looks something up.
fn reopened<T>(store: &Store, dir: &Path, harm: &str, meanwhile: impl Future<Output = T>) -> Loaded {
    let db = rusqlite::Connection::open(journal(dir)).unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    db.execute_batch(harm).unwrap();
    drop(db);
    assert!(store.check_and_back_up().unwrap().broken.is_some());
    let gap = Entry {
        seq: 99,
        at: Time(1),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "x".into() }),
    };
    let refused = put(store, Commit { records: vec![gap], ..Commit::default() });
    assert!(matches!(refused, Err(StoreError::Gap { found: 99, .. })), "{refused:?}");
    wait(async {
        let mut again = Box::pin(store.reopen());
        std::future::poll_fn(|cx| {
            assert!(again.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        meanwhile.await;
        again.await.unwrap()
    })
}

/// The power goes while the last commit is written: of its frames the first has not reached the disk, the
/// others have.
#[test]
fn a_power_cut_in_the_last_commit_is_no_damage() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let held = payterm_journal::hold(&dir).unwrap();
    let (store, _) =
        Store::open(held, &dir, key(), Options { reserve: 0, checkpoint_every: 12, ..Options::default() })
            .unwrap();
    let wal = dir.join("journal.db-wal");
    // The first quiet moment reserves the WAL.
    std::thread::sleep(std::time::Duration::from_millis(150));
    const SIZE: usize = 24 + 4096;
    let (mut seq, mut found) = (0, 0);
    for txn in 1..=60u64 {
        for record in short_sale(txn, "approved") {
            seq += 1;
            let before = fs::read(&wal).unwrap_or_default();
            put(
                &store,
                Commit {
                    records: vec![Entry { seq, at: Time(1_000), txn: Some(txn), record }],
                    ..Commit::default()
                },
            )
            .unwrap();
            let after = fs::read(&wal).unwrap();
            // The key of a request is written behind its commit: of one that was cut there is none.
            if seq % 2 == 1 || before.len() < 32 || before.len() != after.len() || before[..32] != after[..32]
            {
                continue;
            }
            if txn % 6 == 0 {
                // A quiet moment: the WAL is reserved, and copied back.
                std::thread::sleep(std::time::Duration::from_millis(130));
            }
            // The frames of this commit.
            let new: Vec<usize> = (0..(after.len() - 32) / SIZE)
                .filter(|i| {
                    before[32 + i * SIZE..32 + (i + 1) * SIZE] != after[32 + i * SIZE..32 + (i + 1) * SIZE]
                })
                .collect();
            let Some(first) = new.first().copied() else { continue };
            let old = &before[32 + first * SIZE..32 + (first + 1) * SIZE];
            // What stands in its place is the end of a commit of the WAL's time before.
            if new.len() < 2 || old[4..8] == [0; 4] {
                continue;
            }
            let cut = root.path().join(format!("cut-{seq}"));
            copy(&dir, &cut);
            let mut torn = after.clone();
            torn[32 + first * SIZE..32 + (first + 1) * SIZE].copy_from_slice(old);
            fs::write(cut.join("journal.db-wal"), torn).unwrap();
            let (opened, loaded) = open(&cut).unwrap();
            opened.close();
            found += 1;
            assert!(loaded.restored.is_none(), "a power cut was taken for damage: {:?}", loaded.restored);
        }
    }
    assert!(found > 0);
}

/// A backup that is one transaction old takes the journal's place.
#[test]
fn a_backup_that_is_one_payment_old() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir).unwrap();
    for txn in 1..=7 {
        sale(&store, txn).unwrap();
    }
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
    sale(&store, 8).unwrap();
    store.close();
    fs::copy(dir.join("journal.backup.db"), journal(&dir)).unwrap();
    let restored = judge(&dir, "a backup without the last payment").expect("payment 8 is gone");
    assert_eq!((restored.lost, restored.last_txn), (1, 8), "{restored:?}");
    assert!(restored.stans.is_some(), "the marks know which STANs may have been used: {restored:?}");
}

/// The same for queries: uploads, reversals and look-ups.
#[test]
fn the_reader_reads_the_journal_that_is_there() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, Some(5));
    let loaded = reopened(&store, &dir, "UPDATE record SET at = 7 WHERE seq = 16", async {
        store.by_key(&request_key(8)).await.ok()
    });
    assert_eq!(loaded.restored.unwrap().lost, 3);
    put(&store, Commit { seal: vec![(9, vec![9; 40])], ..short(9, 16, "approved") }).unwrap();
    assert!(
        wait(store.by_key(&request_key(9))).unwrap().is_some() && wait(store.sealed(9)).unwrap().is_some()
    );
}

/// The same with a backup that was made while the payment was at the host.
#[test]
fn a_backup_from_the_middle_of_the_last_payment() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, None);
    let mut both = short(9, 25, "approved").records.into_iter();
    put(&store, Commit { records: both.next().into_iter().collect(), ..Commit::default() }).unwrap();
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
    put(&store, Commit { records: both.collect(), ..Commit::default() }).unwrap();
    store.close();
    fs::copy(dir.join("journal.backup.db"), journal(&dir)).unwrap();
    // Payment 9 would run again: what was told as approved would be reversed.
    let restored = judge(&dir, "a backup from the middle").expect("the end of payment 9 is gone");
    assert_eq!((restored.lost, restored.last_txn), (0, 9), "{restored:?}");
}

/// The vault was begun anew: the journal stays where it is.
#[test]
fn another_key_is_no_damage() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, Some(8)).close();
    let other = SealingKey::new([8; 32]).keyed_hash(payterm_journal::PURPOSE);
    let refused = Store::open(
        payterm_journal::hold(&dir).unwrap(),
        &dir,
        other,
        Options { reserve: 0, sealed_needs: payterm_core::sealed_needs, ..Options::default() },
    );
    assert!(matches!(refused, Err(StoreError::OtherKey { .. })), "{:?}", refused.err());
    assert_eq!(judge(&dir, "under its own key again"), None);
}

/// The damage has one of the two places of the marks too, the newer one.
#[test]
fn one_place_of_the_marks_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir).unwrap();
    for txn in 1..=105 {
        sale(&store, txn).unwrap();
    }
    let dir = killed(&store, &dir);
    let bytes = fs::read(dir.join("journal.marks")).unwrap();
    let turn = |at: usize| {
        serde_json::from_slice::<serde_json::Value>(
            &bytes[at + 12..at + 12 + u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize],
        )
        .unwrap()
    };
    let newer = if turn(0)["turn"].as_u64() > turn(4096)["turn"].as_u64() { 0 } else { 4096 };
    fs::OpenOptions::new()
        .write(true)
        .open(dir.join("journal.marks"))
        .unwrap()
        .write_all_at(&[0xff; 512], newer as u64)
        .unwrap();
    fs::remove_file(journal(&dir)).unwrap();
    let (_, loaded) = open(&dir).unwrap();
    let stans = loaded.restored.unwrap().stans;
    assert!(stans.is_none_or(|s| s[&main_account()].get() >= 105), "STANs 101 to 105 are used again");
}

/// Requests that ended at once, in one group that was not committed.
#[test]
fn two_starts_in_a_group_that_failed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, None);
    let booted = |seq| Entry {
        seq,
        at: Time(1),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "x".into() }),
    };
    // The first keeps the writer busy until the others wait together.
    let heard = [
        store.commit(Commit { records: (25..4025).map(booted).collect(), ..Commit::default() }),
        store.commit(short(9, 4025, "failed")),
        store.commit(short(10, 4027, "failed")),
        store.commit(Commit { records: vec![booted(9_999)], ..Commit::default() }),
    ];
    let done = heard.map(|h| h.blocking_recv().unwrap().is_ok());
    assert!(!done[3]);
    assert!(wait(store.reopen()).unwrap().restored.is_none(), "nothing was damaged");
}

/// A PAN that was erased after the backup.
#[test]
fn what_was_erased_stays_erased() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, Some(8));
    let entry = Entry {
        seq: 25,
        at: Time(1),
        txn: Some(3),
        record: Record::Request(RequestRecord::Voided { txn: 3, by: 4 }),
    };
    put(&store, Commit { records: vec![entry], erase: vec![3], ..Commit::default() }).unwrap();
    assert!(wait(store.sealed(3)).unwrap().is_none());
    store.close();
    fs::write(dir.join("journal.suspect"), "planted").unwrap();
    let (store, _) = open(&dir).unwrap();
    assert!(wait(store.sealed(3)).unwrap().is_none(), "it is there again, and nothing erases it any more");
}

/// A copy that is older than the backup is no word on what was sealed since.
#[test]
fn what_the_backup_has_sealed_stays_when_the_journal_is_older() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir).unwrap();
    for txn in 1..=4 {
        sale(&store, txn).unwrap();
    }
    store.close();
    drop(store);
    let old = root.path().join("old.db");
    fs::copy(journal(&dir), &old).unwrap();
    let (store, _) = open(&dir).unwrap();
    for txn in 5..=8 {
        sale(&store, txn).unwrap();
    }
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
    store.close();
    drop(store);
    fs::copy(&old, journal(&dir)).unwrap();
    let (store, loaded) = open(&dir).unwrap();
    assert_eq!(loaded.restored.unwrap().backup, Some(24));
    assert!((1..=8).all(|txn| wait(store.sealed(txn)).unwrap().is_some()));
}

/// Without a backup: the chain's start is ours, so the key is.
#[test]
fn a_damaged_last_record_is_no_other_key() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, None).close();
    let db = rusqlite::Connection::open(journal(&dir)).unwrap();
    db.execute_batch("UPDATE record SET at = 7 WHERE seq = 24").unwrap();
    drop(db);
    assert_eq!(judge(&dir, "the last record").unwrap().salvaged, 23);
}

/// A page that is gone, of each table and index in turn: at the start, or by the check after it; never a
/// start that fails for ever.
#[test]
fn a_page_of_zeros() {
    let root = tempfile::tempdir().unwrap();
    let whole = root.path().join("whole");
    sales(&whole, Some(4)).close();
    let db =
        rusqlite::Connection::open_with_flags(journal(&whole), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    let pages: Vec<(String, u64)> = db
        .prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0")
        .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect())
        .unwrap();
    drop(db);
    assert!(pages.iter().any(|p| p.0 == "txn") && pages.iter().any(|p| p.0 == "lost"));
    for (name, page) in pages {
        let dir = root.path().join(&name);
        copy(&whole, &dir);
        fs::OpenOptions::new()
            .write(true)
            .open(journal(&dir))
            .unwrap()
            .write_all_at(&[0; 4096], (page - 1) * 4096)
            .unwrap();
        let (store, loaded) = open(&dir).unwrap_or_else(|e| panic!("{name}: {e}"));
        if loaded.restored.is_none() {
            assert!(
                store.check_and_back_up().unwrap_or_else(|e| panic!("{name}: {e}")).broken.is_some(),
                "{name}"
            );
        }
        store.close();
        drop(store);
        assert!(judge(&dir, &name).is_some(), "{name}");
    }
}

/// The first sector of the write-ahead log reads as zeros: what was committed in it is gone.
#[test]
fn a_write_ahead_log_whose_head_is_zeros() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, Some(8)).close();
    // At the start all is copied back; then a sale is voided.
    let (store, _) = open(&dir).unwrap();
    let entry = Entry {
        seq: 25,
        at: Time(1),
        txn: Some(3),
        record: Record::Request(RequestRecord::Voided { txn: 3, by: 4 }),
    };
    put(&store, Commit { records: vec![entry], ..Commit::default() }).unwrap();
    let dir = killed(&store, &dir);
    fs::OpenOptions::new()
        .write(true)
        .open(dir.join("journal.db-wal"))
        .unwrap()
        .write_all_at(&[0; 512], 0)
        .unwrap();
    let (store, loaded) = open(&dir).unwrap();
    assert!(loaded.restored.is_some() || loaded.last_seq == 25, "record 25 is gone, and nobody says so");
    store.close();
}

/// Sold, settled and erased after the backup; the damage comes later still.
#[test]
fn what_a_closed_batch_has_sealed_does_not_come_back() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let (store, _) = open(&dir).unwrap();
    let mut seq = 0;
    let mut next = |txn: u64, record: Record| {
        seq += 1;
        Entry { seq, at: Time(1_000), txn: Some(txn), record }
    };
    for txn in 1..=3 {
        let mut told = outcome(txn, "approved");
        told.batch = Some(Batch::FIRST);
        let [started, _] = short_sale(txn, "running");
        let records = vec![
            next(txn, started),
            next(txn, Record::Request(RequestRecord::Outcome { outcome: told.into(), papers: Vec::new() })),
        ];
        put(&store, Commit { records, seal: vec![(txn, vec![txn as u8; 40])], ..Commit::default() }).unwrap();
    }
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
    let closed = next(
        3,
        serde_json::from_value(
            json!({"settlement": {"batch_closed": {"txn": 3, "account": "main", "next": 2, "how": "nothing_left", "trace": {"sent": [], "received": []}}}}),
        )
        .unwrap(),
    );
    let erase = payterm_schema::EraseBatch { account: main_account(), batch: Batch::FIRST, keep: Vec::new() };
    put(&store, Commit { records: vec![closed], erase_batch: Some(Box::new(erase)), ..Commit::default() })
        .unwrap();
    let [started, ended] = short_sale(4, "approved").map(|r| next(4, r));
    put(&store, Commit { records: vec![started, ended], ..Commit::default() }).unwrap();
    store.close();
    drop(store);
    let db = rusqlite::Connection::open(journal(&dir)).unwrap();
    db.execute_batch("UPDATE record SET at = 7 WHERE seq = 9").unwrap();
    drop(db);
    let (store, loaded) = open(&dir).unwrap();
    let restored = loaded.restored.unwrap();
    assert_eq!((restored.backup, restored.salvaged), (Some(6), 2), "{restored:?}");
    let kept: Vec<u64> = (1..=4).filter(|txn| wait(store.sealed(*txn)).unwrap().is_some()).collect();
    assert_eq!(kept, [0; 0], "sealed PANs of a batch that is closed, and nothing erases them any more");
    store.close();
}

/// After a kill they say what they are to say, but nobody knows whether that is on the disk: a sync may have
/// failed.
#[test]
fn the_marks_are_written_anew_at_each_start() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let dir = killed(&sales(&dir, None), &dir);
    let before = fs::read(dir.join("journal.marks")).unwrap();
    let (store, _) = open(&dir).unwrap();
    assert_ne!(before, fs::read(dir.join("journal.marks")).unwrap());
    store.close();
}

/// What a backup that was cut, or whose copy was bad, has left is no obstacle to the next one.
#[test]
fn a_bad_copy_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, None);
    fs::write(dir.join("journal.backup.new.db"), [0x55; 8192]).unwrap();
    assert_eq!(store.check_and_back_up().unwrap().broken, None);
    assert!(dir.join("journal.backup.db").exists());
    store.close();
}

/// First the file of the keys is gone, and later the journal, whose backup is old.
#[test]
fn keys_that_are_gone_are_written_anew() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    sales(&dir, Some(4)).close();
    fs::remove_file(dir.join("journal.keys")).unwrap();
    assert_eq!(judge(&dir, "without keys"), None);
    fs::remove_file(journal(&dir)).unwrap();
    // The check after the start has made a newer backup: the older one is what is left.
    fs::copy(dir.join("journal.backup.1.db"), dir.join("journal.backup.db")).unwrap();
    let restored = judge(&dir, "without the journal").unwrap();
    assert_eq!((restored.backup, restored.lost), (Some(12), 4), "{restored:?}");
    // What was lost is told by the journal too.
    fs::remove_file(dir.join("journal.keys")).unwrap();
    let (store, _) = open(&dir).unwrap();
    store.close();
    drop(store);
    for f in ["journal.db", "journal.backup.db", "journal.backup.1.db"] {
        fs::remove_file(dir.join(f)).unwrap();
    }
    assert_eq!(judge(&dir, "without all of it").unwrap().lost, 8);
}
