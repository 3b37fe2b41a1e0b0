//! The kernel over a reader with a test card, each persona: whole runs, and a card that goes at any command.
use super::*;
use crate::{DeviceError, offline_pin};
use payterm_schema::{
    Money, Time,
    card::Verified,
    config::Language,
    icc::{Icc, Tag},
    secret::{Pin, PinEntry},
    verify::{CardPort, Verify},
};
use payterm_simulator::card::{PERSONAS, Personas, TestCard, crypt, play};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const DATE: [u8; 3] = [0x26, 0x07, 0x15];
/// 2026-07-14T16:30:05Z: the fifteenth in China.
const AT: Time = Time(1_784_046_605_000);
const ONLINE_ONLY: u8 = 0x21;
const BOTH: u8 = 0x22;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Removed,
    Mute,
    Reader,
}

/// Reader with a test card in it.
struct Slot {
    card: TestCard,
    /// At which command, from 0, what happens in place of an answer; from then on always.
    trouble: Option<(usize, Trouble)>,
    /// Before which command it is interrupted.
    interrupt: Option<(usize, Interrupt)>,
    sent: Vec<Vec<u8>>,
    powered: bool,
    timeout: Option<Duration>,
    /// Changes the answer to a command.
    spoil: fn(&[u8], &mut Vec<u8>),
}
impl Slot {
    fn new(persona: &str) -> Self {
        Self {
            card: TestCard::new(&Personas::parse(PERSONAS).unwrap(), persona, DATE).unwrap(),
            trouble: None,
            interrupt: None,
            sent: Vec::new(),
            powered: false,
            timeout: None,
            spoil: |_, _| (),
        }
    }
    fn with(persona: &str, at: usize, trouble: Trouble) -> Self {
        Self { trouble: Some((at, trouble)), ..Self::new(persona) }
    }
    /// Kinds of the cryptograms that the card gave.
    fn given(&self) -> Vec<u8> {
        self.card.given().iter().map(|given| given.cid).collect()
    }
    fn fault(trouble: Trouble) -> CardFault {
        match trouble {
            Trouble::Removed => CardFault::Removed,
            Trouble::Mute => CardFault::Mute,
            Trouble::Reader => CardFault::Reader(DeviceError::Gone { device: "chip".into() }),
        }
    }
}
impl CardReader for Slot {
    fn wait(&mut self, _: Duration) -> Result<Option<Interface>, DeviceError> {
        Ok(Some(Interface::Contact))
    }
    fn power(&mut self) -> Result<Vec<u8>, CardFault> {
        self.card.reset();
        self.powered = true;
        match self.trouble {
            Some((usize::MAX, trouble)) => Err(Self::fault(trouble)),
            _ => Ok(vec![0x3B, 0x00]),
        }
    }
    fn transmit(&mut self, command: &[u8], timeout: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault> {
        assert!(self.powered, "a card without power was sent a command");
        assert_ne!(command[1], 0x20, "the kernel sends no VERIFY");
        self.timeout = Some(timeout);
        let at = self.sent.len();
        self.sent.push(command.to_vec());
        if let Some((_, trouble)) = self.trouble.filter(|(first, _)| at >= *first) {
            return Err(Self::fault(trouble));
        }
        if let Some((_, interrupt)) = self.interrupt.as_ref().filter(|(before, _)| at + 1 == *before) {
            interrupt();
        }
        let mut answer = self.card.answer(command);
        (self.spoil)(command, &mut answer);
        Ok(Zeroizing::new(answer))
    }
    fn release(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn interrupt(&self) -> Interrupt {
        Arc::new(|| ())
    }
}

fn kernel(kind: u8) -> EmvKernel {
    kernel_with(kind, 0x68)
}
/// `cvm`: the second byte of its capabilities.
fn kernel_with(kind: u8, cvm: u8) -> EmvKernel {
    let data = terminal::TerminalData { kind, capabilities: [0xE0, cvm, 0xC8], ..play::terminal() };
    let parameters = Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new()).unwrap();
    let random: Random = Box::new(|bytes| bytes.copy_from_slice(&[1, 2, 3, 4, 0, 0, 0, 98]));
    EmvKernel::new(Arc::new(Terminal::new(data).unwrap()), Arc::new(parameters), random)
}

const PROCEED: card::Proceed = card::Proceed { online_pin: true, offline: true, earlier: 0 };

fn card_run(kind: Kind) -> CardRun {
    CardRun {
        txn: 12_345_678_901,
        kind,
        amount: Money::new(1_234, "CNY".parse().unwrap()).unwrap(),
        interface: Interface::Contact,
        depth: Depth::Full,
        offline: true,
        at: AT,
        offset_minutes: 480,
    }
}

/// 91 of the card's issuer for its last cryptogram, and a script for after the last one.
fn issuer(slot: &Slot, persona: &str, code: [u8; 2], script: bool) -> Vec<u8> {
    let personas = Personas::parse(PERSONAS).unwrap();
    let given = slot.card.given().last().unwrap();
    let persona = personas.named(persona).unwrap();
    let row = persona.applications.iter().find(|row| row.aid.0 == given.aid).unwrap();
    let key = crypt::card_key(&personas.issuer.ac.0, &row.pan, row.psn);
    let session = persona.derivation.session(&key, given.atc);
    let mut data = vec![0x91, 10];
    data.extend([&crypt::arpc(&session, given.cryptogram, code)[..], &code].concat());
    if script {
        // PIN CHANGE/UNBLOCK with a MAC that is wrong: the card says so, and that is a result, too.
        data.extend([0x72, 0x0B, 0x86, 0x09, 0x84, 0x24, 0, 0, 4, 1, 2, 3, 4]);
    }
    data
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Approves,
    ApprovesWithScript,
    Refuses,
    NotSent,
    NoReply,
}

#[derive(Debug)]
struct Ran {
    asked: Vec<CardStep>,
    decision: CardDecision,
    icc: Icc,
}
impl Ran {
    fn tag(&self, tag: u32) -> Option<Vec<u8>> {
        self.icc.values(Tag::new(tag).unwrap()).next().map(<[u8]>::to_vec)
    }
    fn online(&self) -> Option<bool> {
        self.asked.iter().find_map(|step| match step {
            CardStep::GoOnline { verified, .. } => Some(*verified == Verified::Signature),
            CardStep::Read(_)
            | CardStep::Choose(_)
            | CardStep::NeedPin(_)
            | CardStep::Completed { .. }
            | CardStep::Done { .. } => None,
        })
    }
}

fn run_in(kernel: &mut EmvKernel, slot: &mut Slot, persona: &str, host: Host) -> Ran {
    let mut step = kernel.run(&card_run(Kind::Sale), slot).unwrap();
    let mut asked = Vec::new();
    for _ in 0..20 {
        let word = match step.clone().expect("it was not interrupted") {
            CardStep::Done { decision, icc } => {
                return Ran { asked, decision, icc: Icc::parse(&icc).unwrap() };
            }
            CardStep::Read(_) => CardWord::Proceed(PROCEED),
            CardStep::Completed { .. } => CardWord::Scripts,
            CardStep::Choose(_) => CardWord::Chosen(Some(0)),
            CardStep::NeedPin(PinCheck::Issuer) => CardWord::Pin(PinWord::Entered),
            CardStep::NeedPin(PinCheck::Card(_)) => CardWord::Pin(PinWord::Failed),
            CardStep::GoOnline { icc, .. } => {
                Icc::parse(&icc).unwrap();
                CardWord::Host(match host {
                    Host::Approves | Host::ApprovesWithScript => HostWord::Approved {
                        arc: *b"00",
                        icc: issuer(slot, persona, *b"00", host == Host::ApprovesWithScript),
                    },
                    Host::Refuses => {
                        HostWord::Declined { arc: *b"51", icc: issuer(slot, persona, *b"51", false) }
                    }
                    Host::NotSent => HostWord::NotSent { offline: true },
                    Host::NoReply => HostWord::NoReply,
                })
            }
        };
        asked.extend(step);
        step = kernel.tell(word, slot).unwrap();
    }
    panic!("{persona}: a run without an end");
}
fn run(persona: &str, kind: u8, host: Host) -> (Ran, Slot) {
    let mut slot = Slot::new(persona);
    let ran = run_in(&mut kernel(kind), &mut slot, persona, host);
    (ran, slot)
}

#[test]
fn each_persona_and_each_word_of_the_host() {
    let online = ["debit", "credit", "both", "offline", "pin-blocked", "expired-certificate", "wrong-ca"];
    for persona in online {
        let (ran, slot) = run(persona, ONLINE_ONLY, Host::Approves);
        assert!(matches!(ran.decision, CardDecision::Approved(_)), "{persona}: {:?}", ran.decision);
        assert_eq!(slot.given(), [0x80, 0x40], "{persona}");
        assert!(ran.online().is_some());
        let last = slot.card.given()[1].cryptogram.to_vec();
        assert_eq!((ran.tag(0x9F26), ran.tag(0x8A)), (Some(last), Some(b"00".to_vec())), "{persona}");
        for host in [Host::Refuses, Host::NotSent, Host::NoReply] {
            let (ran, slot) = run(persona, ONLINE_ONLY, host);
            let said = (&ran.decision, slot.given());
            assert_eq!(said, (&CardDecision::Declined, vec![0x80, 0x00]), "{persona}: {host:?}");
        }
    }
    let (ran, slot) = run("refuses-after-approval", ONLINE_ONLY, Host::Approves);
    assert_eq!((&ran.decision, slot.given()), (&CardDecision::Declined, vec![0x80, 0x00]));
    let (ran, slot) = run("blocked-application", ONLINE_ONLY, Host::Approves);
    assert_eq!((&ran.decision, slot.given()), (&CardDecision::Failed(CardFailure::Blocked), vec![]));
    // Where the terminal may decide without the host, what it tells the card differs, word by word (8A).
    let words =
        [(Host::NotSent, b"Y3"), (Host::NoReply, b"Z3"), (Host::Refuses, b"51"), (Host::Approves, b"00")];
    for (host, arc) in words {
        let (ran, slot) = run("refuses-after-approval", BOTH, host);
        assert_eq!((ran.tag(0x8A), slot.given()), (Some(arc.to_vec()), vec![0x80, 0x00]), "{host:?}");
    }
    // Where the terminal lets it, a card decides alone.
    let (ran, slot) = run("offline", BOTH, Host::NotSent);
    assert_eq!((&ran.decision, slot.given()), (&CardDecision::Approved(Verified::PinOrNone), vec![0x40]));
    assert_eq!(ran.online(), None);
}

#[test]
fn a_card_that_lies_is_no_card_that_declines() {
    // A TC where an ARQC was asked for.
    let mut slot = Slot::new("debit");
    slot.spoil = |command, answer| {
        if command[1] == 0xAE {
            assert_eq!(answer[..3], [0x80, 0x13, 0x80]);
            answer[2] = 0x40;
        }
    };
    let ran = run_in(&mut kernel(ONLINE_ONLY), &mut slot, "debit", Host::Approves);
    assert_eq!((ran.decision, slot.given()), (CardDecision::Failed(CardFailure::Lied), vec![0x80]));
    // A card that decides alone and signs what is wrong: the kernel's no is of the terminal, not of the card.
    let mut slot = Slot::new("offline");
    slot.spoil = |command, answer| {
        if command[1] == 0xAE {
            answer[60] ^= 1;
        }
    };
    let ran = run_in(&mut kernel(BOTH), &mut slot, "offline", Host::Approves);
    assert_eq!((ran.decision, slot.given()), (CardDecision::Failed(CardFailure::Lied), vec![0x40]));
}

#[test]
fn what_is_read_is_told_and_masked() {
    let (ran, slot) = run("debit", ONLINE_ONLY, Host::Approves);
    let CardStep::Read(read) = &ran.asked[0] else { panic!("{:?}", ran.asked) };
    assert_eq!((read.pan.reveal(), read.sequence, &*read.expiry), ("6212345678900010101", Some(1), "3012"));
    let track2 = read.track2.as_ref().and_then(|tracks| tracks.track2.as_deref());
    assert_eq!(track2, Some("6212345678900010101=301222000000000"));
    assert_eq!((read.language, &*read.aid), (None, "A000000333010101"));
    assert_eq!((&*read.label, &ran.asked[1]), ("PBOC DEBIT", &CardStep::NeedPin(PinCheck::Issuer)));
    assert!(!format!("{:?}", ran.asked).contains("6212345678900010101"));
    assert_eq!(slot.timeout, Some(Duration::from_secs(5)));
    let mut slot = Slot::new("debit");
    run_in(&mut kernel(ONLINE_ONLY).card_ms(700), &mut slot, "debit", Host::Approves);
    assert_eq!(slot.timeout, Some(Duration::from_millis(700)));
}

#[test]
fn a_number_that_no_message_has_a_place_for_is_unreadable() {
    let mut slot = Slot::new("debit");
    // 11 digits; the track would say another number.
    slot.spoil = |_, answer| {
        let mut place = |from: &str, to: &str| {
            let (from, to) = (hex::decode(from).unwrap(), hex::decode(to).unwrap());
            if let Some(at) = answer.windows(from.len()).position(|part| part == from) {
                answer[at..at + to.len()].copy_from_slice(&to);
            }
        };
        place("5A0A6212345678900010101F", "5A0A62123456789FFFFFFFFF");
        place("571262", "561262");
    };
    let ran = run_in(&mut kernel(ONLINE_ONLY), &mut slot, "debit", Host::Approves);
    assert_eq!((ran.asked, ran.decision), (vec![], CardDecision::Failed(CardFailure::Unreadable)));
}

#[test]
fn the_card_is_told_of_the_payment_where_the_terminal_stands() {
    let kinds = [(Kind::Sale, 0x00), (Kind::PreAuth, 0x03), (Kind::Balance, 0x31), (Kind::Void, 0x20)];
    for (kind, tag_9c) in kinds {
        let mut kernel = kernel(ONLINE_ONLY);
        let payment = kernel.transaction(&card_run(kind));
        assert_eq!(payment.kind, tag_9c, "{kind:?}");
        assert_eq!((payment.date, payment.time), ([0x26, 0x07, 0x15], [0x00, 0x30, 0x05]));
        assert_eq!((payment.amount, payment.currency, payment.exponent), (1_234, 156, 2));
        assert_eq!((payment.sequence, payment.unpredictable, payment.draw), (45_678_901, [1, 2, 3, 4], 99));
    }
    let (ran, _) = run("debit", ONLINE_ONLY, Host::Approves);
    let told =
        [(0x9A, vec![0x26, 0x07, 0x15]), (0x9F37, vec![1, 2, 3, 4]), (0x9F02, vec![0, 0, 0, 0, 0x12, 0x34])];
    for (tag, value) in told {
        assert_eq!(ran.tag(tag), Some(value), "{tag:X}");
    }
    for tag in [0x5A, 0x57, 0x5F24, 0x5F20, 0x90, 0x9F46, 0x8C, 0x8E] {
        assert_eq!(ran.tag(tag), None, "{tag:X}");
    }
    for tag in [0x9F27, 0x9F10, 0x9F36, 0x95, 0x9B, 0x9C, 0x5F2A, 0x82, 0x9F03, 0x9F33, 0x9F34, 0x84, 0x5F34]
    {
        assert!(ran.tag(tag).is_some(), "{tag:X}");
    }
}

/// A pad's way to the card in the slot.
struct Way<'a> {
    card: &'a mut TestCard,
    /// P2 of each VERIFY.
    sent: Vec<u8>,
}
impl CardPort for Way<'_> {
    fn verify(&mut self, command: Verify) -> Option<u16> {
        self.sent.push(command.reveal()[3]);
        self.card.answer(command.reveal()).last_chunk().map(|sw| u16::from_be_bytes(*sw))
    }
}

