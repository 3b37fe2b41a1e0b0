//! The reserve of the disk: a commit that finds no room ends from it. On a small disk that something else
//! fills; it needs root and mounts, and says so where there are none.
use payterm_journal::{Commit, Options, Store, StoreError};
use payterm_schema::{Entry, Record, TerminalRecord, Time};
use payterm_tests::real::disk::{self, LoopDisk, SmallDisk};
use payterm_vault::SealingKey;
use std::{path::Path, time::Duration};

type Done = payterm_tests::real::stack::Result<()>;

const MIB: u64 = 1 << 20;
const RESERVE: u64 = 4 * MIB;
/// The WAL as the store reserves it in the first quiet moment.
const WAL: u64 = 8 * MIB;

/// Nothing is copied back from the WAL: it grows with each commit.
fn options(reserve: u64) -> Options {
    Options { reserve, checkpoint_every: 1 << 40, ..Options::default() }
}
fn open(dir: &Path, reserve: u64) -> Result<(Store, u64), StoreError> {
    let key = SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE);
    Store::open(payterm_journal::hold(dir)?, dir, key, options(reserve))
        .map(|(store, loaded)| (store, loaded.last_seq))
}
/// 64 records, some 16 KiB.
async fn put(store: &Store, last: u64) -> Result<u64, StoreError> {
    let record = || Record::Terminal(TerminalRecord::Booted { version: "0123456789".repeat(20) });
    let records =
        (1..=64).map(|n| Entry { seq: last + n, at: Time(1_000), txn: None, record: record() }).collect();
    let done = store.commit(Commit { records, ..Commit::default() }).await;
    done.unwrap_or(Err(StoreError::Stopped)).map(|d| d.head.seq)
}
fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |m| m.len())
}

/// The disk fills while a journal is restored: the restoring fails, and with room again everything that the
/// damaged file proves is there.
#[tokio::test]
async fn a_restoring_on_a_full_disk_loses_nothing() -> Done {
    if !disk::mounts() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let disk = SmallDisk::new(dir.path(), 64)?;
    let state = dir.path().join("state");
    // More than SQLite keeps in memory before it writes.
    let (store, mut last) = open(&state, 0)?;
    while last < 64 * 512 {
        last = put(&store, last).await?;
    }
    store.close();
    std::fs::write(state.join("journal.suspect"), "planted")?;
    disk.fill(size(&state.join("journal.db")) / 2)?;
    let full = open(&state, 0).err().ok_or("it was restored on a full disk")?;
    assert!(full.is_full(), "{full}");
    disk.free()?;
    let (store, found) = open(&state, 0)?;
    assert_eq!(found, last);
    store.close();
    Ok(())
}

/// The power goes just after a start: the WAL's name is on the disk before the mark that misses it.
#[tokio::test]
async fn a_power_cut_after_a_start_is_no_damage() -> Done {
    if !disk::mounts() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut disk = LoopDisk::new(dir.path())?;
    let state = dir.path().join("state/journal");
    let (store, last) = open(&state, 0)?;
    let last = put(&store, last).await?;
    store.close();
    // That the WAL was removed is on the disk.
    std::fs::File::open(&state)?.sync_all()?;
    let switch = disk.switch()?;
    let (store, found) = open(&state, 0)?;
    switch.cut()?;
    // What it still writes finds no disk.
    store.close();
    disk.power_on()?;
    let key = SealingKey::new([7; 32]).keyed_hash(payterm_journal::PURPOSE);
    let (store, loaded) = Store::open(payterm_journal::hold(&state)?, &state, key, options(0))?;
    assert_eq!((loaded.restored, loaded.last_seq, found), (None, last, last));
    store.close();
    Ok(())
}

#[tokio::test]
async fn a_commit_on_a_full_disk_ends_from_the_reserve() -> Done {
    if !disk::mounts() {
        return Ok(());
    }
    for reserve in [0, RESERVE] {
        let dir = tempfile::tempdir()?;
        let disk = SmallDisk::new(dir.path(), 32)?;
        let state = dir.path().join("state");
        let (wal, kept) = (state.join("journal.db-wal"), state.join("journal.reserve"));
        let (store, mut last) = open(&state, reserve)?;
        last = put(&store, last).await?;
        while size(&wal) < WAL {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        store.keep_reserve(MIB)?;
        assert_eq!(size(&kept), reserve);
        disk.fill(0)?;
        assert_eq!(store.free()?, 0);
        store.keep_reserve(0)?;

        // What the WAL has room for, then what the reserve had; each commit says whether it is on the disk.
        let mut ended = 0;
        let full = loop {
            let before = kept.exists();
            match put(&store, last).await {
                Ok(seq) => {
                    if before && !kept.exists() {
                        assert!(size(&wal) > WAL, "given back before it was needed");
                        ended = seq;
                    }
                    last = seq;
                }
                Err(e) => break e,
            }
        };
        assert!(full.is_full(), "{full}");
        assert!(size(&wal) >= WAL + reserve / 2, "{} bytes", size(&wal));
        assert_eq!((kept.exists(), ended > 0, last > ended), (false, reserve > 0, true), "with {reserve}");

        // Somebody tidies up: nothing that was told is missing, and the reserve is taken again, but not from
        // the last bytes.
        disk.free()?;
        store.close();
        let (store, found) = open(&state, reserve)?;
        assert_eq!(found, last);
        last = put(&store, found).await?;
        store.keep_reserve(32 * MIB)?;
        assert!(!kept.exists());
        store.keep_reserve(MIB)?;
        assert_eq!(size(&kept), reserve);
        store.close();
        assert!(last > found);
    }
    Ok(())
}
