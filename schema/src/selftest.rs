//! The self-test: what was looked at, what was found, and what a shopkeeper does about it.
use crate::{device::DeviceKind, time::Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What came of a test, best first: of several the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// Works, and needs attention: paper near its end, little disk space, no sign-in yet.
    Degraded,
    /// Does not work; only what needs it is limited.
    Failed,
}

/// What a test is about: a device by its kind, or a part of the terminal itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    MagneticReader,
    ChipReader,
    ContactlessReader,
    Scanner,
    Keypad,
    Display,
    Printer,
    PinPad,
    /// The journal: soundness, space, a write that reaches the disk.
    Store,
    Clock,
    /// An account's master and working keys.
    Keys,
    /// An account's line to its acquirer.
    HostLink,
}
impl From<DeviceKind> for Part {
    fn from(kind: DeviceKind) -> Self {
        match kind {
            DeviceKind::MagneticReader => Part::MagneticReader,
            DeviceKind::ChipReader => Part::ChipReader,
            DeviceKind::ContactlessReader => Part::ContactlessReader,
            DeviceKind::Scanner => Part::Scanner,
            DeviceKind::Keypad => Part::Keypad,
            DeviceKind::Display => Part::Display,
            DeviceKind::Printer => Part::Printer,
            DeviceKind::PinPad => Part::PinPad,
        }
    }
}

/// What one test found. Its texts are in `crates/texts` under `found-<code>` and `remedy-<code>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// A word: `works`, `paper-out`, `host-silent` ...
    pub code: String,
    /// Values for the text's places: `free`, `why`, `account`. No card data, no secret.
    pub facts: BTreeMap<String, String>,
}
impl Finding {
    pub fn new(verdict: Verdict, code: &str) -> Self {
        Self { verdict, code: code.into(), facts: BTreeMap::new() }
    }
    pub fn works() -> Self {
        Self::new(Verdict::Passed, "works")
    }
    pub fn failed(code: &str) -> Self {
        Self::new(Verdict::Failed, code)
    }
    pub fn degraded(code: &str) -> Self {
        Self::new(Verdict::Degraded, code)
    }
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.insert(name.into(), value.to_string());
        self
    }
    pub fn of(self, part: Part, name: &str) -> SelfTestItem {
        let Finding { verdict, code, facts } = self;
        SelfTestItem {
            part,
            name: name.into(),
            verdict,
            code,
            facts,
            reason: String::new(),
            remedy: String::new(),
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfTestItem {
    pub part: Part,
    /// Name of the device or account; empty for store and clock.
    #[serde(default)]
    pub name: String,
    pub verdict: Verdict,
    /// Text id of the reason, without its prefix.
    pub code: String,
    /// Values that stand in the texts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// In the terminal's language, filled in by the faces; empty in records.
    #[serde(default)]
    pub reason: String,
    /// What a shopkeeper does about it; empty when nothing is to be done, and in records.
    #[serde(default)]
    pub remedy: String,
}

/// The report of one self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfTest {
    pub at: Time,
    /// In the order of the configuration: devices, store, clock, then keys and line of each account.
    pub items: Vec<SelfTestItem>,
    /// The worst of the items.
    pub verdict: Verdict,
    /// A virtual device is configured, or the terminal is a laboratory's.
    #[serde(default)]
    pub test: bool,
}
impl SelfTest {
    pub fn new(at: Time, items: Vec<SelfTestItem>) -> Self {
        let verdict = items.iter().map(|i| i.verdict).max().unwrap_or(Verdict::Passed);
        Self { at, items, verdict, test: false }
    }
}
