//! An evening of the real thing: dbus-daemon, `paytermd`, a bad line, `payterm-acquirer`; traffic, and blows:
//! kill -9 at random moments and at every nth sync, failing system calls, a full disk, power cuts. At the end
//! the line is good, everything settles, and the judge compares. The seed gives traffic, mishaps and moments;
//! what the machine's scheduling adds is not repeatable, so a failure tells the story of its transactions and
//! keeps the directory.
use crate::{
    real::{
        audit::{self, Said, Verdict},
        disk::{self, Broken, LoopDisk, SmallDisk},
        drain,
        proxy::{Plan, Proxy},
        stack::{Result, Stack, caller, until},
        traffic::{self, App, CARDS, PATIENCE, Stop, card_name},
    },
    sim::{fixtures::cny, rng::Rng},
};
use payterm_hosts::Profile;
use payterm_schema::{
    AccountId, Fault, Kind, Status, Terminal,
    config::{Language, OfflineLimits, RouteConfig},
    paper::PaperState,
    record::{Duty, ObligationState},
};
use payterm_simulator::{
    control::{self, Command},
    mishap::{Mishap, Plan as BankPlan},
};
use rustix::process::{Signal, kill_process};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// A blow comes at most this long after the daemon is ready.
const MOMENT_MOST_MS: u64 = 700;
/// Longest time that a request may hang on a disk that fails.
const NO_WORD: Duration = Duration::from_secs(8);
/// Requests after a failing system call.
const AFTER_FAILURE: u32 = 12;
/// Longest time that they may take together.
const FAILURE_MOST: Duration = Duration::from_millis(1_500);

/// Later than any frame that the bad line still holds.
const LATEST: Duration = Duration::from_millis(1_000);

/// UnionPay's profile with wallets that are asked every second and given up after three.
fn profile() -> String {
    let mut text = include_str!("../../../crates/hosts/profiles/unionpay.toml").to_owned();
    for (slow, quick) in [
        (
            "undo_after_s = 15, query = { first_s = 5, every_s = 5, until_s = 45 }",
            "undo_after_s = 1, query = { first_s = 1, every_s = 1, until_s = 3 }",
        ),
        (
            "query = { first_s = 5, every_s = 5, until_s = 60 }",
            "query = { first_s = 1, every_s = 1, until_s = 3 }",
        ),
    ] {
        assert!(text.contains(slow), "the profile's wallet rows have changed");
        text = text.replace(slow, quick);
    }
    text
}
fn world() -> String {
    let demo = include_str!("../../../crates/simulator/worlds/demo.toml");
    let quick = demo
        .replace("undo_after_ms = 15000", "undo_after_ms = 1000")
        .replace("after_ms = 3000", "after_ms = 700");
    format!("{quick}\n{}", traffic::world())
}

fn proxy_to(profile: Profile, host: Option<&String>, plan: Plan) -> Result<Proxy> {
    Ok(Proxy::start(profile, host.ok_or("the acquirer has no such listener")?, plan)?)
}

pub struct Evening {
    pub app: App,
    pub verdict: Verdict,
    pub stack: Stack,
    proxy: Proxy,
    /// Line of the shop's own cards; it is down for some requests now and then.
    own: Proxy,
    down_for: u64,
    rng: Rng,
    dir: Option<tempfile::TempDir>,
    /// ERROR lines in the log are the blow's own.
    errors_expected: bool,
}

impl Evening {
    /// Starts in a directory of its own, with mishaps on the line when `rough`.
    pub async fn new(seed: u64, rough: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("payterm-evening-").tempdir()?;
        Self::begin(dir.path(), seed, rough).await.map(|e| Self { dir: Some(dir), ..e })
    }

