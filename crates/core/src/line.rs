//! The lines to the acquirers, one an account: what is under way, what goes out next, what a reply means for
//! what is owed. An account has one place for what a customer may wait for (its request, the terminal's own
//! sign-in, a reversal, a query) and, beside it, as many places as the profile allows for advices: forwarding
//! never stands in a customer's way.
mod advice;
mod auto;
mod drive;
mod exchange;
mod obligation;
mod queue;
mod resolve;
mod settlement;
mod sign_in;
mod upload;
mod wallet;

pub(crate) use auto::own_settlement;

use crate::{AccountSettings, Settings, Wake, context::Context, signal::Signal};
use exchange::{Exchanges, Purpose};
use payterm_schema::{
    AccountId, Fault, HostEvent, Outcome, Time,
    account::Stan,
    host::{MessageKind, Plan, SecretsFrom},
    outcome::Class,
};
pub(crate) use resolve::Word;
use std::collections::BTreeSet;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Signed in, nothing under way for a customer, no reversal open.
    ToAuthorise,
    /// Nothing at all under way: its message may change the keys.
    ToControl,
    /// Nothing owed that is still driven.
    ToSettle,
}

/// The request at the counter, as far as this account has to do with it.
#[derive(Debug)]
struct Customer {
    txn: u64,
    /// None: it has had its turn, and wants nothing now.
    waits: Option<Waits>,
    /// What the account owes was tried at once for this customer.
    hurried: bool,
    /// What a settlement has had tried at once.
    tried: BTreeSet<(u64, Stan)>,
}

#[derive(Debug)]
pub(crate) struct Line {
    account: AccountSettings,
    exchanges: Exchanges,
    customer: Option<Customer>,
    sign_in: sign_in::Schedule,
    /// The line failed advices.
    failing: Option<advice::Failing>,
    /// A load of records to upload that is under way.
    loading: Option<upload::Loading>,
    /// When somebody was last reminded of the account's settlement, in this run.
    reminded: Option<Time>,
}

impl Line {
    fn id(&self) -> &AccountId {
        &self.account.config.id
    }
    /// What the customer at the counter waits for of this account.
    fn waits(&self) -> Option<Waits> {
        self.customer.as_ref()?.waits
    }
}

/// Those of the configured accounts, in their order.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Lines {
    pub fn new(settings: &Settings) -> Self {
        let line = |account: &AccountSettings| Line {
            account: account.clone(),
            exchanges: Exchanges::default(),
            customer: None,
            sign_in: sign_in::Schedule::default(),
            failing: None,
            loading: None,
            reminded: None,
        };
        Self(settings.accounts.iter().map(line).collect())
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn at(&mut self, index: usize) -> &mut Line {
        &mut self.0[index]
    }
    /// Of an account that is configured: what rooms say of others was said in an earlier life.
    pub fn with(&mut self, id: &AccountId, act: impl FnOnce(&mut Line)) {
        if let Some(line) = self.of(id) {
            act(line);
        }
    }
    pub fn of(&mut self, id: &AccountId) -> Option<&mut Line> {
        self.0.iter_mut().find(|l| l.id() == id)
    }
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.0.iter_mut()
    }
    /// Messages to hosts that are under way.
    pub fn exchanges(&self) -> usize {
        self.0.iter().map(|l| l.exchanges.len()).sum()
    }
    /// A message of this transaction is under way: what it will be answered is not known.
    fn has_exchange_for(&self, txn: u64) -> bool {
        self.0.iter().any(|l| l.exchanges.any(|purpose| purpose.txn() == Some(txn)))
    }

    /// Word from a link.
    pub fn host(&mut self, cx: &mut Context, tag: u64, event: HostEvent) {
        // One that no line knows is an answer to an earlier run's message: its obligation is on disk and
        // drives it.
        let knows = |l: &&mut Line| l.exchanges.knows(tag);
        if let Some(line) = self.0.iter_mut().find(knows) {
            line.host(cx, tag, event);
        }
    }
    /// The first message to which the link said nothing, not even by its deadline.
    pub fn silent(&mut self, now: Time) -> Option<(u64, &mut Line)> {
        let silent = self.0.iter_mut().filter_map(|l| l.exchanges.silent(now).map(|tag| (tag, l)));
        silent.min_by_key(|(tag, _)| *tag)
    }
    /// Records for an upload were looked for. Them back: they are for no settlement.
    pub fn loaded(
        &mut self,
        cx: &mut Context,
        tag: u64,
        found: Result<Vec<Outcome>, Fault>,
    ) -> Option<Result<Vec<Outcome>, Fault>> {
        match self.0.iter_mut().find(|l| l.loading.is_some_and(|loading| loading.tag == tag)) {
            Some(line) => {
                line.upload_loaded(cx, found);
                None
            }
            None => Some(found),
        }
    }
    /// A transaction has an outcome: if it was the customer's, nobody waits any more.
    pub fn finished(&mut self, cx: &Context) {
        if cx.state.running.is_none() {
            self.0.iter_mut().for_each(|l| l.customer = None);
        }
    }

    pub fn poll_timeout(&self, cx: &Context) -> Option<Wake> {
        self.0.iter().filter_map(|l| l.poll_timeout(cx)).min()
    }
}

