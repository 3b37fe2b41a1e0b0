//! Tables `[[account]]` and `[[route]]`.
use super::{BinRange, Mid, Nii, OfflineConfig, Rules, Sum, Tid};
use crate::{
    account::AccountId,
    host::{EntryMode, Wallet},
    money::Currency,
    onboarding::{FeeRow, MAX_FEES},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Account at an acquirer: profile + merchant + terminal + currency + address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    pub id: AccountId,
    /// Name of a built-in profile (`unionpay`, `demo-x919`, `private-label`) or path of a profile file.
    pub profile: String,
    /// Merchant number (F42), 15 characters.
    pub mid: Mid,
    /// Terminal number (F41), 8 characters.
    pub tid: Tid,
    pub currency: Currency,
    /// Address of the acquirer's host, `host:port`.
    pub address: String,
    /// Destination in the TPDU (NII), 4 hex digits. Default "0003".
    #[serde(default)]
    pub nii: Nii,
    /// Connection is kept open (true), or opened for each transaction (false, default: what POS hosts
    /// expect).
    #[serde(default)]
    pub persistent: bool,
    /// TLS to the host. Default: plain TCP, for a host on this machine; any other needs `line`.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Nature of a line without TLS that leaves this machine; an error beside `tls`. Default: there is none.
    #[serde(default)]
    pub line: Option<PlainLine>,
    /// Greatest time to connect, TLS handshake included. Default 10,000.
    #[serde(default = "connect_ms")]
    pub connect_timeout_ms: u32,
    /// Greatest time from the frame's departure to its answer. Default 60,000 (custom on UnionPay terminals).
    #[serde(default = "reply_ms")]
    pub reply_timeout_ms: u32,
    /// The terminal signs in by itself when that is needed. Default true.
    #[serde(default = "yes")]
    pub auto_sign_in: bool,
    /// Tries of a reversal before it is Stuck. Default 10 (about an hour, with their waits). A try that could
    /// not leave does not count: while the line is down, the outcome stays unknown.
    #[serde(default = "tries")]
    pub obligation_tries: u32,
    /// First wait between two tries of a reversal; doubles each time. Default 5,000.
    #[serde(default = "backoff_first")]
    pub obligation_backoff_ms: u32,
    /// Greatest wait between two tries of a reversal. Default 600,000.
    #[serde(default = "backoff_max")]
    pub obligation_backoff_max_ms: u32,
    /// Meaning of a refusal without F64 (host-protocol §5). Default: `reverse` on plain TCP, `trust` over
    /// TLS.
    #[serde(default)]
    pub refusal_without_mac: Option<RefusalWithoutMac>,
    /// Greatest amount of one payment, in the account's currency. Default 50,000.00 where that has two
    /// decimals.
    #[serde(default)]
    pub amount_limit: Option<Sum>,
    /// The merchant's fee table, for a host that names no fee; the first row that fits is taken. Default
    /// empty: no fee is shown.
    #[serde(default, rename = "fee")]
    pub fees: Vec<FeeRow>,
    /// Payments while the host cannot be reached. Default: none is accepted.
    #[serde(default)]
    pub offline: OfflineConfig,
}
fn connect_ms() -> u32 {
    10_000
}
fn reply_ms() -> u32 {
    60_000
}
fn yes() -> bool {
    true
}
fn tries() -> u32 {
    10
}
pub(super) fn backoff_first() -> u32 {
    5_000
}
pub(super) fn backoff_max() -> u32 {
    600_000
}

/// Nature of a line without TLS. What is sent on it can be read, and what answers be forged, by whoever
/// reaches its wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlainLine {
    /// Leased line or tunnel that nobody else reads or writes on; said by the shop, shown on slips.
    Private,
}

/// Meaning of a refusal without F64 (host-protocol §5): who refused is not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalWithoutMac {
    /// The payment is told as refused once its reversal is on disk.
    Reverse,
    /// The payment is told as refused, nothing is reversed.
    Trust,
}

/// TLS to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the CAs that may sign the host's certificate; no system roots are used.
    pub ca: PathBuf,
    /// Name in the host's certificate. Default: the host part of `address`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// PEM file of the terminal's own certificate, when the host asks for one; goes with `key`. Default:
    /// none.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of `cert`. Default: none.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Rule of an address that is not on this machine.
