//! Driver `virtual`, of every kind: devices whose other side is the [`VirtualBench`](crate::VirtualBench).
use crate::{
    CardDevice, CardFault, CardReader, DeviceError, Display, DisplaySize, Encipher, Env, Face, Interrupt,
    PaperLevel, PaperWidth, PrintJob, Printer, PrinterStatus, Registration, Source, SourceEvent, Switch,
    offline_pin, options,
    virtual_bench::{PinAct, Port},
    virtual_chip::ChipSlot,
};
use payterm_schema::{
    DeviceKind, Money, Pan, PinPad,
    card::{CardPin, Interface},
    config::DeviceConfig,
    device::Confirm,
    host::EntryMode,
    paper::PrintResult,
    secret::{Pin, PinEntry},
    selftest::Finding,
    verify::CardPort,
};
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const KINDS: &[DeviceKind] = &[
    DeviceKind::MagneticReader,
    DeviceKind::ChipReader,
    DeviceKind::ContactlessReader,
    DeviceKind::Scanner,
    DeviceKind::Keypad,
    DeviceKind::PinPad,
    DeviceKind::Display,
    DeviceKind::Printer,
];

/// Row of this driver in the register.
pub(crate) fn registration() -> Registration {
    Registration {
        driver: "virtual".into(),
        kinds: KINDS.into(),
        is_virtual: true,
        shows_pins: true,
        runs_cards: Some(Arc::new(|device, kernel| kernel && device.options.contains_key("card"))),
        check: Arc::new(|device| read(device).map(drop)),
        open: Arc::new(open),
    }
}

/// Options of a printer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperOptions {
    #[serde(default)]
    paper_mm: PaperWidth,
}
/// Options of a display.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScreenOptions {
    #[serde(default)]
    size: DisplaySize,
}
/// Options of a chip reader, contact or contactless.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChipOptions {
    /// Where a program with a card connects; none: the bench inserts cards, which have no chip.
    card: Option<String>,
}
/// Options of every other kind: none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoOptions {}

/// Address and options of a device.
#[derive(Default)]
struct Keys {
    file: Option<PathBuf>,
    width: PaperWidth,
    size: DisplaySize,
    card: Option<SocketAddr>,
}

/// Checks address and options. Only a printer has an address: `file:PATH`, to which the text of every paper
/// is appended (created with mode 0600). Its width, the size of a display and the socket of a chip reader's
/// cards are the only options.
fn read(device: &DeviceConfig) -> Result<Keys, DeviceError> {
    let bad = |rule: &'static str| DeviceError::rule(&device.name, "address", rule);
    if device.kind == DeviceKind::Printer {
        let path = device.address.as_ref().map(|a| {
            let path = a.strip_prefix("file:").filter(|p| p.starts_with('/'));
            path.map(PathBuf::from).ok_or_else(|| bad("file: and an absolute path"))
        });
        let (file, PaperOptions { paper_mm: width }) = (path.transpose()?, options(device)?);
        return Ok(Keys { file, width, ..Keys::default() });
    }
    let reads_cards = matches!(device.kind, DeviceKind::ChipReader | DeviceKind::ContactlessReader);
    let ChipOptions { card } = if reads_cards { options(device)? } else { ChipOptions::default() };
    let listens = |text: String| {
        let at: Option<SocketAddr> = text.parse().ok();
        let rule = "address and port on this machine: 127.0.0.1:35963";
        at.filter(|at| at.ip().is_loopback())
            .ok_or_else(|| DeviceError::rule(&device.name, "options.card", rule))
    };
    let card = card.map(listens).transpose()?;
    let ScreenOptions { size } = if reads_cards {
        ScreenOptions::default()
    } else if device.kind == DeviceKind::Display {
        options(device)?
    } else {
        let NoOptions {} = options(device)?;
        ScreenOptions::default()
    };
    match device.address {
        None => Ok(Keys { size, card, ..Keys::default() }),
        Some(_) => Err(bad("a virtual device of this kind has none")),
    }
}

/// Readers whose cards connect where those of an earlier one do: index and rule of each.
pub(crate) fn clashes(devices: &[DeviceConfig]) -> Vec<(usize, String)> {
    let listens = |device: &DeviceConfig| {
        let own = device.driver == "virtual" && device.part_of.is_none();
        read(device).ok()?.card.filter(|at| own && at.port() != 0)
    };
    let clash = |(i, device): (usize, &DeviceConfig)| {
        let at = listens(device)?;
        let other = devices.iter().take(i).find(|other| listens(other) == Some(at))?;
        let (one, other) = (&device.name, &other.name);
        Some((i, format!("{other:?} and {one:?} have {at}: each needs a port of its own")))
    };
    devices.iter().enumerate().filter_map(clash).collect()
}

