//! One connection: to a bus with many callers, or to one peer. Receives calls, finds out who calls, answers
//! each in its own task, and tells the terminal when the starter of a request is gone.
use crate::{
    error::{ARGUMENTS, OBJECT, reply_of},
    interfaces::{self, transaction},
    path::key_of,
    peer::Peer,
    row::{Asked, May, Method, Patience, Whose},
    types::Answer,
    wire,
};
use futures_util::StreamExt;
use payterm_schema::{Caller, Fault, RequestKey, Terminal, config::CallerConfig};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use zbus::{
    Connection, Message, MessageStream, Variant,
    message::{Body, Flags, Type},
};

/// Longest body of a call in bytes; a full request is below 2 KiB.
const BODY: usize = 64 << 10;
/// Signals of one connection that wait to be written; a peer that reads no more is cut off.
const SIGNALS: usize = 256;
/// Time to say goodbye to a bus.
const CLOSE: Duration = Duration::from_secs(1);
/// Time within which a fault of a user is logged once.
const REFUSED_EVERY: Duration = Duration::from_secs(60);
/// Refusals that are logged within that time. 64: some for each user of a shop's machine.
const REFUSED: usize = 64;

/// State that all connections share.
pub(crate) struct Face {
    pub terminal: Arc<dyn Terminal>,
    callers: Mutex<Callers>,
    /// The last transactions, oldest first: what the object manager shows.
    pub window: Mutex<VecDeque<RequestKey>>,
    pub links: Mutex<Vec<Arc<Link>>>,
    /// When each fault of a user who may not do what it asks for was logged last.
    refused: Mutex<BTreeMap<(Option<u32>, &'static str), Instant>>,
}

/// Rows `[[bus.caller]]`, as the callers that they describe.
pub(crate) type Callers = Arc<[Arc<Caller>]>;

pub(crate) struct Link {
    pub face: Arc<Face>,
    pub conn: Connection,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
    /// The one peer of a peer-to-peer connection; none on a bus.
    alone: Option<Arc<Peer>>,
    pub signals: mpsc::Sender<Message>,
    /// The socket of a peer: shut, it frees a writer that the peer keeps waiting.
    socket: Option<UnixStream>,
}

pub(crate) fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Face {
    pub fn new(terminal: Arc<dyn Terminal>, callers: &[CallerConfig], window: VecDeque<RequestKey>) -> Self {
        let face = Self {
            terminal,
            callers: Mutex::default(),
            window: window.into(),
            links: Mutex::default(),
            refused: Mutex::default(),
        };
        face.set_callers(callers);
        face
    }
    /// From the next call and the next signal on these rows decide.
    pub fn set_callers(&self, rows: &[CallerConfig]) {
        *lock(&self.callers) = rows.iter().map(|row| Arc::new(Caller::of(row))).collect();
    }
    pub fn callers(&self) -> Callers {
        lock(&self.callers).clone()
    }
    fn log_refused(&self, peer: &Peer, method: &str, fault: &Fault) {
        let refusal = matches!(
            fault,
            Fault::NotAllowed { .. }
                | Fault::NotLoggedOn
                | Fault::OperatorLocked { .. }
                | Fault::TerminalLocked
        );
        let (uid, now) = (peer.uid(), Instant::now());
        let mut last = lock(&self.refused);
        last.retain(|_, at| now.duration_since(*at) < REFUSED_EVERY);
        let kind = (uid, fault.name());
        if refusal && last.len() < REFUSED && !last.contains_key(&kind) {
            last.insert(kind, now);
            tracing::warn!(uid, method, "a call was refused: {fault}");
        }
    }
    /// Tells whether somebody who started this request is still there.
    fn held(&self, key: &RequestKey) -> bool {
        lock(&self.links).iter().any(|l| l.peers().iter().any(|p| p.has_started(key)))
    }
    pub fn lost(self: &Arc<Self>, key: RequestKey) {
        let face = Arc::clone(self);
        tokio::spawn(async move {
            if !face.held(&key)
                && let Err(fault) = face.terminal.caller_lost(&key).await
            {
                tracing::warn!(request = %key, %fault, "the loss of the caller was not taken");
            }
        });
    }
}

impl Link {
    /// Starts the writer of signals; the caller runs [`Link::run`].
    pub fn new(face: &Arc<Face>, conn: Connection, socket: Option<UnixStream>) -> Arc<Self> {
        let (signals, mut queue) = mpsc::channel(SIGNALS);
        let alone = (!conn.is_bus()).then(|| Peer::new(None));
        let link = Arc::new(Self {
            face: Arc::clone(face),
            conn: conn.clone(),
            peers: Mutex::default(),
            alone,
            signals,
            socket,
        });
        lock(&face.links).push(Arc::clone(&link));
        tokio::spawn(async move {
            while let Some(m) = queue.recv().await {
                if conn.send(&m).await.is_err() {
                    break;
                }
            }
        });
        link
    }

    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.alone.iter().cloned().chain(lock(&self.peers).values().cloned()).collect()
    }

