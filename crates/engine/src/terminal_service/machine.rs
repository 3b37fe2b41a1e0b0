//! Ways of the service to the terminal's machine.
use super::TerminalService;
use crate::{front_door::restarting, supervise::Gone, terminal::Look};
use payterm_core::{Call, Input, Machine};
use payterm_journal::StoreError;
use payterm_schema::Fault;

pub(super) fn store_fault(e: StoreError) -> Fault {
    tracing::error!("query: {e}");
    Fault::Restarting { part: "store".into() }
}

impl TerminalService {
    /// Puts a question to the machine; answered when that is durable. `id`: what a fault names.
    pub(super) async fn ask(
        &self,
        id: &str,
        input: impl FnOnce(Call) -> Input + Send + 'static,
    ) -> Result<(), Fault> {
        self.terminal.question(id, input).await
    }

    /// Answers what `look` copies of the machine, once that is durable.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Machine) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        self.terminal.ask(Look(Box::new(look))).await.map_err(|Gone| restarting())?
    }

    /// Waits for the turn of a caller who only looks.
    pub(crate) async fn look_turn(&self) {
        // A request that is being submitted does not run yet.
        let served = || self.submit_lock.try_lock().is_err() || self.info.borrow().shown.running.is_some();
        self.look_turns.next(served).await;
    }

    /// Refuses what is new while the terminal is being left.
    pub(super) fn begins(&self) -> Result<(), Fault> {
        self.stopping.get().cloned().map_or(Ok(()), Err)
    }
}
