use super::*;

mod documented;

fn words(text: &str) -> Vec<String> {
    parse(Tool::MySqlDump, text)
        .unwrap()
        .flags
        .into_iter()
        .map(|flag| flag.word)
        .collect()
}

#[test]
fn accepted_flags_become_single_words() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (
            "--set-gtid-purged=OFF --ignore-table=druid.druid_config",
            &["--set-gtid-purged=OFF", "--ignore-table=druid.druid_config"],
        ),
        (
            "  --ignore-table   druid.druid_config ",
            &["--ignore-table=druid.druid_config"],
        ),
        ("--ignore_table=a.b", &["--ignore-table=a.b"]),
        (
            "--where 'id > 5 and name = \"x y\"'",
            &["--where=id > 5 and name = \"x y\""],
        ),
        ("-w 'id > 5'", &["--where=id > 5"]),
        ("-w'id > 5'", &["--where=id > 5"]),
        ("-qRE", &["--quick", "--routines", "--events"]),
        ("-qw x=1", &["--quick", "--where=x=1"]),
        (
            "--skip-triggers --disable-events --routines=0",
            &["--skip-triggers", "--skip-events", "--skip-routines"],
        ),
        (
            "--loose-column-statistics=0 --loose-skip-ssl",
            &["--skip-column-statistics", "--skip-ssl"],
        ),
        (
            "--skip-dump_date=0 --enable-ssl=0",
            &["--dump-date", "--skip-ssl"],
        ),
        ("--max_allowed_packet=512M", &["--max-allowed-packet=512M"]),
        ("--disable-keys", &["--disable-keys"]),
        ("--opt --quick=1", &["--opt", "--quick"]),
        ("--rou", &["--routines"]),
        (
            "--where='; rm -rf / $(id) `id` | tee'",
            &["--where=; rm -rf / $(id) `id` | tee"],
        ),
        (
            "--ssl-mode=DISABLED --ssl",
            &["--ssl-mode=DISABLED", "--ssl"],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text), *expected, "{text}");
    }
}

