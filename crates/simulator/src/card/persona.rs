//! Personas: what the test cards are, as data (`cards/personas.toml`).
use super::crypt::Derivation;
use payterm_primitives::DesKey;
use serde::Deserialize;

/// The personas that are built in.
pub const PERSONAS: &str = include_str!("../../cards/personas.toml");

#[derive(Debug, thiserror::Error)]
pub enum PersonaError {
    #[error("personas: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("persona {name}: {rule}")]
    Invalid { name: String, rule: &'static str },
    #[error("there is no persona {0}")]
    Unknown(String),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Personas {
    pub issuer: Issuer,
    #[serde(rename = "persona")]
    pub all: Vec<Persona>,
}

/// An issuer's master keys.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Of cryptograms.
    pub ac: MasterKey,
    /// Of scripts' MACs.
    pub mac: MasterKey,
}

/// A two-key triple DES key, 32 hex digits in the file.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct MasterKey(pub DesKey);
impl TryFrom<String> for MasterKey {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let rule = "a master key is 32 hex digits";
        let bytes = hex::decode(text).map_err(|_| rule)?;
        if bytes.len() != 16 {
            return Err(rule);
        }
        DesKey::new(&bytes).map(Self).map_err(|_| rule)
    }
}

/// Bytes, hex digits in the file.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex(pub Vec<u8>);
impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        hex::decode(text).map(Self)
    }
}

/// One card.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persona {
    pub name: String,
    pub derivation: Derivation,
    /// 4 to 12 digits.
    pub pin: String,
    /// Wrong PINs that are left at first.
    #[serde(default = "three")]
    pub tries: u8,
    /// Name of its RSA key in `cards/rsa-keys.txt`.
    pub key: String,
    /// It has a key of its own for PINs.
    #[serde(default)]
    pub pin_key: bool,
    /// It has a directory (PSE).
    #[serde(default = "yes")]
    pub pse: bool,
    #[serde(default)]
    pub certificate: Certificate,
    #[serde(rename = "application")]
    pub applications: Vec<ApplicationRow>,
}
fn three() -> u8 {
    3
}
fn two() -> u8 {
    2
}
fn nobody() -> String {
    "TEST/CARD".into()
}
fn zeros() -> String {
    "00000000".into()
}
fn yes() -> bool {
    true
}

/// What is wrong with its certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    #[default]
    Good,
    /// Its own ended the month before.
    Expired,
    /// Its issuer's is signed with another CA's key.
    WrongCa,
}

/// One application of a card.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationRow {
    pub aid: Hex,
    pub label: String,
    /// 1 to 15, 1 first.
    pub priority: u8,
    pub pan: String,
    pub psn: u8,
    /// Cardholder's name (5F20), 2 to 26 characters of ASCII.
    #[serde(default = "nobody")]
    pub holder: String,
    /// Languages that it prefers (5F2D), one to four of two small letters; empty: it names none.
    #[serde(default)]
    pub languages: String,
    /// Issuer's digits at the end of track 2 (57), 8 of them.
    #[serde(default = "zeros")]
    pub discretionary: String,
    pub authentication: Authentication,
    pub issuer_authentication: IssuerAuthentication,
    /// 8E.
    pub cvm: Hex,
    /// 9F38; empty: none.
    #[serde(default)]
    pub pdol: Hex,
    /// File of the record that is authenticated offline: 2, or 5 to 30.
    #[serde(default = "two")]
    pub signed_file: u8,
    /// Greatest amount that it approves by itself, in minor units. 0: none.
    #[serde(default)]
    pub offline_limit: u64,
    /// Payments in a row that it approves by itself.
    #[serde(default)]
    pub offline_count: u16,
    #[serde(default)]
    pub refuses_after_approval: bool,
    #[serde(default)]
    pub blocked: bool,
    /// None: it cannot be tapped.
    pub tap: Option<TapRow>,
}

/// An application when it is tapped.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TapRow {
    /// 9F38.
    pub pdol: Hex,
    pub cvm: TapCvm,
    /// It has no records where the issuer is asked: number and expiry come with the cryptogram.
    #[serde(default)]
    pub bare: bool,
}

/// How a card wants its holder verified, where a tap needs that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapCvm {
    OnlinePin,
    Signature,
    /// A phone has done it, whether a tap needs it or not.
    Device,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    Sda,
    Dda,
    /// And DDA.
    Cda,
}

/// How it takes the issuer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerAuthentication {
    None,
    /// By EXTERNAL AUTHENTICATE.
    External,
    /// In the data of the second GENERATE AC.
    Cdol2,
}

impl Personas {
    pub fn parse(text: &str) -> Result<Self, PersonaError> {
        let personas: Self = toml::from_str(text)?;
        for persona in &personas.all {
            persona.check().map_err(|rule| PersonaError::Invalid { name: persona.name.clone(), rule })?;
        }
        Ok(personas)
    }
    pub fn named(&self, name: &str) -> Result<&Persona, PersonaError> {
        let found = self.all.iter().find(|p| p.name == name);
        found.ok_or_else(|| PersonaError::Unknown(name.to_owned()))
    }
}

impl Persona {
    fn check(&self) -> Result<(), &'static str> {
        let digits = |text: &str, len: std::ops::RangeInclusive<usize>| {
            len.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(&self.pin, 4..=12) {
            return Err("its PIN does not have 4 to 12 digits");
        }
        if self.tries > 15 {
            return Err("it has more than 15 tries");
        }
        if !(1..=8).contains(&self.applications.len()) {
            return Err("it does not have 1 to 8 applications");
        }
        for row in &self.applications {
            if !digits(&row.pan, 12..=19) {
                return Err("a number does not have 12 to 19 digits");
            }
            if !(5..=16).contains(&row.aid.0.len()) {
                return Err("an AID does not have 5 to 16 bytes");
            }
            if !(1..=16).contains(&row.label.len()) || !row.label.is_ascii() {
                return Err("a label does not have 1 to 16 characters of ASCII");
            }
            if !(1..=15).contains(&row.priority) || row.psn > 99 {
                return Err("a priority is 1 to 15, a sequence number at most 99");
            }
            if !(10..=60).contains(&row.cvm.0.len()) || row.cvm.0.len() % 2 != 0 {
                return Err("a CVM list has 10 to 60 bytes, two a rule");
            }
            if !digits(&row.discretionary, 8..=8) {
                return Err("what the issuer adds to track 2 does not have 8 digits");
            }
            if !(2..=26).contains(&row.holder.len()) || !row.holder.is_ascii() {
                return Err("a holder does not have 2 to 26 characters of ASCII");
            }
            let two = |letters: &[u8]| letters.len() == 2 && letters.iter().all(u8::is_ascii_lowercase);
            if row.languages.len() > 8 || !row.languages.as_bytes().chunks(2).all(two) {
                return Err("languages are one to four, of two small letters");
            }
            if !matches!(row.signed_file, 2 | 5..=30) {
                return Err("a signed file is 2, or 5 to 30");
            }
            if row.pdol.0.len() > 60 || payterm_emv::dol::entries(&row.pdol.0).is_err() {
                return Err("a PDOL is none");
            }
            let tap = row.tap.as_ref().map(|tap| &tap.pdol.0);
            if tap.is_some_and(|list| list.len() > 60 || payterm_emv::dol::entries(list).is_err()) {
                return Err("a PDOL for taps is none");
            }
        }
        Ok(())
    }
}
