//! The D-Bus face over `Arc<dyn Terminal>`, and a client that is a `Terminal` again. XML, bus policy and
//! units are in `data/`.
//!
//! Objects: the root [`ROOT`] (`Manager`, `Queue`, `Batch`, ObjectManager), a `Device` at
//! `ROOT/device/<name>`, a `Transaction` at [`path`]. Requests, outcomes and rows are `a{sv}` made from the
//! schema's JSON (see [`wire`]); a [`payterm_schema::Fault`] is the error
//! `org.payterm.Terminal1.Error.<name>` with one text for people; its data is what `LastFault` answers.
//!
//! Invariant: nothing that belongs to a transaction reaches a caller who may not recall it: not by a method,
//! a property, a signal, introspection or the object manager.
mod client;
mod error;
mod interfaces;
mod link;
pub mod login1;
mod objects;
mod path;
mod peer;
mod row;
mod server;
mod signals;
mod types;
pub mod wire;

pub use client::{Address, Client};

pub use error::{ERROR_PREFIX, fault_of};
pub use interfaces::INTERFACES;
pub use path::{ROOT, device_path, parse, path};
pub use row::{Interface, May, Method, Patience, Property, Signal, Whose};
pub use server::{BusError, Claim, Server, claim, claim_at, serve_at};

/// The bus name, without a lane.
pub const BUS_NAME: &str = "org.payterm.Terminal1";

/// The bus name of a lane: `org.payterm.Terminal1.lane2`; with an empty lane [`BUS_NAME`].
pub fn bus_name(lane: &str) -> String {
    if lane.is_empty() { BUS_NAME.into() } else { format!("{BUS_NAME}.{lane}") }
}
