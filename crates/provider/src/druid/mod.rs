//! `Druid` objects: their metadata store, their AppBinding, and a status that does not claim more than that.

mod restore;
mod schema;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::Api;
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use kubestash_api::appcatalog::{AppBinding, AppBindingSpec, ClientConfig, SecretReference};
use kubestash_api::kubedb::{
    DatabaseDeletionPolicy, Druid, MetadataStorage, MetadataStorageType, MySQL, MySQLSpec,
};
use kubestash_api::shared::TypedObjectReference;

pub(crate) use restore::target as restore_target;

use crate::run::Context;
use crate::secret::{self, Wanted};
use crate::status::{self, Fact};
use crate::{ProviderError, apply, labels, mysql};

/// Finalizer of a Druid.
const FINALIZER: &str = "kubedb.com/druid";
/// The database of Druid's tables when nothing else is said.
const DATABASE: &str = "druid";

/// Where the metadata of a Druid is.
struct Metadata {
    name: String,
    namespace: String,
    database: String,
    is_ours: bool,
    is_mysql: bool,
}

fn metadata_of(druid: &Druid) -> Metadata {
    let given = druid.spec.metadata_storage.clone().unwrap_or_default();
    let MetadataStorage {
        name,
        namespace,
        type_,
        linked_db,
        externally_managed,
        ..
    } = given;
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let is_mysql = type_.is_none_or(|type_| type_ == MetadataStorageType::MySQL);
    let suffix = if is_mysql {
        "mysql-metadata"
    } else {
        "pg-metadata"
    };
    Metadata {
        name: some(name).unwrap_or_else(|| format!("{}-{suffix}", druid.name_any())),
        namespace: some(namespace)
            .or_else(|| druid.namespace())
            .unwrap_or_default(),
        database: some(linked_db).unwrap_or_else(|| DATABASE.to_owned()),
        is_ours: externally_managed != Some(true),
        is_mysql,
    }
}

/// Brings one Druid in line with its object.
pub(crate) async fn reconcile(
    druid: Arc<Druid>,
    context: Arc<Context>,
) -> Result<Action, ProviderError> {
    let metadata = metadata_of(&druid);
    if druid.meta().deletion_timestamp.is_some() {
        return remove(&druid, &metadata, &context).await;
    }
    apply::finalizer(&context.client, druid.as_ref(), FINALIZER, true).await?;
    let secret = auth_secret(&druid);
    let wanted = Wanted {
        namespace: &druid.namespace().unwrap_or_default(),
        name: &secret,
        username: "admin",
        labels: labels::of("druids", &druid.name_any()),
        owner: None,
    };
    secret::ensure(&context.client, wanted).await?;
    let mut facts = vec![
        Fact::new(
            status::PROVISIONING_STARTED,
            true,
            "DatabaseProvisioningStartedSuccessfully",
            "The metadata store of this Druid has been asked for.",
        ),
        Fact::new(
            status::METADATA_STORE_ONLY,
            true,
            "NoDruidProcesses",
            "Metadata store only: Druid's own processes and ZooKeeper do not run here.",
        ),
    ];
    match store_is_ready(&druid, &metadata, &context).await? {
        Ok(()) => facts.extend(ready_facts(&druid, &context).await?),
        Err(why) => facts.push(Fact::new(
            status::READY,
            false,
            "MetadataStoreNotReady",
            why,
        )),
    }
    apply::object(&context.client, &app_binding(&druid, &secret)).await?;
    let new = status::next(
        druid.status.as_ref(),
        &facts,
        druid.metadata.generation,
        jiff::Timestamp::now(),
    );
    apply::status(&context.client, druid.as_ref(), druid.status.as_ref(), &new).await?;
    Ok(Action::await_change())
}

