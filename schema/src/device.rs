//! Devices as the flow sees them.
use crate::{
    host::EntryMode,
    secret::{Pan, PaymentCode, Tracks},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    MagneticReader,
    ChipReader,
    ContactlessReader,
    Scanner,
    Keypad,
    PinPad,
    Display,
    Printer,
}
impl DeviceKind {
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::MagneticReader => "magnetic_reader",
            DeviceKind::ChipReader => "chip_reader",
            DeviceKind::ContactlessReader => "contactless_reader",
            DeviceKind::Scanner => "scanner",
            DeviceKind::Keypad => "keypad",
            DeviceKind::PinPad => "pin_pad",
            DeviceKind::Display => "display",
            DeviceKind::Printer => "printer",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Being opened.
    Opening,
    Idle,
    Busy,
    /// Works but needs attention (paper near its end).
    Degraded,
    /// Not usable; reopened with backoff.
    Failed,
}

/// A device as listed on D-Bus and in `paytermctl devices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Name in the config: 1 to 32 of `a-z 0-9 - _`.
    pub name: String,
    pub kind: DeviceKind,
    pub driver: String,
    pub state: DeviceState,
    /// Why it is degraded or failed, or what it is; no card data.
    pub health: String,
    /// How often it was restarted since the daemon started.
    pub restarts: u32,
    /// A virtual device: every screen and slip says TEST.
    pub is_virtual: bool,
}

/// Card or code that a customer presented, from any reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instrument {
    Swiped(Tracks),
    /// A chip card was inserted.
    Inserted,
    /// A contactless card was presented.
    Tapped,
    Scanned(PaymentCode),
    /// PAN and expiry (YYMM) typed on the terminal's keypad.
    Typed {
        pan: Pan,
        expiry: String,
    },
    /// The reader saw something that it could not read; the text names track and rule, never data.
    Unreadable {
        mode: EntryMode,
        why: String,
    },
}

impl Instrument {
    /// EntryMode in which it came in.
    pub const fn mode(&self) -> EntryMode {
        match self {
            Instrument::Swiped(_) => EntryMode::Swipe,
            Instrument::Inserted => EntryMode::Chip,
            Instrument::Tapped => EntryMode::Contactless,
            Instrument::Scanned(_) => EntryMode::Code,
            Instrument::Typed { .. } => EntryMode::Manual,
            Instrument::Unreadable { mode, .. } => *mode,
        }
    }
    /// The card's number, where it can be read.
    pub fn pan(&self) -> Option<Pan> {
        match self {
            Instrument::Swiped(tracks) => tracks.track2_parts().ok().map(|(pan, ..)| pan),
            Instrument::Typed { pan, .. } => Some(pan.clone()),
            Instrument::Inserted
            | Instrument::Tapped
            | Instrument::Scanned(_)
            | Instrument::Unreadable { .. } => None,
        }
    }
}

/// A key of the terminal's keypad outside PIN entry and PAN typing. Passwords are typed with these: no
/// `Serialize`, and the debug text does not tell the digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Confirm,
    Cancel,
    /// Digit key '0' to '9', as ASCII.
    Digit(u8),
}
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Key::Confirm => "Confirm",
            Key::Cancel => "Cancel",
            Key::Digit(_) => "Digit",
        })
    }
}
