//! Journals of other formats: refused by name, and nothing of them is changed.
use payterm_journal::{Options, Store, StoreError};
use payterm_vault::SealingKey;
use rusqlite::{Connection, config::DbConfig};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// As the last program of the format of before wrote it, cut to what tells the format.
const EARLIER: &str = "PRAGMA journal_mode=WAL; PRAGMA application_id=1347703373; PRAGMA user_version=5;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE record (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, txn INTEGER, version INTEGER NOT NULL,
        json TEXT NOT NULL, sealed BLOB, chain BLOB) STRICT;
    INSERT INTO meta VALUES ('migration_1', 'payterm 0.1.0'), ('migration_5', 'payterm 0.1.0');
    INSERT INTO record VALUES (1, 1, NULL, 2, '{\"type\":\"booted\",\"version\":\"0.1.0\"}', NULL, NULL);";

/// Each file with its bytes, mode and time of change, and the directory's own.
fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, SystemTime)> {
    let of = |path: PathBuf| {
        let about = fs::metadata(&path).unwrap();
        let bytes = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        (path, (bytes, about.mode(), about.modified().unwrap()))
    };
    fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).chain([dir.to_owned()]).map(of).collect()
}

fn refused(dir: &Path, options: Options) -> PathBuf {
    let before = state(dir);
    let key = SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE);
    let opened = payterm_journal::hold(dir).and_then(|held| Store::open(held, dir, key, options));
    let Err(StoreError::JournalOfAnEarlierFormat { path }) = opened else {
        panic!("{:?}", opened.map(|(_, loaded)| loaded))
    };
    assert!(before == state(dir), "the directory was touched");
    path
}

fn write_earlier(path: &Path, in_wal_only: bool) {
    let db = Connection::open(path).unwrap();
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, in_wal_only).unwrap();
    db.execute_batch(EARLIER).unwrap();
}

#[test]
fn a_journal_of_an_earlier_format_is_refused_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    for in_wal_only in [false, true] {
        let dir = root.path().join(in_wal_only.to_string());
        fs::create_dir(&dir).unwrap();
        write_earlier(&dir.join("journal.db"), in_wal_only);
        let header = fs::read(dir.join("journal.db")).unwrap();
        assert_eq!(header[68..72] == *b"PTRM", !in_wal_only);
        fs::write(dir.join("journal.marks"), [0; 8192]).unwrap();
        fs::write(dir.join("vault.sealed"), "sealed").unwrap();
        assert_eq!(refused(&dir, Options::default()), dir.join("journal.db"));
        let verified = payterm_journal::verify(&dir.join("journal.db"), None, None);
        assert!(matches!(verified, Err(StoreError::JournalOfAnEarlierFormat { .. })), "{verified:?}");
    }
}

/// The journal is gone: its backup would be put back.
#[test]
fn so_is_a_backup_where_the_journal_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let (dir, backups) = (root.path().join("state"), root.path().join("backups"));
    fs::create_dir(&dir).unwrap();
    fs::create_dir(&backups).unwrap();
    write_earlier(&dir.join("journal.backup.1.db"), false);
    assert_eq!(refused(&dir, Options::default()), dir.join("journal.backup.1.db"));
    fs::rename(dir.join("journal.backup.1.db"), backups.join("journal.backup.db")).unwrap();
    // The lock was taken before: it names no other directory.
    drop(payterm_journal::hold(&dir).unwrap());
    let options = Options { backups: Some(backups.clone()), ..Options::default() };
    assert_eq!(refused(&dir, options), backups.join("journal.backup.db"));
}

/// A backup that nobody needs is no reason.
#[test]
fn a_journal_of_this_format_is_opened_beside_an_earlier_backup() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("state");
    let key = || SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE);
    let open = || Store::open(payterm_journal::hold(&dir).unwrap(), &dir, key(), Options::default()).unwrap();
    open().0.close();
    write_earlier(&dir.join("journal.backup.db"), false);
    let (store, loaded) = open();
    assert!(loaded.restored.is_none());
    store.close();
}
