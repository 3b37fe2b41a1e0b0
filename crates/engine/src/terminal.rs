//! The actor that owns the machine and the commit queue. It does not wait for the disk: a step goes to the
//! store, the next input is taken; effects are released when their records are durable. But on a disk that
//! answered the last commit within two milliseconds, with at most one exchange under way, it writes the
//! commit itself ([`Store::commit_alone`]): two hand-overs between threads would take longer. What asks the
//! customer for a card or a PIN waits for no record ([`payterm_core::Ask`]), and the records of such a step
//! are written by the store's thread meanwhile.
//!
//! Invariant: after a failed commit (or a panic) the machine is rebuilt from what the disk holds, and none of
//! its unreleased effects is ever carried out.
mod effects;
mod messages;
mod operators;
mod pacing;
mod troubles;

pub use messages::{FromDevice, FromHost, Look, Stop, Tell};
use pacing::Out;
use troubles::Troubles;

use crate::{
    clock::Clock,
    commit::{self, CommitQueue},
    device::{CardReader, DesiredState, Devices, Registry, Shell},
    emv::CardData,
    front_door::restarting,
    hostlink::{HostLink, SEALED_PAN},
    language::Spoken,
    mishap::{Mishaps, Part},
    recent::Recent,
    spooler::Spooler,
    supervise::{self, Child, Life},
    tms::Tms,
};
use actix::{
    Actor, ActorFutureExt, ActorStreamExt, AsyncContext, Context, SpawnHandle, WrapFuture, WrapStream,
};
use futures_util::{Stream, stream};
use payterm_core::{Ask, Call, Effect, Input, Machine, Settings, Step};
use payterm_journal::{Commit, Durable, Loaded, Store, StoreError};
use payterm_schema::{
    AccountId, DeviceKind, Fault, InhibitReason, Notice, RequestKey, Screen,
    card::Interface,
    host::{ENTRY_MODES, EntryMode, EntryModeRow},
    terminal::TerminalInfo,
};
use payterm_vault::Vault;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::{
    Notify, broadcast, mpsc,
    oneshot::{self, error::TryRecvError},
    watch,
};

/// Messages that may wait for the terminal. 256: callers, devices and hosts together.
const MAILBOX: usize = 256;
/// Steps that may wait for the disk before new requests are refused. 256.
const STEPS: usize = 256;

/// Everything that the terminal works with; outlives the actor.
pub struct Services {
    pub settings: Arc<Settings>,
    pub store: Store,
    pub vault: Arc<Vault>,
    pub clock: Arc<Clock>,
    pub spoken: Spoken,
    pub registry: Registry,
    pub desired: Arc<Mutex<DesiredState>>,
    pub devices: Devices,
    pub links: BTreeMap<AccountId, Child<HostLink>>,
    pub spooler: Child<Spooler>,
    pub notices: broadcast::Sender<Notice>,
    pub recent: Recent,
    pub mishaps: Mishaps,
    pub tms: Option<Arc<Tms>>,
    /// What the card kernel works with; none: there is none.
    pub card_data: Option<Arc<CardData>>,
    /// Notified when the terminal is to be built anew, with other accounts.
    pub renew: Arc<Notify>,
    /// Reasons why the machine must not go down, as far as they are durable.
    pub inhibits: watch::Sender<BTreeSet<InhibitReason>>,
    /// Facts that every face shows, as far as they are durable; `up`: a machine stands behind it.
    pub info: watch::Sender<Info>,
}

/// Facts of the terminal, kept for every face.
#[derive(Clone, Debug)]
pub struct Info {
    pub up: bool,
    pub shown: Arc<TerminalInfo>,
}

impl Services {
    pub(crate) fn show_info(&self, change: impl FnOnce(&mut TerminalInfo)) {
        self.info.send_modify(|info| {
            info.up = true;
            change(Arc::make_mut(&mut info.shown));
        });
    }
    fn hide_info(&self) {
        self.info.send_modify(|info| info.up = false);
    }
}

