//! Control of the virtual devices: a Unix socket of their own in the state directory, never the bus.
//!
//! One JSON object a line (at most [`LINE_MOST`] bytes, UTF-8, without backslash escapes), answered by one
//! line: `{"ok":true,...}` or `{"error":{"field":"..","rule":".."}}`. Members of a line, besides `do`; times
//! in milliseconds:
//!
//! | `do` | members |
//! |---|---|
//! | `swipe` | `tracks` (raw reader output, in hexadecimal with `hex`: true; `lrc`: true when LRC characters follow) or `pan`, `expiry` YYMM, `service` |
//! | `insert`, `tap` | |
//! | `scan` | `code` |
//! | `type` | `pan`, `expiry` |
//! | `pin` | `pin`: digits, `cancel` or `bypass` |
//! | `key` | `key`: `confirm`, `cancel` or a digit |
//! | `paper-out`, `printer` | `on`: paper is out; printer is online |
//! | `cover` | `on`: the printer's cover is open |
//! | `read-fault` | `device`, `on`: its self-test finds that it reads nothing |
//! | `plug`, `panic` | `device`; `on` for `plug` |
//! | `hang` | `device`, `ms` |
//! | `screen` | `contains`, `timeout_ms`; answers `lines` |
//! | `papers` | `count`, `timeout_ms`; answers `total`, `papers` |
//! | `devices` | answers `devices` |
//!
//! `device` may name one of several devices of a kind. What a customer does may be `queue`d (kept for the
//! next time that it is asked for) or wait up to `wait_ms` to be asked for; else it is refused when nobody
//! asks.
//!
//! Invariant: PAN, code and PIN are parsed from a buffer that is zeroised, without a copy, into types of
//! `schema::secret`.
use crate::{
    SourceEvent, VirtualBench,
    track::{self, Lrc},
    virtual_bench::{PinAct, Refused, When},
};
use payterm_schema::{
    Instrument, Pan, PaymentCode, Tracks,
    device::{Key, Way},
    secret::{CardError, Pin},
};
use rustix::{fs as rfs, process::geteuid};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use zeroize::Zeroizing;

