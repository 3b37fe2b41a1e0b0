//! The commands of a run, one at a time, within its bounds.
use crate::{
    Command, Exchange, Progress, Reply,
    step::{Bound, Note, Why},
};
use zeroize::Zeroizing;

/// Commands of one run, GET RESPONSEs among them. 600: ten times what a card with many applications needs.
pub const COMMANDS_MAX: u16 = 600;
/// Bytes that a card may answer with in one run. 64 KiB: 20 times what a card with three certificates gives.
pub const ANSWERS_MAX: usize = 64 << 10;

/// A line to the card, on which at most one command is under way.
#[derive(Default)]
pub(crate) struct Link {
    exchange: Option<Exchange>,
    commands: u16,
    received: usize,
}

/// What an answer is.
pub(crate) enum Heard {
    /// Not the whole: these bytes go to the card next.
    Send(Zeroizing<Vec<u8>>),
    Done(Reply),
}

impl Link {
    /// The command's bytes.
    pub(crate) fn start(&mut self, command: Command, log: &mut Vec<Note>) -> Result<Zeroizing<Vec<u8>>, Why> {
        log.push(Note::Sent(command.header()));
        let (exchange, bytes) = Exchange::start(command);
        self.exchange = Some(exchange);
        self.count(bytes)
    }

    /// The card's answer goes to the command under way.
    pub(crate) fn answer(&mut self, bytes: &[u8], log: &mut Vec<Note>) -> Result<Heard, Why> {
        let exchange = self.exchange.as_mut().ok_or(Why::OutOfOrder)?;
        self.received = self.received.saturating_add(bytes.len());
        if self.received > ANSWERS_MAX {
            return Err(Why::Bound(Bound::Bytes));
        }
        match exchange.answer(bytes) {
            Progress::Send(bytes) => Ok(Heard::Send(self.count(bytes)?)),
            Progress::Done(reply) => {
                self.exchange = None;
                log.push(Note::Status(reply.sw));
                Ok(Heard::Done(reply))
            }
            Progress::Broken(why) => Err(why.into()),
        }
    }

    fn count(&mut self, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Why> {
        if self.commands == COMMANDS_MAX {
            return Err(Why::Bound(Bound::Commands));
        }
        self.commands += 1;
        Ok(bytes)
    }

    /// A command waits for its answer.
    pub(crate) fn is_busy(&self) -> bool {
        self.exchange.is_some()
    }
    pub(crate) fn close(&mut self) {
        self.exchange = None;
    }
}
