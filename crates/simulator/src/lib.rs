//! The acquirer at the other end of payterm's host protocol: for demos and tests, as a program
//! (`payterm-acquirer`) and, in process, as [`acquirer::Acquirer`]. **It is no product: its keys, cards and
//! PINs are test data.** See README.md.
//!
//! Invariant: an approval is one balanced posting; whatever is repeated, reordered, lost or reversed, the sum
//! over all ledger accounts is zero and a request that was reversed leaves nothing.
pub mod acquirer;
pub mod ask;
pub mod bank;
pub mod card;
pub mod code;
pub mod control;
pub mod journal;
pub mod keys;
pub mod ledger;
pub mod mishap;
mod server;
mod service;
mod shared;
pub mod tms;
pub mod wire;
pub mod world;

pub use acquirer::{Acquirer, Options, Running};
pub use mishap::{Mishap, Mishaps};
pub use world::World;
