//! The real kubectl, as a user types it.
#![cfg(test)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{Kubectl, define_widgets, server, widget_definition};

const WIDGET: &str = "
apiVersion: test.example.com/v1
kind: Widget
metadata: {name: w, namespace: demo}
spec: {size: 3}
";

#[tokio::test]
async fn namespaces_and_secrets_are_made_shown_and_deleted() {
    let (server, _client) = server().await;
    let kubectl = Kubectl::new(&server);
    assert_eq!(
        kubectl.ok(&["create", "ns", "tried"]).await,
        "namespace/tried created\n"
    );
    let listed = kubectl.ok(&["get", "ns"]).await;
    assert!(
        listed.starts_with("NAME              STATUS   AGE\ndefault           Active "),
        "{listed}"
    );
    let made = kubectl
        .ok(&[
            "create",
            "secret",
            "generic",
            "s",
            "-n",
            "tried",
            "--from-literal=password=x",
        ])
        .await;
    assert_eq!(made, "secret/s created\n");
    let listed = kubectl.ok(&["get", "secret", "-n", "tried"]).await;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "NAME   TYPE     DATA   AGE");
    assert!(lines[1].starts_with("s      Opaque   1      "), "{listed}");
    let described = kubectl
        .ok(&["describe", "secret", "s", "-n", "tried"])
        .await;
    assert!(described.contains("password:  1 bytes"), "{described}");
    let decoded = kubectl
        .ok(&[
            "get",
            "secret",
            "s",
            "-n",
            "tried",
            "-o",
            "jsonpath={.data.password}",
        ])
        .await;
    assert_eq!(decoded, "eA==");
    kubectl
        .ok(&[
            "create",
            "configmap",
            "c",
            "-n",
            "tried",
            "--from-literal=a=b",
        ])
        .await;
    kubectl
        .ok(&["create", "serviceaccount", "sa", "-n", "tried"])
        .await;
    assert!(
        !kubectl
            .ok(&["create", "token", "sa", "-n", "tried"])
            .await
            .trim()
            .is_empty()
    );
    kubectl.ok(&["label", "ns", "tried", "a=b"]).await;
    kubectl
        .ok(&["annotate", "secret", "s", "-n", "tried", "note=x"])
        .await;
    assert!(kubectl.ok(&["get", "all", "-n", "tried"]).await.is_empty());
    assert_eq!(
        kubectl.ok(&["delete", "secret", "s", "-n", "tried"]).await,
        "secret \"s\" deleted from tried namespace\n".replace(
            " from tried namespace",
            &from_namespace(&kubectl, "tried").await
        )
    );
    assert_eq!(
        kubectl.ok(&["delete", "ns", "tried"]).await,
        "namespace \"tried\" deleted\n"
    );
    let error = kubectl.fails(&["get", "ns", "tried"]).await;
    assert_eq!(
        error,
        "Error from server (NotFound): namespaces \"tried\" not found\n"
    );
}

