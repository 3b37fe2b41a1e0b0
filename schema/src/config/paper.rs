//! Tables `[paper]` and `[self_test]`.
use super::Rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Slips and the printer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaperConfig {
    /// The merchant's copy 商户存根 is printed. Default true.
    pub merchant_copy: bool,
    /// The customer's copy 持卡人存根 is printed. Default true.
    pub customer_copy: bool,
    /// Treatment of a slip that the printer did not confirm. Default `print`.
    pub duplicate: DuplicatePolicy,
    /// First wait before a paper that could not be printed is tried again; doubles up to 60 s. Default 2,000.
    pub retry_ms: u32,
    /// A payment that ends with a slip is refused before the card is asked for while the printer cannot
    /// print. Default false: the payment is taken and its slip waits.
    pub required: bool,
    /// Content of the QR code on slips, with the places `{rrn}`, `{stan}`, `{batch}`, `{mid}`, `{tid}`,
    /// `{amount}`. Default empty = none.
    pub qr: String,
    /// Content of the QR code by which the customer asks for an invoice 扫码开票, on the customer's copy; places
    /// as in `qr`. Default empty = none.
    pub invoice_qr: String,
    /// Directory of the shop's own templates (docs/templates.md). Default none: the built-in ones.
    pub templates: Option<PathBuf>,
    /// Font of the shop, TrueType or OpenType, in which characters that the printer lacks are drawn
    /// (docs/vendors.md). Default none: they are replaced and counted.
    pub font: Option<PathBuf>,
}
/// Treatment of a slip that the printer did not confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    /// Slip is printed again, headed 重打印 / DUPLICATE.
    Print,
    /// Slip is held until the cashier has it printed or gives it up.
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
            qr: String::new(),
            invoice_qr: String::new(),
            templates: None,
            font: None,
        }
    }
}

/// Self-test of devices, journal, clock, keys and lines: after the start, on demand, and on a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTestConfig {
    /// Hours between two self-tests, 0 to 168; 0 = only after the start and on demand. Default 24: once a day
    /// of a shop that never closes.
    pub every_hours: u16,
    /// Reports of the start and the schedule that are printed. Default `never`.
    pub print: SelfTestPrint,
    /// An echo is sent to each account that has nothing else to do. Default true; false where the acquirer
    /// forbids it.
    pub host: bool,
    /// Free space beside the journal, MiB, below which the store counts as degraded. Default 100: some
    /// hundred thousand transactions.
    pub free_mib: u32,
}
/// Reports of the self-test that are printed without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfTestPrint {
    /// No report.
    Never,
    /// Reports in which something is degraded or failed.
    Failures,
    /// Every report.
    Always,
}
impl Default for SelfTestConfig {
    fn default() -> Self {
        Self { every_hours: 24, print: SelfTestPrint::Never, host: true, free_mib: 100 }
    }
}

impl SelfTestConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        rules.hold(self.every_hours <= 168, "every_hours", "0 to 168");
    }
}
