//! PersistentVolumeClaims, bound to directories of this machine.
//!
//! A claim is bound as soon as it is seen, whatever its storage class: there is only one machine.
//! Its directory is `volumes/<namespace>_<name>_<uid>` and goes with the claim, as with the reclaim
//! policy `Delete`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use futures::StreamExt;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::events::{Events, Kind};
use crate::refused::spoken;

/// Binds claims, and knows their directories.
#[derive(Clone)]
pub(crate) struct Claims {
    client: Client,
    dir: PathBuf,
    events: Events,
}

impl Claims {
    /// Claims with their directories below `dir`.
    pub(crate) fn new(client: Client, dir: PathBuf, events: Events) -> Self {
        Self {
            client,
            dir,
            events,
        }
    }

    /// Follows all claims for ever.
    pub(crate) async fn run(self) {
        let api: Api<PersistentVolumeClaim> = Api::all(self.client.clone());
        let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(claim)) => self.bind_or_tell(&claim).await,
                Ok(watcher::Event::Delete(claim)) => self.remove(&self.path(&claim)),
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(claim)) => {
                    listed.push(self.path(&claim));
                    self.bind_or_tell(&claim).await;
                }
                Ok(watcher::Event::InitDone) => self.remove_all_but(&listed),
                Err(error) => {
                    tracing::warn!(%error, "failed to watch PersistentVolumeClaims; trying again")
                }
            }
        }
    }

    /// The directory of a claim, which is bound first if it is not yet.
    pub(crate) async fn directory(&self, namespace: &str, name: &str) -> Result<PathBuf, String> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let claim = api
            .get_opt(name)
            .await
            .map_err(|error| format!("failed to read claim {name:?}: {}", spoken(&error)))?;
        let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
        self.bind(&claim).await?;
        Ok(self.path(&claim))
    }

    fn path(&self, claim: &PersistentVolumeClaim) -> PathBuf {
        let namespace = claim.namespace().unwrap_or_default();
        self.dir.join(format!(
            "{namespace}_{}_{}",
            claim.name_any(),
            claim.uid().unwrap_or_default()
        ))
    }

    async fn bind_or_tell(&self, claim: &PersistentVolumeClaim) {
        if let Err(message) = self.bind(claim).await {
            self.events
                .publish(claim, Kind::Warning, "ProvisioningFailed", message);
        }
    }

    async fn bind(&self, claim: &PersistentVolumeClaim) -> Result<(), String> {
        let path = self.path(claim);
        make(&path).map_err(|error| format!("failed to create {path:?}: {error}"))?;
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if phase == Some("Bound") || claim.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let (name, uid) = (claim.name_any(), claim.uid().unwrap_or_default());
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default());
        let spec = claim.spec.as_ref();
        let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let capacity: BTreeMap<_, _> = requests
            .into_iter()
            .flatten()
            .filter(|(resource, _)| *resource == "storage")
            .collect();
        let volume = spec
            .and_then(|spec| spec.volume_name.clone())
            .unwrap_or_else(|| format!("pvc-{uid}"));
        let failed =
            |error: kube::Error| format!("failed to bind claim {name:?}: {}", spoken(&error));
        let bound = json!({"metadata": {"uid": uid}, "spec": {"volumeName": volume}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(bound))
            .await
            .map_err(failed)?;
        let access = spec
            .and_then(|spec| spec.access_modes.clone())
            .unwrap_or_default();
        let status = json!({"metadata": {"uid": uid},
            "status": {"phase": "Bound", "accessModes": access, "capacity": capacity}});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await
            .map_err(failed)?;
        let message = format!("Successfully provisioned volume {volume}");
        self.events
            .publish(claim, Kind::Normal, "ProvisioningSucceeded", message);
        Ok(())
    }

    fn remove(&self, path: &Path) {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, ?path, "failed to remove the directory of a deleted claim");
            }
            _ => {}
        }
    }

    fn remove_all_but(&self, listed: &[PathBuf]) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if !listed.contains(&entry.path()) {
                self.remove(&entry.path());
            }
        }
    }
}

/// Writable for every user that a pod may run as.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))
}
