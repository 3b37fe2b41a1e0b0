//! The command line: what holds for every command, and the forms of values.
use crate::{Failure, commands::Command};
use clap::{Args, Parser, ValueEnum};
use payterm_dbus::Address;
use payterm_schema::{
    AccountId, Fault, InhibitReason, Kind, OperatorId, Status, account::Stan, config::Language, zone::Zone,
};
use std::path::PathBuf;

/// Exit statuses that scripts rely on; `exit_of` and `Failure::tell` in `main.rs` keep it.
pub const EXIT_STATUS: &str = "   0  approved; for commands that are not about one request: done
   2  bad arguments (fault Invalid)
   3  another fault; it says nothing about money
   4  the terminal could not be reached, or the connection was lost: recall the request
  10  declined: nothing is charged in the end (written off is 13)
  11  cancelled: nothing was charged
  12  failed: nothing was charged
  13  unknown, or written off: do not take the money again; wait or recall later
  14  accepted and still running (--no-wait, recall, the second Ctrl-C)
  15  journal verify: the journal does not hold what it should
  20  self-test: something needs attention
  21  self-test: something does not work
  22  reconcile: the two sides differ
  23  emv cert, emv card: a certificate is not good, or the card's run did not end with its AAC
  30  inhibited: do not update or restart now";

pub const ENVIRONMENT: &str = "  PAYTERM_BUS               as --bus
  DBUS_SYSTEM_BUS_ADDRESS   where the system bus is
  DBUS_SESSION_BUS_ADDRESS  where the session bus is
  PAYTERM_STATE             state directory, for the socket of virtual devices and the vault
  PAYTERM_CARDS             as virtual --cards";

/// Talks to the payment terminal paytermd.
///
/// Results go to stdout, progress and faults to stderr. With --json stdout has JSON only: a result, or
/// {"fault":NAME,...}.
#[derive(Parser)]
#[command(
    name = "paytermctl",
    version,
    after_long_help = format!("EXIT STATUS\n{EXIT_STATUS}\n\nENVIRONMENT\n{ENVIRONMENT}"),
    after_help = "--help tells the exit status that scripts can use.",
    max_term_width = 120
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args)]
pub struct Global {
    /// JSON on stdout instead of tables.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the terminal is: system, session, or the D-Bus address of a bus.
    #[arg(long, global = true, env = "PAYTERM_BUS", default_value = "system", value_name = "BUS")]
    bus: String,
    /// The terminal's peer-to-peer socket, instead of a bus.
    #[arg(long, global = true, value_name = "PATH")]
    peer: Option<PathBuf>,
    /// The lane, where a machine has several terminals (bus.lane of its configuration).
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub lane: String,
    /// Language of tables and progress; else by LC_ALL, LC_MESSAGES, LANG.
    #[arg(long, global = true, value_enum)]
    lang: Option<Lang>,
    /// Time zone of the times shown and typed, by its IANA name; else the terminal's.
    #[arg(long, global = true, value_name = "NAME")]
    pub zone: Option<Zone>,
    /// No progress on stderr.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Lang {
    #[value(name = "zh-CN")]
    ZhCn,
    #[value(name = "en")]
    En,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::ZhCn => Language::ZhCn,
            Lang::En => Language::En,
        }
    }
}

impl Global {
    pub fn address(&self) -> Address {
        match (&self.peer, self.bus.as_str()) {
            (Some(path), _) => Address::Peer(path.clone()),
            (None, "system") => Address::System,
            (None, "session") => Address::Session,
            (None, address) => Address::Bus(address.into()),
        }
    }
    pub fn language(&self) -> Language {
        let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        match self.lang {
            Some(lang) => lang.into(),
            None if ["LC_ALL", "LC_MESSAGES", "LANG"]
                .into_iter()
                .find_map(set)
                .is_some_and(|v| v.starts_with("zh")) =>
            {
                Language::ZhCn
            }
            None => Language::En,
        }
    }
}

pub fn kind(text: &str) -> Result<Kind, String> {
    let name = text.replace('-', "_");
    Kind::named(&name).ok_or_else(|| format!("one of {}", Kind::names()))
}
pub fn status(text: &str) -> Result<Status, String> {
    let all = <Status as payterm_texts::Word>::ALL;
    all.iter()
        .copied()
        .find(|s| s.name() == text)
        .ok_or_else(|| "one of running, approved, declined, cancelled, failed, unknown".into())
}
pub fn operator(text: &str) -> Result<OperatorId, String> {
    OperatorId::new(text).map_err(|e| e.to_string())
}
pub fn inhibit_reason(text: &str) -> Result<InhibitReason, String> {
    InhibitReason::named(text)
        .ok_or_else(|| format!("one of {}", InhibitReason::ALL.map(InhibitReason::name).join(", ")))
}
pub fn account(text: &str) -> Result<AccountId, String> {
    AccountId::new(text)
}
pub fn stan(text: &str) -> Result<Stan, String> {
    text.parse().ok().and_then(Stan::new).ok_or_else(|| "1 to 999999".into())
}

/// The account of an option that is checked by its field's name, not by the parser of the command line.
pub fn named_account(text: Option<String>) -> Result<Option<AccountId>, Failure> {
    let account = text.map(|t| account(&t)).transpose();
    account.map_err(|rule| Fault::invalid("account", &rule).into())
}
