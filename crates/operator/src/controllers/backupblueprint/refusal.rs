//! Why a wish for automatic backup is not fulfilled: one sentence for each reason, with what to do
//! about it.

use kubestash_domain::variables::VariableError;

use crate::runtime::events::Notice;

/// A reason not to make, or not to change, a BackupConfiguration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is no such blueprint, or it is being deleted.
    #[error(
        "there is no BackupBlueprint {0}: create it, or correct the annotations blueprint.kubestash.com/name and \
         blueprint.kubestash.com/namespace"
    )]
    BlueprintNotFound(String),
    /// The blueprint is not for targets of this namespace.
    #[error(
        "BackupBlueprint {blueprint} may not be used by targets in the namespace {namespace:?}: its owner can allow \
         that in spec.usagePolicy.allowedNamespaces"
    )]
    BlueprintNotAllowed {
        /// The blueprint.
        blueprint: String,
        /// The namespace of the target.
        namespace: String,
    },
    /// The blueprint is not for targets of this kind.
    #[error("BackupBlueprint {blueprint} is for {kinds} only (spec.subjects), not for {kind}")]
    SubjectNotAllowed {
        /// The blueprint.
        blueprint: String,
        /// The kind of the target.
        kind: String,
        /// The kinds it is for.
        kinds: String,
    },
    /// The blueprint has no template.
    #[error("BackupBlueprint {0} has no spec.backupConfigurationTemplate: add one")]
    TemplateMissing(String),
    /// The annotation names sessions that the blueprint does not have.
    #[error(
        "BackupBlueprint {blueprint} has no session {wanted}: correct the annotation \
         blueprint.kubestash.com/session-names; it has {known}"
    )]
    SessionNotFound {
        /// The blueprint.
        blueprint: String,
        /// The names that were asked for in vain.
        wanted: String,
        /// The names there are.
        known: String,
    },
    /// Values are missing, or a `${…}` cannot be understood.
    #[error("the variables of BackupBlueprint {blueprint} cannot be filled in: {source}{remedy}")]
    Variables {
        /// The blueprint.
        blueprint: String,
        /// What is wrong.
        source: VariableError,
        /// Which annotations to set.
        remedy: String,
    },
    /// With the values filled in, the template is no configuration any more.
    #[error("BackupBlueprint {blueprint} with its variables filled in is no valid configuration")]
    TemplateInvalid {
        /// The blueprint.
        blueprint: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The namespace for the configuration is missing.
    #[error(
        "the BackupConfiguration would be created in the namespace {namespace:?}, which does not exist or is being deleted: \
         create it, or change spec.backupConfigurationTemplate.namespace of BackupBlueprint {blueprint}"
    )]
    NamespaceNotFound {
        /// The blueprint.
        blueprint: String,
        /// The namespace.
        namespace: String,
    },
    /// It would refer to something that nobody has allowed.
    #[error("what BackupBlueprint {blueprint} refers to is not allowed: {message}")]
    ReferenceNotAllowed {
        /// The blueprint.
        blueprint: String,
        /// What, and who can allow it.
        message: String,
    },
    /// A configuration of that name was not made for this target.
    #[error(
        "BackupConfiguration {0} exists and was not created from a blueprint for this target, so it is not changed: \
         rename or delete it, or give the blueprint another spec.backupConfigurationTemplate.namespace"
    )]
    NameTaken(String),
    /// The API server, or an admission webhook, says no.
    #[error("BackupConfiguration {configuration} was not accepted: {message}")]
    Denied {
        /// The configuration.
        configuration: String,
        /// What the API server says.
        message: String,
    },
    /// The configuration was made, but cannot run.
    #[error("BackupConfiguration {configuration} cannot run: {message}")]
    NotReady {
        /// The configuration.
        configuration: String,
        /// What its condition says.
        message: String,
    },
}

impl Refusal {
    /// A stable word for the reason, used as the Event's.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::BlueprintNotFound(_) => "BlueprintNotFound",
            Self::BlueprintNotAllowed { .. } => "BlueprintNotAllowed",
            Self::SubjectNotAllowed { .. } => "SubjectNotAllowed",
            Self::TemplateMissing(_) => "TemplateMissing",
            Self::SessionNotFound { .. } => "SessionNotFound",
            Self::Variables { source, .. } => source.kind(),
            Self::TemplateInvalid { .. } => "TemplateInvalid",
            Self::NamespaceNotFound { .. } => "NamespaceNotFound",
            Self::ReferenceNotAllowed { .. } => "ReferenceNotAllowed",
            Self::NameTaken(_) => "NameTaken",
            Self::Denied { .. } => "BackupConfigurationDenied",
            Self::NotReady { .. } => "BackupConfigurationNotReady",
        }
    }

    /// Whether the configuration that was made before stays as it was. Of one that is there and
    /// cannot run, and of one that is not ours, the refusal itself speaks.
    #[must_use]
    pub(super) fn leaves_standing(&self) -> bool {
        !matches!(self, Self::NotReady { .. } | Self::NameTaken(_))
    }

    /// The Event that tells it.
    #[must_use]
    pub(crate) fn notice(&self) -> Notice {
        Notice::warning(self.kind(), crate::runtime::controller::full_text(self))
    }
}
