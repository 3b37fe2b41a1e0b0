//! The terminal management's client against hostile answers: of each, nothing is taken.
use payterm_core::{TmsAsk, TmsEvent};
use payterm_engine::tms::{Tms, Trouble};
use payterm_primitives::{DesKey, signature::Signer, wrap::wrap};
use payterm_schema::{
    AccountId, Currency, Time,
    config::{Config, TmsConfig},
    onboarding::{
        Accepted, AccountParameters, BinLists, Draft, Grant, GrantedAccount, Offer, Onboarding,
        OnboardingStatus, Problem, Product, Settlement, Signed, Stage, Submission, Verdict, WrappedKey,
    },
};
use payterm_simulator::tms;
use payterm_vault::{SealingKey, Vault};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const TMK: [u8; 16] =
    [0xCA, 0x5D, 0x92, 0x59, 0x8D, 0xCA, 0x48, 0xCE, 0x8A, 0x4C, 0x76, 0x36, 0x1A, 0x92, 0x69, 0xE9];
const ONBOARDING: &str = "0123456789abcdef0123456789abcdef";

fn draft() -> Draft {
    let s = String::from;
    Draft {
        name: s("Corner shop"),
        legal_name: s("Corner Shop Ltd"),
        licence: s("91310000MA1"),
        address: s("1 Renmin Road"),
        city: s("Shanghai"),
        category: s("5411"),
        contact: s("Wang"),
        phone: s("021-5555"),
        email: None,
        products: vec![Product::Card],
    }
}
fn offer() -> Offer {
    Offer {
        id: "o".into(),
        products: vec![Product::Card],
        currency: Currency::CNY,
        fees: Vec::new(),
        settlement: Settlement::T1,
        text: "words".into(),
    }
}
fn onboarding() -> Onboarding {
    let terms = Signed { text: "words".into(), signature: String::new() };
    let accepted = Accepted { hash: terms.hash(), at: Time(0), by: "owner".into(), offer: offer(), terms };
    Onboarding {
        id: ONBOARDING.into(),
        revision: 1,
        stage: Stage::Submitted,
        since: Time(0),
        draft: draft(),
        accepted: Some(accepted),
        reason: None,
        parameters: None,
    }
}

/// What the server does with a question: (method and path, body) -> the bytes of its answer.
type Answer = Box<dyn Fn(&str, &str) -> Vec<u8> + Send + Sync>;

