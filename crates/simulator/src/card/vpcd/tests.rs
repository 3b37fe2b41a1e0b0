//! A test card behind a real TCP socket; the test is the reader.
use super::super::{
    PERSONAS, Personas,
    issuer::{CardIssuer, Script, When},
    memory::{Kept, MemoryError},
    play::DATE,
    runs,
};
use super::*;
use payterm_emv::{
    Command,
    command::Cryptogram,
    step::{By, End, HostWord, Input, Proceed, Step, Verdict},
};
use payterm_schema::icc::Icc;
use std::{
    net::TcpListener,
    path::Path,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const DEBIT: [u8; 8] = [0xA0, 0, 0, 0x03, 0x33, 0x01, 0x01, 0x01];

fn card(name: &str) -> TestCard {
    TestCard::new(&Personas::parse(PERSONAS).unwrap(), name, DATE).unwrap()
}

/// The reader's side, and the card that is in it.
struct Reader {
    stream: TcpStream,
    card: JoinHandle<(Left, TestCard, Behaviour)>,
}
impl Reader {
    fn with(mut card: TestCard, mut behaviour: Behaviour, state: Option<&Path>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut kept = state.map(|path| Kept::open(path, &mut card).unwrap());
        let card = thread::spawn(move || {
            let stream = TcpStream::connect(address).unwrap();
            let mut keep = |card: &TestCard| kept.as_mut().map_or(Ok(()), |kept| kept.write(card));
            let left = serve(&stream, &mut card, &mut behaviour, &mut keep).unwrap();
            (left, card, behaviour)
        });
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reader = Self { stream, card };
        reader.control(ON);
        reader
    }
    fn of(name: &str) -> Self {
        Self::with(card(name), Behaviour::default(), None)
    }
    fn control(&mut self, byte: u8) {
        self.stream.write_all(&[0, 1, byte]).unwrap();
    }
    /// As vpcd writes: the length by itself.
    fn tell(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(&(bytes.len() as u16).to_be_bytes());
        let _ = self.stream.write_all(bytes);
    }
    /// None: the card is gone, or says nothing.
    fn heard(&mut self) -> Option<Vec<u8>> {
        let mut len = [0; 2];
        self.stream.read_exact(&mut len).ok()?;
        let mut bytes = vec![0; u16::from_be_bytes(len).into()];
        self.stream.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
    fn ask(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.tell(bytes);
        self.heard()
    }
    fn say(&mut self, command: &Command) -> Vec<u8> {
        self.ask(&command.bytes()).unwrap()
    }
    /// Closes the connection; what became of the card.
    fn close(self) -> (Left, TestCard, Behaviour) {
        drop(self.stream);
        self.card.join().unwrap()
    }
    /// Application selected, processing options got.
    fn begin(&mut self) {
        self.say(&Command::select(&DEBIT, false));
        self.say(&Command::get_processing_options(&[]));
    }
}

/// A payment of a kernel in this reader, approved with these scripts. `left`: commands to the end.
fn pay(reader: &mut Reader, scripts: &[Script], commands: &mut u32) -> End {
    let issuer = CardIssuer::new(&Personas::parse(PERSONAS).unwrap());
    let (mut contact, mut step) = runs::start(1_000);
    for _ in 0..400 {
        let bytes;
        let input = match step {
            Step::Send(command) => {
                *commands += 1;
                bytes = reader.ask(&command).unwrap();
                Input::Answer(&bytes)
            }
            Step::Choose(_) => Input::Chosen(Some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => {
                Input::Proceed(Proceed { earlier: 0, listed: false, online_pin: true, offline: true })
            }
            Step::Pin(_) => Input::Pin(payterm_emv::step::PinWord::Entered),
            Step::Online(online) => {
                let tags = [0x9F26, 0x9F27, 0x9F10, 0x9F37, 0x9F36, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82];
                let tags = tags.iter().chain(&[0x9F1A, 0x9F03]).map(|t| payterm_emv::Tag(*t));
                let icc = Icc::parse(&online.tags.list(&tags.collect::<Vec<_>>())).unwrap();
                let asked = issuer.check("6212345678900010101", Some(1), &icc).unwrap();
                bytes = issuer.answer(&asked, *b"00", scripts).bytes();
                Input::Host(HostWord::Approved { arc: *b"00", issuer: &bytes })
            }
            Step::Completed(_) => Input::Scripts,
            Step::Done(end) => return *end,
        };
        step = contact.step(input);
    }
    panic!("a run without an end");
}

#[test]
fn a_payment_goes_through_the_socket_as_in_process_with_either_protocol() {
    let (mut by_t1, mut by_t0) = (0, 0);
    for (t0, atr, commands) in [(false, &ATR_T1[..], &mut by_t1), (true, &ATR_T0, &mut by_t0)] {
        let mut reader = Reader::with(card("debit"), Behaviour { t0, ..Behaviour::default() }, None);
        assert_eq!(reader.ask(&[ATR]).unwrap(), atr);
        let count = Script::OfflineCount { when: When::Before, count: 9 };
        let end = pay(&mut reader, &[count, Script::PinUnblock { when: When::After }], commands);
        assert_eq!(end.verdict, Verdict::Approved(By::HostAndCard), "T=0: {t0}");
        assert_eq!(end.scripts, [[0x20, 0, 0, 0, 0x71], [0x20, 0, 0, 0, 0x72]]);
        reader.control(OFF);
        let (left, card, _) = reader.close();
        assert_eq!(left, Left::Closed);
        assert_eq!(card.given().iter().map(|g| (g.cid, g.atc)).collect::<Vec<_>>(), [(0x80, 1), (0x40, 1)]);
        assert_eq!(card.applications[0].offline_count, 9);
    }
    assert!(by_t0 > by_t1 + 8, "{by_t0} commands, {by_t1} with T=1");
    assert_eq!(ATR_T1[1..].iter().fold(0, |sum, b| sum ^ b), 0, "the check byte");
}

#[test]
fn over_t0_data_are_fetched_and_a_wrong_length_is_told() {
    let mut reader = Reader::with(card("debit"), Behaviour { t0: true, ..Behaviour::default() }, None);
    let response = |le: u8| [0x00, 0xC0, 0, 0, le];
    assert_eq!(reader.ask(&response(0)).unwrap(), [0x69, 0x85], "nothing waits");
    let select = Command::select(&DEBIT, false).bytes();
    let [0x61, len] = reader.ask(&select).unwrap()[..] else { panic!("61xx") };
    assert_eq!(reader.ask(&response(len + 1)).unwrap(), [0x6C, len]);
    assert_eq!(reader.ask(&response(0)).unwrap(), [0x6C, len]);
    let part = reader.ask(&response(5)).unwrap();
    assert_eq!(part[5..], [0x61, len - 5]);
    let rest = reader.ask(&response(len - 5)).unwrap();
    let whole = [&part[..5], &rest].concat();
    assert_eq!(whole, card("debit").answer(&select));
    assert_eq!(reader.ask(&response(len)).unwrap(), [0x69, 0x85], "once");
    // Without the length that T=0 does not have.
    assert_eq!(reader.ask(&select[..select.len() - 1]).unwrap(), [0x61, len]);
    reader.say(&Command::get_processing_options(&[]));
    assert_eq!(reader.ask(&response(len)).unwrap()[0], 0x6C, "the options are shorter");
    let record = |le| [0x00, 0xB2, 1, 0x0C, le];
    let [0x6C, len] = reader.ask(&record(0)).unwrap()[..] else { panic!("6Cxx") };
    assert_eq!(reader.ask(&record(len - 1)).unwrap(), [0x6C, len]);
    let whole = reader.ask(&record(len)).unwrap();
    assert_eq!((whole.len(), &whole[usize::from(len)..]), (usize::from(len) + 2, &[0x90, 0][..]));
    assert_eq!(reader.ask(&[0x00, 0xB2, 9, 0x0C, 0]).unwrap(), [0x6A, 0x83], "no data: the status");
    assert_eq!(reader.ask(&[0x00, 0xB2]).unwrap(), [0x67, 0x00]);
    assert_eq!(reader.ask(&[0x00, 0x20, 0, 0x80, 9, 1]).unwrap(), [0x67, 0x00], "cut");
}

#[test]
fn a_pull_a_reset_and_silence_end_a_run_and_no_counter_goes_back() {
    let record = Command::read_record(1, 1);
    let mut reader =
        Reader::with(card("debit"), Behaviour { pull_at: Some(3), ..Behaviour::default() }, None);
    reader.begin();
    assert_eq!(reader.ask(&record.bytes()), None, "the third finds it pulled");
    let (left, card, rest) = reader.close();
    assert_eq!((left, rest, card.applications[0].atc), (Left::Pulled, Behaviour::default(), 1));
    let mut reader = Reader::with(card, rest, None);
    assert_eq!(reader.say(&record), [0x69, 0x85], "what was selected is forgotten");
    let (_, card, _) = reader.close();

    // Mute from GET PROCESSING OPTIONS on, which was carried out.
    let mut reader = Reader::with(card, Behaviour { mute_at: Some(2), ..Behaviour::default() }, None);
    reader.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    reader.say(&Command::select(&DEBIT, false));
    assert_eq!(reader.ask(&Command::get_processing_options(&[]).bytes()), None);
    assert_eq!(reader.ask(&record.bytes()), None, "nor what follows");
    reader.control(RESET);
    reader.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(reader.say(&record), [0x69, 0x85], "it answers again");
    reader.begin();
    assert_eq!(reader.say(&Command::get_data(payterm_emv::Tag(0x9F36)))[..5], [0x9F, 0x36, 2, 0, 3]);
    // A question that waits for its answer when the power goes is over.
    let asked = reader.say(&Command::generate_ac(Cryptogram::Arqc, false, &[0; 29]));
    assert!(asked[2] == 0x80 && asked.ends_with(&[0x90, 0]), "{asked:02X?}");
    reader.control(OFF);
    reader.control(ON);
    assert_eq!(reader.say(&record), [0x69, 0x85], "a power cut");
}

#[test]
fn what_no_reader_says_does_no_harm() {
    let mut reader = Reader::of("debit");
    reader.tell(&[]);
    for byte in (0..=255).filter(|b| *b != ATR) {
        reader.control(byte);
    }
    assert_eq!(reader.ask(&[ATR]).unwrap(), ATR_T1);
    assert_eq!(reader.ask(&[0; 65_535]).unwrap(), [0x67, 0x00]);
    for len in 2..300 {
        assert!(reader.ask(&vec![0x80; len]).unwrap().len() >= 2);
    }
    // A frame that is cut, then nothing.
    reader.stream.write_all(&[0, 9, 1, 2]).unwrap();
    assert_eq!(reader.close().0, Left::Closed);
}

#[test]
fn an_answer_is_not_held_up_by_an_acknowledgement() {
    let mut reader = Reader::of("debit");
    reader.begin();
    let times = (0..5).map(|_| {
        let start = Instant::now();
        for _ in 0..10 {
            reader.say(&Command::get_data(payterm_emv::Tag(0x9F36)));
        }
        start.elapsed()
    });
    let best = times.min().unwrap();
    assert!(
        best < Duration::from_millis(200),
        "ten commands took {best:?}: 40 ms of a late acknowledgement each"
    );
}

#[test]
fn its_memory_is_on_disk_before_it_answers_and_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("card.json");
    let atc = || -> u64 {
        let text = std::fs::read_to_string(&file).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["applications"][0]["atc"].as_u64().unwrap()
    };
    let mut reader = Reader::with(card("debit"), Behaviour::default(), Some(&file));
    reader.begin();
    assert_eq!(atc(), 1);
    reader.control(RESET);
    reader.begin();
    assert_eq!(atc(), 2);
    reader.say(&Command::generate_ac(Cryptogram::Aac, false, &[0; 29]));
    let wrong = [&[0x00, 0x20, 0x00, 0x80, 8][..], &[0x24, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]].concat();
    assert_eq!(reader.ask(&wrong).unwrap(), [0x63, 0xC2]);
    let kept = std::fs::read_to_string(&file).unwrap();
    for secret in ["6212345678900010101", "123456"] {
        assert!(!kept.contains(secret), "{kept}");
    }
    assert!(kept.contains("\"cid\":0") && kept.contains("A000000333010101"), "{kept}");
    let (_, before, _) = reader.close();

    let mut reader = Reader::with(card("debit"), Behaviour::default(), Some(&file));
    let mut commands = 0;
    let end = pay(&mut reader, &[Script::ApplicationBlock { when: When::After }], &mut commands);
    assert_eq!(end.verdict, Verdict::Approved(By::HostAndCard));
    let (_, after, _) = reader.close();
    assert_eq!(after.memory().given[..1], before.memory().given[..]);
    assert_eq!(after.memory().given.iter().map(|g| g.atc).collect::<Vec<_>>(), [2, 3, 3]);
    let mut reader = Reader::with(card("debit"), Behaviour::default(), Some(&file));
    assert!(reader.say(&Command::select(&DEBIT, false)).ends_with(&[0x62, 0x83]), "blocked");
    let (_, again, _) = reader.close();
    assert_eq!(again.memory(), after.memory());
    assert_eq!(again.memory().tries, 2);

    // No other card's, nothing that is none; what is half written is not taken.
    let open = |name: &str| Kept::open(&file, &mut card(name)).map(|_| ());
    assert!(matches!(open("offline"), Err(MemoryError::Other { .. })));
    std::fs::write(dir.path().join("card.json.part"), "{").unwrap();
    assert!(open("debit").is_ok());
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(open("debit"), Err(MemoryError::Syntax { .. })));
    let dir_as_file = Kept::open(dir.path(), &mut card("debit"));
    assert!(matches!(dir_as_file, Err(MemoryError::File { .. })));
}

#[test]
fn an_answer_does_not_leave_when_its_memory_cannot_be_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let card = thread::spawn(move || {
        let stream = TcpStream::connect(address).unwrap();
        let mut keep = |_: &TestCard| Err(io::Error::other("a full disk"));
        serve(&stream, &mut card("debit"), &mut Behaviour::default(), &mut keep)
    });
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let select = Command::select(&DEBIT, false).bytes();
    stream.write_all(&[&[0, select.len() as u8][..], &select].concat()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert!(all.is_empty());
    assert_eq!(card.join().unwrap().unwrap_err().to_string(), "a full disk");
}
