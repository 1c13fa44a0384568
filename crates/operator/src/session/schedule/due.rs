//! What is due: pure, so that every case is a row of a table.

use std::time::Duration;

use jiff::Timestamp;
use kubestash_domain::schedule::Schedule;

/// Where the schedule of one session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The run that has not been made yet, as `status.sessions[].nextSchedule` has it; none before
    /// the first look and after a pause.
    pub next: Option<Timestamp>,
    /// Whether the configuration is paused or the session suspended.
    pub suspended: bool,
    /// Whether sessions can be made now: the configuration is Ready.
    pub ready: bool,
    /// `startingDeadlineSeconds`: how late a run may start; none: until the following run is due.
    pub starting_deadline: Option<Duration>,
}

/// A run that can no longer be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    /// When it was due.
    pub due: Timestamp,
    /// How late it is by now.
    pub late: Duration,
}

/// What to do about one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Due {
    /// The scheduled second of the run to make now.
    pub run: Option<Timestamp>,
    /// The run that came too late to be made.
    pub missed: Option<Missed>,
    /// The run after that: the new `nextSchedule`, and what the timer is set to.
    pub next: Option<Timestamp>,
    /// Whether to wake up at `next`. Not while the configuration is not Ready: its becoming Ready
    /// wakes up.
    pub wake: bool,
}

