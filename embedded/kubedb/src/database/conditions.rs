//! What the state of a server means for the conditions of its database. Pure.

use super::Common;
use crate::KubedbError;
use crate::server::{Program, State};
use crate::status::{self, Change, Fact};

/// The conditions that follow from the state of the server.
pub(super) fn of(
    state: &State,
    common: &Common<'_>,
    provisioned: bool,
    awaited: bool,
) -> Vec<Change> {
    let fact =
        |type_, holds, reason, text: &str| Change::With(Fact::new(type_, holds, reason, text));
    let mut changes = vec![fact(
        status::PROVISIONING_STARTED,
        true,
        "DatabaseProvisioningStartedSuccessfully",
        "A server process for this database has been asked for.",
    )];
    match state {
        State::Ready { port, program } => {
            let text = what_runs(program, common);
            changes.push(fact(
                status::EMBEDDED_SERVER,
                true,
                "LocalServerProcess",
                &text,
            ));
            let at = format!(
                "Version {} takes connections on 127.0.0.1:{port}.",
                program.version
            );
            let (replica, accepts) = (status::REPLICA_READY, status::ACCEPTING_CONNECTION);
            changes.push(fact(
                replica,
                true,
                "AllReplicasReady",
                "The server process runs.",
            ));
            changes.push(fact(accepts, true, "AcceptingConnection", &at));
            changes.extend(status::ready(awaited, "The database is ready."));
        }
        State::Starting(reason) if provisioned || reason.is_some() => {
            let why = reason.as_deref().unwrap_or("The server is starting.");
            changes.extend(not_ready("SomeReplicasNotReady", why));
        }
        State::Starting(_) => {}
    }
    changes
}

/// The conditions of a database whose objects do not allow a server.
pub(super) fn impossible(error: &KubedbError) -> Vec<Change> {
    let not_halted = Change::Without(status::HALTED);
    let not_ready = not_ready(error.kind(), &error.told());
    std::iter::once(not_halted).chain(not_ready).collect()
}

fn not_ready(reason: &'static str, why: &str) -> [Change; 3] {
    [
        (status::REPLICA_READY, reason),
        (status::ACCEPTING_CONNECTION, "NotAcceptingConnection"),
        (status::READY, reason),
    ]
    .map(|(type_, reason)| Change::With(Fact::new(type_, false, reason, why)))
}

/// What really runs, which may not be what the specification asks for.
fn what_runs(program: &Program, common: &Common<'_>) -> String {
    let Program {
        path,
        product,
        version,
    } = program;
    let mut text = format!(
        "{product} {version} runs here, one process of {}; spec.version ({}) is not used.",
        path.display(),
        common.version
    );
    if !common.unheeded.is_empty() {
        text.push_str(" Without effect here: ");
        text.push_str(&common.unheeded.join(", "));
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_and_what_has_no_effect_too() {
        let program = Program {
            path: "/usr/sbin/mariadbd".into(),
            product: "MariaDB",
            version: "10.11.19".into(),
        };
        let mut common = Common {
            version: "8.0.35",
            auth_secret: None,
            deletion_policy: None,
            halted: false,
            init: None,
            unheeded: Vec::new(),
        };
        assert_eq!(
            what_runs(&program, &common),
            "MariaDB 10.11.19 runs here, one process of /usr/sbin/mariadbd; spec.version (8.0.35) is not used."
        );
        common.unheeded = vec!["spec.replicas".to_owned(), "spec.tls".to_owned()];
        assert!(
            what_runs(&program, &common)
                .ends_with(" Without effect here: spec.replicas, spec.tls.")
        );
    }
}
