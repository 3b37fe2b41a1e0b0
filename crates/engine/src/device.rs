//! One actor per device. Its driver blocks on a named thread of its own; every command has a deadline, a
//! driver that hangs is abandoned with its thread and opened anew with backoff. Nobody else waits for it.
//!
//! Invariant: what a device is wanted to do stands in [`Wanted`], outside the actor: a device that is made
//! anew does it.
mod driver;

use crate::{
    mishap::{Mishaps, Part},
    supervise::{self, Life},
};
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, SpawnHandle, StreamHandler};
use driver::{Command, Report};
use payterm_devices::{Env, Interrupt, PrintJob, Switch};
use payterm_schema::{
    Device, DeviceKind, DeviceState, Instrument, Money, Pan, Screen,
    config::DeviceConfig,
    device::{Key, Way},
    paper::PrintResult,
    secret::PinEntry,
    selftest::{Finding, Verdict},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for a device. 64.
const MAILBOX: usize = 64;
/// Commands that may wait for the driver; more means that it hangs. 16.
const COMMANDS: usize = 16;
/// A screen is drawn this long after it was asked for: one that is replaced before then never flickers past.
/// 5 ms: no eye sees it.
const DRAW: Duration = Duration::from_millis(5);
/// What a driver gets beyond its own time-outs before it counts as hung. 2 s.
const GRACE: Duration = Duration::from_secs(2);

/// What the terminal wants of the devices now; shared by all of them.
#[derive(Default)]
pub struct Wanted {
    /// Instruments that are asked for, and how often that was asked: each time one may be given.
    ways: Vec<Way>,
    offer: u64,
    /// Readers that need no command, by their names: they are switched by whoever asks, once an offer.
    switches: BTreeMap<String, (DeviceKind, Switch)>,
    /// The transaction that it is asked for, and since when.
    txn: Option<u64>,
    since: Option<Instant>,
    /// The PIN entry that is asked for.
    pub pin: Option<u64>,
    pub screen: Option<Screen>,
}

impl Wanted {
    /// Readers that need a command look at it when they are told to ([`Refresh`]).
    pub fn ask(&mut self, txn: Option<u64>, ways: Vec<Way>) {
        // Asked again for the same (a reader came back, the customer chose a way), what was read just now is
        // as good.
        if self.txn != txn || txn.is_none() {
            (self.txn, self.since) = (txn, Some(Instant::now()));
        }
        self.ways = ways;
        self.offer += 1;
        self.switches.values().for_each(|(kind, switch)| switch(self.of(*kind).as_deref()));
    }
    /// What was read then was given for this transaction: the machine may be further than what the customer
    /// was asked.
    pub fn was_for(&self, txn: u64, read: Instant) -> bool {
        self.txn == Some(txn) && self.since.is_some_and(|since| since <= read)
    }
    /// Its driver is left: the thread may still be there, and would be given the next card.
    fn forget(&mut self, name: &str) {
        if let Some((_, switch)) = self.switches.remove(name) {
            switch(None);
        }
    }
    pub fn is_switched(&self, name: &str) -> bool {
        self.switches.contains_key(name)
    }
    /// What a reader of this kind is to take; None: it rests. A keypad always gives its keys.
    fn of(&self, kind: DeviceKind) -> Option<Vec<Way>> {
        let mine: Vec<Way> = self.ways.iter().copied().filter(|w| takes(kind) == Some(*w)).collect();
        Some(mine).filter(|m| !m.is_empty() || kind == DeviceKind::Keypad)
    }
}

/// What a device tells the terminal.
#[derive(Debug)]
pub enum DeviceEvent {
    /// With the time at which it was read.
    Instrument(Instrument, Instant),
    Key(Key),
    PinDigits {
        tag: u64,
        digits: u8,
    },
    /// A state has changed: see [`Registry`].
    Changed(Device),
    /// A printer that could not print can again.
    PrinterReady,
}

/// The devices as they are now.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<String, Device>>>);
impl Registry {
    pub fn all(&self) -> Vec<Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
    /// A device of this kind works.
    pub fn works(&self, kind: DeviceKind) -> bool {
        self.any(|d| d.kind == kind && d.state != DeviceState::Failed && d.state != DeviceState::Opening)
    }
    /// A printer can print now: it does, or is free to.
    pub fn prints(&self) -> bool {
        self.any(|d| {
            d.kind == DeviceKind::Printer && matches!(d.state, DeviceState::Idle | DeviceState::Busy)
        })
    }
    fn any(&self, is: impl Fn(&Device) -> bool) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().any(is)
    }
    fn change(&self, name: &str, change: impl FnOnce(&mut Device)) -> Option<Device> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let device = all.get_mut(name)?;
        let before = device.clone();
        change(device);
        (*device != before).then(|| device.clone())
    }
    pub fn add(&self, config: &DeviceConfig) {
        let device = Device {
            name: config.name.clone(),
            kind: config.kind,
            driver: config.driver.clone(),
            state: DeviceState::Opening,
            health: String::new(),
            restarts: 0,
            is_virtual: config.driver == "virtual",
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(config.name.clone(), device);
    }
}

