//! Where the output of containers lies, for the node that writes it and the `log` subresource of
//! pods that reads it.
//!
//! `<pods dir>/<pod uid>/<container>/<restart>.log`, `<restart>` being the container's restart
//! count, `0` first. The pods dir is [`crate::Server::pods_dir`] (`<data dir>/pods`). Each line is
//!
//! ```text
//! 2026-11-23T16:51:16.123456789Z what the container wrote, up to its line end
//! ```
//!
//! that is an RFC 3339 time in UTC, one space, the text, one `\n`. The node appends whole lines
//! only; text without an end of line gets one when the container ends. Output and errors go to the
//! same file, in the order of arrival. The node removes `<pods dir>/<pod uid>` when the pod is
//! gone.

use std::path::{Path, PathBuf};

/// The file of one run of a container.
pub fn path(pods_dir: &Path, pod_uid: &str, container: &str, restart: u32) -> PathBuf {
    pods_dir
        .join(pod_uid)
        .join(container)
        .join(format!("{restart}.log"))
}
