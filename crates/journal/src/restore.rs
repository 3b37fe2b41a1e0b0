//! A journal that is damaged, torn or gone: put aside, never deleted, and put back from the newest backup
//! that verifies and from what the damaged file still proves by its chain.
//!
//! Invariant: a directory that had a journal never gets a fresh one unnoticed: what is put back is marked in
//! its `meta`, in the file before it takes the journal's name, until the machine has the restoring on record.
//!
//! It may be cut anywhere, by the power or by a disk that takes nothing, and is gone on with by the next
//! opening: the damage is on disk before anything is touched ([`SUSPECT`]), the new journal is whole before
//! the damaged one is moved, and a whole one is never made again.
use crate::{
    Loaded, Options, StoreError,
    chain::{self, Head, Row},
    files,
    high_water::{self, Marks},
    sql, verify, wal,
    writer::{self, Opened},
};
use payterm_schema::record::Restored;
use payterm_vault::KeyedHash;
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Key in `meta` while the restoring is not on record.
const PENDING: &str = "restored";
/// Beginning of the name of a journal that was put aside; the time follows.
const ASIDE: &str = "journal.damaged-";
/// Endings of the names of a journal's files.
const PARTS: [&str; 3] = ["-shm", "-wal", ""];
/// Name of what is put back, until it is whole and takes the journal's name.
const NEW: &str = "journal.restoring.db";
/// The journal is to be restored; its text says why.
const SUSPECT: &str = "journal.suspect";

/// The journal is damaged: whoever opens it next restores it.
pub(crate) fn suspect(dir: &Path, why: &str) -> Result<(), StoreError> {
    use std::io::Write;
    let path = dir.join(SUSPECT);
    if path.exists() {
        return Ok(());
    }
    // Whatever lies there belongs to another damage.
    remove_all(&dir.join(NEW))?;
    files::private(&path)?.write_all(why.as_bytes()).map_err(files::file_error(&path))?;
    files::sync(&path)
}

/// The journal, as it is or restored.
pub(crate) fn open(dir: &Path, key: &KeyedHash, options: &Options) -> Result<(Opened, Marks), StoreError> {
    files::refuse_earlier(dir, &backups(dir, options))?;
    let mut marks = Marks::open(dir, key, journal_was_here(dir, options), options.generation.clone())?;
    let old_copy = marks.behind();
    let unwalled = marks.was_open() && !files::journal(dir).with_extension("db-wal").exists();
    let opened = match doubt(dir, &marks, unwalled)? {
        Some(why) => Err(why),
        None => match writer::open(dir, key, options)
            .and_then(|opened| Ok((judge(&opened, key, &marks, unwalled)?, opened)))
        {
            Ok((behind, opened)) => behind.map_or(Ok(opened), Err),
            Err(e @ StoreError::NotOurs { .. }) if marks.found == high_water::Opened::Whole => {
                Err(e.to_string())
            }
            Err(e @ StoreError::Chain { .. }) if other_key(dir, key, options) => {
                tracing::error!("{e}");
                return Err(StoreError::OtherKey { path: files::journal(dir) });
            }
            Err(e) => Err(e.damage().ok_or(e)?),
        },
    };
    let mut opened = match opened {
        Ok(opened) => opened,
        Err(why) => {
            tracing::error!("the journal is damaged: {why}");
            restore(dir, key, options, &mut marks, why)?;
            writer::open(dir, key, options)?
        }
    };
    if old_copy && opened.loaded.restored.is_none() {
        let last: u64 = opened
            .db
            .query_row("SELECT coalesce(max(txn), 0) FROM txn", [], |r| r.get(0))
            .map_err(sql("read the last transaction"))?;
        let restored = Restored::outdated("the generation file is ahead of this state directory", last);
        mark_pending(&opened.db, &restored)?;
        tracing::error!(
            "the state directory is an old copy: payments are stopped until the supervisor ends the recovery"
        );
        opened.loaded.restored = Some(restored);
    }
    // The WAL's name first: one that is gone while the mark says "open" is damage.
    files::sync_dir(dir)?;
    marks.opened(opened.loaded.head)?;
    Ok((opened, marks))
}

fn restore(
    dir: &Path,
    key: &KeyedHash,
    options: &Options,
    marks: &mut Marks,
    why: String,
) -> Result<(), StoreError> {
    suspect(dir, &why)?;
    put_back(dir, key, options, marks, why)?;
    // What was put back has no WAL yet: cut here, the one before it is not missed.
    marks.forget_head()?;
    marks.left(None)?;
    remove(&dir.join(SUSPECT))
}

