//! Functions that a restore runs and that rely on `search_path`.
//!
//! A dump is loaded with an empty `search_path`. A generated column, an index, a check, a partition
//! key or a materialized view is computed while it is loaded; a function that it calls then finds
//! nothing that it names without a schema, and the restore ends. What a body names is only known
//! when it runs, so this reads its text: it may be wrong either way, which is why it warns and
//! refuses nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::server::Server;
use crate::reach::ServerError;

/// Functions of users that run while a dump is loaded, and what runs them.
const USERS: &str = r"
SELECT d.refobjid, pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid
  LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
  LEFT JOIN pg_catalog.pg_attribute a
         ON (a.attrelid, a.attnum) = (coalesce(f.adrelid, c.oid), coalesce(f.adnum, d.objsubid))
  LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
  LEFT JOIN pg_catalog.pg_class m ON m.oid = r.ev_class
 WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
   AND (c.relkind IN ('i', 'I', 'p') OR to_jsonb(a) ->> 'attgenerated' <> '' OR k.contype = 'c' OR m.relkind = 'm')";

/// Functions of users whose body is a text, which is read when it runs: oid, signature, name, body,
/// whether they set their own `search_path`, and whether the server has one of that name itself.
const FUNCTIONS: &str = r"
SELECT p.oid, p.oid::regprocedure, p.proname, p.prosrc,
       EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE setting LIKE 'search\_path=%'),
       EXISTS (SELECT FROM pg_catalog.pg_proc s WHERE s.proname = p.proname AND s.pronamespace = 'pg_catalog'::regnamespace)
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname IN ('sql', 'plpgsql')
   AND to_jsonb(p) ->> 'prosqlbody' IS NULL
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                    WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
 ORDER BY 2";

/// The names of tables and views of users.
const RELATIONS: &str = "
SELECT DISTINCT c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// What is looked for.
const WHAT: &str = "look for functions that rely on search_path";

/// What there is to warn of in the database that `server` is connected to.
///
/// # Errors
/// If a query fails.
pub(super) async fn warnings(server: &Server) -> Result<Vec<String>, ServerError> {
    let users = server.table(WHAT, USERS, &[0, 1]).await?;
    // Few databases have one.
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let functions = server.table(WHAT, FUNCTIONS, &[0, 1, 2, 3, 4, 5]).await?;
    let functions: Vec<Function> = functions.into_iter().filter_map(Function::read).collect();
    let relations = server.table(WHAT, RELATIONS, &[0]).await?;
    let relations: HashSet<String> = relations.into_iter().flatten().collect();
    let mut runs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &users {
        if let [oid, user] = row.as_slice() {
            runs.entry(oid).or_default().insert(user);
        }
    }
    let found = find(runs, &functions, &relations);
    let warning = |(function, names, users): (&str, String, String)| {
        format!(
            "a restore of the database {:?} may fail: the function {function}, which {users} calls, names {names} without a schema, and a restore runs it with an empty search_path; write the schema in it, or ALTER FUNCTION {function} SET search_path = …",
            server.database
        )
    };
    Ok(found.into_iter().map(warning).collect())
}

/// A function of a user.
struct Function {
    oid: String,
    /// As in `ALTER FUNCTION`.
    signature: String,
    name: String,
    body: Body,
    sets_path: bool,
    /// The server has one of that name, which is found without a schema.
    is_builtin: bool,
}

impl Function {
    fn read(row: Vec<String>) -> Option<Self> {
        let [oid, signature, name, body, sets_path, is_builtin] =
            <[String; 6]>::try_from(row).ok()?;
        Some(Self {
            oid,
            signature,
            name,
            body: Body::read(&body),
            sets_path: sets_path == "t",
            is_builtin: is_builtin == "t",
        })
    }
}

/// The functions that rely on `search_path`, what they name, and what runs them. `runs`: what runs
/// which function by itself.
fn find<'a>(
    runs: BTreeMap<&'a str, BTreeSet<&'a str>>,
    functions: &'a [Function],
    relations: &HashSet<String>,
) -> Vec<(&'a str, String, String)> {
    let by_oid: HashMap<&str, &Function> = functions
        .iter()
        .map(|one| (one.oid.as_str(), one))
        .collect();
    let mut by_name: HashMap<&str, Vec<&Function>> = HashMap::new();
    for one in functions {
        by_name.entry(&one.name).or_default().push(one);
    }
    // Who is called by one that runs, runs as well.
    let mut running: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut waiting: Vec<(&str, BTreeSet<&str>)> = runs.into_iter().collect();
    while let Some((oid, users)) = waiting.pop() {
        let known = running.entry(oid).or_default();
        let before = known.len();
        known.extend(&users);
        if known.len() == before {
            continue;
        }
        let Some(function) = by_oid.get(oid) else {
            continue;
        };
        for name in function.body.calls.iter().chain(&function.body.qualified) {
            let callees = by_name.get(name.as_str()).into_iter().flatten();
            waiting.extend(callees.map(|callee| (callee.oid.as_str(), users.clone())));
        }
    }
    let mut found: Vec<_> = running
        .into_iter()
        .filter_map(|(oid, users)| {
            let function = by_oid.get(oid).filter(|function| !function.sets_path)?;
            let is_bare = |name: &&String| {
                let mut same = by_name.get(name.as_str())?.iter();
                same.any(|one| !one.is_builtin).then_some(())
            };
            let calls = function
                .body
                .calls
                .iter()
                .filter(|name| is_bare(name).is_some());
            let reads = function.body.reads.iter();
            let reads = reads.filter(|name| relations.contains(*name));
            let names: BTreeSet<&str> = calls.chain(reads).map(String::as_str).collect();
            let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
            (!names.is_empty()).then(|| (function.signature.as_str(), list(names), list(users)))
        })
        .collect();
    found.sort();
    found
}

