//! The deterministic world, and what needs no program of ours: less than two minutes.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod card_alone;
mod card_pin;
mod chip;
mod counter;
mod crash;
mod digests;
mod disk;
mod docs;
mod download;
mod flows;
mod golden;
mod offline;
mod operators;
mod planted;
mod proxy;
mod seeds;
mod settlement;
mod source;
mod staff;
mod supervisor;
mod table;
mod tap;
mod way;
mod withdraw;
mod words;
