//! Conditions: what an object's status says about one aspect of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_empty;

string_enum! {
    /// Whether a condition holds.
    pub enum ConditionStatus {
        /// It holds.
        True = "True",
        /// It does not hold.
        False = "False",
        /// It is not known whether it holds.
        Unknown = "Unknown",
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One aspect of an object's state, with the reason for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// When the condition last changed in any way.
    pub last_transition_time: Time,
    /// What happened, for a person to read.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub message: String,
    /// The generation of the object that the condition was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why the condition has this status: one word, for programs.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub reason: String,
    /// How bad a failure is: `Error`, `Warning`, `Info`, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Whether the condition holds: `True`, `False` or `Unknown`.
    #[schemars(with = "String")]
    pub status: ConditionStatus,
    /// What the condition is about. There is one condition of each type.
    #[serde(rename = "type")]
    pub type_: String,
}
