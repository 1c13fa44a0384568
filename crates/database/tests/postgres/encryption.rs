//! Servers that demand encryption, and clients that check them.

use std::path::Path;

use kubestash_database::{Demand, Error, Identity, Role, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};

use crate::server::Postgres;
use crate::task::{Request, restore};

/// An authority, a server's certificate for `localhost`, and a client's for `keeper`.
struct Certificates {
    authority: String,
    server: (String, String),
    client: Identity,
}

fn certificates() -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let server = params.signed_by(&key, &authority).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "keeper");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = params.signed_by(&client_key, &authority).unwrap();
    Certificates {
        authority: AsRef::<rcgen::Certificate>::as_ref(&authority).pem(),
        server: (server.pem(), key.serialize_pem()),
        client: Identity {
            certificate: client.pem().into_bytes(),
            key: client_key.serialize_pem().into_bytes().into(),
        },
    }
}

/// Starts a server that lets nobody in without encryption, and `keeper` only with a certificate.
async fn start(certificates: &Certificates) -> Postgres {
    let prepare = |data: &Path| {
        let write = |name: &str, content: &str| {
            let file = data.join(name);
            std::fs::write(&file, content).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(file, mode).unwrap();
        };
        write("ca.crt", &certificates.authority);
        write("server.crt", &certificates.server.0);
        write("server.key", &certificates.server.1);
        write(
            "pg_hba.conf",
            "hostssl all keeper 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
        );
    };
    Postgres::start_with(&["ssl=on", "ssl_ca_file=ca.crt"], prepare).await
}

fn with(server: &Postgres, change: impl FnOnce(&mut Tls)) -> Request {
    let mut tls = Tls::default();
    change(&mut tls);
    let mut connection = server.connection();
    connection.tls = Some(tls);
    Request::plain(connection).args("postgres")
}

async fn refused(request: Request) -> Error {
    let error = request.start().await.err().unwrap();
    assert_eq!(error.kind(), "DatabaseEncryption", "{error}");
    assert!(error.is_permanent(), "{error}");
    error
}

#[tokio::test]
async fn a_server_that_demands_encryption_is_checked_as_the_binding_says() {
    let certificates = certificates();
    let server = start(&certificates).await;
    let bundle = || certificates.authority.clone().into_bytes();

    // By the name in the certificate: that of the host, or the one that is given.
    let mut request = with(&server, |tls| tls.ca_bundle = bundle());
    request.connection.host = "localhost".into();
    let text = request.text().await;
    assert!(text.contains("PostgreSQL database dump complete"));
    assert_eq!(request.left_files(), 0);
    let request = with(&server, |tls| {
        tls.ca_bundle = bundle();
        tls.server_name = Some("localhost".into());
    });
    assert_eq!(request.text().await, text);
    restore(
        &request.connection,
        &Role::Plain,
        Some("postgres"),
        text.as_bytes(),
    )
    .await
    .unwrap();

    // The certificate is not for 127.0.0.1.
    refused(with(&server, |tls| tls.ca_bundle = bundle())).await;
    let lax = [
        with(&server, |tls| {
            tls.ca_bundle = bundle();
            tls.demand = Demand::Authority;
        }),
        with(&server, |tls| {
            tls.ca_bundle = bundle();
            tls.skip_verify = true;
        }),
        with(&server, |tls| tls.demand = Demand::Encrypted),
        with(&server, |_| {}),
    ];
    for request in lax {
        assert_eq!(request.text().await, text);
    }

    let stranger = rcgen::generate_simple_self_signed(vec!["x".into()])
        .unwrap()
        .cert
        .pem();
    for demand in [Demand::Unsaid, Demand::Authority] {
        let error = refused(with(&server, |tls| {
            tls.ca_bundle = stranger.clone().into_bytes();
            tls.server_name = Some("localhost".into());
            tls.demand = demand;
        }))
        .await;
        assert!(error.to_string().contains("caBundle"), "{error}");
    }
    let error = refused(with(&server, |tls| tls.ca_bundle = b"no pem".to_vec())).await;
    assert!(
        error.to_string().contains("no certificate in PEM"),
        "{error}"
    );
    let error = refused(with(&server, |tls| tls.demand = Demand::Disabled)).await;
    assert!(error.to_string().contains("no encryption"), "{error}");
}

#[tokio::test]
async fn a_client_shows_its_certificate_in_the_place_of_a_password() {
    let certificates = certificates();
    let server = start(&certificates).await;
    let admin = with(&server, |tls| tls.demand = Demand::Encrypted);
    // Whoever restores needs rights: made with psql, for the tests' own driver knows no encryption.
    let sql = "CREATE ROLE keeper SUPERUSER LOGIN;";
    load_sql(&admin, sql).await;

    let keeper = |identity: Option<Identity>| {
        let mut request = with(&server, |tls| {
            tls.ca_bundle = certificates.authority.clone().into_bytes();
            tls.server_name = Some("localhost".into());
            tls.identity = identity;
        });
        let credentials = kubestash_database::Credentials::new("keeper", String::new());
        request.connection.credentials = credentials;
        request
    };
    let request = keeper(Some(certificates.client.clone()));
    let text = request.text().await;
    assert!(text.contains("PostgreSQL database dump complete"));
    assert_eq!(request.left_files(), 0);
    restore(
        &request.connection,
        &Role::Plain,
        Some("copy"),
        text.as_bytes(),
    )
    .await
    .unwrap();

    let error = refused(keeper(None)).await;
    assert!(error.to_string().contains("client certificate"), "{error}");
    let mut broken = certificates.client.clone();
    broken.key = b"no key".to_vec().into();
    let error = refused(keeper(Some(broken))).await;
    assert!(error.to_string().contains("tls.key"), "{error}");
}

async fn load_sql(request: &Request, sql: &str) {
    crate::task::load(
        &request.connection,
        Some("postgres"),
        sql.as_bytes(),
        sql.len(),
    )
    .await
    .unwrap();
}
