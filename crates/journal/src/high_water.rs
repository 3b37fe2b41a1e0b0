//! Facts that must outlive the database, in two small files beside it: `journal.marks`, how far each
//! account's STANs may have been used, and `journal.keys`, which requests were started. The first is ahead
//! of the journal, the second just behind it: a journal that is restored goes on above the marks, and does
//! not begin anew what it does not know. The marks also say which head the journal has reached.
//!
//! Invariant: before a frame may leave, its STAN is below a durable mark and its request's key is durable.
use crate::{Head, StoreError, files, generation};
use payterm_schema::{AccountId, RequestKey, Stan};
use payterm_vault::KeyedHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
};

/// The greatest STAN.
const LAST_STAN: u32 = 999_999;
/// A mark is moved this far ahead. 100: one sync more in a hundred messages; a restored terminal skips at
/// most as many numbers.
const STEP: u32 = 100;
/// Two places that are written in turn: one is whole, whenever the power goes. 4 KiB: a sector of any disk,
/// 100 accounts.
const SLOT: usize = 4096;
/// Place of the head that the last commit has reached: behind the two.
const REACHED: u64 = 2 * SLOT as u64;
/// Hash 16, transaction 8, check 8.
const ENTRY: usize = 32;
/// `journal.keys` grows by so much at a time, so that a key's sync writes no metadata. 64 KiB: 2,048
/// requests.
const GROW: u64 = 64 << 10;
/// Entries that are written anew at a start. 128: a page, many times what one commit brings.
const REWRITTEN: u64 = 128;

