//! Annotations and blueprints: what is made, what is refused and how it is told, what goes and what
//! stays.

use kube::ResourceExt;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::kubedb::Druid;
use kubestash_api::storage::{Repository, Snapshot};
use serde_json::{Value, json};

use crate::support::node::{Deed, Node};
use crate::support::{
    CONFIGURATION, Cluster, SAMPLE_DRUID, SAMPLE_DRUID_2, default_blueprint, yaml,
};

const CUSTOM: &str = include_str!("../../../../examples/customize-backupblueprint.yaml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_part_of_the_tutorial_fills_in_the_variables() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator_with_webhook().await;
    cluster.backends().await;
    cluster.create::<BackupBlueprint>(yaml(CUSTOM)).await;
    cluster.druid(SAMPLE_DRUID_2).await;
    let made = cluster
        .configuration_ready("appbinding-sample-druid-2")
        .await;
    let spec = serde_json::to_value(&made.spec).unwrap();
    let session = &spec["sessions"][0];
    assert_eq!(session["scheduler"]["schedule"], "*/10 * * * *");
    assert_eq!(session["repositories"][0]["name"], "customize-blueprint");
    assert_eq!(
        session["repositories"][0]["directory"],
        "demo/sample-druid-2"
    );
    assert_eq!(
        session["addon"]["tasks"][0]["params"],
        json!({"databases": "druid"})
    );
    let run = cluster.sessions_ended(1).await.remove(0);
    let second = run.name_any().rsplit('-').next().unwrap().to_owned();
    let snapshot = format!("customize-blueprint-appbinding-sid-2-frequent-backup-{second}");
    assert!(
        cluster
            .api::<Snapshot>()
            .get_opt(&snapshot)
            .await
            .unwrap()
            .is_some()
    );
    // A variable that is removed later is told, and what was asked for before goes on.
    annotate(&cluster, json!({"variables.kubestash.com/repoName": null})).await;
    for (kind, name) in everybody() {
        let note = cluster.told(kind, name, "VariableMissing").await;
        assert!(
            note.contains(
                "until then BackupConfiguration demo/appbinding-sample-druid-2 stays as it is"
            ),
            "{note}"
        );
    }
    cluster
        .configuration_ready("appbinding-sample-druid-2")
        .await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_told_on_the_database_on_its_binding_and_on_the_blueprint() {
    let cluster = Cluster::start().await;
    let operator = cluster.operator().await;
    cluster.backends().await;
    // No blueprint yet.
    cluster.druid(SAMPLE_DRUID_2).await;
    for kind in ["AppBinding", "Druid"] {
        let note = cluster
            .told(kind, "sample-druid-2", "BlueprintNotFound")
            .await;
        assert!(
            note.contains("demo/druid-customize-backup-blueprint"),
            "{note}"
        );
    }
    // A blueprint that is for another namespace.
    let mut blueprint = yaml(CUSTOM);
    blueprint["spec"]["usagePolicy"] = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}});
    cluster.create::<BackupBlueprint>(blueprint).await;
    for (kind, name) in everybody() {
        cluster.told(kind, name, "BlueprintNotAllowed").await;
    }
    // One that may be used, and variables that are missing.
    let name = "druid-customize-backup-blueprint";
    annotate(
        &cluster,
        json!({"variables.kubestash.com/schedule": null, "variables.kubestash.com/repoName": null}),
    )
    .await;
    cluster
        .merge::<BackupBlueprint>(name, json!({"spec": {"usagePolicy": {"allowedNamespaces": {"from": "All", "selector": null}}}}))
        .await;
    for (kind, name) in everybody() {
        let note = cluster.told(kind, name, "VariableMissing").await;
        assert!(
            note.contains("variables.kubestash.com/repoName, variables.kubestash.com/schedule"),
            "{note}"
        );
    }
    assert!(cluster.list::<BackupConfiguration>().await.is_empty());
    // With a schedule that is none, the configuration is there and says so.
    annotate(&cluster, json!({"variables.kubestash.com/schedule": "61 * * * *", "variables.kubestash.com/repoName": "r"}))
        .await;
    for (kind, name) in everybody() {
        let note = cluster
            .told(kind, name, "BackupConfigurationNotReady")
            .await;
        assert!(note.contains("61 * * * *"), "{note}");
    }
    operator.stop().await;
}

fn everybody() -> [(&'static str, &'static str); 3] {
    [
        ("AppBinding", "sample-druid-2"),
        ("Druid", "sample-druid-2"),
        ("BackupBlueprint", "druid-customize-backup-blueprint"),
    ]
}

