//! Card kernel of our own: pumps the contact kernel and the taps of `crates/emv` over any reader, on the
//! caller's thread.
//!
//! Invariant: it approves only what the kernel approved; it sees no PIN and sends no VERIFY; its log
//! lines hold no value of a card.
mod icc;

use crate::{CardFault, CardKernel, CardReader, Interrupt};
use encoding_rs::Encoding;
use payterm_emv::{
    Contact, Tap,
    step::{self, Choice, End, Gone, Input, PinAsk, Proceed, Step, Verdict, Why},
    terminal::{self, Parameters, Terminal, Transaction},
};
use payterm_schema::{
    Kind, Pan, Time, Tracks,
    card::{
        self, CardDecision, CardFailure, CardPin, CardRead, CardRun, CardStep, CardWord, Depth, HostWord,
        Interface, PinCheck, PinForm, PinWord, Then, Verified,
    },
    config::Language,
    fault::with_causes,
};
use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Time of one command. 5 s: more than a card needs for its longest one, a signature with a key of 1984 bits.
const CARD_TIME: Duration = Duration::from_secs(5);

/// Source of random bytes: fills what it is given.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// Applications and keys that may change between two runs: each run keeps those with which it began.
pub type SharedParameters = Arc<RwLock<Arc<Parameters>>>;

/// Decisions of a run of a card: transaction, when the run began, a sentence each ([`step::Note`]).
pub struct Decisions {
    pub txn: u64,
    pub at: Time,
    pub log: Vec<String>,
}
/// Callback that takes the decisions of each run that is over; never blocks.
pub type TakeDecisions = Arc<dyn Fn(Decisions) + Send + Sync>;

/// The kernel, with at most one run.
pub struct EmvKernel {
    terminal: Arc<Terminal>,
    parameters: SharedParameters,
    random: Random,
    card_time: Duration,
    interrupted: Arc<AtomicBool>,
    /// Waits for a word.
    waiting: Option<Run>,
    interruptible: Interruptible,
    /// Transaction of the last run, and when it began.
    of: (u64, Time),
    decisions: Option<TakeDecisions>,
}

/// What becomes of a run that is interrupted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interruptible {
    /// Nothing was decided: it is over, and nobody hears of it.
    Silently,
    /// The host's answer was told: it ends as far as it came.
    Ending,
    /// Only its last cryptogram is left: the card gives it, whoever loses interest meanwhile.
    Not,
}

/// A run, by the way the card came.
enum Run {
    Contact(Box<Contact>),
    Tap(Box<Tap>),
}
impl Run {
    fn step(&mut self, input: Input<'_>) -> Step {
        match self {
            Self::Contact(contact) => contact.step(input),
            Self::Tap(tap) => tap.step(input),
        }
    }
}

impl EmvKernel {
    pub fn new(terminal: Arc<Terminal>, parameters: Arc<Parameters>, random: Random) -> Self {
        Self {
            terminal,
            parameters: Arc::new(RwLock::new(parameters)),
            random,
            card_time: CARD_TIME,
            interrupted: Arc::new(AtomicBool::new(false)),
            waiting: None,
            interruptible: Interruptible::Silently,
            of: (0, Time(0)),
            decisions: None,
        }
    }
    /// With applications and keys that others may replace between two runs.
    pub fn following(self, parameters: SharedParameters) -> Self {
        Self { parameters, ..self }
    }
    /// With one that takes the decisions of its runs.
    pub fn telling(self, decisions: TakeDecisions) -> Self {
        Self { decisions: Some(decisions), ..self }
    }
    /// With this time for one command.
    pub fn card_ms(self, ms: u32) -> Self {
        Self { card_time: Duration::from_millis(ms.into()), ..self }
    }

    fn transaction(&mut self, run: &CardRun) -> Transaction {
        let mut random = [0; 8];
        (self.random)(&mut random);
        let [a, b, c, d, draw @ ..] = random;
        let at = run.at.local(run.offset_minutes);
        let currency = run.amount.currency;
        Transaction {
            amount: run.amount.minor(),
            other: 0,
            currency: currency.numeric(),
            exponent: currency.digits().try_into().unwrap_or(u8::MAX),
            kind: transaction_type(run.kind),
            date: [at.year().rem_euclid(100) as u8, at.month().into(), at.day()].map(bcd),
            time: [at.hour(), at.minute(), at.second()].map(bcd),
            sequence: (run.txn % 100_000_000) as u32,
            unpredictable: [a, b, c, d],
            draw: (u32::from_be_bytes(draw) % 99) as u8 + 1,
            depth: match run.depth {
                Depth::Full => terminal::Depth::Full,
                Depth::Read => terminal::Depth::Read,
            },
            // Of an inserted card the word to proceed says it, and no bit of the results.
            force_online: run.interface == Interface::Contactless && !run.offline,
        }
    }