/// What a run with these PINs came to.
struct Shown {
    /// Tries left as the kernel said with each question.
    left: Vec<Option<u8>>,
    /// P2 of each VERIFY.
    sent: Vec<u8>,
    /// 9F34 and byte 3 of the TVR when the host is asked, and how the holder was verified.
    cvm: Vec<u8>,
    tvr: u8,
    verified: Verified,
}
fn shown(cvm: u8, pins: &[&str]) -> Shown {
    let (mut kernel, mut slot) = (kernel_with(ONLINE_ONLY, cvm), Slot::new("credit"));
    let (mut left, mut sent, mut pins) = (Vec::new(), Vec::new(), pins.iter());
    let mut step = kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    for _ in 0..20 {
        let word = match step.unwrap() {
            CardStep::Read(_) => CardWord::Proceed(PROCEED),
            CardStep::NeedPin(PinCheck::Card(ask)) => {
                left.push(ask.left);
                let pin = Pin::parse(pins.next().expect("a PIN more than was thought")).unwrap();
                let mut way = Way { card: &mut slot.card, sent: Vec::new() };
                let entry = offline_pin::show(&pin, &ask.form, &mut way, |bytes| {
                    bytes.fill(0xA5);
                    Ok(())
                });
                sent.append(&mut way.sent);
                let PinEntry::Status(sw) = entry else { panic!("{entry:?}") };
                CardWord::Pin(PinWord::Status(sw))
            }
            CardStep::GoOnline { icc, verified, .. } => {
                assert_eq!(pins.next(), None, "a PIN was not asked for");
                let icc = Icc::parse(&icc).unwrap();
                let value = |tag| icc.values(Tag::new(tag).unwrap()).next().unwrap().to_vec();
                return Shown { left, sent, cvm: value(0x9F34), tvr: value(0x95)[2], verified };
            }
            other @ (CardStep::Choose(_)
            | CardStep::NeedPin(PinCheck::Issuer)
            | CardStep::Completed { .. }
            | CardStep::Done { .. }) => panic!("{other:?}"),
        };
        step = kernel.tell(word, &mut slot).unwrap();
    }
    panic!("a run without an end");
}

