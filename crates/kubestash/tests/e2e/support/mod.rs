//! What the tests start, and how they ask and wait.

mod gate;
mod gcs;
mod process;
mod system;

use std::time::{Duration, Instant};

pub use gate::Gate;
pub use gcs::Gcs;
pub use process::{descendants, find_binary, free_port, output, still_running};
pub use system::System;

/// Polls until `probe` gives a value; panics with `what` and the last word of `probe` after
/// `limit`.
///
/// For conditions that no watch can tell, such as files, processes and objects of several kinds at
/// once.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let started = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) if started.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; last seen: {last}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(25)),
        }
    }
}
