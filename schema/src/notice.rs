//! Messages of the terminal while it works: screens for the display, notices for bus, agents and operator
//! page.
use crate::{
    account::{AccountId, Stan},
    device::Device,
    host::EntryMode,
    kind::Kind,
    money::Money,
    onboarding::{Onboarding, Stage},
    operator::{OperatorId, Purpose, TerminalLock},
    outcome::{Outcome, Status},
    request::RequestKey,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Phase of a running request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted and on disk; its original, if it has one, is looked up.
    Started,
    /// Waits for a confirmation by the cashier or an agent.
    Confirming,
    /// Waits for the supervisor, who allows it at the keypad.
    Approving,
    /// Waits for a sign-in, or until the account owes nothing.
    Preparing,
    /// Waits for a card or a code.
    Presenting,
    /// Waits for the customer's PIN.
    PinEntry,
    /// Sends its frame, which may leave at any moment or has left: too late to cancel.
    Sending,
    /// Has its outcome.
    Ended,
}
impl Phase {
    /// Name in JSON and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Started => "started",
            Phase::Confirming => "confirming",
            Phase::Approving => "approving",
            Phase::Preparing => "preparing",
            Phase::Presenting => "presenting",
            Phase::PinEntry => "pin_entry",
            Phase::Sending => "sending",
            Phase::Ended => "ended",
        }
    }
    /// Tells whether the request can still be cancelled: up to the moment when its frame may leave.
    pub const fn can_cancel(self) -> bool {
        match self {
            Phase::Started
            | Phase::Confirming
            | Phase::Approving
            | Phase::Preparing
            | Phase::Presenting
            | Phase::PinEntry => true,
            Phase::Sending | Phase::Ended => false,
        }
    }
}

/// Progress of an obligation that holds up another request; tells nothing of whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owed {
    /// Tries that left.
    pub tries: u32,
    /// Response code (F39) of the last try; none when no try was answered.
    pub last_code: Option<String>,
    pub next_try: Time,
    /// Time from which on a person must see to it; none: that is not known.
    pub deadline: Option<Time>,
}

/// State of a terminal that serves nobody, for its page of rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rest {
    /// Operator on duty; none: nobody is, or the terminal works without operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorId>,
    /// Accounts that are not signed in, or whose acquirer could not be reached at the last try.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<AccountId>,
    /// Text ids of the troubles that last ([`TROUBLES`]), the worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// Text ids of the troubles that stay on the page of rest until they are mended, the worst first.
pub const TROUBLES: [&str; 9] = [
    "disk-full",
    "keys-missing",
    "account-renumbered",
    "clock-jump",
    "clock-doubtful",
    "paper-out",
    "printer",
    "slips-held",
    "slips-waiting",
];

/// Page of the display; `texts` turns it into lines in the terminal's language. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "page")]
pub enum Screen {
    /// Shows that nobody is served.
    Idle(Rest),
    /// Asks the cashier or an agent to confirm the request.
    Confirm { kind: Kind, amount: Option<Money> },
    /// Asks the cashier whether the part that the host approved is taken.
    ConfirmPartial { asked: Money, approved: Money },
    /// Asks for a card or code; `problem` is the text id of the last failed try (`card-unreadable`,
    /// `chip-not-supported`, `code-unknown` ...).
    Present { kind: Kind, amount: Option<Money>, modes: Vec<EntryMode>, problem: Option<String> },
    /// Asks the customer which of the chip's applications pays, by their labels: `names`, from `first` on, as
    /// many as are shown (counted from 0); of a single one whether it may.
    ChooseApplication { amount: Option<Money>, names: Vec<String>, first: u32 },
    /// Asks for the PIN; `digits` are typed so far, `wrong`: the last PIN was wrong, `left`: tries that the
    /// card has left, where it checks the PIN itself and has said so.
    Pin {
        kind: Kind,
        amount: Option<Money>,
        masked_pan: String,
        digits: u8,
        wrong: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<u8>,
    },
    /// Asks for patience; `what` is a text id (`signing-in`, `reversing`, `sending`), `amount` what the
    /// request moves. `owed`: the earlier payment that must be answered first.
    Wait {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
        what: String,
        until: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owed: Option<Owed>,
    },
    /// Shows the outcome of a request.
    Result { outcome: Arc<Outcome> },
    /// Shows that nobody is served, and that no operator is on duty.
    LogOn(Rest),
    /// Asks for an operator's number; `typed` are its digits so far.
    OperatorNumber { typed: String, problem: Option<String> },
    /// Asks for a password; `digits` are typed so far, `problem` is the text id of the last failed try.
    Password {
        operator: OperatorId,
        purpose: Purpose,
        /// Kind of the request that is to be allowed; none: the password is for something else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
        /// Voucher number of the transaction that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        voucher: Option<Stan>,
        /// Operator who asks for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked_by: Option<String>,
        digits: u8,
        problem: Option<String>,
    },
    /// Shows that the terminal is locked until customer service's code is typed; `digits` of it are typed so
    /// far.
    Locked { lock: TerminalLock, digits: u8, problem: Option<String> },
    /// Shows a terminal without an account: how far its onboarding is, and why it was rejected.
    Onboarding { stage: Option<Stage>, reason: Option<String> },
    /// Shows a trouble; `what` is a text id.
    Trouble { what: String },
    /// Shows the report of a self-test, until its time is over or a customer comes.
    SelfTest { report: Box<crate::SelfTest> },
}

