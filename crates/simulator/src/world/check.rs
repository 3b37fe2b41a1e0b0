//! Rules of a world that its types alone cannot show.
use super::{CodeAnswer, World, WorldError};
use crate::mishap::Mishap;
use payterm_schema::{Currency, Money, Pan, account::AccountId, secret::Pin};
use std::{collections::BTreeSet, ops::RangeInclusive};

fn bad(field: String, rule: &str) -> Result<(), WorldError> {
    Err(WorldError::Invalid { field, rule: rule.into() })
}

fn digits(text: &str, length: RangeInclusive<usize>) -> bool {
    length.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl World {
    /// The first broken rule, by the order of the tables.
    pub(super) fn check(&self) -> Result<(), WorldError> {
        self.check_accounts()?;
        self.check_cards()?;
        self.check_wallets()?;
        self.check_codes()?;
        self.check_parameters()?;
        self.check_emv()?;
        self.check_rules()
    }

    fn check_accounts(&self) -> Result<(), WorldError> {
        if self.accounts.is_empty() {
            return bad("account".into(), "at least one");
        }
        let (mut names, mut terminals) = (BTreeSet::new(), BTreeSet::new());
        for (i, a) in self.accounts.iter().enumerate() {
            let f = |k: &str| format!("account[{i}].{k}");
            if !names.insert(&a.name) {
                return bad(f("name"), "each once");
            }
            if !terminals.insert((&a.profile, a.mid.as_str(), a.tid.as_str())) {
                return bad(f("tid"), "each once per profile and merchant");
            }
            if !matches!(a.mak_bytes, 8 | 16) {
                return bad(f("mak_bytes"), "8 or 16");
            }
            if !digits(&a.acquirer_id, 1..=11) {
                return bad(f("acquirer_id"), "1 to 11 digits (F32)");
            }
            if !(1..=999_999).contains(&a.first_batch) {
                return bad(f("first_batch"), "1 to 999999");
            }
            if !(100..=200).contains(&a.completion_percent) {
                return bad(f("completion_percent"), "100 to 200");
            }
            if a.tip_percent > 100 {
                return bad(f("tip_percent"), "0 to 100");
            }
            if a.fee_bp > 10_000 || a.fee_max.as_deref().is_some_and(|t| Money::parse(t, a.currency).is_err())
            {
                return bad(f("fee_bp"), "at most 10000, and fee_max a decimal amount of the currency");
            }
        }
        Ok(())
    }

    fn check_cards(&self) -> Result<(), WorldError> {
        let (mut names, mut pans) = (BTreeSet::new(), BTreeSet::new());
        for (i, c) in self.cards.iter().enumerate() {
            let f = |k: &str| format!("card[{i}].{k}");
            if AccountId::new(&c.name).is_err() || !names.insert(c.name.as_str()) {
                return bad(f("name"), "1 to 32 of a-z 0-9 - _, each once");
            }
            if !Pan::parse(&c.pan).is_ok_and(|p| p.luhn()) || !pans.insert(c.pan.as_str()) {
                return bad(f("pan"), "12 to 19 digits with a right check digit, each once");
            }
            if !digits(&c.expiry, 4..=4) || !("01"..="12").contains(&&c.expiry[2..]) {
                return bad(f("expiry"), "YYMM");
            }
            if c.pin.as_deref().is_some_and(|p| Pin::parse(p).is_none()) {
                return bad(f("pin"), "4 to 12 digits");
            }
            if c.pin_limit == 0 {
                return bad(f("pin_limit"), "at least 1");
            }
            if Money::parse(&c.balance, c.currency).is_err() {
                return bad(f("balance"), "a decimal amount of the currency");
            }
            if c.scheme.len() != 3 || !c.scheme.bytes().all(|b| b.is_ascii_uppercase()) {
                return bad(f("scheme"), "three capital letters");
            }
            if c.issuer.chars().count() > 10 && !c.issuer.is_ascii()
                || c.issuer.len() > 30
                || c.issuer.is_ascii() && c.issuer.len() > 20
            {
                return bad(f("issuer"), "up to 20 ASCII or 10 Chinese characters");
            }
            if !digits(&c.issuer_id, 1..=11) {
                return bad(f("issuer_id"), "1 to 11 digits");
            }
        }
        Ok(())
    }

    fn check_wallets(&self) -> Result<(), WorldError> {
        let mut names = BTreeSet::new();
        for (i, w) in self.wallets.iter().enumerate() {
            if !names.insert(w.name) {
                return bad(format!("wallet[{i}].name"), "each once");
            }
            if w.prefixes.is_empty()
                || !w.prefixes.iter().all(|p| digits(p, 1..=8))
                || !w.lengths.iter().all(|l| (16..=24).contains(l))
            {
                return bad(
                    format!("wallet[{i}].prefixes"),
                    "prefixes of 1 to 8 digits, lengths of 16 to 24",
                );
            }
            if Money::parse(&w.balance, Currency::CNY).is_err() {
                return bad(format!("wallet[{i}].balance"), "a decimal amount in CNY");
            }
        }
        Ok(())
    }

    fn check_codes(&self) -> Result<(), WorldError> {
        for (i, c) in self.codes.iter().enumerate() {
            if !digits(&c.prefix, 1..=24) {
                return bad(format!("code[{i}].prefix"), "1 to 24 digits");
            }
            let refusal = c.code.as_ref().is_some_and(|c| c.0 != "00" && c.0 != "09");
            let ok = match c.answer {
                CodeAnswer::Paid | CodeAnswer::Never => c.code.is_none(),
                CodeAnswer::Refused => refusal,
                CodeAnswer::Pending => c.code.is_none() || refusal,
            };
            if !ok {
                return bad(
                    format!("code[{i}].code"),
                    "refused needs a code, pending may have one, not 00 or 09; the others have none",
                );
            }
        }
        Ok(())
    }

    fn check_parameters(&self) -> Result<(), WorldError> {
        for (i, p) in self.parameters.iter().enumerate() {
            let key = |k: &str| {
                (1..=32).contains(&k.len())
                    && k.bytes().all(|b| {
                        b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
                    })
            };
            if !key(&p.key) || p.value.len() > 128 || !p.value.bytes().all(|b| (0x20..=0x7E).contains(&b)) {
                return bad(
                    format!("parameter[{i}].key"),
                    "1 to 32 of a-z 0-9 . _ - with a value of up to 128 printable ASCII characters",
                );
            }
            if p.account.as_ref().is_some_and(|n| self.account(n.as_str()).is_none()) {
                return bad(format!("parameter[{i}].account"), "names no account");
            }
        }
        for a in &self.accounts {
            // What one F62 holds, with a line end for each.
            let fits = self.parameters.iter().filter(|p| p.account.as_ref().is_none_or(|n| *n == a.name));
            if fits.clone().count() > payterm_schema::HostAnswer::MAX_PARAMETERS
                || fits.map(|p| p.key.len() + p.value.len() + 2).sum::<usize>() > 512
            {
                return bad("parameter".into(), "at most 64 and 512 bytes for one account");
            }
        }
        Ok(())
    }

    fn check_rules(&self) -> Result<(), WorldError> {
        for (i, r) in self.rules.iter().enumerate() {
            let effects = [r.code.is_some(), r.mishap.is_some(), r.partial.is_some()];
            if effects.into_iter().filter(|e| *e).count() != 1 || r.code.as_ref().is_some_and(|c| c.0 == "00")
            {
                return bad(
                    format!("rule[{i}].code"),
                    "one of a code other than 00, a mishap and a partial amount",
                );
            }
            if r.times.is_some_and(|t| t == 0 || r.mishap.is_none()) {
                return bad(format!("rule[{i}].times"), "at least 1, and only with a mishap");
            }
            if r.partial
                .as_deref()
                .is_some_and(|t| Money::parse(t, Currency::CNY).is_ok_and(|m| m.minor() == 0))
            {
                return bad(format!("rule[{i}].partial"), "more than zero");
            }
            if let Some(Err(rule)) = r.mishap.as_ref().map(Mishap::check) {
                return bad(format!("rule[{i}].mishap"), rule);
            }
            if r.card.as_deref().is_some_and(|n| !self.cards.iter().any(|c| c.name == n)) {
                return bad(format!("rule[{i}].card"), "names no card");
            }
            let account = r.account.as_ref().map(|n| self.account(n.as_str()));
            if matches!(account, Some(None)) {
                return bad(format!("rule[{i}].account"), "names no account");
            }
            let currency = account.flatten().map_or(Currency::CNY, |a| a.currency);
            for t in [&r.amount, &r.amount_from, &r.amount_to, &r.partial].into_iter().flatten() {
                if Money::parse(t, currency).is_err() {
                    return bad(
                        format!("rule[{i}].amount"),
                        "a decimal amount of the account's currency (CNY when no account is named)",
                    );
                }
            }
        }
        Ok(())
    }
}
