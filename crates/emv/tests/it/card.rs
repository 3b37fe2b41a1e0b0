//! A scripted card, and the terminal that it is put in.
use payterm_emv::{
    Contact, Tag,
    contact::COMMANDS_MAX,
    step::{Choice, End, HostWord, Input, PinAsk, PinWord, Proceed, Step},
    terminal::{Aid, Depth, Limits, Parameters, Terminal, TerminalData, Transaction},
};
use std::{collections::VecDeque, sync::Arc};

pub const AID: &str = "A000000333010101";

pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert_eq!(digits.len() % 2, 0, "{hex}");
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
/// An object: tag and value in digits.
pub fn tlv(tag: &str, value: &str) -> String {
    let value = bytes(value);
    let len = match value.len() {
        n @ ..0x80 => format!("{n:02X}"),
        n @ ..0x100 => format!("81{n:02X}"),
        n => format!("82{n:04X}"),
    };
    format!("{tag}{len}{}", hex(&value))
}
/// A sound answer.
pub fn ok(data: &str) -> String {
    format!("{data}9000")
}
/// File control information of an application: proprietary objects.
pub fn fci(name: &str, objects: &str) -> String {
    tlv("6F", &(tlv("84", name) + &tlv("A5", objects)))
}

/// Answers by the beginning of a command; of several to one beginning the last stays.
#[derive(Clone)]
pub struct Card {
    answers: Vec<(String, VecDeque<String>)>,
}
impl Card {
    pub fn new() -> Self {
        Self { answers: Vec::new() }
    }
    /// No directory, one application with two records, that does what it is asked.
    pub fn debit() -> Self {
        Self::new()
            .on(&format!("00A4040008{AID}"), &ok(&fci(AID, &tlv("50", &hex(b"DEBIT")))))
            .on("80A8", &ok(&tlv("80", "1800 08010100 08020200")))
            .on("00B2010C", &ok(&tlv("70", &Self::record_1())))
            .on("00B2020C", &ok(&tlv("70", &Self::record_2())))
            .gives("40", "80")
    }
    pub fn record_1() -> String {
        tlv("5A", "6212345678901232") + "5F2403 301231" + "5F3401 01" + "5F2802 0156" + "9F0702 FFC0"
    }
    pub fn record_2() -> String {
        let lists = tlv("8C", "9F0206 9505 9F3704 8A02") + &tlv("8D", "8A02 9505 9F3704 9110");
        lists + &tlv("8E", "00000000 00000000 1F00") + "9F0D05 0000000000 9F0E05 0000000000 9F0F05 0000000000"
    }
    /// Whatever it is asked for, its first and second cryptogram are of these kinds.
    pub fn gives(self, first: &str, second: &str) -> Self {
        let ac = |cid: &str| ok(&tlv("80", &format!("{cid} 0001 1122334455667788 0706")));
        self.on_all("80AE", &[&ac(first), &ac(second)])
    }
    pub fn on(self, begins: &str, answer: &str) -> Self {
        self.on_all(begins, &[answer])
    }
    pub fn on_all(mut self, begins: &str, answers: &[&str]) -> Self {
        self.answers.retain(|(b, _)| b != begins);
        let clean = |a: &&str| a.split_whitespace().collect();
        self.answers.push((begins.to_owned(), answers.iter().map(clean).collect()));
        self
    }
    /// Its second record has these objects beside, or in place of, those with the same tags.
    pub fn with(self, objects: &[(&str, &str)]) -> Self {
        let (_, record) = self.answers.iter().find(|(b, _)| b == "00B2020C").unwrap();
        let record = bytes(&record[0]);
        let inner = payterm_emv::tlv::find(&record[..record.len() - 2], Tag(0x70)).unwrap().unwrap();
        let mut text = String::new();
        for object in payterm_emv::tlv::read(inner).map(Result::unwrap) {
            if !objects.iter().any(|(tag, _)| *tag == object.tag.to_string()) {
                text += &tlv(&object.tag.to_string(), &hex(object.value));
            }
        }
        let more: String = objects.iter().filter(|(_, v)| !v.is_empty()).map(|(t, v)| tlv(t, v)).collect();
        self.on("00B2020C", &ok(&tlv("70", &(text + &more))))
    }
    pub fn aip(self, aip: &str) -> Self {
        self.on("80A8", &ok(&tlv("80", &format!("{aip} 08010100 08020200"))))
    }
    pub fn answer(&mut self, command: &[u8]) -> Vec<u8> {
        let command = hex(command);
        let fits = self.answers.iter_mut().filter(|(begins, _)| command.starts_with(begins));
        match fits.max_by_key(|(begins, _)| begins.len()) {
            Some((_, answers)) if answers.len() > 1 => bytes(&answers.pop_front().unwrap()),
            Some((_, answers)) => bytes(&answers[0]),
            None if command.starts_with("00A4") => bytes("6A82"),
            None => bytes("6A88"),
        }
    }
}

