//! A request before the acquirer's records, inside one SQLite transaction: new, repeated, or overtaken by its
//! reversal; what it leaves behind and what it is answered.
use super::chip::Judged;
use super::decide::{Verdict, refused};
use super::{
    Account, Ask, BankError, Clock, HostAnswer, Kind, LedgerError, TXN, Transaction, Txn, What, World,
    answer, auth_code, ledger, params, rrn, txn_row,
};
use crate::card::{CardIssuer, Script};
use payterm_schema::PaymentCode;
use sha2::{Digest as _, Sha256};
use std::cell::Cell;

pub(super) struct Case<'a> {
    pub world: &'a World,
    pub tx: &'a Transaction<'a>,
    pub account: &'a Account,
    pub ask: &'a Ask,
    pub clock: Clock,
    pub issuer: &'a CardIssuer,
    /// Scripts that wait for this card; `told`: the answer has them.
    pub scripts: &'a [Script],
    pub told: &'a Cell<bool>,
}

/// Content that makes two messages of one STAN the same: the payment code (masked: it is not kept), the named
/// original, the tip, the chip's data.
fn content(ask: &Ask) -> String {
    let code = ask.code.as_ref().map(|c| c.masked()).unwrap_or_default();
    let chip = ask.icc.as_ref().map(|icc| hex::encode(Sha256::digest(icc.bytes()))).unwrap_or_default();
    format!("{code} {:?} {:?} {:?} {chip}", ask.named, ask.tip, ask.auth)
}

/// A payment code as it is kept: by a hash.
fn digest(code: &PaymentCode) -> [u8; 32] {
    Sha256::digest(code.reveal().as_bytes()).into()
}

impl<'a> Case<'a> {
    pub(super) fn all(&self, clause: &str, p: impl rusqlite::Params) -> Result<Vec<Txn>, BankError> {
        Ok(self
            .tx
            .prepare_cached(&format!("{TXN} WHERE {clause}"))?
            .query_map(p, txn_row)?
            .collect::<Result<_, _>>()?)
    }
    pub(super) fn find(&self, clause: &str, p: impl rusqlite::Params) -> Result<Option<Txn>, BankError> {
        Ok(self.all(clause, p)?.into_iter().next())
    }
    /// An answer with this code and the host's own fields.
    pub(super) fn reply(&self, code: &str) -> HostAnswer {
        answer(Some(&self.account.acquirer_id), code, self.clock)
    }
    pub(super) fn key(&self) -> (&str, u32, u32) {
        (self.account.name.as_str(), self.ask.batch, self.ask.stan)
    }
    pub(super) fn set_state(&self, id: i64, state: &str) -> Result<(), BankError> {
        self.tx.prepare_cached("UPDATE txn SET state = ? WHERE id = ?")?.execute(params![state, id])?;
        Ok(())
    }

    /// Everything that moves or asks for money.
    pub fn request(&self, forced: Option<&str>) -> Result<HostAnswer, BankError> {
        let ask = self.ask;
        let (name, batch, stan) = self.key();
        if let Some(t) = self
            .find("account = ? AND batch = ? AND stan = ? AND mti = ?", params![name, batch, stan, ask.mti])?
        {
            let same = t.f3 == ask.f3
                && t.f25 == ask.f25
                && t.type60 == ask.type60
                && t.amount == ask.amount.and_then(|x| i64::try_from(x).ok())
                && t.pan.as_deref() == ask.pan.as_ref().map(|p| p.reveal())
                && t.content == content(ask);
            return match &self.world.duplicate_code {
                // What was taken back is not approved again: 12.
                None | Some(_) if same && t.state == "reversed" => Ok(self.reply("12")),
                None if same => Ok(serde_json::from_str(&t.answer)?),
                Some(code) if same => Ok(self.reply(&code.0)),
                // The same STAN with another content: 94.
                None | Some(_) => Ok(self.reply("94")),
            };
        }
        let overtaken = self
            .tx
            .prepare_cached("SELECT 1 FROM unmatched_reversal WHERE account = ? AND batch = ? AND stan = ?")?
            .exists(params![name, batch, stan])?;
        let judged = if overtaken { Judged::Silent } else { self.judge_chip() };
        let verdict = match (&judged, forced) {
            _ if overtaken => refused("12"),
            (Judged::Wrong(code, _), _) => refused(*code),
            (Judged::Silent | Judged::Right(_), Some(code)) => refused(code),
            (Judged::Silent | Judged::Right(_), None) => self.decide()?,
        };
        let (id, mut reply) = self.enter(verdict)?;
        if ask.icc.is_some() {
            self.answer_chip(id, &judged, &mut reply)?;
        }
        Ok(reply)
    }

