//! The swarm: each seed draws which mishaps are on and how often they come, the app's orders, the people, the
//! disk and the clock. After a time all mishaps are over and everything must settle. What a seed draws is a
//! script like any other: the same seed is the same run, and a failure is made shorter until nothing can be
//! left out of it.
use crate::sim::{
    bank::HostFault,
    digest::Digest,
    fixtures::{control, held, new, offline_settings, on, plain, sale, scan, settings, void},
    rng::Rng,
    script::{Customer, DiskFault, Order, Press, Script, Scripted},
    world::{World, told_short},
};
use payterm_core::{By, Settings};
use payterm_schema::{
    HostEvent, Kind, Record,
    config::{RefusalWithoutMac, RouteConfig},
    kind::AmountRule,
    paper::PrintResult,
    totals::Scope,
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

const IDS: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
/// Refusals of every class, and codes that the profile does not know.
const REFUSALS: [&str; 10] = ["51", "55", "91", "77", "96", "A0", "09", "25", "Z7", "94"];

/// One run.
#[derive(Clone)]
pub struct Case {
    pub seed: u64,
    pub settings: Settings,
    pub script: Script,
    pub cuts: Vec<usize>,
}

/// A step towards less; true when there was something to do.
type Change = Box<dyn Fn(&mut Case) -> bool>;

/// A case that broke an invariant.
pub struct Failure {
    pub seed: u64,
    pub why: String,
    /// Of the shortest case: what was drawn, and the journal.
    pub story: String,
}

/// Which invariant a message names, 0 for an assertion of the machine or the bank.
pub fn invariant(why: &str) -> u8 {
    why.split_once("invariant ")
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .unwrap_or(0)
}

/// How often a family of mishaps comes, against 200 to 1,000 for none; zero where it is off in this seed: one
/// of `off` is on.
fn rate(rng: &mut Rng, off: u64) -> u64 {
    if rng.roll(off) > 0 { 0 } else { [10, 30, 100, 250][rng.roll(4) as usize] }
}

/// Picks by weight.
fn weighted<T: Clone>(rng: &mut Rng, of: &[(u64, T)]) -> T {
    let mut at = rng.roll(of.iter().map(|(w, _)| w).sum::<u64>().max(1));
    for (w, what) in of {
        if at < *w {
            return what.clone();
        }
        at -= w;
    }
    of[0].1.clone()
}

impl Case {
    pub fn draw(seed: u64) -> Case {
        let mut rng = Rng::new(seed);
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..4 {
            rng.roll(2);
        }
        let many = 3 + rng.roll(14) as usize;
        // Some seeds are calm: what needs three good answers in a row is met there.
        let off = [2, 4, 8, 20][rng.roll(4) as usize];
        let settings = accounts(&mut rng);
        let offline = settings.accounts[0].config.offline.is_some();
        let mut script = Script {
            orders: orders(&mut rng, many, offline),
            faults: faults(&mut rng, off, 10 + 6 * many),
            sign_ins: faults(&mut rng, off.max(4), 8),
            prints: prints(&mut rng),
            inputs: inputs(&mut rng, many),
            skews: (0..4)
                .map(|_| {
                    [0, 0, -3_600_000, 3_600_000, -40 * 365 * 86_400_000, 86_400_000][rng.roll(6) as usize]
                })
                .collect(),
            disk: disk(&mut rng, many),
            calm_after: Some(20_000 + rng.roll(1_200_000) as i64),
            settle: true,
            moves_batch: true,
            disputes: rng.roll(3) == 0,
            down: down(&mut rng, many),
            ..Script::default()
        };
        let cuts = [0, 0, 1, 2, 4][rng.roll(5) as usize];
        let cuts = (0..cuts).map(|_| 1 + rng.roll(60 * many as u64) as usize).collect();
        // Two frames of one payment, the first one Stuck: whoever asks the acquirer at once comes too early.
        let two = rng.roll(8) == 0;
        if two {
            let second = [
                HostFault::LoseReply,
                HostFault::LoseRequest,
                HostFault::LateReply,
                HostFault::Pending(3),
                HostFault::Answer,
            ][rng.roll(5) as usize]
                .clone();
            script.faults.splice(
                0..0,
                [
                    HostFault::RefuseNoMac("77"),
                    HostFault::Unbuildable,
                    second,
                    HostFault::LoseReply,
                    HostFault::LoseReply,
                ],
            );
        }
        script.asks_after = [Some(1_000), Some(20_000), Some(90_000), None, None]
            [rng.roll(if two { 3 } else { 5 }) as usize]
            .map(|ms| ms + rng.roll(10_000) as i64);
        Case { seed, settings, script, cuts }
    }

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

    /// The shortest case that breaks the same invariant: whatever can be left out is.
    pub fn shrink(&self, why: &str) -> Case {
        let broken = invariant(why);
        let mut best = self.clone();
        let mut budget = 1_500;
        loop {
            let before = best.size();
            for change in best.changes() {
                let mut next = best.clone();
                if !change(&mut next) {
                    continue;
                }
                budget -= 1;
                if budget == 0 {
                    return best;
                }
                if next.run().1.is_some_and(|w| invariant(&w) == broken) {
                    best = next;
                }
            }
            if best.size() == before {
                return best;
            }
        }
    }

    /// How much there is to tell.
    fn size(&self) -> usize {
        let s = &self.script;
        let mishaps = |f: &[HostFault]| f.iter().filter(|f| **f != HostFault::Answer).count() + f.len();
        let prints = s.prints.iter().filter(|p| **p != PrintResult::Confirmed).count() + s.prints.len();
        usize::from(s.asks_after.is_some())
            + 2 * s.orders.len()
            + mishaps(&s.faults)
            + mishaps(&s.sign_ins)
            + prints
            + s.inputs.len()
            + s.skews.len()
            + s.disk.len()
            + s.down.len()
            + self.cuts.len()
    }

    /// An index that is gone by then does nothing.
    fn changes(&self) -> Vec<Change> {
        fn without<T>(v: &mut Vec<T>, i: usize) -> bool {
            let there = i < v.len();
            if there {
                v.remove(i);
            }
            there
        }
        fn cut_to<T>(v: &mut Vec<T>, n: usize) -> bool {
            let longer = v.len() > n;
            v.truncate(n);
            longer
        }
        let mut all: Vec<Change> = Vec::new();
        let s = &self.script;
        for half in [0, s.faults.len() / 4, s.faults.len() / 2] {
            all.push(Box::new(move |c| cut_to(&mut c.script.faults, half)));
        }
        all.push(Box::new(|c| cut_to(&mut c.script.sign_ins, 0)));
        all.push(Box::new(|c| c.script.asks_after.take().is_some()));
        all.push(Box::new(|c| cut_to(&mut c.script.prints, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.inputs, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.skews, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.disk, 0)));
        all.push(Box::new(|c| cut_to(&mut c.cuts, 0)));
        all.push(Box::new(|c| cut_to(&mut c.script.down, 0)));
        for i in (0..s.orders.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.orders, i)));
        }
        for i in (0..s.inputs.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.inputs, i)));
        }
        for i in (0..s.disk.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.disk, i)));
        }
        for i in (0..self.cuts.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.cuts, i)));
        }
        for i in (0..s.faults.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.faults, i)));
            all.push(Box::new(move |c| {
                c.script
                    .faults
                    .get_mut(i)
                    .is_some_and(|f| std::mem::replace(f, HostFault::Answer) != HostFault::Answer)
            }));
        }
        for i in (0..s.sign_ins.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.sign_ins, i)));
        }
        for i in (0..s.prints.len()).rev() {
            all.push(Box::new(move |c| without(&mut c.script.prints, i)));
        }
        for i in 0..s.orders.len() {
            all.push(Box::new(move |c| {
                let plain =
                    c.script.orders.get_mut(i).filter(|o| {
                        !matches!(o.customer, Customer::Swipes | Customer::Shows | Customer::Walks)
                    });
                plain
                    .is_some_and(|o| std::mem::replace(&mut o.customer, Customer::Swipes) != Customer::Swipes)
            }));
        }
        all
    }

    /// What was drawn, in words.
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
            ("commits", format!("{:?}", s.disk)),
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

