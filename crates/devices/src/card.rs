//! Chip cards: a reader that finds a card and speaks to it, and a kernel that runs a card transaction.
use crate::{DeviceError, Interrupt, Switch};
use payterm_schema::{
    card::{CardRun, CardStep, CardWord, Interface},
    selftest::Finding,
};
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Fault that ends the talk with a card.
#[derive(Debug, thiserror::Error)]
pub enum CardFault {
    #[error("the card was removed")]
    Removed,
    #[error("the card does not answer")]
    Mute,
    /// The reader does not work any more.
    #[error(transparent)]
    Reader(#[from] DeviceError),
}

/// Chip reader, contact or contactless. Unlike a `Source` it keeps the card that it found, and speaks to it.
pub trait CardReader: Send {
    /// Waits for a card; `None` when `timeout` is over or [`CardReader::interrupt`] was used. A contactless
    /// reader has its field on while it waits.
    fn wait(&mut self, timeout: Duration) -> Result<Option<Interface>, DeviceError>;
    /// Powers the card that was found; gives its answer to reset (ISO/IEC 7816-3) or, of a contactless card,
    /// what takes its place.
    fn power(&mut self) -> Result<Vec<u8>, CardFault>;
    /// Sends one command and gives its answer, status word included (ISO/IEC 7816-4). Either may hold a card
    /// number. A card that has not answered when `timeout` is over is mute.
    fn transmit(&mut self, command: &[u8], timeout: Duration) -> Result<Zeroizing<Vec<u8>>, CardFault>;
    /// Tells whether the card that is powered is still there. Default: a reader that cannot tell, so that the
    /// next command shows it.
    fn present(&mut self) -> Result<bool, DeviceError> {
        Ok(true)
    }
    /// Tells whether a card that was let go of is still in the reader, so that no other can be inserted.
    /// Asked every 5 s while nobody pays too: an error shows that the reader is lost. Default: a reader that
    /// cannot tell.
    fn occupied(&mut self) -> Result<bool, DeviceError> {
        Ok(false)
    }
    /// Lets go of the card and switches the field off; a card that nobody took is forgotten. One that was
    /// inserted after the card that was powered is the next customer's: it is not touched.
    fn release(&mut self) -> Result<(), DeviceError>;
    /// Callback that makes the `wait` under way (or, without one, the following one) return `Ok(None)` at
    /// once.
    fn interrupt(&self) -> Interrupt;
    /// Switch of a reader that sees a card without being told to look, as [`crate::Source::switch`]. Its
    /// thread waits in [`CardReader::wait`] all the time. Default: the device needs commands.
    fn switch(&self) -> Option<Arc<Switch>> {
        None
    }
    /// Tests whether the device works, without a customer. Default: it is open.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        Ok(Finding::works())
    }
}

/// Card kernel, ours or a vendor's: runs a whole card transaction on the reader's thread, in lock-step. Each
/// call runs to the next question or to the end; it gives `None` when it was interrupted or the card does not
/// answer any more.
pub trait CardKernel: Send {
    /// Begins a card transaction.
    fn run(&mut self, run: &CardRun, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault>;
    /// Answers the last step.
    fn tell(&mut self, word: CardWord, card: &mut dyn CardReader) -> Result<Option<CardStep>, CardFault>;
    /// Ends the run, wherever it is. The reader lets go of the card afterwards.
    fn end(&mut self);
    /// Callback that ends the call under way, or else the next one, from any thread: with `Ok(None)` at once;
    /// behind the host's yes or no, when the command under way is answered, with the run's end as it is
    /// then. A card that is only asked for an AAC gives it first.
    fn interrupt(&self) -> Interrupt;
}

/// Chip reader, with the kernel that its vendor brings.
pub struct CardDevice {
    pub reader: Box<dyn CardReader>,
    /// Kernel of the vendor; none: no card transaction runs on this reader yet.
    pub kernel: Option<Box<dyn CardKernel>>,
}