fn open(device: &DeviceConfig, env: &Env) -> Result<Vec<Face>, DeviceError> {
    let Keys { file, width, size, card } = read(device)?;
    if let Some(at) = card {
        let tap = device.kind == DeviceKind::ContactlessReader;
        let interface = if tap { Interface::Contactless } else { Interface::Contact };
        let reader = Box::new(ChipSlot::listen(&device.name, interface, at)?);
        let device = CardDevice { reader, kernel: env.kernel.as_ref().map(|make| make()) };
        return Ok(vec![if tap { Face::ContactlessReader(device) } else { Face::ChipReader(device) }]);
    }
    let port = env.bench.attach(&device.name, device.kind)?;
    let card = |port, interface| CardDevice {
        reader: Box::new(CardSlot { port, interface, looking: false }),
        kernel: None,
    };
    #[allow(
        unreachable_patterns,
        clippy::wildcard_enum_match_arm,
        reason = "a kind that is not in KINDS has no virtual device"
    )]
    Ok(vec![match device.kind {
        DeviceKind::MagneticReader => Face::MagneticReader(Box::new(Reader { port })),
        DeviceKind::Scanner => Face::Scanner(Box::new(Reader { port })),
        DeviceKind::Keypad => Face::Keypad(Box::new(Reader { port })),
        DeviceKind::ChipReader => Face::ChipReader(card(port, Interface::Contact)),
        DeviceKind::ContactlessReader => Face::ContactlessReader(card(port, Interface::Contactless)),
        DeviceKind::PinPad => Face::PinPad(Box::new(Pad { port, encipher: env.encipher.clone() })),
        DeviceKind::Display => Face::Display(Box::new(Screen { port, size })),
        DeviceKind::Printer => Face::Printer(Box::new(Paper { port, file, width })),
        _ => return Err(DeviceError::rule(&device.name, "kind", "no virtual device is of this kind")),
    }])
}

/// Stripe reader, scanner or keypad.
struct Reader {
    port: Port,
}
impl Source for Reader {
    fn arm(&mut self, modes: &[EntryMode]) -> Result<(), DeviceError> {
        self.port.now(|slot| slot.set(Some(modes)))
    }
    fn next(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, DeviceError> {
        self.port.wait(Instant::now() + timeout, |slot| slot.take_event())
    }
    fn disarm(&mut self) -> Result<(), DeviceError> {
        self.port.now(|slot| slot.set(None))
    }
    fn interrupt(&self) -> Interrupt {
        self.port.interrupt()
    }
    fn switch(&self) -> Option<Arc<Switch>> {
        Some(self.port.switch())
    }
    /// Tests that the device answers; it stays armed as it was.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.port.now(|slot| slot.probe())
    }
}

/// Chip reader, contact or contactless: finds cards that have no chip yet.
struct CardSlot {
    port: Port,
    interface: Interface,
    /// The field is on, until a card is found.
    looking: bool,
}
impl CardReader for CardSlot {
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError> {
        if self.interface == Interface::Contactless && !self.looking {
            self.port.now(|slot| slot.set(Some(&[EntryMode::Contactless])))?;
            self.looking = true;
        }
        let found = self.port.wait(Instant::now() + timeout, |slot| slot.take_event())?;
        self.looking &= found.is_none();
        Ok(found.map(|_| self.interface))
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        Err(CardFault::Mute)
    }
    fn transmit(&mut self, _: &[u8], _: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        Err(CardFault::Mute)
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        self.looking = false;
        self.port.now(|slot| slot.set(None))
    }
    fn interrupt(&self) -> Interrupt {
        self.port.interrupt()
    }
    fn switch(&self) -> Option<Arc<Switch>> {
        (self.interface == Interface::Contact).then(|| self.port.switch())
    }
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.port.now(|slot| slot.probe())
    }
}

struct Screen {
    port: Port,
    size: DisplaySize,
}
impl Display for Screen {
    fn size(&self) -> DisplaySize {
        self.size
    }
    fn show(&mut self, lines: &[String]) -> Result<(), DeviceError> {
        self.port.now(|slot| slot.lines = lines.to_vec())
    }
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        let shown = crate::pattern(self.size);
        self.show(&shown)?;
        let seen = self.port.now(|slot| slot.lines == shown)?;
        Ok(if seen { Finding::works() } else { Finding::failed("not-shown") })
    }
}

