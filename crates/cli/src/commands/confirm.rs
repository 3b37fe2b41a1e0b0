//! `paytermctl confirm`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::{Args, ValueEnum};
use payterm_schema::Terminal;

/// Answers the question whether a request shall be run.
#[derive(Args)]
pub struct Confirm {
    id: String,
    answer: YesNo,
}

impl Confirm {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect_for(global, ui, &self.id).await?;
        let key = bus.key(&self.id).await?;
        bus.client.confirm(&bus.caller, &key, self.answer == YesNo::Yes).await?;
        ui.done();
        Ok(0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    Yes,
    No,
}
