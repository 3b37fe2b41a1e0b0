//! The state directory: lock, modes, connections, migrations.
use crate::{Options, StoreError, chain, restore, sql, wal};
use payterm_vault::KeyedHash;
use rusqlite::{Connection, OpenFlags, config::DbConfig};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// "PTJL": `PRAGMA application_id` of a journal.
const APPLICATION_ID: i32 = 0x5054_4a4c;
/// "PTRM": that of a journal whose records are of version 1 or 2, which this program does not read.
pub(crate) const EARLIER_APPLICATION_ID: i32 = 0x5054_524d;
/// Numbered migrations; the last one's number is `PRAGMA user_version`.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("../sql/0001_journal.sql")];
/// A writer waits for a checkpoint or a reader at most this long.
const BUSY: Duration = Duration::from_secs(5);

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |cause| StoreError::File { path: path.to_owned(), cause: Arc::new(cause) }
}
pub(crate) fn journal(dir: &Path) -> PathBuf {
    dir.join("journal.db")
}

/// The file that has the journal's name (device and number): a restoring gives it to another one.
pub(crate) type Which = Option<(u64, u64)>;
pub(crate) fn which(dir: &Path) -> Which {
    std::fs::metadata(journal(dir)).ok().map(|m| (m.dev(), m.ino()))
}

/// Refuses a directory whose journal, or where that is gone whose backup, is of an earlier format; writes
/// nothing, and leaves SQLite out of it, which would.
pub(crate) fn refuse_earlier(dir: &Path, backups: &[PathBuf]) -> Result<(), StoreError> {
    let path = journal(dir);
    let gone = std::fs::metadata(&path).map_or(true, |m| m.len() == 0);
    let mut all = std::iter::once(&path).chain(backups.iter().filter(|_| gone));
    all.try_for_each(|path| refuse_earlier_file(path))
}
pub(crate) fn refuse_earlier_file(path: &Path) -> Result<(), StoreError> {
    if is_earlier(path).map_err(file_error(path))? {
        return Err(StoreError::JournalOfAnEarlierFormat { path: path.to_owned() });
    }
    Ok(())
}

/// The header of the database says so, or the newest one in its write-ahead log
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>).
fn is_earlier(path: &Path) -> io::Result<bool> {
    const ID: std::ops::Range<usize> = 68..72;
    let earlier = |page: &[u8]| page.get(ID) == Some(&EARLIER_APPLICATION_ID.to_be_bytes()[..]);
    let header = match File::open(path) {
        Ok(file) => {
            let mut header = Vec::new();
            file.take(ID.end as u64).read_to_end(&mut header)?;
            header
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let unset = header.get(ID).is_none_or(|id| id == [0; 4]);
    Ok(earlier(&header)
        || (unset && wal::first_pages(&path.with_extension("db-wal"))?.iter().any(|p| earlier(p))))
}

/// Makes the directory (0700) and takes its lock; the lock ends with the last clone of the file.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    refuse_earlier(dir, &restore::backups_in(dir))?;
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file_error(dir))?;
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(file_error(dir))?;
    let path = dir.join("lock");
    let file = private(&path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::StateInUse(dir.to_owned())),
        Err(e) => Err(file_error(&path)(e.into())),
    }
}

/// Opens or makes a file that only its owner may read.
pub(crate) fn private(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(file_error(path))?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(file_error(path))?;
    Ok(file)
}

/// The writer's connection: file made with mode 0600 (WAL and index inherit it), migrated, and everything in
/// the WAL moved into the database file. The last matters after a failed sync: the kernel may show bytes of
/// the WAL that never reached the disk and will not write them again; a checkpoint writes them anew and
/// syncs, and the WAL begins at its start.
pub(crate) fn open_writer(
    dir: &Path,
    key: &KeyedHash,
    options: &Options,
    migrations: &[&str],
) -> Result<Connection, StoreError> {
    let path = journal(dir);
    drop(private(&path)?);
    let mut db = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(sql("open the journal"))?;
    db.busy_timeout(BUSY).map_err(sql("busy_timeout"))?;
    keep_wal(&db, true)?;
    let (found, fresh) = version(&db, &path, migrations.len() as u32)?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; \
         PRAGMA trusted_schema=OFF; PRAGMA secure_delete=ON; PRAGMA wal_autocheckpoint=0;",
    )
    .map_err(sql("set up the journal"))?;
    let checkpoint: i64 = db
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))
        .map_err(sql("checkpoint at start"))?;
    if checkpoint != 0 {
        return Err(sql("checkpoint at start")(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
            None,
        )));
    }
    if let Some(n) = options.max_pages {
        db.pragma_update(None, "max_page_count", n).map_err(sql("max_page_count"))?;
    }
    db.set_prepared_statement_cache_capacity(32);
    if (found as usize) < migrations.len() && !fresh {
        back_up(&db, &dir.join(format!("journal.before-{}.db", found + 1)))?;
    }
    migrate(&mut db, key, migrations, found)?;
    Ok(db)
}

