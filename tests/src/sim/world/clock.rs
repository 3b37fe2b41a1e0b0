//! Mishap model of the clock. While the power is off it may be set forward or back by any time. While it is
//! on, the daemon's clock is monotonic (`crates/engine/src/clock.rs`): it takes a step forward over when the
//! next request comes, and none back. It is never slower or faster than the world's, and no two events have a
//! negative time between them in one run.
use super::{Event, World};
use payterm_schema::Time;
use std::cmp::Reverse;

impl World {
    /// What the terminal's clock reads.
    pub fn clock(&self) -> Time {
        Time(self.now.0 + self.skew)
    }

    /// When the machine wants to be called, in the world's time.
    pub(super) fn timer(&self) -> Option<Time> {
        let wake = self.machine.poll_timeout().filter(|_| !self.disk.down)?;
        Some(Time(wake.at.0.saturating_sub(self.skew)))
    }

    /// Has it happen so many ms from now.
    pub(super) fn later(&mut self, ms: i64, event: Event) {
        self.next_id += 1;
        self.heap.push(Reverse((self.now.0 + ms, self.next_id)));
        self.events.insert(self.next_id, event);
    }

    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// The system's clock was set while the power is on. True = the daemon has taken it over: it does where
    /// no deadline suffers.
    pub(super) fn set_clock(&mut self, ms: i64) -> bool {
        let idle = self.handed.is_empty() && self.machine.running().is_none();
        self.skew += if idle { ms.max(0) } else { 0 };
        idle
    }
}
