//! Operators: who works at the terminal, what each may do, and what happens to them.
use crate::{fault::Fault, secret::Verifier, time::Time};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;

/// Two digits: `99` the administrator, `00` the supervisor, `01` to `89` cashiers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OperatorId(String);

impl OperatorId {
    /// The fault names `operator`.
    pub fn new(text: &str) -> Result<Self, Fault> {
        let number = (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u8>().ok())
            .flatten();
        match number {
            Some(0..=89 | 99) => Ok(Self(text.into())),
            Some(_) | None => Err(Fault::invalid("operator", "two digits: 99, 00, or 01 to 89")),
        }
    }
    pub fn administrator() -> Self {
        Self("99".into())
    }
    pub fn supervisor() -> Self {
        Self("00".into())
    }
    /// The cashier that a new terminal has.
    pub fn first_cashier() -> Self {
        Self("01".into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn role(&self) -> Role {
        match self.0.as_str() {
            "99" => Role::Administrator,
            "00" => Role::Supervisor,
            _ => Role::Cashier,
        }
    }
}
impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for OperatorId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

/// In the order of their rights: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Cashier,
    Supervisor,
    Administrator,
}

/// What a password is typed for; tells the prompt, and stands on record with a right or wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    LogOn,
    /// The present password, before a new one.
    Change,
    /// The supervisor allows a change of the operators.
    Manage,
    /// The supervisor allows the request on the screen.
    Approve,
    /// The supervisor gives up a payment that waits.
    WriteOff,
    /// A new password, and the same once more.
    New,
    NewAgain,
}

/// What the terminal is asked to do with its operators. Numbers only: passwords are typed on the terminal's
/// own keypad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum OperatorRequest {
    LogOn {
        operator: OperatorId,
    },
    LogOff,
    /// Of the operator on duty.
    ChangePassword,
    /// A cashier, whose first password is typed at the keypad and has to be changed at the first logon.
    Add {
        operator: OperatorId,
    },
    Remove {
        operator: OperatorId,
    },
    /// A cashier who typed too many wrong passwords.
    Unlock {
        operator: OperatorId,
    },
    /// The restored journal is reconciled with the acquirer: payments may go on.
    EndRecovery,
}
impl OperatorRequest {
    /// It changes other operators, or what payments depend on: for managers on the bus and the supervisor at
    /// the keypad.
    pub fn manages(&self) -> bool {
        match self {
            OperatorRequest::Add { .. }
            | OperatorRequest::Remove { .. }
            | OperatorRequest::Unlock { .. }
            | OperatorRequest::EndRecovery => true,
            OperatorRequest::LogOn { .. } | OperatorRequest::LogOff | OperatorRequest::ChangePassword => {
                false
            }
        }
    }
}

/// An operator as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorInfo {
    pub operator: OperatorId,
    pub role: Role,
    pub on_duty: bool,
    pub locked: bool,
    /// A new password is asked for at the next logon.
    pub must_change: bool,
    /// Wrong passwords in a row.
    pub wrong: u8,
}

/// The terminal is locked until customer service's code is typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalLock {
    pub since: Time,
    /// Whose wrong passwords locked it.
    pub by: OperatorId,
    /// 8 digits for customer service; none while they are being made.
    pub challenge: Option<String>,
    /// Wrong codes in a row.
    pub wrong: u32,
    /// No code is taken before then.
    pub not_before: Time,
}

/// The operators and what they are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operators {
    /// `operators.required` of the configuration: without an operator on duty nothing is sold.
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_duty: Option<OperatorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<TerminalLock>,
    pub operators: Vec<OperatorInfo>,
}

/// Why an operator is not on duty any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoggedOffWhy {
    Asked,
    /// Another operator logged on.
    Relieved,
    /// Neither request nor key for `operators.idle_lock_ms`.
    Idle,
    /// Too many wrong passwords, also in the name of the operator on duty.
    Locked,
}

/// What happened to an operator; stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum OperatorEvent {
    /// A new operator, or a new password. `by`: none for the first operators of a terminal.
    Set {
        operator: OperatorId,
        verifier: Verifier,
        must_change: bool,
        by: Option<OperatorId>,
    },
    Removed {
        operator: OperatorId,
        by: OperatorId,
    },
    Wrong {
        operator: OperatorId,
        purpose: Purpose,
    },
    Right {
        operator: OperatorId,
        purpose: Purpose,
    },
    Locked {
        operator: OperatorId,
    },
    Unlocked {
        operator: OperatorId,
        by: OperatorId,
    },
    LoggedOn {
        operator: OperatorId,
    },
    LoggedOff {
        operator: OperatorId,
        why: LoggedOffWhy,
    },
    TerminalLocked {
        by: OperatorId,
    },
    Challenged {
        challenge: String,
    },
    /// Customer service's code was wrong; none is taken before `not_before`.
    CodeWrong {
        not_before: Time,
    },
    /// Customer service's code was right: its operator is unlocked and needs a new password.
    TerminalUnlocked {
        by: OperatorId,
    },
}
