use serde_json::{Value, json};

use super::*;

fn druid(metadata_storage: Value) -> Druid {
    serde_json::from_value(json!({
        "apiVersion": "kubedb.com/v1alpha2", "kind": "Druid",
        "metadata": {"name": "sample-druid", "namespace": "demo"},
        "spec": {"version": "30.0.0", "metadataStorage": metadata_storage},
    }))
    .unwrap()
}

fn binding(spec: Value) -> AppBinding {
    serde_json::from_value(json!({
        "apiVersion": "appcatalog.appscode.com/v1alpha1", "kind": "AppBinding",
        "metadata": {"name": "db", "namespace": "demo"},
        "spec": spec,
    }))
    .unwrap()
}

fn secret(data: Value) -> Secret {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "db-auth", "namespace": "demo"}, "data": data,
    }))
    .unwrap()
}

fn root() -> Secret {
    secret(json!({"username": "cm9vdA==", "password": "aHVudGVyMg=="}))
}

fn keys(credentials: &Secret) -> Keys<'_> {
    Keys {
        credentials: Some(credentials),
        ..Keys::default()
    }
}

#[test]
fn the_kind_of_the_target_says_what_to_read() {
    let key = || Key::new("demo", "x");
    let cases = [
        ("kubedb.com", "Druid", Some(Step::Druid(key()))),
        ("kubedb.com", "MySQL", Some(Step::Binding(key()))),
        ("kubedb.com", "MariaDB", Some(Step::Binding(key()))),
        ("kubedb.com", "Postgres", Some(Step::Binding(key()))),
        (
            "appcatalog.appscode.com",
            "AppBinding",
            Some(Step::Binding(key())),
        ),
        ("kubedb.com", "Redis", None),
        ("apps", "Deployment", None),
        ("", "", None),
    ];
    for (group, kind, expected) in cases {
        let mut target = TypedObjectReference::new(group, kind, "x", "demo");
        assert_eq!(first(Some(&target), "other").ok(), expected, "{kind}");
        target.namespace = None;
        assert_eq!(first(Some(&target), "demo").ok(), expected, "{kind}");
    }
    assert_eq!(first(None, "demo"), Err(LocateError::NoTarget));
    let error = first(
        Some(&TypedObjectReference::new(
            "apps",
            "Deployment",
            "x",
            "demo",
        )),
        "demo",
    );
    assert!(error.unwrap_err().to_string().contains("\"Deployment\""));
}

#[test]
fn a_druid_leads_to_the_binding_of_its_metadata_store() {
    let cases = [
        (
            json!(null),
            "demo/sample-druid-mysql-metadata",
            "druid",
            Some(Family::MySql),
        ),
        (
            json!({}),
            "demo/sample-druid-mysql-metadata",
            "druid",
            Some(Family::MySql),
        ),
        (
            json!({"type": "PostgreSQL"}),
            "demo/sample-druid-pg-metadata",
            "druid",
            Some(Family::Postgres),
        ),
        (
            json!({"type": "MySQL", "name": "my-dev1", "namespace": "dev1", "linkedDB": "meta"}),
            "dev1/my-dev1",
            "meta",
            Some(Family::MySql),
        ),
        (
            json!({"name": "own", "externallyManaged": true}),
            "demo/own",
            "druid",
            None,
        ),
        (
            json!({"name": "", "namespace": "", "linkedDB": ""}),
            "demo/sample-druid-mysql-metadata",
            "druid",
            Some(Family::MySql),
        ),
    ];
    for (storage, expected, linked_db, family) in cases {
        let found = metadata_store(&druid(storage.clone()));
        assert_eq!(found.binding.to_string(), expected, "{storage}");
        let role = Role::DruidMetadata {
            linked_db: linked_db.to_owned(),
        };
        assert_eq!((found.role, found.family), (role, family), "{storage}");
    }
}

#[test]
fn the_binding_of_a_druid_leads_back_to_the_druid() {
    let druids = binding(json!({
        "clientConfig": {}, "appRef": {"apiGroup": "kubedb.com", "kind": "Druid", "name": "d", "namespace": "dev"},
    }));
    assert_eq!(druid_of(&druids), Some(Key::new("dev", "d")));
    let mysqls = binding(json!({
        "clientConfig": {}, "appRef": {"apiGroup": "kubedb.com", "kind": "MySQL", "name": "d"},
    }));
    assert_eq!(druid_of(&mysqls), None);
}

