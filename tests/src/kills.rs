//! kill -9 of the real daemon at random moments under traffic, restart, go on; at the end the outcomes that the bus tells
//! are compared with the acquirer's ledger to the cent. The seed gives traffic, mishaps and moments; what the machine's
//! scheduling adds is not repeatable, so a failure names the request and keeps the directory.
use crate::stack::{Result, Stack, caller};
use payterm_dbus::Client;
use payterm_devices::{
    hands::{Hands, HandsError},
    hub::When,
};
use payterm_schema::{Fault, Kind, Outcome, Request, RequestKey, Status, Terminal, record::ObligationState, request::RequestWire};
use payterm_simulator::{
    control::{self, Command},
    ledger::{self, Posting},
    mishap::{Mishap, Plan},
};
use rusqlite::{Connection, OpenFlags};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// (PAN, PIN or none, name): they have 10,000.00 each.
const CARDS: [(&str, &str, &str); 2] = [("6212345678900000003", "123456", "alice"), ("6212345678900000607", "bypass", "grace-no-pin")];
/// WeChat (its undoing waits 15 s), Alipay that is pending for 3 s, Alipay, UnionPay; the last two are refused.
const CODES: [&str; 6] = ["131234567890123456", "289012345678901234", "280123456789012345", "6212345678901234567", "1392345678901234567", "289212345678901234"];
/// How long the terminal may take for anything, and for its obligations at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// A kill comes at most this long after the daemon is ready.
const MOMENT_MOST_MS: u64 = 1_200;

/// xorshift64*.
pub struct Dice(u64);
impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    /// 0 to `n` - 1.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n.max(1)
    }
    fn one<T: Copy>(&mut self, of: &[T], or: T) -> T {
        of.get(self.roll(of.len() as u64) as usize).copied().unwrap_or(or)
    }
}

/// What came of it. All three lists are empty when nothing is wrong.
#[derive(Debug, Default)]
pub struct Verdict {
    pub seed: u64,
    pub kills: u32,
    /// Kills that met a request of which the app did not know the end.
    pub under_way: u32,
    pub requests: usize,
    /// How many ended how: `sale approved`, `void failed original-voided`.
    pub ends: BTreeMap<String, usize>,
    /// Approved, or told at all, and not there.
    pub lost: Vec<String>,
    /// More at the acquirer than one request may have.
    pub double: Vec<String>,
    /// Anything else that does not fit.
    pub unexplained: Vec<String>,
}
impl Verdict {
    pub fn ok(&self) -> bool {
        self.lost.is_empty() && self.double.is_empty() && self.unexplained.is_empty()
    }
}

/// What the app remembers of a request.
pub struct Issued {
    pub wire: RequestWire,
    /// `Start` was answered.
    pub started: bool,
    pub told: Option<Outcome>,
}
impl Issued {
    fn key(&self) -> RequestKey {
        RequestKey { app: "demo".into(), id: self.wire.id.clone() }
    }
}

/// Why the traffic stopped.
enum Stop {
    /// A call or the hands failed: the daemon is gone, or this is a defect.
    Broken(String),
    Defect(String),
}
impl From<HandsError> for Stop {
    fn from(e: HandsError) -> Self {
        Stop::Broken(format!("hands: {e}"))
    }
}
impl From<Fault> for Stop {
    fn from(e: Fault) -> Self {
        match e {
            Fault::Unreachable { .. } | Fault::Restarting { .. } | Fault::ShuttingDown => Stop::Broken(e.to_string()),
            Fault::Invalid { .. }
            | Fault::Busy { .. }
            | Fault::KeyReused { .. }
            | Fault::NotFound { .. }
            | Fault::NotAllowed { .. }
            | Fault::WrongState { .. }
            | Fault::NoAccount { .. }
            | Fault::Original { .. }
            | Fault::NotLoggedOn
            | Fault::TerminalLocked
            | Fault::OperatorLocked { .. }
            | Fault::NotDone { .. }
            | Fault::Management { .. }
            | Fault::StoreFailed { .. } => Stop::Defect(format!("{}: {e}", e.name())),
        }
    }
}

struct App {
    dice: Dice,
    client: Client,
    hands: Hands,
    acquirer: std::path::PathBuf,
    issued: Vec<Issued>,
}

