//! What is typed at the keypad when no customer is served: numbers, passwords, customer service's code. One
//! session at a time; each prompt has its own time-out. Also the supervisor's password in the middle of a
//! request.
//!
//! Invariant: a wrong password is on record before the screen says so, and before the next one can be
//! checked: cutting the power in between gains no try.
use super::{Keypad, VaultAnswer, VaultAsk, ask_vault, happened, log_off, wrong_password};
use crate::{
    Call,
    context::Context,
    signal::{Asked, Signal},
};
use payterm_schema::{
    Fault, Notice, Screen, Time,
    device::Key,
    notice::Phase,
    operator::{LoggedOffWhy, OperatorEvent, OperatorId, OperatorRequest, Purpose, Role},
    secret::{Password, ServiceCode, Typed, TypedAhead},
    time::Millis,
};

/// Wait after the first wrong code of customer service, doubling with each up to the last: a code of 8 digits
/// cannot be found by trying.
const CODE_WAIT_FIRST: Millis = Millis::secs(30);
const CODE_WAIT_MAX: Millis = Millis::secs(3600);

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
    /// Typed while the vault works, for the next prompt of this session and nobody else.
    ahead: TypedAhead,
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
    Approve(Asked),
    WriteOff(WriteOff),
    /// Customer service's code unlocks the terminal.
    Service,
}

/// What transaction `txn` owes is to be given up, as `by` asks.
#[derive(Clone, Debug)]
pub(crate) struct WriteOff {
    pub txn: u64,
    pub why: String,
    pub by: String,
    pub asked: Asked,
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

impl Session {
    pub fn prompt(&self) -> Option<Screen> {
        self.prompt.clone()
    }
}

impl Keypad {
    /// A request of the bus; answered when its session has ended.
    pub fn request(&mut self, cx: &mut Context, call: Call, request: OperatorRequest) {
        if let Err(fault) = self.begin_session(cx, call, request) {
            cx.answer(call, Err(fault));
        }
    }