/// What the text of a function names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    /// Functions, without a schema.
    calls: BTreeSet<String>,
    /// Functions, with one.
    qualified: BTreeSet<String>,
    /// What stands behind `FROM` and the like, without a schema.
    reads: BTreeSet<String>,
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Word(String),
    Quoted(String),
    Sign(char),
}

/// Words that a table follows.
const BEFORE_TABLES: [&str; 6] = ["from", "join", "into", "update", "table", "only"];

impl Body {
    fn read(text: &str) -> Self {
        let parts = parts(text);
        let mut found = Self::default();
        let sign =
            |at: usize, wanted| matches!(parts.get(at), Some(Part::Sign(sign)) if *sign == wanted);
        for (at, part) in parts.iter().enumerate() {
            let (Part::Word(name) | Part::Quoted(name)) = part else {
                continue;
            };
            let is_qualified = at > 0 && sign(at - 1, '.');
            if sign(at + 1, '(') {
                match is_qualified {
                    true => found.qualified.insert(name.clone()),
                    false => found.calls.insert(name.clone()),
                };
            } else if !is_qualified
                && !sign(at + 1, '.')
                && at > 0
                && matches!(&parts[at - 1], Part::Word(word) if BEFORE_TABLES.contains(&word.as_str()))
            {
                found.reads.insert(name.clone());
            }
        }
        found
    }
}

/// Words, quoted names and signs of a text, without its comments and strings.
fn parts(text: &str) -> Vec<Part> {
    let mut found = Vec::new();
    let mut rest = text;
    let behind = |rest: &'_ str, end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("--") {
            behind(rest, "\n")
        } else if let Some(comment) = rest.strip_prefix("/*") {
            2 + behind(comment, "*/")
        } else if first == '\'' {
            1 + behind(&rest[1..], "'")
        } else if first == '"' {
            let length = 1 + behind(&rest[1..], "\"");
            found.push(Part::Quoted(
                rest[1..length].trim_end_matches('"').to_owned(),
            ));
            length
        } else if first.is_alphabetic() || first == '_' {
            let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            found.push(Part::Word(rest[..length].to_lowercase()));
            length
        } else {
            if !first.is_whitespace() {
                found.push(Part::Sign(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> [String; 3] {
        let Body {
            calls,
            qualified,
            reads,
        } = Body::read(text);
        [calls, qualified, reads].map(|names| names.into_iter().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_a_body_names_is_known_and_comments_and_strings_are_no_names() {
        let cases = [
            (
                "SELECT half(half(i)) / public.third (i)",
                ["half", "third", ""],
            ),
            (
                "SELECT x FROM Users u JOIN shop.orders o ON true",
                ["", "", "users"],
            ),
            (
                "BEGIN INSERT INTO \"Odd name\" VALUES (1); UPDATE ONLY t SET x = 1; END",
                ["values", "", "Odd name only t"],
            ),
            (
                "-- FROM a\n/* JOIN b, f() */ SELECT 'FROM c g()' || \"Fn\"(1)",
                ["Fn", "", ""],
            ),
            ("SELECT 1 -- the end", ["", "", ""]),
            ("SELECT 'open", ["", "", ""]),
            ("é /*", ["", "", ""]),
        ];
        for (text, expected) in cases {
            assert_eq!(body(text), expected, "{text}");
        }
    }

    #[test]
    fn whoever_is_called_by_one_that_runs_is_found_and_nobody_else() {
        let function = |oid: &str, text: &str, sets_path| Function {
            oid: oid.to_owned(),
            signature: format!("public.{oid}(integer)"),
            name: oid.to_owned(),
            body: Body::read(text),
            sets_path,
            is_builtin: oid == "lower",
        };
        let functions = [
            function("outer", "SELECT public.inner(x)", false),
            function("inner", "SELECT again(x) FROM users", false),
            function("again", "SELECT inner(lower(x)) FROM strangers", false),
            function("apart", "SELECT inner(x) FROM users", false),
            function("safe", "SELECT inner(x)", true),
            function("lower", "SELECT 1", false),
        ];
        let runs = [("outer", ["index i"].into()), ("safe", ["check c"].into())].into();
        let relations = ["users".to_owned()].into();
        let found = find(runs, &functions, &relations);
        let both = "check c, index i".to_owned();
        assert_eq!(
            found,
            [
                ("public.again(integer)", "inner".to_owned(), both.clone()),
                ("public.inner(integer)", "again, users".to_owned(), both),
            ]
        );
    }
}