pub struct TerminalActor {
    pub(crate) life: Life,
    pub(crate) services: Arc<Services>,
    machine: Option<Machine>,
    queue: CommitQueue<Out>,
    /// Rises with each rebuilt machine: what an earlier one waited for is not heard any more.
    epoch: u64,
    /// Token of this machine: frames of a discarded one do not leave any more.
    pub(crate) wants: Arc<()>,
    /// Commits under way, with the epoch that made them.
    commits: mpsc::UnboundedSender<(u64, Committed)>,
    answers: Option<mpsc::UnboundedReceiver<(u64, Committed)>>,
    calls: HashMap<Call, (String, oneshot::Sender<Result<(), Fault>>)>,
    last_call: Call,
    timer: Option<SpawnHandle>,
    /// Released, and not carried out yet: those who wait for an answer go first.
    outbox: VecDeque<Out>,
    yielding: bool,
    /// The outbox rests for [`OUTCOME_PACING`].
    pacing: bool,
    /// Entry modes, PIN pad and printer, as the machine was told of them last.
    devices: Option<(Vec<EntryMode>, bool, bool)>,
    /// The chip readers that found a card last, by their names.
    found_by: BTreeMap<Interface, String>,
    /// The chip reader whose card runs, or ran last.
    runs_on: Option<Child<Shell<CardReader>>>,
    /// The printer's trouble, as the machine was told of it last.
    printer_trouble: Option<&'static str>,
    /// Wait before the journal is opened again: none after a commit that worked.
    again: Duration,
    /// Records and snapshot that the store loaded when it was opened.
    first: Option<Loaded>,
    /// A request ran when the last step was over.
    ran: bool,
    /// Request and screen after the last step.
    shown: Option<(Option<RequestKey>, Screen)>,
    troubles: Troubles,
}

type Committed = oneshot::Receiver<Result<Durable, StoreError>>;

/// Answers of the store in the order of their commits. Each frees the effects of all commits up to its own,
/// and only its own answer knows the heads of its outcomes.
fn in_order(
    commits: mpsc::UnboundedReceiver<(u64, Committed)>,
) -> impl Stream<Item = (u64, Result<Durable, StoreError>)> {
    stream::unfold(commits, |mut commits| async {
        let (epoch, done) = commits.recv().await?;
        Some(((epoch, done.await.unwrap_or(Err(StoreError::Stopped))), commits))
    })
}

impl Actor for TerminalActor {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.life.begin(ctx);
        if let Some(commits) = self.answers.take() {
            ctx.spawn(
                in_order(commits)
                    .into_actor(self)
                    .map(|(epoch, done), act, ctx| {
                        if act.epoch == epoch {
                            act.committed(done, ctx);
                        }
                    })
                    .finish(),
            );
        }
        match self.first.take() {
            Some(loaded) => self.rebuild(loaded, ctx),
            None => self.recover(ctx),
        }
    }
}

impl TerminalActor {
    /// The actor panicked: what it asked the customer is asked no more, until one is made anew.
    pub fn gone(services: &Services) {
        services.hide_info();
        effects::withdraw(services);
        effects::show(services, &Screen::Trouble { what: "starting".into() }, None);
    }

    pub fn new(life: Life, services: Arc<Services>, first: Option<Loaded>) -> Self {
        let (commits, answers) = mpsc::unbounded_channel();
        Self {
            life,
            services,
            commits,
            answers: Some(answers),
            machine: None,
            queue: CommitQueue::new(0),
            epoch: 0,
            wants: Arc::default(),
            calls: HashMap::new(),
            last_call: 0,
            timer: None,
            outbox: VecDeque::new(),
            yielding: false,
            pacing: false,
            devices: None,
            found_by: BTreeMap::new(),
            runs_on: None,
            printer_trouble: None,
            again: Duration::ZERO,
            first,
            ran: false,
            shown: None,
            troubles: Troubles::default(),
        }
    }

