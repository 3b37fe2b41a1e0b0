//! What lies in a reader of pcscd: a thread asks, and who waits is woken.
use crate::DeviceError;
use pcsc::{Context, Error, ReaderState, State};
use std::{
    ffi::CStr,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Longest time of one question to pcscd. 5 s: the thread of a reader that was left ends by then.
const QUESTION: Duration = Duration::from_secs(5);

/// Watched reader.
pub(super) struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}
#[derive(Default)]
struct Seen {
    /// Number of the insertion of the card that is there.
    card: Option<u32>,
    /// pcscd has said once what is there.
    known: bool,
    lost: Option<Lost>,
    interrupted: bool,
    /// Nobody looks any more.
    left: bool,
}

/// Why nothing more is seen of a reader.
#[derive(Clone, Copy)]
pub(super) enum Lost {
    Unplugged,
    Service(Error),
}
impl Lost {
    pub(super) fn error(self, device: &str) -> DeviceError {
        match self {
            Self::Unplugged => DeviceError::Gone { device: device.into() },
            Self::Service(e) => DeviceError::io(device, "asking pcscd", io::Error::other(e)),
        }
    }
}

impl Watch {
    /// Starts the thread. It ends when the reader is lost, or was left.
    pub(super) fn begin(context: Context, reader: &CStr) -> io::Result<Arc<Self>> {
        let watch = Arc::new(Self { seen: Mutex::default(), changed: Condvar::new() });
        let (eye, mut states) = (watch.clone(), [ReaderState::new(reader, State::UNAWARE)]);
        std::thread::Builder::new().name("pcsc-watch".into()).spawn(move || {
            while !eye.seen().left {
                let asked = match context.get_status_change(QUESTION, &mut states) {
                    Err(Error::Timeout) => continue,
                    Err(Error::UnknownReader | Error::ReaderUnavailable) => Err(Lost::Unplugged),
                    Err(e) => Err(Lost::Service(e)),
                    Ok(()) => {
                        let [state] = &mut states;
                        state.sync_current_state();
                        let is = state.event_state();
                        if is.intersects(State::UNKNOWN | State::UNAVAILABLE) {
                            Err(Lost::Unplugged)
                        } else {
                            Ok(is.contains(State::PRESENT).then(|| state.event_count()))
                        }
                    }
                };
                let mut seen = eye.seen();
                match asked {
                    Ok(card) => (seen.card, seen.known) = (card, true),
                    Err(lost) => seen.lost = Some(lost),
                }
                eye.changed.notify_all();
                if seen.lost.is_some() {
                    break;
                }
            }
        })?;
        Ok(watch)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Waits until `done` gives something; none: not in this time.
    fn until<T>(&self, within: Duration, done: impl Fn(&mut Seen) -> Option<T>) -> Result<Option<T>, Lost> {
        let until = Instant::now() + within;
        let mut seen = self.seen();
        loop {
            if let Some(lost) = seen.lost {
                return Err(lost);
            }
            let done = done(&mut seen);
            let left = until.saturating_duration_since(Instant::now());
            if done.is_some() || left.is_zero() {
                return Ok(done);
            }
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a card other than `spent`; none: not in this time, or it was interrupted.
    pub(super) fn wait(&self, within: Duration, spent: Option<u32>) -> Result<Option<u32>, Lost> {
        let found = self.until(within, |seen| {
            let interrupted = std::mem::take(&mut seen.interrupted);
            let card = seen.card.filter(|card| Some(*card) != spent);
            (interrupted || card.is_some()).then_some(card)
        })?;
        Ok(found.flatten())
    }
    /// Tells whether this card is out, at the latest after this time.
    pub(super) fn is_pulled(&self, card: u32, within: Duration) -> Result<bool, Lost> {
        Ok(self.until(within, |seen| (seen.card != Some(card)).then_some(()))?.is_some())
    }
    /// Card that is there; one that was just opened takes a moment to know.
    pub(super) fn card(&self) -> Result<Option<u32>, Lost> {
        Ok(self.until(QUESTION, |seen| seen.known.then_some(seen.card))?.flatten())
    }

    pub(super) fn interrupt(&self) {
        self.seen().interrupted = true;
        self.changed.notify_all();
    }
    pub(super) fn leave(&self) {
        self.seen().left = true;
    }
}
