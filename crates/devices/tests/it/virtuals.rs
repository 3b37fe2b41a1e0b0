//! Virtual devices worked through their control socket.
use crate::world::{LONG, PAN, WITHIN, World, enter, instrument, pin_of, refused};
use payterm_devices::{
    DeviceError, Drivers, Env, Face, PaperLevel, PrintJob, Source, SourceEvent, VirtualBench,
    track::{self, Lrc},
    virtual_bench::When,
    virtual_control::VirtualControl,
};
use payterm_schema::{
    DeviceKind, Instrument, Pan, PaymentCode, PinBlock, Tracks, card::Interface, config::DeviceConfig,
    device::Key, host::EntryMode, paper::PrintResult, secret::PinEntry, selftest::Finding,
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

const CODE: &str = "134567890123456789";

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
    virtuals.swipe_tracks(";622202000000=3101?\r\n", false, When::Queue).unwrap();
    reader.arm(&[EntryMode::Swipe, EntryMode::Contactless]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!(t.track2.as_deref(), Some(format!("{PAN}=3012120").as_str()));
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    reader.disarm().unwrap();
    reader.arm(&[EntryMode::Swipe]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!(t.track2.as_deref(), Some("622202000000=3101"));
    reader.disarm().unwrap();

    // Track 1 may hold what JSON would escape; typed by a person, tracks go as they are.
    let t1 = Tracks { track1: Some("B6222^A\\\"B^3012".into()), track2: None, track3: None };
    virtuals.swipe_tracks(&track::compose(&t1, Lrc::Follows), true, When::Queue).unwrap();
    reader.arm(&[EntryMode::Swipe]).unwrap();
    assert_eq!(instrument(&mut *reader), Instrument::Swiped(t1));
    let mut raw = UnixStream::connect(w.path()).unwrap();
    raw.write_all(b"{\"do\":\"swipe\",\"tracks\":\"%B6222^A^?;622202000000=3012?\",\"queue\":true}\n")
        .unwrap();
    assert_eq!(BufReader::new(raw).lines().next().unwrap().unwrap(), r#"{"ok":true}"#);
    reader.arm(&[EntryMode::Swipe]).unwrap();
    let Instrument::Swiped(t) = instrument(&mut *reader) else { panic!() };
    assert_eq!((t.track1.as_deref(), t.track2.as_deref()), (Some("B6222^A^"), Some("622202000000=3012")));
    reader.disarm().unwrap();

    // Waited for: arrives when the reader is armed.
    let path = w.path();
    let customer =
        std::thread::spawn(move || VirtualControl::connect(&path).unwrap().swipe(PAN, "3012", WITHIN));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!customer.is_finished());
    reader.arm(&[EntryMode::Swipe]).unwrap();
    assert!(matches!(instrument(&mut *reader), Instrument::Swiped(_)));
    assert_eq!(customer.join().unwrap().unwrap(), None);

    // Swiped live and not taken: forgotten with the disarming, and not there for the next sale.
    reader.arm(&[EntryMode::Swipe]).unwrap();
    virtuals.swipe(PAN, "3012", When::Now).unwrap();
    reader.disarm().unwrap();
    reader.arm(&[EntryMode::Swipe]).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    // Armed for other ways only.
    reader.arm(&[EntryMode::Code]).unwrap();
    assert!(refused(virtuals.swipe(PAN, "3012", When::Now)).starts_with("swipe: "));
}

#[test]
fn what_a_reader_cannot_read_is_told() {
    let w = World::new();
    let (mut virtuals, mut reader, mut scanner) =
        (w.virtuals(), w.source(DeviceKind::MagneticReader), w.source(DeviceKind::Scanner));
    for (raw, lrc, want) in [
        (";622202000000=3012?x", true, "track 2: LRC wrong"),
        ("?2103=000000202226;", false, "track 2: swiped in the wrong direction"),
    ] {
        reader.arm(&[EntryMode::Swipe]).unwrap();
        assert_eq!(virtuals.swipe_tracks(raw, lrc, When::Now).unwrap().as_deref(), Some(want));
        assert_eq!(
            instrument(&mut *reader),
            Instrument::Unreadable { mode: EntryMode::Swipe, why: want.into() }
        );
    }
    scanner.arm(&[EntryMode::Code]).unwrap();
    assert_eq!(
        virtuals.scan("6901234567892", When::Now).unwrap().as_deref(),
        Some("payment code: 16 to 24 digits")
    );
    assert!(matches!(instrument(&mut *scanner), Instrument::Unreadable { mode: EntryMode::Code, .. }));
    scanner.arm(&[EntryMode::Code]).unwrap();
    assert_eq!(virtuals.scan("134567890123456789", When::Now).unwrap(), None);
    let Instrument::Scanned(code) = instrument(&mut *scanner) else { panic!() };
    assert_eq!(code.reveal(), "134567890123456789");
}

#[test]
fn chip_and_contactless_cards_are_found() {
    let w = World::new();
    let mut virtuals = w.virtuals();
    let (mut chip, mut tap) =
        (w.card_reader(DeviceKind::ChipReader), w.card_reader(DeviceKind::ContactlessReader));
    let short = Duration::from_millis(30);
    assert!(tap.switch().is_none(), "its field goes on by command");
    // A slot sees cards all the time, and gives one when it is asked for.
    let switch = chip.switch().unwrap();
    assert!(refused(virtuals.insert(When::Now)).starts_with("chip: the chip_reader is not armed"));
    switch.set(Some(&[EntryMode::Chip]));
    virtuals.insert(When::Now).unwrap();
    assert_eq!(chip.wait(LONG).unwrap(), Some(Interface::Contact));
    virtuals.insert(When::Queue).unwrap();
    assert_eq!(chip.wait(short).unwrap(), None, "one an offer");
    switch.set(Some(&[EntryMode::Chip]));
    assert_eq!(chip.wait(LONG).unwrap(), Some(Interface::Contact));

    // The field is on while somebody waits for a card.
    assert!(refused(virtuals.tap(When::Now)).starts_with("contactless: the contactless_reader is not armed"));
    assert_eq!(tap.wait(short).unwrap(), None);
    virtuals.tap(When::Now).unwrap();
    assert_eq!(tap.wait(LONG).unwrap(), Some(Interface::Contactless));
    assert_eq!(tap.wait(short).unwrap(), None);
    virtuals.tap(When::Now).unwrap();
    tap.release().unwrap();
    assert_eq!(tap.wait(short).unwrap(), None, "a card that nobody took is forgotten");
    tap.interrupt()();
    assert_eq!(tap.wait(LONG).unwrap(), None);
}

#[test]
fn keys_and_typed_cards() {
    let w = World::new();
    let (mut virtuals, mut keys) = (w.virtuals(), w.source(DeviceKind::Keypad));
    assert!(refused(virtuals.key("confirm", When::Now)).starts_with("key: the keypad is not armed"));
    keys.arm(&[]).unwrap();
    for k in ["1", "confirm", "cancel"] {
        virtuals.key(k, When::Now).unwrap();
    }
    let heard: Vec<_> = (0..3).map(|_| keys.next(LONG).unwrap()).collect();
    assert_eq!(heard, [Key::Digit(b'1'), Key::Confirm, Key::Cancel].map(|k| Some(SourceEvent::Key(k))));
    // A PAN is not taken where typing is not allowed.
    assert!(refused(virtuals.type_card(PAN, "3012", When::Now)).starts_with("manual: "));
    keys.arm(&[EntryMode::Manual]).unwrap();
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
    reader.arm(&[EntryMode::Swipe]).unwrap();
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
            reader.arm(&[EntryMode::Swipe]).unwrap();
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
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "it rests");
    // Its thread waits already when it is switched on.
    let thread = std::thread::spawn(move || (instrument(&mut *reader), reader));
    std::thread::sleep(Duration::from_millis(50));
    switch.set(Some(&[EntryMode::Swipe]));
    let (card, mut reader) = thread.join().unwrap();
    assert!(matches!(card, Instrument::Swiped(_)));
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "one an offer");
    switch.set(Some(&[EntryMode::Contactless]));
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None, "of another way");
    switch.set(Some(&[EntryMode::Swipe]));
    assert!(matches!(instrument(&mut *reader), Instrument::Swiped(_)));
    // Who waits for the reader to be asked hears of it, from the thread that waits in it.
    switch.set(None);
    let thread = std::thread::spawn(move || (instrument(&mut *reader), reader));
    let path = w.path();
    let late = std::thread::spawn(move || {
        VirtualControl::connect(&path).unwrap().swipe(PAN, "3012", When::Within(LONG))
    });
    std::thread::sleep(Duration::from_millis(50));
    assert!(!late.is_finished());
    switch.set(Some(&[EntryMode::Swipe]));
    assert_eq!(late.join().unwrap().unwrap(), None);
    let (card, mut reader) = thread.join().unwrap();
    assert!(matches!(card, Instrument::Swiped(_)));
    // A card that nobody took is forgotten, even when the reader is asked again before its thread looked.
    switch.set(Some(&[EntryMode::Swipe]));
    virtuals.swipe(PAN, "3012", When::Now).unwrap();
    switch.set(None);
    switch.set(Some(&[EntryMode::Swipe]));
    assert_eq!(reader.next(Duration::from_millis(30)).unwrap(), None);
    // Asked again without a rest, it is as good as before.
    virtuals.swipe(PAN, "3012", When::Now).unwrap();
    switch.set(Some(&[EntryMode::Swipe]));
    assert!(matches!(instrument(&mut *reader), Instrument::Swiped(_)));
    // The switch of a driver that was replaced does nothing.
    let mut successor = w.source(DeviceKind::MagneticReader);
    switch.set(Some(&[EntryMode::Swipe]));
    virtuals.swipe(PAN, "3012", When::Queue).unwrap();
    assert_eq!(successor.next(Duration::from_millis(30)).unwrap(), None);
    successor.arm(&[EntryMode::Swipe]).unwrap();
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
    let job =
        |id| PrintJob { id, escpos: Vec::new(), text: format!("paper {id}\n商户存根"), drawer: false };
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
    reader.arm(&[EntryMode::Swipe]).unwrap();
    virtuals.plug("magnetic-reader", false).unwrap();
    assert!(matches!(reader.next(LONG), Err(DeviceError::Gone { .. })));
    assert!(matches!(w.open(DeviceKind::MagneticReader, None), Err(DeviceError::Gone { .. })));
    assert_eq!(
        refused(virtuals.swipe(PAN, "3012", When::Queue)),
        "device: no virtual magnetic_reader is plugged in and open"
    );
    virtuals.plug("magnetic-reader", true).unwrap();
    reader.arm(&[EntryMode::Swipe]).unwrap();

    // The hung driver is abandoned; its successor gets the card, the late one gets nothing.
    virtuals.hang("magnetic-reader", Duration::from_millis(400)).unwrap();
    let began = Instant::now();
    let hung = std::thread::spawn(move || (reader.next(Duration::from_millis(10)), began.elapsed()));
    std::thread::sleep(Duration::from_millis(50));
    let mut successor = w.source(DeviceKind::MagneticReader);
    successor.arm(&[EntryMode::Swipe]).unwrap();
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
    third.arm(&[EntryMode::Swipe]).unwrap();
    assert!(matches!(instrument(&mut *third), Instrument::Swiped(_)));
    assert_eq!(
        virtuals.devices().unwrap(),
        [("magnetic-reader".to_owned(), "magnetic_reader".to_owned(), true)]
    );
    drop(third);
    assert!(!virtuals.devices().unwrap()[0].2);
}

