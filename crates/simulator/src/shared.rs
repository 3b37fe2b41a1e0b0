//! Options of an acquirer, and what its connections, control socket and handles share.
use crate::{bank::Bank, mishap::Mishaps, tms::Registry, world::World};
use payterm_schema::Time;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Options of an acquirer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses on which the profiles listen; the first address without a profile is for all that are not
    /// named: a port above 0 is for the first of them, the next ones count up.
    pub listen: Vec<Listen>,
    /// State directory (SQLite, control socket). None: all in memory, nothing is synced, there is no control
    /// socket.
    pub state: Option<PathBuf>,
    /// PEM files of the certificate chain and its key: TLS on every listener.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Address of the terminal management, which needs a state directory; none: there is no terminal
    /// management.
    pub tms: Option<SocketAddr>,
    /// Connections at a time. Default 256.
    pub max_connections: usize,
    /// A connection without a request for so long is closed. Default 120 s.
    pub idle: Duration,
    /// A frame that began must be whole by then, a reply must be taken by then. Default 10 s.
    pub frame: Duration,
    /// Keep masked messages for `log` (the last 10,000). Default true.
    pub log: bool,
}
impl Default for Options {
    fn default() -> Self {
        Self {
            listen: vec![Listen { profile: None, address: SocketAddr::from(([127, 0, 0, 1], 0)) }],
            state: None,
            tls: None,
            tms: None,
            max_connections: 256,
            idle: Duration::from_secs(120),
            frame: Duration::from_secs(10),
            log: true,
        }
    }
}
impl Options {
    /// Options for tests and benchmarks: in memory, on ephemeral loopback ports, without a message log.
    pub fn fast() -> Self {
        Self { log: false, ..Self::default() }
    }
    pub(crate) fn address(&self, profile: &str, unnamed: &mut u16) -> Option<SocketAddr> {
        if let Some(l) = self.listen.iter().find(|l| l.profile.as_deref() == Some(profile)) {
            return Some(l.address);
        }
        let mut address = self.listen.iter().find(|l| l.profile.is_none())?.address;
        if address.port() != 0 {
            address.set_port(address.port().checked_add(*unnamed)?);
        }
        *unnamed += 1;
        Some(address)
    }
}

/// `127.0.0.1:0`, or `unionpay=127.0.0.1:5000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub profile: Option<String>,
    pub address: SocketAddr,
}
impl std::str::FromStr for Listen {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let (profile, address) = match s.rsplit_once('=') {
            Some((p, a)) => (Some(p.to_owned()), a),
            None => (None, s),
        };
        Ok(Self { profile, address: address.parse().map_err(|_| "ADDRESS:PORT or PROFILE=ADDRESS:PORT")? })
    }
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub connections: u64,
    pub frames: u64,
    /// Frames that no codec could read; each closed its connection.
    pub bad_frames: u64,
    pub mishaps: u64,
    /// Time from a frame's first byte to its reply, where the ledger is in memory: what an immediate host
    /// would not take.
    #[serde(default)]
    pub busy_ns: u64,
}
#[derive(Default)]
pub(crate) struct Counters {
    pub connections: AtomicU64,
    pub frames: AtomicU64,
    pub bad_frames: AtomicU64,
    pub mishaps: AtomicU64,
    pub busy_ns: AtomicU64,
}
/// State that connections, control socket and handles share.
pub(crate) struct Shared {
    pub world: Arc<World>,
    pub options: Options,
    pub mishaps: Mishaps,
    pub counters: Counters,
    pub tms: Option<Arc<Mutex<Registry>>>,
    pub bank: Mutex<Bank>,
    /// Number of times that each rule with `times` fitted.
    pub rounds: Mutex<BTreeMap<usize, u32>>,
}
impl Shared {
    /// Tells whether a rule befalls this request: `times` in a row, then one goes through.
    pub fn befalls(&self, rule: usize, times: u32) -> bool {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        let met = rounds.entry(rule).or_default();
        let befalls = *met < times;
        *met = if befalls { *met + 1 } else { 0 };
        befalls
    }
    pub fn bank(&self) -> MutexGuard<'_, Bank> {
        // A panic in the bank rolled its SQLite transaction back.
        self.bank.lock().unwrap_or_else(PoisonError::into_inner)
    }
    pub fn stats(&self) -> Stats {
        let n = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counters;
        Stats {
            connections: n(&c.connections),
            frames: n(&c.frames),
            bad_frames: n(&c.bad_frames),
            mishaps: n(&c.mishaps),
            busy_ns: n(&c.busy_ns),
        }
    }
    pub fn now(&self) -> Time {
        now()
    }
}
/// The system clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
