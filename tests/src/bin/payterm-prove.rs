//! `make prove`: the big numbers. One JSON object a line in `target/proof.json`; exits 1 when any of them is
//! not ok. PAYTERM_KILLS (500), PAYTERM_SYNCS (120), PAYTERM_FAILURES (40, of three calls each), PAYTERM_CUTS
//! (100), PAYTERM_FULL (20), PAYTERM_QUEUE (10,000), PAYTERM_SEEDS (20,000), PAYTERM_REQUESTS (1,000),
//! PAYTERM_VECTORS (100,000), PAYTERM_FUZZ (50,000), FUZZ_SECONDS (120, of each target), PAYTERM_PULLS
//! (2,000), PAYTERM_PULLS_PCSCD (200), PAYTERM_CERTIFICATES (800; a batch has 900), PROPTEST_CASES (20,000)
//! and PAYTERM_SEED (of the blows; else the clock) change them. With names as arguments only those are run,
//! and the file stays as it is: `payterm-prove kills`.
use payterm_tests::{
    extend, planted,
    real::{
        audit::Verdict,
        chip::{self, Readers, pulls},
        disk, kills,
        pcscd::{self, Pcscd},
        stack::programs,
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    process::{Command, ExitCode},
    time::{Instant, SystemTime},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SEEDS: u64 = 20_000;
const CASES: u64 = 20_000;
const REQUESTS: u64 = 1_000;
const VECTORS: u64 = 100_000;
const FUZZ: u64 = 50_000;
const SECONDS: u64 = 120;

fn blows(name: &str, default: u32) -> u32 {
    number(name, default.into()).ok().and_then(|n| n.try_into().ok()).unwrap_or(default)
}
fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|e| format!("{name}={text}: {e}").into()),
        Err(_) => Ok(default),
    }
}

/// Tests with optimisation: all of them pass, and there are some. `value` is known, or read from what they
/// print.
fn tests(name: &str, value: impl Fn(&str) -> u64, unit: &str, args: &[&str]) -> Result<Value> {
    println!("{name}: cargo test --profile prove {}", args.join(" "));
    let began = Instant::now();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .args(["test", "--profile", "prove"])
        .args(args)
        .current_dir(ROOT)
        .env("PAYTERM_SEEDS", number("PAYTERM_SEEDS", SEEDS)?.to_string())
        .env("PAYTERM_REQUESTS", number("PAYTERM_REQUESTS", REQUESTS)?.to_string())
        .env("PROPTEST_CASES", number("PROPTEST_CASES", CASES)?.to_string())
        .env("PAYTERM_FUZZ", number("PAYTERM_FUZZ", FUZZ)?.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    // "test result: ok. 12 passed; 0 failed; ..." a test binary.
    let passed: u64 = text
        .lines()
        .filter_map(|l| l.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let ok = out.status.success() && passed > 0;
    if !ok {
        println!("{text}\n{}", String::from_utf8_lossy(&out.stderr));
    }
    let seconds = began.elapsed().as_secs();
    let value = value(&text);
    Ok(json!({"name": name, "value": value, "unit": unit, "ok": ok, "tests": passed, "seconds": seconds}))
}

/// The crash loop prints `sale: 70 cuts`, maybe on the line on which the test runner names the test.
fn cuts(text: &str) -> u64 {
    text.lines().filter_map(|l| l.strip_suffix(" cuts")?.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Each planted bug is caught by the invariant, or the test, that it names. PAYTERM_PLANTED=07,12 takes only
/// those.
fn planted_bugs() -> Result<Value> {
    let names: Vec<String> = std::env::var("PAYTERM_PLANTED")
        .map(|v| v.split(',').map(ToOwned::to_owned).collect())
        .unwrap_or_default();
    println!("planted bugs: each built and run for {} seeds", planted::WITHIN);
    let began = Instant::now();
    let bugs = planted::run(&names)?;
    let caught = bugs.iter().filter(|b| b.by.is_some()).count();
    let each: Vec<Value> = bugs
        .iter()
        .map(|c| json!({"name": c.bug.name, "must": c.bug.by.to_string(), "caught": c.by}))
        .collect();
    Ok(json!({
        "name": "planted",
        "value": caught,
        "unit": format!("of {} planted bugs caught, by seeds within {}", bugs.len(), planted::WITHIN),
        "ok": caught == bugs.len() && (caught >= 12 || !names.is_empty()),
        "seconds": began.elapsed().as_secs(),
        "bugs": each,
    }))
}

/// Each dummy of docs/extend.md builds with what the page lists, and nothing else.
fn extensions() -> Result<Value> {
    println!("extensions: each built");
    let began = Instant::now();
    let all = extend::build()?;
    let failed: Vec<&str> = all.iter().filter(|(_, why)| why.is_some()).map(|(n, _)| n.as_str()).collect();
    Ok(json!({
        "name": "extend",
        "value": all.len() - failed.len(),
        "unit": format!("of {} extensions built", all.len()),
        "ok": failed.is_empty() && all.len() >= 3,
        "seconds": began.elapsed().as_secs(),
        "failed": failed,
    }))
}

type Evening<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Verdict>> + 'a>>;

/// The real thing under blows; the seed is PAYTERM_SEED, or the clock.
fn evening<'a>(name: &str, unit: &str, run: impl FnOnce(u64) -> Evening<'a>) -> Result<Value> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let seed = number("PAYTERM_SEED", clock)?;
    println!("{name}: {unit}, seed {seed}");
    let began = Instant::now();
    let v = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(seed))?;
    if !v.ok() {
        println!("seed {seed}: {v:#?}\n{}", v.stories.join("\n"));
    }
    let mut line = v.line(name, unit);
    line["seconds"] = began.elapsed().as_secs().into();
    Ok(line)
}

/// Some disks need loop mounts, and so root.
fn on_a_disk<'a>(name: &str, unit: &str, run: impl FnOnce(u64) -> Evening<'a>) -> Result<Value> {
    match disk::why_not() {
        Some(why) => Err(format!("no disk can be mounted here: {why}").into()),
        None => evening(name, unit, run),
    }
}

