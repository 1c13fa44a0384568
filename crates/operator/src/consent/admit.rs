//! Admission: the author's rights are asked for, and what he may do is written on the object.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, Operation};
use kubestash_api::core::{BackupBlueprint, BackupConfiguration, RestoreSession};
use kubestash_api::labels;
use kubestash_api::storage::Repository;
use serde::Deserialize;
use serde_json::{Value, json};

use super::check::{self, LookError, named};
use super::references::Restored;
use super::rights::{self, Facts};
use super::verdict::{self, Named};
use super::{Grant, Need, Reference, Subject, ask, owner, references};
use crate::context::Context;
use crate::controllers::backupconfiguration::{self, target};
use crate::controllers::backupsession::{Source, way};
use crate::controllers::{backupblueprint, backupstorage, restoresession};
use crate::runtime::apply::Manager;
use crate::validation::Violation;
use crate::validation::kinds::Kind;

/// The field managers under which the operator writes what refers to something. Whoever takes one
/// of these names for his own requests only loses the chance to be granted anything.
const MANAGERS: [Manager; 4] = [
    backupblueprint::MANAGER,
    backupconfiguration::MANAGER,
    restoresession::MANAGER,
    backupstorage::READ_BACK,
];

/// An object with everything it refers to.
struct Looked {
    subject: Subject,
    named: Named,
    references: Vec<Reference>,
    source: Option<Source>,
    repository: Option<Repository>,
}

/// Whether objects of a kind refer to other namespaces by anything but a usage policy.
pub(crate) fn concerns(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::BackupConfiguration | Kind::BackupBlueprint | Kind::RestoreSession | Kind::Repository
    )
}

/// Writes on `after`, which is `sent` with its defaults, what its author may refer to; returns what
/// he may not.
///
/// # Errors
/// When the API server does not say what is referred to, or whether the user has the right.
pub(crate) async fn admit(
    ctx: &Context,
    kind: Kind,
    request: &AdmissionRequest<DynamicObject>,
    sent: &Value,
    after: &mut Value,
) -> Result<Vec<Violation>, LookError> {
    let old = request
        .old_object
        .as_ref()
        .and_then(|old| serde_json::to_value(old).ok());
    let incoming = annotation(after);
    let kept = old.as_ref().and_then(annotation);
    let same_spec = old
        .as_ref()
        .is_some_and(|old| old.get("spec") == after.get("spec"));
    // Somebody asks for a new look by writing the annotation; to leave it out, as a replacement
    // does, is no such wish.
    let is_asked = old.is_some() && incoming.is_some() && incoming != kept;
    if same_spec && !is_asked {
        write(after, kept);
        return Ok(Vec::new());
    }
    let Some(looked) = look(ctx, kind, after).await? else {
        // It does not even parse; that is told where it is validated.
        return Ok(Vec::new());
    };
    if let Some(grant) = pinned(ctx, kind, sent, &looked.subject) {
        write(after, Some(grant));
        return Ok(Vec::new());
    }
    let author = Author {
        user: &request.user_info,
        is_operator: is_operator(ctx, request),
        asks: is_asked || request.operation == Operation::Create,
    };
    let before = match &old {
        Some(old) if !looked.references.is_empty() => look(ctx, kind, old).await?,
        _ => None,
    };
    let (granted, violations) = judge(ctx, &looked, before.as_ref(), &author).await?;
    if !violations.is_empty() {
        return Ok(violations);
    }
    let before = before
        .as_ref()
        .and_then(|before| Grant::of(&before.subject, &ctx.grants));
    let grant = Grant {
        needs: granted,
        pinned: false,
    };
    // Nothing is written anew when nothing new was granted.
    let text = if grant.needs.is_empty() {
        None
    } else if before.as_ref() == Some(&grant) {
        kept
    } else {
        Some(grant.sign(&looked.subject, &ctx.grants, Timestamp::now()))
    };
    write(after, text);
    Ok(Vec::new())
}

struct Author<'a> {
    user: &'a UserInfo,
    /// The operator is never an author: it writes what others have asked for.
    is_operator: bool,
    /// Whether also references are looked at that the object had before.
    asks: bool,
}

/// What the object may do, and what its author may not refer to.
async fn judge(
    ctx: &Context,
    looked: &Looked,
    before: Option<&Looked>,
    author: &Author<'_>,
) -> Result<(BTreeSet<Need>, Vec<Violation>), LookError> {
    let own = looked.subject.namespace();
    let had: BTreeSet<&Need> = before
        .into_iter()
        .flat_map(|before| &before.references)
        .map(|reference| &reference.need)
        .collect();
    let kept = before
        .and_then(|before| Grant::of(&before.subject, &ctx.grants))
        // The operator's own holds for what the operator wrote.
        .filter(|grant| !grant.pinned)
        .map(|grant| grant.needs)
        .unwrap_or_default();
    let (mut granted, mut violations) = (BTreeSet::new(), Vec::new());
    // Who is refused something is not told, either, what it leads to.
    let mut closed = false;
    for reference in &looked.references {
        let need = &reference.need;
        if kept.contains(need) {
            granted.insert(need.clone());
            continue;
        }
        if reference.behind && closed {
            continue;
        }
        let is_new = author.asks || !had.contains(need);
        if granted.contains(need)
            || author.is_operator
            || !is_new
            || owner::consented(ctx, need, own)
        {
            continue;
        }
        let wanted = rights::of(need, &facts(ctx, looked, need).await?);
        let may = ask::has_all(&ctx.client, author.user, &wanted)
            .await
            .map_err(|error| LookError::Review(Box::new(error)))?;
        if may {
            granted.insert(need.clone());
        } else if reference.required {
            closed = true;
            let name = author.user.username.as_deref().unwrap_or("the user");
            violations.push(verdict::denial(&looked.named, name, reference));
        }
    }
    Ok((granted, violations))
}

