//! What is owed, with an index for each question that a step asks: ten thousand payments that wait for the
//! line make no step slower. The trees are persistent, so that a copy of the state costs nothing either.
//!
//! Invariant: the indexes are a function of the obligations; a snapshot holds these alone, and replay
//! compares all.
use payterm_schema::{
    AccountId, CardToken, Time,
    account::{Batch, Stan},
    offline::{Exposure, OfflineAuthority},
    record::{Duty, Obligation, ObligationState},
};
use rpds::{RedBlackTreeMapSync as Map, RedBlackTreeSetSync as Set};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{collections::BTreeMap, sync::Arc};

/// The transaction and the STAN of the frame: an obligation's identity.
pub(crate) type ObligationId = (u64, Stan);

/// Advices of one queue go one after the other, in the order of time: those of a card, or (where no card was
/// presented) of the transaction whose sealed PAN they use.
pub(crate) type CardQueue = (Option<CardToken>, u64);

pub(crate) fn card_queue(o: &Obligation) -> CardQueue {
    let of_original = o.sealed.unwrap_or(o.txn);
    (o.card.clone(), if o.card.is_some() { 0 } else { of_original })
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obligations {
    all: Map<ObligationId, Arc<Obligation>>,
    accounts: Map<AccountId, OfAccount>,
    sealed: Set<(u64, ObligationId)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OfAccount {
    stans: Set<(Stan, u64)>,
    batches: Set<(Batch, ObligationId)>,
    /// All but advices.
    unknown: Set<ObligationId>,
    /// Reversals that are due, by their next try.
    due: Set<(Time, ObligationId)>,
    /// Those of them that hold up the account's authorisations.
    blocking: Set<ObligationId>,
    /// Wallets that are being asked.
    asking: Set<ObligationId>,
    /// Open ones of a card, of any state.
    cards: Set<(CardToken, ObligationId)>,
    /// Advices that wait, those of a queue in the order of time.
    queues: Map<CardQueue, Set<ObligationId>>,
    /// The first of each queue: not tried yet, in the order of the cards ...
    fresh: Set<(CardQueue, ObligationId)>,
    /// ... or to be tried again.
    again: Set<(Time, ObligationId)>,
    exposures: BTreeMap<OfflineAuthority, Exposure>,
    /// Advices that are told, or kept back; and those that are Stuck.
    telling: usize,
    stuck: usize,
}

/// Never tried so far: its next try is when it began.
fn again_at(o: &Obligation) -> Option<Time> {
    (o.next_try > o.since).then_some(o.next_try)
}
/// An advice that forwarding may take.
fn waits(o: &Obligation) -> bool {
    o.duty.is_told() && o.state == ObligationState::Due && o.held.is_none()
}

impl OfAccount {
    fn set(&mut self, o: &Obligation, all: &Map<ObligationId, Arc<Obligation>>, add: bool) {
        let frame = (o.txn, o.plan.stan);
        let due = o.state == ObligationState::Due && !o.duty.is_told();
        toggle(&mut self.stans, (o.plan.stan, o.txn), add);
        toggle(&mut self.batches, (o.plan.batch, frame), add);
        toggle(&mut self.unknown, frame, add && !o.duty.is_told());
        toggle(&mut self.due, (o.next_try, frame), add && due);
        toggle(&mut self.blocking, frame, add && due && o.plan.wallet.is_none() && o.left);
        toggle(&mut self.asking, frame, add && o.asking.is_some());
        if let Some(card) = &o.card {
            toggle(&mut self.cards, (card.clone(), frame), add);
        }
        let count = match (o.duty, o.state) {
            (Duty::Repeat | Duty::Notify, ObligationState::Stuck) => Some(&mut self.stuck),
            (Duty::Repeat | Duty::Notify, ObligationState::Armed | ObligationState::Due) => {
                Some(&mut self.telling)
            }
            (Duty::Reverse | Duty::ManualResolution, _) => None,
        };
        if let Some(count) = count {
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
        }
        if let Some(by) = o.at_risk() {
            let minor = o.plan.amount.map_or(0, |m| m.minor());
            let exposure = self.exposures.remove(&by).unwrap_or_default().with(minor, add);
            if exposure.count > 0 {
                self.exposures.insert(by, exposure);
            }
        }
        if waits(o) {
            self.queue(o, all, add);
        }
    }

    fn queue(&mut self, o: &Obligation, all: &Map<ObligationId, Arc<Obligation>>, add: bool) {
        let queue = card_queue(o);
        let mut frames = self.queues.get(&queue).cloned().unwrap_or_default();
        self.head(&queue, frames.first(), all, false);
        toggle(&mut frames, (o.txn, o.plan.stan), add);
        self.head(&queue, frames.first(), all, true);
        if frames.is_empty() {
            self.queues.remove_mut(&queue);
        } else {
            self.queues.insert_mut(queue, frames);
        }
    }

    fn head(
        &mut self,
        queue: &CardQueue,
        frame: Option<&ObligationId>,
        all: &Map<ObligationId, Arc<Obligation>>,
        add: bool,
    ) {
        let Some(o) = frame.and_then(|f| all.get(f)) else { return };
        let frame = (o.txn, o.plan.stan);
        match again_at(o) {
            None => toggle(&mut self.fresh, (queue.clone(), frame), add),
            Some(at) => toggle(&mut self.again, (at, frame), add),
        }
    }
}

fn toggle<T: Ord>(set: &mut Set<T>, key: T, add: bool) {
    if add {
        set.insert_mut(key);
    } else {
        set.remove_mut(&key);
    }
}

impl Obligations {
    pub fn len(&self) -> usize {
        self.all.size()
    }
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
    /// In the order of their transactions.
    pub fn iter(&self) -> impl Iterator<Item = &Obligation> {
        self.all.values().map(|o| &**o)
    }
    pub fn to_vec(&self) -> Vec<Obligation> {
        self.iter().cloned().collect()
    }
    pub fn get(&self, txn: u64, stan: Stan) -> Option<&Obligation> {
        self.all.get(&(txn, stan)).map(|o| &**o)
    }
    /// Frames of one transaction.
    pub fn of(&self, txn: u64) -> impl Iterator<Item = &Obligation> {
        self.all.range((txn, Stan::FIRST)..=(txn, Stan::LAST)).map(|(_, o)| &**o)
    }
    pub fn count(&self, account: &AccountId) -> usize {
        self.accounts.get(account).map_or(0, |a| a.stans.size())
    }
    /// Something of this account is still being driven, told or kept back: all but what is Stuck.
    pub fn driven(&self, account: &AccountId) -> bool {
        let Some(a) = self.accounts.get(account) else { return false };
        a.telling > 0
            || a.unknown.iter().filter_map(|f| self.all.get(f)).any(|o| o.state != ObligationState::Stuck)
    }
    /// What merchant and acquirer may still lose of what was accepted without the host.
    pub fn exposure(&self, account: &AccountId, by: OfflineAuthority) -> Exposure {
        self.accounts.get(account).and_then(|a| a.exposures.get(&by)).copied().unwrap_or_default()
    }
    /// Open ones of a card, of any duty.
    pub fn of_card<'a>(
        &'a self,
        account: &AccountId,
        card: &CardToken,
    ) -> impl Iterator<Item = &'a Obligation> {
        let (from, to) = ((card.clone(), (0, Stan::FIRST)), (card.clone(), (u64::MAX, Stan::LAST)));
        let of = self.accounts.get(account);
        of.into_iter()
            .flat_map(move |a| a.cards.range(from.clone()..=to.clone()))
            .filter_map(|(_, f)| self.all.get(f))
            .map(|o| &**o)
    }
    /// Advices that are told or kept back, and those that are Stuck: of all accounts.
    pub(crate) fn advices(&self) -> (usize, usize) {
        self.accounts.values().fold((0, 0), |(telling, stuck), a| (telling + a.telling, stuck + a.stuck))
    }
    pub(crate) fn names(&self, account: &AccountId, stan: Stan) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|a| a.stans.range((stan, 0)..=(stan, u64::MAX)).next().is_some())
    }
    pub(crate) fn names_batch(&self, account: &AccountId, batch: Batch) -> bool {
        let (from, to) = ((batch, (0, Stan::FIRST)), (batch, (u64::MAX, Stan::LAST)));
        self.accounts.get(account).is_some_and(|a| a.batches.range(from..=to).next().is_some())
    }
    pub(crate) fn seals(&self, txn: u64) -> bool {
        self.sealed.range((txn, (0, Stan::FIRST))..=(txn, (u64::MAX, Stan::LAST))).next().is_some()
    }
    /// All but advices.
    pub(crate) fn unknown(&self) -> impl Iterator<Item = &Obligation> {
        self.accounts.values().flat_map(|a| a.unknown.iter()).filter_map(|f| self.all.get(f)).map(|o| &**o)
    }
    pub(crate) fn asking(&self, account: &AccountId) -> impl Iterator<Item = &Obligation> {
        self.accounts
            .get(account)
            .into_iter()
            .flat_map(|a| a.asking.iter())
            .filter_map(|f| self.all.get(f))
            .map(|o| &**o)
    }
    /// The first reversal that holds up the account's authorisations.
    pub(crate) fn blocking(&self, account: &AccountId) -> Option<ObligationId> {
        self.accounts.get(account)?.blocking.first().copied()
    }
    /// Reversals that are due: the next one, and the one that waits longest (a clock that was set back may
    /// have made it wait).
    pub(crate) fn due(&self, account: &AccountId) -> impl Iterator<Item = &Obligation> {
        let of = self.accounts.get(account);
        of.into_iter()
            .flat_map(|a| a.due.first().into_iter().chain(a.due.last()))
            .filter_map(|(_, f)| self.all.get(f))
            .map(|o| &**o)
    }
    /// The advices of this queue that wait.
    pub(crate) fn queued(&self, account: &AccountId, queue: &CardQueue) -> bool {
        self.accounts.get(account).is_some_and(|a| a.queues.contains_key(queue))
    }
    /// Heads of their queues that were not tried yet, by card and time.
    pub(crate) fn fresh(&self, account: &AccountId) -> impl Iterator<Item = &Obligation> {
        self.accounts
            .get(account)
            .into_iter()
            .flat_map(|a| a.fresh.iter())
            .filter_map(|(_, f)| self.all.get(f))
            .map(|o| &**o)
    }
    /// Heads that are to be tried again, the next one first.
    pub(crate) fn again(&self, account: &AccountId) -> impl Iterator<Item = &Obligation> {
        self.accounts
            .get(account)
            .into_iter()
            .flat_map(|a| a.again.iter())
            .filter_map(|(_, f)| self.all.get(f))
            .map(|o| &**o)
    }
    /// The one of them that waits longest.
    pub(crate) fn again_last(&self, account: &AccountId) -> Option<&Obligation> {
        let (_, frame) = self.accounts.get(account)?.again.last()?;
        self.all.get(frame).map(|o| &**o)
    }

    pub(crate) fn insert(&mut self, o: Obligation) {
        let (frame, o) = ((o.txn, o.plan.stan), Arc::new(o));
        self.remove(frame.0, frame.1);
        self.all.insert_mut(frame, o.clone());
        self.index(&o, true);
    }
    pub(crate) fn remove(&mut self, txn: u64, stan: Stan) -> Option<Arc<Obligation>> {
        let o = self.all.get(&(txn, stan)).cloned()?;
        self.index(&o, false);
        self.all.remove_mut(&(txn, stan));
        Some(o)
    }
    /// Changes one; its identity, account and seal stay.
    pub(crate) fn change(&mut self, txn: u64, stan: Stan, change: impl FnOnce(&mut Obligation)) {
        let Some(mut o) = self.all.get(&(txn, stan)).cloned() else { return };
        self.index(&o, false);
        change(Arc::make_mut(&mut o));
        self.all.insert_mut((txn, stan), o.clone());
        self.index(&o, true);
    }

    fn index(&mut self, o: &Obligation, add: bool) {
        if let Some(sealed) = o.sealed {
            toggle(&mut self.sealed, (sealed, (o.txn, o.plan.stan)), add);
        }
        let mut of = self.accounts.get(&o.account).cloned().unwrap_or_default();
        of.set(o, &self.all, add);
        if of.stans.is_empty() {
            self.accounts.remove_mut(&o.account);
        } else {
            self.accounts.insert_mut(o.account.clone(), of);
        }
    }
}

