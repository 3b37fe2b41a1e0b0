//! The world: heap of events around the shipped machine and commit queue. What may go wrong is written at the
//! head of each part.
pub mod cards;
mod clock;
mod disk;
mod observe;
mod operators;
mod printer;
mod reader;
mod wire;

pub use crate::sim::script::*;
pub use operators::service_code;
pub use reader::{SCRIPTED, key};

use crate::sim::{
    bank::{Bank, HostFault},
    checks,
    digest::Digest,
    model::Model,
};
use disk::Disk;
use payterm_core::{Ask, Effect, Input, Machine, Query, Settings, State, Step, VaultAnswer};
use payterm_engine::commit::CommitQueue;
use payterm_schema::{
    AccountId, Fault, HostEvent, HostMessage, Notice, Outcome, Record, RequestKey, RequestRecord, Screen,
    Time,
    card::CardPin,
    device::Key,
    host::EntryMode,
    host::KeysVerdict,
    offline::QueueAct,
    outcome::Forwarding,
    paper::{PaperJob, PrintResult},
    record::{Entry, Restored},
    settlement::BatchRow,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
};

#[derive(Debug)]
enum Event {
    Committed {
        run: u64,
        seq: u64,
    },
    /// The store is open again after a failed commit.
    Reopened,
    Host {
        tag: u64,
        event: HostEvent,
    },
    /// A message that reaches the bank late; nobody hears the answer.
    AtBank(Box<HostMessage>),
    Customer(Input),
    Scripted(Scripted),
    Key(Key),
    Vault {
        tag: u64,
        answer: VaultAnswer,
    },
    Printed {
        job: u64,
        result: PrintResult,
    },
    Next,
    /// All mishaps are over.
    Calm,
}

/// What leaves the machine, in the order in which it does.
#[derive(Debug)]
enum Out {
    Ask(Ask),
    Effect(Effect),
}

