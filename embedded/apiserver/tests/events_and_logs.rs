//! The two Event APIs over one store, and the logs of pods.
#![cfg(test)]

mod support;

use std::io::Write;

use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event as CoreEvent, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::events::{EventType, Recorder, Reporter};
use serde_json::json;
use support::{create, server, status};

#[tokio::test]
async fn an_event_is_the_same_in_both_apis() {
    let (_server, client) = server().await;
    let secret = create(
        &client,
        "v1",
        "Secret",
        Some("demo"),
        json!({"metadata": {"name": "s"}}),
    )
    .await;
    let reporter = Reporter {
        controller: "test".to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let mut reference = k8s_openapi::api::core::v1::ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Secret".to_owned()),
        name: secret.metadata.name.clone(),
        namespace: Some("demo".to_owned()),
        uid: secret.metadata.uid.clone(),
        ..Default::default()
    };
    let event = kube::runtime::events::Event {
        type_: EventType::Warning,
        reason: "Test".to_owned(),
        note: Some("hello".to_owned()),
        action: "Testing".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &reference).await.unwrap();
    let core: Api<CoreEvent> = Api::namespaced(client.clone(), "demo");
    let found = core
        .list(&ListParams::default().fields("involvedObject.name=s,type=Warning"))
        .await
        .unwrap()
        .items;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].message.as_deref(), found[0].reason.as_deref()),
        (Some("hello"), Some("Test"))
    );
    assert_eq!(found[0].reporting_component.as_deref(), Some("test"));
    // Once more: the recorder makes it a series, by a patch through the newer API.
    recorder.publish(&event, &reference).await.unwrap();
    let new: Api<Event> = Api::namespaced(client.clone(), "demo");
    let found = new.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(found[0].note.as_deref(), Some("hello"));
    assert_eq!(found[0].series.as_ref().unwrap().count, 2);
    assert_eq!(
        found
            .iter()
            .filter(|one| one.reason.as_deref() == Some("Test"))
            .count(),
        1
    );
    reference.name = Some("other".to_owned());
    let old = json!({
        "metadata": {"name": "old"}, "involvedObject": reference, "reason": "Old", "message": "m", "type": "Normal",
        "source": {"component": "c"}, "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    });
    core.create(
        &PostParams::default(),
        &serde_json::from_value(old).unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(
        new.get("old")
            .await
            .unwrap()
            .deprecated_source
            .unwrap()
            .component
            .as_deref(),
        Some("c")
    );
}

#[tokio::test]
async fn logs_are_read_whole_by_tail_by_time_of_a_previous_run_and_followed_to_the_end() {
    let (server, client) = server().await;
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "local", "initContainers": [{"name": "first", "image": "i"}], "containers": [{"name": "main", "image": "i"}]},
    });
    let pod = create(&client, "v1", "Pod", Some("demo"), pod).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "demo");
    let of = |container: &str| LogParams {
        container: Some(container.to_owned()),
        ..LogParams::default()
    };
    let refused = status(pods.logs("p", &LogParams::default()).await);
    assert_eq!(refused.code, 400);
    assert!(
        refused
            .message
            .contains("choose one of: [main] or one of the init containers: [first]"),
        "{}",
        refused.message
    );
    assert!(
        status(pods.logs("p", &of("main")).await)
            .message
            .contains("is waiting to start")
    );
    assert!(
        status(pods.logs("p", &of("none")).await)
            .message
            .contains("container none is not valid for pod p")
    );

    let path = |run| {
        kubestash_apiserver::logs::path(
            server.pods_dir(),
            &pod.metadata.uid.clone().unwrap(),
            "main",
            run,
        )
    };
    std::fs::create_dir_all(path(0).parent().unwrap()).unwrap();
    std::fs::write(path(0), "2026-01-01T00:00:00.000000001Z old run\n").unwrap();
    let lines =
        "2026-01-01T00:00:00Z one\n2026-01-02T00:00:00Z two words\n2026-01-03T00:00:00Z three\n";
    std::fs::write(path(1), lines).unwrap();
    assert_eq!(
        pods.logs("p", &of("main")).await.unwrap(),
        "one\ntwo words\nthree\n"
    );
    assert_eq!(
        pods.logs(
            "p",
            &LogParams {
                tail_lines: Some(2),
                ..of("main")
            }
        )
        .await
        .unwrap(),
        "two words\nthree\n"
    );
    assert_eq!(
        pods.logs(
            "p",
            &LogParams {
                tail_lines: Some(0),
                ..of("main")
            }
        )
        .await
        .unwrap(),
        ""
    );
    assert_eq!(
        pods.logs(
            "p",
            &LogParams {
                previous: true,
                ..of("main")
            }
        )
        .await
        .unwrap(),
        "old run\n"
    );
    assert_eq!(
        pods.logs(
            "p",
            &LogParams {
                limit_bytes: Some(5),
                ..of("main")
            }
        )
        .await
        .unwrap(),
        "one\nt"
    );
    assert_eq!(
        pods.logs(
            "p",
            &LogParams {
                timestamps: true,
                ..of("main")
            }
        )
        .await
        .unwrap(),
        lines
    );
    let since = LogParams {
        since_time: Some("2026-01-02T00:00:00Z".parse().unwrap()),
        ..of("main")
    };
    assert_eq!(pods.logs("p", &since).await.unwrap(), "two words\nthree\n");

    let follow = LogParams {
        follow: true,
        tail_lines: Some(1),
        ..of("main")
    };
    let mut followed = pods.log_stream("p", &follow).await.unwrap().lines();
    assert_eq!(followed.try_next().await.unwrap().as_deref(), Some("three"));
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(path(1))
        .unwrap();
    file.write_all(b"2026-01-04T00:00:00Z fo").unwrap();
    file.write_all(b"ur\n").unwrap();
    assert_eq!(followed.try_next().await.unwrap().as_deref(), Some("four"));
    let ended = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "state": {"terminated": {"exitCode": 0}},
    }]}});
    pods.patch_status("p", &PatchParams::default(), &Patch::Merge(ended))
        .await
        .unwrap();
    assert_eq!(followed.try_next().await.unwrap(), None);
}
