-- Units of placeable work. A row lives as long as its camera, so that its epoch only rises.
CREATE TABLE slot (
    camera_id uuid NOT NULL REFERENCES camera ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('ingest')),
    ordinal smallint NOT NULL,
    -- Rises by at least one with every assignment.
    epoch bigint NOT NULL DEFAULT 0,
    -- The highest epoch that any edge reported.
    reported_epoch bigint NOT NULL DEFAULT 0,
    node_id uuid REFERENCES node,
    -- What the assignment took from the node's capacity; 0 while unassigned.
    cost integer NOT NULL DEFAULT 0,
    reason text NOT NULL,
    assigned_at timestamptz,
    PRIMARY KEY (camera_id, role, ordinal),
    CONSTRAINT slot_cost_while_assigned CHECK ((node_id IS NULL) = (cost = 0))
);
CREATE INDEX slot_node ON slot (node_id) WHERE node_id IS NOT NULL;

-- What the edge that holds the slot observes.
CREATE TABLE slot_status (
    camera_id uuid NOT NULL,
    role text NOT NULL,
    ordinal smallint NOT NULL,
    node_id uuid NOT NULL REFERENCES node ON DELETE CASCADE,
    epoch bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('idle', 'connecting', 'live', 'failed')),
    message text NOT NULL,
    since timestamptz NOT NULL,
    tracks jsonb NOT NULL DEFAULT '[]',
    viewers integer NOT NULL DEFAULT 0,
    publisher jsonb,
    refused jsonb,
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (camera_id, role, ordinal),
    FOREIGN KEY (camera_id, role, ordinal) REFERENCES slot ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Who plans. Every transaction of a planner checks holder and term first.
CREATE TABLE planner_lease (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    holder uuid NOT NULL,
    term bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