pub const NOT_PLAIN: &str =
    "not on loopback: it needs tls, or line = \"private\" where nobody else reads or writes on the line";

impl AccountConfig {
    /// Account with the default of every other key.
    pub fn new(id: AccountId, profile: &str, mid: Mid, tid: Tid, currency: Currency, address: &str) -> Self {
        Self {
            id,
            profile: profile.into(),
            mid,
            tid,
            currency,
            address: address.into(),
            nii: Nii::default(),
            persistent: false,
            tls: None,
            line: None,
            connect_timeout_ms: connect_ms(),
            reply_timeout_ms: reply_ms(),
            auto_sign_in: yes(),
            obligation_tries: tries(),
            obligation_backoff_ms: backoff_first(),
            obligation_backoff_max_ms: backoff_max(),
            refusal_without_mac: None,
            amount_limit: None,
            fees: Vec::new(),
            offline: OfflineConfig::default(),
        }
    }
    /// Greatest amount of one payment, minor units.
    pub fn amount_limit(&self) -> u64 {
        self.amount_limit.map_or(5_000_000, Sum::minor)
    }
    /// Meaning of a refusal without F64: the configured one, or the default of this transport.
    pub fn refusal_without_mac(&self) -> RefusalWithoutMac {
        self.refusal_without_mac.unwrap_or(if self.tls.is_some() {
            RefusalWithoutMac::Trust
        } else {
            RefusalWithoutMac::Reverse
        })
    }
    /// Tells whether the address is on the loopback interface; of a name only `localhost` is believed to be.
    pub fn is_loopback(&self) -> bool {
        let host =
            self.address.rsplit_once(':').map_or(self.address.as_str(), |(h, _)| h).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Route of an instrument to an account; all given keys must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    pub account: AccountId,
    /// Entry modes of the instrument. Default: all.
    #[serde(default)]
    pub modes: Vec<EntryMode>,
    /// Only payment codes of this wallet. Default: all.
    #[serde(default)]
    pub wallet: Option<Wallet>,
    /// Only cards whose number begins so: first digits, from-to inclusive, both of the same length:
    /// "620000-629999". Default: all.
    #[serde(default)]
    pub bin: Option<BinRange>,
    #[serde(default)]
    pub currency: Option<Currency>,
}

impl AccountConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        let port = self
            .address
            .rsplit_once(':')
            .and_then(|(h, p)| (!h.is_empty()).then(|| p.parse::<u16>().ok()).flatten());
        if port.is_none_or(|p| p == 0) {
            rules.hold(false, "address", "host:port");
        } else {
            let plain = self.tls.is_none() && self.line.is_none();
            rules.hold(!plain || self.is_loopback(), "address", NOT_PLAIN);
        }
        rules.hold(self.tls.is_none() || self.line.is_none(), "line", "not beside tls");
        rules.not_zero([
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("reply_timeout_ms", self.reply_timeout_ms),
            ("obligation_tries", self.obligation_tries),
            ("obligation_backoff_ms", self.obligation_backoff_ms),
        ]);
        let ordered = self.obligation_backoff_ms <= self.obligation_backoff_max_ms;
        rules.hold(ordered, "obligation_backoff_max_ms", "not less than obligation_backoff_ms");
        let good = self.amount_limit.is_none_or(|s| s.minor() > 0 && s.currency() == self.currency);
        rules.hold(good, "amount_limit", "more than zero, in the account's currency");
        rules.hold(self.fees.len() <= MAX_FEES, "fee", "at most 64 rows");
        for (i, row) in self.fees.iter().enumerate() {
            if let Err((key, rule)) = row.check(self.currency) {
                rules.hold(false, &format!("fee[{i}].{key}"), rule);
            }
        }
        let OfflineConfig { merchant, card, card_unable_online } = &self.offline;
        for (key, limits) in
            [("merchant", merchant), ("card", card), ("card_unable_online", card_unable_online)]
        {
            let hours = limits.as_ref().is_none_or(|l| (1..=720).contains(&l.contact_hours));
            rules.hold(hours, &format!("offline.{key}.contact_hours"), "1 to 720");
        }
    }
}
