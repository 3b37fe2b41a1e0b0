//! What is typed at the keypad when no customer is served: numbers, passwords, customer service's code. One
//! session at a time; each prompt has its own time-out. Also the supervisor's password in the middle of a
//! request.
//!
//! Invariant: a wrong password is on record before the screen says so, and before the next one can be
//! checked: cutting the power in between gains no try.
use super::{VaultAnswer, VaultAsk};
use crate::{Call, Machine};
use payterm_schema::{
    Fault, Kind, Money, Notice, Screen, Status, Time,
    device::Key,
    operator::{LoggedOffWhy, OperatorEvent, OperatorId, OperatorRequest, Purpose, Role},
    outcome::Class,
    secret::{Password, ServiceCode, Typed},
};

#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Who waits for its end on the bus; none when it was begun at the keypad.
    call: Option<Call>,
    task: Task,
    at: At,
    typed: Typed,
    until: Time,
    /// Text id of the last failed try.
    problem: Option<&'static str>,
    /// The last prompt; none before the first one.
    prompt: Option<Screen>,
}

#[derive(Clone, Debug)]
enum Task {
    LogOn,
    Change,
    Add(OperatorId),
    Remove(OperatorId),
    Unlock(OperatorId),
    EndRecovery,
    /// The supervisor allows the running request.
    Approve,
    /// The supervisor gives up what transaction `txn` owes, as `by` asked.
    WriteOff {
        txn: u64,
        why: String,
        by: String,
        kind: Kind,
        amount: Option<Money>,
    },
    /// Customer service's code unlocks the terminal.
    Service,
}

#[derive(Clone, Debug)]
enum At {
    Number,
    Password { operator: OperatorId, purpose: Purpose },
    Checking { tag: u64, operator: OperatorId, purpose: Purpose, password: Password },
    New(New),
    Making { tag: u64, new: New },
    Code,
    CheckingCode { tag: u64 },
}

/// A new password on its way.
#[derive(Clone, Debug)]
struct New {
    operator: OperatorId,
    by: OperatorId,
    /// The one that it must not be.
    old: Option<Password>,
    /// As it was typed the first time.
    first: Option<Password>,
    /// Goes on to what the old password was typed for, which had to be changed first.
    then: Option<Purpose>,
}

impl Machine {
    /// A request of the bus; answered when its session has ended.
    pub(crate) fn operators(&mut self, call: Call, request: OperatorRequest) {
        if let Err(fault) = self.begin_session(call, request) {
            self.answer(call, Err(fault));
        }
    }

    fn begin_session(&mut self, call: Call, request: OperatorRequest) -> Result<(), Fault> {
        let wrong_state = |rule: &str| Fault::WrongState { rule: rule.into() };
        if request == OperatorRequest::EndRecovery {
            if self.state.recovering.is_none() {
                return Err(wrong_state("the journal is not in recovery"));
            }
            // Where there are no operators, the manager on the bus has said it.
            self.batches_known()?;
            if !self.settings.operators.required {
                self.recovery_ended("manager".into());
                self.answer(call, Ok(()));
                self.rest();
                return Ok(());
            }
        }
        if !self.settings.operators.required {
            return Err(wrong_state("this terminal works without operators (operators.required)"));
        }
        if self.state.staff.locked.is_some() {
            return Err(Fault::TerminalLocked);
        }
        if self.state.running.is_some() || !self.desk_is_free() {
            return Err(Fault::Busy { running: None });
        }
        let known = |id: &OperatorId| {
            self.state.staff.operators.get(id).ok_or_else(|| Fault::not_found("operator", id.as_str()))
        };
        let cashier = |id: &OperatorId| {
            if id.role() == Role::Cashier {
                Ok(())
            } else {
                Err(Fault::invalid("operator", "a cashier: 01 to 89"))
            }
        };
        let task = match request {
            OperatorRequest::LogOff => {
                if self.state.staff.on_duty.is_none() {
                    return Err(Fault::NotLoggedOn);
                }
                self.log_off(LoggedOffWhy::Asked);
                self.answer(call, Ok(()));
                self.rest();
                return Ok(());
            }
            OperatorRequest::LogOn { operator } => {
                if known(&operator)?.locked {
                    return Err(Fault::OperatorLocked { operator: operator.to_string() });
                }
                self.open_session(
                    Some(call),
                    Task::LogOn,
                    At::Password { operator, purpose: Purpose::LogOn },
                );
                return Ok(());
            }
            OperatorRequest::ChangePassword => {
                let operator = self.state.staff.on_duty.clone().ok_or(Fault::NotLoggedOn)?;
                self.open_session(
                    Some(call),
                    Task::Change,
                    At::Password { operator, purpose: Purpose::Change },
                );
                return Ok(());
            }
            OperatorRequest::Add { operator } => {
                cashier(&operator)?;
                if known(&operator).is_ok() {
                    return Err(wrong_state("there is an operator of this number"));
                }
                Task::Add(operator)
            }
            OperatorRequest::Remove { operator } => {
                cashier(&operator)?;
                known(&operator)?;
                if self.state.staff.on_duty.as_ref() == Some(&operator) {
                    return Err(wrong_state("the operator is on duty"));
                }
                Task::Remove(operator)
            }
            OperatorRequest::Unlock { operator } => {
                if !known(&operator)?.locked {
                    return Err(wrong_state("the operator is not locked"));
                }
                Task::Unlock(operator)
            }
            OperatorRequest::EndRecovery => Task::EndRecovery,
        };
        self.sit_down(Some(call), task);
        // A supervisor on duty has typed the password before.
        match self.state.staff.on_duty.clone().filter(|o| o.role() >= Role::Supervisor) {
            Some(on_duty) => self.passed(on_duty, Purpose::Manage),
            None => self.go(At::Password { operator: OperatorId::supervisor(), purpose: Purpose::Manage }),
        }
        Ok(())
    }

