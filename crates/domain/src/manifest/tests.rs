use kubestash_api::core::ManifestOptions;
use kubestash_api::shared::TypedObjectReference;
use serde_json::{Value, json};

use super::*;

fn options(options: Value) -> ManifestOptions {
    serde_json::from_value(options).unwrap()
}

fn object(api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec})
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth",
        "metadata": {"name": name, "namespace": "demo"}, "data": {"username": "YQ==", "password": "Yg=="}})
}

fn druid(spec: Value) -> Value {
    object("kubedb.com/v1alpha2", "Druid", "sample-druid", spec)
}

/// A Druid with all that can belong to one.
fn whole() -> Document {
    let mut store = object(
        "kubedb.com/v1",
        "MySQL",
        "sample-druid-mysql-metadata",
        json!({"version": "8.0.35", "configSecret": {"name": "tuning"}}),
    );
    store["metadata"]["labels"] = json!({
        "app.kubernetes.io/instance": "sample-druid", "app.kubernetes.io/managed-by": "kubedb.com",
        "app.kubernetes.io/name": "druids.kubedb.com",
    });
    let keeper = object(
        "kubedb.com/v1alpha2",
        "ZooKeeper",
        "sample-druid-zk",
        json!({"authSecret": {"name": "sample-druid-zk-auth"}}),
    );
    Document::new(&[
        druid(json!({
            "version": "30.0.0", "deepStorage": {"type": "s3", "configSecret": {"name": "deep-storage-config"}},
            "authSecret": {"name": "sample-druid-auth"}, "configuration": {"secretName": "druid-config"},
            "zookeeperRef": {"name": "sample-druid-zk", "namespace": "demo"},
        })),
        store,
        keeper,
        secret("sample-druid-auth"),
    ])
}

fn names(placements: &[Placement], restored: bool) -> Vec<String> {
    let chosen = placements
        .iter()
        .filter(|placement| placement.restored == restored);
    chosen
        .map(|placement| placement.target.to_string())
        .collect()
}

/// The objects of a document as they are made anew, by kind and name.
fn remade(document: &Document, given: &ManifestOptions, data_follows: bool) -> Vec<Value> {
    let placements = place(&document.inventory().unwrap(), given);
    let by = Rewrite {
        placements: &placements,
        options: given,
        data_follows,
    };
    let restored = placements.iter().filter(|placement| placement.restored);
    restored
        .filter_map(|placement| Some(rewrite(document.find(&placement.source)?, placement, &by)))
        .collect()
}

#[test]
fn a_druids_inventory_is_itself_what_it_needs_and_their_secrets() {
    let all: Vec<String> = whole()
        .inventory()
        .unwrap()
        .iter()
        .map(Item::to_string)
        .collect();
    assert_eq!(
        all,
        [
            "Druid demo/sample-druid",
            "MySQL demo/sample-druid-mysql-metadata",
            "ZooKeeper demo/sample-druid-zk",
            "Secret demo/sample-druid-auth",
            "Secret demo/druid-config",
            "Secret demo/deep-storage-config",
            "Secret demo/sample-druid-mysql-metadata-auth",
            "Secret demo/tuning",
            "Secret demo/sample-druid-zk-auth",
        ]
    );
}

#[test]
fn what_belongs_to_a_database_follows_from_its_fields() {
    type Case = (DatabaseKind, Value, &'static [(&'static str, bool)]);
    let cases: [Case; 6] = [
        (
            DatabaseKind::MySQL,
            json!({}),
            &[("Secret demo/sample-druid-auth", false)],
        ),
        (
            DatabaseKind::MariaDB,
            json!({"authSecret": {"name": "own", "externallyManaged": true}}),
            &[("Secret demo/own", true)],
        ),
        // Kept by a store of secrets.
        (
            DatabaseKind::MySQL,
            json!({"authSecret": {"name": "own", "kind": "VirtualSecret"}}),
            &[],
        ),
        // One Secret in both spellings, and an empty name.
        (
            DatabaseKind::Postgres,
            json!({"authSecret": {"name": ""}, "configuration": {"secretName": "c"}, "configSecret": {"name": "c"}}),
            &[
                ("Secret demo/sample-druid-auth", false),
                ("Secret demo/c", true),
            ],
        ),
        (
            DatabaseKind::MySQL,
            json!({"init": {"script": {"configMap": {"name": "script"}}}}),
            &[
                ("Secret demo/sample-druid-auth", false),
                ("ConfigMap demo/script", true),
            ],
        ),
        (
            DatabaseKind::MySQL,
            json!({"init": {"script": {"secret": {"secretName": "script"}}}}),
            &[
                ("Secret demo/sample-druid-auth", false),
                ("Secret demo/script", true),
            ],
        ),
    ];
    for (kind, spec, expected) in cases {
        let found = members(kind, &druid(spec.clone()));
        let found: Vec<(String, bool)> = found
            .iter()
            .map(|member| (member.item.to_string(), member.named_by.is_some()))
            .collect();
        let expected: Vec<(String, bool)> = expected
            .iter()
            .map(|(name, named)| ((*name).to_owned(), *named))
            .collect();
        assert_eq!(found, expected, "{kind} {spec}");
    }
}

