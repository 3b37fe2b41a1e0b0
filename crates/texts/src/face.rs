//! Helpers for human tables of the faces.
use crate::{Texts, clean, report::verdict_id};
use payterm_schema::{
    Currency, Money, Outcome,
    host::EntryMode,
    money::decimal,
    offline::{Check, Judgement, OfflineRule},
    outcome::{Forwarding, OriginalShown, Reason},
    settlement::{Half, Settlement, StuckLine, UnpaidLine, Verdict},
    zone::Zone,
};

impl Texts {
    /// An amount as people of this language read it.
    pub fn amount_text(self, amount: Money) -> String {
        self.signed_text(&amount.value(), amount.currency)
    }

    /// Decimal text that may have a sign (a balance), as people of this language read it.
    pub(crate) fn signed_text(self, value: &str, currency: Currency) -> String {
        let id = if currency == Currency::CNY { "amount-cny" } else { "amount-other" };
        self.get(id, &[("value", value), ("currency", currency.code())])
    }

    /// The text of a filled reason; a host's code stands behind it, because the acquirer's help desk asks for
    /// it.
    pub(crate) fn reason_text(self, reason: &Reason) -> String {
        match reason.code.strip_prefix("host-") {
            Some(code) if !reason.text.contains(code) => {
                self.get("reason-with-code", &[("text", &reason.text), ("code", code)])
            }
            Some(_) | None => reason.text.clone(),
        }
    }

    /// `accepted: payments at risk: 3 of 200; not yet confirmed by the acquirer: 2 payments, CNY 24.68`.
    pub fn judgement(self, j: &Judgement, currency: Currency) -> String {
        self.judged(if j.allowed { "offline-allowed" } else { "offline-denied" }, j, currency)
    }
    /// Judgement on a payment that is only asked about: `would be accepted: ...`.
    pub fn would_be(self, j: &Judgement, currency: Currency) -> String {
        self.judged(if j.allowed { "offline-would-allow" } else { "offline-would-deny" }, j, currency)
    }
    fn judged(self, id: &str, j: &Judgement, currency: Currency) -> String {
        let exposure =
            Money::new(j.exposure.minor, currency).map(|m| self.amount_text(m)).unwrap_or_default();
        let by = self.check(&j.by, currency);
        self.get(id, &[("by", &by), ("count", &j.exposure.count.to_string()), ("sum", &exposure)])
    }
    /// `payments at risk, 3 of 200`.
    pub fn check(self, c: &Check, currency: Currency) -> String {
        let shown = |n: u64| match c.rule {
            OfflineRule::Transaction | OfflineRule::CardSum | OfflineRule::TotalSum => {
                Money::new(n, currency).map(|m| self.amount_text(m)).unwrap_or_default()
            }
            OfflineRule::Off
            | OfflineRule::Profile
            | OfflineRule::Settlement
            | OfflineRule::Kind
            | OfflineRule::Instrument
            | OfflineRule::Chip
            | OfflineRule::Pin
            | OfflineRule::Expired
            | OfflineRule::Listed
            | OfflineRule::Refused
            | OfflineRule::Reversal
            | OfflineRule::Clock
            | OfflineRule::Contact
            | OfflineRule::CardCount
            | OfflineRule::TotalCount => n.to_string(),
        };
        let now = c.now.map_or_else(|| "-".into(), shown);
        match c.limit {
            Some(limit) => self.get(
                "offline-limit",
                &[("rule", &self.word(c.rule)), ("now", &now), ("limit", &shown(limit))],
            ),
            None => self.word(c.rule),
        }
    }
    /// Check as a row of a list, whether it passed or not: `clock trusted`, `payments at risk: 3 of 200`.
    pub fn check_row(self, c: &Check, currency: Currency) -> String {
        match c.limit {
            Some(_) => self.check(c, currency),
            None => self.get(&format!("offline-rule-{}", c.rule.name()), &[]),
        }
    }
    /// Words for how far an advice is.
    pub fn forwarding(self, f: &Forwarding) -> String {
        match f {
            Forwarding::Pending => self.get("forwarding-pending", &[]),
            Forwarding::Forwarded => self.get("forwarding-forwarded", &[]),
            Forwarding::Refused(code) => self.get("forwarding-refused", &[("code", code)]),
            Forwarding::WrittenOff { by, why } => {
                self.get("forwarding-written-off", &[("by", by), ("why", why)])
            }
            Forwarding::Withdrawn => self.get("forwarding-withdrawn", &[]),
        }
    }

