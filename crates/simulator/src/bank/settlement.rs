//! Settlement: the acquirer's own sums of a terminal's batch, what is uploaded to it, and the file for
//! reconciliation.
use super::{Account, Bank, BankError, Clock, World, answer};
use crate::mishap::Mishap;
use payterm_schema::{
    HostAnswer, Kind, Money, Pan,
    icc::Icc,
    kind::Side,
    settlement::{Half, Halves, SettlementReply, is_foreign},
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;
use std::collections::BTreeMap;

pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS settlement(account TEXT NOT NULL, batch INTEGER NOT NULL, at INTEGER NOT NULL,
 told TEXT NOT NULL, ours TEXT NOT NULL,
  domestic INTEGER NOT NULL, foreign_cards INTEGER NOT NULL, uploaded INTEGER NOT NULL DEFAULT 0,
  certificates INTEGER NOT NULL DEFAULT 0, closed
   INTEGER NOT NULL DEFAULT 0, difference TEXT NOT NULL DEFAULT '',
  PRIMARY KEY(account, batch)) STRICT;
CREATE TABLE IF NOT EXISTS upload(account TEXT NOT NULL, batch INTEGER NOT NULL, stan INTEGER NOT NULL,
 minor INTEGER NOT NULL, times INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY(account, batch, stan)) STRICT;
CREATE TABLE IF NOT EXISTS upload_message(account TEXT NOT NULL, batch INTEGER NOT NULL, stan INTEGER NOT
 NULL, PRIMARY KEY(account, batch, stan)) STRICT;
";

/// A message of a settlement, decoded.
#[derive(Clone, Debug)]
pub struct BatchAsk {
    pub batch: u32,
    pub stan: u32,
    pub what: BatchWhat,
}
#[derive(Clone, Debug)]
pub enum BatchWhat {
    Totals(Halves),
    /// STAN and minor units of each record.
    Records(Vec<(u32, u64)>),
    /// TC of the sale with this STAN.
    Certificate {
        stan: u32,
        minor: u64,
        pan: Pan,
        psn: Option<u8>,
        icc: Icc,
    },
    End {
        records: u32,
        balanced: bool,
    },
}

/// A settlement as the acquirer has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settled {
    pub account: String,
    pub batch: u32,
    pub at: i64,
    pub told: Halves,
    pub ours: Halves,
    /// Result digits of F48.
    pub domestic: u8,
    pub foreign: u8,
    pub uploaded: u32,
    /// TCs of chip cards that came and were right.
    pub certificates: u32,
    pub closed: bool,
    /// Difference between the upload and the books; empty = none.
    pub difference: String,
}

/// A line of the acquirer's file for reconciliation; a tip is in its sale's amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    pub batch: u32,
    pub stan: u32,
    pub kind: String,
    pub minor: u64,
    /// `approved` or `reversed`.
    pub status: &'static str,
    pub rrn: String,
    #[serde(skip)]
    foreign: bool,
}

/// Columns of the file.
pub const COLUMNS: &str = "batch,stan,kind,amount,currency,status,rrn";

/// Records of a batch: those that count, and those that a reversal took back.
pub fn lines(db: &Connection, world: &World, account: &str, batch: u32) -> Result<Vec<Line>, BankError> {
    let sql = "SELECT stan, kind, coalesce(total, amount, 0), state, rrn, pan FROM txn WHERE account = ? AND
     batch = ? AND code IN ('00', '10')
               AND kind IN ('sale', 'voice_sale', 'completion', 'completion_advice', 'void', 'refund', \
               'completion_cancel') ORDER BY stan";
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query(params![account, batch])?;
    let mut all = Vec::new();
    while let Some(r) = rows.next()? {
        let status = match r.get::<_, String>(3)?.as_str() {
            "approved" | "voided" => "approved",
            "reversed" => "reversed",
            _ => continue,
        };
        let pan: Option<String> = r.get(5)?;
        let foreign = pan.and_then(|p| world.card_by_pan(&p).map(|c| is_foreign(&c.scheme))).unwrap_or(false);
        all.push(Line {
            batch,
            stan: r.get(0)?,
            kind: r.get(1)?,
            minor: r.get::<_, i64>(2)?.unsigned_abs(),
            status,
            rrn: r.get(4)?,
            foreign,
        });
    }
    Ok(all)
}

