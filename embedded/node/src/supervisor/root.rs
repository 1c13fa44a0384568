//! A private view of the file system, built in a mount namespace of its own.
//!
//! The view is a tmpfs on which every entry of the machine's `/` is bind-mounted again. Where a
//! mount point is missing, the directory that should hold it is replaced, in the view only, by a
//! tmpfs with the same entries: the machine's own directories stay as they are. The namespace ends
//! with its last process and takes all of it along.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, chroot, fchdir};

use super::spec::{FileEntry, Mount, MountSource, POD_EXECUTABLE, PrivateRoot};

/// What could not be done on the way to the view.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {path:?}: {source}")]
pub(super) struct RootError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

type Result<T> = std::result::Result<T, RootError>;

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> RootError {
    move |source| RootError {
        what,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Moves the calling (single-threaded) process into the view.
pub(super) fn enter(root: &PrivateRoot) -> Result<()> {
    let slash = Path::new("/");
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(failed("create a mount namespace for", &root.staging))?;
    make_private()?;
    let mut view = View::build(&root.staging)?;
    if let Some(executable) = &root.executable {
        view.mount(&Mount {
            target: POD_EXECUTABLE.into(),
            source: MountSource::Path(executable.clone()),
            read_only: true,
        })?;
    }
    for path in &root.masked {
        view.mask(path)?;
    }
    let mut mounts: Vec<&Mount> = root.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        view.mount(mount)?;
    }
    chroot(&root.staging).map_err(failed("enter", &root.staging))?;
    chdir(slash).map_err(failed("enter", slash))
}

/// Cuts the namespace off: no mount of ours may ever be seen outside.
fn make_private() -> Result<()> {
    let slash = Path::new("/");
    let private = || {
        mount(
            None::<&str>,
            slash,
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
    };
    match private() {
        // In a chroot `/` is no mount point. Entering our own namespace once more leads to its true
        // root; from there back into the chroot.
        Err(Errno::EINVAL) => {
            let namespace = Path::new("/proc/self/ns/mnt");
            let here = File::open(slash).map_err(failed("open", slash))?;
            let this = File::open(namespace).map_err(failed("open", namespace))?;
            setns(&this, CloneFlags::CLONE_NEWNS).map_err(failed("enter", namespace))?;
            private().map_err(failed("make private", slash))?;
            fchdir(&here).map_err(failed("return to", slash))?;
            chroot(".").map_err(failed("return to", slash))
        }
        other => other.map_err(failed("make private", slash)),
    }
}

struct View {
    staging: PathBuf,
    /// Directories on a tmpfs of ours: things can be made in them without touching the machine.
    own: HashSet<PathBuf>,
    volumes: usize,
}

impl View {
    fn build(staging: &Path) -> Result<Self> {
        let mut view = Self {
            staging: staging.to_owned(),
            own: HashSet::new(),
            volumes: 0,
        };
        view.mirror(Path::new("/"), staging, &["tmp", "proc"])?;
        let tmp = staging.join("tmp");
        fs::create_dir(&tmp).map_err(failed("create", &tmp))?;
        tmpfs(&tmp, "mode=1777,size=256m")?;
        view.own.insert(tmp);
        let proc = staging.join("proc");
        fs::create_dir(&proc).map_err(failed("create", &proc))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        match mount(Some("proc"), &proc, Some("proc"), flags, None::<&str>) {
            // Some containers refuse it; the machine's processes are then visible, which does no
            // harm.
            Err(Errno::EPERM) => bind(Path::new("/proc"), &proc)?,
            other => other.map_err(failed("mount proc on", &proc))?,
        }
        Ok(view)
    }

    /// Puts a tmpfs on `at` that shows the entries of `source`.
    fn mirror(&mut self, source: &Path, at: &Path, without: &[&str]) -> Result<()> {
        let handle = File::open(source).map_err(failed("open", source))?;
        let meta = handle.metadata().map_err(failed("read", source))?;
        let original = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()));
        let entries: Vec<(OsString, fs::FileType)> = fs::read_dir(&original)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?))))
                    .collect()
            })
            .map_err(failed("list", source))?;
        tmpfs(
            at,
            &format!(
                "mode={:o},uid={},gid={},size=16m",
                meta.mode() & 0o7777,
                meta.uid(),
                meta.gid()
            ),
        )?;
        // Keeps the view itself out of the recursive binds below.
        mount(
            None::<&str>,
            at,
            None::<&str>,
            MsFlags::MS_UNBINDABLE,
            None::<&str>,
        )
        .map_err(failed("protect", at))?;
        self.own.insert(at.to_owned());
        for (name, kind) in entries {
            if without.iter().any(|skipped| name == *skipped) {
                continue;
            }
            let (from, to) = (original.join(&name), at.join(&name));
            match mirror_entry(&from, &to, kind) {
                // It has gone since the directory was listed.
                Err(error) if error.source.kind() == io::ErrorKind::NotFound => {
                    let _ = fs::remove_file(&to).or_else(|_| fs::remove_dir(&to));
                }
                other => other?,
            }
        }
        Ok(())
    }

    fn mask(&mut self, path: &Path) -> Result<()> {
        let Some(at) = self.find(path) else {
            return Ok(());
        };
        if at.is_dir() {
            tmpfs(&at, "mode=755,size=1m")?;
            self.own.insert(at);
            Ok(())
        } else {
            bind(Path::new("/dev/null"), &at)
        }
    }

    fn mount(&mut self, wanted: &Mount) -> Result<()> {
        match &wanted.source {
            MountSource::Path(source) => self.mount_path(source, wanted),
            MountSource::Files {
                entries,
                sub_path,
                owner,
            } => {
                self.volumes += 1;
                let volume = self.staging.join(format!(".volume-{}", self.volumes));
                fs::create_dir(&volume).map_err(failed("create", &volume))?;
                let size: usize = entries
                    .iter()
                    .map(|entry| entry.data.expose().len() + 8192)
                    .sum();
                tmpfs(&volume, &format!("mode=755,size={}k", size / 1024 + 64))?;
                for entry in entries {
                    write_entry(&volume, entry, *owner)?;
                }
                let shown = sub_path
                    .as_ref()
                    .map_or_else(|| volume.clone(), |sub| volume.join(sub));
                self.mount_path(&shown, wanted)?;
                umount2(&volume, MntFlags::MNT_DETACH).map_err(failed("unmount", &volume))?;
                fs::remove_dir(&volume).map_err(failed("remove", &volume))
            }
        }
    }

    fn mount_path(&mut self, source: &Path, wanted: &Mount) -> Result<()> {
        let meta = fs::metadata(source).map_err(failed("mount", source))?;
        let at = self.mount_point(&wanted.target, meta.is_dir())?;
        bind(source, &at)?;
        if wanted.read_only {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &at, None::<&str>, flags, None::<&str>)
                .map_err(failed("protect", &at))?;
        }
        // A writable directory of the machine is not ours to make mount points in; a tmpfs was
        // never entered.
        self.own.remove(&at);
        Ok(())
    }

    /// Where an existing path of the machine is in the view, symbolic links followed.
    fn find(&self, path: &Path) -> Option<PathBuf> {
        match self.walk(path) {
            Ok((at, rest)) if rest.is_empty() => Some(at),
            _ => None,
        }
    }

    /// The place of `target` in the view, made if it is missing.
    fn mount_point(&mut self, target: &Path, directory: bool) -> Result<PathBuf> {
        let (mut at, missing) = self.walk(target)?;
        let Some((last, parents)) = missing.split_last() else {
            return Ok(at);
        };
        if !self.own.contains(&at) {
            let (source, place) = (at.clone(), at.clone());
            self.mirror(&source, &place, &[])?;
        }
        for name in parents {
            at.push(name);
            fs::create_dir(&at).map_err(failed("create", &at))?;
            self.own.insert(at.clone());
        }
        at.push(last);
        if directory {
            fs::create_dir(&at)
        } else {
            File::create(&at).map(drop)
        }
        .map_err(failed("create", &at))?;
        Ok(at)
    }

    /// Follows `path` through the view as far as it exists: that place, and the names that are
    /// missing below it.
    fn walk(&self, path: &Path) -> Result<(PathBuf, Vec<OsString>)> {
        let mut at = self.staging.clone();
        let mut left: Vec<OsString> = names(path).collect();
        left.reverse();
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == ".." {
                if at != self.staging {
                    at.pop();
                }
                continue;
            }
            let next = at.join(&name);
            match fs::symlink_metadata(&next) {
                Ok(meta) if meta.is_symlink() => {
                    links += 1;
                    if links > 40 {
                        return Err(failed("follow", path)(io::Error::from(Errno::ELOOP)));
                    }
                    let to = fs::read_link(&next).map_err(failed("follow", &next))?;
                    if to.is_absolute() {
                        at.clone_from(&self.staging);
                    }
                    let mut through: Vec<OsString> = names(&to).collect();
                    through.reverse();
                    left.extend(through);
                }
                Ok(_) => at = next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    left.push(name);
                    left.reverse();
                    return Ok((at, left));
                }
                Err(error) => return Err(failed("look at", &next)(error)),
            }
        }
        Ok((at, Vec::new()))
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn mirror_entry(from: &Path, to: &Path, kind: fs::FileType) -> Result<()> {
    if kind.is_symlink() {
        let target = fs::read_link(from).map_err(failed("read", from))?;
        return symlink(target, to).map_err(failed("create", to));
    }
    if kind.is_dir() {
        fs::create_dir(to)
    } else {
        File::create(to).map(drop)
    }
    .map_err(failed("create", to))?;
    bind(from, to)
}

fn write_entry(volume: &Path, entry: &FileEntry, owner: Option<(u32, u32)>) -> Result<()> {
    let relative = Path::new(&entry.path);
    if relative
        .components()
        .any(|component| !matches!(component, Component::Normal(_)))
    {
        return Err(failed("write", relative)(io::Error::from(
            io::ErrorKind::InvalidInput,
        )));
    }
    let path = volume.join(relative);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
    }
    fs::write(&path, entry.data.expose()).map_err(failed("write", &path))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .map_err(failed("give away", &path))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode & 0o777))
        .map_err(failed("protect", &path))
}

fn tmpfs(at: &Path, options: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some(options))
        .map_err(failed("mount a tmpfs on", at))
}

fn bind(source: &Path, at: &Path) -> Result<()> {
    mount(
        Some(source),
        at,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(failed("mount", source))
}
