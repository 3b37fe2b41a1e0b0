//! Tables `[terminal]` and `[operators]`.
use super::Rules;
use crate::{fault::Fault, zone::Zone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Language of screens, slips and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Language {
    #[serde(rename = "zh-CN")]
    ZhCn,
    #[serde(rename = "en")]
    En,
}
impl std::str::FromStr for Language {
    type Err = Fault;
    fn from_str(tag: &str) -> Result<Self, Fault> {
        let known = [Language::ZhCn, Language::En].into_iter().find(|l| l.tag() == tag);
        known.ok_or_else(|| Fault::invalid("language", "zh-CN or en"))
    }
}
impl Language {
    /// Language of these two small letters (ISO 639), as chip cards name it.
    pub fn of_letters(letters: [u8; 2]) -> Option<Self> {
        match &letters {
            b"zh" => Some(Self::ZhCn),
            b"en" => Some(Self::En),
            _ => None,
        }
    }
    /// BCP 47 tag, as in the configuration.
    pub const fn tag(self) -> &'static str {
        match self {
            Language::ZhCn => "zh-CN",
            Language::En => "en",
        }
    }
}

/// Shop and terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TerminalConfig {
    /// Shop name on screens and slips, up to 40 characters.
    pub shop: String,
    /// Address of the shop on slips and in outcomes. Default empty.
    pub address: String,
    /// City of the shop on slips and in outcomes. Default empty.
    pub city: String,
    /// Language of screens, slips and texts, until a person chooses another at run time. Default zh-CN: the
    /// first users are Chinese counters.
    pub language: Language,
    /// Operator number on records and slips while no operator is on duty, two digits. Default "01".
    pub operator: String,
    /// Telephone number of customer service, shown with every failure. Default empty.
    pub service_phone: String,
    /// Time zone of slips, reports, screens and `paytermctl`, by its IANA name. Default Asia/Shanghai.
    pub zone: Zone,
    /// Laboratory: virtual devices may be used with accounts that are not on loopback. Default false.
    pub lab: bool,
}
impl Default for TerminalConfig {
    fn default() -> Self {
        Self {
            shop: "payterm".into(),
            address: String::new(),
            city: String::new(),
            language: Language::ZhCn,
            operator: "01".into(),
            service_phone: String::new(),
            zone: Zone::default(),
            lab: false,
        }
    }
}

/// Operators: who may work at the terminal. Passwords are typed on its own keypad and are never in this file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorsConfig {
    /// Operators log on: without one on duty only sign-in, sign-off and echo start. Default true; false:
    /// every record and slip has `terminal.operator`, and nobody is asked for a password.
    pub required: bool,
    /// Wrong passwords in a row after which an operator is locked, 1 to 9. Default 3.
    pub max_wrong: u8,
    /// Time without request or key after which the operator on duty is logged off; 0 = never. Default
    /// 1,800,000 (half an hour).
    pub idle_lock_ms: u32,
    /// Greatest wait for number, password or code at the keypad. Default 60,000.
    pub prompt_timeout_ms: u32,
}
impl Default for OperatorsConfig {
    fn default() -> Self {
        Self { required: true, max_wrong: 3, idle_lock_ms: 1_800_000, prompt_timeout_ms: 60_000 }
    }
}

impl TerminalConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        let two_digits = self.operator.len() == 2 && self.operator.bytes().all(|b| b.is_ascii_digit());
        rules.hold(two_digits, "operator", "two digits");
        rules.hold(self.shop.chars().count() <= 40, "shop", "up to 40 characters");
    }
}

impl OperatorsConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        rules.hold((1..=9).contains(&self.max_wrong), "max_wrong", "1 to 9");
        rules.not_zero([("prompt_timeout_ms", self.prompt_timeout_ms)]);
    }
}