/// A page as the lines of this terminal's display.
pub type Draw = Arc<dyn Fn(&Screen) -> Vec<String> + Send + Sync>;

/// What a device actor needs; outlives it.
pub struct Post {
    pub config: DeviceConfig,
    pub env: Env,
    pub wanted: Arc<Mutex<Wanted>>,
    pub registry: Registry,
    /// A display's lines.
    pub draw: Draw,
    pub events: Arc<dyn Fn(DeviceEvent) + Send + Sync>,
    pub mishaps: Mishaps,
}

impl Post {
    /// The actor itself had to be made anew.
    pub fn restarted(&self) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).forget(&self.config.name);
        let change = |d: &mut Device| {
            d.state = DeviceState::Failed;
            d.health = "its actor is being restarted".into();
            d.restarts += 1;
        };
        if let Some(now) = self.registry.change(&self.config.name, change) {
            (self.events)(DeviceEvent::Changed(now));
        }
    }
}

/// Look at [`Wanted`] again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Refresh;

#[derive(Message)]
#[rtype(result = "PinEntry")]
pub struct AskPin {
    pub tag: u64,
    /// The account whose PIK is used.
    pub slot: String,
    pub pan: Pan,
    pub amount: Option<Money>,
    pub timeout: Duration,
}

#[derive(Message)]
#[rtype(result = "()")]
pub struct AbortPin {
    pub tag: u64,
}

#[derive(Message)]
#[rtype(result = "PrintResult")]
pub struct Print(pub PrintJob);

/// Tests the device; answered within its own time-out. `slots`: the accounts whose PIN keys a pad needs.
#[derive(Message)]
#[rtype(result = "Finding")]
pub struct Examine {
    pub slots: Vec<String>,
}

/// The driver's thread while it is ours.
struct Driver {
    commands: SyncSender<Command>,
    reports: SpawnHandle,
    interrupt: Option<Interrupt>,
}

enum Pending {
    Pin { tag: u64, abort: bool, done: oneshot::Sender<PinEntry> },
    Print(oneshot::Sender<PrintResult>),
}

pub struct DeviceActor {
    pub life: Life,
    pub post: Arc<Post>,
    driver: Option<Driver>,
    opened: bool,
    pending: Option<Pending>,
    /// Waits for the finding of the test under way; customer and paper go on meanwhile.
    testing: Option<oneshot::Sender<Finding>>,
    deadline: Option<SpawnHandle>,
    wait: Duration,
    /// The last order to a reader was to wait for a card; one that is switched always does.
    armed: bool,
    offer_seen: Option<u64>,
    /// What the driver was last armed for.
    armed_for: Vec<Way>,
    drawn: Option<Vec<String>>,
    /// A screen will be drawn soon.
    drawing: bool,
    showing: bool,
    /// How far a PIN is typed, until that is told ([`DRAW`]); then none.
    typed: Option<(u64, u8)>,
    /// Some of it was typed.
    stars: bool,
}

impl Actor for DeviceActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        let _ = &self.life;
        self.open(ctx);
    }
}

impl DeviceActor {
    pub fn new(life: Life, post: Arc<Post>) -> Self {
        Self {
            life,
            post,
            driver: None,
            opened: false,
            pending: None,
            testing: None,
            deadline: None,
            wait: supervise::WAIT_FIRST,
            armed: false,
            offer_seen: None,
            armed_for: Vec::new(),
            drawn: None,
            drawing: false,
            showing: false,
            typed: None,
            stars: false,
        }
    }

