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
    Command, Exchange, Progress, Reply, Tag, Tags, dol,
    oda::{self, CardKey, Keys},
    step::{Bound, Cvm, End, Input, Next, Note, Proceed, Step, Verdict, Why},
    terminal::{Aid, Depth, Limits, Parameters, Terminal, Transaction, TransactionFault, digits},
    verification::{Tsi, Tvr},
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Commands of one run, GET RESPONSEs among them. 600: ten times what a card with many applications needs.
pub const COMMANDS_MAX: u16 = 600;
/// Bytes that a card may answer with in one run. 64 KiB: 20 times what a card with three certificates gives.
pub const ANSWERS_MAX: usize = 64 << 10;
/// Lines of a log for which there is room from the start: those of a run with most cards.
const LOG_FIRST: usize = 96;

pub use completion::ISSUER_SCRIPTS_MAX;
pub use initiate::AFL_MAX;
pub use records::OBJECTS_MAX;
pub use selection::{APPLICATIONS_MAX, SELECTIONS_MAX};

/// A run.
pub struct Contact {
    run: Run,
    phase: Phase,
    exchange: Option<Exchange>,
    commands: u16,
    received: usize,
}

/// Where a run waits, and for what.
enum Phase {
    Selection(selection::Wait),
    Choice,
    Parameters,
    Initiation,
    Records(records::Wait),
    Read,
    Authentication(Zeroizing<Vec<u8>>),
    Cardholder(cardholder::Wait),
    Pin(cardholder::Ask),
    Risk(risk::Wait),
    Action(cryptogram::Asked),
    Online,
    Completion(completion::Wait),
    Ended,
}

/// What a phase wants next.
enum Go {
    Send(Command, Phase),
    Ask(Step, Phase),
    End(Verdict, Why),
}
/// An error ends the run undecided.
type Turn = Result<Go, Why>;

/// What the phases share.
struct Run {
    terminal: Arc<Terminal>,
    parameters: Arc<Parameters>,
    transaction: Transaction,
    tags: Tags,
    tvr: [u8; 5],
    tsi: [u8; 2],
    /// CVM results (9F34).
    results: [u8; 3],
    cvm: Cvm,
    selection: selection::State,
    /// Place of the application in the parameters.
    aid: usize,
    limits: Limits,
    /// The application's, as the customer reads it.
    name: Vec<u8>,
    table: Option<u8>,
    /// 9F33 as far as this payment can use it.
    capabilities: [u8; 3],
    aip: [u8; 2],
    /// Data objects of the card so far.
    objects: u16,
    /// Data that the card's signatures are over: records, and the AIP where 9F4A names it. None: it cannot be
    /// told.
    signed: Option<Zeroizing<Vec<u8>>>,
    /// Values that a combined signature is over, as they were sent.
    hashed: Zeroizing<Vec<u8>>,
    proceed: Proceed,
    key: Option<CardKey>,
    /// A TC is asked for with a signature over it.
    cda: bool,
    /// The card was asked for a cryptogram.
    committed: bool,
    cid: Option<u8>,
    /// How the run ends, if nothing more comes.
    decided: Option<(Verdict, Why)>,
    scripts: Vec<[u8; 5]>,
    log: Vec<Note>,
}

