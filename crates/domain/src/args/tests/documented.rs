//! The tables against what the clients print of themselves.

use super::*;

/// What the newest clients say of themselves with `--help`, and what only others have: options with
/// their letters.
const DOCUMENTED: &[(Tool, &str)] = &[
    (
        Tool::MySqlDump,
        "-A,all-databases -Y,all-tablespaces -y,no-tablespaces add-drop-database add-drop-masking-policy \
         add-drop-table add-drop-trigger add-drop-user add-locks allow-keywords apply-replica-statements \
         apply-slave-statements bind-address character-sets-dir column-statistics -i,comments compatible \
         compact -c,complete-insert -C,compress -a,create-options -B,databases -#,debug debug-check \
         debug-info default-character-set delete-source-logs delete-master-logs -K,disable-keys dump-replica \
         dump-slave -E,events -e,extended-insert fields-terminated-by fields-enclosed-by \
         fields-optionally-enclosed-by fields-escaped-by -F,flush-logs flush-privileges -f,force -?,help \
         hex-blob -h,host ignore-error ignore-table exclude-user include-user include-source-host-port \
         include-master-host-port insert-ignore lines-terminated-by -x,lock-all-tables -l,lock-tables \
         log-error mysqld-long-query-time source-data masking-policies master-data max-allowed-packet \
         net-buffer-length no-autocommit -n,no-create-db -t,no-create-info -d,no-data -N,no-set-names opt \
         order-by-primary -p,password password1 password2 password3 -P,port protocol -q,quick -Q,quote-names \
         replace -r,result-file -R,routines set-charset set-gtid-purged single-transaction dump-date skip-opt \
         -S,socket server-public-key-path get-server-public-key ssl-mode ssl-ca ssl-capath ssl-cert \
         ssl-cipher ssl-key ssl-crl ssl-crlpath tls-version ssl-fips-mode tls-ciphersuites ssl-session-data \
         ssl-session-data-continue-on-failed-reuse tls-sni-servername -T,tab tables output-as-version \
         triggers tz-utc -u,user users -v,verbose -V,version -w,where -X,xml plugin-dir default-auth \
         enable-cleartext-plugin -M,network-timeout show-create-table-skip-secondary-engine \
         compression-algorithms zstd-compression-level skip-generated-invisible-primary-key init-command \
         init-command-add ignore-views",
    ),
    (
        Tool::MySqlDump,
        "-A,all-databases -Y,all-tablespaces -y,no-tablespaces add-drop-database add-drop-table \
         add-drop-trigger add-locks allow-keywords apply-slave-statements as-of character-sets-dir \
         -i,comments compatible compact -c,complete-insert -C,compress copy-s3-tables -a,create-options \
         -B,databases -#,debug debug-check debug-info default-character-set delayed-insert delete-master-logs \
         -D,dir -K,disable-keys dump-date -H,dump-history update-history dump-slave -E,events \
         -e,extended-insert fields-terminated-by fields-enclosed-by fields-optionally-enclosed-by \
         fields-escaped-by -F,flush-logs flush-privileges -f,force gtid header -?,help hex-blob -h,host \
         ignore-database ignore-table-data ignore-table include-master-host-port insert-ignore \
         lines-terminated-by -x,lock-all-tables -l,lock-tables log-error log-queries master-data \
         max-allowed-packet max-statement-time net-buffer-length no-autocommit -n,no-create-db \
         -t,no-create-info -d,no-data no-data-med -N,no-set-names opt order-by-primary order-by-size \
         -p,password -j,parallel -P,port protocol -q,quick -Q,quote-names replace -r,result-file -R,routines \
         set-charset single-transaction skip-opt -S,socket ssl ssl-ca ssl-capath ssl-cert ssl-cipher ssl-key \
         ssl-crl ssl-crlpath tls-version ssl-fp ssl-fplist ssl-verify-server-cert system -T,tab tables \
         triggers tz-utc -u,user -v,verbose -V,version -w,where -X,xml plugin-dir default-auth galera-info",
    ),
    (
        Tool::MySqlClient,
        "-?,help -I,help auto-rehash -A,no-auto-rehash auto-vertical-output -B,batch bind-address \
         binary-as-hex character-sets-dir column-type-info commands -c,comments -C,compress -#,debug \
         debug-check -T,debug-info -D,database default-character-set delimiter enable-cleartext-plugin \
         -e,execute -E,vertical -f,force histignore -G,named-commands -i,ignore-spaces init-command \
         init-command-add local-infile -b,no-beep -h,host dns-srv-name -H,html -X,xml line-numbers \
         -L,skip-line-numbers -n,unbuffered column-names -N,skip-column-names sigint-ignore -o,one-database \
         pager -p,password password1 password2 password3 -P,port prompt protocol -q,quick -r,raw reconnect \
         -s,silent -S,socket server-public-key-path get-server-public-key ssl-mode ssl-ca ssl-capath ssl-cert \
         ssl-cipher ssl-key ssl-crl ssl-crlpath tls-version ssl-fips-mode tls-ciphersuites ssl-session-data \
         ssl-session-data-continue-on-failed-reuse tls-sni-servername -t,table tee -u,user -U,safe-updates \
         -U,i-am-a-dummy -v,verbose -V,version -w,wait connect-timeout max-allowed-packet net-buffer-length \
         select-limit max-join-size show-warnings -j,syslog plugin-dir default-auth binary-mode \
         connect-expired-password network-namespace compression-algorithms zstd-compression-level \
         load-data-local-dir authentication-oci-client-config-profile oci-config-file \
         authentication-openid-connect-client-id-token-file telemetry-client \
         plugin-authentication-webauthn-client-preserve-privacy plugin-authentication-webauthn-device \
         register-factor system-command",
    ),
    (
        Tool::MySqlClient,
        "-?,help -I,help abort-source-on-error auto-rehash -A,no-auto-rehash auto-vertical-output -B,batch \
         binary-as-hex binary-mode character-sets-dir column-names -N,skip-column-names column-type-info \
         -c,comments -C,compress connect-expired-password connect-timeout -D,database -#,debug debug-check \
         -T,debug-info default-auth default-character-set delimiter enable-cleartext-plugin -e,execute \
         -f,force -h,host -H,html -i,ignore-spaces init-command line-numbers -L,skip-line-numbers \
         local-infile max-allowed-packet max-join-size -G,named-commands net-buffer-length -b,no-beep \
         -o,one-database pager -p,password plugin-dir -P,port print-query-on-error progress-reports prompt \
         protocol -q,quick quick-max-column-width -r,raw reconnect -U,safe-updates -U,i-am-a-dummy sandbox \
         secure-auth select-limit server-arg show-query-costs show-warnings sigint-ignore -s,silent -S,socket \
         ssl ssl-ca ssl-capath ssl-cert ssl-cipher ssl-key ssl-crl ssl-crlpath tls-version ssl-fp ssl-fplist \
         ssl-verify-server-cert -t,table tee -n,unbuffered -u,user -v,verbose -V,version -E,vertical -w,wait \
         -X,xml",
    ),
    (
        Tool::PgDump,
        "-f,file -F,format -j,jobs -v,verbose -V,version -Z,compress lock-wait-timeout no-sync sync-method \
         -?,help -a,data-only -b,large-objects blobs -B,no-large-objects no-blobs -c,clean -C,create \
         -e,extension -E,encoding -n,schema -N,exclude-schema -O,no-owner -s,schema-only -S,superuser \
         -t,table -T,exclude-table -x,no-privileges binary-upgrade column-inserts disable-dollar-quoting \
         disable-triggers enable-row-security exclude-extension exclude-table-and-children exclude-table-data \
         exclude-table-data-and-children extra-float-digits filter if-exists include-foreign-data inserts \
         load-via-partition-root no-comments no-data no-policies no-publications no-schema no-security-labels \
         no-statistics no-subscriptions no-table-access-method no-tablespaces no-toast-compression \
         no-unlogged-table-data on-conflict-do-nothing quote-all-identifiers restrict-key rows-per-insert \
         section sequence-data serializable-deferrable snapshot statistics statistics-only strict-names \
         table-and-children use-set-session-authorization -d,dbname -h,host -p,port -U,username \
         -w,no-password -W,password role",
    ),
    (
        Tool::PgDumpAll,
        "-f,file -v,verbose -V,version lock-wait-timeout -?,help -a,data-only -c,clean -E,encoding \
         -g,globals-only -O,no-owner -r,roles-only -s,schema-only -S,superuser -t,tablespaces-only \
         -x,no-privileges binary-upgrade column-inserts disable-dollar-quoting disable-triggers \
         exclude-database extra-float-digits filter if-exists inserts load-via-partition-root no-comments \
         no-data no-policies no-publications no-role-passwords no-schema no-security-labels no-statistics \
         no-subscriptions no-sync no-table-access-method no-tablespaces no-toast-compression \
         no-unlogged-table-data on-conflict-do-nothing quote-all-identifiers restrict-key rows-per-insert \
         sequence-data statistics statistics-only use-set-session-authorization -d,dbname -h,host -l,database \
         -p,port -U,username -w,no-password -W,password role",
    ),
    (
        Tool::Psql,
        "-c,command -d,dbname -f,file -l,list -v,set -v,variable -V,version -X,no-psqlrc \
         -1,single-transaction -?,help help -a,echo-all -b,echo-errors -e,echo-queries -E,echo-hidden \
         -L,log-file -n,no-readline -o,output -q,quiet -s,single-step -S,single-line -A,no-align csv \
         -F,field-separator -H,html -P,pset -R,record-separator -t,tuples-only -T,table-attr -x,expanded \
         -z,field-separator-zero -0,record-separator-zero -h,host -p,port -U,username -w,no-password \
         -W,password",
    ),
    (
        Tool::MySqlDump,
        "shared-memory-base-name login-path no-login-paths defaults-file defaults-extra-file defaults-group-suffix no-defaults print-defaults secure-auth set-variable dns-srv-name order-by-primary-desc wildcards galera-sst-mode",
    ),
    (
        Tool::MySqlClient,
        "shared-memory-base-name login-path no-login-paths dns-srv-name fido-register-factor plugin-authentication-kerberos-client-mode secure-auth script-dir",
    ),
    (
        Tool::PgDump,
        "no-synchronized-snapshots with-statistics no-acl attribute-inserts",
    ),
];

