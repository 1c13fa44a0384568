use std::path::PathBuf;

use kubestash_database::Allowed;
use kubestash_engine::{ReadBack, ReadDepth};

use super::*;

fn parsed(words: &[&str]) -> Result<Arguments, ArgumentsError> {
    parse(
        &words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn the_catalogs_arguments_are_understood() {
    let arguments = parsed(&[
        "mysql-backup",
        "backup",
        "--namespace=demo",
        "--backupsession=s-1",
        "--enable-cache=true",
        "--scratch-dir=/kubestash-tmp",
        "--wait-timeout=300",
        "--mysql-args=--set-gtid-purged=OFF --ignore-table=druid.druid_config",
        "--db-version=8.0.21",
        "--verify=all",
        "--verify-period=14d",
        "--databases= druid , other,,",
        "--default-args=true",
        "--task-name=mysql-metadata-storage-backup",
        "--last-task",
        "--interim-data-dir=/x",
    ])
    .unwrap();
    let expected = Backup {
        session: Object {
            namespace: "demo".into(),
            name: "s-1".into(),
        },
        family: Family::MySql,
        component: "dump",
        task: "mysql-metadata-storage-backup".into(),
        last_task: true,
        args: "--set-gtid-purged=OFF --ignore-table=druid.druid_config".into(),
        default_args: true,
        program: String::new(),
        user: "postgres".into(),
        databases: vec!["druid".into(), "other".into()],
        scratch_dir: "/kubestash-tmp".into(),
        wait_timeout: Duration::from_secs(300),
        read_back: ReadBack {
            depth: ReadDepth::All,
            period: Duration::from_secs(14 * 86_400),
        },
    };
    assert_eq!(arguments.command, Command::Backup(expected));
    assert_eq!(arguments.unused, ["interim-data-dir"]);
}

#[test]
fn what_is_not_given_has_a_default() {
    let words = [
        "mariadb-backup",
        "--namespace=demo",
        "--backupsession=s",
        "--mariadb-args=-q",
    ];
    let Command::Backup(backup) = parsed(&words).unwrap().command else {
        panic!()
    };
    assert_eq!(backup.args, "-q");
    assert_eq!(backup.wait_timeout, Duration::from_secs(300));
    assert_eq!(backup.scratch_dir, PathBuf::from("/kubestash-tmp"));
    assert!(backup.databases.is_empty() && !backup.last_task);
}

#[test]
fn the_catalogs_arguments_of_a_restore_are_understood() {
    let arguments = parsed(&[
        "mysql-restore",
        "restore",
        "--namespace=demo",
        "--restoresession=r-1",
        "--snapshot=s-1",
        "--enable-cache=true",
        "--scratch-dir=",
        "--wait-timeout=60",
        "--mysql-args=--force",
        "--db-version=",
        "--allow-incomplete=true",
        "--allow-server-changes=",
        "--on-conflict=replace",
        "--task-name=t",
        "--last-task",
        "--interim=x",
    ])
    .unwrap();
    let expected = Restore {
        session: Object {
            namespace: "demo".into(),
            name: "r-1".into(),
        },
        snapshot: "s-1".into(),
        family: Family::MySql,
        component: "dump",
        task: "t".into(),
        args: "--force".into(),
        user: "postgres".into(),
        scratch_dir: "/kubestash-tmp".into(),
        wait_timeout: Duration::from_secs(60),
        allowed: Allowed {
            incomplete: true,
            server_changes: false,
            replace: true,
        },
    };
    assert_eq!(arguments.command, Command::Restore(expected));
    assert_eq!(arguments.unused, ["interim"]);
}

#[test]
fn jobs_of_volumes_name_their_object() {
    let object = Object {
        namespace: "demo".into(),
        name: "x".into(),
    };
    let storage = ["--storage-namespace=demo", "--storage-name=x"];
    let named = ["--namespace=demo", "--name=x"];
    let cases = [
        (
            "storage-init",
            storage,
            Command::StorageInit(object.clone()),
        ),
        (
            "storage-cleanup",
            storage,
            Command::StorageCleanup(object.clone()),
        ),
        (
            "snapshot-cleanup",
            named,
            Command::SnapshotCleanup(object.clone()),
        ),
        (
            "repository-cleanup",
            named,
            Command::RepositoryCleanup(object),
        ),
    ];
    for (function, flags, command) in cases {
        assert_eq!(
            parsed(&[function, flags[0], flags[1]]).unwrap().command,
            command
        );
    }
}

#[test]
fn a_wrong_command_line_is_told_with_its_remedy() {
    let session = "--backupsession=s";
    let cases: [(&[&str], &str); 11] = [
        (&[], "name the Function"),
        (&["redis-backup", "backup"], "\"redis-backup\""),
        (&["mysql-backup", "restore"], "must be \"backup\""),
        (&["mysql-restore", "backup"], "must be \"restore\""),
        (
            &[
                "mysql-restore",
                "restore",
                "--namespace=d",
                "--restoresession=r",
            ],
            "--snapshot is missing",
        ),
        (
            &["mysql-backup", "backup", session],
            "--namespace is missing",
        ),
        (
            &["mysql-backup", "backup", "--namespace=", session],
            "--namespace is missing",
        ),
        (
            &["mysql-backup", "backup", "--namespace=demo"],
            "--backupsession is missing",
        ),
        (
            &["mysql-backup", "backup", "--namespace=demo", session, "x"],
            "\"x\" is not a flag",
        ),
        (
            &[
                "mysql-backup",
                "backup",
                "--namespace=d",
                session,
                "--wait-timeout=soon",
            ],
            "--wait-timeout is \"soon\"",
        ),
        (
            &["storage-init", "--storage-name=x"],
            "--storage-namespace is missing",
        ),
    ];
    for (words, expected) in cases {
        let error = parsed(words).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn whatever_stands_in_a_value_stays_in_it() {
    let value = "--mysql-args=--where='a=b' --databases=x\n--last-task";
    let words = [
        "mysql-backup",
        "backup",
        "--namespace=d",
        "--backupsession=s",
        value,
    ];
    let Command::Backup(backup) = parsed(&words).unwrap().command else {
        panic!()
    };
    assert_eq!(backup.args, "--where='a=b' --databases=x\n--last-task");
    assert!(backup.databases.is_empty() && !backup.last_task);
}

#[test]
fn postgresqls_functions_have_flags_of_their_own() {
    let words = [
        "postgres-backup",
        "backup",
        "--namespace=demo",
        "--backupsession=s-1",
        "--enable-cache=true",
        "--scratch-dir=/kubestash-tmp",
        "--wait-timeout=300",
        "--pg-args=--exclude-table=druid_config",
        "--backup-cmd=pg_dumpall",
        "--user=keeper",
    ];
    let arguments = parsed(&words).unwrap();
    let Command::Backup(backup) = arguments.command else {
        panic!()
    };
    assert_eq!(backup.family, Family::Postgres);
    assert_eq!(backup.args, "--exclude-table=druid_config");
    assert_eq!(
        (backup.program.as_str(), backup.user.as_str()),
        ("pg_dumpall", "keeper")
    );
    assert!(arguments.unused.is_empty());
    let words = [
        "postgres-restore",
        "restore",
        "--namespace=demo",
        "--restoresession=r-1",
        "--snapshot=s-1",
        "--pg-args=--dbname=demo",
        "--user=",
    ];
    let arguments = parsed(&words).unwrap();
    let Command::Restore(restore) = arguments.command else {
        panic!()
    };
    assert_eq!(restore.family, Family::Postgres);
    assert_eq!(
        (restore.args.as_str(), restore.user.as_str()),
        ("--dbname=demo", "postgres")
    );
    assert!(arguments.unused.is_empty());
}

#[test]
fn the_catalogs_arguments_of_manifests_are_understood() {
    let object = |name: &str| Object {
        namespace: "demo".into(),
        name: name.into(),
    };
    let common = [
        "--enable-cache=true",
        "--scratch-dir=/kubestash-tmp",
        "--task-name=t",
    ];
    let backup = [
        "kubedbmanifest-backup",
        "backup",
        "--namespace=demo",
        "--backupsession=s-1",
    ];
    let backup = parsed(&[&backup[..], &common].concat()).unwrap();
    let expected = ManifestBackup {
        session: object("s-1"),
        last_task: false,
        read_back: ReadBack::default(),
    };
    assert_eq!(backup.command, Command::ManifestBackup(expected));
    assert!(backup.unused.is_empty());
    let restore = [
        "kubedbmanifest-restore",
        "restore",
        "--namespace=demo",
        "--restoresession=r-1",
        "--snapshot=s",
        "--last-task",
        "--override-resources=true",
        "--other=1",
    ];
    let restore = parsed(&[&restore[..], &common].concat()).unwrap();
    let expected = ManifestRestore {
        session: object("r-1"),
        snapshot: "s".into(),
        last_task: true,
        override_resources: true,
    };
    assert_eq!(restore.command, Command::ManifestRestore(expected));
    assert_eq!(restore.unused, ["other"]);
}

#[test]
fn how_much_is_read_back_is_checked() {
    let read_back = |words: &[&str]| {
        let common = ["postgres-backup", "--namespace=demo", "--backupsession=s"];
        match parsed(&[&common, words].concat())?.command {
            Command::Backup(backup) => Ok(backup.read_back),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        read_back(&["--verify=", "--verify-period="]).unwrap(),
        ReadBack::default()
    );
    let hours = read_back(&["--verify=sample", "--verify-period=12h"]).unwrap();
    assert_eq!(
        (hours.depth, hours.period),
        (ReadDepth::Sample, Duration::from_secs(43_200))
    );
    for wrong in [
        "--verify=none",
        "--verify-period=0d",
        "--verify-period=soon",
        "--verify-period=-1d",
    ] {
        let error: ArgumentsError = read_back(&[wrong]).unwrap_err();
        let flag = wrong.trim_start_matches('-').split('=').next().unwrap();
        assert!(error.to_string().contains(flag), "{error}");
    }
}
