//! Mishap model of readers, pad and customer. A card is swiped badly and again, or it is another card, or a
//! code, or none; the customer leaves, presses cancel, types no PIN; the pad fails, says nothing, or its time
//! runs out; a card is swiped when nobody asked; readers, pad and printer go and come back at any moment. A
//! reader never gives another number than the card's. A chip card says yes, no or nothing behind the host's
//! yes, and is pulled out at any step; it says nothing of a run that is over.
use super::{Event, World, cards};
use crate::sim::script::{
    AtPad, CODE, ChipCard, Customer, Order, PAN, TRACK2, TRACK2_PLAIN, TRACK2B, TRACK2B_PLAIN,
};
use payterm_core::Input;
use payterm_devices::{
    CardKernel, CardReader, offline_pin,
    scripted::{AfterYes, ScriptedCard},
};
use payterm_schema::{
    AccountId, CardToken, Instrument, Pan, PaymentCode, PinBlock, RequestKey, Tracks,
    card::{CardPin, CardRead, CardRun, CardStep, CardWord, HostWord, Interface, PinCheck},
    device::Key,
    host::EntryMode,
    secret::{Pin, PinEntry},
    verify::{CardPort, Verify},
};
use std::time::Duration;

/// Cryptogram of every scripted card.
pub const SCRIPTED: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// EMV data elements of a request: cryptogram, its kind, TVR, ATC, serial number of the interface device.
const ARQC: [u8; 33] = [
    0x9F, 0x26, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x9F, 0x27, 1, 0x80, 0x95, 5, 0, 0, 0, 0, 0, 0x9F, 0x36, 2, 0, 1,
    0x9F, 0x1E, 3, 0x30, 0x30, 0x30,
];

/// PIN of no test card.
const WRONG_PIN: &str = "97531";

/// Results of one issuer script.
const SCRIPTS: [u8; 8] = [0xDF, 0x31, 5, 0x20, 1, 2, 3, 4];

/// A run of a chip card.
pub(crate) struct Chip {
    tag: u64,
    card: ChipCard,
    kernel: Box<dyn CardKernel>,
    reader: Box<dyn CardReader>,
    /// What a slow card says when it is stopped.
    withheld: Option<CardStep>,
}

/// The pad's way to the card in the reader.
struct Pad<'a>(&'a mut dyn CardReader);
impl CardPort for Pad<'_> {
    fn verify(&mut self, command: Verify) -> Option<u16> {
        let answer = self.0.transmit(command.reveal(), Duration::ZERO).ok()?;
        answer.last_chunk().map(|sw| u16::from_be_bytes(*sw))
    }
}

