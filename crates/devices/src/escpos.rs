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
//!
//! A network printer has one connection for all tills, so it is let go when it is idle; what is known of the
//! printer then stands until it answers again.
mod link;
mod names;

use crate::{
    DeviceError, Face, PaperWidth, PrintJob, Printer, PrinterStatus, Registration, options, printer::RESTING,
};
use link::{Link, Wire, asks_for, half, process_id};
use names::Names;
use payterm_schema::{
    DeviceKind,
    config::DeviceConfig,
    device::{Confirm, PrinterModel},
    fault::with_causes,
    paper::PrintResult,
    selftest::Finding,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    termios,
};
use serde::Deserialize;
use std::{
    io,
    net::TcpStream,
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
        shows_pins: false,
        runs_cards: None,
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
    #[serde(default)]
    model: PrinterModel,
    /// Best way in which the printer is asked whether a job is out. Default `process_id`.
    confirm: Option<Confirm>,
    /// Time after which the idle connection to a network printer is let go. Default 2,000.
    idle_release_ms: Option<u32>,
    /// Time after which its state is asked for again meanwhile. Default 60,000.
    status_every_ms: Option<u32>,
}

enum Address {
    Tcp(String),
    File(String),
    Tty(String, Option<u32>),
}

/// Greatest time of a connection that asks a network printer for its state and is closed again.
const LOOK: Duration = Duration::from_millis(500);
/// Pause between two tries to get a network printer's connection for a job.
const TURN: Duration = Duration::from_millis(100);
/// Looks in a row that got no connection, after which the printer counts as lost: a till that prints has it
/// for some seconds.
const REFUSED: u32 = 2;

/// Sharing of a network printer with other tills.
#[derive(Clone, Copy)]
struct Share {
    idle_release: Duration,
    status_every: Duration,
}

/// State of a printer as it was heard last.
struct Known {
    status: PrinterStatus,
    /// The printer has answered in this run of the driver.
    heard: bool,
    /// Looks since the last answer that got no connection.
    refused: u32,
    /// No connection is to be had: that is its trouble.
    lost: bool,
    /// Time of the next look.
    next: Instant,
}
impl Known {
    fn answered(&mut self, status: &PrinterStatus, next: Duration) {
        *self = Self {
            status: status.clone(),
            heard: true,
            refused: 0,
            lost: false,
            next: Instant::now() + next,
        };
    }
    /// No connection was to be had. Once that is no failure: another till may print.
    fn refused(&mut self, e: &DeviceError, next: Duration) {
        self.refused += 1;
        if self.refused >= REFUSED {
            self.lose(e);
        }
        self.next = Instant::now() + if self.heard && !self.lost { next } else { RESTING };
    }
    /// Trouble that stands already stays as it is.
    fn lose(&mut self, e: &DeviceError) {
        if self.status.problem().is_none() {
            self.lost = true;
            self.status.online = false;
            self.status.error = Some(with_causes(e));
        }
    }
}

/// ESC/POS printer; its connection is made when it is first needed.
struct EscPos {
    name: String,
    address: Address,
    width: PaperWidth,
    model: PrinterModel,
    /// Best way in which it is asked whether a job is out.
    confirm: Confirm,
    /// Greatest time of one command.
    budget: Duration,
    /// None: the connection is the terminal's own.
    share: Option<Share>,
    names: Names,
    link: Option<Link>,
    /// Time of the connection's last use for more than a question.
    used: Instant,
    /// Way in which it confirms, by the last connection that found it out.
    found: Option<Confirm>,
    known: Known,
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
        let Options { paper_mm: width, model, confirm, idle_release_ms, status_every_ms } = options(device)?;
        let confirm = match (&address, confirm) {
            (Address::File(_), None | Some(Confirm::None)) => Confirm::None,
            (Address::File(_), Some(_)) => {
                return Err(bad("options.confirm", "none for file: (it is opened for writing only)"));
            }
            (Address::Tcp(_) | Address::Tty(..), confirm) => confirm.unwrap_or(Confirm::ProcessId),
        };
        let millis = |ms: Option<u32>, default| Duration::from_millis(u64::from(ms.unwrap_or(default)));
        let share = match address {
            Address::Tcp(_) => Some(Share {
                idle_release: millis(idle_release_ms, 2_000),
                status_every: millis(status_every_ms, 60_000),
            }),
            Address::Tty(..) | Address::File(_) => None,
        };
        for (field, ms) in
            [("options.idle_release_ms", idle_release_ms), ("options.status_every_ms", status_every_ms)]
        {
            if ms.is_some() && share.is_none() {
                return Err(bad(field, "for tcp: only"));
            }
        }
        if status_every_ms.is_some_and(|ms| ms < 100) {
            return Err(bad("options.status_every_ms", "100 or more"));
        }
        // A tenth is left so that the driver's own answer comes before the engine abandons it.
        let budget = Duration::from_millis(u64::from(device.command_timeout_ms)) * 9 / 10;
        let now = Instant::now();
        let known =
            Known { status: PrinterStatus::works(None), heard: false, refused: 0, lost: false, next: now };
        Ok(Self {
            name: name.clone(),
            address,
            width,
            model,
            confirm,
            budget,
            share,
            names: Names::default(),
            link: None,
            used: now,
            found: None,
            known,
        })
    }
}

