//! Readiness and watchdog of systemd (sd_notify(3)). Without `NOTIFY_SOCKET` nothing is sent.
use crate::{
    supervise::Child,
    terminal::{Look, TerminalActor},
};
use sd_notify::NotifyState;
use std::time::Duration;

pub fn ready() {
    tell(NotifyState::Ready);
}
pub fn stopping() {
    tell(NotifyState::Stopping);
}
fn tell(state: NotifyState) {
    if let Err(e) = sd_notify::notify(&[state]) {
        tracing::warn!("systemd could not be told: {e}");
    }
}

/// Says that the daemon lives as long as the terminal answers; never ends. While the terminal is rebuilt it
/// counts as living: a disk that is full is not mended by a restart.
pub async fn watchdog(terminal: Child<TerminalActor>) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(every / 2).await;
        let Some(addr) = terminal.addr() else {
            tell(NotifyState::Watchdog);
            continue;
        };
        if tokio::time::timeout(Duration::max(every / 4, Duration::from_millis(100)), addr.send(Look))
            .await
            .is_ok()
        {
            tell(NotifyState::Watchdog);
        }
    }
}
