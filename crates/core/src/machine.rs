//! The machine: one request in the foreground, any number of obligations and papers behind it. `handle` never
//! waits.
use crate::{
    AccountSettings, Ask, Effect, Heard, Input, Obligations, ReplayError, Settings, Step, flow::Flow,
    forward::Trouble, links::InFlight, onboarding::Applying, operators::Desk, screen::Timed,
    settlement::Loading, state::State,
};
use payterm_schema::{
    AccountId, AccountRecord, Fault, Notice, Outcome, Record, RequestKey, TerminalRecord, Time,
    host::EntryMode,
    notice::{Phase, Screen},
    onboarding::Problem,
    outcome::Class,
    paper::PaperJob,
    record::{ClockEvent, Entry, Restored},
    time::Millis,
};
use std::collections::{BTreeMap, VecDeque};

/// Waits before the next automatic sign-in after a failed one: doubles from the first to the last.
const SIGN_IN_WAIT_FIRST: Millis = Millis::secs(5);
const SIGN_IN_WAIT_MAX: Millis = Millis::secs(300);

/// Records may be so much ahead of the clock at a start: it is set finely now and then.
const CLOCK_SLACK: Millis = Millis::secs(60);

/// Automatic sign-in of one account.
#[derive(Clone, Debug)]
pub(crate) struct SignInWait {
    /// Somebody asked for it (boot, requirement digit 3).
    pub wanted: bool,
    pub not_before: Time,
    pub wait: Millis,
}
impl Default for SignInWait {
    fn default() -> Self {
        Self { wanted: false, not_before: Time(i64::MIN), wait: SIGN_IN_WAIT_FIRST }
    }
}
impl SignInWait {
    pub fn failed(&mut self, now: Time) {
        self.not_before = now + self.wait;
        self.wait = Millis((self.wait.0 * 2).min(SIGN_IN_WAIT_MAX.0));
    }
}

/// [`Machine::replay`] from the journal, once [`Machine::boot`], then [`Machine::handle`] for each input and
/// [`Machine::handle_timeout`] when [`Machine::poll_timeout`] is due. Each answers a [`Step`]: records to
/// make durable, effects to release after that.
pub struct Machine {
    pub(crate) settings: Settings,
    pub(crate) state: State,
    pub(crate) now: Time,
    pub(crate) step: Step,
    /// The volatile half of the foreground request: stage, card in memory.
    pub(crate) flow: Option<Flow>,
    /// The messages under way, by tag.
    pub(crate) links: BTreeMap<u64, InFlight>,
    /// Loads of records to upload that are under way.
    pub(crate) uploading: BTreeMap<AccountId, Loading>,
    /// When somebody was last reminded of an account's settlement, in this run.
    pub(crate) reminded: BTreeMap<AccountId, Time>,
    /// The last requests that were started in this run, with the hash of their content.
    pub(crate) recent: VecDeque<(RequestKey, String)>,
    /// Messages whose time ran out, for late answers; the newest 256.
    pub(crate) missed: VecDeque<(u64, InFlight)>,
    /// Accounts whose line failed forwarding.
    pub(crate) forwarding: BTreeMap<AccountId, Trouble>,
    pub(crate) sign_in: BTreeMap<AccountId, SignInWait>,
    /// The paper at the printer.
    pub(crate) printing: Option<u64>,
    pub(crate) paper_not_before: Time,
    pub(crate) paper_wait: Millis,
    pub(crate) modes: Vec<EntryMode>,
    pub(crate) pin_pad: bool,
    /// A printer that can print.
    pub(crate) printer: bool,
    pub(crate) heard: BTreeMap<AccountId, Heard>,
    pub(crate) tags: u64,
    /// The screen that was drawn last.
    pub(crate) drawn: Screen,
    /// It is drawn again although nothing has changed: at a start, and in another language.
    pub(crate) redraw: bool,
    /// What is shown for a time when nobody is served.
    pub(crate) timed: Option<Timed>,
    /// Troubles that wait for a free display; each once.
    pub(crate) troubles: VecDeque<&'static str>,
    pub(crate) desk: Desk,
    pub(crate) applying: Applying,
    /// The check of the journal failed: no payments in this run.
    pub(crate) damaged: Option<String>,
}

