//! `paytermd`: the command line around [`payterm_daemon`].
use clap::Parser;
use payterm_daemon::{
    Reread, RunError,
    config::{self, ConfigError},
    logging, run,
};
use payterm_devices::Drivers;
use payterm_engine::{EngineError, demo};
use payterm_journal::StoreError;
use payterm_schema::config::{AccountConfig, BusKind, Config};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Exit status: the state directory holds a journal of an earlier format.
const EARLIER_FORMAT: u8 = 3;
/// Exit status: the configuration, or a file that it names, is refused. EX_CONFIG of sysexits.h.
const REFUSED: u8 = 78;

/// The payment terminal daemon.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file.
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// The embedded demo configuration instead of a file: virtual devices, the acquirer simulator on this
    /// machine.
    #[arg(long, conflicts_with = "config")]
    demo: bool,
    /// State directory instead of `store.dir`.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Check the configuration and leave.
    #[arg(long)]
    check_config: bool,
    /// Print the JSON Schema of the configuration and leave.
    #[arg(long)]
    print_schema: bool,
}

/// How the configuration is read: to be checked, or to start with it.
type Load = fn(&Path, Option<&Path>, &Drivers) -> Result<Config, ConfigError>;

fn main() -> ExitCode {
    if let Err(e) = no_dumps() {
        return fail(&e);
    }
    let args = Args::parse();
    if args.print_schema {
        print!("{}", config::json_schema());
        return ExitCode::SUCCESS;
    }
    let drivers = Drivers::default();
    let source = if args.demo { "that of the demo".into() } else { args.config.display().to_string() };
    let read = {
        let (file, state, drivers) = (args.config, args.state, drivers.clone());
        move |load: Load| {
            let mut config = match args.demo {
                true => demo::config(rustix::process::getuid().as_raw()),
                false => return load(&file, state.as_deref(), &drivers),
            };
            if let Some(dir) = &state {
                config.store.dir.clone_from(dir);
            }
            Ok(config)
        }
    };
    let mut config = match read(if args.check_config { config::load } else { config::load_to_start }) {
        Ok(config) => config,
        Err(e) => return refuse(&e),
    };
    if args.check_config {
        println!("ok");
        return ExitCode::SUCCESS;
    }
    if let Err(e) = logging::start(&config.log) {
        return refuse(&e);
    }
    if args.demo
        && let Err(e) = demo::prepare(&mut config)
    {
        return if let demo::DemoError::Journal(journal) = &e { fail_of(journal, &e) } else { fail(&e) };
    }
    announce(&source, &config);
    let reread: Reread = if args.demo {
        let config = config.clone();
        Arc::new(move || Ok(config.clone()))
    } else {
        Arc::new(move || read(config::load))
    };
    let Err(e) = run(config, drivers, reread) else { return ExitCode::SUCCESS };
    let RunError::Engine(of_engine) = &e else { return fail(&e) };
    match of_engine {
        EngineError::Store(journal) => fail_of(journal, &e),
        EngineError::Profile(_) | EngineError::Tls { .. } | EngineError::Tms(_) | EngineError::Emv(_) => {
            refuse(&e)
        }
        EngineError::Vault(_) | EngineError::Journal(_) | EngineError::Granted(_) => fail(&e),
    }
}

/// The first line of the log: what runs here, and whom it serves.
fn announce(configuration: &str, config: &Config) {
    let account = |a: &AccountConfig| format!("{} ({} at {})", a.id, a.profile, a.address);
    let accounts = config.accounts.iter().map(account).collect::<Vec<_>>().join(", ");
    let name = payterm_dbus::bus_name(&config.bus.lane);
    let bus = match config.bus.bus {
        BusKind::System => Some(format!("{name} on the system bus")),
        BusKind::Session => Some(format!("{name} on the session bus")),
        BusKind::None => None,
    };
    let socket = config.bus.peer_socket.as_ref().map(|path| path.display().to_string());
    let bus = bus.into_iter().chain(socket).collect::<Vec<_>>().join(", ");
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, configuration, accounts, bus, "paytermd starts");
}

/// Keys, tracks and PINs stand in this process's memory. No core file is written; a collector that
/// `core_pattern` names is not bound by that limit (core(5)), so the process is not dumpable either: nor can
/// its user's other processes read its memory.
fn no_dumps() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Exit status by what is wrong with the journal.
fn fail_of(journal: &StoreError, e: &dyn std::error::Error) -> ExitCode {
    let status = fail(e);
    if matches!(journal, StoreError::JournalOfAnEarlierFormat { .. }) {
        EARLIER_FORMAT.into()
    } else {
        status
    }
}

/// Says what is wrong with the configuration.
fn refuse(e: &dyn std::error::Error) -> ExitCode {
    fail(e);
    REFUSED.into()
}

/// The whole chain of causes on one line; of a configuration a line for each thing that is wrong.
fn fail(e: &dyn std::error::Error) -> ExitCode {
    for line in payterm_schema::fault::with_causes(e).lines() {
        logging::complain(line);
    }
    ExitCode::FAILURE
}
