//! The program's parts put together around the engine.
use crate::{logging, systemd};
use payterm_dbus::{Address, BusError};
use payterm_devices::{
    Drivers,
    virtual_control::{VirtualControlError, VirtualControlServer},
};
use payterm_engine::{Engine, EngineError, Options};
use payterm_schema::config::Config;
use payterm_vault::{SealingKey, SealingKeyError};
use tokio::signal::unix::{SignalKind, signal};

/// Name of the sealing key among systemd's credentials.
const CREDENTIAL: &str = "payterm-vault-key";

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    SealingKey(#[from] SealingKeyError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    VirtualControl(#[from] VirtualControlError),
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until SIGTERM or SIGINT. Tells systemd when it is ready.
pub fn run(config: Config, drivers: Drivers) -> Result<(), RunError> {
    actix::System::new().block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
        let mut int = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
        let key = match &config.vault.key_file {
            Some(file) => SealingKey::from_file(file),
            None => SealingKey::from_credentials(CREDENTIAL),
        };
        let key = key?;
        // Whatever can refuse this start does so before the engine runs: its first act is a sign-in, which
        // makes the keys of a terminal void that lives beside this one.
        let claim = payterm_dbus::claim(&config.bus).await?;
        let is_virtual = drivers.any_virtual(&config.devices);
        let options = Options { log_lines: Some(logging::recent), drivers, ..Options::default() };
        let opened = Engine::open(config.clone(), key, options)?;
        let control = if is_virtual {
            Some(VirtualControlServer::start(opened.bench(), &config.store.dir.join("virtual.sock"))?)
        } else {
            None
        };
        let mut engine = opened.start().await?;
        actix::spawn(payterm_dbus::login1::keep(Address::System, config.inhibit.logind, engine.inhibited()));
        let server = claim.serve(engine.terminal()).await;
        actix::spawn(systemd::watchdog(engine.pulse()));
        systemd::ready();
        tracing::info!("ready");
        let ended = tokio::select! {
            _ = term.recv() => Ok(()),
            _ = int.recv() => Ok(()),
            error = engine.failed() => Err(error.into()),
        };
        systemd::stopping();
        tracing::info!("shutting down");
        engine.quiet().await;
        drop(server);
        drop(control);
        engine.close().await;
        ended
    })
}
