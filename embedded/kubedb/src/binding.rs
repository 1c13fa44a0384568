//! AppBindings: how to reach a database, and what asks for its backups.
//!
//! The AppBinding of a database has its name, so that two databases of one name, of whatever kinds,
//! would share one: it would lead the backups of the one to the data of the other. The first has
//! it; the second is refused.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::Api;
use kubestash_api::appcatalog::{AppBinding, AppBindingSpec, ClientConfig, SecretReference};
use kubestash_api::kubedb::GROUP;
use kubestash_api::shared::TypedObjectReference;

use crate::apply::Kind;
use crate::{KubedbError, apply, labels};

/// What the AppBinding of a database says.
pub(crate) struct Content<'a> {
    /// The resource of the database's kind: `mysqls`.
    pub(crate) resource: &'a str,
    /// The last part of the type: `mysql` of `kubedb.com/mysql`.
    pub(crate) type_: &'a str,
    pub(crate) client_config: ClientConfig,
    /// Name of the Secret.
    pub(crate) secret: &'a str,
    pub(crate) version: &'a str,
}

/// The AppBinding of a database. It carries the database's annotations, by which backups are asked
/// for.
pub(crate) fn of<K: Kind>(database: &K, content: Content<'_>) -> AppBinding {
    let (namespace, name) = (
        database.namespace().unwrap_or_default(),
        database.name_any(),
    );
    let annotations = labels::copied(Some(database.annotations()));
    AppBinding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels::of(content.resource, &name)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: database.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: AppBindingSpec {
            app_ref: Some(TypedObjectReference {
                api_group: Some(GROUP.to_owned()),
                kind: Some(K::kind(&()).into_owned()),
                name,
                namespace: Some(namespace),
            }),
            client_config: content.client_config,
            secret: Some(SecretReference {
                name: content.secret.to_owned(),
                ..SecretReference::default()
            }),
            type_: Some(format!("{GROUP}/{}", content.type_)),
            version: Some(content.version.to_owned()),
            ..AppBindingSpec::default()
        },
    }
}

/// Whose the AppBinding is that has the name of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// The database.
    Ours,
    /// Somebody made it, or it belongs to a database of another kind.
    Foreign,
}

/// Whether the AppBinding of a database is there.
///
/// # Errors
/// If somebody else's is.
pub(crate) async fn is_there<K: Kind>(
    client: &kube::Client,
    database: &K,
) -> Result<bool, KubedbError> {
    match owner(client, database).await? {
        Owner::Nobody => Ok(false),
        Owner::Ours => Ok(true),
        Owner::Foreign => Err(KubedbError::Foreign {
            kind: "AppBinding",
            namespace: database.namespace().unwrap_or_default(),
            name: database.name_any(),
        }),
    }
}

/// Removes the AppBinding of a database, if it is its own.
pub(crate) async fn remove<K: Kind>(
    client: &kube::Client,
    database: &K,
) -> Result<(), KubedbError> {
    if owner(client, database).await? == Owner::Ours {
        let namespace = database.namespace().unwrap_or_default();
        apply::delete::<AppBinding>(client, &namespace, &database.name_any()).await?;
    }
    Ok(())
}

async fn owner<K: Kind>(client: &kube::Client, database: &K) -> Result<Owner, KubedbError> {
    let (namespace, name) = (
        database.namespace().unwrap_or_default(),
        database.name_any(),
    );
    let api: Api<AppBinding> = Api::namespaced(client.clone(), &namespace);
    let found = api
        .get_opt(&name)
        .await
        .map_err(KubedbError::api("read the AppBinding of a database"))?;
    // By name, not by uid: one that was deleted and made again finds the old one's until that is
    // collected.
    let is_ours = |binding: &AppBinding| {
        let mut owners = binding.owner_references().iter();
        owners.any(|owner| owner.kind == K::kind(&()) && owner.name == name)
    };
    Ok(match found {
        None => Owner::Nobody,
        Some(binding) if is_ours(&binding) => Owner::Ours,
        Some(_) => Owner::Foreign,
    })
}