struct Bench {
    _dir: tempfile::TempDir,
    tms: Arc<Tms>,
    vault: Arc<Vault>,
    signer: Arc<Signer>,
    answer: Arc<Mutex<Answer>>,
    terminal: String,
    public: Vec<u8>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }
    async fn with(change: impl FnOnce(&mut Config, &mut TmsConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (tls, signer) = tms::identity(dir.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let files = tms::dir(dir.path());
        let text = format!(
            "url = \"https://{}\"\nca = \"\"\nsigning_key = \"\"\ntimeout_ms = 2000\n",
            listener.local_addr().unwrap()
        );
        let mut t: TmsConfig = toml::from_str(&text).unwrap();
        (t.ca, t.signing_key) = (files.join("ca.pem"), files.join("signing.pem"));
        let mut config = Config::default();
        change(&mut config, &mut t);
        let vault =
            Arc::new(Vault::open(dir.path(), SealingKey::new(std::array::from_fn(|i| i as u8))).unwrap());
        let key = vault.terminal_key().unwrap();
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(|_, _| Vec::new())));
        let says = answer.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut s) = tls.accept(tcp).await else { continue };
                let says = says.clone();
                tokio::spawn(async move {
                    let (mut text, mut part) = (Vec::new(), [0; 4096]);
                    let (head, body) = loop {
                        let n = s.read(&mut part).await.unwrap_or(0);
                        text.extend_from_slice(&part[..n]);
                        let all = String::from_utf8_lossy(&text).into_owned();
                        let Some((head, body)) = all.split_once("\r\n\r\n") else { continue };
                        let length = head
                            .lines()
                            .find_map(|l| l.strip_prefix("content-length: "))
                            .map_or(0, |l| l.parse::<usize>().unwrap());
                        if body.len() >= length || n == 0 {
                            break (head.to_owned(), body.to_owned());
                        }
                    };
                    let bytes = says.lock().unwrap()(head.lines().next().unwrap_or_default(), &body);
                    let _ = s.write_all(&bytes).await;
                    let _ = s.shutdown().await;
                });
            }
        });
        let tms =
            Arc::new(Tms::new(&t, &config, payterm_devices::Drivers::default(), vault.clone()).unwrap());
        Self {
            _dir: dir,
            tms,
            vault,
            signer: Arc::new(signer),
            answer,
            terminal: key.fingerprint,
            public: hex::decode(key.public).unwrap(),
        }
    }
    fn says(&self, answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }
    fn signed(&self) -> impl Fn(&dyn erased::Json) -> String + Send + Sync + use<> {
        let signer = self.signer.clone();
        move |value| {
            let text = value.json();
            let signature = hex::encode(signer.sign(text.as_bytes()).unwrap());
            serde_json::to_string(&Signed { text, signature }).unwrap()
        }
    }
    /// Fetches, and what became of it: the parameters or the problem; with a problem the vault is as before.
    async fn fetch(&self) -> Result<usize, Trouble> {
        let done = self.tms.grant(ONBOARDING, &draft()).await;
        assert_eq!(
            self.vault.tmk_check_value("bank").is_some(),
            done.is_ok(),
            "keys and parameters go together"
        );
        done.map(|p| p.accounts.len())
    }
    /// A server that grants as it should, but for `change`.
    fn grants(&self, change: impl Fn(&mut Grant) + Send + Sync + 'static) {
        let (sign, terminal, public) = (self.signed(), self.terminal.clone(), self.public.clone());
        self.says(move |line, _| {
            let nonce = line.split("nonce=").nth(1).and_then(|r| r.split(' ').next()).unwrap_or_default();
            let mut grant = grant(&terminal, &public, nonce);
            change(&mut grant);
            http(&sign(&grant))
        });
    }
}
mod erased {
    pub trait Json {
        fn json(&self) -> String;
    }
    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

fn http(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
fn wrapped(public: &[u8], label: &str, key: &[u8]) -> WrappedKey {
    let check_value = hex::encode(&DesKey::new(key).unwrap().kcv()[..3]);
    WrappedKey { wrapped: hex::encode(wrap(public, label, key).unwrap()), check_value }
}
fn grant(terminal: &str, public: &[u8], nonce: &str) -> Grant {
    let id = AccountId::new("bank").unwrap();
    let key = wrapped(public, &WrappedKey::label(ONBOARDING, terminal, nonce, &id), &TMK);
    let account = AccountParameters {
        id,
        profile: "unionpay".into(),
        mid: "TESTMERCHANT001".parse().unwrap(),
        tid: "TEST0002".parse().unwrap(),
        currency: Currency::CNY,
        address: "127.0.0.1:1".into(),
        nii: None,
        tls: false,
        line: None,
        amount_limit: None,
        settlement: Settlement::T1,
        fees: Vec::new(),
    };
    Grant {
        onboarding: ONBOARDING.into(),
        terminal: terminal.into(),
        nonce: nonce.into(),
        accounts: vec![GrantedAccount { account, key }],
        bins: BinLists::default(),
    }
}
fn problem<T>(r: Result<T, Trouble>) -> Problem {
    r.map(drop).expect_err("refused").problem
}

#[tokio::test]
async fn what_is_right_is_taken() {
    let b = Bench::new().await;
    b.grants(|_| {});
    assert_eq!(b.fetch().await, Ok(1));
    assert_eq!(b.vault.tmk_check_value("bank"), Some([0x43, 0xC6, 0xCC]));
    let (sign, terminal) = (b.signed(), b.terminal.clone());
    b.says(move |line, body| {
        assert_eq!(line, format!("PUT /v1/onboardings/{ONBOARDING} HTTP/1.1"));
        let s: Submission = serde_json::from_str(body).unwrap();
        assert_eq!((s.draft.check(), s.terminal.as_str()), (Ok(()), terminal.as_str()));
        let verdict = Verdict::InReview;
        http(&sign(&OnboardingStatus {
            onboarding: ONBOARDING.into(),
            revision: s.revision,
            terminal: s.terminal,
            verdict,
            reason: None,
        }))
    });
    assert!(matches!(
        b.tms.answer(TmsAsk::Submit(Box::new(onboarding()))).await,
        TmsEvent::Status(s) if s.verdict == Verdict::InReview
    ));
}

#[tokio::test]
async fn a_grant_that_is_wrong_in_one_part_is_refused_whole() {
    type Change = Box<dyn Fn(&mut Grant) + Send + Sync>;
    let b = Bench::new().await;
    let (terminal, public) = (b.terminal.clone(), b.public.clone());
    let relabel = move |g: &mut Grant, onboarding: &str, nonce: &str, account: &str| {
        let label = WrappedKey::label(onboarding, &terminal, nonce, &AccountId::new(account).unwrap());
        g.accounts[0].key = wrapped(&public, &label, &TMK);
    };
    let relabel = Arc::new(relabel);
    let (r1, r2) = (relabel.clone(), relabel);
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Vault::open(elsewhere.path(), SealingKey::new(std::array::from_fn(|i| i as u8 + 1)))
        .unwrap()
        .terminal_key()
        .unwrap();
    let their = hex::decode(other.public).unwrap();
    let changes: Vec<(Problem, Change)> = vec![
        // Another terminal's, another onboarding's, yesterday's.
        (Problem::NotForUs, Box::new(|g| g.terminal = "ff".repeat(32))),
        (Problem::NotForUs, Box::new(|g| g.onboarding = "f".repeat(32))),
        (Problem::NotForUs, Box::new(|g| g.nonce = "0".repeat(32))),
        (Problem::Keys, Box::new(move |g| g.accounts[0].key = wrapped(&their, "label", &TMK))),
        // A key of another fetch or account under today's signature.
        (Problem::Keys, Box::new(move |g| r1(g, ONBOARDING, &"0".repeat(32), "bank"))),
        (
            Problem::Keys,
            Box::new(move |g| {
                let n = g.nonce.clone();
                r2(g, ONBOARDING, &n, "other")
            }),
        ),
        (Problem::Keys, Box::new(|g| g.accounts[0].key.check_value = "000000".into())),
        (Problem::Keys, Box::new(|g| g.accounts[0].key.check_value.clear())),
        (Problem::Keys, Box::new(|g| g.accounts[0].key.wrapped = "00".repeat(256))),
        (Problem::Keys, Box::new(|g| g.accounts[0].key.wrapped.clear())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].key.wrapped = "xy".into())),
        // Parameters that the terminal could not start with, or that name what is not the acquirer's.
        (Problem::Malformed, Box::new(|g| g.accounts.clear())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.profile = "/etc/passwd".into())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.profile = "no-such-profile".into())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.address = "nowhere".into())),
        // Plain TCP to elsewhere, of which the acquirer does not say that it is private.
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.address = "192.0.2.1:1".into())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.amount_limit = "0.00 CNY".parse().ok())),
        (Problem::Malformed, Box::new(|g| g.accounts[0].account.amount_limit = "5.00 USD".parse().ok())),
        (Problem::Malformed, Box::new(|g| g.bins.blocked = vec!["62".into(); 2_001])),
        (Problem::Malformed, Box::new(|g| g.accounts.push(g.accounts[0].clone()))),
    ];
    for (n, (expected, change)) in changes.into_iter().enumerate() {
        b.grants(change);
        let got = b.fetch().await;
        assert_eq!(problem(got.clone()), expected, "change {n}: {got:?}");
    }
    b.grants(|_| {});
    assert_eq!(b.fetch().await, Ok(1), "and then it works");
}