/// Runs it: `kills` kills, then everything settles and is judged.
pub async fn run(kills: u32, seed: u64) -> Result<Verdict> {
    let mut stack = Stack::start(|c, _| {
        let account = &mut c.accounts[0];
        account.reply_timeout_ms = 400;
        account.obligation_backoff_ms = 100;
        account.obligation_backoff_max_ms = 1_000;
        account.obligation_tries = 1_000;
        c.flow.present_timeout_ms = 2_000;
        c.flow.pin_timeout_ms = 2_000;
        c.paper.retry_ms = 100;
    })?;
    let mut app = App { dice: Dice::new(seed), client: stack.client().await?, hands: stack.hands()?, acquirer: stack.acquirer_state(), issued: Vec::new() };
    let mut verdict = Verdict { seed, kills, ..Verdict::default() };
    for round in 0..kills {
        let moment = Duration::from_millis(app.dice.roll(MOMENT_MOST_MS));
        let pid = stack.daemon_pid().and_then(|p| rustix::process::Pid::from_raw(p.try_into().ok()?)).ok_or("no daemon")?;
        // The process is not reaped before the thread has ended, so that the id stays its own.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(moment);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)
        });
        let why = loop {
            match tokio::time::timeout(PATIENCE, app.traffic()).await {
                Ok(Ok(())) => {}
                Ok(Err(stop)) => break stop,
                Err(_) => break Stop::Defect(format!("a request did not end within {PATIENCE:?}")),
            }
        };
        killer.join().map_err(|_| "the killer panicked")??;
        if let Stop::Defect(why) = why {
            verdict.unexplained.push(format!("round {round}, {}: {why}", app.issued.last().map_or("-", |i| &i.wire.id)));
        } else if let Stop::Broken(why) = why {
            // Whatever broke must have broken because of the kill.
            crate::stack::until(&format!("the killed daemon to be gone after: {why}"), || stack.daemon_gone())?;
        }
        verdict.under_way += u32::from(app.issued.last().is_some_and(|i| i.told.as_ref().is_none_or(|o| !o.status.is_final())));
        stack.kill_daemon();
        stack.start_daemon(&[])?;
        app.hands = stack.hands()?;
        app.client = stack.client().await?;
        app.come_back(&mut verdict).await?;
    }
    control::send(&app.acquirer, &Command::Clear)?;
    app.settle(&mut verdict).await?;
    judge(&stack, &app.client, &app.issued, &mut verdict).await?;
    let log = std::fs::read_to_string(stack.daemon_log())?;
    verdict.unexplained.extend(log.lines().filter(|l| l.contains("ERROR")).map(|l| format!("the log has {l}")));
    if !verdict.ok() {
        stack.keep();
    }
    Ok(verdict)
}

impl App {
    /// One request from its start to what its first wait tells.
    async fn traffic(&mut self) -> std::result::Result<(), Stop> {
        let id = format!("r-{}", self.issued.len() + 1);
        let amount = self.dice.roll(299) + 1;
        let sale = RequestWire {
            id: id.clone(),
            kind: "sale".into(),
            amount: Some(format!("{}.{:02}", amount / 100, amount % 100)),
            currency: Some("CNY".into()),
            cancel_on_caller_lost: Some(false),
            ..RequestWire::default()
        };
        if self.dice.roll(4) == 0 {
            self.trouble();
        }
        let (mut wire, mut cancel) = (sale.clone(), false);
        let (pan, pin, _) = self.dice.one(&CARDS, CARDS[0]);
        match self.dice.roll(20) {
            0..=2 => {
                self.hands.scan(self.dice.one(&CODES, CODES[0]), When::Queue)?;
            }
            3 | 4 if self.approved().is_some() => {
                wire = RequestWire { kind: "void".into(), original_id: self.approved(), amount: None, currency: None, ..sale };
            }
            5 => {
                wire = RequestWire { kind: "balance".into(), amount: None, currency: None, ..sale };
                self.swipe(pan, &[pin])?;
            }
            6 => {
                cancel = true;
                self.swipe(pan, &[pin])?;
            }
            7 if pin != "bypass" => self.swipe(pan, &["000000", pin])?,
            _ => self.swipe(pan, &[pin])?,
        }
        self.issued.push(Issued { wire: wire.clone(), started: false, told: None });
        self.ask(wire, cancel).await
    }

