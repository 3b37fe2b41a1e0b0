//! Control of the virtual devices: a Unix socket of their own in the state directory, never the bus.
//!
//! One JSON object a line (at most [`LINE_MOST`] bytes, UTF-8, without backslash escapes), answered by one
//! line: `{"ok":true,...}` or `{"error":{"field":"..","rule":".."}}`. Members of a line, besides `do`; times
//! in milliseconds:
//!
//! | `do` | members |
//! |---|---|
//! | `swipe` | `tracks` (raw output; `hex`: hexadecimal; `lrc`: with LRCs) or `pan`, `expiry`, `service` |
//! | `insert`, `tap` | |
//! | `scan` | `code` |
//! | `type` | `pan`, `expiry` |
//! | `pin` | `pin`: digits, `clear` (some are typed and taken back), `cancel` or `bypass` |
//! | `key` | `key`: `confirm`, `cancel`, `clear` or a digit |
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
mod client;
mod protocol;
mod server;

pub use client::VirtualControl;
pub use server::VirtualControlServer;

use crate::virtual_bench::Refused;
use std::{io, time::Duration};

/// Longest line, in bytes: three full tracks take 226.
pub const LINE_MOST: usize = 4096;
/// Longest wait that a command may ask for.
pub const WAIT_MOST: Duration = Duration::from_secs(600);

/// Error of the control socket, on either side.
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
