//! Whether a write-ahead log was damaged after it was written. SQLite reads it up to the first frame that
//! does not check, and takes what is behind for the rest of an unfinished commit. Payterm waits for each
//! commit's sync before it begins the next: when something follows a commit behind the break, that commit was
//! durable, and the break is damage.
//!
//! File format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>. A break in the very last
//! commit cannot be told from a power cut in the middle of it.
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

const HEADER: usize = 32;
const FRAME: usize = 24;
/// Page sizes that SQLite has.
const PAGES: std::ops::RangeInclusive<u32> = 512..=65536;

/// Damage of a write-ahead log; none: nothing that can be told from here, also when there is no log.
pub(crate) fn damage(path: &Path) -> io::Result<Option<&'static str>> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let len = file.metadata()?.len();
    let mut header = [0; HEADER];
    if len < HEADER as u64 || read(&file, &mut header, 0)? < HEADER {
        return Ok(None);
    }
    // Reserved, and nothing was committed yet: the head is synced before the first frame.
    if header == [0; HEADER] {
        return Ok(if zeros(&file)? { None } else { Some("the head of its write-ahead log is gone") });
    }
    let word = |b: &[u8], at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    let (magic, page, salts) = (word(&header, 0), word(&header, 8), &header[16..24]);
    let big = magic & 1 == 1;
    let mut sum = checksum(&header[..24], (0, 0), big);
    let sound =
        magic & !1 == 0x377f_0682 && PAGES.contains(&page) && sum == (word(&header, 24), word(&header, 28));
    // Written once, and synced with the first commit.
    if !sound {
        return Ok(Some("the head of its write-ahead log is damaged"));
    }
    let size = FRAME + page as usize;
    let mut frame = vec![0; size];
    // None while all checks; then whether a commit has ended behind the break.
    let mut broken: Option<bool> = None;
    let mut at = HEADER as u64;
    while at + size as u64 <= len && read(&file, &mut frame, at)? == size {
        let ours = frame[8..16] == *salts;
        match broken {
            None => {
                let next = checksum(&frame[FRAME..], checksum(&frame[..8], sum, big), big);
                if ours && next == (word(&frame, 16), word(&frame, 20)) {
                    sum = next;
                } else {
                    // Behind the last one that is written stand frames of the WAL's time before.
                    broken = Some(ours && word(&frame, 4) != 0);
                }
            }
            Some(true) if ours => return Ok(Some("its write-ahead log is damaged")),
            Some(ended) => broken = Some(ended || (ours && word(&frame, 4) != 0)),
        }
        at += size as u64;
    }
    Ok(None)
}

/// The page with the database's header, as each commit in the log has it. Frames are not checked: what a
/// header says of the format does not hang on the last commit.
pub(crate) fn first_pages(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let mut header = [0; HEADER];
    let whole = read(&file, &mut header, 0)? == HEADER;
    let page = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if !whole || !PAGES.contains(&page) {
        return Ok(Vec::new());
    }
    let mut frame = vec![0; FRAME + page as usize];
    let (mut at, mut all) = (HEADER as u64, Vec::new());
    while read(&file, &mut frame, at)? == frame.len() {
        if frame[..4] == 1_u32.to_be_bytes() && frame[8..16] == header[16..24] {
            all.push(frame[FRAME..].to_vec());
        }
        at += frame.len() as u64;
    }
    Ok(all)
}

fn zeros(file: &File) -> io::Result<bool> {
    let (mut bytes, mut at) = (vec![0; 1 << 16], 0);
    loop {
        let n = read(file, &mut bytes, at)?;
        if n == 0 || bytes[..n].iter().any(|b| *b != 0) {
            return Ok(n == 0);
        }
        at += n as u64;
    }
}

fn read(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut n = 0;
    while n < bytes.len() {
        match file.read_at(&mut bytes[n..], at + n as u64)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// SQLite's: over pairs of 32-bit words, in the order of bytes that the magic number says.
fn checksum(bytes: &[u8], (mut a, mut b): (u32, u32), big: bool) -> (u32, u32) {
    let word = |w: &[u8]| {
        let w = [w[0], w[1], w[2], w[3]];
        if big { u32::from_be_bytes(w) } else { u32::from_le_bytes(w) }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(word(pair)).wrapping_add(b);
        b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
    }
    (a, b)
}
