//! A table-driven ISO 8583:1987 engine for messages of 64 fields. The table says how each field is written on
//! the wire; a [`Message`] keeps every value decoded in one arena, so that a whole message costs one
//! allocation.
mod codec;
mod message;

pub use codec::{LeftOut, Unpacked};
pub use message::Message;

use serde::Deserialize;
use std::fmt;

/// Fields are numbered 2 to 64; bit 1 (a second bitmap) is refused.
pub const FIELDS: usize = 64;
/// Greatest message in bytes that is packed or unpacked: far above any real one, far below what an offset
/// holds.
pub const MAX_MESSAGE: usize = 8192;

/// Content of a field and, with [`Table`], how it is written. The decoded form in a [`Message`] is in
/// brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Digits (ASCII digits).
    N,
    /// Track data: digits and the separator D on the wire (ASCII digits and `=`).
    Z,
    /// Letters, digits and spaces (ASCII).
    An,
    /// Printable ASCII.
    Ans,
    /// Printable ASCII and GBK (the bytes as sent).
    Gbk,
    /// Bytes.
    B,
}

/// Side on which an odd number of BCD digits stands; the free nibble is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    #[default]
    Left,
    Right,
}

/// Length indicator of a field: none for a fixed length, else its number of decimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prefix {
    #[default]
    Fixed,
    Ll,
    Lll,
}

/// Row of the field table. `max` (the length itself for `Fixed`) counts digits for N and Z, bytes
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub class: Class,
    pub prefix: Prefix,
    pub max: u16,
    pub align: Align,
    /// Text for people: a control character in what is received counts as a space.
    pub for_people: bool,
}

/// Coding of digits: of the MTI, of length indicators, of N and Z fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digits {
    #[default]
    Bcd,
    Ascii,
}

/// Coding of the bitmap: 8 bytes, or 16 upper-case hex characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bitmap {
    #[default]
    Binary,
    Hex,
}

/// The field table of an acquirer and how its digits are coded.
#[derive(Clone, Debug)]
pub struct Table {
    pub formats: [Option<Format>; FIELDS + 1],
    pub mti: Digits,
    pub bitmap: Bitmap,
    pub lengths: Digits,
    pub numeric: Digits,
}

/// The part of a message that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Message,
    Mti,
    Bitmap,
    Field(u8),
}
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Message => f.write_str("message"),
            Part::Mti => f.write_str("MTI"),
            Part::Bitmap => f.write_str("bitmap"),
            Part::Field(n) => write!(f, "F{n}"),
        }
    }
}

/// The rule that was broken. Never holds a value: a field may be a PAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    #[error("length {found} is over the maximum of {max}")]
    TooLong { max: usize, found: usize },
    #[error("length {found}, but it is fixed at {want}")]
    WrongLength { want: usize, found: usize },
    #[error("cut off: {need} bytes needed, {have} left")]
    Truncated { need: usize, have: usize },
    #[error("{0} bytes after the last field")]
    Trailing(usize),
    #[error("a character or nibble is no digit")]
    NotDigit,
    #[error("a character or nibble is neither digit nor separator")]
    NotTrack,
    #[error("a character is no letter, digit or space")]
    NotAlnum,
    #[error("a character is not printable")]
    NotText,
    #[error("the padding nibble is not 0")]
    Padding,
    #[error("the length indicator is no decimal number")]
    LengthIndicator,
    #[error("not in the profile's field table")]
    Unknown,
    #[error("a second bitmap (bit 1) is not used")]
    SecondBitmap,
    #[error("not written in upper-case hexadecimal")]
    NotHex,
    #[error("field numbers run from 2 to 64")]
    FieldNumber,
}

/// Fault of a message and its place: `F4: a character or nibble is no digit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {rule}")]
pub struct IsoError {
    pub part: Part,
    pub rule: Rule,
}

pub(crate) fn fault<T>(part: Part, rule: Rule) -> Result<T, IsoError> {
    Err(IsoError { part, rule })
}
