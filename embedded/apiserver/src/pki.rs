//! TLS of the server: a certificate authority that lives in the data directory, and a serving
//! certificate made from it at each start, so that neither an expired certificate nor a changed
//! address needs care.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::data_dir::{DataDirError, read_or_create};

const NAMES: [&str; 5] = [
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the directory `pki` could not be read or written.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A certificate could not be made, or a key in the data directory is damaged.
    #[error(
        "failed to create the server's certificate: {0}; if a file in pki/ is damaged, remove it"
    )]
    Certificate(#[from] rcgen::Error),
    /// A certificate in the data directory is damaged.
    #[error(
        "failed to read pki/ca.crt: {0}; remove pki/ca.crt and pki/ca.key, clients then need the new CA"
    )]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// TLS refused the certificate.
    #[error("failed to set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl PkiError {
    /// A stable word for the kind of error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DataDir(error) => error.kind(),
            Self::Certificate(_) => "Certificate",
            Self::Pem(_) => "Pem",
            Self::Tls(_) => "Tls",
        }
    }
}

/// The server's TLS identity.
pub(crate) struct Pki {
    pub(crate) ca_pem: String,
    pub(crate) tls: Arc<ServerConfig>,
}

/// Reads or makes the CA in `dir`, and makes a serving certificate for loopback, `address` and the
/// names of the API inside a cluster.
pub(crate) fn load(dir: &Path, address: IpAddr) -> Result<Pki, PkiError> {
    let generate_key =
        || -> Result<_, PkiError> { Ok(Zeroizing::new(KeyPair::generate()?.serialize_pem())) };
    let ca_key = KeyPair::from_pem(&read_or_create(dir, "ca.key", generate_key)?)?;
    let ca_params = ca_params();
    let generate_certificate =
        || -> Result<_, PkiError> { Ok(Zeroizing::new(ca_params.self_signed(&ca_key)?.pem())) };
    let ca_pem = read_or_create(dir, "ca.crt", generate_certificate)?;
    let ca_der = CertificateDer::from_pem_slice(ca_pem.as_bytes())?;

    let issuer = Issuer::from_params(&ca_params, &ca_key);
    let server_key = KeyPair::generate()?;
    let certificate = server_params(address)?.signed_by(&server_key, &issuer)?;
    let private_key = PrivateKeyDer::try_from(server_key.serialize_der())
        .map_err(|reason| rustls::Error::General(reason.to_owned()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone(), ca_der], private_key)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Pki {
        ca_pem: ca_pem.to_string(),
        tls: Arc::new(tls),
    })
}

/// The same for every start: the issuer of a serving certificate is rebuilt from it, not parsed.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "kubestash-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    params
}

fn server_params(address: IpAddr) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    let mut addresses = vec![
        IpAddr::from([127, 0, 0, 1]),
        std::net::Ipv6Addr::LOCALHOST.into(),
    ];
    if !addresses.contains(&address) {
        addresses.push(address);
    }
    params
        .subject_alt_names
        .extend(addresses.into_iter().map(SanType::IpAddress));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    Ok(params)
}
