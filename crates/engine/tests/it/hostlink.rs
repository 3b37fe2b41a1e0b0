//! One host link against real sockets: the acquirer simulator, TLS, and hosts that misbehave.
use actix::Actor;
use payterm_engine::{
    clock::Clock,
    hostlink::{HostLink, Line, Transmit, connector},
    mishap::Mishaps,
    supervise::{Child, Tasks, keep},
};
use payterm_hosts::{Profile, Station};
use payterm_journal::Store;
use payterm_schema::{
    Batch, HostEvent, HostMessage, Kind, Stan, Time,
    config::{AccountConfig, NOT_PLAIN, PlainLine, TlsConfig},
    host::{CardSecrets, EntryMode, FrameTrace, KeysVerdict, MessageKind, Plan, SecretsFrom},
    time::Millis,
};
use payterm_simulator::{Acquirer, Mishap, World};
use payterm_vault::{SealingKey, Vault};
use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::{Duration, Instant},
};
use tempfile::TempDir;

struct Rig {
    dir: TempDir,
    config: AccountConfig,
    tls: Option<TlsConfig>,
    profile: Profile,
}
impl Rig {
    fn new(address: String) -> Self {
        let mut config = payterm_engine::demo::config(0).accounts.remove(0);
        config.address = address;
        Self {
            dir: tempfile::tempdir().unwrap(),
            config,
            tls: None,
            profile: Profile::builtin("unionpay").unwrap(),
        }
    }

    /// Runs `test` with the link; answers what came late.
    fn run<F: Future<Output = ()>>(self, test: impl FnOnce(Arc<Link>) -> F) -> Vec<(u64, HostEvent)> {
        let mut config = payterm_engine::demo::config(0);
        config.store.dir = self.dir.path().to_owned();
        payterm_engine::demo::prepare(&mut config).unwrap();
        let vault = Arc::new(
            Vault::open(self.dir.path(), SealingKey::from_file(&self.dir.path().join("vault.key")).unwrap())
                .unwrap(),
        );
        let held = payterm_journal::hold(self.dir.path()).unwrap();
        let (store, _) =
            Store::open(held, self.dir.path(), vault.hasher(payterm_journal::PURPOSE), Default::default())
                .unwrap();
        let late: Arc<Mutex<Vec<(u64, HostEvent)>>> = Arc::default();
        let heard = late.clone();
        actix::System::new().block_on(async {
            let clock = Arc::new(Clock::start());
            let line = Arc::new(Line {
                profile: Arc::new(self.profile),
                station: Station {
                    mid: self.config.mid.to_string(),
                    tid: self.config.tid.to_string(),
                    currency: self.config.currency,
                    nii: self.config.nii,
                    test: true,
                },
                serial: "payterm-test".into(),
                tls: self.tls.as_ref().map(|t| connector(t, &self.config.address).unwrap()).into(),
                vault: vault.clone(),
                store,
                clock: clock.clone(),
                late: Arc::new(move |tag, event| late.lock().unwrap().push((tag, event))),
                mishaps: Mishaps::default(),
                kept: Default::default(),
                keys_refused: Default::default(),
                last_sign_in: Default::default(),
                target: Default::default(),
                untrusted: Default::default(),
                importing: Default::default(),
                tasks: Tasks::default(),
                config: self.config,
            });
            let child = Child::default();
            keep(
                &line.tasks.clone(),
                "link".into(),
                child.clone(),
                {
                    let line = line.clone();
                    move |life| HostLink { life, line: line.clone() }.start()
                },
                || (),
            );
            tokio::task::yield_now().await;
            test(Arc::new(Link { child, line, clock, vault, machine: Mutex::new(Some(Arc::default())) }))
                .await;
        });
        Arc::try_unwrap(heard).map(|m| m.into_inner().unwrap()).unwrap_or_else(|m| m.lock().unwrap().clone())
    }
}

