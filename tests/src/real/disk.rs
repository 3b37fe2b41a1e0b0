//! Disks that fail on purpose, for the state directory of a real daemon. They need root and mounts;
//! [`why_not`] says when there are none, [`mounts`] whether a test has to do without.
//!
//! Mishap models. [`LoopDisk`], a *power cut*: what was synced is there afterwards; of what was not, nothing
//! needs to be (ext4 is shut down by FS_IOC_SHUTDOWN without flushing its log, unmounted and mounted again).
//! Whoever writes is [`halt`]ed before: a real one does not outlive its disk either, and the kernel answers 0
//! now and then to an fdatasync of a file that grows whose transaction the shutdown has just thrown away (15
//! of 250 cuts of a program that does nothing else; none of 300 where it was halted). [`SmallDisk`], a *full
//! disk*: a tmpfs that something else fills and frees. Failing system calls are [`Broken`]'s: the nth
//! fdatasync or write of the journal's writer answers EIO or ENOSPC, once or from then on, or is the last
//! thing that the daemon ever does.
use crate::real::stack::{Result, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Room for the journal of 100 cuts and its WAL of 8 MiB.
const LOOP_MIB: u64 = 192;

fn run(program: &str, args: &[&str]) -> Result<()> {
    let out = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr).trim()).into())
    }
}
fn text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("path")?)
}

/// Why no disk can be mounted here; none when it can.
pub fn why_not() -> Option<String> {
    let tried = || -> Result<()> {
        let dir = tempfile::tempdir()?;
        drop(LoopDisk::make(dir.path(), 8)?);
        Ok(())
    };
    tried().err().map(|e| e.to_string())
}

/// Tells whether disks can be mounted here. Where they cannot, a test says so and is skipped; with
/// `PAYTERM_MUST=mounts` it fails.
pub fn mounts() -> bool {
    let why = why_not();
    if let Some(why) = &why {
        let must = std::env::var("PAYTERM_MUST").is_ok_and(|m| m == "mounts");
        assert!(!must, "no disk can be mounted here: {why}");
        println!("skipped: no disk can be mounted here: {why}");
    }
    why.is_none()
}

/// An ext4 file system in a file, mounted on `DIR/state`.
pub struct LoopDisk {
    image: PathBuf,
    at: PathBuf,
    /// Holds the mount open and cuts when told: starting a program takes longer than a payment.
    cutter: Option<(Child, ChildStdin, BufReader<ChildStdout>)>,
}

/// FS_IOC_SHUTDOWN = _IOR('X', 125, u32); 2 = FS_SHUTDOWN_FLAGS_NOLOGFLUSH. In Python since an ioctl is
/// unsafe code here.
const CUTTER: &str = "import fcntl,os,struct,sys
fd=os.open(sys.argv[1],os.O_RDONLY|os.O_DIRECTORY)
print('ready',flush=True)
sys.stdin.readline()
fcntl.ioctl(fd,0x8004587d,struct.pack('I',2))
print('cut',flush=True)";

