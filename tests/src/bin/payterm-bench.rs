//! `make bench`: one JSON object a line in `target/bench.json`, a table on the screen. What is compared is
//! measured in the same run, turn by turn, so that a slow hour of the disk or the machine is in both numbers;
//! medians.
use payterm_devices::virtual_bench::When;
use payterm_engine::commit::CommitQueue;
use payterm_journal::{Commit, Loaded, Store};
use payterm_schema::{
    AccountId, AccountRecord, Entry, Record, Request, RequestKey, RequestRecord, Status, Terminal,
    TerminalRecord, Time, request::RequestWire,
};
use payterm_simulator::{Acquirer, Options, Running, World};
use payterm_tests::real::{
    bus_load, card_bench, drain, median, pcscd,
    stack::{Result, Stack, caller, programs},
};
use payterm_vault::SealingKey;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const SALES: usize = 200;
const STARTS: usize = 15;
const MILLION: u64 = 1_000_000;
/// Records a commit while a journal is filled.
const FILL: usize = 10_000;

fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

struct Report(Vec<Value>);
impl Report {
    fn one(&mut self, name: &str, unit: &str, value: f64) {
        self.0.push(json!({"name": name, "unit": unit, "value": value}));
    }
    fn against(&mut self, name: &str, unit: &str, value: f64, against: &str, against_value: f64) {
        self.one(name, unit, value);
        let row = self.0.last_mut().expect("just pushed");
        row["against"] = against.into();
        row["against_value"] = against_value.into();
        row["ratio"] = (value / against_value).into();
    }
    fn write(&self, path: &Path) -> Result<()> {
        let lines: Vec<String> = self.0.iter().map(Value::to_string).collect();
        std::fs::write(path, lines.join("\n") + "\n")?;
        println!("\n{:<18} {:>12} {:<4} {:>12} {:>7}  against", "name", "value", "unit", "against", "ratio");
        for r in &self.0 {
            let number = |k: &str| r[k].as_f64().map(|v| format!("{v:.3}")).unwrap_or_default();
            println!(
                "{:<18} {:>12} {:<4} {:>12} {:>7}  {}",
                r["name"].as_str().unwrap_or_default(),
                number("value"),
                r["unit"].as_str().unwrap_or_default(),
                number("against_value"),
                number("ratio"),
                r["against"].as_str().unwrap_or_default()
            );
        }
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = built.map_err(Into::into).and_then(|rt| {
        rt.block_on(async {
            match arguments[..] {
                ["till", socket] => bus_load::till(Path::new(socket)).await,
                ["ask", bus, id] => bus_load::ask(bus, id).await,
                ["tap_pcsc"] if pcscd::is_alone() => card_bench::line().map(|line| println!("{line}")),
                _ => bench().await,
            }
        })
    });
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("payterm-bench: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<()> {
    let mut report = Report(Vec::new());
    // `payterm-bench sale`: only this part.
    let only: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| only.is_empty() || only.iter().any(|o| o == part);
    if wanted("codec") {
        program(&mut report, "bench_iso8583")?;
    }
    if wanted("emv") {
        program(&mut report, "bench_emv")?;
        program(&mut report, "emv_allocations")?;
    }
    if wanted("tap_pcsc") {
        match card_bench::line() {
            Ok(line) => report.0.push(line),
            Err(e) => eprintln!("emv.tap_pcsc: left out: {e}"),
        }
    }
    if wanted("sale") {
        sale(&mut report).await?;
    }
    if wanted("notice") {
        notice(&mut report)?;
    }
    if wanted("p99") {
        let host = host()?;
        let (with, alone) = bus_load::slowest(host_address(&host)?, 80).await?;
        report.against("sale.p99", "ms", with, "the same without 8 callers that list and recall", alone);
    }
    if wanted("store") {
        std::thread::spawn(store_commits)
            .join()
            .map_err(|_| "store benches panicked")??
            .into_iter()
            .for_each(|(name, unit, v, against, av)| {
                report.against(name, unit, v, against, av);
            });
    }
    if wanted("history") {
        history(&mut report).await?;
    }
    if wanted("counts") {
        counts().await?;
    }
    if wanted("queue") {
        queue(&mut report).await?;
    }
    if wanted("starts") {
        starts(&mut report).await?;
    }
    let target = programs()?.parent().map(|p| p.join("bench.json")).ok_or("no target directory")?;
    report.write(&target)
}

/// A queue of 2,000 payments is forwarded, 8 at a time; against the bare exchanges.
async fn queue(report: &mut Report) -> Result<()> {
    const QUEUE: usize = 2_000;
    const CARDS: usize = 200;
    let (mut drained, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (v, mut stack) = drain::run(QUEUE, CARDS, 0, false).await?;
        drained.push(v.rate);
        bare.push(drain::floor(&mut stack, QUEUE, CARDS).await?);
    }
    report.against(
        "queue.drain",
        "1/s",
        median(drained),
        "exchanges with 8 in flight and a group commit per 8 answers",
        median(bare),
    );
    Ok(())
}

/// Codec and kernel have programs of their own, which print their lines.
fn program(report: &mut Report, name: &str) -> Result<()> {
    let out = Command::new(programs()?.join("examples").join(name)).output()?;
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    if !out.status.success() {
        return Err(format!("{name}: {}", out.status).into());
    }
    for line in String::from_utf8(out.stdout)?.lines() {
        report.0.push(serde_json::from_str(line)?);
    }
    Ok(())
}

/// A service that answers `Start` and `Wait`-like calls at once: what a bare bus round trip costs.
struct Echo;
#[zbus::interface(name = "org.payterm.Echo1")]
impl Echo {
    async fn echo(&self, request: std::collections::HashMap<String, zbus::Variant<'_>>) -> String {
        request.len().to_string()
    }
}

/// The floor's parts, each timed once a turn.
struct Floor {
    bus: zbus::Connection,
    tcp: TcpStream,
    db: Connection,
}

impl Floor {
    async fn new(bus: &str, dir: &Path) -> Result<Self> {
        let address = bus.to_owned();
        // Its own thread and runtime: another process's place, as far as the bus is concerned.
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || -> Option<()> {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            rt.block_on(async {
                let conn = zbus::connection::Builder::address(address.as_str())
                    .name("org.payterm.Echo")
                    .serve_at("/echo", Echo)
                    .build()
                    .await
                    .ok()?;
                ready.send(()).ok()?;
                conn.closed().await;
                Some(())
            })
        });
        is_ready.recv_timeout(Duration::from_secs(10))?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || -> std::io::Result<()> {
            let (mut s, _) = listener.accept()?;
            s.set_nodelay(true)?;
            let mut buffer = [0; 256];
            loop {
                s.read_exact(&mut buffer)?;
                s.write_all(&buffer)?;
            }
        });
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        let db = Connection::open(dir.join("floor.db"))?;
        db.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER \
        PRIMARY KEY, v TEXT)",
        )?;
        Ok(Self { bus: zbus::connection::Builder::address(bus).build().await?, tcp, db })
    }

    async fn bus_round_trip(&self) -> Result<f64> {
        let request: std::collections::HashMap<&str, zbus::Variant<'_>> = [
            ("id", "order-000000".into()),
            ("kind", "sale".into()),
            ("amount", "12.34".into()),
            ("currency", "CNY".into()),
        ]
        .into();
        let began = Instant::now();
        self.bus
            .call_method(Some("org.payterm.Echo"), "/echo", Some("org.payterm.Echo1"), "Echo", &request)
            .await?;
        Ok(ms(began.elapsed()))
    }
    fn tcp_round_trip(&mut self) -> Result<f64> {
        let mut buffer = [7; 256];
        let began = Instant::now();
        self.tcp.write_all(&buffer)?;
        self.tcp.read_exact(&mut buffer)?;
        Ok(ms(began.elapsed()))
    }
    fn commit(&self) -> Result<f64> {
        let row = "x".repeat(300);
        let began = Instant::now();
        self.db.prepare_cached("INSERT INTO t(v) VALUES (?)")?.execute([&row])?;
        Ok(ms(began.elapsed()))
    }
}

