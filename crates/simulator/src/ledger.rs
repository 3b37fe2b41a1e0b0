//! The double-entry ledger: every movement is a posting whose lines sum to zero; nothing is ever changed or
//! deleted, what is undone is undone by a contrary posting, once.
//!
//! Accounts are named `card:<card>`, `wallet:<wallet>`, `merchant:<account>`, `fees:<account>` and
//! `funding:<currency>` (the other side of opening balances). A positive balance is what the acquirer owes to
//! its owner. Amounts are minor units of the account's currency.
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("ledger: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("ledger: posting '{0}' does not sum to zero in one currency")]
    Unbalanced(String),
    #[error("ledger: an amount is out of range")]
    Range,
    #[error("ledger: posting {0} does not exist or is undone already")]
    Undone(i64),
}

pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS ledger_account(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, currency TEXT
  NOT NULL, balance INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE IF NOT EXISTS posting(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, txn
  INTEGER, undoes INTEGER UNIQUE REFERENCES posting) STRICT;
CREATE TABLE IF NOT EXISTS entry(posting INTEGER NOT NULL REFERENCES posting, account INTEGER NOT NULL
  REFERENCES ledger_account,
  amount INTEGER NOT NULL CHECK(amount <> 0)) STRICT;
CREATE INDEX IF NOT EXISTS entry_posting ON entry(posting);
CREATE TRIGGER IF NOT EXISTS entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT,
  'entries are never changed'); END;
CREATE TRIGGER IF NOT EXISTS entry_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT,
  'entries are never deleted'); END;
CREATE TRIGGER IF NOT EXISTS posting_stays BEFORE UPDATE ON posting BEGIN SELECT RAISE(ABORT,
  'postings are never changed'); END;
CREATE TRIGGER IF NOT EXISTS posting_kept BEFORE DELETE ON posting BEGIN SELECT RAISE(ABORT,
  'postings are never deleted'); END;
";

/// Makes the account if it is new; answers true then.
pub fn open_account(tx: &Transaction<'_>, name: &str, currency: &str) -> Result<bool, LedgerError> {
    Ok(tx
        .prepare_cached("INSERT OR IGNORE INTO ledger_account(name, currency) VALUES(?, ?)")?
        .execute(params![name, currency])?
        == 1)
}

/// Balance of an account, minor units; 0 when it does not exist.
pub fn balance(c: &Connection, name: &str) -> Result<i64, LedgerError> {
    Ok(c.prepare_cached("SELECT balance FROM ledger_account WHERE name = ?")?
        .query_row([name], |r| r.get(0))
        .optional()?
        .unwrap_or(0))
}

/// Posts `lines` (account, amount). Lines of zero are left out; accounts must exist and be of one currency.
pub fn post(
    tx: &Transaction<'_>,
    at: i64,
    kind: &str,
    txn: Option<i64>,
    lines: &[(&str, i64)],
) -> Result<i64, LedgerError> {
    write(tx, at, kind, txn, None, lines)
}

