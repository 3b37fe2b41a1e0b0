//! The kernel of `crates/emv` against each persona, whole runs: what both make of the issuer's word.
use super::*;
use payterm_emv::{
    Contact, oda,
    step::{By, End, HostWord, Input, Lie, PinAsk, PinWord, Proceed, Step, Verdict, Why},
    terminal::{Aid, Depth, Limits, Parameters, Terminal, TerminalData, Transaction},
};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const DATE: [u8; 3] = [0x26, 0x07, 0x15];
const RID: [u8; 5] = [0xA0, 0, 0, 0x03, 0x33];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Host {
    /// With its cryptogram.
    Approves,
    /// Its cryptogram is spoilt.
    ApprovesWrongly,
    Refuses,
    NotSent,
    NoReply,
}

/// Changes an answer of the card on its way to the terminal; counts GENERATE ACs from 1.
type Spoil = fn(u8, &mut Vec<u8>);

struct Ran {
    end: End,
    card: TestCard,
    pins: Vec<&'static str>,
    online: bool,
}
impl Ran {
    fn told(&self) -> (Verdict, Why) {
        (self.end.verdict, self.end.why)
    }
    /// Kinds of its cryptograms, in the card's own list.
    fn given(&self) -> Vec<u8> {
        self.card.given().iter().map(|g| g.cid).collect()
    }
    fn tag(&self, tag: u32) -> &[u8] {
        self.end.tags.get(Tag(tag)).unwrap_or_default()
    }
}

pub(super) fn start(minor: u64) -> (Contact, Step) {
    let (denial, online, default) = ([0; 5], [0; 5], [0; 5]);
    let limits = Limits { floor: 100_000, threshold: 50_000, target: 0, most: 0, denial, online, default };
    let aid = |name: &str| Aid {
        name: hex::decode(name).unwrap(),
        partial: false,
        version: [0, 0x30],
        limits,
        ddol: Some(vec![0x9F, 0x37, 0x04]),
        tdol: None,
        online_pin: true,
    };
    let (modulus, exponent) = ca_key();
    let key = oda::CaKey::new(RID, CA_INDEX, &modulus, &exponent, None).unwrap();
    let aids = vec![aid("A000000333010101"), aid("A000000333010102")];
    let terminal = TerminalData {
        country: 156,
        kind: 0x22,
        capabilities: [0xE0, 0xF8, 0xC8],
        additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
        serial: *b"PT000001",
        category: 5411,
        merchant: None,
        id: None,
        name: b"SHOP".to_vec(),
        languages: vec![*b"zh"],
        bypass: false,
    };
    let payment = Transaction {
        amount: minor,
        other: 0,
        currency: 156,
        exponent: 2,
        kind: 0,
        date: DATE,
        time: [0x13, 0x59, 0x59],
        sequence: 7,
        unpredictable: [1, 2, 3, 4],
        draw: 99,
        depth: Depth::Full,
        force_online: false,
    };
    let parameters = Parameters::new(1, aids, vec![key], Vec::new()).unwrap();
    Contact::start(Arc::new(Terminal::new(terminal).unwrap()), Arc::new(parameters), payment).unwrap()
}

/// 91 of the issuer for the card's last cryptogram.
fn issuer_data(card: &TestCard, code: [u8; 2]) -> Vec<u8> {
    let given = card.given().last().unwrap();
    let application = card.applications.iter().find(|a| a.row.aid.0 == given.aid).unwrap();
    let session = card.derivation.session(&application.ac_key, given.atc);
    object(0x91, &[&crypt::arpc(&session, given.cryptogram, code)[..], &code].concat())
}

