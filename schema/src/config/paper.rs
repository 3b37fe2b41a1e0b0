//! Tables `[paper]` and `[self_test]`.
use crate::fault::Fault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaperConfig {
    /// Print the merchant's copy 商户存根. Default true.
    pub merchant_copy: bool,
    /// Print the customer's copy 持卡人存根. Default true.
    pub customer_copy: bool,
    /// An unconfirmed slip is printed again as a duplicate (`print`, default), or held for the cashier
    /// (`ask`).
    pub duplicate: DuplicatePolicy,
    /// First wait before an unprinted job is tried again; doubles up to 60 s. Default 2,000.
    pub retry_ms: u32,
    /// A payment that ends with a slip is refused before the card is asked for while the printer cannot
    /// print. Default false: the payment is taken and its slip waits.
    pub required: bool,
    /// Content of the slip's QR code with `{rrn}`, `{stan}`, `{batch}`, `{mid}`, `{tid}`,
    /// `{amount}`; empty = none.
    pub qr: String,
    /// Content of the code by which the customer asks for an invoice 扫码开票, on the customer's copy; places as
    /// in `qr`. Default empty = none.
    pub invoice_qr: String,
    /// Directory of the shop's own templates (docs/templates.md). Default none: the built-in ones.
    pub templates: Option<PathBuf>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    Print,
    Ask,
}
impl Default for PaperConfig {
    fn default() -> Self {
        Self {
            merchant_copy: true,
            customer_copy: true,
            duplicate: DuplicatePolicy::Print,
            retry_ms: 2_000,
            required: false,
            qr: "payterm:{mid}:{tid}:{batch}:{stan}:{rrn}".into(),
            invoice_qr: String::new(),
            templates: None,
        }
    }
}

/// The self-test: always run after the start, on demand, and on a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTestConfig {
    /// Run again after this many hours, 0 to 168; 0 = never. Default 24: once a day of a shop that never
    /// closes.
    pub every_hours: u16,
    /// Which reports of the start and the schedule go on paper: `never` (default), `failures`, `always`.
    pub print: SelfTestPrint,
    /// Send an echo to each account that has nothing else to do. Default true; false where the acquirer
    /// forbids it.
    pub host: bool,
    /// Free space beside the journal below which the store is degraded, MiB. Default 100: some hundred
    /// thousand transactions.
    pub free_mib: u32,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfTestPrint {
    Never,
    /// Those in which something is degraded or failed.
    Failures,
    Always,
}
impl Default for SelfTestConfig {
    fn default() -> Self {
        Self { every_hours: 24, print: SelfTestPrint::Never, host: true, free_mib: 100 }
    }
}

impl SelfTestConfig {
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.every_hours > 168 {
            return Err(Fault::invalid("self_test.every_hours", "0 to 168"));
        }
        Ok(())
    }
}
