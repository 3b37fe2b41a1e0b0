//! The lines to the acquirers, one an account: what is under way, what goes out next, what a reply means for
//! what is owed. An account has one place for what a customer may wait for (its request, the terminal's own
//! sign-in, a reversal, a query) and, beside it, as many places as the profile allows for advices: forwarding
//! never stands in a customer's way.
mod advice;
mod auto;
mod dispatch;
mod download;
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
use exchange::Exchanges;
use payterm_schema::{
    AccountId, Fault, HostEvent, Time, account::Stan, outcome::Class, settlement::BatchRow,
};
pub(crate) use resolve::Word;
use std::collections::BTreeSet;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Signed in, nothing under way for a customer, no reversal open.
    Authorise,
    /// Nothing at all under way: its message may change the keys.
    Control,
    /// Nothing owed that is still driven.
    Settle,
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
    downloads: download::Downloads,
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
            downloads: download::Downloads::default(),
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
            match event {
                HostEvent::NotSent { .. } | HostEvent::Untrusted { .. } | HostEvent::NoReply { .. } => {
                    cx.unreached.insert(line.id().clone());
                }
                HostEvent::Reply { .. } | HostEvent::Late { .. } | HostEvent::Unusable { .. } => {
                    cx.unreached.remove(line.id());
                }
                HostEvent::Unbuildable { .. } => {}
            }
            line.host(cx, tag, event);
        }
    }
    /// The first message to which the link said nothing, not even by its deadline.
    pub fn silent(&mut self, now: Time) -> Option<(u64, &mut Line)> {
        let silent = self.0.iter_mut().filter_map(|l| l.exchanges.silent(now).map(|tag| (tag, l)));
        silent.min_by_key(|(tag, _)| *tag)
    }
    /// Records for an upload were looked for. Those of a settlement that has ended are nobody's.
    pub fn loaded(&mut self, cx: &mut Context, tag: u64, found: Result<Vec<BatchRow>, Fault>) {
        if let Some(line) = self.0.iter_mut().find(|l| l.loading.is_some_and(|loading| loading.tag == tag)) {
            line.upload_loaded(cx, found);
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
    /// Whoever waits need not wait any more.
    fn never(&self, cx: &mut Context, code: &'static str, class: Class) {
        if self.waits().is_some() {
            cx.signal(Signal::Never { account: self.id().clone(), code, class });
        }
    }

    /// Nothing is left to load for it.
    pub fn batch_closed(&mut self) {
        self.loading = None;
    }
}
