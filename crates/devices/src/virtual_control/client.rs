//! Client of the control socket.
use super::{LINE_MOST, VirtualControlError, doing, protocol::Line};
use crate::virtual_bench::{Refused, When};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};
use zeroize::Zeroizing;

/// Client of the control socket, for tests, `paytermctl virtual` and the demo. Every call waits for its
/// answer.
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
    /// Sends an act of the customer, and when it is done. Gives the reason why the reader could not read it,
    /// if so.
    fn act(&mut self, line: Line<'_>, when: When) -> Result<Option<String>, VirtualControlError> {
        let line = match when {
            When::Now => line,
            When::Queue => Line { queue: true, ..line },
            When::Within(t) => Line { wait_ms: Some(t.as_millis() as u64), ..line },
        };
        Ok(self.ask(&line)?.get("unreadable").and_then(Value::as_str).map(str::to_owned))
    }

    /// Swipes a card with this raw reader output: `%B...?;...?+...?`, with LRC characters after each `?` when
    /// `lrc`.
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
    /// Swipes a card with a track 2 made of card number, expiry (YYMM) and service code 120.
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
    /// Works the PIN pad: digits, `clear`, `cancel` or `bypass`.
    pub fn pin(&mut self, pin: &str, when: When) -> Result<(), VirtualControlError> {
        self.act(Line { verb: "pin", pin: Some(pin), ..Line::default() }, when).map(drop)
    }
    /// Presses a key: `confirm`, `cancel`, `clear` or a digit.
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
    /// Waits until a line on the display contains `part`, and gives all lines.
    pub fn wait_screen(&mut self, part: &str, timeout: Duration) -> Result<Vec<String>, VirtualControlError> {
        let reply = self.ask(&Line {
            verb: "screen",
            contains: Some(part),
            timeout_ms: Some(timeout.as_millis() as u64),
            ..Line::default()
        })?;
        texts(&reply, "lines")
    }
    /// Number of papers that have come out since the daemon started, and the last 200 of them.
    pub fn papers(&mut self) -> Result<(u64, Vec<String>), VirtualControlError> {
        self.wait_papers(0, Duration::ZERO)
    }
    /// Waits until `count` papers have come out since the daemon started; gives their number and the last 200
    /// of them.
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
    /// Devices of the bench: name, kind, and whether it is plugged in and open.
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
