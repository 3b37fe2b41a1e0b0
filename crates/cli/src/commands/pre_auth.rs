//! `paytermctl pre-auth`.
use super::payment::{Paid, paid, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::{Kind, request::RequestWire};

/// Sets an amount of a card aside 预授权.
#[derive(Args)]
pub struct PreAuth {
    #[command(flatten)]
    paid: Paid,
}

impl PreAuth {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = paid(self.paid.amount, self.paid.currency, RequestWire::default());
        pay(global, ui, Kind::PreAuth, wire, self.paid.run).await
    }
}
