-- How people sign in.
ALTER TABLE "user"
    -- In lower case. Who has none cannot sign in with a password.
    ADD COLUMN email text CHECK (email = lower(email)),
    -- Argon2id, in the PHC string format.
    ADD COLUMN password text,
    -- The password was chosen by somebody else.
    ADD COLUMN must_change_password boolean NOT NULL DEFAULT false,
    ADD COLUMN last_signed_in_at timestamptz,
    -- Whoever signs in says no project, so that an email names one user of the installation.
    ADD CONSTRAINT user_email_key UNIQUE (email);

-- One for each time that somebody has signed in: it lives as long as its refresh tokens do.
CREATE TABLE sign_in (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
    -- `password`, or `oidc:` and the provider's name.
    method text NOT NULL,
    -- From where: an IPv4 address, or the 64-bit network of an IPv6 one.
    network text,
    -- What its refresh tokens are found by. Their secrets are nowhere: they are derived.
    lookup text NOT NULL,
    -- Which of its refresh tokens works now; earlier ones have been used.
    generation integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Without a refresh until then it ends.
    idle_until timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT sign_in_lookup_key UNIQUE (lookup)
);
CREATE INDEX sign_in_user ON sign_in (user_id, created_at);
CREATE INDEX sign_in_age ON sign_in (expires_at);

-- Failed attempts to sign in: of an account from a network, of an account, from a network.
CREATE TABLE sign_in_throttle (
    -- HMAC of what is counted: people also type passwords where emails belong.
    key bytea PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,
    blocked_until timestamptz,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX sign_in_throttle_age ON sign_in_throttle (failed_at);

-- Who a user is elsewhere.
CREATE TABLE oidc_identity (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES "user" ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX oidc_identity_user ON oidc_identity (user_id);

-- States that have come back: none is taken twice.
CREATE TABLE oidc_state (
    digest bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oidc_state_age ON oidc_state (expires_at);

-- The provider whose group claim made the member; null: one of us did.
ALTER TABLE user_group_member ADD COLUMN oidc_provider text;
