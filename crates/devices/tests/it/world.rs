//! A bench with its control socket, and each virtual device as its driver opens it.
use payterm_devices::{
    CardReader, DeviceError, Display, Drivers, Env, Face, Printer, Source, SourceEvent, VirtualBench,
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlError, VirtualControlServer},
};
use payterm_schema::{DeviceKind, Instrument, Pan, PinBlock, PinPad, config::DeviceConfig, secret::PinEntry};
use std::{os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;

pub const PAN: &str = "6222021234567890128";
pub const LONG: Duration = Duration::from_secs(10);
pub const WITHIN: When = When::Within(LONG);

pub struct World {
    pub dir: TempDir,
    pub env: Env,
    pub server: Option<VirtualControlServer>,
}
impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        // A vault that shows what it was asked: PIN length, last PIN digit, slot length.
        let encipher = Arc::new(|slot: &str, pin: &payterm_schema::secret::Pin, pan: &Pan| {
            assert_eq!(pan.reveal(), PAN);
            let digits = pin.reveal().as_bytes();
            if slot == "locked" {
                Err("no key in slot locked".to_owned())
            } else {
                Ok(PinBlock::iso0([
                    digits.len() as u8,
                    digits[digits.len() - 1],
                    slot.len() as u8,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]))
            }
        });
        let env = Env { bench: VirtualBench::new(), encipher, kernel: None };
        let server =
            Some(VirtualControlServer::start(env.bench.clone(), &dir.path().join("virtual.sock")).unwrap());
        World { dir, env, server }
    }
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("virtual.sock")
    }
    pub fn virtuals(&self) -> VirtualControl {
        VirtualControl::connect(&self.path()).unwrap()
    }
    pub fn open(&self, kind: DeviceKind, address: Option<&str>) -> Result<Face, DeviceError> {
        let address = address.map(str::to_owned);
        let name = kind.name().replace('_', "-");
        let config =
            DeviceConfig { address, command_timeout_ms: 1_000, ..DeviceConfig::new(&name, kind, "virtual") };
        Drivers::default().open(&config, &self.env).map(|mut faces| faces.remove(0))
    }
    pub fn source(&self, kind: DeviceKind) -> Box<dyn Source> {
        match self.open(kind, None).unwrap() {
            Face::MagneticReader(s) | Face::Scanner(s) | Face::Keypad(s) => s,
            _ => panic!("{kind:?}"),
        }
    }
    pub fn card_reader(&self, kind: DeviceKind) -> Box<dyn CardReader> {
        match self.open(kind, None).unwrap() {
            Face::ChipReader(card) | Face::ContactlessReader(card) => card.reader,
            _ => panic!("{kind:?}"),
        }
    }
    pub fn printer(&self, address: Option<&str>) -> Box<dyn Printer> {
        let Face::Printer(p) = self.open(DeviceKind::Printer, address).unwrap() else { panic!() };
        p
    }
    pub fn pad(&self) -> Box<dyn PinPad> {
        let Face::PinPad(p) = self.open(DeviceKind::PinPad, None).unwrap() else { panic!() };
        p
    }
    pub fn display(&self) -> Box<dyn Display> {
        let Face::Display(d) = self.open(DeviceKind::Display, None).unwrap() else { panic!() };
        d
    }
}
pub fn refused<T: std::fmt::Debug>(r: Result<T, VirtualControlError>) -> String {
    match r {
        Err(VirtualControlError::Refused(r)) => r.to_string(),
        other => panic!("{other:?}"),
    }
}
pub fn instrument(s: &mut dyn Source) -> Instrument {
    match s.next(LONG).unwrap() {
        Some(SourceEvent::Instrument(i)) => i,
        other => panic!("{other:?}"),
    }
}
pub fn pin_of(entry: PinEntry) -> [u8; 3] {
    match entry {
        PinEntry::Block(b) => [b.reveal()[0], b.reveal()[1], b.reveal()[2]],
        other => panic!("{other:?}"),
    }
}
pub fn enter(pad: &mut dyn PinPad, timeout: Duration) -> PinEntry {
    pad.enter("main", &Pan::parse(PAN).unwrap(), None, timeout, &mut |_| ())
}
