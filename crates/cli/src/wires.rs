//! What a payment is of: amounts and originals on the command line, and in a request.
use crate::args::Run;
use clap::Args;
use payterm_schema::request::RequestWire;

#[derive(Args)]
pub struct Paid {
    /// As people write it: 12.34.
    #[arg(long)]
    pub amount: String,
    /// ISO 4217 code: CNY.
    #[arg(long)]
    pub currency: String,
    #[command(flatten)]
    pub run: Run,
}

#[derive(Args)]
pub struct RefundOf {
    /// Request id of the payment.
    #[arg(long, value_name = "ID", required_unless_present = "rrn", conflicts_with = "rrn")]
    pub original_id: Option<String>,
    /// RRN 检索参考号 of the payment (F37), with its date.
    #[arg(long, requires = "date")]
    pub rrn: Option<String>,
    /// MMDD.
    #[arg(long, requires = "rrn")]
    pub date: Option<String>,
}

#[derive(Args)]
pub struct AuthorisationOf {
    /// Request id of the pre-authorisation.
    #[arg(long, value_name = "ID", required_unless_present = "auth_code", conflicts_with = "auth_code")]
    pub original_id: Option<String>,
    /// Authorisation code 授权码 of the pre-authorisation (F38), with its date.
    #[arg(long, requires = "date")]
    pub auth_code: Option<String>,
    /// MMDD.
    #[arg(long, requires = "auth_code")]
    pub date: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct OriginalArg {
    /// Request id of the sale.
    #[arg(long, value_name = "ID")]
    pub original_id: Option<String>,
    /// RRN 检索参考号 of the sale (F37).
    #[arg(long)]
    pub rrn: Option<String>,
    /// STAN 凭证号 of the sale in the open batch (F11).
    #[arg(long)]
    pub stan: Option<u32>,
}

pub fn of(o: OriginalArg) -> RequestWire {
    RequestWire {
        original_id: o.original_id,
        original_rrn: o.rrn,
        original_stan: o.stan,
        ..RequestWire::default()
    }
}
pub fn authorisation(o: AuthorisationOf) -> RequestWire {
    RequestWire {
        original_id: o.original_id,
        original_auth_code: o.auth_code,
        original_date: o.date,
        ..RequestWire::default()
    }
}
pub fn paid(amount: String, currency: String, wire: RequestWire) -> RequestWire {
    RequestWire { amount: Some(amount), currency: Some(currency), ..wire }
}
