CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci

USE shop

CREATE TABLE tongue (
  id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  name CHAR(20) NOT NULL COMMENT 'in its own words: "Français", ''日本語'', a \\ and a ; too',
  UNIQUE KEY by_name (name)
) COMMENT = 'tongues that a film''s sound comes in -- not a comment'

INSERT INTO tongue (name) VALUES ('Français'), ('日本語'), ('O''odham'), ('English 😀')

CREATE TABLE genre (
  id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  above SMALLINT UNSIGNED NULL,
  label VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german1_ci NOT NULL,
  CONSTRAINT genre_above FOREIGN KEY (above) REFERENCES genre (id) ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT genre_not_itself CHECK (label <> '')
) AUTO_INCREMENT = 100

INSERT INTO genre (id, above, label) VALUES (1, NULL, 'Spiel'), (2, 1, 'Komödie'), (3, 2, 'Groteske'), (9, NULL, 'Ungewöhnlich')

CREATE TABLE film (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  title VARCHAR(200) NOT NULL,
  summary TEXT,
  made_in YEAR DEFAULT NULL,
  tongue TINYINT UNSIGNED NOT NULL,
  dubbed_from TINYINT UNSIGNED NULL,
  genre SMALLINT UNSIGNED NULL DEFAULT NULL,
  days TINYINT UNSIGNED NOT NULL DEFAULT 3,
  rate DECIMAL(4, 2) NOT NULL DEFAULT 4.99,
  minutes SMALLINT UNSIGNED DEFAULT NULL,
  rating ENUM('all', '6+', '12+', '16+', 'it''s 18') DEFAULT 'all',
  extras SET('trailer', 'comments', 'cut scenes', 'a "making of"') DEFAULT NULL,
  details JSON DEFAULT NULL,
  poster MEDIUMBLOB,
  hours DECIMAL(6, 3) AS (minutes / 60) STORED,
  shelf VARCHAR(201) AS (UPPER(LEFT(title, 1))) VIRTUAL,
  code CHAR(36) NOT NULL DEFAULT (UUID()),
  changed TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  PRIMARY KEY (id),
  UNIQUE KEY once (title, made_in),
  KEY by_tongue (tongue),
  KEY by_beginning (title(10), made_in DESC),
  KEY by_shelf (shelf),
  FULLTEXT KEY words (title, summary),
  CONSTRAINT film_tongue FOREIGN KEY (tongue) REFERENCES tongue (id) ON UPDATE CASCADE,
  CONSTRAINT film_dubbed FOREIGN KEY (dubbed_from) REFERENCES tongue (id) ON UPDATE CASCADE,
  CONSTRAINT film_genre FOREIGN KEY (genre) REFERENCES genre (id) ON DELETE SET NULL,
  CONSTRAINT film_days CHECK (days BETWEEN 1 AND 60 AND rate >= 0)
) COMMENT = 'Films; 映画'

INSERT INTO film (id, title, summary, made_in, tongue, dubbed_from, genre, rating, minutes, extras, details, poster, code, changed) VALUES
(1, 'The Lighthouse Keeper''s Clock', 'It stops.\nIt goes on; "again" \\ and again', 1999, 4, NULL, 1, 'all', 101, 'trailer,cut scenes', '{"cast": ["A", "é😀"], "n": 1.5, "deep": {"x": null}}', X'00FF27225C0A0D1A', 'code-1', '2024-03-31 01:30:00.125'),
(2, 'Zwölf Äpfel', NULL, 2004, 1, 2, 2, 'it''s 18', 95, '', NULL, '', 'code-2', '2024-10-27 00:30:00.000'),
(7, '静かな湖', '-- quiet\n/* lake */', NULL, 2, NULL, NULL, '12+', NULL, NULL, '[]', NULL, 'code-3', '2024-01-01 00:00:00.001')

CREATE TABLE performer (
  id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  first_name VARCHAR(45) NOT NULL,
  last_name VARCHAR(45) NOT NULL,
  born DATE NULL,
  height FLOAT NULL,
  KEY by_last_name (last_name, first_name)
) ROW_FORMAT = DYNAMIC

INSERT INTO performer (first_name, last_name, born, height) VALUES ('Ada', 'Ångström', '1950-02-28', 1.75), ('Bo', 'O''Neill', '1960-12-31', 1.8), ('Cleo', '', NULL, NULL)

