//! Sealed card numbers: which ones a journal erases and which it keeps.
use crate::account::{AccountId, Batch};

/// Sealed card numbers of a closed batch, which are to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseBatch {
    pub account: AccountId,
    pub batch: Batch,
    /// Transactions whose card number stays.
    pub keep: Vec<u64>,
}

/// Sealed card numbers that a terminal still needs; all others are of closed batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedNeeds {
    /// Transactions that run, or still owe something.
    pub owed: Vec<u64>,
    /// The open batch of each account.
    pub open: Vec<(AccountId, Batch)>,
}