/// What the swarm must meet in enough runs, and has not: every kind approved, every fault of every kind of message
/// that knows it, every record.
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
    let faults = WIRE.iter().map(|(_, f)| format!("fault request: {}", f.name()));
    let all = records.chain(kinds).chain(disk.map(ToOwned::to_owned)).chain(faults);
    all.filter(|what| !seen.contains_key(what)).collect()
}

/// `offline`: the merchant accepts what cannot be sent, and cards that may be accepted so come often.
fn orders(rng: &mut Rng, many: usize, offline: bool) -> Vec<Order> {
    // Which kinds of order this seed knows, and how much it likes them.
    let like = |rng: &mut Rng| rng.roll(3) * rng.roll(5);
    let (voids, scans, controls, later, holds, others, queries) =
        (like(rng), like(rng), like(rng), like(rng), like(rng), like(rng), like(rng));
    let settlements = like(rng) / 2;
    let weights = [
        (4, 0),
        (voids, 1),
        (scans, 2),
        (controls, 3),
        (4 * later, 4),
        (holds, 5),
        (others, 6),
        (queries, 7),
        (settlements, 8),
    ];
    let customers = [
        Customer::Walks,
        Customer::CancelsAtPin,
        Customer::PressesCancel,
        Customer::SwipesOther,
        Customer::SwipesOther,
        Customer::Bypasses,
        Customer::TakesPart,
        Customer::TakesPart,
        Customer::Fumbles,
        Customer::SwipesTwice,
        Customer::PadFails,
        Customer::FallsAsleep,
        Customer::SwipesPlain(0),
        Customer::SwipesPlain(1),
        Customer::SwipesPlain(1),
    ];
    let mut orders: Vec<Order> = Vec::new();
    for (i, id) in IDS.into_iter().take(many).enumerate() {
        // Of what came before, seldom of itself or of nothing.
        let original = IDS[rng.roll(i as u64 + 1) as usize];
        let amount = 1_000 + 2 * rng.roll(50);
        orders.push(match weighted(rng, &weights) {
            1 => {
                let sales: Vec<&str> = orders.iter().filter(|o| o.kind == Kind::Sale).map(|o| o.id).collect();
                void(
                    id,
                    if sales.is_empty() || rng.roll(3) == 0 {
                        original
                    } else {
                        sales[rng.roll(sales.len() as u64) as usize]
                    },
                )
            }
            2 => Order { amount: Some(amount), ..scan(id) },
            3 => control(
                id,
                [
                    Kind::SignIn,
                    Kind::SignOff,
                    Kind::Echo,
                    Kind::Parameters,
                    Kind::StatusUpload,
                    Kind::Settlement,
                ][rng.roll(6) as usize],
            ),
            4 => {
                // Mostly one that something before it fits; where nothing does, what would.
                let kinds = [
                    Kind::Completion,
                    Kind::CompletionAdvice,
                    Kind::CompletionCancel,
                    Kind::PreAuthCancel,
                    Kind::TipAdjust,
                ];
                let kind = if rng.roll(3) == 0 { Kind::Refund } else { kinds[rng.roll(5) as usize] };
                let of: &[Kind] = match kind {
                    Kind::Completion | Kind::CompletionAdvice | Kind::PreAuthCancel => &[Kind::PreAuth],
                    Kind::CompletionCancel => &[Kind::Completion, Kind::CompletionAdvice],
                    _ => &[Kind::Sale],
                };
                let fitting: Vec<&str> =
                    orders.iter().filter(|o| of.contains(&o.kind)).map(|o| o.id).collect();
                if fitting.is_empty() && of[0] != Kind::Completion && rng.roll(4) > 0 {
                    orders.push(Order { amount: Some(amount), ..new(of[0], id) });
                    continue;
                }
                let original = if fitting.is_empty() {
                    original
                } else {
                    fitting[rng.roll(fitting.len() as u64) as usize]
                };
                let amount = match kind.row().amount {
                    AmountRule::None => None,
                    AmountRule::Needed | AmountRule::Optional => Some([30, 400, 1_000][rng.roll(3) as usize]),
                };
                Order { amount, ..on(kind, id, original) }
            }
            5 => Order {
                amount: Some(amount),
                ..new([Kind::PreAuth, Kind::PreAuth, Kind::VoiceSale][rng.roll(3) as usize], id)
            },
            6 => {
                Order { amount: Some(amount), customer: customers[rng.roll(15) as usize].clone(), ..sale(id) }
            }
            8 => control(id, Kind::Settlement),
            7 => Order { kind: Kind::Balance, amount: None, ..sale(id) },
            _ if offline && rng.roll(2) == 0 => {
                Order { amount: Some(amount), ..plain(id, rng.roll(2) as u8) }
            }
            _ => Order { amount: Some(amount), ..sale(id) },
        });
    }
    orders
}

