//! Manifests: which objects a Job reads or makes, so that it gets rights to exactly these.
//!
//! Rights are given in the namespace of the database and in those that a restore's options name.
//! Where a Druid's databases are elsewhere, the user's own ServiceAccount has to have them: whoever
//! may write a Druid in one namespace must not get at the Secrets of another one by it.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use kubestash_api::kubedb::Druid;
use kubestash_api::shared::TypedObjectReference;
use kubestash_api::storage::Snapshot;
use kubestash_domain::manifest::{
    DatabaseKind, GROUP, INVENTORY_ANNOTATION, Item, Part, Placement, dependencies, inventory,
};
use kubestash_domain::target::app_of;
use serde_json::{Value, json};

use super::Access;
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError};

const READ: &[&str] = &["get"];
const RELEASE: &[&str] = &["get", "patch"];
const MAKE: &[&str] = &["create"];
const REPLACE: &[&str] = &["update"];
const CATALOG: &str = "appcatalog.appscode.com";

/// The component that a task of this name, or one that runs a Function of this name, saves or
/// restores.
#[must_use]
pub(crate) fn is_for_manifests(task_or_function: &str) -> bool {
    task_or_function.starts_with("manifest") || task_or_function.starts_with("kubedbmanifest")
}

/// The objects of the database that `target` names, as seen from `namespace`; none if there is no
/// such.
///
/// # Errors
/// When a request fails.
pub(crate) async fn of_target(
    ctx: &Context,
    target: &TypedObjectReference,
    namespace: &str,
) -> Result<Vec<Item>, ApplyError> {
    let mut target = TypedObjectReference {
        namespace: Some(target.namespace_or(namespace).to_owned()),
        ..target.clone()
    };
    if target.group() == CATALOG {
        let own = target.namespace_or(namespace).to_owned();
        let binding = ctx.watches.app_bindings.get(&own, &target.name);
        let Some(app) = binding.as_deref().and_then(app_of) else {
            return Ok(Vec::new());
        };
        target = app;
    }
    let Some(kind) = DatabaseKind::of(target.group(), target.kind()) else {
        return Ok(Vec::new());
    };
    let root = Item {
        of: kind,
        part: Part::Database,
        namespace: target.namespace_or(namespace).to_owned(),
        name: target.name.clone(),
    };
    let Some(database) = read(ctx, &root).await? else {
        return Ok(vec![root]);
    };
    let mut needed: Vec<(Item, Value)> = Vec::new();
    if kind == DatabaseKind::Druid {
        for item in dependencies(&database) {
            if item.part == Part::Database
                && let Some(found) = read(ctx, &item).await?
            {
                needed.push((item, found));
            }
        }
    }
    Ok(inventory(kind, &database, |item| {
        let mut all = needed.iter();
        all.find(|(known, _)| known == item).map(|(_, found)| found)
    }))
}

async fn read(ctx: &Context, item: &Item) -> Result<Option<Value>, ApplyError> {
    // All of these kinds have this version, whatever others they have; the fields that matter are
    // the same in all.
    let version = GroupVersionKind::gvk(GROUP, "v1alpha2", item.of.name());
    let resource = ApiResource::from_gvk_with_plural(&version, item.of.plural());
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &item.namespace, &resource);
    match api.get(&item.name).await {
        Ok(found) => Ok(Some(json!({
            "metadata": {"name": item.name, "namespace": item.namespace},
            "spec": found.data.get("spec").cloned().unwrap_or_default(),
        }))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(source) => {
            let mut named = Druid::new(&item.name, Default::default());
            named.metadata.namespace = Some(item.namespace.clone());
            Err(apply::request("read the manifest of", &named, source))
        }
    }
}

/// The annotation by which a Snapshot says which objects it holds.
#[must_use]
pub(crate) fn annotation(items: &[Item]) -> Option<(String, String)> {
    let text = serde_json::to_string(items).ok()?;
    (!items.is_empty()).then(|| (INVENTORY_ANNOTATION.to_owned(), text))
}

