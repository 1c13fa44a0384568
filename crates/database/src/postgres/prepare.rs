//! Making room for what a dump brings: one step at the beginning of its transaction.
//!
//! ```text
//!   names that the dump drops ─► statement (pure) ─► what stands there under them, of whatever kind, is dropped
//!                                                    what is not in the dump and depends on it: named, all at once
//! ```
//! The dump's own statements cannot do it: they drop the constraints of a partition before the
//! table that they come from, and say what kind of object was there when the dump was made.

use super::layout::{Part, To};
use super::scan::{Dropped, Scan};

/// The body of the statement; `NAMES` stands for the objects of the dump.
const BODY: &str = include_str!("prepare.sql");

/// What is run instead of dropping and making a schema; `NAME` stands for its name.
const SCHEMA: &str = include_str!("schema.sql");

/// What the parts for a database drop.
pub(super) fn dropped<'a>(scan: &'a Scan, parts: &[Part], database: &str) -> Vec<&'a Dropped> {
    let within = |at: u64| {
        parts.iter().any(|part| {
            matches!(&part.to, To::Database(name) if name == database)
                && part.span.offset <= at
                && at < part.span.end
        })
    };
    let dropped = scan.dropped.iter();
    dropped.filter(|one| within(one.offset)).collect()
}

/// The statements that make room; none if there is nothing to do. `replace`: also by dropping what
/// is not in the dump. `key` is one that the dump cannot know.
pub(super) fn statements(dropped: &[&Dropped], replace: bool, key: &str) -> String {
    // One that does not drop its tables goes only where they are not.
    let drops_tables = dropped.iter().any(|one| one.kind == "table");
    let with_table = |one: &Dropped| matches!(one.kind, "index" | "identity");
    let dropped: Vec<&Dropped> = dropped
        .iter()
        .copied()
        .filter(|one| drops_tables || !with_table(one))
        .collect();
    if dropped.is_empty() {
        return String::new();
    }
    let array = |value: &dyn Fn(&Dropped) -> &str| {
        let values = dropped.iter().map(|one| literal(value(one)));
        format!("ARRAY[{}]::text[]", values.collect::<Vec<_>>().join(","))
    };
    let names = format!(
        "unnest({}, {}, {}) AS d(kind, sch, nam)",
        array(&|one| one.kind),
        array(&|one| &one.schema),
        array(&|one| &one.name)
    );
    let all = match replace {
        true => "true",
        false => "false",
    };
    let body = BODY.replacen("ALL_OF_IT", all, 1);
    let body = body.replacen("NAMES", &names, 1);
    format!("SET client_encoding = 'UTF8';\nDO $k{key}$\n{body}$k{key}$;\nRESET client_encoding;\n")
}

/// The statement that makes a schema anew, or keeps it if there is something in it that the dump
/// does not drop. It stands in the middle of the dump, so it is of characters that all encodings
/// have in common.
pub(super) fn schema(name: &str, key: &str) -> String {
    let letters = name.chars().map(|c| match c.is_ascii_alphanumeric() {
        true => c.to_string(),
        false => format!("\\+{:06X}", u32::from(c)),
    });
    let literal = format!("U&'{}'", letters.collect::<String>());
    let body = SCHEMA.replacen("NAME", &literal, 1);
    format!("DO $k{key}$\n{body}$k{key}$;\n")
}

/// A text as SQL writes it; the session has standard_conforming_strings on.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Scanner, Span};
    use super::*;

    #[test]
    fn a_schemas_name_is_told_in_letters_that_all_encodings_have() {
        let text = schema("a \"ä'$", "KEY");
        assert!(
            text.contains("schema text := U&'a\\+000020\\+000022\\+0000E4\\+000027\\+000024';"),
            "{text}"
        );
        assert!(text.is_ascii() && text.starts_with("DO $kKEY$\n") && text.ends_with("$kKEY$;\n"));
    }

    #[test]
    fn only_what_is_dropped_in_a_databases_own_part_is_named() {
        let text = b"DROP TABLE IF EXISTS public.\"a'b\";\nDROP MATERIALIZED VIEW IF EXISTS s.m;\n\
            DROP TABLE unqualified;\nDROP EVENT TRIGGER IF EXISTS e;\nDROP INDEX IF EXISTS public.i;\n\
            CREATE UNIQUE INDEX i ON ONLY public.t USING btree (n);\n\
            ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (n);\n\
            ALTER TABLE ONLY public.t\n    ADD CONSTRAINT f FOREIGN KEY (n) REFERENCES public.u(n);\n\
            ALTER TABLE public.t ALTER COLUMN n ADD GENERATED ALWAYS AS IDENTITY (\n    SEQUENCE NAME public.t_n_seq\n    START WITH 1\n);\n\
            DROP TYPE IF EXISTS other.t;\n";
        let mut scanner = Scanner::default();
        scanner.feed(text);
        let scan = scanner.end();
        let end = text.len() as u64;
        let part = |name: &str, offset, end| Part {
            to: To::Database(name.to_owned()),
            span: Span { offset, end },
        };
        let parts = [part("a", 0, end - 29), part("b", end - 29, end)];
        let found = |database: &str| {
            let found = dropped(&scan, &parts, database);
            let told = |one: &&Dropped| (one.kind, one.schema.clone(), one.name.clone());
            found.iter().map(told).collect::<Vec<_>>()
        };
        let own = |kind, schema: &str, name: &str| (kind, schema.to_owned(), name.to_owned());
        assert_eq!(
            found("a"),
            [
                own("table", "public", "a'b"),
                own("materialized view", "s", "m"),
                own("event trigger", "", "e"),
                own("index", "public", "i"),
                own("index", "public", "t_pkey"),
                own("identity", "public", "t_n_seq"),
            ]
        );
        assert_eq!(found("b"), [own("type", "other", "t")]);
        assert_eq!(found("c"), []);
        let text = statements(&dropped(&scan, &parts, "a"), true, "KEY");
        assert!(
            text.contains("ARRAY['a''b','m','e','i','t_pkey','t_n_seq']::text[]"),
            "{text}"
        );
        assert!(
            text.contains("DO $kKEY$") && !text.contains("NAMES"),
            "{text}"
        );
        assert!(text.contains("everything boolean := true;"), "{text}");
        assert_eq!(statements(&[], true, "KEY"), "");
    }
}
