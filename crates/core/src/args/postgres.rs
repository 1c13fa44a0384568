//! The options of PostgreSQL's own clients, released versions 12 to 18 together.

use super::Value::{Joined, Needed};
use super::Verdict::{Database, Only, Pass, Refuse};
use super::{Opt, Value, Verdict};

/// Why a connection string in the place of a database's name is refused.
pub(super) const ADDRESS: &str = "holds an address, which comes from the AppBinding";

const HOST: Verdict = Refuse("chooses where to connect, which comes from the AppBinding");
const CREDENTIALS: Verdict =
    Refuse("changes the credentials, which come from the AppBinding's Secret");
const FILES: Verdict = Refuse("reads or writes files");
const EXECUTES: Verdict = Refuse("runs code or statements");
const NO_DUMP: Verdict = Refuse("makes the client print something else than a dump");
const CREATE: Verdict = Refuse(
    "would tie the dump to the database's name; a restore makes the database where it is missing",
);
const PLAIN: Verdict = Only(
    &["p", "plain"],
    "makes something that cannot be restored (only plain text can)",
);
const COMPRESSED: Verdict = Only(
    &["0", "none"],
    "compresses what is compressed anyway, and cannot be restored",
);
const OURS: Verdict = Refuse("is set by kubestash itself");
const PLAIN_ONLY: Verdict = Refuse("needs a format that cannot be restored (only plain text can)");
const READING: Verdict = Refuse("changes how the dump is read");

const fn opt(name: &'static str, short: Option<char>, value: Value, verdict: Verdict) -> Opt {
    Opt {
        name,
        short,
        value,
        verdict,
    }
}

const fn flag(name: &'static str) -> Opt {
    opt(name, None, Joined, Pass)
}

const fn short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Joined, Pass)
}

const fn needs(name: &'static str) -> Opt {
    opt(name, None, Needed, Pass)
}

const fn needs_short(name: &'static str, letter: char) -> Opt {
    opt(name, Some(letter), Needed, Pass)
}

const fn refused(name: &'static str, verdict: Verdict) -> Opt {
    opt(name, None, Needed, verdict)
}

const fn refused_short(name: &'static str, letter: char, verdict: Verdict) -> Opt {
    opt(name, Some(letter), Needed, verdict)
}

/// `pg_dump`.
pub(super) const DUMP: &[Opt] = &[
    // Where to connect, as whom, what to do with the output.
    opt("dbname", Some('d'), Needed, Database),
    refused_short("host", 'h', HOST),
    refused_short("port", 'p', HOST),
    refused_short("username", 'U', CREDENTIALS),
    refused_short("no-password", 'w', CREDENTIALS),
    refused_short("password", 'W', CREDENTIALS),
    refused_short("file", 'f', FILES),
    refused("filter", FILES),
    opt("format", Some('F'), Needed, PLAIN),
    opt("compress", Some('Z'), Needed, COMPRESSED),
    refused_short("jobs", 'j', PLAIN_ONLY),
    refused_short("create", 'C', CREATE),
    refused("restrict-key", OURS),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    // What to dump, and how.
    short("data-only", 'a'),
    short("large-objects", 'b'),
    flag("blobs"),
    short("no-large-objects", 'B'),
    flag("no-blobs"),
    short("clean", 'c'),
    needs_short("extension", 'e'),
    needs_short("encoding", 'E'),
    needs_short("schema", 'n'),
    needs_short("exclude-schema", 'N'),
    short("no-owner", 'O'),
    short("schema-only", 's'),
    needs_short("superuser", 'S'),
    needs_short("table", 't'),
    needs_short("exclude-table", 'T'),
    short("verbose", 'v'),
    short("no-privileges", 'x'),
    flag("no-acl"),
    flag("attribute-inserts"),
    flag("binary-upgrade"),
    flag("column-inserts"),
    flag("disable-dollar-quoting"),
    flag("disable-triggers"),
    flag("enable-row-security"),
    needs("exclude-extension"),
    needs("exclude-table-and-children"),
    needs("exclude-table-data"),
    needs("exclude-table-data-and-children"),
    needs("extra-float-digits"),
    flag("if-exists"),
    needs("include-foreign-data"),
    flag("inserts"),
    flag("load-via-partition-root"),
    needs("lock-wait-timeout"),
    flag("no-comments"),
    flag("no-data"),
    flag("no-policies"),
    flag("no-publications"),
    flag("no-schema"),
    flag("no-security-labels"),
    flag("no-statistics"),
    flag("no-subscriptions"),
    flag("no-sync"),
    flag("no-synchronized-snapshots"),
    flag("no-table-access-method"),
    flag("no-tablespaces"),
    flag("no-toast-compression"),
    flag("no-unlogged-table-data"),
    flag("on-conflict-do-nothing"),
    flag("quote-all-identifiers"),
    needs("role"),
    needs("rows-per-insert"),
    needs("section"),
    flag("sequence-data"),
    flag("serializable-deferrable"),
    needs("snapshot"),
    flag("statistics"),
    flag("statistics-only"),
    flag("strict-names"),
    needs("sync-method"),
    needs("table-and-children"),
    flag("use-set-session-authorization"),
    flag("with-statistics"),
];

