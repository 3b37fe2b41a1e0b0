//! Parser of raw reader output.
