//! One actor per account: builds the frame, sends it, matches the answer. Exactly one [`HostEvent`] follows
//! each message; [`HostEvent::Late`] may follow `NoReply` and `Unusable`.
//!
//! Invariant: [`HostEvent::NotSent`] is told only while no byte of the frame was handed to the socket.
mod session;
mod tls;

pub use tls::{Tls, TlsError, broken_tls, connector, untrusted};

use crate::{
    clock::Clock,
    connect::Target,
    mishap::{Mishaps, Part},
    sparing::Sparing,
    supervise::{Life, Tasks},
};
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use payterm_hosts::{BuildError, Built, FrameError, MakLength, Profile, Station, build};
use payterm_journal::Store;
use payterm_schema::{
    HostEvent, HostMessage, Kind, Pan, Time,
    config::{AccountConfig, NOT_PLAIN},
    fault::with_causes,
    host::{CardSecrets, FieldView, FrameTrace, KeysVerdict, SecretsFrom},
    secret::SecretBytes,
};
use payterm_vault::{KeyRules, Vault};
use rustix::net::sockopt;
use session::{Answer, Heard, Session, Unread};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::Mutex,
    time::{timeout, timeout_at},
};
use tracing::Instrument as _;

/// Messages that may wait for the link. 64: a customer's and as many advices as a profile may allow.
const MAILBOX: usize = 64;
/// Time for which a connection is kept for a late answer after its time ran out. 60 s: as long as hosts
/// take at most.
const LATE: Duration = Duration::from_secs(60);

/// A kept connection is used no longer than this: one that was forgotten on its way must not cost a customer.
/// 30 min.
const GREATEST_AGE: Duration = Duration::from_secs(1_800);
/// A kept connection on which nothing comes is asked for a sign of life after this time, and then at this
/// distance so many times: a path that died in silence is known after 90 s.
const ALIVE_AFTER: Duration = Duration::from_secs(60);
const ALIVE_EVERY: Duration = Duration::from_secs(10);
const ALIVE_TRIES: u32 = 3;

/// Purpose that PANs are sealed for, in the vault's words.
pub const SEALED_PAN: &str = "pan";

/// Hears late answers: (tag, event).
pub type LateSink = Arc<dyn Fn(u64, HostEvent) + Send + Sync>;

/// Surroundings of a link's actor; outlive it.
pub struct Line {
    pub config: AccountConfig,
    pub profile: Arc<Profile>,
    pub station: Station,
    /// Serial number of the terminal (F62 of a sign-in).
    pub serial: String,
    /// What the next connection is made with; none: no TLS.
    pub tls: std::sync::Mutex<Option<Tls>>,
    pub vault: Arc<Vault>,
    pub store: Store,
    pub clock: Arc<Clock>,
    pub late: LateSink,
    pub mishaps: Mishaps,
    /// The connection that is kept open, for `persistent = true`.
    pub kept: Mutex<Option<Arc<Session>>>,
    pub keys_refused: Sparing,
    /// Tag of the last sign-in or sign-off that left: an answer to an earlier one brings no keys.
    pub last_sign_in: AtomicU64,
    pub target: Target,
    pub untrusted: Sparing,
    /// Keys are taken over one after the other.
    pub importing: Mutex<()>,
    pub tasks: Tasks,
}

pub struct HostLink {
    pub life: Life,
    pub line: Arc<Line>,
}

/// A frame to be sent. `handed` turns true before the first byte goes to the socket: whoever loses the answer
/// because this actor died knows by it which of NotSent and NoReply is true.
#[derive(Message)]
#[rtype(result = "HostEvent")]
pub struct Transmit {
    pub message: Box<HostMessage>,
    pub handed: Arc<AtomicBool>,
    /// Alive while the machine that wants the frame is there. When that machine is discarded, the next one
    /// reverses what may have left: the frame itself must not leave behind its reversal.
    pub wanted: Weak<()>,
}

/// The account's working keys are worth nothing any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ForgetKeys;

impl Actor for HostLink {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.life.begin(ctx);
    }
}

impl Handler<Transmit> for HostLink {
    type Result = ResponseFuture<HostEvent>;
    fn handle(&mut self, m: Transmit, _: &mut Self::Context) -> Self::Result {
        self.line.mishaps.pass(Part::HostLink);
        let line = self.line.clone();
        let span = tracing::info_span!("txn", request = m.message.log.as_deref().unwrap_or("-"));
        let answer = async move {
            let ended =
                line.tasks.unless_ended(line.clone().transmit(*m.message, &m.handed, &m.wanted)).await;
            ended.unwrap_or_else(|| not_awaited(&m.handed))
        };
        Box::pin(answer.instrument(span))
    }
}