/// Posts the contrary of `posting`. A posting is undone at most once; the contrary may be undone in its turn.
pub fn undo(
    tx: &Transaction<'_>,
    at: i64,
    kind: &str,
    txn: Option<i64>,
    posting: i64,
) -> Result<i64, LedgerError> {
    if tx.prepare_cached("SELECT 1 FROM posting WHERE undoes = ?")?.exists([posting])? {
        return Err(LedgerError::Undone(posting));
    }
    let lines: Vec<(String, i64)> = tx
        .prepare_cached(
            "SELECT a.name, -e.amount FROM entry e JOIN ledger_account a ON a.id = e.account
         WHERE e.posting = ? ORDER BY e.rowid",
        )?
        .query_map([posting], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if lines.is_empty() {
        return Err(LedgerError::Undone(posting));
    }
    let lines: Vec<(&str, i64)> = lines.iter().map(|(n, a)| (n.as_str(), *a)).collect();
    write(tx, at, kind, txn, Some(posting), &lines)
}

fn write(
    tx: &Transaction<'_>,
    at: i64,
    kind: &str,
    txn: Option<i64>,
    undoes: Option<i64>,
    lines: &[(&str, i64)],
) -> Result<i64, LedgerError> {
    let sum = lines.iter().try_fold(0i64, |s, (_, a)| s.checked_add(*a)).ok_or(LedgerError::Range)?;
    if sum != 0 || lines.is_empty() {
        return Err(LedgerError::Unbalanced(kind.into()));
    }
    tx.prepare_cached("INSERT INTO posting(at, kind, txn, undoes) VALUES(?, ?, ?, ?)")?
        .execute(params![at, kind, txn, undoes])?;
    let posting = tx.last_insert_rowid();
    let mut currency: Option<String> = None;
    for (name, amount) in lines.iter().filter(|(_, a)| *a != 0) {
        // A sum beyond 64 bits would become REAL, which a STRICT table refuses.
        let (id, cur): (i64, String) = tx
            .prepare_cached(
                "UPDATE ledger_account SET balance = balance + ? WHERE name = ? RETURNING id, currency",
            )?
            .query_row(params![amount, name], |r| Ok((r.get(0)?, r.get(1)?)))?;
        if currency.get_or_insert_with(|| cur.clone()) != &cur {
            return Err(LedgerError::Unbalanced(kind.into()));
        }
        tx.prepare_cached("INSERT INTO entry(posting, account, amount) VALUES(?, ?, ?)")?
            .execute(params![posting, id, amount])?;
    }
    Ok(posting)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    pub account: String,
    pub currency: String,
    /// Minor units.
    pub balance: i64,
}

pub fn balances(c: &Connection) -> Result<Vec<Balance>, LedgerError> {
    let mut s = c.prepare("SELECT name, currency, balance FROM ledger_account ORDER BY name")?;
    Ok(s.query_map([], |r| Ok(Balance { account: r.get(0)?, currency: r.get(1)?, balance: r.get(2)? }))?
        .collect::<Result<_, _>>()?)
}

/// Posting with its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posting {
    pub id: i64,
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    /// `opening`, `reversal`, or the kind of the transaction: `sale`, `void`, `refund` ...
    pub kind: String,
    /// The message that caused it: acquirer account, batch, STAN, RRN.
    pub account: Option<String>,
    pub batch: Option<u32>,
    pub stan: Option<u32>,
    pub rrn: Option<String>,
    /// The posting whose contrary this is.
    pub undoes: Option<i64>,
    /// The message had chip data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<ChipData>,
    pub currency: String,
    /// Account and signed amount, minor units.
    pub lines: Vec<(String, i64)>,
}

/// Chip data (F55) of a message: a reversal says no kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChipData {
    /// `ARQC`, `TC`, `AAC`.
    pub cryptogram: Option<String>,
    /// 9F36.
    pub atc: Option<u16>,
}

/// All postings, oldest first.
pub fn postings(c: &Connection) -> Result<Vec<Posting>, LedgerError> {
    let mut s = c.prepare(
        "SELECT p.id, p.at, p.kind, t.account, t.batch, t.stan, t.rrn, p.undoes, a.currency, a.name, e.amount,
         c.id, c.cryptogram, c.atc
         FROM posting p JOIN entry e ON e.posting = p.id JOIN ledger_account a ON a.id = e.account LEFT \
         JOIN txn t ON t.id = p.txn LEFT JOIN chip c ON c.txn = t.id AND c.what = CASE p.kind
         WHEN 'reversal' THEN 'reversal' ELSE 'request' END ORDER BY p.id, e.rowid",
    )?;
    let mut rows = s.query([])?;
    let mut all: Vec<Posting> = Vec::new();
    while let Some(r) = rows.next()? {
        let id: i64 = r.get(0)?;
        let line = (r.get(9)?, r.get(10)?);
        match all.last_mut().filter(|p| p.id == id) {
            Some(p) => p.lines.push(line),
            None => all.push(Posting {
                id,
                at: r.get(1)?,
                kind: r.get(2)?,
                account: r.get(3)?,
                batch: r.get(4)?,
                stan: r.get(5)?,
                rrn: r.get(6)?,
                undoes: r.get(7)?,
                chip: match r.get::<_, Option<i64>>(11)? {
                    Some(_) => Some(ChipData { cryptogram: r.get(12)?, atc: r.get(13)? }),
                    None => None,
                },
                currency: r.get(8)?,
                lines: vec![line],
            }),
        }
    }
    Ok(all)
}

