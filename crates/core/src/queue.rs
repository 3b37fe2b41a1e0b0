//! What a person does to the queue: forward now, hold, release, write off. Nothing leaves it by itself but by
//! the acquirer's word.
use crate::Machine;
use payterm_schema::{
    Fault, Kind, Money, ObligationRecord, RequestRecord, Status,
    offline::QueueAct,
    outcome::{Class, Forwarding},
    record::{Duty, Obligation, ObligationState},
};

impl Machine {
    pub(crate) fn queue(&mut self, call: u64, act: QueueAct, by: String) {
        let result = match act {
            QueueAct::Forward { txn } => self.forward_now(txn, &by),
            QueueAct::Hold { txn } => self.hold(txn, true, &by),
            QueueAct::Release { txn } => self.hold(txn, false, &by),
            // Answered when the supervisor has said yes or no.
            QueueAct::WriteOff { txn, why } => return self.ask_write_off(call, txn, why, by),
        };
        self.answer(call, result);
    }

    /// What waits is due now, and the line is given another chance.
    fn forward_now(&mut self, txn: Option<u64>, by: &str) -> Result<(), Fault> {
        let waits = |o: &&Obligation| o.state == ObligationState::Due && o.held.is_none();
        let all: Vec<Obligation> = match txn {
            Some(txn) => self.state.obligations.of(txn).filter(waits).cloned().collect(),
            // Those that were not tried yet need no leave.
            None => self
                .settings
                .accounts
                .iter()
                .flat_map(|a| self.state.obligations.again(&a.config.id))
                .filter(waits)
                .cloned()
                .collect(),
        };
        if let Some(txn) = txn.filter(|_| all.is_empty()) {
            return Err(self.not_so(txn, |o| match o.state {
                _ if o.held.is_some() => "it is held: release it first",
                ObligationState::Stuck => "it is stuck: retry it, or ask the acquirer",
                ObligationState::Armed | ObligationState::Due => "its request is still under way",
            }));
        }
        for o in &all {
            self.forwarding.remove(&o.account);
            if o.next_try > self.now {
                self.record(
                    Some(o.txn),
                    ObligationRecord::Hurried { txn: o.txn, stan: o.plan.stan, by: by.to_owned() },
                );
            }
        }
        Ok(())
    }

    /// Only what is told is kept back: a reversal is the customer's money.
    fn hold(&mut self, txn: u64, hold: bool, by: &str) -> Result<(), Fault> {
        let all: Vec<Obligation> = self
            .state
            .obligations
            .of(txn)
            .filter(|o| o.duty == Duty::Repeat && o.held.is_some() != hold)
            .cloned()
            .collect();
        if all.is_empty() {
            return Err(self.not_so(txn, |o| match o.duty {
                Duty::Reverse => "a reversal is not held back: it is the customer's money",
                Duty::ManualResolution => "nothing more of it is sent: ask the acquirer",
                Duty::Repeat if hold => "it is held already",
                Duty::Repeat => "it is not held",
            }));
        }
        for o in all {
            self.record(
                Some(txn),
                ObligationRecord::Held { txn, stan: o.plan.stan, hold, by: by.to_owned() },
            );
            self.tell_obligation(txn, o.plan.stan);
        }
        Ok(())
    }

    /// What stands against it: it is in the queue, but not so, or it is not there.
    pub(crate) fn not_so(&self, txn: u64, rule: impl Fn(&Obligation) -> &'static str) -> Fault {
        match self.state.obligations.of(txn).next() {
            Some(o) => Fault::WrongState { rule: rule(o).into() },
            None => Fault::not_found("obligation", &txn.to_string()),
        }
    }

    /// May it be written off? What it is, for the supervisor to see.
    pub(crate) fn may_write_off(&self, txn: u64, why: &str) -> Result<(Kind, Option<Money>), Fault> {
        if !(1..=80).contains(&why.chars().count()) || why.chars().any(char::is_control) {
            return Err(Fault::invalid("why", "1 to 80 printable characters"));
        }
        let Some(o) = self.state.obligations.of(txn).next() else {
            return Err(Fault::not_found("obligation", &txn.to_string()));
        };
        if self.state.running.as_ref().is_some_and(|r| r.txn == txn) {
            return Err(Fault::WrongState { rule: "its request is still under way".into() });
        }
        for o in self.state.obligations.of(txn) {
            match (o.duty, o.state) {
                (Duty::ManualResolution, _) => {
                    return Err(Fault::WrongState {
                        rule: "ask the acquirer, then resolve it with their reference".into(),
                    });
                }
                (Duty::Reverse, ObligationState::Armed | ObligationState::Due)
                | (Duty::Repeat, ObligationState::Armed) => {
                    return Err(Fault::WrongState {
                        rule: "it is being driven: only what is Stuck is written off".into(),
                    });
                }
                (Duty::Repeat, ObligationState::Due)
                    if self.told_now(&o.account).contains(&(txn, o.plan.stan)) =>
                {
                    return Err(Fault::WrongState { rule: "it is under way: hold it first".into() });
                }
                (Duty::Repeat, ObligationState::Due)
                | (Duty::Reverse | Duty::Repeat, ObligationState::Stuck) => {}
            }
        }
        if self.speaks_of(txn) {
            return Err(Fault::WrongState {
                rule: "a message of its account is under way: wait for its answer".into(),
            });
        }
        Ok((o.plan.kind, o.plan.amount))
    }

    /// The supervisor has said yes.
    pub(crate) fn write_off(&mut self, txn: u64, why: &str, by: &str) -> Result<(), Fault> {
        self.may_write_off(txn, why)?;
        let all: Vec<Obligation> = self.state.obligations.of(txn).cloned().collect();
        let told = self.state.owes(txn).cloned();
        // While the obligation is there, the fold knows.
        let voidable: Vec<bool> = all.iter().map(|o| self.outlives(o)).collect();
        for o in &all {
            // While the obligation is there, the fold knows that it was counted.
            if let (Duty::Repeat, Some(mut outcome)) = (o.duty, told.clone().filter(|t| t.status.is_final()))
            {
                if let Some(original) = outcome.original.as_ref().and_then(|x| x.txn) {
                    self.record(Some(original), RequestRecord::Released { txn: original, by: txn });
                }
                outcome.forwarding = Some(Forwarding::WrittenOff { by: by.to_owned(), why: why.to_owned() });
                self.announce(outcome, true);
            }
            self.record(
                Some(txn),
                ObligationRecord::WrittenOff {
                    txn,
                    stan: o.plan.stan,
                    by: by.to_owned(),
                    why: why.to_owned(),
                },
            );
        }
        // Nobody knows whether the acquirer holds it: the shop has decided not to look any further.
        if let Some(mut outcome) = told.filter(|o| o.status == Status::Unknown) {
            crate::view::ended(&mut outcome, Status::Declined, "written-off", Class::D, self.now);
            self.finish(outcome);
        }
        for (o, voidable) in all.iter().zip(voidable) {
            if let Some(sealed) = o.sealed {
                self.erase_when_done(sealed, voidable);
            }
        }
        Ok(())
    }
}
