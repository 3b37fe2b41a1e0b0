//! Runs with scripted cards, by phase.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod bits;
mod bounds;
mod card;
mod cardholder;
mod completion;
mod coverage;
mod cryptogram;
mod fuzz;
mod records;
mod restrictions;
mod risk;
mod selection;
mod tap;
