//! Papers: never none, never two originals. A job whose bytes may have left is printed again only as a
//! duplicate.
use crate::{Effect, Machine};
use payterm_schema::{
    Fault, Kind, Notice, Outcome, PaperRecord, Record, Status, Time,
    caller::TERMINAL,
    config::DuplicatePolicy,
    paper::{PaperContent, PaperJob, PaperKind, PaperState, PrintResult, SlipCopy},
    record::OutcomePaper,
    time::Millis,
};
use std::sync::Arc;

/// Greatest wait before an unprinted job is tried again.
const WAIT_MAX: Millis = Millis::secs(60);
/// A paper that the printer took so often without a confirmation is held for a person: a printer that never
/// confirms would print for ever, and no other paper would come.
const UNCONFIRMED_MAX: u32 = 5;

impl Machine {
    /// One that does not come with its outcome. `attempts` = 1 for a reprint: it is never headed as an
    /// original.
    pub(crate) fn queue_paper(&mut self, kind: PaperKind, outcome: Arc<Outcome>, attempts: u32) {
        if !self.settings.printer {
            return;
        }
        let (txn, job) = (
            outcome.txn,
            PaperJob::new(self.state.last_job + 1, kind, attempts, PaperContent::Outcome(outcome)),
        );
        self.record(Some(txn), PaperRecord::Queued { job: Box::new(job) });
    }

    /// The papers that come with this outcome.
    pub(crate) fn papers_of(&self, outcome: &Outcome) -> Vec<OutcomePaper> {
        let paper = &self.settings.paper;
        let kinds = match outcome.status {
            _ if !self.settings.printer => [None, None],
            Status::Approved if outcome.kind.row().slip => [
                paper.merchant_copy.then_some(PaperKind::MerchantCopy),
                paper.customer_copy.then_some(PaperKind::CustomerCopy),
            ],
            // Nobody was to be charged: the account waits, and says so.
            Status::Unknown if outcome.kind == Kind::Settlement => [None, None],
            Status::Unknown => [Some(PaperKind::UnknownSlip), None],
            Status::Approved if outcome.kind == Kind::Settlement => [Some(PaperKind::SettlementReport), None],
            Status::Approved | Status::Running | Status::Declined | Status::Cancelled | Status::Failed => {
                [None, None]
            }
        };
        kinds
            .into_iter()
            .flatten()
            .zip(self.state.last_job + 1..)
            .map(|(kind, job)| OutcomePaper { job, kind })
            .collect()
    }

    /// In their order, but for what is done now or never.
    fn next_paper(&self) -> Option<&PaperJob> {
        let waiting = || self.state.papers.values().filter(|p| p.state == PaperState::Waiting);
        waiting().find(|p| p.at_most_once()).or_else(|| waiting().next())
    }

    pub(crate) fn paper_due(&self) -> Option<Time> {
        let next = self.next_paper().filter(|_| self.printing.is_none())?;
        Some(if next.at_most_once() { self.now } else { self.paper_not_before })
    }

    /// One job at a time, in order.
    pub(crate) fn drive_papers(&mut self) {
        if self.paper_due().is_none_or(|t| t > self.now) {
            return;
        }
        let Some(job) = self.next_paper().cloned() else { return };
        self.printing = Some(job.id);
        let txn = job.transaction();
        self.record(txn, Record::Paper(PaperRecord::Started { job: job.id }));
        let duplicate = job.attempts > 0;
        self.effect(Effect::Print { job: Box::new(job), duplicate });
    }

    pub(crate) fn printed(&mut self, job: u64, result: PrintResult) {
        if self.printing != Some(job) {
            return; // Another run's job: it was recovered at boot.
        }
        self.printing = None;
        self.paper_ended(job, result);
    }

