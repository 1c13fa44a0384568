//! Why a container cannot be started, as its status tells it.

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
            reason: "CreateContainerConfigError",
            message: message.into(),
            retry: true,
        }
    }

    /// A volume cannot be had.
    pub(crate) fn volume(message: impl Into<String>) -> Self {
        Self {
            reason: "FailedMount",
            message: message.into(),
            retry: true,
        }
    }

    /// The node could not do what it should.
    pub(crate) fn node(message: impl Into<String>) -> Self {
        Self {
            reason: "CreateContainerError",
            message: message.into(),
            retry: true,
        }
    }

    /// The image is not ours.
    pub(crate) fn image(message: impl Into<String>) -> Self {
        Self {
            reason: "ErrImagePull",
            message: message.into(),
            retry: false,
        }
    }
}