/// Whether the WAL stays when the connection is closed. It does unless the marks say that the journal was
/// left in order: one that is gone beside an open journal is damage. (A reader's connection never removes
/// it.)
pub(crate) fn keep_wal(db: &Connection, keep: bool) -> Result<(), StoreError> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop).map_err(sql("keep the WAL"))
}

/// The schema version that is there, and whether the file is new.
fn version(db: &Connection, path: &Path, known: u32) -> Result<(u32, bool), StoreError> {
    let found: u32 =
        db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(sql("read the schema version"))?;
    let application: i32 =
        db.query_row("PRAGMA application_id", [], |r| r.get(0)).map_err(sql("read the application id"))?;
    let tables: u32 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(sql("read"))?;
    let fresh = application == 0 && found == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(StoreError::NotOurs { path: path.to_owned() });
    }
    if fresh {
        return Ok((0, true));
    }
    // Each migration left a row: the number in the header alone may be damaged.
    let run: u32 = db
        .query_row("SELECT count(*) FROM meta WHERE key GLOB 'migration_*'", [], |r| r.get(0))
        .map_err(sql("read the migrations"))?;
    if run != found {
        return Err(StoreError::Chain {
            place: format!("schema version {found}"),
            rule: "is not the one that its migrations left",
        });
    }
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok((found, false))
}

pub(crate) fn migrate(
    db: &mut Connection,
    key: &KeyedHash,
    migrations: &[&str],
    found: u32,
) -> Result<(), StoreError> {
    for (i, text) in migrations.iter().enumerate().skip(found as usize) {
        let step = db.transaction().map_err(sql("begin a migration"))?;
        step.execute_batch(text).map_err(sql("migrate"))?;
        step.pragma_update(None, "user_version", i as u32 + 1).map_err(sql("migrate"))?;
        step.pragma_update(None, "application_id", APPLICATION_ID).map_err(sql("migrate"))?;
        let what = format!("migration_{}", i + 1);
        step.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)",
            [what.as_str(), concat!("payterm ", env!("CARGO_PKG_VERSION"))],
        )
        .map_err(sql("migrate"))?;
        if i == 0 {
            chain::begin(&step, key).map_err(sql("begin the chain"))?;
        }
        step.commit().map_err(sql("commit a migration"))?;
    }
    Ok(())
}

/// A copy of the whole journal, synced: of one moment, however much is committed meanwhile.
pub(crate) fn back_up(db: &Connection, path: &Path) -> Result<(), StoreError> {
    // What one that was cut has left may be no database.
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    for left in [path, Path::new(&journal)] {
        match std::fs::remove_file(left) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(file_error(left)(e)),
            Ok(()) | Err(_) => {}
        }
    }
    drop(private(path)?);
    let mut copy = Connection::open(path).map_err(sql("open the backup"))?;
    let run = rusqlite::backup::Backup::new(db, &mut copy).map_err(sql("back up"))?;
    run.run_to_completion(i32::MAX, Duration::ZERO, None).map_err(sql("back up"))?;
    drop(run);
    drop(copy);
    sync(path)
}

/// Syncs a file and its name.
pub(crate) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|f| f.sync_all()).map_err(file_error(path))?;
    sync_dir(path.parent().unwrap_or(path))
}
/// Syncs a directory: the names in it.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(file_error(dir))
}

