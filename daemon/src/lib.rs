//! The program around the engine: configuration file, signals, systemd, D-Bus, the control socket of virtual
//! devices.
pub mod config;
pub mod logging;
mod reload;
mod run;
mod systemd;

pub use reload::Reread;
pub use run::{RunError, run};
