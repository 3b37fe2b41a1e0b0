//! Settlement at a time of day, and reminders of it, by the host's clock.
use super::{Line, Lines};
use crate::{Wake, context::Context, io::Timer, signal::Signal};
use payterm_schema::{AccountId, Kind, Request, RequestKey, Time, caller::TERMINAL, time::Millis};

const DAY: i64 = 86_400_000;
/// Wait after one that came to nothing (line down, something Stuck): 15 minutes, doubled up to four hours.
const RETRY_AFTER: Millis = Millis::secs(900);
const RETRY_DOUBLED: u32 = 4;

impl Line {
    /// The last time of day before now at which the account is settled by itself.
    fn last_time(&self, cx: &Context) -> Option<Time> {
        let at = cx.settings.settlement.at?.minute() * 60_000;
        let offset =
            cx.state.ledger(self.id()).offset.0 + i64::from(self.account.host_offset_minutes) * 60_000;
        let local = cx.now.0 + offset;
        let today = local.div_euclid(DAY) * DAY + at;
        Some(Time(if today > local { today - DAY } else { today } - offset))
    }

    /// The time that is to be made up for; not while the journal is not to be trusted.
    fn missed_time(&self, cx: &Context) -> Option<Time> {
        if !cx.trusted() {
            return None;
        }
        let time = self.last_time(cx)?;
        let l = cx.state.accounts.get(self.id())?;
        let fits = self.account.rules.kinds.contains(&Kind::Settlement)
            && l.settling.is_none()
            && !cx.renumbered(self.id());
        (fits && l.totals_since.is_some_and(|s| s < time)).then_some(time)
    }

    /// Not before then, after one that came to nothing. A time that is still to come was another clock's.
    fn retry_at(&self, cx: &Context) -> Option<Time> {
        let l = cx.state.accounts.get(self.id())?;
        let last = l.auto_settled.filter(|t| l.auto_tries > 0 && *t <= cx.now)?;
        let at = last + Millis(RETRY_AFTER.0 << (l.auto_tries - 1).min(RETRY_DOUBLED));
        (at > cx.now).then_some(at)
    }

    /// When somebody is to be reminded of it, and of what: not before the display is free, or nobody in the
    /// shop would see it.
    fn reminder(&self, cx: &Context, display_free: Option<Time>) -> Option<(Time, &'static str)> {
        if !cx.trusted() {
            return None;
        }
        let c = &cx.settings.settlement;
        let since = cx.state.accounts.get(self.id())?.totals_since?;
        let before = self.reminded.unwrap_or(Time(i64::MIN));
        let soon = self
            .last_time(cx)
            .filter(|_| c.remind_minutes > 0)
            .map(|t| Time(t.0 + DAY - i64::from(c.remind_minutes) * 60_000));
        let soon = soon.filter(|t| *t > before).map(|t| (t, "settlement-soon"));
        let every = Millis(i64::from(c.remind_after_hours) * 3_600_000);
        let overdue = (every.0 > 0)
            .then(|| ((since + every).max(Time(before.0.saturating_add(every.0))), "settlement-overdue"));
        let (at, what) = soon.into_iter().chain(overdue).min_by_key(|(t, _)| *t)?;
        Some((display_free.map_or(at, |t| at.max(t)), what))
    }

    fn settles_at(&self, cx: &Context) -> Option<Time> {
        if self.missed_time(cx).is_some() {
            Some(self.retry_at(cx).unwrap_or(cx.now))
        } else {
            self.last_time(cx).map(|t| Time(t.0 + DAY))
        }
    }
}

impl Lines {
    /// When [`Self::drive_auto`] has something to do next; nothing while somebody is served.
    pub fn auto_due(&self, cx: &Context, display_free: Option<Time>) -> Option<Wake> {
        let held = |l: &&Line| cx.state.accounts.get(l.id()).is_some_and(|l| l.totals_since.is_some());
        let times = self.0.iter().filter(held).flat_map(|l| {
            [l.settles_at(cx), l.reminder(cx, display_free).map(|(t, _)| t)].into_iter().flatten()
        });
        times.min().map(|at| Wake { at, timer: Timer::Settlement })
    }

    /// Settles what is due, in a step of its own: what was just approved does not wait in one commit with it.
    /// Each has a key that no other ever has.
    pub fn drive_auto(&mut self, cx: &mut Context, display_free: Option<Time>) {
        if !cx.step.records.is_empty() {
            return;
        }
        let due = |l: &&Line| l.missed_time(cx).is_some() && l.retry_at(cx).is_none();
        if let Some(account) = self.0.iter().find(due).map(|l| l.id().clone()) {
            let (key, request) = own_settlement(cx, account);
            return cx.signal(Signal::Begin { key, request: Box::new(request) });
        }
        let reminder = self.0.iter_mut().find_map(|l| {
            let what = l.reminder(cx, display_free).filter(|(t, _)| *t <= cx.now).map(|(_, what)| what);
            what.map(|what| (l, what))
        });
        if let Some((line, what)) = reminder {
            line.reminded = Some(cx.now);
            cx.trouble(what);
        }
    }
}

/// Settlement that the terminal asks for itself.
pub(crate) fn own_settlement(cx: &Context, account: AccountId) -> (RequestKey, Request) {
    // With its number, which is above all that a restored journal has lost.
    let id = format!("settle-{account}-{}-{}", cx.state.ledger(&account).batch, cx.state.last_txn + 1);
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
