//! What is to be done for one target: pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::shared::{ConditionStatus, TypedObjectReference};
use kubestash_api::{conditions, labels};
use kubestash_domain::{condition, name, usage};

use super::permit::{self, Permits};
use super::refusal::Refusal;
use super::render::{Rendered, render};
use super::request::Request;

/// An object that may carry the annotations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Kind of the annotated object, such as `AppBinding`: the first part of the configuration's
    /// name.
    pub kind: String,
    /// Name of the annotated object.
    pub name: String,
    /// Namespace of the annotated object.
    pub namespace: String,
    /// What is to be backed up: the database behind an AppBinding, else the object itself.
    pub reference: TypedObjectReference,
    /// What its annotations ask for.
    pub request: Option<Request>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// Everything a decision depends on.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The target.
    pub target: Target,
    /// Labels of the target's namespace.
    pub namespace_labels: std::collections::BTreeMap<String, String>,
    /// The namespaces in which something can be created.
    pub namespaces: BTreeSet<String>,
    /// The blueprint that the annotations name.
    pub blueprint: Option<Arc<BackupBlueprint>>,
    /// Every configuration, of any owner, that has a name made for this target.
    pub configurations: Vec<Arc<BackupConfiguration>>,
    /// Who has allowed what.
    pub permits: Permits,
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The configuration to make or to change.
    pub apply: Option<Desired>,
    /// The configuration that is as it should be.
    pub unchanged: Option<Desired>,
    /// Configurations made for this target that are not wanted any more.
    pub delete: Vec<Arc<BackupConfiguration>>,
    /// What the user has to know.
    pub refusal: Option<Refusal>,
}

/// A configuration as the blueprint wants it.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    /// The fields that the blueprint gives, and no others.
    pub object: BackupConfiguration,
    /// The configuration there is.
    pub live: Option<Arc<BackupConfiguration>>,
}

/// Decides what to do for a target.
///
/// A refusal never removes anything: what was made before goes on. Only taking the annotations
/// away, or a blueprint that makes it elsewhere, removes a configuration that was made for this
/// target.
#[must_use]
pub(super) fn decide(world: &World) -> Plan {
    let World { target, .. } = world;
    if target.deleting {
        // A configuration outlives its target; its own status says that the target is gone.
        return Plan::default();
    }
    let Some(request) = &target.request else {
        return Plan {
            delete: generated(world, None),
            ..Plan::default()
        };
    };
    match desired(world, request) {
        Err(refusal) => Plan {
            refusal: Some(refusal),
            ..Plan::default()
        },
        Ok(desired) => {
            let key = (
                desired.object.namespace().unwrap_or_default(),
                desired.object.name_any(),
            );
            let delete = generated(world, Some(&key));
            let refusal = desired.live.as_deref().and_then(not_ready);
            let unchanged = desired
                .live
                .as_deref()
                .is_some_and(|live| says_already(live, &desired.object));
            let (apply, unchanged) = match unchanged {
                true => (None, Some(desired)),
                false => (Some(desired), None),
            };
            Plan {
                apply,
                unchanged,
                delete,
                refusal,
            }
        }
    }
}

fn desired(world: &World, request: &Request) -> Result<Desired, Refusal> {
    let target = &world.target;
    let blueprint_name = format!("{}/{}", request.namespace, request.blueprint);
    let blueprint = world
        .blueprint
        .as_deref()
        .filter(|blueprint| blueprint.meta().deletion_timestamp.is_none())
        .ok_or_else(|| Refusal::BlueprintNotFound(blueprint_name.clone()))?;
    let policy = blueprint
        .spec
        .usage_policy
        .as_ref()
        .and_then(|policy| policy.allowed_namespaces.as_ref());
    let allowed = usage::is_allowed(
        policy.map(|policy| policy.from.as_str()),
        policy.and_then(|policy| policy.selector.as_ref()),
        &request.namespace,
        &target.namespace,
        &world.namespace_labels,
    );
    if !allowed {
        return Err(Refusal::BlueprintNotAllowed {
            blueprint: blueprint_name,
            namespace: target.namespace.clone(),
        });
    }
    if !is_subject(blueprint, target) {
        let kinds = blueprint
            .spec
            .subjects
            .iter()
            .filter_map(|subject| subject.kind.as_deref());
        return Err(Refusal::SubjectNotAllowed {
            blueprint: blueprint_name,
            kind: target.reference.kind().to_owned(),
            kinds: kinds.collect::<Vec<_>>().join(", "),
        });
    }
    let rendered = render(blueprint, request, &target.reference)?;
    if !world.namespaces.contains(&rendered.namespace) {
        return Err(Refusal::NamespaceNotFound {
            blueprint: blueprint_name,
            namespace: rendered.namespace,
        });
    }
    let mut object = object(target, request, blueprint, rendered);
    let grant = permit::grant(&world.permits, blueprint, target, &object)?;
    let live = world.configurations.iter().find(|found| {
        found.name_any() == object.name_any() && found.namespace() == object.namespace()
    });
    match live {
        Some(live) if !is_generated(live, target) => Err(Refusal::NameTaken(format!(
            "{}/{}",
            live.namespace().unwrap_or_default(),
            live.name_any()
        ))),
        live => {
            if let Some(grant) = &grant {
                permit::attach(&world.permits, grant, &mut object, live.map(AsRef::as_ref));
            }
            Ok(Desired {
                object,
                live: live.cloned(),
            })
        }
    }
}

