//! Reaching storages: what is there, what is missing, who may not, and who does not answer.
#![cfg(test)]

mod support;

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kubestash_engine::storage::{
    Azure, AzureCredentials, Gcs, GcsCredentials, Provider, S3, S3Credentials,
};
use kubestash_engine::{ObjectStore, Secret, StorageConfig, StorageError};
use support::*;

#[tokio::test]
async fn a_bucket_is_written_listed_read_and_wiped() {
    let emulator = GcsEmulator::start().await;
    let store = emulator.store();
    store.probe().await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
    assert_eq!(store.remove_all("nothing/here").await.unwrap(), 0);
    let yaml = Bytes::from_static(b"kind: BackendMeta\n");
    store
        .write("metadata.yaml", yaml.clone(), Some("application/yaml"))
        .await
        .unwrap();
    for number in 0..25 {
        let content = Bytes::from(vec![b'x'; number]);
        store
            .write(&format!("a/b{}/{number:02}", number % 3), content, None)
            .await
            .unwrap();
    }
    assert_eq!(store.read("metadata.yaml").await.unwrap(), yaml);
    assert_eq!(
        store.read_range("metadata.yaml", 6, 4).await.unwrap(),
        "Back"
    );
    assert!(store.read_range("metadata.yaml", 6, 400).await.is_err());
    assert!(store.exists("metadata.yaml").await.unwrap());
    assert!(!store.exists("a").await.unwrap());
    assert!(store.read("a/none").await.unwrap_err().is_not_found());
    let listed = store.list("a/b1").await.unwrap();
    assert_eq!(listed.len(), 8);
    assert_eq!((listed[1].path.as_str(), listed[1].size), ("a/b1/04", 4));
    assert!(listed[1].modified.is_some());
    assert_eq!(store.list_names("").await.unwrap(), ["a/", "metadata.yaml"]);
    assert_eq!(store.list_names("a").await.unwrap(), ["b0/", "b1/", "b2/"]);
    // A neighbour whose name begins alike is none of our business.
    store.write("a/b10/x", yaml, None).await.unwrap();
    assert_eq!(store.remove_all("a/b1").await.unwrap(), 8);
    store.delete("a/b0/00").await.unwrap();
    store.delete("a/b0/00").await.unwrap();
    // A store without the prefix sees where everything really lies, and its type.
    let whole = ObjectStore::open(&StorageConfig {
        prefix: String::new(),
        ..emulator.config("demo")
    })
    .unwrap();
    let paths: Vec<_> = whole
        .list("")
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert_eq!(paths.len(), 18);
    assert!(
        paths.iter().all(|path| path.starts_with("blueprint/")),
        "{paths:?}"
    );
    let url = format!(
        "{}/storage/v1/b/demo/o/blueprint%2Fmetadata.yaml",
        emulator.endpoint
    );
    let object = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(object.contains("application/yaml"), "{object}");
    assert_eq!(store.remove_all("").await.unwrap(), 18);
    assert_eq!(whole.list("").await.unwrap(), []);
}

#[tokio::test]
async fn a_missing_bucket_is_told_when_asked_and_when_written_or_listed() {
    let emulator = GcsEmulator::start().await;
    let store = ObjectStore::open(&emulator.config("no-such-bucket")).unwrap();
    let error = store.probe().await.unwrap_err();
    assert_eq!(error.kind(), "BucketMissing");
    assert!(
        error.to_string().contains("GCS bucket no-such-bucket"),
        "{error}"
    );
    assert!(error.to_string().contains("create it"), "{error}");
    let written = store.write("x", Bytes::from_static(b"y"), None).await;
    assert_eq!(written.unwrap_err().kind(), "BucketMissing");
    assert_eq!(store.list("").await.unwrap_err().kind(), "BucketMissing");
}

fn gcs(endpoint: String) -> ObjectStore {
    ObjectStore::open(&StorageConfig {
        provider: Provider::Gcs(Gcs {
            bucket: "demo".to_owned(),
            credentials: GcsCredentials::Emulator { endpoint },
        }),
        prefix: String::new(),
        max_connections: None,
    })
    .unwrap()
}

