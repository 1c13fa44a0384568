//! From a container of a pod to the process that stands for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::{try_join, try_join3};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeMount};
use kube::ResourceExt;

use super::environment::{self, Environment};
use super::expand::expand;
use super::files::{self, Tokens};
use super::renewal::{LiveDir, TokenFile};
use super::sources::Sources;
use super::token::{self, Account};
use super::trouble::Trouble;
use super::{Node, directories, image};
use crate::supervisor::{
    FileEntry, Identity, Mount, MountSource, POD_EXECUTABLE, PrivateRoot, ProcessSpec,
};

/// User and group of files; none are root's.
type Owner = Option<(u32, u32)>;

/// What a `command` has to start with to mean our own binary.
const OWN_PROGRAM: &str = "kubestash";

/// Where files with tokens are, for root only.
const LIVE: &str = ".tokens";

/// Where the node keeps what belongs to one pod.
pub(crate) struct PodDir(PathBuf);

impl PodDir {
    /// The directory of the pod with this uid, below the directory of all pods.
    pub(crate) fn new(pods: &Path, uid: &str) -> Self {
        Self(pods.join(uid))
    }

    /// The log of one run of a container.
    pub(crate) fn log(&self, container: &str, restart: i32) -> PathBuf {
        self.0.join(container).join(format!("{restart}.log"))
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.0.join(".volumes").join(name)
    }

    /// Files of a volume of a container that change while it runs.
    fn live(&self, container: &str, volume: &str) -> PathBuf {
        // Neither name has a dot, so no two are the same.
        self.0.join(LIVE).join(format!("{container}.{volume}"))
    }

    fn staging(&self, container: &str) -> PathBuf {
        self.0.join(".root").join(container)
    }

    /// Removes everything but the logs.
    pub(crate) fn remove_volumes(&self) {
        for part in [".volumes", ".root", LIVE] {
            remove(&self.0.join(part));
        }
    }

    /// Removes everything.
    pub(crate) fn remove(&self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, ?path, "failed to remove what a pod has left");
        }
        _ => {}
    }
}

/// Why this node will never run the pod, if so.
pub(crate) fn refusal(pod: &PodSpec) -> Option<String> {
    let foreign = |volume: &&Volume| {
        volume.empty_dir.is_none()
            && volume.host_path.is_none()
            && volume.secret.is_none()
            && volume.config_map.is_none()
            && volume.projected.is_none()
            && volume.downward_api.is_none()
            && volume.persistent_volume_claim.is_none()
    };
    let volume = pod.volumes.iter().flatten().find(foreign)?;
    Some(format!(
        "volume {:?} is of a kind that this node cannot mount: use emptyDir, hostPath, persistentVolumeClaim, secret, \
         configMap, downwardAPI or projected",
        volume.name
    ))
}

/// Prepares the process of a container: reads what it refers to and makes its directories. The
/// tokens in its files are to be renewed while it runs.
pub(crate) async fn process(
    node: &Node,
    pod: &Pod,
    container: &Container,
    restart: i32,
) -> Result<(ProcessSpec, Vec<TokenFile>), Trouble> {
    let image = container.image.as_deref().unwrap_or_default();
    if !image::is_own(image, &node.config.own_images) {
        return Err(Trouble::image(image::refusal(
            image,
            &node.config.own_images,
        )));
    }
    let spec = pod
        .spec
        .as_ref()
        .ok_or_else(|| Trouble::config("the pod has no spec"))?;
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = mounted(spec, container)?;
    let user = User::of(spec, container)?;
    let dir = PodDir::new(&node.pods_dir, &pod.uid().unwrap_or_default());
    let account = Account::of(&node.client, pod);
    let ((sources, tokens), own_mount, claims) = try_join3(
        try_join(
            Sources::read(&node.client, &namespace, container, &volumes),
            account.tokens(&volumes),
        ),
        account.own_mount(
            container,
            &node.config,
            dir.live(&container.name, ""),
            user.owner(),
        ),
        claims(node, &namespace, &volumes),
    )
    .await?;
    let environment = environment::build(&node.defaults, pod, container, user.uid(), &sources)?;
    let given = Given {
        pod,
        dir: &dir,
        user: &user,
        sources: &sources,
        tokens: &tokens,
        claims: &claims,
    };
    let (mut mounts, mut renewed): (Vec<Mount>, Vec<TokenFile>) = own_mount.into_iter().unzip();
    for mount in container.volume_mounts.iter().flatten() {
        if let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) {
            mounts.push(given.mount(container, volume, mount, &environment, &mut renewed)?);
        }
    }
    let staging = dir.staging(&container.name);
    let log = dir.log(&container.name, restart);
    for path in log.parent().into_iter().chain([staging.as_path()]) {
        fs::create_dir_all(path)
            .map_err(|error| Trouble::node(format!("failed to create {path:?}: {error}")))?;
    }
    let (program, args) = command(container, &environment);
    let security = container.security_context.as_ref();
    let process = ProcessSpec {
        label: format!("{namespace}/{}/{}", pod.name_any(), container.name),
        program,
        args,
        working_dir: container
            .working_dir
            .as_ref()
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from),
        identity: user.identity,
        root: Some(PrivateRoot {
            staging,
            executable: Some(node.config.own_binary.clone()),
            masked: node.masked.clone(),
            mounts,
        }),
        stdin: None,
        log,
        no_new_privileges: security.and_then(|context| context.allow_privilege_escalation)
            == Some(false),
        env: environment.into_pairs(),
    };
    Ok((process, renewed))
}

