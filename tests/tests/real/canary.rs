//! Invariant 9: a canary PAN, track, cardholder's name, PIN and payment code run through everything are found
//! in no file under the state directory, no log, no bus message, no core file. Raw bytes are searched: ASCII,
//! packed BCD in both alignments, UTF-16, and each of them as hex, base64 and a list of numbers.
use crate::common::*;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use payterm_dbus::Client;
use payterm_devices::{virtual_bench::When, virtual_control::VirtualControl};
use payterm_schema::{Outcome, Status, Terminal, Time, request::RequestWire};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, vpcd::Behaviour};
use payterm_tests::real::{
    chip::{PLAIN, Readers, card},
    pcscd::Inserted,
    stack::{Stack, caller, until},
};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, SystemTime},
};

const PAN: &str = "6212349071835264801";
const TRACK2: &str = "6212349071835264801=31071209264817350";
pub const PIN: &str = "735194862053";
pub const WRONG: &str = "860257149386";
const CODE: &str = "137294650183926457";
const WORLD: &str = r#"
[[card]]
name = "canary"
pan = "6212349071835264801"
expiry = "3107"
pin = "735194862053"
pin_limit = 9
currency = "CNY"
balance = "10000.00"
"#;

/// Bytes in which a secret lies about, however many bytes stand before it in base64.
fn spelt(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(bytes).into_bytes();
    let joined = |by: &str, one: fn(&u8) -> String| bytes.iter().map(one).collect::<Vec<_>>().join(by);
    let lists = [
        joined(",", u8::to_string),
        joined(", ", u8::to_string),
        joined(", ", |b| format!("{b:02x}")),
        joined(", ", |b| format!("{b:02X}")),
        joined(" ", |b| format!("{b:02X}")),
    ];
    let base64 = (0..3).map(|before: usize| {
        let text = STANDARD_NO_PAD.encode([&[0; 2][..before], bytes].concat());
        let (first, end) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
        text[first..end].to_owned().into_bytes()
    });
    let all = [bytes.to_vec(), hex.to_ascii_uppercase(), hex].into_iter();
    all.chain(base64).chain(lists.map(String::into_bytes)).collect()
}

/// Every form in which a text may lie about; digits and tracks packed too.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut all = spelt(text.as_bytes());
    all.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    if !text.bytes().any(|b| b.is_ascii_alphabetic()) {
        let nibbles: Vec<u8> =
            text.bytes().map(|b| if b.is_ascii_digit() { b - b'0' } else { 0xD }).collect();
        let pack = |n: &[u8]| -> Vec<u8> { n.chunks_exact(2).map(|c| c[0] << 4 | c[1]).collect() };
        all.extend([pack(&nibbles), pack(&nibbles[1..])].iter().flat_map(|packed| spelt(packed)));
    }
    all
}

struct Canaries {
    /// Beginning of the canary, and a form of it.
    forms: Vec<(String, Vec<u8>)>,
    /// Places of the forms by their first byte.
    by_first: [Vec<usize>; 256],
}
static CANARIES: LazyLock<Canaries> = LazyLock::new(|| {
    let personas = Personas::parse(PERSONAS).expect("personas");
    let chip = personas.named("canary").expect("a persona");
    assert_eq!(chip.pin, PIN);
    let row = &chip.applications[0];
    let track2 = format!("{}={:02}12220{}", row.pan, (this_year() + 4) % 100, row.discretionary);
    // Of the PAN what is neither in the first six nor in the last four digits tells it as well.
    let all = [
        [PAN, TRACK2, PIN, WRONG, CODE, &PAN[5..16], &CODE[1..15], &TRACK2[20..34]],
        [&row.pan, &track2, &row.pan[5..16], &track2[24..], &row.holder, "QUENBY", "ZWICKELFRITZ", CODE],
    ];
    let of = |text: &&str| forms(text).into_iter().map(|f| (text[..4].to_owned(), f)).collect::<Vec<_>>();
    let forms: Vec<_> = all.as_flattened().iter().flat_map(of).collect();
    let mut by_first = [const { Vec::new() }; 256];
    for (n, (_, form)) in forms.iter().enumerate() {
        by_first[usize::from(form[0])].push(n);
    }
    Canaries { forms, by_first }
});
fn this_year() -> i32 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    Time(now.as_millis().try_into().expect("a time")).local(480).year()
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(t) if t.is_dir() => files(&path, out),
            Ok(t) if t.is_file() => out.push(path),
            Ok(_) | Err(_) => {}
        }
    }
}

