//! Money: integers in the minor unit of an ISO 4217 currency.
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Greatest amount of a message, in minor units: F4 has 12 digits.
pub const MAX_MINOR: u64 = 999_999_999_999;

/// Currency of ISO 4217 that has a minor unit; funds codes and metals have none and are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// Error in an amount or currency; the text begins with the field's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("currency: '{0}' is no ISO 4217 code with a minor unit")]
    Currency(String),
    #[error("amount: '{0}' is not a decimal number such as 12.34")]
    Syntax(String),
    #[error("amount: '{text}' has more than the {digits} decimals of {currency}")]
    Decimals { text: String, digits: u16, currency: Currency },
    #[error("amount: '{0}' is more than 12 digits in minor units (F4)")]
    TooLarge(String),
}

impl Currency {
    pub const CNY: Currency = Currency(iso_currency::Currency::CNY);

    /// Currency of an ISO 4217 numeric code, as F49 carries it.
    pub fn from_numeric(n: u16) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_numeric(n)
            .filter(|c| c.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::Currency(format!("{n:03}")))
    }
    /// Alphabetic code: `CNY`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
    /// Numeric code: 156.
    pub fn numeric(self) -> u16 {
        self.0.numeric()
    }
    /// Number of decimals (CNY 2, JPY 0, KWD 3).
    pub fn digits(self) -> u16 {
        self.0.exponent().unwrap_or(0)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(s)
            .filter(|c| c.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::Currency(s.chars().take(12).collect()))
    }
}
impl PartialOrd for Currency {
    fn partial_cmp(&self, o: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Currency {
    fn cmp(&self, o: &Self) -> std::cmp::Ordering {
        self.code().cmp(o.code())
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
impl JsonSchema for Currency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            "description": "ISO 4217 alphabetic code, e.g. CNY"
        })
    }
}

/// Amount of money, in the minor unit of its currency (1234 CNY = 12.34 yuan), at most [`MAX_MINOR`].
/// Serialised as `{"amount":"12.34","currency":"CNY"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: u64,
    pub currency: Currency,
}

impl Money {
    /// Amount of so many minor units; `TooLarge` above [`MAX_MINOR`].
    pub fn new(minor: u64, currency: Currency) -> Result<Self, MoneyError> {
        if minor > MAX_MINOR {
            return Err(MoneyError::TooLarge(minor.to_string()));
        }
        Ok(Self { minor, currency })
    }
    /// Minor units.
    pub fn minor(self) -> u64 {
        self.minor
    }
    /// Parses a decimal text without sign, grouping or exponent: `12`, `12.3`, `12.34`.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let shown = || text.chars().take(24).collect::<String>();
        let (whole, frac) = text.split_once('.').unwrap_or((text, ""));
        let dot = text.contains('.');
        if whole.is_empty()
            || (dot && frac.is_empty())
            || !(whole.bytes().chain(frac.bytes())).all(|b| b.is_ascii_digit())
        {
            return Err(MoneyError::Syntax(shown()));
        }
        let digits = currency.digits();
        if frac.len() > usize::from(digits) {
            return Err(MoneyError::Decimals { text: shown(), digits, currency });
        }
        if whole.trim_start_matches('0').len() > 12 {
            return Err(MoneyError::TooLarge(shown()));
        }
        let all = format!("{whole}{frac:0<width$}", width = usize::from(digits));
        let minor = all
            .trim_start_matches('0')
            .parse::<u64>()
            .or_else(|e| if all.bytes().all(|b| b == b'0') { Ok(0) } else { Err(e) });
        Self::new(minor.map_err(|_| MoneyError::TooLarge(shown()))?, currency)
            .map_err(|_| MoneyError::TooLarge(shown()))
    }
    /// Decimal text without the currency: `12.34`.
    pub fn value(self) -> String {
        decimal(self.minor, self.currency)
    }
}

/// Decimal text of an amount in minor units, without the currency: `12.34`.
pub fn decimal(minor: u64, currency: Currency) -> String {
    let d = usize::from(currency.digits());
    if d == 0 {
        return minor.to_string();
    }
    let s = format!("{minor:0>width$}", width = d + 1);
    let (whole, frac) = s.split_at(s.len() - d);
    format!("{whole}.{frac}")
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value(), self.currency)
    }
}
impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MoneyWire {
    amount: String,
    currency: Currency,
}
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        MoneyWire { amount: self.value(), currency: self.currency }.serialize(s)
    }
}
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let w = MoneyWire::deserialize(d)?;
        Money::parse(&w.amount, w.currency).map_err(D::Error::custom)
    }
}
impl JsonSchema for Money {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(g: &mut schemars::SchemaGenerator) -> schemars::Schema {
        MoneyWire::json_schema(g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_currency_has_its_own_decimals() {
        let m = |t: &str, c: &str| c.parse().and_then(|c| Money::parse(t, c)).map(Money::minor);
        assert_eq!(m("12.34", "CNY"), Ok(1234));
        assert_eq!(m("12.3", "CNY"), Ok(1230));
        assert_eq!(m("1234", "JPY"), Ok(1234));
        assert_eq!(m("0.001", "KWD"), Ok(1));
        assert_eq!(m("0", "CNY"), Ok(0));
        assert!(matches!(m("12.345", "CNY"), Err(MoneyError::Decimals { .. })));
        assert!(matches!(m("1.5", "JPY"), Err(MoneyError::Decimals { .. })));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,000", " 1", "１"] {
            assert!(matches!(m(bad, "CNY"), Err(MoneyError::Syntax(_))), "{bad}");
        }
        assert!(matches!(m("10000000000.00", "CNY"), Err(MoneyError::TooLarge(_))));
        assert!(matches!(m("1", "XAU"), Err(MoneyError::Currency(_))));
        assert!(matches!(m("1", "ABC"), Err(MoneyError::Currency(_))));
    }

    proptest! {
        #[test]
        fn text_and_minor_units_agree(
            minor in 0..=MAX_MINOR,
            c in prop::sample::select(vec!["CNY", "JPY", "KWD", "USD"]),
        ) {
            let m = Money::new(minor, c.parse().unwrap_or(Currency::CNY)).ok();
            let back = m.map(|m| Money::parse(&m.value(), m.currency));
            prop_assert_eq!(back, m.map(Ok));
        }
    }
}
