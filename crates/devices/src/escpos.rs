//! Driver of ESC/POS printers at `tcp:HOST:PORT` (usually 9100), `tty:/dev/ttyS0` or `tty:/dev/ttyS0@BAUD` (8
//! N 1), `file:/dev/usb/lp0` (write only: no back-channel). Commands and answers as in Epson's ESC/POS
//! reference: DLE EOT (real-time status), GS a (automatic status back), GS ( H function 48 (process id
//! response).
//!
//! Invariant: `NotStarted` is said only when no byte of the job was handed to the operating system; after the
//! first byte everything but the printer's own word is `Unconfirmed`. After any trouble the connection is
//! closed, unsent bytes with it.
use crate::{
    DeviceError, Face, PaperLevel, PaperWidth, PrintJob, Printer, PrinterStatus, Registration, options,
};
use payterm_schema::{DeviceKind, config::DeviceConfig, fault::with_causes, paper::PrintResult};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    termios,
};
use serde::Deserialize;
use std::{
    hash::{BuildHasher, Hasher},
    io,
    net::{TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Greatest wait for an answer to DLE EOT, which even a busy or offline printer gives at once. 3 s are for
/// slow serial lines and networks.
const STATUS_WAIT: Duration = Duration::from_secs(3);
/// Command GS a 0: no automatic status back. Packets that come nevertheless are understood.
const NO_AUTO_STATUS: [u8; 3] = [0x1d, b'a', 0];

/// Row of this driver in the register.
pub(crate) fn registration() -> Registration {
    Registration {
        driver: "escpos".into(),
        kinds: (&[DeviceKind::Printer]).into(),
        is_virtual: false,
        check: Arc::new(|device| EscPos::new(device).map(drop)),
        // The connection is made when it is first needed: a printer that is off is no reason not to start.
        open: Arc::new(|device, _| Ok(vec![Face::Printer(Box::new(EscPos::new(device)?))])),
    }
}

/// Way in which the printer says that a job is out. Default `process_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Confirm {
    /// `GS ( H` process id response.
    ProcessId,
    /// Good real-time status (`DLE EOT`) after the job.
    Status,
    /// The printer has no back-channel.
    None,
}

/// Keys of `[device.options]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    paper_mm: PaperWidth,
    confirm: Option<Confirm>,
}

enum Address {
    Tcp(String),
    File(String),
    Tty(String, Option<u32>),
}

/// ESC/POS printer; its connection is made when it is first needed.
struct EscPos {
    name: String,
    address: Address,
    width: PaperWidth,
    confirm: Confirm,
    /// Greatest time of one command.
    budget: Duration,
    link: Option<Link>,
}

impl EscPos {
    fn new(device: &DeviceConfig) -> Result<Self, DeviceError> {
        let name = &device.name;
        let bad = |field: &'static str, rule: &'static str| DeviceError::rule(name, field, rule);
        let text = device
            .address
            .as_deref()
            .ok_or_else(|| bad("address", "needed: tcp:HOST:PORT, tty:/PATH or file:/PATH"))?;
        let port = |to: &str| {
            let (host, port) = to.rsplit_once(':')?;
            (!host.is_empty()).then(|| port.parse::<u16>().ok().filter(|p| *p > 0)).flatten()
        };
        let address = match text.split_once(':') {
            Some(("tcp", to)) if port(to).is_some() => Address::Tcp(to.into()),
            Some(("file", path)) if path.starts_with('/') => Address::File(path.into()),
            Some(("tty", path)) if path.starts_with('/') => match path.rsplit_once('@') {
                None => Address::Tty(path.into(), None),
                Some((path, baud)) => Address::Tty(
                    path.into(),
                    Some(baud.parse().map_err(|_| bad("address", "after @: the baud rate"))?),
                ),
            },
            Some(_) | None => return Err(bad("address", "tcp:HOST:PORT, tty:/PATH or file:/PATH")),
        };
        let Options { paper_mm: width, confirm } = options(device)?;
        let confirm = match (&address, confirm) {
            (Address::File(_), None | Some(Confirm::None)) => Confirm::None,
            (Address::File(_), Some(_)) => {
                return Err(bad("options.confirm", "none for file: (it is opened for writing only)"));
            }
            (Address::Tcp(_) | Address::Tty(..), confirm) => confirm.unwrap_or(Confirm::ProcessId),
        };
        // A tenth is left so that the driver's own answer comes before the engine abandons it.
        let budget = Duration::from_millis(u64::from(device.command_timeout_ms)) * 9 / 10;
        Ok(Self { name: name.clone(), address, width, confirm, budget, link: None })
    }
}

