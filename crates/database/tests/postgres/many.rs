//! More databases than a server takes connections.

use kubestash_database::{Aftermath, Role};

use crate::server::Postgres;
use crate::task::{Request, examine, load, restore};

const SUM: &str = "SELECT string_agg(n || t, ',' ORDER BY n) FROM t";

async fn fill(server: &Postgres, names: &[String]) {
    for name in names {
        server.create(&[name.as_str()]).await;
        let sql =
            format!("CREATE TABLE t (n int, t text); INSERT INTO t VALUES (1, '{name}'), (2, 'x')");
        server.run(name, &sql).await;
    }
}

#[tokio::test]
async fn a_server_with_more_databases_than_connections_comes_back_as_a_whole() {
    let settings = ["max_connections=20"];
    let server = Postgres::start_with(&settings, |_| {}).await;
    let names: Vec<String> = (0..24).map(|n| format!("db{n:02}")).collect();
    fill(&server, &names).await;
    let to = server.connection();
    let (bytes, databases) = Request::plain(to.clone()).bytes().await;
    assert_eq!(databases.len(), names.len() + 1);
    for name in &names {
        server.run(name, "UPDATE t SET t = 'newer'").await;
    }
    let (_, accepted) = examine(&to, &Role::Plain, None, &bytes).await.unwrap();
    let told = accepted.notes.iter().any(|note| note.contains("at a time"));
    assert!(told, "{:?}", accepted.notes);
    restore(&to, &Role::Plain, None, &bytes).await.unwrap();
    for name in &names {
        assert_eq!(server.ask(name, SUM).await, [format!("1{name},2x")]);
    }
}

#[tokio::test]
async fn groups_are_restored_as_a_whole_and_the_message_names_those_that_are() {
    let settings = ["max_connections=12"];
    let server = Postgres::start_with(&settings, |_| {}).await;
    let names: Vec<String> = (0..14).map(|n| format!("db{n:02}")).collect();
    fill(&server, &names).await;
    let to = server.connection();
    let (bytes, _) = Request::plain(to.clone())
        .args(&names.join(" "))
        .bytes()
        .await;
    for name in &names {
        server.run(name, "UPDATE t SET t = 'newer'").await;
    }
    server
        .run("db13", "CREATE VIEW obstacle AS SELECT n FROM t")
        .await;
    let error = load(&to, None, &bytes, bytes.len()).await.unwrap_err();
    let Aftermath::Restored(restored) = error.aftermath() else {
        panic!("{error}: {:?}", error.aftermath())
    };
    assert!(
        !restored.is_empty() && restored.len() < names.len(),
        "{restored:?}"
    );
    for name in &names {
        let expected = match restored.contains(name) {
            true => format!("1{name},2x"),
            false => "1newer,2newer".to_owned(),
        };
        assert_eq!(server.ask(name, SUM).await, [expected], "{name}");
    }
    // One with no connection left is refused beforehand.
    let held: Vec<_> = {
        let mut held = Vec::new();
        for _ in 0..7 {
            held.push(server.session("postgres").await);
        }
        held
    };
    let error = examine(&to, &Role::Plain, None, &bytes).await.unwrap_err();
    assert_eq!(error.kind(), "DatabaseFull", "{error}");
    assert!(error.to_string().contains("max_connections"), "{error}");
    drop(held);
}
