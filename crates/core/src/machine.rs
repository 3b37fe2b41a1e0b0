//! The machine: a router over the rooms. It hands inputs, time-outs and [`Signal`]s over and adds nothing of
//! its own but what is the terminal's as a whole: its start, its display, its care for itself. `handle` never
//! waits.
use crate::{
    Effect, Heard, Input, Obligations, ReplayError, Settings, Step, Timer, Wake,
    context::Context,
    counter::{self, Counter},
    keypad::{Keypad, WriteOff},
    line::{Lines, Word},
    onboarding::Applying,
    papers::Papers,
    screen::Display,
    signal::Signal,
    state::State,
};
use payterm_schema::{
    AccountId, Fault, Outcome, RequestKey, TerminalRecord, Time,
    notice::Phase,
    onboarding::Problem,
    paper::PaperJob,
    record::{ClockEvent, Entry, Restored},
    time::Millis,
};
use std::collections::BTreeMap;

/// Records may be so much ahead of the clock at a start: it is set finely now and then.
const CLOCK_SLACK: Millis = Millis::secs(60);

/// [`Machine::replay`] from the journal, once [`Machine::boot`], then [`Machine::handle`] for each input and
/// [`Machine::handle_timeout`] when [`Machine::poll_timeout`] is due. Each answers a [`Step`]: records to
/// make durable, effects to release after that.
pub struct Machine {
    pub(crate) cx: Context,
    pub(crate) counter: Counter,
    pub(crate) lines: Lines,
    pub(crate) keypad: Keypad,
    papers: Papers,
    onboarding: Applying,
    pub(crate) display: Display,
}

impl Machine {
    /// Rebuilds the machine: the last snapshot (if any) and all records after it, in order.
    pub fn replay(
        settings: Settings,
        snapshot: Option<&str>,
        tail: impl IntoIterator<Item = Entry>,
    ) -> Result<Self, ReplayError> {
        let mut state = State::decode(snapshot)?;
        for entry in tail {
            state.apply(&entry)?;
        }
        let lines = Lines::new(&settings);
        let cx = Context::new(settings, state);
        Ok(Self {
            counter: Counter::default(),
            lines,
            keypad: Keypad::default(),
            papers: Papers::new(&cx),
            onboarding: Applying::default(),
            display: Display::default(),
            cx,
        })
    }

    /// To be called before [`Machine::boot`], once, when the store has put the journal back.
    pub fn restored(&mut self, now: Time, restored: Restored) -> Step {
        self.cx.now = now;
        self.cx.record(None, TerminalRecord::Restored { restored: Box::new(restored) });
        // Nothing is driven: what is owed is left to people first, at the start.
        std::mem::take(&mut self.cx.step)
    }

    /// To be called once after [`Machine::replay`]: ends what the last run left open. `with_keys`: the
    /// accounts whose working keys the vault holds.
    pub fn boot(&mut self, now: Time, version: &str, with_keys: &[AccountId]) -> Step {
        let cx = &mut self.cx;
        cx.now = now;
        cx.txns_before = cx.state.last_txn;
        self.keypad.boot(cx);
        let behind = cx.state.staff.seen.max(cx.settings.not_before).since(now);
        cx.record(None, TerminalRecord::Booted { version: version.into() });
        if behind > CLOCK_SLACK {
            cx.record(None, TerminalRecord::Clock { event: ClockEvent::Behind { by: behind } });
        }
        cx.begin_tags();
        self.lines.iter_mut().for_each(|line| line.boot(cx, with_keys));
        counter::end_interrupted(cx);
        if cx.state.recovering.is_some() {
            cx.leave_to_people();
        }
        cx.mark_undrivable_stuck();
        cx.ask_wallets_again();
        self.papers.boot(cx);
        self.onboarding.boot(cx);
        if let Some(language) = cx.state.language {
            cx.effect(Effect::Speak(language));
        }
        cx.use_downloads();
        self.display.redraw = true;
        if cx.settings.accounts.iter().any(|a| cx.renumbered(&a.config.id)) {
            cx.trouble("account-renumbered");
        }
        self.finish_step()
    }

    /// The clock was set forward by so much: of the time that it tells from here on, that much has not
    /// passed.
    pub fn clock_set(&mut self, by: Millis) {
        self.cx.clock_set = Millis(self.cx.clock_set.0 + by.0);
        self.cx.clock_moved |= by.0 != 0;
    }

    /// Takes in what happened and answers what follows from it.
    pub fn handle(&mut self, input: Input, now: Time) -> Step {
        self.cx.now = self.cx.now.max(now);
        if self.counter.serves() || !input.is_behind() {
            self.keypad.in_use(self.cx.now);
        }
        self.hand_in(input);
        self.cx.judge_again();
        self.finish_step()
    }

