//! Register of drivers, a value: the engine is given one, and whoever makes it may enter drivers of their
//! own.
#[cfg(feature = "pcsc")]
use crate::pcsc_reader;
use crate::{
    CardDevice, CardKernel, DeviceError, Display, Printer, Source, VirtualBench, escpos, virtual_driver,
};
use payterm_schema::{
    DeviceKind, Fault, Pan, PinBlock, PinPad,
    config::{Config, DeviceConfig, DeviceRole},
    secret::Pin,
};
use std::{borrow::Cow, sync::Arc};

/// Driver of a face, by the trait of its kind.
pub enum Handle {
    Source(Box<dyn Source>),
    Card(CardDevice),
    PinPad(Box<dyn PinPad>),
    Display(Box<dyn Display>),
    Printer(Box<dyn Printer>),
}

/// Table of the faces that a unit may have. A row is `Kind: Trait(type of its driver);`.
macro_rules! faces {
    ($($kind:ident: $handle:ident($driver:ty);)*) => {
        /// Face of an opened unit: one device, with its driver.
        pub enum Face {
            $($kind($driver),)*
        }
        impl Face {
            pub const fn kind(&self) -> DeviceKind {
                match self {
                    $(Self::$kind(_) => DeviceKind::$kind,)*
                }
            }
            pub fn handle(self) -> Handle {
                match self {
                    $(Self::$kind(driver) => Handle::$handle(driver),)*
                }
            }
        }
    };
}
faces! {
    MagneticReader: Source(Box<dyn Source>);
    Scanner: Source(Box<dyn Source>);
    Keypad: Source(Box<dyn Source>);
    ChipReader: Card(CardDevice);
    ContactlessReader: Card(CardDevice);
    PinPad: PinPad(Box<dyn PinPad>);
    Display: Display(Box<dyn Display>);
    Printer: Printer(Box<dyn Printer>);
}

/// Function of the vault that enciphers a PIN under the PIN key of an account; the software PIN pad is given
/// it. The error text holds no digit.
pub type Encipher = Arc<dyn Fn(&str, &Pin, &Pan) -> Result<PinBlock, String> + Send + Sync>;

/// Function that makes the terminal's own card kernel, for one reader.
pub type MakeKernel = Arc<dyn Fn() -> Box<dyn CardKernel> + Send + Sync>;

/// Environment that drivers are opened with.
#[derive(Clone)]
pub struct Env {
    /// Bench of the virtual devices.
    pub bench: VirtualBench,
    /// PIN encipherment, for software PIN pads only.
    pub encipher: Encipher,
    /// Card kernel for readers that bring none; none: the terminal has none.
    pub kernel: Option<MakeKernel>,
}

/// Check of the keys of a device that are the driver's: address and options. It opens nothing.
pub type Check = Arc<dyn Fn(&DeviceConfig) -> Result<(), DeviceError> + Send + Sync>;
/// Function that opens a unit. It gives all the faces that the unit has; those that are not configured are
/// dropped.
pub type Open = Arc<dyn Fn(&DeviceConfig, &Env) -> Result<Vec<Face>, DeviceError> + Send + Sync>;

/// Tells whether chip cards run on this reader, configured as it is. `kernel`: the terminal has a kernel of
/// its own.
pub type RunsCards = Arc<dyn Fn(&DeviceConfig, bool) -> bool + Send + Sync>;

/// Row of a driver in the register.
#[derive(Clone)]
pub struct Registration {
    /// Name, as `driver = "..."` in the config.
    pub driver: Cow<'static, str>,
    /// Kinds of which its faces may be.
    pub kinds: Cow<'static, [DeviceKind]>,
    /// Virtual: every screen and slip says TEST, and only accounts on this machine are served.
    pub is_virtual: bool,
    /// Its PIN pads show a PIN to a card ([`PinPad::verify`]).
    pub shows_pins: bool,
    /// None: it has no chip reader on which cards run.
    pub runs_cards: Option<RunsCards>,
    pub check: Check,
    pub open: Open,
}

/// Drivers that a terminal has.
#[derive(Clone)]
pub struct Drivers(Vec<Registration>);

/// The drivers that come with payterm.
impl Default for Drivers {
    fn default() -> Self {
        Self(vec![
            virtual_driver::registration(),
            escpos::registration(),
            #[cfg(feature = "pcsc")]
            pcsc_reader::registration(),
        ])
    }
}

impl Drivers {
    /// Register with one more driver; one of the same name is replaced.
    pub fn with(mut self, driver: Registration) -> Self {
        self.0.retain(|old| old.driver != driver.driver);
        self.0.push(driver);
        self
    }

    /// Driver that `device.driver` names; an error when there is none, or it does not serve devices of this
    /// kind.
    pub fn find(&self, device: &DeviceConfig) -> Result<&Registration, DeviceError> {
        let found = self.0.iter().find(|r| r.driver == device.driver);
        let row = found
            .ok_or_else(|| DeviceError::rule(&device.name, "driver", "no registered driver has this name"))?;
        if row.kinds.contains(&device.kind) {
            return Ok(row);
        }
        Err(DeviceError::rule(&device.name, "kind", "this driver does not serve devices of this kind"))
    }