/// VERIFY as a PIN pad sends it.
pub(super) fn verify(card: &mut TestCard, ask: &PinAsk) -> PinWord {
    let block = Zeroizing::new(card.pin_block());
    let command = match ask {
        PinAsk::Online => return PinWord::Entered,
        PinAsk::Plain { .. } => [&[0x00, 0x20, 0x00, 0x80, 8][..], &*block].concat(),
        PinAsk::Enciphered { key, challenge, .. } => {
            let padding = vec![0xA5; key.padding_len()];
            let data = oda::encipher_pin(key, &block, *challenge, &padding).unwrap();
            [&[0x00, 0x20, 0x00, 0x88, data.len() as u8][..], &data].concat()
        }
    };
    let answer = card.answer(&command);
    PinWord::Status(u16::from_be_bytes(*answer.last_chunk().unwrap()))
}

fn run(persona: &str, minor: u64, host: Host, spoil: Spoil) -> Ran {
    let mut card = TestCard::new(&Personas::parse(PERSONAS).unwrap(), persona, DATE).unwrap();
    let (mut contact, mut step) = start(minor);
    let (mut pins, mut online, mut acs) = (Vec::new(), false, 0);
    for _ in 0..200 {
        let bytes;
        let input = match step {
            Step::Send(command) => {
                let mut answer = card.answer(&command);
                if command[1] == 0xAE {
                    acs += 1;
                    spoil(acs, &mut answer);
                }
                bytes = answer;
                Input::Answer(&bytes)
            }
            Step::Choose(_) => Input::Chosen(Some(0)),
            Step::Parameters(_) => Input::Parameters(None),
            Step::Read(_) => Input::Proceed(Proceed { earlier: 0, listed: false, online_pin: true }),
            Step::Pin(ask) => {
                pins.push(match ask {
                    PinAsk::Online => "online",
                    PinAsk::Plain { .. } => "plain",
                    PinAsk::Enciphered { .. } => "enciphered",
                });
                Input::Pin(verify(&mut card, &ask))
            }
            Step::Online(_) => {
                online = true;
                let word = |code: [u8; 2]| issuer_data(&card, code);
                match host {
                    Host::Approves => {
                        bytes = word(*b"00");
                        Input::Host(HostWord::Approved { arc: *b"00", issuer: &bytes })
                    }
                    Host::ApprovesWrongly => {
                        let mut data = word(*b"00");
                        data[3] ^= 1;
                        bytes = data;
                        Input::Host(HostWord::Approved { arc: *b"00", issuer: &bytes })
                    }
                    Host::Refuses => {
                        bytes = word(*b"51");
                        Input::Host(HostWord::Refused { arc: *b"51", issuer: &bytes })
                    }
                    Host::NotSent => Input::Host(HostWord::NotSent),
                    Host::NoReply => Input::Host(HostWord::NoReply),
                }
            }
            Step::Done(end) => return Ran { end: *end, card, pins, online },
        };
        step = contact.step(input);
    }
    panic!("{persona}: a run without an end");
}
fn plain(persona: &str, minor: u64, host: Host) -> Ran {
    run(persona, minor, host, |_, _| ())
}

#[test]
fn the_hosts_yes_is_approved_by_the_cards_tc_and_by_nothing_else() {
    for persona in ["debit", "credit", "both"] {
        let ran = plain(persona, 1_000, Host::Approves);
        assert_eq!(ran.told(), (Verdict::Approved(By::HostAndCard), Why::Complete), "{persona}");
        assert_eq!(ran.given(), [0x80, 0x40], "{persona}");
        assert_eq!(ran.tag(0x9F26), ran.card.given()[1].cryptogram, "{persona}");
        for (host, why) in [(Host::Refuses, Why::Host), (Host::NoReply, Why::NoReply)] {
            let ran = plain(persona, 1_000, host);
            assert_eq!((ran.told(), ran.given()), ((Verdict::Declined, why), vec![0x80, 0x00]), "{persona}");
        }
        let ran = plain(persona, 1_000, Host::NotSent);
        assert_eq!((ran.end.verdict, ran.given()), (Verdict::Declined, vec![0x80, 0x00]), "{persona}");
    }
}

