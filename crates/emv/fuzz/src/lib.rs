//! What is fuzzed: whatever bytes come, nothing panics, and what comes out holds.
//! `crates/emv/tests/it/fuzz.rs` compiles this too, and replays the corpus.
mod forged;
pub mod watch;

pub use forged::oda;

use payterm_emv::{
    Command, Contact, Exchange, Progress, Tag, Tags, Tap,
    dol::{self, FILLED_MAX},
    exchange::{ANSWER_MAX, RESPONSES_MAX},
    step::{Gone, HostWord, Input, PinWord, Proceed, Step, Verdict},
    terminal::{Aid, Depth, Limits, Parameters, TapLimits, Terminal, TerminalData, Transaction},
    tlv::{self, Tlv},
};
use std::sync::Arc;
use watch::Watch;

/// Objects of one level are read in order and lie in the bytes; what was read is written and read again.
pub fn tlv(bytes: &[u8]) {
    let mut written = Vec::new();
    let mut all: Vec<Tlv<'_>> = Vec::new();
    for tlv in tlv::read(bytes).map_while(Result::ok) {
        assert!(bytes.as_ptr_range().contains(&tlv.value.as_ptr()) || tlv.value.is_empty(), "{}", tlv.tag);
        tlv::write(&mut written, tlv.tag, tlv.value);
        all.push(tlv);
    }
    let same = |(a, b): (&Tlv<'_>, Result<Tlv<'_>, _>)| b.is_ok_and(|b| a.tag == b.tag && a.value == b.value);
    assert_eq!(tlv::read(&written).count(), all.len());
    assert!(all.iter().zip(tlv::read(&written)).all(same), "read, written, read again");
    let sound = tlv::read(bytes).all(|t| t.is_ok());
    for tlv in &all {
        let alone = all.iter().filter(|other| other.tag == tlv.tag).count() == 1;
        let found = tlv::find(bytes, tlv.tag);
        assert_eq!(found == Ok(Some(tlv.value)), sound && alone, "{}", tlv.tag);
    }
    let mut deep = 0;
    let whole = tlv::each(bytes, &mut |tlv| deep += tlv.value.len() + 2);
    assert!(deep <= bytes.len() && (sound || whole.is_err()));
}

/// A list is filled with as many bytes as it asks for. The first byte tells how many of the others are the
/// list, the rest are values.
pub fn dol(bytes: &[u8]) {
    let Some((len, rest)) = bytes.split_first() else { return };
    let (list, values) = rest.split_at(usize::from(*len).min(rest.len()));
    let mut tags = Tags::new();
    for tlv in tlv::read(values).map_while(Result::ok) {
        tags.put(tlv.tag, tlv.value).ok();
    }
    let (entries, filled) = (dol::entries(list), dol::fill(list, &tags));
    match (entries, filled) {
        (Ok(entries), Ok(filled)) => {
            let asked: usize = entries.iter().map(|(_, len)| len).sum();
            assert!(filled.len() == asked && asked <= FILLED_MAX, "{asked} bytes, {}", filled.len());
            let mut rest = &filled[..];
            for (tag, len) in entries {
                let (value, behind) = rest.split_at(len);
                let fits = tags.get(tag).is_some_and(|known| known.len() == len) && tag.row().is_some();
                assert!(!fits || tag.is_constructed() || Some(value) == tags.get(tag), "{tag}");
                rest = behind;
            }
        }
        (Err(why), Err(same)) => assert_eq!(why, same),
        (entries, filled) => panic!("{entries:?}, {:?}", filled.map(|f| f.to_vec())),
    }
}

/// Bytes that decide, one after the other; 0 when there are no more.
struct Choices<'a>(&'a [u8]);
impl<'a> Choices<'a> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
    /// As many bytes as the next one says.
    fn some(&mut self) -> &'a [u8] {
        let len = usize::from(self.next()).min(self.0.len());
        let (some, rest) = self.0.split_at(len);
        self.0 = rest;
        some
    }
    fn two(&mut self) -> [u8; 2] {
        [self.next(), self.next()]
    }
}

