//! Restores that make their target themselves.

use kubestash_domain::manifest::place;

use super::super::super::world::{options, target};
use super::*;

/// An application-level restore, its tasks in the order that the guides write them.
fn application(spec: Value) -> World {
    let mut all = json!({
        "target": null,
        "manifestOptions": {"druid": {"restoreNamespace": "dev", "dbName": "copy"}},
        "addon": {"name": "druid-addon",
            "tasks": [{"name": "mysql-metadata-storage-restore"}, {"name": "manifest-restore"}]},
    });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    let mut world = world_of(&all);
    world.source = source(true);
    world.target_missing = Some("Druid dev/copy does not exist".to_owned());
    for snapshot in &mut world.snapshots {
        snapshot.spec.app_ref = Some(TypedObjectReference::new(
            "kubedb.com",
            "Druid",
            "sample",
            "demo",
        ));
        let status = snapshot.status.as_mut().unwrap();
        let dump = status.components["dump"].clone();
        status.components.insert("manifest".to_owned(), dump);
    }
    let newest = world.snapshots[1].clone();
    world.target = target(&world.session, Some(&newest));
    let items = crate::jobs::manifest::of_snapshot(&newest);
    world.placements = place(&items, &options(&world.session));
    world
}

#[test]
fn manifests_come_first_whatever_the_order_and_the_target_is_not_waited_for() {
    let world = application(json!({}));
    let found = world.target.clone().unwrap();
    assert_eq!(
        (found.namespace.as_deref(), found.name.as_str()),
        (Some("dev"), "copy")
    );
    let (plan, world) = step(&world, after(1));
    assert_eq!(plan.step, Step::Begin, "{:#?}", plan.status);
    assert_eq!(plan.status.total_components, Some(2));
    assert_eq!(plan.status.target_found, Some(false));
    let (plan, _) = step(&world, after(1));
    let Step::Launch(executor) = plan.step else {
        panic!("{:#?}", plan.status)
    };
    let pod = executor.job.spec.unwrap().template.spec.unwrap();
    let first = &pod.init_containers.unwrap()[0];
    assert_eq!(first.command.as_ref().unwrap()[2], "kubedbmanifest-restore");
    assert_eq!(
        pod.containers[0].command.as_ref().unwrap()[2],
        "mysql-restore"
    );
    // Rights in the namespace of the copy, and none to make anything elsewhere.
    for role in executor.rbac.roles {
        let makes = role
            .rules
            .iter()
            .flatten()
            .any(|rule| rule.verbs.contains(&"create".to_owned()));
        assert_eq!(
            makes,
            role.metadata.namespace.as_deref() == Some("dev"),
            "{role:#?}"
        );
    }
}

#[test]
fn a_namespace_that_is_missing_is_waited_for_a_moment_and_then_told() {
    let mut world = application(json!({}));
    world.namespaces_missing = vec!["dev".to_owned()];
    let plan = decide(&world, after(1));
    assert!(matches!(plan.step, Step::Wait(_)), "{:#?}", plan.status);
    let plan = decide(&world, after(60));
    assert_eq!(plan.status.phase, Some(RestorePhase::Invalid));
    let text = serde_json::to_string(&plan.status).unwrap();
    assert!(text.contains("namespace dev") && text.contains("kubectl create namespace dev"));
}

#[test]
fn without_manifests_the_target_has_to_be_named() {
    let data = json!({"addon": {"name": "druid-addon", "tasks": [{"name": "mysql-metadata-storage-restore"}]}});
    let plan = decide(&application(data), after(1));
    assert_eq!(plan.status.phase, Some(RestorePhase::Invalid));
    let only_data = json!({"dataSource": {"repository": "repo", "snapshot": "latest", "namespace": "data", "components": ["dump"]}});
    let plan = decide(&application(only_data), after(1));
    assert_eq!(plan.status.phase, Some(RestorePhase::Invalid));
    let text = serde_json::to_string(&plan.status).unwrap();
    assert!(text.contains("spec.target is missing"), "{text}");
}
