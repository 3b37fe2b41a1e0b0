//! The fuzz targets of `crates/emv/fuzz`, without a fuzzer: the corpus, and bytes of a seed. PAYTERM_FUZZ
//! tells how many seeds (2,000).
use payterm_emv::step::{By, Next, Verdict};
use std::{collections::BTreeSet, fs, panic::AssertUnwindSafe, path::Path};

#[path = "../../fuzz/src/lib.rs"]
mod targets;

/// Random numbers (splitmix64).
struct Random(u64);
impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ x >> 31) % end
    }
    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
    fn one(&mut self, of: &[u8]) -> u8 {
        of[self.below(of.len() as u64) as usize]
    }
    /// Bytes of which many are tags, lengths or nothing.
    fn objects(&mut self) -> Vec<u8> {
        let len = self.below(120);
        (0..len)
            .map(|_| match self.below(6) {
                0 => self.one(&[0x9F, 0x5F, 0xDF, 0xBF, 0x1F]),
                1 => self.one(&[0x02, 0x37, 0x95, 0x5A, 0x8A, 0x57, 0x6F, 0x70, 0x77, 0xA5]),
                2 | 3 => self.below(8) as u8,
                4 => self.one(&[0x00, 0x7F, 0x80, 0x81, 0x82, 0x83, 0xFF]),
                _ => self.byte(),
            })
            .collect()
    }
    /// Bytes of which so many in ten are spoilt answers and other trouble.
    fn choices(&mut self) -> Vec<u8> {
        let spoilt = self.below(6);
        let len = self.below(400);
        (0..len)
            .map(|_| match self.below(10) < spoilt {
                true => self.byte(),
                false => self.below(0x40) as u8,
            })
            .collect()
    }
}

fn seeds() -> u64 {
    std::env::var("PAYTERM_FUZZ").ok().map_or(2_000, |n| n.parse().unwrap())
}

/// Runs a target; what breaks is shown with its bytes.
fn of<T>(name: &str, bytes: &[u8], target: impl Fn(&[u8]) -> T) -> T {
    std::panic::catch_unwind(AssertUnwindSafe(|| target(bytes)))
        .unwrap_or_else(|_| panic!("{name}: {}", crate::card::hex(bytes)))
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    files.map(|f| (f.display().to_string(), fs::read(f).unwrap())).collect()
}

#[test]
fn the_corpus_breaks_nothing() {
    for (name, target) in [("tlv", targets::tlv as fn(&[u8])), ("dol", targets::dol)] {
        let all = corpus(name);
        assert!(all.len() >= 8, "{name}: {} files", all.len());
        all.iter().for_each(|(file, bytes)| of(file, bytes, target));
    }
    let ends: BTreeSet<String> =
        corpus("run").iter().map(|(file, bytes)| format!("{:?}", of(file, bytes, targets::run))).collect();
    every_end(&ends);
}

/// The runs reach all that a run can end with.
fn every_end(ends: &BTreeSet<String>) {
    for verdict in [
        Verdict::Approved(By::Card),
        Verdict::Approved(By::CardUnableOnline),
        Verdict::Approved(By::HostAndCard),
        Verdict::Declined,
        Verdict::Ended(Next::Nothing),
        Verdict::Ended(Next::TryAgain),
        Verdict::Ended(Next::Swipe),
        Verdict::Read,
    ] {
        assert!(ends.contains(&format!("{verdict:?}")), "{verdict:?} is not among {ends:?}");
    }
}

#[test]
fn no_bytes_break_a_reader_or_a_list() {
    for seed in 1..=seeds() {
        let bytes = Random(seed).objects();
        of(&format!("tlv, seed {seed}"), &bytes, targets::tlv);
        of(&format!("dol, seed {seed}"), &bytes, targets::dol);
    }
}

#[test]
fn no_bytes_break_a_run_and_only_a_tc_that_was_asked_for_approves() {
    let mut ends = BTreeSet::new();
    for seed in 1..=seeds() {
        let bytes = Random(seed).choices();
        let verdict = of(&format!("run, seed {seed}"), &bytes, targets::run);
        // The first of each kind begins the corpus.
        if ends.insert(format!("{verdict:?}")) && std::env::var_os("PAYTERM_BLESS").is_some() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/run");
            fs::write(dir.join(format!("seed-{seed}")), bytes).unwrap();
        }
    }
    every_end(&ends);
}
