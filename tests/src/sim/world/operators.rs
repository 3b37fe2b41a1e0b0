//! The app, the cashier and whoever is called at the end of the day.
//!
//! Mishap model. The app sends a request again, with the same content or another, cancels at any moment, or
//! leaves; keys are pressed at any moment; what is Stuck is tried again, and the queue's controls are
//! pressed, at any moment. An app that was told that the store failed asks again with the same key. A person
//! who resolves says what the acquirer's books say. After a restored journal nobody has a reversal tried
//! again whose end may be among what was lost: they ask the acquirer, and have undone what it holds and the
//! terminal cannot name.
use super::{Event, World, key};
use crate::sim::{
    bank::Posting,
    checks,
    model::{self, Place},
    script::{Customer, Press, Scripted},
};
use payterm_core::{Input, VaultAnswer, VaultAsk};
use payterm_schema::{
    Fault, Kind, Money, OperatorId, OperatorRequest, Outcome, Request, Screen, Status,
    device::Key,
    host::EntryMode,
    offline::QueueAct,
    paper::PaperState,
    record::{Duty, Obligation, ObligationState},
    request::{Original, RequestWire},
    secret::{Password, Verifier},
};
use std::collections::BTreeSet;

impl World {
    /// What people do at the end of the day. True when there was something to do.
    pub(super) fn settle(&mut self) -> bool {
        let stuck: BTreeSet<u64> = self
            .machine
            .obligations()
            .iter()
            .filter(|o| o.state == ObligationState::Stuck)
            .map(|o| o.txn)
            .collect();
        let held: Vec<u64> =
            self.machine.papers().filter(|p| p.state == PaperState::Held).map(|p| p.id).collect();
        let settlements =
            self.machine.state().accounts.values().filter_map(|l| l.settling.as_ref()).filter(|s| s.hold);
        let settlements: Vec<u64> = settlements.map(|s| s.txn).collect();
        let kept: BTreeSet<u64> =
            self.machine.obligations().iter().filter(|o| o.held.is_some()).map(|o| o.txn).collect();
        // Of what ran when the journal was damaged it may not name a frame: nobody can drive it.
        let unnamed = |o: &Outcome| {
            o.status == Status::Unknown && self.machine.obligations().of(o.txn).next().is_none()
        };
        let unnamed: Vec<u64> =
            checks::outcomes(&self.journal).into_values().filter(unnamed).map(|o| o.txn).collect();
        let unnamed: Vec<u64> =
            unnamed.into_iter().filter(|txn| self.machine.state().settlement_of(*txn).is_none()).collect();
        let recovering = self.machine.state().recovering.is_some();
        let nothing = stuck.is_empty()
            && held.is_empty()
            && settlements.is_empty()
            && kept.is_empty()
            && unnamed.is_empty()
            && !recovering;
        if !self.script.settle || nothing {
            return false;
        }
        self.settled += 1;
        assert!(
            self.settled < 20,
            "invariant 8: what is Stuck does not end although all mishaps are over: {:?}",
            self.machine.obligations()
        );
        if recovering {
            self.scripted(Scripted::EndRecovery);
        }
        for txn in unnamed {
            let undone = self.undone_at_the_acquirer(txn, None);
            self.model.resolved(txn, &undone);
            self.input(Input::Resolve {
                call: 0,
                txn,
                executed: false,
                stan: None,
                reference: "case 2".into(),
                by: "test".into(),
            });
        }
        for txn in kept {
            self.press(QueueAct::Release { txn });
        }
        for txn in settlements {
            self.input(Input::RetryObligation { call: 0, txn, by: "test".into() });
        }
        for txn in stuck {
            let asked = self.machine.obligations().of(txn).any(|o| self.must_be_asked(o));
            if asked {
                self.ask_the_acquirer(txn);
            } else {
                self.input(Input::RetryObligation { call: 0, txn, by: "test".into() });
            }
        }
        for job in held {
            self.input(Input::ReleasePaper { call: 0, job, print: true, by: "test".into() });
        }
        true
    }

