//! Sparing log of troubles that may come again and again.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time within which one trouble is logged once.
const EVERY: Duration = Duration::from_secs(60);
/// Kinds of a trouble that are logged within that time. 64: some for each device or operator.
const KINDS: usize = 64;

/// When each kind of a trouble was logged last.
#[derive(Default)]
pub struct Sparing<K = ()>(Mutex<BTreeMap<K, Instant>>);

impl Sparing {
    /// Tells whether it is to be logged now: the last time is a minute ago, or there was none.
    pub fn is_due(&self) -> bool {
        self.is_due_of(())
    }
}
impl<K: Ord> Sparing<K> {
    /// As [`Sparing::is_due`], of one kind.
    pub fn is_due_of(&self, kind: K) -> bool {
        self.is_due_at(kind, Instant::now())
    }
    fn is_due_at(&self, kind: K, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| now.duration_since(*at) < EVERY);
        let due = last.len() < KINDS && !last.contains_key(&kind);
        if due {
            last.insert(kind, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_due_once_a_minute_and_not_too_many_are() {
        let (sparing, start) = (Sparing::default(), Instant::now());
        let due = |kind: usize, s| sparing.is_due_at(kind, start + Duration::from_secs(s));
        assert_eq!((due(0, 0), due(0, 59), due(1, 59), due(0, 60)), (true, false, true, true));
        assert_eq!((2..100).filter(|kind| due(*kind, 61)).count(), KINDS - 2);
        assert!(due(0, 200));
    }
}
