CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE COLLATION by_number (provider = icu, locale = 'en-u-kn-true');
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
COMMENT ON COLLATION by_number IS '2 before 10';

-- Types with functions, operators and casts of their own.
CREATE TYPE length AS (minutes int, seconds int);
CREATE TYPE kind AS ENUM ('song', 'spoken', 'noise');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN small AS positive CHECK (VALUE < 100) NOT NULL;
CREATE DOMAIN kinds AS kind[] CONSTRAINT not_none CHECK (cardinality(VALUE) > 0);
CREATE FUNCTION seconds_of(length) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS 'SELECT $1.minutes * 60 + $1.seconds';
CREATE FUNCTION length_of(int) RETURNS length IMMUTABLE STRICT LANGUAGE sql AS 'SELECT ROW($1 / 60, $1 % 60)::public.length';
CREATE FUNCTION plus(length, length) RETURNS length IMMUTABLE STRICT LANGUAGE sql AS 'SELECT public.length_of(public.seconds_of($1) + public.seconds_of($2))';
CREATE CAST (length AS int) WITH FUNCTION seconds_of(length) AS ASSIGNMENT;
CREATE CAST (int AS length) WITH FUNCTION length_of(int);
CREATE OPERATOR + (LEFTARG = length, RIGHTARG = length, FUNCTION = plus, COMMUTATOR = +);
COMMENT ON OPERATOR + (length, length) IS 'one after the other';
CREATE AGGREGATE total_length(length) (SFUNC = plus, STYPE = length, INITCOND = '(0,0)', PARALLEL = SAFE);
CREATE FUNCTION shorter(length, length) RETURNS boolean IMMUTABLE STRICT LANGUAGE sql AS 'SELECT public.seconds_of($1) < public.seconds_of($2)';
CREATE OPERATOR <# (LEFTARG = length, RIGHTARG = length, FUNCTION = shorter);
CREATE FUNCTION by_seconds(length, length) RETURNS int IMMUTABLE STRICT LANGUAGE sql AS 'SELECT sign(public.seconds_of($1) - public.seconds_of($2))::int';
CREATE OPERATOR FAMILY lengths USING btree;
CREATE FUNCTION variadic_sum(VARIADIC n numeric[]) RETURNS numeric LANGUAGE sql AS 'SELECT sum(x) FROM unnest(n) AS x';
CREATE FUNCTION named(a int, b text DEFAULT 'it''s', OUT c text) LANGUAGE sql AS $$ SELECT $2 || $1 $$;
CREATE FUNCTION first_of(anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT $1[1]';

-- Search.
CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple, ACCEPT = false);
CREATE TEXT SEARCH CONFIGURATION titles (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION titles ALTER MAPPING FOR word WITH plain, english_stem;
COMMENT ON TEXT SEARCH CONFIGURATION titles IS 'of "titles"';

CREATE TABLE artist (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name citext UNIQUE, sorted text COLLATE by_number, same text COLLATE caseless, more hstore);
INSERT INTO artist (name, sorted, same, more) VALUES ('Sigur Rós', 'track 10', 'ABC', 'a => 1, "b c" => NULL'), ('Мумий Тролль', 'track 9', 'abd', ''), ('𝄞', NULL, NULL, NULL);
CREATE TABLE album (id int PRIMARY KEY, artist int NOT NULL REFERENCES artist ON DELETE CASCADE, title text NOT NULL, runs length, sides small, UNIQUE (artist, title) DEFERRABLE);
INSERT INTO album VALUES (1, 1, 'Straße', '(43,21)', 2), (2, 1, E'Two; "of"\t\\N', NULL, 1), (3, 2, '', '(0,0)', 99);
CREATE INDEX album_words ON album USING gin (to_tsvector('titles', title));
CREATE INDEX album_hash ON album USING hash (title);
CREATE TABLE track (id int NOT NULL, kind kind NOT NULL, album int REFERENCES album, name text, also kinds, length length, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE track_song PARTITION OF track FOR VALUES IN ('song');
CREATE TABLE track_rest (name text, length length, kind kind NOT NULL, id int NOT NULL, album int, also kinds);
ALTER TABLE track ATTACH PARTITION track_rest FOR VALUES IN ('spoken', 'noise');
ALTER TABLE track_rest ALTER name SET DEFAULT 'noise';
INSERT INTO track VALUES (1, 'song', 1, 'first', '{song}', '(3,4)'), (1, 'noise', NULL, E'\\.', '{song,noise}', NULL), (2, 'spoken', 2, NULL, NULL, '(0,59)');
CREATE INDEX track_name ON ONLY track (name);
CREATE INDEX track_song_name ON track_song (name);
ALTER INDEX track_name ATTACH PARTITION track_song_name;
CREATE FUNCTION track_changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.name := coalesce(NEW.name, ''?''); RETURN NEW; END';
CREATE TRIGGER track_changed BEFORE INSERT ON track FOR EACH ROW EXECUTE FUNCTION track_changed();
CREATE TABLE play (track int, at timestamp, PRIMARY KEY (track)) PARTITION BY HASH (track);
CREATE TABLE play_0 PARTITION OF play FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 50);
CREATE TABLE play_1 PARTITION OF play FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO play VALUES (1, '2024-01-01 00:00:00.000001'), (2, 'infinity'), (3, '4713-01-01 BC');
CREATE TABLE every_type (
  id serial, b boolean, s smallint, i8 bigint, n numeric, r real, d double precision, m money, c "char", bp char(5), v varchar(9), by bytea,
  da date, ti time(3), tz timetz, ts timestamp, tt timestamptz, iv interval, u uuid, ip inet, net cidr, mac macaddr, mac8 macaddr8, bi bit(5), vb bit varying(9),
  j json, jb jsonb, x xml, p point, l line, ls lseg, bo box, pa path, po polygon, ci circle, r4 int4range, mr nummultirange, tr tsrange,
  ia int[][], ta text[], tv tsvector, tq tsquery, o oid, rc regclass, lsn pg_lsn, na name, jp jsonpath
);
INSERT INTO every_type (b, s, i8, n, r, d, m, c, bp, v, by) VALUES
  (true, -32768, 9223372036854775807, 'NaN', '-Infinity', 2.2250738585072014e-308, -1234.56, 'x', 'ab', '', '\x00ff0a5c'),
  (NULL, 0, -9223372036854775808, 1e-30, 1.1754944e-38, 'NaN', 0, '', '', E'\n\\', '');
INSERT INTO every_type (da, ti, tz, ts, tt, iv, u, ip, net, mac, mac8, bi, vb) VALUES
  ('0044-03-15 BC', '24:00', '12:00+05:30', '294276-12-31 23:59:59.999999', '2024-10-27 02:30+01', '-1 year 2 mons -3 days 04:05:06.789', '123e4567-e89b-12d3-a456-426614174000', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', B'10101', B'1');
INSERT INTO every_type (j, jb, x, p, l, ls, bo, pa, po, ci, r4, mr, tr, ia, ta, tv, tq, o, rc, lsn, na, jp) VALUES
  (' {"a" : 1, "a":2}', '{"b": 1.0, "é": "\\u0041"}', '<a b="c">é</a>', '(1,2)', '{1,2,3}', '[(0,0),(1,1)]', '(0,0),(1,1)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),2>',
   '[1,5)', '{[1,2],(3,4)}', '(,2024-01-01]', '{{1,2},{3,NULL}}', E'{"a b",NULL,"NULL","\\"","é"}', 'a:1A b:2', 'a & !b', 42, 'pg_class', '1/A', 'nAmE', '$.a[*] ? (@ > 1)');
CREATE TABLE worker (id int PRIMARY KEY, boss int REFERENCES worker, name text DEFAULT 'it''s "me"; \');
INSERT INTO worker VALUES (1, NULL), (3, 1), (2, 3);
CREATE VIEW songs AS SELECT t.id, t.name AS "the ""name""", a.title, (t.length + a.runs)::int AS seconds FROM track t LEFT JOIN album a ON a.id = t.album WHERE t.kind = 'song';
CREATE MATERIALIZED VIEW by_artist AS SELECT a.name, total_length(b.runs) AS total FROM artist a JOIN album b ON b.artist = a.id GROUP BY a.name WITH NO DATA;
CREATE INDEX by_artist_name ON by_artist (name);
REFRESH MATERIALIZED VIEW by_artist;
CREATE VIEW keyed AS SELECT album.*, count(*) AS n FROM album GROUP BY album.id;
CREATE FUNCTION albums_of(artist) RETURNS SETOF album STABLE LANGUAGE sql AS 'SELECT * FROM public.album WHERE artist = $1.id';
CREATE FUNCTION rows_like() RETURNS SETOF keyed LANGUAGE sql AS 'SELECT * FROM public.keyed';
CREATE SEQUENCE ticket AS smallint INCREMENT -5 MINVALUE -100 MAXVALUE 100 START 50 CACHE 3 CYCLE OWNED BY artist.sorted;
SELECT nextval('ticket');

-- Other servers.
CREATE FOREIGN DATA WRAPPER none OPTIONS (a 'b''c');
CREATE SERVER elsewhere TYPE 'x' VERSION '1' FOREIGN DATA WRAPPER none OPTIONS (host 'h; "x"');
CREATE USER MAPPING FOR corpus_reader SERVER elsewhere OPTIONS (who 'me');
CREATE FOREIGN TABLE far_away (id int OPTIONS (n '1') NOT NULL, x text) SERVER elsewhere OPTIONS (t 'z');
GRANT USAGE ON FOREIGN SERVER elsewhere TO corpus_reader;

CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER told ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION told();
CREATE EVENT TRIGGER dropped ON sql_drop EXECUTE FUNCTION told();
ALTER EVENT TRIGGER dropped DISABLE;
CREATE PUBLICATION plays FOR TABLE play WHERE (track > 1), worker WITH (publish_via_partition_root = true);
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public;
CREATE CONVERSION own FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE ACCESS METHOD own_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE in_own_heap (x int) USING own_heap;
INSERT INTO in_own_heap VALUES (1);
