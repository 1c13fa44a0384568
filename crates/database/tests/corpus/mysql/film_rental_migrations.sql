-- migration: nothing at all

-- migration: a column is renamed, and the view over it follows
ALTER TABLE film RENAME COLUMN minutes TO playing_time, DROP COLUMN hours

CREATE OR REPLACE VIEW film_list AS SELECT id, title, playing_time FROM film

-- migration: the key of a table becomes BIGINT, with its foreign keys made anew
ALTER TABLE loan DROP FOREIGN KEY loan_member

ALTER TABLE member MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT

ALTER TABLE loan MODIFY member BIGINT UNSIGNED NOT NULL, ADD CONSTRAINT loan_member FOREIGN KEY (member) REFERENCES member (id)

-- migration: a table is dropped, and what refers to it
DROP TABLE appears_in

DROP TABLE performer

-- migration: a column that is NOT NULL comes with a default, and the values of an enum change
ALTER TABLE film ADD COLUMN region CHAR(2) NOT NULL DEFAULT 'EU' AFTER title

ALTER TABLE film MODIFY rating ENUM('all', 'adults', '6+', '12+', '16+', 'it''s 18') DEFAULT 'adults'

UPDATE film SET rating = 'adults'

-- migration: a table is split into two
CREATE TABLE member_mail (member INT UNSIGNED PRIMARY KEY, mail VARCHAR(120), FOREIGN KEY (member) REFERENCES member (id))

INSERT INTO member_mail SELECT id, mail FROM member WHERE mail IS NOT NULL

DROP VIEW first_members, early_members

ALTER TABLE member DROP COLUMN mail

-- afterwards
DROP TABLE member_mail

-- migration: a table is renamed, and a view stands under its old name
RENAME TABLE journal TO journal_v2

CREATE VIEW journal AS SELECT id, what, by_whom FROM journal_v2

-- afterwards
DROP TABLE journal_v2

-- migration: a view becomes a table, and a table a view
CREATE TABLE kept AS SELECT month, total FROM earnings

DROP VIEW earnings

RENAME TABLE kept TO earnings

DROP TABLE payment

CREATE VIEW payment AS SELECT 1 AS id, 2 AS loan

-- migration: partitions are added, dropped and reorganized
ALTER TABLE payment DROP PARTITION until_2023

ALTER TABLE payment REORGANIZE PARTITION later INTO (PARTITION of_2025 VALUES LESS THAN ('2026-01-01'), PARTITION later VALUES LESS THAN (MAXVALUE))

-- migration: a partitioned table becomes a plain one
ALTER TABLE payment REMOVE PARTITIONING

ALTER TABLE payment ADD CONSTRAINT payment_loan FOREIGN KEY (loan) REFERENCES loan (id)

-- migration: tables get another character set and collation
ALTER TABLE film_words CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin

ALTER TABLE genre CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci

ALTER TABLE visits ENGINE = InnoDB ROW_FORMAT = COMPACT

-- migration: indexes are dropped, added and changed
ALTER TABLE film DROP INDEX words, DROP INDEX by_beginning, ADD INDEX by_beginning (title(3)), ADD UNIQUE KEY by_code (code)

ALTER TABLE branch DROP INDEX by_place

-- migration: triggers get other bodies and another order
DROP TRIGGER loan_noted

CREATE TRIGGER loan_noted AFTER INSERT ON loan FOR EACH ROW SET @seen = NEW.id

DROP TRIGGER film_changed

CREATE TRIGGER film_changed BEFORE UPDATE ON film FOR EACH ROW SET NEW.days = 7

-- migration: a trigger moves to another table
DROP TRIGGER film_gone

CREATE TRIGGER film_gone AFTER DELETE ON performer FOR EACH ROW SET @gone = OLD.id

-- migration: routines and events get other bodies and parameters
DROP FUNCTION owed

CREATE FUNCTION owed(of_member INT, since DATE) RETURNS INT DETERMINISTIC RETURN 0

DROP PROCEDURE give_back

CREATE PROCEDURE give_back() SELECT 'given back'

DROP EVENT once_only

ALTER EVENT forget_old ON SCHEDULE EVERY 2 HOUR ENABLE DO SELECT 1

-- migration: a procedure becomes a function of the same name
DROP PROCEDURE give_back

CREATE FUNCTION give_back() RETURNS INT DETERMINISTIC RETURN 1

-- afterwards
DROP FUNCTION give_back

-- migration: rows are updated and deleted in masses
UPDATE member SET name = CONCAT(name, '!'), joined = joined + INTERVAL 1 DAY

DELETE FROM payment

DELETE FROM loan WHERE returned IS NULL

TRUNCATE TABLE journal

INSERT INTO tongue (name) VALUES ('Latin'), ('Greek')

-- migration: a new table refers to one of the dump
CREATE TABLE review (id INT PRIMARY KEY, film INT UNSIGNED NOT NULL, CONSTRAINT review_film FOREIGN KEY (film) REFERENCES film (id))

INSERT INTO review VALUES (1, 7)

-- afterwards
DROP TABLE review

-- migration: a new table refers to a key that was widened after the backup
-- refused: shop.notice.member is bigint
ALTER TABLE loan DROP FOREIGN KEY loan_member

ALTER TABLE member MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT

CREATE TABLE notice (member BIGINT UNSIGNED, CONSTRAINT notice_member FOREIGN KEY (member) REFERENCES member (id))

-- afterwards
DROP TABLE notice

-- migration: the cycle of two tables is broken, and both are made anew with other types
ALTER TABLE branch DROP FOREIGN KEY branch_head

ALTER TABLE member DROP FOREIGN KEY member_branch

ALTER TABLE copy DROP FOREIGN KEY copy_branch

ALTER TABLE loan DROP FOREIGN KEY loan_clerk

DROP TABLE clerk

DROP TABLE branch

CREATE TABLE branch (id VARCHAR(9) PRIMARY KEY, head BIGINT)

CREATE TABLE clerk (id BIGINT PRIMARY KEY, branch VARCHAR(9), FOREIGN KEY (branch) REFERENCES branch (id))

-- migration: the database is dropped
DROP DATABASE shop

-- migration: the database gets another character set by default
ALTER DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci
