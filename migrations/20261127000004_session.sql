-- Who watches where, as edges report it.
CREATE TABLE viewer_session (
    id uuid PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    -- The camera's.
    project_id uuid NOT NULL REFERENCES project,
    camera_id uuid NOT NULL REFERENCES camera ON DELETE CASCADE,
    -- `usr_…`, `key_…` or `pkey_…`, and the same without its prefix.
    subject text NOT NULL,
    principal_id uuid NOT NULL,
    viewer_id text,
    token_id text,
    key_id text NOT NULL,
    -- Who issued the token, where that is not who watches.
    issuer_id uuid,
    max_sessions integer,
    protocol text NOT NULL,
    -- Whether the viewer hears the camera, too.
    sound boolean NOT NULL,
    address inet NOT NULL,
    bytes_sent bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    watch_until timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX viewer_session_camera ON viewer_session (camera_id, id);
CREATE INDEX viewer_session_principal ON viewer_session (principal_id, id);
CREATE INDEX viewer_session_node ON viewer_session (node_id, id);
CREATE INDEX viewer_session_project ON viewer_session (project_id, id);

-- Up to which report of which process of a node the table above is.
CREATE TABLE session_feed (
    node_id uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    instance uuid NOT NULL,
    sequence bigint NOT NULL
);

-- What is signed and does not count any more.
CREATE TABLE revocation (
    kind text NOT NULL CHECK (kind IN ('session', 'subject', 'token', 'key', 'camera')),
    value text NOT NULL,
    -- Of a token: only with cameras of this project.
    project_id uuid REFERENCES project ON DELETE CASCADE,
    ends_sessions boolean NOT NULL,
    issued_before timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT revocation_key UNIQUE NULLS NOT DISTINCT (kind, value, project_id, ends_sessions),
    CONSTRAINT revocation_token_project CHECK ((kind = 'token') = (project_id IS NOT NULL))
);
CREATE INDEX revocation_expiry ON revocation (expires_at);

-- Customers' keys that playback tokens may be signed with.
CREATE TABLE playback_key (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    -- A JSON Web Key.
    public_key jsonb NOT NULL,
    bounds jsonb NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX playback_key_page ON playback_key (project_id, id);
CREATE INDEX playback_key_works ON playback_key (id) WHERE revoked_at IS NULL;

-- How cameras may be watched, where that is not as usual.
CREATE TABLE camera_viewing (
    camera_id uuid PRIMARY KEY REFERENCES camera ON DELETE CASCADE,
    max_viewers integer CHECK (max_viewers > 0),
    sensitive boolean NOT NULL
);

-- How many sessions a user may have at once.
ALTER TABLE "user" ADD COLUMN max_sessions integer CHECK (max_sessions > 0);

-- When somebody last looked at all sessions, so that one replica does and not each.
CREATE TABLE session_review (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    at timestamptz NOT NULL
);
INSERT INTO session_review (at) VALUES ('-infinity');