struct Link {
    child: Child<HostLink>,
    line: Arc<Line>,
    clock: Arc<Clock>,
    vault: Arc<Vault>,
    /// Stands for the machine that wants its frames sent.
    machine: Mutex<Option<Arc<()>>>,
}
impl Link {
    async fn sign_in(&self, tag: u32, within_ms: i64) -> HostEvent {
        self.send(Kind::SignIn, tag, within_ms).await
    }
    async fn send(&self, kind: Kind, tag: u32, within_ms: i64) -> HostEvent {
        let now: Time = self.clock.now();
        let plan = Plan {
            kind,
            stan: Stan::new(tag).unwrap(),
            batch: Batch::FIRST,
            // Odd tags of a sale lack what every sale carries.
            amount: (kind == Kind::Sale && tag.is_multiple_of(2))
                .then(|| payterm_schema::Money::new(100, payterm_schema::Currency::CNY).unwrap()),
            mode: (kind == Kind::Sale).then_some(EntryMode::Manual),
            pin: false,
            track: false,
            wallet: None,
            expiry: None,
            fallback: false,
            card_sequence: None,
            original: None,
            operator: "01".into(),
            at: now,
            offset: Default::default(),
            auth_code: None,
            tip: None,
            scheme: None,
            settlement: None,
            offline_authority: None,
            icc: None,
            download: None,
        };
        let account = payterm_schema::AccountId::new("cup").unwrap();
        let message = HostMessage {
            account,
            tag: tag.into(),
            message_kind: MessageKind::Request,
            plan,
            secrets: if kind == Kind::Sale {
                SecretsFrom::Memory(CardSecrets {
                    pan: payterm_schema::Pan::parse("6212345678900000003").ok(),
                    ..CardSecrets::default()
                })
            } else {
                SecretsFrom::None
            },
            deadline: now + Millis(within_ms),
            log: Some("t".into()),
        };
        let wanted = self.machine.lock().unwrap().as_ref().map(Arc::downgrade).unwrap_or_default();
        self.child
            .ask(Transmit { message: Box::new(message), handed: Arc::new(AtomicBool::new(false)), wanted })
            .await
            .unwrap()
    }
}
fn acquirer(options: payterm_simulator::Options) -> (payterm_simulator::Running, String) {
    let a = Acquirer::start(World::demo().unwrap(), options).unwrap();
    let address = a.addr("unionpay").unwrap().to_string();
    (a, address)
}
/// A host that does this with its first connection.
fn host(act: impl FnOnce(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || act(listener.accept().unwrap().0));
    address
}

/// The next frame that is no keep-alive.
fn hear(profile: &Profile, s: &mut std::net::TcpStream) -> Vec<u8> {
    let mut frame = Vec::new();
    while frame.is_empty() || payterm_hosts::is_keep_alive(profile, &frame) {
        frame.clear();
        let length = loop {
            match payterm_hosts::frame_len(profile, &frame).unwrap() {
                Some(length) => break length,
                None => frame.push(0),
            }
            let last = frame.len() - 1;
            s.read_exact(&mut frame[last..]).unwrap();
        };
        let prefix = frame.len();
        frame.resize(length, 0);
        s.read_exact(&mut frame[prefix..]).unwrap();
    }
    frame
}

/// Hears one request: a success without a MAC as its reply, with changes made to it.
fn reply_to(
    profile: &Profile,
    s: &mut std::net::TcpStream,
    change: impl FnOnce(&mut payterm_hosts::iso8583::Message),
) -> Vec<u8> {
    let d = payterm_hosts::decode(profile, &hear(profile, s)).unwrap();
    let answer: payterm_schema::HostAnswer = serde_json::from_str(
        r#"{"code":"00","mac":"not_used","keys":"none","amount":null,"time":null,"date":null,
            "settlement_date":null,"acquirer":null,"rrn":null,"auth_code":null,"issuer_id":null,
            "acquirer_id":null,"balance":null,"batch":null,"scheme":null,"texts":[],"fee":null,
            "requirement":0}"#,
    )
    .unwrap();
    let mut m = payterm_hosts::reply_message(profile, &d.message, &answer, None).unwrap();
    change(&mut m);
    let reply = payterm_hosts::encode(profile, &d.envelope.reply(profile, 0), &mut m, None).unwrap();
    reply.reveal().to_vec()
}

