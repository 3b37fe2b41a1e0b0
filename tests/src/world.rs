//! The world: heap of events, disk, wire, customer, printer, around the shipped machine and commit queue.
pub use crate::script::*;
use crate::{
    bank::{Bank, Fate},
    checks,
};
use payterm_core::{Effect, Input, Machine, Query, Settings, Step, VaultAnswer, VaultAsk};
use payterm_daemon::commit::CommitQueue;
use payterm_schema::{
    AccountId, Fault, HostEvent, HostMessage, Instrument, Kind, Money, Notice, OperatorId, Outcome, PaymentCode, PinBlock, Record, Request, RequestKey, Screen,
    Status, Time, Tracks,
    device::{Key, Way},
    host::{CardSecrets, FrameTrace, KeysVerdict, Leg, SecretsFrom},
    paper::{PaperState, PrintResult},
    record::{Entry, ObligationState},
    request::{Original, RequestWire},
    secret::{Password, PinEntry, Verifier},
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
    Host {
        tag: u64,
        event: HostEvent,
    },
    /// A message that reaches the bank late; nobody hears the answer.
    AtBank(Box<HostMessage>),
    Customer(Input),
    Noise(Noise),
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
}

pub struct World {
    pub settings: Settings,
    pub machine: Machine,
    queue: CommitQueue<Effect>,
    pub bank: Bank,
    /// On disk.
    pub journal: Vec<Entry>,
    pub sealed: BTreeSet<u64>,
    pub snapshot: Option<(u64, String)>,
    handed: VecDeque<Step>,
    heap: BinaryHeap<Reverse<(i64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_id: u64,
    pub now: Time,
    run: u64,
    script: Script,
    fates: VecDeque<Fate>,
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
    /// Crash points passed, and the one at which the power is cut.
    points: usize,
    cut_at: Vec<usize>,
    pub cuts: usize,
    sign_ins: VecDeque<Fate>,
    skews: VecDeque<i64>,
    /// What the terminal's clock reads more than [`World::now`].
    skew: i64,
    settled: u32,
    /// Generation of the working keys that the terminal holds, by account.
    keys: BTreeMap<AccountId, u8>,
    /// Whose messages the tags are, and whose PIN is asked for.
    tags: BTreeMap<u64, AccountId>,
    pin_of: Option<AccountId>,
    next_call: u64,
    /// Answers of operators' sessions that were asked for on the bus.
    pub sessions: Vec<Result<(), Fault>>,
    session_calls: BTreeSet<u64>,
    /// Wrong passwords that the machine was told of, but for those that a power cut took.
    pub wrong_told: usize,
    /// What the operator still answers.
    patience: u32,
    /// Screens that were shown.
    pub shown: Vec<Screen>,
}

pub fn key(id: &str) -> RequestKey {
    RequestKey { app: "shop".into(), id: id.into() }
}

impl World {
    pub fn new(settings: Settings, script: Script, cut_at: impl IntoIterator<Item = usize>) -> Self {
        let machine = Machine::replay(settings.clone(), None, []).expect("an empty journal");
        let patience = script.operator.map_or(0, |(n, _)| n);
        let mut world = Self {
            settings,
            machine,
            queue: CommitQueue::new(0),
            bank: Bank::default(),
            journal: Vec::new(),
            sealed: BTreeSet::new(),
            snapshot: None,
            handed: VecDeque::new(),
            heap: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_id: 0,
            now: at_epoch(),
            run: 0,
            fates: script.fates.iter().cloned().collect(),
            prints: script.prints.iter().cloned().collect(),
            sign_ins: script.sign_ins.iter().cloned().collect(),
            skews: script.skews.iter().copied().collect(),
            skew: 0,
            settled: 0,
            keys: BTreeMap::new(),
            tags: BTreeMap::new(),
            pin_of: None,
            script,
            next_order: 0,
            answered: BTreeMap::new(),
            calls: BTreeMap::new(),
            told: Vec::new(),
            armed: false,
            pin_asked: false,
            printed: Vec::new(),
            points: 0,
            cut_at: cut_at.into_iter().collect(),
            cuts: 0,
            next_call: 0,
            sessions: Vec::new(),
            session_calls: BTreeSet::new(),
            wrong_told: 0,
            patience,
            shown: Vec::new(),
        };
        world.boot();
        for (ms, noise) in world.script.noise.clone() {
            world.later(ms, Event::Noise(noise));
        }
        world
    }

