//! `paytermctl voice-sale`.
use super::payment::{Paid, paid, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::{Kind, request::RequestWire};

/// A sale that the issuer authorised by telephone 离线结算.
#[derive(Args)]
pub struct VoiceSale {
    /// The code that the issuer gave: 6 letters or digits.
    #[arg(long)]
    auth_code: String,
    #[command(flatten)]
    paid: Paid,
}

impl VoiceSale {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = RequestWire { auth_code: Some(self.auth_code), ..RequestWire::default() };
        let wire = paid(self.paid.amount, self.paid.currency, wire);
        pay(global, ui, Kind::VoiceSale, wire, self.paid.run).await
    }
}
