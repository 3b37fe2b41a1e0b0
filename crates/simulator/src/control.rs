//! The control socket `STATE/control.sock` (mode 0600): one JSON object a line, one answer a line. It is how
//! mishaps are ordered while the acquirer runs.
use crate::{
    mishap,
    shared::Shared,
    tms::{Decision, Held, Registry},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

/// Greatest length of a command line in bytes.
const MAX_LINE: u64 = 16 * 1024;
/// A client that is silent this long is dropped.
const IDLE: Duration = Duration::from_secs(60);
/// Clients at a time.
const MAX_CLIENTS: usize = 16;

/// A command: `{"cmd":"mishap","mishap":{"type":"drop-reply"},"next":1,"mti":"0200"}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Command {
    /// Trouble for the next messages.
    Mishap(mishap::Plan),
    /// Mishaps that wait.
    Mishaps,
    /// Forget what waits.
    Clear,
    /// Forget the wrong PINs of a card.
    Unblock { card: String },
    /// Scripts for the next answer to a chip card.
    Script { card: String, scripts: Vec<crate::card::Script> },
    /// Counters.
    Stats,
    /// Onboardings for a terminal.
    Onboardings,
    /// A person's word on one.
    Decide { id: String, decision: Decision },
}

/// `{"ok":true, ...}` or `{"ok":false,"error":"..."}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mishaps: Option<Vec<mishap::Plan>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<crate::shared::Stats>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboardings: Option<Vec<Held>>,
}
impl Reply {
    fn error(text: impl ToString) -> Self {
        Reply { error: Some(text.to_string()), ..Reply::default() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("control socket {path}: {cause}")]
    Socket { path: String, cause: std::io::Error },
    #[error("control socket: the answer is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

pub fn path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Binds the socket; the state directory is locked by the caller, so a file that is there is a dead one.
pub fn bind(state: &Path) -> Result<UnixListener, ControlError> {
    let path = path(state);
    let fail = |cause| ControlError::Socket { path: path.display().to_string(), cause };
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(fail)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    let room = Arc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _permit = permit;
            let (read, mut write) = stream.into_split();
            let mut read = tokio::io::BufReader::new(read);
            loop {
                let mut line = Vec::new();
                let got =
                    tokio::time::timeout(IDLE, (&mut read).take(MAX_LINE).read_until(b'\n', &mut line)).await;
                if !matches!(got, Ok(Ok(n)) if n > 0) || line.last() != Some(&b'\n') {
                    return;
                }
                let reply = serde_json::from_slice(&line).map_or_else(Reply::error, |c| run(&shared, c));
                let Ok(mut text) = serde_json::to_vec(&reply) else { return };
                text.push(b'\n');
                if write.write_all(&text).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn run(shared: &Shared, command: Command) -> Reply {
    let ok = Reply { ok: true, ..Reply::default() };
    match command {
        Command::Mishap(plan) => shared.mishaps.add(plan).map_or_else(Reply::error, |()| ok),
        Command::Mishaps => Reply { mishaps: Some(shared.mishaps.list()), ..ok },
        Command::Clear => Reply { cleared: Some(shared.mishaps.clear()), ..ok },
        Command::Unblock { card } => match shared.bank().unblock(&card) {
            Ok(true) => ok,
            Ok(false) => Reply::error(format!("card {card}: no wrong PIN is counted")),
            Err(e) => Reply::error(e),
        },
        Command::Script { card, scripts } => {
            let told = shared.bank().script(&card, &scripts);
            told.map_or_else(|e| Reply::error(format!("card {card}: {e}")), |()| ok)
        }
        Command::Onboardings => registry(shared)
            .map_or_else(Reply::error, |d| Reply { onboardings: Some(d.all().cloned().collect()), ..ok }),
        Command::Decide { id, decision } => {
            let decided =
                registry(shared).and_then(|mut d| d.decide(&id, decision).map_err(|e| e.to_string()));
            decided.map_or_else(Reply::error, |held| Reply { onboardings: Some(vec![held]), ..ok })
        }
        Command::Stats => Reply { stats: Some(shared.stats()), ..ok },
    }
}

fn registry(shared: &Shared) -> Result<MutexGuard<'_, Registry>, String> {
    let registry = shared.tms.as_ref().ok_or("there is no terminal management here: serve --tms")?;
    Ok(registry.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sends one command to the acquirer that runs on this state directory.
pub fn send(state: &Path, command: &Command) -> Result<Reply, ControlError> {
    let path = path(state);
    let fail = |cause| ControlError::Socket { path: path.display().to_string(), cause };
    let mut stream = UnixStream::connect(&path).map_err(fail)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(fail)?;
    let mut text = serde_json::to_vec(command)?;
    text.push(b'\n');
    stream.write_all(&text).map_err(fail)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(fail)?;
    let reply: Reply = serde_json::from_str(&line)?;
    match &reply.error {
        Some(e) if !reply.ok => Err(ControlError::Refused(e.clone())),
        Some(_) | None => Ok(reply),
    }
}
