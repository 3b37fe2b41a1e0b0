//! Signals, made from the terminal's notices, sent one by one to the callers that asked for them and may see
//! them: on a bus a broadcast would be heard by everybody.
use crate::{
    interfaces::{
        device,
        manager::{self, Shown},
        operators::{self, OnDuty},
        standard, transaction,
    },
    link::{Face, lock},
    objects::{SHOWN, dict, with_interface},
    path::{ROOT, device_path, path},
    types::object_path,
    wire,
};
use futures_util::StreamExt;
use payterm_schema::{Caller, Notice, RequestKey, Status};
use std::{sync::Arc, time::Duration};
use zbus::{Array, Message, Signature, Variant};

/// A signal before it has an address.
struct Told {
    path: String,
    interface: &'static str,
    member: &'static str,
    values: Vec<Variant<'static>>,
}

/// Pause before the notices are asked for again: the terminal actor is being rebuilt.
const AGAIN: Duration = Duration::from_millis(100);

/// For ever: every notice to whom it concerns.
pub(crate) async fn pump(face: Arc<Face>, mut notices: payterm_schema::terminal::Notices) {
    loop {
        while let Some(notice) = notices.next().await {
            let removed = if let Notice::Started { key, .. } = &notice { face.slide(key) } else { None };
            face.tell(&notice, removed).await;
        }
        tokio::time::sleep(AGAIN).await;
        notices = face.terminal.notices();
    }
}

impl Face {
    /// Takes a new transaction into the window; answers the one that falls out.
    fn slide(&self, key: &RequestKey) -> Option<RequestKey> {
        let mut window = lock(&self.window);
        if window.contains(key) {
            return None;
        }
        window.push_back(key.clone());
        if window.len() > SHOWN { window.pop_front() } else { None }
    }

    async fn tell(&self, notice: &Notice, removed: Option<RequestKey>) {
        let links = lock(&self.links).clone();
        for link in links {
            for peer in link.peers() {
                let Some(caller) = peer.follower() else { continue };
                for told in self.told(caller, notice, removed.as_ref()).await {
                    let Ok(message) = built(&link.conn, peer.name.as_deref(), told) else { continue };
                    if link.signals.try_send(message).is_err() {
                        tracing::warn!(app = %caller.app, peer = peer.name.as_deref().unwrap_or("socket"), "signals are not read: one was dropped");
                        link.cut();
                    }
                }
            }
        }
    }

    /// What this caller is told about a notice.
    async fn told(&self, caller: &Caller, notice: &Notice, removed: Option<&RequestKey>) -> Vec<Told> {
        let mut out = Vec::new();
        let heard = match self.terminal.info().await {
            Ok(info) => caller.hears(notice, info.running.as_ref()),
            Err(_) => caller.hears(notice, None),
        };
        if !heard {
            return out;
        }
        if let Ok(value) = wire::encode(notice) {
            out.push(Told {
                path: ROOT.into(),
                interface: manager::NAME,
                member: "Notice",
                values: vec![value],
            });
        }
        match notice {
            Notice::Started { key, .. } => {
                if let Ok(properties) =
                    self.terminal.recall(caller, key).await.and_then(|t| transaction::properties(&t))
                {
                    let values = vec![object_path(path(key)), with_interface(transaction::NAME, properties)];
                    out.push(Told {
                        path: ROOT.into(),
                        interface: standard::OBJECT_MANAGER,
                        member: "InterfacesAdded",
                        values,
                    });
                }
                if let Some(old) = removed.filter(|k| caller.sees(&k.app)) {
                    let mut interfaces = Array::new(&Signature::Str);
                    let _ = interfaces.append(Variant::from(transaction::NAME));
                    let values = vec![object_path(path(old)), Variant::Array(interfaces)];
                    out.push(Told {
                        path: ROOT.into(),
                        interface: standard::OBJECT_MANAGER,
                        member: "InterfacesRemoved",
                        values,
                    });
                }
                out.extend(self.root_changed(caller).await);
            }
            Notice::Phase { key, .. } => {
                if let Ok(mut all) =
                    self.terminal.recall(caller, key).await.and_then(|t| transaction::properties(&t))
                {
                    all.retain(|k, _| matches!(*k, "Phase" | "CanCancel"));
                    out.push(changed(path(key), transaction::NAME, dict(all)));
                }
                out.extend(self.root_changed(caller).await);
            }
            Notice::Outcome { outcome } => {
                let path = path(&outcome.key);
                if let Ok(mut all) =
                    self.terminal.recall(caller, &outcome.key).await.and_then(|t| transaction::properties(&t))
                {
                    all.retain(|k, _| matches!(*k, "Phase" | "CanCancel" | "Status" | "Outcome"));
                    out.push(changed(path.clone(), transaction::NAME, dict(all)));
                }
                if outcome.status != Status::Running
                    && let Ok(value) = wire::encode(outcome)
                {
                    out.push(Told {
                        path,
                        interface: transaction::NAME,
                        member: "OutcomeChanged",
                        values: vec![value],
                    });
                }
                out.extend(self.root_changed(caller).await);
            }
            Notice::Screen { .. } => out.extend(self.root_changed(caller).await),
            Notice::Device { device: it } => {
                if let Ok(all) = device::changing(it) {
                    out.push(changed(device_path(&it.name), device::NAME, dict(all)));
                }
            }
            Notice::Language { .. } | Notice::Inhibited { .. } => out.extend(self.root_changed(caller).await),
            Notice::Operators { on_duty, locked } => {
                let shown = OnDuty { required: false, on_duty: on_duty.as_ref(), locked: *locked };
                if let Ok(all) = operators::changing(&shown) {
                    out.push(changed(ROOT.into(), operators::NAME, dict(all)));
                }
            }
            Notice::Obligation { .. }
            | Notice::Paper { .. }
            | Notice::Onboarding { .. }
            | Notice::Requirement { .. }
            | Notice::SelfTest { .. } => {}
        }
        out
    }

    async fn root_changed(&self, caller: &Caller) -> Option<Told> {
        let info = self.terminal.info().await.ok()?;
        Some(changed(
            ROOT.into(),
            manager::NAME,
            dict(manager::changing(&Shown { caller, info: &info }).ok()?),
        ))
    }
}

fn changed(path: String, interface: &'static str, properties: Variant<'static>) -> Told {
    Told {
        path,
        interface: standard::PROPERTIES,
        member: "PropertiesChanged",
        values: vec![Variant::from(interface), properties, Variant::Array(Array::new(&Signature::Str))],
    }
}

fn built(conn: &zbus::Connection, to: Option<&str>, told: Told) -> zbus::Result<Message> {
    let mut builder = Message::signal(told.path, told.interface, told.member);
    if let Some(own) = conn.unique_name() {
        builder = builder.sender(own);
    }
    if let Some(to) = to {
        builder = builder.destination(to.to_owned());
    }
    builder.build(&wire::arguments(told.values)?)
}