#[test]
fn a_druid_needs_what_it_says_and_not_what_others_keep() {
    for (spec, expected) in [
        (
            json!({}),
            vec![
                "MySQL demo/sample-druid-mysql-metadata",
                "ZooKeeper demo/sample-druid-zk",
            ],
        ),
        (
            json!({"metadataStorage": {"type": "PostgreSQL"}, "zookeeperRef": {"externallyManaged": true}}),
            vec!["Postgres demo/sample-druid-pg-metadata"],
        ),
        (
            json!({"metadataStorage": {"name": "my-dev1", "namespace": "dev1"}, "zookeeperRef": {"name": "zk-dev", "namespace": "dev"}}),
            vec!["MySQL dev1/my-dev1", "ZooKeeper dev/zk-dev"],
        ),
        (
            json!({"metadataStorage": {"name": "theirs", "externallyManaged": true}}),
            vec!["AppBinding demo/theirs", "ZooKeeper demo/sample-druid-zk"],
        ),
    ] {
        let found: Vec<String> = dependencies(&druid(spec.clone()))
            .iter()
            .map(Item::to_string)
            .collect();
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn names_and_namespaces_follow_the_options() {
    let inventory = whole().inventory().unwrap();
    for (given, expected) in [
        (
            json!({"druid": {"restoreNamespace": "dev", "dbName": "restored-druid"}}),
            [
                "Druid dev/restored-druid",
                "MySQL dev/restored-druid-mysql-metadata",
                "ZooKeeper dev/restored-druid-zk",
                "Secret dev/restored-druid-auth",
                "Secret dev/druid-config",
                "Secret dev/deep-storage-config",
                "Secret dev/restored-druid-mysql-metadata-auth",
                "Secret dev/tuning",
                "Secret dev/restored-druid-zk-auth",
            ],
        ),
        (
            json!({"druid": {"authSecretName": "a", "configSecretName": "c"},
                "mySQL": {"dbName": "meta", "restoreNamespace": "dev1", "configSecretName": "t"},
                "zooKeeper": {"authSecretName": "z"}}),
            [
                "Druid demo/sample-druid",
                "MySQL dev1/meta",
                "ZooKeeper demo/sample-druid-zk",
                "Secret demo/a",
                "Secret demo/c",
                "Secret demo/deep-storage-config",
                "Secret dev1/meta-auth",
                "Secret dev1/t",
                "Secret demo/z",
            ],
        ),
    ] {
        let placements = place(&inventory, &options(given.clone()));
        assert_eq!(names(&placements, true), expected, "{given}");
    }
}

#[test]
fn what_the_options_leave_out_is_not_restored() {
    let inventory = whole().inventory().unwrap();
    for (given, expected) in [
        (
            json!({"druid": {"db": false, "authSecret": false, "configSecret": false, "deepStorageSecret": false}}),
            vec![
                "Druid demo/sample-druid",
                "Secret demo/sample-druid-auth",
                "Secret demo/druid-config",
                "Secret demo/deep-storage-config",
            ],
        ),
        (
            json!({"mySQL": {"db": false, "authSecret": false, "configSecret": false}}),
            vec![
                "MySQL demo/sample-druid-mysql-metadata",
                "Secret demo/sample-druid-mysql-metadata-auth",
                "Secret demo/tuning",
            ],
        ),
        (
            json!({"zooKeeper": {"db": false}}),
            vec!["ZooKeeper demo/sample-druid-zk"],
        ),
    ] {
        assert_eq!(
            names(&place(&inventory, &options(given.clone())), false),
            expected,
            "{given}"
        );
    }
}

#[test]
fn dependencies_elsewhere_stay_where_they_are() {
    let druid = druid(json!({
        "metadataStorage": {"name": "my-dev1", "namespace": "dev1"}, "zookeeperRef": {"name": "zk-dev", "namespace": "dev"},
    }));
    let document = Document::new(std::slice::from_ref(&druid));
    let given = options(json!({"druid": {"dbName": "restored-druid"}}));
    let placements = place(&document.inventory().unwrap(), &given);
    assert_eq!(
        names(&placements, true),
        [
            "Druid demo/restored-druid",
            "MySQL dev1/my-dev1",
            "ZooKeeper dev/zk-dev",
            "Secret demo/restored-druid-auth"
        ]
    );
    assert_eq!(
        remade(&document, &given, true)[0]["spec"],
        json!({
            "init": {"waitForInitialRestore": true},
            "metadataStorage": {"name": "my-dev1", "namespace": "dev1"},
            "zookeeperRef": {"name": "zk-dev", "namespace": "dev"},
        })
    );
}

#[test]
fn a_renamed_druid_refers_to_the_new_names_and_waits_for_its_data() {
    let given = options(
        json!({"druid": {"restoreNamespace": "dev", "dbName": "restored-druid", "authSecretName": "own"}}),
    );
    let made = remade(&whole(), &given, true);
    assert_eq!(
        made[0],
        json!({
            "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
            "metadata": {"name": "restored-druid", "namespace": "dev"},
            "spec": {
                "version": "30.0.0", "deepStorage": {"type": "s3", "configSecret": {"name": "deep-storage-config"}},
                "authSecret": {"name": "own"}, "configuration": {"secretName": "druid-config"},
                "zookeeperRef": {"name": "restored-druid-zk", "namespace": "dev"},
                "init": {"waitForInitialRestore": true},
            },
        })
    );
    // The metadata store follows its Druid's name without being told; it does not wait for data:
    // nobody would end that.
    let store = &made[1];
    assert_eq!(
        store["metadata"]["labels"]["app.kubernetes.io/instance"],
        "restored-druid"
    );
    assert_eq!(
        store["spec"],
        json!({"version": "8.0.35", "configSecret": {"name": "tuning"}})
    );
    assert_eq!(
        made[2]["spec"]["authSecret"]["name"],
        "restored-druid-zk-auth"
    );
    assert_eq!(
        made[3]["metadata"],
        json!({"name": "own", "namespace": "dev"})
    );
}

#[test]
fn a_database_begins_anew_and_with_what_the_options_say() {
    let spec = json!({
        "init": {"initialized": true, "waitForInitialRestore": true, "script": {"configMap": {"name": "s"}}, "archiver": {"x": 1}},
        "archiver": {"ref": {"name": "old", "namespace": "demo"}, "pause": true}, "halted": true,
        "tls": {"issuerRef": {"kind": "Issuer", "name": "old"}, "certificates": [{"alias": "server", "secretName": "db-server-cert"}, {"secretName": "shared"}]},
    });
    let document = Document::new(&[object("kubedb.com/v1", "MySQL", "db", spec)]);
    let made = |given: Value, data_follows| {
        remade(&document, &options(json!({"mySQL": given})), data_follows)[0]["spec"].clone()
    };
    let plain = made(json!({}), false);
    assert_eq!(
        plain["init"],
        json!({"script": {"configMap": {"name": "s"}}})
    );
    assert_eq!(
        (&plain["archiver"], &plain["halted"]),
        (&Value::Null, &json!(true))
    );
    let filled = made(
        json!({"initScript": false, "archiver": true, "archiverRef": {"name": "new"}}),
        true,
    );
    assert_eq!(filled["init"], json!({"waitForInitialRestore": true}));
    assert_eq!(
        filled["archiver"],
        json!({"ref": {"name": "new"}, "pause": true})
    );
    assert_eq!(filled.get("halted"), None);
    let renamed = made(
        json!({"dbName": "other", "tlsIssuerRef": {"kind": "ClusterIssuer", "name": "new"}}),
        false,
    );
    assert_eq!(renamed["tls"]["issuerRef"]["name"], "new");
    assert_eq!(
        renamed["tls"]["certificates"],
        json!([{"alias": "server", "secretName": "other-server-cert"}, {"secretName": "shared"}])
    );
    assert_eq!(made(json!({"initScript": false}), false).get("init"), None);
}

#[test]
fn cleaning_leaves_what_somebody_would_write_and_always_the_same_bytes() {
    let raw = json!({
        "status": {"phase": "Ready"}, "kind": "Druid", "apiVersion": "kubedb.com/v1alpha2",
        "spec": {"version": "30.0.0", "deepStorage": {"type": "s3"}},
        "metadata": {
            "uid": "u", "resourceVersion": "7", "generation": 3, "managedFields": [{}], "ownerReferences": [{}],
            "creationTimestamp": "2024-09-19T10:30:56Z", "finalizers": ["kubedb.com"], "selfLink": "x",
            "namespace": "demo", "name": "d", "labels": {},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "b": "2", "a": "1"},
        },
    });
    let expected = json!({
        "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
        "metadata": {"annotations": {"a": "1", "b": "2"}, "name": "d", "namespace": "demo"},
        "spec": {"deepStorage": {"type": "s3"}, "version": "30.0.0"},
    });
    assert_eq!(clean(&raw).to_string(), expected.to_string());
    let mut shuffled = raw.clone();
    let metadata = shuffled["metadata"].take();
    shuffled["metadata"] = metadata;
    shuffled["metadata"]["resourceVersion"] = json!("8");
    shuffled["status"] = json!({});
    let bytes = |object: &Value| Document::new(std::slice::from_ref(object)).to_bytes();
    assert_eq!(*bytes(&raw), *bytes(&shuffled));
    let again = Document::parse(&bytes(&raw)).unwrap();
    assert_eq!(again.objects(), [expected]);
}

#[test]
fn a_document_that_is_none_is_told_and_nothing_of_it_is_shown() {
    for (text, expected) in [
        ("no json", "line 1"),
        ("{}", "not a List"),
        (r#"{"items": [{"kind": "Secret"}]}"#, "not a List"),
    ] {
        let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("another Snapshot"),
            "{error}"
        );
    }
    let secrets = Document::new(&[secret("a")]);
    assert!(
        secrets
            .inventory()
            .unwrap_err()
            .to_string()
            .contains("no database")
    );
    assert!(!format!("{secrets:?}").contains("Yg"));
}

#[test]
fn an_object_of_somebody_else_is_recognised() {
    let given = options(json!({"druid": {"dbName": "restored-druid"}}));
    let placements = place(&whole().inventory().unwrap(), &given);
    let at = |name: &str| {
        let mut all = placements.iter();
        all.find(|placement| placement.target.name == name).unwrap()
    };
    let labelled = |kind: &str, instance: &str| {
        json!({"metadata": {"labels": {
        "app.kubernetes.io/managed-by": "kubedb.com", "app.kubernetes.io/name": kind, "app.kubernetes.io/instance": instance}},
        "data": {"username": "YQ==", "password": "Yg=="}})
    };
    let owned = |kind: &str, name: &str| json!({"metadata": {"ownerReferences": [{"kind": kind, "name": name, "controller": true}]}});
    let (store, auth) = ("restored-druid-mysql-metadata", "restored-druid-auth");
    for (name, existing, expected) in [
        (store, owned("Druid", "restored-druid"), None),
        (
            store,
            owned("Druid", "sample-druid"),
            Some("belongs to Druid sample-druid"),
        ),
        (store, labelled("druids.kubedb.com", "restored-druid"), None),
        (
            store,
            labelled("druids.kubedb.com", "sample-druid"),
            Some("belongs to Druid sample-druid"),
        ),
        (store, json!({"metadata": {}}), None),
        (auth, labelled("druids.kubedb.com", "restored-druid"), None),
        (
            auth,
            labelled("redises.kubedb.com", "cache"),
            Some("belongs to the database cache"),
        ),
        (
            auth,
            json!({"metadata": {}, "data": {"username": "YQ=="}}),
            Some("has no password, so it is no Secret of a database"),
        ),
        ("druid-config", json!({"metadata": {}, "data": {}}), None),
    ] {
        let found = belongs_to_another(&existing, at(name), &placements);
        assert_eq!(found.as_deref(), expected, "{name} {existing}");
    }
}

#[test]
fn data_goes_where_the_manifests_go() {
    let app_ref = |kind: &str, namespace: Option<&str>| TypedObjectReference {
        namespace: namespace.map(str::to_owned),
        ..TypedObjectReference::new("kubedb.com", kind, "db", "")
    };
    for (app_ref, given, expected) in [
        (app_ref("Druid", Some("demo")), json!({}), ("demo", "db")),
        (app_ref("Druid", None), json!({}), ("own", "db")),
        (
            app_ref("Druid", Some("demo")),
            json!({"druid": {"dbName": "new", "restoreNamespace": "dev"}, "mySQL": {"dbName": "x"}}),
            ("dev", "new"),
        ),
        (
            app_ref("Postgres", Some("demo")),
            json!({"postgres": {"restoreNamespace": "dev", "dbName": ""}}),
            ("dev", "db"),
        ),
        (
            app_ref("Redis", Some("demo")),
            json!({"redis": {"dbName": "new"}}),
            ("demo", "db"),
        ),
    ] {
        let found = effective_target(&app_ref, "own", &options(given.clone()));
        assert_eq!(
            (found.namespace.as_deref().unwrap(), found.name.as_str()),
            expected,
            "{given}"
        );
        assert_eq!(found.kind, app_ref.kind);
    }
}