/// Longest line, in bytes: three full tracks take 226.
pub const LINE_MOST: usize = 4096;
/// Longest wait that a command may ask for.
pub const WAIT_MOST: Duration = Duration::from_secs(600);
/// Controllers connected at once.
const CLIENTS_MOST: usize = 32;
/// A client that does not take its answer is left after this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum VirtualControlError {
    #[error("virtual control socket: {0}")]
    Rule(&'static str),
    #[error("virtual control socket: {doing}")]
    Io { doing: &'static str, source: io::Error },
    /// Refusal of a command by the bench.
    #[error("{0}")]
    Refused(#[from] Refused),
    #[error("virtual control socket: the answer is not of this protocol")]
    Answer,
}
fn doing(doing: &'static str) -> impl Fn(io::Error) -> VirtualControlError {
    move |source| VirtualControlError::Io { doing, source }
}

/// A line of the protocol, borrowed from its buffer.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line<'a> {
    #[serde(rename = "do")]
    pub verb: &'a str,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracks: Option<&'a str>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub lrc: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub hex: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pan: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub queue: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}
fn is_false(b: &bool) -> bool {
    !b
}

impl Line<'_> {
    fn time(&self, field: &str, ms: Option<u64>) -> Result<Duration, Refused> {
        let time = Duration::from_millis(ms.unwrap_or(0));
        if time > WAIT_MOST { Err(Refused::new(field, "at most 600000")) } else { Ok(time) }
    }
    fn when(&self) -> Result<When, Refused> {
        match (self.queue, self.wait_ms) {
            (true, Some(_)) => Err(Refused::new("queue", "not together with wait_ms")),
            (true, None) => Ok(When::Queue),
            (false, None) => Ok(When::Now),
            (false, ms) => Ok(When::Within(self.time("wait_ms", ms)?)),
        }
    }
    fn need<T: Copy>(field: &str, value: Option<T>) -> Result<T, Refused> {
        value.ok_or_else(|| Refused::new(field, "needed"))
    }

    /// What the magnetic reader makes of it; what it cannot read is an event too.
    fn swiped(&self) -> Result<Instrument, Refused> {
        let card = |pan| -> Result<Tracks, Refused> {
            let (pan, expiry) = (pan_of(pan)?, expiry_of(Self::need("expiry", self.expiry)?)?);
            let service = self.service.unwrap_or("120");
            if service.len() != 3 || !service.bytes().all(|b| b.is_ascii_digit()) {
                return Err(Refused::new("service", "3 digits (ISO/IEC 7813)"));
            }
            let mut track2 = String::with_capacity(37);
            for part in [pan.reveal(), "=", expiry, service] {
                track2.push_str(part);
            }
            Ok(Tracks { track1: None, track2: Some(track2), track3: None })
        };
        let lrc = if self.lrc { Lrc::Follows } else { Lrc::Absent };
        let read = match (self.tracks, self.pan) {
            (Some(raw), None) if self.hex => track::parse(&from_hex(raw)?, lrc),
            (Some(raw), None) => track::parse(raw, lrc),
            (None, Some(pan)) => track::parse(&track::compose(&card(pan)?, Lrc::Follows), Lrc::Follows),
            (Some(_), Some(_)) | (None, None) => return Err(Refused::new("tracks", "either tracks or pan")),
        };
        Ok(match read {
            Ok(tracks) => Instrument::Swiped(tracks),
            Err(e) => Instrument::Unreadable { way: Way::Swipe, why: e.to_string() },
        })
    }

    /// Does it; the answer's members.
    pub(crate) fn run(&self, bench: &VirtualBench) -> Result<Value, Refused> {
        let present =
            |instrument| bench.present(self.device, SourceEvent::Instrument(instrument), self.when()?);
        let done = json!({"ok": true});
        match self.verb {
            "swipe" => {
                let instrument = self.swiped()?;
                let why = if let Instrument::Unreadable { why, .. } = &instrument {
                    Some(why.clone())
                } else {
                    None
                };
                present(instrument)?;
                Ok(why.map_or(done, |why| json!({"ok": true, "unreadable": why})))
            }
            "insert" => present(Instrument::Inserted).map(|()| done),
            "tap" => present(Instrument::Tapped).map(|()| done),
            "scan" => match PaymentCode::parse(Self::need("code", self.code)?) {
                Ok(code) => present(Instrument::Scanned(code)).map(|()| done),
                Err(e) => {
                    let why = e.to_string();
                    present(Instrument::Unreadable { way: Way::Scan, why: why.clone() })?;
                    Ok(json!({"ok": true, "unreadable": why}))
                }
            },
            "type" => {
                let (pan, expiry) =
                    (pan_of(Self::need("pan", self.pan)?)?, expiry_of(Self::need("expiry", self.expiry)?)?);
                present(Instrument::Typed { pan, expiry: expiry.to_owned() }).map(|()| done)
            }
            "pin" => {
                let act = match Self::need("pin", self.pin)? {
                    "cancel" => PinAct::Cancel,
                    "bypass" => PinAct::Bypass,
                    digits => PinAct::Digits(
                        Pin::parse(digits)
                            .ok_or_else(|| Refused::new("pin", "4 to 12 digits, cancel or bypass"))?,
                    ),
                };
                bench.pin(self.device, act, self.when()?).map(|()| done)
            }
            "key" => {
                let key = match Self::need("key", self.key)?.as_bytes() {
                    b"confirm" => Key::Confirm,
                    b"cancel" => Key::Cancel,
                    [d @ b'0'..=b'9'] => Key::Digit(*d),
                    _ => return Err(Refused::new("key", "confirm, cancel or one digit")),
                };
                bench.present(self.device, SourceEvent::Key(key), self.when()?).map(|()| done)
            }
            "paper-out" => bench.paper_out(self.device, Self::need("on", self.on)?).map(|()| done),
            "printer" => bench.printer_online(self.device, Self::need("on", self.on)?).map(|()| done),
            "cover" => bench.cover_open(self.device, Self::need("on", self.on)?).map(|()| done),
            "read-fault" => bench
                .read_fault(Self::need("device", self.device)?, Self::need("on", self.on)?)
                .map(|()| done),
            "plug" => {
                bench.plug(Self::need("device", self.device)?, Self::need("on", self.on)?).map(|()| done)
            }
            "panic" => bench.panic(Self::need("device", self.device)?).map(|()| done),
            "hang" => {
                let time = self.time("ms", Some(Self::need("ms", self.ms)?))?;
                bench.hang(Self::need("device", self.device)?, time).map(|()| done)
            }
            "screen" => {
                let lines = bench.screen(
                    self.device,
                    self.contains.unwrap_or(""),
                    self.time("timeout_ms", self.timeout_ms)?,
                )?;
                Ok(json!({"ok": true, "lines": lines}))
            }
            "papers" => {
                let (total, papers) = bench.papers(
                    self.device,
                    self.count.unwrap_or(0),
                    self.time("timeout_ms", self.timeout_ms)?,
                )?;
                Ok(json!({"ok": true, "total": total, "papers": papers}))
            }
            "devices" => {
                let devices = bench
                    .devices()
                    .into_iter()
                    .map(|(name, kind, usable)| json!({"name": name, "kind": kind, "usable": usable}));
                Ok(json!({"ok": true, "devices": devices.collect::<Vec<_>>()}))
            }
            _ => Err(Refused::new("do", "no such command")),
        }
    }
}
fn pan_of(digits: &str) -> Result<Pan, Refused> {
    Pan::parse(digits).map_err(|_| Refused::new("pan", "12 to 19 digits"))
}
fn from_hex(hex: &str) -> Result<Zeroizing<String>, Refused> {
    let mut text = Zeroizing::new(String::with_capacity(hex.len()));
    for pair in hex.as_bytes().chunks(2) {
        let byte = std::str::from_utf8(pair)
            .ok()
            .filter(|p| p.len() == 2 && !p.starts_with('+'))
            .and_then(|p| u8::from_str_radix(p, 16).ok());
        text.push(
            byte.filter(u8::is_ascii)
                .map(char::from)
                .ok_or_else(|| Refused::new("tracks", "with hex: pairs of hexadecimal digits, 00 to 7f"))?,
        );
    }
    Ok(text)
}
fn expiry_of(yymm: &str) -> Result<&str, Refused> {
    let month = yymm
        .get(2..4)
        .filter(|_| yymm.len() == 4 && yymm.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|m| m.parse::<u8>().ok());
    if month.is_some_and(|m| (1..=12).contains(&m)) {
        Ok(yymm)
    } else {
        Err(Refused::new("expiry", CardError::Expiry.to_string().trim_start_matches("expiry: ")))
    }
}

