//! Lines of the control socket, and what each does at the bench.
use super::WAIT_MOST;
use crate::{
    SourceEvent, VirtualBench,
    track::{self, Lrc, Swipe},
    virtual_bench::{PinAct, Refused, When},
};
use payterm_schema::{
    Instrument, Pan, PaymentCode, Tracks,
    device::Key,
    host::EntryMode,
    secret::{CardError, Pin},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

/// Line of the protocol, borrowed from its buffer.
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

    /// Instrument that the magnetic reader makes of it, and the answer; what it cannot read is one too.
    fn swiped(&self) -> Result<(Instrument, Value), Refused> {
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
            Ok(Swipe { tracks, bad }) if bad.is_empty() => (Instrument::Swiped(tracks), json!({"ok": true})),
            Ok(Swipe { tracks, bad }) => {
                let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
                (Instrument::Swiped(tracks), json!({"ok": true, "left_out": bad}))
            }
            Err(e) => {
                let why = e.to_string();
                let answer = json!({"ok": true, "unreadable": why});
                (Instrument::Unreadable { mode: EntryMode::Swipe, why }, answer)
            }
        })
    }

    /// Does it at the bench; gives the members of the answer.
    pub(crate) fn run(&self, bench: &VirtualBench) -> Result<Value, Refused> {
        let present =
            |instrument| bench.present(self.device, SourceEvent::Instrument(instrument), self.when()?);
        let done = json!({"ok": true});
        match self.verb {
            "swipe" => {
                let (instrument, answer) = self.swiped()?;
                present(instrument).map(|()| answer)
            }
            "insert" => present(Instrument::Inserted).map(|()| done),
            "tap" => present(Instrument::Tapped).map(|()| done),
            "scan" => match PaymentCode::parse(Self::need("code", self.code)?) {
                Ok(code) => present(Instrument::Scanned(code)).map(|()| done),
                Err(e) => {
                    let why = e.to_string();
                    present(Instrument::Unreadable { mode: EntryMode::Code, why: why.clone() })?;
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
                    "clear" => PinAct::Clear,
                    digits => PinAct::Digits(
                        Pin::parse(digits)
                            .ok_or_else(|| Refused::new("pin", "4 to 12 digits, clear, cancel or bypass"))?,
                    ),
                };
                bench.pin(self.device, act, self.when()?).map(|()| done)
            }
            "key" => {
                let key = match Self::need("key", self.key)?.as_bytes() {
                    b"confirm" => Key::Confirm,
                    b"cancel" => Key::Cancel,
                    b"clear" => Key::Clear,
                    [d @ b'0'..=b'9'] => Key::Digit(*d),
                    _ => return Err(Refused::new("key", "confirm, cancel, clear or one digit")),
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

/// Answer to a line.
pub(super) fn answer(bench: &VirtualBench, line: &[u8]) -> Value {
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