/// Neither the journal nor a backup holds a record that was written under this key, and all can be read.
fn other_key(dir: &Path, key: &KeyedHash, options: &Options) -> bool {
    let of = |path: &Path| files::open_to_verify(path).ok().and_then(|db| chain::is_of(&db, key).ok());
    let mut all = [files::journal(dir)].into_iter().chain(backups(dir, options)).filter(|p| p.exists());
    all.all(|p| of(&p) == Some(false))
}

/// Tells whether something is there that only comes beside a journal.
fn journal_was_here(dir: &Path, options: &Options) -> bool {
    let beside = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|f| f.file_name().to_string_lossy().starts_with(ASIDE));
    beside
        || fs::metadata(files::journal(dir)).is_ok_and(|m| m.len() > 0)
        || backups(dir, options).iter().any(|b| b.exists())
}

/// Finds what is wrong before the database is looked at. `unwalled`: the journal was not left in order, and
/// its WAL is gone.
fn doubt(dir: &Path, marks: &Marks, unwalled: bool) -> Result<Option<String>, StoreError> {
    let path = files::journal(dir);
    let size = fs::metadata(&path).map_or(0, |m| m.len());
    match fs::read_to_string(dir.join(SUSPECT)) {
        Ok(why) => return Ok(Some(why)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Ok(Some(format!("{SUSPECT}: {e}"))),
    }
    match marks.found {
        high_water::Opened::Nothing => return Ok(None),
        // A journal of a version that kept no marks.
        high_water::Opened::Lost if size > 0 => return Ok(None),
        high_water::Opened::Whole | high_water::Opened::Lost if size == 0 => {
            return Ok(Some("the file is gone or empty".into()));
        }
        high_water::Opened::Whole | high_water::Opened::Lost => {}
    }
    if !marks.was_open() {
        return Ok(None);
    }
    if unwalled {
        // SQLite's shell moves it into the database when it is closed: where the last head is known, the
        // database itself shows whether that is so.
        return Ok((!marks.head_is_last()).then(|| "its write-ahead log is gone".into()));
    }
    let walled = path.with_extension("db-wal");
    Ok(wal::damage(&walled).map_err(files::file_error(&walled))?.map(Into::into))
}

fn judge(
    opened: &Opened,
    key: &KeyedHash,
    marks: &Marks,
    unwalled: bool,
) -> Result<Option<String>, StoreError> {
    let mut behind = behind(opened, marks)?;
    if behind.is_none() && unwalled {
        // Its last page may be there, and another one not.
        behind = verify::of(&opened.db, Some(key))?.broken.map(|b| b.to_string());
        if behind.is_none() {
            tracing::info!("another program has moved the write-ahead log into the journal, which is whole");
        }
    }
    if behind.is_none() {
        match catch_up(&opened.db, key, marks) {
            Err(e) if e.damage().is_none() => tracing::warn!("store: {e}"),
            done => done?,
        }
    }
    Ok(behind)
}

/// Keys that are missing of what is on record: cut off between the two, or their file is gone.
fn catch_up(db: &Connection, key: &KeyedHash, marks: &Marks) -> Result<(), StoreError> {
    let read = || sql("read the keys");
    let last = marks.last_txn();
    let mut all: Vec<(u64, high_water::KeyHash)> = db
        .prepare("SELECT txn, app, id FROM txn WHERE txn > ?1")
        .and_then(|mut s| {
            let row = |r: &rusqlite::Row<'_>| {
                Ok((r.get(0)?, high_water::hash_of(key, r.get_ref(1)?.as_str()?, r.get_ref(2)?.as_str()?)))
            };
            s.query_map([last.unwrap_or(0)], row)?.collect()
        })
        .map_err(read())?;
    // What is lost is in the file, unless that is gone.
    if last.is_none() {
        let lost: rusqlite::Result<Vec<_>> = db
            .prepare("SELECT txn, key FROM lost")
            .and_then(|mut s| s.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect());
        all.extend(lost.map_err(read())?);
    }
    all.sort_unstable();
    marks.make_room(all.len())?;
    all.into_iter().try_for_each(|(txn, hash)| marks.missed(hash, txn))
}

