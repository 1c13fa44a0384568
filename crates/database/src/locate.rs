//! From the target of a BackupConfiguration to the server that holds its data.
//!
//! ```text
//!   Druid ──spec.metadataStorage──► AppBinding ──spec.secret──► Secret
//!   MySQL, MariaDB, … ──same name──►    │
//!   AppBinding ─────────────────────────┘ (of a Druid: back to the Druid)
//! ```
//!
//! Pure: every function takes objects and says which one to read next, or what is wrong with the one it
//! was given: object, field and remedy.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MetadataStorageType};
use kubestash_api::shared::TypedObjectReference;
use zeroize::Zeroizing;

use crate::connection::{Connection, Credentials, Tls};
use crate::endpoint::{self, Endpoint, EndpointError};
use crate::family::{Family, Role};
use crate::mysql::DRUID;

/// Namespace and name of an object to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What to read next on the way to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A Druid: its metadata is what is backed up.
    Druid(Key),
    /// An AppBinding: it says where the server is.
    Binding(Key),
}

/// Where a Druid keeps its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataStore {
    /// The AppBinding of the server.
    pub binding: Key,
    /// What the server is to the backup.
    pub role: Role,
    /// The family that the Druid says the server is of.
    pub family: Option<Family>,
}

/// Why a database cannot be found. Lasts until somebody changes an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// There is no target.
    #[error(
        "failed to find the database: spec.target of the BackupConfiguration is missing; name the object to back up"
    )]
    NoTarget,
    /// The target is of a kind without a database that we know.
    #[error(
        "failed to find the database: spec.target is a {kind:?} of group {group:?}, and only Druid, MySQL, MariaDB and PerconaXtraDB of kubedb.com and AppBinding can be backed up"
    )]
    TargetKind {
        /// The target's group.
        group: String,
        /// The target's kind.
        kind: String,
    },
    /// An AppBinding says nothing about where the server is.
    #[error(
        "failed to find the database: AppBinding {0} has neither spec.clientConfig.url nor spec.clientConfig.service; set one of them"
    )]
    NoAddress(Key),
    /// The address in an AppBinding cannot be read.
    #[error(
        "failed to find the database: spec.clientConfig.url of AppBinding {binding} cannot be used: {source}"
    )]
    Address {
        /// The AppBinding.
        binding: Key,
        /// What is wrong with it.
        #[source]
        source: EndpointError,
    },
    /// The port of the service is none.
    #[error(
        "failed to find the database: spec.clientConfig.service.port of AppBinding {0} is not a number from 1 to 65535"
    )]
    Port(Key),
    /// Nothing says what kind of server it is.
    #[error(
        "failed to find the database: AppBinding {0} does not say what its server is; set spec.type, e.g. kubedb.com/mysql"
    )]
    NoFamily(Key),
    /// The AppBinding names no credentials.
    #[error(
        "failed to find the database: spec.secret.name of AppBinding {0} is missing; name the Secret with username and password"
    )]
    NoSecret(Key),
    /// The Secret lacks a key.
    #[error(
        "failed to find the database: Secret {secret}, which AppBinding {binding} names, has no {what} under the key {key:?}; add it"
    )]
    SecretKey {
        /// Namespace and name of the Secret.
        secret: String,
        /// Namespace and name of the AppBinding.
        binding: String,
        /// The key.
        key: &'static str,
        /// `text` or `value`.
        what: &'static str,
    },
}

impl LocateError {
    /// Stable name of the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoTarget | Self::TargetKind { .. } => "TargetUnsupported",
            Self::NoAddress(_) | Self::Address { .. } | Self::Port(_) | Self::NoFamily(_) => {
                "AppBindingInvalid"
            }
            Self::NoSecret(_) | Self::SecretKey { .. } => "DatabaseCredentialsMissing",
        }
    }
}

/// Group of KubeDB's kinds.
const KUBEDB: &str = "kubedb.com";
/// Group of AppBinding.
const APPCATALOG: &str = "appcatalog.appscode.com";

/// What to read first for a target; `referrer` is the namespace of the BackupConfiguration.
///
/// # Errors
/// If there is no target, or it is of a kind without a database.
pub fn first(target: Option<&TypedObjectReference>, referrer: &str) -> Result<Step, LocateError> {
    let target = target
        .filter(|target| !target.name.is_empty())
        .ok_or(LocateError::NoTarget)?;
    let key = Key::new(target.namespace_or(referrer), &target.name);
    match (target.group(), target.kind()) {
        (KUBEDB, "Druid") => Ok(Step::Druid(key)),
        (KUBEDB, "MySQL" | "MariaDB" | "PerconaXtraDB" | "Postgres")
        | (APPCATALOG, "AppBinding") => Ok(Step::Binding(key)),
        (group, kind) => Err(LocateError::TargetKind {
            group: group.to_owned(),
            kind: kind.to_owned(),
        }),
    }
}

/// The Druid that an AppBinding leads to, if it is one of a Druid: it describes Druid's own servers, and
/// what is backed up is the metadata store behind them.
pub fn druid_of(binding: &AppBinding) -> Option<Key> {
    let app = binding.spec.app_ref.as_ref()?;
    let namespace = namespace_of(binding);
    (app.group() == KUBEDB && app.kind() == "Druid" && !app.name.is_empty())
        .then(|| Key::new(app.namespace_or(namespace), &app.name))
}

