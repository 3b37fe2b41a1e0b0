//! Settlement at a time of day, and reminders of it, by the host's clock.
use crate::{AccountSettings, Machine};
use payterm_schema::{AccountId, Kind, Request, RequestKey, Time, caller::TERMINAL, time::Millis};

const DAY: i64 = 86_400_000;
/// Wait after one that came to nothing (line down, something Stuck): 15 minutes, doubled up to four hours.
const AGAIN: Millis = Millis::secs(900);
const AGAIN_DOUBLED: u32 = 4;

impl Machine {
    /// The last time of day before now at which the account is settled by itself.
    fn last_time(&self, a: &AccountSettings) -> Option<Time> {
        let at = self.settings.settlement.at?.minute() * 60_000;
        let offset = self.state.ledger(&a.config.id).offset.0 + i64::from(a.host_offset_minutes) * 60_000;
        let local = self.now.0 + offset;
        let today = local.div_euclid(DAY) * DAY + at;
        Some(Time(if today > local { today - DAY } else { today } - offset))
    }

    /// The time that is to be made up for; not while the journal is not to be trusted.
    fn due_time(&self, a: &AccountSettings) -> Option<Time> {
        self.trusted()?;
        let time = self.last_time(a)?;
        let l = self.state.accounts.get(&a.config.id)?;
        let fits = a.rules.kinds.contains(&Kind::Settlement)
            && l.settling.is_none()
            && !self.renumbered(&a.config.id);
        (fits && l.totals_since.is_some_and(|s| s < time)).then_some(time)
    }

    /// Not before then, after one that came to nothing. A time that is still to come was another clock's.
    fn again_at(&self, a: &AccountSettings) -> Option<Time> {
        let l = self.state.accounts.get(&a.config.id)?;
        let last = l.auto_settled.filter(|t| l.auto_tries > 0 && *t <= self.now)?;
        let at = last + Millis(AGAIN.0 << (l.auto_tries - 1).min(AGAIN_DOUBLED));
        (at > self.now).then_some(at)
    }

    /// When somebody is to be reminded of it, and of what: not before the display is free, or nobody in the
    /// shop would see it.
    fn reminder(&self, a: &AccountSettings) -> Option<(Time, &'static str)> {
        self.trusted()?;
        let c = &self.settings.settlement;
        let since = self.state.accounts.get(&a.config.id)?.totals_since?;
        let before = self.reminded.get(&a.config.id).copied().unwrap_or(Time(i64::MIN));
        let soon = self
            .last_time(a)
            .filter(|_| c.remind_minutes > 0)
            .map(|t| Time(t.0 + DAY - i64::from(c.remind_minutes) * 60_000));
        let soon = soon.filter(|t| *t > before).map(|t| (t, "settlement-soon"));
        let every = Millis(i64::from(c.remind_after_hours) * 3_600_000);
        let overdue = (every.0 > 0)
            .then(|| ((since + every).max(Time(before.0.saturating_add(every.0))), "settlement-overdue"));
        let (at, what) = soon.into_iter().chain(overdue).min_by_key(|(t, _)| *t)?;
        Some((self.timed.as_ref().map_or(at, |t| at.max(t.until)), what))
    }

    /// When [`Machine::drive_auto`] has something to do next.
    pub(crate) fn settlement_due(&self) -> Option<Time> {
        let held = |a: &&AccountSettings| {
            self.state.accounts.get(&a.config.id).is_some_and(|l| l.totals_since.is_some())
        };
        let idle = self.idle();
        let times = self.settings.accounts.iter().filter(held).filter(|_| idle).flat_map(|a| {
            let next = if self.due_time(a).is_some() {
                Some(self.again_at(a).unwrap_or(self.now))
            } else {
                self.last_time(a).map(|t| Time(t.0 + DAY))
            };
            [next, self.reminder(a).map(|(t, _)| t)]
        });
        times.flatten().min()
    }

    /// Nobody is served, and nobody types.
    pub(crate) fn idle(&self) -> bool {
        self.state.running.is_none() && self.flow.is_none() && !self.at_the_desk()
    }

    pub(crate) fn own_settlement(&self, account: AccountId) -> (RequestKey, Request) {
        // With its number, which is above all that a restored journal has lost.
        let id =
            format!("settle-{account}-{}-{}", self.state.ledger(&account).batch, self.state.last_txn + 1);
        let request = Request {
            id: id.clone(),
            kind: Kind::Settlement,
            amount: None,
            account: Some(account),
            original: None,
            auth_code: None,
            modes: Vec::new(),
            confirm: false,
            cancel_on_caller_lost: false,
            note: None,
        };
        (RequestKey { app: TERMINAL.into(), id }, request)
    }

    /// Settles what is due, in a step of its own: what was just approved does not wait in one commit with it.
    /// Each has a key that no other ever has.
    pub(crate) fn drive_auto(&mut self) {
        if !self.idle() || !self.step.records.is_empty() {
            return;
        }
        let due = |a: &&AccountSettings| self.due_time(a).is_some() && self.again_at(a).is_none();
        if let Some(account) = self.settings.accounts.iter().find(due).map(|a| a.config.id.clone()) {
            let (key, request) = self.own_settlement(account);
            return self.start(0, key, request);
        }
        let reminder = self.settings.accounts.iter().find_map(|a| {
            self.reminder(a).filter(|(t, _)| *t <= self.now).map(|(_, what)| (a.config.id.clone(), what))
        });
        if let Some((account, what)) = reminder {
            self.reminded.insert(account, self.now);
            self.trouble(what);
        }
    }
}
