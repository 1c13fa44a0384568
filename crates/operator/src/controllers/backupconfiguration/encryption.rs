//! The encryption Secrets of a configuration: are they there, do they hold a password, and does it
//! still open what was stored with it?
//!
//! A Secret's content is read once for each of its versions, and only the verdict is kept. A
//! repository is opened only where the password may have changed: the Secret has another version
//! than before, or is younger than the Repository. In a volume the operator can open nothing; there
//! the next session finds out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::{Resource, ResourceExt};
use kubestash_api::conditions;
use kubestash_api::core::BackupConfiguration;
use kubestash_api::shared::ObjectReference;
use kubestash_api::storage::{BackupStoragePhase, Repository, SnapshotPhase};
use kubestash_backend::{BackendError, encryption_password};
use kubestash_domain::condition;
use kubestash_engine::{EngineError, OpenOptions};

use super::ConfigurationError;
use super::obstacle::Obstacle;
use super::repositories::{self, Wanted};
use crate::context::Context;
use crate::controllers::backupstorage::{is_local, storage_of};
use crate::controllers::repository::snapshots_of;
use crate::controllers::snapshot::holder;
use crate::runtime::apply::{self, ApplyError};

/// The reason while a password does not open a repository.
const CHANGED: &str = "EncryptionPasswordChanged";
/// How long a repository may take to open; one that takes longer is looked at again after
/// [`LATER`].
const PATIENCE: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(60);

/// What is known about the password of a Repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Password {
    /// The configuration names no Secret.
    NotNamed,
    /// There is no such Secret.
    Missing,
    /// It holds no password, for this reason.
    Invalid(String),
    /// It does not open the repository at this place.
    Wrong(String),
    /// Nothing is wrong with it, as far as is known.
    Usable,
}

/// What keeps the configuration from making backups in `wanted`; pure.
pub(super) fn obstacle(wanted: &Wanted, password: &Password) -> Option<Obstacle> {
    let name = &wanted.name;
    let secret = wanted
        .spec
        .encryption_secret
        .as_ref()
        .map(full_name)
        .unwrap_or_default();
    let (reason, message) = match password {
        Password::Usable => return None,
        Password::NotNamed => (
            "EncryptionSecretMissing",
            format!(
                "repository {name:?} names no encryptionSecret: name a Secret with the key RESTIC_PASSWORD"
            ),
        ),
        Password::Missing => (
            "EncryptionSecretMissing",
            format!(
                "the encryptionSecret of repository {name:?}, Secret {secret}, does not exist: create it with the key \
                 RESTIC_PASSWORD, and keep a copy, because without it no backup can be read"
            ),
        ),
        Password::Invalid(why) => (
            "EncryptionSecretInvalid",
            format!("repository {name:?}: {why}"),
        ),
        Password::Wrong(location) => (
            CHANGED,
            format!(
                "Secret {secret} no longer holds the password of repository {name:?}, which does not open ({location}): put \
                 the old value of RESTIC_PASSWORD back, or start a new repository with another name and directory"
            ),
        ),
    };
    Some(Obstacle::fault(reason, message))
}

fn full_name(reference: &ObjectReference) -> String {
    format!("{}/{}", reference.namespace_or(""), reference.name)
}

/// Whether a Secret is the encryption Secret of one of the configuration's repositories.
pub(super) fn encrypts<K: Resource>(configuration: &BackupConfiguration, secret: &K) -> bool {
    let (name, namespace) = (secret.name_any(), secret.namespace().unwrap_or_default());
    let own = configuration.namespace().unwrap_or_default();
    configuration
        .spec
        .sessions
        .iter()
        .flat_map(|session| &session.repositories)
        .filter_map(|info| info.encryption_secret.as_ref())
        .any(|found| found.name == name && found.namespace_or(&own) == namespace)
}

/// The verdict on one version of a Secret's content.
#[derive(Debug, Clone)]
struct Content {
    version: Option<String>,
    fault: Option<String>,
}

/// The verdict on one version of a password.
#[derive(Debug, Clone)]
struct Trial {
    version: Option<String>,
    opened: Opened,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Opened {
    /// It opens, or there is no reason for doubt.
    Trusted,
    /// It does not open the repository at this place.
    Wrong(String),
    /// The storage did not answer then.
    Unknown(Instant),
}

/// The verdicts so far: by Secret, and by uid of the Repository.
#[derive(Debug, Default)]
pub(super) struct Passwords {
    contents: Mutex<HashMap<(String, String), Content>>,
    trials: Mutex<HashMap<String, Trial>>,
}

/// What is in the way, and when to look again if nothing will tell.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The first obstacle.
    pub obstacle: Option<Obstacle>,
    /// After which time to look again.
    pub again: Option<Duration>,
}

