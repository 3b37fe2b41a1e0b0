//! The deterministic world: the shipped machine and the shipped commit rule against a simulated bank, disk,
//! wire, customer and printer, on one thread, with one heap of events by (time, id). Each part opens with
//! what may go wrong in it: `bank`, `world/{clock,disk,printer,reader,wire}`.
#![allow(clippy::wildcard_enum_match_arm, reason = "checkers look at a few records of many")]
pub mod bank;
pub mod checks;
pub mod counter;
pub mod dice;
pub mod digest;
pub mod disk;
pub mod drain;
pub mod judge;
pub mod kills;
pub mod lab;
pub mod model;
pub mod planted;
pub mod proxy;
pub mod script;
pub mod stack;
pub mod swarm;
pub mod tap;
pub mod traffic;
pub mod world;
