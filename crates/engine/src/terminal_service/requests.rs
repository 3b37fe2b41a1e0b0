//! Requests: looked up before they are submitted, waited for, recalled.
use super::{LOOK_AGAIN, TerminalService, machine::store_fault};
use payterm_core::{Call, Input, Machine};
use payterm_journal::Found;
use payterm_schema::{
    Caller, Fault, Notice, Outcome, Request, RequestKey, Screen, Status,
    notice::Phase,
    outcome::{Class, Reason},
    record::{Duty, ObligationState},
    terminal::Transaction,
    time::Millis,
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::broadcast::error::RecvError, time::timeout};

/// Knowledge of the machine about a request, beyond the store's row.
enum Known {
    /// Nothing beyond the row.
    Row,
    /// The request runs, and has come to this.
    Runs(Arc<Outcome>),
    /// No answer comes by itself: what its frame owes is Stuck.
    Stuck(Duty),
}

/// Tells whether the machine may know more of the request than the row.
fn is_open(o: &Outcome) -> bool {
    matches!(o.status, Status::Running | Status::Unknown)
}

fn known(machine: &Machine, txn: u64, status: Status) -> Known {
    let state = machine.state();
    if let Some(running) = state.running.as_ref().filter(|r| r.txn == txn && status == Status::Running) {
        return Known::Runs(running.view.clone());
    }
    let mut owed = state.obligations.of(txn);
    owed.find(|o| o.state == ObligationState::Stuck).map_or(Known::Row, |o| Known::Stuck(o.duty))
}

/// Sends whoever recalls a request that is Stuck to the acquirer; no answer comes by waiting.
fn stuck(o: &mut Outcome, duty: Duty) {
    if o.status != Status::Unknown {
        return;
    }
    o.answer_by = None;
    // A refund, and what was restored, have advice of their own.
    if let Some(reason) = o.reason.as_mut().filter(|r| duty == Duty::Reverse && r.code != "journal-restored")
    {
        reason.code = "stuck".into();
    }
}

fn no_such(key: &RequestKey) -> Fault {
    Fault::not_found("request", &key.id)
}

impl TerminalService {
    /// Asks the machine for something of the request that runs. One that has just begun may be on no disk
    /// yet: what the store knows of it counts only where the machine serves another.
    pub(super) async fn of_running(
        &self,
        caller: &Caller,
        key: &RequestKey,
        input: impl FnOnce(Call) -> Input + Send + 'static,
    ) -> Result<(), Fault> {
        if !caller.sees(&key.app) {
            return Err(no_such(key));
        }
        let answer = self.ask(&key.id, input).await;
        if let Err(Fault::TooLate { .. } | Fault::WrongState { .. }) = answer {
            self.found(caller, key).await?;
        }
        answer
    }

    /// Answers what the store knows of a request that this caller may see; to others it does not exist.
    pub(super) async fn found(&self, caller: &Caller, key: &RequestKey) -> Result<Found, Fault> {
        let found =
            if caller.sees(&key.app) { self.store.by_key(key).await.map_err(store_fault)? } else { None };
        let Some(mut found) = found else {
            let lost = caller.sees(&key.app) && self.store.lost(key).await.map_err(store_fault)?;
            return Err(if lost { Fault::RequestLost { id: key.id.clone() } } else { no_such(key) });
        };
        self.complete(std::slice::from_mut(&mut found.outcome)).await;
        Ok(found)
    }

    /// Completes outcomes as the store has them: the words of their reasons, and what the machine knows
    /// beyond the row.
    pub(super) async fn complete(&self, outcomes: &mut [Outcome]) {
        outcomes.iter_mut().for_each(|o| self.spoken.texts().fill(o));
        let open: Vec<(u64, Status)> =
            outcomes.iter().filter(|o| is_open(o)).map(|o| (o.txn, o.status)).collect();
        if open.is_empty() {
            return;
        }
        let known = move |m: &Machine| open.into_iter().map(|(txn, status)| known(m, txn, status)).collect();
        let Ok(known): Result<Vec<_>, _> = self.look(known).await else { return };
        for (o, known) in outcomes.iter_mut().filter(|o| is_open(o)).zip(known) {
            self.take_over(o, known);
        }
    }

    fn take_over(&self, o: &mut Outcome, known: Known) {
        match known {
            Known::Row => {}
            Known::Runs(view) => *o = Arc::unwrap_or_clone(view),
            Known::Stuck(duty) => stuck(o, duty),
        }
        self.spoken.texts().fill(o);
    }

