//! `paytermctl cancel`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::Args;
use payterm_schema::Terminal;

/// Cancels a request that was not sent yet.
#[derive(Args)]
pub struct Cancel {
    id: String,
}

impl Cancel {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect_for(global, ui, &self.id).await?;
        bus.client.cancel(&bus.caller, &bus.key(&self.id).await?).await?;
        ui.done();
        Ok(0)
    }
}
