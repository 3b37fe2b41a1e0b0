//! A vendor's driver, as docs/vendors.md describes one: a counter unit with stripe reader, PIN pad and
//! printer behind one handle. The handle is played; everything else is as a real driver has it.
use payterm_devices::{
    DeviceError, Drivers, Encipher, Env, Face, Interrupt, PaperLevel, PrintJob, Printer, PrinterStatus,
    Registration, Source, SourceEvent, options, track,
};
use payterm_schema::{
    DeviceKind, Instrument, Money, Pan, PinPad,
    config::DeviceConfig,
    device::Confirm,
    host::EntryMode,
    paper::PrintResult,
    secret::{Pin, PinEntry},
};
use serde::Deserialize;
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// `[device.options]` of this driver.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Number of the unit at the counter, 1 to 9.
    #[serde(default = "first")]
    unit: u8,
}
fn first() -> u8 {
    1
}

fn check(device: &DeviceConfig) -> Result<Options, DeviceError> {
    let found: Options = options(device)?;
    if !(1..=9).contains(&found.unit) {
        return Err(DeviceError::rule(&device.name, "options.unit", "1 to 9"));
    }
    Ok(found)
}

/// All drivers that payterm has, and this one.
pub fn drivers(hardware: Arc<Hardware>) -> Drivers {
    Drivers::default().with(Registration {
        driver: "acme".into(),
        kinds: vec![DeviceKind::MagneticReader, DeviceKind::PinPad, DeviceKind::Printer].into(),
        is_virtual: false,
        shows_pins: false,
        runs_cards: None,
        check: Arc::new(|device| check(device).map(drop)),
        open: Arc::new(move |device, env| open(&hardware, device, env)),
    })
}

/// All faces of the unit, around one handle.
fn open(hardware: &Arc<Hardware>, device: &DeviceConfig, env: &Env) -> Result<Vec<Face>, DeviceError> {
    check(device)?;
    let number = {
        let mut state = hardware.lock();
        if state.unplugged {
            return Err(DeviceError::Gone { device: device.name.clone() });
        }
        state.opened += 1;
        state.opened
    };
    let handle = Arc::new(Handle { device: device.name.clone(), number, hardware: hardware.clone() });
    hardware.lock().handle = Arc::downgrade(&handle);
    Ok(vec![
        Face::MagneticReader(Box::new(Reader { handle: handle.clone(), armed: false })),
        Face::PinPad(Box::new(Pad { handle: handle.clone(), encipher: env.encipher.clone() })),
        Face::Printer(Box::new(Paper { handle })),
    ])
}

/// The unit itself, as a test works it.
#[derive(Default)]
pub struct Hardware {
    state: Mutex<State>,
    changed: Condvar,
}
#[derive(Default)]
pub struct State {
    pub opened: u32,
    pub unplugged: bool,
    /// The handle of now.
    pub handle: std::sync::Weak<Handle>,
    /// Raw track of a card in the slot.
    pub card: Option<&'static str>,
    pub papers: Vec<String>,
    interrupted: bool,
}
impl Hardware {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.lock());
        self.changed.notify_all();
    }
}

/// What the faces share. One that the unit was unplugged under is dead for good.
pub struct Handle {
    device: String,
    number: u32,
    hardware: Arc<Hardware>,
}
impl Handle {
    fn live(&self) -> Result<MutexGuard<'_, State>, DeviceError> {
        let state = self.hardware.lock();
        if state.unplugged || state.opened != self.number {
            return Err(DeviceError::Gone { device: self.device.clone() });
        }
        Ok(state)
    }
}

struct Reader {
    handle: Arc<Handle>,
    armed: bool,
}
impl Source for Reader {
    fn arm(&mut self, modes: &[EntryMode]) -> Result<(), DeviceError> {
        self.armed = modes.contains(&EntryMode::Swipe);
        self.handle.live().map(drop)
    }
    fn next(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, DeviceError> {
        let until = Instant::now() + timeout;
        loop {
            let mut state = self.handle.live()?;
            if std::mem::take(&mut state.interrupted) {
                return Ok(None);
            }
            if let Some(raw) = state.card.take_if(|_| self.armed) {
                // One instrument an `arm`.
                self.armed = false;
                return Ok(Some(SourceEvent::Instrument(match track::parse(raw, track::Lrc::Absent) {
                    Ok(swipe) => Instrument::Swiped(swipe.tracks),
                    Err(e) => Instrument::Unreadable { mode: EntryMode::Swipe, why: e.to_string() },
                })));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            drop(self.handle.hardware.changed.wait_timeout(state, left));
        }
    }
    fn disarm(&mut self) -> Result<(), DeviceError> {
        self.armed = false;
        self.handle.live().map(drop)
    }
    fn interrupt(&self) -> Interrupt {
        let hardware = self.handle.hardware.clone();
        Arc::new(move || hardware.change(|state| state.interrupted = true))
    }
}

struct Pad {
    handle: Arc<Handle>,
    /// A pad with keys of its own needs none.
    encipher: Encipher,
}
impl PinPad for Pad {
    fn enter(
        &mut self,
        slot: &str,
        pan: &Pan,
        _: Option<Money>,
        _: Duration,
        progress: &mut dyn FnMut(usize),
    ) -> PinEntry {
        if let Err(e) = self.handle.live() {
            return PinEntry::Failed(e.to_string());
        }
        progress(0);
        let Some(pin) = Pin::parse("123456") else { return PinEntry::Cancelled };
        progress(pin.reveal().len());
        (self.encipher)(slot, &pin, pan).map_or_else(PinEntry::Failed, PinEntry::Block)
    }
}

struct Paper {
    handle: Arc<Handle>,
}
impl Printer for Paper {
    fn status(&mut self) -> Result<PrinterStatus, DeviceError> {
        self.handle.live().map(|_| PrinterStatus {
            online: true,
            paper: PaperLevel::Enough,
            cover_open: false,
            error: None,
            confirms: Some(Confirm::ProcessId),
        })
    }
    fn print(&mut self, job: &PrintJob) -> PrintResult {
        match self.handle.live() {
            Err(e) => PrintResult::NotStarted(e.to_string()),
            Ok(mut state) => {
                state.papers.push(job.text.clone());
                PrintResult::Confirmed
            }
        }
    }
}
