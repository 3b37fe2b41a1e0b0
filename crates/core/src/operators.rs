//! Operators: the durable half (a fold over [`OperatorEvent`]s), who may start what, and the lock of the
//! terminal. What is typed at the keypad is in `desk.rs`.
mod desk;

use crate::{Effect, Machine};
use desk::Session;
use payterm_schema::{
    Fault, Kind, Notice, Screen, Time,
    kind::Right,
    operator::{
        LoggedOffWhy, OperatorEvent, OperatorId, OperatorInfo, Operators, Purpose, Role, TerminalLock,
    },
    secret::{Password, ServiceCode, Verifier},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The operators of a new terminal with their passwords, which are good for nothing but being changed (none
/// would be taken as a new one). In the order in which they are made: a terminal with a supervisor has had
/// them all.
fn first() -> [(OperatorId, &'static str); 3] {
    [
        (OperatorId::first_cashier(), "111111"),
        (OperatorId::administrator(), "999999"),
        (OperatorId::supervisor(), "000000"),
    ]
}
/// Before the vault, which failed, is asked again.
const VAULT_AGAIN: Millis = Millis::secs(10);
/// Wait after the first wrong code of customer service, doubling with each up to the last: a code of 8 digits
/// cannot be found by trying.
const CODE_WAIT_FIRST: Millis = Millis::secs(30);
const CODE_WAIT_MAX: Millis = Millis::secs(3600);

/// What the vault is asked; answered with the same tag. It works on a thread of its own: a password takes its
/// time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAsk {
    Check { operator: OperatorId, password: Password, verifier: Verifier },
    Verifier { operator: OperatorId, password: Password },
    Challenge,
    CheckCode { challenge: String, code: ServiceCode },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAnswer {
    /// The password or the code was right.
    Checked(bool),
    Verifier(Verifier),
    /// 8 digits.
    Challenge(String),
    /// The vault could not; the text holds nothing that was typed.
    Failed(String),
}

/// The durable half.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    pub operators: BTreeMap<OperatorId, Operator>,
    pub on_duty: Option<OperatorId>,
    pub locked: Option<TerminalLock>,
    /// The cashier of the shift: the last one who logged on. Supervisor and administrator work within a
    /// cashier's shift.
    #[serde(default)]
    pub shift_of: Option<OperatorId>,
    /// When the last record was made: how long a terminal that starts was out of use.
    pub seen: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub verifier: Verifier,
    pub must_change: bool,
    /// Wrong passwords in a row.
    pub wrong: u8,
    pub locked: bool,
}

impl Staff {
    pub(crate) fn apply(&mut self, at: Time, event: &OperatorEvent) {
        let change =
            |all: &mut BTreeMap<OperatorId, Operator>, id: &OperatorId, change: &dyn Fn(&mut Operator)| {
                if let Some(o) = all.get_mut(id) {
                    change(o);
                }
            };
        match event {
            OperatorEvent::Set { operator, verifier, must_change, .. } => {
                let locked = self.operators.get(operator).is_some_and(|o| o.locked);
                self.operators.insert(
                    operator.clone(),
                    Operator { verifier: verifier.clone(), must_change: *must_change, wrong: 0, locked },
                );
            }
            OperatorEvent::Removed { operator, .. } => drop(self.operators.remove(operator)),
            OperatorEvent::Wrong { operator, .. } => {
                change(&mut self.operators, operator, &|o| o.wrong = o.wrong.saturating_add(1))
            }
            OperatorEvent::Right { operator, .. } => change(&mut self.operators, operator, &|o| o.wrong = 0),
            OperatorEvent::Locked { operator } => change(&mut self.operators, operator, &|o| o.locked = true),
            OperatorEvent::Unlocked { operator, .. } => {
                change(&mut self.operators, operator, &|o| (o.wrong, o.locked) = (0, false))
            }
            OperatorEvent::LoggedOn { operator } => self.on_duty = Some(operator.clone()),
            OperatorEvent::LoggedOff { .. } => self.on_duty = None,
            OperatorEvent::TerminalLocked { by } => {
                self.locked = Some(TerminalLock {
                    since: at,
                    by: by.clone(),
                    challenge: None,
                    wrong: 0,
                    not_before: at,
                });
            }
            OperatorEvent::Challenged { challenge } => {
                if let Some(lock) = &mut self.locked {
                    lock.challenge = Some(challenge.clone());
                }
            }
            OperatorEvent::CodeWrong { not_before } => {
                if let Some(lock) = &mut self.locked {
                    (lock.wrong, lock.not_before) = (lock.wrong.saturating_add(1), *not_before);
                }
            }
            OperatorEvent::TerminalUnlocked { by } => {
                self.locked = None;
                change(&mut self.operators, by, &|o| (o.wrong, o.locked, o.must_change) = (0, false, true));
            }
        }
    }

    /// The number of the operator on duty; `otherwise` when there is none.
    pub fn number(&self, required: bool, otherwise: &str) -> String {
        self.on_duty.as_ref().filter(|_| required).map_or_else(|| otherwise.into(), ToString::to_string)
    }

    /// As faces show it.
    pub fn view(&self, required: bool) -> Operators {
        let info = |(id, o): (&OperatorId, &Operator)| OperatorInfo {
            operator: id.clone(),
            role: id.role(),
            on_duty: self.on_duty.as_ref() == Some(id),
            locked: o.locked,
            must_change: o.must_change,
            wrong: o.wrong,
        };
        Operators {
            required,
            on_duty: self.on_duty.clone(),
            locked: self.locked.clone(),
            operators: self.operators.iter().map(info).collect(),
        }
    }
}

/// The volatile half: what happens at the keypad, and what the vault does behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    session: Option<Session>,
    /// The vault makes a first operator or a challenge.
    making: Option<(u64, Making)>,
    /// The vault failed: not asked again before.
    not_before: Time,
    /// Of the last request, key or card.
    busy_at: Time,
}

#[derive(Clone, Debug)]
enum Making {
    Operator(OperatorId),
    Challenge,
}

/// Kinds that keep the terminal working: they need nobody.
fn needs_nobody(kind: Kind) -> bool {
    matches!(kind, Kind::SignIn | Kind::SignOff | Kind::Echo)
}

impl Machine {
    /// Whose number stands on records, slips and in F63.
    pub(crate) fn operator(&self) -> String {
        self.state.staff.number(self.settings.operators.required, &self.settings.operator)
    }

    /// May a request of this kind start? Nothing is on record yet.
    pub(crate) fn admit(&mut self, kind: Kind) -> Result<(), Fault> {
        if !self.settings.operators.required {
            return Ok(());
        }
        if self.state.staff.locked.is_some() {
            return Err(Fault::TerminalLocked);
        }
        if self.state.staff.on_duty.is_none() && !needs_nobody(kind) {
            return Err(Fault::NotLoggedOn);
        }
        if self.desk_is_free() { Ok(()) } else { Err(Fault::Busy { running: None }) }
    }

    /// The operator on duty may not do this alone.
    pub(crate) fn needs_approval(&self, kind: Kind) -> bool {
        let role = self.state.staff.on_duty.as_ref().map_or(Role::Cashier, OperatorId::role);
        self.settings.operators.required && kind.row().right == Right::Supervisor && role < Role::Supervisor
    }

    /// What the display shows when nobody is served.
    pub(crate) fn rest_screen(&self) -> Screen {
        let required = self.settings.operators.required;
        let trouble = |what: &str| Screen::Trouble { what: what.into() };
        match &self.state.staff {
            Staff { .. } if self.damaged.is_some() => trouble("journal-damaged"),
            Staff { .. } if self.state.recovering.is_some() => trouble("recovering"),
            Staff { locked: Some(lock), .. } if required => {
                Screen::Locked { lock: lock.clone(), digits: 0, problem: None }
            }
            Staff { .. } if self.settings.accounts.is_empty() => self.onboarding_page(),
            Staff { on_duty: None, .. } if required => Screen::LogOn,
            Staff { .. } => Screen::Idle,
        }
    }

    /// Somebody types, or the vault looks at what was typed.
    pub(crate) fn at_the_desk(&self) -> bool {
        self.desk.session.is_some()
    }

    /// The rest screen, unless a result still stands there or somebody is being served.
    pub(crate) fn rest(&mut self) {
        if self.timed.is_none() && self.flow.is_none() && self.desk.session.is_none() {
            self.tell(Notice::Screen { screen: self.rest_screen() });
        }
    }

    /// Journals it, and tells what the faces know of.
    fn happened(&mut self, event: OperatorEvent) {
        let told = matches!(
            event,
            OperatorEvent::LoggedOn { .. }
                | OperatorEvent::LoggedOff { .. }
                | OperatorEvent::TerminalLocked { .. }
                | OperatorEvent::TerminalUnlocked { .. }
        );
        let approval = matches!(
            event,
            OperatorEvent::Right { purpose: Purpose::Approve, .. }
                | OperatorEvent::Wrong { purpose: Purpose::Approve, .. }
        );
        let txn = self.state.running.as_ref().map(|r| r.txn).filter(|_| approval);
        self.record(txn, event);
        if told {
            let staff = &self.state.staff;
            self.tell(Notice::Operators { on_duty: staff.on_duty.clone(), locked: staff.locked.is_some() });
        }
    }

    /// Before [`Record::Terminal(TerminalRecord::Booted)`]: who was on duty when the power went is not, when that is long ago.
    pub(crate) fn boot_operators(&mut self) {
        self.desk.busy_at = self.now;
        let idle = self.idle_lock();
        if idle.is_some_and(|idle| self.now.since(self.state.staff.seen) >= idle) {
            self.log_off(LoggedOffWhy::Idle);
        }
    }

    fn log_off(&mut self, why: LoggedOffWhy) {
        if let Some(operator) = self.state.staff.on_duty.clone() {
            self.happened(OperatorEvent::LoggedOff { operator, why });
        }
    }

    fn idle_lock(&self) -> Option<Millis> {
        let ms = self.settings.operators.idle_lock_ms;
        (ms > 0).then(|| Millis(i64::from(ms)))
    }

    /// A request, a key or a card: the terminal is in use.
    pub(crate) fn in_use(&mut self) {
        self.desk.busy_at = self.now;
    }

    fn idle_due(&self) -> Option<Time> {
        let rests = self.settings.operators.required
            && self.flow.is_none()
            && self.desk.session.is_none()
            && self.state.staff.on_duty.is_some();
        self.idle_lock().filter(|_| rests).map(|idle| self.desk.busy_at + idle)
    }

    /// When [`Machine::operators_timeout`] has something to do next.
    pub(crate) fn operators_due(&self) -> Option<Time> {
        let again = self.to_make().map(|_| self.desk.not_before);
        [self.session_until(), self.idle_due(), again].into_iter().flatten().min()
    }

    pub(crate) fn operators_timeout(&mut self) {
        if self.session_until().is_some_and(|t| t <= self.now) {
            self.session_timed_out();
        }
        if self.idle_due().is_some_and(|t| t <= self.now) {
            self.log_off(LoggedOffWhy::Idle);
            self.rest();
        }
    }

    /// What the vault has to make and does not make yet.
    fn to_make(&self) -> Option<Making> {
        let staff = &self.state.staff;
        if !self.settings.operators.required || self.desk.making.is_some() {
            return None;
        }
        if staff.locked.as_ref().is_some_and(|l| l.challenge.is_none()) {
            return Some(Making::Challenge);
        }
        let new = !staff.operators.contains_key(&OperatorId::supervisor());
        first()
            .into_iter()
            .map(|(id, _)| id)
            .find(|id| new && !staff.operators.contains_key(id))
            .map(Making::Operator)
    }

    /// The first operators of a new terminal and the challenge of a locked one.
    pub(crate) fn drive_operators(&mut self) {
        let Some(making) = self.to_make().filter(|_| self.desk.not_before <= self.now) else { return };
        let ask = match &making {
            Making::Challenge => VaultAsk::Challenge,
            Making::Operator(id) => {
                let first = first()
                    .into_iter()
                    .find(|(of, _)| of == id)
                    .and_then(|(_, digits)| Password::parse(digits));
                let Some(password) = first else { return };
                VaultAsk::Verifier { operator: id.clone(), password }
            }
        };
        let tag = self.ask_vault(ask);
        self.desk.making = Some((tag, making));
    }

    fn ask_vault(&mut self, ask: VaultAsk) -> u64 {
        let tag = self.tag();
        self.effect(Effect::AskVault { tag, ask });
        tag
    }

    pub(crate) fn vault(&mut self, tag: u64, answer: VaultAnswer) {
        if self.desk.making.as_ref().is_none_or(|(t, _)| *t != tag) {
            return self.session_answer(tag, answer);
        }
        let Some((_, making)) = self.desk.making.take() else { return };
        match (making, answer) {
            (Making::Operator(operator), VaultAnswer::Verifier(verifier)) => {
                self.happened(OperatorEvent::Set { operator, verifier, must_change: true, by: None });
            }
            (Making::Challenge, VaultAnswer::Challenge(challenge)) => {
                self.happened(OperatorEvent::Challenged { challenge });
                self.rest();
            }
            (
                _,
                VaultAnswer::Failed(_)
                | VaultAnswer::Checked(_)
                | VaultAnswer::Verifier(_)
                | VaultAnswer::Challenge(_),
            ) => {
                self.desk.not_before = self.now + VAULT_AGAIN;
            }
        }
    }

    /// One wrong password more. A lock ends what is done at the keypad.
    fn wrong_password(&mut self, operator: &OperatorId) -> Option<Fault> {
        let wrong = self.state.staff.operators.get(operator).map_or(0, |o| o.wrong);
        if wrong < self.settings.operators.max_wrong {
            return None;
        }
        self.happened(OperatorEvent::Locked { operator: operator.clone() });
        if self.state.staff.on_duty.as_ref() == Some(operator) {
            self.log_off(LoggedOffWhy::Locked);
        }
        if operator.role() == Role::Cashier {
            return Some(Fault::OperatorLocked { operator: operator.to_string() });
        }
        self.happened(OperatorEvent::TerminalLocked { by: operator.clone() });
        Some(Fault::TerminalLocked)
    }

    /// Before it no code is taken. A time further away than any wait was set by another clock (set back
    /// since): then now.
    fn code_not_before(&self) -> Time {
        let not_before = self.state.staff.locked.as_ref().map_or(self.now, |l| l.not_before);
        if not_before.since(self.now) > CODE_WAIT_MAX { self.now } else { not_before }
    }

    fn wrong_code(&mut self) {
        let wrong = self.state.staff.locked.as_ref().map_or(0, |l| l.wrong).min(16);
        let wait = Millis((CODE_WAIT_FIRST.0 << wrong).min(CODE_WAIT_MAX.0));
        self.happened(OperatorEvent::CodeWrong { not_before: self.now + wait });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_password_is_good_for_nothing_but_being_changed() {
        for (_, digits) in first() {
            assert!(
                Password::parse(digits).is_some_and(|p| p.is_weak()),
                "{digits} could be set as a new password"
            );
        }
    }
}