/// Cards are pulled out of readers of a pcscd, in a namespace of its own.
fn pulled_through_pcscd(name: &str) -> Result<Value> {
    if pcscd::is_alone() {
        let _pcscd = Pcscd::start()?;
        let count = blows("PAYTERM_PULLS_PCSCD", 200);
        return evening(name, "cards pulled out through pcscd, books and cards' lists equal", |seed| {
            Box::pin(pulls(Readers::Pcscd, count, seed))
        });
    }
    let out = pcscd::again(&[name])?;
    let said = String::from_utf8_lossy(&out.stdout);
    let (before, line) = said.trim_end().rsplit_once('\n').unwrap_or_default();
    println!("{before}{}", String::from_utf8_lossy(&out.stderr));
    Ok(serde_json::from_str(line)?)
}

/// Offline payments are queued, the daemon is killed three times while it forwards them.
fn queue() -> Result<Value> {
    let n = usize::try_from(number("PAYTERM_QUEUE", 10_000)?)?;
    println!("queue: {n} payments, three kills");
    let began = Instant::now();
    let (v, _stack) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(payterm_tests::real::drain::run(n, (n / 20).max(8), 3, false))?;
    let ok = (v.arrived, v.different, v.disordered, v.stuck, v.kills) == (n, n, 0, 0, 3);
    Ok(json!({
        "name": "queue",
        "value": n,
        "unit": "offline payments, each once, in the order of its card",
        "ok": ok,
        "seconds": began.elapsed().as_secs(),
        "kills": v.kills,
        "arrived": v.arrived,
        "different": v.different,
        "disordered": v.disordered,
        "stuck": v.stuck,
        "rate": v.rate,
    }))
}

/// Keys, cryptograms and scripts of the test card, computed again by pyemv and psec.
fn cryptograms() -> Result<Value> {
    let count = number("PAYTERM_VECTORS", VECTORS)?;
    println!("cryptograms: {count} inputs");
    let began = Instant::now();
    let out = Command::new(format!("{ROOT}/.venv/bin/python"))
        .args(["-W", "ignore", "tests/emv/check.py"])
        .arg(programs()?.join("examples/emv_vectors"))
        .arg(count.to_string())
        .current_dir(ROOT)
        .output()?;
    print!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    Ok(json!({
        "name": "cryptograms",
        "value": count,
        "unit": "inputs, keys, cryptograms and scripts equal pyemv's",
        "ok": out.status.success(),
        "seconds": began.elapsed().as_secs(),
    }))
}

