//! What an object refers to, looked up, and judged where it is used.

use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupConfiguration, RestoreSession};
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::{Repository, Snapshot};
use serde::Serialize;

use super::references::{self, Purpose, Restored, kind_of};
use super::verdict::{self, Named};
use super::{Grant, Need, Reference, Subject, owner};
use crate::context::Context;
use crate::controllers::backupconfiguration::target::TargetError;
use crate::controllers::backupconfiguration::target_reference;
use crate::controllers::backupsession::{Source, way};
use crate::runtime::apply::{self, ApplyError};
use crate::validation::Violation;

/// Why it could not be found out what an object refers to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// A request failed.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The kind of a target could not be looked up.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nobody says whether a user has a right.
    #[error(
        "failed to ask whether the user has the right: the operator needs create on subjectaccessreviews"
    )]
    Review(#[source] Box<kube::Error>),
}

/// The object as messages name it.
pub(super) fn named<K: Resource<DynamicType = ()>>(object: &K) -> Named {
    Named {
        kind: kind_of::<K>(),
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        from: object.namespace().unwrap_or_default(),
    }
}

/// What nobody has allowed of `references`, which `object` holds.
fn judge<K>(ctx: &Context, object: &K, references: &[Reference]) -> Vec<Violation>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    if references.is_empty() {
        return Vec::new();
    }
    let granted = Grant::needs_of(&Subject::of(object), &ctx.grants);
    let own = object.namespace().unwrap_or_default();
    verdict::refusals(&named(object), references, &granted, |need| {
        owner::consented(ctx, need, &own)
    })
}

/// Whether the owner of what `need` is about lets objects of the namespace `own` do it.
pub(crate) fn is_consented(ctx: &Context, need: &Need, own: &str) -> bool {
    owner::consented(ctx, need, own)
}

/// What nobody has allowed of a BackupConfiguration, the way behind its target included.
///
/// # Errors
/// When a request fails.
pub(crate) async fn configuration(
    ctx: &Context,
    object: &BackupConfiguration,
) -> Result<Vec<Violation>, ApplyError> {
    let source = source_of(ctx, object).await?;
    Ok(judge(
        ctx,
        object,
        &of_configuration(object, source.as_ref()),
    ))
}

/// The way to the target of a configuration; none if it has no target.
pub(super) async fn source_of(
    ctx: &Context,
    object: &BackupConfiguration,
) -> Result<Option<Source>, ApplyError> {
    if object.spec.target.is_none() {
        return Ok(None);
    }
    let own = object.namespace().unwrap_or_default();
    way(ctx, &target_reference(object), &own).await.map(Some)
}

/// The references of a BackupConfiguration, the way behind its target included.
pub(super) fn of_configuration(
    object: &BackupConfiguration,
    source: Option<&Source>,
) -> Vec<Reference> {
    let mut found = references::of_configuration(object);
    if let (Some(target), Some(source)) = (&object.spec.target, source) {
        let own = object.namespace().unwrap_or_default();
        found.extend(references::along(
            "spec.target",
            target,
            source,
            &own,
            Purpose::BackUp,
        ));
    }
    found
}

/// What nobody has allowed of a Repository. `used_by` is a configuration of the same namespace that
/// uses it: what was granted to that may be used through the Repository.
#[must_use]
pub(crate) fn repository(
    ctx: &Context,
    object: &Repository,
    used_by: Option<&BackupConfiguration>,
) -> Vec<Violation> {
    let references = references::of_repository(object);
    let granted = used_by
        .filter(|_| !references.is_empty())
        .map(|used_by| Grant::needs_of(&Subject::of(used_by), &ctx.grants))
        .unwrap_or_default();
    let open: Vec<_> = references
        .into_iter()
        .filter(|reference| !granted.contains(&reference.need))
        .collect();
    judge(ctx, object, &open)
}

/// What nobody has allowed of a RestoreSession, the way behind its target and its Repository
/// included.
#[must_use]
pub(crate) fn restore(
    ctx: &Context,
    object: &RestoreSession,
    restored: Restored<'_>,
    source: &Source,
) -> Vec<Violation> {
    let mut found = judge(ctx, object, &of_restore(object, restored, Some(source)));
    found.extend(another_snapshot(object, restored));
    let data = object.spec.data_source.as_ref();
    let own_password = data.is_some_and(|data| data.encryption_secret.is_some());
    if let (Some(used), false) = (restored.repository, own_password) {
        // It is the Repository that refers to its Secret, so it is the one that has to be allowed
        // to.
        let refusals = repository(ctx, used, None).into_iter();
        found.extend(refusals.map(|refusal| Violation {
            field: format!("Repository {}: {}", used.name_any(), refusal.field),
            ..refusal
        }));
    }
    found
}

