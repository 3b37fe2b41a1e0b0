//! Sums, and what the acquirer says of them.
use crate::{
    row::{Interface, methods},
    types::{Dicts, Json, Text},
};
use payterm_schema::{
    AccountId,
    reconciliation::Reconciliation,
    terminal::BatchTotals,
    totals::{Scope, TotalsReport},
};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Batch";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: METHODS, properties: &[], signals: &[] };

methods! { NAME;
    /// Counts and sums of each account's open batch.
    Totals() -> totals: Dicts<BatchTotals> [Apps, Nobodys, Moment]
        |asked| asked.terminal().totals(asked.caller).await;
    /// Totals of scope batch or shift by account, scheme, kind and operator, as a JSON text. Managers
    /// only.
    Report(scope: Text<Scope>) -> json: Json<TotalsReport> [Managers, All, Moment]
        |asked| asked.terminal().report(asked.caller, scope).await;
    /// Compares the acquirer's file of a settled batch (CSV, docs/integrator.md) with the journal; answers
    /// the differences as a JSON text. account may be empty when there is one only. Managers only.
    Reconcile(account: Text<Option<AccountId>>, file: String) -> json: Json<Reconciliation>
        [Managers, All, Moment] |asked| asked.terminal().reconcile(asked.caller, account, file).await;
    /// Queues that report for printing; a shift's ends the shift. Managers only.
    PrintReport(scope: Text<Scope>) [Managers, All, Moment]
        |asked| asked.terminal().print_report(asked.caller, scope).await;
}
