//! What a backup says of itself: what is not in it, and what may keep it from coming back.

use kubestash_database::Role;

use crate::server::Postgres;
use crate::task::{Request, restore};

/// Functions that rely on `search_path` under every kind of object that runs them during a restore,
/// and some that do not.
const SCHEMA: &str = "
    CREATE TABLE rates (id int PRIMARY KEY, rate int);
    CREATE FUNCTION rate(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT rate FROM rates WHERE id = i';
    CREATE FUNCTION half(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN i / 2; END';
    CREATE FUNCTION quarter(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN half(half(i)); END';
    CREATE FUNCTION eighth(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.quarter(i) / 2';
    CREATE FUNCTION well(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT public.half(i)';
    CREATE FUNCTION set_(i int) RETURNS int LANGUAGE sql IMMUTABLE SET search_path = public AS 'SELECT half(i)';
    CREATE FUNCTION atomic(i int) RETURNS int LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT half(i); END;
    CREATE FUNCTION unused(i int) RETURNS int LANGUAGE sql AS 'SELECT half(i)';
    CREATE TABLE sales (id int, by_rate int GENERATED ALWAYS AS (rate(id)) STORED,
                        CHECK (quarter(id) >= 0), CHECK (well(id) >= 0), CHECK (set_(id) >= 0), CHECK (atomic(id) >= 0));
    CREATE INDEX by_eighth ON sales (eighth(id));
    CREATE MATERIALIZED VIEW kept AS SELECT quarter(id) FROM sales;
    INSERT INTO rates VALUES (8, 1);
    INSERT INTO sales VALUES (8);
    REFRESH MATERIALIZED VIEW kept;";

#[tokio::test]
async fn functions_that_a_restore_cannot_run_are_told_at_backup_and_at_restore() {
    let server = Postgres::start().await;
    server.create(&["shop"]).await;
    server.run("shop", SCHEMA).await;
    let request = Request::plain(server.connection()).args("shop");
    let warnings = request.start().await.unwrap().warnings;
    let of = |function: &str| {
        let words = format!("the function {function}(integer), which ");
        let found = warnings.iter().find(|warning| warning.contains(&words));
        found.cloned().unwrap_or_default()
    };
    for (function, names, user) in [
        ("rate", "names rates ", "by_rate of table sales"),
        ("quarter", "names half ", "constraint sales_id_check"),
        ("quarter", "names half ", "materialized view kept"),
        ("quarter", "names half ", "index by_eighth"),
    ] {
        let warning = of(function);
        assert!(
            warning.contains(names) && warning.contains(user),
            "{function}: {warning}, {warnings:#?}"
        );
    }
    assert_eq!(warnings.len(), 2, "{warnings:#?}");

    // They tell the truth.
    let (bytes, _) = request.bytes().await;
    let to = server.connection();
    let failed = restore(&to, &Role::Plain, Some("shop"), &bytes).await;
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("SET search_path"), "{error}");
    for function in ["rate", "quarter"] {
        let set = format!("ALTER FUNCTION {function} SET search_path = public");
        server.run("shop", &set).await;
    }
    let dump = request.start().await.unwrap();
    assert_eq!(dump.warnings, [""; 0]);
    let (bytes, _) = request.bytes().await;
    restore(&to, &Role::Plain, Some("shop"), &bytes)
        .await
        .unwrap();
    assert_eq!(
        server.ask("shop", "SELECT by_rate::text FROM sales").await,
        ["1"]
    );
}

#[tokio::test]
async fn what_belongs_to_a_database_as_a_whole_is_named_where_it_is_left_out() {
    let server = Postgres::start().await;
    server.create(&["shop", "other"]).await;
    for statement in [
        "CREATE ROLE app",
        "CREATE TABLE t (x int)",
        "ALTER DATABASE shop SET search_path = app, public",
        "ALTER ROLE app IN DATABASE shop SET work_mem = '8MB'",
        "GRANT CREATE ON DATABASE shop TO app",
        "REVOKE CONNECT ON DATABASE other FROM PUBLIC",
        "CREATE FOREIGN DATA WRAPPER w",
        "CREATE SERVER far FOREIGN DATA WRAPPER w",
        "CREATE FOREIGN TABLE remote (x int) SERVER far",
        "CREATE SUBSCRIPTION news CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false)",
        "ALTER SUBSCRIPTION news SET (slot_name = none)",
    ] {
        server.run("shop", statement).await;
    }
    let request =
        Request::plain(server.connection()).args("shop other --exclude-table=t --no-owner");
    let left_out = request.start().await.unwrap().left_out;
    for words in [
        "--exclude-table=t: what it names is not in the dump",
        "--no-owner: owners are not in the dump",
        "IN DATABASE … SET) of the database \"shop\": search_path, work_mem;",
        "ON DATABASE) of the database \"shop\": of app;",
        "ON DATABASE) of the database \"other\": of PUBLIC;",
        "rows on other servers, of the foreign table remote",
    ] {
        assert!(
            left_out.iter().any(|one| one.contains(words)),
            "{words}: {left_out:#?}"
        );
    }
    assert_eq!(left_out.len(), 6, "{left_out:#?}");
    let plain = Request::plain(server.connection()).args("postgres");
    assert_eq!(plain.start().await.unwrap().left_out, [""; 0]);
}
