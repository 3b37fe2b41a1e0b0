//! The program's parts put together around the engine.
use crate::{
    logging,
    reload::{Reread, reload},
    systemd,
};
use payterm_dbus::{Address, BusError};
use payterm_devices::{
    Drivers,
    virtual_control::{VirtualControlError, VirtualControlServer},
};
use payterm_engine::{Engine, EngineError, Options};
use payterm_schema::config::Config;
use payterm_vault::{SealingKey, SealingKeyError};
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Runs until SIGTERM or SIGINT, and reads the configuration anew on SIGHUP. Tells systemd when it is ready.
pub fn run(mut config: Config, drivers: Drivers, reread: Reread) -> Result<(), RunError> {
    actix::System::new().block_on(async {
        let mut term = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
        let mut int = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
        let mut hup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
        // Nobody hears these: they are passed over, in place of ending the process.
        let _usr1 = signal(SignalKind::user_defined1()).map_err(RunError::Signals)?;
        let _usr2 = signal(SignalKind::user_defined2()).map_err(RunError::Signals)?;
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
        let engine = opened.start().await?;
        actix::spawn(payterm_dbus::login1::keep(Address::System, config.inhibit.logind, engine.inhibited()));
        let server = claim.serve(engine.terminal()).await;
        actix::spawn(systemd::watchdog(engine.pulse()));
        let mut on_bus = server.on_bus();
        let mut note = None;
        systemd::ready(&status(true, &note));
        tracing::info!("ready");
        let ended = {
            let mut ends = std::pin::pin!(ends(&mut term, &mut int, &engine));
            loop {
                tokio::select! {
                    ended = &mut ends => break ended,
                    _ = hup.recv() => {
                        systemd::reloading();
                        // A file that is not to be read, on a dead mount, does not keep it from its end.
                        tokio::select! {
                            ended = &mut ends => break ended,
                            new = reload(&reread, &mut config, &engine, &server) => note = new,
                        }
                        systemd::ready(&status(*on_bus.borrow(), &note));
                    }
                    Ok(()) = on_bus.changed() => systemd::status(&status(*on_bus.borrow_and_update(), &note)),
                }
            }
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

/// What ends the program: SIGTERM, SIGINT, or an engine that cannot go on.
async fn ends(term: &mut Signal, int: &mut Signal, engine: &Engine) -> Result<(), RunError> {
    tokio::select! {
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
        error = engine.failed() => Err(error.into()),
    }
}

/// State of the terminal in words, with what is to be known of the configuration.
fn status(on_bus: bool, note: &Option<String>) -> String {
    let state = if on_bus { "ready" } else { "the bus is lost: nobody can call until it is back" };
    note.iter().fold(state.into(), |state, note| format!("{state}; {note}"))
}
