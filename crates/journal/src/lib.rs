//! The journal on disk: SQLite (WAL, synchronous=FULL), one writer at a time with group commit, one reader
//! thread for queries. Only this crate knows SQLite.
//!
//! Invariant: a reply to [`Store::commit`] is given after the records are durable; after a failed commit
//! nothing more is written until [`Store::reopen`] has read back what the disk really holds.
mod backup;
mod chain;
mod files;
mod generation;
mod group_commit;
mod health;
mod high_water;
mod queries;
mod restore;
mod verify;
mod wal;
mod writer;

pub use chain::{Hash, Head, PURPOSE};
pub use health::{Health, SCHEMA};
pub use queries::{Found, FoundPaper};
pub use verify::{Broken, Verified, verify};

use group_commit::{ConnectionSlot, WriterContext};
use payterm_schema::{
    Entry, EraseBatch, RequestKey, SealedNeeds,
    record::{EncodingError, Restored, RrnClaim},
};
use payterm_vault::KeyedHash;
use rusqlite::{Connection, ErrorCode};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::oneshot;

/// Records and sealed values that are made durable together: all of them or none.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub records: Vec<Entry>,
    /// Sealed PANs by transaction.
    pub seal: Vec<(u64, Vec<u8>)>,
    pub erase: Vec<u64>,
    /// All of a closed batch but some.
    pub erase_batch: Option<Box<EraseBatch>>,
    /// It is written only when this holds; otherwise its `instead` is.
    pub claim: Option<Box<RrnClaim>>,
    /// (seq, JSON) of the machine after the last record.
    pub snapshot: Option<(u64, String)>,
    /// Number of commits like it that are expected together, when nobody waits for it: the writer has a
    /// moment for them. 0: it is written at once.
    pub expected_group: usize,
}

/// Snapshot and records that the machine is rebuilt from.
#[derive(Debug)]
pub struct Loaded {
    pub snapshot: Option<String>,
    pub tail: Vec<Entry>,
    /// Sequence number of the last record; 0 in an empty journal.
    pub last_seq: u64,
    /// The chain at that record.
    pub head: Head,
    /// The chain at each outcome in the tail, by transaction.
    pub told: Vec<(u64, Head)>,
    /// The journal was damaged and put back, and that is not on record yet.
    pub restored: Option<Restored>,
}

