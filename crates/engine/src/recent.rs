//! The last request, as it was told: who waits for it need not ask the store.
use payterm_schema::{Outcome, RequestKey, Time};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug)]
pub struct Request {
    key: RequestKey,
    pub started: Time,
    /// The outcome as last told; none while the request runs.
    pub outcome: Option<Arc<Outcome>>,
}

#[derive(Clone, Default)]
pub struct Recent(Arc<Mutex<Option<Request>>>);

impl Recent {
    fn locked(&self) -> MutexGuard<'_, Option<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn started(&self, key: &RequestKey, at: Time) {
        *self.locked() = Some(Request { key: key.clone(), started: at, outcome: None });
    }
    pub fn ended(&self, outcome: &Arc<Outcome>) {
        if let Some(r) = self.locked().as_mut().filter(|r| r.key == outcome.key) {
            r.outcome = Some(Arc::clone(outcome));
        }
    }
    /// The last request, when it has this key; of any other the store knows.
    pub fn of(&self, key: &RequestKey) -> Option<Request> {
        self.locked().clone().filter(|r| r.key == *key)
    }
}
