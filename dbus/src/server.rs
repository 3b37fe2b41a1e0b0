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
    config::{BusConfig, BusKind, CallerConfig},
    terminal::Filter,
};
use std::{
    collections::VecDeque,
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout},
};
use zbus::{Connection, Guid, MessageStream, connection::Builder};

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
}

/// Time for a peer's handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Pause before a bus that was lost is looked for again, and the time for a try: it is served within 5 s.
const AGAIN: Duration = Duration::from_secs(1);
const TRY: Duration = Duration::from_secs(3);
/// A bus that comes and goes is logged no more often.
const LOGGED_EVERY: Duration = Duration::from_secs(60);
/// Peer-to-peer connections at once; further ones are closed. 64: a shop has a few tills.
const PEERS: usize = 64;

/// A running face; dropped, it stops serving.
pub struct Server {
    face: Arc<Face>,
    tasks: Vec<JoinHandle<()>>,
    on_bus: watch::Receiver<bool>,
    socket: Option<Listening>,
}

/// Name and socket of a face, held before there is a terminal: whoever is not to have them learns it while
/// nothing of a terminal runs. Calls that come wait for [`Claim::serve`]. Dropped, it gives both up.
pub struct Claim {
    config: BusConfig,
    bus: Option<(Seat, Joined)>,
    socket: Option<(UnixListener, Listening)>,
}

/// Bus and name on it.
struct Seat {
    address: Address,
    name: String,
}
type Joined = (Connection, MessageStream);

/// Place of a socket that we listen on; dropped, it is removed.
struct Listening(PathBuf);

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Claims what the configuration says: the bus by `DBUS_SYSTEM_BUS_ADDRESS` or `DBUS_SESSION_BUS_ADDRESS` or
/// its usual place. Answers when the name is owned and the socket listens.
pub async fn claim(config: &BusConfig) -> Result<Claim, BusError> {
    let bus = match config.bus {
        BusKind::System => Some(Address::System),
        BusKind::Session => Some(Address::Session),
        BusKind::None => None,
    };
    claim_at(config, bus).await
}

/// [`claim`] with the bus named by the caller; `config.bus` is not looked at.
pub async fn claim_at(config: &BusConfig, bus: Option<Address>) -> Result<Claim, BusError> {
    let bus = match bus {
        Some(address) => {
            let seat = Seat { address, name: bus_name(&config.lane) };
            let joined = seat.join().await?;
            Some((seat, joined))
        }
        None => None,
    };
    let socket = match &config.peer_socket {
        Some(path) => Some(listen(path).await?),
        None => None,
    };
    Ok(Claim { config: config.clone(), bus, socket })
}

impl Claim {
    /// Serves this terminal.
    pub async fn serve(self, terminal: Arc<dyn Terminal>) -> Server {
        let notices = terminal.notices();
        let newest = Filter { limit: Some(SHOWN as u32), ..Filter::default() };
        let last = terminal.list(&Caller::payterm(), newest).await.unwrap_or_else(|fault| {
            tracing::warn!(%fault, "the bus shows no transactions of before this start");
            Vec::new()
        });
        let window: VecDeque<_> = last.into_iter().rev().map(|o| o.key).collect();
        let face = Arc::new(Face::new(terminal, &self.config.callers, window));
        let (told, on_bus) = watch::channel(true);
        let mut server = Server { face: Arc::clone(&face), tasks: Vec::new(), on_bus, socket: None };
        server.tasks.push(tokio::spawn(signals::pump(Arc::clone(&face), notices)));
        if let Some((listener, place)) = self.socket {
            server.socket = Some(place);
            server.tasks.push(tokio::spawn(accept(Arc::clone(&face), listener)));
        }
        if let Some((seat, joined)) = self.bus {
            server.tasks.push(tokio::spawn(seat.keep(face, joined, told)));
        }
        server
    }
}

/// [`claim_at`] and [`Claim::serve`].
pub async fn serve_at(
    terminal: Arc<dyn Terminal>,
    config: &BusConfig,
    bus: Option<Address>,
) -> Result<Server, BusError> {
    Ok(claim_at(config, bus).await?.serve(terminal).await)
}

