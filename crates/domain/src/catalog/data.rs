//! The Addons and Functions that kubestash brings. Only what can really be run is listed.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, VolumeMount};
use kubestash_api::addons::{
    Addon, AddonSpec, Function, FunctionSpec, Task, TaskExecutor, VolumeTemplate,
};
use kubestash_api::labels;
use kubestash_api::shared::{Driver, ParameterDefinition, TemplatedVolumeSource, VolumeSource};

/// Scratch volume of every task.
const TMP_VOLUME: &str = "kubestash-tmp-volume";
/// Where it is mounted.
const TMP_PATH: &str = "/kubestash-tmp";

/// Arguments that all Functions that back up begin with.
const BACKUP: [&str; 7] = [
    "backup",
    "--namespace=${namespace:=default}",
    "--backupsession=${backupSession:=}",
    "--enable-cache=${enableCache:=}",
    "--scratch-dir=${scratchDir:=}",
    "--verify=${verify:=}",
    "--verify-period=${verifyPeriod:=}",
];

/// Arguments that all Functions that restore begin with.
const RESTORE: [&str; 6] = [
    "restore",
    "--namespace=${namespace:=default}",
    "--restoresession=${restoreSession:=}",
    "--snapshot=${snapshot:=}",
    "--enable-cache=${enableCache:=}",
    "--scratch-dir=${scratchDir:=}",
];

/// Arguments of the Functions that load a dump.
const ALLOWED: [&str; 2] = [
    "--allow-incomplete=${allowIncomplete:=}",
    "--allow-server-changes=${allowServerChanges:=}",
];

/// Parameters that every task has.
const COMMON: [(&str, Option<&str>, &str); 2] = [
    (
        "enableCache",
        Some("true"),
        "Whether a cache may be used. It is accepted and has no effect: no cache is needed.",
    ),
    (
        "scratchDir",
        Some(TMP_PATH),
        "Directory for temporary files.",
    ),
];

/// Parameters that every task has that backs up.
const VERIFY: [Parameter; 2] = [
    (
        "verify",
        Some("sample"),
        "How much of the stored data is read back and compared with its hashes in each session. sample: a part, so that all is read within verifyPeriod, and at least 64 MiB. all: everything.",
    ),
    (
        "verifyPeriod",
        Some("7d"),
        "Within which time all stored data is read back, such as 12h, 7d or 1mo.",
    ),
];

/// Tasks of a plain database.
const LOGICAL_BACKUP: &str = "logical-backup";
const LOGICAL_RESTORE: &str = "logical-backup-restore";

/// How long to wait for a database that does not answer.
const WAIT: &str = "--wait-timeout=${waitTimeout:=300}";