impl Machine {
    /// Rebuilds the machine: the last snapshot (if any) and all records after it, in order.
    pub fn replay(
        settings: Settings,
        snapshot: Option<&str>,
        tail: impl IntoIterator<Item = Entry>,
    ) -> Result<Self, ReplayError> {
        let mut state: State = snapshot.map(serde_json::from_str).transpose()?.unwrap_or_default();
        for entry in tail {
            state.apply(&entry)?;
        }
        let paper_wait = Millis(i64::from(settings.paper.retry_ms));
        Ok(Self {
            settings,
            state,
            now: Time(0),
            step: Step::default(),
            flow: None,
            links: BTreeMap::new(),
            uploading: BTreeMap::new(),
            recent: VecDeque::new(),
            reminded: BTreeMap::new(),
            missed: VecDeque::new(),
            forwarding: BTreeMap::new(),
            sign_in: BTreeMap::new(),
            printing: None,
            paper_not_before: Time(i64::MIN),
            paper_wait,
            modes: Vec::new(),
            pin_pad: false,
            printer: false,
            heard: BTreeMap::new(),
            tags: 0,
            drawn: Screen::Idle,
            redraw: false,
            timed: None,
            troubles: VecDeque::new(),
            desk: Desk::default(),
            applying: Applying::default(),
            damaged: None,
        })
    }

    /// To be called before [`Machine::boot`], once, when the store has put the journal back.
    pub fn restored(&mut self, now: Time, restored: Restored) -> Step {
        self.now = now;
        self.record(None, TerminalRecord::Restored { restored: Box::new(restored) });
        // Nothing is driven: what is owed is left to people first, at the start.
        std::mem::take(&mut self.step)
    }

    /// To be called once after [`Machine::replay`]: ends what the last run left open. `with_keys`: the
    /// accounts whose working keys the vault holds.
    pub fn boot(&mut self, now: Time, version: &str, with_keys: &[AccountId]) -> Step {
        self.now = now;
        self.boot_operators();
        let behind = self.state.staff.seen.since(now);
        self.record(None, TerminalRecord::Booted { version: version.into() });
        if behind > CLOCK_SLACK {
            self.record(None, TerminalRecord::Clock { event: ClockEvent::Behind { by: behind } });
        }
        // Tags of different runs never meet: an answer to the last run's frame finds nobody here.
        self.tags = self.state.boots << 32;
        let accounts: Vec<AccountId> = self.settings.accounts.iter().map(|a| a.config.id.clone()).collect();
        for id in &accounts {
            let signed_in = self.state.ledger(id).signed_in;
            if signed_in && !with_keys.contains(id) {
                self.record(
                    None,
                    AccountRecord::SignedOut { account: id.clone(), why: "the working keys are gone".into() },
                );
            }
            let signed_in = self.state.ledger(id).signed_in;
            let wanted =
                !signed_in && self.account(id).is_some_and(|a| a.config.auto_sign_in && a.rules.sign_in);
            self.sign_in.entry(id.clone()).or_default().wanted = wanted;
        }
        self.end_interrupted();
        if self.state.recovering.is_some() {
            self.leave_to_people();
        }
        self.strand();
        self.ask_anew();
        self.recover_papers();
        self.recover_onboarding();
        if let Some(language) = self.state.language {
            self.effect(Effect::Speak(language));
        }
        self.redraw = true;
        if accounts.iter().any(|id| self.renumbered(id)) {
            self.trouble("account-renumbered");
        }
        self.finish_step()
    }

