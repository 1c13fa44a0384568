//! The order to end a pod, as everything that runs for it sees it.

use std::time::Duration;

use tokio::sync::watch;

/// Gives the order.
pub(crate) struct Interrupter(watch::Sender<Option<Duration>>);

/// Receives the order.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<Option<Duration>>);

/// Both ends.
pub(crate) fn channel() -> (Interrupter, Interrupt) {
    let (sender, receiver) = watch::channel(None);
    (Interrupter(sender), Interrupt(receiver))
}

impl Interrupter {
    /// End within `grace`; repeated with a shorter one it becomes more urgent.
    pub(crate) fn stop(&self, grace: Duration) {
        self.0.send_if_modified(|current| {
            let urgent = current.is_none_or(|current| grace < current);
            if urgent {
                *current = Some(grace);
            }
            urgent
        });
    }
}

impl Interrupt {
    /// Whether the order has been given.
    pub(crate) fn is_given(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits for the order, or for it to become more urgent, and returns the grace.
    pub(crate) async fn next(&mut self) -> Duration {
        loop {
            if self.0.has_changed().unwrap_or(false)
                && let Some(grace) = *self.0.borrow_and_update()
            {
                return grace;
            }
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            self.0.mark_changed();
        }
    }

    /// Waits for the order, for at most `time`; whether it was given.
    pub(crate) async fn within(&self, time: Duration) -> bool {
        let mut receiver = self.0.clone();
        tokio::time::timeout(time, receiver.wait_for(|order| order.is_some()))
            .await
            .is_ok_and(|given| given.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_more_urgent_orders_are_passed_on() {
        let (interrupter, mut interrupt) = channel();
        assert!(!interrupt.is_given());
        interrupter.stop(Duration::from_secs(30));
        assert_eq!(interrupt.next().await, Duration::from_secs(30));
        interrupter.stop(Duration::from_secs(60));
        interrupter.stop(Duration::from_secs(1));
        assert_eq!(interrupt.next().await, Duration::from_secs(1));
        assert!(interrupt.is_given() && interrupt.within(Duration::ZERO).await);
    }
}
