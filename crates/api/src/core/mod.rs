//! Kinds of `core.kubestash.com`: what is backed up and restored, when and how.

mod backup_batch;
mod backup_blueprint;
mod backup_configuration;
mod backup_session;
mod backup_verification_session;
mod backup_verifier;
mod hook_action;
mod hook_template;
mod manifest_options;
mod restore_session;

pub use backup_batch::{
    BackupBatch, BackupBatchSpec, BackupBatchStatus, BatchSession, BatchTarget, TargetBackup,
};
pub use backup_blueprint::{
    BackupBlueprint, BackupBlueprintSpec, BackupConfigurationTemplate, Subject,
};
pub use backup_configuration::{
    BackupConfiguration, BackupConfigurationSpec, BackupConfigurationStatus, InvokerPhase, Session,
};
pub use backup_session::{
    BackupSession, BackupSessionPhase, BackupSessionSpec, BackupSessionStatus,
    RetentionPolicyApplyPhase, RetentionPolicyApplyStatus, SessionSnapshotStatus,
};
pub use backup_verification_session::{
    BackupVerificationSession, BackupVerificationSessionPhase, BackupVerificationSessionSpec,
    BackupVerificationSessionStatus,
};
pub use backup_verifier::{
    BackupVerifier, BackupVerifierSpec, RestoreOption, ScriptVerifier, VerificationType,
};
pub use hook_action::{
    ExecAction, FormEntry, HookAction, HttpGetAction, HttpPostAction, TcpSocketAction,
};
pub use hook_template::{
    HookExecutor, HookExecutorType, HookFunctionExecutor, HookPodExecutor, HookTemplate,
    HookTemplateSpec, PodExecutionStrategy,
};
pub use manifest_options::{
    DatabaseManifestOptions, DruidManifestOptions, ManifestOptions, MsSqlServerManifestOptions,
    RedisSentinelManifestOptions, WorkloadManifestOptions,
};
pub use restore_session::{
    PointInTime, RestoreComponentStatus, RestoreDataSource, RestorePhase, RestoreSession,
    RestoreSessionSpec, RestoreSessionStatus,
};
