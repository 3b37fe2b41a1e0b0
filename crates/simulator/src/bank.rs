//! The acquirer with the issuers behind it: what each request is answered and what it moves. Knows no wire
//! format.
//!
//! Invariant: an answer and its posting are one SQLite transaction; for each (account, batch, STAN, MTI)
//! there is at most one approval, whatever is repeated, reordered or reversed (host-protocol §3, §6).
use crate::{
    ask::{Ask, PinGiven, What},
    card::{CardIssuer, Script},
    keys::Session,
    ledger::{self, LedgerError},
    mishap::Mishap,
    world::{Account, CardStatus, CodeAnswer, World},
};
use payterm_schema::{
    HostAnswer, Kind, Money, Time,
    account::Batch,
    download::{EmvAnswer, EmvAsk},
    host::{KeysVerdict, MacVerdict, Wallet},
    secret::SecretBytes,
};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS session(account TEXT PRIMARY KEY, batch INTEGER NOT NULL, signed_in INTEGER NOT
  NULL DEFAULT 0, pik TEXT, mak TEXT) STRICT;
CREATE TABLE IF NOT EXISTS wrong_pin(card TEXT PRIMARY KEY, tries INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS txn(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, account TEXT NOT NULL, batch
  INTEGER NOT NULL, stan INTEGER NOT NULL, mti TEXT NOT NULL,
  kind TEXT NOT NULL, f3 TEXT, f25 TEXT, type60 TEXT, amount INTEGER, total INTEGER, refunded INTEGER NOT
   NULL DEFAULT 0, adjusted INTEGER NOT NULL DEFAULT 0, payer TEXT, pan TEXT, wallet TEXT, original INTEGER
   REFERENCES txn, content TEXT NOT NULL,
  rrn TEXT NOT NULL, auth TEXT, date TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, due INTEGER,
   due_code TEXT, posting INTEGER REFERENCES posting,
  answer TEXT NOT NULL, UNIQUE(account, batch, stan, mti)) STRICT;
CREATE INDEX IF NOT EXISTS txn_due ON txn(due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS txn_rrn ON txn(rrn);
CREATE INDEX IF NOT EXISTS txn_auth ON txn(auth);
CREATE INDEX IF NOT EXISTS txn_original ON txn(original) WHERE original IS NOT NULL;
CREATE INDEX IF NOT EXISTS txn_hold ON txn(payer) WHERE kind = 'pre_auth' AND state = 'approved';
CREATE TABLE IF NOT EXISTS used_code(digest BLOB PRIMARY KEY, txn INTEGER NOT NULL REFERENCES txn) STRICT;
CREATE TABLE IF NOT EXISTS terminal_status(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, account TEXT NOT
  NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS unmatched_reversal(account TEXT NOT NULL, batch INTEGER NOT NULL, stan INTEGER
  NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(account, batch, stan)) STRICT;
CREATE TABLE IF NOT EXISTS message(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, account TEXT, mti TEXT NOT
  NULL, stan INTEGER, code TEXT, mishap TEXT, request TEXT NOT NULL, reply TEXT NOT NULL) STRICT;
";

/// Version of the state file. A test bench does not migrate: another version is refused.
pub const STATE_VERSION: i64 = 3;

#[derive(Debug, thiserror::Error)]
pub enum BankError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("state: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("state: a stored answer is malformed: {0}")]
    Stored(#[from] serde_json::Error),
    #[error("state: version {0} is not the {STATE_VERSION} that this program knows; take another directory")]
    Version(i64),
    #[error("state: a stored key is malformed")]
    Key,
    #[error("keys: {0}")]
    Crypto(String),
    #[error(transparent)]
    Personas(#[from] crate::card::PersonaError),
    #[error("keys: {0}")]
    Keys(#[from] crate::keys::KeyError),
}

/// Time at which an answer is made, and how far the profile's clock is from UTC (F12, F13, F15).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    pub now: Time,
    pub utc_offset_minutes: i32,
}
impl Clock {
    /// (hhmmss, MMDD).
    fn texts(self) -> (String, String) {
        let t = self.now.local(self.utc_offset_minutes);
        (
            format!("{:02}{:02}{:02}", t.hour(), t.minute(), t.second()),
            format!("{:02}{:02}", u8::from(t.month()), t.day()),
        )
    }
}

/// A stored transaction that a void, reversal or query refers to. `state`: declined, pending, approved,
/// reversed; of a payment also voided; of a pre-authorisation also completed, cancelled (approved: its amount
/// is set aside).
struct Txn {
    id: i64,
    account: String,
    at: i64,
    kind: String,
    state: String,
    code: String,
    f3: Option<String>,
    f25: Option<String>,
    type60: Option<String>,
    /// Amount that was asked for.
    amount: Option<i64>,
    /// Amount that is booked: a part with code 10, more after a tip adjustment.
    total: Option<i64>,
    refunded: i64,
    adjusted: bool,
    payer: Option<String>,
    pan: Option<String>,
    wallet: Option<String>,
    original: Option<i64>,
    batch: u32,
    stan: u32,
    rrn: String,
    auth: Option<String>,
    date: String,
    posting: Option<i64>,
    answer: String,
    content: String,
}
const TXN: &str =
    "SELECT id, at, kind, state, code, f3, f25, type60, amount, payer, pan, wallet, original, batch, stan,
     rrn, auth, date, posting, answer, content,
     account, total, refunded, adjusted FROM txn ";
fn txn_row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Txn> {
    Ok(Txn {
        id: r.get(0)?,
        at: r.get(1)?,
        kind: r.get(2)?,
        state: r.get(3)?,
        code: r.get(4)?,
        f3: r.get(5)?,
        f25: r.get(6)?,
        type60: r.get(7)?,
        amount: r.get(8)?,
        payer: r.get(9)?,
        pan: r.get(10)?,
        wallet: r.get(11)?,
        original: r.get(12)?,
        batch: r.get(13)?,
        stan: r.get(14)?,
        rrn: r.get(15)?,
        auth: r.get(16)?,
        date: r.get(17)?,
        posting: r.get(18)?,
        answer: r.get(19)?,
        content: r.get(20)?,
        account: r.get(21)?,
        total: r.get(22)?,
        refunded: r.get(23)?,
        adjusted: r.get(24)?,
    })
}
impl Txn {
    /// The code with which anything that needs it to stand is refused; none when it stands.
    fn spent(&self) -> Option<&'static str> {
        match self.state.as_str() {
            "approved" => None,
            "declined" => Some("25"),
            _ => Some("12"),
        }
    }
}

/// Amount that the pre-authorisations of a payer set aside.
fn held(tx: &Transaction<'_>, payer: &str) -> Result<i64, BankError> {
    let sql = "SELECT coalesce(sum(total), 0) FROM txn WHERE kind = 'pre_auth' AND state = 'approved' AND
     payer = ?";
    Ok(tx.prepare_cached(sql)?.query_row([payer], |r| r.get(0))?)
}

pub struct Bank {
    pub(crate) world: Arc<World>,
    pub(crate) db: Connection,
    /// Account, batch and STAN of payments that were told "busy": a copy of the message is told the same.
    pub(crate) turned_away: BTreeSet<(String, u32, u32)>,
    /// The issuer of the personas.
    issuer: CardIssuer,
    /// Scripts that wait for the next answer to a card, by its name.
    scripts: BTreeMap<String, Vec<Script>>,
}

impl Bank {
    /// Opens or makes the state file; without a path everything is in memory and nothing is synced.
    pub fn open(world: Arc<World>, file: Option<&Path>, now: Time) -> Result<Self, BankError> {
        let mut db = match file {
            Some(f) => Connection::open(f)?,
            None => Connection::open_in_memory()?,
        };
        db.pragma_update(None, "journal_mode", if file.is_some() { "WAL" } else { "MEMORY" })?;
        db.pragma_update(None, "synchronous", if file.is_some() { "FULL" } else { "OFF" })?;
        db.pragma_update(None, "foreign_keys", true)?;
        match db.query_row("PRAGMA user_version", [], |r| r.get(0))? {
            0 | STATE_VERSION => db.pragma_update(None, "user_version", STATE_VERSION)?,
            other => return Err(BankError::Version(other)),
        }
        db.set_prepared_statement_cache_capacity(64);
        db.execute_batch(ledger::SCHEMA)?;
        db.execute_batch(SCHEMA)?;
        db.execute_batch(settlement::SCHEMA)?;
        db.execute_batch(chip::SCHEMA)?;
        let tx = db.transaction()?;
        let fund = |name: &str, currency: payterm_schema::Currency, text: &str| -> Result<(), BankError> {
            let funding = format!("funding:{currency}");
            ledger::open_account(&tx, &funding, currency.code())?;
            let amount = i64::try_from(Money::parse(text, currency).map_or(0, Money::minor))
                .map_err(|_| LedgerError::Range)?;
            if ledger::open_account(&tx, name, currency.code())? && amount > 0 {
                ledger::post(&tx, now.0, "opening", None, &[(&funding, -amount), (name, amount)])?;
            }
            Ok(())
        };
        for c in &world.cards {
            fund(&format!("card:{}", c.name), c.currency, &c.balance)?;
        }
        for w in &world.wallets {
            fund(&wallet_account(w.name), payterm_schema::Currency::CNY, &w.balance)?;
        }
        for a in &world.accounts {
            for name in [format!("merchant:{}", a.name), format!("fees:{}", a.name)] {
                ledger::open_account(&tx, &name, a.currency.code())?;
            }
            tx.execute(
                "INSERT OR IGNORE INTO session(account, batch) VALUES(?, ?)",
                params![a.name.as_str(), a.first_batch],
            )?;
        }
        tx.commit()?;
        let issuer = CardIssuer::new(&crate::world::personas()?);
        chip::recall(&db, &issuer)?;
        Ok(Self { world, db, turned_away: BTreeSet::new(), issuer, scripts: BTreeMap::new() })
    }

    /// The working keys of a terminal, none when it is signed out.
    pub fn session(&self, account: &Account) -> Result<Option<Session>, BankError> {
        let keys: Option<(Option<String>, Option<String>)> = self
            .db
            .prepare_cached("SELECT pik, mak FROM session WHERE account = ?")?
            .query_row([account.name.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
            .optional()?;
        let Some((Some(pik), Some(mak))) = keys else { return Ok(None) };
        let bytes = |h: String| hex::decode(h).map(SecretBytes::new).map_err(|_| BankError::Key);
        Ok(Some(Session { pik: bytes(pik)?, mak: bytes(mak)? }))
    }

    pub fn sign_in(
        &mut self,
        account: &Account,
        session: &Session,
        clock: Clock,
    ) -> Result<HostAnswer, BankError> {
        let tx = self.db.transaction()?;
        let name = account.name.as_str();
        tx.prepare_cached(
            "UPDATE session SET pik = ?, mak = ?, signed_in = signed_in + 1 WHERE account = ?",
        )?
        .execute(params![
            hex::encode(session.pik.reveal()),
            hex::encode(session.mak.reveal()),
            name
        ])?;
        let (batch, count): (u32, i64) = tx
            .prepare_cached("SELECT batch, signed_in FROM session WHERE account = ?")?
            .query_row([name], |r| Ok((r.get(0)?, r.get(1)?)))?;
        tx.commit()?;
        Ok(HostAnswer {
            batch: Batch::new(batch),
            rrn: Some(rrn(&clock.texts().1, 90_000_000 + count)),
            ..answer(Some(&account.acquirer_id), "00", clock)
        })
    }

    pub fn sign_off(&mut self, account: &Account, clock: Clock) -> Result<HostAnswer, BankError> {
        self.db
            .prepare_cached("UPDATE session SET pik = NULL, mak = NULL WHERE account = ?")?
            .execute([account.name.as_str()])?;
        Ok(answer(Some(&account.acquirer_id), "00", clock))
    }

    /// The parameters of the world's table for this account.
    pub fn parameters(&self, account: &Account, clock: Clock) -> HostAnswer {
        let rows =
            self.world.parameters.iter().filter(|p| p.account.as_ref().is_none_or(|a| *a == account.name));
        let parameters = rows.map(|p| (p.key.clone(), p.value.clone())).collect();
        HostAnswer { parameters, ..answer(Some(&account.acquirer_id), "00", clock) }
    }

    /// Part of a list, an entry, or the word on the end of a download.
    pub fn download(
        &self,
        account: &Account,
        ask: &EmvAsk,
        mishap: Option<&Mishap>,
        clock: Clock,
    ) -> HostAnswer {
        let download = match ask {
            EmvAsk::End { .. } => None,
            EmvAsk::List { of, received } => Some(self.world.emv_page(account, *of, *received, mishap)),
            EmvAsk::Entry { .. } if mishap == Some(&Mishap::NoEntry) => Some(EmvAnswer::NoEntry),
            EmvAsk::Entry { name } => {
                let mut entry = self.world.emv_entry(account, name);
                if let EmvAnswer::Key(key) = &mut entry
                    && mishap == Some(&Mishap::ZeroChecksum)
                {
                    key.checksum = [0; 20];
                }
                Some(entry)
            }
        };
        HostAnswer { download, ..answer(Some(&account.acquirer_id), "00", clock) }
    }

    /// Records what a terminal says of itself; the last 1,000 are kept.
    pub fn status(&mut self, account: &Account, text: &str, clock: Clock) -> Result<HostAnswer, BankError> {
        self.db
            .prepare_cached("INSERT INTO terminal_status(at, account, text) VALUES(?, ?, ?)")?
            .execute(params![clock.now.0, account.name.as_str(), text])?;
        self.db
            .prepare_cached("DELETE FROM terminal_status WHERE id <= ?")?
            .execute([self.db.last_insert_rowid() - 1_000])?;
        Ok(answer(Some(&account.acquirer_id), "00", clock))
    }

    /// Answers a financial message. `forced`: refuse it with this code.
    pub fn handle(
        &mut self,
        account: &Account,
        ask: &Ask,
        forced: Option<&str>,
        clock: Clock,
    ) -> Result<HostAnswer, BankError> {
        self.settle_due(clock.now)?;
        let acquirer = Some(account.acquirer_id.as_str());
        let world = Arc::clone(&self.world);
        let tx = self.db.transaction()?;
        let card = ask.pan.as_ref().and_then(|pan| world.card_by_pan(pan.reveal())).map(|c| c.name.as_str());
        let scripts = card.and_then(|name| self.scripts.get(name)).map_or(&[][..], Vec::as_slice);
        let (issuer, told) = (&self.issuer, Cell::new(false));
        let case = Case { world: &world, tx: &tx, account, ask, clock, issuer, scripts, told: &told };
        let answer = match (ask.what, forced) {
            (What::Reversal | What::Query | What::Notice, Some(code)) => answer(acquirer, code, clock),
            (What::Reversal, None) => case.reversal()?,
            (What::Query, None) => case.query()?,
            (What::Notice, None) => case.notice()?,
            (What::Do(kind), _) if kind.row().authorisation => case.request(forced)?,
            (What::Do(_), _) => answer(acquirer, forced.unwrap_or("00"), clock),
        };
        tx.commit()?;
        if let (true, Some(name)) = (told.get(), card) {
            self.scripts.remove(name);
        }
        Ok(answer)
    }

    /// Scripts for the next answer to a chip card, behind those that wait already.
    pub fn script(&mut self, card: &str, scripts: &[Script]) -> Result<(), &'static str> {
        let known = self.world.cards.iter().find(|c| c.name == card).ok_or("there is no such card")?;
        if !self.issuer.knows(known.pan()) {
            return Err("the card has no chip");
        }
        let waiting = self.scripts.entry(card.to_owned()).or_default();
        if waiting.len() + scripts.len() > crate::card::issuer::MAX_SCRIPTS {
            return Err("an answer has room for 8 scripts");
        }
        waiting.extend_from_slice(scripts);
        Ok(())
    }

    /// Completes the wallet payments whose payer has decided by now.
    pub fn settle_due(&mut self, now: Time) -> Result<(), BankError> {
        let due: Vec<(i64, Option<String>, String)> = self
            .db
            .prepare_cached("SELECT id, due_code, account FROM txn WHERE state = 'pending' AND due <= ?")?
            .query_map([now.0], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
            .collect::<Result<_, _>>()?;
        if due.is_empty() {
            return Ok(());
        }
        let world = Arc::clone(&self.world);
        let tx = self.db.transaction()?;
        for (id, code, account) in due {
            let t = tx.prepare_cached(&format!("{TXN} WHERE id = ?"))?.query_row([id], txn_row)?;
            let (Some(a), Some(payer), Some(amount)) = (world.account(&account), &t.payer, t.amount) else {
                continue;
            };
            let code = match code {
                None if ledger::balance(&tx, payer)? < amount => Some("51".to_owned()),
                other => other,
            };
            match code {
                Some(code) => {
                    tx.prepare_cached("UPDATE txn SET state = 'declined', code = ? WHERE id = ?")?
                        .execute(params![code, id])?;
                }
                None => {
                    let posting = post_payment(&tx, a, Kind::Sale, payer, amount, id, now)?;
                    tx.prepare_cached(
                        "UPDATE txn SET state = 'approved', code = '00', auth = ?, posting = ? WHERE id = ?",
                    )?
                    .execute(params![auth_code(id), posting, id])?;
                }
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Reads the ledger.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, LedgerError>) -> Result<T, BankError> {
        Ok(f(&self.db)?)
    }

    /// Unblocks a card whose wrong-PIN limit was reached; false when no such card was counted.
    pub fn unblock(&mut self, card: &str) -> Result<bool, BankError> {
        Ok(self.db.execute("DELETE FROM wrong_pin WHERE card = ?", [card])? == 1)
    }
}

fn wallet_account(w: Wallet) -> String {
    format!(
        "wallet:{}",
        match w {
            Wallet::Wechat => "wechat",
            Wallet::Alipay => "alipay",
            Wallet::Unionpay => "unionpay",
        }
    )
}

/// An answer with this code and nothing but the host's own fields.
pub fn answer(acquirer_id: Option<&str>, code: &str, clock: Clock) -> HostAnswer {
    let (time, date) = clock.texts();
    HostAnswer {
        code: code.into(),
        mac: MacVerdict::NotUsed,
        keys: KeysVerdict::None,
        amount: None,
        time: Some(time),
        settlement_date: Some(date.clone()),
        date: Some(date),
        acquirer: acquirer_id.map(str::to_owned),
        rrn: None,
        auth_code: None,
        issuer_id: None,
        acquirer_id: None,
        balance: None,
        batch: None,
        scheme: None,
        texts: Vec::new(),
        fee: None,
        parameters: Vec::new(),
        settlement: None,
        icc: None,
        download: None,
        requirement: 0,
    }
}

/// F37: the date and the number of the transaction.
fn rrn(date: &str, id: i64) -> String {
    format!("{date}{:08}", id.rem_euclid(100_000_000))
}
/// F38: six digits that do not repeat within a million transactions.
fn auth_code(id: i64) -> String {
    format!("{:06}", (id.rem_euclid(1_000_000) * 271_829 + 100_003).rem_euclid(1_000_000))
}

fn post_payment(
    tx: &Transaction<'_>,
    account: &Account,
    kind: Kind,
    payer: &str,
    amount: i64,
    txn: i64,
    now: Time,
) -> Result<i64, LedgerError> {
    let fee = i64::try_from(account.fee(amount.unsigned_abs())).map_err(|_| LedgerError::Range)?;
    let (merchant, fees) = (format!("merchant:{}", account.name), format!("fees:{}", account.name));
    ledger::post(
        tx,
        now.0,
        kind.name(),
        Some(txn),
        &[(payer, -amount), (&merchant, amount - fee), (&fees, fee)],
    )
}

mod case;
pub mod chip;
mod decide;
pub mod settlement;
mod undo;
use case::Case;