#[test]
fn keys_are_in_the_vault_before_the_answer_is_told() {
    let (_a, address) = acquirer(payterm_simulator::Options::fast());
    Rig::new(address).run(|link| async move {
        assert!(!link.vault.has_working_keys("cup"));
        let event = link.sign_in(1, 5_000).await;
        let HostEvent::Reply { answer, trace } = event else { panic!("{event:?}") };
        assert_eq!((answer.code.as_str(), &answer.keys), ("00", &KeysVerdict::Loaded));
        assert!(link.vault.has_working_keys("cup"));
        assert!(!trace.sent.is_empty() && !trace.received.is_empty());
    });
}

#[test]
fn nobody_listens_is_not_sent() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    Rig::new(address).run(|link| async move {
        let event = link.sign_in(1, 5_000).await;
        assert!(matches!(&event, HostEvent::NotSent { why } if why.contains("refused")), "{event:?}");
    });
}

#[test]
fn an_account_without_a_key_cannot_build_its_frame() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    Rig::new(address).run(|link| async move {
        // A sale carries a MAC, and nobody has signed in: a sign-in helps.
        let event = link.send(Kind::Sale, 2, 5_000).await;
        assert!(matches!(&event, HostEvent::NotSent { why } if why.contains("MAC")), "{event:?}");
        // A sale without an amount is none, now and later.
        let event = link.send(Kind::Sale, 1, 5_000).await;
        assert!(matches!(event, HostEvent::Unbuildable { .. }), "{event:?}");
    });
    assert_eq!(a.stats().connections, 0);
}

#[test]
fn silence_and_a_closed_connection_are_no_reply() {
    let address = host(|mut s| {
        let mut all = [0; 4096];
        while s.read(&mut all).is_ok_and(|n| n > 0) {}
    });
    Rig::new(address).run(|link| async move {
        let began = Instant::now();
        let event = link.sign_in(1, 400).await;
        let HostEvent::NoReply { why, trace } = &event else { panic!("{event:?}") };
        assert!(why == "time-out" && !trace.sent.is_empty(), "{event:?}");
        assert!((400..2_000).contains(&began.elapsed().as_millis()));
    });
    let address = host(|mut s| drop(s.read(&mut [0; 10])));
    Rig::new(address).run(|link| async move {
        let event = link.sign_in(1, 5_000).await;
        let HostEvent::NoReply { why, .. } = &event else { panic!("{event:?}") };
        assert!(why.contains("closed") || why.contains("send"), "{event:?}");
    });
}

