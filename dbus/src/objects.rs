//! The objects as properties, tree and object manager show them to a caller: only what that caller may
//! recall. zbus's own object server knows no callers, so it would show one app's order numbers to the next.
use crate::{
    calls::{Answer, object_path, text},
    describe::{self, APPLICATION, BATCH, DEVICE, MANAGER, OBJECT_MANAGER, OPERATORS, QUEUE, TRANSACTION},
    link::{Face, Link, lock},
    path::{self, ROOT},
    peer::{Peer, key_of},
    wire,
};
use payterm_schema::{
    Caller, Device, Fault, RequestKey,
    operator::Operators,
    terminal::{Filter, TerminalInfo, Transaction},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use zbus::{Array, Dict, Signature, Variant};

/// Transactions that the object manager shows besides the running one and those with open obligations.
pub(crate) const SHOWN: usize = 50;

pub(crate) type Properties = BTreeMap<&'static str, Variant<'static>>;

/// `a{sv}`.
pub(crate) fn dict(properties: Properties) -> Variant<'static> {
    let mut out = Dict::new(&Signature::Str, &Signature::Variant);
    for (k, v) in properties {
        // The signatures are the dictionary's own: append cannot fail.
        let _ = out.append(Variant::from(k), Variant::Variant(Box::new(v)));
    }
    Variant::Dict(out)
}

/// `a{sa{sv}}` with one interface.
pub(crate) fn with_interface(interface: &'static str, properties: Properties) -> Variant<'static> {
    let mut out = Dict::new(&Signature::Str, &Signature::dict(Signature::Str, Signature::Variant));
    let _ = out.append(Variant::from(interface), dict(properties));
    Variant::Dict(out)
}

fn texts(values: impl Iterator<Item = String>) -> Variant<'static> {
    let mut out = Array::new(&Signature::Str);
    for v in values {
        let _ = out.append(Variant::from(v));
    }
    Variant::Array(out)
}

/// The JSON name of a schema enum.
fn word<T: serde::Serialize>(value: &T) -> Variant<'static> {
    let json = serde_json::to_value(value).ok();
    Variant::from(json.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned())
}

pub(crate) fn transaction_properties(t: &Transaction) -> Result<Properties, Fault> {
    let o = &t.outcome;
    Ok(BTreeMap::from([
        ("App", Variant::from(o.key.app.clone())),
        ("Id", Variant::from(o.key.id.clone())),
        ("Kind", Variant::from(o.kind.name())),
        ("Status", Variant::from(o.status.name())),
        ("Phase", Variant::from(t.phase.name())),
        ("CanCancel", Variant::Bool(t.can_cancel)),
        ("Outcome", wire::encode(o)?),
    ]))
}

pub(crate) fn device_properties(d: &Device) -> Properties {
    BTreeMap::from([
        ("Name", Variant::from(d.name.clone())),
        ("Kind", Variant::from(d.kind.name())),
        ("Driver", Variant::from(d.driver.clone())),
        ("State", word(&d.state)),
        ("Health", Variant::from(d.health.clone())),
        ("Restarts", Variant::U32(d.restarts)),
        ("Virtual", Variant::Bool(d.is_virtual)),
    ])
}