/// Makes the metadata store and its tables; `Err` with the reason as long as it is not ready.
async fn store_is_ready(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<Result<(), String>, ProviderError> {
    if !metadata.is_ours {
        let api: Api<AppBinding> = Api::namespaced(context.client.clone(), &metadata.namespace);
        let found = api
            .get_opt(&metadata.name)
            .await
            .map_err(ProviderError::api("read the metadata AppBinding"))?;
        return Ok(match found {
            Some(_) => Ok(()),
            None => Err(format!(
                "AppBinding {}/{}, named by spec.metadataStorage, does not exist; create it.",
                metadata.namespace, metadata.name
            )),
        });
    }
    if !metadata.is_mysql {
        let why = "spec.metadataStorage.type is PostgreSQL, which cannot be provisioned here; use MySQL, or an externally managed store.";
        let event = Event {
            type_: EventType::Warning,
            reason: "UnsupportedMetadataStorage".to_owned(),
            note: Some(why.to_owned()),
            action: "Provision".to_owned(),
            secondary: None,
        };
        context.tell(druid, event).await;
        return Ok(Err(why.to_owned()));
    }
    let store = apply::object(
        &context.client,
        &metadata_store(druid, metadata, context).await?,
    )
    .await?;
    if !status::holds(store.status.as_ref(), status::READY) {
        return Ok(Err(format!(
            "MySQL {}/{} is not ready yet.",
            metadata.namespace, metadata.name
        )));
    }
    // Druid makes its tables when it starts; it does not bring back what somebody dropped later, and neither do we.
    let tables_wanted = druid
        .spec
        .metadata_storage
        .as_ref()
        .and_then(|store| store.create_tables)
        != Some(false);
    if tables_wanted && !status::holds(druid.status.as_ref(), status::ACCEPTING_CONNECTION) {
        make_tables(&store, metadata, context).await?;
    }
    Ok(Ok(()))
}

/// The MySQL object of the metadata store, as it has to be.
async fn metadata_store(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<MySQL, ProviderError> {
    let api: Api<MySQL> = Api::namespaced(context.client.clone(), &metadata.namespace);
    let known = api
        .get_opt(&metadata.name)
        .await
        .map_err(ProviderError::api("read the metadata store"))?;
    let wanted_labels = labels::of("druids", &druid.name_any());
    if let Some(known) = &known {
        let is_ours = wanted_labels
            .iter()
            .all(|(key, value)| known.labels().get(key) == Some(value));
        if !is_ours {
            let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
            return Err(ProviderError::Foreign {
                kind: "MySQL",
                namespace,
                name,
            });
        }
    }
    let mut store = MySQL::new(
        &metadata.name,
        MySQLSpec {
            version: druid
                .spec
                .metadata_storage
                .as_ref()
                .and_then(|store| store.version.clone())
                .unwrap_or_else(|| "8.0.35".to_owned()),
            deletion_policy: druid.spec.deletion_policy,
            ..MySQLSpec::default()
        },
    );
    store.metadata.namespace = Some(metadata.namespace.clone());
    store.metadata.labels = Some(wanted_labels);
    if druid.namespace().as_deref() == Some(metadata.namespace.as_str()) {
        store.metadata.owner_references = druid.controller_owner_ref(&()).map(|owner| vec![owner]);
    }
    Ok(store)
}

async fn make_tables(
    store: &MySQL,
    metadata: &Metadata,
    context: &Context,
) -> Result<(), ProviderError> {
    let secret_name = mysql::auth_secret(store);
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &metadata.namespace);
    let secret = secrets
        .get(&secret_name)
        .await
        .map_err(ProviderError::api("read the metadata store's Secret"))?;
    let credentials = secret::read(&secret, &metadata.namespace, &secret_name)?;
    let bindings: Api<AppBinding> = Api::namespaced(context.client.clone(), &metadata.namespace);
    let binding = bindings
        .get(&metadata.name)
        .await
        .map_err(ProviderError::api("read the metadata store's AppBinding"))?;
    let url = binding.spec.client_config.url.unwrap_or_default();
    let port = url
        .trim_end_matches(")/")
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok());
    // Ours always has a port; a binding that lost it is written again by the store's own reconciler.
    let Some(port) = port else { return Ok(()) };
    mysql::execute(
        port,
        &credentials,
        &schema::statements(&metadata.database),
        "make Druid's tables",
    )
    .await
}