impl Printer for EscPos {
    fn paper_width(&self) -> PaperWidth {
        self.width
    }
    fn model(&self) -> PrinterModel {
        self.model
    }
    fn status(&mut self) -> Result<PrinterStatus, DeviceError> {
        let until = Instant::now() + self.budget;
        let Some(share) = self.share else { return self.fresh_status(until) };
        if self.used.elapsed() >= share.idle_release
            && let Some(mut idle) = self.link.take()
        {
            // An answer that nobody read would make the closing a reset.
            idle.drain().ok();
        }
        let due = Instant::now() >= self.known.next;
        if self.link.is_some() || due && !self.known.heard {
            if let Err(e) = self.fresh_status(until) {
                self.known.refused(&e, share.status_every);
            }
        } else if due {
            self.look(share);
        }
        Ok(self.known.status.clone())
    }
    fn rest(&self) -> Duration {
        let Some(share) = self.share else { return RESTING };
        let left = match &self.link {
            Some(_) => share.idle_release.saturating_sub(self.used.elapsed()),
            None => self.known.next.saturating_duration_since(Instant::now()),
        };
        left.min(RESTING)
    }
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        match self.fresh_status(Instant::now() + self.budget) {
            Ok(status) => Ok(status.finding()),
            Err(e) if self.share.is_some() => {
                let fine = self.known.heard && self.known.status.problem().is_none();
                let found = match fine {
                    true => Finding::degraded("printer-unreachable"),
                    false => Finding::failed("printer-unreachable"),
                };
                Ok(found.with("why", with_causes(&e)))
            }
            Err(e) => Err(e),
        }
    }

    fn print(&mut self, job: &PrintJob) -> PrintResult {
        let until = Instant::now() + self.budget;
        let way = match self.its_turn(until).map(|s| (s.problem(), s.confirms)) {
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
                self.keep(link);
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
                self.keep(link);
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
    fn keep(&mut self, link: Link) {
        self.link = Some(link);
        self.used = Instant::now();
    }

    /// Asks for the status before a job. Another till may have the printer: its turn is waited for.
    fn its_turn(&mut self, until: Instant) -> Result<PrinterStatus, DeviceError> {
        let patience = half(until);
        loop {
            match self.fresh_status(until) {
                Err(e) if self.share.is_some() => {
                    if self.known.lost || Instant::now() >= patience {
                        self.known.lose(&e);
                        return Err(e);
                    }
                    std::thread::sleep(TURN);
                }
                other => return other,
            }
        }
    }

    /// Asks a network printer that was let go for its state.
    fn look(&mut self, share: Share) {
        let until = Instant::now() + LOOK.min(self.budget);
        match self.connect(until) {
            Err(e) => self.known.refused(&e, share.status_every),
            Ok(mut link) => {
                let status = match self.confirm {
                    Confirm::None => Ok(PrinterStatus::works(Some(Confirm::None))),
                    Confirm::ProcessId | Confirm::Status => link.status(until),
                };
                match status {
                    Ok(status) => self.answered(status),
                    // It waits for another till, or is slow: what was known stands.
                    Err(_) => {
                        self.known.refused = 0;
                        self.known.next = Instant::now() + share.status_every;
                    }
                }
            }
        }
    }
    fn answered(&mut self, mut status: PrinterStatus) {
        status.confirms = status.confirms.or(self.found);
        let next = self.share.map_or(RESTING, |s| s.status_every);
        self.known.answered(&status, next);
    }

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
        let mut link = self.connect(half(until))?;
        match self.ask(&mut link, until) {
            Ok(status) => {
                self.keep(link);
                Ok(status)
            }
            Err(e) => {
                link.abandon();
                let DeviceError::Silent { .. } = e else { return Err(e) };
                self.answered(PrinterStatus::mute());
                Ok(PrinterStatus::mute())
            }
        }
    }
    /// Asks for the status, and once, while nothing stands in the way, how the printer confirms. Late answers
    /// to earlier questions are forgotten first.
    fn ask(&mut self, link: &mut Link, until: Instant) -> Result<PrinterStatus, DeviceError> {
        link.drain()?;
        let mut status = PrinterStatus::works(Some(Confirm::None));
        if self.confirm != Confirm::None {
            status = link.status(half(until))?;
        }
        if self.confirm != Confirm::None && status.problem().is_none() {
            // One that did not know process ids an hour ago is not waited for at each slip.
            let short = (self.found == Some(Confirm::Status)).then(|| Instant::now() + LOOK);
            let until = half(until);
            let way = link.find_out(self.confirm, short.map_or(until, |s| s.min(until)))?;
            (self.found, status.confirms) = (Some(way), Some(way));
        }
        self.answered(status.clone());
        Ok(status)
    }

    fn connect(&mut self, until: Instant) -> Result<Link, DeviceError> {
        let device = self.name.clone();
        let name = &self.name;
        let io = |doing: String| move |e: io::Error| DeviceError::io(name, doing, e);
        let open = |path: &str, flags| {
            rustix::fs::open(path, flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        };
        let mut link = match &self.address {
            Address::Tcp(to) => {
                let doing = || format!("connecting to {to}");
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                let mut all = self.names.addresses(to, half(until)).map_err(io(doing()))?;
                all.reverse();
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
