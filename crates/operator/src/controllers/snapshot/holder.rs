//! Who holds a repository's lock, and whether that is provably gone.
//!
//! Invariant: a lock is only called stale when its holder works for the same Repository object, its
//! Job is over or gone, and no pod of it is left that could still write.

use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kubestash_api::storage::Repository;
use kubestash_domain::lock_holder::LockHolder;
use kubestash_engine::LockOwner;

use crate::context::Context;

/// Who the operator is in lock files if its machine has no name.
const NAME: &str = "kubestash-operator";

/// Who the operator is in lock files: its machine, as for restic itself, so that the lock of one
/// that was killed is known to be stale by whoever runs beside it. No Job has a name of this form
/// (there is no uid in it), so nobody takes the operator for a Job that has ended.
pub(crate) fn own_name() -> String {
    kubestash_engine::machine::hostname()
        .filter(|name| LockHolder::parse(name).is_none())
        .unwrap_or_else(|| NAME.to_owned())
}

/// The operator as the holder of locks of `repository`.
pub(crate) fn operator(ctx: &Context, repository: &Repository) -> LockOwner {
    let (jobs, pods) = (ctx.watches.jobs.clone(), ctx.watches.pods.clone());
    let namespace = repository.namespace().unwrap_or_default();
    let own = own_name();
    // The name in front is of no account here, it only asks.
    let asking = LockHolder::new(&own, repository.uid().unwrap_or_default());
    LockOwner::new(own).with_gone_check(Arc::new(move |hostname| {
        let gone = asking.sees_gone(&hostname, |job| {
            // A restore may run in another namespace; its Job has the name of its session.
            let (namespace, name) =
                LockHolder::restore_of(job).unwrap_or((namespace.as_str(), job));
            let job = jobs.get(namespace, name);
            let left = pods
                .select(|pod| pod.namespace().as_deref() == Some(namespace) && is_of(pod, name));
            is_over(job.as_deref(), left.iter().map(AsRef::as_ref))
        });
        std::future::ready(gone).boxed()
    }))
}

/// Whether nothing of the Job of that name, which is `job` by now, can write any more.
pub(crate) fn is_over_in(ctx: &Context, namespace: &str, name: &str, job: Option<&Job>) -> bool {
    let left = ctx
        .watches
        .pods
        .select(|pod| pod.namespace().as_deref() == Some(namespace) && is_of(pod, name));
    is_over(job, left.iter().map(AsRef::as_ref))
}

fn is_of(pod: &Pod, job: &str) -> bool {
    pod.owner_references()
        .iter()
        .any(|owner| owner.kind == "Job" && owner.name == job)
}

/// Whether nothing of a Job can write any more.
fn is_over<'a>(job: Option<&Job>, mut pods: impl Iterator<Item = &'a Pod>) -> bool {
    let conditions = job
        .and_then(|job| job.status.as_ref())
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let has_ended = job.is_none()
        || conditions.iter().any(|condition| {
            matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
        });
    let runs = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    has_ended && !pods.any(runs)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(conditions: Value) -> Job {
        serde_json::from_value(
            json!({"metadata": {"name": "j"}, "status": {"conditions": conditions}}),
        )
        .unwrap()
    }

    fn pod(phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "1"}]},
            "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_job_is_over_when_it_has_ended_or_is_gone_and_no_pod_of_it_is_left() {
        let ended = job(json!([{"type": "Failed", "status": "True"}]));
        let running = job(json!([]));
        let cases = [
            (Some(&running), vec![], false),
            (Some(&ended), vec![], true),
            (Some(&ended), vec![pod("Failed"), pod("Succeeded")], true),
            (Some(&ended), vec![pod("Running")], false),
            (None, vec![], true),
            // A pod that is being ended may still write.
            (None, vec![pod("Running")], false),
        ];
        for (job, pods, expected) in cases {
            assert_eq!(is_over(job, pods.iter()), expected, "{job:?} {pods:?}");
        }
        assert!(is_of(&pod("Running"), "j") && !is_of(&pod("Running"), "k"));
    }

    #[test]
    fn nobody_takes_the_operator_for_a_job_that_has_ended() {
        assert_eq!(LockHolder::parse(NAME), None);
        assert_eq!(LockHolder::parse(&own_name()), None);
    }
}