CREATE TABLE appears_in (
  performer SMALLINT UNSIGNED NOT NULL,
  film INT UNSIGNED NOT NULL,
  part VARCHAR(60) COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  PRIMARY KEY (performer, film),
  KEY by_film (film),
  CONSTRAINT appears_performer FOREIGN KEY (performer) REFERENCES performer (id) ON DELETE CASCADE,
  CONSTRAINT appears_film FOREIGN KEY (film) REFERENCES film (id) ON DELETE CASCADE
)

INSERT INTO appears_in VALUES (1, 1, 'Keeper'), (2, 1, 'keeper'), (1, 2, 'Apfel'), (3, 7, '湖')

CREATE TABLE branch (
  id TINYINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  head SMALLINT UNSIGNED NULL,
  place POINT NOT NULL,
  opens TIME NOT NULL DEFAULT '09:00:00',
  SPATIAL KEY by_place (place)
)

CREATE TABLE clerk (
  id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  branch TINYINT UNSIGNED NOT NULL,
  name VARCHAR(45) NOT NULL,
  secret VARBINARY(40) DEFAULT NULL,
  active BIT(1) NOT NULL DEFAULT b'1',
  CONSTRAINT clerk_branch FOREIGN KEY (branch) REFERENCES branch (id)
)

INSERT INTO branch (id, place) VALUES (1, ST_GeomFromText('POINT(13.4 52.5)')), (2, ST_GeomFromText('POINT(-0.1 51.5)'))

INSERT INTO clerk (id, branch, name, secret, active) VALUES (1, 1, 'Mia', X'0001FE', b'1'), (2, 2, 'Nils', NULL, b'0')

UPDATE branch SET head = id

ALTER TABLE branch ADD CONSTRAINT branch_head FOREIGN KEY (head) REFERENCES clerk (id)

CREATE TABLE member (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  branch TINYINT UNSIGNED NOT NULL,
  name VARCHAR(90) NOT NULL,
  mail VARCHAR(120) DEFAULT NULL,
  joined DATETIME(6) NOT NULL,
  UNIQUE KEY by_mail (mail),
  CONSTRAINT member_branch FOREIGN KEY (branch) REFERENCES branch (id)
)

INSERT INTO member VALUES (1, 1, 'Ute "Uschi" Müller', 'ute@example.org', '2020-01-02 03:04:05.678901'), (2, 2, 'Vi', NULL, '2021-06-07 00:00:00'), (5, 2, 'Will', 'will@example.org', '2022-02-02 22:22:22.2')

CREATE TABLE copy (
  id MEDIUMINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  film INT UNSIGNED NOT NULL,
  branch TINYINT UNSIGNED NOT NULL,
  KEY by_branch (branch, film),
  CONSTRAINT copy_film FOREIGN KEY (film) REFERENCES film (id),
  CONSTRAINT copy_branch FOREIGN KEY (branch) REFERENCES branch (id)
)

INSERT INTO copy VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 7, 2)

CREATE TABLE loan (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  copy MEDIUMINT UNSIGNED NOT NULL,
  member INT UNSIGNED NOT NULL,
  clerk SMALLINT UNSIGNED NOT NULL,
  begun DATETIME NOT NULL,
  returned DATETIME NULL,
  UNIQUE KEY once (begun, copy, member),
  CONSTRAINT loan_copy FOREIGN KEY (copy) REFERENCES copy (id),
  CONSTRAINT loan_member FOREIGN KEY (member) REFERENCES member (id),
  CONSTRAINT loan_clerk FOREIGN KEY (clerk) REFERENCES clerk (id),
  CONSTRAINT loan_forward CHECK (returned IS NULL OR returned >= begun)
)

INSERT INTO loan VALUES (1, 1, 1, 1, '2024-01-01 10:00:00', '2024-01-03 10:00:00'), (2, 2, 2, 2, '2024-02-01 10:00:00', NULL), (9, 4, 5, 2, '2024-03-01 10:00:00', NULL)

CREATE TABLE payment (
  id INT NOT NULL AUTO_INCREMENT,
  paid DATE NOT NULL,
  loan BIGINT NOT NULL,
  amount DECIMAL(7, 2) NOT NULL,
  PRIMARY KEY (id, paid),
  KEY by_loan (loan)
) PARTITION BY RANGE COLUMNS (paid) (
  PARTITION until_2023 VALUES LESS THAN ('2024-01-01') COMMENT = 'the past',
  PARTITION of_2024 VALUES LESS THAN ('2025-01-01'),
  PARTITION later VALUES LESS THAN (MAXVALUE)
)

INSERT INTO payment VALUES (1, '2023-12-31', 1, 4.99), (2, '2024-01-03', 1, 0.01), (3, '2026-07-07', 9, 12345.67)

