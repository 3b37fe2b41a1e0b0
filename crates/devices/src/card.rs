//! Chip cards: a reader that finds a card and speaks to it, and a kernel that runs a card transaction. Shape
//! only as far as a scripted card needs; the chip issue may change both. Offline PINs (`PinPad::verify`) are
//! left to it, too.
use crate::{DeviceError, Interrupt, Switch};
use payterm_schema::{
    card::{CardRun, CardStep, CardWord, Interface},
    selftest::Finding,
};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// End of the talk with a card.
#[derive(Debug, thiserror::Error)]
pub enum CardFault {
    #[error("the card was removed")]
    Removed,
    #[error("the card does not answer")]
    Mute,
    /// The reader works no more.
    #[error(transparent)]
    Reader(#[from] DeviceError),
}

/// A chip reader, contact or contactless: unlike a `Source` it goes on with the card that it found.
pub trait CardReader: Send {
    /// Waits for a card; `None` when `timeout` ran out or [`CardReader::interrupt`] was used. A contactless
    /// reader has its field on while it waits.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError>;
    /// Powers the card that was found; its answer to reset, or what takes its place.
    fn power(&mut self) -> Result<Vec<u8>, CardFault>;
    /// One command and its answer, status word included. Either may hold a card number.
    fn transmit(&mut self, command: &[u8]) -> Result<Zeroizing<Vec<u8>>, CardFault>;
    /// Lets go of the card and takes the field off; a card that nobody took is forgotten.
    fn release(&mut self) -> Result<(), DeviceError>;
    /// Makes the `wait` under way (or, without one, the following one) return `Ok(None)` at once.
    fn interrupt(&self) -> Interrupt;
    /// As [`crate::Source::switch`]: for a reader that sees a card without being told to look. Its thread
    /// waits in [`CardReader::wait`] all the time.
    fn switch(&self) -> Option<Arc<Switch>> {
        None
    }
    /// Looks whether the device works, without a customer. Default: it is open.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        Ok(Finding::works())
    }
}

/// A card kernel, ours or a vendor's: runs a whole card transaction on the reader's thread, in lock-step.
/// Each call goes on to the next question or to the end; `None` when it was interrupted or the card says
/// nothing more.
pub trait CardKernel: Send {
    fn run(&mut self, run: &CardRun, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault>;
    /// Answers the last step.
    fn tell(&mut self, word: CardWord, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault>;
    /// Ends the run, wherever it is. The reader lets go of the card afterwards.
    fn end(&mut self);
    /// Makes the call under way return `Ok(None)` at once, from any thread.
    fn interrupt(&self) -> Interrupt;
}

/// A reader, with the kernel that its vendor brings.
pub struct CardDevice {
    pub reader: Box<dyn CardReader>,
    /// None: nothing runs on it yet (our own kernel comes with the chip issue).
    pub kernel: Option<Box<dyn CardKernel>>,
}
