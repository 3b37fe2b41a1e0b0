//! Typed errors of the software. A fault never describes the state of money: "declined" is an
//! [`crate::Outcome`].
use crate::{money::MoneyError, onboarding::Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Error of the software. Serialised as JSON with its name under `fault` and its fields beside it; the D-Bus
/// error name is `org.payterm.Terminal1.Error.<Name>`, unless the bus has a name of its own for it.
///
/// The first paragraph of a variant says when it is answered, the second what the calling program does then:
/// the table of docs/integrator.md is made from them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fault")]
pub enum Fault {
    /// A field of a request, argument or configuration file breaks a rule; the text names both.
    ///
    /// Mend the program; nothing was begun.
    #[error("{field}: {rule}")]
    Invalid { field: String, rule: String },
    /// The terminal serves another customer (`running` is the id of that request when it is the caller's
    /// own), or an operator is typing a password.
    ///
    /// Wait, and start again with the same id.
    #[error("busy: another transaction is running")]
    Busy { running: Option<String> },
    /// A request with this id exists, and its content is another one.
    ///
    /// Take a new id for a new payment; never change a payment under its id.
    #[error("id: request {id} exists with other content")]
    KeyReused { id: String },
    /// Nothing has this name (request, device, account), or the caller may not see it.
    ///
    /// Asked for a request of one's own after a crash: it never began, start it.
    #[error("{what} {name}: not found")]
    NotFound { what: String, name: String },
    /// The caller may not do this: its user, its kinds, its limit, or it is no manager.
    ///
    /// Ask the owner of the terminal.
    #[error("not allowed: {rule}")]
    NotAllowed { rule: String },
    /// The request cannot be cancelled or answered any more: its frame may have left, or it has ended.
    ///
    /// Wait for the outcome, which tells what became of it.
    #[error("too late: {rule}")]
    TooLate { rule: String },
    /// The terminal has no account yet: no request is taken before one is configured or an onboarding is
    /// activated.
    ///
    /// Apply (docs/apply.md), then start again with the same id.
    #[error("the terminal is not activated: apply for an account, or configure one")]
    NotActivated,
    /// The call does not fit the present state: a paper that is not held, a batch that is open, 16 papers
    /// that wait.
    ///
    /// Read the text; nothing was changed.
    #[error("wrong state: {rule}")]
    WrongState { rule: String },
    /// No account takes this currency or instrument.
    ///
    /// Have the configuration mended.
    #[error("currency: no account for {currency}")]
    NoAccount { currency: String },
    /// The original of the request cannot be undone. No call answers it in this version: such a request
    /// fails with the reason `original-not-found`, `original-ambiguous`, `original-not-approved`,
    /// `original-voided` or `original-settled`.
    ///
    /// Show `reason.next`.
    #[error("original: {rule}")]
    Original { rule: String },
    /// No operator is logged on (`operators.required`); nothing of the request is on record.
    ///
    /// Have the cashier log on at the terminal, then start again with the same id.
    #[error("no operator is logged on")]
    NotLoggedOn,
    /// The terminal is locked after wrong passwords of supervisor or administrator.
    ///
    /// Have customer service unlock it; nothing starts before.
    #[error("the terminal is locked: customer service opens it")]
    TerminalLocked,
    /// The operator is locked after too many wrong passwords.
    ///
    /// Have the supervisor unlock.
    #[error("operator {operator} is locked")]
    OperatorLocked { operator: String },
    /// The session at the keypad came to nothing: cancelled, or timed out.
    ///
    /// Ask again.
    #[error("not done: {rule}")]
    NotDone { rule: String },
    /// The journal could not make the request durable; nothing was sent for it.
    ///
    /// Start again with the same id, and call support.
    #[error("the store failed, request {id} was not recorded: {cause}")]
    StoreFailed { id: String, cause: String },
    /// The journal was restored after damage, or is an old copy: payments, settlement too, are stopped until
    /// the supervisor ends the recovery.
    ///
    /// Have the books compared with the acquirer's and `paytermctl journal recovered` called
    /// (docs/stuck.md), then start again with the same id.
    #[error("the journal was restored: request {id} can be started once the recovery has been ended")]
    JournalRestored { id: String },
    /// The request was begun in a part of the journal that damage has destroyed: whether it was made is not
    /// known here, and this id is never started again, also after the recovery.
    ///
    /// Ask the acquirer; take the money again, under another id, only when it was not made.
    #[error("the journal was restored: whether request {id} was made before is not known here")]
    RequestLost { id: String },
    /// The check of the journal failed: no payments until the terminal is started again.
    ///
    /// Have the terminal restarted (`systemctl restart paytermd`), which restores the last backup
    /// (docs/stuck.md).
    #[error("the journal is damaged: {cause}")]
    JournalDamaged { cause: String },
    /// The disk is full: no new payment begins until there is room (`store.free_mib`); what has begun ends.
    ///
    /// Start again with the same id when there is room, and call support.
    #[error("the disk is full: {free_mib} MiB are free, {needed_mib} are needed")]
    DiskFull { free_mib: u64, needed_mib: u64 },
    /// A part of the terminal is being restarted.
    ///
    /// Repeat the same call with the same id.
    #[error("{part} is restarting: try again with the same id")]
    Restarting { part: String },
    /// The terminal is being shut down.
    ///
    /// Repeat the same call later with the same id.
    #[error("shutting down")]
    ShuttingDown,
    /// The acquirer's terminal management gave nothing that can be used; `problem` says why, nothing was
    /// changed.
    ///
    /// Look `problem` up (docs/apply.md).
    #[error("terminal management: {problem}: {cause}")]
    Management { problem: Problem, cause: String },
    /// The terminal could not be reached, or the connection was lost (told by the client).
    ///
    /// Connect again, and repeat the call with the same id.
    #[error("terminal unreachable: {cause}")]
    Unreachable { cause: String },
}

impl Fault {
    /// `Invalid` of a field.
    pub fn invalid(field: &str, rule: &str) -> Self {
        Fault::Invalid { field: field.into(), rule: rule.into() }
    }
    /// `NotFound` of a thing and its name.
    pub fn not_found(what: &str, name: &str) -> Self {
        Fault::NotFound { what: what.into(), name: name.into() }
    }
    /// Last part of the D-Bus error name.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::Invalid { .. } => "Invalid",
            Fault::Busy { .. } => "Busy",
            Fault::KeyReused { .. } => "KeyReused",
            Fault::NotFound { .. } => "NotFound",
            Fault::NotAllowed { .. } => "NotAllowed",
            Fault::TooLate { .. } => "TooLate",
            Fault::NotActivated => "NotActivated",
            Fault::WrongState { .. } => "WrongState",
            Fault::NoAccount { .. } => "NoAccount",
            Fault::Original { .. } => "Original",
            Fault::NotLoggedOn => "NotLoggedOn",
            Fault::TerminalLocked => "TerminalLocked",
            Fault::OperatorLocked { .. } => "OperatorLocked",
            Fault::NotDone { .. } => "NotDone",
            Fault::StoreFailed { .. } => "StoreFailed",
            Fault::JournalRestored { .. } => "JournalRestored",
            Fault::RequestLost { .. } => "RequestLost",
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

/// Text of an error with all its causes, on one line: `connecting to bank: connection refused`.
pub fn with_causes(e: &dyn std::error::Error) -> String {
    std::iter::successors(Some(e), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