    fn paper_ended(&mut self, job: u64, result: PrintResult) {
        let Some(paper) = self.state.papers.get(&job) else { return };
        let (txn, ended) = (paper.transaction(), paper.clone());
        let done = matches!(result, PrintResult::Confirmed | PrintResult::SentUnconfirmable);
        let hold = self.settings.paper.duplicate == DuplicatePolicy::Ask || paper.attempts >= UNCONFIRMED_MAX;
        let problem = match &result {
            PrintResult::NotStarted(why) | PrintResult::Unconfirmed(why) => Some(why.clone()),
            PrintResult::Confirmed | PrintResult::SentUnconfirmable => None,
        };
        self.record(txn, Record::Paper(PaperRecord::Ended { job, result, hold }));
        if done {
            self.paper_wait = Millis(i64::from(self.settings.paper.retry_ms));
            self.paper_not_before = self.now;
            self.tell(Notice::Paper { job: PaperJob { state: PaperState::Done, problem: None, ..ended } });
        } else if ended.at_most_once() {
            self.record(txn, Record::Paper(PaperRecord::Released { job, print: false, by: TERMINAL.into() }));
            self.tell(Notice::Paper { job: PaperJob { state: PaperState::GivenUp, problem, ..ended } });
        } else {
            self.paper_not_before = self.now + self.paper_wait;
            self.paper_wait = Millis((self.paper_wait.0 * 2).min(WAIT_MAX.0));
            if let Some(p) = self.state.papers.get(&job).cloned() {
                self.tell(Notice::Paper { job: p });
            }
        }
    }

    pub(crate) fn printer_ready(&mut self) {
        self.paper_not_before = self.now;
        self.paper_wait = Millis(i64::from(self.settings.paper.retry_ms));
    }

    /// Jobs that were at the printer when the last run ended: their bytes may be on paper.
    pub(crate) fn recover_papers(&mut self) {
        let open: Vec<u64> =
            self.state.papers.values().filter(|p| p.state == PaperState::Printing).map(|p| p.id).collect();
        for job in open {
            self.paper_ended(job, PrintResult::Unconfirmed("restart".into()));
        }
        // Nobody stands at the drawer any more.
        let stale: Vec<u64> = self.state.papers.values().filter(|p| p.at_most_once()).map(|p| p.id).collect();
        for job in stale {
            self.paper_ended(job, PrintResult::NotStarted("restart".into()));
        }
        self.paper_not_before = self.now;
    }

    pub(crate) fn reprint(&mut self, call: u64, outcome: Arc<Outcome>, copy: Option<SlipCopy>) {
        let kind = match outcome.status {
            Status::Approved if outcome.kind.row().slip => match copy {
                Some(SlipCopy::Merchant) => PaperKind::MerchantCopy,
                Some(SlipCopy::Customer) | None => PaperKind::CustomerCopy,
            },
            Status::Approved if outcome.kind == Kind::Balance => PaperKind::BalanceSlip,
            Status::Unknown => PaperKind::UnknownSlip,
            Status::Approved | Status::Running | Status::Declined | Status::Cancelled | Status::Failed => {
                return self
                    .answer(call, Err(Fault::WrongState { rule: "this transaction has no slip".into() }));
            }
        };
        if !self.settings.printer {
            return self.answer(call, Err(Fault::not_found("device", "printer")));
        }
        self.queue_paper(kind, outcome, 1);
        self.answer(call, Ok(()));
    }

    pub(crate) fn release_paper(&mut self, call: u64, job: u64, print: bool, by: String) {
        match self.state.papers.get(&job).map(|p| (p.state, p.clone())) {
            Some((PaperState::Held, paper)) => {
                self.record(paper.transaction(), Record::Paper(PaperRecord::Released { job, print, by }));
                if !print {
                    self.tell(Notice::Paper { job: PaperJob { state: PaperState::GivenUp, ..paper } });
                }
                self.answer(call, Ok(()));
            }
            Some((
                PaperState::Waiting | PaperState::Printing | PaperState::Done | PaperState::GivenUp,
                _,
            )) => self.answer(call, Err(Fault::WrongState { rule: "the paper is not held".into() })),
            None => self.answer(call, Err(Fault::not_found("paper", &job.to_string()))),
        }
    }
}
