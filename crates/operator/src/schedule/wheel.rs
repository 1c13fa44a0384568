//! One timer for all configurations: who wants to be woken when.
//!
//! Invariant: for each configuration the wheel holds the one time it was last set to, and at that time it gives out
//! the configuration once. It knows nothing of schedules; being woken means no more than "look again".

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use futures::{Stream, stream};
use jiff::Timestamp;
use tokio::sync::mpsc;

/// The longest sleep: a clock that was set, or a machine that slept, is noticed within this time. It costs one look
/// at the clock, however many configurations there are.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);

/// Sets the timer of a configuration.
#[derive(Debug, Clone)]
pub struct Wheel<K> {
    settings: mpsc::UnboundedSender<(K, Option<Timestamp>)>,
}

impl<K> Wheel<K> {
    /// Wakes `key` at `at`, or no more; what was set for it before is replaced.
    pub fn set(&self, key: K, at: Option<Timestamp>) {
        // Fails only when the stream is gone, and then nobody waits to be woken.
        let _ = self.settings.send((key, at));
    }
}

struct Slots<K> {
    settings: mpsc::UnboundedReceiver<(K, Option<Timestamp>)>,
    order: BTreeSet<(Timestamp, u64)>,
    /// Time and number of each key; the number stands for it in `order`, which needs no order of keys.
    times: HashMap<K, (Timestamp, u64)>,
    keys: HashMap<u64, K>,
    counter: u64,
}

/// A wheel and the stream of those whose time has come. The stream ends when every [`Wheel`] is dropped.
pub fn wheel<K>() -> (Wheel<K>, impl Stream<Item = K> + Send)
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
    let stream = stream::unfold(slots, |mut slots| async move {
        loop {
            let now = Timestamp::now();
            if let Some(key) = slots.pop(now) {
                return Some((key, slots));
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
    async fn ten_thousand_due_at_once_are_given_out_in_less_than_a_second() {
        let (wheel, stream) = wheel();
        let due = in_ms(0);
        for key in 0..10_000_u32 {
            wheel.set(key, Some(due));
        }
        drop(wheel);
        let started = std::time::Instant::now();
        let woken: Vec<_> = stream.collect().await;
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(woken, (0..10_000).collect::<Vec<_>>());
    }
}
