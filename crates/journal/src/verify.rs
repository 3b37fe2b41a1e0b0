//! The whole journal looked at: what SQLite says of the file, the chain from its first record to its head,
//! and what is derived from the records. Reads only; also of a journal that a daemon is writing.
//!
//! Without the key it is shown that the file is sound and has no gaps, not that nobody changed it.
use crate::{
    Head, StoreError,
    chain::{self, Hash, NOTHING},
    files, sql, writer,
};
use payterm_schema::{Outcome, Record, record::RECORD_VERSION};
use payterm_vault::KeyedHash;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, path::Path};

/// Findings of a verification; everything holds when `broken` is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub records: u64,
    /// The key was there: the chain is proved, not only read.
    pub keyed: bool,
    /// `17:9f…`, as outcomes name it; none in an empty journal.
    pub head: Option<String>,
    /// The head that was asked for is in this journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    /// The first thing that does not hold.
    pub broken: Option<Broken>,
}
impl Verified {
    pub fn holds(&self) -> bool {
        self.broken.is_none() && self.known != Some(false)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// `database`, `record 17`, `snapshot 10000`, `sealed value 5`, `transaction 5`.
    pub place: String,
    pub rule: String,
}
impl Broken {
    fn new(place: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { place: place.into(), rule: rule.into() }
    }
}
impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.rule)
    }
}

/// The journal file `path`; one that no daemon writes is opened so that nothing beside it changes. An error:
/// it could not be read at all. `head`: is it in there?
pub fn verify(path: &Path, key: Option<&KeyedHash>, head: Option<&Head>) -> Result<Verified, StoreError> {
    files::refuse_earlier_file(path)?;
    let db = files::open_to_verify(path)?;
    let mut found = of(&db, key)?;
    if let Some(head) = head {
        found.known = Some(chain::head(&db, head.seq).is_ok_and(|h| h == *head));
    }
    Ok(found)
}

pub(crate) fn of(db: &Connection, key: Option<&KeyedHash>) -> Result<Verified, StoreError> {
    // One view of it all, whatever is committed meanwhile.
    db.execute_batch("BEGIN").map_err(sql("verify"))?;
    let mut found = Verified { records: 0, keyed: key.is_some(), head: None, known: None, broken: None };
    let done = look(db, key, &mut found);
    db.execute_batch("ROLLBACK").ok();
    match done {
        Ok(broken) => found.broken = broken,
        Err(StoreError::Chain { place, rule }) => found.broken = Some(Broken::new(place, rule)),
        Err(e) => match e.damage().or_else(|| nonsense(&e)) {
            Some(why) => found.broken = Some(Broken::new("database", why)),
            None => return Err(e),
        },
    }
    Ok(found)
}

/// A statement that fails on what is in the tables, not on disk or locks: an index over a text that is no
/// JSON any more.
fn nonsense(e: &StoreError) -> Option<String> {
    let StoreError::Sql { cause, .. } = e else { return None };
    (cause.sqlite_error_code() == Some(ErrorCode::Unknown)).then(|| e.to_string())
}

fn look(
    db: &Connection,
    key: Option<&KeyedHash>,
    found: &mut Verified,
) -> Result<Option<Broken>, StoreError> {
    let said: String =
        db.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0)).map_err(sql("integrity_check"))?;
    if said != "ok" {
        return Ok(Some(Broken::new("database", said)));
    }
    let records = "SELECT count(*) FROM record";
    found.records = db.query_row(records, [], |r| r.get(0)).map_err(sql("count the records"))?;
    chain::check_start(db, key)?;
    let walked = walk(db, key)?;
    found.head = (walked.head.seq > 0).then(|| walked.head.to_string());
    if let Some(broken) = snapshots(db, key, &walked)? {
        return Ok(Some(broken));
    }
    if let Some(broken) = sealed(db, &walked)? {
        return Ok(Some(broken));
    }
    transactions(db, walked)
}

