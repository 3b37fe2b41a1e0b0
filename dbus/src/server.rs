//! Serving: a bus, a peer-to-peer socket, or both.
use crate::{
    bus_name,
    client::Address,
    link::{Face, Link, lock},
    objects::SHOWN,
    signals,
};
use payterm_schema::{
    Caller, Terminal,
    config::{BusConfig, BusKind},
    terminal::Filter,
};
use std::{
    collections::VecDeque,
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};
use zbus::{Connection, Guid, connection::Builder};

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("bus {bus}: {source}")]
    Connect { bus: String, source: zbus::Error },
    #[error("bus name {name}: owned by another program (a second lane needs its own bus.lane)")]
    NameTaken { name: String },
    #[error("bus name {name}: {source}")]
    Name { name: String, source: zbus::Error },
    #[error("bus.peer_socket {path}: {source}")]
    Socket { path: PathBuf, source: io::Error },
    #[error("bus.peer_socket {path}: {rule}")]
    SocketInUse { path: PathBuf, rule: &'static str },
    #[error("bus: the terminal does not answer: {0}")]
    Terminal(payterm_schema::Fault),
}

/// Time for a peer's handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Peer-to-peer connections at once; further ones are closed. 64: a shop has a few tills.
const PEERS: usize = 64;

/// A running face; dropped, it stops serving.
pub struct Server {
    face: Arc<Face>,
    tasks: Vec<JoinHandle<()>>,
    bus: Option<Connection>,
    socket: Option<PathBuf>,
}

/// Serves as the configuration says: the bus by `DBUS_SYSTEM_BUS_ADDRESS` or `DBUS_SESSION_BUS_ADDRESS` or
/// its usual place. Answers when the name is owned and the socket listens.
pub async fn serve(terminal: Arc<dyn Terminal>, config: &BusConfig) -> Result<Server, BusError> {
    let bus = match config.bus {
        BusKind::System => Some(Address::System),
        BusKind::Session => Some(Address::Session),
        BusKind::None => None,
    };
    serve_at(terminal, config, bus).await
}

/// [`serve`] with the bus named by the caller; `config.bus` is not looked at.
pub async fn serve_at(
    terminal: Arc<dyn Terminal>,
    config: &BusConfig,
    bus: Option<Address>,
) -> Result<Server, BusError> {
    let notices = terminal.notices();
    let last = terminal
        .list(&Caller::payterm(), Filter { limit: Some(SHOWN as u32), ..Filter::default() })
        .await
        .map_err(BusError::Terminal)?;
    let window: VecDeque<_> = last.into_iter().rev().map(|o| o.key).collect();
    let face = Arc::new(Face {
        terminal,
        callers: config.callers.clone(),
        window: Mutex::new(window),
        links: Mutex::default(),
    });
    let mut server = Server { face: Arc::clone(&face), tasks: Vec::new(), bus: None, socket: None };
    server.tasks.push(tokio::spawn(signals::pump(Arc::clone(&face), notices)));
    if let Some(path) = &config.peer_socket {
        let listener = listen(path).await?;
        server.socket = Some(path.clone());
        server.tasks.push(tokio::spawn(accept(Arc::clone(&face), listener)));
    }
    if let Some(address) = bus {
        let connect = |source| BusError::Connect { bus: address.to_string(), source };
        let stream = address.builder().build_message_stream().await.map_err(connect)?;
        let conn = Connection::from(&stream);
        server.bus = Some(conn.clone());
        // Departures of unique names only: the empty third argument is "no owner any more".
        let rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                    member='NameOwnerChanged',arg2=''";
        let link = Link::new(&face, conn.clone(), None);
        server.tasks.push(tokio::spawn(link.run(stream)));
        bus_call(&conn, "AddMatch", &rule).await.map_err(connect)?;
        own(&conn, bus_name(&config.lane)).await?;
    }
    Ok(server)
}

async fn bus_call<B: serde::Serialize + zbus::DynamicType>(
    conn: &Connection,
    member: &str,
    body: &B,
) -> zbus::Result<zbus::Message> {
    const BUS: &str = "org.freedesktop.DBus";
    conn.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), member, body).await
}

/// Owns the name, or fails: neither queued nor replaced. Asked for last, when calls can be answered.
async fn own(conn: &Connection, name: String) -> Result<(), BusError> {
    const DO_NOT_QUEUE: u32 = 4;
    const PRIMARY_OWNER: u32 = 1;
    let reply = bus_call(conn, "RequestName", &(name.as_str(), DO_NOT_QUEUE))
        .await
        .and_then(|m| m.body().deserialize::<u32>());
    match reply {
        Ok(PRIMARY_OWNER) => Ok(()),
        Ok(_) => Err(BusError::NameTaken { name }),
        Err(source) => Err(BusError::Name { name, source }),
    }
}

/// Listens with mode 0660. A socket that nobody listens on is removed first.
async fn listen(path: &Path) -> Result<UnixListener, BusError> {
    let failed = |source| BusError::Socket { path: path.into(), source };
    match std::fs::symlink_metadata(path) {
        Ok(m) if !m.file_type().is_socket() => {
            return Err(BusError::SocketInUse { path: path.into(), rule: "exists and is no socket" });
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(BusError::SocketInUse { path: path.into(), rule: "another program listens on it" });
        }
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

async fn accept(face: Arc<Face>, listener: UnixListener) {
    // Aborting this task drops the set, and with it every peer's task.
    let mut peers = JoinSet::new();
    loop {
        while peers.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if peers.len() < PEERS => drop(peers.spawn(peer(Arc::clone(&face), stream))),
            Ok(_) => tracing::warn!(limit = PEERS, "too many peers: a connection was closed"),
            Err(cause) => {
                // Out of file descriptors: the next accept would fail at once again.
                tracing::warn!(%cause, "accept on the peer socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn peer(face: Arc<Face>, stream: UnixStream) {
    let known = stream.peer_cred().is_ok_and(|c| face.callers.iter().any(|row| row.uid == c.uid()));
    let Ok((stream, socket)) = stream.into_std().and_then(|s| s.try_clone().map(|c| (s, c))) else { return };
    let built = Builder::unix_stream(stream).server(Guid::generate()).p2p().build_message_stream();
    let stream = match tokio::time::timeout(HANDSHAKE, built).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) => return tracing::debug!(%cause, "a peer's handshake failed"),
        Err(_) => return tracing::debug!("a peer's handshake took too long"),
    };
    let link = Link::new(&face, Connection::from(&stream), Some(socket));
    if !known {
        // A user without a row is answered NotAllowed, so that it learns why, but may not keep a connection.
        let link = Arc::clone(&link);
        tokio::spawn(async move {
            tokio::time::sleep(HANDSHAKE).await;
            link.cut();
        });
    }
    link.run(stream).await;
}

impl Server {
    /// Ends when the bus is lost; never without a bus. The daemon then serves again.
    pub async fn lost(&self) {
        match &self.bus {
            Some(conn) => conn.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Closes all connections, gives the name up and removes the socket. Calls under way are not answered:
    /// their requests go on, and no caller counts as lost.
    pub async fn close(mut self) {
        for link in self.stop() {
            link.close().await;
        }
    }

    fn stop(&mut self) -> Vec<Arc<Link>> {
        for t in self.tasks.drain(..) {
            t.abort();
        }
        if let Some(path) = self.socket.take() {
            let _ = std::fs::remove_file(path);
        }
        std::mem::take(&mut *lock(&self.face.links))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let links = self.stop();
        if let (false, Ok(runtime)) = (links.is_empty(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                for link in links {
                    link.close().await;
                }
            });
        }
    }
}
