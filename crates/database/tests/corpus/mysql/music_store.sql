CREATE DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci

USE shop

CREATE TABLE artist (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(120) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  note TEXT CHARACTER SET ucs2
) COLLATE latin1_swedish_ci

INSERT INTO artist (name, note) VALUES ('Sigur Rós', 'í'), ('Мумий Тролль', 'Ж'), ('𝄞 clef', NULL), ('sigur rós', '')

CREATE TABLE album (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  artist INT NOT NULL,
  title VARCHAR(160) NOT NULL,
  UNIQUE KEY both_of (artist, title),
  CONSTRAINT album_artist FOREIGN KEY (artist) REFERENCES artist (id) ON DELETE CASCADE ON UPDATE RESTRICT
) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8

INSERT INTO album VALUES (1, 1, 'Straße'), (2, 1, 'Two; of "them"'), (3, 2, '')

CREATE TABLE track (
  id INT NOT NULL,
  album INT NULL,
  kind ENUM('song', 'spoken', 'noise') NOT NULL,
  name VARCHAR(200) NOT NULL,
  milliseconds INT UNSIGNED NOT NULL,
  price DECIMAL(10, 2) NOT NULL DEFAULT 0.99,
  seconds INT UNSIGNED AS (milliseconds DIV 1000) VIRTUAL,
  region TINYINT NOT NULL DEFAULT 1,
  PRIMARY KEY (id, region),
  KEY by_album (album, name(5) DESC)
) CHARACTER SET utf8mb4 PARTITION BY LIST (region) (
  PARTITION home VALUES IN (1, 2),
  PARTITION abroad VALUES IN (3, 4, NULL)
)

INSERT INTO track (id, album, kind, name, milliseconds, price, region) VALUES (1, 1, 'song', 'Ä "first"', 1000, 1.99, 1), (2, 1, 'noise', '\\', 4294967295, 0, 3), (1, NULL, 'spoken', '', 59999, 12345678.90, 4)

CREATE TABLE play (
  track INT NOT NULL,
  at DATETIME(3) NOT NULL,
  PRIMARY KEY (track, at)
) PARTITION BY HASH (track) PARTITIONS 3

INSERT INTO play VALUES (1, '2024-01-01 00:00:00.001'), (1, '2024-01-01 00:00:00.002'), (7, '2024-06-01'), (8, '0001-01-01')

CREATE TABLE rank_of (
  year INT NOT NULL,
  track INT NOT NULL,
  n INT,
  PRIMARY KEY (year, track)
) PARTITION BY RANGE (year) SUBPARTITION BY KEY (track) SUBPARTITIONS 2 (
  PARTITION p0 VALUES LESS THAN (2000),
  PARTITION p1 VALUES LESS THAN MAXVALUE
)

INSERT INTO rank_of VALUES (1999, 1, 1), (2024, 1, 2), (2024, 2, NULL)

CREATE TABLE `play list; --` (
  `key` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  `select` VARCHAR(40) NOT NULL,
  `a ``b"'.c` INT,
  UNIQUE KEY `an index; /*` (`select`),
  CONSTRAINT `it's checked` CHECK (`select` <> 'no')
) AUTO_INCREMENT = 18446744073709551000 COMMENT = 'with ''these'', "those", a \\ and\na second line; ünïcode'

INSERT INTO `play list; --` VALUES (1, 'Für Elise', 1), (18446744073709551614, '-- no comment', NULL)

CREATE TABLE worker (
  id INT NOT NULL PRIMARY KEY,
  boss INT,
  name VARCHAR(50) NOT NULL DEFAULT 'it''s "me"; \\',
  CONSTRAINT worker_boss FOREIGN KEY (boss) REFERENCES worker (id)
)

INSERT INTO worker VALUES (1, NULL, 'Ann'), (3, 1, 'Cid'), (2, 3, 'Bob')

CREATE TABLE customer (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, helper INT, name VARCHAR(80) NOT NULL,
  CONSTRAINT customer_helper FOREIGN KEY (helper) REFERENCES worker (id) ON DELETE SET NULL)

INSERT INTO customer VALUES (1, 2, 'Ö'), (2, NULL, 'p')

CREATE TABLE invoice (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, total DECIMAL(10, 2) NOT NULL, day DATE NOT NULL DEFAULT (CURRENT_DATE),
  CONSTRAINT invoice_customer FOREIGN KEY (customer) REFERENCES customer (id),
  CONSTRAINT invoice_total CHECK (total >= 0))

INSERT INTO invoice VALUES (1, 1, 1.98, '2024-02-29'), (2, 2, 0.00, '2000-01-01')

CREATE TABLE every_type (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  t TINYINT, s SMALLINT, m MEDIUMINT, b BIGINT, u BIGINT UNSIGNED, yes BOOLEAN,
  de DECIMAL(40, 20), f FLOAT, d DOUBLE, bi BIT(17),
  da DATE, dt DATETIME(6), ti TIME(3), ts TIMESTAMP(6) NULL DEFAULT NULL, y YEAR,
  c CHAR(5), v VARCHAR(300), tt TINYTEXT, mt MEDIUMTEXT CHARACTER SET utf8mb4, lt LONGTEXT,
  fb BINARY(4), vb VARBINARY(300), tb TINYBLOB, mb MEDIUMBLOB, lb LONGBLOB,
  e ENUM('a', 'b''c', ''), st SET('x', 'y', 'z'), j JSON,
  g GEOMETRY, p POINT, l LINESTRING, po POLYGON, mp MULTIPOINT, gc GEOMETRYCOLLECTION
)

