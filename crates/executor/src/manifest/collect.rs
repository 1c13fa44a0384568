//! Reading the objects of a database.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ApiResource;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::manifest::{
    DatabaseKind, Document, GROUP, Item, Member, Part, dependencies, members,
};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::failure::Failure;

/// Reads the database that `target` names, as seen from `namespace`, and everything that belongs to
/// it. `named_by` is the field that names the target.
///
/// # Errors
/// If the target is no database that can be made from its manifests, or an object that is named
/// does not exist.
pub(crate) async fn collect(
    cluster: &Cluster,
    target: Option<&TypedObjectReference>,
    namespace: &str,
    named_by: &str,
) -> Result<Document, Failure> {
    let root = root(cluster, target, namespace, named_by).await?;
    let database = found(cluster, &root).await?.ok_or_else(|| {
        Failure::permanent(
            "ApiNotFound",
            format!("failed to back up the manifests: {root} does not exist; {named_by} names it"),
        )
    })?;
    let mut databases = vec![(root.clone(), database)];
    if root.of == DatabaseKind::Druid {
        for item in dependencies(&databases[0].1) {
            if item.part == Part::External {
                tracing::info!("{item} is managed externally: it is not part of the backup");
                continue;
            }
            match found(cluster, &item).await? {
                Some(database) => databases.push((item, database)),
                None => tracing::warn!("{item} of {root} does not exist: it is left out"),
            }
        }
    }
    let mut objects = Vec::new();
    for (item, database) in &databases {
        for member in members(item.of, database) {
            objects.extend(read(cluster, item, &member).await?);
        }
    }
    // In the order in which they can be made again: what is referred to comes first.
    objects.extend(databases.into_iter().rev().map(|(_, database)| database));
    let document = Document::new(&objects);
    let names: Vec<String> = document
        .inventory()?
        .iter()
        .filter(|item| document.find(item).is_some())
        .map(Item::to_string)
        .collect();
    tracing::info!("manifests of {}", names.join(", "));
    Ok(document)
}

async fn root(
    cluster: &Cluster,
    target: Option<&TypedObjectReference>,
    namespace: &str,
    named_by: &str,
) -> Result<Item, Failure> {
    let unsupported = |what: &str| {
        Failure::permanent(
            "TargetUnsupported",
            format!(
                "failed to back up the manifests: {named_by} is {what}, and there are manifests only of Druid, MySQL, MariaDB, Postgres and ZooKeeper of {GROUP}; remove the task manifest-backup"
            ),
        )
    };
    let target = target.ok_or_else(|| unsupported("missing"))?;
    let item = |target: &TypedObjectReference, referrer: &str| {
        let of = DatabaseKind::of(target.group(), target.kind())?;
        Some(Item {
            of,
            part: Part::Database,
            namespace: target.namespace_or(referrer).to_owned(),
            name: target.name.clone(),
        })
    };
    if target.kind() == "AppBinding" {
        let own = target.namespace_or(namespace);
        let binding: AppBinding = cluster.get(own, &target.name, named_by).await?;
        let app = binding.spec.app_ref.as_ref();
        return app.and_then(|app| item(app, own)).ok_or_else(|| {
            unsupported(&format!(
                "AppBinding {own}/{}, behind which is no such object",
                target.name
            ))
        });
    }
    item(target, namespace).ok_or_else(|| unsupported(&format!("a {}", target.kind())))
}

/// The object, if it and its kind are there.
async fn found(cluster: &Cluster, item: &Item) -> Result<Option<Value>, Failure> {
    let Some(resource) = resource(cluster, item, None).await? else {
        return Ok(None);
    };
    Ok(cluster
        .find_object(&resource, &item.namespace, &item.name)
        .await?)
}

/// How the kind of an object is served.
pub(super) async fn resource(
    cluster: &Cluster,
    item: &Item,
    version: Option<&str>,
) -> Result<Option<ApiResource>, Failure> {
    match item.kind() {
        "Secret" => Ok(Some(ApiResource::erase::<Secret>(&()))),
        "ConfigMap" => Ok(Some(ApiResource::erase::<ConfigMap>(&()))),
        kind => Ok(cluster.served(item.group(), kind, version).await?),
    }
}

async fn read(
    cluster: &Cluster,
    database: &Item,
    member: &Member,
) -> Result<Option<Value>, Failure> {
    let item = &member.item;
    if let Some(object) = found(cluster, item).await? {
        return Ok(Some(object));
    }
    match member.named_by {
        Some(field) => Err(Failure::permanent(
            "ApiNotFound",
            format!(
                "failed to back up the manifests: {item} does not exist, and {field} of {database} names it; create it, or change the field"
            ),
        )),
        None => {
            tracing::info!("{item} of {database} does not exist: it is left out");
            Ok(None)
        }
    }
}
