//! What a refusal lets the terminal try again in the same request.
use super::{Next, Pin, Serving, Stage};
use crate::context::Context;
use payterm_schema::{AccountId, Time, time::Millis};

/// Of a wallet that is not queried: from one try of its undo to the next, and for how long.
const UNDO_EVERY: Millis = Millis::secs(5);
const UNDO_PATIENCE: Millis = Millis::secs(60);

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
    s.enter(cx, Stage::Busy { until, what: "host-busy" });
    Some(Next::Stay)
}

/// 09 to the undo of a wallet's payment: it came too early and nothing was done (host-protocol §8). Another
/// one with a new STAN, until the wallet's time is over; when, then.
pub(super) fn too_early(cx: &Context, s: &mut Serving) -> Option<Time> {
    let wallet = s.original()?.wallet?;
    let rules = &cx.account(s.account())?.rules;
    // Only a profile that knows the wallet's wait says what a 09 to its undo means.
    rules.wallet_undo_after.get(&wallet)?;
    let (every, patience) =
        rules.wallet_query.get(&wallet).map_or((UNDO_EVERY, UNDO_PATIENCE), |q| (q.every, q.until));
    let over = *s.undo_over.get_or_insert(cx.now + patience);
    Some(cx.now + every).filter(|until| *until <= over)
}

/// Waits for the wallet.
pub(super) fn undo_later(cx: &mut Context, s: &mut Serving, until: Time) -> Next {
    s.enter(cx, Stage::Busy { until, what: "wallet-undo" });
    Next::Stay
}
