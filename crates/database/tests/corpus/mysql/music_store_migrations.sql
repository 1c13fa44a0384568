-- migration: everything becomes utf8mb4
ALTER TABLE worker CONVERT TO CHARACTER SET utf8mb4

ALTER TABLE album CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci

ALTER TABLE every_type CONVERT TO CHARACTER SET utf8mb4

-- migration: row formats, engines and defaults change
ALTER TABLE album ROW_FORMAT = DYNAMIC KEY_BLOCK_SIZE = 0

ALTER TABLE fast ENGINE = InnoDB ROW_FORMAT = DYNAMIC

ALTER TABLE on_air ENGINE = InnoDB

ALTER TABLE worker ALTER name SET DEFAULT 'nobody', COMMENT = 'new'

-- migration: partitions by list, hash and key are added, merged and removed
ALTER TABLE track REORGANIZE PARTITION abroad INTO (PARTITION near VALUES IN (3), PARTITION far VALUES IN (4, 5))

ALTER TABLE play COALESCE PARTITION 2

ALTER TABLE rank_of REMOVE PARTITIONING

-- migration: a table of every type is dropped and made anew with other types
DROP TABLE every_type

CREATE TABLE every_type (id VARCHAR(10) PRIMARY KEY, t TEXT, g INT, j BLOB)

-- migration: a table with an odd name becomes a view
DROP TABLE `play list; --`

CREATE VIEW `play list; --` AS SELECT 1 AS `key`

DROP VIEW `every song; --`

CREATE TABLE `every song; --` (x INT)

-- migration: a table with foreign keys and a trigger is renamed, and a view stands under its old name
-- refused: foreign key invoice_customer of shop.invoice_v1
-- refused: trigger invoice_total of shop.invoice_v1
RENAME TABLE invoice TO invoice_v1

CREATE VIEW invoice AS SELECT id, customer, total FROM invoice_v1

-- afterwards
DROP TABLE invoice_v1

-- migration: a table with a trigger is copied to a new one, which takes its place
-- refused: foreign key worker_boss of shop.worker_old
-- refused: trigger worker_gone of shop.worker_old
CREATE TABLE worker_new (id INT NOT NULL PRIMARY KEY, boss INT, name VARCHAR(99), KEY (boss), CONSTRAINT worker_new_boss FOREIGN KEY (boss) REFERENCES worker_new (id))

INSERT INTO worker_new SELECT id, NULL, name FROM worker

ALTER TABLE customer DROP FOREIGN KEY customer_helper

RENAME TABLE worker TO worker_old, worker_new TO worker

-- afterwards
DROP TABLE worker_old
