//! Settlement 批结算 of an account (host-protocol §7): what is owed first, then the totals, the records of the
//! half that does not balance, the end, and a new batch. From the totals on every message leaves again as it
//! is until it is answered, also after a restart.
use super::{Line, exchange::Purpose};
use crate::{context::Context, signal::Signal, view};
use payterm_schema::{
    HostAnswer, HostEvent, Kind, Money, RequestRecord, SettlementRecord, Status, Time,
    account::Stan,
    host::{FrameTrace, MessageKind, Plan, RetryRule, SecretsFrom},
    outcome::{Class, Reason},
    record::{Duty, Ending, Obligation, ObligationState},
    settlement::{BatchPart, Half, Halves, Settlement, StuckLine, UploadGroup, Verdict},
    totals::Total,
};
use std::sync::Arc;

use crate::ledger::Settling;

impl Line {
    /// Somebody wants the batch closed.
    pub(super) fn wanted_to_settle(&mut self, cx: &mut Context) {
        self.sign_in.not_before = cx.now;
        self.try_line_again();
        // One that waits for a person: here is one.
        if let Some(txn) = cx.settling(self.id()).filter(|s| s.hold).map(|s| s.txn) {
            let (account, by) = (self.id().clone(), cx.operator());
            cx.record(Some(txn), SettlementRecord::Retried { txn, account, by });
        }
    }

    /// What the account owes, each at once and then as its time comes; then the settlement may begin. True: a
    /// message left, or it has its turn.
    pub(super) fn drain_obligations(&mut self, cx: &mut Context) -> bool {
        let id = self.id().clone();
        let Some(customer) = &mut self.customer else { unreachable!("nobody waits for a settlement") };
        let open = |o: &&Obligation| o.account == id && o.state == ObligationState::Due;
        // A wallet's undo has its own time.
        let at_once =
            |o: &&Obligation| o.plan.wallet.is_none() && !customer.tried.contains(&(o.txn, o.plan.stan));
        // Advices go out beside it, from their own places.
        let next = cx.state.obligations.unknown().filter(open).find(at_once).map(|o| (o.txn, o.plan.stan));
        if let Some((txn, stan)) = next {
            customer.tried.insert((txn, stan));
            self.send_owed(cx, txn, stan);
            return true;
        }
        // What a person keeps back is listed like what is Stuck.
        let driven =
            |o: &Obligation| o.account == id && o.state != ObligationState::Stuck && o.held.is_none();
        if (cx.state.obligations.driven(&id) && cx.state.obligations.iter().any(driven))
            || !self.exchanges.is_idle()
        {
            return false;
        }
        customer.waits = None;
        cx.signal(Signal::Drained { account: id });
        true
    }

