-- Why a grant does not hold at this time and from this address; null if it does. An address that
-- nobody knows is in no network that is allowed, and in every one that is denied. It may be a
-- network: then the grant has to allow all of it, and to deny some of it is to deny it.
CREATE OR REPLACE FUNCTION grant_idle(g "grant", at timestamptz, address inet) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN g.not_before > at THEN 'not_before'
        WHEN g.not_after <= at THEN 'not_after'
        WHEN NOT g.minutes @> (
            (EXTRACT(isodow FROM at AT TIME ZONE g.zone)::integer - 1) * 1440
            + EXTRACT(hour FROM at AT TIME ZONE g.zone)::integer * 60
            + EXTRACT(minute FROM at AT TIME ZONE g.zone)::integer
        ) THEN 'schedule'
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

-- What begins and ends by itself: somebody looks each second.
CREATE INDEX grant_of_a_time ON "grant" (id)
    WHERE num_nonnulls(minutes, not_before, not_after) > 0;
CREATE INDEX api_key_expiry ON api_key (expires_at)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL;