    /// Takes in what happened and answers what follows from it.
    pub fn handle(&mut self, input: Input, now: Time) -> Step {
        self.now = self.now.max(now);
        let behind = matches!(
            input,
            Input::Devices { .. }
                | Input::Host { .. }
                | Input::Loaded { .. }
                | Input::Printed { .. }
                | Input::PrinterReady
                | Input::Vault { .. }
                | Input::SelfTested { .. }
                | Input::JournalDamaged { .. }
                | Input::ClockJumped { .. }
                | Input::Probe { .. }
                | Input::Tms { .. }
        );
        if !behind || self.flow.is_some() {
            self.in_use();
        }
        match input {
            Input::Start { call, key, request } => self.start(call, key, *request),
            Input::Cancel { call, key, by } => self.cancel(call, &key, by),
            Input::Confirm { call, key, yes } => self.confirm(call, &key, yes),
            Input::Devices { modes, pin_pad, printer } => self.devices(modes, pin_pad, printer),
            Input::Instrument { instrument, card } => self.instrument(instrument, card),
            Input::Key(key) if self.desk_key(key) => {}
            Input::Key(key) => self.key(key),
            Input::PinDigits { tag, digits } => self.pin_digits(tag, digits),
            Input::Pin { tag, entry } => self.pin(tag, entry),
            Input::Host { tag, event } => self.host(tag, event),
            Input::Loaded { tag, found } => self.loaded(tag, found),
            Input::Printed { job, result } => self.printed(job, result),
            Input::PrinterReady => self.printer_ready(),
            Input::Reprint { call, outcome, copy } => self.reprint(call, outcome, copy),
            Input::Print { call, app, request, content } => self.print(call, app, request, *content),
            Input::PrintReport { call, app, scope } => self.print_report(call, app, scope),
            Input::ReleasePaper { call, job, print, by } => self.release_paper(call, job, print, by),
            Input::RetryObligation { call, txn, by } => self.retry_obligation(call, txn, by),
            Input::Queue { call, act, by } => self.queue(call, act, by),
            Input::Resolve { call, txn, executed, stan, reference, by } => {
                self.resolve(call, txn, executed, stan, reference, by)
            }
            Input::SelfTested { call, report, print } => self.self_tested(call, *report, print),
            Input::Probe { call, account } => self.probe(call, &account),
            Input::JournalDamaged { why } => self.journal_damaged(why),
            Input::ClockJumped { by } => {
                self.record(None, TerminalRecord::Clock { event: ClockEvent::Jumped { by } })
            }
            Input::SetLanguage { call, language, by } => self.set_language(call, language, by),
            Input::Operators { call, request } => self.operators(call, request),
            Input::Vault { tag, answer } => self.vault(tag, answer),
            Input::Apply { call, by, step } => self.apply(call, &by, step),
            Input::Tms { tag, event } => self.tms(tag, event),
        }
        self.finish_step()
    }

