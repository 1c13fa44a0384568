//! From a Repository object to its open storage: the reads that every command begins with.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use kubestash_api::core::{BackupSession, RestoreSession};
use kubestash_api::labels;
use kubestash_api::storage::{
    BackupStorage, Component, Provider, Repository, Snapshot, SnapshotPhase,
};
use kubestash_backend::{Backend, BackendError, encryption_password, resolve, secret_reference};
use kubestash_domain::lock_holder::LockHolder;
use kubestash_domain::{name, phase};
use kubestash_engine::{EngineError, LockOwner, OnLockWait, OpenOptions, ResticRepository, Secret};

use crate::cluster::{Cluster, ClusterError};
use crate::failure::Failure;
use crate::settings::Settings;

/// A Repository, and how to reach what it holds.
#[derive(Clone)]
pub struct Store {
    /// The object.
    pub repository: Repository,
    /// Its storage.
    pub backend: Backend,
    /// Whether the storage is a volume: what the operator writes into a bucket, a Job writes
    /// there.
    pub is_volume: bool,
    /// The password of its backups, or why there is none.
    password: Result<Secret, Failure>,
    /// `Secret demo/encrypt-secret`, for messages.
    password_from: String,
    options: OpenOptions,
}

impl Store {
    /// Reads everything that leads from `repository` to its storage. `job` is the name of our Job.
    ///
    /// # Errors
    /// If the storage cannot be reached as configured. A missing encryption password is told later,
    /// to those who need it.
    pub async fn of(
        cluster: &Cluster,
        settings: &Settings,
        repository: Repository,
        job: &str,
    ) -> Result<Self, Failure> {
        let namespace = repository.namespace().unwrap_or_default();
        let name = repository.name_any();
        let reference = repository.spec.storage_ref.clone().ok_or_else(|| {
            Failure::permanent(
                "RepositoryInvalid",
                format!("failed to find the storage: spec.storageRef of Repository {namespace}/{name} is missing"),
            )
        })?;
        let storage_namespace = reference.namespace_or(&namespace).to_owned();
        let named_by = format!("spec.storageRef of Repository {namespace}/{name}");
        let (storage, password) = tokio::join!(
            cluster.get::<BackupStorage>(&storage_namespace, &reference.name, &named_by),
            password(cluster, &repository),
        );
        let (backend, is_volume) = Box::pin(backend(cluster, settings, &storage?)).await?;
        let (password, password_from) = password;
        let options = OpenOptions::new(owner(cluster, &repository, job));
        Ok(Self {
            repository,
            backend,
            is_volume,
            password,
            password_from,
            options,
        })
    }

    /// Name of the Repository.
    pub fn name(&self) -> String {
        self.repository.name_any()
    }

    /// The Repository's directory in its storage.
    pub fn directory(&self) -> &str {
        &self.repository.spec.path
    }

    /// The same, telling whoever wants to know for which locks it waits.
    #[must_use]
    pub fn observed(mut self, waits: OnLockWait) -> Self {
        self.options.on_lock_wait = waits;
        self
    }

    /// How we take part in locks.
    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// The password of the backups.
    ///
    /// # Errors
    /// If the encryption Secret is missing, not named, or lacks the key.
    pub fn password(&self) -> Result<Secret, Failure> {
        self.password.clone()
    }

    /// Opens the restic repository of a component, making it if there is none and none has been
    /// there before.
    ///
    /// # Errors
    /// If it cannot be opened; a wrong password is told with the Secret it came from. If Snapshots
    /// are in a repository that is gone: a new one in its place would pass for theirs.
    pub async fn open_or_init(
        &self,
        cluster: &Cluster,
        component_path: &str,
    ) -> Result<Arc<ResticRepository>, Failure> {
        let password = self.password()?;
        match self.try_open(component_path, &password).await {
            Err(BackendError::Engine(EngineError::RepositoryMissing { location })) => {
                self.never_held(cluster, component_path, &location).await?;
            }
            opened => return opened.map_err(|error| self.explain(error)),
        }
        let opened = self
            .backend
            .open_or_init(
                self.directory(),
                component_path,
                &password,
                self.options.clone(),
            )
            .await;
        opened.map(Arc::new).map_err(|error| self.explain(error))
    }