    async fn begin(dir: &Path, seed: u64, rough: bool) -> Result<Self> {
        std::fs::write(dir.join("world.toml"), world())?;
        std::fs::write(dir.join("quick.toml"), profile())?;
        let path = dir.join("quick.toml").to_str().ok_or("path")?.to_owned();
        let plan = if rough { Plan::rough(seed) } else { Plan::good(seed) };
        let own_id = AccountId::new(drain::ACCOUNT)?;
        let (mut proxy, mut own) = (Err("no proxy".into()), Err("no proxy".into()));
        let stack = Stack::start_in(dir.to_owned(), None, |c, hosts| {
            proxy = Profile::parse(&profile())
                .map_err(Into::into)
                .and_then(|p| proxy_to(p, hosts.get("unionpay"), plan.clone()));
            let of_own = Plan { seed: seed ^ 0x0E11, ..plan };
            own = Profile::builtin("private-label")
                .map_err(Into::into)
                .and_then(|p| proxy_to(p, hosts.get("private-label"), of_own));
            let (mut second, limit) = (c.accounts[0].clone(), 1_000_000);
            (second.id, second.profile) = (own_id.clone(), "private-label".into());
            (second.mid, second.tid) = (
                "TESTMERCHANT800".parse().expect("15 characters"),
                "TEST0800".parse().expect("8 characters"),
            );
            second.offline.merchant = Some(OfflineLimits {
                per_card: Some(cny(limit)),
                per_card_count: 1_000,
                total: Some(cny(100 * limit)),
                total_count: 10_000,
                ..OfflineLimits::default()
            });
            c.accounts[0].profile = path;
            c.accounts.push(second);
            c.routes.push(RouteConfig {
                account: own_id,
                modes: Vec::new(),
                wallet: None,
                bin: "97051234-97051234".parse().ok(),
                currency: None,
            });
            for (account, proxy) in c.accounts.iter_mut().zip([&proxy, &own]) {
                if let Ok(p) = proxy {
                    account.address.clone_from(&p.address);
                }
                account.reply_timeout_ms = 400;
                account.connect_timeout_ms = 400;
                account.obligation_backoff_ms = 50;
                account.obligation_backoff_max_ms = 500;
                // Half of the evenings leave something to a person.
                account.obligation_tries = if seed.is_multiple_of(2) { 10_000 } else { 3 };
            }
            c.terminal.language = Language::En;
            c.flow.present_timeout_ms = 600;
            c.flow.pin_timeout_ms = 600;
            c.flow.busy_wait_ms = 100;
            c.flow.prepare_timeout_ms = 5_000;
            c.paper.retry_ms = 50;
            c.log.level = "warn".into();
            for d in c.devices.iter_mut().filter(|d| d.name == "printer") {
                d.address = Some(format!("file:{}", dir.join("papers.txt").display()));
                d.options.insert("paper_mm".into(), 80.into());
            }
        })?;
        let app = App::new(&stack, seed).await?;
        let verdict = Verdict { seed, ..Verdict::default() };
        Ok(Self {
            app,
            verdict,
            stack,
            proxy: proxy?,
            own: own?,
            down_for: 0,
            rng: Rng::new(seed ^ 0x5EED),
            dir: None,
            errors_expected: false,
        })
    }

