//! The log of a real `paytermd`: what stands in it, how often, and with which priority.
use crate::process::{Rig, Running, SOON, Systemd, caller};
use payterm_devices::virtual_bench::When;
use payterm_schema::{
    DeviceState, Fault, OperatorId, OperatorRequest, RequestKey, Status, Terminal, config::Config,
};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A daemon whose stderr is a file, which is the journal of systemd or not.
struct Logged {
    rig: Rig,
    file: PathBuf,
    _daemon: Running,
}

impl Logged {
    fn start(journal: bool, change: impl FnOnce(&mut Config)) -> Self {
        let rig = Rig::new(change);
        let (file, systemd) = (rig.path().join("log"), Systemd::new(rig.path()));
        let mut command = rig.command();
        let log = File::create(&file).unwrap();
        let stream = log.metadata().map(|m| format!("{}:{}", m.dev(), m.ino())).unwrap();
        // Of another stream: systemd started whoever started this.
        command.env("JOURNAL_STREAM", if journal { stream } else { "1:1".into() }).stderr(log);
        let daemon = Running(systemd.hears(&mut command).spawn().unwrap());
        systemd.is_told("READY=1");
        let logged = Self { rig, file, _daemon: daemon };
        // The self-test after the start.
        logged.until(" parts=", 1);
        logged
    }
    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap().lines().map(str::to_owned).collect()
    }
    fn count(&self, part: &str) -> usize {
        self.lines().iter().filter(|l| l.contains(part)).count()
    }
    /// Until that many lines have the part.
    fn until(&self, part: &str, count: usize) {
        let by = Instant::now() + SOON;
        while self.count(part) < count {
            assert!(Instant::now() < by, "{part}\n{}", self.lines().join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_first_line_says_what_runs_and_a_clean_sale_is_three() {
    let logged = Logged::start(false, |_| ());
    let rig = &logged.rig;
    let first = logged.lines()[0].clone();
    assert!(first.starts_with("20") && first.contains(" INFO paytermd starts "), "{first}");
    for part in [
        format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        format!("configuration={:?}", rig.config_file()),
        "accounts=\"cup (unionpay at 127.0.0.1:".into(),
        format!("bus={:?}", rig.path().join("peer")),
    ] {
        assert!(first.contains(&part), "{part}: {first}");
    }
    let client = rig.connect();
    let sale = |id: &str| assert_eq!(rig.end(&client, &rig.begin(&client, id)).status, Status::Approved);
    // The first one signs in.
    sale("first");
    let before = logged.lines().len();
    sale("second");
    rig.virtuals().wait_papers(4, SOON).unwrap();
    // What comes behind an outcome, if it came.
    std::thread::sleep(Duration::from_millis(300));
    let lines = logged.lines().split_off(before);
    let told = |part: &str| lines.iter().filter(|l| l.contains("demo/second") && l.contains(part)).count();
    assert_eq!(
        (lines.len(), told("request started"), told("answered"), told("outcome")),
        (3, 1, 1, 1),
        "{lines:#?}"
    );
}

/// The caller's row is another user's.
#[test]
fn the_journal_gets_priorities_and_no_time_and_a_refused_caller_once() {
    let logged = Logged::start(true, |c| c.bus.callers[0].uid += 1);
    let client = logged.rig.connect();
    let key = RequestKey::new("demo", "a").unwrap();
    for _ in 0..5 {
        let refused = logged.rig.runtime.block_on(client.recall(&caller(), &key));
        assert!(matches!(refused, Err(Fault::NotAllowed { .. })), "{refused:?}");
    }
    logged.until("a call was refused", 1);
    std::thread::sleep(Duration::from_millis(300));
    let lines = logged.lines();
    let refused: Vec<_> = lines.iter().filter(|l| l.contains("refused")).collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    let uid = format!("uid={}", rustix::process::getuid().as_raw());
    assert!(refused[0].starts_with("<4>WARN a call was refused: not allowed: ") && refused[0].contains(&uid));
    assert!(lines[0].starts_with("<6>INFO paytermd starts "), "{}", lines[0]);
    // No time: the level stands first.
    let known = |l: &String| ["<3>ERROR ", "<4>WARN ", "<6>INFO "].iter().any(|p| l.starts_with(p));
    assert!(lines.iter().all(known), "{lines:#?}");
}

#[test]
fn a_refused_start_is_an_error_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let log = File::create(dir.path().join("log")).unwrap();
    let stream = log.metadata().map(|m| format!("{}:{}", m.dev(), m.ino())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_paytermd"));
    command.args(["--config", "/nonexistent/p.toml"]).env("JOURNAL_STREAM", stream).stderr(Stdio::from(log));
    assert_eq!(command.status().unwrap().code(), Some(78));
    let told = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(told.starts_with("<3>paytermd: /nonexistent/p.toml: "), "{told}");
}

#[test]
fn wrong_passwords_and_locks_are_logged_and_not_what_was_typed() {
    let logged = Logged::start(false, |c| {
        c.operators.required = true;
        c.log.level = "trace".into();
    });
    let (rig, wrong) = (&logged.rig, ["860257", "974013", "691580"]);
    let client = rig.connect();
    let mut virtuals = rig.virtuals();
    let typing = std::thread::spawn(move || {
        for (asked, password) in ["Operator 01", "Wrong password", "one try left"].iter().zip(wrong) {
            virtuals.wait_screen(asked, SOON).unwrap();
            for key in password.chars() {
                virtuals.key(&key.to_string(), When::Within(SOON)).unwrap();
            }
            virtuals.key("confirm", When::Within(SOON)).unwrap();
        }
    });
    let by = Instant::now() + SOON;
    while rig.runtime.block_on(client.operators(&caller())).unwrap().operators.len() < 3 {
        assert!(Instant::now() < by, "the first operators");
    }
    let operator = OperatorId::first_cashier();
    let ask = || {
        rig.runtime.block_on(
            client.operator_session(&caller(), OperatorRequest::LogOn { operator: operator.clone() }),
        )
    };
    let locked = Err(Fault::OperatorLocked { operator: "01".into() });
    assert_eq!(ask(), locked);
    typing.join().unwrap();
    for _ in 0..3 {
        assert_eq!(ask(), locked);
    }
    logged.until("a call was refused: operator 01 is locked", 1);
    let lines = logged.lines();
    let count = |part: &str| lines.iter().filter(|l| l.contains(" WARN ") && l.contains(part)).count();
    assert_eq!(count("a wrong password was typed operator=\"01\""), 1, "once a minute");
    assert_eq!(count("the operator is locked: too many wrong passwords operator=\"01\""), 1);
    assert_eq!(count("a call was refused: operator 01 is locked"), 1, "once a minute");
    assert!(wrong.iter().all(|password| logged.count(password) == 0));
}

#[test]
fn a_printers_trouble_is_logged_once_and_when_it_is_over() {
    let logged = Logged::start(false, |_| ());
    let (client, mut virtuals) = (logged.rig.connect(), logged.rig.virtuals());
    for out in [true, false, true] {
        virtuals.paper_out(out).unwrap();
        let state = if out { DeviceState::Degraded } else { DeviceState::Idle };
        let by = Instant::now() + SOON;
        let is_so = || {
            let devices = logged.rig.runtime.block_on(client.devices()).unwrap();
            devices.iter().any(|d| d.name == "printer" && d.state == state)
        };
        while !is_so() {
            assert!(Instant::now() < by, "{state:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    logged.until(" INFO printer: works again device=printer", 1);
    let count = (logged.count(" WARN printer: paper out device=printer"), logged.count("works again"));
    assert_eq!(count, (1, 1), "{:#?}", logged.lines());
}
