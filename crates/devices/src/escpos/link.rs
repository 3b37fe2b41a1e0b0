//! An open connection to an ESC/POS printer: bytes out, answers in, and what this printer answers at all.
use crate::{DeviceError, PaperLevel, PrinterStatus};
use payterm_schema::device::Confirm;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios,
};
use std::{
    hash::{BuildHasher, Hasher},
    io,
    os::fd::OwnedFd,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Half of the time that is left: a question that stays without an answer leaves as much for the rest.
pub(super) fn half(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

/// Process id of a job: four characters (33 to 126) that no earlier job or attempt of this process had. The
/// first is random, so that an answer to a job of an earlier process is not taken for one of ours.
pub(super) fn process_id() -> [u8; 4] {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    let random =
        || AtomicU32::new(std::collections::hash_map::RandomState::new().build_hasher().finish() as u32);
    let mut n = NEXT.get_or_init(random).fetch_add(1, Ordering::Relaxed);
    [(); 4].map(|()| {
        let digit = (n % 94) as u8;
        n /= 94;
        33 + digit
    })
}

/// Command GS ( H function 48, process id response: pL pH fn=48 m=48 d1..d4. It prints nothing.
pub(super) fn asks_for(id: [u8; 4]) -> Vec<u8> {
    [&[0x1d, b'(', b'H', 6, 0, 48, 48], &id[..]].concat()
}

/// Kind of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Socket,
    Tty,
    WriteOnly,
}

/// Open connection; its file descriptor does not block.
pub(super) struct Link {
    device: String,
    fd: OwnedFd,
    wire: Wire,
    /// Bytes of an answer that is not complete yet.
    heard: Vec<u8>,
    /// Way in which the printer says that a job is out; none: not found out yet.
    pub confirms: Option<Confirm>,
}

impl Link {
    pub fn new(device: String, fd: OwnedFd, wire: Wire) -> Self {
        Self { device, fd, wire, heard: Vec::new(), confirms: None }
    }
    fn error(&self, doing: &str, e: Errno) -> DeviceError {
        DeviceError::io(&self.device, doing, e.into())
    }

    /// Waits until the descriptor is ready; false when the time is over.
    fn ready(&self, flags: PollFlags, until: Instant) -> Result<bool, Errno> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.fd, flags)], Some(&left)) {
                Ok(n) => return Ok(n > 0),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes all bytes; the error tells how many were taken before the trouble.
    pub fn write(&mut self, bytes: &[u8], until: Instant) -> Result<(), (usize, DeviceError)> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.ready(PollFlags::OUT, until) {
                Ok(true) => {}
                Ok(false) => {
                    return Err((
                        sent,
                        DeviceError::Silent { device: self.device.clone(), doing: "taking the job" },
                    ));
                }
                Err(e) => return Err((sent, self.error("sending", e))),
            }
            let taken = match self.wire {
                // Not the SIGPIPE that a library's process may not ignore.
                Wire::Socket => rustix::net::send(&self.fd, &bytes[sent..], rustix::net::SendFlags::NOSIGNAL),
                Wire::Tty | Wire::WriteOnly => rustix::io::write(&self.fd, &bytes[sent..]),
            };
            match taken {
                Ok(n) => sent += n,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(e) => return Err((sent, self.error("sending", e))),
            }
        }
        Ok(())
    }

    /// Reads what has come; false when nothing came until the time was over.
    fn hear(&mut self, until: Instant) -> Result<bool, DeviceError> {
        if !self.ready(PollFlags::IN, until).map_err(|e| self.error("listening", e))? {
            return Ok(false);
        }
        let mut buffer = [0u8; 256];
        match rustix::io::read(&self.fd, &mut buffer) {
            Ok(0) => Err(DeviceError::Gone { device: self.device.clone() }),
            Ok(n) => {
                self.heard.extend(&buffer[..n]);
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(e) => Err(self.error("listening", e)),
        }
    }

    /// Forgets late answers; an error when the other end has closed.
    pub fn drain(&mut self) -> Result<(), DeviceError> {
        // A printer that babbles without end is not listened to for ever.
        for _ in 0..64 {
            if self.wire == Wire::WriteOnly || !self.hear(Instant::now())? {
                break;
            }
        }
        while let Some(reply) = Reply::take(&mut self.heard) {
            self.late(&reply);
        }
        self.heard.clear();
        Ok(())
    }
    /// Learns from an answer that came too late: a printer that was busy when it was asked.
    fn late(&mut self, reply: &Reply) {
        if matches!(reply, Reply::ProcessId(_)) && self.confirms == Some(Confirm::Status) {
            self.confirms = Some(Confirm::ProcessId);
        }
    }

    /// Waits for the next whole answer; none when the time is over.
    fn reply(&mut self, until: Instant) -> Result<Option<Reply>, DeviceError> {
        loop {
            if let Some(reply) = Reply::take(&mut self.heard) {
                return Ok(Some(reply));
            }
            if Instant::now() >= until || !self.hear(until)? {
                return Ok(None);
            }
        }
    }

    /// Sends DLE EOT n and gives the byte that answers it.
    fn real_time(&mut self, n: u8, until: Instant) -> Result<u8, DeviceError> {
        self.write(&[0x10, 0x04, n], until).map_err(|(_, e)| e)?;
        while let Some(reply) = self.reply(until)? {
            match reply {
                Reply::RealTime(status) => return Ok(status),
                Reply::Automatic(_) | Reply::ProcessId(_) => self.late(&reply),
            }
        }
        Err(DeviceError::Silent { device: self.device.clone(), doing: "asked for its status (DLE EOT)" })
    }

    /// Asks for the four real-time statuses (DLE EOT 1 to 4).
    pub fn status(&mut self, until: Instant) -> Result<PrinterStatus, DeviceError> {
        let [printer, offline, error, paper] = [
            self.real_time(1, until)?,
            self.real_time(2, until)?,
            self.real_time(3, until)?,
            self.real_time(4, until)?,
        ];
        let faults = [
            (0x08, "cutter error"),
            (0x20, "unrecoverable error"),
            (0x40, "recoverable error (temperature)"),
        ];
        Ok(PrinterStatus {
            online: printer & 0x08 == 0,
            paper: match paper {
                p if p & 0x60 != 0 || offline & 0x20 != 0 => PaperLevel::Out,
                p if p & 0x0c != 0 => PaperLevel::NearEnd,
                _ => PaperLevel::Enough,
            },
            cover_open: offline & 0x04 != 0,
            error: faults.iter().find(|(bit, _)| error & bit != 0).map(|(_, text)| (*text).to_owned()),
            confirms: self.confirms,
        })
    }

    /// Finds out how this printer, which tells its state, says that a job is out: at best as `best`.
    pub fn find_out(&mut self, best: Confirm, until: Instant) -> Result<Confirm, DeviceError> {
        if let Some(known) = self.confirms {
            return Ok(known);
        }
        let answers = best == Confirm::ProcessId && {
            let id = process_id();
            self.write(&asks_for(id), until).map_err(|(_, e)| e)?;
            self.heard_id(id, until)?
        };
        let found = if answers { Confirm::ProcessId } else { Confirm::Status };
        self.confirms = Some(found);
        Ok(found)
    }
    /// Waits for the process id response with this id; others belong to earlier attempts.
    fn heard_id(&mut self, id: [u8; 4], until: Instant) -> Result<bool, DeviceError> {
        while let Some(reply) = self.reply(until)? {
            match reply {
                Reply::ProcessId(heard) if heard == id => return Ok(true),
                Reply::ProcessId(_) | Reply::RealTime(_) | Reply::Automatic(_) => {}
            }
        }
        Ok(false)
    }

    /// Waits until the printer says that the job with this id is out.
    pub fn confirmed(&mut self, id: [u8; 4], until: Instant) -> Result<(), DeviceError> {
        // At the end there is time left to ask what stands in the way.
        let reserve = (until.saturating_duration_since(Instant::now()) / 10).min(Duration::from_millis(500));
        if self.heard_id(id, until - reserve)? {
            return Ok(());
        }
        match self.status(until).map(|s| s.problem()) {
            Ok(Some(why)) => Err(DeviceError::io(&self.device, "in mid-job", io::Error::other(why))),
            Ok(None) | Err(_) => {
                Err(DeviceError::Silent { device: self.device.clone(), doing: "confirming the job (GS ( H)" })
            }
        }
    }

    /// Closes the connection at once: a serial line would first wait for a printer that does not read.
    pub fn abandon(self) {
        if self.wire == Wire::Tty {
            let _ = termios::tcflush(&self.fd, termios::QueueSelector::IOFlush);
        }
    }
}