#[test]
fn a_binding_and_its_secret_make_a_connection() {
    let url = json!({"url": "tcp(db.demo.svc:3307)/", "service": {"name": "s", "port": 1, "scheme": "tcp"}});
    let cases = [
        (
            json!({"type": "kubedb.com/mysql", "clientConfig": url}),
            "db.demo.svc:3307",
        ),
        (
            json!({"type": "mysql", "clientConfig": {"service": {"name": "s", "port": 3308, "scheme": "tcp"}}}),
            "s.demo.svc:3308",
        ),
        (
            json!({"type": "kubedb.com/mariadb", "clientConfig": {"service": {"name": "s", "namespace": "o", "port": 0, "scheme": "mysql"}}}),
            "s.o.svc:3306",
        ),
        (json!({"clientConfig": {"url": "mysql://db"}}), "db:3306"),
        (
            json!({"appRef": {"kind": "MySQL", "name": "x"}, "clientConfig": {"url": "db:1"}}),
            "db:1",
        ),
    ];
    for (mut spec, address) in cases {
        spec["secret"] = json!({"name": "db-auth"});
        let (family, found) = connection(&binding(spec.clone()), keys(&root()), None).unwrap();
        assert_eq!(
            (family, found.address().as_str()),
            (Family::MySql, address),
            "{spec}"
        );
        assert_eq!(found.credentials.user(), "root");
        assert_eq!(found.credentials.password(), "hunter2");
        assert_eq!(found.origin, "AppBinding demo/db");
        assert_eq!(found.secret, "Secret demo/db-auth");
        assert_eq!(found.tls, None);
    }
    let spec = json!({"clientConfig": {"url": "db"}, "secret": {"name": "db-auth"}});
    assert_eq!(
        connection(&binding(spec.clone()), keys(&root()), Some(Family::MySql))
            .unwrap()
            .0,
        Family::MySql
    );
    let error = connection(&binding(spec), keys(&root()), None).unwrap_err();
    assert_eq!(error, LocateError::NoFamily(Key::new("demo", "db")));
}

fn tls_secret(data: Value) -> Secret {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "db-client-cert", "namespace": "demo"}, "data": data,
    }))
    .unwrap()
}

fn tls_of_spec(spec: Value, tls: Option<&Secret>) -> Result<Connection, LocateError> {
    let root = root();
    let keys = Keys {
        credentials: Some(&root),
        tls,
        user: "postgres",
    };
    connection(&binding(spec), keys, None).map(|(_, connection)| connection)
}

#[test]
fn transport_security_is_carried_along() {
    let spec = json!({
        "type": "kubedb.com/mysql", "secret": {"name": "db-auth"}, "tlsSecret": {"name": "db-client-cert"},
        "clientConfig": {"url": "tcp(db:3306)/", "caBundle": "cGVt", "serverName": "db", "insecureSkipTLSVerify": true},
    });
    assert_eq!(
        tls_secret_of(&binding(spec.clone())),
        Some(Key::new("demo", "db-client-cert"))
    );
    let secret = tls_secret(json!({"ca.crt": "b3RoZXI=", "tls.crt": "Y3J0", "tls.key": "a2V5"}));
    let connection = tls_of_spec(spec, Some(&secret)).unwrap();
    assert!(!format!("{connection:?}").contains("key"), "{connection:?}");
    let tls = connection.tls.unwrap();
    assert_eq!(tls.ca_bundle, b"pem");
    assert_eq!(tls.server_name.as_deref(), Some("db"));
    assert!(tls.skip_verify);
    let identity = tls.identity.unwrap();
    assert_eq!(
        (identity.certificate.as_slice(), identity.key.as_slice()),
        (&b"crt"[..], &b"key"[..])
    );

    // A Secret may hold the authority only, and an address may demand encryption.
    let spec = json!({"type": "postgres", "secret": {"name": "db-auth"}, "tlsSecret": {"name": "db-client-cert"},
        "clientConfig": {"service": {"name": "db", "port": 5432, "scheme": "postgresql", "query": "sslmode=verify-full"}}});
    let secret = tls_secret(json!({"ca.crt": "b3RoZXI="}));
    let tls = tls_of_spec(spec.clone(), Some(&secret))
        .unwrap()
        .tls
        .unwrap();
    assert_eq!(
        (tls.ca_bundle.as_slice(), tls.identity),
        (&b"other"[..], None)
    );
    assert_eq!(tls.demand, Demand::Host);
    let error = tls_of_spec(spec, None).unwrap_err();
    assert_eq!(error, LocateError::NoAuthority(Key::new("demo", "db")));
}

