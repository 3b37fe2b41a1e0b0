//! `paytermctl pre-auth-cancel`.
use super::payment::{AuthorisationOf, Run, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::{Kind, request::RequestWire};

/// Frees what a pre-authorisation set aside 预授权撤销.
#[derive(Args)]
pub struct PreAuthCancel {
    #[command(flatten)]
    original: AuthorisationOf,
    /// What was set aside; needed where this terminal does not know it.
    #[arg(long, requires = "currency")]
    amount: Option<String>,
    #[arg(long, requires = "amount")]
    currency: Option<String>,
    #[command(flatten)]
    run: Run,
}

impl PreAuthCancel {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = RequestWire { amount: self.amount, currency: self.currency, ..self.original.wire() };
        pay(global, ui, Kind::PreAuthCancel, wire, self.run).await
    }
}
