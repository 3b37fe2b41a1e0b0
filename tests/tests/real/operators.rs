//! Operators with the real programs: passwords typed at the virtual keypad, restarts, customer service's
//! code; and nothing of what was typed on the bus, in a log or on the disk.
use crate::common::*;
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{
    Fault, OperatorId, OperatorRequest, Request, Status, Terminal, config::Language, operator::Operators,
};
use payterm_tests::real::stack::{Stack, caller, until};
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Passwords that are typed here; none can be a time of day.
const CASHIER: &str = "482915";
const SUPERVISOR: &str = "739164";
const WRONG: [&str; 3] = ["860257", "974013", "691580"];
/// The service key: component 1, check value, component 2, check value, check value of the key.
const SERVICE_KEY: &str =
    "11111111111111111111111111111111\nEE23D8\n000102030405060708090A0B0C0D0E0F\nBE7ED6\n1D5B1D\n";

fn id(n: &str) -> OperatorId {
    OperatorId::new(n).expect("a number")
}

/// Digits, and `c` for the confirm key.
fn keys(virtuals: &mut VirtualControl, text: &str) {
    for k in text.chars() {
        let key = if k == 'c' { "confirm".to_owned() } else { k.to_string() };
        virtuals.key(&key, SOON).expect("key");
    }
}
/// Types as soon as the display asks for it.
fn answers(virtuals: &mut VirtualControl, asked: &str, text: &str) {
    let shown = virtuals.wait_screen(asked, Duration::from_secs(60));
    assert!(shown.as_ref().is_ok_and(|lines| lines.iter().any(|l| l.contains(asked))), "{asked}: {shown:?}");
    keys(virtuals, text);
}
async fn operators(client: &Client) -> Operators {
    client.operators(&caller()).await.expect("operators")
}
/// Until the terminal is in that state.
async fn is_so(client: &Client, what: &str, so: impl Fn(&Operators) -> bool) {
    for _ in 0..1_000 {
        if so(&operators(client).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {:?}", operators(client).await);
}
async fn asks(client: &Client, request: OperatorRequest) -> std::result::Result<(), Fault> {
    client.operator_session(&caller(), request).await
}
/// A session on the bus, and what is typed in it.
async fn session(
    client: &Client,
    request: OperatorRequest,
    typing: impl FnOnce() + Send + 'static,
) -> std::result::Result<(), Fault> {
    let typed = tokio::task::spawn_blocking(typing);
    let done = asks(client, request).await;
    typed.await.expect("the keys are typed");
    done
}
fn refused(client_said: std::result::Result<payterm_schema::RequestKey, Fault>) -> Fault {
    client_said.expect_err("it was refused")
}
fn wire(w: payterm_schema::request::RequestWire) -> Request {
    Request::try_from(w).expect("request")
}

/// `paytermctl` with something on its stdin.
fn ctl(args: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(payterm_tests::real::stack::programs()?.join("paytermctl"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("stdin")?.write_all(input.as_bytes())?;
    let out = child.wait_with_output()?;
    if !out.status.success() {
        return Err(format!("paytermctl {args:?}: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(String::from_utf8(out.stdout)?.trim().to_owned())
}

/// Customer service: a vault of its own with the same key.
struct Service(tempfile::TempDir);
impl Service {
    fn start() -> Result<Self> {
        let service = Self(tempfile::tempdir()?);
        service.vault("init", &[], "")?;
        service.vault("service-key", &[], SERVICE_KEY)?;
        Ok(service)
    }
    fn vault(&self, what: &str, more: &[&str], input: &str) -> Result<String> {
        let (state, key) = (self.0.path().join("service"), self.0.path().join("service.key"));
        let at = [
            "vault",
            what,
            "--state",
            state.to_str().ok_or("path")?,
            "--key-file",
            key.to_str().ok_or("path")?,
        ];
        ctl(&[at.as_slice(), more].concat(), input)
    }
    fn code(&self, challenge: &str) -> Result<String> {
        self.vault("service-code", &[challenge], "")
    }
}

async fn opened() -> Result<(Stack, Client, VirtualControl)> {
    let mut stack = Stack::start(|c, _| {
        c.operators.required = true;
        c.terminal.language = Language::En;
        c.log.level = "trace".into();
    })?;
    stack.stop_daemon()?;
    let (state, key) = (stack.state(), stack.dir.join("vault.key"));
    ctl(
        &[
            "vault",
            "service-key",
            "--state",
            state.to_str().ok_or("path")?,
            "--key-file",
            key.to_str().ok_or("path")?,
        ],
        SERVICE_KEY,
    )?;
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    is_so(&client, "the first operators", |o| o.operators.len() == 3).await;
    let virtuals = stack.virtuals()?;
    Ok((stack, client, virtuals))
}

/// The first logon of 01 at the keypad.
async fn log_on_first(client: &Client, virtuals: &mut VirtualControl) {
    answers(virtuals, "Please log on", "01c");
    answers(virtuals, "Operator 01", "111111c");
    answers(virtuals, "New password", &format!("{CASHIER}c"));
    answers(virtuals, "once more", &format!("{CASHIER}c"));
    is_so(client, "01 on duty", |o| o.on_duty == Some(id("01"))).await;
}

#[tokio::test]
async fn passwords_locks_restarts_and_the_service_code() -> Result<()> {
    let (mut stack, client, mut virtuals) = opened().await?;
    let service = Service::start()?;
    let pcap = stack.dir.join("bus.pcap");
    let mut monitor = Command::new("dbus-monitor")
        .args(["--address", &stack.bus, "--pcap"])
        .stdout(File::create(&pcap)?)
        .stderr(Stdio::null())
        .spawn()?;
    until("the monitor", || pcap.metadata().is_ok_and(|m| m.len() > 0))?;

    // Nothing is sold before somebody has logged on; nothing of it is on record.
    assert_eq!(refused(client.start(&caller(), wire(sale("o-0", "1.00"))).await), Fault::NotLoggedOn);
    assert!(matches!(client.recall(&caller(), &key("o-0")).await, Err(Fault::NotFound { .. })));
    log_on_first(&client, &mut virtuals).await;
    alice(&mut virtuals);
    let sold = pay(&client, sale("o-1", "10.00")).await;
    is(&sold, Status::Approved);
    assert_eq!(sold.operator, "01");

    // Three wrong passwords in a row, also over a kill: locked, and still locked.
    asks(&client, OperatorRequest::LogOff).await?;
    let mut typing = stack.virtuals()?;
    let gave_up = session(&client, OperatorRequest::LogOn { operator: id("01") }, move || {
        answers(&mut typing, "Operator 01", &format!("{}c", WRONG[0]));
        answers(&mut typing, "Wrong password", &format!("{}c", WRONG[1]));
    });
    assert!(tokio::time::timeout(Duration::from_secs(2), gave_up).await.is_err(), "it waits for the third");
    is_so(&client, "two wrong ones", |o| o.operators[1].wrong == 2).await;
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    let mut typing = stack.virtuals()?;
    let locked = session(&client, OperatorRequest::LogOn { operator: id("01") }, move || {
        answers(&mut typing, "Operator 01", &format!("{}c", WRONG[2]))
    });
    assert_eq!(locked.await, Err(Fault::OperatorLocked { operator: "01".into() }));
    stack.kill_daemon();
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert_eq!(
        asks(&client, OperatorRequest::LogOn { operator: id("01") }).await,
        Err(Fault::OperatorLocked { operator: "01".into() })
    );
    // The supervisor unlocks, whose own first password has to go first.
    let mut typing = stack.virtuals()?;
    let unlocked = session(&client, OperatorRequest::Unlock { operator: id("01") }, move || {
        answers(&mut typing, "Supervisor's password", "000000c");
        answers(&mut typing, "New password", &format!("{SUPERVISOR}c"));
        answers(&mut typing, "once more", &format!("{SUPERVISOR}c"));
    });
    unlocked.await?;
    let mut typing = stack.virtuals()?;
    session(&client, OperatorRequest::LogOn { operator: id("01") }, move || {
        answers(&mut typing, "Operator 01", &format!("{CASHIER}c"))
    })
    .await?;

    // A void asks for the supervisor.
    let mut virtuals = stack.virtuals()?;
    let k = start(&client, void("o-2", "o-1")).await;
    answers(&mut virtuals, "supervisor must allow", &format!("{SUPERVISOR}c"));
    let undone = client.wait(&caller(), &k, false).await?;
    is(&undone, Status::Approved);
    assert_eq!((undone.operator.as_str(), undone.approved_by.as_deref()), ("01", Some("00")));
    let page = String::from_utf8(stack.ctl(&["--lang", "en", "explain", "o-2"])?.stdout)?;
    assert!(page.contains("operator 00 allowed it"), "{page}");

    // A locked administrator locks the terminal; what customer service says opens it once.
    let mut last = None;
    for _ in 0..2 {
        let mut typing = stack.virtuals()?;
        let locked = session(&client, OperatorRequest::LogOn { operator: id("99") }, move || {
            answers(&mut typing, "Operator 99", &format!("{}c", WRONG[0]));
            answers(&mut typing, "Wrong password", &format!("{}c", WRONG[1]));
            answers(&mut typing, "one try left", &format!("{}c", WRONG[2]));
        });
        assert_eq!(locked.await, Err(Fault::TerminalLocked));
        assert_eq!(refused(client.start(&caller(), wire(sale("o-3", "1.00"))).await), Fault::TerminalLocked);
        is_so(&client, "a challenge", |o| o.locked.as_ref().is_some_and(|l| l.challenge.is_some())).await;
        let challenge = operators(&client).await.locked.and_then(|l| l.challenge).ok_or("no challenge")?;
        let screen = virtuals.wait_screen(&challenge, Duration::from_secs(60))?.join("|");
        assert!(screen.contains(&challenge) && screen.contains("400-000-0000"), "{screen}");
        if let Some(old) = last.replace(service.code(&challenge)?) {
            // Yesterday's code opens nothing today.
            keys(&mut virtuals, &format!("{old}c"));
            answers(&mut virtuals, "Wrong code", "");
            assert!(operators(&client).await.locked.is_some());
            break;
        }
        keys(&mut virtuals, &format!("{}c", last.as_deref().unwrap_or_default()));
        is_so(&client, "unlocked", |o| o.locked.is_none()).await;
        assert!(operators(&client).await.operators[2].must_change, "the administrator needs a new password");
    }
    // A restart does not open it.
    assert!(stack.stop_daemon()?);
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert!(operators(&client).await.locked.is_some());
    let listed = String::from_utf8(stack.ctl(&["--lang", "en", "operators", "list"])?.stdout)?;
    assert!(listed.contains("Administrator") && listed.contains("Terminal locked"), "{listed}");

    monitor.kill()?;
    monitor.wait()?;
    nothing_typed_is_left(&stack.dir, &pcap)
}

/// A run of digits that stands alone; microseconds of a log line do not count.
fn stands_alone(bytes: &[u8], at: usize, digits: &[u8]) -> bool {
    let before = at.checked_sub(1).and_then(|i| bytes.get(i)).copied();
    let after = bytes.get(at + digits.len()).copied();
    let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit());
    !digit(before) && !digit(after) && (before, after) != (Some(b'.'), Some(b'Z'))
}
fn finds(bytes: &[u8], password: &str) -> bool {
    let plain = password.as_bytes();
    let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let hex = hex::encode(plain).into_bytes();
    let alone =
        bytes.windows(plain.len()).enumerate().any(|(at, w)| w == plain && stands_alone(bytes, at, plain));
    alone || [wide, hex].iter().any(|form| bytes.windows(form.len()).any(|w| w == *form))
}
fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(t) if t.is_dir() => files(&entry.path(), out),
            Ok(t) if t.is_file() => out.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

fn nothing_typed_is_left(dir: &Path, pcap: &Path) -> Result<()> {
    let typed = [CASHIER, SUPERVISOR, WRONG[0], WRONG[1], WRONG[2]];
    for p in typed {
        assert!(
            finds(format!("key={p} ").as_bytes(), p) && finds(hex::encode(p).as_bytes(), p),
            "the search finds what it looks for"
        );
    }
    let mut all = Vec::new();
    files(dir, &mut all);
    for file in &all {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            // The daemon has taken it away since it was listed.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e.into()),
        };
        for p in typed {
            assert!(!finds(&bytes, p), "{} holds a password", file.display());
        }
    }
    // Nor key by key.
    let log = std::fs::read_to_string(dir.join("paytermd.log"))?;
    assert!(
        log.contains("TRACE") && !log.contains("Digit(") && !log.contains("\"key\":\""),
        "the log tells keys"
    );
    assert!(all.len() >= 5 && pcap.metadata()?.len() > 5_000, "{all:?}");
    Ok(())
}

/// Three people at the shop's shell: what `paytermctl operators` does.
#[tokio::test]
async fn the_shell_asks_and_the_keypad_answers() -> Result<()> {
    let (stack, client, mut virtuals) = opened().await?;
    log_on_first(&client, &mut virtuals).await;
    let programs = payterm_tests::real::stack::programs()?;
    let (bus, state) = (stack.bus.clone(), stack.state());
    let spawn = move |args: &[&str]| {
        let mut c = Command::new(programs.join("paytermctl"));
        c.arg("--bus")
            .arg(&bus)
            .args(args)
            .env("PAYTERM_STATE", &state)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        c.spawn()
    };
    let add = spawn(&["--json", "operators", "add", "02"])?;
    answers(&mut virtuals, "Supervisor's password", "000000c");
    answers(&mut virtuals, "New password", &format!("{SUPERVISOR}c"));
    answers(&mut virtuals, "once more", &format!("{SUPERVISOR}c"));
    answers(&mut virtuals, "Operator 02", "551208c");
    answers(&mut virtuals, "once more", "551208c");
    let out = add.wait_with_output()?;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8(out.stdout)?.trim(), r#"{"ok":true}"#);
    let all: serde_json::Value =
        serde_json::from_slice(&stack.ctl(&["--json", "operators", "list"])?.stdout)?;
    let named: Vec<_> =
        all["operators"].as_array().ok_or("a list")?.iter().filter_map(|o| o["operator"].as_str()).collect();
    assert_eq!((named, all["on_duty"].as_str()), (vec!["00", "01", "02", "99"], Some("01")));
    // The keys go through the shell as well: what a person tries by hand.
    let remove = spawn(&["operators", "remove", "02"])?;
    virtuals.wait_screen("Supervisor's password", Duration::from_secs(60))?;
    let typed = spawn(&["virtual", "keys", SUPERVISOR, "confirm"])?.wait_with_output()?;
    assert!(typed.status.success(), "{}", String::from_utf8_lossy(&typed.stderr));
    assert!(remove.wait_with_output()?.status.success());
    assert_eq!(operators(&client).await.operators.len(), 3);
    // Cancelled at the keypad, and refused for what it is.
    let password = spawn(&["--json", "operators", "password"])?;
    virtuals.wait_screen("present password", Duration::from_secs(60))?;
    virtuals.key("cancel", When::Now)?;
    let out = password.wait_with_output()?;
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8(out.stdout)?.contains(r#""fault":"NotDone""#));
    assert!(stack.ctl(&["operators", "logoff"])?.status.success());
    let late = stack.ctl(&["--json", "operators", "logoff"])?;
    assert!(String::from_utf8(late.stdout)?.contains("NotLoggedOn"));
    let property = busctl(
        &stack,
        &[
            "get-property",
            "org.payterm.Terminal1",
            payterm_dbus::ROOT,
            "org.payterm.Terminal1.Operators",
            "OnDuty",
        ],
    );
    assert_eq!(property.trim(), r#"s """#);
    Ok(())
}
