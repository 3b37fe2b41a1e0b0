//! Papers that no template makes: totals and shift report, an app's page, the invoice slip.
use crate::{Align, Cell, Line, Paper, Size, SlipContext, Texts, page};
use payterm_schema::{
    Currency, Money, Outcome, Time,
    money::decimal,
    page::{Invoice, Page},
    settlement::{Half, OTHER, OTHER_FOREIGN, Verdict},
    totals::{By, Scope, TotalsReport},
};

impl SlipContext {
    pub(crate) fn time(&self, at: Time) -> String {
        if at < self.not_before {
            Texts::new(self.language).get("slip-clock-not-set", &[])
        } else {
            self.zone.text(at)
        }
    }
}

fn head(text: String) -> Line {
    Line::Text { text, align: Align::Center, size: Size::Normal, bold: true }
}
fn row(left: String, right: impl Into<String>) -> Line {
    Line::Row { left, right: right.into(), bold: false }
}
fn plain(text: String) -> Line {
    Line::Text { text, align: Align::Left, size: Size::Normal, bold: false }
}
fn feed() -> [Line; 2] {
    [Line::Feed(3), Line::Cut]
}
/// DUPLICATE and TEST before anything else.
fn heads(texts: Texts, test: bool, ctx: &SlipContext) -> Vec<Line> {
    [(test, "slip-test"), (ctx.duplicate, "slip-duplicate")]
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, id)| head(texts.get(id, &[])))
        .collect()
}
/// Slips in China print RMB for CNY.
pub(crate) fn mark(currency: Currency) -> &'static str {
    if currency == Currency::CNY { "RMB" } else { currency.code() }
}

/// What is left of the money that came in: what the shop is paid, before fees.
fn net(texts: Texts, debit: u64, credit: u64, currency: Currency) -> Line {
    let sign = if debit < credit { "-" } else { "" };
    let value = decimal(debit.abs_diff(credit), currency);
    Line::Row {
        left: texts.get("report-net", &[]),
        right: format!("{} {sign}{value}", mark(currency)),
        bold: true,
    }
}