/// Whether a blueprint is for targets of this kind: the annotated object's, or that of the database
/// behind it.
fn is_subject(blueprint: &BackupBlueprint, target: &Target) -> bool {
    let subjects = &blueprint.spec.subjects;
    let group = |version: &str| {
        version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned()
    };
    subjects.is_empty()
        || subjects.iter().any(|subject| {
            let kind = subject.kind.as_deref();
            let same_group = subject
                .api_version
                .as_deref()
                .is_none_or(|version| group(version) == target.reference.group());
            kind == Some(target.kind.as_str())
                || (kind == Some(target.reference.kind()) && same_group)
        })
}

fn object(
    target: &Target,
    request: &Request,
    blueprint: &BackupBlueprint,
    rendered: Rendered,
) -> BackupConfiguration {
    let name = name::generated_configuration(
        &target.kind,
        &target.name,
        &target.namespace,
        &rendered.namespace,
    );
    let mut object = BackupConfiguration::new(&name, rendered.spec);
    object.metadata.namespace = Some(rendered.namespace);
    let labels = object.labels_mut();
    labels.extend(blueprint.labels().clone());
    labels.insert(
        labels::MANAGED_BY.to_owned(),
        labels::MANAGED_BY_KUBESTASH.to_owned(),
    );
    labels.insert(labels::INVOKER_NAME.to_owned(), request.blueprint.clone());
    labels.insert(
        labels::INVOKER_NAMESPACE.to_owned(),
        request.namespace.clone(),
    );
    object
}

/// Whether `found` was made from a blueprint for this target: by its labels and its target, never
/// by its name alone.
#[must_use]
pub(crate) fn is_generated(found: &BackupConfiguration, target: &Target) -> bool {
    let namespace = found.namespace().unwrap_or_default();
    is_from_blueprint(found)
        && found.name_any()
            == name::generated_configuration(
                &target.kind,
                &target.name,
                &target.namespace,
                &namespace,
            )
        && found
            .spec
            .target
            .as_ref()
            .is_some_and(|other| other.same_object(&target.reference, &namespace))
}

/// Whether a configuration carries the labels that only a blueprint gives.
#[must_use]
pub(crate) fn is_from_blueprint(found: &BackupConfiguration) -> bool {
    let labels = found.labels();
    labels.get(labels::MANAGED_BY).map(String::as_str) == Some(labels::MANAGED_BY_KUBESTASH)
        && labels.contains_key(labels::INVOKER_NAME)
        && labels.contains_key(labels::INVOKER_NAMESPACE)
}

/// The configuration that was made for the target before and goes on, whatever its annotations ask
/// for now.
pub(super) fn standing(world: &World) -> Option<Arc<BackupConfiguration>> {
    generated(world, None).into_iter().next()
}

fn generated(world: &World, except: Option<&(String, String)>) -> Vec<Arc<BackupConfiguration>> {
    let key =
        |found: &BackupConfiguration| (found.namespace().unwrap_or_default(), found.name_any());
    world
        .configurations
        .iter()
        .filter(|found| is_generated(found, &world.target) && except != Some(&key(found)))
        .filter(|found| found.meta().deletion_timestamp.is_none())
        .cloned()
        .collect()
}

/// Whether the live object has the labels and, exactly, the fields that the blueprint gives.
pub(super) fn says_already(live: &BackupConfiguration, desired: &BackupConfiguration) -> bool {
    let grant = |object: &BackupConfiguration| {
        object
            .annotations()
            .get(labels::GRANTED_REFERENCES)
            .cloned()
    };
    grant(desired).is_none_or(|wanted| grant(live) == Some(wanted))
        && live.spec.target == desired.spec.target
        && live.spec.backends == desired.spec.backends
        && live.spec.sessions == desired.spec.sessions
        && desired
            .labels()
            .iter()
            .all(|(key, value)| live.labels().get(key) == Some(value))
}

/// What keeps the configuration from running, if its status says so for its present spec.
fn not_ready(live: &BackupConfiguration) -> Option<Refusal> {
    let status = live.status.as_ref()?;
    if status.observed_generation != live.meta().generation
        || live.meta().deletion_timestamp.is_some()
    {
        return None;
    }
    let ready = condition::find(&status.conditions, conditions::READY)?;
    // Unknown means that something has yet to be looked at, which is not worth telling.
    (ready.status == ConditionStatus::False).then(|| Refusal::NotReady {
        configuration: format!(
            "{}/{}",
            live.namespace().unwrap_or_default(),
            live.name_any()
        ),
        message: ready.message.clone(),
    })
}

#[cfg(test)]
mod tests;