pub struct World {
    pub settings: Settings,
    pub machine: Machine,
    queue: CommitQueue<Out>,
    pub bank: Bank,
    /// What app, shopkeeper and acquirer may see, judged by a model that shares no code with the machine.
    pub model: Model,
    /// On disk.
    pub journal: Vec<Entry>,
    pub sealed: BTreeSet<u64>,
    pub snapshot: Option<(u64, String)>,
    disk: Disk,
    handed: VecDeque<Step>,
    heap: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_id: u64,
    pub now: Time,
    run: u64,
    script: Script,
    faults: VecDeque<HostFault>,
    prints: VecDeque<PrintResult>,
    next_order: usize,
    /// Orders whose Start was answered.
    pub answered: BTreeMap<RequestKey, Result<(), Fault>>,
    calls: BTreeMap<u64, RequestKey>,
    /// Outcomes in the order in which they were told.
    pub told: Vec<Outcome>,
    pub armed: bool,
    pub pin_asked: bool,
    pub printed: Vec<(u64, bool, PrintResult)>,
    /// The chip card in the reader, with its run.
    pub(crate) chip: Option<reader::Chip>,
    /// The simulator's cards that were inserted, as they are.
    pub(crate) cards: BTreeMap<&'static str, cards::Memory>,
    /// Runs of chip cards so far.
    pub chips_run: u32,
    /// Crash points passed, and the one at which the power is cut.
    points: usize,
    cut_at: Vec<usize>,
    pub cuts: usize,
    sign_ins: VecDeque<HostFault>,
    skews: VecDeque<i64>,
    /// What the terminal's clock reads more than [`World::now`].
    skew: i64,
    settled: u32,
    /// What a person asked of the queue.
    queue_calls: BTreeMap<u64, QueueAct>,
    /// Requests that the journal has lost; the store's marks know their keys for ever.
    pub lost: BTreeSet<RequestKey>,
    /// Transactions of which the journal has lost something: a person reconciles them with the acquirer. With
    /// the frames that it has lost.
    pub in_doubt: BTreeMap<u64, Vec<(AccountId, u32, u32)>>,
    /// Somebody has asked the acquirer about these. Whether what it said was written down or not: they are a
    /// person's.
    asked_about: BTreeSet<u64>,
    /// Calls that must be refused: what they resolve is not a person's yet.
    too_early: BTreeSet<u64>,
    /// How often an app has asked again while payments are stopped.
    asked_again: u32,
    /// The journal was put back, and does not say so yet.
    restoring: Option<Restored>,
    /// Last records of the steps on disk, with what was sealed and erased in them.
    steps: Vec<(u64, Vec<(u64, bool)>)>,
    /// Papers from here on are numbered anew.
    pub printed_from: usize,
    /// When the last mishap could happen.
    pub calm_since: Time,
    /// Generation of the working keys that the terminal holds, by account.
    keys: BTreeMap<AccountId, u8>,
    /// Messages by tag, and whose PIN is asked for.
    messages: BTreeMap<u64, HostMessage>,
    pin_of: Option<AccountId>,
    /// What a card's pad is asked, with the card's run.
    card_pin: Option<(u64, CardPin)>,
    /// Tries left, each time that the pad was asked for the PIN of this card.
    pub pins_left: Vec<Option<u8>>,
    next_call: u64,
    /// Answers of operators' sessions and of the queue that were asked for on the bus.
    pub sessions: Vec<Result<(), Fault>>,
    session_calls: BTreeSet<u64>,
    /// Wrong passwords that the machine was told of, but for those that a power cut took.
    pub wrong_told: usize,
    /// What the operator still answers.
    patience: u32,
    /// Orders whose customer has swiped badly once.
    fumbled: BTreeSet<String>,
    /// Screens that were shown.
    pub shown: Vec<Screen>,
    /// The machine has drawn no page yet.
    pub boots: bool,
    /// PINs that were asked for while records waited for the disk.
    pub asked_before_durable: usize,
    /// Screens that apps were told of outside a request, and when.
    pub notices: Vec<(Time, Screen)>,
    /// Ends of downloads, as they were told: the version that is used, or why none is and whether it is
    /// tried again.
    pub downloads: Vec<Result<u64, (String, bool)>>,
    /// The fold of all that was handed over, kept step by step; the machine's must equal it.
    pub(crate) fold: State,
    /// The fold of what is on disk.
    pub(crate) durable: State,
    /// How often what has happened: kinds, faults, records, mishaps.
    pub seen: BTreeMap<String, u64>,
    /// Of what the run lets be seen, where its script asks for it.
    pub digest: Option<Digest>,
}

impl World {
    pub fn new(settings: Settings, script: Script, cut_at: impl IntoIterator<Item = usize>) -> Self {
        let cut_at: Vec<usize> = cut_at.into_iter().collect();
        let digest = (script.digested && cut_at.is_empty()).then(Digest::default);
        Self::with_digest(settings, script, cut_at, digest)
    }

    /// With a digest the power is cut at other effects than without.
    pub fn with_digest(
        settings: Settings,
        script: Script,
        cut_at: Vec<usize>,
        digest: Option<Digest>,
    ) -> Self {
        let machine = Machine::replay(settings.clone(), None, []).expect("an empty journal");
        let patience = script.operator.map_or(0, |(n, _)| n);
        let mut world = Self {
            settings,
            machine,
            queue: CommitQueue::new(0),
            bank: Bank::new(script.moves_batch, script.disputes),
            model: Model::default(),
            journal: Vec::new(),
            sealed: BTreeSet::new(),
            snapshot: None,
            disk: Disk::new(&script.disk),
            handed: VecDeque::new(),
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_id: 0,
            now: at_epoch(),
            run: 0,
            faults: script.faults.iter().cloned().collect(),
            prints: script.prints.iter().cloned().collect(),
            sign_ins: script.sign_ins.iter().cloned().collect(),
            skews: script.skews.iter().copied().collect(),
            skew: 0,
            settled: 0,
            queue_calls: BTreeMap::new(),
            lost: BTreeSet::new(),
            in_doubt: BTreeMap::new(),
            asked_about: BTreeSet::new(),
            too_early: BTreeSet::new(),
            asked_again: 0,
            restoring: None,
            steps: Vec::new(),
            printed_from: 0,
            calm_since: at_epoch(),
            keys: BTreeMap::new(),
            messages: BTreeMap::new(),
            pin_of: None,
            card_pin: None,
            pins_left: Vec::new(),
            script,
            next_order: 0,
            answered: BTreeMap::new(),
            calls: BTreeMap::new(),
            told: Vec::new(),
            armed: false,
            pin_asked: false,
            printed: Vec::new(),
            chip: None,
            cards: BTreeMap::new(),
            chips_run: 0,
            points: 0,
            cut_at,
            cuts: 0,
            next_call: 0,
            sessions: Vec::new(),
            session_calls: BTreeSet::new(),
            wrong_told: 0,
            patience,
            fumbled: BTreeSet::new(),
            shown: Vec::new(),
            boots: false,
            asked_before_durable: 0,
            notices: Vec::new(),
            downloads: Vec::new(),
            fold: State::default(),
            durable: State::default(),
            seen: BTreeMap::new(),
            digest,
        };
        world.boot();
        for (ms, input) in world.script.inputs.clone() {
            world.later(ms, Event::Scripted(input));
        }
        if let Some(ms) = world.script.calm_after {
            world.later(ms, Event::Calm);
        }
        world
    }

