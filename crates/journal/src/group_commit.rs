//! Group commit, on a thread of its own or on the caller's when that is alone; and the quiet moments in which
//! the write-ahead log is copied back.
use crate::{
    Counters, Job, Loaded, Options, StoreError, backup, files, restore,
    writer::{self, Open, Opened, Written},
};
use payterm_vault::KeyedHash;
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// No commit for this long is a quiet moment.
const QUIET_WAIT: Duration = Duration::from_millis(100);
/// No commit for this long is a quiet moment just after the start, when nobody waits for the terminal to be
/// ready any more.
const QUIET_WAIT_FIRST: Duration = Duration::from_millis(20);
/// Groups after which the start is over: [`QUIET_WAIT_NEAR_MAX`] is quiet enough to reserve the WAL. 16: a
/// start and three payments.
const START_GROUPS: u64 = 16;
/// Time for which those who were answered together are waited for until all have handed over again: a
/// quarter of what the last commit took, 50 us (half of a quick disk's sync) at the least and 1 ms at the
/// most. Without it eight payments in flight fall into groups of one and of seven.
const GATHER_WAIT: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(1));
/// Time for which a commit that nobody waits for waits for those that are expected with it
/// ([`Commit::expected_group`](crate::Commit::expected_group)). 2 ms.
const EXPECTED_GROUP_WAIT: Duration = Duration::from_millis(2);
/// Time for which those who were answered together are waited for until the first hands over again. 200 us:
/// the writer does not go to sleep between two groups.
const REGROUP_WAIT: Duration = Duration::from_micros(200);
/// The WAL is copied back in a quiet moment, but not later than after so many times
/// [`Options::checkpoint_every`] groups. 8.
const WAL_GROUPS_MAX: u64 = 8;
/// Multiple of [`Options::checkpoint_every`] from which on a shorter moment is quiet enough. 2: of a
/// payment's commits (some five pages each) hardly more fit into what is reserved of the WAL, and behind
/// that each sync writes the file's metadata too.
const WAL_GROUPS_NEAR_MAX: u64 = 2;
const QUIET_WAIT_NEAR_MAX: Duration = Duration::from_millis(2);