#[test]
fn one_of_several_devices_is_chosen() {
    let w = World::new();
    let two = |name: &str, kind| {
        let opened = Drivers::default().open(&DeviceConfig::new(name, kind, "virtual"), &w.env);
        opened.map(|mut faces| faces.remove(0))
    };
    let (Ok(Face::Scanner(mut a)), Ok(Face::Scanner(mut b))) =
        (two("a", DeviceKind::Scanner), two("b", DeviceKind::Scanner))
    else {
        panic!()
    };
    let code = || SourceEvent::Instrument(Instrument::Scanned(PaymentCode::parse(CODE).unwrap()));
    let scanned = |s: &mut dyn Source| matches!(instrument(s), Instrument::Scanned(_));
    b.arm(&[EntryMode::Code]).unwrap();
    // The armed one takes it.
    w.env.bench.present(None, code(), When::Now).unwrap();
    assert!(scanned(&mut *b));
    b.arm(&[EntryMode::Code]).unwrap();
    assert!(w.env.bench.present(Some("a"), code(), When::Now).is_err());
    a.arm(&[EntryMode::Code]).unwrap();
    w.env.bench.present(Some("a"), code(), When::Now).unwrap();
    assert!(scanned(&mut *a));
    assert_eq!(b.next(Duration::from_millis(20)).unwrap(), None);
    assert_eq!(
        two("a", DeviceKind::Keypad).err().unwrap().to_string(),
        "device a: name: taken by a virtual device of another kind"
    );
    assert!(matches!(
        w.open(DeviceKind::Scanner, Some("file:/x")),
        Err(DeviceError::Rule { field, .. }) if field == "address"
    ));
    assert!(matches!(
        w.open(DeviceKind::Printer, Some("paper.txt")),
        Err(DeviceError::Rule { field, .. }) if field == "address"
    ));
}

