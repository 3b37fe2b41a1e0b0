//! Effects that are released and not carried out yet: in order, but those who wait for an answer go first.
use super::{TerminalActor, effects, troubles::OfStaff};
use crate::commit::Facing;
use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use payterm_core::{Ask, Effect};
use payterm_schema::{InhibitReason, Notice, Outcome, RequestKey, Screen};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Pause between an outcome and what comes with it (its screen, its papers). 1 ms: on its way to the
/// caller it needs the processor itself.
const OUTCOME_PACING: Duration = Duration::from_millis(1);

/// Work that waits for the disk.
pub(crate) enum Out {
    Ask(Ask),
    Effect(Effect),
    /// Hands over what a caller saw of the machine.
    Seen(Box<dyn FnOnce() + Send>),
    Inhibits(BTreeSet<InhibitReason>),
    Staff(OfStaff),
    Shown(Box<(Option<RequestKey>, Screen)>),
}

impl Out {
    /// Tells whether somebody waits for it.
    fn awaited(&self) -> bool {
        matches!(self, Self::Effect(Effect::Answer { .. } | Effect::Send(_))) || self.is_outcome()
    }
    /// What it is to an ask of a later step.
    pub fn facing(&self) -> Option<Facing> {
        match self {
            Self::Ask(ask) => Some(Facing::of_ask(ask)),
            Self::Effect(effect) => Facing::of_effect(effect),
            Self::Seen(_) | Self::Inhibits(_) | Self::Staff(_) | Self::Shown(_) => None,
        }
    }
    fn is_outcome(&self) -> bool {
        matches!(self, Self::Effect(Effect::Tell(n)) if matches!(**n, Notice::Outcome { .. }))
    }
    pub fn outcome_mut(&mut self) -> Option<&mut Arc<Outcome>> {
        if let Self::Effect(Effect::Tell(notice)) = self
            && let Notice::Outcome { outcome } = &mut **notice
        {
            return Some(outcome);
        }
        None
    }
}

impl TerminalActor {
    /// Carries out in order. After what somebody waits for (an answer, a frame, an outcome) that somebody
    /// goes on first: the screens and papers of the same step come when the executor is back here. After an
    /// answer nothing else is taken before: the next step's commit would hold up its way to the caller, and
    /// with it what the caller asks next.
    pub(super) fn release(&mut self, out: Vec<Out>, ctx: &mut Context<Self>) {
        self.outbox.extend(out);
        if self.outbox.iter().any(Out::awaited) {
            self.pacing = false;
        }
        while !(self.yielding || self.pacing)
            && let Some(one) = self.outbox.pop_front()
        {
            let (awaited, told) = (one.awaited(), one.is_outcome());
            let answered = matches!(one, Out::Effect(Effect::Answer { .. }));
            self.one(one, ctx);
            if answered {
                ctx.wait(tokio::task::yield_now().into_actor(self));
            }
            if !awaited || self.outbox.is_empty() {
                continue;
            }
            // The bus's own program wants this processor next: with an outcome nothing else is urgent.
            if told && !self.outbox.iter().any(Out::awaited) {
                self.pacing = true;
                ctx.run_later(OUTCOME_PACING, |act, ctx| {
                    act.pacing = false;
                    act.release(Vec::new(), ctx);
                });
                continue;
            }
            self.yielding = true;
            ctx.spawn(tokio::task::yield_now().into_actor(self).map(|(), act, ctx| {
                act.yielding = false;
                act.release(Vec::new(), ctx);
            }));
        }
    }
    fn one(&mut self, out: Out, ctx: &mut Context<Self>) {
        match out {
            Out::Ask(ask) => self.ask(ask, ctx),
            Out::Effect(effect) => self.carry_out(effect, ctx),
            Out::Seen(hand_over) => hand_over(),
            Out::Staff(trouble) => self.troubles.log_staff(trouble),
            Out::Shown(shown) => {
                let (running, screen) = *shown;
                self.services.show_info(|info| (info.running, info.screen) = (running, screen));
            }
            Out::Inhibits(now) => {
                let changed = self.services.inhibits.send_if_modified(|was| {
                    let other = *was != now;
                    was.clone_from(&now);
                    other
                });
                if changed {
                    self.services.show_info(|info| info.inhibit_reasons = now.iter().copied().collect());
                    effects::tell(&self.services, Notice::Inhibited { reasons: now.into_iter().collect() });
                }
            }
        }
    }
    /// Carries out at once what is released.
    pub(super) fn flush(&mut self, ctx: &mut Context<Self>) {
        while let Some(one) = self.outbox.pop_front() {
            self.one(one, ctx);
        }
    }
}
