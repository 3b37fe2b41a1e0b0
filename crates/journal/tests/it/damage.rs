//! Journals that are damaged, torn or gone, with real files: noticed, put aside, put back from backup and
//! what is left; and what looks like damage and is none.
use crate::rig::{
    aside, copy, cut, flip, journal, judge, key, killed, main_account, open, put, request_key, sale, sales,
    short, short_sale, wait,
};
use payterm_journal::{Commit, Options, Store, StoreError};
use payterm_schema::{Entry, Record, RequestRecord, Time};
use payterm_vault::SealingKey;
use std::{fs, os::unix::fs::FileExt, path::Path};

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
            let marks = fs::read(dir.join("journal.marks")).unwrap();
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
            // The head is noted behind the commit.
            fs::write(cut.join("journal.marks"), marks).unwrap();
            let (opened, loaded) = open(&cut).unwrap();
            opened.close();
            found += 1;
            assert!(loaded.restored.is_none(), "a power cut was taken for damage: {:?}", loaded.restored);
        }
    }
    assert!(found > 0);
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

/// A person opens the journal of a daemon that was killed with SQLite, reads one row, and leaves: SQLite
/// moves the write-ahead log into the database.
fn look(dir: &Path) {
    let db = rusqlite::Connection::open(journal(dir)).unwrap();
    db.query_row("SELECT status FROM txn WHERE txn = 1", [], |r| r.get::<_, String>(0)).unwrap();
    drop(db);
    assert!(!dir.join("journal.db-wal").exists());
}

#[test]
fn looking_is_no_damage() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let whole = killed(&sales(&dir, Some(4)), &dir);
    look(&whole);
    let off = root.path().join("off");
    copy(&whole, &off);
    assert_eq!(judge(&whole, "looked at"), None);
    assert_eq!(aside(&whole), [""; 0]);
    // After a power cut nobody knows which head was the last.
    fs::OpenOptions::new()
        .write(true)
        .open(off.join("journal.marks"))
        .unwrap()
        .write_all_at(&[0; 64], 8192)
        .unwrap();
    assert!(judge(&off, "the machine was off").is_some());
}

/// The last record is gone, the start of its request is not: with a write-ahead log that is gone, and with
/// one that is empty.
#[test]
fn a_lost_end_is_noticed_wherever_the_pages_are() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let store = sales(&dir, None);
    let mut both = short(9, 25, "approved").records.into_iter();
    put(&store, Commit { records: both.next().into_iter().collect(), ..Commit::default() }).unwrap();
    let before = root.path().join("before");
    copy(&dir, &before);
    look(&before);
    put(&store, Commit { records: both.collect(), ..Commit::default() }).unwrap();
    let dir = killed(&store, &dir);
    fs::copy(journal(&before), journal(&dir)).unwrap();
    for wal in ["gone", "empty"] {
        let harmed = root.path().join(wal);
        copy(&dir, &harmed);
        fs::remove_file(harmed.join("journal.db-wal")).unwrap();
        if wal == "empty" {
            fs::write(harmed.join("journal.db-wal"), "").unwrap();
        }
        let restored = judge(&harmed, wal).expect("the end of payment 9 is gone, and nobody says so");
        assert_eq!((restored.salvaged, restored.lost), (25, 0), "{wal}: {restored:?}");
    }
}
