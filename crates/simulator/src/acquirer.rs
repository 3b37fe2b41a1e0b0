//! The running acquirer: listeners, state directory, handles.
pub use crate::shared::{Listen, Options, Stats, now};

use crate::{
    bank::{Bank, BankError},
    control::{self, ControlError},
    ledger::{self, Balance, LedgerError, Posting, Report},
    mishap::Mishaps,
    server::{self, TlsError},
    shared::{Counters, Shared},
    tms::{self, Registry, TmsError},
    wire::{Wire, WireError},
    world::World,
};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, TryLockError},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};

#[derive(Debug, thiserror::Error)]
pub enum AcquirerError {
    #[error("state directory {path}: {cause}")]
    State { path: String, cause: std::io::Error },
    #[error("state directory {0}: another acquirer runs on it")]
    InUse(String),
    #[error("listen {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("listen: no address for profile {0}")]
    NoAddress(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no thread for the server: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Bank(#[from] BankError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Tms(#[from] TmsError),
    #[error("the terminal management needs a state directory")]
    TmsState,
}

/// Name of the terminal management among the listeners.
pub const TMS: &str = "tms";

pub struct Acquirer;

impl Acquirer {
    /// Starts an acquirer on a thread of its own. It listens when this returns, and stops when the handle is
    /// dropped.
    pub fn start(world: World, options: Options) -> Result<Running, AcquirerError> {
        let lock = options.state.as_deref().map(lock_state).transpose()?;
        let world = Arc::new(world);
        let file = options.state.as_deref().map(database);
        let bank = Bank::open(Arc::clone(&world), file.as_deref(), now())?;
        let tls = options.tls.as_ref().map(|(cert, key)| server::tls(cert, key)).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(AcquirerError::Thread)?;
        let mut listeners = Vec::new();
        let (mut addrs, mut unnamed) = (BTreeMap::new(), 0);
        for profile in world.profiles() {
            let wire = Arc::new(Wire::load(profile)?);
            let address = options
                .address(profile, &mut unnamed)
                .ok_or_else(|| AcquirerError::NoAddress(profile.into()))?;
            let fail = |cause| AcquirerError::Listen { address, cause };
            let listener = runtime.block_on(TcpListener::bind(address)).map_err(fail)?;
            addrs.insert(profile.to_owned(), listener.local_addr().map_err(fail)?);
            listeners.push((listener, wire));
        }
        let mut management = None;
        if let Some(address) = options.tms {
            let state = options.state.as_deref().ok_or(AcquirerError::TmsState)?;
            let (tls, signer) = tms::identity(state)?;
            let registry = Arc::new(Mutex::new(
                Registry::open(&tms::dir(state), Arc::clone(&world), signer, addrs.clone())
                    .map_err(TmsError::from)?,
            ));
            let fail = |cause| AcquirerError::Listen { address, cause };
            let listener = runtime.block_on(TcpListener::bind(address)).map_err(fail)?;
            addrs.insert(TMS.to_owned(), listener.local_addr().map_err(fail)?);
            management = Some((listener, tls, registry));
        }
        let control = match &options.state {
            Some(dir) => Some(runtime.block_on(async { control::bind(dir) })?),
            None => None,
        };
        let registry = management.as_ref().map(|(_, _, registry)| Arc::clone(registry));
        let shared = Arc::new(Shared {
            world,
            options,
            mishaps: Mishaps::default(),
            counters: Counters::default(),
            tms: registry,
            bank: Mutex::new(bank),
            rounds: Mutex::default(),
        });
        let (stop, mut stopped) = watch::channel(false);
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("acquirer".into())
            .spawn(move || {
                let _lock = lock;
                runtime.block_on(async {
                    for (listener, wire) in listeners {
                        tokio::spawn(server::accept(listener, wire, tls.clone(), Arc::clone(&inner)));
                    }
                    if let Some((listener, tls, registry)) = management {
                        tokio::spawn(tms::serve(listener, tls, registry));
                    }
                    if let Some(c) = control {
                        tokio::spawn(control::serve(c, Arc::clone(&inner)));
                    }
                    tokio::spawn(payers(Arc::clone(&inner)));
                    // An error means that the handle is gone: stop too.
                    let _ = stopped.wait_for(|s| *s).await;
                });
                // What is in the database's hands is finished; connections are cut.
                runtime.shutdown_timeout(Duration::from_secs(5));
                if let Some(dir) = &inner.options.state {
                    let _ = std::fs::remove_file(control::path(dir));
                }
            })
            .map_err(AcquirerError::Thread)?;
        Ok(Running { addrs, shared, stop, thread: Some(thread) })
    }
}

/// Completes pending wallet payments when their payer has decided, also when nobody asks.
async fn payers(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Err(e) = shared.bank().settle_due(shared.now()) {
            tracing::error!("pending payments: {e}");
        }
    }
}

/// Name of the SQLite file in a state directory.
pub fn database(state: &Path) -> PathBuf {
    state.join("acquirer.db")
}

fn lock_state(dir: &Path) -> Result<File, AcquirerError> {
    let fail = |cause| AcquirerError::State { path: dir.display().to_string(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AcquirerError::InUse(dir.display().to_string())),
        Err(TryLockError::Error(cause)) => Err(fail(cause)),
    }
}

/// A running acquirer; dropping it stops it.
pub struct Running {
    /// Addresses by profile.
    pub addrs: BTreeMap<String, SocketAddr>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Address on which `profile` listens.
    pub fn addr(&self, profile: &str) -> Option<SocketAddr> {
        self.addrs.get(profile).copied()
    }
    pub fn mishaps(&self) -> &Mishaps {
        &self.shared.mishaps
    }
    pub fn world(&self) -> &World {
        &self.shared.world
    }
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
    /// All postings, oldest first; wallet payments that are due are completed before.
    pub fn postings(&self) -> Result<Vec<Posting>, BankError> {
        self.read(ledger::postings)
    }
    pub fn balances(&self) -> Result<Vec<Balance>, BankError> {
        self.read(ledger::balances)
    }
    /// Balance of one ledger account (`card:alice`, `merchant:cup`), minor units.
    pub fn balance(&self, account: &str) -> Result<i64, BankError> {
        self.read(|c| ledger::balance(c, account))
    }
    /// Holds on cards, oldest first.
    pub fn holds(&self) -> Result<Vec<ledger::Hold>, BankError> {
        self.read(ledger::holds)
    }
    /// All settlements, in order.
    pub fn settlements(&self) -> Result<Vec<crate::bank::settlement::Settled>, BankError> {
        crate::bank::settlement::settlements(&self.shared.bank().db)
    }
    /// The file for reconciliation of an account's batch.
    pub fn reconciliation(&self, account: &str, batch: u32) -> Result<String, BankError> {
        let bank = self.shared.bank();
        match self.shared.world.account(account) {
            Some(a) => crate::bank::settlement::file(&bank.db, &self.shared.world, a, batch),
            None => Ok(String::new()),
        }
    }
    /// Chip data of requests, reversals and script notices, oldest first.
    pub fn chips(&self) -> Result<Vec<crate::bank::chip::Chip>, BankError> {
        crate::bank::chip::chips(&self.shared.bank().db)
    }
    /// Scripts for the next answer to a chip card of this name.
    pub fn script(&self, card: &str, scripts: &[crate::card::Script]) -> Result<(), &'static str> {
        self.shared.bank().script(card, scripts)
    }
    /// Status uploads: account, milliseconds since 1970, text.
    pub fn statuses(&self) -> Result<Vec<(String, i64, String)>, BankError> {
        self.read(ledger::statuses)
    }
    pub fn check(&self) -> Result<Report, BankError> {
        self.read(ledger::check)
    }
    pub fn log(&self) -> Result<Vec<crate::journal::Seen>, BankError> {
        Ok(crate::journal::read(&self.shared.bank().db)?)
    }
    fn read<T>(
        &self,
        f: impl FnOnce(&rusqlite::Connection) -> Result<T, LedgerError>,
    ) -> Result<T, BankError> {
        let mut bank = self.shared.bank();
        bank.settle_due(now())?;
        bank.read(f)
    }
    /// Stops it and waits for the end.
    pub fn stop(mut self) {
        self.end();
    }
    fn end(&mut self) {
        let _ = self.stop.send(true);
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}
impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_profiles_count_up_from_the_unnamed_address() {
        let listen = |l: &[&str]| Options {
            listen: l.iter().map(|t| t.parse().unwrap()).collect(),
            ..Options::default()
        };
        let all = |o: &Options| {
            let mut n = 0;
            ["a", "b", "c"].map(|p| o.address(p, &mut n).map(|a| a.to_string()))
        };
        let some = |t: &str| Some(t.to_owned());
        assert_eq!(
            all(&listen(&["127.0.0.1:0"])),
            [some("127.0.0.1:0"), some("127.0.0.1:0"), some("127.0.0.1:0")]
        );
        assert_eq!(
            all(&listen(&["127.0.0.1:700", "b=[::1]:9"])),
            [some("127.0.0.1:700"), some("[::1]:9"), some("127.0.0.1:701")]
        );
        assert_eq!(all(&listen(&["b=127.0.0.1:9"])), [None, some("127.0.0.1:9"), None]);
        assert_eq!(all(&listen(&["127.0.0.1:65535"])), [some("127.0.0.1:65535"), None, None]);
        assert!("localhost".parse::<Listen>().is_err());
    }
}
