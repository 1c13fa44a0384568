//! What the executor knows about the machine it runs on.

use kubestash_backend::{Environment, LocalRoot};

/// The surroundings of one run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Storages around us.
    pub environment: Environment,
    /// Where volumes of `local` storages are mounted.
    pub local_root: LocalRoot,
}

impl Settings {
    /// Those of a Job's pod.
    pub fn of_pod() -> Self {
        Self {
            environment: Environment::from_process(),
            local_root: LocalRoot::InPod,
        }
    }
}