    fn hand_in(&mut self, input: Input) {
        let cx = &mut self.cx;
        match input {
            Input::Start { call, key, request } => self.counter.start(cx, call, key, request),
            Input::Cancel { call, key, by } => self.counter.cancel(cx, call, &key, by),
            Input::Confirm { call, key, yes } => self.counter.confirm(cx, call, &key, yes),
            Input::Devices { modes, pin_pad, printer } => self.counter.devices(cx, modes, pin_pad, printer),
            Input::Instrument { instrument, card } => self.counter.instrument(cx, instrument, card),
            Input::Card { tag, step, card } => self.counter.card(cx, tag, step, card),
            Input::Key(key) => {
                if !self.keypad.key(cx, key) {
                    self.counter.key(cx, key);
                }
            }
            Input::PinDigits { tag, digits } => self.counter.pin_digits(tag, digits),
            Input::Pin { tag, entry } => self.counter.pin(cx, tag, entry),
            Input::Host { tag, event } => self.lines.host(cx, tag, event),
            Input::Loaded { tag, found } => self.counter.loaded(cx, tag, found),
            Input::BatchLoaded { tag, found } => self.lines.loaded(cx, tag, found),
            Input::Printed { job, result, replaced } => self.papers.printed(cx, job, result, replaced),
            Input::PrinterReady => self.papers.printer_ready(cx),
            Input::Reprint { call, outcome, copy } => self.papers.reprint(cx, call, outcome, copy),
            Input::Print { call, app, request, content } => {
                self.papers.print(cx, call, app, request, *content)
            }
            Input::PrintReport { call, app, scope } => self.papers.print_report(cx, call, app, scope),
            Input::ReleasePaper { call, job, print, by } => self.papers.release(cx, call, job, print, by),
            Input::RetryObligation { call, txn, by } => self.lines.retry(cx, call, txn, by),
            Input::Queue { call, act, by } => self.lines.queue(cx, call, act, by),
            Input::Resolve { call, txn, executed, stan, reference, by } => {
                self.lines.resolve(cx, call, txn, &Word { executed, stan, reference, by })
            }
            Input::SelfTested { call, report, print } => self.self_tested(call, *report, print),
            Input::Probe { call, account } => match self.lines.of(&account) {
                Some(line) => line.probe(cx, call),
                None => cx.answer(call, Err(Fault::not_found("account", account.as_str()))),
            },
            Input::JournalDamaged { why } => self.journal_damaged(why),
            Input::Trouble { what, lasts } => self.display.lasting(what, lasts),
            Input::ClockJumped { by } => cx.clock_jumped(by),
            Input::SetLanguage { call, language, by } => self.set_language(call, language, by),
            Input::Operators { call, request } => self.keypad.request(cx, call, request),
            Input::Vault { tag, answer } => self.keypad.vault(cx, tag, answer),
            Input::Apply { call, by, step } => self.onboarding.apply(cx, call, &by, step),
            Input::Tms { tag, event } => self.onboarding.tms(cx, tag, event),
        }
    }

    /// Hands over what rooms have to tell one another, until nobody has anything to say.
    fn route(&mut self) {
        while let Some(signal) = self.cx.signals.pop_front() {
            self.hand_over(signal);
        }
    }

    fn hand_over(&mut self, signal: Signal) {
        let cx = &mut self.cx;
        match signal {
            Signal::Begin { key, request } => self.counter.start(cx, 0, key, request),
            Signal::Admitted { call, key, request } => self.counter.admitted(cx, call, key, request),
            Signal::Approved => self.counter.approved(cx, true),
            Signal::Denied => self.counter.approved(cx, false),
            Signal::Ready { account } => self.counter.ready(cx, &account),
            Signal::NotYet { account, what, owed } => self.counter.not_yet(cx, &account, what, owed),
            Signal::Never { account, code, class } => self.counter.never(cx, &account, code, class),
            Signal::LineDown { account, sign_in } => self.counter.line_down(cx, &account, sign_in),
            Signal::OwedChanged { account } => self.counter.owed_changed(cx, &account),
            Signal::NewKeys { account } => {
                self.counter.new_keys(&account);
                self.lines.with(&account, |line| line.new_keys());
            }
            Signal::Sent { until } => self.counter.sent(cx, until),
            Signal::Host { account, txn, stan, event } => self.counter.host(cx, &account, txn, stan, event),
            Signal::Drained { account } => self.counter.drained(cx, &account),
            Signal::Settling { what, until } => self.counter.settling(cx, what, until),
            Signal::SettlesBehind { account } => self.counter.settles_behind(cx, &account),
            Signal::Want { account, txn, waits } => {
                self.lines.with(&account, |line| line.want(cx, txn, waits));
            }
            Signal::Send { account, txn, plan, secrets, log } => {
                self.lines.with(&account, |line| line.send_request(cx, txn, *plan, *secrets, log));
            }
            Signal::Settle { account } => self.lines.with(&account, |line| line.settle(cx)),
            Signal::SignInWanted { account } => self.lines.with(&account, |line| line.want_sign_in()),
            Signal::DownloadWanted { account, lists } => {
                self.lines.with(&account, |line| line.want_download(lists));
            }
            Signal::BatchClosed { account } => {
                self.display.batch_closed();
                self.lines.with(&account, |line| line.batch_closed());
            }
            Signal::WriteOff { call, txn, why, by } => self.lines.write_off(cx, call, txn, &why, &by),
            Signal::Admit { call, key, request } => self.keypad.admit(cx, call, key, request),
            Signal::AskApproval(asked) => self.keypad.ask_approval(cx, asked),
            Signal::AskWriteOff { call, txn, why, by, asked } => {
                self.keypad.ask_write_off(cx, call, WriteOff { txn, why, by, asked })
            }
            Signal::Begun => self.display.clear(),
            Signal::Rest => self.rest(),
            Signal::Show(screen) => self.display.show(cx, *screen),
            Signal::Trouble(what) => self.display.trouble(what),
            Signal::OnboardingChanged => self.display.onboarding_changed(cx),
            Signal::Finished { outcome } => {
                // Of an earlier request: who is served now waits on.
                if cx.state.running.is_none() {
                    self.keypad.approval_gone();
                }
                self.lines.finished(cx);
                let foreground = self.counter.finished(cx);
                self.display.result(cx, outcome, foreground);
            }
        }
    }

