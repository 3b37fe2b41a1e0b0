//! `paytermctl wait`.
use super::payment;
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::Args;

/// Waits for the outcome of a request; Ctrl-C leaves it running.
#[derive(Args)]
pub struct Wait {
    /// The request's id; app/id for another app's (managers).
    id: String,
    /// Do not return with "unknown": wait for the final outcome, however long that takes.
    #[arg(long = "final")]
    final_only: bool,
}

impl Wait {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect_for(global, ui, &self.id).await?;
        let key = bus.key(&self.id).await?;
        payment::wait(&bus, ui, &key, self.final_only).await
    }
}
