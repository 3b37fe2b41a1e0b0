//! Reports of the totals, and papers that an app asks for.
use crate::{Machine, State};
use payterm_schema::{
    Fault, PaperRecord, Time,
    config::AccountConfig,
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind, PaperRequest},
    totals::{AccountTotals, Scope, TotalsReport},
};

/// Papers of apps and reports that may wait at once: a printer that is out of paper must not fill the store.
const WAITING_MAX: usize = 16;

/// What a report says besides the totals.
pub struct ReportHead<'a> {
    pub scope: Scope,
    pub shop: &'a str,
    pub operator: &'a str,
    pub test: bool,
    pub now: Time,
}

impl Machine {
    /// Papers that are no transaction's may wait in a bounded number.
    pub(crate) fn room_for_papers(&self) -> bool {
        self.state.papers.values().filter(|p| p.outcome().is_none()).count() < WAITING_MAX
    }
}

impl State {
    /// The totals of these accounts, in their order.
    pub fn report<'a>(
        &self,
        head: &ReportHead<'_>,
        accounts: impl Iterator<Item = &'a AccountConfig>,
    ) -> TotalsReport {
        let account = |a: &AccountConfig| {
            let ledger = self.ledger(&a.id);
            let (rows, since) = match head.scope {
                Scope::Batch => (ledger.totals.clone(), ledger.totals_since),
                Scope::Shift => (ledger.shift.clone(), ledger.shift_since),
            };
            let side = |side| {
                let of = rows.iter().filter(|t| t.kind.row().side == side);
                of.fold((0, 0_u64), |(count, minor), t| (count + t.count, minor.saturating_add(t.minor)))
            };
            let (debit, credit) =
                (side(payterm_schema::kind::Side::Debit), side(payterm_schema::kind::Side::Credit));
            AccountTotals {
                account: a.id.clone(),
                currency: a.currency,
                mid: a.mid.to_string(),
                tid: a.tid.to_string(),
                batch: self.accounts.get(&a.id).map(|l| l.batch),
                since,
                rows,
                debit_count: debit.0,
                debit_minor: debit.1,
                credit_count: credit.0,
                credit_minor: credit.1,
            }
        };
        TotalsReport {
            scope: head.scope,
            shop: head.shop.into(),
            operator: head.operator.into(),
            until: head.now,
            accounts: accounts.map(account).collect(),
            test: head.test,
        }
    }
}

impl Machine {
    pub(crate) fn print(&mut self, call: u64, app: String, request: PaperRequest, content: Printable) {
        let kind = match &content {
            Printable::Page(_) => PaperKind::Page,
            Printable::Invoice(_) => PaperKind::InvoiceSlip,
            Printable::Drawer(_) => PaperKind::Drawer,
        };
        let job = PaperJob {
            app: Some(app),
            request: Some(request),
            ..PaperJob::new(self.state.last_job + 1, kind, 0, content.into())
        };
        self.queue_own(call, job);
    }

    pub(crate) fn print_report(&mut self, call: u64, app: String, scope: Scope) {
        let s = &self.settings;
        let head = ReportHead {
            scope,
            shop: &s.place.shop,
            operator: &self.operator(),
            test: s.test,
            now: self.now,
        };
        let report = self.state.report(&head, s.accounts.iter().map(|a| &a.config));
        let kind = match scope {
            Scope::Batch => PaperKind::TotalsReport,
            Scope::Shift => PaperKind::ShiftReport,
        };
        let job = PaperJob {
            app: Some(app),
            ..PaperJob::new(self.state.last_job + 1, kind, 0, PaperContent::Totals(Box::new(report)))
        };
        self.queue_own(call, job);
    }

    fn queue_own(&mut self, call: u64, job: PaperJob) {
        if !self.settings.printer {
            return self.answer(call, Err(Fault::not_found("device", "printer")));
        }
        if !self.room_for_papers() {
            return self.answer(
                call,
                Err(Fault::WrongState { rule: format!("{WAITING_MAX} papers wait for the printer already") }),
            );
        }
        self.record(None, PaperRecord::Queued { job: Box::new(job) });
        self.answer(call, Ok(()));
    }
}