/// The journal is older than what is beside it says: a copy was put in its place, or records are gone. A key
/// is written when its request is on record, a head when a commit has reached it, and a journal that was left
/// in order has the head that it was left with.
fn behind(opened: &Opened, marks: &Marks) -> Result<Option<String>, StoreError> {
    let found = opened.loaded.head.to_string();
    if let Some(left) = marks.left_with().filter(|left| *left != found) {
        return Ok(Some(format!("its head is {found}, but it was left with {left}")));
    }
    let there = |head: Head| chain::head(&opened.db, head.seq).map_err(sql("read the chain"));
    if let Some(head) = marks.head()
        && there(head)? != head
    {
        return Ok(Some(format!("its head is {found}, but it had {head}")));
    }
    // What a restoring has lost is told already.
    let text =
        "SELECT max(coalesce((SELECT max(txn) FROM txn), 0), coalesce((SELECT max(txn) FROM lost), 0))";
    let last: u64 = opened.db.query_row(text, [], |r| r.get(0)).map_err(sql("read the last transaction"))?;
    let begun = marks.last_txn().filter(|begun| *begun > last);
    Ok(begun.map(|begun| format!("its last transaction is {last}, but {begun} was started")))
}

/// Newest first.
pub(crate) fn backups(dir: &Path, options: &Options) -> [PathBuf; 2] {
    backups_in(options.backups.as_deref().unwrap_or(dir))
}
pub(crate) fn backups_in(dir: &Path) -> [PathBuf; 2] {
    [dir.join("journal.backup.db"), dir.join("journal.backup.1.db")]
}

fn put_back(
    dir: &Path,
    key: &KeyedHash,
    options: &Options,
    marks: &Marks,
    why: String,
) -> Result<(), StoreError> {
    let new = dir.join(NEW);
    let restored = match whole(&new) {
        Some(restored) => restored,
        None => build(dir, &new, key, options, marks, why)?,
    };
    put_aside(dir, &restored.kept)?;
    let path = files::journal(dir);
    fs::rename(&new, &path).map_err(files::file_error(&new))?;
    files::sync(&path)?;
    tracing::error!(
        backup = restored.backup,
        salvaged = restored.salvaged,
        lost = restored.lost,
        kept = restored.kept,
        "the journal was restored: payments are stopped until the supervisor ends the recovery"
    );
    Ok(())
}

/// The journal that an opening before this one has put together: its mark came with everything else, in one
/// transaction.
fn whole(new: &Path) -> Option<Restored> {
    let there = fs::metadata(new).is_ok_and(|m| m.len() > 0);
    there.then(|| Connection::open(new).ok()).flatten().and_then(|db| pending(&db).ok()?)
}

/// Puts the new journal together beside the damaged one, which stays as it is.
fn build(
    dir: &Path,
    new: &Path,
    key: &KeyedHash,
    options: &Options,
    marks: &Marks,
    why: String,
) -> Result<Restored, StoreError> {
    remove_all(new)?;
    let damaged = files::journal(dir);
    let backup = backups(dir, options).into_iter().find_map(|b| {
        let found = b.exists().then(|| verify::verify(&b, Some(key), None));
        match &found {
            Some(Ok(v)) if v.holds() => return Some(b),
            Some(Ok(v)) => tracing::error!(
                "backup {}: {}",
                b.display(),
                v.broken.as_ref().map(ToString::to_string).unwrap_or_default()
            ),
            Some(Err(e)) => tracing::error!("backup {}: {e}", b.display()),
            None => {}
        }
        None
    });
    drop(files::private(new)?);
    if let Some(b) = &backup {
        fs::copy(b, new).map_err(files::file_error(b))?;
    }
    let mut db = Connection::open(new).map_err(sql("open the restored journal"))?;
    db.execute_batch("PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
        .map_err(sql("set up the restored journal"))?;
    let version: u32 =
        db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(sql("read the schema version"))?;
    files::migrate(&mut db, key, files::MIGRATIONS, version)?;
    let step = db.transaction().map_err(sql("begin to restore"))?;
    let from = writer::last(&step)?;
    let salvaged = if damaged.exists() { salvage(&step, key, &damaged, from)? } else { 0 };
    erase_closed(&step, key, options)?;
    // Its WAL may be there without it, and must not be beside the new one.
    let kept =
        if PARTS.iter().any(|part| with(&damaged, part).exists()) { aside(dir) } else { String::new() };
    let last_txn: u64 = step
        .query_row("SELECT coalesce(max(txn), 0) FROM txn", [], |r| r.get(0))
        .map_err(sql("read the last transaction"))?;
    let mut restored = Restored {
        why,
        kept,
        backup: backup.is_some().then_some(from.seq),
        salvaged,
        lost: 0,
        last_txn,
        stans: (marks.found == high_water::Opened::Whole).then(|| marks.stans()),
        outdated: false,
    };
    for (hash, txn) in marks.keys()? {
        // Also what a restoring before this one has lost.
        let text = "INSERT INTO lost (key, txn) SELECT ?1, ?2 \
                    WHERE NOT EXISTS (SELECT 1 FROM txn WHERE txn = ?2) \
                    ON CONFLICT (key) DO UPDATE SET txn = max(txn, excluded.txn)";
        let n = step.execute(text, (hash, txn)).map_err(sql("keep a lost key"))? as u64;
        restored.lost += if txn > last_txn { n } else { 0 };
        restored.last_txn = restored.last_txn.max(txn);
    }
    mark_pending(&step, &restored)?;
    step.commit().map_err(sql("restore"))?;
    db.close().map_err(|(_, e)| sql("restore")(e))?;
    files::sync(new)?;
    Ok(restored)
}

/// A name that nothing has yet: the second one of the same second has another number.
fn aside(dir: &Path) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    (now..).map(|n| format!("{ASIDE}{n}.db")).find(|n| !dir.join(n).exists()).unwrap_or_default()
}