#[tokio::test]
async fn a_definition_and_its_objects_are_applied_shown_explained_and_waited_for() {
    let (server, _client) = server().await;
    let kubectl = Kubectl::new(&server);
    let definition = kubectl.manifest("crd.json", &widget_definition().to_string());
    assert_eq!(
        kubectl.ok(&["apply", "-f", &definition]).await,
        "customresourcedefinition.apiextensions.k8s.io/widgets.test.example.com created\n"
    );
    kubectl
        .ok(&[
            "wait",
            "--for=condition=Established",
            "crd/widgets.test.example.com",
            "--timeout=10s",
        ])
        .await;
    let manifest = kubectl.manifest("widget.yaml", WIDGET);
    assert_eq!(
        kubectl.ok(&["apply", "-f", &manifest]).await,
        "widget.test.example.com/w created\n"
    );
    assert_eq!(
        kubectl.ok(&["apply", "-f", &manifest]).await,
        "widget.test.example.com/w unchanged\n"
    );
    let listed = kubectl.ok(&["get", "wd", "-n", "demo"]).await;
    assert!(
        listed.starts_with("NAME   SIZE   PHASE   AGE\nw      3              "),
        "{listed}"
    );
    let explained = kubectl.ok(&["explain", "widget.spec.color"]).await;
    assert!(explained.contains("FIELD: color <string>"), "{explained}");
    let explained = kubectl.ok(&["explain", "pods.spec.containers"]).await;
    assert!(
        explained.contains("FIELDS:") && explained.contains("image\t<string>"),
        "{explained}"
    );
    let bigger = kubectl.manifest("bigger.yaml", &WIDGET.replace("size: 3", "size: 4"));
    let difference = kubectl.run(&["diff", "-f", &bigger]).await;
    let difference = String::from_utf8_lossy(&difference.stdout).into_owned();
    assert!(
        difference.contains("-  size: 3") && difference.contains("+  size: 4"),
        "{difference}"
    );
    assert_eq!(
        kubectl.ok(&["apply", "-f", &bigger]).await,
        "widget.test.example.com/w configured\n"
    );
    let wrong = kubectl.manifest("wrong.yaml", &WIDGET.replace("size: 3", "size: 3, sise: 4"));
    let error = kubectl.fails(&["apply", "-f", &wrong]).await;
    assert!(error.contains("unknown field \"spec.sise\""), "{error}");
    let error = kubectl
        .fails(&[
            "patch",
            "widget",
            "w",
            "-n",
            "demo",
            "--type=merge",
            "-p",
            r#"{"spec":{"size":0}}"#,
        ])
        .await;
    assert!(error.contains("spec.size: Invalid value: 0"), "{error}");
    kubectl
        .ok(&[
            "patch",
            "widget",
            "w",
            "-n",
            "demo",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"phase":"Ready"}}"#,
        ])
        .await;
    kubectl
        .ok(&[
            "wait",
            "--for=jsonpath={.status.phase}=Ready",
            "widget/w",
            "-n",
            "demo",
            "--timeout=10s",
        ])
        .await;
    let described = kubectl.ok(&["describe", "widget", "w", "-n", "demo"]).await;
    assert!(described.contains("Phase:  Ready"), "{described}");
    assert!(
        kubectl
            .ok(&["get", "all", "-n", "demo"])
            .await
            .contains("widget.test.example.com/w")
    );
    assert!(kubectl.ok(&["api-resources"]).await.contains("widgets"));
    assert_eq!(
        kubectl.ok(&["delete", "-f", &manifest]).await,
        "widget.test.example.com \"w\" deleted from demo namespace\n".replace(
            " from demo namespace",
            &from_namespace(&kubectl, "demo").await
        )
    );
    kubectl
        .ok(&["delete", "crd", "widgets.test.example.com"])
        .await;
    assert!(
        kubectl
            .fails(&["get", "widgets", "-A"])
            .await
            .contains("widgets")
    );
}

/// Newer versions of kubectl say from where they delete.
async fn from_namespace(kubectl: &Kubectl, namespace: &str) -> String {
    kubectl
        .ok(&["create", "configmap", "probe", "-n", namespace])
        .await;
    let said = kubectl
        .ok(&["delete", "configmap", "probe", "-n", namespace])
        .await;
    said.trim_end()
        .strip_prefix("configmap \"probe\" deleted")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn server_side_apply_tells_conflicts() {
    let (server, client) = server().await;
    define_widgets(&client).await;
    let kubectl = Kubectl::new(&server);
    let manifest = kubectl.manifest("widget.yaml", WIDGET);
    let applied = kubectl
        .ok(&[
            "apply",
            "--server-side",
            "--field-manager=one",
            "-f",
            &manifest,
        ])
        .await;
    assert_eq!(applied, "widget.test.example.com/w serverside-applied\n");
    let bigger = kubectl.manifest("bigger.yaml", &WIDGET.replace("size: 3", "size: 4"));
    let error = kubectl
        .fails(&[
            "apply",
            "--server-side",
            "--field-manager=two",
            "-f",
            &bigger,
        ])
        .await;
    assert!(
        error.contains("Apply failed with 1 conflict: conflict with \"one\": .spec.size"),
        "{error}"
    );
    kubectl
        .ok(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--field-manager=two",
            "-f",
            &bigger,
        ])
        .await;
}

