//! Decisions of the runs of cards, beside the journal: for those who ask why a card was declined
//! (`paytermctl emv log`). A thread of its own writes them, nothing waits for it, and no payment depends on
//! them; what cannot be written is lost.
use payterm_devices::emv_kernel::{Decisions, TakeDecisions};
use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

/// Runs that may wait to be written. 64: a minute of taps while the disk hangs.
const WAITING_MAX: usize = 64;
/// Bytes from which on a file is put aside. 1 MiB: some two hundred runs.
const FILE_MAX: u64 = 1 << 20;

/// Starts the thread; it ends when the callback is dropped.
pub fn start(dir: &Path) -> io::Result<TakeDecisions> {
    let (said, runs) = mpsc::sync_channel::<Decisions>(WAITING_MAX);
    let (now, before) = (dir.join("cards.log"), dir.join("cards.1.log"));
    std::thread::Builder::new().name("card-log".into()).spawn(move || {
        for run in runs {
            if let Err(e) = write(&now, &before, &run) {
                tracing::warn!("{}: {e}", now.display());
            }
        }
    })?;
    Ok(Arc::new(move |run| {
        if said.try_send(run).is_err() {
            tracing::warn!("the decisions of a card's run are lost: the disk hangs");
        }
    }))
}

/// Appends a line: JSON with `txn`, `at` and `log`.
fn write(now: &PathBuf, before: &PathBuf, run: &Decisions) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(now)?;
    let Decisions { txn, at, log } = run;
    let line = serde_json::json!({ "txn": txn, "at": at, "log": log }).to_string() + "\n";
    file.write_all(line.as_bytes())?;
    if file.metadata()?.len() > FILE_MAX { std::fs::rename(now, before) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payterm_schema::Time;

    #[test]
    fn runs_are_appended_and_two_files_hold_the_last_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let [now, before] = ["cards.log", "cards.1.log"].map(|name| dir.path().join(name));
        let run = |txn| Decisions { txn, at: Time(7), log: vec!["x".repeat(1000); 100] };
        for txn in 1..=30 {
            write(&now, &before, &run(txn)).unwrap();
        }
        let text = |path| std::fs::read_to_string(path).unwrap();
        let (old, new) = (text(&before), text(&now));
        assert!(old.len() as u64 > FILE_MAX && (old.len() as u64) < FILE_MAX + 200_000);
        let all = old + &new;
        let txns: Vec<u64> = all
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["txn"].as_u64().unwrap())
            .collect();
        assert_eq!(txns.last(), Some(&30));
        assert!(txns.windows(2).all(|two| two[1] == two[0] + 1), "{txns:?}");
    }
}