#[test]
fn flags_that_redirect_are_refused_by_name_and_without_their_value() {
    let cases = [
        ("--host=evil", "--host"),
        ("--hos=evil", "--host"),
        ("--h=evil", "--host"),
        ("-hevil", "-host"),
        ("-h evil", "-host"),
        ("-qhevil", "-host"),
        ("--loose-host=evil", "--host"),
        ("--HOST=evil", "--host"),
        ("--user root", "--user"),
        ("-uroot", "--user"),
        ("--password=hunter2", "--password"),
        ("-phunter2", "--password"),
        ("--pass=hunter2", "--password"),
        ("--skip-password", "--skip-password"),
        ("--socket=/tmp/s", "--socket"),
        ("-S/tmp/s", "--socket"),
        ("--port 1", "--port"),
        ("-P1", "--port"),
        ("--protocol=socket", "--protocol"),
        ("--defaults-file=/tmp/x", "--defaults-file"),
        ("--defaults_extra_file=/tmp/x", "--defaults-extra-file"),
        ("--defaults-group-suffix=x", "--defaults-group-suffix"),
        ("--no-defaults", "--no-defaults"),
        ("--login-path=x", "--login-path"),
        ("--result-file=/etc/passwd", "--result-file"),
        ("--result_fil=/etc/passwd", "--result-file"),
        ("-r/etc/passwd", "--result-file"),
        ("-vr/etc/passwd", "--result-file"),
        ("--tab=/tmp", "--tab"),
        ("-T /tmp", "--tab"),
        ("--dir=/tmp", "--dir"),
        ("--log-error=/tmp/x", "--log-error"),
        ("--debug=d:t:o,/tmp/x", "--debug"),
        ("-#d:t:o,/tmp/x", "--debug"),
        ("--plugin-dir=/tmp", "--plugin-dir"),
        ("--default-auth=x", "--default-auth"),
        ("--init-command='drop database x'", "--init-command"),
        ("--character-sets-dir=/tmp", "--character-sets-dir"),
        ("--ssl-key=/etc/shadow", "--ssl-key"),
        ("--enable-cleartext-plugin", "--enable-cleartext-plugin"),
        ("--help", "--help"),
        ("-?", "--help"),
        ("--version", "--version"),
        ("--tables", "--tables"),
        ("-O host=x", "--set-variable"),
        // What nobody could restore.
        ("--xml", "--xml"),
        ("--xm", "--xml"),
        ("-X", "--xml"),
        ("-qX", "--xml"),
        ("-tX", "--no-create-info"),
        ("--xml=1", "--xml"),
        ("--skip-xml=0", "--xml"),
        ("--loose-xml", "--xml"),
        ("--enable-xml", "--xml"),
        ("--no-create-info", "--no-create-info"),
        ("--no_create_i", "--no-create-info"),
        ("--no-data", "--no-data"),
        ("-d", "--no-data"),
        ("--default-character-set=latin1", "--default-character-set"),
        ("--default-character-set latin1", "--default-character-set"),
        ("--default-char=binary", "--default-character-set"),
        ("--compatible=ansi", "--compatible"),
        ("--skip-create-options", "--skip-create-options"),
        ("--create-options=0", "--skip-create-options"),
        ("--disable-quote-names", "--skip-quote-names"),
        ("--skip-single-transaction", "--skip-single-transaction"),
        ("--fields-terminated-by=,", "--fields-terminated-by"),
        ("--parallel=4", "--parallel"),
        ("--force", "--force"),
        ("-f", "--force"),
        ("--ignore-error=1146", "--ignore-error"),
        ("--insert-ignore", "--insert-ignore"),
        ("--replace", "--replace"),
        ("--wildcards", "--wildcards"),
        // What would change more than the databases.
        ("--system=all", "--system"),
        ("--system=users", "--system"),
        ("--users", "--users"),
        ("--delete-master-logs", "--delete-master-logs"),
        ("--delete-source-logs", "--delete-source-logs"),
        ("--dump-slave", "--dump-slave"),
        ("--master-data", "--master-data"),
        ("--master-data=1", "--master-data"),
        ("--source-data=1", "--source-data"),
        ("--set-gtid-purged", "--set-gtid-purged"),
        ("--set-gtid-purged=ON", "--set-gtid-purged"),
        ("--set-gtid-purged=AUTO", "--set-gtid-purged"),
        ("--one-database=x", "--one-database"),
    ];
    for (text, flag) in cases {
        let error = parse(Tool::MySqlDump, text).unwrap_err();
        let ArgsError::Refused { flag: named, .. } = &error else {
            panic!("{text}: {error}");
        };
        assert_eq!(
            named.trim_start_matches('-'),
            flag.trim_start_matches('-'),
            "{text}"
        );
        for value in ["evil", "hunter2", "/tmp", "/etc"] {
            assert!(!error.to_string().contains(value), "{error}");
        }
        assert_eq!(error.kind(), "ArgsRefused");
    }
}