#[test]
fn a_card_is_shown_its_pin_until_it_is_right_or_no_try_is_left() {
    const ENCIPHERED: u8 = 0x78;
    const PLAIN: u8 = 0xE8;
    for (cvm, p2, rule) in [(ENCIPHERED, 0x88, 0x44), (PLAIN, 0x80, 0x41)] {
        let right = shown(cvm, &["1234"]);
        assert_eq!((right.left, right.sent), (vec![Some(3)], vec![p2]));
        let again = shown(cvm, &["1235", "123456", "1234"]);
        assert_eq!((again.left, again.sent), (vec![Some(3), Some(2), Some(1)], vec![p2; 3]));
        assert_eq!((&again.cvm[..1], again.tvr & 0xB0), (&[rule][..], 0), "verified, after all");
        let blocked = shown(cvm, &["9999", "9999", "9999"]);
        assert_eq!((blocked.sent.len(), blocked.tvr & 0x20), (3, 0x20), "try limit exceeded");
    }
    let right = shown(ENCIPHERED, &["1234"]);
    assert_eq!((right.cvm, right.verified), (vec![0x44, 0x03, 2], Verified::CardPin));
    // Both: the card's list has the enciphered one first.
    assert_eq!(shown(0xF8, &["1234"]).sent, [0x88]);
}