/// It is told at once, with the field and all that could be read.
#[test]
fn an_answer_that_cannot_be_read_is_told_with_its_fields() {
    let loose = include_str!("../../../hosts/profiles/unionpay.toml")
        .replace("39 = { name = \"response code\", class = \"an\"", "39 = { name = \"x\", class = \"b\"");
    let profile = Profile::parse(&loose).unwrap();
    let address = host(move |mut s| {
        let reply = reply_to(&profile, &mut s, |m| m.set(39, b"0\0").unwrap());
        s.write_all(&reply).unwrap();
        while s.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
    });
    Rig::new(address).run(|link| async move {
        let began = Instant::now();
        let event = link.sign_in(1, 5_000).await;
        let HostEvent::Unusable { why, trace } = &event else { panic!("{event:?}") };
        assert_eq!(why, "F39: a character is no letter, digit or space");
        let row = |n: &str| trace.received.iter().find(|r| *r.field == *n).map(|r| r.value.as_str());
        assert_eq!((row("F11"), row("F60").is_some(), trace.sent.is_empty()), (Some("000001"), true, false));
        assert!(row("F39").unwrap().contains("2 bytes"), "{trace:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "nobody waits for another one");
    });
}

/// At any moment, alone and in pieces; one is neither an answer nor a reason to wait longer.
#[test]
fn a_length_of_zero_is_a_keep_alive() {
    for echo in [false, true] {
        let mut profile = Profile::builtin("unionpay").unwrap();
        let theirs = profile.clone();
        if echo {
            profile.frame.keep_alive = payterm_hosts::KeepAlive::Echo;
        }
        let (tell, echoed) = std::sync::mpsc::channel();
        let address = host(move |mut s| {
            s.set_nodelay(true).unwrap();
            s.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            s.write_all(&[0, 0, 0]).unwrap();
            let reply = reply_to(&theirs, &mut s, |_| ());
            s.write_all(&[0, 0, 0]).unwrap();
            s.write_all(&reply).unwrap();
            s.write_all(&[0, 0]).unwrap();
            hear(&theirs, &mut s);
            s.write_all(&[0, 0]).unwrap();
            tell.send(s.read_exact(&mut [0; 2]).is_ok()).unwrap();
            while s.write_all(&[0, 0]).is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut rig = Rig::new(address);
        rig.config.persistent = true;
        rig.profile = profile;
        rig.run(|link| async move {
            let event = link.sign_in(1, 5_000).await;
            assert!(matches!(event, HostEvent::Reply { .. }), "{event:?}");
            let began = Instant::now();
            let event = link.sign_in(2, 400).await;
            assert!(matches!(&event, HostEvent::NoReply { why, .. } if why == "time-out"), "{event:?}");
            assert!((400..2_000).contains(&began.elapsed().as_millis()));
        });
        assert_eq!(echoed.recv().unwrap(), echo);
    }
}

#[test]
fn garbage_is_no_answer() {
    let address = host(|mut s| {
        assert!(s.read(&mut [0; 4096]).unwrap() > 0);
        s.write_all(&[0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).unwrap();
        s.write_all(&[255; 200]).unwrap();
        std::thread::sleep(Duration::from_secs(2));
    });
    Rig::new(address).run(|link| async move {
        let event = link.sign_in(1, 1_000).await;
        let HostEvent::Unusable { why, trace } = &event else { panic!("{event:?}") };
        assert!(why.starts_with("frame length") && *trace.received[0].field == *"FRAME", "{event:?}");
    });
}

#[test]
fn a_late_answer_is_told_once_after_no_reply() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    a.mishaps().next(Mishap::LateReply { ms: 700 }).unwrap();
    let late = Rig::new(address).run(|link| async move {
        let event = link.sign_in(7, 300).await;
        assert!(matches!(event, HostEvent::NoReply { .. }), "{event:?}");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(link.vault.has_working_keys("cup"), "the host has these keys now");
    });
    let whole = |t: &FrameTrace| !t.sent.is_empty() && !t.received.is_empty();
    assert!(
        matches!(&late[..], [(7, HostEvent::Late { answer, trace })] if answer.code == "00" && whole(trace)),
        "{late:?}"
    );
}

/// The host has other keys by then.
#[test]
fn late_keys_are_not_taken_after_another_sign_in_has_left() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    a.mishaps().next(Mishap::LateReply { ms: 700 }).unwrap();
    a.mishaps().next(Mishap::DropReply).unwrap();
    let late = Rig::new(address).run(|link| async move {
        for tag in [1, 2] {
            assert!(matches!(link.sign_in(tag, 250).await, HostEvent::NoReply { .. }));
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!link.vault.has_working_keys("cup"));
    });
    let none = |a: &payterm_schema::HostAnswer| a.keys == KeysVerdict::None;
    assert!(matches!(&late[..], [(1, HostEvent::Late { answer, .. })] if none(answer)), "{late:?}");
}

#[test]
fn a_persistent_connection_is_used_again_and_made_anew() {
    let (a, address) = acquirer(payterm_simulator::Options {
        idle: Duration::from_millis(300),
        ..payterm_simulator::Options::fast()
    });
    let mut rig = Rig::new(address);
    rig.config.persistent = true;
    rig.run(|link| async move {
        for tag in 1..=3 {
            assert!(matches!(link.sign_in(tag, 5_000).await, HostEvent::Reply { .. }));
        }
        assert_eq!(a.stats().connections, 1);
        // The host closes it for idleness.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(matches!(link.sign_in(4, 5_000).await, HostEvent::Reply { .. }));
        assert_eq!(a.stats().connections, 2);
    });
}

/// A path that swallows everything without a word must not swallow the next message too.
#[test]
fn a_persistent_connection_that_fell_silent_is_not_used_again() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    a.mishaps().next(Mishap::LateReply { ms: 900 }).unwrap();
    let mut rig = Rig::new(address);
    rig.config.persistent = true;
    let late = rig.run(|link| async move {
        assert!(matches!(link.sign_in(1, 300).await, HostEvent::NoReply { .. }));
        assert!(matches!(link.sign_in(2, 5_000).await, HostEvent::Reply { .. }));
        assert_eq!(a.stats().connections, 2);
        assert!(matches!(link.sign_in(3, 5_000).await, HostEvent::Reply { .. }));
        assert_eq!(a.stats().connections, 2);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
    });
    assert!(
        matches!(&late[..], [(1, HostEvent::Late { .. })]),
        "the old one still hears its late answer: {late:?}"
    );
}

/// The machine has given it up and reverses it, or was rebuilt and does so: it must not leave behind its
/// reversal.
#[test]
fn a_frame_that_nobody_waits_for_does_not_leave() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    let mut rig = Rig::new(address);
    rig.config.persistent = true;
    rig.run(|link| async move {
        assert!(matches!(link.sign_in(1, 5_000).await, HostEvent::Reply { .. }));
        assert!(matches!(link.sign_in(2, 0).await, HostEvent::NotSent { .. }), "its time is over");
        link.machine.lock().unwrap().take();
        assert!(matches!(link.sign_in(3, 5_000).await, HostEvent::NotSent { .. }), "its machine is gone");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(a.stats().frames, 1);
    });
}

