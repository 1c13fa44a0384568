//! The embedded Kubernetes API server: durable, on loopback, for one machine.
//!
//! `kubectl` and kube-rs talk to it as to any other. It serves the built-in kinds that kubestash
//! needs and all kinds that CustomResourceDefinitions define, with watch, server-side apply,
//! admission webhooks, RBAC for ServiceAccounts, garbage collection and namespace deletion. What an
//! object *means* is decided in `kubestash-apimachinery`; here is everything with I/O and state:
//!
//! ```text
//!  client ─TLS─► http ─► auth ─► registry ─► store ─► disk (fsync) ─► answer
//!                                  │ admission webhooks    │
//!                                  └─ apimachinery         └─► watches, controllers
//! ```
//!
//! # Use
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = kubestash_apiserver::start(kubestash_apiserver::Config {
//!     data_dir: "/var/lib/kubestash/apiserver".into(),
//!     bind: ([127, 0, 0, 1], 6443).into(),
//! })
//! .await?;
//! let kubeconfig = server.kubeconfig(); // for a file (mode 0600), or kube::config::Kubeconfig via serde_json
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A client in the same process needs no connection: [`Server::local_service`] is a service that
//! `kube::Client::new` takes, once a layer adds the token.
//!
//! Tests use [`testing::TestServer::start`]: a server of their own in a temporary directory on an
//! ephemeral port. A `kube::Client` for it:
//!
//! ```ignore
//! let server = kubestash_apiserver::testing::TestServer::start().await?;
//! let kubeconfig: kube::config::Kubeconfig = serde_json::from_value(server.kubeconfig())?;
//! let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
//! let client = kube::Client::try_from(config)?;
//! ```
//!
//! A CustomResourceDefinition is served from the moment its creation is acknowledged.
//!
//! # For the node
//!
//! - A pod's token: [`Server::service_account_token`], or `POST …/serviceaccounts/<name>/token`;
//!   its CA: [`Server::ca_pem`].
//! - A deleted pod that has `spec.nodeName` and has not ended is only marked (`deletionTimestamp`,
//!   `deletionGracePeriodSeconds`); the node ends it and then deletes it with `gracePeriodSeconds:
//!   0`.
//! - Container output for `kubectl logs`: see [`logs`].

mod admission;
mod app;
mod auth;
mod bootstrap;
mod connections;
mod controllers;
mod data_dir;
mod http;
mod local;
pub mod logs;
mod pki;
mod registry;
mod server;
mod store;
pub mod testing;

pub use auth::token::TokenError;
pub use data_dir::DataDirError;
pub use local::LocalService;
pub use pki::PkiError;
pub use server::{Config, Server, StartError, start};
pub use store::StoreError;
