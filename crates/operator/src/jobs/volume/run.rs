//! Running a Job for a volume, until it has succeeded.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use kubestash_backend::{LEFT_KEY, Left, REPORT_KEY};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Work;
use super::build::{build_job, build_rbac, build_report};
use crate::context::Context;
use crate::jobs::rbac::name_in;
use crate::jobs::run::launch;
use crate::jobs::{Outcome, judge, progress, told};
use crate::runtime::apply::{self, ApplyError, Manager};
use crate::runtime::attempt::{Attempt, Fingerprint};
use crate::runtime::failure::Failure;

const MANAGER: Manager = Manager("kubestash-volume-job");
/// The event of a Job that goes brings the next look; this is for one that is not ours to delete.
pub(crate) const LAST_REGARD: Duration = Duration::from_secs(30);

/// How a Job stands.
#[derive(Debug)]
pub(crate) struct State {
    /// Which Job that is.
    pub uid: String,
    /// How it stands.
    pub outcome: Outcome,
}

/// Makes the Job, unless it exists, and says how it stands.
///
/// # Errors
/// When the API server refuses; a name that is taken by another Job is told as an outcome.
pub(crate) async fn run(ctx: &Context, work: &Work<'_>) -> Result<State, ApplyError> {
    let name = work.job_name();
    let job = match ctx.watches.jobs.get(work.namespace, &name) {
        Some(job) => job.as_ref().clone(),
        None => start(ctx, work).await?,
    };
    let uid = job.uid().unwrap_or_default();
    if !work.is_for(&job) {
        let reason = "it belongs to another object: delete it, or wait until it is deleted";
        return Ok(State {
            uid,
            outcome: Outcome::Stuck(reason.to_owned()),
        });
    }
    let (pods, now) = (pods_of(ctx, &job), Timestamp::now());
    let told = told::read(ctx, Some(&job), &pods, now).await;
    let outcome = judge(&job, &pods, &told, now);
    Ok(State { uid, outcome })
}

async fn start(ctx: &Context, work: &Work<'_>) -> Result<Job, ApplyError> {
    if let Some(report) = build_report(work) {
        let api = ctx.api::<ConfigMap>(work.namespace);
        apply::object(&api, None, &report, MANAGER).await?;
    }
    let job = build_job(work, &ctx.image, &ctx.environment);
    launch(ctx, work.namespace, &build_rbac(work), &job, MANAGER).await
}

/// How the work stands, over all Jobs that were run for it.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It is done.
    Done,
    /// A Job runs.
    Working(String),
    /// A Job does not start; it is waited for.
    Hindered(Failure),
    /// The last Job failed; another one is run after a while.
    Failed(Failure),
}

/// Runs Jobs until one succeeds: one that failed is replaced after a delay that doubles. `uid` and
/// `generation` are those of the object that the work is for. Also says when to look again, if no
/// event will tell.
pub(crate) async fn persist(
    ctx: &Context,
    uid: &str,
    generation: Option<i64>,
    work: &Work<'_>,
) -> Result<(Progress, Option<Duration>), ApplyError> {
    let state = run(ctx, work).await?;
    let working = |what: &str| {
        Progress::Working(format!("Job {}/{} {what}", work.namespace, work.job_name()))
    };
    let reason = match state.outcome {
        Outcome::Succeeded => return Ok((Progress::Done, None)),
        Outcome::Running => return Ok((working("is running"), None)),
        Outcome::Starting { why: None, again } => return Ok((working("is starting"), Some(again))),
        Outcome::Starting {
            why: Some(why),
            again,
        } => {
            let message = format!("Job {}/{} waits: {why}", work.namespace, work.job_name());
            let hindered = Progress::Hindered(Failure::new(progress::POD_NOT_STARTED, message));
            return Ok((hindered, Some(again)));
        }
        Outcome::Failed(reason) | Outcome::Stuck(reason) => reason,
    };
    // The Job is part of what the attempt depends on: one failure of one Job counts once.
    let fingerprint = Fingerprint {
        generation,
        secret_version: None,
        content: state.uid,
    };
    let last = ctx.attempts.last(uid);
    let attempt = match last {
        Some(last) if last.fingerprint == fingerprint => {
            if last.wait(&fingerprint, Instant::now()).is_none() {
                discard(ctx, work).await?;
                return Ok((working("failed and is run again"), Some(LAST_REGARD)));
            }
            last
        }
        last => {
            let message = format!(
                "Job {}/{} failed: {reason}",
                work.namespace,
                work.job_name()
            );
            let failure = Failure::new("JobFailed", message);
            let attempt = Attempt::after(
                last.as_ref(),
                fingerprint.clone(),
                Some(failure),
                Instant::now(),
            );
            ctx.attempts.remember(uid, attempt.clone());
            attempt
        }
    };
    let again = attempt.wait(&fingerprint, Instant::now());
    Ok((
        Progress::Failed(
            attempt
                .failure
                .unwrap_or_else(|| Failure::new("JobFailed", reason)),
        ),
        again,
    ))
}

