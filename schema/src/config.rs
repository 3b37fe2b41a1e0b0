//! The configuration, `/etc/payterm/payterm.toml`. Every key is typed, has its unit in its name or doc and a
//! default with a reason; unknown keys are refused. Parsing TOML with line numbers is the daemon's; rules
//! across keys are [`Config::check`].
mod device;
mod flow;
mod offline;
mod settlement;

pub use device::{DeviceConfig, DeviceOptions, DeviceRole};
pub use flow::{FlowConfig, NoCvmConfig};
pub use offline::OfflineConfig;
pub use settlement::SettlementConfig;

use crate::{
    account::AccountId,
    fault::Fault,
    kind::Kind,
    money::Currency,
    onboarding::{FeeRow, check_fees},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Config {
    pub terminal: TerminalConfig,
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
    /// Tried in order; the first that matches wins. Without a match: the first account of the request's
    /// currency.
    #[serde(rename = "route")]
    pub routes: Vec<RouteConfig>,
    #[serde(rename = "device")]
    pub devices: Vec<DeviceConfig>,
    pub flow: FlowConfig,
    pub operators: OperatorsConfig,
    pub settlement: SettlementConfig,
    pub paper: PaperConfig,
    pub self_test: SelfTestConfig,
    pub bus: BusConfig,
    pub inhibit: InhibitConfig,
    pub store: StoreConfig,
    pub vault: VaultConfig,
    pub log: LogConfig,
    /// The acquirer's terminal management, where a terminal applies for its accounts. Default: none.
    pub tms: Option<TmsConfig>,
}

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
    pub const fn tag(self) -> &'static str {
        match self {
            Language::ZhCn => "zh-CN",
            Language::En => "en",
        }
    }
}

/// The shop and the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TerminalConfig {
    /// Shop name on screens and slips, up to 40 characters.
    pub shop: String,
    /// Address of the shop on slips and in outcomes. Default empty.
    pub address: String,
    /// City of the shop on slips and in outcomes. Default empty.
    pub city: String,
    /// Screens, slips and texts, until a person chooses another at run time. Default zh-CN: the first users
    /// are Chinese counters.
    pub language: Language,
    /// Two digits on records and slips while no operator is on duty. Default "01".
    pub operator: String,
    /// Shown with every failure.
    pub service_phone: String,
    /// Minutes east of UTC for slips and screens. Default 480 (China).
    pub utc_offset_minutes: i32,
    /// A laboratory: virtual devices may speak to accounts that are not on loopback. Default false.
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
            utc_offset_minutes: 480,
            lab: false,
        }
    }
}