    /// What the terminal's clock reads.
    pub fn clock(&self) -> Time {
        Time(self.now.0 + self.skew)
    }

    /// Runs for so long, whatever is left to happen.
    pub fn run_for(&mut self, ms: i64) {
        let end = Time(self.now.0 + ms);
        while let Some(next) = [self.heap.peek().map(|Reverse((t, _))| Time(*t)), self.machine.poll_timeout()].into_iter().flatten().min().filter(|t| *t < end)
        {
            self.now = self.now.max(next);
            match self.heap.peek().copied() {
                Some(Reverse((t, id))) if t <= self.now.0 => {
                    self.heap.pop();
                    if let Some(event) = self.events.remove(&id) {
                        self.happen(event);
                    }
                }
                Some(_) | None => {
                    let step = self.machine.handle_timeout(self.clock());
                    self.took(step);
                }
            }
        }
    }

    /// Runs until nothing is left to happen; answers how many crash points were passed.
    pub fn run(&mut self) -> usize {
        for _ in 0..20_000 {
            let timer = self.machine.poll_timeout().map(|t| Time(t.0.saturating_sub(self.skew)));
            let event = self.heap.peek().map(|Reverse((t, _))| Time(*t));
            match (event, timer) {
                (None, None) if self.settle() => {}
                (None, None) => {
                    checks::at_rest(self);
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
                    let step = self.machine.handle_timeout(self.clock());
                    self.took(step);
                }
                (Some(_), None) => {}
            }
        }
        panic!("the world does not come to rest: {:?} {:?} {:?}", self.machine.poll_timeout(), self.now, self.machine.state());
    }

    /// What people do at the end of the day. True when there was something to do.
    fn settle(&mut self) -> bool {
        let stuck: BTreeSet<u64> = self.machine.obligations().iter().filter(|o| o.state == ObligationState::Stuck).map(|o| o.txn).collect();
        let held: Vec<u64> = self.machine.papers().filter(|p| p.state == PaperState::Held).map(|p| p.id).collect();
        if !self.script.settle || (stuck.is_empty() && held.is_empty()) {
            return false;
        }
        self.settled += 1;
        assert!(self.settled < 20, "invariant 8: what is Stuck does not end although all mishaps are over: {:?}", self.machine.obligations());
        for txn in stuck {
            match self.machine.obligations().iter().find(|o| o.txn == txn).cloned() {
                // What the acquirer would say.
                Some(o) if o.duty == payterm_schema::record::Duty::AskPerson => {
                    let at = (o.account.clone(), o.plan.batch.get(), o.plan.stan.get());
                    let executed = self.bank.books.get(&at).is_some_and(|p| !p.reversed);
                    self.input(Input::Resolve { call: 0, txn, executed, reference: "case 1".into(), by: "test".into() });
                }
                Some(_) | None => self.input(Input::RetryObligation { call: 0, txn, by: "test".into() }),
            }
        }
        for job in held {
            self.input(Input::ReleasePaper { call: 0, job, print: true, by: "test".into() });
        }
        true
    }

    fn later(&mut self, ms: i64, event: Event) {
        self.next_id += 1;
        self.heap.push(Reverse((self.now.0 + ms, self.next_id)));
        self.events.insert(self.next_id, event);
    }

    /// A point at which the power may be cut. True = it was.
    fn point(&mut self) -> bool {
        self.points += 1;
        if self.cut_at.contains(&self.points) {
            self.cut();
            return true;
        }
        false
    }

    fn cut(&mut self) {
        self.cuts += 1;
        self.skew += self.skews.pop_front().unwrap_or(0);
        // What was handed over and not committed is gone; what travels goes on.
        self.handed.clear();
        self.armed = false;
        self.pin_asked = false;
        self.wrong_told = checks::wrong_passwords(&self.journal);
        // Nobody goes on typing when the screen has gone dark.
        self.events.retain(|_, e| !matches!(e, Event::Key(_) | Event::Vault { .. }));
        let machine = Machine::replay(self.settings.clone(), self.snapshot.as_ref().map(|(_, s)| s.as_str()), self.tail()).expect("replay");
        self.machine = machine;
        self.queue = CommitQueue::new(self.journal.last().map_or(0, |e| e.seq));
        self.boot();
    }

