//! From the target of a BackupConfiguration to the server that holds its data.
//!
//! ```text
//!   Druid ──spec.metadataStorage──► AppBinding ──spec.secret──► Secret
//!   MySQL, MariaDB, … ──same name──►    │
//!   AppBinding ─────────────────────────┘ (of a Druid: back to the Druid)
//! ```
//!
//! Pure: every function takes objects and says which one to read next, or what is wrong with the
//! one it was given: object, field and remedy.

use k8s_openapi::api::core::v1::Secret;
use kubestash_api::appcatalog::AppBinding;
use kubestash_api::kubedb::{Druid, MetadataStorageType};
use kubestash_api::shared::TypedObjectReference;
pub use kubestash_domain::target::Key;
use kubestash_domain::target::{self, APPCATALOG, KUBEDB, Secrets};
use zeroize::Zeroizing;

use crate::connection::{Connection, Credentials, Demand, Identity, Tls};
use crate::endpoint::{self, Endpoint, EndpointError};
use crate::family::{Family, Role};
use crate::selection::DRUID;

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
        "failed to find the database: spec.target is a {kind:?} of group {group:?}, and only Druid, MySQL, MariaDB, PerconaXtraDB and Postgres of kubedb.com and AppBinding of appcatalog.appscode.com have a database; correct spec.target.apiGroup or kind"
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
        "failed to find the database: the kind of server of AppBinding {0} is not known; set spec.type, e.g. kubedb.com/mysql"
    )]
    NoFamily(Key),
    /// It says that its server is something we have no client for.
    #[error(
        "failed to find the database: spec.type of AppBinding {binding} is {type_:?}, which is none of {}; correct it, e.g. to kubedb.com/mysql or kubedb.com/postgres",
        kinds()
    )]
    UnknownType {
        /// The AppBinding.
        binding: Key,
        /// Its type.
        type_: String,
    },
    /// The server's certificate shall be checked, and there is nothing to check it with.
    #[error(
        "failed to find the database: AppBinding {0} demands that the server's certificate is checked and brings no certificates to check it with; set spec.clientConfig.caBundle, or put ca.crt into the Secret that spec.tlsSecret names"
    )]
    NoAuthority(Key),
    /// The AppBinding names no credentials.
    #[error(
        "failed to find the database: spec.secret.name of AppBinding {0} is missing; name the Secret with username and password"
    )]
    NoSecret(Key),
    /// A transform of the Secret cannot be applied.
    #[error(
        "failed to find the database: spec.secretTransforms[{index}] of AppBinding {binding}: {what}"
    )]
    Transform {
        /// Namespace and name of the AppBinding.
        binding: String,
        /// Which one.
        index: usize,
        /// What is wrong with it.
        what: String,
    },
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
            Self::NoAddress(_)
            | Self::Address { .. }
            | Self::Port(_)
            | Self::NoFamily(_)
            | Self::UnknownType { .. }
            | Self::Transform { .. }
            | Self::NoAuthority(_) => "AppBindingInvalid",
            Self::NoSecret(_) | Self::SecretKey { .. } => "DatabaseCredentialsMissing",
        }
    }
}

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
        (KUBEDB, kind) if Family::of_kind(kind).is_some() => Ok(Step::Binding(key)),
        (APPCATALOG, "AppBinding") => Ok(Step::Binding(key)),
        (group, kind) => Err(LocateError::TargetKind {
            group: group.to_owned(),
            kind: kind.to_owned(),
        }),
    }
}

/// The Druid that an AppBinding leads to, if it is one of a Druid: it describes Druid's own
/// servers, and what is backed up is the metadata store behind them.
pub fn druid_of(binding: &AppBinding) -> Option<Key> {
    let druid = target::druid_of(binding)?;
    Some(Key::new(druid.namespace_or(""), druid.name.clone()))
}

