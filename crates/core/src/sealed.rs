//! Which sealed PANs the machine of a journal still needs.
use crate::State;
use payterm_schema::{Entry, SealedNeeds};

/// Replays `tail` upon `snapshot`; none when that is not possible.
pub fn sealed_needs(snapshot: Option<&str>, tail: &[Entry]) -> Option<SealedNeeds> {
    let mut state = State::decode(snapshot).ok()?;
    tail.iter().try_for_each(|entry| state.apply(entry)).ok()?;
    let owed = state.obligations.iter().filter_map(|o| o.sealed);
    Some(SealedNeeds {
        owed: owed.chain(state.running.iter().map(|r| r.txn)).collect(),
        open: state.accounts.iter().map(|(account, ledger)| (account.clone(), ledger.batch)).collect(),
    })
}
