//! Virtual devices worked through their control socket.
use payterm_devices::{
    DeviceError, Display, Driver, Env, PaperLevel, PrintJob, Printer, Source, SourceEvent, VirtualBench,
    open,
    track::{self, Lrc},
    virtual_bench::When,
    virtual_control::{VirtualControl, VirtualControlError, VirtualControlServer},
};
use payterm_schema::{
    DeviceKind, Instrument, Pan, PinBlock, PinPad, Tracks,
    config::DeviceConfig,
    device::{Key, Way},
    paper::PrintResult,
    secret::PinEntry,
    selftest::Finding,
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PAN: &str = "6222021234567890128";
const LONG: Duration = Duration::from_secs(10);
const WITHIN: When = When::Within(LONG);

struct World {
    dir: TempDir,
    env: Env,
    server: Option<VirtualControlServer>,
}
impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        // A vault that shows what it was asked: PIN length, last PIN digit, slot length.
        let encipher = Arc::new(|slot: &str, pin: &payterm_schema::secret::Pin, pan: &Pan| {
            assert_eq!(pan.reveal(), PAN);
            let digits = pin.reveal().as_bytes();
            if slot == "locked" {
                Err("no key in slot locked".to_owned())
            } else {
                Ok(PinBlock::new([
                    digits.len() as u8,
                    digits[digits.len() - 1],
                    slot.len() as u8,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]))
            }
        });
        let env = Env { bench: VirtualBench::new(), encipher };
        let server =
            Some(VirtualControlServer::start(env.bench.clone(), &dir.path().join("virtual.sock")).unwrap());
        World { dir, env, server }
    }
    fn path(&self) -> PathBuf {
        self.dir.path().join("virtual.sock")
    }
    fn virtuals(&self) -> VirtualControl {
        VirtualControl::connect(&self.path()).unwrap()
    }
    fn open(&self, kind: DeviceKind, address: Option<&str>) -> Result<Driver, DeviceError> {
        let config = DeviceConfig {
            name: kind.name().replace('_', "-"),
            kind,
            driver: "virtual".into(),
            address: address.map(str::to_owned),
            paper_mm: None,
            confirm: None,
            command_timeout_ms: 1_000,
        };
        open(&config, &self.env)
    }
    fn source(&self, kind: DeviceKind) -> Box<dyn Source> {
        let Driver::Source(s) = self.open(kind, None).unwrap() else { panic!("{kind:?}") };
        s
    }
    fn printer(&self, address: Option<&str>) -> Box<dyn Printer> {
        let Driver::Printer(p) = self.open(DeviceKind::Printer, address).unwrap() else { panic!() };
        p
    }
    fn pad(&self) -> Box<dyn PinPad> {
        let Driver::PinPad(p) = self.open(DeviceKind::PinPad, None).unwrap() else { panic!() };
        p
    }
    fn display(&self) -> Box<dyn Display> {
        let Driver::Display(d) = self.open(DeviceKind::Display, None).unwrap() else { panic!() };
        d
    }
}
fn refused<T: std::fmt::Debug>(r: Result<T, VirtualControlError>) -> String {
    match r {
        Err(VirtualControlError::Refused(r)) => r.to_string(),
        other => panic!("{other:?}"),
    }
}
fn instrument(s: &mut dyn Source) -> Instrument {
    match s.next(LONG).unwrap() {
        Some(SourceEvent::Instrument(i)) => i,
        other => panic!("{other:?}"),
    }
}
fn pin_of(entry: PinEntry) -> [u8; 3] {
    match entry {
        PinEntry::Block(b) => [b.reveal()[0], b.reveal()[1], b.reveal()[2]],
        other => panic!("{other:?}"),
    }
}
fn enter(pad: &mut dyn PinPad, timeout: Duration) -> PinEntry {
    pad.enter("main", &Pan::parse(PAN).unwrap(), None, timeout, &mut |_| ())
}

