//! An inhibitor lock of systemd-logind while the machine must not go down. Payments never wait for it: it is
//! asked for beside them, and where there is no logind there is no lock.
use crate::client::Address;
use futures_util::StreamExt;
use payterm_schema::{config::LogindLock, inhibit::InhibitReason};
use std::{collections::BTreeSet, time::Duration};
use tokio::{sync::watch, time::timeout};
use zbus::{Connection, Message, OwnedFd};

const LOGIN1: &str = "org.freedesktop.login1";
const BUS: &str = "org.freedesktop.DBus";
/// Time for the bus and for logind to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Waits before logind is asked again after a failure: doubles from the first to the last.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

pub type Reasons = BTreeSet<InhibitReason>;

#[derive(Debug, thiserror::Error)]
enum LockError {
    #[error(transparent)]
    Bus(#[from] zbus::Error),
    #[error("no answer within {} s", ANSWER.as_secs())]
    Late,
    #[error("the connection was lost")]
    Lost,
}

/// Until the sender of `reasons` is gone: holds the lock while there is a reason that no person is waited
/// for.
pub async fn keep(address: Address, mode: LogindLock, mut reasons: watch::Receiver<Reasons>) {
    let mode = match mode {
        LogindLock::Off => return,
        LogindLock::Block => "block",
        LogindLock::Delay => "delay",
    };
    let mut again = AGAIN_FIRST;
    // It outlives the connection that it came by, so that a bus that restarts leaves no gap.
    let mut lock = None;
    while reasons.wait_for(|r| why(r).is_some()).await.is_ok() {
        match hold(&address, mode, &mut reasons, &mut lock).await {
            Ok(()) => again = AGAIN_FIRST,
            Err(e) => {
                // Without systemd that is how it stays.
                tracing::debug!(again_in_ms = again.as_millis(), "no lock of logind: {e}");
                let over = async { drop(reasons.wait_for(|r| why(r).is_none()).await) };
                if timeout(again, over).await.is_ok() {
                    lock = None;
                }
                again = (again * 2).min(AGAIN_MAX);
            }
        }
    }
}

/// Reasons as a text for people: `systemd-inhibit --list` shows it.
fn why(reasons: &Reasons) -> Option<String> {
    let names: Vec<&str> = reasons.iter().filter(|r| !r.waits_for_a_person()).map(|r| r.name()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Ends when the lock was released, or with what went wrong; then it is still held if it was.
async fn hold(
    address: &Address,
    mode: &str,
    reasons: &mut watch::Receiver<Reasons>,
    lock: &mut Option<OwnedFd>,
) -> Result<(), LockError> {
    let mut stream = within(address.builder().build_message_stream()).await?;
    let conn = Connection::from(&stream);
    let rule =
        format!("type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{LOGIN1}'");
    within(conn.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "AddMatch", &rule)).await?;
    let mut held = String::new();
    loop {
        let Some(now) = why(&reasons.borrow_and_update()) else {
            *lock = None;
            return Ok(());
        };
        if held != now {
            // The new one first, then the old one goes: no gap.
            *lock = Some(inhibit(&conn, mode, &now).await?);
            held = now;
        }
        tokio::select! {
            changed = reasons.changed() => if changed.is_err() {
                *lock = None;
                return Ok(());
            },
            told = stream.next() => match told {
                // A logind that was started anew may know nothing of our lock.
                Some(Ok(m)) if appeared(&m) => held.clear(),
                Some(Ok(_)) => {}
                Some(Err(e)) => return Err(e.into()),
                None => return Err(LockError::Lost),
            },
        }
    }
}

async fn inhibit(conn: &Connection, mode: &str, why: &str) -> Result<OwnedFd, LockError> {
    let ask = |mode| async move {
        let what = ("shutdown:sleep", "payterm", why, mode);
        let reply = within(conn.call_method(
            Some(LOGIN1),
            "/org/freedesktop/login1",
            Some("org.freedesktop.login1.Manager"),
            "Inhibit",
            &what,
        ))
        .await?;
        Ok::<OwnedFd, LockError>(reply.body().deserialize()?)
    };
    match ask(mode).await {
        // Without the polkit rule that is installed with payterm a service may only delay.
        Err(LockError::Bus(e)) if mode == "block" && denied(&e) => ask("delay").await,
        answer => answer,
    }
}

fn denied(e: &zbus::Error) -> bool {
    let zbus::Error::FDO(e) = e else { return false };
    matches!(**e, zbus::fdo::Error::AccessDenied(_) | zbus::fdo::Error::InteractiveAuthorizationRequired(_))
}

fn appeared(m: &Message) -> bool {
    let h = m.header();
    let from_bus = h.sender().is_some_and(|s| s.as_str() == BUS)
        && h.member().is_some_and(|n| n.as_str() == "NameOwnerChanged");
    from_bus
        && m.body()
            .deserialize::<(&str, &str, &str)>()
            .is_ok_and(|(n, _, owner)| n == LOGIN1 && !owner.is_empty())
}

async fn within<T>(work: impl Future<Output = zbus::Result<T>>) -> Result<T, LockError> {
    Ok(timeout(ANSWER, work).await.map_err(|_| LockError::Late)??)
}