    /// Ends the connection to a peer at once, without waiting for whoever writes to it.
    pub fn cut(&self) {
        if let Some(s) = &self.socket {
            let _ = s.shutdown(Shutdown::Both);
        }
    }
    /// Closes the connection; a peer's is cut.
    pub async fn close(&self) {
        match &self.socket {
            Some(_) => self.cut(),
            None => drop(tokio::time::timeout(CLOSE, self.conn.clone().close()).await),
        }
    }

    fn peer(&self, sender: Option<&str>) -> Option<Arc<Peer>> {
        match (&self.alone, sender) {
            (Some(p), _) => Some(Arc::clone(p)),
            (None, Some(name)) => Some(Arc::clone(
                lock(&self.peers).entry(name.into()).or_insert_with(|| Peer::new(Some(name.into()))),
            )),
            (None, None) => None,
        }
    }

    /// Until the connection ends. Calls and departures come in one stream, so a departure is never seen
    /// before the calls that it follows.
    pub async fn run(self: Arc<Self>, mut stream: MessageStream) {
        while let Some(Ok(message)) = stream.next().await {
            match message.message_type() {
                Type::MethodCall => self.received(message),
                Type::Signal => self.departed(&message),
                Type::MethodReturn | Type::Error => {}
            }
        }
        lock(&self.face.links).retain(|l| !Arc::ptr_eq(l, &self));
        for p in self.peers() {
            self.leave(&p);
        }
    }

