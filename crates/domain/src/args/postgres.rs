//! The options of PostgreSQL's own clients, released versions 12 to 18 together.

use super::option::Verdict::{self, Database, Left, Omits, Only, Refuse, Told};
use super::option::{
    CREDENTIALS, EXECUTES, FILES, HOST, NO_DUMP, Opt, flag, needs, needs_short, on, refused,
    refused_short, short, valued,
};

/// Why a connection string in the place of a database's name is refused.
pub(super) const ADDRESS: &str = "holds an address, which comes from the AppBinding";

const CREATE: Verdict = Refuse(
    "would tie the dump to the database's name; a restore creates the database where it is missing",
);
const PLAIN: Verdict = Only(
    &["p", "plain"],
    "creates something that cannot be restored (only plain text can)",
);
const COMPRESSED: Verdict = Only(
    &["0", "none"],
    "compresses what is compressed anyway, and cannot be restored",
);
const ENCODING: Verdict = Only(
    &["utf8", "utf-8", "unicode"],
    "writes the dump in an encoding that lacks characters, or that a restore cannot read (the database's own is always used)",
);
const DIGITS: Verdict = Only(&["1", "2", "3"], "rounds floating-point numbers");
const OURS: Verdict = Refuse("is set by kubestash itself");
const PLAIN_ONLY: Verdict = Refuse("needs a format that cannot be restored (only plain text can)");
const NO_TABLES: Verdict = Refuse(
    "leaves the definitions out, so that nobody can restore a lost database (leave tables out with --exclude-table)",
);
const NO_ROWS: Verdict = Refuse(
    "leaves the data out, and a restore would empty the tables (leave tables out with --exclude-table)",
);
const A_PART: Verdict = Refuse("dumps only a part of what a restore needs");
const UPGRADE: Verdict = Refuse("is for pg_upgrade, and no other program can restore the dump");
const SILENT: Verdict = Refuse("makes a restore lose rows without an error");
const ELSEWHERE: Verdict =
    Refuse("makes a restore write rows to the servers behind foreign tables");
const SNAPSHOT: Verdict =
    Refuse("names a snapshot of a session that is over before the next backup");
const READING: Verdict = Refuse("changes how the dump is read");
const OUTPUT: Verdict =
    Refuse("changes what psql prints, by which kubestash knows that everything is loaded");
const STATEMENTS: Verdict =
    Refuse("prints statements with rows of your data, which would end up in messages");
const UNSEEN: Verdict = Left("what psql prints is not kept");
const ALONE: Verdict = Omits(
    "the dump holds nothing of what these need, such as types and functions of other schemas",
);
const VISIBLE: Verdict =
    Omits("the dump holds only the rows that its user may see, and a restore drops the others");
const NO_LOBS: Verdict = Omits("large objects are not in the dump");
const NO_DATABASES: Verdict = Omits("no database is in the dump");
const NO_POLICIES: Verdict = Omits("row-level security policies are not in the dump");
const NO_PUBLICATIONS: Verdict = Omits("publications are not in the dump");
const NO_SUBSCRIPTIONS: Verdict = Omits("subscriptions are not in the dump");
const NO_UNLOGGED: Verdict =
    Omits("the rows of unlogged tables are not in the dump, and a restore drops them");
const NO_RIGHTS: Verdict = Omits("rights (GRANT) are not in the dump");
const NO_OWNERS: Verdict =
    Omits("owners are not in the dump: what is restored belongs to who restores it");
const NO_PASSWORDS: Verdict = Omits("the passwords of roles are not in the dump");
const EXCLUDED: Verdict = Omits("what it names is not in the dump");
const EXCLUDED_ROWS: Verdict =
    Omits("the rows of what it names are not in the dump, and a restore drops them");
const SUPERUSER: Verdict = Told("only a superuser can restore the dump");

