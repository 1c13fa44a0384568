//! Volumes that are directories or files of the machine: emptyDir, hostPath, and the paths below
//! them.

use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::trouble::Trouble;

/// Makes the directory of an emptyDir, for everyone in the pod.
pub(crate) fn empty_dir(path: &Path, group: Option<u32>) -> Result<(), Trouble> {
    let make = || -> io::Result<()> {
        fs::create_dir_all(path)?;
        let mode = if group.is_some() { 0o2777 } else { 0o777 };
        chown(path, None, group)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    };
    make()
        .map_err(|error| Trouble::node(format!("failed to create the emptyDir {path:?}: {error}")))
}

/// Checks a hostPath as its type asks for, and makes it where the type says so.
pub(crate) fn host_path(source: &HostPathVolumeSource) -> Result<PathBuf, Trouble> {
    let path = PathBuf::from(&source.path);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(Trouble::volume(format!(
            "hostPath {path:?} must be absolute and without `..`"
        )));
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    let made = match kind {
        "DirectoryOrCreate" if !path.exists() => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path),
        "FileOrCreate" if !path.exists() => fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o644)
            .open(&path)
            .map(drop),
        _ => Ok(()),
    };
    made.map_err(|error| Trouble::volume(format!("failed to create hostPath {path:?}: {error}")))?;
    let meta = fs::metadata(&path).map_err(|error| {
        let why = if error.kind() == io::ErrorKind::NotFound {
            "it does not exist; mount its disk, or create it".to_owned()
        } else {
            error.to_string()
        };
        Trouble::volume(format!("hostPath {path:?} cannot be used: {why}"))
    })?;
    let file_type = meta.file_type();
    let fits = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => file_type.is_dir(),
        "File" | "FileOrCreate" => file_type.is_file(),
        "Socket" => file_type.is_socket(),
        "CharDevice" => file_type.is_char_device(),
        "BlockDevice" => file_type.is_block_device(),
        other => {
            return Err(Trouble::volume(format!(
                "hostPath type {other:?} does not exist"
            )));
        }
    };
    if fits {
        Ok(path)
    } else {
        Err(Trouble::volume(format!(
            "hostPath {path:?} is not a {kind}"
        )))
    }
}

/// The place of a subPath in a volume, made as a directory if it is missing. It cannot lead out of
/// the volume.
pub(crate) fn sub_path(volume: &Path, sub: &str) -> Result<PathBuf, Trouble> {
    let refused = || {
        Trouble::config(format!(
            "subPath {sub:?} must be relative and stay inside its volume"
        ))
    };
    if Path::new(sub)
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Err(refused());
    }
    let failed =
        |error: io::Error| Trouble::volume(format!("failed to use subPath {sub:?}: {error}"));
    let root = volume.canonicalize().map_err(failed)?;
    let path = root.join(sub);
    // What exists on the way must not be a link out of the volume; only then may the rest be made.
    let existing = path.ancestors().find(|part| part.exists()).unwrap_or(&root);
    if !existing.canonicalize().map_err(failed)?.starts_with(&root) {
        return Err(refused());
    }
    if !path.exists() {
        fs::create_dir_all(&path).map_err(failed)?;
    }
    let path = path.canonicalize().map_err(failed)?;
    if path.starts_with(&root) {
        Ok(path)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_type(path: &Path, kind: &str) -> Result<PathBuf, String> {
        let source = HostPathVolumeSource {
            path: path.to_str().unwrap().to_owned(),
            type_: (!kind.is_empty()).then(|| kind.to_owned()),
        };
        host_path(&source).map_err(|trouble| trouble.message)
    }

    #[test]
    fn host_paths_are_checked_and_made_as_their_type_says() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, file) = (dir.path().join("a/b"), dir.path().join("file"));
        assert!(of_type(&folder, "").unwrap_err().contains("cannot be used"));
        assert!(
            of_type(&folder, "Directory")
                .unwrap_err()
                .contains("mount its disk")
        );
        assert_eq!(of_type(&folder, "DirectoryOrCreate"), Ok(folder.clone()));
        assert_eq!(of_type(&folder, "Directory"), Ok(folder.clone()));
        assert!(
            of_type(&folder, "File")
                .unwrap_err()
                .ends_with("is not a File")
        );
        assert_eq!(of_type(&file, "FileOrCreate"), Ok(file.clone()));
        assert_eq!(of_type(&file, "File"), Ok(file.clone()));
        assert!(of_type(&file, "Socket").is_err());
        assert_eq!(
            of_type(Path::new("/dev/null"), "CharDevice"),
            Ok("/dev/null".into())
        );
        assert!(of_type(Path::new("relative"), "").is_err());
        assert!(of_type(Path::new("/etc/../etc"), "").is_err());
        assert!(of_type(&file, "Nonsense").is_err());
    }

    #[test]
    fn a_sub_path_stays_inside_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("v");
        fs::create_dir(&volume).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        assert!(sub_path(&volume, "x/y").unwrap().ends_with("v/x/y"));
        assert!(volume.join("x/y").is_dir());
        for bad in ["../x", "/etc", "out", "out/passwd", "x/../../y"] {
            assert!(sub_path(&volume, bad).is_err(), "{bad}");
        }
    }
}
