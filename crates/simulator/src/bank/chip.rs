//! Chip data of a message (F55): the issuer's check of a request, its answer, and what is kept of requests,
//! reversals and script notices. None of it is card data.
use super::{BankError, Case, HostAnswer, Kind, What, params};
use crate::card::{Asked, IccRefusal};
use payterm_schema::icc::{Icc, Tag};
use rusqlite::Connection;
use serde::Serialize;

/// `what`: request, reversal, notice. `why`: the issuer's reason to refuse.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS chip(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, account TEXT NOT NULL, batch
  INTEGER NOT NULL, stan INTEGER NOT NULL, mti TEXT NOT NULL, what TEXT NOT NULL, txn INTEGER REFERENCES txn,
  cryptogram TEXT, atc INTEGER, icc TEXT NOT NULL, why TEXT, UNIQUE(account, batch, stan, mti)) STRICT;
CREATE INDEX IF NOT EXISTS chip_txn ON chip(txn);
";

/// What a refused cryptogram is answered: host-protocol §9 has no code of its own for it.
const REFUSED: &str = "05";

/// The chip data of a message, as the acquirer keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chip {
    /// Milliseconds since 1970, UTC.
    pub at: i64,
    pub account: String,
    pub batch: u32,
    pub stan: u32,
    /// 0100, 0200, 0220, 0400, 0620.
    pub mti: String,
    /// `request`, `reversal`, `notice`.
    pub what: String,
    /// The transaction that it is of: kind, F39, state.
    pub kind: Option<String>,
    pub code: Option<String>,
    pub state: Option<String>,
    /// `ARQC`, `TC`, `AAC`, by 9F27.
    pub cryptogram: Option<String>,
    /// 9F36.
    pub atc: Option<u16>,
    /// DF31: results of the issuer's scripts, hex digits.
    pub results: Option<String>,
    /// Why the issuer refused.
    pub why: Option<String>,
    /// F55.
    pub icc: Icc,
}

/// All chip data, oldest first.
pub fn chips(c: &Connection) -> Result<Vec<Chip>, BankError> {
    let mut s = c.prepare(
        "SELECT c.at, c.account, c.batch, c.stan, c.mti, c.what, t.kind, t.code, t.state, c.cryptogram, c.atc,
         c.why, c.icc FROM chip c LEFT JOIN txn t ON t.id = c.txn ORDER BY c.id",
    )?;
    let rows = s.query_map([], |r| {
        let chip = Chip {
            at: r.get(0)?,
            account: r.get(1)?,
            batch: r.get(2)?,
            stan: r.get(3)?,
            mti: r.get(4)?,
            what: r.get(5)?,
            kind: r.get(6)?,
            code: r.get(7)?,
            state: r.get(8)?,
            cryptogram: r.get(9)?,
            atc: r.get(10)?,
            results: None,
            why: r.get(11)?,
            icc: Icc::default(),
        };
        Ok((chip, r.get::<_, String>(12)?))
    })?;
    rows.map(|row| {
        let (chip, text) = row?;
        let icc = stored(&text)?;
        let results = icc.values(Tag::SCRIPT_RESULTS).next().map(hex::encode_upper);
        Ok(Chip { results, icc, ..chip })
    })
    .collect()
}

fn stored(text: &str) -> Result<Icc, BankError> {
    let icc = serde_json::from_value(serde_json::Value::String(text.to_owned()));
    Ok(icc?)
}

fn first(icc: &Icc, tag: u32) -> Option<&[u8]> {
    icc.values(Tag::new(tag)?).next()
}
fn atc(icc: &Icc) -> Option<u16> {
    first(icc, 0x9F36)?.try_into().ok().map(u16::from_be_bytes)
}
/// Name of the cryptogram's kind.
fn cryptogram(icc: &Icc) -> Option<&'static str> {
    match first(icc, 0x9F27)? {
        [cid] => match cid & 0xC0 {
            0x00 => Some("AAC"),
            0x40 => Some("TC"),
            0x80 => Some("ARQC"),
            _ => None,
        },
        _ => None,
    }
}

