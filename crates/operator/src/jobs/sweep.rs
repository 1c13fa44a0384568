//! Rights that outlived their Job: of sessions that an earlier version ended, or whose finalizer
//! somebody removed.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::labels::{self, component};
use kubestash_domain::phase;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rbac::name_in;
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError};

/// Deletes the rights of all sessions that have ended or are gone. It is done once, before anything
/// else: whoever has rights then and no session that runs will never need them again.
pub(crate) async fn sweep(ctx: &Context) {
    let swept = async {
        remove::<RoleBinding>(ctx).await?;
        remove::<Role>(ctx).await?;
        remove::<ServiceAccount>(ctx).await
    };
    if let Err(error) = swept.await {
        tracing::warn!(%error, "failed to delete the rights of sessions that have ended; tried again at the next start");
    }
}

async fn remove<K>(ctx: &Context) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let selector = format!(
        "{}={},{} in ({},{})",
        labels::MANAGED_BY,
        labels::MANAGED_BY_KUBESTASH,
        labels::COMPONENT,
        component::BACKUP,
        component::RESTORE
    );
    let all: Api<K> = Api::all(ctx.client.clone());
    let listed = all.list(&ListParams::default().labels(&selector)).await;
    let listed = listed.map_err(|source| ApplyError::Request {
        verb: "list",
        kind: K::kind(&()).into_owned(),
        name: "of all sessions".to_owned(),
        source: Box::new(source),
    })?;
    for object in listed.items.iter().filter(|object| is_over(ctx, *object)) {
        let namespace = object.namespace().unwrap_or_default();
        apply::delete(&ctx.api::<K>(&namespace), object).await?;
        tracing::info!(namespace, name = object.name_any(), kind = %K::kind(&()), "deleted rights that outlived their session");
    }
    Ok(())
}

/// Whether the session that an object was made for has ended or is gone.
fn is_over<K: Resource>(ctx: &Context, object: &K) -> bool {
    let labels = object.labels();
    let Some(own) = labels.get(labels::INVOKER_NAMESPACE) else {
        return false;
    };
    let name = object.name_any();
    let prefix = name_in("", own, "");
    let name = name.strip_prefix(&prefix).unwrap_or(&name);
    if labels.get(labels::COMPONENT).map(String::as_str) == Some(component::BACKUP) {
        let session = ctx.watches.backup_sessions.get(own, name);
        session.is_none_or(|session| {
            let phase = session.status.as_ref().and_then(|status| status.phase);
            phase.is_some_and(phase::backup_session_completed)
        })
    } else {
        let session = ctx.watches.restore_sessions.get(own, name);
        session.is_none_or(|session| {
            let phase = session.status.as_ref().and_then(|status| status.phase);
            phase.is_some_and(phase::restore_session_completed)
        })
    }
}
