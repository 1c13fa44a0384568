//! MySQL's dialect.

use super::{Key, TABLES, Type};

/// Statements that make the database (if it is missing) and, if they are wanted, the tables that are missing in it.
pub(in crate::druid) fn statements(database: &str, tables: bool) -> Vec<String> {
    let database = database.replace('`', "``");
    let create = format!("CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4");
    let tables = TABLES
        .iter()
        .filter(|_| tables)
        .map(|(name, columns, keys)| {
            let columns = columns
                .iter()
                .map(|(column, type_)| format!("`{column}` {}", written(*type_)));
            let parts: Vec<String> = columns.chain(keys.iter().map(key)).collect();
            format!(
                "CREATE TABLE IF NOT EXISTS `{database}`.`{name}` ({}) ENGINE=InnoDB",
                parts.join(", ")
            )
        });
    std::iter::once(create).chain(tables).collect()
}

fn written(type_: Type) -> &'static str {
    match type_ {
        Type::Text => "VARCHAR(255) NOT NULL",
        Type::MaybeText => "VARCHAR(255)",
        Type::ExactText => "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
        Type::LongText => "VARCHAR(2048) NOT NULL",
        Type::Blob => "LONGBLOB NOT NULL",
        Type::MaybeBlob => "LONGBLOB",
        Type::Flag => "BOOLEAN NOT NULL",
        Type::FlagOrFalse => "BOOLEAN NOT NULL DEFAULT FALSE",
        Type::Integer => "INTEGER NOT NULL",
        Type::MaybeLong => "BIGINT",
        Type::Counter => "BIGINT NOT NULL AUTO_INCREMENT",
    }
}

fn key(key: &Key) -> String {
    match key {
        Key::Primary(column) => format!("PRIMARY KEY (`{column}`)"),
        Key::Unique(column) => format!("UNIQUE KEY (`{column}`)"),
        Key::Plain(column) => format!("KEY (`{column}`)"),
        Key::Index(name, columns) => format!("KEY {name} (`{}`)", columns.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_cannot_leave_its_quotes() {
        let all = statements("a`; DROP DATABASE mysql; --", true);
        assert!(
            all.iter()
                .all(|statement| statement.contains("`a``; DROP DATABASE mysql; --`"))
        );
        assert_eq!(all.len(), TABLES.len() + 1);
        assert_eq!(statements("druid", false).len(), 1);
    }
}
