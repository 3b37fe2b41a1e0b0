//! The journal opened and read, one SQLite transaction a group, and the projection of records into `txn`.
use crate::{
    Commit, Durable, Job, Loaded, Options, StoreError,
    chain::{self, Head, Row},
    files,
    high_water::Marks,
    restore, sql,
};
use payterm_schema::{
    AccountId, Entry, Outcome, PaperRecord, Record, RequestRecord, SettlementRecord, TerminalRecord,
    paper::{PaperJob, PrintResult},
    record::{EncodingError, RECORD_VERSION, RrnClaim},
};
use payterm_vault::KeyedHash;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use std::{path::Path, sync::Arc};

/// Version of the snapshot's JSON; the machine's own type decides its content.
const SNAPSHOT_VERSION: u32 = 1;

/// The journal with the marks beside it, until it is left.
pub(crate) struct Open {
    pub db: Connection,
    pub marks: Marks,
    pub last: Head,
    /// The last record is certain. False: a commit failed, and may be on the disk all the same.
    pub certain: bool,
}
impl Drop for Open {
    /// The mark goes first, and a WAL stays whose mark cannot be written: one that is gone while the mark
    /// says "open" is damage.
    fn drop(&mut self) {
        let head = Some(self.last.to_string()).filter(|_| self.certain && !std::thread::panicking());
        if let Err(e) = self.marks.left(head).and_then(|()| files::keep_wal(&self.db, false)) {
            tracing::warn!("store: {e}");
        }
    }
}

/// The journal, and what the machine is made of.
pub(crate) struct Opened {
    pub db: Connection,
    pub loaded: Loaded,
}
pub(crate) fn open(dir: &Path, key: &KeyedHash, options: &Options) -> Result<Opened, StoreError> {
    let db = files::open_writer(dir, key, options, files::MIGRATIONS)?;
    let loaded = load(&db, key)?;
    Ok(Opened { db, loaded })
}
/// The head as the file has it.
pub(crate) fn last(db: &Connection) -> Result<Head, StoreError> {
    let seq = db
        .query_row("SELECT coalesce(max(seq), 0) FROM record", [], |r| r.get(0))
        .map_err(sql("read the last record"))?;
    chain::head(db, seq).map_err(sql("read the chain"))
}