    fn begin_session(&mut self, cx: &mut Context, call: Call, request: OperatorRequest) -> Result<(), Fault> {
        let wrong_state = |rule: &str| Fault::WrongState { rule: rule.into() };
        if request == OperatorRequest::EndRecovery {
            if cx.state.recovering.is_none() {
                return Err(wrong_state("the journal is not in recovery"));
            }
            // Where there are no operators, the manager on the bus has said it.
            cx.batches_known()?;
            if !cx.settings.operators.required {
                cx.end_recovery("manager".into());
                cx.answer(call, Ok(()));
                cx.signal(Signal::Rest);
                return Ok(());
            }
        }
        if !cx.settings.operators.required {
            return Err(wrong_state("this terminal works without operators (operators.required)"));
        }
        if cx.state.staff.locked.is_some() {
            return Err(Fault::TerminalLocked);
        }
        if cx.state.running.is_some() || !self.make_free(cx) {
            return Err(Fault::Busy { running: None });
        }
        let known = |id: &OperatorId| {
            cx.state.staff.operators.get(id).ok_or_else(|| Fault::not_found("operator", id.as_str()))
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
                if cx.state.staff.on_duty.is_none() {
                    return Err(Fault::NotLoggedOn);
                }
                log_off(cx, LoggedOffWhy::Asked);
                cx.answer(call, Ok(()));
                cx.signal(Signal::Rest);
                return Ok(());
            }
            OperatorRequest::LogOn { operator } => {
                if known(&operator)?.locked {
                    return Err(Fault::OperatorLocked { operator: operator.to_string() });
                }
                self.open_at(cx, Some(call), Task::LogOn, At::Password { operator, purpose: Purpose::LogOn });
                return Ok(());
            }
            OperatorRequest::ChangePassword => {
                let operator = cx.state.staff.on_duty.clone().ok_or(Fault::NotLoggedOn)?;
                self.open_at(
                    cx,
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
                if cx.state.staff.on_duty.as_ref() == Some(&operator) {
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
        self.open(cx, Some(call), task);
        self.ask_supervisor(cx, Purpose::Manage);
        Ok(())
    }

    /// The running request waits for the supervisor.
    pub fn ask_approval(&mut self, cx: &mut Context, asked: Asked) {
        self.open_at(
            cx,
            None,
            Task::Approve(asked),
            At::Password { operator: OperatorId::supervisor(), purpose: Purpose::Approve },
        );
    }

    /// The supervisor is asked to give up what a transaction owes; answered when that is done, or not.
    pub fn ask_write_off(&mut self, cx: &mut Context, call: Call, write_off: WriteOff) {
        let fault = if cx.state.staff.locked.is_some() {
            Fault::TerminalLocked
        } else if cx.state.running.is_some() || !self.make_free(cx) {
            Fault::Busy { running: None }
        } else {
            self.open(cx, Some(call), Task::WriteOff(write_off));
            return self.ask_supervisor(cx, Purpose::WriteOff);
        };
        cx.answer(call, Err(fault));
    }

    /// A supervisor on duty has typed the password before.
    fn ask_supervisor(&mut self, cx: &mut Context, purpose: Purpose) {
        match cx.state.staff.on_duty.clone().filter(|o| o.role() >= Role::Supervisor) {
            Some(on_duty) => self.passed(cx, on_duty, purpose),
            None => self.go(cx, At::Password { operator: OperatorId::supervisor(), purpose }),
        }
    }

    /// Nothing is typed at the keypad; somebody who only began with a number is sent away.
    pub(super) fn make_free(&mut self, cx: &mut Context) -> bool {
        if matches!(&self.session, Some(Session { call: None, at: At::Number, .. })) {
            self.session = None;
            cx.signal(Signal::Rest);
        }
        self.session.is_none()
    }

    /// The request that waited for the supervisor has ended.
    pub fn approval_gone(&mut self) {
        if matches!(&self.session, Some(Session { task: Task::Approve(_), .. })) {
            self.session = None;
        }
    }

    fn open_at(&mut self, cx: &mut Context, call: Option<Call>, task: Task, at: At) {
        self.open(cx, call, task);
        self.go(cx, at);
    }
    fn open(&mut self, cx: &mut Context, call: Option<Call>, task: Task) {
        cx.signal(Signal::Begun);
        self.session = Some(Session {
            call,
            task,
            at: At::Number,
            typed: Typed::new(),
            until: cx.now,
            problem: None,
            prompt: None,
            ahead: TypedAhead::default(),
        });
    }

    /// The next prompt.
    fn go(&mut self, cx: &mut Context, at: At) {
        self.ask_again(cx, at, None);
    }

    fn ask_again(&mut self, cx: &mut Context, at: At, problem: Option<&'static str>) {
        let until = cx.after(cx.settings.operators.prompt_timeout_ms);
        let Some(s) = self.session.as_mut() else { return };
        s.typed.clear();
        (s.at, s.until, s.problem) = (at, until, problem);
        if let Some(screen) = self.session_screen(cx) {
            // The digits are not told one by one: only the display shows them.
            match cx.state.running.as_ref().map(|r| r.key.clone()) {
                Some(key) => cx.tell(Notice::Phase { key, phase: Phase::Approving, screen: screen.clone() }),
                None => cx.tell(Notice::Screen { screen: screen.clone() }),
            }
            self.prompt(screen);
        }
    }

    fn prompt(&mut self, screen: Screen) {
        if let Some(s) = self.session.as_mut() {
            s.prompt = Some(screen);
        }
    }

    fn session_screen(&self, cx: &Context) -> Option<Screen> {
        let s = self.session.as_ref()?;
        let (digits, problem) = (s.typed.count(), s.problem.map(Into::into));
        // Who allows something must see what.
        let asked = match &s.task {
            Task::WriteOff(WriteOff { asked, .. }) | Task::Approve(asked) => Some(asked),
            Task::LogOn
            | Task::Change
            | Task::Add(_)
            | Task::Remove(_)
            | Task::Unlock(_)
            | Task::EndRecovery
            | Task::Service => None,
        };
        let password = |operator: &OperatorId, purpose| {
            let asked = asked.filter(|_| matches!(purpose, Purpose::Approve | Purpose::WriteOff));
            Screen::Password {
                operator: operator.clone(),
                purpose,
                kind: asked.map(|a| a.kind),
                amount: asked.and_then(|a| a.amount),
                voucher: asked.and_then(|a| a.voucher),
                asked_by: asked.and_then(|a| a.by.clone()),
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
            At::Code => cx.state.staff.locked.clone().map(|lock| Screen::Locked { lock, digits, problem }),
            At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. } => None,
        }
    }

    /// False: the key was not for the keypad's own sessions.
    pub fn key(&mut self, cx: &mut Context, key: Key) -> bool {
        if self.session.is_none() {
            let digit = matches!(key, Key::Digit(_));
            if !cx.settings.operators.required || cx.state.running.is_some() || !digit {
                return false;
            }
            match cx.state.staff.locked.as_ref().map(|l| l.challenge.is_some()) {
                None => self.open_at(cx, None, Task::LogOn, At::Number),
                Some(true) => self.open_at(cx, None, Task::Service, At::Code),
                Some(false) => return true, // Without a challenge there is no code yet.
            }
        }
        let Some(s) = self.session.as_mut() else { return false };
        match (&s.at, key) {
            // What is being checked cannot be taken back: a wrong try counts.
            (At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. }, key) => {
                s.ahead.push(key);
            }
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Clear) => {
                s.typed.clear();
                if let Some(screen) = self.session_screen(cx) {
                    self.prompt(screen);
                }
            }
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Cancel) => {
                self.close(cx, Err(Fault::NotDone { rule: "cancelled at the keypad".into() }))
            }
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Confirm) => {
                self.confirm_typed(cx)
            }
            (At::Number | At::Password { .. } | At::New(_) | At::Code, Key::Digit(d)) => {
                s.typed.push(d);
                if let Some(screen) = self.session_screen(cx) {
                    self.prompt(screen);
                }
            }
        }
        true
    }

