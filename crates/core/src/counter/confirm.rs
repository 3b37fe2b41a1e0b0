//! The supervisor allows the request, and the cashier confirms it, where that is asked for.
use super::{Next, Serving, Stage, provisional};
use crate::{context::Context, signal::Signal};
use payterm_schema::{Kind, Status, outcome::Class};

/// The supervisor is asked at the keypad.
pub(super) fn approve(cx: &mut Context, s: &mut Serving) -> Next {
    s.stage = Stage::Approving;
    cx.signal(Signal::AskApproval);
    Next::Stay
}

/// It may be done: now the cashier confirms it, or it begins.
pub(super) fn enter(cx: &mut Context, s: &mut Serving) -> Next {
    // The supervisor was asked for what is Stuck only.
    if s.kind() == Kind::Settlement && cx.running().view.approved_by.is_some() {
        return Next::Begin;
    }
    let above = cx.settings.flow.confirm_above.as_ref();
    let large = above.zip(s.request.amount).is_some_and(|(above, m)| m.minor() > above.of(m.currency));
    if !s.request.confirm && !large {
        return Next::Begin;
    }
    let until = cx.after(cx.settings.flow.confirm_timeout_ms);
    s.enter(cx, Stage::Confirming { until });
    Next::Stay
}

/// The cashier's word, on the request or on the part of it that the host approved.
pub(super) fn confirmed(cx: &mut Context, s: &mut Serving, yes: bool) -> Next {
    if matches!(s.stage, Stage::Part { .. }) {
        return provisional::decided(cx, s, yes);
    }
    if yes { Next::Begin } else { Next::End(Status::Cancelled, "not-confirmed", Class::B) }
}
