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
const BACKUP: [&str; 5] = [
    "backup",
    "--namespace=${namespace:=default}",
    "--backupsession=${backupSession:=}",
    "--enable-cache=${enableCache:=}",
    "--scratch-dir=${scratchDir:=}",
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

type Parameter = (&'static str, Option<&'static str>, &'static str);

/// The Addons, each with its tasks.
pub fn addons() -> Vec<Addon> {
    vec![addon(
        "druid-addon",
        vec![task(
            "mysql-metadata-storage-backup",
            "mysql-backup",
            &[
                (
                    "args",
                    Some("--set-gtid-purged=OFF --ignore-table=druid.druid_config"),
                    "Further flags of the dump client. Given ones replace the default.",
                ),
                (
                    "databases",
                    None,
                    "Comma-separated databases to dump. Without it, the one that holds Druid's tables.",
                ),
            ],
        )],
        vec![task(
            "mysql-metadata-storage-restore",
            "mysql-restore",
            &[(
                "args",
                None,
                "Further flags of the client that loads the dump.",
            )],
        )],
    )]
}

/// The Functions that the Addons name, with the image that holds this program.
pub fn functions(image: &str) -> Vec<Function> {
    let mysql = [
        "--wait-timeout=${waitTimeout:=300}",
        "--mysql-args=${args:=}",
        "--db-version=${dbVersion:=}",
    ];
    vec![
        function("kubedbmanifest-backup", image, BACKUP.iter()),
        function("kubedbmanifest-restore", image, RESTORE.iter()),
        function(
            "mysql-backup",
            image,
            BACKUP
                .iter()
                .chain(&mysql)
                .chain(&["--databases=${databases:=}"]),
        ),
        function("mysql-restore", image, RESTORE.iter().chain(&mysql)),
    ]
}

/// An Addon with these tasks and those for the manifests of its databases, which are the same for all.
fn addon(name: &str, mut backup_tasks: Vec<Task>, mut restore_tasks: Vec<Task>) -> Addon {
    backup_tasks.push(task("manifest-backup", "kubedbmanifest-backup", &[]));
    restore_tasks.push(task("manifest-restore", "kubedbmanifest-restore", &[]));
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
        parameters: parameters
            .iter()
            .chain(&COMMON)
            .map(|(name, default, usage)| ParameterDefinition {
                name: (*name).to_owned(),
                usage: Some((*usage).to_owned()),
                required: Some(false),
                default: default.map(ToOwned::to_owned),
            })
            .collect(),
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
