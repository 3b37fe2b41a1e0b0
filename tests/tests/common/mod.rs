//! What the flow, crash and seed tests share.
pub use payterm_tests::lab::*;
