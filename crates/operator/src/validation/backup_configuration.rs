//! BackupConfiguration: names that are unique, references that lead somewhere, directories that
//! belong to one.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kubestash_api::core::{BackupConfiguration, Session};
use kubestash_api::shared::{
    BackendReference, HookInfo, ObjectReference, RepositoryInfo, TypedObjectReference,
};
use kubestash_domain::catalog::Direction;
use kubestash_domain::layout;
use kubestash_domain::schedule::Schedule;

use super::task_parameters::task_parameters;
use super::usage::refusal;
use super::{Others, Violation, allows, directories, names};

/// Judges a BackupConfiguration.
#[must_use]
pub(crate) fn backup_configuration(
    object: &BackupConfiguration,
    others: &Others,
) -> Vec<Violation> {
    let namespace = object.namespace().unwrap_or_default();
    let rules = Rules {
        object,
        namespace: &namespace,
        others,
    };
    let mut violations = rules.backends();
    violations.extend(rules.sessions());
    violations.extend(names::violations(
        "spec",
        Some(&object.name_any()),
        &object.spec.sessions,
    ));
    violations.extend(rules.directories());
    violations.extend(directories::of_configuration(object, others));
    violations.extend(rules.usage());
    violations
}

/// The reference that stands for "no target", as in the Repositories of a backup of cluster
/// resources.
#[must_use]
pub(crate) fn effective_target(object: &BackupConfiguration) -> TypedObjectReference {
    object
        .spec
        .target
        .clone()
        .unwrap_or_else(|| TypedObjectReference {
            api_group: Some("na".to_owned()),
            kind: Some(String::new()),
            name: "na".to_owned(),
            namespace: None,
        })
}

struct Rules<'a> {
    object: &'a BackupConfiguration,
    namespace: &'a str,
    others: &'a Others,
}

