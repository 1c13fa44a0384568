use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::Druid;
use kubestash_domain::target::{Key, druid_of};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn parse<K: DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).unwrap()
}

fn needs(references: &[Reference]) -> Vec<String> {
    let word = |reference: &Reference| match reference.required {
        true => reference.need.to_string(),
        false => format!("perhaps {}", reference.need),
    };
    references.iter().map(word).collect()
}

/// What becomes of a field that names a namespace.
#[derive(Debug, PartialEq, Eq)]
enum Class {
    /// It is a need, and tested to be one.
    Checked,
    /// The owner of what it names says by a usage policy who may use it.
    UsagePolicy,
    /// It is passed on to Kubernetes, or to an operator of databases, which have their own rules.
    PassedOn,
    /// It describes or reports, and nothing is reached by it.
    Described,
    /// Nothing reads it.
    Unused,
}

/// Every field must have a place here: one that is new and forgotten is a way around everything
/// else.
fn class(kind: &str, path: &str) -> Option<Class> {
    const CHECKED: [(&str, &str); 13] = [
        ("BackupConfiguration", ".spec.target.namespace"),
        (
            "BackupConfiguration",
            ".spec.sessions[].repositories[].encryptionSecret.namespace",
        ),
        (
            "BackupBlueprint",
            ".spec.backupConfigurationTemplate.namespace",
        ),
        (
            "BackupBlueprint",
            ".spec.backupConfigurationTemplate.sessions[].repositories[].encryptionSecret.namespace",
        ),
        ("Repository", ".spec.encryptionSecret.namespace"),
        ("RestoreSession", ".spec.target.namespace"),
        ("RestoreSession", ".spec.dataSource.namespace"),
        (
            "RestoreSession",
            ".spec.dataSource.encryptionSecret.namespace",
        ),
        (
            "RestoreSession",
            ".spec.manifestOptions.druid.restoreNamespace",
        ),
        (
            "RestoreSession",
            ".spec.manifestOptions.mySQL.restoreNamespace",
        ),
        (
            "RestoreSession",
            ".spec.manifestOptions.mariaDB.restoreNamespace",
        ),
        (
            "RestoreSession",
            ".spec.manifestOptions.postgres.restoreNamespace",
        ),
        (
            "RestoreSession",
            ".spec.manifestOptions.zooKeeper.restoreNamespace",
        ),
    ];
    let ends = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    if CHECKED.contains(&(kind, path)) {
        Some(Class::Checked)
    } else if path.starts_with(".status.") {
        Some(Class::Described)
    } else if ["BackupBatch", "BackupVerifier", "BackupVerificationSession"].contains(&kind) {
        // There is no reconciler for them.
        Some(Class::Unused)
    } else if ends(&[
        ".storageRef.namespace",
        ".retentionPolicy.namespace",
        ".hookTemplate.namespace",
    ]) {
        Some(Class::UsagePolicy)
    } else if ends(&[".usagePolicy.allowedNamespaces"]) {
        Some(Class::Described)
    } else if path.contains(".affinity.")
        || path.contains(".volumeClaimTemplate.")
        || path.contains(".volumeClaimTemplates[].")
        || ends(&[
            ".shareProcessNamespace",
            ".storageos.volumeNamespace",
            ".archiverRef.namespace",
        ])
    {
        Some(Class::PassedOn)
    } else if ["Repository", "Snapshot"].contains(&kind) && path == ".spec.appRef.namespace" {
        // A restore into it is checked as that of its target.
        Some(Class::Described)
    } else if ends(&[".backupVerifier.namespace", ".restoreNamespace"]) {
        // Of kinds whose manifests are not understood.
        Some(Class::Unused)
    } else {
        None
    }
}

fn walk(schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), found);
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|value| value.is_object())
    {
        walk(values, &format!("{path}{{}}"), found);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let lower = name.to_lowercase();
        if lower.ends_with("namespace") || lower.ends_with("namespaces") {
            found.push(path.clone());
        }
        walk(schema, &path, found);
    }
}

