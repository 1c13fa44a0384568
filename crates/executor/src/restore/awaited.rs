//! The database that the manifests of the same session have made: it comes up while we wait, and
//! waits for its data.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kubestash_api::core::RestoreSession;
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::manifest::{self, DatabaseKind};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cluster::Cluster;
use crate::database::{self, Database, Wanted};
use crate::failure::Failure;

/// How long a new database may take to come up, unless the session has a deadline.
const LIMIT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(500);

/// Whether manifests of this session come before its data.
pub(super) fn is_made_by(session: &RestoreSession) -> bool {
    let components = session.status.as_ref().map(|status| &status.components);
    session.spec.target.is_none()
        || components.is_some_and(|components| components.contains_key(manifest::COMPONENT))
}

/// Waits until the database of `target` can be found.
///
/// # Errors
/// If it cannot be found in time, or not at all.
pub(super) async fn database(
    cluster: &Cluster,
    session: &RestoreSession,
    target: &TypedObjectReference,
    wanted: Wanted<'_>,
) -> Result<Database, Failure> {
    let own = session.namespace().unwrap_or_default();
    let named_by = format!(
        "spec.manifestOptions of RestoreSession {own}/{}",
        session.name_any()
    );
    let until = Instant::now() + limit(session);
    let mut told = false;
    loop {
        let failure = match database::find(cluster, Some(target), &own, &named_by, wanted).await {
            Err(failure) if matches!(failure.kind.as_str(), "ApiNotFound" | "ApiForbidden") => {
                failure
            }
            found => return found,
        };
        if !told {
            tracing::info!("waiting for the new database: {failure}");
            told = true;
        }
        if Instant::now() + PAUSE >= until {
            let state = state(cluster, target, &own).await;
            return Err(Failure::transient(
                "DatabaseNotProvisioned",
                format!(
                    "failed to wait for the database that the manifests create: {failure}{state}"
                ),
            ));
        }
        sleep(PAUSE).await;
    }
}

fn limit(session: &RestoreSession) -> Duration {
    let status = session.status.as_ref();
    let deadline = status.and_then(|status| status.restore_deadline.as_ref());
    let left = deadline.map(|at| at.0.duration_since(Timestamp::now()));
    // A moment is left to say what was missing.
    left.and_then(|left| Duration::try_from(left).ok())
        .map_or(LIMIT, |left| left.saturating_sub(Duration::from_secs(2)))
}

/// What the database says about itself, if it may be read.
async fn state(cluster: &Cluster, target: &TypedObjectReference, referrer: &str) -> String {
    let Ok(Some((_, object))) = object(cluster, target, referrer).await else {
        return String::new();
    };
    let conditions = object["status"]["conditions"].as_array();
    let said = conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition["status"] == "False")
        .find_map(|condition| condition["message"].as_str());
    format!(
        "; {} {} is {}{}",
        target.kind(),
        target.name,
        object["status"]["phase"]
            .as_str()
            .unwrap_or("without a phase"),
        said.map(|said| format!(": {said}")).unwrap_or_default()
    )
}

async fn object(
    cluster: &Cluster,
    target: &TypedObjectReference,
    referrer: &str,
) -> Result<Option<(kube::api::ApiResource, Value)>, Failure> {
    let Some(kind) = DatabaseKind::of(target.group(), target.kind()) else {
        return Ok(None);
    };
    let Some(resource) = cluster.served(manifest::GROUP, kind.name(), None).await? else {
        return Ok(None);
    };
    let namespace = target.namespace_or(referrer);
    let found = cluster
        .find_object(&resource, namespace, &target.name)
        .await?;
    Ok(found.map(|object| (resource, object)))
}

/// Lets a database that waits for its first restore go on: the data is there. Who provides
/// databases may not know that a session without a target is about this one.
///
/// # Errors
/// If the object cannot be read or changed.
pub(super) async fn release(
    cluster: &Cluster,
    target: &TypedObjectReference,
) -> Result<(), Failure> {
    let namespace = target.namespace_or("").to_owned();
    let Some((resource, object)) = object(cluster, target, &namespace).await? else {
        return Ok(());
    };
    let init = &object["spec"]["init"];
    if init["waitForInitialRestore"] != true || init["initialized"] == true {
        return Ok(());
    }
    let patch = json!({"spec": {"init": {"waitForInitialRestore": false}}});
    cluster
        .merge_object(&resource, &namespace, &target.name, &patch)
        .await
        .map_err(|error| {
            let failure = Failure::from(error);
            Failure::transient(
                &failure.kind,
                format!(
                    "{}; the data is restored: set spec.init.waitForInitialRestore of the {} to false",
                    failure.message,
                    target.kind()
                ),
            )
        })
}
