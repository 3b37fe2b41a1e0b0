//! Driver of ESC/POS printers at `tcp:HOST:PORT` (usually 9100), `tty:/dev/ttyS0` or `tty:/dev/ttyS0@BAUD` (8
//! N 1), `file:/dev/usb/lp0` (write only: no back-channel). Commands and answers as in Epson's ESC/POS
//! reference: DLE EOT (real-time status), GS a (automatic status back), GS ( H function 48 (process id
//! response).
//!
//! Invariant: `NotStarted` is said only when no byte of the job was handed to the operating system; after the
//! first byte everything but the printer's own word is `Unconfirmed`. After any trouble the connection is
//! closed, unsent bytes with it.
//!
//! What a printer answers is found out once per connection, while nothing of a job has left: the process id,
//! its status only, or nothing. The best of it is used; a printer that should answer and is mute gets no job,
//! since one that is switched off behind a serial line takes bytes too.
mod link;

use crate::{DeviceError, Face, PaperWidth, PrintJob, Printer, PrinterStatus, Registration, options};
use link::{Link, Wire, asks_for, half, process_id};
use payterm_schema::{
    DeviceKind, config::DeviceConfig, device::Confirm, fault::with_causes, paper::PrintResult,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    termios,
};
use serde::Deserialize;
use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

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

/// Keys of `[device.options]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    paper_mm: PaperWidth,
    /// Best way in which the printer is asked whether a job is out. Default `process_id`.
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
    /// Best way in which it is asked whether a job is out.
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
        let way = match self.fresh_status(until).map(|s| (s.problem(), s.confirms)) {
            Ok((None, way)) => way.unwrap_or(Confirm::None),
            Ok((Some(why), _)) => return PrintResult::NotStarted(why),
            Err(e) => return PrintResult::NotStarted(with_causes(&e)),
        };
        let Some(mut link) = self.link.take() else { return PrintResult::NotStarted("not connected".into()) };
        let id = process_id();
        let mut bytes = job.escpos.clone();
        if way == Confirm::ProcessId {
            bytes.extend(asks_for(id));
        }
        if let Err((sent, e)) = link.write(&bytes, until) {
            link.abandon();
            let why = format!("{} after {sent} of {} bytes", with_causes(&e), bytes.len());
            return if sent == 0 { PrintResult::NotStarted(why) } else { PrintResult::Unconfirmed(why) };
        }
        let confirmed = match way {
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
                if job.drawer {
                    PrintResult::SentUnconfirmable
                } else {
                    PrintResult::Unconfirmed(with_causes(&e))
                }
            }
        }
    }
}

impl EscPos {
    /// Asks for the status over a connection that is known to live: one that broke since it was last used is
    /// made again, once. A printer that takes the connection and says nothing is mute.
    fn fresh_status(&mut self, until: Instant) -> Result<PrinterStatus, DeviceError> {
        if let Some(mut link) = self.link.take() {
            if let Ok(status) = self.ask(&mut link, half(until)) {
                self.link = Some(link);
                return Ok(status);
            }
            link.abandon();
        }
        let mut link = self.connect(until)?;
        match self.ask(&mut link, until) {
            Ok(status) => {
                self.link = Some(link);
                Ok(status)
            }
            Err(e) => {
                link.abandon();
                if let DeviceError::Silent { .. } = e { Ok(PrinterStatus::mute()) } else { Err(e) }
            }
        }
    }
    /// Asks for the status, and once, while nothing stands in the way, how the printer confirms. Late answers
    /// to earlier questions are forgotten first.
    fn ask(&self, link: &mut Link, until: Instant) -> Result<PrinterStatus, DeviceError> {
        link.drain()?;
        if self.confirm == Confirm::None {
            return Ok(PrinterStatus::works(Some(Confirm::None)));
        }
        let mut status = link.status(half(until))?;
        if status.problem().is_none() {
            status.confirms = Some(link.find_out(self.confirm, half(until))?);
        }
        Ok(status)
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
                Link::new(device, stream.into(), Wire::Socket)
            }
            Address::File(path) => {
                let fd = open(path, OFlags::WRONLY).map_err(|e| io(format!("opening {path}"))(e.into()))?;
                Link::new(device, fd, Wire::WriteOnly)
            }
            Address::Tty(path, baud) => {
                let fd = open(path, OFlags::RDWR).map_err(|e| io(format!("opening {path}"))(e.into()))?;
                serial_line(&fd, *baud).map_err(|e| io(format!("setting up {path}"))(e.into()))?;
                Link::new(device, fd, Wire::Tty)
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
