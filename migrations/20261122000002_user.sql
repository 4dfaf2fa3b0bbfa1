-- People, and the programs' keys.
CREATE TABLE "user" (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    external_id text,
    labels jsonb NOT NULL DEFAULT '{}',
    enabled boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT user_external_id_key UNIQUE (project_id, external_id)
);
CREATE INDEX user_page ON "user" (project_id, id);
CREATE INDEX user_labels ON "user" USING gin (labels jsonb_path_ops);

CREATE TABLE api_key (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    lookup text NOT NULL,
    -- HMAC of the secret part; the secret itself is nowhere.
    digest bytea NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT api_key_lookup_key UNIQUE (lookup)
);
CREATE INDEX api_key_page ON api_key (project_id, id);
