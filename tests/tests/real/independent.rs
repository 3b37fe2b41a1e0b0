//! The terminal against an acquirer that shares no line with our codec: tests/acquirer, Python with pyiso8583
//! and psec, written from docs/host-protocol.md. Its books and the terminal's must agree to the cent.
use crate::common::*;
use payterm_dbus::Client;
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    Fault, Kind, Outcome, Status, Terminal,
    record::{Duty, ObligationState},
    request::RequestWire,
};
use payterm_tests::{
    real::stack::{Stack, caller},
    sim::rng::Rng,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

const TMK: &str = "0123456789ABCDEFFEDCBA9876543210";
const PATIENCE: Duration = Duration::from_secs(120);

/// The acquirer's process and its console.
struct Acquirer {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
    address: String,
}

impl Acquirer {
    fn start(mishaps: Option<u64>) -> Done<Self> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let python = format!("{root}/.venv/bin/python");
        assert!(Path::new(&python).exists(), "make test makes the venv");
        let mut command = Command::new(python);
        command.args(["-W", "ignore", &format!("{root}/tests/acquirer/acquirer.py"), "--tmk", TMK]);
        command.args(["--tid", "TEST0001", "--mid", "TESTMERCHANT001"]);
        if let Some(seed) = mishaps {
            command.args(["--mishaps", &seed.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let say = child.stdin.take().ok_or("stdin")?;
        let hear = BufReader::new(child.stdout.take().ok_or("stdout")?);
        let mut it = Self { child, say, hear, address: String::new() };
        it.address = it.line()?["address"].as_str().ok_or("address")?.to_owned();
        Ok(it)
    }
    fn line(&mut self) -> Done<Value> {
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
    fn ask(&mut self, command: &str) -> Done<Value> {
        writeln!(self.say, "{command}")?;
        let said = self.line()?;
        assert_eq!(said["error"], Value::Null, "{command}");
        Ok(said)
    }
    /// Batch, STAN, kind and amount of what stands in its books.
    fn books(&mut self) -> Done<BTreeSet<(u64, u64, String, u64)>> {
        let ledger = self.ask("ledger")?;
        let number = |e: &Value, name: &str| e[name].as_u64().expect("a number");
        let entries = ledger["entries"].as_array().ok_or("entries")?;
        Ok(entries
            .iter()
            .filter(|e| e["reversed"] == false)
            .map(|e| {
                let kind = e["kind"].as_str().expect("kind").to_owned();
                (number(e, "batch"), number(e, "stan"), kind, number(e, "amount"))
            })
            .collect())
    }
}

impl Drop for Acquirer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stack(acquirer: &Acquirer) -> Done<Stack> {
    Stack::start(|c, _| {
        let account = &mut c.accounts[0];
        account.address.clone_from(&acquirer.address);
        (account.connect_timeout_ms, account.reply_timeout_ms) = (1_000, 1_000);
        (account.obligation_backoff_ms, account.obligation_backoff_max_ms) = (50, 500);
        account.obligation_tries = 10;
        c.settlement.batch_max = 900;
        c.flow.prepare_timeout_ms = 5_000;
        c.paper.merchant_copy = false;
        c.paper.customer_copy = false;
        c.log.level = "warn".into();
    })
}

/// What the terminal says that it has taken and given back, as [`Acquirer::books`].
fn told(outcomes: &[Outcome]) -> BTreeSet<(u64, u64, String, u64)> {
    let row = |o: &Outcome| {
        let (batch, stan) = (o.batch.expect("batch"), o.stan.expect("stan"));
        (
            u64::from(batch.get()),
            u64::from(stan.get()),
            o.kind.name().to_owned(),
            o.sums.amount.expect("amount"),
        )
    };
    outcomes.iter().filter(|o| o.status == Status::Approved).map(row).collect()
}

async fn ask(stack: &Stack, client: &Client, wire: &RequestWire, code: Option<&str>) -> Done {
    let kind = Kind::named(&wire.kind).ok_or("kind")?;
    let key = start(client, wire.clone()).await;
    let mut virtuals = stack.virtuals()?;
    let soon = When::Within(PATIENCE);
    let running = || async { client.recall(&caller(), &key).await.map(|t| t.outcome.status) };
    if kind.row().card == payterm_schema::kind::CardRule::None || running().await? != Status::Running {
        return Ok(());
    }
    // A request that has ended by now asks for nothing.
    let shown = match code {
        Some(code) => virtuals.scan(code, soon),
        None => virtuals.swipe(ALICE.0, ALICE.1, soon),
    };
    if shown.is_ok() && code.is_none() && kind.row().pin {
        let _ = virtuals.pin(PIN, soon);
    }
    Ok(())
}

/// What is stuck is settled by a person, who looks into the acquirer's books.
async fn nothing_is_owed(client: &Client, acquirer: &mut Acquirer) -> Done {
    let began = Instant::now();
    loop {
        let open = client.obligations(&caller()).await?;
        if open.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("still owed: {open:?}").into());
        }
        for o in open.iter().filter(|o| o.state == ObligationState::Stuck) {
            let stands = acquirer.books()?.iter().any(|(batch, stan, ..)| {
                (*batch, *stan) == (u64::from(o.plan.batch.get()), u64::from(o.plan.stan.get()))
            });
            let done = if o.duty == Duty::ManualResolution {
                client.resolve_obligation(&caller(), o.txn, stands, None, "asked the acquirer").await
            } else {
                client.retry_obligation(&caller(), o.txn).await
            };
            if let Err(e) = done
                && !matches!(e, Fault::NotFound { .. } | Fault::TooLate { .. })
            {
                return Err(e.into());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Settles; both sides have the same totals and the batch is closed on both.
fn settled(stack: &Stack, acquirer: &mut Acquirer, outcomes: &[Outcome]) -> Done {
    let settled: Value = serde_json::from_slice(&stack.ctl(&["settle", "--json"])?.stdout)?;
    assert_eq!(settled["settlement"]["domestic_verdict"], "balanced", "{settled}");
    let ledger = acquirer.ask("ledger")?;
    let (closed, sums) = (&ledger["batches"]["1"], told(outcomes));
    let side = |debit: bool| {
        let mine = || sums.iter().filter(move |(_, _, kind, _)| (kind == "sale") == debit);
        [mine().map(|(.., amount)| amount).sum::<u64>(), mine().count() as u64]
    };
    assert_eq!(closed["theirs"], serde_json::json!([side(true), side(false)].concat()), "{closed}");
    assert_eq!((&closed["ours"], &closed["ended"]), (&closed["theirs"], &Value::from("207")), "{closed}");
    assert_eq!(ledger["batch"], 2);
    assert_eq!(ledger["complaints"], serde_json::json!([]));
    Ok(())
}

fn refund(id: &str, original: &str, amount: &str) -> RequestWire {
    RequestWire { kind: "refund".into(), original_id: Some(original.into()), ..sale(id, amount) }
}

#[tokio::test]
async fn every_step_of_a_day_is_understood_by_another_acquirer() -> Done {
    let mut acquirer = Acquirer::start(None)?;
    let stack = stack(&acquirer)?;
    let client = stack.client().await?;
    let mut all = Vec::new();
    for wire in [sale("a", "12.34"), sale("b", "5.00"), void("c", "b"), refund("d", "a", "2.34")] {
        ask(&stack, &client, &wire, None).await?;
        all.push(last(&client, &wire.id).await);
        is(&all[all.len() - 1], Status::Approved);
    }
    ask(&stack, &client, &sale("e", "0.88"), Some("6212345678901234567")).await?;
    all.push(last(&client, "e").await);
    is(&all[4], Status::Approved);
    // A wrong PIN, then the right one.
    start(&client, sale("f", "1.00")).await;
    let mut virtuals = stack.virtuals()?;
    virtuals.swipe(ALICE.0, ALICE.1, SOON)?;
    virtuals.pin("654321", SOON)?;
    virtuals.pin(PIN, SOON)?;
    all.push(last(&client, "f").await);
    is(&all[5], Status::Approved);
    for (id, mishap) in [("g", "drop_reply"), ("h", "drop_request"), ("i", "bad_mac"), ("j", "wrong_stan")] {
        acquirer.ask(&format!("mishap {mishap}"))?;
        ask(&stack, &client, &sale(id, "7.00"), None).await?;
        is(&last(&client, id).await, Status::Declined);
        all.push(last(&client, id).await);
    }
    nothing_is_owed(&client, &mut acquirer).await?;
    assert_eq!(acquirer.books()?, told(&all));
    settled(&stack, &mut acquirer, &all)
}

#[tokio::test]
async fn mishaps_and_kills_leave_both_books_equal() -> Done {
    let count: u64 = std::env::var("PAYTERM_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let seed = 20_261_201;
    let mut rng = Rng::salted(seed, 2);
    let mut acquirer = Acquirer::start(Some(seed))?;
    let mut stack = stack(&acquirer)?;
    let mut client = stack.client().await?;
    let mut sales = Vec::<String>::new();
    let mut issued = Vec::<String>::new();
    for n in 0..count {
        let id = format!("r-{n}");
        let amount = format!("{}.{:02}", 1 + rng.roll(9), rng.roll(100));
        let original = rng.one(&sales).cloned();
        let (wire, code) = match (rng.roll(8), original) {
            (0, Some(of)) => (void(&id, &of), None),
            (1, Some(of)) => (refund(&id, &of, "0.50"), None),
            (2, _) => (sale(&id, &amount), Some(format!("62{:017}", 5_000_000_000 + n))),
            _ => (sale(&id, &amount), None),
        };
        ask(&stack, &client, &wire, code.as_deref()).await?;
        issued.push(id.clone());
        if n % 20 == 7 {
            tokio::time::sleep(Duration::from_millis(rng.roll(60))).await;
            stack.kill_daemon();
            stack.start_daemon(&[])?;
            client = stack.client().await?;
        }
        let first = client.wait(&caller(), &key(&id), false).await?;
        // Only what was swiped is given back.
        if first.status == Status::Approved && wire.kind == "sale" && code.is_none() {
            sales.push(id);
        }
    }
    acquirer.ask("calm")?;
    nothing_is_owed(&client, &mut acquirer).await?;
    let mut all = Vec::new();
    for id in &issued {
        all.push(last(&client, id).await);
    }
    let ledger = acquirer.ask("ledger")?;
    assert_eq!(ledger["complaints"], serde_json::json!([]), "{}", ledger["mishaps"]);
    assert_eq!(acquirer.books()?, told(&all), "{}", ledger["mishaps"]);
    let approved = all.iter().filter(|o| o.status == Status::Approved).count();
    println!("{approved} approved of {count}: {}", ledger["mishaps"]);
    assert!(approved > usize::try_from(count)? / 4);
    settled(&stack, &mut acquirer, &all)
}
