use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::consent::{Grant, Key, Need, Subject};

const DEFAULT: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/default-backupblueprint.yaml"
));
const CUSTOMIZE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/customize-backupblueprint.yaml"
));
const DRUID: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/sample-druid.yaml"
));
const DRUID_2: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/sample-druid-2.yaml"
));

fn parse<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    serde_saphyr::from_str(yaml).unwrap()
}

fn annotations(druid: &str) -> BTreeMap<String, String> {
    let druid: Value = parse(druid);
    serde_json::from_value(druid["metadata"]["annotations"].clone()).unwrap()
}

fn target(name: &str, namespace: &str, annotations: &BTreeMap<String, String>) -> Target {
    Target {
        kind: "AppBinding".to_owned(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        reference: TypedObjectReference::new("kubedb.com", "Druid", name, namespace),
        request: Request::read(annotations, namespace),
        deleting: false,
    }
}

fn world(druid: &str, name: &str, blueprint: &str) -> World {
    World {
        target: target(name, "demo", &annotations(druid)),
        namespace_labels: BTreeMap::new(),
        namespaces: ["demo", "dev"].map(str::to_owned).into(),
        blueprint: Some(Arc::new(parse(blueprint))),
        configurations: Vec::new(),
        permits: permits(),
    }
}

/// Nobody but a blueprint's author and a database's owner has allowed anything.
fn permits() -> Permits {
    Permits {
        key: Arc::new(Key::new(b"key")),
        consents: Arc::new(|_, _| false),
        now: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn with_blueprint(mut world: World, change: impl FnOnce(&mut Value)) -> World {
    let mut blueprint = serde_json::to_value(world.blueprint.as_deref().unwrap()).unwrap();
    change(&mut blueprint);
    world.blueprint = Some(Arc::new(serde_json::from_value(blueprint).unwrap()));
    world
}

/// The configuration as it lies in the cluster after it was applied.
fn applied(world: &World) -> BackupConfiguration {
    let mut live = decide(world).apply.unwrap().object;
    live.metadata.uid = Some("uid".to_owned());
    live.metadata.generation = Some(1);
    live
}

fn refusal(world: &World) -> (String, String) {
    let plan = decide(world);
    assert!(plan.apply.is_none() && plan.delete.is_empty());
    let refusal = plan.refusal.unwrap();
    (refusal.kind().to_owned(), refusal.notice().note)
}

#[test]
fn the_default_blueprint_gives_the_tutorials_configuration() {
    let plan = decide(&world(DRUID, "sample-druid", DEFAULT));
    assert!(plan.refusal.is_none() && plan.delete.is_empty());
    let object = serde_json::to_value(plan.apply.unwrap().object).unwrap();
    assert_eq!(object["metadata"]["name"], "appbinding-sample-druid");
    assert_eq!(object["metadata"]["namespace"], "demo");
    assert_eq!(
        object["metadata"]["labels"],
        json!({
            "app.kubernetes.io/managed-by": "kubestash.com",
            "kubestash.com/invoker-name": "druid-default-backup-blueprint",
            "kubestash.com/invoker-namespace": "demo",
        })
    );
    let expected: Value = parse(
        r"
backends:
  - name: gcs-backend
    retentionPolicy:
      name: demo-retention
      namespace: demo
    storageRef:
      name: gcs-storage
      namespace: demo
sessions:
  - addon:
      name: druid-addon
      tasks:
        - name: mysql-metadata-storage-backup
    name: frequent-backup
    repositories:
      - backend: gcs-backend
        directory: /default-blueprint
        encryptionSecret:
          name: encrypt-secret
          namespace: demo
        name: default-blueprint
    scheduler:
      jobTemplate:
        backoffLimit: 1
        template:
          controller: {}
          metadata: {}
          spec:
            resources: {}
      schedule: '*/5 * * * *'
    sessionHistoryLimit: 3
target:
  apiGroup: kubedb.com
  kind: Druid
  name: sample-druid
  namespace: demo
",
    );
    assert_eq!(object["spec"], expected);
}

#[test]
fn the_customised_blueprint_gives_the_tutorials_configuration() {
    let plan = decide(&world(DRUID_2, "sample-druid-2", CUSTOMIZE));
    let object = serde_json::to_value(plan.apply.unwrap().object).unwrap();
    assert_eq!(object["metadata"]["name"], "appbinding-sample-druid-2");
    let session = &object["spec"]["sessions"][0];
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
}

#[test]
fn a_value_can_change_nothing_but_the_string_it_stands_in() {
    let hostile = "a\", \"paused\": true, \"x\": \"\n  deletionPolicy: WipeOut\n- name: '";
    let plain = applied(&world(DRUID_2, "sample-druid-2", CUSTOMIZE));
    for variable in [
        "schedule",
        "repoName",
        "namespace",
        "targetName",
        "targetedDatabases",
    ] {
        let mut annotations = annotations(DRUID_2);
        annotations.insert(
            format!("variables.kubestash.com/{variable}"),
            hostile.to_owned(),
        );
        let mut world = world(DRUID_2, "sample-druid-2", CUSTOMIZE);
        world.target = target("sample-druid-2", "demo", &annotations);
        let object = applied(&world);
        assert_eq!(shape(&object), shape(&plain), "{variable}");
        assert!(
            serde_json::to_string(&object.spec)
                .unwrap()
                .contains("deletionPolicy: WipeOut")
        );
    }
}

/// A document with all strings taken out.
fn shape(object: &BackupConfiguration) -> Value {
    fn blank(value: &mut Value) {
        match value {
            Value::String(text) => text.clear(),
            Value::Array(items) => items.iter_mut().for_each(blank),
            Value::Object(fields) => fields.values_mut().for_each(blank),
            _ => {}
        }
    }
    let mut spec = serde_json::to_value(&object.spec).unwrap();
    blank(&mut spec);
    spec
}

#[test]
fn each_reason_to_refuse_names_what_is_wrong_and_what_to_do() {
    let base = || world(DRUID_2, "sample-druid-2", CUSTOMIZE);
    let without_variables = {
        let mut world = base();
        let mut annotations = annotations(DRUID_2);
        annotations.retain(|key, _| !key.ends_with("/schedule") && !key.ends_with("/repoName"));
        world.target = target("sample-druid-2", "demo", &annotations);
        world
    };
    let elsewhere = |from: Value| {
        let mut world = with_blueprint(base(), |blueprint| {
            blueprint["spec"]["usagePolicy"]["allowedNamespaces"] = from;
        });
        let mut annotations = annotations(DRUID_2);
        annotations.insert(
            "blueprint.kubestash.com/namespace".to_owned(),
            "demo".to_owned(),
        );
        world.target = target("sample-druid-2", "dev", &annotations);
        world
    };
    let wants = |sessions: &str| {
        let mut annotations = annotations(DRUID_2);
        annotations.insert(
            "blueprint.kubestash.com/session-names".to_owned(),
            sessions.to_owned(),
        );
        World {
            target: target("sample-druid-2", "demo", &annotations),
            ..base()
        }
    };
    let cases = [
        (
            World {
                blueprint: None,
                ..base()
            },
            "BlueprintNotFound",
            "demo/druid-customize-backup-blueprint",
        ),
        (
            with_blueprint(base(), |blueprint| {
                blueprint["metadata"]["deletionTimestamp"] = json!("2024-09-19T10:30:46Z");
            }),
            "BlueprintNotFound",
            "there is no BackupBlueprint",
        ),
        (
            elsewhere(json!({"from": "Same"})),
            "BlueprintNotAllowed",
            "\"dev\"",
        ),
        (
            elsewhere(json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}})),
            "BlueprintNotAllowed",
            "spec.usagePolicy.allowedNamespaces",
        ),
        (
            with_blueprint(base(), |blueprint| {
                blueprint["spec"]["subjects"] = json!([{"apiVersion": "kubedb.com/v1", "kind": "MySQL"}, {"apiVersion": "apps/v1", "kind": "Druid"}]);
            }),
            "SubjectNotAllowed",
            "MySQL, Druid only (spec.subjects), not for Druid",
        ),
        (
            without_variables,
            "VariableMissing",
            "variables.kubestash.com/repoName, variables.kubestash.com/schedule",
        ),
        (
            wants("frequent-backup, nightly, weekly"),
            "SessionNotFound",
            "nightly, weekly",
        ),
        (
            with_blueprint(base(), |blueprint| {
                blueprint["spec"]["backupConfigurationTemplate"]["namespace"] = json!("backups");
            }),
            "NamespaceNotFound",
            "\"backups\"",
        ),
        (
            with_blueprint(base(), |blueprint| {
                blueprint["spec"]
                    .as_object_mut()
                    .unwrap()
                    .remove("backupConfigurationTemplate");
            }),
            "TemplateMissing",
            "spec.backupConfigurationTemplate",
        ),
        (
            with_blueprint(base(), |blueprint| {
                let sessions = &mut blueprint["spec"]["backupConfigurationTemplate"]["sessions"];
                sessions[0]["repositories"][0]["name"] = json!("${open");
            }),
            "VariableSyntax",
            "${open",
        ),
    ];
    for (world, kind, text) in cases {
        let (found, note) = refusal(&world);
        assert_eq!(found, kind);
        assert!(note.contains(text), "{kind}: {note}");
    }
}