/// A command, of a script where the bytes are one, and whatever the card answers to it and its GET RESPONSEs:
/// so many are sent and no more, and as much comes out.
pub fn exchange(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let command = Command::of_issuer(choices.some()).unwrap_or_else(|| Command::select(&NAME, false));
    let (mut exchange, first) = Exchange::start(command);
    assert!((4..=261).contains(&first.len()));
    // A length may be corrected once before each GET RESPONSE, and behind the last.
    for _ in 0..=2 * RESPONSES_MAX + 1 {
        let answer = match choices.next() {
            status @ 0..0xC0 => {
                let [sw1, data] = [[0x61, 0x6C, 0x62, 0x90][usize::from(status & 3)], status >> 2 & 1];
                let data = if data == 1 { choices.some() } else { &[] };
                [data, &[sw1, choices.next()]].concat()
            }
            _ => choices.some().to_vec(),
        };
        match exchange.answer(&answer) {
            Progress::Send(bytes) => assert!(bytes.len() >= 5),
            Progress::Done(reply) => return assert!(reply.data.len() <= ANSWER_MAX),
            Progress::Broken(_) => return,
        }
    }
    panic!("an exchange without an end");
}

const NAME: [u8; 8] = [0xA0, 0, 0, 3, 0x33, 1, 1, 1];

/// A terminal of some kind, and some payment.
fn setting(choices: &mut Choices<'_>) -> (Arc<Terminal>, Arc<Parameters>, Transaction) {
    let flags = choices.next();
    let codes = |choices: &mut Choices<'_>| [0; 5].map(|_: u8| choices.next());
    let data = TerminalData {
        country: 156,
        kind: [0x22, 0x21, 0x23, 0x25][usize::from(flags & 3)],
        capabilities: [0xE0, choices.next() & 0xF8, choices.next() & 0xE8],
        additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
        serial: *b"PT000001",
        category: 5411,
        merchant: None,
        id: None,
        name: b"SHOP".to_vec(),
        languages: vec![*b"zh", *b"en"],
        bypass: flags & 4 != 0,
    };
    let limits = Limits {
        floor: 100_000,
        threshold: 50_000,
        target: 0,
        most: 50,
        denial: if flags & 8 != 0 { codes(choices) } else { [0; 5] },
        online: codes(choices),
        default: codes(choices),
    };
    let ddol = Some(vec![0x9F, 0x37, 4]);
    let aid = |name: &[u8], partial| Aid {
        name: name.to_vec(),
        partial,
        version: [0, 0x30],
        limits,
        ddol: ddol.clone(),
        tdol: None,
        online_pin: flags & 16 != 0,
        tap: Some(TapLimits { floor: 100_000, most: 250_000, cvm: 50_000 }),
    };
    let payment = Transaction {
        amount: u64::from(choices.next()) * 1_000,
        other: 0,
        currency: 156,
        exponent: 2,
        kind: 0,
        date: [0x26, 0x12, 0x02],
        time: [0x13, 0x59, 0x59],
        sequence: 7,
        unpredictable: [1, 2, 3, 4],
        draw: 50,
        depth: if flags & 0xE0 == 0xE0 { Depth::Read } else { Depth::Full },
        force_online: flags & 32 != 0,
    };
    let aids = vec![aid(&NAME, false), aid(&NAME[..5], flags & 64 != 0)];
    let parameters = Parameters::new(1, aids, Vec::new(), Vec::new()).expect("parameters");
    let terminal = Arc::new(Terminal::new(data).expect("a terminal"));
    (terminal, Arc::new(parameters), payment)
}

/// A template's bytes and 9000.
fn answer(tag: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    tlv::write(&mut out, Tag(tag), inner);
    [&out[..], &[0x90, 0x00]].concat()
}

