//! `paytermctl tip`.
use super::payment::{OriginalArg, Paid, paid, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::Kind;

/// Adds a tip to a sale of the open batch 小费调整.
#[derive(Args)]
pub struct Tip {
    #[command(flatten)]
    original: OriginalArg,
    #[command(flatten)]
    paid: Paid,
}

impl Tip {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = paid(self.paid.amount, self.paid.currency, self.original.wire());
        pay(global, ui, Kind::TipAdjust, wire, self.paid.run).await
    }
}
