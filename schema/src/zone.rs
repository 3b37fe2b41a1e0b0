//! Time zone of a terminal: of its slips, reports and screens, and of `paytermctl`.
use crate::Time;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Time zone by its IANA name (`Asia/Shanghai`), summer time included. Its data are the program's own, not
/// those of the machine. (The *host's* zone is an offset in the acquirer's profile.)
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Zone(TimeZone);

const RULE: &str = "the IANA name of a time zone, such as Asia/Shanghai";

impl Default for Zone {
    /// China: the first users are Chinese counters.
    fn default() -> Self {
        "Asia/Shanghai".parse().expect("a zone of the bundled data")
    }
}
impl FromStr for Zone {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        // A zone without a name of its own would come back as another one.
        let zone = TimeZone::get(name).ok().filter(|z| z.iana_name().is_some());
        zone.map(Self).ok_or(RULE)
    }
}
impl TryFrom<String> for Zone {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}
impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name().to_owned()
    }
}
impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

/// Out of the calendar's range it is the epoch: a clock that wrong is refused by the self-test.
fn timestamp(at: Time) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Zone {
    /// Names of all zones.
    pub fn names() -> impl Iterator<Item = String> {
        jiff::tz::db().available().map(|name| name.to_string())
    }
    pub fn name(&self) -> &str {
        self.0.iana_name().expect("a zone is made by its name")
    }
    fn offset(&self, at: Time) -> Offset {
        self.0.to_offset(timestamp(at))
    }
    /// Civil date and time.
    pub fn local(&self, at: Time) -> time::OffsetDateTime {
        at.at_offset(self.offset(at).seconds())
    }
    /// Text `YYYY-MM-DD HH:MM:SS`: the form of slips and screens. In the hour that comes twice, when summer
    /// time ends, it has its offset behind it: `+02:00`.
    pub fn text(&self, at: Time) -> String {
        let (t, offset) = (self.local(at), self.offset(at));
        let twice = self.0.to_ambiguous_timestamp(offset.to_datetime(timestamp(at)));
        let text = format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        );
        if !twice.is_ambiguous() {
            return text;
        }
        let minutes = offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{text} {sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    }
    /// Instant of a civil date and time. Of two in the hour that comes twice the `last` or the first; in the
    /// hour that does not come, the time as if the clock had not been set.
    pub fn instant(&self, civil: time::PrimitiveDateTime, last: bool) -> Option<Time> {
        let (date, clock) = (civil.date(), civil.time());
        let civil = DateTime::new(
            i16::try_from(date.year()).ok()?,
            u8::from(date.month()) as i8,
            date.day() as i8,
            clock.hour() as i8,
            clock.minute() as i8,
            clock.second() as i8,
            clock.nanosecond() as i32,
        );
        let found = self.0.to_ambiguous_timestamp(civil.ok()?);
        let found = if last && matches!(found.offset(), jiff::tz::AmbiguousOffset::Fold { .. }) {
            found.later()
        } else {
            found.compatible()
        };
        Some(Time(found.ok()?.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    fn at(t: time::OffsetDateTime) -> Time {
        Time(t.unix_timestamp() * 1000)
    }

    #[test]
    fn summer_time_is_in_the_text_and_the_hour_that_comes_twice_says_which() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        assert_eq!(berlin.text(at(datetime!(2026-01-15 11:00 UTC))), "2026-01-15 12:00:00");
        assert_eq!(berlin.text(at(datetime!(2026-07-15 11:00 UTC))), "2026-07-15 13:00:00");
        assert_eq!(berlin.text(at(datetime!(2026-10-25 00:30 UTC))), "2026-10-25 02:30:00 +02:00");
        assert_eq!(berlin.text(at(datetime!(2026-10-25 01:30 UTC))), "2026-10-25 02:30:00 +01:00");
        assert_eq!(berlin.text(at(datetime!(2026-10-25 02:30 UTC))), "2026-10-25 03:30:00");
        assert_eq!(Zone::default().text(at(datetime!(2026-07-15 11:00 UTC))), "2026-07-15 19:00:00");
        let st_johns: Zone = "America/St_Johns".parse().unwrap();
        assert_eq!(st_johns.text(at(datetime!(2026-01-15 11:00 UTC))), "2026-01-15 07:30:00");
        assert_eq!(Zone::default().text(Time(i64::MAX)), "1970-01-01 08:00:00");
    }

    #[test]
    fn a_typed_time_is_the_instant_that_it_names() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let instant = |t, last| berlin.instant(t, last).unwrap();
        assert_eq!(instant(datetime!(2026-07-15 13:00), false), at(datetime!(2026-07-15 11:00 UTC)));
        assert_eq!(instant(datetime!(2026-10-25 02:30), false), at(datetime!(2026-10-25 00:30 UTC)));
        assert_eq!(instant(datetime!(2026-10-25 02:30), true), at(datetime!(2026-10-25 01:30 UTC)));
        assert_eq!(instant(datetime!(2026-03-29 02:30), false), at(datetime!(2026-03-29 01:30 UTC)));
    }

    #[test]
    fn a_zone_is_known_by_its_name_only() {
        for good in ["Asia/Shanghai", "Asia/Kathmandu", "UTC", "Europe/Berlin"] {
            let zone: Zone = good.parse().expect(good);
            assert_eq!(serde_json::to_string(&zone).unwrap(), format!("\"{good}\""));
        }
        for bad in ["", "480", "+08:00", "Asia/Nowhere", "China time", "../../etc/passwd"] {
            assert_eq!(bad.parse::<Zone>(), Err(RULE), "{bad}");
        }
    }
}
