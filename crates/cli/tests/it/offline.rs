//! Commands that need no bus: completions, man pages, frames, the vault, the control of virtual devices.
use crate::common::*;
use payterm_devices::{
    Drivers, Env, Face, PrintJob, SourceEvent, VirtualBench, virtual_control::VirtualControlServer,
};
use payterm_primitives::{
    DesKey,
    tr31::{Header, Kbpk, KbpkAlgorithm, wrap},
};
use payterm_schema::{
    DeviceKind, Instrument, Pan, TerminalRecord,
    card::Interface,
    config::DeviceConfig,
    device::Key,
    host::EntryMode,
    paper::PrintResult,
    secret::{Pin, PinBlock, PinEntry},
};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};
use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

async fn run(arguments: &[&str], input: &str) -> Done {
    let mut c = paytermctl();
    c.args(arguments);
    finish(c, input).await
}

#[tokio::test]
async fn completions_man_pages_and_help_agree_on_the_exit_status() {
    for shell in ["bash", "zsh", "fish"] {
        let d = run(&["completions", shell], "").await;
        assert!(d.code == 0 && d.out.contains("paytermctl") && d.out.contains("sign-off"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let man = dir.path().join("man1");
    assert_eq!(run(&["man", man.to_str().unwrap()], "").await.code, 0);
    let page = fs::read_to_string(man.join("paytermctl.1")).unwrap();
    let help = run(&["--help"], "").await.out;
    for text in ["EXIT STATUS", "do not take the money again", "DBUS_SYSTEM_BUS_ADDRESS"] {
        assert!(page.replace('\\', "").contains(text), "{text}: {page}");
        assert!(help.contains(text), "{text}: {help}");
    }
    assert!(help.contains("\n   0  approved"), "{help}");
    assert!(help.starts_with("Talks to the payment terminal"), "{help}");
    for name in ["sale", "virtual-swipe", "vault-tmk-components"] {
        assert!(man.join(format!("paytermctl-{name}.1")).exists(), "{name}");
    }
    assert!(!man.join("paytermctl-man.1").exists(), "hidden");
}

#[tokio::test]
async fn frames_are_shown_masked() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/frames");
    let mut seen = 0;
    for file in fs::read_dir(golden).unwrap().map(|f| f.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".json") {
            continue;
        }
        let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let profile = if name.starts_with("demo-x919") { "demo-x919" } else { "unionpay" };
        let Some(frame) = json["hex"].as_str() else { continue };
        let d = run(&["frame", "decode", "--profile", profile, "-"], frame).await;
        assert_eq!(d.code, 0, "{name} {}", d.err);
        assert!(d.out.contains("MTI"), "{name}");
        for field in ["2", "35", "36", "52"] {
            if let Some(secret) = json["fields"][field].as_str() {
                assert!(!d.out.contains(&secret[..12]), "{name} F{field} {}", d.out);
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "golden frames with card data: {seen}");
    // F44 with a text is left out, all before and after it is shown; the code says that something is wrong.
    let frame = "00416000000000603100000000081000200000029000000001233030544552\
                 4d3030303130796f75722069737375657220686173206e6f206e756d6265722068657265";
    let d = run(&["frame", "decode", "--profile", "unionpay", frame], "").await;
    assert_eq!(d.code, 3, "{} {}", d.out, d.err);
    assert!(
        ["000123", "TERM0001", "30 bytes", "issuer has no"].iter().all(|t| d.out.contains(t)),
        "{}",
        d.out
    );
    for (arguments, code) in [
        (["--profile", "unionpay", "0x"], 2),
        (["--profile", "unionpay", "0003AABBCC"], 3),
        (["--profile", "nobody", "00"], 3),
    ] {
        let d = run(&[&["frame", "decode"][..], &arguments].concat(), "").await;
        assert_eq!((d.code, d.out.as_str()), (code, ""), "{}", d.err);
    }
}

struct Vaulted {
    _dir: tempfile::TempDir,
    state: PathBuf,
    key: PathBuf,
}
impl Vaulted {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { state: dir.path().join("state"), key: dir.path().join("key"), _dir: dir }
    }
    async fn run(&self, command: &[&str], input: &str) -> Done {
        let at = ["--state", self.state.to_str().unwrap(), "--key-file", self.key.to_str().unwrap()];
        run(&[&["vault"], command, &at].concat(), input).await
    }
}

// Their check values are made by payterm_primitives, which crates/vault tests against vectors of other
// makers.
const C1: &str = "0123456789ABCDEFFEDCBA9876543210";
const C2: &str = "1111111111111111222222222222222F";

#[tokio::test]
async fn a_tmk_enters_as_two_components_and_only_check_values_come_out() {
    let v = Vaulted::new();
    assert_eq!(v.run(&["status", "--account", "unionpay"], "").await.code, 3, "no state directory");
    assert_eq!(v.run(&["init"], "").await.code, 0);
    assert_eq!(v.run(&["init"], "").await.code, 0, "again does no harm");
    assert_eq!(fs::metadata(&v.key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&v.state).unwrap().permissions().mode() & 0o777, 0o700);
    let d = v.run(&["status", "--account", "unionpay", "--json"], "").await;
    assert_eq!((d.code, d.json()[0]["tmk_check_value"].is_null()), (0, true), "{}", d.err);

    let kcv = |key: &[u8]| hex::encode_upper(&DesKey::new(key).unwrap().kcv()[..3]);
    let (c1, c2) = (hex::decode(C1).unwrap(), hex::decode(C2).unwrap());
    let whole: Vec<u8> = c1.iter().zip(&c2).map(|(a, b)| a ^ b).collect();
    let good = kcv(&whole);
    let load = ["tmk-components", "--account", "unionpay"];
    let lines = |key_kcv: &str| {
        format!(
            "{C1}\n{}\n{}\n{}\n{key_kcv}\n",
            kcv(&c1),
            C2.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap()).collect::<Vec<_>>().join(" "),
            kcv(&c2)
        )
    };
    let d = v.run(&load, &lines("000000")).await;
    assert!(d.code == 3 && d.err.contains("check value is wrong"), "{}", d.err);
    let d = v.run(&load, &format!("{C1}\nxyz\n")).await;
    assert!(d.code == 2 && d.err.contains("check value of component 1"), "{}", d.err);
    let d = v.run(&load, &format!("{C1}\n")).await;
    assert!(d.code == 2 && d.err.contains("stdin ended"), "{}", d.err);
    let d = v.run(&load, &lines(&good)).await;
    assert_eq!(d.code, 0, "{}", d.err);
    for text in [&d.out, &d.err] {
        assert!(!text.contains(C1) && !text.contains(&hex::encode_upper(&whole)));
    }
    let d = v.run(&["status", "--account", "unionpay"], "").await;
    assert!(d.out.contains(&good), "{}", d.out);
    assert_eq!(v.run(&["tmk-block", "--account", "unionpay"], "B0000\n").await.code, 3, "no protection key");
}

#[tokio::test]
async fn customer_service_answers_challenges_from_a_vault_of_its_own() {
    let (terminal, service) = (Vaulted::new(), Vaulted::new());
    // Check values by OpenSSL's CMAC: crates/vault/tests/it/operators.rs.
    let lines = format!("{}\nEE23D8\n000102030405060708090A0B0C0D0E0F\nBE7ED6\n1D5B1D\n", "11".repeat(16));
    for v in [&terminal, &service] {
        assert_eq!(v.run(&["init"], "").await.code, 0);
        let d = v.run(&["service-code", "12345678"], "").await;
        assert!(d.code == 3 && d.err.contains("no service key"), "{}", d.err);
        let d = v.run(&["service-key"], &lines.replace("1D5B1D", "1D5B1E")).await;
        assert!(d.code == 3 && d.err.contains("check value is wrong"), "{}", d.err);
        let d = v.run(&["service-key"], &lines).await;
        assert_eq!(d.code, 0, "{}", d.err);
        assert!(!d.out.contains("11111111") && !d.err.contains("11111111"));
    }
    let code = service.run(&["service-code", "12345678", "--json"], "").await.json()["code"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(code.len() == 8 && code.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(
        terminal.run(&["service-code", "12345678"], "").await.out.trim(),
        code,
        "both sides have the same key"
    );
    for bad in ["1234567", "1234567x", ""] {
        assert_eq!(service.run(&["service-code", bad], "").await.code, 2, "{bad}");
    }
}

#[tokio::test]
async fn a_tmk_enters_in_a_key_block_under_a_protection_key_of_two_components() {
    const TMK: &str = "CA5D92598DCA48CE8A4C76361A9269E9";
    let header = |version| Header {
        version,
        usage: "K0".into(),
        algorithm: 'T',
        mode: 'D',
        key_version: "00".into(),
        exportability: 'N',
    };
    let tmk = hex::decode(TMK).unwrap();
    let good = hex::encode_upper(DesKey::new(&tmk).unwrap().kcv());
    for (name, algorithm, version) in [("aes", KbpkAlgorithm::Aes, 'D'), ("tdes", KbpkAlgorithm::Tdes, 'B')] {
        let v = Vaulted::new();
        assert_eq!(v.run(&["init"], "").await.code, 0);
        let kcv = |key: &[u8]| hex::encode_upper(Kbpk::new(algorithm, key).unwrap().kcv());
        let (c1, c2) = (hex::decode(C1).unwrap(), hex::decode(C2).unwrap());
        let whole: Vec<u8> = c1.iter().zip(&c2).map(|(a, b)| a ^ b).collect();
        let lines = |whole_kcv: &str| format!("{C1}\n{}\n{C2}\n{}\n{whole_kcv}\n", kcv(&c1), kcv(&c2));
        let load = ["kbpk-components", "--account", "unionpay", "--algorithm", name];
        let d = v.run(&load, &lines("00000000")).await;
        assert!(
            d.code == 3 && d.err.contains("key block protection key: the check value is wrong"),
            "{name} {}",
            d.err
        );
        let block = wrap(&Kbpk::new(algorithm, &whole).unwrap(), &header(version), &tmk).unwrap();
        let take = ["tmk-block", "--account", "unionpay"];
        assert_eq!(v.run(&take, &block).await.code, 3, "{name}: what was refused protects nothing");
        let d = v.run(&load, &lines(&kcv(&whole))).await;
        assert_eq!((d.code, d.out.trim()), (0, "ok"), "{name} {}", d.err);
        let shown = [d.out, d.err];
        assert!(shown.iter().all(|t| !t.contains(C1) && !t.contains(&hex::encode_upper(&whole))));

        // One character of the MAC is another.
        let (rest, last) = block.split_at(block.len() - 1);
        let forged = format!("{rest}{}", if last == "0" { "1" } else { "0" });
        let d = v.run(&take, &forged).await;
        assert!(d.code == 3 && !d.err.contains(rest), "{name} {}", d.err);
        let status = v.run(&["status", "--account", "unionpay", "--json"], "").await;
        assert!(status.json()[0]["tmk_check_value"].is_null(), "{name} {}", status.out);
        let d = v.run(&take, &format!("{block}\n")).await;
        assert_eq!((d.code, d.out.trim()), (0, "ok"), "{name} {}", d.err);
        let status = v.run(&["status", "--account", "unionpay", "--account", "other", "--json"], "").await;
        let json = status.json();
        let check_value = json[0]["tmk_check_value"].as_str().unwrap();
        assert!(check_value.len() >= 6 && good.starts_with(check_value), "{name} {check_value} {good}");
        assert!(json[1]["tmk_check_value"].is_null() && !status.out.contains(TMK), "{name} {}", status.out);
    }
}

#[tokio::test]
async fn the_vault_of_a_running_terminal_or_of_another_key_is_left_alone() {
    let v = Vaulted::new();
    assert_eq!(v.run(&["init"], "").await.code, 0);
    let before = fs::read(v.state.join("vault.sealed")).unwrap();
    let held = fs::File::options().write(true).open(v.state.join("lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let d = v.run(&["status", "--account", "unionpay"], "").await;
    assert!(d.code == 3 && d.err.contains("stop the terminal first"), "{}", d.err);
    drop(held);
    fs::write(&v.key, "42".repeat(31) + "43").unwrap();
    let d = v.run(&["status", "--account", "unionpay"], "").await;
    assert!(d.code == 3 && d.err.contains("another sealing key"), "{}", d.err);
    fs::set_permissions(&v.key, fs::Permissions::from_mode(0o644)).unwrap();
    let d = v.run(&["init"], "").await;
    assert!(d.code == 3 && d.err.contains("0600"), "{}", d.err);
    assert_eq!(fs::read(v.state.join("vault.sealed")).unwrap(), before);
}

#[tokio::test]
async fn commands_reach_the_virtual_devices_and_show_no_card() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let state = dir.path().to_str().unwrap().to_owned();
    let at = |command: &[&str]| {
        [&["virtual", "--state", &state], command].concat().iter().map(|s| s.to_string()).collect::<Vec<_>>()
    };
    let virtuals = async |command: &[&str], input: &str| {
        let all = at(command);
        run(&all.iter().map(String::as_str).collect::<Vec<_>>(), input).await
    };
    assert_eq!(virtuals(&["insert"], "").await.code, 4, "no socket");
    let _server =
        VirtualControlServer::start(VirtualBench::default(), &dir.path().join("virtual.sock")).unwrap();
    const PAN: &str = "6228480402564890018";
    let cards = dir.path().join("cards.toml");
    fs::write(&cards, format!("good = \"{PAN}=30121010000012345\"\n")).unwrap();
    let cards = cards.to_str().unwrap();
    // Nothing is plugged in: the bench refuses, and what it refuses is not repeated.
    for (command, input) in [
        (&["swipe", "-"][..], format!("{PAN}=3012101")),
        (&["--cards", cards, "swipe", "good"], String::new()),
        (&["scan", "-"], "134567890123456789".into()),
        (&["type", "-"], format!("{PAN}\n3012\n")),
        (&["pin", "-"], "135790".into()),
        (&["key", "confirm"], String::new()),
        (&["tap"], String::new()),
        (&["paper-out", "on"], String::new()),
        (&["screen"], String::new()),
    ] {
        let d = virtuals(command, &input).await;
        assert_eq!(d.code, 3, "{command:?} {} {}", d.out, d.err);
        assert!(
            !d.err.is_empty()
                && !d.err.contains(PAN)
                && !d.err.contains("135790")
                && !d.err.contains("1345678"),
            "{}",
            d.err
        );
    }
    let d = virtuals(&["--cards", cards, "swipe", "bad"], "").await;
    assert!(d.code == 3 && d.err.contains("good") && !d.err.contains(PAN), "{}", d.err);
    // A mistyped card number is not quoted, with or without a file of cards.
    for command in [&["swipe", PAN][..], &["--cards", cards, "swipe", PAN]] {
        let d = virtuals(command, "").await;
        assert!(d.code >= 2 && !d.err.contains(PAN), "{}", d.err);
    }
    let d = virtuals(&["devices"], "").await;
    assert_eq!(d.code, 0, "{}", d.err);
}

/// A terminal with a person at it: a PIN is asked for, not shown, and the terminal speaks again afterwards.
#[tokio::test]
async fn a_pin_typed_on_a_terminal_is_not_echoed() {
    let dir = tempfile::tempdir().unwrap();
    for (typed, code) in [("1357x\u{7f}90\n", 4), ("13\u{3}", 2)] {
        let mut master = fs::File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || fs::File::options().read(true).write(true).open(&name).unwrap();
        let mut c = paytermctl();
        c.args(["virtual", "pin", "-", "--socket", dir.path().join("none").to_str().unwrap()])
            .stdin(open())
            .stdout(open())
            .stderr(open());
        let (mut child, kept) = (c.spawn().unwrap(), open());
        drop(c);
        let mute = || !tcgetattr(&kept).unwrap().local_modes.contains(LocalModes::ECHO);
        until("asked without echo", mute).await;
        master.write_all(typed.as_bytes()).unwrap();
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(code));
        assert!(!mute(), "the terminal is left as it was");
        drop(kept);
        let mut shown = Vec::new();
        // A pty whose other side is closed ends with EIO.
        let _ = master.read_to_end(&mut shown);
        // The directory's name is made by chance, and may hold any digits.
        let shown = String::from_utf8(shown).unwrap().replace(dir.path().to_str().unwrap(), "");
        assert!(shown.contains("pin:") && !shown.contains("13"), "{shown}");
    }
}

/// Virtual devices on a bench, and its control socket.
struct Virtual {
    dir: tempfile::TempDir,
    env: Env,
    socket: PathBuf,
    _server: VirtualControlServer,
}
impl Virtual {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // The block tells which digits came for which card.
        let encipher = |_: &str, pin: &Pin, pan: &Pan| {
            assert_eq!((pin.reveal(), pan.reveal()), ("135790", "6228480402564890018"));
            Ok(PinBlock::iso0(*b"enclosed"))
        };
        let env = Env { bench: VirtualBench::default(), encipher: Arc::new(encipher), kernel: None };
        let socket = dir.path().join("virtual.sock");
        let _server = VirtualControlServer::start(env.bench.clone(), &socket).unwrap();
        Self { dir, env, socket, _server }
    }
    fn open(&self, kind: DeviceKind) -> Face {
        let config = DeviceConfig {
            command_timeout_ms: 1_000,
            ..DeviceConfig::new(&kind.name().replace('_', "-"), kind, "virtual")
        };
        Drivers::default().open(&config, &self.env).unwrap().remove(0)
    }
    async fn virtuals(&self, command: &[&str], input: &str) -> Done {
        run(&[&["virtual"], command, &["--socket", self.socket.to_str().unwrap()]].concat(), input).await
    }
}

#[tokio::test]
async fn commands_arrive_at_the_virtual_devices() {
    let v = Virtual::new();
    const TRACK: &str = "6228480402564890018=30121010000012345";
    let cards = v.dir.path().join("cards.toml");
    fs::write(&cards, format!("good = \"{TRACK}\"\n")).unwrap();
    let cards = cards.to_str().unwrap();

    let Face::MagneticReader(mut reader) = v.open(DeviceKind::MagneticReader) else { panic!() };
    let raw = format!(";{TRACK}?");
    for (command, input) in [
        (&["swipe", TRACK][..], ""),
        (&["swipe", "-", "--wait", "5"], TRACK),
        (&["swipe", "good", "--cards", cards], ""),
        (&["swipe", "-", "--cards", cards], "good"),
        (&["swipe", &raw], ""),
    ] {
        reader.arm(&[EntryMode::Swipe]).unwrap();
        let d = v.virtuals(command, input).await;
        assert_eq!((d.code, d.out.trim()), (0, "ok"), "{command:?} {}", d.err);
        let Some(SourceEvent::Instrument(Instrument::Swiped(tracks))) =
            reader.next(Duration::from_secs(5)).unwrap()
        else {
            panic!("{command:?}")
        };
        assert_eq!(tracks.track2.as_deref(), Some(TRACK));
    }
    reader.arm(&[EntryMode::Swipe]).unwrap();
    let d = v.virtuals(&["swipe", ";6228x", "--json"], "").await;
    assert!(
        d.code == 0 && d.json()["unreadable"].is_string() && !d.out.contains("6228"),
        "{} {}",
        d.out,
        d.err
    );
    reader.disarm().unwrap();
    drop(reader);

    let Face::Keypad(mut keypad) = v.open(DeviceKind::Keypad) else { panic!() };
    keypad.arm(&[EntryMode::Manual]).unwrap();
    assert_eq!(v.virtuals(&["key", "cancel"], "").await.code, 0);
    assert!(matches!(keypad.next(Duration::from_secs(5)).unwrap(), Some(SourceEvent::Key(Key::Cancel))));
    assert_eq!(v.virtuals(&["keys", "01", "confirm", "-", "cancel"], "40\n").await.code, 0);
    let typed: String = (0..6)
        .map(|_| match keypad.next(Duration::from_secs(5)).unwrap() {
            Some(SourceEvent::Key(Key::Digit(d))) => char::from(d),
            Some(SourceEvent::Key(Key::Confirm)) => 'c',
            Some(SourceEvent::Key(Key::Cancel)) => 'x',
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(typed, "01c40x");
    let d = v.virtuals(&["keys", "4a"], "").await;
    assert!(d.code == 2 && !d.err.contains("4a"), "{}", d.err);
    let d = v.virtuals(&["type", "-"], "6228480402564890018\n3012\n").await;
    assert_eq!(d.code, 0, "{}", d.err);
    let Some(SourceEvent::Instrument(Instrument::Typed { expiry, .. })) =
        keypad.next(Duration::from_secs(5)).unwrap()
    else {
        panic!()
    };
    assert_eq!(expiry, "3012");

    let Face::Display(mut display) = v.open(DeviceKind::Display) else { panic!() };
    display.show(&["请刷卡".to_owned(), "CNY 12.34\u{1b}[2J".to_owned()]).unwrap();
    let d = v.virtuals(&["screen", "--contains", "请刷卡"], "").await;
    assert!(d.code == 0 && d.out.contains("CNY 12.34") && !d.out.contains('\u{1b}'), "{} {}", d.out, d.err);
}

#[tokio::test]
async fn codes_chips_and_pins_arrive_at_the_virtual_devices() {
    let v = Virtual::new();
    let event =
        |source: &mut Box<dyn payterm_devices::Source>| match source.next(Duration::from_secs(5)).unwrap() {
            Some(SourceEvent::Instrument(instrument)) => instrument,
            other => panic!("{other:?}"),
        };
    const CODE: &str = "134567890123456789";
    let Face::Scanner(mut scanner) = v.open(DeviceKind::Scanner) else { panic!() };
    for (command, input) in [(&["scan", CODE][..], ""), (&["scan", "-", "--wait", "5"], CODE)] {
        scanner.arm(&[EntryMode::Code]).unwrap();
        let d = v.virtuals(command, input).await;
        assert_eq!((d.code, d.out.trim()), (0, "ok"), "{command:?} {}", d.err);
        let Instrument::Scanned(code) = event(&mut scanner) else { panic!("{command:?}") };
        assert_eq!(code.reveal(), CODE);
    }
    scanner.disarm().unwrap();
    // Nobody asks: refused, or kept for the next time.
    assert_eq!(v.virtuals(&["scan", CODE], "").await.code, 3);
    assert_eq!(v.virtuals(&["scan", CODE, "--queue"], "").await.code, 0);
    scanner.arm(&[EntryMode::Code]).unwrap();
    assert!(matches!(event(&mut scanner), Instrument::Scanned(code) if code.reveal() == CODE));

    for (command, found) in [("insert", Interface::Contact), ("tap", Interface::Contactless)] {
        let kind = if command == "tap" { DeviceKind::ContactlessReader } else { DeviceKind::ChipReader };
        let (Face::ChipReader(card) | Face::ContactlessReader(card)) = v.open(kind) else { panic!() };
        let mut reader = card.reader;
        if let Some(switch) = reader.switch() {
            switch.set(Some(&[EntryMode::Chip]));
        }
        assert_eq!(reader.wait(Duration::ZERO).unwrap(), None);
        assert_eq!(v.virtuals(&[command], "").await.code, 0, "{command}");
        assert_eq!(reader.wait(Duration::from_secs(5)).unwrap(), Some(found));
    }

    let Face::PinPad(mut pad) = v.open(DeviceKind::PinPad) else { panic!() };
    let pan = Pan::parse("6228480402564890018").unwrap();
    for (typed, input, ends) in [
        ("-", "135790", PinEntry::Block(PinBlock::iso0(*b"enclosed"))),
        ("135790", "", PinEntry::Block(PinBlock::iso0(*b"enclosed"))),
        ("cancel", "", PinEntry::Cancelled),
        ("bypass", "", PinEntry::Bypassed),
    ] {
        let pan = pan.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let mut digits = 0;
            let entry = pad.enter("unionpay", &pan, None, Duration::from_secs(20), &mut |n| digits = n);
            (pad, entry, digits)
        });
        let d = v.virtuals(&["pin", typed, "--wait", "10"], input).await;
        assert_eq!((d.code, d.out.trim()), (0, "ok"), "{typed} {}", d.err);
        let (back, entry, digits) = asked.await.unwrap();
        pad = back;
        assert_eq!(digits, if matches!(ends, PinEntry::Block(_)) { 6 } else { 0 }, "{typed}");
        assert_eq!(entry, ends, "{typed}");
    }
    for bad in ["123", "1234567890123", "12a4"] {
        let d = v.virtuals(&["pin", "-", "--queue"], bad).await;
        assert!(d.code != 0 && !d.err.contains(bad), "{}", d.err);
    }
}

#[tokio::test]
async fn papers_come_out_of_a_virtual_printer() {
    let v = Virtual::new();
    let Face::Printer(mut printer) = v.open(DeviceKind::Printer) else { panic!() };
    let mut print = |id: u64, text: &str| {
        printer.print(&PrintJob { id, escpos: Vec::new(), text: text.into(), drawer: false })
    };
    let d = v.virtuals(&["papers", "--json"], "").await;
    assert_eq!((d.code, d.json()), (0, serde_json::json!({ "total": 0, "papers": [] })), "{}", d.err);
    for (command, problem) in [("paper-out", "paper out"), ("printer", "offline")] {
        let (bad, good) = if command == "paper-out" { ("on", "off") } else { ("off", "on") };
        assert_eq!(v.virtuals(&[command, bad], "").await.code, 0);
        assert_eq!(print(1, "never"), PrintResult::NotStarted(problem.into()));
        assert_eq!(v.virtuals(&[command, good], "").await.code, 0);
    }
    assert_eq!(print(1, "商户存根\n CNY 12.34\u{1b}[2J"), PrintResult::Confirmed);
    // The second one comes out while it is waited for.
    let (waiting, ()) = tokio::join!(v.virtuals(&["papers", "--count", "2", "--wait", "20"], ""), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(print(2, "持卡人存根"), PrintResult::Confirmed);
    });
    assert_eq!(waiting.code, 0, "{}", waiting.err);
    let at = |part: &str| waiting.out.find(part).unwrap_or_else(|| panic!("{part}: {}", waiting.out));
    assert!(
        at("商户存根") < at("CNY 12.34") && at("CNY 12.34") < at("- - -") && at("- - -") < at("持卡人存根")
    );
    assert!(!waiting.out.contains('\u{1b}') && !waiting.out.contains("never"), "{}", waiting.out);
    let json = v.virtuals(&["papers", "--json"], "").await.json();
    assert_eq!((&json["total"], &json["papers"][1]), (&2.into(), &"持卡人存根".into()));
    assert_eq!(v.virtuals(&["papers", "--count", "3"], "").await.code, 3, "there is no third one");

    assert_eq!(v.virtuals(&["plug", "printer", "off"], "").await.code, 0);
    for (language, row) in [("en", "printer  printer  no"), ("zh-CN", "printer  printer  否")] {
        let d = v.virtuals(&["devices", "--lang", language], "").await;
        assert!(d.out.contains(row), "{}", d.out);
    }
}

/// A journal of the store's own making: proved with its key, read without, and found out when somebody
/// changed it.
#[tokio::test]
async fn a_journal_is_verified_without_the_terminal() {
    use payterm_journal::{Commit, Store};
    use payterm_schema::{Entry, Record, Time};
    let dir = tempfile::tempdir().unwrap();
    let (state, key_file) = (dir.path().join("state"), dir.path().join("key"));
    let key = payterm_vault::SealingKey::create_file(&key_file).unwrap().keyed_hash(payterm_journal::PURPOSE);
    let (store, _) =
        Store::open(payterm_journal::hold(&state).unwrap(), &state, key, payterm_journal::Options::default())
            .unwrap();
    let booted = |seq| Entry {
        seq,
        at: Time(1),
        txn: None,
        record: Record::Terminal(TerminalRecord::Booted { version: "1".into() }),
    };
    let durable = store
        .commit(Commit { records: vec![booted(1), booted(2)], ..Commit::default() })
        .await
        .unwrap()
        .unwrap();
    let (head, state_text, key_text) =
        (durable.head.to_string(), state.to_str().unwrap(), key_file.to_str().unwrap());
    let verify =
        async |more: &[&str]| run(&[&["journal", "verify", "--state", state_text], more].concat(), "").await;
    let d = verify(&["--key-file", key_text, "--head", &head, "--json"]).await;
    let said =
        serde_json::json!({ "records": 2, "keyed": true, "head": head, "known": true, "broken": null });
    assert_eq!((d.code, d.json()), (0, said), "{}", d.err);
    let d = verify(&["--lang", "en"]).await;
    assert!(d.code == 0 && d.out.contains(&format!("{head} (not proved: no key)")), "{}", d.out);
    assert_eq!(
        verify(&["--head", &format!("2:{}", "00".repeat(32))]).await.code,
        15,
        "another journal's head"
    );
    assert_eq!(verify(&["--head", "2"]).await.code, 2);
    store.close();
    let path = state.join("journal.db");
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(9).rposition(|w| w == b"\"booted\":").unwrap();
    let changed = [&bytes[..at], b"\"Booted\":", &bytes[at + 9..]].concat();
    let file = dir.path().join("copy.db");
    fs::write(&file, changed).unwrap();
    let d = verify(&["--key-file", key_text, "--file", file.to_str().unwrap(), "--lang", "en"]).await;
    assert!(d.code == 15 && d.out.contains("record 1: is not as it was written"), "{}", d.out);
    assert_eq!(
        run(&["journal", "verify", "--state", dir.path().to_str().unwrap()], "").await.code,
        3,
        "no journal there"
    );
}
