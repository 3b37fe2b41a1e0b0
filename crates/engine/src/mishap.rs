//! Planted panics, for the tests of supervision: `Mishaps::default()` plants none and costs one pointer
//! comparison.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A kind of actor that a panic can be planted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Terminal,
    Device,
    HostLink,
    Store,
    Spooler,
}

/// Shared by all parts of one daemon; the tests hold a clone.
#[derive(Clone, Default)]
pub struct Mishaps(Option<Arc<Mutex<BTreeMap<Part, Planted>>>>);
/// Pieces of work until then, and how long it hangs before.
type Planted = (u32, Duration);

impl Mishaps {
    /// Mishaps that can be told to plant.
    pub fn armed() -> Self {
        Self(Some(Arc::default()))
    }
    /// `part` panics at its `nth` next piece of work (1 = the very next), once.
    pub fn plant(&self, part: Part, nth: u32) {
        self.plant_slow(part, nth, Duration::ZERO);
    }
    /// Plants a panic before which the part hangs for so long.
    pub fn plant_slow(&self, part: Part, nth: u32, hangs: Duration) {
        if let Some(m) = &self.0 {
            m.lock().unwrap_or_else(PoisonError::into_inner).insert(part, (nth, hangs));
        }
    }
    /// Carries out what was planted; called by each part where it takes up a piece of work.
    pub(crate) fn pass(&self, part: Part) {
        let Some(m) = &self.0 else { return };
        let mut m = m.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, hangs)) = m.get_mut(&part) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            let hangs = *hangs;
            m.remove(&part);
            drop(m);
            std::thread::sleep(hangs);
            panic!("planted panic in {part:?}");
        }
    }
}
