//! The real thing, as its own processes: a private dbus-daemon, `payterm-acquirer`, `paytermd` on its
//! embedded demo configuration with a provisioned vault. For the demo, `make run`, the e2e tests, the
//! harnesses and the benches.
use payterm_dbus::{Address, Client};
use payterm_devices::virtual_control::VirtualControl;
use payterm_schema::{Caller, config::Config, secret::SecretBytes};
use payterm_simulator::{World, keys};
use payterm_vault::{SealingKey, Vault};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    error::Error,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader},
    os::unix::{fs::DirBuilderExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Longest time that anything may take to get ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of the built programs: the one of this test or program.
pub fn programs() -> Result<PathBuf> {
    let me = std::env::current_exe()?;
    let mut dir = me.parent().ok_or("no directory")?;
    if dir.ends_with("deps") {
        dir = dir.parent().ok_or("no directory")?;
    }
    Ok(dir.into())
}

pub struct Stack {
    pub dir: PathBuf,
    /// Removed at the end unless kept.
    _temp: Option<tempfile::TempDir>,
    pub bus: String,
    pub config: Config,
    /// Addresses of the acquirer's profiles.
    pub hosts: BTreeMap<String, String>,
    acquirer: Option<Child>,
    daemon: Option<Child>,
    bus_daemon: Child,
    /// Time from exec to READY=1 of the last start of the daemon.
    pub ready_in: Duration,
}

impl Stack {
    /// A fresh stack in a directory of its own; `change` has the last word on the configuration.
    pub fn start(change: impl FnOnce(&mut Config, &BTreeMap<String, String>)) -> Result<Self> {
        Self::start_world("", change)
    }

    /// Starts with more in the acquirer's demo world: TOML that is appended to it.
    pub fn start_world(
        more: &str,
        change: impl FnOnce(&mut Config, &BTreeMap<String, String>),
    ) -> Result<Self> {
        let temp = tempfile::Builder::new().prefix("payterm-").tempdir()?;
        std::fs::write(
            temp.path().join("world.toml"),
            format!("{}\n{more}", include_str!("../../../crates/simulator/worlds/demo.toml")),
        )?;
        Self::start_in(temp.path().to_owned(), Some(temp), change)
    }

    /// Starts in a directory that holds `world.toml`, and may hold the state of an earlier stack. With
    /// `tls-cert.pem` and `tls-key.pem` in it the acquirer speaks TLS.
    pub fn start_in(
        dir: PathBuf,
        temp: Option<tempfile::TempDir>,
        change: impl FnOnce(&mut Config, &BTreeMap<String, String>),
    ) -> Result<Self> {
        let (bus_daemon, bus) = private_bus(&dir)?;
        let mut stack = Self {
            bus,
            config: payterm_engine::demo::config(rustix::process::getuid().as_raw()),
            hosts: BTreeMap::new(),
            acquirer: None,
            daemon: None,
            bus_daemon,
            ready_in: Duration::ZERO,
            dir,
            _temp: temp,
        };
        stack.start_acquirer("127.0.0.1:0")?;
        stack.config.store.dir = stack.state();
        stack.config.vault.key_file = Some(stack.dir.join("vault.key"));
        stack.config.accounts[0].address =
            stack.hosts.get("unionpay").cloned().ok_or("the acquirer has no unionpay listener")?;
        let hosts = stack.hosts.clone();
        change(&mut stack.config, &hosts);
        std::fs::write(stack.config_file(), toml::to_string(&stack.config)?)?;
        stack.provision()?;
        stack.start_daemon(&[])?;
        Ok(stack)
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("payterm.toml")
    }
    pub fn acquirer_state(&self) -> PathBuf {
        self.dir.join("acquirer")
    }
    /// File that a virtual printer with it as its address has written.
    pub fn papers(&self) -> PathBuf {
        self.dir.join("papers.txt")
    }
    pub fn daemon_log(&self) -> PathBuf {
        self.dir.join("paytermd.log")
    }

    /// The vault as an engineer would fill it: each account's TMK as two components with check values.
    fn provision(&self) -> Result<()> {
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(self.state())?;
        let key_file = self.dir.join("vault.key");
        let sealing = if key_file.exists() {
            SealingKey::from_file(&key_file)?
        } else {
            SealingKey::create_file(&key_file)?
        };
        let vault = Vault::open(&self.state(), sealing)?;
        let world = World::load(&self.dir.join("world.toml"))?;
        for account in &self.config.accounts {
            let test = world
                .accounts
                .iter()
                .find(|a| a.mid == account.mid && a.tid == account.tid)
                .ok_or("an account that the demo world has not")?;
            let c = keys::components(test)?;
            let bytes = |h: &str| hex::decode(h);
            let part = |h: &str| bytes(h).map(SecretBytes::new);
            vault.load_tmk_components(
                account.id.as_str(),
                &part(&c.component_1)?,
                &bytes(&c.kcv_1)?,
                &part(&c.component_2)?,
                &bytes(&c.kcv_2)?,
                &bytes(&c.kcv)?,
            )?;
        }
        Ok(())
    }

    /// (Re)starts the acquirer; the ledger stays.
    pub fn start_acquirer(&mut self, listen: &str) -> Result<()> {
        let ready = self.dir.join("acquirer.ready");
        let _ = std::fs::remove_file(&ready);
        let (cert, key) = (self.dir.join("tls-cert.pem"), self.dir.join("tls-key.pem"));
        let tls = if cert.exists() {
            vec!["--tls-cert".as_ref(), cert.as_os_str(), "--tls-key".as_ref(), key.as_os_str()]
        } else {
            Vec::new()
        };
        let spawn = || -> Result<Child> {
            let log = OpenOptions::new().create(true).append(true).open(self.dir.join("acquirer.log"))?;
            let mut command = Command::new(programs()?.join("payterm-acquirer"));
            command
                .args(["serve", "--tms", "127.0.0.1:0", "--listen", listen, "--state"])
                .arg(self.acquirer_state())
                .arg("--ready-file")
                .arg(&ready);
            command
                .arg("--rules")
                .arg(self.dir.join("world.toml"))
                .args(&tls)
                .stdout(Stdio::null())
                .stderr(log);
            Ok(command.spawn()?)
        };
        let mut child = spawn()?;
        let up = until("the acquirer", || {
            // The port of the one before may be an outgoing connection's for a moment.
            if child.try_wait().is_ok_and(|ended| ended.is_some())
                && let Ok(next) = spawn()
            {
                child = next;
            }
            ready.exists()
        });
        self.acquirer = Some(child);
        up.map_err(|e| {
            format!("{e}: {}", std::fs::read_to_string(self.dir.join("acquirer.log")).unwrap_or_default())
        })?;
        self.hosts = serde_json::from_slice(&std::fs::read(&ready)?)?;
        Ok(())
    }
    pub fn kill_acquirer(&mut self) {
        kill(&mut self.acquirer);
    }

    /// Changes the configuration for the next start of the daemon.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) -> Result<()> {
        change(&mut self.config);
        Ok(std::fs::write(self.config_file(), toml::to_string(&self.config)?)?)
    }

    /// Starts `paytermd`, under `wrapper` if any (`strace ...`), and waits for its READY=1.
    pub fn start_daemon(&mut self, wrapper: &[&str]) -> Result<()> {
        let socket = self.dir.join("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket)?;
        notify.set_read_timeout(Some(Duration::from_millis(20)))?;
        let log = OpenOptions::new().create(true).append(true).open(self.daemon_log())?;
        let program = programs()?.join("paytermd");
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut c = Command::new(first);
                c.args(rest).arg(&program);
                c
            }
            None => Command::new(&program),
        };
        let began = Instant::now();
        let child = command
            .arg("--config")
            .arg(self.config_file())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus)
            .env("NOTIFY_SOCKET", &socket)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.daemon = Some(child);
        let mut buffer = [0; 4096];
        loop {
            match notify.recv(&mut buffer) {
                Ok(n) if buffer.get(..n).is_some_and(|b| b.windows(7).any(|w| w == b"READY=1")) => {
                    self.ready_in = began.elapsed();
                    return Ok(());
                }
                Ok(_) => {}
                Err(_) if self.daemon_gone() => {
                    return Err(format!("paytermd ended before it was ready\n{}", self.log_tail()).into());
                }
                Err(_) if began.elapsed() < PATIENCE => {}
                Err(e) => return Err(format!("paytermd is not ready: {e}\n{}", self.log_tail()).into()),
            }
        }
    }
    /// SIGKILL.
    pub fn kill_daemon(&mut self) {
        kill(&mut self.daemon);
    }
    /// SIGTERM, and whether it left in order.
    pub fn stop_daemon(&mut self) -> Result<bool> {
        let Some(mut child) = self.daemon.take() else { return Ok(false) };
        terminate(&child);
        let ended = until("paytermd to stop", || child.try_wait().is_ok_and(|s| s.is_some()));
        if ended.is_err() {
            let _ = child.kill();
        }
        Ok(ended.is_ok() && child.wait()?.success())
    }
    pub fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }
    /// The daemon's own process, under a wrapper too.
    pub fn daemon_process(&self) -> Option<Pid> {
        let pid = self.daemon_pid()?;
        children_of(pid).first().copied().or_else(|| Pid::from_raw(pid.try_into().ok()?))
    }
    /// Tells whether it ended by itself.
    pub fn daemon_gone(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|c| c.try_wait().is_ok_and(|s| s.is_some()))
    }

    /// Leaves the directory for whoever looks for the cause.
    pub fn keep(&mut self) {
        if let Some(temp) = &mut self._temp {
            temp.disable_cleanup(true);
        }
    }
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.daemon_log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub async fn client(&self) -> Result<Client> {
        Ok(Client::connect(Address::Bus(self.bus.clone()), "").await?)
    }
    pub fn virtuals(&self) -> Result<VirtualControl> {
        Ok(VirtualControl::connect(&self.state().join("virtual.sock"))?)
    }

    /// Runs `paytermctl` against this stack.
    pub fn ctl(&self, args: &[&str]) -> Result<Output> {
        let mut c = Command::new(programs()?.join("paytermctl"));
        c.arg("--bus").arg(&self.bus).args(args).env("PAYTERM_STATE", self.state());
        Ok(c.output()?)
    }
    /// Runs `payterm-acquirer ARGS --state DIR` and answers what it prints.
    pub fn acquirer(&self, args: &[&str]) -> Result<String> {
        let out = Command::new(programs()?.join("payterm-acquirer"))
            .args(args)
            .arg("--state")
            .arg(self.acquirer_state())
            .output()?;
        if !out.status.success() {
            return Err(format!("payterm-acquirer {args:?}: {}", String::from_utf8_lossy(&out.stderr)).into());
        }
        Ok(String::from_utf8(out.stdout)?)
    }
    /// Plants a mishap for the next message: `["--mti", "0200"]`, `["drop-reply"]`.
    pub fn mishap(&self, filter: &[&str], what: &[&str]) -> Result<()> {
        let state = self.acquirer_state();
        let state = state.to_str().ok_or("path")?;
        let out = Command::new(programs()?.join("payterm-acquirer"))
            .arg("mishap")
            .args(["--state", state])
            .args(filter)
            .args(what)
            .output()?;
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into()) }
    }
    /// Balance of a ledger account at the acquirer, minor units; 0 when it has none.
    pub fn balance(&self, account: &str) -> Result<i64> {
        let all: serde_json::Value = serde_json::from_str(&self.acquirer(&["balances", "--json"])?)?;
        let rows = all.as_array().ok_or("balances")?;
        Ok(rows.iter().find(|r| r["account"] == account).and_then(|r| r["balance"].as_i64()).unwrap_or(0))
    }
    /// Sum of what merchants and fees hold for an account: the net of all payments.
    pub fn net(&self, account: &str) -> Result<i64> {
        Ok(self.balance(&format!("merchant:{account}"))? + self.balance(&format!("fees:{account}"))?)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        kill(&mut self.daemon);
        kill(&mut self.acquirer);
        let _ = self.bus_daemon.kill();
        let _ = self.bus_daemon.wait();
    }
}

