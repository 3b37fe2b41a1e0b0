//! A fake terminal on a private bus.
use payterm_dbus::{Address, Client, Server};
use payterm_fake::Fake;
use payterm_schema::{
    Caller,
    config::{BusConfig, CallerConfig},
};
use std::{
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

/// A dbus-daemon of its own that every user may connect to.
pub struct Bus {
    child: Child,
    pub address: String,
    pub dir: tempfile::TempDir,
}
impl Bus {
    pub fn start() -> Self {
        Self::with_policy(
            "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>",
        )
    }
    pub fn with_policy(policy: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let listen = format!("unix:path={}", dir.path().join("bus").display());
        let head = format!("<type>session</type><listen>{listen}</listen><auth>EXTERNAL</auth>");
        let text = format!("<busconfig>{head}{policy}</busconfig>");
        std::fs::write(dir.path().join("bus.conf"), text).unwrap();
        Self { child: run(dir.path()), address: listen, dir }
    }
    /// Runs again after [`Bus::stop`].
    pub fn again(&mut self) {
        std::fs::remove_file(self.dir.path().join("bus")).unwrap();
        self.child = run(self.dir.path());
    }
    pub fn at(&self) -> Option<Address> {
        Some(Address::Bus(self.address.clone()))
    }
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
    pub async fn busctl(&self, arguments: &[&str]) -> Output {
        let mut c = Command::new("busctl");
        c.arg(format!("--address={}", self.address)).args(arguments);
        output(c).await
    }
    /// busctl as another user, with one group.
    pub async fn busctl_as(&self, uid: u32, gid: u32, arguments: &[&str]) -> Output {
        let mut c = Command::new("setpriv");
        c.args([
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            format!("--groups={gid}"),
            "busctl".into(),
            format!("--address={}", self.address),
        ]);
        c.args(arguments);
        output(c).await
    }
}
/// A dbus-daemon that listens.
fn run(dir: &Path) -> Child {
    let mut child = Command::new("dbus-daemon")
        .arg(format!("--config-file={}", dir.join("bus.conf").display()))
        .args(["--nofork", "--nopidfile", "--print-address=1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}
/// Off the runtime's thread: the server that the program talks to runs there.
async fn output(mut c: Command) -> Output {
    tokio::task::spawn_blocking(move || c.output()).await.unwrap().unwrap()
}
impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}
pub fn caller(app: &str, manager: bool) -> CallerConfig {
    CallerConfig { uid: me(), app: app.into(), manager, kinds: Vec::new(), limit: None }
}
pub fn nobody() -> Caller {
    Caller { app: String::new(), uid: 0, manager: false, kinds: Vec::new(), limit: None }
}

/// A fake terminal served on a private bus and on a socket.
pub struct World {
    pub bus: Bus,
    pub fake: Arc<Fake>,
    pub server: Server,
    pub socket: std::path::PathBuf,
}
impl World {
    pub async fn start(callers: Vec<CallerConfig>) -> Self {
        let (bus, fake) = (Bus::start(), Fake::by_hand());
        let socket = bus.dir.path().join("peer");
        let config = BusConfig { callers, peer_socket: Some(socket.clone()), ..BusConfig::default() };
        let server = payterm_dbus::serve_at(fake.clone(), &config, bus.at()).await.unwrap();
        Self { bus, fake, server, socket }
    }
    pub async fn client(&self) -> Client {
        Client::connect(Address::Bus(self.bus.address.clone()), "").await.unwrap()
    }
    pub async fn peer(&self) -> Client {
        Client::connect(Address::Peer(self.socket.clone()), "").await.unwrap()
    }
    /// A bare connection to the bus.
    pub async fn raw(&self) -> zbus::Connection {
        zbus::connection::Builder::address(self.bus.address.as_str()).build().await.unwrap()
    }
}

/// Until the condition holds, at most 5 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
