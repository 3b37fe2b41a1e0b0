//! The harness of the real programs: a stack of bus, daemon and acquirer in a directory of its own, traffic,
//! a proxy that disturbs it, disks that fail, `kill -9` and power cuts, and the audit of what is left.
pub mod audit;
pub mod bus_load;
pub mod card_bench;
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

/// The middle one of some measures.
pub fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}
