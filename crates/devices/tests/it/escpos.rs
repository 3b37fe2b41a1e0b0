//! The ESC/POS driver against a printer in software, over TCP and over a pty.
use payterm_devices::{
    DeviceError, Drivers, Env, Face, PaperLevel, PrintJob, Printer, VirtualBench,
    soft_printer::{Mishap, SoftPrinter},
};
use payterm_schema::{
    DeviceKind, config::DeviceConfig, device::Confirm, paper::PrintResult, selftest::Verdict,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub const LONG: Duration = Duration::from_secs(10);

/// Of a printer that is this till's own: its connection is kept.
fn config(address: &str, confirm: Option<&str>, ms: u32) -> DeviceConfig {
    let confirm = confirm.map(|c| ("confirm".to_owned(), c.into()));
    let keep = address.starts_with("tcp:").then(|| ("idle_release_ms".to_owned(), 600_000.into()));
    DeviceConfig {
        address: Some(address.into()),
        command_timeout_ms: ms,
        options: confirm.into_iter().chain(keep).collect(),
        ..DeviceConfig::new("printer", DeviceKind::Printer, "escpos")
    }
}
pub fn try_open(config: &DeviceConfig) -> Result<Box<dyn Printer>, DeviceError> {
    let env = Env {
        bench: VirtualBench::new(),
        encipher: Arc::new(|_, _, _| Err("no vault".into())),
        kernel: None,
    };
    match Drivers::default().open(config, &env)?.pop() {
        Some(Face::Printer(p)) => Ok(p),
        _ => panic!("not a printer"),
    }
}
fn driver(printer: &SoftPrinter, confirm: Option<&str>, ms: u32) -> Box<dyn Printer> {
    try_open(&config(&printer.address(), confirm, ms)).unwrap()
}
/// ESC @, a line of GB18030, graphics that look like commands, 200 lines, cut.
pub fn job(id: u64) -> PrintJob {
    let mut escpos = vec![0x1b, b'@'];
    escpos.extend([0xc9, 0xcc, 0xbb, 0xa7, 0xb4, 0xe6, 0xb8, 0xf9, b'\n']);
    escpos.extend([0x1d, b'v', b'0', 0, 1, 0, 4, 0, 0x1d, b'V', 0, 0x1b]);
    for line in 0..200 {
        escpos.extend(format!("job {id} line {line}\n").bytes());
    }
    escpos.extend([0x1d, b'V', 66, 0]);
    PrintJob { id, escpos, text: String::new(), drawer: false }
}
fn each_way() -> [SoftPrinter; 2] {
    [SoftPrinter::start().unwrap(), SoftPrinter::on_pty().unwrap()]
}
fn why(result: PrintResult) -> String {
    match result {
        PrintResult::Unconfirmed(why) => why,
        other => panic!("{other:?}"),
    }
}
fn not_started(result: PrintResult) -> String {
    match result {
        PrintResult::NotStarted(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn prints_and_is_confirmed() {
    for (soft, confirm) in each_way().into_iter().zip([None, Some("status")]) {
        let mut d = driver(&soft, confirm, 10_000);
        assert_eq!(d.print(&job(1)), PrintResult::Confirmed);
        assert_eq!(d.print(&job(2)), PrintResult::Confirmed);
        let papers = soft.wait_papers(2, LONG);
        assert_eq!(papers.len(), 2);
        assert_eq!(papers[0].bytes, job(1).escpos);
        assert_eq!(papers[1].bytes, job(2).escpos);
        assert!(
            papers[0].whole
                && papers[0].text.starts_with("商户存根\njob 1 line 0\n")
                && papers[0].text.ends_with("line 199\n"),
            "{}",
            papers[0].text
        );
    }
}

#[test]
fn status_is_told_and_nothing_is_started_without_paper() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 10_000);
        let s = d.status().unwrap();
        assert!(
            s.online
                && s.paper == PaperLevel::Enough
                && s.confirms == Some(Confirm::ProcessId)
                && s.problem().is_none()
        );
        soft.near_end(true);
        let s = d.status().unwrap();
        assert_eq!((s.paper, s.problem()), (PaperLevel::NearEnd, None));
        soft.paper_out(true);
        assert_eq!(d.status().unwrap().paper, PaperLevel::Out);
        assert_eq!(not_started(d.print(&job(1))), "paper out");
        soft.paper_out(false);
        soft.cover_open(true);
        assert_eq!(not_started(d.print(&job(1))), "cover open");
        assert!(soft.papers().is_empty());
        soft.cover_open(false);
        assert_eq!(d.print(&job(2)), PrintResult::Confirmed);
        assert_eq!(soft.wait_papers(1, LONG).len(), 1);
    }
}

#[test]
fn killed_in_the_middle_of_a_job() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 10_000);
        soft.after(500, Mishap::Killed);
        let began = Instant::now();
        why(d.print(&job(1)));
        assert!(began.elapsed() < Duration::from_secs(8), "the loss was noticed, not waited for");
        assert!(soft.wait_dead(LONG));
        let papers = soft.papers();
        assert_eq!((papers.len(), papers[0].whole), (1, false));
        assert!(papers[0].bytes.len() < 500);
        assert!(not_started(d.print(&job(1))).contains("printer"));
        if soft.address().starts_with("tcp") {
            soft.revive();
            assert_eq!(d.print(&job(1)), PrintResult::Confirmed);
            assert_eq!(soft.papers()[1].bytes, job(1).escpos);
        }
    }
}