impl Rules<'_> {
    fn backends(&self) -> Vec<Violation> {
        let backends = &self.object.spec.backends;
        let mut violations = Vec::new();
        if backends.is_empty() {
            violations.push(Violation::new(
                "spec.backends",
                "backend can not be empty: name a BackupStorage, \
                 or mark one with 'default: true' that this namespace may use",
            ));
        }
        let mut names = BTreeSet::new();
        for (index, backend) in backends.iter().enumerate() {
            let field = format!("spec.backends[{index}]");
            if !names.insert(&backend.name) {
                violations.push(Violation::new(
                    format!("{field}.name"),
                    format!(
                        "duplicate backend name found: {:?}, choose a different one",
                        backend.name
                    ),
                ));
            }
            if backend.retention_policy.is_none() {
                violations.push(Violation::new(
                    format!("{field}.retentionPolicy"),
                    format!(
                        "no RetentionPolicy is found for backend {:?}: name one, \
                         or mark one with 'default: true' that this namespace may use",
                        backend.name
                    ),
                ));
            }
            if backend.storage_ref.is_none() {
                violations.push(Violation::new(
                    format!("{field}.storageRef"),
                    format!(
                        "no storage reference is found for backend {:?}: name a BackupStorage",
                        backend.name
                    ),
                ));
            }
        }
        violations
    }

    fn sessions(&self) -> Vec<Violation> {
        let sessions = &self.object.spec.sessions;
        let mut violations = Vec::new();
        if sessions.is_empty() {
            violations.push(Violation::new(
                "spec.sessions",
                "sessions can not be empty: give at least one",
            ));
        }
        let mut names = BTreeSet::new();
        for (index, session) in sessions.iter().enumerate() {
            let field = format!("spec.sessions[{index}]");
            if session.name.is_empty() {
                violations.push(Violation::new(
                    format!("{field}.name"),
                    "session name can not be empty: give one",
                ));
            } else if !names.insert(&session.name) {
                violations.push(Violation::new(
                    format!("{field}.name"),
                    format!(
                        "duplicate session name found: {:?}, choose a different one",
                        session.name
                    ),
                ));
            }
            violations.extend(self.session(&field, session));
        }
        violations
    }

    fn session(&self, field: &str, session: &Session) -> Vec<Violation> {
        let mut violations = Vec::new();
        match &session.scheduler {
            None => violations.push(Violation::new(
                format!("{field}.scheduler"),
                format!(
                    "scheduler is empty for session {:?}: give its schedule",
                    session.name
                ),
            )),
            Some(scheduler) => {
                if let Err(error) = Schedule::parse(&scheduler.schedule) {
                    violations.push(Violation::new(
                        format!("{field}.scheduler.schedule"),
                        error.to_string(),
                    ));
                }
            }
        }
        violations.extend(addon(field, session));
        violations.extend(session.addon.iter().flat_map(|info| {
            task_parameters(
                &format!("{field}.addon"),
                info,
                Direction::Backup,
                self.others,
            )
        }));
        if session.repositories.is_empty() {
            violations.push(Violation::new(
                format!("{field}.repositories"),
                format!(
                    "no repository found for session {:?}: provide at least one",
                    session.name
                ),
            ));
        }
        let mut names = BTreeSet::new();
        for (index, repository) in session.repositories.iter().enumerate() {
            let field = format!("{field}.repositories[{index}]");
            if repository.name.is_empty() {
                violations.push(Violation::new(
                    format!("{field}.name"),
                    "repository name can not be empty: give one",
                ));
            } else if !names.insert(&repository.name) {
                violations.push(Violation::new(
                    format!("{field}.name"),
                    format!(
                        "duplicate repository name found: {:?}, choose a different one",
                        repository.name
                    ),
                ));
            }
            violations.extend(self.repository(&field, repository));
        }
        violations
    }

    fn backend_of(&self, repository: &RepositoryInfo) -> Option<&BackendReference> {
        self.object
            .spec
            .backends
            .iter()
            .find(|backend| backend.name == repository.backend)
    }

    fn storage_of(&self, repository: &RepositoryInfo) -> Option<&ObjectReference> {
        self.backend_of(repository)?.storage_ref.as_ref()
    }

    fn repository(&self, field: &str, info: &RepositoryInfo) -> Vec<Violation> {
        let mut violations = Vec::new();
        if self.backend_of(info).is_none() {
            violations.push(Violation::new(
                format!("{field}.backend"),
                format!(
                    "backend {:?} for repository {:?} does not match any of the given backends: use the name of one",
                    info.backend, info.name
                ),
            ));
        }
        if info.directory.is_empty() {
            violations.push(Violation::new(
                format!("{field}.directory"),
                format!(
                    "directory is not provided for repository {:?}: provide one",
                    info.name
                ),
            ));
        }
        let existing = self.others.repositories.iter().find(|existing| {
            existing.namespace().as_deref() == Some(self.namespace)
                && existing.name_any() == info.name
        });
        let Some(existing) = existing else {
            return violations;
        };
        let target = effective_target(self.object);
        if !existing
            .spec
            .app_ref
            .as_ref()
            .is_some_and(|other| other.same_object(&target, self.namespace))
        {
            violations.push(Violation::new(
                format!("{field}.name"),
                format!(
                    "repository {:?} already exists in the cluster with a different target reference ({}): \
                     choose a different repository name",
                    info.name,
                    described(existing.spec.app_ref.as_ref(), self.namespace)
                ),
            ));
        }
        let same_storage = match (self.storage_of(info), &existing.spec.storage_ref) {
            (Some(ours), Some(theirs)) => ours.same_object(theirs, self.namespace),
            // What is missing is told above.
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !same_storage {
            violations.push(Violation::new(
                format!("{field}.name"),
                format!(
                    "repository {:?} already exists in the cluster with a different storage reference: \
                     choose a different repository name",
                    info.name
                ),
            ));
        }
        if existing.spec.path != info.directory
            && !layout::same_directory(&existing.spec.path, &info.directory)
        {
            violations.push(Violation::new(
                format!("{field}.directory"),
                format!(
                    "repository {:?} already exists in the cluster in the directory {:?}, which cannot change: \
                     use that one, or choose a different repository name",
                    info.name, existing.spec.path
                ),
            ));
        }
        violations
    }

    /// A directory of a storage belongs to one Repository, here and in the cluster.
    fn directories(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut owners: BTreeMap<(String, String, String), &str> = BTreeMap::new();
        for (session_index, session) in self.object.spec.sessions.iter().enumerate() {
            for (index, info) in session.repositories.iter().enumerate() {
                let field =
                    format!("spec.sessions[{session_index}].repositories[{index}].directory");
                let Some(storage) = self.storage_of(info) else {
                    continue;
                };
                if info.directory.is_empty() {
                    continue;
                }
                let key = (
                    storage.namespace_or(self.namespace).to_owned(),
                    storage.name.clone(),
                    layout::repository_dir(&info.directory),
                );
                let first = owners.entry(key).or_insert(&info.name);
                if *first != info.name {
                    violations.push(Violation::new(
                        &field,
                        format!(
                            "repository {first:?} is already using the directory {:?}: \
                             choose a different directory for repository {:?}",
                            info.directory, info.name
                        ),
                    ));
                }
                violations.extend(self.taken(&field, info, storage));
            }
        }
        violations
    }

    fn taken(
        &self,
        field: &str,
        info: &RepositoryInfo,
        storage: &ObjectReference,
    ) -> Option<Violation> {
        let owner = self.others.repositories.iter().find(|existing| {
            let namespace = existing.namespace().unwrap_or_default();
            let same_repository = namespace == self.namespace && existing.name_any() == info.name;
            let same_storage = existing.spec.storage_ref.as_ref().is_some_and(|other| {
                other.name == storage.name
                    && other.namespace_or(&namespace) == storage.namespace_or(self.namespace)
            });
            !same_repository
                && same_storage
                && layout::same_directory(&existing.spec.path, &info.directory)
        })?;
        Some(Violation::new(
            field,
            format!(
                "repository {}/{} already exists in the cluster with the same directory {:?}: \
                 choose a different directory for repository {:?}",
                owner.namespace().unwrap_or_default(),
                owner.name_any(),
                info.directory,
                info.name
            ),
        ))
    }

    fn usage(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (index, backend) in self.object.spec.backends.iter().enumerate() {
            let field = format!("spec.backends[{index}]");
            if let Some(reference) = &backend.storage_ref {
                violations.extend(storage_usage(
                    &format!("{field}.storageRef"),
                    reference,
                    self.namespace,
                    self.others,
                ));
            }
            if let Some(reference) = &backend.retention_policy {
                violations
                    .extend(self.policy_usage(&format!("{field}.retentionPolicy"), reference));
            }
        }
        for (index, session) in self.object.spec.sessions.iter().enumerate() {
            let Some(hooks) = &session.hooks else {
                continue;
            };
            let field = format!("spec.sessions[{index}].hooks");
            violations.extend(hook_usage(
                &format!("{field}.preBackup"),
                &hooks.pre_backup,
                self.namespace,
                self.others,
            ));
            violations.extend(hook_usage(
                &format!("{field}.postBackup"),
                &hooks.post_backup,
                self.namespace,
                self.others,
            ));
        }
        violations
    }

    fn policy_usage(&self, field: &str, reference: &ObjectReference) -> Option<Violation> {
        let owner = reference.namespace_or(self.namespace);
        let found = self.others.policies.iter().find(|candidate| {
            candidate.name_any() == reference.name
                && candidate.namespace().as_deref() == Some(owner)
        })?;
        let allowed = allows(
            found.spec.usage_policy.as_ref(),
            owner,
            self.namespace,
            &self.others.namespace_labels,
        );
        (!allowed).then(|| {
            Violation::new(
                field,
                refusal("RetentionPolicy", owner, &reference.name, self.namespace),
            )
        })
    }
}

