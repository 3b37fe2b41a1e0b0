//! `soak --seconds N [--seed S]`: the deterministic world, seed after seed, until the time is over. Prints
//! runs a second, what was met and what was not. On a failure: its seed and the shortest story that breaks
//! the same invariant, exit 1. The first seed is printed: the same seed is the same run. `--seeds N` runs so
//! many instead of a time; `--find I` goes on until a seed breaks invariant I.
use payterm_tests::sim::swarm;
use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

/// Seeds that are begun together, so that the time is looked at between them.
const BATCH: u64 = 40;

fn main() -> ExitCode {
    let (mut seconds, mut seeds, mut seed, mut find) = (60, None, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().and_then(|v| v.parse::<u64>().ok());
        match (name.as_str(), value) {
            ("--seconds", Some(n)) => seconds = n,
            ("--seeds", Some(n)) => seeds = Some(n),
            ("--seed", Some(n)) => seed = Some(n),
            ("--find", Some(n)) => find = u8::try_from(n).ok(),
            _ => {
                eprintln!("usage: soak [--seconds N | --seeds N] [--seed S]");
                return ExitCode::from(2);
            }
        }
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let first = seed.unwrap_or(clock);
    println!("soak: seeds from {first} on");
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(wanted) = find {
        return search(wanted, first, seeds.unwrap_or(1_000));
    }
    let (began, mut runs, mut seen) = (Instant::now(), 0, BTreeMap::new());
    while seeds.map_or(began.elapsed() < Duration::from_secs(seconds), |n| runs < n) {
        let many = seeds.map_or(BATCH, |n| BATCH.min(n - runs));
        let (_, met, failed) = swarm::seeds(first + runs, many);
        if let Some(f) = failed {
            println!("FAILED {}", swarm::explain(&f));
            return ExitCode::FAILURE;
        }
        runs += many;
        for (what, n) in met {
            *seen.entry(what).or_default() += n;
        }
    }
    let took = began.elapsed().as_secs_f64();
    for (what, n) in &seen {
        println!("{n:>10} {what}");
    }
    println!(
        "{runs} runs in {took:.0} s, {:.1} a second, seeds {first} to {}: clean",
        runs as f64 / took,
        first + runs - 1
    );
    let missing = swarm::missing(&seen);
    if !missing.is_empty() {
        println!("not met: {}", missing.join(", "));
    }
    ExitCode::SUCCESS
}

/// Searches, for planted bugs, the first seed that breaks this invariant, whatever else is broken.
fn search(wanted: u8, first: u64, many: u64) -> ExitCode {
    let mut others: BTreeMap<u8, u64> = BTreeMap::new();
    for seed in first..first + many {
        if let (_, Some(why)) = swarm::Case::draw(seed).run() {
            match swarm::invariant(&why) {
                broken if broken == wanted => {
                    println!("FOUND seed {seed}: {}", why.lines().next().unwrap_or_default());
                    return ExitCode::FAILURE;
                }
                broken => *others.entry(broken).or_default() += 1,
            }
        }
    }
    println!("invariant {wanted} is not broken in {many} seeds; others: {others:?}");
    ExitCode::SUCCESS
}