/// Each fuzz target of the kernel for FUZZ_SECONDS, guided by what it reaches, from the corpus on; what it
/// finds and what breaks it are left in `target/fuzz`. The flags are cargo-fuzz's without its sanitizer,
/// which only a nightly compiler has: the crate has no unsafe code.
fn fuzzed() -> Result<Value> {
    const FLAGS: [&str; 8] = [
        "--cfg=fuzzing",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
        "-Cdebug-assertions",
        "-Ccodegen-units=1",
    ];
    let (seconds, began) = (number("FUZZ_SECONDS", SECONDS)?, Instant::now());
    println!("fuzz: {seconds} s a target");
    let (crate_dir, out_dir) = (format!("{ROOT}/crates/emv/fuzz"), format!("{ROOT}/target/fuzz"));
    // With a target, or the flags would be for build scripts too.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "--bins", "--target", &host, "--target-dir", &out_dir])
        .current_dir(&crate_dir)
        .env("RUSTFLAGS", FLAGS.join(" "))
        .output()?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into());
    }
    let (mut runs, mut failed) = (BTreeMap::new(), Vec::new());
    for entry in std::fs::read_dir(format!("{crate_dir}/fuzz_targets"))? {
        let target = entry?.path().file_stem().map(|n| n.to_string_lossy().into_owned());
        let target = target.ok_or("a target without a name")?;
        let found = format!("{out_dir}/corpus/{target}");
        std::fs::create_dir_all(&found)?;
        let out = Command::new(format!("{out_dir}/{host}/release/{target}"))
            .arg(format!("-max_total_time={seconds}"))
            .args([format!("-artifact_prefix={out_dir}/{target}-"), found])
            .arg(format!("{crate_dir}/corpus/{target}"))
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr);
        // "Done 1940800 runs in 26 second(s)"
        let done = said.lines().find_map(|l| l.strip_prefix("Done ")?.split(' ').next()?.parse::<u64>().ok());
        println!("  {target}: {} runs", done.unwrap_or(0));
        if !out.status.success() || done.is_none_or(|runs| runs == 0) {
            println!("{said}");
            failed.push(target.clone());
        }
        runs.insert(target, done);
    }
    Ok(json!({
        "name": "fuzz",
        "value": runs.len(),
        "unit": format!("targets, {seconds} s each"),
        "ok": failed.is_empty() && runs.len() >= 6,
        "seconds": began.elapsed().as_secs(),
        "runs": runs,
        "failed": failed,
    }))
}

