//! Reasons not to update or restart the terminal now.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reason not to update or restart the terminal now; several may hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InhibitReason {
    /// A request is under way.
    Payment,
    /// An outcome is unknown, and the terminal is finding it out.
    Unknown,
    /// A frame that left is being reversed.
    Obligation,
    /// The acquirer has not been told of every payment yet.
    Queue,
    /// A batch is being settled.
    Settlement,
    /// An obligation is Stuck: a person must ask the acquirer.
    Stuck,
    /// The journal was restored from a backup or is an old copy, and the supervisor has not ended the
    /// recovery.
    Restoring,
}
impl InhibitReason {
    pub const ALL: [InhibitReason; 7] = [
        InhibitReason::Payment,
        InhibitReason::Unknown,
        InhibitReason::Obligation,
        InhibitReason::Queue,
        InhibitReason::Settlement,
        InhibitReason::Stuck,
        InhibitReason::Restoring,
    ];
    /// Name on D-Bus and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            InhibitReason::Payment => "payment",
            InhibitReason::Unknown => "unknown",
            InhibitReason::Obligation => "obligation",
            InhibitReason::Queue => "queue",
            InhibitReason::Settlement => "settlement",
            InhibitReason::Stuck => "stuck",
            InhibitReason::Restoring => "restoring",
        }
    }
    /// Reason of this name, or none.
    pub fn named(name: &str) -> Option<InhibitReason> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }
    /// Tells whether it ends only when a person acts, which may take days: it is shown, and does not keep the
    /// machine from shutting down.
    pub const fn waits_for_a_person(self) -> bool {
        match self {
            InhibitReason::Stuck | InhibitReason::Restoring => true,
            InhibitReason::Payment
            | InhibitReason::Unknown
            | InhibitReason::Obligation
            | InhibitReason::Queue
            | InhibitReason::Settlement => false,
        }
    }
}