/// `pg_dump`.
pub(super) const DUMP: &[Opt] = &[
    // Where to connect, as whom, what to do with the output.
    valued("dbname", Some('d'), Database),
    refused_short("host", 'h', HOST),
    refused_short("port", 'p', HOST),
    refused_short("username", 'U', CREDENTIALS),
    refused_short("no-password", 'w', CREDENTIALS),
    refused_short("password", 'W', CREDENTIALS),
    refused_short("file", 'f', FILES),
    refused("filter", FILES),
    valued("format", Some('F'), PLAIN),
    valued("compress", Some('Z'), COMPRESSED),
    refused_short("jobs", 'j', PLAIN_ONLY),
    refused_short("create", 'C', CREATE),
    refused("restrict-key", OURS),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    // What nobody could restore, or what would change more than the database.
    on("data-only", Some('a'), NO_TABLES),
    on("no-schema", None, NO_TABLES),
    on("schema-only", Some('s'), NO_ROWS),
    on("no-data", None, NO_ROWS),
    on("statistics-only", None, A_PART),
    refused("section", A_PART),
    on("binary-upgrade", None, UPGRADE),
    on("on-conflict-do-nothing", None, SILENT),
    refused("include-foreign-data", ELSEWHERE),
    refused("snapshot", SNAPSHOT),
    valued("encoding", Some('E'), ENCODING),
    valued("extra-float-digits", None, DIGITS),
    // What to dump, and how.
    short("large-objects", 'b'),
    flag("blobs"),
    on("no-large-objects", Some('B'), NO_LOBS),
    on("no-blobs", None, NO_LOBS),
    short("clean", 'c'),
    valued("extension", Some('e'), ALONE),
    valued("schema", Some('n'), ALONE),
    valued("exclude-schema", Some('N'), EXCLUDED),
    on("no-owner", Some('O'), NO_OWNERS),
    needs_short("superuser", 'S'),
    valued("table", Some('t'), ALONE),
    valued("table-and-children", None, ALONE),
    valued("exclude-table", Some('T'), EXCLUDED),
    short("verbose", 'v'),
    on("no-privileges", Some('x'), NO_RIGHTS),
    on("no-acl", None, NO_RIGHTS),
    flag("attribute-inserts"),
    flag("column-inserts"),
    flag("disable-dollar-quoting"),
    flag("disable-triggers"),
    on("enable-row-security", None, VISIBLE),
    valued("exclude-extension", None, EXCLUDED),
    valued("exclude-table-and-children", None, EXCLUDED),
    valued("exclude-table-data", None, EXCLUDED_ROWS),
    valued("exclude-table-data-and-children", None, EXCLUDED_ROWS),
    flag("if-exists"),
    flag("inserts"),
    flag("load-via-partition-root"),
    needs("lock-wait-timeout"),
    flag("no-comments"),
    on("no-policies", None, NO_POLICIES),
    on("no-publications", None, NO_PUBLICATIONS),
    flag("no-security-labels"),
    flag("no-statistics"),
    on("no-subscriptions", None, NO_SUBSCRIPTIONS),
    flag("no-sync"),
    flag("no-synchronized-snapshots"),
    flag("no-table-access-method"),
    flag("no-tablespaces"),
    flag("no-toast-compression"),
    on("no-unlogged-table-data", None, NO_UNLOGGED),
    flag("quote-all-identifiers"),
    needs("role"),
    needs("rows-per-insert"),
    flag("sequence-data"),
    flag("serializable-deferrable"),
    flag("statistics"),
    flag("strict-names"),
    needs("sync-method"),
    on("use-set-session-authorization", None, SUPERUSER),
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
    valued("format", Some('F'), PLAIN),
    refused("restrict-key", OURS),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    on("data-only", Some('a'), NO_TABLES),
    on("no-schema", None, NO_TABLES),
    on("schema-only", Some('s'), NO_ROWS),
    on("no-data", None, NO_ROWS),
    on("statistics-only", None, A_PART),
    on("binary-upgrade", None, UPGRADE),
    on("on-conflict-do-nothing", None, SILENT),
    valued("encoding", Some('E'), ENCODING),
    valued("extra-float-digits", None, DIGITS),
    short("clean", 'c'),
    on("globals-only", Some('g'), NO_DATABASES),
    on("no-owner", Some('O'), NO_OWNERS),
    on("roles-only", Some('r'), NO_DATABASES),
    needs_short("superuser", 'S'),
    on("tablespaces-only", Some('t'), NO_DATABASES),
    short("verbose", 'v'),
    on("no-privileges", Some('x'), NO_RIGHTS),
    on("no-acl", None, NO_RIGHTS),
    flag("attribute-inserts"),
    flag("column-inserts"),
    flag("disable-dollar-quoting"),
    flag("disable-triggers"),
    needs("exclude-database"),
    valued("exclude-schema", None, EXCLUDED),
    valued("exclude-table", None, EXCLUDED),
    valued("exclude-table-data", None, EXCLUDED_ROWS),
    flag("if-exists"),
    flag("inserts"),
    flag("load-via-partition-root"),
    needs("lock-wait-timeout"),
    flag("no-comments"),
    on("no-policies", None, NO_POLICIES),
    on("no-publications", None, NO_PUBLICATIONS),
    on("no-role-passwords", None, NO_PASSWORDS),
    flag("no-security-labels"),
    flag("no-statistics"),
    on("no-subscriptions", None, NO_SUBSCRIPTIONS),
    flag("no-sync"),
    flag("no-table-access-method"),
    flag("no-tablespaces"),
    flag("no-toast-compression"),
    on("no-unlogged-table-data", None, NO_UNLOGGED),
    flag("quote-all-identifiers"),
    needs("role"),
    needs("rows-per-insert"),
    valued("schema", None, ALONE),
    flag("sequence-data"),
    flag("statistics"),
    valued("table", None, ALONE),
    on("use-set-session-authorization", None, SUPERUSER),
];

/// `psql`, as far as loading a dump goes.
pub(super) const CLIENT: &[Opt] = &[
    valued("dbname", Some('d'), Database),
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
    refused_short("variable", 'v', EXECUTES),
    refused_short("pset", 'P', EXECUTES),
    refused_short("list", 'l', NO_DUMP),
    refused_short("version", 'V', NO_DUMP),
    refused_short("help", '?', NO_DUMP),
    refused_short("single-step", 's', READING),
    refused_short("single-line", 'S', READING),
    on("echo-errors", Some('b'), STATEMENTS),
    on("echo-all", Some('a'), UNSEEN),
    on("echo-queries", Some('e'), UNSEEN),
    on("echo-hidden", Some('E'), UNSEEN),
    refused("csv", OUTPUT),
    refused_short("field-separator", 'F', OUTPUT),
    refused_short("html", 'H', OUTPUT),
    refused_short("record-separator", 'R', OUTPUT),
    refused_short("table-attr", 'T', OUTPUT),
    refused_short("expanded", 'x', OUTPUT),
    refused_short("field-separator-zero", 'z', OUTPUT),
    refused_short("record-separator-zero", '0', OUTPUT),
    short("no-align", 'A'),
    short("tuples-only", 't'),
    short("no-readline", 'n'),
    short("no-psqlrc", 'X'),
    short("quiet", 'q'),
    short("single-transaction", '1'),
];