impl Printer for EscPos {
    fn paper_width(&self) -> PaperWidth {
        self.width
    }
    fn status(&mut self) -> Result<PrinterStatus, DeviceError> {
        self.fresh_status(Instant::now() + self.budget)
    }

    fn print(&mut self, job: &PrintJob) -> PrintResult {
        let until = Instant::now() + self.budget;
        match self.fresh_status(until).map(|s| s.problem()) {
            Ok(None) => {}
            Ok(Some(why)) => return PrintResult::NotStarted(why),
            Err(e) => return PrintResult::NotStarted(with_causes(&e)),
        }
        let Some(mut link) = self.link.take() else { return PrintResult::NotStarted("not connected".into()) };
        let id = process_id();
        let mut bytes = job.escpos.clone();
        if self.confirm == Confirm::ProcessId {
            // GS ( H pL pH fn=48 m=48 d1..d4
            bytes.extend([0x1d, b'(', b'H', 6, 0, 48, 48]);
            bytes.extend(id);
        }
        if let Err((sent, e)) = link.write(&bytes, until) {
            link.abandon();
            let why = format!("{} after {sent} of {} bytes", with_causes(&e), bytes.len());
            return if sent == 0 { PrintResult::NotStarted(why) } else { PrintResult::Unconfirmed(why) };
        }
        let confirmed = match self.confirm {
            Confirm::None => {
                self.link = Some(link);
                return PrintResult::SentUnconfirmable;
            }
            Confirm::ProcessId => link.confirmed(id, until),
            Confirm::Status => link.status(until).and_then(|s| match s.problem() {
                None => Ok(()),
                Some(why) => Err(DeviceError::io(&self.name, "after the job", io::Error::other(why))),
            }),
        };
        match confirmed {
            Ok(()) => {
                self.link = Some(link);
                PrintResult::Confirmed
            }
            Err(e) => {
                link.abandon();
                PrintResult::Unconfirmed(with_causes(&e))
            }
        }
    }
}

impl EscPos {
    /// Asks for the status over a connection that is known to live: one that broke since it was last used is
    /// made again, once.
    fn fresh_status(&mut self, until: Instant) -> Result<PrinterStatus, DeviceError> {
        if let Some(mut link) = self.link.take() {
            if let Ok(status) = self.ask(&mut link, until) {
                self.link = Some(link);
                return Ok(status);
            }
            link.abandon();
        }
        let mut link = self.connect(until)?;
        let status = self.ask(&mut link, until)?;
        self.link = Some(link);
        Ok(status)
    }
    /// Asks for the status; late answers to earlier questions are forgotten first.
    fn ask(&self, link: &mut Link, until: Instant) -> Result<PrinterStatus, DeviceError> {
        link.drain()?;
        match self.confirm {
            Confirm::None => Ok(PrinterStatus {
                online: true,
                paper: PaperLevel::Enough,
                cover_open: false,
                error: None,
                back_channel: false,
            }),
            Confirm::ProcessId | Confirm::Status => link.status(until),
        }
    }

    fn connect(&self, until: Instant) -> Result<Link, DeviceError> {
        let io = |doing: String| move |e: io::Error| DeviceError::io(&self.name, doing, e);
        let device = self.name.clone();
        let open = |path: &str, flags| {
            rustix::fs::open(path, flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        };
        let mut link = match &self.address {
            Address::Tcp(to) => {
                let doing = || format!("connecting to {to}");
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                let mut all: Vec<_> = to.to_socket_addrs().map_err(io(doing()))?.rev().collect();
                let mut found = None;
                while let (None, Some(at)) = (&found, all.pop()) {
                    // One that swallows everything must leave time for those after it.
                    let left = until.saturating_duration_since(Instant::now()) / (all.len() as u32 + 1);
                    let left = left.max(Duration::from_millis(1));
                    found = TcpStream::connect_timeout(&at, left).map_err(|e| last = e).ok();
                }
                let stream = found.ok_or(last).map_err(io(doing()))?;
                stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).map_err(io(doing()))?;
                Link { device, fd: stream.into(), wire: Wire::Socket, heard: Vec::new() }
            }
            Address::File(path) => {
                let fd = open(path, OFlags::WRONLY).map_err(|e| io(format!("opening {path}"))(e.into()))?;
                Link { device, fd, wire: Wire::WriteOnly, heard: Vec::new() }
            }
            Address::Tty(path, baud) => {
                let fd = open(path, OFlags::RDWR).map_err(|e| io(format!("opening {path}"))(e.into()))?;
                serial_line(&fd, *baud).map_err(|e| io(format!("setting up {path}"))(e.into()))?;
                Link { device, fd, wire: Wire::Tty, heard: Vec::new() }
            }
        };
        if self.confirm != Confirm::None {
            link.write(&NO_AUTO_STATUS, until).map_err(|(_, e)| e)?;
        }
        Ok(link)
    }
}

