//! `payterm-acquirer` as its own process: start, ready file, control socket, kill -9, TLS, listings, no
//! secret in log or output.
use crate::common::{Till, soon};
use payterm_primitives::DesKey;
use payterm_schema::host::{CardSecrets, MessageKind};
use payterm_simulator::{Acquirer, Options, World, acquirer::AcquirerError};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

const PIN: Option<&str> = Some("123456");
const CODE: &str = "130000000000000777";

fn acquirer() -> Command {
    Command::new(env!("CARGO_BIN_EXE_payterm-acquirer"))
}
fn run(state: &Path, args: &[&str]) -> Output {
    acquirer().args(args).arg("--state").arg(state).output().unwrap()
}
fn text(o: &Output) -> String {
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    String::from_utf8(o.stdout.clone()).unwrap()
}
fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

struct Served(Child, BTreeMap<String, SocketAddr>);
impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
fn serve(state: &Path, log: &Path) -> Served {
    let ready = state.with_extension("ready");
    let _ = std::fs::remove_file(&ready);
    let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
    let child = acquirer()
        .args(["serve", "--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready)
        .arg("--state")
        .arg(state)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    soon("readiness", || ready.exists());
    Served(child, serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap())
}

#[test]
fn a_whole_life_with_a_kill_in_the_middle() {
    let dir = tempfile::tempdir().unwrap();
    let (state, log) = (dir.path().join("state"), dir.path().join("log"));
    let mut s = serve(&state, &log);
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join("control.sock"))), (0o700, 0o600));
    let world = World::demo().unwrap();
    let mut t = Till::at(world.clone(), s.1["unionpay"], "cup");
    assert_eq!(t.sign_in().code(), "00");
    let sale = t.sale("alice", 1_234, PIN);
    assert_eq!(sale.code(), "00");
    assert_eq!(t.sale("alice", 1_234, Some("908172")).code(), "55");
    assert_eq!(t.code_sale(CODE, 100).code(), "00");

    text(&run(&state, &["mishap", "drop-reply", "--next", "1", "--mti", "0200"]));
    assert!(text(&run(&state, &["mishaps"])).contains("drop-reply"));
    let (plan, secrets) = (t.sale_plan(500, true), t.card("alice", PIN));
    let built = t.build(MessageKind::Request, &plan, &secrets);
    t.send(built.bytes.reveal());
    assert!(t.silent());
    let refused = run(&state, &["mishap", "requirement", "12"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("digit: 0 to 9"));

    // A second acquirer on the same state is refused by name.
    let second = acquirer().arg("serve").arg("--state").arg(&state).output().unwrap();
    assert!(String::from_utf8_lossy(&second.stderr).contains("another acquirer runs on it"));

    // kill -9: what was answered is there again, keys included.
    s.0.kill().unwrap();
    s.0.wait().unwrap();
    let mut s = serve(&state, &log);
    t.addr = s.1["unionpay"];
    t.reconnect();
    assert_eq!(t.reverse(&plan, &secrets).code(), "00");
    assert_eq!(t.void("alice", 1_234, Till::original(&sale)).code(), "00");
    assert_eq!(t.sale("heidi-last-try", 100, Some("111111")).code(), "75");
    text(&run(&state, &["unblock", "heidi-last-try"]));
    assert_eq!(t.sale("heidi-last-try", 100, Some("654321")).code(), "00");

    let hold = t.run(payterm_schema::Kind::PreAuth, "grace-no-pin", 5_000, None, None);
    let (holds, auth) = (text(&run(&state, &["holds"])), hold.answer().auth_code.clone().unwrap());
    assert!(
        holds.contains("card:grace-no-pin")
            && holds.contains(" 50.00 CNY")
            && holds.contains(&format!("auth {auth}")),
        "{holds}"
    );
    let plan = t.plan(payterm_schema::Kind::StatusUpload);
    assert_eq!(t.exchange(MessageKind::Request, plan, &Default::default()).code(), "00");
    assert!(text(&run(&state, &["statuses"])).contains("cup        SN00000001"));

    let balances = text(&run(&state, &["balances"]));
    assert!(
        balances.lines().any(|l| l.starts_with("card:alice ") && l.contains(" 10000.00 CNY")),
        "{balances}"
    );
    assert!(
        balances.lines().any(|l| l.starts_with("card:heidi-last-try ") && l.contains(" 9999.00 CNY")),
        "{balances}"
    );
    let ledger: serde_json::Value = serde_json::from_str(&text(&run(&state, &["ledger", "--json"]))).unwrap();
    let kinds: Vec<&str> = ledger
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["kind"].as_str())
        .filter(|k| *k != "opening")
        .collect();
    assert_eq!(kinds, ["sale", "sale", "sale", "reversal", "void", "sale"]);
    assert!(text(&run(&state, &["check"])).ends_with("sound\n"));
    let seen = text(&run(&state, &["log", "--fields"]));
    assert!(seen.contains("621234*********0003") && seen.contains("DropReply"), "{seen}");
    assert!(text(&run(&state, &["stats"])).contains("frames 6"));

    // SIGTERM ends it orderly.
    signal(&s.0, "-TERM");
    let status = s.0.wait().unwrap();
    let mut out = String::new();
    s.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert!(status.success() && out.starts_with("listening ") && out.ends_with("stopped\n"), "{out}");
    assert!(!state.join("control.sock").exists());

    // Neither log nor masked listings hold a PAN, track, PIN, code or key.
    let keys = t.keys.as_ref().unwrap();
    // The state holds test PANs and keys, but no PIN, track or payment code.
    for file in std::fs::read_dir(&state).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for c in ["908172", "3012120000", CODE] {
            assert!(!bytes.windows(c.len()).any(|w| w == c.as_bytes()), "{c} in the state");
        }
    }
    let mut canaries =
        vec!["6212345678900000003".to_owned(), "908172".into(), CODE.into(), "3012120000".into()];
    canaries.extend([keys.pik.reveal(), keys.mak.reveal(), t.tmk.reveal()].map(hex::encode));
    let logged = std::fs::read_to_string(&log).unwrap().to_lowercase();
    assert!(logged.contains("message"), "the log is there");
    for c in canaries {
        for (name, hay) in [
            ("log", &logged),
            ("listing", &seen.to_lowercase()),
            ("ledger", &ledger.to_string()),
            ("balances", &balances),
        ] {
            assert!(!hay.contains(&c.to_lowercase()), "{c} in {name}");
        }
    }
}