    fn received(self: &Arc<Self>, message: Message) {
        let header = message.header();
        let Some(peer) = self.peer(header.sender().map(|s| s.as_str())) else { return };
        drop(header);
        let link = Arc::clone(self);
        if let Ok(permit) = Arc::clone(&peer.calls).try_acquire_owned() {
            tokio::spawn(async move {
                link.answer(&peer, &message).await;
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&peer.refusals).try_acquire_owned() {
            tokio::spawn(async move {
                link.refuse(
                    &message,
                    "org.freedesktop.DBus.Error.LimitsExceeded",
                    "too many calls under way",
                )
                .await;
                drop(permit);
            });
        } else {
            tracing::warn!("a caller reads no answers");
            link.cut();
        }
    }

    fn departed(&self, message: &Message) {
        let header = message.header();
        let from_bus = header.sender().is_some_and(|s| s.as_str() == "org.freedesktop.DBus");
        let body = message.body();
        if from_bus
            && header.member().is_some_and(|m| m.as_str() == "NameOwnerChanged")
            && let Ok((name, _, "")) = body.deserialize::<(&str, &str, &str)>()
        {
            let gone = lock(&self.peers).remove(name);
            gone.iter().for_each(|p| self.leave(p));
        }
    }

    fn leave(&self, peer: &Peer) {
        for key in peer.leave() {
            self.face.lost(key);
        }
    }

    async fn answer(self: &Arc<Self>, peer: &Arc<Peer>, message: &Message) {
        let header = message.header();
        let (path, member) =
            (header.path().map_or("", |p| p.as_str()), header.member().map_or("", |m| m.as_str()));
        let Some((interface, method)) =
            interfaces::find(path, header.interface().map(|i| i.as_str()), member)
        else {
            return self
                .refuse(
                    message,
                    "org.freedesktop.DBus.Error.UnknownMethod",
                    "this object has no such interface or method",
                )
                .await;
        };
        let body = message.body();
        let result = match arguments(interface, method, &body) {
            Err(fault) => Err(fault),
            Ok(arguments) => self.run_row(peer, method, path, &arguments).await,
        };
        if let Err(fault) = &result {
            self.face.log_refused(peer, member, fault);
        }
        if header.primary().flags().contains(Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let sent = match result {
            Ok(Answer::Nothing) => self.conn.reply(&header, &()).await,
            Ok(Answer::Value(value)) => match wire::arguments(vec![value]) {
                Ok(body) => self.conn.reply(&header, &body).await,
                Err(e) => Err(e),
            },
            Ok(Answer::Object(object)) => self.conn.reply(&header, &object).await,
            Ok(Answer::Objects(objects)) => self.conn.reply(&header, &objects).await,
            Err(fault) => {
                let (name, text) = reply_of(&fault);
                peer.failed(fault);
                self.conn.reply_error(&header, name, &text).await
            }
        };
        if let Err(cause) = sent {
            tracing::debug!(%cause, interface, member, "the answer was not sent");
        }
    }

    /// Finds out who calls, lets the row decide whether that caller may, and runs it.
    async fn run_row(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        method: &Method,
        path: &str,
        arguments: &[Variant<'_>],
    ) -> Result<Answer, Fault> {
        let caller = match method.may {
            May::Anybody => Arc::new(Caller { manager: false, ..Caller::payterm() }),
            May::Apps | May::Starters | May::Managers | May::Supervised => self.caller(peer).await?,
        };
        match method.may {
            May::Anybody | May::Apps | May::Starters => {}
            May::Managers | May::Supervised => drop(caller.manage()?),
        }
        let own = interfaces::at(path) == [transaction::NAME] && method.whose == Whose::Own;
        let no_object = || Fault::not_found(OBJECT, &path.chars().take(128).collect::<String>());
        let object = own.then(|| key_of(&caller, path)).transpose().map_err(|_| no_object())?;
        let run = (method.run)(Asked { link: self, peer, caller: &caller, path, object }, arguments);
        let run = async {
            match run.await {
                Err(Fault::NotFound { what, .. }) if own && what == "request" => Err(no_object()),
                answer => answer,
            }
        };
        match method.patience {
            Patience::Moment | Patience::Test => run.await,
            // When the caller has left nobody is there to hear it.
            Patience::Long => tokio::select! {
                answer = run => answer,
                () = peer.left() => Err(Fault::Unreachable { cause: "the caller has left".into() }),
            },
        }
    }

    async fn refuse(&self, message: &Message, name: &str, text: &str) {
        if !message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
            let _ = self.conn.reply_error(&message.header(), name, &text).await;
        }
    }

    /// Finds out who calls: on a bus by one question a unique name, on a socket by the kernel's word.
    async fn caller(&self, peer: &Peer) -> Result<Arc<Caller>, Fault> {
        let unknown = |cause: &dyn std::fmt::Display| Fault::NotAllowed {
            rule: format!("the caller's uid is not known: {cause}"),
        };
        peer.caller(&self.face.callers(), || async {
            let Some(name) = &peer.name else {
                let creds = self.conn.peer_creds().await.map_err(|e| unknown(&e))?;
                return creds.unix_user_id().ok_or_else(|| unknown(&"the socket does not tell"));
            };
            const BUS: &str = "org.freedesktop.DBus";
            let reply = self
                .conn
                .call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), "GetConnectionCredentials", name)
                .await;
            let reply = reply.map_err(|e| unknown(&e))?;
            let creds: zbus::fdo::ConnectionCredentials =
                reply.body().deserialize().map_err(|e| unknown(&e))?;
            creds.unix_user_id().ok_or_else(|| unknown(&"the bus does not tell"))
        })
        .await
    }
}

/// The arguments, when they are what the method takes.
fn arguments<'b>(interface: &str, method: &Method, body: &'b Body) -> Result<Vec<Variant<'b>>, Fault> {
    let wanted = method.takes.iter().map(|(_, s)| *s).collect::<String>();
    let short = interface.rsplit('.').next().unwrap_or(interface);
    let invalid = |rule: String| Fault::invalid(ARGUMENTS, &rule);
    let found = body.signature().to_string_no_parens();
    if found != wanted {
        return Err(invalid(format!(
            "{short}.{} takes ({wanted}), not ({})",
            method.name,
            found.chars().take(64).collect::<String>()
        )));
    }
    if body.len() > BODY {
        return Err(invalid(format!("up to {BODY} bytes")));
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    Ok(body.deserialize::<zbus::Structure<'_>>().map_err(|e| invalid(e.to_string()))?.into_fields())
}
