//! `paytermd` as a process: command line, signals, systemd's socket, kill -9.
use payterm_daemon::config;
use payterm_dbus::{Address, Client};
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Caller, Fault, Outcome, Request, RequestKey, Status, Terminal,
    config::{BusKind, Config, Language, TlsConfig},
    request::RequestWire,
};
use payterm_simulator::{Acquirer, Mishap, World};
use std::{
    io::Read,
    os::unix::{fs::DirBuilderExt, net::UnixDatagram, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

const PAYTERMD: &str = env!("CARGO_BIN_EXE_paytermd");
pub const SOON: Duration = Duration::from_secs(20);
pub const CARD: &str = "6212345678900000003";
const OPENING: i64 = 1_000_000;

pub fn paytermd(args: &[&str]) -> Output {
    Command::new(PAYTERMD).args(args).output().unwrap()
}
pub fn stderr(o: &Output) -> String {
    String::from_utf8_lossy(&o.stderr).into_owned()
}

/// A daemon that is killed when the test ends.
pub struct Running(pub Child);
impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
impl Running {
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap().success());
    }
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let by = Instant::now() + SOON;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < by, "paytermd does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What hears the daemon in systemd's place.
pub struct Systemd(UnixDatagram, PathBuf);
impl Systemd {
    pub fn new(dir: &Path) -> Self {
        let path = dir.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket, path)
    }
    pub fn hears<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("NOTIFY_SOCKET", &self.1)
    }
    fn told(&self) -> String {
        let mut b = [0; 1024];
        let n = loop {
            match self.0.recv(&mut b) {
                // A child of another test has ended.
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                n => break n.unwrap(),
            }
        };
        String::from_utf8_lossy(&b[..n]).into_owned()
    }
    /// The first message with `part`.
    pub fn is_told(&self, part: &str) -> String {
        let by = Instant::now() + SOON;
        loop {
            let told = self.told();
            if told.contains(part) {
                return told;
            }
            assert!(Instant::now() < by, "{part} is not told");
        }
    }
}

/// A dbus-daemon of the test's own, at an address that stays when it is started again.
struct Bus(Option<Child>, PathBuf);
impl Bus {
    fn start(dir: &Path) -> Self {
        let mut bus = Self(None, dir.join("bus"));
        bus.again();
        bus
    }
    fn address(&self) -> String {
        format!("unix:path={}", self.1.display())
    }
    fn stop(&mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&self.1).ok();
    }
    /// Answers when it listens.
    fn again(&mut self) {
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address={}", self.address()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        self.0 = Some(child);
    }
}
impl Drop for Bus {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.stop();
        }
    }
}