/// Renames the journal with its WAL and index to `kept`; what was renamed before is there already.
fn put_aside(dir: &Path, kept: &str) -> Result<(), StoreError> {
    if kept.is_empty() {
        return Ok(());
    }
    let (path, aside) = (files::journal(dir), dir.join(kept));
    for part in PARTS {
        match fs::rename(with(&path, part), with(&aside, part)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(files::file_error(&path)(e)),
            Ok(()) | Err(_) => {}
        }
    }
    files::sync_dir(dir)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
/// A database and what belongs to it.
fn remove_all(path: &Path) -> Result<(), StoreError> {
    PARTS.iter().chain(&["-journal"]).try_for_each(|part| remove(&with(path, part)))
}
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(files::file_error(path)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes over what the damaged file still proves: the records after the backup's last, as far as each follows
/// the one before it, and what is sealed for them. What cannot be read of it ends that; what cannot be
/// written to the new one is an error: SQLite may have rolled everything back.
fn salvage(new: &Connection, key: &KeyedHash, damaged: &Path, from: Head) -> Result<u64, StoreError> {
    let Ok(old) = files::open_to_verify(damaged) else { return Ok(0) };
    if chain::check_start(&old, Some(key)).is_err() {
        return Ok(0);
    }
    let read = || sql("salvage");
    let mut head = from;
    let ended = (|| {
        let mut select = old
            .prepare(
                "SELECT seq, at, txn, version, json, sealed, chain FROM record WHERE seq > ?1 ORDER BY seq",
            )
            .map_err(read())?;
        let mut rows = select.query([from.seq]).map_err(read())?;
        while let Some(row) = rows.next().map_err(read())? {
            let next = chain::follow(key, &head, row)?;
            let entry = crate::queries::entry(row)?;
            let json = row.get_ref(4).map_err(read())?.as_str().unwrap_or_default();
            let sealed = row.get_ref(5).map_err(read())?.as_blob_or_null().ok().flatten().unwrap_or_default();
            let version = row.get(3).map_err(read())?;
            let written = Row { seq: entry.seq, at: entry.at.0, txn: entry.txn, version, json, sealed };
            if let Err(e) = writer::write_row(new, &entry, &written, next.hash) {
                return Ok(Err(e));
            }
            head = next;
        }
        Ok(Ok(()))
    })();
    let whole = match ended {
        Ok(written) => written.map(|()| true)?,
        Err(e) => {
            let e: StoreError = e;
            tracing::warn!("salvaging ends after record {}: {e}", head.seq);
            false
        }
    };
    // It may end before the backup does.
    let whole = whole && chain::head(&old, from.seq).is_ok_and(|h| h == from);
    match sealed(&old) {
        Ok(all) => take_sealed(new, &head, &all, whole)?,
        Err(e) => tracing::warn!("salvaging sealed values: {e}"),
    }
    Ok(head.seq - from.seq)
}

/// Every sealed value of the damaged file, when SQLite finds nothing wrong with their table.
fn sealed(old: &Connection) -> Result<BTreeMap<u64, Vec<u8>>, StoreError> {
    let read = || sql("salvage a sealed value");
    let sound: String = old.query_row("PRAGMA integrity_check('sealed')", [], |r| r.get(0)).map_err(read())?;
    if sound != "ok" {
        return Err(StoreError::Chain { place: "sealed".into(), rule: "is damaged" });
    }
    let mut select = old.prepare("SELECT txn, blob FROM sealed").map_err(read())?;
    select.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).and_then(Iterator::collect).map_err(read())
}

/// Takes over the sealed values that the records vouch for. `whole`: nothing is missing in the damaged
/// file, so what it has no longer was erased.
fn take_sealed(
    new: &Connection,
    head: &Head,
    all: &BTreeMap<u64, Vec<u8>>,
    whole: bool,
) -> Result<(), StoreError> {
    let write = || sql("take a sealed value over");
    let vouched = verify::sealed_by(new, head.seq)?;
    for (txn, blob) in all {
        if vouched.get(txn).is_some_and(|hash| verify::is(hash, blob)) {
            new.execute("INSERT OR REPLACE INTO sealed (txn, blob) VALUES (?1, ?2)", (txn, blob))
                .map_err(write())?;
        }
    }
    if whole {
        let kept = serde_json::to_string(&all.keys().collect::<Vec<_>>()).unwrap_or_default();
        new.execute("DELETE FROM sealed WHERE txn NOT IN (SELECT value FROM json_each(?1))", [kept])
            .map_err(write())?;
    }
    Ok(())
}

/// Erases what is sealed of closed batches: it was erased before, and came back with the backup; but for
/// what is still owed nobody would erase it again.
fn erase_closed(new: &Connection, key: &KeyedHash, options: &Options) -> Result<(), StoreError> {
    // One that cannot be read or replayed says so when it is opened.
    let Ok(Loaded { snapshot, tail, .. }) = writer::load(new, key) else { return Ok(()) };
    let Some(needs) = (options.sealed_needs)(snapshot.as_deref(), &tail) else { return Ok(()) };
    let owed = serde_json::to_string(&needs.owed).unwrap_or_default();
    for (account, batch) in &needs.open {
        let text = "DELETE FROM sealed \
                    WHERE txn IN (SELECT txn FROM txn WHERE account = ?1 AND batch <> ?2) \
                    AND txn NOT IN (SELECT value FROM json_each(?3))";
        new.execute(text, (account.as_str(), batch.get(), &owed))
            .map_err(sql("erase the sealed values of closed batches"))?;
    }
    Ok(())
}

fn mark_pending(db: &Connection, restored: &Restored) -> Result<(), StoreError> {
    let json = serde_json::to_string(restored)
        .map_err(|cause| payterm_schema::record::EncodingError::Malformed { seq: 0, cause })?;
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (PENDING, json))
        .map(drop)
        .map_err(sql("mark the restored journal"))
}

