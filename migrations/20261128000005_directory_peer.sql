-- What of the peers in the directory has changed: rows of `node`, and of their leases whether they
-- said goodbye and whether they are full. These ring the controllers' doorbell, since no revision
-- rises with them. Leases are renewed all the time: here the condition is looked at before anything
-- is called.
CREATE FUNCTION directory_node_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (node_id) VALUES (COALESCE(NEW.id, OLD.id));
    PERFORM pg_notify('headworks_revision', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_insert AFTER INSERT ON node
    FOR EACH ROW EXECUTE FUNCTION directory_node_change();
CREATE TRIGGER directory_update AFTER UPDATE ON node
    FOR EACH ROW
    WHEN ((OLD.name, OLD.site, OLD.zone, OLD.relay, OLD.advertise, OLD.died_at IS NULL,
           OLD.revoked_at IS NULL, OLD.removed_at IS NULL, OLD.drain_started_at IS NULL)
          IS DISTINCT FROM
          (NEW.name, NEW.site, NEW.zone, NEW.relay, NEW.advertise, NEW.died_at IS NULL,
           NEW.revoked_at IS NULL, NEW.removed_at IS NULL, NEW.drain_started_at IS NULL))
    EXECUTE FUNCTION directory_node_change();
CREATE TRIGGER directory_delete AFTER DELETE ON node
    FOR EACH ROW EXECUTE FUNCTION directory_node_change();

CREATE FUNCTION directory_lease_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO directory_change (node_id) VALUES (NEW.node_id);
    PERFORM pg_notify('headworks_revision', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER directory_insert AFTER INSERT ON node_lease
    FOR EACH ROW EXECUTE FUNCTION directory_lease_change();
CREATE TRIGGER directory_update AFTER UPDATE ON node_lease
    FOR EACH ROW
    WHEN ((OLD.goodbye, OLD.is_full) IS DISTINCT FROM (NEW.goodbye, NEW.is_full))
    EXECUTE FUNCTION directory_lease_change();
