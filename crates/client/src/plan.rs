//! What a change would move.

use headworks_types::{PlanPreview, PlanQuestion};

use crate::{Call, Client, Create};

impl Client {
    /// `POST /v1/plan:preview`
    pub fn plan_preview(&self, question: &PlanQuestion) -> Call<PlanPreview, Create> {
        self.post(&["v1", "plan:preview"], question)
    }
}
