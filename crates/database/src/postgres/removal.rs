//! What is run before the first statement of a dump, in its transaction: it removes what stands where the dump creates
//! something, whatever that is by now.
//!
//! A dump drops what it creates itself, but one by one and as what it was: a key of a partitioned table cannot be dropped
//! from its partitions, and `DROP TABLE` refuses what has become a view. Here each is dropped as what it is, in whatever
//! order works. What something outside the dump depends on is left to the dump's own statements, whose error names it.

use std::collections::{BTreeMap, BTreeSet};

use super::layout::{Part, To};
use super::scan::Scan;

/// The script, with places for the dollar quote and the two arrays of names.
const SCRIPT: &str = include_str!("removal.sql");

/// For each database that the dump goes into, the statement that removes what stands there.
pub(super) fn scripts(scan: &Scan, parts: &[Part], key: &str) -> BTreeMap<String, String> {
    let mut of: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for part in parts {
        let To::Database(database) = &part.to else {
            continue;
        };
        let within = scan.replaced.iter().filter(|one| {
            let offset = one.offset;
            part.span.offset <= offset && offset < part.span.end
        });
        let names = within.map(|one| (one.schema.as_str(), one.name.as_str()));
        of.entry(database).or_default().extend(names);
    }
    of.into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(database, names)| (database.to_owned(), script(&names, key)))
        .collect()
}

fn script(names: &BTreeSet<(&str, &str)>, key: &str) -> String {
    let array = |texts: Vec<&str>| {
        let quoted = texts
            .iter()
            .map(|text| format!("'{}'", text.replace('\'', "''")));
        format!("ARRAY[{}]::text[]", quoted.collect::<Vec<_>>().join(","))
    };
    let schemas = array(names.iter().map(|(schema, _)| *schema).collect());
    let relations = array(names.iter().map(|(_, name)| *name).collect());
    // The names come last: nothing in them is a place.
    let (head, tail) = SCRIPT.split_once(":SCHEMAS").unwrap_or((SCRIPT, ""));
    let (middle, tail) = tail.split_once(":NAMES").unwrap_or((tail, ""));
    let quote = |text: &str| text.replace(":QUOTE", &format!("$k{key}$"));
    format!(
        "{}{schemas}{}{relations}{}",
        quote(head),
        quote(middle),
        quote(tail)
    )
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Replaced, Span};
    use super::*;

    #[test]
    fn each_database_gets_the_names_of_its_own_part_as_strings() {
        let replaced = |offset, schema: &str, name: &str| Replaced {
            offset,
            schema: schema.to_owned(),
            name: name.to_owned(),
        };
        let scan = Scan {
            replaced: vec![
                replaced(5, "public", "it's :NAMES"),
                replaced(7, "public", "t"),
                replaced(7, "public", "t"),
                replaced(25, "x", "other"),
            ],
            ..Scan::default()
        };
        let part = |to: &str, offset, end| Part {
            to: To::Database(to.to_owned()),
            span: Span { offset, end },
        };
        let parts = [part("a", 0, 20), part("b", 20, 40), part("c", 40, 50)];
        let found = scripts(&scan, &parts, "Key");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
        let a = &found["a"];
        assert!(
            a.starts_with("DO $kKey$") && a.trim_end().ends_with("$kKey$;"),
            "{a}"
        );
        assert!(a.contains("ARRAY['public','public']::text[]"), "{a}");
        assert!(a.contains("ARRAY['it''s :NAMES','t']::text[]"), "{a}");
        assert!(found["b"].contains("ARRAY['other']::text[]"));
        for place in [":QUOTE", ":SCHEMAS"] {
            assert!(!a.contains(place), "{a}");
        }
    }
}
