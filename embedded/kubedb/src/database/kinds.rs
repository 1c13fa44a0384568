//! The kinds: what each of them is called, and who serves it.

use futures::channel::mpsc::UnboundedSender;
use kube::runtime::reflector::ObjectRef;
use kubestash_api::kubedb::{DatabaseInit, DatabaseStatus, MariaDB, MySQL, Postgres};

use super::{Common, Database};
use crate::run::Context;
use crate::server::Servers;
use crate::{mysql, postgres};

/// Fields of KubeDB that have no effect on a single process, among those that `other` keeps.
const UNHEEDED: [&str; 6] = [
    "topology",
    "monitor",
    "standbyMode",
    "streamingMode",
    "readReplicas",
    "podTemplate",
];

macro_rules! database {
    ($kind:ident: $engine:ty, resource $resource:literal, name $name:literal, superuser $superuser:literal,
     url |$port:ident| $url:expr, servers $servers:ident, changed $changed:ident,
     encryption $field:literal |$spec:ident| $encrypts:expr) => {
        impl Database for $kind {
            type Engine = $engine;
            const RESOURCE: &'static str = $resource;
            const NAME: &'static str = $name;
            const SUPERUSER: &'static str = $superuser;

            fn common(&self) -> Common<'_> {
                let $spec = &self.spec;
                let spec = $spec;
                let script = |init: &DatabaseInit| init.other.contains_key("script");
                let set = [
                    ("replicas", spec.replicas.is_some_and(|count| count > 1)),
                    ("configuration", spec.configuration.is_some()),
                    ("configSecret", spec.config_secret.is_some()),
                    ("tls", spec.tls.is_some()),
                    ($field, $encrypts),
                    ("init.script", spec.init.as_ref().is_some_and(script)),
                ];
                let known = set
                    .into_iter()
                    .filter_map(|(name, set)| set.then_some(name));
                let others = UNHEEDED
                    .into_iter()
                    .filter(|name| spec.other.contains_key(*name));
                Common {
                    version: &spec.version,
                    auth_secret: spec.auth_secret.as_ref(),
                    deletion_policy: spec.deletion_policy(),
                    halted: spec.halted == Some(true),
                    init: spec.init.as_ref(),
                    unheeded: known
                        .chain(others)
                        .map(|name| format!("spec.{name}"))
                        .collect(),
                }
            }

            fn status(&self) -> Option<&DatabaseStatus> {
                self.status.as_ref()
            }

            fn url($port: u16) -> String {
                $url
            }

            fn servers(context: &Context) -> &Servers<$engine> {
                &context.$servers
            }

            fn changed(context: &Context) -> &UnboundedSender<ObjectRef<Self>> {
                &context.changed.$changed
            }
        }
    };
}

database!(MySQL: mysql::Mysql, resource "mysqls", name "mysql", superuser "root",
    url |port| format!("tcp(127.0.0.1:{port})/"), servers mysql, changed mysql,
    encryption "requireSSL" |spec| spec.require_ssl == Some(true));
database!(MariaDB: mysql::Mysql, resource "mariadbs", name "mariadb", superuser "root",
    url |port| format!("tcp(127.0.0.1:{port})/"), servers mysql, changed mariadb,
    encryption "requireSSL" |spec| spec.require_ssl == Some(true));
database!(Postgres: postgres::Postgres, resource "postgreses", name "postgres", superuser "postgres",
    url |port| format!("postgresql://127.0.0.1:{port}/"), servers postgres, changed postgres,
    encryption "sslMode" |spec| spec.ssl_mode.as_deref().is_some_and(|mode| mode != "disable"));
