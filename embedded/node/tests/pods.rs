//! What a pod sees, and what becomes of pods that cannot run.
#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use support::{Cluster, IMAGE, await_absence, await_processes, job, marker, outcome};

/// The waiting reason and message of the first container.
fn waiting(pod: Option<&Pod>) -> Option<(String, String)> {
    let container = pod?.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.clone()?,
        waiting.message.clone().unwrap_or_default(),
    ))
}

fn pod(name: &str, script: &str, extra: Value) -> Value {
    let job = job(name, script, extra);
    json!({"metadata": {"name": name}, "spec": job["spec"]["template"]["spec"]})
}

fn phase_is(phase: &'static str) -> impl Fn(Option<&Pod>) -> bool {
    move |pod| {
        pod.is_some_and(|pod| {
            pod.status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some(phase)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_run_one_after_the_other_and_share_volumes_with_the_main_one() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let mount = json!([{"name": "scratch", "mountPath": "/kubestash-tmp"}]);
    let init = |name: &str| {
        json!({"name": name, "image": IMAGE, "command": ["sh", "-c", format!("echo {name} >> /kubestash-tmp/order")],
               "volumeMounts": mount})
    };
    let extra = json!({
        "initContainers": [init("first"), init("second")],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "main": {"volumeMounts": mount},
    });
    let (job, log) = cluster
        .run_script("order", "cat /kubestash-tmp/order", extra)
        .await;
    assert_eq!(outcome(&job).unwrap(), "Complete");
    assert_eq!(log, "first\nsecond\n");
    assert!(!Path::new("/kubestash-tmp").exists());
    let pod = cluster.pods_of("order").await.remove(0);
    let init = pod
        .status
        .as_ref()
        .unwrap()
        .init_container_statuses
        .clone()
        .unwrap();
    assert!(init.iter().all(|container| container.ready));
    // The scratch volume goes with the processes; the logs stay until the pod goes.
    await_absence(
        &cluster
            .server
            .pods_dir()
            .join(pod.uid().unwrap())
            .join(".volumes"),
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_init_container_ends_the_pod() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let init = json!([{"name": "init", "image": IMAGE, "command": ["sh", "-c", "exit 9"]}]);
    cluster
        .create::<Job>(job("init", "echo never", json!({"initContainers": init})))
        .await;
    assert_eq!(
        outcome(&cluster.finished("init").await).unwrap(),
        "BackoffLimitExceeded"
    );
    let status = cluster.pods_of("init").await.remove(0).status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert!(
        status.container_statuses.unwrap()[0]
            .state
            .as_ref()
            .unwrap()
            .waiting
            .is_some()
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_config_maps_are_variables_and_files_and_never_touch_the_disk() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let canary = format!("canary{}", marker().replace('.', ""));
    cluster
        .create::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"password": canary}}))
        .await;
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"a.conf": "setting"}}))
        .await;
    let extra = json!({
        "volumes": [
            {"name": "secret", "secret": {"secretName": "s", "defaultMode": 256}},
            {"name": "config", "configMap": {"name": "m"}},
            {"name": "about", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        ],
        "main": {
            "env": [
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "BOTH", "value": "$(NODE)-x"},
            ],
            "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "M_"}],
            "volumeMounts": [
                {"name": "secret", "mountPath": "/etc/the-secret"},
                {"name": "config", "mountPath": "/etc/the-config/a.conf", "subPath": "a.conf"},
                {"name": "about", "mountPath": "/about"},
            ],
        },
    });
    let script = "test \"$PASSWORD\" = \"$(cat /etc/the-secret/password)\" && echo same; stat -c %a /etc/the-secret/password; \
                  cat /etc/the-config/a.conf; echo; test \"$(cat /about/name)\" = \"$HOSTNAME\" && echo named; echo $BOTH; \
                  tr '\\0' '\\n' < /proc/$$$$/environ | grep -c ^M_a";
    let (job, log) = cluster.run_script("reads", script, extra).await;
    assert_eq!(outcome(&job).unwrap(), "Complete", "{log}");
    assert_eq!(
        log,
        "same\n400\nsettingnamed\nkubestash-x\n1\n".replace("settingnamed", "setting\nnamed")
    );
    assert!(!holds(cluster.server.pods_dir(), canary.as_bytes()));
    assert!(!Path::new("/etc/the-secret").exists());
    node.stop().await;
}