#[test]
fn a_swipe_is_refused_queued_or_waited_for() {
    let w = World::new();
    let mut virtuals = w.virtuals();
    assert_eq!(
        refused(virtuals.swipe(PAN, "3012", When::Now)),
        "device: no virtual magnetic_reader is plugged in and open"
    );
    let mut reader = w.source(DeviceKind::MagneticReader);
    assert_eq!(
        refused(virtuals.swipe(PAN, "3012", When::Now)),
        "swipe: the magnetic_reader is not armed: nobody is asked for this now"
    );
    assert_eq!(
        refused(virtuals.swipe(PAN, "3012", When::Within(Duration::from_millis(30)))),
        "swipe: the magnetic_reader is not armed: nobody is asked for this now"
    );

    // Two cards ahead: one for each arming, however often `next` is called.
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    virtuals.swipe_tracks(";6222=3101?\r\n", false, When::Queue).unwrap();
    reader.arm(&[Way::Swipe, Way::Tap]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!(t.track2.as_deref(), Some(format!("{PAN}=3012120").as_str()));
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    reader.disarm().unwrap();
    reader.arm(&[Way::Swipe]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!(t.track2.as_deref(), Some("6222=3101"));
    reader.disarm().unwrap();

    // Track 1 may hold what JSON would escape; typed by a person, tracks go as they are.
    let t1 = Tracks { track1: Some("B6222^A\\\"B^3012".into()), track2: None, track3: None };
    virtuals.swipe_tracks(&track::compose(&t1, Lrc::Follows), true, When::Queue).unwrap();
    reader.arm(&[Way::Swipe]).unwrap();
    assert_eq!(instrument(&mut *reader), Instrument::Swiped(t1));
    let mut raw = UnixStream::connect(w.path()).unwrap();
    raw.write_all(b"{\"do\":\"swipe\",\"tracks\":\"%B6222^A^?;6222=3012?\",\"queue\":true}\n").unwrap();
    assert_eq!(BufReader::new(raw).lines().next().unwrap().unwrap(), r#"{"ok":true}"#);
    reader.arm(&[Way::Swipe]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!((t.track1.as_deref(), t.track2.as_deref()), (Some("B6222^A^"), Some("6222=3012")));
    reader.disarm().unwrap();

    // Waited for: arrives when the reader is armed.
    let path = w.path();
    let customer =
        std::thread::spawn(move || VirtualControl::connect(&path).unwrap().swipe(PAN, "3012", WITHIN));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!customer.is_finished());
    reader.arm(&[Way::Swipe]).unwrap();
    assert!(matches!(instrument(&mut *reader), Instrument::Swiped(_)));
    assert_eq!(customer.join().unwrap().unwrap(), None);

    // Swiped live and not taken: forgotten with the disarming, and not there for the next sale.
    reader.arm(&[Way::Swipe]).unwrap();
    virtuals.swipe(PAN, "3012", When::Now).unwrap();
    reader.disarm().unwrap();
    reader.arm(&[Way::Swipe]).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    // Armed for other ways only.
    reader.arm(&[Way::Scan]).unwrap();
    assert!(refused(virtuals.swipe(PAN, "3012", When::Now)).starts_with("swipe: "));
}

#[test]
fn what_a_reader_cannot_read_is_told() {
    let w = World::new();
    let (mut virtuals, mut reader, mut scanner) =
        (w.virtuals(), w.source(DeviceKind::MagneticReader), w.source(DeviceKind::Scanner));
    for (raw, lrc, want) in [
        (";6222=3012?x", true, "track 2: LRC wrong"),
        ("?2103=2226;", false, "track 2: swiped in the wrong direction"),
    ] {
        reader.arm(&[Way::Swipe]).unwrap();
        assert_eq!(virtuals.swipe_tracks(raw, lrc, When::Now).unwrap().as_deref(), Some(want));
        assert_eq!(instrument(&mut *reader), Instrument::Unreadable { way: Way::Swipe, why: want.into() });
    }
    scanner.arm(&[Way::Scan]).unwrap();
    assert_eq!(
        virtuals.scan("6901234567892", When::Now).unwrap().as_deref(),
        Some("payment code: 16 to 24 digits")
    );
    assert!(matches!(instrument(&mut *scanner), Instrument::Unreadable { way: Way::Scan, .. }));
    scanner.arm(&[Way::Scan]).unwrap();
    assert_eq!(virtuals.scan("134567890123456789", When::Now).unwrap(), None);
    let Instrument::Scanned(code) = instrument(&mut *scanner) else { panic!() };
    assert_eq!(code.reveal(), "134567890123456789");
}

#[test]
fn chip_contactless_and_keypad() {
    let w = World::new();
    let mut virtuals = w.virtuals();
    let (mut chip, mut tap, mut keys) = (
        w.source(DeviceKind::ChipReader),
        w.source(DeviceKind::ContactlessReader),
        w.source(DeviceKind::Keypad),
    );
    for s in [&mut chip, &mut tap] {
        s.arm(&[Way::Insert, Way::Tap]).unwrap();
    }
    virtuals.insert(When::Now).unwrap();
    virtuals.tap(When::Now).unwrap();
    assert_eq!((instrument(&mut *chip), instrument(&mut *tap)), (Instrument::Inserted, Instrument::Tapped));

    assert!(refused(virtuals.key("confirm", When::Now)).starts_with("key: the keypad is not armed"));
    keys.arm(&[]).unwrap();
    for k in ["1", "confirm", "cancel"] {
        virtuals.key(k, When::Now).unwrap();
    }
    let heard: Vec<_> = (0..3).map(|_| keys.next(LONG).unwrap()).collect();
    assert_eq!(heard, [Key::Digit(b'1'), Key::Confirm, Key::Cancel].map(|k| Some(SourceEvent::Key(k))));
    // A PAN is not taken where typing is not allowed.
    assert!(refused(virtuals.type_card(PAN, "3012", When::Now)).starts_with("type: "));
    keys.arm(&[Way::Typed]).unwrap();
    virtuals.type_card(PAN, "3012", When::Now).unwrap();
    assert_eq!(
        instrument(&mut *keys),
        Instrument::Typed { pan: Pan::parse(PAN).unwrap(), expiry: "3012".into() }
    );
}

#[test]
fn next_ends_by_its_time_out_or_by_an_interrupt() {
    let w = World::new();
    let mut reader = w.source(DeviceKind::MagneticReader);
    reader.arm(&[Way::Swipe]).unwrap();
    let began = Instant::now();
    assert_eq!(reader.next(Duration::from_millis(80)).unwrap(), None);
    assert!((80..1_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());

    let interrupt = reader.interrupt();
    let began = Instant::now();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        interrupt();
    });
    assert_eq!(reader.next(LONG).unwrap(), None);
    assert!(began.elapsed() < Duration::from_secs(5));
    other.join().unwrap();
    // One that comes before the wait is not lost, and ends one wait only.
    reader.interrupt()();
    assert_eq!(reader.next(LONG).unwrap(), None);
    w.virtuals().swipe(PAN, "3012", When::Now).unwrap();
    assert!(reader.next(LONG).unwrap().is_some());
}

#[test]
fn a_queued_card_is_handed_over_at_once() {
    let w = World::new();
    let (mut virtuals, mut reader) = (w.virtuals(), w.source(DeviceKind::MagneticReader));
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            virtuals.swipe(PAN, "3012", When::Queue).unwrap();
            let began = Instant::now();
            reader.arm(&[Way::Swipe]).unwrap();
            assert!(reader.next(LONG).unwrap().is_some());
            reader.disarm().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[25] < Duration::from_micros(200), "median {:?}", times[25]);
}

#[test]
fn a_switched_reader_gives_what_is_asked_for_and_nothing_else() {
    let w = World::new();
    let (mut virtuals, mut reader) = (w.virtuals(), w.source(DeviceKind::MagneticReader));
    let switch = reader.switch().unwrap();
    assert!(w.source(DeviceKind::ContactlessReader).switch().is_none(), "its field goes on by command");
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "it rests");
    // Its thread waits already when it is switched on.
    let thread = std::thread::spawn(move || (instrument(&mut *reader), reader));
    std::thread::sleep(Duration::from_millis(50));
    switch(Some(&[Way::Swipe]));
    let (card, mut reader) = thread.join().unwrap();
    assert!(matches!(card, Instrument::Swiped(_)));
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "one an offer");
    switch(Some(&[Way::Tap]));
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "of another way");
    switch(Some(&[Way::Swipe]));
    assert!(matches!(instrument(&mut *reader), Instrument::Swiped(_)));
    // Who waits for the reader to be asked hears of it; a card that nobody took is forgotten.
    let late = std::thread::spawn(move || virtuals.swipe(PAN, "3012", When::Within(LONG)).map(|_| virtuals));
    std::thread::sleep(Duration::from_millis(50));
    switch(Some(&[Way::Swipe]));
    let mut virtuals = late.join().unwrap().unwrap();
    switch(None);
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    // One of a driver that was replaced does nothing.
    let mut successor = w.source(DeviceKind::MagneticReader);
    switch(Some(&[Way::Swipe]));
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(successor.next(Duration::from_millis(30)).unwrap(), None);
    successor.arm(&[Way::Swipe]).unwrap();
    assert!(matches!(instrument(&mut *successor), Instrument::Swiped(_)));
}