/// An acquirer in memory, in this process: it starts a runtime of its own, so not on this one's thread.
fn host() -> Result<Running> {
    let start = || {
        Acquirer::start(World::demo().map_err(|e| e.to_string())?, Options::fast()).map_err(|e| e.to_string())
    };
    Ok(std::thread::spawn(start).join().map_err(|_| "the acquirer panicked")??)
}

fn host_address(host: &Running) -> Result<String> {
    Ok(host.addr("unionpay").ok_or("no listener")?.to_string())
}

/// CPU of the daemon for a sale beside connections of apps that may see nothing of it, and for each signal to
/// those of managers.
fn notice(report: &mut Report) -> Result<()> {
    let host = host()?;
    let blind = bus_load::listeners(host_address(&host)?, false, 100, 40)?;
    println!("bus.notice: {} signals for {} sales of another app", blind.signals, blind.sales);
    report.against(
        "bus.notice",
        "ms",
        blind.with,
        "CPU of the same sale without 100 connections of another app",
        blind.alone,
    );
    let seeing = bus_load::listeners(host_address(&host)?, true, 20, 40)?;
    let more = (seeing.with - seeing.alone) * seeing.sales as f64;
    report.one("bus.signal", "us", more * 1e3 / seeing.signals as f64);
    Ok(())
}

