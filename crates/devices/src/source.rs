//! Stripe readers, scanners and keypads: devices that give one instrument an offer, and keys.
use crate::{DeviceError, Interrupt, Switch};
use payterm_schema::{Instrument, device::Key, host::EntryMode, selftest::Finding};
use std::{sync::Arc, time::Duration};

/// Event of a reader, scanner or keypad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    Instrument(Instrument),
    Key(Key),
}

/// Stripe reader, scanner or keypad.
pub trait Source: Send {
    /// Starts to take instruments of these entry modes (those that the device does not know are ignored) and
    /// keys. One [`Instrument`] is given per `arm`; arming again asks for the next one.
    fn arm(&mut self, modes: &[EntryMode]) -> Result<(), DeviceError>;
    /// Waits for the next event of an armed device; `None` when `timeout` is over or [`Source::interrupt`]
    /// was used.
    fn next(&mut self, timeout: Duration) -> Result<Option<SourceEvent>, DeviceError>;
    /// Stops taking instruments. What was presented and not yet taken is forgotten.
    fn disarm(&mut self) -> Result<(), DeviceError>;
    /// Callback that makes the `next` under way (or, without one, the following one) return `Ok(None)` at
    /// once.
    fn interrupt(&self) -> Interrupt;
    /// Switch in place of [`Source::arm`] and [`Source::disarm`], for a device that needs no command for
    /// them, since it reads all the time. The engine sets it, the driver looks at it when something was
    /// presented. No thread is woken, so it is quicker; the driver's thread waits in `next` while the device
    /// rests, too. Default: the device needs commands.
    fn switch(&self) -> Option<Arc<Switch>> {
        None
    }
    /// Tests whether the device works, armed or not, without a customer. Default: it is open.
    fn self_test(&mut self) -> Result<Finding, DeviceError> {
        Ok(Finding::works())
    }
}