/// What a Job that has succeeded wrote into its ConfigMap; none if it wrote nothing.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn report(ctx: &Context, work: &Work<'_>) -> Result<Option<Vec<u8>>, ApplyError> {
    answer(ctx, work, REPORT_KEY).await
}

/// What a Job that has removed data left because it is not ours.
///
/// # Errors
/// When the API server refuses.
pub(crate) async fn left(ctx: &Context, work: &Work<'_>) -> Result<Left, ApplyError> {
    let answer = answer(ctx, work, LEFT_KEY).await?;
    let left = answer.and_then(|answer| serde_json::from_slice(&answer).ok());
    // Without an answer, or with one of another version, the Job's log has it.
    Ok(left.unwrap_or_default())
}

async fn answer(ctx: &Context, work: &Work<'_>, key: &str) -> Result<Option<Vec<u8>>, ApplyError> {
    let api = ctx.api::<ConfigMap>(work.namespace);
    let found = apply::get(&api, &work.job_name()).await?;
    let content = found.and_then(|found| found.binary_data?.remove(key));
    Ok(content.map(|content| content.0))
}

fn pods_of(ctx: &Context, job: &Job) -> Vec<Pod> {
    let uid = job.uid();
    let is_of = |pod: &Pod| {
        pod.owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == uid.as_ref())
    };
    ctx.watches
        .pods
        .select(is_of)
        .iter()
        .map(|pod| pod.as_ref().clone())
        .collect()
}

/// Removes the Job and everything made for it.
///
/// # Errors
/// When the API server refuses; what is gone already is fine.
pub(crate) async fn discard(ctx: &Context, work: &Work<'_>) -> Result<(), ApplyError> {
    let name = work.job_name();
    if let Some(job) = ctx.watches.jobs.get(work.namespace, &name)
        && work.is_for(&job)
    {
        apply::delete(&ctx.api::<Job>(work.namespace), job.as_ref()).await?;
        remove::<RoleBinding>(ctx, work, &name).await?;
        remove::<Role>(ctx, work, &name).await?;
        remove::<ServiceAccount>(ctx, work, &name).await?;
        if work.task.reports() {
            remove::<ConfigMap>(ctx, work, &name).await?;
        }
    }
    Ok(())
}

async fn remove<K>(ctx: &Context, work: &Work<'_>, name: &str) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let ours = work.labels();
    for namespace in work.access.namespaces().chain([work.namespace]) {
        let api = ctx.api::<K>(namespace);
        let name = name_in(namespace, work.namespace, name);
        let Some(found) = apply::get(&api, &name).await? else {
            continue;
        };
        if ours
            .iter()
            .all(|(key, value)| found.labels().get(key) == Some(value))
        {
            apply::delete(&api, &found).await?;
        }
    }
    Ok(())
}