    /// Rebuilds the machine from what the disk holds.
    fn rebuild(&mut self, loaded: Loaded, ctx: &mut Context<Self>) {
        let Loaded { snapshot, tail, last_seq, restored, .. } = loaded;
        let mut machine = match Machine::replay((*self.services.settings).clone(), snapshot.as_deref(), tail)
        {
            Ok(m) => m,
            // No retry mends a journal that does not add up: the terminal stays out of service and says why.
            Err(e) => {
                tracing::error!("the journal cannot be replayed, the terminal takes no payments: {e}");
                return effects::show(&self.services, &Screen::Trouble { what: "journal".into() }, None);
            }
        };
        self.queue = CommitQueue::new(last_seq);
        let keys: Vec<AccountId> = self
            .services
            .links
            .keys()
            .filter(|a| self.services.vault.has_working_keys(a.as_str()))
            .cloned()
            .collect();
        effects::withdraw(&self.services);
        if let Some(restored) = restored {
            let step = machine.restored(self.services.clock.now(), restored);
            self.machine = Some(machine);
            self.take(step, ctx);
            let Some(m) = self.machine.take() else { return };
            machine = m;
        }
        let step = machine.boot(self.services.clock.now(), env!("CARGO_PKG_VERSION"), &keys);
        self.machine = Some(machine);
        (self.devices, self.printer_trouble, self.shown) = (None, None, None);
        self.take(step, ctx);
        self.devices_changed(ctx);
    }

    /// Reads the journal back until that succeeds, with backoff. One that is read and then takes no commit is
    /// no success: the wait goes on to grow.
    fn recover(&mut self, ctx: &mut Context<Self>) {
        let (store, mut wait, epoch) = (self.services.store.clone(), self.again, self.epoch);
        let read = async move {
            loop {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                wait = supervise::backoff(wait).max(supervise::WAIT_FIRST);
                match store.reopen().await {
                    Ok(loaded) => return (loaded, wait),
                    Err(e) => {
                        tracing::error!(again_in_ms = wait.as_millis(), "the journal cannot be opened: {e}")
                    }
                }
            }
        };
        ctx.spawn(read.into_actor(self).map(move |(loaded, wait), act, ctx| {
            // Put to rest meanwhile.
            if act.epoch != epoch {
                return;
            }
            act.again = wait;
            act.tell_again(&loaded);
            act.rebuild(loaded, ctx);
        }));
    }

    /// Outcomes that became durable while the machine before was lost: those who wait for them were not told.
    /// The last of each request, so that none seems to change back.
    fn tell_again(&self, loaded: &Loaded) {
        let mut again = commit::tell_again(&loaded.tail, self.services.clock.now());
        effects::with_heads(again.iter_mut(), &loaded.told);
        for outcome in again {
            effects::tell(&self.services, Notice::Outcome { outcome });
        }
    }

    fn failed(&mut self, cause: &str, ctx: &mut Context<Self>) {
        tracing::error!(
            again_in_ms = self.again.as_millis(),
            "the store failed, the terminal is rebuilt from disk: {cause}"
        );
        self.discard("store", |id| Fault::StoreFailed { id, cause: cause.into() }, ctx);
    }

    /// A commit was not made: the machine is ahead of the disk and is discarded. `what`: the trouble that is
    /// shown until the next one is there; `fault`: the answer to calls that wait, by their id.
    fn discard(&mut self, what: &str, fault: impl Fn(String) -> Fault, ctx: &mut Context<Self>) {
        self.flush(ctx);
        self.epoch += 1;
        self.wants = Arc::default();
        self.machine = None;
        if let Some(t) = self.timer.take() {
            ctx.cancel_future(t);
        }
        drop(std::mem::replace(&mut self.queue, CommitQueue::new(0)).failed());
        for (_, (id, answer)) in self.calls.drain() {
            answer.send(Err(fault(id))).ok();
        }
        self.services.hide_info();
        effects::withdraw(&self.services);
        effects::show(&self.services, &Screen::Trouble { what: what.into() }, None);
        self.recover(ctx);
    }

