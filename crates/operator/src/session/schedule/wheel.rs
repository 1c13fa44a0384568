//! One timer for all configurations: who wants to be woken when.
//!
//! Invariant: for each configuration the wheel holds the one time it was last set to, and at that
//! time it gives out the configuration once. It knows nothing of schedules; being woken means no
//! more than "look again". When the clock was set back, all are woken: what they were set to may be
//! hours away by the new clock, and what is due before that they have to find out anew.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures::{Stream, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

/// The longest sleep: a clock that was set, or a machine that slept, is noticed within this time.
/// It costs one look at the clock, however many configurations there are.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// A step back by less than this is no reason to look again: nothing is late by more.
const STEP: SignedDuration = SignedDuration::from_secs(2);

/// The clock on the wall beside one that nobody can set.
struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    /// Whether the wall's clock was set back since the last look.
    fn was_set_back(&mut self, wall: Timestamp, steady: Instant) -> bool {
        let passed = steady.saturating_duration_since(self.steady);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        let moved = wall.duration_since(self.wall);
        *self = Self { wall, steady };
        passed.saturating_sub(moved) > STEP
    }
}

/// Sets the timer of a configuration.
#[derive(Debug, Clone)]
pub(crate) struct Wheel<K> {
    settings: mpsc::UnboundedSender<(K, Option<Timestamp>)>,
}

impl<K> Wheel<K> {
    /// Wakes `key` at `at`, or no more; what was set for it before is replaced.
    pub(crate) fn set(&self, key: K, at: Option<Timestamp>) {
        // Fails only when the stream is gone, and then nobody waits to be woken.
        let _ = self.settings.send((key, at));
    }
}

struct Slots<K> {
    settings: mpsc::UnboundedReceiver<(K, Option<Timestamp>)>,
    order: BTreeSet<(Timestamp, u64)>,
    /// Time and number of each key; the number stands for it in `order`, which needs no order of
    /// keys.
    times: HashMap<K, (Timestamp, u64)>,
    keys: HashMap<u64, K>,
    counter: u64,
}

/// A wheel and the stream of those whose time has come. The stream ends when every [`Wheel`] is
/// dropped.
pub(crate) fn wheel<K>() -> (Wheel<K>, impl Stream<Item = K> + Send)
where
    K: Clone + Eq + std::hash::Hash + Send + 'static,
{
    let (sender, settings) = mpsc::unbounded_channel();
    let slots = Slots {
        settings,
        order: BTreeSet::new(),
        times: HashMap::new(),
        keys: HashMap::new(),
        counter: 0,
    };
    let clock = Clock {
        wall: Timestamp::now(),
        steady: Instant::now(),
    };
    let stream = stream::unfold((slots, clock), |(mut slots, mut clock)| async move {
        loop {
            let now = Timestamp::now();
            if clock.was_set_back(now, Instant::now()) {
                tracing::warn!("the clock was set back: all schedules are worked out anew");
                slots.wake_all();
            }
            if let Some(key) = slots.pop(now) {
                return Some((key, (slots, clock)));
            }
            let sleep = slots.until_next(now);
            tokio::select! {
                setting = slots.settings.recv() => {
                    let (key, at) = setting?;
                    slots.set(key, at);
                }
                () = tokio::time::sleep(sleep), if !slots.order.is_empty() => {}
            }
        }
    });
    (Wheel { settings: sender }, stream)
}

impl<K: Clone + Eq + std::hash::Hash> Slots<K> {
    fn set(&mut self, key: K, at: Option<Timestamp>) {
        if let Some((time, number)) = self.times.remove(&key) {
            self.order.remove(&(time, number));
            self.keys.remove(&number);
        }
        if let Some(time) = at {
            self.counter += 1;
            self.order.insert((time, self.counter));
            self.keys.insert(self.counter, key.clone());
            self.times.insert(key, (time, self.counter));
        }
    }

    fn wake_all(&mut self) {
        let keys: Vec<_> = self.keys.values().cloned().collect();
        for key in keys {
            self.set(key, Some(Timestamp::MIN));
        }
    }

