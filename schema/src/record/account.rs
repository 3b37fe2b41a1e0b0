//! Records of an acquirer account: sign-in, sign-off, what its host asks for.
use crate::{
    account::{AccountId, Batch},
    download::EmvParameters,
    host::{HostAnswer, Plan},
    time::Millis,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Record of an acquirer account beside its payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRecord {
    /// A message of the terminal itself (automatic sign-in) is about to leave; its STAN is used.
    ControlSent { account: AccountId, plan: Box<Plan> },
    /// The account is signed in: working keys are loaded and the host's batch is known. `offset`: host time
    /// minus the terminal's.
    SignedIn { account: AccountId, batch: Batch, offset: Millis, answer: Box<HostAnswer> },
    /// A sign-in failed.
    SignInFailed { account: AccountId, why: String },
    /// The account is signed out: a sign-in is needed before the next financial message.
    SignedOut { account: AccountId, why: String },
    /// The host asks for something in the header of a reply (processing requirement, host-protocol §1).
    Requirement { account: AccountId, digit: u8 },
    /// CA keys or applications were downloaded as a whole: from here on the card kernel works with these.
    EmvParameters { account: AccountId, parameters: Arc<EmvParameters> },
    /// A download of CA keys or applications failed and changes nothing.
    DownloadFailed { account: AccountId, why: String },
}
