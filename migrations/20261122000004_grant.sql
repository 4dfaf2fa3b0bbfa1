-- Who may do what with what. Nothing here means nothing allowed.
CREATE TABLE "grant" (
    id uuid PRIMARY KEY,
    project_id uuid NOT NULL REFERENCES project,
    user_id uuid REFERENCES "user" ON DELETE CASCADE,
    api_key_id uuid REFERENCES api_key ON DELETE CASCADE,
    camera_id uuid REFERENCES camera ON DELETE CASCADE,
    object_project_id uuid REFERENCES project ON DELETE CASCADE,
    on_cluster boolean NOT NULL DEFAULT false,
    actions text[] NOT NULL CHECK (cardinality(actions) > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT grant_one_principal CHECK (num_nonnulls(user_id, api_key_id) = 1),
    CONSTRAINT grant_one_object
        CHECK (num_nonnulls(camera_id, object_project_id, nullif(on_cluster, false)) = 1)
);
CREATE INDEX grant_page ON "grant" (project_id, id);
CREATE INDEX grant_user ON "grant" (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grant_api_key ON "grant" (api_key_id) WHERE api_key_id IS NOT NULL;
CREATE INDEX grant_camera ON "grant" (camera_id) WHERE camera_id IS NOT NULL;
