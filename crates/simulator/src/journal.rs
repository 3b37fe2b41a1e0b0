//! The messages that were seen, masked when written: no PAN, PIN block, track, code or key gets here.
use payterm_schema::{Time, host::FieldView};
use rusqlite::{Connection, params};
use serde::Serialize;

/// Messages kept; older ones are forgotten.
pub const KEEP: i64 = 10_000;

/// Request of the log, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    pub id: i64,
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    /// Acquirer account, none when the terminal is unknown.
    pub account: Option<String>,
    pub mti: String,
    pub stan: Option<u32>,
    /// F39 of the reply; none when nothing was answered.
    pub code: Option<String>,
    /// The mishap that befell it.
    pub mishap: Option<String>,
    pub request: Vec<FieldView>,
    pub reply: Vec<FieldView>,
}

/// Writes a message down; `id` is ignored.
pub fn write(c: &Connection, at: Time, s: &Seen) -> rusqlite::Result<()> {
    let json = |v: &[FieldView]| serde_json::to_string(v).unwrap_or_default();
    c.prepare_cached(
        "INSERT INTO message(at, account, mti, stan, code, mishap, request, reply) VALUES(?, ?,
     ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        at.0,
        s.account,
        s.mti,
        s.stan,
        s.code,
        s.mishap,
        json(&s.request),
        json(&s.reply)
    ])?;
    c.prepare_cached("DELETE FROM message WHERE id <= ?")?.execute([c.last_insert_rowid() - KEEP])?;
    Ok(())
}

/// All messages that are kept, oldest first.
pub fn read(c: &Connection) -> rusqlite::Result<Vec<Seen>> {
    let views = |t: String| serde_json::from_str(&t).unwrap_or_default();
    c.prepare("SELECT id, at, account, mti, stan, code, mishap, request, reply FROM message ORDER BY id")?
        .query_map([], |r| {
            Ok(Seen {
                id: r.get(0)?,
                at: r.get(1)?,
                account: r.get(2)?,
                mti: r.get(3)?,
                stan: r.get(4)?,
                code: r.get(5)?,
                mishap: r.get(6)?,
                request: views(r.get(7)?),
                reply: views(r.get(8)?),
            })
        })?
        .collect()
}