    /// The running request waits for the supervisor.
    pub(crate) fn ask_approval(&mut self) {
        self.open_session(
            None,
            Task::Approve,
            At::Password { operator: OperatorId::supervisor(), purpose: Purpose::Approve },
        );
    }

    /// Without operators a manager's word is enough.
    pub(crate) fn ask_write_off(&mut self, call: Call, txn: u64, why: String, by: String) {
        let free = !self.settings.operators.required || (self.state.running.is_none() && self.desk_is_free());
        let checked = self.may_write_off(txn, &why).and_then(|what| match &self.state.staff.locked {
            Some(_) if self.settings.operators.required => Err(Fault::TerminalLocked),
            Some(_) | None if free => Ok(what),
            Some(_) | None => Err(Fault::Busy { running: None }),
        });
        let (kind, amount) = match checked {
            Ok(what) => what,
            Err(fault) => return self.answer(call, Err(fault)),
        };
        if !self.settings.operators.required {
            let result = self.write_off(txn, &why, &by);
            return self.answer(call, result);
        }
        self.sit_down(Some(call), Task::WriteOff { txn, why, by, kind, amount });
        match self.state.staff.on_duty.clone().filter(|o| o.role() >= Role::Supervisor) {
            Some(on_duty) => self.passed(on_duty, Purpose::WriteOff),
            None => self.go(At::Password { operator: OperatorId::supervisor(), purpose: Purpose::WriteOff }),
        }
    }

    /// Nothing is typed at the keypad; somebody who only began with a number is sent away.
    pub(super) fn desk_is_free(&mut self) -> bool {
        if matches!(&self.desk.session, Some(Session { call: None, at: At::Number, .. })) {
            self.desk.session = None;
            self.rest();
        }
        self.desk.session.is_none()
    }

    /// The request that waited for the supervisor has ended.
    pub(crate) fn approval_gone(&mut self) {
        if matches!(&self.desk.session, Some(Session { task: Task::Approve, .. })) {
            self.desk.session = None;
        }
    }

    fn open_session(&mut self, call: Option<Call>, task: Task, at: At) {
        self.sit_down(call, task);
        self.go(at);
    }
    fn sit_down(&mut self, call: Option<Call>, task: Task) {
        self.timed = None;
        self.desk.session = Some(Session {
            call,
            task,
            at: At::Number,
            typed: Typed::new(),
            until: self.now,
            problem: None,
            prompt: None,
        });
    }

    /// The next prompt.
    fn go(&mut self, at: At) {
        self.ask_again(at, None);
    }

