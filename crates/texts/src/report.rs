//! Papers that no template makes: totals and shift report, an app's page, the invoice slip.
use crate::{Align, Cell, Line, Paper, Size, SlipContext, Texts, page};
use payterm_schema::{
    Currency, Money,
    money::decimal,
    page::{Invoice, Page},
    totals::{By, Scope, TotalsReport},
};

fn head(text: String) -> Line {
    Line::Text { text, align: Align::Center, size: Size::Normal, bold: true }
}
fn row(left: String, right: impl Into<String>) -> Line {
    Line::Row { left, right: right.into(), bold: false }
}
fn feed() -> [Line; 2] {
    [Line::Feed(3), Line::Cut]
}
/// DUPLICATE and TEST before anything else.
fn heads(texts: Texts, test: bool, ctx: &SlipContext) -> Vec<Line> {
    [(test, "slip-test"), (ctx.duplicate, "slip-duplicate")].into_iter().filter(|(on, _)| *on).map(|(_, id)| head(texts.get(id, &[]))).collect()
}
/// Slips in China print RMB for CNY.
pub(crate) fn mark(currency: Currency) -> &'static str {
    if currency == Currency::CNY { "RMB" } else { currency.code() }
}

pub(crate) fn totals(texts: Texts, report: &TotalsReport, ctx: &SlipContext) -> Paper {
    let text = |id: &str| texts.get(id, &[]);
    let time = |t: payterm_schema::Time| t.text(ctx.utc_offset_minutes);
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
        lines.push(row(text("slip-merchant"), a.merchant.clone()));
        lines.push(row(text("slip-terminal"), a.terminal.clone()));
        lines.extend(a.batch.map(|b| row(text("slip-batch"), b.to_string())));
        lines.extend(a.since.map(|t| row(text("report-since"), time(t))));
        for (by, id) in [(By::Kind, "report-by-kind"), (By::Organisation, "report-by-organisation"), (By::Operator, "report-by-operator")] {
            let rows = a.by(by);
            if rows.is_empty() {
                continue;
            }
            lines.push(Line::Text { text: text(id), align: Align::Left, size: Size::Normal, bold: true });
            for (key, kind, count, minor) in rows {
                let key = match key.as_str() {
                    "*" => text("report-other"),
                    "" if by == By::Organisation => text("report-unnamed"),
                    _ => key,
                };
                let name = [key, texts.word(kind)].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ");
                let cell = |text: String, align, width| Cell { text, align, width };
                let cells = vec![cell(name, Align::Left, 5), cell(count.to_string(), Align::Right, 2), cell(decimal(minor, a.currency), Align::Right, 5)];
                lines.push(Line::Columns { cells, bold: false });
            }
        }
        lines.push(Line::Row { left: texts.get("report-debit", &[("count", &a.debit_count.to_string())]), right: sum(a.debit_minor), bold: true });
        lines.push(Line::Row { left: texts.get("report-credit", &[("count", &a.credit_count.to_string())]), right: sum(a.credit_minor), bold: true });
    }
    lines.push(Line::Rule);
    lines.push(head(text("report-end")));
    lines.extend(feed());
    Paper { lines }
}

/// An app's page as it is; only its duplicate has a head that is not the app's.
pub(crate) fn page(texts: Texts, composed: &Page, ctx: &SlipContext) -> Paper {
    let mut lines = heads(texts, false, ctx);
    lines.extend(page::page(composed).lines);
    Paper { lines }
}

pub(crate) fn invoice(texts: Texts, invoice: &Invoice, ctx: &SlipContext) -> Paper {
    let text = |id: &str| texts.get(id, &[]);
    let sum = |value: &str| format!("{} {}", mark(invoice.currency), Money::parse(value, invoice.currency).map(Money::value).unwrap_or_default());
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
        let cells = vec![cell(&l.name, Align::Left, 6), cell(quantity, Align::Right, 3), cell(&l.amount, Align::Right, 5)];
        lines.push(Line::Columns { cells, bold: false });
    }
    lines.push(Line::Rule);
    lines.extend(invoice.tax.as_deref().map(|t| row(text("invoice-tax"), sum(t))));
    lines.push(Line::Row { left: text("invoice-total"), right: sum(&invoice.total), bold: true });
    lines.extend(invoice.note.clone().map(|n| row(text("slip-note"), n)));
    lines.push(Line::Text { text: text("invoice-is-none"), align: Align::Left, size: Size::Normal, bold: false });
    lines.extend(feed());
    Paper { lines }
}
