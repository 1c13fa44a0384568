//! Restores that are disturbed: killed, edited, held up, out of time. Each ends with a reason, and
//! the next one succeeds.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bad_input::{configuration, druid, local_backend};
use crate::crash::{Random, Victim, create, kill, load_metadata};
use crate::restore::{backed_up, client, contents, ended, latest, restore, session, sql};
use crate::support::{System, eventually};

/// A session of the database that has read a table, which therefore cannot be dropped; it ends when
/// this is dropped.
pub struct Holder(Child);

impl Holder {
    pub fn of(system: &System, druid: &str, table: &str) -> Self {
        let (mut command, _options) = client(system, druid, "mariadb");
        let mut client = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let input = client.stdin.as_mut().unwrap();
        writeln!(input, "BEGIN; SELECT COUNT(*) FROM {table};").unwrap();
        let held = "SELECT COUNT(*) FROM information_schema.INNODB_TRX";
        eventually(
            "the table to be held",
            Duration::from_secs(20),
            || match sql(system, druid, held).trim() {
                "0" => Err("nobody holds it".to_owned()),
                _ => Ok(()),
            },
        );
        Self(client)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The end of its input ends its transaction.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Waits until a restore stands before the table that is held.
fn stands(system: &System, druid: &str) {
    let query =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE '%metadata lock%'";
    eventually(
        "the restore to wait for the table",
        Duration::from_secs(60),
        || match sql(system, druid, query).trim() {
            "1" => Ok(()),
            other => Err(format!("{other} wait\n{}", system.log_text())),
        },
    );
}

fn assert_succeeded(session: &Value, system: &System) {
    let status = &session["status"];
    assert_eq!(
        status["phase"],
        "Succeeded",
        "{status:#}\n{}",
        system.log_text()
    );
}

fn assert_resumed(system: &System) {
    let backups = system.object("demo", "backupconfiguration/manual").unwrap();
    assert_ne!(
        backups["spec"]["paused"], true,
        "the backups were not resumed"
    );
}

#[test]
fn a_restore_that_is_held_up_keeps_its_turn_and_its_orders_and_its_deadline() {
    let system = System::start();
    let directory = tempfile::tempdir().unwrap();
    local_backend(&system, &directory.path().join("volume"));
    system.apply(&druid("demo", "sample-druid", &[]));
    system.wait_phase("demo", "druid/sample-druid", &["Ready"]);
    load_metadata(&system, "sample-druid");
    system.apply(&configuration(&json!({"databases": "nope"})));
    let first = crate::tutorial::first_session(&system, "manual");
    assert_eq!(first["status"]["phase"], "Failed", "{first:#}");
    // Only a failed Snapshot is there.
    let nothing = restore(&system, "nothing", "sample-druid", &latest(), &json!({}));
    assert_eq!(
        nothing["status"]["phase"], "Invalid",
        "{:#}",
        nothing["status"]
    );
    assert!(
        nothing["status"].to_string().contains(
            "Repository demo/repo has no Snapshot that has Succeeded, among 1; create a backup first"
        ),
        "{:#}",
        nothing["status"]
    );
    system.apply(&configuration(&json!({})));
    create(&system, "good");
    let good = system.wait_phase(
        "demo",
        "backupsession/good",
        &["Succeeded", "Failed", "Skipped"],
    );
    assert_succeeded(&good, &system);
    let before = contents(&system, "sample-druid");

    let holder = Holder::of(&system, "sample-druid", "druid.druid_tasks");
    system.apply(&session("held", "sample-druid", &latest(), &json!({})));
    stands(&system, "sample-druid");
    // Another one into the same target says whom it waits for.
    system.apply(&session("second", "sample-druid", &latest(), &json!({})));
    system.wait(
        "demo",
        "restoresession/second",
        "to wait for its turn",
        |second| {
            let ready = second["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "Ready");
            ready.is_some_and(|ready| {
                ready["reason"] == "WaitingForRestore"
                    && ready["message"].to_string().contains("demo/held")
            })
        },
    );
    // An edit of the running one changes nothing but gets a word.
    let edit = json!({"repository": "repo", "snapshot": "repo-of-yesterday"});
    system.apply(&session("held", "sample-druid", &edit, &json!({})));
    let told = system.wait_event(
        "demo",
        "RestoreSession",
        "held",
        "after the restore had started",
    );
    assert!(told.contains("create another RestoreSession"), "{told}");
    drop(holder);
    assert_succeeded(&ended(&system, "held"), &system);
    assert_succeeded(&ended(&system, "second"), &system);
    assert_eq!(contents(&system, "sample-druid"), before);
    assert_resumed(&system);

    let holder = Holder::of(&system, "sample-druid", "druid.druid_tasks");
    system.apply(&session(
        "late",
        "sample-druid",
        &latest(),
        &json!({"restoreTimeout": "10s"}),
    ));
    let late = ended(&system, "late");
    drop(holder);
    assert_eq!(late["status"]["phase"], "Failed", "{:#}", late["status"]);
    let said = late["status"].to_string();
    assert!(
        said.contains("deadline exceeded: the restore took longer than 10s"),
        "{said}"
    );
    assert_resumed(&system);
    let again = restore(&system, "again", "sample-druid", &latest(), &json!({}));
    assert_succeeded(&again, &system);
    assert_eq!(contents(&system, "sample-druid"), before);
}

#[test]
fn kill_9_of_executor_database_or_up_during_a_restore_is_mended_by_the_next_one() {
    let mut system = System::start();
    let directory = tempfile::tempdir().unwrap();
    backed_up(&system, directory.path());
    let before = contents(&system, "sample-druid");
    let mut random = Random(0x00c0_ffee);
    for round in 0..6_usize {
        let victim = [Victim::Executor, Victim::Database, Victim::Up][round % 3];
        let name = format!("round-{round}");
        system.apply(&session(&name, "sample-druid", &latest(), &json!({})));
        // From before the Job starts until after it has ended.
        let moment = Duration::from_millis(random.below(1800));
        std::thread::sleep(moment);
        kill(&mut system, victim);
        let ended = ended(&system, &name);
        let status = &ended["status"];
        eprintln!(
            "round {round}: {victim:?} after {moment:?}: {} {}",
            status["phase"], status["components"]
        );
        if status["phase"] == "Failed" {
            let ready = &status["conditions"][0];
            assert_eq!(ready["type"], "Ready");
            assert!(
                ready["message"]
                    .as_str()
                    .is_some_and(|message| message.len() > 10),
                "{status:#}"
            );
        }
        let after = restore(
            &system,
            &format!("after-{round}"),
            "sample-druid",
            &latest(),
            &json!({}),
        );
        assert_succeeded(&after, &system);
        assert_eq!(
            contents(&system, "sample-druid"),
            before,
            "after {victim:?} at {moment:?}"
        );
        assert_resumed(&system);
    }
}
