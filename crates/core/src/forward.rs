//! Forwarding 上送: what was accepted without the host is told to the acquirer, several at a time. Of a card
//! one after the other, in the order of time; what is Stuck or held stands in nobody's way.
use crate::{Machine, flow::Stage};
use payterm_schema::{AccountId, HostEvent, Time, account::Stan, record::Obligation};

/// The line failed: nothing is forwarded before the wait is over, and then one at a time until something is
/// answered. Ten thousand payments do not each find out by themselves that the line is down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    not_before: Time,
    failures: u32,
}

impl Machine {
    pub(crate) fn advice_event(&mut self, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        match &event {
            HostEvent::NotSent { .. } | HostEvent::NoReply { .. } => {
                let failures = self.forwarding.get(account).map_or(1, |t| t.failures.saturating_add(1));
                let not_before = self.now + self.backoff(account, failures, txn);
                self.forwarding.insert(account.clone(), Trouble { not_before, failures });
            }
            HostEvent::Unbuildable { .. } | HostEvent::Reply { .. } | HostEvent::Late { .. } => {}
        }
        self.obligation_event(account, txn, stan, event);
    }

    /// Places for advices that are free. While a customer waits for this account's line, nothing new is
    /// begun.
    pub(crate) fn free_places(&self, id: &AccountId) -> usize {
        let served = self.flow.as_ref().is_some_and(|f| {
            f.account.as_ref() == Some(id) && matches!(f.stage, Stage::Preparing { .. } | Stage::Sent { .. })
        });
        let all = self.account(id).map_or(1, |a| a.rules.advices_in_flight.max(1));
        let places = if self.forwarding.contains_key(id) { 1 } else { all as usize };
        if served { 0 } else { places.saturating_sub(self.told_now(id).len()) }
    }

    /// Heads that are not under way: those to be tried again by their time, then those that were not tried
    /// yet.
    fn heads<'a>(&'a self, id: &'a AccountId) -> impl Iterator<Item = &'a Obligation> {
        let now = self.told_now(id);
        let all = self.state.obligations.again_last(id).into_iter().chain(self.state.obligations.again(id));
        let (fresh, also) = (self.state.obligations.fresh(id), now.clone());
        let free = move |o: &&Obligation| !now.contains(&(o.txn, o.plan.stan));
        // One that was passed over is enough to know the next time.
        let again = all.filter(free).take(2);
        again.chain(fresh.filter(move |o| !also.contains(&(o.txn, o.plan.stan))).take(1))
    }

    fn advice_at(&self, id: &AccountId, o: &Obligation) -> Time {
        // A settlement waits for it: once at once, then at its time.
        let hurried =
            self.flow.as_ref().is_some_and(|f| f.clears(id) && !f.tried.contains(&(o.txn, o.plan.stan)));
        let due = if hurried { self.now.min(self.due_at(o)) } else { self.due_at(o) };
        self.forwarding.get(id).map_or(due, |trouble| due.max(trouble.not_before))
    }

    /// When the next advice may leave, if there is a place for it.
    pub(crate) fn advice_due(&self, id: &AccountId) -> Option<Time> {
        self.heads(id).map(|o| self.advice_at(id, o)).min()
    }

    pub(crate) fn next_advice(&self, id: &AccountId) -> Option<(u64, Stan)> {
        let signed_in = self.account(id).is_some_and(|a| !a.rules.sign_in || self.state.ledger(id).signed_in);
        // Nothing but the settlement leaves while a batch is being closed.
        if !signed_in || self.free_places(id) == 0 || self.settling(id).is_some() {
            return None;
        }
        self.heads(id).find(|o| self.advice_at(id, o) <= self.now).map(|o| (o.txn, o.plan.stan))
    }
}
