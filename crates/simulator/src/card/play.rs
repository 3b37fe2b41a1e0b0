//! What a test card is played with: a terminal that trusts the test CA, a payment, the cardholder at the PIN
//! pad, and the issuer that answers a cryptogram. For those who measure whole runs of the kernel
//! (`crates/emv`), or spoil them.
use super::{CA_INDEX, TestCard, ca_key, crypt, issue::object};
use payterm_emv::{
    Contact, Tap, oda,
    step::{End, HostWord, Input, Online, PinAsk, PinWord, Proceed, Step},
    terminal::{
        Aid, Depth, Limits, Parameters, TapLimits, Terminal, TerminalData, Transaction, TransactionFault,
    },
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The day of [`payment`], YYMMDD: a card is made for it.
pub const DATE: [u8; 3] = [0x26, 0x07, 0x15];
/// Provider of the personas' applications.
const RID: [u8; 5] = [0xA0, 0x00, 0x00, 0x03, 0x33];

/// The card has paid nothing before, and its account has a key for PINs.
pub const PROCEED: Proceed = Proceed { earlier: 0, listed: false, online_pin: true, offline: true };

/// A merchant's attended terminal that decides nothing without the issuer and shows a card no plain PIN.
pub fn online_terminal() -> TerminalData {
    TerminalData { kind: 0x21, capabilities: [0xE0, 0x78, 0xC8], ..terminal() }
}
/// A merchant's attended terminal that can do everything.
pub fn terminal() -> TerminalData {
    TerminalData {
        country: 156,
        kind: 0x22,
        capabilities: [0xE0, 0xF8, 0xC8],
        additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
        serial: *b"PT000001",
        category: 5411,
        merchant: None,
        id: None,
        name: b"SHOP".to_vec(),
        languages: vec![*b"zh"],
        bypass: false,
    }
}

/// Limits that say nothing of a sale below CNY 500.
pub const LIMITS: Limits = Limits {
    floor: 100_000,
    threshold: 50_000,
    target: 0,
    most: 0,
    denial: [0; 5],
    online: [0; 5],
    default: [0; 5],
};
/// Limits that send every payment to the issuer.
pub const ALL_ONLINE: Limits =
    Limits { floor: 0, threshold: 0, online: [0xFF; 5], default: [0xFF; 5], ..LIMITS };

/// Limits of taps: offline to CNY 200, without a PIN below CNY 1,000, nothing from CNY 5,000 on.
pub const TAP_LIMITS: TapLimits = TapLimits { floor: 20_000, most: 500_000, cvm: 100_000 };

/// The personas' applications.
pub fn aids(limits: Limits) -> Vec<Aid> {
    let aid = |last: u8| Aid {
        name: [&RID[..], &[0x01, 0x01, last]].concat(),
        partial: false,
        version: [0x00, 0x30],
        limits,
        ddol: Some(vec![0x9F, 0x37, 0x04]),
        tdol: None,
        online_pin: true,
        tap: Some(TAP_LIMITS),
    };
    vec![aid(0x01), aid(0x02)]
}

/// The test CA's key.
///
/// # Panics
/// Never: it is one.
pub fn keys() -> Vec<oda::CaKey> {
    let (modulus, exponent) = ca_key();
    vec![oda::CaKey::new(RID, CA_INDEX, &modulus, &exponent, None).expect("the test CA's key")]
}

/// A sale in CNY.
pub fn payment(minor: u64) -> Transaction {
    Transaction {
        amount: minor,
        other: 0,
        currency: 156,
        exponent: 2,
        kind: 0,
        date: DATE,
        time: [0x13, 0x59, 0x59],
        sequence: 7,
        unpredictable: [1, 2, 3, 4],
        draw: 99,
        depth: Depth::Full,
        force_online: false,
    }
}

impl TestCard {
    /// The issuer's answer (91) to the card's last cryptogram; none: it gave none.
    pub fn issuer_data(&self, code: [u8; 2]) -> Option<Vec<u8>> {
        let given = self.given.last()?;
        let application = self.applications.iter().find(|a| a.row.aid.0 == given.aid)?;
        let session = self.derivation.session(&application.ac_key, given.atc);
        Some(object(0x91, &[&crypt::arpc(&session, given.cryptogram, code)[..], &code].concat()))
    }

    /// The cardholder types the right PIN, and the pad shows it to the card, if it is the card that asks.
    pub fn pin_word(&mut self, ask: &PinAsk) -> PinWord {
        let block = Zeroizing::new(self.pin_block());
        let command = match ask {
            PinAsk::Online => return PinWord::Entered,
            PinAsk::Plain { .. } => [&[0x00, 0x20, 0x00, 0x80, 8][..], &*block].concat(),
            PinAsk::Enciphered { key, challenge, .. } => {
                let padding = vec![0xA5; key.padding_len()];
                let Ok(data) = oda::encipher_pin(key, &block, *challenge, &padding) else {
                    return PinWord::NoPad;
                };
                [&[0x00, 0x20, 0x00, 0x88, data.len() as u8][..], &data].concat()
            }
        };
        let answer = self.answer(&command);
        PinWord::Status(answer.last_chunk().map_or(0, |sw| u16::from_be_bytes(*sw)))
    }
}

/// A run of the kernel, whichever way the card is read.
pub trait Kernel: Sized {
    fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        payment: Transaction,
    ) -> Result<(Self, Step), TransactionFault>;
    fn step(&mut self, input: Input<'_>) -> Step;
}
impl Kernel for Contact {
    fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        payment: Transaction,
    ) -> Result<(Self, Step), TransactionFault> {
        Self::start(terminal, parameters, payment)
    }
    fn step(&mut self, input: Input<'_>) -> Step {
        self.step(input)
    }
}
impl Kernel for Tap {
    fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        payment: Transaction,
    ) -> Result<(Self, Step), TransactionFault> {
        Self::start(terminal, parameters, payment)
    }
    fn step(&mut self, input: Input<'_>) -> Step {
        self.step(input)
    }
}

