//! The customer presents a card or a code.
use super::{Devices, Next, Serving, Stage, card};
use crate::{
    Ask,
    context::Context,
    instrument::{self, Presented, Problem},
};
use payterm_schema::{
    CardToken, Instrument,
    card::{CardFailure, Interface},
    host::EntryMode,
    kind::CardRule,
    outcome::Class,
};

/// What can be presented now: working devices, the kind's rule, the customer's choice.
fn modes(cx: &Context, s: &Serving, devices: &Devices, chosen: &[EntryMode]) -> Vec<EntryMode> {
    let row = s.kind().row();
    let allowed = |m: &EntryMode| {
        (chosen.is_empty() || chosen.contains(m))
            && (if m.row().card { row.card != CardRule::None } else { row.code })
            && (*m != EntryMode::Manual || cx.settings.flow.typed_pan)
            && (*m != EntryMode::Contactless || !s.no_tap)
    };
    devices.modes.iter().copied().filter(allowed).collect()
}

/// What the customer is invited to: what can pay in the end. A reader that finds what cannot is armed too, so
/// that it is told.
fn invited(cx: &Context, s: &Serving, modes: &[EntryMode]) -> Vec<EntryMode> {
    let wallets =
        || instrument::candidates(&cx.settings, &s.request).iter().any(|a| !a.rules.wallets.is_empty());
    let pays = |m: &EntryMode| match m {
        EntryMode::Chip => card::depth(cx, s, Interface::Contact).is_some(),
        EntryMode::Contactless => card::depth(cx, s, Interface::Contactless).is_some(),
        EntryMode::Code => wallets(),
        EntryMode::Swipe | EntryMode::Manual => true,
    };
    modes.iter().copied().filter(pays).collect()
}

/// What is presented already was not taken, for `problem`; the time goes on.
pub(super) fn enter(cx: &mut Context, s: &mut Serving, devices: &Devices, problem: Option<Problem>) -> Next {
    let modes = modes(cx, s, devices, &s.modes);
    let invited = invited(cx, s, &modes);
    if invited.is_empty() {
        return Next::fail("reader-unavailable", Class::D);
    }
    let until = if let Stage::Presenting { until, .. } = s.stage {
        until
    } else {
        cx.after(cx.settings.flow.present_timeout_ms)
    };
    s.enter(cx, Stage::Presenting { until, modes: invited, problem });
    cx.ask(Ask::Offer { txn: s.txn, modes });
    Next::Stay
}

/// A digit of the keypad: 1 = bank card, 2 = payment code, any other offers both again. The choice only
/// narrows what is offered; who presents something has chosen.
pub(super) fn choose(cx: &Context, s: &mut Serving, devices: &Devices, digit: u8) -> Next {
    if !s.kind().row().code {
        return Next::Stay;
    }
    let chosen = match digit {
        b'1' => EntryMode::of_cards(true),
        b'2' => EntryMode::of_cards(false),
        _ => Vec::new(),
    };
    // Something that works must be left.
    if chosen == s.modes || invited(cx, s, &modes(cx, s, devices, &chosen)).is_empty() {
        return Next::Stay;
    }
    s.modes = chosen;
    Next::Present(None)
}

pub(super) fn instrument(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    instrument: Instrument,
    token: Option<CardToken>,
) -> Next {
    let runs = match instrument {
        Instrument::Inserted => Some(Interface::Contact),
        Instrument::Tapped => Some(Interface::Contactless),
        Instrument::LeftIn
        | Instrument::Swiped(_)
        | Instrument::Scanned(_)
        | Instrument::Typed { .. }
        | Instrument::Unreadable { .. } => None,
    };
    if let Some(interface) = runs.filter(|interface| card::depth(cx, s, *interface).is_some()) {
        return Next::RunCard(interface);
    }
    // The customer was told already what to do with it.
    if matches!((&instrument, &s.stage), (Instrument::LeftIn, Stage::Presenting { problem: Some(_), .. })) {
        return Next::Stay;
    }
    // What the terminal cannot read is no fault of the customer's and costs no try.
    let free = matches!(instrument, Instrument::Inserted | Instrument::Tapped | Instrument::LeftIn);
    match instrument::check(instrument, s.kind(), &cx.settings).map(|p| Presented { card: token, ..p }) {
        Ok(presented) => {
            // That of a chip card was its own.
            s.language = None;
            let fallback = presented.chip
                && presented.mode == EntryMode::Swipe
                && s.fallback.take().is_some_and(|until| cx.now <= until);
            take(cx, s, devices, Presented { fallback, ..presented })
        }
        Err(problem) => not_taken(cx, s, problem, free),
    }
}

