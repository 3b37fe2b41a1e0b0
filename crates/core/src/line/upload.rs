//! Batch upload: the records of the half that does not balance, page by page out of the store.
use super::Line;
use crate::{Effect, Query, context::Context, ledger::Settling, signal::Signal};
use payterm_schema::{
    Fault, Kind, Outcome, SettlementRecord, Time,
    host::{OriginalRef, Plan},
    settlement::{self, BatchPart, BatchQuery, UploadGroup, UploadRecord, Verdict},
    time::Millis,
};

/// A load that was not answered is asked for again.
const LOAD_AGAIN: Millis = Millis::secs(30);

/// A load of records under way: what it looks through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loading {
    pub tag: u64,
    pub until: Time,
    group: UploadGroup,
}

impl Line {
    pub(super) fn load_upload(&mut self, cx: &mut Context, s: &Settling, group: UploadGroup, after: u64) {
        let ledger = cx.state.ledger(self.id());
        let (batch, from) = (ledger.batch, ledger.batch_after);
        let tag = cx.tag();
        self.loading = Some(Loading { tag, until: cx.now + LOAD_AGAIN, group });
        let query = BatchQuery {
            account: self.id().clone(),
            batch,
            group,
            domestic: s.settlement.domestic_verdict != Some(Verdict::Balanced),
            foreign: s.settlement.foreign_verdict != Some(Verdict::Balanced),
            untipped: s.untipped.clone(),
            after: after.max(from),
            limit: group.many(),
        };
        cx.effect(Effect::Load { tag, query: Query::Batch(query) });
    }

    /// The next records, or that there are none of this group.
    pub(super) fn upload_loaded(&mut self, cx: &mut Context, found: Result<Vec<Outcome>, Fault>) {
        let id = self.id().clone();
        let Some(Loading { group, .. }) = self.loading else { unreachable!("nothing was loaded") };
        let Some(s) = cx.settling(&id).filter(|s| s.open.is_none()).cloned() else {
            self.loading = None;
            return;
        };
        // The store is in trouble: asked again when the load's time is over, and nobody waits for that.
        let Ok(found) = found else { return cx.signal(Signal::SettlesBehind { account: id }) };
        self.loading = None;
        let wanted: Vec<&Outcome> = found
            .iter()
            .filter(|o| !s.excluded.contains(&o.txn) && cx.state.ledger(&id).of_this_terminal(o))
            .collect();
        let last = found.iter().map(|o| o.txn).max();
        match (wanted.first(), last, group.next()) {
            (Some(first), Some(last), _) => {
                let plan = if group == UploadGroup::Magnetic {
                    let list = wanted.iter().filter_map(|o| record_of(o)).collect();
                    let list = Some(Box::new(BatchPart::List(list)));
                    Plan { settlement: list, ..cx.control_plan(&id, Kind::Settlement) }
                } else {
                    self.single(cx, first)
                };
                allow(cx, &s, self, plan, group, last);
            }
            (_, Some(last), _) => self.load_upload(cx, &s, group, last),
            (_, None, Some(group)) => self.load_upload(cx, &s, group, 0),
            (_, None, None) => self.end_upload(cx, &s),
        }
    }

    /// A record that goes alone: with what it said itself, named by its own batch and STAN.
    fn single(&self, cx: &Context, o: &Outcome) -> Plan {
        // A host that names no date: the terminal's.
        let own = || cx.host_date(self.id(), o.started + cx.state.ledger(self.id()).offset);
        let date = o.host_date.clone().or_else(own);
        let part = record_of(o).map(|record| Box::new(BatchPart::One { kind: o.kind, record }));
        Plan {
            amount: o.sums.amount_money(),
            mode: o.entry,
            wallet: o.wallet,
            original: Some(OriginalRef {
                batch: o.batch,
                stan: o.stan,
                date,
                rrn: o.rrn.clone(),
                auth_code: o.auth_code.clone(),
            }),
            scheme: Some(o.scheme.clone().filter(|o| o.len() == 3).unwrap_or_else(|| "000".into())),
            settlement: part,
            ..cx.control_plan(self.id(), Kind::Settlement)
        }
    }

    pub(super) fn end_upload(&self, cx: &mut Context, s: &Settling) {
        let end = BatchPart::End { records: s.settlement.uploaded, balanced: s.settlement.balanced() };
        let plan = Plan { settlement: Some(Box::new(end)), ..cx.control_plan(self.id(), Kind::Settlement) };
        allow(cx, s, self, plan, s.group, s.after);
    }
}

/// The message may leave; the upload goes on after transaction `after` of `group`.
fn allow(cx: &mut Context, s: &Settling, line: &Line, plan: Plan, group: UploadGroup, after: u64) {
    let (txn, account, plan) = (s.txn, line.id().clone(), Box::new(plan));
    cx.record(Some(txn), SettlementRecord::UploadAllowed { txn, account, plan, group, after });
}

fn record_of(o: &Outcome) -> Option<UploadRecord> {
    let sealed = settlement::sealed_under(o);
    Some(UploadRecord {
        txn: o.txn,
        stan: o.stan?,
        foreign: settlement::foreign(o),
        minor: o.sums.amount?,
        sealed,
    })
}
