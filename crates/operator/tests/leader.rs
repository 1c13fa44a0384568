//! Several replicas, of which one works.
#![cfg(test)]

mod support;

use k8s_openapi::api::coordination::v1::Lease;
use support::{PATIENCE, World};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_leads_and_the_next_takes_over_when_it_stops() {
    let world = World::without_operator().await;
    let start = || {
        let (mut config, is_ready) = world.config();
        config.leader_election = true;
        config.webhook = None;
        let stop = CancellationToken::new();
        let task = tokio::spawn(kubestash_operator::run(config, stop.clone()));
        (stop, task, is_ready)
    };
    let (stop_first, first, first_is_ready) = start();
    tokio::time::timeout(PATIENCE, first_is_ready)
        .await
        .unwrap()
        .unwrap();
    let leases = kube::Api::<Lease>::namespaced(world.client.clone(), "default");
    let holder = || async {
        let lease = leases.get("kubestash-operator").await.unwrap();
        lease.spec.unwrap().holder_identity
    };
    let before = holder().await.unwrap();

    let (stop_second, second, mut second_is_ready) = start();
    // It has looked at the Lease when its watches are filled; only the first one's end lets it on.
    assert!(second_is_ready.try_recv().is_err());
    stop_first.cancel();
    first.await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, second_is_ready)
        .await
        .unwrap()
        .unwrap();
    let after = holder().await.unwrap();
    assert_ne!(before, after);
    stop_second.cancel();
    second.await.unwrap().unwrap();
    assert_eq!(holder().await, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespace_of_the_lease_is_created_if_it_is_missing() {
    let world = World::without_operator().await;
    let (mut config, is_ready) = world.config();
    config.leader_election = true;
    config.webhook = None;
    config.namespace = "nowhere-yet".to_owned();
    let stop = CancellationToken::new();
    let task = tokio::spawn(kubestash_operator::run(config, stop.clone()));
    tokio::time::timeout(PATIENCE, is_ready)
        .await
        .unwrap()
        .unwrap();
    let leases = kube::Api::<Lease>::namespaced(world.client.clone(), "nowhere-yet");
    assert!(leases.get("kubestash-operator").await.is_ok());
    stop.cancel();
    task.await.unwrap().unwrap();
    world.stop().await;
}
