//! Which built-in kinds there are, and the definitions that k8s-openapi gives of them.

use k8s_openapi::api::admissionregistration::v1 as admissionregistration;
use k8s_openapi::api::authentication::v1 as authentication;
use k8s_openapi::api::authorization::v1 as authorization;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::coordination::v1 as coordination;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::events::v1 as events;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// A built-in kind.
pub(super) struct Kind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) definition: String,
}

fn kind<T: k8s_openapi::Resource + JsonSchema>() -> Kind {
    Kind {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        definition: T::schema_name().into_owned(),
    }
}

macro_rules! builtin {
    ($($type:ty),* $(,)?) => {
        /// The kinds that are served, or exchanged through subresources of those.
        pub(super) fn kinds() -> Vec<Kind> {
            vec![$(kind::<$type>()),*]
        }

        fn generate(generator: &mut SchemaGenerator) {
            $(generator.subschema_for::<$type>();)*
        }
    };
}

builtin! {
    core::ConfigMap, core::Event, core::Namespace, core::Node, core::PersistentVolume,
    core::PersistentVolumeClaim, core::Pod, core::Secret, core::Service, core::ServiceAccount,
    admissionregistration::MutatingWebhookConfiguration, admissionregistration::ValidatingWebhookConfiguration,
    apiextensions::CustomResourceDefinition,
    authentication::SelfSubjectReview, authentication::TokenRequest, authentication::TokenReview,
    authorization::LocalSubjectAccessReview, authorization::SelfSubjectAccessReview,
    authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview,
    batch::Job, coordination::Lease, events::Event,
    rbac::ClusterRole, rbac::ClusterRoleBinding, rbac::Role, rbac::RoleBinding,
}

/// The definitions of those kinds and of everything that they refer to.
pub(super) fn definitions() -> Map<String, Value> {
    let settings =
        SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    generate(&mut generator);
    generator.subschema_for::<meta::DeleteOptions>();
    generator.subschema_for::<meta::ListMeta>();
    generator.subschema_for::<meta::Patch>();
    generator.subschema_for::<meta::Status>();
    generator.take_definitions(false)
}
