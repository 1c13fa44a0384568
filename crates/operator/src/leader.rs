//! One writer among several replicas: a Lease in the operator's namespace.
//!
//! Invariant: who cannot renew the Lease for [`GIVE_UP`] stops writing, well before anyone else may take it after
//! [`DURATION`]. Clocks are not compared between machines: a Lease is expired when it has not changed for its duration
//! as measured here.

use std::time::{Duration, Instant};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, ResourceExt, api::PostParams};

use crate::context::Context;

const NAME: &str = "kubestash-operator";
const DURATION: Duration = Duration::from_secs(30);
const GIVE_UP: Duration = Duration::from_secs(20);
const RENEW: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(3);

/// Why leadership ended.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another replica holds the Lease.
    #[error("failed to renew Lease {NAME}: {holder} has taken it")]
    Taken {
        /// Who that is.
        holder: String,
    },
    /// The API server could not be reached for too long.
    #[error("failed to renew Lease {NAME} for {} s", GIVE_UP.as_secs())]
    NotRenewed(#[source] Box<kube::Error>),
}

impl LeaderError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "LeaseTaken",
            Self::NotRenewed(_) => "LeaseNotRenewed",
        }
    }
}

/// A Lease that is held.
pub(crate) struct Held {
    api: Api<Lease>,
    lease: Lease,
    identity: String,
}

/// Waits until this replica holds the Lease.
pub(crate) async fn acquire(ctx: &Context, instance: &str) -> Held {
    let api: Api<Lease> = ctx.api(&ctx.namespace);
    let identity = format!("{instance}_{}", uuid::Uuid::new_v4());
    let mut observed: Option<(Option<String>, Instant)> = None;
    loop {
        match attempt(&api, &identity, &mut observed).await {
            Ok(Some(lease)) => {
                tracing::info!(identity, "this replica leads");
                return Held {
                    api,
                    lease,
                    identity,
                };
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "failed to ask for the Lease, trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn attempt(
    api: &Api<Lease>,
    identity: &str,
    observed: &mut Option<(Option<String>, Instant)>,
) -> Result<Option<Lease>, kube::Error> {
    let Some(mut lease) = api.get_opt(NAME).await? else {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(renewed(LeaseSpec::default(), identity)),
        };
        return lost_race(api.create(&PostParams::default(), &lease).await);
    };
    let now = Instant::now();
    let version = lease.resource_version();
    let since = match observed {
        Some((seen, since)) if *seen == version => *since,
        _ => {
            *observed = Some((version, now));
            now
        }
    };
    let spec = lease.spec.clone().unwrap_or_default();
    if !is_free(&spec, now.duration_since(since)) {
        return Ok(None);
    }
    lease.spec = Some(renewed(spec, identity));
    lost_race(api.replace(NAME, &PostParams::default(), &lease).await)
}

/// Whether a Lease that has not changed for `unchanged` can be taken.
fn is_free(spec: &LeaseSpec, unchanged: Duration) -> bool {
    let held = spec
        .holder_identity
        .as_deref()
        .is_some_and(|holder| !holder.is_empty());
    let duration = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    !held || unchanged > duration.map_or(DURATION, Duration::from_secs)
}

fn renewed(mut spec: LeaseSpec, identity: &str) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    if spec.holder_identity.as_deref() != Some(identity) {
        spec.holder_identity = Some(identity.to_owned());
        spec.acquire_time = Some(now.clone());
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
    }
    spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
    spec.renew_time = Some(now);
    spec
}

fn lost_race(outcome: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match outcome {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Held {
    /// Renews the Lease until the operator stops, then gives it back; or until it is lost.
    pub(crate) async fn keep(mut self, ctx: &Context) -> Result<(), LeaderError> {
        let mut renewed_at = Instant::now();
        let mut pause = RENEW;
        loop {
            if ctx
                .shutdown
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                self.give_back().await;
                return Ok(());
            }
            pause = RETRY;
            match self.renew().await {
                Ok(()) => {
                    renewed_at = Instant::now();
                    pause = RENEW;
                }
                Err(RenewError::Taken(holder)) => return Err(LeaderError::Taken { holder }),
                Err(RenewError::Api(error)) if renewed_at.elapsed() > GIVE_UP => {
                    return Err(LeaderError::NotRenewed(Box::new(error)));
                }
                Err(RenewError::Api(error)) => {
                    tracing::warn!(%error, "failed to renew the Lease, trying again")
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<(), RenewError> {
        let mut wanted = self.lease.clone();
        wanted.spec = Some(renewed(wanted.spec.unwrap_or_default(), &self.identity));
        match self
            .api
            .replace(NAME, &PostParams::default(), &wanted)
            .await
        {
            Ok(lease) => {
                self.lease = lease;
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let lease = self.api.get(NAME).await.map_err(RenewError::Api)?;
                let holder = lease
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.holder_identity.clone())
                    .unwrap_or_default();
                self.lease = lease;
                if holder == self.identity {
                    Ok(())
                } else {
                    Err(RenewError::Taken(holder))
                }
            }
            Err(error) => Err(RenewError::Api(error)),
        }
    }

    /// The next replica need not wait for the Lease to expire.
    async fn give_back(mut self) {
        if let Some(spec) = &mut self.lease.spec {
            spec.holder_identity = None;
        }
        if let Err(error) = self
            .api
            .replace(NAME, &PostParams::default(), &self.lease)
            .await
        {
            tracing::debug!(%error, "failed to give the Lease back, it expires by itself");
        }
    }
}

enum RenewError {
    Taken(String),
    Api(kube::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_free_when_nobody_holds_it_or_its_holder_is_silent_for_its_duration() {
        let spec = |holder: Option<&str>, seconds: Option<i32>| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        let cases = [
            (spec(None, Some(30)), 0, true),
            (spec(Some(""), Some(30)), 0, true),
            (spec(Some("a"), Some(30)), 30, false),
            (spec(Some("a"), Some(30)), 31, true),
            (spec(Some("a"), Some(5)), 6, true),
            (spec(Some("a"), None), 29, false),
        ];
        for (spec, seconds, expected) in cases {
            assert_eq!(
                is_free(&spec, Duration::from_secs(seconds)),
                expected,
                "{spec:?} {seconds}"
            );
        }
    }

    #[test]
    fn only_a_new_holder_is_a_transition() {
        let first = renewed(LeaseSpec::default(), "a");
        let again = renewed(first.clone(), "a");
        assert_eq!(
            (first.lease_transitions, again.lease_transitions),
            (Some(1), Some(1))
        );
        assert_eq!(first.acquire_time, again.acquire_time);
        assert_eq!(renewed(again, "b").lease_transitions, Some(2));
    }
}
