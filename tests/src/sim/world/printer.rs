//! Mishap model of the printer. A paper is confirmed, not begun ("no paper"), or begun without a
//! confirmation, and then nobody knows how much of it is there. The spooler may die with a job in its hands:
//! then nothing is confirmed. A printer never says that it printed what it did not.
use super::{Event, World};
use payterm_schema::paper::{PaperJob, PrintResult};

impl World {
    pub(super) fn print(&mut self, job: &PaperJob, duplicate: bool) {
        let result = self.prints.pop_front().unwrap_or(PrintResult::Confirmed);
        self.count(format!(
            "print {}",
            match &result {
                PrintResult::Confirmed => "confirmed",
                PrintResult::SentUnconfirmable => "unconfirmable",
                PrintResult::NotStarted(_) => "not started",
                PrintResult::Unconfirmed(_) => "unconfirmed",
            }
        ));
        self.model.paper(job, duplicate, &result).unwrap_or_else(|breach| panic!("{breach}"));
        self.printed.push((job.id, duplicate, result.clone()));
        self.later(300, Event::Printed { job: job.id, result });
    }

    /// The spooler dies; what it had in its hands is unconfirmed.
    pub(super) fn spooler_dies(&mut self) {
        let job = self
            .events
            .iter()
            .find_map(|(id, e)| if let Event::Printed { job, .. } = e { Some((*id, *job)) } else { None });
        if let Some((id, job)) = job {
            self.count("mishap spooler died with a job");
            self.events.remove(&id);
            self.later(1, Event::Printed { job, result: PrintResult::Unconfirmed("spooler: gone".into()) });
        }
    }
}
