//! Invariant 9: a canary PAN, track, PIN and payment code run through everything are found in no file under
//! the state directory, no log, no bus message, no core file. Raw bytes are searched: ASCII, packed BCD in
//! both alignments, hex, UTF-16.
use crate::common::*;
use payterm_devices::virtual_bench::When;
use payterm_schema::{Status, Terminal, request::RequestWire};
use payterm_tests::real::stack::{Stack, caller};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

const PAN: &str = "6212349071835264801";
const TRACK2: &str = "6212349071835264801=31071209264817350";
const PIN: &str = "735194862053";
const WRONG: &str = "860257149386";
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

/// Every form in which a digit string may lie about.
fn forms(digits: &str) -> Vec<Vec<u8>> {
    let nibbles = |text: &str| -> Vec<u8> {
        text.bytes().map(|b| if b.is_ascii_digit() { b - b'0' } else { 0xD }).collect()
    };
    let pack = |n: &[u8]| -> Vec<u8> { n.chunks_exact(2).map(|c| c[0] << 4 | c[1]).collect() };
    let n = nibbles(digits);
    let even = pack(&n);
    let odd = pack(&n[1..]);
    let hex = |b: &[u8]| hex::encode(b).into_bytes();
    let ascii = digits.as_bytes().to_vec();
    let utf16 = digits.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![hex(&ascii), hex(&ascii).to_ascii_uppercase(), ascii, even, odd, utf16]
}

fn canaries() -> Vec<(String, Vec<u8>)> {
    // Of the PAN what is neither in the first six nor in the last four digits tells it as well.
    let all = [PAN, TRACK2, PIN, WRONG, CODE, &PAN[5..16], &CODE[1..15], &TRACK2[20..34]];
    all.iter().flat_map(|c| forms(c).into_iter().map(|f| ((*c).to_owned(), f))).collect()
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
    for (canary, form) in canaries() {
        let found = bytes.windows(form.len()).position(|w| w == form);
        assert!(found.is_none(), "{} holds the canary {}... at {found:?}", what.display(), &canary[..4]);
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for (canary, form) in canaries() {
        let hidden = [b"noise ".as_slice(), &form, b" noise"].concat();
        let caught = std::panic::catch_unwind(|| search(Path::new("control"), &hidden));
        assert!(caught.is_err(), "{canary} in one of its forms");
    }
}

#[tokio::test]
async fn canaries_are_nowhere() -> Result<(), Box<dyn std::error::Error>> {
    let mut stack = Stack::start_world(WORLD, |c, _| {
        c.accounts[0].reply_timeout_ms = 700;
        c.log.level = "trace".into();
    })?;
    let pcap = stack.dir.join("bus.pcap");
    let mut monitor = Command::new("dbus-monitor")
        .args(["--address", &stack.bus, "--pcap"])
        .stdout(File::create(&pcap)?)
        .stderr(Stdio::null())
        .spawn()?;
    payterm_tests::real::stack::until("the monitor", || pcap.metadata().is_ok_and(|m| m.len() > 0))?;
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
    for id in ["y-1", "y-3", "y-9"] {
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
    assert!(
        has(b"***4801") && !has(b"621234*") && !has(&hex::decode("0123456789ABCDEFFEDCBA9876543210")?),
        "the last four, no key"
    );
    let (_, papers) = virtuals.wait_papers(10, Duration::from_secs(60))?;
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
    payterm_tests::real::stack::until("the crash", || stack.daemon_gone())?;
    stack.start_daemon(&[])?;
    let client = stack.client().await?;
    assert_eq!(last(&client, "y-11").await.status, Status::Declined);

    monitor.kill()?;
    monitor.wait()?;
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
    assert!(searched >= 5 && pcap.metadata()?.len() > 10_000, "{searched} files searched: {all:?}");
    Ok(())
}
