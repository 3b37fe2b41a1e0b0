//! Reversals (host-protocol §6) and the query of a payment by code (§8).
use super::{BankError, HostAnswer, Kind, Txn, case::Case, ledger, params};
use payterm_schema::kind::Recovery;

impl Case<'_> {
    /// 00 done (and done again), 25 not found and remembered, 12 cannot be reversed. A reversal whose F4
    /// differs is refused with 64, one that differs in F2, F3, F25, F38, F60.1 or F61 with 22: neither ends
    /// it, a terminal that reverses what it did not send must notice.
    pub fn reversal(&self) -> Result<HostAnswer, BankError> {
        let ask = self.ask;
        let (name, batch, stan) = self.key();
        let Some(t) = self.find("account = ? AND batch = ? AND stan = ?", params![name, batch, stan])? else {
            self.keep_chip("reversal", None, None)?;
            return self.unmatched();
        };
        self.keep_chip("reversal", Some(t.id), None)?;
        let mut reply = HostAnswer { amount: ask.amount, rrn: Some(t.rrn.clone()), ..self.reply("00") };
        // A field that the reversal lacks (by profile) or that the original lacked says nothing.
        let differs = |g: Option<&str>, t: Option<&str>| g.is_some() && t.is_some() && g != t;
        let original = t.original.map(|o| self.find("id = ?", [o])).transpose()?.flatten();
        let other_original = match (&ask.named, &original) {
            (Some(n), Some(o)) => {
                n.batch.is_some_and(|b| b != o.batch) || n.stan.is_some_and(|s| s != o.stan)
            }
            (None, _) | (_, None) => false,
        };
        // The reversal of an unanswered void carries the F38 that the void carried: its original's.
        let other_auth = differs(ask.auth.as_deref(), t.auth.as_deref())
            && differs(
                ask.auth.as_deref(),
                original.as_ref().and_then(|o| o.auth.as_deref()).or(t.auth.as_deref()),
            );
        let reversible = Kind::named(&t.kind).is_some_and(|k| k.row().recovery == Recovery::Reverse);
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
        } else if t.state == "declined" {
            return self.unmatched();
        } else if t.state == "reversed" {
            "00".into()
        } else if !reversible
            || !matches!(t.state.as_str(), "approved" | "pending")
            || t.refunded > 0
            || t.adjusted
        {
            "12".into()
        } else if self.too_early(&t) {
            "09".into()
        } else if self.reverse(&t, original.as_ref())? {
            "00".into()
        } else {
            "12".into()
        };
        Ok(reply)
    }

    fn unmatched(&self) -> Result<HostAnswer, BankError> {
        let (name, batch, stan) = self.key();
        self.tx
            .prepare_cached(
                "INSERT OR IGNORE INTO unmatched_reversal(account, batch, stan, at) VALUES(?, ?, ?, ?)",
            )?
            .execute(params![name, batch, stan, self.clock.now.0])?;
        Ok(HostAnswer { amount: self.ask.amount, ..self.reply("25") })
    }

    /// Undoes it and lets its original be as it was before; false when that was used otherwise meanwhile.
    fn reverse(&self, t: &Txn, original: Option<&Txn>) -> Result<bool, BankError> {
        let hold = original.and_then(|o| o.original).map(|h| self.find("id = ?", [h])).transpose()?.flatten();
        if hold.as_ref().is_some_and(|h| h.state != "approved") {
            return Ok(false);
        }
        let contrary = t
            .posting
            .map(|p| ledger::undo(self.tx, self.clock.now.0, "reversal", Some(t.id), p))
            .transpose()?;
        self.set_state(t.id, "reversed")?;
        let Some(o) = original else { return Ok(true) };
        self.set_state(o.id, "approved")?;
        // A reversed void or completion cancel: its original stands again, on the posting that undid the
        // undoing.
        if o.posting.is_some() {
            self.tx
                .prepare_cached("UPDATE txn SET posting = ? WHERE id = ?")?
                .execute(params![contrary, o.id])?;
        }
        // And the hold that came back is used up again.
        if let Some(h) = hold {
            self.set_state(h.id, "completed")?;
        }
        Ok(true)
    }

    /// State of a payment by code: the original's F37, F38 and F39 as it is now.
    pub fn query(&self) -> Result<HostAnswer, BankError> {
        let Some(t) = self.named(&[Kind::Sale], false)? else { return Ok(self.reply("25")) };
        let code = match t.state.as_str() {
            "approved" => "00",
            "pending" => "09",
            "declined" => t.code.as_str(),
            _ => "25",
        };
        Ok(HostAnswer { rrn: Some(t.rrn.clone()), auth_code: t.auth.clone(), ..self.reply(code) })
    }
}
