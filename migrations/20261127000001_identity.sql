-- A request is repeated by whoever made it: a program or a person. Their ids never coincide.
DROP TABLE idempotency;
CREATE TABLE idempotency (
    caller_id uuid NOT NULL,
    key text NOT NULL,
    -- HMAC of method, path and body.
    fingerprint bytea NOT NULL,
    -- The answer. Sealed, since it may hold a secret that is shown once.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller_id, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- People who may do the same.
CREATE TABLE user_group (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    name text NOT NULL,
    external_id text,
    labels jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT user_group_external_id_key UNIQUE (project_id, external_id)
);
CREATE INDEX user_group_page ON user_group (project_id, id);
CREATE INDEX user_group_labels ON user_group USING gin (labels jsonb_path_ops);

CREATE TABLE user_group_member (
    user_group_id uuid NOT NULL REFERENCES user_group ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_group_id, user_id)
);
CREATE INDEX user_group_member_user ON user_group_member (user_id);

ALTER TABLE "grant" ADD COLUMN user_group_id uuid REFERENCES user_group ON DELETE CASCADE;
ALTER TABLE "grant" DROP CONSTRAINT grant_one_principal;
ALTER TABLE "grant" ADD CONSTRAINT grant_one_principal
    CHECK (num_nonnulls(user_id, api_key_id, user_group_id) = 1);
-- Whoever it is.
ALTER TABLE "grant" ADD COLUMN principal_id uuid NOT NULL
    GENERATED ALWAYS AS (COALESCE(user_id, api_key_id, user_group_id)) STORED;
DROP INDEX grant_user;
DROP INDEX grant_api_key;
CREATE INDEX grant_principal ON "grant" (principal_id);
