//! What makes room for a dump: a pure function of what the dump creates and what stands in the
//! server.
//!
//! ```text
//!   dump: names it creates ──┐
//!   server: what stands ─────┴─► obstacles (nothing is changed), or the statements that remove what stands
//! ```
//! All of it is removed before the first table is created, with foreign keys unchecked: a table
//! that comes back with another type would otherwise fit neither its old children nor its new ones.
//! What the dump does not create stays.

use std::collections::{BTreeMap, BTreeSet};

use super::encoding::Encoding;
use super::structure::{Claim, Object, Structure};

/// A table, view or sequence that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) database: String,
    pub(super) name: String,
    /// As information_schema.TABLES calls it.
    pub(super) kind: String,
}

/// A foreign key that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForeignKey {
    pub(super) database: String,
    pub(super) table: String,
    pub(super) column: String,
    /// Type of the column, as information_schema.COLUMNS writes it.
    pub(super) type_: String,
    pub(super) parent_database: String,
    pub(super) parent: String,
    pub(super) parent_column: String,
}

/// A name that a table which is there has taken for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) database: String,
    pub(super) table: String,
    pub(super) claim: Claim,
    pub(super) name: String,
}

/// The names that a dump creates, as a server compares them.
struct Names<'a> {
    by_key: BTreeMap<(String, String), (&'a str, &'a Object)>,
    folds: bool,
}

impl<'a> Names<'a> {
    /// `place` is the database that the client is in at first.
    fn of(dump: &'a Structure, place: Option<&str>, folds: bool) -> Self {
        let fold = |name: &str| folded(name, folds);
        let by_key = dump
            .objects
            .iter()
            .filter_map(|((database, name), object)| {
                let database = database.as_deref().or(place)?;
                Some(((fold(database), fold(name)), (name.as_str(), object)))
            });
        Self {
            by_key: by_key.collect(),
            folds,
        }
    }

    fn get(&self, database: &str, name: &str) -> Option<&Object> {
        let key = (folded(database, self.folds), folded(name, self.folds));
        self.by_key.get(&key).map(|(_, object)| *object)
    }
}

fn folded(name: &str, folds: bool) -> String {
    match folds {
        true => name.to_lowercase(),
        false => name.to_owned(),
    }
}

/// The statements that remove what stands where the dump creates something.
pub(super) fn drops(
    dump: &Structure,
    place: Option<&str>,
    standing: &[Standing],
    folds: bool,
) -> Vec<String> {
    let names = Names::of(dump, place, folds);
    let mut found: Vec<_> = standing
        .iter()
        .filter(|one| names.get(&one.database, &one.name).is_some())
        .map(|one| {
            // Views first, as they read from tables.
            let (order, word) = match one.kind.as_str() {
                "VIEW" => (0, "VIEW"),
                "SEQUENCE" => (2, "SEQUENCE"),
                _ => (1, "TABLE"),
            };
            let (database, name) = (quoted(&one.database), quoted(&one.name));
            (order, format!("DROP {word} IF EXISTS {database}.{name};"))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, statement)| statement).collect()
}

/// Statements that give databases that are there the character set and collation that they had. A
/// Druid's stays what Druid demands.
pub(super) fn encodings<'a>(
    had: impl Iterator<Item = (&'a str, &'a Encoding)>,
    have: &BTreeMap<String, Encoding>,
    collations: &BTreeSet<String>,
    is_druid: bool,
) -> Vec<String> {
    let changed = had.filter(|(name, had)| {
        let is_possible = collations.contains(&had.collation);
        let is_wanted = !is_druid || had.character_set.starts_with("utf8");
        is_possible && is_wanted && have.get(*name).is_some_and(|have| have != *had)
    });
    let alter = |(name, had): (&str, &Encoding)| {
        format!(
            "ALTER DATABASE {} CHARACTER SET {} COLLATE {};",
            quoted(name),
            had.character_set,
            had.collation
        )
    };
    changed.map(alter).collect()
}

/// Foreign keys of tables that the dump does not create, onto columns that come back with another
/// type: their tables would keep the dump's from being created again.
pub(super) fn forbidden(
    dump: &Structure,
    place: Option<&str>,
    keys: &[ForeignKey],
    folds: bool,
) -> Vec<String> {
    let names = Names::of(dump, place, folds);
    let mut found = Vec::new();
    for key in keys {
        if names.get(&key.database, &key.table).is_some() {
            continue;
        }
        let Some(parent) = names.get(&key.parent_database, &key.parent) else {
            continue;
        };
        let column = parent
            .columns
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&key.parent_column));
        // A table whose columns are not known is not judged.
        let Some((_, dumped)) = column else { continue };
        if class(dumped) != class(&key.type_) {
            found.push(format!(
                "{}.{}.{} is {} and refers to {}.{}, which is {dumped} in the dump",
                key.database, key.table, key.column, key.type_, key.parent, key.parent_column
            ));
        }
    }
    found
}

