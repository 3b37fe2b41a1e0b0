//! Papers: never none, never two originals. A job whose bytes may have left is printed again only as a
//! duplicate.
use crate::{Effect, ReportHead, Wake, context::Context, io::Timer};
use payterm_schema::{
    Fault, Kind, Notice, Outcome, PaperRecord, Record, Status, Time,
    caller::TERMINAL,
    config::DuplicatePolicy,
    page::Printable,
    paper::{PaperContent, PaperJob, PaperKind, PaperRequest, PaperState, PrintResult, SlipCopy},
    time::Millis,
    totals::Scope,
};
use std::sync::Arc;

/// Greatest wait before an unprinted job is tried again.
const WAIT_MAX: Millis = Millis::secs(60);
/// A paper that the printer took so often without a confirmation is held for a person: a printer that never
/// confirms would print for ever, and no other paper would come.
const UNCONFIRMED_MAX: u32 = 5;
/// Papers of apps and reports that may wait at once: a printer that is out of paper must not fill the store.
const WAITING_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Papers {
    /// The paper at the printer.
    printing: Option<u64>,
    not_before: Time,
    wait: Millis,
}

/// Papers that are no transaction's may wait in a bounded number.
pub(crate) fn room_for_papers(cx: &Context) -> bool {
    cx.state.papers.values().filter(|p| p.outcome().is_none()).count() < WAITING_MAX
}

/// In their order, but for what is done now or never.
fn next_paper(cx: &Context) -> Option<&PaperJob> {
    let waiting = || cx.state.papers.values().filter(|p| p.state == PaperState::Waiting);
    waiting().find(|p| p.at_most_once()).or_else(|| waiting().next())
}

impl Papers {
    pub fn new(cx: &Context) -> Self {
        let wait = Millis(i64::from(cx.settings.paper.retry_ms));
        Self { printing: None, not_before: Time(i64::MIN), wait }
    }
    pub fn poll_timeout(&self, cx: &Context) -> Option<Wake> {
        self.paper_due(cx).map(|at| Wake { at, timer: Timer::Paper })
    }

    fn paper_due(&self, cx: &Context) -> Option<Time> {
        let next = next_paper(cx).filter(|_| self.printing.is_none())?;
        Some(if next.at_most_once() { cx.now } else { self.not_before })
    }

    /// One job at a time, in order.
    pub fn drive(&mut self, cx: &mut Context) {
        if self.paper_due(cx).is_none_or(|t| t > cx.now) {
            return;
        }
        let Some(job) = next_paper(cx).cloned() else { return };
        self.printing = Some(job.id);
        let txn = job.transaction();
        cx.record(txn, Record::Paper(PaperRecord::Started { job: job.id }));
        let duplicate = job.attempts > 0;
        cx.effect(Effect::Print { job: Box::new(job), duplicate });
    }

    pub fn printed(&mut self, cx: &mut Context, job: u64, result: PrintResult, replaced: u32) {
        if self.printing != Some(job) {
            return; // Another run's job: it was recovered at boot.
        }
        self.printing = None;
        self.paper_ended(cx, job, result, replaced);
    }

    fn paper_ended(&mut self, cx: &mut Context, job: u64, result: PrintResult, replaced: u32) {
        let Some(paper) = cx.state.papers.get(&job) else { return };
        let (txn, ended) = (paper.transaction(), paper.clone());
        let done = matches!(result, PrintResult::Confirmed | PrintResult::SentUnconfirmable);
        let hold = cx.settings.paper.duplicate == DuplicatePolicy::Ask || paper.attempts >= UNCONFIRMED_MAX;
        let problem = match &result {
            PrintResult::NotStarted(why) | PrintResult::Unconfirmed(why) => Some(why.clone()),
            PrintResult::Confirmed | PrintResult::SentUnconfirmable => None,
        };
        cx.record(txn, Record::Paper(PaperRecord::Ended { job, result, hold, replaced }));
        if done {
            self.wait = Millis(i64::from(cx.settings.paper.retry_ms));
            self.not_before = cx.now;
            cx.tell(Notice::Paper {
                job: PaperJob { state: PaperState::Done, problem: None, replaced, ..ended },
            });
        } else if ended.at_most_once() {
            cx.record(txn, Record::Paper(PaperRecord::Released { job, print: false, by: TERMINAL.into() }));
            cx.tell(Notice::Paper { job: PaperJob { state: PaperState::GivenUp, problem, ..ended } });
        } else {
            self.not_before = cx.now + self.wait;
            self.wait = Millis((self.wait.0 * 2).min(WAIT_MAX.0));
            if let Some(p) = cx.state.papers.get(&job).cloned() {
                cx.tell(Notice::Paper { job: p });
            }
        }
    }

