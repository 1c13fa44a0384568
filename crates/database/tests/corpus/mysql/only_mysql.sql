CREATE TABLE embedded (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  doc JSON,
  name VARCHAR(40) NOT NULL,
  near VECTOR(3),
  place POINT NOT NULL SRID 4326,
  secret INT INVISIBLE DEFAULT 7,
  KEY by_tags ((CAST(doc -> '$.tags' AS UNSIGNED ARRAY))),
  KEY by_lower ((LOWER(name))),
  KEY by_half ((secret DIV 2), name DESC),
  KEY hidden (name) INVISIBLE,
  SPATIAL KEY (place),
  CONSTRAINT unforced CHECK (secret > 100) NOT ENFORCED
) COLLATE utf8mb4_0900_as_cs COMMENT = 'only here' STATS_PERSISTENT = 1

INSERT INTO embedded (doc, name, near, place, secret) VALUES ('{"tags": [1, 2]}', 'Änne', STRING_TO_VECTOR('[1,2.5,-3]'), ST_GeomFromText('POINT(52.5 13.4)', 4326), 42), (NULL, '', NULL, ST_GeomFromText('POINT(0 0)', 4326), NULL)

CREATE TABLE keyless (a INT, b VARCHAR(20))

INSERT INTO keyless VALUES (1, 'x'), (1, 'x')

ALTER TABLE supplier ADD COLUMN later INT DEFAULT 3, ALGORITHM = INSTANT

CREATE VIEW embedded_tags AS SELECT e.id, t.tag FROM embedded e, JSON_TABLE(e.doc, '$.tags[*]' COLUMNS (tag INT PATH '$')) AS t

CREATE VIEW latest AS SELECT id, ROW_NUMBER() OVER (PARTITION BY name ORDER BY id) AS n FROM embedded

