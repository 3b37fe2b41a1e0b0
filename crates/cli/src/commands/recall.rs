//! `paytermctl recall`.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    exit_of, show,
    ui::{Ui, pairs},
};
use clap::Args;
use payterm_schema::terminal::Transaction;

/// What has become of a request.
#[derive(Args)]
pub struct Recall {
    id: String,
}

impl Recall {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect_for(global, ui, &self.id).await?;
        let mut t = bus.recall(&self.id).await?;
        show::with_texts(ui, &mut t.outcome);
        ui.result(&t, || page(ui, &t));
        Ok(exit_of(&t.outcome))
    }
}

fn page(ui: &Ui, t: &Transaction) -> String {
    let more = [
        (ui.text("cli-phase"), ui.texts.word(t.phase)),
        (ui.text("cli-can-cancel"), ui.yes_no(t.can_cancel)),
    ];
    pairs(ui.texts.outcome_lines(&t.outcome, ui.zone()).into_iter().chain(more))
}