    fn command_time(&self) -> Duration {
        Duration::from_millis(u64::from(self.post.config.command_timeout_ms)) + GRACE
    }

    fn state(&self, state: DeviceState, health: &str) {
        self.change(|d| {
            d.state = state;
            health.clone_into(&mut d.health);
        });
    }
    fn change(&self, change: impl FnOnce(&mut Device)) {
        if let Some(now) = self.post.registry.change(&self.post.config.name, change) {
            (self.post.events)(DeviceEvent::Changed(now));
        }
    }

    /// A thread with a driver of its own.
    fn open(&mut self, ctx: &mut Context<Self>) {
        let (commands, orders) = sync_channel(COMMANDS);
        let (up, mut down) = mpsc::unbounded_channel();
        let post = self.post.clone();
        let thread = std::thread::Builder::new()
            .name(format!("dev-{}", post.config.name))
            .spawn(move || driver::run(&post.config, &post.env, &orders, &up));
        if let Err(e) = thread {
            return self.failed(&format!("its thread could not be started: {e}"), ctx);
        }
        let reports = ctx.add_stream(futures_util::stream::poll_fn(move |cx| down.poll_recv(cx)));
        self.driver = Some(Driver { commands, reports, interrupt: None });
        self.opened = false;
        self.expect_within(self.command_time(), ctx);
    }

    /// Until something is heard, this much time.
    fn expect_within(&mut self, time: Duration, ctx: &mut Context<Self>) {
        self.relax(ctx);
        self.deadline = Some(ctx.run_later(time, |act, ctx| {
            act.deadline = None;
            act.failed("no answer from its driver in time: abandoned", ctx);
        }));
    }
    fn relax(&mut self, ctx: &mut Context<Self>) {
        if let Some(d) = self.deadline.take() {
            ctx.cancel_future(d);
        }
    }

    /// Leaves the driver to its thread and opens another one later.
    fn failed(&mut self, why: &str, ctx: &mut Context<Self>) {
        self.relax(ctx);
        tracing::warn!(device = %self.post.config.name, again_in_ms = self.wait.as_millis(), "device failed: {why}");
        self.wanted().forget(&self.post.config.name);
        if let Some(driver) = self.driver.take() {
            ctx.cancel_future(driver.reports);
            if let Some(interrupt) = driver.interrupt {
                interrupt();
            }
        }
        match self.pending.take() {
            Some(Pending::Pin { done, .. }) => drop(done.send(PinEntry::Failed(why.into()))),
            // Whether a byte left is not known.
            Some(Pending::Print(done)) => drop(done.send(PrintResult::Unconfirmed(why.into()))),
            None => {}
        }
        if let Some(found) = self.testing.take() {
            found.send(Finding::failed("device-failed").with("why", why)).ok();
        }
        (self.opened, self.armed, self.showing, self.offer_seen, self.drawn) =
            (false, false, false, None, None);
        self.change(|d| {
            d.state = DeviceState::Failed;
            why.clone_into(&mut d.health);
            d.restarts += 1;
        });
        let wait = self.wait;
        self.wait = supervise::backoff(wait);
        ctx.run_later(wait, |act, ctx| act.open(ctx));
    }

