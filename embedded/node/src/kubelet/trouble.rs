//! Why a container cannot be started, as its status and its Events tell it: in the words of a
//! kubelet.

/// A volume cannot be mounted.
const FAILED_MOUNT: &str = "FailedMount";

/// Something that the pod refers to is missing or wrong.
const CONFIG_ERROR: &str = "CreateContainerConfigError";
/// The node could not do what it should.
const CREATE_ERROR: &str = "CreateContainerError";
/// The image cannot be had.
const PULL_ERROR: &str = "ErrImagePull";

/// A reason for `state.waiting`, and what can be expected of another attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Trouble {
    /// `reason` of the waiting state.
    pub(crate) reason: &'static str,
    /// What to read and do.
    pub(crate) message: String,
    /// Whether trying again may help.
    pub(crate) retry: bool,
}

impl Trouble {
    /// Something that the pod refers to is missing or wrong.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self {
            reason: CONFIG_ERROR,
            message: message.into(),
            retry: true,
        }
    }

    /// A volume cannot be had.
    pub(crate) fn volume(message: impl Into<String>) -> Self {
        Self {
            reason: FAILED_MOUNT,
            message: message.into(),
            retry: true,
        }
    }

    /// The node could not do what it should.
    pub(crate) fn node(message: impl Into<String>) -> Self {
        Self {
            reason: CREATE_ERROR,
            message: message.into(),
            retry: true,
        }
    }

    /// The image is not ours.
    pub(crate) fn image(message: impl Into<String>) -> Self {
        Self {
            reason: PULL_ERROR,
            message: message.into(),
            retry: false,
        }
    }

    /// The same, known to come from the volume of this name: whatever is wrong with it, it cannot
    /// be mounted.
    pub(crate) fn in_volume(self, name: &str) -> Self {
        Self {
            reason: FAILED_MOUNT,
            message: format!(
                "MountVolume.SetUp failed for volume {name:?} : {}",
                self.message
            ),
            retry: self.retry,
        }
    }

    /// Whether it is told as an Event of the pod alone. The container waits on as it did before: a
    /// kubelet says nothing about a volume in the status.
    pub(crate) fn is_of_pod(&self) -> bool {
        self.reason == FAILED_MOUNT
    }

    /// Whether this reason of a waiting container is that of a trouble.
    pub(crate) fn is_told_in_status(reason: &str) -> bool {
        [CONFIG_ERROR, CREATE_ERROR, PULL_ERROR].contains(&reason)
    }

    /// The Events that tell it, each with its reason.
    pub(crate) fn events(&self) -> Vec<(&'static str, String)> {
        match self.reason {
            FAILED_MOUNT => vec![(FAILED_MOUNT, self.message.clone())],
            PULL_ERROR => vec![
                ("Failed", self.message.clone()),
                ("Failed", "Error: ErrImagePull".to_owned()),
            ],
            _ => vec![("Failed", format!("Error: {}", self.message))],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_is_told_where_and_as_a_kubelet_tells_it() {
        let missing = || Trouble::config("secret \"x\" not found");
        let mount = "MountVolume.SetUp failed for volume \"v\" : secret \"x\" not found";
        for (trouble, reason, of_pod, events) in [
            (
                missing(),
                "CreateContainerConfigError",
                false,
                vec![("Failed", "Error: secret \"x\" not found")],
            ),
            (
                missing().in_volume("v"),
                "FailedMount",
                true,
                vec![("FailedMount", mount)],
            ),
            (
                Trouble::node("no room"),
                "CreateContainerError",
                false,
                vec![("Failed", "Error: no room")],
            ),
            (
                Trouble::image("failed to pull image \"x\""),
                "ErrImagePull",
                false,
                vec![
                    ("Failed", "failed to pull image \"x\""),
                    ("Failed", "Error: ErrImagePull"),
                ],
            ),
        ] {
            assert_eq!((trouble.reason, trouble.is_of_pod()), (reason, of_pod));
            let told = trouble.events();
            let told: Vec<_> = told
                .iter()
                .map(|(word, text)| (*word, text.as_str()))
                .collect();
            assert_eq!(told, events);
        }
    }
}
