//! Messages between the terminal and a card kernel: a run is begun, the kernel asks step by step, each
//! question gets one answer, and the run ends with a decision. Only what a scripted card needs; real chip
//! cards will add to it.
//!
//! Invariant: the card number stands in [`CardRead`] alone, masked by its type; none of these holds a track
//! or a PIN.
use crate::{Kind, Money, secret::Pan};

/// Interface of a card reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interface {
    Contact,
    Contactless,
}

/// Card transaction that a kernel is told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRun {
    pub txn: u64,
    pub kind: Kind,
    pub amount: Money,
    pub interface: Interface,
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
    GoOnline { icc: Vec<u8> },
    /// The run is over; `icc` holds the EMV data elements of its end, BER-TLV.
    Done { decision: CardDecision, icc: Vec<u8> },
}

/// Data of a card that a payment is routed and sent with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRead {
    pub pan: Pan,
    /// Application PAN sequence number (tag 5F34, F23).
    pub sequence: Option<u8>,
    /// Application expiration date (tag 5F24), YYMM.
    pub expiry: String,
}

/// Party that checks the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinCheck {
    /// The issuer: the pad gives an enciphered block, which the host gets (online PIN).
    Issuer,
    /// The card itself (offline PIN). How the pad hands it over is not defined yet.
    Card,
}

/// Decision of the card, which ends a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardDecision {
    Approved,
    Declined,
    /// Failure before a decision: the card was removed or does not answer, or the kernel failed. The text
    /// holds no card data.
    Failed(String),
}

/// Answer to the last [`CardStep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardWord {
    /// The account can take the payment: the card may go on.
    Proceed,
    /// Index of the application that the customer chose; none: none of them.
    Chosen(Option<usize>),
    Pin(PinWord),
    Host(HostWord),
}

/// Result of the PIN entry that a card run asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinWord {
    Entered,
    Bypassed,
    /// Cancelled by the customer, or timed out.
    Cancelled,
    /// PIN pad is missing, or failed.
    Failed,
}

/// Answer of the host to a card that went online, with the EMV data elements of the issuer (F55), BER-TLV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostWord {
    Approved {
        icc: Vec<u8>,
    },
    Declined {
        icc: Vec<u8>,
    },
    /// No byte left: unable to go online (EMV Book 3 §10.11).
    NotSent,
    /// A frame left and no valid answer came, so the decision of the host is not known: the card is asked to
    /// decline.
    NoReply,
}
