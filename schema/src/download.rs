//! Downloads of what the card kernel works with: the acquirer's CA keys and applications (host-protocol §3,
//! messages 370 to 382).
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// List of the acquirer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmvList {
    /// Public keys of certification authorities.
    Keys,
    /// Applications (AIDs) with their limits: the IC parameters.
    Aids,
}

/// Name of an entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmvName {
    /// Key, by its application provider (9F06) and index (9F22).
    Key {
        #[serde(with = "digits")]
        #[schemars(with = "String")]
        rid: [u8; 5],
        index: u8,
    },
    /// Application, by its AID (9F06), 5 to 16 bytes.
    Aid {
        #[serde(with = "digits")]
        #[schemars(with = "String")]
        aid: Vec<u8>,
    },
}
impl EmvName {
    pub fn list(&self) -> EmvList {
        match self {
            EmvName::Key { .. } => EmvList::Keys,
            EmvName::Aid { .. } => EmvList::Aids,
        }
    }
}

/// Message of a download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmvAsk {
    /// The next part of a list (372, 382), behind the entries that were received: at most
    /// [`EmvAsk::LIST_MAX`].
    List { of: EmvList, received: u8 },
    /// One entry (370, 380).
    Entry { name: EmvName },
    /// The end of the download (371, 381).
    End { of: EmvList },
}
impl EmvAsk {
    /// Greatest number of entries in a list: their count has two digits.
    pub const LIST_MAX: u8 = 99;
}

/// Answer to a list or an entry that was asked for; the end's answer is its response code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmvAnswer {
    /// Part of a list; `more`: it goes on.
    Page {
        more: bool,
        rows: Vec<EmvRow>,
    },
    Key(EmvKey),
    Aid(EmvAid),
    /// The host has no such entry.
    NoEntry,
}
impl EmvAnswer {
    /// Name of the entry that it holds.
    pub fn name(&self) -> Option<EmvName> {
        match self {
            EmvAnswer::Page { .. } | EmvAnswer::NoEntry => None,
            EmvAnswer::Key(key) => Some(key.name()),
            EmvAnswer::Aid(aid) => Some(aid.name()),
        }
    }
}

/// Row of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmvRow {
    pub name: EmvName,
    /// Last day of a key (DF05), YYYYMMDD, where the list has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<String>,
}

/// Public key of a certification authority, its checksum recomputed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmvKey {
    /// 9F06.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub rid: [u8; 5],
    /// 9F22.
    pub index: u8,
    /// Last day (DF05), YYYYMMDD.
    pub expiry: String,
    /// DF02, 64 to 248 bytes.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub modulus: Vec<u8>,
    /// DF04: 03 or 010001.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub exponent: Vec<u8>,
    /// DF03: SHA-1 over RID, index, modulus and exponent.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub checksum: [u8; 20],
}
impl EmvKey {
    pub fn name(&self) -> EmvName {
        EmvName::Key { rid: self.rid, index: self.index }
    }
}

/// Application with its limits, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmvAid {
    /// 9F06.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub aid: Vec<u8>,
    /// Names of a card that only begin with it fit too (DF01).
    pub partial: bool,
    /// Version (9F08 or 9F09).
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub version: [u8; 2],
    /// Terminal action codes: default DF11, online DF12, denial DF13.
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub default: [u8; 5],
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub online: [u8; 5],
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub denial: [u8; 5],
    /// Floor limit (9F1B).
    pub floor: u32,
    /// Random selection: threshold (DF15), greatest and target percentage (DF16, DF17).
    pub threshold: u32,
    pub most: u8,
    pub target: u8,
    /// Default DDOL (DF14).
    #[serde(with = "digits")]
    #[schemars(with = "String")]
    pub ddol: Vec<u8>,
    /// A PIN that the issuer checks is possible (DF18).
    pub online_pin: bool,
    /// Limit of one payment by electronic cash (9F7B).
    pub cash_limit: Option<u64>,
    /// Floor limit (DF19), limit (DF20) and limit without PIN and signature (DF21) of a tap.
    pub tap_floor: Option<u64>,
    pub tap_limit: Option<u64>,
    pub tap_no_cvm: Option<u64>,
}
impl EmvAid {
    pub fn name(&self) -> EmvName {
        EmvName::Aid { aid: self.aid.clone() }
    }
}

/// All that an account's host has given to the card kernel. What was never downloaded stays that of the
/// terminal's own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmvParameters {
    /// Rises with each download.
    pub version: u64,
    /// SHA-256 of both lists in JSON, hex digits.
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<EmvKey>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aids: Option<Vec<EmvAid>>,
}
impl EmvParameters {
    /// Next version behind `before`: lists that were not downloaded stay.
    pub fn behind(before: Option<&Self>, keys: Option<Vec<EmvKey>>, aids: Option<Vec<EmvAid>>) -> Self {
        let keys = keys.or_else(|| before?.keys.clone());
        let aids = aids.or_else(|| before?.aids.clone());
        let sha256 = Self::hash(keys.as_deref(), aids.as_deref());
        Self { version: before.map_or(0, |b| b.version) + 1, sha256, keys, aids }
    }
    fn hash(keys: Option<&[EmvKey]>, aids: Option<&[EmvAid]>) -> String {
        let json = serde_json::to_vec(&(keys, aids));
        let Ok(json) = json else { unreachable!("digits and numbers are JSON") };
        hex::encode(Sha256::digest(json))
    }
    /// Tells whether the hash is that of the lists.
    pub fn holds(&self) -> bool {
        self.sha256 == Self::hash(self.keys.as_deref(), self.aids.as_deref())
    }
}

/// Bytes as hex digits.
mod digits {
    use hex::FromHex;
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::{borrow::Cow, fmt::Display};

    pub fn serialize<S: Serializer>(bytes: impl AsRef<[u8]>, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode_upper(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>, T: FromHex<Error: Display>>(d: D) -> Result<T, D::Error> {
        T::from_hex(Cow::<str>::deserialize(d)?.as_bytes()).map_err(de::Error::custom)
    }
}
