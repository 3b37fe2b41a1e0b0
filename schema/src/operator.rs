//! Operators: who works at the terminal, what each may do, and what happens to them.
use crate::{fault::Fault, secret::Verifier, time::Time};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::fmt;

/// Number of an operator, two digits: `99` the administrator, `00` the supervisor, `01` to `89` cashiers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OperatorId(String);

impl OperatorId {
    /// Checks the number; the fault names the field `operator`.
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
    /// Cashier that a new terminal has: 01.
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

/// Role of an operator, in the order of their rights: each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Cashier,
    Supervisor,
    Administrator,
}

/// Purpose for which a password is typed; the prompt tells it, and the record of a right or wrong password
/// holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Logs on.
    LogOn,
    /// Proves the present password, before a new one is set.
    Change,
    /// Allows a change of the operators, by the supervisor.
    Manage,
    /// Allows the request on the screen, by the supervisor.
    Approve,
    /// Gives up a payment that waits, by the supervisor.
    WriteOff,
    /// Sets a new password.
    New,
    /// Types the new password a second time.
    NewAgain,
}

/// Request to the terminal about its operators. It holds numbers only: passwords are typed on the terminal's
/// own keypad.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum OperatorRequest {
    /// Logs an operator on, at the keypad.
    LogOn { operator: OperatorId },
    /// Logs the operator on duty off.
    LogOff,
    /// Changes the password of the operator on duty.
    ChangePassword,
    /// Adds a cashier, whose first password is typed at the keypad and has to be changed at the first log-on.
    Add { operator: OperatorId },
    /// Removes a cashier.
    Remove { operator: OperatorId },
    /// Unlocks a cashier who typed too many wrong passwords.
    Unlock { operator: OperatorId },
    /// Ends the recovery: the restored journal is reconciled with the acquirer, and payments may start again.
    EndRecovery,
}
impl OperatorRequest {
    /// Tells whether it changes other operators, or what payments depend on: such a request is for managers
    /// on the bus and the supervisor at the keypad.
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

/// Operator as faces list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorInfo {
    pub operator: OperatorId,
    pub role: Role,
    pub on_duty: bool,
    pub locked: bool,
    /// The operator has to set a new password at the next log-on.
    pub must_change: bool,
    /// Wrong passwords in a row.
    pub wrong: u8,
}

/// Lock of the terminal, until customer service's code is typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TerminalLock {
    pub since: Time,
    /// Operator in whose name wrong passwords were typed.
    pub by: OperatorId,
    /// Challenge for customer service, 8 digits; none while it is being made.
    pub challenge: Option<String>,
    /// Wrong codes in a row.
    pub wrong: u32,
    /// Time before which no code is taken.
    pub not_before: Time,
}

/// Operators of the terminal, who is on duty, and the terminal's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Operators {
    /// Requests need an operator on duty (`operators.required` of the configuration).
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_duty: Option<OperatorId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<TerminalLock>,
    pub operators: Vec<OperatorInfo>,
}

/// Reason why an operator is not on duty any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoggedOffWhy {
    /// The operator, or a caller, asked for it.
    Asked,
    /// Another operator logged on.
    Relieved,
    /// Neither request nor key came for `operators.idle_lock_ms`.
    Idle,
    /// Too many wrong passwords were typed in this operator's name.
    Locked,
}

/// Event of an operator; a record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum OperatorEvent {
    /// An operator is added, or has a new password. `by`: none for the first operators of a terminal.
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
    /// A wrong password was typed.
    Wrong {
        operator: OperatorId,
        purpose: Purpose,
    },
    /// The right password was typed; the count of wrong ones begins again.
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
    /// Wrong passwords in the name of this operator have locked the terminal.
    TerminalLocked {
        by: OperatorId,
    },
    /// The terminal is locked and shows this challenge for customer service.
    Challenged {
        challenge: String,
    },
    /// A wrong code of customer service was typed; none is taken before `not_before`.
    CodeWrong {
        not_before: Time,
    },
    /// The right code of customer service was typed: the operator is unlocked and needs a new password.
    TerminalUnlocked {
        by: OperatorId,
    },
}
