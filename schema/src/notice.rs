//! What the terminal tells while it works: screens for the display, notices for bus, agents and operator
//! page.
use crate::{
    device::Device,
    host::EntryMode,
    kind::Kind,
    money::Money,
    onboarding::{Onboarding, Stage},
    operator::{OperatorId, Purpose, TerminalLock},
    outcome::Outcome,
    request::RequestKey,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a running request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Started,
    /// Waiting for a confirmation by cashier or agent.
    Confirming,
    /// The supervisor is asked to allow it.
    Approving,
    /// Waiting for obligations of the account or a sign-in.
    Preparing,
    /// Waiting for a card or a code.
    Presenting,
    PinEntry,
    /// The frame may leave at any moment: too late to cancel.
    Sending,
    Ended,
}
impl Phase {
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

/// How far an obligation is that holds up somebody else's request: nothing of whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Owed {
    pub tries: u32,
    /// F39 of the last answer; none when no try was answered.
    pub last_code: Option<String>,
    pub next_try: Time,
    /// From then on a person must see to it.
    pub deadline: Option<Time>,
}

/// A page of the display; `texts` turns it into lines in the terminal's language. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "page")]
pub enum Screen {
    Idle,
    /// Asks the cashier (or an agent) to confirm.
    Confirm {
        kind: Kind,
        amount: Option<Money>,
    },
    /// The host approved less than was asked for: the cashier takes it, or not.
    ConfirmPartial {
        asked: Money,
        approved: Money,
    },
    /// "Swipe, insert or tap the card, or scan the code"; `problem` is a text id of the last failed try
    /// (`swipe-again`, `chip-not-supported`, `code-unknown`...).
    Present {
        kind: Kind,
        amount: Option<Money>,
        modes: Vec<EntryMode>,
        problem: Option<String>,
    },
    /// `digits` typed so far; `wrong` = the last PIN was wrong, `left` tries are left.
    Pin {
        kind: Kind,
        amount: Option<Money>,
        masked_pan: String,
        digits: u8,
        wrong: bool,
    },
    /// Being worked on; `what` is a text id (`signing-in`, `reversing`, `sending`). `owed`: the earlier
    /// payment that must be answered first.
    Wait {
        what: String,
        until: Time,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owed: Option<Owed>,
    },
    Result {
        outcome: Arc<Outcome>,
    },
    /// At rest, and nobody is logged on.
    LogOn,
    /// An operator's number is asked for; `typed` so far.
    OperatorNumber {
        typed: String,
        problem: Option<String>,
    },
    /// A password is asked for; `digits` typed so far, `problem` is a text id of the last failed try.
    Password {
        operator: OperatorId,
        purpose: Purpose,
        /// Of an approval: what is to be allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<Kind>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        amount: Option<Money>,
        digits: u8,
        problem: Option<String>,
    },
    /// Locked until customer service's code is typed; `digits` of it so far.
    Locked {
        lock: TerminalLock,
        digits: u8,
        problem: Option<String>,
    },
    /// A terminal without an account: how far its onboarding is, and why it was rejected.
    Onboarding {
        stage: Option<Stage>,
        reason: Option<String>,
    },
    /// Something stands in the way; `what` is a text id.
    Trouble {
        what: String,
    },
    /// What the self-test found; until the result's time is over or a customer comes.
    SelfTest {
        report: Box<crate::SelfTest>,
    },
}

/// Told to every face. Nothing is told before it has happened (the ordering rule).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// A request is on disk; `outcome` is what is known of it.
    Started {
        key: RequestKey,
        txn: u64,
        outcome: Arc<Outcome>,
    },
    Phase {
        key: RequestKey,
        phase: Phase,
        screen: Screen,
    },
    /// The outcome: `Unknown` may be followed once by a final one.
    Outcome {
        outcome: Arc<Outcome>,
    },
    /// The terminal's own screen outside a request.
    Screen {
        screen: Screen,
    },
    Device {
        device: Device,
    },
    Obligation {
        obligation: Box<crate::record::Obligation>,
    },
    Paper {
        job: crate::paper::PaperJob,
    },
    /// Another operator is on duty, or none; the terminal was locked or unlocked.
    Operators {
        on_duty: Option<OperatorId>,
        locked: bool,
    },
    /// The onboarding for a terminal changed. For managers.
    Onboarding {
        onboarding: Box<Onboarding>,
    },
    /// The host asked for something that this terminal does not do by itself (requirement digit 1, 2, 4-8).
    Requirement {
        account: crate::account::AccountId,
        digit: u8,
    },
    /// A self-test has ended.
    SelfTest {
        report: Box<crate::SelfTest>,
    },
    /// Screens, papers and texts are in this language from now on.
    Language {
        language: crate::config::Language,
    },
    /// Other reasons hold why the terminal must not be updated or restarted now, or none does.
    Inhibited {
        reasons: Vec<crate::InhibitReason>,
    },
}

impl Screen {
    pub fn wait(what: impl Into<String>, until: Time) -> Self {
        Screen::Wait { what: what.into(), until, owed: None }
    }
}