impl Passwords {
    /// Looks at the Secrets of all repositories of `configuration`.
    pub(super) async fn look(
        &self,
        configuration: &BackupConfiguration,
        ctx: &Context,
    ) -> Result<Looked, ConfigurationError> {
        let mut looked = Looked::default();
        for wanted in repositories::wanted(configuration) {
            let (password, again) = self.password(configuration, &wanted, ctx).await?;
            looked.again = looked.again.or(again);
            looked.obstacle = looked.obstacle.or_else(|| obstacle(&wanted, &password));
        }
        Ok(looked)
    }

    async fn password(
        &self,
        configuration: &BackupConfiguration,
        wanted: &Wanted,
        ctx: &Context,
    ) -> Result<(Password, Option<Duration>), ApplyError> {
        let Some(reference) = &wanted.spec.encryption_secret else {
            return Ok((Password::NotNamed, None));
        };
        let namespace = reference.namespace_or("").to_owned();
        let Some(known) = ctx.watches.secrets.get(&namespace, &reference.name) else {
            return Ok((Password::Missing, None));
        };
        let version = known.resource_version();
        let key = (namespace.clone(), reference.name.clone());
        let content = {
            let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            contents
                .get(&key)
                .filter(|content| content.version == version)
                .cloned()
        };
        let content = match content {
            Some(content) => content,
            None => {
                let api = ctx.api::<Secret>(&namespace);
                let Some(secret) = apply::get(&api, &reference.name).await? else {
                    return Ok((Password::Missing, None));
                };
                let fault = encryption_password(&namespace, &reference.name, Some(&secret)).err();
                let content = Content {
                    version: secret.resource_version(),
                    fault: fault.map(|fault| fault.to_string()),
                };
                let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
                contents.insert(key, content.clone());
                content
            }
        };
        if let Some(fault) = content.fault {
            return Ok((Password::Invalid(fault), None));
        }
        let repository = ctx
            .watches
            .repositories
            .get(&configuration.namespace().unwrap_or_default(), &wanted.name);
        let Some(repository) = repository else {
            return Ok((Password::Usable, None));
        };
        let younger = known.meta().creation_timestamp.as_ref().map(|time| time.0)
            > repository
                .meta()
                .creation_timestamp
                .as_ref()
                .map(|time| time.0);
        let doubtful = younger || is_told(configuration);
        self.trial(&repository, reference, version, doubtful, ctx)
            .await
    }

    /// Opens the repository, if that is due.
    async fn trial(
        &self,
        repository: &Repository,
        secret: &ObjectReference,
        version: Option<String>,
        doubtful: bool,
        ctx: &Context,
    ) -> Result<(Password, Option<Duration>), ApplyError> {
        let uid = repository.uid().unwrap_or_default();
        let before = {
            let trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
            trials.get(&uid).cloned()
        };
        let opened = match next(before.as_ref(), version.as_ref(), doubtful, Instant::now()) {
            Next::Keep(opened) => opened,
            Next::Try => match open(repository, secret, ctx).await? {
                Some(opened) => opened,
                // Nothing is stored there, or nothing that can be opened from here.
                None => Opened::Trusted,
            },
        };
        let verdict = match &opened {
            Opened::Trusted => (Password::Usable, None),
            Opened::Wrong(location) => (Password::Wrong(location.clone()), None),
            Opened::Unknown(_) => (Password::Usable, Some(LATER)),
        };
        let mut trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
        trials.insert(uid, Trial { version, opened });
        Ok(verdict)
    }
}

/// Whether the configuration says already that its password was changed: true until it opens again.
fn is_told(configuration: &BackupConfiguration) -> bool {
    let conditions = configuration
        .status
        .iter()
        .flat_map(|status| &status.conditions);
    let conditions: Vec<_> = conditions.cloned().collect();
    condition::find(&conditions, conditions::READY).is_some_and(|ready| ready.reason == CHANGED)
}

/// What to do about a password.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// The verdict stands.
    Keep(Opened),
    /// See whether it opens.
    Try,
}

fn next(before: Option<&Trial>, version: Option<&String>, doubtful: bool, now: Instant) -> Next {
    match before {
        // The first look in this process: what worked yesterday is trusted without a reason for
        // doubt.
        None if !doubtful => Next::Keep(Opened::Trusted),
        None => Next::Try,
        Some(trial) if trial.version.as_ref() != version => Next::Try,
        Some(trial) => match &trial.opened {
            Opened::Unknown(at) if now.duration_since(*at) >= LATER => Next::Try,
            opened => Next::Keep(opened.clone()),
        },
    }
}