impl Seat {
    /// A connection to the bus that owns the name and hears who leaves.
    async fn join(&self) -> Result<Joined, BusError> {
        let connect = |source| BusError::Connect { bus: self.address.to_string(), source };
        let stream = self.address.builder().build_message_stream().await.map_err(connect)?;
        let conn = Connection::from(&stream);
        // Departures of unique names only: the empty third argument is "no owner any more".
        let rule = "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',\
                    member='NameOwnerChanged',arg2=''";
        bus_call(&conn, "AddMatch", &rule).await.map_err(connect)?;
        own(&conn, &self.name).await?;
        Ok((conn, stream))
    }

    /// Serves the bus for ever. One that is lost, because its daemon was restarted, is served again when it
    /// is back; whoever called on it has left.
    async fn keep(self, face: Arc<Face>, mut joined: Joined, on_bus: watch::Sender<bool>) {
        let mut logged: Option<Instant> = None;
        loop {
            let (conn, stream) = joined;
            Link::new(&face, conn, None).run(stream).await;
            on_bus.send_replace(false);
            let first = logged.is_none_or(|at| at.elapsed() >= LOGGED_EVERY);
            if first {
                logged = Some(Instant::now());
                tracing::warn!(bus = %self.address, "the bus is lost: nobody can call until it is back");
            }
            joined = self.again(&mut logged).await;
            on_bus.send_replace(true);
            if first {
                tracing::info!(bus = %self.address, "the bus is back, and is served again");
            }
        }
    }

    async fn again(&self, logged: &mut Option<Instant>) -> Joined {
        loop {
            sleep(AGAIN).await;
            let why = match timeout(TRY, self.join()).await {
                Ok(Ok(joined)) => return joined,
                Ok(Err(cause)) => cause.to_string(),
                Err(_) => "no answer".into(),
            };
            if logged.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
                *logged = Some(Instant::now());
                tracing::warn!(bus = %self.address, "the bus is still lost: {why}");
            }
        }
    }
}

async fn bus_call<B: serde::Serialize + zbus::DynamicType>(
    conn: &Connection,
    member: &str,
    body: &B,
) -> zbus::Result<zbus::Message> {
    const BUS: &str = "org.freedesktop.DBus";
    conn.call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), member, body).await
}

/// Owns the name, or fails: neither queued nor replaced.
async fn own(conn: &Connection, name: &str) -> Result<(), BusError> {
    const DO_NOT_QUEUE: u32 = 4;
    const PRIMARY_OWNER: u32 = 1;
    let reply = bus_call(conn, "RequestName", &(name, DO_NOT_QUEUE))
        .await
        .and_then(|m| m.body().deserialize::<u32>());
    match reply {
        Ok(PRIMARY_OWNER) => Ok(()),
        Ok(_) => Err(BusError::NameTaken { name: name.into() }),
        Err(source) => Err(BusError::Name { name: name.into(), source }),
    }
}

/// Listens with mode 0660. A socket that nobody listens on is removed first.
async fn listen(path: &Path) -> Result<(UnixListener, Listening), BusError> {
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
    let place = Listening(path.into());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok((listener, place))
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
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn peer(face: Arc<Face>, stream: UnixStream) {
    let known = stream.peer_cred().is_ok_and(|c| face.callers().iter().any(|row| row.uid == c.uid()));
    let Ok((stream, socket)) = stream.into_std().and_then(|s| s.try_clone().map(|c| (s, c))) else { return };
    let built = Builder::unix_stream(stream).server(Guid::generate()).p2p().build_message_stream();
    let stream = match timeout(HANDSHAKE, built).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(cause)) => return tracing::debug!(%cause, "a peer's handshake failed"),
        Err(_) => return tracing::debug!("a peer's handshake took too long"),
    };
    let link = Link::new(&face, Connection::from(&stream), Some(socket));
    if !known {
        // A user without a row is answered NotAllowed, so that it learns why, but may not keep a connection.
        let link = Arc::clone(&link);
        tokio::spawn(async move {
            sleep(HANDSHAKE).await;
            link.cut();
        });
    }
    link.run(stream).await;
}

impl Server {
    /// Whether the bus is there and the terminal is called by its name on it; always without a bus.
    pub fn on_bus(&self) -> watch::Receiver<bool> {
        self.on_bus.clone()
    }

    /// Rows `[[bus.caller]]` that decide from now on, for those who are connected too.
    pub fn set_callers(&self, rows: &[CallerConfig]) {
        self.face.set_callers(rows);
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
        self.socket = None;
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
