//! The request waits until its account is signed in and owes nothing; the line says when.
use super::{Next, Serving, Stage, retry};
use crate::{context::Context, line::Waits, signal::Signal};
use payterm_schema::{
    AccountId, Kind, Time,
    kind::{Mark, Side},
    money::MAX_MINOR,
    notice::Owed,
    outcome::Class,
};

pub(super) fn enter(cx: &mut Context, s: &mut Serving) -> Next {
    if let Some(until) = undo_wait(cx, s) {
        return retry::undo_later(cx, s, until);
    }
    let until = cx.after(cx.settings.flow.prepare_timeout_ms);
    s.stage = Stage::Preparing { until, what: None, owed: None };
    let account = s.account().clone();
    if batch_full(cx, s, &account) {
        return Next::fail("batch-full", Class::D);
    }
    let waits = if s.kind().row().authorisation { Waits::Authorise } else { Waits::Control };
    cx.signal(Signal::Want { account, txn: s.txn, waits });
    Next::Stay
}

/// When the wallet of the original takes its undo, if it does not yet: counted from the answer, which came
/// after the payment.
fn undo_wait(cx: &Context, s: &Serving) -> Option<Time> {
    let undoes = matches!(s.kind().row().marks_original, Mark::Voided | Mark::Refunded);
    let o = s.original().filter(|_| undoes)?;
    let wait = *cx.account(s.account())?.rules.wallet_undo_after.get(&o.wallet?)?;
    // A time further away is of another clock.
    Some(o.ended? + wait).filter(|until| *until > cx.now && until.since(cx.now) <= wait)
}

/// Only a customer who really has to wait is told so.
pub(super) fn not_yet(cx: &mut Context, s: &mut Serving, what: &'static str, owed: Option<Owed>) -> Next {
    if let Stage::Preparing { until, .. } = s.stage {
        s.enter(cx, Stage::Preparing { until, what: Some(what), owed });
    }
    Next::Stay
}

pub(super) fn timed_out(cx: &Context, s: &Serving) -> Next {
    let account = s.account();
    let code = if cx.settling(account).is_some() {
        "settlement-open"
    } else if cx.state.blocked(account) {
        "account-blocked"
    } else {
        "prepare-timeout"
    };
    Next::fail(code, Class::E)
}

/// The request would add a record for which the batch has no room.
fn batch_full(cx: &Context, s: &Serving, id: &AccountId) -> bool {
    let Some(l) = cx.state.accounts.get(id) else { return false };
    let (sum, full) = match s.kind().row().side {
        Side::Debit => (l.debit_minor, s.kind() != Kind::TipAdjust),
        Side::Credit => (l.credit_minor, true),
        Side::None => return false,
    };
    let amount = s.amount().map_or(0, |m| m.minor());
    (full && l.debit_count + l.credit_count >= u64::from(cx.settings.settlement.batch_max))
        || sum.saturating_add(amount) > MAX_MINOR
}