#[tokio::test]
async fn get_watch_prints_rows_as_they_change() {
    let (server, client) = server().await;
    define_widgets(&client).await;
    let kubectl = Kubectl::new(&server);
    let manifest = kubectl.manifest("widget.yaml", WIDGET);
    kubectl.ok(&["apply", "-f", &manifest]).await;
    let mut watching = kubectl
        .command(&["get", "widgets", "-n", "demo", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let reader = tokio::task::spawn_blocking(move || {
        let lines: Vec<String> = lines.by_ref().take(3).map(Result::unwrap).collect();
        lines
    });
    support::eventually("the watch to begin", || async {
        (!reader.is_finished()).then_some(())
    })
    .await;
    // The second row comes with the first change that the watch sees; changing until then needs no
    // guess of when it begins.
    let mut size = 10;
    while !reader.is_finished() {
        size += 1;
        let patch = format!("{{\"spec\":{{\"size\":{size}}}}}");
        kubectl
            .ok(&[
                "patch",
                "widget",
                "w",
                "-n",
                "demo",
                "--type=merge",
                "-p",
                &patch,
            ])
            .await;
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    let lines = reader.await.unwrap();
    assert!(
        lines[0].starts_with("NAME   SIZE   PHASE   AGE"),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("w      "), "{lines:?}");
    assert!(lines[2].starts_with("w      1"), "{lines:?}");
}

#[tokio::test]
async fn edit_replace_rollback_of_labels_and_cascades_work() {
    let (server, client) = server().await;
    define_widgets(&client).await;
    let kubectl = Kubectl::new(&server);
    let manifest = kubectl.manifest("widget.yaml", WIDGET);
    kubectl.ok(&["create", "-f", &manifest]).await;
    let editor = kubectl.manifest(
        "editor.sh",
        "#!/bin/sh\nsed -i 's/size: 3/size: 8/' \"$1\"\n",
    );
    std::fs::set_permissions(&editor, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut edit = kubectl.command(&["edit", "widget", "w", "-n", "demo"]);
    edit.env("KUBE_EDITOR", &editor);
    let edited = tokio::task::spawn_blocking(move || edit.output().unwrap())
        .await
        .unwrap();
    assert!(
        edited.status.success(),
        "{}",
        String::from_utf8_lossy(&edited.stderr)
    );
    assert_eq!(
        kubectl
            .ok(&[
                "get",
                "widget",
                "w",
                "-n",
                "demo",
                "-o",
                "jsonpath={.spec.size}"
            ])
            .await,
        "8"
    );
    kubectl
        .ok(&["label", "widget", "w", "-n", "demo", "x=y"])
        .await;
    kubectl
        .ok(&["label", "widget", "w", "-n", "demo", "x-"])
        .await;
    kubectl.ok(&["replace", "-f", &manifest]).await;
    for cascade in ["background", "foreground", "orphan"] {
        kubectl
            .ok(&[
                "delete",
                "widget",
                "w",
                "-n",
                "demo",
                &format!("--cascade={cascade}"),
            ])
            .await;
        kubectl.ok(&["create", "-f", &manifest]).await;
    }
    assert!(
        kubectl
            .ok(&["auth", "can-i", "--list"])
            .await
            .contains("*.*")
    );
    assert_eq!(
        kubectl
            .ok(&["auth", "can-i", "get", "secrets"])
            .await
            .trim(),
        "yes"
    );
    assert!(
        kubectl
            .ok(&["auth", "whoami"])
            .await
            .contains("kubernetes-admin")
    );
    assert!(
        kubectl
            .ok(&["version"])
            .await
            .contains("Server Version: v1.33")
    );
    assert!(kubectl.ok(&["events", "-n", "demo"]).await.is_empty());
}
