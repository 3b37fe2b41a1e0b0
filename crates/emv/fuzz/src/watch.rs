//! What every run must keep, whoever lies in it: seen from outside, by its steps and what it was told.
use payterm_emv::{
    Tag,
    contact::{COMMANDS_MAX, ISSUER_SCRIPTS_MAX},
    step::{By, End, HostWord, Input, Step, Then, Verdict, Why},
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
    NotSent { offline: bool },
    NoReply,
}

/// An observer of one run.
#[derive(Default)]
pub struct Watch {
    /// The card is tapped: it is asked for no cryptogram but by GET PROCESSING OPTIONS.
    tap: bool,
    turns: u16,
    commands: u16,
    /// P1 of each GENERATE AC.
    asked: Vec<u8>,
    /// The last one, without its Le.
    last_ac: Vec<u8>,
    online: bool,
    /// What the card approves by itself is accepted.
    offline: bool,
    host: Option<Host>,
    /// The card has approved, and scripts are left.
    completed: bool,
}

impl Watch {
    pub fn of_tap() -> Self {
        Self { tap: true, ..Self::default() }
    }

    pub fn step(&mut self, step: &Step) {
        self.turns += 1;
        assert!(self.turns <= TURNS_MAX, "a run without an end");
        match step {
            Step::Send(command) => {
                self.commands += 1;
                assert!(self.commands <= COMMANDS_MAX && command.len() <= 261, "{} bytes", command.len());
                match command.get(1) {
                    Some(0x20) => panic!("a VERIFY"),
                    // The same with another Le is what a 6Cxx asks for (Book 1, T=0).
                    Some(0xAE) if command.split_last().map(|(_, rest)| rest) != Some(&self.last_ac) => {
                        self.asked.push(command[2]);
                        self.last_ac = command[..command.len() - 1].to_vec();
                    }
                    _ => {}
                }
                let most = if self.tap { 0 } else { 2 };
                assert!(self.asked.len() <= most, "GENERATE AC once more");
            }
            Step::Online(online) => {
                assert!(!self.online, "the host is asked twice");
                let (asked, then) = if self.tap { (0, Then::Final) } else { (1, Then::Card) };
                assert_eq!((self.asked.len(), online.then), (asked, then), "online without a cryptogram");
                let given = online.tags.get(Tag(0x9F27)).and_then(<[u8]>::first).map(|cid| cid & 0xC0);
                assert_eq!(given, Some(0x80), "online without an ARQC");
                self.online = true;
            }
            Step::Choose(_) | Step::Parameters(_) | Step::Completed(_) if self.tap => {
                panic!("asked in a tap")
            }
            Step::Choose(choices) => assert!((1..=64).contains(&choices.len()), "{} choices", choices.len()),
            Step::Completed(tags) => {
                let given = tags.get(Tag(0x9F27)).and_then(<[u8]>::first).map(|cid| cid & 0xC0);
                assert_eq!((given, self.asked.len()), (Some(0x40), 2), "completed without a TC");
                assert!(matches!(self.host, Some(Host::Approved(_))), "completed without the host's yes");
                assert!(!self.completed, "completed twice");
                self.completed = true;
            }
            Step::Parameters(_) | Step::Read(_) | Step::Pin(_) | Step::Done(_) => {}
        }
    }

    pub fn input(&mut self, input: &Input<'_>) {
        if let Input::Proceed(proceed) = input {
            self.offline = proceed.offline;
        }
        if let (Input::Host(word), true) = (input, self.online && self.host.is_none()) {
            self.host = Some(match word {
                HostWord::Approved { arc, .. } => Host::Approved(*arc),
                HostWord::Refused { .. } => Host::Refused,
                HostWord::NotSent { offline } => Host::NotSent { offline: *offline },
                HostWord::NoReply => Host::NoReply,
            });
        }
    }

    /// Nothing is approved but by a TC that was asked for last, and by who was there to approve.
    pub fn end(&self, end: &End) {
        let values: usize = end.tags.tags().map(|tag| end.tags.get(tag).map_or(0, <[u8]>::len)).sum();
        assert!(values <= BYTES_MAX && end.scripts.len() <= ISSUER_SCRIPTS_MAX);
        let Verdict::Approved(by) = end.verdict else {
            assert!(!self.completed || end.why == Why::OutOfOrder, "completed, and then not approved");
            return;
        };
        assert_eq!(end.tags.get(Tag(0x9F27)), end.cid.as_ref().map(std::slice::from_ref));
        if self.tap {
            return self.tapped(end, by);
        }
        let last = self.asked.last().copied();
        assert_eq!(last.map(|p1| p1 & 0xC0), Some(0x40), "approved, and no TC was asked for");
        assert_eq!(end.cid.map(|cid| cid & 0xC0), Some(0x40), "approved, and no TC was given");
        let who = match (by, self.asked.len(), self.host) {
            (By::Card, 1, None) => self.offline,
            (By::CardUnableOnline, 2, None) => self.offline,
            (By::CardUnableOnline, 2, Some(Host::NotSent { offline })) => offline,
            (By::HostAndCard, 2, Some(Host::Approved(arc))) => arc != *b"01" && arc != *b"02",
            _ => false,
        };
        assert!(who, "approved by {by:?}: {} cryptograms, host {:?}", self.asked.len(), self.host);
    }

    /// A tap is approved by the host after an ARQC, or by a TC where the terminal did not want to go online;
    /// and not without a verified holder, where that was wanted.
    fn tapped(&self, end: &End, by: By) {
        let kind = end.cid.map(|cid| cid & 0xC0);
        let wanted = end.tags.get(Tag(0x9F66)).and_then(|ttq| ttq.get(1)).expect("approved without 9F66");
        let who = match (by, self.online, self.host) {
            (By::Card, false, None) => self.offline && kind == Some(0x40) && wanted & 0x80 == 0,
            (By::Host, true, Some(Host::Approved(arc))) => {
                kind == Some(0x80) && arc != *b"01" && arc != *b"02"
            }
            _ => false,
        };
        assert!(who, "approved by {by:?}: cryptogram {kind:02X?}, host {:?}", self.host);
        let verified = end.cvm.online_pin || end.cvm.device || end.cvm.sign;
        assert!(verified || wanted & 0x40 == 0, "nobody was verified");
    }

    /// A run that has ended stays so.
    pub fn afterwards(&self, mut step: impl FnMut(Input<'_>) -> Step) {
        let approved = [0x77, 3, 0x9F, 0x27, 0x40, 0x90, 0x00];
        for input in [Input::Answer(&approved), Input::Stop, Input::Host(HostWord::NotSent { offline: true })]
        {
            let Step::Done(end) = step(input) else { panic!("it goes on after its end") };
            assert!(matches!(end.verdict, Verdict::Ended(_)), "{:?}", end.verdict);
        }
    }
}
