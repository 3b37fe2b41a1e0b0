//! `paytermctl journal`: the journal's file, checked without the terminal or beside a running one; nothing is
//! written.
use crate::{
    Failure,
    args::Global,
    bus::Bus,
    ui::{Ui, pairs},
};
use clap::Subcommand;
use payterm_journal::Verified;
use payterm_schema::{Fault, OperatorRequest, Terminal};
use payterm_vault::SealingKey;
use std::path::PathBuf;

/// The exit status of a journal that does not hold what it should.
const BROKEN: u8 = 15;

#[derive(Subcommand)]
pub enum JournalAction {
    /// Reads the whole journal: is the file sound, is each record as it was written and where it was written,
    /// is what is derived from them right? Tells the head of the hash chain and the first place that does not
    /// hold.
    ///
    /// Without the sealing key it finds damage and gaps, not somebody's changes. Changes nothing.
    Verify {
        /// State directory of the terminal.
        #[arg(long, env = "PAYTERM_STATE", value_name = "DIR")]
        state: PathBuf,
        /// The file with the sealing key, mode 0600.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Another file than the journal in use: a backup, or one that was put aside.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// A head as an outcome or a slip names it (17:9f...): is it in this journal?
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
    },
    /// After a journal was restored: everything is reconciled with the acquirer, payments go on (managers;
    /// asks for the supervisor at the keypad).
    Recovered,
}

pub async fn run(global: &Global, ui: &Ui, action: JournalAction) -> Result<u8, Failure> {
    let (state, key_file, file, head) = match action {
        JournalAction::Verify { state, key_file, file, head } => (state, key_file, file, head),
        JournalAction::Recovered => {
            let bus = Bus::connect(global, ui).await?;
            ui.progress(&ui.text("cli-at-the-keypad"));
            bus.client.operator_session(&bus.caller, OperatorRequest::EndRecovery).await?;
            ui.done();
            return Ok(0);
        }
    };
    let head = head
        .map(|h| {
            h.parse().map_err(|()| Fault::invalid("head", "a number, a colon and 64 hexadecimal digits"))
        })
        .transpose()?;
    let key = key_file
        .map(|f| SealingKey::from_file(&f).map(|k| k.keyed_hash(payterm_journal::PURPOSE)))
        .transpose()
        .map_err(Failure::local)?;
    let path = file.unwrap_or_else(|| state.join("journal.db"));
    if !path.exists() {
        return Err(Failure::Local(format!("{}: no journal here", path.display())));
    }
    let found = payterm_journal::verify(&path, key.as_ref(), head.as_ref()).map_err(Failure::local)?;
    ui.result(&found, || page(ui, &found));
    Ok(if found.holds() { 0 } else { BROKEN })
}

fn page(ui: &Ui, v: &Verified) -> String {
    let broken = v.broken.as_ref().map(ToString::to_string);
    let head = v.head.clone().unwrap_or_else(|| ui.text("cli-none"));
    let mut rows = vec![
        (ui.text("cli-records"), v.records.to_string()),
        (ui.text("cli-head"), if v.keyed { head } else { format!("{head} ({})", ui.text("cli-not-proved")) }),
    ];
    rows.extend(v.known.map(|known| (ui.text("cli-head-known"), ui.yes_no(known))));
    rows.push((ui.text("cli-broken"), broken.unwrap_or_else(|| ui.text("cli-none"))));
    pairs(rows)
}
