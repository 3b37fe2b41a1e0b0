//! Whole runs of the kernel with each test card while its answers are spoilt on the way, the host says
//! anything, and the card is pulled: PAYTERM_FUZZ seeds (2,000).
use payterm_emv::{
    Contact, Tag, Tap,
    step::{By, Gone, HostWord, Input, PinWord, Proceed, Step, Verdict},
    terminal::{Parameters, Terminal},
    tlv,
};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, play};
use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

/// What every run must keep.
#[path = "../../../emv/fuzz/src/watch.rs"]
mod watch;
use watch::Watch;

/// Random numbers (splitmix64).
struct Random(u64);
impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ x >> 31) % end
    }
    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
    fn some(&mut self, end: u64) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.byte()).collect()
    }
    /// True once in so many.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn at(&mut self, bytes: &[u8]) -> usize {
        self.below(bytes.len().max(1) as u64) as usize
    }

    /// An answer as it arrives, not as it was given.
    fn spoil(&mut self, answer: &mut Vec<u8>) {
        let at = self.at(answer);
        match self.below(7) {
            0 => *answer = self.some(258),
            1 => answer.truncate(at),
            2 => drop(answer.splice(at..at, self.some(20))),
            3 => answer.extend(self.some(260)),
            4 => *answer = [self.some(3), vec![0x61, self.byte()]].concat(),
            5 => *answer = vec![0x60 | self.byte() & 0x0F, self.byte()],
            _ => {
                if let Some(byte) = answer.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }

    /// The host's data objects: the issuer's answer, scripts, or anything.
    fn issuer(&mut self, card: &TestCard, code: [u8; 2]) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.once_in(4) {
            out = card.issuer_data(code).unwrap_or_default();
        }
        for _ in 0..self.below(4) {
            let mut script = Vec::new();
            tlv::write(&mut script, Tag(0x9F18), &self.some(6));
            for _ in 0..self.below(4) {
                let ins = [0x16, 0x18, 0x1E, 0x24, 0xDA, 0xAE, 0x20][self.below(7) as usize];
                let data = self.some(16);
                let command = [&[0x84, ins, 0, 0, data.len() as u8][..], &data].concat();
                tlv::write(&mut script, Tag(0x86), &command);
            }
            tlv::write(&mut out, Tag(0x71 + self.below(2) as u32), &script);
        }
        match self.below(6) {
            0 => self.spoil(&mut out),
            1 => out = self.some(120),
            _ => {}
        }
        out
    }
}

/// Terminal and parameters of a seed.
fn terminal(random: &mut Random) -> (Arc<Terminal>, Arc<Parameters>) {
    let mut data = play::terminal();
    data.kind = [0x22, 0x22, 0x22, 0x21, 0x23, 0x25, 0x24][random.below(7) as usize];
    data.bypass = random.once_in(2);
    if random.once_in(3) {
        data.capabilities = [0xE0, random.byte() & 0xF8, random.byte() & 0xE8];
    }
    let mut aids = play::aids(play::LIMITS);
    for aid in &mut aids {
        aid.partial = random.once_in(2);
        if random.once_in(8) {
            aid.name.truncate(5 + aid.name.len() % 2);
        }
        match random.below(6) {
            0 => (aid.limits.floor, aid.limits.threshold) = (0, 0),
            // All are chosen for the issuer.
            1 | 2 => (aid.limits.target, aid.limits.most) = (99, 99),
            _ => {}
        }
        for codes in [&mut aid.limits.online, &mut aid.limits.default, &mut aid.limits.denial] {
            if random.once_in(6) {
                *codes = [0; 5].map(|_: u8| random.byte() & random.byte() & random.byte());
            }
        }
    }
    aids.dedup_by(|a, b| a.name == b.name);
    let parameters = Parameters::new(1, aids, play::keys(), Vec::new()).unwrap();
    (Arc::new(Terminal::new(data).unwrap()), Arc::new(parameters))
}

