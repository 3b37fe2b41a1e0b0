//! Fold of the papers' records.
use super::State;
use payterm_schema::{
    PaperRecord,
    paper::{PaperContent, PaperState, PrintResult},
    totals::Scope,
};

impl State {
    pub(super) fn apply_paper(&mut self, record: &PaperRecord) {
        match record {
            PaperRecord::Queued { job } => {
                self.last_job = job.id;
                if matches!(&job.content, PaperContent::Totals(report) if report.scope == Scope::Shift)
                    && job.attempts == 0
                {
                    self.begin_shift();
                }
                self.papers.insert(job.id, (**job).clone());
            }
            PaperRecord::Started { job } => {
                if let Some(p) = self.papers.get_mut(job) {
                    p.state = PaperState::Printing;
                    p.attempts += 1;
                }
            }
            PaperRecord::Ended { job, result, hold, replaced } => {
                if let Some(p) = self.papers.get_mut(job) {
                    p.replaced = *replaced;
                }
                self.paper_ended(*job, result, *hold);
            }
            PaperRecord::Released { job, print, .. } => {
                if !print {
                    self.papers.remove(job);
                } else if let Some(p) = self.papers.get_mut(job) {
                    p.state = PaperState::Waiting;
                }
            }
        }
    }

    fn paper_ended(&mut self, job: u64, result: &PrintResult, hold: bool) {
        match result {
            PrintResult::Confirmed | PrintResult::SentUnconfirmable => {
                self.papers.remove(&job);
            }
            PrintResult::NotStarted(why) => {
                if let Some(p) = self.papers.get_mut(&job) {
                    p.state = PaperState::Waiting;
                    p.attempts = p.attempts.saturating_sub(1);
                    p.problem = Some(why.clone());
                }
            }
            PrintResult::Unconfirmed(why) => {
                if let Some(p) = self.papers.get_mut(&job) {
                    p.state = if hold { PaperState::Held } else { PaperState::Waiting };
                    p.problem = Some(why.clone());
                }
            }
        }
    }
}
