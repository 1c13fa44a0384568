//! The Secrets and ConfigMaps that a container refers to, read afresh for every start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::future::{try_join, try_join_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret, Volume};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::trouble::Trouble;
use crate::refused::spoken;

/// The objects that exist, by name.
#[derive(Default)]
pub(crate) struct Sources {
    secrets: BTreeMap<String, Secret>,
    config_maps: BTreeMap<String, ConfigMap>,
}

impl Sources {
    /// Reads what the container's environment and the given volumes refer to.
    pub(crate) async fn read(
        client: &Client,
        namespace: &str,
        container: &Container,
        volumes: &[&Volume],
    ) -> Result<Self, Trouble> {
        let names = Names::of(container, volumes);
        let (secrets, config_maps) = try_join(
            read_all::<Secret>(client, namespace, &names.secrets),
            read_all::<ConfigMap>(client, namespace, &names.config_maps),
        )
        .await?;
        Ok(Self::from_objects(secrets, config_maps))
    }

    /// From objects at hand.
    pub(crate) fn from_objects(secrets: Vec<Secret>, config_maps: Vec<ConfigMap>) -> Self {
        Self {
            secrets: secrets
                .into_iter()
                .map(|secret| (secret.name_any(), secret))
                .collect(),
            config_maps: config_maps
                .into_iter()
                .map(|map| (map.name_any(), map))
                .collect(),
        }
    }

    /// A Secret; missing ones are trouble unless they are optional.
    pub(crate) fn secret(&self, name: &str, optional: bool) -> Result<Option<&Secret>, Trouble> {
        found(self.secrets.get(name), optional, "secret", name)
    }

    /// A ConfigMap; missing ones are trouble unless they are optional.
    pub(crate) fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<Option<&ConfigMap>, Trouble> {
        found(self.config_maps.get(name), optional, "configmap", name)
    }
}

fn found<'a, T>(
    object: Option<&'a T>,
    optional: bool,
    kind: &str,
    name: &str,
) -> Result<Option<&'a T>, Trouble> {
    match object {
        None if !optional => Err(Trouble::config(format!("{kind} {name:?} not found"))),
        object => Ok(object),
    }
}

async fn read_all<K>(
    client: &Client,
    namespace: &str,
    names: &BTreeSet<String>,
) -> Result<Vec<K>, Trouble>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let reads: Vec<_> = names
        .iter()
        .cloned()
        .map(|name| read(api.clone(), name))
        .collect();
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

async fn read<K>(api: Api<K>, name: String) -> Result<Option<K>, Trouble>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug,
{
    let read = api.get_opt(&name).await;
    read.map_err(|error| {
        Trouble::config(format!(
            "failed to read {} {name:?}: {}",
            K::kind(&()).to_lowercase(),
            spoken(&error)
        ))
    })
}

#[derive(Default)]
struct Names {
    secrets: BTreeSet<String>,
    config_maps: BTreeSet<String>,
}

impl Names {
    fn of(container: &Container, volumes: &[&Volume]) -> Self {
        let mut names = Self::default();
        for from in container.env_from.iter().flatten() {
            names.secrets.extend(
                from.secret_ref
                    .iter()
                    .map(|reference| reference.name.clone()),
            );
            names.config_maps.extend(
                from.config_map_ref
                    .iter()
                    .map(|reference| reference.name.clone()),
            );
        }
        for from in container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| variable.value_from.as_ref())
        {
            names.secrets.extend(
                from.secret_key_ref
                    .iter()
                    .map(|reference| reference.name.clone()),
            );
            names.config_maps.extend(
                from.config_map_key_ref
                    .iter()
                    .map(|reference| reference.name.clone()),
            );
        }
        for volume in volumes {
            names.secrets.extend(
                volume
                    .secret
                    .iter()
                    .filter_map(|source| source.secret_name.clone()),
            );
            names
                .config_maps
                .extend(volume.config_map.iter().map(|source| source.name.clone()));
            for source in volume
                .projected
                .iter()
                .flat_map(|projected| projected.sources.iter().flatten())
            {
                names
                    .secrets
                    .extend(source.secret.iter().map(|reference| reference.name.clone()));
                names.config_maps.extend(
                    source
                        .config_map
                        .iter()
                        .map(|reference| reference.name.clone()),
                );
            }
        }
        names
    }
}
