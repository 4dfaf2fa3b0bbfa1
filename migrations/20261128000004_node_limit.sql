-- How many viewers nodes serve, and where a camera is watched.
ALTER TABLE node
    -- What it takes, as it says itself; null is without limit, 0 serves nobody.
    ADD COLUMN max_viewers integer CHECK (max_viewers >= 0),
    ADD COLUMN max_egress_mbit integer CHECK (max_egress_mbit >= 0);

ALTER TABLE node_lease
    -- Which part of what it takes it has, by the limit that it is closest to.
    ADD COLUMN share real NOT NULL DEFAULT 0,
    -- From the limit on, until it has clearly less.
    ADD COLUMN is_full boolean NOT NULL DEFAULT false;

-- Which part of its limits a node has, by its load.
CREATE FUNCTION node_share(max_viewers integer, max_egress_mbit integer, load jsonb) RETURNS real
LANGUAGE sql IMMUTABLE AS $$
    SELECT COALESCE(GREATEST(
        CASE max_viewers WHEN 0 THEN 1 ELSE (load ->> 'viewers')::real / max_viewers END,
        CASE max_egress_mbit
            WHEN 0 THEN 1
            ELSE (load ->> 'sent_kbit')::real / 1000 / max_egress_mbit
        END
    ), 0)
$$;

-- The nodes where a camera is watched, without a look at each viewer.
CREATE INDEX viewer_session_spread ON viewer_session (camera_id, node_id);
