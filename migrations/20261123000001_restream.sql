-- Pushes of cameras to other people's servers, and what keeps two nodes from pushing at once.
ALTER TABLE slot DROP CONSTRAINT slot_role_check;
ALTER TABLE slot ADD CONSTRAINT slot_role_check CHECK (role IN ('ingest', 'restream'));

-- Who held a strict slot last, and the revision that took it away: until that node has applied it,
-- it may still do the work. Null while the slot is held, and of other roles.
ALTER TABLE slot ADD COLUMN left_node_id uuid REFERENCES node ON DELETE SET NULL;
ALTER TABLE slot ADD COLUMN left_revision bigint;

-- How a push goes; null of other roles.
ALTER TABLE slot_status ADD COLUMN restream jsonb;

CREATE TABLE restream (
    id uuid PRIMARY KEY,
    camera_id uuid NOT NULL REFERENCES camera ON DELETE CASCADE,
    project_id uuid NOT NULL REFERENCES project,
    -- Its slot. The slot outlives it, so that no other target ever gets its ordinal.
    role text NOT NULL DEFAULT 'restream' CHECK (role = 'restream'),
    ordinal smallint NOT NULL,
    name text NOT NULL,
    external_id text,
    labels jsonb NOT NULL DEFAULT '{}',
    url text NOT NULL,
    transport text NOT NULL CHECK (transport IN ('tcp', 'udp')),
    tls_verify boolean NOT NULL,
    -- Without its secrets.
    signing jsonb NOT NULL,
    -- All secrets, sealed (XChaCha20-Poly1305, bound to this row), and which there are.
    secrets bytea,
    has_credentials boolean NOT NULL,
    has_stream_key boolean NOT NULL,
    video jsonb NOT NULL,
    audio text NOT NULL CHECK (audio IN ('copy', 'aac')),
    enabled boolean NOT NULL,
    -- Rises with each restart.
    generation bigint NOT NULL DEFAULT 1,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT restream_name_key UNIQUE (camera_id, name),
    CONSTRAINT restream_external_id_key UNIQUE (project_id, external_id),
    CONSTRAINT restream_slot_key UNIQUE (camera_id, ordinal),
    FOREIGN KEY (camera_id, role, ordinal) REFERENCES slot ON DELETE CASCADE
);
CREATE INDEX restream_page ON restream (project_id, id);
CREATE INDEX restream_camera_page ON restream (camera_id, id);
CREATE INDEX restream_labels ON restream USING gin (labels jsonb_path_ops);