/// The volumes that the container mounts.
fn mounted<'a>(spec: &'a PodSpec, container: &Container) -> Result<Vec<&'a Volume>, Trouble> {
    let find = |mount: &VolumeMount| {
        let found = spec
            .volumes
            .iter()
            .flatten()
            .find(|volume| volume.name == mount.name);
        found.ok_or_else(|| {
            let (name, path) = (&mount.name, &mount.mount_path);
            Trouble::config(format!(
                "volume {name:?} of mount {path:?} is not in the pod's volumes"
            ))
        })
    };
    let mut volumes = container
        .volume_mounts
        .iter()
        .flatten()
        .map(find)
        .collect::<Result<Vec<_>, _>>()?;
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    volumes.dedup_by(|a, b| a.name == b.name);
    Ok(volumes)
}

/// The directories of the claims among the volumes, by volume.
async fn claims(
    node: &Node,
    namespace: &str,
    volumes: &[&Volume],
) -> Result<Vec<(String, PathBuf)>, Trouble> {
    let mut directories = Vec::new();
    for volume in volumes {
        if let Some(source) = &volume.persistent_volume_claim {
            let path = node
                .claims
                .directory(namespace, &source.claim_name)
                .await
                .map_err(|why| Trouble::volume(why).in_volume(&volume.name))?;
            directories.push((volume.name.clone(), path));
        }
    }
    Ok(directories)
}

/// Command and arguments: without a command it is our own program, which is what the image starts.
fn command(container: &Container, environment: &Environment) -> (String, Vec<String>) {
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        let expand = |word: &String| expand(word, |name| environment.text(name));
        words.iter().flatten().map(expand).collect()
    };
    let mut words = expanded(&container.command);
    let program = match words.first().map(String::as_str) {
        None => POD_EXECUTABLE.to_owned(),
        Some(OWN_PROGRAM) => {
            words.remove(0);
            POD_EXECUTABLE.to_owned()
        }
        Some(_) => words.remove(0),
    };
    words.extend(expanded(&container.args));
    (program, words)
}

/// Whom the container runs as.
struct User {
    identity: Option<Identity>,
    group: Option<u32>,
}

impl User {
    fn of(spec: &PodSpec, container: &Container) -> Result<Self, Trouble> {
        let (pod, own) = (
            spec.security_context.as_ref(),
            container.security_context.as_ref(),
        );
        let id = |value: Option<i64>, field: &str| {
            let number = value.map(u32::try_from).transpose();
            number
                .map_err(|_| Trouble::config(format!("securityContext.{field} is not a valid id")))
        };
        let user = own
            .and_then(|own| own.run_as_user)
            .or(pod.and_then(|pod| pod.run_as_user));
        let group = own
            .and_then(|own| own.run_as_group)
            .or(pod.and_then(|pod| pod.run_as_group));
        let non_root = own
            .and_then(|own| own.run_as_non_root)
            .or(pod.and_then(|pod| pod.run_as_non_root));
        let (user, group) = (id(user, "runAsUser")?, id(group, "runAsGroup")?);
        let fs_group = id(pod.and_then(|pod| pod.fs_group), "fsGroup")?;
        let mut groups = Vec::from_iter(fs_group);
        for extra in pod
            .iter()
            .filter_map(|pod| pod.supplemental_groups.as_ref())
            .flatten()
        {
            groups.extend(id(Some(*extra), "supplementalGroups")?);
        }
        if non_root == Some(true) && user.unwrap_or(0) == 0 {
            let name = &container.name;
            return Err(Trouble::config(format!(
                "container {name:?} has runAsNonRoot and the image runs as root: set runAsUser"
            )));
        }
        let asked = user.is_some() || group.is_some() || !groups.is_empty();
        let identity = asked.then(|| Identity {
            uid: user.unwrap_or(0),
            gid: group.unwrap_or(0),
            groups,
        });
        Ok(Self {
            identity,
            group: fs_group,
        })
    }