#[test]
fn a_blueprint_for_this_kind_of_target_serves_it() {
    for subject in [
        json!({"apiVersion": "kubedb.com/v1alpha2", "kind": "Druid"}),
        json!({"apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding"}),
        json!({"kind": "Druid"}),
    ] {
        let base = world(DRUID, "sample-druid", DEFAULT);
        let world = with_blueprint(base, |blueprint| {
            blueprint["spec"]["subjects"] = json!([subject]);
        });
        assert!(decide(&world).apply.is_some());
    }
}

#[test]
fn an_object_of_that_name_that_was_not_made_for_this_target_is_left_alone() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let ours = applied(&base);
    let mut by_hand = ours.clone();
    by_hand.metadata.labels = None;
    let mut of_another = ours.clone();
    of_another.spec.target = Some(TypedObjectReference::new(
        "kubedb.com",
        "Druid",
        "other",
        "demo",
    ));
    for foreign in [by_hand, of_another] {
        let taken = World {
            configurations: vec![Arc::new(foreign.clone())],
            ..base.clone()
        };
        assert_eq!(refusal(&taken).0, "NameTaken");
        // Not even when the annotations go.
        let mut opted_out = taken;
        opted_out.target.request = None;
        assert!(decide(&opted_out).delete.is_empty());
    }
}

