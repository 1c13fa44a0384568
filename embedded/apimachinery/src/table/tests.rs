use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn cells(group: &str, kind: &str, object: Value) -> Vec<Value> {
    let columns = Columns::builtin(group, kind);
    let table = render(
        &columns,
        &[object],
        &json!({}),
        IncludeObject::None,
        true,
        now(),
    );
    let cells = table["rows"][0]["cells"].as_array().unwrap().clone();
    assert_eq!(
        cells.len(),
        table["columnDefinitions"].as_array().unwrap().len(),
        "{kind}: a cell for each column"
    );
    cells
}

fn metadata() -> Value {
    json!({"name": "x", "creationTimestamp": "2026-01-02T03:01:42Z"})
}

#[test]
fn rows_of_simple_kinds() {
    let meta = metadata();
    let cases = [
        (
            "",
            "Secret",
            json!({"metadata": meta, "type": "Opaque", "data": {"a": "", "b": ""}}),
            json!(["x", "Opaque", 2, "2m23s"]),
        ),
        (
            "",
            "ConfigMap",
            json!({"metadata": meta, "data": {"a": ""}}),
            json!(["x", 1, "2m23s"]),
        ),
        (
            "",
            "Namespace",
            json!({"metadata": meta, "status": {"phase": "Active"}}),
            json!(["x", "Active", "2m23s"]),
        ),
        (
            "",
            "ServiceAccount",
            json!({"metadata": meta}),
            json!(["x", 0, "2m23s"]),
        ),
        (
            "coordination.k8s.io",
            "Lease",
            json!({"metadata": meta, "spec": {"holderIdentity": "me"}}),
            json!(["x", "me", "2m23s"]),
        ),
        (
            "rbac.authorization.k8s.io",
            "Role",
            json!({"metadata": meta}),
            json!(["x", "2026-01-02T03:01:42Z"]),
        ),
        (
            "rbac.authorization.k8s.io",
            "RoleBinding",
            json!({"metadata": meta, "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]}),
            json!(["x", "Role/r", "2m23s", "", "", "n/a"]),
        ),
        (
            "",
            "Service",
            json!({"metadata": meta, "spec": {"type": "ClusterIP", "clusterIP": "None", "ports": [{"port": 80, "protocol": "TCP"}]}}),
            json!([
                "x",
                "ClusterIP",
                "None",
                "<none>",
                "80/TCP",
                "2m23s",
                "<none>"
            ]),
        ),
        (
            "",
            "PersistentVolumeClaim",
            json!({"metadata": meta, "spec": {"volumeMode": "Filesystem", "storageClassName": "std"}, "status": {"phase": "Pending"}}),
            json!([
                "x",
                "Pending",
                "",
                "",
                "",
                "std",
                "<unset>",
                "2m23s",
                "Filesystem"
            ]),
        ),
        (
            "",
            "Event",
            json!({"metadata": meta, "type": "Normal", "reason": "Started", "message": " text\n", "involvedObject": {"kind": "Job", "name": "j"},
                "firstTimestamp": "2026-01-02T03:03:05Z", "lastTimestamp": "2026-01-02T03:04:00Z", "count": 3, "source": {"component": "c"}}),
            json!([
                "5s", "Normal", "Started", "job/j", "", "c", "text", "60s", 3, "x"
            ]),
        ),
        (
            "",
            "Event",
            json!({"metadata": meta, "type": "Warning", "reason": "R", "involvedObject": {"kind": "Job", "name": "j"},
                "eventTime": "2026-01-02T03:03:05.000000Z", "reportingComponent": "op", "reportingInstance": "op-1"}),
            json!([
                "60s", "Warning", "R", "job/j", "", "op, op-1", "", "60s", 1, "x"
            ]),
        ),
        (
            "batch",
            "Job",
            json!({"metadata": meta, "spec": {"completions": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}, "selector": {"matchLabels": {"a": "b"}}},
                "status": {"succeeded": 1, "startTime": "2026-01-02T03:01:42Z", "completionTime": "2026-01-02T03:01:50Z", "conditions": [{"type": "Complete", "status": "True"}]}}),
            json!(["x", "Complete", "1/1", "8s", "2m23s", "c", "i", "a=b"]),
        ),
    ];
    for (group, kind, object, want) in cases {
        assert_eq!(json!(cells(group, kind, object)), want, "{kind}");
    }
}

#[test]
fn a_pods_status_says_what_matters_most() {
    let pod = |init: Value, containers: Value, rest: Value| {
        let mut pod = json!({
            "kind": "Pod", "metadata": metadata(),
            "spec": {"initContainers": [{"name": "i"}], "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "initContainerStatuses": init, "containerStatuses": containers}
        });
        for (key, value) in rest.as_object().unwrap() {
            *pod.pointer_mut(key).unwrap() = value.clone();
        }
        let cells = cells("", "Pod", pod);
        format!(
            "{} {} {}",
            cells[1].as_str().unwrap(),
            cells[2].as_str().unwrap(),
            cells[3].as_str().unwrap()
        )
    };
    let done =
        json!([{"name": "i", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]);
    let cases = [
        (
            json!([]),
            json!([]),
            json!({"/status/phase": "Pending"}),
            "0/1 Pending 0",
        ),
        (
            json!([{"name": "i", "state": {"running": {}}}]),
            json!([]),
            json!({}),
            "0/1 Init:0/1 0",
        ),
        (
            json!([{"name": "i", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]),
            json!([]),
            json!({}),
            "0/1 Init:Error 0",
        ),
        (
            json!([{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}]),
            json!([]),
            json!({}),
            "0/1 Init:ErrImagePull 0",
        ),
        (
            done.clone(),
            json!([{"name": "c", "ready": true, "state": {"running": {}}}]),
            json!({}),
            "1/1 Running 0",
        ),
        (
            done.clone(),
            json!([{"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]),
            json!({"/status/phase": "Succeeded"}),
            "0/1 Completed 0",
        ),
        (
            done.clone(),
            json!([{"name": "c", "state": {"terminated": {"exitCode": 64}}}]),
            json!({"/status/phase": "Failed"}),
            "0/1 ExitCode:64 0",
        ),
        (
            done,
            json!([{"name": "c", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2026-01-02T03:04:00Z"}}}]),
            json!({}),
            "0/1 CrashLoopBackOff 2 (5s ago)",
        ),
        (
            json!([]),
            json!([{"name": "c", "ready": true, "state": {"running": {}}}]),
            json!({"/metadata": {"name": "x", "deletionTimestamp": "2026-01-02T03:04:00Z"}}),
            "1/1 Terminating 0",
        ),
    ];
    for (init, containers, rest, want) in cases {
        assert_eq!(pod(init, containers, rest), want);
    }
}

#[test]
fn custom_columns_show_their_type_and_nothing_else() {
    let columns = json!([
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Size", "type": "integer", "jsonPath": ".status.size"},
        {"name": "Ratio", "type": "number", "jsonPath": ".status.ratio", "priority": 1},
        {"name": "Default", "type": "boolean", "jsonPath": ".spec.default"},
        {"name": "Last", "type": "date", "jsonPath": ".status.last"},
        {"name": "Map", "type": "string", "jsonPath": ".status.map"},
        {"name": "Mismatch", "type": "integer", "jsonPath": ".status.phase"},
        {"name": "Missing", "type": "string", "jsonPath": ".status.nothing.here"},
        {"name": "Bad", "type": "date", "jsonPath": ".status.phase"}
    ]);
    let object = json!({"metadata": metadata(), "spec": {"default": true},
        "status": {"phase": "Ready", "size": 7, "ratio": 1.5, "last": "2026-01-02T03:03:05Z", "map": {"a": 1}}});
    let table = render(
        &Columns::custom(Some(&columns)),
        &[object],
        &json!({"resourceVersion": "7"}),
        IncludeObject::Metadata,
        true,
        now(),
    );
    assert_eq!(
        table["rows"][0]["cells"],
        json!([
            "x",
            "Ready",
            7,
            1.5,
            true,
            "60s",
            "{\"a\":1}",
            null,
            null,
            "<invalid>"
        ])
    );
    assert_eq!(table["columnDefinitions"][3]["priority"], 1);
    assert_eq!(table["metadata"]["resourceVersion"], "7");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[test]
fn without_printer_columns_there_are_name_and_age() {
    let object = json!({"metadata": metadata()});
    for columns in [None, Some(json!([]))] {
        let columns = Columns::custom(columns.as_ref());
        let table = render(
            &columns,
            std::slice::from_ref(&object),
            &json!({}),
            IncludeObject::Object,
            true,
            now(),
        );
        assert_eq!(table["rows"][0]["cells"], json!(["x", "2m23s"]));
        assert_eq!(table["rows"][0]["object"], object);
    }
    let columns = Columns::custom(None);
    let table = render(
        &columns,
        &[object],
        &json!({}),
        IncludeObject::None,
        false,
        now(),
    );
    assert_eq!(table["columnDefinitions"], json!([]));
    assert_eq!(table["rows"][0]["object"], Value::Null);
}