/// The keyed hash of a request's key, as it stands in `journal.keys` and in SQL `lost`.
pub(crate) type KeyHash = [u8; 16];
pub(crate) fn hash_of(key: &KeyedHash, app: &str, id: &str) -> KeyHash {
    let [a, _] = split(key.of(&[b"key", app.as_bytes(), id.as_bytes()]));
    a
}
fn split(hash: [u8; 32]) -> [[u8; 16]; 2] {
    let mut out = [[0; 16]; 2];
    out.iter_mut().zip(hash.chunks_exact(16)).for_each(|(o, h)| o.copy_from_slice(h));
    out
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Slot {
    generation: u64,
    /// A store has the journal open: its WAL must be there.
    open: bool,
    /// The journal's head when it was left in order.
    head: Option<String>,
    /// Numbers up to and including these may have been used.
    stans: BTreeMap<AccountId, Stan>,
}

/// The head that the last commit has left, and the boot of the machine in which it was noted. It is written
/// behind the commit and not synced: after a kill it is the last one, after a power cut it may be an earlier
/// one.
#[derive(Clone, Copy)]
struct Reached {
    head: Head,
    boot: [u8; 16],
}

pub(crate) struct Marks {
    file: File,
    slot: Slot,
    reached: Option<Reached>,
    boot: [u8; 16],
    keys: Arc<Keys>,
    key: KeyedHash,
    /// State of the marks when they were opened.
    pub found: Opened,
    /// The generation file.
    outside: Option<PathBuf>,
    /// Why that says nothing, or is not kept.
    pub no_generation: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// A new directory.
    Nothing,
    Whole,
    /// Neither place could be read, or the file was gone.
    Lost,
}

impl Marks {
    /// `others`: something else says that there was a journal in this directory. `outside`: the generation
    /// file.
    pub fn open(
        dir: &Path,
        key: &KeyedHash,
        others: bool,
        outside: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let path = dir.join("journal.marks");
        let file = files::private(&path)?;
        let mut bytes = vec![0; 2 * SLOT];
        let n = read_up_to(&file, &mut bytes, 0).map_err(files::file_error(&path))?;
        let places = || bytes[..n].chunks(SLOT);
        let slot = places().filter_map(parse).max_by_key(|s| s.generation).map(|mut s| {
            // The other place cannot be read: it may have been the later one, a step ahead.
            if places().any(|p| parse(p).is_none() && p.iter().any(|b| *b != 0)) {
                s.stans.values_mut().for_each(|mark| *mark = ahead(*mark));
            }
            s
        });
        let mut place = [0; 64];
        read_up_to(&file, &mut place, REACHED).map_err(files::file_error(&path))?;
        let keys = Keys::open(dir)?;
        let found = match &slot {
            Some(_) => Opened::Whole,
            None if n == 0 && !others && keys.last().is_none() => Opened::Nothing,
            None => Opened::Lost,
        };
        let (slot, reached) = (slot.unwrap_or_default(), reached(&place));
        let (boot, key) = (this_boot(), key.clone());
        Ok(Self { file, slot, reached, boot, keys, key, found, outside, no_generation: None })
    }

    pub fn was_open(&self) -> bool {
        self.slot.open
    }
    pub fn stans(&self) -> BTreeMap<AccountId, Stan> {
        self.slot.stans.clone()
    }
    /// The number of the last transaction whose key is there.
    pub fn last_txn(&self) -> Option<u64> {
        self.keys.last()
    }
    /// Every key that is whole, with its transaction.
    pub fn keys(&self) -> Result<Vec<(KeyHash, u64)>, StoreError> {
        self.keys.all()
    }

    /// The marks are of an old copy of the state directory: the generation file is ahead of them. They go on
    /// above it.
    pub fn behind(&mut self) -> bool {
        let Some(path) = &self.outside else { return false };
        let ahead = match generation::read(path, &self.key) {
            Ok(Some(there)) => there.checked_sub(self.slot.generation).filter(|ahead| *ahead > 0),
            Ok(None) => {
                let known = self.found != Opened::Nothing;
                self.no_generation = known.then(|| format!("{} is not there", path.display()));
                None
            }
            Err(e) => {
                self.no_generation = Some(e.to_string());
                None
            }
        };
        self.slot.generation += ahead.unwrap_or(0);
        ahead.is_some()
    }
    fn tell_outside(&mut self) {
        let Some(path) = &self.outside else { return };
        if let Err(e) = generation::write(path, &self.key, self.slot.generation) {
            tracing::warn!("store: the generation file: {e}");
            self.no_generation = Some(e.to_string());
        }
    }

    /// A head that the journal has had: it is there, or something is gone.
    pub fn head(&self) -> Option<Head> {
        self.reached.map(|r| r.head)
    }
    /// That head is the last one of all: the machine has not been off since.
    pub fn head_is_last(&self) -> bool {
        self.reached.is_some_and(|r| r.boot == self.boot && r.boot != [0; 16])
    }
    /// The journal has come to this head, and that is durable.
    pub fn reached(&mut self, head: Head) -> Result<(), StoreError> {
        let body = [&head.seq.to_be_bytes()[..], &head.hash, &self.boot].concat();
        let bytes = [&body[..], &Sha256::digest(&body)[..8]].concat();
        self.file.write_all_at(&bytes, REACHED).map_err(marks_error())?;
        self.reached = Some(Reached { head, boot: self.boot });
        Ok(())
    }
    /// Another journal is put in its place: what the one before it has reached does not count.
    pub fn forget_head(&mut self) -> Result<(), StoreError> {
        self.file
            .write_all_at(&[0; 64], REACHED)
            .and_then(|()| self.file.sync_data())
            .map_err(marks_error())?;
        self.reached = None;
        Ok(())
    }

    /// The journal, which has this head, is about to be written.
    pub fn opened(&mut self, head: Head) -> Result<(), StoreError> {
        self.reached(head)?;
        // Also when it says so already: after a failed sync the kernel may show marks that never reached the
        // disk.
        self.write(Slot { open: true, head: None, ..self.slot.clone() })?;
        self.tell_outside();
        Ok(())
    }
    /// Marks the journal as left; with its head, when that is known for certain.
    pub fn left(&mut self, head: Option<String>) -> Result<(), StoreError> {
        self.change(|s| (s.open, s.head) = (false, head))?;
        self.tell_outside();
        Ok(())
    }
    /// The head that it was left with.
    pub fn left_with(&self) -> Option<&str> {
        self.slot.head.as_deref().filter(|_| !self.slot.open)
    }

    /// The account is about to use this STAN.
    pub fn stan(&mut self, account: &AccountId, stan: Stan) -> Result<(), StoreError> {
        let below = self
            .slot
            .stans
            .get(account)
            .is_some_and(|mark| mark.get().checked_sub(stan.get()).is_some_and(|left| left < STEP));
        if below {
            return Ok(());
        }
        let mark = ahead(stan);
        self.change(|s| {
            s.stans.insert(account.clone(), mark);
        })
    }

    /// The request is on record: its key is written, and on its way to the disk. Not before, or a group that
    /// was not committed would leave keys of requests that were never made.
    pub fn started(&self, request: &RequestKey, txn: u64) -> Result<(), StoreError> {
        self.keys.append(hash_of(&self.key, &request.app, &request.id), txn)
    }
    /// Writes the key of a request whose key is missing.
    pub fn missed(&self, hash: KeyHash, txn: u64) -> Result<(), StoreError> {
        self.keys.append(hash, txn)
    }
    /// Makes room for so many keys.
    pub fn make_room(&self, many: usize) -> Result<(), StoreError> {
        let mut tail = self.keys.tail.lock().unwrap_or_else(PoisonError::into_inner);
        self.keys.grow(&mut tail, many)
    }
    /// Waits until all keys are durable: before a frame may leave. They were written while the card was asked
    /// for.
    pub fn wait(&self) -> Result<(), StoreError> {
        self.keys.wait()
    }

    fn change(&mut self, change: impl FnOnce(&mut Slot)) -> Result<(), StoreError> {
        let mut next = self.slot.clone();
        change(&mut next);
        if next == self.slot { Ok(()) } else { self.write(next) }
    }
    fn write(&mut self, mut next: Slot) -> Result<(), StoreError> {
        next.generation += 1;
        let mut bytes = frame(&next);
        bytes.resize(SLOT, 0);
        let at = (next.generation % 2) * SLOT as u64;
        self.file.write_all_at(&bytes, at).and_then(|()| self.file.sync_data()).map_err(marks_error())?;
        self.slot = next;
        Ok(())
    }
}

fn marks_error() -> impl FnOnce(io::Error) -> StoreError {
    files::file_error(Path::new("journal.marks"))
}

/// The kernel's name of this boot; zeros where it tells none.
fn this_boot() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut id = [0; 16];
    // One that cannot be read leaves zeros.
    if hex::decode_to_slice(text.trim().replace('-', ""), &mut id).is_err() {
        id = [0; 16];
    }
    id
}

