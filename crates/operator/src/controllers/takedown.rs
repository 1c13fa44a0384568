//! What the ends of BackupStorages, Repositories and Snapshots have in common.
//!
//! Invariant: as long as the finalizer stays, a condition and an Event say what is waited for and
//! what to do. What failed is tried again after a delay that doubles.

use std::fmt::Debug;
use std::time::Instant;

use jiff::Timestamp;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions::READY;
use kubestash_api::labels;
use kubestash_api::shared::{Condition, ConditionStatus};
use kubestash_backend::Left;
use kubestash_domain::condition;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::jobs::volume::{self, Progress, Work};
use crate::runtime::apply::{self, ApplyError, Manager, Owns};
use crate::runtime::attempt::{Attempt, Fingerprint};
use crate::runtime::controller::{Reason, full_text};
use crate::runtime::events::Notice;
use crate::runtime::failure::Failure;
use crate::runtime::finalizer;
use crate::stores::StoreError;

/// Said when there is nothing left to remove.
pub(crate) const BUCKET_GONE: &str =
    "the bucket does not exist any more, so there was no data to remove";

/// A kind whose end takes data along.
pub(crate) trait TakenDown:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
{
    /// Who writes its status.
    const MANAGER: Manager;
    /// How much of the status that is.
    const OWNS: Owns;
    /// What is said in the status.
    type Status: Serialize;

    /// Its conditions.
    fn conditions(&self) -> &[Condition];

    /// The status that says so.
    fn with(&self, ready: Condition) -> Self::Status;
}

/// Says in the status what the deletion waits for.
pub(crate) async fn tell<K: TakenDown>(
    ctx: &Context,
    object: &K,
    reason: &str,
    message: &str,
) -> Result<(), ApplyError> {
    let (waiting, now) = (ConditionStatus::False, Timestamp::now());
    let ready = condition::ready(waiting, reason, message, object.meta().generation, now);
    let api = ctx.api::<K>(&object.namespace().unwrap_or_default());
    apply::status(&api, object, &object.with(ready), K::OWNS, K::MANAGER).await?;
    Ok(())
}

/// Says, also in an Event, what stands in the way of the deletion.
pub(crate) async fn blocked<K: TakenDown>(
    ctx: &Context,
    object: &K,
    failure: &Failure,
) -> Result<(), ApplyError> {
    tell(ctx, object, &failure.kind, &failure.message).await?;
    // Behind the condition: whoever is woken by the Event finds it.
    let notice = Notice::warning(&failure.kind, &failure.message);
    ctx.events.tell(object, &notice).await;
    Ok(())
}

/// Lets the object go, and says what there is to say about what it leaves.
pub(crate) async fn release<K: TakenDown>(
    ctx: &Context,
    object: &K,
    notice: Option<Notice>,
) -> Result<(), ApplyError> {
    let namespace = object.namespace().unwrap_or_default();
    if let Some(notice) = notice {
        // In a namespace that is being deleted the Event is refused; the log keeps the word.
        tracing::warn!(
            namespace,
            kind = %K::kind(&()),
            name = object.name_any(),
            reason = notice.reason,
            note = notice.note,
            "an object is deleted"
        );
        ctx.events.tell(object, &notice).await;
    }
    finalizer::remove(&ctx.api::<K>(&namespace), object, labels::CLEANUP_FINALIZER).await?;
    let uid = object.uid().unwrap_or_default();
    ctx.attempts.forget(&uid);
    // What was kept in memory of a storage, and its credentials.
    ctx.stores.forget(&uid);
    Ok(())
}

/// Remembers an attempt that failed, says why, and when the next one is due. In a namespace that is
/// being deleted nothing can be mended any more; there the object goes without its data.
pub(crate) async fn failed<K: TakenDown>(
    ctx: &Context,
    object: &K,
    last: Option<&Attempt>,
    fingerprint: Fingerprint,
    error: &StoreError,
) -> Result<Action, ApplyError> {
    if error.is_permanent() && ctx.is_terminating(&object.namespace().unwrap_or_default()) {
        let note = format!(
            "the namespace is being deleted, so the data stays, because nothing can be repaired there any more: {}; \
             remove the data by hand",
            full_text(error)
        );
        release(ctx, object, Some(Notice::warning("DataLeftBehind", note))).await?;
        return Ok(Action::await_change());
    }
    let told = condition::find(object.conditions(), READY).map(|ready| ready.message.as_str());
    let failure = Failure::of(error.kind(), error, told);
    let now = Instant::now();
    let attempt = Attempt::after(last, fingerprint.clone(), Some(failure.clone()), now);
    let wait = attempt.wait(&fingerprint, now).unwrap_or_default();
    ctx.attempts
        .remember(&object.uid().unwrap_or_default(), attempt);
    blocked(ctx, object, &failure).await?;
    Ok(Action::requeue(wait))
}

/// What to say about files that stay because they are not ours.
pub(crate) fn left_behind(left: &Left) -> Option<Notice> {
    left.told()
        .map(|told| Notice::warning("ForeignFilesKept", told))
}

/// How far a Job has come.
pub(crate) enum Done {
    /// The data is gone, apart from files that are not ours.
    Yes(Left),
    /// When to look again.
    NotYet(Action),
}

/// Has a Job remove the data from a volume.
pub(crate) async fn by_job<K: TakenDown>(
    ctx: &Context,
    object: &K,
    work: &Work<'_>,
) -> Result<Done, ApplyError> {
    let uid = object.uid().unwrap_or_default();
    let (progress, again) = volume::persist(ctx, &uid, object.meta().generation, work).await?;
    match progress {
        Progress::Done => {
            let left = volume::left(ctx, work).await?;
            volume::discard(ctx, work).await?;
            return Ok(Done::Yes(left));
        }
        Progress::Failed(failure) => {
            let message = format!(
                "{}; the data could not be removed: remove the cause, or set spec.deletionPolicy to Delete to keep the data",
                failure.message
            );
            blocked(ctx, object, &Failure::new(&failure.kind, message)).await?;
        }
        Progress::Working(doing) => tell(ctx, object, "Deleting", &doing).await?,
        Progress::Hindered(failure) => blocked(ctx, object, &failure).await?,
    }
    Ok(Done::NotYet(
        again.map_or_else(Action::await_change, Action::requeue),
    ))
}
