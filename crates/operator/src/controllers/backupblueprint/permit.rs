//! Who has allowed what a BackupConfiguration would refer to that is made from a blueprint: pure.
//!
//! ```text
//!   BackupBlueprint ─ its author's grants ─► Secrets in other namespaces, the configuration's namespace
//!   annotated object ─ its owner's wish ───► the database beside it
//!   anything else ─ its owner's annotation ► itself
//! ```
//! The operator writes the configuration, but it is never the author: what none of these has
//! allowed is refused. What they have is signed for exactly the configuration that is written, so
//! that a change of it ends the consent.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::labels;

use super::decide::Target;
use super::refusal::Refusal;
use crate::consent::{Grant, Key, Need, Reference, Subject, references, verdict};
use crate::validation::sentence;

/// Says whether the owner of what a need is about lets objects of a namespace do it.
pub(super) type Consents = Arc<dyn Fn(&Need, &str) -> bool + Send + Sync>;

/// What permissions are judged by.
#[derive(Clone)]
pub(super) struct Permits {
    /// The key of grants.
    pub key: Arc<Key>,
    /// What owners have consented to.
    pub consents: Consents,
    /// The time.
    pub now: Timestamp,
}

impl fmt::Debug for Permits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permits").finish_non_exhaustive()
    }
}

/// What `object`, made from `blueprint` for `target`, may refer to.
///
/// # Errors
/// With what nobody has allowed.
pub(super) fn grant(
    permits: &Permits,
    blueprint: &BackupBlueprint,
    target: &Target,
    object: &BackupConfiguration,
) -> Result<Option<Grant>, Refusal> {
    let own = object.namespace().unwrap_or_default();
    let home = blueprint.namespace().unwrap_or_default();
    let is_beside = target.reference.namespace_or(&target.namespace) == target.namespace;
    let mut wanted = references::of_configuration(object);
    let by_owner: BTreeSet<Need> = wanted
        .iter()
        .map(|reference| reference.need.clone())
        .filter(|need| is_beside && matches!(need, Need::BackUp { .. }))
        .collect();
    if own != home && own != target.namespace {
        let namespace = own.clone();
        wanted.push(Reference {
            field: "spec.backupConfigurationTemplate.namespace".to_owned(),
            need: Need::Configure { namespace },
            required: true,
            behind: false,
        });
    }
    let mut granted = Grant::needs_of(&Subject::of(blueprint), &permits.key);
    granted.extend(by_owner);
    let named = |from: &str| verdict::Named {
        kind: BackupBlueprint::kind(&()).into_owned(),
        namespace: home.clone(),
        name: blueprint.name_any(),
        from: from.to_owned(),
    };
    let mut refusals = verdict::refusals(&named(&own), &wanted, &granted, |need| {
        (permits.consents)(need, &own)
    });
    if !is_beside {
        // An AppBinding can name any database; what is written on it is not the word of that
        // database's owner.
        let reference = Reference {
            field: "the annotated AppBinding's spec.appRef".to_owned(),
            need: Need::BackUp {
                group: target.reference.group().to_owned(),
                kind: target.reference.kind().to_owned(),
                namespace: target.reference.namespace_or(&target.namespace).to_owned(),
                name: target.reference.name.clone(),
            },
            required: true,
            behind: false,
        };
        let from = &target.namespace;
        let none = BTreeSet::new();
        refusals.extend(verdict::refusals(
            &named(from),
            &[reference],
            &none,
            |need| (permits.consents)(need, from),
        ));
    }
    if !refusals.is_empty() {
        return Err(Refusal::ReferenceNotAllowed {
            blueprint: format!("{home}/{}", blueprint.name_any()),
            message: sentence(&refusals),
        });
    }
    let needs: BTreeSet<Need> = wanted
        .into_iter()
        .map(|reference| reference.need)
        .filter(|need| granted.contains(need) && !matches!(need, Need::Configure { .. }))
        .collect();
    Ok((!needs.is_empty()).then_some(Grant {
        needs,
        pinned: true,
    }))
}

/// Writes `grant` on `object`, in the words of `live` if it says so already.
pub(super) fn attach(
    permits: &Permits,
    grant: &Grant,
    object: &mut BackupConfiguration,
    live: Option<&BackupConfiguration>,
) {
    let known = live
        .map(Subject::of)
        .filter(|live| Grant::of(live, &permits.key).as_ref() == Some(grant))
        .and_then(|live| live.annotation().map(str::to_owned));
    let text = known.unwrap_or_else(|| grant.sign(&Subject::of(object), &permits.key, permits.now));
    object
        .annotations_mut()
        .insert(labels::GRANTED_REFERENCES.to_owned(), text);
}
