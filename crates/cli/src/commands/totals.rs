//! `paytermctl totals`.
use crate::{Failure, args::Global, bus::Bus, show::shown, ui::Ui};
use clap::{Args, ValueEnum};
use payterm_schema::{
    Terminal,
    money::decimal,
    terminal::BatchTotals,
    totals::{By, Scope, TotalsReport},
};

/// Counts and sums of the open batches.
#[derive(Args)]
pub struct Totals {
    /// The approved transactions put together by this (managers only).
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<ByName>,
    /// Of the shift, in place of the batch (managers only).
    #[arg(long)]
    shift: bool,
    /// Prints the report; that of the shift ends the shift (managers only).
    #[arg(long)]
    print: bool,
}

impl Totals {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect(global, ui).await?;
        let scope = if self.shift { Scope::Shift } else { Scope::Batch };
        if self.by.is_none() && !self.shift && !self.print {
            let all = bus.client.totals(&bus.caller).await?;
            ui.result(&all, || page(ui, &all));
            return Ok(0);
        }
        let report = bus.client.report(&bus.caller, scope).await?;
        if self.print {
            bus.client.print_report(&bus.caller, scope).await?;
        }
        ui.result(&report, || rows(ui, &report, self.by));
        Ok(0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByName {
    Scheme,
    Kind,
    Operator,
}

fn page(ui: &Ui, all: &[BatchTotals]) -> String {
    let header = [
        "label-account",
        "label-batch",
        "cli-signed-in",
        "cli-currency",
        "cli-debits",
        "cli-debit-sum",
        "cli-credits",
        "cli-credit-sum",
        "cli-open-obligations",
    ];
    let rows = all.iter().map(|t| {
        [
            t.account.to_string(),
            shown(t.batch),
            ui.yes_no(t.signed_in),
            t.currency.to_string(),
            t.debit_count.to_string(),
            t.debit.clone(),
            t.credit_count.to_string(),
            t.credit.clone(),
            t.open_obligations.to_string(),
        ]
    });
    ui.table(header, rows)
}

fn rows(ui: &Ui, report: &TotalsReport, by: Option<ByName>) -> String {
    let by = match by {
        Some(ByName::Scheme) => By::Scheme,
        Some(ByName::Operator) => By::Operator,
        Some(ByName::Kind) | None => By::Kind,
    };
    let label = match by {
        By::Scheme => "label-scheme",
        By::Operator => "label-operator",
        By::Kind => "label-tid",
    };
    let rows = report.accounts.iter().flat_map(|a| {
        a.by(by).into_iter().map(move |(key, kind, count, minor)| {
            let key = if by == By::Kind { a.tid.clone() } else { key };
            [
                a.account.to_string(),
                key,
                ui.texts.word(kind),
                count.to_string(),
                a.currency.to_string(),
                decimal(minor, a.currency),
            ]
        })
    });
    ui.table(["label-account", label, "label-kind", "cli-count", "cli-currency", "label-amount"], rows)
}