#[tokio::test]
async fn nobody_there_is_told_within_seconds() {
    // A port that was free a moment ago, and one where connections stand but nothing is answered.
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [dead, silent.local_addr().unwrap()] {
        let started = Instant::now();
        let error = gcs(address.to_string()).probe().await.unwrap_err();
        assert_eq!(error.kind(), "EndpointUnreachable", "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(started.elapsed() < Duration::from_secs(8));
    }
}

/// A server that answers every request in the same words.
fn server(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            std::thread::spawn(move || {
                let mut request = [0; 16 << 10];
                while connection.read(&mut request).is_ok_and(|length| length > 0) {
                    let answer = format!(
                        "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if connection.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

fn s3(endpoint: String) -> ObjectStore {
    ObjectStore::open(&StorageConfig {
        provider: Provider::S3(S3 {
            endpoint: Some(endpoint),
            bucket: "demo".to_owned(),
            region: None,
            credentials: S3Credentials::Keys {
                access_key_id: Secret::new("canary-access-key"),
                secret_access_key: Secret::new("canary-secret-key"),
            },
            ca_pem: None,
            insecure_tls: false,
        }),
        prefix: "blueprint".to_owned(),
        max_connections: None,
    })
    .unwrap()
}

fn azure(endpoint: String) -> ObjectStore {
    ObjectStore::open(&StorageConfig {
        provider: Provider::Azure(Azure {
            account: "account".to_owned(),
            container: "demo".to_owned(),
            endpoint: Some(endpoint),
            credentials: AzureCredentials::AccountKey(Secret::new("Y2FuYXJ5LWtleQ==")),
        }),
        prefix: String::new(),
        max_connections: None,
    })
    .unwrap()
}

/// An error with all its causes, as somebody would log it.
fn chain(error: &StorageError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

#[tokio::test]
async fn what_servers_refuse_is_told_with_its_remedy_and_without_credentials() {
    let denied = "<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist.</Message><AWSAccessKeyId>canary-access-key</AWSAccessKeyId></Error>";
    let missing = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>";
    let full = "<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free drive threshold.</Message></Error>";
    let azure_denied = "<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.</Message></Error>";
    let azure_missing = "<Error><Code>ContainerNotFound</Code><Message>The specified container does not exist.</Message></Error>";
    let cases = [
        (s3(server("403 Forbidden", denied)), "AccessDenied"),
        (s3(server("404 Not Found", missing)), "BucketMissing"),
        (s3(server("507 Insufficient Storage", full)), "StorageFull"),
        (azure(server("403 Forbidden", azure_denied)), "AccessDenied"),
        (
            azure(server("404 Not Found", azure_missing)),
            "BucketMissing",
        ),
        (gcs(server("401 Unauthorized", "")), "AccessDenied"),
        (
            gcs(server("418 I'm a teapot", "who are you?")),
            "StorageFailed",
        ),
    ];
    for (store, kind) in cases {
        for error in [
            store.probe().await.unwrap_err(),
            store
                .write("x", Bytes::from_static(b"y"), None)
                .await
                .unwrap_err(),
            store.list("").await.unwrap_err(),
        ] {
            let text = chain(&error);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(text.contains("demo"), "{text}");
            assert!(
                !text.contains("canary") && !text.contains("Y2FuYXJ5"),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn what_can_not_work_is_refused_before_anything_is_sent() {
    let open = |provider| {
        ObjectStore::open(&StorageConfig {
            provider,
            prefix: String::new(),
            max_connections: None,
        })
    };
    let key = |text: &str| {
        Provider::Gcs(Gcs {
            bucket: "demo".to_owned(),
            credentials: GcsCredentials::ServiceAccount(Secret::new(text)),
        })
    };
    let s3 = |ca: &[u8]| {
        Provider::S3(S3 {
            endpoint: None,
            bucket: "demo".to_owned(),
            region: None,
            credentials: S3Credentials::Ambient,
            ca_pem: Some(ca.to_vec()),
            insecure_tls: false,
        })
    };
    let container = |account: &str, key: &str| {
        Provider::Azure(Azure {
            account: account.to_owned(),
            container: "demo".to_owned(),
            endpoint: None,
            credentials: AzureCredentials::AccountKey(Secret::new(key)),
        })
    };
    for (provider, word) in [
        (key("canary"), "service account key"),
        (key("{\"canary\": 1}"), "service account key"),
        (s3(b"canary"), "no certificate"),
        (container("", "Y2FuYXJ5"), "storage account is empty"),
        (container("a", "canary!"), "not valid base64"),
    ] {
        let error = open(provider).unwrap_err();
        let text = chain(&error);
        assert_eq!(error.kind(), "InvalidStorageConfig", "{text}");
        assert!(error.is_permanent());
        assert!(text.contains(word) && !text.contains("canary"), "{text}");
    }
    assert!(open(key("{\"type\": \"service_account\"}")).is_ok());
}

#[tokio::test]
async fn a_key_that_google_would_not_take_is_an_access_problem_and_stays_secret() {
    let store = ObjectStore::open(&StorageConfig {
        provider: Provider::Gcs(Gcs {
            bucket: "demo".to_owned(),
            credentials: GcsCredentials::ServiceAccount(Secret::new(
                r#"{"type": "service_account", "client_email": "a@b", "private_key": "canary", "token_uri": "http://127.0.0.1:9/"}"#,
            )),
        }),
        prefix: String::new(),
        max_connections: None,
    })
    .unwrap();
    let error = store.probe().await.unwrap_err();
    let text = chain(&error);
    assert_eq!(error.kind(), "AccessDenied", "{text}");
    assert!(!text.contains("canary"), "{text}");
}