    /// The card's public key goes to the pad as numbers: it may be one that computes inside itself.
    fn pin_check(&self, ask: PinAsk) -> PinCheck {
        let (left, form) = match ask {
            PinAsk::Online => return PinCheck::Issuer,
            PinAsk::Plain { left } => (left, PinForm::Plain),
            PinAsk::Enciphered { key, challenge, left } => {
                let (modulus, exponent) = (key.modulus(), key.exponent().to_vec());
                (left, PinForm::Enciphered { modulus, exponent, challenge })
            }
        };
        let card_ms = self.card_time.as_millis().try_into().unwrap_or(u32::MAX);
        PinCheck::Card(CardPin { left, form, card_ms })
    }

    /// Goes on to the next question, or to the end. None: it was interrupted before anything was decided.
    fn pump(&mut self, mut run: Run, mut step: Step, card: &mut dyn CardReader) -> Option<CardStep> {
        loop {
            let interrupted =
                self.interruptible != Interruptible::Not && self.interrupted.load(Ordering::SeqCst);
            step = match step {
                Step::Done(end) => {
                    self.log(&end);
                    let silent = interrupted && self.interruptible == Interruptible::Silently;
                    let undecided = matches!(end.verdict, Verdict::Ended(_));
                    return (!silent || !undecided).then(|| done(decision(&end), &end));
                }
                _ if interrupted => run.step(Input::Stop),
                Step::Send(command) => match card.transmit(&command, self.card_time) {
                    Ok(answer) => run.step(Input::Answer(&answer)),
                    Err(fault) => run.step(Input::Gone(gone(&fault))),
                },
                Step::Parameters(_) => run.step(Input::Parameters(None)),
                Step::Read(read) => match card_read(&read) {
                    Some(read) => return self.wait(run, CardStep::Read(read)),
                    None => return self.unreadable(run),
                },
                Step::Choose(choices) => {
                    let labels = choices.iter().map(|Choice { name, table, .. }| text(name, *table));
                    return self.wait(run, CardStep::Choose(labels.collect()));
                }
                Step::Pin(ask) => {
                    return self.wait(run, CardStep::NeedPin(self.pin_check(ask)));
                }
                Step::Online(online) => {
                    let icc = icc::of(&online.tags);
                    let verified = verified(online.cvm);
                    let then = match online.then {
                        step::Then::Card => Then::Card,
                        step::Then::Final => Then::Final,
                    };
                    return self.wait(run, CardStep::GoOnline { icc, verified, then });
                }
                Step::Completed(tags) => {
                    return self.wait(run, CardStep::Completed { icc: icc::of(&tags) });
                }
            };
        }
    }

    fn wait(&mut self, run: Run, step: CardStep) -> Option<CardStep> {
        self.waiting = Some(run);
        Some(step)
    }

    /// The card was read, and what it said is no number of a card.
    fn unreadable(&self, mut run: Run) -> Option<CardStep> {
        let Step::Done(end) = run.step(Input::Stop) else { return failed(CardFailure::Unreadable) };
        self.log(&end);
        Some(done(CardDecision::Failed(CardFailure::Unreadable), &end))
    }

    fn log(&self, end: &End) {
        for note in &end.log {
            tracing::debug!("card: {note}");
        }
        if let Some(take) = &self.decisions {
            let (txn, at) = self.of;
            take(Decisions { txn, at, log: end.log.iter().map(ToString::to_string).collect() });
        }
    }
}

