//! Printer in software, for tests and the demo: takes ESC/POS over TCP or a pty, answers DLE EOT and GS ( H,
//! records what came out on paper, and fails on demand: no paper, deaf, mute, killed in the middle of a job.
//! It can be a plain one, which knows no GS ( H.
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt::set_socket_reuseaddr},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios,
};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Paper that came out: the bytes up to a cut, or up to the printer's death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftPaper {
    pub bytes: Vec<u8>,
    /// Characters on it (GB18030), without commands and graphics.
    pub text: String,
    /// The paper was cut; false: the printer died before.
    pub whole: bool,
}

/// Mishap that comes after some more bytes have been printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The printer is switched off: the connection is closed and no other is taken.
    Killed,
    /// The printer reads nothing any more.
    Deaf,
    PaperOut,
}

/// Printer in software, on a thread of its own; dropping it ends it.
pub struct SoftPrinter {
    shared: Arc<Shared>,
    address: SocketAddr,
    tty: Option<PathBuf>,
    thread: Option<JoinHandle<()>>,
}
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: OwnedFd,
}
#[derive(Default)]
struct State {
    closing: bool,
    /// Switched on; and listening, which follows.
    alive: bool,
    listening: bool,
    deaf: bool,
    mute: bool,
    /// Knows no GS ( H.
    plain: bool,
    /// Refuses connections while it has one.
    single: bool,
    paper_out: bool,
    near_end: bool,
    cover_open: bool,
    mishap: Option<(usize, Mishap)>,
    /// Confirmations of papers are held back, to be sent late; one has come out that is not confirmed.
    holding: bool,
    unconfirmed: bool,
    held: Vec<u8>,
    /// Bytes received and not yet printed; and the last two that the real-time scanner saw.
    pending: Vec<u8>,
    scanned: [u8; 2],
    answers: Vec<u8>,
    paper: Vec<u8>,
    ink: Vec<u8>,
    papers: Vec<SoftPaper>,
    connections: u64,
}

impl SoftPrinter {
    /// Starts a printer on a free port of the loopback interface.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        Self::run(Some(listener), None, address, None)
    }
    /// Starts a printer on a pty; [`SoftPrinter::address`] names its other side.
    pub fn on_pty() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let mut mode = termios::tcgetattr(&master)?;
        mode.make_raw();
        termios::tcsetattr(&master, termios::OptionalActions::Now, &mode)?;
        let name = ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?;
        Self::run(None, Some(master), SocketAddr::from(([0, 0, 0, 0], 0)), Some(name.into()))
    }
    fn run(
        listener: Option<TcpListener>,
        line: Option<OwnedFd>,
        address: SocketAddr,
        tty: Option<PathBuf>,
    ) -> io::Result<Self> {
        let state = State { alive: true, listening: true, ..State::default() };
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), wake });
        let worker = shared.clone();
        let thread = std::thread::Builder::new()
            .name("soft-printer".into())
            .spawn(move || worker.work(listener, line, address))?;
        Ok(Self { shared, address, tty, thread: Some(thread) })
    }

    /// Address as in `address = "..."` of a device with the driver `escpos`.
    pub fn address(&self) -> String {
        self.tty.as_ref().map_or_else(|| format!("tcp:{}", self.address), |p| format!("tty:{}", p.display()))
    }
    /// Takes the paper out, or puts some in: printing stops while there is none.
    pub fn paper_out(&self, out: bool) {
        self.change(|s| s.paper_out = out);
    }
    /// Sets whether the paper is near its end.
    pub fn near_end(&self, near: bool) {
        self.change(|s| s.near_end = near);
    }
    /// Opens or closes the cover.
    pub fn cover_open(&self, open: bool) {
        self.change(|s| s.cover_open = open);
    }
    /// Makes it read nothing, or read again.
    pub fn deaf(&self, deaf: bool) {
        self.change(|s| s.deaf = deaf);
    }
    /// Makes it print and answer nothing, not even its status; or answer again.
    pub fn mute(&self, mute: bool) {
        self.change(|s| s.mute = mute);
    }
    /// Makes it one that answers DLE EOT and knows no GS ( H; or takes it back.
    pub fn plain(&self, plain: bool) {
        self.change(|s| s.plain = plain);
    }
    /// Makes it take one connection at a time and refuse others meanwhile.
    pub fn single(&self, single: bool) {
        self.change(|s| s.single = single);
    }
    /// Holds confirmations of papers back from now on.
    pub fn hold_confirmations(&self) {
        self.change(|s| s.holding = true);
    }
    /// Sends the oldest confirmation that was held back; false when there is none.
    pub fn release_confirmation(&self) -> bool {
        let mut any = false;
        self.change(|s| {
            any = !s.held.is_empty();
            let oldest: Vec<u8> = s.held.drain(..s.held.len().min(7)).collect();
            s.answers.extend(oldest);
        });
        any
    }
    /// Plans a mishap for when that many bytes more have been printed (commands count).
    pub fn after(&self, bytes: usize, mishap: Mishap) {
        self.change(|s| s.mishap = Some((bytes, mishap)));
    }
    /// Switches the power off: closes the connection and the port; what was not printed is lost. Returns when
    /// it has happened.
    pub fn kill(&self) {
        self.change(|s| s.alive = false);
        self.wait(Duration::from_secs(5), |s| !s.listening);
    }
    /// Switches the power on again, on the same port. Not for a pty.
    pub fn revive(&self) {
        self.change(|s| s.alive = true);
        assert!(self.wait(Duration::from_secs(5), |s| s.listening), "{} could not be kept", self.address);
    }
    /// Papers that have come out.
    pub fn papers(&self) -> Vec<SoftPaper> {
        self.shared.lock().papers.clone()
    }
    /// Waits until `count` papers have come out or the time is over, and gives all.
    pub fn wait_papers(&self, count: usize, timeout: Duration) -> Vec<SoftPaper> {
        self.wait(timeout, |s| s.papers.len() >= count);
        self.papers()
    }
    /// Waits until it is dead, by a mishap; false when it is not in time.
    pub fn wait_dead(&self, timeout: Duration) -> bool {
        self.wait(timeout, |s| !s.listening)
    }
    /// Number of connections so far.
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.shared.lock());
        self.shared.wake();
    }
    fn wait(&self, timeout: Duration, done: impl Fn(&State) -> bool) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.shared.lock();
        while !done(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}
