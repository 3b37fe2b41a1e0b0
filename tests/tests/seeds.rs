//! Seeded runs: random orders and random fates, one cut at a random point. A failure prints its seed.
mod common;
use common::*;
use payterm_schema::Kind;
use payterm_tests::{
    bank::Fate,
    world::{Customer, Order, World},
};

/// xorshift64*: the world's only randomness.
struct Dice(u64);
impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn one(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let orders: Vec<Order> = IDS
        .iter()
        .enumerate()
        .map(|(i, id)| match dice.roll(10) {
            0 => void(id, IDS[dice.roll(i as u64 + 1) as usize]),
            1 => scan(id),
            2 => Order { customer: Customer::Walks, ..sale(id) },
            3 => Order { kind: Kind::Balance, amount: None, ..sale(id) },
            4 => control(id, [Kind::SignIn, Kind::SignOff, Kind::Echo][dice.roll(3) as usize]),
            _ => sale(id),
        })
        .collect();
    let fates: Vec<Fate> = (0..12)
        .map(|_| match dice.roll(14) {
            0 => Fate::LoseReply,
            1 => Fate::LoseRequest,
            2 => Fate::LateReply,
            3 => Fate::LateRequest,
            4 => Fate::NotSent,
            5 => Fate::BadMac,
            6 => Fate::NoMac,
            7 => Fate::RefuseNoMac("51"),
            8 => Fate::Refuse(["51", "55", "77", "96", "A0", "09"][dice.roll(6) as usize]),
            _ => Fate::Answer,
        })
        .collect();
    let cut = dice.roll(120) as usize + 1;
    let mut world = World::new(settings(), script(orders, fates), Some(cut));
    world.run();
}

#[test]
fn fixed_seeds() {
    let many = std::env::var("PAYTERM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(500);
    for seed in 1..=many {
        let run = std::panic::catch_unwind(|| one(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}