/// Place in the journal that a commit made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The commit's last record, and the chain at it.
    pub head: Head,
    /// The chain at each outcome in it, by transaction.
    pub told: Vec<(u64, Head)>,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state directory {0} is in use by another payterm (StateInUse)")]
    StateInUse(PathBuf),
    #[error("{path}: {cause}")]
    File { path: PathBuf, cause: Arc<io::Error> },
    #[error("{path}: schema version {found} is newer than {known}, which this program knows")]
    NewerSchema { path: PathBuf, found: u32, known: u32 },
    /// Written before 2026-12; payterm had not been released then.
    #[error(
        "{path}: a journal of an earlier format (JournalOfAnEarlierFormat), which this program does not \
         read; nothing was changed. Settle its batch with the program that wrote it, then move all files \
         named journal.* out of the directory and start again; vault.sealed and terminal.sealed stay"
    )]
    JournalOfAnEarlierFormat { path: PathBuf },
    #[error("{path}: is a database, but not a payterm journal")]
    NotOurs { path: PathBuf },
    #[error("{0}")]
    Record(Arc<EncodingError>),
    #[error("snapshot {seq}: version {found} is newer than {known}, which this program knows")]
    NewerSnapshot { seq: u64, found: u32, known: u32 },
    #[error("{what}: {cause}")]
    Sql { what: &'static str, cause: Arc<rusqlite::Error> },
    #[error("record {found} cannot follow record {last}")]
    Gap { last: u64, found: u64 },
    #[error("record {seq}: {rule}")]
    Projection { seq: u64, rule: &'static str },
    /// The journal was damaged, or changed by somebody without the key.
    #[error("the journal's chain is broken: {place} {rule}")]
    Chain { place: String, rule: &'static str },
    #[error("{path}: the journal was written under another sealing key: put back the vault it belongs to")]
    OtherKey { path: PathBuf },
    /// Not written, but for what the commit has instead ([`RrnClaim`]), which is durable.
    #[error("the answer to transaction {txn} bears RRN {rrn}, which is that of transaction {other}")]
    OfAnother { txn: u64, rrn: String, other: u64 },
    #[error("the store stopped after a failed commit")]
    Stopped,
    #[error("the store's queue is full ({0} commits wait)")]
    Full(usize),
}
impl From<EncodingError> for StoreError {
    fn from(e: EncodingError) -> Self {
        StoreError::Record(Arc::new(e))
    }
}
impl StoreError {
    /// The error's text, when it means that the file is damaged or was changed: no retry mends that.
    pub fn damage(&self) -> Option<String> {
        let damaged = match self {
            StoreError::Sql { cause, .. } => {
                matches!(
                    cause.sqlite_error_code(),
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
                ) || unreadable(cause)
            }
            StoreError::Chain { .. } => true,
            // A record that the chain vouches for and that is not understood is another program's; a gap is
            // what was to be written.
            StoreError::Record(_)
            | StoreError::Gap { .. }
            | StoreError::Projection { .. }
            | StoreError::StateInUse(_)
            | StoreError::File { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::JournalOfAnEarlierFormat { .. }
            | StoreError::NotOurs { .. }
            | StoreError::OtherKey { .. }
            | StoreError::NewerSnapshot { .. }
            | StoreError::OfAnother { .. }
            | StoreError::Stopped
            | StoreError::Full(_) => false,
        };
        damaged.then(|| self.to_string())
    }
}
impl StoreError {
    /// No space is left on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Sql { cause, .. } => cause.sqlite_error_code() == Some(ErrorCode::DiskFull),
            StoreError::File { cause, .. } => cause.kind() == io::ErrorKind::StorageFull,
            StoreError::StateInUse(_)
            | StoreError::NewerSchema { .. }
            | StoreError::JournalOfAnEarlierFormat { .. }
            | StoreError::NotOurs { .. }
            | StoreError::OtherKey { .. }
            | StoreError::Record(_)
            | StoreError::NewerSnapshot { .. }
            | StoreError::Gap { .. }
            | StoreError::Projection { .. }
            | StoreError::Chain { .. }
            | StoreError::OfAnother { .. }
            | StoreError::Stopped
            | StoreError::Full(_) => false,
        }
    }
}
/// A value that is not of the column's type: STRICT tables hold none.
fn unreadable(cause: &rusqlite::Error) -> bool {
    use rusqlite::Error as E;
    matches!(
        cause,
        E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..)
    )
}
fn sql(what: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |cause| StoreError::Sql { what, cause: Arc::new(cause) }
}

/// Function that a test has called at a place of the store.
pub type FailPoint = Arc<dyn Fn() + Send + Sync>;

/// Bounds of the store. The defaults are what the daemon uses.
#[derive(Clone)]
pub struct Options {
    /// Commits that may wait for the writer. 1,024: many times what one terminal has under way.
    pub queue: usize,
    /// Queries that may wait for the reader. 256.
    pub queries: usize,
    /// Greatest number of commits in one group. 512: bounds the time of one transaction.
    pub group: usize,
    /// Groups between checkpoints, which copy the WAL back into the database in a quiet moment. 192: forty
    /// payments, 900 pages.
    pub checkpoint_every: u64,
    /// A commit that took less tells of a disk that is quick: a caller may wait for the next one. 2 ms: flash
    /// that does not stall, and the longest commit of a payment on it; a hand-over to the thread takes 0.3.
    pub quick: Duration,
    /// Greatest size of the database in pages of 4 KiB, for tests of a full disk. None: as much as there is.
    pub max_pages: Option<u32>,
    /// Directory of the backups. None: beside the journal.
    pub backups: Option<PathBuf>,
    /// The generation file, outside the state directory: an old copy of that is behind it. None: there is
    /// none.
    pub generation: Option<PathBuf>,
    /// Space kept on the disk for what has begun, in bytes; given back when the disk is full. 8 MiB: a
    /// thousand payments.
    pub reserve: u64,
    /// The sealed values that the machine of a snapshot and the records behind it still needs: a restoring
    /// erases all others, and without an answer none.
    pub sealed_needs: fn(Option<&str>, &[Entry]) -> Option<SealedNeeds>,
    /// Called before each group is written; a panic in it is the writer's. For tests of supervision.
    pub before_group: Option<FailPoint>,
}
impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 1024,
            queries: 256,
            group: 512,
            checkpoint_every: 192,
            quick: Duration::from_millis(2),
            max_pages: None,
            backups: None,
            generation: None,
            reserve: 8 << 20,
            sealed_needs: |_, _| None,
            before_group: None,
        }
    }
}

