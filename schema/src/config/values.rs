//! Values of the configuration that have a form of their own, parsed once when the file is read.
use crate::secret::Pan;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// Range of card numbers by their first digits, from-to inclusive, both of the same 1 to 12 digits:
/// `620000-629999`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct BinRange {
    from: String,
    to: String,
}

impl BinRange {
    /// Range of all card numbers that begin with these digits; none for what is not 1 to 12 digits.
    pub fn of(digits: &str) -> Option<Self> {
        let good = (1..=12).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        good.then(|| Self { from: digits.into(), to: digits.into() })
    }
    /// Tells whether this card number is in the range.
    pub fn contains(&self, pan: &Pan) -> bool {
        let first = pan.reveal().get(..self.from.len());
        first.is_some_and(|p| self.from.as_str() <= p && p <= self.to.as_str())
    }
}
impl TryFrom<String> for BinRange {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl FromStr for BinRange {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = text.split_once('-').and_then(|(from, to)| Some((Self::of(from)?, Self::of(to)?)));
        let range = ends.map(|(from, to)| Self { from: from.from, to: to.to });
        range
            .filter(|r| r.from.len() == r.to.len() && r.from <= r.to)
            .ok_or("from-to, both of the same 1 to 12 digits, from not above to")
    }
}
impl From<BinRange> for String {
    fn from(range: BinRange) -> Self {
        format!("{}-{}", range.from, range.to)
    }
}
impl fmt::Debug for BinRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// Percent of an amount, 0 to 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u32", into = "u32")]
#[schemars(with = "u32")]
pub struct Percent(u16);

impl Percent {
    /// Percent of this value; none above 1000.
    pub const fn new(percent: u32) -> Option<Self> {
        if percent <= 1_000 { Some(Self(percent as u16)) } else { None }
    }
    /// Part of an amount in minor units, rounded down.
    pub fn of(self, minor: u64) -> u64 {
        minor.saturating_mul(u64::from(self.0)) / 100
    }
}
impl TryFrom<u32> for Percent {
    type Error = &'static str;
    fn try_from(percent: u32) -> Result<Self, Self::Error> {
        Self::new(percent).ok_or("0 to 1000 percent")
    }
}
impl From<Percent> for u32 {
    fn from(percent: Percent) -> Self {
        percent.0.into()
    }
}
impl From<Percent> for u64 {
    fn from(percent: Percent) -> Self {
        percent.0.into()
    }
}

/// Text of exactly `N` printable ASCII characters, none of them a space.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Printable<const N: usize>([u8; N]);

/// Merchant number, F42: 15 characters.
pub type Mid = Printable<15>;
/// Terminal number, F41: 8 characters.
pub type Tid = Printable<8>;

impl<const N: usize> JsonSchema for Printable<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("Printable{N}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": format!("Exactly {N} printable ASCII characters, none of them a space."),
            "type": "string",
            "pattern": format!("^[!-~]{{{N}}}$"),
        })
    }
}

impl<const N: usize> Printable<N> {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ASCII by its constructor")
    }
}
impl<const N: usize> TryFrom<String> for Printable<N> {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl<const N: usize> FromStr for Printable<N> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: Option<[u8; N]> = text.as_bytes().try_into().ok();
        let good = bytes.filter(|b| b.iter().all(u8::is_ascii_graphic));
        good.map(Self).ok_or_else(|| format!("{N} printable ASCII characters"))
    }
}
impl<const N: usize> From<Printable<N>> for String {
    fn from(text: Printable<N>) -> Self {
        text.as_str().to_owned()
    }
}
impl<const N: usize> fmt::Display for Printable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl<const N: usize> fmt::Debug for Printable<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl<const N: usize> PartialEq<str> for Printable<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

/// Destination in the TPDU (network international identifier), 4 hex digits; default `0003`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Nii([u8; 2]);

