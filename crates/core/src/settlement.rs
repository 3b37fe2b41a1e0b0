//! Settlement 批结算 of an account (host-protocol §7): what is owed first, then the totals, the records of the
//! half that does not balance, the end, and a new batch. From the totals on every message leaves again as it
//! is until it is answered, also after a restart.
mod auto;

use crate::{
    Effect, Machine, Query,
    flow::Stage,
    ledger::{Ledger, Settling},
    links::Purpose,
    recovery::recovery_first,
    view,
};
use payterm_schema::{
    AccountId, Fault, HostAnswer, HostEvent, Kind, Money, Outcome, RequestRecord, SettlementRecord, Status,
    Time,
    account::Stan,
    host::{FrameTrace, MessageKind, OriginalRef, Plan, RetryRule, SecretsFrom, Wallet},
    kind::Side,
    money::MAX_MINOR,
    operator::{OperatorId, Role},
    outcome::{Authority, Class},
    record::{Ending, Obligation, ObligationState},
    settlement::{
        self, BatchPart, BatchQuery, Half, Halves, Settlement, StuckLine, UploadGroup, UploadRecord, Verdict,
    },
    time::Millis,
    totals::Total,
};
use std::sync::Arc;

/// A load that was not answered is asked for again.
const LOAD_AGAIN: Millis = Millis::secs(30);

/// A load of records under way: what it looks through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loading {
    tag: u64,
    until: Time,
    group: UploadGroup,
}

impl Machine {
    pub(crate) fn settling(&self, id: &AccountId) -> Option<&Settling> {
        // In a journal that was restored it may have ended long ago: it goes on when a person has said so.
        self.state.accounts.get(id).filter(|_| self.state.recovering.is_none())?.settling.as_deref()
    }

    /// The running request would add a record for which the batch has no room.
    pub(crate) fn batch_full(&self, id: &AccountId) -> bool {
        let Some((side, kind)) =
            self.state.running.as_ref().map(|r| (r.request.kind.row().side, r.request.kind))
        else {
            return false;
        };
        let Some(l) = self.state.accounts.get(id) else { return false };
        let amount = self.amount().map_or(0, |m| m.minor());
        let (sum, full) = match side {
            Side::Debit => (l.debit_minor, kind != Kind::TipAdjust),
            Side::Credit => (l.credit_minor, true),
            Side::None => return false,
        };
        (full && l.debit_count + l.credit_count >= u64::from(self.settings.settlement.batch_max))
            || sum.saturating_add(amount) > MAX_MINOR
    }

    /// Waits until the account owes nothing; [`Machine::drive_account`] goes on when it does.
    pub(crate) fn begin_settlement(&mut self) {
        let until = self.after(self.settings.settlement.clear_timeout_ms);
        let Some(account) = self.flow.as_ref().and_then(|f| f.account.clone()) else { return };
        self.sign_in.entry(account.clone()).or_default().not_before = self.now;
        let owed = self.owed(&account);
        self.set_stage(Stage::Clearing { until, owed });
        // The line gets another chance for what waits to be told.
        self.forwarding.remove(&account);
        // One that waits for a person: here is one.
        if let Some(txn) = self.settling(&account).filter(|s| s.hold).map(|s| s.txn) {
            let by = self.operator();
            self.record(Some(txn), SettlementRecord::Retried { txn, account, by });
        }
    }

    pub(crate) fn not_cleared(&mut self) {
        let account = self.flow.as_ref().and_then(|f| f.account.clone());
        let open = account.as_ref().is_some_and(|a| self.settling(a).is_some());
        let owes = account.is_some_and(|a| self.state.obligations.driven(&a));
        let code = if open { "settlement-open" } else { "settlement-owes" };
        self.fail(if open || owes { code } else { "prepare-timeout" }, Class::E);
    }