/// The conditions of a Druid whose metadata store is ready.
async fn ready_facts(druid: &Druid, context: &Context) -> Result<Vec<Fact>, ProviderError> {
    let mut facts = vec![
        Fact::new(
            status::REPLICA_READY,
            true,
            "AllReplicasReady",
            "The metadata store runs.",
        ),
        Fact::new(
            status::ACCEPTING_CONNECTION,
            true,
            "AcceptingConnection",
            "The metadata store takes connections.",
        ),
    ];
    let init = druid.spec.init.as_ref();
    let waits = init.is_some_and(|init| {
        init.wait_for_initial_restore == Some(true) && init.initialized != Some(true)
    });
    if waits && !status::holds(druid.status.as_ref(), status::PROVISIONED) {
        match restore::outcome(druid, &context.client).await? {
            Some(true) => {
                let text = "The initial restore succeeded.";
                facts.push(Fact::new(
                    status::DATA_RESTORED,
                    true,
                    "SuccessfullyDataRestored",
                    text,
                ));
            }
            Some(false) => {
                let text = "The initial restore failed; create another RestoreSession.";
                facts.push(Fact::new(
                    status::DATA_RESTORED,
                    false,
                    "FailedToRestoreData",
                    text,
                ));
                return Ok(facts);
            }
            None => return Ok(facts),
        }
    }
    facts.extend([
        Fact::new(
            status::READY,
            true,
            "AllReplicasReady",
            "The metadata store is ready (metadata store only).",
        ),
        Fact::new(
            status::PROVISIONED,
            true,
            "DatabaseSuccessfullyProvisioned",
            "The metadata store has been provisioned.",
        ),
    ]);
    Ok(facts)
}

fn auth_secret(druid: &Druid) -> String {
    let given = druid
        .spec
        .auth_secret
        .as_ref()
        .and_then(|secret| secret.name.clone());
    given
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("{}-auth", druid.name_any()))
}

/// The AppBinding of a Druid. It carries the Druid's annotations, by which backups are asked for, and no address: there
/// is no Druid process to connect to.
fn app_binding(druid: &Druid, secret: &str) -> AppBinding {
    let (namespace, name) = (druid.namespace().unwrap_or_default(), druid.name_any());
    let annotations = labels::copied(Some(druid.annotations()));
    AppBinding {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            labels: Some(labels::of("druids", &name)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: druid.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: AppBindingSpec {
            app_ref: Some(TypedObjectReference {
                api_group: Some("kubedb.com".to_owned()),
                kind: Some("Druid".to_owned()),
                name,
                namespace: Some(namespace),
            }),
            client_config: ClientConfig::default(),
            secret: Some(SecretReference {
                name: secret.to_owned(),
                ..SecretReference::default()
            }),
            type_: Some("kubedb.com/druid".to_owned()),
            version: Some(druid.spec.version.clone()),
            ..AppBindingSpec::default()
        },
    }
}

/// Ends a Druid as its deletion policy says; its metadata store goes first.
async fn remove(
    druid: &Druid,
    metadata: &Metadata,
    context: &Context,
) -> Result<Action, ProviderError> {
    let policy = druid
        .spec
        .deletion_policy
        .unwrap_or(DatabaseDeletionPolicy::Delete);
    if policy == DatabaseDeletionPolicy::DoNotTerminate {
        context.tell(druid, mysql::refusal("Druid")).await;
        return Ok(Action::await_change());
    }
    if metadata.is_ours && metadata.is_mysql {
        let remains =
            apply::delete::<MySQL>(&context.client, &metadata.namespace, &metadata.name).await?;
        if remains {
            // Its end brings us back here.
            return Ok(Action::await_change());
        }
    }
    let external = druid
        .spec
        .auth_secret
        .as_ref()
        .and_then(|secret| secret.externally_managed)
        == Some(true);
    if policy == DatabaseDeletionPolicy::WipeOut && !external {
        apply::delete::<Secret>(
            &context.client,
            &druid.namespace().unwrap_or_default(),
            &auth_secret(druid),
        )
        .await?;
    }
    apply::finalizer(&context.client, druid, FINALIZER, false).await?;
    Ok(Action::await_change())
}
