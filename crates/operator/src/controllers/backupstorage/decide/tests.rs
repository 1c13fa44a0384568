use std::sync::Arc;

use serde_json::{Value, json};

use super::*;

fn storage(status: Value) -> BackupStorage {
    serde_json::from_value(json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
        "metadata": {"name": "gcs-storage", "namespace": "demo", "generation": 1},
        "spec": {"storage": {"provider": "gcs", "gcs": {"bucket": "b", "prefix": "p", "secretName": "gcs-secret"}}},
        "status": status,
    }))
    .unwrap()
}

fn repository(name: &str, size: Option<&str>) -> Arc<Repository> {
    let repository = json!({
        "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Repository",
        "metadata": {"name": name, "namespace": "demo"},
        "spec": {"path": format!("/{name}"), "storageRef": {"name": "gcs-storage"}},
        "status": {"size": size},
    });
    Arc::new(serde_json::from_value(repository).unwrap())
}

fn now() -> Timestamp {
    "2024-09-19T10:30:46Z".parse().unwrap()
}

fn failed(kind: &str, message: &str) -> Outcome {
    Outcome::Failed(Failure::new(kind, message))
}

/// Type, status, reason and message of each condition.
fn conditions(status: &BackupStorageStatus) -> Vec<(String, String, String, String)> {
    let describe = |condition: &Condition| {
        (
            condition.type_.clone(),
            condition.status.to_string(),
            condition.reason.clone(),
            condition.message.clone(),
        )
    };
    status.conditions.iter().map(describe).collect()
}

fn expected(rows: &[(&str, &str, &str, &str)]) -> Vec<(String, String, String, String)> {
    rows.iter()
        .map(|(a, b, c, d)| (a.to_string(), b.to_string(), c.to_string(), d.to_string()))
        .collect()
}

#[test]
fn a_storage_that_is_set_up_is_ready_in_the_words_clients_know() {
    let storage = storage(Value::Null);
    let world = World {
        storage: &storage,
        secret: SecretState::Found,
        outcome: &Outcome::Initialized,
        repositories: &[],
        synced: &[],
    };
    let status = status(&world, now());
    assert_eq!(status.phase, Some(BackupStoragePhase::Ready));
    assert_eq!(
        conditions(&status),
        expected(&[
            (
                "Ready",
                "True",
                "Ready",
                "Successfully initialized backend."
            ),
            (
                "BackendSecretFound",
                "True",
                "BackendSecretAvailable",
                "Backend secret exists."
            ),
            (
                "BackendInitialized",
                "True",
                "BackendInitializationSucceeded",
                "Successfully initialized backend."
            ),
        ])
    );
}

#[test]
fn deciding_twice_changes_nothing() {
    let mut storage = storage(Value::Null);
    let repositories = [repository("r", Some("1.757 MiB"))];
    let outcome = failed("BucketMissing", "the bucket does not exist");
    let mut last = None;
    for hour in 0..3 {
        let world = World {
            storage: &storage,
            secret: SecretState::Found,
            outcome: &outcome,
            repositories: &repositories,
            synced: &[],
        };
        let time = now() + jiff::SignedDuration::from_hours(hour);
        let status = status(&world, time);
        if let Some(last) = last {
            assert_eq!(status, last);
        }
        last = Some(status.clone());
        storage.status = Some(status);
    }
}

#[test]
fn each_obstacle_is_named_in_the_condition_and_in_ready() {
    let ready = json!({"conditions": [{
        "type": "BackendInitialized", "status": "True", "reason": "BackendInitializationSucceeded",
        "message": "Successfully initialized backend.", "lastTransitionTime": "2024-09-19T10:30:46Z"}]});
    let missing = failed("StorageSecretMissing", "create it");
    let bucket = failed("BucketMissing", "create the bucket");
    let working = Outcome::Working("Job init-x runs".to_owned());
    let cases = [
        // before, secret, outcome, BackendInitialized, reason of Ready
        (
            Value::Null,
            SecretState::Missing,
            &missing,
            "False",
            "StorageSecretMissing",
        ),
        (
            Value::Null,
            SecretState::Found,
            &bucket,
            "False",
            "BucketMissing",
        ),
        (
            Value::Null,
            SecretState::NotNamed,
            &working,
            "False",
            "Initializing",
        ),
        (
            ready.clone(),
            SecretState::Missing,
            &missing,
            "True",
            "StorageSecretMissing",
        ),
        (
            ready.clone(),
            SecretState::Found,
            &bucket,
            "False",
            "BucketMissing",
        ),
        (ready, SecretState::NotNamed, &working, "True", "Ready"),
    ];
    for (before, secret, outcome, initialized, reason) in cases {
        let storage = storage(before);
        let world = World {
            storage: &storage,
            secret,
            outcome,
            repositories: &[],
            synced: &[],
        };
        let status = status(&world, now());
        let found = conditions(&status);
        let of = |type_: &str| found.iter().find(|row| row.0 == type_).unwrap().clone();
        assert_eq!(of("BackendInitialized").1, initialized, "{outcome:?}");
        assert_eq!(of("Ready").2, reason, "{outcome:?}");
        assert_eq!(
            found.iter().any(|row| row.0 == "BackendSecretFound"),
            secret != SecretState::NotNamed
        );
    }
}

#[test]
fn the_size_is_the_sum_of_the_repositories() {
    let storage = storage(Value::Null);
    let sized = |repositories: &[Arc<Repository>]| {
        let world = World {
            storage: &storage,
            secret: SecretState::Found,
            outcome: &Outcome::Initialized,
            repositories,
            synced: &[],
        };
        status(&world, now()).total_size
    };
    assert_eq!(sized(&[]), None);
    assert_eq!(sized(&[repository("a", None)]).as_deref(), Some("0 B"));
    let two = [
        repository("a", Some("652.853 KiB")),
        repository("b", Some("12.127 KiB")),
    ];
    assert_eq!(sized(&two).as_deref(), Some("664.979 KiB"));
}

#[test]
fn what_was_read_back_is_told_and_what_could_not_be_stays_to_be_seen() {
    let entry = |name: &str, error: Option<&str>| Synced {
        entry: StorageRepository {
            name: name.to_owned(),
            namespace: Some("demo".to_owned()),
            path: Some(name.to_owned()),
            synced: Some(error.is_none()),
            error: error.map(str::to_owned),
            size: None,
        },
    };
    let mut storage = storage(Value::Null);
    let synced = [
        entry("good", None),
        entry("bad", Some("repository.yaml cannot be parsed")),
    ];
    let world = World {
        storage: &storage,
        secret: SecretState::Found,
        outcome: &Outcome::Initialized,
        repositories: &[],
        synced: &synced,
    };
    // The objects were made a moment ago and are not in the store yet.
    let first = status(&world, now());
    let names = |status: &BackupStorageStatus| -> Vec<(String, Option<bool>)> {
        status
            .repositories
            .iter()
            .map(|entry| (entry.name.clone(), entry.synced))
            .collect()
    };
    assert_eq!(
        names(&first),
        [
            ("bad".to_owned(), Some(false)),
            ("good".to_owned(), Some(true))
        ]
    );
    // Deleted later: gone from the list. What could not be read back is still there.
    storage.status = Some(first);
    let world = World {
        storage: &storage,
        secret: SecretState::Found,
        outcome: &Outcome::Initialized,
        repositories: &[],
        synced: &[],
    };
    assert_eq!(
        names(&status(&world, now())),
        [("bad".to_owned(), Some(false))]
    );
}