fn fields() -> Vec<(String, String)> {
    let all = |crd: CustomResourceDefinition| {
        let kind = crd.spec.names.kind.clone();
        let mut found = Vec::new();
        for version in &serde_json::to_value(&crd).unwrap()["spec"]["versions"]
            .as_array()
            .unwrap()
            .clone()
        {
            walk(&version["schema"]["openAPIV3Schema"], "", &mut found);
        }
        found.into_iter().map(move |path| (kind.clone(), path))
    };
    kubestash_api::crds().into_iter().flat_map(all).collect()
}

/// An object of `kind` in which only the field at `path` leads elsewhere.
fn object_with(kind: &str, path: &str) -> Value {
    let mut object = json!({"metadata": {"name": "x", "namespace": "demo"}, "spec": {}});
    if kind == "RestoreSession" {
        object["spec"]["addon"] = json!({"name": "a", "tasks": [{"name": "manifest-restore"}]});
    }
    let group = match kind {
        "Repository" => "storage.kubestash.com/v1alpha1",
        _ => "core.kubestash.com/v1alpha1",
    };
    object["apiVersion"] = json!(group);
    object["kind"] = json!(kind);
    let steps: Vec<_> = path.trim_start_matches('.').split('.').collect();
    let (last, steps) = steps.split_last().unwrap();
    let mut place = &mut object;
    for step in steps {
        place = match step.strip_suffix("[]") {
            Some(name) => {
                if place.get(name).is_none() {
                    place[name] = json!([{}]);
                }
                &mut place[name][0]
            }
            None => {
                if place.get(*step).is_none() {
                    place[*step] = json!({});
                }
                &mut place[*step]
            }
        };
    }
    if steps
        .last()
        .is_some_and(|step| ["target", "encryptionSecret"].contains(step))
    {
        place["name"] = json!("thing");
    }
    place[*last] = json!("elsewhere");
    object
}

#[test]
fn every_field_that_names_a_namespace_has_been_thought_of() {
    let fields = fields();
    assert!(
        fields.len() > 100,
        "the schemas were not walked: {}",
        fields.len()
    );
    let forgotten: Vec<_> = fields
        .iter()
        .filter(|(kind, path)| class(kind, path).is_none())
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:#?}");
    let checked = fields
        .iter()
        .filter(|(kind, path)| class(kind, path) == Some(Class::Checked));
    assert_eq!(
        checked.count(),
        13,
        "a field that is checked is not in the schemas any more"
    );
}

#[test]
fn every_checked_field_is_a_need_when_it_leads_elsewhere() {
    for (kind, path) in fields() {
        if class(&kind, &path) != Some(Class::Checked) {
            continue;
        }
        let object = object_with(&kind, &path);
        let found = match kind.as_str() {
            "BackupConfiguration" => of_configuration(&parse(&object)),
            "BackupBlueprint" => of_blueprint(&parse(&object)),
            "Repository" => of_repository(&parse(&object)),
            "RestoreSession" => of_restore(&parse(&object), Restored::default()),
            other => panic!("no references of {other} are known"),
        };
        assert!(
            found
                .iter()
                .any(|found| found.need.namespace() == "elsewhere"),
            "{kind} {path}: {found:?}"
        );
        // The same place by its own name is no need.
        let own: Value =
            serde_json::from_str(&object.to_string().replace("elsewhere", "demo")).unwrap();
        let found = match kind.as_str() {
            "BackupConfiguration" => of_configuration(&parse(&own)),
            "BackupBlueprint" => of_blueprint(&parse(&own)),
            "Repository" => of_repository(&parse(&own)),
            _ => of_restore(&parse(&own), Restored::default()),
        };
        assert_eq!(found, [], "{kind} {path}");
    }
}