async fn annotate(cluster: &Cluster, annotations: Value) {
    cluster
        .merge::<AppBinding>(
            "sample-druid-2",
            json!({"metadata": {"annotations": annotations}}),
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_druid_on_the_constant_name_blueprint_is_refused_with_and_without_the_webhook() {
    for webhook in [true, false] {
        let cluster = Cluster::start().await;
        let _node = Node::start(&cluster, Deed::Succeed);
        let operator = if webhook {
            cluster.operator_with_webhook().await
        } else {
            cluster.operator().await
        };
        cluster.tutorial().await;
        cluster.sessions_ended(1).await;
        let second = SAMPLE_DRUID.replace("name: sample-druid\n", "name: another-druid\n");
        cluster.druid(&second).await;
        let reason = if webhook {
            "BackupConfigurationDenied"
        } else {
            "BackupConfigurationNotReady"
        };
        for (kind, name) in [
            ("AppBinding", "another-druid"),
            ("Druid", "another-druid"),
            ("BackupBlueprint", "druid-default-backup-blueprint"),
        ] {
            let note = cluster.told(kind, name, reason).await;
            assert!(note.contains("default-blueprint"), "{note}");
            assert!(
                note.contains("choose a different repository name"),
                "{note}"
            );
        }
        // Nothing of the first one was touched.
        let repository = cluster
            .api::<Repository>()
            .get("default-blueprint")
            .await
            .unwrap();
        assert_eq!(repository.spec.app_ref.unwrap().name, "sample-druid");
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_blueprint_and_annotations_reach_the_configuration_and_paused_stays_the_users() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    cluster
        .merge::<BackupConfiguration>(CONFIGURATION, json!({"spec": {"paused": true}}))
        .await;
    let mut blueprint = default_blueprint();
    let session = &mut blueprint["spec"]["backupConfigurationTemplate"]["sessions"][0];
    session["scheduler"]["schedule"] = json!("@daily");
    session
        .as_object_mut()
        .unwrap()
        .remove("sessionHistoryLimit");
    cluster
        .merge::<BackupBlueprint>(
            "druid-default-backup-blueprint",
            json!({"spec": blueprint["spec"]}),
        )
        .await;
    let changed = |found: Option<&BackupConfiguration>| {
        found.is_some_and(|found| {
            let session = &found.spec.sessions[0];
            session.scheduler.as_ref().unwrap().schedule == "@daily"
                && session.session_history_limit == 1
        })
    };
    let changed = cluster
        .until(CONFIGURATION, "the new schedule", changed)
        .await
        .unwrap();
    assert_eq!(changed.spec.paused, Some(true));
    let notes = cluster
        .notes_about("BackupConfiguration", CONFIGURATION)
        .await;
    assert!(
        notes.iter().all(|(reason, _)| reason != "EditReverted"),
        "neither `paused` nor an edit of the blueprint is an edit by hand: {notes:?}"
    );

    // An edit by hand does not stay, and says why.
    let mut edited = serde_json::to_value(&changed.spec.sessions).unwrap();
    edited[0]["scheduler"]["schedule"] = json!("@hourly");
    cluster
        .merge::<BackupConfiguration>(CONFIGURATION, json!({"spec": {"sessions": edited}}))
        .await;
    let note = cluster
        .told("BackupConfiguration", CONFIGURATION, "EditReverted")
        .await;
    assert!(
        note.contains("spec.sessions was edited")
            && note.contains("BackupBlueprint demo/druid-default-backup-blueprint")
            && note.contains("annotations of Druid demo/sample-druid"),
        "{note}"
    );
    let back = |found: Option<&BackupConfiguration>| {
        let schedule = found.and_then(|found| found.spec.sessions[0].scheduler.as_ref());
        schedule.is_some_and(|scheduler| scheduler.schedule == "@daily")
    };
    cluster.until(CONFIGURATION, "the old schedule", back).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_annotations_the_configuration_goes_and_what_was_saved_stays() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    // One of the same kind that a user made by hand.
    let mut by_hand =
        serde_json::to_value(cluster.configuration_ready(CONFIGURATION).await.spec).unwrap();
    by_hand["sessions"][0]["repositories"][0] = json!({"name": "own", "backend": "gcs-backend", "directory": "own",
            "encryptionSecret": {"name": "encrypt-secret"}});
    let by_hand = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": "by-hand", "namespace": "demo"}, "spec": by_hand});
    cluster.create::<BackupConfiguration>(by_hand).await;
    cluster.sessions_ended(2).await;
    let annotations =
        json!({"blueprint.kubestash.com/name": null, "blueprint.kubestash.com/namespace": null});
    cluster
        .merge::<AppBinding>(
            "sample-druid",
            json!({"metadata": {"annotations": annotations}}),
        )
        .await;
    cluster.gone::<BackupConfiguration>(CONFIGURATION).await;
    for kind in ["AppBinding", "Druid"] {
        let note = cluster.told(kind, "sample-druid", "BackupsEnded").await;
        assert!(
            note.contains("annotation blueprint.kubestash.com/name was removed")
                && note.contains("Repositories, Snapshots and data stay"),
            "{note}"
        );
    }
    cluster.configuration_ready("by-hand").await;
    what_was_saved_stays(&cluster).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blueprint_deleted_while_the_operator_is_away_takes_its_configurations_along_and_then_the_druid_goes()
 {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    operator.stop().await;
    cluster
        .delete::<BackupBlueprint>("druid-default-backup-blueprint")
        .await;
    assert!(
        cluster
            .api::<BackupConfiguration>()
            .get_opt(CONFIGURATION)
            .await
            .unwrap()
            .is_some()
    );
    let operator = cluster.operator().await;
    cluster
        .gone::<BackupBlueprint>("druid-default-backup-blueprint")
        .await;
    cluster.gone::<BackupConfiguration>(CONFIGURATION).await;
    cluster.delete::<Druid>("sample-druid").await;
    cluster.gone::<AppBinding>("sample-druid").await;
    what_was_saved_stays(&cluster).await;
    operator.stop().await;
}

async fn what_was_saved_stays(cluster: &Cluster) {
    assert!(
        cluster
            .api::<Repository>()
            .get_opt("default-blueprint")
            .await
            .unwrap()
            .is_some()
    );
    let kept = cluster.list::<Snapshot>().await;
    assert!(
        kept.iter()
            .any(|found| found.spec.repository == "default-blueprint")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_target_goes_its_configuration_stays_and_says_so() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Succeed);
    let operator = cluster.operator().await;
    cluster.tutorial().await;
    cluster.sessions_ended(1).await;
    cluster.delete::<Druid>("sample-druid").await;
    let lost = |found: Option<&BackupConfiguration>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| {
            status.target_found == Some(false)
                && status
                    .phase
                    .is_some_and(|phase| phase.as_str() == "NotReady")
        })
    };
    cluster.until(CONFIGURATION, "a lost target", lost).await;
    let note = cluster
        .told("BackupConfiguration", CONFIGURATION, "TargetNotFound")
        .await;
    assert!(note.contains("Druid demo/sample-druid"), "{note}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annotations_that_ask_for_nothing_are_told_once_on_the_database() {
    let cluster = Cluster::start().await;
    let operator = cluster.operator().await;
    cluster.backends().await;
    cluster.create::<BackupBlueprint>(default_blueprint()).await;
    let misspelt = SAMPLE_DRUID.replace(
        "blueprint.kubestash.com/name:",
        "blueprint.kubestash.com/nmae:",
    );
    cluster.druid(&misspelt).await;
    for kind in ["AppBinding", "Druid"] {
        let note = cluster
            .told(kind, "sample-druid", "AnnotationIgnored")
            .await;
        assert!(
            note.contains("did you mean blueprint.kubestash.com/name?")
                && note.contains("annotation blueprint.kubestash.com/name is missing"),
            "{note}"
        );
    }
    // Another change wakes the reconciler; the same words are not told again.
    let touch = json!({"metadata": {"annotations": {"example.com/touched": "1", "blueprint.kubestash.com/naem": "x"}}});
    cluster.merge::<AppBinding>("sample-druid", touch).await;
    cluster
        .eventually("the second mistake", || async {
            let notes = cluster.notes_about("Druid", "sample-druid").await;
            notes
                .iter()
                .any(|(_, note)| note.contains("/naem"))
                .then_some(())
        })
        .await;
    let notes = cluster.notes_about("Druid", "sample-druid").await;
    let ignored = notes
        .iter()
        .filter(|(reason, _)| reason == "AnnotationIgnored");
    assert_eq!(ignored.count(), 2, "{notes:?}");
    assert!(cluster.list::<BackupConfiguration>().await.is_empty());
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_a_variable_spoils_is_told_on_the_database_and_on_the_blueprint() {
    for webhook in [true, false] {
        let cluster = Cluster::start().await;
        let operator = if webhook {
            cluster.operator_with_webhook().await
        } else {
            cluster.operator().await
        };
        cluster.backends().await;
        cluster.create::<BackupBlueprint>(yaml(CUSTOM)).await;
        let spoilt = SAMPLE_DRUID_2.replace("repoName: customize-blueprint", "repoName: My Repo");
        assert!(spoilt.contains("My Repo"));
        cluster.druid(&spoilt).await;
        let reason = if webhook {
            "BackupConfigurationDenied"
        } else {
            "BackupConfigurationNotReady"
        };
        for (kind, name) in everybody() {
            let note = cluster.told(kind, name, reason).await;
            assert!(
                note.contains("spec.sessions[0].repositories[0].name")
                    && note.contains("such as \"my-repo\""),
                "{note}"
            );
        }
        operator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_backed_up_from_another_namespace_is_told_where_its_objects_are() {
    let cluster = Cluster::start().await;
    let operator = cluster.operator_with_webhook().await;
    cluster.namespace("vault").await;
    cluster.backends().await;
    let mut blueprint = default_blueprint();
    blueprint["spec"]["backupConfigurationTemplate"]["namespace"] = json!("vault");
    cluster.create::<BackupBlueprint>(blueprint).await;
    cluster.druid(SAMPLE_DRUID).await;
    let note = cluster
        .told("Druid", "sample-druid", "BackedUpFromAnotherNamespace")
        .await;
    assert!(
        note.contains("BackupConfiguration vault/demo-appbinding-sample-druid"),
        "{note}"
    );
    operator.stop().await;
}