    /// Checks that no Snapshot has its data in the repository at `location`, which is not there.
    async fn never_held(
        &self,
        cluster: &Cluster,
        component_path: &str,
        location: &str,
    ) -> Result<(), Failure> {
        let namespace = self.repository.namespace().unwrap_or_default();
        let snapshots = snapshots_of(cluster, &namespace, &self.name()).await?;
        let holding = holding(&snapshots, component_path);
        if holding == 0 {
            return Ok(());
        }
        Err(Failure::permanent(
            "RepositoryGone",
            format!(
                "failed to open the repository at {location}: it is not there, and Repository {namespace}/{} has Snapshots whose data is in it ({holding}); mount or bring back the storage that holds it, or delete these Snapshots to begin anew",
                self.name()
            ),
        ))
    }

    /// Opens the restic repository of a component, which must exist.
    ///
    /// # Errors
    /// If it cannot be opened; a wrong password is told with the Secret it came from.
    pub async fn open(&self, component_path: &str) -> Result<Arc<ResticRepository>, Failure> {
        let password = self.password()?;
        let opened = self.try_open(component_path, &password).await;
        opened.map_err(|error| match error {
            BackendError::Engine(EngineError::WrongPassword { location }) => Failure::permanent(
                "wrong-password",
                format!(
                    "failed to open the repository at {location}: wrong password; {} does not hold the password that the backups were created with: name the Secret that does in spec.dataSource.encryptionSecret",
                    self.password_from
                ),
            ),
            error => error.into(),
        })
    }

    async fn try_open(
        &self,
        component_path: &str,
        password: &Secret,
    ) -> Result<Arc<ResticRepository>, BackendError> {
        let opened = self
            .backend
            .open_repository(
                self.directory(),
                component_path,
                password,
                self.options.clone(),
            )
            .await;
        opened.map(Arc::new)
    }

    /// A failure of the storage; a wrong password is told with the Secret it came from.
    pub fn explain(&self, error: BackendError) -> Failure {
        match error {
            BackendError::Engine(EngineError::WrongPassword { location }) => Failure::permanent(
                "wrong-password",
                format!(
                    "failed to open the repository at {location}: wrong password; {} no longer holds the password of the first backup: put the old value of RESTIC_PASSWORD back, or name another directory to begin anew",
                    self.password_from
                ),
            ),
            error => error.into(),
        }
    }
}

/// Opens the storage behind a BackupStorage; nothing is sent to it yet. The second value says
/// whether it is a volume.
///
/// # Errors
/// If object or Secret have a gap.
pub async fn backend(
    cluster: &Cluster,
    settings: &Settings,
    storage: &BackupStorage,
) -> Result<(Backend, bool), Failure> {
    let secret = match secret_reference(storage) {
        None => None,
        Some((namespace, name)) => cluster.find::<KubeSecret>(&namespace, &name).await?,
    };
    let config = resolve(
        storage,
        secret.as_ref(),
        &settings.environment,
        &settings.local_root,
    )?;
    let provider = storage
        .spec
        .storage
        .as_ref()
        .and_then(|storage| storage.known_provider());
    Ok((Backend::open(&config)?, provider == Some(Provider::Local)))
}

/// The encryption password of a Repository, and where it came from.
async fn password(cluster: &Cluster, repository: &Repository) -> (Result<Secret, Failure>, String) {
    let namespace = repository.namespace().unwrap_or_default();
    let Some(reference) = &repository.spec.encryption_secret else {
        let failure = Failure::permanent(
            "EncryptionSecretInvalid",
            format!(
                "failed to find the encryption password: repositories[].encryptionSecret of repository {} is missing; name a Secret with the key RESTIC_PASSWORD",
                repository.name_any()
            ),
        );
        return (Err(failure), "the encryption Secret".to_owned());
    };
    let secret_namespace = reference.namespace_or(&namespace);
    let from = format!("Secret {secret_namespace}/{}", reference.name);
    let password = match cluster
        .find::<KubeSecret>(secret_namespace, &reference.name)
        .await
    {
        Ok(secret) => encryption_password(secret_namespace, &reference.name, secret.as_ref())
            .map_err(Failure::from),
        Err(error) => Err(error.into()),
    };
    (password, from)
}