/// Facts of the records about the other tables.
struct Walked {
    head: Head,
    /// SHA-256 of the newest cipher text by transaction.
    sealed: HashMap<u64, Hash>,
    /// The last record that told a transaction's outcome.
    told: HashMap<u64, u64>,
    /// The chain where the snapshots are.
    at: HashMap<u64, Hash>,
}

fn walk(db: &Connection, key: Option<&KeyedHash>) -> Result<Walked, StoreError> {
    let read = || sql("read the records");
    let places: Vec<u64> = db
        .prepare("SELECT seq FROM snapshot")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
        .map_err(read())?;
    let mut all = Walked {
        head: Head { seq: 0, hash: NOTHING },
        sealed: HashMap::new(),
        told: HashMap::new(),
        at: HashMap::new(),
    };
    let mut select = db
        .prepare("SELECT seq, at, txn, version, json, sealed, chain FROM record ORDER BY seq")
        .map_err(read())?;
    let mut rows = select.query([]).map_err(read())?;
    while let Some(row) = rows.next().map_err(read())? {
        all.head = match key {
            Some(key) => chain::follow(key, &all.head, row)?,
            None => chain::read(&all.head, row)?,
        };
        if places.contains(&all.head.seq) {
            all.at.insert(all.head.seq, all.head.hash);
        }
        let txn: Option<u64> = row.get(2).map_err(read())?;
        let json = row.get_ref(4).map_err(read())?.as_str().unwrap_or_default();
        if let Some(txn) = txn.filter(|_| TELLING.iter().any(|t| json.starts_with(t))) {
            all.told.insert(txn, all.head.seq);
        }
        all.sealed.extend(vouched(
            row.get_ref(5).map_err(read())?.as_blob_or_null().ok().flatten().unwrap_or_default(),
        ));
    }
    Ok(all)
}
/// Beginnings of the records that a transaction's row takes its outcome from: those of [`writer::told`], and
/// no others.
const TELLING: [&str; 4] = [
    r#"{"request":{"started""#,
    r#"{"request":{"offline_allowed""#,
    r#"{"settlement":{"asked""#,
    r#"{"request":{"outcome""#,
];

/// SHA-256 of the newest cipher text of each transaction, as the records up to `seq` have it.
pub(crate) fn sealed_by(db: &Connection, seq: u64) -> Result<HashMap<u64, Hash>, StoreError> {
    let read = || sql("read what was sealed");
    let mut all = HashMap::new();
    let mut select = db
        .prepare("SELECT sealed FROM record WHERE sealed IS NOT NULL AND seq <= ?1 ORDER BY seq")
        .map_err(read())?;
    let mut rows = select.query([seq]).map_err(read())?;
    while let Some(row) = rows.next().map_err(read())? {
        all.extend(vouched(row.get_ref(0).map_err(read())?.as_blob().unwrap_or_default()));
    }
    Ok(all)
}
fn vouched(sealed: &[u8]) -> impl Iterator<Item = (u64, Hash)> {
    sealed.chunks_exact(8 + 32).filter_map(|one| {
        let (txn, hash) = one.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*txn), Hash::try_from(hash).ok()?))
    })
}
pub(crate) fn is(hash: &Hash, blob: &[u8]) -> bool {
    Sha256::digest(blob)[..] == hash[..]
}

fn snapshots(
    db: &Connection,
    key: Option<&KeyedHash>,
    walked: &Walked,
) -> Result<Option<Broken>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let read = || sql("read the snapshots");
    let mut select =
        db.prepare("SELECT seq, version, json, chain FROM snapshot ORDER BY seq").map_err(read())?;
    let mut rows = select.query([]).map_err(read())?;
    while let Some(row) = rows.next().map_err(read())? {
        let one = || -> rusqlite::Result<_> {
            Ok((
                row.get::<_, u64>(0)?,
                row.get(1)?,
                row.get_ref(2)?.as_str()?,
                row.get::<_, Option<Hash>>(3)?,
            ))
        };
        let (seq, version, json, chain) = one().map_err(read())?;
        let at = Head { seq, hash: walked.at.get(&seq).copied().unwrap_or(NOTHING) };
        if chain != Some(chain::of_snapshot(key, &at, version, json)) {
            return Ok(Some(Broken::new(format!("snapshot {seq}"), "is not as it was written")));
        }
    }
    Ok(None)
}