/// Answer of a printer; its kind shows in its fixed bits.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// DLE EOT: 0xx1xx10.
    RealTime(u8),
    /// GS a: 0xx1xx00 and three bytes 0xx0xxxx.
    Automatic([u8; 4]),
    /// GS ( H function 48: 37h 22h d1 d2 d3 d4 00h.
    ProcessId([u8; 4]),
}
impl Reply {
    /// Takes the first whole answer; bytes that begin none (XON, XOFF, noise) are dropped.
    fn take(heard: &mut Vec<u8>) -> Option<Reply> {
        loop {
            let (reply, used) = match *heard.as_slice() {
                [] | [0x37] => return None,
                [0x37, 0x22, a, b, c, d, 0, ..] => (Some(Reply::ProcessId([a, b, c, d])), 7),
                [0x37, 0x22, ..] if heard.len() < 7 => return None,
                [s, ..] if s & 0x93 == 0x12 => (Some(Reply::RealTime(s)), 1),
                [s, ..] if s & 0x93 == 0x10 && heard.iter().skip(1).take(3).all(|b| b & 0x90 == 0) => {
                    match *heard.as_slice() {
                        [a, b, c, d, ..] => (Some(Reply::Automatic([a, b, c, d])), 4),
                        _ => return None,
                    }
                }
                [_, ..] => (None, 1),
            };
            heard.drain(..used);
            if reply.is_some() {
                return reply;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut heard: Vec<u8>) -> (Vec<Reply>, Vec<u8>) {
        let replies = std::iter::from_fn(|| Reply::take(&mut heard)).collect();
        (replies, heard)
    }

    #[test]
    fn replies_are_told_apart() {
        let stream = [
            0x11, 0x12, 0x37, 0x22, b'a', b'b', b'c', b'd', 0, 0x14, 0x00, 0x00, 0x0f, 0x13, 0x1a, 0x37,
            0x22, b'e',
        ];
        let (replies, rest) = all(stream.to_vec());
        assert_eq!(
            replies,
            [
                Reply::RealTime(0x12),
                Reply::ProcessId(*b"abcd"),
                Reply::Automatic([0x14, 0, 0, 0x0f]),
                Reply::RealTime(0x1a)
            ]
        );
        assert_eq!(rest, [0x37, 0x22, b'e']);
        // A broken automatic status does not swallow the answer behind it.
        assert_eq!(all(vec![0x10, 0x00, 0x12]).0, [Reply::RealTime(0x12)]);
        assert_eq!(all(vec![0x37, 0x22, 1, 2, 3, 4, 5, 0x12]).0, [Reply::RealTime(0x12)]);
    }

    #[test]
    fn ids_are_printable_and_unique() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| process_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().flatten().all(|c| (33..=126).contains(c)));
    }

    proptest! {
        #[test]
        fn noise_never_panics_and_ends(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_, rest) = all(noise);
            prop_assert!(rest.len() < 7);
        }
    }
}