fn answer(bench: &VirtualBench, line: &[u8]) -> Value {
    // With an escape the JSON parser would copy the string into a buffer that is not zeroised; its own error
    // texts quote data.
    let parsed = if line.contains(&b'\\') {
        Err(Refused::new("line", "no backslash escapes"))
    } else {
        serde_json::from_slice::<Line<'_>>(line).map_err(|e| {
            Refused::new(
                "line",
                format!(
                    "column {}: not a command of this protocol (an unknown member, a wrong type, or no JSON)",
                    e.column()
                ),
            )
        })
    };
    parsed
        .and_then(|line| line.run(bench))
        .unwrap_or_else(|r| json!({"error": {"field": r.field, "rule": r.rule}}))
}

/// The socket and its threads; dropping it closes and removes them.
pub struct VirtualControlServer {
    path: PathBuf,
    inode: u64,
    listener: UnixListener,
    shared: Arc<Server>,
    accepting: Option<JoinHandle<()>>,
}
struct Server {
    bench: VirtualBench,
    closing: AtomicBool,
    /// So that closing ends their reads.
    clients: Mutex<Vec<(u64, UnixStream)>>,
}

impl VirtualControlServer {
    /// Listens on `path` (mode 0600). Its directory must be ours with mode 0700; a socket that nobody listens
    /// on is removed, anything else in its place is left alone and refused.
    pub fn start(bench: VirtualBench, path: &Path) -> Result<Self, VirtualControlError> {
        let dir = path.parent().ok_or(VirtualControlError::Rule("the path has no directory"))?;
        let meta = dir.symlink_metadata().map_err(doing("looking at its directory"))?;
        if !meta.is_dir() || meta.uid() != geteuid().as_raw() || meta.mode() & 0o077 != 0 {
            return Err(VirtualControlError::Rule(
                "its directory must be a directory of this user with mode 0700",
            ));
        }
        match path.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(doing("looking at it")(e)),
            Ok(old) if !old.file_type().is_socket() => {
                return Err(VirtualControlError::Rule("something that is no socket is in its place"));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(VirtualControlError::Rule("in use by another process"));
            }
            Ok(_) => std::fs::remove_file(path).map_err(doing("removing a stale socket"))?,
        }
        // Nobody else can reach it in the 0700 directory before its own mode is set.
        let listener = UnixListener::bind(path).map_err(doing("binding"))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(doing("setting its mode"))?;
        let inode = path.symlink_metadata().map_err(doing("looking at it"))?.ino();
        let shared = Arc::new(Server { bench, closing: AtomicBool::new(false), clients: Mutex::default() });
        let (acceptor, server) = (listener.try_clone().map_err(doing("binding"))?, shared.clone());
        let accepting = std::thread::Builder::new()
            .name("virtual".into())
            .spawn(move || server.accept(&acceptor))
            .map_err(doing("starting its thread"))?;
        Ok(Self { path: path.into(), inode, listener, shared, accepting: Some(accepting) })
    }
}

