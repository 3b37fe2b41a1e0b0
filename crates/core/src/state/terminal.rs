//! Fold of the terminal's own records, and of its operators'.
use super::State;
use payterm_schema::{
    TerminalRecord,
    operator::{OperatorEvent, Purpose, Role},
    record::{ClockEvent, Entry},
    time::Time,
};
use std::sync::Arc;

impl State {
    pub(super) fn apply_terminal(&mut self, at: Time, record: &TerminalRecord) {
        match record {
            TerminalRecord::Booted { .. } => {
                self.boots += 1;
                // What was handed over before the power went may have left.
                self.accounts.values_mut().filter_map(|l| l.settling.as_mut()).for_each(|s| s.left = true);
            }
            TerminalRecord::SelfTested { .. } => {}
            TerminalRecord::Restored { restored } => self.restored(at, restored),
            TerminalRecord::RecoveryEnded { .. } => self.recovery_ended(),
            TerminalRecord::Clock { event } => self.clock(at, event),
            TerminalRecord::LanguageSet { language, .. } => self.language = Some(*language),
        }
    }

    fn clock(&mut self, at: Time, event: &ClockEvent) {
        let waits = matches!(self.clock_doubt, None | Some((_, ClockEvent::Behind { .. })));
        match (event, &mut self.clock_behind) {
            (ClockEvent::Agrees { .. }, _) => (self.clock_doubt, self.clock_behind) = (None, None),
            // What it was behind is what it was waited for to be set to.
            (ClockEvent::Jumped { by }, Some((of, set)))
                if by.0 > 0 && at.0.saturating_sub(by.0) < of.0 && waits =>
            {
                (self.clock_doubt, *set) = (None, true);
            }
            (ClockEvent::Behind { by }, _) => {
                self.clock_behind = Some((at + *by, false));
                self.clock_doubt = Some((at, event.clone()));
            }
            (ClockEvent::Jumped { .. } | ClockEvent::HostDiffers { .. }, _) => {
                self.clock_doubt = Some((at, event.clone()));
            }
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