    fn input(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.services.mishaps.pass(Part::Terminal);
        let now = self.services.clock.now();
        let Some(machine) = &mut self.machine else { return };
        let step = machine.handle(input, now);
        self.take(step, ctx);
    }

    /// Asks the customer, hands the records to the store, and releases what may go out.
    fn take(&mut self, mut step: Step, ctx: &mut Context<Self>) {
        let span = self
            .machine
            .as_ref()
            .and_then(|m| m.running())
            .map(|(key, _)| tracing::info_span!("txn", request = %key));
        let _in = span.as_ref().map(|s| s.enter());
        let mut now = commit::asked_now(&mut step.asks, self.queue.waiting().filter_map(Out::facing));
        let asked = now.iter().any(Ask::is_answered);
        // Otherwise the store's thread is woken first.
        if !asked {
            self.ask_all(&mut now, ctx);
        }
        let last = step.records.last().map(|e| e.seq);
        let staff = troubles::of_staff(&step.records);
        let mut written = None;
        // A request that this step ends is waited for like one that runs.
        let runs = self.machine.as_ref().is_some_and(|m| m.running().is_some());
        let ran = std::mem::replace(&mut self.ran, runs);
        assert!(
            last.is_some()
                || (step.seal.is_empty()
                    && step.erase.is_empty()
                    && step.erase_batch.is_none()
                    && step.claim.is_none()),
            "sealed values change only with a record, and an answer is on record"
        );
        if last.is_some() {
            let seal = |(txn, pan): (u64, payterm_schema::Pan)| {
                let blob = self.services.vault.seal(SEALED_PAN, &txn.to_be_bytes(), pan.reveal().as_bytes());
                blob.map(|b| (txn, b))
            };
            let seal = match step.seal.into_iter().map(seal).collect::<Result<Vec<_>, _>>() {
                Ok(s) => s,
                Err(e) => return self.failed(&e.to_string(), ctx),
            };
            // Several exchanges under way: their commits go together. What was committed before is told
            // first, with its own heads.
            let exchanges = self.machine.as_ref().map_or(0, Machine::exchanges);
            // While the disk syncs, this thread hears the card and asks for the PIN.
            let alone = self.queue.is_empty() && exchanges <= 1 && !asked;
            // A queue that is forwarded while nobody waits: this answer, and half of those that are under way
            // beside it.
            let awaited = ran || runs || step.effects.iter().any(|e| matches!(e, Effect::Answer { .. }));
            let beside = exchanges
                .saturating_sub(step.effects.iter().filter(|e| matches!(e, Effect::Send(_))).count());
            let expected_group = if awaited { 0 } else { 1 + beside / 2 };
            let commit = Commit {
                records: step.records,
                seal,
                erase: step.erase,
                erase_batch: step.erase_batch,
                claim: step.claim,
                snapshot: step.snapshot,
                expected_group,
            };
            let mut done = if alone {
                self.services.store.commit_alone(commit)
            } else {
                self.services.store.commit(commit)
            };
            match done.try_recv() {
                Err(TryRecvError::Empty) => {
                    // The other end is in this actor.
                    self.commits.send((self.epoch, done)).ok();
                }
                now => written = Some(now.unwrap_or(Err(StoreError::Stopped))),
            }
        }
        self.ask_all(&mut now, ctx);
        // Before the effects: the lock is asked for when the frame goes.
        let inhibits =
            self.machine.as_ref().filter(|_| last.is_some()).map(|m| Out::Inhibits(m.state().inhibits()));
        let out = staff.into_iter().map(Out::Staff).chain(self.shown()).chain(inhibits);
        let out = out.chain(step.asks.into_iter().map(Out::Ask));
        let out = self.queue.push(last, out.chain(step.effects.into_iter().map(Out::Effect)).collect());
        self.release(out, ctx);
        if let Some(done) = written {
            self.committed(done, ctx);
        }
        self.set_timer(ctx);
    }

