use proptest::prelude::*;

use super::*;

const ENDS: &str = "--\n-- PostgreSQL database dump complete\n--\n";

/// Reads a text in pieces of this size.
fn scanned(text: &[u8], size: usize) -> Scan {
    let mut scanner = Scanner::default();
    for piece in text.chunks(size.max(1)) {
        scanner.feed(piece);
    }
    scanner.end()
}

fn scan(text: &str) -> Scan {
    let whole = scanned(text.as_bytes(), text.len());
    for size in [1, 2, 3, 7] {
        assert_eq!(
            scanned(text.as_bytes(), size),
            whole,
            "{text:?} in pieces of {size}"
        );
    }
    whole
}

fn whats(faults: &Faults) -> Vec<&'static str> {
    faults.iter().map(|fault| fault.what).collect()
}

#[test]
fn what_a_dump_of_pg_dump_holds_stands_against_nothing() {
    let text = format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict Key1\n\n-- Dumped from database version 15.18\n\n\
         SET statement_timeout = 0;\nSET lock_timeout = 0;\nSET transaction_timeout = 0;\n\
         SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
         SELECT pg_catalog.set_config('search_path', '', false);\nSET row_security = off;\n\
         CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n\
         CREATE FUNCTION public.f() RETURNS void LANGUAGE plpgsql AS $_$ BEGIN ALTER ROLE x PASSWORD 'y'; COMMIT; END $_$;\n\
         CREATE FUNCTION public.g() RETURNS int LANGUAGE sql\n BEGIN ATOMIC\n  SELECT CASE WHEN true THEN 1 END; SELECT 2;\nEND;\n\
         ALTER FUNCTION public.f() OWNER TO \"Own er\";\nSET default_tablespace = fast;\n\
         CREATE TABLE public.t (\"a\"\"b\" text DEFAULT 'it''s \\' COLLATE pg_catalog.\"default\");\n\
         COPY public.t (\"a\"\"b\") FROM stdin;\nCOMMIT;\n\\\\.\n\\\\! id\n'\"$$\n\\.\n\n\
         INSERT INTO public.t VALUES ('ALTER SYSTEM; \\'), (E'it\\'s; COMMIT;'), ('a' || $$;ROLLBACK;$$);\n\
         BEGIN;\n\nSELECT pg_catalog.lo_open('4242', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\n\
         SELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n\n\
         SELECT pg_catalog.setval('public.s', 41, true);\n\
         CREATE USER MAPPING FOR alice SERVER far;\nCREATE POLICY p ON public.t TO bob, carol USING (true);\n\
         GRANT SELECT(a) ON TABLE public.t TO dave WITH GRANT OPTION;\nREVOKE ALL ON SCHEMA public FROM PUBLIC;\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE erin IN SCHEMA public GRANT SELECT ON TABLES TO frank;\n\
         {ENDS}\n\\unrestrict Key1\n\n"
    );
    let scan = scan(&text);
    assert_eq!(whats(&scan.refused), [""; 0]);
    assert_eq!(whats(&scan.changes), [""; 0]);
    assert_eq!(scan.ending(false), Ending::Said);
    assert_eq!(scan.ending(true), Ending::Unsaid);
    let cut: Vec<&str> = scan
        .cuts
        .iter()
        .map(|cut| &text[usize::try_from(cut.offset).unwrap()..usize::try_from(cut.end).unwrap()])
        .collect();
    assert_eq!(
        cut,
        [
            "\\restrict Key1\n",
            "BEGIN;",
            "COMMIT;",
            "\\unrestrict Key1\n"
        ]
    );
    let timeouts: Vec<_> = scan.timeouts.iter().map(|(name, _)| *name).collect();
    assert_eq!(timeouts, ["lock_timeout", "transaction_timeout"]);
    let roles: Vec<_> = scan.roles.iter().map(String::as_str).collect();
    assert_eq!(
        roles,
        ["Own er", "alice", "bob", "carol", "dave", "erin", "frank"]
    );
    assert!(scan.tablespaces.contains("fast") && scan.extensions.contains("pg_trgm"));
}

