-- Who did or saw what. Rows are added, and deleted when they are old enough; never changed.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- When it happened. What edges tell comes later than that.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Null: of the cluster, or of nobody that we know. Not a reference: the log outlives projects.
    project_id uuid,
    -- Null: a stranger.
    actor text,
    -- The id of an operation, or what happened on an edge.
    action text NOT NULL,
    -- The id of what it was done to.
    object text,
    result text NOT NULL CHECK (result IN ('ok', 'refused', 'failed')),
    -- Why not.
    code text,
    address inet,
    request_id text,
    detail jsonb NOT NULL DEFAULT '{}',
    -- From an edge: which, and the record's place in which queue of it.
    node_id uuid,
    queue uuid,
    sequence bigint,
    CONSTRAINT audit_from_edge CHECK (num_nonnulls(node_id, queue, sequence) IN (0, 3))
);
-- What is delivered twice is stored once.
CREATE UNIQUE INDEX audit_delivered ON audit (node_id, queue, sequence) WHERE queue IS NOT NULL;
CREATE INDEX audit_page ON audit (at, id);
CREATE INDEX audit_project ON audit (project_id, at, id);
CREATE INDEX audit_actor ON audit (actor, at, id);
CREATE INDEX audit_object ON audit (object, at, id);

CREATE FUNCTION audit_is_not_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'records of the audit log are not changed';
END
$$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_not_changed();

-- Networks that cameras and restreams of the project may be in although they are closed.
ALTER TABLE project ADD COLUMN outbound_allow text[] NOT NULL DEFAULT '{}';
