//! Device drivers: a trait a kind of device, the drivers that come with payterm, and the register in which
//! others enter theirs ([`Drivers`]).
//!
//! Drivers block. The engine runs each on a thread of its own and sets a deadline on every command; a driver
//! that does not come back is abandoned with its thread and opened again. So a driver keeps no state that a
//! second instance could not share or take over, and every wait in here is bounded by an argument or by
//! `command_timeout_ms`.
//!
//! Invariant: no PAN, track, PIN or payment code in an error, a log line or a `Debug` of this crate.
pub mod card;
mod display;
mod drivers;
pub mod emv_config;
pub mod emv_kernel;
pub mod error;
mod escpos;
pub mod offline_pin;
mod options;
#[cfg(feature = "pcsc")]
mod pcsc_reader;
mod printer;
pub mod scripted;
pub mod soft_printer;
mod source;
mod switch;
pub mod track;
pub mod virtual_bench;
mod virtual_chip;
pub mod virtual_control;
mod virtual_driver;

pub use card::{CardDevice, CardFault, CardKernel, CardReader};
pub use display::{Display, DisplaySize, pattern};
pub use drivers::{Drivers, Encipher, Env, Face, Handle, MakeKernel, Registration, RunsCards};
pub use emv_kernel::EmvKernel;
pub use error::DeviceError;
pub use options::options;
pub use printer::{PAPER_OUT, PaperLevel, PaperWidth, PrintJob, Printer, PrinterStatus};
pub use source::{Source, SourceEvent};
pub use switch::{Armed, Switch};
pub use virtual_bench::VirtualBench;

use std::sync::Arc;

/// Callback that ends a wait of the driver that made it, from any thread; never blocks.
pub type Interrupt = Arc<dyn Fn() + Send + Sync>;
