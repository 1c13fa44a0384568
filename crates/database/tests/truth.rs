//! What comes back is what went: real servers, real clients, and a restic repository in between.
#![cfg(test)]

use std::time::Duration;

use kubestash_database::{
    Connection, DumpRequest, ExamineRequest, Family, LoadRequest, Outline, Role,
};
use kubestash_engine::storage::{Local, Provider};
use kubestash_engine::{
    BackupRequest, CancellationToken, LockOwner, ObjectStore, OpenOptions, Repository,
    ResticRepository, Secret, StorageConfig,
};

mod support;
use support::vendors::{Server, numbers};
use support::{MariaDb, ROOT_PASSWORD};

/// The args of the catalog's Druid task.
const DRUID_ARGS: &str = "--set-gtid-purged=OFF --ignore-table=druid.druid_config";
const FILE: &str = "dumpfile.sql";
const WAIT: Duration = Duration::from_secs(60);

/// A backup in a repository of its own.
struct Backup {
    repository: ResticRepository,
    id: String,
    folder: tempfile::TempDir,
}

impl Backup {
    /// Dumps `databases` of a server, or what is dumped when none is named.
    async fn of(connection: &Connection, role: &Role, databases: &[&str], args: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ObjectStore::open(&StorageConfig {
            provider: Provider::Local(Local {
                root: folder.path().to_owned(),
            }),
            prefix: String::new(),
            max_connections: None,
        })
        .unwrap();
        let password = Secret::new("changeit".to_owned());
        let options = OpenOptions::new(LockOwner::new("test"));
        let repository = ResticRepository::open_or_init(&store, "repo", &password, options)
            .await
            .unwrap();
        let databases: Vec<String> = databases.iter().map(|name| (*name).to_owned()).collect();
        let cancel = CancellationToken::new();
        let dump = Family::MySql
            .dump(DumpRequest {
                connection,
                role,
                databases: &databases,
                args,
                default_args: args == DRUID_ARGS,
                program: "",
                scratch_dir: folder.path(),
                wait_timeout: WAIT,
                cancel: cancel.clone(),
            })
            .await
            .unwrap();
        let request = BackupRequest {
            host: "host-0".to_owned(),
            file_name: FILE.to_owned(),
            tags: Vec::new(),
            time: jiff::Timestamp::now(),
        };
        let stored = repository
            .backup_stream(request, Box::new(dump.stream), cancel)
            .await
            .unwrap();
        Self {
            repository,
            id: stored.snapshot_id,
            folder,
        }
    }

    /// Loads it; what the client says if it fails.
    async fn load(&self, connection: &Connection, database: Option<&str>) -> Result<(), String> {
        let cancel = CancellationToken::new();
        let load = Family::MySql
            .load(LoadRequest {
                connection,
                database,
                role: &Role::Plain,
                outline: &Outline::default(),
                args: "",
                scratch_dir: self.folder.path(),
                wait_timeout: WAIT,
            })
            .await
            .unwrap();
        let sink = Box::new(load.sink);
        // A client that has given up closes its end; why, it says itself.
        let _ = self
            .repository
            .dump(&self.id, FILE, sink, cancel.clone())
            .await;
        let finished = load.running.finish(&cancel).await;
        finished.map_err(|error| error.to_string())
    }
}

