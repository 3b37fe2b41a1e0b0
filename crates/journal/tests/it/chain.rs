//! The hash chain: it proves the journal, and finds out whoever changes it without the key.
use crate::rig::{key, put, wait};
use crate::store::{booted, commit, ended, open, started};
use payterm_journal::{Commit, Store};
use payterm_vault::SealingKey;

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
    assert_eq!((live.records, live.keyed, live.broken), (6, true, None));
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
        ("UPDATE record SET chain = zeroblob(32) WHERE seq = 5", "record 5"),
        ("DELETE FROM record WHERE seq = 3", "record 3"),
        ("DELETE FROM record WHERE seq = 3; UPDATE record SET seq = seq - 1 WHERE seq > 3", "record 3"),
        (
            "INSERT INTO record SELECT 7, at, txn, version, json, sealed, chain FROM record WHERE seq = 6",
            "record 7",
        ),
        ("UPDATE meta SET value = replace(value, 'a', 'b') WHERE key = 'chain_start'", "its start"),
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
