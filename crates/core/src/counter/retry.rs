//! What a refusal lets the terminal try again in the same request.
use super::{Next, Pin, Serving, Stage};
use crate::context::Context;
use payterm_schema::AccountId;

/// Code 55: the customer types the PIN again in the same request, with a new STAN and a new PIN block.
pub(super) fn another_pin(cx: &Context, s: &mut Serving) -> Option<Next> {
    s.pin_tries += 1;
    if s.pin_tries >= cx.settings.flow.pin_tries {
        return None;
    }
    s.pin = Pin::NotAsked;
    Some(Next::Prepare)
}

/// 77, A0, 99: sign in, then once more; new keys, so the PIN is asked again.
pub(super) fn another_sign_in(
    cx: &mut Context,
    s: &mut Serving,
    account: &AccountId,
    code: &str,
) -> Option<Next> {
    let auto = cx.account(account).is_some_and(|a| a.config.auto_sign_in);
    if !auto || s.signed_again {
        return None;
    }
    s.signed_again = true;
    s.pin = Pin::NotAsked;
    cx.sign_out(account, &format!("the host asks for a sign-in ({code})"));
    Some(Next::Prepare)
}

/// `retry = "now"`: nothing reached the issuer. A countdown, then a new try with a new STAN.
pub(super) fn busy(cx: &mut Context, s: &mut Serving) -> Option<Next> {
    if s.busy_tries >= cx.settings.flow.busy_tries {
        return None;
    }
    s.busy_tries += 1;
    let until = cx.after(cx.settings.flow.busy_wait_ms);
    s.enter(cx, Stage::Busy { until });
    Some(Next::Stay)
}