/// One run; what it ended with.
fn run(mut card: TestCard, random: &mut Random) -> Verdict {
    let (terminal, parameters) = terminal(random);
    let most = [20_000, 60_000][random.below(2) as usize];
    let mut payment = play::payment(random.below(most));
    payment.force_online = random.once_in(6);
    payment.draw = 1 + random.below(99) as u8;
    // In so many answers one is spoilt; 0: none.
    let spoilt = [0, 40, 8][random.below(3) as usize];
    let mut lied = false;
    let mut watch = Watch::default();
    let (mut contact, mut step) = Contact::start(terminal, parameters, payment).unwrap();
    loop {
        watch.step(&step);
        let bytes;
        let input = match step {
            Step::Completed(_) => Input::Scripts,
            Step::Done(end) => {
                watch.end(&end);
                watch.afterwards(|input| contact.step(input));
                judge(&card, end.verdict, lied);
                return end.verdict;
            }
            _ if spoilt > 0 && random.once_in(150) => match random.below(3) {
                0 => Input::Gone(Gone::Removed),
                1 => Input::TimeOut,
                _ => Input::Stop,
            },
            Step::Send(command) => {
                let mut answer = card.answer(&command);
                if spoilt > 0 && random.once_in(spoilt) {
                    random.spoil(&mut answer);
                    lied = true;
                }
                bytes = answer;
                Input::Answer(&bytes)
            }
            Step::Choose(choices) => Input::Chosen(Some(random.below(choices.len() as u64) as usize)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => Input::Proceed(Proceed {
                earlier: random.below(60_000),
                listed: random.once_in(20),
                online_pin: !random.once_in(4),
                offline: !random.once_in(4),
            }),
            Step::Pin(ask) => Input::Pin(match random.below(8) {
                0 => PinWord::NoPad,
                1 => PinWord::Status(0x63C0 | random.below(4) as u16),
                2 => PinWord::Bypassed,
                _ => card.pin_word(&ask),
            }),
            Step::Online(_) => {
                let code = [*b"00", *b"00", *b"10", *b"00", *b"01"][random.below(5) as usize];
                bytes = random.issuer(&card, code);
                Input::Host(match random.below(8) {
                    0 | 1 => HostWord::NotSent { offline: !random.once_in(4) },
                    2 => HostWord::NoReply,
                    3 => HostWord::Refused { arc: code, issuer: &bytes },
                    _ => HostWord::Approved { arc: code, issuer: &bytes },
                })
            }
        };
        watch.input(&input);
        step = contact.step(input);
    }
}

/// By the card's own list: where nothing was spoilt, what is approved has a TC of the card as its last word.
fn judge(card: &TestCard, verdict: Verdict, lied: bool) {
    let last = card.given().last().map(|given| given.cid);
    match verdict {
        Verdict::Approved(_) if !lied => assert_eq!(last, Some(0x40), "approved without the card's TC"),
        Verdict::Declined if !lied => assert_ne!(last, Some(0x40), "the card gave a TC for nothing"),
        Verdict::Approved(_) | Verdict::Declined | Verdict::Ended(_) | Verdict::Read => {}
    }
}

#[test]
fn whatever_becomes_of_answers_and_host_only_a_tc_that_was_asked_for_approves() {
    let seeds: u64 = std::env::var("PAYTERM_FUZZ").ok().map_or(2_000, |n| n.parse().unwrap());
    let personas = Personas::parse(PERSONAS).unwrap();
    let card = |persona: &payterm_simulator::card::Persona| {
        TestCard::new(&personas, &persona.name, play::DATE).unwrap()
    };
    let cards: Vec<TestCard> = personas.all.iter().map(card).collect();
    let offline = &cards[personas.all.iter().position(|p| p.name == "offline").unwrap()];
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 1..=seeds {
        let mut random = Random(seed);
        // One in four is the card that decides alone.
        let any = &cards[random.below(cards.len() as u64) as usize];
        let card = if random.once_in(4) { offline } else { any }.clone();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| run(card, &mut random)));
        let verdict = ended.unwrap_or_else(|_| panic!("seed {seed}"));
        *ends.entry(format!("{verdict:?}")).or_default() += 1;
    }
    println!("{ends:?}");
    for verdict in [
        Verdict::Approved(By::Card),
        Verdict::Approved(By::CardUnableOnline),
        Verdict::Approved(By::HostAndCard),
        Verdict::Declined,
    ] {
        let times = ends.get(&format!("{verdict:?}")).copied().unwrap_or_default();
        assert!(times * 400 >= seeds, "{verdict:?}: {times} of {seeds}");
    }
}