/// What is restored from another namespace must be what the session says: which Snapshot that was
/// when it began is in the status, and whoever may write the session may write that as well.
fn another_snapshot(object: &RestoreSession, restored: Restored<'_>) -> Option<Violation> {
    let own = object.namespace().unwrap_or_default();
    let source = object.spec.data_source.as_ref()?;
    let foreign = source
        .namespace
        .as_ref()
        .filter(|name| !name.is_empty() && **name != own);
    let (_, snapshot) = (foreign?, restored.snapshot?);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let latest = kubestash_api::core::RestoreDataSource::LATEST;
    let asked = given(&source.snapshot).filter(|name| name != latest);
    let is_asked = asked.is_none_or(|name| name == snapshot.name_any())
        && given(&source.repository).is_none_or(|name| name == snapshot.spec.repository);
    (!is_asked).then(|| Violation {
        field: "status.dependencies".to_owned(),
        message: format!(
            "Snapshot {} is not the one of spec.dataSource: create another RestoreSession",
            snapshot.name_any()
        ),
    })
}

/// Whether a RestoreSession may restore into `target`, as far as the target itself is concerned.
pub(crate) fn may_restore_into(
    ctx: &Context,
    object: &RestoreSession,
    target: &TypedObjectReference,
) -> bool {
    let own = object.namespace().unwrap_or_default();
    let need = Purpose::Restore.need(target, &own);
    need.namespace() == own
        || Grant::needs_of(&Subject::of(object), &ctx.grants).contains(&need)
        || owner::consented(ctx, &need, &own)
}

/// The references of a RestoreSession, the way behind its target included.
pub(super) fn of_restore(
    object: &RestoreSession,
    restored: Restored<'_>,
    source: Option<&Source>,
) -> Vec<Reference> {
    let mut found = references::of_restore(object, restored);
    let target = references::restore_target(object, restored);
    if let (Some((field, target)), Some(source)) = (target, source) {
        let own = object.namespace().unwrap_or_default();
        found.extend(references::along(
            field,
            &target,
            source,
            &own,
            Purpose::Restore,
        ));
    }
    found
}

/// The Snapshot that a RestoreSession will most likely restore, and its Repository, as far as they
/// exist.
pub(super) async fn restored_by(
    ctx: &Context,
    object: &RestoreSession,
) -> Result<(Option<Snapshot>, Option<Repository>), ApplyError> {
    let own = object.namespace().unwrap_or_default();
    let source = object.spec.data_source.clone().unwrap_or_default();
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let namespace = given(source.namespace).unwrap_or(own);
    let latest = kubestash_api::core::RestoreDataSource::LATEST;
    let repository = given(source.repository);
    let snapshot = match given(source.snapshot).filter(|name| name != latest) {
        Some(name) => apply::get::<Snapshot>(&ctx.api(&namespace), &name).await?,
        None => {
            let found = ctx.watches.snapshots.select(|snapshot| {
                snapshot.namespace().as_deref() == Some(namespace.as_str())
                    && Some(&snapshot.spec.repository) == repository.as_ref()
            });
            let newest = found
                .iter()
                .max_by_key(|found| found.metadata.creation_timestamp.as_ref().map(|at| at.0));
            newest.map(|found| found.as_ref().clone())
        }
    };
    let of_snapshot = snapshot
        .as_ref()
        .map(|snapshot| snapshot.spec.repository.clone());
    let repository = match of_snapshot.or(repository) {
        Some(name) => apply::get(&ctx.api(&namespace), &name).await?,
        None => None,
    };
    Ok((snapshot, repository))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn from_another_namespace_only_the_snapshot_is_restored_that_the_session_names() {
        let session = |source: Value| -> RestoreSession {
            serde_json::from_value(json!({
                "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
                "metadata": {"name": "r", "namespace": "demo"}, "spec": {"dataSource": source},
            }))
            .unwrap()
        };
        let snapshot: Snapshot = serde_json::from_value(json!({
            "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "namespace": "other"}, "spec": {"repository": "r"},
        }))
        .unwrap();
        let restored = Restored {
            snapshot: Some(&snapshot),
            repository: None,
        };
        let cases = [
            (
                json!({"namespace": "other", "repository": "r", "snapshot": "latest"}),
                true,
            ),
            (json!({"namespace": "other", "snapshot": "s"}), true),
            (
                json!({"namespace": "other", "repository": "r", "snapshot": "s"}),
                true,
            ),
            (
                json!({"namespace": "other", "repository": "another", "snapshot": "latest"}),
                false,
            ),
            (json!({"namespace": "other", "snapshot": "another"}), false),
            // At home an edit changes nothing once the restore has begun.
            (json!({"snapshot": "another"}), true),
        ];
        for (source, fine) in cases {
            let refused = another_snapshot(&session(source.clone()), restored);
            assert_eq!(refused.is_none(), fine, "{source}");
        }
    }
}
