//! `[account.offline]`: payments that the merchant accepts at its own risk while the host cannot be reached.
use super::BinRange;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Payments at the merchant's risk. All limits are of what is at risk at one time: a payment that was
/// forwarded, refused or written off counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OfflineConfig {
    /// A swiped sale whose message could not leave is accepted, and told to the acquirer later; not one whose
    /// PIN is asked for, which without `[flow.no_cvm]` (`modes` with `swipe`) is every card. Default false:
    /// the merchant bears what the acquirer then refuses.
    pub merchant: bool,
    /// Greatest amount of one payment, minor units. Default 10,000 (100.00): what a shop can bear to lose at
    /// once.
    pub per_transaction: u64,
    /// Greatest sum of one card, minor units. Default 20,000 (200.00).
    pub per_card: u64,
    /// Greatest number of payments of one card. Default 3: a stolen card is found out soon.
    pub per_card_count: u32,
    /// Greatest sum of the account, minor units. Default 500,000 (5,000.00).
    pub total: u64,
    /// Greatest number of payments of the account. Default 200.
    pub total_count: u32,
    /// Hours since the host was last heard, 1 to 720; after that nothing is accepted. Default 24: a terminal
    /// that is cut off for long may be stolen.
    pub contact_hours: u32,
    /// Only cards in these ranges, from-to as in `route.bin`. Default empty: all.
    pub bins: Vec<BinRange>,
    /// Never cards in these ranges, from-to as in `route.bin`. Default empty.
    pub refused_bins: Vec<BinRange>,
}
impl Default for OfflineConfig {
    fn default() -> Self {
        Self {
            merchant: false,
            per_transaction: 10_000,
            per_card: 20_000,
            per_card_count: 3,
            total: 500_000,
            total_count: 200,
            contact_hours: 24,
            bins: Vec::new(),
            refused_bins: Vec::new(),
        }
    }
}
impl OfflineConfig {
    /// Checks the limits; the error is the key and the rule.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(1..=720).contains(&self.contact_hours) {
            return Err(("contact_hours", "1 to 720"));
        }
        let sums =
            [("per_transaction", self.per_transaction), ("per_card", self.per_card), ("total", self.total)];
        if let Some((key, _)) = sums.into_iter().find(|(_, v)| *v > crate::money::MAX_MINOR) {
            return Err((key, "up to 999999999999"));
        }
        Ok(())
    }
}
