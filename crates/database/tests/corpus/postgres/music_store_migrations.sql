-- migration: new tables, types and functions come, and stay
CREATE TABLE later (id int PRIMARY KEY);
CREATE TYPE later_kind AS ENUM ('x');
CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SEQUENCE later_numbers;
-- afterwards
DROP TABLE later;
DROP TYPE later_kind;
DROP FUNCTION later;
DROP SEQUENCE later_numbers;

-- migration: a table is renamed with its indexes, and a view stands under its old name
-- refused: worker_pkey of table
ALTER TABLE worker RENAME TO worker_v2;
CREATE VIEW worker AS SELECT * FROM worker_v2;
-- afterwards
DROP TABLE worker_v2 CASCADE;

-- migration: types are dropped with all that uses them
DROP TYPE length CASCADE;
DROP TYPE kind CASCADE;
DROP DOMAIN positive CASCADE;

-- migration: a domain becomes a type, an enum a domain, and a composite type a table
DROP DOMAIN small CASCADE;
CREATE TYPE small AS (x int);
DROP TYPE kind CASCADE;
CREATE DOMAIN kind AS text;
DROP TYPE length CASCADE;
CREATE TABLE length (x int);

-- migration: an operator, a cast and an aggregate change
DROP OPERATOR <# (length, length);
CREATE OPERATOR <# (LEFTARG = length, RIGHTARG = length, FUNCTION = shorter, RESTRICT = scalarltsel);
DROP CAST (int AS length);
CREATE CAST (int AS length) WITH FUNCTION length_of(int) AS IMPLICIT;
DROP AGGREGATE total_length(length) CASCADE;
CREATE AGGREGATE total_length(length) (SFUNC = plus, STYPE = length);
DROP OPERATOR FAMILY lengths USING btree;

-- migration: search and collations change
DROP TEXT SEARCH CONFIGURATION titles CASCADE;
CREATE TEXT SEARCH CONFIGURATION titles (COPY = german);
ALTER TEXT SEARCH DICTIONARY plain (ACCEPT = true);
ALTER TABLE artist ALTER sorted TYPE text COLLATE "C", ALTER same TYPE varchar(20) COLLATE "POSIX";
DROP COLLATION by_number;

-- migration: partitions by list and hash are detached and made anew
ALTER TABLE track DETACH PARTITION track_rest;
DROP TABLE play_0;
CREATE TABLE play_0 PARTITION OF play FOR VALUES WITH (MODULUS 4, REMAINDER 0);

-- migration: a table of every type is made anew with other types
DROP TABLE every_type;
CREATE TABLE every_type (id text PRIMARY KEY);

-- migration: views become tables, and a materialized one a view
DROP VIEW songs;
CREATE TABLE songs (id int);
DROP MATERIALIZED VIEW by_artist;
CREATE VIEW by_artist AS SELECT 1 AS x;
DROP VIEW keyed CASCADE;
CREATE MATERIALIZED VIEW keyed AS SELECT 1 AS x;

-- migration: servers, wrappers and mappings change
DROP USER MAPPING FOR corpus_reader SERVER elsewhere;
ALTER SERVER elsewhere OPTIONS (SET host 'other');
DROP FOREIGN TABLE far_away;
CREATE TABLE far_away (id int);

-- migration: event triggers are dropped, enabled and see what is dropped
DROP EVENT TRIGGER told;
ALTER EVENT TRIGGER dropped ENABLE;
CREATE OR REPLACE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not now''; END';

-- migration: columns of extensions become plain ones
DROP EXTENSION hstore CASCADE;
DROP MATERIALIZED VIEW by_artist;
ALTER TABLE artist ALTER name TYPE text;

-- migration: a sequence moves to another owner, and goes on
ALTER SEQUENCE ticket OWNED BY NONE;
ALTER SEQUENCE ticket AS bigint MAXVALUE 1000000 NO CYCLE RESTART 77;

-- migration: the schema is dropped and made anew
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
COMMENT ON SCHEMA public IS 'standard public schema';