/// Event that every face is told. Nothing is told before it has happened (the ordering rule).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// A request is on disk; `outcome` is what is known of it.
    Started { key: RequestKey, txn: u64, outcome: Arc<Outcome> },
    /// A running request is in another phase, or another prompt is shown for it.
    Phase { key: RequestKey, phase: Phase, screen: Screen },
    /// A request has its outcome: final, or `Unknown`, which one final outcome may follow.
    Outcome { outcome: Arc<Outcome> },
    /// The screen has changed outside a request, at the keypad of the operators.
    Screen { screen: Screen },
    /// A device is in another state.
    Device { device: Device },
    /// An obligation has changed and is still open: a try failed, it is Stuck, or a person holds or releases
    /// it.
    Obligation { obligation: Box<crate::record::Obligation> },
    /// A paper was printed, could not be printed yet, is held, or was given up.
    Paper { job: crate::paper::PaperJob },
    /// Another operator is on duty, or none; or the terminal was locked or unlocked.
    Operators { on_duty: Option<OperatorId>, locked: bool },
    /// The onboarding of the terminal has changed. Told to managers only.
    Onboarding { onboarding: Box<Onboarding> },
    /// The host asked in a header for something that the terminal does not do by itself (processing
    /// requirement 1, 2, 4 to 8).
    Requirement { account: AccountId, digit: u8 },
    /// What a host gave to the card kernel is on disk, and used from the next card on: entries of the lists
    /// that were asked for; none: that list stays as it was.
    Downloaded { account: AccountId, version: u64, keys: Option<u32>, aids: Option<u32> },
    /// A download for the card kernel has failed, and has changed nothing. `again`: when it is tried again;
    /// none: when the host or a person asks for it.
    DownloadFailed { account: AccountId, why: String, again: Option<Time> },
    /// A self-test has ended.
    SelfTest { report: Box<crate::SelfTest> },
    /// Screens, papers and texts are in this language from now on.
    Language { language: crate::config::Language },
    /// The reasons not to update or restart the terminal have changed; empty: none holds.
    Inhibited { reasons: Vec<crate::InhibitReason> },
}

impl Screen {
    /// Page of rest without anything to say.
    pub fn idle() -> Self {
        Screen::Idle(Rest::default())
    }
    /// Tells whether it shows a time that runs: a second later its lines are others.
    pub fn runs(&self) -> bool {
        match self {
            Screen::Idle(_) | Screen::LogOn(_) | Screen::Wait { .. } | Screen::Locked { .. } => true,
            Screen::Result { outcome } => outcome.status == Status::Unknown && outcome.answer_by.is_some(),
            Screen::Confirm { .. }
            | Screen::ConfirmPartial { .. }
            | Screen::ChooseApplication { .. }
            | Screen::Present { .. }
            | Screen::Pin { .. }
            | Screen::OperatorNumber { .. }
            | Screen::Password { .. }
            | Screen::Onboarding { .. }
            | Screen::Trouble { .. }
            | Screen::SelfTest { .. } => false,
        }
    }
    /// Tells whether a key on this page agrees to money.
    pub fn agrees(&self) -> bool {
        matches!(self, Screen::Confirm { .. } | Screen::ConfirmPartial { .. })
    }
    /// A `Wait` without an obligation that holds it up.
    pub fn wait(what: impl Into<String>, amount: Option<Money>, until: Time) -> Self {
        Screen::Wait { amount, what: what.into(), until, owed: None }
    }
}
