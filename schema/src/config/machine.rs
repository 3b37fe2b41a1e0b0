//! Tables of the machine around the terminal: `[store]`, `[vault]`, `[log]`, `[inhibit]`.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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

/// Locks that keep the machine from going down under a payment (docs/updates.md).
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
