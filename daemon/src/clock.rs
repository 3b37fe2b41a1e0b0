//! The only clock: milliseconds since 1970 that never go backwards while the daemon runs.
use payterm_schema::Time;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Wall time at an anchor plus monotonic time since then: a step of the system clock neither expires a deadline nor delays
/// one. [`Clock::follow`] takes the steps over where no deadline suffers.
#[derive(Debug)]
pub struct Clock {
    anchor: Mutex<(Time, Instant)>,
}

impl Clock {
    pub fn start() -> Self {
        Self { anchor: Mutex::new((wall(), Instant::now())) }
    }
    pub fn now(&self) -> Time {
        let (at, then) = *self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        Time(at.0.saturating_add(millis(then.elapsed())))
    }
    /// Takes the system clock's time over, unless it is behind: records never get earlier. To be called while nothing runs.
    pub fn follow(&self) {
        let (now, wall) = (self.now(), wall());
        if wall > now {
            *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = (wall, Instant::now());
        }
    }
    /// The time from now until `t`; zero when it has passed.
    pub fn until(&self, t: Time) -> Duration {
        Duration::from_millis(u64::try_from(t.since(self.now()).0).unwrap_or(0))
    }
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