/// What a plain card says; kinds of its cryptograms by choice.
fn card(command: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    let &[_, ins, p1, p2, ..] = command else { return vec![0x67, 0x00] };
    match ins {
        0xA4 if command.get(5..13) == Some(&NAME) => {
            let inner = [&[0x84, 8][..], &NAME, &[0xA5, 7, 0x50, 5], b"DEBIT"].concat();
            answer(0x6F, &inner)
        }
        0xA4 => vec![0x6A, 0x82],
        0xA8 => answer(0x80, &[choices.next() & 0x7D, 0, 0x08, 1, 2, choices.next() & 1]),
        0xB2 if p1 == 1 => {
            let number =
                [0x5A, 8, 0x62, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x32, 0x5F, 0x24, 3, 0x30, 0x12, 0x31];
            let counters = [0x9F, 0x14, 1, 2, 0x9F, 0x23, 1, 4];
            answer(0x70, &[&number[..], &counters].concat())
        }
        0xB2 => {
            let lists = [0x8C, 6, 0x9F, 0x02, 6, 0x9F, 0x37, 4, 0x8D, 7, 0x8A, 2, 0x9F, 0x37, 4, 0x91, 10];
            let codes =
                [0x9F, 0x0D, 5, 0, 0, 0, 0, 0, 0x9F, 0x0E, 5, 0, 0, 0, 0, 0, 0x9F, 0x0F, 5, 0, 0, 0, 0, 0];
            let cvm = [0x8E, 14, 0, 0, 0, 0, 0, 0, 0, 0, 0x42, 3, 0x41, 3, 0x1F, 0];
            answer(0x70, &[&lists[..], &codes, &cvm].concat())
        }
        0xCA => [&[p1, p2, 1, 3][..], &[0x90, 0x00]].concat(),
        0x84 => vec![1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0x00],
        0xAE => {
            let cid = if choices.next() & 3 != 3 { p1 & 0xC0 } else { choices.next() };
            answer(0x80, &[cid, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 7, 6])
        }
        _ => vec![0x90, 0x00],
    }
}

/// The answer, as it arrives.
fn spoil(mut answer: Vec<u8>, choices: &mut Choices<'_>) -> Vec<u8> {
    let at = |choices: &mut Choices<'_>, len: usize| usize::from(choices.next()) % len.max(1);
    match choices.next() {
        0xF8.. => return choices.some().to_vec(),
        0xF0.. => {
            let n = at(choices, answer.len());
            answer.truncate(n);
        }
        0xE0.. => {
            let n = at(choices, answer.len());
            answer.splice(n..n, choices.some().iter().copied());
        }
        0xC0.. => {
            let n = at(choices, answer.len());
            if let Some(byte) = answer.get_mut(n) {
                *byte = choices.next();
            }
        }
        0xB8.. => return [choices.some(), &choices.two()].concat(),
        _ => {}
    }
    answer
}

/// A host's data objects.
fn issuer(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let kinds = choices.next();
    if kinds & 0x38 == 0x38 {
        return choices.some().to_vec();
    }
    if kinds & 1 != 0 {
        tlv::write(&mut out, Tag(0x91), &[7; 16][..8 + usize::from(choices.next() & 7)]);
    }
    for tag in [0x71, 0x72].into_iter().filter(|tag| kinds & (*tag & 3) << 1 != 0) {
        let mut script = Vec::new();
        for _ in 0..choices.next() & 3 {
            let command = [[0x84, 0x1E, 0, 0], [0x84, 0xDA, choices.next(), 0x14]];
            tlv::write(&mut script, Tag(0x86), &command[usize::from(choices.next() & 1)]);
        }
        tlv::write(&mut out, Tag(tag.into()), &script);
    }
    out
}