/// The restoring that the machine has not on record yet.
pub(crate) fn pending(db: &Connection) -> Result<Option<Restored>, StoreError> {
    let text: Option<String> = db
        .query_row("SELECT value FROM meta WHERE key = ?1", [PENDING], |r| r.get(0))
        .optional()
        .map_err(sql("read the restoring"))?;
    let parsed = text.map(|t| serde_json::from_str(&t)).transpose();
    parsed
        .map_err(|_| StoreError::Chain { place: "the mark of its restoring".into(), rule: "cannot be read" })
}
pub(crate) fn on_record(db: &Connection) -> Result<(), StoreError> {
    db.execute("DELETE FROM meta WHERE key = ?1", [PENDING])
        .map(drop)
        .map_err(sql("the restoring is on record"))
}

/// The key is one of a request that was lost.
pub(crate) fn is_lost(db: &Connection, key: &KeyedHash, app: &str, id: &str) -> Result<bool, StoreError> {
    db.prepare_cached("SELECT 1 FROM lost WHERE key = ?1")
        .and_then(|mut s| s.exists([high_water::hash_of(key, app, id)]))
        .map_err(sql("look a lost key up"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The program was killed, the journal is put back, and the power goes before that is opened.
    #[test]
    fn what_was_put_back_and_not_opened_yet_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let (dir, key) = (dir.path(), payterm_vault::SealingKey::new([7; 32]).keyed_hash(chain::PURPOSE));
        let options = Options::default();
        let (opened, marks) = open(dir, &key, &options).unwrap();
        drop((opened, marks));
        let mut marks = Marks::open(dir, &key, true, None).unwrap();
        assert!(marks.was_open());
        restore(dir, &key, &options, &mut marks, "planted".into()).unwrap();
        drop(marks);
        let (opened, _) = open(dir, &key, &options).unwrap();
        assert_eq!(opened.loaded.restored.unwrap().why, "planted");
        let aside = |name: String| name.starts_with(ASIDE) && name.ends_with(".db");
        assert_eq!(
            fs::read_dir(dir)
                .unwrap()
                .flatten()
                .filter(|f| aside(f.file_name().into_string().unwrap()))
                .count(),
            1
        );
    }
}
