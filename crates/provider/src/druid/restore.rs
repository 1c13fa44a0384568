//! The initial restore that a Druid may wait for.

use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::reflector::ObjectRef;
use kubestash_api::core::{RestorePhase, RestoreSession};
use kubestash_api::kubedb::Druid;

use crate::ProviderError;

/// The Druid that a RestoreSession restores into, if it names one.
pub(crate) fn target(session: &RestoreSession) -> Option<ObjectRef<Druid>> {
    let target = session
        .spec
        .target
        .as_ref()
        .filter(|target| target.kind.as_deref() == Some("Druid"))?;
    let namespace = target.namespace.clone().or_else(|| session.namespace())?;
    Some(ObjectRef::new(&target.name).within(&namespace))
}

/// How the latest finished restore into a Druid ended: well or not; `None` if there is none.
pub(super) async fn outcome(
    druid: &Druid,
    client: &kube::Client,
) -> Result<Option<bool>, ProviderError> {
    let api: Api<RestoreSession> = Api::all(client.clone());
    let sessions = api
        .list(&ListParams::default())
        .await
        .map_err(ProviderError::api("list RestoreSessions"))?;
    let wanted =
        ObjectRef::<Druid>::new(&druid.name_any()).within(&druid.namespace().unwrap_or_default());
    let mut finished: Vec<(_, bool)> = sessions
        .iter()
        .filter(|session| target(session).as_ref() == Some(&wanted))
        .filter_map(|session| {
            let succeeded = match session.status.as_ref()?.phase? {
                RestorePhase::Succeeded => true,
                RestorePhase::Failed | RestorePhase::Unknown => false,
                _ => return None,
            };
            Some((session.creation_timestamp().map(|time| time.0), succeeded))
        })
        .collect();
    finished.sort_by_key(|(time, _)| *time);
    Ok(finished.last().map(|(_, succeeded)| *succeeded))
}
