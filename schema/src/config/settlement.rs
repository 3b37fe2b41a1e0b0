//! Table `[settlement]`: when batches are closed, and how large they get.
use super::{Rules, TimeOfDay};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settlement of the accounts' batches 批结算.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettlementConfig {
    /// Time of day `HH:MM`, by the host's clock, at which each account whose batch holds records is settled
    /// by itself; a time that passed without power is made up for. Default none: a person settles.
    pub at: Option<TimeOfDay>,
    /// Minutes before `at` at which a person is reminded, 0 to 1439; 0 = never. Default 10.
    pub remind_minutes: u32,
    /// Hours for which a batch may be open before a person is reminded, 0 to 720; 0 = never. Default 24:
    /// acquirers want one settlement a day.
    pub remind_after_hours: u32,
    /// Records of a batch, 1 to 900; then nothing is taken that would add one. Default 500: what POS hosts
    /// take in one batch by custom; the totals have room for 999 of each side.
    pub batch_max: u32,
    /// Greatest wait until everything that the account owes is answered or Stuck, before the totals are sent.
    /// Default 180,000: three answers that do not come.
    pub clear_timeout_ms: u32,
}
impl Default for SettlementConfig {
    fn default() -> Self {
        Self {
            at: None,
            remind_minutes: 10,
            remind_after_hours: 24,
            batch_max: 500,
            clear_timeout_ms: 180_000,
        }
    }
}

impl SettlementConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        rules.hold(self.remind_minutes < 24 * 60, "remind_minutes", "0 to 1439");
        rules.hold(self.remind_after_hours <= 24 * 30, "remind_after_hours", "0 to 720");
        rules.hold((1..=900).contains(&self.batch_max), "batch_max", "1 to 900");
        rules.not_zero([("clear_timeout_ms", self.clear_timeout_ms)]);
    }
}