impl Contact {
    /// The run, and its first step.
    pub fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        transaction: Transaction,
    ) -> Result<(Self, Step), TransactionFault> {
        transaction.check()?;
        let capabilities = terminal.data.capabilities;
        let run = Run {
            terminal,
            parameters,
            transaction,
            tags: Tags::default(),
            tvr: [0; 5],
            tsi: [0; 2],
            results: [0x3F, 0, 0],
            cvm: Cvm::default(),
            selection: selection::State::default(),
            aid: 0,
            limits: Limits::ALL_ONLINE,
            name: Vec::new(),
            table: None,
            capabilities,
            aip: [0; 2],
            objects: 0,
            signed: Some(Zeroizing::new(Vec::new())),
            hashed: Zeroizing::new(Vec::new()),
            proceed: Proceed::default(),
            key: None,
            cda: false,
            committed: false,
            cid: None,
            decided: None,
            scripts: Vec::new(),
            log: Vec::with_capacity(LOG_FIRST),
        };
        let mut contact = Self { run, phase: Phase::Ended, exchange: None, commands: 0, received: 0 };
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
            (phase, Input::Answer(bytes)) => match self.receive(bytes) {
                Ok(Progress::Send(bytes)) => {
                    self.phase = phase;
                    return self.send(bytes);
                }
                Ok(Progress::Done(reply)) => {
                    self.run.log.push(Note::Status(reply.sw));
                    answered(&mut self.run, phase, &reply)
                }
                Ok(Progress::Broken(why)) => Err(why.into()),
                Err(why) => Err(why),
            },
            (phase, input) if self.exchange.is_none() => told(&mut self.run, phase, input),
            (_, _) => Err(Why::OutOfOrder),
        };
        self.take(turn)
    }

    /// The card's answer goes to the command under way.
    fn receive(&mut self, bytes: &[u8]) -> Result<Progress, Why> {
        let exchange = self.exchange.as_mut().ok_or(Why::OutOfOrder)?;
        self.received = self.received.saturating_add(bytes.len());
        if self.received > ANSWERS_MAX {
            return Err(Why::Bound(Bound::Bytes));
        }
        let progress = exchange.answer(bytes);
        if matches!(progress, Progress::Done(_)) {
            self.exchange = None;
        }
        Ok(progress)
    }

    fn take(&mut self, turn: Turn) -> Step {
        match turn {
            Ok(Go::Send(command, phase)) => {
                self.run.log.push(Note::Sent(command.header()));
                let (exchange, bytes) = Exchange::start(command);
                (self.exchange, self.phase) = (Some(exchange), phase);
                self.send(bytes)
            }
            Ok(Go::Ask(step, phase)) => {
                self.phase = phase;
                step
            }
            Ok(Go::End(verdict, why)) => self.end(verdict, why),
            Err(why) => match self.run.decided.filter(|_| why != Why::OutOfOrder) {
                Some((verdict, why)) => self.end(verdict, why),
                None => self.end(Verdict::Ended(self.run.next(why)), why),
            },
        }
    }

    fn send(&mut self, bytes: Zeroizing<Vec<u8>>) -> Step {
        if self.commands == COMMANDS_MAX {
            return self.take(Err(Why::Bound(Bound::Commands)));
        }
        self.commands += 1;
        Step::Send(bytes)
    }

    fn end(&mut self, verdict: Verdict, why: Why) -> Step {
        (self.phase, self.exchange) = (Phase::Ended, None);
        let run = &mut self.run;
        run.decided = None;
        // What is full has no room for what the slip prints; the end is the same.
        run.write_results().ok();
        run.log.push(Note::End(verdict, why));
        Step::Done(Box::new(End {
            verdict,
            why,
            cid: run.cid,
            tags: std::mem::take(&mut run.tags),
            cvm: run.cvm,
            scripts: std::mem::take(&mut run.scripts),
            log: std::mem::take(&mut run.log),
        }))
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
        Phase::Choice | Phase::Parameters | Phase::Read | Phase::Pin(_) | Phase::Online | Phase::Ended => {
            Err(Why::OutOfOrder)
        }
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
        (_, _) => Err(Why::OutOfOrder),
    }
}

impl Run {
    fn put(&mut self, tag: u32, value: &[u8]) -> Result<(), Why> {
        Ok(self.tags.put(Tag(tag), value)?)
    }
    fn tvr(&mut self, bit: Tvr) {
        bit.set(&mut self.tvr);
        self.log.push(Note::Tvr(bit));
    }
    fn tsi(&mut self, bit: Tsi) {
        bit.set(&mut self.tsi);
        self.log.push(Note::Tsi(bit));
    }
    fn aid(&self) -> Option<&Aid> {
        self.parameters.aids.get(self.aid)
    }
    /// Registered provider: the first five bytes of the selected name.
    fn rid(&self) -> [u8; 5] {
        let name = self.tags.get(Tag(0x84)).unwrap_or_default();
        name.first_chunk().copied().unwrap_or_default()
    }
    /// Byte 1 of what the card can.
    fn aip_has(&self, bit: u8) -> bool {
        self.aip.first().is_some_and(|byte| byte & bit != 0)
    }