    /// The next moment at which [`Machine::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<Wake> {
        let (cx, shown) = (&self.cx, self.display.until());
        let auto = if self.is_idle() { self.lines.auto_due(cx, shown) } else { None };
        [
            self.counter.poll_timeout(),
            self.lines.poll_timeout(cx),
            self.papers.poll_timeout(cx),
            shown.map(|at| Wake { at, timer: Timer::Screen }),
            self.keypad.poll_timeout(cx),
            self.onboarding.poll_timeout(cx),
            auto,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub fn handle_timeout(&mut self, now: Time) -> Step {
        self.cx.now = self.cx.now.max(now);
        self.display.handle_timeout(self.cx.now);
        self.keypad.handle_timeout(&mut self.cx);
        self.route();
        while let Some((tag, line)) = self.lines.silent(self.cx.now) {
            line.link_silent(&mut self.cx, tag);
            self.route();
        }
        self.counter.handle_timeout(&mut self.cx);
        self.finish_step()
    }

    fn finish_step(&mut self) -> Step {
        self.route();
        self.drive();
        let (running, serves) = (self.cx.state.running.is_some(), self.counter.serves());
        assert_eq!(running, serves, "the request on record is the one at the counter");
        let state = &mut self.cx.state;
        if state.seq - state.snapshot_seq >= u64::from(self.cx.settings.snapshot_every)
            && !self.cx.step.records.is_empty()
        {
            state.snapshot_seq = state.seq;
            self.cx.step.snapshot = serde_json::to_string(state).ok().map(|json| (state.seq, json));
        }
        std::mem::take(&mut self.cx.step)
    }

    /// Does what can be done now: settlements at their time, each line's next message, papers.
    fn drive(&mut self) {
        if self.is_idle() {
            self.lines.drive_auto(&mut self.cx, self.display.until());
            self.route();
        }
        if self.cx.state.recovering.is_some() {
            self.cx.leave_to_people();
        }
        self.cx.doubt_batches();
        self.route();
        for at in 0..self.lines.len() {
            self.lines.at(at).drive(&mut self.cx);
            self.route();
            self.lines.at(at).drive_advices(&mut self.cx);
            self.route();
            self.lines.at(at).drive_download(&mut self.cx);
        }
        let idle = self.is_idle();
        self.keypad.drive(&mut self.cx);
        self.onboarding.drive(&mut self.cx, idle);
        self.route();
        self.draw();
        self.papers.drive(&mut self.cx);
    }

    /// Nobody is served, and nobody types.
    pub(crate) fn is_idle(&self) -> bool {
        self.cx.state.running.is_none() && self.keypad.is_free()
    }

    /// The durable state: equal after `replay(snapshot, tail)` (invariant 7).
    pub fn state(&self) -> &State {
        &self.cx.state
    }
    pub fn settings(&self) -> &Settings {
        &self.cx.settings
    }
    pub fn running(&self) -> Option<(&RequestKey, &Outcome)> {
        self.cx.state.running.as_ref().map(|r| (&r.key, &*r.view))
    }
    pub fn phase(&self) -> Phase {
        self.counter.phase()
    }
    /// The accounts whose hosts answered in this run.
    pub fn heard(&self) -> &BTreeMap<AccountId, Heard> {
        &self.cx.heard
    }
    /// Messages to hosts that are under way.
    pub fn exchanges(&self) -> usize {
        self.lines.exchanges()
    }
    /// Why the terminal management could not be asked, while that is so.
    pub fn onboarding_problem(&self) -> Option<Problem> {
        self.onboarding.problem
    }
    pub fn obligations(&self) -> &Obligations {
        &self.cx.state.obligations
    }
    pub fn papers(&self) -> impl Iterator<Item = &PaperJob> {
        self.cx.state.papers.values()
    }
}
