//! Script of a run of the world: the app's orders, the customer, what happens to messages and papers,
//! and inputs at set times.
use crate::sim::bank::HostFault;
use payterm_core::By;
use payterm_schema::{
    HostEvent, Kind, OperatorRequest, Screen, Time, offline::QueueAct, paper::PrintResult, totals::Scope,
};

/// Canaries: nobody may see these in clear.
pub const PAN: &str = "6225768317945678";
pub const TRACK2: &str = "6225768317945678=30122010000012300000";
/// A second card, for the second account.
pub const PAN2: &str = "4096669462738765";
pub const TRACK2B: &str = "4096669462738765=30122010000012300000";
/// Track 2 of a card without a chip.
pub const TRACK2_PLAIN: &str = "6225768317945678=30121010000012300000";
pub const TRACK2B_PLAIN: &str = "4096669462738765=30121010000012300000";
pub const CODE: &str = "131234567890123456";
pub const PIN: &str = "735194";
/// Password of the cashier 01 and of the supervisor, once they are set.
pub const PASSWORD: &str = "482915";
pub const PASSWORD_00: &str = "739164";

pub fn at_epoch() -> Time {
    Time(1_795_000_000_000)
}

/// Customer, by what they do when asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customer {
    Swipes,
    /// Swipes the card of another issuer.
    SwipesOther,
    /// A card without a chip, by its number 0 or 1.
    SwipesPlain(u8),
    Shows,
    /// Presents nothing.
    Walks,
    CancelsAtPin,
    /// Cancels with the terminal's red key, while the PIN is asked for.
    PressesCancel,
    /// Confirms without a PIN.
    Bypasses,
    /// Swipes, and the cashier takes a part of the amount.
    TakesPart,
    /// The first swipe cannot be read.
    Fumbles,
    /// Swipes another card after the first: nobody asked for it.
    SwipesTwice,
    /// The PIN pad fails.
    PadFails,
    /// Types no PIN until the pad's time is over.
    FallsAsleep,
    /// Inserts a chip card.
    Inserts(ChipCard),
    /// Inserts a test card of the simulator that checks the PIN itself, and does so at the pad.
    InsertsForPin(&'static str, AtPad),
    /// Taps a test card of the simulator, which leaves the field at this command, 0: it stays; the next times
    /// it stays.
    Taps(&'static str, u32),
    /// Taps the first of these test cards, and inserts the second where that is asked for.
    TapsThenInserts(&'static str, &'static str),
}

/// What a customer does at the pad whose PIN the card checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtPad {
    /// Types so many wrong PINs, then the right one.
    WrongFirst(u8),
    Bypasses,
    Cancels,
    /// Cancels with the terminal's red key.
    PressesCancel,
    FallsAsleep,
    /// The pad fails.
    Fails,
    /// Pulls the card, and types the right PIN.
    Pulls,
}

/// A chip card, and what becomes of it behind the host's yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChipCard {
    Approves,
    /// The same, behind a script of its issuer.
    RunsScripts,
    Declines,
    /// The same, behind a script of its issuer.
    DeclinesAfterScripts,
    /// Its signature is wrong.
    Lies,
    /// Its kernel calls an ARQC a yes.
    Pretends,
    /// Says nothing any more.
    Silent,
    /// Is slow: it gives its TC when it is stopped.
    Slow,
    /// The same at the script behind its TC.
    SlowAtScripts,
    /// Is pulled out of the script behind its TC.
    PulledAtScripts,
    /// Is pulled out when it has its number read.
    PulledAtOnce,
    /// ... while the host is asked.
    PulledOnline,
    /// ... when it hears the host's yes.
    PulledAtYes,
    /// A test card of the simulator, run by the kernel itself; pulled at this command, 0: it stays.
    Persona(&'static str, u32),
}

/// Event between the orders, whatever the machine does just then.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// The app sends its running request once more, or with other content.
    StartAgain {
        same: bool,
    },
    CancelKey,
    Cancel(By),
    /// A person has everything that is Stuck tried again.
    Retry,
    /// A person asks the acquirer about everything that is Stuck.
    Resolve,
    Devices(bool),
    PrinterReady,
    /// Keys at the terminal's own keypad: digits, `c` confirm, `x` cancel.
    Keys(&'static str),
    Operators(OperatorRequest),
    /// A manager at the queue, on the bus.
    Queue(QueueAct),
    /// An event with a tag of another run, or of nobody.
    Stale(u64, HostEvent),
    /// The system's clock is set forward by so many ms (back: nothing happens, the daemon's is monotonic).
    Clock(i64),
    /// The actor that owns the machine panics.
    TerminalDies,
    /// The one that holds the printer.
    SpoolerDies,
    /// A copy of the newest outcome's slip.
    Reprint,
    /// A report; a shift's ends the shift.
    Report(Scope),
    /// The self-test asks the host for an echo.
    Probe,
    /// A person presses one of the queue's controls, for the nth of those that it fits.
    Press(Press, usize),
    /// The power goes, and at the next start the journal is damaged: about so many records at its end are
    /// gone, and without the marks nobody knows how many.
    JournalTorn {
        records: usize,
        marks: bool,
    },
    /// A person has reconciled what was lost.
    EndRecovery,
}

