//! Table `[emv]`: what chip cards are told of the terminal, and where its applications and keys are.
use super::Rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Chip cards (EMV 4.4 Book 4, terminal data). With this table the terminal's own card kernel runs on every
/// chip reader that brings none; without it inserted cards are answered "not supported yet".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmvConfig {
    /// TOML file of the applications and CA keys (docs/emv-parameters.toml). No key is built in. What a host
    /// has given since (`paytermctl parameters`) replaces entries of the same name.
    pub parameters: PathBuf,
    /// Country, ISO 3166 number (9F1A). Default 156, China: the first users are Chinese counters.
    #[serde(default = "country")]
    pub country: u16,
    /// Terminal type (9F35), which can go online: not 3 or 6 as its second digit. What a card approves by
    /// itself is accepted as `account.offline` says, whatever stands here. Default "22", attended, can do
    /// both.
    #[serde(default = "terminal_type")]
    pub terminal_type: String,
    /// Terminal capabilities (9F33), six hex digits; of them the terminal has what its devices can: keys,
    /// stripe, PINs, and a signature with a receipt printer. Default "E078C8": keys, stripe and chip; PIN for
    /// the issuer, PIN for the card enciphered, signature, none; SDA, DDA and CDA. "E0F8C8" shows a card its
    /// PIN in clear too, for whoever listens at the reader.
    #[serde(default = "capabilities")]
    pub capabilities: String,
    /// Additional terminal capabilities (9F40), ten hex digits. Default "6000F0F001": goods and services;
    /// keypad with digits, letters and functions; prints and shows for attendant and cardholder ISO 8859-1.
    #[serde(default = "additional")]
    pub additional_capabilities: String,
    /// Merchant category, ISO 18245 number (9F15). Default 5999, other retail shops: better the acquirer's.
    #[serde(default = "category")]
    pub category: u16,
    /// Name and place of the merchant (9F4E), 1 to 252 characters of ASCII. Default "PAYTERM": cards only
    /// compute with it.
    #[serde(default = "name")]
    pub name: String,
    /// Serial number of the reader (9F1E), eight letters or digits. Default: the terminal number of the first
    /// account, which the acquirer knows; without one, or where it has other characters, "00000000".
    #[serde(default)]
    pub serial: Option<String>,
    /// Greatest time of one command to a card; then it is mute. Default 5,000: a card's longest computation
    /// takes less than one second; at most 30,000.
    #[serde(default = "card_ms")]
    pub card_ms: u32,
    /// CA keys behind their last day (DF05), of which the self-test warns: "use", or "refuse": no card is
    /// authenticated with them. Default "use": the certificates below a key have ends of their own, which are
    /// always judged, so a list that the acquirer renews late need turn no card away.
    #[serde(default)]
    pub expired_keys: ExpiredKeys,
}

/// What becomes of CA keys behind their last day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiredKeys {
    #[default]
    Use,
    Refuse,
}
fn country() -> u16 {
    156
}
fn terminal_type() -> String {
    "22".into()
}
fn capabilities() -> String {
    "E078C8".into()
}
fn additional() -> String {
    "6000F0F001".into()
}
fn category() -> u16 {
    5999
}
fn name() -> String {
    "PAYTERM".into()
}
fn card_ms() -> u32 {
    EmvConfig::CARD_MS
}

impl EmvConfig {
    /// Time of one command where the configuration says none, ms. 5,000: more than a card needs for its
    /// longest one, a signature with a key of 1984 bits.
    pub const CARD_MS: u32 = 5_000;

    /// Table with this file and the default of every other key.
    pub fn new(parameters: impl Into<PathBuf>) -> Self {
        Self {
            parameters: parameters.into(),
            country: country(),
            terminal_type: terminal_type(),
            capabilities: capabilities(),
            additional_capabilities: additional(),
            category: category(),
            name: name(),
            serial: None,
            card_ms: card_ms(),
            expired_keys: ExpiredKeys::default(),
        }
    }
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        let hex = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
        rules.hold(hex(&self.terminal_type, 2), "terminal_type", "two digits, as in \"21\"");
        rules.hold(hex(&self.capabilities, 6), "capabilities", "six hex digits");
        rules.hold(hex(&self.additional_capabilities, 10), "additional_capabilities", "ten hex digits");
        let printable = self.name.bytes().all(|b| (b' '..=b'~').contains(&b));
        rules.hold(printable && (1..=252).contains(&self.name.len()), "name", "1 to 252 characters of ASCII");
        rules.hold((1..=30_000).contains(&self.card_ms), "card_ms", "1 to 30,000");
    }
}