/// Counters since the start, for tests and `make bench`.
#[derive(Debug, Default)]
pub struct Counters {
    /// SQLite transactions committed; each is one fdatasync.
    pub groups: AtomicU64,
    /// Commits in them.
    pub commits: AtomicU64,
}

struct Writer {
    jobs: SyncSender<Job>,
    slot: Arc<ConnectionSlot>,
    thread: JoinHandle<()>,
}
struct Job {
    commit: Box<Commit>,
    done: oneshot::Sender<Result<Durable, StoreError>>,
}
type Ask = Box<dyn FnOnce(&Connection, files::Which) + Send>;

/// The lock of a state directory, for the store and for tools; the directory is made when it is not there.
pub fn hold(dir: &Path) -> Result<File, StoreError> {
    files::lock(dir)
}

/// Handle of the store; clones share it. All methods may be called from any thread, none but `open` and
/// `close` blocks.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    context: Arc<WriterContext>,
    lock: Mutex<Option<Arc<File>>>,
    writer: Mutex<Option<Writer>>,
    reader: Mutex<Option<(SyncSender<Ask>, JoinHandle<()>)>>,
    doubted: tokio::sync::Notify,
}

impl Store {
    /// Opens or makes the journal in `dir`, whose lock is `held`, and reads back what the machine needs.
    /// `key`: the vault's, of [`PURPOSE`].
    pub fn open(
        held: File,
        dir: &Path,
        key: KeyedHash,
        options: Options,
    ) -> Result<(Self, Loaded), StoreError> {
        let lock = Mutex::new(Some(Arc::new(held)));
        let store = Self(Arc::new(Inner {
            context: Arc::new(WriterContext {
                dir: dir.to_owned(),
                key,
                options,
                counters: Arc::default(),
                swap_lock: Mutex::default(),
                no_generation: Mutex::default(),
            }),
            lock,
            writer: Mutex::new(None),
            reader: Mutex::new(None),
            doubted: tokio::sync::Notify::new(),
        }));
        let (ready, loaded) = sync_channel(1);
        store.start_writer(move |l| drop(ready.send(l)))?;
        match loaded.recv().map_err(|_| StoreError::Stopped).flatten() {
            Ok(loaded) => Ok((store, loaded)),
            Err(e) => {
                // The directory is free when the caller hears of it.
                store.close();
                Err(e)
            }
        }
    }

    /// Hands a commit to the writer; the receiver hears what is durable, or why nothing was written. A
    /// receiver that is closed without an answer means that the writer died: the outcome of the commit is
    /// only on disk.
    pub fn commit(&self, commit: Commit) -> oneshot::Receiver<Result<Durable, StoreError>> {
        let (done, heard) = oneshot::channel();
        self.hand_over(Job { commit: Box::new(commit), done });
        heard
    }

    /// Hands over a commit of a caller that has nothing else under way: on a quick disk with nobody waiting
    /// it is written here and now, and the receiver has its answer already.
    pub fn commit_alone(&self, commit: Commit) -> oneshot::Receiver<Result<Durable, StoreError>> {
        let (done, heard) = oneshot::channel();
        let job = Job { commit: Box::new(commit), done };
        let left = match self.connection() {
            Some(slot) => group_commit::alone(&self.0.context, &slot, job).err(),
            None => Some(job),
        };
        if let Some(job) = left {
            self.hand_over(job);
        }
        heard
    }

