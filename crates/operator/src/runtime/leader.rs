//! One writer among several replicas: a Lease in the operator's namespace.
//!
//! Invariant: who cannot renew the Lease for [`GIVE_UP`] stops writing, well before anyone else may
//! take it after [`DURATION`]. Clocks are not compared between machines: a Lease is expired when it
//! has not changed for its duration as measured here. The one exception is a holder whose process
//! has ended on this very machine: it will not come back.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

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

/// What an attempt came to.
enum Attempt {
    /// The Lease is ours.
    Held(Box<Lease>),
    /// Somebody else holds it, or was faster.
    Taken {
        /// Who, as far as that is known.
        holder: Option<String>,
    },
}

/// Waits until this replica holds the Lease, and says for whom it waits.
pub(crate) async fn acquire(ctx: &Context, instance: &str) -> Held {
    let api: Api<Lease> = ctx.api(&ctx.namespace);
    let identity = format!("{instance}_{}_{}", Process::own(), uuid::Uuid::new_v4());
    let mut observed: Option<(Option<String>, Instant)> = None;
    let mut told: Option<String> = None;
    loop {
        match attempt(&api, &identity, &mut observed).await {
            Ok(Attempt::Held(lease)) => {
                tracing::info!(identity, "this replica leads");
                return Held {
                    api,
                    lease: *lease,
                    identity,
                };
            }
            Ok(Attempt::Taken { holder }) => {
                if let Some(holder) = holder.filter(|holder| told.as_ref() != Some(holder)) {
                    tracing::info!(
                        holder,
                        "another operator is at work: waiting for Lease {}/{NAME}",
                        ctx.namespace
                    );
                    told = Some(holder);
                }
            }
            Err(kube::Error::Api(status)) if status.code == 404 && create_namespace(ctx).await => {
                continue;
            }
            Err(error) => tracing::warn!(%error, "failed to ask for the Lease, trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Creates the operator's own namespace, which is all that the first Lease can lack; whether it is
/// new.
async fn create_namespace(ctx: &Context) -> bool {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(ctx.namespace.clone()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    match api.create(&PostParams::default(), &namespace).await {
        Ok(_) => {
            tracing::info!("created namespace {} for the Lease", ctx.namespace);
            true
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => false,
        Err(error) => {
            tracing::warn!(
                %error,
                "failed to create namespace {}: create it, or choose another with --namespace",
                ctx.namespace
            );
            false
        }
    }
}

async fn attempt(
    api: &Api<Lease>,
    identity: &str,
    observed: &mut Option<(Option<String>, Instant)>,
) -> Result<Attempt, kube::Error> {
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
    let holder = spec.holder_identity.clone().filter(|one| !one.is_empty());
    let ended = holder.as_deref().is_some_and(Process::has_ended);
    if !ended && !is_free(&spec, now.duration_since(since)) {
        return Ok(Attempt::Taken { holder });
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

fn lost_race(outcome: Result<Lease, kube::Error>) -> Result<Attempt, kube::Error> {
    match outcome {
        Ok(lease) => Ok(Attempt::Held(Box::new(lease))),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            Ok(Attempt::Taken { holder: None })
        }
        Err(error) => Err(error),
    }
}

/// A process of this machine as a part of an identity: a Lease whose holder was killed need not be
/// waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    /// The machine since it was started, and the PID namespace; absent where the kernel does not
    /// say.
    place: Option<String>,
    pid: u32,
}

impl Process {
    fn own() -> Self {
        Self {
            place: place(),
            pid: std::process::id(),
        }
    }

    /// The process in an identity.
    fn of(identity: &str) -> Option<Self> {
        // An instance may hold the separator, the two parts after it do not.
        let (_, process) = identity.rsplit_once('_')?.0.rsplit_once('_')?;
        let (place, pid) = process.rsplit_once('.')?;
        Some(Self {
            place: Some(place.to_owned()).filter(|place| !place.is_empty()),
            pid: pid.parse().ok()?,
        })
    }

    /// Whether the holder of a Lease was a process of this place that is no more.
    fn has_ended(identity: &str) -> bool {
        Self::of(identity).is_some_and(|holder| {
            holder.place.is_some()
                && holder.place == place()
                && !std::path::Path::new(&format!("/proc/{}", holder.pid)).exists()
        })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}",
            self.place.as_deref().unwrap_or_default(),
            self.pid
        )
    }
}

fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let digits =
        |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).collect() };
    Some(format!(
        "{}.{}",
        digits(&boot),
        digits(&namespace.to_string_lossy())
    ))
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

    #[test]
    fn a_lease_of_a_process_that_ended_on_this_machine_is_free_at_once() {
        let own = Process::own();
        let identity = |process: &Process| format!("a_pod_{process}_{}", uuid::Uuid::new_v4());
        assert_eq!(Process::of(&identity(&own)).as_ref(), Some(&own));
        assert!(
            !Process::has_ended(&identity(&own)),
            "this process is alive"
        );
        let ended = Process {
            pid: u32::MAX,
            ..own.clone()
        };
        assert!(Process::has_ended(&identity(&ended)));
        let elsewhere = Process {
            place: Some("other.machine".to_owned()),
            ..ended
        };
        assert!(!Process::has_ended(&identity(&elsewhere)));
        for other in ["", "name", "a_b", "a_b_c", "kubestash-operator_1234"] {
            assert!(!Process::has_ended(other), "{other}");
        }
    }
}
