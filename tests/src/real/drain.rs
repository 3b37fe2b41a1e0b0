//! A long queue against the real thing: payments accepted offline are put into the journal by the shipped
//! machine and store, then the real daemon forwards them to the real acquirer, and is killed meanwhile. At
//! the end the acquirer's books say whether each arrived once, and in which order.
use crate::{
    real::stack::{Result, Stack, caller},
    sim::fixtures::cny,
};
use payterm_core::{AccountSettings, Effect, Input, Machine, Settings, Step};
use payterm_engine::hostlink::SEALED_PAN;
use payterm_hosts::{Profile, Station, build};
use payterm_journal::{Commit, Options, Store};
use payterm_schema::{
    AccountId, CardToken, HostEvent, Instrument, Pan, Request, RequestKey, Terminal, Time, Tracks,
    account::Stan,
    config::{AccountConfig, Config, OfflineLimits, SettlementConfig},
    host::{CardSecrets, EntryMode, MessageKind, Plan},
    money::Money,
    offline::OfflineAuthority,
    outcome::Place,
    request::RequestWire,
};
use payterm_vault::{SealingKey, Vault};
use rusqlite::{Connection, OpenFlags};
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant, SystemTime},
};

/// The account of the shop's own cards; the acquirer calls it so, too.
pub const ACCOUNT: &str = "own";
const AMOUNT: u64 = 100;
/// The acquirer answers it 96 for ever.
const NEVER: u64 = 6_666;
/// Longest time that a queue of any length may take, and that nothing may happen.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// The nth card of the shop: no chip, no PIN.
pub fn pan(n: usize) -> String {
    let body = format!("97051234{n:07}");
    let sum: u32 = body
        .bytes()
        .rev()
        .enumerate()
        .map(|(i, b)| u32::from(b - b'0') * if i % 2 == 0 { 2 } else { 1 })
        .map(|d| if d > 9 { d - 9 } else { d })
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// World of the acquirer that knows these cards.
pub fn world(cards: usize) -> String {
    let mut text = format!(
        "[[account]]\nname = \"own\"\nprofile = \"private-label\"\nmid = \"TESTMERCHANT800\"\ntid = \
         \"TEST0800\"\ncurrency = \"CNY\"\nacquirer_id = \"09190000\"\n\
         tmk = \"1032547698BADCFEEFCDAB8967452301\"\n\
         [[translate]]\nprofile = \"private-label\"\nfrom = \"77\"\nto = \"88\"\n[[translate]]\nprofile = \
         \"private-label\"\nfrom = \"A0\"\nto = \"88\"\n\
         [[rule]]\naccount = \"own\"\namount = \"{}.{:02}\"\ncode = \"96\"\n",
        NEVER / 100,
        NEVER % 100
    );
    for n in 0..cards {
        let _ = write!(
            text,
            "[[card]]\nname = \"own-{n}\"\npan = \"{}\"\nexpiry = \"3012\"\ncurrency = \"CNY\"\nbalance = \
             \"100000.00\"\n",
            pan(n)
        );
    }
    text
}

fn configure(config: &mut Config, address: &str) {
    let id = AccountId::new(ACCOUNT).unwrap_or_else(|e| unreachable!("{e}"));
    let (mid, tid) = ("TESTMERCHANT800".parse(), "TEST0800".parse());
    let (mid, tid) = mid.ok().zip(tid.ok()).unwrap_or_else(|| unreachable!("of 15 and 8 characters"));
    let mut account =
        AccountConfig::new(id, "private-label", mid, tid, payterm_schema::Currency::CNY, address);
    account.persistent = true;
    (account.connect_timeout_ms, account.reply_timeout_ms) = (2_000, 10_000);
    (account.obligation_tries, account.obligation_backoff_ms, account.obligation_backoff_max_ms) =
        (3, 200, 2_000);
    let most = 1_000_000;
    account.offline.merchant = Some(OfflineLimits {
        per_card: Some(cny(100_000_000)),
        per_card_count: most,
        total: Some(cny(100_000_000)),
        total_count: most,
        ..OfflineLimits::default()
    });
    config.accounts = vec![account];
    config.routes.clear();
    config.operators.required = false;
}

fn settings(config: &Config) -> Result<Settings> {
    let profile = Profile::builtin("private-label")?;
    let account = |a: &AccountConfig| AccountSettings {
        config: a.clone(),
        rules: profile.rules().into(),
        host_offset_minutes: profile.utc_offset_minutes,
    };
    Ok(Settings {
        accounts: config.accounts.iter().map(account).collect(),
        routes: Vec::new(),
        flow: config.flow.clone(),
        paper: config.paper.clone(),
        place: Place::default(),
        operator: "01".into(),
        operators: config.operators.clone(),
        test: true,
        printer: false,
        chip: Vec::new(),
        card_ms: 5_000,
        snapshot_every: 10_000,
        not_before: Time(0),
        // Longer than a batch may be: the queue is what is looked at.
        settlement: SettlementConfig { batch_max: u32::MAX, ..config.settlement.clone() },
        tms: None,
    })
}

/// A stack with this queue in its journal; the daemon is down.
pub async fn filled(amounts: &[u64], cards: usize) -> Result<Stack> {
    let mut stack = Stack::start_world(&world(cards), |config, hosts| {
        configure(config, hosts.get("private-label").map_or("", String::as_str))
    })?;
    // It signs in, and has spoken with its host.
    let client = stack.client().await?;
    let began = Instant::now();
    while !client.totals(&caller()).await?.iter().all(|t| t.signed_in) {
        if began.elapsed() > Duration::from_secs(20) {
            return Err(format!("not signed in: {}", stack.log_tail()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(client);
    stack.stop_daemon()?;
    let vault = Vault::open(&stack.state(), SealingKey::from_file(&stack.dir.join("vault.key"))?)?;
    let (store, loaded) = Store::open(
        payterm_journal::hold(&stack.state())?,
        &stack.state(),
        vault.hasher(payterm_journal::PURPOSE),
        Options::default(),
    )?;
    let id = AccountId::new(ACCOUNT)?;
    let mut machine = Machine::replay(settings(&stack.config)?, loaded.snapshot.as_deref(), loaded.tail)?;
    let now = Time(i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis())?);
    let mut commit = Commit::default();
    let mut effects = take(&mut commit, &vault, machine.boot(now, "test", std::slice::from_ref(&id)))?;
    effects.extend(take(
        &mut commit,
        &vault,
        machine.handle(Input::Devices { modes: vec![EntryMode::Swipe], pin_pad: true, printer: false }, now),
    )?);
    for (i, amount) in amounts.iter().enumerate() {
        let wire = RequestWire {
            id: format!("q{i}"),
            kind: "sale".into(),
            amount: Some(Money::new(*amount, payterm_schema::Currency::CNY)?.value()),
            currency: Some("CNY".into()),
            ..RequestWire::default()
        };
        let request = Box::new(Request::try_from(wire)?);
        effects.extend(take(
            &mut commit,
            &vault,
            machine.handle(
                Input::Start { call: 1, key: RequestKey::new("demo", &format!("q{i}"))?, request },
                now,
            ),
        )?);
        let card = pan(i % cards);
        let tracks =
            Tracks { track1: None, track2: Some(format!("{card}=30121010000012300000")), track3: None };
        let token = CardToken::new(&hex::encode(&vault.keyed_hash("card", card.as_bytes())[..16]))?;
        let presented = Input::Instrument { instrument: Instrument::Swiped(tracks), card: Some(token) };
        effects.extend(take(&mut commit, &vault, machine.handle(presented, now))?);
        // Nothing leaves.
        while let Some(at) = effects.iter().position(|e| matches!(e, Effect::Send(_))) {
            let Effect::Send(m) = effects.swap_remove(at) else { break };
            let down =
                Input::Host { tag: m.tag, event: HostEvent::NotSent { why: "the line is down".into() } };
            effects.extend(take(&mut commit, &vault, machine.handle(down, now))?);
        }
        effects.clear();
        if i % 500 == 499 || i + 1 == amounts.len() {
            store.commit(std::mem::take(&mut commit)).await??;
        }
    }
    store.close();
    let open = machine.obligations().len();
    if open != amounts.len() {
        return Err(format!("{open} of {} are accepted", amounts.len()).into());
    }
    Ok(stack)
}

fn take(commit: &mut Commit, vault: &Vault, step: Step) -> Result<Vec<Effect>> {
    commit.records.extend(step.records);
    for (txn, pan) in step.seal {
        commit.seal.push((txn, vault.seal(SEALED_PAN, &txn.to_be_bytes(), pan.reveal().as_bytes())?));
    }
    commit.erase.extend(step.erase);
    commit.snapshot = step.snapshot.or(commit.snapshot.take());
    Ok(step.effects)
}

/// Verdict of the acquirer's books on the queue.
#[derive(Debug, Default)]
pub struct Verdict {
    pub queued: usize,
    pub kills: u32,
    /// Approvals at the acquirer, and the different payments among them.
    pub arrived: usize,
    pub different: usize,
    /// Pairs of one card that arrived in the wrong order.
    pub disordered: usize,
    pub stuck: usize,
    /// Payments a second, by the acquirer's own clock.
    pub rate: f64,
    pub seconds: f64,
}

/// (rowid order) STANs by card, and the rate.
pub fn arrivals(stack: &Stack, from_stan: u32, v: &mut Verdict) -> Result<()> {
    let books = Connection::open_with_flags(
        stack.acquirer_state().join("acquirer.db"),
        OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?;
    let mut select = books.prepare(
        "SELECT pan, stan, at FROM txn WHERE account = 'own' AND state = \
    'approved' AND kind = 'sale' AND stan >= ? ORDER BY id",
    )?;
    let rows: Vec<(String, u32, i64)> = select
        .query_map([from_stan], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
        .collect::<std::result::Result<_, _>>()?;
    let mut last = std::collections::BTreeMap::new();
    v.arrived = rows.len();
    v.different = rows.iter().map(|r| r.1).collect::<std::collections::BTreeSet<_>>().len();
    v.disordered = rows
        .iter()
        .filter(|(pan, stan, _)| last.insert(pan.clone(), *stan).is_some_and(|before| before > *stan))
        .count();
    if let (Some(first), Some(end)) = (rows.iter().map(|r| r.2).min(), rows.iter().map(|r| r.2).max()) {
        v.seconds = (end - first).max(1) as f64 / 1e3;
        v.rate = (rows.len().max(1) - 1) as f64 / v.seconds;
    }
    Ok(())
}

/// Forwards `n` payments of `cards` cards; the daemon is killed so often meanwhile. `never`: the one in the
/// middle is never accepted.
pub async fn run(n: usize, cards: usize, kills: u32, never: bool) -> Result<(Verdict, Stack)> {
    let mut amounts = vec![AMOUNT; n];
    if never {
        amounts[n / 2] = NEVER;
    }
    let mut stack = filled(&amounts, cards).await?;
    stack.start_daemon(&[])?;
    let mut v = Verdict { queued: n, ..Verdict::default() };
    let mut client = stack.client().await?;
    let began = Instant::now();
    loop {
        let open = client.totals(&caller()).await?.iter().map(|t| t.open_obligations as usize).sum::<usize>();
        if v.kills < kills && open < n - n * (v.kills as usize + 1) / (kills as usize + 1) {
            stack.kill_daemon();
            v.kills += 1;
            stack.start_daemon(&[])?;
            client = stack.client().await?;
            continue;
        }
        if open <= usize::from(never) {
            let left = client.obligations(&caller()).await?;
            v.stuck =
                left.iter().filter(|o| o.state == payterm_schema::record::ObligationState::Stuck).count();
            if v.stuck == left.len() {
                break;
            }
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{open} of {n} are left: {}", stack.log_tail()).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    arrivals(&stack, 0, &mut v)?;
    Ok((v, stack))
}

/// Advices under way at the same time: the profile's.
const WINDOW: usize = 8;
/// STANs of the bare exchanges: beyond those of any queue.
const BARE: u32 = 500_000;

/// Floor that cannot be undercut: the same messages on one connection, 8 under way, and a durable commit of
/// what the daemon writes for 8 answers. Answers exchanges a second by the acquirer's clock; the daemon of
/// the stack is down afterwards.
pub async fn floor(stack: &mut Stack, n: usize, cards: usize) -> Result<f64> {
    let batch =
        stack.client().await?.totals(&caller()).await?.first().and_then(|t| t.batch).ok_or("no batch")?;
    stack.stop_daemon()?;
    let vault = std::sync::Arc::new(Vault::open(
        &stack.state(),
        SealingKey::from_file(&stack.dir.join("vault.key"))?,
    )?);
    let mac = vault.account_mac(ACCOUNT);
    let profile = Profile::builtin("private-label")?;
    let a = &stack.config.accounts[0];
    let station = Station {
        mid: a.mid.to_string(),
        tid: a.tid.to_string(),
        currency: a.currency,
        nii: a.nii,
        test: true,
    };
    let frame = |i: usize| -> Result<Vec<u8>> {
        let plan = Plan {
            kind: payterm_schema::Kind::Sale,
            stan: Stan::new(BARE + u32::try_from(i)?).ok_or("stan")?,
            batch,
            amount: Some(Money::new(AMOUNT, a.currency)?),
            mode: Some(EntryMode::Swipe),
            pin: false,
            track: false,
            wallet: None,
            expiry: Some("3012".into()),
            fallback: false,
            card_sequence: None,
            original: None,
            operator: "01".into(),
            at: Time(1_795_000_000_000),
            offset: Default::default(),
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: Some(OfflineAuthority::Merchant),
            icc: None,
            download: None,
        };
        let secrets = CardSecrets { pan: Some(Pan::parse(&pan(i % cards))?), ..CardSecrets::default() };
        Ok(build(&profile, &station, MessageKind::Repeat, &plan, &secrets, "1", &mac)?
            .bytes
            .reveal()
            .to_vec())
    };
    let frames = (0..n).map(frame).collect::<Result<Vec<_>>>()?;
    let db = Connection::open(stack.dir.join("floor.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE record(seq \
    INTEGER PRIMARY KEY, json TEXT)",
    )?;
    // Tried, the outcome, ended: as the daemon writes them.
    let rows = ["t".repeat(60), "o".repeat(1_000), "e".repeat(3_000)];
    let mut tcp = TcpStream::connect(&a.address)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut send = frames.iter();
    for f in send.by_ref().take(WINDOW) {
        tcp.write_all(f)?;
    }
    for answered in 1..=n {
        let mut length = [0; 4];
        tcp.read_exact(&mut length)?;
        let mut reply = vec![0; std::str::from_utf8(&length)?.parse()?];
        tcp.read_exact(&mut reply)?;
        if answered % WINDOW == 0 {
            db.execute_batch("BEGIN IMMEDIATE")?;
            for row in rows.iter().cycle().take(rows.len() * WINDOW) {
                db.prepare_cached("INSERT INTO record(json) VALUES(?)")?.execute([row])?;
            }
            db.execute_batch("COMMIT")?;
        }
        if let Some(f) = send.next() {
            tcp.write_all(f)?;
        }
    }
    let mut v = Verdict::default();
    arrivals(stack, BARE, &mut v)?;
    if v.arrived != n {
        return Err(format!("{} of {n} bare exchanges were approved", v.arrived).into());
    }
    Ok(v.rate)
}