impl FromIterator<Obligation> for Obligations {
    fn from_iter<I: IntoIterator<Item = Obligation>>(all: I) -> Self {
        let mut out = Self::default();
        all.into_iter().for_each(|o| out.insert(o));
        out
    }
}
/// A list, as it always was.
impl Serialize for Obligations {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter())
    }
}
impl<'de> Deserialize<'de> for Obligations {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Vec::<Obligation>::deserialize(d)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(txn: u64, card: u8, duty: Duty, next: i64) -> Obligation {
        let json = format!(
            r#"{{"txn":{txn},"account":"a","state":"due","duty":{duty},"reason":"no_reply",
            "sealed":{txn},"left":true,"had_left":true,"tries":0,"next_try":{next},"last_code":null,
            "since":{txn},"card":"{card:032x}","plan":{{
            "kind":"sale","stan":{txn},"batch":1,"amount":{{"amount":"1.00","currency":"CNY"}},"mode":"swipe",
            "pin":false,"track":false,"wallet":null,"expiry":null,"card_sequence":null,"original":null,
            "operator":"01","at":0,"auth_code":null,
            "offline_authority":"merchant"}}}}"#,
            duty = serde_json::to_string(&duty).unwrap(),
        );
        serde_json::from_str(&json).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Act {
        Insert { card: u8, advice: bool },
        Remove(usize),
        Fail(usize, i64),
        Stick(usize),
        Hold(usize, bool),
    }
    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0u8..4, any::<bool>()).prop_map(|(card, advice)| Act::Insert { card, advice }),
            2 => any::<usize>().prop_map(Act::Remove),
            2 => (any::<usize>(), 0i64..1000).prop_map(|(i, t)| Act::Fail(i, t)),
            1 => any::<usize>().prop_map(Act::Stick),
            1 => (any::<usize>(), any::<bool>()).prop_map(|(i, hold)| Act::Hold(i, hold)),
        ]
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn the_indexes_say_what_a_search_says(acts in prop::collection::vec(act(), 0..50)) {
            let account = AccountId::new("a").unwrap();
            let (mut tree, mut list, mut last) = (Obligations::default(), Vec::<Obligation>::new(), 0);
            for act in acts {
                let pick = |i: usize, list: &[Obligation]| (!list.is_empty()).then(|| i % list.len());
                let mut change = |i: usize, list: &mut Vec<Obligation>, f: &dyn Fn(&mut Obligation)| {
                    if let Some(i) = pick(i, list) {
                        f(&mut list[i]);
                        tree.change(list[i].txn, list[i].plan.stan, f);
                    }
                };
                match act {
                    Act::Insert { card, advice } => {
                        last += 1;
                        let o = one(last, card, if advice { Duty::Repeat } else { Duty::Reverse }, 0);
                        tree.insert(o.clone());
                        list.push(o);
                    }
                    Act::Remove(i) => if let Some(i) = pick(i, &list) {
                        let o = list.remove(i);
                        let gone = tree.remove(o.txn, o.plan.stan);
                        prop_assert_eq!(gone.as_deref(), Some(&o));
                    }
                    Act::Fail(i, t) => change(i, &mut list, &|o| o.next_try = Time(t)),
                    Act::Stick(i) => change(i, &mut list, &|o| o.state = ObligationState::Stuck),
                    Act::Hold(i, hold) => change(i, &mut list, &|o| o.held = hold.then(|| "x".into())),
                }
                prop_assert_eq!(&tree.to_vec(), &list);
                let json = serde_json::to_string(&tree).unwrap();
                let rebuilt: Obligations = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(&rebuilt, &tree, "a snapshot gives the same indexes");
                let due = |o: &&Obligation| o.state == ObligationState::Due && o.duty == Duty::Reverse;
                let owed = || list.iter().filter(due);
                prop_assert_eq!(tree.blocking(&account).map(|f| f.0), owed().map(|o| o.txn).min());
                let next = tree.due(&account).map(|o| o.next_try).min();
                prop_assert_eq!(next, owed().map(|o| o.next_try).min());
                // Heads: of each card the earliest that waits.
                let mut heads = std::collections::BTreeMap::new();
                for o in list.iter().filter(|o| waits(o)) {
                    heads.entry(o.card.clone()).or_insert(o.txn);
                }
                let heads_found = tree.fresh(&account).chain(tree.again(&account));
                let mut found: Vec<u64> = heads_found.map(|o| o.txn).collect();
                let mut wanted: Vec<u64> = heads.into_values().collect();
                found.sort_unstable();
                wanted.sort_unstable();
                prop_assert_eq!(found, wanted);
                prop_assert_eq!(tree.exposure(&account, OfflineAuthority::Merchant).count, list.len() as u64);
                prop_assert_eq!(tree.names_batch(&account, Batch::FIRST), !list.is_empty());
                prop_assert!(!tree.names_batch(&account, Batch::FIRST.next()));
                for txn in 0..=last {
                    let there = list.iter().any(|o| o.txn == txn);
                    prop_assert_eq!(tree.seals(txn), there);
                    prop_assert_eq!(Stan::new(txn as u32).is_some_and(|s| tree.names(&account, s)), there);
                }
            }
        }
    }
}
