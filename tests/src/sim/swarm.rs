//! The swarm: each seed draws which mishaps are on and how often they come, the app's orders, the people, the
//! disk and the clock. After a time all mishaps are over and everything must settle. What a seed draws is a
//! script like any other: the same seed is the same run, and a failure is made shorter until nothing can be
//! left out of it.
mod draw;
mod shrink;

use crate::sim::{
    digest::Digest,
    script::Script,
    world::{World, told_short},
};
use payterm_core::Settings;
use payterm_schema::{Kind, Record};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Run of one seed, or a shorter one.
#[derive(Clone)]
pub struct Case {
    pub seed: u64,
    pub settings: Settings,
    pub script: Script,
    pub cuts: Vec<usize>,
}

/// A case that broke an invariant.
pub struct Failure {
    pub seed: u64,
    pub why: String,
    /// Story of the shortest case: what was drawn, and the journal.
    pub story: String,
}

/// Invariant that a message names, 0 for an assertion of the machine or the bank.
pub fn invariant(why: &str) -> u8 {
    why.split_once("invariant ")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or(0)
}

impl Case {
    /// Runs it; the world as it is at the end, and what was broken.
    pub fn run(&self) -> (Option<World>, Option<String>) {
        let mut kept = None;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let world = kept.insert(World::new(
                self.settings.clone(),
                self.script.clone(),
                self.cuts.iter().copied(),
            ));
            world.run();
        }));
        let text = |p: Box<dyn std::any::Any + Send>| {
            p.downcast_ref::<String>().cloned().or_else(|| p.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        };
        (kept, caught.err().map(|p| text(p).unwrap_or_else(|| "a panic without words".into())))
    }

    /// Digest of what it lets be seen (`digest.rs`).
    pub fn digest(&self) -> String {
        let cuts = self.cuts.clone();
        let digest = Some(Digest::default());
        let mut world = World::with_digest(self.settings.clone(), self.script.clone(), cuts, digest);
        world.run();
        world.digest.map(|d| d.text()).unwrap_or_default()
    }

    /// Words for what was drawn.
    pub fn words(&self) -> String {
        let s = &self.script;
        let mut out = String::new();
        let mut line = |what: &str, of: String| out.push_str(&format!("  {what}: {of}\n"));
        for o in &s.orders {
            let amount = o.amount.map(|a| format!(" {a}")).unwrap_or_default();
            let original = o.original.map(|x| format!(" of {x}")).unwrap_or_default();
            line("order", format!("{} {}{amount}{original}, {:?}", o.id, o.kind.name(), o.customer));
        }
        line("messages", format!("{:?}, line down {:?}", s.faults, s.down));
        for (what, of) in [
            ("sign-ins", format!("{:?}", s.sign_ins)),
            ("papers", format!("{:?}", s.prints)),
            ("commits", format!("{} ms each, {:?}", s.commit_ms.max(1), s.disk)),
        ] {
            line(what, of);
        }
        s.inputs.iter().for_each(|(ms, n)| line("inputs", format!("at {ms} ms {n:?}")));
        line("cuts at points", format!("{:?}, clock then {:?}", self.cuts, s.skews));
        line(
            "calm after",
            format!("{:?} ms, a person asks {:?} ms after what is stuck", s.calm_after, s.asks_after),
        );
        line(
            "accounts",
            format!(
                "{}, snapshot every {}, totals disputed: {}",
                self.settings.accounts.len(),
                self.settings.snapshot_every,
                s.disputes
            ),
        );
        out
    }
}

/// Runs one seed. Counts of what was met go into `seen`.
pub fn one(seed: u64, seen: &mut BTreeMap<String, u64>) -> Result<u64, Box<Failure>> {
    let case = Case::draw(seed);
    match case.run() {
        (Some(world), None) => {
            for (what, n) in &world.seen {
                *seen.entry(what.clone()).or_default() += n;
            }
            Ok(world.digest())
        }
        (_, why) => {
            let why = why.unwrap_or_default();
            let shortest = case.shrink(&why);
            let (world, last) = shortest.run();
            let journal: Vec<String> =
                world.iter().flat_map(|w| w.journal.iter().chain(w.pending())).map(told_short).collect();
            let from = journal.len().saturating_sub(60);
            let story = format!(
                "{}  journal:\n    {}\n  {}",
                shortest.words(),
                journal[from..].join("\n    "),
                last.unwrap_or_default()
            );
            Err(Box::new(Failure { seed, why, story }))
        }
    }
}

