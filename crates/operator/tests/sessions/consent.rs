//! Nobody reaches through the operator what he could not reach himself: tried by a tenant with
//! every right in the namespace `demo` and none elsewhere.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::core::{BackupBlueprint, BackupConfiguration, RestoreSession};
use kubestash_api::kubedb::MySQL;
use kubestash_api::labels::{ALLOWED_NAMESPACES, GRANTED_REFERENCES};
use kubestash_api::shared::ConditionStatus;
use kubestash_api::storage::{Repository, Snapshot};
use serde_json::{Value, json};

use crate::support::node::{Deed, Node};
use crate::support::{Cluster, Kind, from};

/// What two tenants have: in `demo` a database and a storage, in `other` a database with a backup,
/// in `vault` a Secret.
async fn prepare(cluster: &Cluster) -> Client {
    cluster.namespace("other").await;
    cluster.namespace("vault").await;
    cluster.backends().await;
    for (namespace, name) in [
        ("vault", "x"),
        ("vault", "y"),
        ("demo", "own"),
        ("other", "victim-auth"),
    ] {
        cluster
            .create::<Secret>(json!({"metadata": {"name": name, "namespace": namespace},
                "stringData": {"RESTIC_PASSWORD": "secret", "username": "u", "password": "p"}}))
            .await;
    }
    for (namespace, name) in [("demo", "mine"), ("other", "victim")] {
        cluster
            .create::<AppBinding>(binding(namespace, name, json!({})))
            .await;
        cluster
            .create::<MySQL>(json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "MySQL",
                "metadata": {"name": name, "namespace": namespace}, "spec": {"version": "8.0.35"}}))
            .await;
    }
    cluster
        .create::<Repository>(repository("other", "theirs", "victim-auth", "other"))
        .await;
    let key = kubestash_domain::manifest::INVENTORY_ANNOTATION;
    let claims = json!([
        {"of": "MySQL", "part": "Database", "namespace": "demo", "name": "mine"},
        {"of": "MySQL", "part": "Auth", "namespace": "demo", "name": "x"},
    ]);
    for (namespace, name, repository, annotations) in [
        ("demo", "mine", "ours", json!({ key: claims.to_string() })),
        ("other", "theirs", "theirs", json!({})),
    ] {
        cluster
            .create::<Snapshot>(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
                "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
                "spec": {"repository": repository, "appRef": {"apiGroup": "kubedb.com", "kind": "MySQL",
                    "name": "mine", "namespace": namespace}}}))
            .await;
        let succeeded = json!({"status": {"phase": "Succeeded", "totalComponents": 2,
            "components": {"dump": {"phase": "Succeeded"}, "manifest": {"phase": "Succeeded"}},
            "conditions": [{"type": "SnapshotMetadataUploaded", "status": "True",
                "lastTransitionTime": "2024-09-19T10:31:00Z"}]}});
        let api: Api<Snapshot> = Api::namespaced(cluster.client.clone(), namespace);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&succeeded))
            .await
            .unwrap();
    }
    cluster
        .create::<Repository>(repository("demo", "ours", "own", "demo"))
        .await;
    tenant(cluster).await
}

fn binding(namespace: &str, name: &str, change: Value) -> Value {
    let mut object = json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "kubedb.com/mysql", "version": "8.0.35", "secret": {"name": format!("{name}-auth")},
            "clientConfig": {"url": "tcp(127.0.0.1:3306)/"},
            "appRef": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": name, "namespace": namespace}},
    });
    json_patch::merge(&mut object, &change);
    object
}

fn repository(namespace: &str, name: &str, secret: &str, secret_namespace: &str) -> Value {
    json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"path": format!("/{namespace}-{name}"), "storageRef": {"name": "gcs-storage", "namespace": "demo"},
            "encryptionSecret": {"name": secret, "namespace": secret_namespace}},
    })
}

fn sessions(name: &str, secret: &Value) -> Value {
    json!([{
        "name": "run", "scheduler": {"schedule": "0 3 * * *", "jobTemplate": {}},
        "addon": {"name": "mysql-addon", "tasks": [{"name": "logical-backup"}]},
        "repositories": [{"name": name, "backend": "b", "directory": name, "encryptionSecret": secret}],
    }])
}

