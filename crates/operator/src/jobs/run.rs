//! Making a Job with its rights, and taking both away.
//!
//! Invariant: the rights last as long as the Job runs. They are gone before its session says that
//! it has ended.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, Preconditions, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Rbac;
use super::rbac::name_in;
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError, Manager};

/// Makes the rights, then the Job; returns the Job that has that name, which may be another's.
///
/// # Errors
/// When a request fails.
pub(crate) async fn launch(
    ctx: &Context,
    namespace: &str,
    rbac: &Rbac,
    job: &Job,
    manager: Manager,
) -> Result<Job, ApplyError> {
    if let Some(account) = &rbac.account {
        let api = ctx.api::<ServiceAccount>(namespace);
        let found = apply::create(&api, account, manager).await?;
        // A name that a user chose for a session must not put an account of somebody else's into
        // our hands.
        if !is_ours(&found, account) {
            return Err(taken(account));
        }
    }
    for role in &rbac.roles {
        let api = ctx.api::<Role>(&role.namespace().unwrap_or_default());
        apply::object(&api, None, role, manager).await?;
    }
    for binding in &rbac.bindings {
        let api = ctx.api::<RoleBinding>(&binding.namespace().unwrap_or_default());
        apply::object(&api, None, binding, manager).await?;
    }
    apply::create(&ctx.api::<Job>(namespace), job, manager).await
}

/// An object that has the session's name, as its Job and its rights will, and belongs to something
/// else: in words, with what to do.
///
/// # Errors
/// When a request fails.
pub(crate) async fn in_the_way<S: Resource<DynamicType = ()>>(
    ctx: &Context,
    session: &S,
) -> Result<Option<String>, ApplyError> {
    let (namespace, name) = (session.namespace().unwrap_or_default(), session.name_any());
    let job = apply::get::<Job>(&ctx.api(&namespace), &name).await?;
    let account = apply::get::<ServiceAccount>(&ctx.api(&namespace), &name).await?;
    let role = apply::get::<Role>(&ctx.api(&namespace), &name).await?;
    let binding = apply::get::<RoleBinding>(&ctx.api(&namespace), &name).await?;
    Ok(of_another(session, job.as_ref())
        .or_else(|| of_another(session, account.as_ref()))
        .or_else(|| of_another(session, role.as_ref()))
        .or_else(|| of_another(session, binding.as_ref())))
}

fn of_another<S, K>(session: &S, object: Option<&K>) -> Option<String>
where
    S: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()>,
{
    let object = object?;
    let own = session.uid();
    let mut owners = object.owner_references().iter();
    if owners.any(|owner| Some(&owner.uid) == own.as_ref()) {
        return None;
    }
    let owner = object.owner_references().first();
    let owner = owner.map_or_else(
        || "to no session".to_owned(),
        |owner| format!("to {} {}", owner.kind, owner.name),
    );
    let (kind, session) = (K::kind(&()), S::kind(&()));
    Some(format!(
        "{kind} {}/{} belongs {owner}, and the Job of a {session} and its rights need that name: delete it, or create the {session} under another name",
        object.namespace().unwrap_or_default(),
        object.name_any()
    ))
}

/// Whether an object that was found is the one that was to be made: it has the same labels of ours.
fn is_ours<K: Resource>(found: &K, wanted: &K) -> bool {
    let found = found.labels();
    let mut labels = wanted.labels().iter();
    labels.all(|(key, value)| found.get(key) == Some(value))
}

fn taken(account: &ServiceAccount) -> ApplyError {
    let mut status = kube::core::Status::failure(
        "a ServiceAccount of that name exists and belongs to something else: rename the session, or delete the account",
        "Invalid",
    );
    status.code = 422;
    apply::request("create", account, kube::Error::Api(Box::new(status)))
}

/// Deletes a Job so that it is gone only when its pods are: nobody reports any more after that.
///
/// # Errors
/// When the request fails; a Job that is gone is no failure.
pub(crate) async fn stop(ctx: &Context, job: &Job) -> Result<(), ApplyError> {
    let api: Api<Job> = ctx.api(&job.namespace().unwrap_or_default());
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions {
            uid: job.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(source) => Err(apply::request("delete", job, source)),
    }
}

/// Deletes the rights of `session`, which carry `labels`, in all namespaces, and the ServiceAccount
/// that was made for it. Its Job, with its log, stays.
///
/// # Errors
/// When a request fails.
pub(crate) async fn remove_rights<S: Resource<DynamicType = ()>>(
    ctx: &Context,
    session: &S,
    labels: &BTreeMap<String, String>,
) -> Result<(), ApplyError> {
    let selector: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let params = ListParams::default().labels(&selector.join(","));
    remove::<RoleBinding, S>(ctx, session, &params).await?;
    remove::<Role, S>(ctx, session, &params).await?;
    remove::<ServiceAccount, S>(ctx, session, &params).await
}

async fn remove<K, S>(ctx: &Context, session: &S, params: &ListParams) -> Result<(), ApplyError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
    S: Resource<DynamicType = ()>,
{
    let all: Api<K> = Api::all(ctx.client.clone());
    let found = all
        .list(params)
        .await
        .map_err(|source| apply::request("list the rights of", session, source))?;
    for object in &found.items {
        let namespace = object.namespace().unwrap_or_default();
        let own = session.namespace().unwrap_or_default();
        // Labels hold 63 bytes, so they alone could be those of another session. Before, the name
        // was the same everywhere.
        let names = [
            name_in(&namespace, &own, &session.name_any()),
            session.name_any(),
        ];
        if names.contains(&object.name_any()) {
            apply::delete(&ctx.api::<K>(&namespace), object).await?;
        }
    }
    Ok(())
}
