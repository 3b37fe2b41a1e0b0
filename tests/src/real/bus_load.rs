//! Cost of connections that listen and ask: the daemon's CPU for a sale, beside none and beside many.
use super::stack::{Result, Stack, caller};
use futures_util::StreamExt;
use payterm_dbus::{Address, Client};
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Kind, Request, RequestKey, Status, Terminal, config::CallerConfig, request::RequestWire, terminal::Filter,
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use zbus::MessageStream;

/// User of the app whose payments the listeners may not see: `nobody` everywhere.
const TILL: u32 = 65534;
/// Signals that are under way are at the listeners, and what was kept back from them is told.
const SETTLE: Duration = Duration::from_millis(1_300);

/// Time on a processor of all threads of a process.
fn cpu(pid: u32) -> Result<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let told = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += told.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(sum))
}

fn sale(id: String) -> Result<Request> {
    let wire = RequestWire {
        id,
        kind: Kind::Sale.name().into(),
        amount: Some("0.01".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    Ok(Request::try_from(wire)?)
}

async fn paid(client: &Client, id: String) -> Result<()> {
    let key = client.start(&caller(), sale(id)?).await?;
    match client.wait(&caller(), &key, false).await?.status {
        Status::Approved => Ok(()),
        other => Err(format!("{key}: {}", other.name()).into()),
    }
}

/// The till's side of [`Till`]: a sale for each line of its input. `payterm-bench till SOCKET` runs it.
pub async fn till(socket: &Path) -> Result<()> {
    let client = Client::connect(Address::Peer(socket.into()), "").await?;
    for line in std::io::stdin().lines() {
        paid(&client, line?).await?;
        println!("paid");
    }
    Ok(())
}

/// A process of another user that makes sales when it is told to.
struct Till {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}
impl Till {
    fn start(socket: &Path) -> Result<Self> {
        let mut c = Command::new("setpriv");
        c.args([&format!("--reuid={TILL}"), &format!("--regid={TILL}"), "--clear-groups"]);
        c.arg(std::env::current_exe()?).arg("till").arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = c.spawn()?;
        let (say, hear) = (child.stdin.take().ok_or("stdin")?, child.stdout.take().ok_or("stdout")?);
        Ok(Self { child, say, hear: BufReader::new(hear) })
    }
    fn pay(&mut self, id: &str) -> Result<()> {
        writeln!(self.say, "{id}")?;
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        if line.trim() == "paid" { Ok(()) } else { Err(format!("the till paid nothing for {id}").into()) }
    }
}
impl Drop for Till {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal whose sales are those of another user's till.
struct Shop {
    stack: Stack,
    virtuals: VirtualControl,
    till: Till,
    papers: u64,
    socket: PathBuf,
}
impl Shop {
    /// `manager`: whether the listeners, which are this user, see the till's payments.
    fn open(manager: bool, host: String) -> Result<Self> {
        let socket =
            std::env::temp_dir().join(format!("payterm-bench-{}-{manager}.sock", std::process::id()));
        let at = socket.clone();
        let stack = Stack::start(move |c, _| {
            c.accounts[0].address = host;
            c.accounts[0].persistent = true;
            c.log.level = "warn".into();
            c.bus.peer_socket = Some(at);
            c.bus.callers[0].manager = manager;
            let (kinds, limit) = (Vec::new(), None);
            c.bus.callers.push(CallerConfig { uid: TILL, app: "till".into(), manager: false, kinds, limit });
        })?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666))?;
        let till = Till::start(&socket)?;
        let virtuals = stack.virtuals()?;
        let mut shop = Self { stack, virtuals, till, papers: 0, socket };
        shop.sales("warm", 10)?;
        Ok(shop)
    }
    /// The daemon's CPU for these sales, and what comes after them.
    fn sales(&mut self, name: &str, count: usize) -> Result<Duration> {
        let pid = self.stack.daemon_pid().ok_or("no daemon")?;
        let before = cpu(pid)?;
        for n in 0..count {
            self.virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
            self.virtuals.pin("123456", When::Queue)?;
            self.till.pay(&format!("{name}-{n}"))?;
            self.papers += 2;
            self.virtuals.wait_papers(self.papers, Duration::from_secs(10))?;
        }
        std::thread::sleep(SETTLE);
        Ok(cpu(pid)? - before)
    }
}
impl Drop for Shop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Connections that asked for signals, and how many came; they read on a thread of their own.
struct Listeners {
    heard: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
}
impl Listeners {
    fn connect(bus: &str, count: usize) -> Result<Self> {
        let (heard, bus) = (Arc::new(AtomicU64::new(0)), bus.to_owned());
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let told = heard.clone();
        std::thread::spawn(move || -> std::result::Result<(), String> {
            let read = tokio::runtime::Builder::new_current_thread().enable_all().build();
            read.map_err(|e| e.to_string())?.block_on(async {
                for _ in 0..count {
                    listen(&bus, told.clone()).await.map_err(|e| e.to_string())?;
                }
                ready.send(()).map_err(|e| e.to_string())?;
                let _ = stopped.await;
                Ok(())
            })
        });
        is_ready.recv_timeout(Duration::from_secs(30))?;
        Ok(Self { heard, stop: Some(stop) })
    }
}
impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }
}