    fn connection(&self) -> Option<Arc<ConnectionSlot>> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|w| w.slot.clone())
    }

    fn hand_over(&self, job: Job) {
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(w) = writer.as_ref() else { return drop(job.done.send(Err(StoreError::Stopped))) };
        w.slot.handed();
        let (job, why) = match w.jobs.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => (job, StoreError::Full(self.0.context.options.queue)),
            // The sender of the answer is dropped: the receiver hears that the writer is gone.
            Err(TrySendError::Disconnected(job)) => (job, StoreError::Stopped),
        };
        w.slot.taken_back();
        job.done.send(Err(why)).ok();
    }

    /// Opens a new connection, after a failed commit or a dead writer, and answers what the disk holds.
    pub async fn reopen(&self) -> Result<Loaded, StoreError> {
        // It may have another file open than the one that is there then.
        drop(take(&self.0.reader));
        let (ready, loaded) = oneshot::channel();
        self.start_writer(move |l| drop(ready.send(l)))?;
        let loaded = loaded.await.map_err(|_| StoreError::Stopped)?;
        // Who looked something up meanwhile may have opened the file that was put aside.
        drop(take(&self.0.reader));
        loaded
    }

    /// Runs a query on the reader's connection.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, heard) = oneshot::channel();
        let store = self.clone();
        self.send_ask(Box::new(move |db, which| {
            let found = query(db);
            if let Err(e) = &found {
                store.doubt(db, which, e);
            }
            done.send(found).ok();
        }))?;
        heard.await.map_err(|_| StoreError::Stopped)?
    }

    /// A query that failed on what is in the file: when the full check agrees, the next opening restores,
    /// also where the daemon cannot come up to make that check. A query's thread waits for it; no payment
    /// does.
    fn doubt(&self, db: &Connection, which: files::Which, e: &StoreError) {
        if e.damage().is_none() {
            return;
        }
        let why = match verify::of(db, Some(&self.0.context.key)) {
            Ok(found) => found.broken.map(|b| b.to_string()),
            Err(e) => e.damage(),
        };
        let Some(why) = why else { return };
        match self.0.context.still(which, || restore::suspect(&self.0.context.dir, &why)) {
            None => return tracing::warn!("the journal that was put aside is damaged: {why}"),
            Some(Ok(())) => tracing::error!("the journal is damaged: {why}; the next start restores it"),
            Some(Err(e)) => tracing::error!("the journal is damaged: {why}; store: {e}"),
        }
        self.0.doubted.notify_one();
    }
    /// A query has met damage.
    pub async fn doubted(&self) {
        self.0.doubted.notified().await;
    }

    /// Whether this key has a transaction: one look into an index, on the caller's thread and with the
    /// writer's connection, whose pages are at hand, since every payment waits for it (two hand-overs between
    /// threads cost ten times as much). None: it could not be told at once, a commit is under way; ask
    /// [`Store::by_key`].
    pub fn knows(&self, key: &RequestKey) -> Option<bool> {
        group_commit::look(&*self.connection()?, |db| queries::knows(db, key))
    }

    /// The request was started before the journal was restored, and the journal does not know it.
    pub async fn lost(&self, request: &RequestKey) -> Result<bool, StoreError> {
        let (key, request) = (self.0.context.key.clone(), request.clone());
        self.ask(move |db| restore::is_lost(db, &key, &request.app, &request.id)).await
    }

    pub fn counters(&self) -> &Counters {
        &self.0.context.counters
    }

    /// Waits until what was handed over is written, closes the connections and gives the directory free.
    pub fn close(&self) {
        // The writer last: a connection that only reads cannot move the WAL into the database.
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take().map(|w| w.thread);
        for thread in [take(&self.0.reader), writer].into_iter().flatten() {
            thread.join().ok();
        }
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn lock(&self) -> Result<Arc<File>, StoreError> {
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Stopped)
    }

    fn start_writer(
        &self,
        ready: impl FnOnce(Result<Loaded, StoreError>) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (jobs, rx) = sync_channel(self.0.context.options.queue);
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Dropping the old sender ends the old thread; the new one waits for it: two writers at once cannot
        // be.
        let before = writer.take().map(|w| w.thread);
        let (context, slot, lock) = (self.0.context.clone(), Arc::new(ConnectionSlot::new()), self.lock()?);
        let own = slot.clone();
        let thread = spawn("payterm-store", move || {
            let _lock = lock;
            if let Some(old) = before {
                old.join().ok();
            }
            group_commit::run(&context, &own, ready, &rx);
        })?;
        *writer = Some(Writer { jobs, slot, thread });
        Ok(())
    }

    fn send_ask(&self, ask: Ask) -> Result<(), StoreError> {
        let mut slot = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = match slot.as_ref().map(|(tx, _)| tx.clone()) {
            Some(tx) => match tx.try_send(ask) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(StoreError::Full(self.0.context.options.queries)),
                Err(TrySendError::Disconnected(ask)) => ask,
            },
            None => ask,
        };
        // The first query, or the reader has died: a new one.
        let (tx, rx) = sync_channel::<Ask>(self.0.context.options.queries);
        tx.try_send(ask).map_err(|_| StoreError::Stopped)?;
        let (dir, lock) = (self.0.context.dir.clone(), self.lock()?);
        let thread = spawn("payterm-query", move || {
            let _lock = lock;
            let which = files::which(&dir);
            match files::open_reader(&dir) {
                Ok(db) => rx.iter().for_each(|ask| ask(&db, which)),
                Err(e) => tracing::error!("store: queries: {e}"),
            }
        })?;
        *slot = Some((tx, thread));
        Ok(())
    }
}

