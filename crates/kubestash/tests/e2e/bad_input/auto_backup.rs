//! Annotations that ask for something that cannot be.

use super::{blueprint, druid, local_backend};
use crate::support::System;
use crate::tutorial::example;

fn ready() -> (System, tempfile::TempDir) {
    let system = System::start();
    let volume = tempfile::tempdir().unwrap();
    local_backend(&system, &volume.path().join("volume"));
    (system, volume)
}

fn no_configuration(system: &System) {
    let made = system.objects("demo", "backupconfigurations");
    assert!(made.is_empty(), "{made:#?}");
}

#[test]
fn an_unknown_blueprint_is_told_on_the_druid_and_works_once_it_exists() {
    let (system, _volume) = ready();
    system.apply(&druid(
        "demo",
        "sample-druid",
        &blueprint("druid-default-backup-blueprint"),
    ));
    let told = system.wait_event(
        "demo",
        "Druid",
        "sample-druid",
        "druid-default-backup-blueprint",
    );
    assert!(told.contains("demo"), "{told}");
    no_configuration(&system);
    system.apply(&example("default-backupblueprint.yaml"));
    system.wait_phase(
        "demo",
        "backupconfiguration/appbinding-sample-druid",
        &["Ready"],
    );
}

#[test]
fn a_blueprint_that_does_not_allow_the_namespace_is_told_on_both_sides() {
    let (system, _volume) = ready();
    system.kubectl("create ns other");
    system.apply(&example("default-backupblueprint.yaml").replace("from: All", "from: Same"));
    system.apply(&druid(
        "other",
        "sample-druid",
        &blueprint("druid-default-backup-blueprint"),
    ));
    let told = system.wait_event("other", "Druid", "sample-druid", "usagePolicy");
    assert!(told.contains("other"), "{told}");
    system.wait_event(
        "demo",
        "BackupBlueprint",
        "druid-default-backup-blueprint",
        "other",
    );
    no_configuration(&system);
}

#[test]
fn every_missing_variable_is_named_and_nothing_is_created() {
    let (system, _volume) = ready();
    system.apply(&example("customize-backupblueprint.yaml"));
    let mut annotations = blueprint("druid-customize-backup-blueprint");
    annotations.push(("variables.kubestash.com/schedule", "*/10 * * * *"));
    annotations.push(("variables.kubestash.com/namespace", "demo"));
    system.apply(&druid("demo", "sample-druid", &annotations));
    let told = system.wait_event("demo", "Druid", "sample-druid", "repoName");
    for name in ["targetName", "targetedDatabases"] {
        assert!(told.contains(name), "{told}");
    }
    assert!(!told.contains("schedule}"), "{told}");
    no_configuration(&system);
}

#[test]
fn a_second_druid_on_a_blueprint_with_constant_names_is_refused_and_the_first_goes_on() {
    let (system, _volume) = ready();
    system.apply(&example("default-backupblueprint.yaml"));
    system.apply(&druid(
        "demo",
        "first",
        &blueprint("druid-default-backup-blueprint"),
    ));
    system.wait_phase("demo", "backupconfiguration/appbinding-first", &["Ready"]);
    system.wait("demo", "repository/default-blueprint", "to exist", |_| true);
    system.apply(&druid(
        "demo",
        "second",
        &blueprint("druid-default-backup-blueprint"),
    ));
    let told = system.wait_event("demo", "Druid", "second", "default-blueprint");
    assert!(!told.is_empty());
    assert!(
        system
            .object("demo", "backupconfiguration/appbinding-second")
            .is_err()
    );
    system.wait_phase("demo", "backupconfiguration/appbinding-first", &["Ready"]);
}

#[test]
fn quotes_and_newlines_in_every_variable_stay_within_their_field() {
    let (system, _volume) = ready();
    system.apply(&example("customize-backupblueprint.yaml"));
    let nasty = "x\"\n  evil: true\n- '{}' $(id) `id`";
    let mut annotations = blueprint("druid-customize-backup-blueprint");
    for name in [
        "variables.kubestash.com/repoName",
        "variables.kubestash.com/namespace",
        "variables.kubestash.com/targetName",
        "variables.kubestash.com/targetedDatabases",
    ] {
        annotations.push((name, nasty));
    }
    annotations.push((
        "variables.kubestash.com/schedule",
        "*/10 * * * *\"\nsuspend: true",
    ));
    system.apply(&druid("demo", "sample-druid", &annotations));
    let told = system.wait_event("demo", "Druid", "sample-druid", "failed");
    assert!(
        told.contains("schedule") || told.contains("repositor"),
        "{told}"
    );
    no_configuration(&system);

    // With only the free-text parameter nasty, the configuration is made and holds it literally.
    annotations
        .retain(|(name, _)| name.starts_with("blueprint") || name.ends_with("targetedDatabases"));
    annotations.extend([
        ("variables.kubestash.com/schedule", "*/10 * * * *"),
        ("variables.kubestash.com/repoName", "customize-blueprint"),
        ("variables.kubestash.com/namespace", "demo"),
        ("variables.kubestash.com/targetName", "t"),
    ]);
    system.apply(&druid("demo", "sample-druid", &annotations));
    let made = system.wait(
        "demo",
        "backupconfiguration/appbinding-sample-druid",
        "to be made",
        |_| true,
    );
    let session = &made["spec"]["sessions"][0];
    assert_eq!(session["addon"]["tasks"][0]["params"]["databases"], nasty);
    assert_eq!(session["addon"]["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(session["scheduler"]["schedule"], "*/10 * * * *");
}

#[test]
fn removed_annotations_take_the_configuration_along_and_nothing_else() {
    let (system, _volume) = ready();
    system.apply(&example("default-backupblueprint.yaml"));
    system.apply(&druid(
        "demo",
        "sample-druid",
        &blueprint("druid-default-backup-blueprint"),
    ));
    let session = crate::tutorial::first_session(&system, "appbinding-sample-druid");
    assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
    system.kubectl("annotate -n demo druid sample-druid blueprint.kubestash.com/name- blueprint.kubestash.com/namespace-");
    crate::support::eventually(
        "the configuration to go",
        std::time::Duration::from_secs(30),
        || match system.object("demo", "backupconfiguration/appbinding-sample-druid") {
            Err(_) => Ok(()),
            Ok(object) => Err(format!("{:#}", object["metadata"])),
        },
    );
    assert_eq!(
        system
            .objects("demo", "snapshots.storage.kubestash.com")
            .len(),
        1
    );
    assert!(
        system
            .object("demo", "repository/default-blueprint")
            .is_ok()
    );
}
