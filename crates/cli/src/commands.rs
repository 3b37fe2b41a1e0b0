//! The commands, one file each: its arguments and what it does. A new command is its file, a `mod` line, and
//! a row in each half of [`Command`].
mod apply;
mod batches;
mod cancel;
mod completion;
mod completion_cancel;
mod confirm;
mod devices;
mod emv;
mod explain;
mod frame;
mod generated;
mod info;
mod inhibited;
mod journal;
mod language;
mod list;
mod offline;
mod open_drawer;
mod operators;
mod papers;
mod payment;
mod pre_auth;
mod pre_auth_cancel;
mod print;
mod queue;
mod recall;
mod reconcile;
mod refund;
mod reprint;
mod sale;
mod self_test;
mod support;
mod tip;
mod totals;
mod vault;
mod virtual_devices;
mod voice_sale;
mod void;
mod wait;
mod watch;

use crate::{Failure, args::Global, ui::Ui};
use clap::Subcommand;
use clap_complete::Shell;
use payment::{Run, pay};
use payterm_schema::{Kind, request::RequestWire};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    Sale(sale::Sale),
    Void(void::Void),
    Refund(refund::Refund),
    PreAuth(pre_auth::PreAuth),
    PreAuthCancel(pre_auth_cancel::PreAuthCancel),
    Completion(completion::Completion),
    CompletionCancel(completion_cancel::CompletionCancel),
    Tip(tip::Tip),
    VoiceSale(voice_sale::VoiceSale),
    /// Fetches the acquirer's parameters 参数下载.
    Parameters(Run),
    /// Tells the acquirer how the terminal is 状态上送.
    StatusUpload(Run),
    /// Settles the batch of an account with the acquirer 批结算, and opens the next one.
    Settle(Run),
    Batches(batches::Batches),
    Reconcile(reconcile::Reconcile),
    /// Asks for the balance of a card 余额查询.
    Balance(Run),
    /// Signs an account in 签到.
    SignIn(Run),
    /// Signs an account off 签退.
    SignOff(Run),
    /// Tests the line to the acquirer 回响.
    Echo(Run),
    Wait(wait::Wait),
    Recall(recall::Recall),
    Cancel(cancel::Cancel),
    Confirm(confirm::Confirm),
    List(list::List),
    Explain(explain::Explain),
    Reprint(reprint::Reprint),
    Print(print::Print),
    OpenDrawer(open_drawer::OpenDrawer),
    /// The devices.
    Devices,
    /// Payments while the host cannot be reached.
    Offline {
        #[command(subcommand)]
        action: offline::OfflineAction,
    },
    /// What is still owed: reversals, and payments that the acquirer is to be told.
    Queue {
        #[command(subcommand)]
        action: Option<queue::QueueAction>,
    },
    /// Papers that are not printed yet.
    Papers {
        #[command(subcommand)]
        action: Option<papers::PapersAction>,
    },
    Totals(totals::Totals),
    /// The operators; their passwords are typed at the terminal's keypad, never here.
    Operators {
        #[command(subcommand)]
        action: operators::OperatorsAction,
    },
    /// Facts about the terminal.
    Info,
    Inhibited(inhibited::Inhibited),
    SelfTest(self_test::SelfTest),
    Language(language::SetLanguage),
    /// For customer service.
    Support {
        #[command(subcommand)]
        action: support::SupportAction,
    },
    /// Applies for a terminal: merchant and terminal numbers, parameters and master key from the acquirer
    /// (managers).
    Apply {
        #[command(subcommand)]
        action: apply::ApplyAction,
    },
    /// Shows everything that the terminal tells, until Ctrl-C.
    Watch,
    Virtual(virtual_devices::VirtualArgs),
    /// Provisions keys (the terminal must not be running).
    ///
    /// Components, check values and key blocks are read from stdin or asked for without echo, never from the
    /// command line.
    Vault {
        #[command(subcommand)]
        action: vault::VaultAction,
    },
    /// The journal's file: checked without the terminal, or beside a running one.
    Journal {
        #[command(subcommand)]
        action: journal::JournalAction,
    },
    /// ISO 8583 frames.
    Frame {
        #[command(subcommand)]
        action: frame::FrameAction,
    },
    /// Chip cards: data objects, certificates and cards explained, without the terminal; its lists.
    ///
    /// Card numbers are masked, names and tracks hidden. What stands on the command line lands in the shell's
    /// history: real card data are better read from stdin.
    Emv {
        #[command(subcommand)]
        action: emv::EmvAction,
    },
    /// Prints the completions of a shell.
    Completions {
        shell: Shell,
    },
    /// Writes the man pages into a directory.
    #[command(hide = true)]
    Man {
        dir: PathBuf,
    },
}

