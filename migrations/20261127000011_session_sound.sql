-- Whether a viewer hears the camera, too. Edges of before do not say, and are not judged for it.
ALTER TABLE viewer_session ADD COLUMN sound boolean NOT NULL DEFAULT false;