    /// The next moment at which [`Machine::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Time> {
        let flow = self.flow.as_ref().and_then(Flow::until);
        let links = self.links.values().map(|l| l.until).min();
        let papers = self.paper_due();
        let accounts = self.settings.accounts.iter().filter_map(|a| self.account_due(a)).min();
        [
            flow,
            links,
            papers,
            accounts,
            self.timed.as_ref().map(|t| t.until),
            self.operators_due(),
            self.onboarding_due(),
            self.settlement_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub fn handle_timeout(&mut self, now: Time) -> Step {
        self.now = self.now.max(now);
        self.timed.take_if(|t| t.until <= self.now);
        self.operators_timeout();
        self.silent_links();
        if self.flow.as_ref().and_then(Flow::until).is_some_and(|t| t <= self.now) {
            self.stage_timed_out();
        }
        self.finish_step()
    }

    fn finish_step(&mut self) -> Step {
        self.drive();
        if self.state.seq - self.state.snapshot_seq >= u64::from(self.settings.snapshot_every)
            && !self.step.records.is_empty()
        {
            self.state.snapshot_seq = self.state.seq;
            self.step.snapshot = serde_json::to_string(&self.state).ok().map(|json| (self.state.seq, json));
        }
        std::mem::take(&mut self.step)
    }

    /// Does what can be done now: sign-ins, obligations, the waiting request, papers.
    fn drive(&mut self) {
        self.drive_auto();
        self.doubt_batches();
        let ids: Vec<AccountId> = self.settings.accounts.iter().map(|a| a.config.id.clone()).collect();
        for id in ids {
            self.drive_account(&id);
        }
        self.drive_operators();
        self.drive_onboarding();
        self.drive_troubles();
        self.draw();
        self.drive_papers();
    }

    /// Whoever stands at the counter next sees it, when nobody is served and nothing else is shown.
    fn drive_troubles(&mut self) {
        if self.timed.is_none()
            && self.idle()
            && let Some(what) = self.troubles.pop_front()
        {
            self.show_trouble(what);
        }
    }

    /// The durable state: equal after `replay(snapshot, tail)` (invariant 7).
    pub fn state(&self) -> &State {
        &self.state
    }
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    pub fn running(&self) -> Option<(&RequestKey, &Outcome)> {
        self.state.running.as_ref().map(|r| (&r.key, &*r.view))
    }
    pub fn phase(&self) -> Phase {
        self.flow.as_ref().map_or(Phase::Ended, |f| f.stage.phase())
    }
    /// The accounts whose hosts answered in this run.
    pub fn heard(&self) -> &BTreeMap<AccountId, Heard> {
        &self.heard
    }
    /// Why the terminal management could not be asked, while that is so.
    pub fn onboarding_problem(&self) -> Option<Problem> {
        self.applying.problem
    }
    pub fn obligations(&self) -> &Obligations {
        &self.state.obligations
    }
    pub fn papers(&self) -> impl Iterator<Item = &PaperJob> {
        self.state.papers.values()
    }

    pub(crate) fn account(&self, id: &AccountId) -> Option<&AccountSettings> {
        self.settings.accounts.iter().find(|a| a.config.id == *id)
    }

    /// Journals and folds; a record that does not fit is our own mistake: the machine stops (and is rebuilt
    /// by replay).
    pub(crate) fn record(&mut self, txn: Option<u64>, record: impl Into<Record>) {
        let entry = Entry { seq: self.state.seq + 1, at: self.now, txn, record: record.into() };
        let applied = self.state.apply(&entry);
        assert!(applied.is_ok(), "a record of this machine does not fit its state: {applied:?}");
        self.step.records.push(entry);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }
    pub(crate) fn tell(&mut self, notice: Notice) {
        self.effect(Effect::Tell(Box::new(notice)));
    }
    pub(crate) fn answer(&mut self, call: u64, result: Result<(), Fault>) {
        self.effect(Effect::Answer { call, result });
    }
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.step.asks.push(ask);
    }
    /// Apps hear of it at once, the display shows it when it is free ([`Machine::drive_troubles`]).
    pub(crate) fn trouble(&mut self, what: &'static str) {
        self.tell(Notice::Screen { screen: Screen::Trouble { what: what.into() } });
        if !self.troubles.contains(&what) {
            self.troubles.push_back(what);
        }
    }
    /// For as long as a result is shown.
    pub(crate) fn show_trouble(&mut self, what: &str) {
        self.show_result(Screen::Trouble { what: what.into() });
    }
    pub(crate) fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }
    pub(crate) fn after(&self, ms: u32) -> Time {
        self.now + Millis(i64::from(ms))
    }
    /// Class of a code of this account's profile; unknown codes are failures.
    pub(crate) fn class(&self, account: &AccountId, code: &str) -> Class {
        self.account(account).and_then(|a| a.rules.codes.get(code)).map_or(Class::C, |r| r.class)
    }
}