    pub(super) async fn recalled(&self, caller: &Caller, key: &RequestKey) -> Result<Transaction, Fault> {
        let found = self.found(caller, key).await?;
        let transaction =
            |outcome, phase: Phase| Transaction { outcome, phase, can_cancel: phase.can_cancel() };
        if found.outcome.status != Status::Running {
            return Ok(transaction(found.outcome, Phase::Ended));
        }
        let own = key.clone();
        let asked = |m: &Machine| (m.phase(), m.screen());
        let running = self.look(move |m| m.running().filter(|(key, _)| **key == own).map(|_| asked(m))).await;
        match running {
            Ok(Some((phase, screen))) => {
                let mut outcome = found.outcome;
                // As it will stand, once somebody has agreed to the part.
                if let Screen::ConfirmPartial { asked, approved } = screen {
                    (outcome.sums.asked, outcome.sums.amount) = (Some(asked.minor()), Some(approved.minor()));
                }
                Ok(transaction(outcome, phase))
            }
            // It ended between the two looks.
            Ok(None) | Err(_) => Ok(transaction(self.found(caller, key).await?.outcome, Phase::Ended)),
        }
    }

    pub(super) async fn submit(&self, caller: &Caller, request: Request) -> Result<RequestKey, Fault> {
        let key = RequestKey::new(&caller.app, &request.id)?;
        caller.may_start(&request)?;
        let _one = self.submit_lock.lock().await;
        if self.store.knows(&key) != Some(false) {
            if let Some(found) = self.store.by_key(&key).await.map_err(store_fault)? {
                return if found.hash == request.content_hash() {
                    Ok(key)
                } else {
                    Err(Fault::KeyReused { id: key.id })
                };
            }
            if self.store.lost(&key).await.map_err(store_fault)? {
                return Err(Fault::RequestLost { id: key.id });
            }
        }
        let (free, floor) =
            (self.store.free().map_err(store_fault)?, u64::from(self.config.store.free_mib) << 20);
        if free < floor {
            return Err(Fault::DiskFull { free_mib: free >> 20, needed_mib: floor >> 20 });
        }
        // A repeated request is recalled while shutting down, a new one is not begun.
        self.begins()?;
        let start = key.clone();
        self.ask(&key.id, move |call| Input::Start { call, key: start, request: Box::new(request) }).await?;
        Ok(key)
    }

    /// Final, or `Unknown` told by the machine, or what is known when the time to answer is over.
    pub(super) async fn outcome(
        &self,
        caller: &Caller,
        key: &RequestKey,
        final_only: bool,
    ) -> Result<Outcome, Fault> {
        // First the ear, then the look: an outcome in between is heard.
        let mut notices = self.notices.subscribe();
        let answers = |o: &Outcome| o.status.is_final() || (!final_only && o.status == Status::Unknown);
        // Of what is unknown the machine knows more than was told: that it is stuck by now.
        let unknown = |o: &Arc<Outcome>| o.status == Status::Unknown;
        let mut recent =
            self.recent.of(key).filter(|r| caller.sees(&key.app) && !r.outcome.as_ref().is_some_and(unknown));
        loop {
            let (started, now) = match recent.take() {
                Some(r) => (r.started, r.outcome.map(Arc::unwrap_or_clone)),
                None => {
                    let now = self.found(caller, key).await?.outcome;
                    (now.started, Some(now))
                }
            };
            if let Some(now) = now.clone().filter(answers) {
                return Ok(now);
            }
            let by = started + Millis(i64::from(self.config.flow.answer_within_ms));
            let wait = if final_only { Duration::MAX } else { self.clock.until(by) };
            if wait.is_zero() {
                match now {
                    Some(now) => return Ok(self.not_yet(now)),
                    None => continue,
                }
            }
            let heard = timeout(wait.min(LOOK_AGAIN), async {
                loop {
                    match notices.recv().await {
                        // Told when it was durable, texts and all: no need to ask the store.
                        Ok(Notice::Outcome { outcome }) if outcome.key == *key && answers(&outcome) => {
                            return Ok(Some(Arc::unwrap_or_clone(outcome)));
                        }
                        Ok(_) => {}
                        // Some were missed: look again.
                        Err(RecvError::Lagged(_)) => return Ok(None),
                        Err(RecvError::Closed) => return Err(Fault::ShuttingDown),
                    }
                }
            });
            if let Some(outcome) = heard.await.unwrap_or(Ok(None))? {
                return Ok(outcome);
            }
        }
    }

    /// The caller's time is over while the request still runs: for the caller it is unknown.
    fn not_yet(&self, mut outcome: Outcome) -> Outcome {
        outcome.status = Status::Unknown;
        outcome.reason = Some(Reason::new("still-running", Class::P));
        self.spoken.texts().fill(&mut outcome);
        outcome
    }
}
