//! Retention against cases computed by hand and against a slow, obvious model.
#![cfg(test)]

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::ISOWeekDate;
use jiff::tz::TimeZone;
use kubestash_domain::retention::{Candidate, Counts, Outcome, Rules, in_future, stale};
use proptest::prelude::*;

/// Thursday, 19 September 2024, noon: the moment of every case.
const NOW: &str = "2024-09-19T12:00:00Z";

/// Parses `"a* 2024-09-19T11:00 s, b 2024-09-18T11:00 f"`: name (a star: the session's own), time,
/// and succeeded, failed or running.
fn history(text: &str) -> Vec<Candidate> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let parts: Vec<&str> = entry.split_whitespace().collect();
            let [name, time, outcome] = parts[..] else {
                panic!("bad entry {entry:?}")
            };
            Candidate {
                name: name.trim_end_matches('*').to_owned(),
                time: format!("{time}:00Z").parse().unwrap(),
                created: format!("{time}:00Z").parse().unwrap(),
                own: name.ends_with('*'),
                outcome: match outcome {
                    "s" => Outcome::Succeeded,
                    "f" => Outcome::Failed,
                    "r" => Outcome::Unfinished,
                    other => panic!("bad outcome {other:?}"),
                },
            }
        })
        .collect()
}

/// Parses `"period=86400 last=5 hourly=2 failed=1"`; failed is 1 if not given, as the API defaults
/// it.
fn rules(text: &str) -> Rules {
    let mut rules = Rules {
        failed_last: 1,
        ..Rules::default()
    };
    for rule in text.split_whitespace() {
        let (key, value) = rule.split_once('=').unwrap();
        let count = Some(value.parse::<i32>().unwrap());
        match key {
            "period" => rules.max_age_minutes = Some(value.parse().unwrap()),
            "last" => rules.successful.last = count,
            "hourly" => rules.successful.hourly = count,
            "daily" => rules.successful.daily = count,
            "weekly" => rules.successful.weekly = count,
            "monthly" => rules.successful.monthly = count,
            "yearly" => rules.successful.yearly = count,
            "failed" => rules.failed_last = value.parse().unwrap(),
            other => panic!("bad rule {other:?}"),
        }
    }
    rules
}

/// Five of one morning, ten minutes apart, newest first by letter.
const MORNING: &str = "a 2024-09-19T11:50 s, b 2024-09-19T11:40 s, c 2024-09-19T11:30 s, d 2024-09-19T11:20 s, e 2024-09-19T11:10 s";
/// One each day at 10:00 for a week, and a second one on the first two days.
const WEEK: &str = "a 2024-09-19T10:00 s, A 2024-09-19T04:00 s, b 2024-09-18T10:00 s, B 2024-09-18T04:00 s, c 2024-09-17T10:00 s, d 2024-09-16T10:00 s, e 2024-09-15T10:00 s, f 2024-09-14T10:00 s";
/// One a month at the turn of the year.
const MONTHS: &str = "a 2024-09-01T00:00 s, b 2024-08-31T23:59 s, c 2024-08-01T00:00 s, d 2024-01-01T00:00 s, e 2023-12-31T23:59 s, f 2023-12-01T00:00 s, g 2022-06-01T00:00 s";

