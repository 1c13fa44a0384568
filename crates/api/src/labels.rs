//! Keys of labels, annotations and finalizers, and the values that are fixed.
//!
//! Invariant: no other file spells one of these keys.

/// Label of everything that kubestash makes; see [`MANAGED_BY_KUBESTASH`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`MANAGED_BY`].
pub const MANAGED_BY_KUBESTASH: &str = "kubestash.com";
/// Label of our CRDs; see [`NAME_KUBESTASH`].
pub const NAME: &str = "app.kubernetes.io/name";
/// Value of [`NAME`].
pub const NAME_KUBESTASH: &str = "kubestash";
/// Label of a Job and its pod: what the Job is for; see [`component`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label of a database's objects: name of the database.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// Values of [`COMPONENT`].
pub mod component {
    /// Backs up.
    pub const BACKUP: &str = "kubestash-backup";
    /// Restores.
    pub const RESTORE: &str = "kubestash-restore";
    /// Prepares a storage.
    pub const INITIALIZER: &str = "kubestash-initializer";
    /// Uploads metadata.
    pub const UPLOADER: &str = "kubestash-uploader";
    /// Removes data.
    pub const CLEANER: &str = "kubestash-cleaner";
    /// Applies a retention policy.
    pub const RETENTION_POLICY: &str = "kubestash-retention-policy";
    /// Runs a hook.
    pub const HOOK: &str = "kubestash-hook";
    /// Fills a volume.
    pub const POPULATOR: &str = "kubestash-populator";
    /// Checks a snapshot.
    pub const BACKUP_VERIFIER: &str = "kubestash-backup-verifier";
    /// A database's own objects.
    pub const DATABASE: &str = "database";
}

/// Label of what reaches a network volume; see [`APP_NETVOL_ACCESSOR`].
pub const APP: &str = "kubestash.com/app";
/// Value of [`APP`].
pub const APP_NETVOL_ACCESSOR: &str = "kubestash-netvol-accessor";

/// Label: name of the object that caused this one. On a BackupSession the BackupConfiguration's, on
/// a Job and its pod the BackupSession's.
pub const INVOKER_NAME: &str = "kubestash.com/invoker-name";
/// Label: namespace of the object that caused this one.
pub const INVOKER_NAMESPACE: &str = "kubestash.com/invoker-namespace";
/// Label: kind of the object that caused this one.
pub const INVOKER_KIND: &str = "kubestash.com/invoker-kind";
/// Label: name of the session.
pub const SESSION_NAME: &str = "kubestash.com/session-name";
/// Label: name of the Repository.
pub const REPO_NAME: &str = "kubestash.com/repo-name";
/// Label of a Snapshot: kind of the target.
pub const APP_REF_KIND: &str = "kubestash.com/app-ref-kind";
/// Label of a Snapshot: namespace of the target.
pub const APP_REF_NAMESPACE: &str = "kubestash.com/app-ref-namespace";
/// Label of a Snapshot: name of the target.
pub const APP_REF_NAME: &str = "kubestash.com/app-ref-name";

/// Annotation of a target: name of the BackupBlueprint to back it up with.
pub const BLUEPRINT_NAME: &str = "blueprint.kubestash.com/name";
/// Annotation of a target: namespace of the BackupBlueprint.
pub const BLUEPRINT_NAMESPACE: &str = "blueprint.kubestash.com/namespace";
/// Annotation of a target: names of the blueprint's sessions to use, separated by commas.
pub const BLUEPRINT_SESSION_NAMES: &str = "blueprint.kubestash.com/session-names";
/// Start of the annotations of a target that give the blueprint's variables; the variable's name
/// follows.
pub const VARIABLE_PREFIX: &str = "variables.kubestash.com/";

/// Annotation of a Snapshot that a retention policy lets go: name of the BackupSession whose Job
/// removes it. As long as that session works, nobody else does. It gives no right: what goes is
/// what was deleted.
pub const REMOVED_BY: &str = "kubestash.com/removed-by";

/// The annotations under domains of ours that mean something; those of [`VARIABLE_PREFIX`] aside.
/// Whoever adds one adds it here: any other one is taken for a spelling mistake, and told.
pub const ANNOTATIONS: [&str; 11] = [
    ALLOWED_NAMESPACES,
    BLUEPRINT_NAME,
    BLUEPRINT_NAMESPACE,
    BLUEPRINT_SESSION_NAMES,
    GRANTED_REFERENCES,
    POPULATED_FROM,
    POPULATOR_APP_NAME,
    READ_BACK,
    REMOVED_BY,
    RESTORE_BENEFICIARY,
    RESTORE_FROM_NAMESPACES,
];

/// Annotation of a volume claim: the Snapshot it was filled from.
pub const POPULATED_FROM: &str = "populator.kubestash.com/populated-from";
/// Annotation of a volume claim: the application it is filled for.
pub const POPULATOR_APP_NAME: &str = "populator.kubestash.com/app-name";
/// Annotation of a Snapshot: version of the database when it was backed up.
pub const DB_VERSION: &str = "kubedb.com/db-version";
/// Annotation that other tools of the ecosystem write on what a restore is for.
pub const RESTORE_BENEFICIARY: &str = "restoresession.kubestash.com/beneficiary";

/// Annotation of a BackupStorage that has been read back, and of the Repositories that came back by
/// it.
pub const READ_BACK: &str = "kubestash.com/read-back";
/// Annotation by which the owner of a Secret, a database (or its AppBinding) or a Repository lets
/// objects of other namespaces use it: read it, back it up, restore its snapshots. Namespaces
/// separated by commas; `*` is all of them.
pub const ALLOWED_NAMESPACES: &str = "kubestash.com/allowed-namespaces";
/// Annotation by which the owner of a database (or its AppBinding) lets RestoreSessions of other
/// namespaces restore into it and, on a Namespace, lets them create and replace objects there. The
/// same form as [`ALLOWED_NAMESPACES`].
pub const RESTORE_FROM_NAMESPACES: &str = "kubestash.com/restore-from-namespaces";
/// Annotation that the operator writes: the references to other namespaces that the object's author
/// had the right to make. It is authenticated; what anybody else writes there counts for nothing.
pub const GRANTED_REFERENCES: &str = "kubestash.com/granted-references";

/// Finalizer of the kinds whose deletion has to clean something up.
pub const CLEANUP_FINALIZER: &str = "kubestash.com/cleanup";
