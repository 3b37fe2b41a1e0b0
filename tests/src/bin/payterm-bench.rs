//! `make bench`: one JSON object a line in `target/bench.json`, a table on the screen. What is compared is measured in the
//! same run, turn by turn, so that a slow hour of the disk or the machine is in both numbers; medians.
use payterm_devices::hub::When;
use payterm_schema::{Request, Status, Terminal, request::RequestWire};
use payterm_simulator::{Acquirer, Options, Running, World};
use payterm_tests::{
    drain,
    stack::{Result, Stack, caller, programs},
};
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

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v.get(v.len() / 2).copied().unwrap_or(f64::NAN)
}
fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

struct Report(Vec<Value>);
impl Report {
    fn one(&mut self, name: &str, unit: &str, value: f64) {
        self.0.push(json!({"name": name, "unit": unit, "value": value}));
    }
    fn against(&mut self, name: &str, unit: &str, value: f64, against: &str, against_value: f64) {
        self.0.push(json!({"name": name, "unit": unit, "value": value, "against": against, "against_value": against_value, "ratio": value / against_value}));
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
    let done = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into).and_then(|rt| rt.block_on(bench()));
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
        codec(&mut report)?;
    }
    if wanted("sale") {
        sale(&mut report).await?;
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
    report.against("queue.drain", "1/s", median(drained), "exchanges with 8 in flight and a group commit per 8 answers", median(bare));
    Ok(())
}

/// The codec's own program prints its lines.
fn codec(report: &mut Report) -> Result<()> {
    let out = Command::new(programs()?.join("examples/bench_iso8583")).output()?;
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
                let conn = zbus::connection::Builder::address(address.as_str()).name("org.payterm.Echo").serve_at("/echo", Echo).build().await.ok()?;
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
        db.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")?;
        Ok(Self { bus: zbus::connection::Builder::address(bus).build().await?, tcp, db })
    }

    async fn bus_round_trip(&self) -> Result<f64> {
        let request: std::collections::HashMap<&str, zbus::Variant<'_>> =
            [("id", "order-000000".into()), ("kind", "sale".into()), ("amount", "12.34".into()), ("currency", "CNY".into())].into();
        let began = Instant::now();
        self.bus.call_method(Some("org.payterm.Echo"), "/echo", Some("org.payterm.Echo1"), "Echo", &request).await?;
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
    let start = || Acquirer::start(World::demo().map_err(|e| e.to_string())?, Options::fast()).map_err(|e| e.to_string());
    Ok(std::thread::spawn(start).join().map_err(|_| "the acquirer panicked")??)
}

