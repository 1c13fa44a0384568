-- Fills the metadata store of a Druid with four datasources: about 3.75 MiB when dumped.
-- Load it into the database "druid" of an empty Druid:  mysql … druid < metadata.sql
-- Every run makes the same rows, so that copies can be compared.

SET NAMES utf8mb4;
CREATE TEMPORARY TABLE digit (d INT PRIMARY KEY);
INSERT INTO digit VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TEMPORARY TABLE ten AS SELECT d FROM digit;
CREATE TEMPORARY TABLE hundred AS SELECT d FROM digit;
CREATE TEMPORARY TABLE thousand AS SELECT d FROM digit;
CREATE TEMPORARY TABLE number AS
  SELECT digit.d + 10 * ten.d + 100 * hundred.d + 1000 * thousand.d AS n
  FROM digit, ten, hundred, thousand;

CREATE TEMPORARY TABLE datasource (name VARCHAR(255), segments INT, dimensions TEXT, metrics TEXT);
INSERT INTO datasource VALUES
  ('wikipedia', 720,
   'channel,cityName,comment,countryIsoCode,countryName,diffUrl,flags,isAnonymous,isMinor,isNew,isRobot,isUnpatrolled,metroCode,namespace,page,regionIsoCode,regionName,user',
   'count,added,deleted,delta'),
  ('koalas_to_the_max', 360,
   'event_type,session,timezone,browser,browser_version,platform,os,version,city,region,country,continent,language,path,referrer',
   'count,session_length,event_count'),
  ('nyc-taxi', 240,
   'vendor_id,store_and_fwd_flag,rate_code_id,payment_type,pickup_borough,pickup_zone,dropoff_borough,dropoff_zone,trip_type',
   'count,trip_distance,fare_amount,tip_amount,total_amount'),
  ('société_über_événements', 40,
   'événement,région,utilisateur,日本語,emoji_🐨',
   'nombre,durée');

INSERT INTO druid_segments
  (id, dataSource, created_date, start, `end`, partitioned, version, used, payload, used_status_last_updated)
SELECT id, dataSource, created, start, stop, 1, version, IF(n % 37 = 36, 0, 1), payload, created
FROM (
  SELECT n, name AS dataSource, start, stop, version, created,
    CONCAT(name, '_', start, '_', stop, '_', version) AS id,
    JSON_OBJECT(
      'dataSource', name,
      'interval', CONCAT(start, '/', stop),
      'version', version,
      'loadSpec', JSON_OBJECT(
        'type', 's3_zip',
        'bucket', 'druid',
        'key', CONCAT('druid/segments/', name, '/', start, '_', stop, '/', version, '/0/', SHA2(CONCAT(name, n), 256), '/index.zip'),
        'S3Schema', 's3n'),
      'dimensions', dimensions,
      'metrics', metrics,
      'shardSpec', JSON_OBJECT('type', 'numbered', 'partitionNum', 0, 'partitions', 1),
      'lastCompactionState', JSON_OBJECT(
        'partitionsSpec', JSON_OBJECT('type', 'dynamic', 'maxRowsPerSegment', 5000000, 'maxTotalRows', 20000000),
        'indexSpec', JSON_OBJECT('bitmap', JSON_OBJECT('type', 'roaring'), 'dimensionCompression', 'lz4', 'metricCompression', 'lz4', 'longEncoding', 'longs'),
        'fingerprint', SHA2(CONCAT('state', name, n), 512)),
      'binaryVersion', 9,
      'size', 1000000 + (n * 7919) % 900000,
      'identifier', CONCAT(name, '_', start, '_', stop, '_', version)) AS payload
  FROM (
    SELECT datasource.*, n,
      DATE_FORMAT(DATE_ADD('2024-08-01', INTERVAL n HOUR), '%Y-%m-%dT%H:00:00.000Z') AS start,
      DATE_FORMAT(DATE_ADD('2024-08-01', INTERVAL n + 1 HOUR), '%Y-%m-%dT%H:00:00.000Z') AS stop,
      DATE_FORMAT(DATE_ADD('2024-09-01', INTERVAL n MINUTE), '%Y-%m-%dT%H:%i:%s.512Z') AS version,
      DATE_FORMAT(DATE_ADD('2024-09-01', INTERVAL n MINUTE), '%Y-%m-%dT%H:%i:%s.900Z') AS created
    FROM datasource JOIN number ON n < segments
  ) AS spans
) AS segments;

INSERT INTO druid_rules (id, dataSource, version, payload)
SELECT CONCAT(name, '_2024-09-19T10:00:00.000Z'), name, '2024-09-19T10:00:00.000Z',
  JSON_ARRAY(
    JSON_OBJECT('type', 'loadByPeriod', 'period', 'P3M', 'includeFuture', TRUE, 'tieredReplicants', JSON_OBJECT('_default_tier', 2)),
    JSON_OBJECT('type', 'dropForever'))
FROM datasource;
INSERT INTO druid_rules (id, dataSource, version, payload) VALUES
  ('_default_2024-09-19T10:00:00.000Z', '_default', '2024-09-19T10:00:00.000Z',
   '[{"type":"loadForever","tieredReplicants":{"_default_tier":2}}]');

INSERT INTO druid_dataSource (dataSource, created_date, commit_metadata_payload, commit_metadata_sha1)
SELECT name, '2024-09-19T10:05:00.000Z',
  JSON_OBJECT('type', 'kafka', 'partitions', JSON_OBJECT('type', 'end', 'stream', name, 'partitionOffsetMap', JSON_OBJECT('0', 83411, '1', 83077))),
  LEFT(SHA2(name, 256), 40)
FROM datasource;

INSERT INTO druid_supervisors (spec_id, created_date, payload)
SELECT name, '2024-09-19T10:04:00.000Z',
  JSON_OBJECT('type', 'kafka', 'spec', JSON_OBJECT(
    'dataSchema', JSON_OBJECT('dataSource', name, 'timestampSpec', JSON_OBJECT('column', 'time', 'format', 'iso')),
    'ioConfig', JSON_OBJECT('topic', name, 'taskCount', 2, 'replicas', 1, 'taskDuration', 'PT1H')))
FROM datasource;

INSERT INTO druid_tasks (id, created_date, datasource, payload, status_payload, active)
SELECT CONCAT('index_kafka_', name, '_', LEFT(SHA2(CONCAT('task', name, n), 256), 15)),
  DATE_FORMAT(DATE_ADD('2024-09-18', INTERVAL n MINUTE), '%Y-%m-%dT%H:%i:%s.000Z'), name,
  JSON_OBJECT('type', 'index_kafka', 'id', n, 'dataSource', name, 'context', JSON_OBJECT('checkpoints', JSON_OBJECT('0', n))),
  JSON_OBJECT('id', n, 'status', IF(n % 11 = 10, 'FAILED', 'SUCCESS'), 'duration', 1000 + n),
  0
FROM datasource JOIN number ON n < 30;

INSERT INTO druid_audit (audit_key, type, author, comment, created_date, payload)
SELECT name, 'rules', 'console', 'set retention', '2024-09-19T10:00:00.000Z', '[{"type":"loadForever"}]'
FROM datasource;

INSERT INTO druid_config (name, payload) VALUES
  ('coordinator.config', '{"maxSegmentsToMove":100,"replicationThrottleLimit":500}'),
  ('basic_authentication_MyAuthenticator_users', 'these are the users of the cluster that was backed up');
