//! Self-test: what was looked at, what was found, and what a shopkeeper does about it.
use crate::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use crate::device::Part;

/// Verdict of a test, the best first: of several the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Works as it should.
    Passed,
    /// Works, and needs attention: paper near its end, little disk space, no sign-in yet.
    Degraded,
    /// Does not work; only what needs it is limited.
    Failed,
}

/// Code of the finding that an account's line is plain TCP and leaves this machine. It passes, and is told
/// all the same.
pub const LINE_PRIVATE: &str = "line-private";

/// Code of the finding that a certificate of an account's line ends within 30 days. Told while it passes too.
pub const CERTIFICATE_ENDS: &str = "certificate-ends";

/// Finding of one test. Its texts are in `crates/texts` under `found-<code>` and `remedy-<code>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub verdict: Verdict,
    /// Code: a word such as `works`, `paper-out`, `host-silent`.
    pub code: String,
    /// Values for the places of its text: `free`, `why`, `account`. No card data, no secret.
    pub facts: BTreeMap<String, String>,
}
impl Finding {
    pub fn new(verdict: Verdict, code: &str) -> Self {
        Self { verdict, code: code.into(), facts: BTreeMap::new() }
    }
    /// Finding that everything works.
    pub fn works() -> Self {
        Self::new(Verdict::Passed, "works")
    }
    pub fn failed(code: &str) -> Self {
        Self::new(Verdict::Failed, code)
    }
    pub fn degraded(code: &str) -> Self {
        Self::new(Verdict::Degraded, code)
    }
    /// Finding with a value for a place of its text.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.facts.insert(name.into(), value.to_string());
        self
    }
    /// Line of the report: the finding of this part; `name` is that of the device or account.
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

/// Line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfTestItem {
    pub part: Part,
    /// Name of the device or account; empty for store and clock.
    #[serde(default)]
    pub name: String,
    pub verdict: Verdict,
    /// Code of the [`Finding`].
    pub code: String,
    /// Values for the places of the texts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Text of the finding in the terminal's language, filled in by the faces; empty in records.
    #[serde(default)]
    pub reason: String,
    /// Advice to the shopkeeper; empty when nothing is to be done, and in records.
    #[serde(default)]
    pub remedy: String,
}

/// Report of one self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelfTest {
    pub at: Time,
    /// Lines in the order of the configuration: devices, store, clock, then keys and line of each account.
    pub items: Vec<SelfTestItem>,
    /// Worst verdict of the lines.
    pub verdict: Verdict,
    /// A virtual device is configured, or the terminal is a laboratory's.
    #[serde(default)]
    pub test: bool,
}
impl SelfTest {
    /// Report of these lines.
    pub fn new(at: Time, items: Vec<SelfTestItem>) -> Self {
        let verdict = items.iter().map(|i| i.verdict).max().unwrap_or(Verdict::Passed);
        Self { at, items, verdict, test: false }
    }
}
