-- The tree that cameras hang in: site / building / floor.
CREATE TABLE camera_group (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    parent_id uuid,
    -- From the top down to this one, itself last. Only who holds the project's row lock changes it.
    path uuid[] NOT NULL,
    name text NOT NULL,
    external_id text,
    labels jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT camera_group_external_id_key UNIQUE (project_id, external_id),
    CONSTRAINT camera_group_place_key UNIQUE (project_id, id),
    -- Of the same project; a group with others in it stays.
    CONSTRAINT camera_group_parent_fkey
        FOREIGN KEY (project_id, parent_id) REFERENCES camera_group (project_id, id),
    CONSTRAINT camera_group_path_check
        CHECK (path[cardinality(path)] = id
               AND path[cardinality(path) - 1] IS NOT DISTINCT FROM parent_id)
);
CREATE INDEX camera_group_parent ON camera_group (parent_id) WHERE parent_id IS NOT NULL;
-- Everything below a group.
CREATE INDEX camera_group_path ON camera_group USING gin (path) WITH (fastupdate = off);
CREATE INDEX camera_group_labels ON camera_group USING gin (labels jsonb_path_ops);

ALTER TABLE camera ADD COLUMN group_id uuid;
ALTER TABLE camera ADD CONSTRAINT camera_group_fkey
    FOREIGN KEY (project_id, group_id) REFERENCES camera_group (project_id, id);
