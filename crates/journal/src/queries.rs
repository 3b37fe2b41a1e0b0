//! Read-only queries, on a connection and a thread of their own.
use crate::{Head, Store, StoreError, sql};
use payterm_schema::{
    AccountId, Batch, Entry, Outcome, Record, RequestKey, Stan, Status, Time,
    icc::Icc,
    paper::PaperState,
    settlement::{BatchQuery, BatchRow},
    terminal::Filter,
};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use std::rc::Rc;

/// A transaction as it was last recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub txn: u64,
    /// [`payterm_schema::Request::content_hash`] of its request.
    pub hash: String,
    pub outcome: Outcome,
}

/// A paper that an app asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPaper {
    pub job: u64,
    pub hash: String,
    /// State in which the paper ended; none while it is open.
    pub ended: Option<PaperState>,
    /// Characters that the printer lacked.
    pub replaced: u32,
}

/// Greatest page of the history.
const PAGE_MAX: u32 = 200;
const PAGE_DEFAULT: u32 = 50;
pub(crate) const COLUMNS: &str = "SELECT txn, hash, outcome, voided_by, completed_by, \
    adjusted_by, refunded, tip, told, (SELECT chain FROM record WHERE record.seq = txn.told) FROM txn";

impl Store {
    pub async fn by_key(&self, key: &RequestKey) -> Result<Option<Found>, StoreError> {
        let key = key.clone();
        self.ask(move |db| one(db, "WHERE app = ?1 AND id = ?2", params![key.app, key.id])).await
    }
    pub async fn paper(&self, key: &RequestKey) -> Result<Option<FoundPaper>, StoreError> {
        let key = key.clone();
        self.ask(move |db| {
            let row = |r: &Row<'_>| {
                let state: String = r.get(2)?;
                // With the number of characters that were replaced, where there were any: `done 3`.
                let (state, replaced) = state.split_once(' ').unwrap_or((&state, "0"));
                let ended = match state {
                    "done" => Some(PaperState::Done),
                    "given_up" => Some(PaperState::GivenUp),
                    _ => None,
                };
                let replaced = replaced.parse().unwrap_or_default();
                Ok(FoundPaper { job: r.get(0)?, hash: r.get(1)?, ended, replaced })
            };
            db.prepare_cached("SELECT job, hash, state FROM paper WHERE app = ?1 AND id = ?2")
                .and_then(|mut s| s.query_row(params![key.app, key.id], row).optional())
                .map_err(sql("read an app's paper"))
        })
        .await
    }
    pub async fn by_txn(&self, txn: u64) -> Result<Option<Found>, StoreError> {
        self.ask(move |db| one(db, "WHERE txn = ?1", params![txn])).await
    }
    /// Approved transactions with this RRN, newest first, at most two.
    pub async fn by_rrn(&self, rrn: &str) -> Result<Vec<Found>, StoreError> {
        let rrn = rrn.to_owned();
        self.ask(move |db| {
            many(
                db,
                "WHERE rrn = ?1 AND status = ?2 ORDER BY txn DESC LIMIT 2",
                params![rrn, Status::Approved.name()],
            )
        })
        .await
    }
    /// Approved pre-authorisations with this code: that of the date where there is one, else the newest.
    pub async fn by_auth_code(&self, code: &str, date: &str) -> Result<Vec<Found>, StoreError> {
        let (code, date) = (code.to_owned(), date.to_owned());
        self.ask(move |db| {
            let tail = "WHERE outcome ->> '$.auth_code' = ?1 AND kind = 'pre_auth' AND status = 'approved' \
                        ORDER BY txn DESC LIMIT 64";
            let mut found = many(db, tail, params![code])?;
            // The issuer's codes of different days may be the same.
            let dated = found.iter().position(|f| f.outcome.host_date.as_deref() == Some(date.as_str()));
            let dated = dated.unwrap_or(0);
            Ok(found.drain(..).skip(dated).take(1).collect())
        })
        .await
    }
    /// Every transaction that was sent in a batch, whatever became of it, oldest first, at most 20,000.
    pub async fn of_batch(&self, account: &AccountId, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        let account = account.clone();
        self.ask(move |db| {
            let tail = "WHERE account = ?1 AND batch = ?2 ORDER BY txn LIMIT 20000";
            Ok(many(db, tail, params![account.as_str(), batch.get()])?
                .into_iter()
                .map(|f| f.outcome)
                .collect())
        })
        .await
    }
    /// Records of a batch, in the order of their numbers, up to its limit; those of chips with their TC's
    /// data.
    pub async fn in_batch(&self, query: BatchQuery) -> Result<Vec<BatchRow>, StoreError> {
        self.ask(move |db| {
            let kinds = serde_json::to_string(query.group.kinds()).unwrap_or_default();
            // `+` keeps to the order of the numbers: a batch is the end of the history, and its first number
            // is known.
            let tail = "WHERE txn > ?1 AND +account = ?2 AND +batch = ?3 AND +status = 'approved' \
                        AND kind IN (SELECT value FROM json_each(?4)) ORDER BY txn";
            let mut select = db.prepare_cached(&format!("{COLUMNS} {tail}")).map_err(sql("read a batch"))?;
            let values = params![query.after, query.account.as_str(), query.batch.get(), kinds];
            let rows = select.query_map(values, found).map_err(sql("read a batch"))?;
            let wanted = |r: &Result<Outcome, _>| r.as_ref().map_or(true, |o| query.wants(o));
            let wanted = rows.map(|r| r.map(|f| f.outcome)).filter(wanted);
            let row = |outcome: Outcome| {
                let icc = if query.group.of_chips() { certificate(db, outcome.txn)? } else { None };
                Ok(BatchRow { outcome, icc })
            };
            wanted
                .take(query.limit)
                .map(|o| o.and_then(row))
                .collect::<Result<_, _>>()
                .map_err(sql("read a batch"))
        })
        .await
    }
    /// Approved transactions of the app with this STAN in one of the open batches, at most two.
    pub async fn by_stan(
        &self,
        app: &str,
        stan: Stan,
        batches: Vec<(AccountId, Batch)>,
    ) -> Result<Vec<Found>, StoreError> {
        let app = app.to_owned();
        self.ask(move |db| {
            let mut found = many(
                db,
                "WHERE stan = ?1 AND +app = ?2 AND status = ?3 ORDER BY txn DESC LIMIT 64",
                params![stan.get(), app, Status::Approved.name()],
            )?;
            found.retain(|f| {
                batches
                    .iter()
                    .any(|(a, b)| f.outcome.account.as_ref() == Some(a) && f.outcome.batch == Some(*b))
            });
            found.truncate(2);
            Ok(found)
        })
        .await
    }
    /// Newest first; all filters that are given hold.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Outcome>, StoreError> {
        self.ask(move |db| list(db, &filter)).await
    }
    /// The records of a transaction, in order.
    pub async fn entries(&self, txn: u64) -> Result<Vec<Entry>, StoreError> {
        self.ask(move |db| {
            let mut select = db
                .prepare_cached("SELECT seq, at, txn, version, json FROM record WHERE txn = ?1 ORDER BY seq")
                .map_err(sql("read a transaction's records"))?;
            let mut rows = select.query([txn]).map_err(sql("read a transaction's records"))?;
            let mut all = Vec::new();
            while let Some(row) = rows.next().map_err(sql("read a transaction's records"))? {
                all.push(entry(row)?);
            }
            Ok(all)
        })
        .await
    }
    pub async fn sealed(&self, txn: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(move |db| {
            db.prepare_cached("SELECT blob FROM sealed WHERE txn = ?1")
                .and_then(|mut s| s.query_row([txn], |r| r.get(0)).optional())
                .map_err(sql("read a sealed value"))
        })
        .await
    }
}

