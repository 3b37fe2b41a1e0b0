//! The sealed card numbers that a journal erases and keeps.
use crate::account::{AccountId, Batch};

/// Sealed PANs of a closed batch, to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseBatch {
    pub account: AccountId,
    pub batch: Batch,
    /// Transactions whose PAN stays.
    pub keep: Vec<u64>,
}

/// Sealed PANs that a terminal still needs; all others are of closed batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedNeeds {
    /// Transactions that run or still owe something.
    pub owed: Vec<u64>,
    /// The open batch of each account.
    pub open: Vec<(AccountId, Batch)>,
}