    /// Words for how a payment was accepted without the host, or that it was never sent there.
    pub(crate) fn without_host(self, o: &Outcome) -> Option<String> {
        if o.forwarding == Some(Forwarding::Withdrawn) {
            return Some(self.get("slip-withdrawn", &[]));
        }
        let how = self.word(o.offline_authority?);
        Some(self.get("slip-offline-authority", &[("offline_authority", &how)]))
    }

    /// Half of a settlement: `balanced · Paid in (3) 12.00 · Paid back (1) 2.00`.
    pub fn half(self, half: &Half, verdict: Option<Verdict>, currency: Currency) -> String {
        let part = |id: &str, count: u32, minor: u64| {
            format!("{} {}", self.get(id, &[("count", &count.to_string())]), decimal(minor, currency))
        };
        let word = verdict.map(|v| self.get(verdict_id(Some(v)), &[]));
        let sums = [
            part("report-debit", half.debit_count, half.debit_minor),
            part("report-credit", half.credit_count, half.credit_minor),
        ];
        word.into_iter().chain(sums).collect::<Vec<_>>().join(" · ")
    }

    /// The original of an outcome: its request, or that it was made elsewhere, and its numbers.
    fn original(self, o: &OriginalShown) -> String {
        let part = |label: &str, value: Option<String>| {
            value.map(|v| format!(" · {} {v}", self.get(label, &[]))).unwrap_or_default()
        };
        let key = o.key.as_ref().map_or_else(|| self.get("original-elsewhere", &[]), ToString::to_string);
        [
            key,
            part("label-batch", o.batch.map(|b| b.to_string())),
            part("label-stan", o.stan.map(|s| s.to_string())),
            part("label-rrn", o.rrn.clone()),
            part("label-auth-code", o.auth_code.clone().filter(|_| o.key.is_none())),
        ]
        .concat()
    }

    /// The stuck payments that a settlement left out.
    fn not_settled(self, s: &Settlement, currency: Currency) -> String {
        let line = |l: &StuckLine| {
            let minor = l.minor.map(|m| decimal(m, currency)).unwrap_or_default();
            [self.word(l.kind), l.batch.to_string(), l.stan.to_string(), minor].join(" ")
        };
        self.joined(s.stuck.iter().map(line), s.stuck_more)
    }

    /// The payments of a settled batch that the acquirer does not pay, each with how far its advice is.
    fn unpaid(self, s: &Settlement, currency: Currency) -> String {
        let line = |l: &UnpaidLine| {
            let number = [
                Some(self.word(l.kind)),
                l.batch.map(|b| b.to_string()),
                l.stan.map(|s| s.to_string()),
                l.minor.map(|m| decimal(m, currency)),
                l.masked_pan.clone(),
            ];
            let number = number.into_iter().flatten().collect::<Vec<_>>().join(" ");
            format!("{number}: {}", self.forwarding(&l.forwarding))
        };
        self.joined(s.unpaid.iter().map(line), s.unpaid_more)
    }

    fn joined(self, lines: impl Iterator<Item = String>, more: u32) -> String {
        let more = (more > 0).then(|| self.get("settlement-stuck-more", &[("n", &more.to_string())]));
        lines.chain(more).collect::<Vec<_>>().join(" / ")
    }