struct Paper {
    port: Port,
    file: Option<PathBuf>,
    width: PaperWidth,
}
impl Paper {
    fn open(&self) -> io::Result<Option<File>> {
        self.file
            .as_ref()
            .map(|path| OpenOptions::new().append(true).create(true).mode(0o600).open(path))
            .transpose()
    }
}
impl Printer for Paper {
    fn paper_width(&self) -> PaperWidth {
        self.width
    }
    fn status(&mut self) -> Result<PrinterStatus, DeviceError> {
        self.port.now(|slot| PrinterStatus {
            online: !slot.offline,
            paper: if slot.paper_out { PaperLevel::Out } else { PaperLevel::Enough },
            cover_open: slot.cover_open,
            error: None,
            confirms: Some(Confirm::ProcessId),
        })
    }
    fn print(&mut self, job: &PrintJob) -> PrintResult {
        let problem = match self.status() {
            Ok(status) => status.problem(),
            Err(e) => Some(e.to_string()),
        };
        if let Some(why) = problem {
            return PrintResult::NotStarted(why);
        }
        match self.open() {
            Err(e) => return PrintResult::NotStarted(format!("paper file: {e}")),
            Ok(None) => {}
            Ok(Some(mut file)) => {
                // In one write: a paper is never torn by a kill.
                if let Err(e) = file.write_all(format!("{}\n{}\n", job.text, "-".repeat(32)).as_bytes()) {
                    return PrintResult::Unconfirmed(format!("paper file: {e}"));
                }
            }
        }
        match self.port.now(|slot| slot.print(&job.text)) {
            Ok(()) => PrintResult::Confirmed,
            Err(e) => PrintResult::Unconfirmed(e.to_string()),
        }
    }
}

struct Pad {
    port: Port,
    encipher: Encipher,
}
impl Pad {
    /// Asks for the PIN; the error is what came instead.
    fn types(&self, timeout: Duration, progress: &mut dyn FnMut(usize)) -> Result<Pin, PinEntry> {
        let until = Instant::now() + timeout;
        if let Err(e) = self.port.now(|slot| slot.begin_pin()) {
            return Err(PinEntry::Failed(e.to_string()));
        }
        progress(0);
        let act = loop {
            match self.port.wait(until, |slot| slot.take_pin()) {
                Ok(Some(PinAct::Clear)) => {
                    progress(4);
                    progress(0);
                }
                act => break act,
            }
        };
        let ended = self.port.now(|slot| slot.end_pin());
        Err(match (act, ended) {
            (Err(e), _) | (_, Err(e)) => PinEntry::Failed(e.to_string()),
            (Ok(Some(PinAct::Digits(pin))), _) => {
                // They are typed at once.
                progress(pin.reveal().len());
                return Ok(pin);
            }
            (Ok(Some(PinAct::Bypass)), _) => PinEntry::Bypassed,
            (Ok(Some(PinAct::Cancel)), _) => PinEntry::Cancelled,
            (Ok(Some(PinAct::Clear)), _) => unreachable!("the entry goes on"),
            (Ok(None), Ok(_)) if Instant::now() < until => PinEntry::Cancelled,
            (Ok(None), Ok(_)) => PinEntry::TimedOut,
        })
    }
}
impl PinPad for Pad {
    fn enter(
        &mut self,
        slot: &str,
        pan: &Pan,
        _amount: Option<Money>,
        timeout: Duration,
        progress: &mut dyn FnMut(usize),
    ) -> PinEntry {
        match self.types(timeout, progress) {
            Ok(pin) => (self.encipher)(slot, &pin, pan).map_or_else(PinEntry::Failed, PinEntry::Block),
            Err(entry) => entry,
        }
    }
    fn verify(
        &mut self,
        ask: &CardPin,
        card: &mut dyn CardPort,
        _amount: Option<Money>,
        timeout: Duration,
        progress: &mut dyn FnMut(usize),
    ) -> PinEntry {
        let random = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|e| e.to_string());
        match self.types(timeout, progress) {
            Ok(pin) => offline_pin::show(&pin, &ask.form, card, random),
            Err(entry) => entry,
        }
    }
    fn interrupt(&self) -> Interrupt {
        self.port.interrupt()
    }
    /// Tests the PIN keys: a made-up PIN is enciphered for each account and thrown away. That a key is there,
    /// only its use shows.
    fn self_test(&mut self, slots: &[String]) -> Finding {
        if let Err(e) = self.port.now(|_| ()) {
            return Finding::failed("device-failed").with("why", e);
        }
        let (Some(pin), Ok(pan)) = (Pin::parse("0000"), Pan::parse("6200000000000000000")) else {
            return Finding::works();
        };
        let without: Vec<&str> =
            slots.iter().filter(|s| (self.encipher)(s, &pin, &pan).is_err()).map(String::as_str).collect();
        if without.is_empty() {
            Finding::works()
        } else {
            Finding::degraded("pin-keys-missing").with("account", without.join(" "))
        }
    }
}
