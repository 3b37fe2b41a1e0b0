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
/// The chain before the first record.
pub(crate) const NOTHING: Hash = [0; 32];
/// Key in `meta` of what proves the chain's key, 64 hexadecimal digits.
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

/// Writes the proof of the chain's key; with the tables.
pub(crate) fn begin(db: &Connection, key: &KeyedHash) -> rusqlite::Result<()> {
    db.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", (START, proof(key))).map(drop)
}

fn proof(key: &KeyedHash) -> String {
    hex::encode(key.of(&[b"start"]))
}

/// Fails where the chain's start is not there, or, with a key, was made with another one.
pub(crate) fn check_start(db: &Connection, key: Option<&KeyedHash>) -> Result<(), StoreError> {
    let found: Option<String> = db
        .query_row("SELECT value FROM meta WHERE key = ?1", [START], |r| r.get(0))
        .optional()
        .map_err(crate::sql("read the chain's start"))?;
    let rule = match (found, key) {
        (None, _) => "is missing",
        (Some(found), Some(key)) if found != proof(key) => "was not made with this key",
        (Some(_), _) => return Ok(()),
    };
    Err(StoreError::Chain { place: "its start".into(), rule })
}

/// Whether the chain's start or the last record was written under this key: one of them may be damaged, or
/// the key another.
pub(crate) fn is_of(db: &Connection, key: &KeyedHash) -> rusqlite::Result<bool> {
    if check_start(db, Some(key)).is_ok() {
        return Ok(true);
    }
    let mut select = db
        .prepare("SELECT seq, at, txn, version, json, sealed, chain FROM record ORDER BY seq DESC LIMIT 1")?;
    let mut rows = select.query([])?;
    let Some(row) = rows.next()? else { return Ok(true) };
    let before = head(db, row.get::<_, u64>(0)?.saturating_sub(1))?;
    Ok(follow(key, &before, row).is_ok())
}

/// The journal's head as the row has it.
pub(crate) fn head(db: &Connection, seq: u64) -> rusqlite::Result<Head> {
    let hash: Option<Option<Hash>> =
        db.query_row("SELECT chain FROM record WHERE seq = ?1", [seq], |r| r.get(0)).optional()?;
    Ok(Head { seq, hash: hash.flatten().unwrap_or(NOTHING) })
}

/// The head after this row (seq, at, txn, version, json, sealed, chain), which comes after `before`.
pub(crate) fn follow(key: &KeyedHash, before: &Head, row: &rusqlite::Row<'_>) -> Result<Head, StoreError> {
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

/// [`follow`] without the key: only that nothing is missing.
pub(crate) fn read(before: &Head, row: &rusqlite::Row<'_>) -> Result<Head, StoreError> {
    let (seq, chain) = row
        .get::<_, u64>(0)
        .and_then(|s| Ok((s, row.get::<_, Option<Hash>>(6)?)))
        .map_err(crate::sql("read a record"))?;
    if seq != before.seq + 1 {
        return Err(missing(before));
    }
    let no_link = StoreError::Chain { place: format!("record {seq}"), rule: "has no link" };
    chain.map(|hash| Head { seq, hash }).ok_or(no_link)
}

fn missing(before: &Head) -> StoreError {
    StoreError::Chain { place: format!("record {}", before.seq + 1), rule: "is missing" }
}