#[test]
fn the_pin_that_a_card_checks_is_not_the_kernels() {
    // A pad that cannot show the card a PIN: this issuer wants no payment whose PIN was not entered.
    let (mut kernel, mut slot) = (kernel_with(ONLINE_ONLY, 0xF8), Slot::new("credit"));
    let ran = run_in(&mut kernel, &mut slot, "credit", Host::Approves);
    assert!(matches!(ran.asked[1..], [CardStep::NeedPin(PinCheck::Card(_))]), "{:?}", ran.asked);
    assert_eq!((ran.decision, slot.given()), (CardDecision::Declined, vec![0x00]));
    // A terminal that has none: it is signed.
    let (ran, slot) = run("credit", ONLINE_ONLY, Host::Approves);
    assert_eq!((ran.online(), ran.decision), (Some(true), CardDecision::Approved(Verified::Signature)));
    assert!(slot.sent.iter().all(|command| command[1] != 0x20));
    assert_eq!(run("debit", ONLINE_ONLY, Host::Approves).0.online(), Some(false), "a PIN for the issuer");
    let mut slot = Slot::new("debit");
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
    let step = kernel.tell(CardWord::Pin(PinWord::Cancelled), &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::Cancelled), "{step:?}");
}

fn is_failed(step: Option<&CardStep>, why: CardFailure) -> bool {
    matches!(step, Some(CardStep::Done { decision: CardDecision::Failed(w), .. }) if *w == why)
}

