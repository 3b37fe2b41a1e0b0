//! What the state says when it is asked.
use super::{FAR, State};
use crate::{ledger::Ledger, recovery::BatchInDoubt};
use payterm_schema::{AccountId, Outcome, Time, account::Stan, record::Obligation};
use std::sync::LazyLock;

impl State {
    pub fn ledger(&self, account: &AccountId) -> &Ledger {
        static NEW: LazyLock<Ledger> = LazyLock::new(Ledger::default);
        self.accounts.get(account).unwrap_or(&NEW)
    }

    pub fn obligation(&self, txn: u64, stan: Stan) -> Option<&Obligation> {
        self.obligations.get(txn, stan)
    }

    /// What was told of a transaction that still owes something.
    pub fn owes(&self, txn: u64) -> Option<&Outcome> {
        self.owing.get(&txn).map(|o| &**o)
    }

    /// Its batch is the account's open one.
    pub(crate) fn in_open_batch(&self, o: &Outcome) -> bool {
        o.account
            .as_ref()
            .map(|a| self.ledger(a))
            .is_some_and(|l| o.batch == Some(l.batch) && l.of_this_terminal(o))
    }

    /// The account whose open settlement this transaction is, or one that may be among what a journal has
    /// lost.
    pub fn settlement_of(&self, txn: u64) -> Option<AccountId> {
        let open = self
            .accounts
            .iter()
            .find(|(_, l)| l.settling.as_ref().is_some_and(|s| s.txn == txn))
            .map(|(a, _)| a);
        open.or_else(|| self.batches_in_doubt().find(|(_, d)| d.txn == Some(txn)).map(|(a, _)| a)).cloned()
    }

    /// The batch keeps its number until it is settled: it holds records, or what an open obligation names may
    /// yet become one.
    pub fn keeps_batch(&self, account: &AccountId) -> bool {
        let ledger = self.ledger(account);
        ledger.holds_records() || self.obligations.names_batch(account, ledger.batch)
    }

    /// The terminal's time was neither set while it ran, but for what it was behind, nor is behind its
    /// records, and no host contradicts it.
    pub fn clock_trusted(&self, now: Time) -> bool {
        self.clock_doubt.is_none() && self.clock_behind.is_none_or(|(of, set)| set && now >= of)
    }

    /// The next STAN of the account: not one that an open obligation names (invariant 6).
    pub fn next_stan(&self, account: &AccountId) -> Stan {
        let first = Stan::new(FAR).filter(|_| self.stans_lost).unwrap_or(Stan::FIRST);
        let mut stan = self.accounts.get(account).and_then(|l| l.last_stan).map_or(first, Stan::next);
        let open =
            self.accounts.get(account).and_then(|l| l.settling.as_ref()?.open.as_ref().map(|p| p.stan));
        while open == Some(stan) || self.obligations.names(account, stan) {
            stan = stan.next();
        }
        stan
    }

    /// Reversals hold up the account's authorisations (host-protocol §6), but for wallet payments, whose undo
    /// may have to wait (§8). An advice holds nobody up: the payment is accepted, and telling the acquirer
    /// once more does no harm. A settlement does until its batch is closed.
    pub fn blocked(&self, account: &AccountId) -> bool {
        self.accounts.get(account).is_some_and(|l| l.settling.is_some())
            || self.obligations.blocking(account).is_some()
    }

    /// Nobody has said yet whether ours was closed.
    pub(crate) fn batches_in_doubt(&self) -> impl Iterator<Item = (&AccountId, &BatchInDoubt)> {
        self.recovering.iter().flat_map(|r| &r.batches).filter(|(_, d)| !d.open)
    }
}
