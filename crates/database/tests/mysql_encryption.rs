//! MariaDB servers that demand encryption and a client's certificate.
#![cfg(test)]

use std::io::{Read, Write};
use std::time::Duration;

use kubestash_database::{
    Connection, Credentials, Demand, DumpRequest, Error, Family, Identity, LoadRequest, Outline,
    Role, Tls,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tokio_util::sync::CancellationToken;

mod support;
use support::MariaDb;

/// Starts a server that takes encrypted connections only, and a user who has to show a certificate.
async fn start() -> (MariaDb, String, Identity) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "keeper");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = params.signed_by(&client_key, &authority).unwrap();
    let pem = AsRef::<rcgen::Certificate>::as_ref(&authority).pem();

    let mut server = MariaDb::start().await;
    server.fill_druid("druid", 5).await;
    server
        .run(&[
            "CREATE USER keeper@'127.0.0.1' IDENTIFIED BY 'keeper' REQUIRE X509",
            "GRANT ALL ON *.* TO keeper@'127.0.0.1'",
            "CREATE DATABASE copy",
        ])
        .await;
    server.kill();
    let mut options = Vec::new();
    for (option, content) in [
        ("ca", pem.clone()),
        ("cert", certificate.pem()),
        ("key", key.serialize_pem()),
    ] {
        let file = server.dir().join(format!("{option}.pem"));
        std::fs::write(&file, content).unwrap();
        options.push(format!("--ssl-{option}={}", file.display()));
    }
    server.boot_with(&options).await;
    let identity = Identity {
        certificate: client.pem().into_bytes(),
        key: client_key.serialize_pem().into_bytes().into(),
    };
    (server, pem, identity)
}

async fn dump(connection: &Connection) -> Result<String, Error> {
    let scratch = tempfile::tempdir().unwrap();
    let dump = Family::MySql
        .dump(DumpRequest {
            connection,
            role: &Role::Plain,
            databases: &["druid".to_owned()],
            args: "",
            default_args: false,
            program: "",
            scratch_dir: scratch.path(),
            wait_timeout: Duration::from_secs(5),
            cancel: CancellationToken::new(),
        })
        .await?;
    let mut stream = dump.stream;
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    let text = text.await.unwrap().unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    Ok(text)
}

async fn load(connection: &Connection, sql: String) {
    let scratch = tempfile::tempdir().unwrap();
    let started = Family::MySql
        .load(LoadRequest {
            connection,
            database: Some("copy"),
            role: &Role::Plain,
            outline: &Outline::default(),
            args: "",
            scratch_dir: scratch.path(),
            wait_timeout: Duration::from_secs(5),
        })
        .await
        .unwrap();
    let mut sink = started.sink;
    tokio::task::spawn_blocking(move || {
        sink.write_all(sql.as_bytes()).unwrap();
        sink.finish().unwrap();
    })
    .await
    .unwrap();
    started
        .running
        .finish(&CancellationToken::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_demands_a_certificate_gets_it_and_is_checked_as_the_binding_says() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (server, authority, identity) = start().await;
    let connection = |change: &dyn Fn(&mut Tls)| {
        let mut tls = Tls {
            ca_bundle: authority.clone().into_bytes(),
            server_name: Some("localhost".into()),
            identity: Some(identity.clone()),
            ..Tls::default()
        };
        change(&mut tls);
        let mut connection = server.connection();
        connection.credentials = Credentials::new("keeper", "keeper".to_owned());
        connection.tls = Some(tls);
        connection
    };
    let strict = connection(&|_| {});
    let text = dump(&strict).await.unwrap();
    assert!(text.contains("druid_segments"));
    load(&strict, text.clone()).await;
    let count = "SELECT COUNT(*) FROM copy.druid_segments";
    assert_eq!(server.column(count).await, ["5"]);

    // Without a check.
    let lax: [&dyn Fn(&mut Tls); 2] = [&|tls| tls.skip_verify = true, &|tls| {
        tls.ca_bundle = Vec::new();
        tls.demand = Demand::Encrypted;
    }];
    for change in lax {
        assert_eq!(dump(&connection(change)).await.unwrap(), text);
    }
    // 127.0.0.1 is not in the certificate, and the name counts even if only the authority was to be
    // checked.
    for demand in [Demand::Unsaid, Demand::Authority] {
        let unnamed = connection(&|tls| (tls.server_name, tls.demand) = (None, demand));
        let error = dump(&unnamed).await.unwrap_err();
        assert_eq!(error.kind(), "DatabaseEncryption", "{error}");
    }
    let error = dump(&connection(&|tls| tls.identity = None))
        .await
        .unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(!error.to_string().contains("'keeper' REQUIRE"), "{error}");
}
