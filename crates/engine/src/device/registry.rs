//! The devices as they are now, for everybody who asks.
use payterm_devices::{PAPER_OUT, PaperWidth};
use payterm_schema::{Device, DeviceKind, DeviceState, config::DeviceConfig, device::PrinterModel};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a paper is laid out for: its width, and the characters of its printer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sheet {
    pub width: PaperWidth,
    pub model: PrinterModel,
}

struct Entry {
    device: Device,
    /// The device is the one of its kind that customers and slips use.
    main: bool,
    /// Width of a printer's paper and its characters, from its first opening on.
    sheet: Option<Sheet>,
}

/// The devices as they are now.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<String, Entry>>>);
impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn all(&self) -> Vec<Device> {
        self.lock().values().map(|e| e.device.clone()).collect()
    }
    pub(super) fn get(&self, name: &str) -> Option<Device> {
        self.lock().get(name).map(|e| e.device.clone())
    }
    /// A device of this kind works; of several with roles, the one for customers and slips.
    pub fn works(&self, kind: DeviceKind) -> bool {
        self.any(|d| d.kind == kind && d.state != DeviceState::Failed && d.state != DeviceState::Opening)
    }
    /// Slips can be printed now: their printer is printing or free to.
    pub fn prints(&self) -> bool {
        self.any(|d| {
            d.kind == DeviceKind::Printer && matches!(d.state, DeviceState::Idle | DeviceState::Busy)
        })
    }
    /// Why slips cannot be printed, as a trouble that lasts ([`payterm_schema::notice::TROUBLES`]).
    pub fn printer_trouble(&self) -> Option<&'static str> {
        let all = self.lock();
        let printer = all.values().find(|e| e.main && e.device.kind == DeviceKind::Printer)?;
        match printer.device.state {
            DeviceState::Degraded if printer.device.health == PAPER_OUT => Some("paper-out"),
            DeviceState::Degraded | DeviceState::Failed => Some("printer"),
            DeviceState::Opening | DeviceState::Idle | DeviceState::Busy => None,
        }
    }
    fn any(&self, is: impl Fn(&Device) -> bool) -> bool {
        self.lock().values().any(|e| e.main && is(&e.device))
    }
    /// Sheet of a printer; none until it was opened.
    pub(super) fn sheet(&self, name: &str) -> Option<Sheet> {
        self.lock().get(name)?.sheet
    }
    pub(super) fn set_sheet(&self, name: &str, sheet: Sheet) {
        if let Some(entry) = self.lock().get_mut(name) {
            entry.sheet = Some(sheet);
        }
    }
    pub(super) fn change(&self, name: &str, change: impl FnOnce(&mut Device)) -> Option<Device> {
        let mut all = self.lock();
        let device = &mut all.get_mut(name)?.device;
        let before = device.clone();
        change(device);
        (*device != before).then(|| device.clone())
    }
    pub(super) fn add(&self, config: &DeviceConfig, is_virtual: bool) {
        let device = Device {
            name: config.name.clone(),
            kind: config.kind,
            driver: config.driver.clone(),
            state: DeviceState::Opening,
            health: String::new(),
            restarts: 0,
            is_virtual,
            confirms: None,
        };
        let main = config.role() == config.kind.roles().first().copied();
        let entry = Entry { device, main, sheet: None };
        self.lock().insert(config.name.clone(), entry);
    }
}
