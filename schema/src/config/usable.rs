//! What a configuration that breaks no rule may lack all the same: somebody who can call, log on and pay.
use super::{BusKind, CallerConfig, Config, DeviceRole, Limits};
use crate::{
    device::DeviceKind,
    fault::Fault,
    kind::{AmountRule, Kind},
};

impl Config {
    /// What keeps everybody from calling, logging on or paying: a fault with the key that mends it, and the
    /// tables that it was found in.
    pub fn useless(&self) -> Vec<(Fault, &'static [&'static str])> {
        let mut useless = Vec::new();
        let mut needs = |useful: bool, key: &str, why: &str, tables: &'static [&'static str]| {
            if !useful {
                useless.push((Fault::invalid(key, why), tables));
            }
        };
        let bus = &self.bus;
        let has = |kind: DeviceKind| self.devices.iter().any(|d| d.kind == kind);
        needs(
            !bus.callers.is_empty(),
            "bus.caller",
            "nobody can call: it needs a row [[bus.caller]]",
            &["bus"],
        );
        let heard = bus.bus != BusKind::None || bus.peer_socket.is_some();
        needs(heard, "bus.peer_socket", "nobody can call: it needs one with bus = \"none\"", &["bus"]);
        needs(
            !self.operators.required || has(DeviceKind::Keypad),
            "operators.required",
            "nobody can log on: it needs a [[device]] of kind \"keypad\", or required = false",
            &["operators", "device"],
        );
        needs(
            !self.accounts.is_empty() || self.tms.is_some(),
            "account",
            "nobody can pay: it needs an [[account]], or [tms] to apply for one",
            &["account", "tms"],
        );
        // Without [emv] cards that are inserted or tapped are answered "not supported yet".
        let chip = self.emv.is_some() && (has(DeviceKind::ChipReader) || has(DeviceKind::ContactlessReader));
        let typed = self.flow.typed_pan && has(DeviceKind::Keypad);
        needs(
            has(DeviceKind::MagneticReader) || has(DeviceKind::Scanner) || chip || typed,
            "device",
            "nobody can pay: it needs a [[device]] of kind \"magnetic_reader\", \"scanner\", with [emv] \
             \"chip_reader\" or \"contactless_reader\", or with flow.typed_pan \"keypad\"",
            &["device", "flow"],
        );
        needs(
            !self.paper.required || self.devices.iter().any(|d| d.role() == Some(DeviceRole::Receipt)),
            "paper.required",
            "nobody can pay: it needs a [[device]] of kind \"printer\" with role \"receipt\"",
            &["device", "paper"],
        );
        needs(
            bus.callers.is_empty() || bus.callers.iter().any(|c| self.lets_pay(c)),
            "bus.caller",
            "nobody can pay: no row allows a payment in the currency of an account",
            &["bus", "account"],
        );
        useless
    }

    fn lets_pay(&self, caller: &CallerConfig) -> bool {
        let pays = |kind: &Kind| kind.row().amount != AmountRule::None;
        let kind = caller.kinds.is_empty() || caller.kinds.iter().any(pays);
        let some = |limit: &Limits| self.accounts.iter().any(|a| limit.of(a.currency) > 0);
        let amount = self.accounts.is_empty() || caller.limit.as_ref().is_none_or(some);
        kind && amount
    }
}
