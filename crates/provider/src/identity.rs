//! The unprivileged user that database servers run as: they refuse to run as root.

use kubestash_node::supervisor::Identity;
use nix::unistd::{Uid, User};

/// Users that packages make for this, and the one that always exists.
const USERS: [&str; 2] = ["mysql", "nobody"];

/// Whom servers run as. `None` if this process is not root: they run as its own user then.
pub(crate) fn of_servers() -> Option<Identity> {
    if !Uid::effective().is_root() {
        return None;
    }
    USERS
        .iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .map(|user| Identity {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: Vec::new(),
        })
}
