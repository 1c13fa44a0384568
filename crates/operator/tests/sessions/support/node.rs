//! A stand-in for node and executor: it does to a Job's objects what they would, as the test says.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use kubestash_api::core::BackupSession;
use kubestash_api::labels;
use kubestash_api::storage::Snapshot;
use kubestash_backend::{REPORT_KEY, REPORT_LIMIT, pack};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Cluster, NAMESPACE};

/// What becomes of the Job of a session.
#[derive(Debug, Clone)]
pub enum Deed {
    /// It saves everything and says so.
    Succeed,
    /// It reports this error and fails for good.
    Fail(&'static str),
    /// It fails without a word.
    Die,
    /// It succeeds without a word.
    Silent,
    /// It runs and never ends.
    Hang,
}

/// The stand-in; it stops when dropped.
pub struct Node {
    client: Client,
    task: JoinHandle<()>,
    deed: Arc<Mutex<Deed>>,
}

impl Node {
    /// Does `deed` to the Job of each session from now on. Jobs that prepare a storage always
    /// succeed.
    pub fn start(cluster: &Cluster, deed: Deed) -> Self {
        let deed = Arc::new(Mutex::new(deed));
        let worker = Worker {
            client: cluster.client.clone(),
            deed: Arc::clone(&deed),
        };
        Self {
            client: cluster.client.clone(),
            task: tokio::spawn(worker.run()),
            deed,
        }
    }

    /// Ends a Job that hangs.
    pub async fn fail(&self, job: &Job) {
        let worker = Worker {
            client: self.client.clone(),
            deed: Arc::clone(&self.deed),
        };
        worker.finish(job, false).await;
    }

    pub fn now_does(&self, deed: Deed) {
        *self.deed.lock().unwrap() = deed;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Worker {
    client: Client,
    deed: Arc<Mutex<Deed>>,
}

impl Worker {
    async fn run(self) {
        let api: Api<Job> = Api::all(self.client.clone());
        let mut jobs = Box::pin(
            watcher(api, watcher::Config::default())
                .default_backoff()
                .applied_objects(),
        );
        while let Some(Ok(job)) = jobs.next().await {
            let done = job
                .status
                .as_ref()
                .is_some_and(|status| status.conditions.is_some());
            if done || job.metadata.deletion_timestamp.is_some() {
                continue;
            }
            if job.labels().get(labels::COMPONENT).map(String::as_str)
                != Some(labels::component::BACKUP)
            {
                if job.name_any().starts_with("init-") {
                    self.tell_that_the_volume_is_empty(&job).await;
                }
                self.finish(&job, true).await;
                continue;
            }
            let deed = self.deed.lock().unwrap().clone();
            self.work(&job, deed).await;
        }
    }

    async fn tell_that_the_volume_is_empty(&self, job: &Job) {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &job.namespace().unwrap());
        let report = ByteString(pack(Vec::new(), REPORT_LIMIT).unwrap());
        let patch = Patch::Merge(json!({"binaryData": {REPORT_KEY: report}}));
        api.patch(&job.name_any(), &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn work(&self, job: &Job, deed: Deed) {
        match deed {
            Deed::Succeed => {
                self.report(job, succeeded).await;
                self.applied_retention(job).await;
                self.finish(job, true).await;
            }
            Deed::Fail(error) => {
                self.report(
                    job,
                    |_| json!({"components": {"dump": {"phase": "Running", "error": error}}}),
                )
                .await;
                self.finish(job, false).await;
            }
            Deed::Die => self.finish(job, false).await,
            Deed::Silent => self.finish(job, true).await,
            Deed::Hang => {
                self.report(
                    job,
                    |_| json!({"components": {"dump": {"phase": "Running"}}}),
                )
                .await;
            }
        }
    }

    /// Writes the status of each Snapshot of the session.
    async fn report(&self, job: &Job, status: impl Fn(&Snapshot) -> Value) {
        let snapshots: Api<Snapshot> = Api::namespaced(self.client.clone(), NAMESPACE);
        for snapshot in snapshots.list(&Default::default()).await.unwrap() {
            if snapshot.spec.backup_session == job.name_any() {
                self.apply(
                    &snapshots,
                    &snapshot.name_any(),
                    "storage.kubestash.com/v1alpha1",
                    "Snapshot",
                    status(&snapshot),
                )
                .await;
            }
        }
    }

    async fn applied_retention(&self, job: &Job) {
        let sessions: Api<BackupSession> = Api::namespaced(self.client.clone(), NAMESPACE);
        let session = sessions.get(&job.name_any()).await.unwrap();
        let listed = session.status.unwrap().snapshots;
        let entries: Vec<_> = listed
            .iter()
            .map(|entry| json!({"repository": entry.repository, "phase": "Applied"}))
            .collect();
        let status = json!({"retentionPolicy": entries});
        self.apply(
            &sessions,
            &job.name_any(),
            "core.kubestash.com/v1alpha1",
            "BackupSession",
            status,
        )
        .await;
    }

    async fn apply<K>(&self, api: &Api<K>, name: &str, version: &str, kind: &str, status: Value)
    where
        K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
    {
        let patch = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "status": status});
        let params = PatchParams::apply("kubestash-executor").force();
        api.patch_status(name, &params, &Patch::Apply(&patch))
            .await
            .unwrap();
    }

    async fn finish(&self, job: &Job, succeeded: bool) {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &job.namespace().unwrap());
        let now = Timestamp::now().to_string();
        let condition = |type_: &str, reason: &str| {
            json!({"type": type_, "status": "True", "reason": reason, "message": reason,
                "lastTransitionTime": now, "lastProbeTime": now})
        };
        let status = if succeeded {
            json!({"startTime": now, "completionTime": now, "succeeded": 1,
                "conditions": [condition("SuccessCriteriaMet", "CompletionsReached"),
                    condition("Complete", "CompletionsReached")]})
        } else {
            json!({"startTime": now, "failed": 1,
                "conditions": [condition("FailureTarget", "BackoffLimitExceeded"),
                    condition("Failed", "BackoffLimitExceeded")]})
        };
        let patch = Patch::Merge(json!({ "status": status }));
        // The Job may have been deleted meanwhile.
        let _ = api
            .patch_status(&job.name_any(), &PatchParams::default(), &patch)
            .await;
    }
}

fn succeeded(snapshot: &Snapshot) -> Value {
    let now = Timestamp::now().to_string();
    json!({
        "phase": "Succeeded", "integrity": true, "size": "674.017 KiB", "totalComponents": 1, "snapshotTime": now,
        "components": {"dump": {
            "driver": "Restic", "duration": "9.614587405s", "integrity": true, "phase": "Succeeded",
            "path": format!("repository/v1/{}/dump", snapshot.spec.session), "size": "674.017 KiB",
            "resticStats": [{"hostPath": "dumpfile.sql", "id": "8f2b5f5d", "size": "3.750 MiB",
                "uploaded": "3.751 MiB"}],
        }},
        "conditions": [{"type": "SnapshotMetadataUploaded", "status": "True", "lastTransitionTime": now,
            "reason": "SuccessfullyUploadedSnapshotMetadata",
            "message": "Metadata uploaded to backend successfully"}],
    })
}
