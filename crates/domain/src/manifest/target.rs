//! Where the data of a Snapshot goes when the session names no target.

use kubestash_api::core::ManifestOptions;
use kubestash_api::shared::TypedObjectReference;

use super::DatabaseKind;
use super::choice::Choice;

/// The object that a Snapshot was taken of, under the name and in the namespace that `options` give
/// it.
#[must_use]
pub fn effective_target(
    app_ref: &TypedObjectReference,
    referrer: &str,
    options: &ManifestOptions,
) -> TypedObjectReference {
    let choice =
        DatabaseKind::of(app_ref.group(), app_ref.kind()).map(|kind| Choice::of(kind, options));
    let (namespace, name) =
        choice.map_or((None, None), |choice| (choice.namespace, choice.db_name));
    TypedObjectReference {
        namespace: Some(namespace.unwrap_or_else(|| app_ref.namespace_or(referrer).to_owned())),
        name: name.unwrap_or_else(|| app_ref.name.clone()),
        ..app_ref.clone()
    }
}
