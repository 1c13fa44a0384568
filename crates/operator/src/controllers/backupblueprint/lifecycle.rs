//! The reconciler of blueprints: what becomes of the configurations when a blueprint is deleted.
//!
//! With `deletionPolicy: OnDelete` a blueprint carries our finalizer, so that its deletion is
//! noticed also when it happens while the operator does not run. Without it, it carries none and
//! the configurations stay.

use std::sync::Arc;

use kube::api::ListParams;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use kubestash_api::core::{BackupBlueprint, BackupConfiguration};
use kubestash_api::labels;
use kubestash_api::shared::BackupConfigurationDeletionPolicy;

use super::apply::tell_target;
use super::decide::is_from_blueprint;
use super::said::{self, End};
use super::target;
use crate::context::Context;
use crate::runtime::apply::{self, ApplyError};
use crate::runtime::controller::Controller;
use crate::runtime::finalizer;

/// What to do about the finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Hold the blueprint until its configurations are deleted.
    Hold,
    /// Delete the configurations, then let it go.
    DeleteAndRelease,
    /// Let it go, and let the configurations stay.
    Release,
}

fn decide(blueprint: &BackupBlueprint) -> Step {
    let policy = blueprint
        .spec
        .backup_configuration_template
        .as_ref()
        .and_then(|template| template.deletion_policy);
    match (policy, blueprint.meta().deletion_timestamp.is_some()) {
        (Some(BackupConfigurationDeletionPolicy::OnDelete), false) => Step::Hold,
        (Some(BackupConfigurationDeletionPolicy::OnDelete), true) => Step::DeleteAndRelease,
        (None, _) => Step::Release,
    }
}

/// Whether `configuration` was made from the blueprint of this name.
fn is_made_from(configuration: &BackupConfiguration, name: &str, namespace: &str) -> bool {
    let labels = configuration.labels();
    is_from_blueprint(configuration)
        && labels.get(labels::INVOKER_NAME).map(String::as_str) == Some(name)
        && labels.get(labels::INVOKER_NAMESPACE).map(String::as_str) == Some(namespace)
}

pub(super) async fn controller(ctx: Arc<Context>) {
    let watches = ctx.watches.clone();
    Controller::new("blueprint", ctx, &watches.backup_blueprints)
        .run(reconcile)
        .await;
}

async fn reconcile(
    blueprint: Arc<BackupBlueprint>,
    ctx: Arc<Context>,
) -> Result<Action, ApplyError> {
    let (name, namespace) = (
        blueprint.name_any(),
        blueprint.namespace().unwrap_or_default(),
    );
    let api = ctx.api::<BackupBlueprint>(&namespace);
    match decide(&blueprint) {
        Step::Hold => {
            finalizer::ensure(&api, blueprint.as_ref(), labels::CLEANUP_FINALIZER).await?
        }
        Step::Release => {
            finalizer::remove(&api, blueprint.as_ref(), labels::CLEANUP_FINALIZER).await?
        }
        Step::DeleteAndRelease => {
            for configuration in made_from(&ctx, &blueprint, &name, &namespace).await? {
                let notice = said::ended(&configuration, &End::of(&blueprint));
                for binding in target::bindings_of(&ctx, &configuration) {
                    tell_target(&ctx, &binding, &notice).await;
                }
                let api =
                    ctx.api::<BackupConfiguration>(&configuration.namespace().unwrap_or_default());
                apply::delete(&api, &configuration).await?;
            }
            finalizer::remove(&api, blueprint.as_ref(), labels::CLEANUP_FINALIZER).await?
        }
    };
    Ok(Action::await_change())
}

/// The configurations made from a blueprint, asked of the API server: the store may lag behind one
/// just made, and after this nobody asks again.
async fn made_from(
    ctx: &Context,
    blueprint: &BackupBlueprint,
    name: &str,
    namespace: &str,
) -> Result<Vec<BackupConfiguration>, ApplyError> {
    let ours = format!("{}={}", labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH);
    let all: Api<BackupConfiguration> = Api::all(ctx.client.clone());
    let found = all
        .list(&ListParams::default().labels(&ours))
        .await
        .map_err(|source| apply::request("list the configurations of", blueprint, source))?;
    Ok(found
        .items
        .into_iter()
        .filter(|found| is_made_from(found, name, namespace))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn blueprint(policy: Option<&str>, deleting: bool) -> BackupBlueprint {
        let mut template = json!({"backends": [], "sessions": []});
        if let Some(policy) = policy {
            template["deletionPolicy"] = json!(policy);
        }
        let mut metadata = json!({"name": "b", "namespace": "demo"});
        if deleting {
            metadata["deletionTimestamp"] = json!("2024-09-19T10:30:46Z");
        }
        serde_json::from_value(
            json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupBlueprint",
            "metadata": metadata, "spec": {"backupConfigurationTemplate": template}}),
        )
        .unwrap()
    }

    #[test]
    fn only_a_blueprint_that_deletes_its_configurations_is_held() {
        let cases = [
            (Some("OnDelete"), false, Step::Hold),
            (Some("OnDelete"), true, Step::DeleteAndRelease),
            (None, false, Step::Release),
            (None, true, Step::Release),
        ];
        for (policy, deleting, expected) in cases {
            assert_eq!(decide(&blueprint(policy, deleting)), expected);
        }
    }

    #[test]
    fn configurations_belong_to_a_blueprint_by_all_three_labels() {
        let labels = json!({"app.kubernetes.io/managed-by": "kubestash.com",
            "kubestash.com/invoker-name": "b", "kubestash.com/invoker-namespace": "demo"});
        let configuration = |labels: serde_json::Value| -> BackupConfiguration {
            serde_json::from_value(json!({"apiVersion": "core.kubestash.com/v1alpha1",
                "kind": "BackupConfiguration", "metadata": {"name": "c", "labels": labels}, "spec": {}}))
            .unwrap()
        };
        assert!(is_made_from(&configuration(labels.clone()), "b", "demo"));
        assert!(!is_made_from(&configuration(labels.clone()), "b", "dev"));
        assert!(!is_made_from(&configuration(labels.clone()), "c", "demo"));
        for key in [
            "app.kubernetes.io/managed-by",
            "kubestash.com/invoker-namespace",
        ] {
            let mut fewer = labels.clone();
            fewer.as_object_mut().unwrap().remove(key);
            assert!(!is_made_from(&configuration(fewer), "b", "demo"));
        }
    }
}
