//! What keeps a configuration from being Ready.

use kubestash_api::shared::ConditionStatus;

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// A stable word: reason of the condition and of the Event.
    pub reason: &'static str,
    /// What is in the way, and what to do.
    pub message: String,
    /// Whether someone has to do something; otherwise it only takes a moment.
    pub is_fault: bool,
}

impl Obstacle {
    /// Something that somebody has to mend.
    pub(super) fn fault(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            is_fault: true,
        }
    }

    /// Something that is being done.
    pub(super) fn pending(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            is_fault: false,
        }
    }

    /// The status of the `Ready` condition.
    pub(super) fn status(&self) -> ConditionStatus {
        if self.is_fault {
            ConditionStatus::False
        } else {
            ConditionStatus::Unknown
        }
    }
}