/// Every fault, and how many of 1,000 of a message's family it is.
const WIRE: [(u64, HostFault); 26] = [
    (1, HostFault::NotSent),
    (1, HostFault::LoseRequest),
    (1, HostFault::LoseReply),
    (1, HostFault::LateReply),
    (1, HostFault::LateRequest),
    (1, HostFault::BadMac),
    (1, HostFault::NoMac),
    (1, HostFault::Refuse("")),
    (1, HostFault::RefuseNoMac("")),
    (1, HostFault::SlowRefuse(0, "")),
    (1, HostFault::Partial),
    (1, HostFault::Require(0)),
    (1, HostFault::Pending(0)),
    (1, HostFault::Twice),
    (1, HostFault::Damaged),
    (1, HostFault::Slow(0)),
    (1, HostFault::LinkDied),
    (1, HostFault::LinkSilent),
    (1, HostFault::Unbuildable),
    (1, HostFault::Unbalanced),
    (1, HostFault::UnbalancedForeign),
    (1, HostFault::SettleError),
    (1, HostFault::ImpossibleDigit),
    (1, HostFault::Contradiction),
    (1, HostFault::Garbage),
    (1, HostFault::Answer),
];

fn faults(rng: &mut Rng, off: u64, many: usize) -> Vec<HostFault> {
    let rates: Vec<(u64, HostFault)> = WIRE
        .iter()
        .map(|(_, f)| match f {
            HostFault::Answer => (200 + rng.roll(800), f.clone()),
            // Whoever cannot build a message must be called: seldom.
            HostFault::Unbuildable => (rate(rng, off) / 10, f.clone()),
            // To whatever is no payment by code it is an answer like any other.
            HostFault::Pending(_) => (4 * rate(rng, off), f.clone()),
            f => (rate(rng, off), f.clone()),
        })
        .collect();
    (0..many)
        .map(|_| match weighted(rng, &rates) {
            HostFault::Refuse(_) => HostFault::Refuse(REFUSALS[rng.roll(9) as usize]),
            HostFault::RefuseNoMac(_) => HostFault::RefuseNoMac(REFUSALS[rng.roll(9) as usize]),
            HostFault::SlowRefuse(..) => {
                HostFault::SlowRefuse(rng.roll(60_000) as i64, REFUSALS[rng.roll(9) as usize])
            }
            HostFault::Require(_) => HostFault::Require([3, 3, 1, 6][rng.roll(4) as usize]),
            HostFault::Pending(_) => HostFault::Pending(rng.roll(12) as u32),
            HostFault::Slow(_) => HostFault::Slow(100 + rng.roll(50_000) as i64),
            other => other,
        })
        .collect()
}

