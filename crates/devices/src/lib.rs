//! Device drivers: one driver = one file + one registration line in [`REGISTRY`].
//!
//! Drivers block. The daemon runs each on a thread of its own and sets a deadline on every command; a driver
//! that does not come back is abandoned with its thread and opened anew. So a driver keeps no state that a
//! second instance could not share or take over, and every wait in here is bounded by an argument or by
//! `command_timeout_ms`.
//!
//! Invariant: no PAN, track, PIN or payment code in an error, a log line or a `Debug` of this crate.
pub mod error;
mod escpos;
pub mod soft_printer;
pub mod track;
pub mod virtual_bench;
pub mod virtual_control;
mod virtual_driver;

pub use error::DeviceError;
pub use virtual_bench::VirtualBench;

use payterm_schema::{
    DeviceKind, Instrument, Pan, PinBlock, PinPad,
    config::DeviceConfig,
    device::{Key, Way},
    paper::PrintResult,
    secret::Pin,
    selftest::{Finding, Verdict},
};
use std::{sync::Arc, time::Duration};

/// Ends a wait of the driver that made it, from any thread; never blocks.
pub type Interrupt = Arc<dyn Fn() + Send + Sync>;

/// What a reader, scanner or keypad tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    Instrument(Instrument),
    Key(Key),
}

/// A reader, scanner or keypad.
pub trait Source: Send {
    /// Starts to take instruments of these ways (those that the device does not know are ignored) and keys.
    /// One [`Instrument`] is given per `arm`; arming again asks for the next one.
    fn arm(&mut self, ways: &[Way]) -> Result<(), DeviceError>;
    /// The next event of an armed device, or `None` when `timeout` ran out or [`Source::interrupt`] was used.
    fn next(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, DeviceError>;
    /// Stops. What was presented and not yet taken is forgotten.
    fn disarm(&mut self) -> Result<(), DeviceError>;
    /// Makes the `next` under way (or, without one, the following `next`) return `Ok(None)` at once.
    fn interrupt(&self) -> Interrupt;
    /// Does what [`Source::arm`] and [`Source::disarm`] do, while the driver's thread waits in
    /// [`Source::next`]: for a device that needs no command for it, since it reads all the time and its
    /// driver gives what is asked for. Nothing is woken, so it is quicker; its thread waits in `next` while
    /// the device rests, too. Default: the device needs commands.
    fn switch(&self) -> Option<Switch> {
        None
    }
    /// Looks whether the device works, armed or not, without a customer. Default: it is open.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        Ok(Finding::works())
    }
}

/// A customer's or cashier's display.
pub trait Display: Send {
    /// Replaces what is shown.
    fn show(&mut self, lines: &[String]) -> Result<(), DeviceError>;
    /// Shows a pattern; what was shown before is shown again by the caller. Default: only that.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.show(&pattern())?;
        Ok(Finding::works())
    }
}

/// Arms a source for these ways or lets it rest, from any thread; never blocks.
pub type Switch = Arc<dyn Fn(Option<&[Way]>) + Send + Sync>;

/// What a display shows in its self-test: every ASCII character, and some that take two columns.
pub fn pattern() -> Vec<String> {
    let ascii: Vec<u8> = (b' '..=b'~').collect();
    let mut lines: Vec<String> =
        ascii.chunks(16).map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    lines.push("\u{4ed8}\u{6b3e}\u{25a0}\u{25a1}\u{00a5}".into());
    lines
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaperLevel {
    Enough,
    NearEnd,
    Out,
}

/// State of a printer. One without a back-channel is always reported as working.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrinterStatus {
    pub online: bool,
    pub paper: PaperLevel,
    pub cover_open: bool,
    /// Cutter, temperature or another fault, in words.
    pub error: Option<String>,
    /// False: the printer cannot answer, all of the above is assumed.
    pub back_channel: bool,
}
impl PrinterStatus {
    /// Why nothing can be printed now.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self { cover_open: true, .. } => Some("cover open".into()),
            Self { paper: PaperLevel::Out, .. } => Some("paper out".into()),
            Self { error: Some(e), .. } => Some(e.clone()),
            Self { online: false, .. } => Some("offline".into()),
            Self { .. } => None,
        }
    }
    /// The same as a finding; paper near its end is one too.
    pub fn finding(&self) -> Finding {
        match self {
            Self { cover_open: true, .. } => Finding::failed("cover-open"),
            Self { paper: PaperLevel::Out, .. } => Finding::failed("paper-out"),
            Self { error: Some(e), .. } if e.contains("cutter") => Finding::failed("cutter"),
            Self { error: Some(e), .. } => Finding::failed("printer-error").with("why", e),
            Self { online: false, .. } => Finding::failed("printer-offline"),
            Self { paper: PaperLevel::NearEnd, .. } => Finding::degraded("paper-near-end"),
            // It cannot be asked: nothing is known against it.
            Self { back_channel: false, .. } => Finding::new(Verdict::Passed, "not-askable"),
            Self { .. } => Finding::works(),
        }
    }
}

/// One paper in both forms; a driver takes the one that its device understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintJob {
    pub id: u64,
    /// ESC/POS bytes, cut included.
    pub escpos: Vec<u8>,
    pub text: String,
}

pub trait Printer: Send {
    fn status(&mut self) -> Result<PrinterStatus, DeviceError>;
    /// Prints and waits for the confirmation. Every call is an attempt of its own: an answer to an earlier
    /// one is never taken for this one's. Returns within the device's `command_timeout_ms`.
    fn print(&mut self, job: &PrintJob) -> PrintResult;
    /// What [`Printer::status`] says; nothing is printed.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        self.status().map(|s| s.finding())
    }
}

/// An opened device.
pub enum Driver {
    Source(Box<dyn Source>),
    Display(Box<dyn Display>),
    Printer(Box<dyn Printer>),
    PinPad(Box<dyn PinPad>),
}

/// Enciphers a PIN under the PIK of a slot; the vault's, given to the software PIN pad. The error text holds
/// no digit.
pub type Encipher = Arc<dyn Fn(&str, &Pin, &Pan) -> Result<PinBlock, String> + Send + Sync>;

/// What drivers need from the house.
#[derive(Clone)]
pub struct Env {
    /// Bench that the virtual devices stand on.
    pub bench: VirtualBench,
    pub encipher: Encipher,
}

/// A driver's line in the register.
pub struct Registration {
    /// As `driver = "..."` in the config.
    pub driver: &'static str,
    pub kinds: &'static [DeviceKind],
    pub open: fn(&DeviceConfig, &Env) -> Result<Driver, DeviceError>,
}

/// All drivers.
pub static REGISTRY: &[Registration] = &[
    Registration { driver: "virtual", kinds: virtual_driver::KINDS, open: virtual_driver::open },
    Registration { driver: "escpos", kinds: escpos::KINDS, open: escpos::open },
];

/// The driver that `device.driver` names, if it serves such devices. The error: the key of the device and its
/// rule.
pub fn registered(device: &DeviceConfig) -> Result<&'static Registration, (&'static str, &'static str)> {
    let found = REGISTRY.iter().find(|r| r.driver == device.driver);
    let row = found.ok_or(("driver", "no registered driver has this name"))?;
    if row.kinds.contains(&device.kind) {
        Ok(row)
    } else {
        Err(("kind", "this driver does not serve devices of this kind"))
    }
}

/// Opens the device with its driver.
pub fn open(device: &DeviceConfig, env: &Env) -> Result<Driver, DeviceError> {
    let row = registered(device).map_err(|(key, rule)| DeviceError::rule(&device.name, key, rule))?;
    (row.open)(device, env)
}
