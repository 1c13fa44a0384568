//! When a session runs, and what its Job looks like.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PodTemplateSpec, is_empty};

/// When backups run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerSpec {
    /// What to do when a run is due while the previous one still works: `Forbid` skips the new
    /// run, `Replace` cancels the old one. `Allow` acts as `Forbid`, because two runs must not
    /// write one repository at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Allow", "Forbid", "Replace"]))]
    pub concurrency_policy: Option<String>,
    /// Accepted for compatibility; use `sessionHistoryLimit` to say how many finished sessions
    /// stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub failed_jobs_history_limit: Option<i32>,
    /// Settings of the Job that does the work; may be empty (`{}`).
    pub job_template: JobTemplate,
    /// When to run: five cron fields in UTC (`*/5 * * * *`), a macro such as `@daily`, or `@every
    /// 6h`. A line may start with `CRON_TZ=<zone>` to use another time zone.
    #[x_kube(
        validation = Rule::new("self != ''")
            .message("scheduler.schedule is empty: give a cron schedule such as '0 2 * * *'")
    )]
    pub schedule: String,
    /// How late, in seconds, a missed run may still be started. Without it, until the next one is
    /// due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub starting_deadline_seconds: Option<i64>,
    /// Accepted for compatibility; use `sessionHistoryLimit` to say how many finished sessions
    /// stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub successful_jobs_history_limit: Option<i32>,
    /// Whether no new runs are started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// Settings of the Job that does the work of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplate {
    /// Seconds after which the Job is ended, successful or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub active_deadline_seconds: Option<i64>,
    /// How often a failed pod is tried again before the session counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub backoff_limit: Option<i32>,
    /// Accepted for compatibility: a session has one Job with one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["NonIndexed", "Indexed"]))]
    pub completion_mode: Option<String>,
    /// Accepted for compatibility: a session has one Job with one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub completions: Option<i32>,
    /// Accepted for compatibility: a session has one Job with one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub parallelism: Option<i32>,
    /// Whether the Job is made without starting its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Settings of the Job's pod. The addon's `jobTemplate` wins over them.
    ///
    /// Always written, with its empty parts: clients of this API expect to find them.
    #[serde(default)]
    pub template: PodTemplateSpec,
    /// Seconds after which a finished Job is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// How a failed session is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryConfig {
    /// How long to wait before the next try, as in `5m` or `1h30m`. Without it, the next try
    /// starts immediately.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub delay: Option<String>,
    /// How many times to try again.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub max_retry: i32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            delay: None,
            max_retry: one(),
        }
    }
}

/// The default of the counters that start at one.
pub(crate) const fn one() -> i32 {
    1
}
