//! Records of an acquirer account: sign-in, sign-off, what its host asks for.
use crate::{
    account::{AccountId, Batch},
    host::{HostAnswer, Plan},
    time::Millis,
};
use serde::{Deserialize, Serialize};

/// What happens to an acquirer account beside its payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRecord {
    /// Control messages of the terminal itself (automatic sign-in) take STANs too.
    ControlSent { account: AccountId, plan: Box<Plan> },
    /// Working keys are loaded and the host's batch is known. `offset`: host time minus the terminal's.
    SignedIn { account: AccountId, batch: Batch, offset: Millis, answer: Box<HostAnswer> },
    /// A sign-in came to nothing.
    SignInFailed { account: AccountId, why: String },
    /// A sign-in is needed before the next financial message.
    SignedOut { account: AccountId, why: String },
    /// The host asks for something in the header of a reply (host-protocol §1).
    Requirement { account: AccountId, digit: u8 },
}
