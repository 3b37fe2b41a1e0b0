//! Configuration of a terminal, `/etc/payterm/payterm.toml`. Every key is typed, has its unit in its name or
//! doc and a default with a reason; unknown keys are refused. Parsing TOML with line numbers is the daemon's;
//! rules across keys are [`Config::check`].
mod account;
mod bus;
mod device;
mod emv;
mod flow;
mod limits;
mod machine;
mod offline;
mod paper;
mod settlement;
mod terminal;
mod tms;
mod usable;
mod values;

pub use account::{AccountConfig, NOT_PLAIN, PlainLine, RefusalWithoutMac, RouteConfig, TlsConfig};
pub use bus::{BusConfig, BusKind, CallerConfig};
pub use device::{DeviceConfig, DeviceOptions, DeviceRole};
pub use emv::{EmvConfig, ExpiredKeys};
pub use flow::{FlowConfig, NoCvmConfig};
pub use limits::{Limits, Sum};
pub use machine::{InhibitConfig, LogConfig, LogindLock, StoreConfig, VaultConfig};
pub use offline::{OfflineConfig, OfflineLimits};
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
    /// Chip cards. Default: none, no card runs.
    pub emv: Option<EmvConfig>,
}

impl Config {
    /// Checks the rules that one key alone cannot show. The error is the first broken one, with the path of
    /// its key as the field: `account[0].address`.
    pub fn check(&self) -> Result<(), Fault> {
        self.broken().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every rule that [`Config::check`] finds broken.
    pub fn broken(&self) -> Vec<Fault> {
        let mut broken = Vec::new();
        let all = &mut broken;
        self.terminal.check(Rules::of(all, "terminal"));
        let mut ids = BTreeSet::new();
        for (i, a) in self.accounts.iter().enumerate() {
            let mut rules = Rules::of(all, &format!("account[{i}]"));
            rules.hold(ids.insert(&a.id), "id", "each account has its own id");
            a.check(rules);
        }
        for (i, r) in self.routes.iter().enumerate() {
            Rules::of(all, &format!("route[{i}]")).hold(
                ids.contains(&r.account),
                "account",
                "names no account",
            );
        }
        for i in 0..self.devices.len() {
            device::check(&self.devices, i, Rules::of(all, &format!("device[{i}]")));
        }
        self.flow.check(Rules::of(all, "flow"));
        self.self_test.check(Rules::of(all, "self_test"));
        self.operators.check(Rules::of(all, "operators"));
        self.settlement.check(Rules::of(all, "settlement"));
        self.bus.check(Rules::of(all, "bus"));
        if let Some(tms) = &self.tms {
            tms.check(Rules::of(all, "tms"));
        }
        if let Some(emv) = &self.emv {
            emv.check(Rules::of(all, "emv"));
        }
        self.store.check(Rules::of(all, "store"));
        broken
    }
}

/// Rules of a table of the file: those that do not hold are kept.
struct Rules<'a> {
    table: String,
    broken: &'a mut Vec<Fault>,
}
impl<'a> Rules<'a> {
    fn of(broken: &'a mut Vec<Fault>, table: &str) -> Self {
        Self { table: table.into(), broken }
    }
    fn hold(&mut self, holds: bool, key: &str, rule: &str) {
        if !holds {
            self.broken.push(Fault::invalid(&format!("{}.{key}", self.table), rule));
        }
    }
    fn not_zero<const N: usize>(&mut self, keys: [(&str, u32); N]) {
        keys.into_iter().for_each(|(key, value)| self.hold(value != 0, key, "more than zero"));
    }
}
