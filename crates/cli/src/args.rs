//! The command line.
use crate::{
    queue::QueueAction,
    wires::{AuthorisationOf, OriginalArg, Paid, RefundOf},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use payterm_dbus::Address;
use payterm_schema::{AccountId, InhibitReason, Kind, OperatorId, Status, account::Stan, config::Language};
use std::path::PathBuf;

/// What scripts rely on; `exit_of` and `Failure::tell` in `main.rs` keep it.
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
#[command(name = "paytermctl", version, after_long_help = format!("EXIT STATUS\n{EXIT_STATUS}\n\nENVIRONMENT\n{ENVIRONMENT}"), after_help = "--help tells the exit status that scripts can use.", max_term_width = 120)]
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
    /// Minutes east of UTC of the times shown and typed.
    #[arg(long, global = true, default_value_t = 480, allow_negative_numbers = true, value_name = "MINUTES", value_parser = clap::value_parser!(i32).range(-1080..=1080))]
    pub utc_offset: i32,
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

#[derive(Subcommand)]
pub enum SupportAction {
    /// Writes what customer service needs into a tar.gz (managers): versions, configuration, devices,
    /// self-test, queues, last records and log lines; no secrets, no card data.
    Bundle {
        /// A file that is not there yet; else payterm-support-TIME.tar.gz here.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
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

#[derive(Subcommand)]
pub enum Command {
    /// Takes a payment 消费.
    Sale {
        /// As a decimal number: 12.34.
        #[arg(long)]
        amount: String,
        /// ISO 4217 code: CNY.
        #[arg(long)]
        currency: String,
        #[command(flatten)]
        run: Run,
    },
    /// Takes a sale of the open batch back 消费撤销.
    Void {
        #[command(flatten)]
        original: OriginalArg,
        #[command(flatten)]
        run: Run,
    },
    /// Gives a payment back, the whole or a part 退货.
    Refund {
        #[command(flatten)]
        original: RefundOf,
        /// The part; without it all that is left.
        #[arg(long, requires = "currency")]
        amount: Option<String>,
        #[arg(long, requires = "amount")]
        currency: Option<String>,
        #[command(flatten)]
        run: Run,
    },
    /// Sets an amount of a card aside 预授权.
    PreAuth(Paid),
    /// Frees what a pre-authorisation set aside 预授权撤销.
    PreAuthCancel {
        #[command(flatten)]
        original: AuthorisationOf,
        /// What was set aside; needed where this terminal does not know it.
        #[arg(long, requires = "currency")]
        amount: Option<String>,
        #[arg(long, requires = "amount")]
        currency: Option<String>,
        #[command(flatten)]
        run: Run,
    },
    /// Takes a payment out of a pre-authorisation 预授权完成.
    Completion {
        #[command(flatten)]
        original: AuthorisationOf,
        /// Told to the acquirer afterwards 预授权完成通知: it is accepted without waiting for the line.
        #[arg(long)]
        advice: bool,
        #[command(flatten)]
        paid: Paid,
    },
    /// Takes a completion of the open batch back 预授权完成撤销.
    CompletionCancel {
        #[command(flatten)]
        original: OriginalArg,
        #[command(flatten)]
        run: Run,
    },
    /// Adds a tip to a sale of the open batch 小费调整.
    Tip {
        #[command(flatten)]
        original: OriginalArg,
        /// The tip.
        #[command(flatten)]
        paid: Paid,
    },
    /// A sale that the issuer authorised by telephone 离线结算.
    VoiceSale {
        /// The code that the issuer gave: 6 letters or digits.
        #[arg(long)]
        auth_code: String,
        #[command(flatten)]
        paid: Paid,
    },
    /// Fetches the acquirer's parameters 参数下载.
    Parameters(Run),
    /// Tells the acquirer how the terminal is 状态上送.
    StatusUpload(Run),
    /// Settles the batch of an account with the acquirer 批结算, and opens the next one.
    Settle(Run),
    /// The settled batches, newest first 批次.
    Batches {
        /// Only of this account.
        #[arg(long)]
        account: Option<String>,
        /// Lines of the page, 1 to 200.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Compares the acquirer's file of a settled batch with the journal 对账 (managers).
    ///
    /// After a damaged journal was restored, until `journal recovered`, it takes the file of the open batch
    /// too.
    Reconcile {
        /// CSV (UTF-8, GBK or GB18030) with the columns batch,stan,kind,amount,currency,status,rrn in any order;
        /// - = stdin.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Needed when there are several accounts.
        #[arg(long)]
        account: Option<String>,
    },
    /// Asks for the balance of a card 余额查询.
    Balance(Run),
    /// Signs an account in 签到.
    SignIn(Run),
    /// Signs an account off 签退.
    SignOff(Run),
    /// Tests the line to the acquirer 回响.
    Echo(Run),
    /// Waits for the outcome of a request; Ctrl-C leaves it running.
    Wait {
        /// The request's id; app/id for another app's (managers).
        id: String,
        /// Do not return with "unknown": wait for the final outcome, however long that takes.
        #[arg(long = "final")]
        final_only: bool,
    },
    /// What has become of a request.
    Recall { id: String },
    /// Cancels a request that was not sent yet.
    Cancel { id: String },
    /// Answers the question whether a request shall be run.
    Confirm { id: String, answer: YesNo },
    /// The history, newest first.
    List(ListArgs),
    /// The dispute page: everything that happened in a request.
    Explain {
        /// Its id, app/id, or the reference for customer service that stands on its screen and slip
        /// (R0001-17).
        id: String,
    },
    /// Prints the slip again, headed as a duplicate.
    Reprint {
        /// Its request id; last or nothing = the last one that has a slip.
        id: Option<String>,
        #[arg(long, value_enum)]
        copy: Option<CopyName>,
    },
    /// Prints a page or an invoice slip of one's own, and waits until it is out.
    Print {
        /// JSON; - reads it from stdin.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// One's own name for it: the same id prints nothing again.
        #[arg(long)]
        id: String,
        /// Do not wait for the printer.
        #[arg(long)]
        no_wait: bool,
    },
    /// Opens the cash drawer at the receipt printer, at once or not at all.
    OpenDrawer {
        /// One's own name for it, the sale's for example: the same id opens nothing again.
        #[arg(long)]
        id: String,
    },
    /// The devices.
    Devices,
    /// Payments while the host cannot be reached.
    Offline {
        #[command(subcommand)]
        action: OfflineAction,
    },
    /// What is still owed: reversals, and payments that the acquirer is to be told.
    Queue {
        #[command(subcommand)]
        action: Option<QueueAction>,
    },
    /// Papers that are not printed yet.
    Papers {
        #[command(subcommand)]
        action: Option<PapersAction>,
    },
    /// Counts and sums of the open batches.
    Totals {
        /// The approved transactions put together by this (managers only).
        #[arg(long, value_enum, value_name = "WHAT")]
        by: Option<ByName>,
        /// Of the shift, in place of the batch (managers only).
        #[arg(long)]
        shift: bool,
        /// Prints the report; that of the shift ends the shift (managers only).
        #[arg(long)]
        print: bool,
    },
    /// The operators; their passwords are typed at the terminal's keypad, never here.
    Operators {
        #[command(subcommand)]
        action: OperatorsAction,
    },
    /// Facts about the terminal.
    Info,
    /// Tells whether the terminal may be updated or restarted now: exit status 0, else 30 and why not.
    Inhibited {
        /// Wait until it may be, at most so many seconds; without a number as long as it takes.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "4294967295")]
        wait: Option<u32>,
        /// A reason that does not count: payment, unknown, obligation, queue, settlement, stuck, restoring.
        /// May be given several times.
        #[arg(long, value_name = "REASON", value_parser = inhibit_reason)]
        except: Vec<InhibitReason>,
    },
    /// Tests devices, store, clock, keys and lines 自检.
    SelfTest {
        /// On paper too.
        #[arg(long)]
        print: bool,
    },
    /// Sets the language of screens, papers and texts (managers).
    Language {
        #[arg(value_enum)]
        language: Lang,
    },
    /// For customer service.
    Support {
        #[command(subcommand)]
        action: SupportAction,
    },
    /// Applies for a terminal: merchant and terminal numbers, parameters and master key from the acquirer
    /// (managers).
    Apply {
        #[command(subcommand)]
        action: ApplyAction,
    },
    /// Shows everything that the terminal tells, until Ctrl-C.
    Watch,
    /// Acts as customer and cashier at virtual devices.
    ///
    /// Cards, codes and PINs given as - are read from stdin: they do not stand in the process list then.
    Virtual(VirtualArgs),
    /// Provisions keys (the terminal must not be running).
    ///
    /// Components, check values and key blocks are read from stdin or asked for without echo, never from the
    /// command line.
    Vault {
        #[command(subcommand)]
        action: VaultAction,
    },
    /// The journal's file: checked without the terminal, or beside a running one.
    Journal {
        #[command(subcommand)]
        action: JournalAction,
    },
    /// ISO 8583 frames.
    Frame {
        #[command(subcommand)]
        action: FrameAction,
    },
    /// Prints the completions of a shell.
    Completions { shell: Shell },
    /// Writes the man pages into a directory.
    #[command(hide = true)]
    Man { dir: PathBuf },
}

#[derive(Args)]
pub struct Run {
    /// Id of the request, 1 to 64 of A-Z a-z 0-9 - _ . ; without it a new one is made and told on stderr
    /// first. The same id never runs twice.
    #[arg(long)]
    pub id: Option<String>,
    /// Text on the slip, up to 40 characters.
    #[arg(long)]
    pub note: Option<String>,
    /// The acquirer account; else the terminal's routing decides.
    #[arg(long)]
    pub account: Option<String>,
    /// The cashier must confirm before the card is asked for.
    #[arg(long)]
    pub confirm: bool,
    /// Return as soon as the request is on disk (exit status 14).
    #[arg(long)]
    pub no_wait: bool,
    /// Do not return with "unknown": wait for the final outcome, however long that takes.
    #[arg(long = "final", conflicts_with = "no_wait")]
    pub final_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    On,
    Off,
}

#[derive(Args)]
pub struct ListArgs {
    /// Of this app (managers).
    #[arg(long)]
    pub app: Option<String>,
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    #[arg(long, value_parser = status)]
    pub status: Option<Status>,
    #[arg(long, value_parser = account)]
    pub account: Option<AccountId>,
    /// From this time on: YYYY-MM-DD or "YYYY-MM-DD HH:MM[:SS]".
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to this time; a date means its end.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Last four digits of the card number or payment code.
    #[arg(long)]
    pub last4: Option<String>,
    #[arg(long)]
    pub rrn: Option<String>,
    #[arg(long, value_parser = stan)]
    pub stan: Option<Stan>,
    /// Next page: transactions before this number.
    #[arg(long, value_name = "TXN")]
    pub before: Option<u64>,
    /// Most rows, 1 to 200; without it 50.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub limit: Option<u32>,
}

fn kind(text: &str) -> Result<Kind, String> {
    let name = text.replace('-', "_");
    Kind::named(&name).ok_or_else(|| format!("one of {}", Kind::names()))
}
fn status(text: &str) -> Result<Status, String> {
    let all = <Status as payterm_texts::Word>::ALL;
    all.iter()
        .copied()
        .find(|s| s.name() == text)
        .ok_or_else(|| "one of running, approved, declined, cancelled, failed, unknown".into())
}
fn operator(text: &str) -> Result<OperatorId, String> {
    OperatorId::new(text).map_err(|e| e.to_string())
}
fn inhibit_reason(text: &str) -> Result<InhibitReason, String> {
    InhibitReason::named(text)
        .ok_or_else(|| format!("one of {}", InhibitReason::ALL.map(InhibitReason::name).join(", ")))
}
fn account(text: &str) -> Result<AccountId, String> {
    AccountId::new(text)
}
pub fn stan(text: &str) -> Result<Stan, String> {
    text.parse().ok().and_then(Stan::new).ok_or_else(|| "1 to 999999".into())
}

#[derive(Subcommand)]
pub enum OperatorsAction {
    /// Who there is, who is on duty, who is locked.
    List,
    /// Logs an operator on: 99 administrator, 00 supervisor, 01 to 89 cashiers.
    Logon {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Nobody is on duty any more.
    Logoff,
    /// Changes the password of the operator on duty.
    Password,
    /// Adds a cashier (managers; asks for the supervisor at the keypad).
    Add {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Removes a cashier (managers; asks for the supervisor at the keypad).
    Remove {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
    /// Unlocks a cashier (managers; asks for the supervisor at the keypad).
    Unlock {
        #[arg(value_parser = operator)]
        operator: OperatorId,
    },
}

#[derive(Subcommand)]
pub enum ApplyAction {
    /// Shows what the acquirer offers: fees, settlement, conditions, and the hash to accept.
    Offer,
    /// Fills the onboarding in from a file, TOML or (.json) JSON: name, legal_name, licence, address, city,
    /// category, contact, phone, email, products.
    Draft {
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Accepts the offer with this hash.
    Accept { hash: String },
    /// Sends the onboarding.
    Submit,
    /// How far the onboarding is.
    Status,
    /// Asks the acquirer now.
    Refresh,
    /// Fetches parameters and master key of an approved onboarding; returns when the terminal is in service.
    Activate,
}

#[derive(Subcommand)]
pub enum OfflineAction {
    /// Would a sale be accepted while the host cannot be reached, and by which rule, limit and exposure?
    Why {
        /// As a decimal number: 12.34.
        #[arg(long)]
        amount: String,
        /// ISO 4217 code.
        #[arg(long, default_value = "CNY")]
        currency: String,
        /// Default: the first account of the currency.
        #[arg(long, value_parser = account)]
        account: Option<AccountId>,
    },
}
#[derive(Subcommand)]
pub enum PapersAction {
    /// Decides on a held paper (managers).
    Release {
        job: u64,
        #[command(flatten)]
        how: Release,
    },
}

#[derive(Args)]
#[group(id = "decision", required = true, multiple = false)]
pub struct Release {
    /// Print it again, headed as a duplicate.
    #[arg(long)]
    pub print: bool,
    /// Give it up.
    #[arg(long)]
    pub drop: bool,
}

#[derive(Args)]
pub struct VirtualArgs {
    /// Socket of the virtual devices; else virtual.sock in the state directory.
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// State directory of the terminal.
    #[arg(
        long,
        global = true,
        env = "PAYTERM_STATE",
        default_value = "/var/lib/payterm",
        value_name = "DIR"
    )]
    pub state: PathBuf,
    /// Demo cards by name, a TOML file of name = "track 2".
    #[arg(long, global = true, env = "PAYTERM_CARDS", value_name = "FILE")]
    pub cards: Option<PathBuf>,
    /// Wait up to this many seconds until the terminal asks for it; else it must be asking already.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub wait: Option<u64>,
    /// Keep it for the next time that the terminal asks.
    #[arg(long, global = true, conflicts_with = "wait")]
    pub queue: bool,
    #[command(subcommand)]
    pub action: VirtualAction,
}

#[derive(Subcommand)]
pub enum VirtualAction {
    /// Swipes a card: track 2 (PAN=YYMM...), raw reader output (%...?;...?), or the name of a demo card.
    Swipe { card: String },
    /// Shows a payment code to the scanner.
    Scan { code: String },
    /// Types a card number and its expiry (YYMM); with - both are read from stdin.
    Type { pan: String, expiry: Option<String> },
    /// Inserts a chip card.
    Insert,
    /// Taps a contactless card.
    Tap,
    /// Types a PIN and confirms: 4 to 12 digits, cancel, or bypass.
    Pin { pin: String },
    /// Presses a key: confirm, cancel or a digit.
    Key { key: String },
    /// Presses keys one after the other: digits (or - to read them from stdin), confirm, cancel: keys 01
    /// confirm.
    Keys {
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Takes the paper out of the printer (on) or puts it in.
    PaperOut { to: OnOff },
    /// Switches the printer on or off.
    Printer { to: OnOff },
    /// Plugs a device in (on) or pulls it out.
    Plug { device: String, to: OnOff },
    /// Shows the display; with --contains as soon as that text is on it.
    Screen {
        #[arg(long)]
        contains: Option<String>,
    },
    /// Shows the papers that came out; with --count as soon as that many have since the terminal started.
    Papers {
        #[arg(long)]
        count: Option<u64>,
    },
    /// Lists the virtual devices.
    Devices,
}

#[derive(Args)]
pub struct VaultAt {
    /// State directory of the terminal.
    #[arg(long, env = "PAYTERM_STATE", value_name = "DIR")]
    pub state: PathBuf,
    /// The file with the sealing key, mode 0600.
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
}

#[derive(Subcommand)]
pub enum VaultAction {
    /// Makes the vault, and the sealing key if its file is not there.
    Init {
        #[command(flatten)]
        at: VaultAt,
    },
    /// Loads an account's terminal master key from two components of 16 bytes: component 1, its check value,
    /// component 2, its check value, check value of the key, each a line of hex.
    TmkComponents {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
    },
    /// Loads an account's key block protection key from two components, in the same order.
    KbpkComponents {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
        #[arg(long, value_enum)]
        algorithm: KeyAlgorithm,
    },
    /// Loads an account's terminal master key from a key block (TR-31 version B or D), one line.
    TmkBlock {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long, value_parser = account)]
        account: AccountId,
    },
    /// Loads the service key from two components of 16 or 32 bytes, in the same order. Customer service has
    /// the same key in a vault of its own.
    ServiceKey {
        #[command(flatten)]
        at: VaultAt,
    },
    /// For customer service: the code that unlocks the terminal which shows this challenge.
    ServiceCode {
        #[command(flatten)]
        at: VaultAt,
        /// The 8 digits on the terminal's screen.
        challenge: String,
    },
    /// Which keys these accounts have: check values only.
    Status {
        #[command(flatten)]
        at: VaultAt,
        #[arg(long = "account", required = true, value_parser = account)]
        accounts: Vec<AccountId>,
    },
}

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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CopyName {
    Merchant,
    Customer,
}
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ByName {
    Scheme,
    Kind,
    Operator,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// For key blocks of version D.
    Aes,
    /// For key blocks of version B.
    Tdes,
}

#[derive(Subcommand)]
pub enum FrameAction {
    /// Shows a frame field by field, card data masked.
    Decode {
        /// Built-in profile (unionpay, demo-x919) or a profile's file.
        #[arg(long)]
        profile: String,
        /// The frame with its length prefix, in hex; - reads it from stdin.
        hex: String,
    },
}
