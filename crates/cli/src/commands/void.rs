//! `paytermctl void`.
use super::payment::{OriginalArg, Run, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::Kind;

/// Takes a sale of the open batch back 消费撤销.
#[derive(Args)]
pub struct Void {
    #[command(flatten)]
    original: OriginalArg,
    #[command(flatten)]
    run: Run,
}

impl Void {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        pay(global, ui, Kind::Void, self.original.wire(), self.run).await
    }
}
