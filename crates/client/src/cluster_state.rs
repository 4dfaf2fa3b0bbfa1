//! The health of the cluster.

use headworks_types::{BrakeRelease, Cluster};

use crate::{Call, Client, Create};

impl Client {
    /// `GET /v1/cluster`
    pub fn cluster_view(&self) -> Call<Cluster> {
        self.get(&["v1", "cluster"])
    }

    /// `POST /v1/cluster:release_brake`
    pub fn cluster_release_brake(&self, body: &BrakeRelease) -> Call<Cluster, Create> {
        self.post(&["v1", "cluster:release_brake"], body)
    }
}
