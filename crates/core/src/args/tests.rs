use super::*;

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
            "--skip-triggers --disable-events",
            &["--skip-triggers", "--disable-events"],
        ),
        ("--loose-column-statistics=0", &["--column-statistics=0"]),
        ("--max_allowed_packet=512M", &["--max-allowed-packet=512M"]),
        ("--disable-keys", &["--disable-keys"]),
        ("--skip-opt --quick=1", &["--skip-opt", "--quick=1"]),
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
    for text in [
        "druid",
        "; touch /tmp/x",
        "--quick extra",
        "-",
        "--",
        "--quick -- x",
        "| tee",
        "&& id",
    ] {
        let error = parse(Tool::MySqlDump, text).unwrap_err();
        assert!(matches!(error, ArgsError::Operand(_)), "{text}: {error}");
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
fn a_flag_nobody_has_heard_of_is_marked() {
    let args = parse(
        Tool::MySqlDump,
        "--single-transactoin --set-gtid-purged=OFF",
    )
    .unwrap();
    assert!(!args.flags[0].documented);
    assert!(args.flags[1].documented);
    assert_eq!(args.flags[1].option(), "set-gtid-purged");
    assert_eq!(args.flags[1].value(), Some("OFF"));
}

#[test]
fn the_loading_client_has_rules_of_its_own() {
    for text in [
        "-e 'drop database x'",
        "--tee=/tmp/x",
        "--pager=sh",
        "--local-infile",
        "-D other",
        "--force",
        "-f",
        "--one-database=druid",
    ] {
        let error = parse(Tool::MySqlClient, text).unwrap_err();
        assert!(
            matches!(error, ArgsError::Refused { .. }),
            "{text}: {error}"
        );
    }
    let args = parse(Tool::MySqlClient, "--show-warnings --binary-mode").unwrap();
    assert_eq!(args.flags.len(), 2);
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
        "-cO --exclude-table='a b' -n x -T y --disable-triggers -Fp -Z 0",
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
            "--compress=0"
        ]
    );
    // What MySQL's clients take for a negation is a typing error here.
    let args = parse(Tool::PgDump, "--skip-clean").unwrap();
    assert!(!args.flags[0].documented);
    assert!(parse(Tool::PgDumpAll, "demo").is_err());
    assert_eq!(parse(Tool::Psql, "demo").unwrap().databases, ["demo"]);
}