/// Whether a file below a directory contains these bytes.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            if entry.path().is_dir() {
                return holds(&entry.path(), needle);
            }
            std::fs::read(entry.path())
                .is_ok_and(|content| content.windows(needle.len()).any(|part| part == needle))
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn our_program_finds_the_api_server_with_the_rights_of_its_service_account_only() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster
        .create::<ServiceAccount>(json!({"metadata": {"name": "worker"}}))
        .await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get"]}]);
    cluster
        .create::<Role>(json!({"metadata": {"name": "worker"}, "rules": rules}))
        .await;
    cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "worker"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
            "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": "demo"}],
        }))
        .await;
    for name in ["mine", "other"] {
        cluster
            .create::<ConfigMap>(json!({"metadata": {"name": name}, "data": {"k": name}}))
            .await;
    }
    let run = |name: &str, map: &str, user: Value| {
        let mut job = job(
            name,
            "",
            json!({"serviceAccountName": "worker", "securityContext": user}),
        );
        let main = &mut job["spec"]["template"]["spec"]["containers"][0];
        main["command"] = json!(["kubestash", "read-config-map"]);
        main["args"] = json!([map]);
        job
    };
    for (name, map, user, expected) in [
        ("allowed", "mine", json!({}), "Complete"),
        ("as-nobody", "mine", json!({"runAsUser": 65534}), "Complete"),
        ("forbidden", "other", json!({}), "BackoffLimitExceeded"),
    ] {
        cluster.create::<Job>(run(name, map, user)).await;
        let done = cluster.finished(name).await;
        let log = cluster
            .log_of(&cluster.pods_of(name).await[0], "main")
            .await;
        assert_eq!(outcome(&done).unwrap(), expected, "{name}: {log}");
        assert_eq!(log.contains("mine"), expected == "Complete", "{log}");
        assert!(!log.contains("not read from its file"), "{log}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_a_running_pod_are_renewed_in_their_files() {
    let cluster = Cluster::start().await;
    let mut config = cluster.config();
    config.token_checked_every = Duration::from_millis(100);
    config.token_renewed_after = Some(Duration::ZERO);
    let node = cluster.node_with(config);
    let token = json!({"serviceAccountToken": {"path": "deep/token", "audience": "vault"}});
    let extra = json!({
        "volumes": [{"name": "tokens", "projected": {"sources": [token]}}],
        "main": {"volumeMounts": [{"name": "tokens", "mountPath": "/tokens"}]},
    });
    let own = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let script = format!(
        "for file in {own} /tokens/deep/token; do old=`cat $file`; turn=0; \
         while test \"$old\" = \"`cat $file`\"; do sleep 0.05; turn=$((turn + 1)); test $turn -lt 1000 || exit 1; done; \
         cat $file | tr . '\\n' | grep -c .; done; echo x > {own} || echo read-only"
    );
    let (job, log) = cluster.run_script("renewed", &script, extra).await;
    assert_eq!(outcome(&job).unwrap(), "Complete", "{log}");
    // Each is a whole token of three parts, and the container cannot write it.
    assert!(
        log.starts_with("3\n3\n") && log.lines().any(|line| line == "read-only"),
        "{log}"
    );
    let pod = cluster.pods_of("renewed").await.remove(0).uid().unwrap();
    await_absence(&cluster.server.pods_dir().join(pod).join(".tokens")).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_does_not_see_what_belongs_to_the_server() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let data = cluster.server.directory().join("data");
    // Errors and output come through pipes of their own, in any order.
    let script = format!(
        "ls -A {} 2>/dev/null | wc -l; ls -A /tmp | wc -l",
        data.display()
    );
    let (_, log) = cluster.run_script("blind", &script, json!({})).await;
    assert_eq!(log.lines().collect::<Vec<_>>(), ["0", "0"]);
    assert!(!log.contains("store") && !log.contains("pki"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_is_refused_with_what_this_node_can_run() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    cluster
        .create::<Pod>(pod(
            "foreign",
            "true",
            json!({"main": {"image": "busybox:1.36"}}),
        ))
        .await;
    let pulled =
        |pod: Option<&Pod>| waiting(pod).is_some_and(|(reason, _)| reason == "ErrImagePull");
    let found = cluster
        .until::<Pod>("foreign", "ErrImagePull", pulled)
        .await;
    let (_, message) = waiting(found.as_ref()).unwrap();
    assert!(
        message.contains("busybox:1.36") && message.contains(IMAGE),
        "{message}"
    );
    assert_eq!(
        found.unwrap().status.unwrap().phase.as_deref(),
        Some("Pending")
    );
    cluster
        .api::<Pod>()
        .delete("foreign", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until::<Pod>("foreign", "its removal", |pod: Option<&Pod>| pod.is_none())
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_secret_is_told_and_the_pod_starts_once_it_is_there() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let from = json!({"valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}, "name": "K"});
    cluster
        .create::<Pod>(pod("waits", "echo $K", json!({"main": {"env": [from]}})))
        .await;
    let told = |pod: Option<&Pod>| {
        waiting(pod)
            == Some((
                "CreateContainerConfigError".to_owned(),
                "secret \"late\" not found".to_owned(),
            ))
    };
    cluster
        .until::<Pod>("waits", "CreateContainerConfigError", told)
        .await;
    cluster
        .create::<Secret>(json!({"metadata": {"name": "late"}, "stringData": {"k": "here"}}))
        .await;
    let done = cluster
        .until::<Pod>("waits", "Succeeded", phase_is("Succeeded"))
        .await
        .unwrap();
    assert_eq!(cluster.log_of(&done, "main").await, "here\n");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_this_node_cannot_mount_fails_the_pod_with_a_reason() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let volumes = json!({"volumes": [{"name": "far", "nfs": {"server": "s", "path": "/"}}]});
    cluster.create::<Pod>(pod("nfs", "true", volumes)).await;
    let status = cluster
        .until::<Pod>("nfs", "Failed", phase_is("Failed"))
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(status.reason.as_deref(), Some("UnsupportedVolume"));
    assert!(status.message.unwrap().contains("\"far\""));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_bound_and_keeps_its_data_until_it_is_deleted() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let spec =
        json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    cluster
        .create::<PersistentVolumeClaim>(json!({"metadata": {"name": "data"}, "spec": spec}))
        .await;
    let bound = |claim: Option<&PersistentVolumeClaim>| {
        claim.is_some_and(|claim| {
            claim
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref())
                == Some("Bound")
        })
    };
    let claim = cluster
        .until::<PersistentVolumeClaim>("data", "Bound", bound)
        .await
        .unwrap();
    assert_eq!(claim.status.unwrap().capacity.unwrap()["storage"].0, "1Gi");
    let extra = json!({
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
        "main": {"volumeMounts": [{"name": "v", "mountPath": "/data", "subPath": "inner"}]},
    });
    cluster
        .run_script("writes", "echo kept > /data/file", extra.clone())
        .await;
    let (_, log) = cluster.run_script("reads", "cat /data/file", extra).await;
    assert_eq!(log, "kept\n");
    let volumes = cluster.config().data_dir.join("volumes");
    let dir = std::fs::read_dir(&volumes)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    cluster
        .api::<PersistentVolumeClaim>()
        .delete("data", &DeleteParams::default())
        .await
        .unwrap();
    await_absence(&dir).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_gets_its_grace_and_then_goes() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let (dir, mark) = (tempfile::tempdir().unwrap(), marker());
    let extra = json!({
        // An API server without a binding subresource gives only pods that name their node a grace.
        "nodeName": "kubestash",
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "v", "hostPath": {"path": dir.path()}}],
        "main": {"volumeMounts": [{"name": "v", "mountPath": "/state"}]},
    });
    let script = format!("trap 'touch /state/tidied; exit 0' TERM; sleep {mark} & wait");
    let created = cluster.create::<Pod>(pod("polite", &script, extra)).await;
    await_processes(&mark, 1).await;
    cluster
        .until::<Pod>("polite", "Running", phase_is("Running"))
        .await;
    cluster
        .api::<Pod>()
        .delete("polite", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until::<Pod>("polite", "its removal", |pod: Option<&Pod>| pod.is_none())
        .await;
    assert!(dir.path().join("tidied").exists());
    assert!(support::processes_with(&mark).is_empty());
    await_absence(&cluster.server.pods_dir().join(created.uid().unwrap())).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_to_run_always_is_started_again_and_each_run_has_its_log() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let created = cluster
        .create::<Pod>(pod(
            "always",
            "echo run; exit 1",
            json!({"restartPolicy": "Always"}),
        ))
        .await;
    let restarted = |pod: Option<&Pod>| {
        let containers = pod.and_then(|pod| pod.status.as_ref()?.container_statuses.as_ref());
        containers.is_some_and(|all| {
            let backing_off = waiting(pod).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
            all[0].restart_count >= 1 && backing_off && all[0].last_state.is_some()
        })
    };
    cluster
        .until::<Pod>("always", "CrashLoopBackOff", restarted)
        .await;
    let logs = cluster
        .server
        .pods_dir()
        .join(created.uid().unwrap())
        .join("main");
    assert!(logs.join("0.log").exists() && logs.join("1.log").exists());
    cluster
        .api::<Pod>()
        .delete("always", &DeleteParams::default())
        .await
        .unwrap();
    cluster
        .until::<Pod>("always", "its removal", |pod: Option<&Pod>| pod.is_none())
        .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_a_pod_fails_it() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let mark = marker();
    cluster
        .create::<Pod>(pod(
            "late",
            &format!("exec sleep {mark}"),
            json!({"activeDeadlineSeconds": 1}),
        ))
        .await;
    let status = cluster
        .until::<Pod>("late", "Failed", phase_is("Failed"))
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    await_processes(&mark, 0).await;
    node.stop().await;
}

/// Waits for a warning about a pod with this reason.
async fn warned(cluster: &Cluster, pod: &Pod, reason: &str) -> Event {
    let about = ListParams::default().fields(&format!("involvedObject.uid={}", pod.uid().unwrap()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let found = cluster.api::<Event>().list(&about).await.unwrap().items;
        let mut told = found
            .iter()
            .filter(|event| event.reason.as_deref() == Some(reason));
        if let Some(event) = told.next() {
            return event.clone();
        }
        assert!(std::time::Instant::now() < deadline, "{found:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_be_mounted_is_told_by_an_event_as_a_kubelet_tells_it() {
    let cluster = Cluster::start().await;
    let node = cluster.node();
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    for (name, source, words) in [
        (
            "disk",
            json!({"hostPath": {"path": disk, "type": "Directory"}}),
            "mount its disk",
        ),
        (
            "secret",
            json!({"secret": {"secretName": "late"}}),
            "secret \"late\" not found",
        ),
        (
            "map",
            json!({"configMap": {"name": "late"}}),
            "configmap \"late\" not found",
        ),
        (
            "claim",
            json!({"persistentVolumeClaim": {"claimName": "late"}}),
            "persistentvolumeclaim \"late\" not found",
        ),
    ] {
        let mut volume = source;
        volume["name"] = json!("v");
        let extra = json!({"volumes": [volume],
            "main": {"volumeMounts": [{"name": "v", "mountPath": "/kubestash-tmp"}]}});
        let pod: Pod = cluster.create(pod(name, "true", extra)).await;
        let event = warned(&cluster, &pod, "FailedMount").await;
        let message = event.message.unwrap();
        assert!(
            message.starts_with("MountVolume.SetUp failed for volume \"v\" : ")
                && message.contains(words),
            "{message}"
        );
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.involved_object.field_path, None);
        // A kubelet says no more in the status. What was the matter before, such as the
        // ServiceAccount of a new namespace, is taken back.
        let creating = |pod: Option<&Pod>| {
            waiting(pod).is_some_and(|(reason, _)| reason == "ContainerCreating")
        };
        cluster
            .until::<Pod>(name, "ContainerCreating", creating)
            .await;
    }
    // The disk is mounted, and the pod starts.
    std::fs::create_dir(&disk).unwrap();
    cluster
        .until::<Pod>("disk", "Succeeded", phase_is("Succeeded"))
        .await;
    node.stop().await;
}
