//! Database families: how to find, wait for, dump and load a database with its own client.
//!
//! ```text
//!   target ──► locate ──► Connection ──► Family::dump ──► DumpStream ──► the engine
//!  (Druid, MySQL, …)   (host, port, who)      │   wait → select databases → plan → start the client
//!                                             └── mysql/, postgres/   one folder for each family
//! ```
//!
//! [`locate`] is pure: objects in, a [`Connection`] out. A [`Family`] knows the client programs of
//! one kind of server. Invariants, whatever the family:
//!
//! - a password is only ever in memory and in a file of mode 0600 in a private folder, which is
//!   gone when the client has ended: never in a command line, an environment, a log or an error;
//! - no shell runs, and names of databases are compared with what the server has before they reach
//!   a command line;
//! - a dump that did not end well ends its stream with an error, so nobody can take half a dump for
//!   a whole one.

mod aftermath;
mod client;
pub mod connection;
mod druid_config;
pub mod endpoint;
pub mod family;
mod flags;
mod load;
pub mod locate;
mod lowered;
pub mod mysql;
mod outline;
mod postgres;
mod private_dir;
mod reach;
mod scan;
pub mod selection;
mod stderr_tail;
pub mod stream;
mod target;
pub mod transforms;

pub use aftermath::Aftermath;
pub use client::ClientError;
pub use connection::{Connection, Credentials, Demand, Identity, Tls};
pub use family::{Dump, DumpRequest, Error, ExamineRequest, Family, Load, LoadRequest, Role};
pub use load::{LoadError, LoadSink, LoadWatch, RunningLoad};
pub use mysql::Structure;
pub use outline::{OUTLINE, Outline, Outliner};
pub use reach::{DatabaseWait, ServerError, database_waits};
pub use scan::Allowed;
pub use selection::SelectionError;
pub use stream::{DumpStream, StreamError};
pub use target::{Accepted, Missing, Target, TargetError};
