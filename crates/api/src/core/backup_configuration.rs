//! BackupConfiguration: what to back up, where to, and when.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::{
    AddonInfo, BackendReference, BackendStatus, BackupHooks, Condition, RepositoryInfo,
    RepositoryStatusEntry, ResourceFoundStatus, RetryConfig, SchedulerSpec, SessionStatus,
    TypedObjectReference,
};

string_enum! {
    /// State of a BackupConfiguration or BackupBatch.
    pub enum InvokerPhase {
        /// Something it needs is missing; see the status.
        NotReady = "NotReady",
        /// Backups are scheduled.
        Ready = "Ready",
        /// It cannot work as it is written.
        Invalid = "Invalid",
    }
}

/// What to back up, where to, and when.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "core.kubestash.com",
    version = "v1alpha1",
    kind = "BackupConfiguration",
    plural = "backupconfigurations",
    shortname = "bc",
    namespaced,
    status = "BackupConfigurationStatus",
    doc = "BackupConfiguration defines what to back up, where to, and when. Each of its sessions runs on its own schedule, \
           and once at the start.",
    schema = "disabled",
    derive = "Default",
    derive = "JsonSchema",
    derive = "PartialEq",
    category = "kubestash",
    category = "appscode",
    category = "all",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Paused", type_ = "boolean", json_path = ".spec.paused"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.sessions) && size(self.sessions) > 0")
        .message("spec.sessions is empty: add at least one session with a scheduler, an addon and a repository")
        .field_path(".sessions")
)]
pub struct BackupConfigurationSpec {
    /// Where the sessions can write to. Without any, the default BackupStorage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendReference>,
    /// Whether no backups are created for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// The backups to create: what, when, and into which repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
    /// The object to back up. Without it, the backup is of the cluster's own objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TypedObjectReference>,
}

impl BackupConfigurationSpec {
    /// The session of a name.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| session.name == name)
    }

    /// The backend of a name.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&BackendReference> {
        self.backends.iter().find(|backend| backend.name == name)
    }
}

/// One backup: what, when, and into which repositories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.name) && self.name != ''")
        .message("sessions[].name is missing: give each session a name of its own")
        .field_path(".name"),
    validation = Rule::new("has(self.scheduler)")
        .message("sessions[].scheduler is missing: add a scheduler with a schedule, such as '0 2 * * *'")
        .field_path(".scheduler"),
    validation = Rule::new("has(self.addon)")
        .message("sessions[].addon is missing: name the addon and the tasks that create this backup")
        .field_path(".addon"),
    validation = Rule::new("has(self.repositories) && size(self.repositories) > 0")
        .message("sessions[].repositories is empty: name at least one repository to write to")
        .field_path(".repositories")
)]
pub struct Session {
    /// The addon that creates the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<AddonInfo>,
    /// How long a run may take, as in `2h`. A run that takes longer fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_timeout: Option<String>,
    /// What runs before and after the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<BackupHooks>,
    /// Name of the session.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The repositories to write to. The data is read once and written to all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryInfo>,
    /// How a failed run is tried again. Without it, not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_config: Option<RetryConfig>,
    /// When to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<SchedulerSpec>,
    /// How many finished BackupSessions of this session stay.
    #[serde(default = "crate::shared::one")]
    #[schemars(range(min = 0))]
    pub session_history_limit: i32,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            addon: None,
            backup_timeout: None,
            hooks: None,
            name: String::new(),
            repositories: Vec::new(),
            retry_config: None,
            scheduler: None,
            session_history_limit: crate::shared::one(),
        }
    }
}

/// What is known about a BackupConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupConfigurationStatus {
    /// State of each backend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendStatus>,
    /// What is known, aspect by aspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Other objects that the backup needs, such as Addons, and whether they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<ResourceFoundStatus>,
    /// The generation of the object that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// State of the BackupConfiguration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<InvokerPhase>,
    /// State of each repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<RepositoryStatusEntry>,
    /// State of each session's schedule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionStatus>,
    /// Whether the target exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_found: Option<bool>,
}
