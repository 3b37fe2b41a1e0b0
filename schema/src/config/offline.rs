//! `[account.offline]`: payments that are accepted without the host, by whose authority, within which limits.
use super::{BinRange, Limits};
use crate::{money::Currency, offline::OfflineAuthority};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Payments without the host: a table for each authority by which they are accepted, with limits of its own.
/// Without its table an authority accepts nothing.
///
/// `merchant`: a swiped sale whose message could not leave is accepted, and told to the acquirer later; not
/// one whose PIN is asked for, which without `[flow.no_cvm]` (`modes` with `swipe`) is every card. The
/// merchant bears what the acquirer then refuses. `card`: a sale that the chip approves by itself (TC at
/// the first GENERATE AC, or of a tap) is told with its TC; without the table a card that would approve is
/// sent to the host. `card_unable_online`: a chip that is inserted may approve a sale whose message could
/// not leave (Y3, EMV 4.4 Book 3 §10.7); without it the card is asked to decline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OfflineConfig {
    /// At the merchant's own risk.
    pub merchant: Option<OfflineLimits>,
    /// By the card's own word.
    pub card: Option<OfflineLimits>,
    /// By the card's word where the host could not be asked.
    pub card_unable_online: Option<OfflineLimits>,
}
impl OfflineConfig {
    /// Limits of an authority; none where it accepts nothing. What the issuer says by telephone has none.
    pub fn limits(&self, authority: OfflineAuthority) -> Option<&OfflineLimits> {
        match authority {
            OfflineAuthority::Merchant => self.merchant.as_ref(),
            OfflineAuthority::Card => self.card.as_ref(),
            OfflineAuthority::CardUnableOnline => self.card_unable_online.as_ref(),
            OfflineAuthority::Voice => None,
        }
    }
}

/// Limits of one authority. A limit that is there and does not name the account's currency is zero: nothing
/// is accepted. All limits are of what is at risk at one time: a payment that was forwarded, refused or
/// written off counts no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OfflineLimits {
    /// Greatest amount of one payment, in the account's currency. Default 100.00 where that has two decimals:
    /// what a shop can bear to lose at once.
    pub per_transaction: Option<Limits>,
    /// Greatest sum of one card, in the account's currency. Default 200.00 where that has two decimals.
    pub per_card: Option<Limits>,
    /// Greatest number of payments of one card. Default 3: a stolen card is found out soon.
    pub per_card_count: u32,
    /// Greatest sum of the account, in its currency. Default 5,000.00 where that has two decimals.
    pub total: Option<Limits>,
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
impl Default for OfflineLimits {
    fn default() -> Self {
        Self {
            per_transaction: None,
            per_card: None,
            per_card_count: 3,
            total: None,
            total_count: 200,
            contact_hours: 24,
            bins: Vec::new(),
            refused_bins: Vec::new(),
        }
    }
}
impl OfflineLimits {
    /// Greatest amount of one payment in this currency, minor units.
    pub fn per_transaction(&self, currency: Currency) -> u64 {
        self.per_transaction.as_ref().map_or(10_000, |l| l.of(currency))
    }
    /// Greatest sum of one card in this currency, minor units.
    pub fn per_card(&self, currency: Currency) -> u64 {
        self.per_card.as_ref().map_or(20_000, |l| l.of(currency))
    }
    /// Greatest sum of an account in this currency, minor units.
    pub fn total(&self, currency: Currency) -> u64 {
        self.total.as_ref().map_or(500_000, |l| l.of(currency))
    }
}