/// A line of `target/proof.json`: its name, and what makes it.
type Proof = (&'static str, fn(&str) -> Result<Value>);

const PROOFS: [Proof; 21] = [
    ("crash", |name| simulated(name, cuts, "cuts", &["crash::", "--", "--nocapture"])),
    ("seeds", |name| {
        let seeds = number("PAYTERM_SEEDS", SEEDS)?;
        simulated(name, |_| seeds, "seeds from 1 on", &["seeds::"])
    }),
    ("codec", |name| {
        let cases = number("PROPTEST_CASES", CASES)?;
        tests(name, |_| cases, "cases a property", &["-p", "payterm-hosts", "-p", "payterm-vault"])
    }),
    ("cryptograms", |_| cryptograms()),
    ("chip", |name| {
        let seeds = number("PAYTERM_FUZZ", FUZZ)?;
        let args =
            ["-p", "payterm-emv", "-p", "payterm-simulator", "--test", "it", "--", "fuzz::", "spoilt::"];
        tests(name, |_| seeds, "seeds each of spoilt cards, hosts and data", &args)
    }),
    ("fuzz", |_| fuzzed()),
    ("pulls", |name| {
        let (count, readers) = (blows("PAYTERM_PULLS", 2_000), Readers::own()?);
        evening(name, "cards pulled out, books and cards' lists equal", |seed| {
            Box::pin(pulls(readers, count, seed))
        })
    }),
    ("pulls_pcscd", pulled_through_pcscd),
    ("certificates", |name| {
        let (count, kills) = (blows("PAYTERM_CERTIFICATES", 800), 30);
        evening(name, "kills of sales that cards approve alone, each TC told once", |seed| {
            Box::pin(chip::certificates(count, kills, seed))
        })
    }),
    ("canary", |name| real(name, 0, "canaries found", "canary::")),
    ("frames", |name| real(name, 0, "captured frames wrong", "captured::")),
    ("totals", |name| {
        let requests = number("PAYTERM_REQUESTS", REQUESTS)?;
        real(name, requests, "random requests, books equal", "after_random_traffic")
    }),
    ("independent", |name| {
        let requests = number("PAYTERM_REQUESTS", REQUESTS)?;
        real(name, requests, "requests, mishaps and kills, another acquirer's books equal", "independent::")
    }),
    ("queue", |_| queue()),
    ("kills", |name| {
        let kills = blows("PAYTERM_KILLS", 500);
        evening(name, "kill -9 under traffic, bad line", |seed| Box::pin(kills::run(kills, seed)))
    }),
    ("syncs", |name| {
        let syncs = 1..=blows("PAYTERM_SYNCS", 120);
        evening(name, "kills, each at the next sync", |seed| Box::pin(kills::at_each_sync(syncs, seed)))
    }),
    ("failures", |name| {
        let calls = 1..=blows("PAYTERM_FAILURES", 40);
        evening(name, "EIO or ENOSPC of a sync or write", |seed| Box::pin(kills::failing_calls(calls, seed)))
    }),
    ("power", |name| {
        let cuts = blows("PAYTERM_CUTS", 100);
        on_a_disk(name, "power cuts under traffic, bad line", |seed| Box::pin(kills::power_cuts(cuts, seed)))
    }),
    ("full", |name| {
        let disks = blows("PAYTERM_FULL", 20);
        on_a_disk(name, "full disks, freed", |seed| Box::pin(kills::full_disk(disks, seed)))
    }),
    ("planted", |_| planted_bugs()),
    ("extend", |_| extensions()),
];

/// Tests of the deterministic world.
fn simulated(name: &str, value: impl Fn(&str) -> u64, unit: &str, filter: &[&str]) -> Result<Value> {
    tests(name, value, unit, &[&["-p", "payterm-tests", "--test", "sim"], filter].concat())
}
/// Tests of the real programs; `value` is what they find when they pass.
fn real(name: &str, value: u64, unit: &str, filter: &str) -> Result<Value> {
    let args = ["-p", "payterm-tests", "--features", "real", "--test", "real", filter];
    tests(name, |_| value, unit, &args)
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let unknown = asked.iter().find(|a| !PROOFS.iter().any(|(name, _)| name == a));
    let unknown = unknown.map(|name| format!("there is no proof '{name}'"));
    let numbers = [
        ("PAYTERM_SEEDS", SEEDS),
        ("PROPTEST_CASES", CASES),
        ("PAYTERM_REQUESTS", REQUESTS),
        ("PAYTERM_VECTORS", VECTORS),
        ("PAYTERM_FUZZ", FUZZ),
        ("FUZZ_SECONDS", SECONDS),
    ];
    let unread = numbers.iter().find_map(|(name, default)| number(name, *default).err());
    if let Some(e) = unknown.or(unread.map(|e| e.to_string())) {
        println!("{e}");
        return ExitCode::from(2);
    }
    let mut lines = Vec::new();
    let mut all_ok = true;
    for (name, prove) in PROOFS.iter().filter(|(n, _)| asked.is_empty() || asked.iter().any(|a| a == n)) {
        let line = prove(name).unwrap_or_else(
            |e| json!({"name": name, "value": null, "unit": "", "ok": false, "error": e.to_string()}),
        );
        all_ok &= line["ok"] == true;
        println!("{line}");
        lines.push(line.to_string());
    }
    if !asked.is_empty() {
        return if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let path = format!("{ROOT}/target/proof.json");
    let written = std::fs::create_dir_all(format!("{ROOT}/target"))
        .and_then(|()| std::fs::write(&path, lines.join("\n") + "\n"));
    if let Err(e) = &written {
        println!("{path}: {e}");
    }
    if all_ok && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
