//! Decisions of the runs of cards, beside the journal: for those who ask why a card was declined
//! (`paytermctl emv log`). A thread of its own writes them, nothing waits for it, and no payment depends on
//! them; what cannot be written is lost.
use crate::sparing::Sparing;
use payterm_devices::emv_kernel::{Decisions, TakeDecisions};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

/// Runs that may wait to be written. 64: a minute of taps while the disk hangs.
const WAITING_MAX: usize = 64;
/// Bytes from which on a file is put aside. 1 MiB: some two hundred runs.
const FILE_MAX: u64 = 1 << 20;

/// The older file first.
const FILES: [&str; 2] = ["cards.1.log", "cards.log"];

/// The last runs that were written, a line each: `most` at most.
pub fn last_runs(dir: &Path, most: usize) -> Vec<String> {
    // What was never written, or cannot be read, says nothing.
    let texts = FILES.map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default());
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    lines.iter().skip(lines.len().saturating_sub(most)).map(|line| (*line).to_owned()).collect()
}

/// Starts the thread; it ends when the callback is dropped.
pub fn start(dir: &Path) -> io::Result<TakeDecisions> {
    let (said, runs) = mpsc::sync_channel(WAITING_MAX);
    let dir = dir.to_owned();
    std::thread::Builder::new().name("card-log".into()).spawn(move || keep(&dir, runs))?;
    Ok(to_thread(said))
}

fn to_thread(said: mpsc::SyncSender<Decisions>) -> TakeDecisions {
    let losses = Sparing::default();
    Arc::new(move |run| {
        if said.try_send(run).is_err() && losses.is_due() {
            tracing::warn!("the decisions of a card's run are lost: the disk hangs");
        }
    })
}

fn keep(dir: &Path, runs: impl IntoIterator<Item = Decisions>) {
    let [before, now] = FILES.map(|name| dir.join(name));
    let failures = Sparing::default();
    for run in runs {
        if let Err(e) = write(&now, &before, &run)
            && failures.is_due()
        {
            tracing::warn!("{}: {e}", now.display());
        }
    }
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
        assert_eq!(last_runs(dir.path(), 9), [""; 0]);
        let [before, now] = FILES.map(|name| dir.path().join(name));
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
        // Of both files, the newest last.
        let lines: Vec<&str> = all.lines().collect();
        let most = new.lines().count() + 2;
        assert_eq!(last_runs(dir.path(), most), lines[lines.len() - most..]);
        assert_eq!(last_runs(dir.path(), 99), lines);
    }

    #[test]
    fn a_disk_that_takes_none_is_told_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(log.reopen().unwrap())).finish();
        let run = |txn| Decisions { txn, at: Time(7), log: Vec::new() };
        // Where the file is to be is a folder; who writes it takes nothing more.
        fs::create_dir(dir.path().join("cards.log")).unwrap();
        let (said, _hangs) = mpsc::sync_channel(0);
        tracing::subscriber::with_default(subscriber, || {
            keep(dir.path(), (0..5).map(run));
            let take = to_thread(said);
            (0..5).for_each(|txn| take(run(txn)));
        });
        let text = fs::read_to_string(log.path()).unwrap();
        assert_eq!((text.matches("cards.log").count(), text.matches("are lost").count()), (1, 1), "{text}");
    }
}
