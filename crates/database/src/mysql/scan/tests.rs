use proptest::prelude::*;

use super::*;

const ENDS: &str = "-- Dump completed on 2026-12-01  4:30:00\n";

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

#[test]
fn what_a_dump_of_the_clients_holds_stands_against_nothing() {
    let text = format!(
        "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB\n--\n-- Host: h\n\
         /*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n\
         /*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n\
         SET @@SESSION.SQL_LOG_BIN= 0;\n\
         /*!50112 SELECT COUNT(*) INTO @is_rocksdb_supported FROM INFORMATION_SCHEMA.SESSION_VARIABLES */;\n\
         /*!50112 SET @s = IF (@is_rocksdb_supported, 'SET SESSION rocksdb_bulk_load = 1', 'SET @d = 0') */;\n\
         /*!50112 PREPARE s FROM @s */;\n/*!50112 EXECUTE s */;\n\
         CREATE DATABASE /*!32312 IF NOT EXISTS*/ `mysql2` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;\nUSE `mysql2`;\n\
         DROP TABLE IF EXISTS `user`;\n/*!40101 SET @saved_cs_client     = @@character_set_client */;\n\
         CREATE TABLE `user` (`a``b` text DEFAULT 'it''s; \\'' COMMENT \"GRANT\");\n\
         LOCK TABLES `user` WRITE;\nINSERT INTO `user` VALUES (1,'SET GLOBAL x=1; \\\\'),(0xFF00,_binary 'a\\0\\'\n;'),(5 - -3,'');\n\
         UNLOCK TABLES;\n/*!50003 SET @saved_sql_mode = @@sql_mode */ ;\n\
         /*!50003 SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\n\
         /*!50003 CREATE*/ /*!50017 DEFINER=`user`@`localhost`*/ /*!50003 TRIGGER t BEFORE INSERT ON \"x;;y\" FOR EACH ROW BEGIN\n\
         SET GLOBAL x = 1; GRANT ALL ON *.* TO a; SET @a = 'no escape \\'; /* ;; */ END */;;\nDELIMITER ;\n\
         /*!50003 SET sql_mode = @saved_sql_mode */ ;\nSET @x = 'it\\'s';\n\
         /*!50106 CREATE*/ /*!50117 DEFINER=`r`@`%`*/ /*!50106 EVENT e ON SCHEDULE EVERY 1 DAY DO FLUSH LOGS */;\n\
         CREATE TABLE t (a int) -- a comment; GRANT\n;\n# SHUTDOWN;\nSELECT \\N;\n\
         /*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n{ENDS}"
    );
    let found = scan(&text);
    assert_eq!(found.refused.told(), "");
    assert_eq!(found.changes.told(), "");
    assert_eq!(found.ending(), Ending::Said);
    assert_eq!(found.sandbox, text.find('\n').unwrap() as u64 + 1);
}

#[test]
fn commands_for_the_client_itself_are_refused() {
    for evil in [
        "system id\n;",
        "source /etc/passwd\n;",
        "\\! id\n",
        "SELECT 1 \\g\n;",
        "\\. /etc/passwd\n",
        "tee /tmp/x\n;",
        "/*M!999999\\- x */\n/*M!999999\\- x */\nSELECT 1;",
        "SELECT '\\''; \\! id\n",
        "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; \\! id\n",
        "SELECT 1 delimiter $$\n$$",
        "DELIMITER 'x'\nSELECT 1;",
        "SET sql_mode = CONCAT('NO_BACKSLASH', '_ESCAPES');",
        "SET @old = 'x', sql_mode = @mine;",
        "SELECT 1;\0\n",
        "-- \0\n",
    ] {
        assert!(!scan(evil).refused.is_empty(), "{evil:?}");
    }
    for good in [
        "SELECT '\\! id\n';",
        "SELECT `\\! id`;",
        "-- \\! id\n",
        "/* \\! id */;",
        "INSERT INTO t VALUES ('\0');",
        "SET SESSION sql_mode = DEFAULT;",
        "SET @@session.sql_mode = 'ANSI';",
    ] {
        assert_eq!(scan(good).refused.told(), "", "{good:?}");
    }
}

