//! The engine: a terminal that runs, is built anew when it was activated, and is left in order.
use crate::{
    assembly::{self, Kept},
    front_door::{FrontDoor, restarting},
    hostlink::TlsError,
    mishap::Mishaps,
    profiles,
    terminal::Look,
    tms::TmsError,
};
use payterm_core::ReplayError;
use payterm_devices::{Drivers, VirtualBench};
use payterm_journal::{Loaded, StoreError};
use payterm_schema::{AccountId, Fault, InhibitReason, Terminal, config::Config};
use payterm_vault::{SealingKey, VaultError};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, oneshot, watch},
    task::AbortHandle,
    time::timeout,
};

/// Time for which a shutdown waits for a frame that has left. 20 s: below the 90 s of service managers;
/// what is open then is recovered at the next start.
const SHUTDOWN: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Profile(#[from] profiles::LoadError),
    #[error("account {account}: {cause}")]
    Tls { account: AccountId, cause: TlsError },
    #[error(transparent)]
    Tms(#[from] TmsError),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] ReplayError),
    #[error(transparent)]
    Emv(Fault),
    /// The configuration and the accounts that were granted do not go together.
    #[error("with the accounts of the onboarding: {0}")]
    Granted(Fault),
}

/// Settings of an engine that are not configuration.
#[derive(Clone, Default)]
pub struct Options {
    pub journal: payterm_journal::Options,
    /// Panics planted by tests of supervision.
    pub mishaps: Mishaps,
    /// The last lines of the process's log, for the support bundle. None: it has no log.
    pub log_lines: Option<fn() -> Vec<String>>,
    /// The drivers that the configuration may name.
    pub drivers: Drivers,
}

/// A running terminal inside an actix system. Once it was activated it builds itself anew with its accounts,
/// behind the same [`Engine::terminal`].
pub struct Engine {
    pub(crate) kept: Arc<Kept>,
    pub(crate) door: Arc<FrontDoor>,
    /// Held by a renewal, a reload or a shutdown: one at a time.
    pub(crate) turn: Arc<Mutex<()>>,
    renewing: AbortHandle,
    failed: Mutex<oneshot::Receiver<EngineError>>,
}

/// Tells whether the terminal lives.
#[derive(Clone)]
pub struct Pulse(Arc<FrontDoor>);

impl Pulse {
    /// Whether the terminal answers in time. While it is rebuilt it counts as living: a disk that is full is
    /// not mended by a restart.
    pub async fn beats(&self, within: Duration) -> bool {
        match self.0.now().and_then(|service| service.terminal.addr()) {
            Some(addr) => timeout(within, addr.send(Look(Box::new(|_| ())))).await.is_ok(),
            None => true,
        }
    }
}

/// An engine whose journal and vault are open and locked; nothing runs yet, so nothing has left.
pub struct Opened {
    kept: Kept,
    loaded: Loaded,
}

impl Opened {
    /// The bench of the virtual devices.
    pub fn bench(&self) -> VirtualBench {
        self.kept.bench.clone()
    }

    /// Starts the actors, or refuses before any of them runs; answers when calls can be answered.
    pub async fn start(self) -> Result<Engine, EngineError> {
        let Self { kept, loaded } = self;
        let kept = Arc::new(kept);
        let door = Arc::new(FrontDoor::new(kept.notices.clone()));
        door.set(Some(Ok(assembly::build(&kept, loaded).await?)));
        let turn = Arc::new(Mutex::new(()));
        let (fails, failed) = oneshot::channel();
        let renewing = actix::spawn(renew_always(kept.clone(), door.clone(), turn.clone(), fails));
        Ok(Engine { kept, door, turn, renewing: renewing.abort_handle(), failed: Mutex::new(failed) })
    }
}

impl Engine {
    /// Opens the journal and the vault. What else may refuse a start is tried before [`Opened::start`].
    pub fn open(config: Config, key: SealingKey, options: Options) -> Result<Opened, EngineError> {
        let (kept, loaded) = Kept::open(config, key, options)?;
        Ok(Opened { kept, loaded })
    }

    /// [`Engine::open`] and [`Opened::start`].
    pub async fn start(config: Config, key: SealingKey, options: Options) -> Result<Self, EngineError> {
        Self::open(config, key, options)?.start().await
    }

    /// The front door, in process; the same one through all incarnations.
    pub fn terminal(&self) -> Arc<dyn Terminal> {
        self.door.clone()
    }

    /// The bench of the virtual devices.
    pub fn bench(&self) -> VirtualBench {
        self.kept.bench.clone()
    }

    /// Reasons why the machine must not go down, as far as they are durable.
    pub fn inhibited(&self) -> watch::Receiver<BTreeSet<InhibitReason>> {
        self.kept.inhibits.subscribe()
    }

    pub fn pulse(&self) -> Pulse {
        Pulse(self.door.clone())
    }

    /// Waits until the engine cannot go on: an activated terminal could not be built anew.
    pub async fn failed(&self) -> EngineError {
        match (&mut *self.failed.lock().await).await {
            Ok(error) => error,
            // It is being left: nothing is built any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Cancels a request whose frame has not left, and waits for one that has left, up to 20 s. Faces can
    /// still be told what becomes of it.
    pub async fn quiet(&self) {
        let _turn = self.turn.lock().await;
        self.renewing.abort();
        if let Some(service) = self.door.now() {
            service.quiet(SHUTDOWN, Fault::ShuttingDown).await;
        }
    }

    /// Ends all that runs and closes the journal; nothing is served any more.
    pub async fn close(self) {
        let _turn = self.turn.lock().await;
        self.renewing.abort();
        let service = self.door.now();
        self.door.set(Some(Err(Fault::ShuttingDown)));
        if let Some(service) = service {
            service.tasks.end().await;
        }
        let store = self.kept.store.clone();
        tokio::task::spawn_blocking(move || store.close()).await.ok();
    }
}

/// Builds the terminal anew whenever it was activated; ends when that fails.
async fn renew_always(
    kept: Arc<Kept>,
    door: Arc<FrontDoor>,
    turn: Arc<Mutex<()>>,
    fails: oneshot::Sender<EngineError>,
) {
    loop {
        kept.renew.notified().await;
        let _turn = turn.lock().await;
        tracing::info!("the terminal was activated: it is built anew with its accounts");
        if let Err(e) = renew(&kept, &door).await {
            tracing::error!("the terminal could not be built anew: {e}");
            door.set(Some(Err(Fault::WrongState {
                rule: format!("the terminal could not be built anew with its accounts: {e}"),
            })));
            fails.send(e).ok();
            return;
        }
    }
}

/// Puts the incarnation of now to rest as a shutdown does, and the next one in its place: over the same vault
/// and the same journal, whose lock is held all the time.
async fn renew(kept: &Kept, door: &FrontDoor) -> Result<(), EngineError> {
    let before = door.now();
    if let Some(service) = &before {
        service.quiet(SHUTDOWN, restarting()).await;
    }
    door.set(None);
    if let Some(service) = before {
        service.tasks.end().await;
    }
    let loaded = kept.store.reopen().await?;
    door.set(Some(Ok(assembly::build(kept, loaded).await?)));
    Ok(())
}