pub struct Rig {
    dir: tempfile::TempDir,
    acquirer: payterm_simulator::Running,
    pub runtime: tokio::runtime::Runtime,
}
impl Rig {
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(payterm_simulator::Options::fast(), change)
    }
    fn with(options: payterm_simulator::Options, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let acquirer = Acquirer::start(World::demo().unwrap(), options).unwrap();
        let mut config = payterm_engine::demo::config(rustix::process::getuid().as_raw());
        config.store.dir = dir.path().join("state");
        config.terminal.language = Language::En;
        config.accounts[0].address = acquirer.addr("unionpay").unwrap().to_string();
        config.accounts[0].obligation_backoff_ms = 200;
        config.bus.bus = BusKind::None;
        config.bus.peer_socket = Some(dir.path().join("peer"));
        change(&mut config);
        payterm_engine::demo::prepare(&mut config).unwrap();
        std::fs::write(dir.path().join("payterm.toml"), toml::to_string(&config).unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { dir, acquirer, runtime }
    }
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
    pub fn config_file(&self) -> PathBuf {
        self.path().join("payterm.toml")
    }
    /// Changes the file, not the running daemon.
    pub fn edit(&self, change: impl FnOnce(&mut Config)) {
        let mut config: Config =
            toml::from_str(&std::fs::read_to_string(self.config_file()).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(self.config_file(), toml::to_string(&config).unwrap()).unwrap();
    }
    pub fn command(&self) -> Command {
        let mut c = Command::new(PAYTERMD);
        c.arg("--config").arg(self.path().join("payterm.toml")).stderr(Stdio::inherit());
        c
    }
    fn start(&self) -> Running {
        let running = Running(self.command().spawn().unwrap());
        self.connect();
        running
    }
    pub fn connect(&self) -> Client {
        let by = Instant::now() + SOON;
        loop {
            match self.runtime.block_on(Client::connect(Address::Peer(self.path().join("peer")), "")) {
                Ok(c) => return c,
                Err(e) => assert!(Instant::now() < by, "{e}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    pub fn virtuals(&self) -> VirtualControl {
        VirtualControl::connect(&self.path().join("state/virtual.sock")).unwrap()
    }
    pub fn begin(&self, client: &Client, id: &str) -> RequestKey {
        let key = self.runtime.block_on(client.start(&caller(), sale(id))).unwrap();
        let mut virtuals = self.virtuals();
        virtuals.swipe(CARD, "3012", When::Within(SOON)).unwrap();
        virtuals.pin("123456", When::Within(SOON)).unwrap();
        key
    }
    pub fn end(&self, client: &Client, key: &RequestKey) -> Outcome {
        self.runtime.block_on(async {
            tokio::time::timeout(SOON, client.wait(&caller(), key, true)).await.unwrap().unwrap()
        })
    }
    fn balance(&self) -> i64 {
        self.acquirer.balance("card:alice").unwrap()
    }
}
/// A sale of 12.34.
fn sale(id: &str) -> Request {
    let wire = RequestWire {
        id: id.into(),
        kind: "sale".into(),
        amount: Some("12.34".into()),
        currency: Some("CNY".into()),
        ..RequestWire::default()
    };
    Request::try_from(wire).unwrap()
}
pub fn caller() -> Caller {
    Caller { app: "demo".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}

#[test]
fn the_command_line_names_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[terminal]\nshop = \"x\"\ncolour = \"red\"\n").unwrap();
    for args in [&["--check-config", "--config", path][..], &["--config", path]] {
        let o = paytermd(args);
        assert_eq!(o.status.code(), Some(78), "no restart mends it");
        assert!(stderr(&o).contains("line 3: terminal.colour: unknown key"), "{}", stderr(&o));
    }
    let o = paytermd(&["--config", "/nonexistent/p.toml"]);
    assert!(!o.status.success() && stderr(&o).contains("/nonexistent/p.toml"), "{}", stderr(&o));
    assert_eq!(String::from_utf8_lossy(&paytermd(&["--print-schema"]).stdout), config::json_schema());
}

/// With a configuration of its own and with the demo's: refused by name, and nothing of it is changed.
#[test]
fn a_journal_of_an_earlier_format_has_an_exit_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    // 0x5054524D, "PTRM".
    rusqlite::Connection::open(state.join("journal.db"))
        .unwrap()
        .execute_batch(
            "PRAGMA application_id=1347703373; PRAGMA user_version=5; \
             CREATE TABLE record (seq INTEGER PRIMARY KEY);",
        )
        .unwrap();
    std::fs::write(state.join("vault.sealed"), "sealed").unwrap();
    let key_file = dir.path().join("vault.key");
    payterm_vault::SealingKey::create_file(&key_file).unwrap();
    let file = dir.path().join("payterm.toml");
    let mut config = payterm_engine::demo::config(0);
    config.vault.key_file = Some(key_file);
    (config.bus.bus, config.bus.peer_socket) = (BusKind::None, Some(dir.path().join("peer")));
    std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    let files = || {
        let mut all: Vec<_> = std::fs::read_dir(&state)
            .unwrap()
            .map(|f| f.unwrap().path())
            .map(|f| (std::fs::read(&f).unwrap(), std::fs::metadata(&f).unwrap().modified().unwrap(), f))
            .collect();
        all.sort();
        (all, std::fs::metadata(&state).unwrap().modified().unwrap())
    };
    let before = files();
    for args in [&["--config", file.to_str().unwrap()][..], &["--demo"]] {
        let o = paytermd(&[args, &["--state", state.to_str().unwrap()]].concat());
        assert_eq!(o.status.code(), Some(3), "{}", stderr(&o));
        for part in ["JournalOfAnEarlierFormat", "journal.db", "journal.*"] {
            assert!(stderr(&o).contains(part), "{}", stderr(&o));
        }
        assert!(before == files(), "the directory was touched");
    }
}

/// The daemon sees to it itself, whatever limit it was started with.
#[test]
fn its_memory_is_not_dumped() {
    let rig = Rig::new(|_| ());
    let direct = rig.command();
    let mut child = Command::new("sh");
    // Without the right to trace, root too may only look into processes that are dumpable.
    child
        .args(["-c", "ulimit -S -c unlimited; exec setpriv --bounding-set -sys_ptrace \"$0\" \"$@\""])
        .arg(direct.get_program())
        .args(direct.get_args());
    let daemon = Running(child.spawn().unwrap());
    rig.connect();
    let pid = daemon.0.id();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core: Vec<_> = limits
        .lines()
        .filter_map(|l| l.strip_prefix("Max core file size"))
        .flat_map(str::split_whitespace)
        .collect();
    assert_eq!(core, ["0", "0", "bytes"]);
    let look = |pid: u32| {
        let mut sh = Command::new("setpriv");
        sh.args(["--bounding-set", "-sys_ptrace", "sh", "-c"])
            .arg(format!(": < /proc/{pid}/mem"))
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    let open = Running(
        Command::new("setpriv").args(["--bounding-set", "-sys_ptrace", "sleep", "60"]).spawn().unwrap(),
    );
    let by = Instant::now() + SOON;
    while !look(open.0.id()) {
        assert!(Instant::now() < by, "the control process cannot be looked into");
    }
    assert!(!look(pid), "its memory can be read");
}

#[test]
fn it_tells_systemd_and_leaves_in_order() {
    let rig = Rig::new(|_| ());
    let systemd = Systemd::new(rig.path());
    let mut daemon =
        Running(systemd.hears(&mut rig.command()).env("WATCHDOG_USEC", "400000").spawn().unwrap());
    assert!(systemd.told().contains("READY=1"));
    assert!(systemd.told().contains("WATCHDOG=1"));
    assert!(systemd.told().contains("WATCHDOG=1"));
    daemon.signal("-TERM");
    systemd.is_told("STOPPING=1");
    assert!(daemon.ended().success());
    assert!(!rig.path().join("peer").exists(), "its socket is gone");
}

#[test]
fn a_second_daemon_on_the_directory_is_refused() {
    let rig = Rig::new(|_| ());
    let _first = rig.start();
    rig.edit(|c| c.bus.peer_socket = Some(rig.path().join("other")));
    let o = rig.command().stderr(Stdio::piped()).output().unwrap();
    assert!(!o.status.success() && stderr(&o).contains("StateInUse"), "{}", stderr(&o));
}

/// Under a customer who is asked for the card: SIGHUP takes what it can and names the rest, SIGUSR1 and
/// SIGUSR2 are passed over; of a file with one error nothing is taken.
#[test]
fn a_changed_configuration_is_taken_under_a_payment() {
    let rig = Rig::new(|_| ());
    let (systemd, log) = (Systemd::new(rig.path()), rig.path().join("log"));
    let file = std::fs::File::create(&log).unwrap();
    let mut daemon = Running(systemd.hears(&mut rig.command()).stderr(file).spawn().unwrap());
    systemd.is_told("READY=1");
    let client = rig.connect();
    let reloaded = || {
        daemon.signal("-HUP");
        let told = systemd.is_told("RELOADING=1");
        assert!(told.contains("MONOTONIC_USEC="), "{told}");
        systemd.is_told("READY=1")
    };
    let language = || rig.runtime.block_on(client.info()).unwrap().language.clone();
    let start = |id| rig.runtime.block_on(client.start(&caller(), sale(id))).unwrap();
    assert!(reloaded().contains("STATUS=ready\n"), "nothing has changed");
    let key = start("a");
    rig.virtuals().wait_screen("Swipe", SOON).unwrap();
    rig.edit(|c| {
        c.terminal.language = Language::ZhCn;
        c.log.level = "debug".into();
        c.bus.callers[0].app = "till2".into();
        c.terminal.shop = "another".into();
        c.accounts[0].reply_timeout_ms = 9_000;
    });
    daemon.signal("-USR1");
    daemon.signal("-USR2");
    let told = reloaded();
    assert!(told.contains("needs a restart: account[0].reply_timeout_ms, terminal.shop\n"), "{told}");
    assert_eq!(language(), "zh-CN");
    rig.virtuals().wait_screen("刷卡", SOON).unwrap();
    rig.virtuals().swipe(CARD, "3012", When::Within(SOON)).unwrap();
    rig.virtuals().pin("123456", When::Within(SOON)).unwrap();
    assert_eq!(rig.end(&client, &key).status, Status::Approved);
    let key = start("b");
    assert_eq!(key.app, "till2", "the caller is connected as before");
    rig.runtime.block_on(client.cancel(&caller(), &key)).unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains(" DEBUG "));
    let templates = rig.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    std::fs::write(templates.join("payment.jinja"), "{{ no_such }}").unwrap();
    type Change<'a> = &'a dyn Fn(&mut Config);
    let wrong: [(Change, &str); 6] = [
        (&|c| c.bus.callers.clear(), "bus.caller: nobody can call"),
        (&|c| c.store.backup_dir = Some(rig.config_file().join("x")), "store.backup_dir: "),
        (&|c| c.paper.templates = Some(templates.clone()), "payment.jinja"),
        (&|c| c.log.level = "a=b=c".into(), "log.level"),
        (&|c| c.terminal.operator = "x".into(), "terminal.operator"),
        (&|c| c.accounts[0].profile = "none".into(), "account[0].profile"),
    ];
    let good = std::fs::read_to_string(rig.config_file()).unwrap();
    for (change, why) in wrong {
        std::fs::write(rig.config_file(), &good).unwrap();
        rig.edit(|c| {
            c.terminal.language = Language::En;
            c.bus.callers[0].uid += 1;
            change(c);
        });
        let told = reloaded();
        assert!(told.contains("is refused") && told.contains(why), "{told}");
        assert_eq!(language(), "zh-CN");
        assert_eq!(rig.runtime.block_on(client.recall(&caller(), &key)).unwrap().outcome.key, key);
    }
    std::fs::write(rig.config_file(), &good).unwrap();
    rig.edit(|c| c.bus.callers[0].uid += 1);
    reloaded();
    let refused = rig.runtime.block_on(client.recall(&caller(), &key));
    assert!(matches!(refused, Err(Fault::NotAllowed { .. })), "{refused:?}");
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
}

/// A file that is on a dead mount is waited for by nobody but the reload: a pipe without a writer is as
/// patient.
#[test]
fn a_reload_that_hangs_does_not_keep_it_from_its_end() {
    let rig = Rig::new(|_| ());
    let systemd = Systemd::new(rig.path());
    let mut daemon = Running(systemd.hears(&mut rig.command()).spawn().unwrap());
    systemd.is_told("READY=1");
    std::fs::remove_file(rig.config_file()).unwrap();
    assert!(Command::new("mkfifo").arg(rig.config_file()).status().unwrap().success());
    daemon.signal("-HUP");
    systemd.is_told("RELOADING=1");
    let client = rig.connect();
    let key = rig.begin(&client, "under");
    assert_eq!(rig.end(&client, &key).status, Status::Approved);
    daemon.signal("-TERM");
    systemd.is_told("STOPPING=1");
    assert!(daemon.ended().success());
}

/// The bus daemon is restarted: the terminal lives, its callers have left, and it is served again.
#[test]
fn the_bus_goes_and_comes_back() {
    let rig = Rig::new(|c| c.bus.bus = BusKind::Session);
    let mut bus = Bus::start(rig.path());
    let (systemd, log) = (Systemd::new(rig.path()), rig.path().join("log"));
    let file = std::fs::File::create(&log).unwrap();
    // An address with a guid, as session managers hand it out: the next bus daemon has another one.
    let address = format!("{},guid=00000000000000000000000000000001", bus.address());
    let mut command = rig.command();
    command.env("DBUS_SESSION_BUS_ADDRESS", address).stderr(file);
    let daemon = Running(systemd.hears(&mut command).spawn().unwrap());
    assert!(systemd.told().contains("STATUS=ready\n"));
    let connect = |bus: &Bus| rig.runtime.block_on(Client::connect(Address::Bus(bus.address()), "")).unwrap();
    let client = connect(&bus);
    let key = rig.runtime.block_on(client.start(&caller(), sale("cut"))).unwrap();
    let peer = rig.connect();
    bus.stop();
    systemd.is_told("STATUS=the bus is lost");
    assert_eq!(rig.end(&peer, &key).status, Status::Cancelled, "its caller has left");
    bus.again();
    let back = Instant::now();
    systemd.is_told("STATUS=ready\n");
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    let client = connect(&bus);
    let next = rig.begin(&client, "next");
    assert_eq!(rig.end(&client, &next).status, Status::Approved);
    drop(daemon);
    let log = std::fs::read_to_string(&log).unwrap();
    let lines = |part: &str| log.lines().filter(|l| l.contains(part)).count();
    assert_eq!((lines("the bus is lost"), lines("the bus is back")), (1, 1), "{log}");
}

/// A CA file with other contents: the kept line was made with the old ones.
#[test]
fn certificates_are_read_anew() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["acquirer.test".into()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["acquirer.test".into()]).unwrap();
    let put = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (ca, key) = (put("ca.pem", made.cert.pem()), put("key.pem", made.signing_key.serialize_pem()));
    let tls = Some((ca.clone(), key));
    let options = payterm_simulator::Options { tls, ..payterm_simulator::Options::fast() };
    let pinned = put("pinned.pem", made.cert.pem());
    let rig = Rig::with(options, |c| {
        let server_name = Some("acquirer.test".into());
        c.accounts[0].tls = Some(TlsConfig { ca: pinned.clone(), server_name, cert: None, key: None });
        c.accounts[0].persistent = true;
    });
    let systemd = Systemd::new(rig.path());
    let daemon = Running(systemd.hears(&mut rig.command()).spawn().unwrap());
    systemd.is_told("READY=1");
    let client = rig.connect();
    let pay = |id: &str| rig.end(&client, &rig.begin(&client, id)).status;
    assert_eq!(pay("first"), Status::Approved);
    put("pinned.pem", other.cert.pem());
    assert_eq!(pay("second"), Status::Approved, "nobody was told");
    daemon.signal("-HUP");
    systemd.is_told("READY=1");
    assert_eq!(pay("third"), Status::Failed);
    put("pinned.pem", made.cert.pem());
    daemon.signal("-HUP");
    systemd.is_told("READY=1");
    assert_eq!(pay("fourth"), Status::Approved);
}

/// What can refuse a start is tried before its first byte: a sign-in would make the living terminal's keys
/// void.
#[test]
fn a_second_start_by_mistake_sends_nothing() {
    let rig = Rig::new(|c| c.bus.bus = BusKind::Session);
    let bus = Bus::start(rig.path());
    let command = || {
        let mut c = rig.command();
        c.env("DBUS_SESSION_BUS_ADDRESS", bus.address()).stderr(Stdio::piped());
        c
    };
    let _first = Running(command().stderr(Stdio::inherit()).spawn().unwrap());
    let client = rig.connect();
    let pay = |id: &str| rig.end(&client, &rig.begin(&client, id)).status;
    assert_eq!(pay("before"), Status::Approved);
    // It has the keys too, and could sign in.
    let other = rig.path().join("other");
    std::fs::DirBuilder::new().mode(0o700).create(&other).unwrap();
    std::fs::copy(rig.path().join("state/vault.sealed"), other.join("vault.sealed")).unwrap();
    let before = std::fs::read_to_string(rig.config_file()).unwrap();
    let seen = rig.acquirer.log().unwrap().len();
    type Change = fn(&Path, &mut Config);
    let mistakes: [(Change, &str); 4] = [
        (|dir, c| c.bus.peer_socket = Some(dir.join("free")), "owned by another program"),
        (|_, c| c.bus.bus = BusKind::None, "another program listens on it"),
        (
            |dir, c| (c.bus.lane, c.bus.peer_socket) = ("x".into(), Some(dir.join("nowhere/no"))),
            "peer_socket",
        ),
        (
            |dir, c| {
                (c.bus.lane, c.bus.peer_socket) = ("x".into(), None);
                std::fs::create_dir(dir.join("other/virtual.sock")).unwrap();
            },
            "something that is no socket is in its place",
        ),
    ];
    for (change, why) in mistakes {
        std::fs::write(rig.config_file(), &before).unwrap();
        rig.edit(|c| change(rig.path(), c));
        let o = command().arg("--state").arg(&other).output().unwrap();
        assert!(!o.status.success() && stderr(&o).contains(why), "{}", stderr(&o));
        assert_eq!(rig.acquirer.log().unwrap().len(), seen, "{why}: something was sent");
    }
    assert_eq!(pay("after"), Status::Approved);
}

#[test]
fn a_request_that_waits_for_a_card_is_cancelled_by_the_shutdown() {
    let rig = Rig::new(|_| ());
    let mut daemon = rig.start();
    let client = rig.connect();
    let key = rig.runtime.block_on(client.start(&caller(), sale("a"))).unwrap();
    rig.virtuals().wait_screen("12.34", SOON).unwrap();
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
    let _again = rig.start();
    assert_eq!(rig.end(&rig.connect(), &key).status, Status::Cancelled);
    assert_eq!(rig.balance(), OPENING);
}

#[test]
fn a_frame_that_is_out_is_waited_for_by_the_shutdown() {
    let rig = Rig::new(|_| ());
    let mut daemon = rig.start();
    let client = rig.connect();
    let first = rig.begin(&client, "first");
    assert_eq!(rig.end(&client, &first).status, Status::Approved);
    rig.acquirer.mishaps().next(Mishap::LateReply { ms: 800 }).unwrap();
    let key = rig.begin(&client, "slow");
    let by = Instant::now() + SOON;
    while rig.balance() != OPENING - 2 * 1234 {
        assert!(Instant::now() < by);
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon.signal("-TERM");
    assert!(daemon.ended().success());
    let _again = rig.start();
    assert_eq!(rig.end(&rig.connect(), &key).status, Status::Approved);
    assert_eq!(rig.balance(), OPENING - 2 * 1234, "nothing was reversed");
}

#[test]
fn killed_with_a_frame_out_it_reverses_after_the_restart() {
    let rig = Rig::new(|_| ());
    let mut daemon = rig.start();
    let client = rig.connect();
    let first = rig.begin(&client, "first");
    assert_eq!(rig.end(&client, &first).status, Status::Approved);
    rig.acquirer.mishaps().next(Mishap::DropReply).unwrap();
    let key = rig.begin(&client, "cut");
    let by = Instant::now() + SOON;
    while rig.balance() != OPENING - 2 * 1234 {
        assert!(Instant::now() < by);
        std::thread::sleep(Duration::from_millis(10));
    }
    daemon.0.kill().unwrap();
    assert_eq!(daemon.ended().signal(), Some(9));
    let _again = rig.start();
    let client = rig.connect();
    let end = rig.end(&client, &key);
    assert_eq!(end.status, Status::Declined, "{end:?}");
    assert_eq!(rig.balance(), OPENING - 1234);
    assert_eq!(rig.end(&client, &first).status, Status::Approved);
}
