//! The Job controller: one pod after another until enough have succeeded or the Job has finally
//! failed.
//!
//! `decide` is pure and knows all rules; `controller` reads, applies and writes. Compared with the
//! Job controller of a cluster: pods carry no tracking finalizer (what has been counted is in the
//! Job's status), a replacement waits until a terminating pod is gone, and `completionMode:
//! Indexed` is refused with a reason.

mod controller;
mod count;
mod decide;
mod failure_policy;
mod pods;

pub(crate) use controller::{Jobs, owner};