#[test]
fn nothing_is_written_again_and_paused_is_the_users() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let mut live = applied(&base);
    live.spec.paused = Some(true);
    live.labels_mut().insert("team".to_owned(), "a".to_owned());
    let settled = World {
        configurations: vec![Arc::new(live.clone())],
        ..base
    };
    let plan = decide(&settled);
    assert!(plan.apply.is_none() && plan.delete.is_empty() && plan.refusal.is_none());
}

#[test]
fn an_edit_of_the_blueprint_reaches_the_configuration_also_when_it_takes_something_away() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let live = Arc::new(applied(&base));
    let base = World {
        configurations: vec![live],
        ..base
    };
    let edits: [fn(&mut Value); 3] = [
        |session| session["scheduler"]["schedule"] = json!("@hourly"),
        |session| session["scheduler"]["jobTemplate"] = json!({}),
        |session| {
            session
                .as_object_mut()
                .unwrap()
                .remove("sessionHistoryLimit");
        },
    ];
    for edit in edits {
        let edited = with_blueprint(base.clone(), |blueprint| {
            edit(&mut blueprint["spec"]["backupConfigurationTemplate"]["sessions"][0]);
        });
        let desired = decide(&edited).apply.unwrap();
        assert!(desired.live.is_some());
    }
}

