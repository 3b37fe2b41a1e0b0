//! The writer's thread: group commit, and the projection of records into `txn`.
use super::{Commit, Counters, Job, Loaded, Options, StoreError, files, sql};
use crate::mishap::Part;
use payterm_schema::{
    Entry, Record,
    paper::{PaperJob, PrintResult},
    record::{EncodingError, RECORD_VERSION},
};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// No commit for this long is a quiet moment.
const QUIET: Duration = Duration::from_millis(100);
/// ... and this long after the start, when nobody waits for the terminal to be ready any more.
const QUIET_FIRST: Duration = Duration::from_millis(20);
/// Version of the snapshot's JSON; the machine's own type decides its content.
const SNAPSHOT_VERSION: u32 = 1;

pub(super) fn run(dir: &Path, options: &Options, counters: &Counters, ready: impl FnOnce(Result<Loaded, StoreError>), jobs: &Receiver<Job>) {
    let opened = files::open_writer(dir, options, files::MIGRATIONS).and_then(|db| load(&db).map(|l| (db, l)));
    let (mut db, mut last) = match opened {
        Ok((db, loaded)) => {
            let last = loaded.last_seq;
            ready(Ok(loaded));
            (db, last)
        }
        Err(e) => {
            ready(Err(e));
            return refuse_all(jobs);
        }
    };
    let mut since = 0;
    let mut reserved = false;
    while let Some(first) = next(dir, &db, options, jobs, &mut since, &mut reserved) {
        let mut group = vec![first];
        while group.len() < options.group
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        options.mishaps.pass(Part::Store);
        match write(&mut db, &group, last) {
            Ok(seqs) => {
                counters.count(group.len());
                for (job, seq) in group.into_iter().zip(seqs) {
                    last = seq;
                    job.done.send(Ok(seq)).ok();
                }
            }
            Err(e) => {
                tracing::error!("store: commit failed, {} callers are told: {e}", group.len());
                for job in group {
                    job.done.send(Err(e.clone())).ok();
                }
                // Nothing more is written by this connection: what comes next belongs to a machine that the disk does not know.
                drop(db);
                return refuse_all(jobs);
            }
        }
        since += 1;
    }
}

/// The next commit. The first quiet moment reserves the WAL. When enough is in the WAL, the first quiet moment is used to copy it back into the database; without any, it is
/// done at eight times that, so that the WAL is bounded.
fn next(dir: &Path, db: &Connection, options: &Options, jobs: &Receiver<Job>, since: &mut u64, reserved: &mut bool) -> Option<Job> {
    if !*reserved {
        match jobs.recv_timeout(QUIET_FIRST) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        // It is a matter of speed only: without it the WAL grows as it is written.
        if let Err(e) = files::reserve_wal(dir) {
            tracing::warn!("store: the WAL is not reserved: {e}");
        }
        *reserved = true;
    }
    if *since >= options.checkpoint_every {
        if *since < options.checkpoint_every * 8 {
            match jobs.recv_timeout(QUIET) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        if let Err(e) = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::warn!("store: checkpoint: {e}");
        }
        *since = 0;
    }
    jobs.recv().ok()
}

/// Answers until the last sender is gone.
fn refuse_all(jobs: &Receiver<Job>) {
    for job in jobs {
        job.done.send(Err(StoreError::Stopped)).ok();
    }
}

