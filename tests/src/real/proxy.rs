//! A line that is bad on purpose: a TCP proxy between daemon and acquirer.
//!
//! Mishap model. *A connection* may be reset as soon as it is accepted; be taken by nobody (all is read,
//! nothing comes back: the peer has vanished, and nothing says so); lose one of its directions from some
//! frame on. *A frame* may come later, in single bytes or in pieces with pauses, so late that its reversal
//! overtakes it on another connection, twice, not at all, with one bit inverted, or in half before both ends
//! are reset. A frame that was taken from a daemon that dies arrives all the same. What a MAC does not cover
//! (sign-in, echo, settlement) is not corrupted: a line that did that would be believed, by the protocol's
//! design. Bits are inverted anywhere behind the length prefix, one a frame; TPDU and header are not covered,
//! and fair game.
//!
//! *The line* may be down for a while: what stands is reset, and nobody listens any more, so that nothing
//! leaves.
//!
//! What befalls a frame is a function of (seed, connection, direction, frame); when it happens is the
//! machine's.
use crate::sim::rng::Rng;
use payterm_hosts::{Profile, decode, frame_len};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::Notify,
    time::sleep,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    /// Reset as soon as it is accepted.
    Refused,
    /// Accepted, read, never answered.
    HalfOpen,
    /// What the daemon sends is lost, from some frame on.
    LostUp,
    /// What the acquirer sends is lost, from some frame on.
    LostDown,
    Delay,
    /// Pieces with pauses between them.
    Jitter,
    /// Byte by byte.
    Split,
    /// Behind the daemon's patience.
    Late,
    Duplicate,
    Drop,
    Corrupt,
    /// A half of it, then both ends are reset.
    Cut,
}
impl Mishap {
    pub const OF_CONNECTION: [Mishap; 4] =
        [Mishap::Refused, Mishap::HalfOpen, Mishap::LostUp, Mishap::LostDown];
    pub const OF_FRAME: [Mishap; 8] = [
        Mishap::Delay,
        Mishap::Jitter,
        Mishap::Split,
        Mishap::Late,
        Mishap::Duplicate,
        Mishap::Drop,
        Mishap::Corrupt,
        Mishap::Cut,
    ];
    pub const fn name(self) -> &'static str {
        match self {
            Mishap::Refused => "refused",
            Mishap::HalfOpen => "half-open",
            Mishap::LostUp => "lost-up",
            Mishap::LostDown => "lost-down",
            Mishap::Delay => "delay",
            Mishap::Jitter => "jitter",
            Mishap::Split => "split",
            Mishap::Late => "late",
            Mishap::Duplicate => "duplicate",
            Mishap::Drop => "drop",
            Mishap::Corrupt => "corrupt",
            Mishap::Cut => "cut",
        }
    }
}

/// Badness of the line: so many of a thousand, each of the named mishaps as likely as the others.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub connections: u64,
    pub of_connection: Vec<Mishap>,
    pub frames: u64,
    pub of_frame: Vec<Mishap>,
    /// Delay of [`Mishap::Late`], in milliseconds: more than the account's reply time.
    pub late_ms: (u64, u64),
}
impl Plan {
    pub fn good(seed: u64) -> Self {
        Self {
            seed,
            connections: 0,
            of_connection: Vec::new(),
            frames: 0,
            of_frame: Vec::new(),
            late_ms: (450, 900),
        }
    }
    /// Rough line: one connection of 30 and one frame of 9 meet something.
    pub fn rough(seed: u64) -> Self {
        Self {
            connections: 33,
            of_connection: Mishap::OF_CONNECTION.to_vec(),
            frames: 110,
            of_frame: Mishap::OF_FRAME.to_vec(),
            ..Self::good(seed)
        }
    }
    /// Always this one.
    pub fn only(mishap: Mishap) -> Self {
        let (mut plan, one) = (Self::good(1), vec![mishap]);
        if Mishap::OF_FRAME.contains(&mishap) {
            (plan.frames, plan.of_frame) = (1_000, one);
        } else {
            (plan.connections, plan.of_connection) = (1_000, one);
        }
        plan
    }
}

struct Shared {
    profile: Profile,
    plan: Plan,
    to: Mutex<String>,
    calm: AtomicBool,
    down: AtomicBool,
    fell: Notify,
    rose: Notify,
    /// Ends the connections that a calm line has no use for.
    over: Notify,
    count: AtomicU64,
    done: Mutex<BTreeMap<&'static str, u64>>,
}
impl Shared {
    fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
        of.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn did(&self, mishap: Mishap) {
        *Self::lock(&self.done).entry(mishap.name()).or_default() += 1;
    }
    fn draw(&self, rng: &mut Rng, permille: u64, of: &[Mishap]) -> Option<Mishap> {
        // Rolled on a calm line too: what befalls a later frame does not depend on when it became calm.
        let meets = rng.permille(permille);
        let which = rng.one(of).copied();
        which.filter(|_| meets && !self.calm.load(Ordering::SeqCst))
    }
}

