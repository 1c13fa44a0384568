//! The scheduler: in the operator's own process, without CronJobs.
//!
//! ```text
//!   BackupConfiguration reconcile ──► due.rs: what is due now, and when to look again (pure)
//!        ▲                                   │
//!        │ wake up                           ▼
//!        └──────────── wheel.rs: one timer for all configurations
//! ```
//!
//! The only memory is `status.sessions[].nextSchedule`, the run that has not been made yet. So a
//! restart, a crash between two writes or a change of leader neither forgets a run nor makes one
//! twice: the session that a run makes is named with the scheduled second, and its creation is
//! refused the second time (`docs/compatibility.md`, "Schedules").

pub(crate) mod due;
pub(crate) mod wheel;

pub(crate) use due::{Cursor, Due, Missed, due};
pub(crate) use wheel::{Wheel, wheel};
