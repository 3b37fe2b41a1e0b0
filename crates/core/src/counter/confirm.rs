//! The cashier confirms the request, and the supervisor allows it, where that is asked for.
use super::{Next, ServedOriginal, Serving, Stage, provisional, stage::NOT_TAKEN};
use crate::{
    context::Context,
    signal::{Asked, Signal},
};
use payterm_schema::{Status, outcome::Class};

/// The supervisor is asked at the keypad: for what, with the voucher number of its original, and by whom.
pub(super) fn approve(cx: &mut Context, s: &mut Serving) -> Next {
    s.stage = Stage::Approving;
    let voucher = match &s.original {
        Some(ServedOriginal::Ours(o)) => o.stan,
        Some(ServedOriginal::Elsewhere { .. }) | None => None,
    };
    let asked = Asked { kind: s.kind(), amount: s.amount(), voucher, by: Some(cx.operator()) };
    cx.signal(Signal::AskApproval(asked));
    Next::Stay
}

/// The cashier confirms it, or it begins.
pub(super) fn enter(cx: &mut Context, s: &mut Serving) -> Next {
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
        return provisional::decided(cx, s, if yes { Ok(()) } else { Err(NOT_TAKEN) });
    }
    if yes { Next::Begin } else { Next::End(Status::Cancelled, "not-confirmed", Class::B) }
}
