//! Mishap model of readers, pad and customer. A card is swiped badly and again, or it is another card, or a
//! code, or none; the customer leaves, presses cancel, types no PIN; the pad fails, says nothing, or its time
//! runs out; a card is swiped when nobody asked; readers, pad and printer go and come back at any moment. A
//! reader never gives another number than the card's. (A card that is pulled in the middle of a chip
//! transaction comes with the chip.)
use super::{Event, World};
use crate::sim::script::{CODE, Customer, Order, TRACK2, TRACK2_PLAIN, TRACK2B, TRACK2B_PLAIN};
use payterm_core::Input;
use payterm_schema::{
    AccountId, CardToken, Instrument, PaymentCode, PinBlock, RequestKey, Tracks, device::Key,
    host::EntryMode, secret::PinEntry,
};

pub fn key(id: &str) -> RequestKey {
    RequestKey { app: "shop".into(), id: id.into() }
}

fn swipe(track: &str) -> Input {
    presented(Instrument::Swiped(Tracks { track1: None, track2: Some(track.into()), track3: None }))
}

impl World {
    pub(super) fn order(&self) -> Option<&Order> {
        self.script.orders.get(self.next_order)
    }

    pub(super) fn offer(&mut self) {
        self.armed = true;
        let Some(customer) = self.order().map(|o| o.customer.clone()) else { return };
        match customer {
            Customer::Swipes
            | Customer::CancelsAtPin
            | Customer::PressesCancel
            | Customer::Bypasses
            | Customer::TakesPart
            | Customer::PadFails
            | Customer::FallsAsleep => self.later(700, Event::Customer(swipe(TRACK2))),
            Customer::SwipesPlain(n) => {
                self.later(700, Event::Customer(swipe(if n == 0 { TRACK2_PLAIN } else { TRACK2B_PLAIN })))
            }
            Customer::SwipesOther => self.later(700, Event::Customer(swipe(TRACK2B))),
            Customer::Fumbles => {
                let first = self
                    .script
                    .orders
                    .get(self.next_order)
                    .map(|o| o.id)
                    .is_some_and(|id| self.fumbled.insert(id.to_owned()));
                let bad = presented(Instrument::Unreadable { mode: EntryMode::Swipe, why: "LRC".into() });
                self.later(700, Event::Customer(if first { bad } else { swipe(TRACK2) }));
            }
            Customer::SwipesTwice => {
                self.later(700, Event::Customer(swipe(TRACK2)));
                self.later(1_100, Event::Customer(swipe(TRACK2B)));
            }
            Customer::Shows => {
                let code = PaymentCode::parse(CODE).expect("code");
                self.later(700, Event::Customer(presented(Instrument::Scanned(code))));
            }
            Customer::Walks => {}
        }
    }

    pub(super) fn ask_pin(&mut self, tag: u64, account: AccountId) {
        self.pin_asked = true;
        self.pin_of = Some(account);
        let (ms, entry) = match self.order().map(|o| o.customer.clone()) {
            Some(Customer::PressesCancel) => {
                return self.later(400, Event::Customer(Input::Key(Key::Cancel)));
            }
            Some(Customer::CancelsAtPin) => (900, PinEntry::Cancelled),
            Some(Customer::Bypasses) => (900, PinEntry::Bypassed),
            Some(Customer::PadFails) => (900, PinEntry::Failed("cable".into())),
            Some(Customer::FallsAsleep) => (60_000, PinEntry::TimedOut),
            Some(_) | None => (900, PinEntry::Block(PinBlock::iso0([7; 8]))),
        };
        self.later(ms, Event::Customer(Input::Pin { tag, entry }));
    }

    /// What a customer's act is to the machine at this moment.
    pub(super) fn customer(&mut self, input: Input) -> Input {
        // The pad is idle once it has answered.
        self.pin_asked &= !matches!(input, Input::Pin { .. });
        match input {
            // The pad enciphers it under the keys of this moment.
            Input::Pin { tag, entry: PinEntry::Block(_) } => {
                let entry = PinEntry::Block(PinBlock::iso0([self.generation(self.pin_of.as_ref()); 8]));
                Input::Pin { tag, entry }
            }
            input => input,
        }
    }

    pub(super) fn generation(&self, account: Option<&AccountId>) -> u8 {
        account.and_then(|a| self.keys.get(a)).copied().unwrap_or(0)
    }
}

/// With the token that a vault would make of its card.
fn presented(instrument: Instrument) -> Input {
    let card = instrument.pan().map(|pan| {
        let hash = pan
            .reveal()
            .bytes()
            .fold(7u64, |h, b| h.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(b)));
        CardToken::new(&format!("{hash:032x}").replace(|c: char| c.is_ascii_digit(), "a")).expect("token")
    });
    Input::Instrument { instrument, card }
}