#[test]
fn pins_of_every_sort() {
    let w = World::new();
    let (mut virtuals, mut pad) = (w.virtuals(), w.pad());
    assert_eq!(refused(virtuals.pin("1234", When::Now)), "pin: nobody is asked for a PIN now");
    virtuals.pin("123459", When::Queue).unwrap();
    virtuals.pin("bypass", When::Queue).unwrap();
    let mut typed = Vec::new();
    let entry = pad.enter("main", &Pan::parse(PAN).unwrap(), None, LONG, &mut |n| typed.push(n));
    assert_eq!(pin_of(entry), [6, b'9', 4]);
    assert_eq!(typed, [0, 6], "they are typed at once");
    assert_eq!(enter(&mut *pad, LONG), PinEntry::Bypassed);

    let began = Instant::now();
    assert_eq!(enter(&mut *pad, Duration::from_millis(60)), PinEntry::TimedOut);
    assert!((60..1_000).contains(&began.elapsed().as_millis()));

    let path = w.path();
    let customer = std::thread::spawn(move || {
        let mut virtuals = VirtualControl::connect(&path).unwrap();
        virtuals.pin("cancel", WITHIN).unwrap();
        virtuals.pin("4321", WITHIN).unwrap();
    });
    assert_eq!(enter(&mut *pad, LONG), PinEntry::Cancelled);
    assert_eq!(pin_of(enter(&mut *pad, LONG)), [4, b'1', 4]);
    customer.join().unwrap();

    // The vault's refusal is told, without digits.
    virtuals.pin("1234", When::Queue).unwrap();
    assert_eq!(
        pad.enter("locked", &Pan::parse(PAN).unwrap(), None, LONG, &mut |_| ()),
        PinEntry::Failed("no key in slot locked".into())
    );
}

