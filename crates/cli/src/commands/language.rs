//! `paytermctl language`.
use crate::{
    Failure,
    args::{Global, Lang},
    bus::Bus,
    ui::Ui,
};
use clap::Args;
use payterm_schema::Terminal;

/// Sets the language of screens, papers and texts (managers).
#[derive(Args)]
pub struct SetLanguage {
    #[arg(value_enum)]
    language: Lang,
}

impl SetLanguage {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let bus = Bus::connect(global, ui).await?;
        bus.client.set_language(&bus.caller, self.language.into()).await?;
        ui.done();
        Ok(0)
    }
}
