//! The ordering rule (architecture §2): the records of a step are durable before its effects are released.
//! Sans-IO; the terminal actor drives it with what the store answers.
//!
//! Invariant: effects leave in the order in which they came in, and none before every record up to and
//! including those of its own step is durable. (What asks the customer is not given to the queue while
//! nothing in it waits that he is to see before: [`asked_now`].)
use payterm_core::{Ask, Effect};
use payterm_schema::{Outcome, Record, RequestRecord, Time, record::Entry, time::Millis};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Outcomes of the last minute are told again by a machine that was rebuilt; told twice does no harm, never
/// told does.
const TELL_AGAIN: Millis = Millis::secs(60);

/// Steps whose effects wait for the disk. `E` is the machine's effect.
#[derive(Debug)]
pub struct CommitQueue<E> {
    /// (sequence number that must be durable, effects), in order; the numbers do not fall.
    waiting: VecDeque<(u64, Vec<E>)>,
    /// Last record of the last step that came in.
    handed: u64,
    durable: u64,
}

impl<E> CommitQueue<E> {
    /// `durable`: the last record that was read back from disk.
    pub fn new(durable: u64) -> Self {
        Self { waiting: VecDeque::new(), handed: durable, durable }
    }

    /// A step: the sequence number of its last record, if it has any, and its effects. Answers what may go
    /// out now.
    ///
    /// # Panics
    /// When the numbers do not rise: the machine and the journal have parted, and nothing may go out any
    /// more.
    pub fn push(&mut self, last_seq: Option<u64>, effects: Vec<E>) -> Vec<E> {
        if let Some(seq) = last_seq {
            assert!(seq > self.handed, "step ends with record {seq} after record {}", self.handed);
            self.handed = seq;
        }
        if self.handed <= self.durable {
            return effects;
        }
        if !effects.is_empty() {
            self.waiting.push_back((self.handed, effects));
        }
        Vec::new()
    }

    /// All records up to `seq` are on disk. Answers what may go out now.
    ///
    /// # Panics
    /// When the disk holds a record that no step brought.
    pub fn durable(&mut self, seq: u64) -> Vec<E> {
        assert!(seq <= self.handed, "record {seq} is durable, but only {} were handed over", self.handed);
        self.durable = self.durable.max(seq);
        let mut out = Vec::new();
        while self.waiting.front().is_some_and(|(needs, _)| *needs <= self.durable) {
            if let Some((_, effects)) = self.waiting.pop_front() {
                out.extend(effects);
            }
        }
        out
    }

    /// What waits, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &E> {
        self.waiting.iter().flat_map(|(_, effects)| effects)
    }

    /// A commit failed: answers what was never released, so that callers can be told; none of it may be
    /// carried out.
    pub fn failed(self) -> Vec<E> {
        self.waiting.into_iter().flat_map(|(_, effects)| effects).collect()
    }

    /// Steps that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What waits for the disk and is for the customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// A question: its end does not go before it.
    Question,
    /// Something to be seen first.
    Page,
}
impl Facing {
    pub fn of_ask(ask: &Ask) -> Self {
        if ask.is_answered() { Self::Question } else { Self::Page }
    }
    pub fn of_effect(effect: &Effect) -> Option<Self> {
        effect.faces_customer().then_some(Self::Page)
    }
}

/// Takes out of a step's asks those that go at once: all, where nothing waits that the customer is to see
/// before. Behind a page what ends a question goes all the same: a cancelled payment's PIN is not typed on
/// while the disk stalls.
pub fn asked_now(asks: &mut Vec<Ask>, waits: impl Iterator<Item = Facing>) -> Vec<Ask> {
    let mut first = asks.len();
    for facing in waits {
        first = match facing {
            Facing::Question => return Vec::new(),
            Facing::Page => asks.iter().take_while(|a| a.ends()).count(),
        };
    }
    asks.drain(..first).collect()
}

