//! Options of a device, `[device.options]`: a driver's own keys, read into a type of its own.
use crate::DeviceError;
use payterm_schema::config::DeviceConfig;
use serde::de::{DeserializeOwned, value::MapDeserializer};
use std::cell::Cell;

/// Reads the device's options into the driver's type, best with `deny_unknown_fields`; the error names the
/// key.
pub fn options<T: DeserializeOwned>(device: &DeviceConfig) -> Result<T, DeviceError> {
    let key = Cell::new(None);
    let mut entries = device.options.iter();
    // The key that is being read when an error comes is the one that is wrong.
    let watched = std::iter::from_fn(|| {
        let entry = entries.next().map(|(name, value)| (name.as_str(), value));
        key.set(entry.map(|(name, _)| name));
        entry
    });
    T::deserialize(MapDeserializer::new(watched)).map_err(|e: serde_json::Error| {
        let field = key.get().map_or("options".into(), |name| format!("options.{name}"));
        DeviceError::rule(&device.name, field, e.to_string())
    })
}
