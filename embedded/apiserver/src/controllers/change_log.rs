//! Old changes are forgotten also when no new ones push them out: a server that rests needs no
//! memory for them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Changes, sleep_until};
use crate::app::App;

/// Runs until the server stops. Without changes nothing wakes it.
pub(super) async fn run(app: Arc<App>, mut changes: Changes) {
    let mut next: Option<Instant> = None;
    loop {
        tokio::select! {
            batch = changes.recv() => match batch {
                // The first one after a rest says when to look; later ones are looked at then.
                Some(_) if next.is_some() => {}
                Some(_) => next = app.store.trim().map(Instant::from_std),
                None => return,
            },
            () = sleep_until(next) => next = app.store.trim().map(Instant::from_std),
            () = app.stop.cancelled() => return,
        }
    }
}