/// The terminal, the payment, and what people and host say.
#[derive(Clone)]
pub struct Setup {
    pub data: TerminalData,
    pub aids: Vec<Aid>,
    pub payment: Transaction,
    pub limits: Option<Limits>,
    pub chosen: Option<usize>,
    pub proceed: Proceed,
    pub pins: Vec<PinWord>,
    pub host: Host,
}
#[derive(Clone)]
pub enum Host {
    Approved(&'static str, String),
    Refused(&'static str, String),
    NotSent,
    NoReply,
}
pub fn aid(name: &str) -> Aid {
    let limits = Limits {
        floor: 100_000,
        threshold: 50_000,
        target: 0,
        most: 0,
        denial: [0; 5],
        online: [0; 5],
        default: [0; 5],
    };
    let ddol = Some(bytes("9F3704"));
    Aid {
        name: bytes(name),
        partial: false,
        version: [0, 0x30],
        limits,
        ddol,
        tdol: None,
        online_pin: true,
        tap: None,
    }
}
impl Setup {
    pub fn new() -> Self {
        Self {
            data: TerminalData {
                country: 156,
                kind: 0x22,
                capabilities: [0xE0, 0xF8, 0xC8],
                additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
                serial: *b"PT000001",
                category: 5411,
                merchant: None,
                id: None,
                name: b"SHOP".to_vec(),
                languages: vec![*b"zh", *b"en"],
                bypass: true,
            },
            aids: vec![aid(AID)],
            payment: Transaction {
                amount: 1_000,
                other: 0,
                currency: 156,
                exponent: 2,
                kind: 0,
                date: [0x26, 0x12, 0x02],
                time: [0x13, 0x59, 0x59],
                sequence: 7,
                unpredictable: [1, 2, 3, 4],
                draw: 99,
                depth: Depth::Full,
                force_online: false,
            },
            limits: None,
            chosen: Some(0),
            proceed: Proceed { earlier: 0, listed: false, online_pin: true, offline: true },
            pins: Vec::new(),
            host: Host::NotSent,
        }
    }
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
    pub fn online(self) -> Self {
        self.with(|s| s.payment.force_online = true).with(|s| s.aids[0].limits.online = [0, 0, 0, 0x08, 0])
    }
    pub fn start(&self) -> (Contact, Step) {
        let terminal = Arc::new(Terminal::new(self.data.clone()).unwrap());
        let parameters = Parameters::new(1, self.aids.clone(), Vec::new(), Vec::new()).unwrap();
        Contact::start(terminal, Arc::new(parameters), self.payment).unwrap()
    }
    pub fn run(&self, mut card: Card) -> Ran {
        let (mut contact, mut step) = self.start();
        let mut ran = Ran::default();
        let mut pins = self.pins.iter();
        for _ in 0..2 * COMMANDS_MAX {
            let answer;
            let input = match step {
                Step::Send(command) => {
                    ran.sent.push(hex(&command));
                    answer = card.answer(&command);
                    Input::Answer(&answer)
                }
                Step::Choose(choices) => {
                    ran.choices.push(choices);
                    Input::Chosen(self.chosen)
                }
                Step::Parameters(name) => {
                    ran.parameters.push(hex(&name));
                    Input::Parameters(self.limits)
                }
                Step::Read(read) => {
                    let track2 = read.track2.as_ref().map_or("", |t| t.reveal());
                    ran.read = format!(
                        "{} {:?} {} {track2} {:?} {} {}",
                        read.pan.reveal(),
                        read.psn,
                        read.expiry.reveal(),
                        read.language.map(|l| String::from_utf8_lossy(&l).into_owned()),
                        hex(&read.application),
                        String::from_utf8_lossy(&read.name),
                    );
                    Input::Proceed(self.proceed)
                }
                Step::Pin(ask) => {
                    ran.pins.push(match ask {
                        PinAsk::Online => "online".to_owned(),
                        PinAsk::Plain { left } => format!("plain {left:?}"),
                        PinAsk::Enciphered { left, .. } => format!("enciphered {left:?}"),
                    });
                    Input::Pin(*pins.next().unwrap_or(&PinWord::Cancelled))
                }
                Step::Online(online) => {
                    ran.online = Some(online.tags);
                    Input::Host(match &self.host {
                        Host::Approved(arc, issuer) => {
                            answer = bytes(issuer);
                            HostWord::Approved { arc: arc.as_bytes().try_into().unwrap(), issuer: &answer }
                        }
                        Host::Refused(arc, issuer) => {
                            answer = bytes(issuer);
                            HostWord::Refused { arc: arc.as_bytes().try_into().unwrap(), issuer: &answer }
                        }
                        Host::NotSent => HostWord::NotSent { offline: true },
                        Host::NoReply => HostWord::NoReply,
                    })
                }
                Step::Completed(_) => Input::Scripts,
                Step::Done(end) => {
                    ran.end = Some(*end);
                    return ran;
                }
            };
            step = contact.step(input);
        }
        panic!("a run without an end");
    }
}

/// What a run did.
#[derive(Default)]
pub struct Ran {
    pub sent: Vec<String>,
    pub choices: Vec<Vec<Choice>>,
    pub parameters: Vec<String>,
    pub read: String,
    pub pins: Vec<String>,
    pub online: Option<payterm_emv::Tags>,
    end: Option<End>,
}
impl Ran {
    pub fn end(&self) -> &End {
        self.end.as_ref().unwrap()
    }
    /// Verdict and reason.
    pub fn told(&self) -> String {
        format!("{:?}, {}", self.end().verdict, self.end().why)
    }
    pub fn tag(&self, tag: u32) -> String {
        self.end().tags.get(Tag(tag)).map(hex).unwrap_or_default()
    }
    /// Commands that begin so.
    pub fn commands(&self, begins: &str) -> Vec<&str> {
        self.sent.iter().map(String::as_str).filter(|c| c.starts_with(begins)).collect()
    }
}
