//! The deterministic world: the shipped machine and the shipped commit rule against a simulated bank, disk,
//! wire, customer and printer, on one thread, with one heap of events by (time, id). Each part opens with
//! what may go wrong in it: `bank`, `world/{clock,disk,printer,reader,wire}`.
pub mod bank;
pub mod checks;
pub mod digest;
pub mod fixtures;
pub mod model;
pub mod rng;
pub mod script;
pub mod swarm;
pub mod world;
