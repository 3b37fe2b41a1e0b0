//! Acquirer accounts: everything with a number belongs to one (STAN, batch, keys, obligations, totals,
//! sign-in).
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{fmt, sync::Arc};

/// Name of an account in the config: 1 to 32 of `a-z 0-9 - _`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Checks the form; the error text names it.
    pub fn new(name: &str) -> Result<Self, String> {
        let ok = (1..=32).contains(&name.len())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if ok { Ok(Self(name.into())) } else { Err("account: 1 to 32 characters of a-z 0-9 - _".into()) }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        AccountId::new(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

/// A card without its number: the vault's keyed hash of the PAN, 32 hex digits. Equal for equal cards of this
/// terminal, and of no use elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct CardToken(Arc<str>);

impl CardToken {
    /// Checks the form; the error text names it.
    pub fn new(text: &str) -> Result<Self, String> {
        let ok = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if ok { Ok(Self(text.into())) } else { Err("card: 32 lower-case hex digits".into()) }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl<'de> Deserialize<'de> for CardToken {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        CardToken::new(&String::deserialize(d)?).map_err(D::Error::custom)
    }
}

macro_rules! six_digits {
    ($name:ident, $what:literal) => {
        #[doc = $what]
        #[doc = " 1 to 999999; shown and sent as six digits."]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name(u32);
        impl $name {
            pub const FIRST: $name = $name(1);
            pub const LAST: $name = $name(999_999);
            /// Number of this value; none outside 1 to 999999.
            pub fn new(n: u32) -> Option<Self> {
                (1..=999_999).contains(&n).then_some(Self(n))
            }
            pub fn get(self) -> u32 {
                self.0
            }
            /// Number after this one; 999999 is followed by 1.
            pub fn next(self) -> Self {
                if self.0 == 999_999 { Self(1) } else { Self(self.0 + 1) }
            }
        }
        impl TryFrom<u32> for $name {
            type Error = String;
            fn try_from(n: u32) -> Result<Self, String> {
                Self::new(n).ok_or_else(|| format!("{}: 1 to 999999", stringify!($name)))
            }
        }
        impl From<$name> for u32 {
            fn from(n: $name) -> u32 {
                n.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:06}", self.0)
            }
        }
    };
}
six_digits!(Stan, "System trace audit number, F11 凭证号.");
six_digits!(Batch, "Settlement batch number, F60.2 批次号.");
