//! `paytermctl completion-cancel`.
use super::payment::{OriginalArg, Run, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::Kind;

/// Takes a completion of the open batch back 预授权完成撤销.
#[derive(Args)]
pub struct CompletionCancel {
    #[command(flatten)]
    original: OriginalArg,
    #[command(flatten)]
    run: Run,
}

impl CompletionCancel {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        pay(global, ui, Kind::CompletionCancel, self.original.wire(), self.run).await
    }
}
