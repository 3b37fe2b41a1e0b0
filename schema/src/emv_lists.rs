//! The lists that the card kernel works with: applications and CA keys, each with where it came from.
use crate::{AccountId, config::ExpiredKeys};
use serde::{Deserialize, Serialize};

/// Lists in force: those of the file, and what hosts gave since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmvLists {
    /// The file, then the downloads; an entry of a later one replaces the one of its name.
    pub sources: Vec<EmvSource>,
    /// Why the last download is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused: Option<String>,
    /// What becomes of keys behind their last day.
    pub expired_keys: ExpiredKeys,
    pub aids: Vec<ListedAid>,
    pub keys: Vec<ListedKey>,
    /// Issuers' certificates that the file revokes.
    pub revoked: Vec<RevokedCertificate>,
}

/// Where entries came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmvSource {
    pub origin: Origin,
    pub version: u64,
    /// SHA-256, hex digits: of the file's bytes when it was read, of a download's both lists.
    pub sha256: String,
}

/// Origin of a list or an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `emv.parameters`, by its path.
    File(String),
    /// Download from the account's host.
    Host(AccountId),
}
impl Origin {
    /// Path, or id of the account.
    pub fn name(&self) -> &str {
        match self {
            Origin::File(path) => path,
            Origin::Host(account) => account.as_str(),
        }
    }
}

/// Application with its limits; sums in minor units, bytes as hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedAid {
    pub aid: String,
    /// Names of a card that only begin with it fit too.
    pub partial: bool,
    /// 9F09.
    pub version: String,
    /// Floor limit (9F1B).
    pub floor: u32,
    /// Random selection: sums below the threshold by `target_percent`, rising to `most_percent` at the floor.
    pub threshold: u32,
    pub target_percent: u8,
    pub most_percent: u8,
    /// Terminal action codes.
    pub denial: String,
    pub online: String,
    pub default: String,
    /// The issuer can check a PIN.
    pub online_pin: bool,
    /// Limits of taps; none: it is not for taps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<ListedTap>,
    pub origin: Origin,
    /// Origins whose entry of this name is not used.
    pub replaced: Vec<Origin>,
}

/// Limits of a tap, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTap {
    pub floor: u64,
    /// From there on nothing is paid by a tap.
    pub limit: u64,
    /// From there on the holder is verified.
    pub no_cvm: u64,
}

/// Public key of a certification authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedKey {
    /// Application provider, hex digits.
    pub rid: String,
    /// Two hex digits.
    pub index: String,
    /// Bits of the modulus.
    pub bits: u32,
    /// SHA-1 over RID, index, modulus and exponent, hex digits, as schemes publish it.
    pub checksum: String,
    /// YYYYMMDD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_day: Option<String>,
    pub validity: Validity,
    pub origin: Origin,
    /// Origins whose key of this name is not used.
    pub replaced: Vec<Origin>,
}

/// How a CA key stands to its last day, in the terminal's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// It has no last day.
    Endless,
    Good,
    /// The last day is at most 30 days away.
    Ends,
    /// The last day is over.
    Ended,
}

/// Issuer's certificate that is believed no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedCertificate {
    pub rid: String,
    /// Index of the CA key, two hex digits.
    pub index: String,
    /// Serial number, hex digits.
    pub serial: String,
}
