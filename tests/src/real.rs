//! The harness of the real programs: a stack of bus, daemon and acquirer in a directory of its own, traffic,
//! a proxy that disturbs it, disks that fail, `kill -9` and power cuts, and the audit of what is left.
pub mod audit;
pub mod bus_load;
pub mod chip;
pub mod counter;
pub mod demo_cards;
pub mod disk;
pub mod drain;
pub mod kills;
pub mod pcscd;
pub mod proxy;
pub mod stack;
pub mod tap;
pub mod traffic;
