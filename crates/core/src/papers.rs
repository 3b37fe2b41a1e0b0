//! Papers: never none, never two originals. A job whose bytes may have left is printed again only as a duplicate.
use crate::{Effect, Machine};
use payterm_schema::{
    Fault, Notice, Outcome, Record, Time,
    config::DuplicatePolicy,
    paper::{PaperContent, PaperJob, PaperKind, PaperState, PrintResult, SlipCopy},
    time::Millis,
};

/// Greatest wait before an unprinted job is tried again.
const WAIT_MAX: Millis = Millis::secs(60);
/// A paper that the printer took so often without a confirmation is held for a person: a printer that never confirms would
/// print for ever, and no other paper would come.
const UNCONFIRMED_MAX: u32 = 5;

impl Machine {
    /// `attempts` = 1 for a reprint: it is never headed as an original.
    pub(crate) fn queue_paper(&mut self, kind: PaperKind, outcome: &Outcome, attempts: u32) {
        if !self.settings.printer {
            return;
        }
        let job = PaperJob::new(self.state.last_job + 1, kind, attempts, PaperContent::Outcome(Box::new(outcome.clone())));
        self.record(Some(outcome.txn), Record::PaperQueued { job: Box::new(job) });
    }

    fn next_paper(&self) -> Option<&PaperJob> {
        self.state.papers.values().find(|p| p.state == PaperState::Waiting)
    }

    pub(crate) fn paper_due(&self) -> Option<Time> {
        (self.printing.is_none() && self.next_paper().is_some()).then_some(self.paper_not_before)
    }

    /// One job at a time, in order.
    pub(crate) fn drive_papers(&mut self) {
        if self.printing.is_some() || self.paper_not_before > self.now {
            return;
        }
        let Some(job) = self.next_paper().cloned() else { return };
        self.printing = Some(job.id);
        let txn = job.transaction();
        self.record(txn, Record::PaperStarted { job: job.id });
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
        self.record(txn, Record::PaperEnded { job, result, hold });
        if done {
            self.paper_wait = Millis(i64::from(self.settings.paper.retry_ms));
            self.paper_not_before = self.now;
            self.tell(Notice::Paper { job: PaperJob { state: PaperState::Done, problem: None, ..ended } });
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
        let open: Vec<u64> = self.state.papers.values().filter(|p| p.state == PaperState::Printing).map(|p| p.id).collect();
        for job in open {
            self.paper_ended(job, PrintResult::Unconfirmed("restart".into()));
        }
        self.paper_not_before = self.now;
    }

    pub(crate) fn reprint(&mut self, call: u64, outcome: Outcome, copy: Option<SlipCopy>) {
        let kind = match outcome.status {
            payterm_schema::Status::Approved if outcome.kind.row().slip => match copy {
                Some(SlipCopy::Merchant) => PaperKind::MerchantCopy,
                Some(SlipCopy::Customer) | None => PaperKind::CustomerCopy,
            },
            payterm_schema::Status::Approved if outcome.kind == payterm_schema::Kind::Balance => PaperKind::BalanceSlip,
            payterm_schema::Status::Unknown => PaperKind::UnknownSlip,
            payterm_schema::Status::Approved
            | payterm_schema::Status::Running
            | payterm_schema::Status::Declined
            | payterm_schema::Status::Cancelled
            | payterm_schema::Status::Failed => return self.answer(call, Err(Fault::WrongState { rule: "this transaction has no slip".into() })),
        };
        if !self.settings.printer {
            return self.answer(call, Err(Fault::not_found("device", "printer")));
        }
        self.queue_paper(kind, &outcome, 1);
        self.answer(call, Ok(()));
    }

    pub(crate) fn release_paper(&mut self, call: u64, job: u64, print: bool, by: String) {
        match self.state.papers.get(&job).map(|p| (p.state, p.clone())) {
            Some((PaperState::Held, paper)) => {
                self.record(paper.transaction(), Record::PaperReleased { job, print, by });
                if !print {
                    self.tell(Notice::Paper { job: PaperJob { state: PaperState::GivenUp, ..paper } });
                }
                self.answer(call, Ok(()));
            }
            Some((PaperState::Waiting | PaperState::Printing | PaperState::Done | PaperState::GivenUp, _)) => {
                self.answer(call, Err(Fault::WrongState { rule: "the paper is not held".into() }))
            }
            None => self.answer(call, Err(Fault::not_found("paper", &job.to_string()))),
        }
    }
}
