//! What the API server is told about the webhook: a Validating- and a MutatingWebhookConfiguration.
//!
//! Both are applied at each start, because the certificate and, on a single machine, the port are
//! new then.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    ValidatingWebhook, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use kubestash_api::labels;

use crate::config::WebhookAddress;
use crate::runtime::apply::{self, ApplyError, Manager};
use crate::validation::kinds::Kind;

const NAME: &str = "kubestash-operator";
const MANAGER: Manager = Manager("kubestash-admission");
/// Long enough for two listings of a busy API server, short enough for a person who waits.
const TIMEOUT_SECONDS: i32 = 10;

/// How the API server reaches the webhook.
pub(crate) struct Target<'a> {
    pub(crate) address: &'a WebhookAddress,
    /// The port that is listened on; used when the address is a URL.
    pub(crate) port: u16,
    pub(crate) authority: &'a [u8],
}

impl Target<'_> {
    fn client_config(&self, path: &str) -> WebhookClientConfig {
        let ca_bundle = Some(ByteString(self.authority.to_vec()));
        match self.address {
            WebhookAddress::Url { host } => WebhookClientConfig {
                ca_bundle,
                url: Some(format!("https://{host}:{}{path}", self.port)),
                service: None,
            },
            WebhookAddress::Service {
                namespace,
                name,
                port,
            } => WebhookClientConfig {
                ca_bundle,
                url: None,
                service: Some(ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(path.to_owned()),
                    port: Some(i32::from(*port)),
                }),
            },
        }
    }
}

/// Registers the webhook, or changes its registration to the present address and authority.
pub(crate) async fn register(client: &Client, target: &Target<'_>) -> Result<(), ApplyError> {
    // Defaults first: an object that only a default makes valid must not be refused.
    apply::object(&Api::all(client.clone()), None, &mutating(target), MANAGER).await?;
    apply::object(
        &Api::all(client.clone()),
        None,
        &validating(target),
        MANAGER,
    )
    .await?;
    Ok(())
}

fn validating(target: &Target<'_>) -> ValidatingWebhookConfiguration {
    let webhooks = Kind::ALL
        .into_iter()
        .filter(|kind| kind.is_validated())
        .map(|kind| ValidatingWebhook {
            name: format!("v{}.kb.io", kind.name().to_ascii_lowercase()),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: target.client_config(&kind.validate_path()),
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            rules: Some(vec![rule(kind)]),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..ValidatingWebhook::default()
        })
        .collect();
    ValidatingWebhookConfiguration {
        metadata: metadata(),
        webhooks: Some(webhooks),
    }
}

fn mutating(target: &Target<'_>) -> MutatingWebhookConfiguration {
    let webhooks = Kind::ALL
        .into_iter()
        .filter(|kind| kind.is_mutated())
        .map(|kind| MutatingWebhook {
            name: format!("m{}.kb.io", kind.name().to_ascii_lowercase()),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: target.client_config(&kind.mutate_path()),
            failure_policy: Some("Fail".to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            reinvocation_policy: Some("Never".to_owned()),
            rules: Some(vec![rule(kind)]),
            side_effects: "None".to_owned(),
            timeout_seconds: Some(TIMEOUT_SECONDS),
            ..MutatingWebhook::default()
        })
        .collect();
    MutatingWebhookConfiguration {
        metadata: metadata(),
        webhooks: Some(webhooks),
    }
}

fn metadata() -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        labels: Some(
            [(
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_KUBESTASH.to_owned(),
            )]
            .into(),
        ),
        ..ObjectMeta::default()
    }
}

fn rule(kind: Kind) -> RuleWithOperations {
    RuleWithOperations {
        api_groups: Some(vec![kind.group().to_owned()]),
        api_versions: Some(vec!["v1alpha1".to_owned()]),
        // Never DELETE: what is stored must always be able to go.
        operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
        resources: Some(vec![kind.plural().to_owned()]),
        scope: Some("Namespaced".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &WebhookAddress) -> Target<'_> {
        Target {
            address,
            port: 9443,
            authority: b"PEM",
        }
    }

    #[test]
    fn each_kind_is_registered_with_name_path_and_operations() {
        let url = WebhookAddress::Url {
            host: "127.0.0.1".to_owned(),
        };
        let validating = validating(&target(&url)).webhooks.unwrap();
        assert_eq!(validating.len(), 6);
        let blueprint = validating
            .iter()
            .find(|hook| hook.name == "vbackupblueprint.kb.io")
            .unwrap();
        assert_eq!(
            blueprint.client_config.url.as_deref(),
            Some("https://127.0.0.1:9443/validate-core-kubestash-com-v1alpha1-backupblueprint")
        );
        assert_eq!(blueprint.failure_policy.as_deref(), Some("Fail"));
        let operations = blueprint.rules.as_ref().unwrap()[0].operations.clone();
        assert_eq!(
            operations,
            Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()])
        );
    }

    #[test]
    fn a_service_is_named_with_its_path() {
        let service = WebhookAddress::Service {
            namespace: "stash".to_owned(),
            name: "hook".to_owned(),
            port: 443,
        };
        let mutating = mutating(&target(&service)).webhooks.unwrap();
        let names: Vec<_> = mutating.iter().map(|hook| hook.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "mbackupstorage.kb.io",
                "mretentionpolicy.kb.io",
                "mbackupconfiguration.kb.io",
                "mbackupblueprint.kb.io",
                "mrestoresession.kb.io",
                "mhooktemplate.kb.io",
                "mrepository.kb.io"
            ]
        );
        let reference = mutating[0].client_config.service.clone().unwrap();
        assert_eq!(
            reference.path.as_deref(),
            Some("/mutate-storage-kubestash-com-v1alpha1-backupstorage")
        );
        assert_eq!(
            (reference.name.as_str(), reference.port),
            ("hook", Some(443))
        );
    }
}