/// `pg_dumpall`. What it does not know and `pg_dump` does is for the databases' contents.
pub(super) const DUMP_ALL: &[Opt] = &[
    refused_short("dbname", 'd', HOST),
    refused_short("database", 'l', HOST),
    refused_short("host", 'h', HOST),
    refused_short("port", 'p', HOST),
    refused_short("username", 'U', CREDENTIALS),
    refused_short("no-password", 'w', CREDENTIALS),
    refused_short("password", 'W', CREDENTIALS),
    refused_short("file", 'f', FILES),
    refused("filter", FILES),
    opt("format", Some('F'), Needed, PLAIN),
    refused("restrict-key", OURS),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    short("data-only", 'a'),
    short("clean", 'c'),
    needs_short("encoding", 'E'),
    short("globals-only", 'g'),
    short("no-owner", 'O'),
    short("roles-only", 'r'),
    short("schema-only", 's'),
    needs_short("superuser", 'S'),
    short("tablespaces-only", 't'),
    short("verbose", 'v'),
    short("no-privileges", 'x'),
    flag("no-acl"),
    flag("attribute-inserts"),
    flag("binary-upgrade"),
    flag("column-inserts"),
    flag("disable-dollar-quoting"),
    flag("disable-triggers"),
    needs("exclude-database"),
    needs("exclude-schema"),
    needs("exclude-table"),
    needs("exclude-table-data"),
    needs("extra-float-digits"),
    flag("if-exists"),
    flag("inserts"),
    flag("load-via-partition-root"),
    needs("lock-wait-timeout"),
    flag("no-comments"),
    flag("no-publications"),
    flag("no-role-passwords"),
    flag("no-security-labels"),
    flag("no-subscriptions"),
    flag("no-sync"),
    flag("no-table-access-method"),
    flag("no-tablespaces"),
    flag("no-toast-compression"),
    flag("no-unlogged-table-data"),
    flag("on-conflict-do-nothing"),
    flag("quote-all-identifiers"),
    needs("role"),
    needs("rows-per-insert"),
    needs("schema"),
    needs("table"),
    flag("use-set-session-authorization"),
];

/// `psql`, as far as loading a dump goes.
pub(super) const CLIENT: &[Opt] = &[
    opt("dbname", Some('d'), Needed, Database),
    refused_short("host", 'h', HOST),
    refused_short("port", 'p', HOST),
    refused_short("username", 'U', CREDENTIALS),
    refused_short("no-password", 'w', CREDENTIALS),
    refused_short("password", 'W', CREDENTIALS),
    refused_short("file", 'f', FILES),
    refused_short("output", 'o', FILES),
    refused_short("log-file", 'L', FILES),
    refused_short("command", 'c', EXECUTES),
    // A variable may name a program (PAGER) or switch the end at an error off.
    refused_short("set", 'v', EXECUTES),
    refused("variable", EXECUTES),
    refused_short("pset", 'P', EXECUTES),
    refused_short("list", 'l', NO_DUMP),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    refused_short("single-step", 's', READING),
    refused_short("single-line", 'S', READING),
    short("echo-all", 'a'),
    short("echo-errors", 'b'),
    short("echo-queries", 'e'),
    short("echo-hidden", 'E'),
    short("no-readline", 'n'),
    short("no-psqlrc", 'X'),
    short("quiet", 'q'),
    short("single-transaction", '1'),
];
