//! One message at the acquirer's desk, inside one SQLite transaction.
use super::{
    Account, Ask, BankError, CardStatus, Clock, CodeAnswer, HostAnswer, Kind, LedgerError, OptionalExtension, Payer, PinGiven, TXN, Transaction, Txn, What,
    World, answer, auth_code, ledger, params, post_sale, rrn, txn_row, wallet_account,
};

pub(super) struct Desk<'a> {
    pub world: &'a World,
    pub tx: &'a Transaction<'a>,
    pub account: &'a Account,
    pub ask: &'a Ask,
    pub clock: Clock,
}

/// How a request is decided: the code, and for an approval or a pending payment what it moves.
enum Verdict<'a> {
    Refused(String),
    Sale(Payer<'a>, i64),
    Pending(Payer<'a>, Option<i64>, Option<String>),
    Void(Box<Txn>),
    Balance(Payer<'a>, i64),
}
fn refused<'a, T: Into<String>>(code: T) -> Verdict<'a> {
    Verdict::Refused(code.into())
}

/// What else makes two messages of one STAN the same: the payment code (masked: it is not kept) and the named original.
fn content(ask: &Ask) -> String {
    format!("{} {:?}", ask.code.as_ref().map(|c| c.masked()).unwrap_or_default(), ask.named)
}

impl<'a> Desk<'a> {
    fn find(&self, clause: &str, p: impl rusqlite::Params) -> Result<Option<Txn>, BankError> {
        Ok(self.tx.prepare_cached(&format!("{TXN} WHERE {clause}"))?.query_row(p, txn_row).optional()?)
    }
    /// An answer with this code and the host's own fields.
    fn reply(&self, code: &str) -> HostAnswer {
        answer(Some(&self.account.acquirer_id), code, self.clock)
    }
    fn key(&self) -> (&str, u32, u32) {
        (self.account.name.as_str(), self.ask.batch, self.ask.stan)
    }

    /// Sale, void, balance: new, repeated, or overtaken by its reversal.
    pub fn request(&self, forced: Option<&str>) -> Result<HostAnswer, BankError> {
        let ask = self.ask;
        let (name, batch, stan) = self.key();
        if let Some(t) = self.find("account = ? AND batch = ? AND stan = ? AND mti = ?", params![name, batch, stan, ask.mti])? {
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
        let overtaken =
            self.tx.prepare_cached("SELECT 1 FROM unmatched_reversal WHERE account = ? AND batch = ? AND stan = ?")?.exists(params![name, batch, stan])?;
        let verdict = if overtaken {
            refused("12")
        } else if let Some(code) = forced {
            refused(code)
        } else {
            self.decide()?
        };
        self.enter(verdict)
    }

    fn decide(&self) -> Result<Verdict<'a>, BankError> {
        let (a, ask) = (self.account, self.ask);
        let What::Do(kind) = ask.what else { return Ok(refused("12")) };
        if kind != Kind::Balance && ask.currency != Some(a.currency.numeric()) {
            return Ok(refused("12"));
        }
        if let Some(code) = self.world.rule(a, ask).and_then(|r| r.code.as_ref()) {
            return Ok(refused(&*code.0));
        }
        if kind == Kind::Void {
            return self.decide_void();
        }
        let amount = match (kind, ask.amount) {
            (Kind::Balance, _) => 0,
            (Kind::Sale | Kind::Void | Kind::SignIn | Kind::SignOff | Kind::Echo, Some(n)) if n > 0 => i64::try_from(n).map_err(|_| LedgerError::Range)?,
            (Kind::Sale | Kind::Void | Kind::SignIn | Kind::SignOff | Kind::Echo, _) => return Ok(refused("13")),
            (
                Kind::Refund
                | Kind::PreAuth
                | Kind::PreAuthCancel
                | Kind::Completion
                | Kind::CompletionAdvice
                | Kind::CompletionCancel
                | Kind::TipAdjust
                | Kind::VoiceSale
                | Kind::Parameters
                | Kind::StatusUpload,
                _,
            ) => return Ok(refused("12")),
        };
        if let Some(code) = &ask.code {
            let Some(w) = self.world.wallet_of(code) else { return Ok(refused("14")) };
            let payer = Payer { name: wallet_account(w.name), card: None, wallet: Some(w) };
            if kind == Kind::Balance || a.currency != payterm_schema::Currency::CNY {
                return Ok(refused("57"));
            }
            let row = self.world.code_row(code);
            let refusal = row.and_then(|r| r.code.as_ref()).map(|c| c.0.clone());
            return Ok(match row.map_or(CodeAnswer::Paid, |r| r.answer) {
                CodeAnswer::Refused => refused(refusal.unwrap_or_else(|| "51".into())),
                CodeAnswer::Never => Verdict::Pending(payer, None, None),
                CodeAnswer::Pending => Verdict::Pending(payer, Some(self.clock.now.0 + row.map_or(0, |r| i64::from(r.after_ms))), refusal),
                CodeAnswer::Paid if ledger::balance(self.tx, &payer.name)? < amount => refused("51"),
                CodeAnswer::Paid => Verdict::Sale(payer, amount),
            });
        }
        let Some(card) = ask.pan.as_ref().and_then(|p| self.world.card_by_pan(p.reveal())) else { return Ok(refused("14")) };
        match card.status {
            CardStatus::Active => {}
            CardStatus::Lost => return Ok(refused("41")),
            CardStatus::Stolen => return Ok(refused("43")),
            CardStatus::Expired => return Ok(refused("54")),
            CardStatus::Restricted => return Ok(refused("62")),
        }
        if ask.expiry.as_ref().is_some_and(|e| *e != card.expiry) {
            return Ok(refused("54"));
        }
        if card.currency != a.currency {
            return Ok(refused("57"));
        }
        if let Some(code) = self.pin(card, true)? {
            return Ok(refused(code));
        }
        let payer = Payer { name: format!("card:{}", card.name), card: Some(card), wallet: None };
        let funds = ledger::balance(self.tx, &payer.name)?;
        Ok(match kind {
            Kind::Balance => Verdict::Balance(payer, funds),
            Kind::Sale | Kind::Void | Kind::SignIn | Kind::SignOff | Kind::Echo if funds < amount => refused("51"),
            Kind::Sale | Kind::Void | Kind::SignIn | Kind::SignOff | Kind::Echo => Verdict::Sale(payer, amount),
            Kind::Refund
            | Kind::PreAuth
            | Kind::PreAuthCancel
            | Kind::Completion
            | Kind::CompletionAdvice
            | Kind::CompletionCancel
            | Kind::TipAdjust
            | Kind::VoiceSale
            | Kind::Parameters
            | Kind::StatusUpload => refused("12"),
        })
    }

    /// The PIN verdict: none when it is right or not asked for. A wrong one counts; the limit blocks the card.
    fn pin(&self, card: &crate::world::Card, needed: bool) -> Result<Option<String>, BankError> {
        let Some(right) = card.pin() else { return Ok(None) };
        let tries: u32 = self.tx.prepare_cached("SELECT tries FROM wrong_pin WHERE card = ?")?.query_row([&card.name], |r| r.get(0)).optional()?.unwrap_or(0);
        let given = match &self.ask.pin {
            PinGiven::Malformed | PinGiven::Sealed(_) => return Ok(Some("99".into())),
            PinGiven::None => return Ok(needed.then(|| "55".into())),
            PinGiven::Clear(p) => p,
        };
        if tries >= card.pin_limit {
            return Ok(Some(self.world.pin_limit_code.0.clone()));
        }
        if given.reveal() == right.reveal() {
            if tries > 0 {
                self.tx.prepare_cached("DELETE FROM wrong_pin WHERE card = ?")?.execute([&card.name])?;
            }
            return Ok(None);
        }
        self.tx.prepare_cached("INSERT INTO wrong_pin(card, tries) VALUES(?, 1) ON CONFLICT(card) DO UPDATE SET tries = tries + 1")?.execute([&card.name])?;
        Ok(Some(if tries + 1 >= card.pin_limit { self.world.pin_limit_code.0.clone() } else { "55".into() }))
    }

    /// The sale that F61, F37 and F38 name; all that is given must agree.
    fn named_sale(&self) -> Result<Option<Txn>, BankError> {
        let ask = self.ask;
        let Some(n) = &ask.named else { return Ok(None) };
        let (Some(batch), Some(stan)) = (n.batch, n.stan) else { return Ok(None) };
        let found = self.find("account = ? AND batch = ? AND stan = ? AND kind = 'sale'", params![self.account.name.as_str(), batch, stan])?;
        let given = |g: &Option<String>, t: Option<&str>| g.is_none() || g.as_deref() == t;
        Ok(found.filter(|t| given(&n.date, Some(&t.date)) && given(&ask.rrn, Some(&t.rrn)) && given(&ask.auth, t.auth.as_deref())))
    }

    fn decide_void(&self) -> Result<Verdict<'a>, BankError> {
        let ask = self.ask;
        let Some(t) = self.named_sale()? else { return Ok(refused("25")) };
        let pan_differs = ask.pan.as_ref().is_some_and(|p| Some(p.reveal()) != t.pan.as_deref());
        if pan_differs {
            return Ok(refused("25"));
        }
        if ask.amount.and_then(|x| i64::try_from(x).ok()) != t.amount {
            return Ok(refused("64"));
        }
        if t.state != "approved" {
            return Ok(refused(if t.state == "declined" { "25" } else { "12" }));
        }
        if self.too_early(&t) {
            return Ok(refused("09"));
        }
        if let Some(card) = ask.pan.as_ref().and_then(|p| self.world.card_by_pan(p.reveal()))
            && let Some(code) = self.pin(card, false)?
        {
            return Ok(refused(code));
        }
        Ok(Verdict::Void(Box::new(t)))
    }

    /// The wallet refuses an undo that comes too soon after the payment (host-protocol §8).
    fn too_early(&self, t: &Txn) -> bool {
        let paid_by_code = t.kind == Kind::Sale.name() && t.wallet.is_some();
        let wallet = self.world.wallets.iter().find(|w| paid_by_code && Some(wallet_account(w.name)) == t.payer);
        wallet.is_some_and(|w| self.clock.now.0 < t.at + i64::from(w.undo_after_ms))
    }

    /// Writes the transaction down, posts it, and makes its answer.
    fn enter(&self, verdict: Verdict<'a>) -> Result<HostAnswer, BankError> {
        let (a, ask) = (self.account, self.ask);
        let What::Do(kind) = ask.what else { return Ok(self.reply("12")) };
        let (code, state, payer, original, due, due_code) = match &verdict {
            Verdict::Refused(code) => (code.as_str(), "declined", None, None, None, None),
            Verdict::Sale(p, _) => ("00", "approved", Some(p.name.clone()), None, None, None),
            Verdict::Pending(p, due, code) => ("09", "pending", Some(p.name.clone()), None, *due, code.clone()),
            Verdict::Void(t) => ("00", "approved", t.payer.clone(), Some(t.id), None, None),
            Verdict::Balance(p, _) => ("00", "approved", Some(p.name.clone()), None, None, None),
        };
        let wallet = match &verdict {
            Verdict::Sale(p, _) | Verdict::Pending(p, ..) => p.wallet.map(|w| wallet_account(w.name)),
            Verdict::Void(t) => t.wallet.clone(),
            Verdict::Refused(_) | Verdict::Balance(..) => None,
        };
        let (name, batch, stan) = self.key();
        let mut reply = HostAnswer { amount: ask.amount, ..self.reply(code) };
        let date = reply.date.clone().unwrap_or_default();
        self.tx
            .prepare_cached(
                "INSERT INTO txn(at, account, batch, stan, mti, kind, f3, f25, type60, amount, payer, pan, wallet, original, content, rrn, date, state, code, due, due_code, answer)
                 VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, '')",
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
                ask.amount.map(i64::try_from).transpose().map_err(|_| LedgerError::Range)?,
                payer,
                ask.pan.as_ref().map(|p| p.reveal()),
                wallet,
                original,
                content(ask),
                date,
                state,
                code,
                due,
                due_code
            ])?;
        let id = self.tx.last_insert_rowid();
        reply.rrn = Some(rrn(&date, id));
        let mut posting = None;
        match &verdict {
            Verdict::Refused(_) | Verdict::Pending(..) => {}
            Verdict::Sale(p, amount) => {
                posting = Some(post_sale(self.tx, a, &p.name, *amount, id, self.clock.now)?);
                reply.fee = Some(a.fee(amount.unsigned_abs()));
            }
            Verdict::Void(t) => {
                let standing = t.posting.ok_or(LedgerError::Undone(0))?;
                posting = Some(ledger::undo(self.tx, self.clock.now.0, "void", Some(id), standing)?);
                self.tx.prepare_cached("UPDATE txn SET state = 'voided' WHERE id = ?")?.execute([t.id])?;
            }
            Verdict::Balance(_, funds) => reply.balance = Some(*funds),
        }
        if state == "approved" && kind != Kind::Balance {
            reply.auth_code = Some(auth_code(id));
        }
        let card = match &verdict {
            Verdict::Sale(p, _) | Verdict::Pending(p, ..) | Verdict::Balance(p, _) => p.card,
            Verdict::Void(_) | Verdict::Refused(_) => ask.pan.as_ref().and_then(|p| self.world.card_by_pan(p.reveal())),
        };
        if let Some(c) = card {
            reply.issuer_id = Some(c.issuer_id.clone());
            reply.acquirer_id = Some(a.acquirer_id.clone());
            reply.organisation = Some(c.organisation.clone());
            reply.texts = vec![c.issuer.clone(), "TEST".into()];
        }
        self.tx.prepare_cached("UPDATE txn SET rrn = ?, auth = ?, posting = ?, answer = ? WHERE id = ?")?.execute(params![
            reply.rrn,
            reply.auth_code,
            posting,
            serde_json::to_string(&reply)?,
            id
        ])?;
        Ok(reply)
    }

    /// Host-protocol §6: 00 done (and done again), 25 not found and remembered, 12 cannot be reversed. A reversal whose F4
    /// differs is refused with 64, one that differs in F2, F3, F25, F38, F60.1 or F61 with 22: neither ends it, a
    /// terminal that reverses what it did not send must notice.
    pub fn reversal(&self) -> Result<HostAnswer, BankError> {
        let ask = self.ask;
        let (name, batch, stan) = self.key();
        let Some(t) = self.find("account = ? AND batch = ? AND stan = ?", params![name, batch, stan])? else {
            return self.unmatched();
        };
        let mut reply = HostAnswer { amount: ask.amount, rrn: Some(t.rrn.clone()), ..self.reply("00") };
        // A field that the reversal lacks (by profile) or that the original lacked says nothing.
        let differs = |g: Option<&str>, t: Option<&str>| g.is_some() && t.is_some() && g != t;
        let original = t.original.map(|o| self.find("id = ?", [o])).transpose()?.flatten();
        let other_original = match (&ask.named, &original) {
            (Some(n), Some(o)) => n.batch.is_some_and(|b| b != o.batch) || n.stan.is_some_and(|s| s != o.stan),
            (None, _) | (_, None) => false,
        };
        // The reversal of an unanswered void carries the F38 that the void carried: its original's.
        let other_auth = differs(ask.auth.as_deref(), t.auth.as_deref())
            && differs(ask.auth.as_deref(), original.as_ref().and_then(|o| o.auth.as_deref()).or(t.auth.as_deref()));
        reply.code = if ask.amount.and_then(|x| i64::try_from(x).ok()) != t.amount {
            "64".into()
        } else if ask.f3 != t.f3
            || differs(ask.f25.as_deref(), t.f25.as_deref())
            || differs(ask.type60.as_deref(), t.type60.as_deref())
            || differs(ask.pan.as_ref().map(|p| p.reveal()), t.pan.as_deref())
            || other_auth
            || other_original
        {
            "22".into()
        } else if t.kind == "balance" || t.state == "voided" {
            "12".into()
        } else if t.state == "declined" {
            return self.unmatched();
        } else if t.state == "reversed" {
            "00".into()
        } else if self.too_early(&t) {
            "09".into()
        } else {
            self.reverse(&t)?;
            "00".into()
        };
        Ok(reply)
    }

    fn unmatched(&self) -> Result<HostAnswer, BankError> {
        let (name, batch, stan) = self.key();
        self.tx.prepare_cached("INSERT OR IGNORE INTO unmatched_reversal(account, batch, stan, at) VALUES(?, ?, ?, ?)")?.execute(params![
            name,
            batch,
            stan,
            self.clock.now.0
        ])?;
        Ok(HostAnswer { amount: self.ask.amount, ..self.reply("25") })
    }

    fn reverse(&self, t: &Txn) -> Result<(), BankError> {
        if let Some(p) = t.posting {
            let contrary = ledger::undo(self.tx, self.clock.now.0, "reversal", Some(t.id), p)?;
            // A reversed void: its original stands again, on the posting that undid the undoing.
            if let Some(original) = t.original {
                self.tx.prepare_cached("UPDATE txn SET state = 'approved', posting = ? WHERE id = ?")?.execute(params![contrary, original])?;
            }
        }
        self.tx.prepare_cached("UPDATE txn SET state = 'reversed' WHERE id = ?")?.execute([t.id])?;
        Ok(())
    }

    /// State of a payment-code sale: the original's F37, F38 and final F39 (host-protocol §8).
    pub fn query(&self) -> Result<HostAnswer, BankError> {
        let Some(t) = self.named_sale()? else { return Ok(self.reply("25")) };
        let code = match t.state.as_str() {
            "approved" => "00",
            "pending" => "09",
            "declined" => t.code.as_str(),
            _ => "25",
        };
        Ok(HostAnswer { rrn: Some(t.rrn.clone()), auth_code: t.auth.clone(), ..self.reply(code) })
    }
}
