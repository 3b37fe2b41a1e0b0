//! A run with a card in the reader (EMV 4.4 Book 3, transaction flow): selection, application initiation,
//! records, offline data authentication, restrictions, cardholder verification, risk management, action
//! analysis, the issuer's word and its scripts. A file each; here is what they share, and the turns.
//!
//! Invariant: nothing is approved but by a TC of the card that was asked for, and never on an input that does
//! not fit.
mod action;
mod authentication;
mod cardholder;
mod completion;
mod cryptogram;
mod initiate;
mod records;
mod restrictions;
mod risk;
mod script;
mod selection;

use crate::{
    Reply,
    link::{Heard, Link},
    oda::CardKey,
    records::Reading,
    run::{self, Interface},
    step::{Input, Next, Step, Verdict, Why},
    terminal::{Depth, Parameters, Terminal, Transaction, TransactionFault},
};
use std::sync::Arc;
use zeroize::Zeroizing;

pub use crate::{
    fci::APPLICATIONS_MAX,
    link::{ANSWERS_MAX, COMMANDS_MAX},
    records::AFL_MAX,
    run::OBJECTS_MAX,
};
pub use completion::ISSUER_SCRIPTS_MAX;
pub use selection::SELECTIONS_MAX;

/// A run.
pub struct Contact {
    run: Run,
    phase: Phase,
    link: Link,
}

/// Where a run waits, and for what.
enum Phase {
    Selection(selection::Wait),
    Choice,
    Parameters,
    Initiation,
    Records(Reading),
    Read,
    Authentication(Zeroizing<Vec<u8>>),
    Cardholder(cardholder::Wait),
    Pin(cardholder::Ask),
    Risk(risk::Wait),
    Action(cryptogram::Asked),
    Online,
    Completion(completion::Wait),
    Completed(script::Batch),
    Ended,
}

type Go = run::Go<Phase>;
/// An error ends the run undecided.
type Turn = Result<Go, Why>;
type Run = run::Run<Own>;

/// What the phases share of a contact run alone.
#[derive(Default)]
struct Own {
    selection: selection::State,
    /// Values that a combined signature is over, as they were sent.
    hashed: Zeroizing<Vec<u8>>,
    key: Option<CardKey>,
    /// A TC is asked for with a signature over it.
    cda: bool,
    /// The card was asked for a cryptogram.
    committed: bool,
    /// How the run ends, if nothing more comes.
    decided: Option<(Verdict, Why)>,
}

impl Contact {
    /// The run, and its first step.
    pub fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        transaction: Transaction,
    ) -> Result<(Self, Step), TransactionFault> {
        transaction.check()?;
        let run = Run::new(Interface::Contact, terminal, parameters, transaction, Own::default());
        let mut contact = Self { run, phase: Phase::Ended, link: Link::default() };
        let step = contact.take(Ok(selection::begin()));
        Ok((contact, step))
    }

    /// What comes of an input. One that does not fit ends the run and approves nothing.
    pub fn step(&mut self, input: Input<'_>) -> Step {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let turn = match (phase, input) {
            (Phase::Ended, _) => Err(Why::OutOfOrder),
            (_, Input::Gone(gone)) => Err(Why::Gone(gone)),
            (_, Input::Stop) => Err(Why::Stopped),
            (_, Input::TimeOut) => Err(Why::TimedOut),
            (phase, Input::Answer(bytes)) => match self.link.answer(bytes, &mut self.run.log) {
                Ok(Heard::Send(bytes)) => {
                    self.phase = phase;
                    return Step::Send(bytes);
                }
                Ok(Heard::Done(reply)) => answered(&mut self.run, phase, &reply),
                Err(why) => Err(why),
            },
            (phase, input) if !self.link.is_busy() => told(&mut self.run, phase, input),
            (_, _) => Err(Why::OutOfOrder),
        };
        self.take(turn)
    }

    fn take(&mut self, turn: Turn) -> Step {
        match turn {
            Ok(Go::Send(command, phase)) => match self.link.start(command, &mut self.run.log) {
                Ok(bytes) => {
                    self.phase = phase;
                    Step::Send(bytes)
                }
                Err(why) => self.take(Err(why)),
            },
            Ok(Go::Ask(step, phase)) => {
                self.phase = phase;
                step
            }
            Ok(Go::End(verdict, why)) => self.end(verdict, why),
            Err(why) => match self.run.own.decided.filter(|_| why != Why::OutOfOrder) {
                Some((verdict, why)) => self.end(verdict, why),
                None => self.end(Verdict::Ended(self.run.next(why)), why),
            },
        }
    }

    fn end(&mut self, verdict: Verdict, why: Why) -> Step {
        self.link.close();
        self.run.own.decided = None;
        self.run.end(verdict, why)
    }
}