async fn listen(bus: &str, heard: Arc<AtomicU64>) -> Result<()> {
    let conn = zbus::connection::Builder::address(bus).build().await?;
    let mut stream = MessageStream::from(&conn);
    let (name, root) = (Some(payterm_dbus::BUS_NAME), payterm_dbus::ROOT);
    conn.call_method(name, root, Some("org.payterm.Terminal1.Manager"), "Subscribe", &()).await?;
    tokio::spawn(async move {
        while let Some(Ok(m)) = stream.next().await {
            let ours = m.header().path().is_some_and(|p| p.as_str().starts_with(payterm_dbus::ROOT));
            heard.fetch_add(u64::from(ours), Ordering::Relaxed);
        }
    });
    Ok(())
}

/// CPU of the daemon in milliseconds a sale, beside listeners and alone, and the signals that they got.
pub struct Beside {
    pub with: f64,
    pub alone: f64,
    pub signals: u64,
    pub sales: usize,
}

/// Sales in turns with and without listeners. `manager`: they may see all of it, else nothing.
pub fn listeners(host: String, manager: bool, count: usize, sales: usize) -> Result<Beside> {
    let mut shop = Shop::open(manager, host)?;
    let (mut with, mut alone, mut signals, turns) = (Duration::ZERO, Duration::ZERO, 0, 5);
    for turn in 0..turns {
        alone += shop.sales(&format!("alone-{turn}"), sales)?;
        let listeners = Listeners::connect(&shop.stack.bus, count)?;
        with += shop.sales(&format!("with-{turn}"), sales)?;
        signals += listeners.heard.load(Ordering::Relaxed);
    }
    let sales = sales * turns;
    let each = |d: Duration| d.as_secs_f64() * 1e3 / sales as f64;
    Ok(Beside { with: each(with), alone: each(alone), signals, sales })
}

/// Asks for the history and for a request, again and again. `payterm-bench ask ADDRESS ID` runs it.
pub async fn ask(bus: &str, id: &str) -> Result<()> {
    let client = Client::connect(Address::Bus(bus.into()), "").await?;
    let key = RequestKey::new(&caller().app, id)?;
    loop {
        client.list(&caller(), Filter { limit: Some(20), ..Filter::default() }).await?;
        client.recall(&caller(), &key).await?;
    }
}

/// The slowest of a hundred sales in milliseconds, beside eight callers that ask all the time, and alone. Six
/// turns of `sales`, which must fit into one batch.
pub async fn slowest(host: String, sales: usize) -> Result<(f64, f64)> {
    let stack = Stack::start(move |c, _| {
        c.accounts[0].address = host;
        c.accounts[0].persistent = true;
        c.log.level = "warn".into();
    })?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let (mut with, mut alone, mut papers) = (Vec::new(), Vec::new(), 0);
    for turn in 0..6 {
        let mut asking = Vec::new();
        if turn % 2 == 1 {
            for _ in 0..8 {
                asking.push(
                    Command::new(std::env::current_exe()?).args(["ask", &stack.bus, "p99-0-0"]).spawn()?,
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for n in 0..sales {
            virtuals.swipe("6212345678900000003", "3012", When::Queue)?;
            virtuals.pin("123456", When::Queue)?;
            let began = Instant::now();
            paid(&client, format!("p99-{turn}-{n}")).await?;
            if turn % 2 == 1 { &mut with } else { &mut alone }.push(began.elapsed().as_secs_f64() * 1e3);
            papers += 2;
            virtuals.wait_papers(papers, Duration::from_secs(20))?;
        }
        for mut child in asking {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    let p99 = |mut v: Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v.get(v.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    };
    Ok((p99(with), p99(alone)))
}
