//! Automatic backup: from annotations on a target to a BackupConfiguration.
//!
//! ```text
//!   Druid ─(KubeDB copies the annotations)─► AppBinding ─┐
//!                                    BackupBlueprint ────┼─► target.rs: BackupConfiguration appbinding-<name>
//!                                          namespaces ───┘
//!   BackupBlueprint deleted, deletionPolicy OnDelete ────► lifecycle.rs: its BackupConfigurations are deleted
//! ```
//!
//! Invariants:
//! * A configuration is touched only if its labels say that it was made from a blueprint and its
//!   target is the annotated one; a name proves nothing.
//! * Only the fields of the template are applied, so the rest (`paused`) is the user's.
//! * The operator is not the author of what it writes: a reference to another namespace needs the
//!   blueprint's author, the target's owner, or the owner of what is referred to (`permit.rs`).
//! * Every refusal is an Event on the annotated object, on the database behind it and on the
//!   blueprint; what else its owner has to know is one on the first two (said.rs, spelling.rs).

mod apply;
mod decide;
mod lifecycle;
mod permit;
mod refusal;
mod render;
mod request;
mod said;
mod spelling;
mod target;

use std::sync::Arc;

pub(crate) use refusal::Refusal;

use crate::context::Context;
use crate::runtime::apply::Manager;

/// Owner of the fields that a blueprint gives to a configuration.
pub(crate) const MANAGER: Manager = Manager("kubestash-blueprint");

/// Runs the reconcilers of targets and of blueprints until the operator stops.
pub(crate) async fn controller(ctx: Arc<Context>) {
    tokio::join!(
        target::controller(Arc::clone(&ctx)),
        lifecycle::controller(ctx)
    );
}
