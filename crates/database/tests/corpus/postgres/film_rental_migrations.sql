-- migration: nothing at all

-- migration: a column is renamed, and the views over it follow
ALTER TABLE rental.film RENAME minutes TO playing_time;
ALTER VIEW rental.film_list RENAME COLUMN tongue TO language;

-- migration: the key of a table becomes bigint, with its foreign key made anew
ALTER TABLE rental.loan DROP CONSTRAINT loan_member;
DROP VIEW rental.members;
ALTER TABLE rental.member ALTER id TYPE bigint;
DROP FUNCTION rental.owed;
ALTER TABLE rental.loan ALTER member TYPE bigint, ADD CONSTRAINT loan_member FOREIGN KEY (member) REFERENCES rental.member;

-- migration: a table is dropped, and what refers to it
DROP TABLE rental.film CASCADE;

-- migration: a column that is NOT NULL comes with a default
ALTER TABLE rental.film ADD region char(2) NOT NULL DEFAULT 'EU', ALTER summary SET DEFAULT '', ALTER rate DROP NOT NULL;

-- migration: a table is split into two, and the new one uses a type of the dump
-- refused: column mail of table rental.member_mail
CREATE TABLE rental.member_mail AS SELECT id, mail FROM rental.member;
DROP VIEW rental.members;
ALTER TABLE rental.member DROP mail;
-- afterwards
DROP TABLE rental.member_mail;

-- migration: a plain table is renamed, and a view stands under its old name
-- refused: index "odd ""Schema"."a table; --_pkey" of table
ALTER TABLE "odd ""Schema"."a table; --" RENAME TO v2;
CREATE VIEW "odd ""Schema"."a table; --" AS SELECT * FROM "odd ""Schema".v2;
-- afterwards
DROP TABLE "odd ""Schema".v2 CASCADE;

-- migration: a table with foreign keys is renamed, and a view stands under its old name
-- refused: constraint clerk_branch on table rental.clerk_v2
ALTER TABLE rental.clerk RENAME TO clerk_v2;
CREATE VIEW rental.clerk AS SELECT * FROM rental.clerk_v2;
-- afterwards
DROP TABLE rental.clerk_v2 CASCADE;

-- migration: a table comes into a schema of the dump
CREATE TABLE rental.later (x int);
GRANT CREATE ON SCHEMA rental TO corpus_reader, PUBLIC;
REVOKE USAGE ON SCHEMA rental FROM "corpus ""clerk""";
ALTER DEFAULT PRIVILEGES IN SCHEMA rental GRANT ALL ON SEQUENCES TO PUBLIC;
COMMENT ON SCHEMA "odd ""Schema" IS 'new';
CREATE TYPE "odd ""Schema".later AS ENUM ();
-- afterwards
DROP TABLE rental.later;
DROP TYPE "odd ""Schema".later;

-- migration: a table with an identity is renamed, and a view stands under its old name
-- refused: sequence rental.journal_id_seq of table rental.journal_v2
ALTER TABLE rental.journal RENAME TO journal_v2;
CREATE VIEW rental.journal AS SELECT * FROM rental.journal_v2;
-- afterwards
DROP TABLE rental.journal_v2 CASCADE;

-- migration: a table with a serial column is renamed, and a view stands under its old name
-- refused: default value for column id of table rental.tongue_v2
ALTER TABLE rental.tongue RENAME TO tongue_v2;
CREATE VIEW rental.tongue AS SELECT * FROM rental.tongue_v2;
-- afterwards
DROP TABLE rental.tongue_v2 CASCADE;

-- migration: an enum gets another value, and loses one
ALTER TYPE rental.rating ADD VALUE '21+' BEFORE 'it''s 18';
ALTER TYPE rental.rating RENAME VALUE '6+' TO '7+';

-- migration: an enum becomes a text
DROP VIEW rental.cheap;
ALTER TABLE rental.film ALTER rated DROP DEFAULT, ALTER rated TYPE text;
DROP TYPE rental.rating;

-- migration: partitions are detached, dropped and added
ALTER TABLE rental.payment DETACH PARTITION rental.payment_2023;
DROP TABLE rental.payment_else;
CREATE TABLE rental.payment_2030 PARTITION OF rental.payment FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');

-- migration: a partitioned table becomes a plain one
CREATE TABLE rental.plain AS SELECT * FROM rental.payment;
DROP TABLE rental.payment CASCADE;
ALTER TABLE rental.plain RENAME TO payment;
ALTER TABLE rental.payment ADD PRIMARY KEY (id);

