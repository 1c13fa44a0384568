-- migration: indexes on expressions go, and an invisible one is shown
ALTER TABLE embedded DROP INDEX by_tags, DROP INDEX by_lower, ALTER INDEX hidden VISIBLE

-- migration: a vector becomes bytes, and a place loses its reference system
ALTER TABLE embedded MODIFY near VARBINARY(100)

ALTER TABLE embedded DROP INDEX place

ALTER TABLE embedded MODIFY place POINT NULL

-- migration: invisible columns are shown, and a check is enforced
ALTER TABLE embedded ALTER COLUMN secret SET VISIBLE

UPDATE embedded SET secret = secret + 200

ALTER TABLE embedded ALTER CHECK unforced ENFORCED

-- migration: a table gets a primary key that nobody sees, and views become tables
ALTER TABLE keyless ADD COLUMN my_row_id BIGINT NOT NULL AUTO_INCREMENT INVISIBLE PRIMARY KEY

DROP VIEW latest, embedded_tags

CREATE TABLE latest (x INT)