/// What card, cardholder and host said in a run, to be said again without them.
#[derive(Clone)]
pub struct Recording {
    pub answers: Vec<Vec<u8>>,
    pub pins: Vec<PinWord>,
    /// The host's data objects; none: it was not asked.
    pub issuer: Option<Vec<u8>>,
}

/// A recorded run, played again.
pub struct Played {
    pub end: End,
    pub online: Option<Box<Online>>,
}

impl Recording {
    /// A run with a card whose issuer approves.
    pub fn of<K: Kernel>(
        card: &mut TestCard,
        terminal: &Arc<Terminal>,
        parameters: &Arc<Parameters>,
        payment: Transaction,
    ) -> Result<Self, TransactionFault> {
        let mut all = Self { answers: Vec::new(), pins: Vec::new(), issuer: None };
        let (mut kernel, mut step) = K::start(terminal.clone(), parameters.clone(), payment)?;
        loop {
            let said;
            let input = match step {
                Step::Send(command) => {
                    said = card.answer(&command);
                    all.answers.push(said.clone());
                    Input::Answer(&said)
                }
                Step::Pin(ask) => {
                    let word = card.pin_word(&ask);
                    all.pins.push(word);
                    Input::Pin(word)
                }
                Step::Online(_) => {
                    said = card.issuer_data(*b"00").unwrap_or_default();
                    all.issuer = Some(said.clone());
                    Input::Host(HostWord::Approved { arc: *b"00", issuer: &said })
                }
                Step::Choose(_) => Input::Chosen(Some(0)),
                Step::Parameters(_) => Input::Parameters(None),
                Step::Read(_) => Input::Proceed(PROCEED),
                Step::Completed(_) => Input::Scripts,
                Step::Done(_) => return Ok(all),
            };
            step = kernel.step(input);
        }
    }

    /// The same run, with nobody computing anything but the kernel.
    pub fn play<K: Kernel>(
        &self,
        terminal: &Arc<Terminal>,
        parameters: &Arc<Parameters>,
        payment: Transaction,
    ) -> Result<Played, TransactionFault> {
        let (mut answers, mut pins) = (self.answers.iter(), self.pins.iter());
        let mut asked = None;
        let (mut kernel, mut step) = K::start(terminal.clone(), parameters.clone(), payment)?;
        loop {
            let input = match step {
                Step::Send(_) => answers.next().map_or(Input::Stop, |answer| Input::Answer(answer)),
                Step::Pin(_) => pins.next().map_or(Input::Stop, |word| Input::Pin(*word)),
                Step::Online(online) => {
                    asked = Some(online);
                    let issuer = self.issuer.as_deref().unwrap_or_default();
                    Input::Host(HostWord::Approved { arc: *b"00", issuer })
                }
                Step::Choose(_) => Input::Chosen(Some(0)),
                Step::Parameters(_) => Input::Parameters(None),
                Step::Read(_) => Input::Proceed(PROCEED),
                Step::Completed(_) => Input::Scripts,
                Step::Done(end) => return Ok(Played { end: *end, online: asked }),
            };
            step = kernel.step(input);
        }
    }
}