#[test]
fn every_option_of_every_client_is_in_the_table_with_its_letter() {
    let mut count = 0;
    for (tool, options) in DOCUMENTED {
        for option in options.split_whitespace() {
            let (letter, name) = match option.split_once(',') {
                Some((letter, name)) => (letter.strip_prefix('-'), name),
                None => (None, option),
            };
            let known = |flag: &str| {
                !matches!(
                    parse(*tool, &format!("--{flag}=1")),
                    Err(ArgsError::Unknown { .. } | ArgsError::Ambiguous(_))
                )
            };
            assert!(known(name), "{tool} --{name}");
            let table = tool.options();
            if let Some(letter) = letter {
                let of_letter = |option: &&Opt| option.short == letter.chars().next();
                let is_it = table
                    .iter()
                    .filter(of_letter)
                    .any(|found| found.name == name);
                assert!(is_it, "{tool} -{letter} is --{name}");
            }
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn no_letter_of_a_table_means_two_different_things() {
    for (tool, _) in DOCUMENTED {
        let table = tool.options();
        for option in table {
            let twins = |other: &&Opt| other.short == option.short && other.short.is_some();
            for other in table.iter().filter(twins) {
                assert!(
                    other.on == option.on && other.value == option.value,
                    "{tool} --{} --{}",
                    option.name,
                    other.name
                );
            }
        }
    }
}
