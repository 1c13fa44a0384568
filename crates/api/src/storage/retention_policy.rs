//! RetentionPolicy: which snapshots stay.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::UsagePolicy;

/// Which snapshots of a repository stay.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "storage.kubestash.com",
    version = "v1alpha1",
    kind = "RetentionPolicy",
    plural = "retentionpolicies",
    namespaced,
    doc = "RetentionPolicy defines which snapshots stay: by age, by count, or both. It is applied to each repository of a \
           session when the session ends; the newest successful snapshot always stays.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    printcolumn(
        name = "Max-Retention-Period",
        type_ = "string",
        json_path = ".spec.maxRetentionPeriod"
    ),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.maxRetentionPeriod) && self.maxRetentionPeriod != '') || has(self.successfulSnapshots)")
        .message("neither spec.maxRetentionPeriod nor spec.successfulSnapshots is given: give one of them, \
                  such as 'maxRetentionPeriod: 30d' or 'successfulSnapshots: {last: 5}'")
)]
pub struct RetentionPolicySpec {
    /// Whether backends that name no policy use this one. At most one of a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// How many failed snapshots stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_snapshots: Option<FailedSnapshotsKeepPolicy>,
    /// Snapshots older than this are removed, as in `30d`, `2mo` or `1y6mo`. Units are `y` (365
    /// days), `mo` (30 days), `w`, `d`, `h` and `m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retention_period: Option<String>,
    /// How many successful snapshots stay of those that are young enough. Without it, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successful_snapshots: Option<SuccessfulSnapshotsKeepPolicy>,
    /// The namespaces whose backups may use the policy. Without it, only the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_policy: Option<UsagePolicy>,
}

/// How many successful snapshots stay. A snapshot stays if any of the counts keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SuccessfulSnapshotsKeepPolicy {
    /// The newest snapshot of each of this many days (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<i32>,
    /// The newest snapshot of each of this many hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<i32>,
    /// This many of the newest snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i32>,
    /// The newest snapshot of each of this many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<i32>,
    /// The newest snapshot of each of this many ISO weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<i32>,
    /// The newest snapshot of each of this many years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<i32>,
}

/// How many failed snapshots stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedSnapshotsKeepPolicy {
    /// This many of the newest failed snapshots.
    #[serde(default = "crate::shared::one")]
    pub last: i32,
}

impl Default for FailedSnapshotsKeepPolicy {
    fn default() -> Self {
        Self {
            last: crate::shared::one(),
        }
    }
}