    fn confirm_typed(&mut self, cx: &mut Context) {
        let Some(s) = self.session.as_ref() else { return };
        let at = s.at.clone();
        let password = Password::parse(s.typed.reveal());
        match at {
            At::Number => {
                let found = OperatorId::new(s.typed.reveal()).ok();
                match found.and_then(|id| cx.state.staff.operators.get(&id).map(|o| (id, o.locked))) {
                    None => self.ask_again(cx, At::Number, Some("operator-unknown")),
                    Some((operator, true)) => {
                        self.close(cx, Err(Fault::OperatorLocked { operator: operator.to_string() }))
                    }
                    Some((operator, false)) => {
                        self.go(cx, At::Password { operator, purpose: Purpose::LogOn })
                    }
                }
            }
            At::Password { operator, purpose } => {
                let verifier = cx.state.staff.operators.get(&operator).map(|o| o.verifier.clone());
                match (password, verifier) {
                    (_, None) => self.close(cx, Err(Fault::not_found("operator", operator.as_str()))),
                    (None, _) => self.ask_again(cx, At::Password { operator, purpose }, Some("six-digits")),
                    (Some(password), Some(verifier)) => {
                        let tag = ask_vault(
                            cx,
                            VaultAsk::Check {
                                operator: operator.clone(),
                                password: password.clone(),
                                verifier,
                            },
                        );
                        self.go(cx, At::Checking { tag, operator, purpose, password });
                    }
                }
            }
            At::New(new) => self.new_password(cx, new, password),
            At::Code => match (
                ServiceCode::parse(s.typed.reveal()),
                cx.state.staff.locked.as_ref().and_then(|l| l.challenge.clone()),
            ) {
                (_, None) => self.close(cx, Ok(())),
                (None, _) => self.ask_again(cx, At::Code, Some("eight-digits")),
                (Some(_), _) if code_not_before(cx) > cx.now => {
                    self.ask_again(cx, At::Code, Some("code-too-soon"))
                }
                (Some(code), Some(challenge)) => {
                    let tag = ask_vault(cx, VaultAsk::CheckCode { challenge, code });
                    self.go(cx, At::CheckingCode { tag });
                }
            },
            At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. } => {}
        }
    }

    fn new_password(&mut self, cx: &mut Context, new: New, typed: Option<Password>) {
        let once_more = New { first: None, ..new.clone() };
        let Some(typed) = typed else { return self.ask_again(cx, At::New(new), Some("six-digits")) };
        match &new.first {
            None if typed.is_weak() => self.ask_again(cx, At::New(new), Some("password-weak")),
            None if new.old.as_ref() == Some(&typed) => {
                self.ask_again(cx, At::New(new), Some("password-same"))
            }
            None => self.go(cx, At::New(New { first: Some(typed), ..new })),
            Some(first) if *first != typed => {
                self.ask_again(cx, At::New(once_more), Some("passwords-differ"))
            }
            Some(_) => {
                let tag =
                    ask_vault(cx, VaultAsk::Verifier { operator: new.operator.clone(), password: typed });
                self.go(cx, At::Making { tag, new: New { old: None, ..once_more } });
            }
        }
    }

    /// The vault has answered a question of the session.
    pub(super) fn session_answer(&mut self, cx: &mut Context, tag: u64, answer: VaultAnswer) {
        self.session_answered(cx, tag, answer);
        self.type_ahead(cx);
    }

    /// What was typed meanwhile goes into the prompts of this session, until the vault works again. Behind a
    /// try that failed nothing was meant for the next one.
    fn type_ahead(&mut self, cx: &mut Context) {
        while let Some(s) = &mut self.session
            && !matches!(s.at, At::Checking { .. } | At::Making { .. } | At::CheckingCode { .. })
        {
            if s.problem.is_some() {
                s.ahead.clear();
            }
            let Some(key) = s.ahead.take() else { return };
            self.key(cx, key);
        }
    }

    fn session_answered(&mut self, cx: &mut Context, tag: u64, answer: VaultAnswer) {
        let Some(s) = &self.session else { return };
        match (s.at.clone(), answer) {
            (
                At::Checking { tag: t, .. } | At::Making { tag: t, .. } | At::CheckingCode { tag: t },
                VaultAnswer::Failed(why),
            ) if t == tag => {
                self.close(cx, Err(Fault::NotDone { rule: format!("the vault failed: {why}") }));
            }
            (At::Checking { tag: t, operator, purpose, .. }, VaultAnswer::Checked(false)) if t == tag => {
                happened(cx, OperatorEvent::Wrong { operator: operator.clone(), purpose });
                match wrong_password(cx, &operator) {
                    Some(fault) => self.close(cx, Err(fault)),
                    None => {
                        let wrong = cx.state.staff.operators.get(&operator).map_or(0, |o| o.wrong);
                        let last = wrong.saturating_add(1) >= cx.settings.operators.max_wrong;
                        self.ask_again(
                            cx,
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
                let forced = cx.state.staff.operators.get(&operator).is_some_and(|o| o.must_change);
                let used = if forced { Purpose::Change } else { purpose };
                happened(cx, OperatorEvent::Right { operator: operator.clone(), purpose: used });
                if used == Purpose::Change {
                    let then = Some(purpose).filter(|p| *p != Purpose::Change);
                    self.go(
                        cx,
                        At::New(New {
                            operator: operator.clone(),
                            by: operator,
                            old: Some(password),
                            first: None,
                            then,
                        }),
                    );
                } else {
                    self.passed(cx, operator, purpose);
                }
            }
            (At::Making { tag: t, new }, VaultAnswer::Verifier(verifier)) if t == tag => {
                let New { operator, by, then, .. } = new;
                // A password that another operator typed is known to two people.
                let must_change = operator != by;
                happened(
                    cx,
                    OperatorEvent::Set { operator: operator.clone(), verifier, must_change, by: Some(by) },
                );
                let Some(purpose) = then else { return self.close(cx, Ok(())) };
                happened(cx, OperatorEvent::Right { operator: operator.clone(), purpose });
                self.passed(cx, operator, purpose);
            }
            (At::CheckingCode { tag: t }, VaultAnswer::Checked(right)) if t == tag => {
                let by = cx.state.staff.locked.as_ref().map(|l| l.by.clone());
                match by.filter(|_| right) {
                    Some(by) => {
                        happened(cx, OperatorEvent::TerminalUnlocked { by });
                        self.close(cx, Ok(()));
                    }
                    None => {
                        wrong_code(cx);
                        self.ask_again(cx, At::Code, Some("code-wrong"));
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
    fn passed(&mut self, cx: &mut Context, operator: OperatorId, purpose: Purpose) {
        let Some(task) = self.session.as_ref().map(|s| s.task.clone()) else { return };
        match (task, purpose) {
            (Task::LogOn, Purpose::LogOn) => {
                if cx.state.staff.on_duty.as_ref() != Some(&operator) {
                    log_off(cx, LoggedOffWhy::Relieved);
                    happened(cx, OperatorEvent::LoggedOn { operator });
                }
                self.close(cx, Ok(()));
            }
            (Task::Add(new), Purpose::Manage) => {
                self.go(cx, At::New(New { operator: new, by: operator, old: None, first: None, then: None }))
            }
            (Task::Remove(gone), Purpose::Manage) => {
                happened(cx, OperatorEvent::Removed { operator: gone, by: operator });
                self.close(cx, Ok(()));
            }
            (Task::Unlock(of), Purpose::Manage) => {
                happened(cx, OperatorEvent::Unlocked { operator: of, by: operator });
                self.close(cx, Ok(()));
            }
            (Task::EndRecovery, Purpose::Manage) => {
                // A host may have spoken meanwhile.
                let known = cx.batches_known();
                if known.is_ok() {
                    cx.end_recovery(operator.to_string());
                }
                self.close(cx, known);
            }
            (Task::Approve(_), Purpose::Approve) => self.close(cx, Ok(())),
            // Answered by whoever does it.
            (Task::WriteOff(WriteOff { txn, why, by, .. }), Purpose::WriteOff) => {
                let call = self.session.take().and_then(|s| s.call);
                cx.signal(Signal::WriteOff { call, txn, why, by: format!("{operator} ({by})") });
            }
            (
                Task::LogOn
                | Task::Change
                | Task::Add(_)
                | Task::Remove(_)
                | Task::Unlock(_)
                | Task::EndRecovery
                | Task::Approve(_)
                | Task::WriteOff(_)
                | Task::Service,
                Purpose::LogOn
                | Purpose::Change
                | Purpose::Manage
                | Purpose::Approve
                | Purpose::WriteOff
                | Purpose::New
                | Purpose::NewAgain,
            ) => self
                .close(cx, Err(Fault::NotDone { rule: "the password was typed for something else".into() })),
        }
    }

    pub(super) fn session_until(&self) -> Option<Time> {
        self.session.as_ref().map(|s| s.until)
    }
    pub(super) fn session_timed_out(&mut self, cx: &mut Context) {
        self.close(cx, Err(Fault::NotDone { rule: "nothing was typed in time".into() }));
    }

    /// Ends the session: who asked is answered, the display is free or the request goes on.
    fn close(&mut self, cx: &mut Context, result: Result<(), Fault>) {
        let Some(s) = self.session.take() else { return };
        if let Some(call) = s.call {
            cx.answer(call, result.clone());
        }
        match (s.task, result) {
            (Task::Approve(_), Ok(())) => cx.signal(Signal::Approved),
            (Task::Approve(_), Err(_)) => cx.signal(Signal::Denied),
            (_, Err(Fault::OperatorLocked { .. })) => {
                cx.signal(Signal::Show(Box::new(Screen::Trouble { what: "operator-locked".into() })))
            }
            (_, Ok(()) | Err(_)) => cx.signal(Signal::Rest),
        }
    }
}

/// Before it no code is taken. A time further away than any wait was set by another clock (set back
/// since): then now.
fn code_not_before(cx: &Context) -> Time {
    let not_before = cx.state.staff.locked.as_ref().map_or(cx.now, |l| l.not_before);
    if not_before.since(cx.now) > CODE_WAIT_MAX { cx.now } else { not_before }
}

fn wrong_code(cx: &mut Context) {
    let wrong = cx.state.staff.locked.as_ref().map_or(0, |l| l.wrong).min(16);
    let wait = Millis((CODE_WAIT_FIRST.0 << wrong).min(CODE_WAIT_MAX.0));
    happened(cx, OperatorEvent::CodeWrong { not_before: cx.now + wait });
}