fn search(what: &Path, bytes: &[u8]) {
    let Canaries { forms, by_first } = &*CANARIES;
    for (at, first) in bytes.iter().enumerate() {
        for (canary, form) in by_first[usize::from(*first)].iter().map(|n| &forms[*n]) {
            assert!(
                !bytes[at..].starts_with(form),
                "{} holds the canary {canary}... at {at}",
                what.display()
            );
        }
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for (canary, form) in &CANARIES.forms {
        assert!(form.len() >= 5, "{canary} as {form:02X?} is found by chance");
        let hidden = [b"noise ".as_slice(), form, b" noise"].concat();
        let caught = std::panic::catch_unwind(|| search(Path::new("control"), &hidden));
        assert!(caught.is_err(), "{canary} in one of its forms");
    }
    search(Path::new("control"), b"noise 621234*********9406 noise");
}

/// Searches all that bus, daemon and monitor have written; the acquirer's own files hold its cards.
pub fn search_all(stack: &Stack) -> Result<usize, Box<dyn std::error::Error>> {
    let mut all = Vec::new();
    files(&stack.dir, &mut all);
    let of_the_acquirer = |p: &PathBuf| p.starts_with(stack.acquirer_state()) || p.ends_with("world.toml");
    let mut searched = 0;
    for path in all.iter().filter(|p| !of_the_acquirer(p)) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        assert!(!name.starts_with("core"), "{} is a core file", path.display());
        match std::fs::read(path) {
            Ok(bytes) => search(path, &bytes),
            // The daemon runs: what its self-test writes to see that the disk takes it goes again.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e.into()),
        }
        searched += 1;
    }
    // What the kernel decided, step by step, is in the log.
    let log = std::fs::read_to_string(stack.daemon_log())?;
    assert!(log.contains("card: TVR: "), "the kernel's log is not searched");
    Ok(searched)
}

/// All that goes over the bus, to `bus.pcap`.
pub fn monitor(stack: &Stack) -> Result<Child, Box<dyn std::error::Error>> {
    let pcap = stack.dir.join("bus.pcap");
    let monitor = Command::new("dbus-monitor")
        .args(["--address", &stack.bus, "--pcap"])
        .stdout(File::create(&pcap)?)
        .stderr(Stdio::null())
        .spawn()?;
    until("the monitor", || pcap.metadata().is_ok_and(|m| m.len() > 0))?;
    Ok(monitor)
}

/// A sale with the canary's card, in the reader at this port; gives the card back.
pub async fn with_chip(
    client: &Client,
    virtuals: &mut VirtualControl,
    (id, amount, pins): (&str, &str, &[&str]),
    canary: TestCard,
    (port, how): (u16, Behaviour),
) -> Result<(Outcome, TestCard), Box<dyn std::error::Error>> {
    let key = start(client, sale(id, amount)).await;
    virtuals.wait_screen(amount, Duration::from_secs(30))?;
    let mut inserted = Inserted::insert(canary, port, how)?;
    let mut pins = pins.iter().peekable();
    let me = caller();
    let mut outcome = std::pin::pin!(client.wait(&me, &key, false));
    loop {
        if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(20), &mut outcome).await {
            return Ok((outcome?, inserted.pull()?));
        }
        if pins.peek().is_some_and(|pin| virtuals.pin(pin, When::Now).is_ok()) {
            pins.next();
        }
        // After a wrong PIN.
        if virtuals.wait_screen("Wrong PIN: tap again", Duration::ZERO).is_ok() {
            inserted = Inserted::insert(inserted.pull()?, port, PLAIN)?;
        }
    }
}

