//! `paytermctl`: the terminal's bus client, the control of its virtual devices, and tools that need no
//! terminal.
//!
//! Invariant: an exit status of 0 after a payment means approved, and nothing else does; no secret is ever
//! printed, and none has to stand on the command line.
mod args;
mod bus;
mod commands;
mod dispute;
mod secret;
mod show;
mod ui;

use args::Cli;
use clap::Parser;
use payterm_schema::{Fault, Outcome, Status};
use std::{error::Error, process::ExitCode};
use ui::{Ui, out};

/// The exit status of a request; the text of `--help` and of the man page says the same.
pub fn exit_of(o: &Outcome) -> u8 {
    match o.status {
        // Nobody asks for it any more, and the acquirer may hold the payment.
        Status::Declined if o.written_off() => 13,
        Status::Approved => 0,
        Status::Declined => 10,
        Status::Cancelled => 11,
        Status::Failed => 12,
        Status::Unknown => 13,
        Status::Running => 14,
    }
}

/// Why a command did not do its work.
#[derive(Debug)]
pub enum Failure {
    Fault(Fault),
    /// Failure on this machine: a file, the vault, the virtual devices. The text holds no secret.
    Local(String),
}
impl From<Fault> for Failure {
    fn from(f: Fault) -> Self {
        Failure::Fault(f)
    }
}
impl Failure {
    /// The whole chain of causes on one line.
    pub fn local(e: impl Error) -> Self {
        let mut text = e.to_string();
        let mut cause = e.source();
        while let Some(c) = cause {
            text = format!("{text}: {c}");
            cause = c.source();
        }
        Failure::Local(text)
    }
    fn tell(&self, ui: &Ui) -> u8 {
        match self {
            Failure::Fault(fault) => {
                ui.fault(fault);
                match fault {
                    Fault::Invalid { .. } => 2,
                    Fault::Unreachable { .. } => 4,
                    Fault::Busy { .. }
                    | Fault::KeyReused { .. }
                    | Fault::NotFound { .. }
                    | Fault::NotAllowed { .. }
                    | Fault::TooLate { .. }
                    | Fault::NotActivated
                    | Fault::WrongState { .. }
                    | Fault::NoAccount { .. }
                    | Fault::Original { .. }
                    | Fault::NotLoggedOn
                    | Fault::TerminalLocked
                    | Fault::OperatorLocked { .. }
                    | Fault::NotDone { .. }
                    | Fault::Management { .. }
                    | Fault::StoreFailed { .. }
                    | Fault::JournalRestored { .. }
                    | Fault::RequestLost { .. }
                    | Fault::JournalDamaged { .. }
                    | Fault::DiskFull { .. }
                    | Fault::Restarting { .. }
                    | Fault::ShuttingDown => 3,
                }
            }
            Failure::Local(cause) => {
                if ui.json {
                    out(&serde_json::json!({"fault": "Local", "cause": cause}).to_string());
                }
                ui::err(&format!("paytermctl: {cause}"));
                3
            }
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|e| {
        if e.use_stderr() && std::env::args_os().any(|a| a == "--json") {
            let rule =
                e.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            out(&serde_json::to_string(&Fault::Invalid { field: "arguments".into(), rule })
                .unwrap_or_default());
        }
        e.exit()
    });
    let ui = Ui::new(&cli.global);
    let done =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::local).and_then(
            |runtime| {
                let done = runtime.block_on(cli.command.run(&cli.global, &ui));
                // Nothing of the connection is worth waiting for.
                runtime.shutdown_background();
                done
            },
        );
    ExitCode::from(done.unwrap_or_else(|failure| failure.tell(&ui)))
}
