//! What backup sessions and restore sessions have in common, whichever kind they are.
//!
//! ```text
//!   schedule/   when a BackupSession is due
//!   queue.rs    how many sessions work at once, and whose turn it is
//!   unlock.rs   the repository locks of a session whose Job was killed
//! ```

pub(crate) mod queue;
pub(crate) mod schedule;
pub(crate) mod unlock;
