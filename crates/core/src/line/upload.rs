//! Batch upload: the records of the half that does not balance, page by page out of the store.
use super::Line;
use crate::{Effect, Query, context::Context, ledger::Settling, signal::Signal};
use payterm_schema::{
    Fault, Kind, Outcome, SettlementRecord, Time,
    host::{OriginalRef, Plan},
    settlement::{self, BatchPart, BatchQuery, BatchRow, StuckLine, UploadGroup, UploadRecord, Verdict},
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
            domestic: group.of_chips() || s.settlement.domestic_verdict != Some(Verdict::Balanced),
            foreign: group.of_chips() || s.settlement.foreign_verdict != Some(Verdict::Balanced),
            untipped: s.untipped.clone(),
            after: after.max(from),
            limit: group.many(),
        };
        cx.effect(Effect::Load { tag, query: Query::Batch(query) });
    }

    /// The next records, or that there are none of this group.
    pub(super) fn upload_loaded(&mut self, cx: &mut Context, found: Result<Vec<BatchRow>, Fault>) {
        let id = self.id().clone();
        let Some(Loading { group, .. }) = self.loading else { unreachable!("nothing was loaded") };
        let Some(s) = cx.settling(&id).filter(|s| s.open.is_none()).cloned() else {
            self.loading = None;
            return;
        };
        // The store is in trouble: asked again when the load's time is over, and nobody waits for that.
        let Ok(found) = found else { return cx.signal(Signal::SettlesBehind { account: id }) };
        self.loading = None;
        let of_this = |o: &Outcome| !s.excluded.contains(&o.txn) && cx.state.ledger(&id).of_this_terminal(o);
        let wanted: Vec<&BatchRow> = found.iter().filter(|row| of_this(&row.outcome)).collect();
        let last = found.iter().map(|row| row.outcome.txn).max();
        let next = group.next().filter(|group| !group.of_chips() || self.tells_certificates(cx));
        match (wanted.first(), last, next) {
            (Some(first), Some(last), _) if group.of_chips() => {
                match self.certificate(cx, &s, group, first) {
                    Ok(plan) => allow(cx, &s, self, plan, group, last),
                    Err(line) => {
                        let txn = s.txn;
                        let lost = SettlementRecord::CertificateLost { txn, account: id, group, line };
                        cx.record(Some(txn), lost);
                        self.load_upload(cx, &s, group, last);
                    }
                }
            }
            (Some(first), Some(last), _) => {
                let plan = if group == UploadGroup::Magnetic {
                    let list = wanted.iter().filter_map(|row| record_of(&row.outcome)).collect();
                    let list = Some(Box::new(BatchPart::List(list)));
                    Plan { settlement: list, ..cx.control_plan(&id, Kind::Settlement) }
                } else {
                    self.single(cx, &first.outcome)
                };
                allow(cx, &s, self, plan, group, last);
            }
            (_, Some(last), _) => self.load_upload(cx, &s, group, last),
            (_, None, Some(group)) => self.load_upload(cx, &s, group, 0),
            (_, None, None) => self.end_upload(cx, &s),
        }
    }

    /// The batch has TCs that the acquirer is told.
    pub(super) fn tells_certificates(&self, cx: &Context) -> bool {
        self.account.rules.certificates && cx.state.ledger(self.id()).certificates > 0
    }

    /// The TC of a sale; what is on the report in its place where it cannot be read.
    fn certificate(
        &self,
        cx: &Context,
        s: &Settling,
        group: UploadGroup,
        row: &BatchRow,
    ) -> Result<Plan, StuckLine> {
        let o = &row.outcome;
        let (Some(record), Some(batch)) = (record_of(o), o.batch) else {
            unreachable!("an approved sale without a STAN, a batch or an amount")
        };
        let verdicts = (s.settlement.domestic_verdict, s.settlement.foreign_verdict);
        let verdict = if record.foreign { verdicts.1 } else { verdicts.0 };
        let Some(icc) = row.icc.clone() else {
            let (stan, minor) = (record.stan, Some(record.minor));
            return Err(StuckLine { txn: o.txn, kind: o.kind, batch, stan, minor });
        };
        let part = BatchPart::Certificate {
            record,
            balanced: verdict == Some(Verdict::Balanced),
            unauthenticated: group == UploadGroup::Unauthenticated,
        };
        Ok(Plan {
            icc: Some(icc),
            card_sequence: o.chip.as_ref().and_then(|chip| chip.sequence),
            pin: o.pin,
            settlement: Some(Box::new(part)),
            ..self.single(cx, o)
        })
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
        let records = s.settlement.uploaded.saturating_add(s.settlement.certificates);
        let end = BatchPart::End { records, balanced: s.settlement.balanced() };
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
