//! What goes into the machine and what comes out of it.
use crate::{Apply, TmsAsk, TmsEvent, TmsSettings};
use crate::{VaultAnswer, VaultAsk};
use payterm_schema::{
    AccountId, CardToken, Fault, HostEvent, HostMessage, Instrument, Money, Notice, Outcome, Pan, Request,
    RequestKey, SelfTest, Time,
    account::{Batch, Stan},
    card::{CardPin, CardRun, CardStep, CardWord, Interface},
    config::{
        AccountConfig, FlowConfig, Language, OperatorsConfig, PaperConfig, RouteConfig, SettlementConfig,
    },
    device::Key,
    download::EmvParameters,
    host::EntryMode,
    host::HostRules,
    notice::Screen,
    offline::QueueAct,
    operator::OperatorRequest,
    outcome::Place,
    page::Printable,
    paper::{PaperJob, PaperRequest, PrintResult, SlipCopy},
    record::{Entry, RrnClaim},
    secret::PinEntry,
    settlement::{BatchQuery, BatchRow},
    time::Millis,
    totals::Scope,
};
use std::sync::Arc;

/// What the machine must know of config and profiles; it does not change while the machine lives.
#[derive(Clone, Debug)]
pub struct Settings {
    pub accounts: Vec<AccountSettings>,
    pub routes: Vec<RouteConfig>,
    pub flow: FlowConfig,
    pub paper: PaperConfig,
    pub place: Place,
    /// Where no operator is on duty.
    pub operator: String,
    pub operators: OperatorsConfig,
    pub settlement: SettlementConfig,
    /// A virtual device is configured or the terminal is a laboratory's.
    pub test: bool,
    /// A printer is configured; without one no papers are queued.
    pub printer: bool,
    /// Interfaces on which chip cards can be run (a configured reader has a kernel).
    pub chip: Vec<Interface>,
    /// Greatest time of one command of a chip card, in ms (`emv.card_ms`).
    pub card_ms: u32,
    /// Records between snapshots.
    pub snapshot_every: u32,
    /// Before it nothing happens: a clock that reads less was never set.
    pub not_before: Time,
    /// The terminal can apply for accounts.
    pub tms: Option<TmsSettings>,
}

#[derive(Clone, Debug)]
pub struct AccountSettings {
    pub config: AccountConfig,
    /// Shared: steps take it along while they change the machine.
    pub rules: Arc<HostRules>,
    /// Minutes east of UTC of F12 and F13 (host time).
    pub host_offset_minutes: i32,
}

/// What an account's host was last heard to say, in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub at: Time,
    /// Its clock minus ours where that is too much to be believed.
    pub off_by: Option<Millis>,
}

/// Identifies the caller's question in its answer.
pub type Call = u64;

/// Who cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Customer,
    Cashier,
    Caller,
    /// The caller has left the bus; obeyed only when the request says so.
    CallerLost,
    /// The terminal is being shut down.
    Shutdown,
}

