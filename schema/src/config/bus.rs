//! Table `[bus]`.
use super::{Limits, Rules};
use crate::{account::AccountId, kind::Kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::PathBuf};

/// D-Bus: where the terminal is served, and who may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BusConfig {
    /// Bus on which the terminal is served. Default `system`.
    pub bus: BusKind,
    /// Suffix of the bus name for a second terminal on this machine: `lane2` gives
    /// `org.payterm.Terminal1.lane2`. Letters and digits; default empty = none.
    pub lane: String,
    /// Path of a Unix socket for callers without a bus. Only user ids with a row `[[bus.caller]]` may use it.
    /// Default: none.
    pub peer_socket: Option<PathBuf>,
    #[serde(rename = "caller")]
    pub callers: Vec<CallerConfig>,
}
impl Default for BusConfig {
    fn default() -> Self {
        Self { bus: BusKind::System, lane: String::new(), peer_socket: None, callers: Vec::new() }
    }
}
/// Bus on which the terminal is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusKind {
    /// The system bus.
    System,
    /// The session bus of the user who runs the daemon.
    Session,
    /// No bus: only `peer_socket`.
    None,
}
/// Caller: maps a user of this machine to an app. A user without a row is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerConfig {
    /// User id of the calling process; each has at most one row.
    pub uid: u32,
    /// App name, 1 to 32 of `a-z 0-9 - _`: the first half of each of its request keys.
    pub app: String,
    /// Sees every app's transactions, releases held papers, tries Stuck obligations again. Default false.
    #[serde(default)]
    pub manager: bool,
    /// Kinds of request that it may start. Default empty = all.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// Greatest amount of one request; with this key nothing in a currency that it does not name. Default: no
    /// limit.
    #[serde(default)]
    pub limit: Option<Limits>,
}

impl BusConfig {
    pub(super) fn check(&self, mut rules: Rules<'_>) {
        let mut uids = BTreeSet::new();
        for (i, c) in self.callers.iter().enumerate() {
            let good = AccountId::new(&c.app).is_ok() && c.app != crate::caller::TERMINAL;
            let rule = "1 to 32 characters of a-z 0-9 - _, and not terminal";
            rules.hold(good, &format!("caller[{i}].app"), rule);
            rules.hold(uids.insert(c.uid), &format!("caller[{i}].uid"), "each uid once");
        }
        rules.hold(self.lane.bytes().all(|b| b.is_ascii_alphanumeric()), "lane", "letters and digits");
    }
}