/// The last snapshot and the records behind it: time does not depend on the length of the history.
fn load(db: &Connection) -> Result<Loaded, StoreError> {
    let snapshot: Option<(u64, u32, String)> = db
        .query_row("SELECT seq, version, json FROM snapshot ORDER BY seq DESC LIMIT 1", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()
        .map_err(sql("load the snapshot"))?;
    if let Some((seq, found, _)) = snapshot
        && found > SNAPSHOT_VERSION
    {
        return Err(StoreError::NewerSnapshot { seq, found, known: SNAPSHOT_VERSION });
    }
    let newest: Option<(u64, u32)> = db
        .query_row("SELECT seq, version FROM record ORDER BY seq DESC LIMIT 1", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()
        .map_err(sql("load the last record"))?;
    if let Some((seq, found)) = newest
        && found > RECORD_VERSION
    {
        return Err(EncodingError::Newer { seq, found }.into());
    }
    let after = snapshot.as_ref().map_or(0, |s| s.0);
    let mut tail = Vec::new();
    let mut select = db.prepare("SELECT seq, at, txn, version, json FROM record WHERE seq > ?1 ORDER BY seq").map_err(sql("load the journal"))?;
    let mut rows = select.query([after]).map_err(sql("load the journal"))?;
    while let Some(row) = rows.next().map_err(sql("load the journal"))? {
        tail.push(super::queries::entry(row)?);
    }
    Ok(Loaded { snapshot: snapshot.map(|s| s.2), tail, last_seq: newest.map_or(0, |n| n.0).max(after) })
}

/// One SQLite transaction for the whole group; answers the last sequence number of each commit.
fn write(db: &mut Connection, group: &[Job], mut last: u64) -> Result<Vec<u64>, StoreError> {
    let step = |text: &str| db.prepare_cached(text).and_then(|mut s| s.execute([])).map(drop);
    step("BEGIN IMMEDIATE").map_err(sql("begin"))?;
    let mut seqs = Vec::with_capacity(group.len());
    let written = group.iter().try_for_each(|job| {
        put(db, &job.commit, &mut last)?;
        seqs.push(last);
        Ok(())
    });
    match written.and_then(|()| step("COMMIT").map_err(sql("commit"))) {
        Ok(()) => Ok(seqs),
        Err(e) => {
            db.execute_batch("ROLLBACK").ok();
            Err(e)
        }
    }
}

fn put(db: &Connection, commit: &Commit, last: &mut u64) -> Result<(), StoreError> {
    for entry in &commit.records {
        if entry.seq != *last + 1 {
            return Err(StoreError::Gap { last: *last, found: entry.seq });
        }
        let json = entry.record.encode().map_err(|cause| EncodingError::Malformed { seq: entry.seq, cause })?;
        exec(
            db,
            "write a record",
            "INSERT INTO record (seq, at, txn, version, json) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![entry.seq, entry.at.0, entry.txn, RECORD_VERSION, json],
        )?;
        *last = entry.seq;
        project(db, entry)?;
    }
    for (txn, blob) in &commit.seal {
        exec(
            db,
            "write a sealed value",
            "INSERT INTO sealed (txn, blob) VALUES (?1, ?2) ON CONFLICT (txn) DO UPDATE SET blob = excluded.blob",
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
            "DELETE FROM sealed WHERE txn IN (SELECT txn FROM txn WHERE account = ?1 AND batch = ?2) AND txn NOT IN (SELECT value FROM json_each(?3))",
            params![e.account.as_str(), e.batch.get(), keep],
        )?;
    }
    if let Some((seq, json)) = &commit.snapshot {
        exec(db, "write a snapshot", "INSERT OR REPLACE INTO snapshot (seq, version, json) VALUES (?1, ?2, ?3)", params![seq, SNAPSHOT_VERSION, json])?;
        // The one before it stays, for a person.
        exec(db, "prune snapshots", "DELETE FROM snapshot WHERE seq NOT IN (SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2)", &[])?;
    }
    Ok(())
}

/// The row of a transaction is a fold over its records: the searched columns and the outcome as last recorded.
fn project(db: &Connection, entry: &Entry) -> Result<(), StoreError> {
    let outcome = match &entry.record {
        Record::Started { key, hash, view, .. } => {
            let values = params![view.txn, view.kind.name(), view.started.0, key.app, key.id, hash];
            exec(
                db,
                "start a transaction's row",
                "INSERT INTO txn (txn, kind, started, app, id, hash, status, currency, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, '', '', '')",
                values,
            )?;
            view
        }
        Record::OfflineAllowed { view, .. } | Record::SettlementAsked { view, .. } => view,
        Record::Outcome { outcome } => outcome,
        Record::Voided { txn, by } => {
            return one(entry.seq, exec(db, "mark a voided transaction", "UPDATE txn SET voided_by = ?2 WHERE txn = ?1", params![txn, by])?);
        }
        Record::Completed { txn, by } => {
            return one(entry.seq, exec(db, "mark a completed pre-authorisation", "UPDATE txn SET completed_by = ?2 WHERE txn = ?1", params![txn, by])?);
        }
        Record::Adjusted { txn, by, tip } => {
            return one(entry.seq, exec(db, "mark an adjusted sale", "UPDATE txn SET adjusted_by = ?2, tip = ?3 WHERE txn = ?1", params![txn, by, tip])?);
        }
        Record::RefundHeld { txn, minor, .. } => {
            return one(entry.seq, exec(db, "hold a refund", "UPDATE txn SET refunded = refunded + ?2 WHERE txn = ?1", params![txn, minor])?);
        }
        Record::RefundFreed { txn, minor, .. } => {
            return one(entry.seq, exec(db, "free a refund", "UPDATE txn SET refunded = refunded - ?2 WHERE txn = ?1", params![txn, minor])?);
        }
        Record::Released { txn, by } => {
            let text = "UPDATE txn SET completed_by = nullif(completed_by, ?2), tip = CASE WHEN adjusted_by = ?2 THEN NULL ELSE tip END, adjusted_by = nullif(adjusted_by, ?2) WHERE txn = ?1";
            return one(entry.seq, exec(db, "release an original", text, params![txn, by])?);
        }
        Record::PaperQueued { job } => return queue_paper(db, job),
        Record::PaperEnded { job, result: PrintResult::Confirmed | PrintResult::SentUnconfirmable, .. } => return end_paper(db, *job, "done"),
        Record::PaperReleased { job, print: false, .. } => return end_paper(db, *job, "given_up"),
        // What a running request has come to is asked of the machine: its row waits for the outcome.
        Record::Allowed { .. }
        | Record::Booted { .. }
        | Record::Pending { .. }
        | Record::Queried { .. }
        | Record::AskedAnew { .. }
        | Record::Partial { .. }
        | Record::ObligationDue { .. }
        | Record::NotSent { .. }
        | Record::NoReply { .. }
        | Record::Answered { .. }
        | Record::Disregarded { .. }
        | Record::ObligationTried { .. }
        | Record::ObligationFailed { .. }
        | Record::ObligationEnded { .. }
        | Record::ObligationStuck { .. }
        | Record::ObligationRetried { .. }
        | Record::OfflineDenied { .. }
        | Record::ObligationHurried { .. }
        | Record::ObligationHeld { .. }
        | Record::WrittenOff { .. }
        | Record::ControlSent { .. }
        | Record::SettlementJudged { .. }
        | Record::UploadAllowed { .. }
        | Record::Uploaded { .. }
        | Record::SettlementFailed { .. }
        | Record::SettlementRetried { .. }
        | Record::SettlementDropped { .. }
        | Record::BatchClosed { .. }
        | Record::SignedIn { .. }
        | Record::SignInFailed { .. }
        | Record::SignedOut { .. }
        | Record::Requirement { .. }
        | Record::Application { .. }
        | Record::PaperStarted { .. }
        | Record::PaperEnded { .. }
        | Record::PaperReleased { .. }
        | Record::SelfTested { .. }
        | Record::LanguageSet { .. }
        | Record::Operator { .. } => return Ok(()),
    };
    let json = serde_json::to_string(outcome).map_err(|cause| EncodingError::Malformed { seq: entry.seq, cause })?;
    let o = outcome.as_ref();
    let values = params![
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
        json
    ];
    // SQLite leaves the index of an unchanged column alone.
    let text = "UPDATE txn SET status=?2, account=?3, amount=?4, currency=?5, masked_pan=?6, stan=?7, batch=?8, rrn=?9, ended=?10, outcome=?11 WHERE txn=?1";
    one(entry.seq, exec(db, "update a transaction's row", text, values)?)
}

/// Only the papers that an app asked for have a row.
fn queue_paper(db: &Connection, job: &PaperJob) -> Result<(), StoreError> {
    let (Some(app), Some(request)) = (&job.app, &job.request) else { return Ok(()) };
    let text = "INSERT INTO paper (app, id, hash, job, state) VALUES (?1, ?2, ?3, ?4, 'open')";
    exec(db, "queue an app's paper", text, params![app, request.id, request.hash, job.id]).map(drop)
}
fn end_paper(db: &Connection, job: u64, state: &str) -> Result<(), StoreError> {
    exec(db, "end an app's paper", "UPDATE paper SET state = ?2 WHERE job = ?1", params![job, state]).map(drop)
}

fn one(seq: u64, changed: usize) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Projection { seq, rule: "names a transaction that was never started" }) }
}

fn exec(db: &Connection, what: &'static str, text: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
    db.prepare_cached(text).and_then(|mut s| s.execute(values)).map_err(sql(what))
}
