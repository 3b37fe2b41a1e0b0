//! Decisions of an acquirer and the issuer behind it on a request; nothing is written here but the count of
//! wrong PINs.
use super::{
    BankError, CardStatus, CodeAnswer, Kind, LedgerError, OptionalExtension, PinGiven, Txn, What, case::Case,
    held, ledger, params, wallet_account,
};
use crate::world::Card;

/// Decision on a request: the code, and for an approval or a pending payment what it moves.
pub(super) enum Verdict<'a> {
    Refused(String),
    /// Pays this much; `original` is the pre-authorisation of a completion.
    Pay {
        payer: String,
        amount: i64,
        code: &'a str,
        original: Option<Box<Txn>>,
    },
    Pending {
        payer: String,
        due: Option<i64>,
        code: Option<String>,
    },
    /// Sets the request's amount aside.
    Hold(String),
    /// Takes a payment back.
    Undo(Box<Txn>),
    Refund(Box<Txn>, i64),
    /// Frees a hold.
    Free(Box<Txn>),
    /// The new total.
    Adjust(Box<Txn>, i64),
    Balance(String, i64),
}
pub(super) fn refused<'a, T: Into<String>>(code: T) -> Verdict<'a> {
    Verdict::Refused(code.into())
}
impl Verdict<'_> {
    pub fn payer(&self) -> Option<&str> {
        match self {
            Verdict::Refused(_) => None,
            Verdict::Pay { payer, .. }
            | Verdict::Pending { payer, .. }
            | Verdict::Hold(payer)
            | Verdict::Balance(payer, _) => Some(payer),
            Verdict::Undo(t) | Verdict::Refund(t, _) | Verdict::Free(t) | Verdict::Adjust(t, _) => {
                t.payer.as_deref()
            }
        }
    }
}

const PAYMENTS: [Kind; 4] = [Kind::Sale, Kind::VoiceSale, Kind::Completion, Kind::CompletionAdvice];

