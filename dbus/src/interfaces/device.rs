//! A device.
use crate::row::{Interface, properties};
use payterm_schema::Device;

pub(crate) const NAME: &str = "org.payterm.Terminal1.Device";

pub(crate) const INTERFACE: Interface =
    Interface { name: NAME, methods: &[], properties: PROPERTIES, signals: &[] };

/// The JSON name of a schema enum.
fn word<T: serde::Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).ok();
    json.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

properties! { of Device;
    /// Its name in the configuration.
    Name: "s", CONSTANT = |d| d.name.clone();
    /// What it is, as printer or pin_pad.
    Kind: "s", CONSTANT = |d| d.kind.name();
    /// The driver that is configured for it.
    Driver: "s", CONSTANT = |d| d.driver.clone();
    /// opening, idle, busy, degraded or failed.
    State: "s", CHANGES = |d| word(&d.state);
    /// What is wrong with it, in words; empty when nothing is.
    Health: "s", CHANGES = |d| d.health.clone();
    /// Times that it was opened again.
    Restarts: "u", CHANGES = |d| d.restarts;
    /// True for a simulated one.
    Virtual: "b", CONSTANT = |d| d.is_virtual;
    /// Way in which a printer says that a paper is out: process_id, status or none; empty: not found out yet.
    Confirms: "s", CHANGES = |d| d.confirms.as_ref().map(word).unwrap_or_default();
}
