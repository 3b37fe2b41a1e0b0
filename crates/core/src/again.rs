//! What a refusal lets the terminal try again in the same request, and the part of an amount that a host
//! approves.
use crate::{Machine, flow::Stage, view};
use payterm_schema::{
    AccountId, HostAnswer, Kind, Money, ObligationRecord, RequestRecord, Status,
    account::Stan,
    host::{FrameTrace, ReversalReason},
    outcome::{Authority, Class},
    record::{Ending, ProvisionalOf},
    time::Millis,
};
use std::sync::Arc;

impl Machine {
    /// Code 55: the customer types the PIN again in the same request, with a new STAN and a new PIN block.
    pub(crate) fn another_pin(&mut self) -> bool {
        let tries = self.settings.flow.pin_tries;
        let Some(flow) = self.flow.as_mut() else { return false };
        flow.pin_tries += 1;
        if flow.pin_tries >= tries {
            return false;
        }
        flow.pin = None;
        self.prepare();
        true
    }

    /// 77, A0, 99: sign in, then once more; new keys, so the PIN is asked again.
    pub(crate) fn another_sign_in(&mut self, account: &AccountId, code: &str) -> bool {
        let auto = self.account(account).is_some_and(|a| a.config.auto_sign_in);
        let Some(flow) = self.flow.as_mut().filter(|f| auto && !f.signed_again) else { return false };
        flow.signed_again = true;
        flow.pin = None;
        self.sign_out(account, &format!("the host asks for a sign-in ({code})"));
        self.prepare();
        true
    }

    /// `again = now`: nothing reached the issuer. A countdown, then a new try with a new STAN.
    pub(crate) fn busy_again(&mut self) -> bool {
        let (tries, wait) =
            (self.settings.flow.busy_tries, Millis(i64::from(self.settings.flow.busy_wait_ms)));
        let until = self.now + wait;
        let Some(flow) = self.flow.as_mut().filter(|f| f.busy_tries < tries) else { return false };
        flow.busy_tries += 1;
        self.set_stage(Stage::Busy { until });
        true
    }

    /// Code 10: the cashier decides; until then, and if the power goes, the reversal stands. True: somebody
    /// is asked.
    pub(crate) fn partial(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        answer: &HostAnswer,
        trace: &FrameTrace,
    ) -> bool {
        let Some(running) = self
            .state
            .running
            .as_ref()
            .filter(|r| r.request.kind == Kind::Sale && self.settings.flow.partial_approval)
        else {
            return false;
        };
        let asked = running.view.sums.amount_money();
        let approved =
            answer.amount.filter(|a| *a > 0).and_then(|a| Money::new(a, running.view.sums.currency).ok());
        let Some((asked, approved)) = asked.zip(approved) else { return false };
        let answer = Box::new(answer.clone());
        self.record(
            Some(txn),
            RequestRecord::Provisional {
                txn,
                account: account.clone(),
                stan,
                of: ProvisionalOf::Part,
                answer: answer.clone(),
                trace: trace.clone(),
            },
        );
        let until = self.after(self.settings.flow.confirm_timeout_ms);
        self.set_stage(Stage::Partial { until, account: account.clone(), stan, answer, asked, approved });
        true
    }

    pub(crate) fn partial_decided(&mut self, account: &AccountId, stan: Stan, answer: HostAnswer, yes: bool) {
        let Some(running) = self.state.running.clone() else { return };
        let (txn, mut outcome) = (running.txn, Arc::unwrap_or_clone(running.view));
        view::with_answer(&mut outcome, &answer);
        if yes {
            view::with_part(&mut outcome, &answer);
            self.approve(&mut outcome, Authority::Host);
            self.record(
                Some(txn),
                ObligationRecord::Ended {
                    txn,
                    stan,
                    how: Ending::RequestAnswered,
                    trace: FrameTrace::default(),
                },
            );
        } else {
            self.not_taken(txn, stan);
            view::ended(&mut outcome, Status::Declined, "partial-not-taken", Class::B, self.now);
        }
        let digit = answer.requirement;
        self.requirement(account, txn, digit);
        self.finish(outcome);
    }

    /// What the host approved is taken back.
    pub(crate) fn not_taken(&mut self, txn: u64, stan: Stan) {
        let not_before = self.undo_time(txn, stan);
        self.record(
            Some(txn),
            ObligationRecord::Due { txn, stan, reason: ReversalReason::Other, not_before },
        );
    }
}