#[test]
fn a_connection_that_died_between_jobs_is_made_anew() {
    for confirm in [None, Some("none")] {
        let soft = SoftPrinter::start().unwrap();
        let mut d = driver(&soft, confirm, 4_000);
        d.print(&job(1));
        soft.wait_papers(1, LONG);
        soft.kill();
        not_started(d.print(&job(2)));
        soft.revive();
        d.print(&job(3));
        soft.wait_papers(2, LONG);
        soft.kill();
        soft.revive();
        let done = if confirm.is_none() { PrintResult::Confirmed } else { PrintResult::SentUnconfirmable };
        assert_eq!(d.print(&job(4)), done);
        assert_eq!(
            soft.wait_papers(3, LONG).iter().map(|p| p.bytes.clone()).collect::<Vec<_>>(),
            [1, 3, 4].map(|n| job(n).escpos)
        );
    }
}

#[test]
fn a_printer_that_stops_reading_costs_no_more_than_the_time_out() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 3_000);
        soft.after(1_000, Mishap::Deaf);
        let mut big = job(1);
        big.escpos.splice(2..2, b"x\n".repeat(8 << 20));
        let began = Instant::now();
        let text = why(d.print(&big));
        assert!(text.contains("taking the job") && text.contains("bytes"), "{text}");
        assert!(began.elapsed() < Duration::from_millis(3_000), "{:?}", began.elapsed());
        assert!(soft.papers().is_empty());
    }
}

#[test]
fn a_mute_printer_is_not_started_or_not_confirmed() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 3_000);
        soft.mute(true);
        for told in [not_started(d.print(&job(1))), d.status().unwrap().problem().unwrap()] {
            assert!(told.contains("switched on?") && told.contains("confirm = \"none\""), "{told}");
        }
        assert_eq!(
            d.self_test().map(|f| (f.verdict, f.code)).unwrap(),
            (Verdict::Failed, "printer-mute".into())
        );
        soft.mute(false);
        soft.hold_confirmations();
        let began = Instant::now();
        assert!(why(d.print(&job(1))).contains("GS ( H"));
        assert!(began.elapsed() < Duration::from_millis(3_000));
    }
}

#[test]
fn paper_that_runs_out_in_mid_job_is_said() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 3_000);
        soft.after(800, Mishap::PaperOut);
        assert!(why(d.print(&job(1))).ends_with("paper out"));
    }
}