#[test]
fn commands_for_psql_itself_are_refused_wherever_they_stand() {
    for evil in [
        "\\! id\n",
        "\\set c `id`\n",
        "\\o /tmp/x\n",
        "\\i /etc/passwd\n",
        "\\copy t from '/etc/passwd'\n",
        "\\connect \"host=evil password=x\"\n",
        "\\connect shop evil\n",
        "SELECT 1 \\gexec\n",
        "SELECT 1 \\;\n",
        "SELECT 1; \\! id\n",
        " \\restrict a\n",
        "SELECT '\\'; \\! id\n",
        "SELECT E'\\''; \\! id\n",
        "SELECT E'a'\n'\\''; \\! id\n",
        "-- a comment\r\\! id\n",
        "/* /* */ */ \\! id\n",
        "SELECT $a$ $b$ $a$; \\! id\n",
        "SELECT 1e'\\''; \\! id\n",
        "COPY t FROM stdin;\n1\n\\.\n\\! id\n",
        "COPY t FROM stdin;\n1\n\\.\r\n\\! id\n",
        "SET standard_conforming_strings = off;\nSELECT '\\''; \\! id\n",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; \\! id\n",
        "\\! id",
    ] {
        let found = scan(&format!("{evil}{ENDS}"));
        assert_eq!(
            found.refused.iter().count(),
            1,
            "{evil:?}: {:?}",
            found.refused
        );
        let found = scan(evil);
        assert!(found.refused.told().contains("backslash"), "{evil:?}");
    }
    // The same letters where they are nothing but text.
    for good in [
        "SELECT '\\! id\n';\n",
        "SELECT E'\\'\\! id\n';\n",
        "SELECT \"\\! id\n\";\n",
        "SELECT $$\\! id\n$$;\n",
        "SELECT $a$ $$ $b$ \\! id\n$a$;\n",
        "-- \\! id\n",
        "/* /* */ \\! id\n*/;\n",
        "COPY t FROM stdin;\n\\! id\n\\.x\n\\.\n",
        "SELECT U&'\\0061';\n",
        "SELECT x$a$ FROM t WHERE y = 'b$a$\\! id';\n",
    ] {
        assert!(
            scan(good).refused.is_empty(),
            "{good:?}: {:?}",
            scan(good).refused
        );
    }
}

#[test]
fn what_a_dump_ends_within_is_known() {
    for (text, within) in [
        ("SELECT 'a", "a quoted string"),
        ("SELECT E'a\\'", "a quoted string"),
        ("SELECT \"a", "a quoted name"),
        ("SELECT $x$ $y$", "a dollar-quoted string"),
        ("SELECT $$ $", "a dollar-quoted string"),
        ("/* /* */", "a comment"),
        ("COPY t FROM stdin;\n1\n2", "the data of a COPY"),
        ("COPY t FROM stdin;\n1\n\\.", "the data of a COPY"),
        ("COPY t FROM stdin;", "the data of a COPY"),
        ("SELECT 1", "a statement"),
        ("SELECT (1;", "a statement"),
        (
            "BEGIN;\nSELECT pg_catalog.lo_open('1', 1);\n",
            "large objects",
        ),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;",
            "a statement",
        ),
    ] {
        assert_eq!(scan(text).ending(false), Ending::Within(within), "{text}");
        let later = format!("{ENDS}{text}");
        assert_eq!(scan(&later).ending(false), Ending::Within(within), "{text}");
    }
    assert_eq!(scan("SELECT 1;\n").ending(false), Ending::Unsaid);
    assert_eq!(
        scan(&format!("{ENDS}SELECT 1;\n")).ending(false),
        Ending::Unsaid
    );
    assert_eq!(
        scan(&format!("SELECT 1;\n{ENDS}")).ending(false),
        Ending::Said
    );
    // The line counts only where it is a comment.
    for text in [
        format!("SELECT '\n{ENDS}';\n"),
        format!("COPY t FROM stdin;\n{ENDS}\\.\n"),
        format!("/*\n{ENDS}*/\n"),
    ] {
        assert_eq!(scan(&text).ending(false), Ending::Unsaid, "{text}");
    }
}