impl Handler<ForgetKeys> for HostLink {
    type Result = ();
    fn handle(&mut self, _: ForgetKeys, ctx: &mut Self::Context) {
        let (line, running) = (self.line.clone(), self.line.tasks.token());
        // The next message waits: a sign-in that follows must not lose its keys to this.
        let forget = tokio::task::spawn_blocking(move || {
            let _running = running;
            if let Err(e) = line.vault.clear_working_keys(line.config.id.as_str()) {
                tracing::error!(account = %line.config.id, "working keys could not be removed: {e}");
            }
        });
        ctx.wait(async move { drop(forget.await) }.into_actor(self));
    }
}

/// The machine that waited for the answer is gone with all the rest; the next one reverses what has left.
fn not_awaited(handed: &AtomicBool) -> HostEvent {
    let why = "the terminal is being built anew".into();
    if handed.load(Ordering::SeqCst) {
        HostEvent::NoReply { why, trace: FrameTrace::default() }
    } else {
        HostEvent::NotSent { why }
    }
}

/// A frame that has left, as whoever waits for its answer knows it.
struct Left {
    message: HostMessage,
    /// Its fields, masked.
    sent: Arc<[FieldView]>,
    unread: Arc<std::sync::Mutex<Option<Unread>>>,
    wanted: Weak<()>,
}

impl Left {
    fn trace(&self, received: Vec<FieldView>) -> FrameTrace {
        FrameTrace { sent: self.sent.clone(), received }
    }
    fn unusable(&self, Unread { why, received }: Unread) -> HostEvent {
        let (account, stan) = (&self.message.account, &self.message.plan.stan);
        tracing::warn!(%account, %stan, "the reply cannot be used: {why}");
        HostEvent::Unusable { why, trace: self.trace(received) }
    }
    fn no_reply(&self, why: String) -> HostEvent {
        if let Some(read) = self.unread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return self.unusable(read);
        }
        let (account, stan) = (&self.message.account, &self.message.plan.stan);
        tracing::warn!(%account, %stan, "no reply: {why}");
        HostEvent::NoReply { why, trace: self.trace(Vec::new()) }
    }
}

/// Why there is no connection.
enum NoLine {
    Down(String),
    /// The host's certificate, or its word on ours.
    Untrusted(String),
}

