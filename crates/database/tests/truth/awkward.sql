SET sql_mode = ''

CREATE DATABASE `we``ird db; --x 日本` CHARACTER SET utf8mb4

USE `we``ird db; --x 日本`

CREATE TABLE `t a``b"'.c` (`key` INT PRIMARY KEY, `select` TEXT, `group` LONGBLOB, KEY `an index; --` (`select`(10)))
COMMENT 'with a ''quote'', a "double one" and a \\ backslash'

INSERT INTO `t a``b"'.c` (`key`, `select`) VALUES
(1, NULL), (2, ''), (3, 'NULL'), (4, '\\N'), (5, '😀𝄞 \0\r\n\Z\t\b\'"\\ ß 日本語'),
(6, '-- no comment\n/* nor this */; DELIMITER //\n//\\! date'), (7, ' trailing blanks  '), (8, '\\'), (9, '\n')

CREATE TABLE types (
  i INT PRIMARY KEY AUTO_INCREMENT, d DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, t TIME(3), y YEAR, b BIT(17), b1 BIT(1),
  f DOUBLE, de DECIMAL(40, 20), e ENUM('a', 'b''c', ''), s SET('x', 'y'), j JSON, g GEOMETRY, v VARBINARY(300),
  fix BINARY(4), i6 INET6, u UUID, bi BIGINT UNSIGNED, c CHAR(5) CHARACTER SET latin1, u2 TEXT CHARACTER SET ucs2
) AUTO_INCREMENT = 4711

INSERT INTO types VALUES (-5, '0000-00-00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '-838:59:59.999', 0, b'10101', b'1',
  1 / 3e0, '-1.00000000000000000001', '', '', '{"a": 1.0, "b": "\\u0000\\"" }', ST_GeomFromText('POINT(1 2)'), X'00ff27225c0a0d1a',
  X'00', '::1', '123e4567-e89b-12d3-a456-426614174000', 18446744073709551615, 'é', '日本')

INSERT INTO types (d, dt, ts, y, t) VALUES ('2024-02-00', '2024-02-29 23:59:59.999999', '2024-10-27 00:30:00.125', 2155, '00:00:00.001')

INSERT INTO types (f) VALUES (2.2250738585072014e-308), (1.7976931348623157e308), (-0e0), (0.1)

SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'

INSERT INTO types (i) VALUES (0)

SET sql_mode = ''

CREATE TABLE a_child (id INT PRIMARY KEY, parent INT)

CREATE TABLE parent (id INT PRIMARY KEY, self INT, FOREIGN KEY (self) REFERENCES parent (id) ON DELETE CASCADE)

INSERT INTO parent VALUES (1, NULL), (2, 1), (3, 2)

INSERT INTO a_child VALUES (1, 3), (2, NULL)

ALTER TABLE a_child ADD CONSTRAINT `of the``parent` FOREIGN KEY (parent) REFERENCES parent (id)

CREATE TABLE z_child (
  id INT PRIMARY KEY, a INT NOT NULL, b INT AS (a * 2) VIRTUAL, c INT AS (a + 1) STORED, d VARCHAR(50) DEFAULT (CONCAT('x', UUID())),
  secret INT INVISIBLE DEFAULT 7, KEY (b), CHECK (a > 0)
) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)

INSERT INTO z_child (id, a) VALUES (1, 10), (20, 30)

CREATE TABLE counts (n INT) ENGINE = MyISAM

INSERT INTO counts VALUES (0)

CREATE SEQUENCE numbers START WITH 100 INCREMENT BY 10

DO NEXTVAL(numbers)

CREATE VIEW `a view of a view` AS SELECT 1 AS one, `key` FROM `t a``b"'.c`

CREATE FUNCTION f_half(x INT) RETURNS DOUBLE DETERMINISTIC RETURN x / 2

CREATE VIEW seen AS SELECT v.`key`, f_half(v.`key`) AS half, z.b FROM `a view of a view` v LEFT JOIN z_child z ON z.id = v.`key`

SET sql_mode = 'ANSI_QUOTES'

CREATE TRIGGER counted AFTER INSERT ON "z_child" FOR EACH ROW BEGIN UPDATE counts SET n = n + 1; /* a ; and a // */ END

SET sql_mode = 'STRICT_ALL_TABLES'

CREATE TRIGGER counted_too AFTER INSERT ON z_child FOR EACH ROW FOLLOWS counted UPDATE counts SET n = n + 100

CREATE PROCEDURE p(IN x INT, OUT y TEXT CHARACTER SET utf8mb4) COMMENT 'it''s one' SQL SECURITY INVOKER
BEGIN
  -- a comment;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET y = 'no; 😀'; END;
  SET y = CONCAT('\n;', x, '\\');
END

CREATE EVENT `every day` ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'c' DO INSERT INTO counts VALUES (1)

SET time_zone = '+05:00'

CREATE EVENT elsewhere ON SCHEDULE AT '2037-01-01 00:00:00' DO BEGIN DELETE FROM counts; SELECT 'x;'; END