impl LoopDisk {
    pub fn new(dir: &Path) -> Result<Self> {
        Self::make(dir, LOOP_MIB)
    }
    fn make(dir: &Path, mib: u64) -> Result<Self> {
        let (image, at) = (dir.join("disk.img"), dir.join("state"));
        File::create(&image)?.set_len(mib << 20)?;
        std::fs::create_dir_all(&at)?;
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0", text(&image)?])?;
        let mut disk = Self { image, at, cutter: None };
        disk.mount()?;
        Ok(disk)
    }
    fn mount(&mut self) -> Result<()> {
        run("mount", &["-o", "loop", text(&self.image)?, text(&self.at)?])?;
        let mut child = Command::new("python3")
            .args(["-c", CUTTER])
            .arg(&self.at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (tell, mut hear) =
            (child.stdin.take().ok_or("stdin")?, BufReader::new(child.stdout.take().ok_or("stdout")?));
        let mut line = String::new();
        hear.read_line(&mut line)?;
        self.cutter = Some((child, tell, hear));
        Ok(())
    }
    fn unmount(&mut self) -> Result<()> {
        if let Some((mut child, tell, _)) = self.cutter.take() {
            drop(tell);
            let _ = (child.kill(), child.wait());
        }
        // A process that was just killed may hold it a moment longer.
        let mut last = Ok(());
        let gone = until("the disk to be let go", || {
            last = text(&self.at).and_then(|at| run("umount", &[at]));
            last.is_ok()
        });
        gone.map_err(|e| format!("{e}: {last:?}").into())
    }
    /// The handle with which another thread cuts the power.
    pub fn switch(&mut self) -> Result<Switch> {
        let (child, tell, hear) = self.cutter.take().ok_or("the power is off")?;
        Ok(Switch(child, tell, hear))
    }
    /// After the cut, and after the daemon is gone: what the disk holds is mounted.
    pub fn power_on(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }
}
/// Stops a process: none of its threads runs on, but one may be inside a system call that ends by itself.
pub fn halt(pid: Pid) -> std::io::Result<()> {
    kill_process(pid, Signal::STOP)?;
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    // Its state stands behind the name, which may hold anything: T and t stopped, D inside the kernel.
    let still =
        |stat: String| stat.rsplit(") ").next().is_some_and(|s| s.starts_with(['T', 't', 'D', 'Z', 'X']));
    loop {
        let mut threads = std::fs::read_dir(&tasks)?;
        if threads
            .all(|t| t.is_ok_and(|t| std::fs::read_to_string(t.path().join("stat")).map_or(true, still)))
        {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

pub struct Switch(Child, ChildStdin, BufReader<ChildStdout>);
impl Switch {
    /// Cuts the power: from here on nothing reaches the disk.
    pub fn cut(mut self) -> Result<()> {
        writeln!(self.1)?;
        let mut line = String::new();
        self.2.read_line(&mut line)?;
        let _ = self.0.wait();
        if line.trim() == "cut" { Ok(()) } else { Err("FS_IOC_SHUTDOWN failed".into()) }
    }
}
impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.unmount().is_err()
            && let Ok(at) = text(&self.at)
        {
            let _ = run("umount", &["-l", at]);
        }
    }
}

/// A tmpfs of so many MiB on `DIR/state`.
pub struct SmallDisk {
    at: PathBuf,
}
impl SmallDisk {
    pub fn new(dir: &Path, mib: u32) -> Result<Self> {
        let at = dir.join("state");
        std::fs::create_dir_all(&at)?;
        run("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0700"), "payterm-test", text(&at)?])?;
        Ok(Self { at })
    }
    /// Somebody else's file takes all but `left` bytes.
    pub fn fill(&self, left: u64) -> Result<()> {
        let s = rustix::fs::statvfs(&self.at)?;
        let size = (s.f_bavail * s.f_frsize).saturating_sub(left);
        let file = File::create(self.at.join("somebody.else"))?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size.max(1))
            .or_else(|e| if e == rustix::io::Errno::NOSPC { Ok(()) } else { Err(e) })?;
        Ok(())
    }
    pub fn free(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.at.join("somebody.else"))?)
    }
}
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let began = std::time::Instant::now();
        while let Ok(at) = text(&self.at)
            && run("umount", &[at]).is_err()
        {
            if began.elapsed() > Duration::from_secs(5) {
                let _ = run("umount", &["-l", at]);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Fault of a system call of the daemon. strace counts for each thread by itself, and only the
/// journal's writer makes these.
#[derive(Clone, Debug)]
pub struct Broken {
    pub call: &'static str,
    /// `signal=KILL`, `error=EIO`, `error=ENOSPC`.
    pub how: &'static str,
    /// Number of the call, from 1.
    pub nth: u32,
    /// All calls that follow fail too.
    pub ever_after: bool,
}
impl Broken {
    pub fn kills(&self) -> bool {
        self.how.starts_with("signal")
    }
    /// The program, to be followed by the daemon's command line.
    pub fn wrapper(&self) -> Vec<String> {
        let when = format!("{}{}", self.nth, if self.ever_after { "+" } else { "" });
        let (trace, inject) =
            (format!("trace={}", self.call), format!("inject={}:{}:when={when}", self.call, self.how));
        let mut words = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        // Much quicker, and strace 6.1 sends no signal with it.
        if !self.kills() {
            words.insert(2, "--seccomp-bpf");
        }
        words.into_iter().map(str::to_owned).collect()
    }
}
