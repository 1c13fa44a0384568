//! The CustomResourceDefinitions of all kinds.
//!
//! Invariant: what comes out of here is what is checked in under `deploy/crds/`, and a structural schema by the rules of
//! a real API server.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::Value;

use crate::addons::{Addon, Function};
use crate::appcatalog::AppBinding;
use crate::core::{
    BackupBatch, BackupBlueprint, BackupConfiguration, BackupSession, BackupVerificationSession,
    BackupVerifier, HookTemplate, RestoreSession,
};
use crate::kubedb::{Druid, MariaDB, MySQL, Postgres};
use crate::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};
use crate::{labels, schema};

/// The definitions of our own kinds.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [
        Addon::crd(),
        Function::crd(),
        BackupBatch::crd(),
        BackupBlueprint::crd(),
        BackupConfiguration::crd(),
        BackupSession::crd(),
        BackupVerificationSession::crd(),
        BackupVerifier::crd(),
        HookTemplate::crd(),
        RestoreSession::crd(),
        BackupStorage::crd(),
        Repository::crd(),
        RetentionPolicy::crd(),
        Snapshot::crd(),
    ]
    .into_iter()
    .map(|crd| labelled(finished(crd)))
    .collect()
}

/// The definitions of the foreign kinds, for an API server that has no KubeDB.
///
/// MySQL, MariaDB and Postgres are also served as `v1`, as KubeDB does; what is stored is `v1alpha2`.
#[must_use]
pub fn foreign_crds() -> Vec<CustomResourceDefinition> {
    let databases = [MariaDB::crd(), MySQL::crd(), Postgres::crd()].map(with_v1);
    [AppBinding::crd(), Druid::crd()]
        .into_iter()
        .chain(databases)
        .map(finished)
        .collect()
}

/// Marks a definition as ours.
fn labelled(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let labels = crd.metadata.labels.get_or_insert_default();
    labels.insert(labels::NAME.to_owned(), labels::NAME_KUBESTASH.to_owned());
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

/// Brings the generated schemas into the form that the kinds have always had: a field that is absent is absent, never
/// `null`.
fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut());
        if let Some(schema) = schema {
            *schema = without_null(schema);
        }
    }
    crd
}

fn without_null(schema: &JSONSchemaProps) -> JSONSchemaProps {
    let Ok(Value::Object(mut object)) = serde_json::to_value(schema) else {
        return schema.clone();
    };
    schema::remove_keyword(&mut object, "nullable");
    serde_json::from_value(Value::Object(object)).unwrap_or_else(|_| schema.clone())
}