    pub fn printer_ready(&mut self, cx: &mut Context) {
        self.not_before = cx.now;
        self.wait = Millis(i64::from(cx.settings.paper.retry_ms));
    }

    /// Jobs that were at the printer when the last run ended: their bytes may be on paper.
    pub fn boot(&mut self, cx: &mut Context) {
        let open: Vec<u64> =
            cx.state.papers.values().filter(|p| p.state == PaperState::Printing).map(|p| p.id).collect();
        for job in open {
            self.paper_ended(cx, job, PrintResult::Unconfirmed("restart".into()), 0);
        }
        // Nobody stands at the drawer any more.
        let stale: Vec<u64> = cx.state.papers.values().filter(|p| p.at_most_once()).map(|p| p.id).collect();
        for job in stale {
            self.paper_ended(cx, job, PrintResult::NotStarted("restart".into()), 0);
        }
        self.not_before = cx.now;
    }

    pub fn reprint(&mut self, cx: &mut Context, call: u64, outcome: Arc<Outcome>, copy: Option<SlipCopy>) {
        let kind = match outcome.status {
            Status::Approved if outcome.kind.row().slip => match copy {
                Some(SlipCopy::Merchant) => PaperKind::MerchantCopy,
                Some(SlipCopy::Customer) | None => PaperKind::CustomerCopy,
            },
            Status::Approved if outcome.kind == Kind::Balance => PaperKind::BalanceSlip,
            Status::Unknown => PaperKind::UnknownSlip,
            Status::Approved | Status::Running | Status::Declined | Status::Cancelled | Status::Failed => {
                return cx
                    .answer(call, Err(Fault::WrongState { rule: "this transaction has no slip".into() }));
            }
        };
        if !cx.settings.printer {
            return cx.answer(call, Err(Fault::not_found("device", "printer")));
        }
        cx.queue_paper(kind, outcome, 1);
        cx.answer(call, Ok(()));
    }

    pub fn release(&mut self, cx: &mut Context, call: u64, job: u64, print: bool, by: String) {
        match cx.state.papers.get(&job).map(|p| (p.state, p.clone())) {
            Some((PaperState::Held, paper)) => {
                cx.record(paper.transaction(), Record::Paper(PaperRecord::Released { job, print, by }));
                if !print {
                    cx.tell(Notice::Paper { job: PaperJob { state: PaperState::GivenUp, ..paper } });
                }
                cx.answer(call, Ok(()));
            }
            Some((
                PaperState::Waiting | PaperState::Printing | PaperState::Done | PaperState::GivenUp,
                _,
            )) => cx.answer(call, Err(Fault::WrongState { rule: "the paper is not held".into() })),
            None => cx.answer(call, Err(Fault::not_found("paper", &job.to_string()))),
        }
    }

    pub fn print(&self, cx: &mut Context, call: u64, app: String, request: PaperRequest, content: Printable) {
        let kind = match &content {
            Printable::Page(_) => PaperKind::Page,
            Printable::Invoice(_) => PaperKind::InvoiceSlip,
            Printable::Drawer(_) => PaperKind::Drawer,
        };
        let job = PaperJob {
            app: Some(app),
            request: Some(request),
            ..PaperJob::new(cx.state.last_job + 1, kind, 0, content.into())
        };
        queue_own(cx, call, job);
    }

    pub fn print_report(&self, cx: &mut Context, call: u64, app: String, scope: Scope) {
        let s = &cx.settings;
        let head =
            ReportHead { scope, shop: &s.place.shop, operator: &cx.operator(), test: s.test, now: cx.now };
        let report = cx.state.report(&head, s.accounts.iter().map(|a| &a.config));
        let kind = match scope {
            Scope::Batch => PaperKind::TotalsReport,
            Scope::Shift => PaperKind::ShiftReport,
        };
        let job = PaperJob {
            app: Some(app),
            ..PaperJob::new(cx.state.last_job + 1, kind, 0, PaperContent::Totals(Box::new(report)))
        };
        queue_own(cx, call, job);
    }
}

fn queue_own(cx: &mut Context, call: u64, job: PaperJob) {
    if !cx.settings.printer {
        return cx.answer(call, Err(Fault::not_found("device", "printer")));
    }
    if !room_for_papers(cx) {
        return cx.answer(
            call,
            Err(Fault::WrongState { rule: format!("{WAITING_MAX} papers wait for the printer already") }),
        );
    }
    cx.record(None, PaperRecord::Queued { job: Box::new(job) });
    cx.answer(call, Ok(()));
}
