//! Every acknowledged write is there after `kill -9`.
#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kubestash_apiserver::Config;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const CHILD_DIR: &str = "KUBESTASH_TEST_SERVER_DIR";
const KILLS: u64 = 50;
const WRITERS: usize = 6;

/// Not a test: the server process that the test below starts and kills.
#[tokio::test]
#[ignore = "the server process of another test"]
async fn serve_as_child() {
    let Ok(dir) = std::env::var(CHILD_DIR) else {
        return;
    };
    let server = kubestash_apiserver::start(Config {
        data_dir: dir.into(),
        bind: ([127, 0, 0, 1], 0).into(),
    })
    .await
    .unwrap();
    println!("\nready {}", server.kubeconfig());
    std::future::pending::<()>().await;
}

/// Starts the server process and returns it with its kubeconfig. `blocks` limits the size of its
/// files.
fn start(dir: &Path, blocks: Option<u32>) -> (Child, Value) {
    let limit = blocks.map_or(String::new(), |blocks| format!("ulimit -f {blocks};"));
    start_within(dir, &limit)
}

/// Starts it within limits of the shell.
fn start_within(dir: &Path, limit: &str) -> (Child, Value) {
    // The signal of the limit is ignored, so that a write beyond it fails like one on a full disk.
    let mut child = Command::new("bash")
        .args(["-c", &format!("trap '' XFSZ; {limit} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "serve_as_child", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let kubeconfig = lines
        .find_map(|line| line.unwrap().strip_prefix("ready ").map(str::to_owned))
        .expect("the server did not start");
    // The pipe stays open for the life of the child, or its next line would end it.
    std::thread::spawn(move || lines.for_each(drop));
    (child, serde_json::from_str(&kubeconfig).unwrap())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// ConfigMaps and Secrets lie in different files; writers take one or the other.
const KINDS: [&str; 2] = ["ConfigMap", "Secret"];

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    support::api(client, "v1", kind, Some("default"))
}

/// What a writer knows of one of its objects.
#[derive(Debug, Clone, Default)]
struct Known {
    /// The last acknowledged content, `None` when absent.
    acknowledged: Option<String>,
    /// The content that a write without an answer would have left.
    attempted: Option<Option<String>>,
}

type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

/// Writes to objects of its own until a request fails.
async fn write_until_killed(
    api: Api<DynamicObject>,
    writer: usize,
    seed: u64,
    ledger: Ledger,
    killed: Arc<AtomicBool>,
    acknowledged: tokio::sync::watch::Sender<u64>,
) {
    let mut random = StdRng::seed_from_u64(seed ^ (writer as u64) << 32);
    for turn in 0u64.. {
        let name = format!("w{writer}-{}", random.random_range(0..8));
        let known = ledger
            .lock()
            .unwrap()
            .get(&name)
            .cloned()
            .unwrap_or_default();
        let content = format!("{seed}-{turn}-{}", "x".repeat(random.random_range(0..2000)));
        let delete = known.acknowledged.is_some() && random.random_bool(0.2);
        let next = (!delete).then(|| content.clone());
        ledger
            .lock()
            .unwrap()
            .entry(name.clone())
            .or_default()
            .attempted = Some(next.clone());
        let outcome = if delete {
            api.delete(&name, &DeleteParams::default()).await.map(drop)
        } else if known.acknowledged.is_some() {
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"content": content}}}));
            api.patch(&name, &PatchParams::default(), &patch)
                .await
                .map(drop)
        } else {
            let value = json!({"metadata": {"name": name, "annotations": {"content": content}}});
            let object = serde_json::from_value(value).unwrap();
            api.create(&PostParams::default(), &object).await.map(drop)
        };
        match outcome {
            Ok(()) => {
                acknowledged.send_modify(|count| *count += 1);
                ledger.lock().unwrap().insert(
                    name,
                    Known {
                        acknowledged: next,
                        attempted: None,
                    },
                );
            }
            Err(error) => {
                assert!(!matches!(error, kube::Error::Api(_)), "refused: {error}");
                assert!(
                    killed.load(Ordering::SeqCst),
                    "failed before the kill: {error}"
                );
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_no_acknowledged_write() {
    let dir = tempfile::tempdir().unwrap();
    let ledger: Ledger = Arc::default();
    let mut revision = 0;
    let mut acknowledged = 0;
    for seed in 0..KILLS {
        let (child, kubeconfig) = start(dir.path(), None);
        let client = support::client(kubeconfig).await;
        let killed = Arc::new(AtomicBool::new(false));
        verify(&client, &ledger, &mut revision).await;
        let (counter, mut count) = tokio::sync::watch::channel(0);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let api = api(&client, KINDS[writer % 2]);
                let (ledger, killed, counter) = (ledger.clone(), killed.clone(), counter.clone());
                tokio::spawn(write_until_killed(
                    api, writer, seed, ledger, killed, counter,
                ))
            })
            .collect();
        // Killed after so many writes, however fast the machine is, and at some moment of the ones
        // under way.
        let mut random = StdRng::seed_from_u64(seed);
        let enough: u64 = random.random_range(1..40);
        count.wait_for(|count| *count >= enough).await.unwrap();
        tokio::time::sleep(Duration::from_micros(random.random_range(0..5_000))).await;
        killed.store(true, Ordering::SeqCst);
        kill(child);
        for writer in writers {
            writer.await.unwrap();
        }
        acknowledged += *count.borrow();
    }
    let (child, kubeconfig) = start(dir.path(), None);
    let client = support::client(kubeconfig).await;
    verify(&client, &ledger, &mut revision).await;
    kill(child);
    assert!(
        acknowledged > 10 * KILLS,
        "{acknowledged} writes prove little"
    );
}