CREATE INDEX camera_in_group ON camera (group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX camera_in_no_group ON camera (project_id, id) WHERE group_id IS NULL;
-- With its group, so that a list that leaves many out need not read them.
DROP INDEX camera_page;
CREATE INDEX camera_page ON camera (project_id, id) INCLUDE (group_id);

-- Named sets of actions that projects make. Those that every project has are in the code.
CREATE TABLE role (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    actions text[] NOT NULL CHECK (cardinality(actions) > 0),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT role_name_key UNIQUE (project_id, name)
);
CREATE INDEX role_page ON role (project_id, id);

-- A key may do these at most, whatever it is granted.
ALTER TABLE api_key ADD COLUMN scopes text[] CHECK (cardinality(scopes) > 0);

ALTER TABLE "grant"
    ADD COLUMN effect text NOT NULL DEFAULT 'allow' CHECK (effect IN ('allow', 'deny')),
    ADD COLUMN camera_group_id uuid REFERENCES camera_group ON DELETE CASCADE,
    -- A built-in role's name, or one that the project made: a role that is granted stays.
    ADD COLUMN role text,
    ADD COLUMN role_id uuid REFERENCES role,
    -- As it was given, and the same as minutes since Monday 00:00 by the clock of its zone.
    ADD COLUMN schedule jsonb,
    ADD COLUMN minutes int4multirange,
    ADD COLUMN zone text,
    ADD COLUMN networks cidr[] CHECK (cardinality(networks) > 0),
    ADD COLUMN not_before timestamptz,
    ADD COLUMN not_after timestamptz,
    ALTER COLUMN actions DROP NOT NULL,
    DROP CONSTRAINT grant_one_object,
    ADD CONSTRAINT grant_one_object
        CHECK (num_nonnulls(camera_id, camera_group_id, object_project_id,
                            nullif(on_cluster, false)) = 1),
    ADD CONSTRAINT grant_one_set CHECK (num_nonnulls(actions, role, role_id) = 1),
    ADD CONSTRAINT grant_whole_schedule
        CHECK (num_nulls(schedule, minutes, zone) IN (0, 3) AND NOT isempty(minutes)),
    ADD CONSTRAINT grant_dates CHECK (not_after > not_before);
ALTER TABLE "grant" ALTER COLUMN effect DROP DEFAULT;
-- Whatever it is on; the cluster has no id.
ALTER TABLE "grant" ADD COLUMN object_id uuid NOT NULL GENERATED ALWAYS AS
    (COALESCE(camera_id, camera_group_id, object_project_id,
              '00000000-0000-0000-0000-000000000000')) STORED;
DROP INDEX grant_principal;
CREATE INDEX grant_principal ON "grant" (principal_id, object_id);
CREATE INDEX grant_camera_group ON "grant" (camera_group_id) WHERE camera_group_id IS NOT NULL;
CREATE INDEX grant_role ON "grant" (role_id) WHERE role_id IS NOT NULL;

-- What begins and ends by itself: somebody looks each second.
CREATE INDEX grant_of_a_time ON "grant" (id)
    WHERE num_nonnulls(minutes, not_before, not_after) > 0;
CREATE INDEX api_key_expiry ON api_key (expires_at)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL;

-- The minute of the week, since Monday 00:00, by the clock of the zone; null if the zone is not
-- known (any more: zones are renamed). One such grant is no reason to answer nobody.
CREATE FUNCTION minute_of_week(at timestamptz, zone text) RETURNS integer
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    here timestamp;
BEGIN
    here := at AT TIME ZONE zone;
    RETURN (EXTRACT(isodow FROM here)::integer - 1) * 1440
        + EXTRACT(hour FROM here)::integer * 60
        + EXTRACT(minute FROM here)::integer;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;
END
$$;

-- Why a grant does not hold at this time and from this address; null if it does. An address that
-- nobody knows is in no network that is allowed, and in every one that is denied. It may be a
-- network: then the grant has to allow all of it, and to deny some of it is to deny it. In a zone
-- that is not known it is never time for what is allowed, and always for what is denied.
CREATE FUNCTION grant_idle(g "grant", at timestamptz, address inet) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN g.not_before > at THEN 'not_before'
        WHEN g.not_after <= at THEN 'not_after'
        WHEN g.minutes IS NOT NULL
            AND NOT COALESCE(g.minutes @> minute_of_week(at, g.zone), g.effect = 'deny')
            THEN 'schedule'
        WHEN g.networks IS NOT NULL
            AND NOT COALESCE(
                CASE g.effect
                    WHEN 'deny' THEN address && ANY (g.networks)
                    ELSE address <<= ANY (g.networks)
                END,
                g.effect = 'deny'
            ) THEN 'networks'
    END
$$;

-- When the grant may next begin or cease to hold by the clock; null if never. By the clock of its
-- zone: two weeks side by side, so that a window that goes over Sunday's midnight is one.
CREATE FUNCTION grant_turn(g "grant", after timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT LEAST(
        CASE WHEN g.not_before > after THEN g.not_before END,
        CASE WHEN g.not_after > after THEN g.not_after END,
        CASE WHEN minute_of_week(after, g.zone) IS NOT NULL THEN (
            SELECT (date_trunc('minute', after AT TIME ZONE g.zone)
                    + make_interval(mins => min(edge) - minute_of_week(after, g.zone)))
                       AT TIME ZONE g.zone
            FROM (
                SELECT range_agg(int4range(lower(r) + w.start, upper(r) + w.start)) AS minutes
                FROM unnest(g.minutes) AS r CROSS JOIN (VALUES (0), (10080)) AS w (start)
            ) AS weeks
            CROSS JOIN LATERAL unnest(weeks.minutes) AS r
            CROSS JOIN LATERAL (VALUES (lower(r)), (upper(r))) AS e (edge)
            WHERE e.edge > minute_of_week(after, g.zone) AND e.edge < 20160
        ) END
    )
$$;

-- Whoever tokens are issued for by a grant: the user, everybody in the group, the key.
CREATE FUNCTION grant_subjects(g "grant") RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT 'usr_' || replace(g.user_id::text, '-', '') WHERE g.user_id IS NOT NULL
    UNION ALL
    SELECT 'usr_' || replace(m.user_id::text, '-', '')
    FROM user_group_member m WHERE m.user_group_id = g.user_group_id
    UNION ALL
    SELECT 'key_' || replace(g.api_key_id::text, '-', '') WHERE g.api_key_id IS NOT NULL
$$;

-- What somebody with these rights may do with the cameras: actions as bits, of which no object has
-- more than one row. Somewhere allowed, from the cluster down to the camera, and nowhere denied.
CREATE FUNCTION camera_access(cameras uuid[], objects uuid[], allow integer[], deny integer[])
RETURNS TABLE (id uuid, project_id uuid, actions integer)
LANGUAGE sql STABLE AS $$
    SELECT c.id, c.project_id, bit_or(r.allow) & ~bit_or(r.deny)
    FROM camera c
    LEFT JOIN camera_group g ON g.id = c.group_id
    CROSS JOIN LATERAL unnest(
        ARRAY['00000000-0000-0000-0000-000000000000', c.project_id, c.id] || g.path
    ) AS place (id)
    JOIN unnest(objects, allow, deny) AS r (id, allow, deny) ON r.id = place.id
    WHERE c.id = ANY (cameras)
    GROUP BY c.id
$$;