    /// Hands a command to the driver; `within`: an answer is due by then.
    fn command(&mut self, command: Command, within: Duration, ctx: &mut Context<Self>) {
        let Some(driver) = &self.driver else { return };
        // An armed reader may be waiting for a card; any other driver waits for commands only.
        let arms = matches!(command, Command::Arm(_));
        let rests = matches!(command, Command::Disarm);
        let wake = self.armed && (arms || rests || matches!(command, Command::SelfTest(_)));
        match driver.commands.try_send(command) {
            Ok(()) => {
                if let Some(interrupt) = driver.interrupt.as_ref().filter(|_| wake) {
                    interrupt();
                }
                self.armed = arms || (self.armed && !rests);
                self.expect_within(within, ctx);
            }
            Err(TrySendError::Full(_)) => self.failed("its driver takes no more commands", ctx),
            Err(TrySendError::Disconnected(_)) => self.failed("its driver ended", ctx),
        }
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.post.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the device do what is wanted.
    fn refresh(&mut self, ctx: &mut Context<Self>) {
        if !self.opened {
            return;
        }
        let time = self.command_time();
        match self.post.config.kind {
            DeviceKind::MagneticReader
            | DeviceKind::ChipReader
            | DeviceKind::ContactlessReader
            | DeviceKind::Scanner
            | DeviceKind::Keypad => {
                let (offer, mine) = {
                    let w = self.wanted();
                    // Whoever asked has switched it.
                    if w.is_switched(&self.post.config.name) {
                        return;
                    }
                    (w.offer, w.of(self.post.config.kind))
                };
                if self.offer_seen == Some(offer) {
                    return;
                }
                self.offer_seen = Some(offer);
                match mine {
                    Some(mine) if mine.is_empty() && self.armed && self.armed_for.is_empty() => {}
                    Some(mine) => {
                        self.armed_for.clone_from(&mine);
                        self.command(Command::Arm(mine), time, ctx);
                    }
                    // At once: a card that is read now must not be lost, nor pay what comes next.
                    None if self.armed => self.command(Command::Disarm, time, ctx),
                    None => {}
                }
            }
            DeviceKind::Display => {
                if !self.drawing && !self.showing {
                    self.drawing = true;
                    ctx.run_later(DRAW, |act, ctx| {
                        act.drawing = false;
                        act.draw(ctx);
                    });
                }
            }
            DeviceKind::PinPad | DeviceKind::Printer => {}
        }
    }
}

impl DeviceActor {
    /// The display shows what is wanted now.
    fn draw(&mut self, ctx: &mut Context<Self>) {
        let screen = self.wanted().screen.clone();
        let Some(screen) = screen.filter(|_| self.opened && !self.showing) else { return };
        // The lines count: the language may have changed.
        let lines = (self.post.draw)(&screen);
        if self.drawn.as_ref() != Some(&lines) {
            self.showing = true;
            self.drawn = Some(lines.clone());
            self.command(Command::Show(lines), self.command_time(), ctx);
        }
    }
}

/// Which instrument comes from a device.
pub fn takes(kind: DeviceKind) -> Option<Way> {
    match kind {
        DeviceKind::MagneticReader => Some(Way::Swipe),
        DeviceKind::ChipReader => Some(Way::Insert),
        DeviceKind::ContactlessReader => Some(Way::Tap),
        DeviceKind::Scanner => Some(Way::Scan),
        DeviceKind::Keypad => Some(Way::Typed),
        DeviceKind::PinPad | DeviceKind::Display | DeviceKind::Printer => None,
    }
}

impl StreamHandler<Report> for DeviceActor {
    fn handle(&mut self, report: Report, ctx: &mut Context<Self>) {
        match report {
            Report::Opened(interrupt, switch) => {
                self.relax(ctx);
                self.opened = true;
                self.wait = supervise::WAIT_FIRST;
                self.armed = switch.is_some();
                if let Some(d) = &mut self.driver {
                    d.interrupt = interrupt;
                }
                if let Some(switch) = switch {
                    let (name, kind) = (self.post.config.name.clone(), self.post.config.kind);
                    let mut wanted = self.wanted();
                    switch(wanted.of(kind).as_deref());
                    wanted.switches.insert(name, (kind, switch));
                }
                self.state(DeviceState::Idle, "");
                self.refresh(ctx);
                if self.post.config.kind == DeviceKind::Printer {
                    (self.post.events)(DeviceEvent::PrinterReady);
                }
            }
            // A printer's state was asked while a job came in: the job's deadline stands.
            Report::Done if self.pending.is_some() => {}
            Report::Done => {
                self.relax(ctx);
                self.showing = false;
                self.refresh(ctx);
            }
            // The driver waits again: it must come back from that wait.
            Report::Waiting(time) => {
                if self.pending.is_none() && !self.showing {
                    self.expect_within(time + self.command_time(), ctx);
                }
            }
            Report::Source(event, read) => (self.post.events)(match event {
                payterm_devices::SourceEvent::Instrument(i) => DeviceEvent::Instrument(i, read),
                payterm_devices::SourceEvent::Key(k) => DeviceEvent::Key(k),
            }),
            Report::PinDigits { tag, digits } => {
                if let (
                    Some(Pending::Pin { abort: true, tag: mine, .. }),
                    Some(Driver { interrupt: Some(interrupt), .. }),
                ) = (&self.pending, &self.driver)
                    && *mine == tag
                {
                    interrupt();
                }
                // None yet is what the screen shows anyway. The last one that comes before the screen is
                // drawn counts.
                self.stars |= digits > 0;
                if self.stars && self.typed.replace((tag, digits)).is_none() {
                    ctx.run_later(DRAW, |act, _| {
                        if let Some((tag, digits)) = act.typed.take() {
                            (act.post.events)(DeviceEvent::PinDigits { tag, digits });
                        }
                    });
                }
            }
            Report::Pin(entry) => {
                (self.typed, self.stars) = (None, false);
                self.relax(ctx);
                self.state(DeviceState::Idle, "");
                if let Some(Pending::Pin { done, .. }) = self.pending.take() {
                    done.send(entry).ok();
                }
            }
            Report::Printed(result) => {
                self.relax(ctx);
                match &result {
                    // What needs a printer is told at once, not with the next look at its state.
                    PrintResult::NotStarted(why) => self.state(DeviceState::Degraded, why),
                    PrintResult::Confirmed | PrintResult::SentUnconfirmable | PrintResult::Unconfirmed(_) => {
                        self.state(DeviceState::Idle, "")
                    }
                }
                if let Some(Pending::Print(done)) = self.pending.take() {
                    done.send(result).ok();
                }
            }
            Report::Tested(finding) => {
                if self.pending.is_none() {
                    self.relax(ctx);
                }
                // A printer that cannot print; its next look at its state says when it can again.
                if self.post.config.kind == DeviceKind::Printer
                    && self.pending.is_none()
                    && finding.verdict == Verdict::Failed
                {
                    self.state(DeviceState::Degraded, finding.facts.get("why").unwrap_or(&finding.code));
                }
                if let Some(found) = self.testing.take() {
                    found.send(finding).ok();
                }
                // The pattern makes room for what is to be shown.
                self.drawn = None;
                self.refresh(ctx);
            }
            Report::Problem(_) if self.pending.is_some() => {}
            Report::Problem(problem) => {
                let before = self
                    .post
                    .registry
                    .all()
                    .into_iter()
                    .find(|d| d.name == self.post.config.name)
                    .map(|d| d.state);
                match problem {
                    Some(p) => self.state(DeviceState::Degraded, &p),
                    None => {
                        self.state(DeviceState::Idle, "");
                        if before == Some(DeviceState::Degraded) {
                            (self.post.events)(DeviceEvent::PrinterReady);
                        }
                    }
                }
            }
            Report::Failed(why) => self.failed(&why, ctx),
        }
    }