#[test]
fn the_customer_chooses_in_the_cards_order() {
    let (ran, _) = run("both", ONLINE_ONLY, Host::Approves);
    assert_eq!(ran.asked[0], CardStep::Choose(vec!["PBOC DEBIT".into(), "PBOC CREDIT".into()]));
    let CardStep::Read(read) = &ran.asked[1] else { panic!("{:?}", ran.asked) };
    // Of French, which the texts do not have, Chinese and English the first that they have.
    assert_eq!((&*read.aid, read.language), ("A000000333010101", Some(Language::ZhCn)));
    let (mut kernel, mut slot) = (kernel(ONLINE_ONLY), Slot::new("both"));
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    let step = kernel.tell(CardWord::Chosen(None), &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::Cancelled), "{step:?}");
}

#[test]
fn a_card_that_goes_at_any_command_is_approved_by_what_it_gave_before() {
    let personas = Personas::parse(PERSONAS).unwrap();
    for (persona, host) in personas
        .all
        .iter()
        .map(|p| p.name.as_str())
        .map(|persona| (persona, Host::ApprovesWithScript))
        .chain([("debit", Host::Refuses)])
    {
        let (whole, slot) = run(persona, ONLINE_ONLY, host);
        let mut ends = BTreeMap::new();
        for at in 0..slot.sent.len() {
            let mut pulled = Slot::with(persona, at, Trouble::Removed);
            let ran = run_in(&mut kernel(ONLINE_ONLY), &mut pulled, persona, host);
            assert_eq!(pulled.sent, slot.sent[..=at], "{persona} at {at}: nothing is sent to no card");
            let decided = pulled.given().len() == 2;
            let expected =
                if decided { &whole.decision } else { &CardDecision::Failed(CardFailure::Removed) };
            assert_eq!(&ran.decision, expected, "{persona}, {host:?}, at {at}");
            *ends.entry(decided).or_insert(0) += 1;
            let approves = ran.decision == CardDecision::Approved(Verified::PinOrNone);
            assert!(!approves || pulled.given().last() == Some(&0x40), "{persona} at {at}: no TC");
        }
        if host == Host::ApprovesWithScript && slot.given().len() == 2 {
            assert_eq!(ends.get(&true), Some(&1), "{persona}: one script after the last cryptogram");
        }
    }
}