#[test]
fn a_blueprints_references_are_seen_from_where_its_configurations_go() {
    let blueprint = |namespace: &str, secret: Value| -> BackupBlueprint {
        parse(&json!({
            "apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
            "metadata": {"name": "b", "namespace": "admin"},
            "spec": {"backupConfigurationTemplate": {"namespace": namespace,
                "sessions": [{"name": "s", "repositories": [{"name": "r", "encryptionSecret": secret}]}]}},
        }))
    };
    let cases = [
        ("", json!({"name": "e"}), vec![]),
        ("", json!({"name": "e", "namespace": "admin"}), vec![]),
        (
            "",
            json!({"name": "e", "namespace": "vault"}),
            vec!["reading Secret vault/e"],
        ),
        (
            "demo",
            json!({"name": "e", "namespace": "admin"}),
            vec![
                "creating BackupConfigurations in namespace demo",
                "reading Secret admin/e",
            ],
        ),
        (
            "demo",
            json!({"name": "e"}),
            vec!["creating BackupConfigurations in namespace demo"],
        ),
        // What a variable will be its author cannot know, and is not asked for it.
        ("${where}", json!({"name": "e"}), vec![]),
        (
            "",
            json!({"name": "${which}", "namespace": "vault"}),
            vec![],
        ),
        (
            "",
            json!({"name": "e", "namespace": "${where:=vault}"}),
            vec![],
        ),
    ];
    for (namespace, secret, expected) in cases {
        let found = of_blueprint(&blueprint(namespace, secret.clone()));
        assert_eq!(needs(&found), expected, "{namespace} {secret}");
    }
}

fn druid(storage: Value) -> Druid {
    parse(
        &json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
        "metadata": {"name": "d", "namespace": "other"},
        "spec": {"version": "30.0.0", "metadataStorage": storage}}),
    )
}

fn way(own: &str, storage: Value) -> Vec<String> {
    let target = TypedObjectReference::new("kubedb.com", "Druid", "d", "other");
    let druid = druid(storage);
    let source = Source::find(&target, own, Some(&druid), |_| None);
    needs(&along(
        "spec.target",
        &target,
        &source,
        own,
        Purpose::BackUp,
    ))
}

#[test]
fn a_way_that_goes_on_to_a_third_namespace_needs_that_ones_consent() {
    assert_eq!(way("demo", json!({})), [""; 0]);
    assert_eq!(
        way("demo", json!({"name": "m", "namespace": "third"})),
        ["backing up AppBinding third/m"]
    );
    // Back home, and beside the Druid, nobody else has to be asked.
    assert_eq!(
        way("demo", json!({"name": "m", "namespace": "demo"})),
        [""; 0]
    );
    assert_eq!(
        way("other", json!({"name": "m", "namespace": "third"})),
        ["backing up AppBinding third/m"]
    );
}

#[test]
fn a_binding_of_the_own_namespace_that_stands_for_a_druid_elsewhere_leads_there() {
    let binding: AppBinding = parse(&json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
        "metadata": {"name": "mine", "namespace": "demo"},
        "spec": {"clientConfig": {}, "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "d", "namespace": "other"}},
    }));
    let behind = druid_of(&binding).unwrap();
    let druid = druid(json!({}));
    let source =
        Source::find(&behind, "demo", Some(&druid), |_: &Key| None).begun_at(Arc::new(binding));
    let target = TypedObjectReference::new("appcatalog.appscode.com", "AppBinding", "mine", "demo");
    for purpose in [Purpose::BackUp, Purpose::Restore] {
        let found = along("spec.target", &target, &source, "demo", purpose);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].need.namespace(), "other");
    }
}

fn restore(spec: Value) -> RestoreSession {
    let mut object = json!({
        "apiVersion": "core.kubestash.com/v1alpha1", "kind": "RestoreSession",
        "metadata": {"name": "r", "namespace": "demo"},
        "spec": {
            "dataSource": {"repository": "repo", "snapshot": "s"},
            "addon": {"name": "druid-addon", "tasks": [{"name": "manifest-restore"}]},
        },
    });
    json_patch::merge(&mut object["spec"], &spec);
    parse(&object)
}

