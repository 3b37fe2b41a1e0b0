//! The void of an offline sale, or the cancel of a completion by advice, of which nothing has left: it is
//! taken out of the queue, and the acquirer hears of neither.
//!
//! Invariant: nothing of it has left, and nothing will; all of it is on record in one step, so that it is
//! done or not when the power goes.
use super::{Next, Serving};
use crate::{context::Context, view};
use payterm_schema::{
    Kind, ObligationRecord, Outcome,
    host::FrameTrace,
    kind::Mark,
    outcome::{Authority, Class, Forwarding},
    record::{Duty, Ending, Obligation, ObligationState},
};

/// The advice of this original, with what was told of it, where a request of this kind may take it out of the
/// queue.
pub(super) fn queued(cx: &Context, kind: Kind, original: u64) -> Option<(&Obligation, &Outcome)> {
    let told = cx.state.owes(original).filter(|o| o.forwarding == Some(Forwarding::Pending))?;
    let mut all = cx.state.obligations.of(original);
    let (Some(advice), None) = (all.next(), all.next()) else { return None };
    let waits = advice.duty == Duty::Repeat && advice.state != ObligationState::Armed && !advice.left;
    // A journal that was put back may lack the record with which it left.
    let known = original > cx.state.doubted;
    (kind.row().marks_original == Mark::Voided && waits && known).then_some((advice, told))
}

/// Whoever must allow it has. The advice may have left meanwhile: it is judged once more.
pub(super) fn enter(cx: &mut Context, s: &Serving) -> Next {
    let found = s.original().and_then(|o| Some((o, queued(cx, s.kind(), o.txn)?)));
    let (Some((original, (advice, told))), Some(account)) = (found, cx.account(s.account())) else {
        return Next::fail("original-not-forwarded", Class::C);
    };
    let (txn, stan, forwarding) = (original.txn, advice.plan.stan, Some(Forwarding::Withdrawn));
    let gone = Outcome { forwarding: forwarding.clone(), voided: true, ..told.clone() };
    let mut outcome = (*cx.running().view).clone();
    view::with_account(&mut outcome, account);
    view::with_original(&mut outcome, original, true);
    outcome.forwarding = forwarding;
    // While the obligation is there, the fold knows that it was counted.
    cx.announce(gone, false);
    let (how, trace) = (Ending::NothingLeft, FrameTrace::default());
    cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
    cx.approve(&mut outcome, Authority::Merchant);
    cx.finish(outcome);
    Next::Stay
}
