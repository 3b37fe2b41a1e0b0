//! Fold of the terminal's own records, and of its operators'.
use super::State;
use payterm_schema::{
    TerminalRecord,
    operator::{OperatorEvent, Purpose, Role},
    record::Entry,
    time::{Millis, Time},
};
use std::sync::Arc;

/// A clock that reads so much less than before has gone back; less is what setting it by the network does.
const CLOCK_BACK: Millis = Millis::secs(60);

impl State {
    /// `before`: when the record before it was made.
    pub(super) fn apply_terminal(&mut self, at: Time, before: Time, record: &TerminalRecord) {
        match record {
            TerminalRecord::Booted { .. } => {
                self.boots += 1;
                // What was handed over before the power went may have left.
                self.accounts.values_mut().filter_map(|l| l.settling.as_mut()).for_each(|s| s.left = true);
                self.clock_back |= before.since(at) > CLOCK_BACK;
            }
            TerminalRecord::SelfTested { .. } => {}
            TerminalRecord::Restored { restored } => self.restored(at, restored),
            TerminalRecord::RecoveryEnded { .. } => self.recovery_ended(),
            TerminalRecord::Clock { event } => self.clock_doubt = Some((at, event.clone())),
            TerminalRecord::LanguageSet { language, .. } => self.language = Some(*language),
        }
    }

    pub(super) fn apply_operator(&mut self, entry: &Entry, event: &OperatorEvent) {
        self.staff.apply(entry.at, event);
        if let OperatorEvent::LoggedOn { operator } = event
            && operator.role() == Role::Cashier
            && self.staff.shift_of.replace(operator.clone()).is_some_and(|before| before != *operator)
        {
            self.begin_shift();
        }
        if let OperatorEvent::Right { operator, purpose: Purpose::Approve } = event
            && let Some(r) = self.running.as_mut().filter(|r| Some(r.txn) == entry.txn)
        {
            Arc::make_mut(&mut r.view).approved_by = Some(operator.to_string());
        }
    }
}
