//! The AppBinding of a database: how to reach its server.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::Api;
use kubestash_api::appcatalog::{AppBinding, AppBindingSpec, ClientConfig, SecretReference};
use kubestash_api::kubedb::GROUP;
use kubestash_api::shared::TypedObjectReference;

use super::Database;
use crate::run::Context;
use crate::{ProviderError, labels};

/// The AppBinding of a server that takes connections on `port`. It carries the database's annotations, by which backups
/// are asked for.
pub(super) fn of<D: Database>(database: &D, secret: &str, port: u16, version: &str) -> AppBinding {
    let (namespace, name) = (
        database.namespace().unwrap_or_default(),
        database.name_any(),
    );
    let annotations = labels::copied(Some(database.annotations()));
    AppBinding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels::of(D::RESOURCE, &name)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: database.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: AppBindingSpec {
            app_ref: Some(TypedObjectReference {
                api_group: Some(GROUP.to_owned()),
                kind: Some(D::kind(&()).into_owned()),
                name,
                namespace: Some(namespace),
            }),
            // There is no DNS here, so there is no Service either: only the address.
            client_config: ClientConfig {
                url: Some(D::url(port)),
                ..ClientConfig::default()
            },
            secret: Some(SecretReference {
                name: secret.to_owned(),
                ..SecretReference::default()
            }),
            type_: Some(format!("{GROUP}/{}", D::NAME)),
            version: Some(version.to_owned()),
            ..AppBindingSpec::default()
        },
    }
}

/// Refuses to take over an AppBinding that somebody made, or that belongs to a database of another kind: it would lead
/// backups of the one to the data of the other.
pub(super) async fn refuse_foreign<D: Database>(
    database: &D,
    context: &Context,
) -> Result<(), ProviderError> {
    let (namespace, name) = (
        database.namespace().unwrap_or_default(),
        database.name_any(),
    );
    let api: Api<AppBinding> = Api::namespaced(context.client.clone(), &namespace);
    let found = api
        .get_opt(&name)
        .await
        .map_err(ProviderError::api("read the AppBinding of a database"))?;
    let is_ours = |binding: &AppBinding| {
        let mut owners = binding.metadata.owner_references.iter().flatten();
        owners.any(|owner| owner.kind == D::kind(&()) && owner.name == name)
    };
    match found {
        Some(binding) if !is_ours(&binding) => Err(ProviderError::Foreign {
            kind: "AppBinding",
            namespace,
            name,
        }),
        _ => Ok(()),
    }
}