    pub(super) fn is_used(&self, code: &PaymentCode) -> Result<bool, BankError> {
        let mut find = self.tx.prepare_cached("SELECT 1 FROM used_code WHERE digest = ?")?;
        Ok(find.exists([digest(code)])?)
    }

    /// A payment code that has paid, or is paying, pays nothing else.
    fn use_up(&self, state: &str, id: i64) -> Result<(), BankError> {
        if let (Some(code), "approved" | "pending") = (&self.ask.code, state) {
            let mut insert = self.tx.prepare_cached("INSERT INTO used_code(digest, txn) VALUES(?, ?)")?;
            insert.execute(params![digest(code), id])?;
        }
        Ok(())
    }

    /// Writes the transaction down, posts it, and makes its answer. Gives its number too.
    fn enter(&self, verdict: Verdict<'a>) -> Result<(i64, HostAnswer), BankError> {
        let (a, ask) = (self.account, self.ask);
        let What::Do(kind) = ask.what else { return Ok((0, self.reply("12"))) };
        let (code, state) = match &verdict {
            Verdict::Refused(code) => (code.as_str(), "declined"),
            Verdict::Pending { .. } => ("09", "pending"),
            Verdict::Pay { code, .. } => (*code, "approved"),
            Verdict::Hold(..)
            | Verdict::Undo(_)
            | Verdict::Refund(..)
            | Verdict::Free(_)
            | Verdict::Adjust(..)
            | Verdict::Balance(..) => ("00", "approved"),
        };
        let original = match &verdict {
            Verdict::Pay { original, .. } => original.as_deref(),
            Verdict::Undo(t) | Verdict::Refund(t, _) | Verdict::Free(t) | Verdict::Adjust(t, _) => {
                Some(t.as_ref())
            }
            Verdict::Refused(_) | Verdict::Pending { .. } | Verdict::Hold(..) | Verdict::Balance(..) => None,
        };
        let payer = verdict.payer();
        let (due, due_code) = match &verdict {
            Verdict::Pending { due, code, .. } => (*due, code.clone()),
            Verdict::Refused(_)
            | Verdict::Pay { .. }
            | Verdict::Hold(..)
            | Verdict::Undo(_)
            | Verdict::Refund(..)
            | Verdict::Free(_)
            | Verdict::Adjust(..)
            | Verdict::Balance(..) => (None, None),
        };
        let amount = ask.amount.map(i64::try_from).transpose().map_err(|_| LedgerError::Range)?;
        let total = if let Verdict::Pay { amount, .. } = &verdict { Some(*amount) } else { amount };
        let (name, batch, stan) = self.key();
        let approved = total.filter(|t| Some(*t) != amount).map(i64::unsigned_abs).or(ask.amount);
        let mut reply = HostAnswer { amount: approved, ..self.reply(code) };
        let date = reply.date.clone().unwrap_or_default();
        self.tx
            .prepare_cached(
                "INSERT INTO txn(at, account, batch, stan, mti, kind, f3, f25, type60, amount, total, payer,
                 pan, wallet, original, content, rrn, date, state, code, due, due_code, answer)
                 VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, '')",
            )?
            .execute(params![
                self.clock.now.0,
                name,
                batch,
                stan,
                ask.mti,
                kind.name(),
                ask.f3,
                ask.f25,
                ask.type60,
                amount,
                total,
                payer,
                ask.pan.as_ref().map(|p| p.reveal()),
                payer.filter(|p| p.starts_with("wallet:")),
                original.map(|t| t.id),
                content(ask),
                date,
                state,
                code,
                due,
                due_code
            ])?;
        let id = self.tx.last_insert_rowid();
        self.use_up(state, id)?;
        reply.rrn = Some(rrn(&date, id));
        let posting = self.carry_out(kind, &verdict, id)?;
        let sum = if let (Verdict::Pay { .. } | Verdict::Adjust(..), Some(total)) = (&verdict, total) {
            Some(total.unsigned_abs())
        } else {
            None
        };
        reply.fee = sum.map(|s| a.fee(s));
        if let Verdict::Balance(_, funds) = &verdict {
            reply.balance = Some(*funds);
        }
        reply.auth_code = match (&verdict, kind) {
            (Verdict::Refused(_) | Verdict::Pending { .. } | Verdict::Balance(..), _) => None,
            (Verdict::Adjust(t, _), _) => t.auth.clone(),
            (_, Kind::VoiceSale) => ask.auth.clone(),
            (_, _) => Some(auth_code(id)),
        };
        let named = ask.pan.as_ref().and_then(|p| self.world.card_by_pan(p.reveal()));
        if let Some(c) = named.filter(|_| state == "approved" || matches!(verdict, Verdict::Refused(_))) {
            reply.issuer_id = Some(c.issuer_id.clone());
            reply.acquirer_id = Some(a.acquirer_id.clone());
            reply.scheme = Some(c.scheme.clone());
            reply.texts = vec![c.issuer.clone(), "TEST".into()];
        }
        self.tx
            .prepare_cached("UPDATE txn SET rrn = ?, auth = ?, posting = ?, answer = ? WHERE id = ?")?
            .execute(params![reply.rrn, reply.auth_code, posting, serde_json::to_string(&reply)?, id])?;
        Ok((id, reply))
    }

    /// Moves the money of transaction `id` and marks its original; gives the posting that the transaction
    /// stands on.
    fn carry_out(&self, kind: Kind, verdict: &Verdict<'a>, id: i64) -> Result<Option<i64>, BankError> {
        let now = self.clock.now;
        let standing = |t: &Txn| t.posting.ok_or(BankError::Ledger(LedgerError::Undone(0)));
        Ok(match verdict {
            Verdict::Refused(_) | Verdict::Pending { .. } | Verdict::Balance(..) | Verdict::Hold(..) => None,
            Verdict::Pay { payer, amount, original, .. } => {
                if let Some(hold) = original {
                    self.set_state(hold.id, "completed")?;
                }
                Some(super::post_payment(self.tx, self.account, kind, payer, *amount, id, now)?)
            }
            Verdict::Undo(t) => {
                self.set_state(t.id, "voided")?;
                // The hold that a completion used comes back.
                if let Some(hold) = t.original {
                    self.set_state(hold, "approved")?;
                }
                Some(ledger::undo(self.tx, now.0, kind.name(), Some(id), standing(t)?)?)
            }
            Verdict::Refund(t, amount) => {
                self.tx
                    .prepare_cached("UPDATE txn SET refunded = refunded + ? WHERE id = ?")?
                    .execute(params![amount, t.id])?;
                let merchant = format!("merchant:{}", self.account.name);
                let payer = t.payer.as_deref().unwrap_or_default();
                Some(ledger::post(
                    self.tx,
                    now.0,
                    kind.name(),
                    Some(id),
                    &[(&merchant, -amount), (payer, *amount)],
                )?)
            }
            Verdict::Free(t) => {
                self.set_state(t.id, "cancelled")?;
                None
            }
            // The sale stands on a new posting of the new total; the adjustment itself on none.
            Verdict::Adjust(t, total) => {
                ledger::undo(self.tx, now.0, kind.name(), Some(id), standing(t)?)?;
                let posting = super::post_payment(
                    self.tx,
                    self.account,
                    kind,
                    t.payer.as_deref().unwrap_or_default(),
                    *total,
                    id,
                    now,
                )?;
                self.tx
                    .prepare_cached("UPDATE txn SET posting = ?, total = ?, adjusted = 1 WHERE id = ?")?
                    .execute(params![posting, total, t.id])?;
                None
            }
        })
    }
}