/// The queue's controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    ForwardAll,
    Forward,
    Hold,
    Release,
    WriteOff,
}

impl Scripted {
    /// Name for the counts of what was met.
    pub const fn name(&self) -> &'static str {
        match self {
            Scripted::StartAgain { same: true } => "the request again",
            Scripted::StartAgain { same: false } => "the key with other content",
            Scripted::CancelKey => "cancel key",
            Scripted::Cancel(_) => "cancel",
            Scripted::Retry => "retry",
            Scripted::Resolve => "resolve",
            Scripted::Devices(true) => "devices back",
            Scripted::Devices(false) => "devices gone",
            Scripted::PrinterReady => "printer ready",
            Scripted::Keys(_) => "keys",
            Scripted::Operators(_) => "operators",
            Scripted::Queue(_) => "queue",
            Scripted::Stale(..) => "stale answer",
            Scripted::Clock(_) => "clock set",
            Scripted::TerminalDies => "terminal dies",
            Scripted::SpoolerDies => "spooler dies",
            Scripted::Reprint => "reprint",
            Scripted::Report(_) => "report",
            Scripted::Probe => "probe",
            Scripted::Press(Press::ForwardAll, _) => "forward all now",
            Scripted::Press(Press::Forward, _) => "forward now",
            Scripted::Press(Press::Hold, _) => "hold",
            Scripted::Press(Press::Release, _) => "release",
            Scripted::Press(Press::WriteOff, _) => "write off",
            Scripted::JournalTorn { .. } => "journal torn",
            Scripted::EndRecovery => "recovery ended",
        }
    }
}

/// Fault of one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// It fails, and nothing of it is kept.
    Fails,
    /// It fails, and it is kept.
    FailsKept,
    /// This one and all others for so many ms fail: the disk is full.
    Full(i64),
}
impl DiskFault {
    pub const fn name(&self) -> &'static str {
        match self {
            DiskFault::Fails => "failed",
            DiskFault::FailsKept => "failed and kept",
            DiskFault::Full(_) => "full",
        }
    }
}

/// Order of the app: one thing that it does.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: &'static str,
    pub kind: Kind,
    /// Minor units of CNY.
    pub amount: Option<u64>,
    pub original: Option<&'static str>,
    pub customer: Customer,
}

/// Typist: what is typed on a screen.
pub type Types = fn(&Screen) -> Option<String>;

/// A script: orders one after the other, and what happens to each message.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Observables of the run are compared with what is on file (`digest.rs`).
    pub digested: bool,
    pub orders: Vec<Order>,
    pub faults: Vec<HostFault>,
    /// Results of the first prints; then all are confirmed.
    pub prints: Vec<PrintResult>,
    /// Faults of the first sign-ins of the terminal's own; then all are answered.
    pub sign_ins: Vec<HostFault>,
    /// Each at its time (ms after the start).
    pub inputs: Vec<(i64, Scripted)>,
    /// Skews of the clock after each power cut, ms.
    pub skews: Vec<i64>,
    /// Typist of the operator when a screen comes up: digits, `c`, `x`; and how often at most.
    pub operator: Option<(u32, Types)>,
    /// Faults of the nth commits (from 1).
    pub disk: Vec<(u32, DiskFault)>,
    /// Time (ms after the start) from which on nothing goes wrong any more: everything settles.
    pub calm_after: Option<i64>,
    /// The line is down from, to (ms after the start): nothing leaves.
    pub down: Vec<(i64, i64)>,
    /// The advice of this transaction is never answered.
    pub never: Option<u64>,
    /// Sign-ins name another batch now and then.
    pub moves_batch: bool,
    /// The store finds no TC of a card.
    pub loses_certificates: bool,
    /// The bank's sums of a batch are never the terminal's.
    pub disputes: bool,
    /// At the end a person has what is Stuck tried again and releases held papers, until nothing is open.
    pub settle: bool,
    /// Time (ms) after which a person asks the acquirer about something that is Stuck.
    pub asks_after: Option<i64>,
    /// Time (ms) that a commit takes; 1 at the least.
    pub commit_ms: i64,
}
