//! The account is ready: the customer types the PIN, where the payment has one.
use super::{Devices, Next, Pin, Serving, Stage, card};
use crate::{Ask, context::Context};
use payterm_schema::{
    AccountId, Kind, Pan, Status, card::CardPin, kind::OriginalBy, outcome::Class, secret::PinEntry,
};

pub(super) fn enter(cx: &mut Context, s: &mut Serving, devices: &Devices) -> Next {
    // Its batch may have been closed while it waited: nothing is left to void, and its PAN is gone.
    let settled = s.original().is_some_and(|o| !cx.state.in_open_batch(o));
    if s.kind().row().original == OriginalBy::OpenBatch && settled {
        return Next::fail("original-settled", Class::C);
    }
    if let Some(next) = card::turn(cx, s, devices) {
        return next;
    }
    let account = s.account().clone();
    let pan = s.presented.as_ref().and_then(|p| p.secrets.pan.clone());
    let (true, Some(pan)) = (s.pin == Pin::NotAsked && wanted(cx, s, &account), pan) else {
        return Next::Authorise;
    };
    if !devices.pin_pad {
        return Next::fail("pin-pad-unavailable", Class::D);
    }
    ask(cx, s, account, pan);
    Next::Stay
}

/// The pad asks for the PIN of this card.
pub(super) fn ask(cx: &mut Context, s: &mut Serving, account: AccountId, pan: Pan) {
    let tag = cx.tag();
    let timeout_ms = cx.settings.flow.pin_timeout_ms;
    // The pad's own time-out comes first; ours is for a pad that says nothing.
    let until = cx.after(timeout_ms.saturating_add(5_000));
    let wrong = s.pin_tries > 0;
    s.enter(cx, Stage::PinEntry { tag, until, digits: 0, wrong, left: None });
    cx.ask(Ask::Pin { tag, account, pan, amount: s.amount(), timeout_ms });
}

/// The pad asks for the PIN, and shows it to the card that runs. `wrong`: the last one was.
pub(super) fn ask_for_card(cx: &mut Context, s: &mut Serving, run: u64, pin: CardPin, wrong: bool) {
    let tag = cx.tag();
    let timeout_ms = cx.settings.flow.pin_timeout_ms;
    // As above; the card may take its time for what it is shown.
    let until = cx.after(timeout_ms.saturating_add(5_000).saturating_add(pin.card_ms));
    s.enter(cx, Stage::PinEntry { tag, until, digits: 0, wrong, left: pin.left });
    cx.ask(Ask::CardPin { tag, run, pin, amount: s.amount(), timeout_ms });
}

/// A PIN is asked for: the kind has one, the acquirer's message has a place for it, and the payment is
/// not small enough to go without.
pub(super) fn wanted(cx: &Context, s: &Serving, account: &AccountId) -> bool {
    // A chip card asks for it itself.
    s.chip.is_none() && s.kind().row().pin && has_place(cx, s, account) && no_cvm(cx, s).is_none()
}

/// The acquirer's message has a place for a PIN block.
pub(super) fn has_place(cx: &Context, s: &Serving, account: &AccountId) -> bool {
    cx.account(account).is_some_and(|a| !a.rules.no_pin.contains(&s.kind()))
}

/// Neither PIN nor signature for this payment: the limit that it stays within.
pub(super) fn no_cvm(cx: &Context, s: &Serving) -> Option<u64> {
    // A chip card that is inserted says itself how its holder is verified.
    let rule = cx.settings.flow.no_cvm.as_ref().filter(|_| s.chip.is_none())?;
    let presented = s.presented.as_ref()?;
    let pan = presented.secrets.pan.as_ref()?;
    let card = rule.bins.is_empty() || rule.bins.iter().any(|r| r.contains(pan));
    let amount = s.request.amount?;
    let limit = rule.limit.of(amount.currency);
    let fits = amount.minor() <= limit && card && rule.modes.contains(&presented.mode);
    (s.kind() == Kind::Sale && fits && s.pin != Pin::ByDevice).then_some(limit)
}

pub(super) fn typed(cx: &mut Context, s: &mut Serving, devices: &Devices, entry: PinEntry) -> Next {
    s.pin = match entry {
        PinEntry::Block(block) => Pin::Typed(block),
        PinEntry::Status(sw) => return card::pin_shown(cx, s, sw),
        PinEntry::NoCard => return card::step(cx, s, devices, None, None),
        // The card's data says that one was typed, when it is asked for again.
        PinEntry::Bypassed if cx.settings.flow.pin_bypass && s.icc.is_none() => Pin::Bypassed,
        PinEntry::Bypassed => return Next::fail("pin-required", Class::B),
        PinEntry::Cancelled => return Next::End(Status::Cancelled, "cancelled-by-customer", Class::B),
        PinEntry::TimedOut => return Next::End(Status::Cancelled, "pin-timeout", Class::B),
        PinEntry::Failed(_) => return Next::fail("pin-pad-unavailable", Class::D),
    };
    // A chip card goes on first, and is sent when it asks for it.
    card::pin_typed(cx, s).unwrap_or(Next::Prepare)
}