#[tokio::test]
async fn an_account_of_the_configuration_is_not_the_acquirers_to_change() {
    let own = "id = \"bank\"\nprofile = \"unionpay\"\nmid = \"TESTMERCHANT001\"\ntid = \"TEST0001\"\n\
               currency = \"CNY\"\naddress = \"127.0.0.1:1\"\n";
    let b = Bench::with(|c, _| c.accounts.push(toml::from_str(own).unwrap())).await;
    b.grants(|_| {});
    assert_eq!(problem(b.fetch().await), Problem::Malformed);
}

#[tokio::test]
async fn an_old_answer_is_of_no_use() {
    let b = Bench::new().await;
    let kept = Arc::new(Mutex::new(None));
    let (sign, terminal, public, keep) = (b.signed(), b.terminal.clone(), b.public.clone(), kept.clone());
    b.says(move |line, _| {
        let nonce = line.split("nonce=").nth(1).and_then(|r| r.split(' ').next()).unwrap_or_default();
        let bytes = http(&sign(&grant(&terminal, &public, nonce)));
        // Lost on its way the first time.
        *keep.lock().unwrap() = Some(bytes);
        Vec::new()
    });
    assert_eq!(problem(b.fetch().await), Problem::Unreachable);
    let old = kept.lock().unwrap().clone().unwrap();
    b.says(move |_, _| old.clone());
    assert_eq!(problem(b.fetch().await), Problem::NotForUs);
}

