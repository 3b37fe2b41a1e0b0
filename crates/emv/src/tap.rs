//! A run with a card or phone in the field (EMV contactless Books A and B, entry point; one file a kernel):
//! pre-processing, the directory, the application with its kernel, and what that kernel makes of it. Here is
//! what they share, and the turns.
//!
//! Invariant: nothing is approved but by the host after an ARQC, or by a TC whose signature is right, and
//! never on an input that does not fit.
mod kernel_7;
mod preprocess;
mod selection;

use crate::{
    Reply,
    link::{Heard, Link},
    run::{self, Interface},
    step::{Gone, Input, Next, Step, Verdict, Why},
    terminal::{Parameters, Terminal, Transaction, TransactionFault},
};
use selection::Candidate;
use std::sync::Arc;

/// A run. When [`Step::Read`] is out the card is not needed any more; the host's word is final.
pub struct Tap {
    run: Run,
    phase: Phase,
    link: Link,
}

/// Where a run waits, and for what.
enum Phase {
    Directory,
    Selection(Candidate),
    Kernel7(kernel_7::Wait),
    Ended,
}
type Go = run::Go<Phase>;
/// An error ends the run undecided.
type Turn = Result<Go, Why>;
type Run = run::Run<Own>;

/// What the phases share of a tap alone.
struct Own {
    /// By the terminal's list: whether it may be tapped for this payment, and how.
    combinations: Vec<Option<preprocess::Combination>>,
    selection: selection::State,
    /// Terminal transaction qualifiers (9F66) of the application that is tried.
    ttq: [u8; 4],
}

/// A kernel that is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    /// UnionPay's.
    Seven,
}
impl Kernel {
    /// The one that applications of this provider use.
    fn of(name: &[u8]) -> Option<Self> {
        name.starts_with(crate::fci::UNION_PAY).then_some(Self::Seven)
    }
    /// Its identifier, as cards name it (9F2A).
    fn id(self) -> u8 {
        match self {
            Self::Seven => 7,
        }
    }
}

impl Tap {
    /// The run, and its first step. The payment may be more than any tap pays: then that is the end already.
    pub fn start(
        terminal: Arc<Terminal>,
        parameters: Arc<Parameters>,
        transaction: Transaction,
    ) -> Result<(Self, Step), TransactionFault> {
        transaction.check()?;
        let combinations = preprocess::combinations(&terminal, &parameters, &transaction);
        let own = Own { combinations, selection: selection::State::default(), ttq: [0; 4] };
        let run = Run::new(Interface::Tap, terminal, parameters, transaction, own);
        let mut tap = Self { run, phase: Phase::Ended, link: Link::default() };
        let turn = selection::begin(&tap.run);
        let step = tap.take(turn);
        Ok((tap, step))
    }

    /// What comes of an input. One that does not fit ends the run and approves nothing.
    pub fn step(&mut self, input: Input<'_>) -> Step {
        let phase = std::mem::replace(&mut self.phase, Phase::Ended);
        let turn = match (phase, input) {
            (Phase::Ended, _) => Err(Why::OutOfOrder),
            (_, Input::Gone(gone)) if self.link.is_busy() => Err(Why::Gone(gone)),
            (_, Input::Gone(_)) => Err(Why::OutOfOrder),
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
            (Phase::Kernel7(wait), input) if !self.link.is_busy() => {
                kernel_7::told(&mut self.run, wait, &input)
            }
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
            Err(why) => self.end(Verdict::Ended(next(why)), why),
        }
    }

    fn end(&mut self, verdict: Verdict, why: Why) -> Step {
        self.link.close();
        self.run.end(verdict, why)
    }
}

fn answered(run: &mut Run, phase: Phase, reply: &Reply) -> Turn {
    match phase {
        Phase::Directory => selection::directory(run, reply),
        Phase::Selection(candidate) => selection::selected(run, candidate, reply),
        Phase::Kernel7(wait) => kernel_7::answer(run, wait, reply),
        Phase::Ended => Err(Why::OutOfOrder),
    }
}

/// What may be tried after an end without a decision. A card that says what does not fit may do better by
/// contact, where its chip is authenticated and has the last word.
fn next(why: Why) -> Next {
    match why {
        Why::Gone(Gone::Removed | Gone::Mute) | Why::Transport(_) => Next::TapAgain,
        // Conditional: the holder is to look at the phone.
        Why::Status { ins: 0xA8, sw: 0x6986 } => Next::SeePhone,
        Why::OverLimit
        | Why::NoDirectory
        | Why::NoApplication
        | Why::Format
        | Why::NoCvm
        | Why::Status { .. }
        | Why::Malformed(_)
        | Why::Missing(_)
        | Why::Tlv(_)
        | Why::Dol(_)
        | Why::Bound(_) => Next::InsertInstead,
        Why::Gone(Gone::Reader)
        | Why::Complete
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
        | Why::Dates
        | Why::Listed
        | Why::Tags(_) => Next::Nothing,
    }
}