pub(crate) fn open_reader(dir: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open_with_flags(
        journal(dir),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(sql("open the journal for reading"))?;
    db.busy_timeout(BUSY).map_err(sql("busy_timeout"))?;
    db.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;").map_err(sql("set up the reader"))?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Opens the journal read-only, without a trace where nobody writes: a journal whose WAL is gone was left
/// in order.
pub(crate) fn open_to_verify(path: &Path) -> Result<Connection, StoreError> {
    let wal = path.with_extension("db-wal").exists();
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let text = path.to_str().ok_or_else(|| file_error(path)(io::Error::other("its name is not UTF-8")))?;
    let quoted: String = text
        .chars()
        .map(|c| if matches!(c, '%' | '?' | '#') { format!("%{:02x}", c as u32) } else { c.into() })
        .collect();
    let db =
        Connection::open_with_flags(format!("file:{quoted}{}", if wal { "" } else { "?immutable=1" }), flags)
            .map_err(sql("open the journal to verify it"))?;
    db.busy_timeout(BUSY).map_err(sql("busy_timeout"))?;
    db.execute_batch("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF;").map_err(sql("set up the reader"))?;
    Ok(db)
}

/// Size up to which the WAL is filled with zeros. 8 MiB: what comes together between two checkpoints. A WAL
/// that grows with each commit makes each sync write the file's metadata too; one that is only overwritten
/// spares the flash that, and each payment the time.
const WAL_RESERVED: u64 = 8 << 20;

/// Extends the WAL. Zeros behind its last frame are no frame: SQLite reads up to the first that does not
/// check. It locks the database and the index, never the WAL itself, so opening that here takes no lock away.
pub(crate) fn reserve_wal(dir: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(dir.join("journal.db-wal"))?;
    let zeros = vec![0; 1 << 20];
    let mut at = file.seek(io::SeekFrom::End(0))?;
    while at < WAL_RESERVED {
        let n = zeros.len().min((WAL_RESERVED - at) as usize);
        file.write_all(&zeros[..n])?;
        at += n as u64;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyedHash {
        payterm_vault::SealingKey::new([7; 32]).keyed_hash(chain::PURPOSE)
    }
    const NEXT: &str = "ALTER TABLE meta ADD COLUMN note TEXT;";
    fn and(next: &'static str) -> Vec<&'static str> {
        [MIGRATIONS, &[next]].concat()
    }

    #[test]
    fn a_migration_is_preceded_by_a_backup_and_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_writer(dir.path(), &key(), &Options::default(), MIGRATIONS).unwrap();
        let row = "INSERT INTO record (seq, at, version, json, chain) \
                   VALUES (1, 5, 3, '{\"type\":\"booted\"}', zeroblob(32))";
        db.execute_batch(row).unwrap();
        drop(db);
        let known = MIGRATIONS.len() as u32;
        let db = open_writer(dir.path(), &key(), &Options::default(), &and(NEXT)).unwrap();
        let rows = |db: &Connection| {
            db.query_row("SELECT count(*), max(json ->> '$.type') FROM record", [], |r| {
                Ok((r.get::<_, u32>(0)?, r.get::<_, String>(1)?))
            })
            .unwrap()
        };
        let version =
            |db: &Connection| db.query_row("PRAGMA user_version", [], |r| r.get::<_, u32>(0)).unwrap();
        assert_eq!((rows(&db), version(&db)), ((1, "booted".into()), known + 1));
        let before = Connection::open(dir.path().join(format!("journal.before-{}.db", known + 1))).unwrap();
        assert_eq!((rows(&before), version(&before)), ((1, "booted".into()), known));
        assert!(before.prepare("SELECT note FROM meta").is_err());
        drop(db);
        let newer = open_writer(dir.path(), &key(), &Options::default(), MIGRATIONS).err().unwrap();
        assert!(
            matches!(
                newer,
                StoreError::NewerSchema { found, known: k, .. } if (found, k) == (known + 1, known)
            ),
            "{newer}"
        );
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(open_writer(dir.path(), &key(), &Options::default(), MIGRATIONS).unwrap());
        assert!(
            open_writer(
                dir.path(),
                &key(),
                &Options::default(),
                &and("ALTER TABLE meta ADD COLUMN note TEXT; SELECT nonsense;")
            )
            .is_err()
        );
        let db = open_writer(dir.path(), &key(), &Options::default(), MIGRATIONS).unwrap();
        assert!(db.prepare("SELECT note FROM meta").is_err());
    }
}
