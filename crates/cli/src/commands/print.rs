//! `paytermctl print`.
use crate::{Failure, args::Global, bus::Bus, ui::Ui};
use clap::Args;
use payterm_schema::{
    RequestKey, Terminal,
    page::{JSON_MAX, Printable},
    paper::PaperState,
};
use std::{io::Read, path::PathBuf};

/// Exit status when a paper waits for a person.
const NOT_PRINTED: u8 = 14;

/// Prints a page or an invoice slip of one's own, and waits until it is out.
#[derive(Args)]
pub struct Print {
    /// JSON; - reads it from stdin.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// One's own name for it: the same id prints nothing again.
    #[arg(long)]
    id: String,
    /// Do not wait for the printer.
    #[arg(long)]
    no_wait: bool,
}

impl Print {
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let named = |e: std::io::Error| Failure::Local(format!("{}: {e}", self.file.display()));
        let from: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(std::io::stdin())
        } else {
            Box::new(std::fs::File::open(&self.file).map_err(named)?)
        };
        let mut json = String::new();
        from.take(JSON_MAX as u64 + 1).read_to_string(&mut json).map_err(named)?;
        own(global, ui, Printable::parse(&json)?, self.id, self.no_wait).await
    }
}

/// Queues an app's own paper and tells how far it is.
pub async fn own(
    global: &Global,
    ui: &Ui,
    paper: Printable,
    id: String,
    no_wait: bool,
) -> Result<u8, Failure> {
    // The daemon's rules for ids, before it is looked for.
    RequestKey::new("app", &id)?;
    let bus = Bus::connect(global, ui).await?;
    bus.client.print(&bus.caller, id.clone(), paper).await?;
    let status = bus.client.paper_id(&id, !no_wait).await?;
    ui.result(&status, || {
        [ui.texts.word(status.state), status.problem.clone().unwrap_or_default()].join(" ")
    });
    Ok(match status.state {
        PaperState::Done => 0,
        PaperState::Waiting | PaperState::Printing if no_wait => 0,
        PaperState::Waiting | PaperState::Printing | PaperState::Held | PaperState::GivenUp => NOT_PRINTED,
    })
}
