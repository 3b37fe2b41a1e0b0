//! When what is owed is tried again, and how long it is driven.
use crate::{AccountSettings, Settings, context::Context};
use payterm_schema::{
    AccountId, Time,
    account::Stan,
    host::{Plan, WalletQuery},
    notice::Owed,
    record::{Asking, Obligation, ObligationState},
    time::Millis,
};

impl AccountSettings {
    /// The wait after the nth try without the part that is taken off.
    fn longest_backoff(&self, tries: u32) -> Millis {
        let doubled = i64::from(self.config.obligation_backoff_ms) << tries.saturating_sub(1).min(24);
        Millis(doubled.min(i64::from(self.config.obligation_backoff_max_ms)))
    }

    /// When it is Stuck at the latest: every try that is left leaves, and none is answered. What has not left
    /// at all has no such time.
    fn deadline(&self, o: &Obligation, now: Time) -> Option<Time> {
        let left = self.config.obligation_tries.saturating_sub(o.tries);
        let wait = |n: u32| {
            i64::from(self.config.reply_timeout_ms) + self.longest_backoff(o.tries.saturating_add(n)).0
        };
        // After 32 doublings every wait is the greatest.
        let waits: i64 = (1..left.min(33)).map(wait).sum();
        let rest = i64::from(left.saturating_sub(33)) * wait(33);
        let last = i64::from(self.config.reply_timeout_ms);
        let due = o.state == ObligationState::Due && o.held.is_none() && (o.left || o.tries > 0);
        due.then(|| o.next_try.max(now) + Millis(waits.saturating_add(rest).saturating_add(last)))
    }
}

impl Settings {
    /// An obligation as faces see it: with its deadline, without the card's token.
    pub fn shown(&self, o: &Obligation, now: Time) -> Obligation {
        let account = self.accounts.iter().find(|a| a.config.id == o.account);
        // Of the card only what is masked.
        let plan = Plan { expiry: None, ..o.plan.clone() };
        Obligation { deadline: account.and_then(|a| a.deadline(o, now)), card: None, plan, ..o.clone() }
    }
}

impl Context {
    /// Wait after the nth try: doubles from the account's first to its greatest, less up to a quarter of it,
    /// so that a street of terminals does not come back at the same moment. The part is a hash of the
    /// terminal's number, `salt` (the transaction's) and the try: replay finds the same.
    pub fn backoff(&self, account: &AccountId, tries: u32, salt: u64) -> Millis {
        let wait = self.longest_backoff(account, tries).0;
        let terminal = self.account(account).map_or(0, |a| {
            a.config.tid.as_str().bytes().fold(0u64, |h, b| h.wrapping_mul(257).wrapping_add(u64::from(b)))
        });
        let part = mixed(terminal.wrapping_add(salt.rotate_left(32)).wrapping_add(u64::from(tries))) % 1024;
        Millis(wait - wait / 4 * i64::try_from(part).unwrap_or(0) / 1024)
    }
    fn longest_backoff(&self, account: &AccountId, tries: u32) -> Millis {
        self.account(account).map_or(Millis::secs(60), |a| a.longest_backoff(tries))
    }
    pub fn longest_wait(&self, account: &AccountId) -> Millis {
        self.longest_backoff(account, u32::MAX)
    }

    /// How long an obligation of this account is driven before it is Stuck: every try times out, every wait
    /// is waited.
    pub fn patience(&self, account: &AccountId) -> Millis {
        let Some(c) = self.account(account).map(|a| &a.config) else { return Millis(0) };
        let tries = i64::from(c.obligation_tries);
        // After 32 doublings every wait is the greatest.
        let doubling = c.obligation_tries.min(32);
        let waits: i64 = (1..=doubling).map(|n| self.longest_backoff(account, n).0).sum();
        let rest = (tries - i64::from(doubling)) * i64::from(c.obligation_backoff_max_ms);
        Millis((tries * i64::from(c.reply_timeout_ms)).saturating_add(waits).saturating_add(rest))
    }

    /// When the undo of this frame may leave: at once, or after the wallet's wait.
    pub fn undo_time(&self, txn: u64, stan: Stan) -> Time {
        let wait = self.state.obligation(txn, stan).and_then(|o| {
            let rules = &self.account(&o.account)?.rules;
            let wait = *rules.wallet_undo_after.get(&o.plan.wallet?)?;
            // Not from the plan: the frame leaves when the line is there.
            Some(o.plan.at + self.connect_time(&o.account) + wait)
        });
        wait.map_or(self.now, |t| t.max(self.now))
    }

    fn connect_time(&self, id: &AccountId) -> Millis {
        Millis(self.account(id).map_or(0, |a| i64::from(a.config.connect_timeout_ms)))
    }

    /// When the obligation is tried next. A time further away than any wait of the account was set by another
    /// clock (set back while the power was off): then now.
    pub fn due_at(&self, o: &Obligation) -> Time {
        let undo = self
            .account(&o.account)
            .and_then(|a| a.rules.wallet_undo_after.get(&o.plan.wallet?).copied())
            .map_or(Millis(0), |wait| Millis(wait.0 + self.connect_time(&o.account).0));
        if o.next_try.since(self.now) > self.longest_wait(&o.account).max(undo) {
            self.now
        } else {
            o.next_try
        }
    }

    /// When the wallet of this payment is asked for it; none: its profile has no query for it.
    pub fn query_rule(&self, o: &Obligation) -> Option<WalletQuery> {
        let rules = &self.account(&o.account)?.rules;
        rules.query.then(|| rules.wallet_query.get(&o.plan.wallet?).copied()).flatten()
    }
    pub fn asking(&self, rule: WalletQuery) -> Asking {
        Asking { next: self.now + rule.first, until: self.now + rule.until }
    }

    /// What holds up the account's requests.
    pub fn owed(&self, account: &AccountId) -> Option<Owed> {
        let (txn, stan) = self.state.obligations.blocking(account)?;
        let o = self.settings.shown(self.state.obligation(txn, stan)?, self.now);
        Some(Owed { tries: o.tries, last_code: o.last_code, next_try: o.next_try, deadline: o.deadline })
    }
}

/// A bijection of 64 bits that leaves no pattern (SplitMix64's finaliser: Steele, Lea and Flood, 2014).
const fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
