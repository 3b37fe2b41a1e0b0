//! Payments by code whose payer has not confirmed yet (host-protocol §8): the wallet is asked until its time
//! is over, then the payment is reversed. One road for the customer who waits at the counter and for what a
//! restart left behind.
use super::{Line, exchange::Purpose};
use crate::{context::Context, owed::advice_waits, view};
use payterm_schema::{
    HostAnswer, HostEvent, ObligationRecord, RequestRecord, Status, Time,
    account::Stan,
    host::{FrameTrace, MacVerdict, MessageKind, OriginalRef, Plan, RetryRule, SecretsFrom},
    outcome::{Authority, Class},
    record::{Asking, Ending, Obligation},
};

impl Line {
    fn asked<'a>(&self, cx: &'a Context) -> impl Iterator<Item = (&'a Obligation, Asking)> {
        cx.state.obligations.asking(self.id()).filter_map(|o| Some((o, o.asking?)))
    }
    /// When a wallet is to be asked, or its time is over.
    pub(super) fn asking_due(&self, cx: &Context) -> Option<Time> {
        self.asked(cx).map(|(_, a)| a.next.min(a.until)).min()
    }
    /// When the time of a wallet is over, signed in or not.
    pub(super) fn asking_over(&self, cx: &Context) -> Option<Time> {
        self.asked(cx).map(|(_, a)| a.until).min()
    }
    /// Payments whose time is over are reversed.
    pub(super) fn give_up_asking(&self, cx: &mut Context) {
        let over = self.asked(cx).filter(|(_, a)| a.until <= cx.now);
        let over: Vec<(u64, Stan)> = over.map(|(o, _)| (o.txn, o.plan.stan)).collect();
        over.into_iter().for_each(|(txn, stan)| cx.wallet_unclear(txn, stan));
    }
    /// One that is to be asked for now.
    pub(super) fn due_query(&self, cx: &Context) -> Option<(u64, Stan)> {
        self.asked(cx).find(|(_, a)| a.next <= cx.now).map(|(o, _)| (o.txn, o.plan.stan))
    }

    pub(super) fn send_query(&mut self, cx: &mut Context, txn: u64, stan: Stan) {
        let asked = cx.state.obligation(txn, stan).cloned();
        let Some((o, rule)) = asked.and_then(|o| cx.query_rule(&o).map(|rule| (o, rule))) else {
            unreachable!("the wallet of transaction {txn} is asked without a rule")
        };
        let original = OriginalRef {
            batch: Some(o.plan.batch),
            stan: Some(stan),
            date: cx.host_date(self.id(), o.plan.at + o.plan.offset),
            rrn: None,
            auth_code: None,
        };
        let plan = Plan {
            stan: cx.state.next_stan(self.id()),
            batch: cx.state.ledger(self.id()).batch,
            original: Some(original),
            at: cx.now,
            auth_code: None,
            ..o.plan
        };
        let (sent, next) = (Box::new(plan.clone()), cx.now + rule.every);
        cx.record(Some(txn), ObligationRecord::Queried { txn, stan, plan: sent, next });
        self.send(cx, Purpose::Query { txn, stan }, MessageKind::Query, plan, SecretsFrom::None, None);
    }

    pub(super) fn query_event(&mut self, cx: &mut Context, txn: u64, stan: Stan, event: HostEvent) {
        let HostEvent::Reply { answer, trace } = event else { return }; // Asked again at its next time.
        // A late answer to an earlier try may have ended it.
        let Some(o) = cx.state.obligation(txn, stan).filter(|o| o.asking.is_some()).cloned() else { return };
        let (id, rules) = (self.id(), &self.account.rules);
        if answer.mac == MacVerdict::Wrong || (rules.mac_on_replies && answer.mac != MacVerdict::Good) {
            let (account, why) = (id.clone(), "query without a good MAC".into());
            return cx
                .record(Some(txn), RequestRecord::Disregarded { txn, account, stan, why, answer, trace });
        }
        if let Some(why) = cx.not_its_answer(&o, &answer, true) {
            let (account, text) = (id.clone(), why.clone());
            let record = RequestRecord::Disregarded { txn, account, stan, why: text, answer, trace };
            cx.record(Some(txn), record);
            return cx.outdated(&why);
        }
        let (digit, class) = (answer.requirement, cx.class(id, &answer.code));
        match class {
            Class::P => {}
            // The host's or the line's trouble, not the payer's word: asked again at its next time.
            _ if advice_waits(rules, &answer) => {
                if rules.codes.get(&answer.code).is_some_and(|r| r.retry == RetryRule::SignIn) {
                    cx.sign_out(id, "the host asks for a sign-in");
                }
            }
            // The query names no amount: another one than was asked for is no clear word.
            Class::A if answer.amount.is_some_and(|a| Some(a) != o.plan.amount.map(|m| m.minor())) => {
                cx.wallet_unclear(txn, stan)
            }
            Class::A => paid(cx, txn, stan, &answer, trace),
            Class::B | Class::C | Class::D | Class::E => self.wallet_refused(cx, txn, stan, *answer, trace),
        }
        cx.requirement(self.id(), txn, digit);
    }

    /// A clear refusal: nothing was paid. One that says that the host does not know it, or that the issuer
    /// may have debited, is none: it is reversed at once.
    fn wallet_refused(&self, cx: &mut Context, txn: u64, stan: Stan, answer: HostAnswer, trace: FrameTrace) {
        let rules = &self.account.rules;
        let in_doubt = rules.reversal_ends.contains(&answer.code)
            || rules.codes.get(&answer.code).is_none_or(|r| r.reverse);
        if in_doubt {
            return cx.wallet_unclear(txn, stan);
        }
        let Some(mut outcome) = cx.told(txn) else { return };
        let class = cx.class(self.id(), &answer.code);
        view::with_answer(&mut outcome, &answer);
        view::ended(&mut outcome, Status::Declined, format!("host-{}", answer.code), class, cx.now);
        let how = Ending::Answered(answer.code);
        cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
        cx.finish(outcome);
    }
}

fn paid(cx: &mut Context, txn: u64, stan: Stan, answer: &HostAnswer, trace: FrameTrace) {
    let Some(mut outcome) = cx.told(txn) else { return };
    view::with_answer(&mut outcome, answer);
    cx.approve(&mut outcome, Authority::Host);
    let how = Ending::RequestAnswered;
    cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
    cx.finish(outcome);
}