impl<'a> Case<'a> {
    pub(super) fn decide(&self) -> Result<Verdict<'a>, BankError> {
        let (a, ask) = (self.account, self.ask);
        let What::Do(kind) = ask.what else { return Ok(refused("12")) };
        if kind != Kind::Balance && ask.currency != Some(a.currency.numeric()) {
            return Ok(refused("12"));
        }
        let rule = self.world.rule(a, ask).map(|(_, r)| r);
        if let Some(code) = rule.and_then(|r| r.code.as_ref()) {
            return Ok(refused(&*code.0));
        }
        let amount = match (kind, ask.amount) {
            (Kind::Balance, _) => 0,
            (_, Some(n)) if n > 0 => i64::try_from(n).map_err(|_| LedgerError::Range)?,
            (_, Some(_) | None) => return Ok(refused("13")),
        };
        match kind {
            Kind::Void => self.take_back(&[Kind::Sale, Kind::VoiceSale], amount),
            Kind::CompletionCancel => self.take_back(&[Kind::Completion, Kind::CompletionAdvice], amount),
            Kind::Refund => self.refund(amount),
            Kind::Completion | Kind::CompletionAdvice => self.complete(amount),
            Kind::PreAuthCancel => self.free(amount),
            Kind::TipAdjust => self.adjust(amount),
            Kind::Sale if ask.code.is_some() => self.by_code(amount),
            Kind::Sale => {
                let part = rule.and_then(|r| r.part(a)).filter(|p| *p < amount);
                self.by_card(kind, part.unwrap_or(amount), if part.is_some() { "10" } else { "00" })
            }
            Kind::Balance | Kind::PreAuth | Kind::VoiceSale => self.by_card(kind, amount, "00"),
            Kind::Parameters
            | Kind::StatusUpload
            | Kind::Settlement
            | Kind::SignIn
            | Kind::SignOff
            | Kind::Echo => Ok(refused("12")),
        }
    }

    fn by_code(&self, amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some((code, w)) = self.ask.code.as_ref().and_then(|c| Some((c, self.world.wallet_of(c)?))) else {
            return Ok(refused("14"));
        };
        let payer = wallet_account(w.name);
        // A code is of one payment: paid, being paid, or taken back since.
        if self.is_used(code)? {
            return Ok(refused("14"));
        }
        if self.account.currency != payterm_schema::Currency::CNY {
            return Ok(refused("57"));
        }
        let row = self.world.code_row(code);
        let refusal = row.and_then(|r| r.code.as_ref()).map(|c| c.0.clone());
        Ok(match row.map_or(CodeAnswer::Paid, |r| r.answer) {
            CodeAnswer::Refused => refused(refusal.unwrap_or_else(|| "51".into())),
            CodeAnswer::Never => Verdict::Pending { payer, due: None, code: None },
            CodeAnswer::Pending => Verdict::Pending {
                payer,
                due: Some(self.clock.now.0 + row.map_or(0, |r| i64::from(r.after_ms))),
                code: refusal,
            },
            CodeAnswer::Paid if ledger::balance(self.tx, &payer)? < amount => refused("51"),
            CodeAnswer::Paid => Verdict::Pay { payer, amount, code: "00", original: None },
        })
    }

    /// Sale, pre-authorisation, voice sale and balance: the card itself is judged.
    fn by_card(&self, kind: Kind, amount: i64, code: &'a str) -> Result<Verdict<'a>, BankError> {
        let Some(card) = self.card() else { return Ok(refused("14")) };
        match card.status {
            CardStatus::Active => {}
            CardStatus::Lost => return Ok(refused("41")),
            CardStatus::Stolen => return Ok(refused("43")),
            CardStatus::Expired => return Ok(refused("54")),
            CardStatus::Restricted => return Ok(refused("62")),
        }
        if !card.chip && self.ask.expiry.as_ref().is_some_and(|e| *e != card.expiry) {
            return Ok(refused("54"));
        }
        if card.currency != self.account.currency {
            return Ok(refused("57"));
        }
        if kind != Kind::VoiceSale
            && let Some(code) = self.pin(card, !self.ask.advice && self.ask.icc.is_none())?
        {
            return Ok(refused(code));
        }
        let payer = format!("card:{}", card.name);
        let funds = self.available(&payer)?;
        Ok(if kind == Kind::Balance {
            Verdict::Balance(payer, funds)
        } else if funds < amount {
            refused("51")
        } else if kind == Kind::PreAuth {
            Verdict::Hold(payer)
        } else {
            Verdict::Pay { payer, amount, code, original: None }
        })
    }

    fn card(&self) -> Option<&'a Card> {
        self.ask.pan.as_ref().and_then(|p| self.world.card_by_pan(p.reveal()))
    }
    /// Amount that a payer can spend: the balance without what is set aside.
    fn available(&self, payer: &str) -> Result<i64, BankError> {
        Ok(ledger::balance(self.tx, payer)? - held(self.tx, payer)?)
    }

    /// The PIN verdict: none when it is right or not asked for. A wrong one counts; the limit blocks the
    /// card.
    fn pin(&self, card: &Card, needed: bool) -> Result<Option<String>, BankError> {
        let Some(right) = card.pin() else { return Ok(None) };
        let tries: u32 = self
            .tx
            .prepare_cached("SELECT tries FROM wrong_pin WHERE card = ?")?
            .query_row([&card.name], |r| r.get(0))
            .optional()?
            .unwrap_or(0);
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
        self.tx
            .prepare_cached(
                "INSERT INTO wrong_pin(card, tries) VALUES(?, 1) ON CONFLICT(card) DO UPDATE
         SET tries = tries + 1",
            )?
            .execute([&card.name])?;
        Ok(Some(if tries + 1 >= card.pin_limit { self.world.pin_limit_code.0.clone() } else { "55".into() }))
    }
    /// A PIN that is given must be right; none is asked for.
    fn given_pin(&self) -> Result<Option<String>, BankError> {
        self.card().map_or(Ok(None), |c| self.pin(c, false))
    }

    /// The original that F61, F37 and F38 name; all that is given must agree, and the card must be the same.
    /// `elsewhere`: it may be another terminal's of the same merchant.
    fn original(&self, kinds: &[Kind], elsewhere: bool) -> Result<Option<Txn>, BankError> {
        let found = self.named(kinds, elsewhere)?;
        Ok(found.filter(|t| t.pan.as_deref() == self.ask.pan.as_ref().map(|p| p.reveal())))
    }
    pub(super) fn named(&self, kinds: &[Kind], elsewhere: bool) -> Result<Option<Txn>, BankError> {
        let ask = self.ask;
        let Some(n) = &ask.named else { return Ok(None) };
        let mut found = match (n.batch, n.stan) {
            (Some(b), Some(s)) => {
                self.all("account = ? AND batch = ? AND stan = ?", params![self.account.name.as_str(), b, s])?
            }
            (None, _) | (_, None) => Vec::new(),
        };
        if elsewhere {
            found.extend(match (&ask.rrn, &ask.auth) {
                (Some(rrn), _) => self.all("rrn = ?", [rrn])?,
                (None, Some(auth)) => self.all("auth = ? ORDER BY id DESC", [auth])?,
                (None, None) => Vec::new(),
            });
        }
        let ours = |t: &Txn| {
            let own = t.account == self.account.name.as_str();
            let same_merchant = |a: &crate::world::Account| {
                a.mid == self.account.mid
                    && a.profile == self.account.profile
                    && a.currency == self.account.currency
            };
            own || elsewhere && self.world.account(&t.account).is_some_and(same_merchant)
        };
        let given = |g: Option<&str>, t: Option<&str>| g.is_none() || g == t;
        Ok(found.into_iter().find(|t| {
            kinds.iter().any(|k| k.name() == t.kind)
                && ours(t)
                && n.batch.is_none_or(|b| b == t.batch)
                && n.stan.is_none_or(|s| s == t.stan)
                && given(n.date.as_deref(), Some(&t.date))
                && given(ask.rrn.as_deref(), Some(&t.rrn))
                && given(ask.auth.as_deref(), t.auth.as_deref())
        }))
    }

    /// Void and completion cancel: the whole of a payment of this terminal that nothing was refunded of.
    fn take_back(&self, kinds: &[Kind], amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some(t) = self.named(kinds, false)? else { return Ok(refused("25")) };
        if self.ask.pan.as_ref().is_some_and(|p| Some(p.reveal()) != t.pan.as_deref()) {
            return Ok(refused("25"));
        }
        if Some(amount) != t.total {
            return Ok(refused("64"));
        }
        if let Some(code) = t.spent() {
            return Ok(refused(code));
        }
        if t.refunded > 0 {
            return Ok(refused("12"));
        }
        if self.too_early(&t) {
            return Ok(refused("09"));
        }
        Ok(self.given_pin()?.map_or_else(|| Verdict::Undo(Box::new(t)), refused))
    }

    /// Decides a refund: in parts, up to the original.
    fn refund(&self, amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some(t) = self.original(&PAYMENTS, true)? else { return Ok(refused("25")) };
        if let Some(code) = t.spent() {
            return Ok(refused(code));
        }
        if amount > t.total.unwrap_or(0) - t.refunded {
            return Ok(refused("64"));
        }
        Ok(Verdict::Refund(Box::new(t), amount))
    }

    /// Out of a hold, once, and not more than the account's percentage of it.
    fn complete(&self, amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some(t) = self.original(&[Kind::PreAuth], true)? else { return Ok(refused("25")) };
        if let Some(code) = t.spent() {
            return Ok(refused(code));
        }
        let hold = t.total.unwrap_or(0);
        if i128::from(amount) * 100 > i128::from(hold) * i128::from(self.account.completion_percent) {
            return Ok(refused("64"));
        }
        let payer = t.payer.clone().unwrap_or_default();
        if self.available(&payer)? + hold < amount {
            return Ok(refused("51"));
        }
        Ok(self
            .given_pin()?
            .map_or_else(|| Verdict::Pay { payer, amount, code: "00", original: Some(Box::new(t)) }, refused))
    }

    fn free(&self, amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some(t) = self.original(&[Kind::PreAuth], true)? else { return Ok(refused("25")) };
        if let Some(code) = t.spent() {
            return Ok(refused(code));
        }
        if Some(amount) != t.total {
            return Ok(refused("64"));
        }
        Ok(self.given_pin()?.map_or_else(|| Verdict::Free(Box::new(t)), refused))
    }

    /// Decides a tip adjustment, once a sale; `amount` is the new total, F48 the tip.
    fn adjust(&self, amount: i64) -> Result<Verdict<'a>, BankError> {
        let Some(t) = self.original(&[Kind::Sale], false)? else { return Ok(refused("25")) };
        if let Some(code) = t.spent() {
            return Ok(refused(code));
        }
        if t.adjusted || t.refunded > 0 {
            return Ok(refused("12"));
        }
        let (total, tip) = (t.total.unwrap_or(0), self.ask.tip.and_then(|t| i64::try_from(t).ok()));
        let Some(tip) = tip.filter(|t| *t > 0 && total.checked_add(*t) == Some(amount)) else {
            return Ok(refused("64"));
        };
        if i128::from(tip) * 100 > i128::from(total) * i128::from(self.account.tip_percent) {
            return Ok(refused("61"));
        }
        if self.available(t.payer.as_deref().unwrap_or_default())? < tip {
            return Ok(refused("51"));
        }
        Ok(Verdict::Adjust(Box::new(t), amount))
    }

    /// The wallet refuses an undo that comes too soon after the payment (host-protocol §8).
    pub(super) fn too_early(&self, t: &Txn) -> bool {
        let paid_by_code = t.kind == Kind::Sale.name() && t.wallet.is_some();
        let wallet =
            self.world.wallets.iter().find(|w| paid_by_code && Some(wallet_account(w.name)) == t.payer);
        wallet.is_some_and(|w| self.clock.now.0 < t.at + i64::from(w.undo_after_ms))
    }
}
