DECLARE
  path text := pg_catalog.current_setting('search_path');
  level text := pg_catalog.current_setting('client_min_messages');
  everything boolean := ALL_OF_IT;
  names jsonb;
  routines oid[] := '{}';
  roots oid[];
  types oid[];
  dropped_types oid[];
  dropped_routines oid[];
  inside oid[];
  ways text[];
  one record;
BEGIN
  -- Nothing of the target's own answers to these names.
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog', true);
  PERFORM pg_catalog.set_config('client_min_messages', 'warning', true);
  SELECT jsonb_agg(jsonb_build_array(kind, sch, nam)) INTO names FROM (SELECT DISTINCT kind, sch, nam FROM NAMES) AS x;

  -- They would see everything that is dropped.
  FOR one IN SELECT e.evtname FROM pg_event_trigger e
    JOIN jsonb_array_elements(names) d ON d->>0 = 'event trigger' AND d->>2 = e.evtname
    WHERE NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_event_trigger'::regclass AND x.objid = e.oid AND x.deptype = 'e')
  LOOP
    EXECUTE format('DROP EVENT TRIGGER %I', one.evtname);
  END LOOP;

  -- Otherwise it could not be dropped in a transaction; its slot stays with the publisher.
  FOR one IN SELECT s.subname FROM pg_subscription s JOIN pg_database b ON b.oid = s.subdbid
    JOIN jsonb_array_elements(names) d ON d->>0 = 'subscription' AND d->>2 = s.subname
    WHERE b.datname = current_database()
  LOOP
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', one.subname);
    EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', one.subname);
    EXECUTE format('DROP SUBSCRIPTION %I', one.subname);
  END LOOP;
  -- Extensions stay; the rows of users in their tables come with the dump.
  FOR one IN SELECT x.config::regclass::text AS name, coalesce(x.condition, '') AS condition
    FROM (SELECT e.extname, unnest(e.extconfig) AS config, unnest(e.extcondition) AS condition FROM pg_extension e) AS x
    JOIN pg_class c ON c.oid = x.config AND c.relkind IN ('r', 'p')
    JOIN jsonb_array_elements(names) d ON d->>0 = 'extension' AND d->>2 = x.extname
    WHERE has_table_privilege(x.config, 'DELETE')
  LOOP
    EXECUTE format('DELETE FROM %s %s', one.name, one.condition);
  END LOOP;

  -- What stands where the dump brings a relation, and relations where it brings a type.
  SELECT coalesce(array_agg(DISTINCT c.oid), '{}') INTO roots
  FROM jsonb_array_elements(names) d
  JOIN pg_namespace n ON n.nspname = d->>1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d->>2
  WHERE CASE WHEN d->>0 = 'type' THEN c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             WHEN d->>0 IN ('domain', 'table', 'view', 'materialized view', 'foreign table', 'sequence')
             THEN c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
             WHEN d->>0 = 'index' THEN c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
             -- An own sequence goes with its table.
             WHEN d->>0 = 'identity' THEN c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') OR (c.relkind = 'S' AND NOT EXISTS (
               SELECT 1 FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype IN ('a', 'i')))
             ELSE false END
    AND NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e');
  -- Types where the dump brings a relation, or a type of another kind.
  SELECT coalesce(array_agg(DISTINCT t.oid), '{}') INTO types
  FROM jsonb_array_elements(names) d
  JOIN pg_namespace n ON n.nspname = d->>1
  JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = d->>2 AND t.typtype IN ('e', 'd', 'r')
  WHERE CASE WHEN d->>0 = 'type' THEN t.typtype = 'd' WHEN d->>0 = 'domain' THEN t.typtype <> 'd'
             ELSE d->>0 IN ('table', 'view', 'materialized view', 'foreign table') END
    AND NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid AND x.deptype = 'e');

  -- Routines where the dump brings one of another kind under the same name.
  SELECT coalesce(array_agg(DISTINCT f.oid), '{}') INTO routines
  FROM jsonb_array_elements(names) d
  JOIN pg_namespace n ON n.nspname = d->>1
  JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname = d->>2
  WHERE CASE d->>0 WHEN 'function' THEN f.prokind IN ('p', 'a') WHEN 'procedure' THEN f.prokind <> 'p'
                   WHEN 'aggregate' THEN f.prokind <> 'a' ELSE false END
    AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(names) o WHERE o->>1 = d->>1 AND o->>2 = d->>2
      AND o->>0 = CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END)
    AND NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_proc'::regclass AND x.objid = f.oid AND x.deptype = 'e');
  -- Types and routines that the dump itself drops: nothing that it does not bring may need them. Of several routines
  -- of one name nobody knows here which one is meant.
  SELECT coalesce(array_agg(DISTINCT t.oid), '{}') INTO dropped_types
  FROM jsonb_array_elements(names) d
  JOIN pg_namespace n ON n.nspname = d->>1
  JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = d->>2
  WHERE d->>0 IN ('type', 'domain') AND NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_type'::regclass AND x.objid = t.oid AND x.deptype = 'e');
  SELECT coalesce(array_agg(oid), '{}') INTO dropped_routines FROM (
    SELECT min(f.oid::oid::int8)::oid AS oid
    FROM jsonb_array_elements(names) d
    JOIN pg_namespace n ON n.nspname = d->>1
    JOIN pg_proc f ON f.pronamespace = n.oid AND f.proname = d->>2
    WHERE d->>0 IN ('function', 'procedure', 'aggregate') AND NOT EXISTS (SELECT 1 FROM pg_depend x
      WHERE x.classid = 'pg_proc'::regclass AND x.objid = f.oid AND x.deptype = 'e')
    GROUP BY d->>1, d->>2 HAVING count(DISTINCT f.oid) = 1
  ) AS x;

  -- All that is in the schemas of the dump and belongs to no extension.
  IF everything THEN
    WITH schemas AS (
      SELECT oid FROM pg_namespace WHERE nspname IN (SELECT d->>1 FROM jsonb_array_elements(names) d)
        AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    ), own(classid, objid) AS (
      SELECT 'pg_class'::regclass::oid, oid FROM pg_class
        WHERE relnamespace IN (TABLE schemas) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
      UNION ALL
      SELECT 'pg_type'::regclass, oid FROM pg_type
        WHERE typnamespace IN (TABLE schemas) AND typtype IN ('e', 'd', 'r')
      UNION ALL
      SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace IN (TABLE schemas)
    ), ours AS (
      SELECT * FROM own o WHERE NOT EXISTS (SELECT 1 FROM pg_depend x
        WHERE x.classid = o.classid AND x.objid = o.objid AND x.deptype = 'e')
    )
    SELECT coalesce(array_agg(objid) FILTER (WHERE classid = 'pg_class'::regclass), '{}'),
      coalesce(array_agg(objid) FILTER (WHERE classid = 'pg_type'::regclass), '{}'),
      coalesce(array_agg(objid) FILTER (WHERE classid = 'pg_proc'::regclass), '{}')
    INTO roots, types, routines FROM ours;
  END IF;

  -- With a table go its partitions and its own sequences.
  WITH RECURSIVE part(oid) AS (
    SELECT unnest(roots)
    UNION
    SELECT x.objid FROM part p JOIN pg_depend x
      ON x.refclassid = 'pg_class'::regclass AND x.refobjid = p.oid
      AND x.classid = 'pg_class'::regclass AND x.deptype IN ('a', 'i')
  )
  SELECT coalesce(array_agg(oid), '{}') INTO inside FROM part;

  -- What else would have to go, and is not in the dump.
  WITH RECURSIVE reached(classid, objid, objsubid, strong) AS (
    SELECT classid, objid, 0, false FROM (
      SELECT 'pg_class'::regclass::oid, unnest(roots) UNION ALL SELECT 'pg_type'::regclass::oid, unnest(types || dropped_types)
      UNION ALL SELECT 'pg_proc'::regclass::oid, unnest(routines || dropped_routines)
    ) AS start(classid, objid)
    UNION
    SELECT x.classid, x.objid, x.objsubid, x.deptype = 'n'
    FROM reached r JOIN pg_depend x ON x.refclassid = r.classid AND x.refobjid = r.objid
      AND (r.objsubid = 0 OR x.refobjsubid = r.objsubid)
    WHERE x.deptype IN ('n', 'a', 'i', 'P', 'S')
  ), owned AS (
    SELECT r.classid, r.objid, r.objsubid, coalesce(w.ev_class, a.adrelid, nullif(k.conrelid, 0), p.polrelid, g.tgrelid,
      u.prrelid,
      CASE WHEN r.classid = 'pg_class'::regclass THEN r.objid END) AS relation,
      CASE WHEN r.classid = 'pg_type'::regclass THEN r.objid ELSE nullif(k.contypid, 0) END AS type
    FROM reached r
    LEFT JOIN pg_rewrite w ON r.classid = 'pg_rewrite'::regclass AND w.oid = r.objid
    LEFT JOIN pg_attrdef a ON r.classid = 'pg_attrdef'::regclass AND a.oid = r.objid
    LEFT JOIN pg_constraint k ON r.classid = 'pg_constraint'::regclass AND k.oid = r.objid
    LEFT JOIN pg_policy p ON r.classid = 'pg_policy'::regclass AND p.oid = r.objid
    LEFT JOIN pg_trigger g ON r.classid = 'pg_trigger'::regclass AND g.oid = r.objid
    -- The columns and rows of a table that are published.
    LEFT JOIN pg_publication_rel u ON r.classid = 'pg_publication_rel'::regclass AND u.oid = r.objid
    WHERE r.strong
  )
  SELECT array_agg(DISTINCT way) INTO ways FROM (
  SELECT CASE WHEN o.classid = 'pg_rewrite'::regclass
    THEN pg_describe_object('pg_class'::regclass, o.relation, 0)
    ELSE pg_describe_object(o.classid, o.objid, o.objsubid) END AS way
  FROM owned o
  -- A partition's part of a constraint is the constraint's.
  WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k
    WHERE o.classid = 'pg_constraint'::regclass AND k.oid = o.objid AND k.conparentid <> 0)
  AND CASE
    -- A composite type's columns are the type's.
    WHEN o.relation IS NOT NULL THEN o.relation <> ALL (inside) AND NOT EXISTS (
      SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN jsonb_array_elements(names) d ON d->>1 = n.nspname AND d->>2 = c.relname
      WHERE c.oid = o.relation AND c.relkind = 'c' AND d->>0 = 'type')
    WHEN o.type IS NOT NULL THEN o.type <> ALL (types) AND NOT EXISTS (
      SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
      JOIN jsonb_array_elements(names) d ON d->>1 = n.nspname AND d->>2 = t.typname
      WHERE t.oid = o.type AND d->>0 IN ('type', 'domain'))
    WHEN o.classid = 'pg_proc'::regclass THEN NOT EXISTS (
      SELECT 1 FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
      JOIN jsonb_array_elements(names) d ON d->>1 = n.nspname AND d->>2 = f.proname
      WHERE f.oid = o.objid AND d->>0 IN ('function', 'procedure', 'aggregate'))
      -- Those that come with a range type.
      AND NOT EXISTS (SELECT 1 FROM pg_depend x
        WHERE x.classid = 'pg_proc'::regclass AND x.objid = o.objid AND x.deptype = 'i')
    WHEN o.classid = 'pg_cast'::regclass THEN NOT EXISTS (
      SELECT 1 FROM jsonb_array_elements(names) d WHERE d->>0 = 'cast')
    WHEN o.classid IN ('pg_operator'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass,
      'pg_amop'::regclass, 'pg_amproc'::regclass) THEN NOT EXISTS (
      SELECT 1 FROM jsonb_array_elements(names) d WHERE d->>0 = 'operator')
    ELSE true END
  UNION ALL
  -- Names that a table of the dump gives to its indexes and sequences, and another table has: one that was renamed.
  SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) || ' of ' || pg_describe_object('pg_class'::regclass, x.refobjid, 0)
  FROM jsonb_array_elements(names) d
  JOIN pg_namespace n ON n.nspname = d->>1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d->>2
  JOIN LATERAL (
    SELECT i.indrelid AS refobjid FROM pg_index i WHERE i.indexrelid = c.oid
    UNION
    SELECT s.refobjid FROM pg_depend s WHERE c.relkind = 'S' AND s.classid = 'pg_class'::regclass AND s.objid = c.oid
      AND s.refclassid = 'pg_class'::regclass AND s.deptype IN ('a', 'i')
  ) AS x ON x.refobjid <> ALL (inside)
  WHERE d->>0 IN ('index', 'identity') AND c.relkind IN ('i', 'I', 'S')
  ) AS found;
  IF ways IS NOT NULL AND NOT everything THEN
    RAISE EXCEPTION USING ERRCODE = '2BP01', MESSAGE = format(
      'cannot replace what is in the dump because other objects depend on it, which came after the backup: %s%s',
      array_to_string(ways[1:20], ', '),
      CASE WHEN cardinality(ways) > 20 THEN format(' and %s more', cardinality(ways) - 20) END);
  END IF;

  FOR one IN SELECT c.oid, n.nspname, c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
      WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (roots)
    ORDER BY c.relkind = 'S', c.relispartition, c.oid
  LOOP
    -- What was dropped before may have taken it along.
    IF EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = one.oid) THEN
      EXECUTE format('DROP %s %I.%I CASCADE', one.kind, one.nspname, one.relname);
    END IF;
  END LOOP;
  FOR one IN SELECT t.oid, n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid = ANY (types)
  LOOP
    IF EXISTS (SELECT 1 FROM pg_type t WHERE t.oid = one.oid) THEN
      EXECUTE format('DROP TYPE %I.%I CASCADE', one.nspname, one.typname);
    END IF;
  END LOOP;
  FOR one IN SELECT f.oid, f.oid::regprocedure::text AS name FROM pg_proc f WHERE f.oid = ANY (routines)
  LOOP
    IF EXISTS (SELECT 1 FROM pg_proc f WHERE f.oid = one.oid) THEN
      EXECUTE format('DROP ROUTINE %s CASCADE', one.name);
    END IF;
  END LOOP;

  PERFORM set_config('client_min_messages', level, true);
  PERFORM set_config('search_path', path, true);
END