fn druid() -> Role {
    Role::DruidMetadata {
        linked_db: "druid".into(),
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Everything that a database holds: checksums and definitions of its tables, and its views,
/// triggers, routines and events as the server shows them.
async fn contents(server: &Server, database: &str) -> Vec<String> {
    let text = format!("'{}'", database.replace('\'', "''"));
    let mut found = Vec::new();
    let tables = format!(
        "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {text} ORDER BY TABLE_NAME"
    );
    for table in server.rows(&tables).await {
        let (name, kind) = (quoted(&table[0]), &table[1]);
        let full = format!("{}.{name}", quoted(database));
        // A definition names other tables with their database or without, as the current one is.
        let shown = server
            .in_database(database, &format!("SHOW CREATE TABLE {name}"))
            .await;
        found.push(format!("{kind} {}", shown[0][1]));
        if kind != "VIEW" {
            let sum = server
                .rows(&format!("CHECKSUM TABLE {full} EXTENDED"))
                .await;
            assert_ne!(sum[0][1], "NULL", "{full} has no checksum");
            found.push(format!("checksum of {name}: {}", sum[0][1]));
        }
    }
    for (what, query) in [
        (
            "trigger",
            "SELECT TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, ACTION_TIMING, \
             SQL_MODE, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION \
             FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? ORDER BY 1, 3",
        ),
        (
            "routine",
            "SELECT r.ROUTINE_NAME, r.ROUTINE_TYPE, r.DTD_IDENTIFIER, r.ROUTINE_DEFINITION, r.IS_DETERMINISTIC, \
             r.SQL_DATA_ACCESS, r.SECURITY_TYPE, r.SQL_MODE, r.ROUTINE_COMMENT, r.DEFINER, \
             (SELECT GROUP_CONCAT(p.PARAMETER_MODE, ' ', p.PARAMETER_NAME, ' ', p.DTD_IDENTIFIER ORDER BY p.ORDINAL_POSITION) \
              FROM information_schema.PARAMETERS p WHERE p.SPECIFIC_SCHEMA = r.ROUTINE_SCHEMA \
              AND p.SPECIFIC_NAME = r.ROUTINE_NAME AND p.ROUTINE_TYPE = r.ROUTINE_TYPE) \
             FROM information_schema.ROUTINES r WHERE r.ROUTINE_SCHEMA = ? ORDER BY 1, 2",
        ),
        (
            "event",
            "SELECT EVENT_NAME, DEFINER, TIME_ZONE, EVENT_DEFINITION, EVENT_TYPE, EXECUTE_AT, INTERVAL_VALUE, \
             INTERVAL_FIELD, SQL_MODE, STARTS, ENDS, STATUS, ON_COMPLETION, EVENT_COMMENT \
             FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ? ORDER BY 1",
        ),
    ] {
        let rows = server.rows(&query.replace('?', &text)).await;
        found.extend(rows.iter().map(|row| format!("{what} {}", row.join("|"))));
    }
    found
}

/// Compares line by line, so that a difference can be read.
fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// A database and a table with names that need quoting, and everything a server can keep in one.
const AWKWARD: &str = "we`ird db; --x 日本";

async fn fill_awkward(server: &Server) {
    let mut statements: Vec<String> = include_str!("truth/awkward.sql")
        .split("\n\n")
        .map(|statement| statement.trim().to_owned())
        .filter(|statement| !statement.is_empty())
        .collect();
    let bytes: String = (0..=255_u8).map(|byte| format!("{byte:02x}")).collect();
    statements.push(format!(
        "INSERT INTO `t a``b\"'.c` (`key`, `select`, `group`) VALUES (100, NULL, X'{bytes}')"
    ));
    // Every byte next to every other one, too: what escapes one is not what escapes a pair.
    let pairs: String = (0..=255_u8)
        .flat_map(|one| (0..=255_u8).map(move |two| format!("{one:02x}{two:02x}")))
        .collect();
    statements.push(format!(
        "INSERT INTO `t a``b\"'.c` (`key`, `select`, `group`) VALUES (101, '', X'{pairs}')"
    ));
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    server.run(&statements).await;
}

#[tokio::test]
async fn whatever_a_database_holds_comes_back_under_any_name_and_over_what_is_left() {
    // A real MySQL has a test of its own for what it has.
    let server = Server::Maria(MariaDb::start().await);
    fill_awkward(&server).await;
    let before = contents(&server, AWKWARD).await;
    for kind in ["VIEW", "trigger", "routine", "event", "SEQUENCE"] {
        assert!(
            before.iter().any(|line| line.starts_with(kind)),
            "no {kind}"
        );
    }
    let connection = server.connection();
    let backup = Backup::of(&connection, &Role::Plain, &[AWKWARD], "").await;

    // Triggers are shown with the character set of their database, which a dump of one database
    // does not carry.
    server
        .run(&["CREATE DATABASE `other; --` CHARACTER SET utf8mb4"])
        .await;
    backup.load(&connection, Some("other; --")).await.unwrap();
    assert_same(&contents(&server, "other; --").await, &before);

    // Over the original, of which a part is lost and a part is changed.
    server
        .run(&[
            &format!("USE {}", quoted(AWKWARD)),
            "DROP VIEW seen",
            "DROP TRIGGER counted",
            "DROP PROCEDURE p",
            "SET foreign_key_checks = 0",
            "DROP TABLE parent",
            "SET sql_mode = ''",
            "UPDATE types SET f = 2, d = '2000-01-01'",
            "DELETE FROM `t a``b\"'.c`",
            "ALTER TABLE z_child ADD COLUMN surplus INT",
        ])
        .await;
    backup.load(&connection, Some(AWKWARD)).await.unwrap();
    assert_same(&contents(&server, AWKWARD).await, &before);

    // Into another server, that has nothing.
    let fresh = server.another().await;
    let several = Backup::of(&connection, &Role::Plain, &[], "").await;
    several.load(&fresh.connection(), None).await.unwrap();
    assert_same(&contents(&fresh, AWKWARD).await, &before);
    assert_same(&contents(&fresh, "other; --").await, &before);
}

#[tokio::test]
async fn a_million_segments_come_back() {
    let counts = [1_000_000, 250_000];
    for (server, count) in Server::both_roomy().await.into_iter().zip(counts) {
        server
        .run(&[
            "CREATE DATABASE druid CHARACTER SET utf8mb4",
            "USE druid",
            "CREATE TABLE druid_segments (
               id VARCHAR(255) NOT NULL,
               dataSource VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               created_date VARCHAR(255) NOT NULL, start VARCHAR(255) NOT NULL, `end` VARCHAR(255) NOT NULL,
               partitioned BOOLEAN NOT NULL, version VARCHAR(255) NOT NULL, used BOOLEAN NOT NULL,
               payload LONGBLOB NOT NULL, used_status_last_updated VARCHAR(255) NOT NULL,
               upgraded_from_segment_id VARCHAR(255), schema_fingerprint VARCHAR(255), num_rows BIGINT,
               PRIMARY KEY (id))",
            &format!("INSERT INTO druid_segments SELECT CONCAT('wikipedia_', LPAD(seq, 8, '0')), 'wikipedia', '2024-09-01',
               LPAD(seq, 8, '0'), LPAD(seq + 1, 8, '0'), 1, 'v1', seq % 37 <> 36, CONCAT('{{\"n\":', seq, '}}'),
               '2024-09-01', NULL, IF(seq % 2, 'f', NULL), seq FROM {}", numbers(count)),
            // After the rows: they are sorted once and not a million times.
            "ALTER TABLE druid_segments ADD KEY idx_druid_segments_used (used),
               ADD KEY by_time (dataSource, used, `end`, start),
               ADD KEY by_upgrade (dataSource, upgraded_from_segment_id)",
            "CREATE DATABASE copy CHARACTER SET utf8mb4",
        ])
        .await;
        let connection = server.connection();
        let backup = Backup::of(&connection, &druid(), &[], DRUID_ARGS).await;
        backup.load(&connection, Some("copy")).await.unwrap();
        assert_same(
            &contents(&server, "copy").await,
            &contents(&server, "druid").await,
        );
        assert_eq!(
            server
                .column("SELECT COUNT(*) FROM copy.druid_segments")
                .await,
            [count.to_string()]
        );
    }
}

#[tokio::test]
async fn a_row_of_64_mib_comes_back_and_a_server_that_takes_no_such_row_is_told_beforehand() {
    const MIB: u64 = 1 << 20;
    for server in Server::both_roomy().await {
        server.fill_druid("druid", 1).await;
        server
        .run(&["INSERT INTO druid.druid_tasks SELECT 'big', REPEAT(X'00ff275c0a', 64 * 1024 * 1024 / 5)"])
        .await;
        let before = contents(&server, "druid").await;
        let connection = server.connection();
        let backup = Backup::of(&connection, &druid(), &[], "").await;
        server
            .run(&["CREATE DATABASE copy CHARACTER SET utf8mb4"])
            .await;

        // In the dump it is more than twice as big.
        let statement = 128 * MIB + 100;
        server
            .run(&[&format!("SET GLOBAL max_allowed_packet = {}", 128 * MIB)])
            .await;
        let small = Family::MySql
            .examine(ExamineRequest {
                connection: &connection,
                role: &druid(),
                source: Some("druid"),
                args: "",
                wait_timeout: WAIT,
            })
            .await
            .unwrap();
        let with = |longest_statement| {
            let mut outline = Outline::default();
            outline.longest_statement = longest_statement;
            outline
        };
        let error = small.accepts(&with(statement)).unwrap_err();
        for words in ["128.000 MiB", "SET GLOBAL max_allowed_packet = 268435456"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        small.accepts(&with(16 * MIB)).unwrap();
        // The server itself says so much less well, and in the middle.
        let said = backup.load(&connection, Some("copy")).await.unwrap_err();
        assert!(said.contains("max_allowed_packet"), "{said}");
        // What the message says helps.
        server
            .run(&["SET GLOBAL max_allowed_packet = 268435456"])
            .await;
        backup.load(&connection, Some("copy")).await.unwrap();
        assert_same(&contents(&server, "copy").await, &before);
    }
}

#[tokio::test]
async fn what_writers_keep_true_during_a_dump_is_true_in_the_copy() {
    for server in Server::both().await {
        server.fill_druid("druid", 20_000).await;
        server
        .run(&[
            "USE druid",
            "CREATE TABLE a_account (id INT PRIMARY KEY, amount BIGINT NOT NULL)",
            "CREATE TABLE z_account (id INT PRIMARY KEY, amount BIGINT NOT NULL)",
            "CREATE TABLE m_transfer (id BIGINT PRIMARY KEY AUTO_INCREMENT, amount BIGINT NOT NULL)",
            &format!("INSERT INTO a_account SELECT seq, 1000 FROM {}", numbers(100)),
            &format!("INSERT INTO z_account SELECT seq, 1000 FROM {}", numbers(100)),
            "CREATE DATABASE copy CHARACTER SET utf8mb4",
        ])
        .await;
        let connection = server.connection();
        let stop = CancellationToken::new();
        // Money goes to and fro between the first table of the dump and the last; each transfer is
        // written down as well.
        let transfers = async {
            let mut done = 0_u64;
            while !stop.is_cancelled() {
                let (account, amount) = (done % 100 + 1, done % 17 + 1);
                server
                    .run(&[
                        "USE druid",
                        "BEGIN",
                        &format!(
                            "UPDATE a_account SET amount = amount - {amount} WHERE id = {account}"
                        ),
                        &format!("INSERT INTO m_transfer (amount) VALUES ({amount})"),
                        &format!(
                            "UPDATE z_account SET amount = amount + {amount} WHERE id = {account}"
                        ),
                        "COMMIT",
                    ])
                    .await;
                done += 1;
            }
            done
        };
        let backups = async {
            let mut made = Vec::new();
            for _ in 0..3 {
                made.push(Backup::of(&connection, &druid(), &[], DRUID_ARGS).await);
            }
            stop.cancel();
            made
        };
        let (transfers, backups) = tokio::join!(transfers, backups);
        let mut seen = Vec::new();
        for backup in &backups {
            backup.load(&connection, Some("copy")).await.unwrap();
            let sums = server
            .rows(
                "SELECT (SELECT SUM(amount) FROM copy.a_account) + (SELECT SUM(amount) FROM copy.z_account), \
                 (SELECT SUM(amount) FROM copy.z_account) - 100000 - (SELECT COALESCE(SUM(amount), 0) FROM copy.m_transfer), \
                 (SELECT COUNT(*) FROM copy.m_transfer)",
            )
            .await;
            assert_eq!((sums[0][0].as_str(), sums[0][1].as_str()), ("200000", "0"));
            seen.push(sums[0][2].parse::<u64>().unwrap());
        }
        // The writer wrote in between, or nothing was proved.
        assert!(
            seen.is_sorted() && seen[0] < seen[2],
            "{seen:?} of {transfers}"
        );
    }
}

#[tokio::test]
async fn a_druids_users_stay_unless_asked_for_and_the_servers_users_always() {
    for server in Server::both().await {
        server.fill_druid("druid", 5).await;
        let connection = server.connection();
        let without = Backup::of(&connection, &druid(), &[], DRUID_ARGS).await;
        let with = Backup::of(&connection, &druid(), &[], "").await;

        let target = server.another().await;
        target.fill_druid("druid", 1).await;
        target
        .run(&[
            "UPDATE druid.druid_config SET payload = 'users of the target' WHERE name LIKE 'basic%'",
            "UPDATE druid.druid_config SET payload = 'newer' WHERE name NOT LIKE 'basic%'",
            "INSERT INTO druid.druid_config VALUES ('later', 'x')",
            "CREATE USER reporter@'127.0.0.1' IDENTIFIED BY 'r3porter'",
            "GRANT SELECT ON druid.* TO reporter@'127.0.0.1'",
        ])
        .await;
        let (accounts, password) = match &server {
            Server::Maria(_) => (
                "SELECT Host, User, Priv FROM mysql.global_priv ORDER BY 1, 2",
                "SET PASSWORD FOR root@'127.0.0.1' = PASSWORD('another')",
            ),
            Server::MySql(_) => (
                "SELECT Host, User, HEX(authentication_string) FROM mysql.user ORDER BY 1, 2",
                "SET PASSWORD FOR root@'127.0.0.1' = 'another'",
            ),
        };
        let grants = "SHOW GRANTS FOR reporter@'127.0.0.1'";
        let of_server = (target.rows(accounts).await, target.rows(grants).await);
        let config = "SELECT CONCAT(name, ' ', HEX(payload)) FROM druid.druid_config ORDER BY name";
        let hex =
            |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02X}")).collect() };
        let of_source = server.column(config).await;
        let (of_target, users) = (hex("users of the target"), hex("users"));
        assert!(of_source[0].ends_with(&users), "{of_source:?}");
        let kept = [
            format!("basic_authentication_a_users {of_target}"),
            format!("basic_authorization_b_roles {of_target}"),
            of_source[2].clone(),
        ];

        let into = target.connection();
        without.load(&into, Some("druid")).await.unwrap();
        assert_eq!(target.column(config).await, kept);
        // A table that is lost is there again, with what is not its users'.
        target.run(&["DROP TABLE druid.druid_config"]).await;
        without.load(&into, Some("druid")).await.unwrap();
        assert_eq!(target.column(config).await, kept[2..]);
        assert_eq!(
            target
                .column("SELECT COUNT(*) FROM druid.druid_segments")
                .await,
            ["5"]
        );
        with.load(&into, Some("druid")).await.unwrap();
        assert_eq!(target.column(config).await, of_source);

        // Not by a dump of all databases either.
        server
            .run(&[
                password,
                "CREATE USER intruder",
                "CREATE DATABASE shop",
                "CREATE TABLE shop.t (x INT)",
            ])
            .await;
        let mut changed = server.connection();
        changed.credentials = kubestash_database::Credentials::new("root", "another".to_owned());
        let all = Backup::of(&changed, &Role::Plain, &[], "").await;
        all.load(&into, None).await.unwrap();
        assert_eq!(
            (target.rows(accounts).await, target.rows(grants).await),
            of_server
        );
        assert_eq!(into.credentials.password(), ROOT_PASSWORD);
    }
}

#[tokio::test]
async fn a_table_that_somebody_holds_is_not_waited_for_until_tomorrow() {
    for server in Server::both().await {
        server.fill_druid("druid", 5).await;
        let connection = server.connection();
        let backup = Backup::of(&connection, &druid(), &[], DRUID_ARGS).await;
        let holder = server.hold("druid.druid_segments").await;
        let load = Family::MySql
            .load(LoadRequest {
                connection: &connection,
                database: Some("druid"),
                role: &Role::Plain,
                outline: &Outline::default(),
                args: "",
                scratch_dir: backup.folder.path(),
                wait_timeout: Duration::from_secs(1),
            })
            .await
            .unwrap();
        let cancel = CancellationToken::new();
        let _ = backup
            .repository
            .dump(&backup.id, FILE, Box::new(load.sink), cancel.clone())
            .await;
        let error = load.running.finish(&cancel).await.unwrap_err();
        for words in ["Lock wait timeout", "SHOW FULL PROCESSLIST"] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert!(!error.is_permanent());
        holder.disconnect().await.unwrap();
        backup.load(&connection, Some("druid")).await.unwrap();
    }
}
