//! Payments by code whose payer has not confirmed yet (host-protocol §8): the wallet is asked until its time
//! is over, then the payment is reversed. One road for the customer who waits at the counter and for what a
//! restart left behind.
use crate::{Machine, flow::Stage, links::Purpose, view};
use payterm_schema::{
    AccountId, HostAnswer, HostEvent, ObligationRecord, RequestRecord, Status, Time,
    account::Stan,
    host::{
        FrameTrace, MacVerdict, MessageKind, OriginalRef, Plan, RetryRule, ReversalReason, SecretsFrom,
        WalletQuery,
    },
    outcome::{Authority, Class},
    record::{Asking, Ending, Obligation, ObligationState},
};

impl Machine {
    /// When this payment is asked for; none: its profile has no query for its wallet.
    pub(crate) fn query_rule(&self, o: &Obligation) -> Option<WalletQuery> {
        let rules = &self.account(&o.account)?.rules;
        rules.query.then(|| rules.wallet_query.get(&o.plan.wallet?).copied()).flatten()
    }

    fn asking(&self, rule: WalletQuery) -> Asking {
        Asking { next: self.now + rule.first, until: self.now + rule.until }
    }

    /// F39 of class P. True: the wallet is asked from here on.
    pub(crate) fn pending(
        &mut self,
        account: &AccountId,
        txn: u64,
        stan: Stan,
        answer: &HostAnswer,
        trace: &FrameTrace,
    ) -> bool {
        let Some(rule) = self.state.obligation(txn, stan).and_then(|o| self.query_rule(o)) else {
            return false;
        };
        let asking = self.asking(rule);
        let (account, answer, trace) = (account.clone(), Box::new(answer.clone()), trace.clone());
        self.record(Some(txn), RequestRecord::Pending { txn, account, stan, answer, asking, trace });
        self.set_stage(Stage::Asking { until: asking.until });
        true
    }

    /// The restart took the customer's screen; the wallets are asked on, their time counts from its start.
    pub(crate) fn ask_anew(&mut self) {
        let open: Vec<Obligation> = self
            .state
            .obligations
            .iter()
            .filter(|o| o.asking.is_some() && o.state == ObligationState::Armed)
            .cloned()
            .collect();
        for o in open {
            let (txn, stan) = (o.txn, o.plan.stan);
            match self.query_rule(&o) {
                Some(rule) => self
                    .record(Some(txn), ObligationRecord::AskedAnew { txn, stan, asking: self.asking(rule) }),
                None => self.unclear(txn, stan),
            }
        }
    }

    /// When the wallet of this obligation is to be asked, or its time is over.
    pub(crate) fn asking_due(&self, id: &AccountId) -> Option<Time> {
        self.state.obligations.asking(id).filter_map(|o| o.asking).map(|a| a.next.min(a.until)).min()
    }

    /// When the time of a wallet is over, signed in or not.
    pub(crate) fn asking_over(&self, id: &AccountId) -> Option<Time> {
        self.state.obligations.asking(id).filter_map(|o| o.asking).map(|a| a.until).min()
    }

    /// Payments whose time is over are reversed.
    pub(crate) fn give_up_asking(&mut self, id: &AccountId) {
        let now = self.now;
        let over: Vec<(u64, Stan)> = self
            .state
            .obligations
            .asking(id)
            .filter(|o| o.asking.is_some_and(|a| a.until <= now))
            .map(|o| (o.txn, o.plan.stan))
            .collect();
        for (txn, stan) in over {
            self.unclear(txn, stan);
        }
    }

    /// One that is to be asked for now.
    pub(crate) fn due_query(&self, id: &AccountId) -> Option<(u64, Stan)> {
        self.state
            .obligations
            .asking(id)
            .find(|o| o.asking.is_some_and(|a| a.next <= self.now))
            .map(|o| (o.txn, o.plan.stan))
    }

    pub(crate) fn send_query(&mut self, id: &AccountId, txn: u64, stan: Stan) {
        let Some(o) = self.state.obligation(txn, stan).cloned() else { return };
        let Some(rule) = self.query_rule(&o) else { return };
        let original = OriginalRef {
            batch: Some(o.plan.batch),
            stan: Some(stan),
            date: Some(self.host_date(id, o.plan.at)),
            rrn: None,
            auth_code: None,
        };
        let plan = Plan {
            stan: self.state.next_stan(id),
            batch: self.state.ledger(id).batch,
            original: Some(original),
            at: self.now,
            auth_code: None,
            ..o.plan
        };
        self.record(
            Some(txn),
            ObligationRecord::Queried {
                txn,
                stan,
                plan: Box::new(plan.clone()),
                next: self.now + rule.every,
            },
        );
        self.send(id, Purpose::Query { txn, stan }, MessageKind::Query, plan, SecretsFrom::None, None);
    }

