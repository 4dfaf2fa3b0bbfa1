-- Cameras and their publishers' keys.
CREATE TABLE camera (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    external_id text,
    labels jsonb NOT NULL DEFAULT '{}',
    source jsonb NOT NULL,
    -- User name and password, sealed (XChaCha20-Poly1305, bound to this row).
    credentials bytea,
    enabled boolean NOT NULL DEFAULT true,
    start text NOT NULL CHECK (start IN ('always', 'on_demand')),
    placement jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT camera_external_id_key UNIQUE (project_id, external_id)
);
CREATE INDEX camera_page ON camera (project_id, id);
CREATE INDEX camera_labels ON camera USING gin (labels jsonb_path_ops);

CREATE TABLE stream_key (
    id uuid PRIMARY KEY,
    camera_id uuid NOT NULL REFERENCES camera ON DELETE CASCADE,
    name text NOT NULL,
    lookup text NOT NULL,
    -- HMAC of the secret part; the secret itself is nowhere.
    digest bytea NOT NULL,
    -- SHA-256 of the whole key: what edges check publishers with.
    edge_digest bytea NOT NULL,
    on_conflict text NOT NULL CHECK (on_conflict IN ('reject', 'takeover')),
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT stream_key_lookup_key UNIQUE (lookup)
);
CREATE INDEX stream_key_page ON stream_key (camera_id, id);