impl Drop for SoftPrinter {
    fn drop(&mut self) {
        self.change(|s| s.closing = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Runs the printer. `line` is the connection: one at a time, as real printers have.
    fn work(&self, mut listener: Option<TcpListener>, mut line: Option<OwnedFd>, address: SocketAddr) {
        let pty = line.is_some();
        let mut port = None;
        loop {
            let mut state = self.lock();
            state.print();
            if state.closing {
                return;
            }
            if !state.alive {
                (listener, line) = (None, None);
                state.power_off();
            }
            if state.single && line.is_some() {
                (listener, state.listening) = (None, false);
            }
            if !pty && listener.is_none() && port.is_none() {
                port = hold(address).ok();
            }
            if state.alive && !state.listening && !pty && line.is_none() {
                listener = port.take().and_then(|p: OwnedFd| listen(&p, 8).ok().map(|()| p.into()));
                state.listening = listener.is_some();
            }
            // A child of this process that has not begun its own program yet holds the old socket too.
            let again = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            let again = (!pty && listener.is_none() && port.is_none()).then_some(&again);
            let answers = std::mem::take(&mut state.answers);
            let reads = !state.deaf;
            drop(state);
            self.changed.notify_all();
            if let Some(line) = line.as_ref().filter(|_| !answers.is_empty()) {
                let _ = rustix::io::write(line, &answers);
            }

            let source = line.as_ref().map(|l| l.as_fd()).or(listener.as_ref().map(|l| l.as_fd()));
            let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
            fds.extend(source.filter(|_| reads).map(|s| PollFd::from_borrowed_fd(s, PollFlags::IN)));
            if !matches!(poll(&mut fds, again), Ok(_) | Err(Errno::INTR)) {
                return;
            }
            let ready = fds.get(1).is_some_and(|f| !f.revents().is_empty());
            drop(fds);
            let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
            if !ready || self.lock().deaf {
                continue;
            }
            match (&line, &listener) {
                (Some(open), _) => {
                    let mut buffer = [0u8; 4096];
                    match rustix::io::read(open, &mut buffer) {
                        Ok(n) if n > 0 => self.lock().receive(&buffer[..n]),
                        // A pty whose other side is not open reports a hang-up all the time.
                        Err(Errno::IO) if pty => std::thread::sleep(Duration::from_millis(5)),
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Ok(_) | Err(_) => {
                            self.lock().hung_up();
                            line = None;
                        }
                    }
                }
                (None, Some(listening)) => {
                    if let Ok((stream, _)) = listening.accept() {
                        let fd = OwnedFd::from(stream);
                        let _ = fcntl_getfl(&fd).and_then(|f| fcntl_setfl(&fd, f | OFlags::NONBLOCK));
                        self.lock().connections += 1;
                        line = Some(fd);
                    }
                }
                (None, None) => {}
            }
        }
    }
}

impl State {
    fn receive(&mut self, bytes: &[u8]) {
        for b in bytes {
            // DLE EOT n is answered when it comes in, wherever it is in the bytes.
            if let ([0x10, 0x04], 1..=4) = (self.scanned, *b) {
                let bits = match *b {
                    1 => u8::from(self.paper_out || self.cover_open) << 3,
                    2 => (u8::from(self.cover_open) << 2) | (u8::from(self.paper_out) << 5),
                    4 => {
                        (u8::from(self.near_end || self.paper_out) * 0x0c) | (u8::from(self.paper_out) * 0x60)
                    }
                    _ => 0,
                };
                self.say(&[0x12 | bits]);
            }
            self.scanned = [self.scanned[1], *b];
        }
        self.pending.extend(bytes);
    }
    fn say(&mut self, bytes: &[u8]) {
        if !self.mute {
            self.answers.extend(bytes);
        }
    }

    /// Prints what is pending, as far as paper and mishaps allow.
    fn print(&mut self) {
        while self.alive && !self.deaf && !self.paper_out && !self.cover_open {
            let Some(len) = command_len(&self.pending) else { return };
            let command: Vec<u8> = self.pending.drain(..len).collect();
            if let Some((left, mishap)) = &mut self.mishap {
                *left = left.saturating_sub(len);
                if *left == 0 {
                    match mishap {
                        Mishap::Killed => self.alive = false,
                        Mishap::Deaf => self.deaf = true,
                        Mishap::PaperOut => self.paper_out = true,
                    }
                    self.mishap = None;
                    return;
                }
            }
            match command.as_slice() {
                [0x10, ..] => continue,
                [0x1d, b'(', b'H', ..] if self.plain => continue,
                [0x1d, b'(', b'H', 6, 0, 48, 48, id @ ..] => {
                    let answer = [&[0x37, 0x22], id, &[0]].concat();
                    if std::mem::take(&mut self.unconfirmed) && self.holding {
                        self.held.extend(answer)
                    } else {
                        self.say(&answer)
                    }
                    continue;
                }
                [0x1d, b'a', _] => continue,
                [0x1d, b'r', _] => self.say(&[0]),
                [0x1d, b'V', ..] => {
                    self.paper.extend(&command);
                    self.come_out(true);
                    continue;
                }
                [c] if *c >= 0x20 || *c == b'\n' || *c == b'\t' => self.ink.push(*c),
                _ => {}
            }
            self.paper.extend(&command);
        }
    }
    fn come_out(&mut self, whole: bool) {
        let text = encoding_rs::GB18030.decode_without_bom_handling(&self.ink).0.into_owned();
        self.unconfirmed = true;
        self.papers.push(SoftPaper { bytes: std::mem::take(&mut self.paper), text, whole });
        self.ink.clear();
    }
    /// Handles a hang-up: what was sent is still printed, answers have nowhere to go.
    fn hung_up(&mut self) {
        self.print();
        (self.answers, self.scanned) = (Vec::new(), [0; 2]);
    }
    fn power_off(&mut self) {
        if !self.paper.is_empty() {
            self.come_out(false);
        }
        self.pending.clear();
        self.answers.clear();
        self.held.clear();
        self.listening = false;
    }
}

/// The port of a printer that is off: connecting to it is refused, and nobody else gets it meanwhile.
fn hold(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// Length of the command or character at the start; none when it is not complete.
fn command_len(b: &[u8]) -> Option<usize> {
    let at = |i: usize| b.get(i).copied().map(usize::from);
    let word = |i: usize| Some(at(i)? + (at(i + 1)? << 8));
    let to_nul = || b.iter().skip(2).position(|c| *c == 0).map(|n| n + 3);
    let len = match (*b.first()?, b.get(1).copied()) {
        (0x10 | 0x1b | 0x1c | 0x1d, None) => return None,
        (0x10, Some(4 | 5)) => 3,
        (0x10, Some(0x14)) => 5,
        (0x10, Some(_)) => 2,
        (0x1b, Some(b'@' | b'2' | b'<' | b'i' | b'm' | b'L' | b'S' | 0x0c)) => 2,
        (0x1b, Some(b'$' | b'\\' | b'c')) => 4,
        (0x1b, Some(b'p')) => 5,
        (0x1b, Some(b'D')) => to_nul()?,
        (0x1b, Some(b'*')) => 5 + word(3)? * if at(2)? >= 32 { 3 } else { 1 },
        (0x1b, Some(_)) => 3,
        (0x1c, Some(b'&' | b'.')) => 2,
        (0x1c, Some(b'S' | b'p')) => 4,
        (0x1c, Some(_)) => 3,
        (0x1d, Some(b'(')) => 5 + word(3)?,
        (0x1d, Some(b'8')) => 7 + word(3)? + (word(5)? << 16),
        (0x1d, Some(b'v')) => 8 + word(4)? * word(6)?,
        (0x1d, Some(b'V')) if matches!(at(2)?, 65 | 66 | 97 | 98 | 103 | 104) => 4,
        (0x1d, Some(b'L' | b'W' | b'P' | b'$' | b'\\')) => 4,
        (0x1d, Some(b'*')) => 4 + at(2)? * at(3)? * 8,
        (0x1d, Some(b'k')) if at(2)? > 6 => 4 + at(3)?,
        (0x1d, Some(b'k')) => to_nul()?.max(4),
        (0x1d, Some(b':')) => 2,
        (0x1d, Some(_)) => 3,
        (_, _) => 1,
    };
    (b.len() >= len).then_some(len)
}
