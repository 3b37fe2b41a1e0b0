//! The objects as properties, tree and object manager show them to a caller: only what that caller may
//! recall. zbus's own object server knows no callers, so it would show one app's order numbers to the next.
use crate::{
    error,
    interfaces::{
        self, batch, device,
        manager::{self, Shown},
        onboarding,
        operators::{self, OnDuty},
        queue, setup, standard, transaction,
    },
    link::{Face, lock},
    path::{self, ROOT},
    row::Asked,
    types::object_path,
};
use payterm_schema::{Caller, Device, Fault, RequestKey, terminal::Filter};
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

pub(crate) fn texts(values: impl Iterator<Item = String>) -> Variant<'static> {
    let mut out = Array::new(&Signature::Str);
    for v in values {
        let _ = out.append(Variant::from(v));
    }
    Variant::Array(out)
}

/// Path of a transaction, or `/`.
pub(crate) fn object_path_or_root(key: Option<&RequestKey>) -> Variant<'static> {
    object_path(key.map_or_else(|| "/".into(), path::path))
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
        found.ok_or_else(|| Fault::not_found(error::OBJECT, &path.chars().take(128).collect::<String>()))
    }
}

impl Asked<'_> {
    pub(crate) async fn properties(&self, interface: &str) -> Result<Properties, Fault> {
        let (terminal, caller) = (self.terminal(), self.caller);
        match (interface, interfaces::at(self.path)) {
            (manager::NAME, [manager::NAME, ..]) => {
                let info = terminal.info().await?;
                manager::properties(&Shown { caller, info: &info })
            }
            (operators::NAME, [manager::NAME, ..]) => {
                let all = terminal.operators(caller).await?;
                let (on_duty, locked) = (all.on_duty.as_ref(), all.locked.is_some());
                operators::properties(&OnDuty { required: all.required, on_duty, locked })
            }
            (transaction::NAME, [transaction::NAME]) => {
                let shown = terminal.recall(caller, self.object()?).await?;
                transaction::properties(&(&shown).into())
            }
            (device::NAME, [device::NAME]) => device::properties(&self.link.face.device(self.path).await?),
            (queue::NAME | batch::NAME | setup::NAME | onboarding::NAME, [manager::NAME, ..])
            | (standard::OBJECT_MANAGER, [manager::NAME, ..])
            | (standard::PROPERTIES | standard::INTROSPECTABLE | standard::PEER, _) => Ok(BTreeMap::new()),
            _ => Err(Fault::not_found(error::INTERFACE, &interface.chars().take(128).collect::<String>())),
        }
    }

    pub(crate) async fn managed_objects(&self) -> Result<Variant<'static>, Fault> {
        let mut out = Dict::new(
            &Signature::ObjectPath,
            &Signature::dict(Signature::Str, Signature::dict(Signature::Str, Signature::Variant)),
        );
        for d in self.terminal().devices().await? {
            let _ = out.append(
                object_path(path::device_path(&d.name)),
                with_interface(device::NAME, device::properties(&d)?),
            );
        }
        for key in self.link.face.shown(self.caller).await? {
            let t = self.terminal().recall(self.caller, &key).await?;
            let _ = out.append(
                object_path(path::path(&key)),
                with_interface(transaction::NAME, transaction::properties(&(&t).into())?),
            );
        }
        Ok(Variant::Dict(out))
    }

    /// Children are what the object manager shows; an older transaction answers on its path without being
    /// listed.
    pub(crate) async fn introspect(&self) -> Result<String, Fault> {
        let (face, path) = (&self.link.face, self.path);
        match interfaces::at(path) {
            [transaction::NAME] => drop(self.terminal().recall(self.caller, self.object()?).await?),
            [device::NAME] => drop(face.device(path).await?),
            _ => {}
        }
        let mut all = vec![ROOT.to_owned()];
        all.extend(self.terminal().devices().await?.iter().map(|d| path::device_path(&d.name)));
        all.extend(face.shown(self.caller).await?.iter().map(path::path));
        let prefix = if path == "/" { "/".into() } else { format!("{path}/") };
        let children: BTreeSet<String> = all
            .iter()
            .filter_map(|p| p.strip_prefix(&prefix))
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        if children.is_empty() && interfaces::at(path).is_empty() {
            return Err(Fault::not_found(error::OBJECT, &path.chars().take(128).collect::<String>()));
        }
        Ok(interfaces::introspection(path, &children.into_iter().collect::<Vec<_>>()))
    }
}