fn backends() -> Value {
    json!([{"name": "b", "storageRef": {"name": "gcs-storage", "namespace": "demo"},
        "retentionPolicy": {"name": "demo-retention", "namespace": "demo"}}])
}

fn configuration(name: &str, target: (&str, &str), secret: Value) -> Value {
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": target.1, "namespace": target.0},
            "backends": backends(), "sessions": sessions(name, &secret),
        },
    })
}

fn restore(name: &str, target: (&str, &str), source: Value, change: Value) -> Value {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "target": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": target.1, "namespace": target.0},
            "dataSource": source,
            "addon": {"name": "mysql-addon", "tasks": [{"name": "logical-backup-restore"}]},
        },
    });
    json_patch::merge(&mut object, &change);
    object
}

fn blueprint(name: &str, secret: Value, namespace: Option<&str>) -> Value {
    json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {
            "usagePolicy": {"allowedNamespaces": {"from": "All"}},
            "backupConfigurationTemplate": {"namespace": namespace, "backends": backends(), "sessions": sessions(name, &secret)},
        },
    })
}

async fn tenant(cluster: &Cluster) -> Client {
    cluster
        .create::<ServiceAccount>(json!({"metadata": {"name": "tenant", "namespace": "demo"}}))
        .await;
    let groups = [
        "",
        "core.kubestash.com",
        "storage.kubestash.com",
        "kubedb.com",
        "appcatalog.appscode.com",
    ];
    cluster
        .create::<Role>(json!({"metadata": {"name": "tenant", "namespace": "demo"},
            "rules": [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}]}))
        .await;
    cluster
        .create::<RoleBinding>(json!({"metadata": {"name": "tenant", "namespace": "demo"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": "demo"}]}))
        .await;
    let token = cluster
        .server
        .service_account_token("demo", "tenant")
        .unwrap();
    let kubeconfig = serde_json::from_value(cluster.server.kubeconfig_for(&token)).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

async fn create<K: Kind>(client: &Client, object: &Value) -> Result<K, String> {
    let api: Api<K> = Api::namespaced(client.clone(), "demo");
    api.create(&PostParams::default(), &from(object.clone()))
        .await
        .map_err(|error| error.to_string())
}

/// The tenant is refused with these words, and the administrator is not.
async fn refused<K: Kind>(cluster: &Cluster, tenant: &Client, object: Value, words: &[&str]) -> K {
    let error = create::<K>(tenant, &object).await.unwrap_err();
    for word in words
        .iter()
        .chain(&["is not allowed: system:serviceaccount:demo:tenant may not"])
    {
        assert!(error.contains(word), "no {word:?} in {error}");
    }
    let made = create::<K>(&cluster.client, &object).await.unwrap();
    assert!(
        made.annotations().contains_key(GRANTED_REFERENCES),
        "{made:?}"
    );
    made
}

async fn rights_elsewhere(cluster: &Cluster) -> Vec<String> {
    let mut found = names::<Role>(cluster).await;
    found.extend(names::<RoleBinding>(cluster).await);
    found
}

async fn names<K>(cluster: &Cluster) -> Vec<String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + serde::de::DeserializeOwned,
{
    let all: Api<K> = Api::all(cluster.client.clone());
    let found = all.list(&ListParams::default()).await.unwrap().items;
    found
        .iter()
        .filter(|found| ["vault", "other"].contains(&found.namespace().unwrap().as_str()))
        .map(|found| format!("{}/{}", found.namespace().unwrap(), found.name_any()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_refused_what_he_has_no_right_to_and_an_administrator_is_not() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Hang);
    let operator = cluster.operator_with_webhook().await;
    let tenant = prepare(&cluster).await;
    let (own, x) = (
        json!({"name": "own"}),
        json!({"name": "x", "namespace": "vault"}),
    );
    let ours = json!({"repository": "ours", "snapshot": "mine"});

    // A Secret of another namespace as the password of one's own backup.
    let error = create::<BackupConfiguration>(
        &tenant,
        &configuration("secret", ("demo", "mine"), x.clone()),
    )
    .await;
    assert!(error.unwrap_err().contains("get Secret vault/x"));
    // Another tenant's database into one's own bucket.
    let field = "spec.target: backing up MySQL other/victim from namespace demo";
    let error = create::<BackupConfiguration>(
        &tenant,
        &configuration("dump", ("other", "victim"), own.clone()),
    )
    .await;
    assert!(error.unwrap_err().contains(field));
    // A binding of one's own that stands for another tenant's Druid, as soon as the operator knows
    // it.
    let trojan = json!({"spec": {"appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "victim", "namespace": "other"}}});
    create::<AppBinding>(&tenant, &binding("demo", "trojan", trojan))
        .await
        .unwrap();
    let mut through = configuration("through", ("demo", "trojan"), own.clone());
    through["spec"]["target"] =
        json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": "trojan"});
    let told = cluster
        .eventually("the refusal of a binding that leads elsewhere", || async {
            let api: Api<BackupConfiguration> = Api::namespaced(tenant.clone(), "demo");
            let params = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            api.create(&params, &from(through.clone())).await.err()
        })
        .await;
    let words =
        "spec.target (Druid other/victim on the way to its data): backing up Druid other/victim";
    assert!(told.to_string().contains(words), "{told}");
    assert_eq!(rights_elsewhere(&cluster).await, [""; 0]);

    let made: BackupConfiguration = refused(
        &cluster,
        &tenant,
        configuration("secret", ("demo", "mine"), x.clone()),
        &[
            "spec.sessions[0].repositories[0].encryptionSecret",
            "get Secret vault/x",
        ],
    )
    .await;
    refused::<BackupConfiguration>(
        &cluster,
        &tenant,
        configuration("dump", ("other", "victim"), own),
        &[field],
    )
    .await;
    // The same as a restore.
    refused::<RestoreSession>(
        &cluster,
        &tenant,
        restore("overwrite", ("other", "victim"), ours.clone(), json!({})),
        &["spec.target: restoring into MySQL other/victim"],
    )
    .await;
    // Another tenant's backup, with the operator's knowledge of its password.
    refused::<RestoreSession>(
        &cluster,
        &tenant,
        restore(
            "foreign-data",
            ("demo", "mine"),
            json!({"repository": "theirs", "snapshot": "theirs", "namespace": "other"}),
            json!({}),
        ),
        &["spec.dataSource.namespace: restoring the data of Repository other/theirs"],
    )
    .await;
    // Objects in another namespace, under names that an annotation of one's own Snapshot gives.
    let manifests = json!({"spec": {
        "manifestOptions": {"mySQL": {"restoreNamespace": "vault", "authSecretName": "x"}},
        "addon": {"tasks": [{"name": "manifest-restore", "params": {"overrideResources": "true"}}]},
    }});
    refused::<RestoreSession>(
        &cluster,
        &tenant,
        restore("manifests", ("demo", "mine"), ours, manifests),
        &[
            "creating secrets in namespace vault",
            "replacing secrets in namespace vault",
        ],
    )
    .await;
    // The objects that the operator makes of these, made by hand.
    refused::<Repository>(
        &cluster,
        &tenant,
        repository("demo", "by-hand", "x", "vault"),
        &["spec.encryptionSecret: reading Secret vault/x"],
    )
    .await;
    refused::<BackupBlueprint>(
        &cluster,
        &tenant,
        blueprint("secretly", x.clone(), None),
        &["spec.backupConfigurationTemplate.sessions[0].repositories[0].encryptionSecret"],
    )
    .await;
    refused::<BackupBlueprint>(
        &cluster,
        &tenant,
        blueprint("elsewhere", json!({"name": "e"}), Some("other")),
        &["spec.backupConfigurationTemplate.namespace: creating BackupConfigurations in namespace other"],
    )
    .await;

    // What was granted is used later, without a user: by the configuration and by the Repository
    // that it makes.
    let name = made.name_any();
    cluster.configuration_ready(&name).await;
    let ready = |found: Option<&Repository>| {
        let status = found.and_then(|found| found.status.as_ref());
        status
            .and_then(|status| status.phase)
            .is_some_and(|phase| phase.as_str() == "Ready")
    };
    cluster.until(&name, "Ready", ready).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_for_its_object_and_stays_while_the_references_do() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Hang);
    let operator = cluster.operator_with_webhook().await;
    let tenant = prepare(&cluster).await;
    let secret = |name: &str| json!({"name": name, "namespace": "vault"});
    let object = configuration("granted", ("demo", "mine"), secret("x"));
    let made: BackupConfiguration = create(&cluster.client, &object).await.unwrap();
    let grant = made.annotations()[GRANTED_REFERENCES].clone();
    cluster.configuration_ready("granted").await;

    let api: Api<BackupConfiguration> = Api::namespaced(tenant.clone(), "demo");
    let patch = async |patch: Value| {
        let params = PatchParams::default();
        api.patch("granted", &params, &Patch::Merge(&patch))
            .await
            .map_err(|error| error.to_string())
    };
    let annotated = |text: Value| json!({"metadata": {"annotations": {GRANTED_REFERENCES: text}}});
    // Who may only pause it, or takes the annotation away, leaves the grant as it is.
    let paused = patch(json!({"spec": {"paused": true}})).await.unwrap();
    assert_eq!(paused.annotations()[GRANTED_REFERENCES], grant);
    let stripped = patch(annotated(Value::Null)).await.unwrap();
    assert_eq!(stripped.annotations()[GRANTED_REFERENCES], grant);
    let asked = patch(annotated(json!("check"))).await.unwrap();
    assert_eq!(asked.annotations()[GRANTED_REFERENCES], grant);
    // A reference that moves is looked at anew.
    let moved = patch(json!({"spec": {"sessions": sessions("granted", &secret("y"))}})).await;
    assert!(moved.unwrap_err().contains("get Secret vault/y"));

    // The annotation of another object is worth nothing, at admission as at use.
    let mut copied = configuration("copied", ("demo", "mine"), secret("x"));
    copied["metadata"]["annotations"] = json!({ GRANTED_REFERENCES: grant });
    assert!(
        create::<BackupConfiguration>(&tenant, &copied)
            .await
            .unwrap_err()
            .contains("get Secret vault/x")
    );
    operator.stop().await;

    // Rights of a session that is gone, as an earlier version left them.
    cluster
        .create::<Role>(json!({"metadata": {"name": "old", "namespace": "vault", "labels": {
            "app.kubernetes.io/managed-by": "kubestash.com", "app.kubernetes.io/component": "kubestash-restore",
            "kubestash.com/invoker-name": "old", "kubestash.com/invoker-namespace": "demo"}},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}))
        .await;

    // It outlives the operator that gave it: the key does.
    let operator = cluster.operator_with_webhook().await;
    let resumed = patch(json!({"spec": {"paused": false}})).await.unwrap();
    assert_eq!(resumed.annotations()[GRANTED_REFERENCES], grant);
    let left = names::<Role>(&cluster).await;
    assert!(!left.contains(&"vault/old".to_owned()), "{left:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_webhook_the_owners_consent_alone_counts() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Hang);
    let operator = cluster.operator().await;
    let tenant = prepare(&cluster).await;
    let mut object = configuration(
        "unseen",
        ("demo", "mine"),
        json!({"name": "x", "namespace": "vault"}),
    );
    let forged = json!({"needs": [{"use": "readSecret", "namespace": "vault", "name": "x"}],
        "issued": "2026-01-31T12:00:00Z", "code": "AAAA"});
    object["metadata"]["annotations"] = json!({ GRANTED_REFERENCES: forged.to_string() });
    create::<BackupConfiguration>(&tenant, &object)
        .await
        .unwrap();
    let note = cluster
        .told("BackupConfiguration", "unseen", "ResourceValidationFailed")
        .await;
    let remedy = format!("kubectl annotate secret -n vault x {ALLOWED_NAMESPACES}=demo");
    assert!(
        note.contains("spec.sessions[0].repositories[0].encryptionSecret"),
        "{note}"
    );
    assert!(note.contains(&remedy), "{note}");
    assert_eq!(rights_elsewhere(&cluster).await, [""; 0]);

    // The operator has seen that the Snapshot has succeeded.
    let is_ready = |found: Option<&Snapshot>| {
        let status = found.and_then(|found| found.status.as_ref());
        status.is_some_and(|status| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.type_ == "Ready" && one.status == ConditionStatus::True)
        })
    };
    cluster.until("mine", "its success", is_ready).await;
    let target = json!({"repository": "ours", "snapshot": "mine"});
    create::<RestoreSession>(
        &tenant,
        &restore("overwrite", ("other", "victim"), target, json!({})),
    )
    .await
    .unwrap();

    let invalid = |found: Option<&RestoreSession>| {
        let status = found.and_then(|found| found.status.as_ref());
        status
            .and_then(|status| status.phase)
            .is_some_and(kubestash_domain::phase::restore_session_completed)
    };
    let ended = cluster
        .until("overwrite", "its end", invalid)
        .await
        .unwrap();
    let status = serde_json::to_string(&ended.status).unwrap();
    assert!(
        status.contains("restoring into MySQL other/victim from namespace demo is not allowed"),
        "{status}"
    );
    assert_eq!(rights_elsewhere(&cluster).await, [""; 0]);

    // The owner lets the namespace in.
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), "vault");
    let consent = json!({"metadata": {"annotations": {ALLOWED_NAMESPACES: "demo"}}});
    secrets
        .patch("x", &PatchParams::default(), &Patch::Merge(&consent))
        .await
        .unwrap();
    cluster.configuration_ready("unseen").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_annotation_is_the_word_of_who_owns_the_database_and_of_nobody_else() {
    let cluster = Cluster::start().await;
    let _node = Node::start(&cluster, Deed::Hang);
    let operator = cluster.operator_with_webhook().await;
    let tenant = prepare(&cluster).await;
    create::<BackupBlueprint>(&tenant, &blueprint("nightly", json!({"name": "own"}), None))
        .await
        .unwrap();
    let asks = json!({"metadata": {"annotations": {
        "blueprint.kubestash.com/name": "nightly", "blueprint.kubestash.com/namespace": "demo"}}});

    // An AppBinding can name any database.
    let mut trojan = asks.clone();
    trojan["spec"]["appRef"] =
        json!({"apiGroup": "kubedb.com", "kind": "MySQL", "name": "victim", "namespace": "other"});
    create::<AppBinding>(&tenant, &binding("demo", "trojan", trojan))
        .await
        .unwrap();
    let note = cluster
        .told("AppBinding", "trojan", "ReferenceNotAllowed")
        .await;
    assert!(
        note.contains("backing up MySQL other/victim from namespace demo is not allowed"),
        "{note}"
    );
    assert!(cluster.list::<BackupConfiguration>().await.is_empty());

    // The owner's own wish is enough, for what the blueprint says, and for nothing else.
    let bindings: Api<AppBinding> = Api::namespaced(cluster.client.clone(), "other");
    bindings
        .patch("victim", &PatchParams::default(), &Patch::Merge(&asks))
        .await
        .unwrap();
    let name = "other-appbinding-victim";
    let made = cluster.configuration_ready(name).await;
    assert!(made.annotations().contains_key(GRANTED_REFERENCES));
    let api: Api<BackupConfiguration> = Api::namespaced(tenant, "demo");
    let aside = json!({"spec": {"sessions": sessions("aside", &json!({"name": "own"}))}});
    api.patch(name, &PatchParams::default(), &Patch::Merge(&aside))
        .await
        .unwrap();
    let restored = |found: Option<&BackupConfiguration>| {
        found.is_some_and(|found| {
            found.spec == made.spec && found.annotations().contains_key(GRANTED_REFERENCES)
        })
    };
    cluster
        .until(name, "what the blueprint says", restored)
        .await;
    cluster.configuration_ready(name).await;
    operator.stop().await;
}
