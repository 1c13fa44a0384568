WITH RECURSIVE own AS (
    -- Functions of users whose body is a text: what it names is looked up when it runs.
    SELECT p.oid, p.pronamespace, p.proname, p.prosrc, p.proconfig,
           regexp_replace(p.proname, '([^[:alnum:]_])', '\\\1', 'g') AS pattern
      FROM pg_catalog.pg_proc p
      JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_toast%'
       AND l.lanname IN ('sql', 'plpgsql')
       AND to_jsonb(p) ->> 'prosqlbody' IS NULL
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                        WHERE e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
), used (oid, by) AS (
    -- Those that run while a dump is loaded.
    SELECT d.refobjid, pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
      FROM pg_catalog.pg_depend d
      LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid
      LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
      LEFT JOIN pg_catalog.pg_attribute a
             ON (a.attrelid, a.attnum) = (coalesce(f.adrelid, c.oid), coalesce(f.adnum, d.objsubid))
      LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_catalog.pg_class m ON m.oid = r.ev_class
     WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
       AND (c.relkind IN ('i', 'I', 'p') OR to_jsonb(a) ->> 'attgenerated' <> '' OR k.contype = 'c' OR m.relkind = 'm')
    UNION
    SELECT callee.oid, used.by
      FROM used
      JOIN own caller ON caller.oid = used.oid
      JOIN own callee ON caller.prosrc ~* ('(^|[^[:alnum:]_$])"?' || callee.pattern || '"?\s*\(')
), bare AS (
    SELECT used.oid, used.by, t.name
      FROM used
      JOIN own ON own.oid = used.oid
     CROSS JOIN LATERAL (
        SELECT c.relname AS name
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND own.prosrc ~* ('\m(from|join|into|update|table|only)\s+"?'
                              || regexp_replace(c.relname, '([^[:alnum:]_])', '\\\1', 'g') || '"?(?![[:alnum:]_.$"])')
        UNION
        SELECT f.proname
          FROM own f
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_proc s
                            WHERE s.proname = f.proname AND s.pronamespace = 'pg_catalog'::regnamespace)
           AND own.prosrc ~* ('(^|[^[:alnum:]_.$"])"?' || f.pattern || '"?\s*\(')
     ) t
     WHERE NOT EXISTS (SELECT FROM unnest(own.proconfig) setting WHERE setting LIKE 'search\_path=%')
)
SELECT oid::regprocedure::text, string_agg(DISTINCT name, ', '), string_agg(DISTINCT by, ', ')
  FROM bare GROUP BY oid ORDER BY 1