fn answered(run: &mut Run, phase: Phase, reply: &Reply) -> Turn {
    match phase {
        Phase::Selection(wait) => selection::answer(run, wait, reply),
        Phase::Initiation => initiate::answer(run, reply),
        Phase::Records(wait) => records::answer(run, wait, reply),
        Phase::Authentication(values) => authentication::answer(run, &values, reply),
        Phase::Cardholder(wait) => cardholder::answer(run, wait, reply),
        Phase::Risk(wait) => risk::answer(run, wait, reply),
        Phase::Action(asked) => action::answer(run, &asked, reply),
        Phase::Completion(wait) => completion::answer(run, wait, reply),
        Phase::Choice
        | Phase::Parameters
        | Phase::Read
        | Phase::Pin(_)
        | Phase::Online
        | Phase::Completed(_)
        | Phase::Ended => Err(Why::OutOfOrder),
    }
}

fn told(run: &mut Run, phase: Phase, input: Input<'_>) -> Turn {
    match (phase, input) {
        (Phase::Choice, Input::Chosen(at)) => selection::chosen(run, at),
        (Phase::Parameters, Input::Parameters(limits)) => initiate::begin(run, limits),
        (Phase::Read, Input::Proceed(_)) if run.transaction.depth == Depth::Read => {
            Ok(Go::End(Verdict::Read, Why::Complete))
        }
        (Phase::Read, Input::Proceed(proceed)) => authentication::begin(run, proceed),
        (Phase::Pin(ask), Input::Pin(word)) => cardholder::word(run, ask, word),
        (Phase::Online, Input::Host(word)) => completion::begin(run, word),
        (Phase::Completed(scripts), Input::Scripts) => completion::scripts_after(run, scripts),
        (_, _) => Err(Why::OutOfOrder),
    }
}