#[test]
fn a_certificate_may_stand_for_the_password() {
    let spec = json!({"type": "postgres", "tlsSecret": {"name": "db-client-cert"},
        "clientConfig": {"url": "postgres://db/shop"}});
    let tls = tls_secret(json!({"tls.crt": "Y3J0", "tls.key": "a2V5"}));
    assert_eq!(secret_of(&binding(spec.clone())), Ok(None));
    let keys = Keys {
        credentials: None,
        tls: Some(&tls),
        user: "keeper",
    };
    let (family, found) = connection(&binding(spec), keys, None).unwrap();
    assert_eq!(
        (family, found.credentials.user()),
        (Family::Postgres, "keeper")
    );
    assert_eq!(found.secret, "Secret demo/db-client-cert");
    assert_eq!(found.database.as_deref(), Some("shop"));
}

#[test]
fn half_a_certificate_is_told_by_the_missing_key() {
    let spec = json!({"type": "postgres", "secret": {"name": "db-auth"}, "tlsSecret": {"name": "db-client-cert"},
        "clientConfig": {"url": "db"}});
    for (data, missing) in [
        (json!({"tls.crt": "Y3J0"}), "\"tls.key\""),
        (json!({"tls.key": "a2V5"}), "\"tls.crt\""),
    ] {
        let error = tls_of_spec(spec.clone(), Some(&tls_secret(data))).unwrap_err();
        for words in [missing, "demo/db-client-cert"] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn a_type_that_we_have_no_client_for_is_told_with_those_that_we_have() {
    let spec = json!({"type": "kubedb.com/redis", "secret": {"name": "db-auth"}, "clientConfig": {"url": "db"}});
    let error = connection(&binding(spec), keys(&root()), None)
        .unwrap_err()
        .to_string();
    for words in ["kubedb.com/redis", "mysql, mariadb", "postgres", "demo/db"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn kubedbs_old_keys_of_postgres_are_read() {
    let old = secret(json!({"POSTGRES_USER": "cm9vdA==", "POSTGRES_PASSWORD": "aHVudGVyMg=="}));
    let spec = json!({"type": "kubedb.com/postgres", "secret": {"name": "db-auth"}, "clientConfig": {"url": "db"}});
    let (_, found) = connection(&binding(spec), keys(&old), None).unwrap();
    assert_eq!(
        (found.credentials.user(), found.credentials.password()),
        ("root", "hunter2")
    );
}

#[test]
fn what_is_missing_is_named_with_object_and_field_and_never_with_a_secret() {
    let good = json!({"type": "kubedb.com/mysql", "clientConfig": {"url": "db:3306"}, "secret": {"name": "db-auth"}});
    let with = |field: &str, value: Value| {
        let mut spec = good.clone();
        spec[field] = value;
        spec
    };
    let cases = [
        (
            with("clientConfig", json!({})),
            root(),
            "spec.clientConfig.url nor spec.clientConfig.service",
        ),
        (
            with("clientConfig", json!({"url": "mysql://u:hunter2@db"})),
            root(),
            "credentials",
        ),
        (
            with(
                "clientConfig",
                json!({"service": {"name": "s", "port": 70000, "scheme": "tcp"}}),
            ),
            root(),
            "spec.clientConfig.service.port",
        ),
        (with("secret", json!(null)), root(), "spec.secret.name"),
        (
            good.clone(),
            secret(json!({"username": "cm9vdA=="})),
            "\"password\"",
        ),
        (
            good.clone(),
            secret(json!({"password": "aHVudGVyMg=="})),
            "\"username\"",
        ),
        (
            good.clone(),
            secret(json!({"username": "cm9vdA==", "password": "//8="})),
            "no text under the key \"password\"",
        ),
    ];
    for (spec, secret, words) in cases {
        let error = connection(&binding(spec), keys(&secret), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.contains("demo/db"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