/// A ledger that somebody touched is told from a sound one.
#[test]
fn check_fails_on_a_ledger_that_was_tampered_with() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    drop(
        Acquirer::start(World::demo().unwrap(), Options { state: Some(state.clone()), ..Options::default() })
            .unwrap(),
    );
    assert!(run(&state, &["check"]).status.success());
    let c = rusqlite::Connection::open(state.join("acquirer.db")).unwrap();
    for forbidden in ["UPDATE entry SET amount = 1", "DELETE FROM entry", "DELETE FROM posting"] {
        assert!(c.execute(forbidden, []).is_err(), "{forbidden}");
    }
    c.execute("UPDATE ledger_account SET balance = balance + 1 WHERE name = 'card:alice'", []).unwrap();
    let broken = run(&state, &["check"]);
    assert_eq!(broken.status.code(), Some(1));
    let shown = String::from_utf8(broken.stdout).unwrap();
    assert!(
        shown.contains("balance is not the sum of the entries: card:alice")
            && shown.contains("sum to 1, not 0"),
        "{shown}"
    );
}

#[test]
fn a_state_of_another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let c = rusqlite::Connection::open(dir.path().join("acquirer.db")).unwrap();
    c.pragma_update(None, "user_version", 7).unwrap();
    let e = Acquirer::start(
        World::demo().unwrap(),
        Options { state: Some(dir.path().into()), ..Options::default() },
    )
    .err()
    .unwrap();
    assert!(e.to_string().starts_with("state: version 7 is not the 3"), "{e}");
}

#[test]
fn two_of_one_state_in_one_process_are_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { state: Some(dir.path().join("s")), ..Options::default() };
    let first = Acquirer::start(World::demo().unwrap(), options()).unwrap();
    assert!(matches!(Acquirer::start(World::demo().unwrap(), options()), Err(AcquirerError::InUse(_))));
    drop(first);
    assert!(Acquirer::start(World::demo().unwrap(), options()).is_ok());
}