    /// The thread has ended: after a panic of its driver, or because it was told to.
    fn finished(&mut self, ctx: &mut Context<Self>) {
        if self.driver.is_some() {
            self.failed("its driver panicked", ctx);
        }
    }
}

impl Handler<Refresh> for DeviceActor {
    type Result = ();
    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) {
        self.post.mishaps.pass(Part::Device);
        self.refresh(ctx);
    }
}

impl Handler<AskPin> for DeviceActor {
    type Result = ResponseFuture<PinEntry>;
    fn handle(&mut self, m: AskPin, ctx: &mut Context<Self>) -> Self::Result {
        self.post.mishaps.pass(Part::Device);
        // It may have waited for this actor to be made anew.
        let wanted = self.wanted().pin == Some(m.tag);
        if !wanted || !self.opened || self.pending.is_some() {
            let why = match (wanted, self.opened) {
                (false, _) => "nobody waits for this PIN any more",
                (true, true) => "the PIN pad is busy",
                (true, false) => "the PIN pad does not work",
            };
            return Box::pin(async move { PinEntry::Failed(why.into()) });
        }
        let (done, entry) = oneshot::channel();
        let tag = m.tag;
        self.pending = Some(Pending::Pin { tag, abort: false, done });
        // Everybody is told; an entry that is over at once is nothing to tell.
        ctx.run_later(DRAW, move |act, _| {
            if matches!(&act.pending, Some(Pending::Pin { tag: now, .. }) if *now == tag) {
                act.state(DeviceState::Busy, "");
            }
        });
        let time = m.timeout + self.command_time();
        self.command(Command::Pin(Box::new(m)), time, ctx);
        Box::pin(async move {
            entry.await.unwrap_or_else(|_| PinEntry::Failed("the PIN pad is being restarted".into()))
        })
    }
}