type Parameter = (&'static str, Option<&'static str>, &'static str);

/// Flags of a dump client.
const fn dump_args(default: Option<&'static str>) -> Parameter {
    (
        "args",
        default,
        "Further flags of the dump client. Given ones replace the default.",
    )
}

/// Flags of a client that loads.
const LOAD_ARGS: Parameter = (
    "args",
    None,
    "Further flags of the client that loads the dump.",
);

/// What becomes of a dump that does not say at its end that it is whole.
const ALLOW_INCOMPLETE: Parameter = (
    "allowIncomplete",
    Some("false"),
    "Whether to load a dump that lacks its last line, the mark that it is complete.",
);

/// What becomes of a dump that changes more than its databases.
const ALLOW_SERVER_CHANGES: Parameter = (
    "allowServerChanges",
    Some("false"),
    "Whether a dump may change the server's users, settings and system tables, and let the server read and write files.",
);

/// What becomes of objects that came after the backup and stand in the way of a dump of PostgreSQL.
const ON_CONFLICT: Parameter = (
    "onConflict",
    Some("fail"),
    "fail: objects that are not in the dump and depend on what it replaces are named, and nothing is changed. replace: everything in the schemas of the dump is dropped first, in the same transaction.",
);

/// Which program dumps PostgreSQL. `pg_dumpall` also dumps roles with their passwords, so somebody
/// has to ask for it.
const BACKUP_CMD: Parameter = (
    "backupCmd",
    Some("pg_dump"),
    "pg_dump: the databases. pg_dumpall: all databases, and the server's roles with their passwords.",
);

/// What becomes of objects that exist already.
const OVERRIDE: Parameter = (
    "overrideResources",
    Some("false"),
    "Whether an object that exists already gets the content of the one that was backed up. Otherwise it is kept as it is.",
);

/// Who connects with a certificate alone.
const USER: Parameter = (
    "user",
    Some("postgres"),
    "The user who connects, if the AppBinding has a client certificate and its Secret names no user.",
);

/// The Addons, each with its tasks.
pub fn addons() -> Vec<Addon> {
    vec![druid(), mysql(), mariadb(), postgres()]
}

/// Druid's metadata, in whichever database it is kept. With the default args the users in its table
/// of settings stay out of the dumps, so that a restored Druid keeps its own.
fn druid() -> Addon {
    addon(
        "druid-addon",
        vec![
            task(
                "mysql-metadata-storage-backup",
                "mysql-backup",
                &[
                    dump_args(Some(
                        "--set-gtid-purged=OFF --ignore-table=druid.druid_config",
                    )),
                    (
                        "databases",
                        None,
                        "Comma-separated databases to dump. Without it, the one that holds Druid's tables.",
                    ),
                ],
            ),
            task(
                "postgres-metadata-storage-backup",
                "postgres-backup",
                &[
                    dump_args(Some("--exclude-table=druid_config")),
                    BACKUP_CMD,
                    USER,
                ],
            ),
        ],
        vec![
            task(
                "mysql-metadata-storage-restore",
                "mysql-restore",
                &[LOAD_ARGS, ALLOW_INCOMPLETE, ALLOW_SERVER_CHANGES],
            ),
            task(
                "postgres-metadata-storage-restore",
                "postgres-restore",
                &[
                    LOAD_ARGS,
                    USER,
                    ALLOW_INCOMPLETE,
                    ALLOW_SERVER_CHANGES,
                    ON_CONFLICT,
                ],
            ),
        ],
    )
}

fn mysql() -> Addon {
    addon(
        "mysql-addon",
        vec![task(
            LOGICAL_BACKUP,
            "mysql-backup",
            &[
                dump_args(Some("--set-gtid-purged=OFF")),
                (
                    "databases",
                    None,
                    "Comma-separated databases to dump. Without it, all that users created.",
                ),
            ],
        )],
        vec![task(
            LOGICAL_RESTORE,
            "mysql-restore",
            &[LOAD_ARGS, ALLOW_INCOMPLETE, ALLOW_SERVER_CHANGES],
        )],
    )
}

fn mariadb() -> Addon {
    addon(
        "mariadb-addon",
        vec![task(
            LOGICAL_BACKUP,
            "mariadb-backup",
            &[dump_args(Some("--all-databases --ignore-database=mysql"))],
        )],
        vec![task(
            LOGICAL_RESTORE,
            "mariadb-restore",
            &[LOAD_ARGS, ALLOW_INCOMPLETE, ALLOW_SERVER_CHANGES],
        )],
    )
}

fn postgres() -> Addon {
    addon(
        "postgres-addon",
        vec![task(
            LOGICAL_BACKUP,
            "postgres-backup",
            &[dump_args(None), BACKUP_CMD, USER],
        )],
        vec![task(
            LOGICAL_RESTORE,
            "postgres-restore",
            &[
                LOAD_ARGS,
                USER,
                ALLOW_INCOMPLETE,
                ALLOW_SERVER_CHANGES,
                ON_CONFLICT,
            ],
        )],
    )
}

/// The Functions that the Addons name, with the image that holds this program.
pub fn functions(image: &str) -> Vec<Function> {
    let mysql = [
        WAIT,
        "--mysql-args=${args:=}",
        "--db-version=${dbVersion:=}",
    ];
    let mariadb = [WAIT, "--mariadb-args=${args:=}"];
    let postgres = [WAIT, "--pg-args=${args:=}"];
    let user = ["--user=${user:=}"];
    let by_default = ["--default-args=${defaultArgs:=}"];
    let load = || RESTORE.iter().chain(&ALLOWED);
    vec![
        function("kubedbmanifest-backup", image, BACKUP.iter()),
        function(
            "kubedbmanifest-restore",
            image,
            RESTORE
                .iter()
                .chain(&["--override-resources=${overrideResources:=}"]),
        ),
        function(
            "mysql-backup",
            image,
            BACKUP
                .iter()
                .chain(&mysql)
                .chain(&["--databases=${databases:=}"])
                .chain(&by_default),
        ),
        function("mysql-restore", image, load().chain(&mysql)),
        function("mariadb-backup", image, BACKUP.iter().chain(&mariadb)),
        function("mariadb-restore", image, load().chain(&mariadb)),
        function(
            "postgres-backup",
            image,
            BACKUP
                .iter()
                .chain(&postgres)
                .chain(&["--backup-cmd=${backupCmd:=}"])
                .chain(&user)
                .chain(&by_default),
        ),
        function(
            "postgres-restore",
            image,
            load()
                .chain(&postgres)
                .chain(&user)
                .chain(&["--on-conflict=${onConflict:=}"]),
        ),
    ]
}

/// An Addon with these tasks and those for the manifests of its databases, which are the same for
/// all.
fn addon(name: &str, mut backup_tasks: Vec<Task>, mut restore_tasks: Vec<Task>) -> Addon {
    backup_tasks.push(task("manifest-backup", "kubedbmanifest-backup", &[]));
    for task in &mut backup_tasks {
        task.parameters.extend(VERIFY.iter().map(parameter));
    }
    restore_tasks.push(task(
        "manifest-restore",
        "kubedbmanifest-restore",
        &[OVERRIDE],
    ));
    let mut addon = Addon::new(
        name,
        AddonSpec {
            backup_tasks,
            restore_tasks,
        },
    );
    addon.metadata.labels = Some(
        [(
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        )]
        .into(),
    );
    addon
}

fn task(name: &str, function: &str, parameters: &[Parameter]) -> Task {
    Task {
        name: name.to_owned(),
        function: function.to_owned(),
        driver: Some(Driver::Restic),
        executor: Some(TaskExecutor::Job),
        singleton: Some(true),
        parameters: parameters.iter().chain(&COMMON).map(parameter).collect(),
        volume_template: vec![VolumeTemplate {
            name: TMP_VOLUME.to_owned(),
            usage: Some("Temporary files.".to_owned()),
            source: Some(TemplatedVolumeSource {
                volume: VolumeSource {
                    empty_dir: Some(EmptyDirVolumeSource::default()),
                    ..VolumeSource::default()
                },
                ..TemplatedVolumeSource::default()
            }),
        }],
        volume_mounts: vec![VolumeMount {
            name: TMP_VOLUME.to_owned(),
            mount_path: TMP_PATH.to_owned(),
            ..VolumeMount::default()
        }],
    }
}

fn parameter((name, default, usage): &Parameter) -> ParameterDefinition {
    ParameterDefinition {
        name: (*name).to_owned(),
        usage: Some((*usage).to_owned()),
        required: Some(false),
        default: default.map(ToOwned::to_owned),
    }
}

fn function<'a>(name: &str, image: &str, args: impl Iterator<Item = &'a &'a str>) -> Function {
    let mut function = Function::new(
        name,
        FunctionSpec {
            image: Some(image.to_owned()),
            args: args.map(|arg| (*arg).to_owned()).collect(),
            ..FunctionSpec::default()
        },
    );
    function.metadata.labels = Some(
        [(
            labels::MANAGED_BY.to_owned(),
            labels::MANAGED_BY_KUBESTASH.to_owned(),
        )]
        .into(),
    );
    function
}
