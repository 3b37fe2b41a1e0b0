//! Typed errors of the software. A fault never describes the state of money: "declined" is an
//! [`crate::Outcome`].
use crate::{money::MoneyError, onboarding::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Serialised with its name under `fault`; on D-Bus the error name is `org.payterm.Terminal1.Error.<Name>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fault")]
pub enum Fault {
    /// A field of a request, argument or file breaks a rule.
    #[error("{field}: {rule}")]
    Invalid { field: String, rule: String },
    /// The terminal serves another customer; `running` is that request when it is the caller's own.
    #[error("busy: another transaction is running")]
    Busy { running: Option<String> },
    /// The same key came with another content.
    #[error("id: request {id} exists with other content")]
    KeyReused { id: String },
    #[error("{what} {name}: not found")]
    NotFound { what: String, name: String },
    /// The caller may not do this.
    #[error("not allowed: {rule}")]
    NotAllowed { rule: String },
    /// It is too late (a cancel after the frame left) or too early.
    #[error("wrong state: {rule}")]
    WrongState { rule: String },
    /// No account takes this currency or instrument.
    #[error("currency: no account for {currency}")]
    NoAccount { currency: String },
    /// The original cannot be undone: settled, voided, not approved.
    #[error("original: {rule}")]
    Original { rule: String },
    /// Nobody is logged on (`operators.required`): an operator types number and password on the terminal.
    #[error("no operator is logged on")]
    NotLoggedOn,
    /// Wrong passwords of supervisor or administrator locked the terminal; customer service has the code that
    /// opens it.
    #[error("the terminal is locked: customer service opens it")]
    TerminalLocked,
    /// Too many wrong passwords; the supervisor unlocks.
    #[error("operator {operator} is locked")]
    OperatorLocked { operator: String },
    /// What was asked for at the keypad did not come about: cancelled, out of time.
    #[error("not done: {rule}")]
    NotDone { rule: String },
    /// The store could not make the request durable; nothing was sent for it.
    #[error("the store failed, request {id} was not recorded: {cause}")]
    StoreFailed { id: String, cause: String },
    /// The journal was restored after damage, and this request is not in it.
    #[error("the journal was restored: {}", restored(.id, *.lost))]
    JournalRestored {
        id: String,
        /// True: it was begun in what is lost. Ask the acquirer; this id is never started again. False:
        /// nothing is started until the supervisor ends the recovery; then start it again with the same id.
        lost: bool,
    },
    /// The check of the journal failed: no payments until the terminal is started again, which restores it.
    #[error("the journal is damaged: {cause}")]
    JournalDamaged { cause: String },
    /// New payments wait until there is room; what has begun ends.
    #[error("the disk is full: {free_mib} MiB are free, {needed_mib} are needed")]
    DiskFull { free_mib: u64, needed_mib: u64 },
    /// A part of the daemon is restarting; the call can be repeated with the same id.
    #[error("{part} is restarting: try again with the same id")]
    Restarting { part: String },
    /// The daemon is shutting down.
    #[error("shutting down")]
    ShuttingDown,
    /// The acquirer's terminal management gave nothing that can be used.
    #[error("terminal management: {problem}: {cause}")]
    Management { problem: Problem, cause: String },
    /// The daemon could not be reached, or the connection was lost (client side).
    #[error("terminal unreachable: {cause}")]
    Unreachable { cause: String },
}

fn restored(id: &str, lost: bool) -> String {
    match lost {
        true => format!("whether request {id} was made before is not known here"),
        false => format!("request {id} can be started once the recovery has been ended"),
    }
}

impl Fault {
    pub fn invalid(field: &str, rule: &str) -> Self {
        Fault::Invalid { field: field.into(), rule: rule.into() }
    }
    pub fn not_found(what: &str, name: &str) -> Self {
        Fault::NotFound { what: what.into(), name: name.into() }
    }
    /// The last part of the D-Bus error name.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Invalid { .. } => "Invalid",
            Fault::Busy { .. } => "Busy",
            Fault::KeyReused { .. } => "KeyReused",
            Fault::NotFound { .. } => "NotFound",
            Fault::NotAllowed { .. } => "NotAllowed",
            Fault::WrongState { .. } => "WrongState",
            Fault::NoAccount { .. } => "NoAccount",
            Fault::Original { .. } => "Original",
            Fault::NotLoggedOn => "NotLoggedOn",
            Fault::TerminalLocked => "TerminalLocked",
            Fault::OperatorLocked { .. } => "OperatorLocked",
            Fault::NotDone { .. } => "NotDone",
            Fault::StoreFailed { .. } => "StoreFailed",
            Fault::JournalRestored { .. } => "JournalRestored",
            Fault::JournalDamaged { .. } => "JournalDamaged",
            Fault::DiskFull { .. } => "DiskFull",
            Fault::Restarting { .. } => "Restarting",
            Fault::ShuttingDown => "ShuttingDown",
            Fault::Management { .. } => "Management",
            Fault::Unreachable { .. } => "Unreachable",
        }
    }
}

impl From<MoneyError> for Fault {
    fn from(e: MoneyError) -> Self {
        let text = e.to_string();
        let (field, rule) = text.split_once(": ").unwrap_or(("amount", &text));
        Fault::invalid(field, rule)
    }
}

/// An error with all its causes, on one line.
pub fn with_causes(e: &dyn std::error::Error) -> String {
    std::iter::successors(Some(e), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
