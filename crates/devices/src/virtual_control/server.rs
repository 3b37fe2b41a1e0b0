//! Server of the control socket: who may connect, and a thread a client.
use super::{LINE_MOST, VirtualControlError, doing, protocol::answer};
use crate::VirtualBench;
use rustix::{fs as rfs, process::geteuid};
use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
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

/// Greatest number of clients at a time.
const CLIENTS_MOST: usize = 32;
/// Time after which a client is left that does not take its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Socket and its threads; dropping it closes and removes them.
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
    /// Clients by number, so that closing ends their reads.
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

/// Sends an answer in one write: a `Value` written straight to a socket is a system call for each of its
/// tokens.
fn send(mut client: &UnixStream, reply: &Value) -> io::Result<()> {
    client.write_all(format!("{reply}\n").as_bytes())
}
