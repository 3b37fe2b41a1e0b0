//! The kernel of `crates/emv` against each persona, whole runs: what both make of the issuer's word.
use super::*;
use payterm_emv::{
    Contact,
    step::{By, End, HostWord, Input, Lie, PinAsk, Step, Verdict, Why},
    terminal::{Parameters, Terminal},
};
use play::DATE;
use std::sync::Arc;

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
    let terminal = Terminal::new(play::terminal()).unwrap();
    let parameters = Parameters::new(1, play::aids(play::LIMITS), play::keys(), Vec::new()).unwrap();
    Contact::start(Arc::new(terminal), Arc::new(parameters), play::payment(minor)).unwrap()
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
            Step::Read(_) => Input::Proceed(play::PROCEED),
            Step::Pin(ask) => {
                pins.push(match ask {
                    PinAsk::Online => "online",
                    PinAsk::Plain { .. } => "plain",
                    PinAsk::Enciphered { .. } => "enciphered",
                });
                Input::Pin(card.pin_word(&ask))
            }
            Step::Online(_) => {
                online = true;
                let word = |code: [u8; 2]| card.issuer_data(code).unwrap();
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
                    Host::NotSent => Input::Host(HostWord::NotSent { offline: true }),
                    Host::NoReply => Input::Host(HostWord::NoReply),
                }
            }
            Step::Completed(_) => Input::Scripts,
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
fn book_3_10_3_a_record_above_file_10_is_signed_with_its_template() {
    let ran = plain("credit", 1_000, Host::Approves);
    assert!(ran.tag(0x94).as_chunks::<4>().0.contains(&[12 << 3, 1, 1, 1]), "what is signed is there");
    assert_eq!((ran.tag(0x95)[0], ran.tag(0x9B)[0] & 0x80), (0, 0x80));
}

#[test]
fn a_blocked_application_ends_without_a_cryptogram() {
    let ran = plain("blocked-application", 1_000, Host::Approves);
    assert_eq!(ran.end.why, Why::ApplicationBlocked);
    assert!(ran.given().is_empty() && ran.end.verdict != Verdict::Declined);
}