    /// Records handed over and not committed yet.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.handed.iter().flat_map(|s| s.records.iter())
    }

    fn tail(&self) -> Vec<Entry> {
        let from = self.snapshot.as_ref().map_or(0, |(seq, _)| *seq);
        self.journal.iter().filter(|e| e.seq > from).cloned().collect()
    }

    fn boot(&mut self) {
        self.run += 1;
        let keys: Vec<AccountId> = self.settings.accounts.iter().map(|a| a.config.id.clone()).collect();
        let step = self.machine.boot(self.clock(), "test", &keys);
        self.took(step);
        self.input(Input::Devices { ways: vec![Way::Swipe, Way::Insert, Way::Tap, Way::Scan], pin_pad: true, printer: true });
        self.later(1_000, Event::Next);
    }

    /// The machine took a step: its records go to the disk, its effects wait for them.
    fn took(&mut self, step: Step) {
        let mut step = step;
        checks::step(self, &step);
        let last = step.records.last().map(|e| e.seq);
        let effects = std::mem::take(&mut step.effects);
        let out = self.queue.push(last, effects);
        if let Some(seq) = last {
            self.handed.push_back(step);
            self.later(1, Event::Committed { run: self.run, seq });
        }
        self.carry_out(out);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Committed { run, seq } if run == self.run => {
                if self.point() {
                    return;
                }
                // Group commit: all that waits.
                while self.handed.front().is_some_and(|s| s.records.last().is_some_and(|e| e.seq <= seq)) {
                    let Some(step) = self.handed.pop_front() else { break };
                    self.sealed.extend(step.seal.iter().map(|(t, _)| *t));
                    for t in &step.erase {
                        self.sealed.remove(t);
                    }
                    self.journal.extend(step.records);
                    if step.snapshot.is_some() {
                        self.snapshot = step.snapshot;
                    }
                }
                if self.point() {
                    return;
                }
                let out = self.queue.durable(seq);
                self.carry_out(out);
            }
            Event::Committed { .. } => {}
            Event::Host { tag, event } => {
                if let (HostEvent::Reply { answer, .. }, Some(account)) = (&event, self.tags.get(&tag))
                    && answer.keys == KeysVerdict::Loaded
                {
                    *self.keys.entry(account.clone()).or_default() += 1;
                }
                self.input(Input::Host { tag, event });
            }
            Event::AtBank(message) => {
                self.bank.process(&message, &Fate::Answer);
            }
            Event::Customer(Input::Pin { tag, entry: PinEntry::Block(_) }) => {
                self.pin_asked = false;
                // The pad enciphers it under the keys of this moment.
                self.input(Input::Pin { tag, entry: PinEntry::Block(PinBlock::new([self.generation(self.pin_of.as_ref()); 8])) });
            }
            Event::Customer(input) => {
                // The pad is idle once it has answered.
                self.pin_asked &= !matches!(input, Input::Pin { .. });
                self.input(input);
            }
            Event::Noise(noise) => self.noise(noise),
            Event::Key(key) => self.input(Input::Key(key)),
            Event::Vault { tag, answer } => {
                self.wrong_told += usize::from(answer == VaultAnswer::Checked(false) && self.machine.state().staff.locked.is_none());
                self.input(Input::Vault { tag, answer });
            }
            Event::Printed { job, result } => self.input(Input::Printed { job, result }),
            Event::Next => self.next_order(),
        }
    }

    fn input(&mut self, input: Input) {
        let step = self.machine.handle(input, self.clock());
        self.took(step);
    }

    fn noise(&mut self, noise: Noise) {
        let running = self.machine.state().running.clone();
        match (noise, running) {
            // The front door answers those that are known from the store; the machine hears the others.
            (Noise::StartAgain { same }, Some(r)) if checks::outcome_of(&self.journal, &r.key).is_none() || !same => {
                let mut request = r.request.clone();
                if !same {
                    request.note = Some("other".into());
                }
                self.input(Input::Start { call: 0, key: r.key, request: Box::new(request) });
            }
            (Noise::CancelKey, _) => self.input(Input::Key(Key::Cancel)),
            (Noise::Cancel(by), Some(r)) => self.input(Input::Cancel { call: 0, key: r.key, by }),
            (Noise::Retry, _) => {
                let all: BTreeSet<u64> = self.machine.obligations().iter().map(|o| o.txn).collect();
                all.into_iter().for_each(|txn| self.input(Input::RetryObligation { call: 0, txn, by: "test".into() }));
            }
            (Noise::Devices(there), _) => {
                let ways = if there { vec![Way::Swipe, Way::Scan] } else { Vec::new() };
                self.input(Input::Devices { ways, pin_pad: there, printer: true });
            }
            (Noise::Keys(keys), _) => self.keys(keys),
            (Noise::Operators(request), _) => {
                self.next_call += 1;
                self.session_calls.insert(self.next_call);
                self.input(Input::Operators { call: self.next_call, request });
            }
            (Noise::PrinterReady, _) => self.input(Input::PrinterReady),
            (Noise::Stale(tag, event), _) => self.input(Input::Host { tag, event }),
            (Noise::StartAgain { .. } | Noise::Cancel(_), _) => {}
        }
    }

    /// One key after the other, as fast as a practised hand.
    fn keys(&mut self, keys: &str) {
        for (i, k) in (1..).zip(keys.bytes()) {
            let key = match k {
                b'c' => Key::Confirm,
                b'x' => Key::Cancel,
                digit => Key::Digit(digit),
            };
            self.later(20 * i, Event::Key(key));
        }
    }

    fn next_order(&mut self) {
        if self.machine.running().is_some() {
            return;
        }
        let Some(order) = self.script.orders.get(self.next_order).cloned() else { return };
        let key = key(order.id);
        // The daemon looks the key up before it submits: the same key meets the same transaction.
        if let Some(known) = checks::outcome_of(&self.journal, &key) {
            if known.status == Status::Running {
                return self.later(10, Event::Next); // Its outcome is on its way to the disk.
            }
            self.next_order += 1;
            return self.later(10, Event::Next);
        }
        assert!(self.answered.get(&key).is_none_or(Result::is_err), "{key}: answered, and lost");
        let wire = RequestWire {
            id: order.id.into(),
            kind: order.kind.name().into(),
            amount: order.amount.map(|a| Money::new(a, payterm_schema::Currency::CNY).expect("amount").value()),
            currency: order.amount.map(|_| "CNY".into()),
            account: (!order.kind.row().authorisation).then(|| self.settings.accounts[0].config.id.as_str().into()),
            original_id: order.original.map(Into::into),
            auth_code: (order.kind == Kind::VoiceSale).then(|| "V12345".into()),
            ..RequestWire::default()
        };
        let request = Request::try_from(wire).expect("request");
        assert!(matches!(request.original, None | Some(Original::Id(_))));
        self.next_call += 1;
        self.calls.insert(self.next_call, key.clone());
        self.input(Input::Start { call: self.next_call, key, request: Box::new(request) });
    }

    fn order(&self) -> Option<&Order> {
        self.script.orders.get(self.next_order)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        let run = self.run;
        for effect in effects {
            if self.point() || self.run != run {
                return;
            }
            checks::effect(self, &effect);
            self.effect(effect);
            if self.point() || self.run != run {
                return;
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { call, result } => {
                if self.session_calls.remove(&call) {
                    self.sessions.push(result);
                } else if self.patience > 0 && matches!(result, Err(Fault::NotLoggedOn | Fault::Busy { running: None })) {
                    // The app waits until somebody has logged on.
                    self.later(1_000, Event::Next);
                } else if let Some(key) = self.calls.remove(&call) {
                    let busy = result.is_err();
                    self.answered.insert(key, result);
                    if busy {
                        self.next_order += 1;
                        self.later(10, Event::Next);
                    }
                }
            }
            Effect::Tell(notice) => {
                if let Notice::Outcome { outcome } = *notice {
                    self.told.push(*outcome);
                    self.later(500, Event::Next);
                }
            }
            Effect::Speak(_) | Effect::ForgetKeys { .. } => {}
            Effect::Show(screen) => {
                if matches!(screen, Screen::ConfirmPartial { .. }) {
                    let key = if self.order().is_some_and(|o| o.customer == Customer::TakesPart) { Key::Confirm } else { Key::Cancel };
                    self.later(400, Event::Customer(Input::Key(key)));
                }
                let typing = self.events.values().any(|e| matches!(e, Event::Key(_)));
                if let Some((_, types)) = self.script.operator.filter(|_| self.patience > 0 && !typing)
                    && let Some(keys) = types(&screen)
                {
                    self.patience -= 1;
                    self.keys(&keys);
                }
                self.shown.push(screen);
            }
            Effect::AskVault { tag, ask } => {
                let answer = vault(tag, ask);
                self.later(5, Event::Vault { tag, answer });
            }
            Effect::Offer { .. } => {
                self.armed = true;
                match self.order().map(|o| o.customer.clone()) {
                    Some(
                        c @ (Customer::Swipes
                        | Customer::SwipesOther
                        | Customer::CancelsAtPin
                        | Customer::PressesCancel
                        | Customer::Bypasses
                        | Customer::TakesPart),
                    ) => {
                        let track = if c == Customer::SwipesOther { TRACK2B } else { TRACK2 };
                        let tracks = Tracks { track1: None, track2: Some(track.into()), track3: None };
                        self.later(700, Event::Customer(Input::Instrument(Instrument::Swiped(tracks))));
                    }
                    Some(Customer::Shows) => {
                        let code = PaymentCode::parse(CODE).expect("code");
                        self.later(700, Event::Customer(Input::Instrument(Instrument::Scanned(code))));
                    }
                    Some(Customer::Walks) | None => {}
                }
            }
            Effect::Withdraw => self.armed = false,
            Effect::AskPin { tag, account, .. } => {
                self.pin_asked = true;
                self.pin_of = Some(account);
                let entry = match self.order().map(|o| o.customer.clone()) {
                    Some(Customer::PressesCancel) => return self.later(400, Event::Customer(Input::Key(Key::Cancel))),
                    Some(Customer::CancelsAtPin) => PinEntry::Cancelled,
                    Some(Customer::Bypasses) => PinEntry::Bypassed,
                    Some(_) | None => PinEntry::Block(PinBlock::new([7; 8])),
                };
                self.later(900, Event::Customer(Input::Pin { tag, entry }));
            }
            Effect::AbortPin { .. } => self.pin_asked = false,
            Effect::Send(message) => self.wire(*message),
            Effect::Load { tag, query } => {
                let found = checks::outcomes(&self.journal).into_values().filter(|o| matches(&query, o)).collect();
                self.later(1, Event::Customer(Input::Loaded { tag, found: Ok(found) }));
            }
            Effect::Print { job, duplicate } => {
                let result = self.prints.pop_front().unwrap_or(PrintResult::Confirmed);
                self.printed.push((job.id, duplicate, result.clone()));
                self.later(300, Event::Printed { job: job.id, result });
            }
            Effect::Tms { .. } | Effect::Renew => {}
        }
    }

    fn generation(&self, account: Option<&AccountId>) -> u8 {
        account.and_then(|a| self.keys.get(a)).copied().unwrap_or(0)
    }

    fn wire(&mut self, m: HostMessage) {
        if let SecretsFrom::Memory(CardSecrets { pin_block: Some(block), .. }) = &m.secrets {
            assert_eq!(
                block,
                &PinBlock::new([self.generation(Some(&m.account)); 8]),
                "a PIN block under keys that are no more: the issuer would count a wrong PIN"
            );
        }
        if let SecretsFrom::Sealed(txn) = m.secrets {
            assert!(self.sealed.contains(&txn), "the PAN of {txn} is not sealed on disk, its message cannot be built");
        }
        self.tags.insert(m.tag, m.account.clone());
        let own_sign_in = m.plan.kind == Kind::SignIn && m.leg == Leg::Request && m.log.is_none();
        let fate = if own_sign_in { self.sign_ins.pop_front() } else { self.fates.pop_front() }.unwrap_or(Fate::Answer);
        let (tag, gone) = (m.tag, m.deadline.0 - self.clock().0);
        let reply = |answer| HostEvent::Reply { answer: Box::new(answer), trace: FrameTrace::default() };
        let silence = HostEvent::NoReply { why: "time-out".into(), trace: FrameTrace::default() };
        match fate {
            Fate::Unbuildable => self.later(50, Event::Host { tag, event: HostEvent::Unbuildable { why: "no PAN".into() } }),
            Fate::NotSent => self.later(50, Event::Host { tag, event: HostEvent::NotSent { why: "refused".into() } }),
            Fate::LoseRequest => self.later(gone, Event::Host { tag, event: silence }),
            Fate::LoseReply => {
                self.bank.process(&m, &fate);
                self.later(gone, Event::Host { tag, event: silence });
            }
            Fate::LateReply => {
                let answer = Box::new(self.bank.process(&m, &fate));
                self.later(gone, Event::Host { tag, event: silence });
                self.later(gone + 20, Event::Host { tag, event: HostEvent::Late { answer, trace: FrameTrace::default() } });
            }
            Fate::LateRequest => {
                self.later(gone, Event::Host { tag, event: silence });
                self.later(gone + 120_000, Event::AtBank(Box::new(m)));
            }
            Fate::SlowRefuse(ms, _) => {
                let answer = self.bank.process(&m, &fate);
                self.later(ms, Event::Host { tag, event: reply(answer) });
            }
            Fate::Pending(_) | Fate::Answer | Fate::Refuse(_) | Fate::BadMac | Fate::NoMac | Fate::RefuseNoMac(_) | Fate::Partial | Fate::Require(_) => {
                let answer = self.bank.process(&m, &fate);
                self.later(30, Event::Host { tag, event: reply(answer) });
            }
        }
    }

    /// Records of a kind, for flow tests: `["started", "allowed", ...]`.
    pub fn transcript(&self, id: &str) -> Vec<String> {
        let txn = self.journal.iter().find_map(|e| match &e.record {
            Record::Started { txn, key: k, .. } if *k == key(id) => Some(*txn),
            _ => None,
        });
        let name = |e: &Entry| serde_json::to_value(&e.record).ok().and_then(|v| Some(v.get("type")?.as_str()?.to_owned())).unwrap_or_default();
        self.journal.iter().filter(|e| e.txn == txn && txn.is_some()).map(name).filter(|n| !n.starts_with("paper")).collect()
    }

    /// Its records without traces, for the message of a failure.
    pub fn story(&self, txn: u64) -> Vec<String> {
        let text = |e: &Entry| {
            let mut v = serde_json::to_value(&e.record).unwrap_or_default();
            for heavy in ["trace", "view", "request", "job", "outcome"] {
                v.as_object_mut().map(|o| o.remove(heavy));
            }
            format!("{} {v}", e.at.0)
        };
        self.journal.iter().filter(|e| e.txn == Some(txn)).map(text).collect()
    }

    pub fn outcome(&self, id: &str) -> Outcome {
        checks::outcome_of(&self.journal, &key(id)).unwrap_or_else(|| panic!("{id} has no outcome"))
    }
}