/// Everything that can happen to the terminal. A closed enum without wildcard arms: a new event does not
/// compile until every state answers it.
#[derive(Clone, Debug)]
pub enum Input {
    /// A request whose key the store does not know (the daemon looked it up). Answered when it is durable.
    Start {
        call: Call,
        key: RequestKey,
        request: Box<Request>,
    },
    /// Answered at once; `WrongState` when it is too late.
    Cancel {
        call: Call,
        key: RequestKey,
        by: By,
    },
    Confirm {
        call: Call,
        key: RequestKey,
        yes: bool,
    },
    /// Which instruments can be presented now, whether a PIN pad works, and whether a printer can print.
    Devices {
        modes: Vec<EntryMode>,
        pin_pad: bool,
        printer: bool,
    },
    /// `card`: what the vault makes of its number, where it has one.
    Instrument {
        instrument: Instrument,
        card: Option<CardToken>,
    },
    /// Next step of the card run `tag`; none: the card was removed or does not answer. `card`: what the vault
    /// makes of the number that was read, where it has one.
    Card {
        tag: u64,
        step: Option<CardStep>,
        card: Option<CardToken>,
    },
    Key(Key),
    /// Digits typed on the PIN pad so far.
    PinDigits {
        tag: u64,
        digits: u8,
    },
    Pin {
        tag: u64,
        entry: PinEntry,
    },
    Host {
        tag: u64,
        event: HostEvent,
    },
    /// Answer to [`Effect::Load`]; of an original at most two are found (two = ambiguous).
    Loaded {
        tag: u64,
        found: Result<Vec<Outcome>, Fault>,
    },
    /// Answer to [`Effect::Load`] of a batch's records.
    BatchLoaded {
        tag: u64,
        found: Result<Vec<BatchRow>, Fault>,
    },
    Printed {
        job: u64,
        result: PrintResult,
        /// Characters that the printer lacks.
        replaced: u32,
    },
    /// The printer came back: waiting papers are tried at once.
    PrinterReady,
    /// Queue a copy of this outcome's slip.
    Reprint {
        call: Call,
        outcome: Arc<Outcome>,
        /// None: the customer's.
        copy: Option<SlipCopy>,
    },
    ReleasePaper {
        call: Call,
        job: u64,
        print: bool,
        by: String,
    },
    /// Print what an app composed; the daemon has looked the id up and checked the content.
    Print {
        call: Call,
        app: String,
        request: PaperRequest,
        content: Box<Printable>,
    },
    /// Print a report; a shift's ends the shift.
    PrintReport {
        call: Call,
        app: String,
        scope: Scope,
    },
    RetryObligation {
        call: Call,
        txn: u64,
        by: String,
    },
    Queue {
        call: Call,
        act: QueueAct,
        by: String,
    },
    /// A person asked the acquirer what became of a Stuck obligation.
    Resolve {
        call: Call,
        txn: u64,
        /// It was executed (and stands).
        executed: bool,
        /// Which of its frames stands, where several are Stuck; the others do not.
        stan: Option<Stan>,
        /// The acquirer's reference, 1 to 40 printable characters.
        reference: String,
        by: String,
    },
    /// A self-test has ended; `print`: on paper too.
    SelfTested {
        call: Call,
        report: Box<SelfTest>,
        print: bool,
    },
    /// Answered when the host answered an echo, or did not.
    Probe {
        call: Call,
        account: AccountId,
    },
    /// The check of the journal failed.
    JournalDamaged {
        why: String,
    },
    /// A trouble outside the machine ([`payterm_schema::notice::TROUBLES`]) begins, or is mended.
    Trouble {
        what: &'static str,
        lasts: bool,
    },
    /// The system clock was set, against the time that passed.
    ClockJumped {
        by: Millis,
    },
    SetLanguage {
        call: Call,
        language: Language,
        by: String,
    },
    /// Answered when the session at the keypad has ended.
    Operators {
        call: Call,
        request: OperatorRequest,
    },
    /// Answer to [`Effect::AskVault`].
    Vault {
        tag: u64,
        answer: VaultAnswer,
    },
    /// A step of the onboarding for a terminal.
    Apply {
        call: Call,
        by: String,
        step: Apply,
    },
    /// Answer to [`Effect::Tms`].
    Tms {
        tag: u64,
        event: TmsEvent,
    },
}

impl Input {
    /// It comes from devices, hosts and clocks: nobody has touched the terminal.
    pub(crate) fn is_behind(&self) -> bool {
        matches!(
            self,
            Input::Devices { .. }
                | Input::Host { .. }
                | Input::Loaded { .. }
                | Input::BatchLoaded { .. }
                | Input::Printed { .. }
                | Input::PrinterReady
                | Input::Vault { .. }
                | Input::SelfTested { .. }
                | Input::JournalDamaged { .. }
                | Input::Trouble { .. }
                | Input::ClockJumped { .. }
                | Input::Probe { .. }
                | Input::Tms { .. }
        )
    }
}

/// Where the original of a void is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Key(RequestKey),
    /// Approved transactions with this RRN, of any app: another's is refused, not taken for one that is not
    /// here.
    Rrn {
        rrn: String,
    },
    /// The approved pre-authorisation with this authorisation code, of any app; of this date (MMDD of the
    /// host) if there is one.
    AuthCode {
        code: String,
        date: String,
    },
    /// Records of a batch, for its upload.
    Batch(BatchQuery),
    /// Approved transactions of the app with this STAN in an open batch.
    Stan {
        app: String,
        stan: Stan,
        batches: Vec<(AccountId, Batch)>,
    },
}

/// What the customer is asked, or asked no more. It does not wait for records, neither of its own step nor of
/// those before: it moves no money and tells no app anything, and where a record fails, or the power goes,
/// nobody is asked any more. So the card is read and the PIN typed while the disk syncs; what comes of them
/// waits in its turn. Only an effect of an earlier step that the customer is to see first
/// ([`Effect::faces_customer`]) holds it up, and what ends a question ([`Ask::ends`]) not even that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The prompt, before its readers or the PIN pad: nobody pays what the display does not show. As
    /// [`Effect::Show`] has it.
    Show(Screen, Option<Language>),
    /// Arm the readers, the scanner and (for [`EntryMode::Manual`]) the keypad, for this transaction.
    Offer { txn: u64, modes: Vec<EntryMode> },
    /// Disarm them; a reader whose card is being run keeps it.
    Withdraw,
    /// Run a card transaction on the reader that holds a card; answered by [`Input::Card`] with the same tag.
    /// The card decides nothing before [`CardWord::Proceed`].
    RunCard { tag: u64, run: CardRun },
    /// Ask the PIN pad; answered by [`Input::Pin`] with the same tag.
    Pin { tag: u64, account: AccountId, pan: Pan, amount: Option<Money>, timeout_ms: u32 },
    /// Ask the PIN pad for a PIN that it shows to the card of the run `run`; answered as [`Ask::Pin`] is.
    CardPin { tag: u64, run: u64, pin: CardPin, amount: Option<Money>, timeout_ms: u32 },
    /// The PIN is no longer wanted (cancelled elsewhere).
    AbortPin { tag: u64 },
}