-- migration: a view becomes a table, a materialized view a view, and a table a sequence
DROP VIEW rental.film_list;
CREATE TABLE rental.film_list (id int);
DROP MATERIALIZED VIEW rental.earnings CASCADE;
CREATE VIEW rental.earnings AS SELECT 1 AS month;
DROP TABLE rental.journal;
CREATE SEQUENCE rental.journal START 7;

-- migration: indexes and statistics are dropped, added and changed
DROP INDEX rental.film_upper, rental.film_recent, rental.branch_place;
CREATE INDEX film_upper ON rental.film (lower(title));
DROP STATISTICS rental.film_related;
CREATE INDEX branch_opens ON rental.branch USING brin (opens);

-- migration: the name of an index now is a table's
DROP INDEX rental.film_recent;
CREATE TABLE rental.film_recent (x int);

-- migration: triggers and functions get other bodies
CREATE OR REPLACE FUNCTION rental.film_noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
DROP TRIGGER loan_noted ON rental.loan;
CREATE TRIGGER loan_noted BEFORE DELETE ON rental.loan FOR EACH ROW EXECUTE FUNCTION rental.journal_note();
ALTER TABLE rental.film ENABLE TRIGGER never;

-- migration: a function gets another type, and a procedure becomes a function
DROP FUNCTION rental.is_out;
CREATE FUNCTION rental.is_out(int) RETURNS text LANGUAGE sql AS $$ SELECT 'out' $$;
DROP PROCEDURE rental.give_back;
CREATE FUNCTION rental.give_back(bigint, int) RETURNS int LANGUAGE sql AS 'SELECT 1';

-- migration: rows are updated and deleted in masses, and sequences go on
UPDATE rental.film SET title = title || '!', poster = NULL;
DELETE FROM rental.payment;
TRUNCATE rental.loan CASCADE;
SELECT setval('rental.loan_id_seq', 9999), nextval('rental.tongue_id_seq');
INSERT INTO rental.genre (label) VALUES ('new');

-- migration: owners and rights change
ALTER TABLE rental.film OWNER TO postgres;
ALTER TABLE rental.clerk OWNER TO corpus_reader;
ALTER SCHEMA rental OWNER TO corpus_reader;
REVOKE ALL ON rental.film FROM corpus_reader, "corpus ""clerk""" CASCADE;
GRANT ALL ON rental.clerk, rental.branch TO PUBLIC;
GRANT EXECUTE ON FUNCTION rental.is_out TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA rental REVOKE SELECT ON TABLES FROM corpus_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE corpus_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

-- migration: policies are dropped and changed
DROP POLICY own_branch ON rental.member;
ALTER POLICY no_change ON rental.member USING (false);
ALTER TABLE rental.member NO FORCE ROW LEVEL SECURITY;

-- migration: a schema is dropped
DROP SCHEMA "odd ""Schema" CASCADE;

-- migration: all schemas are dropped
DROP SCHEMA "odd ""Schema", rental CASCADE;

-- migration: a schema is renamed
ALTER SCHEMA "odd ""Schema" RENAME TO even;
-- afterwards
DROP SCHEMA IF EXISTS even CASCADE;

-- migration: large objects are changed, removed and added
SELECT lo_unlink(424242), lo_from_bytea(515151, 'x');
-- afterwards
SELECT lo_unlink(515151);

-- migration: a large object has other contents
SELECT lo_put(424242, 2, 'changed');
COMMENT ON LARGE OBJECT 424242 IS NULL;
GRANT UPDATE ON LARGE OBJECT 424242 TO corpus_reader;

-- migration: an extension is dropped, with what needs it
DROP EXTENSION pg_trgm CASCADE;
DROP EXTENSION btree_gist CASCADE;

-- migration: a publication gets other tables
DROP PUBLICATION loans;
CREATE PUBLICATION loans FOR ALL TABLES;

-- migration: inheritance ends, and generated columns become plain ones
ALTER TABLE rental.member NO INHERIT rental.person;
ALTER TABLE rental.film ALTER hours DROP EXPRESSION;
ALTER TABLE rental.film ALTER id DROP IDENTITY;

-- migration: a new table refers to one of the dump
CREATE TABLE rental.review (film bigint CONSTRAINT review_film REFERENCES rental.film);
-- refused: review_film
-- afterwards
DROP TABLE rental.review;