pub(crate) fn knows(db: &Connection, key: &RequestKey) -> Result<bool, StoreError> {
    // What is lost is not unknown: the caller looks further.
    db.prepare_cached(
        "SELECT 1 FROM txn WHERE app = ?1 AND id = ?2 UNION ALL SELECT 1 FROM (SELECT 1 FROM lost LIMIT 1)",
    )
    .and_then(|mut s| s.exists(params![key.app, key.id]))
    .map_err(sql("look a key up"))
}

/// A row of `record` in the order seq, at, txn, version, json.
pub(crate) fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let read = || -> rusqlite::Result<_> { Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)) };
    let (seq, at, txn, version) = read().map_err(sql("read a record"))?;
    let json =
        row.get_ref(4).map_err(sql("read a record"))?.as_str().map_err(|e| sql("read a record")(e.into()))?;
    Ok(Entry { seq, at: Time(at), txn, record: Record::decode(seq, version, json)? })
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    let mut outcome = Outcome::decode(row.get_ref(2)?.as_str()?).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(e))
    })?;
    outcome.voided |= row.get::<_, Option<u64>>(3)?.is_some();
    outcome.completed |= row.get::<_, Option<u64>>(4)?.is_some();
    outcome.adjusted |= row.get::<_, Option<u64>>(5)?.is_some();
    outcome.sums.tip = outcome.sums.tip.or(row.get::<_, Option<u64>>(7)?);
    outcome.sums.refunded = Some(row.get::<_, u64>(6)?).filter(|r| *r > 0);
    if let (Some(seq), Some(hash)) = (row.get(8)?, row.get(9)?) {
        outcome.journal = Some(Head { seq, hash }.to_string());
    }
    Ok(Found { txn: row.get(0)?, hash: row.get(1)?, outcome })
}

