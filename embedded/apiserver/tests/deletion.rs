//! Deletion: finalizers, preconditions, grace, owners, namespaces, collections.
#![cfg(test)]

mod support;

use kube::Client;
use kube::api::{
    DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::{Value, json};
use support::{api, create, define_widgets, eventually, server, status, widget, widgets};

async fn exists(client: &Client, kind: &str, name: &str) -> bool {
    api(client, "v1", kind, Some("demo"))
        .get_opt(name)
        .await
        .unwrap()
        .is_some()
}

async fn gone(client: &Client, kind: &str, name: &str) {
    eventually(&format!("{kind} {name} to go"), || async {
        (!exists(client, kind, name).await).then_some(())
    })
    .await;
}

/// A ConfigMap owned by `owners`.
async fn dependent(
    client: &Client,
    name: &str,
    owners: &[&DynamicObject],
    blocks: bool,
) -> DynamicObject {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| {
            let types = owner.types.as_ref().unwrap();
            json!({
                "apiVersion": types.api_version, "kind": types.kind, "name": owner.metadata.name,
                "uid": owner.metadata.uid, "blockOwnerDeletion": blocks,
            })
        })
        .collect();
    let value = json!({"metadata": {"name": name, "ownerReferences": references}});
    create(client, "v1", "ConfigMap", Some("demo"), value).await
}

#[tokio::test]
async fn an_object_with_a_finalizer_is_marked_and_goes_with_its_last_finalizer() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let widgets = widgets(&client);
    let mut sent = widget("w", json!({"size": 1}));
    sent.metadata.finalizers = Some(vec!["test.example.com/hold".to_owned()]);
    widgets.create(&PostParams::default(), &sent).await.unwrap();
    let marked = widgets
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .expect("the object, not a Status");
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(marked.metadata.generation, Some(2));
    let again = widgets
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        again.metadata.resource_version,
        marked.metadata.resource_version
    );
    let add = Patch::Merge(
        json!({"metadata": {"finalizers": ["test.example.com/hold", "test.example.com/more"]}}),
    );
    let refused = status(widgets.patch("w", &PatchParams::default(), &add).await);
    assert_eq!(refused.code, 422);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    widgets
        .patch("w", &PatchParams::default(), &release)
        .await
        .unwrap();
    assert!(widgets.get_opt("w").await.unwrap().is_none());
}

#[tokio::test]
async fn preconditions_protect_another_object_of_the_same_name() {
    let (_server, client) = server().await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let created = create(
        &client,
        "v1",
        "ConfigMap",
        Some("demo"),
        json!({"metadata": {"name": "c"}}),
    )
    .await;
    let with = |uid: &str, version: Option<&str>| DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    let uid = created.metadata.uid.unwrap();
    let refused = status(maps.delete("c", &with("other", None)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (409, "Conflict"));
    assert!(
        refused
            .message
            .contains("Precondition failed: UID in precondition: other"),
        "{}",
        refused.message
    );
    assert_eq!(
        status(maps.delete("c", &with(&uid, Some("1"))).await).code,
        409
    );
    let deleted = maps
        .delete(
            "c",
            &with(&uid, created.metadata.resource_version.as_deref()),
        )
        .await
        .unwrap();
    assert_eq!(
        deleted.right().unwrap().status.unwrap(),
        kube::core::response::StatusSummary::Success
    );
}

#[tokio::test]
async fn dependents_go_in_the_background_when_their_last_owner_has_gone() {
    let (_server, client) = server().await;
    let first = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "first"}}),
    )
    .await;
    let second = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "second"}}),
    )
    .await;
    dependent(&client, "of-first", &[&first], false).await;
    let of_first = api(&client, "v1", "ConfigMap", Some("demo"))
        .get("of-first")
        .await
        .unwrap();
    dependent(&client, "of-of-first", &[&of_first], false).await;
    dependent(&client, "of-both", &[&first, &second], false).await;
    let secrets = api(&client, "v1", "Secret", Some("demo"));
    secrets
        .delete("first", &DeleteParams::background())
        .await
        .unwrap();
    gone(&client, "ConfigMap", "of-first").await;
    gone(&client, "ConfigMap", "of-of-first").await;
    let owners = eventually("the absent owner to be struck out", || async {
        let owners = api(&client, "v1", "ConfigMap", Some("demo"))
            .get("of-both")
            .await
            .unwrap()
            .metadata
            .owner_references
            .unwrap();
        (owners.len() == 1).then_some(owners)
    })
    .await;
    assert_eq!(owners[0].name, "second");
}

#[tokio::test]
async fn an_owner_waits_in_the_foreground_for_the_dependents_that_block_it() {
    let (_server, client) = server().await;
    let owner = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "owner"}}),
    )
    .await;
    let held = dependent(&client, "held", &[&owner], true).await;
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let hold = Patch::Merge(json!({"metadata": {"finalizers": ["test.example.com/hold"]}}));
    maps.patch("held", &PatchParams::default(), &hold)
        .await
        .unwrap();
    let secrets = api(&client, "v1", "Secret", Some("demo"));
    let marked = secrets
        .delete("owner", &DeleteParams::foreground())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.finalizers.unwrap(), ["foregroundDeletion"]);
    eventually("the dependent to be deleted", || async {
        maps.get("held").await.unwrap().metadata.deletion_timestamp
    })
    .await;
    assert!(exists(&client, "Secret", "owner").await, "the owner waits");
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch(
        &held.metadata.name.unwrap(),
        &PatchParams::default(),
        &release,
    )
    .await
    .unwrap();
    gone(&client, "Secret", "owner").await;
}

