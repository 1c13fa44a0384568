use serde_json::json;

use super::*;

fn resource(kind: &str) -> ResourceInfo {
    ResourceInfo::builtins()
        .into_iter()
        .find(|r| r.kind == kind)
        .unwrap()
}

fn created(kind: &str, mut object: Value) -> Value {
    let resource = resource(kind);
    apply_defaults(&resource, &mut object);
    let new = NewObject {
        uid: "uid-1",
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        name_suffix: "bcdfg",
    };
    prepare_for_create(&resource, &mut object, Some("demo"), &new);
    object
}

fn errors(kind: &str, object: Value) -> Vec<String> {
    let object = created(kind, object);
    validate_create(&resource(kind), &object)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn update_errors(kind: &str, object: Value, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let old = created(kind, object);
    let mut new = old.clone();
    change(&mut new);
    let resource = resource(kind);
    apply_defaults(&resource, &mut new);
    prepare_for_update(&resource, &mut new, &old, Part::Main);
    validate_update(&resource, &new, &old, Part::Main)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn job() -> Value {
    json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]
    }}}})
}

#[test]
fn a_new_job_gets_its_defaults_selector_and_labels() {
    let job = created("Job", job());
    let labels = json!({
        "job-name": "j", "batch.kubernetes.io/job-name": "j",
        "controller-uid": "uid-1", "batch.kubernetes.io/controller-uid": "uid-1"
    });
    assert_eq!(
        job["metadata"],
        json!({
            "name": "j", "namespace": "demo", "uid": "uid-1", "creationTimestamp": "2026-01-02T03:04:05Z",
            "generation": 1, "labels": labels
        })
    );
    let spec = &job["spec"];
    for (field, want) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
        ("manualSelector", json!(false)),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
    ] {
        assert_eq!(spec[field], want, "{field}");
    }
    assert_eq!(
        spec["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "uid-1"}})
    );
    assert_eq!(spec["template"]["metadata"]["labels"], labels);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    assert_eq!(pod["dnsPolicy"], "ClusterFirst");
    assert_eq!(pod["securityContext"], json!({}));
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(
        pod["containers"][0]["terminationMessagePath"],
        "/dev/termination-log"
    );
}

#[test]
fn defaults_applied_twice_are_defaults_applied_once() {
    for kind in [
        "Job",
        "Pod",
        "Service",
        "Secret",
        "Namespace",
        "CustomResourceDefinition",
        "RoleBinding",
    ] {
        let resource = resource(kind);
        let mut once = json!({
            "metadata": {"name": "x"},
            "stringData": {"a": "b"},
            "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}],
            "spec": {
                "names": {"kind": "X", "plural": "xs"}, "versions": [{"name": "v1", "storage": true}],
                "ports": [{"port": 80}], "volumes": [{"name": "v"}], "containers": [{"name": "c", "image": "i"}],
                "template": {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]}}
            }
        });
        apply_defaults(&resource, &mut once);
        let mut twice = once.clone();
        apply_defaults(&resource, &mut twice);
        assert_eq!(once, twice, "{kind}");
    }
}

#[test]
fn string_data_becomes_data() {
    let secret = created(
        "Secret",
        json!({"metadata": {"name": "s"}, "data": {"a": "YQ=="}, "stringData": {"a": "b", "c": "d"}}),
    );
    assert_eq!(secret["data"], json!({"a": "Yg==", "c": "ZA=="}));
    assert_eq!(secret.get("stringData"), None);
    assert_eq!(secret["type"], "Opaque");
}

#[test]
fn a_new_namespace_is_active_and_kept_by_a_finalizer() {
    let namespace = created(
        "Namespace",
        json!({"metadata": {"name": "n", "namespace": "ignored"}}),
    );
    assert_eq!(namespace["spec"], json!({"finalizers": ["kubernetes"]}));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    assert_eq!(
        namespace["metadata"]["labels"],
        json!({"kubernetes.io/metadata.name": "n"})
    );
    assert_eq!(namespace["metadata"].get("namespace"), None);
}