    /// Data of terminal and payment for an application (Book 4, terminal data).
    fn begin_tags(&mut self) -> Result<(), Why> {
        self.tags = Tags::new();
        let (terminal, x) = (Arc::clone(&self.terminal), self.transaction);
        let t = &terminal.data;
        let (aid, version) = self.aid().map(|a| (a.name.clone(), a.version)).unwrap_or_default();
        // An amount that the binary form cannot say is its greatest.
        let binary = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
        for (tag, value) in [
            (0x9F06, &aid[..]),
            (0x9F09, &version),
            (0x9F1A, &digits::<2>(t.country.into())),
            (0x9F35, &[t.kind]),
            (0x9F33, &self.capabilities.clone()),
            (0x9F40, &t.additional),
            (0x9F1E, &t.serial),
            (0x9F15, &digits::<2>(t.category.into())),
            (0x9F4E, &t.name),
            (0x9F02, &digits::<6>(x.amount)),
            (0x9F03, &digits::<6>(x.other)),
            (0x81, &binary(x.amount)),
            (0x9F04, &binary(x.other)),
            (0x5F2A, &digits::<2>(x.currency.into())),
            (0x5F36, &[x.exponent]),
            (0x9C, &[x.kind]),
            (0x9A, &x.date),
            (0x9F21, &x.time),
            (0x9F41, &digits::<4>(x.sequence.into())),
            (0x9F37, &x.unpredictable),
            // By contact chip.
            (0x9F39, &[0x05]),
            // No electronic cash, no SM algorithms.
            (0x9F7A, &[0]),
            (0xDF69, &[0]),
        ] {
            self.put(tag, value)?;
        }
        if let Some(merchant) = t.merchant {
            self.put(0x9F16, &merchant)?;
        }
        if let Some(id) = t.id {
            self.put(0x9F1C, &id)?;
        }
        Ok(())
    }

    /// What is known by now goes among the tags.
    fn write_results(&mut self) -> Result<(), Why> {
        let (tvr, tsi, results) = (self.tvr, self.tsi, self.results);
        self.put(0x95, &tvr)?;
        self.put(0x9B, &tsi)?;
        self.put(0x9F34, &results)?;
        if !self.scripts.is_empty() {
            let scripts = self.scripts.concat();
            self.put(0xDF31, &scripts)?;
            self.put(0x9F5B, &scripts)?;
        }
        Ok(())
    }
    /// Values that a list asks for, all as it stands now. `name`: the list's own tag.
    fn fill(&mut self, name: u32, list: &[u8]) -> Result<Zeroizing<Vec<u8>>, Why> {
        self.write_results()?;
        let tags = dol::entries(list)?.into_iter().map(|(tag, _)| tag).collect();
        self.log.push(Note::Asked(Tag(name), tags));
        Ok(dol::fill(list, &self.tags)?)
    }

    /// A call of offline data authentication, with what it is over.
    fn authenticate<T>(
        &self,
        call: impl Fn(Keys<'_>, [u8; 5], &Tags, &[u8]) -> Result<T, oda::Flaw>,
    ) -> Option<Result<T, oda::Flaw>> {
        let signed = self.signed.as_ref()?;
        let parameters = &self.parameters;
        let keys = Keys { ca: &parameters.keys, revoked: &parameters.revoked, date: self.transaction.date };
        Some(call(keys, self.rid(), &self.tags, signed))
    }

    /// What may be tried after an end without a decision. After a cryptogram was asked for: nothing.
    fn next(&self, why: Why) -> Next {
        if self.committed {
            return Next::Nothing;
        }
        match why {
            Why::Gone(_) | Why::Transport(_) => Next::TryAgain,
            Why::NoApplication => Next::Swipe,
            Why::Complete
            | Why::Card
            | Why::Host
            | Why::NotSent
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
    use crate::{terminal::TerminalData, tlv::write};

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
                Step::Choose(_) | Step::Pin(_) => panic!("not with this card"),
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
        assert_eq!(contact.run.hashed.to_vec(), values);
    }
}