/// A vault of which nothing can be learnt: each answer is a plain function of the question.
fn vault(tag: u64, ask: VaultAsk) -> VaultAnswer {
    let of = |operator: &OperatorId, password: &Password| {
        let turned: String = password.reveal().chars().rev().collect();
        Verifier::new(format!("{operator}:{turned}"))
    };
    match ask {
        VaultAsk::Check { operator, password, verifier } => VaultAnswer::Checked(of(&operator, &password) == verifier),
        VaultAsk::Verifier { operator, password } => VaultAnswer::Verifier(of(&operator, &password)),
        VaultAsk::Challenge => VaultAnswer::Challenge(format!("{:08}", 10_000_000 + tag % 1_000_000)),
        VaultAsk::CheckCode { challenge, code } => VaultAnswer::Checked(service_code(&challenge) == code.reveal()),
    }
}

/// What customer service answers.
pub fn service_code(challenge: &str) -> String {
    challenge.chars().rev().collect()
}

fn matches(query: &Query, o: &Outcome) -> bool {
    match query {
        Query::Key(key) => o.key == *key,
        Query::AuthCode { code, .. } => o.kind == Kind::PreAuth && o.auth_code.as_ref() == Some(code),
        Query::Rrn { rrn } => o.rrn.as_deref() == Some(rrn),
        Query::Stan { app, stan, .. } => o.key.app == *app && o.stan == Some(*stan),
    }
}
