//! Sparing log of a trouble that may come again and again.
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Time within which one trouble is logged once.
const EVERY: Duration = Duration::from_secs(60);

/// When a trouble was logged last.
#[derive(Default)]
pub struct Sparing(Mutex<Option<Instant>>);

impl Sparing {
    /// Tells whether it is to be logged now: the last time is a minute ago, or there was none.
    pub fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}