/// When the line is down, from and to.
fn down(rng: &mut Rng, many: usize) -> Vec<(i64, i64)> {
    let span = 8_000 * many as u64;
    (0..[0, 0, 1, 3][rng.roll(4) as usize])
        .map(|_| {
            let from = rng.roll(span) as i64;
            (from, from + rng.roll(span / 2) as i64)
        })
        .collect()
}

fn prints(rng: &mut Rng) -> Vec<PrintResult> {
    let of = [
        (200, PrintResult::Confirmed),
        (rate(rng, 2), PrintResult::NotStarted("out of paper".into())),
        (rate(rng, 2), PrintResult::Unconfirmed("line".into())),
        (rate(rng, 2) / 2, PrintResult::SentUnconfirmable),
    ];
    (0..16).map(|_| weighted(rng, &of)).collect()
}

fn inputs(rng: &mut Rng, many: usize) -> Vec<(i64, Scripted)> {
    let bys = [By::Caller, By::CallerLost, By::Customer, By::Cashier, By::Shutdown];
    let kinds = [
        (rate(rng, 2), Scripted::StartAgain { same: true }),
        (rate(rng, 2), Scripted::StartAgain { same: false }),
        (rate(rng, 2), Scripted::CancelKey),
        (rate(rng, 2), Scripted::Cancel(bys[rng.roll(5) as usize])),
        (rate(rng, 2), Scripted::Retry),
        (rate(rng, 2), Scripted::Devices(false)),
        (rate(rng, 2), Scripted::Devices(true)),
        (rate(rng, 2), Scripted::PrinterReady),
        (rate(rng, 2), Scripted::Stale(0, HostEvent::NotSent { why: "stale".into() })),
        (rate(rng, 2), Scripted::Clock(0)),
        (rate(rng, 2), Scripted::TerminalDies),
        (rate(rng, 2), Scripted::SpoolerDies),
        (rate(rng, 4), Scripted::Reprint),
        (rate(rng, 4), Scripted::Report(Scope::Shift)),
        (rate(rng, 4), Scripted::Report(Scope::Batch)),
        (rate(rng, 4), Scripted::Probe),
        (rate(rng, 3), Scripted::Press(Press::ForwardAll, 0)),
        (rate(rng, 3), Scripted::Press(Press::Forward, 0)),
        (rate(rng, 3), Scripted::Press(Press::Hold, 0)),
        (rate(rng, 3), Scripted::Press(Press::Release, 0)),
        (rate(rng, 3), Scripted::Press(Press::WriteOff, 0)),
        (1, Scripted::PrinterReady),
    ];
    let count = rng.roll(2 * many as u64 + 1);
    let span = 5_000 + 8_000 * many as u64;
    // Once in a life, and a person ends it sooner or later.
    let mut torn = Vec::new();
    if rng.roll(6) == 0 {
        let at = rng.roll(span) as i64;
        torn.push((
            at,
            Scripted::JournalTorn { records: [0, 3, 12, 40][rng.roll(4) as usize], marks: rng.roll(4) > 0 },
        ));
        torn.push((at + 100 + rng.roll(60_000) as i64, Scripted::EndRecovery));
    }
    let inputs = (0..count)
        .map(|_| {
            let what = match weighted(rng, &kinds) {
                Scripted::Press(press, _) => Scripted::Press(press, rng.roll(4) as usize),
                // Tags of no run of this journal, or of this one's past.
                Scripted::Stale(_, event) => {
                    Scripted::Stale(((rng.roll(2) * 900) << 32) + rng.roll(20), event)
                }
                Scripted::Clock(_) => {
                    Scripted::Clock([1_000, 60_000, 3_600_000, 86_400_000, -3_600_000][rng.roll(5) as usize])
                }
                other => other,
            };
            (rng.roll(span) as i64, what)
        })
        .collect::<Vec<_>>();
    inputs.into_iter().chain(torn).collect()
}