/// A card that follows a script.
fn scripted(card: ChipCard) -> ScriptedCard {
    let after_yes = match card {
        ChipCard::Declines | ChipCard::DeclinesAfterScripts => AfterYes::No,
        ChipCard::Lies => AfterYes::Lies,
        ChipCard::Pretends => AfterYes::Pretends,
        ChipCard::Silent => AfterYes::Nothing,
        ChipCard::Approves
        | ChipCard::RunsScripts
        | ChipCard::Slow
        | ChipCard::SlowAtScripts
        | ChipCard::PulledAtScripts
        | ChipCard::PulledAtOnce
        | ChipCard::PulledOnline
        | ChipCard::PulledAtYes
        | ChipCard::Persona(..) => AfterYes::Yes,
    };
    let read = CardRead {
        pan: Pan::parse(PAN).expect("a card number"),
        sequence: Some(1),
        expiry: "3012".into(),
        track2: None,
        language: None,
        aid: "A000000333010101".into(),
        label: "PBOC DEBIT".into(),
    };
    let runs = matches!(
        card,
        ChipCard::RunsScripts
            | ChipCard::DeclinesAfterScripts
            | ChipCard::SlowAtScripts
            | ChipCard::PulledAtScripts
    );
    let asks = [CardStep::NeedPin(PinCheck::Issuer)];
    ScriptedCard::new(read, asks, after_yes, &ARQC).ending(if runs { &SCRIPTS[..] } else { &[] })
}

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
            Customer::Inserts(_) | Customer::InsertsForPin(..) => {
                self.later(700, Event::Customer(presented(Instrument::Inserted)))
            }
            Customer::TapsThenInserts(..) => {
                let tapped = self.chips_run > 0;
                let card = if tapped { Instrument::Inserted } else { Instrument::Tapped };
                self.later(700, Event::Customer(presented(card)));
            }
            Customer::Taps(..) => self.later(700, Event::Customer(presented(Instrument::Tapped))),
            Customer::Walks => {}
        }
    }

    pub(super) fn run_card(&mut self, tag: u64, run: &CardRun) {
        // It may have been inserted for the order before, which a power cut has ended.
        let orders = self.order().into_iter().chain(&self.script.orders);
        let given =
            orders.map(|o| (o.id, &o.customer)).find_map(|(id, customer)| match (customer, run.interface) {
                (Customer::Inserts(card), Interface::Contact) => Some((id, *card)),
                (
                    Customer::InsertsForPin(name, _) | Customer::TapsThenInserts(_, name),
                    Interface::Contact,
                )
                | (Customer::TapsThenInserts(name, _), Interface::Contactless) => {
                    Some((id, ChipCard::Persona(name, 0)))
                }
                (Customer::Taps(name, torn_at), Interface::Contactless) => {
                    Some((id, ChipCard::Persona(name, *torn_at)))
                }
                (_, _) => None,
            });
        let (id, mut card) = given.expect("a card that somebody gives");
        if let (ChipCard::Persona(_, torn_at), Interface::Contactless) = (&mut card, run.interface)
            && !self.fumbled.insert(id.to_owned())
        {
            *torn_at = 0;
        }
        let (mut kernel, mut reader) = match card {
            ChipCard::Persona(name, pulled_at) => self.persona(name, pulled_at),
            card => cards::scripted(scripted(card)),
        };
        let step = kernel.run(run, &mut *reader).expect("a reader");
        self.chips_run += 1;
        self.pins_left.clear();
        self.chip = Some(Chip { tag, card, kernel, reader, withheld: None });
        self.card_says(tag, step.filter(|_| card != ChipCard::PulledAtOnce));
    }

    pub(super) fn tell_card(&mut self, tag: u64, word: CardWord) {
        let Some(chip) = self.chip.as_mut().filter(|c| c.tag == tag) else {
            panic!("{word:?} to a card whose run is over")
        };
        let yes = matches!(word, CardWord::Host(HostWord::Approved { .. }));
        let scripts = word == CardWord::Scripts;
        let pulled = (yes && chip.card == ChipCard::PulledAtYes)
            || (scripts && chip.card == ChipCard::PulledAtScripts);
        let slow = (yes && chip.card == ChipCard::Slow) || (scripts && chip.card == ChipCard::SlowAtScripts);
        let step = chip.kernel.tell(word, &mut *chip.reader).expect("a reader");
        if slow {
            chip.withheld = step;
            return;
        }
        let online = matches!(step, Some(CardStep::GoOnline { .. }));
        let leaves = online && chip.card == ChipCard::PulledOnline;
        // One that says nothing is silent: its reader has nothing to tell.
        if pulled || step.is_some() {
            self.card_says(tag, step.filter(|_| !pulled));
        }
        if leaves {
            // While the host is asked: its answer takes 30 ms.
            self.later(215, Event::Customer(Input::Card { tag, step: None, card: None }));
        }
    }

    pub(super) fn stop_card(&mut self, tag: u64) {
        if let Some(step) = self.chip.as_mut().filter(|c| c.tag == tag).and_then(|c| c.withheld.take()) {
            self.card_says(tag, Some(step));
        }
    }

    pub(super) fn end_card(&mut self, tag: u64) {
        assert!(self.chip.take().is_none_or(|c| c.tag == tag), "another card's run was ended");
    }

    fn card_says(&mut self, tag: u64, step: Option<CardStep>) {
        let card = if let Some(CardStep::Read(read)) = &step { Some(token(&read.pan)) } else { None };
        self.later(200, Event::Customer(Input::Card { tag, step, card }));
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

    /// Whoever holds a test card knows its PIN.
    pub(super) fn ask_card_pin(&mut self, tag: u64, run: u64, pin: CardPin) {
        self.pin_asked = true;
        self.pins_left.push(pin.left);
        self.card_pin = Some((run, pin));
        let at_pad = match self.order().map(|o| &o.customer) {
            Some(Customer::InsertsForPin(_, at_pad)) => *at_pad,
            Some(_) | None => AtPad::WrongFirst(0),
        };
        let (ms, entry) = match at_pad {
            AtPad::PressesCancel => return self.later(400, Event::Customer(Input::Key(Key::Cancel))),
            AtPad::Pulls => {
                self.later(400, Event::Customer(Input::Card { tag: run, step: None, card: None }));
                (900, PinEntry::NoCard)
            }
            AtPad::WrongFirst(_) => (900, PinEntry::NoCard),
            AtPad::Bypasses => (900, PinEntry::Bypassed),
            AtPad::Cancels => (900, PinEntry::Cancelled),
            AtPad::FallsAsleep => (60_000, PinEntry::TimedOut),
            AtPad::Fails => (900, PinEntry::Failed("cable".into())),
        };
        self.later(ms, Event::Customer(Input::Pin { tag, entry }));
    }

    /// The pad shows the card the PIN.
    fn show_pin(&mut self) -> PinEntry {
        let wrong = match self.order().map(|o| &o.customer) {
            Some(Customer::InsertsForPin(_, AtPad::WrongFirst(n))) => self.pins_left.len() <= usize::from(*n),
            Some(_) | None => false,
        };
        let asked = self.card_pin.take();
        let Some((chip, (run, pin))) = self.chip.as_mut().zip(asked).filter(|(c, (run, _))| c.tag == *run)
        else {
            return PinEntry::NoCard;
        };
        let ChipCard::Persona(name, _) = chip.card else { panic!("run {run}: a card without a PIN asks") };
        let digits = &cards::ALL.named(name).expect("a persona").pin;
        let digits = Pin::parse(if wrong { WRONG_PIN } else { digits }).expect("a PIN");
        let random = |bytes: &mut [u8]| {
            bytes.fill(0xA5);
            Ok(())
        };
        offline_pin::show(&digits, &pin.form, &mut Pad(&mut *chip.reader), random)
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
            // The card is shown it at this moment.
            Input::Pin { tag, entry: PinEntry::NoCard } => Input::Pin { tag, entry: self.show_pin() },
            input => input,
        }
    }

    pub(super) fn generation(&self, account: Option<&AccountId>) -> u8 {
        account.and_then(|a| self.keys.get(a)).copied().unwrap_or(0)
    }
}

/// With the token that a vault would make of its card.
fn presented(instrument: Instrument) -> Input {
    let card = instrument.pan().map(|pan| token(&pan));
    Input::Instrument { instrument, card }
}

fn token(pan: &Pan) -> CardToken {
    let digits = pan.reveal().bytes();
    let hash = digits.fold(7u64, |h, b| h.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(b)));
    CardToken::new(&format!("{hash:032x}").replace(|c: char| c.is_ascii_digit(), "a")).expect("token")
}