#[tokio::test]
async fn orphans_stay_and_are_released() {
    let (_server, client) = server().await;
    let owner = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "owner"}}),
    )
    .await;
    dependent(&client, "kept", &[&owner], true).await;
    let params = DeleteParams {
        propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api(&client, "v1", "Secret", Some("demo"))
        .delete("owner", &params)
        .await
        .unwrap();
    gone(&client, "Secret", "owner").await;
    let kept = api(&client, "v1", "ConfigMap", Some("demo"))
        .get("kept")
        .await
        .unwrap();
    assert!(kept.metadata.owner_references.is_none());
}

#[tokio::test]
async fn an_object_of_an_owner_that_never_was_or_is_another_goes() {
    let (_server, client) = server().await;
    let mut owner = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "owner"}}),
    )
    .await;
    owner.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    dependent(&client, "of-nobody", &[&owner], false).await;
    gone(&client, "ConfigMap", "of-nobody").await;
}

#[tokio::test]
async fn garbage_left_by_a_stopped_server_is_collected_by_the_next() {
    let (server, client) = server().await;
    let owner = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "owner"}}),
    )
    .await;
    for n in 0..20 {
        dependent(&client, &format!("d{n}"), &[&owner], false).await;
    }
    api(&client, "v1", "Secret", Some("demo"))
        .delete("owner", &DeleteParams::default())
        .await
        .unwrap();
    let server = server.restart().await.unwrap();
    let client = support::client(server.kubeconfig()).await;
    for n in 0..20 {
        gone(&client, "ConfigMap", &format!("d{n}")).await;
    }
}

#[tokio::test]
async fn a_namespace_goes_with_everything_in_it_and_refuses_new_objects_meanwhile() {
    let (_server, client) = server().await;
    define_widgets(&client).await;
    let mut sent = widget("held", json!({"size": 1}));
    sent.metadata.finalizers = Some(vec!["test.example.com/hold".to_owned()]);
    widgets(&client)
        .create(&PostParams::default(), &sent)
        .await
        .unwrap();
    create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "s"}}),
    )
    .await;
    let namespaces = api(&client, "v1", "Namespace", None);
    let marked = namespaces
        .delete("demo", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.data["status"]["phase"], "Terminating");
    let refused = status(
        api(&client, "v1", "ConfigMap", Some("demo"))
            .create(
                &PostParams::default(),
                &support::object(json!({"metadata": {"name": "late"}})),
            )
            .await,
    );
    assert_eq!((refused.code, refused.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        refused.message,
        "configmaps \"late\" is forbidden: unable to create new content in namespace demo because it is being terminated"
    );
    let message = eventually("the condition that names what remains", || async {
        let namespace = namespaces.get("demo").await.unwrap();
        let conditions = namespace.data["status"]["conditions"].as_array()?.clone();
        let condition = conditions
            .iter()
            .find(|one| one["type"] == "NamespaceFinalizersRemaining" && one["status"] == "True")?;
        let remaining = conditions
            .iter()
            .find(|one| one["type"] == "NamespaceContentRemaining")?["message"]
            .as_str()?
            .to_owned();
        (remaining
            == "Some resources are remaining: widgets.test.example.com has 1 resource instances")
            .then(|| condition["message"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(
        message.contains("test.example.com/hold in 1 resource instances"),
        "{message}"
    );
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    widgets(&client)
        .patch("held", &PatchParams::default(), &release)
        .await
        .unwrap();
    eventually("the namespace to go", || async {
        namespaces
            .get_opt("demo")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    create(
        &client,
        "v1",
        "Namespace",
        None,
        json!({"metadata": {"name": "demo"}}),
    )
    .await;
    assert!(!exists(&client, "Secret", "s").await);
    eventually("the default ServiceAccount", || async {
        exists(&client, "ServiceAccount", "default")
            .await
            .then_some(())
    })
    .await;
    eventually("the CA", || async {
        exists(&client, "ConfigMap", "kube-root-ca.crt")
            .await
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_its_labels() {
    let (_server, client) = server().await;
    for n in 0..6 {
        let labels = json!({"metadata": {"name": format!("c{n}"), "labels": {"even": (n % 2 == 0).to_string()}}});
        create(&client, "v1", "ConfigMap", Some("demo"), labels).await;
    }
    let maps = api(&client, "v1", "ConfigMap", Some("demo"));
    let deleted = maps
        .delete_collection(
            &DeleteParams::default(),
            &ListParams::default().labels("even=true"),
        )
        .await
        .unwrap();
    assert_eq!(deleted.left().unwrap().items.len(), 3);
    assert_eq!(
        maps.list(&ListParams::default().labels("even"))
            .await
            .unwrap()
            .items
            .len(),
        3
    );
}

#[tokio::test]
async fn a_running_pod_is_given_its_grace_and_an_ended_one_is_not() {
    let (_server, client) = server().await;
    let pod = |name: &str, node: Option<&str>| {
        json!({
            "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 7},
        })
    };
    let pods = api(&client, "v1", "Pod", Some("demo"));
    create(&client, "v1", "Pod", Some("demo"), pod("pending", None)).await;
    pods.delete("pending", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!exists(&client, "Pod", "pending").await);
    create(
        &client,
        "v1",
        "Pod",
        Some("demo"),
        pod("running", Some("local")),
    )
    .await;
    let marked = pods
        .delete("running", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(7));
    assert!(exists(&client, "Pod", "running").await);
    pods.delete(
        "running",
        &DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        },
    )
    .await
    .unwrap();
    assert!(!exists(&client, "Pod", "running").await);
    create(
        &client,
        "v1",
        "Pod",
        Some("demo"),
        pod("ended", Some("local")),
    )
    .await;
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    pods.patch_status("ended", &PatchParams::default(), &ended)
        .await
        .unwrap();
    pods.delete("ended", &DeleteParams::default())
        .await
        .unwrap();
    assert!(!exists(&client, "Pod", "ended").await);
}