/// Where a Druid keeps its metadata.
pub fn metadata_store(druid: &Druid) -> MetadataStore {
    let storage = druid.spec.metadata_storage.clone().unwrap_or_default();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let external = storage.externally_managed.unwrap_or_default();
    let family = match storage.type_ {
        Some(MetadataStorageType::MySQL) => Some(Family::MySql),
        Some(MetadataStorageType::PostgreSQL) => Some(Family::Postgres),
        // KubeDB makes a MySQL unless told otherwise; what others made says its AppBinding.
        None => (!external).then_some(Family::MySql),
    };
    MetadataStore {
        binding: target::metadata_store(druid),
        role: Role::DruidMetadata {
            linked_db: filled(storage.linked_db).unwrap_or_else(|| DRUID.to_owned()),
        },
        family,
    }
}

/// The Secret with the credentials that an AppBinding names. There need not be one if the client
/// shows a certificate.
///
/// # Errors
/// If it names none, and no certificate either.
pub fn secret_of(binding: &AppBinding) -> Result<Option<Key>, LocateError> {
    let Secrets {
        credentials, tls, ..
    } = Secrets::of(binding);
    match (credentials, tls) {
        (None, None) => Err(LocateError::NoSecret(key_of(binding))),
        (credentials, _) => Ok(credentials),
    }
}

/// The Secret with certificates that an AppBinding names.
pub fn tls_secret_of(binding: &AppBinding) -> Option<Key> {
    Secrets::of(binding).tls
}

/// What opens a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys<'a> {
    /// The Secret with the credentials ([`secret_of`]).
    pub credentials: Option<&'a Secret>,
    /// The Secret with certificates ([`tls_secret_of`]).
    pub tls: Option<&'a Secret>,
    /// The user who connects if no Secret names one.
    pub user: &'a str,
}

/// The server that an AppBinding describes, with the credentials and certificates of its Secrets.
/// `family` counts when nothing else says what it is.
///
/// # Errors
/// If a field of the AppBinding or a key of a Secret is missing or wrong.
pub fn connection(
    binding: &AppBinding,
    keys: Keys<'_>,
    family: Option<Family>,
) -> Result<(Family, Connection), LocateError> {
    let key = key_of(binding);
    let endpoint = endpoint_of(binding)?;
    let family = family_of(binding)
        .or(endpoint.family)
        .or(family)
        .ok_or_else(|| unknown_family(binding))?;
    let tls = tls_of(binding, &endpoint, keys.tls)?;
    let secret_key = secret_of(binding)?;
    let secret = |name| format!("Secret {}", Key::new(namespace_of(binding), name));
    let credentials = match (keys.credentials, &secret_key) {
        (Some(secret), Some(at)) => credentials_of(binding, secret, at, keys.user, &tls)?,
        _ => Credentials::new(keys.user, String::new()),
    };
    let connection = Connection {
        host: endpoint.host,
        port: endpoint.port.unwrap_or(family.default_port()),
        database: endpoint.database,
        credentials,
        tls: Some(tls).filter(|tls| *tls != Tls::default()),
        origin: format!("AppBinding {key}"),
        secret: match (&secret_key, tls_secret_of(binding)) {
            (Some(key), _) => format!("Secret {key}"),
            (None, Some(key)) => secret(&key.name),
            (None, None) => String::new(),
        },
    };
    Ok((family, connection))
}

fn credentials_of(
    binding: &AppBinding,
    secret: &Secret,
    at: &Key,
    user: &str,
    tls: &Tls,
) -> Result<Credentials, LocateError> {
    // KubeDB's Postgres once wrote names of its own.
    let user = match text_of(binding, secret, at, &["username", "POSTGRES_USER"]) {
        Err(LocateError::SecretKey { what: "value", .. }) if tls.identity.is_some() => {
            Zeroizing::new(user.to_owned())
        }
        found => found?,
    };
    let password = match text_of(binding, secret, at, &["password", "POSTGRES_PASSWORD"]) {
        Err(LocateError::SecretKey { what: "value", .. }) if tls.identity.is_some() => {
            Zeroizing::new(String::new())
        }
        found => found?,
    };
    Ok(Credentials::new(user.as_str(), password))
}

