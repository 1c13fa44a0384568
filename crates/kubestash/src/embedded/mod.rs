//! The cluster-in-a-box: `kubestash up`, and what it installs before the operator starts.

mod install;
mod rights;
pub(crate) mod up;
