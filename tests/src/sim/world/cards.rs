//! Test cards of the simulator in the world's reader, run by the kernel that a terminal has. A card's memory
//! outlives power cuts; its session ends with the power or when it is pulled.
use super::World;
use payterm_core::AccountSettings;
use payterm_devices::{
    CardFault, CardKernel, CardReader, DeviceError, EmvKernel, Interrupt,
    scripted::{NoReader, ScriptedCard},
};
use payterm_emv::terminal::{Limits, Parameters, Terminal, TerminalData};
use payterm_schema::{card::Interface, offline::OfflineAuthority};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, play};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};
use zeroize::Zeroizing;

/// The world's date, BCD.
const DATE: [u8; 3] = [0x26, 0x11, 0x18];

pub static ALL: LazyLock<Personas> = LazyLock::new(|| Personas::parse(PERSONAS).expect("personas"));
/// Making a card takes signatures: each is made once.
static MADE: LazyLock<BTreeMap<String, TestCard>> = LazyLock::new(|| {
    let make = |name: &String| TestCard::new(&ALL, name, DATE).expect("a persona");
    ALL.all.iter().map(|p| (p.name.clone(), make(&p.name))).collect()
});

static TERMINAL: LazyLock<Arc<Terminal>> = LazyLock::new(|| {
    let data = TerminalData { bypass: true, ..play::online_terminal() };
    Arc::new(Terminal::new(data).expect("terminal"))
});
static PARAMETERS: LazyLock<Arc<Parameters>> = LazyLock::new(|| parameters(play::ALL_ONLINE));

/// A terminal whose account lets cards approve by themselves.
static OFFLINE_TERMINAL: LazyLock<Arc<Terminal>> = LazyLock::new(|| {
    let data = TerminalData { kind: 0x22, bypass: true, ..play::online_terminal() };
    Arc::new(Terminal::new(data).expect("terminal"))
});
static OFFLINE_PARAMETERS: LazyLock<Arc<Parameters>> = LazyLock::new(|| parameters(play::LIMITS));

fn parameters(limits: Limits) -> Arc<Parameters> {
    Arc::new(Parameters::new(1, play::aids(limits), play::keys(), Vec::new()).expect("parameters"))
}

/// A card's memory, shared by the reader that holds it and the world.
pub(crate) type Memory = Arc<Mutex<TestCard>>;

/// A reader with a test card in it, which is pulled at a command.
struct Slot {
    card: Memory,
    /// Commands until it is pulled; none: it stays.
    left: Option<u32>,
}
impl CardReader for Slot {
    fn wait(&mut self, _: Duration) -> Result<Option<Interface>, DeviceError> {
        Ok(Some(Interface::Contact))
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        self.card.lock().unwrap_or_else(PoisonError::into_inner).reset();
        Ok(vec![0x3B, 0x00])
    }
    fn transmit(&mut self, command: &[u8], _: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        match &mut self.left {
            Some(0) => return Err(CardFault::Removed),
            Some(left) => *left -= 1,
            None => {}
        }
        let answer = self.card.lock().unwrap_or_else(PoisonError::into_inner).answer(command);
        // The card has done it, and is gone before its answer is out.
        if self.left == Some(0) { Err(CardFault::Removed) } else { Ok(Zeroizing::new(answer)) }
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        Arc::new(|| ())
    }
}

pub(crate) type Runs = (Box<dyn CardKernel>, Box<dyn CardReader>);

pub(super) fn scripted(kernel: ScriptedCard) -> Runs {
    (Box::new(kernel), Box::new(NoReader))
}

impl World {
    /// The persona's card in the reader; pulled at its `pulled_at`th command, 0: it stays.
    pub(super) fn persona(&mut self, name: &'static str, pulled_at: u32) -> Runs {
        let made = || Arc::new(Mutex::new(MADE.get(name).expect("a persona").clone()));
        let card = Arc::clone(self.cards.entry(name).or_insert_with(made));
        let mut drawn = u8::try_from(self.chips_run % 251).expect("a byte");
        let random = move |bytes: &mut [u8]| {
            bytes.fill(drawn);
            drawn = drawn.wrapping_add(97);
        };
        let by = [OfflineAuthority::Card, OfflineAuthority::CardUnableOnline];
        let alone = |a: &AccountSettings| by.iter().any(|by| a.config.offline.limits(*by).is_some());
        let (terminal, parameters) = if self.settings.accounts.iter().any(alone) {
            (&OFFLINE_TERMINAL, &OFFLINE_PARAMETERS)
        } else {
            (&TERMINAL, &PARAMETERS)
        };
        let kernel = EmvKernel::new((*terminal).clone(), (*parameters).clone(), Box::new(random));
        (Box::new(kernel), Box::new(Slot { card, left: (pulled_at > 0).then_some(pulled_at) }))
    }
}
