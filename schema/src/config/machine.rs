//! Tables of the machine around the terminal: `[store]`, `[vault]`, `[log]`, `[inhibit]`.
use super::Rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Journal on disk, its checks and its backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// State directory: journal, sealed keys, sockets. Default /var/lib/payterm (systemd's StateDirectory).
    pub dir: PathBuf,
    /// Records between snapshots. Default 10,000.
    pub snapshot_every: u32,
    /// Hours between two full checks of the journal, each with a backup; the first is made after the start. 0
    /// = only that one. Default 24: a restored journal lacks a day at most, and of that only what the damaged
    /// file no longer proves.
    pub check_every_hours: u32,
    /// Directory of the last two backups, better on another disk. Default: the state directory. The packaged
    /// unit may write to `/var/backups/payterm` (owned by payterm); another place needs its own
    /// `ReadWritePaths=` line.
    pub backup_dir: Option<PathBuf>,
    /// File outside `dir`, 32 bytes, written at each start and orderly stop: a copy of `dir` that was made
    /// before the last of these and is put back is behind it, and payments stop until a person has compared
    /// the journal with the acquirer. A copy made since, and put back after a power cut, is found out by the
    /// acquirer's answers only. Best on another disk. Default: none, and so is every old copy.
    pub generation_file: Option<PathBuf>,
    /// Space that must be free before a new payment begins, MiB; what has begun ends. Default 32: some
    /// thousand payments and their checks.
    pub free_mib: u32,
}
impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: "/var/lib/payterm".into(),
            snapshot_every: 10_000,
            check_every_hours: 24,
            backup_dir: None,
            generation_file: None,
            free_mib: 32,
        }
    }
}

impl StoreConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        let outside = self.generation_file.as_ref().is_none_or(|f| !f.starts_with(&self.dir));
        rules.hold(outside, "generation_file", "outside store.dir");
        rules.not_zero([("snapshot_every", self.snapshot_every)]);
    }
}

/// Vault: where its sealing key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct VaultConfig {
    /// File with the sealing key: 32 bytes, or 64 hex digits; mode 0600. Default:
    /// `$CREDENTIALS_DIRECTORY/payterm-vault-key`.
    pub key_file: Option<PathBuf>,
}

/// Log on stderr.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Level from which on lines are logged: `error`, `warn`, `info` (default), `debug`, `trace`, `off`, or a
    /// filter of the crate `tracing-subscriber` (`info,payterm_engine=debug`).
    pub level: String,
    /// Lines are JSON objects. Default false: text.
    pub json: bool,
}
impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".into(), json: false }
    }
}

/// Locks that keep the machine from going down during a payment (docs/updates.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InhibitConfig {
    /// Lock that is taken from systemd-logind while a payment runs or something is owed. Default `block`: a
    /// shutdown may wait, a customer may not.
    pub logind: LogindLock,
}
impl Default for InhibitConfig {
    fn default() -> Self {
        Self { logind: LogindLock::Block }
    }
}
/// Lock of systemd-logind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogindLock {
    /// Shutdown and sleep are refused; an administrator may force them.
    Block,
    /// Shutdown and sleep are held up for as long as logind allows (`InhibitDelayMaxSec`, 5 s).
    Delay,
    /// No lock is taken.
    Off,
}