    /// Requests until the daemon is gone. `enough`: or until then.
    async fn traffic(&mut self, mut enough: impl FnMut(&App) -> bool) -> Result<()> {
        let mut failed_since = None;
        while !enough(&self.app) {
            self.trouble()?;
            let at = self.app.issued.len();
            // While the disk is broken nothing can be decided, and nobody is told anything.
            let most = if self.errors_expected { NO_WORD } else { 2 * PATIENCE };
            let asked = tokio::time::timeout(most, self.app.request()).await;
            let why = match asked.unwrap_or_else(|_| Err(Stop::Store(format!("no word within {most:?}")))) {
                Ok(()) => {
                    failed_since = None;
                    continue;
                }
                Err(stop) => stop,
            };
            match why {
                Stop::Broken(why) => {
                    return until(&format!("the daemon to be gone after: {why}"), || {
                        self.stack.daemon_gone()
                    });
                }
                Stop::Store(why) => {
                    // The blow may be a disk that goes first and takes the daemon with it.
                    let since = *failed_since.get_or_insert_with(Instant::now);
                    if !self.errors_expected || since.elapsed() > PATIENCE {
                        self.verdict.unexplained.push(format!("r-{}: {why}", at + 1));
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Stop::Defect(why) => self.verdict.unexplained.push(format!("r-{}: {why}", at + 1)),
            }
            if self.verdict.unexplained.len() > 50 {
                return Err("too much is wrong to go on".into());
            }
        }
        Ok(())
    }

    /// Now and then something goes wrong at the acquirer, or it is killed and started again on its ledger.
    fn trouble(&mut self) -> Result<()> {
        if self.proxy.is_good() {
            return Ok(());
        }
        if self.rng.roll(70) == 0 {
            self.stack.kill_acquirer();
            self.verdict.acquirer_restarts += 1;
            // The terminal meets a closed port for a while.
            std::thread::sleep(Duration::from_millis(self.rng.roll(60)));
            self.start_acquirer()?;
        }
        self.down_for = if self.down_for == 0 && self.rng.roll(20) == 0 {
            2 + self.rng.roll(8)
        } else {
            self.down_for.saturating_sub(1)
        };
        if (self.down_for > 0) != self.app.down {
            self.app.down = self.down_for > 0;
            self.own.down(self.app.down);
        }
        if self.rng.roll(40) == 0 {
            // Paper runs out, and somebody brings a roll.
            let out = self.rng.roll(3) == 0;
            let _ = self.app.virtuals.paper_out(out);
        }
        if self.rng.roll(12) == 0 {
            let all = [
                Mishap::DropReply,
                Mishap::DropRequest,
                Mishap::BadMac,
                Mishap::NoMac,
                Mishap::Busy,
                Mishap::WrongStan,
                Mishap::CloseMidFrame,
            ];
            let all = [
                &all[..],
                &[Mishap::Delay { ms: 150 }, Mishap::LateReply { ms: 600 }, Mishap::Requirement { digit: 3 }],
            ]
            .concat();
            let mishap = self.rng.one(&all).cloned().unwrap_or(Mishap::DropReply);
            let mti = self.rng.one(&[None, Some("0200"), Some("0220"), Some("0400")]).copied().flatten();
            // The queue of mishaps may be full; then there is trouble enough.
            let _ = control::send(
                &self.stack.acquirer_state(),
                &Command::Mishap(BankPlan { mti: mti.map(Into::into), ..BankPlan::new(mishap) }),
            );
        }
        Ok(())
    }
    fn start_acquirer(&mut self) -> Result<()> {
        self.stack.start_acquirer("127.0.0.1:0")?;
        self.proxy.lead_to(self.stack.hosts.get("unionpay").ok_or("no unionpay listener")?);
        self.own.lead_to(self.stack.hosts.get("private-label").ok_or("no private-label listener")?);
        Ok(())
    }

    /// The daemon is started again, and its apps come back.
    async fn restart(&mut self) -> Result<()> {
        self.restart_under(&[]).await
    }
    async fn restart_under(&mut self, wrapper: &[&str]) -> Result<()> {
        self.verdict.blows += 1;
        let open =
            self.app.issued.last().is_some_and(|i| i.told.as_ref().is_none_or(|o| !o.status.is_final()));
        self.verdict.under_way += u32::from(open);
        self.stack.kill_daemon();
        // One connection a transaction, or one that is kept.
        let keep = self.rng.roll(2) == 0;
        self.stack.reconfigure(|c| c.accounts.iter_mut().for_each(|a| a.persistent = keep))?;
        self.stack.start_daemon(wrapper)?;
        self.come_back().await
    }
    async fn come_back(&mut self) -> Result<()> {
        self.app.again(&self.stack).await?;
        for i in 0..CARDS.len() {
            // A kill between a wrong PIN and the right one must not add up to a blocked card; refused when
            // none is counted.
            let _ = control::send(&self.stack.acquirer_state(), &Command::Unblock { card: card_name(i) });
        }
        self.app.come_back(&mut self.verdict.unexplained, &mut self.verdict.lost).await
    }

    /// kill -9 at a random moment; now and then it is asked to stop instead.
    pub async fn kill(&mut self) -> Result<()> {
        let moment = Duration::from_millis(self.rng.roll(MOMENT_MOST_MS));
        let pid = self.stack.daemon_process().ok_or("no daemon")?;
        let signal = if self.rng.roll(12) == 0 { Signal::TERM } else { Signal::KILL };
        // The process is not reaped before the thread has ended, so that the id stays its own.
        let killer = std::thread::spawn(move || {
            std::thread::sleep(moment);
            kill_process(pid, signal)
        });
        self.traffic(|_| false).await?;
        killer.join().map_err(|_| "the killer panicked")??;
        self.restart().await
    }

    /// Makes one system call fail, or be the last one.
    pub async fn broken(&mut self, how: &Broken) -> Result<()> {
        self.stack.kill_daemon();
        let wrapper = how.wrapper();
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        // Before it is ready, too.
        if self.stack.start_daemon(&wrapper).is_err() {
            if !self.stack.daemon_gone() {
                return Err(format!("under {how:?} the daemon is neither ready nor gone").into());
            }
            return self.restart().await;
        }
        if self.come_back_or_gone().await? {
            let (began, first) = (Instant::now(), self.app.issued.len());
            let kills = how.kills();
            let enough = move |app: &App| {
                if kills {
                    app.issued.len() > first + 400
                } else {
                    app.issued.len() >= first + AFTER_FAILURE as usize || began.elapsed() > FAILURE_MOST
                }
            };
            self.errors_expected |= !kills;
            self.traffic(enough).await?;
            if kills && !self.stack.daemon_gone() {
                return Err(format!("{how:?} never came").into());
            }
        }
        self.restart().await
    }
    /// False: the blow came while the apps came back.
    async fn come_back_or_gone(&mut self) -> Result<bool> {
        let back = async {
            self.app.again(&self.stack).await?;
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        match back.await {
            Ok(()) => Ok(true),
            Err(why) => until(&format!("the daemon to be gone after: {why}"), || self.stack.daemon_gone())
                .map(|()| false),
        }
    }

    /// The line is good from here on: everything ends, and is judged.
    pub async fn end(mut self) -> Result<Verdict> {
        self.verdict.mishaps = self.proxy.done();
        self.own.done().into_iter().for_each(|(what, n)| *self.verdict.mishaps.entry(what).or_default() += n);
        self.proxy.calm();
        self.own.calm();
        control::send(&self.stack.acquirer_state(), &Command::Clear)?;
        self.app.virtuals.paper_out(false)?;
        // A person asks later than any frame is late.
        tokio::time::sleep(LATEST).await;
        let said = self.settle().await?;
        if !self.stack.stop_daemon()? {
            self.verdict.unexplained.push("the daemon did not stop in order".into());
        }
        audit::judge(&self.stack, &self.app.issued, &said, &mut self.verdict)?;
        let log = std::fs::read_to_string(self.stack.daemon_log())?;
        self.verdict.store_failures = log.lines().filter(|l| l.contains("the store failed")).count();
        if !self.errors_expected {
            self.verdict.unexplained.extend(
                log.lines().filter(|l| l.contains("ERROR")).take(10).map(|l| format!("the log has {l}")),
            );
        }
        if !self.verdict.ok() {
            // A mounted state directory does not outlive its disk.
            let left = self.stack.dir.join("state.left");
            let _ = std::process::Command::new("cp").arg("-a").arg(self.stack.state()).arg(left).status();
            if let Some(dir) = &mut self.dir {
                dir.disable_cleanup(true);
            }
            self.verdict.kept = Some(self.stack.dir.clone());
        }
        Ok(self.verdict)
    }

    /// All requests final, all obligations answered, all papers out.
    async fn settle(&mut self) -> Result<Said> {
        let me = caller();
        let client = &self.app.client;
        let began = Instant::now();
        loop {
            let open = client.obligations(&me).await?;
            // A person has it tried again, or asks the acquirer and says what it said.
            for o in open.iter().filter(|o| o.state == ObligationState::Stuck) {
                self.verdict.stuck += 1;
                let frames = open.iter().filter(|f| f.txn == o.txn && f.state == ObligationState::Stuck);
                let mut standing = None;
                for f in frames.clone() {
                    if audit::stands(&self.stack, &audit::at(&f.account, &f.plan))? {
                        standing = Some(f.plan.stan);
                    }
                }
                let (executed, stan) = (standing.is_some(), standing.filter(|_| frames.count() > 1));
                // What was told as declined and stands can only be taken back.
                let unknown =
                    self.app.issued.iter().any(|i| {
                        i.told.as_ref().is_some_and(|t| t.txn == o.txn && t.status == Status::Unknown)
                    });
                let again = o.duty != Duty::ManualResolution
                    && (self.rng.roll(2) == 0 || (o.duty == Duty::Reverse && executed && !unknown));
                let done = if again {
                    client.retry_obligation(&me, o.txn).await
                } else {
                    client.resolve_obligation(&me, o.txn, executed, stan, "asked the acquirer").await
                };
                match done {
                    // Answered meanwhile, or resolved with another frame of its request.
                    Ok(()) | Err(Fault::NotFound { .. } | Fault::TooLate { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            if open.is_empty() || began.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.settlements().await?;
        for i in &self.app.issued {
            let key = i.key();
            match tokio::time::timeout(PATIENCE, client.wait(&me, &key, true)).await {
                Ok(Ok(now)) => self.verdict.unexplained.extend(traffic::changed(i, &now)),
                Ok(Err(Fault::NotFound { .. })) if !i.started => {}
                Ok(Err(Fault::NotFound { .. })) => {
                    self.verdict.lost.push(format!("{key}: Start was answered, and it is not known"))
                }
                other => self.verdict.unexplained.push(format!("{key} does not end: {other:?}")),
            }
        }
        let began = Instant::now();
        loop {
            let open = client.papers(&me).await?;
            // Cut off at every try: a person has it printed once more.
            for p in open.iter().filter(|p| p.state == PaperState::Held) {
                client.release_paper(&me, p.id, true).await?;
            }
            if open.is_empty() {
                break;
            }
            if began.elapsed() > PATIENCE {
                self.verdict.unexplained.push(format!("papers stay: {open:?}"));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Said { obligations: client.obligations(&me).await?, totals: client.totals(&me).await? })
    }
}

impl Evening {
    /// Drives on those that wait for a person.
    async fn settlements(&self) -> Result<()> {
        let (me, began) = (caller(), Instant::now());
        for i in self.app.issued.iter().filter(|i| i.started && i.wire.kind == Kind::Settlement.name()) {
            loop {
                let now = match self.app.client.recall(&me, &i.key()).await {
                    Ok(t) => t.outcome,
                    // For whoever asks for all of them.
                    Err(Fault::NotFound { .. }) => break,
                    Err(e) => return Err(e.into()),
                };
                if now.status.is_final() || began.elapsed() > PATIENCE {
                    break;
                }
                match self.app.client.retry_obligation(&me, now.txn).await {
                    Ok(()) | Err(Fault::NotFound { .. } | Fault::TooLate { .. }) => {}
                    Err(e) => return Err(e.into()),
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        Ok(())
    }
}

/// `kills` times kill -9 at random moments.
pub async fn run(kills: u32, seed: u64) -> Result<Verdict> {
    let mut evening = Evening::new(seed, true).await?;
    for _ in 0..kills {
        evening.kill().await?;
    }
    evening.end().await
}

/// The daemon dies at its nth sync, for each of these; on a good line, so that the nth is what it is.
pub async fn at_each_sync(nths: impl IntoIterator<Item = u32>, seed: u64) -> Result<Verdict> {
    let mut evening = Evening::new(seed, false).await?;
    for nth in nths {
        evening.broken(&Broken { call: "fdatasync", how: "signal=KILL", nth, ever_after: false }).await?;
    }
    evening.end().await
}

/// A sync or a write of the journal fails, once or from then on.
pub async fn failing_calls(nths: impl IntoIterator<Item = u32>, seed: u64) -> Result<Verdict> {
    let mut evening = Evening::new(seed, true).await?;
    for nth in nths {
        for (call, how) in
            [("fdatasync", "error=EIO"), ("pwrite64", "error=EIO"), ("pwrite64", "error=ENOSPC")]
        {
            let ever_after = evening.rng.roll(3) == 0;
            evening.broken(&Broken { call, how, nth, ever_after }).await?;
        }
    }
    evening.end().await
}

/// The power goes at random moments, and comes back.
pub async fn power_cuts(cuts: u32, seed: u64) -> Result<Verdict> {
    cuts_under(cuts, seed, &[]).await
}
/// A planted bug: the daemon believes that it syncs, and nothing does. What was told is lost at a cut.
pub async fn power_cuts_without_syncs(cuts: u32, seed: u64) -> Result<Verdict> {
    let wrapper = Broken { call: "fdatasync", how: "retval=0", nth: 1, ever_after: true }.wrapper();
    cuts_under(cuts, seed, &wrapper.iter().map(String::as_str).collect::<Vec<_>>()).await
}
async fn cuts_under(cuts: u32, seed: u64, wrapper: &[&str]) -> Result<Verdict> {
    let dir = tempfile::Builder::new().prefix("payterm-power-").tempdir()?;
    let mut disk = LoopDisk::new(dir.path())?;
    // A failure before the first cut is none that a cut has made.
    let uncut = |e: Box<dyn std::error::Error>| format!("before a cut: {e}");
    let mut evening = Evening::begin(dir.path(), seed, wrapper.is_empty()).await.map_err(uncut)?;
    if !wrapper.is_empty() {
        evening.stack.kill_daemon();
        evening.stack.start_daemon(wrapper).map_err(uncut)?;
        evening.come_back().await.map_err(uncut)?;
    }
    for _ in 0..cuts {
        let moment = Duration::from_millis(evening.rng.roll(MOMENT_MOST_MS));
        let pid = evening.stack.daemon_process().ok_or("no daemon")?;
        let switch = disk.switch()?;
        let power = std::thread::spawn(move || -> std::result::Result<(), String> {
            std::thread::sleep(moment);
            // One that ended by itself meanwhile is not there any more.
            disk::halt(pid).ok();
            switch.cut().map_err(|e| e.to_string())?;
            kill_process(pid, Signal::KILL).map_err(|e| e.to_string())
        });
        evening.traffic(|_| false).await?;
        power.join().map_err(|_| "the switch panicked")??;
        evening.stack.kill_daemon();
        disk.power_on()?;
        evening.restart_under(wrapper).await?;
    }
    let verdict = evening.end().await?;
    if verdict.kept.is_some() {
        drop(disk);
        let _ = dir.keep();
    }
    Ok(verdict)
}

/// The disk fills up to some bytes under traffic, and is freed again; nothing is restarted.
pub async fn full_disk(times: u32, seed: u64) -> Result<Verdict> {
    let dir = tempfile::Builder::new().prefix("payterm-full-").tempdir()?;
    let disk = SmallDisk::new(dir.path(), SMALL_MIB)?;
    // On a good line: a terminal that has to sign in on a full disk cannot keep its keys, and takes no
    // payments at all.
    let mut evening = Evening::begin(dir.path(), seed, false).await?;
    evening.errors_expected = true;
    for n in 0..times {
        // What SQLite writes in a commit is some pages of 4 KiB: none of them, some of them, many of them
        // fit.
        let left = [0, 4 << 10, 12 << 10, 60 << 10, 250 << 10][n as usize % 5];
        if n.is_multiple_of(2) {
            // A WAL that finds no room to be reserved grows with each commit.
            evening.stack.kill_daemon();
            disk.fill(left + (300 << 10))?;
            if evening.stack.start_daemon(&[]).is_err() {
                // No room even to move the WAL into the journal: it ends and says so, and a later start goes
                // on.
                disk.free()?;
                evening.restart().await?;
                continue;
            }
            evening.come_back().await?;
        } else {
            evening.some(8).await?;
            disk.fill(left)?;
        }
        evening.some(40).await?;
        disk.free()?;
        evening.goes_on().await?;
        evening.verdict.blows += 1;
    }
    let verdict = evening.end().await?;
    if verdict.kept.is_some() {
        drop(disk);
        let _ = dir.keep();
    }
    Ok(verdict)
}
/// Longest time of the traffic of a full disk.
const FULL_MOST: Duration = Duration::from_secs(4);
/// More than a daemon wants free, so that it is the filling that matters.
const SMALL_MIB: u32 = 160;

impl Evening {
    /// Makes so many requests, whatever becomes of them.
    async fn some(&mut self, count: usize) -> Result<()> {
        let (until, began) = (self.app.issued.len() + count, Instant::now());
        self.traffic(move |app| app.issued.len() >= until || began.elapsed() > FULL_MOST).await
    }
    /// A sale is approved again.
    async fn goes_on(&mut self) -> Result<()> {
        let (from, began) = (self.app.issued.len(), Instant::now());
        let approved = |i: &traffic::Issued| i.told.as_ref().is_some_and(|o| o.status == Status::Approved);
        self.traffic(move |app| app.issued.iter().skip(from).any(approved) || began.elapsed() > PATIENCE)
            .await?;
        if began.elapsed() > PATIENCE {
            self.verdict.unexplained.push(format!("no payment within {PATIENCE:?} after the disk was freed"));
        }
        Ok(())
    }
}