/// The file as text.
pub fn file(db: &Connection, world: &World, account: &Account, batch: u32) -> Result<String, BankError> {
    let mut text = format!("{COLUMNS}\n");
    for l in lines(db, world, account.name.as_str(), batch)? {
        let amount = Money::new(l.minor, account.currency).map(Money::value).unwrap_or_default();
        text += &format!(
            "{},{},{},{amount},{},{},{}\n",
            l.batch, l.stan, l.kind, account.currency, l.status, l.rrn
        );
    }
    Ok(text)
}

fn sums(lines: &[Line]) -> Halves {
    let mut halves = Halves::default();
    for l in lines.iter().filter(|l| l.status == "approved") {
        let half = if l.foreign { &mut halves.foreign } else { &mut halves.domestic };
        let side = Kind::named(&l.kind).map_or(Side::None, |k| k.row().side);
        let (count, sum) = match side {
            Side::Debit => (&mut half.debit_count, &mut half.debit_minor),
            Side::Credit => (&mut half.credit_count, &mut half.credit_minor),
            Side::None => continue,
        };
        (*count, *sum) = (*count + 1, *sum + l.minor);
    }
    halves
}

/// All settlements, in order.
pub fn settlements(db: &Connection) -> Result<Vec<Settled>, BankError> {
    let mut s = db.prepare(
        "SELECT account, batch, at, told, ours, domestic, foreign_cards, uploaded, closed,
         difference, certificates FROM settlement ORDER BY at, account, batch",
    )?;
    let mut rows = s.query([])?;
    let mut all = Vec::new();
    while let Some(r) = rows.next()? {
        all.push(Settled {
            account: r.get(0)?,
            batch: r.get(1)?,
            at: r.get(2)?,
            told: serde_json::from_str(&r.get::<_, String>(3)?)?,
            ours: serde_json::from_str(&r.get::<_, String>(4)?)?,
            domestic: r.get(5)?,
            foreign: r.get(6)?,
            uploaded: r.get(7)?,
            closed: r.get(8)?,
            difference: r.get(9)?,
            certificates: r.get(10)?,
        });
    }
    Ok(all)
}

impl Bank {
    /// Answers a message of a settlement. The same totals and the same records again are answered as before.
    pub fn batch(
        &mut self,
        account: &Account,
        ask: &BatchAsk,
        mishap: Option<&Mishap>,
        clock: Clock,
    ) -> Result<HostAnswer, BankError> {
        let world = std::sync::Arc::clone(&self.world);
        let tx = self.db.transaction()?;
        let plain = |code: &str| answer(Some(&account.acquirer_id), code, clock);
        let reply = match &ask.what {
            BatchWhat::Totals(told) => match totals(&tx, &world, account, ask.batch, told, mishap, clock)? {
                Some(settlement) => HostAnswer { settlement: Some(settlement), ..plain("00") },
                None => plain("12"),
            },
            BatchWhat::Records(list) => plain(records(&tx, account, ask, list)?),
            BatchWhat::Certificate { stan, minor, pan, psn, icc } => {
                let right = self.issuer.verify_final(pan.reveal(), *psn, icc);
                plain(certificate(&tx, account, ask, *stan, *minor, right)?)
            }
            BatchWhat::End { records, balanced } => {
                plain(end(&tx, &world, account, ask, *records, *balanced)?)
            }
        };
        tx.commit()?;
        Ok(reply)
    }
}

