//! Manifests: the Kubernetes objects around a database, read for a backup and made anew by a
//! restore.
//!
//! ```text
//!   collect  database object ─► Secrets, ConfigMaps, databases it needs ─► document ─► as any backup
//!   restore  document ─► placed and rewritten ─► preflight (nothing is made) ─► make ─► what was made, what was kept
//! ```
//! Which objects, and under which names, is decided by `kubestash_domain::manifest`. Invariants:
//! - Nothing is made before everything that can be known beforehand is known to be well.
//! - What exists is kept as it is, and the session says so; what exists and is somebody else's
//!   stops the restore.

mod collect;
mod make;
mod preflight;
mod restore;

pub(crate) use collect::collect;
pub(crate) use restore::restore;
