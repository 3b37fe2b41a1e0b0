//! The instant type of records, timers and outcomes. Only the daemon reads a clock; everybody else is told the time.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Time(pub i64);

/// A span in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    pub const fn secs(s: i64) -> Self {
        Self(s * 1000)
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

    /// Civil date and time at `offset_minutes` east of UTC (China: 480).
    pub fn local(self, offset_minutes: i32) -> time::OffsetDateTime {
        let shift = i64::from(offset_minutes) * 60;
        // Out of the calendar's range (years beyond 9999) falls back to the epoch: a clock that wrong is refused by self-test.
        let utc = time::OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let offset = time::UtcOffset::from_whole_seconds(shift as i32).unwrap_or(time::UtcOffset::UTC);
        utc.to_offset(offset)
    }

    /// `YYYY-MM-DD HH:MM:SS` at that offset: the form of slips and screens.
    pub fn text(self, offset_minutes: i32) -> String {
        let t = self.local(offset_minutes);
        format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute(), t.second())
    }
}
