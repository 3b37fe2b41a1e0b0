//! The payterm daemon: the only crate with a runtime. Actors around the sans-IO machine of `core`, the store, supervision.
pub mod clock;
pub mod commit;
pub mod config;
pub mod hostlink;
pub mod logging;
pub mod mishap;
pub mod store;
pub mod supervise;