CREATE TABLE film_words (film INT UNSIGNED NOT NULL PRIMARY KEY, words TEXT, FULLTEXT KEY (words)) ENGINE = InnoDB

CREATE TABLE visits (day DATE NOT NULL, path VARCHAR(80) NOT NULL, n INT NOT NULL, PRIMARY KEY (day, path), FULLTEXT KEY (path)) ENGINE = MyISAM CHECKSUM = 1

INSERT INTO visits VALUES ('2024-01-01', '/films/1?a=''b''', 7), ('2024-01-02', '/', 0)

CREATE TABLE journal (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  what VARCHAR(200) NOT NULL,
  by_whom VARCHAR(100) NOT NULL DEFAULT 'nobody'
)

CREATE TRIGGER film_added AFTER INSERT ON film FOR EACH ROW
BEGIN
  -- the words; of the title and the "summary"
  INSERT INTO film_words VALUES (NEW.id, CONCAT_WS(' ', NEW.title, NEW.summary));
END

CREATE TRIGGER film_changed AFTER UPDATE ON film FOR EACH ROW
IF NOT (OLD.title <=> NEW.title) THEN
  UPDATE film_words SET words = CONCAT_WS(' ', NEW.title, NEW.summary) WHERE film = NEW.id;
END IF

CREATE TRIGGER film_gone AFTER DELETE ON film FOR EACH ROW DELETE FROM film_words WHERE film = OLD.id

CREATE TRIGGER loan_begins BEFORE INSERT ON loan FOR EACH ROW SET NEW.begun = COALESCE(NEW.begun, NOW())

CREATE TRIGGER loan_noted AFTER INSERT ON loan FOR EACH ROW INSERT INTO journal (what) VALUES (CONCAT('loan ', NEW.id))

CREATE TRIGGER loan_noted_twice AFTER INSERT ON loan FOR EACH ROW FOLLOWS loan_noted INSERT INTO journal (what) VALUES (CONCAT('once more: ', NEW.id, '; ''ä'''))

INSERT INTO film_words SELECT id, CONCAT_WS(' ', title, summary) FROM film

INSERT INTO loan (copy, member, clerk, begun) VALUES (3, 1, 1, '2024-04-01 10:00:00')

CREATE FUNCTION is_out(of_copy MEDIUMINT UNSIGNED) RETURNS BOOLEAN READS SQL DATA COMMENT 'whether a copy is with a member'
BEGIN
  DECLARE found INT;
  SELECT COUNT(*) INTO found FROM loan WHERE copy = of_copy AND returned IS NULL;
  RETURN found > 0;
END

CREATE FUNCTION owed(of_member INT) RETURNS DECIMAL(9, 2) DETERMINISTIC READS SQL DATA SQL SECURITY INVOKER
RETURN (SELECT COALESCE(SUM(amount), 0) FROM payment JOIN loan ON loan.id = payment.loan WHERE loan.member = of_member)

CREATE PROCEDURE give_back(IN which BIGINT, INOUT happened INT, OUT days INT)
BEGIN
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN SET happened = -1; END;
  UPDATE loan SET returned = NOW() WHERE id = which AND returned IS NULL;
  SET happened = ROW_COUNT();
  SELECT DATEDIFF(returned, begun) INTO days FROM loan WHERE id = which;
END

CREATE VIEW film_list AS SELECT f.id, f.title, t.name AS tongue, g.label AS genre, f.rate
FROM film f JOIN tongue t ON t.id = f.tongue LEFT JOIN genre g ON g.id = f.genre

CREATE VIEW cheap_films AS SELECT * FROM film_list WHERE rate < 5

CREATE VIEW early_members AS SELECT id, branch, name, mail, joined FROM member WHERE joined < '2022-01-01' WITH CASCADED CHECK OPTION

CREATE SQL SECURITY INVOKER VIEW first_members AS SELECT * FROM early_members WHERE id < 100 WITH LOCAL CHECK OPTION

CREATE ALGORITHM = TEMPTABLE VIEW earnings (month, total) AS SELECT DATE_FORMAT(paid, '%Y-%m'), SUM(amount) FROM payment GROUP BY 1

CREATE EVENT forget_old ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 03:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'the ''old'' ones'
DO BEGIN
  DELETE FROM journal WHERE id < 0;
END

CREATE EVENT once_only ON SCHEDULE AT '2037-12-31 23:59:59' DO INSERT INTO journal (what) VALUES ('the end; really')
