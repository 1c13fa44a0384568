//! S3 and Azure against real servers: everything a repository needs of them, and how they refuse.
#![cfg(test)]

#[path = "support/servers.rs"]
mod servers;
mod support;

use std::process::Command;

use kubestash_engine::storage::{Azure, AzureCredentials, Provider, S3, S3Credentials};
use kubestash_engine::{
    CancellationToken, CheckDepth, ObjectStore, Repository as _, ResticRepository, Secret,
    StorageConfig,
};
use servers::{AzureServer, BUCKET, S3Server, Tls, Trust};
use support::*;

fn config(provider: Provider) -> StorageConfig {
    StorageConfig {
        provider,
        prefix: "blueprint".to_owned(),
        max_connections: None,
    }
}

fn s3(server: &S3Server) -> S3 {
    S3 {
        endpoint: Some(server.endpoint.clone()),
        bucket: BUCKET.to_owned(),
        region: Some("us-east-1".to_owned()),
        credentials: S3Credentials::Keys {
            access_key_id: Secret::new(server.access_key_id.clone()),
            secret_access_key: Secret::new(server.secret_access_key.clone()),
        },
        ca_pem: None,
        insecure_tls: false,
    }
}

fn azure(server: &AzureServer) -> Azure {
    Azure {
        account: server.account.clone(),
        container: BUCKET.to_owned(),
        endpoint: Some(server.endpoint.clone()),
        credentials: AzureCredentials::AccountKey(Secret::new(server.key.clone())),
    }
}

fn open(provider: Provider) -> ObjectStore {
    ObjectStore::open(&config(provider)).unwrap()
}

/// Backs up twice, restores, forgets and prunes, checks all data; returns the content that is left.
async fn work(store: &ObjectStore) -> Vec<u8> {
    store.probe().await.unwrap();
    let repository = repository(store).await;
    let (first, second) = (dump_text(1, 12 << 20), dump_text(2, 3 << 20));
    let old = back_up(&repository, &first).await.unwrap();
    let new = back_up(&repository, &second).await.unwrap();
    assert!(restored(&repository, &old.snapshot_id).await.unwrap() == first);
    let before = repository.stats().await.unwrap();
    repository
        .forget(vec![old.snapshot_id], CancellationToken::new())
        .await
        .unwrap();
    let after = repository.stats().await.unwrap();
    assert_ne!(before, after, "nothing was pruned");
    assert!(
        repository
            .check(CheckDepth::ReadData)
            .await
            .unwrap()
            .is_sound()
    );

    // Somebody who comes later finds it, and only with the right password.
    let open = |password: &'static str| async move {
        let password = Secret::new(password);
        ResticRepository::open(store, DIRECTORY, &password, options("another-job")).await
    };
    let error = open("wrong").await.unwrap_err();
    assert_eq!(error.kind(), "WrongPassword");
    let again = open(PASSWORD).await.unwrap();
    let listed = again.snapshots().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(restored(&again, &new.snapshot_id).await.unwrap() == second);
    let locks = store.list(&format!("{DIRECTORY}/locks")).await.unwrap();
    assert_eq!(locks, []);
    second
}

/// Each request fails alike.
async fn refused(store: &ObjectStore, kind: &str) {
    for error in [
        store.probe().await.unwrap_err(),
        store.list("").await.unwrap_err(),
        store.write("x", "y".into(), None).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_bucket_is_used_and_the_real_restic_reads_it_there() {
    let server = S3Server::start(None);
    let store = open(Provider::S3(s3(&server)));
    let content = work(&store).await;

    let restic = |args: &[&str]| {
        let url = format!("s3:{}/{BUCKET}/blueprint/{DIRECTORY}", server.endpoint);
        let output = Command::new("restic")
            .args(["--no-cache", "--repo", &url])
            .args(args)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("AWS_ACCESS_KEY_ID", &server.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &server.secret_access_key)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let checked = restic(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let target = tempfile::tempdir().unwrap();
    restic(&[
        "restore",
        "latest",
        "--target",
        target.path().to_str().unwrap(),
    ]);
    assert!(std::fs::read(target.path().join(FILE)).unwrap() == content);
    // What it adds, we read; what both wrote goes when all goes.
    restic(&["tag", "--add", "by-restic", "latest"]);
    let repository = repository(&store).await;
    let tags = repository.snapshots().await.unwrap()[0].tags.clone();
    assert!(tags.contains(&"by-restic".to_owned()), "{tags:?}");
    assert!(store.remove_all("").await.unwrap() > 5);
    assert_eq!(store.list("").await.unwrap(), []);

    let missing = S3 {
        bucket: "no-such-bucket".to_owned(),
        ..s3(&server)
    };
    refused(&open(Provider::S3(missing)), "BucketMissing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_s3_server_does_not_know_is_an_access_problem() {
    let server = S3Server::trusting(Trust::Keys, None);
    let good = open(Provider::S3(s3(&server)));
    good.write("x", "y".into(), None).await.unwrap();
    assert_eq!(good.read("x").await.unwrap(), "y");
    for (id, key) in [
        (server.access_key_id.as_str(), "wrong"),
        ("nobody", server.secret_access_key.as_str()),
    ] {
        let wrong = S3 {
            credentials: S3Credentials::Keys {
                access_key_id: Secret::new(id),
                secret_access_key: Secret::new(key),
            },
            ..s3(&server)
        };
        let store = open(Provider::S3(wrong));
        refused(&store, "AccessDenied").await;
        assert_eq!(store.read("x").await.unwrap_err().kind(), "AccessDenied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_certificate_is_trusted_when_it_is_given_or_when_any_is() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let pem = made.cert.pem();
    std::fs::write(&files[0], &pem).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    let server = S3Server::start(Some(Tls {
        certificate: &files[0],
        key: &files[1],
    }));
    let unknown = open(Provider::S3(s3(&server)));
    let error = unknown.probe().await.unwrap_err();
    assert_eq!(error.kind(), "EndpointUnreachable", "{error}");

    let given = S3 {
        ca_pem: Some(pem.into_bytes()),
        ..s3(&server)
    };
    let any = S3 {
        insecure_tls: true,
        ..s3(&server)
    };
    for trusting in [given, any] {
        let store = open(Provider::S3(trusting));
        store.probe().await.unwrap();
        store.write("x", "y".into(), None).await.unwrap();
        assert_eq!(store.read("x").await.unwrap(), "y");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_container_is_used_and_what_lies_in_it_is_sound_to_the_real_restic() {
    let server = AzureServer::start();
    let store = open(Provider::Azure(azure(&server)));
    let content = work(&store).await;
    // restic 0.14 reaches Azure itself only, so it gets the same objects as files.
    let copy = tempfile::tempdir().unwrap();
    mirror(&store, copy.path()).await;
    let disk = on_disk(copy.path());
    assert_sound(&disk);
    assert!(restic_restore(&disk, "latest") == content);
    assert!(store.remove_all("").await.unwrap() > 5);
    assert_eq!(store.list("").await.unwrap(), []);

    let missing = Azure {
        container: "no-such-container".to_owned(),
        ..azure(&server)
    };
    refused(&open(Provider::Azure(missing)), "BucketMissing").await;
    let wrong = Azure {
        credentials: AzureCredentials::AccountKey(Secret::new("d3Jvbmcta2V5")),
        ..azure(&server)
    };
    refused(&open(Provider::Azure(wrong)), "AccessDenied").await;
}
