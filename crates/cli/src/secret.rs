//! Secrets from stdin: unbuffered, without echo on a terminal, zeroised.
use crate::Failure;
use payterm_schema::Fault;
use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
    termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr},
};
use std::{fs::File, io, io::Read, os::fd::AsFd};
use zeroize::Zeroizing;

/// Longest line; three tracks take 226 bytes, a frame in hex some thousand.
const MOST: usize = 16 << 10;
/// Longest text; all that a card says takes some thousand bytes, in hex.
const MOST_IN_ALL: usize = 256 << 10;

/// Keeps what this process holds in memory to itself: no core file, and nobody reads it (as in paytermd).
pub fn keep_in() -> Result<(), Failure> {
    let failed = |e| Failure::local(io::Error::from(e));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(failed)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)
}

/// Reads one line of stdin; on a terminal `what` is asked for.
pub fn line(what: &str) -> Result<Zeroizing<String>, Fault> {
    read(what, MOST, false)
}
/// Reads stdin to its end; on a terminal `what` is asked for, to an empty line.
pub fn all(what: &str) -> Result<Zeroizing<String>, Fault> {
    read(what, MOST_IN_ALL, true)
}

fn read(what: &str, most: usize, whole: bool) -> Result<Zeroizing<String>, Fault> {
    let failed = |e: io::Error| Fault::Invalid { field: what.into(), rule: format!("stdin: {e}") };
    // Not `io::stdin()`: its buffer would keep a copy and swallow the lines behind.
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let quiet = Quiet::start(&from, what).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        if from.read(&mut *byte).map_err(failed)? == 0 {
            if bytes.is_empty() {
                return Err(Fault::invalid(what, "stdin ended"));
            }
            break;
        }
        match (byte[0], quiet.is_some()) {
            (b'\n' | b'\r', quiet) if !whole || quiet && matches!(bytes.last(), None | Some(b'\n')) => break,
            // Ctrl-C and Ctrl-D come as bytes while the terminal is quiet.
            (3 | 4, true) => return Err(Fault::invalid(what, "given up")),
            (8 | 127, true) => drop(bytes.pop()),
            (b'\r', true) => bytes.push(b'\n'),
            (b, _) if bytes.len() < most => bytes.push(b),
            (_, _) => return Err(Fault::invalid(what, &format!("longer than {} KiB", most >> 10))),
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::invalid(what, "UTF-8 text"))?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// An argument, or a line of stdin when it is `-`.
pub fn or_stdin(argument: String, what: &str) -> Result<Zeroizing<String>, Fault> {
    if argument == "-" { line(what) } else { Ok(Zeroizing::new(argument)) }
}

/// The terminal without echo, signals and line editing: a Ctrl-C must not leave it mute.
struct Quiet {
    terminal: File,
    before: Termios,
}
impl Quiet {
    fn start(from: &File, what: &str) -> io::Result<Option<Self>> {
        if !isatty(from) {
            return Ok(None);
        }
        let terminal = from.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut mute = before.clone();
        mute.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(&terminal, OptionalActions::Flush, &mute)?;
        crate::ui::err(&format!("{what}:"));
        Ok(Some(Self { terminal, before }))
    }
}
impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}