    /// Checks the rules of the configuration that depend on the drivers. The error is `Invalid`, its field
    /// the path of the key: `device[0].options.unit`.
    pub fn check(&self, config: &Config) -> Result<(), Fault> {
        self.broken(config).into_iter().next().map_or(Ok(()), Err)
    }

    /// Every rule that [`Drivers::check`] finds broken; of one device the first.
    pub fn broken(&self, config: &Config) -> Vec<Fault> {
        let of_device = |(i, device): (usize, &DeviceConfig)| {
            let checked = self.find(device).and_then(|row| match &device.part_of {
                Some(_) => Ok(()),
                None => (row.check)(device),
            });
            let (key, rule) = match checked.err()? {
                DeviceError::Rule { field, rule, .. } => (field, rule.into_owned()),
                other @ (DeviceError::Io { .. }
                | DeviceError::Gone { .. }
                | DeviceError::Silent { .. }
                | DeviceError::Replaced { .. }) => ("driver".into(), other.to_string()),
            };
            Some(Fault::Invalid { field: format!("device[{i}].{key}"), rule })
        };
        let mut broken: Vec<_> = config.devices.iter().enumerate().filter_map(of_device).collect();
        let clash = |(i, rule)| Fault::Invalid { field: format!("device[{i}].options.card"), rule };
        broken.extend(virtual_driver::clashes(&config.devices).into_iter().map(clash));
        if !config.terminal.lab && self.any_virtual(&config.devices) {
            let far = config.accounts.iter().enumerate().filter(|(_, a)| !a.is_loopback());
            broken.extend(far.map(|(i, _)| {
                Fault::Invalid {
                field: format!("account[{i}].address"),
                rule:
                    "not on loopback although a virtual device is configured (terminal.lab = true allows it)"
                        .into(),
            }
            }));
        }
        broken
    }

    /// Names of the drivers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|r| r.driver.as_ref())
    }

    /// Tells whether the device is virtual.
    pub fn is_virtual(&self, device: &DeviceConfig) -> bool {
        self.0.iter().any(|r| r.driver == device.driver && r.is_virtual)
    }

    /// Tells whether one of them is virtual: then this is a test terminal.
    pub fn any_virtual(&self, devices: &[DeviceConfig]) -> bool {
        devices.iter().any(|d| self.is_virtual(d))
    }

    /// Tells whether chip cards run on one of the readers of this kind: a kernel of the reader's own is
    /// there, or (`kernel`) the terminal's.
    pub fn run_cards(&self, devices: &[DeviceConfig], kind: DeviceKind, kernel: bool) -> bool {
        devices.iter().filter(|device| device.kind == kind).any(|device| {
            let driver = self.0.iter().find(|row| row.driver == device.driver);
            driver.and_then(|row| row.runs_cards.as_ref()).is_some_and(|runs| runs(device, kernel))
        })
    }

    /// What these devices can, as bytes 1 and 2 of the terminal capabilities (9F33, EMV 4.4 Book 4 Annex A2):
    /// keys (80), stripe (40), contacts (20); PIN for the card in clear and enciphered (80, 10), PIN for the
    /// issuer (40), signature (20), none of them (08).
    pub fn capabilities(&self, devices: &[DeviceConfig]) -> [u8; 2] {
        let first = |kind, role| devices.iter().find(|d| d.kind == kind && d.role() == role);
        let keys = first(DeviceKind::Keypad, None).map_or(0, |_| 0x80);
        let stripe = first(DeviceKind::MagneticReader, None).map_or(0, |_| 0x40);
        let pins = first(DeviceKind::PinPad, Some(DeviceRole::Customer)).map_or(0, |pad| {
            let shows = self.0.iter().any(|row| row.driver == pad.driver && row.shows_pins);
            if shows { 0xD0 } else { 0x40 }
        });
        let paper = first(DeviceKind::Printer, Some(DeviceRole::Receipt)).map_or(0, |_| 0x20);
        // A kernel is there because a chip reader is, or a reader for taps.
        [keys | stripe | 0x20, pins | paper | 0x08]
    }

    /// Opens the unit with its driver.
    pub fn open(&self, device: &DeviceConfig, env: &Env) -> Result<Vec<Face>, DeviceError> {
        (self.find(device)?.open)(device, env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_of_the_devices() {
        let drivers = Drivers::default();
        let device = |kind, driver| DeviceConfig::new("d", kind, driver);
        let of = |devices: &[DeviceConfig]| drivers.capabilities(devices);
        assert_eq!(of(&[]), [0x20, 0x08]);
        assert_eq!(of(&[device(DeviceKind::PinPad, "virtual")]), [0x20, 0xD8]);
        assert_eq!(of(&[device(DeviceKind::PinPad, "somebody's")]), [0x20, 0x48], "it shows no card a PIN");
        assert_eq!(of(&[device(DeviceKind::Printer, "virtual")]), [0x20, 0x28]);
        assert_eq!(of(&[device(DeviceKind::Keypad, "virtual")]), [0xA0, 0x08]);
        assert_eq!(of(&[device(DeviceKind::MagneticReader, "virtual")]), [0x60, 0x08]);
    }
}
