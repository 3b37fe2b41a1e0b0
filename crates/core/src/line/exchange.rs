//! Messages to an account's host that are under way, and those whose time ran out.
use super::Line;
use crate::{Effect, Heard, context::Context};
use payterm_schema::{
    HostMessage, Time,
    account::Stan,
    host::{MessageKind, Plan, SecretsFrom},
    time::Millis,
};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The foreground request's own message.
    Request { txn: u64, stan: Stan },
    /// A reversal.
    Obligation { txn: u64, stan: Stan },
    /// An advice (again).
    Advice { txn: u64, stan: Stan },
    /// What became of the payment by code `stan`.
    Query { txn: u64, stan: Stan },
    /// The terminal's own sign-in.
    SignIn,
    /// A message of the account's settlement.
    Settlement { txn: u64, stan: Stan },
    /// The self-test's echo.
    Probe { call: u64 },
    /// A message of a download for the card kernel: nobody waits for it.
    Download,
}
impl Purpose {
    pub fn txn(&self) -> Option<u64> {
        match self {
            Purpose::Request { txn, .. }
            | Purpose::Obligation { txn, .. }
            | Purpose::Advice { txn, .. }
            | Purpose::Query { txn, .. }
            | Purpose::Settlement { txn, .. } => Some(*txn),
            Purpose::SignIn | Purpose::Probe { .. } | Purpose::Download => None,
        }
    }
}

/// A message under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub purpose: Purpose,
    /// The link says what came of it before then; silence past it is taken for NoReply.
    pub until: Time,
}

/// The link's deadline plus this: past it the link actor is taken for dead.
const LINK_GRACE: Millis = Millis::secs(10);
/// Late answers are recognised for this many messages of an account.
const MISSED: usize = 256;

/// By tag.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    under_way: BTreeMap<u64, Exchange>,
    missed: VecDeque<(u64, Purpose)>,
}

impl Exchanges {
    pub fn len(&self) -> usize {
        self.under_way.len()
    }
    pub fn any(&self, fits: impl Fn(&Purpose) -> bool) -> bool {
        self.under_way.values().any(|e| fits(&e.purpose))
    }
    pub fn knows(&self, tag: u64) -> bool {
        self.under_way.contains_key(&tag) || self.missed(tag).is_some()
    }
    /// What stands in the customer's place of the account.
    pub fn foreground(&self) -> Option<&Exchange> {
        self.under_way.values().find(|e| !matches!(e.purpose, Purpose::Advice { .. } | Purpose::Download))
    }
    /// Nothing at all is under way: keys may change.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
    pub fn advices_in_flight(&self) -> Vec<(u64, Stan)> {
        let advice = |e: &Exchange| {
            if let Purpose::Advice { txn, stan } = e.purpose { Some((txn, stan)) } else { None }
        };
        self.under_way.values().filter_map(advice).collect()
    }
    pub fn until(&self) -> Option<Time> {
        self.under_way.values().map(|e| e.until).min()
    }
    pub fn silent(&self, now: Time) -> Option<u64> {
        self.under_way.iter().find(|(_, e)| e.until <= now).map(|(tag, _)| *tag)
    }
    pub fn take(&mut self, tag: u64) -> Option<Purpose> {
        self.under_way.remove(&tag).map(|e| e.purpose)
    }
    pub fn miss(&mut self, tag: u64, purpose: Purpose) {
        if self.missed.len() == MISSED {
            self.missed.pop_front();
        }
        self.missed.push_back((tag, purpose));
    }
    pub fn missed(&self, tag: u64) -> Option<Purpose> {
        self.missed.iter().find(|(t, _)| *t == tag).map(|(_, purpose)| *purpose)
    }
}

impl Line {
    /// Hands a message to the account's link; whoever calls has journalled what allows it. When the link's
    /// silence is an answer.
    pub(super) fn send(
        &mut self,
        cx: &mut Context,
        purpose: Purpose,
        message_kind: MessageKind,
        plan: Plan,
        secrets: SecretsFrom,
        log: Option<String>,
    ) -> Time {
        let c = &self.account.config;
        let ms = c.connect_timeout_ms.saturating_add(c.reply_timeout_ms);
        self.send_within(cx, purpose, message_kind, plan, secrets, log, ms)
    }

    #[allow(clippy::too_many_arguments, reason = "a message and its time")]
    pub(super) fn send_within(
        &mut self,
        cx: &mut Context,
        purpose: Purpose,
        message_kind: MessageKind,
        plan: Plan,
        secrets: SecretsFrom,
        log: Option<String>,
        ms: u32,
    ) -> Time {
        let (tag, deadline) = (cx.tag(), cx.after(ms));
        let until = deadline + LINK_GRACE;
        self.exchanges.under_way.insert(tag, Exchange { purpose, until });
        let account = self.account.config.id.clone();
        cx.effect(Effect::Send(Box::new(HostMessage {
            account,
            tag,
            message_kind,
            plan,
            secrets,
            deadline,
            log,
        })));
        until
    }

    /// The host answered: what waits to be told may leave again.
    pub(super) fn heard(&mut self, cx: &mut Context) {
        let new = Heard { at: cx.now, off_by: None };
        cx.heard.entry(self.account.config.id.clone()).or_insert(new).at = cx.now;
        self.failing = None;
    }
}