/// Judges the terminal's totals; none where the batch is closed with other totals.
fn totals(
    tx: &Transaction<'_>,
    world: &World,
    account: &Account,
    batch: u32,
    told: &Halves,
    mishap: Option<&Mishap>,
    clock: Clock,
) -> Result<Option<SettlementReply>, BankError> {
    let closed: Option<(String, String, u8, u8)> = tx
        .prepare_cached(
            "SELECT told, ours, domestic, foreign_cards FROM settlement WHERE account = ? AND
         batch = ? AND closed",
        )?
        .query_row(params![account.name.as_str(), batch], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
        })
        .optional()?;
    // As it was answered before; the books of a closed batch do not change any more.
    if let Some((before, ours, domestic, foreign)) = closed {
        let ours: Halves = serde_json::from_str(&ours)?;
        let same = serde_json::from_str::<Halves>(&before)? == *told;
        return Ok(same.then_some(SettlementReply {
            domestic: (ours.domestic, domestic),
            foreign: (ours.foreign, foreign),
        }));
    }
    let known: Option<(u8, u8, bool)> = tx
        .prepare_cached(
            "SELECT domestic, foreign_cards, uploaded > 0 FROM settlement WHERE account = ? AND batch = ?",
        )?
        .query_row(params![account.name.as_str(), batch], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let ours = sums(&lines(tx, world, account.name.as_str(), batch)?);
    let judge = |told: &Half, ours: &Half| if told == ours { 1 } else { 2 };
    let (domestic, foreign) = match (mishap, known) {
        (_, Some((d, f, true))) => (d, f),
        (Some(Mishap::NotBalanced), _) => (2, 2),
        (Some(Mishap::SettleError), _) => (3, 3),
        (_, Some(_) | None) => (judge(&told.domestic, &ours.domestic), judge(&told.foreign, &ours.foreign)),
    };
    tx.prepare_cached(
        "INSERT INTO settlement(account, batch, at, told, ours, domestic, foreign_cards) VALUES(?, ?, ?, ?,
         ?, ?, ?)
         ON CONFLICT(account, batch) DO UPDATE SET told = excluded.told, ours = excluded.ours, domestic = \
         excluded.domestic, foreign_cards = excluded.foreign_cards",
    )?
    .execute(params![
        account.name.as_str(),
        batch,
        clock.now.0,
        serde_json::to_string(told)?,
        serde_json::to_string(&ours)?,
        domestic,
        foreign
    ])?;
    let mut reply = SettlementReply { domestic: (ours.domestic, domestic), foreign: (ours.foreign, foreign) };
    // Impossible: it balances, with another sum.
    if mishap == Some(&Mishap::BadTotals) {
        (reply.domestic.0.debit_minor, reply.domestic.1) = (told.domestic.debit_minor + 1, 1);
    }
    Ok(Some(reply))
}

fn records(
    tx: &Transaction<'_>,
    account: &Account,
    ask: &BatchAsk,
    list: &[(u32, u64)],
) -> Result<&'static str, BankError> {
    let name = account.name.as_str();
    if !tx
        .prepare_cached("SELECT 1 FROM settlement WHERE account = ? AND batch = ? AND NOT closed")?
        .exists(params![name, ask.batch])?
    {
        return Ok("25");
    }
    if tx
        .prepare_cached("INSERT OR IGNORE INTO upload_message(account, batch, stan) VALUES(?, ?, ?)")?
        .execute(params![name, ask.batch, ask.stan])?
        == 0
    {
        return Ok("94");
    }
    for (stan, minor) in list {
        let minor = i64::try_from(*minor).unwrap_or(i64::MAX);
        tx.prepare_cached(
            "INSERT INTO upload(account, batch, stan, minor) VALUES(?, ?, ?, ?) ON CONFLICT DO
         UPDATE SET times = times + 1",
        )?
        .execute(params![name, ask.batch, stan, minor])?;
    }
    tx.prepare_cached("UPDATE settlement SET uploaded = uploaded + ? WHERE account = ? AND batch = ?")?
        .execute(params![list.len(), name, ask.batch])?;
    Ok("00")
}