impl Drop for VirtualControlServer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; std has no call for it.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for (_, client) in self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = client.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
        if rfs::lstat(&self.path).is_ok_and(|s| s.st_ino == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Server {
    fn accept(self: &Arc<Self>, listener: &UnixListener) {
        for id in 0u64.. {
            let accepted = listener.accept();
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            match accepted {
                Ok((client, _)) => {
                    if let Err(why) = self.admit(id, client) {
                        tracing::warn!(%why, "virtual control: a client was turned away");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "virtual control: cannot accept");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, id: u64, client: UnixStream) -> Result<(), VirtualControlError> {
        let peer = rustix::net::sockopt::socket_peercred(&client)
            .map_err(|e| doing("asking who the client is")(e.into()))?;
        if peer.uid != geteuid() && !peer.uid.is_root() {
            return Err(VirtualControlError::Rule("the client is another user"));
        }
        client.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(doing("setting a time-out"))?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS_MOST {
            return Err(VirtualControlError::Rule("32 clients are connected already"));
        }
        clients.push((id, client.try_clone().map_err(doing("accepting"))?));
        drop(clients);
        let server = self.clone();
        let serve = move || {
            if let Err(error) = server.serve(&client) {
                tracing::debug!(%error, "virtual control: a client was lost");
            }
            server.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != id);
            let _ = client.shutdown(Shutdown::Both);
        };
        std::thread::Builder::new()
            .name("virtual-client".into())
            .stack_size(256 << 10)
            .spawn(serve)
            .map_err(doing("starting a thread"))?;
        Ok(())
    }

    fn serve(&self, client: &UnixStream) -> io::Result<()> {
        let mut buffer = Zeroizing::new(vec![0u8; LINE_MOST]);
        let mut filled = 0;
        loop {
            if let Some(end) = buffer[..filled].iter().position(|b| *b == b'\n') {
                let reply = answer(&self.bench, &buffer[..end]);
                buffer.copy_within(end + 1..filled, 0);
                filled -= end + 1;
                buffer[filled..].fill(0);
                send(client, &reply)?;
                continue;
            }
            if filled == LINE_MOST {
                let reply = json!({"error": {"field": "line", "rule": "at most 4096 bytes"}});
                return send(client, &reply);
            }
            match (&mut &*client).read(&mut buffer[filled..])? {
                0 => return Ok(()),
                n => filled += n,
            }
        }
    }
}

/// One write: a `Value` written straight to a socket is a system call for each of its tokens.
fn send(mut client: &UnixStream, reply: &Value) -> io::Result<()> {
    client.write_all(format!("{reply}\n").as_bytes())
}

/// The other end, for tests, `paytermctl virtual` and the demo. Every call waits for its answer.
pub struct VirtualControl {
    stream: BufReader<UnixStream>,
}
impl VirtualControl {
    pub fn connect(path: &Path) -> Result<Self, VirtualControlError> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(path).map_err(doing("connecting"))?) })
    }

    fn ask(&mut self, line: &Line<'_>) -> Result<Value, VirtualControlError> {
        // Big enough from the start: a growing buffer would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * LINE_MOST));
        serde_json::to_writer(&mut *bytes, line).map_err(|_| VirtualControlError::Answer)?;
        if bytes.len() >= LINE_MOST {
            return Err(VirtualControlError::Rule("the command is longer than 4096 bytes"));
        }
        bytes.push(b'\n');
        self.stream.get_mut().write_all(&bytes).map_err(doing("sending"))?;
        let mut reply = String::new();
        self.stream.read_line(&mut reply).map_err(doing("waiting for the answer"))?;
        let reply: Value = serde_json::from_str(&reply).map_err(|_| VirtualControlError::Answer)?;
        if let Some(error) = reply.get("error") {
            let text = |k: &str| error.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
            return Err(Refused { field: text("field"), rule: text("rule") }.into());
        }
        Ok(reply)
    }
    /// With what the customer does, and when. Answers why the reader could not read it, if so.
    fn act(&mut self, line: Line<'_>, when: When) -> Result<Option<String>, VirtualControlError> {
        let line = match when {
            When::Now => line,
            When::Queue => Line { queue: true, ..line },
            When::Within(t) => Line { wait_ms: Some(t.as_millis() as u64), ..line },
        };
        Ok(self.ask(&line)?.get("unreadable").and_then(Value::as_str).map(str::to_owned))
    }

    /// Raw reader output: `%B...?;...?+...?`, with LRC characters after each `?` when `lrc`.
    pub fn swipe_tracks(
        &mut self,
        tracks: &str,
        lrc: bool,
        when: When,
    ) -> Result<Option<String>, VirtualControlError> {
        use std::fmt::Write;
        let mut hex = Zeroizing::new(String::with_capacity(LINE_MOST));
        for b in tracks.bytes().take(LINE_MOST / 2) {
            let _ = write!(hex, "{b:02x}");
        }
        self.act(Line { verb: "swipe", tracks: Some(&hex), hex: true, lrc, ..Line::default() }, when)
    }
    /// A card with a track 2 made of PAN, expiry (YYMM) and service code 120.
    pub fn swipe(
        &mut self,
        pan: &str,
        expiry: &str,
        when: When,
    ) -> Result<Option<String>, VirtualControlError> {
        self.act(Line { verb: "swipe", pan: Some(pan), expiry: Some(expiry), ..Line::default() }, when)
    }
    pub fn insert(&mut self, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "insert", ..Line::default() }, when).map(drop)
    }
    pub fn tap(&mut self, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "tap", ..Line::default() }, when).map(drop)
    }
    pub fn scan(&mut self, code: &str, when: When) -> Result<Option<String>, VirtualControlError> {
        self.act(Line { verb: "scan", code: Some(code), ..Line::default() }, when)
    }
    pub fn type_card(&mut self, pan: &str, expiry: &str, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "type", pan: Some(pan), expiry: Some(expiry), ..Line::default() }, when)
            .map(drop)
    }
    /// Digits, `cancel` or `bypass`.
    pub fn pin(&mut self, pin: &str, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "pin", pin: Some(pin), ..Line::default() }, when).map(drop)
    }
    /// `confirm`, `cancel` or a digit.
    pub fn key(&mut self, key: &str, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "key", key: Some(key), ..Line::default() }, when).map(drop)
    }
    pub fn paper_out(&mut self, out: bool) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "paper-out", on: Some(out), ..Line::default() }).map(drop)
    }
    pub fn printer_online(&mut self, online: bool) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "printer", on: Some(online), ..Line::default() }).map(drop)
    }
    pub fn cover_open(&mut self, open: bool) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "cover", on: Some(open), ..Line::default() }).map(drop)
    }
    pub fn read_fault(&mut self, device: &str, read_fault: bool) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "read-fault", device: Some(device), on: Some(read_fault), ..Line::default() })
            .map(drop)
    }
    pub fn plug(&mut self, device: &str, plugged: bool) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "plug", device: Some(device), on: Some(plugged), ..Line::default() }).map(drop)
    }
    pub fn hang(&mut self, device: &str, time: Duration) -> Result<(), VirtualControlError> {
        self.ask(&Line {
            verb: "hang",
            device: Some(device),
            ms: Some(time.as_millis() as u64),
            ..Line::default()
        })
        .map(drop)
    }
    pub fn panic(&mut self, device: &str) -> Result<(), VirtualControlError> {
        self.ask(&Line { verb: "panic", device: Some(device), ..Line::default() }).map(drop)
    }
    pub fn screen(&mut self) -> Result<Vec<String>, VirtualControlError> {
        self.wait_screen("", Duration::ZERO)
    }
    /// The lines on the display, as soon as one of them contains `part`.
    pub fn wait_screen(&mut self, part: &str, timeout: Duration) -> Result<Vec<String>, VirtualControlError> {
        let reply = self.ask(&Line {
            verb: "screen",
            contains: Some(part),
            timeout_ms: Some(timeout.as_millis() as u64),
            ..Line::default()
        })?;
        texts(&reply, "lines")
    }
    /// How many papers have come out, and the last 200 of them.
    pub fn papers(&mut self) -> Result<(u64, Vec<String>), VirtualControlError> {
        self.wait_papers(0, Duration::ZERO)
    }
    /// The same as soon as `count` have come out since the daemon started.
    pub fn wait_papers(
        &mut self,
        count: u64,
        timeout: Duration,
    ) -> Result<(u64, Vec<String>), VirtualControlError> {
        let reply = self.ask(&Line {
            verb: "papers",
            count: Some(count),
            timeout_ms: Some(timeout.as_millis() as u64),
            ..Line::default()
        })?;
        Ok((
            reply.get("total").and_then(Value::as_u64).ok_or(VirtualControlError::Answer)?,
            texts(&reply, "papers")?,
        ))
    }
    /// Name, kind, and whether it is plugged in and open.
    pub fn devices(&mut self) -> Result<Vec<(String, String, bool)>, VirtualControlError> {
        let reply = self.ask(&Line { verb: "devices", ..Line::default() })?;
        let row = |d: &Value| {
            Some((
                d.get("name")?.as_str()?.to_owned(),
                d.get("kind")?.as_str()?.to_owned(),
                d.get("usable")?.as_bool()?,
            ))
        };
        reply
            .get("devices")
            .and_then(Value::as_array)
            .ok_or(VirtualControlError::Answer)?
            .iter()
            .map(|d| row(d).ok_or(VirtualControlError::Answer))
            .collect()
    }
}
fn texts(reply: &Value, member: &str) -> Result<Vec<String>, VirtualControlError> {
    let list = reply.get(member).and_then(Value::as_array).ok_or(VirtualControlError::Answer)?;
    list.iter().map(|v| v.as_str().map(str::to_owned).ok_or(VirtualControlError::Answer)).collect()
}
