-- Signing keys take turns. The private half is forgotten when a key signs no more.
ALTER TABLE signing_key
    ALTER COLUMN private DROP NOT NULL,
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN revoked_at timestamptz;
UPDATE signing_key SET activated_at = created_at WHERE state IN ('active', 'retiring');
UPDATE signing_key SET retired_at = clock_timestamp(), private = NULL WHERE state = 'retiring';
UPDATE signing_key SET revoked_at = clock_timestamp(), private = NULL WHERE state = 'revoked';
ALTER TABLE signing_key ADD CONSTRAINT signing_key_private
    CHECK ((state IN ('pending', 'active')) = (private IS NOT NULL));
CREATE UNIQUE INDEX signing_key_one_pending ON signing_key (state) WHERE state = 'pending';

-- The signing keys that the node says it knows.
ALTER TABLE node_lease ADD COLUMN signing_keys text[] NOT NULL DEFAULT '{}';

-- Secrets of the whole cluster, sealed (XChaCha20-Poly1305, bound to their rows): the key that
-- digests credentials, which outlives master keys.
CREATE TABLE cluster_secret (
    name text PRIMARY KEY,
    sealed bytea NOT NULL
);

-- The authority that vouches for nodes and controllers among each other: made once.
CREATE TABLE cluster_ca (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    -- DER.
    certificate bytea NOT NULL,
    -- Sealed (XChaCha20-Poly1305, bound to this row).
    private bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A node is who holds the key of its newest certificate. Nodes from before have none, and join anew.
ALTER TABLE node
    DROP COLUMN lookup,
    DROP COLUMN digest,
    -- SHA-256 of the newest certificate and of its public key; null: it may not come in.
    ADD COLUMN certificate bytea,
    ADD COLUMN public_key bytea,
    ADD COLUMN certificate_expires_at timestamptz,
    -- SHA-256 of the one before, which counts until the newest has been used: an answer may be lost.
    ADD COLUMN previous_certificate bytea,
    ADD COLUMN certificate_used_at timestamptz,
    -- The join token by which it came.
    ADD COLUMN join_token_id uuid,
    ADD COLUMN revoked_at timestamptz,
    ADD CONSTRAINT node_certificate_whole
        CHECK (num_nulls(certificate, public_key, certificate_expires_at) IN (0, 3)),
    ADD CONSTRAINT node_revoked CHECK (revoked_at IS NULL OR certificate IS NULL);
CREATE UNIQUE INDEX node_certificate ON node (certificate);
CREATE UNIQUE INDEX node_previous_certificate ON node (previous_certificate);

-- How many nodes may join by the token, and how many have.
ALTER TABLE join_token
    ADD COLUMN max_uses integer NOT NULL DEFAULT 1 CHECK (max_uses > 0),
    ADD COLUMN uses integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT join_token_uses CHECK (uses BETWEEN 0 AND max_uses);
