//! What every run must keep, whoever lies in it: seen from outside, by its steps and what it was told.
use payterm_emv::{
    Contact, Tag,
    contact::{COMMANDS_MAX, ISSUER_SCRIPTS_MAX},
    step::{By, End, HostWord, Input, Step, Verdict},
    tags::BYTES_MAX,
};

/// Turns of people and host beside the commands; a card that is chosen from again and again has 64
/// applications.
const TURNS_MAX: u16 = COMMANDS_MAX + 300;

/// The host's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Approved([u8; 2]),
    Refused,
    NotSent,
    NoReply,
}

/// An observer of one run.
#[derive(Default)]
pub struct Watch {
    turns: u16,
    commands: u16,
    /// P1 of each GENERATE AC.
    asked: Vec<u8>,
    online: bool,
    host: Option<Host>,
}

impl Watch {
    pub fn step(&mut self, step: &Step) {
        self.turns += 1;
        assert!(self.turns <= TURNS_MAX, "a run without an end");
        match step {
            Step::Send(command) => {
                self.commands += 1;
                assert!(self.commands <= COMMANDS_MAX && command.len() <= 261, "{} bytes", command.len());
                match command.get(1) {
                    Some(0x20) => panic!("a VERIFY"),
                    Some(0xAE) => self.asked.push(command[2]),
                    _ => {}
                }
                assert!(self.asked.len() <= 2, "GENERATE AC a third time");
            }
            Step::Online(_) => {
                assert!(!self.online, "the host is asked twice");
                assert_eq!(self.asked.len(), 1, "online without a cryptogram");
                self.online = true;
            }
            Step::Choose(choices) => assert!((1..=64).contains(&choices.len()), "{} choices", choices.len()),
            Step::Parameters(_) | Step::Read(_) | Step::Pin(_) | Step::Done(_) => {}
        }
    }

    pub fn input(&mut self, input: &Input<'_>) {
        if let (Input::Host(word), true) = (input, self.online && self.host.is_none()) {
            self.host = Some(match word {
                HostWord::Approved { arc, .. } => Host::Approved(*arc),
                HostWord::Refused { .. } => Host::Refused,
                HostWord::NotSent => Host::NotSent,
                HostWord::NoReply => Host::NoReply,
            });
        }
    }

    /// Nothing is approved but by a TC that was asked for last, and by who was there to approve.
    pub fn end(&self, end: &End) {
        let values: usize = end.tags.tags().map(|tag| end.tags.get(tag).map_or(0, <[u8]>::len)).sum();
        assert!(values <= BYTES_MAX && end.scripts.len() <= ISSUER_SCRIPTS_MAX);
        let Verdict::Approved(by) = end.verdict else { return };
        let last = self.asked.last().copied();
        assert_eq!(last.map(|p1| p1 & 0xC0), Some(0x40), "approved, and no TC was asked for");
        assert_eq!(end.cid.map(|cid| cid & 0xC0), Some(0x40), "approved, and no TC was given");
        assert_eq!(end.tags.get(Tag(0x9F27)), end.cid.as_ref().map(std::slice::from_ref));
        let who = match (by, self.asked.len(), self.host) {
            (By::Card, 1, None) => true,
            (By::CardUnableOnline, 2, None | Some(Host::NotSent)) => true,
            (By::HostAndCard, 2, Some(Host::Approved(arc))) => arc != *b"01" && arc != *b"02",
            _ => false,
        };
        assert!(who, "approved by {by:?}: {} cryptograms, host {:?}", self.asked.len(), self.host);
    }

    /// A run that has ended stays so.
    pub fn afterwards(&self, contact: &mut Contact) {
        let approved = [0x77, 3, 0x9F, 0x27, 0x40, 0x90, 0x00];
        for input in [Input::Answer(&approved), Input::Stop, Input::Host(HostWord::NotSent)] {
            let Step::Done(end) = contact.step(input) else { panic!("it goes on after its end") };
            assert!(matches!(end.verdict, Verdict::Ended(_)), "{:?}", end.verdict);
        }
    }
}
