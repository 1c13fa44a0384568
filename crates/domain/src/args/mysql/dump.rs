//! `mysqldump` 5.7 to 9 and `mariadb-dump` 10.3 to 12.

use super::super::option::Value::{Joined, Switch};
use super::super::option::Verdict::{
    self, AllDatabases, As, Databases, Left, Omits, Only, Pass, Refuse, Told,
};
use super::super::option::{
    CREDENTIALS, EXECUTES, FILES, HOST, NO_DUMP, Opt, flag, joined, needs, off, on, opt, refused,
    refused_short, short, valued,
};
use super::{CHARACTERS, OPTION_FILES};

const TABLES: Verdict =
    Refuse("turns database names into table names (leave tables out with --ignore-table)");
const PATTERNS: Verdict = Refuse("reads the names of databases as patterns");
const ERRORS: Verdict =
    Refuse("leaves out what cannot be dumped, and the dump would look complete");
const TABBED: Verdict = Refuse("is for the files of --tab, which cannot be restored");
const ACCOUNTS: Verdict = Refuse(
    "dumps accounts or settings of the server itself, which a restore would change on its server",
);
const REPLICA: Verdict = Refuse("touches the replication of the server, or of the one restored to");
const LOGS: Verdict = Refuse("deletes the server's binary logs");
const POSITION: Verdict = Only(
    &["0", "2"],
    "would make a restore change the replication of its server; --master-data=2 writes the position as a comment",
);
const GTIDS: Verdict = Only(
    &["OFF", "COMMENTED"],
    "would make a restore change the replication of its server, and fail on one that has run transactions",
);
const OTHER_SQL: Verdict =
    Refuse("writes statements for other servers, which lose properties of tables");
const SILENT: Verdict = Refuse("makes a restore lose rows without an error");
const DELAYED: Verdict =
    Refuse("writes statements that most tables refuse, and others carry out after the restore");
const NO_TABLES: Verdict = Refuse(
    "leaves the definitions out, so that nobody can restore a lost database (leave tables out with --ignore-table)",
);
const NO_ROWS: Verdict = Refuse(
    "leaves the data out, and a restore would empty the tables (leave tables out with --ignore-table)",
);
const XML: Verdict = Refuse("writes XML, which cannot be restored");
const PROPERTIES: Verdict =
    Refuse("leaves engine, character set and AUTO_INCREMENT of the tables out");
const UNQUOTED: Verdict = Refuse("writes names that the server does not read back");
const TABLESPACES: Verdict =
    Refuse("writes statements that fail on every server that has the tablespaces");
const NOT_ONE_MOMENT: Verdict = Refuse(
    "creates a dump whose tables are from different moments (--lock-all-tables is another way to a consistent dump)",
);

const INTO_EMPTY: &str = "the dump does not drop what it creates: it can only be restored into an empty database, and a restore into another one is refused";
const NO_DROP: &[&str] = &[
    "--skip-add-drop-table",
    "--skip-add-locks",
    "--skip-disable-keys",
];
const NO_OPT: &[&str] = &[
    "--skip-add-drop-table",
    "--skip-add-locks",
    "--skip-disable-keys",
    "--skip-extended-insert",
];
const COMMENTS: Verdict = Left("a restore recognizes a complete dump by its comments");
const HEX: Verdict = Left("binary data is always written in hexadecimal");
const TIMES: Verdict = Left("times are always written in UTC, so that they do not change");
const CHARSET: Verdict = Left("the dump always says in which character set it is");
const BUFFERED: Verdict = Left("rows are never collected in memory");
const CREATES: Verdict = Left(
    "databases are always created where they are missing, so that a new server can be restored to",
);
const SOME_ROWS: Verdict =
    Omits("the dump holds only a part of the rows, and a restore drops the others");
const OLD_ROWS: Verdict = Omits("the dump holds rows of that time, not of now");
const NO_EVENTS: Verdict = Omits("events are not in the dump");
const NO_ROUTINES: Verdict = Omits("routines are not in the dump");
const NO_TRIGGERS: Verdict = Omits("triggers are not in the dump");
const NO_VIEWS: Verdict = Omits("views are not in the dump");
const NO_TABLE: Verdict = Omits("this table is not in the dump");
const NO_DATA: Verdict =
    Omits("the rows of this table are not in the dump, and a restore drops them");

