//! Payments without the host: by whose authority they are accepted, and by which rules they are judged.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Authority by which a payment was accepted without the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfflineAuthority {
    /// The chip approved it by itself (TC, EMV Book 3 §10.11).
    Card,
    /// The chip approved it at the second GENERATE AC, because the terminal could not go online.
    CardUnableOnline,
    /// The issuer approved it by telephone and gave an authorisation code.
    Voice,
    /// The merchant took the risk; the acquirer is told later.
    Merchant,
}
impl OfflineAuthority {
    /// Name in JSON and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            OfflineAuthority::Card => "card",
            OfflineAuthority::CardUnableOnline => "card_unable_online",
            OfflineAuthority::Voice => "voice",
            OfflineAuthority::Merchant => "merchant",
        }
    }
}

/// Exposure: payments that were accepted by one authority and are neither forwarded, nor refused, nor written
/// off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// Number of payments.
    pub count: u64,
    /// Sum, minor units.
    pub minor: u64,
}
impl Exposure {
    /// Exposure with one payment more (`more`) or one less.
    #[must_use]
    pub const fn with(self, minor: u64, more: bool) -> Self {
        if more {
            Self { count: self.count.saturating_add(1), minor: self.minor.saturating_add(minor) }
        } else {
            Self { count: self.count.saturating_sub(1), minor: self.minor.saturating_sub(minor) }
        }
    }
}

/// Rule for payments without the host. A payment is judged by all of them, in this order; the limits are
/// those of `offline.<authority>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfflineRule {
    /// The account has a table `offline.<authority>`.
    Off,
    /// The acquirer's profile has a message for it.
    Profile,
    /// The batch is not being settled: its totals are told then.
    Settlement,
    /// The kind is a sale.
    Kind,
    /// A card was swiped, or for the card's own authority is run by its chip: a payment code and a typed
    /// number are never accepted.
    Instrument,
    /// The stripe does not say that the card has a chip, which would have to be read. Of swiped cards only.
    Chip,
    /// The card needs no PIN, which only the issuer could check.
    Pin,
    /// The card's own expiry can be read and is not over.
    Expired,
    /// `bins` lists the card, or is empty.
    Listed,
    /// `refused_bins` does not list the card.
    Refused,
    /// No payment of this card may have been executed and waits to be taken back.
    Reversal,
    /// The clock is trusted: it did not go back, and the host's agrees.
    Clock,
    /// Hours since the host was last heard are within `contact_hours`.
    Contact,
    /// The amount, minor units, is within `per_transaction`.
    Transaction,
    /// Payments of this card at risk are within `per_card_count`.
    CardCount,
    /// Sum of the payments of this card at risk, minor units, is within `per_card`.
    CardSum,
    /// Payments of the account at risk are within `total_count`.
    TotalCount,
    /// Sum of the payments of the account at risk, minor units, is within `total`.
    TotalSum,
}
impl OfflineRule {
    /// Name in JSON and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            OfflineRule::Off => "off",
            OfflineRule::Profile => "profile",
            OfflineRule::Settlement => "settlement",
            OfflineRule::Kind => "kind",
            OfflineRule::Instrument => "instrument",
            OfflineRule::Chip => "chip",
            OfflineRule::Pin => "pin",
            OfflineRule::Expired => "expired",
            OfflineRule::Listed => "listed",
            OfflineRule::Refused => "refused",
            OfflineRule::Reversal => "reversal",
            OfflineRule::Clock => "clock",
            OfflineRule::Contact => "contact",
            OfflineRule::Transaction => "transaction",
            OfflineRule::CardCount => "card_count",
            OfflineRule::CardSum => "card_sum",
            OfflineRule::TotalCount => "total_count",
            OfflineRule::TotalSum => "total_sum",
        }
    }
}

/// Result of one rule for one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub rule: OfflineRule,
    pub passed: bool,
    /// Limit, in the unit of the rule; none for a rule without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Value with this payment, in the unit of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
}

/// Decision on one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub offline_authority: OfflineAuthority,
    pub allowed: bool,
    /// Rule that decided: the first that was broken; of an allowed payment, the one whose limit is nearest.
    #[serde(flatten)]
    pub by: Check,
    /// Exposure of the account before this payment.
    pub exposure: Exposure,
}
impl Judgement {
    /// Decides by the checks of one payment, in their order; none without a check.
    pub fn of(offline_authority: OfflineAuthority, checks: &[Check], exposure: Exposure) -> Option<Self> {
        let part = |c: &&Check| {
            c.now
                .zip(c.limit)
                .map_or(0, |(now, limit)| u128::from(now) * 1_000_000 / u128::from(limit.max(1)))
        };
        let broken = checks.iter().find(|c| !c.passed);
        let by = *broken.or_else(|| checks.iter().max_by_key(part))?;
        Some(Self { offline_authority, allowed: broken.is_none(), by, exposure })
    }
}

/// Answer to "would a payment be accepted now?", before a card is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfflineAnswer {
    pub account: crate::AccountId,
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Results of the rules that need no card. The others are judged when the card is there.
    pub checks: Vec<Check>,
}

/// Act of a person on the queue of what the acquirer is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAct {
    /// Has this transaction's obligation (none: all that wait) tried now.
    Forward { txn: Option<u64> },
    /// Keeps an advice back.
    Hold { txn: u64 },
    /// Lets an advice go that was kept back.
    Release { txn: u64 },
    /// Gives an obligation up, by the supervisor; `why`: 1 to 80 printable characters.
    WriteOff { txn: u64, why: String },
}