    /// Somebody asks the acquirer what became of a request of which something is Stuck, and says what it
    /// says. Nothing is said while the terminal refuses it: another frame of it is open, or it runs.
    fn ask_the_acquirer(&mut self, txn: u64) {
        let frames: Vec<Obligation> = self.machine.obligations().of(txn).cloned().collect();
        let runs = self.machine.state().running.as_ref().is_some_and(|r| r.txn == txn);
        if runs || frames.iter().any(|o| o.state != ObligationState::Stuck) {
            for (executed, stan) in [(true, frames.first().map(|o| o.plan.stan)), (false, None)] {
                self.next_call += 1;
                self.too_early.insert(self.next_call);
                self.input(Input::Resolve {
                    call: self.next_call,
                    txn,
                    executed,
                    stan,
                    reference: "case 4".into(),
                    by: "test".into(),
                });
            }
            return self.count("resolved too early");
        }
        let told = checks::outcomes(&self.journal).remove(&txn);
        // What the acquirer would say; of several frames one stands, that of the slip. What was told
        // otherwise is undone.
        let stands = |o: &&Obligation| {
            let posting = self.bank.books.get(&model::place(&o.account, &o.plan)).filter(|p| !p.reversed);
            // Another amount than was asked for, or a payer who has not confirmed: it is undone.
            let whole = |p: &&Posting| Some(p.amount) == o.plan.amount.map(Money::minor) && !p.is_pending();
            let otherwise = |t: &Outcome| {
                t.status.is_final() && (t.status != Status::Approved || t.stan != Some(o.plan.stan))
            };
            let undone = o.duty == Duty::Reverse && told.as_ref().is_some_and(otherwise);
            !undone && posting.filter(|p| o.duty == Duty::ManualResolution || whole(p)).is_some()
        };
        let standing = frames.iter().rev().find(stands);
        let stan = standing.filter(|_| frames.len() > 1).map(|o| o.plan.stan);
        if stan.is_some() {
            self.count("one of several frames stands");
        }
        let standing = standing.map(|o| model::place(&o.account, &o.plan));
        self.asked_about.insert(txn);
        standing.iter().for_each(|at| self.bank.keep(at));
        let undone = self.undone_at_the_acquirer(txn, standing.as_ref());
        self.model.resolved(txn, &undone);
        let executed = standing.is_some();
        self.input(Input::Resolve {
            call: 0,
            txn,
            executed,
            stan,
            reference: "case 1".into(),
            by: "test".into(),
        });
    }

    /// Nobody has it tried again: there is nothing to try, or its answer may be among what the journal has
    /// lost.
    fn must_be_asked(&self, o: &Obligation) -> bool {
        o.duty == Duty::ManualResolution
            || self.asked_about.contains(&o.txn)
            || (o.duty == Duty::Reverse && self.in_doubt.contains_key(&o.txn))
    }

    /// Whether batches of ours that hosts have left behind were closed there: somebody asks, and says so.
    fn batches_known(&mut self) -> bool {
        let doubts: Vec<_> = self
            .machine
            .state()
            .recovering
            .iter()
            .flat_map(|r| r.batches.clone())
            .filter(|(_, d)| !d.open)
            .collect();
        for (account, doubt) in &doubts {
            let ours = (account.clone(), self.machine.state().ledger(account).batch.get());
            let executed = self.bank.closing.get(&ours).is_some_and(|c| c.closed);
            if let Some(txn) = doubt.txn {
                self.count("a batch in doubt");
                // It stays open: the acquirer drops what was uploaded of it.
                if !executed {
                    self.bank.closing.remove(&ours);
                }
                self.input(Input::Resolve {
                    call: 0,
                    txn,
                    executed,
                    stan: None,
                    reference: "case 3".into(),
                    by: "test".into(),
                });
            }
        }
        // And each host has been heard whose account has records.
        let state = self.machine.state();
        state.recovering.iter().all(|r| {
            let mut own = self.settings.accounts.iter().filter(|a| a.rules.sign_in).map(|a| &a.config.id);
            r.batches.values().all(|d| d.open) && own.all(|id| r.heard.contains(id) || !state.keeps_batch(id))
        })
    }

