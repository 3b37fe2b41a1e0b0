//! Messages between the terminal and a card kernel: a run is begun, the kernel asks step by step, each
//! question gets one answer, and the run ends with a decision.
//!
//! Invariant: card number and track stand in [`CardRead`] alone, masked by their types; none of these holds a
//! PIN.
use crate::{
    DeviceKind, Kind, Money, Time,
    config::Language,
    secret::{Pan, Tracks},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Interface of a card reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interface {
    Contact,
    Contactless,
}

impl Interface {
    /// Kind of a reader that has it.
    pub const fn reader(self) -> DeviceKind {
        match self {
            Self::Contact => DeviceKind::ChipReader,
            Self::Contactless => DeviceKind::ContactlessReader,
        }
    }
}

/// Card transaction that a kernel is told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRun {
    pub txn: u64,
    pub kind: Kind,
    /// Zero where the kind has none.
    pub amount: Money,
    pub interface: Interface,
    pub depth: Depth,
    /// A tapped card may approve it by itself; else it is told that the issuer must (9F66).
    pub offline: bool,
    pub at: Time,
    /// Minutes east of UTC of the date and time that the card is told (tags 9A, 9F21).
    pub offset_minutes: i32,
}

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// To the card's decision.
    Full,
    /// To its number: the card decides nothing.
    Read,
}

/// Next step of a run, as the kernel reports it. All but `Done` wait for a [`CardWord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardStep {
    /// The application's records are read; the run waits until the account can take the payment.
    Read(CardRead),
    /// The customer is to choose one of these applications, given by their labels (EMV Book 1 §12.4).
    Choose(Vec<String>),
    /// The customer's PIN is needed.
    NeedPin(PinCheck),
    /// The host is to be asked; `icc` holds the EMV data elements for F55, BER-TLV.
    GoOnline { icc: Vec<u8>, verified: Verified, then: Then },
    /// The card has approved behind the host, by the TC in `icc` (EMV data elements, BER-TLV), and scripts of
    /// its issuer are left: they run at the word to, so that a power cut among them leaves the approval.
    Completed { icc: Vec<u8> },
    /// The run is over; `icc` holds the EMV data elements of its end, BER-TLV.
    Done { decision: CardDecision, icc: Vec<u8> },
}

/// How the cardholder was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// By a PIN that the issuer checks, or not at all.
    PinOrNone,
    /// The card has found the PIN right.
    CardPin,
    /// The slip is to be signed.
    Signature,
    /// A phone has verified its holder itself.
    Device,
}

/// Who has the last word behind the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The card waits for the host's word, and ends the payment.
    Card,
    /// Nobody: the card was tapped, and the run is over.
    Final,
}

/// Data of a card that a payment is routed and sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRead {
    pub pan: Pan,
    /// Application PAN sequence number (tag 5F34, F23).
    pub sequence: Option<u8>,
    /// Application expiration date (tag 5F24), YYMM.
    pub expiry: String,
    /// Track 2 equivalent data (tag 57), as on the stripe.
    pub track2: Option<Tracks>,
    /// Language that the card prefers (tag 5F2D), of those that the texts have.
    pub language: Option<Language>,
    /// Name of the application (tag 84), hex digits.
    pub aid: String,
    /// Application label or preferred name, as the customer reads it.
    pub label: String,
}

/// Party that checks the PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinCheck {
    /// The issuer: the pad gives an enciphered block, which the host gets (online PIN).
    Issuer,
    /// The card itself: the pad shows it to the card (offline PIN).
    Card(CardPin),
}

/// PIN that a card asks for, to check it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardPin {
    /// Tries that are left, where the card has said so.
    pub left: Option<u8>,
    pub form: PinForm,
    /// Time that the card has for VERIFY, in ms.
    pub card_ms: u32,
}

/// Form in which a card is shown a PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinForm {
    /// As it is, for whoever listens between pad and card.
    Plain,
    /// Enciphered under a public key of the card, RSA (EMV 4.4 Book 2 §7); `challenge` is the card's, and
    /// good for its next command only.
    Enciphered { modulus: Vec<u8>, exponent: Vec<u8>, challenge: [u8; 8] },
}

/// Decision of the card, which ends a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardDecision {
    Approved(Verified),
    Declined,
    /// No decision was made.
    Failed(CardFailure),
}

