//! A terminal that does as the request's id says, on a private bus, and the built `paytermctl` as its caller.
use payterm_dbus::{Address, Server};
use payterm_fake::Fake;
use payterm_schema::{
    RequestKey, Status,
    config::{BusConfig, CallerConfig},
};
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

pub const STATUSES: [(Status, i32); 5] = [
    (Status::Approved, 0),
    (Status::Declined, 10),
    (Status::Cancelled, 11),
    (Status::Failed, 12),
    (Status::Unknown, 13),
];

pub fn key(id: &str) -> RequestKey {
    RequestKey::new("till", id).unwrap()
}

/// The fake on a private bus and on a socket; our user is the app `till`, a manager.
pub struct World {
    daemon: Child,
    pub address: String,
    pub socket: PathBuf,
    pub fake: Arc<Fake>,
    _server: Server,
    _dir: tempfile::TempDir,
}
impl Drop for World {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl World {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address=unix:dir={}", dir.path().display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut byte = [0];
        while daemon.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            address.push(char::from(byte[0]));
        }
        let fake = Fake::by_id();
        let socket = dir.path().join("peer");
        let uid = rustix::process::geteuid().as_raw();
        let callers =
            vec![CallerConfig { uid, app: "till".into(), manager: true, kinds: Vec::new(), limit: None }];
        let config = BusConfig { callers, peer_socket: Some(socket.clone()), ..BusConfig::default() };
        let server =
            payterm_dbus::serve_at(fake.clone(), &config, Some(Address::Bus(address.clone()))).await.unwrap();
        Self { daemon, address, socket, fake, _server: server, _dir: dir }
    }
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut c = paytermctl();
        c.env("PAYTERM_BUS", &self.address).args(arguments);
        c
    }
    /// Runs it to its end while the fake serves.
    pub async fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments), "").await
    }
    pub async fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

pub fn paytermctl() -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_paytermctl"));
    c.env_remove("PAYTERM_STATE")
        .env("LANG", "C.UTF-8")
        .env_remove("LC_ALL")
        .env_remove("LC_MESSAGES")
        .stdin(Stdio::null());
    c
}

pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}
impl Done {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
    pub fn of(o: Output) -> Self {
        Self {
            code: o.status.code().unwrap_or(-1),
            out: String::from_utf8(o.stdout).unwrap(),
            err: String::from_utf8(o.stderr).unwrap(),
        }
    }
}

/// Runs it to its end with this on stdin, at most 30 s.
pub async fn finish(mut command: Command, input: &str) -> Done {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(mut to) = child.stdin.take() {
        // Who does not read it may close it.
        let _ = to.write_all(input.as_bytes());
    }
    wait(child).await
}

/// Waits for its end while its pipes are drained; on a thread of its own, because the fake serves on ours.
pub async fn wait(child: Child) -> Done {
    let pid = rustix::process::Pid::from_child(&child);
    let mut ending = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    match tokio::time::timeout(Duration::from_secs(30), &mut ending).await {
        Ok(output) => Done::of(output.unwrap()),
        Err(_) => {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            panic!("paytermctl does not end: {}", Done::of(ending.await.unwrap()).err)
        }
    }
}

/// Waits until the condition holds, at most 10 s.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