    /// What the acquirer holds of it, but for what stands, is taken back there.
    fn undone_at_the_acquirer(&mut self, txn: u64, standing: Option<&Place>) -> Vec<Place> {
        let named = self.machine.obligations().of(txn).map(|o| model::place(&o.account, &o.plan));
        let all = self.in_doubt.get(&txn).into_iter().flatten().cloned().chain(named);
        let undone: Vec<_> = all.filter(|at| Some(at) != standing).collect();
        undone.iter().for_each(|at| self.bank.take_back(at));
        undone
    }

    /// One of the queue's controls.
    fn press(&mut self, act: QueueAct) {
        match &act {
            QueueAct::Release { txn } => self.model.held(*txn, false),
            QueueAct::WriteOff { txn, .. } => self.model.given_up(*txn, false),
            QueueAct::Forward { .. } | QueueAct::Hold { .. } => {}
        }
        self.next_call += 1;
        self.session_calls.insert(self.next_call);
        self.queue_calls.insert(self.next_call, act.clone());
        self.input(Input::Queue { call: self.next_call, act, by: "shop".into() });
    }

    /// The nth of what it can be done to; where there is none, of what it cannot be done to.
    fn press_for(&mut self, press: Press, nth: usize) -> QueueAct {
        let fits = |o: &&Obligation| match press {
            Press::ForwardAll | Press::Forward => o.state == ObligationState::Due,
            Press::Hold => o.duty == Duty::Repeat && o.held.is_none(),
            Press::Release => o.held.is_some(),
            Press::WriteOff => {
                o.state == ObligationState::Stuck
                    || (o.duty == Duty::Repeat && o.state == ObligationState::Due)
            }
        };
        let mut all: Vec<u64> = self.machine.obligations().iter().filter(fits).map(|o| o.txn).collect();
        if all.is_empty() {
            all = self.machine.obligations().iter().map(|o| o.txn).collect();
        }
        let txn = all.get(nth % all.len().max(1)).copied().unwrap_or(1);
        match press {
            Press::ForwardAll => QueueAct::Forward { txn: None },
            Press::Forward => QueueAct::Forward { txn: Some(txn) },
            Press::Hold => QueueAct::Hold { txn },
            Press::Release => QueueAct::Release { txn },
            Press::WriteOff => QueueAct::WriteOff { txn, why: "not worth it".into() },
        }
    }

    /// The mishaps are over.
    pub(super) fn calm(&mut self) {
        self.calm_since = self.now;
        self.faults.clear();
        self.sign_ins.clear();
        self.prints.clear();
        self.cut_at.clear();
        self.skews.clear();
        self.disk.calm();
        self.events.retain(|_, e| !matches!(e, Event::Scripted(_)));
        self.input(Input::Devices {
            modes: vec![EntryMode::Swipe, EntryMode::Chip, EntryMode::Contactless, EntryMode::Code],
            pin_pad: true,
            printer: true,
        });
    }

