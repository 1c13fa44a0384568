DECLARE
  schema text := NAME;
  one record;
BEGIN
  BEGIN
    EXECUTE pg_catalog.format('DROP SCHEMA IF EXISTS %I', schema);
    EXECUTE pg_catalog.format('CREATE SCHEMA %I', schema);
  EXCEPTION WHEN dependent_objects_still_exist THEN
    -- Something in it is not of the dump, or is an extension: it stays. What is granted on it comes with the dump.
    FOR one IN SELECT DISTINCT a.grantee, n.nspowner FROM pg_catalog.pg_namespace n,
      pg_catalog.aclexplode(n.nspacl) a WHERE n.nspname = schema
    LOOP
      EXECUTE pg_catalog.format('REVOKE ALL ON SCHEMA %I FROM %s CASCADE', schema,
        CASE WHEN one.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.format('%I', pg_catalog.pg_get_userbyid(one.grantee)) END);
      EXECUTE pg_catalog.format('GRANT ALL ON SCHEMA %I TO %I', schema, pg_catalog.pg_get_userbyid(one.nspowner));
    END LOOP;
    FOR one IN SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole) AS role, a.grantee,
      CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END AS kind
      FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace,
      pg_catalog.aclexplode(d.defaclacl) a WHERE n.nspname = schema AND pg_catalog.pg_has_role(d.defaclrole, 'MEMBER')
    LOOP
      EXECUTE pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE ALL ON %s FROM %s',
        one.role, schema, one.kind,
        CASE WHEN one.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.format('%I', pg_catalog.pg_get_userbyid(one.grantee)) END);
    END LOOP;
    EXECUTE pg_catalog.format('COMMENT ON SCHEMA %I IS NULL', schema);
  END;
END