#[test]
fn a_nul_byte_is_refused_wherever_it_stands() {
    for text in [
        "SELECT 1;\n\0\n",
        "SELECT '\0';\n",
        "COPY t FROM stdin;\n\0\n\\.\n",
        "-- \0\n",
    ] {
        let found = scan(text);
        assert_eq!(whats(&found.refused), ["a NUL byte"], "{text:?}");
    }
    assert_eq!(scan("SELECT 1;\n\0").refused.iter().next().unwrap().line, 2);
}

#[test]
fn a_transaction_of_the_dumps_own_is_refused_outside_of_functions() {
    for (text, what) in [
        ("COMMIT;", "COMMIT"),
        ("commit work;", "COMMIT"),
        ("End ;", "COMMIT"),
        ("/* */ROLLBACK;", "ROLLBACK"),
        ("Abort;", "ROLLBACK"),
        ("ROLLBACK PREPARED 'x';", "ROLLBACK"),
        ("BEGIN; SELECT 1; COMMIT;", "BEGIN"),
        (
            "BEGIN; SELECT pg_catalog.lo_close(0); DROP TABLE t; COMMIT;",
            "BEGIN",
        ),
        ("START TRANSACTION;", "BEGIN"),
        ("PREPARE TRANSACTION 'x';", "PREPARE TRANSACTION"),
    ] {
        assert_eq!(
            scan(text).refused.iter().next().map(|fault| fault.what),
            Some(what),
            "{text}"
        );
    }
    for text in [
        "SAVEPOINT a; ROLLBACK TO a; ROLLBACK TO SAVEPOINT a; RELEASE a;",
        "SELECT 'COMMIT;';",
    ] {
        assert!(scan(text).refused.is_empty(), "{text}");
    }
}