    fn ask_all(&mut self, asks: &mut Vec<Ask>, ctx: &mut Context<Self>) {
        if !asks.is_empty() {
            // What is released and waits for its turn comes first: a screen of before would stand over this
            // one.
            self.flush(ctx);
            asks.drain(..).for_each(|a| self.ask(a, ctx));
        }
    }

    /// Request and screen, when they are others than those of the step before.
    fn shown(&mut self) -> Option<Out> {
        let m = self.machine.as_ref()?;
        let (running, screen) = (m.running().map(|(key, _)| key), m.screen());
        if self.shown.as_ref().is_some_and(|(k, s)| k.as_ref() == running && *s == screen) {
            return None;
        }
        let now = (running.cloned(), screen);
        self.shown = Some(now.clone());
        Some(Out::Shown(Box::new(now)))
    }

    fn committed(&mut self, done: Result<Durable, StoreError>, ctx: &mut Context<Self>) {
        if self.machine.is_none() {
            return;
        }
        match done {
            Ok(durable) => {
                self.again = Duration::ZERO;
                let mut out = self.queue.durable(durable.head.seq);
                effects::with_heads(out.iter_mut().filter_map(Out::outcome_mut), &durable.told);
                self.release(out, ctx);
            }
            Err(e @ StoreError::OfAnother { .. }) => {
                tracing::warn!("{e}: that is on record instead, and the terminal is rebuilt with it");
                self.discard("starting", |_| restarting(), ctx);
            }
            Err(e) => self.failed(&e.to_string(), ctx),
        }
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(t) = self.timer.take() {
            ctx.cancel_future(t);
        }
        let Some(wake) = self.machine.as_ref().and_then(Machine::poll_timeout) else { return };
        // One millisecond at least: a deadline that stays due must not spin.
        let wait = self.services.clock.until(wake.at).max(Duration::from_millis(1));
        self.timer = Some(ctx.run_later(wait, |act, ctx| {
            act.timer = None;
            let now = act.services.clock.now();
            let Some(machine) = &mut act.machine else { return };
            let step = machine.handle_timeout(now);
            act.take(step, ctx);
        }));
    }

    fn devices_changed(&mut self, ctx: &mut Context<Self>) {
        let r = &self.services.registry;
        let works = |row: &&EntryModeRow| r.works(row.device);
        let modes: Vec<EntryMode> = ENTRY_MODES.iter().filter(works).map(|row| row.mode).collect();
        let pin_pad = r.works(DeviceKind::PinPad);
        let printer = r.prints();
        // That one is busy or idle is nothing to it.
        let now = Some((modes.clone(), pin_pad, printer));
        if self.machine.is_some() && self.devices != now {
            self.devices = now;
            self.input(Input::Devices { modes, pin_pad, printer }, ctx);
        }
        let trouble = self.services.registry.printer_trouble();
        if self.machine.is_some() && self.printer_trouble != trouble {
            let before = std::mem::replace(&mut self.printer_trouble, trouble);
            for (what, lasts) in [(before, false), (trouble, true)] {
                if let Some(what) = what {
                    self.input(Input::Trouble { what, lasts }, ctx);
                }
            }
        }
    }

    /// The future of an effect; its answer is an input, unless the machine that asked is gone.
    fn later(&self, ctx: &mut Context<Self>, work: impl Future<Output = Input> + 'static) {
        let epoch = self.epoch;
        ctx.spawn(work.into_actor(self).map(move |input, act, ctx| {
            if act.epoch == epoch {
                act.input(input, ctx);
            }
        }));
    }
}