    /// What the account owes, each at once and then as its time comes; then the totals. True: something is
    /// under way or waits.
    pub(crate) fn clear(&mut self, id: &AccountId) -> bool {
        let Some(tried) = self.flow.as_ref().map(|f| f.tried.clone()) else { return false };
        let open = |o: &&Obligation| o.account == *id && o.state == ObligationState::Due;
        // A wallet's undo has its own time.
        let at_once = |o: &&Obligation| o.plan.wallet.is_none() && !tried.contains(&(o.txn, o.plan.stan));
        // Advices go out beside it, from their own places.
        let next = self.state.obligations.unknown().filter(open).find(at_once).map(|o| (o.txn, o.plan.stan));
        if let Some((txn, stan)) = next {
            if let Some(flow) = self.flow.as_mut() {
                flow.tried.insert((txn, stan));
            }
            self.send_owed(id, txn, stan);
            return true;
        }
        // What a person keeps back is listed like what is Stuck.
        let driven =
            |o: &Obligation| o.account == *id && o.state != ObligationState::Stuck && o.held.is_none();
        if (self.state.obligations.driven(id) && self.state.obligations.iter().any(driven)) || !self.quiet(id)
        {
            return false;
        }
        self.ask_settlement(id);
        true
    }

    /// The totals leave: from here on the batch is being closed.
    fn ask_settlement(&mut self, id: &AccountId) {
        let Some((running, settings)) = self.state.running.clone().zip(self.account(id).cloned()) else {
            return;
        };
        let ledger = self.state.ledger(id).clone();
        let stuck: Vec<Obligation> =
            self.state.obligations.iter().filter(|o| o.account == *id).cloned().collect();
        if ledger.debit_count + ledger.credit_count == 0 {
            return self.fail("batch-empty", Class::B);
        }
        let role = self.state.staff.on_duty.as_ref().map_or(Role::Cashier, OperatorId::role);
        let asks = !stuck.is_empty()
            && self.settings.operators.required
            && role < Role::Supervisor
            && running.view.approved_by.is_none();
        if asks && running.key.app == payterm_schema::caller::TERMINAL {
            return self.fail("settlement-needs-supervisor", Class::D);
        }
        if asks {
            if let Some(flow) = self.flow.as_mut() {
                flow.stage = Stage::Supervisor;
            }
            return self.ask_approval();
        }
        let mut rows = ledger.totals;
        let own = |o: &Obligation| self.state.owes(o.txn).filter(|told| told.stan == Some(o.plan.stan));
        for told in stuck
            .iter()
            .filter_map(own)
            .filter(|o| o.status == Status::Approved && o.batch == Some(ledger.batch))
        {
            let scheme = told.scheme.as_deref().or(told.wallet.map(Wallet::name)).unwrap_or_default();
            let minor = if told.kind == Kind::TipAdjust { told.sums.tip } else { told.sums.amount };
            Total::take(&mut rows, scheme, told.kind, &told.operator, minor.unwrap_or(0));
        }
        let halves = Halves::of(&rows);
        let line = |o: &Obligation| StuckLine {
            txn: o.txn,
            kind: o.plan.kind,
            batch: o.plan.batch,
            stan: o.plan.stan,
            minor: o.plan.amount.map(Money::minor),
        };
        let settlement = Settlement {
            stuck: stuck.iter().take(Settlement::ROWS).map(line).collect(),
            stuck_more: u32::try_from(stuck.len().saturating_sub(Settlement::ROWS)).unwrap_or(u32::MAX),
            ..Settlement::new(halves, &rows, ledger.totals_since)
        };
        let txn = running.txn;
        let plan = Plan {
            settlement: Some(Box::new(BatchPart::Totals(halves))),
            ..self.control_plan(id, Kind::Settlement)
        };
        let mut view = Arc::unwrap_or_clone(running.view);
        view::with_account(&mut view, &settings);
        (view.stan, view.batch) = (Some(plan.stan), Some(plan.batch));
        view.settlement = Some(Box::new(settlement));
        self.record(
            Some(txn),
            SettlementRecord::Asked {
                txn,
                account: id.clone(),
                plan: Box::new(plan.clone()),
                view: Arc::new(view),
            },
        );
        if let Some(flow) = self.flow.as_mut() {
            flow.stage = Stage::Settling { what: "settling", until: self.now };
        }
        self.send_settlement(id, txn, plan);
    }