#[test]
fn what_changes_the_server_or_reaches_out_is_found_in_every_spelling() {
    for text in [
        "ALTER SYSTEM SET x = 1;",
        "alter/**/system reset all;",
        "DROP OWNED BY x;",
        "REASSIGN OWNED BY x TO y;",
        "DROP DATABASE x;",
        "COPY t FROM PROGRAM 'id';",
        "COPY t TO PROGRAM 'id';",
        "COPY (SELECT 1) TO '/tmp/x';",
        "COPY t (a, b) FROM '/etc/passwd';",
        "COPY t FROM E'/etc/passwd';",
        "COPY pg_catalog.pg_authid FROM stdin;\n\\.\n",
        "UPDATE pg_authid SET rolpassword = 'x';",
        "UPDATE ONLY pg_catalog.pg_authid SET rolpassword = 'x';",
        "INSERT INTO \"pg_catalog\".\"pg_auth_members\" VALUES (1);",
        "DELETE FROM U&\"\\0070g_catalog\".pg_proc;",
        "DROP FUNCTION pg_catalog.now();",
        "CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS int AS 'x' LANGUAGE sql;",
        "LOAD '/tmp/x.so';",
        "SELECT pg_read_file('/etc/passwd');",
        "SELECT \"pg_read_file\"('/etc/passwd');",
        "INSERT INTO t VALUES (1, pg_catalog.pg_read_binary_file ('/etc/passwd'));",
        "CREATE TABLE t AS SELECT lo_export(1, '/tmp/x');",
        "CREATE MATERIALIZED VIEW v AS SELECT dblink('host=evil', 'x');",
        "DO $$ BEGIN ALTER ROLE postgres PASSWORD 'x'; END $$;",
        "DO $$ BEGIN EXECUTE 'alter /* */ user postgres password ''x'''; END $$;",
        "DO $a$ BEGIN EXECUTE format($b$ grant %I to y $b$, 'x'); END $a$;",
        "DO E'BEGIN ALTER\\nROLE postgres; END';",
        "DO E'BEGIN \\x41LTER ROLE postgres; END';",
        "DO LANGUAGE plpython3u $$ import os $$;",
        "DO $$ BEGIN COPY t FROM PROGRAM 'id'; END $$;",
        "DO $$ BEGIN UPDATE pg_authid SET x = 1; END $$;",
        "SELECT query_to_xml('select 1', true, true, '');",
        "SELECT f('drop role x');",
        "WITH x AS (SELECT 1) SELECT g('alter system set x = 1');",
    ] {
        let found = scan(text);
        assert_eq!(found.changes.iter().count(), 1, "{text}: {found:?}");
    }
    for text in [
        "INSERT INTO t VALUES ('ALTER SYSTEM SET x = 1; DROP ROLE y');",
        "COMMENT ON TABLE t IS 'pg_read_file(1)';",
        "CREATE VIEW v AS SELECT pg_read_file('x');",
        "CREATE TABLE public.pg_own (a int);",
        "INSERT INTO public.pg_own VALUES (1);",
        "INSERT INTO t (dblink) VALUES (1);",
        "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO monitor;",
        "DO $$ BEGIN PERFORM setval('s', 1); INSERT INTO t VALUES (1); END $$;",
        "SELECT pg_catalog.pg_restore_relation_stats('version', '180000'::integer);",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION public.f();",
    ] {
        let found = scan(text);
        assert!(
            found.changes.is_empty() && found.refused.is_empty(),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_statement_about_a_role_names_it_however_it_is_written() {
    let named = |text: &str| match scan(text).of_server.as_slice() {
        [one] => one.role.clone(),
        other => panic!("{text}: {other:?}"),
    };
    let postgres = || About::Role("postgres".to_owned());
    for text in [
        "alter role postgres password 'x';",
        "ALTER USER Postgres PASSWORD 'x';",
        "ALTER ROLE \"postgres\" WITH PASSWORD 'x';",
        "ALTER/* ;*/ROLE--x\npostgres SET x = 1;",
        "ALTER GROUP postgres ADD USER x;",
        "ALTER ROLE U&\"\\0070ostgres\" PASSWORD 'x';",
        "DROP ROLE IF EXISTS postgres;",
        "GRANT x TO postgres WITH ADMIN OPTION;",
        "REVOKE x FROM postgres;",
        "COMMENT ON ROLE postgres IS 'x';",
        "SECURITY LABEL FOR p ON ROLE postgres IS 'x';",
        "CREATE USER postgres;",
    ] {
        assert_eq!(named(text), postgres(), "{text}");
    }
    assert_eq!(
        named("ALTER ROLE \"Postgres\" PASSWORD 'x';"),
        About::Role("Postgres".to_owned())
    );
    assert_eq!(named("ALTER USER current_user PASSWORD 'x';"), About::Own);
    for text in [
        "ALTER ROLE ALL SET x = 1;",
        "DROP ROLE a, postgres;",
        "ALTER ROLE U&\"!0070ostgres\" UESCAPE '!' PASSWORD 'x';",
        "ALTER ROLE U&\"\\zzzz\" PASSWORD 'x';",
    ] {
        assert_eq!(named(text), About::Unclear, "{text}");
    }
}

#[test]
fn settings_that_change_what_a_string_is_are_followed_or_refused() {
    for text in [
        "SET client_encoding = 'SJIS';",
        "SET client_encoding TO big5;",
        "SET NAMES 'GBK';",
        "SET standard_conforming_strings = x;",
        "SELECT set_config('standard_' || 'conforming_strings', 'off', false);",
        "SELECT pg_catalog.set_config('Client_Encoding', 'SJIS', false);",
        "RESET ALL;",
        "DISCARD ALL;",
        "COPY t FROM stdin WITH (FORMAT csv);\n\\.\n",
        "COPY BINARY t FROM stdin;\n\\.\n",
        "COPY t FROM stdin; SELECT 1;\n\\.\n",
        "COPY t TO stdout;",
    ] {
        assert!(!scan(text).refused.is_empty(), "{text}");
    }
    assert!(scan("SET client_encoding = 'LATIN1';").refused.is_empty());
}

#[test]
fn a_whole_server_is_taken_apart_at_its_own_lines() {
    let text = "CREATE ROLE a;\n\\connect template1\nSELECT 1;\nCREATE DATABASE shop;\nALTER DATABASE shop OWNER TO a;\n\
                \\connect -reuse-previous=on \"dbname='We ird'\"\nSELECT 2;\n";
    let found = scan(text);
    let names: Vec<_> = found
        .connects
        .iter()
        .map(|connect| connect.database.as_str())
        .collect();
    assert_eq!(names, ["template1", "We ird"]);
    assert_eq!((found.created.len(), found.inside.len()), (1, 2));
    assert!(found.made_roles.contains("a"));
    assert_eq!(found.connects[1].line, 6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_a_dump_is_cut_into_pieces_the_same_is_found(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "'", "''", "E'", "\\", "\\'", "\"", "$$", "$a$", "$", "a", "u&", "--", "/*", "*/", "/", "-", ";", "\n",
                "\r", "COPY t FROM stdin;\n", "\\.\n", "\\.", "\\! x\n", "COMMIT;", "BEGIN;", "(", ")", "1", " ",
                "CREATE FUNCTION f() BEGIN ATOMIC ", "END;", "ALTER ROLE x;", "\0", "ä", "\\connect x\n",
                "-- PostgreSQL database dump complete\n",
            ]),
            0..40,
        ),
        size in 1_usize..9,
    ) {
        let text = parts.concat();
        prop_assert_eq!(scanned(text.as_bytes(), size), scanned(text.as_bytes(), usize::MAX));
    }

    #[test]
    fn text_stays_text_whatever_it_holds(text in "[^\0]{0,60}") {
        let quoted = text.replace('\'', "''");
        let escaped = quoted.replace('\\', "\\\\");
        let copied = text.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let name = text.replace('"', "\"\"");
        let body = text.replace('$', "");
        let dump = format!(
            "INSERT INTO t VALUES ('{quoted}', E'{escaped}');\nCOPY t FROM stdin;\n{copied}\n\\.\n\
             COMMENT ON TABLE \"{name}\" IS $x${body}$x$;\n{ENDS}"
        );
        let found = scanned(dump.as_bytes(), 13);
        prop_assert!(found.refused.is_empty() && found.changes.is_empty(), "{:?}", found);
        prop_assert_eq!(found.ending(false), Ending::Said);
    }
}

#[test]
fn a_view_that_is_replaced_only_to_be_dropped_is_left_out() {
    let stand_in = "CREATE OR REPLACE VIEW shop.\"v;\" AS\nSELECT NULL::shop.kind AS k;";
    let drops = "ALTER TABLE IF EXISTS ONLY shop.t DROP CONSTRAINT IF EXISTS k;\n\
                 DROP VIEW IF EXISTS shop.other;\nDROP VIEW IF EXISTS shop.\"v;\";\n";
    let view = "CREATE OR REPLACE VIEW shop.\"v;\" AS SELECT k FROM shop.t;\n";
    let cuts = |text: &str| {
        let spans = scan(text).cuts.into_iter();
        let cut = spans.map(|span| text[span.offset as usize..span.end as usize].to_owned());
        cut.collect::<Vec<_>>()
    };
    let text = format!("{stand_in}\n{drops}CREATE TABLE shop.t (k int);\n{view}");
    assert_eq!(cuts(&text), [stand_in]);
    // One that comes with the dump, and is dropped by the dump of the next database.
    let next = format!("{view}SET statement_timeout = 0;\n{drops}{view}");
    assert_eq!(cuts(&next), [""; 0]);
}

#[test]
fn schemas_that_are_dropped_and_made_anew_are_known() {
    let text = "DROP SCHEMA IF EXISTS \"a \"\"b\";\nDROP SCHEMA IF EXISTS c;\nCREATE SCHEMA \"a \"\"b\";\n\
                CREATE SCHEMA c AUTHORIZATION d;\nCREATE SCHEMA e;\n";
    let schemas = scan(text).schemas;
    let found: Vec<_> = schemas
        .iter()
        .map(|one| (one.name.as_str(), one.drop.offset, one.make.offset))
        .collect();
    assert_eq!(found, [("a \"b", 0, 56)]);
}
