//! The webhook's TLS certificate: read from a folder, or made at start.
//!
//! A made one lives as long as the process. Its authority signs this one certificate, and only its
//! public half is told to the API server, so nothing needs to be kept.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

use crate::config::WebhookAddress;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file of the folder cannot be read.
    #[error("failed to read {}: put tls.crt, tls.key and ca.crt (PEM) into the webhook's certificate folder", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// No certificate could be made.
    #[error("failed to create a certificate for {host}")]
    Make {
        /// Whom it should be for.
        host: String,
        /// What the library says.
        #[source]
        source: rcgen::Error,
    },
}

impl CertificateError {
    /// A stable word for the kind of failure.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read { .. } => "CertificateUnreadable",
            Self::Make { .. } => "CertificateNotMade",
        }
    }
}

/// A certificate with its key, and the authority that clients shall trust. All PEM.
pub(crate) struct Certificate {
    pub(crate) chain: Vec<u8>,
    pub(crate) key: Zeroizing<Vec<u8>>,
    pub(crate) authority: Vec<u8>,
}

impl Certificate {
    /// Reads `tls.crt`, `tls.key` and `ca.crt` from `folder`.
    pub(crate) fn read(folder: &Path) -> Result<Self, CertificateError> {
        let file = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|source| CertificateError::Read { path, source })
        };
        Ok(Self {
            chain: file("tls.crt")?,
            key: Zeroizing::new(file("tls.key")?),
            authority: file("ca.crt")?,
        })
    }

    /// Makes an authority and a certificate for the address.
    pub(crate) fn make(address: &WebhookAddress) -> Result<Self, CertificateError> {
        let names = match address {
            WebhookAddress::Url { host } => vec![host.trim_matches(['[', ']']).to_owned()],
            WebhookAddress::Service {
                namespace, name, ..
            } => {
                vec![
                    format!("{name}.{namespace}.svc"),
                    format!("{name}.{namespace}.svc.cluster.local"),
                ]
            }
        };
        let host = names.first().cloned().unwrap_or_default();
        Self::signed(names).map_err(|source| CertificateError::Make { host, source })
    }

    fn signed(names: Vec<String>) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name = common_name("kubestash admission webhook authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name = common_name("kubestash admission webhook");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let chain = leaf.signed_by(&key, &issuer)?.pem().into_bytes();
        Ok(Self {
            chain,
            key: Zeroizing::new(key.serialize_pem().into_bytes()),
            authority: issuer.pem().into_bytes(),
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_key_is_refused_with_the_file_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tls.crt"), "x").unwrap();
        let Err(error) = Certificate::read(folder.path()) else {
            panic!("read a folder without a key")
        };
        assert_eq!(error.kind(), "CertificateUnreadable");
        assert!(error.to_string().contains("tls.key"), "{error}");
    }

    #[test]
    fn a_certificate_is_made_for_an_address_and_for_a_service() {
        for address in [
            WebhookAddress::Url {
                host: "127.0.0.1".to_owned(),
            },
            WebhookAddress::Service {
                namespace: "stash".to_owned(),
                name: "webhook".to_owned(),
                port: 443,
            },
        ] {
            let made = Certificate::make(&address).unwrap();
            assert!(made.chain.starts_with(b"-----BEGIN CERTIFICATE"));
            assert!(made.authority.starts_with(b"-----BEGIN CERTIFICATE"));
            assert_ne!(made.chain, made.authority);
        }
    }
}