    /// Runs for so long, whatever is left to happen.
    pub fn run_for(&mut self, ms: i64) {
        let end = Time(self.now.0 + ms);
        while let Some(next) = [self.heap.peek().map(|Reverse((t, _))| Time(*t)), self.timer()]
            .into_iter()
            .flatten()
            .min()
            .filter(|t| *t < end)
        {
            self.now = self.now.max(next);
            match self.heap.peek().copied() {
                Some(Reverse((t, id))) if t <= self.now.0 => {
                    self.heap.pop();
                    if let Some(event) = self.events.remove(&id) {
                        self.happen(event);
                    }
                }
                Some(_) | None => self.time_is_up(),
            }
        }
    }

    /// Runs until nothing is left to happen; answers how many crash points were passed.
    pub fn run(&mut self) -> usize {
        for _ in 0..20_000 {
            let event = self.heap.peek().map(|Reverse((t, _))| Time(*t));
            match (event, self.timer()) {
                (None, None) if self.settle() => {}
                (None, None) => {
                    checks::at_rest(self);
                    self.check_digest();
                    return self.points;
                }
                (Some(t), timer) if timer.is_none_or(|x| t <= x) => {
                    let Some(Reverse((t, id))) = self.heap.pop() else { continue };
                    self.now = self.now.max(Time(t));
                    if let Some(event) = self.events.remove(&id) {
                        self.happen(event);
                    }
                }
                (_, Some(t)) => {
                    self.now = self.now.max(t);
                    self.time_is_up();
                }
                (Some(_), None) => {}
            }
        }
        panic!(
            "invariant 8: the world does not come to rest: {:?} {:?} {:?}",
            self.machine.poll_timeout(),
            self.now,
            self.machine.state()
        );
    }

    /// A message of this account may not be answered yet.
    pub(crate) fn under_way(&self, account: &AccountId) -> bool {
        self.messages.values().any(|m| m.account == *account && m.deadline.0 + 60_000 >= self.clock().0)
    }