async fn sale(report: &mut Report) -> Result<()> {
    let host = host()?;
    let address = host_address(&host)?;
    let stack = Stack::start(move |c, _| {
        c.accounts[0].address = address;
        c.accounts[0].persistent = true;
        c.log.level = "warn".into();
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let mut floor = Floor::new(&stack.bus, &stack.dir).await?;
    let (mut sales, mut floors, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..SALES {
        virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
        virtuals.pin("123456", When::Queue)?;
        let wire = RequestWire {
            id: format!("bench-{n}"),
            kind: "sale".into(),
            amount: Some("0.01".into()),
            currency: Some("CNY".into()),
            ..RequestWire::default()
        };
        let request = Request::try_from(wire)?;
        let busy = host.stats().busy_ns;
        let began = Instant::now();
        let key = client.start(&caller(), request).await?;
        let outcome = client.wait(&caller(), &key, false).await?;
        // An immediate host: what this one takes to look the card up and book the sale is not the terminal's.
        let host_took = Duration::from_nanos(host.stats().busy_ns - busy);
        let took = ms(began.elapsed().saturating_sub(host_took));
        if outcome.status != Status::Approved {
            return Err(format!("sale {n}: {:?} {:?}", outcome.status, outcome.reason).into());
        }
        // The papers are printed after the answer; the next sale does not begin in their commits.
        virtuals.wait_papers(2 * (n as u64 + 1), Duration::from_secs(10))?;
        std::thread::sleep(Duration::from_millis(3));
        let bus = floor.bus_round_trip().await? + floor.bus_round_trip().await?;
        let rest = floor.tcp_round_trip()? + floor.commit()? + floor.commit()? + floor.commit()?;
        if n >= SALES / 10 {
            sales.push(took);
            hosts.push(ms(host_took));
            floors.push(bus + rest);
        }
    }
    println!("sale.bus: the acquirer's own {:.3} ms a sale are taken off (an immediate host)", median(hosts));
    report.against(
        "sale.bus",
        "ms",
        median(sales),
        "2 bare bus round trips + 1 TCP + 3 SQLite commits",
        median(floors),
    );
    Ok(())
}

/// Counts what a sale really uses until its answer: syncs of the disk by strace in a run of its own (its
/// times are not used), messages by the acquirer's count, bus calls by construction.
async fn counts() -> Result<()> {
    const N: u64 = 10;
    let host = host()?;
    let address = host.addr("unionpay").ok_or("no listener")?.to_string();
    let mut stack = Stack::start(move |c, _| c.accounts[0].address = address)?;
    stack.stop_daemon()?;
    let trace = stack.dir.join("strace.out");
    let file = trace.to_str().ok_or("path")?.to_owned();
    stack.start_daemon(&["strace", "-f", "-ttt", "-qq", "-e", "trace=fdatasync,fsync", "-o", &file])?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    while !client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = host.stats().frames;
    let mut windows = Vec::new();
    for n in 0..N {
        virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
        virtuals.pin("123456", When::Queue)?;
        let wire = RequestWire {
            id: format!("count-{n}"),
            kind: "sale".into(),
            amount: Some("0.01".into()),
            currency: Some("CNY".into()),
            ..RequestWire::default()
        };
        let began = std::time::SystemTime::now();
        let key = client.start(&caller(), Request::try_from(wire)?).await?;
        client.wait(&caller(), &key, false).await?;
        windows.push((
            began.duration_since(std::time::UNIX_EPOCH)?.as_secs_f64(),
            std::time::UNIX_EPOCH.elapsed()?.as_secs_f64(),
        ));
        virtuals.wait_papers(2 * (n + 1), Duration::from_secs(10))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    let messages = host.stats().frames - before;
    let text = std::fs::read_to_string(&trace)?;
    let times = || {
        text.lines()
            .filter(|l| l.contains("sync("))
            .filter_map(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok())
    };
    let syncs = times().filter(|t| windows.iter().any(|(a, b)| a <= t && t <= b)).count();
    println!(
        "sale.bus: until its answer a sale used 2 bus calls (Start, Wait), {} host message(s), {} disk \
         sync(s); papers after it sync {} time(s)",
        messages as f64 / N as f64,
        syncs as f64 / N as f64,
        {
            let first = windows.first().map_or(0.0, |w| w.0);
            (times().filter(|t| *t >= first).count() - syncs) as f64 / N as f64
        }
    );
    Ok(())
}

type Measured = (&'static str, &'static str, f64, &'static str, f64);

/// Durable commits of the store against bare SQLite with rows of the same size, turn by turn; and eight
/// obligations that step on at once, their effects behind `commit.rs`, against the single rate.
fn store_commits() -> std::result::Result<Vec<Measured>, String> {
    measure_store().map_err(|e| e.to_string())
}

fn measure_store() -> Result<Vec<Measured>> {
    const TURNS: u64 = 1_500;
    const ROUNDS: u64 = 400;
    const BESIDE: usize = 8;
    let dir = tempfile::tempdir_in(programs()?)?;
    let key = SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE);
    let state = dir.path().join("state");
    let (store, _) =
        Store::open(payterm_journal::hold(&state)?, &state, key, payterm_journal::Options::default())?;
    let bare = Connection::open(dir.path().join("bare.db"))?;
    bare.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER \
    PRIMARY KEY, at INTEGER, v TEXT, h BLOB)",
    )?;
    let mut raw =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.path().join("raw"))?;
    raw.write_all(&vec![0; 1 << 20])?;
    raw.sync_all()?;
    let main = AccountId::new("main").map_err(|e| format!("account: {e}"))?;
    let record = Record::Account(AccountRecord::SignInFailed { account: main, why: "x".repeat(240) });
    let row = "x".repeat(record.encode()?.len());
    let mut seq = 0;
    let mut entry = || {
        seq += 1;
        Entry { seq, at: Time(1), txn: None, record: record.clone() }
    };
    let (mut ours, mut theirs, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..TURNS {
        let began = Instant::now();
        bare.prepare_cached("INSERT INTO t(at, v, h) VALUES (1, ?, zeroblob(32))")?.execute([&row])?;
        theirs.push(ms(began.elapsed()));
        let commit = Commit { records: vec![entry()], ..Commit::default() };
        let began = Instant::now();
        store.commit_alone(commit).blocking_recv()??;
        ours.push(ms(began.elapsed()));
        let began = Instant::now();
        std::os::unix::fs::FileExt::write_all_at(&raw, row.as_bytes(), (n % 200) * 4096)?;
        raw.sync_data()?;
        floor.push(ms(began.elapsed()));
    }
    // What the disk can do: its quickest syncs, since others may be at it in between.
    floor.sort_by(f64::total_cmp);
    let floor = 1e3 / floor.get(floor.len() / 20).copied().unwrap_or(f64::NAN);
    let rate = |v: Vec<f64>| 1e3 / median(v);
    let (ours, theirs) = (rate(ours), rate(theirs));
    println!("store.commit.single: the quickest of raw fdatasync are {floor:.0}/s in the same minute");
    if ours > floor * 1.1 {
        return Err(format!(
            "store.commit.single: {ours:.0}/s is more than the disk can sync \
        ({floor:.0}/s): a sync is missing"
        )
        .into());
    }
    // Eight obligations: each hands its record over when the effect of the one before is released.
    let groups = || store.counters().groups.load(std::sync::atomic::Ordering::Relaxed);
    let (mut queue, before) = (CommitQueue::new(TURNS), groups());
    let mut done = 0u64;
    let began = Instant::now();
    let mut waiting = std::collections::VecDeque::new();
    while done < ROUNDS * BESIDE as u64 {
        while waiting.len() < BESIDE {
            let e = entry();
            assert!(queue.push(Some(e.seq), vec![e.seq]).is_empty());
            waiting.push_back(store.commit(Commit { records: vec![e], ..Commit::default() }));
        }
        // What became durable together is released together.
        if let Some(first) = waiting.pop_front() {
            done += queue.durable(first.blocking_recv()??.head.seq).len() as u64;
        }
        while let Some(mut next) = waiting.pop_front() {
            match next.try_recv() {
                Ok(durable) => done += queue.durable(durable?.head.seq).len() as u64,
                Err(_) => {
                    waiting.push_front(next);
                    break;
                }
            }
        }
    }
    let beside = done as f64 / began.elapsed().as_secs_f64();
    println!("store.commit.concurrent: {:.1} commits a group", done as f64 / (groups() - before) as f64);
    store.close();
    Ok(vec![
        ("store.commit.single", "1/s", ours, "bare SQLite WAL FULL, rows of the same size", theirs),
        ("store.commit.concurrent", "1/s", beside, "store.commit.single", ours),
    ])
}

/// A sale with a million rows behind it against one with a thousand, turn by turn.
async fn history(report: &mut Report) -> Result<()> {
    let mut stacks = Vec::new();
    for rows in [1_000, MILLION] {
        // A terminal's sign-in would end the other one's session.
        let host = host()?;
        let address = host.addr("unionpay").ok_or("no listener")?.to_string();
        let mut stack = Stack::start(move |c, _| {
            c.accounts[0].address = address;
            c.accounts[0].persistent = true;
            c.log.level = "warn".into();
        })?;
        one_sale(&stack).await?;
        stack.stop_daemon()?;
        let state = stack.state();
        std::thread::spawn(move || fill(&state, rows).map_err(|e| e.to_string()))
            .join()
            .map_err(|_| "filling panicked")??;
        stack.start_daemon(&[])?;
        let (client, virtuals) = (stack.client().await?, stack.virtuals()?);
        stacks.push((stack, client, virtuals, Vec::new(), 0u64, host));
    }
    // The full check of the start is over.
    tokio::time::sleep(Duration::from_secs(30)).await;
    for n in 0..SALES {
        for (_, client, virtuals, took, papers, _) in &mut stacks {
            virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
            virtuals.pin("123456", When::Queue)?;
            let wire = RequestWire {
                id: format!("history-{n}"),
                kind: "sale".into(),
                amount: Some("0.01".into()),
                currency: Some("CNY".into()),
                ..RequestWire::default()
            };
            let began = Instant::now();
            let key = client.start(&caller(), Request::try_from(wire)?).await?;
            let outcome = client.wait(&caller(), &key, false).await?;
            if outcome.status != Status::Approved {
                return Err(format!("sale {n}: {:?} {:?}", outcome.status, outcome.reason).into());
            }
            took.push(ms(began.elapsed()));
            *papers += 2;
            virtuals.wait_papers(*papers, Duration::from_secs(10))?;
        }
    }
    let [few, many] = &mut stacks[..] else { return Err("two terminals".into()) };
    report.against(
        "sale.history",
        "ms",
        median(std::mem::take(&mut many.3)),
        "the same with 1,000 rows",
        median(std::mem::take(&mut few.3)),
    );
    Ok(())
}

async fn starts(report: &mut Report) -> Result<()> {
    let mut stack = Stack::start(|c, _| c.log.level = "warn".into())?;
    one_sale(&stack).await?;
    stack.stop_daemon()?;
    stack.start_daemon(&[])?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", stack.daemon_pid().ok_or("no daemon")?))?;
    let rss = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|l| l.split_whitespace().next())
        .and_then(|n| n.parse::<f64>().ok())
        .ok_or("no VmRSS")?;
    report.one("memory.idle", "MiB", rss / 1024.0);

    let mut full = Stack::start(|c, _| c.log.level = "warn".into())?;
    one_sale(&full).await?;
    full.stop_daemon()?;
    {
        let state = full.state();
        std::thread::spawn(move || fill(&state, MILLION).map_err(|e| e.to_string()))
            .join()
            .map_err(|_| "filling panicked")??;
    }
    stack.stop_daemon()?;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    // One at a time: behind its start a daemon checks its whole journal, and a million rows keep a processor
    // busy for a while.
    for _ in 0..STARTS {
        for (stack, ready) in [(&mut stack, &mut small), (&mut full, &mut large)] {
            stack.start_daemon(&[])?;
            ready.push(ms(stack.ready_in));
            stack.stop_daemon()?;
        }
    }
    let small = median(small);
    report.one("start.ready", "ms", small);
    report.against("start.ready_1m", "ms", median(large), "start.ready", small);
    Ok(())
}

/// Makes one sale, so that the journal is not empty.
async fn one_sale(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
    virtuals.pin("123456", When::Queue)?;
    let wire = RequestWire {
        id: "one".into(),
        kind: "sale".into(),
        amount: Some("0.01".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    let key = client.start(&caller(), Request::try_from(wire)?).await?;
    client.wait(&caller(), &key, true).await?;
    virtuals.wait_papers(2, Duration::from_secs(10))?;
    Ok(())
}

/// A journal of a million records: 250,000 sales of four records, written through the store, and the snapshot
/// that the daemon would have made.
fn fill(state: &Path, rows: u64) -> Result<()> {
    let (store, loaded) = store_of(state)?;
    let mut machine = payterm_core::State::default();
    for e in &loaded.tail {
        machine.apply(e)?;
    }
    let mut sale = None;
    for e in &loaded.tail {
        if let Record::Request(RequestRecord::Started { hash, request, view, .. }) = &e.record {
            sale = Some((hash.clone(), request.clone(), view.clone()));
        }
    }
    let (hash, request, outcome) = sale.ok_or("no sale to copy")?;
    let filler = "x".repeat(260);
    let mut entries = Vec::with_capacity(FILL);
    let mut seq = machine.seq;
    while seq < rows {
        let txn = machine.last_txn + 1 + seq / 4;
        let mut view = (*outcome).clone();
        (view.txn, view.key) = (txn, RequestKey { app: "old".into(), id: format!("old-{txn}") });
        let key = view.key.clone();
        for step in 0..4u8 {
            seq += 1;
            let record = match step {
                0 => Record::Request(RequestRecord::Started {
                    txn,
                    key: key.clone(),
                    hash: hash.clone(),
                    request: request.clone(),
                    view: view.clone().into(),
                }),
                3 => {
                    let mut told = view.clone();
                    (told.status, told.rrn) = (Status::Approved, Some(format!("{txn:012}")));
                    Record::Request(RequestRecord::Outcome { outcome: told.into(), papers: Vec::new() })
                }
                _ => Record::Terminal(TerminalRecord::Booted { version: filler.clone() }),
            };
            entries.push(Entry { seq, at: Time(1_795_000_000_000 + seq as i64), txn: Some(txn), record });
        }
        if entries.len() >= FILL || seq >= rows {
            let snapshot = (seq >= rows).then(|| {
                machine.last_txn = txn;
                (machine.seq, machine.snapshot_seq) = (seq, seq);
                serde_json::to_string(&machine).map(|json| (seq, json))
            });
            let commit = Commit {
                records: std::mem::take(&mut entries),
                snapshot: snapshot.transpose()?,
                ..Commit::default()
            };
            store.commit(commit).blocking_recv()??;
        }
    }
    store.close();
    println!("filled: {seq} records, {} MiB", std::fs::metadata(state.join("journal.db"))?.len() >> 20);
    Ok(())
}

/// The journal of a daemon that is stopped.
fn store_of(state: &Path) -> Result<(Store, Loaded)> {
    let key = SealingKey::from_file(&state.with_file_name("vault.key"))?.keyed_hash(payterm_journal::PURPOSE);
    Ok(Store::open(payterm_journal::hold(state)?, state, key, payterm_journal::Options::default())?)
}