/// Why a run ended without a decision of the card that could be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardFailure {
    /// The card was pulled out.
    Removed,
    /// The card does not answer, or not in a way that can be read.
    Unreadable,
    /// The card, or its application, is blocked by its issuer.
    Blocked,
    /// Card and terminal have no application in common.
    NoApplication,
    /// Electronic cash is all that the card has.
    OnlyElectronicCash,
    /// The card's signature is wrong, or it gave more than it was asked for.
    Lied,
    /// The card left the field before it had said all: the same card is to be tapped again.
    Torn,
    /// It cannot be tapped, or not for this payment: it is to be inserted.
    InsertInstead,
    /// The phone wants something of its holder before it is tapped again.
    SeePhone,
    /// The customer wanted none of the applications, or no PIN.
    Cancelled,
    /// The reader failed.
    Reader,
    /// The kernel was told what it had not asked.
    OutOfOrder,
}
impl CardFailure {
    /// Code of the reason that is told (`reason-<code>` in the texts).
    pub const fn code(self) -> &'static str {
        match self {
            Self::Removed => "card-removed",
            Self::Unreadable | Self::OutOfOrder => "card-unreadable",
            Self::Blocked => "card-blocked",
            Self::NoApplication => "no-application",
            Self::OnlyElectronicCash => "only-electronic-cash",
            Self::Lied => "card-lied",
            Self::Torn => "tap-again",
            Self::InsertInstead => "insert-instead",
            Self::SeePhone => "see-phone",
            Self::Cancelled => "cancelled-by-customer",
            Self::Reader => "reader-unavailable",
        }
    }
}

/// Answer to the last [`CardStep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardWord {
    /// The account can take the payment: the card may go on.
    Proceed(Proceed),
    /// Index of the application that the customer chose; none: none of them.
    Chosen(Option<usize>),
    Pin(PinWord),
    Host(HostWord),
    /// The card's approval is on disk: the scripts behind it may run.
    Scripts,
}

/// What the account says to a card that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proceed {
    /// The issuer can check a PIN.
    pub online_pin: bool,
    /// What the card approves by itself is accepted; else it is asked for no approval before the host's.
    pub offline: bool,
    /// Minor units that this card has paid without the host, and the acquirer has not heard of yet: they
    /// count towards the floor limit (EMV 4.4 Book 3 §10.6.1).
    pub earlier: u64,
}

/// Result of the PIN entry that a card run asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinWord {
    /// Typed, for the issuer.
    Entered,
    /// Shown to the card, which answered with this status word (ISO/IEC 7816-4).
    Status(u16),
    Bypassed,
    /// Cancelled by the customer, or timed out.
    Cancelled,
    /// PIN pad is missing, or failed.
    Failed,
}

/// Answer of the host to a card that went online: its code (tag 8A, F39) and the EMV data elements of the
/// issuer (F55), BER-TLV.
#[derive(Clone, PartialEq, Eq)]
pub enum HostWord {
    Approved {
        arc: [u8; 2],
        icc: Vec<u8>,
    },
    Declined {
        arc: [u8; 2],
        icc: Vec<u8>,
    },
    /// No byte left: unable to go online (EMV Book 3 §10.11). `offline`: what the card then approves is
    /// accepted; else it is asked to decline.
    NotSent {
        offline: bool,
    },
    /// A frame left and no valid answer came, so the decision of the host is not known: the card is asked to
    /// decline.
    NoReply,
}
/// Shows of the issuer's elements their length only: a script may hold a new PIN, enciphered.
impl fmt::Debug for HostWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = |name, arc: &[u8; 2], icc: &[u8]| {
            f.debug_struct(name).field("arc", arc).field("icc", &format_args!("{} bytes", icc.len())).finish()
        };
        match self {
            Self::Approved { arc, icc } => word("Approved", arc, icc),
            Self::Declined { arc, icc } => word("Declined", arc, icc),
            Self::NotSent { offline } => f.debug_struct("NotSent").field("offline", offline).finish(),
            Self::NoReply => f.write_str("NoReply"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_word_shows_no_script() {
        let word = HostWord::Approved { arc: *b"00", icc: vec![0xAB; 9] };
        assert_eq!(format!("{word:?}"), "Approved { arc: [48, 48], icc: 9 bytes }");
    }
}
