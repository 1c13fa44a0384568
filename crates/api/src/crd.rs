//! The CustomResourceDefinitions of all kinds.
//!
//! Invariant: what comes out of here is what is checked in under `deploy/crds/`, and a structural
//! schema by the rules of a real API server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, CustomResourceValidation,
};
use kube::CustomResourceExt;
use schemars::JsonSchema;

use crate::addons::{Addon, Function};
use crate::appcatalog::AppBinding;
use crate::core::{
    BackupBatch, BackupBlueprint, BackupConfiguration, BackupSession, BackupVerificationSession,
    BackupVerifier, HookTemplate, RestoreSession,
};
use crate::kubedb::{Druid, MariaDB, MySQL, Postgres};
use crate::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};
use crate::{labels, schema};

type Make = fn() -> CustomResourceDefinition;

const OURS: &[Make] = &[
    ours::<Addon>,
    ours::<Function>,
    ours::<BackupBatch>,
    ours::<BackupBlueprint>,
    ours::<BackupConfiguration>,
    ours::<BackupSession>,
    ours::<BackupVerificationSession>,
    ours::<BackupVerifier>,
    ours::<HookTemplate>,
    ours::<RestoreSession>,
    ours::<BackupStorage>,
    ours::<Repository>,
    ours::<RetentionPolicy>,
    ours::<Snapshot>,
];

const FOREIGN: &[Make] = &[
    definition::<AppBinding>,
    definition::<Druid>,
    || with_v1(definition::<MariaDB>()),
    || with_v1(definition::<MySQL>()),
    || with_v1(definition::<Postgres>()),
];

/// The definitions of our own kinds.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    OURS.iter().map(|make| make()).collect()
}

/// What makes each definition, ours and the foreign ones: all of them at once take a lot of memory.
pub fn definitions() -> impl Iterator<Item = fn() -> CustomResourceDefinition> {
    OURS.iter().chain(FOREIGN).copied()
}

/// The definitions of the foreign kinds, for an API server that has no KubeDB.
///
/// MySQL, MariaDB and Postgres are also served as `v1`, as KubeDB does; what is stored is
/// `v1alpha2`.
#[must_use]
pub fn foreign_crds() -> Vec<CustomResourceDefinition> {
    FOREIGN.iter().map(|make| make()).collect()
}

/// The definition of a kind of ours, marked as such.
fn ours<K: CustomResourceExt + JsonSchema>() -> CustomResourceDefinition {
    let mut crd = definition::<K>();
    let labels = crd.metadata.labels.get_or_insert_default();
    labels.insert(labels::NAME.to_owned(), labels::NAME_KUBESTASH.to_owned());
    crd
}

/// The definition of a kind: the names and columns of its derive, and its schema.
fn definition<K: CustomResourceExt + JsonSchema>() -> CustomResourceDefinition {
    let mut crd = K::crd();
    let open_api_v3_schema = schema::structural::<K>();
    for version in &mut crd.spec.versions {
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: open_api_v3_schema.clone(),
        });
    }
    crd
}

/// Serves the same schema under a second version.
fn with_v1(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let second: Vec<CustomResourceDefinitionVersion> = crd
        .spec
        .versions
        .iter()
        .cloned()
        .map(|version| CustomResourceDefinitionVersion {
            name: "v1".to_owned(),
            storage: false,
            ..version
        })
        .collect();
    crd.spec.versions.extend(second);
    crd
}