/// One tap; what it ended with.
fn tap(mut card: TestCard, random: &mut Random) -> Verdict {
    let (terminal, parameters) = terminal(random);
    let most = [20_000, 120_000][random.below(2) as usize];
    let mut payment = play::payment(random.below(most));
    payment.force_online = random.once_in(6);
    let spoilt = [0, 40, 4][random.below(3) as usize];
    let mut lied = false;
    let mut watch = Watch::of_tap();
    let (mut tap, mut step) = Tap::start(terminal, parameters, payment).unwrap();
    loop {
        watch.step(&step);
        let bytes;
        let input = match step {
            Step::Completed(_) => Input::Scripts,
            Step::Done(end) => {
                watch.end(&end);
                watch.afterwards(|input| tap.step(input));
                let last = card.given().last().map(|given| given.cid);
                match end.verdict {
                    // A signature holds whatever was spoilt: the card gave that TC.
                    Verdict::Approved(By::Card) => assert_eq!(last, Some(0x40), "without the card's TC"),
                    Verdict::Approved(_) if !lied => assert_eq!(last, Some(0x80), "without its ARQC"),
                    Verdict::Approved(_) | Verdict::Declined | Verdict::Ended(_) | Verdict::Read => {}
                }
                return end.verdict;
            }
            _ if spoilt > 0 && random.once_in(100) => match random.below(3) {
                0 => Input::Gone(Gone::Removed),
                1 => Input::TimeOut,
                _ => Input::Stop,
            },
            Step::Send(command) => {
                let mut answer = card.answer(&command);
                if spoilt > 0 && random.once_in(spoilt) {
                    random.spoil(&mut answer);
                    lied = true;
                }
                bytes = answer;
                Input::Answer(&bytes)
            }
            Step::Choose(_) | Step::Parameters(_) => panic!("not in a tap"),
            Step::Read(_) => Input::Proceed(Proceed {
                earlier: 0,
                listed: random.once_in(20),
                online_pin: !random.once_in(4),
                offline: !random.once_in(4),
            }),
            Step::Pin(ask) => Input::Pin(match random.below(8) {
                0 => PinWord::NoPad,
                1 => PinWord::Bypassed,
                _ => card.pin_word(&ask),
            }),
            Step::Online(_) => {
                let code = [*b"00", *b"00", *b"10", *b"01"][random.below(4) as usize];
                bytes = random.issuer(&card, code);
                Input::Host(match random.below(8) {
                    0 | 1 => HostWord::NotSent { offline: !random.once_in(4) },
                    2 => HostWord::NoReply,
                    3 => HostWord::Refused { arc: code, issuer: &bytes },
                    _ => HostWord::Approved { arc: code, issuer: &bytes },
                })
            }
        };
        watch.input(&input);
        step = tap.step(input);
    }
}

#[test]
fn whatever_becomes_of_a_taps_answers_only_the_host_or_a_signed_tc_approves() {
    let seeds: u64 = std::env::var("PAYTERM_FUZZ").ok().map_or(2_000, |n| n.parse().unwrap());
    let personas = Personas::parse(PERSONAS).unwrap();
    let cards = ["qpboc-online", "qpboc-offline", "phone"]
        .map(|name| TestCard::new(&personas, name, play::DATE).unwrap());
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 1..=seeds {
        let mut random = Random(seed);
        let card = cards[random.below(3) as usize].clone();
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| tap(card, &mut random)));
        let verdict = ended.unwrap_or_else(|_| panic!("seed {seed}"));
        *ends.entry(format!("{verdict:?}")).or_default() += 1;
    }
    println!("{ends:?}");
    for verdict in [Verdict::Approved(By::Card), Verdict::Approved(By::Host), Verdict::Declined] {
        let times = ends.get(&format!("{verdict:?}")).copied().unwrap_or_default();
        assert!(times * 50 >= seeds, "{verdict:?}: {times} of {seeds}");
    }
}
