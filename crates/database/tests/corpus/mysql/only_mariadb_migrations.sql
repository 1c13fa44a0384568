-- migration: a sequence becomes a table, and a table a sequence
DROP TABLE numbered

DROP SEQUENCE ticket

CREATE TABLE ticket (n INT)

DROP TABLE aria

CREATE SEQUENCE aria

-- migration: a sequence goes on, and another one changes
DO SETVAL(ticket, 5000)

ALTER SEQUENCE backward RESTART -77 INCREMENT BY -5

-- migration: a sequence becomes a view
DROP SEQUENCE backward

CREATE VIEW backward AS SELECT 1 AS n

-- migration: a column is shown, an index used, and a table forgets its versions
ALTER TABLE numbered MODIFY secret INT DEFAULT 8, ALTER INDEX by_secret NOT IGNORED, DROP COLUMN long_note

ALTER TABLE versioned DROP SYSTEM VERSIONING

ALTER TABLE booked DROP INDEX room

-- migration: a package goes, and an aggregate becomes a plain function
SET sql_mode = ORACLE

DROP PACKAGE counting

SET sql_mode = DEFAULT

CREATE OR REPLACE FUNCTION product_of(x INT) RETURNS INT RETURN x
