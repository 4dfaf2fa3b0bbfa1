-- Edges: what they are, how they live, what they can take.
CREATE TABLE join_token (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    lookup text NOT NULL,
    digest bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT join_token_lookup_key UNIQUE (lookup)
);

CREATE TABLE node (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    site text NOT NULL,
    zone text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{}',
    advertise jsonb NOT NULL,
    software text NOT NULL,
    lookup text NOT NULL,
    digest bytea NOT NULL,
    -- When a reconciler declared it dead; null while it lives.
    died_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT node_name_key UNIQUE (name),
    CONSTRAINT node_lookup_key UNIQUE (lookup)
);

-- Written every two seconds by each node, therefore narrow and apart.
CREATE TABLE node_lease (
    node_id uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    instance uuid NOT NULL,
    renewed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    goodbye boolean NOT NULL DEFAULT false,
    -- The revision that the node has applied, and why not a newer one.
    applied_revision bigint NOT NULL DEFAULT 0,
    apply_error text,
    load jsonb NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

CREATE TABLE node_capacity (
    node_id uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    alloc integer NOT NULL CHECK (alloc >= 0),
    used integer NOT NULL DEFAULT 0 CHECK (used >= 0)
);

-- Rises with every change of what the node should do.
CREATE TABLE node_revision (
    node_id uuid PRIMARY KEY REFERENCES node ON DELETE CASCADE,
    revision bigint NOT NULL DEFAULT 1
);
