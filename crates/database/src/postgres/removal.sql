DO :QUOTE
DECLARE
  schemas CONSTANT text[] := :SCHEMAS;
  names CONSTANT text[] := :NAMES;
  found record;
  progress boolean;
BEGIN
  FOR found IN
    SELECT c.conname, c.conrelid::pg_catalog.regclass AS relation
      FROM pg_catalog.pg_constraint c
      JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
      JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
      JOIN ROWS FROM (pg_catalog.unnest(schemas), pg_catalog.unnest(names)) AS w(schema, name) ON w.schema = n.nspname AND w.name = t.relname
     WHERE c.contype = 'f' AND c.coninhcount = 0 AND t.relkind IN ('r', 'p')
  LOOP
    BEGIN
      EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', found.relation, found.conname);
    EXCEPTION
      WHEN lock_not_available THEN RAISE;
      WHEN OTHERS THEN NULL;
    END;
  END LOOP;
  LOOP
    progress := false;
    FOR found IN
      SELECT n.nspname, t.relname,
             CASE t.relkind
               WHEN 'v' THEN 'VIEW'
               WHEN 'm' THEN 'MATERIALIZED VIEW'
               WHEN 'f' THEN 'FOREIGN TABLE'
               WHEN 'S' THEN 'SEQUENCE'
               ELSE 'TABLE'
             END AS kind
        FROM pg_catalog.pg_class t
        JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
        JOIN ROWS FROM (pg_catalog.unnest(schemas), pg_catalog.unnest(names)) AS w(schema, name) ON w.schema = n.nspname AND w.name = t.relname
       WHERE t.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
       ORDER BY t.relkind = 'S', t.oid DESC
    LOOP
      BEGIN
        EXECUTE pg_catalog.format('DROP %s %I.%I', found.kind, found.nspname, found.relname);
        progress := true;
      EXCEPTION
        WHEN lock_not_available THEN RAISE;
        WHEN OTHERS THEN NULL;
      END;
    END LOOP;
    EXIT WHEN NOT progress;
  END LOOP;
END
:QUOTE;
