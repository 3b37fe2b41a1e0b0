//! `make prove`: the big numbers. One JSON object a line in `target/proof.json`; exits 1 when any of them is
//! not ok. PAYTERM_KILLS (500), PAYTERM_SYNCS (120), PAYTERM_FAILURES (40, of three calls each), PAYTERM_CUTS
//! (100), PAYTERM_FULL (20), PAYTERM_QUEUE (10,000), PAYTERM_SEEDS (20,000), PAYTERM_REQUESTS (1,000),
//! PROPTEST_CASES (20,000) and PAYTERM_SEED (of the blows; else the clock) change them. With names as
//! arguments only those are run, and the file stays as it is: `payterm-prove kills`.
use payterm_tests::{
    planted,
    real::{audit::Verdict, disk, kills},
};
use serde_json::{Value, json};
use std::{
    process::{Command, ExitCode},
    time::{Instant, SystemTime},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

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
        .env("PAYTERM_SEEDS", number("PAYTERM_SEEDS", 20_000)?.to_string())
        .env("PAYTERM_REQUESTS", number("PAYTERM_REQUESTS", 1_000)?.to_string())
        .env("PROPTEST_CASES", number("PROPTEST_CASES", 20_000)?.to_string())
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
    Ok(
        json!({"name": name, "value": value(&text), "unit": unit, "ok": ok, "tests": passed, "seconds": began.elapsed().as_secs()}),
    )
}

/// The crash loop prints `sale: 70 cuts`, maybe on the line on which the test runner names the test.
fn cuts(text: &str) -> u64 {
    text.lines().filter_map(|l| l.strip_suffix(" cuts")?.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Each planted bug is caught by the invariant that it names. PAYTERM_PLANTED=07,12 takes only those.
fn planted_bugs() -> Result<Value> {
    let names: Vec<String> = std::env::var("PAYTERM_PLANTED")
        .map(|v| v.split(',').map(ToOwned::to_owned).collect())
        .unwrap_or_default();
    println!("planted bugs: each built and run for {} seeds", planted::WITHIN);
    let began = Instant::now();
    let bugs = planted::run(&names)?;
    let caught = bugs.iter().filter(|b| b.seed.is_some()).count();
    let each: Vec<Value> = bugs
        .iter()
        .map(|c| json!({"name": c.bug.name, "invariant": c.bug.invariant, "seed": c.seed}))
        .collect();
    Ok(json!({
        "name": "planted", "value": caught, "unit": format!("of {} planted bugs caught within {} seeds", bugs.len(), planted::WITHIN),
        "ok": caught == bugs.len() && (caught >= 12 || !names.is_empty()), "seconds": began.elapsed().as_secs(), "bugs": each,
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
        "name": "queue", "value": n, "unit": "offline payments, each once, in the order of its card", "ok": ok, "seconds": began.elapsed().as_secs(),
        "kills": v.kills, "arrived": v.arrived, "different": v.different, "disordered": v.disordered, "stuck": v.stuck, "rate": v.rate,
    }))
}

fn main() -> ExitCode {
    let (seeds, cases) = match (number("PAYTERM_SEEDS", 20_000), number("PROPTEST_CASES", 20_000)) {
        (Ok(s), Ok(c)) => (s, c),
        (Err(e), _) | (_, Err(e)) => {
            println!("{e}");
            return ExitCode::from(2);
        }
    };
    type Proof<'a> = (&'a str, Box<dyn Fn(&str) -> Result<Value> + 'a>);
    let requests = match number("PAYTERM_REQUESTS", 1_000) {
        Ok(n) => n,
        Err(e) => {
            println!("{e}");
            return ExitCode::from(2);
        }
    };
    let proofs: [Proof<'_>; 13] = [
        (
            "crash",
            Box::new(|n| {
                tests(
                    n,
                    cuts,
                    "cuts",
                    &["-p", "payterm-tests", "--test", "sim", "crash::", "--", "--nocapture"],
                )
            }),
        ),
        (
            "seeds",
            Box::new(|n| {
                tests(n, |_| seeds, "seeds from 1 on", &["-p", "payterm-tests", "--test", "sim", "seeds::"])
            }),
        ),
        (
            "codec",
            Box::new(|n| {
                tests(n, |_| cases, "cases a property", &["-p", "payterm-hosts", "-p", "payterm-vault"])
            }),
        ),
        (
            "canary",
            Box::new(|n| {
                tests(
                    n,
                    |_| 0,
                    "canaries found",
                    &["-p", "payterm-tests", "--features", "real", "--test", "real", "canary::"],
                )
            }),
        ),
        (
            "frames",
            Box::new(|n| {
                tests(
                    n,
                    |_| 0,
                    "captured frames wrong",
                    &["-p", "payterm-tests", "--features", "real", "--test", "real", "captured::"],
                )
            }),
        ),
        (
            "totals",
            Box::new(|n| {
                tests(
                    n,
                    |_| requests,
                    "random requests, books equal",
                    &["-p", "payterm-tests", "--features", "real", "--test", "real", "after_random_traffic"],
                )
            }),
        ),
        ("queue", Box::new(|_| queue())),
        (
            "kills",
            Box::new(|n| {
                evening(n, "kill -9 under traffic, bad line", |seed| {
                    Box::pin(kills::run(blows("PAYTERM_KILLS", 500), seed))
                })
            }),
        ),
        (
            "syncs",
            Box::new(|n| {
                evening(n, "kills, each at the next sync", |seed| {
                    Box::pin(kills::at_each_sync(1..=blows("PAYTERM_SYNCS", 120), seed))
                })
            }),
        ),
        (
            "failures",
            Box::new(|n| {
                evening(n, "EIO or ENOSPC of a sync or write", |seed| {
                    Box::pin(kills::failing_calls(1..=blows("PAYTERM_FAILURES", 40), seed))
                })
            }),
        ),
        (
            "power",
            Box::new(|n| {
                on_a_disk(n, "power cuts under traffic, bad line", |seed| {
                    Box::pin(kills::power_cuts(blows("PAYTERM_CUTS", 100), seed))
                })
            }),
        ),
        (
            "full",
            Box::new(|n| {
                on_a_disk(n, "full disks, freed", |seed| {
                    Box::pin(kills::full_disk(blows("PAYTERM_FULL", 20), seed))
                })
            }),
        ),
        ("planted", Box::new(|_| planted_bugs())),
    ];
    let mut lines = Vec::new();
    let mut all_ok = true;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|a| !proofs.iter().any(|(n, _)| n == a)) {
        println!("there is no proof '{unknown}'");
        return ExitCode::from(2);
    }
    for (name, prove) in proofs.into_iter().filter(|(n, _)| asked.is_empty() || asked.iter().any(|a| a == n))
    {
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
