//! A yes of the host that is not yet ours. Its obligation stays armed until whoever has the last word has
//! spoken; a restart before that reverses it.
use super::{Next, Serving, Stage, completing, stage::GONE};
use crate::{context::Context, view};
use payterm_schema::{
    AccountId, HostAnswer, Kind, Money, ObligationRecord, Outcome, RequestRecord, Status,
    account::Stan,
    host::{FrameTrace, ReversalReason},
    outcome::{Authority, Class},
    record::{Ending, ProvisionalOf},
};

/// Answer of class P to a payment by code: the wallet is asked from here on (host-protocol §8). False: its
/// profile has no query.
pub(super) fn pending(
    cx: &mut Context,
    s: &mut Serving,
    account: &AccountId,
    stan: Stan,
    answer: &HostAnswer,
    trace: &FrameTrace,
) -> bool {
    let txn = s.txn;
    let Some(rule) = cx.state.obligation(txn, stan).and_then(|o| cx.query_rule(o)) else { return false };
    let asking = cx.asking(rule);
    let (account, answer, trace) = (account.clone(), Box::new(answer.clone()), trace.clone());
    cx.record(Some(txn), RequestRecord::Pending { txn, account, stan, answer, asking, trace });
    s.enter(cx, Stage::AskingWallet { until: asking.until });
    true
}

/// Code 10, a part of the amount: the cashier decides; until then, and if the power goes, the reversal
/// stands. False: nobody is asked.
pub(super) fn partial(
    cx: &mut Context,
    s: &mut Serving,
    account: &AccountId,
    stan: Stan,
    answer: &HostAnswer,
    trace: &FrameTrace,
) -> bool {
    if s.kind() != Kind::Sale || !cx.settings.flow.partial_approval {
        return false;
    }
    let sums = &cx.running().view.sums;
    let part = answer.amount.filter(|a| *a > 0).and_then(|a| Money::new(a, sums.currency).ok());
    let Some((asked, approved)) = sums.amount_money().zip(part) else { return false };
    let (txn, answer) = (s.txn, Box::new(answer.clone()));
    cx.record(
        Some(txn),
        RequestRecord::Provisional {
            txn,
            account: account.clone(),
            stan,
            of: ProvisionalOf::Part,
            answer: answer.clone(),
            trace: trace.clone(),
        },
    );
    let until = cx.after(cx.settings.flow.confirm_timeout_ms);
    s.enter(cx, Stage::Part { until, stan, answer, asked, approved });
    true
}

/// The host's yes to a chip card: the card has the last word (EMV 4.3 Book 3 §10.11).
pub(super) fn card(
    cx: &mut Context,
    s: &mut Serving,
    account: &AccountId,
    stan: Stan,
    answer: HostAnswer,
    trace: FrameTrace,
) -> Next {
    let (txn, answer) = (s.txn, Box::new(answer));
    let record = RequestRecord::Provisional {
        txn,
        account: account.clone(),
        stan,
        of: ProvisionalOf::Card,
        answer: answer.clone(),
        trace,
    };
    cx.record(Some(txn), record);
    let told = completing::tell_host(cx, s, completing::approved(&answer));
    let until = cx.after(cx.settings.flow.completing_ms);
    s.enter(cx, Stage::CardDecides { until, stan, answer });
    // One that was pulled out while the host was asked says nothing any more.
    if told { Next::Stay } else { decided(cx, s, Err(GONE)) }
}

/// The card's yes, with the outcome that stands from then on.
pub(super) fn stands(cx: &mut Context, s: &Serving, stan: Stan, answer: &HostAnswer) -> Outcome {
    let mut outcome = (*cx.running().view).clone();
    view::with_answer(&mut outcome, answer);
    outcome.chip = s.presented.as_ref().and_then(|p| p.shown.clone());
    approve(cx, &mut outcome, stan);
    cx.requirement(s.account(), s.txn, answer.requirement);
    outcome
}
fn approve(cx: &mut Context, outcome: &mut Outcome, stan: Stan) {
    cx.approve(outcome, Authority::Host);
    let (txn, how, trace) = (outcome.txn, Ending::RequestAnswered, FrameTrace::default());
    cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
}

/// The last word, the cashier's on the part or the card's; a no with its code.
pub(super) fn decided(cx: &mut Context, s: &Serving, word: Result<(), &'static str>) -> Next {
    let (stan, answer, class) = if let Stage::Part { stan, answer, .. } = &s.stage {
        (stan, answer, Class::B)
    } else if let Stage::CardDecides { stan, answer, .. } = &s.stage {
        (stan, answer, Class::C)
    } else {
        unreachable!("{:?}: nothing to decide", s.stage)
    };
    let (txn, stan, yes) = (s.txn, *stan, word.is_ok());
    let mut outcome = (*cx.running().view).clone();
    view::with_answer(&mut outcome, answer);
    outcome.chip = s.presented.as_ref().and_then(|p| p.shown.clone());
    // In a recovery a part that is not taken may stand all the same.
    if matches!(s.stage, Stage::Part { .. }) && (yes || cx.state.recovering.is_some()) {
        view::with_part(&mut outcome, answer);
    }
    match word {
        Ok(()) => approve(cx, &mut outcome, stan),
        Err(code) => {
            cx.take_back(txn, stan, ReversalReason::Other);
            view::ended(&mut outcome, Status::Declined, code, class, cx.now);
        }
    }
    cx.requirement(s.account(), txn, answer.requirement);
    cx.finish(outcome);
    Next::Stay
}
