use serde_json::json;

use super::*;

fn namespace(name: &str) -> Write {
    Write::Create {
        key: Key::new(&GroupResource::new("", "namespaces"), "", name),
        value: json!({"metadata": {"name": name}}),
    }
}

fn config_map(namespace: &str, name: &str) -> Key {
    Key::new(&GroupResource::new("", "configmaps"), namespace, name)
}

fn create(key: &Key, data: &str) -> Write {
    Write::Create {
        key: key.clone(),
        value: json!({"metadata": {"name": key.name()}, "data": {"a": data}}),
    }
}

#[tokio::test]
async fn an_acknowledged_write_is_read_back_by_the_next_process_and_revisions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(namespace("demo")).await.unwrap();
    let key = config_map("demo", "a");
    let created = store.commit(create(&key, "x")).await.unwrap();
    store.close();
    assert!(matches!(
        store.commit(create(&key, "y")).await,
        Err(StoreError::Closed)
    ));
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.revision(), created.revision);
    assert_eq!(store.get(&key).unwrap().json, created.json);
    let next = store
        .commit(create(&config_map("demo", "b"), "x"))
        .await
        .unwrap();
    assert!(next.revision > created.revision);
}

#[tokio::test]
async fn a_write_against_an_old_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(namespace("demo")).await.unwrap();
    let key = config_map("demo", "a");
    let first = store.commit(create(&key, "x")).await.unwrap();
    assert!(matches!(
        store.commit(create(&key, "x")).await,
        Err(StoreError::AlreadyExists(_))
    ));
    let update = |expected| Write::Update {
        key: key.clone(),
        expected,
        value: json!({"metadata": {"name": "a"}}),
    };
    let second = store.commit(update(first.revision)).await.unwrap();
    let error = store.commit(update(first.revision)).await.unwrap_err();
    assert_eq!(error.kind(), "Conflict");
    let delete = |expected| Write::Delete {
        key: key.clone(),
        expected,
        last: None,
    };
    assert_eq!(
        store
            .commit(delete(first.revision))
            .await
            .unwrap_err()
            .kind(),
        "Conflict"
    );
    let gone = store.commit(delete(second.revision)).await.unwrap();
    assert!(gone.revision > second.revision);
    assert!(store.get(&key).is_none());
    assert_eq!(
        store
            .commit(delete(second.revision))
            .await
            .unwrap_err()
            .kind(),
        "NotFound"
    );
}

#[tokio::test]
async fn of_many_concurrent_writes_to_one_object_exactly_one_wins_each_version() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    store.commit(namespace("demo")).await.unwrap();
    let key = config_map("demo", "counter");
    store.commit(create(&key, "0")).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, key) = (store.clone(), key.clone());
        writers.spawn(async move {
            let mut won = 0;
            while won < 10 {
                let current = store.get(&key).unwrap();
                let mut value = current.value();
                let count: u64 = value["data"]["a"].as_str().unwrap().parse().unwrap();
                value["data"]["a"] = (count + 1).to_string().into();
                let write = Write::Update {
                    key: key.clone(),
                    expected: current.revision,
                    value,
                };
                won += u32::from(store.commit(write).await.is_ok());
            }
        });
    }
    writers.join_all().await;
    assert_eq!(store.get(&key).unwrap().value()["data"]["a"], "80");
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_absent_or_going_and_none_goes_that_is_not_empty()
{
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = config_map("demo", "a");
    let absent = store.commit(create(&key, "x")).await.unwrap_err();
    assert!(matches!(
        absent,
        StoreError::Namespace {
            terminating: false,
            ..
        }
    ));
    let created = store.commit(namespace("demo")).await.unwrap();
    let held = store.commit(create(&key, "x")).await.unwrap();
    let remove = |expected| Write::Delete {
        key: created.key.clone(),
        expected,
        last: None,
    };
    assert_eq!(
        store
            .commit(remove(created.revision))
            .await
            .unwrap_err()
            .kind(),
        "NamespaceNotEmpty"
    );
    let going = Write::Update {
        key: created.key.clone(),
        expected: created.revision,
        value: json!({"metadata": {"name": "demo", "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    };
    let going = store.commit(going).await.unwrap();
    let refused = store
        .commit(create(&config_map("demo", "b"), "x"))
        .await
        .unwrap_err();
    assert!(matches!(
        refused,
        StoreError::Namespace {
            terminating: true,
            ..
        }
    ));
    store
        .commit(Write::Delete {
            key: key.clone(),
            expected: held.revision,
            last: None,
        })
        .await
        .unwrap();
    store.commit(remove(going.revision)).await.unwrap();
}

#[tokio::test]
async fn a_watcher_sees_every_change_in_order_and_is_told_when_it_is_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path()).unwrap());
    store.commit(namespace("demo")).await.unwrap();
    let resource = GroupResource::new("", "configmaps");
    let (listing, mut watcher) = store.list_and_watch(&resource, None);
    assert!(listing.objects.is_empty());
    let writers: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .commit(create(&config_map("demo", &format!("c{n}")), "x"))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 20 {
        seen.extend(
            watcher
                .next()
                .await
                .unwrap()
                .iter()
                .map(|change| change.object.revision),
        );
    }
    assert!(seen.is_sorted());
    for writer in writers {
        assert!(seen.contains(&writer.await.unwrap().revision));
    }
    assert_eq!(watcher.catch_up(), store.revision());
    store.close();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let expired = store.watch(&resource, seen[0]).err().unwrap();
    assert_eq!(expired.oldest, store.revision());
    assert!(store.watch(&resource, store.revision()).is_ok());
}

#[tokio::test]
async fn secrets_are_in_their_own_file_and_in_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(namespace("demo")).await.unwrap();
    let key = Key::new(&GroupResource::new("", "secrets"), "demo", "s");
    store.commit(create(&key, "canary-5f2d")).await.unwrap();
    let secret = store.get(&key).unwrap();
    store
        .commit(Write::Delete {
            key: key.clone(),
            expected: secret.revision,
            last: None,
        })
        .await
        .unwrap();
    store.commit(create(&key, "canary-5f2d")).await.unwrap();
    store.close();
    let holds = |name: &str| {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        bytes.windows(11).any(|window| window == b"canary-5f2d")
    };
    assert!(holds("secrets.redb"));
    assert!(!holds("objects.redb"));
    drop(store);
    assert!(Store::open(dir.path()).unwrap().get(&key).is_some());
}

