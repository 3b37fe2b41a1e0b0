//! Payments without the host: the roads by which one may be accepted, and what it is judged by.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a payment was accepted without the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfflineAuthority {
    /// The chip approved it by itself (TC).
    Card,
    /// The chip approved it at the second GENERATE AC, because the terminal could not go online.
    CardUnableOnline,
    /// The issuer's authorisation code was given by telephone.
    Voice,
    /// The merchant takes the risk; the acquirer is told later.
    Merchant,
}
impl OfflineAuthority {
    pub const fn name(self) -> &'static str {
        match self {
            OfflineAuthority::Card => "card",
            OfflineAuthority::CardUnableOnline => "card_unable_online",
            OfflineAuthority::Voice => "voice",
            OfflineAuthority::Merchant => "merchant",
        }
    }
}

/// What was accepted at the merchant's risk and is not settled with the acquirer yet: neither forwarded, nor
/// refused, nor written off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    pub count: u64,
    /// Minor units.
    pub minor: u64,
}
impl Exposure {
    /// With one payment more, or one less.
    #[must_use]
    pub const fn with(self, minor: u64, more: bool) -> Self {
        if more {
            Self { count: self.count.saturating_add(1), minor: self.minor.saturating_add(minor) }
        } else {
            Self { count: self.count.saturating_sub(1), minor: self.minor.saturating_sub(minor) }
        }
    }
}

/// Why a payment may be accepted at the merchant's risk, or not; a payment is judged by all of them, in this
/// order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfflineRule {
    /// The account's `offline.mid` is off.
    Off,
    /// The acquirer's profile has no message for it.
    Profile,
    /// The batch is being settled: its totals are told already.
    Settlement,
    /// Only a sale may be.
    Kind,
    /// Only a swiped card may be: a payment code and a typed number never are.
    Instrument,
    /// The stripe says that the card has a chip, which is to be read instead (and would be a fallback).
    Chip,
    /// The card is verified by online PIN.
    Pin,
    /// The card's own expiry is over, or cannot be read.
    Expired,
    /// `offline.bins` does not list the card.
    Listed,
    /// `offline.refused_bins` lists it.
    Refused,
    /// A payment of this card may have been executed and is not yet taken back.
    Reversal,
    /// The clock went back, or the host's says something else.
    Clock,
    /// Hours since the host was last heard.
    Contact,
    /// Minor units of one payment.
    Transaction,
    /// Payments of this card that are at risk.
    CardCount,
    /// Their sum, minor units.
    CardSum,
    /// Payments of the account that are at risk.
    TotalCount,
    /// Their sum, minor units.
    TotalSum,
}
impl OfflineRule {
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

/// One rule's word on a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub rule: OfflineRule,
    pub passed: bool,
    /// In the unit of the rule, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What it would be with this payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
}

/// The decision on one payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    pub offline_authority: OfflineAuthority,
    pub allowed: bool,
    /// The first that was broken; of an allowed one, the limit that is nearest.
    #[serde(flatten)]
    pub by: Check,
    /// At risk in the account before this payment.
    pub exposure: Exposure,
}
impl Judgement {
    /// Of the checks of one payment, in their order.
    pub fn of(checks: &[Check], exposure: Exposure) -> Option<Self> {
        let part = |c: &&Check| {
            c.now
                .zip(c.limit)
                .map_or(0, |(now, limit)| u128::from(now) * 1_000_000 / u128::from(limit.max(1)))
        };
        let broken = checks.iter().find(|c| !c.passed);
        let by = *broken.or_else(|| checks.iter().max_by_key(part))?;
        Some(Self { offline_authority: OfflineAuthority::Merchant, allowed: broken.is_none(), by, exposure })
    }
}

/// The answer to "would it be accepted?", before a card is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OfflineAnswer {
    pub account: crate::AccountId,
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Every rule that needs no card. The others are judged when the card is there.
    pub checks: Vec<Check>,
}

/// What a person does to the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueAct {
    /// Have it (or all that wait) tried now.
    Forward {
        txn: Option<u64>,
    },
    /// Keep an advice back.
    Hold {
        txn: u64,
    },
    Release {
        txn: u64,
    },
    /// The supervisor gives it up, and says why: 1 to 80 printable characters.
    WriteOff {
        txn: u64,
        why: String,
    },
}