/// The proxy, on a thread of its own: a harness that waits for a process does not hold it up. It ends with
/// the program.
pub struct Proxy {
    /// Address that the daemon connects to.
    pub address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start(profile: Profile, to: &str, plan: Plan) -> io::Result<Self> {
        // Bound and not listening: while the line is down the port is nobody else's, and refuses.
        let place = bound(([127, 0, 0, 1], 0).into())?;
        let at = place.local_addr()?;
        let address = at.to_string();
        let shared = Arc::new(Shared {
            profile,
            plan,
            to: Mutex::new(to.into()),
            calm: AtomicBool::new(false),
            down: AtomicBool::new(false),
            fell: Notify::new(),
            rose: Notify::new(),
            over: Notify::new(),
            count: AtomicU64::new(0),
            done: Mutex::default(),
        });
        let (mine, runtime) =
            (shared.clone(), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        let (tell, listens) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("proxy".into()).spawn(move || {
            runtime.block_on(async {
                let _place = place;
                let first = bound(at).and_then(|s| s.listen(BACKLOG));
                let (mut listener, began) = first.map_or_else(|e| (None, Err(e)), |l| (Some(l), Ok(())));
                let _ = tell.send(began);
                loop {
                    // Before the look: a change in between is heard.
                    let (fell, rose) = (mine.fell.notified(), mine.rose.notified());
                    match (mine.down.load(Ordering::SeqCst), &listener) {
                        (true, _) => {
                            listener = None;
                            rose.await;
                        }
                        (false, None) => listener = again(at).await,
                        (false, Some(l)) => tokio::select! {
                            accepted = l.accept() => {
                                let Ok((daemon, _)) = accepted else { continue };
                                let number = mine.count.fetch_add(1, Ordering::SeqCst);
                                tokio::spawn(connection(mine.clone(), daemon, number));
                            }
                            () = fell => {}
                        },
                    }
                }
            });
        })?;
        listens.recv().map_err(io::Error::other)??;
        Ok(Self { address, shared })
    }

    /// The acquirer listens elsewhere now; connections that stand stay.
    pub fn lead_to(&self, to: &str) {
        *Shared::lock(&self.shared.to) = to.into();
    }
    /// Nobody can be reached, or somebody again.
    pub fn down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
        if down {
            self.shared.fell.notify_waiters();
        } else {
            self.shared.rose.notify_waiters();
        }
    }
    /// Nothing goes wrong any more; what hangs is closed.
    pub fn calm(&self) {
        self.down(false);
        self.shared.calm.store(true, Ordering::SeqCst);
        self.shared.over.notify_waiters();
    }
    /// Nothing was ever to go wrong.
    pub fn is_good(&self) -> bool {
        self.shared.plan.connections + self.shared.plan.frames == 0
    }
    /// Number of times that each mishap was done.
    pub fn done(&self) -> BTreeMap<&'static str, u64> {
        Shared::lock(&self.shared.done).clone()
    }
}

const BACKLOG: u32 = 128;

fn bound(at: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

async fn again(at: SocketAddr) -> Option<TcpListener> {
    let listener = bound(at).and_then(|s| s.listen(BACKLOG));
    if listener.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    listener.ok()
}

/// Closing it sends a reset.
fn will_reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

async fn connection(shared: Arc<Shared>, mut daemon: TcpStream, number: u64) {
    let seed = shared.plan.seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F);
    let mut rng = Rng::new(seed);
    // Before the draw: a line that becomes calm in between is heard.
    let (over, fell) = (shared.over.notified(), shared.fell.notified());
    let mishap = shared.draw(&mut rng, shared.plan.connections, &shared.plan.of_connection);
    let lost_from = rng.roll(3);
    match mishap {
        Some(Mishap::Refused) => {
            shared.did(Mishap::Refused);
            return will_reset(&daemon);
        }
        Some(Mishap::HalfOpen) => {
            shared.did(Mishap::HalfOpen);
            let swallow = async {
                let mut chunk = [0; 4096];
                while daemon.read(&mut chunk).await.is_ok_and(|n| n > 0) {}
            };
            return tokio::select! { () = swallow => (), () = over => (), () = fell => will_reset(&daemon) };
        }
        Some(_) | None => {}
    }
    let to = Shared::lock(&shared.to).clone();
    // Nobody listens there: refused, as the kernel would.
    let Ok(mut host) = TcpStream::connect(to).await else { return will_reset(&daemon) };
    let _ = (daemon.set_nodelay(true), host.set_nodelay(true));
    let torn = Notify::new();
    let (lost_up, lost_down) = (mishap == Some(Mishap::LostUp), mishap == Some(Mishap::LostDown));
    let tear = {
        let ((from_daemon, to_daemon), (from_host, to_host)) = (daemon.split(), host.split());
        let up = Way {
            shared: &shared,
            torn: &torn,
            rng: Rng::new(seed ^ 1),
            lost: lost_up.then_some((Mishap::LostUp, lost_from)),
        };
        let down = Way {
            shared: &shared,
            torn: &torn,
            rng: Rng::new(seed ^ 2),
            lost: lost_down.then_some((Mishap::LostDown, lost_from)),
        };
        // One direction ends by itself, the other goes on: a frame of a daemon that died arrives.
        let both = async { tokio::join!(up.pump(from_daemon, to_host), down.pump(from_host, to_daemon)) };
        let hangs = async {
            over.await;
            // A lost direction would stay lost.
            if !(lost_up || lost_down) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = both => false,
            () = torn.notified() => true,
            () = fell => true,
            () = hangs => true,
        }
    };
    if tear {
        will_reset(&daemon);
        will_reset(&host);
    }
}