#[test]
fn results_of_an_issuers_script_come_with_the_end() {
    let (ran, _) = run("debit", ONLINE_ONLY, Host::ApprovesWithScript);
    assert_eq!(
        (ran.decision.clone(), ran.tag(0xDF31).map(|r| r.len())),
        (CardDecision::Approved(Verified::PinOrNone), Some(5))
    );
    assert_eq!(run("debit", ONLINE_ONLY, Host::Approves).0.tag(0xDF31), None);
}

/// The approval is told before the scripts behind it, with the cryptogram that stays.
#[test]
fn a_tc_is_told_before_the_scripts_behind_it() {
    let (ran, slot) = run("debit", ONLINE_ONLY, Host::ApprovesWithScript);
    let Some(CardStep::Completed { icc }) = ran.asked.last() else { panic!("{:?}", ran.asked) };
    let icc = Icc::parse(icc).unwrap();
    let value = |tag| icc.values(Tag::new(tag).unwrap()).next().map(<[u8]>::to_vec);
    assert_eq!((value(0x9F26), value(0x9F27)), (ran.tag(0x9F26), Some(vec![0x40])));
    assert_eq!(value(0xDF31).unwrap()[0], 0, "not performed yet");
    assert_eq!(slot.given(), [0x80, 0x40]);
    for host in [Host::Approves, Host::Refuses] {
        let asked = run("debit", ONLINE_ONLY, host).0.asked;
        assert!(asked.iter().all(|step| !matches!(step, CardStep::Completed { .. })), "{host:?}");
    }
}

