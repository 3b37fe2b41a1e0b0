//! What the flow, crash and seed tests share.
#![allow(unused_imports, reason = "each test binary uses its part")]
pub use payterm_tests::lab::*;
