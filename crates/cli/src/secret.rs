//! Secrets from stdin: unbuffered, without echo on a terminal, zeroised.
use payterm_schema::Fault;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::{fs::File, io, io::Read, os::fd::AsFd};
use zeroize::Zeroizing;

/// Longest line; three tracks take 226 bytes, a frame in hex some thousand.
const MOST: usize = 16 << 10;

/// Reads one line of stdin; on a terminal `what` is asked for.
pub fn line(what: &str) -> Result<Zeroizing<String>, Fault> {
    let failed = |e: io::Error| Fault::Invalid { field: what.into(), rule: format!("stdin: {e}") };
    // Not `io::stdin()`: its buffer would keep a copy and swallow the lines behind.
    let mut from = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let quiet = Quiet::start(&from, what).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        if from.read(&mut *byte).map_err(failed)? == 0 {
            if bytes.is_empty() {
                return Err(Fault::invalid(what, "stdin ended"));
            }
            break;
        }
        match (byte[0], quiet.is_some()) {
            (b'\n' | b'\r', _) => break,
            // Ctrl-C and Ctrl-D come as bytes while the terminal is quiet.
            (3 | 4, true) => return Err(Fault::invalid(what, "given up")),
            (8 | 127, true) => drop(bytes.pop()),
            (b, _) if bytes.len() < MOST => bytes.push(b),
            (_, _) => return Err(Fault::invalid(what, "longer than 16 KiB")),
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