/// Sets the line up: raw, 8 N 1, for this process alone; what an earlier owner left in the buffers is thrown
/// away.
fn serial_line(fd: &OwnedFd, baud: Option<u32>) -> Result<(), Errno> {
    let mut mode = termios::tcgetattr(fd)?;
    mode.make_raw();
    mode.control_modes |= termios::ControlModes::CLOCAL | termios::ControlModes::CREAD;
    if let Some(baud) = baud {
        mode.set_speed(baud)?;
    }
    termios::tcsetattr(fd, termios::OptionalActions::Now, &mode)?;
    termios::ioctl_tiocexcl(fd)?;
    termios::tcflush(fd, termios::QueueSelector::IOFlush)
}

/// Process id of a job: four characters (33 to 126) that no earlier job or attempt of this process had. The
/// first is random, so that an answer to a job of an earlier process is not taken for one of ours.
fn process_id() -> [u8; 4] {
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

/// Kind of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Socket,
    Tty,
    WriteOnly,
}

/// Open connection; its file descriptor does not block.
struct Link {
    device: String,
    fd: OwnedFd,
    wire: Wire,
    /// Bytes of an answer that is not complete yet.
    heard: Vec<u8>,
}

impl Link {
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
    fn write(&mut self, bytes: &[u8], until: Instant) -> Result<(), (usize, DeviceError)> {
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
    fn drain(&mut self) -> Result<(), DeviceError> {
        // A printer that babbles without end is not listened to for ever.
        for _ in 0..64 {
            if self.wire == Wire::WriteOnly || !self.hear(Instant::now())? {
                break;
            }
        }
        self.heard.clear();
        Ok(())
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
        let until = until.min(Instant::now() + STATUS_WAIT);
        self.write(&[0x10, 0x04, n], until).map_err(|(_, e)| e)?;
        while let Some(reply) = self.reply(until)? {
            match reply {
                Reply::RealTime(status) => return Ok(status),
                Reply::Automatic(_) | Reply::ProcessId(_) => {}
            }
        }
        Err(DeviceError::Silent { device: self.device.clone(), doing: "asked for its status (DLE EOT)" })
    }

    /// Asks for the four real-time statuses (DLE EOT 1 to 4).
    fn status(&mut self, until: Instant) -> Result<PrinterStatus, DeviceError> {
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
            back_channel: true,
        })
    }

    /// Waits for the process id response with this id; others belong to earlier attempts.
    fn confirmed(&mut self, id: [u8; 4], until: Instant) -> Result<(), DeviceError> {
        // At the end there is time left to ask what stands in the way.
        let reserve = (until.saturating_duration_since(Instant::now()) / 10).min(Duration::from_millis(500));
        while let Some(reply) = self.reply(until - reserve)? {
            match reply {
                Reply::ProcessId(heard) if heard == id => return Ok(()),
                Reply::ProcessId(_) | Reply::RealTime(_) | Reply::Automatic(_) => {}
            }
        }
        match self.status(until).map(|s| s.problem()) {
            Ok(Some(why)) => Err(DeviceError::io(&self.device, "in mid-job", io::Error::other(why))),
            Ok(None) | Err(_) => {
                Err(DeviceError::Silent { device: self.device.clone(), doing: "confirming the job (GS ( H)" })
            }
        }
    }

    /// Closes the connection at once: a serial line would first wait for a printer that does not read.
    fn abandon(self) {
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
