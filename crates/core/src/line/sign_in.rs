//! The terminal's own sign-in of an account, and the self-test's echo.
use super::{Line, exchange::Purpose};
use crate::{Call, context::Context, sign_in::asked_lists, signal::Signal};
use payterm_schema::{
    AccountId, AccountRecord, Fault, HostAnswer, HostEvent, Kind, Time,
    host::{KeysVerdict, MessageKind, SecretsFrom},
    outcome::Class,
    time::Millis,
};

/// Waits before the next automatic sign-in after a failed one: doubles from the first to the last.
const WAIT_FIRST: Millis = Millis::secs(5);
const WAIT_MAX: Millis = Millis::secs(300);
/// Wait before the next one for a customer who waits for it.
const WAIT_WAITED: Millis = Millis::secs(2);
/// How long a self-test waits for the echo's answer: a customer who comes meanwhile waits for it too.
const PROBE_MS: u32 = 5_000;

/// When the terminal signs in by itself.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Somebody asked for it (start, a request, requirement digit 3).
    pub wanted: bool,
    pub not_before: Time,
    wait: Millis,
}
impl Default for Schedule {
    fn default() -> Self {
        Self { wanted: false, not_before: Time(i64::MIN), wait: WAIT_FIRST }
    }
}

impl Line {
    /// At a start. `with_keys`: the accounts whose working keys the vault holds.
    pub fn boot(&mut self, cx: &mut Context, with_keys: &[AccountId]) {
        let id = self.id().clone();
        if !with_keys.contains(&id) {
            cx.sign_out(&id, "the working keys are gone");
        }
        self.sign_in.wanted = self.account.config.auto_sign_in && !cx.signed_in(&self.account);
        // The host has asked for it in an earlier run.
        self.want_download(asked_lists(cx.state.ledger(&id).requirement));
    }
    pub fn want_sign_in(&mut self) {
        self.sign_in.wanted = true;
    }
    pub fn new_keys(&mut self) {
        self.sign_in = Schedule::default();
    }

    pub(super) fn send_sign_in(&mut self, cx: &mut Context) {
        let plan = cx.control_plan(self.id(), Kind::SignIn);
        let (account, sent) = (self.id().clone(), Box::new(plan.clone()));
        cx.record(None, AccountRecord::ControlSent { account, plan: sent });
        self.send(cx, Purpose::SignIn, MessageKind::Request, plan, SecretsFrom::None, None);
    }

    pub(super) fn sign_in_event(&mut self, cx: &mut Context, event: HostEvent) {
        match event {
            HostEvent::Reply { answer, .. } => self.sign_in_answer(cx, *answer),
            HostEvent::NotSent { why } => {
                self.sign_in_failed(cx, why);
                cx.signal(Signal::LineDown { account: self.id().clone(), sign_in: true });
                cx.signal(Signal::SettlesBehind { account: self.id().clone() });
            }
            HostEvent::Unbuildable { why } => {
                self.sign_in_failed(cx, why);
                self.nobody_waits(cx, "not-buildable");
            }
            // Whoever waits for it waits on, for as long as the configuration says.
            HostEvent::NoReply { why, .. } | HostEvent::Unusable { why, .. } => {
                self.sign_in_failed(cx, why);
                if self.waits().is_some() {
                    self.sign_in.not_before = cx.now + WAIT_WAITED;
                }
                cx.signal(Signal::SettlesBehind { account: self.id().clone() });
            }
            HostEvent::Late { .. } | HostEvent::Untrusted { .. } => {}
        }
    }

    fn sign_in_answer(&mut self, cx: &mut Context, answer: HostAnswer) {
        let id = self.id().clone();
        match cx.sign_in_refusal(&id, &answer) {
            None => {
                let digit = answer.requirement;
                cx.record_sign_in(&id, answer);
                // One that asks for a sign-in again would be asked without end.
                if digit != 3 {
                    cx.requirement(&id, None, digit);
                }
            }
            Some((code, why)) => {
                self.sign_in_failed(cx, why);
                self.nobody_waits(cx, code);
            }
        }
    }

    /// An answer after its time, of which the link has taken over the keys: no later sign-in has left.
    pub(super) fn late_sign_in(&self, cx: &mut Context, answer: HostAnswer) {
        let id = self.id();
        let good = answer.keys == KeysVerdict::Loaded && cx.sign_in_refusal(id, &answer).is_none();
        if good && !cx.signed_in(&self.account) {
            cx.record_sign_in(id, answer);
        }
    }

    fn sign_in_failed(&mut self, cx: &mut Context, why: String) {
        cx.record(None, AccountRecord::SignInFailed { account: self.id().clone(), why });
        let s = &mut self.sign_in;
        s.not_before = cx.now + s.wait;
        s.wait = Millis((s.wait.0 * 2).min(WAIT_MAX.0));
    }
    fn nobody_waits(&self, cx: &mut Context, code: &'static str) {
        self.never(cx, code, Class::E);
        cx.signal(Signal::SettlesBehind { account: self.id().clone() });
    }

    /// An echo, when nothing else goes on: `Busy` says that the account has better to do, `WrongState` that
    /// the host answered with a failure, `Unreachable` that it did not answer.
    pub fn probe(&mut self, cx: &mut Context, call: Call) {
        if cx.state.running.is_some() || self.exchanges.foreground().is_some() {
            return cx.answer(call, Err(Fault::Busy { running: None }));
        }
        let c = &self.account.config;
        let ms = PROBE_MS.min(c.connect_timeout_ms.saturating_add(c.reply_timeout_ms));
        let plan = cx.control_plan(self.id(), Kind::Echo);
        let (account, sent) = (self.id().clone(), Box::new(plan.clone()));
        cx.record(None, AccountRecord::ControlSent { account, plan: sent });
        let purpose = Purpose::Probe { call };
        self.send_within(cx, purpose, MessageKind::Request, plan, SecretsFrom::None, None, ms);
    }

    pub(super) fn probed(&self, cx: &mut Context, call: Call, event: HostEvent) {
        let result = match event {
            HostEvent::Reply { answer, .. } | HostEvent::Late { answer, .. } => {
                if cx.class(self.id(), &answer.code) == Class::A {
                    Ok(())
                } else {
                    Err(Fault::WrongState { rule: format!("the host answered {}", answer.code) })
                }
            }
            HostEvent::Unbuildable { why } => Err(Fault::invalid("echo", &why)),
            HostEvent::NotSent { why }
            | HostEvent::Untrusted { why }
            | HostEvent::NoReply { why, .. }
            | HostEvent::Unusable { why, .. } => Err(Fault::Unreachable { cause: why }),
        };
        cx.answer(call, result);
    }
}