impl Run {
    /// What may be tried after an end without a decision. After a cryptogram was asked for: nothing.
    fn next(&self, why: Why) -> Next {
        if self.own.committed {
            return Next::Nothing;
        }
        match why {
            Why::Gone(_) | Why::Transport(_) => Next::TryAgain,
            Why::NoApplication => Next::Swipe,
            Why::Complete
            | Why::Card
            | Why::Host
            | Why::NotSent
            | Why::OnlineOnly
            | Why::NoReply
            | Why::IssuerData
            | Why::Lied(_)
            | Why::Stopped
            | Why::TimedOut
            | Why::Cancelled
            | Why::OutOfOrder
            | Why::CardBlocked
            | Why::ApplicationBlocked
            | Why::OnlyElectronicCash
            // Of taps.
            | Why::OverLimit
            | Why::NoDirectory
            | Why::Format
            | Why::NoCvm
            | Why::Dates
            | Why::Listed
            | Why::Status { .. }
            | Why::Malformed(_)
            | Why::Missing(_)
            | Why::Tlv(_)
            | Why::Tags(_)
            | Why::Dol(_)
            | Why::Bound(_) => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Tag,
        step::Proceed,
        terminal::{Aid, Limits, TerminalData},
        tlv::write,
    };

    const AID: [u8; 7] = [0xA0, 0, 0, 0, 4, 0x10, 0x10];

    fn start() -> (Contact, Step) {
        let data = TerminalData {
            country: 156,
            kind: 0x22,
            capabilities: [0xE0, 0xF8, 0xC8],
            additional: [0x60, 0x00, 0xF0, 0xA0, 0x01],
            serial: *b"PT000001",
            category: 5411,
            merchant: None,
            id: None,
            name: b"SHOP".to_vec(),
            languages: Vec::new(),
            bypass: false,
        };
        let aid = Aid {
            name: AID.to_vec(),
            partial: false,
            version: [0; 2],
            limits: Limits::ALL_ONLINE,
            ddol: None,
            tdol: None,
            online_pin: true,
            tap: None,
        };
        let payment = Transaction {
            amount: 0x99,
            other: 0,
            currency: 156,
            exponent: 2,
            kind: 0,
            date: [0x26, 0x12, 0x02],
            time: [0; 3],
            sequence: 1,
            unpredictable: [1, 2, 3, 4],
            draw: 1,
            depth: Depth::Full,
            force_online: false,
        };
        let parameters = Parameters::new(1, vec![aid], Vec::new(), Vec::new()).unwrap();
        Contact::start(Arc::new(Terminal::new(data).unwrap()), Arc::new(parameters), payment).unwrap()
    }
    /// An answer of one template and 9000.
    fn answer(tag: u32, inner: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, Tag(tag), inner);
        [&out[..], &[0x90, 0]].concat()
    }
    /// A run to its end: a card with these signed records in files 1 and 11, the locator's tag list beside.
    fn run(records: [&[u8]; 2]) -> Contact {
        let mut fci = vec![0x84, 7];
        fci.extend(AID);
        fci.extend([0xA5, 5, 0x9F, 0x38, 2, 0x9A, 3]);
        let other = [
            &[0x5A, 8, 0x62, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x32, 0x5F, 0x24, 3, 0x30, 0x12, 0x31][..],
            &[0x8C, 3, 0x9F, 0x37, 4, 0x8D, 2, 0x8A, 2],
        ]
        .concat();
        let mut ac = vec![0x80, 0, 1];
        ac.extend([7; 8]);
        let answers = [
            vec![0x6A, 0x82],
            answer(0x6F, &fci),
            answer(0x6F, &fci),
            answer(0x80, &[0x01, 0, 0x08, 1, 1, 1, 0x58, 1, 1, 1, 0x10, 1, 1, 0]),
            [records[0], &[0x90, 0]].concat(),
            [records[1], &[0x90, 0]].concat(),
            answer(0x70, &other),
            answer(0x80, &ac),
        ];
        let mut answers = answers.iter();
        let (mut contact, mut step) = start();
        loop {
            step = match step {
                Step::Send(_) => match answers.next() {
                    Some(answer) => contact.step(Input::Answer(answer)),
                    None => return contact,
                },
                Step::Parameters(_) => contact.step(Input::Parameters(None)),
                Step::Read(_) => contact.step(Input::Proceed(Proceed::default())),
                Step::Online(_) => {
                    let word = crate::step::HostWord::Approved { arc: *b"00", issuer: &[] };
                    contact.step(Input::Host(word))
                }
                Step::Choose(_) | Step::Pin(_) | Step::Completed(_) => panic!("not with this card"),
                Step::Done(end) => panic!("{:?}, {}", end.verdict, end.why),
            };
        }
    }
    fn signed(records: [&[u8]; 2]) -> Option<Vec<u8>> {
        run(records).run.signed.map(|s| s.to_vec())
    }

    #[test]
    fn book_3_10_3_files_1_to_10_are_signed_without_their_template_11_to_30_with_it() {
        let signed_ = signed([&[0x70, 3, 0x50, 1, 7], &[0x70, 3, 0x9F, 0x7F, 0]]);
        assert_eq!(signed_, Some(vec![0x50, 1, 7, 0x70, 3, 0x9F, 0x7F, 0]));
        assert_eq!(signed([&[0x70, 0], &[0xFF, 1]]), None, "no template where one is signed");
        assert_eq!(signed([&[0x70, 0], &[0x70, 9]]), None);
    }

    #[test]
    fn book_3_10_3_the_tag_list_may_name_the_aip_alone() {
        let with = |list: &[u8]| {
            let inner = [&[0x9F, 0x4A, list.len() as u8], list].concat();
            let mut record = Vec::new();
            write(&mut record, Tag(0x70), &inner);
            (signed([&record, &[0x70, 0]]), inner)
        };
        let (found, inner) = with(&[0x82]);
        assert_eq!(found, Some([&inner[..], &[0x70, 0, 0x01, 0x00]].concat()));
        let (found, inner) = with(&[]);
        assert_eq!(found, Some([&inner[..], &[0x70, 0]].concat()), "as if it were not there");
        assert_eq!(with(&[0x82, 0x82]).0, None);
        assert_eq!(with(&[0x9F, 0x36]).0, None);
        assert_eq!(with(&[0x95]).0, None);
    }

    #[test]
    fn book_2_cda_is_over_the_values_of_pdol_cdol1_and_cdol2_in_order() {
        let contact = run([&[0x70, 0], &[0x70, 0]]);
        let values = [&[0x26, 0x12, 0x02][..], &[1, 2, 3, 4], b"00"].concat();
        assert_eq!(contact.run.own.hashed.to_vec(), values);
    }
}