    async fn ask(&mut self, wire: RequestWire, cancel: bool) -> std::result::Result<(), Stop> {
        let request = Request::try_from(wire)?;
        let key = self.client.start(&caller(), request).await?;
        let Some(issued) = self.issued.last_mut() else { return Ok(()) };
        issued.started = true;
        if cancel {
            tokio::time::sleep(Duration::from_millis(self.dice.roll(30))).await;
            match self.client.cancel(&caller(), &key).await {
                Err(Fault::WrongState { .. }) | Ok(()) => {}
                Err(e) => return Err(e.into()),
            }
        }
        issued.told = Some(self.client.wait(&caller(), &key, false).await?);
        Ok(())
    }

    fn swipe(&mut self, pan: &str, pins: &[&str]) -> std::result::Result<(), HandsError> {
        self.hands.swipe(pan, "3012", When::Queue)?;
        pins.iter().try_for_each(|p| self.hands.pin(p, When::Queue))
    }

    /// The id of some approved sale, also of one that is voided already.
    fn approved(&mut self) -> Option<String> {
        let sales: Vec<&Issued> =
            self.issued.iter().filter(|i| i.told.as_ref().is_some_and(|o| o.kind == Kind::Sale && o.status == Status::Approved)).collect();
        sales.get(self.dice.roll(sales.len() as u64) as usize).map(|i| i.wire.id.clone())
    }

    /// Something goes wrong with one of the next messages.
    fn trouble(&mut self) {
        let all = [Mishap::DropReply, Mishap::DropRequest, Mishap::BadMac, Mishap::CloseMidFrame, Mishap::Delay { ms: 150 }, Mishap::LateReply { ms: 600 }];
        let mishap = all.get(self.dice.roll(all.len() as u64) as usize).cloned().unwrap_or(Mishap::DropReply);
        let mti = [None, Some("0200"), Some("0200"), Some("0400")].get(self.dice.roll(4) as usize).copied().flatten();
        // The queue of mishaps may be full; then there is trouble enough.
        let _ = control::send(&self.acquirer, &Command::Mishap(Plan { mti: mti.map(Into::into), ..Plan::new(mishap) }));
    }

    /// What an app does when the terminal is back: it asks for the request of which it does not know the end.
    async fn come_back(&mut self, verdict: &mut Verdict) -> Result<()> {
        for (_, _, card) in CARDS {
            // A kill between a wrong PIN and the right one must not add up to a blocked card; refused when none is counted.
            let _ = control::send(&self.acquirer, &Command::Unblock { card: card.into() });
        }
        let Some(last) = self.issued.last() else { return Ok(()) };
        let (key, wire, started) = (last.key(), last.wire.clone(), last.started);
        match self.client.recall(&caller(), &key).await {
            Err(Fault::NotFound { .. }) if !started => return Ok(()),
            Err(Fault::NotFound { .. }) => verdict.lost.push(format!("{key}: Start was answered, and it is not known")),
            Err(e) => return Err(format!("recall of {key}: {e}").into()),
            Ok(_) if self.dice.roll(2) == 0 => return Ok(()),
            // The same id must meet the same transaction.
            Ok(_) => match tokio::time::timeout(PATIENCE, self.ask(wire, false)).await {
                Ok(Ok(())) => {}
                Ok(Err(Stop::Broken(why) | Stop::Defect(why))) => verdict.unexplained.push(format!("{key} asked again: {why}")),
                Err(_) => verdict.unexplained.push(format!("{key} asked again: no answer within {PATIENCE:?}")),
            },
        }
        Ok(())
    }

