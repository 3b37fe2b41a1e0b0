//! How the settlement of a batch ends, whoever found it out: its host, or a person who asked.
use crate::{context::Context, ledger::Ledger, ledger::Settling, signal::Signal, view};
use payterm_schema::{
    AccountId, EraseBatch, SettlementRecord, Status,
    host::FrameTrace,
    outcome::{Authority, Class},
    record::Ending,
};

impl Context {
    pub fn settling(&self, id: &AccountId) -> Option<&Settling> {
        // In a journal that was restored it may have ended long ago: it goes on when a person has said so.
        self.state.accounts.get(id).filter(|_| self.state.recovering.is_none())?.settling.as_deref()
    }

    /// Nothing was settled: the batch stays open.
    pub fn drop_settlement(
        &mut self,
        id: &AccountId,
        txn: u64,
        how: Ending,
        status: Status,
        code: &str,
        class: Class,
    ) {
        let Some(mut outcome) = self.told(txn) else { return };
        self.record(Some(txn), SettlementRecord::Dropped { txn, account: id.clone(), how });
        view::ended(&mut outcome, status, code, class, self.now);
        self.finish(outcome);
    }

    pub fn close_batch(&mut self, id: &AccountId, txn: u64, how: Ending, trace: FrameTrace) {
        let Some(mut outcome) = self.told(txn) else { return };
        let Ledger { batch, settling, unpaid, unpaid_more, .. } = self.state.ledger(id).clone();
        let keep = self.state.obligations.iter().filter_map(|o| o.sealed).collect();
        // A host that went on without us has named the next one.
        let theirs = self.state.batches_in_doubt().find(|(a, _)| *a == id).map(|(_, d)| d.theirs);
        let next = theirs.unwrap_or_else(|| batch.next());
        self.record(Some(txn), SettlementRecord::BatchClosed { txn, account: id.clone(), next, how, trace });
        self.step.erase_batch = Some(Box::new(EraseBatch { account: id.clone(), batch, keep }));
        self.signal(Signal::BatchClosed { account: id.clone() });
        if let Some(s) = settling {
            outcome.settlement = Some(Box::new(s.settlement));
        }
        if let Some(s) = &mut outcome.settlement {
            (s.unpaid, s.unpaid_more) = (unpaid, unpaid_more);
        }
        view::approved(&mut outcome, Authority::Host, self.now);
        self.finish(outcome);
    }
}
