//! What a person does to the queue: forward now, hold, release, write off. Nothing leaves it by itself but by
//! the acquirer's word.
use super::{Lines, exchange::Purpose};
use crate::{
    Call,
    context::Context,
    signal::{Asked, Signal},
    view,
};
use payterm_schema::{
    Fault, ObligationRecord, Status,
    account::Stan,
    offline::QueueAct,
    outcome::{Class, Forwarding},
    record::{Duty, Obligation, ObligationState},
};

impl Lines {
    pub fn queue(&mut self, cx: &mut Context, call: Call, act: QueueAct, by: String) {
        let result = match act {
            QueueAct::Forward { txn } => self.forward_now(cx, txn, &by),
            QueueAct::Hold { txn } => hold(cx, txn, true, &by),
            QueueAct::Release { txn } => hold(cx, txn, false, &by),
            // Answered when the supervisor has said yes or no; without operators a manager's word is enough.
            QueueAct::WriteOff { txn, why } => match self.may_write_off(cx, txn, &why) {
                Ok(asked) if cx.settings.operators.required => {
                    return cx.signal(Signal::AskWriteOff { call, txn, why, by, asked });
                }
                Ok(_) => self.written_off(cx, txn, &why, &by),
                Err(fault) => Err(fault),
            },
        };
        cx.answer(call, result);
    }

    /// What waits is due now, and the line is given another chance.
    fn forward_now(&mut self, cx: &mut Context, txn: Option<u64>, by: &str) -> Result<(), Fault> {
        let waits = |o: &&Obligation| o.state == ObligationState::Due && o.held.is_none();
        let all: Vec<Obligation> = match txn {
            Some(txn) => cx.state.obligations.of(txn).filter(waits).cloned().collect(),
            // Those that were not tried yet need no leave.
            None => {
                let again = self.0.iter().flat_map(|l| cx.state.obligations.again(l.id()));
                again.filter(waits).cloned().collect()
            }
        };
        if let Some(txn) = txn.filter(|_| all.is_empty()) {
            return Err(refuse(cx, txn, |o| match o.state {
                _ if o.held.is_some() => "it is held: release it first",
                ObligationState::Stuck => "it is stuck: retry it, or ask the acquirer",
                ObligationState::Armed | ObligationState::Due => "its request is still under way",
            }));
        }
        for o in &all {
            if let Some(line) = self.of(&o.account) {
                line.try_line_again();
            }
            if o.next_try > cx.now {
                cx.record(
                    Some(o.txn),
                    ObligationRecord::Hurried { txn: o.txn, stan: o.plan.stan, by: by.to_owned() },
                );
            }
        }
        Ok(())
    }

    /// An advice that is under way.
    fn tells(&self, txn: u64, stan: Stan) -> bool {
        self.0.iter().any(|l| l.exchanges.any(|p| *p == Purpose::Advice { txn, stan }))
    }

    /// May it be written off? What it is, for the supervisor to see.
    fn may_write_off(&self, cx: &Context, txn: u64, why: &str) -> Result<Asked, Fault> {
        if !(1..=80).contains(&why.chars().count()) || why.chars().any(char::is_control) {
            return Err(Fault::invalid("why", "1 to 80 printable characters"));
        }
        let Some(o) = cx.state.obligations.of(txn).next() else {
            return Err(Fault::not_found("obligation", &txn.to_string()));
        };
        if cx.runs(txn) {
            return Err(Fault::WrongState { rule: "its request is still under way".into() });
        }
        for o in cx.state.obligations.of(txn) {
            match (o.duty, o.state) {
                (Duty::ManualResolution, _) => {
                    return Err(Fault::WrongState {
                        rule: "ask the acquirer, then resolve it with their reference".into(),
                    });
                }
                (Duty::Reverse, ObligationState::Armed | ObligationState::Due)
                | (Duty::Repeat | Duty::Notify, ObligationState::Armed) => {
                    return Err(Fault::WrongState {
                        rule: "it is being driven: only what is Stuck is written off".into(),
                    });
                }
                (Duty::Repeat | Duty::Notify, ObligationState::Due) if self.tells(txn, o.plan.stan) => {
                    return Err(Fault::WrongState { rule: "it is under way: hold it first".into() });
                }
                (Duty::Repeat | Duty::Notify, ObligationState::Due)
                | (Duty::Reverse | Duty::Repeat | Duty::Notify, ObligationState::Stuck) => {}
            }
        }
        if self.has_exchange_for(txn) {
            return Err(Fault::WrongState {
                rule: "a message of its account is under way: wait for its answer".into(),
            });
        }
        let by = Some(cx.operator());
        Ok(Asked { kind: o.plan.kind, amount: o.plan.amount, voucher: Some(o.plan.stan), by })
    }

