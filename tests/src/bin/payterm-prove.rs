//! `make prove`: the big numbers. One JSON object a line in `target/proof.json`; exits 1 when any of them is not ok.
//! PAYTERM_KILLS (100), PAYTERM_SEEDS (20,000), PAYTERM_REQUESTS (1,000), PROPTEST_CASES (20,000) and PAYTERM_SEED (of the kills; else the clock) change them.
//! With names as arguments only those are run, and the file stays as it is: `payterm-prove kills`.
use payterm_tests::kills;
use serde_json::{Value, json};
use std::{
    process::{Command, ExitCode},
    time::{Instant, SystemTime},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|e| format!("{name}={text}: {e}").into()),
        Err(_) => Ok(default),
    }
}

/// Tests with optimisation: all of them pass, and there are some. `value` is known, or read from what they print.
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
    let passed: u64 = text.lines().filter_map(|l| l.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok()).sum();
    let ok = out.status.success() && passed > 0;
    if !ok {
        println!("{text}\n{}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(json!({"name": name, "value": value(&text), "unit": unit, "ok": ok, "tests": passed, "seconds": began.elapsed().as_secs()}))
}

/// The crash loop prints `sale: 70 cuts`, maybe on the line on which the test runner names the test.
fn cuts(text: &str) -> u64 {
    text.lines().filter_map(|l| l.strip_suffix(" cuts")?.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

fn kill_loop() -> Result<Value> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let (count, seed) = (u32::try_from(number("PAYTERM_KILLS", 100)?)?, number("PAYTERM_SEED", clock)?);
    println!("kills: {count} of the daemon under traffic, seed {seed}");
    let began = Instant::now();
    let v = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(kills::run(count, seed))?;
    if !v.ok() {
        println!("{v:#?}");
    }
    Ok(json!({
        "name": "kills", "value": count, "unit": "kill -9", "ok": v.ok() && v.requests > 0, "seed": seed, "seconds": began.elapsed().as_secs(),
        "requests": v.requests, "under_way": v.under_way, "ends": v.ends,
        "lost": v.lost.len(), "double": v.double.len(), "unexplained": v.unexplained.len(),
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
    let proofs: [Proof<'_>; 7] = [
        ("crash", Box::new(|n| tests(n, cuts, "cuts", &["-p", "payterm-tests", "--test", "crash", "--", "--nocapture"]))),
        ("seeds", Box::new(|n| tests(n, |_| seeds, "seeds from 1 on", &["-p", "payterm-tests", "--test", "seeds"]))),
        ("codec", Box::new(|n| tests(n, |_| cases, "cases a property", &["-p", "payterm-hosts", "-p", "payterm-vault"]))),
        ("canary", Box::new(|n| tests(n, |_| 0, "canaries found", &["-p", "payterm-tests", "--test", "canary"]))),
        ("frames", Box::new(|n| tests(n, |_| 0, "captured frames wrong", &["-p", "payterm-tests", "--test", "captured"]))),
        ("totals", Box::new(|n| tests(n, |_| requests, "random requests, books equal", &["-p", "payterm-tests", "--test", "counter_e2e", "random"]))),
        ("kills", Box::new(|_| kill_loop())),
    ];
    let mut lines = Vec::new();
    let mut all_ok = true;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|a| !proofs.iter().any(|(n, _)| n == a)) {
        println!("there is no proof '{unknown}'");
        return ExitCode::from(2);
    }
    for (name, prove) in proofs.into_iter().filter(|(n, _)| asked.is_empty() || asked.iter().any(|a| a == n)) {
        let line = prove(name).unwrap_or_else(|e| json!({"name": name, "value": null, "unit": "", "ok": false, "error": e.to_string()}));
        all_ok &= line["ok"] == true;
        println!("{line}");
        lines.push(line.to_string());
    }
    if !asked.is_empty() {
        return if all_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let path = format!("{ROOT}/target/proof.json");
    let written = std::fs::create_dir_all(format!("{ROOT}/target")).and_then(|()| std::fs::write(&path, lines.join("\n") + "\n"));
    if let Err(e) = &written {
        println!("{path}: {e}");
    }
    if all_ok && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