#[test]
fn thirty_histories_computed_by_hand_lose_exactly_what_they_should() {
    // (rules, history, names that go, oldest first)
    let cases = [
        // The tutorial's policy: 2mo, last 5, failed 2.
        ("period=86400 last=5 failed=2", MORNING, ""),
        (
            "period=86400 last=5 failed=2",
            "a 2024-09-19T11:50 s, b 2024-09-19T11:40 s, c 2024-09-19T11:30 s, d 2024-09-19T11:20 s, e 2024-09-19T11:10 s, f 2024-09-19T11:00 s",
            "f",
        ),
        (
            "period=86400 last=5 failed=2",
            "a 2024-09-19T11:50 f, b 2024-09-19T11:40 f, c 2024-09-19T11:30 f, d 2024-09-19T11:20 s",
            "c",
        ),
        // Counts alone.
        ("last=1", MORNING, "e d c b"),
        ("last=0", MORNING, "e d c b"),
        ("last=9", MORNING, ""),
        ("last=-1", MORNING, ""),
        ("", MORNING, ""),
        // Period alone: older than it goes, exactly as old stays.
        (
            "period=60",
            "a 2024-09-19T11:30 s, b 2024-09-19T11:00 s, c 2024-09-19T10:59 s",
            "c",
        ),
        ("period=1440", WEEK, "f e d c B b"),
        ("period=0", WEEK, ""),
        ("period=-7200", WEEK, ""),
        // The last succeeded one outlives its period, failed ones do not protect it or themselves.
        (
            "period=60",
            "a 2023-01-01T00:00 s, b 2022-01-01T00:00 s",
            "b",
        ),
        (
            "period=60",
            "x 2024-09-19T11:30 f, a 2023-01-01T00:00 s, y 2023-06-01T00:00 f",
            "y",
        ),
        ("period=60 failed=5", "x 2023-09-19T11:30 f", "x"),
        // Failed ones.
        (
            "failed=0 last=1",
            "x 2024-09-19T11:30 f, a 2024-09-19T11:00 s",
            "x",
        ),
        (
            "failed=1 last=1",
            "x 2024-09-19T11:30 f, y 2024-09-19T11:20 f, z 2024-09-19T11:10 f",
            "z y",
        ),
        (
            "failed=-1",
            "x 2024-09-19T11:30 f, y 2024-09-19T11:20 f",
            "",
        ),
        // Running ones are neither counted nor touched.
        (
            "last=1 failed=0",
            "r 2024-09-19T11:55 r, a 2024-09-19T11:50 s, b 2024-09-19T11:40 s, q 2020-01-01T00:00 r",
            "b",
        ),
        ("period=60", "q 2020-01-01T00:00 r", ""),
        // Hours, days, weeks.
        ("hourly=1", MORNING, "e d c b"),
        (
            "hourly=2",
            "a 2024-09-19T11:00 s, b 2024-09-19T10:59 s, c 2024-09-19T10:00 s, d 2024-09-19T09:59 s",
            "d c",
        ),
        ("daily=2", WEEK, "f e d c B A"),
        ("daily=3 last=4", WEEK, "f e d"),
        ("weekly=2", WEEK, "f d c B b A"),
        // Weeks follow ISO: 30 and 31 December 2019 belong to the first week of 2020.
        (
            "weekly=2",
            "a 2020-01-01T00:00 s, b 2019-12-30T00:00 s, c 2019-12-29T23:59 s, d 2019-12-22T00:00 s",
            "d b",
        ),
        // Months and years.
        ("monthly=3", MONTHS, "g f e c"),
        ("yearly=2", MONTHS, "g f d c b"),
        ("yearly=3 period=525600", MONTHS, "g f d c b"),
        // The union of rules, equal times told apart by name, the order given does not matter.
        ("last=1 monthly=2 yearly=2", MONTHS, "g f d c"),
        (
            "last=1",
            "a 2024-09-19T11:00 s, c 2024-09-19T11:00 s, b 2024-09-19T11:00 s",
            "a b",
        ),
        (
            "daily=1",
            "b 2024-09-19T04:00 s, a 2024-09-19T10:00 s, c 2024-09-18T10:00 s",
            "c b",
        ),
        ("", "", ""),
        // The clock was 400 days ahead for three sessions, then right again: what is made now
        // stays.
        (
            "last=3",
            "x 2025-10-24T10:00 s, y 2025-10-24T09:00 s, z 2025-10-24T08:00 s, a* 2024-09-19T11:50 s",
            "",
        ),
        (
            "last=3",
            "x 2025-10-24T10:00 s, y 2025-10-24T09:00 s, z 2025-10-24T08:00 s, a* 2024-09-19T11:50 s, b 2024-09-19T11:40 s, c 2024-09-19T11:30 s, d 2024-09-19T11:20 s",
            "d",
        ),
        (
            "daily=1 period=60",
            "x 2025-10-24T10:00 s, a* 2024-09-19T11:50 s, b 2024-09-19T10:00 s",
            "b",
        ),
        (
            "failed=1 last=1",
            "x 2025-10-24T10:00 f, a* 2024-09-19T11:50 f, b 2024-09-19T11:40 f, c 2024-09-19T11:30 s",
            "b",
        ),
        // The clock was behind: the session's own stays, however old it claims to be.
        (
            "last=1 period=60",
            "a* 2020-01-01T00:00 s, b 2024-09-19T11:40 s",
            "",
        ),
        (
            "failed=0",
            "a* 2024-09-19T11:50 f, b 2024-09-19T11:40 f",
            "b",
        ),
    ];
    assert!(cases.len() >= 30);
    for (index, (policy, candidates, expected)) in cases.iter().enumerate() {
        let gone = stale(&rules(policy), &history(candidates), NOW.parse().unwrap());
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(gone, expected, "case {index}: {policy:?} on {candidates:?}");
    }
}

