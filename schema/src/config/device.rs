//! Table `[[device]]`: which devices there are, what serves each, and what each is for.
use crate::{AccountId, Fault, device::DeviceKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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

/// Checks the rules that hold for every driver.
pub(super) fn check(devices: &[DeviceConfig]) -> Result<(), Fault> {
    let bad = |i: usize, key: &str, rule: &str| {
        Err(Fault::Invalid { field: format!("device[{i}].{key}"), rule: rule.into() })
    };
    let (mut names, mut roles) = (BTreeSet::new(), BTreeSet::new());
    for (i, d) in devices.iter().enumerate() {
        if AccountId::new(&d.name).is_err() || !names.insert(&d.name) {
            return bad(i, "name", "1 to 32 characters of a-z 0-9 - _, each once");
        }
        if d.command_timeout_ms == 0 {
            return bad(i, "command_timeout_ms", "more than zero");
        }
        let known = d.kind.roles();
        if d.role.is_some_and(|r| !known.contains(&r)) {
            let words: Vec<&str> = known.iter().map(|r| r.name()).collect();
            let rule =
                if words.is_empty() { "devices of this kind have none".into() } else { words.join(" or ") };
            return bad(i, "role", &rule);
        }
        if let Some(role) = d.role()
            && !roles.insert((d.kind, role))
        {
            return bad(i, "role", "another device of this kind has this role (without one, the default)");
        }
        let Some(unit) = &d.part_of else { continue };
        let main = devices.iter().find(|other| other.name == *unit && other.part_of.is_none());
        if main.is_none_or(|m| m.driver != d.driver) {
            return bad(i, "part_of", "names no device of this driver that is a unit of its own");
        }
        if d.address.is_some() || !d.options.is_empty() {
            let key = if d.address.is_some() { "address" } else { "options" };
            return bad(i, key, "stands at the device that part_of names");
        }
    }
    Ok(())
}