impl Nii {
    /// Two bytes as they are in the TPDU.
    pub const fn bytes(self) -> [u8; 2] {
        self.0
    }
}
impl Default for Nii {
    fn default() -> Self {
        Self([0x00, 0x03])
    }
}
impl TryFrom<String> for Nii {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl FromStr for Nii {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u16::from_str_radix(text, 16).ok()).flatten();
        number.map(|n| Self(n.to_be_bytes())).ok_or("4 hex digits")
    }
}
impl From<Nii> for String {
    fn from(nii: Nii) -> Self {
        format!("{:04X}", u16::from_be_bytes(nii.0))
    }
}

/// Time of day, `HH:MM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes after midnight.
    pub fn minute(self) -> i64 {
        self.0.into()
    }
}
impl TryFrom<String> for TimeOfDay {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
impl FromStr for TimeOfDay {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let two =
            |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<u16>().ok());
        let parts = text.split_once(':').and_then(|(h, m)| two(h).flatten().zip(two(m).flatten()));
        let good = parts.filter(|(h, m)| *h < 24 && *m < 60);
        good.map(|(h, m)| Self(h * 60 + m)).ok_or("a time of day HH:MM")
    }
}
impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        format!("{:02}:{:02}", time.0 / 60, time.0 % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_its_pans_and_no_other_form() {
        let range = |text: &str| text.parse::<BinRange>();
        let inside =
            |text: &str, pan: &str| range(text).is_ok_and(|r| Pan::parse(pan).is_ok_and(|p| r.contains(&p)));
        for pan in ["6225760000000000", "6225790000000000"] {
            assert!(inside("622576-622579", pan) && inside("6-6", pan), "{pan}");
        }
        for pan in ["6225750000000000", "6225800000000000", "400000000000"] {
            assert!(!inside("622576-622579", pan), "{pan}");
        }
        for bad in ["", "6", "6-", "-6", "62-6", "7-6", "6a-6b", "6-6-6", "1234567890123-1234567890123"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        assert_eq!(range("40-49").map(String::from), Ok("40-49".into()));
        assert_eq!(BinRange::of("6212").map(String::from).as_deref(), Some("6212-6212"));
    }

    #[test]
    fn a_number_of_merchant_or_terminal_has_its_length() {
        assert_eq!("TEST0001".parse::<Tid>().map(|t| t.to_string()), Ok("TEST0001".into()));
        for bad in ["", "TEST001", "TEST00011", "TEST 001", "TEST000\u{e9}", "TEST000\n"] {
            assert_eq!(bad.parse::<Tid>().err(), Some("8 printable ASCII characters".into()), "{bad}");
        }
        let json = serde_json::to_string(&"TESTMERCHANT001".parse::<Mid>().unwrap()).unwrap();
        assert_eq!(json, "\"TESTMERCHANT001\"");
        assert!(serde_json::from_str::<Tid>(&json).is_err());
    }

    #[test]
    fn percent_nii_and_time_have_their_form() {
        assert_eq!(
            Percent::new(115).map(|p| (p.of(10_000), p.of(99), u32::from(p))),
            Some((11_500, 113, 115))
        );
        assert_eq!(
            (Percent::new(1_001), Percent::new(1_000).map(|p| p.of(u64::MAX))),
            (None, Some(u64::MAX / 100))
        );
        assert_eq!("00aF".parse().map(|n: Nii| (n.bytes(), String::from(n))), Ok(([0, 0xAF], "00AF".into())));
        for bad in ["", "003", "000g", "00030", "+003"] {
            assert!(bad.parse::<Nii>().is_err(), "{bad}");
        }
        let minute = |t: &str| t.parse::<TimeOfDay>().map(|t| (t.minute(), String::from(t)));
        assert_eq!(minute("23:59"), Ok((1_439, "23:59".into())));
        for bad in ["24:00", "12:60", "1:00", "12:0", "1200", "-1:00", ""] {
            assert!(minute(bad).is_err(), "{bad}");
        }
    }
}
