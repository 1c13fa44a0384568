//! MySQL's dialect.

use super::{DruidVersion, Key, Type};

/// Statements that make the database (if it is missing) and those of the tables of a version that
/// are missing in it.
pub(in crate::druid) fn statements(database: &str, tables: Option<DruidVersion>) -> Vec<String> {
    let database = database.replace('`', "``");
    let create = format!("CREATE DATABASE IF NOT EXISTS `{database}` CHARACTER SET utf8mb4");
    let tables = tables
        .into_iter()
        .flat_map(DruidVersion::tables)
        .map(|(name, columns, keys)| {
            let columns = columns
                .iter()
                .map(|(column, type_)| format!("`{column}` {}", written(*type_)));
            let parts: Vec<String> = columns.chain(keys.into_iter().map(key)).collect();
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
        Type::Counter => "BIGINT NOT NULL AUTO_INCREMENT",
    }
}

fn key(key: &Key) -> String {
    match key {
        Key::Primary(column) => format!("PRIMARY KEY (`{column}`)"),
        Key::Unique(column) => format!("UNIQUE KEY (`{column}`)"),
        Key::Index(name, columns) => format!("KEY {name} (`{}`)", columns.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_name_cannot_leave_its_quotes() {
        let newest = Some(DruidVersion::of("33.0.0"));
        let all = statements("a`; DROP DATABASE mysql; --", newest);
        assert!(
            all.iter()
                .all(|statement| statement.contains("`a``; DROP DATABASE mysql; --`"))
        );
        assert_eq!(all.len(), 11 + 1);
        assert_eq!(statements("druid", None).len(), 1);
    }

    #[test]
    fn names_that_differ_in_case_are_different_datasources_and_keys_have_druids_names() {
        let version = DruidVersion::of("30.0.0");
        let all = statements("druid", Some(version)).join("\n");
        for table in ["druid_rules", "druid_tasks", "druid_segments"] {
            let of_it = all
                .lines()
                .find(|line| line.contains(&format!("`{table}`")));
            let of_it = of_it.unwrap().to_lowercase();
            assert!(
                of_it.contains(
                    "`datasource` varchar(255) character set utf8mb4 collate utf8mb4_bin"
                ),
                "{of_it}"
            );
        }
        for key in [
            "KEY idx_druid_audit_type_time (`type`, `created_date`)",
            "KEY idx_druid_rules_datasource (`dataSource`)",
            "KEY idx_druid_supervisors_spec_id (`spec_id`)",
            "KEY idx_druid_tasklocks_task_id (`task_id`)",
            "KEY idx_druid_tasklogs_task_id (`task_id`)",
        ] {
            assert!(all.contains(key), "{key}");
        }
    }
}
