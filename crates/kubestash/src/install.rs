//! What has to be in a cluster before the operator can work: definitions and catalog.

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::runtime::{conditions, wait::await_condition};

/// Field manager of everything that is installed.
const MANAGER: &str = "kubestash-install";
/// How long the API server may take to serve a new kind.
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(30);

/// The Addons and Functions as objects of any kind, with `image` in the Functions.
pub(crate) fn catalog(image: &str) -> anyhow::Result<Vec<DynamicObject>> {
    let functions = kubestash_core::catalog::functions(image)
        .into_iter()
        .map(serde_json::to_value);
    let addons = kubestash_core::catalog::addons()
        .into_iter()
        .map(serde_json::to_value);
    functions
        .chain(addons)
        .map(|object| {
            object
                .and_then(serde_json::from_value)
                .context("failed to write the catalog")
        })
        .collect()
}

/// Applies the definitions of all kinds, and waits until they are served.
pub(crate) async fn definitions(client: &kube::Client) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let all: Vec<_> = kubestash_api::crds()
        .into_iter()
        .chain(kubestash_api::foreign_crds())
        .collect();
    let names = all.iter().filter_map(|crd| crd.metadata.name.clone());
    let apply = futures::future::try_join_all(all.iter().map(|crd| {
        let api = api.clone();
        async move {
            let name = crd.metadata.name.as_deref().unwrap_or_default();
            api.patch(
                name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(crd),
            )
            .await
            .with_context(|| format!("failed to install the definition of {name}"))
        }
    }));
    apply.await?;
    let served = futures::future::try_join_all(names.map(|name| {
        let api = api.clone();
        async move {
            await_condition(api, &name, conditions::is_crd_established())
                .await
                .with_context(|| format!("failed to wait for the definition of {name}"))
        }
    }));
    tokio::time::timeout(ESTABLISHED_WITHIN, served)
        .await
        .context("failed to install the definitions: the API server does not serve them")??;
    Ok(())
}

/// Applies the Addons and Functions.
pub(crate) async fn addons(client: &kube::Client, image: &str) -> anyhow::Result<()> {
    for object in catalog(image)? {
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types)
            .context("failed to read the kind of a catalog object")?;
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::from_gvk(&kind));
        let name = object.metadata.name.clone().unwrap_or_default();
        api.patch(
            &name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&object),
        )
        .await
        .with_context(|| format!("failed to install {} {name}", types.kind))?;
    }
    Ok(())
}
