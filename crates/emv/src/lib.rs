//! An EMV level-2 kernel, sans-IO, after EMV 4.4 Books 1 to 4 and the contactless books
//! A, B and C-7: bytes from a card go in, the next command or
//! a decision comes out.
//!
//! Invariant: nothing here reads a clock, draws a random number, opens anything or panics on what a card
//! says; card number, tracks, names and PINs have no debug text and are zeroised.
pub mod command;
pub mod contact;
pub mod dol;
pub mod exchange;
pub mod explain;
mod fci;
pub mod hidden;
mod link;
pub mod oda;
mod records;
mod run;
pub mod step;
pub mod tag;
pub mod tags;
pub mod tap;
pub mod terminal;
pub mod tlv;
pub mod verification;

pub use command::Command;
pub use contact::Contact;
pub use exchange::{Exchange, Progress, Reply};
pub use hidden::Hidden;
pub use tag::Tag;
pub use tags::Tags;
pub use tap::Tap;
