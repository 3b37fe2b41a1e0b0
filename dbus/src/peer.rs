//! Callers: one [`Peer`] a unique bus name, or a peer-to-peer connection.
use crate::link::Callers;
use payterm_schema::{Caller, Fault, RequestKey};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{OnceCell, Semaphore, watch};

/// Calls of one peer that may be under way at once; the next is refused with LimitsExceeded. 32: a till has a
/// few Waits.
const CALLS_AT_ONCE: usize = 32;
/// Started requests remembered for the peer's loss; only one can be running, the rest is slack.
const STARTED: usize = 8;

pub(crate) struct Peer {
    /// Unique name on a bus; none on a peer-to-peer socket.
    pub name: Option<String>,
    /// Found out once.
    uid: OnceCell<u32>,
    started: Mutex<Vec<RequestKey>>,
    gone: watch::Sender<bool>,
    follows: AtomicBool,
    /// Fault of the last call that failed: `Manager.LastFault`.
    fault: Mutex<Option<Fault>>,
    pub calls: Arc<Semaphore>,
    /// Refusals that wait to be written: more than that and the peer reads nothing.
    pub refusals: Arc<Semaphore>,
}

impl Peer {
    pub fn new(name: Option<String>) -> Arc<Self> {
        Arc::new(Self {
            name,
            uid: OnceCell::new(),
            started: Mutex::default(),
            gone: watch::Sender::new(false),
            follows: AtomicBool::new(false),
            fault: Mutex::default(),
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            refusals: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
        })
    }

    /// The caller, by its uid; `uid` is asked once. A uid without a row in the configuration is refused.
    pub async fn caller<F: Future<Output = Result<u32, Fault>>>(
        &self,
        callers: &Callers,
        uid: impl FnOnce() -> F,
    ) -> Result<Arc<Caller>, Fault> {
        let uid = *self.uid.get_or_try_init(uid).await?;
        callers.iter().find(|c| c.uid == uid).cloned().ok_or_else(|| Fault::NotAllowed {
            rule: "this user is not a [[bus.caller]] of the configuration".into(),
        })
    }
    /// The caller when it is known already and has asked for signals.
    pub fn follower<'c>(&self, callers: &'c Callers) -> Option<&'c Arc<Caller>> {
        if self.follows.load(Ordering::Relaxed) && !self.is_gone() {
            let uid = self.uid.get()?;
            callers.iter().find(|c| c.uid == *uid)
        } else {
            None
        }
    }
    /// The user id, when it was found out.
    pub fn uid(&self) -> Option<u32> {
        self.uid.get().copied()
    }
    pub fn last_fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    pub fn failed(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
    pub fn follow(&self) {
        self.follows.store(true, Ordering::Relaxed);
    }

    /// Remembers a request that this peer started. False when the peer has gone meanwhile: then its loss is
    /// the caller's to tell.
    pub fn started(&self, key: &RequestKey) -> bool {
        let mut all = self.locked();
        if !all.contains(key) {
            if all.len() >= STARTED {
                all.remove(0);
            }
            all.push(key.clone());
        }
        !self.is_gone()
    }
    pub fn ended(&self, key: &RequestKey) {
        self.locked().retain(|k| k != key);
    }
    pub fn has_started(&self, key: &RequestKey) -> bool {
        !self.is_gone() && self.locked().contains(key)
    }
    /// Marks it gone and answers what it had started.
    pub fn leave(&self) -> Vec<RequestKey> {
        let mut all = self.locked();
        self.gone.send_replace(true);
        std::mem::take(&mut *all)
    }
    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }
    /// Ends when the peer has gone.
    pub async fn left(&self) {
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }
    fn locked(&self) -> MutexGuard<'_, Vec<RequestKey>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