/// An amount that is set aside: a pre-authorisation that is neither completed nor cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    pub payer: String,
    pub currency: String,
    /// Minor units.
    pub amount: i64,
    pub account: String,
    pub batch: u32,
    pub stan: u32,
    pub rrn: String,
    /// F38, and the date MMDD with which a completion names it.
    pub auth: Option<String>,
    pub date: String,
}

pub fn holds(c: &Connection) -> Result<Vec<Hold>, LedgerError> {
    let mut s = c.prepare(
        "SELECT t.payer, a.currency, t.total, t.account, t.batch, t.stan, t.rrn, t.auth, t.date FROM txn t
         JOIN ledger_account a ON a.name = t.payer
         WHERE t.kind = 'pre_auth' AND t.state = 'approved' ORDER BY t.id",
    )?;
    let hold = |r: &rusqlite::Row<'_>| {
        Ok(Hold {
            payer: r.get(0)?,
            currency: r.get(1)?,
            amount: r.get(2)?,
            account: r.get(3)?,
            batch: r.get(4)?,
            stan: r.get(5)?,
            rrn: r.get(6)?,
            auth: r.get(7)?,
            date: r.get(8)?,
        })
    };
    Ok(s.query_map([], hold)?.collect::<Result<_, _>>()?)
}

/// Status uploads of the terminals: account, milliseconds since 1970, text.
pub fn statuses(c: &Connection) -> Result<Vec<(String, i64, String)>, LedgerError> {
    let mut s = c.prepare("SELECT account, at, text FROM terminal_status ORDER BY id")?;
    Ok(s.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?.collect::<Result<_, _>>()?)
}

/// Result of [`check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub postings: u64,
    pub entries: u64,
    /// Sum of all balances by currency; all must be 0.
    pub sums: BTreeMap<String, i64>,
    /// Rules that do not hold; empty when the ledger is sound.
    pub broken: Vec<String>,
}

