//! A settlement waits until its account owes nothing; the line says when.
use super::{Next, Serving, Stage};
use crate::{context::Context, line::Waits, signal::Signal};
use payterm_schema::{
    caller::TERMINAL,
    operator::{OperatorId, Role},
    outcome::Class,
};

pub(super) fn enter(cx: &mut Context, s: &mut Serving) -> Next {
    let until = cx.after(cx.settings.settlement.clear_timeout_ms);
    let account = s.account().clone();
    let owed = cx.owed(&account);
    s.enter(cx, Stage::Draining { until, owed });
    cx.signal(Signal::Want { account, txn: s.txn, waits: Waits::Settle });
    Next::Stay
}

pub(super) fn timed_out(cx: &Context, s: &Serving) -> Next {
    let code = if cx.settling(s.account()).is_some() {
        "settlement-open"
    } else if cx.state.obligations.driven(s.account()) {
        "settlement-owes"
    } else {
        "prepare-timeout"
    };
    Next::fail(code, Class::E)
}

/// Nothing is driven any more: the totals leave, when there is something in them and nobody has to allow it.
pub(super) fn drained(cx: &mut Context, s: &mut Serving) -> Next {
    let account = s.account().clone();
    let ledger = cx.state.ledger(&account);
    if ledger.debit_count + ledger.credit_count == 0 {
        return Next::fail("batch-empty", Class::B);
    }
    let role = cx.state.staff.on_duty.as_ref().map_or(Role::Cashier, OperatorId::role);
    let asks = cx.state.obligations.count(&account) > 0
        && cx.settings.operators.required
        && role < Role::Supervisor
        && cx.running().view.approved_by.is_none();
    if asks && s.key.app == TERMINAL {
        return Next::fail("settlement-needs-supervisor", Class::D);
    }
    if asks {
        return Next::Approve;
    }
    s.stage = Stage::Settling { what: "settling", until: cx.now };
    cx.signal(Signal::Settle { account });
    Next::Stay
}