fn snapshot(namespace: &str, inventory: Option<Value>) -> Snapshot {
    let mut object = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
        "metadata": {"name": "s", "namespace": "demo"},
        "spec": {"repository": "repo",
            "appRef": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": "m", "namespace": namespace}},
    });
    if let Some(inventory) = inventory {
        let key = kubestash_domain::manifest::INVENTORY_ANNOTATION;
        object["metadata"]["annotations"] = json!({ key: inventory.to_string() });
    }
    parse(&object)
}

fn of_manifests(spec: Value, snapshot: Option<&Snapshot>) -> Vec<String> {
    let restored = Restored {
        snapshot,
        repository: None,
    };
    let mut found = needs(&of_restore(&restore(spec), restored));
    found.retain(|found| !found.starts_with("perhaps"));
    found
}

#[test]
fn what_a_snapshot_claims_to_hold_is_needed_where_it_would_be_made() {
    let at_home = snapshot("demo", None);
    assert_eq!(of_manifests(json!({}), Some(&at_home)), [""; 0]);

    let moved = json!({"manifestOptions": {"mySQL": {"restoreNamespace": "kube-system", "authSecretName": "x"}}});
    let into = [
        "restoring into MySQL kube-system/m",
        "creating mysqls in namespace kube-system",
        "creating secrets in namespace kube-system",
    ];
    assert_eq!(of_manifests(moved.clone(), Some(&at_home)), into);
    let mut replacing = moved;
    replacing["addon"] =
        json!({"tasks": [{"name": "manifest-restore", "params": {"overrideResources": "true"}}]});
    let replaced = of_manifests(replacing, Some(&at_home));
    for word in ["replacing mysqls", "replacing secrets"] {
        assert!(
            replaced.contains(&format!("{word} in namespace kube-system")),
            "{replaced:?}"
        );
    }

    // An annotation that the tenant wrote, or the Snapshot of another namespace's database.
    let claims = json!([
        {"of": "MySQL", "part": "Database", "namespace": "kube-system", "name": "m"},
        {"of": "MySQL", "part": "Auth", "namespace": "kube-system", "name": "x"},
    ]);
    let claiming = snapshot("demo", Some(claims));
    assert_eq!(
        of_manifests(
            json!({"target": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": "m"}}),
            Some(&claiming)
        ),
        [
            "creating mysqls in namespace kube-system",
            "creating secrets in namespace kube-system"
        ]
    );
    let foreign = snapshot("other", None);
    assert!(
        of_manifests(json!({}), Some(&foreign))
            .contains(&"restoring into MySQL other/m".to_owned())
    );
}

#[test]
fn what_an_unknown_snapshot_may_hold_is_granted_in_advance_and_not_demanded() {
    let moved = json!({"manifestOptions": {"mySQL": {"restoreNamespace": "dev"}}});
    let found = needs(&of_restore(&restore(moved), Restored::default()));
    assert_eq!(
        found,
        [
            "perhaps creating secrets in namespace dev",
            "perhaps creating configmaps in namespace dev",
            "perhaps creating mysqls in namespace dev",
        ]
    );
}

#[test]
fn the_data_of_another_namespace_is_another_need_without_its_password() {
    let data = |source: Value| {
        let session = restore(json!({"dataSource": source}));
        of_restore(&session, Restored::default())[0].need.clone()
    };
    let secret = json!({"name": "own"});
    let with = data(json!({"namespace": "other", "encryptionSecret": secret}));
    let without = data(json!({"namespace": "other"}));
    assert_ne!(with, without);
    assert_eq!(
        without.to_string(),
        "restoring the data of Repository other/repo"
    );
}