#[test]
fn without_the_annotations_what_was_made_for_this_target_goes_and_nothing_else() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let ours = Arc::new(applied(&base));
    let mut world = World {
        configurations: vec![Arc::clone(&ours)],
        ..base
    };
    world.target.request = None;
    let plan = decide(&world);
    assert_eq!(plan.delete, [ours]);
    assert!(plan.apply.is_none());
}

#[test]
fn a_target_that_is_deleted_leaves_its_configuration() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let mut world = World {
        configurations: vec![Arc::new(applied(&base))],
        ..base
    };
    world.target.deleting = true;
    world.target.request = None;
    let plan = decide(&world);
    assert!(plan.apply.is_none() && plan.delete.is_empty() && plan.refusal.is_none());
}

#[test]
fn away_from_its_target_the_configuration_carries_the_targets_namespace_and_the_old_one_goes() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let old = Arc::new(applied(&base));
    let moved = with_blueprint(
        World {
            configurations: vec![Arc::clone(&old)],
            permits: Permits {
                consents: Arc::new(|_, _| true),
                ..permits()
            },
            ..base
        },
        |blueprint| {
            blueprint["spec"]["backupConfigurationTemplate"]["namespace"] = json!("dev");
        },
    );
    let plan = decide(&moved);
    let object = plan.apply.unwrap().object;
    assert_eq!(object.name_any(), "demo-appbinding-sample-druid");
    assert_eq!(object.namespace().as_deref(), Some("dev"));
    assert_eq!(plan.delete, [old]);
}

#[test]
fn only_the_sessions_asked_for_are_taken_and_only_their_variables_are_needed() {
    let mut annotations = annotations(DRUID);
    annotations.insert(
        "blueprint.kubestash.com/session-names".to_owned(),
        "frequent-backup".to_owned(),
    );
    let mut world = with_blueprint(world(DRUID, "sample-druid", DEFAULT), |blueprint| {
        let sessions = blueprint["spec"]["backupConfigurationTemplate"]["sessions"]
            .as_array_mut()
            .unwrap();
        let mut nightly = sessions[0].clone();
        nightly["name"] = json!("nightly");
        nightly["scheduler"]["schedule"] = json!("${nightly}");
        sessions.push(nightly);
    });
    world.target = target("sample-druid", "demo", &annotations);
    let object = decide(&world).apply.unwrap().object;
    let names: Vec<_> = object
        .spec
        .sessions
        .iter()
        .map(|session| session.name.as_str())
        .collect();
    assert_eq!(names, ["frequent-backup"]);
}

#[test]
fn a_configuration_that_cannot_run_is_told_with_its_reason() {
    let base = world(DRUID, "sample-druid", DEFAULT);
    let mut live = serde_json::to_value(applied(&base)).unwrap();
    let condition = |status: &str| {
        json!({"phase": "NotReady", "observedGeneration": 1, "conditions": [{"type": "Ready", "status": status,
            "reason": "BackendNotReady", "message": "BackupStorage demo/gcs-storage is not ready: no Secret",
            "lastTransitionTime": "2024-09-19T10:30:46Z"}]})
    };
    for (status, told) in [("False", true), ("Unknown", false), ("True", false)] {
        live["status"] = condition(status);
        let live: BackupConfiguration = serde_json::from_value(live.clone()).unwrap();
        let plan = decide(&World {
            configurations: vec![Arc::new(live)],
            ..base.clone()
        });
        assert_eq!(plan.refusal.is_some(), told, "{status}");
        if let Some(refusal) = plan.refusal {
            assert_eq!(refusal.kind(), "BackupConfigurationNotReady");
            assert!(refusal.to_string().contains("no Secret"));
        }
    }
}

