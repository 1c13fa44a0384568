//! What there is in the database `shop` of a MariaDB or a MySQL.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};

use crate::support::ROOT_PASSWORD;

/// Everything in the database: definitions and rows, in an order that is always the same. After a
/// migration some views may be of tables that are gone, and have no rows.
pub(crate) async fn contents(port: u16, rows_of_views: bool) -> Vec<String> {
    let options = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some("root"))
        .pass(Some(ROOT_PASSWORD))
        .prefer_socket(false);
    let conn = Conn::new(options).await.unwrap();
    let mut reader = Reader {
        conn,
        found: Vec::new(),
    };
    let there = reader.rows("SHOW DATABASES LIKE 'shop'").await;
    if !there.is_empty() {
        reader.tables(rows_of_views).await;
        reader.code().await;
    }
    reader.conn.disconnect().await.unwrap();
    reader.found
}

struct Reader {
    conn: Conn,
    found: Vec<String>,
}

impl Reader {
    /// The database, its tables and what is in them.
    async fn tables(&mut self, rows_of_views: bool) {
        self.tell("SHOW CREATE DATABASE shop", 2).await;
        for table in self.rows("SHOW FULL TABLES IN shop").await {
            let (name, is_view) = (quoted(&table[0]), table[1] == "VIEW");
            self.found.push(format!("{}: {}", table[1], table[0]));
            self.tell(&format!("SHOW CREATE TABLE shop.{name}"), 4)
                .await;
            if is_view && !rows_of_views {
                continue;
            }
            let columns = format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = '{}' \
                 ORDER BY ORDINAL_POSITION",
                table[0]
            );
            // A star would leave the invisible ones out.
            let columns = self.rows(&columns).await.concat();
            let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            let begin = self.found.len();
            let query = format!("SELECT {} FROM shop.{name}", columns.join(", "));
            self.tell(&query, columns.len()).await;
            self.found[begin..].sort();
        }
    }

    /// Triggers, routines and events, without the moments at which they were made.
    async fn code(&mut self) {
        let triggers = "SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop' \
                        ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER";
        let routines = "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES \
                        WHERE ROUTINE_SCHEMA = 'shop' ORDER BY 1, 2";
        let events = "SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY 2";
        for (query, columns) in [(triggers, 6), (routines, 6), (events, 7)] {
            for one in self.rows(query).await {
                let show = format!("SHOW CREATE {} shop.{}", one[0], quoted(&one[1]));
                self.tell(&show, columns).await;
            }
        }
    }

    /// Adds the first columns of what a query finds, a line for each line of it.
    async fn tell(&mut self, query: &str, columns: usize) {
        for mut row in self.rows(query).await {
            row.truncate(columns);
            let text = without_character_sets(&row.join(" | "));
            self.found.extend(text.lines().map(str::to_owned));
        }
    }

    async fn rows(&mut self, query: &str) -> Vec<Vec<String>> {
        let rows: Vec<Row> = self
            .conn
            .query(query)
            .await
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        let rows = rows.into_iter().map(Row::unwrap);
        rows.map(|row| row.into_iter().map(text).collect())
            .collect()
    }
}

fn text(value: Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Bytes(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.as_bytes().escape_ascii().to_string(),
        },
        other => other.as_sql(true),
    }
}

/// MySQL tells a column's character set when it was given, which a dump always does; the collation
/// names it too.
fn without_character_sets(text: &str) -> String {
    let mut parts = text.split(" CHARACTER SET ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (between, part) = match part.split_once(' ') {
            Some((_, rest)) if rest.starts_with("COLLATE ") => (" ", rest),
            _ => (" CHARACTER SET ", part),
        };
        kept.push_str(between);
        kept.push_str(part);
    }
    kept
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