/// Names of all records, as the schema has them.
pub fn record_names() -> Vec<String> {
    let known = |json: &str| {
        let error = serde_json::from_str::<Record>(json).map_or_else(|e| e.to_string(), |_| String::new());
        let names = error.split_once("expected one of ").map_or("", |(_, names)| names);
        names.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let of = |family: String| match family.as_str() {
        "operator" | "onboarding" => vec![family],
        "request" | "account" | "terminal" => known(&format!(r#"{{"{family}":{{"?":{{}}}}}}"#)),
        _ => known(&format!(r#"{{"{family}":{{"?":{{}}}}}}"#))
            .iter()
            .map(|r| format!("{family}_{r}"))
            .collect(),
    };
    known(r#"{"?":{}}"#).into_iter().flat_map(of).collect()
}

/// Records that come from people at the keypad, from customer service or from terminal management; tests of
/// their own write them (`operators.rs`, `selftest.rs`, `apply.rs`).
pub const NOT_HERE: [&str; 4] = ["onboarding", "self_tested", "language_set", "operator"];

/// Events that the swarm must meet in enough runs, and has not: every kind approved, every fault of every
/// kind of message that knows it, every record.
pub fn missing(seen: &BTreeMap<String, u64>) -> Vec<String> {
    let records =
        record_names().into_iter().filter(|n| !NOT_HERE.contains(&n.as_str())).map(|n| format!("record {n}"));
    let kinds = Kind::ALL.into_iter().map(|k| format!("told {} approved", k.name()));
    let disk = [
        "disk failed",
        "disk failed and kept",
        "disk full",
        "mishap power cut",
        "mishap terminal died",
        "mishap spooler died with a job",
    ];
    let faults = draw::WIRE.iter().map(|(_, f)| format!("fault request: {}", f.name()));
    // A completion's advice seldom waits long enough for its cancel.
    let withdrawn = [Kind::Sale, Kind::Void].map(|k| format!("withdrawn {}", k.name()));
    let all = records.chain(kinds).chain(disk.map(ToOwned::to_owned)).chain(faults).chain(withdrawn);
    all.filter(|what| !seen.contains_key(what)).collect()
}

/// Message for a failed seed in a test.
pub fn explain(f: &Failure) -> String {
    format!("seed {}: {}\n{}", f.seed, f.why.lines().next().unwrap_or_default(), f.story)
}

/// Seeds `from..from + many` on all processors; their digests in order, what was met, and the first failure.
pub fn seeds(from: u64, many: u64) -> (Vec<u64>, BTreeMap<String, u64>, Option<Box<Failure>>) {
    use std::sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    };
    type Done = (BTreeMap<u64, u64>, BTreeMap<String, u64>, Option<Box<Failure>>);
    let (next, done): (AtomicU64, Mutex<Done>) = (AtomicU64::new(from), Mutex::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                let mut seen = BTreeMap::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + many {
                        break;
                    }
                    let result = one(seed, &mut seen);
                    let mut all = done.lock().expect("lock");
                    match result {
                        Ok(digest) => drop(all.0.insert(seed, digest)),
                        Err(f) => {
                            next.store(from + many, Ordering::Relaxed);
                            if all.2.as_ref().is_none_or(|x| x.seed > f.seed) {
                                all.2 = Some(f);
                            }
                        }
                    }
                }
                let mut all = done.lock().expect("lock");
                for (what, n) in seen {
                    *all.1.entry(what).or_default() += n;
                }
            });
        }
    });
    let (digests, seen, failed) = done.into_inner().expect("lock");
    (digests.into_values().collect(), seen, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_is_the_same_run() {
        for seed in 1..=12 {
            let digest = || Case::draw(seed).run().0.map(|w| w.digest());
            assert_eq!(digest(), digest(), "seed {seed}");
        }
        assert_ne!(Case::draw(1).run().0.map(|w| w.digest()), Case::draw(2).run().0.map(|w| w.digest()));
    }

    #[test]
    fn records_have_names() {
        let names = record_names();
        assert!(names.len() > 30 && names.contains(&"allowed".to_owned()), "{names:?}");
        assert!(NOT_HERE.iter().all(|n| names.iter().any(|m| m == n)), "{names:?}");
    }
}