#[test]
fn every_virtual_device_tests_itself() {
    let w = World::new();
    let mut virtuals = w.virtuals();
    let kinds = [DeviceKind::MagneticReader, DeviceKind::Scanner, DeviceKind::Keypad];
    for kind in kinds {
        let name = kind.name().replace('_', "-");
        let mut s = w.source(kind);
        s.arm(&[EntryMode::Swipe, EntryMode::Code]).unwrap();
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
    for kind in [DeviceKind::ChipReader, DeviceKind::ContactlessReader] {
        let name = kind.name().replace('_', "-");
        let mut card = w.card_reader(kind);
        assert_eq!(card.self_test().unwrap(), Finding::works(), "{name}");
        virtuals.read_fault(&name, true).unwrap();
        assert_eq!(card.self_test().unwrap(), Finding::failed("reads-nothing"), "{name}");
        virtuals.plug(&name, false).unwrap();
        assert!(card.self_test().is_err(), "{name}");
    }
    let mut p = w.printer(None);
    for (on, code) in [(true, "cover-open"), (false, "confirms-papers")] {
        virtuals.cover_open(on).unwrap();
        assert_eq!(p.self_test().unwrap().code, code);
    }
    let Face::Display(mut d) = w.open(DeviceKind::Display, None).unwrap() else { panic!() };
    assert_eq!(d.self_test().unwrap(), Finding::works());
    let shown = virtuals.screen().unwrap();
    assert_eq!((shown.len(), shown[0].len(), shown[2].chars().last()), (4, 40, Some('~')), "{shown:?}");
    drop(d);
    let mut small = DeviceConfig::new("display", DeviceKind::Display, "virtual");
    small.options.insert("size".into(), "20x2".into());
    let Face::Display(mut d) = Drivers::default().open(&small, &w.env).unwrap().remove(0) else { panic!() };
    assert_eq!(d.self_test().unwrap(), Finding::works());
    let shown = virtuals.screen().unwrap();
    assert_eq!((shown.len(), shown[0].len(), d.size().lines), (2, 20, 2), "{shown:?}");
    // A pad without the key of an account says which.
    let encipher = Arc::new(
        |slot: &str, _: &payterm_schema::secret::Pin, _: &Pan| {
            if slot == "b" { Err("no key".into()) } else { Ok(PinBlock::iso0([0; 8])) }
        },
    );
    let w = World { env: Env { bench: VirtualBench::new(), encipher, kernel: None }, server: None, ..w };
    let Face::PinPad(mut pad) = w.open(DeviceKind::PinPad, None).unwrap() else { panic!() };
    assert_eq!(pad.self_test(&["a".into()]), Finding::works());
    assert_eq!(
        pad.self_test(&["a".into(), "b".into()]),
        Finding::degraded("pin-keys-missing").with("account", "b")
    );
}