/// The objects that a Snapshot holds, as it says; of one that does not say, those with usual names.
#[must_use]
pub(crate) fn of_snapshot(snapshot: &Snapshot) -> Vec<Item> {
    let said = snapshot.annotations().get(INVENTORY_ANNOTATION);
    if let Some(items) = said.and_then(|text| serde_json::from_str(text).ok()) {
        return items;
    }
    let Some(app) = &snapshot.spec.app_ref else {
        return Vec::new();
    };
    let namespace = snapshot.namespace().unwrap_or_default();
    let metadata =
        json!({"metadata": {"name": app.name, "namespace": app.namespace_or(&namespace)}});
    DatabaseKind::of(app.group(), app.kind())
        .map(|kind| inventory(kind, &metadata, |_| None))
        .unwrap_or_default()
}

/// Lets a Job read the objects that it backs up.
pub(crate) fn allow_backup(access: &mut Access, items: &[Item]) {
    let Some(root) = items.first() else {
        return;
    };
    for item in items.iter().filter(|item| item.part != Part::External) {
        if item.namespace == root.namespace {
            access.one(
                &item.namespace,
                item.group(),
                item.plural(),
                READ,
                &item.name,
            );
        }
    }
}

/// What a restore of manifests does besides making what is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restoring {
    /// Data is restored into the new database.
    pub data_follows: bool,
    /// Objects that exist get the content of those that were backed up.
    pub replaces: bool,
}

/// Where a restore of manifests begins, and whether it was asked to replace objects elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    /// The namespace of the session.
    pub own: &'a str,
    /// Whether the session itself says that objects are replaced, so that its author was checked
    /// for that.
    pub replaces_elsewhere: bool,
}

/// Whether a Function that restores manifests is told to replace objects that exist.
#[must_use]
pub(crate) fn replaces(args: &[String]) -> bool {
    let mut args = args.iter();
    args.any(|arg| arg == "--override-resources" || arg == "--override-resources=true")
}

/// The objects that a restore looks at or makes: those that go with the database or that the
/// options move. What lies elsewhere is left to the user's own ServiceAccount.
pub(crate) fn touched(placements: &[Placement]) -> impl Iterator<Item = &Placement> {
    let root = placements.first().map(|root| &root.target.namespace);
    placements.iter().filter(move |placement| {
        let namespace = &placement.target.namespace;
        Some(namespace) == root || *namespace != placement.source.namespace
    })
}

