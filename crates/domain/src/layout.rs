//! Where things lie in a bucket or volume.
//!
//! ```text
//! <prefix>/metadata.yaml                                   what the storage holds
//! <prefix>/<directory>/repository.yaml                     the Repository object
//! <prefix>/<directory>/snapshots/<snapshot>.yaml           one file for each Snapshot object
//! <prefix>/<directory>/repository/v1/<session>/<component> one restic repository each
//! ```
//! All paths here are relative to the storage's prefix and never begin with a slash, whatever the
//! user wrote (`/default-blueprint` and `default-blueprint` are one directory).
//!
//! Which directories a repository may have is in [`directory`], which files of a storage are ours
//! in [`contents`].

pub mod contents;
pub mod directory;

/// File at the root of a storage that lists what it holds.
pub const METADATA_FILE: &str = "metadata.yaml";
/// File in a repository's directory that holds the Repository object.
pub const REPOSITORY_FILE: &str = "repository.yaml";
/// Folder in a repository's directory that holds the Snapshot objects.
pub const SNAPSHOTS_DIR: &str = "snapshots";
/// Folder in a repository's directory that holds its restic repositories, below a version.
pub const DATA_DIR: &str = "repository";
/// Name of the stream that a logical dump is stored as.
pub const DUMP_FILE: &str = "dumpfile.sql";
/// Host that restic snapshots of a logical dump carry.
pub const HOST: &str = "host-0";
/// Version of the layout, as in `Snapshot.spec.version`.
pub const VERSION: &str = "v1";

/// Joins parts to one path: empty parts and doubled slashes vanish, as do `.`; a `..` never climbs
/// out, it is dropped.
pub fn join(parts: &[&str]) -> String {
    parts
        .iter()
        .flat_map(|part| part.split('/'))
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .collect::<Vec<_>>()
        .join("/")
}

/// Directory of a repository: its `spec.path`, normalised.
pub fn repository_dir(path: &str) -> String {
    join(&[path])
}

/// Path of the file that holds a Repository object.
pub fn repository_file(path: &str) -> String {
    join(&[path, REPOSITORY_FILE])
}

/// Folder that holds the Snapshot objects of a repository.
pub fn snapshots_dir(path: &str) -> String {
    join(&[path, SNAPSHOTS_DIR])
}

/// Path of the file that holds a Snapshot object.
pub fn snapshot_file(path: &str, snapshot: &str) -> String {
    join(&[path, SNAPSHOTS_DIR, &format!("{snapshot}.yaml")])
}

/// `status.components.<component>.path` of a Snapshot: relative to the repository's directory.
pub fn component_path(version: &str, session: &str, component: &str) -> String {
    join(&[DATA_DIR, version, session, component])
}

/// Directory of the restic repository at `component_path` in the repository at `path`.
pub fn component_dir(path: &str, component_path: &str) -> String {
    join(&[path, component_path])
}

/// Where a Job mounts the volume of a `local` storage: `/<storage>/<mount path>`, so that two
/// storages with one mount path do not meet in one pod.
pub fn local_mount_path(storage: &str, mount_path: &str) -> String {
    format!("/{}", join(&[storage, mount_path]))
}

/// Whether two directories of one storage are the same.
pub fn same_directory(left: &str, right: &str) -> bool {
    repository_dir(left) == repository_dir(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tutorials_paths_come_out_whatever_the_slashes() {
        for directory in [
            "/default-blueprint",
            "default-blueprint",
            "default-blueprint/",
            "//default-blueprint//",
        ] {
            let component = component_path(VERSION, "frequent-backup", "dump");
            assert_eq!(component, "repository/v1/frequent-backup/dump");
            assert_eq!(
                join(&["blueprint", &component_dir(directory, &component)]),
                "blueprint/default-blueprint/repository/v1/frequent-backup/dump"
            );
            assert_eq!(snapshots_dir(directory), "default-blueprint/snapshots");
            assert_eq!(
                repository_file(directory),
                "default-blueprint/repository.yaml"
            );
        }
        assert_eq!(
            snapshot_file("demo/sample-druid-2", "snap-1"),
            "demo/sample-druid-2/snapshots/snap-1.yaml"
        );
    }

    #[test]
    fn no_directory_climbs_out_of_the_storage() {
        assert_eq!(
            join(&["blueprint", "../../etc/./passwd"]),
            "blueprint/etc/passwd"
        );
        assert!(same_directory("/a/b/", "a//b"));
        assert!(!same_directory("/a/b", "a"));
    }

    #[test]
    fn local_volumes_of_one_mount_path_do_not_meet() {
        assert_eq!(local_mount_path("one", "/mnt/data"), "/one/mnt/data");
        assert_eq!(local_mount_path("two", "mnt/data/"), "/two/mnt/data");
    }
}