/// The caller that the client's methods do not use: the server finds out who calls.
pub fn caller() -> Caller {
    Caller { app: "demo".into(), uid: 0, manager: true, kinds: Vec::new(), limit: None }
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut c) = child.take() {
        // Under a wrapper (strace) the program is its child, and would be left behind.
        let children = children_of(c.id());
        for child in &children {
            let _ = kill_process(*child, Signal::KILL);
        }
        // The wrapper ends when its child has: by then the lock of the state directory is free.
        if !children.is_empty() {
            let _ = until("the wrapper to end", || c.try_wait().is_ok_and(|s| s.is_some()));
        }
        let _ = c.kill();
        let _ = c.wait();
    }
}

fn children_of(pid: u32) -> Vec<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|p| p.parse().ok()).filter_map(Pid::from_raw).collect()
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// Waits until `done`.
pub fn until(what: &str, mut done: impl FnMut() -> bool) -> Result<()> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > PATIENCE {
            return Err(format!("{what}: not within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn private_bus(dir: &Path) -> Result<(Child, String)> {
    let log = File::create(dir.join("bus.log"))?;
    let mut child = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
        .arg(format!("--address=unix:dir={}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("dbus-daemon: {e} (make setup installs it)"))?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut address)?;
    Ok((child, address.trim().to_owned()))
}