    /// All requests final, all obligations answered.
    async fn settle(&mut self, verdict: &mut Verdict) -> Result<()> {
        for i in &self.issued {
            let end = tokio::time::timeout(PATIENCE, self.client.wait(&caller(), &i.key(), true)).await;
            match end {
                Ok(Ok(o)) if o.status.is_final() => {}
                Ok(Err(Fault::NotFound { .. })) if !i.started => {}
                other => verdict.unexplained.push(format!("{} does not end: {other:?}", i.key())),
            }
        }
        let began = Instant::now();
        loop {
            let open = self.client.obligations(&caller()).await?;
            let waiting = open.iter().any(|o| o.state != ObligationState::Stuck);
            if !waiting || began.elapsed() > PATIENCE {
                verdict.unexplained.extend(open.iter().map(|o| format!("an obligation stays: {o:?}")));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Compares what the bus tells with the acquirer's ledger and with what the app was told before.
pub async fn judge(stack: &Stack, client: &Client, issued: &[Issued], v: &mut Verdict) -> Result<()> {
    let books = Connection::open_with_flags(stack.acquirer_state().join("acquirer.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let postings = ledger::postings(&books)?;
    v.unexplained.extend(ledger::check(&books)?.broken.iter().map(|b| format!("ledger: {b}")));
    let mut outcomes = BTreeMap::new();
    let mut frames: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for i in issued {
        let key = i.key();
        let now = match client.explain(&caller(), &key).await {
            Err(Fault::NotFound { .. }) if !i.started => continue,
            Err(Fault::NotFound { .. }) => {
                v.lost.push(format!("{key}: Start was answered, and it is not known"));
                continue;
            }
            Err(e) => return Err(format!("explain of {key}: {e}").into()),
            Ok(e) => e,
        };
        for record in now.entries.iter().map(|e| &e.record).filter(|r| r["type"] == "allowed") {
            let number = |field: &str| record["plan"][field].as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(format!("{key}: {record}"));
            if frames.insert((number("batch")?, number("stan")?), now.outcome.txn).is_some() {
                v.double.push(format!("{key}: its STAN was used before: {record}"));
            }
        }
        let now = now.outcome;
        match &i.told {
            Some(t) if t.status.is_final() && (t.status, &t.rrn, &t.sums) != (now.status, &now.rrn, &now.sums) => {
                v.unexplained.push(format!("{key} was told {t:?} and is {now:?}"));
            }
            Some(_) | None => {}
        }
        let reason = now.reason.as_ref().map(|r| format!(" {}", r.code)).unwrap_or_default();
        *v.ends.entry(format!("{} {}{reason}", now.kind.name(), now.status.name())).or_default() += 1;
        outcomes.insert(now.txn, now);
    }
    v.requests = issued.len();

    // The acquirer's postings by the transaction whose frame caused them.
    let undone: BTreeMap<i64, i64> = postings.iter().filter_map(|p| Some((p.undoes?, p.id))).collect();
    let standing = |mut p: i64| {
        let mut stands = true;
        while let Some(by) = undone.get(&p) {
            (p, stands) = (*by, !stands);
        }
        stands
    };
    let mut sales: BTreeMap<u64, Vec<&Posting>> = BTreeMap::new();
    for p in postings.iter().filter(|p| p.account.is_some()) {
        match p.batch.zip(p.stan).and_then(|at| frames.get(&at)) {
            None => v.unexplained.push(format!("a posting of no request: {p:?}")),
            Some(txn) if p.kind == "sale" && standing(p.id) => sales.entry(*txn).or_default().push(p),
            Some(_) => {}
        }
    }
    let voids: Vec<u64> = outcomes.values().filter(|o| o.kind == Kind::Void && o.status == Status::Approved).filter_map(|o| o.original.as_ref()?.txn).collect();
    if voids.len() != voids.iter().collect::<BTreeSet<_>>().len() {
        v.double.push(format!("a sale was voided twice: {voids:?}"));
    }
    let mut net = 0;
    for (txn, o) in &outcomes {
        let held = sales.get(txn).map_or(&[][..], Vec::as_slice);
        let approved = o.kind == Kind::Sale && o.status == Status::Approved;
        let voided = voids.contains(txn);
        if o.voided != voided {
            v.unexplained.push(format!("{}: voided is {}, and a void of it was approved: {voided}", o.key, o.voided));
        }
        match held {
            [] if approved && !voided => v.lost.push(format!("{} is approved and not at the acquirer: {o:?}", o.key)),
            [] => {}
            [one] if approved && !voided => {
                let paid: i64 = one.lines.iter().filter(|(a, _)| a.starts_with("card:") || a.starts_with("wallet:")).map(|(_, m)| -m).sum();
                net += paid;
                if o.sums.amount != u64::try_from(paid).ok() {
                    v.unexplained.push(format!("{}: {:?} here, {paid} at the acquirer", o.key, o.sums.amount));
                }
            }
            [_] => v.double.push(format!("{} is {} (voided: {voided}) and stands at the acquirer: {held:?}", o.key, o.status.name())),
            more => v.double.push(format!("{} stands {} times at the acquirer: {more:?}", o.key, more.len())),
        }
    }
    let (ledger, totals) = (stack.net("cup")?, client.totals(&caller()).await?);
    let batch: i64 = totals.iter().map(|t| t.debit_minor as i64 - t.credit_minor as i64).sum();
    if ledger != net || batch != net {
        v.unexplained.push(format!("net: {net} by the outcomes, {batch} by the batch's totals, {ledger} at the acquirer"));
    }
    Ok(())
}