/// Where a Druid keeps its metadata.
pub fn metadata_store(druid: &Druid) -> MetadataStore {
    let name = druid.metadata.name.as_deref().unwrap_or_default();
    let namespace = druid.metadata.namespace.as_deref().unwrap_or_default();
    let storage = druid.spec.metadata_storage.clone().unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let external = storage.externally_managed.unwrap_or_default();
    let family = match storage.type_ {
        Some(MetadataStorageType::MySQL) => Some(Family::MySql),
        Some(MetadataStorageType::PostgreSQL) => Some(Family::Postgres),
        // KubeDB makes a MySQL unless told otherwise; what others made says its AppBinding.
        None => (!external).then_some(Family::MySql),
    };
    let made = match family {
        Some(Family::Postgres) => format!("{name}-pg-metadata"),
        _ => format!("{name}-mysql-metadata"),
    };
    MetadataStore {
        binding: Key {
            namespace: filled(storage.namespace).unwrap_or_else(|| namespace.to_owned()),
            name: filled(storage.name).unwrap_or(made),
        },
        role: Role::DruidMetadata {
            linked_db: filled(storage.linked_db).unwrap_or_else(|| DRUID.to_owned()),
        },
        family,
    }
}

/// The Secret that an AppBinding names.
///
/// # Errors
/// If it names none.
pub fn secret_of(binding: &AppBinding) -> Result<Key, LocateError> {
    let name = binding
        .spec
        .secret
        .as_ref()
        .map(|secret| secret.name.as_str());
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Ok(Key::new(namespace_of(binding), name)),
        None => Err(LocateError::NoSecret(key_of(binding))),
    }
}

/// The server that an AppBinding describes, with the credentials of its Secret.
///
/// # Errors
/// If a field of the AppBinding or a key of the Secret is missing or wrong.
pub fn connection(
    binding: &AppBinding,
    secret: &Secret,
    family: Option<Family>,
) -> Result<(Family, Connection), LocateError> {
    let key = key_of(binding);
    let endpoint = endpoint_of(binding)?;
    let family = family_of(binding)
        .or(endpoint.family)
        .or(family)
        .ok_or_else(|| LocateError::NoFamily(key.clone()))?;
    let secret_key = secret_of(binding)?;
    let text = |name: &'static str| {
        let error = |what| LocateError::SecretKey {
            secret: secret_key.to_string(),
            binding: key.to_string(),
            key: name,
            what,
        };
        let value = secret.data.as_ref().and_then(|data| data.get(name));
        let bytes = &value.ok_or_else(|| error("value"))?.0;
        let text = std::str::from_utf8(bytes).map_err(|_| error("text"))?;
        if text.contains('\0') {
            Err(error("text"))
        } else {
            Ok(Zeroizing::new(text.to_owned()))
        }
    };
    let user = text("username")?;
    let config = &binding.spec.client_config;
    let tls = Tls {
        ca_bundle: config
            .ca_bundle
            .as_ref()
            .map(|bundle| bundle.0.clone())
            .unwrap_or_default(),
        server_name: config.server_name.clone(),
        skip_verify: config.insecure_skip_tls_verify.unwrap_or_default(),
        client_secret: binding
            .spec
            .tls_secret
            .as_ref()
            .map(|secret| secret.name.clone()),
    };
    let connection = Connection {
        host: endpoint.host,
        port: endpoint.port.unwrap_or(family.default_port()),
        credentials: Credentials::new(user.as_str(), text("password")?),
        tls: Some(tls).filter(|tls| *tls != Tls::default()),
        origin: format!("AppBinding {key}"),
        secret: format!("Secret {secret_key}"),
    };
    Ok((family, connection))
}

fn endpoint_of(binding: &AppBinding) -> Result<Endpoint, LocateError> {
    let key = || key_of(binding);
    let config = &binding.spec.client_config;
    if let Some(url) = config.url.as_deref().filter(|url| !url.trim().is_empty()) {
        return endpoint::parse(url).map_err(|source| LocateError::Address {
            binding: key(),
            source,
        });
    }
    let service = config
        .service
        .as_ref()
        .filter(|service| !service.name.is_empty());
    let service = service.ok_or_else(|| LocateError::NoAddress(key()))?;
    let port = match service.port {
        0 => None,
        port => Some(u16::try_from(port).map_err(|_| LocateError::Port(key()))?),
    };
    let namespace = service
        .namespace
        .as_deref()
        .filter(|namespace| !namespace.is_empty());
    let host = format!(
        "{}.{}.svc",
        service.name,
        namespace.unwrap_or(namespace_of(binding))
    );
    Ok(Endpoint {
        host,
        port,
        family: None,
    })
}

/// The family that an AppBinding says its server is of: `spec.type`, else the kind it belongs to.
fn family_of(binding: &AppBinding) -> Option<Family> {
    let type_ = binding.spec.type_.as_deref().unwrap_or_default();
    let kind = binding
        .spec
        .app_ref
        .as_ref()
        .map(TypedObjectReference::kind)
        .unwrap_or_default();
    [type_.rsplit('/').next().unwrap_or_default(), kind]
        .iter()
        .find_map(|word| match word.to_ascii_lowercase().as_str() {
            "mysql" | "mariadb" | "perconaxtradb" => Some(Family::MySql),
            "postgres" | "postgresql" => Some(Family::Postgres),
            _ => None,
        })
}

fn namespace_of(binding: &AppBinding) -> &str {
    binding.metadata.namespace.as_deref().unwrap_or_default()
}

fn key_of(binding: &AppBinding) -> Key {
    Key::new(
        namespace_of(binding),
        binding.metadata.name.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