/// A cluster with one ConfigMap and one Secret, closed.
async fn a_cluster(dir: &std::path::Path) {
    let store = Store::open(dir).unwrap();
    store.commit(namespace("demo")).await.unwrap();
    let secret = Key::new(&GroupResource::new("", "secrets"), "demo", "s");
    for key in [config_map("demo", "a"), secret] {
        store.commit(create(&key, &"x".repeat(9000))).await.unwrap();
    }
    store.close();
    Store::settle(dir).unwrap();
}

#[tokio::test]
async fn a_store_file_that_is_missing_or_empty_beside_the_rest_of_its_cluster_is_never_begun_anew()
{
    for (lost, emptied, expected) in [
        (
            &["objects.redb"][..],
            false,
            "objects.redb is missing although secrets.redb",
        ),
        (
            &["objects.redb"],
            true,
            "objects.redb is empty although secrets.redb",
        ),
        (
            &["secrets.redb"],
            false,
            "secrets.redb is missing although objects.redb",
        ),
        (
            &["secrets.redb"],
            true,
            "secrets.redb is empty although objects.redb",
        ),
        (
            &["objects.redb", "secrets.redb"],
            false,
            "objects.redb is missing although pki",
        ),
        (
            &["objects.redb", "secrets.redb"],
            true,
            "objects.redb is empty although pki",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        a_cluster(dir.path()).await;
        std::fs::create_dir(dir.path().join("pki")).unwrap();
        std::fs::write(dir.path().join("pki/ca.key"), "key").unwrap();
        for file in lost {
            std::fs::remove_file(dir.path().join(file)).unwrap();
            if emptied {
                std::fs::File::create(dir.path().join(file)).unwrap();
            }
        }
        let error = Store::open(dir.path()).err().expect(expected);
        assert_eq!(error.kind(), "StoreLost", "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("put back"), "{error}");
    }
}

#[tokio::test]
async fn databases_alone_show_that_there_was_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("databases/demo")).unwrap();
    let error = Store::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("although databases"), "{error}");
}

#[tokio::test]
async fn a_first_start_that_ended_early_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().close();
    std::fs::create_dir(dir.path().join("pki")).unwrap();
    std::fs::write(dir.path().join("pki/ca.key"), "key").unwrap();
    std::fs::remove_file(dir.path().join("secrets.redb")).unwrap();
    Store::open(dir.path()).unwrap().close();
    Store::settle(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("secrets.redb")).unwrap();
    assert!(Store::open(dir.path()).is_err());
}

#[tokio::test]
async fn a_damaged_page_is_told_with_the_file_and_never_read_as_something_else() {
    for file in ["objects.redb", "secrets.redb"] {
        let dir = tempfile::tempdir().unwrap();
        a_cluster(dir.path()).await;
        let path = dir.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        let inside = whole
            .windows(64)
            .rposition(|bytes| bytes == [b'x'; 64])
            .unwrap();
        // One bit in the middle of a value, a page of zeros, a header of noise, and the second half
        // gone.
        let mut bit = whole.clone();
        bit[inside] ^= 0x10;
        let mut zeros = whole.clone();
        zeros[inside / 4096 * 4096..][..4096].fill(0);
        let mut noise = whole.clone();
        noise[..64].fill(0xa5);
        let cut = whole[..whole.len() / 2].to_vec();
        for (damage, bytes) in [
            ("bit", bit),
            ("zeros", zeros),
            ("noise", noise),
            ("cut", cut),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Store::open(dir.path()).err().expect(damage);
            assert!(error.to_string().contains(file), "{damage}: {error}");
            assert_eq!(error.kind(), "Damaged", "{damage}: {error}");
        }
    }
}

#[tokio::test]
async fn an_object_cannot_grow_without_end_but_can_always_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.commit(namespace("demo")).await.unwrap();
    let key = config_map("demo", "a");
    let created = store.commit(create(&key, "x")).await.unwrap();
    let large = json!({"metadata": {"name": "a"}, "data": {"a": "x".repeat(6 * 1024 * 1024)}});
    let refused = store
        .commit(Write::Update {
            key: key.clone(),
            expected: created.revision,
            value: large.clone(),
        })
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), "TooLarge");
    store
        .commit(Write::Delete {
            key,
            expected: created.revision,
            last: Some(large),
        })
        .await
        .unwrap();
}
