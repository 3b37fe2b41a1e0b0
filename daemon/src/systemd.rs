//! Readiness and watchdog of systemd (sd_notify(3)). Without `NOTIFY_SOCKET` nothing is sent.
use payterm_engine::Pulse;
use sd_notify::NotifyState;
use std::time::Duration;

/// Tells that calls are taken; `status` is for people (`systemctl status`).
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status.replace('\n', " "))]);
}
pub fn status(status: &str) {
    tell(&[NotifyState::Status(&status.replace('\n', " "))]);
}
/// Tells that the configuration is read anew; [`ready`] follows. systemd 253 asks for the time, 252 passes it
/// over.
pub fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now().ok());
    tell(&states);
}
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}
fn tell(states: &[NotifyState]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::warn!("systemd could not be told: {e}");
    }
}

/// Says that the daemon lives as long as the terminal does; never ends.
pub async fn watchdog(terminal: Pulse) {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(every / 2).await;
        if terminal.beats(Duration::max(every / 4, Duration::from_millis(100))).await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