    fn send_settlement(&mut self, id: &AccountId, txn: u64, plan: Plan) {
        let (what, secrets) = match plan.settlement.as_deref() {
            Some(BatchPart::List(list)) => {
                ("uploading", SecretsFrom::SealedMany(list.iter().map(|r| r.sealed).collect()))
            }
            Some(BatchPart::One { record, .. }) => {
                ("uploading", SecretsFrom::SealedMany(vec![record.sealed]))
            }
            Some(BatchPart::End { .. }) => ("closing-batch", SecretsFrom::None),
            Some(BatchPart::Totals(_)) | None => ("settling", SecretsFrom::None),
        };
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| r.key.to_string());
        let foreground = running.is_some();
        self.send(
            id,
            Purpose::Settlement { txn, stan: plan.stan },
            MessageKind::Request,
            plan,
            secrets,
            running,
        );
        if foreground {
            let until = self.in_front(id).map_or(self.now, |l| l.until);
            self.set_stage(Stage::Settling { what, until });
        }
    }

    /// A time further away than any wait was set by another clock (set back since): then now.
    fn settling_at(&self, id: &AccountId, s: &Settling) -> Time {
        if s.next_try.since(self.now) > self.longest_wait(id) { self.now } else { s.next_try }
    }

    /// When [`Machine::drive_settlement`] has something to do next.
    pub(crate) fn settling_due(&self, id: &AccountId) -> Option<Time> {
        let s = self.settling(id).filter(|s| !s.hold)?;
        Some(self.uploading.get(id).map_or_else(|| self.settling_at(id, s), |l| l.until))
    }

    /// Sends what is not answered, or makes the next message. `hurry`: somebody waits for it.
    pub(crate) fn drive_settlement(&mut self, id: &AccountId, hurry: bool) {
        let Some(s) = self.settling(id).filter(|s| !s.hold).cloned() else { return };
        let waits = self.settling_at(id, &s) > self.now;
        if waits && !hurry {
            return;
        }
        if let Some(flow) = self.flow.as_mut().filter(|_| waits) {
            flow.hurried = true;
        }
        match s.open.clone() {
            Some(plan) => self.send_settlement(id, s.txn, plan),
            None if s.settlement.balanced() => self.end_upload(id, &s),
            None if self.uploading.get(id).is_none_or(|l| l.until <= self.now) => {
                self.load_upload(id, &s, s.group, s.after)
            }
            None => {}
        }
    }

    fn load_upload(&mut self, id: &AccountId, s: &Settling, group: UploadGroup, after: u64) {
        let (batch, from) = (self.state.ledger(id).batch, self.state.ledger(id).batch_after);
        let tag = self.tag();
        self.uploading.insert(id.clone(), Loading { tag, until: self.now + LOAD_AGAIN, group });
        let query = BatchQuery {
            account: id.clone(),
            batch,
            group,
            domestic: s.settlement.domestic_verdict != Some(Verdict::Balanced),
            foreign: s.settlement.foreign_verdict != Some(Verdict::Balanced),
            untipped: s.untipped.clone(),
            after: after.max(from),
            limit: group.many(),
        };
        self.effect(Effect::Load { tag, query: Query::Batch(query) });
    }

    /// The next records, or that there are none of this group. True: it was for a settlement.
    pub(crate) fn upload_loaded(&mut self, tag: u64, found: &Result<Vec<Outcome>, Fault>) -> bool {
        let Some((id, at)) =
            self.uploading.iter().find(|(_, l)| l.tag == tag).map(|(id, l)| (id.clone(), *l))
        else {
            return false;
        };
        let Some(s) = self.settling(&id).filter(|s| s.open.is_none()).cloned() else {
            self.uploading.remove(&id);
            return true;
        };
        // The store is in trouble: asked again when the load's time is over, and nobody waits for that.
        let Ok(found) = found else {
            self.settle_behind(&id);
            return true;
        };
        self.uploading.remove(&id);
        let wanted: Vec<&Outcome> = found
            .iter()
            .filter(|o| !s.excluded.contains(&o.txn) && self.state.ledger(&id).of_this_terminal(o))
            .collect();
        let last = found.iter().map(|o| o.txn).max();
        match (wanted.first(), last, at.group.next()) {
            (Some(first), Some(last), _) => {
                let plan = if at.group == UploadGroup::Magnetic {
                    let list = wanted.iter().filter_map(|o| record_of(o)).collect();
                    Plan {
                        settlement: Some(Box::new(BatchPart::List(list))),
                        ..self.control_plan(&id, Kind::Settlement)
                    }
                } else {
                    self.single(&id, first)
                };
                self.record(
                    Some(s.txn),
                    SettlementRecord::UploadAllowed {
                        txn: s.txn,
                        account: id,
                        plan: Box::new(plan),
                        group: at.group,
                        after: last,
                    },
                );
            }
            (_, Some(last), _) => self.load_upload(&id, &s, at.group, last),
            (_, None, Some(group)) => self.load_upload(&id, &s, group, 0),
            (_, None, None) => self.end_upload(&id, &s),
        }
        true
    }

    /// A record that goes alone: with what it said itself, named by its own batch and STAN.
    fn single(&self, id: &AccountId, o: &Outcome) -> Plan {
        // A host that names no date: the terminal's.
        let minutes = self.account(id).map_or(0, |a| a.host_offset_minutes);
        let local = o.started.local(minutes);
        let date = o
            .host_date
            .clone()
            .unwrap_or_else(|| format!("{:02}{:02}", u8::from(local.month()), local.day()));
        let part = record_of(o).map(|record| Box::new(BatchPart::One { kind: o.kind, record }));
        Plan {
            amount: o.sums.amount_money(),
            mode: o.entry,
            wallet: o.wallet,
            original: Some(OriginalRef {
                batch: o.batch,
                stan: o.stan,
                date: Some(date),
                rrn: o.rrn.clone(),
                auth_code: o.auth_code.clone(),
            }),
            scheme: Some(o.scheme.clone().filter(|o| o.len() == 3).unwrap_or_else(|| "000".into())),
            settlement: part,
            ..self.control_plan(id, Kind::Settlement)
        }
    }

    fn end_upload(&mut self, id: &AccountId, s: &Settling) {
        let end = BatchPart::End { records: s.settlement.uploaded, balanced: s.settlement.balanced() };
        let plan = Plan { settlement: Some(Box::new(end)), ..self.control_plan(id, Kind::Settlement) };
        self.record(
            Some(s.txn),
            SettlementRecord::UploadAllowed {
                txn: s.txn,
                account: id.clone(),
                plan: Box::new(plan),
                group: s.group,
                after: s.after,
            },
        );
    }

    pub(crate) fn settlement_event(&mut self, id: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        match event {
            HostEvent::NotSent { .. } | HostEvent::Unbuildable { .. } if self.nothing_left(id, txn) => {
                self.drop_settlement(id, txn, Ending::NothingLeft, Status::Failed, "not-sent", Class::E);
            }
            HostEvent::NotSent { why } => {
                self.settlement_failed(id, txn, stan, None, why, Fail::NotSent, FrameTrace::default())
            }
            // Trying again changes nothing.
            HostEvent::Unbuildable { why } => self.settlement_failed(
                id,
                txn,
                stan,
                Some("not-buildable".into()),
                why,
                Fail::Held,
                FrameTrace::default(),
            ),
            HostEvent::NoReply { why, trace } => {
                self.settlement_failed(id, txn, stan, None, why, Fail::Again, trace)
            }
            HostEvent::Reply { answer, trace } => self.settlement_answer(id, txn, stan, *answer, trace),
            HostEvent::Late { .. } => {}
        }
    }

    /// The totals are the message under way, and no byte of them has ever left.
    fn nothing_left(&self, id: &AccountId, txn: u64) -> bool {
        self.settling(id).is_some_and(|s| s.txn == txn && !s.left)
    }

    pub(crate) fn settlement_answer(
        &mut self,
        id: &AccountId,
        txn: u64,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        // A late answer to an earlier try may have ended it while this one was under way.
        let Some(s) = self.settling(id).filter(|s| s.txn == txn).cloned() else { return };
        let Some(part) =
            s.open.as_ref().filter(|p| p.stan == stan).and_then(|p| p.settlement.as_deref()).cloned()
        else {
            return;
        };
        let digit = answer.requirement;
        let done = self.class(id, &answer.code) == Class::A;
        // A record, or the end, that the acquirer has already.
        let known = self.account(id).is_some_and(|a| a.rules.advice_ends.contains(&answer.code));
        match part {
            BatchPart::Totals(ours) if done => match judge(&answer, &ours) {
                Ok((domestic, foreign)) => {
                    let account = id.clone();
                    self.record(
                        Some(txn),
                        SettlementRecord::Judged {
                            txn,
                            account,
                            stan,
                            domestic,
                            foreign,
                            answer: Box::new(answer),
                            trace,
                        },
                    );
                }
                Err(code) => {
                    let (account, why) = (id.clone(), code.to_owned());
                    self.record(
                        Some(txn),
                        RequestRecord::Disregarded {
                            txn,
                            account,
                            stan,
                            why: why.clone(),
                            answer: Box::new(answer),
                            trace: trace.clone(),
                        },
                    );
                    self.settlement_failed(
                        id,
                        txn,
                        stan,
                        Some(code.into()),
                        why,
                        Fail::Held,
                        FrameTrace::default(),
                    );
                }
            },
            BatchPart::List(_) | BatchPart::One { .. } if done || known => {
                self.record(
                    Some(txn),
                    SettlementRecord::Uploaded { txn, account: id.clone(), stan, code: answer.code, trace },
                );
            }
            BatchPart::End { .. } if done || known => {
                self.close_batch(id, txn, Ending::Answered(answer.code), trace)
            }
            BatchPart::Totals(_) | BatchPart::List(_) | BatchPart::One { .. } | BatchPart::End { .. } => {
                self.settlement_refused(id, &s, stan, answer, trace)
            }
        }
        self.requirement(id, txn, digit);
    }

    fn settlement_refused(
        &mut self,
        id: &AccountId,
        s: &Settling,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let rule = self.account(id).and_then(|a| a.rules.codes.get(&answer.code).copied());
        let (txn, code) = (s.txn, format!("host-{}", answer.code));
        let why = format!("the host answered {}", answer.code);
        match rule {
            Some(r) if r.retry == RetryRule::SignIn => {
                self.sign_out(id, "the host asks for a sign-in");
                self.settlement_failed(id, txn, stan, Some(code), why, Fail::Again, trace);
            }
            // Host or line are in trouble.
            Some(r) if r.retry == RetryRule::Now || r.reverse || matches!(r.class, Class::E | Class::P) => {
                self.settlement_failed(id, txn, stan, Some(code), why, Fail::Again, trace);
            }
            // A plain no to the first totals that left: nothing was settled. A no to totals that left before
            // may be about that.
            Some(_) | None if !s.left => {
                let class = self.class(id, &answer.code).max_failure();
                self.record(
                    Some(txn),
                    RequestRecord::Disregarded {
                        txn,
                        account: id.clone(),
                        stan,
                        why,
                        answer: Box::new(answer.clone()),
                        trace,
                    },
                );
                self.drop_settlement(id, txn, Ending::Answered(answer.code), Status::Declined, &code, class);
            }
            Some(_) | None => self.settlement_failed(id, txn, stan, Some(code), why, Fail::Held, trace),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one record's fields")]
    fn settlement_failed(
        &mut self,
        id: &AccountId,
        txn: u64,
        stan: Stan,
        code: Option<String>,
        why: String,
        fail: Fail,
        trace: FrameTrace,
    ) {
        let Some(s) =
            self.settling(id).filter(|s| s.txn == txn && s.open.as_ref().is_some_and(|p| p.stan == stan))
        else {
            return;
        };
        let next_try = self.now + self.backoff(id, s.tries + 1, s.txn);
        let left = fail != Fail::NotSent;
        // As often as a reversal: then a person asks the acquirer.
        let most = self.account(id).map_or(1, |a| a.config.obligation_tries);
        let hold = fail == Fail::Held || (left && s.tries + 1 >= most);
        let told = code.clone().unwrap_or_else(|| "no-reply".into());
        self.record(
            Some(txn),
            SettlementRecord::Failed {
                txn,
                account: id.clone(),
                stan,
                code,
                why,
                next_try,
                left,
                hold,
                trace,
            },
        );
        if self.state.running.as_ref().is_some_and(|r| r.txn == txn) {
            return self.end_unknown(id, &told, if hold { Class::D } else { Class::E });
        }
        if hold {
            self.trouble("settlement-held");
        }
    }

    /// It cannot go on now: whoever waits for it is told so, and it goes on behind other requests.
    pub(crate) fn settle_behind(&mut self, id: &AccountId) {
        let front = matches!(self.flow.as_ref().map(|f| &f.stage), Some(Stage::Settling { .. }));
        if front
            && self.settling(id).is_some_and(|s| self.state.running.as_ref().is_some_and(|r| r.txn == s.txn))
        {
            self.end_unknown(id, "settlement-open", Class::E);
        }
    }

    /// Nothing was settled: the batch stays open.
    fn drop_settlement(
        &mut self,
        id: &AccountId,
        txn: u64,
        how: Ending,
        status: Status,
        code: &str,
        class: Class,
    ) {
        let Some(mut outcome) = self.settlement_view(txn) else { return };
        self.record(Some(txn), SettlementRecord::Dropped { txn, account: id.clone(), how });
        view::ended(&mut outcome, status, code, class, self.now);
        self.finish(outcome);
    }

    fn close_batch(&mut self, id: &AccountId, txn: u64, how: Ending, trace: FrameTrace) {
        let Some(mut outcome) = self.settlement_view(txn) else { return };
        let Ledger { batch, settling, unpaid, unpaid_more, .. } = self.state.ledger(id).clone();
        let keep = self.state.obligations.iter().filter_map(|o| o.sealed).collect();
        // A host that went on without us has named the next one.
        let theirs = self.state.batches_in_doubt().find(|(a, _)| *a == id).map(|(_, d)| d.theirs);
        let next = theirs.unwrap_or_else(|| batch.next());
        self.record(Some(txn), SettlementRecord::BatchClosed { txn, account: id.clone(), next, how, trace });
        self.step.erase_batch =
            Some(Box::new(payterm_schema::EraseBatch { account: id.clone(), batch, keep }));
        self.uploading.remove(id);
        // What waits to be shown is no longer so.
        self.troubles.retain(|what| !matches!(*what, "settle-first" | "settlement-held"));
        if let Some(s) = settling {
            outcome.settlement = Some(Box::new(s.settlement));
        }
        if let Some(s) = &mut outcome.settlement {
            (s.unpaid, s.unpaid_more) = (unpaid, unpaid_more);
        }
        view::approved(&mut outcome, Authority::Host, self.now);
        self.finish(outcome);
    }

    /// The outcome of an open settlement as it was told, or as it runs.
    fn settlement_view(&self, txn: u64) -> Option<Outcome> {
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| &*r.view);
        self.state.owes(txn).or(running).cloned()
    }

    pub(crate) fn retry_settlement(&mut self, call: u64, id: &AccountId, by: String) {
        if self.state.recovering.is_some() {
            return self.answer(call, Err(recovery_first()));
        }
        let Some(s) = self.settling(id) else {
            return self.answer(call, Err(Fault::not_found("settlement", id.as_str())));
        };
        let txn = s.txn;
        self.record(Some(txn), SettlementRecord::Retried { txn, account: id.clone(), by });
        self.answer(call, Ok(()));
    }

    /// A person asked the acquirer: the batch is settled there, or nothing of the kind was heard of. In a
    /// recovery too.
    pub(crate) fn resolve_settlement(
        &mut self,
        call: u64,
        id: &AccountId,
        txn: u64,
        executed: bool,
        reference: &str,
        by: &str,
    ) {
        let driven = self.state.ledger(id).settling.as_ref().is_some_and(|s| !s.hold);
        let fault = if driven {
            Some(Fault::WrongState { rule: "the settlement is being driven on".into() })
        } else if self.in_front(id).is_some() {
            Some(Fault::WrongState {
                rule: "a message of its account is under way: wait for its answer".into(),
            })
        } else {
            None
        };
        if let Some(fault) = fault {
            return self.answer(call, Err(fault));
        }
        let how = Ending::ByPerson(format!("{reference} ({by})"));
        if executed {
            self.close_batch(id, txn, how, FrameTrace::default());
        } else {
            self.drop_settlement(id, txn, how, Status::Declined, "resolved-not-executed", Class::C);
        }
        self.answer(call, Ok(()));
    }
}

/// How a message of the settlement failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fail {
    /// No byte of this try left.
    NotSent,
    Again,
    /// Only a person has it tried again.
    Held,
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

/// The acquirer's word on both halves; what cannot be is named.
fn judge(answer: &HostAnswer, ours: &Halves) -> Result<(Verdict, Verdict), &'static str> {
    let Some(reply) = answer.settlement else { return Err("settlement-malformed") };
    let half = |ours: &Half, (theirs, digit): (Half, u8)| match Verdict::of_digit(digit) {
        None => Err("settlement-malformed"),
        // It balances, and the sums are others.
        Some(Verdict::Balanced) if theirs != *ours => Err("settlement-contradiction"),
        Some(verdict) => Ok(verdict),
    };
    Ok((half(&ours.domestic, reply.domestic)?, half(&ours.foreign, reply.foreign)?))
}
