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

-- As before, but in a zone that is not known it is never time for what is allowed, and always for
-- what is denied.
CREATE OR REPLACE FUNCTION grant_idle(g "grant", at timestamptz, address inet) RETURNS text
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
