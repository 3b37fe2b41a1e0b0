use crate::{DeviceError, Driver, Env};
use payterm_schema::{DeviceKind, config::DeviceConfig};
pub const KINDS: &[DeviceKind] = &[
    DeviceKind::MagneticReader,
    DeviceKind::ChipReader,
    DeviceKind::ContactlessReader,
    DeviceKind::Scanner,
    DeviceKind::Keypad,
    DeviceKind::PinPad,
    DeviceKind::Display,
    DeviceKind::Printer,
];
pub fn open(d: &DeviceConfig, _: &Env) -> Result<Driver, DeviceError> {
    Err(DeviceError::rule(&d.name, "driver", "not there yet"))
}