impl Ask {
    /// Tells whether a customer, a card or a reader answers it.
    pub fn is_answered(&self) -> bool {
        matches!(self, Self::Offer { .. } | Self::RunCard { .. } | Self::Pin { .. } | Self::CardPin { .. })
    }
    /// Tells whether somebody is asked no more by it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Withdraw | Self::AbortPin { .. })
    }
}

/// What the engine is to do, only after the step's records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Answer {
        call: Call,
        result: Result<(), Fault>,
    },
    Tell(Box<Notice>),
    /// Answer the last step of the card run.
    TellCard {
        tag: u64,
        word: CardWord,
    },
    /// The card run ends as far as it came, once its command under way is answered; it is told as a step.
    StopCard {
        tag: u64,
    },
    /// The card run is over, wherever it is: the reader lets go of the card.
    EndCard {
        tag: u64,
    },
    /// Show this; the customer's displays in this language, none: in the terminal's, as all the others.
    Show(Screen, Option<Language>),
    /// Screens, papers and texts are in this language from here on.
    Speak(Language),
    Send(Box<HostMessage>),
    /// Forget the account's working keys.
    ForgetKeys {
        account: AccountId,
    },
    /// The card kernel works with these from its next run on: one of each account whose host has given any.
    UseDownloads {
        all: Vec<(AccountId, Arc<EmvParameters>)>,
    },
    Load {
        tag: u64,
        query: Query,
    },
    /// Render and print; `duplicate` = headed 重打印 / DUPLICATE.
    Print {
        job: Box<PaperJob>,
        duplicate: bool,
    },
    AskVault {
        tag: u64,
        ask: VaultAsk,
    },
    /// Ask the terminal management; answered by [`Input::Tms`] with the same tag.
    Tms {
        tag: u64,
        ask: TmsAsk,
    },
    /// Start over with the accounts that the journal holds now; nothing runs.
    Renew,
}

impl Effect {
    /// Tells whether it changes what the customer sees or what a card is told: no [`Ask`] of a later step
    /// overtakes it.
    pub fn faces_customer(&self) -> bool {
        matches!(
            self,
            Self::Show(..)
                | Self::Speak(_)
                | Self::TellCard { .. }
                | Self::StopCard { .. }
                | Self::EndCard { .. }
        )
    }
}

/// The next moment at which [`crate::Machine::handle_timeout`] has something to do, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wake {
    pub at: Time,
    pub timer: Timer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The stage of the request that is served ends.
    Stage,
    /// A link that has not answered is taken for dead.
    Exchange,
    /// An account's next message: a sign-in, what is owed, a query, its settlement.
    Line,
    /// A settlement at its time of day, or a reminder of it.
    Settlement,
    Paper,
    /// A prompt, the idle lock, a question to the vault.
    Keypad,
    Onboarding,
    /// What is shown for a time gives way.
    Screen,
}

/// What one input led to. Records (with what must be sealed or erased beside them) are one commit; the
/// effects are released when it is durable, in order; the asks wait for no records.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub records: Vec<Entry>,
    /// PANs to be sealed under their transaction's number, in the same commit.
    pub seal: Vec<(u64, Pan)>,
    /// Sealed PANs no longer needed, in the same commit.
    pub erase: Vec<u64>,
    /// A batch is closed: its sealed PANs go, but for those that obligations still need.
    pub erase_batch: Option<Box<payterm_schema::EraseBatch>>,
    /// The step stands on an answer that is believed only when this holds.
    pub claim: Option<Box<RrnClaim>>,
    /// State after the step's last record, when a snapshot is due: (seq, JSON).
    pub snapshot: Option<(u64, String)>,
    pub asks: Vec<Ask>,
    pub effects: Vec<Effect>,
}

impl Step {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.asks.is_empty() && self.effects.is_empty()
    }
}

/// The machine could not be rebuilt from the journal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("snapshot: {0}")]
    Snapshot(#[from] serde_json::Error),
    #[error("record {found} follows record {after}: the journal has a gap")]
    Gap { after: u64, found: u64 },
    #[error("record {seq}: {rule}")]
    Inconsistent { seq: u64, rule: &'static str },
}
