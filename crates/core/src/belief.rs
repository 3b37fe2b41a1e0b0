//! Whether an answer can be this payment's. A state directory of yesterday that was put back uses STANs
//! again: the host takes the message for one that it knows, and answers what it answered then.
//!
//! Invariant: such an answer is told to nobody, and its payment is not reversed: the reversal would name the
//! earlier payment that bears the STAN.
use crate::context::Context;
use payterm_schema::{
    AccountId, HostAnswer, Record,
    account::Batch,
    host::RetryRule,
    outcome::Class,
    record::{Entry, Obligation, RrnClaim},
    time::Millis,
};

/// Reason of an outcome whose answer was another payment's.
pub(crate) const OF_ANOTHER: &str = "answer-of-another";
/// Hosts set their clocks, and have several: an answer may seem so much too old.
const MARGIN: Millis = Millis::secs(120);

impl Context {
    /// The host has answered what was new to it: its clock is known from here on.
    pub fn believe(&mut self, id: &AccountId, answer: &HostAnswer) {
        if let Some(host) = self.host_time(id, answer) {
            let ahead = Millis(host.0 - self.steady(self.now).0);
            self.host_clocks.insert(id.clone(), ahead);
        }
        self.judge_clock(id, answer);
    }

    /// The host was at work on it before it can have had it. Of what was sent before this run nothing is
    /// said: the clock may have been set since.
    fn too_old(&self, o: &Obligation, answer: &HostAnswer) -> bool {
        let told = self.host_time(&o.account, answer).zip(self.host_clocks.get(&o.account));
        told.filter(|_| o.txn > self.txns_before)
            .is_some_and(|(host, ahead)| host.0 + MARGIN.0 < self.steady(o.since).0 + ahead.0)
    }

    /// Why this cannot be an answer to the message of this obligation. `first`: it has left once only.
    pub fn not_its_answer(&self, o: &Obligation, answer: &HostAnswer, first: bool) -> Option<String> {
        if self.too_old(o, answer) {
            return Some("the answer is older than the message".into());
        }
        (first && self.seen_before(&o.account, answer))
            .then(|| "the acquirer has had this STAN before, and it was never used here".into())
    }

    /// The host knows the message already, and is done with it. Where its code means "same card and amount",
    /// the profile does not say `done`.
    pub fn seen_before(&self, id: &AccountId, answer: &HostAnswer) -> bool {
        let rule = self.account(id).and_then(|a| a.rules.codes.get(&answer.code));
        rule.is_some_and(|r| r.retry == RetryRule::Done && r.class != Class::A)
    }

    /// What a 94 to this message bears is what its first sending was given: it has left before, and the
    /// acquirer's profile says so.
    pub fn names_first(&self, o: &Obligation) -> bool {
        o.had_left && self.account(&o.account).is_some_and(|a| a.rules.duplicate_names_first)
    }

    /// The answer is this payment's only when no other one has its RRN, says the store; otherwise `instead`
    /// is on record, and the machine is made again from that. What a 94 bears, unless it is the first
    /// sending's, or its own original's RRN, is no other payment's. To be called before anything of the
    /// answer is recorded.
    pub fn claim_rrn(
        &mut self,
        o: &Obligation,
        answer: &HostAnswer,
        instead: impl FnOnce(&Self, &str) -> Vec<Record>,
    ) {
        let original = o.plan.original.as_ref().and_then(|x| x.rrn.as_deref());
        let named = |r: &&str| r.bytes().any(|b| !matches!(b, b'0' | b' ')) && Some(*r) != original;
        let Some(rrn) = answer.rrn.as_deref().filter(named) else { return };
        if self.seen_before(&o.account, answer) && !self.names_first(o) {
            return;
        }
        let why = format!("the answer's RRN {rrn} is another payment's");
        let mut all = instead(self, &why);
        all.extend(self.finding(&why).map(Record::from));
        let before = self.step.records.clone();
        let own = (self.state.seq + 1..).zip(all).map(|(seq, record)| {
            let txn = (!matches!(record, Record::Terminal(_))).then_some(o.txn);
            Entry { seq, at: self.now, txn, record }
        });
        let (account, txn) = (o.account.clone(), o.txn);
        let instead = before.into_iter().chain(own).collect();
        self.step.claim = Some(Box::new(RrnClaim { account, rrn: rrn.into(), txn, instead }));
    }

    /// Its host is in a batch that ours has left behind for good. One behind ours is a host that has not
    /// heard the end of the last settlement; a person may have said that ours is open all the same.
    pub fn batch_is_behind(&self, id: &AccountId, theirs: Option<Batch>) -> bool {
        let ledger = self.state.ledger(id);
        let agreed = theirs == ledger.agreed;
        let count = Batch::LAST.get();
        let behind = |b: Batch| (ledger.batch.get() + count - b.get()) % count;
        theirs.is_some_and(|b| !agreed && (2..count / 2).contains(&behind(b)))
    }
}