#[test]
fn a_late_answer_confirms_no_other_attempt() {
    let soft = SoftPrinter::on_pty().unwrap();
    soft.hold_confirmations();
    let mut d = driver(&soft, None, 1_000);
    why(d.print(&job(7)));
    drop(d);
    // The same job again, on the same line.
    let mut d = driver(&soft, None, 8_000);
    let printing = std::thread::spawn(move || d.print(&job(7)));
    assert_eq!(soft.wait_papers(2, LONG).len(), 2);
    let mut waited = Instant::now();
    // The confirmation is held right after the cut.
    while !soft.release_confirmation() && waited.elapsed() < LONG {}
    std::thread::sleep(Duration::from_millis(300));
    assert!(!printing.is_finished(), "the first attempt's answer was taken for the second's");
    waited = Instant::now();
    while !soft.release_confirmation() && waited.elapsed() < LONG {}
    assert_eq!(printing.join().unwrap(), PrintResult::Confirmed);
}

#[test]
fn without_a_back_channel() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lp0");
    let address = format!("file:{}", path.display());
    let mut d = try_open(&config(&address, None, 1_000)).unwrap();
    assert!(not_started(d.print(&job(1))).contains("opening"));
    std::fs::write(&path, b"").unwrap();
    assert_eq!(d.print(&job(1)), PrintResult::SentUnconfirmable);
    assert_eq!(std::fs::read(&path).unwrap(), job(1).escpos);
    assert_eq!(d.status().unwrap().confirms, Some(Confirm::None));
}

#[test]
fn config_rules_are_named() {
    for (address, confirm, want) in [
        ("lp0", None, "device printer: address: tcp:HOST:PORT, tty:/PATH or file:/PATH"),
        ("tcp:host", None, "device printer: address: tcp:HOST:PORT, tty:/PATH or file:/PATH"),
        ("tcp:host:0", None, "device printer: address: tcp:HOST:PORT, tty:/PATH or file:/PATH"),
        ("tty:/dev/ttyS0@fast", None, "device printer: address: after @: the baud rate"),
        (
            "file:/dev/usb/lp0",
            Some("status"),
            "device printer: options.confirm: none for file: (it is opened for writing only)",
        ),
    ] {
        assert_eq!(try_open(&config(address, confirm, 1_000)).err().unwrap().to_string(), want);
    }
    for (address, key, ms, want) in [
        ("tty:/dev/ttyS0", "idle_release_ms", 1, "idle_release_ms: for tcp: only"),
        ("file:/dev/usb/lp0", "status_every_ms", 100, "status_every_ms: for tcp: only"),
        ("tcp:h:1", "status_every_ms", 99, "status_every_ms: 100 or more"),
    ] {
        let mut wrong = config(address, None, 1);
        wrong.options.insert(key.into(), ms.into());
        let said = try_open(&wrong).err().unwrap().to_string();
        assert_eq!(said, format!("device printer: options.{want}"));
    }
    let mut wrong = config("tcp:h:1", None, 1);
    wrong.kind = DeviceKind::Scanner;
    assert_eq!(
        try_open(&wrong).err().unwrap().to_string(),
        "device printer: kind: this driver does not serve devices of this kind"
    );
    wrong.driver = "none".into();
    assert_eq!(
        try_open(&wrong).err().unwrap().to_string(),
        "device printer: driver: no registered driver has this name"
    );
}

#[test]
fn the_self_test_says_what_stands_in_the_way() {
    for soft in each_way() {
        let mut d = driver(&soft, None, 10_000);
        let mut found = || d.self_test().map(|f| (f.verdict, f.code)).unwrap();
        let is = |verdict, code: &str| (verdict, code.to_owned());
        assert_eq!(found(), is(Verdict::Passed, "confirms-papers"));
        soft.near_end(true);
        assert_eq!(found(), is(Verdict::Degraded, "paper-near-end"));
        soft.paper_out(true);
        assert_eq!(found(), is(Verdict::Failed, "paper-out"));
        soft.cover_open(true);
        assert_eq!(found(), is(Verdict::Failed, "cover-open"));
        assert!(soft.papers().is_empty(), "nothing is printed");
    }
    let soft = SoftPrinter::start().unwrap();
    let mut d = driver(&soft, Some("none"), 1_000);
    assert_eq!(d.self_test().unwrap().code, "not-askable");
    soft.kill();
    let mut d = driver(&soft, None, 1_000);
    let found = d.self_test().unwrap();
    assert_eq!((found.verdict, &*found.code), (Verdict::Failed, "printer-unreachable"), "nobody is there");
}