/// The open journal; whoever has taken it out writes: the writer's thread, or a caller who is alone. Who
/// panics takes it along, and it is gone after a commit that failed.
pub(crate) struct ConnectionSlot {
    open: Mutex<Option<Open>>,
    /// Commits that were handed to the writer's thread and are not answered.
    waiting: AtomicUsize,
    /// The last commit took less than `Options::quick`.
    quick: AtomicBool,
    /// Groups since the last checkpoint.
    since: AtomicU64,
}
impl ConnectionSlot {
    pub fn new() -> Self {
        Self {
            open: Mutex::new(None),
            waiting: AtomicUsize::new(0),
            quick: AtomicBool::new(false),
            since: AtomicU64::new(0),
        }
    }
    fn take(&self) -> Option<Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
    fn take_by(&self, until: Instant) -> Option<Open> {
        loop {
            match self.take() {
                None if Instant::now() < until => std::thread::yield_now(),
                taken => return taken,
            }
        }
    }
    fn put(&self, open: Open) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
    }
    fn is_here(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
    /// Groups since the last checkpoint.
    fn since(&self) -> u64 {
        self.since.load(Ordering::Relaxed)
    }
    /// The WAL is to be copied back: the writer's thread is told when that is due, and does it itself when it
    /// cannot wait any more.
    fn to_copy(&self, context: &WriterContext) -> bool {
        self.since() == context.options.checkpoint_every
            || self.since() >= context.options.checkpoint_every * WAL_GROUPS_MAX
    }
    pub fn handed(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }
    pub fn taken_back(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Surroundings of the writing beside the journal.
pub(crate) struct WriterContext {
    pub dir: PathBuf,
    pub key: KeyedHash,
    pub options: Options,
    pub counters: Arc<Counters>,
    /// Held while the journal is opened, and by who says that it is to be restored.
    pub swap_lock: Mutex<()>,
    /// Why the generation file said nothing when the journal was opened.
    pub no_generation: Mutex<Option<String>>,
}
impl WriterContext {
    /// The journal that was looked at is damaged, or holds: what follows from it is done, unless another one
    /// has its name by now.
    pub fn still<T>(
        &self,
        which: files::Which,
        then: impl FnOnce() -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let _swapping = self.swap_lock.lock().unwrap_or_else(PoisonError::into_inner);
        (files::which(&self.dir) == which).then(then)
    }
}

pub(crate) fn run(
    context: &WriterContext,
    slot: &ConnectionSlot,
    ready: impl FnOnce(Result<Loaded, StoreError>),
    jobs: &Receiver<Job>,
) {
    // Nobody doubts a file that is just put aside.
    let opened = {
        let _swapping = context.swap_lock.lock().unwrap_or_else(PoisonError::into_inner);
        restore::open(&context.dir, &context.key, &context.options)
    };
    match opened {
        Ok((Opened { db, loaded }, marks)) => {
            let said = context.no_generation.lock();
            said.unwrap_or_else(PoisonError::into_inner).clone_from(&marks.no_generation);
            slot.put(Open { db, marks, last: loaded.head, certain: true });
            ready(Ok(loaded));
        }
        Err(e) => {
            ready(Err(e));
            return refuse_all(jobs);
        }
    }
    let mut reserved = false;
    let mut many = 1;
    let mut took = Duration::ZERO;
    while let Some(first) = soon(context, slot, jobs, many).or_else(|| {
        many = 1;
        next(context, slot, jobs, &mut reserved)
    }) {
        let mut group = vec![first];
        // Those who were answered together hand over together: a moment for the others. A lone caller never
        // waits.
        let now = Instant::now();
        let until = now + (took / 4).clamp(GATHER_WAIT.0, GATHER_WAIT.1);
        while group.len() < context.options.group {
            let expected_group = group.iter().map(|job| job.commit.expected_group).min().unwrap_or(0);
            let more = match group.len() {
                n if n < expected_group => before(now + EXPECTED_GROUP_WAIT, jobs),
                n if n < many => before(until, jobs),
                _ => jobs.try_recv().ok(),
            };
            let Some(job) = more else { break };
            group.push(job);
        }
        many = group.len();
        let began = Instant::now();
        // Whoever writes itself is through soon.
        let Some(open) = slot.take_by(Instant::now() + QUIET_WAIT_FIRST) else {
            group.into_iter().for_each(refuse);
            return refuse_all(jobs);
        };
        let open = commit(context, slot, open, group);
        took = began.elapsed();
        slot.waiting.fetch_sub(many, Ordering::SeqCst);
        match open {
            Some(open) => slot.put(open),
            None => return refuse_all(jobs),
        }
        // To the keys of what has begun: their sync is on its way while the next group is written.
        std::thread::yield_now();
    }
    drop(slot.take());
}

/// A caller who is alone, on a disk that is quick, writes itself: two hand-overs between threads take as long
/// as the disk. Otherwise the job is given back, for the writer's thread: while others wait, or when it has
/// to look after the WAL.
pub(crate) fn alone(context: &WriterContext, slot: &ConnectionSlot, job: Job) -> Result<(), Job> {
    if slot.waiting.load(Ordering::SeqCst) > 0 || !slot.quick.load(Ordering::Relaxed) {
        return Err(job);
    }
    if slot.to_copy(context) {
        return Err(job);
    }
    let Some(open) = slot.take() else { return Err(job) };
    // A panic is the writer's, not the caller's: the answer's sender is gone, as when the writer's thread
    // dies.
    let done = catch_unwind(AssertUnwindSafe(|| commit(context, slot, open, vec![job])));
    if let Ok(Some(open)) = done {
        slot.put(open);
    }
    Ok(())
}

/// A look into the journal with the writer's own connection. None: somebody writes, or it failed.
pub(crate) fn look<T>(
    slot: &ConnectionSlot,
    look: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Option<T> {
    if slot.waiting.load(Ordering::SeqCst) > 0 {
        return None;
    }
    // The connection stays where it is: who wants it waits for the lock.
    let open = slot.open.lock().unwrap_or_else(PoisonError::into_inner);
    let found = look(&open.as_ref()?.db);
    found.inspect_err(|e| tracing::warn!("store: look-up: {e}")).ok()
}

/// Writes one SQLite transaction, and answers. None: it failed, and nothing more is written by this
/// connection: what comes next belongs to a machine that the disk does not know.
fn commit(
    context: &WriterContext,
    slot: &ConnectionSlot,
    mut open: Open,
    mut group: Vec<Job>,
) -> Option<Open> {
    if let Some(fail_point) = &context.options.before_group {
        fail_point();
    }
    let began = Instant::now();
    let mut written = writer::write(&mut open, &context.key, &group);
    if written.as_ref().is_err_and(StoreError::is_full) && backup::release(&context.dir) {
        tracing::error!("store: the disk is full: what has begun ends from the reserve");
        written = writer::write(&mut open, &context.key, &group);
    }
    slot.quick.store(began.elapsed() < context.options.quick, Ordering::Relaxed);
    slot.since.fetch_add(1, Ordering::Relaxed);
    match written {
        Ok(Written { all, refused }) => {
            context.counters.count(all.len());
            let behind = group.split_off(all.len());
            for (job, durable) in group.into_iter().zip(all) {
                job.done.send(Ok(durable)).ok();
            }
            let Some(e) = refused else { return Some(open) };
            tracing::error!("store: {e}: nothing more is written before the journal is opened again");
            drop(open);
            behind.into_iter().for_each(|job| drop(job.done.send(Err(e.clone()))));
            None
        }
        Err(e) => {
            tracing::error!("store: commit failed, {} callers are told: {e}", group.len());
            open.certain = false;
            drop(open);
            if let Some(why) = e.damage()
                && let Err(e) = restore::suspect(&context.dir, &why)
            {
                tracing::error!("store: {e}");
            }
            for job in group {
                job.done.send(Err(e.clone())).ok();
            }
            None
        }
    }
}

/// The first of those who were answered together, when it comes soon.
fn soon(context: &WriterContext, slot: &ConnectionSlot, jobs: &Receiver<Job>, many: usize) -> Option<Job> {
    let full = slot.since() >= context.options.checkpoint_every * WAL_GROUPS_MAX;
    if many > 1 && !full { before(Instant::now() + REGROUP_WAIT, jobs) } else { None }
}

/// The next job, when it comes before then. The last of the time the thread stays awake: to wake it takes
/// as long as a quick disk's sync.
fn before(until: Instant, jobs: &Receiver<Job>) -> Option<Job> {
    loop {
        if let Ok(job) = jobs.try_recv() {
            return Some(job);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        if left <= REGROUP_WAIT {
            std::thread::yield_now();
            continue;
        }
        match jobs.recv_timeout(left - REGROUP_WAIT) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// The next commit. The first quiet moment reserves the WAL. When enough is in the WAL, the first quiet
/// moment is used to copy it back into the database; without any, it is done at [`WAL_GROUPS_MAX`] times
/// that, so that the WAL is bounded.
fn next(
    context: &WriterContext,
    slot: &ConnectionSlot,
    jobs: &Receiver<Job>,
    reserved: &mut bool,
) -> Option<Job> {
    while !*reserved && slot.since() < context.options.checkpoint_every * WAL_GROUPS_MAX {
        match jobs.recv_timeout(if slot.since() < START_GROUPS {
            QUIET_WAIT_FIRST
        } else {
            QUIET_WAIT_NEAR_MAX
        }) {
            Ok(job) => return Some(job),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        // With the connection taken out: whoever wrote a commit meanwhile would have zeros over it. A caller
        // who writes just now is through soon; callers who are alone hand nothing over, nothing else would
        // wake this thread again.
        if let Some(open) = slot.take_by(Instant::now() + QUIET_WAIT_FIRST) {
            // It is a matter of speed only: without it the WAL grows as it is written.
            if let Err(e) = files::reserve_wal(&context.dir) {
                tracing::warn!("store: the WAL is not reserved: {e}");
            }
            slot.put(open);
            *reserved = true;
        }
    }
    let every = context.options.checkpoint_every;
    let mut since = slot.since();
    if since >= every {
        while since < every * WAL_GROUPS_MAX {
            match jobs.recv_timeout(if since < every * WAL_GROUPS_NEAR_MAX {
                QUIET_WAIT
            } else {
                QUIET_WAIT_NEAR_MAX
            }) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                // Nor did anybody write itself, nor does now.
                Err(RecvTimeoutError::Timeout) if slot.since() == since && slot.is_here() => break,
                Err(RecvTimeoutError::Timeout) => since = slot.since(),
            }
        }
        // Whoever writes just now is through soon.
        if let Some(open) = slot.take_by(Instant::now() + QUIET_WAIT_FIRST) {
            if let Err(e) = open.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                tracing::warn!("store: checkpoint: {e}");
            }
            slot.since.store(0, Ordering::Relaxed);
            slot.put(open);
        }
    }
    jobs.recv().ok()
}

/// Answers until the last sender is gone.
fn refuse_all(jobs: &Receiver<Job>) {
    jobs.iter().for_each(refuse);
}
fn refuse(job: Job) {
    job.done.send(Err(StoreError::Stopped)).ok();
}