/// Opens what is stored in the Repository; none if there is nothing, or nothing that can be opened
/// from here.
async fn open(
    repository: &Repository,
    secret: &ObjectReference,
    ctx: &Context,
) -> Result<Option<Opened>, ApplyError> {
    let storage =
        storage_of(repository).and_then(|key| ctx.watches.backup_storages.store().get(&key));
    let usable = |storage: &std::sync::Arc<kubestash_api::storage::BackupStorage>| {
        let phase = storage.status.as_ref().and_then(|status| status.phase);
        !is_local(storage) && phase == Some(BackupStoragePhase::Ready)
    };
    let (Some(storage), Some(path)) = (storage.filter(usable), stored_at(repository, ctx)) else {
        return Ok(None);
    };
    let namespace = secret.namespace_or("").to_owned();
    let found = apply::get(&ctx.api::<Secret>(&namespace), &secret.name).await?;
    let Ok(password) = encryption_password(&namespace, &secret.name, found.as_ref()) else {
        return Ok(None);
    };
    let opening = async {
        let backend = match ctx.stores.open(ctx, &storage).await {
            Ok(backend) => backend,
            Err(_) => return Opened::Unknown(Instant::now()),
        };
        let options = OpenOptions::new(holder::operator(ctx, repository));
        let directory = &repository.spec.path;
        match backend
            .open_repository(directory, &path, &password, options)
            .await
        {
            Ok(_) => Opened::Trusted,
            Err(BackendError::Engine(EngineError::WrongPassword { location })) => {
                Opened::Wrong(location)
            }
            // Whatever else is wrong with it is not the password's fault, and the next session
            // tells it.
            Err(_) => Opened::Unknown(Instant::now()),
        }
    };
    let opened = tokio::time::timeout(PATIENCE, Box::pin(opening)).await;
    Ok(Some(
        opened.unwrap_or_else(|_| Opened::Unknown(Instant::now())),
    ))
}

/// Where the data of a Snapshot of the Repository is.
fn stored_at(repository: &Repository, ctx: &Context) -> Option<String> {
    snapshots_of(ctx, repository).iter().find_map(|snapshot| {
        let status = snapshot.status.as_ref()?;
        let mut components = status.components.values();
        components.find_map(|component| {
            (component.phase == Some(SnapshotPhase::Succeeded)).then(|| component.path.clone())?
        })
    })
}

#[cfg(test)]
mod tests {
    use kubestash_api::storage::RepositorySpec;

    use super::*;

    fn wanted(secret: Option<&str>) -> Wanted {
        Wanted {
            name: "repo".to_owned(),
            backend: "gcs".to_owned(),
            spec: RepositorySpec {
                encryption_secret: secret.map(|name| ObjectReference::new(name, "demo")),
                ..RepositorySpec::default()
            },
            policy: None,
            verified: false,
        }
    }

    #[test]
    fn each_fault_of_a_password_is_told_with_its_secret_and_the_remedy() {
        let named = wanted(Some("s"));
        for (wanted, password, expected) in [
            (&named, Password::Usable, None),
            (
                &wanted(None),
                Password::NotNamed,
                Some((
                    "EncryptionSecretMissing",
                    "names no encryptionSecret: name a Secret",
                )),
            ),
            (
                &named,
                Password::Missing,
                Some((
                    "EncryptionSecretMissing",
                    "Secret demo/s, does not exist: create it",
                )),
            ),
            (
                &named,
                Password::Invalid("Secret demo/s has no key RESTIC_PASSWORD; add it".to_owned()),
                Some(("EncryptionSecretInvalid", "no key RESTIC_PASSWORD")),
            ),
            (
                &named,
                Password::Wrong("gs://b/d".to_owned()),
                Some((CHANGED, "put the old value of RESTIC_PASSWORD back")),
            ),
        ] {
            let found = obstacle(wanted, &password);
            assert_eq!(found.is_some(), expected.is_some(), "{password:?}");
            if let (Some(found), Some((reason, words))) = (found, expected) {
                assert!(found.is_fault && found.reason == reason, "{found:?}");
                assert!(
                    found.message.contains(words) && found.message.contains("\"repo\""),
                    "{}",
                    found.message
                );
            }
        }
    }

    #[test]
    fn a_repository_is_opened_once_for_each_version_of_a_secret_that_gives_reason_for_doubt() {
        let now = Instant::now();
        let version = |text: &str| Some(text.to_owned());
        let trial = |opened| Trial {
            version: version("1"),
            opened,
        };
        let wrong = Opened::Wrong("gs://b".to_owned());
        for (before, seen, doubtful, expected) in [
            (None, "1", false, Next::Keep(Opened::Trusted)),
            (None, "1", true, Next::Try),
            (
                Some(trial(Opened::Trusted)),
                "1",
                true,
                Next::Keep(Opened::Trusted),
            ),
            (Some(trial(Opened::Trusted)), "2", false, Next::Try),
            (
                Some(trial(wrong.clone())),
                "1",
                true,
                Next::Keep(wrong.clone()),
            ),
            (Some(trial(wrong)), "2", true, Next::Try),
            (
                Some(trial(Opened::Unknown(now))),
                "1",
                true,
                Next::Keep(Opened::Unknown(now)),
            ),
        ] {
            let found = next(before.as_ref(), version(seen).as_ref(), doubtful, now);
            assert_eq!(found, expected, "{before:?} {seen} {doubtful}");
        }
        let silent = trial(Opened::Unknown(now));
        let later = next(Some(&silent), version("1").as_ref(), true, now + LATER);
        assert_eq!(later, Next::Try);
    }
}
