-- From where, by what and how fast a stream key may publish, and who did so last.
ALTER TABLE stream_key
    -- NULL means any; empty lists are refused.
    ADD COLUMN networks cidr[]
        CONSTRAINT stream_key_networks_some CHECK (cardinality(networks) > 0),
    ADD COLUMN protocols text[]
        CONSTRAINT stream_key_protocols_some CHECK (cardinality(protocols) > 0),
    ADD COLUMN max_bitrate_kbit integer
        CONSTRAINT stream_key_max_bitrate_positive CHECK (max_bitrate_kbit > 0),
    -- Rises with what people change, not with what is seen of the key.
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    -- All four or none. The node may be gone by now.
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN last_used_address inet,
    ADD COLUMN last_used_protocol text,
    ADD COLUMN last_used_node_id uuid,
    ADD CONSTRAINT stream_key_last_used_whole CHECK (
        num_nulls(last_used_at, last_used_address, last_used_protocol, last_used_node_id) IN (0, 4)
    );
