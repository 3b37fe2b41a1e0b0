//! Operators as the journal has them: a fold over [`OperatorEvent`]s.
use payterm_schema::{
    Time,
    operator::{OperatorEvent, OperatorId, OperatorInfo, Operators, TerminalLock},
    secret::Verifier,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who may work at the terminal, who does, and whether it is locked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    pub operators: BTreeMap<OperatorId, Operator>,
    pub on_duty: Option<OperatorId>,
    pub locked: Option<TerminalLock>,
    /// The cashier of the shift: the last one who logged on. Supervisor and administrator work within a
    /// cashier's shift.
    #[serde(default)]
    pub shift_of: Option<OperatorId>,
    /// When the last record was made: how long a terminal that starts was out of use.
    pub seen: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    pub verifier: Verifier,
    pub must_change: bool,
    /// Wrong passwords in a row.
    pub wrong: u8,
    pub locked: bool,
}

impl Staff {
    pub(crate) fn apply(&mut self, at: Time, event: &OperatorEvent) {
        let change =
            |all: &mut BTreeMap<OperatorId, Operator>, id: &OperatorId, change: &dyn Fn(&mut Operator)| {
                if let Some(o) = all.get_mut(id) {
                    change(o);
                }
            };
        match event {
            OperatorEvent::Set { operator, verifier, must_change, .. } => {
                let locked = self.operators.get(operator).is_some_and(|o| o.locked);
                self.operators.insert(
                    operator.clone(),
                    Operator { verifier: verifier.clone(), must_change: *must_change, wrong: 0, locked },
                );
            }
            OperatorEvent::Removed { operator, .. } => drop(self.operators.remove(operator)),
            OperatorEvent::Wrong { operator, .. } => {
                change(&mut self.operators, operator, &|o| o.wrong = o.wrong.saturating_add(1))
            }
            OperatorEvent::Right { operator, .. } => change(&mut self.operators, operator, &|o| o.wrong = 0),
            OperatorEvent::Locked { operator } => change(&mut self.operators, operator, &|o| o.locked = true),
            OperatorEvent::Unlocked { operator, .. } => {
                change(&mut self.operators, operator, &|o| (o.wrong, o.locked) = (0, false))
            }
            OperatorEvent::LoggedOn { operator } => self.on_duty = Some(operator.clone()),
            OperatorEvent::LoggedOff { .. } => self.on_duty = None,
            OperatorEvent::TerminalLocked { by } => {
                self.locked = Some(TerminalLock {
                    since: at,
                    by: by.clone(),
                    challenge: None,
                    wrong: 0,
                    not_before: at,
                });
            }
            OperatorEvent::Challenged { challenge } => {
                if let Some(lock) = &mut self.locked {
                    lock.challenge = Some(challenge.clone());
                }
            }
            OperatorEvent::CodeWrong { not_before } => {
                if let Some(lock) = &mut self.locked {
                    (lock.wrong, lock.not_before) = (lock.wrong.saturating_add(1), *not_before);
                }
            }
            OperatorEvent::TerminalUnlocked { by } => {
                self.locked = None;
                change(&mut self.operators, by, &|o| (o.wrong, o.locked, o.must_change) = (0, false, true));
            }
        }
    }

    /// The number of the operator on duty; `otherwise` when there is none.
    pub fn number(&self, required: bool, otherwise: &str) -> String {
        self.on_duty.as_ref().filter(|_| required).map_or_else(|| otherwise.into(), ToString::to_string)
    }

    /// As faces show it.
    pub fn view(&self, required: bool) -> Operators {
        let info = |(id, o): (&OperatorId, &Operator)| OperatorInfo {
            operator: id.clone(),
            role: id.role(),
            on_duty: self.on_duty.as_ref() == Some(id),
            locked: o.locked,
            must_change: o.must_change,
            wrong: o.wrong,
        };
        Operators {
            required,
            on_duty: self.on_duty.clone(),
            locked: self.locked.clone(),
            operators: self.operators.iter().map(info).collect(),
        }
    }
}