/// Outcomes that are told again after the machine was rebuilt: the last outcome of each transaction, so
/// that none seems to change back, where it is recent. (First the last, then the recent: a clock that was
/// set back makes an earlier one look newer.)
pub fn tell_again(tail: &[Entry], now: Time) -> Vec<Arc<Outcome>> {
    let mut last = BTreeMap::new();
    for e in tail {
        if let Record::Request(RequestRecord::Outcome { outcome, .. }) = &e.record {
            last.insert(outcome.txn, (e.at, outcome));
        }
    }
    last.into_values().filter(|(at, _)| now.since(*at) < TELL_AGAIN).map(|(_, o)| Arc::clone(o)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn effects_wait_for_their_records() {
        let mut q = CommitQueue::new(0);
        assert_eq!(q.push(Some(2), vec!["a", "b"]), [""; 0]);
        assert_eq!(q.durable(1), [""; 0]);
        assert_eq!(q.waiting().collect::<Vec<_>>(), [&"a", &"b"]);
        assert_eq!(q.durable(2), ["a", "b"]);
        assert!(q.is_empty() && q.waiting().next().is_none());
    }

    #[test]
    fn an_ask_waits_for_what_is_to_be_seen_before_and_an_end_only_for_questions() {
        use payterm_schema::Screen;
        let trouble = || Screen::Trouble { what: "clock".into() };
        // Stars that wait hold no end up, as no other page does.
        assert_eq!(Facing::of_ask(&Ask::Show(trouble(), None)), Facing::Page);
        assert_eq!(Facing::of_ask(&Ask::Offer { txn: 1, modes: Vec::new() }), Facing::Question);
        assert_eq!(Facing::of_effect(&Effect::Show(trouble(), None)), Some(Facing::Page));
        assert_eq!(Facing::of_effect(&Effect::Renew), None);
        let pin = || Ask::AbortPin { tag: 1 };
        let offer = || Ask::Offer { txn: 1, modes: Vec::new() };
        let all = || vec![Ask::Withdraw, pin(), offer(), Ask::Withdraw];
        for (waits, now) in [
            (&[][..], 4),
            (&[Facing::Page], 2),
            (&[Facing::Page, Facing::Page], 2),
            (&[Facing::Question], 0),
            (&[Facing::Page, Facing::Question], 0),
        ] {
            let mut asks = all();
            let mut told = asked_now(&mut asks, waits.iter().copied());
            assert_eq!(told.len(), now, "{waits:?}");
            told.extend(asks);
            assert_eq!(told, all(), "in order");
        }
    }

    #[test]
    fn a_step_without_records_waits_for_the_earlier_ones_only() {
        let mut q = CommitQueue::new(7);
        assert_eq!(q.push(None, vec!["now"]), ["now"]);
        assert_eq!(q.push(Some(8), vec![]), [""; 0]);
        assert_eq!(
            q.push(None, vec!["after 8"]),
            [""; 0],
            "the earlier step has no effects, but its records count"
        );
        assert_eq!(q.durable(8), ["after 8"]);
        assert_eq!(q.push(None, vec!["now again"]), ["now again"]);
    }

    #[test]
    fn a_group_releases_several_steps_in_order() {
        let mut q = CommitQueue::new(0);
        q.push(Some(1), vec![1]);
        q.push(Some(3), vec![2, 3]);
        q.push(None, vec![4]);
        q.push(Some(4), vec![5]);
        assert_eq!(q.durable(3), [1, 2, 3, 4]);
        assert_eq!(q.len(), 1);
        assert_eq!(q.durable(3), [0; 0], "told twice");
        assert_eq!(q.durable(2), [0; 0], "told late");
        assert_eq!(q.durable(4), [5]);
    }

    #[test]
    fn a_failure_hands_back_what_was_not_released() {
        let mut q = CommitQueue::new(0);
        q.push(Some(1), vec![1]);
        q.push(Some(2), vec![2]);
        assert_eq!(q.durable(1), [1]);
        q.push(None, vec![3]);
        assert_eq!(q.failed(), [2, 3]);
    }

    #[test]
    #[should_panic(expected = "after record 5")]
    fn numbers_that_fall_stop_everything() {
        CommitQueue::<()>::new(5).push(Some(5), vec![]);
    }
    #[test]
    #[should_panic(expected = "only 5 were handed over")]
    fn a_disk_ahead_of_the_machine_stops_everything() {
        CommitQueue::<()>::new(5).durable(6);
    }

    #[derive(Clone, Debug)]
    enum Act {
        Step { records: u64, effects: usize },
        Durable(u64),
    }
    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0u64..4, 0usize..4).prop_map(|(records, effects)| Act::Step { records, effects }),
            (0u64..12).prop_map(Act::Durable)
        ]
    }

    proptest! {
        /// Against a model: each effect carries (its number, the record that it needs).
        #[test]
        fn never_before_durable_never_out_of_order_never_lost(
            start in 0u64..5,
            acts in prop::collection::vec(act(), 0..200),
        ) {
            let mut q = CommitQueue::new(start);
            let (mut handed, mut durable, mut made) = (start, start, 0u64);
            let mut out: Vec<(u64, u64)> = Vec::new();
            for act in acts {
                let released = match act {
                    Act::Step { records, effects } => {
                        handed += records;
                        let effects = (0..effects).map(|_| { made += 1; (made, handed) }).collect();
                        q.push((records > 0).then_some(handed), effects)
                    }
                    Act::Durable(by) => {
                        durable = (durable + by).min(handed);
                        q.durable(durable)
                    }
                };
                for (_, needs) in &released {
                    prop_assert!(*needs <= durable, "an effect of record {} went out at {}", needs, durable);
                }
                out.extend(released);
                prop_assert!(out.iter().map(|e| e.0).eq(1..=out.len() as u64), "out of order: {:?}", out);
                prop_assert!(q.is_empty() || handed > durable, "all is durable, but something waits");
            }
            let waiting = q.failed();
            prop_assert_eq!(out.len() + waiting.len(), made as usize);
        }
    }
}
