//! The terminal's time: judged by every answer that bears its host's, and when the system clock was set.
use crate::context::Context;
use payterm_schema::{AccountId, HostAnswer, TerminalRecord, Time, record::ClockEvent, time::Millis};

/// A host clock further than this from ours is not believed without a supervisor.
const FAR: Millis = Millis::secs(15 * 60);

fn far(offset: Millis) -> bool {
    offset.0.abs() > FAR.0
}

impl Context {
    /// Time that no setting of the clock changes, in this run.
    pub fn steady(&self, at: Time) -> Millis {
        Millis(at.0 - self.clock_set.0)
    }

    /// Host's time, from F12 and F13, in the year that brings it nearest to ours; none without them.
    pub fn host_time(&self, id: &AccountId, answer: &HostAnswer) -> Option<Time> {
        let minutes = self.account(id)?.host_offset_minutes;
        Time::nearest(self.now, answer.date.as_deref()?, answer.time.as_deref()?, minutes)
    }

    /// Host time minus ours, from F12 and F13; none without them, or when it is too much to be believed.
    pub fn host_offset(&self, id: &AccountId, answer: &HostAnswer) -> Option<Millis> {
        self.host_time(id, answer).map(|host| host.since(self.now)).filter(|o| !far(*o))
    }

    /// Judges our time by the host's, in an answer that was made just now.
    pub fn judge_clock(&mut self, id: &AccountId, answer: &HostAnswer) {
        if let Some(host) = self.host_time(id, answer) {
            self.judge(id, host.since(self.now));
        }
    }

    /// A host that comes to differ by more than 15 minutes is shown and on record, and so is one that agrees
    /// while our time is in doubt.
    fn judge(&mut self, id: &AccountId, offset: Millis) {
        let Some(heard) = self.heard.get_mut(id) else { return };
        let off_by = Some(offset).filter(|o| far(*o));
        let differed = std::mem::replace(&mut heard.off_by, off_by).is_some();
        let doubtful = self.state.clock_doubt.is_some() || self.state.clock_behind.is_some();
        let account = id.clone();
        let event = match off_by {
            Some(_) if differed => return,
            Some(by) => {
                self.trouble("clock-jump");
                ClockEvent::HostDiffers { account, by }
            }
            None if doubtful => ClockEvent::Agrees { account },
            None => return,
        };
        self.record(None, TerminalRecord::Clock { event });
    }

    /// The system clock was set, by so much against the time that passed. Ours follows it at rest, and
    /// forward only.
    pub fn clock_jumped(&mut self, by: Millis) {
        self.record(None, TerminalRecord::Clock { event: ClockEvent::Jumped { by } });
        self.clock_moved |= by.0 < 0;
    }

    /// Judges our time anew, when it was set, by what the hosts said before.
    pub fn judge_again(&mut self) {
        if std::mem::take(&mut self.clock_moved) {
            for (id, ahead) in self.host_clocks.clone() {
                self.judge(&id, Millis(ahead.0 - self.clock_set.0));
            }
        }
    }
}