pub(crate) fn totals(texts: Texts, report: &TotalsReport, ctx: &SlipContext) -> Paper {
    let text = |id: &str| texts.get(id, &[]);
    let time = |t: Time| ctx.time(t);
    let title = match report.scope {
        Scope::Batch => "report-batch-title",
        Scope::Shift => "report-shift-title",
    };
    let mut lines = heads(texts, report.test, ctx);
    lines.push(head(text(title)));
    lines.push(row(text("slip-shop"), report.shop.clone()));
    lines.push(row(text("slip-operator"), report.operator.clone()));
    lines.push(row(text("report-until"), time(report.until)));
    for a in &report.accounts {
        let sum = |minor| format!("{} {}", mark(a.currency), decimal(minor, a.currency));
        lines.push(Line::Rule);
        lines.push(row(text("slip-mid"), a.mid.clone()));
        lines.push(row(text("slip-tid"), a.tid.clone()));
        lines.extend(a.batch.map(|b| row(text("slip-batch"), b.to_string())));
        lines.extend(a.since.map(|t| row(text("report-since"), time(t))));
        for (by, id) in [
            (By::Kind, "report-by-kind"),
            (By::Scheme, "report-by-scheme"),
            (By::Operator, "report-by-operator"),
        ] {
            let rows = a.by(by);
            if rows.is_empty() {
                continue;
            }
            lines.push(Line::Text { text: text(id), align: Align::Left, size: Size::Normal, bold: true });
            for (key, kind, count, minor) in rows {
                let key = match key.as_str() {
                    OTHER | OTHER_FOREIGN => text("report-other"),
                    "" if by == By::Scheme => text("report-unnamed"),
                    code if by == By::Scheme => texts.scheme_name(code),
                    _ => key,
                };
                let name = [key, texts.word(kind)]
                    .into_iter()
                    .filter(|p| !p.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ");
                let cell = |text: String, align, width| Cell { text, align, width };
                let cells = vec![
                    cell(name, Align::Left, 5),
                    cell(count.to_string(), Align::Right, 2),
                    cell(decimal(minor, a.currency), Align::Right, 5),
                ];
                lines.push(Line::Columns { cells, bold: false });
            }
        }
        lines.push(Line::Row {
            left: texts.get("report-debit", &[("count", &a.debit_count.to_string())]),
            right: sum(a.debit_minor),
            bold: true,
        });
        lines.push(Line::Row {
            left: texts.get("report-credit", &[("count", &a.credit_count.to_string())]),
            right: sum(a.credit_minor),
            bold: true,
        });
        lines.push(net(texts, a.debit_minor, a.credit_minor, a.currency));
    }
    lines.push(Line::Rule);
    lines.push(head(text("report-end")));
    lines.extend(feed());
    Paper { lines }
}

/// Report of a settlement, for the shop's books.
pub(crate) fn settlement(texts: Texts, o: &Outcome, ctx: &SlipContext) -> Paper {
    let text = |id: &str| texts.get(id, &[]);
    let time = |t: Time| ctx.time(t);
    let currency = o.sums.currency;
    let bold = |left: String, right: String| Line::Row { left, right, bold: true };
    let sum = |id: &str, count: u32, minor: u64| {
        row(
            texts.get(id, &[("count", &count.to_string())]),
            format!("{} {}", mark(currency), decimal(minor, currency)),
        )
    };
    let sums = |h: &Half| {
        [
            sum("report-debit", h.debit_count, h.debit_minor),
            sum("report-credit", h.credit_count, h.credit_minor),
        ]
    };
    let name = |scheme: &str| match scheme {
        OTHER | OTHER_FOREIGN => text("report-other"),
        "" => text("report-unnamed"),
        code => texts.scheme_name(code),
    };
    let mut lines = heads(texts, o.test, ctx);
    lines.extend(o.line.map(|_| head(text("slip-private-line"))));
    lines.push(head(text("settlement-title")));
    lines.push(row(text("slip-shop"), o.place.shop.clone()));
    lines.push(row(text("slip-operator"), o.operator.clone()));
    lines.extend(o.mid.clone().map(|m| row(text("slip-mid"), m)));
    lines.extend(o.tid.clone().map(|t| row(text("slip-tid"), t)));
    lines.extend(o.batch.map(|b| row(text("slip-batch"), b.to_string())));
    lines.extend(o.settlement.as_ref().and_then(|s| s.since).map(|t| row(text("report-since"), time(t))));
    lines.extend(o.ended.map(|t| row(text("report-until"), time(t))));
    let Some(s) = o.settlement.as_deref() else { return Paper { lines } };
    for (id, half, verdict) in [
        ("settlement-domestic", &s.domestic, s.domestic_verdict),
        ("settlement-foreign", &s.foreign, s.foreign_verdict),
    ] {
        lines.push(Line::Rule);
        lines.push(bold(text(id), text(verdict_id(verdict))));
        lines.extend(sums(half));
        lines.push(net(texts, half.debit_minor, half.credit_minor, currency));
    }
    lines.push(Line::Rule);
    for scheme in &s.schemes {
        lines.push(Line::Text {
            text: name(&scheme.scheme),
            align: Align::Left,
            size: Size::Normal,
            bold: true,
        });
        lines.extend(sums(&scheme.sums));
    }
    let told = [("settlement-uploaded", s.uploaded), ("settlement-certificates", s.certificates)];
    let told = told.into_iter().filter(|(_, n)| *n > 0);
    lines.extend(told.map(|(name, n)| row(text(name), n.to_string())));
    if !s.stuck.is_empty() {
        lines.push(Line::Rule);
        lines.push(head(text("settlement-stuck")));
        for l in &s.stuck {
            let amount = l.minor.map(|m| decimal(m, currency)).unwrap_or_default();
            lines.push(row(format!("{} {} {}", texts.word(l.kind), l.batch, l.stan), amount));
        }
        if s.stuck_more > 0 {
            lines.push(row(
                texts.get("settlement-stuck-more", &[("n", &s.stuck_more.to_string())]),
                String::new(),
            ));
        }
    }
    if !s.unpaid.is_empty() {
        lines.push(Line::Rule);
        lines.push(head(text("settlement-unpaid")));
        for l in &s.unpaid {
            let number =
                [Some(texts.word(l.kind)), l.batch.map(|b| b.to_string()), l.stan.map(|s| s.to_string())];
            lines.push(row(
                number.into_iter().flatten().collect::<Vec<_>>().join(" "),
                l.minor.map(|m| decimal(m, currency)).unwrap_or_default(),
            ));
            lines.extend(l.masked_pan.clone().map(plain));
            lines.push(plain(texts.forwarding(&l.forwarding)));
        }
        if s.unpaid_more > 0 {
            lines.push(row(
                texts.get("settlement-stuck-more", &[("n", &s.unpaid_more.to_string())]),
                String::new(),
            ));
        }
    }
    if let Some(journal) = &o.journal {
        lines.push(Line::Rule);
        lines.push(plain(text("settlement-journal")));
        lines.push(plain(journal.clone()));
    }
    lines.push(Line::Rule);
    lines.push(head(text("report-end")));
    lines.extend(feed());
    Paper { lines }
}

/// The text of the acquirer's word; without one a person closed the batch.
pub(crate) fn verdict_id(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Balanced) => "settlement-balanced",
        Some(Verdict::NotBalanced) => "settlement-not-balanced",
        Some(Verdict::Error) => "settlement-error",
        None => "settlement-by-person",
    }
}

