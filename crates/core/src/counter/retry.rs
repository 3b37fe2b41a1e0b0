//! What a refusal lets the terminal try again in the same request.
use super::{Devices, Next, Pin, Serving, Stage, present};
use crate::context::Context;
use payterm_schema::{AccountId, Time, host::EntryMode, time::Millis};

/// Time from one try of a wallet's undo to the next, where the wallet is not queried.
const UNDO_EVERY: Millis = Millis::secs(5);
/// Time after a wallet's wait in which it may still say that an undo comes too early: its clock is not ours.
const UNDO_SLACK: Millis = Millis::secs(10);

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
    // Of a PIN that was not typed nothing is enciphered.
    if matches!(s.pin, Pin::Typed(_)) {
        s.pin = Pin::NotAsked;
    }
    cx.sign_out(account, &format!("the host asks for a sign-in ({code})"));
    Some(Next::Prepare)
}

/// 45: the host wants the chip of a card that was swiped, and a reader can read it.
pub(super) fn insert(cx: &Context, s: &mut Serving, devices: &Devices) -> Option<Next> {
    let swiped = s.presented.as_ref().is_some_and(|p| p.mode == EntryMode::Swipe && !p.fallback);
    if !swiped || s.chip_wanted || !present::reads_chips(cx, s, devices) {
        return None;
    }
    s.chip_wanted = true;
    s.forget();
    Some(Next::Present(Some("insert-chip")))
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

/// Time of the next try of a wallet's undo that was answered 09, with a new STAN: it came too early, and
/// nothing was done (host-protocol §8). None where 09 cannot mean that, and the money may be on its way: the
/// wallet takes an undo at once, or its wait is over.
pub(super) fn too_early(cx: &Context, s: &Serving) -> Option<Time> {
    let original = s.original()?;
    let (wallet, paid) = (original.wallet?, original.ended?);
    let rules = &cx.account(s.account())?.rules;
    let over = paid + *rules.wallet_undo_after.get(&wallet)? + UNDO_SLACK;
    // A payment that seems to have ended later than now was made under another clock.
    let early = paid <= cx.now && cx.now < over;
    early.then(|| cx.now + rules.wallet_query.get(&wallet).map_or(UNDO_EVERY, |q| q.every))
}

/// Waits for the wallet.
pub(super) fn undo_later(cx: &mut Context, s: &mut Serving, until: Time) -> Next {
    s.enter(cx, Stage::Busy { until, what: "wallet-undo" });
    Next::Stay
}
