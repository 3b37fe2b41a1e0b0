//! The only crate of the terminal that sees keys: the sealed file, key loading, PIN blocks, MACs, track
//! encipherment, and sealing for the store.
//!
//! Invariant: no key leaves a [`Vault`]. It gives results (a PIN block, a MAC, a sealed value, a check
//! value), its `Debug` is masked, no error text holds key, PIN or card data, and on disk keys stand only
//! under AES-256-GCM.
mod file;
mod keys;
mod load;
mod operators;
mod sealing;
mod terminal;
mod vault;

pub use payterm_primitives::signature::Verifier as SignatureVerifier;
pub use sealing::{KeyedHash, SealingKey, SealingKeyError};
pub use terminal::{TerminalKey, WrappedTmk};
pub use vault::{AccountMac, KeyRules, KeysRefused, Vault, VaultError};