/// An app's page as it is; only its duplicate has a head that is not the app's.
pub(crate) fn page(texts: Texts, composed: &Page, ctx: &SlipContext) -> Paper {
    let mut lines = heads(texts, false, ctx);
    lines.extend(page::page(composed).lines);
    Paper { lines }
}

pub(crate) fn invoice(texts: Texts, invoice: &Invoice, ctx: &SlipContext) -> Paper {
    let text = |id: &str| texts.get(id, &[]);
    let sum = |value: &str| {
        format!(
            "{} {}",
            mark(invoice.currency),
            Money::parse(value, invoice.currency).map(Money::value).unwrap_or_default()
        )
    };
    let mut lines = heads(texts, false, ctx);
    lines.push(head(text("invoice-title")));
    lines.push(Line::Rule);
    lines.push(row(text("invoice-name"), invoice.title.clone()));
    lines.extend(invoice.tax_number.clone().map(|n| row(text("invoice-tax-number"), n)));
    lines.extend(invoice.payment.clone().map(|p| row(text("slip-request"), p)));
    lines.push(Line::Rule);
    for l in &invoice.lines {
        let cell = |text: &str, align, width| Cell { text: text.into(), align, width };
        let quantity = l.quantity.as_deref().unwrap_or_default();
        let cells = vec![
            cell(&l.name, Align::Left, 6),
            cell(quantity, Align::Right, 3),
            cell(&l.amount, Align::Right, 5),
        ];
        lines.push(Line::Columns { cells, bold: false });
    }
    lines.push(Line::Rule);
    lines.extend(invoice.tax.as_deref().map(|t| row(text("invoice-tax"), sum(t))));
    lines.push(Line::Row { left: text("invoice-total"), right: sum(&invoice.total), bold: true });
    lines.extend(invoice.note.clone().map(|n| row(text("slip-note"), n)));
    lines.push(Line::Text {
        text: text("invoice-is-none"),
        align: Align::Left,
        size: Size::Normal,
        bold: false,
    });
    lines.extend(feed());
    Paper { lines }
}