/// Compares what the server has with what was acknowledged.
async fn verify(client: &Client, ledger: &Ledger, revision: &mut u64) {
    let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut now = 0;
    for kind in KINDS {
        let list = api(client, kind)
            .list(&ListParams::default())
            .await
            .unwrap();
        now = list.metadata.resource_version.unwrap().parse().unwrap();
        found.extend(list.items.into_iter().map(|one| {
            let content = one
                .metadata
                .annotations
                .unwrap_or_default()
                .remove("content");
            (one.metadata.name.unwrap(), content)
        }));
    }
    for (name, known) in ledger.lock().unwrap().iter_mut() {
        let content = found.get(name).cloned().flatten();
        let expected = content == known.acknowledged || known.attempted.as_ref() == Some(&content);
        assert!(expected, "{name}: found {content:?}, known {known:?}");
        *known = Known {
            acknowledged: content,
            attempted: None,
        };
    }
    assert!(
        now >= *revision,
        "the revision went back from {revision} to {now}"
    );
    *revision = now;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_loses_none_that_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let (child, kubeconfig) = start(dir.path(), Some(4096));
    let client = support::client(kubeconfig).await;
    let maps = api(&client, "ConfigMap");
    let map = |n: usize| {
        support::object(
            json!({"metadata": {"name": format!("c{n}")}, "data": {"x": "x".repeat(200_000)}}),
        )
    };
    let mut taken = 0;
    let refused = loop {
        match maps.create(&PostParams::default(), &map(taken)).await {
            Ok(_) => taken += 1,
            Err(kube::Error::Api(status)) => break status,
            Err(error) => panic!("{error}"),
        }
        assert!(taken < 1000, "the disk never became full");
    };
    assert_eq!(
        (refused.code, refused.reason.as_str()),
        (500, "InternalError")
    );
    assert!(
        refused.message.contains("is the disk full?"),
        "{}",
        refused.message
    );
    assert!(maps.get_opt(&format!("c{taken}")).await.unwrap().is_none());
    for n in 0..taken {
        maps.get(&format!("c{n}")).await.unwrap();
    }
    kill(child);
    let (child, kubeconfig) = start(dir.path(), None);
    let maps = api(&support::client(kubeconfig).await, "ConfigMap");
    for n in 0..taken {
        maps.get(&format!("c{n}")).await.unwrap();
    }
    maps.create(&PostParams::default(), &map(taken))
        .await
        .unwrap();
    kill(child);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_file_descriptors_idle_connections_lock_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let (child, kubeconfig) = start_within(dir.path(), "ulimit -n 80;");
    let url = kubeconfig["clusters"][0]["cluster"]["server"]
        .as_str()
        .unwrap();
    let address = url.trim_start_matches("https://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    for _ in 0..3 {
        // Each with a connection of its own.
        let client = support::client(kubeconfig.clone()).await;
        let (maps, every) = (api(&client, "ConfigMap"), ListParams::default());
        tokio::time::timeout(Duration::from_secs(30), maps.list(&every))
            .await
            .expect("idle connections lock everybody out")
            .unwrap();
    }
    drop(idle);
    kill(child);
}
