//! The hash chain over the journal: each record carries an HMAC over the one before it and its own row, under
//! a key that only the vault has. Who can write the file and has not the key cannot change, take out or put
//! in a record unseen.
//!
//! Invariant: a record's link covers all of its row; of what was sealed with it the cipher text's hash, so
//! that a value can be erased.
use crate::StoreError;
use payterm_vault::KeyedHash;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use std::fmt;

/// Purpose of the vault's key for it.
pub const PURPOSE: &str = "journal";
pub type Hash = [u8; 32];
/// Before the first record.
pub(crate) const NOTHING: Hash = [0; 32];
/// Key in `meta`: the first record of the chain and the hash that proves it, as `17:9f…`.
const START: &str = "chain_start";

/// The journal up to a record: who keeps it can show later that the record, and all before it, were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub hash: Hash,
}
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex::encode(self.hash))
    }
}

impl std::str::FromStr for Head {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, hex) = text.split_once(':').ok_or(())?;
        let mut hash = [0; 32];
        hex::decode_to_slice(hex, &mut hash).map_err(|_| ())?;
        Ok(Self { seq: seq.parse().map_err(|_| ())?, hash })
    }
}

/// A record as it stands in its row.
pub(crate) struct Row<'a> {
    pub seq: u64,
    pub at: i64,
    pub txn: Option<u64>,
    pub version: u32,
    pub json: &'a str,
    pub sealed: &'a [u8],
}

impl Row<'_> {
    pub fn link(&self, key: &KeyedHash, before: &Hash) -> Hash {
        let txn = self.txn.map(u64::to_be_bytes);
        key.of(&[
            b"record",
            before,
            &self.seq.to_be_bytes(),
            &self.at.to_be_bytes(),
            txn.as_ref().map_or(&[], |t| t.as_slice()),
            &self.version.to_be_bytes(),
            self.json.as_bytes(),
            self.sealed,
        ])
    }
}

pub(crate) fn of_snapshot(key: &KeyedHash, at: &Head, version: u32, json: &str) -> Hash {
    key.of(&[b"snapshot", &at.hash, &at.seq.to_be_bytes(), &version.to_be_bytes(), json.as_bytes()])
}

/// `record.sealed` of what a commit seals.
pub(crate) fn of_sealed(all: &[(u64, Vec<u8>)]) -> Vec<u8> {
    all.iter().flat_map(|(txn, blob)| [&txn.to_be_bytes()[..], &Sha256::digest(blob)].concat()).collect()
}

/// The chain begins with the first record: written with the tables.
pub(crate) fn begin(db: &Connection, key: &KeyedHash) -> rusqlite::Result<()> {
    let text = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
    db.execute(text, (START, format!("1:{}", hex::encode(started(key, 1))))).map(drop)
}

/// In a new file that takes the records of one whose chain began at `first`.
pub(crate) fn begin_again(db: &Connection, key: &KeyedHash, first: u64) -> rusqlite::Result<()> {
    db.execute(
        "UPDATE meta SET value = ?2 WHERE key = ?1",
        (START, format!("{first}:{}", hex::encode(started(key, first)))),
    )
    .map(drop)
}

fn started(key: &KeyedHash, first: u64) -> Hash {
    key.of(&[b"start", &first.to_be_bytes()])
}

/// The chain's first record; without a key it is not proved. None: the journal is older than the chain.
pub(crate) fn start(db: &Connection, key: Option<&KeyedHash>) -> Result<Option<u64>, StoreError> {
    let read = |e| crate::sql("read the chain's start")(e);
    let Some(text) = db
        .query_row("SELECT value FROM meta WHERE key = ?1", [START], |r| r.get::<_, String>(0))
        .optional()
        .map_err(read)?
    else {
        return Ok(None);
    };
    let parsed =
        text.split_once(':').and_then(|(first, hash)| Some((first.parse::<u64>().ok()?, hash.to_owned())));
    match (parsed, key) {
        (Some((first, hash)), Some(key)) if hash == hex::encode(started(key, first)) => Ok(Some(first)),
        (Some((first, _)), None) => Ok(Some(first)),
        (Some(_) | None, _) => {
            Err(StoreError::Chain { place: "its start".into(), rule: "was not made with this key" })
        }
    }
}

/// Whether the chain's start or the last record was written under this key: one of them may be damaged, or
/// the key another.
pub(crate) fn is_of(db: &Connection, key: &KeyedHash) -> rusqlite::Result<bool> {
    if matches!(start(db, Some(key)), Ok(Some(_))) {
        return Ok(true);
    }
    let mut select = db
        .prepare("SELECT seq, at, txn, version, json, sealed, chain FROM record ORDER BY seq DESC LIMIT 1")?;
    let mut rows = select.query([])?;
    let Some(row) = rows.next()? else { return Ok(true) };
    let before = head(db, row.get::<_, u64>(0)?.saturating_sub(1))?;
    Ok(follow(key, 0, &before, row).is_ok())
}

/// The journal's head as the row has it.
pub(crate) fn head(db: &Connection, seq: u64) -> rusqlite::Result<Head> {
    let hash: Option<Option<Hash>> =
        db.query_row("SELECT chain FROM record WHERE seq = ?1", [seq], |r| r.get(0)).optional()?;
    Ok(Head { seq, hash: hash.flatten().unwrap_or(NOTHING) })
}

/// The head after this row (seq, at, txn, version, json, sealed, chain), which comes after `before`; `first`:
/// where the chain begins.
pub(crate) fn follow(
    key: &KeyedHash,
    first: u64,
    before: &Head,
    row: &rusqlite::Row<'_>,
) -> Result<Head, StoreError> {
    let read = || -> rusqlite::Result<_> {
        Ok((
            row.get::<_, u64>(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get_ref(4)?.as_str()?,
            row.get_ref(5)?.as_blob_or_null()?,
            row.get::<_, Option<Hash>>(6)?,
        ))
    };
    let (seq, at, txn, version, json, sealed, chain) = read().map_err(crate::sql("read a record"))?;
    if seq != before.seq + 1 {
        return Err(missing(before));
    }
    if seq < first {
        return Ok(Head { seq, hash: NOTHING });
    }
    let hash =
        Row { seq, at, txn, version, json, sealed: sealed.unwrap_or_default() }.link(key, &before.hash);
    if chain != Some(hash) {
        return Err(StoreError::Chain {
            place: format!("record {seq}"),
            rule: "is not as it was written, or does not follow the one before it",
        });
    }
    Ok(Head { seq, hash })
}

/// The same without the key: only that nothing is missing.
pub(crate) fn read(first: u64, before: &Head, row: &rusqlite::Row<'_>) -> Result<Head, StoreError> {
    let (seq, chain) = row
        .get::<_, u64>(0)
        .and_then(|s| Ok((s, row.get::<_, Option<Hash>>(6)?)))
        .map_err(crate::sql("read a record"))?;
    match chain {
        _ if seq != before.seq + 1 => Err(missing(before)),
        None if seq >= first => {
            Err(StoreError::Chain { place: format!("record {seq}"), rule: "has no link" })
        }
        chain => Ok(Head { seq, hash: chain.unwrap_or(NOTHING) }),
    }
}

fn missing(before: &Head) -> StoreError {
    StoreError::Chain { place: format!("record {}", before.seq + 1), rule: "is missing" }
}