/// Lets a Job make the objects that it restores, look at those that exist already or replace them,
/// and, if data follows, find the new database and tell it that its data is there.
pub(crate) fn allow_restore(
    access: &mut Access,
    placements: &[Placement],
    restoring: Restoring,
    reach: Reach<'_>,
) {
    let Restoring {
        data_follows,
        replaces,
    } = restoring;
    let Some(root) = placements.first() else {
        return;
    };
    for placement in touched(placements) {
        let target = &placement.target;
        let namespace = &target.namespace;
        let (group, plural) = (target.group(), target.plural());
        access.one(namespace, group, plural, READ, &target.name);
        if placement.restored {
            access.any(namespace, group, plural, MAKE);
        }
        let replaces = replaces && (*namespace == reach.own || reach.replaces_elsewhere);
        if placement.restored && replaces {
            access.one(namespace, group, plural, REPLACE, &target.name);
        }
        if target.part == Part::Database {
            access.one(namespace, CATALOG, "appbindings", READ, &target.name);
        }
        if target.part == Part::Database && data_follows {
            let certificate = format!("{}-client-cert", target.name);
            access.one(namespace, "", "secrets", READ, &certificate);
        }
    }
    if data_follows {
        let target = &root.target;
        access.one(
            &target.namespace,
            target.group(),
            target.plural(),
            RELEASE,
            &target.name,
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kubestash_api::core::ManifestOptions;
    use kubestash_domain::manifest::place;

    use super::*;
    use crate::jobs::{Holder, rbac};

    fn items(spec: Value) -> Vec<Item> {
        let druid = json!({"metadata": {"name": "d", "namespace": "demo"}, "spec": spec});
        inventory(DatabaseKind::Druid, &druid, |_| None)
    }

    /// `namespace verb resource name`, of every rule.
    fn rules(access: &Access) -> Vec<String> {
        let (owner, labels) = (OwnerReference::default(), BTreeMap::new());
        let holder = Holder {
            name: "s",
            namespace: "demo",
            own_account: None,
            owner: &owner,
            labels: &labels,
        };
        let mut found = Vec::new();
        for role in rbac::build(holder, access).roles {
            let namespace = role.metadata.namespace.unwrap_or_default();
            for rule in role.rules.unwrap_or_default() {
                let names = rule
                    .resource_names
                    .map_or("*".to_owned(), |names| names.join(","));
                let resources = rule.resources.unwrap_or_default().join(",");
                found.push(format!(
                    "{namespace} {} {resources} {names}",
                    rule.verbs.join(",")
                ));
            }
        }
        found
    }

    #[test]
    fn a_backup_may_read_exactly_the_objects_beside_its_database() {
        let mut access = Access::default();
        let spec = json!({"deepStorage": {"configSecret": {"name": "deep"}}, "zookeeperRef": {"name": "zk", "namespace": "other"}});
        allow_backup(&mut access, &items(spec));
        assert_eq!(
            rules(&access),
            [
                "demo get secrets d-auth,deep",
                "demo get druids d",
                "demo get mysqls d-mysql-metadata"
            ]
        );
    }

    #[test]
    fn a_restore_may_make_objects_where_the_options_say_and_nowhere_else() {
        let options: ManifestOptions =
            serde_json::from_value(json!({"druid": {"dbName": "new", "restoreNamespace": "dev"}}))
                .unwrap();
        let spec = json!({"zookeeperRef": {"name": "zk", "namespace": "other"}});
        let placements = place(&items(spec), &options);
        let mut access = Access::default();
        let reach = Reach {
            own: "demo",
            replaces_elsewhere: true,
        };
        allow_restore(&mut access, &placements, Restoring::default(), reach);
        assert_eq!(
            rules(&access),
            [
                "dev create secrets *",
                "dev get secrets new-auth",
                "dev get appbindings new,new-mysql-metadata",
                "dev create druids *",
                "dev get druids new",
                "dev create mysqls *",
                "dev get mysqls new-mysql-metadata",
            ]
        );
        let data_follows = Restoring {
            data_follows: true,
            ..Restoring::default()
        };
        allow_restore(&mut access, &placements, data_follows, reach);
        assert!(rules(&access).contains(&"dev get,patch druids new".to_owned()));
        let replaces = Restoring {
            replaces: true,
            ..data_follows
        };
        // What the session does not say its author was not checked for.
        let silent = Reach {
            replaces_elsewhere: false,
            ..reach
        };
        allow_restore(&mut access, &placements, replaces, silent);
        assert!(!rules(&access).iter().any(|rule| rule.contains("update")));
        allow_restore(&mut access, &placements, replaces, reach);
        for rule in [
            "dev update secrets new-auth",
            "dev update druids new",
            "dev update mysqls new-mysql-metadata",
        ] {
            assert!(rules(&access).contains(&rule.to_owned()), "{rule}");
        }
    }

    #[test]
    fn only_a_clear_word_lets_objects_be_replaced() {
        for (arg, expected) in [
            ("--override-resources", true),
            ("--override-resources=true", true),
            ("--override-resources=", false),
            ("--override-resources=false", false),
            ("--override-resources=yes", false),
        ] {
            assert_eq!(replaces(&[arg.to_owned()]), expected, "{arg}");
        }
    }

    #[test]
    fn a_snapshot_says_what_it_holds_and_usual_names_are_assumed_of_one_that_does_not() {
        let mut snapshot = Snapshot::default();
        snapshot.metadata.namespace = Some("demo".to_owned());
        snapshot.spec.app_ref = Some(TypedObjectReference::new("kubedb.com", "Druid", "d", ""));
        assert_eq!(of_snapshot(&snapshot), items(json!({})));
        let all = items(json!({"configuration": {"secretName": "c"}}));
        snapshot.metadata.annotations = Some(annotation(&all).into_iter().collect());
        assert_eq!(of_snapshot(&snapshot), all);
    }
}
