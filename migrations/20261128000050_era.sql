-- A replica that becomes the database may not have got the last commits of the one before. PostgreSQL
-- then counts a new timeline; so does a restore from a backup. Each is an era of its own.

-- The server's timeline. 0 where a service does not tell it: such a one must not lose commits.
CREATE FUNCTION database_timeline() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
EXCEPTION WHEN feature_not_supported OR insufficient_privilege OR undefined_function THEN
    RETURN 0;
END
$$;

CREATE TABLE database_era (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    -- The timeline for which revisions and leases have been prepared.
    timeline bigint NOT NULL
);
INSERT INTO database_era (timeline) VALUES (database_timeline());

-- True from the beginning of a timeline until a controller has noticed it.
CREATE FUNCTION database_era_is_over() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT timeline <> database_timeline() FROM database_era
$$;