/// A printer as there are many: it answers DLE EOT in its turn, after a pause before the first answer of each
/// connection, and passes over what it does not know.
struct Plain {
    address: String,
    printed: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}
impl Plain {
    fn start(pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp:{}", listener.local_addr().unwrap());
        let printed = Arc::new(Mutex::new(Vec::new()));
        let paper = printed.clone();
        let thread = std::thread::spawn(move || {
            for line in listener.incoming() {
                let mut line = line.unwrap();
                let (mut asked, mut pause) = ([0; 2], Some(pause));
                let mut byte = [0];
                while line.read(&mut byte).unwrap_or(0) > 0 {
                    match (asked, byte[0]) {
                        ([0x10, 0x04], 1..=4) => {
                            std::thread::sleep(pause.take().unwrap_or_default());
                            let _ = line.write_all(&[0x12]);
                        }
                        // The end of the test.
                        ([b'b', b'y'], b'e') => return,
                        _ => paper.lock().unwrap().push(byte[0]),
                    }
                    asked = [asked[1], byte[0]];
                }
            }
        });
        Self { address, printed, thread: Some(thread) }
    }
    /// How often a text came out.
    fn times(&self, text: &str) -> usize {
        let printed = self.printed.lock().unwrap();
        printed.windows(text.len()).filter(|w| *w == text.as_bytes()).count()
    }
}
impl Drop for Plain {
    fn drop(&mut self) {
        if let Ok(mut line) = std::net::TcpStream::connect(&self.address[4..]) {
            let _ = line.write_all(b"bye");
            let _ = line.shutdown(Shutdown::Write);
        }
        self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn a_printer_that_tells_its_state_only_prints_each_job_once() {
    for soft in each_way() {
        soft.plain(true);
        let mut d = driver(&soft, None, 6_000);
        for id in 1..=3 {
            assert_eq!(d.print(&job(id)), PrintResult::Confirmed);
        }
        let printed: Vec<Vec<u8>> = soft.wait_papers(3, LONG).into_iter().map(|p| p.bytes).collect();
        assert_eq!(printed, [1, 2, 3].map(|n| job(n).escpos));
        assert_eq!(d.status().unwrap().confirms, Some(Confirm::Status));
        assert_eq!(d.self_test().unwrap().code, "confirms-status");
        // Paper that runs out in the middle is still no confirmation.
        soft.after(800, Mishap::PaperOut);
        let mut long = job(4);
        long.escpos.splice(2..2, b"x\n".repeat(50_000));
        assert!(why(d.print(&long)).ends_with("paper out"));
    }
    let plain = Plain::start(Duration::ZERO);
    let mut d = try_open(&config(&plain.address, None, 4_000)).unwrap();
    for id in 1..=3 {
        assert_eq!(d.print(&job(id)), PrintResult::Confirmed);
    }
    drop(d);
    for id in 1..=3 {
        assert_eq!(plain.times(&format!("job {id} line 199\n")), 1);
    }
}

#[test]
fn the_wait_for_a_status_follows_the_time_out() {
    let plain = Plain::start(Duration::from_millis(3_500));
    let mut d = try_open(&config(&plain.address, Some("status"), 20_000)).unwrap();
    assert_eq!(d.status().unwrap().problem(), None);
    drop(d);
    let mut d = try_open(&config(&plain.address, Some("status"), 2_000)).unwrap();
    let began = Instant::now();
    assert!(d.status().unwrap().problem().is_some());
    assert!(began.elapsed() < Duration::from_millis(2_000));
}

#[test]
fn a_drawer_whose_bytes_were_taken_is_open() {
    let soft = SoftPrinter::start().unwrap();
    let mut d = driver(&soft, None, 2_000);
    let pulse = PrintJob { escpos: vec![0x1b, b'@', 0x1b, b'p', 0, 25, 250], drawer: true, ..job(1) };
    assert_eq!(d.print(&pulse), PrintResult::Confirmed);
    // Its four questions, and the pulse.
    soft.after(16, Mishap::Deaf);
    assert_eq!(d.print(&pulse), PrintResult::SentUnconfirmable);
    let mut d = driver(&soft, None, 1_000);
    not_started(d.print(&pulse));
}
