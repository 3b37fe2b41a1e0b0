//! A chip reader with a test card in it, as a vendor's driver, and what card and terminal need of each
//! other.
use payterm_devices::{
    CardDevice, CardFault, CardReader, DeviceError, Drivers, EmvKernel, Face, Interrupt, Registration,
};
use payterm_emv::terminal::{Limits, Parameters, Terminal};
use payterm_schema::{DeviceKind, card::Interface};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, play};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// PIN of the personas that pay online.
pub const PIN: &str = "123456";
/// PIN that the persona `credit` checks itself.
pub const CARD_PIN: &str = "1234";

/// The persona's card; the acquirer's world has it as `chip-` and its name.
pub fn card(persona: &str) -> TestCard {
    // Made for the day of the machine's clock, which the terminal has.
    let today = payterm_schema::Time(now_ms()).local(480);
    let bcd = |n: u8| n / 10 * 16 + n % 10;
    let date = [(today.year() % 100) as u8, today.month().into(), today.day()].map(bcd);
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), persona, date).unwrap()
}
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

pub fn kernel() -> EmvKernel {
    let aids = play::aids(Limits { online: [0; 5], ..play::ALL_ONLINE });
    let terminal = Terminal::new(play::online_terminal()).unwrap();
    let parameters = Parameters::new(1, aids, play::keys(), Vec::new()).unwrap();
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    EmvKernel::new(Arc::new(terminal), Arc::new(parameters), random)
}

/// The reader's slot, as a test works it.
#[derive(Default)]
pub struct Slot {
    state: Mutex<State>,
    changed: Condvar,
}
#[derive(Default)]
pub struct State {
    pub card: Option<TestCard>,
    /// The card was found and is not released yet.
    found: bool,
    powered: bool,
    /// A card was powered since the last release.
    taken: bool,
    interrupted: bool,
    /// Commands so far.
    pub sent: usize,
    pub released: usize,
    /// Time that a command takes.
    pub slow: Duration,
    /// ... that takes a GENERATE AC which asks for a TC.
    pub slow_tc: Duration,
}
impl Slot {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn insert(&self, card: TestCard) {
        let mut state = self.lock();
        (state.card, state.found, state.powered, state.sent) = (Some(card), false, false, 0);
        state.released = 0;
        self.changed.notify_all();
    }
    pub fn pull(&self) -> Option<TestCard> {
        self.lock().card.take()
    }
}

/// All drivers, and this one: `slot`.
pub fn drivers(slot: &Arc<Slot>) -> Drivers {
    let slot = slot.clone();
    Drivers::default().with(Registration {
        driver: "slot".into(),
        kinds: vec![DeviceKind::ChipReader].into(),
        is_virtual: true,
        shows_pins: false,
        runs_cards: Some(Arc::new(|_, _| true)),
        check: Arc::new(|_| Ok(())),
        open: Arc::new(move |_, _| {
            let device =
                CardDevice { reader: Box::new(Reader(slot.clone())), kernel: Some(Box::new(kernel())) };
            Ok(vec![Face::ChipReader(device)])
        }),
    })
}

struct Reader(Arc<Slot>);
impl CardReader for Reader {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError> {
        let until = Instant::now() + timeout;
        let mut state = self.0.lock();
        loop {
            if std::mem::take(&mut state.interrupted) {
                return Ok(None);
            }
            if state.card.is_some() && !state.found {
                state.found = true;
                return Ok(Some(Interface::Contact));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        let mut state = self.0.lock();
        let card = state.card.as_mut().ok_or(CardFault::Removed)?;
        card.reset();
        (state.powered, state.taken) = (true, true);
        Ok(vec![0x3B, 0x00])
    }
    fn transmit(&mut self, command: &[u8], _: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        let state = self.0.lock();
        let asks_tc = command.get(1) == Some(&0xAE) && command.get(2).is_some_and(|p1| p1 & 0xC0 == 0x40);
        let slow = if asks_tc { state.slow_tc } else { state.slow };
        drop(state);
        std::thread::sleep(slow);
        let mut state = self.0.lock();
        state.sent += 1;
        if !state.powered {
            return Err(CardFault::Mute);
        }
        let card = state.card.as_mut().ok_or(CardFault::Removed)?;
        Ok(Zeroizing::new(card.answer(command)))
    }
    fn present(&mut self) -> Result<bool, DeviceError> {
        Ok(self.0.lock().card.is_some())
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        let mut state = self.0.lock();
        state.released += 1;
        let next = std::mem::take(&mut state.taken) && !std::mem::take(&mut state.powered);
        // A card that nobody took is forgotten; one that came after the one that was powered is not.
        state.found |= !next;
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        let slot = self.0.clone();
        Arc::new(move || {
            slot.lock().interrupted = true;
            slot.changed.notify_all();
        })
    }
}