    /// MMDD in the host's time zone.
    fn host_date(&self, id: &AccountId, at: Time) -> String {
        let minutes = self.account(id).map_or(0, |a| a.host_offset_minutes);
        let t = at.local(minutes);
        format!("{:02}{:02}", u8::from(t.month()), t.day())
    }

    pub(crate) fn query_event(&mut self, account: &AccountId, txn: u64, stan: Stan, event: HostEvent) {
        let HostEvent::Reply { answer, trace } = event else { return }; // Asked again at its next time.
        let Some(o) = self.state.obligation(txn, stan).filter(|o| o.asking.is_some()).cloned() else {
            return;
        };
        let Some(rules) = self.account(account).map(|a| a.rules.clone()) else { return };
        if answer.mac == MacVerdict::Wrong || (rules.mac_on_replies && answer.mac != MacVerdict::Good) {
            let answer = Box::new(*answer);
            self.record(
                Some(txn),
                RequestRecord::Disregarded {
                    txn,
                    account: account.clone(),
                    stan: o.plan.stan,
                    why: "query without a good MAC".into(),
                    answer,
                    trace,
                },
            );
            return;
        }
        let digit = answer.requirement;
        if self.advice_waits(&rules, &answer) && self.class(account, &answer.code) != Class::P {
            // The host's or the line's trouble, not the payer's word: asked again at its next time.
            if rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn) {
                self.sign_out(account, "the host asks for a sign-in");
            }
            return self.requirement(account, txn, digit);
        }
        match self.class(account, &answer.code) {
            Class::P => {}
            // The query names no amount: another one than was asked for is no clear word.
            Class::A if answer.amount.is_some_and(|a| Some(a) != o.plan.amount.map(|m| m.minor())) => {
                self.unclear(txn, stan)
            }
            Class::A => self.wallet_paid(txn, stan, &answer, trace),
            Class::B | Class::C | Class::D | Class::E => self.wallet_refused(txn, stan, *answer, trace),
        }
        self.requirement(account, txn, digit);
    }

    fn wallet_paid(&mut self, txn: u64, stan: Stan, answer: &HostAnswer, trace: FrameTrace) {
        let Some(mut outcome) = self.told(txn) else { return };
        view::with_answer(&mut outcome, answer);
        self.approve(&mut outcome, Authority::Host);
        self.record(Some(txn), ObligationRecord::Ended { txn, stan, how: Ending::RequestAnswered, trace });
        self.finish(outcome);
    }

    /// A clear refusal: nothing was paid. One that says that the host does not know it, or that the issuer
    /// may have debited, is none: it is reversed at once.
    fn wallet_refused(&mut self, txn: u64, stan: Stan, answer: HostAnswer, trace: FrameTrace) {
        let Some(o) = self.state.obligation(txn, stan).cloned() else { return };
        let rules = self.account(&o.account).map(|a| a.rules.clone()).unwrap_or_default();
        let in_doubt = rules.reversal_ends.contains(&answer.code)
            || rules.codes.get(&answer.code).is_none_or(|r| r.reverse);
        if in_doubt {
            return self.unclear(txn, stan);
        }
        let Some(mut outcome) = self.told(txn) else { return };
        let class = self.class(&o.account, &answer.code);
        view::with_answer(&mut outcome, &answer);
        view::ended(&mut outcome, Status::Declined, format!("host-{}", answer.code), class, self.now);
        self.record(
            Some(txn),
            ObligationRecord::Ended { txn, stan, how: Ending::Answered(answer.code), trace },
        );
        self.finish(outcome);
    }

    /// Still unclear: reversed, not sooner than the wallet allows.
    fn unclear(&mut self, txn: u64, stan: Stan) {
        let not_before = self.undo_time(txn, stan);
        self.record(
            Some(txn),
            ObligationRecord::Due { txn, stan, reason: ReversalReason::NoReply, not_before },
        );
        let waits = matches!(self.flow.as_ref().map(|f| &f.stage), Some(Stage::Asking { .. }))
            && self.state.running.as_ref().is_some_and(|r| r.txn == txn);
        if let Some(account) = self.state.obligation(txn, stan).map(|o| o.account.clone()).filter(|_| waits) {
            self.end_unknown(&account, "pending", Class::P);
        }
    }

    /// The outcome of this transaction as it stands: of the running request, or as it was told.
    pub(crate) fn told(&self, txn: u64) -> Option<payterm_schema::Outcome> {
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| &*r.view);
        running.or(self.state.owes(txn)).cloned()
    }

    /// An obligation of the running request that neither its answer nor a person has settled: a partial
    /// approval that was cut off.
    pub(crate) fn standing(&self, txn: u64) -> Option<Stan> {
        self.state
            .obligations
            .of(txn)
            .find(|o| o.state == ObligationState::Armed && o.asking.is_none())
            .map(|o| o.plan.stan)
    }
}
