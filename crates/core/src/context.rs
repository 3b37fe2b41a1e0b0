//! What every room stands on: the settings, the durable state, the time, and the step that is being made. A
//! room reads the state of all, which is what the journal says; what another room holds in memory it cannot
//! see.
use crate::{
    AccountSettings, Ask, Effect, Heard, Settings, Step, signal::Signal, state::Running, state::State,
};
use payterm_schema::{
    AccountId, Fault, Notice, Record, Screen, Time, outcome::Class, record::Entry, time::Millis,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The same trouble is told again no sooner. 60 s.
const WARN_AGAIN: Millis = Millis::secs(60);

/// The certificate of the host, or of the terminal, is not taken.
pub(crate) const UNTRUSTED: &str = "line-untrusted";

pub(crate) struct Context {
    pub settings: Settings,
    /// Changed by records only.
    pub state: State,
    pub now: Time,
    pub step: Step,
    /// Said by rooms, and not handed over yet.
    pub signals: VecDeque<Signal>,
    /// The accounts whose hosts answered in this run.
    pub heard: BTreeMap<AccountId, Heard>,
    /// The hosts' clocks as they were last believed in this run, minus [`Context::steady`] time.
    pub host_clocks: BTreeMap<AccountId, Millis>,
    /// Distance by which the clock was set in this run.
    pub clock_set: Millis,
    /// It was set since it was judged last.
    pub clock_moved: bool,
    /// The accounts whose acquirer was not reached at the last try.
    pub unreached: BTreeSet<AccountId>,
    /// When a trouble was told last, in this run.
    warned: BTreeMap<&'static str, Time>,
    /// The last transaction before this run.
    pub txns_before: u64,
    /// The accounts whose line is not trusted, and why, in words for a person.
    pub untrusted: BTreeMap<AccountId, String>,
    /// The check of the journal failed: no payments in this run.
    pub damaged: Option<String>,
    tags: u64,
}

impl Context {
    pub fn new(settings: Settings, state: State) -> Self {
        Self {
            settings,
            state,
            now: Time(0),
            step: Step::default(),
            signals: VecDeque::new(),
            heard: BTreeMap::new(),
            host_clocks: BTreeMap::new(),
            clock_set: Millis(0),
            clock_moved: false,
            unreached: BTreeSet::new(),
            warned: BTreeMap::new(),
            txns_before: 0,
            untrusted: BTreeMap::new(),
            damaged: None,
            tags: 0,
        }
    }

    /// Journals and folds; a record that does not fit is our own mistake: the machine stops (and is rebuilt
    /// by replay).
    pub fn record(&mut self, txn: Option<u64>, record: impl Into<Record>) {
        let entry = Entry { seq: self.state.seq + 1, at: self.now, txn, record: record.into() };
        let applied = self.state.apply(&entry);
        assert!(applied.is_ok(), "a record of this machine does not fit its state: {applied:?}");
        self.step.records.push(entry);
    }
    pub fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }
    pub fn tell(&mut self, notice: Notice) {
        self.effect(Effect::Tell(Box::new(notice)));
    }
    pub fn answer(&mut self, call: u64, result: Result<(), Fault>) {
        self.effect(Effect::Answer { call, result });
    }
    pub fn ask(&mut self, ask: Ask) {
        self.step.asks.push(ask);
    }
    pub fn signal(&mut self, signal: Signal) {
        self.signals.push_back(signal);
    }
    /// Apps hear of it at once, the display shows it when it is free.
    pub fn trouble(&mut self, what: &'static str) {
        self.warn(what);
        self.signal(Signal::Trouble(what));
    }

    /// Apps and log hear of a trouble: of the same one once a minute at most.
    pub fn warn(&mut self, what: &'static str) {
        if self.warned.get(what).is_some_and(|at| self.now.since(*at) < WARN_AGAIN) {
            return;
        }
        self.warned.insert(what, self.now);
        self.tell(Notice::Screen { screen: Screen::Trouble { what: what.into() } });
    }

    /// Tags of different runs never meet: an answer to the last run's message finds nobody here.
    pub fn begin_tags(&mut self) {
        self.tags = self.state.boots << 32;
    }
    pub fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }
    pub fn after(&self, ms: u32) -> Time {
        self.now + Millis(i64::from(ms))
    }

    pub fn account(&self, id: &AccountId) -> Option<&AccountSettings> {
        self.settings.accounts.iter().find(|a| a.config.id == *id)
    }
    /// Class of a code of this account's profile; unknown codes are failures.
    pub fn class(&self, account: &AccountId, code: &str) -> Class {
        self.account(account).and_then(|a| a.rules.codes.get(code)).map_or(Class::C, |r| r.class)
    }
    /// Why nothing left on this account's line.
    pub fn line_code(&self, account: &AccountId) -> &'static str {
        if self.untrusted.contains_key(account) { UNTRUSTED } else { "not-sent" }
    }
    /// Whose number stands on records, slips and in F63.
    pub fn operator(&self) -> String {
        self.state.staff.number(self.settings.operators.required, &self.settings.operator)
    }

    /// The durable half of the request that is served; the counter serves none without it.
    pub fn running(&self) -> &Running {
        let Some(running) = &self.state.running else {
            unreachable!("a request is served that the journal does not have")
        };
        running
    }
    pub fn runs(&self, txn: u64) -> bool {
        self.state.running.as_ref().is_some_and(|r| r.txn == txn)
    }
}