#[tokio::test]
async fn canaries_are_nowhere() -> Result<(), Box<dyn std::error::Error>> {
    let readers = Readers::own()?;
    let mut stack = Stack::start_world(WORLD, |c, _| {
        readers.configure(c);
        c.accounts[0].reply_timeout_ms = 700;
        c.log.level = "trace".into();
    })?;
    let mut monitor = monitor(&stack)?;
    let client = stack.client().await?;
    let mut virtuals = stack.virtuals()?;
    let swipe = |h: &mut payterm_devices::virtual_control::VirtualControl, pins: &[&str]| {
        h.swipe_tracks(&format!(";{TRACK2}?"), false, When::Queue).expect("swipe");
        for p in pins {
            h.pin(p, When::Queue).expect("pin");
        }
    };
    // Approved, after a wrong PIN.
    swipe(&mut virtuals, &[WRONG, PIN]);
    is(&pay(&client, sale("y-1", "10.00")).await, Status::Approved);
    // Refused; reply lost; bad MAC; reversal; void; balance; code; code refused; unreadable.
    swipe(&mut virtuals, &[PIN]);
    is(&pay(&client, sale("y-2", "1.61")).await, Status::Declined);
    for (id, mishap) in
        [("y-3", "drop-reply"), ("y-4", "bad-mac"), ("y-5", "corrupt-reply"), ("y-6", "close-mid-frame")]
    {
        stack.mishap(&["--mti", "0200"], &[mishap])?;
        swipe(&mut virtuals, &[PIN]);
        is(&pay(&client, sale(id, "3.00")).await, Status::Unknown);
        last(&client, id).await;
    }
    is(&pay(&client, void("y-7", "y-1")).await, Status::Approved);
    swipe(&mut virtuals, &[PIN]);
    is(
        &pay(&client, RequestWire { id: "y-8".into(), kind: "balance".into(), ..RequestWire::default() })
            .await,
        Status::Approved,
    );
    virtuals.scan(CODE, When::Queue)?;
    is(&pay(&client, sale("y-9", "4.00")).await, Status::Approved);
    // Left open with a sealed PAN, for the search of the files; and every read-only view.
    swipe(&mut virtuals, &[PIN]);
    is(&pay(&client, sale("y-10", "10.00")).await, Status::Approved);
    // By chip: inserted, and tapped; approved, refused, pulled out behind the host's yes, reply lost.
    let [chip, tap] = readers.ports();
    let pulled = Behaviour { pull_at: Some(16), ..PLAIN };
    let mut canary = card("canary")?;
    for (asked, at, status) in [
        (("c-1", "12.30", &[WRONG, PIN][..]), (chip, PLAIN), Status::Approved),
        (("t-1", "12.40", &[WRONG, PIN]), (tap, PLAIN), Status::Approved),
        (("c-2", "1.61", &[PIN]), (chip, PLAIN), Status::Declined),
        (("t-2", "11.61", &[PIN]), (tap, PLAIN), Status::Approved),
        (("c-3", "12.31", &[PIN]), (chip, pulled), Status::Declined),
        (("c-lost", "12.32", &[PIN]), (chip, PLAIN), Status::Unknown),
        (("t-lost", "12.42", &[PIN]), (tap, PLAIN), Status::Unknown),
    ] {
        if asked.0.ends_with("lost") {
            stack.mishap(&["--mti", "0200"], &["drop-reply"])?;
        }
        let outcome;
        (outcome, canary) = with_chip(&client, &mut virtuals, asked, canary, at).await?;
        is(&outcome, status);
        let gone = outcome.reason.is_some_and(|r| r.code == "card-gone-after-approval");
        assert_eq!(gone, asked.0 == "c-3");
        last(&client, asked.0).await;
    }
    for id in ["y-1", "y-3", "y-9", "c-1", "c-3", "t-1", "t-lost"] {
        let e = client.explain(&caller(), &key(id)).await?;
        search(Path::new("explain"), serde_json::to_string(&e)?.as_bytes());
        let out = stack.ctl(&["explain", id])?;
        search(Path::new("paytermctl explain"), &out.stdout);
    }
    // The bundle for customer service, unpacked: journal, queues, log and the rest.
    client.self_test(&caller(), true).await?;
    let bundle = client.support_bundle(&caller()).await?;
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bundle[..]), &mut unpacked)?;
    assert!(
        unpacked.len() > 50_000 && bundle.len() < 2 << 20,
        "{} bytes, {} packed",
        unpacked.len(),
        bundle.len()
    );
    search(Path::new("support bundle"), &unpacked);
    let has = |part: &[u8]| unpacked.windows(part.len()).any(|w| w == part);
    assert!(has(b"the card gives ARQC"), "the decisions of its cards");
    assert!(
        has(b"***4801") && !has(b"621234*") && !has(&hex::decode("0123456789ABCDEFFEDCBA9876543210")?),
        "the last four, no key"
    );
    let (_, papers) = virtuals.wait_papers(14, Duration::from_secs(60))?;
    search(Path::new("papers"), papers.join("\n").as_bytes());
    // A crash in the middle of a sale leaves no core file.
    swipe(&mut virtuals, &[PIN]);
    stack.mishap(&["--mti", "0200"], &["delay", "5000"])?;
    start(&client, sale("y-11", "5.00")).await;
    std::thread::sleep(Duration::from_millis(300));
    let pid = stack.daemon_pid().ok_or("no daemon")?;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    assert!(
        limits
            .lines()
            .any(|l| l.starts_with("Max core file size") && l.split_whitespace().nth(4) == Some("0")),
        "{limits}"
    );
    Command::new("kill").args(["-ABRT", &pid.to_string()]).status()?;
    until("the crash", || stack.daemon_gone())?;
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert_eq!(last(&client, "y-11").await.status, Status::Declined);

    monitor.kill()?;
    monitor.wait()?;
    let searched = search_all(&stack)?;
    let heard = stack.dir.join("bus.pcap").metadata()?.len();
    assert!(searched >= 5 && heard > 10_000, "{searched} files searched, {heard} bytes of the bus");
    Ok(())
}