fn keep_alive(tcp: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, ALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(tcp, ALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(tcp, ALIVE_TRIES)
}

impl Line {
    /// The first end of a certificate that the line needs, and where it is: `ca` or `cert`.
    pub fn certificate_ends(&self) -> Option<(Time, &'static str)> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.ends
    }

    /// The next connection is made with this; the kept one ends when nobody waits for an answer on it.
    pub fn set_tls(self: &Arc<Self>, tls: Tls) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = Some(tls);
        let line = self.clone();
        // One that is being made now is still made with the old one: it is waited for.
        self.tasks.spawn(async move { drop(line.kept.lock().await.take()) });
    }

    async fn transmit(
        self: Arc<Self>,
        mut message: HostMessage,
        handed: &AtomicBool,
        wanted: &Weak<()>,
    ) -> HostEvent {
        let secrets = std::mem::replace(&mut message.secrets, SecretsFrom::None);
        let built = match self.built(&message, secrets).await {
            Ok(built) => built,
            Err(event) => return event,
        };
        let left = self.clock.until(message.deadline);
        let connect = Duration::from_millis(u64::from(self.config.connect_timeout_ms)).min(left);
        let session = match timeout(connect, self.session(connect)).await {
            Ok(Ok(s)) => s,
            Ok(Err(NoLine::Down(why))) => return self.not_sent(why),
            Ok(Err(NoLine::Untrusted(why))) => return self.not_trusted(why),
            Err(_) => return self.not_sent("connect: time-out".into()),
        };
        // A session that was kept is there at once, also when the time is over.
        if wanted.strong_count() == 0 || self.clock.until(message.deadline).is_zero() {
            return self.not_sent("nobody waits for it any more".into());
        }
        if matches!(message.plan.kind, Kind::SignIn | Kind::SignOff) {
            self.last_sign_in.store(message.tag, Ordering::SeqCst);
        }
        let unread = Arc::default();
        let answer = session.expect(built.expect.clone(), Arc::clone(&unread));
        let sent =
            timeout(self.clock.until(message.deadline), session.send(built.bytes.reveal(), handed)).await;
        // Made while the frame is on its way.
        let fields = built.trace(&self.profile).into();
        drop(built);
        let left = Left { message, sent: fields, unread, wanted: wanted.clone() };
        if !matches!(sent, Ok(Ok(()))) {
            session.close();
            let why = match sent {
                Ok(Err(e)) => format!("send: {e}"),
                Ok(Ok(())) | Err(_) => "send: time-out".into(),
            };
            return if handed.load(Ordering::SeqCst) { left.no_reply(why) } else { self.not_sent(why) };
        }
        self.answered(left, session, answer).await
    }

    fn not_trusted(&self, why: String) -> HostEvent {
        if self.untrusted.is_due() {
            tracing::warn!(account = %self.config.id, "the line is not trusted: {why}");
        }
        HostEvent::Untrusted { why }
    }

    fn not_sent(&self, why: String) -> HostEvent {
        tracing::info!(account = %self.config.id, "not sent: {why}");
        HostEvent::NotSent { why }
    }

    async fn built(&self, message: &HostMessage, secrets: SecretsFrom) -> Result<Built, HostEvent> {
        let account = &self.config.id;
        let secrets = self.secrets(secrets).await?;
        let mac = self.vault.account_mac(account.as_str());
        let HostMessage { message_kind, plan, .. } = message;
        let built = build(&self.profile, &self.station, *message_kind, plan, &secrets, &self.serial, &mac);
        built.map_err(|e| {
            // Without a MAC key a sign-in helps; anything else is as wrong the next time.
            if let BuildError::Frame(no_key @ FrameError::Mac(_)) = &e {
                return self.not_sent(no_key.to_string());
            }
            tracing::error!(%account, "the message cannot be built: {e}");
            HostEvent::Unbuildable { why: e.to_string() }
        })
    }

    async fn answered(self: Arc<Self>, left: Left, session: Arc<Session>, mut answer: Answer) -> HostEvent {
        let Left { message, .. } = &left;
        let (account, stan) = (&self.config.id, message.plan.stan);
        tracing::debug!(%account, %stan, "sent");
        // The machine's deadline leaves room for connecting; the host's own time counts from the frame's
        // departure.
        let reply = Duration::from_millis(u64::from(self.config.reply_timeout_ms))
            .min(self.clock.until(message.deadline));
        let heard = timeout(reply, &mut answer).await;
        if heard.is_err() {
            let event = left.no_reply("time-out".into());
            self.wait_for_late(left, session, answer).await;
            return event;
        }
        if !self.config.persistent {
            session.close();
        }
        match heard {
            Ok(Ok(Ok(heard))) => {
                let heard = self.with_keys(&left, heard).await;
                tracing::info!(%account, %stan, code = heard.answer.code, "answered");
                HostEvent::Reply { answer: Box::new(heard.answer), trace: left.trace(heard.received) }
            }
            Ok(Ok(Err(read))) => left.unusable(read),
            Ok(Err(_)) | Err(_) => left.no_reply("the host closed the connection".into()),
        }
    }

    /// Takes over the working keys of a sign-in. Of no other answer: in some profiles an echo has the same
    /// message type. Nor for a machine that is gone, or after a later sign-in or sign-off has left: these
    /// keys are older than those.
    async fn with_keys(&self, left: &Left, mut heard: Heard) -> Heard {
        let Left { message, wanted, .. } = left;
        let Some(keys) = heard.keys.take().filter(|_| message.plan.kind == Kind::SignIn) else {
            return heard;
        };
        let _one = self.importing.lock().await;
        if wanted.strong_count() > 0 && self.last_sign_in.load(Ordering::SeqCst) == message.tag {
            heard.answer.keys = self.import(keys).await;
        }
        heard
    }

    /// Takes over the working keys of a sign-in.
    async fn import(&self, keys: SecretBytes) -> KeysVerdict {
        let (vault, account, running) = (self.vault.clone(), self.config.id.clone(), self.tasks.token());
        let rules = &self.profile.keys;
        let rules = KeyRules { double_mak: rules.mak == MakLength::Double, repeat: rules.repeat };
        let import = tokio::task::spawn_blocking(move || {
            let _running = running;
            vault.import_working_keys(account.as_str(), &keys, rules).map_err(|e| with_causes(&e))
        });
        let refused = match import.await {
            Ok(Ok(())) => return KeysVerdict::Loaded,
            Ok(Err(why)) => why,
            Err(_) => "the vault failed".into(),
        };
        if self.keys_refused.is_due() {
            tracing::warn!(account = %self.config.id, "working keys refused: {refused}");
        }
        KeysVerdict::Refused(refused)
    }

    /// The connection stays open a while for its late answer, but carries nothing more: a path that died in
    /// silence (a firewall that forgot it) would swallow the reversals too, until none is left to try.
    async fn wait_for_late(self: &Arc<Self>, left: Left, session: Arc<Session>, answer: Answer) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|k| Arc::ptr_eq(k, &session)) {
            *kept = None;
        }
        let line = Arc::clone(self);
        self.tasks.spawn(async move {
            let over = tokio::time::Instant::now() + LATE;
            if let Ok(Ok(Ok(heard))) = timeout_at(over, answer).await {
                let Heard { answer, received, .. } = line.with_keys(&left, heard).await;
                let (answer, trace) = (Box::new(answer), left.trace(received));
                (line.late)(left.message.tag, HostEvent::Late { answer, trace });
            }
            // Others may wait for theirs on the same connection.
            tokio::time::sleep_until(over).await;
            session.close();
        });
    }

    async fn secrets(&self, from: SecretsFrom) -> Result<CardSecrets, HostEvent> {
        let txn = match from {
            SecretsFrom::None => return Ok(CardSecrets::default()),
            SecretsFrom::Memory(s) => return Ok(s),
            SecretsFrom::Sealed(txn) => txn,
            SecretsFrom::SealedMany(all) => return self.pans(all).await,
        };
        Ok(CardSecrets { pan: Some(self.pan(txn).await?), ..CardSecrets::default() })
    }

    /// PANs of an upload. One that is gone is left out: the acquirer finds its record by the STAN.
    async fn pans(&self, all: Vec<Option<u64>>) -> Result<CardSecrets, HostEvent> {
        let mut pans = Vec::with_capacity(all.len());
        for txn in all {
            pans.push(match txn {
                None => None,
                Some(txn) => match self.pan(txn).await {
                    Ok(pan) => Some(pan),
                    Err(HostEvent::Unbuildable { .. }) => None,
                    Err(event) => return Err(event),
                },
            });
        }
        Ok(CardSecrets { pans, ..CardSecrets::default() })
    }

    async fn pan(&self, txn: u64) -> Result<Pan, HostEvent> {
        let gone = |why: String| {
            tracing::error!(account = %self.config.id, txn, "{why}");
            HostEvent::Unbuildable { why }
        };
        let sealed = self.store.sealed(txn).await.map_err(|e| HostEvent::NotSent { why: e.to_string() })?;
        let sealed =
            sealed.ok_or_else(|| gone(format!("the sealed PAN of transaction {txn} is not there")))?;
        let clear = self
            .vault
            .unseal(SEALED_PAN, &txn.to_be_bytes(), &sealed)
            .map_err(|e| gone(format!("the sealed PAN of transaction {txn}: {e}")))?;
        let pan = std::str::from_utf8(clear.reveal()).ok().and_then(|t| Pan::parse(t).ok());
        pan.ok_or_else(|| gone(format!("the sealed PAN of transaction {txn} is no PAN")))
    }

    /// The kept connection while it is alive and not too old, else a new one.
    async fn session(&self, within: Duration) -> Result<Arc<Session>, NoLine> {
        if !self.config.persistent {
            return self.connect(within).await;
        }
        let mut kept = self.kept.lock().await;
        if let Some(s) = kept.as_ref().filter(|s| s.is_alive() && s.age() < GREATEST_AGE) {
            return Ok(s.clone());
        }
        let new = self.connect(within).await?;
        // An old one is closed with the last of those who wait on it.
        *kept = Some(new.clone());
        Ok(new)
    }

    /// Addresses of the host; on plain TCP that is not said to be private, those on this machine only: what a
    /// name resolves to is not the configuration's word.
    async fn addresses(&self, tls: bool) -> Result<Vec<SocketAddr>, String> {
        let address = &self.config.address;
        let found = tokio::net::lookup_host(address).await.map_err(|e| format!("connect {address}: {e}"))?;
        let safe = tls || self.config.line.is_some();
        let all: Vec<SocketAddr> = found.filter(|a| safe || a.ip().is_loopback()).collect();
        if all.is_empty() { Err(format!("connect {address}: {NOT_PLAIN}")) } else { Ok(all) }
    }

    async fn connect(&self, within: Duration) -> Result<Arc<Session>, NoLine> {
        let down = |e: io::Error| NoLine::Down(format!("connect {}: {e}", self.config.address));
        let tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all = self.addresses(tls.is_some()).await.map_err(NoLine::Down)?;
        let tcp = self.target.connect(all, within).await.map_err(down)?;
        tcp.set_nodelay(true).map_err(down)?;
        if self.config.persistent {
            keep_alive(&tcp).map_err(|e| down(e.into()))?;
        }
        let reader = session::Reader {
            profile: self.profile.clone(),
            mac: self.vault.account_mac(self.config.id.as_str()),
        };
        match tls {
            None => Ok(Session::start(tcp, false, reader)),
            Some(Tls { connector, name, .. }) => {
                let peer = tcp.peer_addr();
                let stream = connector.connect(name, tcp).await.map_err(|e| {
                    self.target.was_bad(peer);
                    untrusted(&e).map_or_else(|| NoLine::Down(format!("TLS: {e}")), NoLine::Untrusted)
                })?;
                Ok(Session::start(stream, true, reader))
            }
        }
    }
}
