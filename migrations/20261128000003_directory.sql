-- What every edge knows of the others and of all cameras.

-- Where other edges reach it; null if it relays to nobody.
ALTER TABLE node ADD COLUMN relay text;

-- What of it has changed. Triggers write it: whoever changes a row that a peer or a route is made of
-- cannot forget to, nor can a foreign key that deletes. Rows are only added, so that nobody waits
-- here for anybody. What is named and is not there any more was removed.
CREATE TABLE directory_change (
    -- Readers read on from the oldest transaction that was open when they read last.
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    node_id uuid,
    camera_id uuid,
    -- All cameras in it. Who reads this looks which: at the time of the change, one that is being
    -- put into the group by somebody else could not be seen.
    camera_group_id uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT directory_change_one CHECK (num_nonnulls(node_id, camera_id, camera_group_id) = 1)
);
CREATE INDEX directory_change_order ON directory_change (xact);

-- Up to which transaction changes were forgotten.
CREATE TABLE directory_floor (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    xact xid8 NOT NULL
);
INSERT INTO directory_floor (xact) VALUES ('0');

-- Routes: a camera that is enabled, who brings it in, and how it may be watched.
CREATE FUNCTION directory_camera_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id) SELECT id FROM after WHERE enabled;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_insert AFTER INSERT ON camera
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_camera_insert();

CREATE FUNCTION directory_camera_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id)
    SELECT a.id
    FROM after a JOIN before b ON b.id = a.id
    WHERE (a.enabled OR b.enabled)
      AND (a.project_id, a.name, a.enabled, a.group_id)
          IS DISTINCT FROM (b.project_id, b.name, b.enabled, b.group_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_update AFTER UPDATE ON camera
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_camera_update();

CREATE FUNCTION directory_camera_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id) SELECT id FROM before WHERE enabled;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_delete AFTER DELETE ON camera
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION directory_camera_delete();

-- A slot without a holder says nothing that its camera does not say; it goes with its camera.
CREATE FUNCTION directory_slot_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id)
    SELECT camera_id FROM after WHERE role = 'ingest' AND node_id IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_insert AFTER INSERT ON slot
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_slot_insert();

CREATE FUNCTION directory_slot_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id)
    SELECT a.camera_id
    FROM after a
    JOIN before b ON (b.camera_id, b.role, b.ordinal) = (a.camera_id, a.role, a.ordinal)
    WHERE a.role = 'ingest' AND (a.node_id, a.epoch) IS DISTINCT FROM (b.node_id, b.epoch);
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_update AFTER UPDATE ON slot
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_slot_update();

CREATE FUNCTION directory_viewing_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id) SELECT camera_id FROM after;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_insert AFTER INSERT ON camera_viewing
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_viewing_insert();
CREATE TRIGGER directory_update AFTER UPDATE ON camera_viewing
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_viewing_insert();

CREATE FUNCTION directory_viewing_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_id) SELECT camera_id FROM before;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_delete AFTER DELETE ON camera_viewing
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION directory_viewing_delete();

-- A group with cameras in it is never deleted, and a new one has none.
CREATE FUNCTION directory_group_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (camera_group_id)
    SELECT a.id FROM after a JOIN before b ON b.id = a.id WHERE a.path <> b.path;
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_update AFTER UPDATE ON camera_group
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION directory_group_update();