/// Direction of a connection.
struct Way<'a> {
    shared: &'a Shared,
    torn: &'a Notify,
    rng: Rng,
    /// All frames from this one on.
    lost: Option<(Mishap, u64)>,
}

impl Way<'_> {
    async fn pump(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let (mut held, mut chunk, mut frames) = (Vec::new(), [0; 4096], 0);
        loop {
            let n = from.read(&mut chunk).await?;
            let Some(bytes) = chunk.get(..n).filter(|b| !b.is_empty()) else { break };
            held.extend_from_slice(bytes);
            while let Ok(Some(len)) = frame_len(&self.shared.profile, &held)
                && len <= held.len()
            {
                let rest = held.split_off(len);
                let frame = std::mem::replace(&mut held, rest);
                match self
                    .lost
                    .filter(|(_, from)| frames >= *from && !self.shared.calm.load(Ordering::SeqCst))
                {
                    Some((mishap, _)) => self.shared.did(mishap),
                    None => self.pass(frame, &mut to).await?,
                }
                frames += 1;
            }
        }
        // What is no whole frame goes on as it is.
        to.write_all(&held).await?;
        to.shutdown().await
    }

    async fn pass(&mut self, mut frame: Vec<u8>, to: &mut WriteHalf<'_>) -> io::Result<()> {
        let plan = &self.shared.plan;
        let mishap = self.shared.draw(&mut self.rng, plan.frames, &plan.of_frame);
        let Some(mishap) = mishap else { return to.write_all(&frame).await };
        let covered = || decode(&self.shared.profile, &frame).is_ok_and(|d| d.mac_input().is_some());
        if mishap == Mishap::Corrupt && !covered() {
            return to.write_all(&frame).await;
        }
        self.shared.did(mishap);
        match mishap {
            Mishap::Delay => sleep(Duration::from_millis(self.rng.between(20, 250))).await,
            Mishap::Late => {
                sleep(Duration::from_millis(self.rng.between(plan.late_ms.0, plan.late_ms.1))).await
            }
            Mishap::Jitter | Mishap::Split => {
                let most = if mishap == Mishap::Split { 1 } else { 60 };
                let mut alone = 0;
                while !frame.is_empty() {
                    let rest = frame.split_off((self.rng.between(1, most) as usize).min(frame.len()));
                    to.write_all(&std::mem::replace(&mut frame, rest)).await?;
                    alone += 1;
                    match mishap {
                        Mishap::Jitter => sleep(Duration::from_millis(self.rng.roll(12))).await,
                        // Length and header come byte by byte for certain; what follows, as TCP puts it
                        // together.
                        _ if alone <= 8 => sleep(Duration::from_millis(1)).await,
                        _ => tokio::task::yield_now().await,
                    }
                }
            }
            Mishap::Duplicate => to.write_all(&frame).await?,
            Mishap::Drop => return Ok(()),
            Mishap::Corrupt => {
                let at = self.rng.between(2, frame.len() as u64 - 1) as usize;
                let bit = 1 << self.rng.roll(8);
                frame.iter_mut().skip(at).take(1).for_each(|b| *b ^= bit);
            }
            Mishap::Cut => {
                to.write_all(frame.get(..frame.len() / 2).unwrap_or_default()).await?;
                self.torn.notify_one();
                std::future::pending::<()>().await;
            }
            Mishap::Refused | Mishap::HalfOpen | Mishap::LostUp | Mishap::LostDown => {}
        }
        to.write_all(&frame).await
    }
}
