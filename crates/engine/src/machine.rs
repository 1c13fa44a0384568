//! Which machine this is, and which of its processes are alive: so that what a killed process left
//! is known for what it is at once, and not only when it has become old.
//!
//! Invariant: a process is only called dead when it would be seen if it lived. Where that is not
//! certain (another machine, a container that shares its host's name but not its processes, a
//! `/proc` that hides those of others), it counts as alive.

use std::fs;
use std::hash::Hasher as _;
use std::path::Path;
use std::sync::OnceLock;

/// The namespaces that the kernel starts with have fixed numbers.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";
const FIRST_NAME_NAMESPACE: &str = "uts:[4026531838]";

/// The name of this machine, as `restic` writes it into its locks.
pub fn hostname() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether a process of the machine called `hostname` is certainly dead: that is this machine, all
/// processes that go by its name can be seen from here, and this one is not among them.
pub(crate) fn sees_dead(host: &str, pid: u32) -> bool {
    hostname().as_deref() == Some(host) && names_its_processes() && is_dead(pid)
}

/// What stands in the names of unfinished files for who writes them: this boot of this machine, and
/// this process.
pub(crate) fn writer() -> String {
    format!("{}-{}", boot(), std::process::id())
}

/// Whether the process that [`writer`] named so is certainly dead.
pub(crate) fn is_dead_writer(writer: &str) -> bool {
    let Some((there, pid)) = writer.split_once('-') else {
        return false;
    };
    there == boot() && pid.parse().is_ok_and(is_dead)
}

/// Sixteen digits for this boot of this machine and the processes that can be seen; empty if that
/// is unknown.
fn boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let (Ok(boot), Some(processes)) = (boot, namespace("pid")) else {
            return String::new();
        };
        let mut hash = std::hash::DefaultHasher::new();
        hash.write(boot.trim().as_bytes());
        hash.write(processes.as_bytes());
        format!("{:016x}", hash.finish())
    })
}

fn namespace(kind: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    link.to_str().map(str::to_owned)
}

/// Whether the machine's name and its processes are seen from the same place: both are the host's
/// own, or both a container's own. A container with its host's name sees few of the processes that
/// have that name.
fn names_its_processes() -> bool {
    match (namespace("pid"), namespace("uts")) {
        (Some(pid), Some(uts)) => (pid == FIRST_PID_NAMESPACE) == (uts == FIRST_NAME_NAMESPACE),
        _ => false,
    }
}

/// A zombie is dead: it only waits for its parent to look.
fn is_dead(pid: u32) -> bool {
    if pid == 0 || hides_processes() {
        return false;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The name in parentheses may hold anything, so the state is looked for behind its end.
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(_) => !Path::new(&format!("/proc/{pid}")).exists(),
    }
}

fn hides_processes() -> bool {
    let Ok(mounts) = fs::read_to_string("/proc/self/mounts") else {
        return true;
    };
    let mut proc = mounts.lines().filter(|line| line.contains(" /proc proc "));
    proc.any(|line| line.contains("hidepid=") && !line.contains("hidepid=0"))
        || !Path::new("/proc/self/stat").exists()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_dead_once_it_has_ended_and_on_this_machine_only() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let (host, pid) = (hostname().unwrap(), child.id());
        assert!(!is_dead(pid) && !sees_dead(&host, pid));
        let writer = format!("{}-{pid}", boot());
        assert!(!is_dead_writer(&writer));
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // Not waited for: a zombie.
        while !is_dead(pid) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
        assert_eq!(sees_dead(&host, pid), names_its_processes());
        assert!(is_dead_writer(&writer));
        child.wait().unwrap();
        assert!(is_dead(pid));
        assert!(!sees_dead("another-machine", pid));
        assert!(!is_dead_writer(&format!("0123456789abcdef-{pid}")));
    }

    #[test]
    fn what_names_no_process_is_no_dead_one() {
        for text in ["", "-", "1", "abc", "0123456789abcdef-x"] {
            assert!(!is_dead_writer(text), "{text}");
        }
        assert!(!is_dead(0));
        assert!(!is_dead_writer(&writer()));
    }
}
