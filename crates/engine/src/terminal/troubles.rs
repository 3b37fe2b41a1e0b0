//! Troubles of operators and devices in the log, each kind at most once a minute.
use crate::sparing::Sparing;
use payterm_schema::{Device, DeviceState, Entry, OperatorId, Record, operator::OperatorEvent};
use std::collections::BTreeSet;

/// Trouble of an operator: what happened, and to whom.
pub(crate) type OfStaff = (&'static str, Option<OperatorId>);

#[derive(Default)]
pub(super) struct Troubles {
    staff: Sparing<OfStaff>,
    devices: Sparing<(String, String)>,
    /// Devices of which a trouble stands.
    troubled: BTreeSet<String>,
}

/// Troubles that these records tell of; they are logged once the records are durable.
pub(super) fn of_staff(records: &[Entry]) -> Vec<OfStaff> {
    let of = |e: &Entry| {
        let Record::Operator(event) = &e.record else { return None };
        match event {
            OperatorEvent::Wrong { operator, .. } => {
                Some(("a wrong password was typed", Some(operator.clone())))
            }
            OperatorEvent::Locked { operator } => {
                Some(("the operator is locked: too many wrong passwords", Some(operator.clone())))
            }
            OperatorEvent::TerminalLocked { by } => {
                Some(("the terminal is locked: too many wrong passwords", Some(by.clone())))
            }
            OperatorEvent::CodeWrong { .. } => Some(("a wrong code of customer service was typed", None)),
            OperatorEvent::Set { .. }
            | OperatorEvent::Removed { .. }
            | OperatorEvent::Right { .. }
            | OperatorEvent::Unlocked { .. }
            | OperatorEvent::LoggedOn { .. }
            | OperatorEvent::LoggedOff { .. }
            | OperatorEvent::Challenged { .. }
            | OperatorEvent::TerminalUnlocked { .. } => None,
        }
    };
    records.iter().filter_map(of).collect()
}

impl Troubles {
    pub(super) fn log_staff(&self, trouble: OfStaff) {
        let (what, operator) = trouble.clone();
        if self.staff.is_due_of(trouble) {
            tracing::warn!(operator = operator.as_ref().map(OperatorId::as_str), "{what}");
        }
    }

    /// The device has changed: its new trouble, or that the last one is over. What makes a device fail its
    /// unit says itself.
    pub(super) fn log_device(&mut self, device: &Device) {
        let (name, health) = (&device.name, &device.health);
        match device.state {
            DeviceState::Degraded => {
                self.troubled.insert(name.clone());
                if self.devices.is_due_of((name.clone(), health.clone())) {
                    tracing::warn!(device = %name, "{}: {health}", device.kind.name());
                }
            }
            DeviceState::Failed => drop(self.troubled.insert(name.clone())),
            DeviceState::Idle => {
                if self.troubled.remove(name) && self.devices.is_due_of((name.clone(), String::new())) {
                    tracing::info!(device = %name, "{}: works again", device.kind.name());
                }
            }
            DeviceState::Opening | DeviceState::Busy => {}
        }
    }
}