/// Checks that each posting sums to zero, that each balance is the sum of its entries, that all balances of a
/// currency sum to zero, that no payer is overdrawn and that each approved transaction has exactly the
/// postings it should.
pub fn check(c: &Connection) -> Result<Report, LedgerError> {
    let mut r = Report {
        postings: c.query_row("SELECT count(*) FROM posting", [], |r| r.get(0))?,
        entries: c.query_row("SELECT count(*) FROM entry", [], |r| r.get(0))?,
        ..Report::default()
    };
    for (currency, sum) in c
        .prepare("SELECT currency, sum(balance) FROM ledger_account GROUP BY currency")?
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<Vec<(String, i64)>, _>>()?
    {
        if sum != 0 {
            r.broken.push(format!("the balances in {currency} sum to {sum}, not 0"));
        }
        r.sums.insert(currency, sum);
    }
    let rules: [(&str, &str); 8] = [
        (
            "posting does not sum to zero",
            "SELECT CAST(posting AS TEXT) FROM entry GROUP BY posting HAVING
         sum(amount) <> 0",
        ),
        (
            "balance is not the sum of the entries",
            "SELECT a.name FROM ledger_account a WHERE a.balance <> (SELECT coalesce(sum(amount), 0) FROM
             entry e WHERE e.account = a.id)",
        ),
        (
            "payer is overdrawn",
            "SELECT name FROM ledger_account WHERE balance < 0 AND (name LIKE 'card:%' OR
         name LIKE 'wallet:%')",
        ),
        (
            "approved payment or refund without a standing posting, or another state with one",
            "SELECT rrn FROM txn t WHERE kind IN ('sale', 'voice_sale', 'completion', 'completion_advice',
             'refund')
             AND (state = 'approved') <> (posting IS NOT NULL AND NOT EXISTS (SELECT 1 FROM posting u \
             WHERE u.undoes = t.posting))",
        ),
        (
            "the standing posting of a payment takes another amount from the payer",
            "SELECT rrn FROM txn t WHERE kind IN ('sale', 'voice_sale', 'completion', 'completion_advice')
             AND state = 'approved'
             AND total <> (SELECT -sum(e.amount) FROM entry e JOIN ledger_account a ON a.id = e.account \
             WHERE e.posting = t.posting AND a.name = t.payer)",
        ),
        (
            "more is refunded than was paid, or another sum than the refunds",
            "SELECT rrn FROM txn t WHERE refunded > coalesce(total, 0)
             OR refunded <> (SELECT coalesce(sum(r.total), 0) FROM txn r WHERE r.original = t.id AND \
             r.kind = 'refund' AND r.state = 'approved')",
        ),
        (
            "a pre-authorisation is completed without exactly one standing completion, or not completed \
             with one",
            "SELECT rrn FROM txn t WHERE kind = 'pre_auth' AND (state = 'completed')
             <> (SELECT count(*) FROM txn c WHERE c.original = t.id AND c.kind IN ('completion', \
             'completion_advice') AND c.state = 'approved')",
        ),
        (
            "more than one approval for one batch and STAN",
            "SELECT account || ' ' || batch || ' ' || stan FROM txn WHERE state = 'approved' AND kind <>
             'balance' GROUP BY account, batch, stan HAVING count(*) > 1",
        ),
    ];
    for (rule, sql) in rules {
        for name in
            c.prepare(sql)?.query_map([], |r| r.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?
        {
            r.broken.push(format!("{rule}: {name}"));
        }
    }
    Ok(r)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Connection {
        let mut c = Connection::open_in_memory().unwrap();
        c.execute_batch(SCHEMA).unwrap();
        let tx = c.transaction().unwrap();
        for (name, currency) in [("a", "CNY"), ("b", "CNY"), ("c", "USD")] {
            assert!(open_account(&tx, name, currency).unwrap());
            assert!(!open_account(&tx, name, currency).unwrap());
        }
        tx.commit().unwrap();
        c
    }

    #[test]
    fn what_does_not_balance_is_refused_and_leaves_nothing() {
        let mut c = ledger();
        for lines in [&[("a", 5), ("b", -4)][..], &[("a", 5), ("c", -5)], &[], &[("a", i64::MAX), ("b", 1)]] {
            let tx = c.transaction().unwrap();
            assert!(
                matches!(
                    post(&tx, 0, "sale", None, lines),
                    Err(LedgerError::Unbalanced(_) | LedgerError::Range)
                ),
                "{lines:?}"
            );
        }
        let tx = c.transaction().unwrap();
        let nobody = post(&tx, 0, "sale", None, &[("a", 5), ("nobody", -5)]);
        assert!(matches!(nobody, Err(LedgerError::Sql(_))), "{nobody:?}");
        drop(tx);
        assert!(balances(&c).unwrap().iter().all(|b| b.balance == 0));
        // Beyond 64 bits.
        let tx = c.transaction().unwrap();
        post(&tx, 0, "sale", None, &[("a", i64::MAX), ("b", -i64::MAX)]).unwrap();
        let beyond = post(&tx, 0, "sale", None, &[("a", i64::MAX), ("b", -i64::MAX)]);
        assert!(matches!(beyond, Err(LedgerError::Sql(_) | LedgerError::Range)), "{beyond:?}");
    }

    #[test]
    fn a_posting_is_undone_once_and_so_is_its_undoing() {
        let mut c = ledger();
        let tx = c.transaction().unwrap();
        let sale = post(&tx, 0, "sale", None, &[("a", -5), ("b", 5)]).unwrap();
        let void = undo(&tx, 1, "void", None, sale).unwrap();
        assert_eq!((balance(&tx, "a").unwrap(), balance(&tx, "b").unwrap()), (0, 0));
        assert!(matches!(undo(&tx, 2, "void", None, sale), Err(LedgerError::Undone(_))));
        undo(&tx, 3, "reversal", None, void).unwrap();
        assert_eq!((balance(&tx, "a").unwrap(), balance(&tx, "b").unwrap()), (-5, 5));
        assert!(matches!(undo(&tx, 4, "reversal", None, void), Err(LedgerError::Undone(_))));
        assert!(matches!(undo(&tx, 5, "void", None, 999), Err(LedgerError::Undone(999))));
    }
}
