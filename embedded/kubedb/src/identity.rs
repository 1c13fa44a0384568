//! The unprivileged users that database servers run as: they refuse to run as root.

use kubestash_node::supervisor::Identity;
use nix::unistd::{Uid, User};

/// The one that always exists.
const FALLBACK: &str = "nobody";

/// Whom servers run as: `user`, which packages make for this, or nobody. `None` if this process is
/// not root: they run as its own user then.
pub(crate) fn of_servers(user: &str) -> Option<Identity> {
    if !Uid::effective().is_root() {
        return None;
    }
    [user, FALLBACK]
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Identity {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: Vec::new(),
        })
}
