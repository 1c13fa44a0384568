//! Types used by more than one kind.
//!
//! Invariant: what looks the same in two kinds *is* the same type here, so that a rule about it is
//! written once.

mod addon;
mod backend;
mod condition;
mod hook;
mod pod_template;
mod policy;
mod reference;
mod runtime;
mod scheduler;
mod usage;
mod volume;
mod word;

pub use addon::{
    AddonInfo, AddonVolume, Driver, ParameterDefinition, TargetVolumes, TaskReference,
};
pub use backend::{
    BackendReference, BackendStatus, RepositoryInfo, RepositoryPhase, RepositoryStatusEntry,
    RetentionPolicyStatus, SessionStatus, StorageStatus,
};
pub use condition::{Condition, ConditionStatus};
pub use hook::{
    BackupHooks, HookExecutionPolicy, HookExecutionStatus, HookInfo, HookPhase, HookStatus,
    RestoreHooks,
};
pub use pod_template::{LocalReference, ObjectMetadata, PodSpec, PodTemplateSpec};
pub use policy::{BackupConfigurationDeletionPolicy, DeletionPolicy, RepositoryDeletionPolicy};
pub use reference::{
    ObjectReference, ResourceFoundStatus, TypedLocalObjectReference, TypedObjectReference,
};
pub use runtime::{ContainerRuntimeSettings, IoNice, Nice, PodRuntimeSettings, RuntimeSettings};
pub(crate) use scheduler::one;
pub use scheduler::{JobTemplate, RetryConfig, SchedulerSpec};
pub use usage::{AllowedNamespaces, NamespacePolicy, UsagePolicy};
pub use volume::{
    ClaimMetadata, PersistentVolumeClaim, TemplatedVolumeSource, Volume, VolumeSource,
};
pub use word::UnknownWord;

/// Serde predicate: whether a defaulted value may be left out because it is the empty one.
pub(crate) fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