#[test]
fn tmk_components_give_the_tmk_and_cards_are_masked_until_revealed() {
    let out = acquirer().args(["tmk", "--account", "cup", "--json"]).output().unwrap();
    let v: serde_json::Value = serde_json::from_str(&text(&out)).unwrap();
    let part = |k: &str| hex::decode(v[k].as_str().unwrap()).unwrap();
    let (a, b) = (part("component_1"), part("component_2"));
    let tmk: Vec<u8> = a.iter().zip(&b).map(|(x, y)| x ^ y).collect();
    assert_eq!(hex::encode_upper(&tmk), "0123456789ABCDEFFEDCBA9876543210");
    for (key, kcv) in [(a, "kcv_1"), (b, "kcv_2"), (tmk, "kcv")] {
        assert!(DesKey::new(&key).unwrap().kcv_fits(&part(kcv)), "{kcv}");
    }
    assert!(text(&acquirer().args(["tmk", "--account", "cup"]).output().unwrap()).starts_with("TEST KEY"));
    assert_eq!(acquirer().args(["tmk", "--account", "nobody"]).output().unwrap().status.code(), Some(2));
    let masked = text(&acquirer().arg("cards").output().unwrap());
    assert!(
        masked.contains("621234*********0003")
            && !masked.contains("6212345678900000003")
            && !masked.contains("654321")
    );
    assert!(
        text(&acquirer().args(["cards", "--reveal"]).output().unwrap()).contains("6212345678900000003=3012")
    );
}

#[test]
fn a_world_of_ones_own_and_a_bad_one() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("world.toml");
    let account = r#"
        [[account]]
        name = "cup"
        profile = "unionpay"
        mid = "SHORT"
        tid = "TEST0001"
        currency = "CNY"
        acquirer_id = "1"
        tmk = "0123456789ABCDEFFEDCBA9876543210"
    "#;
    std::fs::write(&rules, account).unwrap();
    let out = acquirer()
        .args(["serve", "--rules"])
        .arg(&rules)
        .arg("--state")
        .arg(dir.path().join("s"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("15 printable ASCII characters"));
}

#[test]
fn tls_is_spoken_and_plain_text_is_not_taken() {
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring, pki_types::ServerName,
    };
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = Options {
        tls: Some((cert, key.clone())),
        frame: std::time::Duration::from_secs(2),
        ..Options::fast()
    };
    let r = Acquirer::start(World::demo().unwrap(), options).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = ClientConnection::new(
        config.with_root_certificates(roots).with_no_client_auth().into(),
        ServerName::try_from("localhost").unwrap(),
    )
    .unwrap();
    let mut till = Till::new(&r, "cup");
    let plan = till.plan(payterm_schema::Kind::SignIn);
    let built = till.build(MessageKind::Request, &plan, &CardSecrets::default());
    let mut tls =
        StreamOwned::new(client, std::net::TcpStream::connect(r.addr("unionpay").unwrap()).unwrap());
    std::io::Write::write_all(&mut tls, built.bytes.reveal()).unwrap();
    let mut head = [0; 2];
    tls.read_exact(&mut head).unwrap();
    let mut frame = head.to_vec();
    frame.resize(2 + usize::from(u16::from_be_bytes(head)), 0);
    tls.read_exact(&mut frame[2..]).unwrap();
    assert_eq!(payterm_hosts::read(&till.profile, &frame, &till.mak).unwrap().answer.code, "00");
    till.send(built.bytes.reveal());
    till.stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut alert = Vec::new();
    let _ = till.stream.read_to_end(&mut alert);
    assert!(alert.len() < 16, "no more than a TLS alert comes back");
    assert_eq!(r.stats().frames, 1);
    let bad = Options { tls: Some((key.clone(), key)), ..Options::fast() };
    assert!(matches!(Acquirer::start(World::demo().unwrap(), bad), Err(AcquirerError::Tls { .. })));
}

#[test]
fn control_lines_that_are_no_commands_are_answered_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("s");
    let _r =
        Acquirer::start(World::demo().unwrap(), Options { state: Some(state.clone()), ..Options::default() })
            .unwrap();
    let mut s = std::os::unix::net::UnixStream::connect(state.join("control.sock")).unwrap();
    for line in ["{}", "nonsense", r#"{"cmd":"mishap","mishap":{"type":"explode"}}"#] {
        std::io::Write::write_all(&mut s, format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(&s).read_line(&mut answer).unwrap();
        assert!(answer.starts_with(r#"{"ok":false,"error":"#), "{answer}");
    }
    std::io::Write::write_all(&mut s, &[b'x'; 20_000]).ok();
    let mut rest = Vec::new();
    let _ = s.read_to_end(&mut rest);
    assert!(rest.is_empty(), "an endless line closes the connection");
}
