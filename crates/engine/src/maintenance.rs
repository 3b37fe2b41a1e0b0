//! The store's care behind the payments: the full check with a backup, the reserve of the disk, and the look
//! at the clock.
use crate::{terminal::Tell, terminal_service::TerminalService};
use payterm_core::Input;
use payterm_schema::config::AccountConfig;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Pause between the start, when the first customers may be waiting, and the first check. 5 s.
const FIRST: Duration = Duration::from_secs(5);
/// Between two looks at disk and clock. 10 s.
const LOOK: Duration = Duration::from_secs(10);
/// The failed check itself is repeated after so long. 10 min.
const RETRY: Duration = Duration::from_secs(600);

/// Full check and backup, after the start, every `store.check_every_hours`, and when a query has met damage;
/// ends with a damaged journal.
pub async fn check(service: Arc<TerminalService>) {
    let pause = async |wait| {
        tokio::select! {
            () = sleep(wait) => {}
            () = service.store.doubted() => {}
        }
    };
    pause(FIRST).await;
    loop {
        let (store, running) = (service.store.clone(), service.tasks.token());
        let done = tokio::task::spawn_blocking(move || {
            let _running = running;
            // On Linux this is the thread's own: customers go first.
            rustix::process::nice(10).ok();
            store.check_and_back_up()
        });
        let wait = match done.await {
            Ok(Ok(found)) => match found.broken {
                Some(broken) => {
                    tracing::error!(
                        "the journal does not hold, no payments: {broken}; the next start restores the last \
                         backup"
                    );
                    service.terminal.ask(Tell(Input::JournalDamaged { why: broken.to_string() })).await.ok();
                    return;
                }
                None => {
                    tracing::info!(
                        records = found.records,
                        head = found.head,
                        "the journal was checked and backed up"
                    );
                    match service.config.store.check_every_hours {
                        0 => Duration::MAX,
                        hours => Duration::from_secs(u64::from(hours) * 3600),
                    }
                }
            },
            Ok(Err(e)) => {
                tracing::error!("the journal was not backed up: {e}");
                RETRY
            }
            Err(_) => RETRY,
        };
        pause(wait).await;
    }
}

/// Reserve, clock and keys, without an end.
pub async fn watch(service: Arc<TerminalService>) {
    let floor = u64::from(service.config.store.free_mib) << 20;
    loop {
        if let Err(e) = service.store.keep_reserve(floor) {
            tracing::warn!("store: no reserve on the disk: {e}");
        }
        let full = service.store.free().is_ok_and(|free| free < floor);
        let without = |a: &AccountConfig| service.examiner.vault.tmk_check_value(a.id.as_str()).is_none();
        let keyless = service.config.accounts.iter().any(without);
        for (what, lasts) in [("disk-full", full), ("keys-missing", keyless)] {
            service.terminal.ask(Tell(Input::Trouble { what, lasts })).await.ok();
        }
        if let Some(by) = service.clock.jumped() {
            tracing::warn!(by_ms = by.0, "the system clock was set");
            service.terminal.ask(Tell(Input::ClockJumped { by })).await.ok();
        }
        sleep(LOOK).await;
    }
}
