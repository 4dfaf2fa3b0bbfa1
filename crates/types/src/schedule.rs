//! Weekly hours: when in the week something holds, by the clock on somebody's wall.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{Validate, Violations};

const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;
const MAX_WINDOWS: usize = 32;

/// Hours of the week. The clock is that of the zone, with its summer time: an hour that the clock
/// skips does not come, one that it repeats comes twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The zone's name in the IANA database: `Europe/Paris`.
    pub zone: String,
    /// When it holds: in any of these, 1 to 32.
    #[schema(min_items = 1, max_items = 32)]
    pub windows: Vec<WeeklyWindow>,
}

/// The same hours on some days of each week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeeklyWindow {
    /// The days on which it begins; at least one, each once.
    #[schema(min_items = 1, max_items = 7)]
    pub days: Vec<Weekday>,
    /// When it begins.
    pub from: TimeOfDay,
    /// When it has ended. If this is not after `from`, it is the next day's.
    pub to: TimeOfDay,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// All of them, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];
}

/// A time of the day to the minute, `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Cow<'_, str>")]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes since midnight.
    #[must_use]
    pub fn minutes(self) -> u16 {
        self.0
    }
}

impl Schedule {
    /// The hours as minutes since Monday 00:00, each from its first minute to before its end.
    /// None goes beyond the week: what does is in two parts.
    #[must_use]
    pub fn minutes(&self) -> Vec<(u16, u16)> {
        let mut found = Vec::new();
        for window in &self.windows {
            let (from, mut to) = (window.from.0, window.to.0);
            if to <= from {
                to += DAY;
            }
            for day in &window.days {
                let midnight = *day as u16 * DAY;
                let (from, to) = (midnight + from, midnight + to);
                found.push((from, to.min(WEEK)));
                if to > WEEK {
                    found.push((0, to - WEEK));
                }
            }
        }
        found
    }
}

impl Validate for Schedule {
    fn validate(&self, found: &mut Violations) {
        found.text("zone", &self.zone, 64);
        if !(1..=MAX_WINDOWS).contains(&self.windows.len()) {
            found.report("windows", format!("must have 1 to {MAX_WINDOWS} windows"));
        }
        found.within("windows", |found| {
            for (index, window) in self.windows.iter().enumerate() {
                found.within(&index.to_string(), |found| window.validate(found));
            }
        });
    }
}

impl Validate for WeeklyWindow {
    fn validate(&self, found: &mut Violations) {
        if self.days.is_empty() {
            found.report("days", "must name at least one day; empty never means all");
        }
        let twice = |(index, day): (usize, &Weekday)| self.days[..index].contains(day);
        if self.days.iter().enumerate().any(twice) {
            found.report("days", "must name each day once");
        }
        if self.from.0 >= DAY {
            found.report("from", "must be before 24:00");
        }
        if self.from == self.to {
            found.report(
                "to",
                "must not be the same as `from`; the whole day is 00:00 to 24:00",
            );
        }
    }
}

impl FromStr for TimeOfDay {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "expected HH:MM, 00:00 to 24:00";
        let (hours, minutes) = text.split_once(':').ok_or(BAD)?;
        let number = |digits: &str| match digits.as_bytes() {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                Ok(u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
            }
            _ => Err(BAD),
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let time = hours * 60 + minutes;
        if minutes > 59 || time > DAY {
            return Err(BAD);
        }
        Ok(Self(time))
    }
}

impl TryFrom<Cow<'_, str>> for TimeOfDay {
    type Error = &'static str;

    fn try_from(text: Cow<'_, str>) -> Result<Self, &'static str> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl PartialSchema for TimeOfDay {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A time of the day, 00:00 to 24:00."))
            .pattern(Some("^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"))
            .examples(["08:30"])
            .into()
    }
}

impl ToSchema for TimeOfDay {}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(days: &[Weekday], from: &str, to: &str) -> Schedule {
        let window = WeeklyWindow {
            days: days.to_vec(),
            from: from.parse().expect("is a time"),
            to: to.parse().expect("is a time"),
        };
        Schedule {
            zone: "Europe/Paris".to_owned(),
            windows: vec![window],
        }
    }

    #[test]
    fn hours_become_minutes_of_the_week() {
        use Weekday::{Mon, Sun, Tue};
        let office = schedule(&[Mon, Tue], "08:30", "18:00");
        assert_eq!(office.minutes(), [(510, 1080), (1950, 2520)]);
        let night = schedule(&[Sun], "22:00", "06:00");
        assert_eq!(night.minutes(), [(9960, 10_080), (0, 360)]);
        let evening = schedule(&[Sun], "22:00", "24:00");
        assert_eq!(evening.minutes(), [(9960, 10_080)]);
        let all_day = schedule(&[Mon], "00:00", "24:00");
        assert_eq!(all_day.minutes(), [(0, 1440)]);
    }

    #[test]
    fn senseless_hours_are_pointed_at() {
        let mut found = Violations::default();
        let mut wrong = schedule(&[Weekday::Mon, Weekday::Mon], "24:00", "24:00");
        wrong.validate(&mut found);
        wrong.windows[0].days.clear();
        wrong.windows[0].from = "01:00".parse().expect("is a time");
        wrong.validate(&mut found);
        wrong.windows.clear();
        wrong.validate(&mut found);
        let pointers: Vec<_> = found.into_fields().into_iter().map(|f| f.pointer).collect();
        assert_eq!(
            pointers,
            [
                "/windows/0/days",
                "/windows/0/from",
                "/windows/0/to",
                "/windows/0/days",
                "/windows"
            ]
        );
        for bad in ["8:30", "08:60", "24:01", "0830", "-1:00", "08:3x"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }
}