fn many(db: &Connection, tail: &str, values: &[&dyn ToSql]) -> Result<Vec<Found>, StoreError> {
    db.prepare_cached(&format!("{COLUMNS} {tail}"))
        .and_then(|mut s| s.query_map(values, found).and_then(|rows| rows.collect()))
        .map_err(sql("read transactions"))
}

fn one(db: &Connection, tail: &str, values: &[&dyn ToSql]) -> Result<Option<Found>, StoreError> {
    Ok(many(db, tail, values)?.into_iter().next())
}

/// The page is read from the newest transaction down; `+column` keeps SQLite from sorting an index range
/// instead.
fn list(db: &Connection, f: &Filter) -> Result<Vec<Outcome>, StoreError> {
    let mut rules = vec!["1"];
    let mut values: Vec<Rc<dyn ToSql>> = Vec::new();
    let mut rule = |text: &'static str, value: Option<Rc<dyn ToSql>>| {
        if let Some(v) = value {
            rules.push(text);
            values.push(v);
        }
    };
    fn v<T: ToSql + 'static>(value: Option<T>) -> Option<Rc<dyn ToSql>> {
        value.map(|v| Rc::new(v) as Rc<dyn ToSql>)
    }
    rule("+app = ?", v(f.app.clone()));
    rule("kind = ?", v(f.kind.map(|k| k.name())));
    rule("status = ?", v(f.status.map(|s| s.name())));
    rule("account = ?", v(f.account.as_ref().map(|a| a.as_str().to_owned())));
    rule("started >= ?", v(f.since.map(|t| t.0)));
    rule("started < ?", v(f.until.map(|t| t.0)));
    rule("substr(masked_pan, -4) = ?", v(f.last4.clone()));
    rule("rrn = ?", v(f.rrn.clone()));
    rule("stan = ?", v(f.stan.map(|s| s.get())));
    rule("txn < ?", v(f.before));
    let tail = format!("WHERE {} ORDER BY txn DESC LIMIT ?", rules.join(" AND "));
    values.push(Rc::new(f.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)));
    let values: Vec<&dyn ToSql> = values.iter().map(|v| v.as_ref()).collect();
    Ok(many(db, &tail, &values)?.into_iter().map(|f| f.outcome).collect())
}

/// The EMV data with which the card of this transaction approved it; none: they are not there, or cannot be
/// read.
fn certificate(db: &Connection, txn: u64) -> rusqlite::Result<Option<Icc>> {
    let mut select = db.prepare_cached(
        "SELECT json ->> '$.request.card_ended.icc' FROM record
         WHERE txn = ?1 AND json ->> '$.request.card_ended.approved' = 1 ORDER BY seq DESC LIMIT 1",
    )?;
    let text: Option<Option<String>> = select.query_row([txn], |r| r.get(0)).optional()?;
    Ok(text.flatten().and_then(|text| serde_json::from_value(text.into()).ok()))
}