fn refused(world: &World) -> String {
    match decide(world).refusal {
        Some(refusal @ Refusal::ReferenceNotAllowed { .. }) => refusal.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_database_elsewhere_is_backed_up_because_its_owner_wishes_so() {
    let mut world = world(DRUID, "sample-druid", DEFAULT);
    world.target = target("sample-druid", "dev", &annotations(DRUID));
    let made = applied(&world);
    assert_eq!(made.namespace().as_deref(), Some("demo"));
    let grant = Grant::of(&Subject::of(&made), &world.permits.key).unwrap();
    let expected = Need::BackUp {
        group: "kubedb.com".to_owned(),
        kind: "Druid".to_owned(),
        namespace: "dev".to_owned(),
        name: "sample-druid".to_owned(),
    };
    assert!(grant.pinned);
    assert_eq!(grant.needs, [expected].into());

    // Nothing is written again at another time, until somebody changes what was granted or what it
    // was granted for.
    let again = |live: &BackupConfiguration| {
        let mut world = world.clone();
        world.configurations = vec![Arc::new(live.clone())];
        world.permits.now = jiff::Timestamp::from_second(1000).unwrap();
        decide(&world).apply.is_some()
    };
    assert!(!again(&made));
    let mut stripped = made.clone();
    stripped.metadata.annotations = None;
    assert!(again(&stripped));
    let mut edited = made.clone();
    edited.spec.backends[0].storage_ref.as_mut().unwrap().name = "mine".to_owned();
    assert_eq!(Grant::of(&Subject::of(&edited), &world.permits.key), None);
    assert!(again(&edited));
}

#[test]
fn a_binding_speaks_for_no_database_of_another_namespace() {
    let mut base = world(DRUID, "sample-druid", DEFAULT);
    // Also when the blueprint's own namespace is where that database is.
    for victim in ["dev", "demo"] {
        base.target = target("sample-druid", "tenant", &annotations(DRUID));
        base.target.reference = TypedObjectReference::new("kubedb.com", "Druid", "victim", victim);
        let told = refused(&base);
        assert!(
            told.contains(&format!(
                "backing up Druid {victim}/victim from namespace tenant is not allowed"
            )),
            "{told}"
        );
    }
    let lets_in = World {
        permits: Permits {
            consents: Arc::new(|need, _| need.namespace() == "demo"),
            ..permits()
        },
        ..base
    };
    assert!(decide(&lets_in).apply.is_some());
}

#[test]
fn what_a_blueprint_refers_to_is_for_its_author_to_allow() {
    let secret = |blueprint: &mut Value| {
        let sessions = &mut blueprint["spec"]["backupConfigurationTemplate"]["sessions"];
        sessions[0]["repositories"][0]["encryptionSecret"] =
            json!({"name": "x", "namespace": "vault"});
    };
    let base = with_blueprint(world(DRUID, "sample-druid", DEFAULT), secret);
    let told = refused(&base);
    assert!(
        told.contains("kubectl annotate backupblueprint -n demo druid-default-backup-blueprint"),
        "{told}"
    );

    let need = Need::ReadSecret {
        namespace: "vault".to_owned(),
        name: "x".to_owned(),
    };
    let grant = Grant {
        needs: [need.clone()].into(),
        pinned: false,
    };
    let mut blueprint = base.blueprint.as_deref().unwrap().clone();
    let text = grant.sign(
        &Subject::of(&blueprint),
        &base.permits.key,
        base.permits.now,
    );
    blueprint
        .annotations_mut()
        .insert(labels::GRANTED_REFERENCES.to_owned(), text);
    let granted = World {
        blueprint: Some(Arc::new(blueprint)),
        ..base
    };
    let made = applied(&granted);
    let passed_on = Grant::of(&Subject::of(&made), &granted.permits.key).unwrap();
    assert_eq!((passed_on.needs, passed_on.pinned), ([need].into(), true));

    // Another namespace for the configurations, unless it is the database's own.
    let moved = |namespace: &str, own: &str| {
        let mut world = with_blueprint(world(DRUID, "sample-druid", DEFAULT), |blueprint| {
            blueprint["spec"]["backupConfigurationTemplate"]["namespace"] = json!(namespace);
        });
        world.target = target("sample-druid", own, &annotations(DRUID));
        world
    };
    assert!(
        refused(&moved("dev", "demo")).contains("creating BackupConfigurations in namespace dev")
    );
    let world = moved("dev", "dev");
    let told = refused(&world);
    assert!(
        told.contains("reading Secret demo/encrypt-secret from namespace dev"),
        "{told}"
    );
}
