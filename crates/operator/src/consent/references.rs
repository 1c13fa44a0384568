//! The references of each kind that leave the namespace of their object: pure.
//!
//! A reference held by an object in another namespace to something beside it is that object's own
//! affair: whoever may have a database backed up has its metadata store beside it backed up as
//! well. One that goes on to a third namespace is a need of its own, because the owner of what is
//! there has not been asked.

use kube::{Resource, ResourceExt};
use kubestash_api::core::{
    BackupBlueprint, BackupConfiguration, ManifestOptions, RestoreSession, Session,
};
use kubestash_api::shared::{AddonInfo, TypedObjectReference};
use kubestash_api::storage::{Repository, Snapshot};
use kubestash_domain::manifest::{DatabaseKind, GROUP, effective_target, place};

use super::Need;
use crate::controllers::backupsession::Source;
use crate::jobs::manifest;

/// A reference to something in another namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The field that holds it.
    pub field: String,
    /// What it takes.
    pub need: Need,
    /// Whether the object is known to need it. What may turn out to be needed is granted to who
    /// has the right, and not refused to who has not.
    pub required: bool,
    /// Whether it lies behind another one, on the way to a target's data.
    pub behind: bool,
}

impl Reference {
    fn new(field: impl Into<String>, need: Need) -> Self {
        Self {
            field: field.into(),
            need,
            required: true,
            behind: false,
        }
    }
}

/// The references without those behind one that is refused: who may not use what leads there is not
/// told what it says.
pub(super) fn reachable(
    references: &[Reference],
    is_refused: impl Fn(&Reference) -> bool,
) -> Vec<&Reference> {
    let mut closed = false;
    let mut reachable = Vec::new();
    for reference in references {
        if reference.behind && closed {
            continue;
        }
        closed |= is_target(&reference.need) && is_refused(reference);
        reachable.push(reference);
    }
    reachable
}

fn is_target(need: &Need) -> bool {
    matches!(need, Need::BackUp { .. } | Need::RestoreInto { .. })
}

/// What the way to a target's database is walked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its data is read.
    BackUp,
    /// Its data is replaced.
    Restore,
}

impl Purpose {
    pub(super) fn need(self, object: &TypedObjectReference, own: &str) -> Need {
        let (group, kind) = (object.group().to_owned(), object.kind().to_owned());
        let (namespace, name) = (object.namespace_or(own).to_owned(), object.name.clone());
        match self {
            Self::BackUp => Need::BackUp {
                group,
                kind,
                namespace,
                name,
            },
            Self::Restore => Need::RestoreInto {
                group,
                kind,
                namespace,
                name,
            },
        }
    }
}

/// The references of a BackupConfiguration, but for the way behind its target.
#[must_use]
pub(crate) fn of_configuration(object: &BackupConfiguration) -> Vec<Reference> {
    let own = object.namespace().unwrap_or_default();
    let target = object.spec.target.as_ref();
    let mut found: Vec<_> = target
        .into_iter()
        .flat_map(|target| to_target("spec.target", target, &own, Purpose::BackUp))
        .collect();
    found.extend(to_secrets("spec.sessions", &object.spec.sessions, &own));
    found
}

/// The references of a BackupBlueprint that are known before its variables are filled in. They are
/// those of the BackupConfigurations that are made from it, as seen from the namespace that these
/// go to.
#[must_use]
pub(crate) fn of_blueprint(object: &BackupBlueprint) -> Vec<Reference> {
    let Some(template) = &object.spec.backup_configuration_template else {
        return Vec::new();
    };
    let blueprint = object.namespace().unwrap_or_default();
    let given = template.namespace.as_deref();
    let own = given.filter(|own| !own.is_empty()).unwrap_or(&blueprint);
    let mut found = Vec::new();
    if own != blueprint && is_fixed(own) {
        let namespace = own.to_owned();
        found.push(Reference::new(
            "spec.backupConfigurationTemplate.namespace",
            Need::Configure { namespace },
        ));
    }
    let field = "spec.backupConfigurationTemplate.sessions";
    let secrets = to_secrets(field, &template.sessions, own).into_iter();
    found.extend(secrets.filter(|reference| match &reference.need {
        Need::ReadSecret { namespace, name } => is_fixed(namespace) && is_fixed(name),
        _ => true,
    }));
    found
}