INSERT INTO every_type (t, s, m, b, u, yes, de, f, d, bi) VALUES
(-128, -32768, -8388608, -9223372036854775808, 18446744073709551615, TRUE, '-1.00000000000000000001', 1.5, 2.2250738585072014e-308, b'10101'),
(127, 32767, 8388607, 9223372036854775807, 0, FALSE, '99999999999999999999.99999999999999999999', -0.125, 1.7976931348623157e308, b'11111111111111111')

INSERT INTO every_type (da, dt, ti, ts, y) VALUES
('9999-12-31', '9999-12-31 23:59:59.999999', '-838:59:59.000', '2024-10-27 00:30:00.125000', 2155),
('1000-01-01', '2024-02-29 00:00:00.000001', '838:59:58.999', '1970-01-02 00:00:01', 1901)

INSERT INTO every_type (c, v, tt, mt, lt, fb, vb, tb, mb, lb, e, st, j) VALUES
('ab', ' blanks  ', '\0\r\n\Z\t\b\'"\\', '😀𝄞日本', 'NULL', X'00', X'00FF27225C0A0D1A', '', X'80', X'C3', 'b''c', 'x,z', '{"a": 1.0, "b": "\\u0001\\""}'),
('', '', '\\N', '', '', X'FFFFFFFF', '', X'0A', '', '', '', '', 'null')

INSERT INTO every_type (g, p, l, po, mp, gc) VALUES
(ST_GeomFromText('POINT(1 2)'), ST_GeomFromText('POINT(-1.5 2.25)'), ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0)'), ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 0))'), ST_GeomFromText('MULTIPOINT(0 0, 1 1)'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))'))

CREATE TABLE on_air (slot INT NOT NULL PRIMARY KEY, what VARCHAR(20)) ENGINE = MEMORY MAX_ROWS = 100

INSERT INTO on_air VALUES (1, 'news'), (2, NULL)

CREATE TABLE exported (a INT NOT NULL, b VARCHAR(20) NOT NULL) ENGINE = CSV

INSERT INTO exported VALUES (1, 'a "b", c'), (1, 'a "b", c'), (2, '')

CREATE TABLE fast (a INT, b CHAR(10), KEY (b(3))) ENGINE = MyISAM ROW_FORMAT = FIXED DELAY_KEY_WRITE = 1 AVG_ROW_LENGTH = 20

INSERT INTO fast VALUES (NULL, NULL), (1, 'x')

CREATE TRIGGER invoice_total BEFORE UPDATE ON invoice FOR EACH ROW
BEGIN
  IF NEW.total < 0 THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'never; "negative"';
  END IF;
END

CREATE TRIGGER worker_gone BEFORE DELETE ON worker FOR EACH ROW UPDATE customer SET helper = NULL WHERE helper = OLD.id

CREATE VIEW `every song; --` AS SELECT t.id, t.name AS `the "name"`, a.title FROM track t LEFT JOIN album a ON a.id = t.album WHERE t.kind = 'song'

CREATE VIEW by_artist AS SELECT ar.name, COUNT(*) AS n, GROUP_CONCAT(al.title ORDER BY al.title SEPARATOR '; ') AS titles FROM artist ar JOIN album al ON al.artist = ar.id GROUP BY ar.name

CREATE VIEW chain AS WITH RECURSIVE up (id, path) AS (SELECT id, CAST(name AS CHAR(200)) FROM worker WHERE boss IS NULL UNION ALL SELECT w.id, CONCAT(up.path, ' > ', w.name) FROM worker w JOIN up ON up.id = w.boss) SELECT * FROM up

CREATE FUNCTION `how; long`(`of` VARCHAR(20) CHARACTER SET utf8mb4) RETURNS VARCHAR(20) CHARACTER SET latin1 DETERMINISTIC NO SQL COMMENT 'it''s "long"; \\'
RETURN CONCAT('ä', CHAR_LENGTH(`of`))

SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'

CREATE PROCEDURE ansi() BEGIN SELECT "name" || ';' FROM "worker"; END

CREATE VIEW ansi_view AS SELECT "name" || '!' AS loud FROM "worker"

SET sql_mode = DEFAULT

CREATE PROCEDURE loops(IN n INT)
BEGIN
  DECLARE i INT DEFAULT 0;
  DECLARE done INT DEFAULT FALSE;
  DECLARE c CURSOR FOR SELECT id FROM artist;
  DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE;
  OPEN c;
  again: LOOP
    FETCH c INTO i;
    IF done OR i > n THEN LEAVE again; END IF;
    CASE i WHEN 1 THEN SET @one = 'DELIMITER ;'; ELSE SET @one = '//'; END CASE;
  END LOOP;
  CLOSE c;
END
