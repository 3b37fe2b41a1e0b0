//! The deterministic world: the shipped machine and the shipped commit rule against a simulated bank, disk, wire, customer
//! and printer, on one thread, with one heap of events by (time, id).
//!
//! Mishap models. *Disk*: what was handed over and not committed is gone at a cut; what was committed stays. *Wire*: a
//! message is not sent, lost before or after the bank, late, or forged in its MAC. *Bank*: processes a message once, remembers
//! reversals of messages that it never saw and refuses these when they come later. *Printer*: says that it printed, or nothing.
#![allow(clippy::wildcard_enum_match_arm, reason = "checkers look at a few records of many")]
pub mod bank;
pub mod checks;
pub mod counter;
pub mod kills;
pub mod script;
pub mod stack;
pub mod tap;
pub mod world;
