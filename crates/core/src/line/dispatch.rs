//! What comes back over an account's line, and whom it is for.
use super::{Line, exchange::Purpose};
use crate::{context::Context, signal::Signal};
use payterm_schema::{
    AccountId, HostEvent,
    host::{MacVerdict, MessageKind, Plan, SecretsFrom},
};

/// Whether the host made its answer just now: to what was sent before it may repeat the one of then, with the
/// time of then.
fn fresh(cx: &Context, id: &AccountId, purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Obligation { txn, stan } | Purpose::Advice { txn, stan } => {
            cx.state.obligation(*txn, *stan).is_some_and(|o| !o.had_left)
        }
        Purpose::Settlement { .. } => cx.settling(id).is_some_and(|s| !s.left),
        Purpose::Probe { .. } => true,
        // A query's answer speaks of its original; the others are judged when they are believed.
        Purpose::Query { .. } | Purpose::Request { .. } | Purpose::SignIn | Purpose::Download => false,
    }
}

impl Line {
    /// The request's message, which its record allows.
    pub fn send_request(
        &mut self,
        cx: &mut Context,
        txn: u64,
        plan: Plan,
        secrets: SecretsFrom,
        log: String,
    ) {
        let purpose = Purpose::Request { txn, stan: plan.stan };
        let until = self.send(cx, purpose, MessageKind::Request, plan, secrets, Some(log));
        cx.signal(Signal::Sent { until });
    }

    pub(super) fn host(&mut self, cx: &mut Context, tag: u64, event: HostEvent) {
        let late = matches!(event, HostEvent::Late { .. });
        let event = self.trust(cx, event);
        if !late && let Some(purpose) = self.exchanges.take(tag) {
            match &event {
                HostEvent::NoReply { .. } | HostEvent::Unusable { .. } => self.exchanges.miss(tag, purpose),
                HostEvent::Reply { answer, .. } => {
                    self.heard(cx);
                    if matches!(answer.mac, MacVerdict::Good | MacVerdict::NotUsed)
                        && fresh(cx, self.id(), &purpose)
                    {
                        cx.judge_clock(self.id(), answer);
                    }
                }
                HostEvent::NotSent { .. }
                | HostEvent::Untrusted { .. }
                | HostEvent::Unbuildable { .. }
                | HostEvent::Late { .. } => {}
            }
            self.dispatch(cx, purpose, event);
        } else if let Some(purpose) = self.exchanges.missed(tag)
            && let HostEvent::Late { answer, trace } | HostEvent::Reply { answer, trace } = event
        {
            self.late(cx, purpose, *answer, trace);
        }
    }

    /// A line that is not trusted is one that is down, with another word for people.
    fn trust(&self, cx: &mut Context, event: HostEvent) -> HostEvent {
        let id = self.id().clone();
        match event {
            HostEvent::Untrusted { why } => {
                cx.untrusted.insert(id, why.clone());
                HostEvent::NotSent { why }
            }
            HostEvent::NotSent { .. }
            | HostEvent::NoReply { .. }
            | HostEvent::Unusable { .. }
            | HostEvent::Reply { .. } => {
                cx.untrusted.remove(&id);
                event
            }
            HostEvent::Unbuildable { .. } | HostEvent::Late { .. } => event,
        }
    }

    /// A link that said nothing by its deadline is taken for dead, its message for unanswered.
    pub fn link_silent(&mut self, cx: &mut Context, tag: u64) {
        if let Some(purpose) = self.exchanges.take(tag) {
            self.exchanges.miss(tag, purpose);
            let why = "the link did not answer".into();
            self.dispatch(cx, purpose, HostEvent::NoReply { why, trace: Default::default() });
        }
    }

    fn dispatch(&mut self, cx: &mut Context, purpose: Purpose, event: HostEvent) {
        match purpose {
            Purpose::Request { txn, stan } => {
                cx.signal(Signal::Host { account: self.id().clone(), txn, stan, event })
            }
            Purpose::Advice { txn, stan } => {
                self.forwarded(cx, txn, &event);
                self.obligation_event(cx, txn, stan, event);
            }
            Purpose::Obligation { txn, stan } => self.obligation_event(cx, txn, stan, event),
            Purpose::Query { txn, stan } => self.query_event(cx, txn, stan, event),
            Purpose::SignIn => self.sign_in_event(cx, event),
            Purpose::Settlement { txn, stan } => self.settlement_event(cx, txn, stan, event),
            Purpose::Probe { call } => self.probed(cx, call, event),
            Purpose::Download => self.download_event(cx, event),
        }
    }
}
