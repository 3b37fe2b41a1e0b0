//! An acquirer's profile: everything in which acquirers differ, as data. Loaded from TOML and validated; no
//! value of any acquirer stands in Rust.
mod file;
mod list;
mod rows;

pub use rows::{
    EmvForm, Expiry, Frame, KeepAlive, Keys, LengthPrefix, MacForm, MacRule, MakLength, Mask, ReplyRow, Slice,
};
pub(crate) use rows::{IcCondition, MessageRow, Reversal, ScriptResult, Show, Slot};

use crate::emv_download;
use crate::iso8583::Table;
use crate::mti::first_mti;
use crate::settlement::Upload;
use crate::template::Template;
use file::File;
use payterm_schema::download::EmvAsk;
use payterm_schema::host::{EntryMode, HostRules};
use payterm_schema::kind::Kind;
use rows::{Entry, Security};
use std::collections::BTreeMap;

/// Fault of a profile file: `profile: message.sale.fields: F7 is not in [fields]`.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("profile: there is no built-in profile '{0}' (unionpay, demo-x919, private-label)")]
    Unknown(String),
    #[error("profile: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("profile: {key}: {rule}")]
    Rule { key: String, rule: String },
}
fn bad<T>(key: impl Into<String>, rule: impl Into<String>) -> Result<T, ProfileError> {
    Err(ProfileError::Rule { key: key.into(), rule: rule.into() })
}

const BUILTIN: [(&str, &str); 3] = [
    ("unionpay", include_str!("../profiles/unionpay.toml")),
    ("demo-x919", include_str!("../profiles/demo-x919.toml")),
    ("private-label", include_str!("../profiles/private-label.toml")),
];

/// A validated profile.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub title: String,
    /// Minutes east of UTC of the host's F12 and F13.
    pub utc_offset_minutes: i32,
    pub table: Table,
    pub frame: Frame,
    pub mac: MacRule,
    pub keys: Keys,
    pub(crate) shows: BTreeMap<u8, Show>,
    pub(crate) header: Option<Template>,
    pub(crate) entry: Entry,
    pub(crate) ic_condition: Option<IcCondition>,
    pub(crate) security: Security,
    pub(crate) messages: BTreeMap<String, MessageRow>,
    pub(crate) reversal: Reversal,
    pub(crate) script_result: Option<ScriptResult>,
    /// Form of what downloads bring; none: the profile has no messages for them.
    pub emv: Option<EmvForm>,
    pub reply: ReplyRow,
    pub(crate) rules: HostRules,
    repeat_mti: bool,
}

/// Fields with a fixed meaning in ISO 8583 that the code itself reads.
pub(crate) mod field {
    pub const AMOUNT: u8 = 4;
    pub const STAN: u8 = 11;
    pub const CODE: u8 = 39;
    pub const CURRENCY: u8 = 49;
    pub const MAC: u8 = 64;
}

impl Profile {
    pub fn builtin(name: &str) -> Result<Self, ProfileError> {
        let (_, text) = BUILTIN
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| ProfileError::Unknown(name.chars().take(64).collect()))?;
        Self::parse(text)
    }
    /// Names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        toml::from_str::<File>(text)?.check()
    }
    /// Rules of the profile that the core needs.
    pub fn rules(&self) -> HostRules {
        self.rules.clone()
    }
    pub(crate) fn upload(&self, upload: Upload) -> Option<&MessageRow> {
        let instead = || {
            self.messages
                .get(&Upload::One(Kind::VoiceSale).row())
                .filter(|_| upload == Upload::One(Kind::Sale))
        };
        self.messages.get(&upload.row()).or_else(instead)
    }
    /// The message of a download of CA keys or applications.
    pub(crate) fn download(&self, ask: &EmvAsk) -> Option<&MessageRow> {
        self.messages.get(emv_download::row(ask))
    }
    /// The advice of a sale that the merchant accepted at its own risk.
    pub(crate) fn offline_sale(&self) -> Option<&MessageRow> {
        self.messages.get(OFFLINE)
    }
    /// The advice of a sale that the card approved without its issuer.
    pub(crate) fn card_sale(&self) -> Option<&MessageRow> {
        self.messages.get(CARD_SALE)
    }
    /// The row of a kind; a payment code may have its own.
    pub(crate) fn message(&self, kind: Kind, mode: Option<EntryMode>) -> Option<&MessageRow> {
        let code = if mode == Some(EntryMode::Code) {
            self.messages.get(&format!("{}_code", kind.name()))
        } else {
            None
        };
        code.or_else(|| self.messages.get(kind.name()))
    }
    /// MTI of a repeat: the same, or with the repeat digit set.
    pub(crate) fn repeated(&self, mti: &str) -> String {
        match mti.split_at_checked(3) {
            Some((head, "0")) if self.repeat_mti => format!("{head}1"),
            Some(_) | None => mti.to_owned(),
        }
    }
    /// Messages of this type carry F64; a repeat is judged like its first.
    pub(crate) fn uses_mac(&self, mti: &str) -> bool {
        self.mac.mtis.contains(&first_mti(mti))
    }
}

/// Name of the message that asks for the result of a payment by code
/// ([`payterm_schema::host::MessageKind::Query`]); it is of no kind.
pub(crate) const QUERY: &str = "query";

/// Name of the advice of a sale that was accepted at the merchant's risk; its kind is the sale.
pub(crate) const OFFLINE: &str = "offline_sale";

/// Name of the advice of a sale that the card approved without its issuer; its kind is the sale.
pub(crate) const CARD_SALE: &str = "card_sale";

/// The kind of a message's name; a payment code may have a row of its own, `sale_code`.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|k| name == k.name() || name.strip_suffix("_code") == Some(k.name()))
}