fn disk(rng: &mut Rng, many: usize) -> Vec<(u32, DiskFault)> {
    let count = [0, 0, 1, 2, 5][rng.roll(5) as usize];
    (0..count)
        .map(|_| {
            let at = 1 + rng.roll(12 * many as u64) as u32;
            let fault = match rng.roll(4) {
                0 | 1 => DiskFault::Fails,
                2 => DiskFault::FailsKept,
                _ => DiskFault::Full(rng.roll(120_000) as i64),
            };
            (at, fault)
        })
        .collect()
}

/// One account or two (the second takes the cards of 4096.. and Alipay), what is trusted, how patient, how
/// often a snapshot is made.
fn accounts(rng: &mut Rng) -> Settings {
    // The merchant's own risk, within limits, where the line is down.
    let mut s = if rng.roll(3) == 0 { offline_settings() } else { settings() };
    s.accounts[0].config.obligation_tries = 1 + rng.roll(4) as u32;
    if rng.roll(2) == 0 {
        let mut second = s.accounts[0].clone();
        second.config.id = payterm_schema::AccountId::new("second").expect("id");
        second.config.refusal_without_mac = (rng.roll(2) == 0).then_some(RefusalWithoutMac::Trust);
        s.routes = vec![RouteConfig {
            account: second.config.id.clone(),
            modes: Vec::new(),
            wallet: None,
            bin: "4096-4099".parse().ok(),
            currency: None,
        }];
        s.accounts.push(second);
    }
    s.flow.pin_bypass = rng.roll(2) == 0;
    s.flow.partial_approval = rng.roll(2) == 0;
    s.snapshot_every = [1, 2, 7, 30, 10_000][rng.roll(5) as usize];
    if rng.roll(3) == 0 { held(s) } else { s }
}

/// For a failed seed in a test.
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
