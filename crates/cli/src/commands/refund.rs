//! `paytermctl refund`.
use super::payment::{Run, pay};
use crate::{Failure, args::Global, ui::Ui};
use clap::Args;
use payterm_schema::{Kind, request::RequestWire};

/// Gives a payment back, the whole or a part 退货.
#[derive(Args)]
pub struct Refund {
    /// Request id of the payment.
    #[arg(long, value_name = "ID", required_unless_present = "rrn", conflicts_with = "rrn")]
    original_id: Option<String>,
    /// RRN 检索参考号 of the payment (F37), with its date.
    #[arg(long, requires = "date")]
    rrn: Option<String>,
    /// MMDD.
    #[arg(long, requires = "rrn")]
    date: Option<String>,
    /// The part; without it all that is left.
    #[arg(long, requires = "currency")]
    amount: Option<String>,
    #[arg(long, requires = "amount")]
    currency: Option<String>,
    #[command(flatten)]
    run: Run,
}

impl Refund {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let wire = RequestWire {
            original_id: self.original_id,
            original_rrn: self.rrn,
            original_date: self.date,
            amount: self.amount,
            currency: self.currency,
            ..RequestWire::default()
        };
        pay(global, ui, Kind::Refund, wire, self.run).await
    }
}