/// The next machine signs in itself: an answer to the one before brings keys that are older than those.
#[test]
fn keys_for_a_machine_that_is_gone_are_not_taken() {
    let (a, address) = acquirer(payterm_simulator::Options::fast());
    a.mishaps().next(Mishap::Delay { ms: 400 }).unwrap();
    Rig::new(address).run(|link| async move {
        let gone = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            link.machine.lock().unwrap().take();
        };
        let (event, ()) = tokio::join!(link.sign_in(1, 5_000), gone);
        assert!(
            matches!(&event, HostEvent::Reply { answer, .. } if answer.keys == KeysVerdict::None),
            "{event:?}"
        );
        assert!(!link.vault.has_working_keys("cup"));
    });
}

/// In the demo-x919 profile an echo has the message type of a sign-in.
#[test]
fn keys_come_from_a_sign_in_only() {
    let profile = Profile::builtin("demo-x919").unwrap();
    let address = host(move |mut s| {
        let reply = reply_to(&profile, &mut s, |m| m.set(profile.keys.field, [7; 40]).unwrap());
        s.write_all(&reply).unwrap();
        assert_eq!(s.read(&mut [0; 64]).unwrap_or(0), 0);
    });
    let mut rig = Rig::new(address);
    rig.profile = Profile::builtin("demo-x919").unwrap();
    rig.run(|link| async move {
        let event = link.send(Kind::Echo, 1, 5_000).await;
        let HostEvent::Reply { answer, .. } = event else { panic!("{event:?}") };
        assert_eq!((answer.code.as_str(), answer.keys), ("00", KeysVerdict::None), "they went to the vault");
    });
}