#[tokio::test]
async fn bytes_that_are_no_answer_are_refused_by_name() {
    let b = Bench::new().await;
    let good = b.signed()(&offer());
    let unsigned = {
        let mut s: Signed = serde_json::from_str(&good).unwrap();
        s.text = s.text.replace("words", "sword");
        serde_json::to_string(&s).unwrap()
    };
    let by_other = {
        let signer = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap();
        let text = serde_json::to_string(&offer()).unwrap();
        let signature = hex::encode(signer.sign(text.as_bytes()).unwrap());
        serde_json::to_string(&Signed { text, signature }).unwrap()
    };
    let big = format!("{{\"text\":\"{}", "x".repeat(600 * 1024));
    let standing = b.signed()(&OnboardingStatus {
        onboarding: ONBOARDING.into(),
        revision: 1,
        terminal: b.terminal.clone(),
        verdict: Verdict::Approved,
        reason: None,
    });
    let cases: Vec<(&str, Problem, Vec<u8>)> = vec![
        ("changed after signing", Problem::Signature, http(&unsigned)),
        ("another key", Problem::Signature, http(&by_other)),
        (
            "no signature",
            Problem::Signature,
            http(&serde_json::to_string(&Signed { text: "{}".into(), signature: String::new() }).unwrap()),
        ),
        ("cut JSON", Problem::Malformed, http(&good[..good.len() / 2])),
        (
            "cut in the middle of the body",
            Problem::Unreachable,
            [http(&good)[..100].to_vec(), Vec::new()].concat(),
        ),
        ("not JSON", Problem::Malformed, http("<html>")),
        ("another message", Problem::Malformed, http(&standing)),
        ("too long by its header", Problem::TooLong, http(&big)),
        (
            "too long without a length",
            Problem::TooLong,
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{big}").into_bytes(),
        ),
        (
            "endless header",
            Problem::Unreachable,
            format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(200_000)).into_bytes(),
        ),
        (
            "a redirect",
            Problem::Refused,
            b"HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        ("an error", Problem::Refused, b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("not HTTP", Problem::Unreachable, b"SSH-2.0-x\r\n".to_vec()),
        ("nothing", Problem::Unreachable, Vec::new()),
    ];
    for (what, expected, bytes) in cases {
        b.says(move |_, _| bytes.clone());
        let got = b.tms.offer().await;
        assert_eq!(got.as_ref().map_err(|t| t.problem).err(), Some(&expected).copied(), "{what}: {got:?}");
    }
    // A reason that would command the display.
    let (sign, terminal) = (b.signed(), b.terminal.clone());
    b.says(move |_, _| {
        let reason = Some("\u{1b}[2J".into());
        http(&sign(&OnboardingStatus {
            onboarding: ONBOARDING.into(),
            revision: 1,
            terminal: terminal.clone(),
            verdict: Verdict::Rejected,
            reason,
        }))
    });
    assert_eq!(problem(b.tms.status(ONBOARDING, 1).await), Problem::Malformed);
    assert_eq!(problem(b.tms.status(ONBOARDING, 2).await), Problem::NotForUs);
    assert_eq!(problem(b.tms.status(&"f".repeat(32), 1).await), Problem::NotForUs);
    b.says(move |_, _| http(&good));
    assert_eq!(b.tms.offer().await.unwrap().0, offer(), "and then it works");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for_longer_than_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let b = Bench::with(|_, t| (t.url, t.timeout_ms) = (url, 300)).await;
    let began = std::time::Instant::now();
    assert_eq!(problem(b.tms.offer().await), Problem::Unreachable);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn another_ca_or_name_is_not_believed() {
    let other = tempfile::tempdir().unwrap();
    tms::identity(other.path()).unwrap();
    let ca: PathBuf = tms::dir(other.path()).join("ca.pem");
    let b = Bench::with(|_, t| t.ca = ca).await;
    assert_eq!(problem(b.tms.offer().await), Problem::Untrusted);
    let b = Bench::with(|_, t| t.server_name = Some("tms.bank.example".into())).await;
    assert_eq!(problem(b.tms.offer().await), Problem::Untrusted);
}
