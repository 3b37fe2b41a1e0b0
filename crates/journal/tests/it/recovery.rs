//! What a restoring keeps: what is lost stays lost, what was erased stays erased, and no STAN and no request
//! key is ever used again.
use crate::rig::{
    aside, copy, journal, judge, key, killed, main_account, open, outcome, put, reopened, request_key, sale,
    sales, short, short_sale, wait,
};
use payterm_journal::{Commit, Options, Store, StoreError};
use payterm_schema::{Batch, Entry, Record, RequestRecord, TerminalRecord, Time};
use serde_json::json;
use std::fs;

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
    db.execute_batch("INSERT INTO snapshot (seq, version, json, chain) VALUES (24, 99, '{}', zeroblob(32))")
        .unwrap();
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
    let harm = "DELETE FROM record WHERE txn > 5; DELETE FROM txn WHERE txn > 5; \
                UPDATE record SET at = 7 WHERE seq = 15";
    let loaded = reopened(&store, &dir, harm, async { store.knows(&request_key(8)) });
    assert_eq!(loaded.restored.unwrap().lost, 3);
    for txn in 6..=8 {
        let k = request_key(txn);
        // What the front asks before it starts a request.
        let refused = store.knows(&k) != Some(false) && wait(store.lost(&k)).unwrap();
        assert!(refused, "the lost payment {txn} would be started again");
    }
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
        serde_json::from_value(json!({"settlement": {"batch_closed": {
            "txn": 3, "account": "main", "next": 2, "how": "nothing_left",
            "trace": {"sent": [], "received": []},
        }}}))
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

/// The whole state directory is put back as it was days ago: sound in itself, and behind the generation file.
#[test]
fn an_old_copy_of_the_state_directory_is_behind_its_generation_file() {
    let root = tempfile::tempdir().unwrap();
    let (dir, file) = (root.path().join("state"), root.path().join("generation"));
    let open = |dir: &std::path::Path| {
        let held = payterm_journal::hold(dir).unwrap();
        let generation = Some(file.clone());
        Store::open(held, dir, key(), Options { reserve: 0, generation, ..Options::default() }).unwrap()
    };
    let (store, loaded) = open(&dir);
    assert!(loaded.restored.is_none() && store.health().unwrap().generation.is_none(), "a new terminal");
    sale(&store, 1).unwrap();
    let old = killed(&store, &dir);
    drop(store);
    assert_eq!(fs::read(&file).unwrap().len(), 32);
    // Left in order, and after a kill.
    let (store, loaded) = open(&dir);
    assert!(loaded.restored.is_none());
    sale(&store, 2).unwrap();
    let killed = root.path().join("again");
    copy(&dir, &killed);
    let (store, loaded) = {
        let generation = fs::read(&file).unwrap();
        store.close();
        fs::write(&file, generation).unwrap();
        open(&killed)
    };
    assert!(loaded.restored.is_none() && loaded.last_seq == 6);
    store.close();
    drop(store);
    // Over a start that has it not on record yet, too.
    for _ in 0..2 {
        let (store, loaded) = open(&old);
        let restored = loaded.restored.expect("an old copy");
        assert!(restored.outdated && restored.stans.is_none() && restored.last_txn == 1, "{restored:?}");
        store.close();
    }
    let (store, loaded) = open(&old);
    let record = Record::Terminal(TerminalRecord::Restored { restored: Box::new(loaded.restored.unwrap()) });
    let entry = Entry { seq: loaded.last_seq + 1, at: Time(1), txn: None, record };
    put(&store, Commit { records: vec![entry], ..Commit::default() }).unwrap();
    store.close();
    drop(store);
    let (store, loaded) = open(&old);
    assert!(loaded.restored.is_none());
    store.close();
    drop(store);
    // On a new machine it is not there; another terminal's says nothing.
    for there in [None, Some([7; 32])] {
        fs::remove_file(&file).unwrap();
        there.map_or(Ok(()), |bytes| fs::write(&file, bytes)).unwrap();
        let (store, loaded) = open(&old);
        assert!(loaded.restored.is_none() && store.health().unwrap().generation.is_some());
        store.close();
        drop(store);
        let (store, _) = open(&old);
        assert!(store.health().unwrap().generation.is_none(), "it is kept from then on");
        store.close();
    }
}

/// What is written in between has a name of its own, also beside files of the same stem.
#[test]
fn a_generation_file_takes_no_other_files_name() {
    let root = tempfile::tempdir().unwrap();
    let (dir, other) = (root.path().join("state"), root.path().join("lane.new"));
    fs::write(&other, "another lane's").unwrap();
    let generation = root.path().join("lane.1");
    let held = payterm_journal::hold(&dir).unwrap();
    let options = Options { reserve: 0, generation: Some(generation.clone()), ..Options::default() };
    let (store, _) = Store::open(held, &dir, key(), options).unwrap();
    store.close();
    assert_eq!(fs::read(generation).unwrap().len(), 32);
    assert_eq!(fs::read_to_string(other).unwrap(), "another lane's");
}