/// The text under the first of these keys that is there; the first is named when none is.
fn text_of(
    binding: &AppBinding,
    secret: &Secret,
    at: &Key,
    names: &[&'static str],
) -> Result<Zeroizing<String>, LocateError> {
    let data = secret.data.as_ref();
    let found = names
        .iter()
        .find_map(|name| Some((*name, data?.get(*name)?)));
    let error = |key, what| LocateError::SecretKey {
        secret: at.to_string(),
        binding: key_of(binding).to_string(),
        key,
        what,
    };
    let Some((name, bytes)) = found else {
        return Err(error(names.first().copied().unwrap_or_default(), "value"));
    };
    let text = std::str::from_utf8(&bytes.0).map_err(|_| error(name, "text"))?;
    if text.contains('\0') {
        return Err(error(name, "text"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn tls_of(
    binding: &AppBinding,
    endpoint: &Endpoint,
    secret: Option<&Secret>,
) -> Result<Tls, LocateError> {
    let config = &binding.spec.client_config;
    let given = config.ca_bundle.as_ref().map(|bundle| bundle.0.clone());
    let given = given.filter(|bundle| !bundle.is_empty());
    let data = |name: &str| {
        let bytes = secret?.data.as_ref()?.get(name)?;
        (!bytes.0.is_empty()).then(|| bytes.0.clone())
    };
    let at = tls_secret_of(binding)
        .map(|key| key.to_string())
        .unwrap_or_default();
    let half = |key| LocateError::SecretKey {
        secret: at.clone(),
        binding: key_of(binding).to_string(),
        key,
        what: "value",
    };
    let identity = match (data("tls.crt"), data("tls.key")) {
        (Some(certificate), Some(key)) => Some(Identity {
            certificate,
            key: key.into(),
        }),
        (None, None) => None,
        (Some(_), None) => return Err(half("tls.key")),
        (None, Some(_)) => return Err(half("tls.crt")),
    };
    let tls = Tls {
        ca_bundle: given.or_else(|| data("ca.crt")).unwrap_or_default(),
        server_name: config.server_name.clone().filter(|name| !name.is_empty()),
        skip_verify: config.insecure_skip_tls_verify.unwrap_or_default(),
        identity,
        demand: endpoint.demand,
    };
    let checks = matches!(tls.demand, Demand::Authority | Demand::Host) && !tls.skip_verify;
    if checks && tls.ca_bundle.is_empty() {
        return Err(LocateError::NoAuthority(key_of(binding)));
    }
    Ok(tls)
}

fn unknown_family(binding: &AppBinding) -> LocateError {
    let type_ = binding.spec.type_.as_deref().unwrap_or_default();
    let binding = key_of(binding);
    match type_ {
        "" => LocateError::NoFamily(binding),
        type_ => LocateError::UnknownType {
            binding,
            type_: type_.chars().take(63).collect(),
        },
    }
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
    let query = service.query.as_deref().unwrap_or_default();
    Ok(Endpoint {
        host,
        port,
        family: None,
        database: None,
        demand: endpoint::demand(query).map_err(|source| LocateError::Address {
            binding: key(),
            source,
        })?,
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
        .find_map(|kind| Family::of_kind(kind))
}

/// All kinds of servers that we know.
fn kinds() -> String {
    let kinds = Family::ALL.iter().flat_map(|family| family.facts().kinds);
    kinds.copied().collect::<Vec<_>>().join(", ")
}

pub(crate) fn namespace_of(binding: &AppBinding) -> &str {
    binding.metadata.namespace.as_deref().unwrap_or_default()
}

pub(crate) fn key_of(binding: &AppBinding) -> Key {
    Key::new(
        namespace_of(binding),
        binding.metadata.name.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