/// The issuer's word on the chip data of a request.
pub(super) enum Judged {
    /// There is nothing that the issuer answers: no chip data, or none of a card of its own.
    Silent,
    Right(Asked),
    /// Code and reason.
    Wrong(&'static str, String),
}

/// What was approved before counts again after a restart.
pub(super) fn recall(db: &Connection, issuer: &crate::card::CardIssuer) -> Result<(), BankError> {
    let mut s = db.prepare(
        "SELECT t.pan, c.icc FROM chip c JOIN txn t ON t.id = c.txn WHERE c.what = 'request' AND c.why IS NULL
         AND c.cryptogram = 'ARQC' AND t.state <> 'declined' ORDER BY c.id",
    )?;
    let rows = s.query_map([], |r| Ok((r.get::<_, Option<String>>(0)?, r.get::<_, String>(1)?)))?;
    for row in rows {
        let (pan, text) = row?;
        let icc = stored(&text)?;
        let given = first(&icc, 0x9F26).and_then(|ac| ac.try_into().ok());
        if let (Some(pan), Some(atc), Some(given)) = (pan, atc(&icc), given) {
            issuer.approved(&pan, None, atc, given);
        }
    }
    Ok(())
}

impl Case<'_> {
    /// Checks the card's cryptogram, where the request has one and the card is a persona's.
    pub(super) fn judge_chip(&self) -> Judged {
        let (What::Do(kind), Some(icc), Some(pan)) = (self.ask.what, &self.ask.icc, &self.ask.pan) else {
            return Judged::Silent;
        };
        let (pan, psn) = (pan.reveal(), self.ask.psn);
        if !self.issuer.knows(pan) {
            return Judged::Silent;
        }
        // An advice tells of what is done: a TC that it has must be one, and nobody answers the card.
        if self.ask.advice || kind == Kind::VoiceSale {
            return if cryptogram(icc) != Some("TC") || self.issuer.verify_final(pan, psn, icc) {
                Judged::Silent
            } else {
                Judged::Wrong(REFUSED, "the card's TC is wrong".into())
            };
        }
        if !matches!(kind, Kind::Sale | Kind::PreAuth | Kind::Balance) {
            return Judged::Silent;
        }
        match self.issuer.check(pan, psn, icc) {
            Ok(asked) if asked.amount == self.ask.amount.unwrap_or(0) => Judged::Right(asked),
            Ok(_) => Judged::Wrong(REFUSED, "the card was asked for another amount (9F02) than F4".into()),
            Err(e @ (IccRefusal::Missing(_) | IccRefusal::Form(_))) => Judged::Wrong("30", e.to_string()),
            Err(
                e @ (IccRefusal::Unknown
                | IccRefusal::Kind
                | IccRefusal::NoArqc
                | IccRefusal::Cryptogram
                | IccRefusal::Replayed),
            ) => Judged::Wrong(REFUSED, e.to_string()),
        }
    }

    /// Keeps the request's chip data beside its transaction, and puts the issuer's into the answer, which is
    /// stored so.
    pub(super) fn answer_chip(
        &self,
        id: i64,
        judged: &Judged,
        reply: &mut HostAnswer,
    ) -> Result<(), BankError> {
        let why = if let Judged::Wrong(_, why) = judged { Some(why.as_str()) } else { None };
        self.keep_chip("request", Some(id), why)?;
        let Judged::Right(asked) = judged else { return Ok(()) };
        // As the terminal reads it: 8A is F39.
        let code = self.world.translate(&self.account.profile, &reply.code, false);
        let Ok(arc) = code.as_bytes().try_into() else { return Ok(()) };
        reply.icc = Some(self.issuer.answer(asked, arc, self.scripts));
        self.told.set(true);
        self.tx
            .prepare_cached("UPDATE txn SET answer = ? WHERE id = ?")?
            .execute(params![serde_json::to_string(reply)?, id])?;
        Ok(())
    }

    /// Keeps the chip data of a message, if it has any; of a message that comes again, the first.
    pub(super) fn keep_chip(&self, what: &str, txn: Option<i64>, why: Option<&str>) -> Result<(), BankError> {
        let Some(icc) = &self.ask.icc else { return Ok(()) };
        let (name, batch, stan) = self.key();
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO chip(at, account, batch, stan, mti, what, txn, cryptogram, atc, icc,
                 why)
                 VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                self.clock.now.0,
                name,
                batch,
                stan,
                self.ask.mti,
                what,
                txn,
                cryptogram(icc),
                atc(icc),
                hex::encode_upper(icc.bytes()),
                why
            ])?;
        Ok(())
    }

    /// Results of the issuer's scripts (0620): kept beside the payment that F61 names, 25 where there is
    /// none; 94 when others came under its STAN.
    pub(super) fn notice(&self) -> Result<HostAnswer, BankError> {
        let named = self.ask.named.as_ref().and_then(|n| n.batch.zip(n.stan));
        let Some((batch, stan)) = named else { return Ok(self.reply("30")) };
        let name = self.account.name.as_str();
        let found = self.find("account = ? AND batch = ? AND stan = ?", params![name, batch, stan])?;
        let Some(t) = found else { return Ok(self.reply("25")) };
        self.keep_chip("notice", Some(t.id), None)?;
        let (_, batch, stan) = self.key();
        let kept: String = self
            .tx
            .prepare_cached("SELECT icc FROM chip WHERE account = ? AND batch = ? AND stan = ? AND mti = ?")?
            .query_row(params![name, batch, stan, self.ask.mti], |r| r.get(0))?;
        if self.ask.icc.as_ref().is_none_or(|icc| hex::encode_upper(icc.bytes()) != kept) {
            return Ok(self.reply("94"));
        }
        Ok(HostAnswer { amount: self.ask.amount, rrn: Some(t.rrn), ..self.reply("00") })
    }
}
