//! Readiness and watchdog of systemd (sd_notify(3)). Without `NOTIFY_SOCKET` nothing is sent.
use payterm_engine::Pulse;
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

/// Says that the daemon lives as long as the terminal does; never ends.
pub async fn watchdog(terminal: Pulse) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(every / 2).await;
        if terminal.beats(Duration::max(every / 4, Duration::from_millis(100))).await {
            tell(NotifyState::Watchdog);
        }
    }
}
