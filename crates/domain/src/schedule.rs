//! When a session is due.
//!
//! A schedule is a five-field cron expression, a macro (`@hourly`, `@daily`, `@midnight`,
//! `@weekly`, `@monthly`, `@yearly`, `@annually`) or `@every <duration>`, with `TZ=<zone> ` or
//! `CRON_TZ=<zone> ` in front if it is not meant in UTC. `@every` counts from the Unix epoch, so
//! that every process and every restart agrees on when it is due (`docs/compatibility.md`,
//! "Schedules").

use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::format;

/// A schedule that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not a cron expression of five fields.
    #[error(
        "failed to read schedule {schedule:?}: {reason}; use five fields (minute hour day month weekday) such as \"*/5 * * * *\", a macro such as @daily, or \"@every 1h30m\""
    )]
    Expression {
        /// The text given.
        schedule: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A time zone that does not exist.
    #[error(
        "failed to read schedule {schedule:?}: unknown time zone {zone:?}; use a name of the IANA database such as Europe/Berlin"
    )]
    TimeZone {
        /// The text given.
        schedule: String,
        /// The zone it names.
        zone: String,
    },
    /// An expression that can never come true, such as 30 February.
    #[error("failed to read schedule {0:?}: it never comes due")]
    Never(String),
}

impl ScheduleError {
    /// Stable name of the kind of error, for metrics and reasons.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Expression { .. } => "InvalidSchedule",
            Self::TimeZone { .. } => "InvalidTimeZone",
            Self::Never(_) => "ScheduleNeverDue",
        }
    }
}

/// A schedule that has been understood.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: TimeZone,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<croner::Cron>),
    Every(i64),
}

