//! `paytermctl explain`.
use crate::{Failure, args::Global, bus::Bus, dispute, ui::Ui};
use clap::Args;
use payterm_schema::Terminal;

/// The dispute page: everything that happened in a request.
#[derive(Args)]
pub struct Explain {
    /// Its id, app/id, or the reference for customer service that stands on its screen and slip
    /// (R0001-17).
    id: String,
}

impl Explain {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect_for(global, ui, &self.id).await?;
        let key = match bus.by_reference(&self.id).await? {
            Some(outcome) => outcome.key,
            None => bus.key(&self.id).await?,
        };
        let page = bus.client.explain(&bus.caller, &key).await?;
        ui.result(&page, || dispute::page(ui, &page));
        Ok(0)
    }
}
