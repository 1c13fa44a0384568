//! From BackupStorage and Secret to an open store: layout of the bucket, YAML beside the data.
//!
//! ```text
//!   BackupStorage ─┐                       ┌─ metadata.yaml, repository.yaml, snapshots/*.yaml
//!   its Secret    ─┼─ resolve ─► Backend ──┤
//!   Environment   ─┘   (pure)              └─ repository/v1/<session>/<component>  → engine
//! ```
//! Operator and executor both reach storages through here and nowhere else. Where things lie is
//! `kubestash_domain::layout`.

mod adopt;
mod backend;
mod error;
mod forget;
mod header;
mod inventory;
mod password;
mod resolve;
mod wipe;
mod yaml;

pub use adopt::Adopted;
pub use backend::Backend;
pub use error::BackendError;
pub use forget::{SnapshotData, forget};
pub use inventory::{REPORT_KEY, REPORT_LIMIT, StoredRepository, pack, unpack};
pub use password::{ENCRYPTION_KEY, encryption_password};
pub use resolve::{Environment, LocalRoot, resolve, secret_reference};
pub use wipe::{LEFT_KEY, Left, Wiped};
