//! `paytermd`: the command line around [`payterm_daemon`].
use clap::Parser;
use payterm_daemon::{RunError, config, logging, run};
use payterm_devices::Drivers;
use payterm_engine::{EngineError, demo, templates};
use payterm_journal::StoreError;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::{io, path::PathBuf, process::ExitCode};

/// Exit status: the state directory holds a journal of an earlier format.
const EARLIER_FORMAT: u8 = 3;

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
    let loaded = if args.demo {
        Ok(demo::config(rustix::process::getuid().as_raw()))
    } else {
        config::load(&args.config, &drivers)
    };
    let mut config = match loaded {
        Ok(config) => config,
        Err(e) => return fail(&e),
    };
    if let Some(dir) = args.state {
        config.store.dir = dir;
    }
    if args.check_config {
        let (_, faults) = templates::load(config.paper.templates.as_deref());
        for fault in &faults {
            eprintln!("paytermd: template {fault}");
        }
        if !faults.is_empty() {
            return ExitCode::FAILURE;
        }
        println!("ok");
        return ExitCode::SUCCESS;
    }
    if let Err(e) = logging::start(&config.log) {
        return fail(&e);
    }
    if args.demo
        && let Err(e) = demo::prepare(&mut config)
    {
        return if let demo::DemoError::Journal(journal) = &e { fail_of(journal, &e) } else { fail(&e) };
    }
    match run(config, drivers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if let RunError::Engine(EngineError::Store(journal)) = &e {
                return fail_of(journal, &e);
            }
            fail(&e)
        }
    }
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

/// The whole chain of causes on one line.
fn fail(e: &dyn std::error::Error) -> ExitCode {
    eprintln!("paytermd: {}", payterm_schema::fault::with_causes(e));
    ExitCode::FAILURE
}
