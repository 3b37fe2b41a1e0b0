//! Errors of devices: they name the device and the rule or the operating system's error, never data.
use std::{borrow::Cow, io};

/// Error of a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The device's configuration breaks a rule; the field is named as in the file.
    #[error("device {device}: {field}: {rule}")]
    Rule { device: String, field: Cow<'static, str>, rule: Cow<'static, str> },
    #[error("device {device}: {doing}")]
    Io {
        device: String,
        /// Action that failed: "connecting", "opening /dev/ttyS0".
        doing: String,
        source: io::Error,
    },
    /// The device is not plugged in, is switched off, or closed the connection.
    #[error("device {device}: not connected")]
    Gone { device: String },
    /// The device did not answer in time.
    #[error("device {device}: no answer while {doing}")]
    Silent { device: String, doing: &'static str },
    /// A newer instance of the driver has taken the device over.
    #[error("device {device}: taken over by a newer instance of its driver")]
    Replaced { device: String },
}

impl DeviceError {
    /// Error of a driver's check of its configuration: `field` as in the file, below the device's table
    /// (`options.unit`).
    pub fn rule(
        device: &str,
        field: impl Into<Cow<'static, str>>,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Rule { device: device.into(), field: field.into(), rule: rule.into() }
    }
    pub fn io(device: &str, doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { device: device.into(), doing: doing.into(), source }
    }
}