/// One that takes too long behind the host's answer is stopped at any command: it says how far it came.
#[test]
fn a_card_that_is_stopped_behind_the_hosts_yes_says_how_far_it_came() {
    let (_, whole) = run("debit", ONLINE_ONLY, Host::ApprovesWithScript);
    let second = whole.sent.iter().rposition(|command| command[1] == 0xAE).unwrap() + 1;
    for before in second - 1..=whole.sent.len() {
        let (mut kernel, mut slot) = (kernel(ONLINE_ONLY), Slot::new("debit"));
        slot.interrupt = Some((before, kernel.interrupt()));
        let ran = run_in(&mut kernel, &mut slot, "debit", Host::ApprovesWithScript);
        let approved = ran.decision == CardDecision::Approved(Verified::PinOrNone);
        assert_eq!(approved, before >= second, "stopped in command {before}: {:?}", ran.decision);
        assert_eq!(slot.sent.len(), before, "the command under way is the last");
        let result = ran.tag(0xDF31).unwrap()[0];
        assert_eq!(result, if before == whole.sent.len() { 0x11 } else { 0 }, "{before}");
    }
}

#[test]
fn removed_mute_and_reader_lost_are_three_ends() {
    for (trouble, why) in [
        (Trouble::Removed, CardFailure::Removed),
        (Trouble::Mute, CardFailure::Unreadable),
        (Trouble::Reader, CardFailure::Reader),
    ] {
        for at in [usize::MAX, 0, 3] {
            let mut slot = Slot::with("debit", at, trouble);
            let ran = run_in(&mut kernel(ONLINE_ONLY), &mut slot, "debit", Host::Approves);
            assert_eq!(ran.decision, CardDecision::Failed(why), "{trouble:?} at {at}");
            assert_eq!(slot.sent.len(), at.wrapping_add(1));
        }
    }
}

#[test]
fn an_interrupt_ends_the_call_between_two_commands_and_the_next_run_begins_anew() {
    let (_, whole) = run("debit", ONLINE_ONLY, Host::Approves);
    let mut kernel = kernel(ONLINE_ONLY);
    // The first run reads the card with so many commands.
    let mut slot = Slot::new("debit");
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    let reads = slot.sent.len();
    for before in 1..=reads {
        let mut slot = Slot::new("debit");
        slot.interrupt = Some((before, kernel.interrupt()));
        assert_eq!(kernel.run(&card_run(Kind::Sale), &mut slot).unwrap(), None);
        assert_eq!(slot.sent.len(), before);
        let after = kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
        assert!(is_failed(after.as_ref(), CardFailure::OutOfOrder));
        assert_eq!(slot.sent.len(), before, "a run that was interrupted is over");
    }
    let mut slot = Slot::new("debit");
    let ran = run_in(&mut kernel, &mut slot, "debit", Host::Approves);
    assert_eq!(
        (ran.decision, slot.sent.len()),
        (CardDecision::Approved(Verified::PinOrNone), whole.sent.len())
    );
    // An interrupt between two calls of a run is for its next one.
    let mut slot = Slot::new("debit");
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    kernel.interrupt()();
    assert_eq!(kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap(), None);
    assert_eq!(slot.sent.len(), reads);
    // Once it hears the host it ends: told that no reply came, and let go at once, it gives its AAC.
    let mut slot = Slot::new("debit");
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
    kernel.tell(CardWord::Pin(PinWord::Entered), &mut slot).unwrap();
    kernel.interrupt()();
    let end = kernel.tell(CardWord::Host(HostWord::NoReply), &mut slot).unwrap();
    assert!(matches!(end, Some(CardStep::Done { decision: CardDecision::Declined, .. })), "{end:?}");
    assert_eq!(slot.given(), [0x80, 0x00]);
    kernel.end();
    // What the card has decided stands.
    let mut slot = Slot::new("debit");
    slot.interrupt = Some((whole.sent.len(), kernel.interrupt()));
    let ran = run_in(&mut kernel, &mut slot, "debit", Host::Approves);
    assert_eq!(ran.decision, CardDecision::Approved(Verified::PinOrNone));
}