/// An acquirer account: profile + merchant + terminal + currency + address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    pub id: AccountId,
    /// Name of a built-in profile (`unionpay`, `demo-x919`) or path of a profile file.
    pub profile: String,
    /// F42, 15 characters.
    pub mid: String,
    /// F41, 8 characters.
    pub tid: String,
    pub currency: Currency,
    /// `host:port`.
    pub address: String,
    /// TPDU destination NII, 4 hex digits. Default "0003".
    #[serde(default = "nii")]
    pub nii: String,
    /// One TCP connection kept open (true), or one per transaction (false, default: what POS hosts expect).
    #[serde(default)]
    pub persistent: bool,
    /// TLS to this host. Default: plain TCP.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Time to connect, TLS handshake included. Default 10,000.
    #[serde(default = "connect_ms")]
    pub connect_timeout_ms: u32,
    /// Time from the frame's departure to its answer. Default 60,000 (custom on UnionPay terminals).
    #[serde(default = "reply_ms")]
    pub reply_timeout_ms: u32,
    /// Sign in by itself when needed. Default true.
    #[serde(default = "yes")]
    pub auto_sign_in: bool,
    /// Tries of a reversal before it is Stuck. Default 10 (over about an hour with the backoff). A try that
    /// could not leave does not count: while the line is down it stays unknown for as long as that.
    #[serde(default = "tries")]
    pub obligation_tries: u32,
    /// First wait between tries; doubles each time. Default 5,000.
    #[serde(default = "backoff_first")]
    pub obligation_backoff_ms: u32,
    /// Greatest wait between tries. Default 600,000.
    #[serde(default = "backoff_max")]
    pub obligation_backoff_max_ms: u32,
    /// What a refusal without F64 means (host-protocol §5). Default: `reverse` on plain TCP, `trust` over
    /// TLS.
    #[serde(default)]
    pub refusal_without_mac: Option<RefusalWithoutMac>,
    /// Greatest amount of one payment, minor units. Default 5,000,000 (50,000.00).
    #[serde(default = "amount_limit")]
    pub amount_limit: u64,
    /// The merchant's fee table, for a host that names no fee; the first row that fits is taken. Default
    /// empty: no fee is shown.
    #[serde(default, rename = "fee")]
    pub fees: Vec<FeeRow>,
    /// Payments while the host cannot be reached. Default: none is accepted.
    #[serde(default)]
    pub offline: Option<OfflineConfig>,
}
fn nii() -> String {
    "0003".into()
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
fn backoff_first() -> u32 {
    5_000
}
fn backoff_max() -> u32 {
    600_000
}
fn amount_limit() -> u64 {
    5_000_000
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalWithoutMac {
    /// Told as refused only with a reversal on disk.
    Reverse,
    Trust,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the CAs that may sign the host's certificate; no system roots are used.
    pub ca: PathBuf,
    /// Name in the certificate; default: the host part of `address`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// PEM files of the terminal's own certificate and key, when the host asks for one.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// Goes with `cert`: the private key, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Which account takes which instrument; all given keys must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    pub account: AccountId,
    /// `card` or a wallet: `wechat`, `alipay`, `unionpay`.
    #[serde(default)]
    pub instrument: Option<RouteInstrument>,
    /// First digits of the PAN, from-to inclusive, same length: "620000-629999".
    #[serde(default)]
    pub bin: Option<String>,
    #[serde(default)]
    pub currency: Option<Currency>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteInstrument {
    Card,
    Wechat,
    Alipay,
    Unionpay,
}

/// Who may work at the terminal. Passwords are typed on its own keypad and never stand here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorsConfig {
    /// Without an operator on duty only sign-in, sign-off and echo start. Default true; false: every record
    /// and slip has `terminal.operator`, and nobody is asked for a password.
    pub required: bool,
    /// Wrong passwords in a row that lock an operator, 1 to 9. Default 3.
    pub max_wrong: u8,
    /// The operator on duty is logged off after so much time without request or key. Default 1,800,000 (half
    /// an hour); 0 = never.
    pub idle_lock_ms: u32,
    /// Waiting for number, password or code at the keypad. Default 60,000.
    pub prompt_timeout_ms: u32,
}
impl Default for OperatorsConfig {
    fn default() -> Self {
        Self { required: true, max_wrong: 3, idle_lock_ms: 1_800_000, prompt_timeout_ms: 60_000 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PaperConfig {
    /// Print the merchant's copy 商户存根. Default true.
    pub merchant_copy: bool,
    /// Print the customer's copy 持卡人存根. Default true.
    pub customer_copy: bool,
    /// An unconfirmed slip is printed again as a duplicate (`print`, default), or held for the cashier
    /// (`ask`).
    pub duplicate: DuplicatePolicy,
    /// First wait before an unprinted job is tried again; doubles up to 60 s. Default 2,000.
    pub retry_ms: u32,
    /// A payment that ends with a slip is refused before the card is asked for while the printer cannot
    /// print. Default false: the payment is taken and its slip waits.
    pub required: bool,
    /// Content of the slip's QR code with `{rrn}`, `{stan}`, `{batch}`, `{mid}`, `{tid}`,
    /// `{amount}`; empty = none.
    pub qr: String,
    /// Content of the code by which the customer asks for an invoice 扫码开票, on the customer's copy; places as
    /// in `qr`. Default empty = none.
    pub invoice_qr: String,
    /// Directory of the shop's own templates (docs/templates.md). Default none: the built-in ones.
    pub templates: Option<PathBuf>,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DuplicatePolicy {
    Print,
    Ask,
}
impl Default for PaperConfig {
    fn default() -> Self {
        Self {
            merchant_copy: true,
            customer_copy: true,
            duplicate: DuplicatePolicy::Print,
            retry_ms: 2_000,
            required: false,
            qr: "payterm:{mid}:{tid}:{batch}:{stan}:{rrn}".into(),
            invoice_qr: String::new(),
            templates: None,
        }
    }
}

/// The self-test: always run after the start, on demand, and on a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelfTestConfig {
    /// Run again after this many hours, 0 to 168; 0 = never. Default 24: once a day of a shop that never
    /// closes.
    pub every_hours: u16,
    /// Which reports of the start and the schedule go on paper: `never` (default), `failures`, `always`.
    pub print: SelfTestPrint,
    /// Send an echo to each account that has nothing else to do. Default true; false where the acquirer
    /// forbids it.
    pub host: bool,
    /// Free space beside the journal below which the store is degraded, MiB. Default 100: some hundred
    /// thousand transactions.
    pub free_mib: u32,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfTestPrint {
    Never,
    /// Those in which something is degraded or failed.
    Failures,
    Always,
}
impl Default for SelfTestConfig {
    fn default() -> Self {
        Self { every_hours: 24, print: SelfTestPrint::Never, host: true, free_mib: 100 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// Default `system`.
    pub bus: BusKind,
    /// Lane suffix of the bus name: `lane2` gives `org.payterm.Terminal1.lane2`. Empty = none.
    pub lane: String,
    /// Unix socket for peer-to-peer callers; none = off. Only uids that `callers` names may use it.
    pub peer_socket: Option<PathBuf>,
    #[serde(rename = "caller")]
    pub callers: Vec<CallerConfig>,
}
impl Default for BusConfig {
    fn default() -> Self {
        Self { bus: BusKind::System, lane: String::new(), peer_socket: None, callers: Vec::new() }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    System,
    Session,
    /// Only the peer socket.
    None,
}
/// Maps a uid to an app. A uid without a row is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// User id of the calling process; each uid has at most one row.
    pub uid: u32,
    /// App name, 1 to 32 of `a-z 0-9 - _`: the first half of each of its request keys.
    pub app: String,
    /// Sees every app's transactions, releases held papers, tries Stuck obligations again. Default false.
    #[serde(default)]
    pub manager: bool,
    /// Kinds it may start; empty = all.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Greatest amount per request, minor units.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// What keeps the machine from going down under a payment (docs/updates.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InhibitConfig {
    /// The lock that is taken from systemd-logind while a payment runs or something is owed. Default `block`:
    /// a shutdown may wait, a customer may not.
    pub logind: LogindLock,
}
impl Default for InhibitConfig {
    fn default() -> Self {
        Self { logind: LogindLock::Block }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogindLock {
    /// Shutdown and sleep are refused; an administrator may force them.
    Block,
    /// They are held up for as long as logind allows (`InhibitDelayMaxSec`, 5 s).
    Delay,
    /// None is taken.
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// State directory. Default /var/lib/payterm (systemd's StateDirectory).
    pub dir: PathBuf,
    /// Records between snapshots. Default 10,000.
    pub snapshot_every: u32,
    /// Hours between two full checks of the journal, each with a backup; the first is made after the start. 0
    /// = only that one. Default 24: a restored journal lacks a day at most, and of that only what the damaged
    /// file no longer proves.
    pub check_every_hours: u32,
    /// Where the two last backups are kept, better on another disk. Default: the state directory.
    pub backup_dir: Option<PathBuf>,
    /// MiB that must be free before a new payment begins; what has begun ends. Default 32: some thousand
    /// payments and their checks.
    pub free_mib: u32,
}
impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: "/var/lib/payterm".into(),
            snapshot_every: 10_000,
            check_every_hours: 24,
            backup_dir: None,
            free_mib: 32,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct VaultConfig {
    /// File with the 32-byte sealing key (raw or 64 hex digits), mode 0600. Default:
    /// `$CREDENTIALS_DIRECTORY/payterm-vault-key`.
    pub key_file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info` (default), `debug`, or a tracing filter.
    pub level: String,
    /// One JSON object a line. Default false.
    pub json: bool,
}
impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), json: false }
    }
}

/// The acquirer's terminal management. Nothing of it is believed that is not of `ca` and, for what counts,
/// signed by `signing_key`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TmsConfig {
    /// `https://host:port`, without a path.
    pub url: String,
    /// PEM file of the only CA that may sign its certificate.
    pub ca: PathBuf,
    /// PEM file of the public key (ECDSA, P-256) that signs its answers.
    pub signing_key: PathBuf,
    /// Name in the certificate; default: the host of `url`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Time of one question and its answer. Default 15,000: an app that waits gives up after 30 s.
    #[serde(default = "tms_timeout_ms")]
    pub timeout_ms: u32,
    /// An onboarding in review is asked for this often. Default 60,000.
    #[serde(default = "tms_poll_ms")]
    pub poll_ms: u32,
    /// First wait after a question that failed; doubles each time. Default 5,000.
    #[serde(default = "backoff_first")]
    pub retry_ms: u32,
    /// Greatest wait between tries. Default 600,000.
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
    /// `host:port` of the address; without a port 443.
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

impl AccountConfig {
    /// With the default of every other key.
    pub fn new(
        id: AccountId,
        profile: &str,
        mid: &str,
        tid: &str,
        currency: Currency,
        address: &str,
    ) -> Self {
        Self {
            id,
            profile: profile.into(),
            mid: mid.into(),
            tid: tid.into(),
            currency,
            address: address.into(),
            nii: nii(),
            persistent: false,
            tls: None,
            connect_timeout_ms: connect_ms(),
            reply_timeout_ms: reply_ms(),
            auto_sign_in: yes(),
            obligation_tries: tries(),
            obligation_backoff_ms: backoff_first(),
            obligation_backoff_max_ms: backoff_max(),
            refusal_without_mac: None,
            amount_limit: amount_limit(),
            fees: Vec::new(),
            offline: None,
        }
    }
    /// What a refusal without F64 means for this account.
    pub fn refusal_without_mac(&self) -> RefusalWithoutMac {
        self.refusal_without_mac.unwrap_or(if self.tls.is_some() {
            RefusalWithoutMac::Trust
        } else {
            RefusalWithoutMac::Reverse
        })
    }
    /// The address is on the loopback interface.
    pub fn is_loopback(&self) -> bool {
        let host =
            self.address.rsplit_once(':').map_or(self.address.as_str(), |(h, _)| h).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl Config {
    /// Rules that one key alone cannot show. The first broken one is answered, with the key's path as the
    /// field.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |field: String, rule: &str| Err(Fault::Invalid { field, rule: rule.into() });
        let op = &self.terminal.operator;
        if op.len() != 2 || !op.bytes().all(|b| b.is_ascii_digit()) {
            return bad("terminal.operator".into(), "two digits");
        }
        if self.terminal.shop.chars().count() > 40 {
            return bad("terminal.shop".into(), "up to 40 characters");
        }
        if !(-14 * 60..=14 * 60).contains(&self.terminal.utc_offset_minutes) {
            return bad("terminal.utc_offset_minutes".into(), "-840 to 840");
        }
        let mut ids = BTreeSet::new();
        for (i, a) in self.accounts.iter().enumerate() {
            let f = |k: &str| format!("account[{i}].{k}");
            if !ids.insert(&a.id) {
                return bad(f("id"), "each account has its own id");
            }
            let printable = |s: &str| s.bytes().all(|b| b.is_ascii_graphic());
            if a.mid.len() != 15 || !printable(&a.mid) {
                return bad(f("mid"), "15 characters (F42)");
            }
            if a.tid.len() != 8 || !printable(&a.tid) {
                return bad(f("tid"), "8 characters (F41)");
            }
            if a.nii.len() != 4 || !a.nii.bytes().all(|b| b.is_ascii_hexdigit()) {
                return bad(f("nii"), "4 hex digits");
            }
            let port = a
                .address
                .rsplit_once(':')
                .and_then(|(h, p)| (!h.is_empty()).then(|| p.parse::<u16>().ok()).flatten());
            if port.is_none_or(|p| p == 0) {
                return bad(f("address"), "host:port");
            }
            for (k, v) in [
                ("connect_timeout_ms", a.connect_timeout_ms),
                ("reply_timeout_ms", a.reply_timeout_ms),
                ("obligation_tries", a.obligation_tries),
                ("obligation_backoff_ms", a.obligation_backoff_ms),
            ] {
                if v == 0 {
                    return bad(f(k), "more than zero");
                }
            }
            if a.obligation_backoff_max_ms < a.obligation_backoff_ms {
                return bad(f("obligation_backoff_max_ms"), "not less than obligation_backoff_ms");
            }
            if a.amount_limit == 0 || a.amount_limit > crate::money::MAX_MINOR {
                return bad(f("amount_limit"), "1 to 999999999999");
            }
            check_fees(&f("fee"), &a.fees)?;
            if let Some(Err((key, rule))) = a.offline.as_ref().map(OfflineConfig::check) {
                return bad(f(&format!("offline.{key}")), rule);
            }
        }
        for (i, r) in self.routes.iter().enumerate() {
            if !ids.contains(&r.account) {
                return bad(format!("route[{i}].account"), "names no account");
            }
            if let Some(b) = &r.bin
                && bin_range(b).is_none()
            {
                return bad(
                    format!("route[{i}].bin"),
                    "from-to, both of the same 1 to 12 digits, from not above to",
                );
            }
        }
        device::check(&self.devices)?;
        let f = &self.flow;
        for (k, v) in [
            ("confirm_timeout_ms", f.confirm_timeout_ms),
            ("present_timeout_ms", f.present_timeout_ms),
            ("pin_timeout_ms", f.pin_timeout_ms),
            ("prepare_timeout_ms", f.prepare_timeout_ms),
            ("answer_within_ms", f.answer_within_ms),
        ] {
            if v == 0 {
                return bad(format!("flow.{k}"), "more than zero");
            }
        }
        if !(1..=9).contains(&f.present_tries) || !(1..=9).contains(&f.pin_tries) {
            return bad("flow.present_tries".into(), "present_tries and pin_tries are 1 to 9");
        }
        let bins = f
            .refused_bins
            .iter()
            .map(|b| ("refused_bins", b))
            .chain(f.no_cvm.iter().flat_map(|n| &n.bins).map(|b| ("no_cvm.bins", b)));
        for (key, bin) in bins {
            if bin_range(bin).is_none() {
                return bad(
                    format!("flow.{key}"),
                    "from-to, both of the same 1 to 12 digits, from not above to",
                );
            }
        }
        if f.busy_wait_ms == 0 || f.busy_tries > 9 {
            return bad("flow.busy_tries".into(), "up to 9, and flow.busy_wait_ms more than zero");
        }
        if f.tip_percent > 1_000 {
            return bad("flow.tip_percent".into(), "up to 1000");
        }
        if self.self_test.every_hours > 168 {
            return bad("self_test.every_hours".into(), "0 to 168");
        }
        if !(1..=9).contains(&self.operators.max_wrong) {
            return bad("operators.max_wrong".into(), "1 to 9");
        }
        if self.operators.prompt_timeout_ms == 0 {
            return bad("operators.prompt_timeout_ms".into(), "more than zero");
        }
        self.settlement.check()?;
        let mut uids = BTreeSet::new();
        for (i, c) in self.bus.callers.iter().enumerate() {
            if AccountId::new(&c.app).is_err() || c.app == crate::caller::TERMINAL {
                return bad(
                    format!("bus.caller[{i}].app"),
                    "1 to 32 characters of a-z 0-9 - _, and not terminal",
                );
            }
            if !uids.insert(c.uid) {
                return bad(format!("bus.caller[{i}].uid"), "each uid once");
            }
        }
        if !self.bus.lane.is_empty() && !self.bus.lane.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return bad("bus.lane".into(), "letters and digits");
        }
        if let Some(t) = &self.tms {
            if t.authority().is_none() {
                return bad("tms.url".into(), "https://host:port, without a path");
            }
            for (k, v) in [("timeout_ms", t.timeout_ms), ("poll_ms", t.poll_ms), ("retry_ms", t.retry_ms)] {
                if v == 0 {
                    return bad(format!("tms.{k}"), "more than zero");
                }
            }
            if t.retry_max_ms < t.retry_ms {
                return bad("tms.retry_max_ms".into(), "not less than retry_ms");
            }
        }
        if self.store.snapshot_every == 0 {
            return bad("store.snapshot_every".into(), "more than zero");
        }
        Ok(())
    }
}

/// The PAN begins within `from-to`.
pub fn in_bin_range(range: &str, pan: &crate::Pan) -> bool {
    bin_range(range)
        .is_some_and(|(from, to)| pan.reveal().get(..from.len()).is_some_and(|p| from <= p && p <= to))
}

/// Parses `from-to` of a BIN route.
pub fn bin_range(text: &str) -> Option<(&str, &str)> {
    let (from, to) = text.split_once('-')?;
    let digits = |s: &str| (1..=12).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit());
    (digits(from) && digits(to) && from.len() == to.len() && from <= to).then_some((from, to))
}