/// (CA, certificate, key) as PEM files.
fn identity(dir: &std::path::Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let cert = rcgen::CertificateParams::new(vec!["acquirer.test".into()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let put = |part: &str, text: String| {
        let path = dir.join(format!("{name}-{part}.pem"));
        std::fs::write(&path, text).unwrap();
        path
    };
    (put("ca", ca_cert.pem()), put("cert", cert.pem()), put("key", key.serialize_pem()))
}

#[test]
fn tls_trusts_only_the_configured_ca_and_name() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, cert, key) = identity(dir.path(), "good");
    let (other_ca, ..) = identity(dir.path(), "other");
    let (_a, address) =
        acquirer(payterm_simulator::Options { tls: Some((cert, key)), ..payterm_simulator::Options::fast() });
    let run = |ca: PathBuf, name: &str| {
        let mut rig = Rig::new(address.clone());
        rig.tls = Some(TlsConfig { ca, server_name: Some(name.into()), cert: None, key: None });
        let heard = Arc::new(Mutex::new(None));
        let into = heard.clone();
        rig.run(|link| async move { *into.lock().unwrap() = Some(link.sign_in(1, 5_000).await) });
        heard.lock().unwrap().take().unwrap()
    };
    let good = run(ca.clone(), "acquirer.test");
    assert!(matches!(good, HostEvent::Reply { .. }), "{good:?}");
    for (event, words) in [(run(other_ca, "acquirer.test"), "tls.ca"), (run(ca, "bank.test"), "bank.test")] {
        assert!(matches!(&event, HostEvent::Untrusted { why } if why.contains(words)), "{event:?}");
    }
}

/// What a name resolves to is judged anew for each connection, and a laboratory is no exception.
#[test]
fn plain_tcp_goes_to_this_machine_only() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let why = |address: String, line: Option<PlainLine>| {
        let mut rig = Rig::new(address);
        (rig.config.line, rig.config.connect_timeout_ms) = (line, 300);
        let told = Arc::new(Mutex::new(String::new()));
        let out = told.clone();
        rig.run(|link| async move {
            let event = link.sign_in(1, 400).await;
            let (HostEvent::NotSent { why } | HostEvent::NoReply { why, .. }) = event else {
                panic!("{event:?}")
            };
            *out.lock().unwrap() = why;
        });
        told.lock().unwrap().clone()
    };
    for far in ["192.0.2.1", "[::ffff:192.0.2.1]", "0.0.0.0"] {
        let plain = why(format!("{far}:{port}"), None);
        assert!(plain.contains(NOT_PLAIN), "{plain}");
    }
    let private = why(format!("192.0.2.1:{port}"), Some(PlainLine::Private));
    assert!(!private.contains(NOT_PLAIN), "{private}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "0.0.0.0 is this machine, but not by its loopback");
    assert_eq!(why(format!("localhost:{port}"), None), "time-out");
}

/// A kept line ends when nobody waits on it; its exchange does not.
#[test]
fn other_certificates_are_for_the_next_connection() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, cert, key) = identity(dir.path(), "good");
    let (other_ca, ..) = identity(dir.path(), "other");
    let (acquirer, address) =
        acquirer(payterm_simulator::Options { tls: Some((cert, key)), ..payterm_simulator::Options::fast() });
    let mut rig = Rig::new(address.clone());
    let of = |ca| TlsConfig { ca, server_name: Some("acquirer.test".into()), cert: None, key: None };
    let made = |ca| connector(&of(ca), &address).unwrap();
    rig.tls = Some(of(ca.clone()));
    rig.config.persistent = true;
    let (good, other) = (made(ca), made(other_ca));
    rig.run(|link| async move {
        let replied = |event: &HostEvent| matches!(event, HostEvent::Reply { .. });
        assert!(replied(&link.sign_in(1, 5_000).await));
        acquirer.mishaps().next(Mishap::LateReply { ms: 500 }).unwrap();
        let (slow, ()) = tokio::join!(link.sign_in(2, 5_000), async {
            while !acquirer.mishaps().list().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            link.line.set_tls(other);
        });
        assert!(replied(&slow), "{slow:?}");
        let refused = link.sign_in(3, 5_000).await;
        assert!(matches!(&refused, HostEvent::Untrusted { .. }), "{refused:?}");
        link.line.set_tls(good);
        assert!(replied(&link.sign_in(4, 5_000).await));
    });
}