/// Names of the dump's foreign keys, checks and triggers that tables outside of it have: a table
/// that was renamed after the backup has kept its own. The dump's tables could not be created
/// beside them.
pub(super) fn taken(
    dump: &Structure,
    place: Option<&str>,
    there: &[Taken],
    folds: bool,
) -> Vec<String> {
    // The names of constraints differ by more than the case of their letters.
    let key = |database: &str, claim: Claim, name: &str| {
        let folds_name = claim != Claim::Trigger;
        (folded(database, folds), claim, folded(name, folds_name))
    };
    let claims = dump.claims.iter().filter_map(|(database, claim, name)| {
        let database = database.as_deref().or(place)?;
        Some(key(database, *claim, name))
    });
    let claims: BTreeSet<_> = claims.collect();
    let names = Names::of(dump, place, folds);
    let in_the_way = there.iter().filter(|one| {
        names.get(&one.database, &one.table).is_none()
            && claims.contains(&key(&one.database, one.claim, &one.name))
    });
    in_the_way
        .map(|one| {
            let what = match one.claim {
                Claim::ForeignKey => "foreign key",
                Claim::Check => "check",
                Claim::Trigger => "trigger",
            };
            format!("{what} {} of {}.{}", one.name, one.database, one.table)
        })
        .collect()
}

/// What of a column's type has to be the same at both ends of a foreign key.
fn class(type_: &str) -> String {
    let lower = type_.to_ascii_lowercase();
    let end = lower.find(|c: char| c.is_whitespace() || c == '(');
    let base = &lower[..end.unwrap_or(lower.len())];
    let base = match base {
        "varchar" => "char",
        "varbinary" => "binary",
        "integer" => "int",
        other => other,
    };
    match lower.contains(" unsigned") {
        true => format!("{base} unsigned"),
        false => base.to_owned(),
    }
}

/// Names in the dump that a server which does not tell cases apart takes for one.
pub(super) fn clashes(dump: &Structure) -> Vec<String> {
    let mut seen: BTreeMap<(Option<String>, String), &str> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (database, name) in dump.objects.keys() {
        let key = (
            database.as_deref().map(str::to_lowercase),
            name.to_lowercase(),
        );
        match seen.get(&key) {
            Some(first) if first != name => {
                found.insert(format!("{first} and {name}"));
            }
            Some(_) => {}
            None => {
                seen.insert(key, name);
            }
        }
    }
    found.into_iter().collect()
}