    fn boot(&mut self) {
        self.run += 1;
        let keys: Vec<AccountId> = self.settings.accounts.iter().map(|a| a.config.id.clone()).collect();
        self.boots = true;
        if let Some(restored) = self.restoring.clone() {
            let step = self.machine.restored(self.clock(), restored);
            self.took(step);
        }
        self.boots = false;
        let step = self.machine.boot(self.clock(), "test", &keys);
        self.took(step);
        self.input(Input::Devices {
            modes: vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Code],
            pin_pad: true,
            printer: true,
        });
        self.later(1_000, Event::Next);
    }

    fn time_is_up(&mut self) {
        let step = self.machine.handle_timeout(self.clock());
        self.took(step);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Committed { run, seq } if run == self.run => self.committed(seq),
            Event::Committed { .. } => {}
            Event::Reopened => self.reopened(),
            Event::Host { tag, event } => {
                let event = self.link_keys(tag, event);
                if let (HostEvent::Reply { answer, .. } | HostEvent::Late { answer, .. }, Some(m)) =
                    (&event, self.messages.get(&tag))
                    && answer.keys == KeysVerdict::Loaded
                    && !self.disk.down
                    && tag >> 32 == self.machine.state().boots
                {
                    *self.keys.entry(m.account.clone()).or_default() += 1;
                }
                if let Some(m) = self.messages.get(&tag) {
                    self.model.heard(m, &event);
                }
                self.input(Input::Host { tag, event });
            }
            // Totals that were judged meanwhile are not judged again by a late copy.
            Event::AtBank(m)
                if m.plan.settlement.is_some()
                    && self.bank.closing.contains_key(&(m.account.clone(), m.plan.batch.get())) => {}
            Event::AtBank(message) => drop(self.at_bank(&message, &HostFault::Answer)),
            Event::Customer(input) => {
                let input = self.customer(input);
                self.input(input);
            }
            Event::Scripted(input) => self.scripted(input),
            Event::Key(key) => self.input(Input::Key(key)),
            Event::Vault { tag, answer } => {
                self.wrong_told += usize::from(
                    answer == VaultAnswer::Checked(false) && self.machine.state().staff.locked.is_none(),
                );
                self.input(Input::Vault { tag, answer });
            }
            Event::Printed { job, result } => self.input(Input::Printed { job, result, replaced: 0 }),
            Event::Next => self.next_order(),
            Event::Calm => self.calm(),
        }
    }

    fn input(&mut self, input: Input) {
        // Until the store is open again there is no machine that could hear it.
        if self.disk.down {
            return self.missed(&input);
        }
        let step = self.machine.handle(input, self.clock());
        self.took(step);
    }

    fn carry_out(&mut self, released: Vec<Out>) {
        if self.release(released) {
            checks::released(self);
        }
    }

    /// False: the power went meanwhile.
    fn release(&mut self, released: Vec<Out>) -> bool {
        let run = self.run;
        for out in released {
            // How often the display is written is no matter of a digest: the power goes at other effects.
            let drawn = matches!(out, Out::Ask(Ask::Show(..)) | Out::Effect(Effect::Show(..)));
            let counts = self.digest.is_none() || !drawn;
            if (counts && self.point()) || self.run != run {
                return false;
            }
            match out {
                Out::Ask(ask) => {
                    checks::ask(self, &ask);
                    self.ask(ask);
                }
                Out::Effect(effect) => {
                    checks::effect(self, &effect);
                    self.effect(effect);
                }
            }
            if (counts && self.point()) || self.run != run {
                return false;
            }
        }
        true
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Show(screen, _) => self.show(screen),
            Ask::Offer { .. } => self.offer(),
            Ask::Withdraw => self.armed = false,
            Ask::RunCard { tag, run } => self.run_card(tag, &run),
            Ask::Pin { tag, account, .. } => self.ask_pin(tag, account),
            Ask::CardPin { tag, run, pin, .. } => self.ask_card_pin(tag, run, pin),
            Ask::AbortPin { .. } => self.pin_asked = false,
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { call, result } => self.call_answered(call, result),
            Effect::Tell(notice) => match *notice {
                Notice::Outcome { outcome } => {
                    self.count(format!("told {} {}", outcome.kind.name(), outcome.status.name()));
                    if outcome.forwarding == Some(Forwarding::Withdrawn) {
                        self.count(format!("withdrawn {}", outcome.kind.name()));
                    }
                    self.model.told(&outcome).unwrap_or_else(|breach| panic!("{breach}"));
                    self.told.push((*outcome).clone());
                    self.later(500, Event::Next);
                }
                Notice::Obligation { obligation } => self.model.obligation(&obligation),
                Notice::Screen { screen } => self.notices.push((self.now, screen)),
                Notice::Downloaded { account, version, .. } => {
                    let given = self.durable.ledger(&account).emv.as_ref().map(|emv| emv.version);
                    assert_eq!(given, Some(version), "invariant 12: a download is told that is not on disk");
                    self.downloads.push(Ok(version));
                }
                Notice::DownloadFailed { why, again, .. } => {
                    self.downloads.push(Err((why, again.is_some())));
                }
                _ => {}
            },
            Effect::TellCard { tag, word } => self.tell_card(tag, word),
            Effect::StopCard { tag } => self.stop_card(tag),
            Effect::EndCard { tag } => self.end_card(tag),
            Effect::Speak(_) | Effect::ForgetKeys { .. } | Effect::Tms { .. } | Effect::Renew => {}
            Effect::UseDownloads { all } => {
                for (account, given) in all {
                    let kept = self.durable.ledger(&account).emv.as_ref();
                    assert_eq!(Some(&given), kept, "invariant 12: the kernel has lists that are not on disk");
                }
            }
            Effect::Show(screen, _) => self.show(screen),
            Effect::AskVault { tag, ask } => {
                let answer = operators::vault(tag, ask);
                self.later(5, Event::Vault { tag, answer });
            }
            Effect::Send(message) => self.wire(*message),
            Effect::Load { tag, query } => {
                let found =
                    checks::outcomes(&self.journal).into_values().filter(|o| disk::matches(&query, o));
                let input = if let Query::Batch(b) = &query {
                    let row =
                        |outcome: Outcome| BatchRow { icc: disk::certificate(self, b, &outcome), outcome };
                    Input::BatchLoaded { tag, found: Ok(found.take(b.limit).map(row).collect()) }
                } else {
                    Input::Loaded { tag, found: Ok(found.take(2).collect()) }
                };
                self.later(1, Event::Customer(input));
            }
            Effect::Print { job, duplicate } => self.print(&job, duplicate),
        }
    }

    /// Records of a kind, for flow tests: `["started", "allowed", ...]`.
    pub fn transcript(&self, id: &str) -> Vec<String> {
        let txn = self.journal.iter().find_map(|e| match &e.record {
            Record::Request(RequestRecord::Started { txn, key: k, .. }) if *k == key(id) => Some(*txn),
            _ => None,
        });
        self.journal
            .iter()
            .filter(|e| e.txn == txn && txn.is_some())
            .map(|e| name(&e.record))
            .filter(|n| !n.starts_with("paper"))
            .collect()
    }

    /// Its records without traces, for the message of a failure.
    pub fn story(&self, txn: u64) -> Vec<String> {
        self.journal.iter().filter(|e| e.txn == Some(txn)).map(told_short).collect()
    }

    pub fn outcome(&self, id: &str) -> Outcome {
        checks::outcome_of(&self.journal, &key(id)).unwrap_or_else(|| panic!("{id} has no outcome"))
    }

    /// Every paper as it was queued.
    pub fn queued(&self) -> impl Iterator<Item = PaperJob> {
        self.journal.iter().flat_map(|e| e.record.queues())
    }

    /// The same for the same seed: journal, what was told, papers.
    pub fn digest(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut h = DefaultHasher::new();
        for e in &self.journal {
            (e.seq, e.at.0, e.txn, e.record.encode().expect("record")).hash(&mut h);
        }
        format!("{:?}{:?}{:?}", self.told, self.printed, self.bank.books).hash(&mut h);
        h.finish()
    }
}

/// `started`, `allowed` ...
pub fn name(record: &Record) -> String {
    let json = serde_json::to_value(record).unwrap_or_default();
    let one =
        |v: &serde_json::Value| v.as_object().and_then(|o| o.keys().next().cloned()).unwrap_or_default();
    let family = one(&json);
    match family.as_str() {
        "request" | "account" | "terminal" => one(&json[&family]),
        "obligation" | "settlement" | "paper" => format!("{family}_{}", one(&json[&family])),
        _ => family,
    }
}

/// A record without its heavy parts.
pub fn told_short(e: &Entry) -> String {
    let mut v = serde_json::to_value(&e.record).unwrap_or_default();
    let parts = v.as_object_mut().into_iter().flat_map(|family| family.values_mut());
    for part in parts.filter_map(|r| r.as_object_mut()).flat_map(|record| record.values_mut()) {
        for heavy in ["trace", "view", "request", "job", "outcome", "answer"] {
            part.as_object_mut().map(|o| o.remove(heavy));
        }
    }
    format!("{} {v}", e.at.0 - at_epoch().0)
}