impl Handler<AbortPin> for DeviceActor {
    type Result = ();
    fn handle(&mut self, m: AbortPin, _: &mut Context<Self>) {
        if let (Some(Pending::Pin { tag, abort, .. }), Some(Driver { interrupt: Some(interrupt), .. })) =
            (&mut self.pending, &self.driver)
            && *tag == m.tag
        {
            // When the entry has not begun yet, its first sign of life is answered with this again.
            *abort = true;
            interrupt();
        }
    }
}

impl Handler<Print> for DeviceActor {
    type Result = ResponseFuture<PrintResult>;
    fn handle(&mut self, m: Print, ctx: &mut Context<Self>) -> Self::Result {
        self.post.mishaps.pass(Part::Device);
        if !self.opened || self.pending.is_some() {
            let why = if self.opened { "the printer is busy" } else { "the printer does not work" };
            return Box::pin(async move { PrintResult::NotStarted(why.into()) });
        }
        let (done, result) = oneshot::channel();
        self.pending = Some(Pending::Print(done));
        self.state(DeviceState::Busy, "");
        let time = self.command_time();
        self.command(Command::Print(m.0), time, ctx);
        Box::pin(async move {
            result.await.unwrap_or_else(|_| PrintResult::Unconfirmed("the printer is being restarted".into()))
        })
    }
}

impl Handler<Examine> for DeviceActor {
    type Result = ResponseFuture<Finding>;
    fn handle(&mut self, m: Examine, ctx: &mut Context<Self>) -> Self::Result {
        self.post.mishaps.pass(Part::Device);
        if !self.opened {
            let health = self
                .post
                .registry
                .all()
                .into_iter()
                .find(|d| d.name == self.post.config.name)
                .map(|d| d.health)
                .unwrap_or_default();
            let why = if health.is_empty() { "it is being opened".to_owned() } else { health };
            return Box::pin(async move { Finding::failed("device-failed").with("why", why) });
        }
        // A device that serves a customer or prints, works.
        if self.pending.is_some() || self.testing.is_some() {
            return Box::pin(async { Finding::new(Verdict::Passed, "busy") });
        }
        let (found, finding) = oneshot::channel();
        self.testing = Some(found);
        let time = self.command_time();
        self.command(Command::SelfTest(m.slots), time, ctx);
        Box::pin(async move {
            finding
                .await
                .unwrap_or_else(|_| Finding::failed("device-failed").with("why", "it is being restarted"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_pays_nothing_that_is_asked_later() {
        let mut wanted = Wanted::default();
        assert!(!wanted.was_for(1, Instant::now()), "nobody has asked for anything");
        wanted.ask(Some(1), vec![Way::Swipe, Way::Scan]);
        let read = Instant::now();
        assert!(wanted.was_for(1, read));
        assert!(
            !wanted.was_for(2, Instant::now()),
            "the machine is at the next request, and the customer is still asked for this one"
        );
        wanted.ask(Some(1), vec![Way::Swipe]);
        assert!(wanted.was_for(1, read), "the same request asks again");
        wanted.ask(Some(2), vec![Way::Swipe]);
        assert!(!wanted.was_for(2, read) && !wanted.was_for(1, read));
        assert!(wanted.was_for(2, Instant::now()));
        wanted.ask(None, Vec::new());
        wanted.ask(Some(1), vec![Way::Swipe]);
        assert!(!wanted.was_for(1, read), "of a machine that was discarded");
    }

    #[test]
    fn a_switched_reader_is_switched_once_an_offer() {
        let heard: Arc<Mutex<Vec<Option<Vec<Way>>>>> = Arc::default();
        let hears = heard.clone();
        let switch: Switch = Arc::new(move |ways| {
            hears.lock().unwrap_or_else(PoisonError::into_inner).push(ways.map(<[Way]>::to_vec))
        });
        let mut wanted = Wanted::default();
        wanted.switches.insert("swipe".into(), (DeviceKind::MagneticReader, switch.clone()));
        wanted.switches.insert("keypad".into(), (DeviceKind::Keypad, switch));
        wanted.ask(Some(1), vec![Way::Scan, Way::Swipe]);
        wanted.ask(None, Vec::new());
        wanted.forget("swipe");
        wanted.ask(Some(2), vec![Way::Typed]);
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // In the order of their names; a keypad always gives its keys.
        let keys = Some(Vec::new());
        assert_eq!(heard, [keys.clone(), Some(vec![Way::Swipe]), keys, None, None, Some(vec![Way::Typed])]);
    }
}