impl CardKernel for EmvKernel {
    fn run(&mut self, run: &CardRun, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault> {
        self.end();
        if let Err(fault) = card.power() {
            let (gone, tapped) = (gone(&fault), run.interface == Interface::Contactless);
            let torn = tapped && gone != Gone::Reader;
            return Ok(failed(if torn { CardFailure::Torn } else { failure(Why::Gone(gone)) }));
        }
        self.of = (run.txn, run.at);
        let payment = self.transaction(run);
        let parameters = self.parameters.read().unwrap_or_else(PoisonError::into_inner).clone();
        let terminal = self.terminal.clone();
        let started = match run.interface {
            Interface::Contact => Contact::start(terminal, parameters, payment)
                .map(|(run, step)| (Run::Contact(Box::new(run)), step)),
            Interface::Contactless => {
                Tap::start(terminal, parameters, payment).map(|(run, step)| (Run::Tap(Box::new(run)), step))
            }
        };
        match started {
            Ok((run, step)) => Ok(self.pump(run, step, card)),
            Err(why) => {
                tracing::error!(txn = run.txn, "no run of a card: {why}");
                Ok(failed(CardFailure::OutOfOrder))
            }
        }
    }

    fn tell(&mut self, word: CardWord, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault> {
        let Some(mut run) = self.waiting.take() else { return Ok(failed(CardFailure::OutOfOrder)) };
        self.interruptible = match word {
            CardWord::Host(HostWord::Approved { .. } | HostWord::Declined { .. }) | CardWord::Scripts => {
                Interruptible::Ending
            }
            CardWord::Host(HostWord::NotSent { .. } | HostWord::NoReply) => Interruptible::Not,
            CardWord::Proceed(_) | CardWord::Chosen(_) | CardWord::Pin(_) => Interruptible::Silently,
        };
        let step = run.step(match &word {
            CardWord::Proceed(card::Proceed { online_pin, offline, earlier }) => {
                let listed = false;
                Input::Proceed(Proceed {
                    earlier: *earlier,
                    listed,
                    online_pin: *online_pin,
                    offline: *offline,
                })
            }
            CardWord::Chosen(at) => Input::Chosen(*at),
            CardWord::Pin(word) => Input::Pin(match word {
                PinWord::Entered => step::PinWord::Entered,
                PinWord::Status(sw) => step::PinWord::Status(*sw),
                PinWord::Bypassed => step::PinWord::Bypassed,
                PinWord::Cancelled => step::PinWord::Cancelled,
                PinWord::Failed => step::PinWord::NoPad,
            }),
            CardWord::Host(word) => Input::Host(match word {
                HostWord::Approved { arc, icc } => step::HostWord::Approved { arc: *arc, issuer: icc },
                HostWord::Declined { arc, icc } => step::HostWord::Refused { arc: *arc, issuer: icc },
                HostWord::NotSent { offline } => step::HostWord::NotSent { offline: *offline },
                HostWord::NoReply => step::HostWord::NoReply,
            }),
            CardWord::Scripts => Input::Scripts,
        });
        Ok(self.pump(run, step, card))
    }

    fn end(&mut self) {
        // One that waits says what it has decided, as a tapped card's does once its issuer is asked.
        if let Some(mut run) = self.waiting.take()
            && let Step::Done(end) = run.step(Input::Stop)
        {
            self.log(&end);
        }
        self.interruptible = Interruptible::Silently;
        self.interrupted.store(false, Ordering::SeqCst);
    }

    /// Callback that is looked at between two commands: a command under way goes on for its time.
    fn interrupt(&self) -> Interrupt {
        let interrupted = self.interrupted.clone();
        Arc::new(move || interrupted.store(true, Ordering::SeqCst))
    }
}

/// Tag 9C: the first two digits of the processing code, as PBOC has them.
fn transaction_type(kind: Kind) -> u8 {
    match kind {
        Kind::Sale | Kind::VoiceSale | Kind::TipAdjust | Kind::Completion | Kind::CompletionAdvice => 0x00,
        Kind::PreAuth => 0x03,
        Kind::Void | Kind::Refund | Kind::PreAuthCancel | Kind::CompletionCancel => 0x20,
        Kind::Balance => 0x31,
        // No card is asked for.
        Kind::Parameters
        | Kind::StatusUpload
        | Kind::Settlement
        | Kind::SignIn
        | Kind::SignOff
        | Kind::Echo => 0x00,
    }
}

/// Two digits.
fn bcd(number: u8) -> u8 {
    number / 10 % 10 * 16 + number % 10
}

fn gone(fault: &CardFault) -> Gone {
    match fault {
        CardFault::Removed => Gone::Removed,
        CardFault::Mute => Gone::Mute,
        CardFault::Reader(e) => {
            tracing::warn!("chip reader: {}", with_causes(e));
            Gone::Reader
        }
    }
}

fn failed(why: CardFailure) -> Option<CardStep> {
    Some(CardStep::Done { decision: CardDecision::Failed(why), icc: Vec::new() })
}
fn done(decision: CardDecision, end: &End) -> CardStep {
    CardStep::Done { decision, icc: icc::of(&end.tags) }
}

fn verified(cvm: step::Cvm) -> Verified {
    match cvm {
        step::Cvm { sign: true, .. } => Verified::Signature,
        step::Cvm { offline_pin: true, .. } => Verified::CardPin,
        step::Cvm { device: true, .. } => Verified::Device,
        step::Cvm { .. } => Verified::PinOrNone,
    }
}

/// A run that only reads a card decides nothing, and so approves nothing.
fn decision(end: &End) -> CardDecision {
    match (end.verdict, end.why) {
        (Verdict::Approved(_), _) => CardDecision::Approved(verified(end.cvm)),
        (Verdict::Declined | Verdict::Ended(step::Next::Nothing), Why::Lied(_)) => {
            CardDecision::Failed(CardFailure::Lied)
        }
        (Verdict::Declined | Verdict::Read, _) => CardDecision::Declined,
        (Verdict::Ended(step::Next::TapAgain), _) => CardDecision::Failed(CardFailure::Torn),
        (Verdict::Ended(step::Next::InsertInstead), _) => CardDecision::Failed(CardFailure::InsertInstead),
        (Verdict::Ended(step::Next::SeePhone), _) => CardDecision::Failed(CardFailure::SeePhone),
        (Verdict::Ended(_), why) => CardDecision::Failed(failure(why)),
    }
}

fn failure(why: Why) -> CardFailure {
    match why {
        Why::Gone(Gone::Removed) => CardFailure::Removed,
        Why::Gone(Gone::Reader) => CardFailure::Reader,
        Why::Cancelled => CardFailure::Cancelled,
        Why::OutOfOrder => CardFailure::OutOfOrder,
        Why::CardBlocked | Why::ApplicationBlocked => CardFailure::Blocked,
        Why::NoApplication => CardFailure::NoApplication,
        Why::OnlyElectronicCash => CardFailure::OnlyElectronicCash,
        Why::Lied(_) => CardFailure::Lied,
        Why::Gone(Gone::Mute)
        | Why::Status { .. }
        | Why::Malformed(_)
        | Why::Missing(_)
        | Why::Tlv(_)
        | Why::Tags(_)
        | Why::Dol(_)
        | Why::Transport(_)
        | Why::Bound(_)
        | Why::Stopped
        | Why::TimedOut
        // Of taps; those of these that decide nothing say what comes next.
        | Why::OverLimit
        | Why::NoDirectory
        | Why::Format
        | Why::NoCvm
        | Why::Dates
        | Why::Listed
        // No decision has these.
        | Why::Complete
        | Why::Card
        | Why::Host
        | Why::NotSent
        | Why::OnlineOnly
        | Why::NoReply
        | Why::IssuerData => CardFailure::Unreadable,
    }
}

/// None: the number is none, as a message may have it.
fn card_read(read: &step::CardRead) -> Option<CardRead> {
    let track2 = |track: &payterm_emv::Hidden| Tracks {
        track2: Some(track.reveal().to_owned()),
        track1: None,
        track3: None,
    };
    Some(CardRead {
        pan: Pan::parse(read.pan.reveal()).ok()?,
        sequence: read.psn,
        expiry: read.expiry.reveal().to_owned(),
        track2: read.track2.as_ref().map(track2),
        language: read.language.and_then(Language::of_letters),
        aid: read.application.iter().map(|byte| format!("{byte:02X}")).collect(),
        label: text(&read.name, read.table),
    })
}

/// Text in a part of ISO 8859, or in ASCII; what is no letter there, and every control character, is `?`.
fn text(bytes: &[u8], table: Option<u8>) -> String {
    let encoding: Option<&'static Encoding> = match table {
        // Differs from part 1, and from part 9, in control characters only.
        Some(1) => Some(encoding_rs::WINDOWS_1252),
        Some(9) => Some(encoding_rs::WINDOWS_1254),
        Some(2) => Some(encoding_rs::ISO_8859_2),
        Some(3) => Some(encoding_rs::ISO_8859_3),
        Some(4) => Some(encoding_rs::ISO_8859_4),
        Some(5) => Some(encoding_rs::ISO_8859_5),
        Some(6) => Some(encoding_rs::ISO_8859_6),
        Some(7) => Some(encoding_rs::ISO_8859_7),
        Some(8) => Some(encoding_rs::ISO_8859_8),
        Some(10) => Some(encoding_rs::ISO_8859_10),
        Some(_) | None => None,
    };
    let letter = |byte: &u8| match (byte, encoding) {
        (b' '..=b'~', _) => char::from(*byte),
        (0xA0.., Some(encoding)) => {
            let (text, _) = encoding.decode_without_bom_handling(std::slice::from_ref(byte));
            text.chars().next().filter(|c| *c != char::REPLACEMENT_CHARACTER).unwrap_or('?')
        }
        (_, _) => '?',
    };
    bytes.iter().map(letter).collect()
}

#[cfg(test)]
mod tests;
