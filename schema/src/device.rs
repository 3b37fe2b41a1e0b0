//! Devices as the payment flow sees them: kinds, states, and the instruments and keys that they give.
use crate::{
    config::DeviceRole,
    host::EntryMode,
    secret::{Pan, PaymentCode, Tracks},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Table of the kinds of devices. A row is
/// `Kind = "name", roles that several of it are told apart by, the default first;`.
macro_rules! device_kinds {
    ($($kind:ident = $name:literal, [$($role:ident),*];)*) => {
        /// Kind of device; the traits of their drivers are in `crates/devices`.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum DeviceKind {
            $($kind,)*
        }
        impl DeviceKind {
            pub const ALL: &'static [DeviceKind] = &[$(DeviceKind::$kind),*];

            /// Name in configuration, JSON and D-Bus.
            pub const fn name(self) -> &'static str {
                match self {
                    $(DeviceKind::$kind => $name,)*
                }
            }
            /// Roles that a kind of device knows, the default first; empty: devices of this kind need none.
            pub const fn roles(self) -> &'static [DeviceRole] {
                match self {
                    $(DeviceKind::$kind => &[$(DeviceRole::$role),*],)*
                }
            }
        }

        /// Part of the terminal that a test is about: a device by its kind, or a part of the terminal itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Part {
            $($kind,)*
            /// The journal: soundness, space, a write that reaches the disk.
            Store,
            Clock,
            /// An account's master and working keys.
            Keys,
            /// An account's line to its acquirer.
            HostLink,
        }
        impl Part {
            pub const ALL: &'static [Part] =
                &[$(Part::$kind,)* Part::Store, Part::Clock, Part::Keys, Part::HostLink];

            /// Kind of the device that it is; none: a part of the terminal itself.
            pub const fn device(self) -> Option<DeviceKind> {
                match self {
                    $(Part::$kind => Some(DeviceKind::$kind),)*
                    Part::Store | Part::Clock | Part::Keys | Part::HostLink => None,
                }
            }
        }
        impl From<DeviceKind> for Part {
            fn from(kind: DeviceKind) -> Self {
                match kind {
                    $(DeviceKind::$kind => Part::$kind,)*
                }
            }
        }
    };
}
device_kinds! {
    MagneticReader = "magnetic_reader", [];
    ChipReader = "chip_reader", [];
    ContactlessReader = "contactless_reader", [];
    Scanner = "scanner", [];
    Keypad = "keypad", [];
    PinPad = "pin_pad", [Customer, Cashier];
    Display = "display", [Customer, Cashier];
    Printer = "printer", [Receipt, Kitchen];
}

/// State of a device, as faces show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Driver is being opened.
    Opening,
    /// Ready, and nothing is asked of it.
    Idle,
    /// Carries out a command.
    Busy,
    /// Works and needs attention: paper near its end.
    Degraded,
    /// Not usable; opened again with growing waits.
    Failed,
}

/// Characters that a printer has of its own: its code page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrinterModel {
    /// Chinese, with the two-byte and four-byte characters of GB18030.
    #[default]
    Gb18030,
    /// Chinese, with the two-byte characters of GBK.
    Gbk,
    /// Western European (Windows).
    Cp1252,
    /// Western European (DOS), the first page of most printers without Chinese.
    Cp437,
    /// No character but ASCII.
    Ascii,
}
impl PrinterModel {
    /// Tells whether it has Chinese: every character outside ASCII is two columns wide then.
    pub const fn has_chinese(self) -> bool {
        matches!(self, Self::Gb18030 | Self::Gbk)
    }
}

/// Way in which a printer says that a paper is out, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// It answers for each paper (ESC/POS: the process id response, `GS ( H`).
    ProcessId,
    /// It tells its state after a paper (ESC/POS: the real-time status, `DLE EOT`), not that this one is out.
    Status,
    /// It says nothing.
    None,
}

/// Device as it is listed on D-Bus and by `paytermctl devices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Name in the config: 1 to 32 of `a-z 0-9 - _`.
    pub name: String,
    pub kind: DeviceKind,
    /// Name of its driver in the config.
    pub driver: String,
    pub state: DeviceState,
    /// Reason why it is degraded or failed, or a word on what the device is; no card data.
    pub health: String,
    /// Number of times that its driver was opened again since the daemon started.
    pub restarts: u32,
    /// Virtual device: every screen and slip of the terminal says TEST.
    pub is_virtual: bool,
    /// Way in which a printer says that a paper is out; absent: not found out yet, or no printer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirms: Option<Confirm>,
}

/// Card or payment code that a customer presented, from any reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instrument {
    Swiped(Tracks),
    /// Chip card, inserted; its number is not known yet.
    Inserted,
    /// A chip card that was let go of is still in the reader.
    LeftIn,
    /// Contactless card, held to the reader; its number is not known yet.
    Tapped,
    Scanned(PaymentCode),
    /// PAN and expiry (YYMM), typed on the terminal's keypad.
    Typed {
        pan: Pan,
        expiry: String,
    },
    /// Card or code that the reader could not read; the text names track and rule, never data.
    Unreadable {
        mode: EntryMode,
        why: String,
    },
}

impl Instrument {
    /// Entry mode in which it was presented.
    pub const fn mode(&self) -> EntryMode {
        match self {
            Instrument::Swiped(_) => EntryMode::Swipe,
            Instrument::Inserted | Instrument::LeftIn => EntryMode::Chip,
            Instrument::Tapped => EntryMode::Contactless,
            Instrument::Scanned(_) => EntryMode::Code,
            Instrument::Typed { .. } => EntryMode::Manual,
            Instrument::Unreadable { mode, .. } => *mode,
        }
    }
    /// Card number, where it is known: not that of a chip, and no payment code.
    pub fn pan(&self) -> Option<Pan> {
        match self {
            Instrument::Swiped(tracks) => tracks.track2_parts().ok().map(|(pan, ..)| pan),
            Instrument::Typed { pan, .. } => Some(pan.clone()),
            Instrument::Inserted
            | Instrument::LeftIn
            | Instrument::Tapped
            | Instrument::Scanned(_)
            | Instrument::Unreadable { .. } => None,
        }
    }
}

/// Key of the keypad, outside PIN entry and card number typing. Passwords are typed with these: no
/// `Serialize`, and the debug text does not tell the digit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Confirm,
    Cancel,
    /// Takes back what was typed in the field that is shown; never refuses, agrees or ends anything.
    Clear,
    /// Digit key '0' to '9', as ASCII.
    Digit(u8),
}
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Key::Confirm => "Confirm",
            Key::Cancel => "Cancel",
            Key::Clear => "Clear",
            Key::Digit(_) => "Digit",
        })
    }
}
