//! The keypad when no customer is served: operators, their passwords, who may start what, and the lock of the
//! terminal. A session ([`session`]) is what somebody types; the vault checks it.
mod session;
mod staff;

pub use staff::{Operator, Staff};

use crate::{Call, Effect, Wake, context::Context, io::Timer, signal::Signal};
use payterm_schema::{
    Fault, Kind, Notice, Request, RequestKey, Screen, Time,
    operator::{LoggedOffWhy, OperatorEvent, OperatorId, Purpose, Role},
    secret::{Password, ServiceCode, Verifier},
    time::Millis,
};
use session::Session;
pub(crate) use session::WriteOff;

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
const VAULT_RETRY_AFTER: Millis = Millis::secs(10);

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

#[derive(Debug, Default)]
pub(crate) struct Keypad {
    session: Option<Session>,
    /// The vault makes a first operator or a challenge.
    making: Option<(u64, Making)>,
    /// The vault failed: not asked again before.
    not_before: Time,
    /// Of the last request, key or card.
    busy_at: Time,
}

#[derive(Debug)]
enum Making {
    Operator(OperatorId),
    Challenge,
}

/// Kinds that keep the terminal working: they need nobody.
fn needs_nobody(kind: Kind) -> bool {
    matches!(kind, Kind::SignIn | Kind::SignOff | Kind::Echo)
}

impl Keypad {
    /// May a request of this kind start? Nothing is on record yet.
    pub fn admit(&mut self, cx: &mut Context, call: Call, key: RequestKey, request: Box<Request>) {
        let staff = &cx.state.staff;
        let fault = if !cx.settings.operators.required {
            None
        } else if staff.locked.is_some() {
            Some(Fault::TerminalLocked)
        } else if staff.on_duty.is_none() && !needs_nobody(request.kind) {
            Some(Fault::NotLoggedOn)
        } else {
            (!self.make_free(cx)).then_some(Fault::Busy { running: None })
        };
        match fault {
            Some(fault) => cx.answer(call, Err(fault)),
            None => cx.signal(Signal::Admitted { call, key, request }),
        }
    }

    /// Nothing is typed, and the vault looks at nothing that was.
    pub fn is_free(&self) -> bool {
        self.session.is_none()
    }

    /// Before the start is on record: who was on duty when the power went is not, when that is long ago.
    pub fn boot(&mut self, cx: &mut Context) {
        self.busy_at = cx.now;
        if idle_lock(cx).is_some_and(|idle| cx.now.since(cx.state.staff.seen) >= idle) {
            log_off(cx, LoggedOffWhy::Idle);
        }
    }

    /// A request, a key or a card: the terminal is in use.
    pub fn in_use(&mut self, now: Time) {
        self.busy_at = now;
    }

    fn idle_due(&self, cx: &Context) -> Option<Time> {
        let rests = cx.settings.operators.required
            && cx.state.running.is_none()
            && self.session.is_none()
            && cx.state.staff.on_duty.is_some();
        idle_lock(cx).filter(|_| rests).map(|idle| self.busy_at + idle)
    }

    pub fn poll_timeout(&self, cx: &Context) -> Option<Wake> {
        let again = self.to_make(cx).map(|_| self.not_before);
        let at = [self.session_until(), self.idle_due(cx), again].into_iter().flatten().min()?;
        Some(Wake { at, timer: Timer::Keypad })
    }

    pub fn handle_timeout(&mut self, cx: &mut Context) {
        if self.session_until().is_some_and(|t| t <= cx.now) {
            self.session_timed_out(cx);
        }
        if self.idle_due(cx).is_some_and(|t| t <= cx.now) {
            log_off(cx, LoggedOffWhy::Idle);
            cx.signal(Signal::Rest);
        }
    }

    /// What the vault has to make and does not make yet.
    fn to_make(&self, cx: &Context) -> Option<Making> {
        let staff = &cx.state.staff;
        if !cx.settings.operators.required || self.making.is_some() {
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
    pub fn drive(&mut self, cx: &mut Context) {
        let Some(making) = self.to_make(cx).filter(|_| self.not_before <= cx.now) else { return };
        let ask = match &making {
            Making::Challenge => VaultAsk::Challenge,
            Making::Operator(id) => {
                let digits = first().into_iter().find(|(of, _)| of == id).map(|(_, digits)| digits);
                let Some(password) = digits.and_then(Password::parse) else {
                    unreachable!("operator {id} has no first password")
                };
                VaultAsk::Verifier { operator: id.clone(), password }
            }
        };
        self.making = Some((ask_vault(cx, ask), making));
    }

    pub fn vault(&mut self, cx: &mut Context, tag: u64, answer: VaultAnswer) {
        let Some((_, making)) = self.making.take_if(|(t, _)| *t == tag) else {
            return self.session_answer(cx, tag, answer);
        };
        match (making, answer) {
            (Making::Operator(operator), VaultAnswer::Verifier(verifier)) => {
                happened(cx, OperatorEvent::Set { operator, verifier, must_change: true, by: None });
            }
            (Making::Challenge, VaultAnswer::Challenge(challenge)) => {
                happened(cx, OperatorEvent::Challenged { challenge });
                cx.signal(Signal::Rest);
            }
            (
                _,
                VaultAnswer::Failed(_)
                | VaultAnswer::Checked(_)
                | VaultAnswer::Verifier(_)
                | VaultAnswer::Challenge(_),
            ) => self.not_before = cx.now + VAULT_RETRY_AFTER,
        }
    }

    /// What is asked at the keypad. While the vault works it stays as it was typed.
    pub fn screen(&self) -> Option<Screen> {
        self.session.as_ref()?.prompt()
    }
}

fn idle_lock(cx: &Context) -> Option<Millis> {
    let ms = cx.settings.operators.idle_lock_ms;
    (ms > 0).then(|| Millis(i64::from(ms)))
}

fn ask_vault(cx: &mut Context, ask: VaultAsk) -> u64 {
    let tag = cx.tag();
    cx.effect(Effect::AskVault { tag, ask });
    tag
}

/// Journals it, and tells what the faces know of.
fn happened(cx: &mut Context, event: OperatorEvent) {
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
    let txn = cx.state.running.as_ref().map(|r| r.txn).filter(|_| approval);
    cx.record(txn, event);
    if told {
        let staff = &cx.state.staff;
        let (on_duty, locked) = (staff.on_duty.clone(), staff.locked.is_some());
        cx.tell(Notice::Operators { on_duty, locked });
    }
}

fn log_off(cx: &mut Context, why: LoggedOffWhy) {
    if let Some(operator) = cx.state.staff.on_duty.clone() {
        happened(cx, OperatorEvent::LoggedOff { operator, why });
    }
}

/// One wrong password more. A lock ends what is done at the keypad.
fn wrong_password(cx: &mut Context, operator: &OperatorId) -> Option<Fault> {
    let wrong = cx.state.staff.operators.get(operator).map_or(0, |o| o.wrong);
    if wrong < cx.settings.operators.max_wrong {
        return None;
    }
    happened(cx, OperatorEvent::Locked { operator: operator.clone() });
    if cx.state.staff.on_duty.as_ref() == Some(operator) {
        log_off(cx, LoggedOffWhy::Locked);
    }
    if operator.role() == Role::Cashier {
        return Some(Fault::OperatorLocked { operator: operator.to_string() });
    }
    happened(cx, OperatorEvent::TerminalLocked { by: operator.clone() });
    Some(Fault::TerminalLocked)
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
