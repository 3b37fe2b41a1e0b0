//! Signals, made from the terminal's notices, sent one by one to the callers that asked for them and may see
//! them: on a bus a broadcast would be heard by everybody. Made once for all connections that see the same:
//! those of the managers, and those of each app. Nothing is asked for that the notice does not carry, but the
//! terminal's [`payterm_schema::terminal::TerminalInfo`], which is a kept value.
//!
//! What another app's payment changes for everybody (a device's state, a reason not to update) an app is told
//! at most once in [`OTHERS`].
use crate::{
    interfaces::{
        device,
        manager::{self, Shown},
        operators::{self, OnDuty},
        standard,
        transaction::{self, Seen},
    },
    link::{Face, lock},
    objects::{Properties, SHOWN, dict, with_interface},
    path::{ROOT, device_path, path},
    types::object_path,
    wire,
};
use futures_util::StreamExt;
use payterm_schema::{
    Caller, Notice, Phase, RequestKey, Status,
    terminal::{Notices, TerminalInfo},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use zbus::{Array, Message, Signature, Structure, Variant};

/// A signal before it has an address.
struct Told {
    path: String,
    interface: &'static str,
    member: &'static str,
    values: Structure<'static>,
}

/// Pause before the notices are asked for again, once they have ended.
const RESUBSCRIBE: Duration = Duration::from_millis(100);
/// Time for which an app is not told again what another app's payment changes. 1 s: a customer takes longer.
const OTHERS: Duration = Duration::from_secs(1);

/// Everybody who sees the same: the managers (none), or the connections of an app.
type Audience = Option<String>;

/// State of what the audiences were told.
#[derive(Default)]
struct Heard {
    /// The manager's properties as each audience was told them last.
    root: BTreeMap<Audience, Properties>,
    /// App of the last request: its own are told at once.
    served: Option<String>,
    /// Notices kept back from all other apps, each device's last one, and until when.
    held: Vec<Notice>,
    until: Option<Instant>,
}

/// Sends, for ever, every notice to whom it concerns.
pub(crate) async fn pump(face: Arc<Face>, mut notices: Notices) {
    let mut heard = Heard::default();
    loop {
        let until = heard.until;
        let over = async move {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            notice = notices.next() => match notice {
                Some(notice) => face.tell(&mut heard, &notice).await,
                None => {
                    sleep(RESUBSCRIBE).await;
                    notices = face.terminal.notices();
                }
            },
            () = over => face.tell_others(&mut heard).await,
        }
    }
}

impl Heard {
    fn waits(&self, audience: &Audience) -> bool {
        audience.is_some() && self.served.is_some() && *audience != self.served
    }
    fn hold(&mut self, notice: &Notice) {
        let same = |held: &Notice| match (held, notice) {
            (Notice::Device { device: a }, Notice::Device { device: b }) => a.name == b.name,
            (held, notice) => std::mem::discriminant(held) == std::mem::discriminant(notice),
        };
        self.held.retain(|held| !same(held));
        self.held.push(notice.clone());
        self.until.get_or_insert_with(|| Instant::now() + OTHERS);
    }
    /// Changes of the manager's properties since this audience was told last.
    fn root_changed(&mut self, audience: &Audience, caller: &Caller, info: &TerminalInfo) -> Option<Told> {
        let now = manager::changing(&Shown { caller, info }).ok()?;
        let told = self.root.entry(audience.clone()).or_default();
        let mut new = now;
        new.retain(|name, value| told.get(name) != Some(value));
        if new.is_empty() {
            return None;
        }
        for (name, value) in &new {
            told.insert(name, value.try_clone().ok()?);
        }
        changed(ROOT.into(), manager::NAME, new)
    }
}

/// Tells whether an app may be told a notice later, when it is another one's payment that changes it.
fn can_wait(notice: &Notice) -> bool {
    match notice {
        Notice::Device { .. } | Notice::Inhibited { .. } | Notice::Screen { .. } => true,
        Notice::Started { .. }
        | Notice::Phase { .. }
        | Notice::Outcome { .. }
        | Notice::Obligation { .. }
        | Notice::Paper { .. }
        | Notice::Operators { .. }
        | Notice::Onboarding { .. }
        | Notice::Requirement { .. }
        | Notice::Downloaded { .. }
        | Notice::DownloadFailed { .. }
        | Notice::SelfTest { .. }
        | Notice::Language { .. } => false,
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

    async fn tell(&self, heard: &mut Heard, notice: &Notice) {
        let mut removed = None;
        if let Notice::Started { key, .. } = notice {
            removed = self.slide(key);
            if heard.served.as_ref() != Some(&key.app) {
                self.tell_others(heard).await;
                heard.served = Some(key.app.clone());
            }
        }
        let info = self.terminal.info().await.ok();
        let running = info.as_ref().and_then(|i| i.running.as_ref());
        let mut others = false;
        self.send_each(|audience, caller| {
            if heard.waits(audience) && (can_wait(notice) || !caller.hears(notice, running)) {
                others = true;
                return Vec::new();
            }
            let mut out = Vec::new();
            if caller.hears(notice, running) {
                told(caller, notice, removed.as_ref(), &mut out);
            }
            out.extend(info.as_ref().and_then(|info| heard.root_changed(audience, caller, info)));
            out
        });
        if others {
            if can_wait(notice) {
                heard.hold(notice);
            } else {
                heard.until.get_or_insert_with(|| Instant::now() + OTHERS);
            }
        }
    }

    /// Tells the other apps what was kept back from them.
    async fn tell_others(&self, heard: &mut Heard) {
        heard.until = None;
        let held = std::mem::take(&mut heard.held);
        let Ok(info) = self.terminal.info().await else { return };
        self.send_each(|audience, caller| {
            let mut out = Vec::new();
            if heard.waits(audience) {
                let root = heard.root_changed(audience, caller, &info);
                for notice in held.iter().filter(|n| caller.hears(n, info.running.as_ref())) {
                    // The device's own change, whatever the payment was; the rest only when it still holds.
                    if root.is_some() || matches!(notice, Notice::Device { .. }) {
                        told(caller, notice, None, &mut out);
                    }
                }
                out.extend(root);
            }
            out
        });
    }

    /// Makes the signals of each audience once and sends them to its connections.
    fn send_each(&self, mut make: impl FnMut(&Audience, &Caller) -> Vec<Told>) {
        let mut made: BTreeMap<Audience, Vec<Told>> = BTreeMap::new();
        let (links, callers) = (lock(&self.links).clone(), self.callers());
        for link in links {
            for peer in link.peers() {
                let Some(caller) = peer.follower(&callers) else { continue };
                let audience = (!caller.manager).then(|| caller.app.clone());
                let all = match made.get(&audience) {
                    Some(all) => all,
                    None => {
                        let all = make(&audience, caller);
                        made.entry(audience).or_insert(all)
                    }
                };
                for told in all {
                    let Ok(message) = built(&link.conn, peer.name.as_deref(), told) else { continue };
                    if link.signals.try_send(message).is_err() {
                        let peer = peer.name.as_deref().unwrap_or("socket");
                        tracing::warn!(app = %caller.app, peer, "signals are not read: one was dropped");
                        link.cut();
                    }
                }
            }
        }
    }
}

/// Adds the signals by which this caller is told of a notice that it hears.
fn told(caller: &Caller, notice: &Notice, removed: Option<&RequestKey>, out: &mut Vec<Told>) {
    let root = |interface, member, values| signal(ROOT.into(), interface, member, values);
    out.extend(wire::encode(notice).ok().and_then(|v| root(manager::NAME, "Notice", vec![v])));
    let transaction = |key, outcome, phase, told: &[&str]| {
        let mut all = transaction::properties(&Seen { outcome, phase }).ok()?;
        all.retain(|name, _| told.contains(name));
        changed(path(key), transaction::NAME, all)
    };
    match notice {
        Notice::Started { key, outcome, .. } => {
            if let Ok(all) = transaction::properties(&Seen { outcome, phase: Phase::Started }) {
                let values = vec![object_path(path(key)), with_interface(transaction::NAME, all)];
                out.extend(root(standard::OBJECT_MANAGER, "InterfacesAdded", values));
            }
            if let Some(old) = removed.filter(|k| caller.sees(&k.app)) {
                let mut interfaces = Array::new(&Signature::Str);
                let _ = interfaces.append(Variant::from(transaction::NAME));
                let values = vec![object_path(path(old)), Variant::Array(interfaces)];
                out.extend(root(standard::OBJECT_MANAGER, "InterfacesRemoved", values));
            }
        }
        Notice::Phase { key, phase, .. } => {
            let now = Properties::from([
                ("Phase", Variant::from(phase.name())),
                ("CanCancel", Variant::Bool(phase.can_cancel())),
            ]);
            out.extend(changed(path(key), transaction::NAME, now));
        }
        Notice::Outcome { outcome } => {
            let told = ["Phase", "CanCancel", "Status", "Outcome"];
            out.extend(transaction(&outcome.key, outcome, Phase::Ended, &told));
            if outcome.status != Status::Running
                && let Ok(value) = wire::encode(outcome)
            {
                let at = path(&outcome.key);
                out.extend(signal(at, transaction::NAME, "OutcomeChanged", vec![value]));
            }
        }
        Notice::Device { device: it } => {
            if let Ok(all) = device::changing(it) {
                out.extend(changed(device_path(&it.name), device::NAME, all));
            }
        }
        Notice::Operators { on_duty, locked } => {
            let shown = OnDuty { required: false, on_duty: on_duty.as_ref(), locked: *locked };
            if let Ok(all) = operators::changing(&shown) {
                out.extend(changed(ROOT.into(), operators::NAME, all));
            }
        }
        Notice::Screen { .. }
        | Notice::Language { .. }
        | Notice::Inhibited { .. }
        | Notice::Obligation { .. }
        | Notice::Paper { .. }
        | Notice::Onboarding { .. }
        | Notice::Requirement { .. }
        | Notice::Downloaded { .. }
        | Notice::DownloadFailed { .. }
        | Notice::SelfTest { .. } => {}
    }
}

fn signal(
    path: String,
    interface: &'static str,
    member: &'static str,
    values: Vec<Variant<'static>>,
) -> Option<Told> {
    Some(Told { path, interface, member, values: wire::arguments(values).ok()? })
}

fn changed(path: String, interface: &'static str, properties: Properties) -> Option<Told> {
    let invalidated = Variant::Array(Array::new(&Signature::Str));
    let values = vec![Variant::from(interface), dict(properties), invalidated];
    signal(path, standard::PROPERTIES, "PropertiesChanged", values)
}

fn built(conn: &zbus::Connection, to: Option<&str>, told: &Told) -> zbus::Result<Message> {
    let mut builder = Message::signal(told.path.as_str(), told.interface, told.member);
    if let Some(own) = conn.unique_name() {
        builder = builder.sender(own);
    }
    if let Some(to) = to {
        builder = builder.destination(to);
    }
    builder.build(&told.values)
}
