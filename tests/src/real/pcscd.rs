//! A real pcscd with vsmartcard's virtual readers, and cards in them. pcscd has one socket a machine, and its
//! readers listen on fixed ports: a test with one runs alone in a namespace of its own.
use crate::real::stack::{Result, until};
use payterm_devices::{CardDevice, Drivers, Env, Face, VirtualBench};
use payterm_schema::{DeviceKind, config::DeviceConfig};
use payterm_simulator::card::{
    TestCard,
    vpcd::{self, Behaviour},
};
use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

/// The virtual readers, by their names at pcscd, and the ports of their cards.
pub const READERS: [(&str, u16); 2] =
    [("Virtual PCD 00 00", vpcd::PORT), ("Virtual PCD 00 01", vpcd::PORT + 1)];

/// Set in a namespace.
const ALONE: &str = "PAYTERM_ALONE";
const LIBRARY: &str = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so";
/// As root of the namespace; mounts go with it.
const ALONE_THEN: &str =
    "mkdir -p /run/pcscd && mount -t tmpfs tmpfs /run/pcscd && ip link set lo up && exec \"$@\"";

/// Command that runs in a namespace of its own, with nothing at pcscd's socket.
fn unshared(then: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    // Who is not root may be it in there.
    command.args((!rustix::process::getuid().is_root()).then_some("-r"));
    command.args(["-m", "-n", "sh", "-c", ALONE_THEN, "sh"]).args(then).env(ALONE, "");
    command
}
/// Says why no pcscd can be started here; none: it can, in a namespace.
fn why_not() -> Option<String> {
    match unshared(&["pcscd", "--version"]).output() {
        Ok(out) if !out.status.success() => Some(String::from_utf8_lossy(&out.stderr).trim_end().to_owned()),
        Ok(_) => (!Path::new(LIBRARY).exists()).then(|| format!("no {LIBRARY}")),
        Err(e) => Some(format!("unshare: {e}")),
    }
}

/// Runs this program again, with its arguments, in a namespace where a pcscd can be started: `Ok` there.
/// Where none can be, it goes on here, with the reason.
pub fn move_alone() -> std::result::Result<(), String> {
    if std::env::var_os(ALONE).is_some() {
        return Ok(());
    }
    if let Some(why) = why_not() {
        return Err(why);
    }
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let me = me.to_str().ok_or("a path that is no text")?;
    Err(format!("unshare: {}", unshared(&[me]).args(std::env::args_os().skip(1)).exec()))
}

/// Tells whether this is the namespace of the test of this path (`room::name`); if not, the test is run in
/// one. Where there is none or no pcscd it says so, and with `PAYTERM_MUST=mounts` it fails.
///
/// # Panics
/// When the test failed.
pub fn alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    if let Some(why) = why_not() {
        let must = std::env::var("PAYTERM_MUST").is_ok_and(|m| m == "mounts");
        assert!(!must, "no pcscd can be started here: {why}");
        println!("skipped: no pcscd can be started here: {why}");
        return false;
    }
    let me = std::env::current_exe().expect("a path");
    let me = me.to_str().expect("text");
    let out = unshared(&[me, "--exact", test, "--nocapture"]).output().expect("unshare");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains(" 1 passed"),
        "{test}: {said}\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    false
}

/// The pcscd of this namespace.
pub struct Pcscd {
    child: Child,
    config: tempfile::TempDir,
}
impl Pcscd {
    pub fn start() -> Result<Self> {
        let config = tempfile::tempdir()?;
        let readers = format!(
            "FRIENDLYNAME \"Virtual PCD\"\nDEVICENAME /dev/null:0x{port:X}\n\
             LIBPATH {LIBRARY}\nCHANNELID 0x{port:X}\n",
            port = vpcd::PORT
        );
        std::fs::write(config.path().join("vpcd"), readers)?;
        Ok(Self { child: spawn(config.path())?, config })
    }
    /// SIGKILL. The cards lose their reader.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
    pub fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.config.path())?;
        Ok(())
    }
}
impl Drop for Pcscd {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts it, and waits until its readers are there.
fn spawn(config: &Path) -> Result<Child> {
    let mut command = Command::new("pcscd");
    command.args(["--foreground", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().map_err(|e| format!("pcscd: {e}"))?;
    // A connection would be a card.
    let last = format!(":{:04X} 00000000:0000 0A", vpcd::PORT + 1);
    let up = until("pcscd", || {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        sockets.contains(&last) && std::os::unix::net::UnixStream::connect("/run/pcscd/pcscd.comm").is_ok()
            || child.try_wait().is_ok_and(|ended| ended.is_some())
    });
    if let (Ok(()), None) = (&up, child.try_wait()?) {
        return Ok(child);
    }
    let _ = child.kill();
    Err("pcscd does not start".into())
}

/// A card in a reader until it is pulled or dropped.
pub struct Inserted {
    port: u16,
    stream: TcpStream,
    thread: Option<JoinHandle<io::Result<TestCard>>>,
}
impl Inserted {
    pub fn insert(mut card: TestCard, port: u16, mut behaviour: Behaviour) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        let reader = stream.try_clone()?;
        let serve = move || vpcd::serve(&reader, &mut card, &mut behaviour, &mut |_| Ok(())).map(|_| card);
        Ok(Self { port, stream, thread: Some(std::thread::Builder::new().name("card".into()).spawn(serve)?) })
    }
    /// Pulls it, at whatever it does.
    pub fn pull(mut self) -> Result<TestCard> {
        self.stream.shutdown(Shutdown::Both).ok();
        let thread = self.thread.take().ok_or("no thread")?;
        Ok(thread.join().map_err(|_| "the card panicked")??)
    }
    /// Pulls it out of its reader, and waits until pcscd knows: it does not see a card that is changed within
    /// 0.4 s.
    pub fn take_out(self) -> Result<TestCard> {
        let (reader, _) = READERS.iter().find(|(_, at)| *at == self.port).ok_or("not a reader of pcscd")?;
        let mut device = DeviceConfig::new("eye", DeviceKind::ChipReader, "pcsc");
        device.options.insert("reader".into(), (*reader).into());
        let encipher = Arc::new(|_: &str, _: &_, _: &_| Err("no vault".into()));
        let env = Env { bench: VirtualBench::new(), encipher, kernel: None };
        let faces = Drivers::default().open(&device, &env)?;
        let Some(Face::ChipReader(CardDevice { mut reader, .. })) = faces.into_iter().next() else {
            return Err("no reader".into());
        };
        // One that was just opened takes a moment to see.
        let out = || self.thread.as_ref().is_none_or(JoinHandle::is_finished);
        until("the card is seen", || out() || reader.wait(Duration::ZERO).is_ok_and(|card| card.is_some()))?;
        if out() {
            reader.wait(Duration::from_secs(1))?;
        }
        let card = self.pull()?;
        until("the pull is seen", || reader.wait(Duration::ZERO).is_ok_and(|found| found.is_none()))?;
        Ok(card)
    }
}
impl Drop for Inserted {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }
}
