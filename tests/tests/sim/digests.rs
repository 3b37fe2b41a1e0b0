//! Observables of a run, which are what they were: the digests of 1,000 seeds on file. (Those of the scripts
//! are checked where each runs.)
use payterm_tests::sim::swarm::Case;
use std::sync::Mutex;

/// Checked at each change; `PAYTERM_DIGEST_SEEDS=1000` checks all, `PAYTERM_DIGESTS=FILE` writes them there;
/// this test alone.
const QUICK: usize = 250;

#[test]
fn what_can_be_seen_of_a_seed_is_as_it_was() {
    let file = include_str!("../../digests/seeds.txt");
    let many = std::env::var("PAYTERM_DIGEST_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(QUICK);
    let known: Vec<(u64, &str)> = file
        .lines()
        .filter_map(|l| l.split_once(' '))
        .filter_map(|(s, d)| Some((s.parse().ok()?, d)))
        .collect();
    let writes = std::env::var_os("PAYTERM_DIGESTS");
    let seeds: Vec<u64> =
        if writes.is_some() { (1..=1_000).collect() } else { known.iter().take(many).map(|k| k.0).collect() };
    assert!(writes.is_some() || seeds.len() == many.min(1_000), "{} digests on file", known.len());
    let next = Mutex::new(seeds.into_iter());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while let Some(seed) = { next.lock().unwrap().next() } {
                    let digest = Case::draw(seed).digest();
                    found.lock().unwrap().push((seed, digest));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    if let Some(file) = writes {
        let lines: String = found.iter().map(|(s, d)| format!("{s} {d}\n")).collect();
        return std::fs::write(file, lines).unwrap();
    }
    let other: Vec<u64> = found.iter().filter(|(s, d)| !known.contains(&(*s, d))).map(|(s, _)| *s).collect();
    assert!(other.is_empty(), "what can be seen has changed in seeds {other:?}");
}