/// The same rules, said as slowly and plainly as can be: for each Snapshot, does a reason exist to
/// keep it?
fn model(rules: &Rules, candidates: &[Candidate], now: Timestamp) -> BTreeSet<String> {
    let newer = |a: &Candidate, b: &Candidate| (a.time, &a.name) > (b.time, &b.name);
    let ahead = |c: &Candidate| c.time > now;
    let young = |c: &Candidate| match rules.max_age_minutes {
        Some(minutes) if minutes > 0 => now.as_second() - c.time.as_second() <= minutes * 60,
        _ => true,
    };
    let day = |c: &Candidate| c.time.to_zoned(TimeZone::UTC);
    type Key = Box<dyn Fn(&Candidate) -> String>;
    let keys: Vec<(Option<i32>, Key)> = vec![
        (
            rules.successful.last,
            Box::new(|c: &Candidate| c.name.clone()),
        ),
        (
            rules.successful.hourly,
            Box::new(move |c| day(c).strftime("%Y-%m-%d %H").to_string()),
        ),
        (
            rules.successful.daily,
            Box::new(move |c| day(c).strftime("%Y-%m-%d").to_string()),
        ),
        (
            rules.successful.weekly,
            Box::new(move |c| {
                let week: ISOWeekDate = day(c).date().iso_week_date();
                format!("{} {}", week.year(), week.week())
            }),
        ),
        (
            rules.successful.monthly,
            Box::new(move |c| day(c).strftime("%Y-%m").to_string()),
        ),
        (
            rules.successful.yearly,
            Box::new(move |c| day(c).strftime("%Y").to_string()),
        ),
    ];
    let peers = |c: &Candidate| -> Vec<&Candidate> {
        candidates
            .iter()
            .filter(|p| p.outcome == c.outcome && young(p) && !ahead(p))
            .collect()
    };
    let later_made =
        |a: &Candidate, b: &Candidate| (a.created, a.time, &a.name) > (b.created, b.time, &b.name);
    let is_kept = |c: &Candidate| match c.outcome {
        Outcome::Unfinished => true,
        _ if c.own || ahead(c) => true,
        Outcome::Failed => {
            let before = peers(c).into_iter().filter(|p| newer(p, c)).count();
            young(c)
                && (rules.failed_last < 0 || before < usize::try_from(rules.failed_last).unwrap())
        }
        Outcome::Succeeded => {
            let succeeded = || {
                candidates
                    .iter()
                    .filter(|p| p.outcome == Outcome::Succeeded)
            };
            let is_newest = !succeeded().any(|p| !ahead(p) && newer(p, c))
                || !succeeded().any(|p| later_made(p, c));
            let no_rule = keys.iter().all(|(count, _)| count.is_none());
            let by_rule = keys.iter().any(|(count, key)| {
                let Some(count) = count else { return false };
                let is_newest_of_its_bucket = !peers(c)
                    .into_iter()
                    .any(|p| key(p) == key(c) && newer(p, c));
                let newer_buckets: BTreeSet<String> = peers(c)
                    .into_iter()
                    .filter(|p| newer(p, c))
                    .map(key)
                    .filter(|k| *k != key(c))
                    .collect();
                is_newest_of_its_bucket
                    && (*count < 0 || newer_buckets.len() < usize::try_from(*count).unwrap())
            });
            is_newest || (young(c) && (no_rule || by_rule))
        }
    };
    candidates
        .iter()
        .filter(|c| !is_kept(c))
        .map(|c| c.name.clone())
        .collect()
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    // Times cluster (minutes to years apart) so that buckets are shared.
    let gap = prop_oneof![0_i64..7200, 0_i64..200_000, 0_i64..40_000_000];
    let outcome = prop_oneof![
        6 => Just(Outcome::Succeeded),
        2 => Just(Outcome::Failed),
        1 => Just(Outcome::Unfinished),
    ];
    // How far the clock was ahead, or behind, when the newest ones were made; and each object's
    // creation is by a clock of its own.
    let ahead = prop_oneof![2 => Just(0_i64), 1 => -40_000_000_i64..40_000_000];
    let created = prop_oneof![3 => Just(0_i64), 1 => -40_000_000_i64..40_000_000];
    let own = prop::option::weighted(0.7, 0_usize..40);
    let entries = prop::collection::vec((gap, outcome, created), 0..40);
    (ahead, own, entries).prop_map(|(ahead, own, entries)| {
        let mut second = NOW.parse::<Timestamp>().unwrap().as_second() + ahead;
        entries
            .into_iter()
            .enumerate()
            .map(|(index, (gap, outcome, created))| {
                second -= gap;
                Candidate {
                    name: format!("snapshot-{:02}", (index * 7) % 40),
                    time: Timestamp::from_second(second).unwrap(),
                    created: Timestamp::from_second(second + created).unwrap(),
                    own: own == Some(index),
                    outcome,
                }
            })
            .collect()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let count = || prop::option::weighted(0.4, -1_i32..6);
    let counts = (count(), count(), count(), count(), count(), count());
    (prop::option::of(-10_i64..2_000_000), counts, -1_i32..4).prop_map(
        |(max_age_minutes, c, failed_last)| Rules {
            max_age_minutes,
            successful: Counts {
                last: c.0,
                hourly: c.1,
                daily: c.2,
                weekly: c.3,
                monthly: c.4,
                yearly: c.5,
            },
            failed_last,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_histories_lose_what_the_plain_model_says(rules in any_rules(), candidates in any_candidates()) {
        let now = NOW.parse().unwrap();
        let gone: BTreeSet<String> = stale(&rules, &candidates, now).into_iter().collect();
        prop_assert_eq!(gone, model(&rules, &candidates, now));
    }

    #[test]
    fn a_success_always_remains_and_a_second_pass_finds_nothing_more(rules in any_rules(), candidates in any_candidates()) {
        let now = NOW.parse().unwrap();
        let gone = stale(&rules, &candidates, now);
        let left: Vec<Candidate> = candidates.iter().filter(|c| !gone.contains(&c.name)).cloned().collect();
        let has_success = |list: &[Candidate]| list.iter().any(|c| c.outcome == Outcome::Succeeded);
        prop_assert_eq!(has_success(&candidates), has_success(&left));
        prop_assert!(stale(&rules, &left, now).is_empty());
    }

    #[test]
    fn whatever_the_dates_the_sessions_own_and_the_newest_by_creation_stay(rules in any_rules(), candidates in any_candidates()) {
        let now = NOW.parse().unwrap();
        let gone = stale(&rules, &candidates, now);
        let goes = |c: &Candidate| gone.contains(&c.name);
        prop_assert!(!candidates.iter().any(|c| c.own && goes(c)));
        let succeeded = candidates.iter().filter(|c| c.outcome == Outcome::Succeeded);
        if let Some(last) = succeeded.max_by_key(|c| (c.created, c.time, &c.name)) {
            prop_assert!(!goes(last));
        }
        // What is dated in the future does not go, and without it the same ones go.
        let ahead = in_future(&candidates, now);
        prop_assert!(gone.iter().all(|name| !ahead.contains(name)));
        let rest: Vec<Candidate> = candidates.iter().filter(|c| !ahead.contains(&c.name)).cloned().collect();
        let gone_of_rest = stale(&rules, &rest, now);
        prop_assert!(gone_of_rest.iter().all(|name| gone.contains(name)));
        let extra: Vec<_> = gone.iter().filter(|name| !gone_of_rest.contains(name)).collect();
        // Only the newest by creation may be another one.
        prop_assert!(extra.len() <= 1, "{extra:?}");
    }
}