    pub(super) fn scripted(&mut self, input: Scripted) {
        self.count(format!("scripted {}", input.name()));
        let running = self.machine.state().running.clone();
        match (input, running) {
            // The front door answers those that are known from the store; the machine hears the others.
            (Scripted::StartAgain { same }, Some(r))
                if checks::outcome_of(&self.journal, &r.key).is_none() || !same =>
            {
                let mut request = r.request.clone();
                if !same {
                    request.note = Some("other".into());
                }
                self.input(Input::Start { call: 0, key: r.key, request: Box::new(request) });
            }
            (Scripted::CancelKey, _) => self.input(Input::Key(Key::Cancel)),
            (Scripted::Cancel(by), Some(r)) => self.input(Input::Cancel { call: 0, key: r.key, by }),
            (Scripted::Retry, _) => {
                let all: BTreeSet<u64> = self
                    .machine
                    .obligations()
                    .iter()
                    .filter(|o| !self.must_be_asked(o))
                    .map(|o| o.txn)
                    .collect();
                all.into_iter()
                    .for_each(|txn| self.input(Input::RetryObligation { call: 0, txn, by: "test".into() }));
            }
            (Scripted::Resolve, _) => {
                let stuck: BTreeSet<u64> = self
                    .machine
                    .obligations()
                    .iter()
                    .filter(|o| o.state == ObligationState::Stuck)
                    .map(|o| o.txn)
                    .collect();
                stuck.into_iter().for_each(|txn| self.ask_the_acquirer(txn));
            }
            (Scripted::Devices(there), _) => {
                let modes = if there { vec![EntryMode::Swipe, EntryMode::Code] } else { Vec::new() };
                self.input(Input::Devices { modes, pin_pad: there, printer: true });
            }
            (Scripted::Keys(keys), _) => self.keys(keys),
            (Scripted::Operators(request), _) => {
                self.next_call += 1;
                self.session_calls.insert(self.next_call);
                self.input(Input::Operators { call: self.next_call, request });
            }
            (Scripted::Queue(act), _) => self.press(act),
            (Scripted::PrinterReady, _) => self.input(Input::PrinterReady),
            (Scripted::Stale(tag, event), _) => self.input(Input::Host { tag, event }),
            (Scripted::Clock(ms), _) => {
                if !self.set_clock(ms) {
                    self.later(1_000, Event::Scripted(Scripted::Clock(ms)));
                }
            }
            (Scripted::TerminalDies, _) => self.terminal_dies(),
            (Scripted::SpoolerDies, _) => self.spooler_dies(),
            (Scripted::Reprint, _) => {
                if let Some((_, outcome)) = checks::outcomes(&self.journal).pop_last() {
                    self.input(Input::Reprint { call: 0, outcome: outcome.into(), copy: None });
                }
            }
            (Scripted::Report(scope), _) => {
                self.input(Input::PrintReport { call: 0, app: "shop".into(), scope })
            }
            (Scripted::Probe, _) => {
                let account = self.settings.accounts[0].config.id.clone();
                self.input(Input::Probe { call: 0, account });
            }
            (Scripted::Press(press, nth), _) => {
                let act = self.press_for(press, nth);
                self.press(act);
            }
            (Scripted::JournalTorn { records, marks }, _) => self.journal_torn(records, marks),
            (Scripted::EndRecovery, _) => {
                // Refused while a sign-in that asks about a batch has not ended.
                if self.batches_known() {
                    self.model.recovery_ended();
                }
                self.input(Input::Operators { call: 0, request: OperatorRequest::EndRecovery });
            }
            (Scripted::StartAgain { .. } | Scripted::Cancel(_), _) => {}
        }
    }

    /// One key after the other, as fast as a practised hand.
    fn keys(&mut self, keys: &str) {
        for (i, k) in (1..).zip(keys.bytes()) {
            let key = match k {
                b'c' => Key::Confirm,
                b'x' => Key::Cancel,
                b'l' => Key::Clear,
                digit => Key::Digit(digit),
            };
            self.later(20 * i, Event::Key(key));
        }
    }