#[test]
fn what_is_no_flag_is_refused_with_a_remedy() {
    for text in ["-", "--", "--quick -- x", "''"] {
        let error = parse(Tool::MySqlDump, text).unwrap_err();
        assert!(matches!(error, ArgsError::Operand(_)), "{text}: {error}");
    }
    for text in ["; touch /tmp/x", "druid tables", "| tee", "&& id"] {
        let error = parse(Tool::MySqlDump, text).unwrap_err();
        assert!(
            matches!(error, ArgsError::SecondName { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("--databases a b"), "{error}");
    }
    for (text, option) in [("--quick=maybe", "quick"), ("--skip-opt=2", "opt")] {
        let error = parse(Tool::MySqlDump, text).unwrap_err();
        assert_eq!(error, ArgsError::Switch(option.to_owned()), "{text}");
    }
    assert!(matches!(
        parse(Tool::MySqlDump, "--where='x"),
        Err(ArgsError::Split(_))
    ));
    assert!(matches!(
        parse(Tool::MySqlDump, "--where"),
        Err(ArgsError::MissingValue(_))
    ));
    assert!(matches!(
        parse(Tool::MySqlDump, "--quick\0"),
        Err(ArgsError::Nul)
    ));
    assert!(matches!(
        parse(Tool::MySqlDump, "--ignore-t=x"),
        Err(ArgsError::Ambiguous(_))
    ));
}

#[test]
fn the_selection_of_databases_is_returned_not_passed_on() {
    let args = parse(Tool::MySqlDump, "--quick --databases a 'b c' --hex-blob").unwrap();
    assert_eq!(args.databases, ["a", "b c"]);
    assert_eq!(args.flags.len(), 2);
    let args = parse(Tool::MySqlDump, "--all-databases --ignore-database=mysql").unwrap();
    assert!(args.all_databases);
    assert_eq!(args.flags[0].word, "--ignore-database=mysql");
    assert!(parse(Tool::MySqlDump, "-A").unwrap().all_databases);
    assert_eq!(parse(Tool::MySqlDump, "-B x").unwrap().databases, ["x"]);
    assert!(matches!(
        parse(Tool::MySqlDump, "--databases"),
        Err(ArgsError::MissingValue(_))
    ));
}

#[test]
fn a_bare_word_is_the_database() {
    let named = |tool, text: &str| parse(tool, text).unwrap().databases;
    for text in [
        "mydb",
        "--quick mydb",
        "mydb --set-gtid-purged=OFF",
        "--skip-opt mydb",
    ] {
        assert_eq!(named(Tool::MySqlDump, text), ["mydb"], "{text}");
    }
    for text in ["--databases a --quick b", "a --databases b", "-B a b"] {
        assert_eq!(named(Tool::MySqlDump, text), ["a", "b"], "{text}");
    }
    for text in [
        "mydb",
        "--one-database=mydb",
        "--one-database mydb",
        "-o mydb",
        "--one-database=mydb mydb",
        "--database=mydb",
        "-D mydb",
        "-Dmydb --show-warnings",
    ] {
        assert_eq!(named(Tool::MySqlClient, text), ["mydb"], "{text}");
        assert!(
            parse(Tool::MySqlClient, text)
                .unwrap()
                .flags
                .iter()
                .all(|flag| flag.option == "show-warnings"),
            "{text}"
        );
    }
    for (tool, text) in [
        (Tool::MySqlClient, "a b"),
        (Tool::MySqlClient, "-D a b"),
        (Tool::MySqlClient, "--one-database=a b"),
        // The second word would be a user.
        (Tool::Psql, "a b"),
        (Tool::Psql, "-d a b"),
    ] {
        let error = parse(tool, text).unwrap_err();
        assert!(
            matches!(error, ArgsError::SecondName { .. }),
            "{text}: {error}"
        );
    }
    assert_eq!(
        parse(Tool::MySqlClient, "--one-database"),
        Err(ArgsError::MissingValue("one-database".to_owned()))
    );
}

#[test]
fn a_flag_nobody_has_heard_of_is_refused_with_the_one_that_was_meant() {
    let cases = [
        (
            Tool::MySqlDump,
            "--single-transactoin",
            Some("single-transaction"),
        ),
        (Tool::MySqlDump, "--skip-skip-events", None),
        (Tool::MySqlDump, "--from-the-future=1", None),
        (Tool::PgDump, "--exlcude-table=x", Some("exclude-table")),
        // What MySQL's clients take for a negation is a typing error here.
        (Tool::PgDump, "--skip-clean", None),
        (Tool::PgDump, "--loose-clean", None),
        (Tool::Psql, "--no-psqlcr", Some("no-psqlrc")),
    ];
    for (tool, text, meant) in cases {
        let error = parse(tool, text).unwrap_err();
        let ArgsError::Unknown { nearest, .. } = error else {
            panic!("{text}: {error}");
        };
        assert_eq!(nearest, meant, "{text}");
        assert_eq!(error.kind(), "ArgsInvalid");
    }
}

#[test]
fn a_flag_that_would_take_away_what_a_restore_needs_is_left_out_or_replaced_and_told() {
    let cases: &[(Tool, &str, &[&str], &str)] = &[
        (
            Tool::MySqlDump,
            "--compact",
            &[
                "--skip-add-drop-table",
                "--skip-add-locks",
                "--skip-disable-keys",
            ],
            "only be restored into an empty database",
        ),
        (
            Tool::MySqlDump,
            "--skip-opt",
            &[
                "--skip-add-drop-table",
                "--skip-add-locks",
                "--skip-disable-keys",
                "--skip-extended-insert",
            ],
            "only be restored into an empty database",
        ),
        (
            Tool::MySqlDump,
            "--opt=0 --add-drop-table",
            &[
                "--skip-add-drop-table",
                "--skip-add-locks",
                "--skip-disable-keys",
                "--skip-extended-insert",
                "--add-drop-table",
            ],
            "only be restored into an empty database",
        ),
        (
            Tool::MySqlDump,
            "--disable-add-drop-table",
            &["--skip-add-drop-table"],
            "only be restored into an empty database",
        ),
        (Tool::MySqlDump, "--skip-comments", &[], "by its comments"),
        (Tool::MySqlDump, "--skip-tz-utc", &[], "in UTC"),
        (Tool::MySqlDump, "--skip-hex-blob", &[], "hexadecimal"),
        (Tool::MySqlDump, "-N", &[], "character set"),
        (Tool::MySqlDump, "--skip-set-charset", &[], "character set"),
        (Tool::MySqlDump, "-n", &[], "always created"),
        (
            Tool::MySqlDump,
            "--where='id > 5'",
            &["--where=id > 5"],
            "a part of the rows",
        ),
        (
            Tool::MySqlDump,
            "--skip-events",
            &["--skip-events"],
            "events are not in the dump",
        ),
        (Tool::MySqlClient, "--skip-comments", &[], "triggers"),
        (Tool::MySqlClient, "--skip-binary-mode", &[], "as it is"),
        (
            Tool::PgDump,
            "-t demo",
            &["--table=demo"],
            "of what these need",
        ),
        (Tool::Psql, "--echo-all", &[], "not kept"),
    ];
    for (tool, text, expected, told) in cases {
        let args = parse(*tool, text).unwrap();
        let words: Vec<_> = args.flags.iter().map(|flag| flag.word.as_str()).collect();
        assert_eq!(words, *expected, "{text}");
        assert!(
            args.notes
                .iter()
                .chain(&args.omits)
                .any(|note| note.contains(told)),
            "{text}: {:?} {:?}",
            args.notes,
            args.omits
        );
    }
    let harmless = "--add-drop-table --comments --hex-blob --skip-xml --skip-no-data -q --default-character-set=UTF8MB4 --master-data=2 --set-gtid-purged=off";
    let args = parse(Tool::MySqlDump, harmless).unwrap();
    assert_eq!((args.notes, args.omits), (Vec::new(), Vec::new()));
}

#[test]
fn what_flags_keep_out_of_a_dump_is_known_with_their_words() {
    let cases = [
        (
            Tool::MySqlDump,
            "--ignore-table=a.b --skip-routines",
            vec![
                "--ignore-table=a.b: this table is not in the dump",
                "--skip-routines: routines are not in the dump",
            ],
        ),
        (
            Tool::PgDump,
            "-T x --no-owner",
            vec![
                "--exclude-table=x: what it names is not in the dump",
                "--no-owner: owners are not in the dump: what is restored belongs to who restores it",
            ],
        ),
    ];
    for (tool, text, expected) in cases {
        assert_eq!(parse(tool, text).unwrap().omits, expected, "{text}");
    }
}

#[test]
fn the_loading_client_has_rules_of_its_own() {
    for text in [
        "-e 'drop database x'",
        "--tee=/tmp/x",
        "--pager=sh",
        "--local-infile",
        "--local-infile=1",
        "--skip-local-infile=0",
        "--load-data-local-dir=/etc",
        "--force",
        "-f",
        "-Bf",
        "--named-commands",
        "-G",
        "--system-command",
        "--init-command=x",
        "--reconnect",
        "--safe-updates",
        "-U",
        "--select-limit=1",
        "--default-character-set=latin1",
        "--ignore-spaces",
        "--delimiter=//",
    ] {
        let error = parse(Tool::MySqlClient, text).unwrap_err();
        assert!(
            matches!(error, ArgsError::Refused { .. }),
            "{text}: {error}"
        );
    }
    let text = "--show-warnings --binary-mode --skip-local-infile --local-infile=0 --disable-tee --skip-reconnect";
    let args = parse(Tool::MySqlClient, text).unwrap();
    assert_eq!(args.flags.len(), 6);
}

#[test]
fn postgresqls_programs_have_rules_of_their_own() {
    let cases: [(Tool, &[&str]); 3] = [
        (
            Tool::PgDump,
            &[
                "--host=evil",
                "-h evil",
                "--hos=evil",
                "-p 1",
                "-U evil",
                "--username=evil",
                "-W",
                "--no-password",
                "-f /tmp/x",
                "--file=/tmp/x",
                "--filter=/tmp/x",
                "-Fc",
                "-F d",
                "--format=custom",
                "--form=tar",
                "-Z9",
                "-j 4",
                "-C",
                "--create",
                "--restrict-key=evil",
                "--help",
                "-V",
                "-d host=evil",
                "--dbname=postgres://evil/x",
                "'host=evil dbname=x'",
                "postgresql://hunter2@evil/x",
                "-Of/tmp/x",
                "--data-only",
                "-a",
                "-Oa",
                "--dat",
                "--schema-only",
                "-s",
                "--no-data",
                "--no-schema",
                "--section=data",
                "--section data",
                "--statistics-only",
                "--binary-upgrade",
                "--encoding=LATIN1",
                "-E SQL_ASCII",
                "-ESJIS",
                "--on-conflict-do-nothing",
                "--include-foreign-data=*",
                "--extra-float-digits=0",
                "--extra-float-digits=-15",
                "--snapshot=1",
            ],
        ),
        (
            Tool::PgDumpAll,
            &[
                "-l evil",
                "--database=evil",
                "-d host=evil",
                "-f/tmp/x",
                "-h evil",
                "-Uevil",
                "--data-only",
                "-s",
                "--no-data",
                "--statistics-only",
                "--encoding=LATIN1",
                "--binary-upgrade",
            ],
        ),
        (
            Tool::Psql,
            &[
                "-c 'drop table x'",
                "-f /tmp/x",
                "-o /tmp/x",
                "-L /tmp/x",
                "-v ON_ERROR_STOP=0",
                "--set=ON_ERROR_STOP=0",
                "--variable=x=y",
                "-P pager=evil",
                "-l",
                "-S",
                "-s",
                "-d service=evil",
                "-h evil",
                "-1h evil",
                "-b",
                "--csv",
                "-H",
                "-x",
                "-F,",
                "-0",
            ],
        ),
    ];
    for (tool, texts) in cases {
        for text in texts {
            let error = parse(tool, text).unwrap_err();
            assert!(
                matches!(error, ArgsError::Refused { .. }),
                "{tool} {text}: {error}"
            );
            for value in ["evil", "hunter2", "/tmp"] {
                assert!(!error.to_string().contains(value), "{error}");
            }
        }
    }
}

#[test]
fn postgresqls_databases_are_returned_however_they_are_named() {
    for text in [
        "demo",
        "-d demo",
        "-ddemo",
        "--dbname=demo",
        "--dbname demo",
        "-O demo",
    ] {
        let args = parse(Tool::PgDump, text).unwrap();
        assert_eq!(args.databases, ["demo"], "{text}");
    }
    let args = parse(
        Tool::PgDump,
        "-cO --exclude-table='a b' -n x -T y --disable-triggers -Fp -Z 0 -E utf8",
    )
    .unwrap();
    let words: Vec<_> = args.flags.iter().map(|flag| flag.word.as_str()).collect();
    assert_eq!(
        words,
        [
            "--clean",
            "--no-owner",
            "--exclude-table=a b",
            "--schema=x",
            "--exclude-table=y",
            "--disable-triggers",
            "--format=p",
            "--compress=0",
            "--encoding=utf8"
        ]
    );
    assert_eq!(parse(Tool::PgDump, "a -d b").unwrap().databases, ["b", "a"]);
    assert!(parse(Tool::PgDumpAll, "demo").is_err());
    assert_eq!(parse(Tool::Psql, "demo").unwrap().databases, ["demo"]);
}
