//! The fuzz targets of `crates/emv/fuzz`, without a fuzzer: the corpus, and bytes of a seed. PAYTERM_FUZZ
//! tells how many seeds (2,000).
use payterm_emv::{
    Tag,
    step::{By, Next, Verdict},
    tlv,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::AssertUnwindSafe,
    path::Path,
};

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
    /// One of the tags that a card and its lists have.
    fn tag(&mut self) -> Tag {
        let all = [0x50, 0x57, 0x5A, 0x70, 0x77, 0x8A, 0x95, 0x9A, 0x9F02, 0x9F37, 0xBF0C, 0xDF7F, 0xDF_8129];
        Tag(all[self.below(all.len() as u64) as usize])
    }
    /// Some objects, sound or a byte of them spoilt, or bytes of which many are tags or lengths.
    fn objects(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.below(4) == 0 {
            let len = self.below(120);
            out.extend((0..len).map(|_| match self.below(4) {
                0 => self.one(&[0x9F, 0x5F, 0xDF, 0xBF, 0x6F, 0x70, 0xA5, 0x95, 0x5A]),
                1 => self.below(8) as u8,
                2 => self.one(&[0x00, 0x7F, 0x80, 0x81, 0x82, 0x83, 0xFF]),
                _ => self.byte(),
            }));
        }
        for _ in 0..self.below(8) {
            let value: Vec<u8> = (0..self.below(12)).map(|_| self.byte()).collect();
            tlv::write(&mut out, self.tag(), &value);
        }
        self.spoil(out)
    }
    /// A list and values for it, as the target of lists takes them.
    fn list(&mut self) -> Vec<u8> {
        let mut list = Vec::new();
        for _ in 0..self.below(10) {
            tlv::write(&mut list, self.tag(), &[]);
            let len = if self.below(30) == 0 { self.byte() } else { self.below(13) as u8 };
            *list.last_mut().unwrap() = len;
        }
        let list = self.spoil(list);
        [&[list.len() as u8][..], &list, &self.objects()].concat()
    }
    fn spoil(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let at = self.below(bytes.len().max(1) as u64) as usize;
        match (self.below(6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << self.below(8),
            (1, Some(_)) => bytes.truncate(at),
            (_, _) => {}
        }
        bytes
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

type Parser = fn(&[u8]);
const PARSERS: [(&str, Parser); 4] =
    [("tlv", targets::tlv), ("dol", targets::dol), ("exchange", targets::exchange), ("oda", targets::oda)];

#[test]
fn the_corpus_breaks_nothing() {
    for (name, target) in PARSERS {
        let all = corpus(name);
        assert!(all.len() >= 8, "{name}: {} files", all.len());
        all.iter().for_each(|(file, bytes)| of(file, bytes, target));
    }
    for (name, target, ends) in RUNS {
        let all = corpus(name);
        let reached = all.iter().map(|(file, bytes)| format!("{:?}", of(file, bytes, target))).collect();
        every_end(&reached, ends);
    }
}

/// Targets of whole runs: all that they can end with but for a card's own approval in a tap, which needs a
/// signature.
type Target = fn(&[u8]) -> Verdict;
const RUNS: [(&str, Target, &[Verdict]); 2] = [
    (
        "run",
        targets::run,
        &[
            Verdict::Approved(By::Card),
            Verdict::Approved(By::CardUnableOnline),
            Verdict::Approved(By::HostAndCard),
            Verdict::Declined,
            Verdict::Ended(Next::Nothing),
            Verdict::Ended(Next::TryAgain),
            Verdict::Ended(Next::Swipe),
            Verdict::Read,
        ],
    ),
    (
        "tap",
        targets::tap,
        &[
            Verdict::Approved(By::Host),
            Verdict::Declined,
            Verdict::Ended(Next::Nothing),
            Verdict::Ended(Next::TapAgain),
            Verdict::Ended(Next::InsertInstead),
            Verdict::Ended(Next::SeePhone),
            Verdict::Read,
        ],
    ),
];

/// The runs reach all that a run can end with, and nothing else.
fn every_end(ends: &BTreeSet<String>, all: &[Verdict]) {
    assert_eq!(*ends, all.iter().map(|verdict| format!("{verdict:?}")).collect());
}

#[test]
fn no_bytes_break_a_reader_or_a_list() {
    for seed in 1..=seeds() {
        of(&format!("tlv, seed {seed}"), &Random(seed).objects(), targets::tlv);
        of(&format!("dol, seed {seed}"), &Random(seed).list(), targets::dol);
        of(&format!("exchange, seed {seed}"), &Random(seed).choices(), targets::exchange);
    }
}

#[test]
fn no_certificate_breaks_an_authentication() {
    // Each is a signature.
    for seed in 1..=seeds() / 10 {
        of(&format!("oda, seed {seed}"), &Random(seed).choices(), targets::oda);
    }
}

#[test]
fn no_bytes_break_a_run_and_only_who_may_approves() {
    for (name, target, all) in RUNS {
        let mut ends: BTreeMap<String, u64> = BTreeMap::new();
        for seed in 1..=seeds() {
            let bytes = Random(seed).choices();
            let verdict = of(&format!("{name}, seed {seed}"), &bytes, target);
            let times = ends.entry(format!("{verdict:?}")).or_default();
            *times += 1;
            // The first of each kind begins the corpus.
            if *times == 1 && std::env::var_os("PAYTERM_BLESS").is_some() {
                let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
                fs::write(dir.join(format!("seed-{seed}")), bytes).unwrap();
            }
        }
        println!("{name}: {ends:?}");
        every_end(&ends.keys().cloned().collect(), all);
        let approved: u64 = ends.iter().filter(|(end, _)| end.starts_with("Approved")).map(|(_, n)| n).sum();
        assert!(
            approved * 50 >= seeds(),
            "{name}: {approved} approvals: what they rest on is hardly looked at"
        );
    }
}
