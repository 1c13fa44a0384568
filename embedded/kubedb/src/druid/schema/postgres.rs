//! PostgreSQL's dialect.
//!
//! Druid does not quote its names, so that the server keeps them in lower case
//! (`druid_datasource`); only `end` has to be quoted, as it is a word of SQL.

use super::{DruidVersion, Key, Type};

/// Statements that make the tables of a version that are missing in the database that they are sent
/// to.
pub(in crate::druid) fn statements(version: DruidVersion) -> Vec<String> {
    let statements = version.tables().flat_map(|(table, columns, keys)| {
        let columns = columns
            .iter()
            .map(|(column, type_)| format!("{} {}", name(column), written(*type_)));
        let parts: Vec<String> = columns
            .chain(keys.iter().copied().filter_map(constraint))
            .collect();
        let table_itself = format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "));
        let indexes = keys.into_iter().filter_map(move |key| index(table, key));
        std::iter::once(table_itself).chain(indexes)
    });
    statements.collect()
}

fn name(column: &str) -> &str {
    if column == "end" { "\"end\"" } else { column }
}

fn written(type_: Type) -> &'static str {
    match type_ {
        Type::Text | Type::ExactText => "VARCHAR(255) NOT NULL",
        Type::MaybeText => "VARCHAR(255)",
        Type::LongText => "VARCHAR(2048) NOT NULL",
        Type::Blob => "BYTEA NOT NULL",
        Type::MaybeBlob => "BYTEA",
        Type::Flag => "BOOLEAN NOT NULL",
        Type::FlagOrFalse => "BOOLEAN NOT NULL DEFAULT FALSE",
        Type::Counter => "BIGSERIAL NOT NULL",
    }
}

fn constraint(key: &Key) -> Option<String> {
    match key {
        Key::Primary(column) => Some(format!("PRIMARY KEY ({})", name(column))),
        Key::Unique(column) => Some(format!("UNIQUE ({})", name(column))),
        Key::Index(..) => None,
    }
}

fn index(table: &str, key: &Key) -> Option<String> {
    let create = |index: &str, columns: &[&str]| {
        let columns: Vec<&str> = columns.iter().map(|column| name(column)).collect();
        format!(
            "CREATE INDEX IF NOT EXISTS {index} ON {table} ({})",
            columns.join(", ")
        )
    };
    match key {
        Key::Index(name, columns) => Some(create(name, columns)),
        Key::Primary(_) | Key::Unique(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_in_the_server_and_words_of_sql_are_quoted() {
        let all = statements(DruidVersion::of("30.0.0"));
        let tables = all.iter().filter(|one| one.starts_with("CREATE TABLE"));
        assert_eq!(tables.count(), 11);
        let segments = "CREATE INDEX IF NOT EXISTS idx_druid_segments_datasource_used_end_start \
                        ON druid_segments (dataSource, used, \"end\", start)";
        assert!(all.iter().any(|one| one == segments), "{all:#?}");
        assert!(!all.iter().any(|one| one.contains('`')));
    }
}
