//! Time of records, timers and outcomes. Only the engine reads a clock; everybody else is told the time.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Time(pub i64);

/// Span of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    pub const fn secs(s: i64) -> Self {
        Self(s * 1000)
    }
    pub const fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Add<Millis> for Time {
    type Output = Time;
    fn add(self, d: Millis) -> Time {
        Time(self.0.saturating_add(d.0))
    }
}

impl Time {
    /// Span since `earlier`; negative when `earlier` is later.
    pub fn since(self, earlier: Time) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Civil date and time of a host, at `offset_minutes` east of UTC (China: 480). The terminal's own is
    /// [`Zone::local`](crate::zone::Zone::local).
    pub fn local(self, offset_minutes: i32) -> time::OffsetDateTime {
        self.at_offset(offset_minutes.saturating_mul(60))
    }
    pub(crate) fn at_offset(self, seconds: i32) -> time::OffsetDateTime {
        // Out of the calendar's range (years beyond 9999) falls back to the epoch: a clock that wrong is
        // refused by self-test.
        let utc = time::OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000))
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let offset = time::UtcOffset::from_whole_seconds(seconds).unwrap_or(time::UtcOffset::UTC);
        utc.to_offset(offset)
    }

    /// Instant of a host's F13 (MMDD) and F12 (hhmmss) at `offset_minutes`. They have no year: it is the one
    /// that makes the date nearest to `now`. None when they are no date and time.
    pub fn nearest(now: Time, mmdd: &str, hhmmss: &str, offset_minutes: i32) -> Option<Time> {
        let two = |s: &str, at: usize| s.get(at..at + 2)?.parse::<u8>().ok();
        let month = time::Month::try_from(two(mmdd, 0)?).ok()?;
        let (day, clock) =
            (two(mmdd, 2)?, time::Time::from_hms(two(hhmmss, 0)?, two(hhmmss, 2)?, two(hhmmss, 4)?).ok()?);
        let offset = time::UtcOffset::from_whole_seconds(offset_minutes.checked_mul(60)?).ok()?;
        let year = now.local(offset_minutes).year();
        let at = |y: i32| {
            Some(Time(
                time::Date::from_calendar_date(y, month, day)
                    .ok()?
                    .with_time(clock)
                    .assume_offset(offset)
                    .unix_timestamp()
                    * 1000,
            ))
        };
        (year - 1..=year + 1).filter_map(at).min_by_key(|t| t.since(now).0.unsigned_abs())
    }
}
