//! `paytermctl sale`.
use super::payment::{Run, paid, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::{Kind, request::RequestWire};

/// Takes a payment 消费.
#[derive(Args)]
pub struct Sale {
    /// As a decimal number: 12.34.
    #[arg(long)]
    amount: String,
    /// ISO 4217 code: CNY.
    #[arg(long)]
    currency: String,
    #[command(flatten)]
    run: Run,
}

impl Sale {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = paid(self.amount, self.currency, RequestWire::default());
        pay(global, ui, Kind::Sale, wire, self.run).await
    }
}