impl Line {
    /// The request waits for this account.
    pub fn want(&mut self, cx: &mut Context, txn: u64, waits: Waits) {
        let new = Customer { txn, waits: None, hurried: false, tried: BTreeSet::new() };
        let same = self.customer.take().filter(|c| c.txn == txn);
        self.customer = Some(Customer { waits: Some(waits), ..same.unwrap_or(new) });
        if waits == Waits::ToSettle {
            return self.wanted_to_settle(cx);
        }
        if self.ready(cx, waits) {
            return;
        }
        let id = self.id().clone();
        let what = match cx.settling(&id) {
            Some(_) => "settling",
            None if cx.state.blocked(&id) => "reversing",
            None => "signing-in",
        };
        let owed = cx.owed(&id);
        cx.signal(Signal::NotYet { account: id, what, owed });
        // The customer does not pay for an earlier failure's backoff.
        self.sign_in.not_before = cx.now;
    }
    fn ready(&self, cx: &Context, waits: Waits) -> bool {
        match waits {
            Waits::ToAuthorise => {
                self.exchanges.foreground().is_none()
                    && cx.signed_in(&self.account)
                    && !cx.state.blocked(self.id())
            }
            Waits::ToControl | Waits::ToSettle => self.exchanges.is_idle(),
        }
    }
    /// The request has its turn.
    fn serve(&mut self, cx: &mut Context) {
        if let Some(customer) = &mut self.customer {
            customer.waits = None;
        }
        cx.signal(Signal::Ready { account: self.id().clone() });
    }
    /// Whoever waits need not wait any more.
    fn never(&self, cx: &mut Context, code: &'static str, class: Class) {
        if self.waits().is_some() {
            cx.signal(Signal::Never { account: self.id().clone(), code, class });
        }
    }

    /// The request's message, which its record allows.
    pub fn send_request(
        &mut self,
        cx: &mut Context,
        txn: u64,
        plan: Plan,
        secrets: SecretsFrom,
        log: String,
    ) {
        let purpose = Purpose::Request { txn, stan: plan.stan };
        let until = self.send(cx, purpose, MessageKind::Request, plan, secrets, Some(log));
        cx.signal(Signal::Sent { until });
    }

    /// Nothing is left to load for it.
    pub fn batch_closed(&mut self) {
        self.loading = None;
    }

    fn host(&mut self, cx: &mut Context, tag: u64, event: HostEvent) {
        let late = matches!(event, HostEvent::Late { .. });
        if !late && let Some(purpose) = self.exchanges.take(tag) {
            match &event {
                HostEvent::NoReply { .. } => self.exchanges.miss(tag, purpose),
                HostEvent::Reply { .. } => self.heard(cx),
                HostEvent::NotSent { .. } | HostEvent::Unbuildable { .. } | HostEvent::Late { .. } => {}
            }
            self.dispatch(cx, purpose, event);
        } else if let Some(purpose) = self.exchanges.missed(tag)
            && let HostEvent::Late { answer, trace } | HostEvent::Reply { answer, trace } = event
        {
            self.late(cx, purpose, *answer, trace);
        }
    }

    /// A link that said nothing by its deadline is taken for dead, its message for unanswered.
    pub fn link_silent(&mut self, cx: &mut Context, tag: u64) {
        if let Some(purpose) = self.exchanges.take(tag) {
            self.exchanges.miss(tag, purpose);
            let why = "the link did not answer".into();
            self.dispatch(cx, purpose, HostEvent::NoReply { why, trace: Default::default() });
        }
    }

    fn dispatch(&mut self, cx: &mut Context, purpose: Purpose, event: HostEvent) {
        match purpose {
            Purpose::Request { txn, stan } => {
                cx.signal(Signal::Host { account: self.id().clone(), txn, stan, event })
            }
            Purpose::Advice { txn, stan } => {
                self.forwarded(cx, txn, &event);
                self.obligation_event(cx, txn, stan, event);
            }
            Purpose::Obligation { txn, stan } => self.obligation_event(cx, txn, stan, event),
            Purpose::Query { txn, stan } => self.query_event(cx, txn, stan, event),
            Purpose::SignIn => self.sign_in_event(cx, event),
            Purpose::Settlement { txn, stan } => self.settlement_event(cx, txn, stan, event),
            Purpose::Probe { call } => self.probed(cx, call, event),
        }
    }
}
