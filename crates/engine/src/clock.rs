//! The only clock: milliseconds since 1970 that never go backwards while the daemon runs.
use payterm_schema::{Time, time::Millis};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Wall time at an anchor plus monotonic time since then: a step of the system clock neither expires a
/// deadline nor delays one. [`Clock::follow`] takes the steps over where no deadline suffers.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<(Time, Instant)>,
    /// Times that [`Clock::jumped`] last saw: wall, and the time since the machine was switched on, sleep
    /// included.
    seen: Mutex<(Time, Millis)>,
}

/// Day on which this program was made, moved with each release (1 November 2026): a clock that reads less was
/// never set, and no date before it is printed or believed.
pub const NOT_BEFORE: Time = Time(1_793_491_200_000);

/// Less is a clock that is set finely. 2 s.
const JUMP: Millis = Millis::secs(2);

impl Clock {
    pub fn start() -> Self {
        Self { anchor: Mutex::new((wall(), Instant::now())), seen: Mutex::new((wall(), uptime())) }
    }
    pub fn now(&self) -> Time {
        let (at, then) = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        Time(at.0.saturating_add(millis(then.elapsed())))
    }
    /// Takes the system clock's time over, unless it is behind: records never get earlier. To be called while
    /// nothing runs. Distance by which it was set.
    pub fn follow(&self) -> Millis {
        let (now, wall) = (self.now(), wall());
        if wall > now {
            *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = (wall, Instant::now());
        }
        Millis(wall.since(now).0.max(0))
    }
    /// Distance by which the system clock was set since the last call, against the time that passed; none:
    /// not, or only finely.
    pub fn jumped(&self) -> Option<Millis> {
        let now = (wall(), uptime());
        let before = std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), now);
        let by = Millis(now.0.since(before.0).0 - (now.1.0 - before.1.0));
        (by.0.abs() > JUMP.0).then_some(by)
    }
    /// The time from now until `t`; zero when it has passed.
    pub fn until(&self, t: Time) -> Duration {
        Duration::from_millis(u64::try_from(t.since(self.now()).0).unwrap_or(0))
    }
}

fn uptime() -> Millis {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Millis(t.tv_sec * 1000 + t.tv_nsec / 1_000_000)
}
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(millis(since))
}
fn millis(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_wall_time_and_rises() {
        let clock = Clock::start();
        let (a, wall) = (clock.now(), wall());
        assert!((wall.0 - a.0).abs() < 1_000);
        std::thread::sleep(Duration::from_millis(20));
        clock.follow();
        let b = clock.now();
        assert!((20..2_000).contains(&b.since(a).0));
        assert_eq!(clock.until(a), Duration::ZERO);
        assert!(clock.until(Time(b.0 + 5_000)) > Duration::from_secs(4));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_once() {
        let clock = Clock::start();
        assert_eq!(clock.jumped(), None);
        for (set, by) in [(-3_600_000, 3_600), (7_200_000, -7_200)] {
            clock.seen.lock().unwrap().0.0 += set;
            assert_eq!(clock.jumped().map(|j| (j.0 as f64 / 1000.0).round()), Some(f64::from(by)));
            assert_eq!(clock.jumped(), None);
        }
    }

    #[test]
    fn it_follows_a_step_forward_and_never_one_back() {
        let clock = Clock::start();
        *clock.anchor.lock().unwrap() = (Time(wall().0 + 3_600_000), Instant::now());
        let ahead = clock.now();
        clock.follow();
        assert!(clock.now() >= ahead, "the system clock was set back by an hour");
        *clock.anchor.lock().unwrap() = (Time(0), Instant::now());
        clock.follow();
        assert!((clock.now().0 - wall().0).abs() < 1_000, "the system clock was set for the first time");
    }
}
