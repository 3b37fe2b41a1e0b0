//! Words between the terminal and a card kernel: a run is begun, the kernel asks step by step, each question
//! is answered by one word, and the run ends with a decision. Only what a scripted card needs; the chip issue
//! adds to it.
//!
//! Invariant: no card number, track or PIN stands in any of these.
use crate::{Kind, Money};

/// EntryMode in which a card is spoken to.
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

/// Next step of a run, said by the kernel. All but the last wait for a [`CardWord`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardStep {
    /// The customer chooses one of these applications, by its label.
    Choose(Vec<String>),
    /// The customer's PIN is needed.
    NeedPin(PinCheck),
    /// The host is to be asked, with these EMV tags.
    GoOnline { icc: Vec<u8> },
    /// The run is over.
    Done { decision: CardDecision, icc: Vec<u8> },
}

/// Who checks the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinCheck {
    /// The issuer: the pad gives an enciphered block for the host.
    Issuer,
    /// The card. How the pad hands it over (`PinPad::verify`) is the chip issue's.
    Card,
}

/// Decision of the card, which ends a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardDecision {
    Approved,
    Declined,
    /// The card was removed or does not answer, or the kernel failed; the text holds no card data.
    Failed(String),
}

/// Answer to the last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardWord {
    /// Index into the choices; none: the customer wants none of them.
    Chosen(Option<usize>),
    Pin(PinWord),
    Host(HostWord),
}

/// Result of the PIN entry that a card run asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinWord {
    Entered,
    Bypassed,
    /// By the customer, or its time ran out.
    Cancelled,
    /// No pad, or it failed.
    Failed,
}

/// Answer of the host to a card that went online, with the issuer's EMV tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostWord {
    Approved {
        icc: Vec<u8>,
    },
    Declined {
        icc: Vec<u8>,
    },
    /// Unable to go online: no byte left.
    NotSent,
    /// What the host decided is not known: the card is asked to decline.
    NoReply,
}