/// The last snapshot and the records behind it: time does not depend on the length of the history. What the
/// machine is made of is checked against the chain before anything is made of it.
pub(crate) fn load(db: &Connection, key: &KeyedHash) -> Result<Loaded, StoreError> {
    let snapshot: Option<(u64, u32, String, Option<chain::Hash>)> = db
        .query_row("SELECT seq, version, json, chain FROM snapshot ORDER BY seq DESC LIMIT 1", [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .optional()
        .map_err(sql("load the snapshot"))?;
    if let Some((seq, found, ..)) = snapshot
        && found > SNAPSHOT_VERSION
    {
        return Err(StoreError::NewerSnapshot { seq, found, known: SNAPSHOT_VERSION });
    }
    let newest: Option<(u64, u32)> = db
        .query_row("SELECT seq, version FROM record ORDER BY seq DESC LIMIT 1", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .optional()
        .map_err(sql("load the last record"))?;
    if let Some((seq, found)) = newest
        && found > RECORD_VERSION
    {
        return Err(EncodingError::Newer { seq, found }.into());
    }
    chain::check_start(db, Some(key))?;
    let mut head =
        chain::head(db, snapshot.as_ref().map_or(0, |s| s.0)).map_err(sql("load the snapshot's record"))?;
    if let Some((seq, version, json, chain)) = &snapshot
        && *chain != Some(chain::of_snapshot(key, &head, *version, json))
    {
        return Err(StoreError::Chain { place: format!("snapshot {seq}"), rule: "is not as it was written" });
    }
    let (mut tail, mut told) = (Vec::new(), Vec::new());
    let text = "SELECT seq, at, txn, version, json, sealed, chain FROM record WHERE seq > ?1 ORDER BY seq";
    let mut select = db.prepare(text).map_err(sql("load the journal"))?;
    let mut rows = select.query([head.seq]).map_err(sql("load the journal"))?;
    while let Some(row) = rows.next().map_err(sql("load the journal"))? {
        head = chain::follow(key, &head, row)?;
        let entry = crate::queries::entry(row)?;
        if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &entry.record {
            told.push((outcome.txn, head));
        }
        tail.push(entry);
    }
    Ok(Loaded {
        snapshot: snapshot.map(|s| s.2),
        tail,
        last_seq: head.seq,
        head,
        told,
        restored: restore::pending(db)?,
    })
}

/// Commits that were written, the first of a group.
pub(crate) struct Written {
    pub all: Vec<Durable>,
    /// Why the next one was not, nor any behind it.
    pub refused: Option<StoreError>,
}

/// Writes the whole group in one SQLite transaction; answers what each commit made durable.
pub(crate) fn write(open: &mut Open, key: &KeyedHash, group: &[Job]) -> Result<Written, StoreError> {
    let Open { db, marks, last, .. } = open;
    let step = |text: &str| db.prepare_cached(text).and_then(|mut s| s.execute([])).map(drop);
    step("BEGIN IMMEDIATE").map_err(sql("begin"))?;
    let mut all = Vec::with_capacity(group.len());
    let (mut head, mut refused) = (*last, None);
    let written = group.iter().try_for_each(|job| {
        if refused.is_some() {
            return Ok(());
        }
        if let Some(claim) = &job.commit.claim
            && let Some(other) = other_with(db, claim)?
        {
            let instead = Commit { records: claim.instead.clone(), ..Commit::default() };
            put(db, key, marks, &instead, &mut head)?;
            refused = Some(StoreError::OfAnother { txn: claim.txn, rrn: claim.rrn.clone(), other });
            return Ok(());
        }
        all.push(put(db, key, marks, &job.commit, &mut head)?);
        Ok(())
    });
    let whole = all.len();
    let entries = || group.iter().take(whole).flat_map(|job| &job.commit.records);
    let begun: Vec<_> = entries()
        .filter_map(|e| {
            if let Record::Request(RequestRecord::Started { key, txn, .. }) = &e.record {
                Some((key, *txn))
            } else {
                None
            }
        })
        .collect();
    // What could fail for want of room fails before.
    let written = written.and_then(|()| marks.make_room(begun.len()));
    if let Err(e) = written.and_then(|()| step("COMMIT").map_err(sql("commit"))) {
        db.execute_batch("ROLLBACK").ok();
        return Err(e);
    }
    *last = head;
    begun.into_iter().try_for_each(|(key, txn)| marks.started(key, txn))?;
    if entries().any(|e| e.record.uses().is_some()) {
        marks.wait()?;
    }
    marks.reached(head)?;
    Ok(Written { all, refused })
}

/// Another payment of the account that has this RRN.
fn other_with(db: &Connection, claim: &RrnClaim) -> Result<Option<u64>, StoreError> {
    let text =
        "SELECT txn FROM txn WHERE rrn = ?1 AND account = ?2 AND txn <> ?3 AND amount IS NOT NULL LIMIT 1";
    db.prepare_cached(text)
        .and_then(|mut s| {
            s.query_row(params![claim.rrn, claim.account.as_str(), claim.txn], |r| r.get(0)).optional()
        })
        .map_err(sql("look an RRN up"))
}

fn put(
    db: &Connection,
    key: &KeyedHash,
    marks: &mut Marks,
    commit: &Commit,
    head: &mut Head,
) -> Result<Durable, StoreError> {
    let sealed = chain::of_sealed(&commit.seal);
    let mut told = Vec::new();
    for (i, entry) in commit.records.iter().enumerate() {
        if entry.seq != head.seq + 1 {
            return Err(StoreError::Gap { last: head.seq, found: entry.seq });
        }
        let json =
            entry.record.encode().map_err(|cause| EncodingError::Malformed { seq: entry.seq, cause })?;
        // What is sealed belongs to the commit: its last record vouches for it.
        let sealed = if i + 1 == commit.records.len() { sealed.as_slice() } else { &[] };
        let row = Row {
            seq: entry.seq,
            at: entry.at.0,
            txn: entry.txn,
            version: RECORD_VERSION,
            json: &json,
            sealed,
        };
        *head = Head { seq: entry.seq, hash: row.link(key, &head.hash) };
        mark(db, marks, entry)?;
        write_row(db, entry, &row, head.hash)?;
        if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &entry.record {
            told.push((outcome.txn, *head));
        }
    }
    for (txn, blob) in &commit.seal {
        exec(
            db,
            "write a sealed value",
            "INSERT INTO sealed (txn, blob) VALUES (?1, ?2) \
             ON CONFLICT (txn) DO UPDATE SET blob = excluded.blob",
            params![txn, blob],
        )?;
    }
    for txn in &commit.erase {
        exec(db, "erase a sealed value", "DELETE FROM sealed WHERE txn = ?1", params![txn])?;
    }
    if let Some(e) = &commit.erase_batch {
        let keep = serde_json::to_string(&e.keep).unwrap_or_default();
        exec(
            db,
            "erase a batch's sealed values",
            "DELETE FROM sealed WHERE txn IN (SELECT txn FROM txn WHERE account = ?1 AND batch = ?2) \
             AND txn NOT IN (SELECT value FROM json_each(?3))",
            params![e.account.as_str(), e.batch.get(), keep],
        )?;
    }
    if let Some((seq, json)) = &commit.snapshot {
        let at =
            if *seq == head.seq { *head } else { chain::head(db, *seq).map_err(sql("read the chain"))? };
        let chain = chain::of_snapshot(key, &at, SNAPSHOT_VERSION, json);
        let text = "INSERT OR REPLACE INTO snapshot (seq, version, json, chain) VALUES (?1, ?2, ?3, ?4)";
        exec(db, "write a snapshot", text, params![seq, SNAPSHOT_VERSION, json, chain])?;
        // The one before it stays, for a person.
        exec(
            db,
            "prune snapshots",
            "DELETE FROM snapshot WHERE seq NOT IN (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2)",
            &[],
        )?;
    }
    Ok(Durable { head: *head, told })
}

/// Writes a record, and what is derived from it.
pub(crate) fn write_row(
    db: &Connection,
    entry: &Entry,
    row: &Row<'_>,
    chain: chain::Hash,
) -> Result<(), StoreError> {
    let sealed = Some(row.sealed).filter(|s| !s.is_empty());
    let values = params![row.seq, row.at, row.txn, row.version, row.json, sealed, chain];
    let text =
        "INSERT INTO record (seq, at, txn, version, json, sealed, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    exec(db, "write a record", text, values)?;
    project(db, entry)
}

/// Writes what must be known without the journal; before the journal.
fn mark(db: &Connection, marks: &mut Marks, entry: &Entry) -> Result<(), StoreError> {
    match entry.record.uses() {
        Some((Some(account), stan)) => marks.stan(account, stan),
        // A query: of the account that its payment has.
        Some((None, stan)) => {
            let text = "SELECT json ->> '$.request.allowed.account' FROM record WHERE txn = ?1 \
                        AND json -> '$.request.allowed' IS NOT NULL ORDER BY seq DESC LIMIT 1";
            let account: Option<String> = db
                .prepare_cached(text)
                .and_then(|mut s| s.query_row([entry.txn], |r| r.get(0)).optional())
                .map_err(sql("read an account"))?
                .flatten();
            account.and_then(|a| AccountId::new(&a).ok()).map_or(Ok(()), |a| marks.stan(&a, stan))
        }
        None => Ok(()),
    }
}

/// The row of a transaction is a fold over its records: the searched columns and the outcome as last
/// recorded.
fn project(db: &Connection, entry: &Entry) -> Result<(), StoreError> {
    if let Some(outcome) = told(&entry.record) {
        return tell(db, entry, outcome);
    }
    match &entry.record {
        Record::Request(record) => original(db, entry.seq, record),
        Record::Paper(record) => paper(db, record),
        Record::Terminal(TerminalRecord::Restored { .. }) => restore::on_record(db),
        Record::Terminal(_)
        | Record::Settlement(_)
        | Record::Obligation(_)
        | Record::Account(_)
        | Record::Operator(_)
        | Record::Onboarding(_) => Ok(()),
    }
}

/// The outcome that a record gives its transaction's row. How these records begin stands in
/// `verify::TELLING` too.
pub(crate) fn told(record: &Record) -> Option<&Arc<Outcome>> {
    match record {
        Record::Request(RequestRecord::Started { view, .. } | RequestRecord::OfflineAllowed { view, .. })
        | Record::Settlement(SettlementRecord::Asked { view, .. }) => Some(view),
        Record::Request(RequestRecord::Outcome { outcome, .. }) => Some(outcome),
        // What a running request has come to is asked of the machine: its row waits for the outcome.
        Record::Request(
            RequestRecord::Allowed { .. }
            | RequestRecord::OfflineDenied { .. }
            | RequestRecord::NotSent { .. }
            | RequestRecord::NoReply { .. }
            | RequestRecord::Answered { .. }
            | RequestRecord::Disregarded { .. }
            | RequestRecord::Pending { .. }
            | RequestRecord::Provisional { .. }
            | RequestRecord::CardHears { .. }
            | RequestRecord::CardEnded { .. }
            | RequestRecord::Voided { .. }
            | RequestRecord::Completed { .. }
            | RequestRecord::Adjusted { .. }
            | RequestRecord::RefundHeld { .. }
            | RequestRecord::RefundFreed { .. }
            | RequestRecord::Released { .. },
        )
        | Record::Settlement(
            SettlementRecord::Judged { .. }
            | SettlementRecord::UploadAllowed { .. }
            | SettlementRecord::CertificateLost { .. }
            | SettlementRecord::Uploaded { .. }
            | SettlementRecord::Failed { .. }
            | SettlementRecord::Retried { .. }
            | SettlementRecord::Dropped { .. }
            | SettlementRecord::BatchClosed { .. },
        )
        | Record::Paper(_)
        | Record::Terminal(_)
        | Record::Obligation(_)
        | Record::Account(_)
        | Record::Operator(_)
        | Record::Onboarding(_) => None,
    }
}

/// Changes the row of an original as a later request demands.
fn original(db: &Connection, seq: u64, record: &RequestRecord) -> Result<(), StoreError> {
    let change = |what, text: &str, values: &[&dyn ToSql]| one(seq, exec(db, what, text, values)?);
    match record {
        RequestRecord::Voided { txn, by } => {
            let text = "UPDATE txn SET voided_by = ?2 WHERE txn = ?1";
            change("mark a voided transaction", text, params![txn, by])
        }
        RequestRecord::Completed { txn, by } => {
            let text = "UPDATE txn SET completed_by = ?2 WHERE txn = ?1";
            change("mark a completed pre-authorisation", text, params![txn, by])
        }
        RequestRecord::Adjusted { txn, by, tip } => {
            let text = "UPDATE txn SET adjusted_by = ?2, tip = ?3 WHERE txn = ?1";
            change("mark an adjusted sale", text, params![txn, by, tip])
        }
        RequestRecord::RefundHeld { txn, minor, .. } => {
            let text = "UPDATE txn SET refunded = refunded + ?2 WHERE txn = ?1";
            change("hold a refund", text, params![txn, minor])
        }
        RequestRecord::RefundFreed { txn, minor, .. } => {
            let text = "UPDATE txn SET refunded = refunded - ?2 WHERE txn = ?1";
            change("free a refund", text, params![txn, minor])
        }
        RequestRecord::Released { txn, by } => {
            let text = "UPDATE txn SET completed_by = nullif(completed_by, ?2), \
                        tip = CASE WHEN adjusted_by = ?2 THEN NULL ELSE tip END, \
                        adjusted_by = nullif(adjusted_by, ?2) WHERE txn = ?1";
            change("release an original", text, params![txn, by])
        }
        RequestRecord::Started { .. }
        | RequestRecord::OfflineAllowed { .. }
        | RequestRecord::Outcome { .. }
        | RequestRecord::Allowed { .. }
        | RequestRecord::OfflineDenied { .. }
        | RequestRecord::NotSent { .. }
        | RequestRecord::NoReply { .. }
        | RequestRecord::Answered { .. }
        | RequestRecord::Disregarded { .. }
        | RequestRecord::Pending { .. }
        | RequestRecord::Provisional { .. }
        | RequestRecord::CardHears { .. }
        | RequestRecord::CardEnded { .. } => Ok(()),
    }
}

fn tell(db: &Connection, entry: &Entry, outcome: &Outcome) -> Result<(), StoreError> {
    let json =
        serde_json::to_string(outcome).map_err(|cause| EncodingError::Malformed { seq: entry.seq, cause })?;
    let o = outcome;
    let told = params![
        o.txn,
        o.status.name(),
        o.account.as_ref().map(|a| a.as_str()),
        o.sums.amount,
        o.sums.currency.code(),
        o.masked_pan,
        o.stan.map(|s| s.get()),
        o.batch.map(|b| b.get()),
        o.rrn,
        o.ended.map(|t| t.0),
        json,
        entry.seq
    ];
    if let Record::Request(RequestRecord::Started { key, hash, .. }) = &entry.record {
        let first = params![o.kind.name(), o.started.0, key.app, key.id, hash];
        let text = "INSERT INTO txn (txn, status, account, amount, currency, masked_pan, stan, batch, rrn, \
                    ended, outcome, told, kind, started, app, id, hash) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
        return exec(db, "start a transaction's row", text, &[told, first].concat()).map(drop);
    }
    // SQLite leaves the index of an unchanged column alone.
    let text = "UPDATE txn SET status = ?2, account = ?3, amount = ?4, currency = ?5, masked_pan = ?6, \
                stan = ?7, batch = ?8, rrn = ?9, ended = ?10, outcome = ?11, told = ?12 WHERE txn = ?1";
    one(entry.seq, exec(db, "update a transaction's row", text, told)?)
}

fn paper(db: &Connection, record: &PaperRecord) -> Result<(), StoreError> {
    match record {
        PaperRecord::Queued { job } => queue_paper(db, job),
        PaperRecord::Ended {
            job,
            result: PrintResult::Confirmed | PrintResult::SentUnconfirmable,
            replaced,
            ..
        } => match replaced {
            0 => end_paper(db, *job, "done"),
            n => end_paper(db, *job, &format!("done {n}")),
        },
        PaperRecord::Released { job, print: false, .. } => end_paper(db, *job, "given_up"),
        PaperRecord::Started { .. } | PaperRecord::Ended { .. } | PaperRecord::Released { .. } => Ok(()),
    }
}

/// Makes the row of a paper that an app asked for; other papers have none.
fn queue_paper(db: &Connection, job: &PaperJob) -> Result<(), StoreError> {
    let (Some(app), Some(request)) = (&job.app, &job.request) else { return Ok(()) };
    let text = "INSERT INTO paper (app, id, hash, job, state) VALUES (?1, ?2, ?3, ?4, 'open')";
    exec(db, "queue an app's paper", text, params![app, request.id, request.hash, job.id]).map(drop)
}
fn end_paper(db: &Connection, job: u64, state: &str) -> Result<(), StoreError> {
    exec(db, "end an app's paper", "UPDATE paper SET state = ?2 WHERE job = ?1", params![job, state])
        .map(drop)
}

fn one(seq: u64, changed: usize) -> Result<(), StoreError> {
    if changed == 1 {
        Ok(())
    } else {
        Err(StoreError::Projection { seq, rule: "names a transaction that was never started" })
    }
}

fn exec(db: &Connection, what: &'static str, text: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
    db.prepare_cached(text).and_then(|mut s| s.execute(values)).map_err(sql(what))
}
