//! What goes out next on an account's line, and when.
use super::{Customer, Line, Waits};
use crate::{Wake, context::Context, io::Timer, signal::Signal};
use payterm_schema::{Time, account::Stan, outcome::Class};
use std::collections::BTreeSet;

impl Line {
    /// The request waits for this account.
    pub fn want(&mut self, cx: &mut Context, txn: u64, waits: Waits) {
        let new = Customer { txn, waits: None, hurried: false, tried: BTreeSet::new() };
        let same = self.customer.take().filter(|c| c.txn == txn);
        self.customer = Some(Customer { waits: Some(waits), ..same.unwrap_or(new) });
        if waits == Waits::Settle {
            return self.wanted_to_settle(cx);
        }
        if self.ready(cx, waits) {
            return;
        }
        let id = self.id().clone();
        let what = match cx.settling(&id) {
            Some(_) => "settling",
            None if cx.state.blocked(&id) => "reversing",
            None => "signing-in",
        };
        let owed = cx.owed(&id);
        cx.signal(Signal::NotYet { account: id, what, owed });
        // The customer does not pay for an earlier failure's backoff.
        self.sign_in.not_before = cx.now;
    }
    fn ready(&self, cx: &Context, waits: Waits) -> bool {
        match waits {
            Waits::Authorise => {
                self.exchanges.foreground().is_none()
                    && cx.signed_in(&self.account)
                    && !cx.state.blocked(self.id())
            }
            Waits::Control | Waits::Settle => self.exchanges.is_idle(),
        }
    }
    /// The request has its turn.
    fn serve(&mut self, cx: &mut Context) {
        if let Some(customer) = &mut self.customer {
            customer.waits = None;
        }
        cx.signal(Signal::Ready { account: self.id().clone() });
    }
    /// What goes out next in the customer's place; or the customer's turn.
    pub fn drive(&mut self, cx: &mut Context) {
        if cx.renumbered(self.id()) {
            self.never(cx, "account-renumbered", Class::D);
            cx.signal(Signal::SettlesBehind { account: self.id().clone() });
            return;
        }
        if self.exchanges.foreground().is_some() {
            return;
        }
        self.give_up_asking(cx);
        match self.waits() {
            // It may change the keys: an advice under way would be answered under the old ones.
            Some(Waits::Control) if self.exchanges.is_idle() => self.serve(cx),
            Some(Waits::Control) => {}
            Some(Waits::Authorise | Waits::Settle) | None if !cx.signed_in(&self.account) => {
                self.drive_sign_in(cx)
            }
            Some(Waits::Authorise | Waits::Settle) | None => self.drive_owed(cx),
        }
    }

    /// Advices leave beside it, from their own places.
    pub fn drive_advices(&mut self, cx: &mut Context) {
        if cx.renumbered(self.id()) {
            return;
        }
        while let Some((txn, stan)) = self.next_advice(cx) {
            if let Some(c) = self.customer.as_mut().filter(|c| c.waits == Some(Waits::Settle)) {
                c.tried.insert((txn, stan));
            }
            self.send_owed(cx, txn, stan);
        }
    }

    fn drive_sign_in(&mut self, cx: &mut Context) {
        let settling = cx.settling(self.id()).is_some_and(|s| !s.hold);
        let wanted = self.sign_in.wanted
            || self.waits().is_some()
            || settling
            || self.due_obligation(cx).is_some()
            || self.asking_due(cx).is_some_and(|t| t <= cx.now)
            || self.advice_due(cx).is_some_and(|t| t <= cx.now);
        if wanted && !self.account.config.auto_sign_in {
            self.never(cx, "not-signed-in", Class::D);
            cx.signal(Signal::SettlesBehind { account: self.id().clone() });
        } else if wanted && self.sign_in.not_before <= cx.now && self.exchanges.is_idle() {
            self.send_sign_in(cx);
        }
    }

    fn drive_owed(&mut self, cx: &mut Context) {
        let waits = self.waits();
        let hurry = waits.is_some() && self.customer.as_ref().is_some_and(|c| !c.hurried);
        // Nothing else of the account leaves while its batch is being closed.
        if cx.settling(self.id()).is_some() {
            return self.drive_settlement(cx, hurry);
        }
        if waits == Some(Waits::Settle) && self.drain_obligations(cx) {
            return;
        }
        let authorises = waits == Some(Waits::Authorise);
        let at_once = (hurry && authorises).then(|| cx.state.obligations.blocking(self.id())).flatten();
        if let Some((txn, stan)) = self.due_obligation(cx).or(at_once) {
            if let Some(c) = self.customer.as_mut().filter(|_| authorises) {
                c.hurried = true;
            }
            return self.send_owed(cx, txn, stan);
        }
        if let Some((txn, stan)) = self.due_query(cx) {
            return self.send_query(cx, txn, stan);
        }
        if authorises && !cx.state.blocked(self.id()) {
            self.serve(cx);
        }
    }

    fn due_obligation(&self, cx: &Context) -> Option<(u64, Stan)> {
        cx.state.obligations.due(self.id()).find(|o| cx.due_at(o) <= cx.now).map(|o| (o.txn, o.plan.stan))
    }

    pub(super) fn poll_timeout(&self, cx: &Context) -> Option<Wake> {
        let exchange = self.exchanges.until().map(|at| Wake { at, timer: Timer::Exchange });
        let next = self.next_message(cx).map(|at| Wake { at, timer: Timer::Line });
        let download = self.download_due(cx).map(|at| Wake { at, timer: Timer::Line });
        exchange.into_iter().chain(next).chain(download).min()
    }

    /// When there is something to send next.
    fn next_message(&self, cx: &Context) -> Option<Time> {
        let id = self.id();
        if cx.renumbered(id) {
            return None;
        }
        let (signed_in, settling) = (cx.signed_in(&self.account), cx.settling(id).is_some());
        let place = !signed_in || self.free_places() > 0;
        let advice = self.advice_due(cx).filter(|_| place && !settling);
        if self.exchanges.foreground().is_some() {
            return advice.filter(|_| signed_in);
        }
        if self.waits() == Some(Waits::Control) && !self.exchanges.is_idle() {
            return None;
        }
        let owed = if settling {
            self.settling_due(cx)
        } else {
            let owed = cx.state.obligations.due(id).map(|o| cx.due_at(o)).min();
            [owed, self.asking_due(cx), advice].into_iter().flatten().min()
        };
        if signed_in {
            return owed;
        }
        let wanted = if self.sign_in.wanted || self.waits().is_some() {
            Some(self.sign_in.not_before)
        } else {
            owed.map(|t| t.max(self.sign_in.not_before))
        };
        let can = self.account.config.auto_sign_in && self.exchanges.is_idle();
        [wanted.filter(|_| can), self.asking_over(cx)].into_iter().flatten().min()
    }
}