/// The highest value of each field, and what its values are called from the first one on.
const FIELDS: [(u8, u8, &[&str]); 5] = [
    (59, 0, &[]),
    (23, 0, &[]),
    (31, 1, &[]),
    (
        12,
        1,
        &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    ),
    (6, 0, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

/// Five fields as Kubernetes' CronJob reads them, in the words of the parser: `?` is `*`, and `N/S`
/// is every S from N on.
fn kubernetes_dialect(fields: &str) -> String {
    let fields = fields.split_whitespace().zip(FIELDS);
    let fields = fields.map(|(field, (highest, first, names))| {
        let parts = field.replace('?', "*");
        let parts = parts.split(',').map(|part| match part.split_once('/') {
            Some((from, step)) if !from.is_empty() && from != "*" && !from.contains('-') => {
                let named = names
                    .iter()
                    .position(|name| name.eq_ignore_ascii_case(from))
                    .and_then(|index| u8::try_from(index).ok());
                let from = named.map_or(from.to_owned(), |index| (first + index).to_string());
                format!("{from}-{highest}/{step}")
            }
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(",")
    });
    fields.collect::<Vec<_>>().join(" ")
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// If it is not one of the forms above, names an unknown zone, or never comes due.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let (zone, rest) = zone(text)?;
        let expression = |reason: &str| ScheduleError::Expression {
            schedule: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(every) = rest.strip_prefix("@every ") {
            let period = format::parse_go_duration(every.trim())
                .map_err(|_| expression("@every needs a duration"))?;
            let seconds = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
            if seconds < 1 || period != Duration::from_secs(period.as_secs()) {
                return Err(expression("@every needs whole seconds, at least one"));
            }
            return Ok(Self {
                zone,
                rule: Rule::Every(seconds),
            });
        }
        let fields = match rest {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other if other.starts_with('@') => return Err(expression("unknown macro")),
            other => other,
        };
        if fields.split_whitespace().count() != 5 {
            return Err(expression("it must have five fields"));
        }
        let fields = kubernetes_dialect(fields);
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(&fields)
            .map_err(|error| expression(&error.to_string()))?;
        let schedule = Self {
            zone,
            rule: Rule::Cron(Box::new(cron)),
        };
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }

    /// The first time after `instant` at which it is due; none if there is none within the range of
    /// the calendar.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Cron(cron) => cron
                .find_next_occurrence(&instant.to_zoned(self.zone.clone()), false)
                .ok()
                .map(|zoned| zoned.timestamp())
                // A clock set back repeats local times; a run is never scheduled into the past.
                .filter(|next| *next > instant),
            Rule::Every(seconds) => {
                let next = (instant.as_second().div_euclid(*seconds) + 1).checked_mul(*seconds)?;
                Timestamp::from_second(next).ok()
            }
        }
    }

    /// The latest time in `(after, until]` at which it was due; none if it was not.
    ///
    /// After downtime this is the one run to catch up on, however many were missed.
    pub fn last_due(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let due = match &self.rule {
            Rule::Cron(cron) => cron
                .find_previous_occurrence(&until.to_zoned(self.zone.clone()), true)
                .ok()?
                .timestamp(),
            Rule::Every(seconds) => {
                let due = until.as_second().div_euclid(*seconds) * seconds;
                Timestamp::from_second(due).ok()?
            }
        };
        (due > after && due <= until).then_some(due)
    }

    /// Time between the run that was due at `due` and the one after it: the deadline of a late
    /// start when no other is given. None if there is no later run.
    pub fn period_after(&self, due: Timestamp) -> Option<Duration> {
        let next = self.next_after(due)?;
        u64::try_from(next.as_second() - due.as_second())
            .ok()
            .map(Duration::from_secs)
    }
}

/// Takes the time zone off the front of a schedule.
fn zone(text: &str) -> Result<(TimeZone, &str), ScheduleError> {
    let trimmed = text.trim();
    let named = trimmed
        .strip_prefix("CRON_TZ=")
        .or_else(|| trimmed.strip_prefix("TZ="));
    let Some(named) = named else {
        return Ok((TimeZone::UTC, trimmed));
    };
    let (name, rest) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
    let zone = if name == "UTC" {
        Ok(TimeZone::UTC)
    } else {
        TimeZone::get(name)
    };
    zone.map(|zone| (zone, rest.trim()))
        .map_err(|_| ScheduleError::TimeZone {
            schedule: text.to_owned(),
            zone: name.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_run_is_the_first_one_after_the_instant() {
        let cases = [
            (
                "*/5 * * * *",
                "2024-09-19T10:30:46Z",
                "2024-09-19T10:35:00Z",
            ),
            (
                "*/5 * * * *",
                "2024-09-19T10:35:00Z",
                "2024-09-19T10:40:00Z",
            ),
            ("0 2 * * *", "2024-12-31T02:00:01Z", "2025-01-01T02:00:00Z"),
            ("@hourly", "2024-02-28T23:59:59Z", "2024-02-29T00:00:00Z"),
            ("@daily", "2024-02-28T23:59:59Z", "2024-02-29T00:00:00Z"),
            ("@midnight", "2024-02-28T23:59:59Z", "2024-02-29T00:00:00Z"),
            ("@weekly", "2024-09-19T10:30:46Z", "2024-09-22T00:00:00Z"),
            ("@monthly", "2024-09-19T10:30:46Z", "2024-10-01T00:00:00Z"),
            ("@yearly", "2024-09-19T10:30:46Z", "2025-01-01T00:00:00Z"),
            ("@annually", "2024-09-19T10:30:46Z", "2025-01-01T00:00:00Z"),
            (
                "30 4 1,15 * 5",
                "2024-09-19T10:30:46Z",
                "2024-09-20T04:30:00Z",
            ),
            (
                "0 0 ? * MON",
                "2024-09-19T10:30:46Z",
                "2024-09-23T00:00:00Z",
            ),
            (
                "0 9 * jan-mar mon-fri",
                "2024-12-30T00:00:00Z",
                "2025-01-01T09:00:00Z",
            ),
            ("0 0 29 2 *", "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            (
                "CRON_TZ=Asia/Tokyo 0 6 * * *",
                "2024-09-19T10:30:46Z",
                "2024-09-19T21:00:00Z",
            ),
            (
                "TZ=UTC 0 6 * * *",
                "2024-09-19T10:30:46Z",
                "2024-09-20T06:00:00Z",
            ),
            (
                "@every 1h30m",
                "1970-01-01T00:00:00Z",
                "1970-01-01T01:30:00Z",
            ),
            ("@every 10s", "2024-09-19T10:30:46Z", "2024-09-19T10:30:50Z"),
        ];
        for (schedule, instant, expected) in cases {
            let parsed = Schedule::parse(schedule).unwrap();
            assert_eq!(
                parsed.next_after(at(instant)).unwrap(),
                at(expected),
                "{schedule}"
            );
        }
    }

    #[test]
    fn a_start_with_a_step_means_the_same_as_in_a_cronjob_in_every_field() {
        let cases = [
            ("0/30 * * * *", "0-59/30 * * * *"),
            ("5/15 8-17 * * *", "5-59/15 8-17 * * *"),
            ("0 3/6 * * *", "0 3-23/6 * * *"),
            ("0 0 2/10 * *", "0 0 2-31/10 * *"),
            ("0 0 1 3/4 *", "0 0 1 3-12/4 *"),
            ("0 0 1 mar/4 *", "0 0 1 3-12/4 *"),
            ("0 0 * * 1/2", "0 0 * * 1-6/2"),
            ("0 0 * * TUE/2", "0 0 * * 2-6/2"),
            ("1,20/20 ?/6 * * *", "1,20-59/20 */6 * * *"),
        ];
        for (short, long) in cases {
            let (short_, long_) = (Schedule::parse(short), Schedule::parse(long).unwrap());
            let short_ = short_.unwrap_or_else(|error| panic!("{error}"));
            let mut instant = at("2024-09-19T10:30:46Z");
            for _ in 0..50 {
                let next = long_.next_after(instant).unwrap();
                assert_eq!(
                    short_.next_after(instant),
                    Some(next),
                    "{short} after {instant}"
                );
                instant = next;
            }
        }
        let runs = Schedule::parse("0/30 * * * *").unwrap();
        let next = runs.next_after(at("2024-09-19T10:30:00Z"));
        assert_eq!(next, Some(at("2024-09-19T11:00:00Z")));
        for bad in [
            "70/5 * * * *",
            "5/0 * * * *",
            "5/x * * * *",
            "0 0 * * 7/8/9",
        ] {
            assert_eq!(
                Schedule::parse(bad).unwrap_err().kind(),
                "InvalidSchedule",
                "{bad}"
            );
        }
    }

    #[test]
    fn a_skipped_local_hour_and_a_repeated_one_both_run_once() {
        let schedule = Schedule::parse("TZ=Europe/Berlin 30 2 * * *").unwrap();
        let mut runs = Vec::new();
        let mut instant = at("2024-03-29T12:00:00Z");
        for _ in 0..4 {
            instant = schedule.next_after(instant).unwrap();
            runs.push(instant);
        }
        assert!(runs.windows(2).all(|pair| pair[0] < pair[1]));
        let autumn = schedule.next_after(at("2024-10-26T12:00:00Z")).unwrap();
        let after = schedule.next_after(autumn).unwrap();
        assert!(after > autumn);
        assert!(after.as_second() - autumn.as_second() <= 25 * 3600 + 3600);
    }

    #[test]
    fn bad_schedules_are_refused_with_the_remedy() {
        let cases = [
            ("", "InvalidSchedule"),
            ("* * * *", "InvalidSchedule"),
            ("* * * * * *", "InvalidSchedule"),
            ("0 0 0 1 1 * 2030", "InvalidSchedule"),
            ("61 * * * *", "InvalidSchedule"),
            ("a b c d e", "InvalidSchedule"),
            ("@fortnightly", "InvalidSchedule"),
            ("@every", "InvalidSchedule"),
            ("@every 0s", "InvalidSchedule"),
            ("@every 1.5s", "InvalidSchedule"),
            ("@every -1h", "InvalidSchedule"),
            ("TZ=Nowhere/City * * * * *", "InvalidTimeZone"),
            ("TZ=UTC", "InvalidSchedule"),
            ("0 0 30 2 *", "ScheduleNeverDue"),
            ("${schedule}", "InvalidSchedule"),
        ];
        for (schedule, kind) in cases {
            let error = Schedule::parse(schedule).unwrap_err();
            assert_eq!(error.kind(), kind, "{schedule:?}: {error}");
            assert!(error.to_string().starts_with("failed to read schedule"));
        }
    }

    #[test]
    fn after_downtime_only_the_latest_missed_run_is_due() {
        let schedule = Schedule::parse("*/5 * * * *").unwrap();
        let (after, until) = (at("2024-09-19T10:30:00Z"), at("2024-09-19T11:02:10Z"));
        assert_eq!(
            schedule.last_due(after, until),
            Some(at("2024-09-19T11:00:00Z"))
        );
        assert_eq!(schedule.last_due(at("2024-09-19T11:00:00Z"), until), None);
        let exactly = at("2024-09-19T11:05:00Z");
        assert_eq!(schedule.last_due(until, exactly), Some(exactly));
        let every = Schedule::parse("@every 7m").unwrap();
        let due = every.last_due(after, until).unwrap();
        assert_eq!(due.as_second() % 420, 0);
        assert!(due > after && due <= until);
    }

    #[test]
    fn the_period_is_the_gap_to_the_following_run() {
        let schedule = Schedule::parse("0 2 * * *").unwrap();
        assert_eq!(
            schedule.period_after(at("2024-09-19T02:00:00Z")),
            Some(Duration::from_secs(86_400))
        );
    }
}
