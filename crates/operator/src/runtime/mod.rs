//! What any operator has: watches, the loop of a controller, writes, Events, finalizers, the Lease.
//! Nothing here knows what a backup is.

pub(crate) mod apply;
pub(crate) mod attempt;
pub(crate) mod controller;
pub(crate) mod events;
pub(crate) mod failure;
pub(crate) mod finalizer;
pub(crate) mod leader;
pub(crate) mod locks;
pub(crate) mod watch;