/// Whether a text has no variables.
fn is_fixed(text: &str) -> bool {
    !text.contains("${")
}

/// The references of a Repository.
#[must_use]
pub(crate) fn of_repository(object: &Repository) -> Vec<Reference> {
    let own = object.namespace().unwrap_or_default();
    let secret = object.spec.encryption_secret.as_ref();
    secret
        .and_then(|secret| {
            to_secret(
                "spec.encryptionSecret",
                &secret.name,
                secret.namespace_or(&own),
                &own,
            )
        })
        .into_iter()
        .collect()
}

/// What a restore's references depend on besides the RestoreSession.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Restored<'a> {
    /// The Snapshot, if it is known.
    pub snapshot: Option<&'a Snapshot>,
    /// Its Repository, if it is known.
    pub repository: Option<&'a Repository>,
}

/// The references of a RestoreSession, but for the way behind its target.
#[must_use]
pub(crate) fn of_restore(object: &RestoreSession, restored: Restored<'_>) -> Vec<Reference> {
    let own = object.namespace().unwrap_or_default();
    let mut found = to_data(object, &own);
    if let Some((field, target)) = restore_target(object, restored) {
        found.extend(to_target(field, &target, &own, Purpose::Restore));
    }
    found.extend(to_manifests(object, restored, &own));
    found
}

/// The object that is restored into, with its namespace, and the field that says so.
#[must_use]
pub(crate) fn restore_target(
    object: &RestoreSession,
    restored: Restored<'_>,
) -> Option<(&'static str, TypedObjectReference)> {
    let own = object.namespace().unwrap_or_default();
    if let Some(target) = &object.spec.target {
        let namespace = Some(target.namespace_or(&own).to_owned());
        let target = TypedObjectReference {
            namespace,
            ..target.clone()
        };
        return Some(("spec.target", target));
    }
    let app = match (restored.snapshot, restored.repository) {
        (Some(snapshot), _) => snapshot.spec.app_ref.as_ref(),
        (None, Some(repository)) => repository.spec.app_ref.as_ref(),
        (None, None) => None,
    };
    let options = options(object);
    app.map(|app| {
        (
            "spec.target (the one that the Snapshot was taken of)",
            effective_target(app, &own, &options),
        )
    })
}

fn options(object: &RestoreSession) -> ManifestOptions {
    object
        .spec
        .manifest_options
        .as_deref()
        .cloned()
        .unwrap_or_default()
}

fn to_data(object: &RestoreSession, own: &str) -> Vec<Reference> {
    let source = object.spec.data_source.clone().unwrap_or_default();
    let mut found = Vec::new();
    let namespace = source.namespace.clone().unwrap_or_default();
    if !namespace.is_empty() && namespace != own {
        let snapshot = source
            .snapshot
            .clone()
            .filter(|name| name != kubestash_api::core::RestoreDataSource::LATEST);
        let need = Need::ReadData {
            namespace,
            repository: source.repository.clone().unwrap_or_default(),
            snapshot: snapshot.unwrap_or_default(),
            own_password: source.encryption_secret.is_some(),
        };
        found.push(Reference::new("spec.dataSource.namespace", need));
    }
    let secret = source.encryption_secret.as_ref();
    found.extend(secret.and_then(|secret| {
        to_secret(
            "spec.dataSource.encryptionSecret",
            &secret.name,
            secret.namespace_or(own),
            own,
        )
    }));
    found
}

/// The tasks that restore manifests.
fn manifest_tasks(
    info: Option<&AddonInfo>,
) -> impl Iterator<Item = &kubestash_api::shared::TaskReference> {
    let tasks = info.into_iter().flat_map(|info| &info.tasks);
    tasks.filter(|task| manifest::is_for_manifests(&task.name))
}

/// Whether a restore is asked to give existing objects another content. It is read off what the
/// session says, not off the Addon, so that it is the same at admission and at use.
#[must_use]
pub(crate) fn asks_to_replace(object: &RestoreSession) -> bool {
    manifest_tasks(object.spec.addon.as_ref()).any(|task| {
        let params = serde_json::to_value(&task.params).unwrap_or_default();
        let given = params.get("overrideResources");
        given.is_some_and(|given| *given == true || *given == "true")
    })
}

