//! What speaks against an update or a restart now.
use crate::State;
use payterm_schema::{
    Status,
    inhibit::InhibitReason,
    record::{Duty, ObligationState},
};
use std::collections::BTreeSet;

impl State {
    /// The one place that says so; bus, command line and logind follow it.
    pub fn inhibits(&self) -> BTreeSet<InhibitReason> {
        let mut all = BTreeSet::new();
        let running = self.running.as_ref().map(|r| r.txn);
        if running.is_some() {
            all.insert(InhibitReason::Payment);
        }
        // What stands for the running request is the payment itself.
        for o in self.obligations.iter().filter(|o| o.state != ObligationState::Standing || Some(o.txn) != running) {
            let reason = match (o.state, o.duty) {
                (ObligationState::Stuck, _) => InhibitReason::Stuck,
                (ObligationState::Standing | ObligationState::Due, Duty::Repeat) => InhibitReason::Queue,
                (ObligationState::Standing | ObligationState::Due, Duty::Reverse | Duty::AskPerson) => {
                    let told = self.owing.get(&o.txn).map(|told| told.status);
                    all.extend((told == Some(Status::Unknown)).then_some(InhibitReason::Unknown));
                    InhibitReason::Obligation
                }
            };
            all.insert(reason);
        }
        all
    }
}