#[test]
fn a_card_that_does_not_know_its_issuer_again_declines() {
    for persona in ["debit", "credit"] {
        let ran = plain(persona, 1_000, Host::ApprovesWrongly);
        assert_eq!(ran.told(), (Verdict::Declined, Why::Card), "{persona}");
        assert_eq!(ran.given(), [0x80, 0x00], "{persona}");
    }
    // EXTERNAL AUTHENTICATE tells the terminal, CDOL2 only the card.
    assert_eq!(plain("debit", 1_000, Host::ApprovesWrongly).tag(0x95)[4] & 0x40, 0x40);
}

#[test]
fn the_card_refuses_what_the_host_approved() {
    let ran = plain("refuses-after-approval", 1_000, Host::Approves);
    assert_eq!((ran.told(), ran.given()), ((Verdict::Declined, Why::Card), vec![0x80, 0x00]));
}

#[test]
fn a_combined_signature_is_over_the_second_cryptogram_too() {
    let ran = plain("credit", 1_000, Host::Approves);
    assert_eq!(ran.tag(0x9F4C).len(), 8, "signed");
    for spoil in [
        // A byte of the signature; the kind of the cryptogram; the cryptogram's counter.
        (|n, answer| {
            if n == 2 {
                answer[60] ^= 1
            }
        }) as Spoil,
        |n, answer| {
            if n == 2 {
                answer[9] ^= 1
            }
        },
        |n, answer| {
            if n == 2 {
                answer.truncate(40)
            }
        },
    ] {
        let ran = run("credit", 1_000, Host::Approves, spoil);
        assert_eq!((ran.end.verdict, ran.given()), (Verdict::Declined, vec![0x80, 0x40]));
    }
    let spoilt = run("credit", 1_000, Host::Approves, |n, answer| {
        if n == 2 {
            answer[60] ^= 1
        }
    });
    assert_eq!(spoilt.told(), (Verdict::Declined, Why::Lied(Lie::Signature)));
}

#[test]
fn an_offline_tc_is_approved_with_its_signature_only() {
    let ran = plain("offline", 1_000, Host::NotSent);
    assert_eq!((ran.told(), ran.given()), ((Verdict::Approved(By::Card), Why::Complete), vec![0x40]));
    assert!(!ran.online);
    let ran = run("offline", 1_000, Host::NotSent, |_, answer| answer[60] ^= 1);
    assert_eq!((ran.told(), ran.given()), ((Verdict::Declined, Why::Lied(Lie::Signature)), vec![0x40]));
}

#[test]
fn pins_go_to_card_or_issuer_as_the_persona_wants() {
    for (persona, pins, bit) in [("debit", vec!["online"], 0x04), ("credit", vec!["enciphered"], 0)] {
        let ran = plain(persona, 1_000, Host::Approves);
        assert_eq!((ran.pins.clone(), ran.tag(0x95)[2] & 0x04), (pins, bit), "{persona}");
    }
    let ran = plain("pin-blocked", 1_000, Host::Approves);
    assert_eq!((ran.pins.len(), ran.tag(0x95)[2] & 0x20), (0, 0x20), "try limit exceeded");
}

#[test]
fn certificates_that_fail_are_in_the_verification_results() {
    for persona in ["expired-certificate", "wrong-ca"] {
        let ran = plain(persona, 1_000, Host::Approves);
        assert_eq!(ran.tag(0x95)[0] & 0x08, 0x08, "{persona}: DDA failed");
        assert!(ran.online, "{persona}");
    }
    let ran = plain("debit", 1_000, Host::Approves);
    assert_eq!((ran.tag(0x95)[0], ran.tag(0x9B)[0] & 0x80), (0, 0x80));
}

#[test]
fn a_blocked_application_ends_without_a_cryptogram() {
    let ran = plain("blocked-application", 1_000, Host::Approves);
    assert_eq!(ran.end.why, Why::ApplicationBlocked);
    assert!(ran.given().is_empty() && ran.end.verdict != Verdict::Declined);
}
