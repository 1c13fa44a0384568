//! The rights that `kubestash up` needs, looked at before anything is begun: without them it would
//! serve an API whose every pod and database fails.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use kubestash_node::supervisor::{
    Child, Exit, POD_EXECUTABLE, PrivateRoot, ProcessSpec, Supervisor,
};

use crate::signals::bits;

/// What the parts do, and the capability that the kernel wants for it.
const NEEDED: [(u32, &str, &str); 8] = [
    (0, "CAP_CHOWN", "give files to their owners"),
    (1, "CAP_DAC_OVERRIDE", "keep the files of all of them"),
    (3, "CAP_FOWNER", "set the modes of their files"),
    (5, "CAP_KILL", "end pods and database servers"),
    (6, "CAP_SETGID", "run them as their groups"),
    (7, "CAP_SETUID", "run them as their users"),
    (18, "CAP_SYS_CHROOT", "give pods a file system of their own"),
    (21, "CAP_SYS_ADMIN", "give pods namespaces of their own"),
];
const REMEDY: &str = "run it as root (sudo kubestash up), in a container with --privileged";
/// How long the trial may take on a busy machine.
const TRIAL: Duration = Duration::from_secs(60);

/// Refuses to go on without what the kernel wants.
pub(crate) fn check() -> anyhow::Result<()> {
    let status = fs::read_to_string("/proc/self/status")
        .context("failed to find out about the rights of this process: is /proc mounted?")?;
    let missing = missing(&status);
    if !missing.is_empty() {
        bail!(
            "failed to start: this process lacks the rights to {}; {REMEDY}",
            missing.join(", to ")
        );
    }
    Ok(())
}

/// Runs a process as pods are run, for a container or a security module may forbid what the kernel
/// would allow.
pub(crate) async fn try_out(data_dir: &Path, own_binary: &Path) -> anyhow::Result<()> {
    match trial(data_dir, own_binary).await? {
        Exit::Code(0) => Ok(()),
        exit => bail!("failed to start: a trial of what pods need ended: {exit}; {REMEDY}"),
    }
}

/// The rights that a process lacks, from `/proc/<pid>/status`.
fn missing(status: &str) -> Vec<String> {
    let effective = bits(status, "CapEff").unwrap_or(0);
    NEEDED
        .iter()
        .filter(|(bit, _, _)| effective >> bit & 1 == 0)
        .map(|(_, name, what)| format!("{what} ({name})"))
        .collect()
}

/// Runs this program in namespaces and a file system of its own.
async fn trial(data_dir: &Path, own_binary: &Path) -> anyhow::Result<Exit> {
    let dir = data_dir.join(format!(".trial-{}", std::process::id()));
    let staging = dir.join("root");
    fs::create_dir_all(&staging)
        .with_context(|| format!("failed to create {}", staging.display()))?;
    let process = ProcessSpec {
        label: "trial of the rights that pods need".to_owned(),
        program: POD_EXECUTABLE.to_owned(),
        args: vec!["version".to_owned()],
        env: Vec::new(),
        working_dir: None,
        identity: None,
        root: Some(PrivateRoot {
            staging,
            executable: Some(own_binary.to_owned()),
            masked: Vec::new(),
            mounts: Vec::new(),
        }),
        stdin: None,
        log: dir.join("log"),
        no_new_privileges: false,
    };
    let child = Child::spawn(&Supervisor::new(own_binary), process)?;
    let exit = tokio::time::timeout(TRIAL, child.wait())
        .await
        .with_context(|| format!("failed to start: a trial of what pods need hangs; {REMEDY}"))?;
    fs::remove_dir_all(&dir).with_context(|| format!("failed to remove {}", dir.display()))?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_it_is_for() {
        let all = "Name:\tx\nSigIgn:\t0000000000000001\nCapEff:\t000001ffffffffff\n";
        assert_eq!(missing(all), Vec::<String>::new());
        let container = "CapEff:\t00000000a80425fb\n";
        assert_eq!(
            missing(container),
            ["give pods namespaces of their own (CAP_SYS_ADMIN)"]
        );
        assert_eq!(missing("CapEff:\t0000000000000000\n").len(), NEEDED.len());
        assert_eq!(missing("").len(), NEEDED.len());
    }
}