fn to_manifests(object: &RestoreSession, restored: Restored<'_>, own: &str) -> Vec<Reference> {
    if manifest_tasks(object.spec.addon.as_ref()).next().is_none() {
        return Vec::new();
    }
    let replaces = asks_to_replace(object);
    let options = options(object);
    let field =
        |of: DatabaseKind| format!("spec.manifestOptions.{}.restoreNamespace", of.options_key());
    let mut found: Vec<Reference> = Vec::new();
    let mut add = |of, namespace: &str, group: &str, resource: &str, replaces, required| {
        let (namespace, group, resource) =
            (namespace.to_owned(), group.to_owned(), resource.to_owned());
        let create = Need::Create {
            namespace: namespace.clone(),
            group: group.clone(),
            resource: resource.clone(),
        };
        let replace = Need::Replace {
            namespace,
            group,
            resource,
        };
        for need in [create]
            .into_iter()
            .chain(Some(replace).filter(|_| replaces))
        {
            match found.iter_mut().find(|known| known.need == need) {
                Some(known) => known.required |= required,
                None => found.push(Reference {
                    required,
                    ..Reference::new(field(of), need)
                }),
            }
        }
    };
    if let Some(snapshot) = restored.snapshot {
        let placements = place(&manifest::of_snapshot(snapshot), &options);
        for placement in manifest::touched(&placements) {
            let target = &placement.target;
            if target.namespace != own {
                let replaces = replaces && placement.restored;
                add(
                    target.of,
                    &target.namespace,
                    target.group(),
                    target.plural(),
                    replaces,
                    true,
                );
            }
        }
    }
    // What a Snapshot that is not known yet may hold.
    for of in DatabaseKind::ALL {
        let app = TypedObjectReference::new(GROUP, of.name(), "any", own);
        let namespace = effective_target(&app, own, &options)
            .namespace
            .unwrap_or_default();
        if namespace == own || namespace.is_empty() {
            continue;
        }
        for resource in ["secrets", "configmaps"] {
            add(of, &namespace, "", resource, replaces, false);
        }
        // What a Druid needs goes where the Druid goes.
        let beside = DatabaseKind::ALL.into_iter();
        for kind in beside.filter(|kind| *kind == of || of == DatabaseKind::Druid) {
            add(of, &namespace, GROUP, kind.plural(), replaces, false);
        }
    }
    found
}

fn to_target(
    field: &str,
    target: &TypedObjectReference,
    own: &str,
    purpose: Purpose,
) -> Option<Reference> {
    (target.namespace_or(own) != own).then(|| Reference::new(field, purpose.need(target, own)))
}

fn to_secrets(field: &str, sessions: &[Session], own: &str) -> Vec<Reference> {
    let mut found = Vec::new();
    for (session_index, session) in sessions.iter().enumerate() {
        for (index, info) in session.repositories.iter().enumerate() {
            let field = format!("{field}[{session_index}].repositories[{index}].encryptionSecret");
            let secret = info.encryption_secret.as_ref();
            found.extend(
                secret.and_then(|secret| {
                    to_secret(&field, &secret.name, secret.namespace_or(own), own)
                }),
            );
        }
    }
    found
}

fn to_secret(field: &str, name: &str, namespace: &str, own: &str) -> Option<Reference> {
    (namespace != own).then(|| {
        Reference::new(
            field,
            Need::ReadSecret {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            },
        )
    })
}

/// The steps on the way to a target's database that go on to yet another namespace. `own` is the
/// namespace that the way begins in, and `field` the one that names the target.
#[must_use]
pub(crate) fn along(
    field: &str,
    target: &TypedObjectReference,
    source: &Source,
    own: &str,
    purpose: Purpose,
) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut from = target.namespace_or(own).to_owned();
    for step in source.steps() {
        let to = step.namespace_or(own).to_owned();
        if to != from && to != own {
            let field = format!(
                "{field} ({} {}/{} on the way to its data)",
                step.kind(),
                to,
                step.name
            );
            found.push(Reference {
                behind: true,
                ..Reference::new(field, purpose.need(&step, own))
            });
        }
        from = to;
    }
    found
}

/// The name that a kind of object has in messages.
pub(super) fn kind_of<K: Resource<DynamicType = ()>>() -> String {
    K::kind(&()).into_owned()
}

#[cfg(test)]
mod tests;
