//! Cards that are tapped: what became of a tap, and the same card by its contacts.
use super::{Devices, Next, Serving, offline, present};
use crate::context::Context;
use payterm_schema::{
    Status,
    card::{CardFailure, Interface},
    offline::OfflineAuthority,
    outcome::Class,
};

/// A tap has decided nothing: the customer taps again, looks at the phone, or inserts the card.
pub(super) fn failed(
    cx: &mut Context,
    s: &mut Serving,
    devices: &Devices,
    early: bool,
    why: CardFailure,
) -> Next {
    let again = match why {
        CardFailure::Torn | CardFailure::Removed | CardFailure::Unreadable => Some(CardFailure::Torn),
        CardFailure::SeePhone => Some(why),
        CardFailure::InsertInstead | CardFailure::NoApplication => Some(CardFailure::InsertInstead),
        CardFailure::Lied if may_insert(cx, s, devices) => Some(CardFailure::InsertInstead),
        CardFailure::Blocked
        | CardFailure::OnlyElectronicCash
        | CardFailure::Lied
        | CardFailure::Cancelled
        | CardFailure::Reader
        | CardFailure::OutOfOrder => None,
    };
    // Of a card that was read already the account is chosen: only the way is another.
    let again = again.filter(|why| early || *why == CardFailure::InsertInstead);
    if let (Some(why), Some(chip)) = (again, s.chip.take()) {
        chip.end(cx);
        if why == CardFailure::InsertInstead {
            if !present::reads_chips(cx, s, devices) {
                return Next::fail("no-application", Class::C);
            }
            return insert_instead(cx, s);
        }
        s.forget();
        return present::not_taken(cx, s, why.code(), false);
    }
    match why {
        CardFailure::Cancelled => Next::End(Status::Cancelled, why.code(), Class::B),
        CardFailure::Lied => Next::End(Status::Declined, why.code(), Class::C),
        CardFailure::Reader => Next::fail(why.code(), Class::D),
        CardFailure::Blocked | CardFailure::OnlyElectronicCash => Next::fail(why.code(), Class::C),
        CardFailure::Torn
        | CardFailure::Removed
        | CardFailure::Unreadable
        | CardFailure::SeePhone
        | CardFailure::InsertInstead
        | CardFailure::NoApplication
        | CardFailure::OutOfOrder => Next::fail(CardFailure::Unreadable.code(), Class::B),
    }
}

/// A tap whose account does not get ready goes on as an insertion, where that may approve by itself. None: it
/// may not, or none waits.
pub(super) fn inserted(cx: &mut Context, s: &mut Serving, devices: &Devices) -> Option<Next> {
    let may = may_insert(cx, s, devices)
        && [OfflineAuthority::Card, OfflineAuthority::CardUnableOnline]
            .into_iter()
            .any(|by| offline::allows(cx, s, by));
    let chip = s.chip.take_if(|c| may && c.interface == Interface::Contactless)?;
    chip.end(cx);
    Some(insert_instead(cx, s))
}

/// A tap that leads nowhere may go on as an insertion.
pub(super) fn may_insert(cx: &Context, s: &Serving, devices: &Devices) -> bool {
    cx.settings.flow.insert_after_tap && present::reads_chips(cx, s, devices)
}

/// Nothing of the tap is left: the card is asked for once more, by its contacts.
pub(super) fn insert_instead(cx: &mut Context, s: &mut Serving) -> Next {
    s.forget();
    s.no_tap = true;
    present::not_taken(cx, s, CardFailure::InsertInstead.code(), true)
}

/// A card that was tapped has said all: from here on it is sent as a swiped one, and a payment beyond what
/// the shop lets pass without is asked for its PIN, whatever the card wants.
pub(super) fn sent(cx: &mut Context, s: &mut Serving) -> Next {
    if let Some(chip) = s.chip.take() {
        chip.end(cx);
    }
    Next::Prepare
}
