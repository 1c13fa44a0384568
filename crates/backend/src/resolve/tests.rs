use serde_json::{Value, json};

use super::*;

fn storage(spec: Value) -> BackupStorage {
    serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1",
        "kind": "BackupStorage",
        "metadata": {"name": "store", "namespace": "demo"},
        "spec": {"storage": spec},
    }))
    .unwrap()
}

fn secret(keys: &[(&str, &str)]) -> KubeSecret {
    KubeSecret {
        data: Some(
            keys.iter()
                .map(|(k, v)| {
                    (
                        (*k).to_owned(),
                        k8s_openapi::ByteString(v.as_bytes().to_vec()),
                    )
                })
                .collect(),
        ),
        ..KubeSecret::default()
    }
}

fn from(spec: Value, keys: Option<&[(&str, &str)]>) -> Result<StorageConfig, BackendError> {
    resolve(
        &storage(spec),
        keys.map(secret).as_ref(),
        &Environment::default(),
        &LocalRoot::InPod,
    )
}

#[test]
fn each_provider_is_reached_with_the_keys_of_its_secret() {
    let gcs = json!({"provider": "gcs", "gcs": {"bucket": "kubestash-qa", "prefix": "/blueprint/", "secretName": "s"}});
    let config = from(gcs, Some(&[("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "{}\n")])).unwrap();
    assert_eq!(config.prefix, "blueprint");
    let Provider::Gcs(gcs) = config.provider else {
        panic!("not gcs")
    };
    assert_eq!(
        gcs.credentials,
        GcsCredentials::ServiceAccount(Secret::new("{}"))
    );

    let s3 = json!({"provider": "s3", "s3": {"bucket": "b", "endpoint": "https://minio:9000/", "region": "eu", "secretName": "s", "insecureTLS": true, "maxConnections": 4}});
    let keys = [
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("CA_CERT_DATA", "pem"),
    ];
    let config = from(s3, Some(&keys)).unwrap();
    assert_eq!(config.max_connections, Some(4));
    let Provider::S3(s3) = config.provider else {
        panic!("not s3")
    };
    assert_eq!(s3.endpoint.as_deref(), Some("https://minio:9000"));
    assert_eq!(s3.ca_pem.as_deref(), Some(b"pem".as_slice()));
    assert!(s3.insecure_tls);

    let azure = json!({"provider": "azure", "azure": {"storageAccount": "a", "container": "c", "secretName": "s"}});
    let config = from(azure, Some(&[("AZURE_ACCOUNT_KEY", "k")])).unwrap();
    let Provider::Azure(azure) = config.provider else {
        panic!("not azure")
    };
    assert_eq!(
        (azure.account.as_str(), azure.container.as_str()),
        ("a", "c")
    );

    let local = json!({"provider": "local", "local": {"mountPath": "/mnt/data", "hostPath": {"path": "/x"}}});
    let config = from(local, None).unwrap();
    assert_eq!(
        config.provider,
        Provider::Local(Local {
            root: "/store/mnt/data".into()
        })
    );
}

#[test]
fn no_secret_name_means_the_identity_of_the_process() {
    for (spec, ambient) in [
        (json!({"provider": "s3", "s3": {"bucket": "b"}}), "Ambient"),
        (
            json!({"provider": "gcs", "gcs": {"bucket": "b", "secretName": ""}}),
            "Ambient",
        ),
        (
            json!({"provider": "azure", "azure": {"storageAccount": "a", "container": "c"}}),
            "Ambient",
        ),
    ] {
        assert!(format!("{:?}", from(spec, None).unwrap()).contains(ambient));
    }
}

#[test]
fn an_emulator_gets_no_credentials_but_the_secret_is_still_checked() {
    let emulator = Environment {
        storage_emulator_host: Some("http://127.0.0.1:4443".to_owned()),
    };
    let spec = storage(json!({"provider": "gcs", "gcs": {"bucket": "b", "secretName": "s"}}));
    let error = resolve(&spec, None, &emulator, &LocalRoot::InPod).unwrap_err();
    assert_eq!(error.kind(), "StorageSecretMissing");
    let keys = secret(&[("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "private")]);
    let config = resolve(&spec, Some(&keys), &emulator, &LocalRoot::InPod).unwrap();
    assert!(format!("{config:?}").contains("Emulator"));
    assert!(!format!("{config:?}").contains("private"));
}

#[test]
fn what_is_missing_is_named_with_its_remedy() {
    type Keys = Option<&'static [(&'static str, &'static str)]>;
    let cases: [(Value, Keys, &str, &str); 9] = [
        (
            json!({"provider": "ftp"}),
            None,
            "InvalidStorage",
            "unknown provider: \"ftp\"",
        ),
        (json!({}), None, "InvalidStorage", "spec.storage.provider"),
        (
            json!({"provider": "gcs"}),
            None,
            "InvalidStorage",
            "spec.storage.gcs",
        ),
        (
            json!({"provider": "gcs", "gcs": {}}),
            None,
            "InvalidStorage",
            "spec.storage.gcs.bucket",
        ),
        (
            json!({"provider": "local", "local": {}}),
            None,
            "InvalidStorage",
            "spec.storage.local.mountPath",
        ),
        (
            json!({"provider": "azure", "azure": {"container": "c"}}),
            None,
            "InvalidStorage",
            "storageAccount",
        ),
        (
            json!({"provider": "s3", "s3": {"bucket": "b", "secretName": "s"}}),
            None,
            "StorageSecretMissing",
            "demo/s",
        ),
        (
            json!({"provider": "s3", "s3": {"bucket": "b", "secretName": "s"}}),
            Some(&[("AWS_ACCESS_KEY_ID", "x")]),
            "StorageSecretKeyMissing",
            "AWS_SECRET_ACCESS_KEY",
        ),
        (
            json!({"provider": "gcs", "gcs": {"bucket": "b", "secretName": "s"}}),
            Some(&[("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "")]),
            "StorageSecretKeyMissing",
            "GOOGLE_SERVICE_ACCOUNT_JSON_KEY",
        ),
    ];
    for (spec, keys, kind, word) in cases {
        let error = from(spec.clone(), keys).unwrap_err();
        assert_eq!(error.kind(), kind, "{spec}: {error}");
        assert!(error.to_string().contains(word), "{spec}: {error}");
        assert!(error.is_permanent());
    }
}