/// The options.
pub(in super::super) const DUMP: &[Opt] = &[
    // Where to connect, as whom.
    refused_short("host", 'h', HOST),
    refused_short("port", 'P', HOST),
    refused_short("socket", 'S', HOST),
    refused_short("pipe", 'W', HOST),
    refused("protocol", HOST),
    refused("bind-address", HOST),
    refused("shared-memory-base-name", HOST),
    refused("dns-srv-name", HOST),
    refused("network-namespace", HOST),
    refused_short("user", 'u', CREDENTIALS),
    refused_short("password", 'p', CREDENTIALS),
    refused("password1", CREDENTIALS),
    refused("password2", CREDENTIALS),
    refused("password3", CREDENTIALS),
    refused("login-path", CREDENTIALS),
    refused("no-login-paths", OPTION_FILES),
    refused("enable-cleartext-plugin", CREDENTIALS),
    refused("default-auth", CREDENTIALS),
    refused("ssl-ca", FILES),
    refused("ssl-capath", FILES),
    refused("ssl-cert", FILES),
    refused("ssl-key", FILES),
    refused("ssl-crl", FILES),
    refused("ssl-crlpath", FILES),
    refused("ssl-session-data", FILES),
    refused("ssl-fplist", FILES),
    refused("server-public-key-path", FILES),
    refused("defaults-file", OPTION_FILES),
    refused("defaults-extra-file", OPTION_FILES),
    refused("defaults-group-suffix", OPTION_FILES),
    refused("no-defaults", OPTION_FILES),
    // Files, code, other output.
    refused_short("result-file", 'r', FILES),
    refused_short("tab", 'T', FILES),
    refused_short("dir", 'D', FILES),
    refused("log-error", FILES),
    refused("character-sets-dir", FILES),
    refused_short("debug", '#', FILES),
    refused("plugin-dir", EXECUTES),
    refused("plugin-authentication-kerberos-client-mode", CREDENTIALS),
    refused(
        "plugin-authentication-webauthn-client-preserve-privacy",
        CREDENTIALS,
    ),
    refused("plugin-authentication-webauthn-device", CREDENTIALS),
    refused("authentication-oci-client-config-profile", CREDENTIALS),
    refused("authentication-openid-connect-client-id-token-file", FILES),
    refused("oci-config-file", FILES),
    refused("init-command", EXECUTES),
    refused("init-command-add", EXECUTES),
    refused_short("set-variable", 'O', EXECUTES),
    refused_short("help", '?', NO_DUMP),
    refused_short("version", 'V', NO_DUMP),
    refused("print-defaults", NO_DUMP),
    refused("tables", TABLES),
    refused("wildcards", PATTERNS),
    // The selection of databases.
    opt("all-databases", Some('A'), Joined, AllDatabases, Pass),
    opt("databases", Some('B'), Joined, Databases, Pass),
    needs("ignore-database"),
    refused(
        "one-database",
        Refuse("is for restores; name the database to dump instead"),
    ),
    // What nobody could restore, or what would change more than the databases.
    on("xml", Some('X'), XML),
    on("no-create-info", Some('t'), NO_TABLES),
    on("no-data", Some('d'), NO_ROWS),
    on("all-tablespaces", Some('Y'), TABLESPACES),
    on("insert-ignore", None, SILENT),
    on("replace", None, SILENT),
    on("delayed-insert", None, DELAYED),
    on("force", Some('f'), ERRORS),
    refused("ignore-error", ERRORS),
    refused("compatible", OTHER_SQL),
    off("create-options", Some('a'), PROPERTIES),
    off("quote-names", Some('Q'), UNQUOTED),
    off("single-transaction", None, NOT_ONE_MOMENT),
    valued("default-character-set", None, CHARACTERS),
    refused("system", ACCOUNTS),
    on("users", None, ACCOUNTS),
    on("add-drop-user", None, ACCOUNTS),
    refused("include-user", ACCOUNTS),
    refused("exclude-user", ACCOUNTS),
    on("delete-master-logs", None, LOGS),
    on("delete-source-logs", None, LOGS),
    on("apply-replica-statements", None, REPLICA),
    on("apply-slave-statements", None, REPLICA),
    opt("dump-replica", None, Joined, REPLICA, Pass),
    opt("dump-slave", None, Joined, REPLICA, Pass),
    on("include-master-host-port", None, REPLICA),
    on("include-source-host-port", None, REPLICA),
    on("galera-info", None, REPLICA),
    on("galera-sst-mode", None, REPLICA),
    opt("master-data", None, Joined, POSITION, Pass),
    opt("source-data", None, Joined, POSITION, Pass),
    opt("set-gtid-purged", None, Joined, GTIDS, Pass),
    refused("fields-enclosed-by", TABBED),
    refused("fields-escaped-by", TABBED),
    refused("fields-optionally-enclosed-by", TABBED),
    refused("fields-terminated-by", TABBED),
    refused("lines-terminated-by", TABBED),
    refused_short("parallel", 'j', TABBED),
    on("header", None, TABBED),
    // What only fits an empty database.
    off("opt", None, As(NO_OPT, INTO_EMPTY)),
    on("compact", None, As(NO_DROP, INTO_EMPTY)),
    off("add-drop-table", None, Told(INTO_EMPTY)),
    // What would take something away that a restore needs.
    off("comments", Some('i'), COMMENTS),
    off("hex-blob", None, HEX),
    off("tz-utc", None, TIMES),
    off("set-charset", None, CHARSET),
    opt("no-set-names", Some('N'), Switch, CHARSET, CHARSET),
    off("quick", Some('q'), BUFFERED),
    on("no-create-db", Some('n'), CREATES),
    // What to dump, and how.
    valued("where", Some('w'), SOME_ROWS),
    valued("as-of", None, OLD_ROWS),
    off("events", Some('E'), NO_EVENTS),
    off("routines", Some('R'), NO_ROUTINES),
    off("triggers", None, NO_TRIGGERS),
    on("ignore-views", None, NO_VIEWS),
    short("no-tablespaces", 'y'),
    flag("add-drop-database"),
    flag("add-drop-masking-policy"),
    flag("add-drop-trigger"),
    flag("add-locks"),
    flag("allow-keywords"),
    flag("column-statistics"),
    short("complete-insert", 'c'),
    short("compress", 'C'),
    needs("compression-algorithms"),
    joined("copy-s3-tables"),
    flag("debug-check"),
    flag("debug-info"),
    short("disable-keys", 'K'),
    flag("dump-date"),
    short("dump-history", 'H'),
    short("extended-insert", 'e'),
    short("flush-logs", 'F'),
    flag("flush-privileges"),
    flag("get-server-public-key"),
    flag("gtid"),
    valued("ignore-table", None, NO_TABLE),
    valued("ignore-table-data", None, NO_DATA),
    short("lock-all-tables", 'x'),
    short("lock-tables", 'l'),
    flag("log-queries"),
    flag("masking-policies"),
    needs("max-allowed-packet"),
    needs("max-statement-time"),
    needs("mysqld-long-query-time"),
    needs("net-buffer-length"),
    short("network-timeout", 'M'),
    flag("no-autocommit"),
    flag("no-data-med"),
    flag("order-by-primary"),
    flag("order-by-primary-desc"),
    flag("order-by-size"),
    joined("output-as-version"),
    flag("secure-auth"),
    flag("show-create-skip-secondary-engine"),
    flag("show-create-table-skip-secondary-engine"),
    flag("skip-generated-invisible-primary-key"),
    flag("ssl"),
    needs("ssl-cipher"),
    needs("ssl-fips-mode"),
    needs("ssl-fp"),
    needs("ssl-mode"),
    flag("ssl-verify-server-cert"),
    flag("ssl-session-data-continue-on-failed-reuse"),
    needs("tls-ciphersuites"),
    needs("tls-sni-servername"),
    needs("tls-version"),
    flag("update-history"),
    short("verbose", 'v'),
    needs("zstd-compression-level"),
];
