-- What the controllers keep for themselves.
CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Readers stop below the oldest open transaction, so that none is skipped.
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- Null: of the cluster.
    project_id uuid REFERENCES project ON DELETE CASCADE,
    kind text NOT NULL,
    subject text NOT NULL,
    actor text NOT NULL,
    message text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX event_order ON event (xact, id);
CREATE INDEX event_project ON event (project_id, xact, id);

-- Answers of POST requests that carried an Idempotency-Key.
CREATE TABLE idempotency (
    api_key_id uuid NOT NULL REFERENCES api_key ON DELETE CASCADE,
    key text NOT NULL,
    -- HMAC of method, path and body.
    fingerprint bytea NOT NULL,
    -- The answer. Sealed, since it may hold a secret that is shown once.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (api_key_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Keys that sign playback tokens.
CREATE TABLE signing_key (
    kid text PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'revoked')),
    public bytea NOT NULL,
    -- Sealed (XChaCha20-Poly1305, bound to this row).
    private bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (state) WHERE state = 'active';
