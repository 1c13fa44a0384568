//! A blueprint with its variables filled in: pure.
//!
//! Invariant: a value can change the string that its variable stands in, and nothing else of the
//! document.

use kubestash_api::core::{BackupBlueprint, BackupConfigurationSpec};
use kubestash_api::shared::TypedObjectReference;
use kubestash_domain::variables::{self, VariableError};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::request::Request;

/// What a blueprint says for one target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rendered {
    /// The namespace the configuration goes to.
    pub namespace: String,
    /// The fields of the configuration that the blueprint gives. `paused` is the user's and never
    /// among them.
    pub spec: BackupConfigurationSpec,
}

/// Fills in the template of `blueprint`, which lies in `request.namespace`, for `target`.
///
/// # Errors
/// With the reason why this blueprint cannot serve this target.
pub(super) fn render(
    blueprint: &BackupBlueprint,
    request: &Request,
    target: &TypedObjectReference,
) -> Result<Rendered, Refusal> {
    let blueprint_name = format!("{}/{}", request.namespace, request.blueprint);
    let Some(template) = &blueprint.spec.backup_configuration_template else {
        return Err(Refusal::TemplateMissing(blueprint_name));
    };
    let invalid = |source| Refusal::TemplateInvalid {
        blueprint: blueprint_name.clone(),
        source,
    };
    let known: Vec<&str> = template
        .sessions
        .iter()
        .map(|session| session.name.as_str())
        .collect();
    if let Some(wanted) = &request.sessions {
        let missing: Vec<_> = wanted
            .iter()
            .filter(|name| !known.contains(&name.as_str()))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(Refusal::SessionNotFound {
                blueprint: blueprint_name,
                wanted: missing.join(", "),
                known: known.join(", "),
            });
        }
    }
    // Only the sessions that are wanted are filled in: the variables of the others need no values.
    let sessions: Vec<_> = template
        .sessions
        .iter()
        .filter(|session| {
            request
                .sessions
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&session.name))
        })
        .collect();
    let mut document = json!({ "backends": template.backends, "sessions": sessions });
    let mut namespace = Value::String(template.namespace.clone().unwrap_or_default());
    let filled = variables::expand_all(&mut document, &request.variables);
    let filled = merge(
        filled,
        variables::expand_all(&mut namespace, &request.variables),
    );
    filled.map_err(|source| Refusal::Variables {
        blueprint: blueprint_name.clone(),
        remedy: remedy(&source),
        source,
    })?;
    let mut spec: BackupConfigurationSpec = serde_json::from_value(document).map_err(invalid)?;
    spec.target = Some(target.clone());
    spec.paused = None;
    let namespace = namespace
        .as_str()
        .filter(|name| !name.is_empty())
        .unwrap_or(&request.namespace);
    Ok(Rendered {
        namespace: namespace.to_owned(),
        spec,
    })
}

/// Both outcomes as one, so that all missing variables are told at once.
fn merge(
    one: Result<(), VariableError>,
    other: Result<(), VariableError>,
) -> Result<(), VariableError> {
    match (one, other) {
        (Err(VariableError::Unknown(mut one)), Err(VariableError::Unknown(other))) => {
            one.extend(other);
            Err(VariableError::Unknown(one))
        }
        (one, other) => one.and(other),
    }
}

fn remedy(error: &VariableError) -> String {
    match error {
        VariableError::Unknown(names) => {
            let keys: Vec<_> = names
                .iter()
                .map(|name| format!("variables.kubestash.com/{name}"))
                .collect();
            format!(
                "; set the annotation {}, or give a default as in ${{name:=default}}",
                keys.join(", ")
            )
        }
        VariableError::Syntax(..) => String::new(),
    }
}