    fn uid(&self) -> u32 {
        self.identity.as_ref().map_or(0, |identity| identity.uid)
    }

    /// Who owns files in memory, if not root.
    fn owner(&self) -> Owner {
        let identity = self.identity.as_ref()?;
        Some((identity.uid, self.group.unwrap_or(identity.gid)))
    }
}

/// What mounts are made from.
struct Given<'a> {
    pod: &'a Pod,
    dir: &'a PodDir,
    user: &'a User,
    sources: &'a Sources,
    tokens: &'a Tokens,
    claims: &'a [(String, PathBuf)],
}

impl Given<'_> {
    fn mount(
        &self,
        container: &Container,
        volume: &Volume,
        mount: &VolumeMount,
        environment: &Environment,
        renewed: &mut Vec<TokenFile>,
    ) -> Result<Mount, Trouble> {
        if !mount.mount_path.starts_with('/') {
            return Err(Trouble::config(format!(
                "mountPath {:?} must be absolute",
                mount.mount_path
            )));
        }
        let sub_path = match &mount.sub_path_expr {
            Some(expression) => Some(expand(expression, |name| environment.text(name))),
            None => mount.sub_path.clone(),
        }
        .filter(|sub| !sub.is_empty());
        let of_volume = |trouble: Trouble| trouble.in_volume(&volume.name);
        let in_memory =
            files::of_volume(volume, self.pod, self.sources, self.tokens).map_err(of_volume)?;
        let (source, always_read_only) = match in_memory {
            Some(entries)
                if token::projections(volume).next().is_some() && !token::is_in_memory(volume) =>
            {
                (
                    self.live(container, volume, entries, sub_path, renewed)?,
                    true,
                )
            }
            Some(entries) => (self.files(entries, sub_path)?, true),
            None => (
                MountSource::Path(self.path(volume, sub_path.as_deref())?),
                false,
            ),
        };
        let claim_read_only = volume
            .persistent_volume_claim
            .as_ref()
            .and_then(|claim| claim.read_only);
        Ok(Mount {
            target: PathBuf::from(&mount.mount_path),
            source,
            read_only: always_read_only
                || mount.read_only == Some(true)
                || claim_read_only == Some(true),
        })
    }

    /// The files of a volume with tokens, on disk, where they can be renewed.
    fn live(
        &self,
        container: &Container,
        volume: &Volume,
        entries: Vec<FileEntry>,
        sub_path: Option<String>,
        renewed: &mut Vec<TokenFile>,
    ) -> Result<MountSource, Trouble> {
        let path = self.dir.live(&container.name, &volume.name);
        let (entries, owner) = self.given_away(entries, sub_path.as_deref())?;
        let dir = Arc::new(LiveDir::create(path, &entries, owner)?);
        for projection in token::projections(volume) {
            let request = token::request(projection);
            let entry = entries.iter().find(|entry| entry.path == projection.path);
            if let (Some(entry), Some(issued)) = (entry, self.tokens.get(&request.audience)) {
                renewed.push(TokenFile {
                    dir: dir.clone(),
                    path: projection.path.clone(),
                    mode: entry.mode,
                    request,
                    issued: issued.clone(),
                });
            }
        }
        Ok(MountSource::Path(match sub_path {
            Some(sub) => directories::sub_path(dir.path(), &sub)?,
            None => dir.path().to_owned(),
        }))
    }

    fn files(
        &self,
        entries: Vec<FileEntry>,
        sub_path: Option<String>,
    ) -> Result<MountSource, Trouble> {
        let (entries, owner) = self.given_away(entries, sub_path.as_deref())?;
        Ok(MountSource::Files {
            entries,
            sub_path,
            owner,
        })
    }

    /// Files and their owner: the group of the pod reads them. A subPath has to be among them.
    fn given_away(
        &self,
        mut entries: Vec<FileEntry>,
        sub_path: Option<&str>,
    ) -> Result<(Vec<FileEntry>, Owner), Trouble> {
        if let Some(sub) = sub_path {
            let below = format!("{}/", sub.trim_end_matches('/'));
            if !entries
                .iter()
                .any(|entry| entry.path == *sub || entry.path.starts_with(&below))
            {
                return Err(Trouble::config(format!(
                    "subPath {sub:?} is not in its volume"
                )));
            }
        }
        if self.user.group.is_some() {
            for entry in &mut entries {
                entry.mode |= 0o040;
            }
        }
        Ok((entries, self.user.group.map(|group| (0, group))))
    }

    fn path(&self, volume: &Volume, sub_path: Option<&str>) -> Result<PathBuf, Trouble> {
        let path = if let Some(source) = &volume.host_path {
            directories::host_path(source).map_err(|trouble| trouble.in_volume(&volume.name))?
        } else if let Some((_, path)) = self.claims.iter().find(|(name, _)| *name == volume.name) {
            path.clone()
        } else {
            let path = self.dir.volume(&volume.name);
            directories::empty_dir(&path, self.user.group)
                .map_err(|trouble| trouble.in_volume(&volume.name))?;
            path
        };
        match sub_path {
            Some(sub) => directories::sub_path(&path, sub),
            None => Ok(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(value: serde_json::Value) -> Container {
        let mut value = value;
        value["name"] = "c".into();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn our_program_is_meant_by_its_name_and_by_an_empty_command() {
        for (given, expected) in [
            (
                json!({"command": ["kubestash", "execute"], "args": ["a"]}),
                vec!["/kubestash", "execute", "a"],
            ),
            (json!({"args": ["execute"]}), vec!["/kubestash", "execute"]),
            (
                json!({"command": ["sh", "-c"], "args": ["$(HOSTNAME)"]}),
                vec!["sh", "-c", "pod-a"],
            ),
            (json!({"command": ["kubestash-x"]}), vec!["kubestash-x"]),
        ] {
            let container = container(given);
            let pod = serde_json::from_value(json!({"metadata": {"name": "pod-a"}})).unwrap();
            let defaults = environment::Defaults {
                search_path: String::new(),
                api_host: String::new(),
                api_port: 1,
            };
            let environment =
                environment::build(&defaults, &pod, &container, 0, &Sources::default()).unwrap();
            let (program, args) = command(&container, &environment);
            assert_eq!([vec![program], args].concat(), expected);
        }
    }

    #[test]
    fn the_container_wins_over_the_pod_when_they_name_a_user() {
        let spec = |context| {
            serde_json::from_value(json!({"containers": [], "securityContext": context})).unwrap()
        };
        let user = |pod, own| {
            User::of(&spec(pod), &container(json!({"securityContext": own})))
                .map_err(|trouble| trouble.message)
        };
        assert_eq!(user(json!({}), json!({})).unwrap().identity, None);
        let both = user(
            json!({"runAsUser": 1, "runAsGroup": 2, "fsGroup": 3}),
            json!({"runAsUser": 9}),
        )
        .unwrap();
        assert_eq!(
            both.identity,
            Some(Identity {
                uid: 9,
                gid: 2,
                groups: vec![3]
            })
        );
        assert_eq!(both.owner(), Some((9, 3)));
        assert!(
            user(json!({"runAsNonRoot": true}), json!({}))
                .err()
                .unwrap()
                .contains("set runAsUser")
        );
        assert!(user(json!({"runAsUser": -1}), json!({})).is_err());
    }

    #[test]
    fn volumes_that_cannot_be_mounted_here_are_refused_by_name() {
        let spec = |volume| {
            serde_json::from_value(json!({"containers": [], "volumes": [volume]})).unwrap()
        };
        assert!(
            refusal(&spec(
                json!({"name": "n", "nfs": {"server": "s", "path": "/"}})
            ))
            .unwrap()
            .contains("\"n\"")
        );
        assert_eq!(refusal(&spec(json!({"name": "e", "emptyDir": {}}))), None);
    }
}