    /// The totals leave: from here on the batch is being closed.
    pub fn settle(&mut self, cx: &mut Context) {
        let id = self.id().clone();
        let ledger = cx.state.ledger(&id).clone();
        // A notice that is Stuck is no payment.
        let stuck = cx.state.obligations.iter().filter(|o| o.account == id && o.duty != Duty::Notify);
        let stuck: Vec<Obligation> = stuck.cloned().collect();
        let mut rows = ledger.totals;
        let own = |o: &Obligation| cx.state.owes(o.txn).filter(|told| told.stan == Some(o.plan.stan));
        for told in stuck
            .iter()
            .filter_map(own)
            .filter(|o| o.status == Status::Approved && o.batch == Some(ledger.batch))
        {
            let minor = if told.kind == Kind::TipAdjust { told.sums.tip } else { told.sums.amount };
            let scheme = Context::counted_scheme(told);
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
        let plan = Plan {
            settlement: Some(Box::new(BatchPart::Totals(halves))),
            ..cx.control_plan(&id, Kind::Settlement)
        };
        let (txn, mut view) = (cx.running().txn, (*cx.running().view).clone());
        view::with_account(&mut view, &self.account);
        (view.stan, view.batch) = (Some(plan.stan), Some(plan.batch));
        view.settlement = Some(Box::new(settlement));
        let (sent, view) = (Box::new(plan.clone()), Arc::new(view));
        cx.record(Some(txn), SettlementRecord::Asked { txn, account: id, plan: sent, view });
        self.send_settlement(cx, txn, plan);
    }

    fn send_settlement(&mut self, cx: &mut Context, txn: u64, plan: Plan) {
        let (what, secrets) = match plan.settlement.as_deref() {
            Some(BatchPart::List(list)) => {
                ("uploading", SecretsFrom::SealedMany(list.iter().map(|r| r.sealed).collect()))
            }
            Some(BatchPart::One { record, .. } | BatchPart::Certificate { record, .. }) => {
                ("uploading", SecretsFrom::SealedMany(vec![record.sealed]))
            }
            Some(BatchPart::End { .. }) => ("closing-batch", SecretsFrom::None),
            Some(BatchPart::Totals(_)) | None => ("settling", SecretsFrom::None),
        };
        let log = cx.state.running.as_ref().filter(|r| r.txn == txn).map(|r| r.key.to_string());
        let foreground = log.is_some();
        let purpose = Purpose::Settlement { txn, stan: plan.stan };
        let until = self.send(cx, purpose, MessageKind::Request, plan, secrets, log);
        if foreground {
            cx.signal(Signal::Settling { what, until });
        }
    }

    /// A time further away than any wait was set by another clock (set back since): then now.
    fn settling_at(&self, cx: &Context, s: &Settling) -> Time {
        if s.next_try.since(cx.now) > cx.longest_wait(self.id()) { cx.now } else { s.next_try }
    }

    /// When [`Self::drive_settlement`] has something to do next.
    pub(super) fn settling_due(&self, cx: &Context) -> Option<Time> {
        let s = cx.settling(self.id()).filter(|s| !s.hold)?;
        Some(self.loading.map_or_else(|| self.settling_at(cx, s), |l| l.until))
    }

    /// Sends what is not answered, or makes the next message. `hurry`: somebody waits for it.
    pub(super) fn drive_settlement(&mut self, cx: &mut Context, hurry: bool) {
        let Some(s) = cx.settling(self.id()).filter(|s| !s.hold).cloned() else { return };
        let waits = self.settling_at(cx, &s) > cx.now;
        if waits && !hurry {
            return;
        }
        if let Some(customer) = self.customer.as_mut().filter(|_| waits) {
            customer.hurried = true;
        }
        match s.open.clone() {
            Some(plan) => self.send_settlement(cx, s.txn, plan),
            None if s.settlement.balanced() && !self.tells_certificates(cx) => self.end_upload(cx, &s),
            None if self.loading.is_none_or(|l| l.until <= cx.now) => {
                let balanced = s.settlement.balanced() && !s.group.of_chips();
                let (group, after) =
                    if balanced { (UploadGroup::Certificates, 0) } else { (s.group, s.after) };
                self.load_upload(cx, &s, group, after)
            }
            None => {}
        }
    }

    pub(super) fn settlement_event(&mut self, cx: &mut Context, txn: u64, stan: Stan, event: HostEvent) {
        let failed = |code: Option<&str>, why, fail, trace| Failed {
            stan,
            code: code.map(Into::into),
            why,
            fail,
            trace,
        };
        // The totals are the message under way, and no byte of them has ever left.
        let nothing_left = cx.settling(self.id()).is_some_and(|s| s.txn == txn && !s.left);
        let failed = match event {
            HostEvent::NotSent { .. } | HostEvent::Unbuildable { .. } if nothing_left => {
                let id = self.id();
                return cx.drop_settlement(
                    id,
                    txn,
                    Ending::NothingLeft,
                    Status::Failed,
                    "not-sent",
                    Class::E,
                );
            }
            HostEvent::NotSent { why } => failed(None, why, Fail::NotSent, FrameTrace::default()),
            // Trying again changes nothing.
            HostEvent::Unbuildable { why } => {
                failed(Some("not-buildable"), why, Fail::Held, FrameTrace::default())
            }
            HostEvent::NoReply { why, trace } => failed(None, why, Fail::Again, trace),
            HostEvent::Unusable { why, trace } => failed(Some("reply-unusable"), why, Fail::Again, trace),
            HostEvent::Reply { answer, trace } => {
                return self.settlement_answer(cx, txn, stan, *answer, trace);
            }
            HostEvent::Late { .. } | HostEvent::Untrusted { .. } => return,
        };
        self.settlement_failed(cx, txn, failed);
    }

    pub(super) fn settlement_answer(
        &mut self,
        cx: &mut Context,
        txn: u64,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let id = self.id().clone();
        // A late answer to an earlier try may have ended it while this one was under way.
        let Some(s) = cx.settling(&id).filter(|s| s.txn == txn).cloned() else { return };
        let open = s.open.as_ref().filter(|p| p.stan == stan).and_then(|p| p.settlement.as_deref());
        let Some(part) = open.cloned() else { return };
        let digit = answer.requirement;
        let done = cx.class(&id, &answer.code) == Class::A;
        let unbalanced = self.account.rules.not_balanced.contains(&answer.code);
        // A record, or the end, that the acquirer has already.
        let known = self.account.rules.advice_ends.contains(&answer.code);
        match part {
            BatchPart::Totals(ours) if done || unbalanced => {
                self.totals_judged(cx, txn, stan, &ours, answer, trace)
            }
            BatchPart::List(_) | BatchPart::One { .. } | BatchPart::Certificate { .. } if done || known => {
                let code = answer.code;
                let account = id.clone();
                cx.record(Some(txn), SettlementRecord::Uploaded { txn, account, stan, code, trace });
            }
            BatchPart::End { .. } if done || known => {
                cx.close_batch(&id, txn, Ending::Answered(answer.code), trace)
            }
            BatchPart::Totals(_)
            | BatchPart::List(_)
            | BatchPart::One { .. }
            | BatchPart::Certificate { .. }
            | BatchPart::End { .. } => self.settlement_refused(cx, &s, stan, answer, trace),
        }
        cx.requirement(&id, txn, digit);
    }

    fn totals_judged(
        &self,
        cx: &mut Context,
        txn: u64,
        stan: Stan,
        ours: &Halves,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let unbalanced = self.account.rules.not_balanced.contains(&answer.code);
        let verdicts = verdicts(&answer, ours);
        // Its code says so: where no half does, neither balances.
        let verdicts = match verdicts {
            Ok((Verdict::Balanced, Verdict::Balanced)) | Err(_) if unbalanced => {
                Ok((Verdict::NotBalanced, Verdict::NotBalanced))
            }
            judged => judged,
        };
        let account = self.id().clone();
        let answer = Box::new(answer);
        match verdicts {
            Ok((domestic, foreign)) => cx.record(
                Some(txn),
                SettlementRecord::Judged { txn, account, stan, domestic, foreign, answer, trace },
            ),
            Err(code) => {
                let why = code.to_owned();
                cx.record(
                    Some(txn),
                    RequestRecord::Disregarded { txn, account, stan, why: why.clone(), answer, trace },
                );
                let trace = FrameTrace::default();
                let failed = Failed { stan, code: Some(code.into()), why, fail: Fail::Held, trace };
                self.settlement_failed(cx, txn, failed);
            }
        }
    }

    fn settlement_refused(
        &self,
        cx: &mut Context,
        s: &Settling,
        stan: Stan,
        answer: HostAnswer,
        trace: FrameTrace,
    ) {
        let id = self.id();
        let rule = self.account.rules.codes.get(&answer.code).copied();
        let (txn, code) = (s.txn, format!("host-{}", answer.code));
        let why = format!("the host answered {}", answer.code);
        let sign_in = rule.is_some_and(|r| r.retry == RetryRule::SignIn);
        // Host or line are in trouble.
        let trouble = |r: payterm_schema::host::CodeRule| {
            r.retry == RetryRule::Now || r.reverse || matches!(r.class, Class::E | Class::P)
        };
        if sign_in {
            cx.sign_out(id, "the host asks for a sign-in");
        }
        let again = sign_in || rule.is_some_and(trouble);
        // A plain no to the first totals that left: nothing was settled. A no to totals that left before
        // may be about that.
        if !again && !s.left {
            let class = cx.class(id, &answer.code).max_failure();
            let how = Ending::Answered(answer.code.clone());
            let (account, answer) = (id.clone(), Box::new(answer));
            let record = RequestRecord::Disregarded { txn, account, stan, why, answer, trace };
            cx.record(Some(txn), record);
            return cx.drop_settlement(id, txn, how, Status::Declined, &code, class);
        }
        let fail = if again { Fail::Again } else { Fail::Held };
        self.settlement_failed(cx, txn, Failed { stan, code: Some(code), why, fail, trace });
    }

    fn settlement_failed(&self, cx: &mut Context, txn: u64, failed: Failed) {
        let Failed { stan, code, why, fail, trace } = failed;
        let (id, settling) = (self.id().clone(), cx.settling(self.id()));
        // A late answer may have ended it meanwhile.
        let open = |s: &&Settling| s.txn == txn && s.open.as_ref().is_some_and(|p| p.stan == stan);
        let Some(tries) = settling.filter(open).map(|s| s.tries) else { return };
        let next_try = cx.now + cx.backoff(&id, tries + 1, txn);
        let left = fail != Fail::NotSent;
        // As often as a reversal: then a person asks the acquirer.
        let hold = fail == Fail::Held || (left && tries + 1 >= self.account.config.obligation_tries);
        let told = code.clone().unwrap_or_else(|| "no-reply".into());
        let detail = code.as_deref().filter(|c| *c == "reply-unusable").map(|_| why.clone());
        let account = id.clone();
        cx.record(
            Some(txn),
            SettlementRecord::Failed { txn, account, stan, code, why, next_try, left, hold, trace },
        );
        if cx.runs(txn) {
            let class = if hold { Class::D } else { Class::E };
            cx.end_unknown(&id, Reason { detail, ..Reason::new(told, class) });
        } else if hold {
            cx.trouble("settlement-held");
        }
    }
}

/// A message of the settlement that was not answered as it should be.
struct Failed {
    stan: Stan,
    /// A response code, or the terminal's own word.
    code: Option<String>,
    why: String,
    fail: Fail,
    trace: FrameTrace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fail {
    /// No byte of this try left.
    NotSent,
    Again,
    /// Only a person has it tried again.
    Held,
}

/// The acquirer's word on both halves; what cannot be is named.
fn verdicts(answer: &HostAnswer, ours: &Halves) -> Result<(Verdict, Verdict), &'static str> {
    let Some(reply) = answer.settlement else { return Err("settlement-malformed") };
    let half = |ours: &Half, (theirs, digit): (Half, u8)| match Verdict::of_digit(digit) {
        None => Err("settlement-malformed"),
        // It balances, and the sums are others.
        Some(Verdict::Balanced) if theirs != *ours => Err("settlement-contradiction"),
        Some(verdict) => Ok(verdict),
    };
    Ok((half(&ours.domestic, reply.domestic)?, half(&ours.foreign, reply.foreign)?))
}