fn addon(field: &str, session: &Session) -> Vec<Violation> {
    let field = format!("{field}.addon");
    let Some(addon) = &session.addon else {
        return vec![Violation::new(
            field,
            format!(
                "addon info is empty for session {:?}: provide the addon and its tasks",
                session.name
            ),
        )];
    };
    let mut violations = Vec::new();
    if addon.name.is_empty() {
        violations.push(Violation::new(
            format!("{field}.name"),
            format!(
                "addon name is empty for session {:?}: provide a valid one",
                session.name
            ),
        ));
    }
    if addon.tasks.is_empty() {
        violations.push(Violation::new(
            format!("{field}.tasks"),
            format!(
                "addon tasks are not provided for session {:?}: provide at least one",
                session.name
            ),
        ));
    }
    for (index, task) in addon.tasks.iter().enumerate() {
        if task.name.is_empty() {
            violations.push(Violation::new(
                format!("{field}.tasks[{index}].name"),
                format!(
                    "addon task name is empty for session {:?}: provide a valid one",
                    session.name
                ),
            ));
        }
    }
    violations
}

/// Whether `namespace` may use the BackupStorage it names; one that does not exist is no violation.
pub(super) fn storage_usage(
    field: &str,
    reference: &ObjectReference,
    namespace: &str,
    others: &Others,
) -> Option<Violation> {
    let owner = reference.namespace_or(namespace);
    let found = others.storages.iter().find(|candidate| {
        candidate.name_any() == reference.name && candidate.namespace().as_deref() == Some(owner)
    })?;
    let allowed = allows(
        found.spec.usage_policy.as_ref(),
        owner,
        namespace,
        &others.namespace_labels,
    );
    (!allowed).then(|| {
        Violation::new(
            field,
            refusal("BackupStorage", owner, &reference.name, namespace),
        )
    })
}

/// Whether `namespace` may use the HookTemplates it names; one that does not exist is no violation.
pub(super) fn hook_usage(
    field: &str,
    hooks: &[HookInfo],
    namespace: &str,
    others: &Others,
) -> Vec<Violation> {
    let judge = |(index, hook): (usize, &HookInfo)| {
        let reference = hook.hook_template.as_ref()?;
        let owner = reference.namespace_or(namespace);
        let found = others.hook_templates.iter().find(|candidate| {
            candidate.name_any() == reference.name
                && candidate.namespace().as_deref() == Some(owner)
        })?;
        let allowed = allows(
            found.spec.usage_policy.as_ref(),
            owner,
            namespace,
            &others.namespace_labels,
        );
        (!allowed).then(|| {
            Violation::new(
                format!("{field}[{index}].hookTemplate"),
                refusal("HookTemplate", owner, &reference.name, namespace),
            )
        })
    };
    hooks.iter().enumerate().filter_map(judge).collect()
}

fn described(target: Option<&TypedObjectReference>, namespace: &str) -> String {
    match target {
        Some(target) => format!(
            "{} {}/{}",
            target.kind(),
            target.namespace_or(namespace),
            target.name
        ),
        None => "no target".to_owned(),
    }
}

#[cfg(test)]
mod tests;