async fn sale(report: &mut Report) -> Result<()> {
    let host = host()?;
    let address = host.addr("unionpay").ok_or("no listener")?.to_string();
    let stack = Stack::start(move |c, _| {
        c.accounts[0].address = address;
        c.accounts[0].persistent = true;
        c.log.level = "warn".into();
    })?;
    let client = stack.client().await?;
    let mut hands = stack.hands()?;
    let mut floor = Floor::new(&stack.bus, &stack.dir).await?;
    let (mut sales, mut floors, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..SALES {
        hands.swipe("6212345678900000003", "3012", When::Queue)?;
        hands.pin("123456", When::Queue)?;
        let wire =
            RequestWire { id: format!("bench-{n}"), kind: "sale".into(), amount: Some("0.01".into()), currency: Some("CNY".into()), ..RequestWire::default() };
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
        hands.wait_papers(2 * (n as u64 + 1), Duration::from_secs(10))?;
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
    report.against("sale.bus", "ms", median(sales), "2 bare bus round trips + 1 TCP + 3 SQLite commits", median(floors));
    Ok(())
}

/// What a sale really uses until its answer: syncs of the disk by strace in a run of its own (its times are not used), messages
/// by the acquirer's count, bus calls by construction.
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
    let mut hands = stack.hands()?;
    while !client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = host.stats().frames;
    let mut windows = Vec::new();
    for n in 0..N {
        hands.swipe("6212345678900000003", "3012", When::Queue)?;
        hands.pin("123456", When::Queue)?;
        let wire =
            RequestWire { id: format!("count-{n}"), kind: "sale".into(), amount: Some("0.01".into()), currency: Some("CNY".into()), ..RequestWire::default() };
        let began = std::time::SystemTime::now();
        let key = client.start(&caller(), Request::try_from(wire)?).await?;
        client.wait(&caller(), &key, false).await?;
        windows.push((began.duration_since(std::time::UNIX_EPOCH)?.as_secs_f64(), std::time::UNIX_EPOCH.elapsed()?.as_secs_f64()));
        hands.wait_papers(2 * (n + 1), Duration::from_secs(10))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    let messages = host.stats().frames - before;
    let text = std::fs::read_to_string(&trace)?;
    let times = || text.lines().filter(|l| l.contains("sync(")).filter_map(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    let syncs = times().filter(|t| windows.iter().any(|(a, b)| a <= t && t <= b)).count();
    println!(
        "sale.bus: until its answer a sale used 2 bus calls (Start, Wait), {} host message(s), {} disk sync(s); papers after it sync {} time(s)",
        messages as f64 / N as f64,
        syncs as f64 / N as f64,
        {
            let first = windows.first().map_or(0.0, |w| w.0);
            (times().filter(|t| *t >= first).count() - syncs) as f64 / N as f64
        }
    );
    Ok(())
}

async fn starts(report: &mut Report) -> Result<()> {
    let mut stack = Stack::start(|c, _| c.log.level = "warn".into())?;
    one_sale(&stack).await?;
    restart(&mut stack)?;
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
    fill(&full.state().join("journal.db"))?;
    full.start_daemon(&[])?;
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        small.push(restart(&mut stack)?);
        large.push(restart(&mut full)?);
    }
    let small = median(small);
    report.one("start.ready", "ms", small);
    report.against("start.ready_1m", "ms", median(large), "start.ready", small);
    Ok(())
}

/// So that the journal is not empty.
async fn one_sale(stack: &Stack) -> Result<()> {
    let client = stack.client().await?;
    let mut hands = stack.hands()?;
    hands.swipe("6212345678900000003", "3012", When::Queue)?;
    hands.pin("123456", When::Queue)?;
    let wire = RequestWire { id: "one".into(), kind: "sale".into(), amount: Some("0.01".into()), currency: Some("CNY".into()), ..RequestWire::default() };
    let key = client.start(&caller(), Request::try_from(wire)?).await?;
    client.wait(&caller(), &key, true).await?;
    hands.wait_papers(2, Duration::from_secs(10))?;
    Ok(())
}

fn restart(stack: &mut Stack) -> Result<f64> {
    stack.stop_daemon()?;
    stack.start_daemon(&[])?;
    Ok(ms(stack.ready_in))
}

/// A journal of a million records: 250,000 sales of four records, and the snapshot that the daemon would have made.
fn fill(path: &Path) -> Result<()> {
    let mut db = Connection::open(path)?;
    let mut statement = db.prepare("SELECT seq, at, txn, version, json FROM record ORDER BY seq")?;
    let rows: Vec<(u64, i64, Option<u64>, u32, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    let entries: Vec<payterm_schema::Entry> = rows
        .iter()
        .map(|(seq, at, txn, version, text)| {
            Ok(payterm_schema::Entry { seq: *seq, at: payterm_schema::Time(*at), txn: *txn, record: payterm_schema::Record::decode(*seq, *version, text)? })
        })
        .collect::<Result<_>>()?;
    let mut state = payterm_core::State::default();
    for e in &entries {
        state.apply(e)?;
    }
    let filler = "x".repeat(260);
    let tx = db.transaction()?;
    {
        let mut record = tx.prepare("INSERT INTO record(seq, at, txn, version, json) VALUES (?, ?, ?, 1, ?)")?;
        let mut txn = tx.prepare(
            "INSERT INTO txn(txn, app, id, hash, kind, status, account, amount, currency, stan, batch, rrn, started, ended, outcome)
             SELECT ?1, 'old', ?2, hash, kind, status, account, amount, currency, stan, batch, ?3, ?4, ?5, json_set(outcome, '$.txn', ?1, '$.app', 'old', '$.id', ?2) FROM txn WHERE txn = 1",
        )?;
        for seq in state.seq + 1..=MILLION {
            let n = state.last_txn + 1 + seq / 4;
            record.execute(rusqlite::params![seq, 1_795_000_000_000i64 + seq as i64, n, format!("{{\"type\":\"booted\",\"version\":\"{filler}\"}}")])?;
            if seq % 4 == 0 {
                txn.execute(rusqlite::params![n, format!("old-{n}"), format!("{n:012}"), seq as i64, seq as i64])?;
            }
        }
    }
    state.seq = MILLION;
    state.last_txn += MILLION / 4 + 1;
    state.snapshot_seq = MILLION;
    tx.execute("INSERT OR REPLACE INTO snapshot(seq, version, json) VALUES (?, 1, ?)", rusqlite::params![MILLION, serde_json::to_string(&state)?])?;
    tx.commit()?;
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    println!("start.ready_1m: {} records, {} MiB", MILLION, std::fs::metadata(path)?.len() >> 20);
    Ok(())
}
