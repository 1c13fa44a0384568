//! What has to be in a cluster before the operator can work: definitions and catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;

/// Field manager of everything that is installed.
const MANAGER: &str = "kubestash-install";
/// How long the API server may take to serve a new kind.
const SERVED_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(50);
/// How many definitions are applied at once.
const AT_ONCE: usize = 2;

/// Applies the definitions of all kinds, and waits until they are served.
pub(crate) async fn definitions(client: &kube::Client) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let apply = |make: fn() -> CustomResourceDefinition| {
        let api = api.clone();
        async move {
            let crd = make();
            let name = crd.metadata.name.clone().unwrap_or_default();
            let resources = resources(&crd);
            // The answer is metadata only: a definition is megabytes to whoever reads it.
            api.patch_metadata(
                &name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(crd),
            )
            .await
            .with_context(|| format!("failed to install the definition of {name}"))?;
            anyhow::Ok(resources)
        }
    };
    let mut wanted = Resources::new();
    // A few at a time, for the same reason.
    let mut applied = stream::iter(kubestash_api::definitions().map(apply)).buffered(AT_ONCE);
    while let Some(resources) = applied.try_next().await? {
        for (version, plural) in resources {
            wanted.entry(version).or_default().insert(plural);
        }
    }
    tokio::time::timeout(SERVED_WITHIN, served(client, wanted))
        .await
        .context("failed to install the definitions: the API server does not serve them")?
        .context("failed to find out what the API server serves")
}

/// Plural names by `group/version`.
type Resources = BTreeMap<String, BTreeSet<String>>;

/// What a definition defines.
fn resources(crd: &CustomResourceDefinition) -> Vec<(String, String)> {
    let spec = &crd.spec;
    let versions = spec.versions.iter().filter(|version| version.served);
    versions
        .map(|version| {
            (
                format!("{}/{}", spec.group, version.name),
                spec.names.plural.clone(),
            )
        })
        .collect()
}

/// Waits until all of `wanted` is served.
async fn served(client: &kube::Client, mut wanted: Resources) -> kube::Result<()> {
    loop {
        for (version, plurals) in &mut wanted {
            match client.list_api_group_resources(version).await {
                Ok(list) => {
                    plurals.retain(|plural| !list.resources.iter().any(|one| one.name == *plural));
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        wanted.retain(|_, plurals| !plurals.is_empty());
        if wanted.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Applies the Addons and Functions.
pub(crate) async fn addons(client: &kube::Client, image: &str) -> anyhow::Result<()> {
    for object in crate::print::catalog_objects(image)? {
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