    /// Label and value of everything that an outcome knows, for tables. Values are one visible line each.
    pub fn outcome_lines(self, outcome: &Outcome, zone: &Zone) -> Vec<(String, String)> {
        let mut o = outcome.clone();
        self.fill(&mut o);
        let text = |id: &str| self.get(id, &[]);
        let time = |t: payterm_schema::Time| zone.text(t);
        let currency = o.sums.currency;
        let amount = |minor: u64| Money::new(minor, currency).ok().map(|m| self.amount_text(m));
        let place = [&o.place.shop, &o.place.address, &o.place.city].into_iter().filter(|p| !p.is_empty());
        let place = place.cloned().reduce(|a, b| self.get("pair", &[("a", &a), ("b", &b)]));
        let entry = o.entry.map(|e| {
            let entry = o.wallet.map_or_else(|| self.word(e), |w| self.word(w));
            let entry = if o.fallback { text("entry-fallback") } else { entry };
            if o.pin { self.get("pair", &[("a", &entry), ("b", &text("pin-used"))]) } else { entry }
        });
        let host_time = match (&o.host_date, &o.host_time) {
            (None, None) => None,
            (d, t) => Some([d.as_deref(), t.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")),
        };
        let original = o.original.as_ref().map(|original| self.original(original));
        let reason = o.reason.as_ref();
        let settlement = o.settlement.as_deref();
        let not_balanced = crate::screen::not_balanced(&o);
        let next = not_balanced.then(|| text("settlement-next"));
        let not_settled = settlement.filter(|s| !s.stuck.is_empty()).map(|s| self.not_settled(s, currency));
        let unpaid = settlement.filter(|s| !s.unpaid.is_empty()).map(|s| self.unpaid(s, currency));
        let host_texts = (!o.host_texts.is_empty()).then(|| o.host_texts.join(" / "));
        let card_label = if o.entry == Some(EntryMode::Code) { "label-code" } else { "label-card" };
        let flag = |on: bool| on.then(|| text("yes"));
        [
            ("label-request", Some(o.key.to_string())),
            ("label-txn", Some(o.txn.to_string())),
            ("label-kind", Some(self.word(o.kind))),
            (
                "label-status",
                Some(if not_balanced { text("status-not-balanced") } else { self.word(o.status) }),
            ),
            ("label-authority", o.authority.map(|a| self.word(a))),
            ("label-reason", reason.map(|r| self.reason_text(r))),
            ("label-next", reason.map(|r| r.next.clone()).or(next)),
            ("label-reference", o.needs_service().then(|| o.reference())),
            ("label-amount", o.sums.amount_money().map(|a| self.amount_text(a))),
            ("label-asked", o.sums.asked.and_then(amount)),
            ("label-tip", o.sums.tip.and_then(amount)),
            ("label-refunded", o.sums.refunded.and_then(amount)),
            ("label-forwarding", o.forwarding.as_ref().map(|f| self.forwarding(f))),
            ("label-offline-authority", o.offline_authority.map(|r| self.word(r))),
            ("label-offline", o.offline.map(|j| self.judgement(&j, currency))),
            ("label-fee", o.sums.fee_text().map(|f| self.signed_text(&f, currency))),
            ("label-balance", o.sums.balance_text().map(|b| self.signed_text(&b, currency))),
            ("label-entry", entry),
            (card_label, o.masked_pan.clone()),
            ("label-auth-code", o.auth_code.clone()),
            ("label-rrn", o.rrn.clone()),
            ("label-batch", o.batch.map(|b| b.to_string())),
            ("label-stan", o.stan.map(|s| s.to_string())),
            ("label-host-time", host_time),
            ("label-started", Some(time(o.started))),
            ("label-ended", o.ended.map(time)),
            ("label-answer-by", o.answer_by.filter(|_| !o.status.is_final()).map(time)),
            ("label-place", place),
            ("label-account", o.account.as_ref().map(ToString::to_string)),
            ("label-mid", o.mid.clone()),
            ("label-tid", o.tid.clone()),
            ("label-line", o.line.map(|l| self.word(l))),
            ("label-operator", Some(o.operator.clone())),
            ("label-approved-by", o.approved_by.clone()),
            ("label-scheme", o.scheme.clone()),
            ("label-issuer", o.issuer.clone()),
            ("label-acquirer", o.acquirer.clone()),
            ("label-host-text", host_texts),
            ("label-original", original),
            ("label-voided", flag(o.voided)),
            ("label-domestic", settlement.map(|s| self.half(&s.domestic, s.domestic_verdict, currency))),
            ("label-foreign", settlement.map(|s| self.half(&s.foreign, s.foreign_verdict, currency))),
            ("label-uploaded", settlement.filter(|s| s.uploaded > 0).map(|s| s.uploaded.to_string())),
            (
                "label-certificates",
                settlement.filter(|s| s.certificates > 0).map(|s| s.certificates.to_string()),
            ),
            ("label-not-settled", not_settled),
            ("label-unpaid", unpaid),
            ("label-note", o.note.clone()),
            ("label-test", flag(o.test)),
        ]
        .into_iter()
        .filter_map(|(label, value)| Some((text(label), clean(value?.trim()))))
        .filter(|(_, value)| !value.is_empty())
        .collect()
    }
}
