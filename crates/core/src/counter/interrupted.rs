//! The request that ran when the last run of the daemon ended: a message that may have left is reversed;
//! anything earlier has ended.
use super::reply;
use crate::{context::Context, view};
use payterm_schema::{
    ObligationRecord, Status,
    host::{FrameTrace, ReversalReason},
    outcome::{Class, Reason},
    record::{Duty, Obligation, ObligationState, ProvisionalOf},
};

pub(crate) fn end(cx: &mut Context) {
    let Some(running) = cx.state.running.clone() else { return };
    let txn = running.txn;
    // A card that had approved was at its issuer's scripts.
    let armed = |o: &&Obligation| o.duty == Duty::Notify && o.state == ObligationState::Armed;
    let notice = cx.state.obligations.of(txn).find(armed).map(|o| o.plan.stan);
    if let Some(stan) = notice {
        cx.record(Some(txn), ObligationRecord::ScriptsEnded { txn, stan, icc: None });
    }
    if let Some(account) = cx.state.settlement_of(txn) {
        return cx.end_unknown(&account, Reason::new("settlement-open", Class::E));
    }
    if cx.state.recovering.as_ref().is_some_and(|r| txn <= r.restored.last_txn) {
        return cx.cut_off();
    }
    if let Some(decided) = running.decided {
        let mut outcome = (*decided).clone();
        outcome.ended = Some(cx.now);
        return cx.finish(outcome);
    }
    let (status, code, class) = match running.in_flight {
        Some((account, stan)) => {
            let (why, trace) = ("restart".into(), FrameTrace::default());
            let gone = reply::Unanswered { reason: ReversalReason::NoReply, why, trace, code: "no-reply" };
            return reply::unanswered(cx, &account, txn, stan, gone);
        }
        None => {
            let of = |f: fn(&&Obligation) -> bool| cx.state.obligations.of(txn).find(f).cloned();
            if let Some(asked) = of(|o| o.asking.is_some()) {
                return cx.end_unknown(&asked.account, Reason::new("pending", Class::P));
            }
            // The host had said yes, and nobody else had yet.
            match of(|o| o.state == ObligationState::Armed) {
                // No reversal leaves by itself now.
                Some(_) if cx.state.recovering.is_some() => return cx.cut_off(),
                Some(armed) => {
                    let (reason, code, class) = match running.provisional {
                        Some((ProvisionalOf::Card, _)) => {
                            (ReversalReason::TerminalFault, "card-interrupted", Class::C)
                        }
                        Some((ProvisionalOf::Part, _)) | None => {
                            (ReversalReason::Other, "partial-not-taken", Class::B)
                        }
                    };
                    cx.take_back(txn, armed.plan.stan, reason);
                    (Status::Declined, code, class)
                }
                None => (Status::Failed, "interrupted", Class::E),
            }
        }
    };
    let mut outcome = (*cx.running().view).clone();
    view::ended(&mut outcome, status, code, class, cx.now);
    cx.finish(outcome);
}
