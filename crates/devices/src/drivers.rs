//! The register of drivers, a value: the engine is given one, and whoever makes it may enter drivers of their
//! own.
use crate::{CardDevice, DeviceError, Display, Printer, Source, VirtualBench, escpos, virtual_driver};
use payterm_schema::{
    DeviceKind, Fault, Pan, PinBlock, PinPad,
    config::{Config, DeviceConfig},
    secret::Pin,
};
use std::{borrow::Cow, sync::Arc};

/// One face of an opened unit.
pub enum Face {
    MagneticReader(Box<dyn Source>),
    Scanner(Box<dyn Source>),
    Keypad(Box<dyn Source>),
    ChipReader(CardDevice),
    ContactlessReader(CardDevice),
    PinPad(Box<dyn PinPad>),
    Display(Box<dyn Display>),
    Printer(Box<dyn Printer>),
}
impl Face {
    pub const fn kind(&self) -> DeviceKind {
        match self {
            Self::MagneticReader(_) => DeviceKind::MagneticReader,
            Self::Scanner(_) => DeviceKind::Scanner,
            Self::Keypad(_) => DeviceKind::Keypad,
            Self::ChipReader(_) => DeviceKind::ChipReader,
            Self::ContactlessReader(_) => DeviceKind::ContactlessReader,
            Self::PinPad(_) => DeviceKind::PinPad,
            Self::Display(_) => DeviceKind::Display,
            Self::Printer(_) => DeviceKind::Printer,
        }
    }
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

/// Check of the keys of a device that are the driver's: address and options. Opens nothing.
pub type Check = Arc<dyn Fn(&DeviceConfig) -> Result<(), DeviceError> + Send + Sync>;
/// Opens a unit. It answers all the faces that the unit has; those that are not configured are dropped.
pub type Open = Arc<dyn Fn(&DeviceConfig, &Env) -> Result<Vec<Face>, DeviceError> + Send + Sync>;

/// A driver's row in the register.
#[derive(Clone)]
pub struct Registration {
    /// As `driver = "..."` in the config.
    pub driver: Cow<'static, str>,
    /// Kinds that its faces may be.
    pub kinds: Cow<'static, [DeviceKind]>,
    /// Its devices are played: every screen and slip says TEST, and only accounts on this machine are served.
    pub is_virtual: bool,
    pub check: Check,
    pub open: Open,
}

/// The drivers that a terminal has.
#[derive(Clone)]
pub struct Drivers(Vec<Registration>);

/// Those that come with payterm.
impl Default for Drivers {
    fn default() -> Self {
        Self(vec![virtual_driver::registration(), escpos::registration()])
    }
}

impl Drivers {
    /// With one more driver; one of the same name is replaced.
    pub fn with(mut self, driver: Registration) -> Self {
        self.0.retain(|old| old.driver != driver.driver);
        self.0.push(driver);
        self
    }

    /// The driver that `device.driver` names, if it serves such devices.
    pub fn find(&self, device: &DeviceConfig) -> Result<&Registration, DeviceError> {
        let found = self.0.iter().find(|r| r.driver == device.driver);
        let row = found
            .ok_or_else(|| DeviceError::rule(&device.name, "driver", "no registered driver has this name"))?;
        if row.kinds.contains(&device.kind) {
            return Ok(row);
        }
        Err(DeviceError::rule(&device.name, "kind", "this driver does not serve devices of this kind"))
    }

    /// Rules of the configuration that depend on the drivers; the error's field is the key's path.
    pub fn check(&self, config: &Config) -> Result<(), Fault> {
        for (i, device) in config.devices.iter().enumerate() {
            let checked = self.find(device).and_then(|row| match &device.part_of {
                Some(_) => Ok(()),
                None => (row.check)(device),
            });
            checked.map_err(|e| {
                let (key, rule) = match e {
                    DeviceError::Rule { field, rule, .. } => (field, rule.into_owned()),
                    other @ (DeviceError::Io { .. }
                    | DeviceError::Gone { .. }
                    | DeviceError::Silent { .. }
                    | DeviceError::Replaced { .. }) => ("driver".into(), other.to_string()),
                };
                Fault::Invalid { field: format!("device[{i}].{key}"), rule }
            })?;
        }
        let far = config.accounts.iter().position(|a| !a.is_loopback());
        match far {
            Some(i) if !config.terminal.lab && self.any_virtual(&config.devices) => Err(Fault::Invalid {
                field: format!("account[{i}].address"),
                rule:
                    "not on loopback although a virtual device is configured (terminal.lab = true allows it)"
                        .into(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// It is played, not real.
    pub fn is_virtual(&self, device: &DeviceConfig) -> bool {
        self.0.iter().any(|r| r.driver == device.driver && r.is_virtual)
    }

    /// One of them is played: this is a test terminal.
    pub fn any_virtual(&self, devices: &[DeviceConfig]) -> bool {
        devices.iter().any(|d| self.is_virtual(d))
    }

    /// Opens the unit with its driver.
    pub fn open(&self, device: &DeviceConfig, env: &Env) -> Result<Vec<Face>, DeviceError> {
        (self.find(device)?.open)(device, env)
    }
}
