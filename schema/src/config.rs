//! Configuration of a terminal, `/etc/payterm/payterm.toml`. Every key is typed, has its unit in its name or
//! doc and a default with a reason; unknown keys are refused. Parsing TOML with line numbers is the daemon's;
//! rules across keys are [`Config::check`].
mod account;
mod bus;
mod device;
mod flow;
mod limits;
mod machine;
mod offline;
mod paper;
mod settlement;
mod terminal;
mod tms;
mod values;

pub use account::{AccountConfig, NOT_PLAIN, PlainLine, RefusalWithoutMac, RouteConfig, TlsConfig};
pub use bus::{BusConfig, BusKind, CallerConfig};
pub use device::{DeviceConfig, DeviceOptions, DeviceRole};
pub use flow::{FlowConfig, NoCvmConfig};
pub use limits::{Limits, Sum};
pub use machine::{InhibitConfig, LogConfig, LogindLock, StoreConfig, VaultConfig};
pub use offline::OfflineConfig;
pub use paper::{DuplicatePolicy, PaperConfig, SelfTestConfig, SelfTestPrint};
pub use settlement::SettlementConfig;
pub use terminal::{Language, OperatorsConfig, TerminalConfig};
pub use tms::TmsConfig;
pub use values::{BinRange, Mid, Nii, Percent, Printable, Tid, TimeOfDay};

use crate::fault::Fault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Configuration of a terminal: one field a table of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct Config {
    pub terminal: TerminalConfig,
    #[serde(rename = "account")]
    pub accounts: Vec<AccountConfig>,
    /// Routes, tried in order; the first that matches wins. Without a match: the first account of the
    /// request's currency.
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

impl Config {
    /// Checks the rules that one key alone cannot show. The error is the first broken one, with the path of
    /// its key as the field: `account[0].address`.
    pub fn check(&self) -> Result<(), Fault> {
        self.terminal.check()?;
        let mut ids = BTreeSet::new();
        for (i, a) in self.accounts.iter().enumerate() {
            let path = format!("account[{i}]");
            if !ids.insert(&a.id) {
                return Err(Fault::invalid(&format!("{path}.id"), "each account has its own id"));
            }
            a.check(&path)?;
        }
        for (i, r) in self.routes.iter().enumerate() {
            let path = format!("route[{i}]");
            if !ids.contains(&r.account) {
                return Err(Fault::invalid(&format!("{path}.account"), "names no account"));
            }
        }
        device::check(&self.devices)?;
        self.flow.check()?;
        self.self_test.check()?;
        self.operators.check()?;
        self.settlement.check()?;
        self.bus.check()?;
        self.tms.as_ref().map_or(Ok(()), TmsConfig::check)?;
        if self.store.generation_file.as_ref().is_some_and(|f| f.starts_with(&self.store.dir)) {
            return Err(Fault::invalid("store.generation_file", "outside store.dir"));
        }
        not_zero("store", [("snapshot_every", self.store.snapshot_every)])
    }
}

/// Refuses the first of a table's keys that is zero.
fn not_zero<const N: usize>(table: &str, keys: [(&str, u32); N]) -> Result<(), Fault> {
    match keys.into_iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(Fault::invalid(&format!("{table}.{key}"), "more than zero")),
        None => Ok(()),
    }
}