/// Who we are in lock files, and how to find out whether another Job of ours is over.
fn owner(cluster: &Cluster, repository: &Repository, job: &str) -> LockOwner {
    let own = LockHolder::new(job, repository.uid().unwrap_or_default());
    let namespace = repository.namespace().unwrap_or_default();
    let restored_in = LockHolder::restore_of(job).map(|(namespace, _)| namespace.to_owned());
    let repository = repository.name_any();
    let cluster = cluster.clone();
    let asking = own.clone();
    LockOwner::new(own.to_string()).with_gone_check(Arc::new(move |hostname| {
        let (cluster, own) = (cluster.clone(), asking.clone());
        let (namespace, repository) = (namespace.clone(), repository.clone());
        let restored_in = restored_in.clone();
        Box::pin(async move {
            if own.sees_gone(&hostname, |_| false) {
                return true;
            }
            let Some(other) = LockHolder::parse(&hostname)
                .filter(|other| other.repository_uid == own.repository_uid)
            else {
                return false;
            };
            if let Some((namespace_of, name)) = LockHolder::restore_of(&other.job) {
                // Restores in other namespaces cannot be seen from here; the operator removes their
                // locks.
                let is_seen = restored_in.as_ref().unwrap_or(&namespace) == namespace_of;
                return is_seen && restore_has_ended(&cluster, namespace_of, name).await;
            }
            let restored_in = restored_in.as_deref();
            has_ended(&cluster, &namespace, &repository, &other.job, restored_in).await
        })
    }))
}

/// Whether the Job of a BackupSession is over. What proves that are words that only the operator
/// says, and only after the Job: that a Snapshot has failed, or that the session has come to its
/// end. A Snapshot that succeeded proves nothing, for its Job goes on with retention. Without an
/// answer nothing is certain.
async fn has_ended(
    cluster: &Cluster,
    namespace: &str,
    repository: &str,
    job: &str,
    restored_in: Option<&str>,
) -> bool {
    let snapshots = snapshots_of(cluster, namespace, repository)
        .await
        .unwrap_or_default();
    let Some(snapshot) = snapshots
        .iter()
        .find(|snapshot| snapshot.spec.backup_session == job)
    else {
        return false;
    };
    match snapshot.status.as_ref().and_then(|status| status.phase) {
        Some(SnapshotPhase::Failed) => true,
        Some(SnapshotPhase::Succeeded) => {
            // A restore may not read one session, whose name nobody knew, but list those of its own
            // namespace.
            let session = match restored_in {
                None => cluster
                    .find::<BackupSession>(namespace, job)
                    .await
                    .ok()
                    .flatten(),
                Some(own) if own == namespace => {
                    let sessions = cluster.all::<BackupSession>(namespace).await;
                    let sessions = sessions.unwrap_or_default().into_iter();
                    sessions
                        .into_iter()
                        .find(|session| session.name_any() == job)
                }
                Some(_) => None,
            };
            session.is_some_and(|session| {
                let phase = session.status.and_then(|status| status.phase);
                phase.is_some_and(phase::backup_session_completed)
            })
        }
        _ => false,
    }
}

/// Whether the Job of a restore is over: its session goes, and comes to its end, only after it.
async fn restore_has_ended(cluster: &Cluster, namespace: &str, name: &str) -> bool {
    let Ok(sessions) = cluster.all::<RestoreSession>(namespace).await else {
        return false;
    };
    let session = sessions.iter().find(|session| session.name_any() == name);
    session.is_none_or(|session| {
        let phase = session.status.as_ref().and_then(|status| status.phase);
        phase.is_some_and(phase::restore_session_completed)
    })
}

/// How many Snapshots have the data of a component in the repository at `component_path`.
fn holding(snapshots: &[Snapshot], component_path: &str) -> usize {
    let holds = |component: &Component| {
        component.phase == Some(SnapshotPhase::Succeeded)
            && component.path.as_deref() == Some(component_path)
    };
    let has_data = |snapshot: &&Snapshot| {
        let status = snapshot.status.as_ref();
        let is_going = snapshot.metadata.deletion_timestamp.is_some();
        !is_going && status.is_some_and(|status| status.components.values().any(holds))
    };
    snapshots.iter().filter(has_data).count()
}

/// The Snapshots of a Repository.
///
/// # Errors
/// If the API server does not list them.
pub async fn snapshots_of(
    cluster: &Cluster,
    namespace: &str,
    repository: &str,
) -> Result<Vec<Snapshot>, ClusterError> {
    // Long names are cut to fit a label, so the label alone does not tell two repositories apart.
    let label = name::join(&[repository]);
    let mut snapshots = cluster
        .list::<Snapshot>(namespace, labels::REPO_NAME, &label)
        .await?;
    snapshots.retain(|snapshot| snapshot.spec.repository == repository);
    Ok(snapshots)
}