/// Tables in the dump without a primary key.
pub(super) fn without_key(dump: &Structure) -> Vec<String> {
    let without = |(_, object): &(_, &Object)| object.has_key == Some(false);
    let tables = dump.objects.iter().filter(without);
    tables.map(|((_, name), _)| name.clone()).collect()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Database, name, columns and their types.
    type Row<'a> = (Option<&'a str>, &'a str, &'a [(&'a str, &'a str)]);

    fn dump(objects: &[Row<'_>]) -> Structure {
        let object = |columns: &[(&str, &str)]| Object {
            columns: columns
                .iter()
                .map(|(name, type_)| ((*name).to_owned(), (*type_).to_owned()))
                .collect(),
            has_key: Some(!columns.is_empty()),
        };
        let objects = objects.iter().map(|(database, name, columns)| {
            let key = (database.map(str::to_owned), (*name).to_owned());
            (key, object(columns))
        });
        Structure {
            objects: objects.collect(),
            ..Structure::default()
        }
    }

    fn standing(database: &str, name: &str, kind: &str) -> Standing {
        Standing {
            database: database.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn whatever_stands_where_the_dump_creates_something_is_removed_and_nothing_else() {
        let dump = dump(&[
            (None, "a", &[]),
            (None, "v`x", &[]),
            (Some("other"), "s", &[]),
        ]);
        let there = [
            standing("shop", "a", "BASE TABLE"),
            standing("shop", "v`x", "VIEW"),
            standing("shop", "keep", "BASE TABLE"),
            standing("other", "s", "SEQUENCE"),
            standing("other", "a", "BASE TABLE"),
            standing("third", "a", "VIEW"),
            standing("shop", "A", "SYSTEM VERSIONED"),
        ];
        let expected = [
            "DROP VIEW IF EXISTS `shop`.`v``x`;",
            "DROP TABLE IF EXISTS `shop`.`a`;",
            "DROP SEQUENCE IF EXISTS `other`.`s`;",
        ];
        assert_eq!(drops(&dump, Some("shop"), &there, false), expected);
        assert_eq!(drops(&dump, Some("SHOP"), &there, true).len(), 4);
        let none: [&str; 0] = [];
        assert_eq!(
            drops(&Structure::default(), Some("shop"), &there, false),
            none
        );
    }

    #[test]
    fn a_foreign_key_from_outside_onto_another_type_is_named_and_any_other_is_none() {
        let dump = dump(&[
            (None, "users", &[("id", "int"), ("code", "varchar")]),
            (None, "orders", &[("user", "int")]),
        ]);
        let key = |table: &str, type_: &str, column: &str| ForeignKey {
            database: "shop".to_owned(),
            table: table.to_owned(),
            column: "user".to_owned(),
            type_: type_.to_owned(),
            parent_database: "shop".to_owned(),
            parent: "users".to_owned(),
            parent_column: column.to_owned(),
        };
        let cases = [
            (key("audit", "bigint(20)", "id"), true),
            (key("audit", "int(10) unsigned", "id"), true),
            (key("audit", "int(11)", "ID"), false),
            (key("audit", "char(9)", "code"), false),
            (key("audit", "varbinary(9)", "code"), true),
            // Of the dump itself: it comes back with it.
            (key("orders", "bigint(20)", "id"), false),
            (key("audit", "bigint(20)", "unknown"), false),
        ];
        for (key, is_named) in cases {
            let found = forbidden(&dump, Some("shop"), std::slice::from_ref(&key), false);
            assert_eq!(!found.is_empty(), is_named, "{key:?}: {found:?}");
        }
        let found = forbidden(
            &dump,
            Some("shop"),
            &[key("audit", "bigint(20)", "id")],
            false,
        );
        assert_eq!(
            found,
            ["shop.audit.user is bigint(20) and refers to users.id, which is int in the dump"]
        );
    }

    #[test]
    fn a_database_gets_back_what_it_was_written_in_unless_druid_would_refuse_it() {
        let of =
            |character_set: &str, collation: &str| Encoding::new(character_set, collation).unwrap();
        let (latin, bin) = (of("latin1", "latin1_bin"), of("utf8mb4", "utf8mb4_bin"));
        let have = [("shop".to_owned(), of("utf8mb4", "utf8mb4_general_ci"))].into();
        let collations = ["latin1_bin", "utf8mb4_bin"].map(str::to_owned).into();
        let said = |name, had, is_druid| {
            encodings([(name, had)].into_iter(), &have, &collations, is_druid)
        };
        let alter = |to: &str| vec![format!("ALTER DATABASE `shop` CHARACTER SET {to};")];
        assert_eq!(
            said("shop", &latin, false),
            alter("latin1 COLLATE latin1_bin")
        );
        assert_eq!(said("shop", &latin, true), [""; 0]);
        assert_eq!(
            said("shop", &bin, true),
            alter("utf8mb4 COLLATE utf8mb4_bin")
        );
        assert_eq!(said("shop", &have["shop"], false), [""; 0], "as it is");
        assert_eq!(said("other", &latin, false), [""; 0], "not there");
        let unknown = of("utf8mb4", "utf8mb4_0900_ai_ci");
        assert_eq!(said("shop", &unknown, false), [""; 0]);
    }

    #[test]
    fn names_that_a_renamed_table_has_kept_are_named() {
        let dump = Structure {
            claims: [
                (None, Claim::ForeignKey, "of_user".to_owned()),
                (None, Claim::Trigger, "added".to_owned()),
            ]
            .into(),
            ..dump(&[(None, "orders", &[])])
        };
        let taken_by = |database: &str, table: &str, claim, name: &str| Taken {
            database: database.to_owned(),
            table: table.to_owned(),
            claim,
            name: name.to_owned(),
        };
        let there = [
            taken_by("shop", "orders_v1", Claim::ForeignKey, "OF_user"),
            taken_by("shop", "orders_v1", Claim::Trigger, "added"),
            taken_by("shop", "orders_v1", Claim::Trigger, "Added"),
            taken_by("shop", "orders_v1", Claim::Check, "of_user"),
            taken_by("other", "orders_v1", Claim::ForeignKey, "of_user"),
            // It is dropped.
            taken_by("shop", "orders", Claim::ForeignKey, "of_user"),
        ];
        assert_eq!(
            taken(&dump, Some("shop"), &there, false),
            [
                "foreign key OF_user of shop.orders_v1",
                "trigger added of shop.orders_v1"
            ]
        );
    }

    #[test]
    fn names_that_differ_in_case_alone_are_named_together() {
        let dump = dump(&[
            (None, "Users", &[("id", "int")]),
            (None, "users", &[]),
            (Some("b"), "USERS", &[]),
        ]);
        assert_eq!(clashes(&dump), ["Users and users"]);
        assert_eq!(without_key(&dump), ["users", "USERS"]);
    }
}
