//! Sums of the configuration, with their currency.
use crate::money::{Currency, Money};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt, str::FromStr};

const SUM: &str = "a sum with its currency such as \"300.00 CNY\"";

/// Sum with its currency, as a person writes it: `300.00 CNY`. A bare number is refused: it would be another
/// sum in each currency.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sum(Money);

impl Sum {
    pub fn money(self) -> Money {
        self.0
    }
    /// Minor units.
    pub fn minor(self) -> u64 {
        self.0.minor()
    }
    pub fn currency(self) -> Currency {
        self.0.currency
    }
}
impl From<Money> for Sum {
    fn from(money: Money) -> Self {
        Self(money)
    }
}
impl FromStr for Sum {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (amount, currency) = text.split_once(' ').ok_or(SUM)?;
        let money = currency.parse().and_then(|currency| Money::parse(amount, currency));
        money.map(Self).map_err(|e| e.to_string())
    }
}
impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(SumText)
    }
}
impl JsonSchema for Sum {
    fn schema_name() -> Cow<'static, str> {
        "Sum".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Sum with its currency: `300.00 CNY`.",
            "type": "string",
            "pattern": PATTERN,
        })
    }
}
const PATTERN: &str = r"^[0-9]+(\.[0-9]+)? [A-Z]{3}$";

struct SumText;
impl Visitor<'_> for SumText {
    type Value = Sum;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SUM)
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Sum, E> {
        text.parse().map_err(E::custom)
    }
}

/// Limits: one sum, or a list with one for each currency: `["300.00 CNY", "5000 JPY"]`. In a currency that is
/// not named the limit is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(Vec<Sum>);

impl Limits {
    /// Limit in this currency, minor units.
    pub fn of(&self, currency: Currency) -> u64 {
        self.0.iter().find(|s| s.currency() == currency).map_or(0, |s| s.minor())
    }
    fn new(sums: Vec<Sum>) -> Result<Self, String> {
        let again = (1..sums.len()).find(|i| sums[..*i].iter().any(|s| s.currency() == sums[*i].currency()));
        again.map_or(Ok(()), |i| Err(format!("{} twice", sums[i].currency())))?;
        Ok(Self(sums))
    }
}
impl From<Money> for Limits {
    fn from(money: Money) -> Self {
        Self(vec![money.into()])
    }
}
impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(s),
            many => many.serialize(s),
        }
    }
}
impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(SumTexts)
    }
}
impl JsonSchema for Limits {
    fn schema_name() -> Cow<'static, str> {
        "Limits".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Sum with its currency, `300.00 CNY`, or a list with one for each currency; in \
                one that is not named the limit is zero.",
            "type": ["string", "array"],
            "pattern": PATTERN,
            "items": { "type": "string", "pattern": PATTERN },
        })
    }
}

struct SumTexts;
impl<'de> Visitor<'de> for SumTexts {
    type Value = Limits;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SUM}, or a list of such")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Limits, E> {
        SumText.visit_str(text).map(|sum| Limits(vec![sum]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Limits, A::Error> {
        let mut sums = Vec::new();
        while let Some(sum) = seq.next_element()? {
            sums.push(sum);
        }
        Limits::new(sums).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(json: &str) -> Result<Limits, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_sum_counts_in_its_own_currency() {
        let currency = |c: &str| c.parse::<Currency>().unwrap();
        let many = limits(r#"["300.00 CNY", "30000 JPY", "30 KWD"]"#).unwrap();
        let of = |l: &Limits, c| l.of(currency(c));
        assert_eq!((of(&many, "CNY"), of(&many, "JPY"), of(&many, "KWD")), (30_000, 30_000, 30_000));
        let one = limits(r#""300.00 CNY""#).unwrap();
        assert_eq!((of(&one, "CNY"), of(&one, "JPY")), (30_000, 0), "what is not named is nothing");
        assert_eq!(of(&limits("[]").unwrap(), "CNY"), 0);
        for (l, json) in [(&one, r#""300.00 CNY""#), (&many, r#"["300.00 CNY","30000 JPY","30.000 KWD"]"#)] {
            assert_eq!(serde_json::to_string(l).unwrap(), json);
        }
    }

    #[test]
    fn what_is_no_sum_is_refused_with_the_spelling() {
        for bad in ["30000", "300.5", "\"30000\"", "[30000]", "[\"300.00 CNY\", 5]", "\"CNY\"", "true"] {
            let told = limits(bad).unwrap_err();
            assert!(told.contains("a sum with its currency such as \"300.00 CNY\""), "{bad}: {told}");
        }
        for (bad, part) in [
            ("\"300.001 CNY\"", "has more than the 2 decimals of CNY"),
            ("\"1.5 JPY\"", "has more than the 0 decimals of JPY"),
            ("\"300.00 XAU\"", "is no ISO 4217 code"),
            ("\"-1.00 CNY\"", "is not a decimal number"),
            ("\"300,00 CNY\"", "is not a decimal number"),
            ("\"300.00  CNY\"", "is no ISO 4217 code"),
            ("[\"1.00 CNY\", \"2.00 CNY\"]", "CNY twice"),
        ] {
            let told = limits(bad).unwrap_err();
            assert!(told.contains(part), "{bad}: {told}");
        }
        let one = serde_json::from_str::<Sum>("30000").unwrap_err().to_string();
        assert!(one.contains("a sum with its currency such as \"300.00 CNY\""), "{one}");
    }
}