    fn ask_again(&mut self, at: At, problem: Option<&'static str>) {
        let until = self.after(self.settings.operators.prompt_timeout_ms);
        let Some(s) = self.desk.session.as_mut() else { return };
        s.typed.clear();
        (s.at, s.until, s.problem) = (at, until, problem);
        if let Some(screen) = self.session_screen() {
            // The digits are not told one by one: only the display shows them.
            match self.state.running.as_ref().map(|r| r.key.clone()) {
                Some(key) => self.tell(Notice::Phase { key, phase: self.phase(), screen: screen.clone() }),
                None => self.tell(Notice::Screen { screen: screen.clone() }),
            }
            self.prompt(screen);
        }
    }

    fn prompt(&mut self, screen: Screen) {
        if let Some(s) = self.desk.session.as_mut() {
            s.prompt = Some(screen);
        }
    }

    /// What is asked at the keypad. While the vault works it stays as it was typed.
    pub(crate) fn keypad_screen(&self) -> Option<Screen> {
        self.desk.session.as_ref()?.prompt.clone()
    }

    fn session_screen(&self) -> Option<Screen> {
        let s = self.desk.session.as_ref()?;
        let (digits, problem) = (s.typed.count(), s.problem.map(Into::into));
        // Who allows something must see what.
        let asked = match &s.task {
            Task::WriteOff { kind, amount, .. } => Some((*kind, *amount)),
            Task::Approve => self.state.running.as_ref().map(|r| (r.request.kind, r.request.amount)),
            Task::LogOn
            | Task::Change
            | Task::Add(_)
            | Task::Remove(_)
            | Task::Unlock(_)
            | Task::EndRecovery
            | Task::Service => None,
        };
        let password = |operator: &OperatorId, purpose| {
            let (kind, amount) =
                asked.filter(|_| matches!(purpose, Purpose::Approve | Purpose::WriteOff)).unzip();
            Screen::Password {
                operator: operator.clone(),
                purpose,
                kind,
                amount: amount.flatten(),
                digits,
                problem: s.problem.map(Into::into),
            }
        };
        match &s.at {
            At::Number => {
                Some(Screen::OperatorNumber { typed: s.typed.reveal().chars().take(2).collect(), problem })
            }
            At::Password { operator, purpose } => Some(password(operator, *purpose)),
            At::New(new) => Some(password(
                &new.operator,
                if new.first.is_some() { Purpose::NewAgain } else { Purpose::New },
            )),
            At::Code => self.state.staff.locked.clone().map(|lock| Screen::Locked { lock, digits, problem }),
            At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. } => None,
        }
    }

    /// True when the key was for the desk.
    pub(crate) fn desk_key(&mut self, key: Key) -> bool {
        if self.desk.session.is_none() {
            let digit = matches!(key, Key::Digit(_));
            if !self.settings.operators.required || self.flow.is_some() || !digit {
                return false;
            }
            match self.state.staff.locked.as_ref().map(|l| l.challenge.is_some()) {
                None => self.open_session(None, Task::LogOn, At::Number),
                Some(true) => self.open_session(None, Task::Service, At::Code),
                Some(false) => return true, // Without a challenge there is no code yet.
            }
        }
        let Some(s) = self.desk.session.as_mut() else { return false };
        match (&s.at, key) {
            // What is being checked cannot be taken back: a wrong try counts.
            (At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. }, _) => {}
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Cancel) => {
                self.close(Err(Fault::NotDone { rule: "cancelled at the keypad".into() }))
            }
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Confirm) => self.confirm_typed(),
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Digit(d)) => {
                s.typed.push(d);
                if let Some(screen) = self.session_screen() {
                    self.prompt(screen);
                }
            }
        }
        true
    }

    fn confirm_typed(&mut self) {
        let Some(s) = self.desk.session.as_ref() else { return };
        let at = s.at.clone();
        let password = Password::parse(s.typed.reveal());
        match at {
            At::Number => {
                let found = OperatorId::new(s.typed.reveal()).ok();
                match found.and_then(|id| self.state.staff.operators.get(&id).map(|o| (id, o.locked))) {
                    None => self.ask_again(At::Number, Some("operator-unknown")),
                    Some((operator, true)) => {
                        self.close(Err(Fault::OperatorLocked { operator: operator.to_string() }))
                    }
                    Some((operator, false)) => self.go(At::Password { operator, purpose: Purpose::LogOn }),
                }
            }
            At::Password { operator, purpose } => {
                let verifier = self.state.staff.operators.get(&operator).map(|o| o.verifier.clone());
                match (password, verifier) {
                    (_, None) => self.close(Err(Fault::not_found("operator", operator.as_str()))),
                    (None, _) => self.ask_again(At::Password { operator, purpose }, Some("six-digits")),
                    (Some(password), Some(verifier)) => {
                        let tag = self.ask_vault(VaultAsk::Check {
                            operator: operator.clone(),
                            password: password.clone(),
                            verifier,
                        });
                        self.go(At::Checking { tag, operator, purpose, password });
                    }
                }
            }
            At::New(new) => self.new_password(new, password),
            At::Code => match (
                ServiceCode::parse(s.typed.reveal()),
                self.state.staff.locked.as_ref().and_then(|l| l.challenge.clone()),
            ) {
                (_, None) => self.close(Ok(())),
                (None, _) => self.ask_again(At::Code, Some("eight-digits")),
                (Some(_), _) if self.code_not_before() > self.now => {
                    self.ask_again(At::Code, Some("code-too-soon"))
                }
                (Some(code), Some(challenge)) => {
                    let tag = self.ask_vault(VaultAsk::CheckCode { challenge, code });
                    self.go(At::CheckingCode { tag });
                }
            },
            At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. } => {}
        }
    }

    fn new_password(&mut self, new: New, typed: Option<Password>) {
        let once_more = New { first: None, ..new.clone() };
        let Some(typed) = typed else { return self.ask_again(At::New(new), Some("six-digits")) };
        match &new.first {
            None if typed.is_weak() => self.ask_again(At::New(new), Some("password-weak")),
            None if new.old.as_ref() == Some(&typed) => self.ask_again(At::New(new), Some("password-same")),
            None => self.go(At::New(New { first: Some(typed), ..new })),
            Some(first) if *first != typed => self.ask_again(At::New(once_more), Some("passwords-differ")),
            Some(_) => {
                let tag =
                    self.ask_vault(VaultAsk::Verifier { operator: new.operator.clone(), password: typed });
                self.go(At::Making { tag, new: New { old: None, ..once_more } });
            }
        }
    }

    /// The vault has answered a question of the session.
    pub(super) fn session_answer(&mut self, tag: u64, answer: VaultAnswer) {
        let Some(s) = &self.desk.session else { return };
        match (s.at.clone(), answer) {
            (
                At::Checking { tag: t, .. } | At::Making { tag: t, .. } | At::CheckingCode { tag: t },
                VaultAnswer::Failed(why),
            ) if t == tag => {
                self.close(Err(Fault::NotDone { rule: format!("the vault failed: {why}") }));
            }
            (At::Checking { tag: t, operator, purpose, .. }, VaultAnswer::Checked(false)) if t == tag => {
                self.happened(OperatorEvent::Wrong { operator: operator.clone(), purpose });
                match self.wrong_password(&operator) {
                    Some(fault) => self.close(Err(fault)),
                    None => {
                        let wrong = self.state.staff.operators.get(&operator).map_or(0, |o| o.wrong);
                        let last = wrong.saturating_add(1) >= self.settings.operators.max_wrong;
                        self.ask_again(
                            At::Password { operator, purpose },
                            Some(if last { "last-try" } else { "password-wrong" }),
                        );
                    }
                }
            }
            (At::Checking { tag: t, operator, purpose, password }, VaultAnswer::Checked(true))
                if t == tag =>
            {
                // A password that must be changed is good for nothing else before that is done.
                let forced = self.state.staff.operators.get(&operator).is_some_and(|o| o.must_change);
                let used = if forced { Purpose::Change } else { purpose };
                self.happened(OperatorEvent::Right { operator: operator.clone(), purpose: used });
                if used == Purpose::Change {
                    let then = Some(purpose).filter(|p| *p != Purpose::Change);
                    self.go(At::New(New {
                        operator: operator.clone(),
                        by: operator,
                        old: Some(password),
                        first: None,
                        then,
                    }));
                } else {
                    self.passed(operator, purpose);
                }
            }
            (At::Making { tag: t, new }, VaultAnswer::Verifier(verifier)) if t == tag => {
                let New { operator, by, then, .. } = new;
                // A password that another operator typed is known to two people.
                let must_change = operator != by;
                self.happened(OperatorEvent::Set {
                    operator: operator.clone(),
                    verifier,
                    must_change,
                    by: Some(by),
                });
                let Some(purpose) = then else { return self.close(Ok(())) };
                self.happened(OperatorEvent::Right { operator: operator.clone(), purpose });
                self.passed(operator, purpose);
            }
            (At::CheckingCode { tag: t }, VaultAnswer::Checked(right)) if t == tag => {
                let by = self.state.staff.locked.as_ref().map(|l| l.by.clone());
                match by.filter(|_| right) {
                    Some(by) => {
                        self.happened(OperatorEvent::TerminalUnlocked { by });
                        self.close(Ok(()));
                    }
                    None => {
                        self.wrong_code();
                        self.ask_again(At::Code, Some("code-wrong"));
                    }
                }
            }
            // An answer to a session that is gone.
            (
                _,
                VaultAnswer::Failed(_)
                | VaultAnswer::Checked(_)
                | VaultAnswer::Verifier(_)
                | VaultAnswer::Challenge(_),
            ) => {}
        }
    }

    /// The operator's password was right, and needs no change: on to what it was typed for.
    fn passed(&mut self, operator: OperatorId, purpose: Purpose) {
        let Some(task) = self.desk.session.as_ref().map(|s| s.task.clone()) else { return };
        match (task, purpose) {
            (Task::LogOn, Purpose::LogOn) => {
                if self.state.staff.on_duty.as_ref() != Some(&operator) {
                    self.log_off(LoggedOffWhy::Relieved);
                    self.happened(OperatorEvent::LoggedOn { operator });
                }
                self.close(Ok(()));
            }
            (Task::Add(new), Purpose::Manage) => {
                self.go(At::New(New { operator: new, by: operator, old: None, first: None, then: None }))
            }
            (Task::Remove(gone), Purpose::Manage) => {
                self.happened(OperatorEvent::Removed { operator: gone, by: operator });
                self.close(Ok(()));
            }
            (Task::Unlock(of), Purpose::Manage) => {
                self.happened(OperatorEvent::Unlocked { operator: of, by: operator });
                self.close(Ok(()));
            }
            (Task::EndRecovery, Purpose::Manage) => {
                // A host may have spoken meanwhile.
                let known = self.batches_known();
                if known.is_ok() {
                    self.recovery_ended(operator.to_string());
                }
                self.close(known);
            }
            (Task::Approve, Purpose::Approve) => self.close(Ok(())),
            (Task::WriteOff { txn, why, by, .. }, Purpose::WriteOff) => {
                let result = self.write_off(txn, &why, &format!("{operator} ({by})"));
                self.close(result);
            }
            (
                Task::LogOn
                | Task::Change
                | Task::Add(_)
                | Task::Remove(_)
                | Task::Unlock(_)
                | Task::EndRecovery
                | Task::Approve
                | Task::WriteOff { .. }
                | Task::Service,
                Purpose::LogOn
                | Purpose::Change
                | Purpose::Manage
                | Purpose::Approve
                | Purpose::WriteOff
                | Purpose::New
                | Purpose::NewAgain,
            ) => self.close(Err(Fault::NotDone { rule: "the password was typed for something else".into() })),
        }
    }

    pub(super) fn session_until(&self) -> Option<Time> {
        self.desk.session.as_ref().map(|s| s.until)
    }
    pub(super) fn session_timed_out(&mut self) {
        self.close(Err(Fault::NotDone { rule: "nothing was typed in time".into() }));
    }

    /// Ends the session: who asked is answered, the display is free or the request goes on.
    fn close(&mut self, result: Result<(), Fault>) {
        let Some(s) = self.desk.session.take() else { return };
        if let Some(call) = s.call {
            self.answer(call, result.clone());
        }
        match (s.task, result) {
            (Task::Approve, Ok(())) => self.go_on(),
            (Task::Approve, Err(_)) => self.end(Status::Cancelled, "not-approved", Class::B),
            (_, Err(Fault::OperatorLocked { .. })) => self.show_trouble("operator-locked"),
            (_, Ok(()) | Err(_)) => self.rest(),
        }
    }
}