#[test]
fn a_pin_entry_is_interrupted_and_a_stale_interrupt_is_forgotten() {
    let w = World::new();
    let mut pad = w.pad();
    let interrupt = pad.interrupt();
    interrupt();
    w.virtuals().pin("1234", When::Queue).unwrap();
    assert_eq!(pin_of(enter(&mut *pad, LONG)), [4, b'4', 4]);
    // From the first progress on, every interrupt counts.
    let entry = pad.enter("main", &Pan::parse(PAN).unwrap(), None, LONG, &mut |n| {
        if n == 0 {
            interrupt()
        }
    });
    assert_eq!(entry, PinEntry::Cancelled);
}

#[test]
fn screens_and_papers_are_waited_for() {
    let w = World::new();
    let (mut virtuals, mut display) = (w.virtuals(), w.display());
    let paper = w.dir.path().join("paper.txt");
    let mut printer = w.printer(Some(&format!("file:{}", paper.display())));
    assert_eq!(virtuals.screen().unwrap(), Vec::<String>::new());
    let path = w.path();
    let waiting = std::thread::spawn(move || {
        let mut virtuals = VirtualControl::connect(&path).unwrap();
        (virtuals.wait_screen("请刷卡", LONG).unwrap(), virtuals.wait_papers(2, LONG).unwrap())
    });
    display.show(&["测试 TEST".into(), "请刷卡 \"12.34\"".into()]).unwrap();
    let job = |id| PrintJob { id, escpos: Vec::new(), text: format!("paper {id}\n商户存根") };
    assert_eq!(printer.print(&job(1)), PrintResult::Confirmed);
    assert_eq!(printer.print(&job(2)), PrintResult::Confirmed);
    let (lines, papers) = waiting.join().unwrap();
    assert_eq!(lines, ["测试 TEST", "请刷卡 \"12.34\""]);
    assert_eq!(papers, (2, vec!["paper 1\n商户存根".to_owned(), "paper 2\n商户存根".to_owned()]));
    let text = std::fs::read_to_string(&paper).unwrap();
    assert!(text.starts_with("paper 1\n商户存根\n----") && text.contains("paper 2"), "{text}");
    assert_eq!(paper.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(
        refused(virtuals.wait_screen("other", Duration::from_millis(20))),
        "contains: not shown in time"
    );
    assert_eq!(
        refused(virtuals.wait_papers(3, Duration::from_millis(20))),
        "count: 2 papers came out in time"
    );

    virtuals.paper_out(true).unwrap();
    assert_eq!(printer.status().unwrap().paper, PaperLevel::Out);
    assert_eq!(printer.print(&job(3)), PrintResult::NotStarted("paper out".into()));
    virtuals.paper_out(false).unwrap();
    virtuals.printer_online(false).unwrap();
    assert_eq!(printer.print(&job(3)), PrintResult::NotStarted("offline".into()));
    virtuals.printer_online(true).unwrap();
    assert_eq!(printer.print(&job(3)), PrintResult::Confirmed);
    assert_eq!(virtuals.papers().unwrap().0, 3);
}

#[test]
fn unplugged_hung_and_panicking_drivers() {
    let w = World::new();
    let (mut virtuals, mut reader) = (w.virtuals(), w.source(DeviceKind::MagneticReader));
    reader.arm(&[Way::Swipe]).unwrap();
    virtuals.plug("magnetic-reader", false).unwrap();
    assert!(matches!(reader.next(LONG), Err(DeviceError::Gone { .. })));
    assert!(matches!(w.open(DeviceKind::MagneticReader, None), Err(DeviceError::Gone { .. })));
    assert_eq!(
        refused(virtuals.swipe(PAN, "3012", When::Queue)),
        "device: no virtual magnetic_reader is plugged in and open"
    );
    virtuals.plug("magnetic-reader", true).unwrap();
    reader.arm(&[Way::Swipe]).unwrap();

    // The hung driver is abandoned; its successor gets the card, the late one gets nothing.
    virtuals.hang("magnetic-reader", Duration::from_millis(400)).unwrap();
    let began = Instant::now();
    let hung = std::thread::spawn(move || (reader.next(Duration::from_millis(10)), began.elapsed()));
    std::thread::sleep(Duration::from_millis(50));
    let mut successor = w.source(DeviceKind::MagneticReader);
    successor.arm(&[Way::Swipe]).unwrap();
    let (late, after) = hung.join().unwrap();
    assert!(matches!(late, Err(DeviceError::Replaced { .. })), "{late:?}");
    assert!(after >= Duration::from_millis(400));
    // Its end takes nothing from the successor.
    virtuals.swipe(PAN, "3012", When::Now).unwrap();
    assert!(matches!(instrument(&mut *successor), Instrument::Swiped(_)));

    // A panic in the wait, as supervision sees it; the bench lives on.
    let thread = std::thread::spawn(move || successor.next(LONG));
    virtuals.panic("magnetic-reader").unwrap();
    assert!(thread.join().is_err());
    let mut third = w.source(DeviceKind::MagneticReader);
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    third.arm(&[Way::Swipe]).unwrap();
    assert!(matches!(instrument(&mut *third), Instrument::Swiped(_)));
    assert_eq!(
        virtuals.devices().unwrap(),
        [("magnetic-reader".to_owned(), "magnetic_reader".to_owned(), true)]
    );
    drop(third);
    assert!(!virtuals.devices().unwrap()[0].2);
}

#[test]
fn bad_lines_are_refused_by_field_and_never_quoted() {
    let w = World::new();
    let (_reader, _pad, _keys) =
        (w.source(DeviceKind::MagneticReader), w.pad(), w.source(DeviceKind::Keypad));
    let stream = UnixStream::connect(w.path()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut ask = |line: &str| {
        writeln!(&stream, "{line}").unwrap();
        let reply = replies.next().unwrap().unwrap();
        for secret in [PAN, "987654", "30120000"] {
            assert!(!reply.contains(secret), "{reply}");
        }
        let v: serde_json::Value = serde_json::from_str(&reply).unwrap();
        v["error"]["field"].as_str().unwrap_or_else(|| panic!("{line}: {reply}")).to_owned()
    };
    for (line, field) in [
        ("", "line"),
        ("[]", "line"),
        ("{\"do\":\"swipe\"", "line"),
        ("\u{fffd}", "line"),
        (r#"{"do":"pin","pin":987654}"#, "line"),
        (r#"{"do":"pin","pn":"987654"}"#, "line"),
        (r#"{"do":"pin","6222021234567890128":1}"#, "line"),
        (r#"{"do":"pin","pin":"\u0039987654"}"#, "line"),
        (r#"{"do":"fly"}"#, "do"),
        (r#"{"do":"swipe"}"#, "tracks"),
        (r#"{"do":"swipe","pan":"6222021234567890128"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"3013"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"30é"}"#, "expiry"),
        (r#"{"do":"swipe","pan":"6222021234567890128x","expiry":"3012"}"#, "pan"),
        (r#"{"do":"swipe","pan":"6222021234567890128","expiry":"3012","service":"12"}"#, "service"),
        (r#"{"do":"swipe","tracks":"3b313","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":"3b+1","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":"3bé","hex":true}"#, "tracks"),
        (r#"{"do":"swipe","tracks":";1?","queue":true,"wait_ms":5}"#, "queue"),
        (r#"{"do":"swipe","tracks":";1?","wait_ms":600001}"#, "wait_ms"),
        (r#"{"do":"pin","pin":"987654987654987"}"#, "pin"),
        (r#"{"do":"pin"}"#, "pin"),
        (r#"{"do":"key","key":"12"}"#, "key"),
        (r#"{"do":"plug","on":true}"#, "on_or_device"),
        (r#"{"do":"plug","device":"nothing","on":true}"#, "device"),
        (r#"{"do":"hang","device":"pin-pad"}"#, "ms"),
        (r#"{"do":"papers"}"#, "device"),
    ] {
        let want = if field == "on_or_device" { "device" } else { field };
        assert_eq!(ask(line), want, "{line}");
    }
    let escaped = UnixStream::connect(w.path()).unwrap();
    (&escaped).write_all(b"{\"do\":\"screen\",\"contains\":\"\\u0039\"}\n").unwrap();
    let reply = BufReader::new(escaped).lines().next().unwrap().unwrap();
    assert_eq!(
        reply, r#"{"error":{"field":"line","rule":"no backslash escapes"}}"#,
        "refused before a parser copies it"
    );
    // The queue is bounded.
    for n in 0..65 {
        let reply = w.virtuals().insert(When::Queue);
        assert!(reply.is_err(), "{n}: no chip reader is open");
    }
    for n in 0..65 {
        assert_eq!(w.virtuals().swipe(PAN, "3012", When::Queue).is_ok(), n < 64);
    }
    // A line without an end.
    let long = UnixStream::connect(w.path()).unwrap();
    (&long).write_all(&vec![b' '; 4096]).unwrap();
    let mut reply = String::new();
    BufReader::new(&long).read_line(&mut reply).unwrap();
    assert_eq!(reply, "{\"error\":{\"field\":\"line\",\"rule\":\"at most 4096 bytes\"}}\n");
}

#[test]
fn one_of_several_devices_is_chosen() {
    let w = World::new();
    let two = |name: &str, kind| {
        let config = DeviceConfig {
            name: name.into(),
            kind,
            driver: "virtual".into(),
            address: None,
            paper_mm: None,
            confirm: None,
            command_timeout_ms: 1_000,
        };
        open(&config, &w.env)
    };
    let (Ok(Driver::Source(mut a)), Ok(Driver::Source(mut b))) =
        (two("a", DeviceKind::ChipReader), two("b", DeviceKind::ChipReader))
    else {
        panic!()
    };
    b.arm(&[Way::Insert]).unwrap();
    let insert = || SourceEvent::Instrument(Instrument::Inserted);
    // The armed one takes it.
    w.env.bench.present(None, insert(), When::Now).unwrap();
    assert_eq!(instrument(&mut *b), Instrument::Inserted);
    b.arm(&[Way::Insert]).unwrap();
    assert!(w.env.bench.present(Some("a"), insert(), When::Now).is_err());
    a.arm(&[Way::Insert]).unwrap();
    w.env.bench.present(Some("a"), insert(), When::Now).unwrap();
    assert_eq!(instrument(&mut *a), Instrument::Inserted);
    assert_eq!(b.next(Duration::from_millis(20)).unwrap(), None);
    assert_eq!(
        two("a", DeviceKind::Scanner).err().unwrap().to_string(),
        "device a: name: taken by a virtual device of another kind"
    );
    assert!(matches!(
        w.open(DeviceKind::Scanner, Some("file:/x")),
        Err(DeviceError::Rule { field: "address", .. })
    ));
    assert!(matches!(
        w.open(DeviceKind::Printer, Some("paper.txt")),
        Err(DeviceError::Rule { field: "address", .. })
    ));
}

#[test]
fn commands_in_one_write_are_answered_in_order() {
    let w = World::new();
    let _display = w.display();
    let stream = UnixStream::connect(w.path()).unwrap();
    (&stream).write_all(b"{\"do\":\"fly\"}\n{\"do\":\"screen\"}\n{\"do\":\"scr").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(|l| l.unwrap());
    assert!(lines.next().unwrap().contains("no such command"));
    assert_eq!(lines.next().unwrap(), r#"{"lines":[],"ok":true}"#);
    (&stream).write_all(b"een\"}\n").unwrap();
    assert_eq!(lines.next().unwrap(), r#"{"lines":[],"ok":true}"#);
}

#[test]
fn the_socket_is_ours_alone() {
    let mut w = World::new();
    let (path, bench) = (w.path(), w.env.bench.clone());
    let start = || VirtualControlServer::start(bench.clone(), &path).map(drop).map_err(|e| e.to_string());
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(start(), Err("virtual control socket: in use by another process".into()));
    let mut client = w.virtuals();
    drop(w.server.take());
    assert!(!path.exists());
    assert!(client.screen().is_err(), "clients are let go");

    // A stale socket is replaced, anything else is not touched.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(start(), Ok(()));
    std::fs::write(&path, b"mine").unwrap();
    assert_eq!(start(), Err("virtual control socket: something that is no socket is in its place".into()));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    for mode in [0o755, 0o701, 0o770] {
        std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            start(),
            Err("virtual control socket: its directory must be a directory of this user with mode 0700"
                .into())
        );
    }
    let link = w.dir.path().join("link");
    std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(w.dir.path(), &link).unwrap();
    assert!(VirtualControlServer::start(bench.clone(), &link.join("virtual.sock")).is_err());
}

/// Needs root to become somebody else; the modes are opened so that only the check of the peer's uid is in
/// the way.
#[test]
fn another_user_is_turned_away() {
    if let Ok(path) = std::env::var("PAYTERM_TEST_VIRTUAL") {
        let stream = UnixStream::connect(path).unwrap();
        let _ = (&stream).write_all(b"{\"do\":\"devices\"}\n");
        let mut reply = String::new();
        let _ = BufReader::new(&stream).read_line(&mut reply);
        assert_eq!(reply, std::env::var("PAYTERM_TEST_REPLY").unwrap());
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: not root");
        return;
    }
    let w = World::new();
    std::fs::set_permissions(w.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(w.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let program = w.dir.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (uid, reply) in [(0, "{\"devices\":[],\"ok\":true}\n"), (65_534, "")] {
        let mut child = std::process::Command::new(&program);
        child
            .args(["--exact", "virtuals::another_user_is_turned_away"])
            .current_dir("/")
            .env("PAYTERM_TEST_VIRTUAL", w.path())
            .env("PAYTERM_TEST_REPLY", reply);
        let out = child.uid(uid).gid(uid).output().unwrap();
        assert!(out.status.success(), "uid {uid}: {}", String::from_utf8_lossy(&out.stdout));
        assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
    }
}

#[test]
fn every_virtual_device_tests_itself() {
    let w = World::new();
    let mut virtuals = w.virtuals();
    let kinds = [
        DeviceKind::MagneticReader,
        DeviceKind::ChipReader,
        DeviceKind::ContactlessReader,
        DeviceKind::Scanner,
        DeviceKind::Keypad,
    ];
    for kind in kinds {
        let name = kind.name().replace('_', "-");
        let mut s = w.source(kind);
        s.arm(&[Way::Swipe, Way::Scan]).unwrap();
        assert_eq!(s.self_test().unwrap(), Finding::works(), "{name}");
        virtuals.read_fault(&name, true).unwrap();
        assert_eq!(s.self_test().unwrap(), Finding::failed("reads-nothing"), "{name}");
        virtuals.read_fault(&name, false).unwrap();
        if kind == DeviceKind::MagneticReader {
            // A test between arming and the customer takes nothing from either.
            virtuals.swipe(PAN, "3012", When::Now).unwrap();
            assert_eq!(s.self_test().unwrap(), Finding::works());
            assert!(matches!(s.next(LONG).unwrap(), Some(SourceEvent::Instrument(Instrument::Swiped(_)))));
        }
        virtuals.plug(&name, false).unwrap();
        assert!(s.self_test().is_err(), "{name}");
    }
    let mut p = w.printer(None);
    for (on, code) in [(true, "cover-open"), (false, "works")] {
        virtuals.cover_open(on).unwrap();
        assert_eq!(p.self_test().unwrap().code, code);
    }
    let Driver::Display(mut d) = w.open(DeviceKind::Display, None).unwrap() else { panic!() };
    assert_eq!(d.self_test().unwrap(), Finding::works());
    assert_eq!(virtuals.screen().unwrap(), payterm_devices::pattern());
    // A pad without the key of an account says which.
    let encipher = Arc::new(
        |slot: &str, _: &payterm_schema::secret::Pin, _: &Pan| {
            if slot == "b" { Err("no key".into()) } else { Ok(PinBlock::new([0; 8])) }
        },
    );
    let w = World { env: Env { bench: VirtualBench::new(), encipher }, server: None, ..w };
    let Driver::PinPad(mut pad) = w.open(DeviceKind::PinPad, None).unwrap() else { panic!() };
    assert_eq!(pad.self_test(&["a".into()]), Finding::works());
    assert_eq!(
        pad.self_test(&["a".into(), "b".into()]),
        Finding::degraded("pin-keys-missing").with("account", "b")
    );
}