/// The customer may present another, or the same in another way.
pub(super) fn not_taken(cx: &Context, s: &mut Serving, problem: Problem, free: bool) -> Next {
    s.present_tries += u8::from(!free);
    if s.present_tries >= cx.settings.flow.present_tries {
        return Next::fail("too-many-tries", Class::B);
    }
    Next::Present(Some(problem))
}

/// A chip that ended so may be swiped in the end: it could not be read, or has nothing that the terminal has.
/// Never one that is blocked, nor where a chip has decided anything of the payment (EMV 4.4 Book 4 §11.2).
pub(super) fn falls_back(cx: &Context, s: &Serving, devices: &Devices, why: CardFailure) -> bool {
    !s.decided
        && cx.settings.flow.fallback.tries > 0
        && devices.modes.contains(&EntryMode::Swipe)
        && matches!(why, CardFailure::Unreadable | CardFailure::NoApplication)
}
/// It is inserted again, or swiped.
pub(super) fn fall_back(cx: &Context, s: &mut Serving, why: CardFailure) -> Next {
    let config = cx.settings.flow.fallback;
    s.chip_tries = if why == CardFailure::NoApplication { config.tries } else { s.chip_tries + 1 };
    if s.chip_tries < config.tries {
        return Next::Present(Some("card-unreadable"));
    }
    // One more insertion begins anew.
    s.chip_tries = 0;
    s.fallback = Some(cx.after(config.ms));
    Next::Present(Some("swipe-instead"))
}

/// An instrument that can pay: the account is chosen by it.
pub(super) fn take(cx: &mut Context, s: &mut Serving, devices: &Devices, presented: Presented) -> Next {
    if let Some(problem) = refusal(cx, s, devices, &presented) {
        return not_taken(cx, s, problem, false);
    }
    let refused = presented
        .secrets
        .pan
        .as_ref()
        .is_some_and(|pan| cx.settings.flow.refused_bins.iter().any(|r| r.contains(pan)));
    let account = match s.original().and_then(|o| o.account.as_ref()) {
        // It goes where its original went.
        Some(id) => cx.account(id),
        None => instrument::route(&cx.settings, &s.request, &presented),
    };
    let takes = account.map(|a| (a.config.amount_limit(), a.rules.kinds.contains(&s.kind())));
    let account = account.map(|a| a.config.id.clone());
    s.presented = Some(presented);
    s.account = account;
    cx.ask(Ask::Withdraw);
    match (takes, s.amount()) {
        (_, _) if refused => Next::fail("card-refused", Class::C),
        (None, _) => Next::fail("no-account", Class::C),
        (Some((_, false)), _) => Next::fail("kind-not-supported", Class::C),
        (Some((limit, true)), Some(m)) if m.minor() > limit => Next::fail("amount-limit", Class::C),
        (Some((_, true)), _) => Next::Prepare,
    }
}

pub(super) fn reads_chips(cx: &Context, s: &Serving, devices: &Devices) -> bool {
    card::depth(cx, s, Interface::Contact).is_some() && devices.modes.contains(&EntryMode::Chip)
}

/// What only the running request can say against an instrument; the customer may present another.
fn refusal(cx: &Context, s: &Serving, devices: &Devices, presented: &Presented) -> Option<Problem> {
    let wanted = s.chip_wanted || (presented.chip && cx.settings.flow.chip_first);
    if wanted && presented.mode == EntryMode::Swipe && !presented.fallback && reads_chips(cx, s, devices) {
        return Some("insert-chip");
    }
    let masked = s.original().and_then(|o| o.masked_pan.as_ref());
    masked.is_some_and(|masked| *masked != presented.masked).then_some("card-differs")
}
