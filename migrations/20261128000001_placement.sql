-- What the planner knows of nodes, cameras and slots beyond where they are.

-- The camera refuses a second session.
ALTER TABLE camera ADD COLUMN exclusive_source boolean NOT NULL DEFAULT false;

-- What the node said that it can do; null: it did not say.
ALTER TABLE node ADD COLUMN capabilities jsonb;

-- Since when the node is too busy; see `node_heat`.
ALTER TABLE node_capacity ADD COLUMN busy_since timestamptz;

-- What the slot takes from a node as edges measure it, in units; null: as its role declares.
ALTER TABLE slot ADD COLUMN measured integer CHECK (measured > 0);
-- Who held it before its present holder.
ALTER TABLE slot ADD COLUMN came_from_node_id uuid REFERENCES node ON DELETE SET NULL;
CREATE INDEX slot_came_from ON slot (came_from_node_id) WHERE came_from_node_id IS NOT NULL;

-- Cameras whose slots the planner has to look at again. Whoever plans deletes what it has seen; the
-- rows are many and short-lived, and nobody waits for anybody.
CREATE TABLE plan_change (
    camera_id uuid NOT NULL
);

-- A camera that is changed or deleted, or whose slot or restream is.
CREATE FUNCTION plan_change_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO plan_change SELECT DISTINCT camera_id FROM new_row;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO plan_change SELECT DISTINCT camera_id FROM old_row;
    ELSIF TG_TABLE_NAME = 'camera' THEN
        INSERT INTO plan_change
        SELECT n.id FROM new_row n JOIN old_row o ON o.id = n.id
        WHERE (n.enabled, n.placement, n.source, n.exclusive_source, n.group_id)
              IS DISTINCT FROM (o.enabled, o.placement, o.source, o.exclusive_source, o.group_id);
    ELSIF TG_TABLE_NAME = 'restream' THEN
        INSERT INTO plan_change
        SELECT DISTINCT n.camera_id FROM new_row n JOIN old_row o ON o.id = n.id
        WHERE (n.enabled, n.video) IS DISTINCT FROM (o.enabled, o.video);
    ELSE
        INSERT INTO plan_change
        SELECT DISTINCT n.camera_id
        FROM new_row n
        JOIN old_row o ON (o.camera_id, o.role, o.ordinal) = (n.camera_id, n.role, n.ordinal)
        WHERE (n.node_id, n.epoch, n.cost, n.measured, n.left_node_id, n.left_revision)
              IS DISTINCT FROM
              (o.node_id, o.epoch, o.cost, o.measured, o.left_node_id, o.left_revision);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER plan_change_insert AFTER INSERT ON slot
    REFERENCING NEW TABLE AS new_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_update AFTER UPDATE ON slot
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_delete AFTER DELETE ON slot
    REFERENCING OLD TABLE AS old_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_update AFTER UPDATE ON camera
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_insert AFTER INSERT ON restream
    REFERENCING NEW TABLE AS new_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_update AFTER UPDATE ON restream
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
CREATE TRIGGER plan_change_delete AFTER DELETE ON restream
    REFERENCING OLD TABLE AS old_row
    FOR EACH STATEMENT EXECUTE FUNCTION plan_change_note();
