//! Switch: the cell by which readers that need no command are armed. The engine sets it, the driver looks at
//! it.
//!
//! Invariant: setting it runs no code of the driver and takes no lock of it; a thread is woken only when it
//! said that something waits for that.
use payterm_schema::host::EntryMode;
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Parts of the word: modes (15 bits), armed (1 bit), how often the device was put to rest and how often the
/// switch was set (24 bits each).
const ARMED: u64 = 1 << 15;
const REST: u64 = 1 << 16;
const OFFER: u64 = 1 << 40;

const fn bit(mode: EntryMode) -> u64 {
    match mode {
        EntryMode::Swipe => 1,
        EntryMode::Chip => 1 << 1,
        EntryMode::Contactless => 1 << 2,
        EntryMode::Code => 1 << 3,
        EntryMode::Manual => 1 << 4,
    }
}

/// State of a [`Switch`] at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed(u64);
impl Armed {
    /// Tells whether the device is armed, be it for keys alone.
    pub const fn is_armed(self) -> bool {
        self.0 & ARMED != 0
    }
    /// Tells whether the device is armed for instruments of this mode.
    pub const fn takes(self, mode: EntryMode) -> bool {
        self.is_armed() && self.0 & bit(mode) != 0
    }
    /// Number of the offer: one instrument is given for each.
    pub const fn offer(self) -> u64 {
        self.0 >> 40
    }
    /// Number of times that the device was put to rest: what was presented before the last time is forgotten.
    pub const fn rests(self) -> u64 {
        (self.0 >> 16) & 0xff_ffff
    }
}

/// Switch of one reader: modes and counters in one atomic word.
#[derive(Debug, Default)]
pub struct Switch {
    word: AtomicU64,
    /// Number of threads that want to be woken when it is set.
    attending: AtomicUsize,
    pokes: Mutex<u64>,
    poked: Condvar,
}

impl Switch {
    /// Arms the device for instruments of these modes, or (`None`) puts it to rest. Called by one thread at a
    /// time.
    pub fn set(&self, modes: Option<&[EntryMode]>) {
        let old = self.word.load(Ordering::SeqCst);
        let counted = (old & !(REST - 1)).wrapping_add(OFFER);
        let new = match modes {
            Some(modes) => modes.iter().fold(counted | ARMED, |word, mode| word | bit(*mode)),
            None => {
                let rests = counted.wrapping_add(REST) & (OFFER - REST);
                (counted & !(OFFER - REST)) | rests
            }
        };
        self.word.store(new, Ordering::SeqCst);
        if self.attending.load(Ordering::SeqCst) > 0 {
            self.poke();
        }
    }
    /// State now.
    pub fn now(&self) -> Armed {
        Armed(self.word.load(Ordering::SeqCst))
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.pokes.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Wakes all threads that wait at it.
    pub(crate) fn poke(&self) {
        *self.lock() += 1;
        self.poked.notify_all();
    }
    /// Number of times that it was poked.
    pub(crate) fn pokes(&self) -> u64 {
        *self.lock()
    }
    /// Guard that makes [`Switch::set`] wake who waits. To be taken before the state is looked at, or a
    /// change in between would be slept over.
    pub(crate) fn attend(&self) -> Attending<'_> {
        self.attending.fetch_add(1, Ordering::SeqCst);
        Attending(self)
    }
    /// Waits until it was poked since `seen`, or until the time is over.
    pub(crate) fn wait(&self, seen: u64, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        drop(self.poked.wait_timeout_while(self.lock(), left, |now| *now == seen));
    }
}

/// Guard of [`Switch::attend`].
pub(crate) struct Attending<'a>(&'a Switch);
impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.attending.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_offers_and_rests() {
        let switch = Switch::default();
        assert!(!switch.now().is_armed());
        switch.set(Some(&[EntryMode::Swipe, EntryMode::Manual]));
        let first = switch.now();
        assert!(
            first.takes(EntryMode::Swipe)
                && first.takes(EntryMode::Manual)
                && !first.takes(EntryMode::Contactless)
        );
        switch.set(Some(&[]));
        let keys = switch.now();
        assert!(keys.is_armed() && !keys.takes(EntryMode::Swipe));
        assert_eq!((keys.offer(), keys.rests()), (first.offer() + 1, first.rests()));
        switch.word.store(u64::MAX, Ordering::SeqCst);
        switch.set(None);
        let wrapped = switch.now();
        assert_eq!((wrapped.is_armed(), wrapped.offer(), wrapped.rests()), (false, 0, 0));
        switch.word.store(OFFER - 1, Ordering::SeqCst);
        switch.set(None);
        assert_eq!((switch.now().offer(), switch.now().rests()), (1, 0), "each count wraps by itself");
    }

    #[test]
    fn nobody_is_woken_but_who_attends() {
        let switch = Switch::default();
        let seen = switch.pokes();
        switch.set(Some(&[EntryMode::Swipe]));
        assert_eq!(switch.pokes(), seen);
        let attending = switch.attend();
        switch.set(None);
        assert_eq!(switch.pokes(), seen + 1);
        drop(attending);
        switch.set(None);
        assert_eq!(switch.pokes(), seen + 1);
    }
}