fn take<T>(slot: &Mutex<Option<(SyncSender<T>, JoinHandle<()>)>>) -> Option<JoinHandle<()>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take().map(|(_, thread)| thread)
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(|e| StoreError::File { path: name.into(), cause: Arc::new(e) })
}

impl Counters {
    fn count(&self, commits: usize) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.commits.fetch_add(commits as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query meets damage in the file that is put aside meanwhile.
    #[test]
    fn who_has_the_damaged_file_open_does_not_doubt_the_one_that_was_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let key = payterm_vault::SealingKey::new([7; 32]).keyed_hash(PURPOSE);
        let (store, _) = Store::open(
            hold(dir.path()).unwrap(),
            dir.path(),
            key,
            Options { reserve: 0, ..Options::default() },
        )
        .unwrap();
        let booted = |seq| Entry {
            seq,
            at: payterm_schema::Time(1),
            txn: None,
            record: payterm_schema::Record::Terminal(payterm_schema::TerminalRecord::Booted {
                version: "x".into(),
            }),
        };
        let put = |seq| {
            store
                .commit(Commit { records: vec![booted(seq)], ..Commit::default() })
                .blocking_recv()
                .unwrap()
                .map(|d| d.head.seq)
        };
        (1..=3).for_each(|seq| assert_eq!(put(seq).unwrap(), seq));
        let db = Connection::open(files::journal(dir.path())).unwrap();
        files::keep_wal(&db, true).unwrap();
        db.execute_batch("UPDATE record SET at = 7 WHERE seq = 2").unwrap();
        drop(db);
        let (goes_on, waits) = sync_channel::<()>(1);
        let run = tokio::runtime::Builder::new_current_thread().build().unwrap();
        run.block_on(async {
            let asked = store.ask(move |_| {
                waits.recv().ok();
                Err::<(), _>(StoreError::Chain { place: "record 2".into(), rule: "is not as it was written" })
            });
            let mut asked = Box::pin(asked);
            assert!(
                std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx).is_pending())).await
            );
            // The reader has it open.
            std::thread::sleep(Duration::from_millis(100));
            restore::suspect(dir.path(), "record 2").unwrap();
            assert!(store.reopen().await.unwrap().restored.is_some());
            goes_on.send(()).unwrap();
            assert!(asked.await.is_err());
        });
        assert!(
            !dir.path().join("journal.suspect").exists(),
            "the journal that was just put back is restored at the next start"
        );
        store.close();
    }
}