#[test]
fn what_changes_the_server_or_reaches_out_is_found_in_every_spelling() {
    for text in [
        "CREATE USER x;",
        "/*!50001 CREATE*/ /*!50001 USER x */;",
        "create/**/or replace user x;",
        "ALTER USER root IDENTIFIED BY 'x';",
        "DROP ROLE x;",
        "RENAME USER a TO b;",
        "GRANT ALL ON *.* TO x;",
        "REVOKE ALL ON *.* FROM x;",
        "SET PASSWORD FOR root = 'x';",
        "SET DEFAULT ROLE x;",
        "SET GLOBAL x = 1;",
        "SET @a = 1, @@GLOBAL.x = 1;",
        "SET @@persist.x = 1;",
        "SET PERSIST_ONLY x = 1;",
        "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-5';",
        "SET STATEMENT x = 1 FOR GRANT ALL ON *.* TO x;",
        "USE mysql;",
        "USE `MySQL`;",
        "INSERT INTO mysql.user VALUES (1);",
        "REPLACE INTO `mysql` . `global_priv` VALUES (1);",
        "UPDATE LOW_PRIORITY mysql.user SET x = 1;",
        "DELETE FROM sys.x;",
        "TRUNCATE TABLE performance_schema.x;",
        "ALTER TABLE mysql.user ADD x int;",
        "DROP TABLE IF EXISTS a, mysql.user;",
        "CREATE TABLE IF NOT EXISTS mysql.x (a int);",
        "DROP DATABASE mysql;",
        "LOAD DATA LOCAL INFILE '/etc/shadow' INTO TABLE t;",
        "LOAD DATA INFILE '/etc/shadow' INTO TABLE t;",
        "SELECT 1 INTO OUTFILE '/tmp/x';",
        "SELECT 1 INTO DUMPFILE '/tmp/x';",
        "INSERT INTO t VALUES (LOAD_FILE('/etc/passwd'));",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so';",
        "INSTALL PLUGIN x SONAME 'x.so';",
        "INSTALL SONAME 'x';",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'evil');",
        "CHANGE MASTER TO MASTER_HOST='evil';",
        "STOP SLAVE;",
        "START REPLICA;",
        "RESET MASTER;",
        "FLUSH PRIVILEGES;",
        "SHUTDOWN;",
        "KILL 1;",
        "PREPARE s FROM 'GRANT ALL ON *.* TO x';",
        "PREPARE s FROM 'GRANT ' 'ALL ON *.* TO x';",
        "SET @s = 'SET\\nGLOBAL x = 1';",
        "EXECUTE IMMEDIATE 'drop user x';",
        "BEGIN NOT ATOMIC GRANT ALL ON *.* TO x; END;",
        "DELIMITER //\nGRANT ALL ON *.* TO x //\nDELIMITER ;\n",
    ] {
        let found = scan(text);
        assert!(!found.changes.is_empty(), "{text}: {found:?}");
    }
    for text in [
        "CREATE TABLE mysql (user int);",
        "INSERT INTO user VALUES ('GRANT ALL ON *.* TO x');",
        "START TRANSACTION;",
        "SET @a = @@GLOBAL.x;",
        "SET NAMES utf8mb4;",
        "CREATE DEFINER=`user`@`%` PROCEDURE p() SELECT LOAD_FILE('x');",
        "CREATE DEFINER=CURRENT_USER() FUNCTION f() RETURNS INT RETURN 1;",
        "CREATE ALGORITHM=UNDEFINED DEFINER=`r`@`%` SQL SECURITY DEFINER VIEW v AS SELECT * FROM mysql.user;",
        "INSERT INTO t SELECT * FROM mysql.user;",
        "/*!80000 ANALYZE TABLE t UPDATE HISTOGRAM ON a WITH 100 BUCKETS */;",
        "ALTER DATABASE `d` CHARACTER SET latin1 COLLATE latin1_swedish_ci;",
        "CHECK TABLE t;",
    ] {
        assert_eq!(scan(text).changes.told(), "", "{text}");
    }
}

#[test]
fn what_a_dump_ends_within_is_known() {
    for (text, within) in [
        ("SELECT 'a", "a quoted string"),
        ("SELECT \"a\\\"", "a quoted string"),
        ("SELECT `a", "a quoted name"),
        ("/* a", "a comment"),
        ("/*!50001 SELECT 1", "a comment"),
        ("SELECT 1", "a statement"),
        ("DELIMITER ;;\nSELECT 1;", "a statement"),
    ] {
        assert_eq!(scan(text).ending(), Ending::Within(within), "{text}");
        assert_eq!(
            scan(&format!("{ENDS}{text}")).ending(),
            Ending::Within(within),
            "{text}"
        );
    }
    assert_eq!(scan("SELECT 1;\n").ending(), Ending::Unsaid);
    assert_eq!(scan(&format!("{ENDS}SELECT 1;\n")).ending(), Ending::Unsaid);
    assert_eq!(scan("SELECT 1;\n-- Dump completed").ending(), Ending::Said);
    assert_eq!(
        scan(&format!("SELECT '\n{ENDS}';\n")).ending(),
        Ending::Unsaid
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_a_dump_is_cut_into_pieces_the_same_is_found(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "'", "''", "\\", "\\'", "\"", "`", "a", "--", "-- ", "#", "/*", "/*!50001 ", "/*M!", "*/", "/", "-", ";",
                ";;", "\n", "DELIMITER ;;\n", "DELIMITER ;\n", "DELIMITER //\n", "GRANT x;", "(", ")", "1", " ", "\0", "ä",
                "SET sql_mode = 'ANSI_QUOTES';", "SET sql_mode = 'NO_BACKSLASH_ESCAPES';", "-- Dump completed\n", "\\!",
            ]),
            0..40,
        ),
        size in 1_usize..9,
    ) {
        let text = parts.concat();
        prop_assert_eq!(scanned(text.as_bytes(), size), scanned(text.as_bytes(), usize::MAX));
    }

    #[test]
    fn text_stays_text_whatever_it_holds(text in ".{0,60}") {
        let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
        let doubled = text.replace('\\', "\\\\").replace('"', "\"\"");
        let name = text.replace('`', "``");
        let comment = text.replace(['\n', '\r', '\0'], "");
        let dump = format!(
            "INSERT INTO t VALUES ('{escaped}',\"{doubled}\");\n-- {comment}\nCREATE TABLE t (`{name}` int);\n{ENDS}"
        );
        let found = scanned(dump.as_bytes(), 13);
        prop_assert!(found.refused.is_empty() && found.changes.is_empty(), "{:?}", found);
        prop_assert_eq!(found.ending(), Ending::Said);
    }
}