/// A TC counts where it is right, and of a sale of the batch that was approved with this amount.
fn certificate(
    tx: &Transaction<'_>,
    account: &Account,
    ask: &BatchAsk,
    stan: u32,
    minor: u64,
    right: bool,
) -> Result<&'static str, BankError> {
    let name = account.name.as_str();
    let minor = i64::try_from(minor).unwrap_or(i64::MAX);
    let sale = tx
        .prepare_cached(
            "SELECT 1 FROM txn WHERE account = ? AND batch = ? AND stan = ? AND amount = ? \
             AND state = 'approved'",
        )?
        .exists(params![name, ask.batch, stan, minor])?;
    if !right || !sale {
        return Ok("25");
    }
    match records(tx, account, ask, &[])? {
        "00" => {}
        other => return Ok(other),
    }
    tx.prepare_cached(
        "UPDATE settlement SET certificates = certificates + 1 WHERE account = ? AND batch = ?",
    )?
    .execute(params![name, ask.batch])?;
    Ok("00")
}

fn end(
    tx: &Transaction<'_>,
    world: &World,
    account: &Account,
    ask: &BatchAsk,
    count: u32,
    balanced: bool,
) -> Result<&'static str, BankError> {
    let name = account.name.as_str();
    let row: Option<(u8, u8, u32, bool)> = tx
        .prepare_cached(
            "SELECT domestic, foreign_cards, uploaded + certificates, closed FROM settlement WHERE account = ?
         AND batch = ?",
        )?
        .query_row(params![name, ask.batch], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
        .optional()?;
    let (domestic, foreign, uploaded) = match row {
        None => return Ok("25"),
        Some((.., true)) => return Ok("94"),
        Some((d, f, n, false)) => (d, f, n),
    };
    if balanced != ((domestic, foreign) == (1, 1)) {
        return Ok("95");
    }
    let mut difference = Vec::new();
    if uploaded != count {
        difference.push(format!("{uploaded} records came, the end counts {count}"));
    }
    let mut sent: BTreeMap<u32, (i64, u32)> = tx
        .prepare_cached("SELECT stan, minor, times FROM upload WHERE account = ? AND batch = ?")?
        .query_map(params![name, ask.batch], |r| Ok((r.get(0)?, (r.get(1)?, r.get(2)?))))?
        .collect::<Result<_, _>>()?;
    let judged = |l: &Line| if l.foreign { foreign != 1 } else { domestic != 1 };
    let tips = tips(tx, name, ask.batch)?;
    for l in lines(tx, world, name, ask.batch)?.iter().filter(|l| l.status == "approved" && judged(l)) {
        // A sale with a tip is uploaded as its tip's record.
        let stan = tips.get(&l.stan).copied().filter(|t| sent.contains_key(t)).unwrap_or(l.stan);
        match sent.remove(&stan) {
            None => difference.push(format!("STAN {:06} was not uploaded", l.stan)),
            Some((_, times)) if times > 1 => {
                difference.push(format!("STAN {stan:06} was uploaded {times} times"))
            }
            Some((minor, _)) if minor.unsigned_abs() != l.minor => {
                difference.push(format!("STAN {stan:06}: {minor} was uploaded, {} is here", l.minor))
            }
            Some(_) => {}
        }
    }
    difference.extend(sent.keys().map(|stan| format!("STAN {stan:06} was uploaded and is not here")));
    tx.prepare_cached("UPDATE settlement SET closed = 1, difference = ? WHERE account = ? AND batch = ?")?
        .execute(params![difference.join("; "), name, ask.batch])?;
    // The next batch has the next number, as the terminal has it.
    tx.prepare_cached("UPDATE session SET batch = ? WHERE account = ?")?
        .execute(params![ask.batch % 999_999 + 1, name])?;
    Ok("00")
}

/// The STAN of the tip of each sale that has one.
fn tips(tx: &Transaction<'_>, account: &str, batch: u32) -> Result<BTreeMap<u32, u32>, BankError> {
    let sql = "SELECT s.stan, t.stan FROM txn t JOIN txn s ON s.id = t.original WHERE t.kind = 'tip_adjust'
     AND t.state = 'approved' AND t.account = ? AND t.batch = ?";
    Ok(tx
        .prepare_cached(sql)?
        .query_map(params![account, batch], |r| Ok((r.get(0)?, r.get(1)?)))?
        .collect::<Result<_, _>>()?)
}