fn sealed(db: &Connection, walked: &Walked) -> Result<Option<Broken>, StoreError> {
    let read = || sql("read the sealed values");
    let mut select = db.prepare("SELECT txn, blob FROM sealed").map_err(read())?;
    let mut rows = select.query([]).map_err(read())?;
    while let Some(row) = rows.next().map_err(read())? {
        let (txn, blob) =
            row.get::<_, u64>(0).and_then(|t| Ok((t, row.get_ref(1)?.as_blob()?))).map_err(read())?;
        if !walked.sealed.get(&txn).is_some_and(|hash| is(hash, blob)) {
            return Ok(Some(Broken::new(format!("sealed value {txn}"), "is not what its record sealed")));
        }
    }
    Ok(None)
}

/// Checks that each row of a transaction says what its last record said.
fn transactions(db: &Connection, mut walked: Walked) -> Result<Option<Broken>, StoreError> {
    let read = || sql("read the transactions");
    let text = "SELECT txn, told, outcome, json_valid(outcome) AND app = outcome ->> '$.app' \
                AND id = outcome ->> '$.id' AND status = outcome ->> '$.status' FROM txn ORDER BY txn";
    let mut select = db.prepare(text).map_err(read())?;
    let mut record = db.prepare("SELECT json FROM record WHERE seq = ?1").map_err(read())?;
    let mut rows = select.query([]).map_err(read())?;
    while let Some(row) = rows.next().map_err(read())? {
        let one = || -> rusqlite::Result<_> {
            Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?, row.get_ref(2)?.as_str()?, row.get(3)?))
        };
        let (txn, told, outcome, columns) = one().map_err(read())?;
        let last = walked.told.remove(&txn);
        let mut same = |seq: u64| {
            record
                .query_row([seq], |r| Ok(says(r.get_ref(0)?.as_str()?, outcome)))
                .optional()
                .map(|s| s == Some(true))
                .map_err(read())
        };
        if !(last == Some(told) && columns && same(told)?) {
            return Ok(Some(Broken::new(
                format!("transaction {txn}"),
                "its row does not say what its last record says",
            )));
        }
    }
    Ok(walked
        .told
        .into_keys()
        .min()
        .map(|txn| Broken::new(format!("transaction {txn}"), "has records and no row")))
}

/// The record says this outcome: word for word, or, where another version of the program wrote the row, the
/// same by its meaning.
fn says(record: &str, outcome: &str) -> bool {
    let parsed = || {
        let record = Record::decode(0, RECORD_VERSION, record).ok()?;
        Some(**writer::told(&record)? == Outcome::decode(outcome).ok()?)
    };
    record.contains(outcome) || parsed() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_in_other_words_is_the_same_and_another_one_is_not() {
        let parts = [
            r#""app":"pos","id":"a","txn":1,"kind":"sale","status":"approved","currency":"CNY","started":1"#,
            r#""place":{"shop":"s","address":"","city":""},"operator":"01","test":true"#,
        ];
        let outcome = format!("{{{},{}}}", parts[0], parts[1]);
        let turned = format!("{{{},{}}}", parts[1], parts[0]);
        let record = format!(r#"{{"request":{{"outcome":{{"outcome":{outcome}}}}}}}"#);
        assert!(serde_json::from_str::<Record>(&record).is_ok(), "{record}");
        assert!(says(&record, &outcome) && says(&record, &turned));
        assert!(!says(&record, &turned.replace("approved", "declined")));
    }
}
