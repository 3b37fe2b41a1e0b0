//! Digest of everything that a run lets be seen: answers, outcomes, frames as bytes, paper lines, screens as
//! lines, what is asked of a customer, sealed and erased PANs, each with its time. The form names nothing:
//! types and fields may be renamed and cut anew, and a digest stays the same as long as the money and the
//! people see the same.
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Observable of a step, in numbers, codes and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A caller's question was answered.
    Answered {
        ok: bool,
    },
    /// Position of the kind on its sheet and of the status in its list; sums in minor units.
    Outcome {
        txn: u64,
        kind: usize,
        status: usize,
        code: String,
        sums: Vec<Option<i64>>,
        numbers: Vec<Option<u32>>,
        references: Vec<Option<String>>,
    },
    /// `state`: 0 standing, 1 due, 2 stuck.
    Obligation {
        txn: u64,
        stan: u32,
        state: u8,
    },
    /// A frame as it leaves; empty where it cannot be built.
    Frame {
        bytes: Vec<u8>,
    },
    Paper {
        duplicate: bool,
        lines: Vec<String>,
    },
    /// Readers are armed: 0 stripe, 1 chip, 2 contactless, 3 scanner, 4 keypad.
    Offered {
        txn: u64,
        readers: Vec<u8>,
    },
    Withdrawn,
    PinAsked {
        amount: Option<u64>,
        pan: String,
    },
    PinAborted,
    KeysForgotten,
    Sealed {
        txns: Vec<u64>,
    },
    Erased {
        txns: Vec<u64>,
    },
}

/// Digest of one run, step by step.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    hash: Sha256,
    screen: Vec<String>,
}

impl Digest {
    /// Takes a step in, at a time in ms. What is asked of the customer and what else is done are two lists:
    /// which of the two goes first is not seen. Of the screens only the last one counts, and only where it
    /// differs from the one before.
    pub fn step(&mut self, at: i64, asked: &[Observed], done: &[Observed], screen: Option<Vec<String>>) {
        let mut text = String::new();
        for list in [asked, done] {
            for observed in list {
                let _ = writeln!(text, "{}", line(observed));
            }
        }
        if let Some(screen) = screen.filter(|s| *s != self.screen) {
            let _ = writeln!(text, "screen {}", screen.join("|"));
            self.screen = screen;
        }
        if !text.is_empty() {
            self.hash.update(format!("{at}\n{text}"));
        }
    }

    /// 16 hexadecimal digits.
    pub fn text(&self) -> String {
        hex::encode(&self.hash.clone().finalize()[..8])
    }
}

fn line(observed: &Observed) -> String {
    match observed {
        Observed::Answered { ok } => format!("answered {ok}"),
        Observed::Outcome { txn, kind, status, code, sums, numbers, references } => {
            format!("outcome {txn} {kind} {status} {code} {sums:?} {numbers:?} {references:?}")
        }
        Observed::Obligation { txn, stan, state } => format!("obligation {txn} {stan} {state}"),
        Observed::Frame { bytes } => format!("frame {}", hex::encode(bytes)),
        Observed::Paper { duplicate, lines } => format!("paper {duplicate} {}", lines.join("|")),
        Observed::Offered { txn, readers } => format!("offered {txn} {readers:?}"),
        Observed::Withdrawn => "withdrawn".into(),
        Observed::PinAsked { amount, pan } => format!("pin {amount:?} {pan}"),
        Observed::PinAborted => "pin aborted".into(),
        Observed::KeysForgotten => "keys forgotten".into(),
        Observed::Sealed { txns } => format!("sealed {txns:?}"),
        Observed::Erased { txns } => format!("erased {txns:?}"),
    }
}
