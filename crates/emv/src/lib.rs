//! An EMV level-2 kernel, sans-IO, after EMV 4.4 Books 1 to 4: bytes from a card go in, the next command or
//! a decision comes out.
//!
//! Invariant: nothing here reads a clock, draws a random number, opens anything or panics on what a card
//! says; card number, tracks, names and PINs have no debug text and are zeroised.
pub mod command;
pub mod dol;
pub mod exchange;
pub mod oda;
pub mod tag;
pub mod tags;
pub mod tlv;

pub use command::Command;
pub use exchange::{Exchange, Progress, Reply};
pub use tag::Tag;
pub use tags::Tags;