    pub(super) fn next_order(&mut self) {
        if self.disk.down || self.machine.running().is_some() {
            return;
        }
        // The front door lets one Start in at a time, until it is answered.
        if !self.calls.is_empty() {
            return self.later(10, Event::Next);
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
        // So does one that a damaged journal has lost: it is refused for ever.
        if self.lost.contains(&key) {
            self.count("a lost key again");
            self.next_order += 1;
            return self.later(10, Event::Next);
        }
        assert!(self.answered.get(&key).is_none_or(Result::is_err), "invariant 5: {key}: answered, and lost");
        let wire = RequestWire {
            id: order.id.into(),
            kind: order.kind.name().into(),
            amount: order
                .amount
                .map(|a| Money::new(a, payterm_schema::Currency::CNY).expect("amount").value()),
            currency: order.amount.map(|_| "CNY".into()),
            account: (!order.kind.row().authorisation)
                .then(|| self.settings.accounts[0].config.id.as_str().into()),
            original_id: order.original.map(Into::into),
            auth_code: (order.kind == Kind::VoiceSale).then(|| "V12345".into()),
            ..RequestWire::default()
        };
        let request = Request::try_from(wire).expect("request");
        assert!(matches!(request.original, None | Some(Original::Id(_))));
        self.next_call += 1;
        self.calls.insert(self.next_call, key.clone());
        self.model.asked(&key, &request);
        self.input(Input::Start { call: self.next_call, key, request: Box::new(request) });
    }

    pub(super) fn call_answered(&mut self, call: u64, result: Result<(), Fault>) {
        match self.queue_calls.remove(&call).filter(|_| result.is_ok()) {
            Some(QueueAct::Hold { txn }) => self.model.held(txn, true),
            Some(QueueAct::Release { txn }) => self.model.held(txn, false),
            Some(QueueAct::WriteOff { txn, .. }) => self.model.given_up(txn, true),
            Some(QueueAct::Forward { .. }) | None => {}
        }
        if self.too_early.remove(&call) {
            assert!(
                matches!(result, Err(Fault::WrongState { .. } | Fault::StoreFailed { .. })),
                "invariant 5: resolved while a frame of it is open: {result:?}"
            );
        } else if self.session_calls.remove(&call) {
            self.sessions.push(result);
        } else if self.patience > 0
            && matches!(result, Err(Fault::NotLoggedOn | Fault::Busy { running: None }))
        {
            // The app waits until somebody has logged on.
            self.calls.remove(&call);
            self.later(1_000, Event::Next);
        } else if self.asked_again < 40
            && self.machine.state().recovering.is_some()
            && matches!(result, Err(Fault::JournalRestored { .. }))
        {
            // Somebody is at it, and then the shop goes on.
            self.asked_again += 1;
            self.calls.remove(&call);
            self.later(2_000, Event::Next);
        } else if let Some(key) = self.calls.remove(&call) {
            let again = matches!(result, Err(Fault::StoreFailed { .. } | Fault::Restarting { .. }));
            let refused = result.is_err() && !again;
            self.answered.insert(key, result);
            if refused {
                self.next_order += 1;
                self.later(10, Event::Next);
            }
        }
    }

    /// Callers who wait hear that the store failed.
    pub(super) fn stores_failed(&mut self) {
        for call in self.calls.keys().copied().collect::<Vec<_>>() {
            self.call_answered(call, Err(Fault::StoreFailed { id: String::new(), cause: "disk".into() }));
        }
    }

    pub(super) fn show(&mut self, screen: Screen) {
        if matches!(screen, Screen::ConfirmPartial { .. }) {
            let key = if self.order().is_some_and(|o| o.customer == Customer::TakesPart) {
                Key::Confirm
            } else {
                Key::Cancel
            };
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
}

/// A vault of which nothing can be learnt: each answer is a plain function of the question.
pub(super) fn vault(tag: u64, ask: VaultAsk) -> VaultAnswer {
    let of = |operator: &OperatorId, password: &Password| {
        let turned: String = password.reveal().chars().rev().collect();
        Verifier::new(format!("{operator}:{turned}"))
    };
    match ask {
        VaultAsk::Check { operator, password, verifier } => {
            VaultAnswer::Checked(of(&operator, &password) == verifier)
        }
        VaultAsk::Verifier { operator, password } => VaultAnswer::Verifier(of(&operator, &password)),
        VaultAsk::Challenge => VaultAnswer::Challenge(format!("{:08}", 10_000_000 + tag % 1_000_000)),
        VaultAsk::CheckCode { challenge, code } => {
            VaultAnswer::Checked(service_code(&challenge) == code.reveal())
        }
    }
}

/// What customer service answers.
pub fn service_code(challenge: &str) -> String {
    challenge.chars().rev().collect()
}