#[test]
fn a_word_that_answers_nothing_ends_the_run_and_approves_nothing() {
    let host = || CardWord::Host(HostWord::Approved { arc: *b"00", icc: Vec::new() });
    let (mut kernel, mut slot) = (kernel(ONLINE_ONLY), Slot::new("debit"));
    let step = kernel.tell(host(), &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::OutOfOrder), "no run: {step:?}");
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    let step = kernel.tell(host(), &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::OutOfOrder), "{step:?}");
    assert_eq!(slot.given(), Vec::<u8>::new());
    kernel.run(&card_run(Kind::Sale), &mut slot).unwrap();
    kernel.end();
    let step = kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::OutOfOrder), "{step:?}");
}

#[test]
fn a_run_that_reads_only_approves_nothing() {
    let (mut kernel, mut slot) = (kernel(ONLINE_ONLY), Slot::new("debit"));
    let run = CardRun { depth: Depth::Read, ..card_run(Kind::Void) };
    assert!(matches!(kernel.run(&run, &mut slot).unwrap(), Some(CardStep::Read(_))));
    let step = kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
    assert!(matches!(step, Some(CardStep::Done { decision: CardDecision::Declined, .. })), "{step:?}");
    assert_eq!(slot.given(), Vec::<u8>::new());
    let tap = CardRun { interface: Interface::Contactless, ..card_run(Kind::Sale) };
    let step = kernel.run(&tap, &mut slot).unwrap();
    assert!(is_failed(step.as_ref(), CardFailure::InsertInstead), "it has no directory of taps: {step:?}");
    assert_eq!(slot.given(), Vec::<u8>::new());
}

#[test]
fn decisions_of_each_run_are_told_once_it_is_over() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = told.clone();
    let take: TakeDecisions = Arc::new(move |run| heard.lock().unwrap().push(run));
    let mut kernel = kernel(BOTH).telling(take);
    let last = || told.lock().unwrap().pop().expect("a run is told");
    run_in(&mut kernel, &mut Slot::new("debit"), "debit", Host::Refuses);
    let run = last();
    assert_eq!((run.txn, run.at), (12_345_678_901, AT));
    let ends = |run: &Decisions, end: &str| run.log.last().is_some_and(|last| last == end);
    assert!(ends(&run, "end: declined, the host refuses"), "{:?}", run.log);
    // A tap that goes online is over when the engine ends it.
    let tap = CardRun { interface: Interface::Contactless, offline: false, ..card_run(Kind::Sale) };
    let mut slot = Slot::new("qpboc-online");
    kernel.run(&tap, &mut slot).unwrap();
    let step = kernel.tell(CardWord::Proceed(PROCEED), &mut slot).unwrap();
    assert!(matches!(step, Some(CardStep::GoOnline { then: Then::Final, .. })), "{step:?}");
    assert!(told.lock().unwrap().is_empty());
    kernel.end();
    let run = last();
    assert!(run.log.iter().any(|line| line.starts_with("the card gives ARQC")), "{:?}", run.log);
    kernel.end();
    assert!(told.lock().unwrap().is_empty(), "once");
    // Nothing of what the card says but names, status words and kinds.
    let all = [run.log.concat(), format!("{:?}", run.log)].concat();
    for secret in ["345678", "TEST/CARD", "544553542F"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
}

#[test]
fn names_are_read_by_their_code_table() {
    let cases: [(Option<u8>, &[u8], &str); 8] = [
        (None, b"PBOC DEBIT", "PBOC DEBIT"),
        (None, &[0xE9, 0x1B, 0x7F, b'a'], "???a"),
        (Some(1), &[0xE9, 0x80, b'a'], "\u{e9}?a"),
        (Some(2), &[0xB1], "\u{105}"),
        (Some(5), &[0xBA, 0xD0], "\u{41a}\u{430}"),
        (Some(7), &[0xE1], "\u{3b1}"),
        (Some(9), &[0xFE], "\u{15f}"),
        (Some(11), &[0xA1], "?"),
    ];
    for (table, bytes, shown) in cases {
        assert_eq!(text(bytes, table), shown, "{table:?}");
    }
}