/// A whole run: terminal, card, people and host by the bytes. It ends within its bounds, and [`Watch`] agrees
/// with its end.
pub fn run(bytes: &[u8]) -> Verdict {
    let mut choices = Choices(bytes);
    let (terminal, parameters, payment) = setting(&mut choices);
    let (mut contact, mut step) = Contact::start(terminal, parameters, payment).expect("a payment");
    let mut watch = Watch::default();
    loop {
        watch.step(&step);
        let told;
        let fits = choices.next() < 0xFC;
        let input = match &step {
            Step::Done(end) => {
                watch.end(end);
                watch.afterwards(|input| contact.step(input));
                return end.verdict;
            }
            _ if !fits => match choices.next() % 8 {
                0 => Input::Gone(Gone::Removed),
                1 => Input::Stop,
                2 => Input::TimeOut,
                3 => Input::Pin(PinWord::Status(0x9000)),
                4 => Input::Host(HostWord::Approved { arc: *b"00", issuer: &[] }),
                5 => Input::Chosen(Some(usize::from(choices.next()))),
                6 => Input::Proceed(Proceed::default()),
                _ => Input::Answer(choices.some()),
            },
            Step::Send(command) => {
                told = spoil(card(command, &mut choices), &mut choices);
                Input::Answer(&told)
            }
            Step::Completed(_) => Input::Scripts,
            Step::Choose(_) => Input::Chosen((choices.next() < 0xF0).then_some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => {
                let (earlier, listed, pin) =
                    (u64::from(choices.next()), choices.next() > 0xF0, choices.next());
                let (online_pin, offline) = (pin < 0xF0, pin % 8 < 7);
                Input::Proceed(Proceed { earlier, listed, online_pin, offline })
            }
            Step::Pin(_) => Input::Pin(match choices.next() % 6 {
                0 => PinWord::Entered,
                1 => PinWord::Bypassed,
                2 => PinWord::NoPad,
                3 => PinWord::Status(u16::from_be_bytes(choices.two())),
                4 => PinWord::Cancelled,
                _ => PinWord::Status(0x9000),
            }),
            Step::Online(_) => {
                let word = choices.next();
                Input::Host(match word % 5 {
                    0 | 1 => {
                        let code = choices.next() & 3;
                        told = issuer(&mut choices);
                        HostWord::Approved { arc: [b'0', b'0' + code], issuer: &told }
                    }
                    2 => HostWord::Refused { arc: choices.two(), issuer: choices.some() },
                    3 => HostWord::NotSent { offline: word < 0xC0 },
                    _ => HostWord::NoReply,
                })
            }
        };
        watch.input(&input);
        step = contact.step(input);
    }
}

/// What a plain card or phone in the field says; kind of its cryptogram, and how its holder is verified, by
/// choice.
fn field(command: &[u8], choices: &mut Choices<'_>) -> Vec<u8> {
    const PPSE: &[u8] = b"2PAY.SYS.DDF01";
    const PDOL: [u8; 9] = [0x9F, 0x66, 4, 0x9F, 0x02, 6, 0x9F, 0x37, 4];
    let &[_, ins, p1, ..] = command else { return vec![0x67, 0x00] };
    let named = |name: &[u8], inner: &[u8]| {
        let mut out = Vec::new();
        tlv::write(&mut out, Tag(0x84), name);
        tlv::write(&mut out, Tag(0xA5), inner);
        answer(0x6F, &out)
    };
    match ins {
        0xA4 if command.get(5..19) == Some(PPSE) => {
            let mut entries = Vec::new();
            for _ in 0..1 + choices.next() % 3 {
                let entry = [&[0x4F, 8][..], &NAME, &[0x87, 1, choices.next()]].concat();
                tlv::write(&mut entries, Tag(0x61), &entry);
            }
            let mut inner = Vec::new();
            tlv::write(&mut inner, Tag(0xBF0C), &entries);
            named(PPSE, &inner)
        }
        0xA4 if command.get(5..13) == Some(&NAME) => named(&NAME, &[&[0x9F, 0x38, 9][..], &PDOL].concat()),
        0xA4 => vec![0x6A, 0x82],
        0xA8 => {
            let kind = choices.next();
            match kind {
                0x3C => return vec![0x69, 0x85],
                0x3D => return vec![0x69, 0x86],
                _ => {}
            }
            let results = [0x03, [0xA0, 0xA0, 0x90, 0x80][usize::from(kind & 3)], 0, 0];
            let iad = [&[0x9F, 0x10, 8, 7, 1, 1][..], &results, &[1]].concat();
            let [first, second] = choices.two();
            let wishes = [0x9F, 0x6C, 2, first << 4 & 0xD0, second << 5 & 0x80];
            let fixed = [0x82, 2, 0x20, 0, 0x9F, 0x36, 2, 0, 1, 0x9F, 0x26, 8, 7, 7, 7, 7, 7, 7, 7, 7];
            let track = [0x57, 12, 0x62, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x32, 0xD3, 0x01, 0x21, 0x22];
            let records = [0x94, 4, 0x08, 1, 1 + (kind >> 2 & 1), 1];
            let records = if kind & 8 == 0 { &[][..] } else { &records };
            answer(0x77, &[&fixed[..], &track, &iad, &wishes, records].concat())
        }
        0xB2 if p1 == 1 => answer(0x70, &[0x5F, 0x24, 3, 0x30, 0x12, 0x31]),
        0xB2 => answer(0x70, &[0x9F, 0x69, 7, 1, 1, 2, 3, 4, 0, 0, 0x9F, 0x4B, 2, 7, 7]),
        _ => vec![0x6D, 0x00],
    }
}

/// A whole tap, as [`run`].
pub fn tap(bytes: &[u8]) -> Verdict {
    let mut choices = Choices(bytes);
    let (terminal, parameters, payment) = setting(&mut choices);
    let (mut tap, mut step) = Tap::start(terminal, parameters, payment).expect("a payment");
    let mut watch = Watch::of_tap();
    loop {
        watch.step(&step);
        let told;
        let fits = choices.next() < 0xFC;
        let input = match &step {
            Step::Done(end) => {
                watch.end(end);
                watch.afterwards(|input| tap.step(input));
                return end.verdict;
            }
            _ if !fits => match choices.next() % 6 {
                0 => Input::Gone(Gone::Removed),
                1 => Input::Stop,
                2 => Input::TimeOut,
                3 => Input::Host(HostWord::Approved { arc: *b"00", issuer: &[] }),
                4 => Input::Proceed(Proceed::default()),
                _ => Input::Answer(choices.some()),
            },
            Step::Send(command) => {
                told = spoil(field(command, &mut choices), &mut choices);
                Input::Answer(&told)
            }
            Step::Choose(_) | Step::Parameters(_) | Step::Completed(_) => Input::Stop,
            Step::Read(_) => {
                let (earlier, listed, pin) = (0, choices.next() > 0xF0, choices.next());
                let (online_pin, offline) = (pin < 0xF0, pin % 8 < 7);
                Input::Proceed(Proceed { earlier, listed, online_pin, offline })
            }
            Step::Pin(_) => Input::Pin(match choices.next() % 8 {
                0 => PinWord::Bypassed,
                1 => PinWord::NoPad,
                2 => PinWord::Status(u16::from_be_bytes(choices.two())),
                3 => PinWord::Cancelled,
                _ => PinWord::Entered,
            }),
            Step::Online(_) => {
                let word = choices.next();
                Input::Host(match word % 6 {
                    0..=2 => HostWord::Approved { arc: [b'0', b'0' + (choices.next() & 3)], issuer: &[] },
                    3 => HostWord::Refused { arc: choices.two(), issuer: choices.some() },
                    4 => HostWord::NotSent { offline: word < 0xC0 },
                    _ => HostWord::NoReply,
                })
            }
        };
        watch.input(&input);
        step = tap.step(input);
    }
}