pub(crate) fn operators_properties(o: &Operators) -> Properties {
    BTreeMap::from([
        ("Required", Variant::Bool(o.required)),
        ("OnDuty", Variant::from(o.on_duty.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("Locked", Variant::Bool(o.locked.is_some())),
    ])
}

/// The running request's path, or `/`: also when it is another app's.
fn running_path(caller: &Caller, running: Option<&RequestKey>) -> Variant<'static> {
    object_path(running.filter(|k| caller.sees(&k.app)).map_or_else(|| "/".into(), path::path))
}

/// Of the manager's properties those that change.
pub(crate) fn changing(caller: &Caller, info: &TerminalInfo) -> Result<Properties, Fault> {
    let seen = caller.sees_screen(&info.screen, info.running.as_ref());
    let screen = if seen { wire::encode(&info.screen)? } else { dict(BTreeMap::new()) };
    Ok(BTreeMap::from([
        ("Running", running_path(caller, info.running.as_ref())),
        ("Screen", screen),
        ("Language", Variant::from(info.language.clone())),
        ("Inhibited", Variant::Bool(!info.inhibit_reasons.is_empty())),
        ("InhibitReasons", texts(info.inhibit_reasons.iter().map(|r| r.name().to_owned()))),
    ]))
}

fn manager_properties(caller: &Caller, info: &TerminalInfo) -> Result<Properties, Fault> {
    let mut all = changing(caller, info)?;
    all.extend([
        ("Version", Variant::from(info.version.clone())),
        ("Api", Variant::U32(info.api)),
        ("Shop", Variant::from(info.shop.clone())),
        ("ServicePhone", Variant::from(info.service_phone.clone())),
        ("Test", Variant::Bool(info.test)),
        ("Accounts", texts(info.accounts.iter().map(|a| a.as_str().to_owned()))),
    ]);
    Ok(all)
}

impl Face {
    /// The transactions that the object manager shows to this caller: the window, and what owes something.
    async fn shown(&self, caller: &Caller) -> Result<Vec<RequestKey>, Fault> {
        let mut keys: Vec<RequestKey> =
            lock(&self.window).iter().filter(|k| caller.sees(&k.app)).cloned().collect();
        let owing: BTreeSet<u64> = self.terminal.obligations(caller).await?.iter().map(|o| o.txn).collect();
        for txn in owing {
            if let Some(key) = self.key_of_txn(txn).await?
                && caller.sees(&key.app)
                && !keys.contains(&key)
            {
                keys.push(key);
            }
        }
        Ok(keys)
    }
    /// The list is by number, newest first: the first before `txn + 1` is `txn`.
    async fn key_of_txn(&self, txn: u64) -> Result<Option<RequestKey>, Fault> {
        let filter = Filter { before: Some(txn.saturating_add(1)), limit: Some(1), ..Filter::default() };
        let found = self.terminal.list(&Caller::payterm(), filter).await?;
        Ok(found.into_iter().find(|o| o.txn == txn).map(|o| o.key))
    }
    async fn device(&self, path: &str) -> Result<Device, Fault> {
        let found = self.terminal.devices().await?.into_iter().find(|d| path::device_path(&d.name) == path);
        found.ok_or_else(|| Fault::not_found("object", &path.chars().take(128).collect::<String>()))
    }
}

impl Link {
    pub(crate) async fn property_call(
        &self,
        peer: &Peer,
        caller: &Caller,
        member: &str,
        path: &str,
        arguments: &[Variant<'_>],
    ) -> Result<Answer, Fault> {
        let interface = text("interface_name", arguments.first())?;
        let name = arguments.get(1).map(|v| text("property_name", Some(v))).transpose()?;
        if member == "Set" {
            return Err(Fault::not_found(
                "writable property",
                &name.unwrap_or_default().chars().take(64).collect::<String>(),
            ));
        }
        if member == "GetAll" {
            peer.follow();
        }
        let mut all = self.properties(caller, interface, path).await?;
        match (member, name) {
            ("Get", Some(name)) => {
                let found =
                    all.iter().find(|(k, _)| **k == name).map(|(k, _)| *k).and_then(|k| all.remove(k));
                let found = found.ok_or_else(|| {
                    Fault::not_found("property", &name.chars().take(64).collect::<String>())
                })?;
                Ok(Answer::Value(Variant::Variant(Box::new(found))))
            }
            _ => Ok(Answer::Value(dict(all))),
        }
    }

    async fn properties(&self, caller: &Caller, interface: &str, path: &str) -> Result<Properties, Fault> {
        let terminal = &self.face.terminal;
        match (interface, describe::interfaces_at(path)) {
            (MANAGER, [MANAGER, ..]) => manager_properties(caller, &terminal.info().await?),
            (OPERATORS, [MANAGER, ..]) => Ok(operators_properties(&terminal.operators(caller).await?)),
            (TRANSACTION, [TRANSACTION]) => {
                transaction_properties(&terminal.recall(caller, &key_of(caller, path)?).await?)
            }
            (DEVICE, [DEVICE]) => Ok(device_properties(&self.face.device(path).await?)),
            (QUEUE | BATCH | describe::SETUP | APPLICATION | OBJECT_MANAGER, [MANAGER, ..])
            | (describe::PROPERTIES | describe::INTROSPECTABLE | describe::PEER, _) => Ok(BTreeMap::new()),
            _ => Err(Fault::not_found("interface", &interface.chars().take(128).collect::<String>())),
        }
    }

    pub(crate) async fn managed_objects(&self, caller: &Caller) -> Result<Answer, Fault> {
        let mut out = Dict::new(
            &Signature::ObjectPath,
            &Signature::dict(Signature::Str, Signature::dict(Signature::Str, Signature::Variant)),
        );
        for d in self.face.terminal.devices().await? {
            let _ = out.append(
                object_path(path::device_path(&d.name)),
                with_interface(DEVICE, device_properties(&d)),
            );
        }
        for key in self.face.shown(caller).await? {
            let t = self.face.terminal.recall(caller, &key).await?;
            let _ = out.append(
                object_path(path::path(&key)),
                with_interface(TRANSACTION, transaction_properties(&t)?),
            );
        }
        Ok(Answer::Value(Variant::Dict(out)))
    }

    /// Children are what the object manager shows; an older transaction answers on its path without being
    /// listed.
    pub(crate) async fn introspect(&self, caller: &Caller, path: &str) -> Result<Answer, Fault> {
        match describe::interfaces_at(path) {
            [TRANSACTION] => drop(self.face.terminal.recall(caller, &key_of(caller, path)?).await?),
            [DEVICE] => drop(self.face.device(path).await?),
            _ => {}
        }
        let mut all = vec![ROOT.to_owned()];
        all.extend(self.face.terminal.devices().await?.iter().map(|d| path::device_path(&d.name)));
        all.extend(self.face.shown(caller).await?.iter().map(path::path));
        let prefix = if path == "/" { "/".into() } else { format!("{path}/") };
        let children: BTreeSet<String> = all
            .iter()
            .filter_map(|p| p.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        if children.is_empty() && describe::interfaces_at(path).is_empty() {
            return Err(Fault::not_found("object", &path.chars().take(128).collect::<String>()));
        }
        Ok(Answer::Value(Variant::from(describe::introspection(
            path,
            &children.into_iter().collect::<Vec<_>>(),
        ))))
    }
}
