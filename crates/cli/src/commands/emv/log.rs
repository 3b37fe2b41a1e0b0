//! `paytermctl emv log`.
use crate::{Failure, ui::Ui};
use clap::Args;
use payterm_schema::{Fault, Time};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

/// Shows the decisions of a transaction's card: TVR and TSI as they were set, rules of verification, what was
/// asked of the card and by which rule. Of a tapped card they end where its issuer is asked.
///
/// Read from the state directory (cards.log), as the user that the terminal runs as. It holds no value of a
/// card but names, status words and kinds of cryptograms, and some hundred runs: older ones are gone.
#[derive(Args)]
pub struct Log {
    /// Number of the transaction, or the reference for customer service (R0001-17). `paytermctl explain`
    /// tells the number of an app's id.
    txn: String,
    /// State directory of the terminal.
    #[arg(long, env = "PAYTERM_STATE", value_name = "DIR")]
    state: PathBuf,
}

/// Run of a card, as a line of the file has it.
#[derive(Deserialize, Serialize)]
struct Run {
    txn: u64,
    at: Time,
    log: Vec<String>,
}

impl Log {
    pub fn run(self, ui: &Ui) -> Result<u8, Failure> {
        // An app's id may end like a reference, and is another payment's.
        let reference = self.txn.strip_prefix('R').and_then(|text| text.split_once('-'));
        let reference = reference.filter(|(terminal, _)| terminal.parse::<u64>().is_ok());
        let number = reference.map_or(self.txn.as_str(), |(_, number)| number);
        let txn: u64 = number.parse().map_err(|_| Fault::invalid("txn", "a number, or a reference"))?;
        let (mut runs, mut there) = (Vec::new(), false);
        for name in ["cards.1.log", "cards.log"] {
            let path = self.state.join(name);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Failure::Local(format!("{}: {e}", path.display()))),
            };
            there = true;
            // A line that a power cut has torn says nothing.
            let all = text.lines().filter_map(|line| serde_json::from_str::<Run>(line).ok());
            runs.extend(all.filter(|run| run.txn == txn));
        }
        if runs.is_empty() {
            let dir = self.state.display();
            return Err(Failure::Local(match there {
                true => ui.say("cli-emv-no-run", &[("txn", &txn), ("dir", &dir)]),
                false => ui.say("cli-emv-no-log", &[("dir", &dir)]),
            }));
        }
        ui.result(&runs, || {
            let line = |line: &String| format!("  {}\n", ui.texts.kernel(line));
            let head = |run: &Run| ui.say("cli-emv-run", &[("txn", &run.txn), ("time", &ui.time(run.at))]);
            let page = |run: &Run| head(run) + "\n" + &run.log.iter().map(line).collect::<String>();
            runs.iter().map(page).collect::<Vec<_>>().join("\n")
        });
        Ok(0)
    }
}