/// Decides what `schedule` asks for at `now`.
///
/// * Paused or suspended: nothing, and what falls due meanwhile is not made up for.
/// * Not Ready: nothing yet, but the cursor stays, so that the latest missed run is made once it is
///   Ready.
/// * Of several missed runs only the latest one is made, if it is not later than its deadline.
/// * A cursor in the future is worked out anew, so a changed schedule counts at once.
#[must_use]
pub(crate) fn due(schedule: &Schedule, cursor: Cursor, now: Timestamp) -> Due {
    if cursor.suspended {
        return Due::default();
    }
    let following = schedule.next_after(now);
    let Some(pending) = cursor.next.filter(|pending| *pending <= now) else {
        return Due {
            next: following,
            wake: cursor.ready,
            ..Due::default()
        };
    };
    if !cursor.ready {
        return Due {
            next: Some(pending),
            ..Due::default()
        };
    }
    let settled = Due {
        next: following,
        wake: true,
        ..Due::default()
    };
    // The run at the cursor itself counts, hence the instant just before it.
    let before = pending
        .checked_sub(Duration::from_secs(1))
        .unwrap_or(pending);
    let Some(latest) = schedule.last_due(before, now) else {
        return settled;
    };
    let late = Duration::from_secs(
        u64::try_from(now.as_second() - latest.as_second()).unwrap_or_default(),
    );
    match cursor.starting_deadline {
        Some(deadline) if late > deadline => Due {
            missed: Some(Missed { due: latest, late }),
            ..settled
        },
        // Without a deadline the latest run is never too late: a later one is not due yet.
        _ => Due {
            run: Some(latest),
            ..settled
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn cursor(next: Option<&str>) -> Cursor {
        Cursor {
            next: next.map(at),
            suspended: false,
            ready: true,
            starting_deadline: None,
        }
    }

    #[test]
    fn each_state_of_a_schedule_gives_its_run_and_its_next_run() {
        // cursor, now, schedule, run, next
        let cases = [
            (
                "the first look only plans",
                None,
                "10:31:10",
                "*/5 * * * *",
                None,
                Some("10:35:00"),
            ),
            (
                "nothing is due before its time",
                Some("10:35:00"),
                "10:34:59",
                "*/5 * * * *",
                None,
                Some("10:35:00"),
            ),
            (
                "due to the second",
                Some("10:35:00"),
                "10:35:00",
                "*/5 * * * *",
                Some("10:35:00"),
                Some("10:40:00"),
            ),
            (
                "a little late",
                Some("10:35:00"),
                "10:36:12",
                "*/5 * * * *",
                Some("10:35:00"),
                Some("10:40:00"),
            ),
            (
                "only the latest of many",
                Some("08:35:00"),
                "10:36:12",
                "*/5 * * * *",
                Some("10:35:00"),
                Some("10:40:00"),
            ),
            (
                "an earlier schedule counts at once",
                Some("23:00:00"),
                "10:36:12",
                "*/5 * * * *",
                None,
                Some("10:40:00"),
            ),
            (
                "a later schedule counts at once",
                Some("10:40:00"),
                "10:36:12",
                "0 23 * * *",
                None,
                Some("23:00:00"),
            ),
            (
                "a changed schedule makes up for nothing",
                Some("10:35:00"),
                "10:36:12",
                "2 10 * * *",
                None,
                None,
            ),
        ];
        let day = |time: &str| at(&format!("2024-09-19T{time}Z"));
        for (case, next, now, schedule, run, following) in cases {
            let schedule = Schedule::parse(schedule).unwrap();
            let found = due(
                &schedule,
                Cursor {
                    next: next.map(day),
                    ..cursor(None)
                },
                day(now),
            );
            assert_eq!(found.run, run.map(day), "{case}");
            let following =
                following.map_or_else(|| schedule.next_after(day(now)), |time| Some(day(time)));
            assert_eq!(found.next, following, "{case}");
            assert!(found.wake, "{case}");
            assert_eq!(found.missed, None, "{case}");
        }
    }

    #[test]
    fn a_run_later_than_its_deadline_is_told_and_not_made() {
        let schedule = Schedule::parse("0 2 * * *").unwrap();
        let pending = Cursor {
            starting_deadline: Some(Duration::from_secs(600)),
            ..cursor(Some("2024-09-19T02:00:00Z"))
        };
        let in_time = due(&schedule, pending, at("2024-09-19T02:10:00Z"));
        assert_eq!(in_time.run, Some(at("2024-09-19T02:00:00Z")));
        let late = due(&schedule, pending, at("2024-09-19T02:10:01Z"));
        assert_eq!(late.run, None);
        let missed = Missed {
            due: at("2024-09-19T02:00:00Z"),
            late: Duration::from_secs(601),
        };
        assert_eq!(late.missed, Some(missed));
        assert_eq!(late.next, Some(at("2024-09-20T02:00:00Z")));
    }

    #[test]
    fn when_the_clock_was_set_back_the_next_run_is_the_next_one_by_the_new_clock() {
        let schedule = Schedule::parse("*/5 * * * *").unwrap();
        for ahead in ["2024-09-19T11:35:00Z", "2024-09-20T10:35:00Z"] {
            let found = due(&schedule, cursor(Some(ahead)), at("2024-09-19T10:31:00Z"));
            assert_eq!((found.run, found.missed), (None, None));
            assert_eq!(found.next, Some(at("2024-09-19T10:35:00Z")));
            assert!(found.wake);
        }
    }

    #[test]
    fn a_pause_forgets_what_fell_due_in_it() {
        let schedule = Schedule::parse("*/5 * * * *").unwrap();
        let paused = Cursor {
            suspended: true,
            ..cursor(Some("2024-09-19T10:35:00Z"))
        };
        assert_eq!(
            due(&schedule, paused, at("2024-09-19T10:50:00Z")),
            Due::default()
        );
        let resumed = due(&schedule, cursor(None), at("2024-09-19T10:52:00Z"));
        assert_eq!(resumed.run, None);
        assert_eq!(resumed.next, Some(at("2024-09-19T10:55:00Z")));
    }

    #[test]
    fn what_falls_due_while_not_ready_is_made_once_when_ready_again() {
        let schedule = Schedule::parse("*/5 * * * *").unwrap();
        let now = at("2024-09-19T10:52:00Z");
        let broken = Cursor {
            ready: false,
            ..cursor(Some("2024-09-19T10:35:00Z"))
        };
        let held = due(&schedule, broken, now);
        assert_eq!((held.run, held.wake), (None, false));
        assert_eq!(held.next, broken.next);
        let mended = due(
            &schedule,
            Cursor {
                ready: true,
                ..broken
            },
            now,
        );
        assert_eq!(mended.run, Some(at("2024-09-19T10:50:00Z")));
        assert_eq!(mended.next, Some(at("2024-09-19T10:55:00Z")));
        // And not again after that.
        let after = due(
            &schedule,
            Cursor {
                next: mended.next,
                ..cursor(None)
            },
            now,
        );
        assert_eq!(after.run, None);
    }

    #[test]
    fn however_often_it_is_asked_every_run_is_made_once() {
        let schedule = Schedule::parse("@every 7s").unwrap();
        let mut state = cursor(None);
        let mut runs = Vec::new();
        for second in 0..70 {
            let found = due(
                &schedule,
                state,
                Timestamp::from_second(1_700_000_000 + second).unwrap(),
            );
            runs.extend(found.run);
            state.next = found.next;
        }
        assert_eq!(runs.len(), 10);
        assert!(
            runs.windows(2)
                .all(|pair| pair[1].as_second() - pair[0].as_second() == 7)
        );
    }
}