/// `seq u64 | hash 32 | boot 16 | SHA-256, first 8 bytes`.
fn reached(place: &[u8; 64]) -> Option<Reached> {
    let (body, check) = place.split_first_chunk::<56>()?;
    let (seq, rest) = body.split_first_chunk::<8>()?;
    let (hash, boot) = rest.split_first_chunk::<32>()?;
    let head = Head { seq: u64::from_be_bytes(*seq), hash: *hash };
    let whole = *body != [0; 56] && Sha256::digest(body)[..8] == *check;
    whole.then_some(Reached { head, boot: boot.try_into().ok()? })
}

fn ahead(stan: Stan) -> Stan {
    Stan::new((stan.get() + STEP - 1).min(LAST_STAN)).unwrap_or(stan)
}

/// `length u32 | SHA-256, first 8 bytes | JSON`.
fn frame(slot: &Slot) -> Vec<u8> {
    let json = serde_json::to_vec(slot).unwrap_or_default();
    [&(json.len() as u32).to_be_bytes(), &Sha256::digest(&json)[..8], &json].concat()
}
fn parse(bytes: &[u8]) -> Option<Slot> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<8>()?;
    let json = rest
        .get(..u32::from_be_bytes(*len) as usize)
        .filter(|j| !j.is_empty() && Sha256::digest(j)[..8] == check[..])?;
    serde_json::from_slice(json).ok()
}
fn read_up_to(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < bytes.len() {
        match file.read_at(&mut bytes[n..], at + n as u64)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// `journal.keys`: entries of one size, then zeros.
struct Keys {
    file: File,
    tail: Mutex<Tail>,
    moved: Condvar,
}
struct Tail {
    end: u64,
    /// Length of the file in bytes.
    len: u64,
    last: Option<u64>,
    synced: u64,
    failed: Option<Arc<io::Error>>,
    closed: bool,
}

impl Keys {
    fn open(dir: &Path) -> Result<Arc<Self>, StoreError> {
        let path = dir.join("journal.keys");
        let failed = || files::file_error(&path);
        let file = files::private(&path)?;
        let len = file.metadata().map_err(failed())?.len();
        // The first place without an entry: what is behind it was never synced, and no frame left for it.
        let whole =
            |n: u64| -> io::Result<Option<u64>> { Ok(entry(&read_entry(&file, n)?).map(|(_, txn)| txn)) };
        let (mut low, mut high) = (0, len / ENTRY as u64);
        while low < high {
            let middle = low + (high - low) / 2;
            if read_entry(&file, middle).map_err(failed())? == [0; ENTRY] {
                high = middle
            } else {
                low = middle + 1
            }
        }
        // After a failed sync the kernel may show what never reached the disk, and not write it again: the
        // last ones are written anew.
        let tail = low.saturating_sub(REWRITTEN);
        let mut bytes = vec![0; (low - tail) as usize * ENTRY];
        file.read_exact_at(&mut bytes, tail * ENTRY as u64)
            .and_then(|()| file.write_all_at(&bytes, tail * ENTRY as u64))
            .map_err(failed())?;
        file.sync_data().map_err(failed())?;
        let last = if low == 0 { None } else { whole(low - 1).map_err(failed())? };
        let end = low * ENTRY as u64;
        let tail = Mutex::new(Tail { end, len, last, synced: end, failed: None, closed: false });
        let keys = Arc::new(Self { file, tail, moved: Condvar::new() });
        let own = keys.clone();
        crate::spawn("payterm-keys", move || while own.sync_once() {})?;
        Ok(keys)
    }

    fn last(&self) -> Option<u64> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    fn append(&self, hash: KeyHash, txn: u64) -> Result<(), StoreError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = || files::file_error(Path::new("journal.keys"));
        self.grow(&mut tail, 1)?;
        let body = [&hash[..], &txn.to_be_bytes()].concat();
        let check = Sha256::digest(&body);
        self.file.write_all_at(&[&body[..], &check[..8]].concat(), tail.end).map_err(failed())?;
        tail.end += ENTRY as u64;
        tail.last = Some(txn);
        drop(tail);
        self.moved.notify_all();
        Ok(())
    }

    fn grow(&self, tail: &mut Tail, many: usize) -> Result<(), StoreError> {
        while tail.end + (many * ENTRY) as u64 > tail.len {
            let grown =
                self.file.write_all_at(&vec![0; GROW as usize], tail.len).and_then(|()| self.file.sync_all());
            grown.map_err(files::file_error(Path::new("journal.keys")))?;
            tail.len += GROW;
        }
        Ok(())
    }

    /// Runs one round of the thread that brings keys to the disk; false: it is to end.
    fn sync_once(&self) -> bool {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        while tail.end == tail.synced {
            if tail.closed {
                return false;
            }
            tail = self.moved.wait(tail).unwrap_or_else(PoisonError::into_inner);
        }
        let end = tail.end;
        drop(tail);
        let done = self.file.sync_data();
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(()) => tail.synced = tail.synced.max(end),
            Err(e) => tail.failed = Some(Arc::new(e)),
        }
        self.moved.notify_all();
        tail.failed.is_none()
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let end = tail.end;
        while tail.synced < end {
            if let Some(cause) = &tail.failed {
                return Err(StoreError::File { path: "journal.keys".into(), cause: cause.clone() });
            }
            tail = self.moved.wait(tail).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    fn all(&self) -> Result<Vec<(KeyHash, u64)>, StoreError> {
        let mut bytes = vec![0; self.tail.lock().unwrap_or_else(PoisonError::into_inner).len as usize];
        let n =
            read_up_to(&self.file, &mut bytes, 0).map_err(files::file_error(Path::new("journal.keys")))?;
        Ok(bytes[..n].chunks_exact(ENTRY).filter_map(entry).collect())
    }
}
impl Drop for Marks {
    fn drop(&mut self) {
        self.keys.tail.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.keys.moved.notify_all();
    }
}

fn read_entry(file: &File, n: u64) -> io::Result<[u8; ENTRY]> {
    let mut bytes = [0; ENTRY];
    file.read_exact_at(&mut bytes, n * ENTRY as u64)?;
    Ok(bytes)
}
/// An entry's key and transaction; none: zeros, or torn.
fn entry(bytes: &[u8]) -> Option<(KeyHash, u64)> {
    let (body, check) = bytes.split_at_checked(24)?;
    let whole = body.iter().any(|b| *b != 0) && Sha256::digest(body)[..8] == *check;
    let (hash, txn) = body.split_first_chunk::<16>()?;
    whole.then(|| Some((*hash, u64::from_be_bytes(txn.try_into().ok()?))))?
}
