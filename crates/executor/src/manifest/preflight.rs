//! What has to be well before the first object is made: all of it only reads and asks.

use futures::future::join_all;
use kube::ResourceExt;
use kube::api::ApiResource;
use kubestash_api::appcatalog::AppBinding;
use kubestash_domain::manifest::{
    DatabaseKind, Document, Item, Part, Placement, Rewrite, belongs_to_another, overlay, rewrite,
};
use serde_json::Value;

use super::collect::resource;
use crate::cluster::{Cluster, Created};
use crate::failure::Failure;

/// At most this many obstacles in a message.
const SHOWN: usize = 3;

/// An object that shall be there.
pub(super) struct Wanted {
    /// Its kind.
    pub(super) resource: ApiResource,
    /// Where it goes.
    pub(super) target: Item,
    /// How it comes to be there.
    pub(super) act: Act,
}

/// What is done about an object that shall be there.
pub(super) enum Act {
    /// This one is made.
    Make(Value),
    /// The one that exists becomes this one.
    Replace(Value),
    /// The one that exists stays as it is.
    Keep,
}

/// Looks at every object that is to be made, in the order in which they are made. With `replaces`,
/// one that exists gets the content of the one that was backed up.
///
/// # Errors
/// All obstacles together.
pub(super) async fn preflight(
    cluster: &Cluster,
    document: &Document,
    by: &Rewrite<'_>,
    replaces: bool,
) -> Result<Vec<Wanted>, Failure> {
    external(by)?;
    let mut restored: Vec<(&Placement, &Value)> = by
        .placements
        .iter()
        .filter(|placement| placement.restored)
        .filter_map(|placement| Some((placement, document.find(&placement.source)?)))
        .collect();
    // What is referred to is made before what refers to it: Secrets, what the database needs, the
    // database.
    restored.sort_by_key(|(placement, _)| match placement.source.part {
        Part::Database if by.placements.first() == Some(*placement) => 2,
        Part::Database => 1,
        _ => 0,
    });
    let looked = restored
        .into_iter()
        .map(|(placement, object)| look(cluster, placement, object, by, replaces));
    let (mut wanted, mut failures) = (Vec::new(), Vec::new());
    for result in join_all(looked).await {
        match result {
            Ok(found) => wanted.push(found),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.as_slice() {
        [] => Ok(wanted),
        [first, ..] => {
            let mut texts: Vec<&str> = failures.iter().map(|one| one.message.as_str()).collect();
            texts.dedup();
            let more = texts.len().saturating_sub(SHOWN);
            texts.truncate(SHOWN);
            let mut text = texts.join("; ");
            if more > 0 {
                text.push_str(&format!("; and {more} more"));
            }
            Err(match failures.iter().all(|failure| failure.permanent) {
                true => Failure::permanent(&first.kind, text),
                false => Failure::transient(&first.kind, text),
            })
        }
    }
}

/// A failure before the first object, which is worth knowing.
pub(super) fn untouched(failure: Failure) -> Failure {
    let message = format!("{}; nothing was created", failure.message);
    match failure.permanent {
        true => Failure::permanent(&failure.kind, message),
        false => Failure::transient(&failure.kind, message),
    }
}

/// A copy of a Druid must not get its data through the metadata store of the original.
fn external(by: &Rewrite<'_>) -> Result<(), Failure> {
    let Some(root) = by.placements.first().filter(|_| by.data_follows) else {
        return Ok(());
    };
    let is_copy = root.source != root.target;
    let shared = by.placements.iter().find(|placement| {
        placement.source.part == Part::External && placement.source == placement.target
    });
    match shared.filter(|_| is_copy) {
        None => Ok(()),
        Some(store) => Err(Failure::permanent(
            "MetadataStoreShared",
            format!(
                "failed to restore: {} is the externally managed metadata store of {}, and restoring data into it would overwrite that one's; name another store in spec.manifestOptions.{}.dbName, or restore the manifests without data",
                store.source,
                root.source,
                store.source.of.options_key()
            ),
        )),
    }
}

async fn look(
    cluster: &Cluster,
    placement: &Placement,
    object: &Value,
    by: &Rewrite<'_>,
    replaces: bool,
) -> Result<Wanted, Failure> {
    let target = &placement.target;
    let resource = installed(cluster, target, object).await?;
    let object = rewrite(object, placement, by);
    let created = cluster.create_object(&resource, &object, true).await?;
    let found = match created {
        Created::Exists => existing(cluster, placement, &resource, by).await?,
        Created::Made if target.part == Part::Database => {
            free(cluster, target).await?;
            None
        }
        Created::Made => None,
    };
    let act = match found {
        Some(found) if replaces => match overlay(&found, &object, target.part) {
            Some(object) => {
                cluster.replace_object(&resource, &object, true).await?;
                Act::Replace(object)
            }
            None => Act::Keep,
        },
        Some(_) => Act::Keep,
        None => Act::Make(object),
    };
    Ok(Wanted {
        resource,
        target: target.clone(),
        act,
    })
}

/// The kind of the object, in the version it was backed up in.
async fn installed(
    cluster: &Cluster,
    target: &Item,
    object: &Value,
) -> Result<ApiResource, Failure> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let version = api_version.rsplit('/').next();
    if let Some(resource) = resource(cluster, target, version).await? {
        return Ok(resource);
    }
    let key = target.of.options_key();
    Err(Failure::permanent(
        "KindNotInstalled",
        format!(
            "failed to restore {target}: kind {} of {api_version} is not installed; install its operator{}",
            target.kind(),
            match target.of {
                DatabaseKind::Druid => String::new(),
                _ => format!(", or set spec.manifestOptions.{key}.db to false"),
            }
        ),
    ))
}

/// The object that exists in the place of ours, if it may be there; none if it is gone meanwhile.
async fn existing(
    cluster: &Cluster,
    placement: &Placement,
    resource: &ApiResource,
    by: &Rewrite<'_>,
) -> Result<Option<Value>, Failure> {
    let target = &placement.target;
    let found = cluster
        .find_object(resource, &target.namespace, &target.name)
        .await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let taken = match found["metadata"]["deletionTimestamp"].is_null() {
        true => belongs_to_another(&found, placement, by.placements),
        false => Some("is being deleted".to_owned()),
    };
    let option = match placement.source.part {
        Part::Auth => "authSecretName",
        Part::Config => "configSecretName",
        _ => "dbName",
    };
    match taken {
        None => Ok(Some(found)),
        Some(why) => Err(Failure::permanent(
            "NameTaken",
            format!(
                "failed to restore {target}: the name is taken: the one that exists {why}; give another name in spec.manifestOptions.{}.{option}, or remove it",
                target.of.options_key()
            ),
        )),
    }
}

/// Whether no AppBinding of the database's name is in the way of the one that will be made for it.
async fn free(cluster: &Cluster, target: &Item) -> Result<(), Failure> {
    let found: Option<AppBinding> = cluster.find(&target.namespace, &target.name).await?;
    // One of a database of that name, which is gone, is about to go as well.
    let is_ours = |binding: &AppBinding| {
        let mut owners = binding.owner_references().iter();
        owners.any(|owner| owner.kind == target.kind() && owner.name == target.name)
    };
    match found.filter(|binding| !is_ours(binding)) {
        None => Ok(()),
        Some(_) => Err(Failure::permanent(
            "NameTaken",
            format!(
                "failed to restore {target}: the name is taken: AppBinding {}/{} exists and belongs to something else; give another name in spec.manifestOptions.{}.dbName, or remove it",
                target.namespace,
                target.name,
                target.of.options_key()
            ),
        )),
    }
}