/// The annotation with a grant that the operator itself made for exactly this object, as it was
/// sent or as it is after its defaults were filled in.
fn pinned(ctx: &Context, kind: Kind, sent: &Value, after: &Subject) -> Option<String> {
    let genuine = |subject: &Subject| Grant::of(subject, &ctx.grants).filter(|grant| grant.pinned);
    if genuine(after).is_some() {
        return after.annotation().map(str::to_owned);
    }
    let sent = match kind {
        Kind::BackupConfiguration => Subject::of(&BackupConfiguration::deserialize(sent).ok()?),
        _ => return None,
    };
    let grant = genuine(&sent)?;
    Some(grant.sign(after, &ctx.grants, Timestamp::now()))
}

fn is_operator(ctx: &Context, request: &AdmissionRequest<DynamicObject>) -> bool {
    let manager = request
        .options
        .as_ref()
        .and_then(|options| options.0.get("fieldManager"))
        .and_then(Value::as_str);
    manager.is_some_and(|manager| MANAGERS.iter().any(|own| own.0 == manager))
        || (ctx.account.is_some() && ctx.account == request.user_info.username)
}

async fn look(ctx: &Context, kind: Kind, object: &Value) -> Result<Option<Looked>, LookError> {
    Ok(match kind {
        Kind::BackupConfiguration => match BackupConfiguration::deserialize(object) {
            Ok(object) => {
                let source = check::source_of(ctx, &object).await?;
                Some(Looked {
                    subject: Subject::of(&object),
                    named: named(&object),
                    references: check::of_configuration(&object, source.as_ref()),
                    source,
                    repository: None,
                })
            }
            Err(_) => None,
        },
        Kind::RestoreSession => match RestoreSession::deserialize(object) {
            Ok(object) => Some(look_at_restore(ctx, &object).await?),
            Err(_) => None,
        },
        Kind::BackupBlueprint => BackupBlueprint::deserialize(object)
            .ok()
            .map(|object| Looked {
                subject: Subject::of(&object),
                named: named(&object),
                references: references::of_blueprint(&object),
                source: None,
                repository: None,
            }),
        Kind::Repository => Repository::deserialize(object).ok().map(|object| Looked {
            subject: Subject::of(&object),
            named: named(&object),
            references: references::of_repository(&object),
            source: None,
            repository: None,
        }),
        Kind::BackupStorage | Kind::RetentionPolicy | Kind::HookTemplate => None,
    })
}

async fn look_at_restore(ctx: &Context, object: &RestoreSession) -> Result<Looked, LookError> {
    let own = object.namespace().unwrap_or_default();
    let (snapshot, repository) = check::restored_by(ctx, object).await?;
    let restored = Restored {
        snapshot: snapshot.as_ref(),
        repository: repository.as_ref(),
    };
    let source = match references::restore_target(object, restored) {
        Some((_, target)) => Some(way(ctx, &target, &own).await?),
        None => None,
    };
    Ok(Looked {
        subject: Subject::of(object),
        named: named(object),
        references: check::of_restore(object, restored, source.as_ref()),
        source,
        repository,
    })
}

async fn facts(ctx: &Context, looked: &Looked, need: &Need) -> Result<Facts, LookError> {
    Ok(match need {
        Need::BackUp {
            group,
            kind,
            namespace,
            name,
        }
        | Need::RestoreInto {
            group,
            kind,
            namespace,
            name,
        } => {
            let reference =
                kubestash_api::shared::TypedObjectReference::new(group, kind, name, namespace);
            let source = looked.source.as_ref();
            let whole = source.filter(|source| source.missing().is_empty());
            Facts {
                resource: target::plural(ctx, &reference).await?,
                // Those of a further namespace belong to the need that leads there.
                secrets: whole.map(|source| {
                    let secrets = source.secrets().into_iter();
                    secrets
                        .filter(|secret| secret.namespace == *namespace)
                        .map(|secret| (secret.namespace, secret.name))
                        .collect()
                }),
            }
        }
        Need::ReadData { .. } => {
            let repository = looked.repository.as_ref();
            Facts {
                resource: None,
                secrets: repository.map(|repository| {
                    let own = repository.namespace().unwrap_or_default();
                    let secret = repository.spec.encryption_secret.iter();
                    secret
                        .map(|secret| (secret.namespace_or(&own).to_owned(), secret.name.clone()))
                        .collect()
                }),
            }
        }
        _ => Facts::default(),
    })
}

fn annotation(object: &Value) -> Option<String> {
    let annotations = object.pointer("/metadata/annotations")?;
    let text = annotations.get(labels::GRANTED_REFERENCES)?.as_str()?;
    Some(text.to_owned())
}

/// Gives the object this annotation, or none.
fn write(object: &mut Value, text: Option<String>) {
    if annotation(object) == text {
        return;
    }
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    let Some(annotations) = annotations.as_object_mut() else {
        return;
    };
    match text {
        Some(text) => {
            annotations.insert(labels::GRANTED_REFERENCES.to_owned(), text.into());
        }
        None => {
            annotations.remove(labels::GRANTED_REFERENCES);
        }
    }
}
