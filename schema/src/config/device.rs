//! Table `[[device]]`: which devices there are, what serves each, and what each is for.
use super::Rules;
use crate::{AccountId, device::DeviceKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys of `[device.options]` as they are in the file; the driver checks them.
pub type DeviceOptions = BTreeMap<String, serde_json::Value>;

/// Device of the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Name of the device, 1 to 32 of `a-z 0-9 - _`, unique.
    pub name: String,
    /// Kind of device; the driver must serve it.
    pub kind: DeviceKind,
    /// Name of a registered driver: `virtual`, `escpos` ...
    pub driver: String,
    /// Purpose of the device, where there are several of its kind. A printer: `receipt` (default) or
    /// `kitchen`; a display or PIN pad: `customer` (default) or `cashier`. Each role at most once a kind.
    #[serde(default)]
    pub role: Option<DeviceRole>,
    /// Name of another device of the same driver: both are faces of one unit, which is opened once, with the
    /// address and the options of the other one. Default: a unit of its own.
    #[serde(default)]
    pub part_of: Option<String>,
    /// Address of the device, in the driver's own form: `tcp:127.0.0.1:9100`, `file:/dev/usb/lp0`. Default:
    /// none.
    #[serde(default)]
    pub address: Option<String>,
    /// Greatest time of one command; then the driver is abandoned and opened again. Default 30,000.
    #[serde(default = "command_ms")]
    pub command_timeout_ms: u32,
    /// Keys of the driver's own (docs/vendors.md). Default: none.
    #[serde(default)]
    pub options: DeviceOptions,
}
fn command_ms() -> u32 {
    30_000
}

/// Purpose of a device among several of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceRole {
    /// Prints slips, reports and the apps' papers.
    Receipt,
    /// Prints orders; no slip comes out of it.
    Kitchen,
    /// Faces the customer; PINs are entered at this one.
    Customer,
    /// Faces the cashier.
    Cashier,
}
impl DeviceRole {
    const fn name(self) -> &'static str {
        match self {
            Self::Receipt => "receipt",
            Self::Kitchen => "kitchen",
            Self::Customer => "customer",
            Self::Cashier => "cashier",
        }
    }
}

impl DeviceConfig {
    /// Device with the default of every other key.
    pub fn new(name: &str, kind: DeviceKind, driver: &str) -> Self {
        Self {
            name: name.into(),
            kind,
            driver: driver.into(),
            role: None,
            part_of: None,
            address: None,
            command_timeout_ms: command_ms(),
            options: DeviceOptions::new(),
        }
    }
    /// Role that is configured, or the default of its kind.
    pub fn role(&self) -> Option<DeviceRole> {
        self.role.or(self.kind.roles().first().copied())
    }
}

/// Checks the rules that hold for every driver, of one device among the others.
pub(super) fn check(devices: &[DeviceConfig], i: usize, mut rules: Rules<'_>) {
    let (d, before) = (&devices[i], &devices[..i]);
    let good = AccountId::new(&d.name).is_ok() && before.iter().all(|other| other.name != d.name);
    rules.hold(good, "name", "1 to 32 characters of a-z 0-9 - _, each once");
    rules.not_zero([("command_timeout_ms", d.command_timeout_ms)]);
    let known = d.kind.roles();
    if d.role.is_some_and(|r| !known.contains(&r)) {
        let words: Vec<&str> = known.iter().map(|r| r.name()).collect();
        let rule =
            if words.is_empty() { "devices of this kind have none".into() } else { words.join(" or ") };
        rules.hold(false, "role", &rule);
    } else if let Some(role) = d.role() {
        let free = before.iter().all(|other| other.kind != d.kind || other.role() != Some(role));
        rules.hold(free, "role", "another device of this kind has this role (without one, the default)");
    }
    let Some(unit) = &d.part_of else { return };
    let main = devices.iter().find(|other| other.name == *unit && other.part_of.is_none());
    let rule = "names no device of this driver that is a unit of its own";
    rules.hold(main.is_some_and(|m| m.driver == d.driver), "part_of", rule);
    let rule = "stands at the device that part_of names";
    rules.hold(d.address.is_none(), "address", rule);
    rules.hold(d.options.is_empty(), "options", rule);
}