    fn pop(&mut self, now: Timestamp) -> Option<K> {
        let (time, number) = *self.order.first()?;
        if time > now {
            return None;
        }
        self.order.pop_first();
        let key = self.keys.remove(&number)?;
        self.times.remove(&key);
        Some(key)
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        let next = self.order.first().map(|(time, _)| time.duration_since(now));
        next.and_then(|wait| Duration::try_from(wait).ok())
            .unwrap_or_default()
            .min(LONGEST_SLEEP)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn in_ms(ms: i64) -> Timestamp {
        Timestamp::from_nanosecond(Timestamp::now().as_nanosecond() + i128::from(ms) * 1_000_000)
            .unwrap()
    }

    #[tokio::test]
    async fn those_whose_time_has_come_wake_in_order_and_not_before() {
        let (wheel, stream) = wheel();
        let mut stream = std::pin::pin!(stream);
        let second = in_ms(60);
        wheel.set("second", Some(second));
        wheel.set("first", Some(in_ms(30)));
        wheel.set("overdue", Some(in_ms(-5000)));
        assert_eq!(stream.next().await, Some("overdue"));
        assert_eq!(stream.next().await, Some("first"));
        assert_eq!(stream.next().await, Some("second"));
        assert!(Timestamp::now() >= second);
        drop(wheel);
        assert_eq!(stream.next().await, None);
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed_and_one_that_runs_or_jumps_ahead_is_not() {
        let (wall, steady) = (
            Timestamp::from_second(1_700_000_000).unwrap(),
            Instant::now(),
        );
        let second = SignedDuration::from_secs(1);
        // seconds on the wall, seconds that passed
        for (moved, passed, expected) in [
            (20, 20, false),
            (0, 0, false),
            (19, 20, false),
            (86_400, 20, false),
            (-3600, 0, true),
            (-3580, 20, true),
            (-86_400, 1, true),
            (17, 20, true),
            (86_400, 90_000, true),
        ] {
            let mut clock = Clock { wall, steady };
            let now = steady + Duration::from_secs(passed);
            let found = clock.was_set_back(wall + second * moved, now);
            assert_eq!(found, expected, "{moved} {passed}");
            // Told once.
            assert!(!clock.was_set_back(wall + second * moved, now));
        }
    }

    #[test]
    fn after_the_clock_was_set_back_all_are_woken_at_once() {
        let (_sender, settings) = mpsc::unbounded_channel();
        let mut slots = Slots {
            settings,
            order: BTreeSet::new(),
            times: HashMap::new(),
            keys: HashMap::new(),
            counter: 0,
        };
        let at = |second: i64| Timestamp::from_second(1_700_000_000 + second).ok();
        slots.set("in an hour", at(3600));
        slots.set("tomorrow", at(86_400));
        let now = at(0).unwrap();
        assert_eq!(slots.pop(now), None);
        slots.wake_all();
        assert_eq!(slots.until_next(now), Duration::ZERO);
        let mut woken = [slots.pop(now), slots.pop(now)];
        woken.sort_unstable();
        assert_eq!(woken, [Some("in an hour"), Some("tomorrow")]);
        assert_eq!(slots.pop(now), None);
    }

    #[tokio::test]
    async fn a_new_setting_replaces_the_old_one() {
        let (wheel, stream) = wheel();
        let mut stream = std::pin::pin!(stream);
        wheel.set("moved", Some(in_ms(10)));
        wheel.set("cancelled", Some(in_ms(20)));
        wheel.set("moved", Some(in_ms(50)));
        wheel.set("cancelled", None);
        wheel.set("other", Some(in_ms(30)));
        assert_eq!(stream.next().await, Some("other"));
        assert_eq!(stream.next().await, Some("moved"));
        drop(wheel);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn ten_thousand_due_together_are_given_out_once_each_in_order() {
        let (wheel, stream) = wheel();
        let due = in_ms(0);
        for key in 0..10_000_u32 {
            wheel.set(key, Some(due));
        }
        drop(wheel);
        let woken: Vec<_> = stream.collect().await;
        assert_eq!(woken, (0..10_000).collect::<Vec<_>>());
    }
}