#[test]
fn a_name_is_generated_from_its_prefix() {
    let object = created("Secret", json!({"metadata": {"generateName": "prefix-"}}));
    assert_eq!(object["metadata"]["name"], "prefix-bcdfg");
    let object = created(
        "Secret",
        json!({"metadata": {"generateName": "a".repeat(80)}}),
    );
    assert_eq!(object["metadata"]["name"].as_str().unwrap().len(), 63);
}

#[test]
fn new_objects_are_refused_in_the_words_of_kubernetes() {
    let with = |mut object: Value, pointer: &str, value: Value| {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    let secret = || json!({"metadata": {"name": "s"}});
    let role = |rule: Value| json!({"metadata": {"name": "r"}, "rules": [rule]});
    let label = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let cases: Vec<(&str, Value, Vec<String>)> = vec![
        ("Secret", json!({}), vec!["metadata.name: Required value: name or generateName is required".into()]),
        ("Namespace", json!({"metadata": {"name": "A"}}), vec![format!("metadata.name: Invalid value: \"A\": {label}")]),
        ("Secret", with(secret(), "/data", json!({"a b": ""})), vec![r#"data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#.into()]),
        ("Secret", with(secret(), "/type", json!("kubernetes.io/tls")), vec!["data[tls.crt]: Required value".into(), "data[tls.key]: Required value".into()]),
        ("Secret", with(secret(), "/metadata/labels", json!({"a": "b c"})), vec![r#"metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#.into()]),
        ("Job", with(job(), "/spec/template/spec/restartPolicy", json!("Always")), vec![r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#.into()]),
        ("Job", with(job(), "/spec/backoffLimit", json!(-1)), vec!["spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0".into()]),
        ("Job", with(job(), "/spec/template/spec/containers", json!([{"name": "c"}])), vec!["spec.template.spec.containers[0].image: Required value".into()]),
        ("Job", with(job(), "/spec/template/spec/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "/x"}])), vec![r#"spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v""#.into()]),
        ("Pod", json!({"metadata": {"name": "p"}, "spec": {}}), vec!["spec.containers: Required value".into()]),
        ("Role", role(json!({"resources": ["pods"], "apiGroups": [""]})), vec!["rules[0].verbs: Required value: verbs must contain at least one value".into()]),
        ("Role", role(json!({"verbs": ["get"]})), vec!["rules[0].apiGroups: Required value: resource rules must supply at least one api group".into(), "rules[0].resources: Required value: resource rules must supply at least one resource".into()]),
        ("PersistentVolumeClaim", json!({"metadata": {"name": "c"}, "spec": {}}), vec!["spec.accessModes: Required value: at least 1 access mode is required".into(), "spec.resources[storage]: Required value".into()]),
        ("Service", json!({"metadata": {"name": "s"}, "spec": {}}), vec!["spec.ports: Required value".into()]),
    ];
    for (kind, object, want) in cases {
        assert_eq!(errors(kind, object.clone()), want, "{kind} {object}");
    }
}

#[test]
fn sound_objects_pass() {
    let cases = [
        ("Job", job()),
        (
            "Secret",
            json!({"metadata": {"name": "s.x"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}),
        ),
        (
            "Pod",
            json!({"metadata": {"name": "p"}, "spec": {"volumes": [{"name": "v"}], "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/x"}]}]}}),
        ),
        (
            "ClusterRole",
            json!({"metadata": {"name": "system:x"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        ),
        (
            "RoleBinding",
            json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}, {"kind": "User", "name": "u"}]}),
        ),
        (
            "Service",
            json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}),
        ),
    ];
    for (kind, object) in cases {
        assert_eq!(errors(kind, object), [""; 0], "{kind}");
    }
}

#[test]
fn immutable_fields_stay() {
    let secret = json!({"metadata": {"name": "s"}, "immutable": true, "data": {"a": "YQ=="}});
    assert_eq!(
        update_errors("Secret", secret.clone(), |s| s["data"]["a"] = json!("Yg==")),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );
    assert_eq!(
        update_errors("Secret", secret, |s| s["type"] = json!("other")),
        [r#"type: Invalid value: "other": field is immutable"#]
    );
    let changed = update_errors("Job", job(), |j| {
        j["spec"]["template"]["spec"]["containers"][0]["image"] = json!("i:2")
    });
    assert!(
        changed[0].starts_with("spec.template: Invalid value: ")
            && changed[0].ends_with(": field is immutable")
    );
    assert_eq!(
        update_errors("Job", job(), |j| j["spec"]["suspend"] = json!(true)),
        [""; 0]
    );
    assert_eq!(
        update_errors(
            "Secret",
            json!({"metadata": {"name": "s"}}),
            |s| s["metadata"]["name"] = json!("t")
        ),
        [r#"metadata.name: Invalid value: "t": field is immutable"#]
    );
}

#[test]
fn a_finalizer_without_a_name_is_refused() {
    for empty in [json!([null]), json!([""])] {
        let secret =
            |finalizers: &Value| json!({"metadata": {"name": "s", "finalizers": finalizers}});
        let refused = errors("Secret", secret(&empty));
        assert!(
            refused[0].starts_with(
                r#"metadata.finalizers: Invalid value: "": name part must be non-empty"#
            ),
            "{refused:?}"
        );
        let add = |secret: &mut Value| secret["metadata"]["finalizers"] = empty.clone();
        assert_eq!(update_errors("Secret", secret(&json!([])), add), refused);
        let label = |secret: &mut Value| secret["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(update_errors("Secret", secret(&empty), label), [""; 0]);
    }
}

#[test]
fn an_object_being_deleted_takes_no_new_finalizer() {
    let mut old = created(
        "Secret",
        json!({"metadata": {"name": "s", "finalizers": ["a/b"]}}),
    );
    old["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!(["a/b", "c/d"]);
    let errors = validate_update(&resource("Secret"), &new, &old, Part::Main);
    assert_eq!(
        errors[0].to_string(),
        r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"c/d"}"#
    );
}

fn custom(subresource: bool) -> ResourceInfo {
    let crd = json!({"spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "subresources": if subresource { json!({"status": {}}) } else { json!({}) }}]
    }});
    ResourceInfo::from_crd(&crd).remove(0)
}

#[test]
fn generation_counts_changes_of_the_spec_only() {
    let old =
        json!({"metadata": {"name": "w", "generation": 3}, "spec": {"x": 1}, "status": {"y": 1}});
    let generation = |resource: &ResourceInfo, mut new: Value, part| {
        prepare_for_update(resource, &mut new, &old, part);
        new["metadata"]["generation"].as_i64().unwrap()
    };
    let change = |pointer: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(pointer).unwrap() = value;
        new
    };
    let with_status = custom(true);
    assert_eq!(generation(&with_status, old.clone(), Part::Main), 3);
    assert_eq!(
        generation(&with_status, change("/spec/x", json!(2)), Part::Main),
        4
    );
    assert_eq!(
        generation(
            &with_status,
            change("/metadata/name", json!("w")),
            Part::Main
        ),
        3
    );
    assert_eq!(
        generation(&with_status, change("/status/y", json!(2)), Part::Main),
        3
    );
    assert_eq!(
        generation(&with_status, change("/status/y", json!(2)), Part::Status),
        3
    );
    assert_eq!(
        generation(&custom(false), change("/status/y", json!(2)), Part::Main),
        4
    );
}

#[test]
fn each_part_is_written_by_its_own_request() {
    let old = json!({"metadata": {"name": "w", "uid": "u", "labels": {"a": "1"}}, "spec": {"x": 1}, "status": {"y": 1}});
    let sent = json!({"metadata": {"name": "w", "labels": {"a": "2"}}, "spec": {"x": 2}, "status": {"y": 2}});
    let mut main = sent.clone();
    prepare_for_update(&custom(true), &mut main, &old, Part::Main);
    assert_eq!(
        (
            &main["spec"]["x"],
            &main["status"]["y"],
            &main["metadata"]["labels"]["a"]
        ),
        (&json!(2), &json!(1), &json!("2"))
    );
    let mut status = sent;
    prepare_for_update(&custom(true), &mut status, &old, Part::Status);
    assert_eq!(
        (
            &status["spec"]["x"],
            &status["status"]["y"],
            &status["metadata"]["labels"]["a"]
        ),
        (&json!(1), &json!(2), &json!("1"))
    );
    assert_eq!(status["metadata"]["uid"], "u");
}
