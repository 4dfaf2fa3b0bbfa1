//! Projects.

use headworks_types::{Page, Project, ProjectCreate, ProjectId, ProjectUpdate};

use crate::{Call, Change, Client, Create};

impl Client {
    /// `GET /v1/projects`
    pub fn project_list(&self) -> Call<Page<Project>> {
        self.get(&["v1", "projects"])
    }

    /// `POST /v1/projects`
    pub fn project_create(&self, project: &ProjectCreate) -> Call<Project, Create> {
        self.post(&["v1", "projects"], project)
    }

    /// `GET /v1/projects/{project_id}`
    pub fn project_view(&self, id: ProjectId) -> Call<Project> {
        self.get(&["v1", "projects", &id.to_string()])
    }

    /// `PATCH /v1/projects/{project_id}`
    pub fn project_update(&self, id: ProjectId, change: &ProjectUpdate) -> Call<Project, Change> {
        self.patch(&["v1", "projects", &id.to_string()], change)
    }
}
