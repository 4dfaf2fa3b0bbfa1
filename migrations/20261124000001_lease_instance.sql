-- One process at a time is a node. A lease says which (`instance`; a higher one is newer), and:
ALTER TABLE node_lease
    -- until when one before it may still do strict work;
    ADD COLUMN strict_after timestamptz NOT NULL DEFAULT '-infinity',
    -- which other one was refused last, so that it is told once.
    ADD COLUMN refused_instance uuid;