    /// The supervisor has said yes.
    pub fn write_off(&mut self, cx: &mut Context, call: Option<Call>, txn: u64, why: &str, by: &str) {
        let done = self.written_off(cx, txn, why, by);
        if let Some(call) = call {
            cx.answer(call, done);
        }
        cx.signal(Signal::Rest);
    }

    fn written_off(&self, cx: &mut Context, txn: u64, why: &str, by: &str) -> Result<(), Fault> {
        self.may_write_off(cx, txn, why)?;
        let all: Vec<Obligation> = cx.state.obligations.of(txn).cloned().collect();
        let told = cx.state.owes(txn).cloned();
        let voidable: Vec<bool> = all.iter().map(|o| cx.pan_still_needed(o)).collect();
        for o in &all {
            // While the obligation is there, the fold knows that it was counted.
            if let (Duty::Repeat, Some(mut outcome)) = (o.duty, told.clone().filter(|t| t.status.is_final()))
            {
                cx.release_original(&outcome);
                outcome.forwarding = Some(Forwarding::WrittenOff { by: by.to_owned(), why: why.to_owned() });
                cx.announce(outcome, true);
            }
            let (stan, by, why) = (o.plan.stan, by.to_owned(), why.to_owned());
            cx.record(Some(txn), ObligationRecord::WrittenOff { txn, stan, by, why });
        }
        // Nobody knows whether the acquirer holds it: the shop has decided not to look any further.
        if let Some(mut outcome) = told.filter(|o| o.status == Status::Unknown) {
            view::ended(&mut outcome, Status::Declined, "written-off", Class::D, cx.now);
            cx.finish(outcome);
        }
        for (o, voidable) in all.iter().zip(voidable) {
            if let Some(sealed) = o.sealed {
                cx.erase_when_done(sealed, voidable);
            }
        }
        Ok(())
    }
}

/// Only what is told is kept back: a reversal is the customer's money.
fn hold(cx: &mut Context, txn: u64, hold: bool, by: &str) -> Result<(), Fault> {
    let changes = |o: &&Obligation| o.duty.is_told() && o.held.is_some() != hold;
    let all: Vec<Obligation> = cx.state.obligations.of(txn).filter(changes).cloned().collect();
    if all.is_empty() {
        return Err(refuse(cx, txn, |o| match o.duty {
            Duty::Reverse => "a reversal is not held back: it is the customer's money",
            Duty::ManualResolution => "nothing more of it is sent: ask the acquirer",
            Duty::Repeat | Duty::Notify if hold => "it is held already",
            Duty::Repeat | Duty::Notify => "it is not held",
        }));
    }
    for o in all {
        cx.record(Some(txn), ObligationRecord::Held { txn, stan: o.plan.stan, hold, by: by.to_owned() });
        cx.tell_obligation(txn, o.plan.stan);
    }
    Ok(())
}

/// What stands against it: it is in the queue, but not so, or it is not there.
pub(super) fn refuse(cx: &Context, txn: u64, rule: impl Fn(&Obligation) -> &'static str) -> Fault {
    match cx.state.obligations.of(txn).next() {
        Some(o) => Fault::WrongState { rule: rule(o).into() },
        None => Fault::not_found("obligation", &txn.to_string()),
    }
}
