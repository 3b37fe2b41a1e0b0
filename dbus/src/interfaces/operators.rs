//! Operators. Their number is all that comes over the bus: passwords are typed at the keypad.
use crate::{
    row::{Interface, methods, properties},
    types::{Dict, Text},
};
use payterm_schema::{OperatorId, OperatorRequest, operator::Operators};

pub(crate) const NAME: &str = "org.payterm.Terminal1.Operators";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: METHODS, properties: PROPERTIES, signals: &[] };

methods! { NAME;
    /// Asks for the operator's password at the keypad; answers when that has ended. Numbers: 99, 00, 01 to
    /// 89.
    LogOn(operator: Text<OperatorId>) [Apps, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::LogOn { operator }).await;
    /// Nobody is on duty any more.
    LogOff() [Apps, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::LogOff).await;
    /// Asks the operator on duty for the old and the new password at the keypad.
    ChangePassword() [Apps, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::ChangePassword).await;
    /// A new cashier, whose first password is typed at the keypad. Managers only; asks for the supervisor.
    Add(operator: Text<OperatorId>) [Supervised, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::Add { operator }).await;
    /// Removes a cashier. Managers only; asks for the supervisor.
    Remove(operator: Text<OperatorId>) [Supervised, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::Remove { operator }).await;
    /// Unlocks a cashier. Managers only; asks for the supervisor.
    Unlock(operator: Text<OperatorId>) [Supervised, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::Unlock { operator }).await;
    /// The restored journal is reconciled with the acquirer: payments go on. Managers only; asks for the
    /// supervisor where there are operators.
    EndRecovery() [Supervised, Nobodys, Long]
        |asked| asked.terminal().operator_session(asked.caller, OperatorRequest::EndRecovery).await;
    /// Who there is, who is on duty, who is locked; required, and the lock of the terminal with its
    /// challenge.
    List() -> operators: Dict<Operators> [Apps, Nobodys, Moment]
        |asked| asked.terminal().operators(asked.caller).await;
}

/// Facts of the operators that stand in properties.
pub(crate) struct OnDuty<'a> {
    pub required: bool,
    pub on_duty: Option<&'a OperatorId>,
    pub locked: bool,
}

properties! { of OnDuty<'_>;
    /// True when somebody must be on duty before anything is sold.
    Required: "b", CONSTANT = |o| o.required;
    /// Number of the operator on duty; empty when nobody is.
    OnDuty: "s", CHANGES = |o| o.on_duty.map(ToString::to_string).unwrap_or_default();
    /// True while the terminal is locked until customer service opens it.
    Locked: "b", CHANGES = |o| o.locked;
}