impl Command {
    /// Runs it and answers the exit status.
    pub async fn run(self, global: &Global, ui: &Ui) -> Result<u8, Failure> {
        let plain = |kind, run| pay(global, ui, kind, RequestWire::default(), run);
        match self {
            Command::Sale(c) => c.run(global, ui).await,
            Command::Void(c) => c.run(global, ui).await,
            Command::Refund(c) => c.run(global, ui).await,
            Command::PreAuth(c) => c.run(global, ui).await,
            Command::PreAuthCancel(c) => c.run(global, ui).await,
            Command::Completion(c) => c.run(global, ui).await,
            Command::CompletionCancel(c) => c.run(global, ui).await,
            Command::Tip(c) => c.run(global, ui).await,
            Command::VoiceSale(c) => c.run(global, ui).await,
            Command::Parameters(run) => plain(Kind::Parameters, run).await,
            Command::StatusUpload(run) => plain(Kind::StatusUpload, run).await,
            Command::Settle(run) => plain(Kind::Settlement, run).await,
            Command::Batches(c) => c.run(global, ui).await,
            Command::Reconcile(c) => c.run(global, ui).await,
            Command::Balance(run) => plain(Kind::Balance, run).await,
            Command::SignIn(run) => plain(Kind::SignIn, run).await,
            Command::SignOff(run) => plain(Kind::SignOff, run).await,
            Command::Echo(run) => plain(Kind::Echo, run).await,
            Command::Wait(c) => c.run(global, ui).await,
            Command::Recall(c) => c.run(global, ui).await,
            Command::Cancel(c) => c.run(global, ui).await,
            Command::Confirm(c) => c.run(global, ui).await,
            Command::List(c) => c.run(global, ui).await,
            Command::Explain(c) => c.run(global, ui).await,
            Command::Reprint(c) => c.run(global, ui).await,
            Command::Print(c) => c.run(global, ui).await,
            Command::OpenDrawer(c) => c.run(global, ui).await,
            Command::Devices => devices::run(global, ui).await,
            Command::Offline { action } => action.run(global, ui).await,
            Command::Queue { action } => queue::run(global, ui, action).await,
            Command::Papers { action } => papers::run(global, ui, action).await,
            Command::Totals(c) => c.run(global, ui).await,
            Command::Operators { action } => operators::run(global, ui, action).await,
            Command::Info => info::run(global, ui).await,
            Command::Inhibited(c) => c.run(global, ui).await,
            Command::SelfTest(c) => c.run(global, ui).await,
            Command::Language(c) => c.run(global, ui).await,
            Command::Support { action } => action.run(global, ui).await,
            Command::Apply { action } => apply::run(global, ui, action).await,
            Command::Watch => watch::run(global, ui).await,
            Command::Virtual(args) => virtual_devices::run(ui, args),
            Command::Vault { action } => vault::run(ui, action),
            Command::Journal { action } => journal::run(global, ui, action).await,
            Command::Frame { action } => action.run(ui),
            Command::Emv { action } => emv::run(global, ui, action).await,
            Command::Completions { shell } => {
                generated::completions(shell);
                Ok(0)
            }
            Command::Man { dir } => generated::man(&dir).map(|()| 0).map_err(Failure::local),
        }
    }
}
