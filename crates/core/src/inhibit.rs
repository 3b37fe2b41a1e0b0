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
        if self.recovering.is_some() {
            all.insert(InhibitReason::Restoring);
        }
        // One that waits for a person may do so for days.
        let settling = self.accounts.values().filter_map(|l| l.settling.as_ref());
        all.extend(settling.map(|s| if s.hold { InhibitReason::Stuck } else { InhibitReason::Settlement }));
        // What stands for the running request is the payment itself.
        // Counted, not searched: thousands may wait.
        let (telling, stuck) = self.obligations.advices();
        let own = running.map_or(0, |txn| {
            self.obligations
                .of(txn)
                .filter(|o| o.duty == Duty::Repeat && o.state == ObligationState::Armed)
                .count()
        });
        all.extend((telling > own).then_some(InhibitReason::Queue));
        all.extend((stuck > 0).then_some(InhibitReason::Stuck));
        for o in
            self.obligations.unknown().filter(|o| o.state != ObligationState::Armed || Some(o.txn) != running)
        {
            let unknown = self.owes(o.txn).is_some_and(|told| told.status == Status::Unknown);
            match o.state {
                ObligationState::Stuck => {
                    all.insert(InhibitReason::Stuck);
                }
                ObligationState::Armed | ObligationState::Due => {
                    all.extend(unknown.then_some(InhibitReason::Unknown));
                    all.insert(InhibitReason::Obligation);
                }
            }
        }
        all
    }
}
