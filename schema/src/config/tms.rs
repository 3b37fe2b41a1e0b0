//! Table `[tms]`.
use super::{
    Rules,
    account::{backoff_first, backoff_max},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Terminal management (TMS) of the acquirer. Only the CA in `ca` is believed and, for everything that
/// counts, only what `signing_key` has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TmsConfig {
    /// Address of the terminal management: `https://host:port`, without a path; without a port 443.
    pub url: String,
    /// PEM file of the only CA that may sign its certificate.
    pub ca: PathBuf,
    /// PEM file of the public key (ECDSA, P-256) that signs its answers.
    pub signing_key: PathBuf,
    /// Name in its certificate. Default: the host of `url`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Greatest time of one question and its answer. Default 15,000: an app that waits gives up after 30 s.
    #[serde(default = "tms_timeout_ms")]
    pub timeout_ms: u32,
    /// Time between two questions about an onboarding in review. Default 60,000.
    #[serde(default = "tms_poll_ms")]
    pub poll_ms: u32,
    /// First wait after a question that failed; doubles each time. Default 5,000.
    #[serde(default = "backoff_first")]
    pub retry_ms: u32,
    /// Greatest wait after a question that failed. Default 600,000.
    #[serde(default = "backoff_max")]
    pub retry_max_ms: u32,
}
fn tms_timeout_ms() -> u32 {
    15_000
}
fn tms_poll_ms() -> u32 {
    60_000
}
impl TmsConfig {
    /// Host and port of the address; without a port 443. None: it is no such address.
    pub fn authority(&self) -> Option<(&str, u16)> {
        let rest = self.url.strip_prefix("https://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((h, p)) if !h.ends_with(':') && (!h.contains(':') || h.ends_with(']')) => {
                (h, p.parse().ok().filter(|p| *p != 0)?)
            }
            Some(_) | None => (rest, 443),
        };
        let host = host.trim_matches(['[', ']']);
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        (!host.is_empty() && host.bytes().all(good)).then_some((host, port))
    }
}

impl TmsConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        rules.hold(self.authority().is_some(), "url", "https://host:port, without a path");
        rules.not_zero([
            ("timeout_ms", self.timeout_ms),
            ("poll_ms", self.poll_ms),
            ("retry_ms", self.retry_ms),
        ]);
        rules.hold(self.retry_ms <= self.retry_max_ms, "retry_max_ms", "not less than retry_ms");
    }
}
